"""Which shots are one incident: close in time, and no further apart than places of one shooting and their errors."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from fusion_server.incidents.settings import IncidentSettings
from shotline.domain import DetectionId, Location, Shot
from shotline.units import ns_from_seconds

__all__ = ["belongs", "difference_covariance_m2", "incident_id"]

FloatArray = NDArray[np.float64]

_CHI2_2DOF_99 = -2.0 * math.log(0.01)
_ROUNDING = 1.0 + 1e-9


def incident_id(first_fix: Iterable[DetectionId]) -> str:
    """Return the id of an incident from the detections of its first fix: recomputable, and never changed after."""
    text = "\n".join(str(uid) for uid in sorted(first_fix))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def belongs(shot: Shot, shots: Sequence[Shot], settings: IncidentSettings) -> bool:
    """Say whether a shot is one of an incident's: near one of its shots in time and place, and far from none.

    Near is a test of the distance between two places with 99 % confidence: chi-square with two degrees of freedom, of
    the offset under the covariance of the *difference* of the two fixes plus what places of one shooting differ by.
    The first sets the reach, the second the extent, which keeps links from making a chain.
    """
    gap_ns = ns_from_seconds(settings.gap_s)
    one = shot.location
    linked = any(
        abs(one.origin_time_ns - other.location.origin_time_ns) <= gap_ns
        and _within(one, other.location, settings.reach_m, settings)
        for other in shots
    )
    return linked and all(_within(one, other.location, settings.extent_m, settings) for other in shots)


def _within(one: Location, other: Location, reach_m: float, settings: IncidentSettings) -> bool:
    dx_m, dy_m = one.x_m - other.x_m, one.y_m - other.y_m
    apart_m = math.hypot(dx_m, dy_m)
    if apart_m <= reach_m:
        return True
    # No variance of the difference is larger than the sum of all: most pairs of a loud night need no more than that.
    most_m2 = sum(location.covariance_m2[axis][axis] for location in (one, other) for axis in (0, 1))
    if apart_m**2 > _CHI2_2DOF_99 * most_m2 * _ROUNDING + reach_m**2:
        return False
    offset = np.array([dx_m, dy_m])
    covariance = difference_covariance_m2(one, other, settings) + np.eye(2) * (reach_m**2 / _CHI2_2DOF_99)
    return float(offset @ np.linalg.solve(covariance, offset)) <= _CHI2_2DOF_99


def difference_covariance_m2(one: Location, other: Location, settings: IncidentSettings) -> FloatArray:
    """Return the covariance of the difference of two fixes, shape (2, 2).

    Both are linear in their arrival times. Of an arrival's error, the path's, the survey's and most of the clock's are
    those of its node: at nodes that both fixes rest on they cancel, so far as both weigh that node alike. What is left
    of those nodes is the scatter of a repeat. Nothing that all nodes share matters. Never more than the sum of the two
    covariances, which it is where the nodes of a fix are not known.
    """
    apart: FloatArray = np.array(one.covariance_m2) + np.array(other.covariance_m2)
    gains = [_gains(location, settings) for location in (one, other)]
    if not gains[0] or not gains[1]:
        return apart
    repeat_sq = (settings.repeat_sigma_s * settings.speed_of_sound_mps) ** 2
    path_sq = (settings.path_sigma_s * settings.speed_of_sound_mps) ** 2
    covariance = np.zeros((2, 2))
    for node in sorted(gains[0].keys() | gains[1].keys()):
        first, second = (some.get(node, np.zeros(2)) for some in gains)
        covariance += path_sq * np.outer(first - second, first - second)
        covariance += repeat_sq * (np.outer(first, first) + np.outer(second, second))
    smaller: FloatArray = covariance if float(np.trace(covariance)) < float(np.trace(apart)) else apart
    return smaller


def _gains(location: Location, settings: IncidentSettings) -> dict[str, FloatArray]:
    """Return how far a fix moves when one node's pseudorange grows by a metre; nothing for fewer than four nodes."""
    used = [verdict.arrival for verdict in location.verdicts if verdict.used]
    if len(used) < 4:
        return {}
    place = np.array([location.x_m, location.y_m])
    away = place - np.array([(arrival.site.x_m, arrival.site.y_m) for arrival in used])
    direction = away / np.maximum(np.hypot(*away.T), 1.0)[:, None]
    design = np.column_stack([direction, np.ones(len(used))])
    path_m = settings.path_sigma_s * settings.speed_of_sound_mps
    pick_m = np.array([arrival.sigma_s for arrival in used]) * settings.speed_of_sound_mps
    site_m = np.array([arrival.site.sigma_m for arrival in used])
    weight = 1.0 / (path_m**2 + pick_m**2 + site_m**2)
    normal = (design * weight[:, None]).T @ design
    if np.linalg.cond(normal) > 1e10:
        return {}
    gain = np.linalg.solve(normal, (design * weight[:, None]).T)[:2]
    return {arrival.site.node: gain[:, index] for index, arrival in enumerate(used)}
