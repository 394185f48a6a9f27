from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from alert_samples import health, incident, node_statuses, registry
from chromium_pipe import Browser

from fusion_server.api import LiveFeed, Mode, create_app
from fusion_server.health import NodeReport
from fusion_server.history import History, Receipt
from fusion_server.http_server import HttpServer
from fusion_server.registry import Registry
from shotline.domain import Site
from shotline.health import CheckStatus
from shotline.messages import HealthItem
from shotline.records import IncidentRecord

pytestmark = pytest.mark.processes

DRAWN = "[...document.querySelectorAll('.node[data-node]')].map((mark) => [mark.dataset.node, mark.dataset.role])"
ROWS = "[...document.querySelectorAll('[data-arrival]')].map((row) => [...row.cells].map((cell) => cell.textContent))"
UNNAMED = """[...document.querySelectorAll('button, input, [role=img]')]
  .filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length"""
READY = "document.querySelectorAll('.node').length >= 9 && document.getElementById('connection').dataset.status == 'ok'"

REPORTS = {
    "roof-01": NodeReport(0, (HealthItem("microphone", CheckStatus.FAIL, "nothing but zeros for 9.0 s"),), 0, 0),
    "roof-02": NodeReport(0, (HealthItem("version", CheckStatus.OK, "0.1.0"),), 0, 0),
}


@dataclass
class Served:
    """A server under test, and what goes into it."""

    history: History
    live: LiveFeed
    server: HttpServer

    @property
    def url(self) -> str:
        """Address of the page."""
        return self.server.url

    def add(self, *records: IncidentRecord) -> None:
        """Commit and publish, as the server does."""
        for record in records:
            self.history.append_incident(record)
            self.live.publish(record)

    def stop(self) -> None:
        """End the server as when it goes down."""
        self.live.close()
        self.server.close()


def _serve(mode: Mode = Mode.LIVE, *, more_sites: tuple[Site, ...] = ()) -> Served:
    history, live = History.open("sqlite://"), LiveFeed()
    history.touch_nodes(node_statuses(time.time_ns()))
    app = create_app(
        history=history,
        registry=Registry([*registry(), *more_sites]),
        frame=None,
        health=lambda: health(CheckStatus.WARN),
        node_reports=lambda: REPORTS,
        live=live,
        mode=mode,
    )
    return Served(history, live, HttpServer(app, "127.0.0.1", 0))


@pytest.fixture
def served() -> Iterator[Served]:
    made = _serve()
    yield made
    made.stop()
    made.history.close()


def _count(browser: Browser, selector: str) -> int:
    return int(browser.evaluate(f"document.querySelectorAll({json.dumps(selector)}).length"))


