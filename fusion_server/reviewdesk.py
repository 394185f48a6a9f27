"""The queue of incidents and where each is in its review, out of the database. How many questions it asks is fixed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import groupby

import sqlalchemy as sa

from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.review import (
    Acknowledgement,
    Decision,
    Outcome,
    ReviewRules,
    ReviewStatus,
    Told,
    review_status,
    standing,
    worst_first,
)
from fusion_server.tables import ACKNOWLEDGEMENTS, DECISIONS, INCIDENTS
from shotline.domain import IncidentState
from shotline.timebase import format_utc
from shotline.units import NS_PER_S

__all__ = ["QueueEntry", "QueueFilter", "Review", "ReviewDesk", "Show"]

_HOUR_NS = 3_600 * NS_PER_S


class Show(StrEnum):
    """Which incidents of the queue."""

    OPEN = "open"
    UNACKNOWLEDGED = "unacknowledged"
    OVERDUE = "overdue"
    WAITS_FOR_SECOND = "waits_for_second"
    DISPUTED = "disputed"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    UNDETERMINED = "undetermined"
    ALL = "all"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFilter:
    """What is asked of the queue.

    Parameters
    ----------
    show : Show
    since_ns, until_ns : int | None
        Bound the time of the first shot: inclusive, exclusive.
    least_probability : float
    """

    show: Show = Show.OPEN
    since_ns: int | None = None
    until_ns: int | None = None
    least_probability: float = 0.0


@dataclass(frozen=True, slots=True)
class Review:
    """An incident's review: where it is, and all that was appended."""

    status: ReviewStatus
    decisions: Sequence[Decision]
    acknowledgements: Sequence[Acknowledgement]


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One incident of the queue, at its latest revision."""

    incident_id: str
    review: Review


@dataclass(frozen=True, slots=True)
class _Row:
    incident_id: str
    revision: int
    state: str
    time_ns: int
    as_of_ns: int
    rounds: int
    x_m: float
    y_m: float
    probability: float

    @property
    def time_utc(self) -> str:
        return format_utc(self.time_ns)

    @property
    def as_of_utc(self) -> str:
        return format_utc(self.as_of_ns)


class ReviewDesk:
    """Reads what stands.

    Parameters
    ----------
    database : Database
        The history's.
    casebook : Casebook
    rules : ReviewRules
    """

    def __init__(self, database: Database, casebook: Casebook, rules: ReviewRules) -> None:
        self._database = database
        self._casebook = casebook
        self.rules = rules

    def queue(self, wanted: QueueFilter, *, now_ns: int) -> list[QueueEntry]:
        """Return all incidents that are wanted, worst first, in three questions to the database at the most."""
        entries = self._entries(wanted, now_ns=now_ns)
        entries.sort(key=lambda item: worst_first(item[0], item[1].review.status))
        return [entry for _, entry in entries]

    def review(self, incident_id: str, revisions: Sequence[Told], *, now_ns: int) -> Review:
        """Return the review of one incident, given its revisions, in two questions to the database."""
        decisions = self._casebook.decisions([incident_id]).get(incident_id, [])
        acknowledgements = self._casebook.acknowledgements([incident_id]).get(incident_id, [])
        return self._review(revisions, decisions, acknowledgements, now_ns=now_ns)

    def confirmed(self) -> set[str]:
        """Return the incidents that people confirmed, and nobody said otherwise since."""
        found = self._casebook.decisions()
        return {
            incident_id
            for incident_id, decisions in found.items()
            if standing(decisions, two_persons=self.rules.two_persons).outcome is Outcome.CONFIRMED
        }

    def reminders_due(self, *, since_ns: int, now_ns: int) -> list[tuple[str, int]]:
        """Return incidents that nobody took on, worst first, and how often each should have been repeated by now.

        Parameters
        ----------
        since_ns : int
            Leave out incidents whose first shot was before.
        now_ns : int
            UTC nanoseconds.
        """
        wanted = QueueFilter(show=Show.UNACKNOWLEDGED, since_ns=since_ns)
        entries = [(item.incident_id, item.review.status.reminders_due) for item in self.queue(wanted, now_ns=now_ns)]
        return [(incident_id, due) for incident_id, due in entries if due]

    def _entries(self, wanted: QueueFilter, *, now_ns: int) -> list[tuple[_Row, QueueEntry]]:
        revisions = self._revisions(wanted)
        decisions: Mapping[str, Sequence[Decision]] = {}
        acknowledgements: Mapping[str, Sequence[Acknowledgement]] = {}
        if not self._undecided_only(wanted.show):
            decisions = self._casebook.decisions()
        if wanted.show is not Show.UNACKNOWLEDGED:
            acknowledgements = self._casebook.acknowledgements()
        entries = []
        for incident_id, rows in groupby(revisions, key=lambda row: row.incident_id):
            told = list(rows)
            review = self._review(
                told, decisions.get(incident_id, ()), acknowledgements.get(incident_id, ()), now_ns=now_ns
            )
            if _within(told[-1], wanted) and _shown(told[-1], review, wanted.show):
                entries.append((told[-1], QueueEntry(incident_id, review)))
        return entries

    def _revisions(self, wanted: QueueFilter) -> list[_Row]:
        """Return revisions by incident, oldest first; those that cannot be wanted are left in the database."""
        table = INCIDENTS.c
        columns = (table.id, table.revision, table.state, table.time_ns, table.as_of_ns, table.rounds)
        query = sa.select(*columns, table.x_m, table.y_m, table.probability).order_by(table.id, table.revision)
        # The first shot of another revision may be a little earlier or later; what is wanted is decided by the latest.
        if wanted.since_ns is not None:
            query = query.where(table.time_ns >= wanted.since_ns - _HOUR_NS)
        if wanted.until_ns is not None:
            query = query.where(table.time_ns < wanted.until_ns + _HOUR_NS)
        decided = sa.exists().where(DECISIONS.c.incident_id == table.id)
        if wanted.show in (Show.CONFIRMED, Show.DISMISSED, Show.UNDETERMINED):
            query = query.where(decided)
        elif self._undecided_only(wanted.show):
            query = query.where(~decided)
        if wanted.show is Show.UNACKNOWLEDGED:
            query = query.where(~sa.exists().where(ACKNOWLEDGEMENTS.c.incident_id == table.id))
        with self._database.reading() as db:
            return [_Row(*row) for row in db.execute(query)]

    def _undecided_only(self, show: Show) -> bool:
        """Return whether an incident that anybody decided on cannot be wanted: with one person each decision stands."""
        return show is Show.UNACKNOWLEDGED or (show in (Show.OPEN, Show.OVERDUE) and not self.rules.two_persons)

    def _review(
        self,
        revisions: Sequence[Told],
        decisions: Sequence[Decision],
        acknowledgements: Sequence[Acknowledgement],
        *,
        now_ns: int,
    ) -> Review:
        status = review_status(revisions, decisions, acknowledgements, rules=self.rules, now_ns=now_ns)
        return Review(status, decisions, acknowledgements)


def _within(latest: _Row, wanted: QueueFilter) -> bool:
    return (
        (wanted.since_ns is None or latest.time_ns >= wanted.since_ns)
        and (wanted.until_ns is None or latest.time_ns < wanted.until_ns)
        and latest.probability >= wanted.least_probability
    )


def _shown(latest: _Row, review: Review, show: Show) -> bool:
    status = review.status
    match show:
        case Show.ALL:
            return True
        case Show.OPEN:
            return status.open
        case Show.UNACKNOWLEDGED:
            return latest.state != IncidentState.RETRACTED
        case Show.OVERDUE:
            return status.overdue
        case Show.WAITS_FOR_SECOND:
            return status.standing.waits_for_second is not None
        case Show.DISPUTED:
            return status.standing.disputed
        case _:
            return status.standing.outcome == Outcome(show.value)
