"""How long a clock may be without its pulse: fitted to its log, checked on gaps that are cut into that very log. Pure.

The fitted filter predicts; how far it is off after a minute, two, four ... is measured at every place of the log where
the truth is known, and corrects the sigma that the filter claims, as far as there are independent gaps to learn from. A
change of temperature that the log did not see is not in it: a ramp of frequency is added for it, and told apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline_calibration.clock.noisemodel import ClockNoise, Track, even_and_thinned, fit_noise, track
from shotline_calibration.clock.phase import PhaseSeries, frequency_of

__all__ = ["LEAST_RAMP_PER_S", "Budget", "GapCheck", "Holdover", "Trial", "holdover_of"]

Floats = NDArray[np.float64]

LEAST_RAMP_PER_S = 1e-6 / 600.0
"""A third of 3 ppm in 10 minutes: what a node's own coasting clock always allows for (docs/clock.md)."""
_RAMP_OVER_S = 600.0
_SETTLE = 10
_LEARN = 2.0
"""Weight, in independent gaps, of the filter's own word."""
_LONGEST_SHARE = 3.0
_LONGEST_S = 7.0 * 86_400.0
_FIRST_S = 1.0
_SEARCH_POINTS = 400


@dataclass(frozen=True, slots=True)
class Trial:
    """Gaps of one length.

    Parameters
    ----------
    gap_s : float
    gaps : int
        How many, overlapping.
    independent : float
        How many do not overlap.
    rms_s : float
        Of the error at the end.
    ratio : float
        Mean square of the error over the variance that the filter claimed: 1 is right.
    """

    gap_s: float
    gaps: int
    independent: float
    rms_s: float
    ratio: float


@dataclass(frozen=True, slots=True)
class GapCheck:
    """Gaps in the second half of the log, by what was learnt from the first half alone.

    Parameters
    ----------
    gap_s : float
    independent : float
    rms_s, sigma_s : float
        Error found and predicted.
    nees : float
        Mean square error over predicted variance: 1 is consistent, under it careful.
    """

    gap_s: float
    independent: float
    rms_s: float
    sigma_s: float
    nees: float


@dataclass(frozen=True, slots=True)
class Budget:
    """How long until an error.

    Parameters
    ----------
    limit_s : float
        1-sigma of the time that is still good enough.
    holdover_s : float
        Until then, as in the log; 7 days at the most.
    sigma_s : float
        1-sigma of it, by how many independent gaps of that length were seen.
    ramp_holdover_s : float
        With a ramp of temperature that begins when the pulse is lost.
    """

    limit_s: float
    holdover_s: float
    sigma_s: float
    ramp_holdover_s: float


@dataclass(frozen=True, slots=True)
class Holdover:
    """What a log says of a clock without its pulse.

    Parameters
    ----------
    noise : ClockNoise
    last : tuple of float
        p00, p01, p11 of the filter when the pulse has been there for long.
    trials : tuple of Trial
    ramp_per_s : float
        Change of frequency per second that `Budget.ramp_holdover_s` allows for.
    seen_ramp_per_s : float
        The steepest seen from ten minutes to the next; NaN for logs under 20 minutes.
    checks : tuple of GapCheck
        Empty when the log is too short to be halved.
    """

    noise: ClockNoise
    last: tuple[float, float, float]
    trials: tuple[Trial, ...]
    ramp_per_s: float
    seen_ramp_per_s: float
    checks: tuple[GapCheck, ...]

    def sigma_s(self, gap_s: float, *, ramp: bool = False) -> float:
        """Return the 1-sigma error after so long without a pulse, as in the log, or with the ramp on top."""
        p00, p01, p11 = self.last
        noise = self.noise
        grown = noise.white_frequency**2 * gap_s + noise.wander**2 * gap_s**3 / 3.0
        variance = (p00 + 2.0 * p01 * gap_s + p11 * gap_s**2 + grown) * _corrected(self.trials, gap_s)
        if ramp:
            variance += (0.5 * self.ramp_per_s * gap_s**2) ** 2
        return math.sqrt(variance)

    def budget(self, limit_s: float) -> Budget:
        """Return how long until the 1-sigma error is so large."""
        plain_s = _reached(self.sigma_s, limit_s)
        ramp_s = _reached(lambda gap_s: self.sigma_s(gap_s, ramp=True), limit_s)
        seen = np.interp(
            math.log(plain_s),
            [math.log(trial.gap_s) for trial in self.trials],
            [math.log(trial.independent) for trial in self.trials],
        )
        # Relative error of a standard deviation from n values [JCGM2008 E.4.3], over the slope of its growth.
        relative = 1.0 / math.sqrt(2.0 * max(math.exp(float(seen)), 1.0))
        longer = self.sigma_s(1.1 * plain_s) / self.sigma_s(plain_s)
        slope = max(math.log(longer) / math.log(1.1), 0.5)
        return Budget(limit_s, plain_s, plain_s * relative / slope, ramp_s)


