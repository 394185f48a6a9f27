"""Where more nodes would help most: greedy, then exchange, and every choice where there are few.

The goal is the share of shots, spread evenly over the area, that are found with a CEP95 no larger than wanted. Every
choice is judged on the same drawn shots, so that differences are not chance. Greedy takes the best place, then the
best beside it, and so on; exchange puts each in every other place until nothing gains [Nemhauser1978]. Neither is
sure to find the best choice; where there are at most `MOST_CHOICES` all are looked at, and then it is.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_calibration.plan.planner import Planner
from shotline_calibration.plan.situation import PlannedNode
from shotline_recordings.work import Progress

__all__ = ["MOST_CHOICES", "Suggestion", "best_of_all", "greedy_with_exchange", "suggest"]

FloatArray = NDArray[np.float64]

MOST_CHOICES = 200
_GAINS = 1e-9
_MOST_ROUNDS = 20


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Places for more nodes.

    Parameters
    ----------
    chosen : tuple of PlannedNode
        Each gains the most after those before it.
    goal_probability : tuple of float
        Without any, with the first, with the first two, and so on; on the cells that were looked at.
    certified : bool
        Every choice was looked at, and none is better.
    exchanged : int
        How often a place was given up for another.
    """

    chosen: tuple[PlannedNode, ...]
    goal_probability: tuple[float, ...]
    certified: bool
    exchanged: int


class _Goals:
    """The goal of every cell with some candidates added; only what a candidate can change is worked out anew."""

    def __init__(self, planner: Planner, nodes: Sequence[PlannedNode], candidates: Sequence[PlannedNode]) -> None:
        self._planner, self._nodes, self._candidates = planner, list(nodes), list(candidates)
        self._near = [planner.cells_near(candidate) for candidate in candidates]
        self._bare = planner.figures(nodes).goal_probability
        self._kept: dict[frozenset[int], FloatArray] = {frozenset(): self._bare}

    def of(self, chosen: frozenset[int], *, parent: frozenset[int] | None = None) -> FloatArray:
        """Return the goal of each cell, from those of a choice that differs a little."""
        if chosen in self._kept:
            return self._kept[chosen]
        base = self._kept[parent] if parent is not None else self._bare
        changed = chosen ^ (parent or frozenset())
        some = np.unique(np.concatenate([self._near[index] for index in changed]))
        goals = base.copy()
        added = [self._candidates[index] for index in sorted(chosen)]
        goals[some] = self._planner.figures([*self._nodes, *added], some=some).goal_probability
        return goals

    def keep(self, chosen: frozenset[int], goals: FloatArray) -> None:
        """Keep the goals of a choice that others will start from."""
        self._kept[chosen] = goals


def suggest(
    planner: Planner,
    nodes: Sequence[PlannedNode],
    candidates: Sequence[PlannedNode],
    count: int,
    *,
    progress: Progress = lambda *_: None,
) -> Suggestion:
    """Return the places of so many candidates at which nodes would help most.

    Parameters
    ----------
    planner : Planner
        A coarse one will do.
    nodes : sequence of PlannedNode
        That are there.
    candidates : sequence of PlannedNode
    count : int
    progress : callable (what, done, of_how_many)

    Raises
    ------
    InputError
        There are fewer candidates than nodes are asked for, or one has the name of a node.
    """
    if not 1 <= count <= len(candidates):
        raise InputError(
            f"{count} of {len(candidates)} candidate sites; ask for 1 to {len(candidates)}, or give more", field="--add"
        )
    taken = {node.site.node for node in nodes} & {candidate.site.node for candidate in candidates}
    if taken:
        raise InputError(f"candidate '{min(taken)}' has the name of a node; rename it", field="--candidates")
    if math.comb(len(candidates), count) <= MOST_CHOICES:
        return best_of_all(planner, nodes, candidates, count, progress=progress)
    return greedy_with_exchange(planner, nodes, candidates, count, progress=progress)


def greedy_with_exchange(
    planner: Planner,
    nodes: Sequence[PlannedNode],
    candidates: Sequence[PlannedNode],
    count: int,
    *,
    progress: Progress = lambda *_: None,
) -> Suggestion:
    """Return what greedy and exchange find; see `suggest`."""
    goals = _Goals(planner, nodes, candidates)
    chosen: list[int] = []
    at_least, exchanged = 2 * count * len(candidates), 0
    done = 0
    for _ in range(count):
        before = frozenset(chosen)
        best, best_goals = -1, goals.of(before)
        best_mean = -math.inf
        for index in range(len(candidates)):
            done += 1
            progress("places", min(done, at_least), at_least)
            if index in before:
                continue
            here = goals.of(before | {index}, parent=before)
            if here.mean() > best_mean + _GAINS:
                best, best_goals, best_mean = index, here, float(here.mean())
        chosen.append(best)
        goals.keep(frozenset(chosen), best_goals)
    current = float(goals.of(frozenset(chosen)).mean())
    for _ in range(_MOST_ROUNDS):
        gained = False
        for position in range(count):
            whole = frozenset(chosen)
            for index in range(len(candidates)):
                done += 1
                progress("places", min(done, at_least), at_least)
                if index in whole:
                    continue
                other = whole - {chosen[position]} | {index}
                here = goals.of(other, parent=whole)
                if here.mean() > current + _GAINS:
                    goals.keep(other, here)
                    chosen[position], current, whole = index, float(here.mean()), other
                    gained = True
                    exchanged += 1
        if not gained:
            break
    progress("places", at_least, at_least)
    return _told(goals, candidates, frozenset(chosen), certified=False, exchanged=exchanged)


def best_of_all(
    planner: Planner,
    nodes: Sequence[PlannedNode],
    candidates: Sequence[PlannedNode],
    count: int,
    *,
    progress: Progress = lambda *_: None,
) -> Suggestion:
    """Return the best of all choices; see `suggest`."""
    goals = _Goals(planner, nodes, candidates)
    choices = [frozenset(some) for some in itertools.combinations(range(len(candidates)), count)]
    best, best_mean = choices[0], -math.inf
    for done, choice in enumerate(choices, start=1):
        mean = float(goals.of(choice).mean())
        if mean > best_mean + _GAINS:
            best, best_mean = choice, mean
        progress("places", done, len(choices))
    return _told(goals, candidates, best, certified=True, exchanged=0)


def _told(
    goals: _Goals, candidates: Sequence[PlannedNode], chosen: frozenset[int], *, certified: bool, exchanged: int
) -> Suggestion:
    """Put the chosen in the order in which each gains the most after those before it."""
    order: list[int] = []
    means = [float(goals.of(frozenset()).mean())]
    while len(order) < len(chosen):
        rest = sorted(chosen - set(order))
        some = [float(goals.of(frozenset([*order, index])).mean()) for index in rest]
        best = int(np.argmax(some))
        order.append(rest[best])
        means.append(some[best])
    return Suggestion(
        tuple(candidates[index] for index in order),
        tuple(round(mean, 6) for mean in means),
        certified,
        exchanged,
    )
