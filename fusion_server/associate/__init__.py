"""Association: from a stream of arrivals with echoes and clutter to the shots that explain them, in event time.

How it works, per new arrival: every cell of a coarse grid says when a sound from there would have left to arrive just
now; a stack over cells and origin times counts the nodes that agree. Well-supported (cell, instant) pairs become
seeds. To solve, seeds are refined on the arrivals near their prediction and weighed by their evidence - heard nodes,
silent nodes that should have heard, clutter, prior rate of shots. The best is taken, its arrivals are struck out, and
so on: one arrival belongs to one shot. Solving is a pure function of the arrivals held, so later arrivals may overturn
earlier conclusions.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.listening import Listening
from fusion_server.locate.refine import QUICK, STUDENT_NU, refine
from fusion_server.locate.screen import distinct_places
from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Site
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["AssociateSettings", "Associator", "Hypothesis"]

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class AssociateSettings:
    """Settings of association; see docs/parameters-by-symptom.md.

    Parameters
    ----------
    min_nodes : int
        Nodes at distinct places that a shot must rest on.
    cell_m : float
        Spacing of the search grid.
    margin_m : float
        How far beyond the outermost nodes the grid reaches.
    path_sigma_s, speed_error_sigma
        As in the locator.
    gate_s : float
        An arrival this far from a hypothesis is not part of it.
    shots_per_km2_hour : float
        Prior rate of shots: how much evidence is asked for.
    clutter_hz : float
        Least rate of other impulses at a node.
    clutter_window_s : float
        Other impulses of a node are counted within this time of an arrival.
    strength_softness_db : float
        How sharply a weaker neighbour is discounted when counting clutter.
    detect_probability : float
        Chance that a node well within range reports a shot.
    latency_s : float
        How late after its predicted arrival a node may report before it counts as silent.
    min_log_evidence : float
        Log odds a hypothesis must reach.
    """

    min_nodes: int = 4
    cell_m: float = 35.0
    margin_m: float = 300.0
    path_sigma_s: float = 0.009
    speed_error_sigma: float = 0.004
    gate_s: float = 0.045
    shots_per_km2_hour: float = 1.0
    clutter_hz: float = 0.1
    clutter_window_s: float = 3.0
    strength_softness_db: float = 3.0
    detect_probability: float = 0.9
    latency_s: float = 0.6
    min_log_evidence: float = -3.5


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A shot that explains some arrivals: which, where and when roughly, and how strong the case is."""

    arrivals: tuple[Arrival, ...]
    x_m: float
    y_m: float
    origin_time_ns: int
    log_evidence: float


_BIN_S = 0.05
_COARSE_GATE_S = 0.15
"""Reach of a seed: half the diagonal of a cell, half a bin, and the path's own scatter."""
_GATE_SIGMAS = 0.3
"""Spread of residuals inside a gate, as a share of the gate."""
_ECHO_PULL_S = 0.05
_SEEDS_PER_ARRIVAL = 4
_SEED_APART_M = 75.0
_SAY_AT_1_HZ = 3.5
"""Log of the residual density over clutter of one a second: what an ordinary arrival adds to a hypothesis."""
_LEAST_SAY = 0.5
_LOUDNESS_RANGES_M = (200.0, 300.0, 450.0, 650.0, 900.0, 1200.0, 1600.0)
_RANGE_SOFTNESS = 0.15
_LARGEST_VOLUME = 4.0
"""Cap on the log volume (m² s) of the posterior: a vague place must not count for much."""


class _Grid:
    """Cells of the search area and the travel time from each to every site."""

    def __init__(self, sites: Sequence[Site], settings: AssociateSettings) -> None:
        self.sites_m = np.array([(site.x_m, site.y_m) for site in sites]).reshape(-1, 2)
        low = self.sites_m.min(axis=0) - settings.margin_m
        high = self.sites_m.max(axis=0) + settings.margin_m
        xs = np.arange(low[0], high[0] + settings.cell_m, settings.cell_m)
        ys = np.arange(low[1], high[1] + settings.cell_m, settings.cell_m)
        self.cells_m = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
        self._weather: Weather | None = None
        self._travel_s = np.empty((0, 0))

    def travel_s(self, weather: Weather) -> FloatArray:
        """Return travel times, shape (n_sites, n_cells); recomputed when the weather changes."""
        if weather != self._weather:
            speed, wind = weather.speed_of_sound_mps, np.array(weather.wind_enu_mps)
            # Reversing the wind makes the site the source: one call per site instead of one per cell.
            self._travel_s = np.stack(
                [travel_time_s(site, self.cells_m, speed_of_sound_mps=speed, wind_mps=-wind) for site in self.sites_m]
            )
            self._weather = weather
        return self._travel_s


