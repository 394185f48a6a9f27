"""The record that is kept: every detection, every revision of every incident, every receipt, every reject, every clip.

Append-only: nothing here is overwritten, save what is state and not history (the last word of each node, and how often
the same reject was counted). SQLite in one file by default, PostgreSQL by URL. Any thread may call any method.

A commit is durable when the method returns (SQLite runs with ``synchronous=FULL``), so what was acknowledged to a node
survives a power cut as well as ``kill -9``.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import sqlalchemy as sa

from fusion_server.clips import ClipOutcome, CollectedClip, RefusedClip
from fusion_server.database import Database, ManyRows
from fusion_server.tables import (
    CLIP_REFUSALS,
    CLIPS,
    DETECTIONS,
    DISPOSITIONS,
    INCIDENT_DETECTIONS,
    INCIDENTS,
    NODE_STATUS,
    RECEIPTS,
    REJECTS,
)
from shotline.domain import ClockState, DetectionId
from shotline.errors import InputError, MessageError, StorageError
from shotline.messages import Detection, decode
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc

__all__ = [
    "ClipHead",
    "CountedReject",
    "History",
    "HistoryCounts",
    "NodeStatus",
    "Receipt",
    "RejectedMessage",
    "StoredDetection",
]

_RAW_REJECT_BYTES = 1024
_REJECT_DETAIL_CHARACTERS = 300
"""So that reason, detail and bytes fit into one entry of PostgreSQL's index, 2704 bytes."""
_EXAMPLES_PER_REASON = 1000
_PAGE_ROWS = 1000
_OVERFLOW_DETAIL = f"(more than {_EXAMPLES_PER_REASON} different ones; the rest are counted here, their bytes not kept)"


@dataclass(frozen=True, slots=True)
class StoredDetection:
    """A detection as it came: the message, its bytes, and the server's wall time when it was received."""

    detection: Detection
    raw: bytes
    received_ns: int


@dataclass(frozen=True, slots=True)
class RejectedMessage:
    """Bytes that were not taken, why, and how often. Only the first 1 KiB is kept."""

    reason: str
    detail: str
    raw: bytes
    time_ns: int = 0
    count: int = 1


@dataclass(frozen=True, slots=True)
class CountedReject:
    """A reject as kept: how often exactly this was seen, and when first."""

    reason: str
    detail: str
    raw: bytes
    first_ns: int
    count: int


@dataclass(frozen=True, slots=True)
class ClipHead:
    """What is known of a clip without its sound; see `fusion_server.clips.CollectedClip`.

    Parameters
    ----------
    uid : DetectionId
    received_ns, start_time_ns : int
    sample_rate_hz : int
    sha256 : bytes
    digest_ok : bool | None
    size_bytes : int
        Of the FLAC file.
    """

    uid: DetectionId
    received_ns: int
    start_time_ns: int
    sample_rate_hz: int
    sha256: bytes
    digest_ok: bool | None
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a sink said to one attempt to deliver one revision of an incident.

    Parameters
    ----------
    incident_id, revision
        What was delivered.
    sink : str
        Name of the sink.
    attempt : int
        1 for the first.
    ok : bool
        Whether the sink took it.
    detail : str
        The sink's answer, or what went wrong.
    time_ns : int
        Wall time of the attempt.
    """

    incident_id: str
    revision: int
    sink: str
    attempt: int
    ok: bool
    detail: str
    time_ns: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The last word of a node. Instants are the server's wall time; None or "" where the node has not said it yet.

    Parameters
    ----------
    node : str
    boot : int
        Of the last message.
    last_heard_ns : int
        Last message of any kind.
    hello_ns, heartbeat_ns : int | None
        Last message of that kind.
    software_version, model_id, sample_rate_hz
        From the last hello.
    clock_state, clock_sigma_ns
        From the last hello or heartbeat.
    next_sequence, unacked, gap_samples, noise_level_db
        From the last heartbeat.
    """

    node: str
    boot: int
    last_heard_ns: int
    hello_ns: int | None = None
    heartbeat_ns: int | None = None
    software_version: str = ""
    model_id: str = ""
    sample_rate_hz: int | None = None
    clock_state: ClockState | None = None
    clock_sigma_ns: int | None = None
    next_sequence: int | None = None
    unacked: int | None = None
    gap_samples: int | None = None
    noise_level_db: float | None = None


