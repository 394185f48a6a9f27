"""A node's last sounds looked at through windows of several lengths: which fault, if any, explains them best."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.netcheck.evidence import (
    AGREE,
    CLOCK,
    DRIFT,
    FAULTS,
    LOG_ODDS,
    MOVE,
    OBSTRUCTED,
    SECOND,
    SECOND_SIGMA,
    SECTORS,
    SIGMA,
    TOUCHED,
    VALUE,
    judge,
    persists,
    whiten,
)
from fusion_server.netcheck.memory import Series, ShotMemory
from fusion_server.netcheck.settings import NetcheckSettings
from fusion_server.netcheck.silence import silence_log_odds
from fusion_server.netcheck.states import Cause, Estimate
from fusion_server.netcheck.usual import scales_of

__all__ = ["Finding", "find_muffled", "find_time", "still_muffled", "still_timed"]

FloatArray = NDArray[np.float64]

_LENGTHS = (5, 7, 10, 14, 20, 28, 40)
_LEAST_TOUCHED, _LEAST_DRIFTING = 4, 14
_AS_LIKELY = 2.5
"""A fault this much less likely than the likeliest, in log odds, is still named."""
_WORTH_A_LOOK = 1.0
_SPEED_MPS = 340.0
_TIME_PRIORS = np.array([[0.004, 0.040], [0.010, 0.100], [6.0, 40.0], [0.006, 0.040]])
"""Of clock and drift in s, of a move in m, of a delay in s: 1-sigma of a small and of a gross fault."""
_LEVEL_PRIORS = np.array([[10.0, 25.0], [1.0, 1.0], [1.0, 1.0], [1.0, 1.0]])
_DEFICITS_DB = (10.0, 20.0, 30.0)


class Finding(NamedTuple):
    """The best explanation of the last sounds of a node by a fault.

    Parameters
    ----------
    log_odds : float
        Of the likeliest fault against none.
    start_row : int
        Shot of the memory at which the window begins.
    estimates : tuple of Estimate
        Likeliest first.
    late : int
        Of the sounds in the window, how many were off to the side of the likeliest; for a microphone, how many were
        heard.
    sounds : int
    directions : int
        Of eight, from how many sounds came.
    expected : float
        How many of the sounds should have been heard.
    """

    log_odds: float
    start_row: int
    estimates: tuple[Estimate, ...]
    late: int
    sounds: int
    directions: int
    expected: float = 0.0


class _Whitened(NamedTuple):
    """A series without the sounds before the window that do not count, and what `whiten` makes of it."""

    series: Series
    start: int
    factor: FloatArray
    white: FloatArray


def _whitened(series: Series, start: int) -> _Whitened:
    """Return a series whitened; before ``start`` only sounds of a healthy node say what to expect."""
    keep = series.base.copy()
    keep[start:] = True
    if not keep.all():
        series = series._replace(
            **{
                name: getattr(series, name)[keep]
                for name in ("shot", "y", "size", "noise", "place_m", "place", "base", "east", "north", "at_s")
            }
        )
        start = int(keep[:start].sum())
    n = len(series.y)
    numbered = np.unique(series.place, return_inverse=True)[1]
    series = series._replace(place=np.asarray(numbered, dtype=np.int64))
    factor, white = np.zeros((n, n)), np.empty(n)
    whiten(series.y, series.size, series.noise, series.place_m, series.site, scales_of(series.reach_m), factor, white)
    return _Whitened(series, start, factor, white)


def _starts(count: int, settings: NetcheckSettings) -> list[int]:
    return [count - length for length in _LENGTHS if length <= min(count, settings.longest_window)]


def find_time(
    memory: ShotMemory, node: int, settings: NetcheckSettings, *, since_row: int | None = None, from_row: int = 0
) -> Finding | None:
    """Return the likeliest fault of a node's times; None when there is too little to say.

    Parameters
    ----------
    memory : ShotMemory
    node : int
    settings : NetcheckSettings
    since_row : int | None
        Look at the window that begins with this shot, and no other.
    from_row : int
        No window begins before this shot.
    """
    series = memory.times(node)
    n = len(series.y)
    first = int(np.searchsorted(series.shot, from_row))
    starts = [start for start in _starts(n, settings) if start >= first]
    if since_row is not None:
        starts = [int(np.searchsorted(series.shot, since_row))]
    if not starts or n - min(starts) < settings.least_arrivals:
        return None
    longest = _whitened(series, min(starts))
    best: Finding | None = None
    for length in sorted({n - start for start in starts}):
        start = len(longest.white) - length
        answer = np.empty((FAULTS, 7))
        kept = longest.series
        judge(
            longest.factor,
            longest.white,
            kept.east,
            kept.north,
            kept.at_s,
            kept.place,
            start,
            FAULTS,
            settings.one_place,
            _SPEED_MPS,
            _TIME_PRIORS,
            answer,
        )
        found = _finding(answer, kept, start, settings)
        if found is not None and (best is None or found.log_odds > best.log_odds):
            best = found
    return best


def _finding(answer: FloatArray, series: Series, start: int, settings: NetcheckSettings) -> Finding | None:
    if answer[:, LOG_ODDS].max() < _WORTH_A_LOOK:
        return None
    estimates = []
    for fault in range(FAULTS):
        row = answer[fault].tolist()
        obstructed = fault >= OBSTRUCTED
        big = row[VALUE] if obstructed else abs(row[VALUE])
        is_big = big >= settings.least_offset_s
        if fault == MOVE:
            is_big = math.hypot(row[VALUE], row[SECOND]) >= settings.least_move_m
        # A few sounds do not tell a drift from a step.
        if fault == DRIFT and row[TOUCHED] < _LEAST_DRIFTING:
            continue
        if not is_big or row[AGREE] < settings.least_agreeing or row[TOUCHED] < _LEAST_TOUCHED:
            continue
        estimates.append(
            Estimate(
                {CLOCK: Cause.CLOCK, DRIFT: Cause.DRIFT, MOVE: Cause.MOVED}.get(fault, Cause.OBSTRUCTED),
                # The eight directions share the prior of one fault, and only a delay counts.
                row[LOG_ODDS] - (math.log(SECTORS / 2.0) if obstructed else 0.0),
                row[VALUE],
                row[SIGMA],
                row[SECOND] if fault == MOVE else 0.0,
                row[SECOND_SIGMA] if fault == MOVE else 0.0,
                (fault - OBSTRUCTED) * 360.0 / SECTORS if obstructed else None,
            )
        )
    if not estimates:
        return None
    estimates.sort(key=lambda item: -item.log_odds)
    named = [estimates[0]]
    for item in estimates[1:]:
        if item.log_odds > estimates[0].log_odds - _AS_LIKELY and all(item.cause is not other.cause for other in named):
            named.append(item)
    y, shift = series.y[start:], _shift_of(series, named[0], start)[start:]
    touched = shift != 0.0
    angle = np.arctan2(-series.east[start:], -series.north[start:])
    return Finding(
        log_odds=named[0].log_odds,
        start_row=int(series.shot[start]),
        estimates=tuple(named),
        late=int((np.sign(y) == np.sign(shift))[touched].sum()),
        sounds=int(touched.sum()),
        directions=len(set((np.rint(angle / (0.25 * math.pi)).astype(int) % 8).tolist())),
    )


def _shift_of(series: Series, estimate: Estimate, start: int) -> FloatArray:
    """Return what a fault adds to each time, in s."""
    if estimate.cause is Cause.CLOCK:
        return np.full(len(series.y), estimate.value)
    if estimate.cause is Cause.DRIFT:
        span_s = max(float(series.at_s[-1] - series.at_s[start]), 1.0)
        return np.asarray(estimate.value * np.maximum(series.at_s - series.at_s[start], 0.0) / span_s)
    if estimate.cause is Cause.MOVED:
        return np.asarray((series.east * estimate.value + series.north * estimate.second) / _SPEED_MPS)
    angle_rad = math.radians(estimate.direction_deg or 0.0)
    within = -series.east * math.sin(angle_rad) - series.north * math.cos(angle_rad)
    return np.where(within >= math.cos(math.radians(45.0)), estimate.value, 0.0)


def still_timed(
    memory: ShotMemory, node: int, settings: NetcheckSettings, estimate: Estimate, *, since_row: int
) -> float | None:
    """Return the log odds that a fault is there as it was, against a healed node, from the last window after a shot.

    None while there are fewer sounds than a window has.
    """
    series = memory.times(node)
    n = len(series.y)
    start = max(int(np.searchsorted(series.shot, since_row)), n - settings.window_arrivals)
    if n - start < settings.window_arrivals:
        return None
    made = _whitened(series, start)
    if estimate.cause is Cause.DRIFT:
        shift = np.full(len(made.white), float(np.median(series.y[start:])))
    else:
        shift = _shift_of(made.series, estimate, made.start)
    return float(persists(made.factor, made.white, shift, made.start))


def find_muffled(
    memory: ShotMemory, node: int, settings: NetcheckSettings, *, since_row: int | None = None, from_row: int = 0
) -> Finding | None:
    """Return how far a node's microphone is too weak, from levels and silence; None when there is too little to say."""
    rows, probability, heard = memory.listened(node)
    first = int(np.searchsorted(rows, from_row))
    starts = [start for start in _starts(len(rows), settings) if start >= first]
    if since_row is not None:
        starts = [int(np.searchsorted(rows, since_row))]
    starts = [start for start in starts if len(rows) - start >= settings.least_arrivals]
    if not starts:
        return None
    place, base = memory.places(rows), memory.is_trusted(rows, node)
    series = memory.levels(node)
    made: _Whitened | None = None
    first_row = int(rows[min(starts)])
    if len(series.y) and series.shot[-1] >= first_row:
        made = _whitened(series, int(np.searchsorted(series.shot, first_row)))
    best: Finding | None = None
    for start in starts:
        level_odds, deficit_db, sigma_db = _level_odds(made, int(rows[start]), one_place=settings.one_place)
        silent = [
            silence_log_odds(probability, heard, place, base, start, item, settings.one_place) for item in _DEFICITS_DB
        ]
        log_odds = level_odds + max(silent) - math.log(len(_DEFICITS_DB))
        if math.isfinite(sigma_db) and deficit_db + 2.0 * sigma_db < settings.least_deficit_db:
            continue
        if best is None or log_odds > best.log_odds:
            best = Finding(
                log_odds=log_odds,
                start_row=int(rows[start]),
                estimates=(Estimate(Cause.MUFFLED, log_odds, deficit_db, sigma_db),),
                late=int(heard[start:].sum()),
                sounds=len(rows) - start,
                directions=0,
                expected=float(probability[start:].sum()),
            )
    return best


