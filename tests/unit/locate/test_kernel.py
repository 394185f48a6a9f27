"""The compiled arithmetic against slow, obvious twins: posterior, slopes, curvature, modes."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locate_samples import random_array
from model_twin import FULL, PLANE, best_place, log_density, log_posterior, model, outlier_share, slope
from scipy.integrate import quad
from scipy.stats import t as student

import fusion_server.locate.kernel
from fusion_server.locate.kernel import (
    MOST_MODES,
    SPREAD_M,
    STATE,
    STUDENT_NU,
    Model,
    climb,
    density,
    factorise,
    find_modes,
    ground_height_m,
    information,
    inverse,
    level_log_density,
    linearise,
    solve,
)

LEVEL = np.zeros((1, 1))
QUIET = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def problem(
    seed: int, n_nodes: int, *, delayed: int = 0, flat: bool = True
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return sites, pseudoranges and sigmas in order of arrival, and the true place; residuals are Student-t."""
    rng = np.random.default_rng(seed)
    sites = np.column_stack([random_array(rng, n_nodes), np.zeros(n_nodes) if flat else rng.uniform(0, 60, n_nodes)])
    source = np.array([*rng.uniform(-400, 400, 2), 0.0])
    sigma = rng.uniform(2.0, 4.0, n_nodes)
    rho = np.sqrt(((sites - source) ** 2).sum(axis=1)) + sigma * rng.standard_t(STUDENT_NU, n_nodes)
    rho[rng.choice(n_nodes, delayed, replace=False)] += rng.uniform(17.0, SPREAD_M, delayed)
    order = np.argsort(rho)
    return sites[order], rho[order] - rho[order[0]], sigma[order], source


def any_state(rng: np.random.Generator, source: np.ndarray) -> np.ndarray:
    """Return a state near the truth with a wrong speed, wind and height."""
    air = rng.normal(0, 1, 3) * (0.004, 1.0, 1.0)
    return np.array([*(source[:2] + rng.normal(0, 20, 2)), rng.normal(0, 20), *air, rng.normal(10, 20), 12.0])


def modes_of(sites: np.ndarray, rho: np.ndarray, sigma: np.ndarray, figures: Model) -> tuple[np.ndarray, np.ndarray]:
    modes, costs = np.full((MOST_MODES, STATE), math.nan), np.full(MOST_MODES, math.nan)
    count = find_modes(sites, rho, sigma, figures, LEVEL, modes, costs)
    return modes[:count], costs[:count]


def test_public_names_exist() -> None:
    module = fusion_server.locate.kernel
    assert all(hasattr(module, name) for name in module.__all__)


class TestLinearAlgebra:
    @pytest.mark.parametrize("n", [1, 3, 7])
    def test_factor_solution_and_inverse(self, n: int) -> None:
        rng = np.random.default_rng(n)
        root = rng.normal(0, 1, (n, n))
        matrix = root @ root.T + np.eye(n)
        factor, vector, out = matrix.copy(), rng.normal(0, 1, n), np.empty((n, n))
        given_vector = vector.copy()
        assert factorise(factor, n)
        # Conditions are below 1e3: 1e-13 at most; 1e-10 asked.
        np.testing.assert_allclose(np.tril(factor), np.linalg.cholesky(matrix), rtol=1e-10, atol=1e-12)
        solve(factor, vector, n)
        np.testing.assert_allclose(matrix @ vector, given_vector, rtol=1e-10, atol=1e-11)
        inverse(factor, n, out)
        np.testing.assert_allclose(out, np.linalg.inv(matrix), rtol=1e-10, atol=1e-12)

    @pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
    def test_what_is_not_positive_has_no_factor(self, bad: float) -> None:
        assert not factorise(np.diag([1.0, bad]), 2)


class TestDensity:
    @pytest.mark.parametrize("z", [-30.0, -4.0, -1.0, 0.0, 1.5, 2.0, 3.9, 4.0, 30.0])
    def test_agrees_with_its_twin(self, z: float) -> None:
        figures = model(outlier_late=0.02, outlier_early=0.005)
        total, share = density(z, 1.0 / 2.5, figures)
        core = 0.975 * float(student.pdf(z, STUDENT_NU)) / 2.5
        # Some ten operations of 1e-16.
        assert math.log(total) == pytest.approx(log_density(2.5 * z, 2.5, figures), abs=1e-13)
        assert total == pytest.approx(core + outlier_share(z, figures) / SPREAD_M, rel=1e-13)
        assert share == pytest.approx(core / total, rel=1e-13)

    def test_the_core_is_a_density(self) -> None:
        figures = model(outlier_late=0.0, outlier_early=0.0)
        assert quad(lambda r: density(r / 3.0, 1.0 / 3.0, figures)[0], -np.inf, np.inf)[0] == pytest.approx(1.0)

    def test_late_is_likelier_than_early_beyond_the_core_only(self) -> None:
        figures = model()
        assert density(1.4, 0.3, figures) == density(-1.4, 0.3, figures)
        assert density(5.0, 0.3, figures)[0] > density(-5.0, 0.3, figures)[0]


