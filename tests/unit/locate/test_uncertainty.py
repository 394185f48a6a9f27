"""From a covariance to an ellipse, a CEP and a dilution."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm

import fusion_server.locate.uncertainty
from fusion_server.locate.uncertainty import cep_m, ellipse, horizontal_dop

CHI2_95 = 5.991464547107979
SIGMA_M = st.floats(0.1, 1000.0)


def test_public_names_exist() -> None:
    module = fusion_server.locate.uncertainty
    assert all(hasattr(module, name) for name in module.__all__)


def turned(major_sigma_m: float, minor_sigma_m: float, bearing_deg: float) -> np.ndarray:
    """Return the covariance whose major axis points at a bearing, clockwise from north."""
    bearing = math.radians(bearing_deg)
    axes = np.array([[math.sin(bearing), math.cos(bearing)], [math.cos(bearing), -math.sin(bearing)]])
    result: np.ndarray = axes.T @ np.diag([major_sigma_m**2, minor_sigma_m**2]) @ axes
    return result


class TestEllipse:
    @pytest.mark.parametrize(("east_m2", "north_m2", "bearing"), [(9.0, 4.0, 90.0), (4.0, 9.0, 0.0)])
    def test_diagonal(self, east_m2: float, north_m2: float, bearing: float) -> None:
        found = ellipse(np.diag([east_m2, north_m2]), confidence=0.95)
        assert found.semi_major_m == pytest.approx(3.0 * math.sqrt(CHI2_95), rel=1e-12)
        assert found.semi_minor_m == pytest.approx(2.0 * math.sqrt(CHI2_95), rel=1e-12)
        assert found.orientation_deg == bearing

    @pytest.mark.parametrize("bearing", [0.0, 1.0, 30.0, 45.0, 89.0, 90.0, 120.0, 135.0, 179.0])
    def test_orientation_is_clockwise_from_north(self, bearing: float) -> None:
        found = ellipse(turned(10.0, 3.0, bearing), confidence=0.95)
        assert found.orientation_deg == pytest.approx(bearing, abs=1e-9)

    def test_north_east_is_45_and_north_west_135(self) -> None:
        assert ellipse(np.array([[5.0, 4.0], [4.0, 5.0]]), confidence=0.5).orientation_deg == pytest.approx(45.0)
        assert ellipse(np.array([[5.0, -4.0], [-4.0, 5.0]]), confidence=0.5).orientation_deg == pytest.approx(135.0)

    @given(SIGMA_M, SIGMA_M, st.floats(-360.0, 360.0), st.floats(0.01, 0.999))
    def test_any(self, one_m: float, other_m: float, bearing: float, confidence: float) -> None:
        found = ellipse(turned(one_m, other_m, bearing), confidence=confidence)
        scale = math.sqrt(-2.0 * math.log(1.0 - confidence))
        # Eigenvalues are good to 1e-16 of the larger: a minor axis 1e4 times smaller keeps 1e-8 of itself.
        assert found.semi_major_m == pytest.approx(max(one_m, other_m) * scale, rel=1e-9)
        assert found.semi_minor_m == pytest.approx(min(one_m, other_m) * scale, rel=1e-7)
        assert 0.0 <= found.orientation_deg < 180.0

    @pytest.mark.parametrize("exponent", range(-17, -6))
    @pytest.mark.parametrize("sign", [1.0, -1.0])
    def test_a_hair_beside_north_is_not_180(self, exponent: int, sign: float) -> None:
        tilt = sign * 10.0**exponent
        found = ellipse(np.array([[1.0, tilt], [tilt, 4.0]]), confidence=0.95)
        assert 0.0 <= found.orientation_deg < 180.0

    def test_a_line_and_a_point(self) -> None:
        line = ellipse(np.array([[4.0, 0.0], [0.0, 0.0]]), confidence=0.95)
        assert line.semi_minor_m == 0.0
        assert line.orientation_deg == 90.0
        assert ellipse(np.zeros((2, 2)), confidence=0.95).semi_major_m == 0.0


class TestCep:
    @given(SIGMA_M, st.floats(0.001, 0.999))
    def test_a_circle_is_rayleigh(self, sigma_m: float, probability: float) -> None:
        expected = sigma_m * math.sqrt(-2.0 * math.log(1.0 - probability))
        assert cep_m(np.eye(2) * sigma_m**2, probability=probability) == pytest.approx(expected, rel=1e-9)

    @given(SIGMA_M, st.floats(0.3, 0.99), st.floats(0.0, 180.0))
    def test_a_line_is_normal(self, sigma_m: float, probability: float, bearing: float) -> None:
        expected = sigma_m * norm.ppf(0.5 + 0.5 * probability)
        # A turned line is one to rounding only, and the integrand is clamped at 1e-12 of the major variance.
        assert cep_m(turned(sigma_m, 0.0, bearing), probability=probability) == pytest.approx(expected, rel=1e-8)

    def test_the_line_exactly(self) -> None:
        for probability in (0.5, 0.9, 0.95):
            expected = 7.0 * norm.ppf(0.5 + 0.5 * probability)
            assert cep_m(np.diag([49.0, 0.0]), probability=probability) == pytest.approx(expected, rel=1e-9)

    def test_a_point(self) -> None:
        assert cep_m(np.zeros((2, 2)), probability=0.95) == 0.0

    @given(SIGMA_M, SIGMA_M, st.floats(0.0, 180.0))
    def test_grows_with_probability_between_line_and_circle(self, one_m: float, other_m: float, bearing: float) -> None:
        covariance = turned(one_m, other_m, bearing)
        radii = [cep_m(covariance, probability=probability) for probability in (0.3, 0.5, 0.9, 0.95)]
        assert radii == sorted(radii)
        major = max(one_m, other_m)
        # 1e-8: see the line above.
        assert norm.ppf(0.975) * major * (1 - 1e-8) <= radii[-1] <= math.sqrt(CHI2_95) * major * (1 + 1e-8)

    @pytest.mark.parametrize("minor_m", [0.5, 3.0, 7.0, 10.0])
    @pytest.mark.parametrize("probability", [0.5, 0.95])
    def test_monte_carlo_agrees(self, minor_m: float, probability: float) -> None:
        rng = np.random.default_rng(3)
        covariance = turned(10.0, minor_m, 33.0)
        draws = rng.multivariate_normal(np.zeros(2), covariance, 200_000)
        share = float((np.hypot(*draws.T) <= cep_m(covariance, probability=probability)).mean())
        # Four binomial sigma of 200 000 draws: 0.0045 at 50 %, 0.002 at 95 %.
        assert abs(share - probability) < 4.0 * math.sqrt(probability * (1 - probability) / 200_000)


class TestDilution:
    def test_the_middle_of_a_square(self) -> None:
        assert horizontal_dop(np.array([(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)])) == pytest.approx(1.0)

    def test_a_ring_of_n_is_two_over_root_n(self) -> None:
        for n_nodes in (3, 5, 12):
            angle = 2.0 * math.pi * np.arange(n_nodes) / n_nodes
            ring = np.column_stack([np.cos(angle), np.sin(angle)])
            assert horizontal_dop(ring) == pytest.approx(2.0 / math.sqrt(n_nodes), rel=1e-12)

    @pytest.mark.parametrize("n_nodes", [0, 1, 2, 7])
    def test_singular_is_infinite(self, n_nodes: int) -> None:
        assert horizontal_dop(np.tile([0.6, 0.8], (n_nodes, 1))) == math.inf

    def test_two_directions_only_are_singular(self) -> None:
        assert horizontal_dop(np.array([(1.0, 0.0), (-1.0, 0.0), (1.0, 0.0), (-1.0, 0.0)])) == math.inf
