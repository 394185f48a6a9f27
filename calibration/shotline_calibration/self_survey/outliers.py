"""What an adjustment says of its own arrivals: the error of paths, what does not fit, what stays hidden. Pure.

References
----------
[Baarda1968] (data snooping, and the minimal detectable bias).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from shotline_calibration.self_survey.equations import SCALE_MPS, Arrivals, Eliminated, Precisions, State
from shotline_calibration.self_survey.problem import FloatArray, Impulse, SurveySettings

__all__ = [
    "LEAST_HEARD",
    "LEAST_HEARD_OF_KNOWN",
    "Adjustment",
    "enough",
    "freedom_of",
    "hidden_variance_m2",
    "kept",
    "learned_path_sigma",
    "limit_of",
    "variance_m2",
]

_BACK_SHARE = 0.9
LEAST_HEARD = 4
LEAST_HEARD_OF_KNOWN = 2
_REJECTED_AT_MOST = 0.5
_MEDIAN_EFFICIENCY = 0.37
_PATH_SIGMA_LIMITS_S = (1e-5, 0.1)
_LEAST_FREEDOM = 3.0
_EARLY = 4.6
"""Twice the log of how much rarer an arrival before its sound is than one by a detour: ten times."""
_PRIOR_ARRIVALS = 50.0
"""What is assumed of detours weighs as much as so many arrivals."""


@dataclass(frozen=True, slots=True)
class Adjustment:
    """The adjustment with all that its figures are made of, for who asks what it rests on."""

    state: State
    arrivals: Arrivals
    known: Precisions
    weight: FloatArray
    used: NDArray[np.bool_]
    path_sigma_s: float
    equations: Eliminated
    covariance: FloatArray
    residual_m: FloatArray
    predicted_m2: FloatArray
    """Variance of each predicted arrival."""
    redundancy: float
    iterations: int


def variance_m2(arrivals: Arrivals, path_sigma_s: float) -> FloatArray:
    result: FloatArray = arrivals.sigma_m**2 + (SCALE_MPS * path_sigma_s) ** 2
    return result


def _standardised(done: Adjustment, path_sigma_s: float) -> FloatArray:
    """Return residuals in units of their own sigma."""
    variance, predicted = variance_m2(done.arrivals, path_sigma_s), done.predicted_m2
    apart = np.where(done.used, np.maximum(variance - predicted, 0.01 * variance), variance + predicted)
    result: FloatArray = done.residual_m / np.sqrt(apart)
    return result


def learned_path_sigma(done: Adjustment, settings: SurveySettings, *, robust: bool) -> float:
    """Return the path's sigma under which the residuals are as large as they should be, and the given one weighs in."""
    if done.redundancy <= 0.0:
        return done.path_sigma_s
    if robust:
        # Half of normal residuals are within 0.6745 sigma; those that nothing else checks tell nothing.
        factor_sq = float(np.median(np.abs(_standardised(done, done.path_sigma_s)[done.used])) / 0.6745) ** 2
        freedom = _MEDIAN_EFFICIENCY * done.redundancy
    else:
        factor_sq = float((done.residual_m**2 * done.weight)[done.used].sum()) / done.redundancy
        freedom = done.redundancy
    variance = variance_m2(done.arrivals, done.path_sigma_s)[done.used]
    wanted = max(float(np.mean(factor_sq * variance - done.arrivals.sigma_m[done.used] ** 2)), 0.0)
    given = settings.path_freedom * (SCALE_MPS * settings.path_sigma_s) ** 2
    learned_s = math.sqrt((given + freedom * wanted) / (settings.path_freedom + freedom)) / SCALE_MPS
    return float(np.clip(learned_s, *_PATH_SIGMA_LIMITS_S))


def freedom_of(done: Adjustment, settings: SurveySettings, *, robust: bool) -> float:
    """Return how many degrees of freedom the learned sigma of paths rests on, with what was given."""
    share = _MEDIAN_EFFICIENCY if robust else 1.0
    return settings.path_freedom + share * max(done.redundancy, 0.0)


