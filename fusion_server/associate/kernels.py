"""The hot loops of association, compiled. Each has a slow, obvious twin in tests/unit/fusion/twins.py.

Arrivals lie in rows, one row for each node, by time; `Columns.count` says how much of a row is used. Times are seconds
after an epoch. Nothing here allocates in proportion to the city: what a call costs depends on the arrivals and nodes
within hearing range.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled

__all__ = [
    "ABSENT",
    "BIN_S",
    "COARSE_GATE_S",
    "LOUDNESS_RANGES_M",
    "NEVER",
    "NOBODY",
    "N_RANGES",
    "SEEDS_PER_ANCHOR",
    "Columns",
    "Ground",
    "Model",
    "Sky",
    "choose",
    "draw",
    "draw_touched",
    "echo_clutter",
    "evidence_at",
    "find_repeat",
    "first_of_each",
    "fit",
    "forget",
    "gather",
    "insert",
    "nearest_sites",
    "pick_cells",
    "rank_share",
    "restore",
    "scan",
    "scan_all",
    "settle",
    "settle_best",
    "strike_before",
    "travel_times",
    "weigh",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NU = 4.0
"""Degrees of freedom of the residuals, as in the locator."""
NOBODY = -1
NEVER = -1e9
"""Stands for minus infinity in a ring of 32-bit floats."""
BIN_S = 0.025
"""Width of a bin of a ring."""
COARSE_GATE_S = 0.15
"""Reach of a seed: half the diagonal of a cell, a bin, and the path's own scatter."""
GATE_SIGMAS = 0.3
"""Spread of residuals inside a gate, as a share of the gate."""
ECHO_PULL_S = 0.05
"""Echoes pull a seed late: each is also tried this much earlier."""
ABSENT = -1
SEEDS_PER_ANCHOR = 6
TOP_HZ = 0.3
TOP_SHARE = 0.6
N_RANGES = 7
LOUDNESS_RANGES_M = np.array([200.0, 300.0, 450.0, 650.0, 900.0, 1200.0, 1600.0])
"""How far a shot is heard, from a small pistol behind houses to a rifle in the open: all equally likely."""
STUDENT_CONSTANT = math.lgamma(0.5 * (NU + 1.0)) - math.lgamma(0.5 * NU) - 0.5 * math.log(NU * math.pi)
LARGEST_LOG_VOLUME = 4.0
"""Cap on the log volume (m² s) of the posterior: a vague place must not count for much."""
REPEAT_GATE_SIGMAS = 4.0
CLUTTER_SPREAD_DB = 30.0
LEAST_STRENGTH_ODDS = -3.0
_LOG_2PI = math.log(2.0 * math.pi)
_MAX_STEPS = 30
_MAX_STEP_M = 250.0


class Columns(NamedTuple):
    """Open arrivals, in rows by node, each row by time.

    Parameters
    ----------
    count : ndarray, shape (n_nodes,), int64
    time_s, snr_db, sigma_m, odds : ndarray, shape (n_nodes, capacity), float64
        ``odds``: weighted log odds of the node's classifier for a gunshot over the usual impulse.
    tie, slot : ndarray, shape (n_nodes, capacity), int64
        ``tie`` orders arrivals of the same nanosecond; ``slot`` finds the arrival itself.
    log_clutter : ndarray, shape (n_nodes, capacity), float64
        Log of the rate of other impulses about as strong (Hz), less ``odds``, less ``log_share``.
    log_share : ndarray, shape (n_nodes, capacity), float64
        Log of what the rank is worth, see `rank_share`.
    working : ndarray, shape (n_nodes, capacity), float64
        The same, with the echoes of shots found so far in this solve.
    free : ndarray, shape (n_nodes, capacity), uint8
        1 free, 0 used in this solve, 2 struck for good.
    record : ndarray, shape (n_nodes, capacity), uint8
        Whether nothing clearly stronger is near it in time at its node.
    look : ndarray, shape (n_nodes, capacity), uint8
        1 new and still to be looked at, 2 of interest when last looked at, 3 the same and explained since, 0 not.
    """

    count: IntArray  # type: ignore[assignment]  # hides tuple.count, which nobody calls
    time_s: FloatArray
    snr_db: FloatArray
    sigma_m: FloatArray
    odds: FloatArray
    log_share: FloatArray
    tie: IntArray
    slot: IntArray
    log_clutter: FloatArray
    working: FloatArray
    free: NDArray[np.uint8]
    record: NDArray[np.uint8]
    look: NDArray[np.uint8]