class TestPosterior:
    @QUIET
    @given(SEEDS, st.integers(3, 14), st.sampled_from([PLANE, FULL]))
    def test_value_agrees_with_its_twin(self, seed: int, n_nodes: int, unknowns: int) -> None:
        rng = np.random.default_rng(seed)
        sites, rho, sigma, source = problem(seed, n_nodes, delayed=1, flat=False)
        figures, state = model(unknowns=unknowns), any_state(rng, source)
        value = -linearise(
            state, sites, rho, sigma, figures, 1.0, unknowns, 0, np.empty((STATE, STATE)), np.empty(STATE)
        )
        # Values of 10 to 1000, from a product of densities here and a sum of logs there.
        assert value == pytest.approx(log_posterior(state, sites, rho, sigma, figures), abs=1e-9)

    def test_a_scale_makes_sigmas_larger(self) -> None:
        sites, rho, sigma, source = problem(3, 8)
        state = any_state(np.random.default_rng(3), source)
        spare = np.empty((STATE, STATE)), np.empty(STATE)
        doubled = linearise(state, sites, rho, sigma, model(), 2.0, PLANE, 0, *spare)
        assert doubled == linearise(state, sites, rho, 2.0 * sigma, model(), 1.0, PLANE, 0, *spare)

    @QUIET
    @given(SEEDS, st.integers(3, 12), st.sampled_from([(PLANE, 0), (PLANE, 2), (FULL, 0), (FULL, 2)]))
    def test_gradient_is_the_slope_of_the_value(self, seed: int, n_nodes: int, unknowns: tuple[int, int]) -> None:
        n, first = unknowns
        rng = np.random.default_rng(seed)
        # Outliers no likelier late than early: the slope of that step is left out of the gradient, see below.
        figures = model(unknowns=n, outlier_late=0.002, outlier_early=0.002)
        sites, rho, sigma, source = problem(seed, n_nodes, delayed=1, flat=False)
        state, gradient = any_state(rng, source), np.empty(STATE)
        linearise(state, sites, rho, sigma, figures, 1.0, n, first, np.empty((STATE, STATE)), gradient)
        steps = np.array([1e-3, 1e-3, 1e-3, 1e-6, 1e-3, 1e-3, 1e-3, 0.0])
        twin = slope(lambda s: log_posterior(s, sites, rho, sigma, figures), state, steps + 1e-300)
        # Third derivatives times step²/6, and 1e-13 of value over the step: 1e-9 of a slope's scale.
        scale = np.array([1.0, 1.0, 1.0, 1000.0, 1.0, 1.0, 1.0])
        np.testing.assert_allclose(gradient[first:n] / scale[first:n], twin[first:n] / scale[first:n], atol=2e-6)

    @pytest.mark.parametrize("z", [-3.0, -1.0, 1.0, 2.0, 3.0, 5.0])
    def test_the_step_towards_late_outliers_is_all_the_gradient_leaves_out(self, z: float) -> None:
        """Its slope is that of the ramp of the outliers' share, over what is dense there: a thousandth of a sigma."""
        figures, sites, sigma = model(), np.array([[300.0, 0.0, 0.0]]), np.array([3.0])
        state, gradient = np.zeros(STATE), np.empty(STATE)
        rho = np.array([300.0 + 3.0 * z])
        linearise(state, sites, rho, sigma, figures, 1.0, 3, 0, np.empty((STATE, STATE)), gradient)
        twin = slope(lambda s: log_posterior(s, sites, rho, sigma, figures), state, np.full(STATE, 1e-4))
        ramp = (0.002 - 0.001) / 2.5 / SPREAD_M if 1.5 < z < 4.0 else 0.0
        # d log(density) / d origin = -(1/sigma) d log(density) / dz; central differences are good to 1e-9 here.
        left_out = -ramp / density(z, 1.0 / 3.0, figures)[0] / 3.0
        assert twin[2] - gradient[2] == pytest.approx(left_out, abs=1e-8)
        assert abs(left_out) * 3.0 < 1.5e-3

    @QUIET
    @given(SEEDS, st.integers(4, 12))
    def test_normal_matrix_is_the_curvature_of_what_fits(self, seed: int, n_nodes: int) -> None:
        """Where residuals are 0 the second derivatives of distances drop out: Gauss-Newton is Newton."""
        figures = model(unknowns=FULL, outlier_late=0.0, outlier_early=0.0)
        sites, _, sigma, source = problem(seed, n_nodes, flat=False)
        state = any_state(np.random.default_rng(seed), source)
        spare = np.empty(STATE)

        def gradient_at(place: np.ndarray) -> np.ndarray:
            out = np.empty(STATE)
            linearise(place, sites, rho, sigma, figures, 1.0, FULL, 0, np.empty((STATE, STATE)), out)
            return out

        way = state[[0, 1, 6]] - sites
        d = np.sqrt((way**2).sum(axis=1))
        rho = state[2] + d * (1.0 - state[3]) + (way[:, 0] * state[4] + way[:, 1] * state[5]) / figures.speed_mps
        normal = np.zeros((STATE, STATE))
        linearise(state, sites, rho, sigma, figures, 1.0, FULL, 0, normal, spare)
        steps = np.array([1e-3, 1e-3, 1e-3, 1e-6, 1e-3, 1e-3, 1e-3])
        twin = np.empty((FULL, FULL))
        for index, step in enumerate(steps):
            ahead, behind = state.copy(), state.copy()
            ahead[index] += step
            behind[index] -= step
            twin[:, index] = -(gradient_at(ahead) - gradient_at(behind))[:FULL] / (2.0 * step)
        filled = np.tril(normal[:FULL, :FULL])
        scale = np.sqrt(np.outer(np.diag(filled), np.diag(filled)))
        # Step² over d or sigma squared: 1e-7 of an entry's scale, and at most 1e-4 for a source right at a node.
        np.testing.assert_allclose(filled / scale, np.tril(twin) / scale, atol=2e-5)

    def test_information_is_a_sum_over_used_nodes_and_the_prior(self) -> None:
        sites, _, sigma, source = problem(9, 7, flat=False)
        state = any_state(np.random.default_rng(9), source)
        figures = model(unknowns=FULL)
        used = np.array([True, True, False, True, True, False, True])
        found = np.zeros((STATE, STATE))
        information(state, sites, sigma, used, figures, 1.7, found)
        twin = np.diag([0.0, 0.0, 0.0, 0.004**-2, 1.0, 1.0, 20.0**-2])
        for site, one_sigma in zip(sites[used], sigma[used], strict=True):
            way = state[[0, 1, 6]] - site
            u = way / math.hypot(*way) * (1.0 - state[3])
            wind = state[[4, 5]] / 340.0
            row = np.array([*(u[:2] + wind), 1.0, -math.hypot(*way), *(way[:2] / 340.0), u[2]])
            # Information of a Student-t of five degrees of freedom: (nu + 1) / (nu + 3) = 6 / 8.
            twin += 0.75 * np.outer(row, row) / (one_sigma**2 * 1.7)
        np.testing.assert_allclose(np.tril(found[:FULL, :FULL]), np.tril(twin), rtol=1e-12, atol=1e-12)


