"""The file of a spool: SQLite, one transaction for each change, whole or not at all.

WAL with ``synchronous=NORMAL``: all of it survives ``kill -9``; a power cut costs what the kernel has not written yet,
some 35 s at most (``dirty_expire_centisecs``). A durable write is ``synchronous=FULL``: it is on the card when the call
returns, with all that was written before it. A WAL that is torn by a power cut is read as far as it is whole.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from glob import escape
from pathlib import Path

from sensor_node.spool import ROW_BYTES, SpooledDetection, SpoolLimits, excess
from shotline.errors import MessageError, StorageError
from shotline.messages import Detection, decode

__all__ = [
    "DamagedSpoolError",
    "DiskFailsError",
    "DiskFullError",
    "FileCounts",
    "Lost",
    "SpoolFile",
    "look",
    "move_aside",
    "salvage",
]

_PAGE_BYTES = 1024
"""A change touches two or three pages. Small ones wear the card less."""
_CHECKPOINT_PAGES = 1000
_BUSY_S = 1.0
_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE (boot, sequence));
CREATE TABLE IF NOT EXISTS rejected (
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL, reason TEXT NOT NULL,
    UNIQUE (boot, sequence));
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_HEAD_BYTES = 4096
_PRIMARY_CODE = 0xFF
_TABLES = ("waiting", "rejected", "counts")


class DamagedSpoolError(StorageError):
    """The file is not a database any more, or its pages contradict each other."""


class DiskFailsError(StorageError):
    """The disk fails to read or write."""


class DiskFullError(StorageError):
    """The disk has no room."""


@dataclass(frozen=True, slots=True)
class Lost:
    """What was lost, by kind; see `sensor_node.spool.SpoolCounts`."""

    dropped_detections: int = 0
    dropped_rejected: int = 0
    dropped_heartbeats: int = 0
    damaged_files: int = 0

    def __add__(self, other: Lost) -> Lost:
        return Lost(
            self.dropped_detections + other.dropped_detections,
            self.dropped_rejected + other.dropped_rejected,
            self.dropped_heartbeats + other.dropped_heartbeats,
            self.damaged_files + other.damaged_files,
        )

    def as_dict(self) -> dict[str, int]:
        """Return each count under its name."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class FileCounts:
    """What a file holds, and what it has lost since it was made."""

    waiting: int
    rejected: int
    size_bytes: int
    lost: Lost


_ERRORS: dict[int, type[StorageError]] = {
    sqlite3.SQLITE_CORRUPT: DamagedSpoolError,
    sqlite3.SQLITE_NOTADB: DamagedSpoolError,
    sqlite3.SQLITE_FULL: DiskFullError,
    sqlite3.SQLITE_IOERR: DiskFailsError,
}


