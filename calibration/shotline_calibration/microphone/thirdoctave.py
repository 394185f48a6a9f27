"""One-third-octave bands [IEC2014], base ten: middles 1000 G^(x/3) Hz with G = 10^0.3, edges G^(1/6) to each side."""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = ["Band", "bands_between"]

_RATIO = 10.0**0.3
_REFERENCE_HZ = 1_000.0
_NOMINAL = (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0)


@dataclass(frozen=True, slots=True)
class Band:
    """A band.

    Parameters
    ----------
    nominal_hz : float
        What people call it.
    middle_hz, lower_hz, upper_hz : float
        Exact [IEC2014 section 5].
    """

    nominal_hz: float
    middle_hz: float
    lower_hz: float
    upper_hz: float


def bands_between(lowest_hz: float, highest_hz: float) -> list[Band]:
    """Return the bands that lie whole between two frequencies."""
    if not 0.0 < lowest_hz < highest_hz:
        return []
    first = math.floor(3.0 * math.log(lowest_hz / _REFERENCE_HZ, _RATIO)) - 1
    last = math.ceil(3.0 * math.log(highest_hz / _REFERENCE_HZ, _RATIO)) + 1
    bands = [_band(index) for index in range(first, last + 1)]
    return [band for band in bands if band.lower_hz >= lowest_hz and band.upper_hz <= highest_hz]


def _band(index: int) -> Band:
    middle_hz = _REFERENCE_HZ * _RATIO ** (index / 3.0)
    decade, step = divmod(index, 10)
    nominal_hz = _NOMINAL[step] * 10.0 ** (decade + 3)
    return Band(nominal_hz, middle_hz, middle_hz * _RATIO ** (-1.0 / 6.0), middle_hz * _RATIO ** (1.0 / 6.0))
