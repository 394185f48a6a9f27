"""A settled shot as the self-check takes it: where it was, who heard it when, and who should have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fusion_server.associate.settings import AssociateSettings
from fusion_server.hearing import Outcome, hearing
from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.messages import Detection
from shotline.records import ArrivalRecord, IncidentRecord, ShotRecord
from shotline.timebase import parse_utc
from shotline.units import seconds_from_ns

__all__ = ["CheckedArrival", "CheckedShot", "shots_of_record"]

_PICKING_SIGMA_S = 0.0005
"""Of an onset, where nobody kept how good it was."""
_SAME_PLACE_M = 60.0
_BESIDE_S = 0.12
"""A sound of a node that fusion did not ask is looked for so far from its prediction."""


@dataclass(frozen=True, slots=True)
class CheckedArrival:
    """What one node heard of a shot.

    Parameters
    ----------
    node : str
    time_ns : int
        UTC of the onset.
    sigma_s : float
        1-sigma of that: clock and onset.
    level_db : float
        Peak level, against whatever the node reckons from; NaN when nobody measured it.
    in_fix : bool
        Whether the fix was made with it.
    """

    node: str
    time_ns: int
    sigma_s: float = _PICKING_SIGMA_S
    level_db: float = math.nan
    in_fix: bool = True


@dataclass(frozen=True, slots=True)
class CheckedShot:
    """One located sound.

    Parameters
    ----------
    time_ns : int
        UTC of the discharge.
    x_m, y_m, z_m : float
        Where it was located, in the frame of the nodes.
    cep95_m : float
    weather : Weather
    arrivals : tuple of CheckedArrival
        One a node.
    expected : mapping of str to float
        Probability that a node reports it, of those that listened or heard.
    """

    time_ns: int
    x_m: float
    y_m: float
    z_m: float
    cep95_m: float
    weather: Weather
    arrivals: tuple[CheckedArrival, ...]
    expected: Mapping[str, float]


def shots_of_record(
    record: IncidentRecord,
    sites: Sequence[Site],
    *,
    settings: AssociateSettings,
    detections: Mapping[str, Detection],
    set_aside: Mapping[str, Sequence[Detection]] | None = None,
) -> tuple[CheckedShot, ...]:
    """Return the shots of an incident that can be checked: of each place the round that most nodes heard.

    Rounds from one place within seconds tell nothing new of paths and clocks. Left out is what was located in a weather
    that nobody kept.

    Parameters
    ----------
    record : IncidentRecord
        Settled: its last revision.
    sites : sequence of Site
    settings : AssociateSettings
        Those of fusion.
    detections : mapping of str to Detection
        By the text of their identity; of one that is not there, the sigma is 0.5 ms.
    set_aside : mapping of str to sequence of Detection
        By node: detections of nodes in quarantine that were alive then, which no shot was given. The one nearest to
        what a shot lets expect is taken, within 0.12 s.
    """
    by_node = {site.node: site for site in sites}
    found = []
    for shot, heard in zip(record.shots, hearing(record, sites, settings), strict=True):
        if shot.weather is None:
            continue
        arrivals = {
            item.node: _arrival(item, detections.get(item.detection), in_fix=item.used)
            for item in shot.arrivals
            if item.node in by_node and item.residual_s is not None
        }
        for item in shot.passed_over:
            if item.node in by_node and item.node not in arrivals and item.residual_s is not None:
                nearest = min(
                    (other for other in shot.passed_over if other.node == item.node and other.residual_s is not None),
                    key=lambda other: abs(other.residual_s or 0.0),
                )
                arrivals[item.node] = _arrival(nearest, detections.get(nearest.detection), in_fix=False)
        weather = shot.weather.to_weather()
        for node, several in (set_aside or {}).items():
            if node in by_node and node not in arrivals:
                arrivals |= _nearest(shot, by_node[node], weather, several)
        expected = {
            item.node: item.expected_probability
            for item in heard
            if item.expected_probability is not None
            and (item.outcome is not Outcome.SILENT or item.node in (set_aside or {}))
        }
        found.append(
            CheckedShot(
                time_ns=parse_utc(shot.time_utc),
                x_m=shot.x_m,
                y_m=shot.y_m,
                z_m=_height_m(shot, sites),
                cep95_m=shot.cep95_m,
                weather=weather,
                arrivals=tuple(arrivals[node] for node in sorted(arrivals)),
                expected=expected,
            )
        )
    return _one_a_place(found)


def _one_a_place(shots: Sequence[CheckedShot]) -> tuple[CheckedShot, ...]:
    kept: list[CheckedShot] = []
    for shot in sorted(shots, key=lambda item: (-len(item.arrivals), item.time_ns)):
        if all(math.hypot(shot.x_m - other.x_m, shot.y_m - other.y_m) > _SAME_PLACE_M for other in kept):
            kept.append(shot)
    return tuple(sorted(kept, key=lambda item: item.time_ns))


def _height_m(shot: ShotRecord, sites: Sequence[Site]) -> float:
    """Return the height of a shot; in a planar fix, that of the nodes."""
    if shot.z_m is not None:
        return shot.z_m
    return math.fsum(site.z_m for site in sites) / max(len(sites), 1)


def _arrival(item: ArrivalRecord, detection: Detection | None, *, in_fix: bool) -> CheckedArrival:
    sigma_s = _PICKING_SIGMA_S
    if detection is not None:
        sigma_s = math.hypot(seconds_from_ns(detection.arrival_sigma_ns), _PICKING_SIGMA_S)
    level_db = math.nan if item.level_db is None else item.level_db
    return CheckedArrival(item.node, parse_utc(item.time_utc), sigma_s, level_db, in_fix)


def _nearest(shot: ShotRecord, site: Site, weather: Weather, several: Sequence[Detection]) -> dict[str, CheckedArrival]:
    straight_s = math.hypot(site.x_m - shot.x_m, site.y_m - shot.y_m) / weather.speed_of_sound_mps
    due_ns = parse_utc(shot.time_utc) + round(straight_s * 1e9)
    near = [item for item in several if abs(item.arrival_time_ns - due_ns) <= _BESIDE_S * 1e9]
    if not near:
        return {}
    best = min(near, key=lambda item: abs(item.arrival_time_ns - due_ns))
    sigma_s = math.hypot(seconds_from_ns(best.arrival_sigma_ns), _PICKING_SIGMA_S)
    level_db = math.nan if best.peak_level_db is None else best.peak_level_db
    return {site.node: CheckedArrival(site.node, best.arrival_time_ns, sigma_s, level_db, False)}
