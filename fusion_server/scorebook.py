"""What the scorecard is made from, out of the database: incidents with what was done about them, reported misses, and
the minutes in which the server ran and nodes were heard.

Misses and heard minutes are appended here and never changed. A miss and its entry in the audit log are committed
together.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec
import sqlalchemy as sa

from fusion_server.casebook import Casebook, append_entry
from fusion_server.database import Database
from fusion_server.review import Acknowledgement, Decision
from fusion_server.scorecard import Case, Evidence, HeardHour, Miss
from fusion_server.scorecard.heard import HOUR_NS
from fusion_server.tables import HEARD_HOURS, INCIDENTS, MISSES, RECEIPTS
from shotline.domain import IncidentState
from shotline.errors import InputError
from shotline.timebase import format_utc

__all__ = ["Scorebook"]

_MOST_PERSON_CHARACTERS = 128
_MOST_TEXT_CHARACTERS = 1_000
_IDS_PER_QUERY = 1_000

_Dated = TypeVar("_Dated", Decision, Acknowledgement)


class _SceneOf(msgspec.Struct):
    scene: str = ""


_SCENE = msgspec.json.Decoder(_SceneOf)


class Scorebook:
    """Misses, heard minutes, and the evidence of a period.

    Parameters
    ----------
    database : Database
        The history's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- misses -------------------------------------------------------------------------------------------------

    def add_miss(
        self, *, time_ns: int, x_m: float, y_m: float, said_by: str, reason: str, person: str, now_ns: int
    ) -> Miss:
        """Append a reported miss, and its entry in the audit log.

        Raises
        ------
        InputError
            Names the field that cannot be used.
        StorageError
            Neither is kept.
        """
        for field, text, most in (
            ("said_by", said_by, _MOST_TEXT_CHARACTERS),
            ("reason", reason, _MOST_TEXT_CHARACTERS),
            ("person", person, _MOST_PERSON_CHARACTERS),
        ):
            if not text.strip() or len(text) > most:
                raise InputError(f"{len(text)} characters, expected 1 to {most}", field=field)
            if "\x00" in text:
                raise InputError("has a NUL in it, which is no text; leave it out", field=field)
        if not (math.isfinite(x_m) and math.isfinite(y_m)):
            raise InputError(f"x {x_m} m, y {y_m} m is no place; expected numbers", field="place")
        if time_ns > now_ns:
            when, now = format_utc(time_ns, digits=0), format_utc(now_ns, digits=0)
            raise InputError(f"{when} is after now ({now}); a miss is reported once it happened", field="time")
        with self._database.writing() as db:
            last = db.execute(sa.select(sa.func.max(MISSES.c.number))).scalar_one()
            miss = Miss(
                number=(last or 0) + 1,
                time_ns=time_ns,
                x_m=x_m,
                y_m=y_m,
                said_by=said_by,
                reason=reason,
                person=person,
                entered_ns=now_ns,
            )
            row = dataclasses.asdict(miss)
            db.execute(sa.insert(MISSES), row)
            append_entry(
                db, time_ns=now_ns, actor=person, action="miss", subject=f"miss {miss.number}", detail=_detail(row)
            )
        return miss

    def misses(self, since_ns: int | None = None, until_ns: int | None = None) -> list[Miss]:
        """Return the misses of a period by when they happened; all of them without one."""
        query = _between(sa.select(MISSES), MISSES.c.time_ns, since_ns, until_ns)
        with self._database.reading() as db:
            return [Miss(**row) for row in db.execute(query.order_by(MISSES.c.time_ns, MISSES.c.number)).mappings()]

    # --- heard minutes ------------------------------------------------------------------------------------------

    def add_heard(self, rows: Sequence[HeardHour]) -> None:
        """Append the minutes in which the server ran and nodes were heard, in one transaction."""
        if not rows:
            return
        with self._database.writing() as db:
            db.execute(sa.insert(HEARD_HOURS), [dataclasses.asdict(row) for row in rows])

    def heard(self, since_ns: int, until_ns: int) -> list[HeardHour]:
        """Return what is kept of the hours that touch a period."""
        table = HEARD_HOURS.c
        query = _between(
            sa.select(table.hour_ns, table.node, table.minutes), table.hour_ns, since_ns - HOUR_NS + 1, until_ns
        )
        with self._database.reading() as db:
            return [HeardHour(*row) for row in db.execute(query.order_by(table.id))]

    def heard_rows(self, since_ns: int, until_ns: int) -> int:
        """Return how many rows `heard` would."""
        hour_ns = HEARD_HOURS.c.hour_ns
        query = _between(sa.select(sa.func.count(hour_ns)), hour_ns, since_ns - HOUR_NS + 1, until_ns)
        with self._database.reading() as db:
            return int(db.execute(query).scalar_one())

    # --- evidence -----------------------------------------------------------------------------------------------

    def begin_ns(self) -> int | None:
        """Return when the first thing happened that a scorecard could count; None when nothing did."""
        columns = (INCIDENTS.c.time_ns, HEARD_HOURS.c.hour_ns, MISSES.c.time_ns)
        with self._database.reading() as db:
            firsts = [db.execute(sa.select(sa.func.min(column))).scalar_one() for column in columns]
        return min((first for first in firsts if first is not None), default=None)

    def evidence(
        self,
        since_ns: int,
        until_ns: int,
        *,
        around_ns: int = 0,
        scene: str = "",
        event_ns: Callable[[int], int] = lambda wall_ns: wall_ns,
    ) -> Evidence:
        """Return all that is kept about a period.

        Parameters
        ----------
        since_ns, until_ns : int
            Event time, the end exclusive.
        around_ns : int
            Incidents so long before and after are there too, for what is near in time.
        scene : str
            Incidents of this recording; "" for live ones.
        event_ns : callable (wall_ns) -> int
            Event time from the wall time of receipts, decisions and acknowledgements.
        """
        first_ns, end_ns = since_ns - around_ns, until_ns + around_ns
        latest, other_scenes = self._latest(first_ns, end_ns, scene, since_ns, until_ns)
        ids = list(latest)
        first = self._first(ids)
        delivered = self._delivered(ids)
        book = Casebook(self._database)
        cases = []
        for page in _pages(ids):
            decisions, acknowledgements = book.decisions(page), book.acknowledgements(page)
            for incident_id in page:
                row, sound = latest[incident_id], first[incident_id]
                cases.append(
                    Case(
                        incident_id=incident_id,
                        time_ns=row.time_ns,
                        sound_ns=sound.time_ns,
                        fixed_ns=sound.as_of_ns,
                        x_m=row.x_m,
                        y_m=row.y_m,
                        retracted=row.state == IncidentState.RETRACTED,
                        decisions=_dated(decisions.get(incident_id, ()), event_ns),
                        acknowledgements=_dated(acknowledgements.get(incident_id, ()), event_ns),
                        delivered_ns={
                            sink: None if taken_ns is None else event_ns(taken_ns)
                            for sink, taken_ns in delivered.get(incident_id, {}).items()
                        },
                    )
                )
        return Evidence(
            cases=cases,
            misses=self.misses(since_ns, until_ns),
            heard=self.heard(since_ns, until_ns),
            other_scenes=other_scenes,
        )

    def _latest(
        self, first_ns: int, end_ns: int, scene: str, since_ns: int, until_ns: int
    ) -> tuple[dict[str, Any], int]:
        """Return the latest revision of each incident by its id, and how many there are of other scenes."""
        table, newest = INCIDENTS.c, INCIDENTS.alias("newest")
        last = sa.select(sa.func.max(newest.c.revision)).where(newest.c.id == table.id).scalar_subquery()
        query = sa.select(table.id, table.state, table.time_ns, table.x_m, table.y_m, table.record)
        query = _between(query.where(table.revision == last), table.time_ns, first_ns, end_ns)
        found: dict[str, Any] = {}
        other_scenes = 0
        with self._database.reading() as db:
            for row in db.execute(query.order_by(table.time_ns, table.id)):
                if _SCENE.decode(row.record).scene == scene:
                    found[row.id] = row
                else:
                    other_scenes += since_ns <= row.time_ns < until_ns
        return found, other_scenes

    def _first(self, ids: Sequence[str]) -> dict[str, Any]:
        table, oldest = INCIDENTS.c, INCIDENTS.alias("oldest")
        first = sa.select(sa.func.min(oldest.c.revision)).where(oldest.c.id == table.id).scalar_subquery()
        query = sa.select(table.id, table.time_ns, table.as_of_ns).where(table.revision == first)
        with self._database.reading() as db:
            return {row.id: row for page in _pages(ids) for row in db.execute(query.where(table.id.in_(page)))}

    def _delivered(self, ids: Sequence[str]) -> dict[str, dict[str, int | None]]:
        table = RECEIPTS.c
        taken_ns = sa.func.min(sa.case((table.ok, table.time_ns)))
        query = sa.select(table.incident_id, table.sink, taken_ns).group_by(table.incident_id, table.sink)
        found: dict[str, dict[str, int | None]] = {}
        with self._database.reading() as db:
            for page in _pages(ids):
                for incident_id, sink, first_ns in db.execute(query.where(table.incident_id.in_(page))):
                    found.setdefault(incident_id, {})[sink] = first_ns
        return found


def _between(
    query: sa.Select[Any], column: sa.ColumnElement[int], since_ns: int | None, until_ns: int | None
) -> sa.Select[Any]:
    if since_ns is not None:
        query = query.where(column >= since_ns)
    if until_ns is not None:
        query = query.where(column < until_ns)
    return query


def _pages(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + _IDS_PER_QUERY] for start in range(0, len(ids), _IDS_PER_QUERY)]


def _dated(items: Sequence[_Dated], event_ns: Callable[[int], int]) -> tuple[_Dated, ...]:
    return tuple(dataclasses.replace(item, time_ns=event_ns(item.time_ns)) for item in items)


def _detail(row: dict[str, Any]) -> dict[str, object]:
    """Return what the audit log keeps: the place and the instant as text, which no reader rounds."""
    return {
        "number": row["number"],
        "time_utc": format_utc(row["time_ns"], digits=9),
        "x_m": row["x_m"],
        "y_m": row["y_m"],
        "said_by": row["said_by"],
        "reason": row["reason"],
    }
