"""The incident as JSON: one shape for files, history, API, webhooks and scoring.

Written by the fusion server, read by everybody. Instants are ISO 8601 text with ``Z``. ``x_m, y_m`` are always there;
``lat_deg, lon_deg`` too when the network has a geodetic origin.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import msgspec

from shotline.atmosphere import Weather
from shotline.domain import (
    ArrivalVerdict,
    Ellipse,
    FiringPlace,
    Incident,
    LostHypothesis,
    Movement,
    Root,
    Shot,
    Silence,
)
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc

__all__ = [
    "ALERT_NOTICE",
    "AlternativeRecord",
    "ArrivalRecord",
    "EllipseRecord",
    "FiringPlaceRecord",
    "HypothesisRecord",
    "IncidentRecord",
    "MovementRecord",
    "ShotRecord",
    "SilenceRecord",
    "WeatherRecord",
    "incident_record",
]

ALERT_NOTICE = (
    "Automatic acoustic estimate of a place, with its error. By itself it is not grounds for a stop, search or arrest."
)

_Matrix = tuple[tuple[float, float], tuple[float, float]]


class EllipseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A confidence ellipse; the orientation is the major axis, degrees clockwise from north (+y)."""

    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float


class ArrivalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival given to a fix, used or not; without a residual where it did not take part."""

    node: str
    detection: str
    time_utc: str
    residual_s: float | None
    used: bool
    reason: str
    snr_db: float
    level_db: float | None
    gunshot_probability: float | None = None


class AlternativeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Another place and instant that the same arrivals do not rule out, and its posterior probability."""

    time_utc: str
    x_m: float
    y_m: float
    weight: float


class SilenceRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A node that was listening and reported nothing, and the probability that it should have."""

    node: str
    distance_m: float
    probability: float


class HypothesisRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Another place and instant that was considered for some of the same arrivals, and why it lost."""

    time_utc: str
    x_m: float
    y_m: float
    nodes: int
    log_evidence: float
    reason: str


class WeatherRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The air that a shot was located with, to the last bit; see `shotline.atmosphere.Weather`."""

    temperature_c: float
    wind_speed_mps: float
    wind_from_deg: float
    humidity_percent: float
    temperature_sigma_c: float | None
    wind_sigma_mps: float | None

    def to_weather(self) -> Weather:
        """Return it as the locator takes it."""
        return Weather(**msgspec.structs.asdict(self))


class ShotRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One located discharge."""

    time_utc: str
    x_m: float
    y_m: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: EllipseRecord
    cep50_m: float
    cep95_m: float
    gdop: float
    rms_residual_s: float
    probability: float
    arrivals: tuple[ArrivalRecord, ...]
    z_m: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    ellipse50: EllipseRecord | None = None
    ellipse90: EllipseRecord | None = None
    region95_m: tuple[tuple[tuple[float, float], ...], ...] = ()
    weight: float = 1.0
    alternatives: tuple[AlternativeRecord, ...] = ()
    z_sigma_m: float | None = None
    log_evidence: float | None = None
    passed_over: tuple[ArrivalRecord, ...] = ()
    silent: tuple[SilenceRecord, ...] = ()
    lost: tuple[HypothesisRecord, ...] = ()
    weather: WeatherRecord | None = None


class FiringPlaceRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One of the places that rounds came from; ``rounds`` are positions in the incident's ``shots``, from 0."""

    x_m: float
    y_m: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: EllipseRecord
    rounds: tuple[int, ...]
    fire_mode: str
    cadence_rounds_per_min: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None


class MovementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How the shooter moved; the heading is in degrees clockwise from north."""

    speed_mps: float
    speed_sigma_mps: float
    heading_deg: float
    p_value: float


class IncidentRecord(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One incident at one revision."""

    id: str
    revision: int
    state: str
    time_utc: str
    last_time_utc: str
    as_of_utc: str
    rounds: int
    x_m: float
    y_m: float
    covariance_m2: tuple[tuple[float, float], tuple[float, float]]
    ellipse95: EllipseRecord
    cep50_m: float
    cep95_m: float
    probability: float
    shots: tuple[ShotRecord, ...]
    notice: str
    cadence_rounds_per_min: float | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    scene: str = ""
    rounds_low: int | None = None
    rounds_high: int | None = None
    fire_mode: str | None = None
    fire_mode_probability: float | None = None
    places: tuple[FiringPlaceRecord, ...] = ()
    places_p_value: float | None = None
    shooters_least: int = 1
    movement: MovementRecord | None = None


