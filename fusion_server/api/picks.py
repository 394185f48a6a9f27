"""What a clip is drawn against: for each round and node the pick, its error, and when the sound was due. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.propagation import travel_time_s
from shotline.records import ArrivalRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import ns_from_seconds

__all__ = ["PickRecord", "pick_records"]


class PickRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One node in one round.

    ``predicted_utc`` is when the sound was due at the node; ``predicted_by`` says who says so: ``fix`` is the arrival
    less its residual, ``weather`` the travel time from the solved place in the air that the fix used. Both are null
    when neither is known. ``detection``, ``time_utc``, ``residual_s`` and ``sigma_s`` are null for a node that
    reported nothing in this round; ``sigma_s`` (clock and picking, not the path) also when the detection is not kept.
    """

    round: int
    node: str
    detection: str | None
    time_utc: str | None
    sigma_s: float | None
    predicted_utc: str | None
    predicted_by: str | None
    residual_s: float | None
    used: bool
    reason: str


def pick_records(
    record: IncidentRecord, nodes: Iterable[str], sites: Mapping[str, Site], sigmas_s: Mapping[str, float]
) -> list[PickRecord]:
    """Return the picks of every round, and what was due at the given nodes where they reported nothing.

    Parameters
    ----------
    record : IncidentRecord
    nodes : iterable of str
        Whose sound is kept.
    sites : mapping of str to Site
    sigmas_s : mapping of str to float
        1-sigma of the picks, by the text of the detection's identity.
    """
    nodes = sorted(set(nodes))
    picks: list[PickRecord] = []
    for number, shot in enumerate(record.shots, start=1):
        arrivals = [*shot.arrivals, *shot.passed_over]
        picks += [_heard(number, item, sigmas_s.get(item.detection)) for item in arrivals]
        heard = {item.node for item in arrivals}
        picks += [_due(number, shot, node, sites.get(node)) for node in nodes if node not in heard]
    return picks


def _heard(number: int, arrival: ArrivalRecord, sigma_s: float | None) -> PickRecord:
    predicted_utc = None
    if arrival.residual_s is not None:
        predicted_ns = parse_utc(arrival.time_utc) - ns_from_seconds(arrival.residual_s)
        predicted_utc = format_utc(predicted_ns, digits=9)
    return PickRecord(
        round=number,
        node=arrival.node,
        detection=arrival.detection,
        time_utc=arrival.time_utc,
        sigma_s=sigma_s,
        predicted_utc=predicted_utc,
        predicted_by=None if predicted_utc is None else "fix",
        residual_s=arrival.residual_s,
        used=arrival.used,
        reason=arrival.reason,
    )


def _due(number: int, shot: ShotRecord, node: str, site: Site | None) -> PickRecord:
    predicted_utc = None
    if site is not None and shot.weather is not None:
        travel_s = _travel_s(shot, site, shot.weather.to_weather())
        predicted_ns = parse_utc(shot.time_utc) + ns_from_seconds(travel_s)
        predicted_utc = format_utc(predicted_ns, digits=9)
    return PickRecord(
        round=number,
        node=node,
        detection=None,
        time_utc=None,
        sigma_s=None,
        predicted_utc=predicted_utc,
        predicted_by=None if predicted_utc is None else "weather",
        residual_s=None,
        used=False,
        reason="",
    )


def _travel_s(shot: ShotRecord, site: Site, weather: Weather) -> float:
    rise_m = 0.0 if shot.z_m is None else site.z_m - shot.z_m
    path_m = np.array([[site.x_m - shot.x_m, site.y_m - shot.y_m, rise_m]])
    wind_mps = np.array([*weather.wind_enu_mps, 0.0])
    travel_s = travel_time_s(np.zeros(3), path_m, speed_of_sound_mps=weather.speed_of_sound_mps, wind_mps=wind_mps)
    return float(travel_s[0])