class Ground(NamedTuple):
    """Where nodes and cells are, and who is near whom.

    Parameters
    ----------
    sites_m : ndarray, shape (n_nodes, 2), float64
    around_first : ndarray, shape (n_nodes + 1,), int64
    around : ndarray, shape (n_pairs,), int64
        Sites within hearing range of site i: around[around_first[i] : around_first[i + 1]], i among them.
    cells_m : ndarray, shape (n_cells, 2), float64
    cell_sites : ndarray, shape (n_cells, n_near), int32
        Nearest sites of each cell, nearest first, -1 where there are no more within range.
    cell_travel_s : ndarray, shape (n_cells, n_near), float32
    cell_distance : ndarray, shape (n_cells, n_near), int16
        Row of the audibility tables.
    cells_first : ndarray, shape (n_nodes + 1,), int64
    cells_of, rank_of : ndarray, shape (n_entries,), int32
        Cells that have site i among their nearest few, and its place among them.
    """

    sites_m: FloatArray
    around_first: IntArray
    around: IntArray
    cells_m: FloatArray
    cell_sites: NDArray[np.int32]
    cell_travel_s: NDArray[np.float32]
    cell_distance: NDArray[np.int16]
    cells_first: IntArray
    cells_of: NDArray[np.int32]
    rank_of: NDArray[np.int32]


class Sky(NamedTuple):
    """The air and the instant: speed of sound, wind, now, and who listens when.

    ``starts_s`` and ``ends_s``, shape (n_nodes, n_spans), are spans of listening (`Listening.spans_s`).
    """

    speed_mps: float
    wind_x_mps: float
    wind_y_mps: float
    now_s: float
    starts_s: FloatArray
    ends_s: FloatArray


class Model(NamedTuple):
    """Settings as numbers, and the tables of who hears how far.

    ``log_heard`` and ``log_silent``, shape (n_distances, 8), float32, hold the log probability that a node reports or
    does not report a shot, by distance in steps of ``step_m`` and by loudness; the last column is unused.
    """

    min_nodes: int
    min_log_evidence: float
    seed_log_evidence: float
    log_prior: float
    log_coarse: float
    latency_s: float
    gate_s: float
    speed_error_sigma: float
    detect_probability: float
    masked_share: float
    reach_m: float
    step_m: float
    log_heard: NDArray[np.float32]
    log_silent: NDArray[np.float32]
    repeats_hz: float
    repeat_within_s: float
    repeat_sigma_s: float
    repeat_strength_sigma_db: float
    split_s: float


@compiled
def _lower(row: FloatArray, count: int, time_s: float) -> int:
    """Return the first position whose time is at least ``time_s``."""
    low, high = 0, count
    while low < high:
        middle = (low + high) >> 1
        if row[middle] < time_s:
            low = middle + 1
        else:
            high = middle
    return low


@compiled
def insert(
    columns: Columns,
    node: IntArray,
    time_s: FloatArray,
    snr_db: FloatArray,
    sigma_m: FloatArray,
    odds: FloatArray,
    tie: IntArray,
    slot: IntArray,
    touched_from: FloatArray,
    touched_to: FloatArray,
) -> None:
    """Put arrivals into their rows, and widen the span of time touched at each node. Rows must have room."""
    for i in range(len(node)):
        n = node[i]
        row = columns.time_s[n]
        place = columns.count[n]
        while place > 0 and (
            row[place - 1] > time_s[i] or (row[place - 1] == time_s[i] and columns.tie[n, place - 1] > tie[i])
        ):
            row[place] = row[place - 1]
            columns.snr_db[n, place] = columns.snr_db[n, place - 1]
            columns.sigma_m[n, place] = columns.sigma_m[n, place - 1]
            columns.odds[n, place] = columns.odds[n, place - 1]
            columns.log_share[n, place] = columns.log_share[n, place - 1]
            columns.tie[n, place] = columns.tie[n, place - 1]
            columns.slot[n, place] = columns.slot[n, place - 1]
            columns.log_clutter[n, place] = columns.log_clutter[n, place - 1]
            columns.working[n, place] = columns.working[n, place - 1]
            columns.free[n, place] = columns.free[n, place - 1]
            columns.record[n, place] = columns.record[n, place - 1]
            columns.look[n, place] = columns.look[n, place - 1]
            place -= 1
        row[place] = time_s[i]
        columns.snr_db[n, place] = snr_db[i]
        columns.sigma_m[n, place] = sigma_m[i]
        columns.odds[n, place] = odds[i]
        columns.tie[n, place] = tie[i]
        columns.slot[n, place] = slot[i]
        columns.free[n, place] = 1
        columns.look[n, place] = 1
        columns.count[n] += 1
        touched_from[n] = min(touched_from[n], time_s[i])
        touched_to[n] = max(touched_to[n], time_s[i])


