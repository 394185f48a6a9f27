"""Slow, obvious twins of the locator's compiled arithmetic: plain Python, numpy and scipy, one formula a line."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import fsolve, least_squares, minimize

from fusion_server.locate.kernel import SPREAD_M, STUDENT_NU, Model

FULL, PLANE = 7, 6
STUDENT_PEAK = 8.0 / (3.0 * math.pi * math.sqrt(5.0))
"""Density at 0 of Student-t with five degrees of freedom, unit scale."""


def model(**changes: float) -> Model:
    """Return a model of usual figures."""
    usual = Model(
        speed_mps=340.0,
        speed_error_sigma=0.004,
        wind_error_sigma_mps=1.0,
        outlier_late=0.002,
        outlier_early=0.001,
        level_slope_db=30.0,
        level_sigma_db=10.0,
        hearing_range_m=2000.0,
        height_sigma_m=20.0,
        unknowns=PLANE,
        ground_x_m=0.0,
        ground_y_m=0.0,
        ground_cell_m=1.0,
    )
    return usual._replace(**changes)  # type: ignore[arg-type]


def predicted_m(state: np.ndarray, sites: np.ndarray, figures: Model) -> np.ndarray:
    """Return the pseudorange of each node, as the docstring of the kernel has it."""
    x, y, origin_m, error, w_east, w_north, height = state[:7]
    way = np.array([x, y, height]) - sites
    d = np.sqrt((way**2).sum(axis=1))
    result: np.ndarray = origin_m + d * (1.0 - error) + (way[:, 0] * w_east + way[:, 1] * w_north) / figures.speed_mps
    return result


def outlier_share(z: float, figures: Model) -> float:
    """Return the prior probability of an outlier so many sigmas late: it rises between 1.5 and 4."""
    ramp = float(np.clip((z - 1.5) / 2.5, 0.0, 1.0))
    return figures.outlier_early + ramp * (figures.outlier_late - figures.outlier_early)


def log_density(residual_m: float, sigma_m: float, figures: Model) -> float:
    """Return the log of the density of one residual: Student-t, or anywhere in `SPREAD_M`."""
    z = residual_m / sigma_m
    core = (
        (1.0 - figures.outlier_late - figures.outlier_early)
        * STUDENT_PEAK
        * (1.0 + z * z / STUDENT_NU) ** -3.0
        / sigma_m
    )
    return math.log(core + outlier_share(z, figures) / SPREAD_M)


def log_posterior(state: np.ndarray, sites: np.ndarray, rho: np.ndarray, sigma: np.ndarray, figures: Model) -> float:
    """Return the log posterior, up to the constants of the priors."""
    total = -0.5 * (state[3] / figures.speed_error_sigma) ** 2
    total -= 0.5 * ((state[4] / figures.wind_error_sigma_mps) ** 2 + (state[5] / figures.wind_error_sigma_mps) ** 2)
    if figures.unknowns == FULL:
        total -= 0.5 * ((state[6] - state[7]) / figures.height_sigma_m) ** 2
    for residual, one_sigma in zip(rho - predicted_m(state, sites, figures), sigma, strict=True):
        total += log_density(float(residual), float(one_sigma), figures)
    return float(total)


def best_place(
    sites: np.ndarray, rho: np.ndarray, sigma: np.ndarray, figures: Model, *, apart_m: float = 100.0
) -> tuple[np.ndarray, float]:
    """Return the best state of a planar problem and its log posterior, from starts all over the plane.

    The posterior itself is climbed by quasi-Newton with numerical slopes, its unknowns scaled to about a sigma each.
    """
    scale = np.array([3.0, 3.0, 3.0, figures.speed_error_sigma, 1.0, 1.0])

    def full(unknowns: np.ndarray) -> np.ndarray:
        return np.concatenate([unknowns * scale, [0.0, 0.0]])

    def cost(unknowns: np.ndarray) -> float:
        return -log_posterior(full(unknowns), sites, rho, sigma, figures)

    def rough(place: np.ndarray) -> tuple[float, np.ndarray]:
        gaps = rho - np.hypot(*(sites[:, :2] - place).T)
        origins = [float(np.median(gaps)), *map(float, gaps)]
        costs = [np.minimum(((gaps - origin) / sigma) ** 2, 16.0).sum() for origin in origins]
        return min(costs), np.array([*place, origins[int(np.argmin(costs))]])

    reach = np.abs(sites[:, :2]).max() * 1.5
    axis = np.arange(-reach, reach + apart_m, apart_m)
    starts = sorted((rough(np.array([x, y])) for x in axis for y in axis), key=lambda item: item[0])
    found: list[tuple[float, np.ndarray]] = []
    for _, start in starts[:10]:
        # A soft least squares first: the core is steep beside a cell of the grid.
        near = least_squares(
            lambda s: (rho - s[2] - np.hypot(*(sites[:, :2] - s[:2]).T)) / sigma, start, loss="cauchy", f_scale=2.0
        ).x
        first = minimize(cost, np.concatenate([near / scale[:3], np.zeros(3)]), method="BFGS")
        found.append((float(first.fun), first.x))
    value, unknowns = min(found, key=lambda item: item[0])
    polished = minimize(cost, unknowns, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-13, "maxfev": 4000})
    return full(polished.x), -min(value, float(polished.fun))


def slope(function: Callable[[np.ndarray], float], at: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Return the gradient of a function by central differences."""
    result = np.zeros(len(at))
    for index, step in enumerate(steps):
        ahead, behind = at.copy(), at.copy()
        ahead[index] += step
        behind[index] -= step
        result[index] = (function(ahead) - function(behind)) / (2.0 * step)
    return result


def roots_by_search(sites: np.ndarray, rho: np.ndarray, *, half_m: float = 2000.0) -> list[tuple[float, float]]:
    """Return every place within 1.5 ``half_m`` that explains three pseudoranges, from starts on a grid."""

    def wrong_m(state: np.ndarray) -> np.ndarray:
        result: np.ndarray = np.hypot(*(sites[:, :2] - state[:2]).T) + state[2] - rho
        return result

    found: list[tuple[float, float]] = []
    axis = np.linspace(-half_m, half_m, 9)
    for x in axis:
        for y in axis:
            start = np.array([x + 1.0, y - 2.0, 0.0])
            start[2] = -float(np.median(wrong_m(start)))
            state, _, status, _ = fsolve(wrong_m, start, full_output=True)
            if status == 1 and np.abs(wrong_m(state)).max() < 1e-7:
                place = (float(state[0]), float(state[1]))
                if math.hypot(*place) < 1.5 * half_m and all(math.dist(place, other) > 0.01 for other in found):
                    found.append(place)
    return found
