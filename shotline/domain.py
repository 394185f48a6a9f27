"""The words of the domain, as frozen values. What they mean is in docs/glossary.md.

Positions are metres in the local east-north-up frame (`shotline.geodesy.LocalFrame`, or an arbitrary Cartesian frame);
instants are UTC nanoseconds; ``sigma_`` is one standard deviation; residual = observed - predicted.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

__all__ = [
    "NODE_ID_PATTERN",
    "Arrival",
    "ArrivalVerdict",
    "ClockState",
    "DetectionId",
    "Ellipse",
    "ImpulseKind",
    "Incident",
    "IncidentState",
    "Location",
    "NoLocation",
    "NoLocationReason",
    "Root",
    "Shot",
    "Site",
]

NODE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
"""What a node id may look like, wherever one is read; at most 64 characters."""


class ImpulseKind(StrEnum):
    """What a classifier may call a sound. Kinds of impulse only: no speech, no people."""

    GUNSHOT = "gunshot"
    FIREWORK = "firework"
    THUNDER = "thunder"
    IMPACT = "impact"
    OTHER_IMPULSE = "other_impulse"
    BACKGROUND = "background"


class ClockState(StrEnum):
    """How a node knows the time, from not at all to pulse-per-second recorded beside the sound."""

    UNTIMED = "untimed"
    NTP = "ntp"
    PPS = "pps"
    PPS_AUDIO = "pps_audio"
    HOLDOVER = "holdover"


class DetectionId(NamedTuple):
    """Identity of a detection: unique for ever, the same on every resend."""

    node: str
    boot: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.node}/{self.boot:x}/{self.sequence}"


@dataclass(frozen=True, slots=True)
class Site:
    """A surveyed node.

    Parameters
    ----------
    node : str
        Node id.
    x_m, y_m, z_m : float
        Position of the microphone in the local frame.
    sigma_m : float
        1-sigma error of the horizontal position, per axis.
    """

    node: str
    x_m: float
    y_m: float
    z_m: float = 0.0
    sigma_m: float = 1.0


@dataclass(frozen=True, slots=True)
class Arrival:
    """A detection at a surveyed site.

    Parameters
    ----------
    uid : DetectionId
        The detection this came from.
    site : Site
        Where it was heard.
    time_ns : int
        UTC of the onset.
    sigma_s : float
        1-sigma of that time: clock and picking, not the path.
    snr_db : float
        Peak over noise floor.
    level_db : float
        Peak level; comparable between nodes only when calibrated.
    gunshot_probability : float | None
        From the node's classifier; None when nothing classified it.
    """

    uid: DetectionId
    site: Site
    time_ns: int
    sigma_s: float = 0.001
    snr_db: float = 20.0
    level_db: float = 0.0
    gunshot_probability: float | None = None


@dataclass(frozen=True, slots=True)
class ArrivalVerdict:
    """What became of one arrival in a fix.

    Parameters
    ----------
    arrival : Arrival
    residual_s : float
        Observed minus predicted arrival time.
    used : bool
        Whether the fix rests on it.
    reason : str
        "" when used at full weight; else why it was left out or weighted down.
    """

    arrival: Arrival
    residual_s: float
    used: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A confidence ellipse. ``orientation_deg`` is the major axis, degrees clockwise from north (+y), in [0, 180)."""

    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float


@dataclass(frozen=True, slots=True)
class Root:
    """One physical solution of a minimal set: a place and an instant that explain every arrival given."""

    x_m: float
    y_m: float
    origin_time_ns: int


@dataclass(frozen=True, slots=True)
class Location:
    """Where and when, with an honest error.

    Parameters
    ----------
    x_m, y_m : float
        Position in the local frame.
    z_m : float | None
        Height, only from a 3-D fix or when it was given.
    origin_time_ns : int
        UTC of the discharge.
    origin_sigma_s : float
        1-sigma of that instant.
    covariance_m2 : tuple[tuple[float, float], tuple[float, float]]
        Horizontal covariance (x, y), systematic term included.
    ellipse95 : Ellipse
    cep50_m, cep95_m : float
        Radius about the fix that holds the truth with probability 50 and 95 %.
    gdop : float
        Horizontal metres of error per metre of range error.
    rms_residual_s : float
        Over the used arrivals.
    verdicts : tuple[ArrivalVerdict, ...]
        Every arrival given, used or not, in time order.
    alternatives : tuple[Root, ...]
        Other solutions that the arrivals do not rule out.
    """

    x_m: float
    y_m: float
    z_m: float | None
    origin_time_ns: int
    origin_sigma_s: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: Ellipse
    cep50_m: float
    cep95_m: float
    gdop: float
    rms_residual_s: float
    verdicts: tuple[ArrivalVerdict, ...]
    alternatives: tuple[Root, ...] = ()


class NoLocationReason(StrEnum):
    """Why arrivals do not allow a fix."""

    TOO_FEW_NODES = "too_few_nodes"
    BAD_INPUT = "bad_input"
    DEGENERATE_GEOMETRY = "degenerate_geometry"
    TWO_ROOTS = "two_roots"
    NO_ROOT = "no_root"
    INCONSISTENT = "inconsistent"


@dataclass(frozen=True, slots=True)
class NoLocation:
    """No fix, and why: what was seen, what was expected.

    ``roots`` holds every physical solution when there are several and nothing to choose between them.
    """

    reason: NoLocationReason
    detail: str
    roots: tuple[Root, ...] = ()


@dataclass(frozen=True, slots=True)
class Shot:
    """One located discharge, with its evidence inside ``location``."""

    location: Location
    probability: float


class IncidentState(StrEnum):
    """Life of an incident: the first sound fix, then improvements; people decide the rest.

    Retracted: later evidence, such as nodes that stayed silent, no longer supports any of its shots.
    """

    PROVISIONAL = "provisional"
    REVISED = "revised"
    RETRACTED = "retracted"


@dataclass(frozen=True, slots=True)
class Incident:
    """Shots close in place and time, under one id that never changes.

    Parameters
    ----------
    incident_id : str
        Derived from the first fix; recomputable from the detections.
    revision : int
        1 for the first fix, then counting up.
    state : IncidentState
    shots : tuple[Shot, ...]
        In order of origin time.
    x_m, y_m : float
        Covariance-weighted position of the shots.
    covariance_m2, ellipse95, cep50_m, cep95_m
        Of that position; see `Location`.
    probability : float
        That this was gunfire.
    cadence_rounds_per_min : float | None
        Median cadence; None for a single round.
    as_of_ns : int
        Event time at which this revision was concluded.
    """

    incident_id: str
    revision: int
    state: IncidentState
    shots: tuple[Shot, ...]
    x_m: float
    y_m: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: Ellipse
    cep50_m: float
    cep95_m: float
    probability: float
    cadence_rounds_per_min: float | None
    as_of_ns: int

    @property
    def rounds(self) -> int:
        """Number of shots found."""
        return len(self.shots)
