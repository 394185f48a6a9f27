"""The map in a real Chromium: where things are drawn, which roles and layers, streets under it, by night too."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alert_samples import FRAME, SITES, health, incident, node_statuses, registry
from chromium_pipe import Browser

from fusion_server.api import LiveFeed, create_app
from fusion_server.basemap import Basemap
from fusion_server.health import NodeReport
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from fusion_server.registry import Registry
from shotline.domain import Site
from shotline.geodesy import LocalFrame
from shotline.health import CheckStatus
from shotline.messages import HealthItem
from shotline.records import AlternativeRecord, EllipseRecord, FiringPlaceRecord, IncidentRecord, SilenceRecord

pytestmark = pytest.mark.processes

REPORTS = {
    "roof-01": NodeReport(0, (HealthItem("microphone", CheckStatus.FAIL, "nothing but zeros for 9.0 s"),), 0, 0),
    "roof-02": NodeReport(0, (HealthItem("version", CheckStatus.OK, "0.1.0"),), 0, 0),
    "roof-03": NodeReport(0, (HealthItem("clock", CheckStatus.WARN, "no PPS for 40 s"),), 0, 0),
}
NODES = "[...document.querySelectorAll('.node[data-node]')]"
SPOTS = """Object.fromEntries([...document.querySelectorAll('.node[data-node]')].map((mark) => {
  const box = mark.querySelector('circle, rect, path').getBoundingClientRect();
  return [mark.dataset.node, [box.x + box.width / 2, box.y + box.height / 2]];
}))"""
BAR = """(() => {
  const bar = document.querySelector('.scale path:not(.halo)').getBBox().width;
  const [length, unit] = document.querySelector('.scale text').textContent.split(' ');
  return bar / (length * (unit === 'km' ? 1000 : 1));
})()"""
LOADED = "performance.getEntriesByType('resource').map((entry) => new URL(entry.name))"


@dataclass
class Served:
    """A server under test, and what goes into it."""

    history: History
    live: LiveFeed
    url: str

    def add(self, *records: IncidentRecord) -> None:
        """Commit and publish, as the server does."""
        for record in records:
            self.history.append_incident(record)
            self.live.publish(record)


@contextmanager
def serving(
    *, frame: LocalFrame | None = FRAME, basemap: Basemap | None = None, sites: tuple[Site, ...] | None = None
) -> Iterator[Served]:
    with History.open("sqlite://") as history:
        live = LiveFeed()
        history.touch_nodes(node_statuses(time.time_ns()))
        app = create_app(
            history=history,
            registry=registry() if sites is None else Registry(sites),
            frame=frame,
            health=health,
            node_reports=lambda: REPORTS,
            live=live,
            basemap=basemap,
        )
        server = HttpServer(app, "127.0.0.1", 0)
        try:
            yield Served(history, live, server.url)
        finally:
            live.close()
            server.close()


def told(number: int = 1, *, frame: LocalFrame | None = FRAME, **more: Any) -> IncidentRecord:
    """An incident that roof-08 should have heard."""
    record = incident(number, frame=frame, **more)
    silent = (SilenceRecord(node="roof-08", distance_m=251.8, probability=0.81),)
    shots = tuple(msgspec.structs.replace(shot, silent=silent) for shot in record.shots)
    return msgspec.structs.replace(record, shots=shots)


def go(browser: Browser, served: Served, *, dark: bool = False) -> None:
    """Leave the page of the server before, which misses it, and open this one's."""
    browser.open("about:blank")
    browser.wait_for("location.href === 'about:blank'")
    browser.problems.clear()
    browser.open(served.url, dark=dark)


def see(browser: Browser, served: Served, *, dark: bool = False, role: str = "roof-08:missed") -> None:
    """Open the page and wait until the selected incident is on the map with who heard it."""
    go(browser, served, dark=dark)
    node, _, kind = role.partition(":")
    browser.wait_for(f"document.querySelector('.node[data-node={node}][data-role={kind}]') !== null")


def count(browser: Browser, selector: str) -> int:
    return int(browser.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))


def layer(browser: Browser, name: str) -> None:
    browser.evaluate(f"document.getElementById('layer-{name}').click()")


# --- where things are -----------------------------------------------------------------------------------------------

FRAMES = [(40.4406, -79.9959, 250.0), (-33.86, 151.21, 20.0), (0.0, 179.9999, 0.0), (64.1, -21.9, 1200.0)]


