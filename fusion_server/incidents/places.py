"""How many places the rounds of an incident came from, and whether the shooter moved: told only when significant.

Rounds of a second place that keep in step with those of the first need no second shooter, however far apart they seem:
what throws an echo back, and the shock wave of a bullet, sound again after every round alike, and no later than the
first sound gets there. They are named as echoes, and not told as a place.

Both are tests of nested models of the same arrival times (`Repeats`): one place; two places, which adds the offset
between them; one place that moves, which adds a velocity. Each adds two numbers. Twice the gain in log likelihood,
halved, is held against F with 2 and the freedom left: a likelihood-ratio test with the scale of the scatter
estimated. As every way of parting the rounds by a line was looked at, the p-value of two places is multiplied by their
number (Bonferroni). Either must also be significant with any one node left out: a bad pick is no second shooter.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from fusion_server.incidents.repeats import Fit, Repeats, f_tail_2
from fusion_server.incidents.settings import IncidentSettings
from shotline.domain import Location, Movement
from shotline.units import NS_PER_S

__all__ = ["Places", "find_places", "least_shooters"]

FloatArray = NDArray[np.float64]

_DIRECTIONS = 12
_CANDIDATES = 4
_MOST_ROUNDS = 40
"""More are not compared: what so many show, more would."""
_LEAST_MOVING_ROUNDS = 3
_LEAST_MOVED_M = 3.0
"""Arms, turning and leaning move a muzzle this far: less is no movement of a shooter, and no other place."""
_LEAST_SPEED_MPS = 0.5
_ECHO_SLACK_S = 0.05
"""By which the instant of an echo's fix may be off."""
_STEP_S = 0.008
"""In step: the fixes of an echo scatter so much in time. No two people keep it."""


@dataclass(frozen=True, slots=True)
class Places:
    """The rounds by place.

    Parameters
    ----------
    groups : tuple of tuple of int
        Rounds of each place, counted from 0; places by first round.
    p_value : float | None
        The largest of the tests that found them apart; None with one place.
    movement : Movement | None
        Only with one place.
    echoes : tuple[int, ...]
        Rounds, of the groups they are in, that keep in step with others: perhaps no rounds of their own.
    """

    groups: tuple[tuple[int, ...], ...]
    p_value: float | None
    movement: Movement | None
    echoes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Split:
    first: tuple[int, ...]
    second: tuple[int, ...]
    fit: Fit
    p_value: float
    tried: int


def find_places(fixes: Sequence[Location], settings: IncidentSettings) -> Places:
    """Return the least number of places that explain the rounds, and the movement if there is only one.

    Parameters
    ----------
    fixes : sequence of Location
        In order of origin time.
    settings : IncidentSettings
    """
    everything = tuple(range(len(fixes)))
    one = Places((everything,), None, None)
    if len(fixes) < 2:
        return one
    compared = Repeats(fixes[:_MOST_ROUNDS], settings)
    if len(compared.rounds) < 2:
        return one
    split = _best_split(compared, settings)
    moved = _movement(compared, settings)
    if moved is not None and (split is None or not _beats(split, moved[1])):
        return Places((everything,), None, moved[0])
    if split is None:
        return one
    parts, p_value = _parted(fixes, split, settings)
    groups, echoes = _without_echoes(fixes, _with_the_rest(fixes, parts), settings)
    if len(groups) > 1:
        return Places(groups, p_value, None, echoes)
    rest = Repeats(fixes[:_MOST_ROUNDS], settings, [n for n in groups[0] if n not in echoes and n < _MOST_ROUNDS])
    moved = _movement(rest, settings)
    return Places(groups, None, None if moved is None else moved[0], echoes)


def least_shooters(fixes: Sequence[Location], groups: Sequence[Sequence[int]], settings: IncidentSettings) -> int:
    """Return the largest number of places of which none could have been reached from another between the rounds.

    Two places are out of reach if some round of one and some round of the other are so close in time that the way
    between the places, less two sigma of it, would have been faster than anybody moves.
    """
    places = [_middle(fixes, group) for group in groups]
    times = [np.array([fixes[n].origin_time_ns for n in group]) / NS_PER_S for group in groups]
    apart: set[tuple[int, int]] = set()
    for one, other in combinations(range(len(groups)), 2):
        way_m = max(0.0, float(np.hypot(*(places[one] - places[other]))) - 2.0 * _LEAST_MOVED_M)
        least_s = float(np.abs(times[one][:, None] - times[other]).min())
        if way_m > settings.fastest_mps * least_s:
            apart.add((one, other))
    for size in range(len(groups), 1, -1):
        for some in combinations(range(len(groups)), size):
            if all(pair in apart for pair in combinations(some, 2)):
                return size
    return 1


