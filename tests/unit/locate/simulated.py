"""Many shots drawn from the locator's own model, in columns, with exact truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from locate_samples import ORIGIN_NS, random_array

from fusion_server.locate import ArrivalBatch, LocateSettings
from shotline.atmosphere import Weather

AIR = Weather(temperature_c=10.0)
SPEED_MPS = AIR.speed_of_sound_mps
CLOCK_SIGMA_S, SITE_SIGMA_M = 0.001, 1.0

Draw = Callable[[np.random.Generator, tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class Shots:
    """Shots with their truth: source_m (n_shots, 2), site_m (n_shots, n_nodes, 2) in order of arrival."""

    batch: ArrivalBatch
    source_m: np.ndarray
    site_m: np.ndarray
    sigma_m: float
    """1-sigma of a pseudorange."""
    delayed: np.ndarray
    """Whether an arrival came by another way, (n_shots, n_nodes), in order of arrival."""


def student_t(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_t(5.0, shape)


def gaussian(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    return rng.standard_normal(shape)


def anywhere(half_m: float) -> Draw:
    """Return sources even over a square."""
    return lambda rng, shape: rng.uniform(-half_m, half_m, shape)


def around(nearest_m: float, furthest_m: float) -> Draw:
    """Return sources in a ring about the origin."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
        bearing, away = rng.uniform(0, 2 * math.pi, shape[0]), rng.uniform(nearest_m, furthest_m, shape[0])
        return np.column_stack([away * np.cos(bearing), away * np.sin(bearing)])

    return draw


def simulate(
    rng: np.random.Generator,
    n_shots: int,
    n_nodes: int,
    *,
    noise: Draw = student_t,
    source: Draw,
    site_m: np.ndarray | None = None,
    half_m: float = 500.0,
    settings: LocateSettings | None = None,
    delayed: int = 0,
) -> Shots:
    """Return shots at nodes of random arrays, or of the one given, with the errors that the settings say.

    Speed of sound and wind are wrong by their sigmas; ``delayed`` arrivals of each shot are 50 to 400 ms late besides.
    """
    settings = settings or LocateSettings()
    timing_sq = CLOCK_SIGMA_S**2 + settings.pick_sigma_s**2 + settings.path_sigma_s**2
    sigma_m = math.sqrt(SPEED_MPS**2 * timing_sq + SITE_SIGMA_M**2)
    sites = np.stack([random_array(rng, n_nodes, half_m=half_m) if site_m is None else site_m for _ in range(n_shots)])
    sources = source(rng, (n_shots, 2))
    error = rng.normal(0.0, settings.speed_error_sigma, (n_shots, 1))
    wind = rng.normal(0.0, settings.wind_error_sigma_mps, (n_shots, 2))
    way = sources[:, None] - sites
    rho = np.hypot(way[..., 0], way[..., 1]) * (1.0 - error) + np.einsum("nkj,nj->nk", way, wind) / SPEED_MPS
    rho += sigma_m * noise(rng, (n_shots, n_nodes))
    late = np.argsort(rng.random((n_shots, n_nodes)), axis=1) < delayed
    rho += late * rng.uniform(0.05, 0.4, late.shape) * SPEED_MPS
    time_ns = np.rint(rho / SPEED_MPS * 1e9).astype(np.int64)
    order = np.argsort(time_ns, axis=1)
    sites = np.take_along_axis(sites, order[..., None], axis=1)
    n_arrivals = n_shots * n_nodes
    batch = ArrivalBatch(
        first=np.arange(n_shots + 1) * n_nodes,
        node=order.reshape(-1),
        site_m=np.column_stack([sites.reshape(-1, 2), np.zeros(n_arrivals)]),
        site_sigma_m=np.full(n_arrivals, SITE_SIGMA_M),
        sigma_s=np.full(n_arrivals, CLOCK_SIGMA_S),
        snr_db=np.full(n_arrivals, 20.0),
        level_db=np.full(n_arrivals, math.nan),
        time_ns=ORIGIN_NS + np.take_along_axis(time_ns, order, axis=1).reshape(-1),
    )
    return Shots(batch, sources, sites, sigma_m, np.take_along_axis(late, order, axis=1))
