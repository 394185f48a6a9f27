"""Refinement: rows do not know of each other; a slow general-purpose twin agrees."""

from __future__ import annotations

import math

import numpy as np
import pytest
from locate_samples import random_array
from scipy.optimize import minimize

from fusion_server.locate.refine import QUICK, STUDENT_NU, Refined, refine, robust_offsets, student_cost

SPEED_ERROR_SIGMA = 0.004
# Uniform on batches of problems: positions, sites, pseudoranges, sigmas.
Batch = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def batch(n_rows: int, n_nodes: int, *, seed: int = 5, noise_m: float = 3.0) -> Batch:
    rng = np.random.default_rng(seed)
    sites = np.stack([random_array(rng, n_nodes) for _ in range(n_rows)])
    source = rng.uniform(-400, 400, (n_rows, 1, 2))
    sigma = rng.uniform(2.0, 5.0, (n_rows, n_nodes))
    ranges = np.hypot(*np.moveaxis(sites - source, 2, 0)) + 55.0 + noise_m * rng.standard_t(4, (n_rows, n_nodes))
    return source[:, 0] + rng.normal(0, 30.0, (n_rows, 2)), sites, ranges, sigma


def run(given: Batch, rows: slice = slice(None), **changes: object) -> Refined:
    start, sites, ranges, sigma = (part[rows] for part in given)
    return refine(start, sites, ranges, sigma, speed_error_sigma=SPEED_ERROR_SIGMA, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_nodes", [3, 4, 5, 7, 8, 12, 16])
def test_a_row_does_not_depend_on_its_companions_bit_for_bit(n_nodes: int) -> None:
    given = batch(17, n_nodes)
    together = run(given)
    for row in range(17):
        alone = run(given, slice(row, row + 1))
        pair = run(given, slice(max(0, row - 1), row + 1))
        for name in ("position_m", "offset_m", "speed_error", "residual_m", "cost", "information"):
            whole = getattr(together, name)[row]
            assert np.array_equal(whole, getattr(alone, name)[0]), (row, name)
            assert np.array_equal(whole, getattr(pair, name)[-1]), (row, name)


def negative_log_posterior(state: np.ndarray, sites: np.ndarray, ranges: np.ndarray, sigma: np.ndarray) -> float:
    """Return the cost as the module's docstring states it, by plain loops."""
    *place, offset, error = state
    cost = 0.5 * (error / SPEED_ERROR_SIGMA) ** 2
    for site, observed, one_sigma in zip(sites, ranges, sigma, strict=True):
        residual = observed - (offset + math.dist(site, place) / (1.0 + error))
        cost += 0.5 * (STUDENT_NU + 1.0) * math.log1p((residual / one_sigma) ** 2 / STUDENT_NU)
    return cost


@pytest.mark.parametrize("n_nodes", [5, 8, 12])
def test_a_general_minimiser_finds_the_same_place(n_nodes: int) -> None:
    given = batch(6, n_nodes)
    found = run(given)
    for row in range(6):
        sites, ranges, sigma = (part[row] for part in given[1:])
        state = np.array([*found.position_m[row], found.offset_m[row], found.speed_error[row]])
        assert found.cost[row] == pytest.approx(negative_log_posterior(state, sites, ranges, sigma), rel=1e-12)
        # Scaled so that all four unknowns move by metres.
        scale = np.array([1.0, 1.0, 1.0, 1e-3])
        twin = minimize(
            lambda z, scale, *data: negative_log_posterior(z * scale, *data),
            (state + np.array([3.0, -2.0, 1.0, 0.0])) / scale,
            args=(scale, sites, ranges, sigma),
            method="Nelder-Mead",
            options={"xatol": 1e-8, "fatol": 1e-15, "maxiter": 20_000, "maxfev": 40_000},
        )
        # Costs are good to 1e-15, so places to sqrt(1e-15) sigma of some metres: 1e-7 m; 1e-4 m asked of both.
        assert twin.fun >= found.cost[row] - 1e-9
        assert found.position_m[row] == pytest.approx((twin.x * scale)[:2], abs=1e-4)


def test_noise_free_is_exact_from_anywhere() -> None:
    start, sites, ranges, sigma = batch(10, 8, noise_m=0.0)
    found = refine(np.zeros((10, 2)) + 200.0, sites, ranges, sigma, speed_error_sigma=SPEED_ERROR_SIGMA)
    # The last step is below 1e-6 m and steps shrink faster than linearly without residuals.
    assert np.abs(found.residual_m).max() < 1e-6
    assert np.abs(found.offset_m - 55.0).max() < 1e-6
    assert np.abs(found.speed_error).max() < 1e-8
    assert start.shape == (10, 2)


def test_quick_is_good_to_a_decimetre() -> None:
    given = batch(20, 8)
    moved_m = np.hypot(*(run(given, stages=QUICK).position_m - run(given).position_m).T)
    # It stops at a step of 0.1 m, and reweighting shrinks steps by half or more: a few decimetres are left at most.
    assert moved_m.max() < 0.3


def test_information_is_the_sum_of_what_nodes_add_and_of_the_prior() -> None:
    found = run(batch(4, 6))
    prior = found.information - found.node_information.sum(axis=1)
    np.testing.assert_allclose(prior[:, -1, -1], SPEED_ERROR_SIGMA**-2, rtol=1e-9)
    prior[:, -1, -1] = 0.0
    # Rounding of entries up to 1e5.
    assert np.abs(prior).max() < 1e-9


def test_known_height_offset_is_a_slant_range() -> None:
    start, sites, _, sigma = batch(5, 8)
    source, up_m = np.full((5, 1, 2), 40.0), np.full((5, 8), 30.0)
    ranges = np.sqrt(((sites - source) ** 2).sum(axis=2) + up_m**2)
    found = refine(start, sites, ranges, sigma, speed_error_sigma=SPEED_ERROR_SIGMA, height_offset_m=up_m)
    assert found.position_m == pytest.approx(source[:, 0], abs=1e-6)


def test_student_cost_and_robust_offsets() -> None:
    assert student_cost(np.zeros((2, 3))).tolist() == [0.0, 0.0]
    assert float(student_cost(np.array([2.0]))) == pytest.approx(2.5 * math.log(2.0), rel=1e-15)
    assert robust_offsets(np.array([5.0, 6.0, 99.0]), np.array([[1.0, 1.0, 1.0]])).tolist() == [5.0]