@dataclass(frozen=True, slots=True)
class HistoryCounts:
    """How much is kept."""

    detections: int
    incidents: int
    revisions: int
    receipts: int
    rejects: int
    nodes: int


def _names(table: sa.Table) -> tuple[str, ...]:
    return tuple(table.columns.keys())


_IDENTITIES_PER_QUERY = 100
_KNOWN = sa.select(DETECTIONS.c.node, DETECTIONS.c.boot, DETECTIONS.c.sequence, DETECTIONS.c.raw).where(
    sa.or_(
        *(
            sa.and_(*(DETECTIONS.c[part] == sa.bindparam(f"{part}{index}") for part in DetectionId._fields))
            for index in range(_IDENTITIES_PER_QUERY)
        )
    )
)
"""Which of so many detections are there. Spelled out, because SQLite reads the whole table for a list of triples."""

_INCIDENT_ENCODER = msgspec.json.Encoder()
_INCIDENT_DECODER = msgspec.json.Decoder(IncidentRecord)


class History:
    """The store. Open it with `History.open`, close it with `close` or a ``with`` statement."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._new_detections = ManyRows(
            database, database.insert(DETECTIONS).on_conflict_do_nothing(), _names(DETECTIONS)
        )
        self._new_dispositions = ManyRows(
            database, database.insert(DISPOSITIONS).on_conflict_do_nothing(), _names(DISPOSITIONS)
        )
        status = database.insert(NODE_STATUS)
        changed = {name: status.excluded[name] for name in _names(NODE_STATUS) if name != "node"}
        self._last_words = ManyRows(
            database, status.on_conflict_do_update(index_elements=["node"], set_=changed), _names(NODE_STATUS)
        )
        self._examples: Counter[str] = Counter()
        self.recount_rejects()

    @classmethod
    def open(cls, url_or_path: str | Path) -> History:
        """Open a history, or make a new one where there is none; see `Database.open`."""
        database = Database.open(url_or_path)
        try:
            return cls(database)
        except BaseException:
            database.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Where it is, without a password."""
        return self.database.name

    def close(self) -> None:
        """Close every connection."""
        self.database.close()

    # --- detections ---------------------------------------------------------------------------------------------

    def store(self, items: Sequence[StoredDetection]) -> list[bool]:
        """Store detections in one transaction; return for each whether it was new.

        A detection whose identity is there already is left as it is; see `raw_of` to find out whether it differs.

        Raises
        ------
        StorageError
            Nothing was stored.
        """
        if not items:
            return []
        rows = [(*item.detection.uid, item.detection.arrival_time_ns, item.received_ns, item.raw) for item in items]
        with self.database.writing() as db:
            step = db.begin_nested()
            if self._new_detections.execute(db, rows) == len(rows):
                step.commit()
                return [True] * len(rows)
            step.rollback()
            # After a loss of the connection whole spools come again: one question for all of them, not one for each.
            known = set(self._known(db, [item.detection.uid for item in items]))
            new: list[bool] = []
            for item in items:
                new.append(item.detection.uid not in known)
                known.add(item.detection.uid)
            if any(new):
                self._new_detections.execute(db, [row for row, is_new in zip(rows, new, strict=True) if is_new])
            return new

    def raw_of(self, uids: Sequence[DetectionId]) -> dict[DetectionId, bytes]:
        """Return the stored bytes of those of the given detections that are there."""
        with self.database.reading() as db:
            return self._known(db, uids)

    def detections_of(self, uids: Iterable[DetectionId]) -> list[Detection]:
        """Return those of the given detections that are there, by identity."""
        return [self._decoded(raw, uid) for uid, raw in sorted(self.raw_of(list(uids)).items())]

    @staticmethod
    def _known(db: sa.Connection, uids: Sequence[DetectionId]) -> dict[DetectionId, bytes]:
        found: dict[DetectionId, bytes] = {}
        for start in range(0, len(uids), _IDENTITIES_PER_QUERY):
            page = uids[start : start + _IDENTITIES_PER_QUERY]
            page = [*page, *[page[-1]] * (_IDENTITIES_PER_QUERY - len(page))]
            asked = {f"{part}{index}": value for index, uid in enumerate(page) for part, value in uid._asdict().items()}
            found.update((DetectionId(row[0], row[1], row[2]), row[3]) for row in db.execute(_KNOWN, asked))
        return found

    def detections(self, since_ns: int, until_ns: int | None = None) -> Iterator[Detection]:
        """Yield detections in order of arrival time, from ``since_ns`` on and before ``until_ns``.

        Equal arrival times are ordered by identity, so the order is the same each time. No lock is held meanwhile.
        """
        return (item.detection for item in self.stored(since_ns, until_ns))

    def stored(
        self, since_ns: int, until_ns: int | None = None, *, used_only: bool = False
    ) -> Iterator[StoredDetection]:
        """Yield detections as `detections` does, with their bytes and when they were received.

        ``used_only`` leaves out those of which it was noted that they are kept but not used.
        """
        table = DETECTIONS.c
        key = (table.arrival_time_ns, table.node, table.boot, table.sequence)
        query = sa.select(*key, table.raw, table.received_ns).order_by(*key).limit(_PAGE_ROWS)
        if until_ns is not None:
            query = query.where(table.arrival_time_ns < until_ns)
        if used_only:
            same = (DISPOSITIONS.c[part] == table[part] for part in DetectionId._fields)
            query = query.where(~sa.exists().where(*same))
        after: tuple[Any, ...] | None = None
        while True:
            # One bound, not two: of two, SQLite's index serves the wrong one.
            bound = table.arrival_time_ns >= since_ns if after is None else sa.tuple_(*key) > sa.tuple_(*after)
            with self.database.reading() as db:
                rows = db.execute(query.where(bound)).all()
            for _, node, boot, sequence, raw, received_ns in rows:
                yield StoredDetection(self._decoded(raw, DetectionId(node, boot, sequence)), raw, received_ns)
            if len(rows) < _PAGE_ROWS:
                return
            after = tuple(rows[-1][:4])

    def newest_arrival_ns(self, until_ns: int) -> int | None:
        """Return the latest arrival time that is kept, of those not after ``until_ns``; None without any."""
        time = DETECTIONS.c.arrival_time_ns
        with self.database.reading() as db:
            newest: int | None = db.execute(sa.select(sa.func.max(time)).where(time <= until_ns)).scalar()
        return newest

    def note_dispositions(self, items: Sequence[tuple[DetectionId, str]]) -> None:
        """Append what became of detections that are kept but not used; a second word on the same one is ignored."""
        if not items:
            return
        with self.database.writing() as db:
            self._new_dispositions.execute(db, [(*uid, disposition) for uid, disposition in items])

    def disposition_counts(self) -> dict[str, dict[str, int]]:
        """Return how many detections are kept but not used: by node, then by disposition."""
        table = DISPOSITIONS.c
        query = (
            sa.select(table.node, table.disposition, sa.func.count())
            .group_by(table.node, table.disposition)
            .order_by(table.node, table.disposition)
        )
        counts: dict[str, dict[str, int]] = {}
        with self.database.reading() as db:
            for node, disposition, count in db.execute(query):
                counts.setdefault(node, {})[disposition] = count
        return counts

    # --- incidents ----------------------------------------------------------------------------------------------

    def append_incident(self, record: IncidentRecord) -> bool:
        """Append one revision of an incident; False if the very same is there already.

        Raises
        ------
        StorageError
            That revision is there with other content: history is not rewritten.
        """
        data = _INCIDENT_ENCODER.encode(record)
        row = {
            "id": record.id,
            "revision": record.revision,
            "state": record.state,
            "time_ns": parse_utc(record.time_utc),
            "as_of_ns": parse_utc(record.as_of_utc),
            "rounds": record.rounds,
            "x_m": record.x_m,
            "y_m": record.y_m,
            "cep95_m": record.cep95_m,
            "probability": record.probability,
            "record": data,
        }
        table = INCIDENTS.c
        with self.database.writing() as db:
            insert = self.database.insert(INCIDENTS).on_conflict_do_nothing()
            if db.execute(insert.execution_options(preserve_rowcount=True), row).rowcount == 1:
                self._note_detections(db, record)
                return True
            query = sa.select(table.record).where(table.id == record.id, table.revision == record.revision)
            there = db.execute(query).scalar_one()
        if there == data or _INCIDENT_DECODER.decode(there) == record:
            return False
        raise StorageError(
            f"incident {record.id} revision {record.revision} is in {self.name} with other content; "
            "a revision is never rewritten, append the next one"
        )

    def _note_detections(self, db: sa.Connection, record: IncidentRecord) -> None:
        """Note which detections an incident rests on, so that the question can be asked from their side."""
        named: set[DetectionId] = set()
        for shot in record.shots:
            for arrival in (*shot.arrivals, *shot.passed_over):
                with contextlib.suppress(InputError):  # no identity, so of no detection that is kept
                    named.add(DetectionId.parse(arrival.detection))
        if named:
            rows = [{**uid._asdict(), "incident_id": record.id} for uid in sorted(named)]
            db.execute(self.database.insert(INCIDENT_DETECTIONS).on_conflict_do_nothing(), rows)

    def incidents(
        self, *, limit: int = 100, offset: int = 0, since_ns: int | None = None, until_ns: int | None = None
    ) -> list[IncidentRecord]:
        """Return the latest revision of each incident, newest first.

        ``since_ns`` (inclusive) and ``until_ns`` (exclusive) bound the time of the first shot in that revision.
        """
        table, newest = INCIDENTS.c, INCIDENTS.alias("newest")
        last = sa.select(sa.func.max(newest.c.revision)).where(newest.c.id == table.id).scalar_subquery()
        query = sa.select(table.record).where(table.revision == last)
        if since_ns is not None:
            query = query.where(table.time_ns >= since_ns)
        if until_ns is not None:
            query = query.where(table.time_ns < until_ns)
        return self._records(query.order_by(table.time_ns.desc(), table.id).limit(limit).offset(offset))

    def incident_revisions(self, incident_id: str) -> list[IncidentRecord]:
        """Return every revision of an incident, first to last; empty when there is no such incident."""
        table = INCIDENTS.c
        return self._records(sa.select(table.record).where(table.id == incident_id).order_by(table.revision))

    # --- receipts -----------------------------------------------------------------------------------------------

    def append_receipt(self, receipt: Receipt) -> None:
        """Append what a sink said."""
        with self.database.writing() as db:
            db.execute(sa.insert(RECEIPTS), asdict(receipt))

    def receipts(self, incident_id: str) -> list[Receipt]:
        """Return every receipt of an incident, in the order they came."""
        table = RECEIPTS.c
        columns = [column for column in RECEIPTS.columns if column.name != "id"]
        query = sa.select(*columns).where(table.incident_id == incident_id).order_by(table.id)
        with self.database.reading() as db:
            return [Receipt(**row) for row in db.execute(query).mappings()]

    def receipts_after(self, number: int, *, limit: int) -> list[tuple[int, Receipt]]:
        """Return receipts of any incident in the order they came, each with its number: those after a number."""
        names = [column.name for column in RECEIPTS.columns if column.name != "id"]
        query = sa.select(RECEIPTS).where(RECEIPTS.c.id > number).order_by(RECEIPTS.c.id).limit(limit)
        with self.database.reading() as db:
            rows = db.execute(query).mappings().all()
        return [(row["id"], Receipt(**{name: row[name] for name in names})) for row in rows]

    def undelivered(self, sink: str, *, since_ns: int | None = None) -> list[IncidentRecord]:
        """Return the revisions that a sink has not taken yet, oldest conclusion first.

        Parameters
        ----------
        sink : str
        since_ns : int | None
            Leave out revisions concluded before this event time.
        """
        table, receipt = INCIDENTS.c, RECEIPTS.c
        taken = sa.exists().where(
            receipt.incident_id == table.id, receipt.revision == table.revision, receipt.sink == sink, receipt.ok
        )
        query = sa.select(table.record).where(~taken).order_by(table.as_of_ns, table.id, table.revision)
        if since_ns is not None:
            query = query.where(table.as_of_ns >= since_ns)
        return self._records(query)

    # --- clips --------------------------------------------------------------------------------------------------

    def append_clips(self, outcomes: Sequence[ClipOutcome]) -> None:
        """Append what came of requests for clips, in one transaction; a clip that is there already stays as it is."""
        with self.database.writing() as db:
            for outcome in outcomes:
                row = {name: getattr(outcome, name) for name in type(outcome).__dataclass_fields__ if name != "uid"}
                row |= outcome.uid._asdict()
                if isinstance(outcome, CollectedClip):
                    db.execute(self.database.insert(CLIPS).on_conflict_do_nothing(), row)
                else:
                    db.execute(sa.insert(CLIP_REFUSALS), row)

    def clips(self, incident_id: str) -> list[CollectedClip]:
        """Return the clips of an incident, by start."""
        table = CLIPS.c
        order = (table.start_time_ns, table.node, table.boot, table.sequence)
        return self._clips(sa.select(CLIPS).where(table.incident_id == incident_id).order_by(*order))

    def clip_heads(self, incident_id: str) -> list[ClipHead]:
        """Return what is kept of the clips of an incident without their sound, by start."""
        table = CLIPS.c
        size = sa.func.length(table.flac).label("size_bytes")
        query = sa.select(*(column for column in table if column.name != "flac"), size)
        order = (table.start_time_ns, table.node, table.boot, table.sequence)
        with self.database.reading() as db:
            return [
                ClipHead(
                    uid=DetectionId(row.node, row.boot, row.sequence),
                    received_ns=row.received_ns,
                    start_time_ns=row.start_time_ns,
                    sample_rate_hz=row.sample_rate_hz,
                    sha256=row.sha256,
                    digest_ok=row.digest_ok,
                    size_bytes=row.size_bytes,
                )
                for row in db.execute(query.where(table.incident_id == incident_id).order_by(*order))
            ]

    def clip(self, uid: DetectionId) -> CollectedClip | None:
        """Return the clip of a detection; None when there is none."""
        table = CLIPS.c
        query = sa.select(CLIPS).where(table.node == uid.node, table.boot == uid.boot, table.sequence == uid.sequence)
        return next(iter(self._clips(query)), None)

    def clip_refusals(self, incident_id: str) -> list[RefusedClip]:
        """Return the clips of an incident that were asked for and did not come, in the order it was known."""
        table = CLIP_REFUSALS.c
        query = sa.select(CLIP_REFUSALS).where(table.incident_id == incident_id).order_by(table.id)
        with self.database.reading() as db:
            return [
                RefusedClip(
                    uid=DetectionId(row.node, row.boot, row.sequence),
                    incident_id=row.incident_id,
                    received_ns=row.received_ns,
                    reason=row.reason,
                    detail=row.detail,
                )
                for row in db.execute(query)
            ]

    def _clips(self, query: sa.Select[Any]) -> list[CollectedClip]:
        with self.database.reading() as db:
            return [
                CollectedClip(
                    uid=DetectionId(row.node, row.boot, row.sequence),
                    incident_id=row.incident_id,
                    received_ns=row.received_ns,
                    start_time_ns=row.start_time_ns,
                    sample_rate_hz=row.sample_rate_hz,
                    sha256=row.sha256,
                    digest_ok=row.digest_ok,
                    flac=row.flac,
                )
                for row in db.execute(query)
            ]

    # --- nodes --------------------------------------------------------------------------------------------------

    def touch_node(self, status: NodeStatus) -> None:
        """Keep the last word of a node in place of the one before."""
        self.touch_nodes([status])

    def touch_nodes(self, statuses: Sequence[NodeStatus]) -> None:
        """Keep the last word of several nodes in one transaction."""
        if not statuses:
            return
        # Not `asdict`, which copies deeply: thousands of nodes are written every two seconds.
        rows = [
            tuple(
                value.value if isinstance(value, ClockState) else value
                for value in (getattr(status, name) for name in _names(NODE_STATUS))
            )
            for status in statuses
        ]
        with self.database.writing() as db:
            self._last_words.execute(db, rows)

    def node_statuses(self) -> list[NodeStatus]:
        """Return the last word of every node that ever spoke, by node id."""
        with self.database.reading() as db:
            rows = db.execute(sa.select(NODE_STATUS).order_by(NODE_STATUS.c.node)).mappings().all()
        return [
            NodeStatus(**{**row, "clock_state": None if row["clock_state"] is None else ClockState(row["clock_state"])})
            for row in rows
        ]

    # --- rejects ------------------------------------------------------------------------------------------------

    def count_reject(self, reason: str, detail: str, raw: bytes, *, time_ns: int = 0) -> None:
        """Count bytes that were not taken, and keep the first 1 KiB of them."""
        self.count_rejects([RejectedMessage(reason, detail, raw, time_ns)])

    def count_rejects(self, rejects: Sequence[RejectedMessage]) -> None:
        """Count several rejects in one transaction.

        Of each reason the first 1000 different ones are kept; whoever sends endless new rubbish cannot fill the disk.
        """
        if not rejects:
            return
        insert = self.database.insert(REJECTS)
        upsert = insert.on_conflict_do_update(
            index_elements=["reason", "detail", "raw"], set_={"count": REJECTS.c.count + insert.excluded.count}
        )
        table = REJECTS.c
        with self.database.writing() as db:
            for reject in rejects:
                detail, raw = reject.detail[:_REJECT_DETAIL_CHARACTERS], reject.raw[:_RAW_REJECT_BYTES]
                if self._examples[reject.reason] >= _EXAMPLES_PER_REASON:
                    same = sa.select(table.id).where(
                        table.reason == reject.reason, table.detail == detail, table.raw == raw
                    )
                    if db.execute(same).first() is None:
                        detail, raw = _OVERFLOW_DETAIL, b""
                row = {
                    "reason": reject.reason,
                    "detail": detail,
                    "raw": raw,
                    "first_ns": reject.time_ns,
                    "count": reject.count,
                }
                count = db.execute(upsert.returning(table.count), row).scalar_one()
                self._examples[reject.reason] += count == reject.count

    def recount_rejects(self) -> None:
        """Look how many examples of each reason are kept: some were deleted."""
        query = sa.select(REJECTS.c.reason, sa.func.count().label("kept")).group_by(REJECTS.c.reason)
        with self.database.writing() as db:
            self._examples = Counter({row.reason: row.kept for row in db.execute(query)})

    def reject_counts(self) -> dict[str, int]:
        """Return how many messages were not taken, by reason."""
        query = sa.select(REJECTS.c.reason, sa.func.sum(REJECTS.c.count)).group_by(REJECTS.c.reason)
        with self.database.reading() as db:
            return {reason: int(count) for reason, count in db.execute(query.order_by(REJECTS.c.reason))}

    def rejects(self, *, limit: int = 100) -> list[CountedReject]:
        """Return the rejects that were kept, latest kind first."""
        table = REJECTS.c
        query = sa.select(table.reason, table.detail, table.raw, table.first_ns, table.count)
        with self.database.reading() as db:
            return [CountedReject(*row) for row in db.execute(query.order_by(table.id.desc()).limit(limit))]

    # --- all ----------------------------------------------------------------------------------------------------

    def counts(self) -> HistoryCounts:
        """Return how much is kept. Counts every row: for people, not for every loop."""
        with self.database.reading() as db:

            def rows(table: sa.Table) -> int:
                return db.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

            distinct = sa.select(sa.func.count(sa.distinct(INCIDENTS.c.id)))
            rejects = sa.select(sa.func.coalesce(sa.func.sum(REJECTS.c.count), 0))
            return HistoryCounts(
                detections=rows(DETECTIONS),
                incidents=db.execute(distinct).scalar_one(),
                revisions=rows(INCIDENTS),
                receipts=rows(RECEIPTS),
                rejects=int(db.execute(rejects).scalar_one()),
                nodes=rows(NODE_STATUS),
            )

    def _records(self, query: sa.Select[Any]) -> list[IncidentRecord]:
        with self.database.reading() as db:
            found = db.execute(query).scalars().all()
        return [_INCIDENT_DECODER.decode(data) for data in found]

    def _decoded(self, raw: bytes, uid: DetectionId) -> Detection:
        try:
            message = decode(raw)
        except MessageError as error:
            raise StorageError(
                f"detection {uid} in {self.name} cannot be read ({error}); restore the database from a backup"
            ) from error
        if not isinstance(message, Detection):
            raise StorageError(f"detection {uid} in {self.name} holds a {type(message).__name__}; restore a backup")
        return message
