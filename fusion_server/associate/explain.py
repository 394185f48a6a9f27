"""Explaining the arrivals held: seeds refined many at a time, the best taken first, its repeats with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.evidence import (
    LARGEST_LOG_VOLUME,
    class_log_odds,
    clutter_hz,
    log_prior_rate,
    log_volume,
    pattern,
    same_strength,
    student_log_density,
)
from fusion_server.associate.grid import Grid, Seed, distinct
from fusion_server.associate.settings import AssociateSettings
from fusion_server.locate.refine import QUICK, refine
from fusion_server.locate.screen import distinct_places
from shotline.atmosphere import Weather
from shotline.domain import Arrival
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["Explainer", "Hypothesis"]

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A shot that explains some arrivals: which, where and when roughly, and how strong the case is."""

    arrivals: tuple[Arrival, ...]
    x_m: float
    y_m: float
    origin_time_ns: int
    log_evidence: float


_COARSE_GATE_S = 0.15
"""Reach of a seed: half the diagonal of a cell, half a bin, and the path's own scatter."""
_GATE_SIGMAS = 0.3
"""Spread of residuals inside a gate, as a share of the gate."""
_ECHO_PULL_S = 0.05
"""Echoes pull a seed late: each is also tried this much earlier."""
_SAY_AT_1_HZ = 3.5
"""Log of the residual density over clutter of one a second: what an ordinary arrival adds to a hypothesis."""
_PROMINENT_LOG_HZ = 0.0
"""An arrival is prominent when it would be clutter less than once a second."""
_BATCH = 16
_REPEAT_GATE_SIGMAS = 4.0
_SPLIT_S = 0.04
_SPLIT_M = 30.0
"""Nearer than these in time and place, two shots are one: automatic fire of 950 rounds/min takes 63 ms a round."""
_ABSENT_M = 1e9
"""Sigma of a node that has no arrival in a fit."""


@dataclass(frozen=True, slots=True)
class _Explained:
    """A hypothesis with the indices of its arrivals."""

    chosen: IndexArray
    origin_s: float
    hypothesis: Hypothesis


