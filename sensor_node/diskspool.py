"""A spool on disk that goes on when the disk does not.

While the file can be written every detection is in it before it is sent. While it cannot (full, failing, taken out)
detections wait in memory, and go to the file, in order, when it can be written again. A damaged file is moved aside,
what can be read of it is kept, and a new one takes its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from sensor_node.spool import MemorySpool, SpoolCounts, SpooledDetection, SpoolLimits, is_sure_shot
from sensor_node.spoolfile import DamagedSpoolError, DiskFailsError, DiskFullError, Lost, SpoolFile, move_aside, salvage
from shotline.errors import StorageError
from shotline.messages import Detection, encode

__all__ = ["DiskSpool"]

_SETTLED_PER_WRITE = 64
"""Acknowledgements wait for the next detection to be written with it, but no more than so many."""
_HEARTBEATS_PER_WRITE = 60
_ROWS_PER_WRITE = 256


class DiskSpool:
    """A spool in one file, with memory to fall back on.

    What the server took is forgotten in memory at once and in the file with the next write: a card is written once for
    each detection. After ``kill -9`` up to 64 are sent once more, and the server knows them.

    Parameters
    ----------
    path : Path
        The file; made when it is not there. Its folder must exist.
    limits : SpoolLimits, optional

    Raises
    ------
    StorageError
        The path is a mistake: no folder, no permission, somebody else's file. A full, failing or damaged disk is none:
        see `problem`.
    """

    def __init__(self, path: Path, limits: SpoolLimits | None = None) -> None:
        self._path = path
        self._limits = limits or SpoolLimits()
        self._memory = MemorySpool(self._limits.most_in_memory)
        self._settled: dict[tuple[int, int], str | None] = {}
        """What the server took (None) or refused (why), and the file still holds."""
        self._lost = Lost()
        """Not counted in the file yet."""
        self._file: SpoolFile | None = None
        self._open_again = False
        self._just_replaced = False
        """Nothing was written to the new file yet."""
        self._problem = ""
        self.notice = ""
        """What was found damaged and what was done about it; "" when nothing was."""
        try:
            self._open()
        except (DiskFullError, DiskFailsError) as error:
            self._problem = str(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def problem(self) -> str:
        """Why detections are not on disk, in plain words; "" while they are."""
        return self._problem

    def append(self, detection: Detection) -> None:
        """Keep a detection on disk, or in memory while the disk fails; once more is harmless."""
        item = SpooledDetection(detection.boot, detection.sequence, encode(detection))
        if not self._empty_memory() or not self._write([item], durable=is_sure_shot(detection)):
            self._hold([item])

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first; what is in memory is the youngest."""
        found: list[SpooledDetection] = []
        if self._file is not None:
            try:
                found = self._file.unacked(limit, self._settled)
            except StorageError as error:
                self._fail(error)
        return [*found, *self._memory.unacked(limit - len(found))]

    def newest(self, limit: int) -> Sequence[SpooledDetection]:
        """Return the last ``limit`` of the waiting detections, oldest of them first."""
        found = list(self._memory.newest(limit))
        if self._file is not None:
            try:
                found = [*self._file.newest(limit - len(found), self._settled), *found]
            except StorageError as error:
                self._fail(error)
        return found

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed."""
        self._memory.ack(boot, sequences)
        for sequence in sequences:
            self._settle(boot, sequence, None)
        if len(self._settled) >= _SETTLED_PER_WRITE:
            self._write()

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take."""
        self._empty_memory()
        self._memory.reject(boot, sequence, reason)
        self._settle(boot, sequence, reason)

    def drop_heartbeat(self) -> None:
        """Count a heartbeat that could not be sent."""
        self._lost += Lost(dropped_heartbeats=1)
        if self._lost.dropped_heartbeats % _HEARTBEATS_PER_WRITE == 0:
            self._write()

    def flush(self) -> None:
        """Write what is only in memory, as far as the disk takes it; open the file again when the disk failed."""
        if self._file is None or self._open_again:
            try:
                self._open()
            except StorageError as error:
                self._fail(error)
                return
        if self._empty_memory() and (self._settled or self._lost != Lost() or self._problem):
            self._write()

    def counts(self) -> SpoolCounts:
        """Return how many are waiting, refused and lost."""
        memory, lost = self._memory.counts(), self._lost
        waiting = refused = 0
        if self._file is not None:
            counts = self._file.counts
            waiting, refused, lost = counts.waiting, counts.rejected, lost + counts.lost
        refused += memory.rejected + sum(reason is not None for reason in self._settled.values())
        return SpoolCounts(
            unacked=waiting - len(self._settled) + memory.unacked,
            rejected=refused + lost.dropped_rejected,
            in_memory=memory.unacked,
            **lost.as_dict(),
        )

    def close(self) -> None:
        """Write what is only in memory, and close the file."""
        if self._file is not None:
            self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        try:
            file = SpoolFile(self._path, self._limits)
        except DamagedSpoolError as error:
            self._replace(error)
            return
        if self._file is not None:
            self._file.close()
        self._file, self._open_again = file, False
        self._settled = {uid: reason for uid, reason in self._settled.items() if file.holds(*uid)}

    def _replace(self, error: DamagedSpoolError) -> None:
        """Move a damaged file aside, and put what can be read of it into a new one."""
        if self._just_replaced:
            raise DiskFailsError(f"{error}, as was the one before it; replace the card") from error
        self._just_replaced = True
        if self._file is not None:
            self._file.close()
            self._file = None
        rows, lost = salvage(self._path)
        aside = move_aside(self._path)
        rows = [row for row in rows if row.uid not in self._settled]
        self._settled.clear()
        self._lost += lost + Lost(damaged_files=1)
        self.notice = f"{error}; it was moved to {aside.name}, {len(rows)} waiting detections were read from it"
        younger = self._memory.unacked(self._limits.most_in_memory)
        for row in younger:
            self._memory.ack(row.boot, [row.sequence])
        try:
            self._file = SpoolFile(self._path, self._limits)
        except StorageError as worse:
            self._problem = str(worse)
        while rows and self._write(rows[:_ROWS_PER_WRITE], durable=True):
            del rows[:_ROWS_PER_WRITE]
        self._hold([*rows, *younger])

    def _settle(self, boot: int, sequence: int, reason: str | None) -> None:
        if self._file is None:
            return
        try:
            if self._file.holds(boot, sequence):
                self._settled[boot, sequence] = reason
        except StorageError as error:
            self._fail(error)

    def _hold(self, items: Sequence[SpooledDetection]) -> None:
        """Keep in memory; what must make room is counted."""
        before = self._memory.counts().dropped_detections
        for item in items:
            self._memory.put(item)
        self._lost += Lost(dropped_detections=self._memory.counts().dropped_detections - before)

    def _empty_memory(self) -> bool:
        """Move to the file what waits in memory; return whether nothing is left there."""
        while rows := self._memory.unacked(_ROWS_PER_WRITE):
            if not self._write(rows, durable=True):
                return False
            for row in rows:
                self._memory.ack(row.boot, [row.sequence])
        return True

    def _write(self, rows: Sequence[SpooledDetection] = (), *, durable: bool = False) -> bool:
        """Write rows and all that waits to be written with them; return whether the disk took it."""
        if self._file is None:
            return False
        try:
            self._file.write(add=rows, settled=self._settled, lost=self._lost, durable=durable)
        except StorageError as error:
            self._fail(error)
            return False
        self._settled.clear()
        self._lost = Lost()
        self._problem = ""
        self._just_replaced = False
        return True

    def _fail(self, error: StorageError) -> None:
        """Note why the disk does not do what it should; replace the file when it is damaged."""
        self._problem = str(error)
        self._open_again = isinstance(error, DiskFailsError)
        if isinstance(error, DamagedSpoolError):
            try:
                self._replace(error)
            except StorageError as worse:
                self._problem = str(worse)
