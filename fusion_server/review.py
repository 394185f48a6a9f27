"""What people make of an incident: decisions as layers on top of the automatic result, which they never change.

An incident's automatic revisions are appended by fusion. On top of them people append decisions, each about the
revision that they saw. Nothing is overwritten and nothing expires: what stands follows from all that was appended.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from shotline.domain import IncidentState
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = [
    "REASONS",
    "Acknowledgement",
    "Decision",
    "Outcome",
    "ReviewRules",
    "ReviewStatus",
    "Standing",
    "Told",
    "check_decision",
    "moved_m",
    "review_status",
    "standing",
    "worst_first",
]

MOST_NOTE_CHARACTERS = 2_000
_PERSON_CHARACTERS = 128


class Told(Protocol):
    """What review needs to know of one revision; an `IncidentRecord` says it, and more."""

    @property
    def revision(self) -> int:
        """Counts up from 1."""
        ...

    @property
    def state(self) -> str:
        """A value of `IncidentState`."""
        ...

    @property
    def time_utc(self) -> str:
        """Of the first shot."""
        ...

    @property
    def as_of_utc(self) -> str:
        """When it was concluded."""
        ...

    @property
    def rounds(self) -> int:
        """How many shots."""
        ...

    @property
    def x_m(self) -> float:
        """East."""
        ...

    @property
    def y_m(self) -> float:
        """North."""
        ...

    @property
    def probability(self) -> float:
        """That it was gunfire."""
        ...


class Outcome(StrEnum):
    """What a person says that it was."""

    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    UNDETERMINED = "undetermined"


REASONS: Mapping[Outcome, Mapping[str, str]] = {
    Outcome.CONFIRMED: {
        "casings": "casings or projectiles found",
        "victim": "somebody was hit",
        "damage": "property was hit",
        "witness": "witnesses, calls",
        "video": "seen on video",
        "other": "other, see note",
    },
    Outcome.DISMISSED: {
        "fireworks": "fireworks",
        "vehicle": "vehicle, backfire",
        "construction": "construction, nail gun",
        "thunder": "thunder",
        "training": "authorised shooting, training",
        "equipment": "a node at fault",
        "test": "test or exercise",
        "duplicate": "the same as another incident",
        "other": "other, see note",
    },
    Outcome.UNDETERMINED: {
        "nothing_found": "searched, nothing found",
        "not_searched": "nobody searched",
        "no_access": "the place could not be reached",
        "unclear": "evidence contradicts itself",
        "other": "other, see note",
    },
}
"""Why, by outcome: code and what it says. Codes are kept for ever; what they say may be worded better."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one person decided.

    Parameters
    ----------
    number : int
        Counts up from 1 within an incident.
    incident_id : str
    revision : int
        Automatic revision that was on the person's screen.
    outcome : Outcome
    reason : str
        A code of `REASONS`.
    note : str
    person : str
        Account.
    time_ns : int
        UTC nanoseconds.
    """

    number: int
    incident_id: str
    revision: int
    outcome: Outcome
    reason: str
    note: str
    person: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledgement:
    """Somebody has seen the alert, and takes it on."""

    incident_id: str
    person: str
    time_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRules:
    """How incidents are reviewed.

    Parameters
    ----------
    two_persons : bool
        A decision stands once a second person decides the same.
    acknowledge_within_s : float
        An alert that nobody took on is repeated after so long, and again after each such span.
    decide_within_s : float
        An incident without a decision is overdue after so long.
    """

    two_persons: bool = False
    acknowledge_within_s: float = 30.0
    decide_within_s: float = 180.0


@dataclass(frozen=True, slots=True)
class Standing:
    """What stands.

    Parameters
    ----------
    outcome : Outcome | None
        None when nobody decided, or a second person is still to agree.
    decision : Decision | None
        The one that made it stand.
    waits_for_second : Decision | None
        Decided by one person, not yet by a second.
    disputed : bool
        The last words of two persons differ.
    """

    outcome: Outcome | None
    decision: Decision | None = None
    waits_for_second: Decision | None = None
    disputed: bool = False


@dataclass(frozen=True, slots=True)
class ReviewStatus:
    """Where an incident is in its review, at one instant.

    Parameters
    ----------
    standing : Standing
    acknowledged : Acknowledgement | None
        The first.
    age_s : float
        Since it was first told.
    reminders_due : int
        How often the alert should have been repeated by now: 0 once somebody took it on or decided.
    overdue : bool
        Nobody decided in time.
    changed_since_decision_m : float | None
        How far the automatic result has moved since the revision that was decided on; None where nothing stands.
    """

    standing: Standing
    acknowledged: Acknowledgement | None
    age_s: float
    reminders_due: int
    overdue: bool
    changed_since_decision_m: float | None

    @property
    def open(self) -> bool:
        """Whether a person still has something to do."""
        return self.standing.outcome is None


def check_decision(outcome: str, reason: str, note: str, person: str) -> Outcome:
    """Return the outcome if a decision can be made so.

    Raises
    ------
    InputError
        Names the field: an outcome or a reason that is none, a note that is too long or is missing where the reason is
        ``other``, nobody.
    """
    if outcome not in list(Outcome):
        raise InputError(f"'{outcome}', expected one of {', '.join(Outcome)}", field="outcome")
    codes = REASONS[Outcome(outcome)]
    if reason not in codes:
        raise InputError(f"'{reason}' is no reason for {outcome}; one of {', '.join(codes)}", field="reason")
    if len(note) > MOST_NOTE_CHARACTERS:
        raise InputError(f"{len(note)} characters, expected {MOST_NOTE_CHARACTERS} at the most", field="note")
    if "\x00" in note:
        raise InputError("has a NUL in it, which is no text; leave it out", field="note")
    if reason == "other" and not note.strip():
        raise InputError("missing; say what the other reason is", field="note")
    if not 0 < len(person) <= _PERSON_CHARACTERS:
        raise InputError(f"{len(person)} characters, expected 1 to {_PERSON_CHARACTERS}", field="person")
    return Outcome(outcome)


def standing(decisions: Iterable[Decision], *, two_persons: bool) -> Standing:
    """Return what stands of decisions in their order.

    With one person the last decision stands. With two, the last words of each person count: the newest stands when
    somebody else's last word is the same; until then what stood before it does.
    """
    result = Standing(None)
    last: dict[str, Decision] = {}
    for decision in decisions:
        last[decision.person] = decision
        others = [item for person, item in last.items() if person != decision.person]
        disputed = any(item.outcome is not decision.outcome for item in others)
        if not two_persons or any(item.outcome is decision.outcome for item in others):
            result = Standing(decision.outcome, decision, disputed=disputed)
        else:
            result = Standing(result.outcome, result.decision, waits_for_second=decision, disputed=disputed)
    return result


def moved_m(before: Told, after: Told) -> float:
    """Return the horizontal distance between two revisions of an incident."""
    return math.hypot(after.x_m - before.x_m, after.y_m - before.y_m)


def review_status(
    revisions: Sequence[Told],
    decisions: Sequence[Decision],
    acknowledgements: Sequence[Acknowledgement],
    *,
    rules: ReviewRules,
    now_ns: int,
) -> ReviewStatus:
    """Return where an incident is in its review.

    Parameters
    ----------
    revisions : sequence of Told
        At least one, oldest first.
    decisions, acknowledgements : sequence
        Of this incident, in their order.
    rules : ReviewRules
    now_ns : int
        UTC nanoseconds.
    """
    stands = standing(decisions, two_persons=rules.two_persons)
    first_told_ns = parse_utc(revisions[0].as_of_utc)
    age_s = max(0.0, (now_ns - first_told_ns) / NS_PER_S)
    acknowledged = acknowledgements[0] if acknowledgements else None
    quiet = bool(acknowledgements or decisions) or revisions[-1].state == IncidentState.RETRACTED
    due = 0 if quiet else max(0, now_ns - first_told_ns) // ns_from_seconds(rules.acknowledge_within_s)
    changed_m = None
    if stands.decision is not None:
        seen = next((item for item in revisions if item.revision == stands.decision.revision), revisions[0])
        changed_m = moved_m(seen, revisions[-1])
    return ReviewStatus(
        standing=stands,
        acknowledged=acknowledged,
        age_s=age_s,
        reminders_due=int(due),
        overdue=stands.outcome is None and age_s > rules.decide_within_s,
        changed_since_decision_m=changed_m,
    )


def worst_first(record: Told, status: ReviewStatus) -> tuple[bool, bool, float, str]:
    """Return the key by which the queue is sorted, ascending: what is open first, then what was not retracted.

    Among those the one with the most rounds to be expected, probability times rounds, and of equal ones the oldest:
    whoever waits longest is next. Nothing ever leaves the queue.
    """
    return (
        not status.open,
        record.state == IncidentState.RETRACTED,
        -record.probability * max(1, record.rounds),
        record.time_utc,
    )