class TestModes:
    @pytest.mark.parametrize("n_nodes", [4, 5, 6, 8, 12])
    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize(
        ("outlier_late", "within_m"),
        # Where outliers are as likely early as late the slopes are those of the posterior, and steps end at 1e-4 m.
        # Else the slope that is left out, a thousandth of a sigma, moves a mode by as much along its longest axis.
        [(0.001, 1e-3), (0.002, 0.02)],
    )
    def test_the_best_is_that_of_a_search_of_the_plane(
        self, n_nodes: int, seed: int, outlier_late: float, within_m: float
    ) -> None:
        figures = model(outlier_late=outlier_late)
        sites, rho, sigma, _ = problem(100 * n_nodes + seed, n_nodes)
        modes, costs = modes_of(sites, rho, sigma, figures)
        twin, value = best_place(sites, rho, sigma, figures)
        assert modes[0, :2] == pytest.approx(twin[:2], abs=within_m)
        # A thousandth of a sigma costs half its square.
        assert -costs[0] == pytest.approx(value, abs=2e-6)

    @pytest.mark.parametrize(("n_nodes", "delayed", "most"), [(5, 0, 2), (8, 0, 0), (8, 1, 6), (8, 2, 14), (12, 2, 6)])
    def test_climbing_from_the_truth_finds_nothing_better(self, n_nodes: int, delayed: int, most: int) -> None:
        better = 0
        for seed in range(400):
            sites, rho, sigma, source = problem(seed, n_nodes, delayed=delayed)
            _, costs = modes_of(sites, rho, sigma, model())
            state = np.zeros(STATE)
            state[:2], state[2] = source[:2], np.median(rho - np.hypot(*(sites - source)[:, :2].T))
            better += climb(state, sites, rho, sigma, model(), 1.0, PLANE, 0, 1e-4, 60) < costs[0] - 1e-3
        # With blocked paths a mode within some tens of metres of another is missed in one case of fifty; without, none
        # but where no three of five noisy nodes have a root.
        assert better <= most

    def test_modes_are_apart_in_order_and_level(self) -> None:
        several = 0
        for seed in range(60):
            sites, rho, sigma, _ = problem(seed, 4)
            modes, costs = modes_of(sites, rho, sigma, model())
            several += len(modes) > 1
            assert costs.tolist() == sorted(costs)
            for mode, cost in zip(modes, costs, strict=True):
                assert -cost == pytest.approx(log_posterior(mode, sites, rho, sigma, model()), abs=1e-9)
            assert all(math.dist(one[:2], two[:2]) > 2.0 for one, two in pairwise(modes))
            # A thousandth of the best's weight and no less.
            assert costs[-1] <= costs[0] + 7.0
        assert several >= 3

    def test_no_root_no_mode(self) -> None:
        sites = np.array([(0.0, 0.0, 0.0), (400.0, 0.0, 0.0), (100.0, 300.0, 0.0)])
        assert len(modes_of(sites, np.array([0.0, 500.0, 520.0]), np.ones(3), model())[0]) == 0

    def test_climbing_holds_the_unknowns_it_is_told_to(self) -> None:
        sites, rho, sigma, source = problem(5, 8)
        state = np.zeros(STATE)
        state[:2] = source[0] + 30.0, source[1] - 20.0
        climb(state, sites, rho, sigma, model(), 1.0, PLANE, 2, 1e-6, 60)
        assert state[:2].tolist() == [source[0] + 30.0, source[1] - 20.0]
        assert abs(state[2]) > 1.0
        assert state[6:].tolist() == [0.0, 0.0]


