"""What a fault run has shown: what was made, what is stored, and how long after each fault all was there again."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from shotline.messages import Detection, decode, iter_frames

__all__ = ["Happened", "Made", "Stored", "Verdict", "judge", "read_log", "read_replay", "read_stored"]

Uid = tuple[str, int, int]
_LOG_LINE = re.compile(r"boot (\d+)|making (\d+)|kept (\d+) (\d+) ([0-9a-f]{64}) (\d+)")


@dataclass(frozen=True, slots=True)
class Made:
    """A detection that must be stored: SHA-256 of its message, and when it was made (or its sound was heard)."""

    sha256: str
    wall_ns: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A detection that is stored."""

    sha256: str
    received_ns: int


@dataclass(slots=True)
class Log:
    """What a live node said."""

    kept: dict[Uid, Made] = field(default_factory=dict)
    making: set[Uid] = field(default_factory=set)
    """Said to be on their way to the spool, and no more: the node was killed before the next line."""
    in_memory: int = 0
    """How many were in memory only when they were kept, or others were: the disk was full."""
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault as it was, wall time. ``ended_ns``: listening again, started again, mended, room again."""

    kind: str
    who: str
    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class Recovery:
    """How long after a fault all that was made before its end was stored; None: some of it never was.

    ``met``: faults of which one began before that, so that the time is not this one's alone.
    """

    fault: Happened
    waiting: int
    recovery_s: float | None
    met: tuple[str, ...]


@dataclass(slots=True)
class Verdict:
    """The figures.

    ``saved_by_spool``: committed to a spool whose node was killed before the line that says so; stored all the same.
    """

    made: int
    stored: int
    lost: list[Uid]
    unexpected: list[Uid]
    changed: list[Uid]
    duplicate_rows: int
    saved_by_spool: int
    recoveries: list[Recovery]
    delays_s: list[float]

    @property
    def is_clean(self) -> bool:
        """Whether every detection made is stored exactly once, as it was made, and nothing else is."""
        return self.made == self.stored and not (self.lost or self.unexpected or self.changed or self.duplicate_rows)


def read_log(path: Path, node: str) -> Log:
    """Read the log of a live node; a line cut short by a kill is left out."""
    log, boot = Log(), -1
    for line in path.read_text().split("\n")[:-1]:
        if not (found := _LOG_LINE.fullmatch(line)):
            raise ValueError(f"{path}: a line of a node's log, saw {line!r}")
        if found[1]:
            boot = int(found[1])
            log.starts += 1
        elif found[2]:
            log.making.add((node, boot, int(found[2])))
        else:
            uid = (node, boot, int(found[3]))
            log.making.discard(uid)
            log.kept[uid] = Made(found[5], int(found[4]))
            log.in_memory += int(found[6]) > 0
    return log


def read_replay(path: Path, *, wall_minus_event_ns: int) -> dict[Uid, Made]:
    """Read what `shotline node replay` made of a file: detections by identity, made when their sound was heard."""
    made: dict[Uid, Made] = {}
    for frame in iter_frames(path.read_bytes()):
        detection = decode(frame)
        assert isinstance(detection, Detection)
        made[tuple(detection.uid)] = Made(_sha256(frame), detection.arrival_time_ns + wall_minus_event_ns)
    return made


def read_stored(database: Path) -> tuple[dict[Uid, Stored], int]:
    """Return what the server has stored, and how many rows more than identities there are."""
    with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT node, boot, sequence, raw, received_ns FROM detections").fetchall()
    stored = {(row[0], row[1], row[2]): Stored(_sha256(row[3]), row[4]) for row in rows}
    return stored, len(rows) - len(stored)


def judge(
    expected: dict[Uid, Made],
    maybe: Iterable[Uid],
    stored: dict[Uid, Stored],
    duplicate_rows: int,
    faults: Sequence[Happened],
) -> Verdict:
    """Compare what was made with what is stored.

    Parameters
    ----------
    expected : dict
        What nodes said they keep, and what the files hold.
    maybe : iterable
        What a node was about to keep when it was killed. Stored or not, each is right: stored, it counts as made.
    stored, duplicate_rows
        See `read_stored`.
    faults : sequence of Happened
    """
    saved = {uid for uid in maybe if uid in stored}
    both = [uid for uid in expected if uid in stored]
    return Verdict(
        made=len(expected) + len(saved),
        stored=len(stored),
        lost=sorted(expected.keys() - stored.keys()),
        unexpected=sorted(stored.keys() - expected.keys() - saved),
        changed=sorted(uid for uid in both if stored[uid].sha256 != expected[uid].sha256),
        duplicate_rows=duplicate_rows,
        saved_by_spool=len(saved),
        recoveries=[_recovery(fault, faults, expected, stored) for fault in faults],
        delays_s=sorted((stored[uid].received_ns - expected[uid].wall_ns) / 1e9 for uid in both),
    )


def _recovery(
    fault: Happened, faults: Sequence[Happened], expected: dict[Uid, Made], stored: dict[Uid, Stored]
) -> Recovery:
    """Look at what was made before a fault's end by those whom it concerns."""
    before = [uid for uid, made in expected.items() if made.wall_ns <= fault.ended_ns and _concerns(fault, uid[0])]
    if any(uid not in stored for uid in before):
        return Recovery(fault, 0, None, ())
    waiting = [uid for uid in before if stored[uid].received_ns > fault.ended_ns]
    last_ns = max((stored[uid].received_ns for uid in waiting), default=fault.ended_ns)
    nodes = {uid[0] for uid in waiting}
    met = {
        other.kind
        for other in faults
        if other is not fault
        and other.started_ns <= last_ns
        and other.ended_ns > fault.ended_ns
        and any(_concerns(other, node) for node in nodes)
    }
    return Recovery(fault, len(waiting), (last_ns - fault.ended_ns) / 1e9, tuple(sorted(met)))


def _concerns(fault: Happened, node: str) -> bool:
    """Return whether a fault comes between a node and the server."""
    return fault.who in ("", "server", node)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
