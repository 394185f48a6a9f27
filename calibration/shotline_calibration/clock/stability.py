"""How a clock's error grows with time: residuals of pulses, and the Allan family of deviations. Pure.

Deviations are those of [Riley2008] as `allantools` computes them: overlapping Allan (ADEV), modified Allan (MDEV) and
time deviation (TDEV). Intervals rest on the equivalent degrees of freedom of the kind of noise [Greenhall2003], which
the lag-1 autocorrelation tells [Riley2004].
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_calibration.clock.phase import PhaseSeries, longest_even

__all__ = ["NOISES", "Deviation", "Residuals", "deviations", "noise_at", "residuals_of"]

Floats = NDArray[np.float64]

NOISES = {
    2: "white phase",
    1: "flicker phase",
    0: "white frequency",
    -1: "flicker frequency",
    -2: "random-walk frequency",
    -3: "drift",
}
"""By alpha, the exponent of the spectrum of frequency; below -2 what the Allan deviation cannot tell from drift."""
_LEAST_POINTS = 32
_TO_NAME = 64
"""So many readings name a noise: with 30, one in nine is named wrongly, and its interval with it."""
_CONFIDENCE = 0.95
_SMOOTH, _ORDER = 31, 2
_PERCENTILES = (50.0, 95.0, 99.0)
_LONGEST_PART = 5
"""The longest averaging time is a fifth of the series: over it the interval says nothing."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """One averaging time.

    Parameters
    ----------
    tau_s : float
        Averaging time.
    adev, adev_low, adev_high : float
        Overlapping Allan deviation with its 95 % interval.
    mdev : float
        Modified Allan deviation.
    tdev_s, tdev_low_s, tdev_high_s : float
        Time deviation, tau / sqrt(3) of the modified one, with its 95 % interval.
    alpha : int
        Kind of noise that dominates there, see `NOISES`.
    """

    tau_s: float
    adev: float
    adev_low: float
    adev_high: float
    mdev: float
    tdev_s: float
    tdev_low_s: float
    tdev_high_s: float
    alpha: int


@dataclass(frozen=True, slots=True)
class Residuals:
    """Readings about a smooth curve through their neighbours: what one reading is off.

    Parameters
    ----------
    rms_s : float
        Spikes left out.
    p50_s, p95_s, p99_s : float
        Percentiles of their size.
    most_s : float
        The largest, spikes left out.
    residual_s : ndarray, shape (n,), float64
    """

    rms_s: float
    p50_s: float
    p95_s: float
    p99_s: float
    most_s: float
    residual_s: Floats


def residuals_of(series: PhaseSeries) -> Residuals:
    """Return the residuals of a cleaned series about a parabola through 31 readings around each.

    They are made larger by what the parabola follows of the noise itself, so that the rms is that of one reading.
    """
    from scipy.signal import savgol_coeffs, savgol_filter

    window = min(_SMOOTH, len(series.phase_s) - 1 + len(series.phase_s) % 2)
    if window <= _ORDER + 1:
        raise InputError(f"{len(series.phase_s)} readings, expected {_ORDER + 3} or more")
    even = longest_even(series)
    rest = even.phase_s - savgol_filter(even.phase_s, window, _ORDER)
    own = float(savgol_coeffs(window, _ORDER)[window // 2])
    half = window // 2
    rest = rest[half : len(rest) - half] / math.sqrt(1.0 - own)
    size = np.abs(rest)
    p50_s, p95_s, p99_s = (float(value) for value in np.percentile(size, _PERCENTILES))
    return Residuals(float(np.sqrt(np.mean(rest**2))), p50_s, p95_s, p99_s, float(size.max()), rest)


def deviations(series: PhaseSeries) -> list[Deviation]:
    """Return the deviations at octaves of the step, up to a fifth of the longest piece without a gap.

    Raises
    ------
    InputError
        That piece has under 32 readings.
    """
    import allantools

    even = longest_even(series)
    step_s, count = even.step_s, len(even.phase_s)
    if count < _LEAST_POINTS:
        raise InputError(f"the longest piece without a gap has {count} readings, expected {_LEAST_POINTS}")
    factors = [2**power for power in range(count.bit_length()) if 2**power <= count // _LONGEST_PART]
    phase_s = even.phase_s - np.polynomial.Polynomial.fit(even.time_s, even.phase_s, 1)(even.time_s)
    taus_s = [factor * step_s for factor in factors]
    _, adev, _, _ = allantools.oadev(phase_s, rate=1.0 / step_s, data_type="phase", taus=taus_s)
    _, mdev, _, _ = allantools.mdev(phase_s, rate=1.0 / step_s, data_type="phase", taus=taus_s)
    found: list[Deviation] = []
    alpha = 2
    for index in range(min(len(adev), len(mdev))):
        tau_s, factor = taus_s[index], factors[index]
        if index == 0 or count // factor >= _TO_NAME:
            alpha = noise_at(phase_s, factor)
        adev_low, adev_high = _interval(float(adev[index]), alpha, factor, count, modified=False)
        mdev_low, mdev_high = _interval(float(mdev[index]), alpha, factor, count, modified=True)
        to_time_s = tau_s / math.sqrt(3.0)
        found.append(
            Deviation(
                tau_s,
                float(adev[index]),
                adev_low,
                adev_high,
                float(mdev[index]),
                to_time_s * float(mdev[index]),
                to_time_s * mdev_low,
                to_time_s * mdev_high,
                alpha,
            )
        )
    return found


def noise_at(phase_s: Floats, factor: int) -> int:
    """Return the kind of noise at an averaging factor, by the lag-1 autocorrelation [Riley2004], -3 to 2.

    Parameters
    ----------
    phase_s : ndarray, shape (n,), float64
        On even steps; 30 or more are left when one in ``factor`` is taken.
    factor : int
    """
    import allantools

    if not np.any(np.diff(phase_s, n=3)):
        return -3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=RuntimeWarning)
        alpha, _, _, _ = allantools.autocorr_noise_id(phase_s, factor, data_type="phase", dmin=0, dmax=2)
    return max(-3, min(2, int(alpha)))


def _interval(deviation: float, alpha: int, factor: int, count: int, *, modified: bool) -> tuple[float, float]:
    import allantools
    from scipy.stats import chi2

    edf = float(
        allantools.edf_greenhall(max(alpha, -2), 2, factor, count, overlapping=True, modified=modified, verbose=False)
    )
    low, high = (float(chi2.ppf(share, edf)) for share in ((1.0 - _CONFIDENCE) / 2.0, (1.0 + _CONFIDENCE) / 2.0))
    return deviation * math.sqrt(edf / high), deviation * math.sqrt(edf / low)
