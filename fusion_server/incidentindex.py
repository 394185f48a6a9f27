"""Where and when every incident was, without its evidence; and the records of a few by their ids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from fusion_server.database import Database
from fusion_server.tables import INCIDENTS
from shotline.records import IncidentRecord

__all__ = ["IncidentIndex", "IndexedIncident"]

_DECODER = msgspec.json.Decoder(IncidentRecord)


@dataclass(frozen=True, slots=True)
class IndexedIncident:
    """An incident at its latest revision: metres in the local frame, UTC nanoseconds of the first shot."""

    incident_id: str
    time_ns: int
    x_m: float
    y_m: float


class IncidentIndex:
    """Looks incidents up.

    Parameters
    ----------
    database : Database
        The history's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def incidents(self, *, first_ns: int | None = None, last_ns: int | None = None) -> list[IndexedIncident]:
        """Return incidents, newest first; the bounds of the time of the first shot are both inclusive."""
        table = INCIDENTS.c
        query = sa.select(table.id, table.time_ns, table.x_m, table.y_m).where(_is_latest())
        query = query.order_by(table.time_ns.desc(), table.id)
        if first_ns is not None:
            query = query.where(table.time_ns >= first_ns)
        if last_ns is not None:
            query = query.where(table.time_ns <= last_ns)
        with self._database.reading() as db:
            return [IndexedIncident(*row) for row in db.execute(query)]

    def records(self, incident_ids: Sequence[str]) -> list[IncidentRecord]:
        """Return the latest revisions of at most 1000 incidents, in the order of their ids here."""
        query = sa.select(INCIDENTS.c.record).where(_is_latest(), INCIDENTS.c.id.in_(incident_ids))
        with self._database.reading() as db:
            found = [_DECODER.decode(row[0]) for row in db.execute(query)]
        by_id = {record.id: record for record in found}
        return [by_id[incident_id] for incident_id in incident_ids if incident_id in by_id]


def _is_latest() -> sa.ColumnElement[bool]:
    newest = INCIDENTS.alias("newest")
    last = sa.select(sa.func.max(newest.c.revision)).where(newest.c.id == INCIDENTS.c.id).scalar_subquery()
    return INCIDENTS.c.revision == last