def incident_record(incident: Incident, frame: LocalFrame | None, *, scene: str = "") -> IncidentRecord:
    """Return the JSON shape of an incident.

    Parameters
    ----------
    incident : Incident
    frame : LocalFrame | None
        The network's frame; None for an arbitrary Cartesian one, which gives no degrees.
    scene : str
        Name of the scene in a replayed dataset.
    """
    lat_deg, lon_deg = _degrees(frame, incident.x_m, incident.y_m)
    return IncidentRecord(
        id=incident.incident_id,
        revision=incident.revision,
        state=incident.state.value,
        time_utc=format_utc(incident.shots[0].location.origin_time_ns),
        last_time_utc=format_utc(incident.shots[-1].location.origin_time_ns),
        as_of_utc=format_utc(incident.as_of_ns),
        rounds=incident.rounds,
        cadence_rounds_per_min=incident.cadence_rounds_per_min,
        x_m=_mm(incident.x_m),
        y_m=_mm(incident.y_m),
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        covariance_m2=_mm2(incident.covariance_m2),
        ellipse95=_ellipse(incident.ellipse95),
        cep50_m=_mm(incident.cep50_m),
        cep95_m=_mm(incident.cep95_m),
        probability=round(incident.probability, 4),
        shots=tuple(_shot_record(shot, frame) for shot in incident.shots),
        notice=ALERT_NOTICE,
        scene=scene,
        rounds_low=incident.rounds_low,
        rounds_high=incident.rounds_high,
        fire_mode=None if incident.fire_mode_probability is None else incident.fire_mode.value,
        fire_mode_probability=_rounded(incident.fire_mode_probability, 4),
        places=tuple(_place_record(place, frame) for place in incident.places) if len(incident.places) > 1 else (),
        places_p_value=None if incident.places_p_value is None else _significant(incident.places_p_value),
        shooters_least=incident.shooters_least,
        movement=None if incident.movement is None else _movement_record(incident.movement),
    )


def _place_record(place: FiringPlace, frame: LocalFrame | None) -> FiringPlaceRecord:
    lat_deg, lon_deg = _degrees(frame, place.x_m, place.y_m)
    return FiringPlaceRecord(
        x_m=_mm(place.x_m),
        y_m=_mm(place.y_m),
        covariance_m2=_mm2(place.covariance_m2),
        ellipse95=_ellipse(place.ellipse95),
        rounds=place.rounds,
        fire_mode=place.fire_mode.value,
        cadence_rounds_per_min=place.cadence_rounds_per_min,
        lat_deg=lat_deg,
        lon_deg=lon_deg,
    )


def _movement_record(movement: Movement) -> MovementRecord:
    return MovementRecord(
        speed_mps=round(movement.speed_mps, 2),
        speed_sigma_mps=round(movement.speed_sigma_mps, 2),
        heading_deg=round(movement.heading_deg, 1),
        p_value=_significant(movement.p_value),
    )