@dataclass(frozen=True, slots=True)
class _Seed:
    cell: int
    origin_s: float
    support: float


class Associator:
    """Holds the open arrivals and explains them.

    Parameters
    ----------
    registry : Registry
        At least one site.
    settings : AssociateSettings
    window_s : float
        Longest time between a shot's origin and the last arrival or query about it.
    listening : Listening
        When each node could have spoken.
    """

    def __init__(
        self, registry: Registry, settings: AssociateSettings, *, window_s: float, listening: Listening
    ) -> None:
        self._settings = settings
        self._listening = listening
        self._sites = tuple(registry)
        self._index = {site.node: index for index, site in enumerate(self._sites)}
        self._grid = _Grid(self._sites, settings)
        self._arrivals: dict[DetectionId, Arrival] = {}
        self._struck: set[DetectionId] = set()
        self._seeds: dict[DetectionId, list[_Seed]] = {}
        n_bins = math.ceil(window_s / _BIN_S) + 2
        self._stack = np.zeros((n_bins, len(self._grid.cells_m)), dtype=np.float32)
        self._lately: dict[str, list[Arrival]] = {site.node: [] for site in self._sites}
        self._row_bin = np.full(n_bins, -1, dtype=np.int64)
        self._cells = np.arange(len(self._grid.cells_m))
        self._epoch_ns: int | None = None

    def add(self, arrival: Arrival, weather: Weather) -> None:
        """Take one arrival of a registered site."""
        if self._epoch_ns is None:
            self._epoch_ns = arrival.time_ns - 1000 * NS_PER_S
        self._arrivals[arrival.uid] = arrival
        origin_s = self._seconds(arrival.time_ns) - self._grid.travel_s(weather)[self._index[arrival.site.node]]
        bins = np.floor(origin_s / _BIN_S).astype(np.int64)
        self._recycle(bins)
        rows = bins % len(self._stack)
        self._stack[rows, self._cells] += self._prominence(arrival)
        n_bins = len(self._stack)
        beside = np.maximum(
            self._peek((bins - 1) % n_bins, bins - 1),
            self._peek((bins + 1) % n_bins, bins + 1),
        )
        self._seeds[arrival.uid] = self._seeds_of(self._stack[rows, self._cells] + beside, origin_s)

    def strike(self, uids: Iterable[DetectionId]) -> None:
        """Keep arrivals as clutter only: they belong to a concluded shot."""
        self._struck.update(uid for uid in uids if uid in self._arrivals)

    def age(self, *, strike_before_ns: int, forget_before_ns: int) -> None:
        """Strike arrivals too old to start a new shot, and forget those too old to matter at all."""
        for uid, arrival in list(self._arrivals.items()):
            if arrival.time_ns < forget_before_ns:
                del self._arrivals[uid]
                del self._seeds[uid]
                self._struck.discard(uid)
            elif arrival.time_ns < strike_before_ns:
                self._struck.add(uid)

    def solve(self, now_ns: int, weather: Weather) -> list[Hypothesis]:
        """Return the shots that best explain the arrivals held, by origin time.

        Parameters
        ----------
        now_ns : int
            Event time; nodes that cannot have reported yet do not count as silent.
        weather : Weather
        """
        held = sorted(self._arrivals.values(), key=lambda arrival: (arrival.time_ns, arrival.uid))
        if len(held) - len(self._struck) < self._settings.min_nodes:
            return []
        return _View(self, held, weather, now_ns).explain()

    def _seconds(self, time_ns: int) -> float:
        assert self._epoch_ns is not None
        return (time_ns - self._epoch_ns) / NS_PER_S

    def _recycle(self, bins: NDArray[np.int64]) -> None:
        for number in range(int(bins.min()), int(bins.max()) + 1):
            row = number % len(self._stack)
            if self._row_bin[row] < number:
                self._stack[row] = 0
                self._row_bin[row] = number

    def _prominence(self, arrival: Arrival) -> float:
        """Return how much an arrival stands out among those just before it at its node: its say in the stack."""
        settings = self._settings
        reach_ns = ns_from_seconds(settings.clutter_window_s)
        lately = [other for other in self._lately[arrival.site.node] if other.time_ns > arrival.time_ns - reach_ns]
        self._lately[arrival.site.node] = [*lately, arrival]
        as_strong = sum(
            1.0
            / (1.0 + math.exp(max(-30.0, min(30.0, (arrival.snr_db - other.snr_db) / settings.strength_softness_db))))
            for other in lately
        )
        return max(
            _LEAST_SAY, -math.log(max(as_strong / settings.clutter_window_s, settings.clutter_hz)) + _SAY_AT_1_HZ
        )

    def _peek(self, rows: NDArray[np.int64], bins: NDArray[np.int64]) -> NDArray[np.float32]:
        said: NDArray[np.float32] = np.where(self._row_bin[rows] == bins, self._stack[rows, self._cells], np.float32(0))
        return said

    def _seeds_of(self, support: NDArray[np.float32], origin_s: FloatArray) -> list[_Seed]:
        support = support.copy()
        seeds: list[_Seed] = []
        for _ in range(_SEEDS_PER_ARRIVAL):
            cell = int(support.argmax())
            if support[cell] < self._settings.min_nodes * _LEAST_SAY:
                break
            seeds.append(_Seed(cell, float(origin_s[cell]), float(support[cell])))
            offset = self._grid.cells_m - self._grid.cells_m[cell]
            support[np.abs(offset).max(axis=1) < _SEED_APART_M] = 0
        return seeds


