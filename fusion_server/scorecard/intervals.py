"""Rates and percentiles with the interval that goes with each. Shares have theirs from `shotline_models.metrics`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from scipy.special import bdtr, gammaincinv

__all__ = ["Percentile", "Rate", "percentile", "poisson_interval", "rate_of"]

_TAIL = 0.025
"""On each side of a 95 % interval."""


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """A count over an exposure, with its 95 % interval; None where there is no exposure, or none is on record."""

    count: int
    km2_months: float | None
    per_km2_month: float | None
    low95: float | None
    high95: float | None


class Percentile(msgspec.Struct, frozen=True, kw_only=True):
    """A percentile of a latency, seconds, with a 95 % interval that assumes no shape.

    ``value_s`` is None where so large a share never came about. An end is None where there are too few to say, or what
    would be the end never came about.
    """

    percent: int
    value_s: float | None
    low95_s: float | None
    high95_s: float | None


def poisson_interval(count: int) -> tuple[float, float]:
    """Return the exact 95 % interval of the mean of a Poisson count [Garwood1936]."""
    low = 0.0 if count == 0 else float(gammaincinv(count, _TAIL))
    return low, float(gammaincinv(count + 1, 1.0 - _TAIL))


def rate_of(count: int, km2_months: float | None) -> Rate:
    """Return a count per km2 and month with its interval."""
    if not km2_months:
        return Rate(count=count, km2_months=km2_months, per_km2_month=None, low95=None, high95=None)
    low, high = poisson_interval(count)
    return Rate(
        count=count,
        km2_months=km2_months,
        per_km2_month=count / km2_months,
        low95=low / km2_months,
        high95=high / km2_months,
    )


def percentile(values_s: Sequence[float], *, missing: int, percent: int) -> Percentile:
    """Return a percentile, with the interval between two order statistics [DavidNagaraja2003 section 7.1].

    Parameters
    ----------
    values_s : sequence of float
        In any order.
    missing : int
        How many never came about: they count as later than all.
    percent : int
        1 to 99.
    """
    ordered = sorted(values_s)
    total = len(ordered) + missing

    def at(rank: int) -> float | None:
        return ordered[rank - 1] if 1 <= rank <= len(ordered) else None

    if total == 0:
        return Percentile(percent=percent, value_s=None, low95_s=None, high95_s=None)
    # Chance that fewer than k + 1 of all lie below the percentile, for k = 0 to all.
    below = bdtr(np.arange(total + 1), total, percent / 100.0)
    low = int(np.searchsorted(below, _TAIL, side="right"))
    high = int(np.searchsorted(below, 1.0 - _TAIL, side="left")) + 1
    return Percentile(
        percent=percent, value_s=at(-(-total * percent // 100)), low95_s=at(low), high95_s=at(min(high, total + 1))
    )