def holdover_of(series: PhaseSeries, *, ramp_per_s: float = LEAST_RAMP_PER_S) -> Holdover:
    """Learn from a cleaned series of a free clock how far it goes wrong without a pulse.

    Parameters
    ----------
    series : PhaseSeries
    ramp_per_s : float
        Least change of frequency per second to allow for; a steeper one that was seen takes its place.

    Raises
    ------
    InputError
        Its longest piece without a gap is too short: four minutes at one pulse a second.
    """
    thin = even_and_thinned(series)
    noise, path, trials = _learn(thin)
    checks: tuple[GapCheck, ...] = ()
    half = len(thin.time_s) // 2
    if half >= 2 * _SETTLE + 8:
        checks = _check(thin.part(slice(0, half)), thin.part(slice(half, None)))
    _, frequency = frequency_of(thin, _RAMP_OVER_S)
    seen = float(np.max(np.abs(np.diff(frequency)))) / _RAMP_OVER_S if len(frequency) > 1 else math.nan
    last = float(path.p00[-1]), float(path.p01[-1]), float(path.p11[-1])
    return Holdover(noise, last, trials, max(ramp_per_s, 0.0 if math.isnan(seen) else seen), seen, checks)


def _learn(series: PhaseSeries) -> tuple[ClockNoise, Track, tuple[Trial, ...]]:
    noise = fit_noise(series)
    path = track(series, noise)
    trials = []
    for ahead in _gaps(len(series.time_s)):
        gap_s, errors_s, variance_s2 = _gap(series, path, noise, ahead)
        independent = max(len(errors_s) / ahead, 1.0)
        ratio = float(np.mean(errors_s**2 / variance_s2))
        trials.append(Trial(gap_s, len(errors_s), independent, float(np.sqrt(np.mean(errors_s**2))), ratio))
    return noise, path, tuple(trials)


def _check(first: PhaseSeries, second: PhaseSeries) -> tuple[GapCheck, ...]:
    noise, _, trials = _learn(first)
    path = track(second, noise)
    found = []
    for ahead in _gaps(len(second.time_s)):
        gap_s, errors_s, variance_s2 = _gap(second, path, noise, ahead)
        variance_s2 = variance_s2 * _corrected(trials, gap_s)
        nees = float(np.mean(errors_s**2 / variance_s2))
        rms_s, sigma_s = (float(np.sqrt(np.mean(value))) for value in (errors_s**2, variance_s2))
        found.append(GapCheck(gap_s, len(errors_s) / ahead, rms_s, sigma_s, nees))
    return tuple(found)


def _gaps(count: int) -> list[int]:
    return [2**power for power in range(1, 20) if 2**power <= (count - _SETTLE) / _LONGEST_SHARE] or [2]


def _gap(series: PhaseSeries, path: Track, noise: ClockNoise, ahead: int) -> tuple[float, Floats, Floats]:
    """Return length, errors (observed minus predicted) and claimed variances of all gaps of so many steps."""
    gap_s = ahead * series.step_s
    predicted_s = path.phase_s + path.frequency * gap_s
    variance_s2 = path.variance_s2(noise, gap_s) + noise.white_phase_s**2
    errors_s = series.phase_s[_SETTLE + ahead :] - predicted_s[_SETTLE : len(predicted_s) - ahead]
    return gap_s, errors_s, variance_s2[_SETTLE : len(predicted_s) - ahead]


def _corrected(trials: Sequence[Trial], gap_s: float) -> float:
    """Return by how much the variance of the filter is to be multiplied after such a gap."""
    factors = [(trial.independent * trial.ratio + _LEARN) / (trial.independent + _LEARN) for trial in trials]
    logs = np.interp(math.log(gap_s), [math.log(trial.gap_s) for trial in trials], np.log(factors))
    return float(np.exp(logs))


def _reached(sigma_of: Callable[[float], float], limit_s: float) -> float:
    grid_s = np.geomspace(_FIRST_S, _LONGEST_S, _SEARCH_POINTS)
    sigmas = [sigma_of(float(gap_s)) for gap_s in grid_s]
    over = next((index for index, sigma_s in enumerate(sigmas) if sigma_s >= limit_s), None)
    if over is None:
        return _LONGEST_S
    if over == 0:
        return _FIRST_S
    share = (math.log(limit_s) - math.log(sigmas[over - 1])) / (math.log(sigmas[over]) - math.log(sigmas[over - 1]))
    return float(grid_s[over - 1] * (grid_s[over] / grid_s[over - 1]) ** share)
