"""A plan's GeoJSON over the map in a real Chromium: where it lies, what it says, and that it is never sent."""

from __future__ import annotations

import json
from typing import Any

import pytest
from alert_samples import FRAME, SITES
from chromium_pipe import Browser
from test_map_page import BAR, LOADED, SPOTS, count, layer, see, serving, told

pytestmark = pytest.mark.processes

CHOOSE = """((name, text) => {
  const input = document.getElementById('plan-file');
  const carried = new DataTransfer();
  carried.items.add(new File([text], name));
  input.files = carried.files;
  input.dispatchEvent(new Event('change'));
})"""
WORDS = "document.querySelector('[data-layer=plan] .words').textContent"


def lon_lat(x_m: float, y_m: float) -> list[float]:
    lat_deg, lon_deg, _ = FRAME.to_geodetic(x_m, y_m)
    return [lon_deg, lat_deg]


def plan() -> dict[str, Any]:
    """Return a plan with a square of 200 m with a hole, its south-west corner at the first site."""
    x_m, y_m = SITES[0].x_m, SITES[0].y_m
    rings = [
        [lon_lat(x_m + east, y_m + north) for east, north in corners]
        for corners in (
            ((0, 0), (200, 0), (200, 200), (0, 200), (0, 0)),
            ((50, 50), (50, 100), (100, 100), (50, 50)),
        )
    ]
    area = {"role": "coverage", "probability_from": 0.9, "probability_to": 1.0, "cep95_m": 6.1}
    return {
        "type": "FeatureCollection",
        "surroundings": "suburb",
        "weapons": ["glock-19"],
        "features": [
            {"type": "Feature", "properties": area, "geometry": {"type": "MultiPolygon", "coordinates": [rings]}},
            {
                "type": "Feature",
                "properties": {"role": "suggested", "node": "<b>roof</b>"},
                "geometry": {"type": "Point", "coordinates": lon_lat(x_m, y_m)},
            },
        ],
    }


def choose(browser: Browser, name: str, text: str) -> None:
    browser.evaluate(f"{CHOOSE}({json.dumps(name)}, {json.dumps(text)})")


def test_a_plan_lies_where_it_says_and_stays_in_the_browser(browser: Browser) -> None:
    with serving() as served:
        served.add(told())
        see(browser, served)
        layer(browser, "plan")
        choose(browser, "beat-7.geojson", json.dumps(plan()))
        browser.wait_for("document.querySelector('.contours path.area[data-least=\"0.9\"]') !== null")
        box = browser.evaluate(
            "(({ left, bottom, width, height }) => [left, bottom, width, height])"
            "(document.querySelector('.contours path.area').getBoundingClientRect())"
        )
        spot, px_per_m = browser.evaluate(SPOTS)[SITES[0].node], browser.evaluate(BAR)
        # A pixel of rounding at each end, and the width of the line.
        assert box[:2] == pytest.approx(spot, abs=3.0)
        assert box[2:] == pytest.approx([200.0 * px_per_m] * 2, abs=3.0)
        words = browser.evaluate(WORDS)
        assert words.startswith("beat-7.geojson: modelled, not measured; glock-19 in suburb surroundings.")
        assert browser.evaluate("document.querySelector('[data-suggested] title').textContent") == "<b>roof</b>"
        assert not any("beat-7" in url for url in browser.evaluate(f"{LOADED}.map(String)"))
        layer(browser, "plan")
        assert count(browser, ".contours .area") == 0
        layer(browser, "plan")
        assert count(browser, ".contours .area") == 1
        assert browser.problems == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "cannot be shown: "),
        ('{"type": "FeatureCollection", "features": []}', "cannot be shown: it is no plan"),
        ('{"type": "Polygon"}', "cannot be shown: it is no plan"),
    ],
)
def test_a_file_that_is_no_plan_is_explained(browser: Browser, text: str, said: str) -> None:
    with serving() as served:
        served.add(told())
        see(browser, served)
        choose(browser, "other.json", text)
        browser.wait_for(f"{WORDS}.startsWith('other.json {said}')")
        assert count(browser, ".contours .area") == 0
        layer(browser, "plan")
        layer(browser, "plan")
        assert browser.problems == []


def test_without_an_origin_a_plan_cannot_be_placed(browser: Browser) -> None:
    with serving(frame=None) as served:
        served.add(told(frame=None))
        see(browser, served)
        layer(browser, "plan")
        choose(browser, "p.geojson", json.dumps(plan()))
        browser.wait_for(f"{WORDS}.includes('has no origin on the globe')")
        assert count(browser, ".contours .area") == 0
        layer(browser, "plan")
