"""What is kept how long, and what may go. Pure: rows, facts and an instant go in, the rows that may go come out.

Four kinds of rows expire: detections, clips, rejects and receipts of alerts. How long each is kept depends on what
people decided of the incidents that it belongs to. A legal hold keeps everything that it covers, whatever its age.
Incidents, decisions, the audit log and receipts of deletion never expire.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fusion_server.review import Decision, Outcome, standing
from shotline.errors import InputError
from shotline.units import NS_PER_S

__all__ = [
    "NS_PER_DAY",
    "Case",
    "Hold",
    "Kind",
    "RetentionPolicy",
    "Row",
    "Tie",
    "check_hold",
    "check_words",
    "expired",
    "is_held",
    "keys_digest",
    "ties_of",
]

NS_PER_DAY = 86_400 * NS_PER_S
_MOST_REASON_CHARACTERS = 2_000
_MOST_PERSON_CHARACTERS = 128


class Kind(StrEnum):
    """Of rows that expire."""

    DETECTIONS = "detections"
    CLIPS = "clips"
    REJECTS = "rejects"
    RECEIPTS = "receipts"


class Tie(StrEnum):
    """How a row is tied to incidents: what was decided of one that it belongs to, or that it belongs to none."""

    ALONE = "alone"
    UNDECIDED = "undecided"
    CONFIRMED = "confirmed"
    DISMISSED = "dismissed"
    UNDETERMINED = "undetermined"


_UNKNOWN = frozenset({Tie.UNDECIDED})


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long rows are kept.

    Parameters
    ----------
    terms_ns : mapping of Kind to mapping of Tie to int | None
        Nanoseconds after which a row may go. None, or no word: it is kept.
    """

    terms_ns: Mapping[Kind, Mapping[Tie, int | None]]

    def term_ns(self, kind: Kind, ties: Iterable[Tie]) -> int | None:
        """Return how long a row with these ties is kept: the longest that any of them asks for; None is for ever."""
        terms = [self.terms_ns.get(kind, {}).get(tie) for tie in ties]
        known = [term for term in terms if term is not None]
        return max(known) if known and len(known) == len(terms) else None

    def shortest_ns(self, kind: Kind) -> int | None:
        """Return the age below which no row of the kind goes; None where none ever does."""
        return min((term for term in self.terms_ns.get(kind, {}).values() if term is not None), default=None)

    def says(self, kind: Kind) -> str:
        """Return the terms of a kind in words."""
        terms = self.terms_ns.get(kind, {})
        return ", ".join(
            f"{tie.value} kept" if (term := terms[tie]) is None else f"{tie.value} {term / NS_PER_DAY:g} days"
            for tie in Tie
            if tie in terms
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What has to be known of one row.

    Parameters
    ----------
    kind : Kind
    key : str
        Its identity, unique within its kind.
    since_ns : int
        UTC nanoseconds from which its age counts.
    instants_ns : tuple of int
        Any instant that it is about: a hold on a span that has one of them covers it.
    incidents : tuple of str
        Ids of the incidents that it belongs to.
    needed : bool
        The server still works with it.
    """

    kind: Kind
    key: str
    since_ns: int
    instants_ns: tuple[int, ...]
    incidents: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """What has to be known of one incident.

    Parameters
    ----------
    ties : frozenset of Tie
        What was decided; more than one where persons disagree.
    first_ns, last_ns : int
        From its first shot to what was concluded last, UTC nanoseconds of event time.
    """

    ties: frozenset[Tie]
    first_ns: int
    last_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """A legal hold: on an incident, or on a span of time. Nothing that it covers expires until it is released.

    Parameters
    ----------
    id : int
    incident_id : str | None
    from_ns, until_ns : int | None
        UTC nanoseconds, without the last; both or neither.
    reason : str
    person : str
        Who placed it.
    time_ns : int
        When it was placed.
    """

    id: int
    incident_id: str | None = None
    from_ns: int | None = None
    until_ns: int | None = None
    reason: str
    person: str
    time_ns: int

    def covers_span(self, first_ns: int, last_ns: int) -> bool:
        """Return whether it is on a span of time that has an instant with this one, both ends included."""
        if self.from_ns is None or self.until_ns is None:
            return False
        return first_ns < self.until_ns and last_ns >= self.from_ns


def check_hold(incident_id: str | None, from_ns: int | None, until_ns: int | None, *, reason: str, person: str) -> None:
    """Check that a hold can be placed so.

    Raises
    ------
    InputError
        It is on neither an incident nor a span, or on both; the span is empty; see `check_words` for the rest.
    """
    on_span = from_ns is not None and until_ns is not None
    if (incident_id is not None) == on_span or (from_ns is None) != (until_ns is None):
        raise InputError("a hold is on an incident, or on a span from one instant to a later one; give one of them")
    if from_ns is not None and until_ns is not None and until_ns <= from_ns:
        raise InputError("the span of a hold ends before it begins; give a later end")
    check_words(reason=reason, person=person)


def check_words(*, reason: str, person: str) -> None:
    """Check who places or releases a hold, and why.

    Raises
    ------
    InputError
        Either is missing, or too long.
    """
    for field, text, most in (("reason", reason, _MOST_REASON_CHARACTERS), ("person", person, _MOST_PERSON_CHARACTERS)):
        if not text.strip() or len(text) > most:
            raise InputError(f"{len(text)} characters, expected 1 to {most}", field=field)


def ties_of(decisions: Sequence[Decision], *, two_persons: bool) -> frozenset[Tie]:
    """Return what was decided of an incident.

    Where persons disagree, or a second one has yet to agree, it is everything that any of them said last, and that
    nothing is decided: the longest of the terms counts.
    """
    stands = standing(decisions, two_persons=two_persons)
    if stands.outcome is not None and not stands.disputed and stands.waits_for_second is None:
        return frozenset({Tie(stands.outcome.value)})
    last: dict[str, Outcome] = {decision.person: decision.outcome for decision in decisions}
    return frozenset({Tie.UNDECIDED, *(Tie(outcome.value) for outcome in last.values())})


def is_held(row: Row, cases: Mapping[str, Case], holds: Iterable[Hold]) -> bool:
    """Return whether any hold covers a row: by its incident, or by an instant of its own or of its incident."""
    known = [cases[incident] for incident in row.incidents if incident in cases]
    return any(
        hold.incident_id in row.incidents
        or any(hold.covers_span(instant_ns, instant_ns) for instant_ns in row.instants_ns)
        or any(hold.covers_span(case.first_ns, case.last_ns) for case in known)
        for hold in holds
    )


def expired(
    rows: Iterable[Row], *, cases: Mapping[str, Case], policy: RetentionPolicy, holds: Sequence[Hold], now_ns: int
) -> list[Row]:
    """Return the rows that may go: older than their term, covered by no hold, and needed no more.

    Parameters
    ----------
    rows : iterable of Row
    cases : mapping
        Of the incidents that the rows belong to. One that is not there counts as undecided.
    policy : RetentionPolicy
    holds : sequence of Hold
        That are not released.
    now_ns : int
        UTC nanoseconds.
    """
    gone = []
    for row in rows:
        ties = {tie for incident in row.incidents for tie in (cases[incident].ties if incident in cases else _UNKNOWN)}
        term_ns = policy.term_ns(row.kind, ties or {Tie.ALONE})
        if term_ns is None or row.needed or now_ns - row.since_ns < term_ns or is_held(row, cases, holds):
            continue
        gone.append(row)
    return gone


def keys_digest(keys: Iterable[str]) -> str:
    """Return the SHA-256 of identities, sorted, each followed by a line feed, as UTF-8."""
    return hashlib.sha256("".join(f"{key}\n" for key in sorted(keys)).encode()).hexdigest()
