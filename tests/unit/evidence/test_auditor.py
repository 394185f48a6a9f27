"""What the server writes into the audit log: little, once, and signed now and then."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest
from evidence_samples import SIGNED_NS, signing_key

from fusion_server.casebook import Casebook
from fusion_server.engine import FusionSettings
from fusion_server.evidence.auditor import Auditor, new_root
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.signing import SigningKey, root_holds
from fusion_server.history import History, Receipt
from shotline.auditchain import verify_chain
from shotline.domain import Site

HOUR_NS = 3_600 * 10**9
NETWORK = NetworkRecord.of([Site("a", 1.0, 2.0)], None, FusionSettings())


@pytest.fixture
def history(quick_database_url: str) -> Iterator[History]:
    with History.open(quick_database_url) as opened:
        yield opened


def auditor(history: History, *, network: NetworkRecord = NETWORK, key: SigningKey | None = None) -> Auditor:
    made = Auditor(history, network, configuration=b"{}", software={}, key=key, root_every_ns=HOUR_NS)
    made.start(SIGNED_NS)
    return made


def receipt(incident_id: str = "i1", revision: int = 1, **changes: object) -> Receipt:
    plain = Receipt(incident_id, revision, "console", 1, True, "", SIGNED_NS)
    return dataclasses.replace(plain, **changes)  # type: ignore[arg-type]


def actions(history: History) -> list[str]:
    return [entry.action for entry in Casebook(history.database).audit()]


def test_a_network_is_kept_once_and_again_when_it_changes(history: History) -> None:
    auditor(history)
    auditor(history)
    assert actions(history) == ["network", "start", "start"]
    other = NetworkRecord.of([Site("a", 1.5, 2.0)], None, FusionSettings())
    auditor(history, network=other)
    auditor(history)
    assert actions(history)[3:] == ["network", "start", "start"]


def test_alerts_make_an_entry_for_each_revision_and_not_for_each_attempt(history: History) -> None:
    made = auditor(history)
    history.append_receipt(receipt())
    history.append_receipt(receipt(sink="webhook", ok=False, detail="connection refused" * 50))
    made.step(SIGNED_NS)
    for attempt in range(2, 60):
        history.append_receipt(receipt(sink="webhook", ok=False, attempt=attempt, detail="connection refused"))
        made.step(SIGNED_NS + attempt)
    history.append_receipt(receipt(sink="webhook", attempt=60))
    made.step(SIGNED_NS + 60)
    entries = list(Casebook(history.database).audit(subject="i1"))
    assert [entry.detail["sinks"] for entry in entries] == [
        {"console": "taken", "webhook": f"refused: {('connection refused' * 50)[:200]}"},
        {"webhook": "taken"},
    ]


def test_nothing_to_say_makes_no_entry(history: History) -> None:
    made = auditor(history)
    for second in range(100):
        made.step(SIGNED_NS + second * 10**9)
    assert actions(history) == ["network", "start"]


def test_many_alerts_are_taken_in_portions_and_none_is_left_out(history: History) -> None:
    made = auditor(history)
    for number in range(1_200):
        history.append_receipt(receipt(f"i{number}"))
    for _ in range(3):
        made.step(SIGNED_NS)
    subjects = [entry.subject for entry in Casebook(history.database).audit() if entry.action == "alert"]
    assert subjects == [f"i{number}" for number in range(1_200)]
    assert verify_chain(Casebook(history.database).audit()) == []


def test_a_restart_goes_on_where_it_stopped(history: History) -> None:
    history.append_receipt(receipt("before"))
    auditor(history).step(SIGNED_NS)
    history.append_receipt(receipt("meanwhile"))
    auditor(history).step(SIGNED_NS + 1)
    subjects = [entry.subject for entry in Casebook(history.database).audit() if entry.action == "alert"]
    assert subjects == ["before", "meanwhile"]


def test_roots_are_signed_when_due_and_when_there_is_news(history: History) -> None:
    made = auditor(history, key=signing_key())
    assert made.step(SIGNED_NS + HOUR_NS - 1) is None
    root = made.step(SIGNED_NS + HOUR_NS)
    assert root is not None
    assert root_holds(root)
    assert made.step(SIGNED_NS + 2 * HOUR_NS) is None
    history.append_receipt(receipt())
    later = made.step(SIGNED_NS + 3 * HOUR_NS)
    assert later is not None
    assert later.number == root.number + 1
    casebook = Casebook(history.database)
    assert casebook.roots() == [root, later]
    assert verify_chain(casebook.audit(), casebook.roots()) == []
    assert new_root(casebook, signing_key(), time_ns=SIGNED_NS) is None
    # After a restart the next is due an hour after the last, not an hour after the start.
    assert auditor(history, key=signing_key()).step(SIGNED_NS + 4 * HOUR_NS) is not None


def test_without_a_key_nothing_is_signed(history: History) -> None:
    made = auditor(history)
    assert made.step(SIGNED_NS + 1_000 * HOUR_NS) is None
    assert Casebook(history.database).roots() == []
