"""Which arrivals may enter a fix at all: finite, one per node, close enough in time and far enough apart in space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from shotline.domain import Arrival, ArrivalVerdict, NoLocation, NoLocationReason
from shotline.units import seconds_from_ns

__all__ = ["MIN_NODES", "Screened", "distinct_places", "screen"]

MIN_NODES = 3
"""Three unknowns in the plane: x, y, and the instant."""

_SAME_PLACE_M = 5.0
_FLAT_RATIO = 0.02

Screened = tuple[list[Arrival], list[ArrivalVerdict]]


def screen(arrivals: Sequence[Arrival], *, longest_path_s: float) -> Screened | NoLocation:
    """Sort out what cannot be used.

    Parameters
    ----------
    arrivals : sequence of Arrival
        In any order.
    longest_path_s : float
        No two arrivals of one sound can be further apart in time.

    Returns
    -------
    (usable, set_aside) | NoLocation
        Usable arrivals in time order, and verdicts with reasons for the rest; or why there can be no fix.
    """
    usable: list[Arrival] = []
    aside: list[ArrivalVerdict] = []
    heard: set[str] = set()
    for arrival in sorted(arrivals, key=lambda item: (item.time_ns, item.uid)):
        site = arrival.site
        if not all(map(math.isfinite, (site.x_m, site.y_m, site.z_m, site.sigma_m, arrival.sigma_s))):
            return NoLocation(
                NoLocationReason.BAD_INPUT,
                f"arrival {arrival.uid} has a value that is not finite (site {site.x_m}, {site.y_m}, {site.z_m} m, "
                f"sigma {site.sigma_m} m; time sigma {arrival.sigma_s} s); correct it or leave it out",
            )
        if site.node in heard:
            aside.append(ArrivalVerdict(arrival, math.nan, False, "later arrival of a node already heard"))
            continue
        heard.add(site.node)
        usable.append(arrival)
    if len(usable) < MIN_NODES:
        return NoLocation(
            NoLocationReason.TOO_FEW_NODES, f"{len(usable)} node(s) heard it; a fix in the plane needs {MIN_NODES}"
        )
    span_s = seconds_from_ns(usable[-1].time_ns - usable[0].time_ns)
    if span_s > longest_path_s:
        return NoLocation(
            NoLocationReason.BAD_INPUT,
            f"arrivals span {span_s:.3g} s, but one sound is heard everywhere within {longest_path_s:.3g} s; "
            "these are not one shot, or a clock is wrong",
        )
    geometry = _geometry_problem(usable)
    return geometry or (usable, aside)


def distinct_places(arrivals: Sequence[Arrival]) -> int:
    """Return how many places the nodes stand at: nodes within a few metres count once as geometry."""
    places: list[tuple[float, float]] = []
    for arrival in arrivals:
        x_m, y_m = arrival.site.x_m, arrival.site.y_m
        if all(math.hypot(x_m - px, y_m - py) > _SAME_PLACE_M for px, py in places):
            places.append((x_m, y_m))
    return len(places)


def _geometry_problem(usable: Sequence[Arrival]) -> NoLocation | None:
    places = distinct_places(usable)
    if places < MIN_NODES:
        return NoLocation(
            NoLocationReason.DEGENERATE_GEOMETRY,
            f"{len(usable)} nodes stand at {places} place(s); nodes within {_SAME_PLACE_M:g} m count once, "
            f"and {MIN_NODES} places are needed",
        )
    xy = np.array([(arrival.site.x_m, arrival.site.y_m) for arrival in usable])
    singular = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)
    if singular[1] < _FLAT_RATIO * singular[0]:
        return NoLocation(
            NoLocationReason.DEGENERATE_GEOMETRY,
            f"the {len(usable)} nodes stand on a line; both sides of it explain the sound equally well",
        )
    return None
