from __future__ import annotations

import random
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy
from server_samples import EPOCH_NS, SECOND_NS, detection, incident, stored
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

import fusion_server.history as history_module
from fusion_server.history import (
    History,
    HistoryCounts,
    NodeStatus,
    Receipt,
    RejectedMessage,
)
from shotline.domain import ClockState, DetectionId
from shotline.errors import StorageError
from shotline.messages import encode


@pytest.fixture
def history(database_url: str) -> Iterator[History]:
    with History.open(database_url) as opened:
        yield opened


def test_detections_are_stored_once(history: History) -> None:
    first = [stored(detection(0)), stored(detection(1))]
    assert history.store([]) == []
    assert history.store(first) == [True, True]
    assert history.store([stored(detection(1)), stored(detection(2)), stored(detection(2))]) == [False, True, False]
    assert list(history.detections(0)) == [detection(0), detection(1), detection(2)]
    assert history.counts().detections == 3


def test_a_batch_of_old_and_new_is_told_apart_as_one_by_one(history: History) -> None:
    one_by_one = History.open("sqlite://")
    rng = random.Random(1)
    with one_by_one:
        for _ in range(6):
            batch = [
                stored(detection(rng.randrange(400), node=rng.choice("ab"), boot=rng.randrange(2))) for _ in range(250)
            ]
            assert history.store(batch) == [one_by_one.store([item])[0] for item in batch]
        assert list(history.stored(0)) == list(one_by_one.stored(0))


def test_identities_are_looked_up_and_not_searched_for() -> None:
    """A list of triples makes SQLite read every detection that was ever stored, at each one that comes twice."""
    compiled = history_module._KNOWN.compile(dialect=sqlite.dialect())
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute(str(CreateTable(history_module.DETECTIONS).compile(dialect=sqlite.dialect())))
        plan = [row[3] for row in db.execute(f"EXPLAIN QUERY PLAN {compiled}", [0] * len(compiled.params))]
    assert any("PRIMARY KEY (node=? AND boot=? AND sequence=?)" in step for step in plan)
    assert not any(step.startswith("SCAN") for step in plan)


def test_what_was_stored_first_stays(history: History) -> None:
    history.store([stored(detection(0))])
    assert history.store([stored(detection(0, snr_db=1.0))]) == [False]
    assert list(history.detections(0)) == [detection(0)]
    uid = detection(0).uid
    assert history.raw_of([uid, DetectionId("nobody", 1, 2)]) == {uid: encode(detection(0))}
    assert history.raw_of([]) == {}


def test_detections_come_in_order_of_arrival_from_since_until_before_until(history: History) -> None:
    items = [detection(sequence, node=node) for sequence in (3, 1, 2) for node in ("b", "a")]
    history.store([stored(item) for item in items])
    found = [item.uid[::2] for item in history.detections(EPOCH_NS + SECOND_NS, EPOCH_NS + 3 * SECOND_NS)]
    assert found == [("a", 1), ("b", 1), ("a", 2), ("b", 2)]


