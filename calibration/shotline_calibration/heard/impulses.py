"""Heard impulses as values: known places are found for them, and repeats from one place become one. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.errors import InputError
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S

__all__ = ["HeardArrival", "HeardImpulse", "KnownPlace", "matched", "merged_repeats"]

_MATCH_S = 1.0
"""A known impulse and a heard one belong together when they fit within this: clocks of people, not of nodes."""
_SAME_PATTERN_S = 0.004
"""Arrivals of rounds from one place scatter by 1 to 3 ms."""
_LEAST_ALIKE = 4
_LEAST_SHARE_ALIKE = 0.7
_SAME_PLACE_M = 5.0


@dataclass(frozen=True, slots=True)
class HeardArrival:
    """When a node heard an impulse: UTC nanoseconds, and 1-sigma of picking alone."""

    node: str
    time_ns: int
    sigma_s: float


@dataclass(frozen=True, slots=True)
class KnownPlace:
    """Where, and perhaps when, an impulse was made.

    Parameters
    ----------
    name : str
        Of the impulse; "" when only its time tells which it is.
    x_m, y_m, z_m : float
        Local frame.
    sigma_m, sigma_z_m : float
        1-sigma of each horizontal axis, and of the height.
    time_ns : int | None
        UTC of the discharge.
    time_sigma_s : float | None
        1-sigma of that by a clock that counts, such as a PPS recorder's; None: it only says which impulse is meant.
    line : int
        Where it stands in its file.
    """

    name: str
    x_m: float
    y_m: float
    z_m: float
    sigma_m: float
    sigma_z_m: float
    time_ns: int | None = None
    time_sigma_s: float | None = None
    line: int = 0


@dataclass(frozen=True, slots=True)
class HeardImpulse:
    """One sound that several nodes heard.

    Parameters
    ----------
    name : str
    arrivals : tuple of HeardArrival
        One of each node, in time order.
    place : KnownPlace | None
    weather : Weather | None
        That it was located with; None when nobody said.
    repeats : int
        How many impulses from the same place these arrivals are the medians of.
    """

    name: str
    arrivals: tuple[HeardArrival, ...]
    place: KnownPlace | None = None
    weather: Weather | None = None
    repeats: int = 1

    @property
    def time_ns(self) -> int:
        """UTC of the first arrival."""
        return self.arrivals[0].time_ns


def matched(
    impulses: Sequence[HeardImpulse],
    places: Sequence[KnownPlace],
    *,
    sites: Mapping[str, Site],
    weather: WeatherTimeline,
) -> tuple[list[HeardImpulse], list[KnownPlace]]:
    """Give impulses their known places: by name, else by time.

    Parameters
    ----------
    impulses : sequence of HeardImpulse
    places : sequence of KnownPlace
    sites : mapping of str to Site
    weather : WeatherTimeline

    Returns
    -------
    impulses : list of HeardImpulse
        All of them, in the same order.
    left_over : list of KnownPlace
        Places of which nothing was heard.

    Raises
    ------
    InputError
        A place has neither name nor time, or two claim one impulse.
    """
    names = {impulse.name: index for index, impulse in enumerate(impulses)}
    found = list(impulses)
    left_over: list[KnownPlace] = []
    for place in places:
        if place.name:
            index = names.get(place.name)
        elif place.time_ns is not None:
            index = _by_time(impulses, place, sites, weather)
        else:
            raise InputError("has neither shot nor time_utc; one must say which impulse it is", line=place.line)
        if index is None:
            left_over.append(place)
            continue
        if found[index].place is not None:
            raise InputError(f"impulse '{found[index].name}' has two known places; remove one", line=place.line)
        found[index] = replace(found[index], place=place)
    return found, left_over


def _by_time(
    impulses: Sequence[HeardImpulse], place: KnownPlace, sites: Mapping[str, Site], weather: WeatherTimeline
) -> int | None:
    assert place.time_ns is not None
    air = weather.at(place.time_ns)
    best, best_s = None, _MATCH_S
    for index, impulse in enumerate(impulses):
        off_s = []
        for arrival in impulse.arrivals:
            site = sites.get(arrival.node)
            if site is None:
                continue
            travel_s = travel_time_s(
                np.array([place.x_m, place.y_m, place.z_m]),
                np.array([[site.x_m, site.y_m, site.z_m]]),
                speed_of_sound_mps=air.speed_of_sound_mps,
                wind_mps=np.array([*air.wind_enu_mps, 0.0]),
            )
            off_s.append((arrival.time_ns - place.time_ns) / NS_PER_S - float(travel_s[0]))
        if off_s and abs(median(off_s)) < best_s:
            best, best_s = index, abs(median(off_s))
    return best


def merged_repeats(impulses: Sequence[HeardImpulse], *, within_s: float) -> list[HeardImpulse]:
    """Make one impulse of those from the same place: their paths err alike, so they tell of the network but once.

    Two are from the same place when so many nodes as can locate, and most of those that heard both, heard them with the
    same differences of time, or when it is known. The arrivals of the merged are medians, on the time of the first. A
    time of discharge is lost.

    Parameters
    ----------
    impulses : sequence of HeardImpulse
    within_s : float
        Later repeats count anew: the air has changed.
    """
    groups: list[list[HeardImpulse]] = []
    for impulse in sorted(impulses, key=lambda each: each.time_ns):
        for group in groups:
            near = impulse.time_ns - group[0].time_ns <= within_s * NS_PER_S
            if near and any(_alike(impulse, other) for other in group):
                group.append(impulse)
                break
        else:
            groups.append([impulse])
    return [_merged(group) for group in groups]


def _alike(one: HeardImpulse, other: HeardImpulse) -> bool:
    apart_s = _offsets_s(one, other)
    if one.place is not None and other.place is not None:
        a, b = one.place, other.place
        same = math.dist((a.x_m, a.y_m, a.z_m), (b.x_m, b.y_m, b.z_m)) <= _SAME_PLACE_M
        return same and bool(apart_s)
    if (one.place is None) != (other.place is None) or len(apart_s) < _LEAST_ALIKE:
        return False
    middle = median(apart_s)
    alike = sum(abs(each - middle) <= _SAME_PATTERN_S for each in apart_s)
    # Some may have come by another way, or were picked on another wave.
    return alike >= max(_LEAST_ALIKE, _LEAST_SHARE_ALIKE * len(apart_s))


def _offsets_s(one: HeardImpulse, other: HeardImpulse) -> list[float]:
    """Return how much later each node that heard both heard the one."""
    heard = {arrival.node: arrival.time_ns for arrival in other.arrivals}
    return [(each.time_ns - heard[each.node]) / NS_PER_S for each in one.arrivals if each.node in heard]


def _merged(group: Sequence[HeardImpulse]) -> HeardImpulse:
    if len(group) == 1:
        return group[0]
    first = group[0]
    times: dict[str, list[float]] = {}
    sigmas: dict[str, list[float]] = {}
    for impulse in group:
        shift_s = median(_offsets_s(impulse, first))
        for arrival in impulse.arrivals:
            times.setdefault(arrival.node, []).append((arrival.time_ns - first.time_ns) / NS_PER_S - shift_s)
            sigmas.setdefault(arrival.node, []).append(arrival.sigma_s)
    arrivals = [
        HeardArrival(node, first.time_ns + round(median(each) * NS_PER_S), median(sigmas[node]) / math.sqrt(len(each)))
        for node, each in times.items()
    ]
    place = None if first.place is None else replace(first.place, time_ns=None, time_sigma_s=None)
    return HeardImpulse(
        first.name,
        tuple(sorted(arrivals, key=lambda arrival: (arrival.time_ns, arrival.node))),
        place,
        first.weather,
        repeats=len(group),
    )
