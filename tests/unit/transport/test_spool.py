from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sensor_node import diskspool
from sensor_node.diskspool import DiskSpool
from sensor_node.spool import (
    ROW_BYTES,
    MemorySpool,
    Spool,
    SpoolCounts,
    SpooledDetection,
    SpoolLimits,
    excess,
    interleave,
    is_sure_shot,
)
from sensor_node.spoolfile import SpoolFile, look, salvage
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
ROOM = SpoolLimits(most_in_memory=5)


def detection(sequence: int, boot: int = PLAIN.boot) -> Detection:
    return msgspec.structs.replace(PLAIN, sequence=sequence, boot=boot)


def spooled(sequence: int, boot: int = PLAIN.boot) -> SpooledDetection:
    return SpooledDetection(boot, sequence, encode(detection(sequence, boot)))


def sequences(spool: Spool) -> list[int]:
    return [item.sequence for item in spool.unacked(1_000_000)]


def database(spool: DiskSpool) -> sqlite3.Connection:
    assert spool._file is not None
    return spool._file._db


def fill_up(spool: DiskSpool) -> None:
    """Let the file grow no more."""
    db = database(spool)
    db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")


def make_room(spool: DiskSpool) -> None:
    database(spool).execute("PRAGMA max_page_count=100000")


@pytest.fixture(params=["memory", "disk"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    made: Spool = MemorySpool() if request.param == "memory" else DiskSpool(tmp_path / "spool.db")
    yield made
    made.close()


class TestEither:
    def test_what_is_appended_waits_oldest_first(self, spool: Spool) -> None:
        for sequence, boot in ((5, 9), (3, 9), (4, 1), (3, 9)):
            spool.append(detection(sequence, boot))
        assert list(spool.unacked(10)) == [spooled(5, 9), spooled(3, 9), spooled(4, 1)]
        assert list(spool.unacked(2)) == [spooled(5, 9), spooled(3, 9)]
        assert list(spool.newest(2)) == [spooled(3, 9), spooled(4, 1)]
        assert spool.counts() == SpoolCounts(unacked=3, rejected=0)
        assert spool.problem == ""

    def test_what_is_acknowledged_is_forgotten(self, spool: Spool) -> None:
        for sequence in range(4):
            spool.append(detection(sequence))
        spool.append(detection(0, boot=1))
        spool.ack(PLAIN.boot, [0, 2, 2, 99])
        spool.ack(PLAIN.boot, [])
        assert list(spool.unacked(10)) == [spooled(1), spooled(3), spooled(0, 1)]
        assert list(spool.newest(2)) == [spooled(3), spooled(0, 1)]
        assert spool.counts() == SpoolCounts(unacked=3, rejected=0)

    def test_what_is_rejected_is_set_apart(self, spool: Spool) -> None:
        for sequence in range(2):
            spool.append(detection(sequence))
        spool.reject(PLAIN.boot, 0, "malformed: at $[9]")
        spool.reject(PLAIN.boot, 99, "unknown here")
        assert list(spool.unacked(10)) == [spooled(1)]
        assert spool.counts() == SpoolCounts(unacked=1, rejected=1)
        spool.flush()
        assert spool.counts() == SpoolCounts(unacked=1, rejected=1)

    def test_heartbeats_that_could_not_be_sent_are_counted(self, spool: Spool) -> None:
        for _ in range(130):
            spool.drop_heartbeat()
        assert spool.counts() == SpoolCounts(unacked=0, rejected=0, dropped_heartbeats=130)


class TestPolicy:
    def test_excess_counts_the_oldest_that_must_go(self) -> None:
        limits = SpoolLimits(most_rows=3, most_bytes=100)
        assert excess(3, 100, limits, [40, 30, 30]) == (0, 0)
        assert excess(4, 100, limits, [40, 20, 20, 20]) == (1, 40)
        assert excess(3, 101, limits, [1, 50, 50]) == (1, 1)
        assert excess(3, 102, limits, [1, 50, 51]) == (2, 51)
        assert excess(1, 200, limits, [200]) == (1, 200)
        assert excess(9, 900, limits, []) == (0, 0)

    def test_old_and_fresh_take_turns_and_none_comes_twice(self) -> None:
        old, fresh = [spooled(n) for n in range(6)], [spooled(n) for n in (4, 5, 6)]
        assert [item.sequence for item in interleave(old, fresh, 100)] == [4, 0, 5, 1, 6, 2, 3]
        assert [item.sequence for item in interleave(old, fresh, 3)] == [4, 0, 5]
        assert [item.sequence for item in interleave([], fresh, 2)] == [4, 5]
        assert [item.sequence for item in interleave(old, [], 3)] == [0, 1, 2]
        assert interleave(old, fresh, 0) == interleave([], [], 5) == []

    @pytest.mark.parametrize(("gunshot_bp", "sure"), [(9_001, True), (9_000, False), (0, False)])
    def test_a_sure_shot_is_above_nine_in_ten(self, gunshot_bp: int, sure: bool) -> None:
        heard = msgspec.structs.replace(PLAIN, probabilities_bp=(gunshot_bp, 10_000 - gunshot_bp, 0, 0, 0, 0))
        assert is_sure_shot(heard) is sure
        assert not is_sure_shot(PLAIN)

    def test_bounded_memory_drops_the_oldest_and_counts_it(self) -> None:
        spool = MemorySpool(most=3)
        for sequence in range(5):
            spool.append(detection(sequence))
        assert sequences(spool) == [2, 3, 4]
        assert spool.counts() == SpoolCounts(unacked=3, rejected=0, dropped_detections=2)


class TestFile:
    def test_all_of_it_is_there_after_a_restart(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool:
            for sequence in range(4):
                spool.append(detection(sequence))
            spool.ack(PLAIN.boot, [1])
            spool.reject(PLAIN.boot, 2, "malformed: why")
            spool.drop_heartbeat()
        with DiskSpool(path) as spool:
            assert list(spool.unacked(10)) == [spooled(0), spooled(3)]
            assert spool.counts() == SpoolCounts(unacked=2, rejected=1, dropped_heartbeats=1)
        with closing(sqlite3.connect(path)) as db:
            rows = db.execute("SELECT boot, sequence, data, reason FROM rejected").fetchall()
        assert rows == [(PLAIN.boot, 2, encode(detection(2)), "malformed: why")]

    def test_acknowledgements_are_written_with_the_next_detection_or_when_there_are_many(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool:
            for sequence in range(200):
                spool.append(detection(sequence))
            spool.ack(PLAIN.boot, range(63))
            assert (spool.counts().unacked, look(path).waiting) == (137, 200)
            spool.ack(PLAIN.boot, [63])
            assert (spool.counts().unacked, look(path).waiting) == (136, 136)
            spool.ack(PLAIN.boot, [64])
            assert look(path).waiting == 136
            spool.append(detection(200))
            assert (spool.counts().unacked, look(path).waiting) == (136, 136)

    def test_a_file_of_the_first_version_is_taken_over(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for table, more in (("waiting", ""), ("rejected", ", reason TEXT NOT NULL")):
                db.execute(
                    f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, "
                    f"data BLOB NOT NULL{more}, UNIQUE (boot, sequence))"
                )
            row = (PLAIN.boot, 7, encode(detection(7)))
            db.execute("INSERT INTO waiting (boot, sequence, data) VALUES (?, ?, ?)", row)
        with DiskSpool(path) as spool:
            spool.append(detection(8))
            assert sequences(spool) == [7, 8]

    @pytest.mark.parametrize("by", ["rows", "bytes"])
    def test_what_is_over_the_limits_goes_oldest_first_and_is_counted_for_good(self, tmp_path: Path, by: str) -> None:
        size_bytes = ROW_BYTES + len(encode(detection(100)))
        limits = SpoolLimits(most_rows=10) if by == "rows" else SpoolLimits(most_bytes=10 * size_bytes)
        path = tmp_path / "spool.db"
        with DiskSpool(path, limits) as spool:
            for sequence in range(100, 112):
                spool.append(detection(sequence))
            assert sequences(spool) == list(range(102, 112))
            spool.reject(PLAIN.boot, 105, "why")
            spool.reject(PLAIN.boot, 106, "why")
            spool.flush()
            # What the server refused makes room before what it is owed.
            spool.append(detection(112))
            assert sequences(spool) == [102, 103, 104, *range(107, 113)]
            spool.append(detection(113))
            spool.append(detection(114))
            assert sequences(spool) == [103, 104, *range(107, 115)]
            lost = {"dropped_detections": 3, "dropped_rejected": 2}
            assert spool.counts() == SpoolCounts(unacked=10, rejected=2, **lost)
        with DiskSpool(path, limits) as spool:
            assert spool.counts() == SpoolCounts(unacked=10, rejected=2, **lost)
            assert look(path).size_bytes == 10 * size_bytes
        with DiskSpool(path, replace(limits, most_rows=4)) as spool:
            spool.append(detection(115))
            assert sequences(spool) == [112, 113, 114, 115]
            assert spool.counts().dropped_detections == 10

    def test_files_stay_within_the_bytes_and_what_the_wal_takes(self, tmp_path: Path) -> None:
        limits = SpoolLimits(most_bytes=256 * 1024)
        with DiskSpool(tmp_path / "spool.db", limits) as spool:
            for sequence in range(5_000):
                spool.append(detection(sequence))
            assert spool.counts().dropped_detections > 0
            held_bytes = sum(path.stat().st_size for path in tmp_path.iterdir() if not path.name.endswith("-shm"))
        # WAL: 1000 pages of 1 KiB with their headers, and the transaction that fills it. File: a tenth more at most.
        assert held_bytes < 1.1 * limits.most_bytes + 1_010 * (1024 + 24)

    def test_a_place_that_cannot_be_used_says_why(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="create its folder"):
            DiskSpool(tmp_path / "missing" / "spool.db")
        text = tmp_path / "notes.txt"
        text.write_text("no database, but a text that is long enough to be looked at as one\n" * 99)
        with pytest.raises(StorageError, match="the file is not a spool but a text; name another file"):
            DiskSpool(text)
        other = tmp_path / "history.db"
        with closing(sqlite3.connect(other)) as db:
            db.execute("CREATE TABLE detections (node)")
        with pytest.raises(StorageError, match="not a spool but another database; name another file"):
            DiskSpool(other)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["history.db", "notes.txt"]
        with pytest.raises(StorageError, match=r"spool .*missing.db: the file cannot be opened"):
            look(tmp_path / "missing.db")

    def test_a_sure_shot_waits_for_the_card_and_others_do_not(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[bool] = []
        write = SpoolFile.write

        def note(file: SpoolFile, *, durable: bool = False, **rest: object) -> None:
            asked.append(durable)
            write(file, durable=durable, **rest)  # type: ignore[arg-type]

        monkeypatch.setattr(SpoolFile, "write", note)
        with DiskSpool(tmp_path / "spool.db") as spool:
            spool.append(detection(0))
            spool.append(msgspec.structs.replace(detection(1), probabilities_bp=(9_500, 500, 0, 0, 0, 0)))
            spool.append(detection(2))
            assert asked == [False, True, False]
            (level,) = database(spool).execute("PRAGMA synchronous").fetchone()
            assert level == 1  # NORMAL again


class TestFullDisk:
    def test_memory_holds_it_in_order_and_the_file_takes_it_when_there_is_room(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool:
            spool.append(detection(0))
            fill_up(spool)
            for sequence in range(1, 60):
                spool.append(detection(sequence))
            counts = spool.counts()
            assert counts.unacked == 60
            assert 20 < counts.in_memory < 60
            assert spool.problem.startswith(f"spool {path}: the disk is full; free space on it, until then")
            assert sequences(spool) == list(range(60))
            assert [item.sequence for item in spool.newest(59)] == list(range(1, 60))
            spool.ack(PLAIN.boot, [0, 58])
            spool.reject(PLAIN.boot, 57, "why")
            assert (spool.counts().unacked, spool.counts().rejected) == (57, 1)
            make_room(spool)
            spool.append(detection(60))
            assert (spool.counts().in_memory, spool.problem) == (0, "")
            assert sequences(spool) == [*range(1, 57), 59, 60]
        with DiskSpool(path) as spool:
            assert sequences(spool) == [*range(1, 57), 59, 60]

    def test_memory_is_bounded_and_what_it_drops_is_counted_in_the_file_later(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path, ROOM) as spool:
            fill_up(spool)
            for sequence in range(60):
                spool.append(detection(sequence))
            counts = spool.counts()
            on_disk = counts.unacked - 5
            assert (counts.in_memory, counts.dropped_detections) == (5, 60 - 5 - on_disk)
            assert sequences(spool) == [*range(on_disk), *range(55, 60)]
            make_room(spool)
            spool.flush()
            assert spool.counts() == replace(counts, in_memory=0)
        with DiskSpool(path, ROOM) as spool:
            assert spool.counts() == replace(counts, in_memory=0)

    def test_acknowledgements_that_cannot_be_written_are_remembered(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool, closing(sqlite3.connect(path, isolation_level=None)) as other:
            for sequence in range(200):
                spool.append(detection(sequence))
            database(spool).execute("PRAGMA busy_timeout=1")
            other.execute("BEGIN IMMEDIATE")
            spool.ack(PLAIN.boot, range(150))
            assert "stop the second node process" in spool.problem
            assert (spool.counts().unacked, sequences(spool)) == (50, list(range(150, 200)))
            other.execute("ROLLBACK")
            spool.flush()
            assert (spool.problem, look(path).waiting) == ("", 50)

    def test_a_disk_that_is_full_at_the_start_is_no_reason_to_stop(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(path: Path, _: SpoolLimits) -> SpoolFile:
            raise diskspool.DiskFullError(f"spool {path}: the disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(diskspool, "SpoolFile", full)
            spool = DiskSpool(tmp_path / "spool.db")
            spool.append(detection(0))
            spool.reject(PLAIN.boot, 9, "unknown here")
            spool.flush()
            assert spool.counts() == SpoolCounts(unacked=1, rejected=0, in_memory=1)
            assert spool.problem.endswith("the disk is full")
        spool.flush()
        assert spool.counts() == SpoolCounts(unacked=1, rejected=0)
        assert spool.problem == ""
        spool.close()
        assert look(tmp_path / "spool.db").waiting == 1

    def test_a_disk_that_fails_is_opened_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object, **__: object) -> None:
            raise diskspool.DiskFailsError("spool: the disk fails to read or write")

        with DiskSpool(tmp_path / "spool.db") as spool:
            spool.append(detection(0))
            spool.ack(PLAIN.boot, [0])
            spool.append(detection(1))
            first = spool._file
            monkeypatch.setattr(first, "write", fail)
            spool.append(detection(2))
            assert spool.counts() == SpoolCounts(unacked=2, rejected=0, in_memory=1)
            spool.flush()
            assert spool._file is not first
            assert (spool.problem, sequences(spool)) == ("", [1, 2])


class TestDamage:
    def filled(self, path: Path, count: int = 400) -> None:
        with DiskSpool(path) as spool:
            for sequence in range(count):
                spool.append(detection(sequence))
            spool.drop_heartbeat()

    def test_a_page_overwritten_costs_what_is_on_it(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        self.filled(path)
        data = bytearray(path.read_bytes())
        middle = len(data) // 2048 * 1024
        data[middle : middle + 1024] = b"\xff" * 1024
        path.write_bytes(data)
        with DiskSpool(path) as spool:
            saved = sequences(spool)
            assert saved == sorted(set(saved))
            assert 350 < len(saved) <= 400
            counts = SpoolCounts(unacked=len(saved), rejected=0, dropped_heartbeats=1, damaged_files=1)
            assert spool.counts() == counts
            assert spool.notice.startswith(f"spool {path}: the file is damaged [")
            assert spool.notice.endswith(
                f"it was moved to spool.db.damaged-1, {len(saved)} waiting detections were read from it"
            )
            assert spool.problem == ""
        assert (tmp_path / "spool.db.damaged-1").read_bytes() == data
        with DiskSpool(path) as spool:
            assert spool.counts() == counts
            assert spool.notice == ""

    @pytest.mark.parametrize("byte", [b"\0", b"\xff"])
    def test_a_head_overwritten_makes_it_another_file(self, tmp_path: Path, byte: bytes) -> None:
        path = tmp_path / "spool.db"
        for number in (1, 2):
            self.filled(path, 10)
            data = byte * 4096 + path.read_bytes()[4096:]
            path.write_bytes(data)
            with DiskSpool(path) as spool:
                assert spool.counts().damaged_files == 1
                spool.append(detection(1))
                assert sequences(spool) == [1]
            assert (tmp_path / f"spool.db.damaged-{number}").read_bytes() == data
            path.unlink()

    def test_a_torn_wal_is_read_as_far_as_it_is_whole(self, tmp_path: Path) -> None:
        made = tmp_path / "made.db"
        torn = tmp_path / "torn.db"
        kept: list[int] = []
        with DiskSpool(made) as spool:
            for sequence in range(50):
                spool.append(detection(sequence))
            base, wal = made.read_bytes(), made.with_name("made.db-wal").read_bytes()
        for cut in range(0, len(wal), len(wal) // 40):
            for garbage in (b"", bytes(5_000)):  # cut off, or blocks that were promised and never written
                torn.write_bytes(base)
                torn.with_name("torn.db-wal").write_bytes(wal[:cut] + garbage)
                with DiskSpool(torn) as spool:
                    found = sequences(spool)
                    assert found == list(range(len(found)))
                    assert spool.counts().damaged_files == 0
                    spool.append(detection(1_000))
                    assert sequences(spool) == [*found, 1_000]
                    kept.append(len(found))
        assert kept == sorted(kept)
        assert kept[-1] >= 48

    def test_damage_found_at_work_is_dealt_with_at_work(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        self.filled(path, 5_000)  # more than the cache of pages holds
        with DiskSpool(path) as spool:
            spool.ack(PLAIN.boot, [0, 1])
            database(spool).execute("PRAGMA cache_size=1")
            size_bytes = path.stat().st_size
            with path.open("r+b") as file:
                for page in range(20, size_bytes // 1024, 40):
                    file.seek(page * 1024)
                    file.write(b"\xff" * 1024)
            found = sequences(spool)
            assert spool.counts().damaged_files == 1
            spool.append(detection(9_999))
            assert sequences(spool)[-1] == 9_999
            assert not {0, 1} & set(found)
            assert "it was moved to spool.db.damaged-1" in spool.notice
        assert (tmp_path / "spool.db.damaged-1").stat().st_size == size_bytes

    def test_a_name_that_is_no_text_any_more_costs_its_detection_only(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool:
            for sequence in range(3):
                spool.append(detection(sequence))
        spoiled = encode(detection(1)).replace(b"\xa1a", b"\xa1\xff", 1)
        with closing(sqlite3.connect(path)) as db, db:
            db.execute("UPDATE waiting SET data = ? WHERE sequence = 1", (spoiled,))
        rows, _ = salvage(path)
        assert [row.sequence for row in rows] == [0, 2]

    def test_one_damaged_file_after_the_other_is_the_card(self, tmp_path: Path) -> None:
        path = tmp_path / "spool.db"
        with DiskSpool(path) as spool:
            for _ in range(3):
                spool._fail(diskspool.DamagedSpoolError("spool: the file is damaged"))
            assert spool.problem == "spool: the file is damaged, as was the one before it; replace the card"
            assert spool.counts().damaged_files == 1
            assert len(list(tmp_path.glob("*.damaged-?"))) == 1
