"""Seeds fitted and judged, compiled: which arrivals, where exactly, and how strong the case is."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES, Ground, Model, Sky, home_of, listens, travel_s
from fusion_server.associate.rows import ABSENT, COARSE_GATE_S, Columns, lower
from fusion_server.compiled import compiled
from fusion_server.locate.kernel import factorise, solve

__all__ = [
    "CLUTTER_SPREAD_DB",
    "ECHO_PULL_S",
    "GATE_SIGMAS",
    "LARGEST_LOG_VOLUME",
    "LEAST_STRENGTH_ODDS",
    "NU",
    "STUDENT_CONSTANT",
    "WIDE_GATE_SIGMAS",
    "WIDE_SHARE",
    "WIDE_SIGMAS",
    "choose",
    "evidence_at",
    "find_repeat",
    "fit",
    "heard_or_not",
    "settle",
    "settle_best",
    "shared_arrivals",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NU = 4.0
"""Degrees of freedom of the residuals: a place is not yet fine here, so tails are wider than in the locator."""
GATE_SIGMAS = 0.3
"""Spread of residuals inside a gate, as a share of the gate."""
ECHO_PULL_S = 0.05
"""Echoes pull a seed late: each is also tried this much earlier."""
STUDENT_CONSTANT = math.lgamma(0.5 * (NU + 1.0)) - math.lgamma(0.5 * NU) - 0.5 * math.log(NU * math.pi)
LARGEST_LOG_VOLUME = 4.0
"""Cap on the log volume (m² s) of the posterior: a vague place must not count for much."""
WIDE_SHARE = 0.1
"""Of the arrivals of further rounds, so many come along another path than the first one's did, or are picked on it."""
WIDE_SIGMAS = 4.0
WIDE_GATE_SIGMAS = 3.0
CLUTTER_SPREAD_DB = 30.0
LEAST_STRENGTH_ODDS = -3.0
_LOG_2PI = math.log(2.0 * math.pi)
_MAX_STEPS = 30
_ROUGH_FITS = 2
"""The first fits of a seed only have to bring the next gate to the right place."""
_MAX_STEP_M = 250.0


@compiled
def _student(standardised: float) -> float:
    return STUDENT_CONSTANT - 0.5 * (NU + 1.0) * math.log1p(standardised * standardised / NU)


@compiled
def _repeat_density(standardised: float) -> float:
    """Return the log density of an arrival of a further round about where the first one's pattern puts it."""
    # (1 + z²/nu)^-(nu + 1)/2 by roots, since nu is 4: this is asked for more often than anything else.
    narrow, wide = 1.0 + standardised**2 / NU, 1.0 + (standardised / WIDE_SIGMAS) ** 2 / NU
    shares = (1.0 - WIDE_SHARE) / (narrow * narrow * math.sqrt(narrow))
    return STUDENT_CONSTANT + math.log(shares + WIDE_SHARE / WIDE_SIGMAS / (wide * wide * math.sqrt(wide)))


@compiled
def choose(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    home: int,
    x_m: float,
    y_m: float,
    origin_s: float,
    gate_s: float,
    chosen: NDArray[np.int32],
) -> int:
    """Choose at each site around ``home`` the free arrival inside the gate that is likeliest this sound.

    Near the prediction and prominent. Writes positions in the rows of the sites, -1 for none; returns how many sites.
    """
    first, last = ground.around_first[home], ground.around_first[home + 1]
    heard = 0
    for k in range(first, last):
        s = ground.around[k]
        chosen[k - first] = ABSENT
        dx, dy = ground.sites_m[s, 0] - x_m, ground.sites_m[s, 1] - y_m
        if dx * dx + dy * dy > model.reach_m * model.reach_m:
            continue
        predicted_s = origin_s + travel_s(dx, dy, sky)
        count = columns.used[s]
        best = -np.inf
        i = lower(columns.time_s[s], count, predicted_s - gate_s)
        while i < count and columns.time_s[s, i] <= predicted_s + gate_s:
            if columns.free[s, i] == 1:
                off = (columns.time_s[s, i] - predicted_s) / (GATE_SIGMAS * gate_s)
                score = _student(off) - columns.working[s, i]
                if score > best:
                    best = score
                    chosen[k - first] = i
            i += 1
        if chosen[k - first] != ABSENT:
            heard += 1
    return heard