class SpoolFile:
    """Detections in one SQLite file.

    Parameters
    ----------
    path : Path
        The file; made when it is not there. Its folder must exist.
    limits : SpoolLimits

    Raises
    ------
    DamagedSpoolError
        The file is damaged; see `salvage` and `move_aside`.
    DiskFullError, DiskFailsError
        The disk has no room, or fails.
    StorageError
        The file is not a spool, or may not be written.
    """

    def __init__(self, path: Path, limits: SpoolLimits) -> None:
        self._path = path
        self._limits = limits
        self._refuse_text()
        with _storage_errors(path):
            self._db = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S, check_same_thread=False)
        try:
            with _storage_errors(self._path):
                self._prepare()
                self.counts = _count(self._db)
        except BaseException:
            self._db.close()
            raise

    def write(
        self,
        *,
        add: Sequence[SpooledDetection] = (),
        settled: Mapping[tuple[int, int], str | None] | None = None,
        lost: Lost | None = None,
        durable: bool = False,
    ) -> None:
        """Make one change: all of it, or none.

        Parameters
        ----------
        add : sequence of SpooledDetection
            To keep; those kept already are left as they are.
        settled : mapping of (boot, sequence) to str | None
            What the server took (None) and what it refused (why).
        lost : Lost, optional
            To add to the counts.
        durable : bool
            Wait until it is on the card.

        Raises
        ------
        StorageError
            Nothing was changed.
        """
        with _storage_errors(self._path):
            if durable:
                self._db.execute("PRAGMA synchronous=FULL")
            try:
                with self._transaction():
                    counts = self._settle(settled or {}, self.counts)
                    counts = self._add(add, counts)
                    counts = self._make_room(replace(counts, lost=counts.lost + (lost or Lost())))
                    if counts.lost != self.counts.lost:
                        rows = counts.lost.as_dict().items()
                        self._db.executemany("INSERT OR REPLACE INTO counts (name, value) VALUES (?, ?)", rows)
            finally:
                if durable:
                    self._db.execute("PRAGMA synchronous=NORMAL")
        self.counts = counts

    def unacked(self, limit: int, without: Collection[tuple[int, int]] = ()) -> list[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first, leaving some out."""
        return self._waiting("id", limit, without)

    def newest(self, limit: int, without: Collection[tuple[int, int]] = ()) -> list[SpooledDetection]:
        """Return the last ``limit`` of the waiting detections, oldest of them first, leaving some out."""
        return self._waiting("id DESC", limit, without)[::-1]

    def holds(self, boot: int, sequence: int) -> bool:
        """Return whether a detection is waiting."""
        query = "SELECT 1 FROM waiting WHERE boot = ? AND sequence = ?"
        with _storage_errors(self._path):
            return self._db.execute(query, (boot, sequence)).fetchone() is not None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _refuse_text(self) -> None:
        """Raise StorageError when the file is somebody's text: it is named by mistake, not damaged."""
        head = b""
        with suppress(OSError), self._path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
        if head and b"\0" not in head and head.isascii():
            raise StorageError(f"spool {self._path}: the file is not a spool but a text; name another file")

    def _prepare(self) -> None:
        known = {row[0] for row in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if known and not known <= set(_TABLES):
            raise StorageError(f"spool {self._path}: the file is not a spool but another database; name another file")
        self._db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        found = self._db.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise DamagedSpoolError(f"spool {self._path}: the file is damaged [{found}]")
        if known != set(_TABLES):
            self._db.executescript(_SCHEMA)

    def _settle(self, settled: Mapping[tuple[int, int], str | None], counts: FileCounts) -> FileCounts:
        waiting, rejected, size_bytes = counts.waiting, counts.rejected, counts.size_bytes
        for uid, reason in settled.items():
            gone = self._db.execute(
                "DELETE FROM waiting WHERE boot = ? AND sequence = ? RETURNING data", uid
            ).fetchall()
            for (data,) in gone:
                waiting -= 1
                size_bytes -= ROW_BYTES + len(data)
                if reason is not None:
                    self._db.execute("DELETE FROM rejected WHERE boot = ? AND sequence = ?", uid)
                    self._db.execute(
                        "INSERT INTO rejected (boot, sequence, data, reason) VALUES (?, ?, ?, ?)",
                        (*uid, data, reason),
                    )
                    rejected += 1
                    size_bytes += ROW_BYTES + len(data)
        return replace(counts, waiting=waiting, rejected=rejected, size_bytes=size_bytes)

    def _add(self, add: Sequence[SpooledDetection], counts: FileCounts) -> FileCounts:
        waiting, size_bytes = counts.waiting, counts.size_bytes
        for item in add:
            new = self._db.execute(
                "INSERT OR IGNORE INTO waiting (boot, sequence, data) VALUES (?, ?, ?)",
                (item.boot, item.sequence, item.data),
            ).rowcount
            waiting += new
            size_bytes += new * (ROW_BYTES + len(item.data))
        return replace(counts, waiting=waiting, size_bytes=size_bytes)

    def _make_room(self, counts: FileCounts) -> FileCounts:
        """Drop what the server refused, then what it is owed, oldest first, until the limits are kept."""
        gone, counts = self._drop_oldest("rejected", counts)
        counts = replace(counts, rejected=counts.rejected - gone, lost=counts.lost + Lost(dropped_rejected=gone))
        gone, counts = self._drop_oldest("waiting", counts)
        return replace(counts, waiting=counts.waiting - gone, lost=counts.lost + Lost(dropped_detections=gone))

    def _drop_oldest(self, table: str, counts: FileCounts) -> tuple[int, FileCounts]:
        sizes = self._db.execute(f"SELECT length(data) FROM {table} ORDER BY id")
        gone, gone_bytes = excess(
            counts.waiting + counts.rejected,
            counts.size_bytes,
            self._limits,
            (ROW_BYTES + size for (size,) in sizes),
        )
        sizes.close()
        if gone:
            self._db.execute(f"DELETE FROM {table} WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT ?)", (gone,))
        return gone, replace(counts, size_bytes=counts.size_bytes - gone_bytes)

    def _waiting(self, order: str, limit: int, without: Collection[tuple[int, int]]) -> list[SpooledDetection]:
        found: list[SpooledDetection] = []
        with _storage_errors(self._path):
            rows = self._db.execute(f"SELECT boot, sequence, data FROM waiting ORDER BY {order}")
            while len(found) < limit and (row := rows.fetchone()) is not None:
                item = SpooledDetection(*row)
                if item.uid not in without:
                    found.append(item)
            rows.close()
        return found

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise


def look(path: Path) -> FileCounts:
    """Return what a file holds, without changing it or disturbing the node that uses it.

    Raises
    ------
    StorageError
        It cannot be read, or is not a spool.
    """
    with (
        _storage_errors(path),
        closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=_BUSY_S)) as db,
    ):
        return _count(db)


