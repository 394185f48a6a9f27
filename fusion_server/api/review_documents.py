"""The JSON documents of review, access and audit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from fusion_server.api.documents import EXAMPLE_INCIDENT, ReceiptRecord
from fusion_server.review import REASONS, Acknowledgement, Decision, Outcome, ReviewRules, Told, moved_m
from fusion_server.reviewdesk import Review
from fusion_server.roles import Principal
from shotline.auditchain import AuditEntry, follow
from shotline.records import IncidentRecord
from shotline.timebase import format_utc

__all__ = [
    "EXAMPLE_ACCESS",
    "EXAMPLE_AUDIT",
    "EXAMPLE_DECISION_REQUEST",
    "EXAMPLE_DETAIL",
    "EXAMPLE_QUEUE",
    "EXAMPLE_REVIEW",
    "EXAMPLE_REVIEW_EVENT",
    "AccessDocument",
    "AcknowledgementRecord",
    "AuditPage",
    "AuditRecord",
    "DecisionRecord",
    "DecisionRequest",
    "IncidentDetail",
    "LoginRequest",
    "MoveRecord",
    "QueueItem",
    "QueuePage",
    "ReasonRecord",
    "ReasonsDocument",
    "ReviewEvent",
    "ReviewRecord",
    "access_document",
    "audit_record",
    "moves",
    "reasons_document",
    "review_record",
    "review_schema_components",
]


class DecisionRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a person decides, about the revision that was on the screen.

    ``newer_is_known`` says that the person decides although there is a newer revision.
    """

    revision: int
    outcome: str
    reason: str
    note: str = ""
    newer_is_known: bool = False


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signs in."""

    name: str
    password: str

    def __repr__(self) -> str:
        return f"LoginRequest({self.name!r}, password hidden)"


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What one person decided; ``reason_says`` is the reason's code in words."""

    number: int
    revision: int
    outcome: str
    reason: str
    reason_says: str
    note: str
    person: str
    time_utc: str


class AcknowledgementRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody took the alert on."""

    person: str
    time_utc: str


class ReviewRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Where an incident is in its review.

    ``outcome`` is what stands, null as long as nothing does; ``open`` means that a person still has something to do.
    ``changed_since_decision_m`` is how far the automatic result moved since the revision that was decided on.
    """

    outcome: str | None
    open: bool
    overdue: bool
    disputed: bool
    age_s: float
    reminders_due: int
    waits_for_second: DecisionRecord | None
    changed_since_decision_m: float | None
    decisions: Sequence[DecisionRecord]
    acknowledgements: Sequence[AcknowledgementRecord]


class MoveRecord(msgspec.Struct, frozen=True, kw_only=True):
    """How far one revision is from the one before."""

    from_revision: int
    to_revision: int
    moved_m: float


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of one incident: the latest revision, every revision from the first on, every receipt.

    ``review`` is what people made of it, ``moves`` how far each revision is from the one before.
    """

    incident: IncidentRecord
    revisions: Sequence[IncidentRecord]
    receipts: Sequence[ReceiptRecord]
    review: ReviewRecord
    moves: Sequence[MoveRecord]


class QueueItem(msgspec.Struct, frozen=True, kw_only=True):
    """An incident at its latest revision, and its review."""

    incident: IncidentRecord
    review: ReviewRecord


class QueuePage(msgspec.Struct, frozen=True, kw_only=True):
    """The queue, worst first. ``total`` counts all that match; ``next`` is the address of the page after this one."""

    items: Sequence[QueueItem]
    total: int
    limit: int
    offset: int
    next: str | None = None


class ReasonRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A reason for an outcome; with ``needs_note`` the note must say which."""

    code: str
    says: str
    needs_note: bool


class ReasonsDocument(msgspec.Struct, frozen=True, kw_only=True):
    """The reasons by outcome, and the rules of this server's review."""

    outcomes: Mapping[str, Sequence[ReasonRecord]]
    two_persons: bool
    acknowledge_within_s: float
    decide_within_s: float


class ReviewEvent(msgspec.Struct, frozen=True, kw_only=True):
    """What the event stream tells of a review: of a ``decision``, an ``acknowledgement`` or a ``reminder``."""

    incident: str
    revision: int
    review: ReviewRecord


