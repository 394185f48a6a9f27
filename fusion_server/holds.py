"""Legal holds in the database: placed and released by a person, each with its entry in the audit log.

Both are appended. A hold that was released stays on record, and cannot be taken up again: place a new one.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from fusion_server.casebook import append_entry
from fusion_server.database import Database
from fusion_server.retention import Hold, check_hold, check_words
from fusion_server.tables import HOLD_RELEASES, LEGAL_HOLDS
from shotline.errors import InputError
from shotline.timebase import format_utc

__all__ = ["HoldRelease", "Holds", "open_holds"]


@dataclass(frozen=True, slots=True)
class HoldRelease:
    """Who released a hold, when, and why."""

    person: str
    reason: str
    time_ns: int


class Holds:
    """The legal holds of a database.

    Parameters
    ----------
    database : Database
        The history's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def place(
        self,
        *,
        incident_id: str | None = None,
        from_ns: int | None = None,
        until_ns: int | None = None,
        reason: str,
        person: str,
        time_ns: int,
    ) -> Hold:
        """Place a hold on an incident, or on a span of time. It holds from the moment this returns.

        Raises
        ------
        InputError
            It cannot be placed so; see `check_hold`.
        StorageError
            It is not kept, and does not hold.
        """
        check_hold(incident_id, from_ns, until_ns, reason=reason, person=person)
        row = {
            "incident_id": incident_id,
            "from_ns": from_ns,
            "until_ns": until_ns,
            "reason": reason,
            "person": person,
            "time_ns": time_ns,
        }
        with self._database.writing() as db:
            number = db.execute(sa.insert(LEGAL_HOLDS).returning(LEGAL_HOLDS.c.id), row).scalar_one()
            ends = {"from": from_ns, "until": until_ns}
            span = {name: format_utc(end_ns) for name, end_ns in ends.items() if end_ns is not None}
            append_entry(
                db,
                time_ns=time_ns,
                actor=person,
                action="hold",
                subject=incident_id or f"hold {number}",
                detail={"hold": number, "reason": reason, **span},
            )
            return _hold(db.execute(sa.select(LEGAL_HOLDS).where(LEGAL_HOLDS.c.id == number)).mappings().one())

    def release(self, hold_id: int, *, reason: str, person: str, time_ns: int) -> None:
        """Release a hold: what it covered expires from now on as if it had never been.

        Raises
        ------
        InputError
            There is no such hold, or it is released already; nobody says why, or who.
        StorageError
            It is not released.
        """
        check_words(reason=reason, person=person)
        with self._database.writing() as db:
            held = db.execute(sa.select(LEGAL_HOLDS).where(LEGAL_HOLDS.c.id == hold_id)).mappings().one_or_none()
            if held is None:
                raise InputError(f"there is no hold {hold_id}; 'shotline server hold list' shows those there are")
            if db.execute(sa.select(HOLD_RELEASES).where(HOLD_RELEASES.c.hold_id == hold_id)).first() is not None:
                raise InputError(f"hold {hold_id} is released already; place a new one if it is still wanted")
            row = {"hold_id": hold_id, "reason": reason, "person": person, "time_ns": time_ns}
            db.execute(sa.insert(HOLD_RELEASES), row)
            append_entry(
                db,
                time_ns=time_ns,
                actor=person,
                action="hold_release",
                subject=held["incident_id"] or f"hold {hold_id}",
                detail={"hold": hold_id, "reason": reason},
            )

    def all(self) -> list[tuple[Hold, HoldRelease | None]]:
        """Return every hold that was ever placed, in order, and how it ended; None while it holds."""
        with self._database.reading() as db:
            released = {
                row["hold_id"]: HoldRelease(row["person"], row["reason"], row["time_ns"])
                for row in db.execute(sa.select(HOLD_RELEASES)).mappings()
            }
            rows = db.execute(sa.select(LEGAL_HOLDS).order_by(LEGAL_HOLDS.c.id)).mappings()
            return [(_hold(row), released.get(row["id"])) for row in rows]


def open_holds(db: sa.Connection) -> list[Hold]:
    """Return the holds that are not released."""
    released = sa.select(HOLD_RELEASES.c.hold_id)
    query = sa.select(LEGAL_HOLDS).where(LEGAL_HOLDS.c.id.not_in(released)).order_by(LEGAL_HOLDS.c.id)
    return [_hold(row) for row in db.execute(query).mappings()]


def _hold(row: sa.RowMapping) -> Hold:
    return Hold(**row)
