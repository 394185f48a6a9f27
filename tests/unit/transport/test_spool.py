from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from sensor_node.spool import MemorySpool, Spool, SpoolCounts, SpooledDetection, SqliteSpool
from shotline.domain import ClockState
from shotline.errors import StorageError
from shotline.messages import Detection, LevelReference, encode

PLAIN = Detection(
    node="a",
    boot=2**63 - 1,
    sequence=0,
    arrival_time_ns=1,
    arrival_sigma_ns=1,
    clock_state=ClockState.PPS,
    probabilities_bp=(),
    peak_level_db=-1.0,
    level_reference=LevelReference.DBFS,
    snr_db=20.0,
    rise_time_s=0.001,
    model_id="m",
)


def detection(sequence: int, boot: int = PLAIN.boot) -> Detection:
    return msgspec.structs.replace(PLAIN, sequence=sequence, boot=boot)


def spooled(sequence: int, boot: int = PLAIN.boot) -> SpooledDetection:
    return SpooledDetection(boot, sequence, encode(detection(sequence, boot)))


@pytest.fixture(params=["memory", "sqlite"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    made: Spool = MemorySpool() if request.param == "memory" else SqliteSpool(tmp_path / "spool.db")
    yield made
    made.close()


def test_what_is_appended_waits_oldest_first(spool: Spool) -> None:
    for sequence, boot in ((5, 9), (3, 9), (4, 1), (3, 9)):
        spool.append(detection(sequence, boot))
    assert list(spool.unacked(10)) == [spooled(5, 9), spooled(3, 9), spooled(4, 1)]
    assert list(spool.unacked(2)) == [spooled(5, 9), spooled(3, 9)]
    assert spool.counts() == SpoolCounts(unacked=3, rejected=0)


def test_what_is_acknowledged_is_forgotten(spool: Spool) -> None:
    for sequence in range(4):
        spool.append(detection(sequence))
    spool.append(detection(0, boot=1))
    spool.ack(PLAIN.boot, [0, 2, 2, 99])
    spool.ack(PLAIN.boot, [])
    assert list(spool.unacked(10)) == [spooled(1), spooled(3), spooled(0, 1)]
    assert spool.counts() == SpoolCounts(unacked=3, rejected=0)


def test_what_is_rejected_is_set_apart(spool: Spool) -> None:
    for sequence in range(2):
        spool.append(detection(sequence))
    spool.reject(PLAIN.boot, 0, "malformed: at $[9]")
    spool.reject(PLAIN.boot, 99, "unknown here")
    assert list(spool.unacked(10)) == [spooled(1)]
    assert spool.counts() == SpoolCounts(unacked=1, rejected=1)


def test_a_file_has_all_of_it_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with SqliteSpool(path) as spool:
        for sequence in range(4):
            spool.append(detection(sequence))
        spool.ack(PLAIN.boot, [1])
        spool.reject(PLAIN.boot, 2, "malformed: why")
    with SqliteSpool(path) as spool:
        assert list(spool.unacked(10)) == [spooled(0), spooled(3)]
        assert spool.counts() == SpoolCounts(unacked=2, rejected=1)
    with closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT boot, sequence, data, reason FROM rejected").fetchall()
    assert rows == [(PLAIN.boot, 2, encode(detection(2)), "malformed: why")]


def test_a_full_disk_raises_and_keeps_what_was_there(tmp_path: Path) -> None:
    with SqliteSpool(tmp_path / "spool.db") as spool:
        pages = spool._db.execute("PRAGMA page_count").fetchone()[0]
        spool._db.execute(f"PRAGMA max_page_count={pages + 2}")

        def fill() -> None:
            for sequence in range(1_000):
                spool.append(detection(sequence))

        with pytest.raises(StorageError, match=r"spool .*spool.db: the disk is full; free space on it, until then"):
            fill()
        kept = spool.counts().unacked
        assert 0 < kept < 1_000
        spool._db.execute(f"PRAGMA max_page_count={pages + 1_000}")
        spool.append(detection(kept))
        assert list(spool.unacked(1_000)) == [spooled(sequence) for sequence in range(kept + 1)]


def test_a_failed_acknowledgement_forgets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "spool.db"
    with SqliteSpool(path) as spool, closing(sqlite3.connect(path, isolation_level=None)) as other:
        spool.append(detection(0))
        spool._db.execute("PRAGMA busy_timeout=1")
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError, match="stop the second node process"):
            spool.ack(PLAIN.boot, [0])
        other.execute("ROLLBACK")
        assert spool.counts().unacked == 1
        spool.ack(PLAIN.boot, [0])
        assert spool.counts().unacked == 0


def test_a_place_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="create its folder"):
        SqliteSpool(tmp_path / "missing" / "spool.db")
    other = tmp_path / "notes.txt"
    other.write_text("no database, but a text that is long enough to be looked at as one\n" * 99)
    with pytest.raises(StorageError, match="the file is not a spool; name another file"):
        SqliteSpool(other)
