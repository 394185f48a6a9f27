"""The minimal set: every root, against a slow twin that searches the plane."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from locate_samples import random_array
from scipy.optimize import fsolve

from fusion_server.locate.closed_form import three_node_roots, well_spread_triples

SITES = np.array([(0.0, 0.0), (400.0, 0.0), (100.0, 300.0)])


def roots_of(sites: np.ndarray, ranges: np.ndarray, *, slack_m: float = 0.0) -> list[tuple[float, float, float]]:
    roots, offsets, which = three_node_roots(sites[None], ranges[None], slack_m=slack_m)
    assert len(roots) == len(offsets) == len(which)
    assert (which == 0).all()
    return [(float(x), float(y), float(offset)) for (x, y), offset in zip(roots, offsets, strict=True)]


def pseudoranges(sites: np.ndarray, source: np.ndarray, offset_m: float = 0.0) -> np.ndarray:
    result: np.ndarray = np.hypot(*(sites - source).T) + offset_m
    return result


def twin(sites: np.ndarray, ranges: np.ndarray) -> list[tuple[float, float]]:
    """Return every root by trying a start at each point of a grid of 4 km: slow and obvious."""

    def wrong_m(state: np.ndarray) -> np.ndarray:
        return pseudoranges(sites, state[:2], state[2]) - ranges

    found: list[tuple[float, float]] = []
    axis = np.linspace(-2000.0, 2000.0, 9)
    for x in axis:
        for y in axis:
            start = np.array([x + 1.0, y - 2.0, 0.0])
            start[2] = float(np.median(ranges - pseudoranges(sites, start[:2])))
            state, _, status, _ = fsolve(wrong_m, start, full_output=True)
            if status == 1 and np.abs(wrong_m(state)).max() < 1e-7:
                place = (float(state[0]), float(state[1]))
                if math.hypot(*place) < 3000.0 and all(math.dist(place, other) > 0.01 for other in found):
                    found.append(place)
    return found


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_truth_is_among_the_roots_and_every_root_explains_the_ranges(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sites, source, offset_m = random_array(rng, 3), rng.uniform(-1000, 1000, 2), rng.uniform(-1e4, 1e4)
    (ax, ay), (bx, by) = sites[1:] - sites[0]
    if abs(ax * by - ay * bx) < 0.05 * math.hypot(ax, ay) * math.hypot(bx, by):
        return
    ranges = pseudoranges(sites, source, offset_m)
    roots = roots_of(sites, ranges, slack_m=1e-3)
    assert 1 <= len(roots) <= 2
    # 1e-16 of 1 km² in the discriminant; a nearly double root takes its square root: 1e-5 m, times 20 of a flat one.
    assert min(math.dist(root[:2], source) for root in roots) < 1e-3
    for x, y, root_offset in roots:
        assert pseudoranges(sites, np.array([x, y]), root_offset) == pytest.approx(ranges, abs=1e-3)


@pytest.mark.parametrize("source", [(160.0, 100.0), (250.0, -80.0), (30.0, 20.0), (500.0, 400.0)])
def test_well_inside_the_plane_it_is_exact(source: tuple[float, float]) -> None:
    roots = roots_of(SITES, pseudoranges(SITES, np.array(source), 77.0), slack_m=1e-6)
    # Exact maths: 16 digits of (400 m)² over some 100 m.
    assert min(math.dist(root, (*source, 77.0)) for root in roots) < 1e-9


@pytest.mark.parametrize("source", [(160.0, 100.0), (-150.0, -60.0), (700.0, -150.0), (90.0, 600.0), (-60.0, 200.0)])
def test_agrees_with_a_search_of_the_plane(source: tuple[float, float]) -> None:
    ranges = pseudoranges(SITES, np.array(source))
    near = sorted(root[:2] for root in roots_of(SITES, ranges, slack_m=1e-6) if math.hypot(*root[:2]) < 3000.0)
    # The twin stops at 1e-7 m of range; far outside the array that is 1e-4 m of place.
    np.testing.assert_allclose(near, sorted(twin(SITES, ranges)), atol=1e-4)


def test_the_twin_knows_cases_of_one_and_of_two_roots() -> None:
    assert len(twin(SITES, pseudoranges(SITES, np.array([160.0, 100.0])))) == 1
    assert len(twin(SITES, pseudoranges(SITES, np.array([-150.0, -60.0])))) == 2


def test_on_a_node() -> None:
    roots = roots_of(SITES, pseudoranges(SITES, SITES[0]), slack_m=1e-6)
    # The range is 0 there and its square is what the equations know: sqrt(1e-16) * 400 m.
    assert min(math.dist(root[:2], SITES[0]) for root in roots) < 1e-5


def test_equal_times_meet_at_the_circumcentre() -> None:
    # u v = 0 and v = 0: the symmetric pair ±R, of which one is physical.
    triangle = 100.0 * np.array([(math.cos(a), math.sin(a)) for a in (0.1, 2.2, 4.3)])
    roots = roots_of(triangle, np.zeros(3), slack_m=1e-6)
    assert len(roots) == 1
    assert roots[0] == pytest.approx((0.0, 0.0, -100.0), abs=1e-9)


def test_where_the_quadratic_turns_linear_nothing_is_lost() -> None:
    """Sources for which v² passes through 1: the second root goes through infinity, the first stays exact."""
    bearing = np.array([math.cos(-2.4), math.sin(-2.4)])

    def curvature(range_m: float) -> float:
        delay = (
            np.diff(pseudoranges(SITES, bearing * range_m)[[0, 1]])[0],
            np.diff(pseudoranges(SITES, bearing * range_m)[[0, 2]])[0],
        )
        v = np.linalg.solve(SITES[1:] - SITES[0], -np.array(delay))
        return float(v @ v) - 1.0

    ranges_m = np.linspace(1.0, 3000.0, 400)
    signs = np.sign([curvature(r) for r in ranges_m])
    crossings = np.nonzero(np.diff(signs))[0]
    for index in crossings:
        low, high = float(ranges_m[index]), float(ranges_m[index + 1])
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if np.sign(curvature(middle)) == signs[index] else (low, middle)
        for range_m in (low, high, low * (1 + 1e-12), low * (1 - 1e-9)):
            source = bearing * range_m
            roots = roots_of(SITES, pseudoranges(SITES, source), slack_m=1e-6)
            # R = -c / 2b, both of km² size: 1e-9 m with room for the triangle's shape.
            assert min(math.dist(root[:2], source) for root in roots) < 1e-7


def test_linear_exactly() -> None:
    # p2 east, p3 north at 100 m, delays -60 and -80 m: v = (0.6, 0.8), so v² = 1; R = -c / 2b by hand.
    sites = np.array([(0.0, 0.0), (100.0, 0.0), (0.0, 100.0)])
    ranges = np.array([0.0, -60.0, -80.0])
    u = np.array([(100.0**2 - 60.0**2) / 200.0, (100.0**2 - 80.0**2) / 200.0])
    range_m = -float(u @ u) / (2.0 * float(u @ (0.6, 0.8)))
    # R is negative: no place hears it in this order.
    assert range_m < 0.0
    assert roots_of(sites, ranges) == []
    mirrored = roots_of(sites, -ranges)
    range_m = float(u @ u) / (2.0 * float(u @ (0.6, 0.8)))
    expected = u - np.array([0.6, 0.8]) * range_m
    assert len(mirrored) == 1
    assert mirrored[0] == pytest.approx((*expected, -range_m), abs=1e-9)


def test_a_double_root_survives_rounding_and_noise() -> None:
    # Far out along a baseline's extension both roots meet; millimetres of noise may push the discriminant below zero.
    source = np.array([-500.0, 0.0])
    ranges = pseudoranges(SITES, source)
    for noise_m in (0.0, 1e-9, -1e-9, 1e-3, -1e-3):
        disturbed = ranges + np.array([0.0, noise_m, 0.0])
        roots = roots_of(SITES, disturbed, slack_m=10.0)
        assert roots
        # Noise becomes the square root of itself times the distance (a kilometre), times geometry, here below 10.
        assert min(math.dist(root[:2], source) for root in roots) < 10.0 * math.sqrt(1000.0 * abs(noise_m)) + 1e-3


def test_times_that_no_place_gives_have_no_root() -> None:
    assert roots_of(SITES, np.array([0.0, 500.0, 0.0])) == []


def test_on_a_line_there_is_none() -> None:
    line = np.array([(0.0, 0.0), (100.0, 100.0), (300.0, 300.0)])
    assert roots_of(line, pseudoranges(line, np.array([50.0, 90.0])), slack_m=30.0) == []
    assert roots_of(np.zeros((3, 2)), np.zeros(3), slack_m=30.0) == []


def test_many_problems_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(11)
    sites = np.stack([random_array(rng, 3) for _ in range(30)])
    ranges = np.stack([pseudoranges(each, rng.uniform(-800, 800, 2)) for each in sites])
    roots, offsets, which = three_node_roots(sites, ranges, slack_m=1e-3)
    for index in range(30):
        alone, alone_offsets, _ = three_node_roots(sites[index : index + 1], ranges[index : index + 1], slack_m=1e-3)
        np.testing.assert_allclose(roots[which == index], alone, rtol=1e-12)
        np.testing.assert_allclose(offsets[which == index], alone_offsets, rtol=1e-12)


def test_triples() -> None:
    assert well_spread_triples(2, most=8).shape == (0, 3)
    assert well_spread_triples(3, most=8).tolist() == [[0, 1, 2]]
    assert len(well_spread_triples(6, most=8)) == math.comb(6, 3)
    assert len(well_spread_triples(20, most=8)) == math.comb(8, 3)
    assert well_spread_triples(20, most=8).max() == 7