def limit_of(outlier_sigma: float, freedom: float) -> float:
    """Return the limit under which as many good arrivals stay as if sigma were known: Student's t, not normal."""
    return float(stats.t.isf(stats.norm.sf(outlier_sigma), max(freedom, _LEAST_FREEDOM)))


def kept(
    done: Adjustment,
    path_sigma_s: float,
    impulses: list[Impulse],
    started: NDArray[np.bool_],
    limit: float,
) -> NDArray[np.bool_]:
    """Return which arrivals count: not too far off, of impulses of which enough is left.

    One wrong arrival bends the place of its impulse, and others look wrong: of each impulse only the likeliest culprit
    goes at a time [Baarda1968]. Sound comes late by a detour; earlier than it can be, only if it is another sound. What
    was set aside comes back only when it is well inside, so that nothing goes to and fro.
    """
    owner = done.arrivals.impulse
    off = _standardised(done, path_sigma_s)
    # Twice the log odds: leaving out an arrival lowers the sum of squares by the square of its standardised residual.
    guilt = np.where(done.used, off**2 - np.where(off < 0.0, _EARLY, 0.0), -np.inf)
    worst = np.full(len(impulses), -np.inf)
    np.maximum.at(worst, owner, guilt)
    # An early arrival is not blamed; the worst of its impulse is.
    blamed = np.zeros(len(impulses), dtype=bool)
    blamed[owner[done.used & (np.abs(off) > limit)]] = True
    goes = blamed[owner] & (guilt == worst[owner])
    back = ~done.used & (np.abs(off) <= _BACK_SHARE * limit) & started[owner]
    near = (done.used & ~goes) | back
    result: NDArray[np.bool_] = near & enough(near, done.arrivals, impulses)
    return result


def hidden_variance_m2(done: Adjustment, settings: SurveySettings) -> FloatArray:
    """Return what residuals do not show, in m²: detours that nothing checks, and that sigma is an estimate.

    A delay d moves a residual by r d only, r the arrival's redundancy, and is seen beyond ``limit`` of its sigma: when
    d > limit sigma / sqrt(r), the minimal detectable bias [Baarda1968]. Shorter ones stay. Detours are taken as
    exponential; how many there are, from how many were set aside. That the path's sigma rests on ``freedom`` degrees
    of freedom raises its variance by freedom / (freedom - 2), as Student's t has it.
    """
    freedom = max(freedom_of(done, settings, robust=False), _LEAST_FREEDOM)
    limit = limit_of(settings.outlier_sigma, freedom)
    variance = variance_m2(done.arrivals, done.path_sigma_s)
    redundancy = np.clip(1.0 - done.predicted_m2 / variance, 1e-3, 1.0)
    seen_m = limit * np.sqrt(variance / redundancy)
    mean_m = SCALE_MPS * settings.detour_s
    ratio = np.minimum(seen_m / mean_m, 50.0)
    # Integral of x² exp(-x) from 0 to the ratio.
    part = 2.0 - (ratio**2 + 2.0 * ratio + 2.0) * np.exp(-ratio)
    aside = float((~done.used).sum())
    share = (aside + _PRIOR_ARRIVALS * settings.detour_share) / (len(done.used) + _PRIOR_ARRIVALS)
    result: FloatArray = share * mean_m**2 * part + (SCALE_MPS * done.path_sigma_s) ** 2 * 2.0 / (freedom - 2.0)
    return result


def enough(near: NDArray[np.bool_], arrivals: Arrivals, impulses: list[Impulse]) -> NDArray[np.bool_]:
    heard = np.bincount(arrivals.impulse[near], minlength=len(impulses))
    given = np.diff(arrivals.first)
    known = np.array([all(math.isfinite(s) for s in each.place_sigma_m[:2]) for each in impulses], dtype=bool)
    least = np.where(known, LEAST_HEARD_OF_KNOWN, LEAST_HEARD)
    result: NDArray[np.bool_] = ((heard >= least) & (heard >= _REJECTED_AT_MOST * given))[arrivals.impulse]
    return result
