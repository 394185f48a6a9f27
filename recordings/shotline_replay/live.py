"""Live replay: the recorded pace, real processes, real sockets, real waits.

A recording has minutes of nothing between shots. It is cut at pauses into *episodes*; each is played by a server and
nodes of its own, on a clock of its own, so nothing waits for a pause and no time stamp is altered.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fusion_server.history import History
from shotline.errors import EdgeError, InputError
from shotline.records import IncidentRecord
from shotline.timebase import EventClock
from shotline.units import ns_from_seconds
from shotline_recordings.dataset import Dataset, open_dataset
from shotline_recordings.score import latency_stats
from shotline_recordings.work import Progress
from shotline_replay.episodes import Episode, detection_episodes, sound_episodes
from shotline_replay.processes import Children
from shotline_replay.replay import SceneRun, Source, require_source
from shotline_replay.report import LiveTiming, Report, RunInfo, fusion_settings, write_json
from shotline_replay.run import Request, check_model, make_folder, write_fusion_outputs
from shotline_replay.session import NotReadyError, Session, SessionResult, alert_waits_s

__all__ = ["live_episodes", "replay_live"]

_BEFORE_S = 0.2
_LINGER_S = 8.0
_TRIES = 4
_LEAD_BASE_S, _LEAD_PER_PROCESS_S = 4.0, 0.6


@dataclass(slots=True)
class _Played:
    """What came of all episodes."""

    runs: dict[str, SceneRun]
    first_waits_s: list[float]
    all_waits_s: list[float]
    episodes: int
    tried_again: int = 0
    unacknowledged: int = 0
    processes: int = 0
    lead_s: float = 0.0


def live_episodes(dataset: Dataset, source: Source) -> list[Episode]:
    """Return what is played, in order."""
    cut = sound_episodes if source is Source.AUDIO else detection_episodes
    return [episode for scene in dataset.scenes for episode in cut(scene)]


def replay_live(request: Request, *, pace: float, progress: Progress = lambda *_: None) -> Report:
    """Replay through a real server and real nodes, and write what `shotline_replay.run` writes, with the waits.

    Parameters
    ----------
    request : Request
        Its ``jobs`` is not used: the pace is that of the clock.
    pace : float
        Recorded seconds per second.

    Raises
    ------
    InputError
        The request or the dataset cannot be used.
    EdgeError
        A process fails, or is not up in time however long the lead.
    """
    if request.source is Source.TUPLES:
        raise InputError("pulse sets have no pace; --live is for --from audio, pulses or detections", field="--live")
    if request.sensors:
        raise InputError("random subsets are for --from tuples, without --live", field="--sensors")
    check_model(request)
    started_s = time.perf_counter()
    dataset = open_dataset(request.dataset, loader=request.loader, only=request.only)
    require_source(dataset, request.source)
    make_folder(request.out)
    played = _play_all(dataset, request, pace, progress)
    timing = LiveTiming(
        first_alerts=latency_stats(played.first_waits_s),
        all_revisions=latency_stats(played.all_waits_s),
        episodes=played.episodes,
        episodes_tried_again=played.tried_again,
        processes=played.processes,
        lead_s=round(played.lead_s, 3),
        unacknowledged=played.unacknowledged,
    )
    info = RunInfo(
        source=request.source.value,
        loader=request.loader,
        only=None if request.only is None else tuple(sorted(request.only)),
        live=True,
        pace=pace,
        model=request.model if request.source is Source.AUDIO else None,
        fusion=fusion_settings(),
    )
    report = write_fusion_outputs(request.out, dataset, list(played.runs.values()), info, live=timing)
    write_json(request.out / "timing.json", {"wall_s": round(time.perf_counter() - started_s, 3)})
    return report


def _play_all(dataset: Dataset, request: Request, pace: float, progress: Progress) -> _Played:
    cut = live_episodes(dataset, request.source)
    played = _Played({scene.name: SceneRun(scene.name, ()) for scene in dataset.scenes}, [], [], len(cut))
    lead_s = 0.0
    for number, episode in enumerate(cut):
        progress("live", number, len(cut))
        lead_s = max(lead_s, _LEAD_BASE_S + _LEAD_PER_PROCESS_S * _sources(episode) * 2 / (os.cpu_count() or 1))
        for attempt in range(1, _TRIES + 1):
            try:
                ready_s = _play(episode, pace, lead_s, request.model, played)
                break
            except NotReadyError as error:
                if attempt == _TRIES:
                    raise EdgeError(
                        f"{error} not up {lead_s:.0f} s after the start; this machine is too busy for a live replay, "
                        "end other work or replay without --live"
                    ) from error
                lead_s *= 2
                played.tried_again += 1
        lead_s = min(lead_s, 1.0 + 1.7 * ready_s)
        played.lead_s = max(played.lead_s, lead_s)
        played.processes = max(played.processes, _sources(episode) + 1)
    progress("live", len(cut), len(cut))
    return played


def _play(episode: Episode, pace: float, lead_s: float, model: str, played: _Played) -> float:
    with tempfile.TemporaryDirectory(prefix="shotline-live-") as name, Children(Path(name)) as children:
        epoch_ns = episode.first_ns - ns_from_seconds(_BEFORE_S * pace)
        clock = EventClock(epoch_ns, time.time_ns() + ns_from_seconds(lead_s), pace)
        session = Session(episode.scene, Path(name), children, clock=clock, model=model)
        if episode.recordings:
            session.start_nodes(episode.recordings)
        else:
            session.start_publisher(episode.detections)
        ready_s = session.wait_ready()
        result = session.play(episode.last_ns + ns_from_seconds(_LINGER_S))
        session.end_server()
        _note(episode, result, session, clock, played)
        return ready_s


def _sources(episode: Episode) -> int:
    """Return how many processes an episode takes besides the server."""
    return len({item.node for item in episode.recordings}) or 1


def _note(episode: Episode, result: SessionResult, session: Session, clock: EventClock, played: _Played) -> None:
    for record, wait_s in alert_waits_s(session.database, result.revisions, clock):
        played.all_waits_s.append(wait_s)
        if record.revision == 1:
            played.first_waits_s.append(wait_s)
    with History.open(session.database) as history:
        unused: Counter[str] = Counter()
        for counts in history.disposition_counts().values():
            unused.update(counts)
        received = history.counts().detections
    run = played.runs[episode.scene.name]
    dispositions = Counter(run.dispositions) + unused
    dispositions["fused"] += received - unused.total()
    revisions: tuple[IncidentRecord, ...] = (*run.revisions, *result.revisions)
    played.runs[episode.scene.name] = SceneRun(run.scene, revisions, dict(sorted(dispositions.items())))
    played.unacknowledged += result.unacknowledged
