"""The scorecard over HTTP: the same figures in every form, less for the public, made once for all who ask."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from access_bench import Bench
from alert_samples import EPOCH_NS, FRAME, SITES, incident, registry
from api_client import NOW_NS, SCORECARD, ask, sample_app

from fusion_server.api import ScorecardRules
from fusion_server.api import scorecards as making
from fusion_server.api.problems import ApiProblemError
from fusion_server.api.scorecards import Scorecards
from fusion_server.history import History
from fusion_server.roles import Role
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import (
    Evidence,
    HeardHour,
    Scorecard,
    parse_areas,
    scorecard,
    scorecard_csv,
    scorecard_html,
)
from shotline.auditchain import verify_chain
from shotline.errors import StorageError
from shotline.timebase import format_utc, parse_utc

WEEK_NS = 7 * 86_400 * 10**9
HOUR_NS = 3_600 * 10**9
PERIOD = "since=2018-12-01&until=2019-01-01"
SINCE_NS, UNTIL_NS = parse_utc("2018-12-01T00:00:00Z"), parse_utc("2019-01-01T00:00:00Z")
REPORT = {"time_utc": "2018-12-19T01:00:00Z", "x_m": 900.0, "y_m": 0.0, "said_by": "hospital", "reason": "a patient"}
EAST = """{"type": "Feature", "properties": {"name": "East"}, "geometry": {"type": "Polygon",
 "coordinates": [[[0, -3000], [3000, -3000], [3000, 3000], [0, 3000], [0, -3000]]]}}"""


@pytest.fixture
def bench(history: History) -> Bench:
    """Five incidents, of which one is confirmed and one dismissed; two hours in which every node was heard."""
    made = Bench(history)
    for number in range(1, 6):
        history.append_incident(incident(number))
    for number, outcome, reason in ((1, "confirmed", "casings"), (2, "dismissed", "fireworks")):
        made.casebook.decide(
            incident(number).id,
            revision=1,
            outcome=outcome,
            reason=reason,
            note="",
            person="ann",
            time_ns=EPOCH_NS + 600 * 10**9,
        )
    hour_ns = EPOCH_NS - EPOCH_NS % HOUR_NS
    rows = [HeardHour(hour_ns + k * HOUR_NS, node, (1 << 60) - 1) for k in (0, 1) for node in ("", *NODES)]
    Scorebook(history.database).add_heard(rows)
    return made


NODES = [site.node for site in SITES]


def report(bench: Bench, role: str = "reviewer", **changes: Any) -> httpx.Response:
    body = {key: value for key, value in (REPORT | changes).items() if value is not None}
    return bench.ask("/scorecard/misses", method="POST", role=role, json=body)


def words(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def card(answer: httpx.Response) -> Scorecard:
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=Scorecard)


# --- forms ----------------------------------------------------------------------------------------------------------


def test_it_is_the_scorecard_of_what_is_kept(bench: Bench, history: History) -> None:
    report(bench)
    book = Scorebook(history.database)
    evidence = book.evidence(SINCE_NS, UNTIL_NS, around_ns=300 * 10**9)
    expected = scorecard(
        evidence, sites=list(registry()), settings=SCORECARD, since_ns=SINCE_NS, until_ns=UNTIL_NS, made_ns=NOW_NS
    )
    assert card(bench.ask(f"/scorecard?{PERIOD}", role="dispatcher")) == expected
    assert {row.outcome: row.count for row in expected.outcomes.rows} == {
        "confirmed": 1, "dismissed": 1, "undetermined": 0, "undecided": 3,
    }  # fmt: skip
    assert (expected.misses.missed, expected.misses.missed_where_covered, expected.hours.server) == (1, 1, 2.0)


def test_table_and_page_have_the_figures_of_the_document(bench: Bench) -> None:
    made = card(bench.ask(f"/scorecard?{PERIOD}", role="analyst"))
    table = bench.ask(f"/scorecard.csv?{PERIOD}", role="analyst")
    page = bench.ask(f"/scorecard.html?{PERIOD}", role="analyst")
    assert (table.text, table.headers["content-type"]) == (scorecard_csv(made), "text/csv; charset=utf-8")
    assert (page.text, page.headers["content-type"]) == (scorecard_html(made), "text/html; charset=utf-8")
    for accept, answer in (("text/csv", table), ("text/html,application/xhtml+xml,*/*;q=0.8", page)):
        asked = bench.ask(f"/scorecard?{PERIOD}", role="analyst", headers={"Accept": accept})
        assert (asked.content, asked.headers["vary"]) == (answer.content, "Accept")
    both = bench.ask(f"/scorecard?{PERIOD}", role="analyst", headers={"Accept": "text/html, application/json"})
    assert card(both) == made


def test_the_page_may_load_its_own_style_and_nothing_else(bench: Bench) -> None:
    page = bench.ask(f"/scorecard.html?{PERIOD}", role="analyst")
    (style,) = re.findall(r"<style>(.*?)</style>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    assert f"style-src 'sha256-{digest}'" in page.text
    assert not re.search(r"<script|\sstyle=|\son\w+=|href=\"(?!#)", page.text)
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "style-src 'self'" in bench.ask("/meta").headers["content-security-policy"]


def test_a_test_says_so(history: History) -> None:
    from fusion_server.api import Mode

    history.append_incident(incident(1))
    assert "TEST: nothing here" in ask(sample_app(history, mode=Mode.DEMO), "/scorecard.html").text
    assert "TEST:" not in ask(sample_app(history), "/scorecard.html").text


# --- what may be asked ----------------------------------------------------------------------------------------------


def test_areas_are_the_configured_ones(history: History) -> None:
    for number in range(1, 4):
        history.append_incident(incident(number))
    app = sample_app(history, areas=parse_areas(EAST, frame=None))
    assert [item.area for item in card(ask(app, "/scorecard")).areas] == [
        "East", "(in none of these)", "(everywhere)",
    ]  # fmt: skip
    (east,) = card(ask(app, "/scorecard?area=East")).areas
    assert (east.area, east.incidents) == ("East", 3)
    two = card(ask(app, "/scorecard?area=(everywhere)&area=East")).areas
    assert [item.area for item in two] == ["East", "(everywhere)"]
    assert "no area is named 'West'; use one of East, (in none of these)" in words(
        ask(app, "/scorecard?area=West"), 400
    )


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("since=2018-12-20&until=2018-12-19", "from 2018-12-20T00:00:00Z to 2018-12-19T00:00:00Z is no time at all"),
        ("since=1990-01-01&until=2018-12-19", "longer than 3660 days"),
        ("since=yesterday", "since: 'yesterday' is not a UTC time"),
        ("until=2018-13-01", "until: '2018-13-01T00:00:00Z' is not a UTC time"),
        ("until=2999-01-01", "outside the years 1678 to 2262"),
        ("areas=East", "unknown parameter 'areas'; use one of since, until, area"),
    ],
)
def test_what_cannot_be_asked(bench: Bench, query: str, told: str) -> None:
    for path in ("/scorecard", "/scorecard.csv", "/scorecard.html"):
        assert told in words(bench.ask(f"{path}?{query}", role="analyst"), 400)


def test_without_a_period_it_is_the_last_three_months_of_what_is_kept(bench: Bench) -> None:
    first = card(bench.ask("/scorecard", role="analyst"))
    assert (first.since_utc, first.until_utc) == ("2018-12-19T00:00:00Z", format_utc(NOW_NS, digits=0))
    now_ns = NOW_NS + 20 * WEEK_NS
    later = card(ask(sample_app(bench.history, now_ns=lambda: now_ns), "/scorecard"))
    assert later.since_utc == format_utc(now_ns - 13 * WEEK_NS, digits=0)
    assert later.outcomes.incidents == 0


def test_nothing_is_kept_yet(history: History) -> None:
    assert "nothing to count" in words(ask(sample_app(history), "/scorecard"), 404)


# --- the public -----------------------------------------------------------------------------------------------------


def test_the_public_gets_whole_weeks_that_are_over(bench: Bench) -> None:
    assert "no whole week" in words(bench.ask("/scorecard?since=2018-12-19", role="public"), 400)
    bench.clock.now_ns = NOW_NS + WEEK_NS  # a Wednesday
    asked = f"since={format_utc(EPOCH_NS + 90 * 10**9)}&until={format_utc(EPOCH_NS + 150 * 10**9)}"
    assert card(bench.ask(f"/scorecard?{asked}", role="analyst")).outcomes.incidents == 1
    assert "no whole week" in words(bench.ask(f"/scorecard?{asked}", role="public"), 400)
    for query in ("since=2018-12-19", "since=2018-12-17T09:00:00Z&until=2019-06-01", "since=2018-12-23"):
        made = card(bench.ask(f"/scorecard?{query}", role="public"))
        assert (made.since_utc, made.until_utc) == ("2018-12-17T00:00:00Z", "2018-12-24T00:00:00Z")
        assert made.outcomes.incidents == 5


def test_the_public_sees_neither_nodes_nor_single_misses(bench: Bench) -> None:
    report(bench, time_utc=incident(1).time_utc, x_m=incident(1).x_m, y_m=incident(1).y_m)
    report(bench, reason="casings by the well")
    bench.clock.now_ns = NOW_NS + WEEK_NS
    whole = card(bench.ask("/scorecard", role="analyst"))
    assert (len(whole.nodes), [row.incident for row in whole.misses.rows]) == (9, [incident(1).id, None])
    made = card(bench.ask("/scorecard", role="public"))
    assert (made.nodes, made.misses.rows) == ((), ())
    assert (made.misses.reported, made.misses.missed, made.misses.share) == (2, 1, whole.misses.share)
    for path in ("/scorecard", "/scorecard.csv", "/scorecard.html"):
        secrets = [incident(1).id, *NODES, "casings by the well", "900"]
        told = bench.ask(path, role="public").text
        assert not [text for text in secrets if text in told]
    assert "1 missed, 1 told after all" in bench.ask("/scorecard.html", role="public").text
    words(bench.ask("/scorecard/misses", role="public"), 403)


# --- one after another ----------------------------------------------------------------------------------------------


@pytest.fixture
def made_in(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the threads that made a scorecard, one for each."""
    threads: list[str] = []

    def noting(evidence: Evidence, **more: Any) -> Scorecard:
        threads.append(threading.current_thread().name)
        return scorecard(evidence, **more)

    monkeypatch.setattr(making, "scorecard", noting)
    return threads


