"""Areas from GeoJSON, and coverage in km2 times hours."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from scorecard_samples import RULES, SINCE_NS, SQUARE, UNTIL_NS, heard

from fusion_server.scorecard import Area, parse_areas
from fusion_server.scorecard.coverage import CoverageRules, Parts, covering_nodes, parts_of
from fusion_server.scorecard.heard import Heard
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame

LEFT = [[-3000, -3000], [100, -3000], [100, 3000], [-3000, 3000], [-3000, -3000]]
RIGHT = [[100, -3000], [3000, -3000], [3000, 3000], [100, 3000], [100, -3000]]
BOW = [[0, 0], [10, 10], [10, 0], [0, 10], [0, 0]]


def feature(ring: Any, name: Any = "left", kind: str = "Polygon") -> dict[str, Any]:
    return {
        "type": "Feature",
        "properties": {"name": name},
        "geometry": {"type": kind, "coordinates": [ring]},
    }


def collection(*features: Any) -> str:
    return json.dumps({"type": "FeatureCollection", "features": features})


def halves() -> tuple[Area, ...]:
    return parse_areas(collection(feature(LEFT), feature(RIGHT, "right")), frame=None)


def test_areas_in_metres_without_a_frame() -> None:
    left, right = halves()
    assert (left.name, right.name) == ("left", "right")
    assert (left.km2, right.km2) == pytest.approx((18.6, 17.4), abs=1e-12)


@pytest.mark.parametrize(("lat_deg", "lon_deg"), [(40.44, -79.99), (-33.9, 179.99)])
def test_areas_in_degrees_are_metres_about_the_origin(lat_deg: float, lon_deg: float) -> None:
    frame = LocalFrame(lat_deg, lon_deg, 200.0)
    corners = [(-500.0, -250.0), (500.0, -250.0), (500.0, 250.0), (-500.0, 250.0), (-500.0, -250.0)]
    ring = [frame.to_geodetic(x_m, y_m)[1::-1] for x_m, y_m in corners]
    (area,) = parse_areas(json.dumps(feature(ring)), frame=frame)
    # Corners lie 2 cm below the tangent plane; that moves them by far less than a millimetre.
    assert area.km2 == pytest.approx(0.5, rel=1e-6)
    assert area.shape.bounds == pytest.approx((-500, -250, 500, 250), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "not JSON"),
        ("[]", "its type is None, expected a FeatureCollection"),
        (collection(), "no features"),
        (collection(7), "feature 1: its name is None"),
        (collection(feature(LEFT, name="=HYPERLINK()")), "begins with a letter or digit"),
        (collection(feature(LEFT, name="a" * 101)), "101 characters"),
        (collection(feature(LEFT), feature(RIGHT)), "feature 2: a second area is named 'left'"),
        (collection(feature([0, 0], kind="Point")), "its geometry is 'Point'"),
        (collection(feature([[0, 0], [1, 1]])), "cannot be read"),
        (collection(feature([])), "it is empty"),
        (collection(feature(BOW)), "no area: Self-intersection"),
    ],
)
def test_what_is_no_area_is_named(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        parse_areas(text, frame=None, source="areas.geojson")


def test_a_place_on_the_border_of_two_areas_is_in_both_and_none_is_elsewhere() -> None:
    assert parts_of(halves(), 100.0, 0.0) == (0, 1, 3)
    assert parts_of(halves(), -5.0, 0.0) == (0, 3)
    assert parts_of(halves(), 9000.0, 0.0) == (2, 3)


def test_four_nodes_at_one_place_cover_a_disc() -> None:
    sites = [Site(name, 50.0, -20.0) for name in "abcd"]
    rows = Heard(heard("abcd", hours=3), since_ns=SINCE_NS, until_ns=UNTIL_NS)
    parts = Parts((), sites, RULES)
    assert parts.cell_m == 10.0
    # Cells on the rim are wrong by half of themselves, at random: 600 of 31,416.
    assert parts.km2_hours(rows) == pytest.approx(3 * math.pi * np.ones(2), rel=1e-3)


def test_with_a_node_less_nothing_is_covered() -> None:
    rows = Heard([*heard("abc", hours=3)], since_ns=SINCE_NS, until_ns=UNTIL_NS)
    assert list(Parts((), SQUARE, RULES).km2_hours(rows)) == [0.0, 0.0]


def test_coverage_is_that_of_each_minute_counted_slowly() -> None:
    """The twin asks every cell in every run of minutes anew."""
    rules = CoverageRules(min_nodes=2, hearing_range_m=300.0)
    rows = Heard(
        [*heard("abcd", hours=2), *heard("e", hours=1, minutes=0b1011), *heard("x", hours=1)],
        since_ns=SINCE_NS,
        until_ns=UNTIL_NS,
    )
    sites = [*SQUARE, Site("e", 700.0, 100.0)]
    parts = Parts(halves(), sites, rules)
    expected = np.zeros(4)
    low_x, low_y = -300.0, -300.0
    for nodes, minutes in rows.runs():
        for i in range(math.ceil(1300.0 / parts.cell_m)):
            for j in range(math.ceil(800.0 / parts.cell_m)):
                x_m, y_m = low_x + (i + 0.5) * parts.cell_m, low_y + (j + 0.5) * parts.cell_m
                if covering_nodes(x_m, y_m, sites=sites, nodes=nodes, range_m=300.0) >= 2:
                    expected[0 if x_m < 100.0 else 1] += parts.cell_m**2 / 1e6 * minutes / 60
                    expected[3] += parts.cell_m**2 / 1e6 * minutes / 60
    found = parts.km2_hours(rows)
    assert found == pytest.approx(expected, abs=1e-9)
    assert found[0] > 0.0
    assert found[1] > found[0]


def test_a_large_network_has_cells_as_large_as_it_needs() -> None:
    sites = [Site("a", 0.0, 0.0), Site("b", 18_000.0, 0.0)]
    assert Parts((), sites, RULES).cell_m == 100.0


def test_no_sites_no_coverage() -> None:
    rows = Heard(heard("abcd", hours=1), since_ns=SINCE_NS, until_ns=UNTIL_NS)
    assert list(Parts(halves(), (), RULES).km2_hours(rows)) == [0.0] * 4
