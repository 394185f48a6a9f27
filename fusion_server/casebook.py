"""What people did: their decisions, who took an alert on, and the audit log, in the same database as the history.

Everything here is appended. A decision and its entry in the audit log are committed together: neither is without the
other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from fusion_server.database import Database
from fusion_server.review import Acknowledgement, Decision, Outcome, check_decision
from fusion_server.tables import ACKNOWLEDGEMENTS, AUDIT, AUDIT_ROOTS, DECISIONS
from shotline.auditchain import AuditEntry, Root, follow

__all__ = ["Casebook", "Note", "append_entry"]

_PAGE_ROWS = 1000


class Note(NamedTuple):
    """What is to be noted in the audit log."""

    actor: str
    action: str
    subject: str
    detail: Mapping[str, object]


class Casebook:
    """Decisions, acknowledgements and the audit log.

    Parameters
    ----------
    database : Database
        The history's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- decisions ----------------------------------------------------------------------------------------------

    def decide(
        self,
        incident_id: str,
        *,
        revision: int,
        outcome: str,
        reason: str,
        note: str,
        person: str,
        time_ns: int,
    ) -> Decision:
        """Append a decision, and its entry in the audit log.

        Raises
        ------
        InputError
            It cannot be made so; see `check_decision`.
        StorageError
            Neither is kept.
        """
        checked = check_decision(outcome, reason, note, person)
        with self._database.writing() as db:
            last = db.execute(
                sa.select(sa.func.max(DECISIONS.c.number)).where(DECISIONS.c.incident_id == incident_id)
            ).scalar_one()
            decision = Decision(
                number=(last or 0) + 1,
                incident_id=incident_id,
                revision=revision,
                outcome=checked,
                reason=reason,
                note=note,
                person=person,
                time_ns=time_ns,
            )
            row = {name: getattr(decision, name) for name in DECISIONS.columns.keys()}  # noqa: SIM118
            db.execute(sa.insert(DECISIONS), {**row, "outcome": checked.value})
            detail = {"number": decision.number, "revision": revision, "outcome": checked.value, "reason": reason}
            append_entry(db, time_ns=time_ns, actor=person, action="decision", subject=incident_id, detail=detail)
        return decision

    def decisions(self, incident_ids: Sequence[str] | None = None) -> dict[str, list[Decision]]:
        """Return decisions by incident, each in order; of all incidents without a list."""
        query = sa.select(DECISIONS).order_by(DECISIONS.c.incident_id, DECISIONS.c.number)
        if incident_ids is not None:
            query = query.where(DECISIONS.c.incident_id.in_(incident_ids))
        found: dict[str, list[Decision]] = {}
        with self._database.reading() as db:
            for row in db.execute(query).mappings():
                decision = Decision(**{**row, "outcome": Outcome(row["outcome"])})
                found.setdefault(decision.incident_id, []).append(decision)
        return found

    # --- acknowledgements ---------------------------------------------------------------------------------------

    def acknowledge(self, incident_id: str, *, person: str, time_ns: int) -> Acknowledgement:
        """Append that somebody takes an alert on, and its entry in the audit log."""
        taken = Acknowledgement(incident_id=incident_id, person=person, time_ns=time_ns)
        with self._database.writing() as db:
            db.execute(sa.insert(ACKNOWLEDGEMENTS), {"incident_id": incident_id, "person": person, "time_ns": time_ns})
            append_entry(db, time_ns=time_ns, actor=person, action="acknowledge", subject=incident_id, detail={})
        return taken

    def acknowledgements(self, incident_ids: Sequence[str] | None = None) -> dict[str, list[Acknowledgement]]:
        """Return acknowledgements by incident, each in order; of all incidents without a list."""
        query = sa.select(ACKNOWLEDGEMENTS).order_by(ACKNOWLEDGEMENTS.c.id)
        if incident_ids is not None:
            query = query.where(ACKNOWLEDGEMENTS.c.incident_id.in_(incident_ids))
        found: dict[str, list[Acknowledgement]] = {}
        with self._database.reading() as db:
            for row in db.execute(query).mappings():
                taken = Acknowledgement(incident_id=row["incident_id"], person=row["person"], time_ns=row["time_ns"])
                found.setdefault(taken.incident_id, []).append(taken)
        return found

    # --- audit --------------------------------------------------------------------------------------------------

    def note(
        self, *, time_ns: int, actor: str, action: str, subject: str = "", detail: Mapping[str, object] | None = None
    ) -> AuditEntry:
        """Append an entry to the audit log.

        Raises
        ------
        InputError
            The detail is no JSON, or too much of it.
        StorageError
            It is not kept; do not do what it was about.
        """
        with self._database.writing() as db:
            return append_entry(db, time_ns=time_ns, actor=actor, action=action, subject=subject, detail=detail or {})

    def note_all(self, notes: Sequence[Note], *, time_ns: int) -> None:
        """Append entries to the audit log in one transaction: all or none; see `note`."""
        if not notes:
            return
        with self._database.writing() as db:
            for item in notes:
                append_entry(db, time_ns=time_ns, **item._asdict())

    def audit(self, *, after: int = 0, subject: str | None = None) -> Iterator[AuditEntry]:
        """Yield the audit log in order, a page at a time."""
        while True:
            query = sa.select(AUDIT).where(AUDIT.c.number > after).order_by(AUDIT.c.number).limit(_PAGE_ROWS)
            if subject is not None:
                query = query.where(AUDIT.c.subject == subject)
            with self._database.reading() as db:
                entries = [_entry(row) for row in db.execute(query).mappings()]
            yield from entries
            if len(entries) < _PAGE_ROWS:
                return
            after = entries[-1].number

    def last_entry(self, *, action: str | None = None) -> AuditEntry | None:
        """Return the newest entry of the audit log, or the newest about an action."""
        with self._database.reading() as db:
            return _last(db, action)

    def add_root(self, root: Root) -> None:
        """Keep a signed root; once more is harmless."""
        row = {name: getattr(root, name) for name in root.__struct_fields__}
        with self._database.writing() as db:
            db.execute(self._database.insert(AUDIT_ROOTS).on_conflict_do_nothing(), row)

    def roots(self) -> list[Root]:
        """Return the signed roots, oldest first."""
        with self._database.reading() as db:
            rows = db.execute(sa.select(AUDIT_ROOTS).order_by(AUDIT_ROOTS.c.number)).mappings()
            return [Root(**row) for row in rows]


def append_entry(
    db: sa.Connection, *, time_ns: int, actor: str, action: str, subject: str, detail: Mapping[str, object]
) -> AuditEntry:
    """Append an entry to the audit log in the transaction of what it is about."""
    entry = follow(_last(db), time_ns=time_ns, actor=actor, action=action, subject=subject, detail=detail)
    row = {name: getattr(entry, name) for name in entry.__struct_fields__}
    db.execute(sa.insert(AUDIT), {**row, "detail": msgspec.json.encode(entry.detail, order="deterministic")})
    return entry


def _last(db: sa.Connection, action: str | None = None) -> AuditEntry | None:
    query = sa.select(AUDIT).order_by(AUDIT.c.number.desc()).limit(1)
    if action is not None:
        query = query.where(AUDIT.c.action == action)
    row = db.execute(query).mappings().one_or_none()
    return None if row is None else _entry(row)


def _entry(row: sa.RowMapping) -> AuditEntry:
    return AuditEntry(**{**row, "detail": msgspec.json.decode(row["detail"])})