def test_who_asks_for_the_same_within_a_minute_gets_the_same(bench: Bench, made_in: list[str]) -> None:
    for path in ("/scorecard", "/scorecard.csv", "/scorecard.html", "/scorecard?area=(everywhere)"):
        for role in ("analyst", "dispatcher"):
            assert bench.ask(path, role=role).status_code == 200
    assert made_in == ["scorecard_0"], "one, and not in the thread that answers"
    bench.ask(f"/scorecard?{PERIOD}", role="analyst")
    assert len(made_in) == 2
    bench.clock.now_ns += 60 * 10**9
    assert card(bench.ask("/scorecard", role="analyst")).made_utc == format_utc(bench.clock.now_ns, digits=0)
    assert len(made_in) == 3
    bench.clock.now_ns -= 3_600 * 10**9  # a clock that is set back keeps nothing for an hour
    bench.ask("/scorecard", role="analyst")
    assert len(made_in) == 4


def test_a_new_miss_is_in_the_next_one(bench: Bench, made_in: list[str]) -> None:
    assert card(bench.ask(f"/scorecard?{PERIOD}", role="analyst")).misses.reported == 0
    report(bench)
    assert card(bench.ask(f"/scorecard?{PERIOD}", role="analyst")).misses.reported == 1
    assert len(made_in) == 2