def _level_odds(made: _Whitened | None, first_row: int, *, one_place: bool) -> tuple[float, float, float]:
    """Return the log odds of a weak microphone by its levels, by how many dB, and their sigma: infinite without any."""
    start = 0 if made is None else int(np.searchsorted(made.series.shot, first_row))
    if made is None or start == len(made.white):
        return 0.0, 0.0, math.inf
    answer = np.zeros((FAULTS, 7))
    kept = made.series
    judge(
        made.factor,
        made.white,
        kept.east,
        kept.north,
        kept.at_s,
        kept.place,
        start,
        1,
        one_place,
        _SPEED_MPS,
        _LEVEL_PRIORS,
        answer,
    )
    log_odds, value, sigma = answer[CLOCK, [LOG_ODDS, VALUE, SIGMA]].tolist()
    return (min(log_odds, 0.0) if value > 0.0 else log_odds), -value, sigma


def still_muffled(
    memory: ShotMemory, node: int, settings: NetcheckSettings, estimate: Estimate, *, since_row: int
) -> float | None:
    """Return the log odds that a microphone is as weak as it was, against a healed one, from the last window."""
    rows, probability, heard = memory.listened(node)
    start = max(int(np.searchsorted(rows, since_row)), len(rows) - settings.window_arrivals)
    if len(rows) - start < settings.window_arrivals:
        return None
    place, base = memory.places(rows), memory.is_trusted(rows, node)
    deficit_db = max(estimate.value, settings.least_deficit_db)
    odds = float(silence_log_odds(probability, heard, place, base, start, deficit_db, settings.one_place))
    series = memory.levels(node)
    first = int(np.searchsorted(series.shot, rows[start]))
    if len(series.y) > first:
        made = _whitened(series, first)
        odds += float(persists(made.factor, made.white, np.full(len(made.white), -deficit_db), made.start))
    return odds