@compiled
def fit(
    sites_m: FloatArray,
    range_m: FloatArray,
    sigma_m: FloatArray,
    n: int,
    speed_error_sigma: float,
    rough: bool,
    state: FloatArray,
) -> float:
    """Fit x, y, range offset b and relative speed error e to ranges, robustly; return the log volume of (x, y, b).

    Model: r_i = b + |p_i - x| / (1 + e), Student-t residuals, a weak prior on e: iteratively reweighted, damped
    Gauss-Newton [Lange1989], with wide residuals first. The log volume is half the
    log determinant of the covariance of (x, y, b), from the expected information at the fit.

    Parameters
    ----------
    sites_m : ndarray, shape (at least n, 2), float64
    range_m, sigma_m : ndarray, shape (at least n,), float64
    rough : bool
        Whether a few metres, under wide residuals, will do.
    state : ndarray, shape (4,), float64
        Start, and written: the fit.
    """
    prior = 1.0 / (speed_error_sigma * speed_error_sigma)
    normal, gradient, step, trial = np.empty((4, 4)), np.empty(4), np.empty(4), np.empty(4)
    damped, trial_normal, trial_gradient = np.empty((4, 4)), np.empty((4, 4)), np.empty(4)
    for stage in range(1 if rough else 2):
        scale, converged_m = (4.0, 3.0 if rough else 1.0) if stage == 0 else (1.0, 0.1)
        damping = 1e-6
        cost = _expand(sites_m, range_m, sigma_m, n, scale, prior, state, normal, gradient)
        for _ in range(_MAX_STEPS):
            damped[:] = normal
            for a in range(4):
                damped[a, a] += damping * normal[a, a] + 1e-12
            if not factorise(damped, 4):
                break
            step[:] = gradient
            solve(damped, step, 4)
            length = math.sqrt(step[0] * step[0] + step[1] * step[1])
            shrink = min(1.0, _MAX_STEP_M / max(length, 1e-300))
            for a in range(4):
                trial[a] = state[a] + shrink * step[a]
            new = _expand(sites_m, range_m, sigma_m, n, scale, prior, trial, trial_normal, trial_gradient)
            if new <= cost + 1e-12:
                state[:] = trial
                normal[:] = trial_normal
                gradient[:] = trial_gradient
                cost = new
                damping *= 0.1
                if length <= converged_m:
                    break
            else:
                damping = max(damping, 1e-4) * 10.0
                if damping >= 1e6:
                    break
    normal[:] = 0.0
    row = np.empty(4)
    slowness = 1.0 / (1.0 + state[3])
    for i in range(n):
        dx, dy = state[0] - sites_m[i, 0], state[1] - sites_m[i, 1]
        distance = math.sqrt(dx * dx + dy * dy)
        near = max(distance, 1e-9)
        expected = (NU + 1.0) / (NU + 3.0) / (sigma_m[i] * sigma_m[i])
        row[0], row[1], row[2], row[3] = dx / near * slowness, dy / near * slowness, 1.0, -distance * slowness**2
        for a in range(4):
            for b in range(a + 1):
                normal[a, b] += expected * row[a] * row[b]
    normal[3, 3] += prior
    corner = normal[3, 3]
    if not factorise(normal, 4):
        return np.inf
    # A minor of the inverse is the complementary minor over the determinant [Jacobi].
    log_det = 0.0
    for a in range(4):
        log_det += 2.0 * math.log(normal[a, a])
    return 0.5 * (math.log(corner) - log_det)