@compiled
def forget(columns: Columns, before_s: float, gone: IntArray) -> int:
    """Drop arrivals before an instant; write their slots to ``gone`` and return how many."""
    n_gone = 0
    for n in range(len(columns.count)):
        count = columns.count[n]
        drop = _lower(columns.time_s[n], count, before_s)
        if drop == 0:
            continue
        for i in range(drop):
            gone[n_gone] = columns.slot[n, i]
            n_gone += 1
        for i in range(count - drop):
            columns.time_s[n, i] = columns.time_s[n, i + drop]
            columns.snr_db[n, i] = columns.snr_db[n, i + drop]
            columns.sigma_m[n, i] = columns.sigma_m[n, i + drop]
            columns.odds[n, i] = columns.odds[n, i + drop]
            columns.log_share[n, i] = columns.log_share[n, i + drop]
            columns.tie[n, i] = columns.tie[n, i + drop]
            columns.slot[n, i] = columns.slot[n, i + drop]
            columns.log_clutter[n, i] = columns.log_clutter[n, i + drop]
            columns.working[n, i] = columns.working[n, i + drop]
            columns.free[n, i] = columns.free[n, i + drop]
            columns.record[n, i] = columns.record[n, i + drop]
            columns.look[n, i] = columns.look[n, i + drop]
        columns.count[n] = count - drop
    return n_gone


@compiled
def rank_share(rate_hz: float, all_hz: float, least_hz: float) -> float:
    """Return what a shot's rank among the impulses of a node is worth, against clutter whose rank is anyone's.

    One over the rate of stronger impulses is no likelihood ratio: averaged over clutter it is far more than one. It
    becomes one when shared out: part of all shots are among the strongest sounds at a node, the rest at a rate spread
    evenly over its logarithm.
    """
    spread = math.log(max(math.e, all_hz / least_hz))
    top = math.log(TOP_HZ / least_hz)
    strong = 1.0 / (1.0 + (rate_hz / TOP_HZ) ** 2)
    return min(1.0, TOP_SHARE / max(1.0, top) * strong + (1.0 - TOP_SHARE) / spread)


@compiled
def weigh(
    columns: Columns,
    touched_from: FloatArray,
    touched_to: FloatArray,
    window_s: float,
    burst_s: float,
    margin_db: float,
    softness_db: float,
    least_hz: float,
    record_s: float,
) -> None:
    """Work out afresh the clutter rate of every arrival that new ones at its node can have changed.

    The rate at which other impulses clearly stronger come to the node: an echo or a far door is seldom the strongest
    sound about. Neighbours count by a soft comparison of SNR with a margin, so that rounds of one gun hardly count
    against each other, over the window and over the burst, since echoes come in bursts; the higher rate counts.
    """
    for n in range(len(columns.count)):
        if touched_from[n] > touched_to[n]:
            continue
        count = columns.count[n]
        time_s, snr_db = columns.time_s[n], columns.snr_db[n]
        first = _lower(time_s, count, touched_from[n] - window_s)
        low = first
        for i in range(first, count):
            if time_s[i] > touched_to[n] + window_s:
                break
            while time_s[low] < time_s[i] - window_s:
                low += 1
            while low > 0 and time_s[low - 1] >= time_s[i] - window_s:
                low -= 1
            wide, burst, record = 0.0, 0.0, 1
            all_wide, all_burst = 0, 0
            for j in range(low, count):
                apart_s = time_s[j] - time_s[i]
                if apart_s > window_s:
                    break
                if j == i:
                    continue
                stronger_db = snr_db[j] - snr_db[i]
                as_strong = 1.0 / (1.0 + math.exp(min(30.0, max(-30.0, (margin_db - stronger_db) / softness_db))))
                wide += as_strong
                all_wide += 1
                if abs(apart_s) <= burst_s:
                    burst += as_strong
                    all_burst += 1
                    if stronger_db > margin_db and abs(apart_s) <= record_s:
                        record = 0
            rate_hz = max(wide / (2.0 * window_s), burst / (2.0 * burst_s), least_hz)
            all_hz = max(all_wide / (2.0 * window_s), all_burst / (2.0 * burst_s))
            columns.log_share[n, i] = math.log(rank_share(rate_hz, all_hz, least_hz))
            columns.log_clutter[n, i] = math.log(rate_hz) - columns.odds[n, i] - columns.log_share[n, i]
            columns.working[n, i] = columns.log_clutter[n, i]
            columns.record[n, i] = record