def _with_any_node_out(
    compared: Repeats, contrast: FloatArray, settings: IncidentSettings, tried: int, p_value: float
) -> float:
    """Return the largest p-value of a contrast with any one node left out; the first that is not significant."""
    for node in range(compared.n_nodes):
        if p_value >= settings.significance:
            break
        p_value = max(p_value, _gained(compared, contrast, tried, without=node)[1])
    return p_value


def _gained(compared: Repeats, contrast: FloatArray, tried: int, *, without: int | None = None) -> tuple[Fit, float]:
    after = compared.fit(contrast, without=without)
    before = compared.fit(contrast[:0], sigma_s=after.sigma_s, without=without)
    p_value = min(1.0, tried * f_tail_2(before.cost - after.cost, after.freedom))
    return replace(after, cost=after.cost - before.cost), p_value


def _best_split(compared: Repeats, settings: IncidentSettings) -> _Split | None:
    """Return the likeliest parting of the rounds in two places, if it is significant."""
    splits, tried = _splits(compared)
    if not len(splits) or compared.freedom(1) < 1:
        return None
    likeliest = np.argsort(-compared.gains(splits), kind="stable")[:_CANDIDATES]
    gained = [(*_gained(compared, splits[index : index + 1], tried), splits[index : index + 1]) for index in likeliest]
    # Leaving nodes out takes long: the first that stands it is the best that does.
    for fit, p_value, contrast in sorted(gained, key=lambda item: item[0].cost):
        if float(np.hypot(*fit.effect_m[0])) < _LEAST_MOVED_M:
            continue
        p_value = _with_any_node_out(compared, contrast, settings, tried, p_value)
        if p_value >= settings.significance:
            continue
        inside = contrast[0] > 0.0
        first = tuple(number for number, yes in zip(compared.rounds, inside, strict=True) if yes)
        second = tuple(number for number, yes in zip(compared.rounds, inside, strict=True) if not yes)
        return _Split(first, second, fit, p_value, tried)
    return None