@compiled
def _expand(
    sites_m: FloatArray,
    range_m: FloatArray,
    sigma_m: FloatArray,
    n: int,
    scale: float,
    prior: float,
    state: FloatArray,
    normal: FloatArray,
    gradient: FloatArray,
) -> float:
    """Return the cost of a state; write the lower half of its weighted normal matrix, and the way down. See `fit`."""
    slowness = 1.0 / (1.0 + state[3])
    # A product of many terms needs one logarithm; each is at most a few thousand, so eight fit a float.
    product, total = 1.0, 0.0
    xx = xy = yy = x1 = y1 = sum_1 = xe = ye = sum_e = ee = 0.0
    down_x = down_y = down_1 = down_e = 0.0
    for i in range(n):
        dx, dy = state[0] - sites_m[i, 0], state[1] - sites_m[i, 1]
        distance = math.sqrt(dx * dx + dy * dy)
        residual = range_m[i] - state[2] - distance * slowness
        inverse = 1.0 / (sigma_m[i] * scale)
        z = residual * inverse
        term = NU + z * z
        weight = (NU + 1.0) / term * inverse * inverse
        product *= term / NU
        if product > 1e200:
            total += math.log(product)
            product = 1.0
        per_m = slowness / max(distance, 1e-9)
        x, y, e = dx * per_m, dy * per_m, -distance * slowness * slowness
        wx, wy, we, pull = weight * x, weight * y, weight * e, weight * residual
        xx, xy, yy = xx + wx * x, xy + wx * y, yy + wy * y
        x1, y1, sum_1 = x1 + wx, y1 + wy, sum_1 + weight
        xe, ye, sum_e, ee = xe + wx * e, ye + wy * e, sum_e + we, ee + we * e
        down_x, down_y, down_1, down_e = down_x + pull * x, down_y + pull * y, down_1 + pull, down_e + pull * e
    normal[0, 0], normal[1, 0], normal[1, 1] = xx, xy, yy
    normal[2, 0], normal[2, 1], normal[2, 2] = x1, y1, sum_1
    normal[3, 0], normal[3, 1], normal[3, 2], normal[3, 3] = xe, ye, sum_e, ee + prior
    gradient[0], gradient[1], gradient[2], gradient[3] = down_x, down_y, down_1, down_e - prior * state[3]
    return float(0.5 * (NU + 1.0) * (total + math.log(product)) + 0.5 * prior * state[3] * state[3])


@compiled
def evidence_at(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    home: int,
    x_m: float,
    y_m: float,
    origin_s: float,
    log_volume_m: float,
    chosen: NDArray[np.int32],
) -> float:
    """Return log odds that a shot, rather than unrelated impulses, made the chosen arrivals and the silences.

    Laplace's approximation: the residual densities over the clutter density at the best fit, times the volume of the
    posterior over (x, y, t), times the prior rate of shots; loudness is averaged out. Arrivals that are likelier
    clutter at a node that did not hear are taken out of ``chosen``: in dense clutter something is always near.
    """
    volume = min(LARGEST_LOG_VOLUME, log_volume_m + 1.5 * _LOG_2PI - math.log(sky.speed_mps))
    return float(heard_or_not(columns, ground, sky, model, home, x_m, y_m, origin_s, chosen) + volume + model.log_prior)


@compiled
def heard_or_not(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    home: int,
    x_m: float,
    y_m: float,
    origin_s: float,
    chosen: NDArray[np.int32],
) -> float:
    """Return the log likelihood ratio of what every node around a place heard or did not; see `evidence_at`."""
    first, last = ground.around_first[home], ground.around_first[home + 1]
    said = np.zeros(N_RANGES)
    # Of each chosen arrival, for each loudness: how much likelier it is the shot's than that the node was silent.
    odds = np.zeros((last - first, N_RANGES))
    furthest = len(model.log_heard) - 1
    for k in range(first, last):
        s = ground.around[k]
        dx, dy = ground.sites_m[s, 0] - x_m, ground.sites_m[s, 1] - y_m
        distance = math.sqrt(dx * dx + dy * dy)
        if distance > model.reach_m:
            continue
        d = min(int(distance / model.step_m + 0.5), furthest)
        predicted_s = origin_s + travel_s(dx, dy, sky)
        gain, i = -np.inf, chosen[k - first]
        if i != ABSENT:
            sigma_s = columns.sigma_m[s, i] / sky.speed_mps
            z = (columns.time_s[s, i] - predicted_s) / sigma_s
            gain = _student(z) - math.log(sigma_s) - columns.working[s, i]
        counts = predicted_s + model.latency_s < sky.now_s and listens(sky, s, predicted_s)
        masked = counts and _masked(columns, s, predicted_s, model.mask_s)
        for r in range(N_RANGES):
            silent = 0.0
            if masked:
                silent = math.log1p(-model.masked_share * math.exp(model.log_heard[d, r]))
            elif counts:
                silent = model.log_silent[d, r]
            heard = gain + model.log_heard[d, r]
            said[r] += max(heard, silent)
            odds[k - first, r] = heard - silent
    loudness = np.argmax(said)
    for k in range(last - first):
        if chosen[k] != ABSENT and odds[k, loudness] <= 0.0:
            chosen[k] = ABSENT
    best, total = said[loudness], 0.0
    for r in range(N_RANGES):
        total += math.exp(said[r] - best)
    return float(best + math.log(total / N_RANGES))