@compiled
def draw(
    columns: Columns, ring: NDArray[np.float32], n: int, from_s: float, to_s: float, oldest_s: float, log_coarse: float
) -> None:
    """Draw a node's ring afresh between two instants: in each bin the best that a free arrival near it can say.

    A ring has a power of two of bins. ``log_coarse`` is the log density of an arrival anywhere inside the coarse gate.
    """
    mask = ring.shape[1] - 1
    reach = math.ceil(COARSE_GATE_S / BIN_S)
    low, high = math.floor(from_s / BIN_S) - reach, math.floor(to_s / BIN_S) + reach
    low = max(low, math.floor(oldest_s / BIN_S))
    for b in range(low, high + 1):
        ring[n, b & mask] = NEVER
    count = columns.count[n]
    i = _lower(columns.time_s[n], count, (low - reach) * BIN_S)
    while i < count and columns.time_s[n, i] < (high + reach + 1) * BIN_S:
        if columns.free[n, i] == 1:
            say = np.float32(log_coarse - columns.working[n, i])
            middle = math.floor(columns.time_s[n, i] / BIN_S)
            for b in range(max(low, middle - reach), min(high, middle + reach) + 1):
                if ring[n, b & mask] < say:
                    ring[n, b & mask] = say
        i += 1


@compiled
def draw_touched(
    columns: Columns,
    ring: NDArray[np.float32],
    from_s: FloatArray,
    to_s: FloatArray,
    margin_s: float,
    oldest_s: float,
    newest_s: float,
    log_coarse: float,
) -> None:
    """Draw afresh the rings of all nodes whose span is not empty, and a margin about it."""
    for n in range(len(from_s)):
        if from_s[n] <= to_s[n]:
            draw(
                columns,
                ring,
                n,
                from_s[n] - margin_s,
                min(to_s[n] + margin_s, newest_s),
                oldest_s,
                log_coarse,
            )


@compiled
def strike_before(columns: Columns, before_s: float) -> None:
    """Mark arrivals before an instant as struck for good."""
    for n in range(len(columns.count)):
        for i in range(columns.count[n]):
            if columns.time_s[n, i] >= before_s:
                break
            columns.free[n, i] = 2


@compiled
def restore(columns: Columns, n: int, from_s: float, to_s: float) -> None:
    """Undo what a solve did to a node's row between two instants."""
    i = _lower(columns.time_s[n], columns.count[n], from_s)
    while i < columns.count[n] and columns.time_s[n, i] <= to_s:
        columns.working[n, i] = columns.log_clutter[n, i]
        if columns.free[n, i] == 0:
            columns.free[n, i] = 1
        i += 1


@compiled
def nearest_sites(
    cells_m: FloatArray, sites_m: FloatArray, reach_m: float, out: NDArray[np.int32], distance_m: NDArray[np.float32]
) -> None:
    """Find the nearest sites of each cell within reach, nearest first; -1 where there are no more."""
    n_near = out.shape[1]
    best = np.empty(n_near)
    for c in range(len(cells_m)):
        held = 0
        for s in range(len(sites_m)):
            dx, dy = sites_m[s, 0] - cells_m[c, 0], sites_m[s, 1] - cells_m[c, 1]
            square = dx * dx + dy * dy
            if square > reach_m * reach_m or (held == n_near and square >= best[held - 1]):
                continue
            place = held if held < n_near else n_near - 1
            while place > 0 and best[place - 1] > square:
                best[place] = best[place - 1]
                out[c, place] = out[c, place - 1]
                place -= 1
            best[place] = square
            out[c, place] = s
            if held < n_near:
                held += 1
        for k in range(held):
            distance_m[c, k] = math.sqrt(best[k])
        for k in range(held, n_near):
            out[c, k] = NOBODY
            distance_m[c, k] = 0.0


@compiled
def _travel_s(dx_m: float, dy_m: float, sky: Sky) -> float:
    """Return the travel time over a path in uniformly moving air; see `shotline.propagation.travel_time_s`."""
    along = dx_m * sky.wind_x_mps + dy_m * sky.wind_y_mps
    margin = sky.speed_mps**2 - sky.wind_x_mps**2 - sky.wind_y_mps**2
    return (math.sqrt(along * along + margin * (dx_m * dx_m + dy_m * dy_m)) - along) / margin


@compiled
def travel_times(ground: Ground, sky: Sky) -> None:
    """Fill in travel times from every cell to its sites."""
    for c in range(len(ground.cells_m)):
        for k in range(ground.cell_sites.shape[1]):
            s = ground.cell_sites[c, k]
            if s == NOBODY:
                break
            ground.cell_travel_s[c, k] = _travel_s(
                ground.sites_m[s, 0] - ground.cells_m[c, 0], ground.sites_m[s, 1] - ground.cells_m[c, 1], sky
            )


