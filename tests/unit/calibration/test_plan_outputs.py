"""What is read from and written to files: places, states, GeoTIFF, GeoJSON, pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from plan_samples import field, nodes_at, planner_of, scattered
from pyproj import Transformer

from fusion_server.scorecard.areas import Area
from shotline.errors import ConfigError, InputError, StorageError
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc
from shotline_calibration.plan.cells import cells_of
from shotline_calibration.plan.geojson import plan_collection
from shotline_calibration.plan.geotiff import BANDS, NOTHING, write_geotiff
from shotline_calibration.plan.history import Period
from shotline_calibration.plan.picture import draw_history, draw_maps, figure_layers, spread_to
from shotline_calibration.plan.places import grid_sites, parse_area, parse_points, parse_states, with_states
from shotline_calibration.plots import save

# North, and south of the equator on the other side of the date line.
FRAMES = (LocalFrame(51.5, -0.12, 40.0), LocalFrame(-36.85, 179.99, 0.0))
TRIANGLE = [(0.0, 0.0), (800.0, 0.0), (0.0, 600.0), (0.0, 0.0)]


def ring(frame: LocalFrame, corners: list[tuple[float, float]]) -> list[list[float]]:
    places = (frame.to_geodetic(x_m, y_m) for x_m, y_m in corners)
    return [[lon_deg, lat_deg] for lat_deg, lon_deg, _ in places]


def points(*features: dict[str, Any]) -> str:
    return json.dumps({"type": "FeatureCollection", "features": list(features)})


def point(lon_deg: float, lat_deg: float, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": properties,
        "geometry": {"type": "Point", "coordinates": [lon_deg, lat_deg]},
    }


def test_cells_are_those_whose_middle_is_inside() -> None:
    cells = cells_of([Area("triangle", shapely.Polygon(TRIANGLE))], step_m=20.0)
    x_m, y_m = cells.place_m.T
    assert np.all(x_m / 800.0 + y_m / 600.0 < 1.0)
    # Half of 0.48 km², to the cells of the edge.
    assert cells.km2 == pytest.approx(0.24, rel=0.02)
    grid = cells.grid(np.arange(len(cells), dtype=np.float64))
    assert grid.shape == (cells.rows, cells.columns)
    assert np.isnan(grid[-1, -1])
    assert int(np.sum(~np.isnan(grid))) == len(cells)
    # Corners are whole steps from the origin, so that plans of two areas have the same cells.
    shifted = cells_of([Area("shifted", shapely.box(13.0, -7.0, 160.0, 90.0))], step_m=20.0)
    assert np.allclose((shifted.place_m - 10.0) % 20.0, 0.0)


def test_cells_that_cannot_be_are_explained() -> None:
    with pytest.raises(InputError, match=r"--cell-m: 1000000.0 km² in cells of 25 m .* choose a larger --cell-m"):
        field(1e6, step_m=25.0)
    with pytest.raises(InputError, match=r"no middle of a cell of 500 m lies in the area of 100 m²; choose a smaller"):
        field(10.0, step_m=500.0)


@pytest.mark.parametrize("frame", FRAMES[:1])
@pytest.mark.parametrize("kind", ["geometry", "feature", "collection"])
def test_an_area_needs_neither_a_name_nor_a_frame(frame: LocalFrame, kind: str) -> None:
    geometry = {"type": "Polygon", "coordinates": [ring(frame, TRIANGLE)]}
    feature = {"type": "Feature", "geometry": geometry}
    document = {
        "geometry": geometry,
        "feature": feature,
        "collection": {"type": "FeatureCollection", "features": [feature]},
    }
    (area,), made = parse_area(json.dumps(document[kind]), frame=None, source="a.geojson")
    assert area.km2 == pytest.approx(0.24, rel=1e-4)
    assert area.name == "area 1"
    # In the middle of what it bounds.
    east_m, north_m, _ = frame.to_enu_m(made.lat_deg, made.lon_deg, 0.0)
    assert (east_m, north_m) == (pytest.approx(400.0, abs=0.1), pytest.approx(300.0, abs=0.1))
    (again,), same = parse_area(json.dumps(document[kind]), frame=frame, source="a.geojson")
    assert same is frame
    assert again.shape.bounds == pytest.approx((0.0, 0.0, 800.0, 600.0), abs=0.05)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"area\.geojson: not JSON"),
        ("[]", "it is a list, expected a GeoJSON object"),
        ('{"type": "FeatureCollection", "features": []}', "no coordinates; expected a Polygon"),
        ('{"type": "Point", "coordinates": [1, 2]}', "no coordinates; expected a Polygon"),
    ],
)
def test_an_area_that_is_none_is_explained(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_area(text, frame=None, source="area.geojson")


def test_points_become_places_of_nodes() -> None:
    frame = FRAMES[0]
    lat_deg, lon_deg, _ = frame.to_geodetic(120.0, -40.0)
    text = points(
        {**point(lon_deg, lat_deg, noise_dba=44.0, muffled_db=-6), "id": "roof"},
        point(lon_deg, lat_deg, node="pole", sigma_m=0.2),
        point(lon_deg, lat_deg),
    )
    roof, pole, third = parse_points(text, frame=frame, up_m=8.0, source="n.geojson", prefix="spot")
    assert (roof.site.node, pole.site.node, third.site.node) == ("roof", "pole", "spot-03")
    assert (roof.site.x_m, roof.site.y_m) == (pytest.approx(120.0, abs=1e-6), pytest.approx(-40.0, abs=1e-6))
    assert (roof.noise_dba, roof.muffled_db, pole.site.sigma_m, third.noise_dba) == (44.0, -6, 0.2, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type": "Feature"}', "its type is 'Feature', expected a FeatureCollection of Points"),
        (points(), "no points; expected at least one"),
        (
            points({"type": "Feature", "geometry": {"type": "Polygon"}}),
            "feature 1: its geometry is 'Polygon', expected",
        ),
        (points(point(1.0, 2.0, id="a"), point(1.0, 2.0, id="a")), "feature 2: a second point is named 'a'"),
        (points(point(1.0, 2.0, noise_dba="loud")), "feature 1: noise_dba is 'loud', expected a number"),
        (
            points({"type": "Feature", "geometry": {"type": "Point", "coordinates": ["1", 2]}}),
            "its coordinates are .*, expected longitude and latitude",
        ),
    ],
)
def test_points_that_cannot_be_used_are_explained(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_points(text, frame=FRAMES[0], up_m=8.0, source="n.geojson")


def test_states_say_what_is_known_of_nodes() -> None:
    nodes = nodes_at((0.0, 0.0), (5.0, 5.0))
    text = '[[nodes]]\nid = "n1"\nfailed = true\nmuffled_db = -12.0\nnoise_dba = 50.0\nclock_sigma_s = 0.003\n'
    first, second = with_states(nodes, parse_states(text, source="s.toml"))
    assert first is nodes[0]
    assert (second.failed, second.muffled_db, second.noise_dba, second.clock_sigma_s) == (True, -12.0, 50.0, 0.003)
    with pytest.raises(InputError, match=r"s\.toml: nodes: no node 'n9'; there are 2 others"):
        with_states(nodes, parse_states('[[nodes]]\nid = "n9"\n', source="s.toml"), source="s.toml")
    with pytest.raises(ConfigError, match=r"s\.toml:3: nodes\.0\.muffled_db"):
        parse_states('[[nodes]]\nid = "n1"\nmuffled_db = 3.0\n', source="s.toml")


def test_a_grid_of_candidates_is_even_and_inside() -> None:
    area = Area("a", shapely.box(0.0, 0.0, 1000.0, 1000.0))
    sites = grid_sites([area], apart_m=200.0, up_m=6.0)
    place_m = np.array([(one.site.x_m, one.site.y_m) for one in sites])
    away_m = np.hypot(*(place_m[:, None] - place_m[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(sites))
    # Rows are 0.866 of the spacing apart, and shifted by a half.
    assert away_m.min() == pytest.approx(200.0, rel=1e-6)
    assert len(sites) == pytest.approx(1e6 / (200.0**2 * 0.866), rel=0.15)
    assert len({one.site.node for one in sites}) == len(sites)


@pytest.mark.parametrize("frame", FRAMES)
def test_a_geotiff_reads_back_in_its_place(frame: LocalFrame, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    cells = cells_of([Area("triangle", shapely.Polygon(TRIANGLE))], step_m=50.0)
    planner = planner_of(cells)
    figures = planner.figures(scattered(6, 800.0, seed=2))
    path = tmp_path / "plan.tif"
    write_geotiff(path, cells, figures, frame)
    with rasterio.open(path) as read:
        assert read.descriptions == BANDS
        assert read.nodata == NOTHING
        assert (read.height, read.width, read.count) == (cells.rows, cells.columns, len(BANDS))
        to_degrees = Transformer.from_crs(read.crs, "EPSG:4326", always_xy=True)
        row, column = divmod(int(cells.index[7]), cells.columns)
        lon_deg, lat_deg = to_degrees.transform(*read.xy(cells.rows - 1 - row, column))
        band = read.read(1)
    east_m, north_m, _ = frame.to_enu_m(lat_deg, (lon_deg + 180.0) % 360.0 - 180.0, frame.height_m)
    # The projection is on the ellipsoid, the frame 40 m above it: 6 ppm of 800 m.
    assert (east_m, north_m) == pytest.approx(tuple(cells.place_m[7]), abs=0.01)
    assert band[cells.rows - 1 - row, column] == pytest.approx(figures.detect_probability[7], abs=1e-6)
    assert band[0, -1] == NOTHING


def test_a_geotiff_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    cells = field(100.0)
    figures = planner_of(cells).figures([])
    with pytest.raises(StorageError, match="cannot write"):
        write_geotiff(tmp_path / "no" / "plan.tif", cells, figures, FRAMES[0])


def test_geojson_has_areas_that_add_up_and_the_nodes() -> None:
    frame = FRAMES[0]
    cells, nodes = field(2000.0, step_m=50.0), scattered(5, 2000.0, seed=4)
    planner = planner_of(cells)
    figures = planner.figures(nodes)
    suggested = nodes_at((1.0, 2.0), prefix="more")
    made = plan_collection(cells, figures, frame, nodes=nodes, suggested=suggested, properties={"modelled": True})
    assert made["modelled"] is True
    roles = [feature["properties"]["role"] for feature in made["features"]]
    assert roles.count("node") == 5
    assert roles.count("suggested") == 1
    bands = [feature for feature in made["features"] if feature["properties"]["role"] == "coverage"]
    assert len(bands) >= 2
    for band in bands:
        low, high = (band["properties"][f"probability_{side}"] for side in ("from", "to"))
        held = (figures.detect_probability >= low) & ((figures.detect_probability < high) | (high == 1.0))
        (area,), _ = parse_area(json.dumps(band), frame=frame, source="band")
        # Seven digits of a degree are a centimetre.
        assert area.km2 * 1e6 == pytest.approx(held.sum() * cells.step_m**2, rel=1e-3)
        for polygon in band["geometry"]["coordinates"]:
            # Outer rings run counterclockwise [RFC7946].
            assert shapely.LinearRing(polygon[0]).is_ccw


def test_pictures_show_maps_nodes_and_time(tmp_path: Path) -> None:
    cells, nodes = field(1000.0, step_m=100.0), scattered(5, 1000.0, seed=4)
    planner = planner_of(cells)
    area = Area("a", shapely.box(0.0, 0.0, 1000.0, 1000.0))
    figures = planner.figures(nodes)
    drawn = draw_maps(
        figure_layers(figures), cells, title="t", areas=[area], nodes=nodes, suggested=nodes_at((1.0, 2.0), prefix="m")
    )
    save(drawn, tmp_path / "plan.svg")
    text = (tmp_path / "plan.svg").read_text(encoding="utf-8")
    for wanted in ("shots found, share", "CEP95 of those found", "200 m", "suggested"):
        assert wanted in text
    begin_ns = parse_utc("2026-03-02T12:00:00Z")
    period = Period(
        begin_ns=begin_ns, minutes=60, server_minutes=30, nodes=4.0, covered_share=0.4, detect_probability=0.5
    )
    save(draw_history([period, period], title="h"), tmp_path / "history.png")
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_known_of_some_cells_is_spread_to_their_neighbours() -> None:
    planner = planner_of(field(900.0, step_m=100.0))
    coarse = planner.coarser(3)
    values = np.arange(9, dtype=np.float64)
    spread = planner.cells.grid(spread_to(planner.cells, coarse.cells, values))
    assert np.array_equal(spread, np.kron(values.reshape(3, 3), np.ones((3, 3))))
