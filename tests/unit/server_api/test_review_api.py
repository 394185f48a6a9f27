"""The queue, acknowledgements and decisions over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import sqlalchemy as sa
from access_bench import Bench
from alert_samples import incident
from api_client import NOW_NS

from fusion_server.api import announce_reminder
from fusion_server.history import History
from fusion_server.review import REASONS, ReviewRules
from fusion_server.reviewdesk import ReviewDesk
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S


@pytest.fixture
def bench(history: History) -> Bench:
    for number in range(1, 6):
        history.append_incident(incident(number, rounds=number))
    return Bench(history)


def ident(number: int) -> str:
    return incident(number).id


def decide(bench: Bench, number: int, *, role: str = "reviewer", **changes: Any) -> Any:
    body = {"revision": 1, "outcome": "confirmed", "reason": "casings"} | changes
    return bench.ask(f"/incidents/{ident(number)}/decisions", method="POST", role=role, json=body)


def queue(bench: Bench, query: str = "") -> list[int]:
    """Return the numbers of the incidents in a queue, in order."""
    page = bench.ask(f"/review/queue?{query}", role="reviewer")
    assert page.status_code == 200, page.text
    return [int(item["incident"]["id"], 16) for item in page.json()["items"]]


def words(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.text
    return str(answer.json()["detail"])


def test_the_worst_is_first(bench: Bench) -> None:
    assert queue(bench) == [5, 4, 3, 2, 1]  # by rounds times probability
    decide(bench, 5)
    assert queue(bench) == [4, 3, 2, 1]
    assert queue(bench, "show=all") == [4, 3, 2, 1, 5], "what was decided is last, and stays"
    assert queue(bench, "show=confirmed") == [5]
    assert queue(bench, "show=dismissed") == []


def test_pages_of_the_queue(bench: Bench) -> None:
    path, seen = "/review/queue?limit=2", []
    while path:
        page = bench.ask(path, role="reviewer")
        document = page.json()
        seen.append([int(item["incident"]["id"], 16) for item in document["items"]])
        assert document["total"] == 5
        path = document["next"]
        assert page.headers.get("link", "") == (f'<{path}>; rel="next"' if path else "")
    assert seen == [[5, 4], [3, 2], [1]]


def test_filters_of_the_queue(bench: Bench) -> None:
    since = incident(3).time_utc
    assert queue(bench, f"since={since}") == [5, 4, 3]
    assert queue(bench, f"until={since}") == [2, 1]
    assert queue(bench, "least_probability=0.9") == [5, 4, 2, 1]
    bench.ask(f"/incidents/{ident(4)}/acknowledge", method="POST", role="dispatcher")
    assert queue(bench, "show=unacknowledged") == [5, 3, 2, 1]
    assert queue(bench, "show=overdue") == [5, 4, 3, 2, 1]
    assert "show: input should be" in words(bench.ask("/review/queue?show=some", role="reviewer"), 400)
    assert "unknown parameter 'sho'" in words(bench.ask("/review/queue?sho=all", role="reviewer"), 400)


def test_a_decision_is_a_layer_on_top(bench: Bench, history: History) -> None:
    before = history.incident_revisions(ident(2))
    answer = decide(bench, 2, note="two at the kerb")
    assert answer.status_code == 201, answer.text
    review = answer.json()
    assert (review["outcome"], review["open"], review["disputed"]) == ("confirmed", False, False)
    assert review["decisions"] == [
        {
            "number": 1,
            "revision": 1,
            "outcome": "confirmed",
            "reason": "casings",
            "reason_says": "casings or projectiles found",
            "note": "two at the kerb",
            "person": "reviewer",
            "time_utc": "2018-12-19T01:49:28.543000Z",
        }
    ]
    assert bench.ask(f"/incidents/{ident(2)}", role="analyst").json()["review"] == review
    assert history.incident_revisions(ident(2)) == before, "the automatic result is never changed"
    decide(bench, 2, role="dispatcher", outcome="dismissed", reason="fireworks")
    again = bench.ask(f"/incidents/{ident(2)}", role="analyst").json()["review"]
    assert [item["person"] for item in again["decisions"]] == ["reviewer", "dispatcher"]
    assert (again["outcome"], again["disputed"]) == ("dismissed", True)
    assert bench.noted("decision") == [("reviewer", ident(2)), ("dispatcher", ident(2))]


def test_a_revision_that_came_meanwhile_must_be_known(bench: Bench, history: History) -> None:
    history.append_incident(incident(2, revision=2, x_m=93.0, y_m=44.0))
    answer = decide(bench, 2)
    assert "revision 2 of" in words(answer, 409)
    assert "is newer than 1" in words(answer, 409)
    assert bench.casebook.decisions() == {}
    known = decide(bench, 2, newer_is_known=True).json()
    assert known["changed_since_decision_m"] == 5.0
    newest = decide(bench, 2, revision=2).json()
    assert newest["changed_since_decision_m"] == 0.0
    assert [item["revision"] for item in newest["decisions"]] == [1, 2]
    detail = bench.ask(f"/incidents/{ident(2)}", role="reviewer").json()
    assert detail["moves"] == [{"from_revision": 1, "to_revision": 2, "moved_m": 5.0}]
    history.append_incident(incident(2, revision=3, x_m=96.0, y_m=48.0))
    later = bench.ask(f"/incidents/{ident(2)}", role="reviewer").json()["review"]
    assert later["changed_since_decision_m"] == 5.0, "it moved on after the decision"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"revision": 7}, "revision: 7, expected one of this incident, 1 to 1"),
        ({"outcome": "maybe"}, "outcome: 'maybe', expected one of confirmed, dismissed, undetermined"),
        ({"reason": "thunder"}, "reason: 'thunder' is no reason for confirmed; one of casings"),
        ({"reason": "other"}, "note: missing; say what the other reason is"),
        ({"note": "x" * 2001}, "note: 2001 characters, expected 2000 at the most"),
        ({"person": "somebody"}, "unknown field `person`"),
        ({"revision": "1"}, "Expected `int`, got `str`"),
        ({"revision": None}, "Expected `int`, got `null`"),
    ],
)
def test_what_is_no_decision(bench: Bench, changes: dict[str, Any], says: str) -> None:
    assert says in words(decide(bench, 1, **changes), 400)
    assert bench.casebook.decisions() == {}


def test_bodies_that_are_none(bench: Bench) -> None:
    path = f"/incidents/{ident(1)}/decisions"
    assert "not the JSON" in words(bench.ask(path, method="POST", role="reviewer"), 400)
    deep = {"revision": 1, "outcome": "confirmed", "reason": "casings", "note": "x" * 20_000}
    assert "over 16384 bytes" in words(bench.ask(path, method="POST", role="reviewer", json=deep), 413)
    assert words(bench.ask("/incidents/none/decisions", method="POST", role="reviewer", json={}), 400)
    body = {"revision": 1, "outcome": "confirmed", "reason": "casings"}
    assert "no incident 'none'" in words(
        bench.ask("/incidents/none/decisions", method="POST", role="reviewer", json=body), 404
    )
    assert "no incident 'none'" in words(bench.ask("/incidents/none/acknowledge", method="POST", role="reviewer"), 404)


def test_two_persons(history: History) -> None:
    history.append_incident(incident(1))
    bench = Bench(history, review=ReviewRules(two_persons=True))
    first = decide(bench, 1).json()
    assert (first["outcome"], first["open"], first["waits_for_second"]["person"]) == (None, True, "reviewer")
    assert decide(bench, 1).json()["outcome"] is None, "the same person again is no second"
    assert queue(bench, "show=waits_for_second") == [1]
    assert queue(bench) == [1]
    second = decide(bench, 1, role="dispatcher").json()
    assert (second["outcome"], second["open"], second["waits_for_second"]) == ("confirmed", False, None)
    assert queue(bench) == []
    assert queue(bench, "show=confirmed") == [1]


def test_to_acknowledge_once_more_changes_nothing(bench: Bench) -> None:
    path = f"/incidents/{ident(3)}/acknowledge"
    first = bench.ask(path, method="POST", role="dispatcher").json()
    assert first["acknowledgements"] == [{"person": "dispatcher", "time_utc": "2018-12-19T01:49:28.543000Z"}]
    assert first["open"]
    assert first["reminders_due"] == 0
    assert bench.ask(path, method="POST", role="dispatcher").json() == first
    bench.ask(path, method="POST", role="reviewer")
    assert bench.noted("acknowledge") == [("dispatcher", ident(3)), ("reviewer", ident(3))]


def test_reasons(bench: Bench) -> None:
    document = bench.ask("/review/reasons", role="dispatcher").json()
    assert {name: [item["code"] for item in reasons] for name, reasons in document["outcomes"].items()} == {
        outcome.value: list(codes) for outcome, codes in REASONS.items()
    }
    assert [item["code"] for item in document["outcomes"]["dismissed"] if item["needs_note"]] == ["other"]
    assert (document["two_persons"], document["acknowledge_within_s"]) == (False, 30.0)


def test_what_people_do_is_on_the_event_stream(bench: Bench) -> None:
    async def told() -> str:
        subscription, _ = bench.live.subscribe()
        await asyncio.to_thread(bench.ask, f"/incidents/{ident(3)}/acknowledge", method="POST", role="dispatcher")
        await asyncio.to_thread(decide, bench, 3)
        resumed, known = bench.live.subscribe(f"{ident(3)}/acknowledgement/1")
        assert known
        assert b"".join(await resumed.next(5.0) or []).startswith(f"id: {ident(3)}/decision/1\n".encode())
        return b"".join(await subscription.next(5.0) or []).decode()

    first, second = asyncio.run(told()).strip().split("\n\n")
    assert first.startswith(f"id: {ident(3)}/acknowledgement/1\nevent: acknowledgement\ndata: ")
    assert second.startswith(f"id: {ident(3)}/decision/1\nevent: decision\ndata: ")
    event = json.loads(second.partition("data: ")[2])
    assert (event["incident"], event["revision"], event["review"]["outcome"]) == (ident(3), 1, "confirmed")


def test_a_reminder_is_on_the_event_stream(bench: Bench, history: History) -> None:
    record = incident(3)
    review = ReviewDesk(history.database, bench.casebook, ReviewRules()).review(record.id, [record], now_ns=NOW_NS)

    async def told() -> str:
        subscription, _ = bench.live.subscribe(coarse=True)
        for number in (1, 1, 2):
            announce_reminder(bench.live, record, review, number)
        return b"".join(await subscription.next(5.0) or []).decode()

    events = asyncio.run(told()).strip().split("\n\n")
    assert [event.split("\n")[:2] for event in events] == [
        [f"id: {record.id}/reminder/{number}", "event: reminder"] for number in (1, 2)
    ]
    data = json.loads(events[0].partition("data: ")[2])
    assert data["review"]["reminders_due"] == (NOW_NS - parse_utc(record.as_of_utc)) // (30 * NS_PER_S)


def test_five_thousand_incidents_take_as_few_questions_as_five(bench: Bench, history: History) -> None:
    asked: list[str] = []
    sa.event.listen(
        history.database.engine, "before_cursor_execute", lambda *arguments: asked.append(str(arguments[2]))
    )

    def questions(query: str) -> int:
        asked.clear()
        bench.ask(f"/review/queue?limit=50&{query}", role="reviewer")
        return sum(text.lstrip().upper().startswith("SELECT") for text in asked)

    few = {query: questions(query) for query in ("", "show=all", "show=unacknowledged", "show=confirmed")}
    _append_many(history, 5_000)
    assert {query: questions(query) for query in few} == few
    assert max(few.values()) <= 5, "the token, three of the queue, the records of the page"
    first = bench.ask("/review/queue?limit=1", role="reviewer").json()
    assert first["total"] == 5_005
    assert len(bench.ask("/review/queue?limit=1000&offset=5000", role="reviewer").json()["items"]) == 5


def _append_many(history: History, count: int) -> None:
    """Append incidents as `History.append_incident` does, in one transaction."""
    import msgspec

    from fusion_server.tables import INCIDENTS
    from shotline.timebase import parse_utc

    like = incident(1)
    start_ns = parse_utc(like.time_utc)
    rows = []
    for number in range(1_000, 1_000 + count):
        record: IncidentRecord = msgspec.structs.replace(like, id=f"{number:016x}", shots=())
        rows.append(
            {
                "id": record.id,
                "revision": 1,
                "state": record.state,
                "time_ns": start_ns + number * NS_PER_S,
                "as_of_ns": start_ns + (number + 2) * NS_PER_S,
                "rounds": 1,
                "x_m": record.x_m,
                "y_m": record.y_m,
                "cep95_m": record.cep95_m,
                "probability": record.probability,
                "record": msgspec.json.encode(record),
            }
        )
    with history.database.writing() as db:
        db.execute(sa.insert(INCIDENTS), rows)
