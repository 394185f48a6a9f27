"""Deletes what `fusion_server.retention` lets go, in small batches beside the running server.

A page of rows that may be old enough is looked at with a lock on nothing. Only when something on it may go is it looked
at again by the one who writes, and deleted together with a receipt of deletion and an entry in the audit log: no hold
and no decision that was there before can be missed, and nothing goes without a word of it. Between batches whoever
waits to write gets a turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import sqlalchemy as sa

from fusion_server.casebook import append_entry
from fusion_server.database import Database
from fusion_server.history import History
from fusion_server.holds import open_holds
from fusion_server.retention import (
    NS_PER_DAY,
    Case,
    Hold,
    Kind,
    RetentionPolicy,
    Row,
    expired,
    is_held,
    keys_digest,
    ties_of,
)
from fusion_server.review import Decision, Outcome
from fusion_server.tables import (
    CLIPS,
    DECISIONS,
    DELETION_RECEIPTS,
    DETECTIONS,
    DISPOSITIONS,
    INCIDENT_DETECTIONS,
    INCIDENTS,
    RECEIPTS,
    REJECTS,
)
from shotline.domain import DetectionId

__all__ = ["DeletionReceipt", "KindForecast", "Sweeper", "deletion_receipts"]

_ROWS = {Kind.DETECTIONS: 500, Kind.CLIPS: 20, Kind.REJECTS: 500, Kind.RECEIPTS: 500}
"""Of one batch. A clip is a hundred thousand bytes, which are overwritten."""

_RESUME_NS = 2 * NS_PER_DAY
"""The dispatcher asks which alerts of the last day before the newest incident were not taken; it must not find them
untaken because their receipts are gone."""

_SERVER = "server"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeletionReceipt:
    """What was deleted in one batch.

    Parameters
    ----------
    number : int
        Counts up.
    kind : Kind
    count : int
        Rows that are gone.
    digest : str
        `keys_digest` of their identities: ``node/boot/sequence`` of a detection or clip, else the number of the row.
    oldest_ns, newest_ns : int
        From when they were, UTC nanoseconds.
    policy : str
        The terms of that kind, in words.
    time_ns : int
        When it was done.
    """

    number: int
    kind: Kind
    count: int
    digest: str
    oldest_ns: int
    newest_ns: int
    policy: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KindForecast:
    """What a sweep would do to one kind of rows.

    Parameters
    ----------
    kind : Kind
    policy : str
        Its terms, in words.
    goes : int
        Rows that would be deleted.
    held : int
        Rows that would be, were they not on hold.
    oldest_ns : int | None
        From when the oldest is that would be deleted.
    """

    kind: Kind
    policy: str
    goes: int
    held: int
    oldest_ns: int | None


class _Page(NamedTuple):
    rows: list[Row]
    keys: dict[str, dict[str, Any]]
    """By identity: the columns that find the row."""
    after: tuple[Any, ...] | None
    """Where the next page begins; None when there is none."""


class Sweeper:
    """Deletes what may go.

    Parameters
    ----------
    history : History
    policy : RetentionPolicy
    two_persons : bool
        Whether a decision stands only once a second person decides the same.
    """

    def __init__(self, history: History, policy: RetentionPolicy, *, two_persons: bool = False) -> None:
        self._history = history
        self._database: Database = history.database
        self._policy = policy
        self._two_persons = two_persons

    def sweep(self, now_ns: int) -> Iterator[DeletionReceipt | None]:
        """Delete everything that may go at an instant; yield after each page: its receipt, or None when all stayed.

        Stop asking, and it stops deleting.

        Parameters
        ----------
        now_ns : int
            Wall time, UTC nanoseconds.

        Raises
        ------
        StorageError
            The database refuses; of that page nothing is deleted.
        """
        for kind in Kind:
            after: tuple[Any, ...] | None = ()
            while after is not None:
                with self._database.reading() as db:
                    page = self._page(db, kind, after, now_ns)
                    goes = bool(self._expired(db, page, now_ns))
                yield self._delete(kind, after, now_ns) if goes else None
                after = page.after

    def forecast(self, now_ns: int) -> list[KindForecast]:
        """Return what `sweep` would do, kind by kind; nothing is deleted."""
        found = []
        for kind in Kind:
            goes: list[Row] = []
            held = 0
            after: tuple[Any, ...] | None = ()
            while after is not None:
                with self._database.reading() as db:
                    page = self._page(db, kind, after, now_ns)
                    holds, cases = open_holds(db), self._cases(db, page.rows)
                old = expired(page.rows, cases=cases, policy=self._policy, holds=(), now_ns=now_ns)
                on_hold = sum(is_held(row, cases, holds) for row in old)
                held += on_hold
                goes += [row for row in old if not is_held(row, cases, holds)]
                after = page.after
            oldest_ns = min((row.since_ns for row in goes), default=None)
            found.append(
                KindForecast(kind=kind, policy=self._policy.says(kind), goes=len(goes), held=held, oldest_ns=oldest_ns)
            )
        return found

    def _delete(self, kind: Kind, after: tuple[Any, ...], now_ns: int) -> DeletionReceipt | None:
        with self._database.writing() as db:
            page = self._page(db, kind, after, now_ns)
            gone = self._expired(db, page, now_ns)
            if not gone:
                return None
            keys = [page.keys[row.key] for row in gone]
            for table in _TABLES[kind]:
                matches = [table.c[name] == sa.bindparam(f"_{name}") for name in keys[0]]
                db.execute(sa.delete(table).where(*matches), [{f"_{k}": v for k, v in key.items()} for key in keys])
            receipt = self._receipt(db, kind, gone, now_ns)
            detail: dict[str, object] = asdict(receipt)
            if kind is Kind.CLIPS:
                detail["incidents"] = sorted({incident for row in gone for incident in row.incidents})
            append_entry(
                db, time_ns=now_ns, actor=_SERVER, action="delete", subject=f"deletion {receipt.number}", detail=detail
            )
        if kind is Kind.REJECTS:
            self._history.recount_rejects()
        return receipt

    def _receipt(self, db: sa.Connection, kind: Kind, gone: Sequence[Row], now_ns: int) -> DeletionReceipt:
        row = {
            "kind": kind.value,
            "count": len(gone),
            "digest": keys_digest(item.key for item in gone),
            "oldest_ns": min(item.since_ns for item in gone),
            "newest_ns": max(item.since_ns for item in gone),
            "policy": self._policy.says(kind),
            "time_ns": now_ns,
        }
        query = sa.insert(DELETION_RECEIPTS).returning(*DELETION_RECEIPTS.columns)
        return _deletion_receipt(db.execute(query, row).mappings().one())

    def _expired(self, db: sa.Connection, page: _Page, now_ns: int) -> list[Row]:
        if not page.rows:
            return []
        holds: list[Hold] = open_holds(db)
        return expired(page.rows, cases=self._cases(db, page.rows), policy=self._policy, holds=holds, now_ns=now_ns)

    def _cases(self, db: sa.Connection, rows: Sequence[Row]) -> Mapping[str, Case]:
        ids = sorted({incident for row in rows for incident in row.incidents})
        if not ids:
            return {}
        decisions: dict[str, list[Decision]] = {}
        query = sa.select(DECISIONS).where(DECISIONS.c.incident_id.in_(ids)).order_by(DECISIONS.c.number)
        for item in db.execute(query).mappings():
            decision = Decision(**{**item, "outcome": Outcome(item["outcome"])})
            decisions.setdefault(decision.incident_id, []).append(decision)
        table = INCIDENTS.c
        spans = sa.select(table.id, sa.func.min(table.time_ns), sa.func.max(table.as_of_ns)).group_by(table.id)
        return {
            incident: Case(ties_of(decisions.get(incident, ()), two_persons=self._two_persons), first_ns, last_ns)
            for incident, first_ns, last_ns in db.execute(spans.where(table.id.in_(ids)))
        }

    # --- pages of rows that may be old enough -------------------------------------------------------------------

    def _page(self, db: sa.Connection, kind: Kind, after: tuple[Any, ...], now_ns: int) -> _Page:
        shortest_ns = self._policy.shortest_ns(kind)
        if shortest_ns is None:
            return _Page([], {}, None)
        until_ns = now_ns - shortest_ns
        if kind is Kind.DETECTIONS:
            return _detections(db, after, until_ns)
        if kind is Kind.CLIPS:
            return _clips(db, after, until_ns)
        if kind is Kind.REJECTS:
            return _numbered(db, kind, REJECTS, REJECTS.c.first_ns, after, until_ns)
        newest_ns = db.execute(sa.select(sa.func.max(INCIDENTS.c.time_ns))).scalar_one()
        page = _numbered(db, kind, RECEIPTS, RECEIPTS.c.time_ns, after, until_ns)
        cases = self._cases(db, page.rows)
        resumed = {incident for incident, case in cases.items() if case.last_ns >= newest_ns - _RESUME_NS}
        # SQLite gives the greatest number again when its row is gone; whoever reads on from there would miss the next.
        newest = str(db.execute(sa.select(sa.func.max(RECEIPTS.c.id))).scalar_one())
        return page._replace(
            rows=[replace(row, needed=row.key == newest or not resumed.isdisjoint(row.incidents)) for row in page.rows]
        )


_TABLES: Mapping[Kind, tuple[sa.Table, ...]] = {
    Kind.DETECTIONS: (DISPOSITIONS, DETECTIONS),
    Kind.CLIPS: (CLIPS,),
    Kind.REJECTS: (REJECTS,),
    Kind.RECEIPTS: (RECEIPTS,),
}


def deletion_receipts(database: Database, *, after: int = 0, limit: int = 1000) -> list[DeletionReceipt]:
    """Return receipts of deletion in order, those with a greater number only."""
    table = DELETION_RECEIPTS
    query = sa.select(table).where(table.c.number > after).order_by(table.c.number).limit(limit)
    with database.reading() as db:
        return [_deletion_receipt(row) for row in db.execute(query).mappings()]


def _deletion_receipt(row: sa.RowMapping) -> DeletionReceipt:
    return DeletionReceipt(**{**row, "kind": Kind(row["kind"])})


def _detections(db: sa.Connection, after: tuple[Any, ...], until_ns: int) -> _Page:
    # Age counts from its arrival or from when it was received, whichever is later; the first has an index.
    table, limit = DETECTIONS.c, _ROWS[Kind.DETECTIONS]
    order = (table.arrival_time_ns, table.node, table.boot, table.sequence)
    query = sa.select(*order, table.received_ns).where(table.arrival_time_ns <= until_ns, table.received_ns <= until_ns)
    found = _with_incidents(db, query, order, after, limit)
    rows = [
        Row(
            kind=Kind.DETECTIONS,
            key=str(uid),
            since_ns=max(row.arrival_time_ns, row.received_ns),
            instants_ns=(row.arrival_time_ns, row.received_ns),
            incidents=tuple(incidents),
        )
        for uid, (row, incidents) in found.items()
    ]
    last = next(reversed(found.values()))[0] if len(found) == limit else None
    return _Page(rows, {str(uid): uid._asdict() for uid in found}, None if last is None else tuple(last[:4]))


def _clips(db: sa.Connection, after: tuple[Any, ...], until_ns: int) -> _Page:
    table, limit = CLIPS.c, _ROWS[Kind.CLIPS]
    order = (table.node, table.boot, table.sequence)
    query = sa.select(*order, table.received_ns, table.start_time_ns, table.incident_id.label("asked_for"))
    found = _with_incidents(db, query.where(table.received_ns <= until_ns), order, after, limit)
    rows = [
        Row(
            kind=Kind.CLIPS,
            key=str(uid),
            since_ns=row.received_ns,
            instants_ns=(row.start_time_ns, row.received_ns),
            incidents=tuple(sorted({row.asked_for, *incidents})),
        )
        for uid, (row, incidents) in found.items()
    ]
    last = next(reversed(found)) if len(found) == limit else None
    return _Page(rows, {str(uid): uid._asdict() for uid in found}, last)


def _with_incidents(
    db: sa.Connection,
    query: sa.Select[Any],
    order: tuple[sa.ColumnElement[Any], ...],
    after: tuple[Any, ...],
    limit: int,
) -> dict[DetectionId, tuple[sa.Row[Any], list[str]]]:
    """Return a page of rows that are known by a detection's identity, in order, each with its detection's incidents."""
    if after:
        query = query.where(sa.tuple_(*order) > sa.tuple_(*after))
    page = query.order_by(*order).limit(limit).subquery()
    tie = INCIDENT_DETECTIONS
    same = sa.and_(*(tie.c[part] == page.c[part] for part in DetectionId._fields))
    joined = sa.select(page, tie.c.incident_id).outerjoin_from(page, tie, same)
    joined = joined.order_by(*(page.c[str(column.key)] for column in order), tie.c.incident_id)
    found: dict[DetectionId, tuple[sa.Row[Any], list[str]]] = {}
    for row in db.execute(joined):
        _, incidents = found.setdefault(DetectionId(row.node, row.boot, row.sequence), (row, []))
        if row.incident_id is not None:
            incidents.append(row.incident_id)
    return found


def _numbered(
    db: sa.Connection,
    kind: Kind,
    table: sa.Table,
    since: sa.ColumnElement[int],
    after: tuple[Any, ...],
    until_ns: int,
) -> _Page:
    incident = table.c.incident_id if "incident_id" in table.c else sa.null()
    query = sa.select(table.c.id, since, incident).where(since <= until_ns, table.c.id > (after[0] if after else 0))
    found = db.execute(query.order_by(table.c.id).limit(_ROWS[kind])).all()
    rows = [
        Row(
            kind=kind,
            key=str(number),
            since_ns=since_ns,
            instants_ns=(since_ns,),
            incidents=() if incident_id is None else (incident_id,),
        )
        for number, since_ns, incident_id in found
    ]
    keys = {row.key: {"id": found[index][0]} for index, row in enumerate(rows)}
    return _Page(rows, keys, (found[-1][0],) if len(found) == _ROWS[kind] else None)
