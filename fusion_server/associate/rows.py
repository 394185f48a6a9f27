"""Open arrivals in rows, compiled: kept in time order, weighed against their neighbours, and drawn into rings of bins.

Arrivals lie in rows, one row for each node, by time; `Columns.used` says how much of a row is used. Times are seconds
after an epoch. Nothing here allocates in proportion to the city. Slow, obvious twins are in tests/unit/fusion/twins.py.
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
    "FEW",
    "LEAST_KNOWN_S",
    "MANY",
    "MEMBER",
    "NEVER",
    "TOP_HZ",
    "TOP_SHARE",
    "Columns",
    "Weighing",
    "burst_relief",
    "draw",
    "draw_touched",
    "echo_clutter",
    "forget",
    "insert",
    "lower",
    "rank_share",
    "restore",
    "strike_before",
    "weigh",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NEVER = -1e9
"""Stands for minus infinity in a ring of 32-bit floats."""
BIN_S = 0.025
"""Width of a bin of a ring."""
COARSE_GATE_S = 0.15
"""Reach of a seed: half the diagonal of a cell, a bin, and the path's own scatter."""
ABSENT = -1
MEMBER = 3
"""Marks an arrival as one of the burst that is being weighed as a whole; see `burst_relief`."""
FEW = 3.0
"""So many arrivals in the time of a burst before a quiet, and it says little; see `_mark_starts`."""
MANY = 10.0
"""So many may have come before a node began to listen."""
LEAST_KNOWN_S = 0.3
"""Others are counted at least this far about an arrival, however lately its node began to listen."""
TOP_HZ = 1.0
TOP_SHARE = 0.6


class Columns(NamedTuple):
    """Open arrivals, in rows by node, each row by time.

    Parameters
    ----------
    used : ndarray, shape (n_nodes,), int64
        How much of each row is used.
    listens_from_s : ndarray, shape (n_nodes,), float64
        Since when each node has been listening.
    time_s, snr_db, sigma_m, odds, starts : ndarray, shape (n_nodes, capacity), float64
        ``odds``: weighted log odds of the node's classifier for a gunshot over the usual impulse. ``starts``: how sure
        it is, from 0 to 1, that nothing about as strong came just before, whose echo or next round this might be.
    tie, slot : ndarray, shape (n_nodes, capacity), int64
        ``tie`` orders arrivals of the same nanosecond; ``slot`` finds the arrival itself.
    log_clutter : ndarray, shape (n_nodes, capacity), float64
        Log of the rate of other impulses about as strong (Hz) over `rank_share`, less ``odds``.
    working : ndarray, shape (n_nodes, capacity), float64
        The same, with the echoes of shots found so far in this solve.
    free : ndarray, shape (n_nodes, capacity), uint8
        1 free, 0 used in this solve, 2 struck for good; `MEMBER` while a burst is weighed.
    record : ndarray, shape (n_nodes, capacity), uint8
        Whether nothing clearly stronger is near it in time at its node.
    look : ndarray, shape (n_nodes, capacity), uint8
        1 new and still to be looked at, 2 of interest when last looked at, 3 the same and explained since, 0 not.
    """

    used: IntArray
    listens_from_s: FloatArray
    time_s: FloatArray
    snr_db: FloatArray
    sigma_m: FloatArray
    odds: FloatArray
    starts: FloatArray
    tie: IntArray
    slot: IntArray
    log_clutter: FloatArray
    working: FloatArray
    free: NDArray[np.uint8]
    record: NDArray[np.uint8]
    look: NDArray[np.uint8]


class Weighing(NamedTuple):
    """Settings of weighing arrivals against their neighbours, as numbers; see `AssociateSettings` and `weigh`."""

    window_s: float
    burst_s: float
    margin_db: float
    softness_db: float
    least_hz: float
    record_s: float
    echo_s: float
    echo_share: float
    quiet_s: float
    quiet_below_db: float
    echo_hz: float
    echo_decay_s: float
    echo_within_s: float
    echo_weaker_db: float


@compiled
def lower(row: FloatArray, count: int, time_s: float) -> int:
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
def _move(columns: Columns, n: int, here: int, there: int) -> None:
    """Copy everything about one arrival to another place in its row."""
    columns.time_s[n, there] = columns.time_s[n, here]
    columns.snr_db[n, there] = columns.snr_db[n, here]
    columns.sigma_m[n, there] = columns.sigma_m[n, here]
    columns.odds[n, there] = columns.odds[n, here]
    columns.starts[n, there] = columns.starts[n, here]
    columns.tie[n, there] = columns.tie[n, here]
    columns.slot[n, there] = columns.slot[n, here]
    columns.log_clutter[n, there] = columns.log_clutter[n, here]
    columns.working[n, there] = columns.working[n, here]
    columns.free[n, there] = columns.free[n, here]
    columns.record[n, there] = columns.record[n, here]
    columns.look[n, there] = columns.look[n, here]


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
        place = columns.used[n]
        while place > 0 and (
            row[place - 1] > time_s[i] or (row[place - 1] == time_s[i] and columns.tie[n, place - 1] > tie[i])
        ):
            _move(columns, n, place - 1, place)
            place -= 1
        row[place] = time_s[i]
        columns.snr_db[n, place] = snr_db[i]
        columns.sigma_m[n, place] = sigma_m[i]
        columns.odds[n, place] = odds[i]
        columns.tie[n, place] = tie[i]
        columns.slot[n, place] = slot[i]
        columns.free[n, place] = 1
        columns.look[n, place] = 1
        columns.used[n] += 1
        touched_from[n] = min(touched_from[n], time_s[i])
        touched_to[n] = max(touched_to[n], time_s[i])


