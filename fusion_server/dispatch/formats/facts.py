"""What every format says of an alert, in one place, so that all of them say the same. Pure.

References
----------
[Siouris1993] Appendix: for two independent normal errors of equal sigma, 95 % lie within 2.4477 sigma.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from fusion_server.dispatch.sink import Alert
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S

__all__ = [
    "Identity",
    "degrees",
    "ellipse_ring_deg",
    "exact_facts",
    "headline",
    "is_withdrawn",
    "marks",
    "sigma_m",
    "with_offset",
]

_WITHDRAWN_STATES = ("retracted", "dismissed")
_SIGMAS_95 = math.sqrt(-2.0 * math.log(0.05))
_VERTICES = 36


@dataclass(frozen=True, slots=True)
class Identity:
    """Who speaks.

    Parameters
    ----------
    name : str
        Name of this system, like a host name: unique, the same for ever. Ids in other formats are made with it.
    operator : str
        Who runs it, for people to read.
    agency_role, agency_type : str
        What the operator is to an incident, in the words of NENA's and IANA's registries; only an EIDO says so.
    """

    name: str
    operator: str
    agency_role: str = "Dispatching"
    agency_type: str = "psap"


def degrees(record: IncidentRecord) -> tuple[float, float]:
    """Return latitude and longitude, WGS-84.

    Raises
    ------
    InputError
        The network has no geodetic origin.
    """
    if record.lat_deg is None or record.lon_deg is None:
        raise InputError(
            f"incident '{record.id}' has no degrees, which this format needs; give the network an origin with [frame]"
        )
    return record.lat_deg, record.lon_deg


def ellipse_ring_deg(record: IncidentRecord) -> list[tuple[float, float]]:
    """Return the outline of the 95 % ellipse as (latitude, longitude), counter-clockwise, closed."""
    lat_deg, lon_deg = degrees(record)
    frame = LocalFrame(lat_deg, lon_deg)
    ellipse = record.ellipse95
    angle = math.radians(ellipse.orientation_deg)
    ring = []
    for step in range(_VERTICES):
        turn = 2.0 * math.pi * step / _VERTICES
        along_m, across_m = ellipse.semi_major_m * math.cos(turn), ellipse.semi_minor_m * math.sin(turn)
        east_m = along_m * math.sin(angle) - across_m * math.cos(angle)
        north_m = along_m * math.cos(angle) + across_m * math.sin(angle)
        ring.append(frame.to_geodetic(east_m, north_m)[:2])
    return [*ring, ring[0]]


def sigma_m(record: IncidentRecord) -> float:
    """Return the circular 1-sigma error: the root mean square of the ellipse's two sigmas [Siouris1993]."""
    ellipse = record.ellipse95
    return math.sqrt((ellipse.semi_major_m**2 + ellipse.semi_minor_m**2) / 2.0) / _SIGMAS_95


def with_offset(time_utc: str) -> str:
    """Return the second that an instant is in, with a numeric offset, such as ``2018-12-19T00:49:28+00:00``."""
    second_ns = parse_utc(time_utc) // NS_PER_S * NS_PER_S
    return format_utc(second_ns, digits=0).removesuffix("Z") + "+00:00"


def is_withdrawn(record: IncidentRecord) -> bool:
    """Say whether an incident is no longer one: retracted by the evidence, or dismissed by a person."""
    return record.state in _WITHDRAWN_STATES


def marks(alert: Alert) -> str:
    """Return ``TEST``, ``REPLAY`` or both with a blank after, to stand before any title; "" for a live alert."""
    return f"{alert.banner} " if alert.banner else ""


def headline(alert: Alert) -> str:
    """Return one line: marks, rounds, state, revision."""
    record = alert.record
    rounds = "1 round" if record.rounds == 1 else f"{record.rounds} rounds"
    return f"{marks(alert)}Gunfire, {rounds}: {record.state}, revision {record.revision}"


def exact_facts(alert: Alert) -> dict[str, str]:
    """Return the numbers as text under their names with units, for formats that have room for names and values."""
    record, ellipse = alert.record, alert.record.ellipse95
    facts = {
        "incident_id": record.id,
        "revision": str(record.revision),
        "state": record.state,
        "time_utc": record.time_utc,
        "last_time_utc": record.last_time_utc,
        "as_of_utc": record.as_of_utc,
        "rounds": str(record.rounds),
        "probability": f"{record.probability:.4f}",
        "cep50_m": f"{record.cep50_m:.3f}",
        "cep95_m": f"{record.cep95_m:.3f}",
        "ellipse95_semi_major_m": f"{ellipse.semi_major_m:.3f}",
        "ellipse95_semi_minor_m": f"{ellipse.semi_minor_m:.3f}",
        "ellipse95_orientation_deg": f"{ellipse.orientation_deg:.2f}",
        "test": str(alert.test).lower(),
        "replay": str(alert.replay).lower(),
    }
    if record.lat_deg is not None and record.lon_deg is not None:
        facts |= {"lat_deg": f"{record.lat_deg:.8f}", "lon_deg": f"{record.lon_deg:.8f}"}
    return facts