class Explainer:
    """The arrivals held, as arrays, while they are being explained.

    Parameters
    ----------
    settings : AssociateSettings
    grid : Grid
    arrivals : sequence of Arrival
        Ordered by node, then time.
    node : sequence of int
        Index of each arrival's site in the grid.
    free : sequence of bool
        Whether an arrival may be explained; the others are clutter only.
    anchors : sequence of bool
        Whether an arrival may start a hypothesis.
    spans_s : tuple of ndarray
        Spans of listening, see `Listening.spans_s`.
    weather : Weather
    epoch_ns, now_ns : int
    """

    def __init__(
        self,
        settings: AssociateSettings,
        grid: Grid,
        arrivals: Sequence[Arrival],
        *,
        node: Sequence[int],
        free: Sequence[bool],
        anchors: Sequence[bool],
        spans_s: tuple[FloatArray, FloatArray],
        weather: Weather,
        epoch_ns: int,
        now_ns: int,
    ) -> None:
        self._settings = settings
        self._grid = grid
        self._arrivals = arrivals
        self._weather = weather
        self._speed = weather.speed_of_sound_mps
        self._wind = np.array(weather.wind_enu_mps)
        self._epoch_ns = epoch_ns
        self._now_s = (now_ns - epoch_ns) / NS_PER_S
        self._spans_s = spans_s
        self._node = np.array(node, dtype=np.intp)
        self._free = np.array(free)
        self._anchors = np.array(anchors)
        self._time_s = np.array([arrival.time_ns - epoch_ns for arrival in arrivals]) / NS_PER_S
        pick_s = np.array([arrival.sigma_s for arrival in arrivals])
        site_m = np.array([arrival.site.sigma_m for arrival in arrivals])
        self._sigma_m = np.sqrt(self._speed**2 * (pick_s**2 + settings.path_sigma_s**2) + site_m**2)
        self._snr_db = np.array([arrival.snr_db for arrival in arrivals])
        self._log_clutter = np.log(clutter_hz(self._time_s, self._node, self._snr_db, settings))
        self._log_clutter -= settings.class_weight * class_log_odds(arrivals, settings)
        # Arrivals are ordered by node: each present node is one slice.
        self._present, self._first = np.unique(self._node, return_index=True)
        self._column = np.searchsorted(self._present, self._node)

    def explain(self, before: Sequence[Hypothesis]) -> list[Hypothesis]:
        """Take the best hypothesis, strike out its arrivals and its repeats, until nothing more stands up.

        Parameters
        ----------
        before : sequence of Hypothesis
            What was found last time: looked at again first.
        """
        found: list[Hypothesis] = []
        again = [
            Seed(shot.x_m, shot.y_m, (shot.origin_time_ns - self._epoch_ns) / NS_PER_S, math.inf) for shot in before
        ]
        while True:
            count = len(found)
            seeds = distinct([*again, *self._make_seeds()])
            cached: dict[int, _Explained | None] = {}
            while (best := self._best(seeds, cached)) is not None:
                if any(_is_split(best.hypothesis, other) for other in found):
                    self._free[best.chosen] = False
                else:
                    found += self._take_with_repeats(best)
            if len(found) == count:
                return sorted(found, key=lambda shot: (shot.origin_time_ns, shot.x_m, shot.y_m))

    def _make_seeds(self) -> list[Seed]:
        prominent = np.flatnonzero(self._free & (self._log_clutter <= _PROMINENT_LOG_HZ))
        if len(np.unique(self._node[prominent])) < self._settings.min_nodes:
            return []
        return self._grid.seeds(
            self._time_s[prominent],
            self._node[prominent],
            _SAY_AT_1_HZ - self._log_clutter[prominent],
            self._anchors[prominent],
            self._weather,
        )

    def _best(self, seeds: Sequence[Seed], cached: dict[int, _Explained | None]) -> _Explained | None:
        """Return the hypothesis of most evidence among the seeds, if it has enough."""
        bounds = self._bounds(seeds)
        order = np.argsort(-bounds, kind="stable")
        best: _Explained | None = None
        at_least = self._settings.min_log_evidence
        for start in range(0, len(order), _BATCH):
            batch = [int(number) for number in order[start : start + _BATCH] if bounds[number] >= at_least]
            stale = [number for number in batch if number not in cached or not self._is_free(cached[number])]
            cached.update(zip(stale, self._evaluate([seeds[number] for number in stale]), strict=True))
            for number in batch:
                known = cached[number]
                if known is not None and known.hypothesis.log_evidence >= at_least:
                    best, at_least = known, known.hypothesis.log_evidence
            if len(batch) < _BATCH:
                break
        return best

    def _is_free(self, known: _Explained | None) -> bool:
        return known is None or bool(self._free[known.chosen].all())

    def _bounds(self, seeds: Sequence[Seed]) -> FloatArray:
        """Return for each seed the most log evidence that the free arrivals near its prediction could give it.

        Every residual is taken as zero and the posterior as large as it can be; the silent nodes are judged from the
        seed's place. Seeds with too few nodes get minus infinity. Shape (n_seeds,).
        """
        if not seeds:
            return np.zeros(0)
        places = np.array([(seed.x_m, seed.y_m) for seed in seeds])
        arrival_s = np.array([seed.origin_s for seed in seeds])[:, None] + self._travel_s(places)
        near = (np.abs(self._time_s - arrival_s[:, self._node]) < _COARSE_GATE_S + _ECHO_PULL_S) & self._free
        gain = student_log_density(np.zeros(1)) - np.log(self._sigma_m / self._speed) - self._log_clutter
        best_gain, _ = self._best_by_node(np.where(near, gain, -np.inf))
        heard = self._heard(best_gain > -np.inf)
        bounds: FloatArray = np.where(best_gain > -np.inf, best_gain, 0.0).sum(axis=1)
        bounds += pattern(self._distance_m(places), heard, self._silent(heard, arrival_s), self._settings)
        bounds += LARGEST_LOG_VOLUME + log_prior_rate(self._settings)
        bounds[heard.sum(axis=1) < self._settings.min_nodes] = -np.inf
        return bounds

    def _evaluate(self, seeds: Sequence[Seed]) -> list[_Explained | None]:
        """Return each seed refined, as the better of two tries: as seeded, and a little earlier."""
        if not seeds:
            return []
        places = np.array([(seed.x_m, seed.y_m) for seed in seeds])
        origins = np.array([seed.origin_s for seed in seeds])
        as_is, earlier = (self._settle(places, origins - shift_s) for shift_s in (0.0, _ECHO_PULL_S))
        return [
            max((one for one in pair if one), key=lambda one: one.hypothesis.log_evidence, default=None)
            for pair in zip(as_is, earlier, strict=True)
        ]

    def _settle(self, places: FloatArray, origins_s: FloatArray) -> list[_Explained | None]:
        """Fit, choose the likeliest arrivals, fit again; places of shape (n_rows, 2), origins of shape (n_rows,)."""
        result: list[_Explained | None] = [None] * len(places)
        rows = np.arange(len(places))
        covariance = np.empty((0, 3, 3))
        for gate_s in (_COARSE_GATE_S, self._settings.gate_s, self._settings.gate_s):
            chosen = self._likeliest(places, origins_s, gate_s)
            alive = (chosen >= 0).sum(axis=1) >= self._settings.min_nodes
            rows, chosen, places, origins_s = rows[alive], chosen[alive], places[alive], origins_s[alive]
            if not len(rows):
                return result
            places, origins_s, covariance = self._fit(places, origins_s, chosen)
        chosen = self._likeliest(places, origins_s, self._settings.gate_s)
        evidence = self._log_evidence(places, origins_s, covariance, chosen)
        for number, row in enumerate(rows):
            result[row] = self._explained(
                chosen[number][chosen[number] >= 0], places[number], float(origins_s[number]), float(evidence[number])
            )
        return result

    def _explained(
        self, chosen: IndexArray, place: FloatArray, origin_s: float, log_evidence: float
    ) -> _Explained | None:
        arrivals = sorted((self._arrivals[index] for index in chosen), key=lambda item: (item.time_ns, item.uid))
        if distinct_places(arrivals) < self._settings.min_nodes:
            return None
        origin_time_ns = self._epoch_ns + ns_from_seconds(origin_s)
        hypothesis = Hypothesis(tuple(arrivals), float(place[0]), float(place[1]), origin_time_ns, log_evidence)
        return _Explained(chosen, origin_s, hypothesis)

    def _take_with_repeats(self, first: _Explained) -> list[Hypothesis]:
        """Strike out a shot and every further round that repeats its pattern, best first."""
        taken = [first]
        self._free[first.chosen] = False
        while (again := self._repeat(first, taken)) is not None:
            taken.append(again)
            self._free[again.chosen] = False
        return [explained.hypothesis for explained in taken]

    def _repeat(self, first: _Explained, taken: Sequence[_Explained]) -> _Explained | None:
        """Return the best further round from the same place, or None.

        Rounds from one place travel the same paths: at each node the arrival comes as long after the first round's as
        at every other node, to within a few milliseconds, and about as strong; and who heard the first should hear the
        next. Each free arrival at a node of the first round proposes a delay; the evidence of a delay is like that of
        a place, with repeats much likelier than fresh shots.
        """
        settings = self._settings
        pattern_s, pattern_db = np.full((2, len(self._grid.sites_m)), np.nan)
        pattern_s[self._node[first.chosen]] = self._time_s[first.chosen]
        pattern_db[self._node[first.chosen]] = self._snr_db[first.chosen]
        delay = self._time_s - pattern_s[self._node]
        taken_after = np.array([explained.origin_s for explained in taken]) - first.origin_s
        fresh = np.abs(delay[:, None] - taken_after).min(axis=1) >= _SPLIT_S
        delays = np.sort(delay[self._free & fresh & (np.abs(delay) <= settings.repeat_within_s)])
        if len(delays) < settings.min_nodes:
            return None
        off = np.abs(delay - delays[:, None])
        score = student_log_density(off / settings.repeat_sigma_s) - math.log(settings.repeat_sigma_s)
        score += same_strength(self._snr_db - pattern_db[self._node], settings)
        inside = self._free & (off <= _REPEAT_GATE_SIGMAS * settings.repeat_sigma_s)
        best_score, chosen = self._best_by_node(np.where(inside, score - self._log_clutter, -np.inf))
        heard = self._heard(chosen >= 0)
        place = np.array([[first.hypothesis.x_m, first.hypothesis.y_m]])
        arrival_s = first.origin_s + delays[:, None] + self._travel_s(place)
        silent = self._silent(heard, arrival_s) & ~np.isnan(pattern_s)
        evidence: FloatArray = np.where(chosen >= 0, best_score, 0.0).sum(axis=1)
        evidence += heard.sum(axis=1) * math.log(settings.detect_probability)
        evidence += silent.sum(axis=1) * math.log1p(-settings.detect_probability)
        evidence += math.log(settings.repeats_hz) + 0.5 * math.log(2.0 * math.pi) + math.log(settings.repeat_sigma_s)
        evidence[heard.sum(axis=1) < settings.min_nodes] = -np.inf
        top = int(evidence.argmax())
        if evidence[top] < settings.min_log_evidence:
            return None
        origin_s = np.array([first.origin_s + float(delays[top])])
        fitted, fitted_s, _ = self._fit(place, origin_s, chosen[top : top + 1])
        more = self._likeliest(fitted, fitted_s, settings.gate_s)[0]
        both = np.where(chosen[top] >= 0, chosen[top], more)
        return self._explained(both[both >= 0], fitted[0], float(fitted_s[0]), float(evidence[top]))

    def _best_by_node(self, score: FloatArray) -> tuple[FloatArray, IndexArray]:
        """Return the best score at each present node and the index of its arrival, -1 where there is none.

        Parameters
        ----------
        score : ndarray, shape (n_rows, n_arrivals), float64
            Minus infinity for an arrival that is out of the question.

        Returns
        -------
        best, chosen : ndarray, shape (n_rows, n_present)
        """
        best: FloatArray = np.maximum.reduceat(score, self._first, axis=1)
        is_best = (score == best[:, self._column]) & (score > -np.inf)
        # The first arrival that reaches its node's best: later equals are masked by a running count.
        index = np.where(is_best, np.arange(score.shape[1]), score.shape[1])
        chosen: IndexArray = np.minimum.reduceat(index, self._first, axis=1)
        return best, np.where(chosen < score.shape[1], chosen, -1)

    def _likeliest(self, places: FloatArray, origins_s: FloatArray, gate_s: float) -> IndexArray:
        """Return at each present node the free arrival inside the gate that is likeliest this sound: near, prominent.

        Shape (n_rows, n_present), -1 where there is none.
        """
        predicted = origins_s[:, None] + self._travel_s(places)
        off = np.abs(self._time_s - predicted[:, self._node])
        score = student_log_density(off / (_GATE_SIGMAS * gate_s)) - self._log_clutter
        return self._best_by_node(np.where((off <= gate_s) & self._free, score, -np.inf))[1]

    def _fit(
        self, places: FloatArray, origins_s: FloatArray, chosen: IndexArray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return places, origins and covariance of (x, y, c t) fitted to the chosen arrivals of each row.

        In the frame that moves with the air the medium is at rest; see `fusion_server.locate`.
        """
        there = chosen >= 0
        delay_s = np.where(there, self._time_s[chosen] - origins_s[:, None], 0.0)
        sites_m = self._grid.sites_m[self._present] - self._wind * delay_s[:, :, None]
        refined = refine(
            places,
            sites_m,
            self._speed * delay_s,
            np.where(there, self._sigma_m[chosen], _ABSENT_M),
            speed_error_sigma=self._settings.speed_error_sigma,
            start_offset_m=np.zeros(len(places)),
            stages=QUICK,
        )
        offset_s = refined.offset_m / self._speed
        covariance = np.asarray(np.linalg.inv(refined.information)[:, :3, :3], dtype=np.float64)
        ground_m: FloatArray = refined.position_m + self._wind * offset_s[:, None]
        origins: FloatArray = origins_s + offset_s
        return ground_m, origins, covariance

    def _log_evidence(
        self, places: FloatArray, origins_s: FloatArray, covariance_m2: FloatArray, chosen: IndexArray
    ) -> FloatArray:
        """Return log odds that a shot, rather than unrelated impulses, made these arrivals and these silences.

        Laplace's approximation: the residual densities over the clutter density at the best fit, times the volume of
        the posterior over (x, y, t), times the prior rate of shots; loudness is averaged out. Shape (n_rows,).
        """
        predicted = origins_s[:, None] + self._travel_s(places)
        there = chosen >= 0
        sigma_s = self._sigma_m[chosen] / self._speed
        standardised = (self._time_s[chosen] - predicted[:, self._present]) / sigma_s
        density = student_log_density(standardised) - np.log(sigma_s) - self._log_clutter[chosen]
        heard = self._heard(there)
        evidence: FloatArray = np.where(there, density, 0.0).sum(axis=1)
        evidence += pattern(self._distance_m(places), heard, self._silent(heard, predicted), self._settings)
        evidence += log_volume(covariance_m2, self._speed) + log_prior_rate(self._settings)
        return evidence

    def _heard(self, there: BoolArray) -> BoolArray:
        """Return which sites heard, shape (n_rows, n_sites), from which present nodes did."""
        heard = np.zeros((len(there), len(self._grid.sites_m)), dtype=bool)
        heard[:, self._present] = there
        return heard

    def _silent(self, heard: BoolArray, arrival_s: FloatArray) -> BoolArray:
        """Return which sites were listening, had time to report, and did not; shape (n_rows, n_sites)."""
        starts_s, ends_s = self._spans_s
        listened = ((starts_s <= arrival_s[:, :, None]) & (arrival_s[:, :, None] <= ends_s)).any(axis=2)
        silent: BoolArray = ~heard & listened & (arrival_s + self._settings.latency_s < self._now_s)
        return silent

    def _distance_m(self, places: FloatArray) -> FloatArray:
        path = self._grid.sites_m - places[:, None, :]
        distance: FloatArray = np.hypot(path[:, :, 0], path[:, :, 1])
        return distance

    def _travel_s(self, places: FloatArray) -> FloatArray:
        """Return travel times from many places to every site, shape (n_places, n_sites)."""
        return travel_time_s(
            places[:, None, :], self._grid.sites_m, speed_of_sound_mps=self._speed, wind_mps=self._wind
        )


def _is_split(one: Hypothesis, other: Hypothesis) -> bool:
    """Say whether two hypotheses are one sound, whose pulses were picked twice at some nodes."""
    together = abs(one.origin_time_ns - other.origin_time_ns) < ns_from_seconds(_SPLIT_S)
    return together and math.hypot(one.x_m - other.x_m, one.y_m - other.y_m) < _SPLIT_M