@compiled
def forget(columns: Columns, before_s: float, gone: IntArray) -> int:
    """Drop arrivals before an instant; write their slots to ``gone`` and return how many."""
    n_gone = 0
    for n in range(len(columns.used)):
        count = columns.used[n]
        drop = lower(columns.time_s[n], count, before_s)
        if drop == 0:
            continue
        for i in range(drop):
            gone[n_gone] = columns.slot[n, i]
            n_gone += 1
        for i in range(count - drop):
            _move(columns, n, i + drop, i)
        columns.used[n] = count - drop
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
def _crowd(columns: Columns, how: Weighing, n: int, i: int, low: int) -> float:
    """Return the log of the clutter rate (Hz) of an arrival over its `rank_share`; see `weigh`.

    Members of the burst that is being weighed do not count. ``low`` is the first position inside the window. Soon after
    a node began to listen others are counted as far after an arrival only as the node has listened before it: an
    average over a time that nobody knows would make every first impulse stand out.
    """
    time_s, snr_db, free, starts = columns.time_s[n], columns.snr_db[n], columns.free[n], columns.starts[n]
    known_s = max(LEAST_KNOWN_S, time_s[i] - columns.listens_from_s[n])
    window_s, burst_s = min(how.window_s, known_s), min(how.burst_s, known_s)
    wide, burst, starting = 0.0, 0.0, 0.0
    all_wide, all_burst, all_starting = 0, 0, 0.0
    for j in range(low, columns.used[n]):
        apart_s = time_s[j] - time_s[i]
        if apart_s > window_s:
            break
        if j == i or free[j] == MEMBER or apart_s < -window_s:
            continue
        beyond = (how.margin_db - (snr_db[j] - snr_db[i])) / how.softness_db
        as_strong = 1.0 / (1.0 + math.exp(min(30.0, max(-30.0, beyond))))
        starting += as_strong * starts[j]
        all_starting += starts[j]
        if 0.0 < apart_s <= how.echo_s:
            # What follows may be this one's own echo.
            as_strong *= how.echo_share
        wide += as_strong
        all_wide += 1
        if abs(apart_s) <= burst_s:
            burst += as_strong
            all_burst += 1
    rate_hz = max(wide / (2.0 * window_s), burst / (2.0 * burst_s), how.least_hz)
    all_hz = max(all_wide / (2.0 * window_s), all_burst / (2.0 * burst_s))
    log_any = math.log(rate_hz / rank_share(rate_hz, all_hz, how.least_hz))
    rate_hz = max(starting / (2.0 * window_s), how.least_hz)
    log_start = math.log(rate_hz / rank_share(rate_hz, all_starting / (2.0 * window_s), how.least_hz))
    return float(log_any + starts[i] * min(0.0, log_start - log_any))


@compiled
def _mark_starts(columns: Columns, how: Weighing, n: int, from_s: float, to_s: float) -> None:
    """Say of a node's arrivals between two instants whether each begins something; see `Columns`.

    Where impulses never stop, a quiet is chance: the more came just before, however weak, the less it says. Of a node
    that did not listen then it is not known that there was any.
    """
    time_s, snr_db = columns.time_s[n], columns.snr_db[n]
    i = lower(time_s, columns.used[n], from_s)
    while i < columns.used[n] and time_s[i] <= to_s:
        loudest_db, before, j = -math.inf, 0, i - 1
        while j >= 0 and time_s[j] >= time_s[i] - max(how.quiet_s, how.burst_s):
            if time_s[j] >= time_s[i] - how.quiet_s:
                loudest_db = max(loudest_db, snr_db[j])
            before += time_s[j] >= time_s[i] - how.burst_s
            j -= 1
        off = min(30.0, max(-30.0, snr_db[i] - how.quiet_below_db - loudest_db))
        unknown = min(1.0, max(0.0, (columns.listens_from_s[n] - time_s[i]) / how.burst_s + 1.0))
        columns.starts[n, i] = math.exp(-(before + MANY * unknown) / FEW) / (1.0 + math.exp(-off))
        i += 1


