"""How a sound gets from a source to a microphone: the one definition of the physics.

References
----------
[ISO9613] ISO 9613-1:1993, eq. 3 to 5 (absorption by the atmosphere); [OppenheimSchafer1975] sec. 7.2 (minimum phase).
See docs/references.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shotline.units import kelvin_from_celsius

__all__ = ["absorption_db_per_m", "minimum_phase", "travel_time_s"]

_REFERENCE_PRESSURE_KPA = 101.325
_REFERENCE_TEMPERATURE_K = 293.15
_TRIPLE_POINT_K = 273.16


def travel_time_s(
    source_m: NDArray[np.float64],
    sites_m: NDArray[np.float64],
    *,
    speed_of_sound_mps: float,
    wind_mps: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the straight-line travel time from sources to sites in uniformly moving air.

    The wave front is a sphere carried along by the wind, so the time t solves |r - w t| = c t:
    t = (-r·w + sqrt((r·w)² + (c² - w²) r²)) / (c² - w²), with r the path and w the wind vector.

    Parameters
    ----------
    source_m : ndarray, shape (n_dim,) or (n_sources, 1, n_dim), float64
        Source, or sources, in the local frame.
    sites_m : ndarray, shape (n_sites, n_dim), float64
        Sites in the same frame.
    speed_of_sound_mps : float
        In still air.
    wind_mps : ndarray, shape (n_dim,), float64
        Velocity of the air.

    Returns
    -------
    ndarray, shape (n_sites,) or (n_sources, n_sites), float64
        Seconds.
    """
    path_m = sites_m - source_m
    along = path_m @ wind_mps
    margin = speed_of_sound_mps**2 - float(wind_mps @ wind_mps)
    distance_sq = np.einsum("...j,...j->...", path_m, path_m)
    result: NDArray[np.float64] = (np.sqrt(along**2 + margin * distance_sq) - along) / margin
    return result


def absorption_db_per_m(
    frequency_hz: NDArray[np.float64],
    *,
    temperature_c: float,
    humidity_percent: float,
    pressure_kpa: float = _REFERENCE_PRESSURE_KPA,
) -> NDArray[np.float64]:
    """Return pure-tone absorption by still air [ISO9613 eq. 3 to 5, annex B for the humidity].

    Parameters
    ----------
    frequency_hz : ndarray, float64
        Any shape.

    Returns
    -------
    ndarray, float64
        dB per metre, same shape.
    """
    kelvin = kelvin_from_celsius(temperature_c)
    relative_t = kelvin / _REFERENCE_TEMPERATURE_K
    relative_p = pressure_kpa / _REFERENCE_PRESSURE_KPA
    saturation = 10.0 ** (-6.8346 * (_TRIPLE_POINT_K / kelvin) ** 1.261 + 4.6151)
    molar_h = humidity_percent * saturation / relative_p
    oxygen_hz = relative_p * (24.0 + 4.04e4 * molar_h * (0.02 + molar_h) / (0.391 + molar_h))
    nitrogen_hz = (
        relative_p * relative_t**-0.5 * (9.0 + 280.0 * molar_h * np.exp(-4.170 * (relative_t ** (-1.0 / 3.0) - 1.0)))
    )
    frequency_sq = frequency_hz**2
    result: NDArray[np.float64] = (
        8.686
        * frequency_sq
        * (
            1.84e-11 / relative_p * relative_t**0.5
            + relative_t**-2.5
            * (
                0.01275 * np.exp(-2239.1 / kelvin) / (oxygen_hz + frequency_sq / oxygen_hz)
                + 0.1068 * np.exp(-3352.0 / kelvin) / (nitrogen_hz + frequency_sq / nitrogen_hz)
            )
        )
    )
    return result


def minimum_phase(log_gain_neper: NDArray[np.float64], count: int) -> NDArray[np.complex128]:
    """Return the causal spectrum with this logarithmic gain, by folding its cepstrum [OppenheimSchafer1975 sec. 7.2].

    A filter that is known by what it absorbs alone (air, foliage) then never sounds before its time.

    Parameters
    ----------
    log_gain_neper : ndarray, shape (..., count // 2 + 1), float64
        Natural logarithm of the gain at the frequencies of `numpy.fft.rfft`. It must be smooth on the scale of one of
        them: what the cepstrum holds beyond count / 2 samples folds back.
    count : int
        Samples in time, even or odd.

    Returns
    -------
    ndarray, shape (..., count // 2 + 1), complex128
        Magnitude exp(log_gain_neper), convention exp(+i omega t).
    """
    fold = np.zeros(count)
    fold[0] = 1.0
    fold[1 : (count + 1) // 2] = 2.0
    if count % 2 == 0:
        fold[count // 2] = 1.0
    result: NDArray[np.complex128] = np.exp(np.fft.rfft(np.fft.irfft(log_gain_neper, count, axis=-1) * fold, axis=-1))
    return result
