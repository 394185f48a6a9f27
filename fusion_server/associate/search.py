"""One solve: from the arrivals held to the shots that explain them, best first, each one's arrivals struck out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from fusion_server.associate.cells import NOBODY, SEEDS_PER_ANCHOR, Ground, Model, Sky, first_of_each, gather, scan_all
from fusion_server.associate.judge import choose, find_repeat, settle_best, shared_arrivals
from fusion_server.associate.rows import (
    ABSENT,
    BIN_S,
    COARSE_GATE_S,
    MEMBER,
    Columns,
    burst_relief,
    echo_clutter,
    restore,
)
from fusion_server.associate.settings import AssociateSettings
from fusion_server.associate.store import ECHO_WITHIN_S, Store
from shotline.domain import Arrival

__all__ = ["Considered", "Explained", "Search", "arrivals_of", "distinct_places", "template"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_APART_M = 75.0
_APART_S = 0.05
_LOUDEST_LOG_HZ = 0.0
"""An arrival stands out when it would be clutter less than once a second."""
_SPLIT_S = 0.04
_SPLIT_M = 30.0
"""Nearer than these in time and place, two shots are one: automatic fire of 950 rounds/min takes 63 ms a round."""
_SAME_PLACE_M = 5.0
_BURSTS_TRIED = 8
_MOST_ROUNDS = 40
_MOST_RIVALS = 4
_SURE_ROUND = 10.0
"""Log evidence of a further round that is taken before other places are looked at."""
_SAME_BURST_S = 0.5
"""Rounds of a burst follow each other closer than this."""
_BOUND_SLACK = 4.0
_LOG_ECHO_ODDS = 3.0
"""Prior: an echo off one wall that many nodes hear, against a second gun within the same second."""
_LOG_AHEAD_ODDS = 2.0
"""An arrival before that of the shot itself, or without it, is no echo of it, unless one is not what it seems."""
_ECHO_DETECT = 0.5
_ECHO_WEAKER_DB = 6.0
_ECHO_SPREAD_DB = 6.0


@dataclass(frozen=True, slots=True)
class Explained:
    """A shot found in a solve.

    Parameters
    ----------
    x_m, y_m, origin_s, log_evidence : float
    home : int
        Site whose surroundings were looked at.
    nodes, positions : ndarray, shape (n_arrivals,), int64
        Its arrivals in the columns.
    chosen : ndarray, shape (n_around,), int32
        The same, as positions at the sites around ``home``; -1 for none.
    """

    x_m: float
    y_m: float
    origin_s: float
    log_evidence: float
    home: int
    nodes: IntArray
    positions: IntArray
    chosen: NDArray[np.int32]


@dataclass(slots=True)
class Considered:
    """Seeds as they were settled before anything was struck out, for the explanation of what lost."""

    bounds: FloatArray
    settled: NDArray[np.uint8]
    results: FloatArray
    chosen: NDArray[np.int32]

    def live(self, settings: AssociateSettings) -> NDArray[np.bool_]:
        """Say which seeds may come to something when others are struck out, or when more is heard. Shape (n_seeds,)."""
        asked = settings.min_log_evidence
        hopeful = (self.settled == 0) | (self.results[:, 3] >= asked - settings.burst_log_evidence)
        live: NDArray[np.bool_] = (self.bounds >= asked - _BOUND_SLACK) & hopeful
        return live


@dataclass(slots=True)
class _Tries:
    """Seeds and what is known of them; see `fusion_server.associate.judge.settle_best`."""

    seeds: FloatArray
    width: int
    bounds: FloatArray = field(init=False)
    settled: NDArray[np.uint8] = field(init=False)
    chosen: NDArray[np.int32] = field(init=False)
    results: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        self.bounds = np.full(len(self.seeds), math.nan)
        self.settled = np.zeros(len(self.seeds), dtype=np.uint8)
        self.chosen = np.full((len(self.seeds), self.width), ABSENT, dtype=np.int32)
        self.results = np.zeros((len(self.seeds), 6))

    def only(self, keep: NDArray[np.bool_]) -> _Tries:
        """Return some of the rows."""
        some = _Tries(self.seeds[keep], self.width)
        some.bounds, some.settled = self.bounds[keep], self.settled[keep]
        some.chosen, some.results = self.chosen[keep], self.results[keep]
        return some


@dataclass(slots=True)
class Search:
    """A solve in progress.

    Parameters
    ----------
    settings : AssociateSettings
    store : Store
    ground : Ground
    sky : Sky
    model : Model
    """

    settings: AssociateSettings
    store: Store
    ground: Ground
    sky: Sky
    model: Model
    concluded: tuple[Explained, ...] = ()
    found: list[Explained] = field(default_factory=list)
    echoes: list[Explained] = field(default_factory=list)
    considered: list[Considered] = field(default_factory=list)
    _touched_from: FloatArray = field(init=False)
    _touched_to: FloatArray = field(init=False)
    _scores: FloatArray = field(init=False)
    _width: int = field(init=False)

    def __post_init__(self) -> None:
        n_nodes = len(self.ground.sites_m)
        self._touched_from, self._touched_to = np.full(n_nodes, np.inf), np.full(n_nodes, -np.inf)
        self._scores = np.empty(int(np.diff(self.ground.cells_first).max(initial=1)))
        self._width = int(np.diff(self.ground.around_first).max())

    @property
    def columns(self) -> Columns:
        return self.store.columns

    def run(
        self,
        concluded: Sequence[Explained],
        again: Sequence[tuple[float, float, float]],
        spans_s: FloatArray,
        *,
        full: bool,
    ) -> None:
        """Find shots; leaves the columns as they were.

        Parameters
        ----------
        concluded : sequence of Explained
            Shots kept for good: their further rounds are found first.
        again : sequence of (x_m, y_m, origin_s)
            What was found last time: looked at again first.
        spans_s : ndarray, shape (n_spans, 2), float64
            Arrivals of these times are looked at again.
        full : bool
            Look again at every arrival that was of interest when last looked at.
        """
        room = max(1, len(self.store.arrivals))
        nodes, positions = np.empty(room, dtype=np.int64), np.empty(room, dtype=np.int64)
        n = gather(self.columns, spans_s, full, _LOUDEST_LOG_HZ, nodes, positions)
        nodes, positions = nodes[:n], positions[:n]
        self.concluded = tuple(concluded)
        for shot in self.concluded:
            self._take_repeats(shot, _SURE_ROUND)
        first = np.array([(x, y, t, math.inf) for x, y, t in again]).reshape(-1, 4)
        while True:
            n_found, n_echoes = len(self.found), len(self.echoes)
            seeds, anchor = self._seeds(nodes, positions)
            every, anchor = np.concatenate([first, seeds]), np.concatenate([np.full(len(first), NOBODY), anchor])
            order, stands_for = _distinct(every)
            standing = np.flatnonzero(stands_for == np.arange(len(order)))
            tries = _Tries(every[order[standing]], self._width)
            is_first = not self.considered
            self._take(tries, full=full)
            if is_first and self.considered:
                # Arrivals that lead nowhere even when everything is free are left alone until their next turn.
                live = self.considered[0].live(self.settings)[np.searchsorted(standing, stands_for)]
                of = np.unique(anchor[order[live]])
                of = of[of != NOBODY]
                self.columns.look[nodes[of], positions[of]] = 2
            if len(self.found) == n_found:
                break
            near = self._near(nodes, positions, [*self.found[n_found:], *self.echoes[n_echoes:]])
            nodes, positions = nodes[near], positions[near]
        # An echo may have been taken before the shot that it is an echo of.
        everyone = (*self.concluded, *self.found)
        self.found = [shot for shot in self.found if not any(self._is_lesser_echo(shot, other) for other in everyone)]
        self._restore()
        for shot in self.found:
            look = self.columns.look[shot.nodes, shot.positions]
            self.columns.look[shot.nodes, shot.positions] = np.where(look == 2, 3, look)

    def _near(self, nodes: IntArray, positions: IntArray, taken: Sequence[Explained]) -> NDArray[np.bool_]:
        """Say which arrivals may lead elsewhere now that some shots are taken: those in hearing range of theirs."""
        times_s, sites_m = self.columns.time_s[nodes, positions], self.ground.sites_m
        reach_m = self.settings.reach_m
        near = np.zeros(len(nodes), dtype=np.bool_)
        for shot in taken:
            its_s = self.columns.time_s[shot.nodes, shot.positions]
            first_s, last_s = its_s.min() - reach_m / self.sky.speed_mps, its_s.max() + reach_m / self.sky.speed_mps
            beside = (cdist(sites_m, sites_m[shot.nodes]) <= reach_m).any(axis=1)
            near |= beside[nodes] & (first_s <= times_s) & (times_s <= last_s + ECHO_WITHIN_S)
        return near

    def _seeds(self, nodes: IntArray, positions: IntArray) -> tuple[FloatArray, IntArray]:
        seeds, anchor = np.empty((len(nodes) * SEEDS_PER_ANCHOR, 4)), np.empty(len(nodes) * SEEDS_PER_ANCHOR, np.int64)
        n = scan_all(
            self.columns,
            nodes,
            positions,
            self.store.ring,
            self.ground,
            self.sky,
            self.model,
            _APART_M,
            self._scores,
            seeds,
            anchor,
        )
        return seeds[:n], anchor[:n]

    def _take(self, tries: _Tries, *, full: bool) -> None:
        """Take what stands up among the seeds, best first; then bursts whose rounds only stand up together."""
        asked = self.settings.min_log_evidence
        while True:
            while (shot := self._best(tries, asked)) is not None:
                again = self._round_instead(shot)
                if again is None:
                    self._accept(self._against_rivals(shot, tries))
                else:
                    self._keep_round(again)
            if not len(tries.seeds):
                break
            # Between full looks only what stood up before is worth the trouble.
            if not full:
                tries = tries.only(np.isinf(tries.seeds[:, 3]))
            burst = self._best_burst(tries, asked - self.settings.burst_log_evidence)
            if burst is None:
                break
            self._accept(burst)
        # Rounds of little evidence come last: what looks like one may be the shot of somebody else.
        for shot in (*self.concluded, *self.found):
            self._take_repeats(shot, asked)

    def _best(self, tries: _Tries, at_least: float) -> Explained | None:
        while len(tries.seeds):
            best = settle_best(
                self.columns,
                self.ground,
                self.sky,
                self.model,
                tries.seeds,
                at_least,
                tries.bounds,
                tries.settled,
                tries.chosen,
                tries.results,
            )
            if not self.considered:
                self.considered.append(
                    Considered(tries.bounds.copy(), tries.settled.copy(), tries.results.copy(), tries.chosen.copy())
                )
            if best < 0:
                return None
            shot = self._explained(tries.results[best], tries.chosen[best])
            if shot is not None:
                return shot
            tries.results[best, 3] = -math.inf
        return None

    def _best_burst(self, tries: _Tries, at_least: float) -> Explained | None:
        for _ in range(_BURSTS_TRIED):
            shot = self._best(tries, at_least)
            if shot is None or self._is_burst(shot):
                return shot
            same = (tries.results[:, 3] == shot.log_evidence) & (tries.results[:, 0] == shot.x_m)
            tries.results[same, 3] = -math.inf
        return None

    def _accept(self, shot: Explained) -> None:
        self._mark(shot, 0)
        if any(_is_split(shot, other) for other in (*self.concluded, *self.found)):
            return
        if any(self._is_echo(shot, other) for other in (*self.concluded, *self.found)):
            asked = self.settings.min_log_evidence
            # The echo comes again with every round.
            while (again := self._repeat(shot, (*self.concluded, *self.found, *self.echoes, shot), asked)) is not None:
                self._mark(again, 0)
                self.echoes.append(again)
            self.echoes.append(shot)
            return
        self.found.append(shot)
        self._echoes(shot)
        self._take_repeats(shot, _SURE_ROUND)

    def _explained(self, result: FloatArray, chosen: NDArray[np.int32]) -> Explained | None:
        home = int(result[5])
        around = self.ground.around[self.ground.around_first[home] : self.ground.around_first[home + 1]]
        there = np.flatnonzero(chosen[: len(around)] != ABSENT)
        nodes = around[there]
        if len(distinct_places(self.ground.sites_m[nodes])) < self.settings.min_nodes:
            return None
        return Explained(
            float(result[0]),
            float(result[1]),
            float(result[2]),
            float(result[3]),
            home,
            nodes,
            chosen[there].astype(np.int64),
            chosen[: len(around)].copy(),
        )

    def _is_burst(self, first: Explained) -> bool:
        """Say whether a first round stands up once its further rounds no longer count as its clutter."""
        rounds = self._rounds_after(first, self.settings.min_log_evidence)
        if not rounds:
            return False
        return first.log_evidence + self._relief([first], [first, *rounds]) >= self.settings.min_log_evidence

    def _relief(self, weighed: Sequence[Explained], burst: Sequence[Explained]) -> float:
        """Return by how much the log clutter of some rounds falls when those of their own burst do not count."""
        free = self.columns.free
        before = [free[shot.nodes, shot.positions] for shot in burst]
        for shot in burst:
            free[shot.nodes, shot.positions] = MEMBER
        nodes = np.concatenate([shot.nodes for shot in weighed])
        relief = burst_relief(self.columns, self.store.how, nodes, np.concatenate([shot.positions for shot in weighed]))
        for shot, was in zip(burst, before, strict=True):
            free[shot.nodes, shot.positions] = was
        return relief

    def _is_lesser_echo(self, shot: Explained, source: Explained) -> bool:
        lesser = len(shot.nodes) < len(source.nodes) and not _is_near(shot, source)
        return lesser and self._is_echo(shot, source)

    def _is_echo(self, shot: Explained, source: Explained) -> bool:
        """Say whether a hypothesis is rather the echo of a shot by some wall or corner than a shot of its own.

        An echo comes after the sound itself at every node, within the time echoes take, seldom stronger, and at fewer
        nodes; a second gun is heard by as many. The odds of the two are multiplied up node by node.
        """
        lag_s, heard, stronger_db = [], 0, []
        of_source = dict(zip(source.nodes.tolist(), source.positions.tolist(), strict=True))
        for node, place in zip(shot.nodes.tolist(), shot.positions.tolist(), strict=True):
            if node in of_source:
                before = of_source[node]
                lag_s.append(float(self.columns.time_s[node, place] - self.columns.time_s[node, before]))
                stronger_db.append(float(self.columns.snr_db[node, place] - self.columns.snr_db[node, before]))
                heard += 1
        if heard < self.settings.min_nodes or max(lag_s) > ECHO_WITHIN_S or min(lag_s) < -ECHO_WITHIN_S:
            return False
        ahead = sum(value <= 0.0 for value in lag_s) + len(shot.nodes) - heard
        expected_s = shot.origin_s + np.hypot(*(self.ground.sites_m[source.nodes] - (shot.x_m, shot.y_m)).T) / (
            self.sky.speed_mps
        )
        due = int(np.count_nonzero(expected_s + self.settings.latency_s < self.sky.now_s))
        silent = max(0, due - heard)
        real, echo = self.settings.detect_probability, _ECHO_DETECT
        odds = (
            _LOG_ECHO_ODDS
            - ahead * _LOG_AHEAD_ODDS
            + heard * math.log(echo / real)
            + silent * math.log((1.0 - echo) / (1.0 - real))
        )
        for difference_db in stronger_db:
            weaker_db = difference_db + _ECHO_WEAKER_DB
            odds += 0.5 * (difference_db**2 - weaker_db**2) / _ECHO_SPREAD_DB**2
        return odds > 0.0

    def _against_rivals(self, best: Explained, tries: _Tries) -> Explained:
        """Return the hypothesis whose burst has most evidence, among those that want the same arrivals.

        Rounds in quick succession line up for many places when different rounds are taken for one at different nodes;
        only from the true place does every round fit.
        """
        rivals = [best]
        evidence = tries.results[:, 3]
        hopeful = (tries.settled == 1) & (evidence >= best.log_evidence - self.settings.burst_log_evidence)
        hopeful &= shared_arrivals(self.ground, tries.results, tries.chosen, best.nodes, best.positions) >= 2
        rows = np.flatnonzero(hopeful)
        for row in rows[np.argsort(-evidence[rows], kind="stable")].tolist():
            if len(rivals) > _MOST_RIVALS:
                break
            shot = self._explained(tries.results[row], tries.chosen[row])
            if shot is None or any(_is_split(shot, other) for other in rivals):
                continue
            if self._is_free(shot):
                rivals.append(shot)
        if len(rivals) == 1:
            return best
        return max(rivals, key=self._burst_evidence)

    def _burst_evidence(self, first: Explained) -> float:
        """Return the log evidence of a shot and its further rounds, weighed as a whole."""
        burst = [first, *self._rounds_after(first, _SURE_ROUND)]
        evidence = sum(shot.log_evidence for shot in burst)
        return evidence + (self._relief(burst, burst) if len(burst) > 1 else 0.0)

    def _is_free(self, shot: Explained) -> bool:
        return bool((self.columns.free[shot.nodes, shot.positions] == 1).all())

    def _rounds_after(self, first: Explained, at_least: float) -> list[Explained]:
        """Return the further rounds that a first one would have; takes nothing."""
        taken = [first]
        self._mark(first, 0)
        while len(taken) < _MOST_ROUNDS:
            again = self._repeat(first, (*self.concluded, *self.found, *taken), at_least)
            if again is None:
                break
            taken.append(again)
            self._mark(again, 0)
        for shot in taken:
            self._mark(shot, 1)
        return taken[1:]

    def _take_repeats(self, first: Explained, at_least: float) -> None:
        """Take the further rounds of a shot, best first."""
        while (again := self._repeat(first, (*self.concluded, *self.found), at_least)) is not None:
            self._keep_round(again)

    def _keep_round(self, again: Explained) -> None:
        self._mark(again, 0)
        self._echoes(again)
        self.found.append(again)

    def _round_instead(self, shot: Explained) -> Explained | None:
        """Return the further round of a shot taken that explains some of the same arrivals better, if there is one."""
        mine = set(zip(shot.nodes.tolist(), shot.positions.tolist(), strict=True))
        taken, best = (*self.concluded, *self.found), None
        for first in taken:
            if abs(first.origin_s - shot.origin_s) > _SAME_BURST_S:
                continue
            again = self._repeat(first, taken, max(self.settings.min_log_evidence, shot.log_evidence))
            if again is None or (best is not None and again.log_evidence <= best.log_evidence):
                continue
            if not mine.isdisjoint(zip(again.nodes.tolist(), again.positions.tolist(), strict=True)):
                best = again
        return best

    def _repeat(self, first: Explained, taken: Sequence[Explained], at_least: float) -> Explained | None:
        chosen = np.full(self._width, ABSENT, dtype=np.int32)
        delay_s, evidence = find_repeat(
            self.columns,
            self.ground,
            self.sky,
            self.model,
            first.home,
            first.x_m,
            first.y_m,
            first.origin_s,
            first.chosen,
            np.array([shot.origin_s - first.origin_s for shot in taken if _is_near(shot, first)]),
            chosen,
        )
        if evidence < at_least:
            return None
        # Nodes that did not hear the first round may hear this one.
        origin_s, more = first.origin_s + delay_s, np.full(self._width, ABSENT, dtype=np.int32)
        choose(
            self.columns,
            self.ground,
            self.sky,
            self.model,
            first.home,
            first.x_m,
            first.y_m,
            origin_s,
            self.settings.gate_s,
            more,
        )
        both = np.where(_padded(first.chosen, self._width) != ABSENT, chosen, more)
        result = np.array([first.x_m, first.y_m, origin_s, evidence, 0.0, first.home])
        return self._explained(result, both)

    def _mark(self, shot: Explained, free: int) -> None:
        self.columns.free[shot.nodes, shot.positions] = free
        times_s = self.columns.time_s[shot.nodes, shot.positions]
        self._touch(shot.nodes, times_s, times_s)

    def _echoes(self, shot: Explained) -> None:
        """Expect echoes behind a shot that was taken."""
        for node, position in zip(shot.nodes.tolist(), shot.positions.tolist(), strict=True):
            echo_clutter(self.columns, self.store.how, node, position)
        times_s = self.columns.time_s[shot.nodes, shot.positions]
        self._touch(shot.nodes, times_s, times_s + ECHO_WITHIN_S)

    def _touch(self, nodes: IntArray, from_s: FloatArray, to_s: FloatArray) -> None:
        self._touched_from[nodes] = np.minimum(self._touched_from[nodes], from_s)
        self._touched_to[nodes] = np.maximum(self._touched_to[nodes], to_s)
        lows, highs = np.full(len(self._touched_from), np.inf), np.full(len(self._touched_from), -np.inf)
        lows[nodes], highs[nodes] = from_s, to_s
        self.store.draw(lows, highs, margin_s=COARSE_GATE_S + BIN_S)

    def _restore(self) -> None:
        for node in np.flatnonzero(self._touched_from <= self._touched_to).tolist():
            restore(self.columns, node, self._touched_from[node], self._touched_to[node])
        self.store.draw(self._touched_from, self._touched_to, margin_s=COARSE_GATE_S + BIN_S)


def template(
    ground: Ground, x_m: float, y_m: float, origin_s: float, log_evidence: float, places: Mapping[int, int]
) -> Explained:
    """Return a shot from a place, an instant, and the positions of its arrivals by node."""
    home = int(np.argmin(np.hypot(*(ground.sites_m - (x_m, y_m)).T)))
    around = ground.around[ground.around_first[home] : ground.around_first[home + 1]].tolist()
    chosen = np.array([places.get(node, ABSENT) for node in around], dtype=np.int32)
    there = chosen != ABSENT
    nodes = np.array(around, dtype=np.int64)[there]
    return Explained(x_m, y_m, origin_s, log_evidence, home, nodes, chosen[there].astype(np.int64), chosen)


def _padded(chosen: NDArray[np.int32], width: int) -> NDArray[np.int32]:
    result = np.full(width, ABSENT, dtype=np.int32)
    result[: len(chosen)] = chosen
    return result


def _distinct(seeds: FloatArray) -> tuple[IntArray, IntArray]:
    """Return the order of seeds, best first, and for each in that order the one that stands for it: see the kernel."""
    order = np.lexsort((seeds[:, 1], seeds[:, 0], seeds[:, 2], -seeds[:, 3]))
    stands_for = np.empty(len(order), dtype=np.int64)
    first_of_each(seeds[order], _APART_M, _APART_S, stands_for)
    return order, stands_for


def distinct_places(sites_m: FloatArray) -> list[int]:
    """Return the first node at each place, by position in the array: nodes within a few metres are one place."""
    places: dict[int, tuple[float, float]] = {}
    for index, (x_m, y_m) in enumerate(sites_m.tolist()):
        if all(math.hypot(x_m - px, y_m - py) > _SAME_PLACE_M for px, py in places.values()):
            places[index] = (x_m, y_m)
    return list(places)


def _is_split(one: Explained, other: Explained) -> bool:
    """Say whether two are one sound, whose pulses were picked twice at some nodes."""
    return abs(one.origin_s - other.origin_s) < _SPLIT_S and _is_near(one, other)


def _is_near(one: Explained, other: Explained) -> bool:
    return math.hypot(one.x_m - other.x_m, one.y_m - other.y_m) < _SPLIT_M


def arrivals_of(shot: Explained, store: Store) -> tuple[Arrival, ...]:
    """Return the arrivals of a shot by time."""
    slots = store.columns.slot[shot.nodes, shot.positions].tolist()
    return tuple(sorted((store.arrivals[slot] for slot in slots), key=lambda item: (item.time_ns, item.uid)))