@pytest.mark.parametrize("origin", FRAMES)
def test_the_page_and_the_server_have_the_same_frame(browser: Browser, origin: tuple[float, float, float]) -> None:
    frame = LocalFrame(*origin)
    places = [(0.0, 0.0), (250.0, -130.0), (-4000.0, 9000.0), (30_000.0, 20_000.0)]
    with serving() as served:
        browser.open(served.url)
        browser.wait_for("document.querySelector('.north') !== null")
        found = browser.evaluate(
            "import('/console/frame.js').then(({ LocalFrame }) => {"
            f"const frame = new LocalFrame(...{list(origin)});"
            f"return {json.dumps(places)}.map(([x, y]) => {{"
            "const there = frame.toDegrees(x, y);"
            "const back = frame.toMetres(there.lat_deg, there.lon_deg);"
            "return [there.lat_deg, there.lon_deg, back.x_m, back.y_m]; }); })"
        )
    for (x_m, y_m), (lat_deg, lon_deg, back_x_m, back_y_m) in zip(places, found, strict=True):
        there_lat_deg, there_lon_deg, height_m = frame.to_geodetic(x_m, y_m)
        # 1e-9 degrees are a tenth of a millimetre.
        assert lat_deg == pytest.approx(there_lat_deg, abs=1e-9)
        assert math.remainder(lon_deg - there_lon_deg, 360.0) == pytest.approx(0.0, abs=1e-9)
        assert abs(lon_deg - frame.lon_deg) < 180.0
        # The way back leaves the height of the tangent plane over the globe out: metres of it over its radius.
        assert math.hypot(back_x_m - x_m, back_y_m - y_m) < 1e-6 + math.hypot(x_m, y_m) * (height_m - origin[2]) / 6.3e6


@pytest.mark.parametrize("frame", [FRAME, None])
def test_nodes_are_where_they_stand_north_up(browser: Browser, frame: LocalFrame | None) -> None:
    with serving(frame=frame) as served:
        served.add(told(frame=frame))
        see(browser, served)
        spots, px_per_m = browser.evaluate(SPOTS), browser.evaluate(BAR)
        assert browser.problems == []
    first = SITES[0]
    for site in SITES[1:]:
        # A pixel of rounding at each end.
        assert spots[site.node][0] - spots[first.node][0] == pytest.approx((site.x_m - first.x_m) * px_per_m, abs=2.0)
        assert spots[first.node][1] - spots[site.node][1] == pytest.approx((site.y_m - first.y_m) * px_per_m, abs=2.0)


def test_the_ellipse_is_as_large_as_it_is(browser: Browser) -> None:
    record = told(cep95_m=80.0)
    with serving() as served:
        served.add(record)
        see(browser, served)
        box = browser.evaluate(
            "(({ width, height }) => [width, height])(document.getElementById('ellipse95').getBBox())"
        )
        px_per_m = browser.evaluate(BAR)
    ellipse, turn = record.ellipse95, math.radians(record.ellipse95.orientation_deg)
    along, across = (math.sin(turn), math.cos(turn)), (math.cos(turn), math.sin(turn))
    for size_px, part, other in zip(box, along, across, strict=True):
        size_m = 2 * math.hypot(ellipse.semi_major_m * part, ellipse.semi_minor_m * other)
        # 72 corners and the bar's own rounding.
        assert size_px == pytest.approx(size_m * px_per_m, rel=0.005)


def test_no_node_hides_behind_the_legend_and_no_name_behind_another(browser: Browser) -> None:
    overlapping = """(() => {
      const names = document.querySelectorAll('.node[data-node] text');
      const boxes = [...names].map((name) => name.getBoundingClientRect());
      const cross = (low, high, a, b) => a[low] < b[high] - 2 && b[low] < a[high] - 2;
      const meet = (a, b) => cross('left', 'right', a, b) && cross('top', 'bottom', a, b);
      return boxes.filter((a, index) => boxes.slice(index + 1).some((b) => meet(a, b))).length;
    })()"""
    covered = f"""(() => {{
      const legend = document.getElementById('legend').getBoundingClientRect();
      const spots = {NODES}.map((mark) => mark.querySelector('circle, rect, path').getBoundingClientRect());
      return spots.filter((spot) => spot.right > legend.left && spot.bottom > legend.top).length;
    }})()"""
    crowd = tuple(Site(f"c{index:02}", 10.0 * index, 7.0 * (index % 3), 12.0, 0.5) for index in range(30))
    with serving(sites=(*SITES, *crowd)) as served:
        served.add(told())
        see(browser, served)
        assert count(browser, ".node[data-node]") == 39
        assert 9 <= count(browser, ".node[data-node] text") < 39
        assert browser.evaluate(overlapping) == 0
        assert browser.evaluate(covered) == 0


