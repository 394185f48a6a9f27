"""What the levels of the simulator refer to: 20 micropascals, and the A-weighting of a sound level meter.

References
----------
[IEC2013] IEC 61672-1:2013, annex E. See docs/references.md.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["REFERENCE_PRESSURE_PA", "a_weighting", "db_spl_from_power", "integral"]

REFERENCE_PRESSURE_PA = 20e-6
"""0 dB SPL."""


def a_weighting(frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the A-weighting as an amplitude, 1 at 1 kHz [IEC2013 eq. E.6, with its pole frequencies].

    Parameters
    ----------
    frequency_hz : ndarray, float64
        Any shape; 0 gives 0.

    Returns
    -------
    ndarray, float64
        Same shape.
    """
    square = frequency_hz**2
    low, first, second, high = 20.598997**2, 107.65265**2, 737.86223**2, 12194.217**2
    unscaled = high * square**2 / ((square + low) * np.sqrt((square + first) * (square + second)) * (square + high))
    result: NDArray[np.float64] = unscaled * 10.0 ** (2.0 / 20.0)
    return result


def db_spl_from_power(power_pa2: float) -> float:
    """Return the level of a mean square pressure; -inf for silence."""
    return 10.0 * math.log10(power_pa2 / REFERENCE_PRESSURE_PA**2) if power_pa2 > 0.0 else -math.inf


def integral(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the integral over the last axis by the trapezoidal rule.

    Parameters
    ----------
    values : ndarray, shape (..., n), float64
    at : ndarray, shape (n,), float64
        Where they are, rising.

    Returns
    -------
    ndarray, shape (...), float64
    """
    result: NDArray[np.float64] = np.asarray(0.5 * (values[..., 1:] + values[..., :-1]) @ np.diff(at))
    return result
