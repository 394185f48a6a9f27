"""Paths: images against the lattice of a room, ways over and round against plane geometry, moves of the world."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scene_samples import AIR_MPS, box, courtyard, one_node

from shotline_recordings.simulate.city import Building, City, StreetGrid, Terrain, street_grid
from shotline_recordings.simulate.paths import PathKind

SOURCE, NODE = (11.3, 7.1, 1.5), (31.0, 18.2, 6.0)


def lattice_m(width_m: float, depth_m: float, order: int) -> list[tuple[float, int]]:
    """Return (length, number of reflections) of every path in a room without floor and ceiling [AllenBerkley1979]."""
    found = []
    for i in range(-order, order + 1):
        for j in range(-order, order + 1):
            count = abs(i) + abs(j)
            if count <= order:
                x = i * width_m + (SOURCE[0] if i % 2 == 0 else width_m - SOURCE[0])
                y = j * depth_m + (SOURCE[1] if j % 2 == 0 else depth_m - SOURCE[1])
                found.append((math.dist((x, y, SOURCE[2]), NODE), count))
    return sorted(found)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_images_are_the_lattice_of_a_room(order: int) -> None:
    paths = one_node(courtyard(40.0, 25.0, 60.0), SOURCE, NODE, reflection_order=order, longest_extra_m=500.0)
    expected = lattice_m(40.0, 25.0, order)
    assert len(paths) == len(expected) == 1 + 2 * order * (order + 1)
    np.testing.assert_allclose(paths.length_m, [length for length, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(paths.delay_s, [length / AIR_MPS for length, _ in expected], rtol=1e-12)
    assert paths.order.tolist() == [count for _, count in expected]
    np.testing.assert_allclose(paths.reflection, [0.7**count for _, count in expected], rtol=1e-12)


def test_a_path_obeys_the_law_of_reflection() -> None:
    """Each leg is the one before it, mirrored at the wall: along the wall it keeps its way, across it turns back."""
    for points in one_node(
        courtyard(40.0, 25.0, 60.0), SOURCE, NODE, reflection_order=3, longest_extra_m=500.0
    ).points_m:
        legs = np.diff(points, axis=0)
        legs /= np.linalg.norm(legs, axis=1)[:, None]
        for before, after in pairwise(legs):
            flipped = [before * [-1, 1, 1], before * [1, -1, 1]]
            assert min(np.abs(after - item).max() for item in flipped) < 1e-12


def test_low_walls_do_not_reflect_what_passes_over_them() -> None:
    assert len(one_node(courtyard(40.0, 25.0, 1.0), (11.0, 7.0, 3.0), (31.0, 18.0, 3.0), reflection_order=2)) == 1


def test_a_building_between_hides_a_reflection() -> None:
    mirror = box("mirror", -50.0, 30.0, 50.0, 40.0, 20.0)
    free = one_node(City([mirror]), (-20.0, 0.0, 2.0), (20.0, 0.0, 2.0), reflection_order=1)
    assert free.kind.tolist() == [PathKind.DIRECT, PathKind.WALL]
    np.testing.assert_allclose(free.length_m[1], math.hypot(40.0, 60.0))
    screen = box("screen", -2.0, 20.0, 2.0, 29.0, 20.0)
    where = City([mirror, screen])
    hidden = one_node(where, (-20.0, 0.0, 2.0), (20.0, 0.0, 2.0), reflection_order=1, diffraction=False)
    assert hidden.kind.tolist() == [PathKind.DIRECT, PathKind.WALL], "the screen reflects instead"
    np.testing.assert_allclose(hidden.length_m[1], math.hypot(40.0, 40.0))


def test_an_echo_comes_over_a_low_house() -> None:
    """From the top of the wall, over both upper edges of the house: a taut string in each of the two planes."""
    mirror, low = box("mirror", -50.0, 60.0, 50.0, 70.0, 20.0), box("low", -60.0, 20.0, 60.0, 30.0, 6.0)
    paths = one_node(City([mirror, low]), (-20.0, 0.0, 2.0), (20.0, 0.0, 2.0), reflection_order=1)
    (row,) = np.flatnonzero((paths.kind == PathKind.WALL) & (paths.detour_m > 0.0))
    points = paths.points_m[row]
    top = points[np.argmax(points[:, 2])]
    np.testing.assert_allclose(top, [0.0, 60.0, 19.7], atol=0.02)
    np.testing.assert_allclose(paths.length_m[row], np.linalg.norm(np.diff(points, axis=0), axis=1).sum())
    # The leg rises from 2 to 19.7 m over 63.2 m on the ground; a third of the way, at the front of the house, it would
    # be at 7.9 m: above the house, so the echo is bent at the wall's top only, and needs no more way than that.
    flat_m = math.hypot(20.0, 60.0)
    np.testing.assert_allclose(paths.length_m[row], 2.0 * math.hypot(flat_m, 17.7), atol=0.02)
    assert paths.least_hz[row] > 0.0


def test_over_a_house_the_way_is_a_taut_string() -> None:
    city = City([box("house", 40.0, -500.0, 60.0, 500.0, 10.0)])
    over = one_node(city, (0.0, 0.0, 2.0), (100.0, 0.0, 4.0), reflection_order=0)
    assert over.kind.tolist() == [PathKind.OVER]
    length_m = math.hypot(40.0, 8.0) + 20.0 + math.hypot(40.0, 6.0)
    np.testing.assert_allclose(over.length_m, length_m, rtol=1e-12)
    np.testing.assert_allclose(over.detour_m, length_m - math.hypot(100.0, 2.0), rtol=1e-9)
    np.testing.assert_allclose(over.edge_span_m, 20.0)
    assert [(edge.before_m, edge.after_m) for edge in over.edges[0]] == [
        (pytest.approx(math.hypot(40.0, 8.0)), pytest.approx(20.0 + math.hypot(40.0, 6.0))),
        (pytest.approx(math.hypot(40.0, 8.0) + 20.0), pytest.approx(math.hypot(40.0, 6.0))),
    ]


def test_round_a_house_there_are_two_ways() -> None:
    """The corners are pushed out by 5 cm, which makes a way longer by millimetres."""
    city = City([box("house", 40.0, -5.0, 60.0, 15.0, 30.0)])
    paths = one_node(city, (0.0, 0.0, 2.0), (100.0, 0.0, 2.0), reflection_order=0)
    around = sorted(paths.length_m[paths.kind == PathKind.AROUND])
    near = 2.0 * math.hypot(40.0, 5.0) + 20.0
    far = 2.0 * math.hypot(40.0, 15.0) + 20.0
    np.testing.assert_allclose(around, [near, far], atol=0.1)
    assert all(length > exact for length, exact in zip(around, [near, far], strict=True))
    for edges in (paths.edges[row] for row in np.flatnonzero(paths.kind == PathKind.AROUND)):
        assert [edge.exterior_rad for edge in edges] == [pytest.approx(1.5 * math.pi)] * 2
        assert all(0.0 <= edge.source_angle_rad <= edge.receiver_angle_rad <= edge.exterior_rad for edge in edges)


def test_the_way_round_widens_when_the_next_house_is_in_it() -> None:
    city = City([box("a", 40.0, -5.0, 50.0, 5.0, 30.0), box("b", 55.0, 4.0, 65.0, 30.0, 30.0)])
    paths = one_node(city, (0.0, 0.0, 2.0), (100.0, 0.0, 2.0), reflection_order=0)
    around = [paths.points_m[row] for row in np.flatnonzero(paths.kind == PathKind.AROUND)]
    assert len(around) == 2
    assert max(points[:, 1].max() for points in around) == pytest.approx(30.05)
    for points in around:
        assert not city.blocked(points[:-1], points[1:]).any()


def test_a_hill_is_gone_over() -> None:
    axis = np.linspace(-200.0, 200.0, 41)
    x, y = np.meshgrid(axis, axis)
    city = City(terrain=Terrain(axis, axis, 40.0 * np.exp(-(x**2 + y**2) / 60.0**2)))
    over = one_node(city, (-150.0, 0.0, 2.0), (150.0, 0.0, 2.0))
    assert over.kind.tolist() == [PathKind.OVER]
    assert over.points_m[0][:, 2].max() == pytest.approx(40.0, abs=0.1)
    assert over.detour_m[0] > 5.0
    assert not over.bounces[0]


def test_without_diffraction_nothing_reaches_what_is_hidden() -> None:
    city = City([box("house", 40.0, -500.0, 60.0, 500.0, 10.0)])
    paths = one_node(city, (0.0, 0.0, 2.0), (100.0, 0.0, 2.0), diffraction=False)
    assert len(paths) == 0
    assert paths.straight_m == pytest.approx(100.0)


def test_the_ground_reflects_where_it_is_open() -> None:
    city = City([box("shed", 45.0, -5.0, 55.0, 5.0, 2.0)])
    assert not one_node(city, (0.0, 0.0, 5.0), (100.0, 0.0, 5.0), reflection_order=0).bounces[0], (
        "it would hit the shed"
    )
    assert one_node(city, (0.0, 20.0, 5.0), (100.0, 20.0, 5.0), reflection_order=0).bounces[0]


def test_a_small_wall_reflects_only_what_is_short() -> None:
    """ISO 9613-2, equation 19, by hand: a wall 10 m wide seen at 45 degrees, 100 m from both."""
    city = City([box("wall", -5.0, 100.0, 5.0, 101.0, 50.0)])
    paths = one_node(city, (-100.0, 0.0, 2.0), (100.0, 0.0, 2.0), reflection_order=1)
    leg_m = math.hypot(100.0, 100.0)
    expected = AIR_MPS * 2.0 / (10.0 * math.sqrt(0.5)) ** 2 * leg_m / 2.0
    np.testing.assert_allclose(paths.least_hz, [0.0, expected], rtol=1e-9)


@settings(max_examples=15, deadline=None)
@given(turn=st.floats(0.0, 2.0 * math.pi), east=st.floats(-300.0, 300.0), north=st.floats(-300.0, 300.0))
def test_moving_and_turning_the_world_changes_no_path(turn: float, east: float, north: float) -> None:
    """Lengths to 1 um: coordinates of 300 m carry 1e-13 m, cut beams amplify that."""
    town = street_grid(
        StreetGrid(blocks=(2, 2), block_m=(60.0, 50.0), street_m=14.0, gap_m=1.5, height_m=(6.0, 15.0)),
        np.random.default_rng(5),
    )
    spin = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])

    def moved(place: np.ndarray) -> np.ndarray:
        return place @ spin.T + [east, north]

    source, node = np.array([-1.0, 1.0]), np.array([58.0, 41.0])
    there = City([Building.of(item.name, moved(item.ring_m).tolist(), item.height_m) for item in town])
    here = one_node(City(town), (*source, 1.5), (*node, 18.0), reflection_order=2)
    elsewhere = one_node(there, (*moved(source), 1.5), (*moved(node), 18.0), reflection_order=2)
    assert len(here) > 1
    np.testing.assert_allclose(elsewhere.length_m, here.length_m, atol=1e-6)
    assert elsewhere.kind.tolist() == here.kind.tolist()


def test_the_way_back_is_as_long() -> None:
    town = street_grid(
        StreetGrid(blocks=(2, 2), block_m=(60.0, 50.0), street_m=14.0, gap_m=1.5, height_m=(6.0, 15.0)),
        np.random.default_rng(5),
    )
    there = one_node(City(town), (-1.0, 1.0, 1.5), (70.0, 55.0, 10.0), reflection_order=2)
    back = one_node(City(town), (70.0, 55.0, 10.0), (-1.0, 1.0, 1.5), reflection_order=2)
    np.testing.assert_allclose(sorted(there.length_m), sorted(back.length_m), rtol=1e-9)