def test_nodes_without_a_site_and_an_incident_all_the_same(browser: Browser) -> None:
    with serving(sites=()) as served:
        served.add(told(rounds=2))
        go(browser, served)
        browser.wait_for("document.querySelectorAll('[data-round]').length === 2")
        assert count(browser, ".node[data-node]") == 0
        assert browser.evaluate("document.getElementById('ellipse95').getBBox().width") > 1
        assert browser.problems == []


# --- what is drawn --------------------------------------------------------------------------------------------------


def test_roles_differ_in_shape_and_are_said(browser: Browser) -> None:
    with serving() as served:
        served.add(told())
        see(browser, served)
        roles = browser.evaluate(f"Object.fromEntries({NODES}.map((mark) => [mark.dataset.node, mark.dataset.role]))")
        assert roles["roof-01"] == "used"
        assert (roles["roof-04"], roles["roof-08"], roles["roof-09"]) == ("rejected", "missed", "silent")
        shapes = browser.evaluate(
            "['used', 'rejected', 'missed', 'silent'].map((role) => {"
            "const parts = [...document.querySelector(`.node[data-role=${role}]`).children];"
            "const drawn = parts.filter((part) => !['title', 'text'].includes(part.localName));"
            "return drawn.map((part) => part.outerHTML).join(''); })"
        )
        assert len(set(shapes)) == 4
        said = browser.evaluate("document.querySelector('[data-node=roof-08]').ariaLabel")
        assert said == "node roof-08: should have heard it, did not, expected with 81 %"
        assert "should have heard it" in browser.evaluate("document.getElementById('legend').textContent")
        assert count(browser, ".spokes line.missed") == 1


def test_nodes_before_any_incident_say_that_they_listen(browser: Browser) -> None:
    with serving() as served:
        see(browser, served, role="roof-01:idle")
        assert browser.evaluate("document.querySelector('[data-node=roof-01]').ariaLabel") == "node roof-01: listening"
        assert count(browser, "[data-role=silent]") == 1


def test_regions_alternatives_and_places(browser: Browser) -> None:
    record = told(rounds=2)
    ring = tuple((record.x_m + 40 * math.cos(turn), record.y_m + 25 * math.sin(turn)) for turn in range(6))
    other = AlternativeRecord(time_utc=record.time_utc, x_m=-120.0, y_m=140.0, weight=0.08)
    first = msgspec.structs.replace(record.shots[0], region95_m=(ring, ring), alternatives=(other,))
    places = tuple(
        FiringPlaceRecord(
            x_m=x_m, y_m=40.0, covariance_m2=((4.0, 0.0), (0.0, 4.0)), rounds=(index,), fire_mode="single",
            ellipse95=EllipseRecord(semi_major_m=6.0, semi_minor_m=4.0, orientation_deg=10.0),
        )
        for index, x_m in enumerate((80.0, 140.0))
    )  # fmt: skip
    with serving() as served:
        served.add(msgspec.structs.replace(record, shots=(first, record.shots[1]), places=places))
        see(browser, served)
        assert (
            browser.evaluate("document.querySelector('[data-region=\"1\"]').getAttribute('d').split('M').length") == 3
        )
        words = browser.evaluate("document.querySelector('[data-alternative=\"1\"] title').textContent")
        assert words == "round 1: 8 % that it was here instead"
        assert count(browser, "[data-place]") == 2