def _splits(compared: Repeats) -> tuple[FloatArray, int]:
    """Return contrasts, one for each way to part the rounds by a line that was looked at; and how many ways there are.

    Lines across twelve directions; of n points in the plane there are n (n - 1) / 2 ways in all.
    """
    offsets = compared.offsets_m()
    n_rounds = len(offsets)
    seen: set[tuple[bool, ...]] = set()
    for angle in np.arange(_DIRECTIONS) * (math.pi / _DIRECTIONS):
        order = np.argsort(offsets @ np.array([math.sin(angle), math.cos(angle)]), kind="stable")
        for cut in range(1, n_rounds):
            inside = np.zeros(n_rounds, dtype=bool)
            inside[order[:cut]] = True
            seen.add(tuple(bool(value) for value in (inside if inside[0] else ~inside)))
    marks = np.array(sorted(seen), dtype=np.float64)
    return marks - marks.mean(axis=1, keepdims=True), max(1, n_rounds * (n_rounds - 1) // 2)


def _movement(compared: Repeats, settings: IncidentSettings) -> tuple[Movement, float] | None:
    """Return a significant and plausible movement, and its gain in cost (negative is better)."""
    if len(compared.rounds) < _LEAST_MOVING_ROUNDS or compared.freedom(1) < 1:
        return None
    contrast = (compared.time_s - compared.time_s.mean())[None]
    fit, p_value = _gained(compared, contrast, 1)
    p_value = _with_any_node_out(compared, contrast, settings, 1, p_value)
    velocity = fit.effect_m[0]
    speed_mps = float(np.hypot(*velocity))
    moved_m = speed_mps * float(compared.time_s[-1] - compared.time_s[0])
    if p_value >= settings.significance or moved_m < _LEAST_MOVED_M:
        return None
    if not _LEAST_SPEED_MPS <= speed_mps <= settings.fastest_mps:
        return None
    along = velocity / speed_mps
    made = Movement(
        speed_mps=speed_mps,
        speed_sigma_mps=math.sqrt(float(along @ fit.covariance_m2 @ along)),
        heading_deg=math.degrees(math.atan2(float(velocity[0]), float(velocity[1]))) % 360.0,
        p_value=p_value,
    )
    return made, fit.cost


def _beats(split: _Split, movement_cost: float) -> bool:
    """Say whether two places explain the rounds better than movement, the choice among partings paid for."""
    return split.fit.cost + math.log(split.tried) < movement_cost


def _parted(
    fixes: Sequence[Location], split: _Split, settings: IncidentSettings
) -> tuple[list[tuple[int, ...]], float]:
    """Return the two sides of a split, each parted again as long as that is significant, and the largest p-value."""
    groups: list[tuple[int, ...]] = []
    p_value = split.p_value
    for side in (split.first, split.second):
        inner = Repeats(fixes, settings, side)
        again = _best_split(inner, settings) if len(inner.rounds) >= 2 else None
        if again is None:
            groups.append(side)
            continue
        parts, largest = _parted(fixes, again, settings)
        left_out = [number for number in side if number not in inner.rounds]
        for number in left_out:
            nearest = min(range(len(parts)), key=lambda index: _away_m(fixes, number, parts[index]))
            parts[nearest] = (*parts[nearest], number)
        groups += parts
        p_value = max(p_value, largest)
    return groups, p_value


def _with_the_rest(fixes: Sequence[Location], groups: list[tuple[int, ...]]) -> tuple[tuple[int, ...], ...]:
    """Return groups with the rounds that could not be compared, each at the nearest place."""
    known = {number for group in groups for number in group}
    whole = [list(group) for group in groups]
    for number in range(len(fixes)):
        if number not in known:
            nearest = min(range(len(groups)), key=lambda index: _away_m(fixes, number, groups[index]))
            whole[nearest].append(number)
    return tuple(sorted(tuple(sorted(group)) for group in whole))


def _without_echoes(
    fixes: Sequence[Location], groups: Sequence[tuple[int, ...]], settings: IncidentSettings
) -> tuple[tuple[tuple[int, ...], ...], tuple[int, ...]]:
    """Return groups with those in step with a larger one put to it, and the rounds of the latter."""
    times_s = [(fix.origin_time_ns - fixes[0].origin_time_ns) / NS_PER_S for fix in fixes]

    def follows(group: tuple[int, ...], leader: tuple[int, ...]) -> bool:
        longest_s = float(np.hypot(*(_middle(fixes, group) - _middle(fixes, leader)))) / settings.speed_of_sound_mps
        mine, others = ([times_s[number] for number in some] for some in (group, leader))
        return _in_step(mine, others, longest_s + _ECHO_SLACK_S)

    kept: list[tuple[int, ...]] = []
    leaders: list[tuple[int, ...]] = []
    echoes: list[int] = []
    for group in sorted(groups, key=lambda item: (-len(item), -_arrivals(fixes, item), item)):
        leader = next((at for at, some in enumerate(leaders) if follows(group, some)), None)
        if leader is None:
            kept.append(group)
            leaders.append(group)
        else:
            kept[leader] = (*kept[leader], *group)
            echoes += group
    return tuple(sorted(tuple(sorted(group)) for group in kept)), tuple(sorted(echoes))


def _arrivals(fixes: Sequence[Location], group: Sequence[int]) -> int:
    return sum(item.used for number in group for item in fixes[number].verdicts)


def _in_step(followers_s: Sequence[float], leaders_s: Sequence[float], longest_s: float) -> bool:
    """Say whether every one of some instants is as long after, or before, one of others, and no longer than that."""
    for leader_s in leaders_s:
        lag_s = followers_s[0] - leader_s
        if abs(lag_s) <= longest_s and all(
            min(abs(follower_s - other_s - lag_s) for other_s in leaders_s) <= _STEP_S for follower_s in followers_s
        ):
            return True
    return False


def _away_m(fixes: Sequence[Location], number: int, group: Sequence[int]) -> float:
    return float(np.hypot(*(_middle(fixes, [number]) - _middle(fixes, group))))


def _middle(fixes: Sequence[Location], group: Sequence[int]) -> FloatArray:
    middle: FloatArray = np.mean([(fixes[n].x_m, fixes[n].y_m) for n in group], axis=0)
    return middle