def test_pages_do_not_show(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    items = [detection(sequence // 4, node=f"n{sequence % 4}") for sequence in range(40)]
    history.store([stored(item, received_ns=5) for item in items])
    monkeypatch.setattr(history_module, "_PAGE_ROWS", 3)
    assert list(history.detections(0)) == items
    assert list(history.stored(0)) == [stored(item, received_ns=5) for item in items]
    assert len(history.raw_of([item.uid for item in items])) == 40


def test_each_page_begins_where_the_last_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With two lower bounds SQLite's index served the first, and every page read all that came before it."""
    asked: list[tuple[str, object]] = []
    monkeypatch.setattr(history_module, "_PAGE_ROWS", 3)
    with History.open(tmp_path / "history.db") as history:
        history.store([stored(detection(sequence)) for sequence in range(8)])
        engine = history.database.engine
        note = lambda _connection, _cursor, statement, parameters, *_: asked.append((statement, parameters))  # noqa: E731
        sqlalchemy.event.listen(engine, "before_cursor_execute", note)
        assert len(list(history.stored(EPOCH_NS))) == 8
        sqlalchemy.event.remove(engine, "before_cursor_execute", note)
        pages = [(statement, parameters) for statement, parameters in asked if "ORDER BY" in statement]
        assert len(pages) == 3
        for statement, parameters in pages[1:]:
            with engine.connect() as db:
                plan = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
            (search,) = plan
            assert "(arrival_time_ns,node,boot,sequence)>" in search


def test_what_was_noted_as_not_used_can_be_left_out(history: History) -> None:
    items = [detection(sequence, node=node) for sequence in range(3) for node in "ab"]
    history.store([stored(item) for item in items])
    history.note_dispositions([(items[0].uid, "too_late"), (items[3].uid, "no_site")])
    assert [item.detection for item in history.stored(0, used_only=True)] == [items[1], items[2], *items[4:]]


def test_the_newest_arrival_is_that_before_an_instant(history: History) -> None:
    assert history.newest_arrival_ns(EPOCH_NS) is None
    history.store([stored(detection(sequence)) for sequence in (0, 3, 900)])
    assert history.newest_arrival_ns(EPOCH_NS + 60 * SECOND_NS) == EPOCH_NS + 3 * SECOND_NS


def test_dispositions_are_counted_once(history: History) -> None:
    uids = [detection(sequence).uid for sequence in range(3)]
    history.note_dispositions([])
    history.note_dispositions([(uids[0], "no_site"), (uids[1], "no_site"), (uids[2], "too_late")])
    history.note_dispositions([(uids[0], "too_late"), (DetectionId("b", 0, 0), "untimed")])
    assert history.disposition_counts() == {"a": {"no_site": 2, "too_late": 1}, "b": {"untimed": 1}}


def test_a_revision_is_appended_once_and_never_rewritten(history: History) -> None:
    assert history.append_incident(incident()) is True
    assert history.append_incident(incident()) is False
    with pytest.raises(StorageError, match=r"incident i1 revision 1 is in .* with other content; a revision is never"):
        history.append_incident(incident(x_m=120.5))
    assert history.incident_revisions("i1") == [incident()]


def test_incidents_are_the_latest_revisions_newest_first(history: History) -> None:
    second = incident("i2", 1, time_utc="2018-12-19T00:50:00.000000Z")
    for record in (incident("i1", 1), second, incident("i1", 2, rounds=3)):
        history.append_incident(record)
    assert history.incidents() == [second, incident("i1", 2, rounds=3)]
    assert history.incidents(limit=1) == [second]
    assert history.incidents(limit=1, offset=1) == [incident("i1", 2, rounds=3)]
    later_ns = 1_545_180_600_000_000_000
    assert history.incidents(since_ns=later_ns) == [second]
    assert history.incidents(until_ns=later_ns) == [incident("i1", 2, rounds=3)]
    assert [record.revision for record in history.incident_revisions("i1")] == [1, 2]
    assert history.incident_revisions("nothing") == []


def test_undelivered_are_revisions_without_a_good_receipt_of_that_sink(history: History) -> None:
    records = [
        incident("i1", 1),
        incident("i1", 2, as_of_utc="2018-12-19T00:49:33.000000Z"),
        incident("i0", 1, as_of_utc="2018-12-19T00:49:32.000000Z"),
    ]
    for record in records:
        history.append_incident(record)
    receipts = [
        Receipt("i1", 1, "hook", 1, False, "timeout", 10),
        Receipt("i1", 1, "hook", 2, True, "204", 11),
        Receipt("i0", 1, "hook", 1, False, "500", 12),
        Receipt("i0", 1, "file", 1, True, "", 13),
    ]
    for receipt in receipts:
        history.append_receipt(receipt)
    assert [(r.id, r.revision) for r in history.undelivered("hook")] == [("i0", 1), ("i1", 2)]
    assert [(r.id, r.revision) for r in history.undelivered("file")] == [("i1", 1), ("i1", 2)]
    assert [(r.id, r.revision) for r in history.undelivered("new")] == [("i1", 1), ("i0", 1), ("i1", 2)]
    assert history.undelivered("new", since_ns=1_545_180_573_000_000_000) == [records[1]]
    assert history.receipts("i1") == receipts[:2]
    assert history.receipts("nothing") == []


def test_the_last_word_of_a_node_is_kept(history: History) -> None:
    history.touch_nodes([])
    history.touch_node(NodeStatus("b", 1, 10))
    full = NodeStatus("a", 2, 20, 18, 19, "0.1.0", "m", 48_000, ClockState.PPS, 30, 12, 3, 64, -61.5)
    history.touch_nodes([NodeStatus("a", 1, 5), full])
    assert history.node_statuses() == [full, NodeStatus("b", 1, 10)]


def test_rejects_are_counted_and_kept_short(history: History) -> None:
    history.count_rejects([])
    history.count_reject("malformed", "why", b"x" * 5_000, time_ns=3)
    history.count_reject("malformed", "why", b"x" * 9_000, time_ns=4)
    history.count_rejects([RejectedMessage("malformed", "other", b"", 5), RejectedMessage("too_large", "", b"y", 6)])
    assert history.reject_counts() == {"malformed": 3, "too_large": 1}
    kept = history.rejects()
    assert [(item.reason, item.detail, len(item.raw), item.first_ns, item.count) for item in kept] == [
        ("too_large", "", 1, 6, 1),
        ("malformed", "other", 0, 5, 1),
        ("malformed", "why", 1024, 3, 2),
    ]


def test_endless_rubbish_cannot_fill_the_disk(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history_module, "_EXAMPLES_PER_REASON", 3)
    history.count_rejects([RejectedMessage("malformed", f"{number}", b"") for number in range(10)])
    history.count_reject("malformed", "1", b"")
    history.count_reject("truncated", "", b"")
    assert history.reject_counts() == {"malformed": 11, "truncated": 1}
    assert len(history.rejects()) == 5  # three examples, one that counts the rest, one of another reason
    assert {item.detail: item.count for item in history.rejects()}["1"] == 2


def test_any_bytes_and_any_text_of_a_reject_are_kept(history: History) -> None:
    raw = bytes(range(256)) * 8
    for detail in ("\0 \ud800 " + "\N{PISTOL}" * 5_000, "\N{PISTOL}" * 5_000):
        history.count_rejects([RejectedMessage("malformed", detail, raw, 3)] * 2)
    # Random, so that PostgreSQL cannot pack it: the longest entry that its index has to take.
    history.count_reject("x" * 64, "\N{PISTOL}" * 5_000, random.Random(1).randbytes(5_000))
    assert history.reject_counts() == {"malformed": 4, "x" * 64: 1}
    assert [(item.detail[:4], len(item.detail), item.count) for item in history.rejects()] == [
        ("\N{PISTOL}" * 4, 300, 1),
        ("\N{PISTOL}" * 4, 300, 2),
        ("\N{SYMBOL FOR NULL} ? ", 300, 2),
    ]
    history.append_receipt(Receipt("i1", 1, "hook", 1, False, "502 \0\0", 10))
    assert [item.detail for item in history.receipts("i1")] == ["502 \N{SYMBOL FOR NULL}\N{SYMBOL FOR NULL}"]
    assert history.incident_revisions("i1\0") == []


def test_names_are_sorted_by_their_code_points(history: History) -> None:
    nodes = ["a", "B", "_", "a-1", "a.1", "A", "b", "a1"]
    history.touch_nodes([NodeStatus(node, 1, 1) for node in nodes])
    assert [status.node for status in history.node_statuses()] == sorted(nodes)
    history.store([stored(detection(0, node=node)) for node in nodes if node != "_"])
    assert [item.node for item in history.detections(0)] == sorted(set(nodes) - {"_"})


def test_counts(history: History) -> None:
    assert history.counts() == HistoryCounts(0, 0, 0, 0, 0, 0)
    history.store([stored(detection(0)), stored(detection(1))])
    history.append_incident(incident("i1", 1))
    history.append_incident(incident("i1", 2))
    history.append_receipt(Receipt("i1", 1, "s", 1, True, "", 1))
    history.count_rejects([RejectedMessage("a", "", b"")] * 4)
    history.touch_node(NodeStatus("a", 1, 1))
    assert history.counts() == HistoryCounts(detections=2, incidents=1, revisions=2, receipts=1, rejects=4, nodes=1)


def test_readers_and_writers_in_many_threads(history: History) -> None:
    problems: list[BaseException] = []

    def guarded(work: list[int], boot: int) -> None:
        try:
            for sequence in work:
                assert history.store([stored(detection(sequence, boot=boot))]) == [True]
                history.counts()
                list(history.detections(EPOCH_NS + sequence * SECOND_NS))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=guarded, args=(list(range(20)), boot)) for boot in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert history.counts().detections == 80


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with History.open(path) as history:
        history.store([stored(detection(0))])
        history.append_incident(incident())
        history.count_reject("malformed", "", b"")
    with History.open(f"sqlite:///{path}") as history:
        assert history.counts() == HistoryCounts(1, 1, 1, 0, 1, 0)
        history.count_reject("malformed", "", b"")
        assert history.reject_counts() == {"malformed": 2}


def test_a_full_disk_loses_nothing_that_was_stored(tmp_path: Path) -> None:
    with History.open(tmp_path / "history.db") as history:
        history.store([stored(detection(0))])
        with history.database.engine.connect() as db:
            pages = db.exec_driver_sql("PRAGMA page_count").scalar_one()
            db.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
        batch = [stored(detection(sequence)) for sequence in range(1, 1_000)]
        with pytest.raises(StorageError, match=r"history.db: the disk is full; free space on it"):
            history.store(batch)
        assert list(history.detections(0)) == [detection(0)]
        with history.database.engine.connect() as db:
            db.exec_driver_sql(f"PRAGMA max_page_count={pages + 1_000}")
        assert history.store(batch) == [True] * 999


def test_a_locked_database_says_who_to_look_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fusion_server.database._BUSY_TIMEOUT_S", 0.01)
    path = tmp_path / "history.db"
    with History.open(path) as history, closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="another process holds the database; stop it"):
            history.store([stored(detection(0))])
        other.execute("ROLLBACK")
        assert history.store([stored(detection(0))]) == [True]


def _not_sqlite(path: Path) -> None:
    path.write_bytes(b"this is no database, it is a text of more than sixteen bytes" * 100)


def _another_application(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE accounts (id INTEGER)")


def _newer(path: Path) -> None:
    with History.open(path):
        pass
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE shotline_meta SET value = '99'")


def _damaged(path: Path) -> None:
    with History.open(path) as history:
        history.store([stored(detection(sequence)) for sequence in range(500)])
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_not_sqlite, "the file is not a history; name another file, or restore this one from a backup"),
        (_another_application, "is a database of something else .it has the table 'accounts'"),
        (_newer, "has tables of version 99, this Shotline knows 3"),
        (_damaged, "the database is damaged; move it aside and restore a backup"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, spoil: object, says: str) -> None:
    path = tmp_path / "history.db"
    assert callable(spoil)
    spoil(path)
    with pytest.raises(StorageError, match=says):
        History.open(path)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("{folder}/missing/history.db", "create its folder and give this user write permission there"),
        ("sqlite:///file:{folder}/there.db?mode=ro&uri=true", "give this user write permission on the file"),
        ("mysql://host/shotline", "keeps its history in sqlite or postgresql"),
        ("postgresql+nosuchdriver://user:secret@host/shotline", "no such driver; write postgresql.psycopg://"),
        ("postgresql+pg8000://user:secret@host/shotline", "needs the driver 'pg8000'; install it with pip"),
        ("postgresql+psycopg://user:secret@/shotline?host={folder}", "PostgreSQL does not answer; start it"),
        ("://", "is not a path or a database URL such as sqlite:///history.db"),
    ],
)
def test_a_place_that_cannot_be_used_says_why(tmp_path: Path, url: str, says: str) -> None:
    with closing(sqlite3.connect(tmp_path / "there.db")) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE shotline_meta (key TEXT PRIMARY KEY, value TEXT)")
        db.execute("INSERT INTO shotline_meta VALUES ('schema_version', '1')")
        db.commit()
    with pytest.raises(StorageError, match=says) as caught:
        History.open(url.format(folder=tmp_path))
    assert "secret" not in str(caught.value)


def test_a_row_that_is_not_a_detection_is_named(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    with History.open(path) as history:
        history.store([stored(detection(3, boot=255))])
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE detections SET raw = x'00'")
        with pytest.raises(StorageError, match=r"detection a/ff/3 in .*history.db cannot be read \(malformed"):
            list(history.detections(0))
