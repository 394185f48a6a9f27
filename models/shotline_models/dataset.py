"""Labelled sound as the node would see it: a frame around every onset that the node's own onset detector finds.

Two sources are read: a manifest of labelled clips (CSV, one row a clip) and live fire with surveyed truth
(`shotline_recordings.pittsburgh`). Nothing here draws at random and nothing is learned.

A clip's neighbours are not independent of it: clips of one ``group`` were cut from one recording, and those of the
forest overlap bit for bit. Examples are therefore divided by `Clip.family`, never one by one.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.errors import DatasetError
from shotline.features import impulse_features
from shotline.onsets import Onset, OnsetDetector, OnsetSettings
from shotline.units import NS_PER_S
from shotline_recordings.dataset import Scene, open_dataset

__all__ = [
    "COLUMNS",
    "LIVE_FIRE",
    "OWN_SOUNDS",
    "Clip",
    "Corpus",
    "Example",
    "fold_of",
    "kind_of",
    "read_live_fire",
    "read_manifest",
]

COLUMNS = (
    "file",
    "label",
    "sub_label",
    "sample_rate_hz",
    "original_sample_rate_hz",
    "duration_s",
    "source",
    "group",
    "split_block",
    "licence",
    "flags",
)
LIVE_FIRE = "pittsburgh"
"""Name of the source of live fire with surveyed truth."""
MIN_SNR_DB = 14.0
"""The node reports nothing that is nearer to its noise."""
_MATCH_S = 0.020
"""An onset this near to a pulse that the recorded sensor reported for a shot is that shot's."""
OWN_SOUNDS = "own_sounds"
"""Label of what sensors of live fire heard when nobody fired."""
_BEFORE_SHOTS_S, _AFTER_SHOTS_S = 0.6, 3.0
"""Not so near to a shot: the sensor's clock may be off by a little, and echoes go on for seconds."""
_LOUDEST_SHARE = 0.25
"""In a clip of gunshots what reaches this share of the loudest onset is a shot; weaker ones may be echoes or shells."""
_FAR_SOURCES = frozenset({"carioni"})
"""One shot a clip, mostly far: the loudest onset is it."""
_WHOLE_BLOCKS = frozenset({"katsis", "ffsl"})
"""Blocks that are whole sources; inside them the group tells what belongs together."""
_IMPACTS = frozenset({"door", "hammer"})
_IMPACT_WORDS = ("drop (", "dropped (")
_IMPULSES = frozenset({"clap", "glass", "other_impulse", "footsteps"})


@dataclass(frozen=True, slots=True)
class Clip:
    """One recording.

    Parameters
    ----------
    file : str
        Path below the root of its source.
    kind : ImpulseKind
        What its onsets are.
    label, sub_label, source, licence : str
        As its manifest has them.
    family : str
        Clips of one family were recorded together, or overlap: they are on one side of every division.
    sample_rate_hz : int
        Of the file.
    duration_s : float
    """

    file: str
    kind: ImpulseKind
    label: str
    sub_label: str
    source: str
    licence: str
    family: str
    sample_rate_hz: int
    duration_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """The sound around one onset, and what it is.

    Parameters
    ----------
    clip : Clip
    at_s : float
        Onset, seconds into the clip.
    snr_db : float
        Peak over noise floor, as the node reports it.
    peak, noise_rms : float
        Of the band-passed sound, full scale = 1.
    clipped : bool
    samples : ndarray, shape (n_samples,), float32
        Raw sound at the clip's rate; shorter than asked for where the clip begins or ends.
    onset_index : int
        Of the onset in it.
    distance_m : float | None
        From source to microphone where that was surveyed.
    """

    clip: Clip
    at_s: float
    snr_db: float
    peak: float
    noise_rms: float
    clipped: bool
    samples: NDArray[np.float32]
    onset_index: int
    distance_m: float | None = None


@dataclass(frozen=True, slots=True)
class Corpus:
    """Clips, and the examples cut out of them.

    Parameters
    ----------
    clips : tuple of Clip
        All that were listened to, also those in which nothing was heard: they are hours without an alarm.
    examples : tuple of Example
    missed : tuple of (Clip, float)
        Shots that a recorded sensor reported and no onset was found for, with their distance in metres.
    """

    clips: tuple[Clip, ...]
    examples: tuple[Example, ...]
    missed: tuple[tuple[Clip, float], ...] = ()

    def __add__(self, other: Corpus) -> Corpus:
        return Corpus(self.clips + other.clips, self.examples + other.examples, self.missed + other.missed)

    def only(self, keep: Callable[[Clip], bool]) -> Corpus:
        """Return the part whose clips are wanted."""
        return Corpus(
            tuple(clip for clip in self.clips if keep(clip)),
            tuple(example for example in self.examples if keep(example.clip)),
            tuple(item for item in self.missed if keep(item[0])),
        )


