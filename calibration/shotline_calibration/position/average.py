"""The average of GNSS fixes and its honest error. Pure.

Errors of fixes stay alike for minutes and for hours [Wilson2001] [Olynik2002], so n fixes tell far less than n, and
an hour of them cannot show what changes over the day. Fixes become medians of some minutes (*windows*). Their errors
are taken as the sum of an uncorrelated part and two first-order Gauss-Markov processes, a fast and a slow one, whose
time constants and shares nobody knows: the average and its variance are those of every combination on a grid, weighted
by how well it explains the series (Gaussian process regression with an unknown constant, [RasmussenWilliams2006]
section 2.7, here with the scale integrated out as well). What a short series cannot tell stays as the prior has it, so
the error of ten minutes is honest too. To that comes what no averaging removes: reflections that come back each day
with the satellites [AgnewLarson2007], and what the models of ionosphere and orbits leave.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product

import numpy as np
import numpy.typing as npt

from sensor_node.gpsd import Fix
from sensor_node.place import PlaceSettings
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.units import ns_from_seconds, seconds_from_ns
from shotline_calibration.position.result import Averaging

__all__ = ["Average", "AverageSettings", "NoAverage", "NoAverageReason", "Window", "average_fixes"]

_Floats = npt.NDArray[np.float64]

_SIGMA_PER_MAD = 1.482602
"""Of a normal distribution: sigma over the median absolute deviation."""
_FAST_S = (120.0, 400.0, 1_200.0)
_SLOW_S = (2_400.0, 5_400.0, 12_000.0, 28_000.0)
_SHARES = 5
"""Each share is a multiple of one over so many."""
_MOST_WINDOWS = 120
_LONGEST_S = 14.0 * 86_400.0
_GROWTH = 1.1
_UNTIL_MOVED_M = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AverageSettings:
    """How fixes are averaged.

    Parameters
    ----------
    window_s : float
        Length of a window at the least; longer for a series of many hours.
    least_fixes : int
        A window with fewer is dropped.
    prior_sigma_m, prior_sigma_up_m : float
        1-sigma of a window before anything was seen, per axis, or what the receiver states if that is more; it counts
        as much as ``prior_weight`` windows.
    prior_weight : float
        More than 2.
    bias_sigma_m, bias_sigma_up_m : float
        1-sigma of what no averaging removes; as the node's own average has it.

    Raises
    ------
    InputError
        A value cannot be.
    """

    window_s: float = 300.0
    least_fixes: int = 10
    prior_sigma_m: float = 3.0
    prior_sigma_up_m: float = 5.0
    prior_weight: float = 4.0
    bias_sigma_m: float = PlaceSettings().bias_sigma_m
    bias_sigma_up_m: float = PlaceSettings().bias_sigma_up_m

    def __post_init__(self) -> None:
        for name, least in (
            ("window_s", 0.0),
            ("prior_sigma_m", 0.0),
            ("prior_sigma_up_m", 0.0),
            ("prior_weight", 2.0),
            ("least_fixes", 0.0),
        ):
            if not least < getattr(self, name) < math.inf:
                raise InputError(f"{getattr(self, name)} is not more than {least:g} and finite", field=name)
        for name in ("bias_sigma_m", "bias_sigma_up_m"):
            if not 0.0 <= getattr(self, name) < math.inf:
                raise InputError(f"{getattr(self, name)} is not 0 or more and finite", field=name)


class NoAverageReason(StrEnum):
    """Why there is no average."""

    NO_FIXES = "no fix with time, position and height"
    TOO_SHORT = "too short"
    MOVED = "the antenna was moved while it was averaged"


@dataclass(frozen=True, slots=True)
class NoAverage:
    """There is no average, and why.

    Parameters
    ----------
    reason : NoAverageReason
    detail : str
        What was seen, what was expected.
    """

    reason: NoAverageReason
    detail: str


@dataclass(frozen=True, slots=True)
class Window:
    """The median of the fixes of some minutes, in metres about the average."""

    time_ns: int
    east_m: float
    north_m: float
    up_m: float
    fixes: int


@dataclass(frozen=True, slots=True)
class Average:
    """Where the antenna stands.

    Parameters
    ----------
    lat_deg, lon_deg, height_m : float
        WGS-84, height above the ellipsoid.
    sigma_m : float
        1-sigma per axis of the plane, with what no averaging removes.
    sigma_up_m : float
    how : Averaging
    windows : tuple of Window
        In order of time.
    forecast : tuple of (float, float)
        Hours, and what ``sigma_m`` would be after so many in all.
    """

    lat_deg: float
    lon_deg: float
    height_m: float
    sigma_m: float
    sigma_up_m: float
    how: Averaging
    windows: tuple[Window, ...]
    forecast: tuple[tuple[float, float], ...]

    def hours_for(self, sigma_m: float) -> float | None:
        """Return how many hours in all make the plane as good as that; None when two weeks do not."""
        return next((hours for hours, reached_m in self.forecast if reached_m <= sigma_m), None)


def average_fixes(fixes: Sequence[Fix], settings: AverageSettings | None = None) -> Average | NoAverage:
    """Return the average of fixes.

    Parameters
    ----------
    fixes : sequence of Fix
        Of one antenna that stood still, in any order; of several at one instant the last counts.
    settings : AverageSettings, optional
    """
    chosen = settings or AverageSettings()
    usable = {fix.time_ns: fix for fix in fixes if fix.time_ns is not None and _has_place(fix)}
    times = sorted(usable)
    if not times:
        return NoAverage(NoAverageReason.NO_FIXES, f"none of {len(fixes)}; is the antenna under the sky?")
    frame, table = _metres([usable[time] for time in times])
    duration_s = seconds_from_ns(times[-1] - times[0])
    length_s = chosen.window_s * max(1.0, math.ceil(duration_s / chosen.window_s / _MOST_WINDOWS))
    begun_s, middles, counts = _windows(times, table, length_s, chosen.least_fixes)
    kept = _near(middles)
    if kept.sum() < 2:
        least_s = 2.0 * chosen.window_s
        seen = f"{duration_s / 60.0:.1f} minutes with {len(times)} fixes; expected {least_s / 60.0:.0f} minutes or more"
        return NoAverage(NoAverageReason.TOO_SHORT, seen)
    begun_s, middles, counts = begun_s[kept], middles[kept], counts[kept]
    if step := _moved(middles):
        return NoAverage(NoAverageReason.MOVED, step)
    stated_m, stated_up_m = _stated([usable[time] for time in times])
    prior_m, prior_up_m = max(chosen.prior_sigma_m, stated_m), max(chosen.prior_sigma_up_m, stated_up_m)
    plane = _fit(begun_s, middles[:, :2], length_s, prior_m, chosen.prior_weight)
    height = _fit(begun_s, middles[:, 2:], length_s, prior_up_m, chosen.prior_weight)
    east_m, north_m = plane.mean_m.tolist()
    up_m = float(height.mean_m[0])
    random_m, random_up_m = math.sqrt(plane.variance_m2), math.sqrt(height.variance_m2)
    used = int(counts.sum())
    how = Averaging(
        fixes=used,
        windows=len(middles),
        fixes_rejected=len(fixes) - used,
        duration_s=duration_s,
        scatter_m=_scatter(table[:, :2]),
        scatter_up_m=_scatter(table[:, 2:]),
        correlation_s=plane.correlation_s,
        correlation_up_s=height.correlation_s,
        independent=max(1.0, plane.window_variance_m2 / plane.variance_m2),
        random_sigma_m=random_m,
        random_sigma_up_m=random_up_m,
        slow_sigma_m=chosen.bias_sigma_m,
        slow_sigma_up_m=chosen.bias_sigma_up_m,
    )
    centred = middles - np.array([east_m, north_m, up_m])
    windows = tuple(
        Window(times[0] + ns_from_seconds(start_s), row[0], row[1], row[2], int(count))
        for start_s, row, count in zip(begun_s.tolist(), centred.tolist(), counts, strict=True)
    )
    return Average(
        *frame.to_geodetic(east_m, north_m, up_m),
        math.hypot(random_m, chosen.bias_sigma_m),
        math.hypot(random_up_m, chosen.bias_sigma_up_m),
        how,
        windows,
        tuple(
            (hours, math.hypot(one_m, chosen.bias_sigma_m)) for hours, one_m in _forecast(plane, duration_s, random_m)
        ),
    )


def _has_place(fix: Fix) -> bool:
    return fix.mode >= 3 and None not in (fix.lat_deg, fix.lon_deg, fix.height_m)


def _metres(fixes: Sequence[Fix]) -> tuple[LocalFrame, _Floats]:
    """Return a frame at the first fix and all of them in it, shape (n_fixes, 3)."""
    places = [(fix.lat_deg or 0.0, fix.lon_deg or 0.0, fix.height_m or 0.0) for fix in fixes]
    frame = LocalFrame(*places[0])
    return frame, np.array([frame.to_enu_m(*place) for place in places])


def _stated(fixes: Sequence[Fix]) -> tuple[float, float]:
    """Return the medians of what the receiver says of its errors, plane and height; 0 where it says nothing."""
    plane = [
        math.hypot(fix.sigma_east_m, fix.sigma_north_m) / math.sqrt(2.0)
        for fix in fixes
        if fix.sigma_east_m is not None and fix.sigma_north_m is not None
    ]
    height = [fix.sigma_up_m for fix in fixes if fix.sigma_up_m is not None]
    return float(np.median(plane)) if plane else 0.0, float(np.median(height)) if height else 0.0


def _windows(times: Sequence[int], table: _Floats, length_s: float, least: int) -> tuple[_Floats, _Floats, _Floats]:
    """Return begin in seconds from the first fix, median and number of fixes of each window that has enough of them."""
    seconds = np.array([seconds_from_ns(time - times[0]) for time in times])
    number = np.floor(seconds / length_s).astype(np.int64)
    found, first, counts = np.unique(number, return_index=True, return_counts=True)
    least_here = max(least, 0.25 * float(np.median(counts)))
    rows = [
        (float(which) * length_s, np.median(table[begin : begin + count], axis=0), float(count))
        for which, begin, count in zip(found, first, counts, strict=True)
        if count >= least_here
    ]
    if not rows:
        return np.empty(0), np.empty((0, 3)), np.empty(0)
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows]), np.array([row[2] for row in rows])


def _near(middles: _Floats) -> npt.NDArray[np.bool_]:
    """Return which windows are not far from all others: within 8 scatters of their median, and 30 m anyway."""
    if not len(middles):
        return np.zeros(0, dtype=bool)
    apart = np.abs(middles - np.median(middles, axis=0))
    reach = np.maximum(np.array([30.0, 30.0, 60.0]), 8.0 * _SIGMA_PER_MAD * np.median(apart, axis=0))
    return np.asarray(np.all(apart <= reach, axis=1))


def _moved(middles: _Floats) -> str:
    """Return what is seen of a step that no fix makes by itself; "" for none.

    A step is a split of the series into two parts, each of which scatters by less than a fifth of what lies between
    them, and at least 15 m apart.
    """
    if len(middles) < 6:
        return ""
    for split in range(3, len(middles) - 2):
        before, after = middles[:split, :2], middles[split:, :2]
        apart_m = float(np.hypot(*(np.median(after, axis=0) - np.median(before, axis=0))))
        if apart_m > max(_UNTIL_MOVED_M, 5.0 * max(_scatter(before), _scatter(after))):
            share = split / len(middles)
            return f"by {apart_m:.0f} m after {share:.0%} of the time; average again where it stands now"
    return ""


def _scatter(table: _Floats) -> float:
    """Return the larger 1-sigma of the axes, robust."""
    return float(np.max(_SIGMA_PER_MAD * np.median(np.abs(table - np.median(table, axis=0)), axis=0)))


@dataclass(frozen=True, slots=True)
class _Fit:
    """The mean of every axis, its variance (the same for each), and what the grid says of the errors.

    ``weights`` and ``scales_m2`` are of the points of the grid: their posterior, and the variance of a window there.
    """

    mean_m: _Floats
    variance_m2: float
    window_variance_m2: float
    correlation_s: float
    weights: _Floats
    scales_m2: _Floats
    length_s: float


def _grid() -> list[tuple[float, float, float, float]]:
    """Return the points: fast and slow time constant, and the shares of the variance that are of each."""
    steps = range(_SHARES + 1)
    shares = [(fast / _SHARES, slow / _SHARES) for fast, slow in product(steps, steps) if fast + slow <= _SHARES]
    return [(fast_s, slow_s, fast, slow) for fast_s, slow_s in product(_FAST_S, _SLOW_S) for fast, slow in shares]


def _fit(begun_s: _Floats, values_m: _Floats, length_s: float, prior_m: float, prior_weight: float) -> _Fit:
    """Return the constant behind values, shape (n_windows, n_axes), whose axes share the statistics of their errors."""
    count, axes = values_m.shape
    grid = _grid()
    correlations = _correlations(begun_s, length_s, grid)
    factors = np.linalg.cholesky(correlations)
    right = np.concatenate([np.ones((count, 1)), values_m], axis=1)
    white = np.linalg.solve(factors, np.broadcast_to(right, (len(grid), *right.shape)))
    ones, values = white[:, :, :1], white[:, :, 1:]
    information = np.sum(ones * ones, axis=1)[:, 0]
    means = np.sum(ones * values, axis=1) / information[:, None]
    squares = np.sum((values - ones * means[:, None, :]) ** 2, axis=(1, 2))
    log_determinant = 2.0 * np.sum(np.log(np.diagonal(factors, axis1=1, axis2=2)), axis=1)
    freedom = prior_weight + axes * (count - 1.0)
    spread = prior_weight * prior_m**2 + squares
    evidence = -0.5 * axes * (log_determinant + np.log(information)) - 0.5 * freedom * np.log(spread)
    weights = np.exp(evidence - np.max(evidence))
    weights /= np.sum(weights)
    scales = spread / (freedom - 2.0)
    mean = weights @ means
    between = float(np.mean(weights @ (means - mean) ** 2))
    points = np.array(grid)
    lasting = points[:, 0] * points[:, 2] + points[:, 1] * points[:, 3]
    return _Fit(
        mean_m=mean,
        variance_m2=float(weights @ (scales / information)) + between,
        window_variance_m2=float(weights @ scales),
        correlation_s=float(weights @ lasting),
        weights=weights,
        scales_m2=scales,
        length_s=length_s,
    )


def _correlations(begun_s: _Floats, length_s: float, grid: Sequence[tuple[float, float, float, float]]) -> _Floats:
    """Return the correlation matrices of window means, shape (n_grid, n_windows, n_windows)."""
    apart_s = np.abs(begun_s[:, None] - begun_s[None, :])
    of = {time_s: _averaged(apart_s, length_s, time_s) for time_s in (*_FAST_S, *_SLOW_S)}
    alone = np.eye(len(begun_s))
    return np.array(
        [fast * of[fast_s] + slow * of[slow_s] + (1.0 - fast - slow) * alone for fast_s, slow_s, fast, slow in grid]
    )


def _averaged(apart_s: _Floats, length_s: float, time_s: float) -> _Floats:
    """Return the correlation of the means of two windows of a first-order Gauss-Markov process, by their distance.

    The mean of exp(-|t - t'| / time) over both windows; windows do not overlap unless they are the same. It is scaled
    to 1 for a window with itself.
    """
    ratio = length_s / time_s
    own = _mean_variance(ratio)
    other = ((1.0 - math.exp(-ratio)) / ratio) ** 2 * np.exp(-(apart_s - length_s) / time_s)
    return np.asarray(np.where(apart_s < 0.5 * length_s, 1.0, np.minimum(1.0, other / own)))


def _forecast(fit: _Fit, duration_s: float, now_m: float) -> list[tuple[float, float]]:
    """Return (hours, sigma) for longer and longer series: what is known of the errors now stays as it is."""
    forecast: list[tuple[float, float]] = []
    total_s = duration_s
    first_m2 = _mean_variance_m2(fit, duration_s)
    while total_s < _LONGEST_S:
        # The plain mean is a little worse than the weighted one; their ratio now is taken to last.
        share = _mean_variance_m2(fit, total_s) / first_m2
        forecast.append((total_s / 3600.0, now_m * math.sqrt(share)))
        total_s *= _GROWTH
    return forecast


def _mean_variance_m2(fit: _Fit, total_s: float) -> float:
    """Return the variance of a plain mean over a time, over all points of the grid."""
    of = {time_s: _mean_variance(total_s / time_s) for time_s in (*_FAST_S, *_SLOW_S)}
    alone = min(1.0, fit.length_s / total_s)
    shares = np.array(
        [fast * of[fast_s] + slow * of[slow_s] + (1.0 - fast - slow) * alone for fast_s, slow_s, fast, slow in _grid()]
    )
    return float(fit.weights @ (fit.scales_m2 * shares))


def _mean_variance(ratio: float) -> float:
    """Return the variance of the mean of a first-order Gauss-Markov process over ``ratio`` of its time constants."""
    return 2.0 * (ratio - 1.0 + math.exp(-ratio)) / ratio**2
