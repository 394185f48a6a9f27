"""How the rounds of one place follow each other: cadence, and single, semi-automatic or automatic fire.

Automatic fire keeps a rate: intervals about one cycle of 450 to 1,200 rounds a minute, here and there twice that where
a round was missed, and pauses between bursts. By hand each shooter has a tempo, and intervals scatter about it; few
people pull a trigger faster than eight times a second. The posterior of the two, over every rate and every tempo, is
held against the limit below which nothing is told. Rates are those of makers, as in the simulator's table of weapons;
intervals by hand are a fraction of a second and scatter widely [Jason2010]. See docs/incidents.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from shotline.domain import FireMode
from shotline.units import NS_PER_S, seconds_from_ns

__all__ = ["automatic_probability", "cadence_rounds_per_min", "fire_mode"]

FloatArray = NDArray[np.float64]

_RATES_PER_MIN = (450.0, 1_200.0)
_CYCLE_SPREAD = 0.04
"""Of one cycle, as a share of it."""
_ORIGIN_SIGMA_S = 0.003
"""Of the interval between two origin times from one place, whose path errors cancel."""
_MISSED_SHARE, _PAUSE_SHARE = 0.08, 0.12
"""Of an automatic's intervals: those that span a missed round, and those between bursts."""
_PAUSE_S, _PAUSE_SPREAD = 0.8, 0.8
"""Median, and spread of the logarithm."""
_TEMPO_S, _TEMPO_SPREAD, _BEAT_SPREAD = 0.4, 0.6, 0.3
"""Median interval of shooters by hand, the spread of its logarithm among shooters, and within one series."""
_FASTEST_PULL_S, _PULL_SOFTNESS = 0.12, 0.1
"""Where intervals by hand fade out, and over what share of that."""
_PRIOR_AUTOMATIC = 1.0 / 3.0
_GRID = 81


def cadence_rounds_per_min(times_ns: Sequence[int]) -> float | None:
    """Return the median cadence of rounds at instants in order; None for fewer than two, or all at once."""
    if len(times_ns) < 2:
        return None
    interval_s = seconds_from_ns(int(np.median(np.diff(np.array(times_ns)))))
    return 60.0 / interval_s if interval_s > 1.0 / NS_PER_S else None


def automatic_probability(intervals_s: Sequence[float]) -> float:
    """Return the posterior probability that intervals, at least one, are those of automatic fire."""
    interval = np.maximum(np.array(intervals_s, dtype=np.float64), 1e-6)
    cycle = 60.0 / np.geomspace(*_RATES_PER_MIN, _GRID)[:, None]
    spread = np.hypot(_CYCLE_SPREAD * cycle, _ORIGIN_SIGMA_S)
    automatic = (1.0 - _MISSED_SHARE - _PAUSE_SHARE) * _normal(interval, cycle, spread)
    automatic += _MISSED_SHARE * _normal(interval, 2.0 * cycle, math.sqrt(2.0) * spread)
    automatic += _PAUSE_SHARE * _log_normal(interval, np.array(_PAUSE_S), _PAUSE_SPREAD)
    weight = np.linspace(-3.0, 3.0, _GRID)
    tempo = _TEMPO_S * np.exp(_TEMPO_SPREAD * weight)[:, None]
    pulled = 1.0 / (1.0 + np.exp(-(interval - _FASTEST_PULL_S) / (_PULL_SOFTNESS * _FASTEST_PULL_S)))
    by_hand = _log_normal(interval, tempo, _BEAT_SPREAD) * pulled
    log_automatic = _log_mean(np.log(automatic + 1e-12).sum(axis=1), np.zeros(_GRID))
    log_by_hand = _log_mean(np.log(by_hand + 1e-12).sum(axis=1), -0.5 * weight**2)
    log_odds = log_automatic - log_by_hand + math.log(_PRIOR_AUTOMATIC / (1.0 - _PRIOR_AUTOMATIC))
    return 1.0 / (1.0 + math.exp(-min(max(log_odds, -700.0), 700.0)))


def fire_mode(times_ns: Sequence[int], *, alone: float, least_probability: float) -> tuple[FireMode, float]:
    """Return the fire mode of rounds from one place, and the probability of the likeliest mode.

    Parameters
    ----------
    times_ns : sequence of int
        Origin times in order, at least one.
    alone : float
        Probability that there was no other round than those found: decides about a single one.
    least_probability : float
        A mode less likely than this is `FireMode.UNDETERMINED`.
    """
    if len(times_ns) == 1:
        return (FireMode.SINGLE if alone >= least_probability else FireMode.UNDETERMINED), alone
    automatic = automatic_probability((np.diff(np.array(times_ns)) / NS_PER_S).tolist())
    likeliest = FireMode.AUTOMATIC if automatic >= 0.5 else FireMode.SEMI_AUTOMATIC
    probability = max(automatic, 1.0 - automatic)
    return (likeliest if probability >= least_probability else FireMode.UNDETERMINED), probability


def _normal(value: FloatArray, mean: FloatArray, sigma: FloatArray) -> FloatArray:
    density: FloatArray = np.exp(-0.5 * ((value - mean) / sigma) ** 2) / (sigma * math.sqrt(2.0 * math.pi))
    return density


def _log_normal(value: FloatArray, median: FloatArray, spread: float) -> FloatArray:
    log_ratio = np.log(value / median)
    density: FloatArray = np.exp(-0.5 * (log_ratio / spread) ** 2) / (value * spread * math.sqrt(2.0 * math.pi))
    return density


def _log_mean(log_value: FloatArray, log_weight: FloatArray) -> float:
    return float(np.logaddexp.reduce(log_value + log_weight) - np.logaddexp.reduce(log_weight))
