"""The incident as JSON: one shape for files, history, API, webhooks and scoring.

Written by the fusion server, read by everybody. Instants are ISO 8601 text with ``Z``. ``x_m, y_m`` are always there;
``lat_deg, lon_deg`` too when the network has a geodetic origin.
"""

from __future__ import annotations

import msgspec

from shotline.domain import Ellipse, Incident, Location, Shot
from shotline.geodesy import LocalFrame
from shotline.timebase import format_utc

__all__ = ["ALERT_NOTICE", "ArrivalRecord", "EllipseRecord", "IncidentRecord", "ShotRecord", "incident_record"]

ALERT_NOTICE = (
    "Automatic acoustic estimate of a place, with its error. By itself it is not grounds for a stop, search or arrest."
)


class EllipseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A 95 % confidence ellipse; the orientation is the major axis, degrees clockwise from north (+y)."""

    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float


class ArrivalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One arrival given to a fix, used or not."""

    node: str
    detection: str
    time_utc: str
    residual_s: float
    used: bool
    reason: str
    snr_db: float
    level_db: float
    gunshot_probability: float | None = None


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
        covariance_m2=incident.covariance_m2,
        ellipse95=_ellipse(incident.ellipse95),
        cep50_m=_mm(incident.cep50_m),
        cep95_m=_mm(incident.cep95_m),
        probability=round(incident.probability, 4),
        shots=tuple(_shot_record(shot, frame) for shot in incident.shots),
        notice=ALERT_NOTICE,
        scene=scene,
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
        covariance_m2=location.covariance_m2,
        ellipse95=_ellipse(location.ellipse95),
        cep50_m=_mm(location.cep50_m),
        cep95_m=_mm(location.cep95_m),
        gdop=round(location.gdop, 3),
        rms_residual_s=round(location.rms_residual_s, 6),
        probability=round(shot.probability, 4),
        arrivals=_arrival_records(location),
    )


def _arrival_records(location: Location) -> tuple[ArrivalRecord, ...]:
    return tuple(
        ArrivalRecord(
            node=verdict.arrival.site.node,
            detection=str(verdict.arrival.uid),
            time_utc=format_utc(verdict.arrival.time_ns, digits=9),
            residual_s=round(verdict.residual_s, 6),
            used=verdict.used,
            reason=verdict.reason,
            snr_db=round(verdict.arrival.snr_db, 2),
            level_db=round(verdict.arrival.level_db, 2),
            gunshot_probability=verdict.arrival.gunshot_probability,
        )
        for verdict in location.verdicts
    )


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


def _mm(length_m: float) -> float:
    return round(length_m, 3)
