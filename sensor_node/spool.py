"""What the node still owes the server: every detection stays here until the server says it is committed.

`SqliteSpool` keeps it on disk, so a killed process or a network that is gone for a week loses nothing; `MemorySpool` is
for replays and tests. What the server rejects is kept apart with the reason and never sent again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from shotline.errors import StorageError
from shotline.messages import Detection, encode

__all__ = ["MemorySpool", "Spool", "SpoolCounts", "SpooledDetection", "SqliteSpool"]


@dataclass(frozen=True, slots=True)
class SpooledDetection:
    """A detection as it will be sent: its identity within the node, and its bytes."""

    boot: int
    sequence: int
    data: bytes


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """How much is waiting, and how much the server refused."""

    unacked: int
    rejected: int


class Spool(Protocol):
    """Where detections wait for their acknowledgement. Used by one thread at a time."""

    def append(self, detection: Detection) -> None:
        """Keep a detection; once more is harmless. Raises StorageError when it cannot be kept."""
        ...

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first."""
        ...

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed; unknown ones are ignored."""
        ...

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take; an unknown one is ignored."""
        ...

    def counts(self) -> SpoolCounts:
        """Return how many are waiting and how many were refused; cheap."""
        ...

    def close(self) -> None:
        """Let go of the file."""
        ...


class MemorySpool:
    """A spool that lives and dies with the process."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[int, int], SpooledDetection] = {}
        self._rejected: dict[tuple[int, int], tuple[SpooledDetection, str]] = {}

    def append(self, detection: Detection) -> None:
        """Keep a detection; once more is harmless."""
        item = SpooledDetection(detection.boot, detection.sequence, encode(detection))
        self._waiting.setdefault((item.boot, item.sequence), item)

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first."""
        return [item for item, _ in zip(self._waiting.values(), range(limit), strict=False)]

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed."""
        for sequence in sequences:
            self._waiting.pop((boot, sequence), None)

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take."""
        item = self._waiting.pop((boot, sequence), None)
        if item is not None:
            self._rejected[boot, sequence] = (item, reason)

    def counts(self) -> SpoolCounts:
        """Return how many are waiting and how many were refused."""
        return SpoolCounts(len(self._waiting), len(self._rejected))

    def close(self) -> None:
        """Do nothing."""


_SCHEMA = """
CREATE TABLE IF NOT EXISTS waiting (
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL,
    UNIQUE (boot, sequence));
CREATE TABLE IF NOT EXISTS rejected (
    id INTEGER PRIMARY KEY, boot INTEGER NOT NULL, sequence INTEGER NOT NULL, data BLOB NOT NULL, reason TEXT NOT NULL,
    UNIQUE (boot, sequence));
"""


class SqliteSpool:
    """A spool in one SQLite file.

    WAL with ``synchronous=NORMAL``: all of it survives ``kill -9``; a power cut may cost the last moments.

    Parameters
    ----------
    path : Path
        The file; made when it is not there. Its folder must exist.

    Raises
    ------
    StorageError
        The file cannot be opened or written, or is not a spool.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._storage_errors():
            self._db = sqlite3.connect(path, isolation_level=None, timeout=5.0, check_same_thread=False)
        try:
            with self._storage_errors():
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
                self._unacked: int = self._db.execute("SELECT count(*) FROM waiting").fetchone()[0]
                self._rejected: int = self._db.execute("SELECT count(*) FROM rejected").fetchone()[0]
        except StorageError:
            self._db.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, detection: Detection) -> None:
        """Keep a detection on disk; once more is harmless."""
        row = (detection.boot, detection.sequence, encode(detection))
        with self._storage_errors():
            done = self._db.execute("INSERT OR IGNORE INTO waiting (boot, sequence, data) VALUES (?, ?, ?)", row)
        self._unacked += done.rowcount

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first."""
        with self._storage_errors():
            rows = self._db.execute("SELECT boot, sequence, data FROM waiting ORDER BY id LIMIT ?", (limit,)).fetchall()
        return [SpooledDetection(*row) for row in rows]

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed, all or none."""
        with self._transaction():
            done = self._db.executemany(
                "DELETE FROM waiting WHERE boot = ? AND sequence = ?", [(boot, sequence) for sequence in sequences]
            )
        self._unacked -= max(0, done.rowcount)

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take."""
        uid = (boot, sequence)
        with self._transaction():
            moved = self._db.execute(
                "INSERT OR REPLACE INTO rejected (boot, sequence, data, reason) "
                "SELECT boot, sequence, data, ? FROM waiting WHERE boot = ? AND sequence = ?",
                (reason, *uid),
            ).rowcount
            self._db.execute("DELETE FROM waiting WHERE boot = ? AND sequence = ?", uid)
        self._unacked -= moved
        self._rejected += moved

    def counts(self) -> SpoolCounts:
        """Return how many are waiting and how many were refused."""
        return SpoolCounts(self._unacked, self._rejected)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._storage_errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise StorageError(f"spool {self._path}: {_advice(str(error))}") from error


def _advice(seen: str) -> str:
    for words, advice in (
        ("full", "the disk is full; free space on it, until then detections wait in memory only"),
        ("locked", "another process holds the file; stop the second node process"),
        ("readonly", "the file cannot be written; give this user write permission on it and on its folder"),
        ("not a database", "the file is not a spool; name another file, or move this one aside"),
        ("malformed", "the file is damaged; move it aside and start again, and keep it for diagnosis"),
        ("unable to open", "the file cannot be opened; create its folder and give this user write permission there"),
        ("disk i/o", "the disk fails to read or write; check it (dmesg), replace an SD card that is worn out"),
    ):
        if words in seen.lower():
            return f"{advice} [{seen}]"
    return f"the file cannot be used: {seen}"