MANY = """import('/console/map.js').then(({ ShotMap }) => {
  const root = document.createElement('div');
  root.style.cssText = 'position:fixed;inset:0;z-index:9999';
  root.id = 'map-of-many';
  document.body.append(root);
  const node = (x_m) => ({ node: `n${x_m}`, x_m, y_m: x_m, silent: false, health: [] });
  const place = (index) => {
    const [column, row] = [index % 100, Math.floor(index / 100)];
    return { id: `i${index}`, x_m: 8 * column - 400, y_m: 8 * row - 200 };
  };
  window.chosen = [];
  const map = new ShotMap(root, { onSelect: (id) => window.chosen.push(id) });
  map.show({ nodes: [node(-500), node(500)], incidents: Array.from({ length: 5000 }, (_, index) => place(index)) });
  const { x, y } = map.map.latLngToContainerPoint(map.latLng(place(2030).x_m, place(2030).y_m));
  const canvas = root.querySelector('.leaflet-many-pane canvas'), box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  const alpha = canvas.getContext('2d').getImageData((x - box.x) * scale, (y - box.y) * scale, 1, 1).data[3];
  return { x, y, alpha, drawn: canvas.dataset.incidents, marks: root.querySelectorAll('[data-incident]').length };
})"""


def test_thousands_of_incidents_are_a_canvas_and_can_still_be_chosen(browser: Browser) -> None:
    with serving() as served:
        see(browser, served, role="roof-01:idle")
        seen = browser.evaluate(MANY)
        assert (seen["drawn"], seen["marks"]) == ("5000", 0)
        assert seen["alpha"] > 0
        for kind in ("mousePressed", "mouseReleased"):
            browser.call("Input.dispatchMouseEvent", type=kind, x=seen["x"], y=seen["y"], button="left", clickCount=1)
        assert browser.evaluate("window.chosen") == ["i2030"]
        assert browser.problems == []


# --- layers ---------------------------------------------------------------------------------------------------------


def test_health_is_the_worst_check_as_a_shape(browser: Browser) -> None:
    with serving() as served:
        served.add(told())
        see(browser, served)
        assert count(browser, ".node .health") == 0
        layer(browser, "health")
        marks = browser.evaluate(f"Object.fromEntries({NODES}.map((mark) => [mark.dataset.node, mark.dataset.health]))")
        assert [marks[f"roof-0{index}"] for index in (1, 2, 3, 4, 9)] == ["fail", "ok", "warn", "unknown", "fail"]
        assert count(browser, ".node .health") == 9
        said = browser.evaluate("document.querySelector('[data-node=roof-01]').ariaLabel")
        assert said.endswith("; fails; microphone: nothing but zeros for 9.0 s")
        # The choice is kept for this browser.
        browser.open(served.url)
        browser.wait_for("document.querySelectorAll('.node .health').length === 9")
        layer(browser, "health")


def test_coverage_follows_who_is_heard_and_says_that_it_is_modelled(browser: Browser) -> None:
    with serving() as served:
        served.add(told())
        see(browser, served)
        layer(browser, "coverage")
        browser.wait_for("document.querySelector('.contours path.even[data-least][d^=M]') !== null")
        words = browser.evaluate("document.querySelector('[data-layer=coverage] .words').textContent")
        assert words.startswith("Modelled, not measured")
        assert "at least 4 of the 8 nodes" in words
        before = browser.evaluate("document.querySelector('.contours path.even[data-least]').getAttribute('d')")
        lost = [status for status in node_statuses(time.time_ns() - 10**13, silent="") if status.node < "roof-04"]
        served.history.touch_nodes(lost)
        browser.wait_for(
            "document.querySelector('[data-layer=coverage] .words').textContent.includes('of the 5 nodes')"
        )
        assert browser.evaluate("document.querySelector('.contours path.even[data-least]').getAttribute('d')") != before
        layer(browser, "coverage")
        assert count(browser, ".contours path[data-least]") == 0
        assert browser.problems == []


def test_contours_lie_where_the_level_is_crossed(browser: Browser) -> None:
    with serving() as served:
        browser.open(served.url)
        browser.wait_for("document.querySelector('.north') !== null")
        # Values rise from 0 in the west to 1 in the east; 0.25 is crossed a quarter of the way.
        pieces = browser.evaluate(
            "import('/console/coverage.js').then(({ contour }) => contour([0, .5, 1, 0, .5, 1, 0, .5, 1], 3, 3, .25))"
        )
    assert len(pieces) == 2
    assert {point[0] for piece in pieces for point in piece} == {0.5}
    assert sorted(point[1] for piece in pieces for point in piece) == [0, 1, 1, 2]