def salvage(path: Path) -> tuple[list[SpooledDetection], Lost]:
    """Return what can still be read of a damaged file: detections that wait, oldest first, and what it has lost.

    The rows are read from both ends to the damage; one that does not decode as what its row names is left out.
    """
    found: dict[int, SpooledDetection] = {}
    kept: dict[str, int] = {}
    with suppress(sqlite3.Error), closing(sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)) as db:
        for order in ("id", "id DESC"):
            with suppress(sqlite3.Error):
                for row in db.execute(f"SELECT id, boot, sequence, data FROM waiting NOT INDEXED ORDER BY {order}"):
                    if _is_whole(*row[1:]):
                        found[row[0]] = SpooledDetection(*row[1:])
        with suppress(sqlite3.Error):
            kept = dict(db.execute("SELECT name, value FROM counts"))
    lost = Lost(
        **{name: value for name in Lost().as_dict() if isinstance(value := kept.get(name, 0), int) and value >= 0}
    )
    return [found[row] for row in sorted(found)], lost


def _is_whole(boot: object, sequence: object, data: object) -> bool:
    try:
        message = decode(data) if isinstance(data, bytes) else None
    except MessageError:
        return False
    return isinstance(message, Detection) and (message.boot, message.sequence) == (boot, sequence)


def move_aside(path: Path) -> Path:
    """Rename a damaged file and its WAL, so that neither is overwritten; return the new name.

    Raises
    ------
    StorageError
        It cannot be renamed.
    """
    number = 1
    while any(path.parent.glob(f"{escape(path.name)}.damaged-{number}*")):
        number += 1
    aside = path.with_name(f"{path.name}.damaged-{number}")
    try:
        for suffix in ("-wal", "-shm", ""):
            part = path.with_name(path.name + suffix)
            if part.exists():
                part.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StorageError(
            f"spool {path}: the file is damaged and cannot be moved aside ({error.strerror}); "
            "give this user write permission on its folder"
        ) from error
    return aside


def _count(db: sqlite3.Connection) -> FileCounts:
    waiting, waiting_bytes = db.execute("SELECT count(*), total(length(data)) FROM waiting").fetchone()
    rejected, rejected_bytes = db.execute("SELECT count(*), total(length(data)) FROM rejected").fetchone()
    kept: dict[str, int] = dict(db.execute("SELECT name, value FROM counts").fetchall())
    size_bytes = int(waiting_bytes + rejected_bytes) + ROW_BYTES * (waiting + rejected)
    return FileCounts(waiting, rejected, size_bytes, Lost(**{name: kept.get(name, 0) for name in Lost().as_dict()}))


@contextmanager
def _storage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & _PRIMARY_CODE
        raise _ERRORS.get(code, StorageError)(f"spool {path}: {_advice(str(error))}") from error


def _advice(seen: str) -> str:
    for words, advice in (
        ("full", "the disk is full; free space on it, until then detections wait in memory only"),
        ("locked", "another process holds the file; stop the second node process"),
        ("readonly", "the file cannot be written; give this user write permission on it and on its folder"),
        ("not a database", "the file is damaged"),
        ("malformed", "the file is damaged"),
        ("unable to open", "the file cannot be opened; create its folder and give this user write permission there"),
        ("disk i/o", "the disk fails to read or write; check it (dmesg), replace an SD card that is worn out"),
    ):
        if words in seen.lower():
            return f"{advice} [{seen}]"
    return f"the file cannot be used: {seen}"