class TestEvidenceBesideTimes:
    def test_levels_and_hearing_agree_with_their_twin(self) -> None:
        rng = np.random.default_rng(4)
        sites = np.column_stack([random_array(rng, 6, half_m=1500.0), rng.uniform(0, 30, 6)])
        level_db, used = np.array([-20.0, -31.0, math.nan, -40.0, -5.0, -38.0]), np.array([1, 1, 1, 1, 0, 1], bool)
        state = np.array([100.0, -50.0, 0.0, 0.0, 0.0, 0.0, 5.0, 0.0])
        found = level_log_density(state, sites, level_db, used, model(hearing_range_m=900.0))
        d = np.sqrt(((state[[0, 1, 6]] - sites) ** 2).sum(axis=1))
        heard = np.log(1.0 / (1.0 + np.exp((d[used] - 900.0) / (0.15 * 900.0)))).sum()
        known = used & np.isfinite(level_db)
        loud_db = level_db[known] + 30.0 * np.log10(d[known])
        assert found == pytest.approx(heard - 0.5 * ((loud_db - loud_db.mean()) ** 2).sum() / 10.0**2, abs=1e-9)

    @pytest.mark.parametrize("known", [0, 1])
    def test_one_level_says_nothing(self, known: int) -> None:
        level_db = np.full(4, math.nan)
        level_db[:known] = -30.0
        sites = np.column_stack([np.eye(4)[:, :2] * 300.0, np.zeros(4)])
        # All within a sixth of the hearing range: each misses with a probability of exp(-5.5) at most.
        found = level_log_density(np.zeros(STATE), sites, level_db, np.ones(4, bool), model())
        assert -0.02 < found <= 0.0

    def test_ground_is_bilinear_and_level_beyond_its_edge(self) -> None:
        ground = np.array([[0.0, 10.0, 20.0], [4.0, 18.0, 40.0]])
        figures = model(ground_x_m=100.0, ground_y_m=-50.0, ground_cell_m=20.0)
        for x, y, height in (
            (100.0, -50.0, 0.0),
            (110.0, -50.0, 2.0),
            (100.0, -40.0, 5.0),
            (110.0, -40.0, 8.0),
            (115.0, -25.0, 0.25 * 0.75 * 10.0 + 0.75 * 0.75 * 18.0 + 0.25 * 0.25 * 20.0 + 0.75 * 0.25 * 40.0),
            (-1e6, -1e6, 0.0),
        ):
            assert ground_height_m(x, y, figures, ground) == pytest.approx(height, abs=1e-12)
        # The last cell ends a millionth of itself before the edge, so that there always is a next point.
        assert ground_height_m(1e6, 1e6, figures, ground) == pytest.approx(40.0, abs=1e-3)
        assert ground_height_m(7.0, 9.0, figures, np.array([[3.5]])) == 3.5