def _shot_record(shot: Shot, frame: LocalFrame | None) -> ShotRecord:
    location = shot.location
    lat_deg, lon_deg = _degrees(frame, location.x_m, location.y_m)
    return ShotRecord(
        time_utc=format_utc(location.origin_time_ns),
        x_m=_mm(location.x_m),
        y_m=_mm(location.y_m),
        z_m=None if location.z_m is None else _mm(location.z_m),
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        covariance_m2=_mm2(location.covariance_m2),
        ellipse95=_ellipse(location.ellipse95),
        cep50_m=_mm(location.cep50_m),
        cep95_m=_mm(location.cep95_m),
        gdop=round(location.gdop, 3),
        rms_residual_s=round(location.rms_residual_s, 6),
        probability=round(shot.probability, 4),
        arrivals=_arrival_records(location.verdicts),
        ellipse50=None if location.ellipse50 is None else _ellipse(location.ellipse50),
        ellipse90=None if location.ellipse90 is None else _ellipse(location.ellipse90),
        region95_m=tuple(tuple((_mm(x_m), _mm(y_m)) for x_m, y_m in ring) for ring in location.region95),
        weight=round(location.weight, 4),
        alternatives=tuple(_alternative_record(root) for root in location.alternatives),
        z_sigma_m=_rounded(location.z_sigma_m, 3),
        log_evidence=_rounded(shot.log_evidence, 2),
        passed_over=_arrival_records(shot.passed_over),
        silent=tuple(_silence_record(silence) for silence in shot.silent),
        lost=tuple(_hypothesis_record(lost) for lost in shot.lost),
        weather=None if shot.weather is None else _weather_record(shot.weather),
    )


def _weather_record(weather: Weather) -> WeatherRecord:
    return WeatherRecord(**{name: getattr(weather, name) for name in WeatherRecord.__struct_fields__})


def _alternative_record(root: Root) -> AlternativeRecord:
    return AlternativeRecord(
        time_utc=format_utc(root.origin_time_ns), x_m=_mm(root.x_m), y_m=_mm(root.y_m), weight=round(root.weight, 4)
    )


def _silence_record(silence: Silence) -> SilenceRecord:
    return SilenceRecord(
        node=silence.node, distance_m=round(silence.distance_m, 1), probability=round(silence.probability, 3)
    )


def _hypothesis_record(lost: LostHypothesis) -> HypothesisRecord:
    return HypothesisRecord(
        time_utc=format_utc(lost.origin_time_ns),
        x_m=_mm(lost.x_m),
        y_m=_mm(lost.y_m),
        nodes=lost.nodes,
        log_evidence=round(lost.log_evidence, 2),
        reason=lost.reason,
    )


def _arrival_records(verdicts: Iterable[ArrivalVerdict]) -> tuple[ArrivalRecord, ...]:
    return tuple(
        ArrivalRecord(
            node=verdict.arrival.site.node,
            detection=str(verdict.arrival.uid),
            time_utc=format_utc(verdict.arrival.time_ns, digits=9),
            residual_s=_or_none(verdict.residual_s, digits=6),
            used=verdict.used,
            reason=verdict.reason,
            snr_db=round(verdict.arrival.snr_db, 2),
            level_db=_or_none(verdict.arrival.level_db, digits=2),
            gunshot_probability=verdict.arrival.gunshot_probability,
        )
        for verdict in verdicts
    )


def _or_none(value: float, *, digits: int) -> float | None:
    """Return a rounded number; JSON has no NaN."""
    return None if math.isnan(value) else round(value, digits)


def _degrees(frame: LocalFrame | None, x_m: float, y_m: float) -> tuple[float | None, float | None]:
    if frame is None:
        return None, None
    lat_deg, lon_deg, _ = frame.to_geodetic(x_m, y_m)
    return round(lat_deg, 8), round(lon_deg, 8)


def _ellipse(ellipse: Ellipse) -> EllipseRecord:
    return EllipseRecord(
        semi_major_m=_mm(ellipse.semi_major_m),
        semi_minor_m=_mm(ellipse.semi_minor_m),
        orientation_deg=round(ellipse.orientation_deg, 2),
    )


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def _significant(p_value: float) -> float:
    """Return a p-value with two digits that count, and none so small that nobody can mean it."""
    return float(f"{max(p_value, 1e-12):.1e}")


def _mm2(covariance_m2: _Matrix) -> _Matrix:
    """Return a covariance in whole mm²: the bits below are those of a processor and not of the place."""
    (xx, xy), (yx, yy) = covariance_m2
    return ((round(xx, 6), round(xy, 6)), (round(yx, 6), round(yy, 6)))


def _mm(length_m: float) -> float:
    return round(length_m, 3)