@compiled
def pick_cells(
    cell_sites: NDArray[np.int32], awake: NDArray[np.uint8], nucleus: int
) -> tuple[IntArray, NDArray[np.int32], NDArray[np.int32]]:
    """Return, for each site that is awake, the cells that have it among their nearest few of those awake.

    Returns
    -------
    cells_first, cells_of, rank_of
        As in `Ground`.
    """
    first = np.zeros(len(awake) + 1, dtype=np.int64)
    for turn in range(2):
        if turn == 1:
            for s in range(len(awake)):
                first[s + 1] += first[s]
            cells_of, rank_of = np.empty(first[-1], dtype=np.int32), np.empty(first[-1], dtype=np.int32)
            place = first[:-1].copy()
        for c in range(len(cell_sites)):
            seen = 0
            for k in range(cell_sites.shape[1]):
                s = cell_sites[c, k]
                if s == NOBODY or seen == nucleus:
                    break
                if not awake[s]:
                    continue
                seen += 1
                if turn == 0:
                    first[s + 1] += 1
                else:
                    cells_of[place[s]], rank_of[place[s]] = c, k
                    place[s] += 1
    return first, cells_of, rank_of


@compiled
def _listens(sky: Sky, n: int, time_s: float) -> bool:
    for k in range(sky.starts_s.shape[1]):  # noqa: SIM110 - numba compiles no generator
        if sky.starts_s[n, k] <= time_s <= sky.ends_s[n, k]:
            return True
    return False


@compiled
def scan(
    n: int,
    time_s: float,
    ring: NDArray[np.float32],
    ground: Ground,
    sky: Sky,
    model: Model,
    apart_m: float,
    scores: FloatArray,
    seeds: FloatArray,
) -> int:
    """Look where an arrival may have come from: the best cells, not beside each other, that others agree on.

    For each cell that has the node among its nearest few, the sound would have left just so early; every other near
    node then either has something to say at its time or was silent. Loudness is averaged out.

    Parameters
    ----------
    n, time_s
        Node and instant of the arrival.
    ring : ndarray, shape (n_nodes, n_bins), float32
        What each node has to say, see `draw`.
    scores : ndarray, shape at least the cells of the node, float64
        Scratch.
    seeds : ndarray, shape (n_seeds, 4), float64
        Written: x, y, origin time, score.

    Returns
    -------
    int
        How many seeds were written.
    """
    first, last = ground.cells_first[n], ground.cells_first[n + 1]
    mask, per_s = ring.shape[1] - 1, 1.0 / BIN_S
    n_near = ground.cell_sites.shape[1]
    total = np.empty(8, dtype=np.float32)
    says = np.empty(n_near, dtype=np.float32)
    const = np.float32(model.log_coarse)
    nothing = np.float32(0.0)
    found_any = False
    for e in range(first, last):
        c = ground.cells_of[e]
        scores[e - first] = -np.inf
        origin_s = time_s - ground.cell_travel_s[c, ground.rank_of[e]]
        heard, most, n_sites = 0, const, 0
        for k in range(n_near):
            s = ground.cell_sites[c, k]
            if s == NOBODY:
                break
            say = ring[s, int((origin_s + ground.cell_travel_s[c, k]) * per_s) & mask]
            says[k] = say
            n_sites += 1
            if say > NEVER:
                heard += 1
                most += max(say, nothing)
        # Most cells end here: too little is said, even if all of it is believed and nobody's silence counts.
        if heard < model.min_nodes or most < model.seed_log_evidence:
            continue
        for r in range(8):
            total[r] = const
        for k in range(n_sites):
            s = ground.cell_sites[c, k]
            at_s = origin_s + ground.cell_travel_s[c, k]
            say = says[k]
            d = ground.cell_distance[c, k]
            # A node that cannot have spoken yet may still do so; until then it says nothing.
            counts = at_s + model.latency_s < sky.now_s and _listens(sky, s, at_s)
            if say > NEVER:
                if counts:
                    for r in range(8):
                        total[r] += max(say + model.log_heard[d, r], model.log_silent[d, r])
                else:
                    for r in range(8):
                        total[r] += max(say + model.log_heard[d, r], nothing)
            elif counts:
                for r in range(8):
                    total[r] += model.log_silent[d, r]
        best = total[0]
        for r in range(1, N_RANGES):
            best = max(best, total[r])
        if best >= model.seed_log_evidence:
            scores[e - first] = best
            found_any = True
    if not found_any:
        return 0
    n_seeds = 0
    while n_seeds < len(seeds):
        best_e, best_score = -1, -np.inf
        for e in range(last - first):
            if scores[e] > best_score:
                best_e, best_score = e, scores[e]
        if best_e < 0:
            break
        c = ground.cells_of[first + best_e]
        x_m, y_m = ground.cells_m[c, 0], ground.cells_m[c, 1]
        seeds[n_seeds, 0], seeds[n_seeds, 1] = x_m, y_m
        seeds[n_seeds, 2] = time_s - ground.cell_travel_s[c, ground.rank_of[first + best_e]]
        seeds[n_seeds, 3] = best_score
        n_seeds += 1
        for e in range(last - first):
            other = ground.cells_of[first + e]
            if abs(ground.cells_m[other, 0] - x_m) < apart_m and abs(ground.cells_m[other, 1] - y_m) < apart_m:
                scores[e] = -np.inf
    return n_seeds


