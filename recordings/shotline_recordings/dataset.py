"""A dataset in memory: scenes with sites, weather, sound, detections and truth.

The format on disk is described in ``recordings/README.md``; `load_dataset` reads it, `save_dataset` writes it.
Loaders of foreign data (`shotline_recordings.pittsburgh`) make the same values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from shotline.atmosphere import WeatherTimeline
from shotline.domain import ClockState, DetectionId, Site
from shotline.geodesy import LocalFrame
from shotline.messages import Detection

__all__ = ["Dataset", "PulseSet", "Recording", "Scene", "TruthEvent"]


@dataclass(frozen=True, slots=True)
class Recording:
    """One node's sound: a mono WAV or FLAC file whose first sample has a known instant.

    ``full_scale_db_spl`` is the peak level of digital full scale; None when the microphone is not calibrated.
    """

    node: str
    path: Path
    start_time_ns: int
    event: str = ""
    clock_state: ClockState = ClockState.PPS
    clock_sigma_ns: int = 1_000
    full_scale_db_spl: float | None = None


@dataclass(frozen=True, slots=True)
class PulseSet:
    """The detections that somebody else grouped into one shot."""

    event: str
    shot_index: int
    detections: tuple[DetectionId, ...]


@dataclass(frozen=True, slots=True)
class TruthEvent:
    """What really happened: rounds fired at one place.

    Parameters
    ----------
    event : str
        Name, unique in the scene.
    x_m, y_m, z_m : float
        Position in the scene's frame.
    sigma_m : float
        1-sigma error of that position, per axis: nobody may claim to be better than the truth.
    rounds : int
    shot_times_ns : tuple[int, ...]
        Discharge instants as far as known; may be fewer than ``rounds``.
    window_ns : tuple[int, int]
        First and last instant at which the event's sound can be in the data.
    kind : str
        "gunshot" for what must be found; anything else is a confuser that must not be.
    label : str
        Weapon or source, for people.
    """

    event: str
    x_m: float
    y_m: float
    z_m: float
    sigma_m: float
    rounds: int
    shot_times_ns: tuple[int, ...]
    window_ns: tuple[int, int]
    kind: str = "gunshot"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One place with one set of sites, and what was heard there."""

    name: str
    frame: LocalFrame | None
    sites: tuple[Site, ...]
    weather: WeatherTimeline
    recordings: tuple[Recording, ...] = ()
    detections: tuple[Detection, ...] = ()
    pulse_sets: tuple[PulseSet, ...] = ()
    truth: tuple[TruthEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Scenes from one source under one licence. ``warnings`` names every quirk that was tolerated, with its count."""

    name: str
    licence: str
    source: str
    scenes: tuple[Scene, ...]
    warnings: tuple[str, ...] = ()
