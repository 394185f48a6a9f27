"""The words of the domain, as frozen values. What they mean is in docs/glossary.md.

Positions are metres in the local east-north-up frame (`shotline.geodesy.LocalFrame`, or an arbitrary Cartesian frame);
instants are UTC nanoseconds; ``sigma_`` is one standard deviation; residual = observed - predicted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from shotline.atmosphere import Weather
from shotline.errors import InputError

__all__ = [
    "GUNSHOT_INDEX",
    "NODE_ID_PATTERN",
    "Arrival",
    "ArrivalVerdict",
    "CheckStatus",
    "ClockState",
    "DetectionId",
    "Ellipse",
    "FireMode",
    "FiringPlace",
    "ImpulseKind",
    "Incident",
    "IncidentState",
    "Location",
    "LostHypothesis",
    "Movement",
    "NoLocation",
    "NoLocationReason",
    "Root",
    "Shot",
    "Silence",
    "Site",
]

NODE_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$"
"""What a node id may look like, wherever one is read; at most 64 characters."""

_DETECTION_ID = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.:-]{0,63})/([0-9a-f]{1,16})/([0-9]{1,19})", re.ASCII)


class ImpulseKind(StrEnum):
    """What a classifier may call a sound. Kinds of impulse only: no speech, no people."""

    GUNSHOT = "gunshot"
    FIREWORK = "firework"
    THUNDER = "thunder"
    IMPACT = "impact"
    OTHER_IMPULSE = "other_impulse"
    BACKGROUND = "background"


GUNSHOT_INDEX = tuple(ImpulseKind).index(ImpulseKind.GUNSHOT)
"""Of the gunshot among the probabilities that a classifier gives, which are in the order of `ImpulseKind`."""


class CheckStatus(StrEnum):
    """What came of a check, from good to bad."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


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

    @classmethod
    def parse(cls, text: str) -> DetectionId:
        """Return the identity whose text it is.

        Raises
        ------
        InputError
            It is not the text of one.
        """
        match = _DETECTION_ID.fullmatch(text)
        uid = cls(match[1], int(match[2], 16), int(match[3])) if match else None
        if uid is None or max(uid.boot, uid.sequence) >= 2**63:
            raise InputError(f"'{text[:120]}' is not a detection; write it like roof-03/5f/812")
        return uid


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
        Peak level; comparable between nodes only when calibrated. NaN when nobody measured it.
    gunshot_probability : float | None
        From the node's classifier; None when nothing classified it.
    model_id : str
        Of that classifier; "" when nobody knows.
    """

    uid: DetectionId
    site: Site
    time_ns: int
    sigma_s: float = 0.001
    snr_db: float = 20.0
    level_db: float = math.nan
    gunshot_probability: float | None = None
    model_id: str = ""


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
    """One solution: a place and an instant that explain the arrivals.

    Parameters
    ----------
    x_m, y_m : float
    origin_time_ns : int
    weight : float
        Posterior probability of this solution against the others.
    """

    x_m: float
    y_m: float
    origin_time_ns: int
    weight: float = 1.0


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
        Other solutions that the arrivals do not rule out, with their weights.
    weight : float
        Posterior probability of this solution against the alternatives.
    ellipse50, ellipse90 : Ellipse | None
        As ``ellipse95``, smaller; None only where nobody computed them.
    region95 : tuple of rings, each a tuple of (x_m, y_m)
        Where the truth is with probability 95 % when an ellipse does not say it well: outside the array, or with two
        solutions. Closed rings, first point not repeated; empty when the ellipse says it.
    z_sigma_m : float | None
        1-sigma of the height, where it was solved for.
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
    weight: float = 1.0
    ellipse50: Ellipse | None = None
    ellipse90: Ellipse | None = None
    region95: tuple[tuple[tuple[float, float], ...], ...] = ()
    z_sigma_m: float | None = None


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
class Silence:
    """A node that was listening when the sound passed and reported nothing.

    Parameters
    ----------
    node : str
    distance_m : float
    probability : float
        That it would have reported this shot.
    """

    node: str
    distance_m: float
    probability: float


@dataclass(frozen=True, slots=True)
class LostHypothesis:
    """Another place and instant that was considered for some of the same arrivals, and why it lost.

    Parameters
    ----------
    x_m, y_m : float
    origin_time_ns : int
    nodes : int
        Nodes whose arrivals it would have explained.
    log_evidence : float
        Log odds against unrelated impulses, natural logarithm; the shot's own is `Shot.log_evidence`.
    reason : str
    """

    x_m: float
    y_m: float
    origin_time_ns: int
    nodes: int
    log_evidence: float
    reason: str


@dataclass(frozen=True, slots=True)
class Shot:
    """One located discharge, with its evidence.

    Parameters
    ----------
    location : Location
        Its verdicts are about the arrivals that association gave to this shot.
    probability : float
        That this was a gunshot.
    log_evidence : float | None
        Log odds, natural logarithm, that one sound rather than unrelated impulses made these arrivals and silences;
        None where nobody associated.
    passed_over : tuple[ArrivalVerdict, ...]
        Arrivals near this shot's predictions that were not given to it, with residual and reason.
    silent : tuple[Silence, ...]
        Nodes that should have heard and did not, likeliest first.
    lost : tuple[LostHypothesis, ...]
        Hypotheses considered for the same arrivals, best first, and why they lost.
    weather : Weather | None
        The air that it was located with; None where nobody kept it.
    """

    location: Location
    probability: float
    log_evidence: float | None = None
    passed_over: tuple[ArrivalVerdict, ...] = ()
    silent: tuple[Silence, ...] = ()
    lost: tuple[LostHypothesis, ...] = ()
    weather: Weather | None = None


class IncidentState(StrEnum):
    """Life of an incident: the first sound fix, then improvements; people decide the rest.

    Retracted: later evidence, such as nodes that stayed silent, no longer supports any of its shots.
    """

    PROVISIONAL = "provisional"
    REVISED = "revised"
    RETRACTED = "retracted"


class FireMode(StrEnum):
    """How the rounds of one place follow each other."""

    SINGLE = "single"
    SEMI_AUTOMATIC = "semi_automatic"
    """Each round has a pull of the trigger of its own; also any weapon worked by hand."""
    AUTOMATIC = "automatic"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True, slots=True)
class FiringPlace:
    """One of the places that the rounds of an incident came from.

    Parameters
    ----------
    x_m, y_m : float
    covariance_m2, ellipse95
        Of that position; see `Location`.
    rounds : tuple[int, ...]
        Which of the incident's shots, counted from 0.
    cadence_rounds_per_min : float | None
        Median cadence; None for a single round.
    fire_mode : FireMode
    """

    x_m: float
    y_m: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: Ellipse
    rounds: tuple[int, ...]
    cadence_rounds_per_min: float | None
    fire_mode: FireMode


@dataclass(frozen=True, slots=True)
class Movement:
    """A shooter who moved while firing.

    Parameters
    ----------
    speed_mps : float
    speed_sigma_mps : float
    heading_deg : float
        Clockwise from north (+y).
    p_value : float
        Chance of so clear a movement from rounds of one place.
    """

    speed_mps: float
    speed_sigma_mps: float
    heading_deg: float
    p_value: float


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
    rounds_low, rounds_high : int | None
        Interval that holds the true number of rounds with probability 90 %; None where nobody computed it.
    fire_mode : FireMode
        Of the place with the clearest; `UNDETERMINED` unless its probability is 0.9 or more.
    fire_mode_probability : float | None
        Of the likeliest mode, determined or not.
    places : tuple[FiringPlace, ...]
        The least number of places that explain the rounds, by first round.
    places_p_value : float | None
        Chance of so clear a second place from rounds of one; None with one place.
    shooters_least : int
        So many shooters there were at least: nobody could have gone from place to place between the rounds.
    movement : Movement | None
        Only where significant, and from one place.
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
    rounds_low: int | None = None
    rounds_high: int | None = None
    fire_mode: FireMode = FireMode.UNDETERMINED
    fire_mode_probability: float | None = None
    places: tuple[FiringPlace, ...] = ()
    places_p_value: float | None = None
    shooters_least: int = 1
    movement: Movement | None = None

    @property
    def rounds(self) -> int:
        """Number of shots found."""
        return len(self.shots)