class AccessDocument(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and what they may do. ``name`` is null when nobody is signed in."""

    mode: str
    name: str | None
    roles: Sequence[str]
    rights: Sequence[str]


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the audit log."""

    number: int
    time_utc: str
    time_ns: int
    actor: str
    action: str
    subject: str
    detail: Mapping[str, Any]
    previous: str
    digest: str


class AuditPage(msgspec.Struct, frozen=True, kw_only=True):
    """Entries of the audit log, oldest first. ``next`` is the address of the page after this one."""

    entries: Sequence[AuditRecord]
    next: str | None = None


def review_record(review: Review) -> ReviewRecord:
    """Return the JSON shape of a review."""
    status = review.status
    waits = status.standing.waits_for_second
    outcome = status.standing.outcome
    changed_m = status.changed_since_decision_m
    return ReviewRecord(
        outcome=None if outcome is None else outcome.value,
        open=status.open,
        overdue=status.overdue,
        disputed=status.standing.disputed,
        age_s=round(status.age_s, 1),
        reminders_due=status.reminders_due,
        waits_for_second=None if waits is None else _decision_record(waits),
        changed_since_decision_m=None if changed_m is None else round(changed_m, 3),
        decisions=[_decision_record(item) for item in review.decisions],
        acknowledgements=[_acknowledgement_record(item) for item in review.acknowledgements],
    )


def moves(revisions: Sequence[Told]) -> list[MoveRecord]:
    """Return how far each revision is from the one before."""
    return [
        MoveRecord(from_revision=before.revision, to_revision=after.revision, moved_m=round(moved_m(before, after), 3))
        for before, after in pairwise(revisions)
    ]


def reasons_document(rules: ReviewRules) -> ReasonsDocument:
    """Return the reasons and the rules."""
    return ReasonsDocument(
        outcomes={
            outcome.value: [
                ReasonRecord(code=code, says=says, needs_note=code == "other") for code, says in codes.items()
            ]
            for outcome, codes in REASONS.items()
        },
        two_persons=rules.two_persons,
        acknowledge_within_s=rules.acknowledge_within_s,
        decide_within_s=rules.decide_within_s,
    )


def access_document(principal: Principal | None, *, accounts: bool) -> AccessDocument:
    """Return who asks."""
    return AccessDocument(
        mode="accounts" if accounts else "open",
        name=None if principal is None else principal.name,
        roles=[] if principal is None else sorted(principal.roles),
        rights=[] if principal is None else sorted(principal.rights),
    )


def audit_record(entry: AuditEntry) -> AuditRecord:
    """Return the JSON shape of an entry; its digest is over ``time_ns``, not over the text."""
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return AuditRecord(time_utc=format_utc(entry.time_ns), **fields)


def review_schema_components() -> dict[str, Any]:
    """Return the JSON schemas of these documents, by name."""
    documents = (
        IncidentDetail,
        QueuePage,
        ReasonsDocument,
        ReviewEvent,
        DecisionRequest,
        LoginRequest,
        AccessDocument,
        AuditPage,
    )
    _, components = msgspec.json.schema_components(documents, ref_template="#/components/schemas/{name}")
    return components


def _decision_record(decision: Decision) -> DecisionRecord:
    return DecisionRecord(
        number=decision.number,
        revision=decision.revision,
        outcome=decision.outcome.value,
        reason=decision.reason,
        reason_says=REASONS[decision.outcome].get(decision.reason, decision.reason),
        note=decision.note,
        person=decision.person,
        time_utc=format_utc(decision.time_ns),
    )


def _acknowledgement_record(taken: Acknowledgement) -> AcknowledgementRecord:
    return AcknowledgementRecord(person=taken.person, time_utc=format_utc(taken.time_ns))


EXAMPLE_DECISION_REQUEST = DecisionRequest(revision=2, outcome="confirmed", reason="casings", note="two at the kerb")
EXAMPLE_REVIEW = ReviewRecord(
    outcome="confirmed",
    open=False,
    overdue=False,
    disputed=False,
    age_s=412.0,
    reminders_due=0,
    waits_for_second=None,
    changed_since_decision_m=0.0,
    decisions=[
        DecisionRecord(
            number=1,
            revision=2,
            outcome="confirmed",
            reason="casings",
            reason_says=REASONS[Outcome.CONFIRMED]["casings"],
            note="two at the kerb",
            person="ann",
            time_utc="2018-12-19T00:55:02.000000Z",
        )
    ],
    acknowledgements=[AcknowledgementRecord(person="ann", time_utc="2018-12-19T00:49:40.000000Z")],
)
EXAMPLE_DETAIL = IncidentDetail(
    incident=EXAMPLE_INCIDENT, revisions=[EXAMPLE_INCIDENT], receipts=[], review=EXAMPLE_REVIEW, moves=[]
)
EXAMPLE_QUEUE = QueuePage(
    items=[QueueItem(incident=EXAMPLE_INCIDENT, review=EXAMPLE_REVIEW)], total=1, limit=100, offset=0
)
EXAMPLE_REVIEW_EVENT = ReviewEvent(incident=EXAMPLE_INCIDENT.id, revision=2, review=EXAMPLE_REVIEW)
EXAMPLE_ACCESS = AccessDocument(
    mode="accounts", name="ann", roles=["auditor"], rights=["audit", "clips", "features", "health", "incidents"]
)
EXAMPLE_AUDIT = AuditPage(
    entries=[
        audit_record(
            follow(
                None,
                time_ns=1_545_180_580_000_000_000,
                actor="ann",
                action="acknowledge",
                subject=EXAMPLE_INCIDENT.id,
            )
        )
    ]
)
