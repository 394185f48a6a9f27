"""Footprints, what blocks a line, terrain, generated towns; and what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scene_samples import box

from shotline.errors import DatasetError, InputError
from shotline.geodesy import LocalFrame
from shotline_recordings.simulate.city import Building, City, StreetGrid, Terrain, load_footprints, street_grid

FRAME = LocalFrame(40.44, -79.99, 230.0)


def blocked(city: City, start: tuple[float, float, float], end: tuple[float, float, float]) -> bool:
    return bool(city.blocked(np.array([start]), np.array([end]))[0])


def test_walls_face_outwards_whatever_the_order_of_the_corners() -> None:
    corners = [(0.0, 0.0), (0.0, 10.0), (20.0, 10.0), (20.0, 0.0)]
    for ring in (corners, corners[::-1], [*corners, corners[0]]):
        city = City([Building.of("house", ring, 8.0)])
        assert city.n_walls == 4
        middle = 0.5 * (city.wall_start_m + city.wall_end_m)
        away = np.einsum("ij,ij->i", middle - [10.0, 5.0], city.wall_normal)
        assert (away > 0.0).all()


def test_a_line_is_blocked_below_the_roof_only() -> None:
    city = City([box("house", 10.0, -5.0, 20.0, 5.0, 8.0)])
    assert blocked(city, (0.0, 0.0, 2.0), (30.0, 0.0, 2.0))
    assert not blocked(city, (0.0, 0.0, 9.0), (30.0, 0.0, 9.0)), "over the roof"
    assert not blocked(city, (0.0, 6.0, 2.0), (30.0, 6.0, 2.0)), "beside it"
    assert blocked(city, (0.0, 0.0, 2.0), (15.0, 0.0, 8.5)), "a node on the roof, hidden by its own edge"
    assert not blocked(city, (0.0, 0.0, 7.5), (15.0, 0.0, 9.0)), "a node on the roof, above the edge"
    assert not blocked(city, (0.0, 0.0, 2.0), (10.0, 0.0, 2.0)), "up to the wall"


def test_terrain_is_interpolated_and_blocks() -> None:
    axis = np.array([-100.0, 0.0, 100.0])
    ridge = Terrain(axis, axis, np.array([[0.0, 30.0, 0.0]] * 3))
    assert ridge.at(np.array([-50.0, 0.0, 200.0]), np.zeros(3)).tolist() == [15.0, 30.0, 0.0]
    city = City(terrain=ridge)
    assert blocked(city, (-90.0, 0.0, 10.0), (90.0, 0.0, 10.0))
    assert not blocked(city, (-90.0, 0.0, 40.0), (90.0, 0.0, 40.0))


def test_a_building_stands_on_its_ground() -> None:
    axis = np.array([-100.0, 100.0])
    hill = Terrain(axis, axis, np.full((2, 2), 12.0))
    city = City([box("house", 10.0, -5.0, 20.0, 5.0, 8.0)], hill)
    assert city.wall_top_m.tolist() == [20.0] * 4


def test_buildings_that_touch_are_fine_and_those_that_overlap_are_named() -> None:
    City([box("a", 0.0, 0.0, 10.0, 10.0, 5.0), box("b", 10.0, 0.0, 20.0, 10.0, 5.0)])
    with pytest.raises(InputError, match=r"'a' and 'b' overlap by 20 m² near x 9\.0 m, y 5\.0 m; cut one"):
        City([box("a", 0.0, 0.0, 10.0, 10.0, 5.0), box("b", 8.0, 0.0, 20.0, 10.0, 5.0)])


@pytest.mark.parametrize(
    ("corners", "height_m", "words"),
    [
        ([(0.0, 0.0), (1.0, 0.0)], 5.0, "at least three corners"),
        ([(0.0, 0.0), (10.0, 10.0), (10.0, 0.0), (0.0, 10.0)], 5.0, "no simple polygon: Self-intersection"),
        ([(0.0, 0.0), (10.0, 0.0), (5.0, 0.0)], 5.0, "no simple polygon"),
        ([(0.0, 0.0), (10.0, 0.0), (5.0, 9.0)], 0.0, "is 0.0 m high, expected more than 0"),
    ],
)
def test_a_building_that_cannot_be_is_refused(corners: list[tuple[float, float]], height_m: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Building.of("odd", corners, height_m)


def test_what_is_inside_a_building_or_underground_is_refused() -> None:
    city = City([box("house", 10.0, -5.0, 20.0, 5.0, 8.0)])
    city.require_outside(np.array([[15.0, 0.0, 8.5], [0.0, 0.0, 1.0]]), ["roof", "street"])
    with pytest.raises(InputError, match=r"node n1 at x 15 m, y 0 m is inside building 'house'.*more than 8 to put"):
        city.require_outside(np.array([[15.0, 0.0, 3.0]]), ["node n1"])
    with pytest.raises(InputError, match="node n1 is at or under the ground"):
        city.require_outside(np.array([[0.0, 0.0, 0.0]]), ["node n1"])


def test_a_corner_knows_its_open_angle() -> None:
    city = City(
        [Building.of("l", [(0.0, 0.0), (20.0, 0.0), (20.0, 10.0), (10.0, 10.0), (10.0, 20.0), (0.0, 20.0)], 5.0)]
    )
    angles = [round(math.degrees(city.faces(0, corner)[2])) for corner in range(6)]
    assert sorted(angles) == [90, 270, 270, 270, 270, 270], "one corner of an L is hollow"


def test_footprints_are_read_in_degrees(tmp_path: Path) -> None:
    corners = [FRAME.to_geodetic(x, y)[:2] for x, y in ((0.0, 0.0), (30.0, 0.0), (30.0, 12.0), (0.0, 12.0))]
    ring = [[lon, lat] for lat, lon in [*corners, corners[0]]]
    feature = {"type": "Feature", "properties": {"height_m": 9.0, "name": "hall"}}
    feature["geometry"] = {"type": "Polygon", "coordinates": [ring]}
    path = tmp_path / "town.geojson"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    (hall,) = load_footprints(path, FRAME)
    assert (hall.name, hall.height_m) == ("hall", 9.0)
    # Degrees in a file have 15 digits: a nanometre.
    np.testing.assert_allclose(sorted(hall.ring_m.round(6).tolist()), [[0, 0], [0, 12], [30, 0], [30, 12]], atol=1e-6)


RING = "[[0, 0], [1, 0], [1, 1]]"
HOLLOW = (
    f'{{"features": [{{"geometry": {{"type": "Polygon", "coordinates": [{RING}, {RING}]}}, '
    '"properties": {"height": 3}}]}'
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("no json", "expected a GeoJSON FeatureCollection"),
        (
            '{"features": [{"geometry": {"type": "Point", "coordinates": [0, 0]}, "properties": {"height": 3}}]}',
            "no Polygon",
        ),
        ('{"features": [{"geometry": {"type": "Polygon", "coordinates": [[]]}, "properties": {}}]}', "has no height"),
        ('{"features": [{"geometry": null, "properties": {"height": 3}}]}', "expected a Feature with a Polygon"),
        (HOLLOW, "courtyard; split"),
    ],
)
def test_footprints_that_cannot_be_read_are_named(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "town.geojson"
    path.write_text(text)
    with pytest.raises(DatasetError, match=words) as caught:
        load_footprints(path, FRAME)
    assert caught.value.problems[0].source == str(path)


def test_a_generated_town_is_seeded_and_leaves_its_streets_open() -> None:
    grid = StreetGrid(blocks=(3, 2), block_m=(80.0, 60.0), street_m=16.0, lots=(2, 2), gap_m=1.0, height_m=(8.0, 20.0))
    one, same, other = (street_grid(grid, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert [item.ring_m.tolist() for item in one] == [item.ring_m.tolist() for item in same]
    assert [item.height_m for item in one] != [item.height_m for item in other]
    assert all(8.0 <= item.height_m <= 20.0 for item in one)
    city = City(one)
    assert not blocked(city, (-200.0, 0.0, 1.5), (200.0, 0.0, 1.5)), "the street between the two rows"
    with pytest.raises(InputError, match="leave no room"):
        street_grid(StreetGrid(blocks=(1, 1), block_m=(10.0, 10.0), street_m=8.0, gap_m=3.0), np.random.default_rng(1))