class _View:
    """The arrivals held, as arrays, while they are being explained."""

    def __init__(self, owner: Associator, held: list[Arrival], weather: Weather, now_ns: int) -> None:
        self._settings = owner._settings
        self._arrivals = held
        self._cells_m = owner._grid.cells_m
        self._travel_s = owner._grid.travel_s(weather)
        self._sites_m = owner._grid.sites_m
        self._speed = weather.speed_of_sound_mps
        self._wind = np.array(weather.wind_enu_mps)
        self._epoch_ns = owner._epoch_ns or 0
        self._now_s = (now_ns - self._epoch_ns) / NS_PER_S
        self._node = np.array([owner._index[arrival.site.node] for arrival in held], dtype=np.intp)
        self._time_s = np.array([arrival.time_ns - self._epoch_ns for arrival in held]) / NS_PER_S
        self._sigma_m = np.array(
            [
                math.hypot(self._speed * math.hypot(arrival.sigma_s, self._settings.path_sigma_s), arrival.site.sigma_m)
                for arrival in held
            ]
        )
        self._listens_from_s, self._listens_until_s = owner._listening.spans_s(self._epoch_ns)
        self._log_clutter = np.log(self._clutter())
        self._free = np.array([arrival.uid not in owner._struck for arrival in held])
        self._seeds = self._distinct_seeds(
            [seed for arrival in held if arrival.uid not in owner._struck for seed in owner._seeds[arrival.uid]]
        )

    def explain(self) -> list[Hypothesis]:
        """Take the best-supported hypothesis, strike out its arrivals, repeat."""
        found: list[Hypothesis] = []
        cached: dict[int, tuple[IndexArray, Hypothesis] | None] = {}
        while True:
            bounds = self._bounds()
            best: tuple[IndexArray, Hypothesis] | None = None
            for number in np.argsort(-bounds, kind="stable"):
                if bounds[number] < (self._settings.min_log_evidence if best is None else best[1].log_evidence):
                    break
                known = cached.get(int(number))
                if int(number) not in cached or (known is not None and not self._free[known[0]].all()):
                    cached[int(number)] = known = self._evaluate(self._seeds[int(number)])
                if known is not None and (best is None or known[1].log_evidence > best[1].log_evidence):
                    best = known
            if best is None or best[1].log_evidence < self._settings.min_log_evidence:
                break
            found.append(best[1])
            self._free[best[0]] = False
        return sorted(found, key=lambda hypothesis: hypothesis.origin_time_ns)

    def _clutter(self) -> FloatArray:
        """Return the rate at which other impulses about as strong or stronger come to each arrival's node, Hz.

        An echo or a far door is seldom the strongest sound about: the stronger an arrival among its neighbours in
        time, the less likely it is clutter. Neighbours count by a soft comparison of SNR.
        """
        window = self._settings.clutter_window_s
        snr_db = np.array([arrival.snr_db for arrival in self._arrivals])
        rate = np.empty(len(self._arrivals))
        for node in np.unique(self._node):
            mine = np.flatnonzero(self._node == node)
            near = np.abs(self._time_s[mine][:, None] - self._time_s[mine]) <= window
            np.fill_diagonal(near, False)
            stronger_db = snr_db[mine] - snr_db[mine][:, None]
            as_strong = 1.0 / (1.0 + np.exp(np.clip(-stronger_db / self._settings.strength_softness_db, -30.0, 30.0)))
            rate[mine] = (near * as_strong).sum(axis=1) / (2.0 * window)
        return np.maximum(rate, self._settings.clutter_hz)

    def _distinct_seeds(self, seeds: list[_Seed]) -> list[_Seed]:
        kept: list[_Seed] = []
        for seed in sorted(seeds, key=lambda item: (-item.support, item.origin_s, item.cell)):
            place = self._cells_m[seed.cell]
            if all(
                abs(seed.origin_s - other.origin_s) > _BIN_S
                or math.dist(place, self._cells_m[other.cell]) > _SEED_APART_M
                for other in kept
            ):
                kept.append(seed)
        return kept

    def _bounds(self) -> FloatArray:
        """Return for each seed the most log evidence that the free arrivals near its prediction could give it.

        Every residual is taken as zero and the posterior as large as it can be; the silent nodes are judged from the
        middle of the cell. Seeds with too few nodes get minus infinity. Shape (n_seeds,).
        """
        if not self._seeds:
            return np.zeros(0)
        cells = np.array([seed.cell for seed in self._seeds])
        origins = np.array([seed.origin_s for seed in self._seeds])
        arrival_s = self._travel_s[:, cells].T + origins[:, None]
        near = (np.abs(self._time_s - arrival_s[:, self._node]) < _COARSE_GATE_S) & self._free
        gain = _student_log_density(np.zeros(1)) - np.log(self._sigma_m / self._speed) - self._log_clutter
        best_gain: FloatArray = np.full((len(self._seeds), len(self._sites_m)), -np.inf)
        rows, columns = np.nonzero(near)
        np.maximum.at(best_gain, (rows, self._node[columns]), gain[columns])
        heard = best_gain > -np.inf
        distance = self._travel_s[:, cells].T * self._speed
        bounds: FloatArray = np.where(heard, best_gain, 0.0).sum(axis=1)
        bounds += self._pattern(distance, heard, arrival_s) + _LARGEST_VOLUME + self._prior()
        bounds[heard.sum(axis=1) < self._settings.min_nodes] = -np.inf
        return bounds

    def _pattern(self, distance_m: FloatArray, heard: NDArray[np.bool_], arrival_s: FloatArray) -> FloatArray:
        """Return the log probability of who heard and who did not, loudness averaged out.

        Parameters
        ----------
        distance_m, heard, arrival_s : ndarray, shape (n_rows, n_sites)
            The last is the predicted arrival time; nodes that cannot have reported it say nothing.
        """
        ranges = np.array(_LOUDNESS_RANGES_M)[:, None, None]
        softness = np.clip((distance_m - ranges) / (_RANGE_SOFTNESS * ranges), -30.0, 30.0)
        audible = self._settings.detect_probability / (1.0 + np.exp(softness))
        listened = (self._listens_from_s <= arrival_s[:, :, None]) & (arrival_s[:, :, None] <= self._listens_until_s)
        silent = ~heard & (arrival_s + self._settings.latency_s < self._now_s) & listened.any(axis=2)
        pattern = np.where(heard, np.log(audible), np.where(silent, np.log1p(-audible), 0.0)).sum(axis=2)
        result: FloatArray = np.logaddexp.reduce(pattern, axis=0) - math.log(len(_LOUDNESS_RANGES_M))
        return result

    def _prior(self) -> float:
        """Return the log of the prior rate of shots, per square metre and second."""
        return math.log(self._settings.shots_per_km2_hour / (1e6 * 3600.0))

    def _evaluate(self, seed: _Seed) -> tuple[IndexArray, Hypothesis] | None:
        """Return the better of two tries: as seeded, and a little earlier, since echoes pull a seed late."""
        tries = (self._settle(seed.cell, seed.origin_s - shift_s) for shift_s in (0.0, _ECHO_PULL_S))
        return max((one for one in tries if one), key=lambda one: one[1].log_evidence, default=None)

    def _settle(self, cell: int, origin_s: float) -> tuple[IndexArray, Hypothesis] | None:
        position = self._cells_m[cell]
        chosen = np.empty(0, dtype=np.intp)
        for gate_s in (_COARSE_GATE_S, self._settings.gate_s, self._settings.gate_s):
            before = chosen
            chosen = self._likeliest(position, origin_s, gate_s)
            if len(chosen) < self._settings.min_nodes:
                return None
            if gate_s != _COARSE_GATE_S and np.array_equal(before, chosen):
                break
            position, origin_s, covariance = self._fit(position, chosen)
        chosen = self._likeliest(position, origin_s, self._settings.gate_s)
        arrivals = tuple(self._arrivals[index] for index in chosen)
        if distinct_places(arrivals) < self._settings.min_nodes:
            return None
        hypothesis = Hypothesis(
            arrivals=arrivals,
            x_m=float(position[0]),
            y_m=float(position[1]),
            origin_time_ns=self._epoch_ns + ns_from_seconds(origin_s),
            log_evidence=self._log_evidence(position, origin_s, covariance, chosen),
        )
        return chosen, hypothesis

    def _predicted_s(self, position: FloatArray, origin_s: float) -> FloatArray:
        return origin_s + travel_time_s(position, self._sites_m, speed_of_sound_mps=self._speed, wind_mps=self._wind)

    def _likeliest(self, position: FloatArray, origin_s: float, gate_s: float) -> IndexArray:
        """Return at each node the free arrival inside the gate that is likeliest this sound: near, and prominent."""
        off = np.abs(self._time_s - self._predicted_s(position, origin_s)[self._node])
        inside = np.flatnonzero((off <= gate_s) & self._free)
        score = _student_log_density(off[inside] / (_GATE_SIGMAS * gate_s)) - self._log_clutter[inside]
        order = inside[np.lexsort((inside, -score, self._node[inside]))]
        _, first = np.unique(self._node[order], return_index=True)
        likeliest: IndexArray = np.sort(order[first])
        return likeliest

    def _fit(self, position: FloatArray, chosen: IndexArray) -> tuple[FloatArray, float, FloatArray]:
        times = self._time_s[chosen]
        reference_s = float(times[0])
        delay = times - reference_s
        sites = self._sites_m[self._node[chosen]] - self._wind * delay[:, None]
        refined = refine(
            position[None],
            sites[None],
            (self._speed * delay)[None],
            self._sigma_m[chosen][None],
            speed_error_sigma=self._settings.speed_error_sigma,
            stages=QUICK,
        )
        offset_s = float(refined.offset_m[0]) / self._speed
        ground: FloatArray = refined.position_m[0] + self._wind * offset_s
        covariance: FloatArray = np.linalg.inv(refined.information[0])[:3, :3]
        return ground, reference_s + offset_s, covariance

    def _log_evidence(self, position: FloatArray, origin_s: float, covariance: FloatArray, chosen: IndexArray) -> float:
        """Return log odds that a shot, rather than unrelated impulses, made these arrivals and these silences.

        Laplace's approximation of the evidence: the residual densities over the clutter density at the best fit,
        times the volume of the posterior over (x, y, t), times the prior rate of shots; loudness is averaged out.
        """
        predicted = self._predicted_s(position, origin_s)
        sigma_s = self._sigma_m[chosen] / self._speed
        standardised = (self._time_s[chosen] - predicted[self._node[chosen]]) / sigma_s
        density = _student_log_density(standardised) - np.log(sigma_s) - self._log_clutter[chosen]
        heard = np.zeros((1, len(self._sites_m)), dtype=bool)
        heard[0, self._node[chosen]] = True
        pattern = self._pattern(np.hypot(*(self._sites_m - position).T)[None], heard, predicted[None])
        # (x, y, c t): the last axis back to seconds.
        volume = 0.5 * (math.log(max(float(np.linalg.det(covariance)), 1e-12)) + 3.0 * math.log(2.0 * math.pi))
        volume -= math.log(self._speed)
        return float(density.sum()) + float(pattern[0]) + min(volume, _LARGEST_VOLUME) + self._prior()


def _student_log_density(standardised: FloatArray) -> FloatArray:
    constant = (
        math.lgamma(0.5 * (STUDENT_NU + 1.0)) - math.lgamma(0.5 * STUDENT_NU) - 0.5 * math.log(STUDENT_NU * math.pi)
    )
    density: FloatArray = constant - 0.5 * (STUDENT_NU + 1.0) * np.log1p(standardised**2 / STUDENT_NU)
    return density