def kind_of(label: str, sub_label: str = "") -> ImpulseKind:
    """Return the kind of impulse that the onsets of a clip are. What is no impulse of interest is background."""
    if label in ("gunshot", "firework", "thunder"):
        return ImpulseKind(label)
    if label in _IMPACTS or any(word in sub_label for word in _IMPACT_WORDS):
        return ImpulseKind.IMPACT
    return ImpulseKind.OTHER_IMPULSE if label in _IMPULSES else ImpulseKind.BACKGROUND


def fold_of(family: str, n_folds: int) -> int:
    """Return the fold of a family, 0 to ``n_folds`` - 1; it depends on its name only."""
    return zlib.crc32(family.encode()) % n_folds


def read_manifest(
    manifest: Path,
    root: Path,
    *,
    before_s: float,
    after_s: float,
    only_sources: Collection[str] | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Corpus:
    """Read labelled clips and cut frames around their onsets.

    Parameters
    ----------
    manifest : Path
        CSV with the columns `COLUMNS`; others are ignored. ``file`` is relative to ``root``.
    root : Path
    before_s, after_s : float
        Sound to keep around each onset.
    only_sources : collection of str, optional
    progress : callable (done, of_how_many)

    Raises
    ------
    DatasetError
        A column is missing, a row does not parse, a file is missing, broken, or not what its row says.
    """
    clips = [clip for clip in _read_rows(manifest) if only_sources is None or clip.source in only_sources]
    examples: list[Example] = []
    for number, clip in enumerate(clips):
        samples = _read_sound(root / clip.file, clip, manifest)
        found = _listen(samples, clip, before_s=before_s, after_s=after_s)
        if clip.kind is ImpulseKind.GUNSHOT and found:
            loudest = max(found, key=lambda item: item.peak)
            if clip.source in _FAR_SOURCES:
                found = [loudest]
            else:
                found = [item for item in found if item.peak >= _LOUDEST_SHARE * loudest.peak]
        examples += found
        progress(number + 1, len(clips))
    return Corpus(tuple(clips), tuple(examples))


def read_live_fire(
    folder: Path,
    *,
    before_s: float,
    after_s: float,
    only: Collection[str] | None = None,
    own_sounds: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Corpus:
    """Read live fire with surveyed truth: an example for every pulse that a recorded sensor reported for a shot.

    Onsets between the pulses and soon after are echoes for the most part, and are left out.

    Parameters
    ----------
    folder : Path
        As `shotline_recordings.pittsburgh` reads it.
    before_s, after_s : float
    only : collection of str, optional
        Firing positions.
    own_sounds : bool
        Also what is heard well before the first pulse of a recording and well after the last: as a clip beside it,
        no gunshot, from the same microphone.
    progress : callable (done, of_how_many)

    Raises
    ------
    DatasetError
    """
    scenes = open_dataset(folder, loader="pittsburgh", only=only).scenes
    corpus = Corpus((), ())
    for number, scene in enumerate(scenes):
        corpus += _read_position(scene, folder, before_s=before_s, after_s=after_s, own_sounds=own_sounds)
        progress(number + 1, len(scenes))
    return corpus


def _read_position(scene: Scene, folder: Path, *, before_s: float, after_s: float, own_sounds: bool) -> Corpus:
    site_m = {site.node: np.array([site.x_m, site.y_m, site.z_m]) for site in scene.sites}
    source_m = {event.event: np.array([event.x_m, event.y_m, event.z_m]) for event in scene.truth}
    by_uid = {detection.uid: detection for detection in scene.detections}
    pulses: dict[tuple[str, str], set[int]] = {}
    for shot in scene.pulse_sets:
        for uid in shot.detections:
            pulses.setdefault((shot.event, uid.node), set()).add(by_uid[uid].arrival_time_ns)
    clips, examples, missed = [], [], []
    for recording in scene.recordings:
        with soundfile.SoundFile(recording.path) as sound:
            rate_hz, frames = sound.samplerate, sound.frames
        clip = Clip(
            file=str(recording.path.resolve().relative_to(folder.resolve())),
            kind=ImpulseKind.GUNSHOT,
            label="gunshot",
            sub_label=next((event.label for event in scene.truth if event.event == recording.event), ""),
            source=LIVE_FIRE,
            licence="CC BY 4.0",
            family=scene.name,
            sample_rate_hz=rate_hz,
            duration_s=frames / rate_hz,
        )
        clips.append(clip)
        heard = _listen(_read_sound(recording.path, clip, folder), clip, before_s=before_s, after_s=after_s)
        distance_m = float(np.linalg.norm(site_m[recording.node] - source_m[recording.event]))
        fired = sorted(pulses.get((recording.event, recording.node), ()))
        for pulse_ns in fired:
            pulse_s = (pulse_ns - recording.start_time_ns) / NS_PER_S
            near = min(heard, key=lambda item: abs(item.at_s - pulse_s), default=None)
            if near is None or abs(near.at_s - pulse_s) > _MATCH_S:
                missed.append((clip, distance_m))
                continue
            examples.append(replace(near, distance_m=distance_m))
        if own_sounds and fired:
            own, sounds = _own_sounds(clip, heard, [(at - recording.start_time_ns) / NS_PER_S for at in fired])
            clips.append(own)
            examples += sounds
    return Corpus(tuple(clips), tuple(examples), tuple(missed))


def _own_sounds(clip: Clip, heard: list[Example], pulses_s: list[float]) -> tuple[Clip, list[Example]]:
    """Return the parts of a recording in which nothing is heard of a shot, as a clip, and the onsets in them."""
    until_s, from_s = max(pulses_s[0] - _BEFORE_SHOTS_S, 0.0), min(pulses_s[-1] + _AFTER_SHOTS_S, clip.duration_s)
    own = replace(
        clip,
        kind=ImpulseKind.BACKGROUND,
        label=OWN_SOUNDS,
        sub_label="",
        duration_s=until_s + clip.duration_s - from_s,
    )
    return own, [replace(item, clip=own) for item in heard if item.at_s < until_s or item.at_s > from_s]


def _read_rows(manifest: Path) -> list[Clip]:
    try:
        text = manifest.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the manifest: {error}", source=str(manifest)) from error
    reader = csv.DictReader(text.splitlines())
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise DatasetError(
            f"no column {', '.join(missing)}; a manifest has the columns {', '.join(COLUMNS)}", source=str(manifest)
        )
    clips = []
    for row in reader:
        where = f"line {reader.line_num}"
        short = [name for name in COLUMNS if row[name] is None]
        if short:
            raise DatasetError(f"{where} ends before {short[0]}", source=str(manifest))
        try:
            rate_hz, duration_s = int(row["sample_rate_hz"]), float(row["duration_s"])
        except ValueError as error:
            raise DatasetError(
                f"{where}: sample_rate_hz '{row['sample_rate_hz']}' or duration_s '{row['duration_s']}' is no number",
                source=str(manifest),
            ) from error
        block, group = row["split_block"], row["group"]
        clips.append(
            Clip(
                file=row["file"],
                kind=kind_of(row["label"], row["sub_label"]),
                label=row["label"],
                sub_label=row["sub_label"],
                source=row["source"],
                licence=row["licence"],
                family=(group or row["file"]) if block in _WHOLE_BLOCKS or not block else block,
                sample_rate_hz=rate_hz,
                duration_s=duration_s,
            )
        )
    if not clips:
        raise DatasetError("no clip in the manifest", source=str(manifest))
    return clips


def _read_sound(path: Path, clip: Clip, source: Path) -> NDArray[np.float32]:
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"cannot read {clip.file}: {error}", source=str(source), field="file") from error
    if samples.shape[1] != 1:
        raise DatasetError(f"{clip.file} has {samples.shape[1]} channels, expected 1", source=str(source), field="file")
    if rate_hz != clip.sample_rate_hz:
        raise DatasetError(
            f"{clip.file} has {rate_hz} Hz, its row says {clip.sample_rate_hz}",
            source=str(source),
            field="sample_rate_hz",
        )
    if not np.isfinite(samples).all():
        raise DatasetError(f"{clip.file} holds a sample that is not a finite number", source=str(source), field="file")
    mono: NDArray[np.float32] = samples[:, 0]
    return mono


def _listen(samples: NDArray[np.float32], clip: Clip, *, before_s: float, after_s: float) -> list[Example]:
    """Return an example for every onset that the node would report."""
    rate_hz = clip.sample_rate_hz
    detector = OnsetDetector(rate_hz, OnsetSettings(frame_before_s=before_s, frame_after_s=after_s))
    detector.start(0)
    examples = (_example(onset, clip, rate_hz) for onset in detector.push(samples) + detector.finish())
    return [example for example in examples if example.snr_db >= MIN_SNR_DB]


def _example(onset: Onset, clip: Clip, rate_hz: int) -> Example:
    features = impulse_features(onset, sample_rate_hz=rate_hz)
    return Example(
        clip=clip,
        at_s=onset.sample / rate_hz,
        snr_db=features.snr_db,
        peak=features.peak,
        noise_rms=onset.noise_rms,
        clipped=features.clipped,
        samples=onset.raw.astype(np.float32),
        onset_index=round(onset.sample) - onset.frame_start,
    )
