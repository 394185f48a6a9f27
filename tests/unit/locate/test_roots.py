"""The closed-form roots of three nodes: every one of them, against a slow twin that searches the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locate_samples import random_array
from model_twin import roots_by_search

from fusion_server.locate.kernel import _roots

SITES = np.array([(0.0, 0.0, 0.0), (400.0, 0.0, 0.0), (100.0, 300.0, 0.0)])


def roots_of(sites: np.ndarray, rho: np.ndarray, *, slack_m: float = 0.0) -> list[tuple[float, float, float]]:
    flat = np.zeros((3, 3))
    flat[:, : sites.shape[1]] = sites
    out = np.full((2, 3), math.nan)
    count = _roots(flat, np.asarray(rho, dtype=np.float64), 0, 1, 2, slack_m, out)
    assert np.isnan(out[count:]).all()
    return [(float(x), float(y), float(origin)) for x, y, origin in out[:count]]


def pseudoranges(sites: np.ndarray, source: np.ndarray, origin_m: float = 0.0) -> np.ndarray:
    result: np.ndarray = np.hypot(*(sites[:, :2] - source).T) + origin_m
    return result


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_truth_is_among_the_roots_and_every_root_explains_the_ranges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sites, source, origin_m = random_array(rng, 3), rng.uniform(-1000, 1000, 2), rng.uniform(-1e4, 1e4)
    (ax, ay), (bx, by) = sites[1:] - sites[0]
    if abs(ax * by - ay * bx) < 0.05 * math.hypot(ax, ay) * math.hypot(bx, by):
        return
    rho = pseudoranges(sites, source, origin_m)
    roots = roots_of(sites, rho, slack_m=1e-3)
    assert 1 <= len(roots) <= 2
    # 1e-16 of 1 km² in the discriminant; a nearly double root takes its square root: 1e-5 m, times 20 of a flat one.
    assert min(math.dist(root[:2], source) for root in roots) < 1e-3
    for x, y, root_origin_m in roots:
        assert pseudoranges(sites, np.array([x, y]), root_origin_m) == pytest.approx(rho, abs=1e-3)


@pytest.mark.parametrize("source", [(160.0, 100.0), (250.0, -80.0), (30.0, 20.0), (500.0, 400.0)])
def test_well_inside_the_plane_it_is_exact(source: tuple[float, float]) -> None:
    roots = roots_of(SITES, pseudoranges(SITES, np.array(source), 77.0), slack_m=1e-6)
    # Exact maths: 16 digits of (400 m)² over some 100 m.
    assert min(math.dist(root, (*source, 77.0)) for root in roots) < 1e-9


@pytest.mark.parametrize(
    ("source", "count"),
    [((160.0, 100.0), 1), ((-150.0, -60.0), 2), ((700.0, -150.0), 2), ((90.0, 600.0), 2), ((-60.0, 200.0), 1)],
)
def test_agrees_with_a_search_of_the_plane(source: tuple[float, float], count: int) -> None:
    rho = pseudoranges(SITES, np.array(source))
    near = sorted(root[:2] for root in roots_of(SITES, rho, slack_m=1e-6) if math.hypot(*root[:2]) < 3000.0)
    # The twin stops at 1e-7 m of range; far outside the array that is 1e-4 m of place.
    np.testing.assert_allclose(near, sorted(roots_by_search(SITES, rho)), atol=1e-4)
    assert len(near) == count


def test_which_nodes_of_many_are_taken() -> None:
    sites = np.vstack([SITES[:1], [(900.0, -700.0, 0.0)], SITES[1:]])
    out = np.empty((2, 3))
    count = _roots(sites, pseudoranges(sites, np.array([160.0, 100.0]), 5.0), 0, 2, 3, 1e-6, out)
    # As above: 1e-9 m of exact maths.
    assert count == 1
    assert out[0] == pytest.approx((160.0, 100.0, 5.0), abs=1e-9)


def test_on_a_node() -> None:
    roots = roots_of(SITES, pseudoranges(SITES, SITES[0, :2]), slack_m=1e-6)
    # The range is 0 there and its square is what the equations know: sqrt(1e-16) * 400 m.
    assert min(math.dist(root[:2], SITES[0, :2]) for root in roots) < 1e-5


def test_equal_times_meet_at_the_circumcentre() -> None:
    # u v = 0 and v = 0: the symmetric pair ±R, of which one is physical.
    triangle = 100.0 * np.array([(math.cos(a), math.sin(a)) for a in (0.1, 2.2, 4.3)])
    roots = roots_of(triangle, np.zeros(3), slack_m=1e-6)
    assert len(roots) == 1
    assert roots[0] == pytest.approx((0.0, 0.0, -100.0), abs=1e-9)


def test_where_the_quadratic_turns_linear_nothing_is_lost() -> None:
    """Sources for which v² passes through 1: the second root goes through infinity, the first stays exact."""

    def curvature(source: np.ndarray) -> float:
        rho = pseudoranges(SITES, source)
        v = np.linalg.solve((SITES[1:] - SITES[0])[:, :2], rho[0] - rho[1:])
        return float(v @ v) - 1.0

    # From the middle, where there is one root, to behind the node of the corner, where there are two.
    inside, behind = np.array([160.0, 100.0]), np.array([-150.0, -60.0])
    assert curvature(inside) < 0.0 < curvature(behind)
    low, high = 0.0, 1.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if curvature(inside + middle * (behind - inside)) > 0.0 else (middle, high)
    for share in (low, high, low * (1 + 1e-12), low * (1 - 1e-9), low * (1 + 1e-6)):
        source = inside + share * (behind - inside)
        assert abs(curvature(source)) < 1e-5
        roots = roots_of(SITES, pseudoranges(SITES, source), slack_m=1e-6)
        # R = -c / 2b, both of km² size: 1e-9 m with room for the triangle's shape.
        assert min(math.dist(root[:2], source) for root in roots) < 1e-7


def test_linear_exactly() -> None:
    # p2 east, p3 north at 100 m, delays -60 and -80 m: v = (0.6, 0.8), so v² = 1; R = -c / 2b by hand.
    sites = np.array([(0.0, 0.0), (100.0, 0.0), (0.0, 100.0)])
    rho = np.array([0.0, -60.0, -80.0])
    u = np.array([(100.0**2 - 60.0**2) / 200.0, (100.0**2 - 80.0**2) / 200.0])
    range_m = -float(u @ u) / (2.0 * float(u @ (0.6, 0.8)))
    # R is negative: no place hears it in this order.
    assert range_m < 0.0
    assert roots_of(sites, rho) == []
    mirrored = roots_of(sites, -rho)
    range_m = float(u @ u) / (2.0 * float(u @ (0.6, 0.8)))
    expected = u - np.array([0.6, 0.8]) * range_m
    assert len(mirrored) == 1
    assert mirrored[0] == pytest.approx((*expected, -range_m), abs=1e-9)


def test_a_double_root_survives_rounding_and_noise() -> None:
    # Far out along a baseline's extension both roots meet; millimetres of noise may push the discriminant below zero.
    source = np.array([-500.0, 0.0])
    rho = pseudoranges(SITES, source)
    for noise_m in (0.0, 1e-9, -1e-9, 1e-3, -1e-3):
        roots = roots_of(SITES, rho + np.array([0.0, noise_m, 0.0]), slack_m=10.0)
        assert roots
        # Noise becomes the square root of itself times the distance (a kilometre), times geometry, here below 10.
        assert min(math.dist(root[:2], source) for root in roots) < 10.0 * math.sqrt(1000.0 * abs(noise_m)) + 1e-3


def test_times_that_no_place_gives_have_no_root() -> None:
    assert roots_of(SITES, np.array([0.0, 500.0, 0.0])) == []


def test_on_a_line_there_is_none() -> None:
    line = np.array([(0.0, 0.0), (100.0, 100.0), (300.0, 300.0)])
    assert roots_of(line, pseudoranges(line, np.array([50.0, 90.0])), slack_m=30.0) == []
    assert roots_of(np.zeros((3, 2)), np.zeros(3), slack_m=30.0) == []
