"""Arrivals made from a known place and instant."""

from __future__ import annotations

import math

import numpy as np

from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Site
from shotline.propagation import travel_time_s

ORIGIN_NS = 1_545_180_566_123_456_789
STILL = Weather(temperature_c=15.0)
SQUARE = np.array([(0.0, 0.0), (400.0, 0.0), (400.0, 300.0), (0.0, 300.0)])
EXACT_M = 1e-6
"""Times are whole nanoseconds: half a one is 0.17 um of range, times the geometry's dilution of a few."""


def heard(
    sites_m: np.ndarray,
    source_m: tuple[float, ...] | np.ndarray,
    *,
    weather: Weather = STILL,
    late_s: dict[int, float] | np.ndarray | None = None,
    sigma_s: float = 0.001,
    names: list[str] | None = None,
) -> list[Arrival]:
    """Return what nodes at sites (2-D or 3-D) hear of a source; ``late_s`` is added to their times."""
    sites = np.asarray(sites_m, dtype=np.float64)
    source = np.asarray(source_m, dtype=np.float64)
    wind = np.zeros(sites.shape[1])
    wind[:2] = weather.wind_enu_mps
    times_s = travel_time_s(source, sites, speed_of_sound_mps=weather.speed_of_sound_mps, wind_mps=wind)
    for index, late in late_s.items() if isinstance(late_s, dict) else enumerate([] if late_s is None else late_s):
        times_s[index] += late
    names = names or [f"n{index:02d}" for index in range(len(sites))]
    return [
        Arrival(
            uid=DetectionId(name, 1, 1),
            site=Site(name, *(float(value) for value in site)),
            time_ns=ORIGIN_NS + round(float(time_s) * 1e9),
            sigma_s=sigma_s,
        )
        for name, site, time_s in zip(names, sites, times_s, strict=True)
    ]


def random_array(rng: np.random.Generator, n_nodes: int, *, half_m: float = 500.0) -> np.ndarray:
    """Return nodes no two of which are within 50 m, shape (n_nodes, 2)."""
    while True:
        sites = rng.uniform(-half_m, half_m, (n_nodes, 2))
        if min(math.dist(a, b) for i, a in enumerate(sites) for b in sites[:i]) > 50.0:
            return sites
