"""A clock as a two-state Kalman filter: fitted to its phase, it says where the clock goes when nobody tells it. Pure.

Phase and frequency with white noise of frequency and a random walk of it, read with white noise of phase
[Galleani2003]; the three sigmas are those that make the series likeliest, by its innovations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_calibration.clock.phase import PhaseSeries, longest_even

__all__ = ["ClockNoise", "Track", "even_and_thinned", "fit_noise", "track"]

Floats = NDArray[np.float64]

_MOST_POINTS = 2_000
_LEAST_STEP_S = 10.0
_LEAST_POINTS = 24
_SETTLE_POINTS = 8
_START_FREQUENCY_SIGMA = 1e-4
_LEAST_LOG = math.log(1e-18)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockNoise:
    """How a clock is noisy.

    Parameters
    ----------
    white_phase_s : float
        1-sigma of one reading.
    white_frequency : float
        1-sigma of the phase (s) after one second of white frequency noise; it grows as the root of time.
    wander : float
        1-sigma of the change of frequency (fraction) in one second; it grows as the root of time.
    """

    white_phase_s: float
    white_frequency: float
    wander: float


@dataclass(frozen=True, slots=True)
class Track:
    """A filter's state after each reading.

    Parameters
    ----------
    phase_s, frequency : ndarray, shape (n,), float64
    p00, p01, p11 : ndarray, shape (n,), float64
        Covariance of phase (s) and frequency.
    log_likelihood : float
        Of the innovations after the first eight.
    """

    phase_s: Floats
    frequency: Floats
    p00: Floats
    p01: Floats
    p11: Floats
    log_likelihood: float

    def variance_s2(self, noise: ClockNoise, ahead_s: float) -> Floats:
        """Return the variance of the phase so long after each reading."""
        grown = noise.white_frequency**2 * ahead_s + noise.wander**2 * ahead_s**3 / 3.0
        result: Floats = self.p00 + 2.0 * self.p01 * ahead_s + self.p11 * ahead_s**2 + grown
        return result


def even_and_thinned(series: PhaseSeries) -> PhaseSeries:
    """Return the longest piece without a gap as means of ten seconds or more each: 2,000 at the most.

    Raises
    ------
    InputError
        It has under 24 of them.
    """
    even = longest_even(series)
    step_s = even.step_s
    wanted_s = max(_LEAST_STEP_S, even.duration_s / _MOST_POINTS)
    each = max(1, round(wanted_s / step_s))
    count = len(even.phase_s) // each
    if count < _LEAST_POINTS:
        least_min = _LEAST_POINTS * max(wanted_s, step_s) / 60.0
        raise InputError(
            f"the longest piece of the {series.what} without gap and step lasts {even.duration_s / 60.0:.1f} minutes, "
            f"expected {least_min:.0f} or more"
        )
    taken = slice(0, count * each)
    time_s = even.time_s[taken].reshape(count, each).mean(axis=1)
    phase_s = even.phase_s[taken].reshape(count, each).mean(axis=1)
    return PhaseSeries(time_s, phase_s, free=series.free, what=series.what)


def fit_noise(series: PhaseSeries) -> ClockNoise:
    """Return the noise that makes an even series likeliest."""
    from scipy.optimize import minimize

    step_s = series.step_s
    second = np.diff(series.phase_s, n=2)
    scale_s = max(float(np.sqrt(np.mean(second**2))), 1e-12)

    def cost(logs: Floats) -> float:
        return -track(series, _noise(logs)).log_likelihood

    # A third of the second differences each: white phase makes them sqrt(6) of its sigma, white frequency
    # sqrt(2 step), the random walk about sqrt(2/3 step^3).
    start = np.log(
        [
            scale_s / math.sqrt(18.0),
            scale_s / math.sqrt(6.0 * step_s),
            scale_s / math.sqrt(2.0 * step_s**3),
        ]
    )
    found = minimize(
        cost, start, method="Nelder-Mead", options={"maxfev": 240, "xatol": 0.03, "fatol": 0.05, "adaptive": True}
    )
    return _noise(found.x)


def track(series: PhaseSeries, noise: ClockNoise) -> Track:
    """Run the filter over a series."""
    count = len(series.phase_s)
    steps = np.diff(series.time_s).tolist()
    readings = series.phase_s.tolist()
    read_s2, white, walk = noise.white_phase_s**2, noise.white_frequency**2, noise.wander**2
    phase, frequency = readings[0], (readings[1] - readings[0]) / steps[0]
    p00, p01, p11 = read_s2, 0.0, _START_FREQUENCY_SIGMA**2
    states = np.empty((5, count))
    states[:, 0] = phase, frequency, p00, p01, p11
    total = 0.0
    for index in range(1, count):
        step = steps[index - 1]
        phase += frequency * step
        p00 += step * (2.0 * p01 + step * p11) + white * step + walk * step**3 / 3.0
        p01 += step * p11 + walk * step * step / 2.0
        p11 += walk * step
        innovation, variance = readings[index] - phase, p00 + read_s2
        if index >= _SETTLE_POINTS:
            total -= 0.5 * (innovation * innovation / variance + math.log(variance))
        gain, gain_frequency = p00 / variance, p01 / variance
        phase += gain * innovation
        frequency += gain_frequency * innovation
        p11 -= gain_frequency * p01
        p01 *= 1.0 - gain
        p00 *= 1.0 - gain
        states[:, index] = phase, frequency, p00, p01, p11
    return Track(states[0], states[1], states[2], states[3], states[4], total)


def _noise(logs: Floats) -> ClockNoise:
    white_phase_s, white_frequency, wander = (math.exp(max(float(value), _LEAST_LOG)) for value in logs)
    return ClockNoise(white_phase_s=white_phase_s, white_frequency=white_frequency, wander=wander)