@compiled
def _masked(columns: Columns, s: int, predicted_s: float, mask_s: float) -> bool:
    """Say whether another shot's arrival may hide one expected at a node: two onsets so close are seldom told apart."""
    count = columns.used[s]
    i = lower(columns.time_s[s], count, predicted_s - mask_s)
    while i < count and columns.time_s[s, i] <= predicted_s + mask_s:
        if columns.free[s, i] != 1:
            return True
        i += 1
    return False


@compiled
def _bound(columns: Columns, ground: Ground, sky: Sky, model: Model, x_m: float, y_m: float, origin_s: float) -> float:
    """Return about the most log evidence that the free arrivals near a seed's prediction could give it."""
    home = home_of(ground, x_m, y_m)
    said = np.zeros(8)
    evidence, heard = 0.0, 0
    furthest = len(model.log_heard) - 1
    gate_s = COARSE_GATE_S + ECHO_PULL_S
    for k in range(ground.around_first[home], ground.around_first[home + 1]):
        s = ground.around[k]
        dx, dy = ground.sites_m[s, 0] - x_m, ground.sites_m[s, 1] - y_m
        distance = math.sqrt(dx * dx + dy * dy)
        if distance > model.reach_m:
            continue
        d = min(int(distance / model.step_m + 0.5), furthest)
        predicted_s = origin_s + travel_s(dx, dy, sky)
        count = columns.used[s]
        best = -np.inf
        i = lower(columns.time_s[s], count, predicted_s - gate_s)
        while i < count and columns.time_s[s, i] <= predicted_s + gate_s:
            if columns.free[s, i] == 1:
                gain = STUDENT_CONSTANT - math.log(columns.sigma_m[s, i] / sky.speed_mps) - columns.working[s, i]
                best = max(best, gain)
            i += 1
        if best > -np.inf:
            heard += 1
            evidence += best
            for r in range(N_RANGES):
                said[r] += model.log_heard[d, r]
        elif (
            predicted_s + model.latency_s < sky.now_s
            and listens(sky, s, predicted_s)
            and not _masked(columns, s, predicted_s, model.mask_s)
        ):
            for r in range(N_RANGES):
                said[r] += model.log_silent[d, r]
    if heard < model.min_nodes:
        return -np.inf
    best = said[0]
    for r in range(1, N_RANGES):
        best = max(best, said[r])
    return float(evidence + best + LARGEST_LOG_VOLUME + model.log_prior)


@compiled
def settle(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    seed: FloatArray,
    chosen: NDArray[np.int32],
    result: FloatArray,
) -> None:
    """Choose, fit, choose again and fit again; judge. The better of two tries: as seeded, and a little earlier.

    Parameters
    ----------
    seed : ndarray, shape (at least 3,), float64
        x, y, origin time.
    chosen : ndarray, shape (n_around,), int32
        Written: positions of the chosen arrivals at the sites around `result[5]`.
    result : ndarray, shape (6,), float64
        Written: x, y, origin time, log evidence, number of nodes, site whose surroundings were looked at.
    """
    home = home_of(ground, seed[0], seed[1])
    size = ground.around_first[home + 1] - ground.around_first[home]
    mine = np.empty(size, dtype=np.int32)
    sites_m, range_m, sigma_m = np.empty((size, 2)), np.empty(size), np.empty(size)
    state = np.empty(4)
    result[3], result[4], result[5] = -np.inf, 0.0, home
    for attempt in range(2):
        x_m, y_m, origin_s = seed[0], seed[1], seed[2] - attempt * ECHO_PULL_S
        volume, heard = np.inf, 0
        for stage in range(4):
            gate_s = COARSE_GATE_S if stage == 0 else model.gate_s
            heard = choose(columns, ground, sky, model, home, x_m, y_m, origin_s, gate_s, mine)
            if heard < model.min_nodes:
                break
            if stage == 3:
                continue
            n = 0
            for k in range(size):
                if mine[k] != ABSENT:
                    s = ground.around[ground.around_first[home] + k]
                    delay_s = columns.time_s[s, mine[k]] - origin_s
                    # In the frame that moves with the air the medium is at rest.
                    sites_m[n, 0] = ground.sites_m[s, 0] - sky.wind_x_mps * delay_s
                    sites_m[n, 1] = ground.sites_m[s, 1] - sky.wind_y_mps * delay_s
                    range_m[n] = sky.speed_mps * delay_s
                    sigma_m[n] = columns.sigma_m[s, mine[k]]
                    n += 1
            state[0], state[1], state[2], state[3] = x_m, y_m, 0.0, 0.0
            volume = fit(sites_m, range_m, sigma_m, n, model.speed_error_sigma, stage < _ROUGH_FITS, state)
            offset_s = state[2] / sky.speed_mps
            x_m = state[0] + sky.wind_x_mps * offset_s
            y_m = state[1] + sky.wind_y_mps * offset_s
            origin_s += offset_s
        if heard < model.min_nodes or not math.isfinite(x_m + y_m + origin_s):
            continue
        evidence = evidence_at(columns, ground, sky, model, home, x_m, y_m, origin_s, volume, mine)
        heard = np.sum(mine != ABSENT)
        if heard >= model.min_nodes and evidence > result[3]:
            result[0], result[1], result[2], result[3], result[4] = x_m, y_m, origin_s, evidence, heard
            chosen[:size] = mine