def test_the_layers_are_reached_by_keyboard(browser: Browser) -> None:
    with serving() as served:
        see(browser, served, role="roof-01:idle")
        browser.evaluate("document.querySelector('.layers summary').focus()")
        browser.press("Enter")
        browser.wait_for("document.querySelector('.layers').open")
        assert browser.evaluate(
            "[...document.querySelectorAll('.layers input')].every((box) => box.labels.length === 1)"
        )
        browser.press("Escape")
        browser.wait_for("!document.querySelector('.layers').open")
        assert browser.evaluate("document.activeElement === document.querySelector('.layers summary')")
        assert browser.evaluate("document.querySelector('[data-layer=basemap]').hidden") is True


# --- streets --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def basemaps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Basemap]:
    from basemap_samples import raster_pmtiles, streets_geojson, vector_pmtiles

    folder = tmp_path_factory.mktemp("basemaps")
    made = {
        "geojson": streets_geojson(folder / "streets.geojson"),
        "raster": raster_pmtiles(folder / "images.pmtiles"),
        "vector": vector_pmtiles(folder / "shapes.pmtiles"),
    }
    return {kind: Basemap.read(path) for kind, path in made.items()}


STREET = """(() => {
  // Of the opaque pixels under the marks: how many, of how many lightnesses, the darkest and the lightest.
  const seen = [];
  for (const canvas of document.querySelectorAll('.leaflet-tile-pane canvas')) {
    if (!canvas.width) continue;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    for (let at = 0; at < data.length; at += 4) {
      if (data[at + 3] > 200) seen.push(data[at] + data[at + 1] + data[at + 2]);
    }
  }
  return [seen.length, new Set(seen).size, Math.min(...new Set(seen)), Math.max(...new Set(seen))];
})()"""
DRAWN = f"{STREET}[0] > 2000 && {STREET}[1] > 1"
LIBRARY = {"geojson": set(), "raster": {"pmtiles.js"}, "vector": {"protomaps-leaflet.js"}}


@pytest.mark.parametrize("kind", list(LIBRARY))
def test_streets_lie_under_the_map(browser: Browser, basemaps: dict[str, Basemap], kind: str) -> None:
    with serving(basemap=basemaps[kind]) as served:
        served.add(told())
        see(browser, served)
        browser.wait_for(DRAWN)
        assert browser.evaluate("document.querySelector('.credit').textContent") == "Streets made up for tests © nobody"
        assert count(browser, ".grid line") == 0
        addresses = browser.evaluate(f"{LOADED}.map((url) => [url.origin, url.pathname])")
        assert {origin for origin, _ in addresses} == {served.url.rstrip("/")}
        names = {path.rpartition("/")[2] for _, path in addresses}
        assert names & {"pmtiles.js", "protomaps-leaflet.js"} == LIBRARY[kind]
        light = browser.evaluate(STREET)

        see(browser, served, dark=True)
        browser.wait_for(DRAWN)
        if kind == "raster":
            night = "getComputedStyle(document.querySelector('.base.images')).filter"
            assert "invert(1)" in browser.evaluate(night)
        else:
            assert browser.evaluate(STREET)[3] < light[2]
        layer(browser, "basemap")
        browser.wait_for("document.querySelector('.leaflet-tile-pane canvas') === null")
        assert count(browser, ".grid line") > 5
        assert browser.evaluate("document.querySelector('.credit').textContent") == ""
        layer(browser, "basemap")
        assert browser.problems == []


def test_the_streets_turn_dark_with_the_page(browser: Browser, basemaps: dict[str, Basemap]) -> None:
    with serving(basemap=basemaps["geojson"]) as served:
        served.add(told())
        see(browser, served)
        browser.wait_for(DRAWN)
        light = browser.evaluate(STREET)
        browser.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
        browser.wait_for(f"{DRAWN} && {STREET}[3] < {light[2]}")


def test_a_basemap_that_went_away_is_said_and_the_map_stays(
    browser: Browser, basemaps: dict[str, Basemap], tmp_path: Path
) -> None:
    path = tmp_path / "streets.geojson"
    path.write_bytes(basemaps["geojson"].path.read_bytes())
    with serving(basemap=Basemap.read(path)) as served:
        path.unlink()
        served.add(told())
        see(browser, served)
        words = "document.querySelector('[data-layer=basemap] .words').textContent"
        browser.wait_for(f"{words}.includes('cannot be shown')")
        assert "503" in browser.evaluate(words)
        assert count(browser, ".grid line") > 5