@compiled
def gather(
    columns: Columns, spans_s: FloatArray, every_live: bool, loudest_log_hz: float, nodes: IntArray, positions: IntArray
) -> int:
    """Collect the arrivals to look at: new ones, those whose time lies in a span, those of interest if asked for.

    Only free ones that stand out: seldom at their node, or with nothing clearly stronger near them.

    Parameters
    ----------
    spans_s : ndarray, shape (n_spans, 2), float64
        Half open: first < time <= last.
    nodes, positions : ndarray, int64
        Written. As long as there are arrivals.
    """
    n = 0
    for s in range(len(columns.count)):
        count = columns.count[s]
        for i in range(count):
            look = columns.look[s, i]
            wanted = look == 1 or (every_live and look == 2)
            if not wanted:
                for k in range(len(spans_s)):
                    if spans_s[k, 0] < columns.time_s[s, i] <= spans_s[k, 1]:
                        wanted = True
            if not wanted:
                continue
            columns.look[s, i] = 0
            if columns.free[s, i] == 1 and (columns.working[s, i] <= loudest_log_hz or columns.record[s, i] == 1):
                nodes[n], positions[n] = s, i
                n += 1
    return n


@compiled
def scan_all(
    columns: Columns,
    nodes: IntArray,
    positions: IntArray,
    ring: NDArray[np.float32],
    ground: Ground,
    sky: Sky,
    model: Model,
    apart_m: float,
    scores: FloatArray,
    seeds: FloatArray,
    anchor: IntArray,
) -> int:
    """Scan from many arrivals; write seeds, and for each which of the arrivals it is from. See `scan`."""
    n, per = 0, SEEDS_PER_ANCHOR
    for a in range(len(nodes)):
        s, i = nodes[a], positions[a]
        if columns.free[s, i] != 1:
            continue
        found = scan(s, columns.time_s[s, i], ring, ground, sky, model, apart_m, scores, seeds[n : n + per])
        for k in range(n, n + found):
            anchor[k] = a
        n += found
    return n


@compiled
def first_of_each(seeds: FloatArray, apart_m: float, apart_s: float, stands_for: IntArray) -> None:
    """Find for each seed the first one that stands beside it in place and time: itself when there is none."""
    for i in range(len(seeds)):
        stands_for[i] = i
        for j in range(i):
            if (
                stands_for[j] == j
                and abs(seeds[i, 2] - seeds[j, 2]) < apart_s
                and abs(seeds[i, 0] - seeds[j, 0]) < apart_m
                and abs(seeds[i, 1] - seeds[j, 1]) < apart_m
            ):
                stands_for[i] = j
                break


@compiled
def _student(standardised: float) -> float:
    return STUDENT_CONSTANT - 0.5 * (NU + 1.0) * math.log1p(standardised * standardised / NU)


@compiled
def _home(ground: Ground, x_m: float, y_m: float) -> int:
    """Return the site nearest to a place."""
    home, best = 0, np.inf
    for s in range(len(ground.sites_m)):
        dx, dy = ground.sites_m[s, 0] - x_m, ground.sites_m[s, 1] - y_m
        square = dx * dx + dy * dy
        if square < best:
            home, best = s, square
    return home


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
        predicted_s = origin_s + _travel_s(dx, dy, sky)
        count = columns.count[s]
        best = -np.inf
        i = _lower(columns.time_s[s], count, predicted_s - gate_s)
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
def _solve4(matrix: FloatArray, right: FloatArray, step: FloatArray) -> bool:
    """Solve a symmetric positive definite system of four by Cholesky, in place; say whether it could be done."""
    for j in range(4):
        for k in range(j):
            matrix[j, j] -= matrix[j, k] * matrix[j, k]
        if matrix[j, j] <= 0.0:
            return False
        matrix[j, j] = math.sqrt(matrix[j, j])
        for i in range(j + 1, 4):
            for k in range(j):
                matrix[i, j] -= matrix[i, k] * matrix[j, k]
            matrix[i, j] /= matrix[j, j]
    for i in range(4):
        step[i] = right[i]
        for k in range(i):
            step[i] -= matrix[i, k] * step[k]
        step[i] /= matrix[i, i]
    for i in range(3, -1, -1):
        for k in range(i + 1, 4):
            step[i] -= matrix[k, i] * step[k]
        step[i] /= matrix[i, i]
    return True