@compiled
def settle_best(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    seeds: FloatArray,
    at_least: float,
    bounds: FloatArray,
    settled: NDArray[np.uint8],
    chosen: NDArray[np.int32],
    results: FloatArray,
) -> int:
    """Return the seed of most evidence, at least so much, or -1. Seeds that cannot beat the best are not settled.

    Parameters
    ----------
    seeds : ndarray, shape (n_seeds, 4), float64
    bounds : ndarray, shape (n_seeds,), float64
        About the most evidence each can have; worked out where NaN. Striking out arrivals only lowers it.
    settled : ndarray, shape (n_seeds,), uint8
        Whether a row of ``results`` is known; kept up to date.
    chosen : ndarray, shape (n_seeds, most around a site), int32
    results : ndarray, shape (n_seeds, 6), float64
        See `settle`; a row is worked out again when one of its arrivals is no longer free.
    """
    for i in range(len(seeds)):
        if math.isnan(bounds[i]):
            bounds[i] = _bound(columns, ground, sky, model, seeds[i, 0], seeds[i, 1], seeds[i, 2])
    best = -1
    for i in np.argsort(-bounds, kind="mergesort"):
        if bounds[i] < at_least:
            break
        if settled[i]:
            home = int(results[i, 5])
            first = ground.around_first[home]
            if results[i, 3] > -np.inf:
                for k in range(ground.around_first[home + 1] - first):
                    position = chosen[i, k]
                    if position != ABSENT and columns.free[ground.around[first + k], position] != 1:
                        settled[i] = 0
                        break
        if not settled[i]:
            settle(columns, ground, sky, model, seeds[i], chosen[i], results[i])
            settled[i] = 1
        if results[i, 3] >= at_least and (best < 0 or results[i, 3] > results[best, 3]):
            best = i
            at_least = results[i, 3]
    return best


@compiled
def shared_arrivals(
    ground: Ground, results: FloatArray, chosen: NDArray[np.int32], nodes: IntArray, positions: IntArray
) -> IntArray:
    """Return how many of some arrivals each settled seed wants too; see `settle_best`. Shape (n_seeds,)."""
    wanted = np.full(len(ground.sites_m), ABSENT, dtype=np.int64)
    for k in range(len(nodes)):
        wanted[nodes[k]] = positions[k]
    count = np.zeros(len(results), dtype=np.int64)
    for i in range(len(results)):
        first, last = ground.around_first[int(results[i, 5])], ground.around_first[int(results[i, 5]) + 1]
        for k in range(last - first):
            count[i] += chosen[i, k] != ABSENT and chosen[i, k] == wanted[ground.around[first + k]]
    return count


