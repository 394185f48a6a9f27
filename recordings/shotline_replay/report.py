"""What a replay leaves behind: ``incidents.jsonl``, ``revisions.jsonl`` and ``report.json``.

They are the same bytes each time the same code replays the same data; how long it took is in ``timing.json``. (A live
run is timed by the wall clock and never the same.)
"""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import msgspec

import shotline
from fusion_server.engine import FusionSettings
from shotline.errors import StorageError
from shotline.records import IncidentRecord
from shotline_recordings.dataset import Dataset
from shotline_recordings.score import LatencyStats, Score, alert_delay_s, latency_stats, score_scene, summarise
from shotline_replay.replay import RETRACTED
from shotline_replay.stages import Stages
from shotline_replay.tuples import LocatorReport

__all__ = [
    "PUBLISHED",
    "DatasetInfo",
    "LiveTiming",
    "Published",
    "Report",
    "RunInfo",
    "SceneInfo",
    "Software",
    "describe_dataset",
    "describe_software",
    "event_time_delay",
    "fusion_settings",
    "read_incidents",
    "score_dataset",
    "write_json",
    "write_lines",
    "write_text",
]


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of Tech Note 098 for all nine firing positions, to be read beside ours."""

    source: str = "Calhoun et al., Tech Note 098, 2020, figures 12 and 18; nine firing positions, 324 shots"
    live_share_within_25m: float = 0.969
    live_median_m: float = 5.9
    live_events_detected: float = 1.0
    share_within_15m_by_sensors: dict[str, float] = msgspec.field(
        default_factory=lambda: {"4": 0.539, "5": 0.856, "6": 0.964, "8": 0.992, "10": 0.998}
    )
    note: str = (
        "The paper selects pulses anew for each sub-array and counts what was not detected; ours are given the "
        "vendor's pulse sets. Same sensors, same criterion, an easier problem."
    )


PUBLISHED = Published()


class SceneInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What there is of one scene."""

    name: str
    sites: int
    recordings: int
    detections: int
    pulse_sets: int
    events: int


class DatasetInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What was replayed."""

    name: str
    licence: str
    source: str
    scenes: tuple[SceneInfo, ...]
    warnings: tuple[str, ...]


class RunInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"source": "from"}):
    """With which parameters, those of fusion included. The number of processes is not one: it changes nothing."""

    source: str
    loader: str
    only: tuple[str, ...] | None = None
    sensors: tuple[int, ...] = ()
    subsets: int | None = None
    seed: int | None = None
    model: str | None = None
    live: bool = False
    pace: float | None = None
    fusion: dict[str, object] = {}


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """By which code. ``git_commit`` is None outside a checkout; ``git_dirty`` tells of files changed since."""

    shotline: str
    python: str
    packages: dict[str, str]
    git_commit: str | None
    git_dirty: bool | None


class LiveTiming(msgspec.Struct, frozen=True, kw_only=True):
    """Wall-clock waits of a live run, in seconds from the last arrival that a revision rests on (at its microphone).

    ``episodes_tried_again`` counts starts at which some process was not up when the first sound was due.
    """

    first_alerts: LatencyStats
    all_revisions: LatencyStats
    episodes: int
    episodes_tried_again: int
    processes: int
    lead_s: float
    unacknowledged: int


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``report.json``."""

    format: str
    dataset: DatasetInfo
    run: RunInfo
    software: Software
    incidents: int
    incidents_retracted: int
    revisions: int
    dispositions: dict[str, int] = {}
    stages: Stages | None = None
    score: Score | None = None
    alert_delay: LatencyStats | None = None
    locator: LocatorReport | None = None
    live: LiveTiming | None = None
    published: Published | None = None


def fusion_settings() -> dict[str, object]:
    """Return the settings of fusion that every replay (and every server) uses."""
    settings: dict[str, object] = msgspec.to_builtins(FusionSettings())
    return settings


def describe_dataset(dataset: Dataset) -> DatasetInfo:
    """Say what a dataset holds."""
    return DatasetInfo(
        name=dataset.name,
        licence=dataset.licence,
        source=dataset.source,
        scenes=tuple(
            SceneInfo(
                name=scene.name,
                sites=len(scene.sites),
                recordings=len(scene.recordings),
                detections=len(scene.detections),
                pulse_sets=len(scene.pulse_sets),
                events=len(scene.truth),
            )
            for scene in dataset.scenes
        ),
        warnings=dataset.warnings,
    )


def describe_software() -> Software:
    """Say which code runs here."""
    packages = {}
    for name in ("msgspec", "numpy", "scipy", "soundfile"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    commit, dirty = _git_state(Path(shotline.__file__).parent)
    return Software(
        shotline=shotline.__version__,
        python=platform.python_version(),
        packages=packages,
        git_commit=commit,
        git_dirty=dirty,
    )


def _git_state(package: Path) -> tuple[str | None, bool | None]:
    """Return the commit of the checkout that the package is a part of; None where it is installed, not checked out."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None, None
    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD"), None if changed is None else bool(changed)


def score_dataset(dataset: Dataset, latest: Sequence[IncidentRecord]) -> Score | None:
    """Score what stands (what was taken back is not held against it); None for a dataset without truth."""
    if not any(scene.truth for scene in dataset.scenes):
        return None
    standing = [item for item in latest if item.state != RETRACTED]
    by_scene = {scene.name: [item for item in standing if item.scene == scene.name] for scene in dataset.scenes}
    return summarise([score_scene(scene, by_scene[scene.name]) for scene in dataset.scenes if scene.truth])


def event_time_delay(revisions: Sequence[IncidentRecord]) -> LatencyStats:
    """Return the event time from the last arrival that each first alert rests on to its conclusion."""
    return latency_stats([alert_delay_s(item) for item in revisions if item.revision == 1])


def read_incidents(path: Path) -> list[IncidentRecord]:
    """Read a file of incidents as `write_lines` and the server's jsonl sink write it."""
    decoder = msgspec.json.Decoder(IncidentRecord)
    return [decoder.decode(line) for line in path.read_bytes().splitlines() if line]


def write_lines(path: Path, records: Sequence[msgspec.Struct]) -> None:
    """Write one line of JSON for each record."""
    _write(path, b"".join(msgspec.json.encode(item) + b"\n" for item in records))


def write_json(path: Path, value: msgspec.Struct | Mapping[str, object]) -> None:
    """Write one value as indented JSON."""
    _write(path, msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file."""
    _write(path, text.encode())


def _write(path: Path, data: bytes) -> None:
    part = path.with_name(f"{path.name}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}; free space or choose another folder with --out"
        ) from error
    finally:
        part.unlink(missing_ok=True)