@compiled
def weigh(columns: Columns, how: Weighing, touched_from: FloatArray, touched_to: FloatArray) -> None:
    """Work out afresh the clutter rate of every arrival that new ones at its node can have changed.

    The rate at which other impulses clearly stronger come to the node: an echo or a far door is seldom the strongest
    sound about. Neighbours count by a soft comparison of SNR with a margin, so that rounds of one gun hardly count
    against each other, over the window and over the burst, since echoes come in bursts; the higher rate counts. What
    breaks a quiet is no echo and no further round: only others that do so are clutter to it.

    Parameters
    ----------
    columns : Columns
    how : Weighing
    touched_from, touched_to : ndarray, shape (n_nodes,), float64
        Span of what is new at each node, seconds; from > to where nothing is.
    """
    for n in range(len(columns.used)):
        if touched_from[n] > touched_to[n]:
            continue
        count = columns.used[n]
        time_s, snr_db = columns.time_s[n], columns.snr_db[n]
        # What is new may take a later one's beginning from it, and so change what that one's neighbours make of it.
        last_s = touched_to[n] + max(how.quiet_s, how.burst_s)
        _mark_starts(columns, how, n, touched_from[n], last_s)
        first = lower(time_s, count, touched_from[n] - how.window_s)
        low = first
        for i in range(first, count):
            if time_s[i] > last_s + how.window_s:
                break
            while time_s[low] < time_s[i] - how.window_s:
                low += 1
            while low > 0 and time_s[low - 1] >= time_s[i] - how.window_s:
                low -= 1
            record = 1
            for j in range(lower(time_s, count, time_s[i] - how.record_s), count):
                if time_s[j] > time_s[i] + how.record_s:
                    break
                if snr_db[j] - snr_db[i] > how.margin_db:
                    record = 0
                    break
            columns.log_clutter[n, i] = _crowd(columns, how, n, i, low) - columns.odds[n, i]
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
    count = columns.used[n]
    i = lower(columns.time_s[n], count, (low - reach) * BIN_S)
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
    for n in range(len(columns.used)):
        for i in range(columns.used[n]):
            if columns.time_s[n, i] >= before_s:
                break
            columns.free[n, i] = 2


@compiled
def restore(columns: Columns, n: int, from_s: float, to_s: float) -> None:
    """Undo what a solve did to a node's row between two instants."""
    i = lower(columns.time_s[n], columns.used[n], from_s)
    while i < columns.used[n] and columns.time_s[n, i] <= to_s:
        columns.working[n, i] = columns.log_clutter[n, i]
        if columns.free[n, i] == 0:
            columns.free[n, i] = 1
        i += 1


@compiled
def _echo_hz(how: Weighing, after_s: float, weaker_db: float) -> float:
    """Return the rate of echoes so long after an arrival and so much weaker."""
    drop = (weaker_db - how.echo_weaker_db) / (0.5 * how.echo_weaker_db)
    return how.echo_hz * math.exp(-after_s / how.echo_decay_s) / (1.0 + math.exp(min(30.0, max(-30.0, -drop))))


@compiled
def echo_clutter(columns: Columns, how: Weighing, n: int, position: int) -> None:
    """Add to the clutter of what follows a shot's arrival at a node: echoes come thick behind it, and weaker."""
    start_s, strength_db = columns.time_s[n, position], columns.snr_db[n, position]
    i = position + 1
    while i < columns.used[n] and columns.time_s[n, i] <= start_s + how.echo_within_s:
        rate_hz = _echo_hz(how, columns.time_s[n, i] - start_s, strength_db - columns.snr_db[n, i])
        odds = columns.odds[n, i]
        columns.working[n, i] = math.log(math.exp(columns.working[n, i] + odds) + rate_hz) - odds
        i += 1


@compiled
def burst_relief(columns: Columns, how: Weighing, nodes: IntArray, positions: IntArray) -> float:
    """Return by how much the log clutter of some arrivals falls when they are members of one burst.

    Rounds of one burst are no clutter to each other, save that a later one may be an echo of an earlier one: so the
    first sound at a node counts for most, and a burst that leaves it unexplained for little. Members are marked.

    Parameters
    ----------
    columns : Columns
    how : Weighing
    nodes, positions : ndarray, shape (n_arrivals,), int64
        Arrivals to weigh.
    """
    total = 0.0
    for k in range(len(nodes)):
        n, i = nodes[k], positions[k]
        time_s, snr_db = columns.time_s[n], columns.snr_db[n]
        low = lower(time_s, columns.used[n], time_s[i] - how.window_s)
        rate_hz = math.exp(_crowd(columns, how, n, i, low))
        j = i - 1
        while j >= 0 and time_s[j] >= time_s[i] - how.echo_within_s:
            if columns.free[n, j] == MEMBER:
                rate_hz += _echo_hz(how, time_s[i] - time_s[j], snr_db[j] - snr_db[i])
            j -= 1
        odds = columns.odds[n, i]
        # Echoes of shots outside the burst stay.
        rate_hz += max(0.0, math.exp(columns.working[n, i] + odds) - math.exp(columns.log_clutter[n, i] + odds))
        total += columns.working[n, i] - (math.log(rate_hz) - odds)
    return total
