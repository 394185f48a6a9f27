"""The scorecard's page in a real browser: it shows the figures of the document, by day, by night and on paper."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.request import urlopen

import pytest
from alert_samples import EPOCH_NS, SITES, incident
from api_client import NOW_NS, sample_app
from chromium_pipe import Browser

from fusion_server.casebook import Casebook
from fusion_server.history import History
from fusion_server.http_server import HttpServer
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import HeardHour

pytestmark = pytest.mark.processes

HOUR_NS = 3_600 * 10**9
DECIDED = ((1, "confirmed", "casings"), (2, "confirmed", "witness"), (3, "dismissed", "fireworks"))
TABLES = """Object.fromEntries([...document.querySelectorAll('section')].map((section) => [
  section.querySelector('h2').textContent,
  [...section.querySelectorAll('tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))]))"""
BARS = """[...document.querySelectorAll('#s1 rect')].map((bar) =>
  [bar.getAttribute('class'), bar.getBoundingClientRect().width])"""
COLOURS = "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"


@pytest.fixture
def url() -> Iterator[str]:
    """Address of a server with six incidents, three of them decided, and a miss."""
    with History.open("sqlite://") as history:
        casebook = Casebook(history.database)
        for number in range(1, 7):
            history.append_incident(incident(number))
        for number, outcome, reason in DECIDED:
            casebook.decide(
                incident(number).id, revision=1, outcome=outcome, reason=reason, note="", person="ann", time_ns=NOW_NS
            )
        book = Scorebook(history.database)
        hour_ns = EPOCH_NS - EPOCH_NS % HOUR_NS
        book.add_heard([HeardHour(hour_ns, node, (1 << 60) - 1) for node in ("", *(site.node for site in SITES))])
        book.add_miss(
            time_ns=EPOCH_NS + 1, x_m=900.0, y_m=0.0, said_by="hospital", reason="a", person="bo", now_ns=NOW_NS
        )
        server = HttpServer(sample_app(history), "127.0.0.1", 0)
        yield server.url
        server.close()


def rgb(text: str) -> int:
    return sum(int(part) for part in text.removeprefix("rgb(").removesuffix(")").split(","))


def test_the_page_shows_the_figures_of_the_document(browser: Browser, url: str) -> None:
    with urlopen(f"{url}scorecard?since=2018-12-19", timeout=20) as answer:
        card: dict[str, Any] = json.load(answer)
    browser.problems.clear()
    browser.open(f"{url}scorecard?since=2018-12-19")
    browser.wait_for("document.querySelector('footer') !== null")
    tables = browser.evaluate(TABLES)
    outcomes = {row["outcome"]: row for row in card["outcomes"]["rows"]}
    assert {name: row["count"] for name, row in outcomes.items()} == {
        "confirmed": 2, "dismissed": 1, "undetermined": 0, "undecided": 3,
    }  # fmt: skip
    shown = {row[0].partition(" ")[0]: row for row in tables["What became of the incidents"]}
    for name, row in outcomes.items():
        share = row["of_all"]
        interval = f"{100 * share['low95']:.0f} to {100 * share['high95']:.0f}"
        assert shown[name][1:3] == [
            str(row["count"]),
            f"{100 * share['share']:.0f} % ({interval}, of {share['of']} only)",
        ]
    assert [row[0] for row in tables["Nodes"]] == [node["node"] for node in card["nodes"]]
    assert len(tables["Misses reported"]) == card["misses"]["reported"] == 1
    assert float(tables["Hours"][1][1]) == card["hours"]["server"]
    assert [row[:2] for row in tables["Week by week"]] == [
        [week["week_utc"], str(week["incidents"])] for week in card["weeks"]
    ]
    widths = dict(browser.evaluate(BARS))
    assert widths["confirmed"] == pytest.approx(2 * widths["dismissed"], rel=0.01)  # pixels are cut to a tenth
    assert widths["undecided"] == pytest.approx(3 * widths["dismissed"], rel=0.01)
    assert browser.problems == []


def test_it_has_its_style_by_day_by_night_and_on_paper(browser: Browser, url: str) -> None:
    browser.problems.clear()
    brightness = []
    for dark in (False, True):
        browser.open(f"{url}scorecard.html", dark=dark)
        browser.wait_for("document.querySelector('footer') !== null")
        paper, ink = (rgb(text) for text in browser.evaluate(COLOURS))
        brightness.append((paper > 600, ink > 600))
        assert browser.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert brightness == [(True, False), (False, True)]
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(COLOURS) == ["rgb(255, 255, 255)", "rgb(0, 0, 0)"]
    browser.call("Emulation.setEmulatedMedia", media="")
    assert browser.problems == []
