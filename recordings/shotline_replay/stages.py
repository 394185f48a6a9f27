"""How far a replay came, stage by stage: sound, onsets, detections, fusion, incidents. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import msgspec

from fusion_server.engine import Disposition
from shotline.domain import GUNSHOT_INDEX
from shotline.messages import Detection
from shotline_replay.replay import SceneRun

__all__ = ["Stages", "explain_nothing", "stages_of"]

_RULE = "impulse-rules-1"
_LIKELY_BP = 5_000


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """What was left after each stage; None where a stage was not part of the replay, or was not watched (live).

    Parameters
    ----------
    recordings, onsets, onsets_rejected : int | None
        Sound files; onsets in them; those of them too close to the noise to be reported.
    sent : int
        Detections that reached fusion.
    classified, called_gunshot : int | None
        Those that a classifier has named; those with a probability of a gunshot of a half and more.
    gunshot_median : float | None
        Median of that probability.
    fused : int
        Detections that could be part of a shot; why others could not is in ``dispositions``.
    held_back : int | None
        Incidents that were located and not told, since gunfire was too unlikely.
    told, taken_back : int
        Incidents told; those of them that were taken back.
    """

    recordings: int | None
    onsets: int | None
    onsets_rejected: int | None
    sent: int
    classified: int | None
    called_gunshot: int | None
    gunshot_median: float | None
    fused: int
    held_back: int | None
    told: int
    taken_back: int


def stages_of(
    runs: Sequence[SceneRun],
    detections: Iterable[Detection] | None,
    *,
    recordings: int | None,
    told: int,
    taken_back: int,
) -> Stages:
    """Add up how far each scene came.

    Parameters
    ----------
    runs : sequence of SceneRun
    detections : iterable of Detection | None
        What reached fusion; None when that is not known.
    recordings : int | None
        Sound files that were heard; None without sound.
    told, taken_back : int
        Incidents.
    """
    said = (
        None
        if detections is None
        else [item.probabilities_bp[GUNSHOT_INDEX] for item in detections if item.probabilities_bp]
    )
    return Stages(
        recordings=recordings,
        onsets=_total(run.onsets for run in runs),
        onsets_rejected=_total(run.onsets_rejected for run in runs),
        sent=sum(sum(run.dispositions.values()) for run in runs),
        classified=None if said is None else len(said),
        called_gunshot=None if said is None else sum(value >= _LIKELY_BP for value in said),
        gunshot_median=round(statistics.median(said) / 10_000, 4) if said else None,
        fused=sum(run.dispositions.get(Disposition.FUSED.value, 0) for run in runs),
        held_back=_total(run.held_back for run in runs),
        told=told,
        taken_back=taken_back,
    )


def explain_nothing(stages: Stages, *, dispositions: dict[str, int], model: str | None) -> list[str]:
    """Return sentences on how far the sound came and where it was lost; none when an incident stands."""
    if stages.told > stages.taken_back:
        return []
    way = []
    if stages.recordings is not None:
        way.append(f"{stages.recordings} recordings")
    if stages.onsets is not None:
        way.append(f"{stages.onsets} onsets, {stages.onsets_rejected} of them too close to the noise")
    way.append(f"{stages.sent} detections sent")
    if stages.classified:
        way.append(
            f"{stages.called_gunshot} of {stages.classified} classified as a gunshot with probability 0.5 or more"
        )
    way.append(f"{stages.fused} fused")
    if stages.held_back is not None:
        way.append(f"{stages.held_back} incidents held back as unlikely")
    way.append(f"{stages.told} told, {stages.taken_back} taken back")
    return [f"Nothing was found. How far it came: {'; '.join(way)}.", _where_lost(stages, dispositions, model)]


def _where_lost(stages: Stages, dispositions: dict[str, int], model: str | None) -> str:
    if stages.onsets == 0:
        return "Lost at the onsets: nothing stands out of the noise. Listen to the files; is their level very low?"
    if not stages.sent:
        return "Lost before fusion: nothing was loud enough over the noise to be reported."
    if not stages.fused:
        why = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in dispositions.items())
        return f"Lost at the door of fusion: {why}. docs/replay.md says what to do about each."
    if stages.taken_back:
        return "Lost in fusion: what was told was taken back, since later arrivals or silent nodes spoke against it."
    where = (
        "Lost at the end: what was located is too unlikely to be gunfire."
        if stages.held_back
        else "Lost in fusion: no place explains arrivals at four nodes well enough."
    )
    if model is None or model == _RULE:
        return where
    return f"{where} A network is unsure of sound that it has not learned: try --model {_RULE}."


def _total(counts: Iterable[int | None]) -> int | None:
    known = list(counts)
    return None if any(count is None for count in known) else sum(count or 0 for count in known)