@compiled
def fit(
    sites_m: FloatArray,
    range_m: FloatArray,
    sigma_m: FloatArray,
    n: int,
    speed_error_sigma: float,
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
    state : ndarray, shape (4,), float64
        Start, and written: the fit.
    """
    prior = 1.0 / (speed_error_sigma * speed_error_sigma)
    normal, gradient, step, trial = np.empty((4, 4)), np.empty(4), np.empty(4), np.empty(4)
    row = np.empty(4)
    for stage in range(2):
        scale, converged_m = (4.0, 1.0) if stage == 0 else (1.0, 0.1)
        damping = 1e-6
        cost = _cost(sites_m, range_m, sigma_m, n, scale, prior, state)
        for _ in range(_MAX_STEPS):
            normal[:] = 0.0
            gradient[:] = 0.0
            slowness = 1.0 / (1.0 + state[3])
            for i in range(n):
                dx, dy = state[0] - sites_m[i, 0], state[1] - sites_m[i, 1]
                distance = math.sqrt(dx * dx + dy * dy)
                residual = range_m[i] - state[2] - distance * slowness
                sigma = sigma_m[i] * scale
                z = residual / sigma
                weight = (NU + 1.0) / (NU + z * z) / (sigma * sigma)
                near = max(distance, 1e-9)
                row[0], row[1], row[2], row[3] = (
                    dx / near * slowness,
                    dy / near * slowness,
                    1.0,
                    -distance * slowness * slowness,
                )
                for a in range(4):
                    gradient[a] += weight * row[a] * residual
                    for b in range(a + 1):
                        normal[a, b] += weight * row[a] * row[b]
            gradient[3] -= prior * state[3]
            normal[3, 3] += prior
            for a in range(4):
                normal[a, a] += damping * normal[a, a] + 1e-12
            if not _solve4(normal, gradient, step):
                break
            length = math.sqrt(step[0] * step[0] + step[1] * step[1])
            shrink = min(1.0, _MAX_STEP_M / max(length, 1e-300))
            for a in range(4):
                trial[a] = state[a] + shrink * step[a]
            new = _cost(sites_m, range_m, sigma_m, n, scale, prior, trial)
            if new <= cost + 1e-12:
                state[:] = trial
                cost = new
                damping *= 0.1
                if length <= converged_m:
                    break
            else:
                damping = max(damping, 1e-4) * 10.0
                if damping >= 1e6:
                    break
    normal[:] = 0.0
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
    gradient[:] = 0.0
    if not _solve4(normal, gradient, step):
        return np.inf
    # A minor of the inverse is the complementary minor over the determinant [Jacobi].
    log_det = 0.0
    for a in range(4):
        log_det += 2.0 * math.log(normal[a, a])
    return 0.5 * (math.log(corner) - log_det)


@compiled
def _cost(
    sites_m: FloatArray, range_m: FloatArray, sigma_m: FloatArray, n: int, scale: float, prior: float, state: FloatArray
) -> float:
    slowness = 1.0 / (1.0 + state[3])
    # A product of many terms needs one logarithm; each is at most a few thousand, so eight fit a float.
    product, total = 1.0, 0.0
    for i in range(n):
        dx, dy = state[0] - sites_m[i, 0], state[1] - sites_m[i, 1]
        z = (range_m[i] - state[2] - math.sqrt(dx * dx + dy * dy) * slowness) / (sigma_m[i] * scale)
        product *= 1.0 + z * z / NU
        if product > 1e200:
            total += math.log(product)
            product = 1.0
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
    posterior over (x, y, t), times the prior rate of shots; loudness is averaged out.
    """
    first, last = ground.around_first[home], ground.around_first[home + 1]
    said = np.zeros(8)
    evidence = 0.0
    furthest = len(model.log_heard) - 1
    for k in range(first, last):
        s = ground.around[k]
        dx, dy = ground.sites_m[s, 0] - x_m, ground.sites_m[s, 1] - y_m
        distance = math.sqrt(dx * dx + dy * dy)
        if distance > model.reach_m:
            continue
        d = min(int(distance / model.step_m + 0.5), furthest)
        predicted_s = origin_s + _travel_s(dx, dy, sky)
        i = chosen[k - first]
        if i != ABSENT:
            sigma_s = columns.sigma_m[s, i] / sky.speed_mps
            z = (columns.time_s[s, i] - predicted_s) / sigma_s
            evidence += _student(z) - math.log(sigma_s) - columns.working[s, i]
            for r in range(N_RANGES):
                said[r] += model.log_heard[d, r]
        elif predicted_s + model.latency_s < sky.now_s and _listens(sky, s, predicted_s):
            if _masked(columns, s, predicted_s, model.gate_s):
                for r in range(N_RANGES):
                    said[r] += math.log1p(-model.masked_share * math.exp(model.log_heard[d, r]))
            else:
                for r in range(N_RANGES):
                    said[r] += model.log_silent[d, r]
    best = said[0]
    for r in range(1, N_RANGES):
        best = max(best, said[r])
    total = 0.0
    for r in range(N_RANGES):
        total += math.exp(said[r] - best)
    evidence += best + math.log(total / N_RANGES)
    volume = min(LARGEST_LOG_VOLUME, log_volume_m + 1.5 * _LOG_2PI - math.log(sky.speed_mps))
    return float(evidence + volume + model.log_prior)


@compiled
def _masked(columns: Columns, s: int, predicted_s: float, gate_s: float) -> bool:
    """Say whether another shot's arrival may hide one expected at a node: two onsets so close are seldom told apart."""
    count = columns.count[s]
    i = _lower(columns.time_s[s], count, predicted_s - gate_s)
    while i < count and columns.time_s[s, i] <= predicted_s + gate_s:
        if columns.free[s, i] != 1:
            return True
        i += 1
    return False


@compiled
def _bound(columns: Columns, ground: Ground, sky: Sky, model: Model, x_m: float, y_m: float, origin_s: float) -> float:
    """Return about the most log evidence that the free arrivals near a seed's prediction could give it."""
    home = _home(ground, x_m, y_m)
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
        predicted_s = origin_s + _travel_s(dx, dy, sky)
        count = columns.count[s]
        best = -np.inf
        i = _lower(columns.time_s[s], count, predicted_s - gate_s)
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
            and _listens(sky, s, predicted_s)
            and not _masked(columns, s, predicted_s, model.gate_s)
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
    home = _home(ground, seed[0], seed[1])
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
            volume = fit(sites_m, range_m, sigma_m, n, model.speed_error_sigma, state)
            offset_s = state[2] / sky.speed_mps
            x_m = state[0] + sky.wind_x_mps * offset_s
            y_m = state[1] + sky.wind_y_mps * offset_s
            origin_s += offset_s
        if heard < model.min_nodes or not math.isfinite(x_m + y_m + origin_s):
            continue
        evidence = evidence_at(columns, ground, sky, model, home, x_m, y_m, origin_s, volume, mine)
        if evidence > result[3]:
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
    gate_s = REPEAT_GATE_SIGMAS * model.repeat_sigma_s
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
        i = _lower(columns.time_s[s], columns.count[s], times_s[h] - model.repeat_within_s)
        while i < columns.count[s]:
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
                # Those still to come can add no more than this each; most delays die after a few nodes.
                q = sites[g]
                at_s = times_s[g] + delay_s
                count = columns.count[q]
                j = _lower(columns.time_s[q], count, at_s - gate_s)
                best, best_j = -np.inf, ABSENT
                while j < count and columns.time_s[q, j] <= at_s + gate_s:
                    if columns.free[q, j] == 1:
                        difference = (columns.snr_db[q, j] - strengths_db[g]) / model.repeat_strength_sigma_db
                        strength = max(LEAST_STRENGTH_ODDS, log_strength - 0.5 * difference * difference)
                        off = (columns.time_s[q, j] - at_s) / model.repeat_sigma_s
                        # Strength is compared with the first round's; the rank has no further say.
                        clutter = columns.working[q, j] + columns.log_share[q, j]
                        score = _student(off) - log_sigma + strength - clutter
                        if score > best:
                            best, best_j = score, j
                    j += 1
                mine[g] = best_j
                if best_j != ABSENT:
                    heard += 1
                    evidence += best + log_detect
                else:
                    dx, dy = ground.sites_m[q, 0] - x_m, ground.sites_m[q, 1] - y_m
                    expected_s = origin_s + delay_s + _travel_s(dx, dy, sky)
                    if expected_s + model.latency_s < sky.now_s and _listens(sky, q, expected_s):
                        evidence += log_masked if _masked(columns, q, at_s, model.gate_s) else log_miss
            if heard >= model.min_nodes and evidence > best_evidence:
                best_delay, best_evidence = delay_s, evidence
                for k in range(size):
                    chosen[k] = ABSENT
                for g in range(n_heard):
                    chosen[heard_at[g]] = mine[g]
    return best_delay, best_evidence


@compiled
def echo_clutter(
    columns: Columns, n: int, position: int, echo_hz: float, decay_s: float, within_s: float, weaker_db: float
) -> tuple[float, float]:
    """Add to the clutter of what follows a shot's arrival at a node: echoes come thick behind it, and weaker.

    Returns the span of time touched.
    """
    start_s, strength_db = columns.time_s[n, position], columns.snr_db[n, position]
    i = position + 1
    while i < columns.count[n] and columns.time_s[n, i] <= start_s + within_s:
        drop = (strength_db - columns.snr_db[n, i] - weaker_db) / (0.5 * weaker_db)
        rate_hz = echo_hz * math.exp(-(columns.time_s[n, i] - start_s) / decay_s)
        rate_hz /= 1.0 + math.exp(min(30.0, max(-30.0, -drop)))
        odds = columns.odds[n, i]
        columns.working[n, i] = math.log(math.exp(columns.working[n, i] + odds) + rate_hz) - odds
        i += 1
    return start_s, start_s + within_s
