"""Conversions between units. They live here and nowhere else.

Inside Shotline everything is SI (metres, seconds, kelvin where physics needs it); absolute times are integer UTC
nanoseconds. Degrees, celsius, decibels and text exist at the edges.
"""

from __future__ import annotations

import math

__all__ = [
    "CELSIUS_ZERO_K",
    "NS_PER_MS",
    "NS_PER_S",
    "amplitude_from_db",
    "db_from_amplitude",
    "kelvin_from_celsius",
    "ns_from_seconds",
    "seconds_from_ns",
]

NS_PER_S = 1_000_000_000
NS_PER_MS = 1_000_000
CELSIUS_ZERO_K = 273.15


def ns_from_seconds(duration_s: float) -> int:
    """Return a duration in whole nanoseconds, rounded half to even."""
    return round(duration_s * NS_PER_S)


def seconds_from_ns(duration_ns: int) -> float:
    """Return a duration in seconds. For durations only: a UTC epoch in float seconds steps by 0.24 us."""
    return duration_ns / NS_PER_S


def kelvin_from_celsius(temperature_c: float) -> float:
    """Return the thermodynamic temperature in kelvin."""
    return temperature_c + CELSIUS_ZERO_K


def db_from_amplitude(amplitude: float) -> float:
    """Return 20 log10 of an amplitude ratio; -inf for zero."""
    return 20.0 * math.log10(amplitude) if amplitude > 0 else -math.inf


def amplitude_from_db(level_db: float) -> float:
    """Return the amplitude ratio of a level in dB."""
    return float(10.0 ** (level_db / 20.0))