@compiled
def find_repeat(
    columns: Columns,
    ground: Ground,
    sky: Sky,
    model: Model,
    home: int,
    x_m: float,
    y_m: float,
    origin_s: float,
    pattern: NDArray[np.int32],
    taken_after_s: FloatArray,
    chosen: NDArray[np.int32],
) -> tuple[float, float]:
    """Return delay and log evidence of the best further round from the same place; minus infinity when there is none.

    Rounds from one place travel the same paths: at each node the arrival comes as long after the first round's as at
    every other node, to within a few milliseconds, and about as strong; and who heard the first should hear the next.
    Each free arrival at a node of the first round proposes a delay; the evidence of a delay is like that of a place,
    with repeats much likelier than fresh shots.

    Parameters
    ----------
    home, x_m, y_m, origin_s
        The first round.
    pattern : ndarray, shape (n_around,), int32
        Its arrivals, as positions at the sites around ``home``.
    taken_after_s : ndarray, shape (n_taken,), float64
        Delays of the rounds taken already, 0 among them.
    chosen : ndarray, shape (n_around,), int32
        Written: the arrivals of the best.
    """
    first, last = ground.around_first[home], ground.around_first[home + 1]
    size = last - first
    sites = np.empty(size, dtype=np.int64)
    times_s, strengths_db = np.empty(size), np.empty(size)
    heard_at = np.empty(size, dtype=np.int64)
    n_heard = 0
    for k in range(size):
        if pattern[k] != ABSENT:
            s = ground.around[first + k]
            sites[n_heard], heard_at[n_heard] = s, k
            times_s[n_heard] = columns.time_s[s, pattern[k]]
            strengths_db[n_heard] = columns.snr_db[s, pattern[k]]
            n_heard += 1
    gate_s = WIDE_GATE_SIGMAS * WIDE_SIGMAS * model.repeat_sigma_s
    log_sigma = math.log(model.repeat_sigma_s)
    log_strength = math.log(CLUTTER_SPREAD_DB / (model.repeat_strength_sigma_db * math.sqrt(2.0 * math.pi)))
    log_detect, log_miss = math.log(model.detect_probability), math.log1p(-model.detect_probability)
    log_masked = math.log1p(-model.masked_share * model.detect_probability)
    constant = math.log(model.repeats_hz) + 0.5 * _LOG_2PI + log_sigma
    mine = np.empty(size, dtype=np.int32)
    best_delay, best_evidence = 0.0, -np.inf
    tried = np.full(int(2.0 * model.repeat_within_s / (0.25 * model.repeat_sigma_s)) + 2, False)
    for h in range(n_heard):
        s = sites[h]
        i = lower(columns.time_s[s], columns.used[s], times_s[h] - model.repeat_within_s)
        while i < columns.used[s]:
            delay_s = columns.time_s[s, i] - times_s[h]
            if delay_s > model.repeat_within_s:
                break
            usable = columns.free[s, i] == 1
            i += 1
            if not usable:
                continue
            # Delays nearer than a quarter of a sigma give the same answer: one of them is enough.
            quarter = int((delay_s + model.repeat_within_s) / (0.25 * model.repeat_sigma_s))
            if tried[quarter]:
                continue
            tried[quarter] = True
            delay_s = (quarter + 0.5) * 0.25 * model.repeat_sigma_s - model.repeat_within_s
            split = False
            for t in range(len(taken_after_s)):
                if abs(delay_s - taken_after_s[t]) < model.split_s:
                    split = True
            if split:
                continue
            evidence, heard = constant, 0
            for g in range(n_heard):
                q = sites[g]
                at_s = times_s[g] + delay_s
                count = columns.used[q]
                j = lower(columns.time_s[q], count, at_s - gate_s)
                best, best_j = -np.inf, ABSENT
                while j < count and columns.time_s[q, j] <= at_s + gate_s:
                    if columns.free[q, j] == 1:
                        difference = (columns.snr_db[q, j] - strengths_db[g]) / model.repeat_strength_sigma_db
                        strength = max(LEAST_STRENGTH_ODDS, log_strength - 0.5 * difference * difference)
                        off = (columns.time_s[q, j] - at_s) / model.repeat_sigma_s
                        score = _repeat_density(off) - log_sigma + strength - columns.working[q, j]
                        if score > best:
                            best, best_j = score, j
                    j += 1
                dx, dy = ground.sites_m[q, 0] - x_m, ground.sites_m[q, 1] - y_m
                expected_s = origin_s + delay_s + travel_s(dx, dy, sky)
                silent = 0.0
                if expected_s + model.latency_s < sky.now_s and listens(sky, q, expected_s):
                    silent = log_masked if _masked(columns, q, at_s, model.mask_s) else log_miss
                if best + log_detect <= silent:
                    best_j = ABSENT
                mine[g] = best_j
                heard += best_j != ABSENT
                evidence += max(best + log_detect, silent)
            if heard >= model.min_nodes and evidence > best_evidence:
                best_delay, best_evidence = delay_s, evidence
                for k in range(size):
                    chosen[k] = ABSENT
                for g in range(n_heard):
                    chosen[heard_at[g]] = mine[g]
    return best_delay, best_evidence
