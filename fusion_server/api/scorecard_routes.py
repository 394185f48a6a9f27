"""The scorecard as JSON, CSV and page, and the register of reported misses."""

from __future__ import annotations

import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from fusion_server.api.answers import Body, answers, decoded, instant, json_answer, next_page, only, request_body
from fusion_server.api.problems import ApiProblemError
from fusion_server.api.review_routes import who
from fusion_server.api.scorecard_documents import (
    EXAMPLE_MISS,
    EXAMPLE_MISS_REQUEST,
    MissPage,
    MissRequest,
    example_scorecard,
    miss_record,
)
from fusion_server.api.scorecards import Scorecards
from fusion_server.roles import Right
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import (
    PAGE_POLICY,
    Scorecard,
    monday_ns,
    public_form,
    scorecard_csv,
    scorecard_html,
)
from shotline.errors import InputError
from shotline.geodesy import LocalFrame

__all__ = ["scorecard_router"]

_CSV = "text/csv; charset=utf-8"
_HTML = "text/html; charset=utf-8"
_PAGE_HEADERS = {"Content-Security-Policy": f"{PAGE_POLICY}; frame-ancestors 'none'"}
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_MOST_AREAS = 100
_BUSY = {404: "Nothing is kept of that time", 503: "The history cannot be read, or too many scorecards are being made"}
_Since = Annotated[
    str | None,
    Query(
        max_length=64,
        description="first day or instant, UTC; without it 91 days before the end, 28 or 7 of a large network, or the "
        "first thing kept",
        examples=["2026-03-01"],
    ),
]
_Until = Annotated[
    str | None,
    Query(max_length=64, description="first day or instant that is no longer in it, UTC; now", examples=["2026-04-01"]),
]
_Areas = Annotated[
    list[str] | None,
    Query(alias="area", max_length=_MOST_AREAS, description="only these rows of the table of areas; may be repeated"),
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="misses on a page")]
_Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="misses to leave out, oldest first")]
_asked = Depends(only("since", "until", "area"))


def scorecard_router(
    cards: Scorecards, book: Scorebook, *, frame: LocalFrame | None, test: bool, now_ns: Callable[[], int]
) -> APIRouter:
    """Return the routes of the scorecard.

    Parameters
    ----------
    cards : Scorecards
    book : Scorebook
        Where misses are kept.
    frame : LocalFrame | None
        None for a network in metres of its own.
    test : bool
        Whether the page says that all is a TEST.
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """
    router = APIRouter()
    example = example_scorecard()

    async def card(request: Request, since: str | None, until: str | None, areas: list[str] | None) -> Scorecard:
        since_ns, until_ns = _begin(since, "since"), _begin(until, "until")
        public = not who(request).may(Right.INCIDENTS)
        if public:
            since_ns, until_ns = _whole_weeks(since_ns, until_ns, now_ns=cards.event_ns())
        made = await cards.card(since_ns, until_ns)
        made = public_form(made) if public else made
        return made if areas is None else _with_areas(made, areas)

    @router.get(
        "/scorecard",
        summary="What became of what was told",
        responses=_described(answers("Scorecard", example=example, others=_BUSY), _CSV, _HTML),
        dependencies=[_asked],
    )
    async def show(request: Request, since: _Since = None, until: _Until = None, areas: _Areas = None) -> Response:
        """Return outcomes, latencies, misses, hours, areas and weeks, each estimate with its 95 % interval.

        `Accept: text/html` gives the page, `Accept: text/csv` the figures one a row. The public gets whole weeks that
        are over, without what is said of single nodes and single misses.
        """
        made = await card(request, since, until, areas)
        accepted = request.headers.get("accept", "")
        if "application/json" not in accepted and "text/html" in accepted:
            return _page(made, test=test)
        if "application/json" not in accepted and "text/csv" in accepted:
            return _figures(made)
        return json_answer(made, headers=_VARY)

    @router.get(
        "/scorecard.csv",
        summary="The scorecard as figures, one a row",
        responses=_described(answers(None, others=_BUSY), _CSV),
        response_class=Response,
        dependencies=[_asked],
    )
    async def figures(request: Request, since: _Since = None, until: _Until = None, areas: _Areas = None) -> Response:
        """Return the scorecard as CSV."""
        return _figures(await card(request, since, until, areas))

    @router.get(
        "/scorecard.html",
        summary="The scorecard as a page",
        responses=_described(answers(None, others=_BUSY), _HTML),
        response_class=Response,
        dependencies=[_asked],
    )
    async def page(request: Request, since: _Since = None, until: _Until = None, areas: _Areas = None) -> Response:
        """Return one page without scripts, for screens, screen readers and paper."""
        return _page(await card(request, since, until, areas), test=test)

    @router.get(
        "/scorecard/misses",
        summary="Reported misses",
        responses=answers("MissPage", example=MissPage(misses=[EXAMPLE_MISS], total=1, limit=100, offset=0)),
        dependencies=[Depends(only("limit", "offset", "since", "until"))],
    )
    def misses(
        request: Request, limit: _Limit = 100, offset: _Offset = 0, since: _Since = None, until: _Until = None
    ) -> Response:
        """Return what was reported, by when it happened, with who said so and why."""
        found = book.misses(_begin(since, "since"), _begin(until, "until"))
        following = next_page(request, limit=limit, offset=offset) if offset + limit < len(found) else None
        document = MissPage(
            misses=[miss_record(miss, frame) for miss in found[offset : offset + limit]],
            total=len(found),
            limit=limit,
            offset=offset,
            next=following,
        )
        return json_answer(document, headers={"Link": f'<{following}>; rel="next"'} if following else {})

    @router.post(
        "/scorecard/misses",
        summary="Report a miss",
        status_code=HTTPStatus.CREATED,
        responses=answers(
            "MissRecord",
            example=EXAMPLE_MISS,
            status=HTTPStatus.CREATED,
            others={
                409: "Degrees were given and the network has no geodetic origin",
                413: "The body is too long",
            },
        ),
        openapi_extra=request_body("MissRequest", EXAMPLE_MISS_REQUEST),
    )
    def report(request: Request, body: Body) -> Response:
        """Append a shooting that was not told, and an entry in the audit log. It stays for good."""
        asked = decoded(body, MissRequest)
        x_m, y_m = _place(asked, frame)
        time_ns = instant(asked.time_utc, "time_utc")
        assert time_ns is not None
        try:
            miss = book.add_miss(
                time_ns=time_ns,
                x_m=x_m,
                y_m=y_m,
                said_by=asked.said_by,
                reason=asked.reason,
                person=who(request).name,
                now_ns=now_ns(),
            )
        except InputError as error:
            raise ApiProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error
        cards.forget()
        return json_answer(miss_record(miss, frame), status=HTTPStatus.CREATED)

    return router