def test_no_more_than_a_few_wait(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    history.append_incident(incident(1))
    begun, goes_on = threading.Event(), threading.Event()

    def slow(evidence: Evidence, **more: Any) -> Scorecard:
        begun.set()
        assert goes_on.wait(20)
        return scorecard(evidence, **more)

    monkeypatch.setattr(making, "scorecard", slow)
    cards = Scorecards(
        Scorebook(history.database), sites=SITES, rules=ScorecardRules(settings=SCORECARD), now_ns=lambda: NOW_NS
    )

    async def many() -> list[Scorecard]:
        asked = [asyncio.create_task(cards.card(SINCE_NS, UNTIL_NS + day)) for day in range(8)]
        same = asyncio.create_task(cards.card(SINCE_NS, UNTIL_NS))
        leaves = asyncio.create_task(cards.card(SINCE_NS, UNTIL_NS))
        assert await asyncio.to_thread(begun.wait, 20)
        with pytest.raises(ApiProblemError, match="8 scorecards of other periods") as caught:
            await cards.card(SINCE_NS, UNTIL_NS + 9)
        assert (caught.value.status, caught.value.headers) == (503, {"Retry-After": "10"})
        leaves.cancel()
        goes_on.set()
        return await asyncio.gather(*asked, same)

    made = asyncio.run(many())
    assert made[0] is made[8], "who waits for the same waits for one, whoever goes away"
    assert len({id(item) for item in made}) == 8


def test_what_would_take_too_long_is_refused(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_MOST_HEARD_ROWS", 19)
    told = words(bench.ask(f"/scorecard?{PERIOD}", role="analyst"), 400)
    assert "20 hours of nodes are on record in that period, 19 are counted here" in told
    assert "20 hours of nodes" in words(bench.ask("/scorecard", role="analyst"), 400)
    hour = "since=2018-12-19T00:00:00Z&until=2018-12-19T01:00:00Z"
    assert card(bench.ask(f"/scorecard?{hour}", role="analyst")).hours.server == 1.0


def test_a_large_network_is_counted_over_fewer_days(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "_MOST_HEARD_ROWS", 50)
    rows = [HeardHour(NOW_NS - NOW_NS % HOUR_NS - day * 24 * HOUR_NS, "", 1) for day in range(100)]
    Scorebook(history.database).add_heard(rows)
    made = card(ask(sample_app(history), "/scorecard"))
    assert made.since_utc == format_utc(NOW_NS - 4 * WEEK_NS, digits=0)


def test_what_failed_is_not_kept(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_evidence: Evidence, **_more: Any) -> Scorecard:
        raise StorageError("the disk is gone")

    with monkeypatch.context() as broken:
        broken.setattr(making, "scorecard", fails)
        assert "the disk is gone" in words(bench.ask("/scorecard", role="analyst"), 503)
    assert bench.ask("/scorecard", role="analyst").status_code == 200


# --- misses ---------------------------------------------------------------------------------------------------------


def test_a_reported_miss_is_kept_and_noted(bench: Bench) -> None:
    answer = report(bench)
    assert answer.status_code == 201, answer.text
    miss = answer.json()
    lat_deg, lon_deg, _ = FRAME.to_geodetic(900.0, 0.0)
    assert miss == {
        "number": 1,
        "time_utc": "2018-12-19T01:00:00.000000Z",
        "x_m": 900.0,
        "y_m": 0.0,
        "lat_deg": round(lat_deg, 8),
        "lon_deg": round(lon_deg, 8),
        "said_by": "hospital",
        "reason": "a patient",
        "person": "reviewer",
        "entered_utc": format_utc(NOW_NS),
    }
    assert bench.ask("/scorecard/misses", role="auditor").json()["misses"] == [miss]
    (entry,) = [entry for entry in bench.casebook.audit() if entry.action == "miss"]
    assert (entry.actor, entry.subject, entry.detail["reason"]) == ("reviewer", "miss 1", "a patient")
    assert verify_chain(bench.casebook.audit()) == []


def test_a_place_in_degrees(bench: Bench, history: History) -> None:
    lat_deg, lon_deg, _ = FRAME.to_geodetic(900.0, 0.0)
    degrees = {"x_m": None, "y_m": None, "lat_deg": lat_deg, "lon_deg": lon_deg}
    miss = report(bench, role="analyst", **degrees).json()
    assert (miss["x_m"], miss["y_m"]) == pytest.approx((900.0, 0.0), abs=1e-3)  # it is said to the millimetre
    body = {key: value for key, value in (REPORT | degrees).items() if value is not None}
    app = sample_app(history, frame=None)
    answer = ask(app, "/scorecard/misses", method="POST", json=body, headers={"X-Shotline-Request": "1"})
    assert "no geodetic origin, so it takes no degrees; give x_m and y_m" in words(answer, 409)
    assert ask(app, "/scorecard/misses").json()["misses"][0]["lat_deg"] is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"time_utc": "2018-12-19T09:00:00Z"}, "is after now (2018-12-19T01:49:29Z)"),
        ({"time_utc": "last night"}, "time_utc: 'last night' is not a UTC time"),
        ({"x_m": None}, "lat_deg and lon_deg, or x_m and y_m: one pair, whole"),
        ({"lat_deg": 40.0}, "one pair, whole"),
        ({"x_m": 1e8}, "<= 10000000.0 - at `$.x_m`"),
        ({"x_m": None, "y_m": None, "lat_deg": 91.0, "lon_deg": 0.0}, "`$.lat_deg`"),
        ({"said_by": "  "}, "said_by"),
        ({"reason": "a\x00b"}, "has a NUL in it"),
        ({"reason": "x" * 1001}, "`$.reason`"),
        ({"person": "somebody else"}, "unknown field `person`"),
    ],
)
def test_misses_that_are_refused(bench: Bench, changes: dict[str, Any], told: str) -> None:
    assert told in words(report(bench, **changes), 400)
    assert bench.ask("/scorecard/misses", role="reviewer").json()["total"] == 0


@pytest.mark.parametrize("role", list(Role))
def test_who_may_report_and_read_misses(bench: Bench, role: Role) -> None:
    assert report(bench, role=role.value).status_code == (201 if role in (Role.REVIEWER, Role.ANALYST) else 403)
    read = bench.ask("/scorecard/misses", role=role.value)
    assert read.status_code == (403 if role is Role.PUBLIC else 200)


def test_pages_of_misses(bench: Bench) -> None:
    for minute in (30, 10, 20):
        report(bench, time_utc=f"2018-12-19T01:{minute}:00Z")

    def pages() -> Iterator[list[int]]:
        path = "/scorecard/misses?limit=2&since=2018-12-19"
        while path:
            answer = bench.ask(path, role="reviewer")
            document = answer.json()
            assert document["total"] == 3
            yield [miss["number"] for miss in document["misses"]]
            path = document["next"]
            assert answer.headers.get("link", "") == (f'<{path}>; rel="next"' if path else "")

    assert list(pages()) == [[2, 3], [1]]
    bounded = bench.ask("/scorecard/misses?since=2018-12-19T01:15:00Z&until=2018-12-19T01:30:00Z", role="reviewer")
    assert [miss["number"] for miss in bounded.json()["misses"]] == [3]
