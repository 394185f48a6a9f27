"""Decisions, acknowledgements and the audit log in a real database."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa
from server_samples import EPOCH_NS

from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.review import Outcome, standing
from fusion_server.tables import AUDIT
from shotline.auditchain import Root, verify_chain
from shotline.errors import InputError


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    with closing(Database.open(database_url)) as opened:
        yield opened


def decide(book: Casebook, person: str, outcome: str, *, incident: str = "i1") -> None:
    book.decide(incident, revision=1, outcome=outcome, reason="other", note="why", person=person, time_ns=EPOCH_NS)


def test_decisions_count_up_within_an_incident_and_are_audited(database: Database) -> None:
    book = Casebook(database)
    decide(book, "ann", "confirmed")
    decide(book, "bo", "dismissed")
    decide(book, "ann", "undetermined", incident="i2")
    found = book.decisions()
    assert [(item.number, item.person, item.outcome) for item in found["i1"]] == [
        (1, "ann", Outcome.CONFIRMED),
        (2, "bo", Outcome.DISMISSED),
    ]
    assert [item.number for item in found["i2"]] == [1]
    assert set(book.decisions(["i2"])) == {"i2"}
    assert standing(found["i1"], two_persons=False).outcome is Outcome.DISMISSED
    assert [(entry.actor, entry.action, entry.subject) for entry in book.audit()] == [
        ("ann", "decision", "i1"),
        ("bo", "decision", "i1"),
        ("ann", "decision", "i2"),
    ]


def test_a_decision_that_cannot_be_made_leaves_nothing(database: Database) -> None:
    book = Casebook(database)
    with pytest.raises(InputError, match="no reason"):
        book.decide("i1", revision=1, outcome="confirmed", reason="thunder", note="", person="ann", time_ns=EPOCH_NS)
    assert book.decisions() == {}
    assert book.last_entry() is None


def test_acknowledgements(database: Database) -> None:
    book = Casebook(database)
    book.acknowledge("i1", person="ann", time_ns=EPOCH_NS)
    book.acknowledge("i1", person="bo", time_ns=EPOCH_NS + 5)
    assert [item.person for item in book.acknowledgements(["i1"])["i1"]] == ["ann", "bo"]
    assert book.acknowledgements(["i2"]) == {}


def test_the_log_is_whole_whoever_writes_at_the_same_time(database: Database) -> None:
    books = [Casebook(database) for _ in range(4)]

    def write(book: Casebook) -> None:
        for number in range(25):
            book.note(time_ns=EPOCH_NS, actor="ann", action="view", subject="i1", detail={"number": number})

    threads = [threading.Thread(target=write, args=(book,)) for book in books]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    entries = list(books[0].audit())
    assert len(entries) == 100
    assert verify_chain(entries) == []
    assert [entry.number for entry in books[0].audit(after=90)] == list(range(91, 101))


def test_the_log_is_whole_whichever_server_writes_at_the_same_time(shared_database_url: str) -> None:
    """Each has connections of its own, as two processes have: no lock of this program is between them."""
    begin = threading.Barrier(3)
    problems: list[BaseException] = []

    def write(database: Database) -> None:
        book = Casebook(database)
        try:
            begin.wait()
            for _ in range(30):
                decide(book, "ann", "confirmed")
        except BaseException as error:
            problems.append(error)

    with closing(Database.open(shared_database_url)) as first, closing(Database.open(shared_database_url)) as second:
        with closing(Database.open(shared_database_url)) as third:
            threads = [threading.Thread(target=write, args=(each,)) for each in (first, second, third)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert problems == []
        book = Casebook(first)
        entries = list(book.audit())
        assert len(entries) == 90
        assert verify_chain(entries) == []
        assert [item.number for item in book.decisions()["i1"]] == list(range(1, 91))


def test_a_log_longer_than_a_page(database: Database) -> None:
    book = Casebook(database)
    for number in range(1_001):
        book.note(time_ns=EPOCH_NS, actor="ann", action="view", subject="even" if number % 2 == 0 else "odd")
    assert verify_chain(book.audit()) == []
    assert len(list(book.audit(subject="even"))) == 501


@pytest.mark.parametrize(
    "change",
    [
        AUDIT.update().where(AUDIT.c.number == 2).values(actor="eve"),
        AUDIT.update().where(AUDIT.c.number == 2).values(detail=b'{"outcome":"dismissed"}'),
        AUDIT.delete().where(AUDIT.c.number == 2),
        AUDIT.delete().where(AUDIT.c.number == 3),
    ],
)
def test_who_reaches_into_the_database_is_found(database: Database, change: sa.Executable) -> None:
    book = Casebook(database)
    for _ in range(3):
        decide(book, "ann", "confirmed")
    last = book.last_entry()
    assert last is not None
    root = Root(number=last.number, digest=last.digest, time_ns=EPOCH_NS, key="k", signature="s")
    book.add_root(root)
    book.add_root(root)
    assert verify_chain(book.audit(), book.roots()) == []
    with database.writing() as db:
        db.execute(change)
    assert verify_chain(book.audit(), book.roots())
