"""What people do with incidents: the queue, acknowledgements, decisions. The automatic result is never changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from fusion_server.api.answers import Body, answers, decoded, instant, json_answer, next_page, only, request_body
from fusion_server.api.feed import LiveFeed
from fusion_server.api.gating import coarse_incident
from fusion_server.api.problems import ApiProblemError
from fusion_server.api.review_documents import (
    EXAMPLE_DECISION_REQUEST,
    EXAMPLE_QUEUE,
    EXAMPLE_REVIEW,
    DecisionRequest,
    QueueItem,
    QueuePage,
    ReviewEvent,
    ReviewRecord,
    reasons_document,
    review_record,
)
from fusion_server.casebook import Casebook
from fusion_server.incidentindex import IncidentIndex
from fusion_server.review import ReviewRules
from fusion_server.reviewdesk import QueueFilter, Review, ReviewDesk, Show
from fusion_server.roles import Principal, Right
from shotline.errors import InputError
from shotline.records import IncidentRecord

__all__ = ["ReviewRoutes", "announce_reminder", "review_router", "who"]

_Limit = Annotated[int, Query(ge=1, le=1000, description="incidents on a page")]
_Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="incidents to leave out, worst first")]
_Show = Annotated[Show, Query(description="which incidents")]
_Instant = Annotated[str | None, Query(max_length=64, examples=["2018-12-19T00:49:26Z"])]
_Probability = Annotated[float, Query(ge=0.0, le=1.0, description="least probability")]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewRoutes:
    """What the routes need.

    Parameters
    ----------
    casebook : Casebook
    desk : ReviewDesk
    index : IncidentIndex
    revisions_of : callable
        Returns the revisions of an incident, or raises 404.
    live : LiveFeed
    now_ns : callable
        Wall clock, UTC nanoseconds: when people did something.
    event_ns : callable
        Event time, the same but in a replay: how old incidents are.
    """

    casebook: Casebook
    desk: ReviewDesk
    index: IncidentIndex
    revisions_of: Callable[[str], list[IncidentRecord]]
    live: LiveFeed
    now_ns: Callable[[], int]
    event_ns: Callable[[], int]

    def review(self, incident_id: str, revisions: list[IncidentRecord]) -> ReviewRecord:
        """Return where an incident is in its review."""
        return review_record(self.desk.review(incident_id, revisions, now_ns=self.event_ns()))


def review_router(parts: ReviewRoutes) -> APIRouter:
    """Return the routes of review."""
    router = APIRouter()
    reasons = reasons_document(parts.desk.rules)

    @router.get(
        "/review/queue",
        summary="Incidents for people to decide on, worst first",
        responses=answers("QueuePage", example=EXAMPLE_QUEUE),
        dependencies=[Depends(only("limit", "offset", "show", "since", "until", "least_probability"))],
    )
    def queue(
        request: Request,
        limit: _Limit = 100,
        offset: _Offset = 0,
        show: _Show = Show.OPEN,
        since: _Instant = None,
        until: _Instant = None,
        least_probability: _Probability = 0.0,
    ) -> Response:
        """Return each incident at its latest revision with its review; nothing is ever dropped from the queue."""
        wanted = QueueFilter(
            show=show,
            since_ns=instant(since, "since"),
            until_ns=instant(until, "until"),
            least_probability=least_probability,
        )
        entries = parts.desk.queue(wanted, now_ns=parts.event_ns())
        page = entries[offset : offset + limit]
        reviews = {entry.incident_id: entry.review for entry in page}
        coarse = not who(request).may(Right.SENSOR_POSITIONS)
        items = [
            QueueItem(incident=coarse_incident(record) if coarse else record, review=review_record(reviews[record.id]))
            for record in parts.index.records(list(reviews))
        ]
        following = next_page(request, limit=limit, offset=offset) if offset + limit < len(entries) else None
        headers = {"Link": f'<{following}>; rel="next"'} if following else {}
        document = QueuePage(items=items, total=len(entries), limit=limit, offset=offset, next=following)
        return json_answer(document, headers=headers)

    @router.get(
        "/review/reasons",
        summary="Reasons for decisions, and the rules of review",
        responses=answers("ReasonsDocument", example=reasons_document(ReviewRules())),
    )
    def list_reasons() -> Response:
        """Return the codes by outcome; codes are kept for ever."""
        return json_answer(reasons)

    @router.post(
        "/incidents/{incident_id}/acknowledge",
        summary="Take an alert on",
        responses=answers("ReviewRecord", missing=True, example=EXAMPLE_REVIEW),
    )
    def acknowledge(incident_id: str, request: Request) -> Response:
        """Say that you have seen the alert and take it on: it is not repeated any more. Once more changes nothing."""
        revisions = parts.revisions_of(incident_id)
        person = who(request).name
        before = parts.desk.review(incident_id, revisions, now_ns=parts.event_ns())
        if any(item.person == person for item in before.acknowledgements):
            return json_answer(review_record(before))
        parts.casebook.acknowledge(incident_id, person=person, time_ns=parts.now_ns())
        return _told("acknowledgement", incident_id, revisions, HTTPStatus.OK)

    @router.post(
        "/incidents/{incident_id}/decisions",
        summary="Decide what an incident was",
        status_code=HTTPStatus.CREATED,
        responses=answers(
            "ReviewRecord",
            missing=True,
            example=EXAMPLE_REVIEW,
            status=HTTPStatus.CREATED,
            others={
                409: "There is a newer revision than the one decided on; look at it, or say newer_is_known",
                413: "The body is too long",
            },
        ),
        openapi_extra=request_body("DecisionRequest", EXAMPLE_DECISION_REQUEST),
    )
    def decide(incident_id: str, request: Request, body: Body) -> Response:
        """Append a decision about the revision that was on your screen. Earlier ones stay as they are."""
        asked = decoded(body, DecisionRequest)
        revisions = parts.revisions_of(incident_id)
        _check_revision(asked, revisions)
        try:
            parts.casebook.decide(
                incident_id,
                revision=asked.revision,
                outcome=asked.outcome,
                reason=asked.reason,
                note=asked.note,
                person=who(request).name,
                time_ns=parts.now_ns(),
            )
        except InputError as error:
            raise ApiProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error
        return _told("decision", incident_id, revisions, HTTPStatus.CREATED)

    def _told(kind: str, incident_id: str, revisions: list[IncidentRecord], status: HTTPStatus) -> Response:
        review = parts.review(incident_id, revisions)
        revision = revisions[-1].revision
        count = len(review.decisions) if kind == "decision" else len(review.acknowledgements)
        event = ReviewEvent(incident=incident_id, revision=revision, review=review)
        parts.live.announce(kind, f"{incident_id}/{kind}/{count}", event)
        return json_answer(review, status=status)

    return router


def announce_reminder(live: LiveFeed, record: IncidentRecord, review: Review, number: int) -> None:
    """Say on the event stream that nobody took an incident on for so many spans."""
    event = ReviewEvent(incident=record.id, revision=record.revision, review=review_record(review))
    live.announce("reminder", f"{record.id}/reminder/{number}", event)


def who(request: Request) -> Principal:
    """Return who asks; `Gate.admit` let them in."""
    principal: Principal = request.state.principal
    return principal


def _check_revision(asked: DecisionRequest, revisions: list[IncidentRecord]) -> None:
    if asked.revision not in [record.revision for record in revisions]:
        raise ApiProblemError(
            HTTPStatus.BAD_REQUEST,
            f"revision: {asked.revision}, expected one of this incident, 1 to {revisions[-1].revision}",
        )
    newest = revisions[-1]
    if asked.revision != newest.revision and not asked.newer_is_known:
        raise ApiProblemError(
            HTTPStatus.CONFLICT,
            f"revision {newest.revision} of {newest.as_of_utc} is newer than {asked.revision}, which was decided on; "
            "look at it and decide again, or send newer_is_known = true",
        )