_VARY = {"Vary": "Accept"}


def _page(card: Scorecard, *, test: bool) -> Response:
    return Response(scorecard_html(card, test=test), headers=_PAGE_HEADERS | _VARY, media_type=_HTML)


def _figures(card: Scorecard) -> Response:
    return Response(scorecard_csv(card), headers=_VARY, media_type=_CSV)


def _begin(text: str | None, name: str) -> int | None:
    """Return when a day begins, or the instant that is named."""
    return instant(f"{text}T00:00:00Z" if text is not None and _DAY.fullmatch(text) else text, name)


def _whole_weeks(since_ns: int | None, until_ns: int | None, *, now_ns: int) -> tuple[int | None, int]:
    """Return the weeks that the public may ask for: whole ones, from Monday, that are over.

    From counts of any period whatever, one could take apart what happened when.
    """
    end_ns = monday_ns(now_ns if until_ns is None else min(until_ns, now_ns))
    begin_ns = None if since_ns is None else monday_ns(since_ns)
    if begin_ns is not None and begin_ns >= end_ns:
        raise ApiProblemError(
            HTTPStatus.BAD_REQUEST,
            "there is no whole week in that period that is over; for the public whole weeks are counted, from Monday "
            "00:00 UTC",
        )
    return begin_ns, end_ns


def _with_areas(card: Scorecard, names: list[str]) -> Scorecard:
    known = [item.area for item in card.areas]
    for name in names:
        if name not in known:
            raise ApiProblemError(
                HTTPStatus.BAD_REQUEST, f"area: no area is named '{name[:100]}'; use one of {', '.join(known)}"
            )
    return msgspec.structs.replace(card, areas=tuple(item for item in card.areas if item.area in names))


def _place(asked: MissRequest, frame: LocalFrame | None) -> tuple[float, float]:
    if asked.lat_deg is not None and asked.lon_deg is not None and asked.x_m is None and asked.y_m is None:
        if frame is None:
            raise ApiProblemError(
                HTTPStatus.CONFLICT, "this network has no geodetic origin, so it takes no degrees; give x_m and y_m"
            )
        return frame.to_enu_m(asked.lat_deg, asked.lon_deg, frame.height_m)[:2]
    if asked.x_m is not None and asked.y_m is not None and asked.lat_deg is None and asked.lon_deg is None:
        return asked.x_m, asked.y_m
    raise ApiProblemError(HTTPStatus.BAD_REQUEST, "expected lat_deg and lon_deg, or x_m and y_m: one pair, whole")


def _described(described: dict[int | str, dict[str, Any]], *media_types: str) -> dict[int | str, dict[str, Any]]:
    content = described[HTTPStatus.OK.value]["content"]
    content |= {media_type.partition(";")[0]: {"schema": {"type": "string"}} for media_type in media_types}
    return described