def _text(browser: Browser, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector({json.dumps(selector)}).textContent"))


def _wait_selected(browser: Browser, record: IncidentRecord) -> None:
    browser.wait_for(
        f"document.querySelector('#incidents [aria-current]')?.dataset.incident == '{record.id}' "
        f"&& document.getElementById('detail').textContent.includes('revision {record.revision}')"
        "&& document.querySelectorAll('.log').length == 2"
    )


def test_nodes_and_incidents_are_drawn(browser: Browser, served: Served) -> None:
    records = [incident(1), incident(2, rounds=2), incident(3, rounds=3), incident(3, revision=2, rounds=3)]
    served.add(*records)
    browser.problems.clear()
    browser.open(served.url)
    browser.wait_for(READY)
    _wait_selected(browser, records[-1])

    assert _count(browser, "#incidents li") == 3
    first = _text(browser, "#incidents li:first-child")
    for words in ("00:52:28.5 UTC", "2018-12-19", "revised", "3 shots", "95 % within 6.2 m", "gunfire 81 %"):
        assert words in first

    drawn = browser.evaluate(DRAWN)
    assert dict(drawn) == {
        **{f"roof-{number:02}": "used" for number in (1, 2, 3, 5, 6, 7)},
        "roof-04": "rejected",
        "roof-08": "unheard",
        "roof-09": "silent",
    }
    assert _count(browser, "#ellipse95") == 1
    assert _count(browser, "[data-round]") == 3
    assert _count(browser, ".others [data-incident]") == 2
    assert _count(browser, ".north") == 1
    assert "m" in _text(browser, ".scale text")
    assert browser.evaluate("document.getElementById('mode').hidden") is True
    assert browser.problems == []


def test_the_table_says_what_is_wrong_with_a_node(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.wait_for(READY)
    rows = dict(
        browser.evaluate(
            "[...document.querySelectorAll('#node-table tbody tr')].map((row) => [row.cells[0].textContent, "
            "row.cells[1].textContent])"
        )
    )
    assert rows["roof-01"] == "microphone fails: nothing but zeros for 9.0 s"
    assert (rows["roof-02"], rows["roof-03"], rows["roof-09"]) == ("heard", "heard", "silent")


def test_why_shows_each_arrival_with_its_residual(browser: Browser, served: Served) -> None:
    record = incident(1, rounds=2)
    served.add(record)
    served.history.append_receipt(Receipt(record.id, 1, "webhook", 2, False, "answered 503", time.time_ns()))
    browser.open(served.url)
    browser.wait_for(READY)
    _wait_selected(browser, record)
    rows = browser.evaluate(ROWS)
    assert len(rows) == 7
    by_node: dict[str, Any] = {row[0]: row for row in rows}
    assert by_node["roof-04"][1] == "+41.2"
    assert by_node["roof-04"][5] == "left out: late by 41 ms: an echo"
    assert by_node["roof-01"][5] == "used"
    assert by_node["roof-07"][4] == "–"
    assert _count(browser, "[data-arrival] .bar-chart rect") == 7
    detail = _text(browser, "#detail")
    for words in ("x 90.0 m, y 40.0 m", "14.3 m × 7.7 m, long axis 34°", "Not heard by roof-08, roof-09 (silent)."):
        assert words in detail
    assert "✗ webhook, revision 1, attempt 2: answered 503" in detail
    browser.evaluate("document.querySelectorAll('.chooser button')[1].click()")
    assert _text(browser, ".chooser [aria-pressed=true]") == "2"


def test_a_new_incident_appears_by_itself_and_is_announced(browser: Browser, served: Served) -> None:
    browser.open(served.url)
    browser.wait_for(READY)
    assert browser.evaluate("document.getElementById('none').hidden") is False
    served.add(incident(1))
    _wait_selected(browser, incident(1))
    assert "New incident: 1 shot at 00:50:28 UTC, 95 percent within 6.2 m." in _text(browser, "#announce")
    served.add(incident(1, revision=2, x_m=93.0, y_m=44.0))
    _wait_selected(browser, incident(1, revision=2))
    browser.wait_for("document.getElementById('detail').textContent.includes('moved 5.0 m')")
    assert _count(browser, "#incidents li") == 1
    assert "revised" in _text(browser, "#incidents .badge")


def test_the_keyboard_is_enough(browser: Browser, served: Served) -> None:
    served.add(incident(1), incident(2), incident(3))
    browser.open(served.url)
    browser.wait_for(READY)
    _wait_selected(browser, incident(1))
    browser.evaluate("document.querySelector('#incidents [aria-current]').focus()")
    browser.press("ArrowDown")
    _wait_selected(browser, incident(2))
    browser.press("j")
    _wait_selected(browser, incident(3))
    browser.press("ArrowUp")
    _wait_selected(browser, incident(2))
    browser.wait_for(f"location.hash == '#incident={incident(2).id}'")
    browser.evaluate("document.getElementById('map').focus()")
    wide = _text(browser, ".scale text")
    browser.press("Enter")
    assert _text(browser, ".scale text") != wide
    browser.press("0")
    assert _text(browser, ".scale text") == wide
    assert browser.evaluate(UNNAMED) == 0


@pytest.mark.parametrize(("mode", "words"), [(Mode.REPLAY, "REPLAY — recorded sound"), (Mode.DEMO, "TEST — simulated")])
def test_what_is_not_live_has_a_banner(browser: Browser, mode: Mode, words: str) -> None:
    served = _serve(mode)
    try:
        browser.open(served.url)
        browser.wait_for(READY)
        browser.wait_for("!document.getElementById('mode').hidden")
        assert words in _text(browser, "#mode")
    finally:
        served.stop()
        served.history.close()


def test_a_lost_connection_is_loud(browser: Browser) -> None:
    served = _serve()
    served.add(incident(1))
    browser.open(served.url)
    browser.wait_for(READY)
    _wait_selected(browser, incident(1))
    served.stop()
    browser.wait_for("!document.getElementById('lost').hidden")
    assert "CONNECTION LOST — the server does not answer" in _text(browser, "#lost")
    assert "New shots do not appear here" in _text(browser, "#lost")
    assert browser.evaluate("document.title").startswith("⚠ CONNECTION LOST")
    assert _count(browser, "#incidents li") == 1
    served.history.close()


def test_text_from_outside_is_never_markup(browser: Browser) -> None:
    evil = "<img src=x onerror=document.title='owned'>"
    served = _serve(more_sites=(Site("a<b>bold</b>", 0.0, 0.0),))
    record = incident(1, scene=evil)
    shot = record.shots[0]
    arrival = msgspec.structs.replace(shot.arrivals[0], reason=evil, used=False)
    shot = msgspec.structs.replace(shot, arrivals=(arrival, *shot.arrivals[1:]))
    served.add(msgspec.structs.replace(record, shots=(shot,)))
    try:
        browser.open(served.url)
        browser.wait_for(READY)
        _wait_selected(browser, record)
        assert evil in _text(browser, "#detail")
        assert _count(browser, "main img, main b") == 0
        assert browser.evaluate("document.title") == "(1) Shotline"
    finally:
        served.stop()
        served.history.close()


def test_light_and_dark_are_readable(browser: Browser, served: Served) -> None:
    """Contrast of text against its ground is at least 4.5, as WCAG 2.1 AA asks."""
    served.add(incident(1, rounds=3))
    places = ".quiet, dd, dt, th, td, .badge, .pill, footer, .headline strong, .verdict, .when time"
    for dark in (False, True):
        browser.open(served.url, dark=dark)
        browser.wait_for(READY)
        _wait_selected(browser, incident(1))
        assert browser.least_contrast(places) >= (4.5, ""), f"dark={dark}"
