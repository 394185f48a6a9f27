"""The Faddeeva function, without scipy: the error function of a complex argument, scaled so that it stays finite.

References
----------
[Weideman1994] eq. 38 (the rational series); [AbramowitzStegun1964] eq. 7.1.3 (the function), 7.1.11 (reflection),
7.1.23 (far from the origin). See docs/references.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["faddeeva"]

_SERIES_TERMS = 32
_FAR = 7.0
_FAR_TERMS = 16
_LARGEST_EXPONENT = 700.0


def faddeeva(argument: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return w(z) = exp(-z²) erfc(-iz) [AbramowitzStegun1964 eq. 7.1.3].

    Within |z| < 7 of the upper half plane a rational series of 32 terms [Weideman1994 eq. 38]; beyond, 16 terms of the
    asymptotic one [AbramowitzStegun1964 eq. 7.1.23]; in the lower half plane w(z) = 2 exp(-z²) - w(-z) [ibid. 7.1.11].

    Parameters
    ----------
    argument : ndarray, complex128
        Any shape.

    Returns
    -------
    ndarray, complex128
        Same shape. Where w itself would overflow (deep in the lower half plane), a number of about 1e304.
    """
    z = np.asarray(argument, dtype=np.complex128)
    below = z.imag < 0.0
    upper = np.where(below, -z, z)
    far = np.abs(upper) >= _FAR
    result = np.empty_like(upper)
    result[far] = _far(upper[far])
    result[~far] = _near(upper[~far])
    if below.any():
        exponent = -(z[below] ** 2)
        exponent.real = np.minimum(exponent.real, _LARGEST_EXPONENT)
        result[below] = 2.0 * np.exp(exponent) - result[below]
    return result


def _near(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    below = _SCALE - 1j * z
    inverse = 1.0 / below
    ratio = (_SCALE + 1j * z) * inverse
    series = np.full_like(z, _COEFFICIENTS[0])
    for coefficient in _COEFFICIENTS[1:]:
        series *= ratio
        series += coefficient
    result: NDArray[np.complex128] = inverse * (2.0 * inverse * series + 1.0 / np.sqrt(np.pi))
    return result


def _far(z: NDArray[np.complex128]) -> NDArray[np.complex128]:
    inverse = 1.0 / z
    half_inverse_sq = 0.5 * inverse**2
    series = np.ones_like(z)
    for term in range(_FAR_TERMS, 0, -1):
        series *= (2 * term - 1) * half_inverse_sq
        series += 1.0
    result: NDArray[np.complex128] = (1j / np.sqrt(np.pi)) * inverse * series
    return result


def _series_coefficients(terms: int) -> tuple[float, NDArray[np.float64]]:
    """Return the scale L = sqrt(N / sqrt(2)) and the coefficients, highest power first [Weideman1994]."""
    scale = float(np.sqrt(terms / np.sqrt(2.0)))
    half = 2 * terms
    angle_rad = np.arange(-half + 1, half) * np.pi / half
    nodes = scale * np.tan(angle_rad / 2.0)
    samples = np.concatenate([[0.0], np.exp(-(nodes**2)) * (scale**2 + nodes**2)])
    spectrum = np.fft.fft(np.fft.fftshift(samples)).real / (2 * half)
    return scale, spectrum[terms:0:-1].copy()


_SCALE, _COEFFICIENTS = _series_coefficients(_SERIES_TERMS)
