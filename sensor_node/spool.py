"""What the node still owes the server: every detection stays here until the server says it is committed.

The rules, without a disk: what a spool does, how much it holds, what goes first when it is full, in which order it
drains. `MemorySpool` is for replays and tests; `sensor_node.diskspool.DiskSpool` keeps the same on disk. What the
server rejects is kept apart with the reason and never sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from shotline.domain import ImpulseKind
from shotline.messages import Detection, encode

__all__ = [
    "ROW_BYTES",
    "MemorySpool",
    "Spool",
    "SpoolCounts",
    "SpoolLimits",
    "SpooledDetection",
    "excess",
    "interleave",
    "is_sure_shot",
]

ROW_BYTES = 64
"""What a row costs in a file besides its data: its identity twice (row and index), and unused space of pages."""
_SURE_GUNSHOT = 0.9


@dataclass(frozen=True, slots=True)
class SpooledDetection:
    """A detection as it will be sent: its identity within the node, and its bytes."""

    boot: int
    sequence: int
    data: bytes

    @property
    def uid(self) -> tuple[int, int]:
        """Boot and sequence."""
        return self.boot, self.sequence


@dataclass(frozen=True, slots=True)
class SpoolCounts:
    """What is waiting, what the server refused, and what was lost. All but ``in_memory`` outlive a restart.

    Parameters
    ----------
    unacked : int
        Detections that wait for the server.
    rejected : int
        Detections that the server refused.
    in_memory : int
        Of those waiting, how many are in memory only, because the disk fails.
    dropped_detections, dropped_rejected : int
        Detections that had to make room: owed, and refused before.
    dropped_heartbeats : int
        Heartbeats that could not be sent when they were due. None is kept: an old one has no reader.
    damaged_files : int
        Files found damaged, moved aside and replaced.
    """

    unacked: int
    rejected: int
    in_memory: int = 0
    dropped_detections: int = 0
    dropped_rejected: int = 0
    dropped_heartbeats: int = 0
    damaged_files: int = 0


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """How much a spool may hold.

    Parameters
    ----------
    most_rows : int
        Detections on disk, refused ones included. 100,000 are 41 days without a server at 100 an hour.
    most_bytes : int
        Their bytes, with `ROW_BYTES` for each. 100,000 detections of 176 bytes are 24 MB: the rows run out first.
    most_in_memory : int
        Detections held in memory while the disk fails: 10,000 are four days at 100 an hour, and some 4 MB.
    """

    most_rows: int = 100_000
    most_bytes: int = 64 * 1024 * 1024
    most_in_memory: int = 10_000


class Spool(Protocol):
    """Where detections wait for their acknowledgement. Used by one thread at a time."""

    @property
    def problem(self) -> str:
        """Why detections are not kept as they should be, in plain words; "" while they are."""
        ...

    def append(self, detection: Detection) -> None:
        """Keep a detection; once more is harmless."""
        ...

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first."""
        ...

    def newest(self, limit: int) -> Sequence[SpooledDetection]:
        """Return the last ``limit`` of the waiting detections, oldest of them first."""
        ...

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed; unknown ones are ignored."""
        ...

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take; an unknown one is ignored."""
        ...

    def drop_heartbeat(self) -> None:
        """Count a heartbeat that could not be sent."""
        ...

    def flush(self) -> None:
        """Write what is only in memory, as far as the disk takes it."""
        ...

    def counts(self) -> SpoolCounts:
        """Return how many are waiting, refused and lost; cheap."""
        ...

    def close(self) -> None:
        """Write what is only in memory and let go of the file."""
        ...


class MemorySpool:
    """A spool that lives and dies with the process.

    Parameters
    ----------
    most : int | None
        Detections to hold at most; over that the oldest is dropped and counted. None for no bound.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._waiting: dict[tuple[int, int], SpooledDetection] = {}
        self._rejected: dict[tuple[int, int], tuple[SpooledDetection, str]] = {}
        self._dropped_detections = 0
        self._dropped_heartbeats = 0

    @property
    def problem(self) -> str:
        """Never one."""
        return ""

    def append(self, detection: Detection) -> None:
        """Keep a detection; once more is harmless."""
        self.put(SpooledDetection(detection.boot, detection.sequence, encode(detection)))

    def put(self, item: SpooledDetection) -> None:
        """Keep a detection that is encoded already."""
        self._waiting.setdefault(item.uid, item)
        if self._most is not None and len(self._waiting) > self._most:
            del self._waiting[next(iter(self._waiting))]
            self._dropped_detections += 1

    def unacked(self, limit: int) -> Sequence[SpooledDetection]:
        """Return up to ``limit`` waiting detections, oldest first."""
        return list(islice(self._waiting.values(), limit))

    def newest(self, limit: int) -> Sequence[SpooledDetection]:
        """Return the last ``limit`` of the waiting detections, oldest of them first."""
        return list(islice(reversed(self._waiting.values()), limit))[::-1]

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        """Forget detections that the server committed."""
        for sequence in sequences:
            self._waiting.pop((boot, sequence), None)

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        """Set a detection apart that the server will never take."""
        item = self._waiting.pop((boot, sequence), None)
        if item is not None:
            self._rejected[boot, sequence] = (item, reason)

    def drop_heartbeat(self) -> None:
        """Count a heartbeat that could not be sent."""
        self._dropped_heartbeats += 1

    def flush(self) -> None:
        """Do nothing."""

    def counts(self) -> SpoolCounts:
        """Return how many are waiting, refused and lost."""
        return SpoolCounts(
            unacked=len(self._waiting),
            rejected=len(self._rejected),
            dropped_detections=self._dropped_detections,
            dropped_heartbeats=self._dropped_heartbeats,
        )

    def close(self) -> None:
        """Do nothing."""


def is_sure_shot(detection: Detection) -> bool:
    """Return whether a detection is so surely a gunshot that it must survive even a power cut."""
    return (detection.probability(ImpulseKind.GUNSHOT) or 0.0) > _SURE_GUNSHOT


def excess(rows: int, size_bytes: int, limits: SpoolLimits, oldest_bytes: Iterable[int]) -> tuple[int, int]:
    """Return how many of the oldest must go for the rest to be within the limits, and their bytes.

    Parameters
    ----------
    rows, size_bytes : int
        What is held.
    limits : SpoolLimits
    oldest_bytes : iterable of int
        Bytes of each that may go, oldest first; not read further than needed.
    """
    gone = gone_bytes = 0
    sizes = iter(oldest_bytes)
    while rows - gone > limits.most_rows or size_bytes - gone_bytes > limits.most_bytes:
        size = next(sizes, None)
        if size is None:
            break
        gone, gone_bytes = gone + 1, gone_bytes + size
    return gone, gone_bytes


def interleave(old: Sequence[SpooledDetection], fresh: Sequence[SpooledDetection], room: int) -> list[SpooledDetection]:
    """Return what to send next: fresh and old by turns, each in its order, none twice, as many as there is room for.

    Fresh first: where there is room for an odd number, each time anew, old ones would otherwise have more turns. When
    one side runs out the other has every turn.
    """
    sides = (iter(fresh), iter(old))
    chosen: dict[tuple[int, int], SpooledDetection] = {}
    turn, idle = 0, 0
    while len(chosen) < room and idle < len(sides):
        item = next((item for item in sides[turn] if item.uid not in chosen), None)
        if item is None:
            idle += 1
        else:
            idle = 0
            chosen[item.uid] = item
        turn = 1 - turn
    return list(chosen.values())
