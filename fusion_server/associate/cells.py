"""Where to look closer, compiled: cells of the search area, who is near them, and what they hear."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.rows import BIN_S, NEVER, Columns
from fusion_server.compiled import compiled

__all__ = [
    "LOUDNESS_RANGES_M",
    "NOBODY",
    "N_RANGES",
    "SEEDS_PER_ANCHOR",
    "Ground",
    "Model",
    "Sky",
    "first_of_each",
    "gather",
    "home_of",
    "listens",
    "nearest_sites",
    "pick_cells",
    "scan",
    "scan_all",
    "travel_s",
    "travel_times",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOBODY = -1
SEEDS_PER_ANCHOR = 6
N_RANGES = 7
LOUDNESS_RANGES_M = np.array([200.0, 300.0, 450.0, 650.0, 900.0, 1200.0, 1600.0])
"""How far a shot is heard, from a small pistol behind houses to a rifle in the open: all equally likely."""


class Ground(NamedTuple):
    """Where nodes and cells are, and who is near whom.

    Parameters
    ----------
    sites_m : ndarray, shape (n_nodes, 2), float64
    by_x : ndarray, shape (n_nodes,), int64
        Sites from west to east.
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
    by_x: IntArray
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
    mask_s: float
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
def travel_s(dx_m: float, dy_m: float, sky: Sky) -> float:
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
            ground.cell_travel_s[c, k] = travel_s(
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
def listens(sky: Sky, n: int, time_s: float) -> bool:
    """Say whether a node was listening at an instant."""
    heard = False
    for k in range(sky.starts_s.shape[1]):
        heard |= sky.starts_s[n, k] <= time_s <= sky.ends_s[n, k]
    return heard


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
            counts = at_s + model.latency_s < sky.now_s and listens(sky, s, at_s)
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
    for s in range(len(columns.used)):
        count = columns.used[s]
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
    if not len(seeds):
        return
    # Who stands is kept by time, a little coarser than asked for: only those before and after can be beside.
    first_s, step_s = np.min(seeds[:, 2]), 1.01 * apart_s
    n_bins = int((np.max(seeds[:, 2]) - first_s) / step_s) + 1
    last_of, before = np.full(n_bins, NOBODY), np.empty(len(seeds), dtype=np.int64)
    for i in range(len(seeds)):
        stands_for[i] = i
        at = int((seeds[i, 2] - first_s) / step_s)
        for b in range(max(0, at - 1), min(n_bins, at + 2)):
            j = last_of[b]
            while j != NOBODY:
                if (
                    j < stands_for[i]
                    and abs(seeds[i, 2] - seeds[j, 2]) < apart_s
                    and abs(seeds[i, 0] - seeds[j, 0]) < apart_m
                    and abs(seeds[i, 1] - seeds[j, 1]) < apart_m
                ):
                    stands_for[i] = j
                j = before[j]
        if stands_for[i] == i:
            before[i] = last_of[at]
            last_of[at] = i


@compiled
def home_of(ground: Ground, x_m: float, y_m: float) -> int:
    """Return the site nearest to a place, the first of several as near."""
    sites_m, by_x = ground.sites_m, ground.by_x
    low, high = 0, len(by_x)
    while low < high:
        middle = (low + high) // 2
        if sites_m[by_x[middle], 0] < x_m:
            low = middle + 1
        else:
            high = middle
    west, east = low - 1, low
    home, best = 0, np.inf
    while True:
        to_west = x_m - sites_m[by_x[west], 0] if west >= 0 else np.inf
        to_east = sites_m[by_x[east], 0] - x_m if east < len(by_x) else np.inf
        dx = min(to_west, to_east)
        if dx * dx > best or dx == np.inf:
            return home
        if to_west < to_east:
            s = by_x[west]
            west -= 1
        else:
            s = by_x[east]
            east += 1
        dy = sites_m[s, 1] - y_m
        square = dx * dx + dy * dy
        if square < best or (square == best and s < home):
            home, best = s, square
