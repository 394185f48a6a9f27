"""The HTTP API: what is kept, and what people do with it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Literal

import msgspec
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from fusion_server.api.access import ROUTE_RIGHTS, SESSION_COOKIE, AccessRules, Gate
from fusion_server.api.access_routes import access_router
from fusion_server.api.answers import FLAC as _FLAC
from fusion_server.api.answers import GEOJSON as _GEOJSON
from fusion_server.api.answers import answers as _answers
from fusion_server.api.answers import instant as _instant
from fusion_server.api.answers import json_answer as _json
from fusion_server.api.answers import next_page as _next_page
from fusion_server.api.answers import only as _only
from fusion_server.api.answers import problem_answer
from fusion_server.api.basemap_routes import basemap_record, basemap_router
from fusion_server.api.documents import (
    EXAMPLE_INCIDENT,
    IncidentPage,
    Meta,
    Mode,
    NodePage,
    NodeRecord,
    clip_page,
    health_document,
    node_records,
    receipt_record,
    schema_components,
)
from fusion_server.api.features import features_router, landing_document
from fusion_server.api.feed import RELOAD_EVENT, LiveFeed, Subscription, incident_event
from fusion_server.api.gating import coarse_clips, coarse_incident, coarse_node
from fusion_server.api.geojson import incident_features, incidents_collection, nodes_collection
from fusion_server.api.map_documents import map_schema_components
from fusion_server.api.map_routes import map_router
from fusion_server.api.metrics import metrics_router
from fusion_server.api.page import page_router
from fusion_server.api.picks import pick_records
from fusion_server.api.problems import ApiProblemError, add_problem_handlers
from fusion_server.api.review_documents import EXAMPLE_DETAIL, IncidentDetail, moves, review_schema_components
from fusion_server.api.review_routes import ReviewRoutes, review_router
from fusion_server.api.scorecard_documents import scorecard_schema_components
from fusion_server.api.scorecard_routes import scorecard_router
from fusion_server.api.scorecards import ScorecardRules, Scorecards
from fusion_server.api.security import SecurityHeaders
from fusion_server.associate import AssociateSettings
from fusion_server.basemap import Basemap
from fusion_server.casebook import Casebook
from fusion_server.health import NodeReport
from fusion_server.history import History
from fusion_server.incidentindex import IncidentIndex
from fusion_server.metrics import MetricsSnapshot
from fusion_server.registry import Registry
from fusion_server.review import ReviewRules
from fusion_server.reviewdesk import ReviewDesk
from fusion_server.roles import Right
from fusion_server.scorebook import Scorebook
from shotline import __version__
from shotline.domain import DetectionId
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.health import CheckStatus, HealthReport
from shotline.records import ALERT_NOTICE, IncidentRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import ns_from_seconds

__all__ = ["create_app"]

_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_EVENT_ID = re.compile(r"([A-Za-z0-9_.:-]{1,64})/(\d{1,9})")
_MISSED_LIMIT = 1000
_HEARTBEAT_S = 5.0

_Format = Annotated[
    Literal["json", "geojson"] | None,
    Query(alias="format", description="geojson gives a FeatureCollection; so does `Accept: application/geo+json`"),
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="incidents on a page")]
_Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="incidents to leave out, newest first")]
_Instant = Annotated[str | None, Query(max_length=64, examples=["2018-12-19T00:49:26Z"])]


def create_app(
    *,
    history: History,
    registry: Registry,
    frame: LocalFrame | None,
    health: Callable[[], HealthReport],
    node_reports: Callable[[], Mapping[str, NodeReport]] = dict,
    live: LiveFeed,
    metrics: Callable[[], MetricsSnapshot] | None = None,
    mode: Mode = Mode.LIVE,
    silent_after_s: float = 60.0,
    heartbeat_s: float = _HEARTBEAT_S,
    now_ns: Callable[[], int] = time.time_ns,
    event_ns: Callable[[], int] | None = None,
    gate: Gate | None = None,
    review: ReviewRules | None = None,
    scorecard: ScorecardRules | None = None,
    association: AssociateSettings | None = None,
    basemap: Basemap | None = None,
) -> FastAPI:
    """Return the ASGI app: API, event stream and live page.

    Without a gate everything is open to whoever can connect: bind it to loopback then. Call ``live.close()`` before the
    HTTP server stops, so that open streams do not hold it.

    Parameters
    ----------
    history : History
    registry : Registry
        Surveyed sites.
    frame : LocalFrame | None
        None for a Cartesian network: then there is no GeoJSON.
    health : callable
        Makes the health report; called for each request of ``/health``.
    node_reports : callable
        Returns what nodes said of themselves, by node id.
    live : LiveFeed
        Publish each incident to it after the commit.
    metrics : callable | None
        Makes the numbers of ``/metrics``; None serves none.
    mode : Mode
        Anything but live is announced by a banner on the page.
    silent_after_s : float
        A node not heard for longer is silent.
    heartbeat_s : float
        Between signs of life on an idle event stream.
    now_ns : callable
        Wall clock, UTC nanoseconds.
    event_ns : callable | None
        Event time, UTC nanoseconds: how long incidents wait. None is the wall clock; a replay has another.
    gate : Gate | None
        Who may do what; None: everybody everything.
    review : ReviewRules | None
        None: the defaults.
    scorecard : ScorecardRules | None
        How the scorecard is counted; None serves none.
    association : AssociateSettings | None
        What fusion takes for audible; None: the defaults.
    basemap : Basemap | None
        Streets under the map; None: none.
    """
    casebook = Casebook(history.database)
    gate = gate or Gate(AccessRules(), casebook, now_ns=now_ns)
    app = FastAPI(
        title="Shotline",
        version=__version__,
        description=f"Gunshot incidents, the nodes that heard them, and the health of the server. {ALERT_NOTICE}",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        dependencies=[Depends(gate.admit)],
    )
    app.add_middleware(SecurityHeaders)
    add_problem_handlers(app)

    def coarse(request: Request) -> bool:
        return not request.state.principal.may(Right.SENSOR_POSITIONS)

    def shown(record: IncidentRecord, request: Request) -> IncidentRecord:
        return coarse_incident(record) if coarse(request) else record

    def viewed(request: Request, action: str, subject: str) -> None:
        gate.watch.view(request.state.principal.name, action, subject)

    def nodes_now(request: Request) -> list[NodeRecord]:
        nodes = node_records(
            list(registry),
            history.node_statuses(),
            node_reports(),
            frame=frame,
            now_ns=now_ns(),
            silent_after_s=silent_after_s,
        )
        return [coarse_node(node) for node in nodes] if coarse(request) else nodes

    def revisions_of(incident_id: str) -> list[IncidentRecord]:
        revisions = history.incident_revisions(incident_id) if _ID.fullmatch(incident_id) else []
        if not revisions:
            raise ApiProblemError(
                HTTPStatus.NOT_FOUND, f"no incident '{incident_id[:64]}' is kept here; /incidents lists those that are"
            )
        return revisions

    def sigmas_of(record: IncidentRecord) -> dict[str, float]:
        heard = (item for shot in record.shots for item in (*shot.arrivals, *shot.passed_over))
        found = history.detections_of({DetectionId.parse(item.detection) for item in heard})
        arrivals = (registry.arrival(detection) for detection in found)
        return {str(arrival.uid): arrival.sigma_s for arrival in arrivals if arrival is not None}

    def geodetic() -> LocalFrame:
        if frame is None:
            raise ApiProblemError(
                HTTPStatus.CONFLICT,
                "this network has no geodetic origin, so there are no degrees for GeoJSON; ask for JSON, which has "
                "metres, or give the network an origin in the configuration",
            )
        return frame

    index = IncidentIndex(history.database)
    desk = ReviewDesk(history.database, casebook, review or ReviewRules())
    parts = ReviewRoutes(
        casebook=casebook,
        desk=desk,
        index=index,
        revisions_of=revisions_of,
        live=live,
        now_ns=now_ns,
        event_ns=event_ns or now_ns,
    )

    @app.get(
        "/incidents",
        summary="Incidents, newest first",
        responses=_answers("IncidentPage", geojson=True, example=_PAGE_EXAMPLE),
        dependencies=[Depends(_only("limit", "offset", "since", "until", "format"))],
    )
    def list_incidents(
        request: Request,
        limit: _Limit = 100,
        offset: _Offset = 0,
        since: _Instant = None,
        until: _Instant = None,
        wanted: _Format = None,
    ) -> Response:
        """Return each incident at its latest revision; `since` (inclusive) and `until` (exclusive) bound its start."""
        since_ns, until_ns = _instant(since, "since"), _instant(until, "until")
        geojson_frame = geodetic() if _wants_geojson(request, wanted) else None
        found = history.incidents(limit=limit + 1, offset=offset, since_ns=since_ns, until_ns=until_ns)
        records, more = [shown(record, request) for record in found[:limit]], len(found) > limit
        following = _next_page(request, limit=limit, offset=offset) if more else None
        headers = {"Link": f'<{following}>; rel="next"'} if following else {}
        if geojson_frame is not None:
            found_features = incidents_collection(records, geojson_frame) | {"mode": mode}
            return _json(found_features, media_type=_GEOJSON, headers=headers)
        return _json(IncidentPage(incidents=records, limit=limit, offset=offset, next=following), headers=headers)

    @app.get(
        "/incidents/{incident_id}.geojson",
        summary="One incident on a map",
        responses=_answers(None, geojson=True, missing=True),
    )
    def incident_map(incident_id: str, request: Request) -> Response:
        """The incident's point, 95 % ellipse, rounds and all nodes, as a FeatureCollection."""
        geojson_frame = geodetic()
        record = revisions_of(incident_id)[-1]
        viewed(request, "view_incident", incident_id)
        document = incident_features(record, nodes_now(request), geojson_frame)
        return _json(document | {"mode": mode}, media_type=_GEOJSON)

    @app.get(
        "/incidents/{incident_id}",
        summary="One incident with its whole story",
        responses=_answers("IncidentDetail", missing=True, example=EXAMPLE_DETAIL),
    )
    def one_incident(incident_id: str, request: Request) -> Response:
        """Return every revision, every receipt of the alerts sent, and what people made of it. The view is noted."""
        revisions = revisions_of(incident_id)
        viewed(request, "view_incident", incident_id)
        told = [shown(record, request) for record in revisions]
        return _json(
            IncidentDetail(
                incident=told[-1],
                revisions=told,
                receipts=[receipt_record(receipt) for receipt in history.receipts(incident_id)],
                review=parts.review(incident_id, revisions),
                moves=moves(revisions),
            )
        )

    @app.get(
        "/incidents/{incident_id}/clips",
        summary="The clips of one incident",
        responses=_answers("ClipPage", missing=True),
    )
    def list_clips(incident_id: str, request: Request) -> Response:
        """Return which clips of sound are kept, and which were asked for and did not come."""
        record = revisions_of(incident_id)[-1]
        clips = history.clip_heads(incident_id)
        nodes = [clip.uid.node for clip in clips]
        picks = pick_records(record, nodes, {site.node: site for site in registry}, sigmas_of(record))
        page = clip_page(incident_id, clips, history.clip_refusals(incident_id), picks)
        return _json(coarse_clips(page) if coarse(request) else page)

    @app.get(
        "/incidents/{incident_id}/clips/{node}/{boot}/{sequence}",
        summary="One clip, a FLAC file of 2 s",
        responses=_answers(None, sound=True, missing=True),
        response_class=Response,
    )
    def one_clip(incident_id: str, node: str, boot: str, sequence: str, request: Request) -> Response:
        """Return the whole file as it came; node, boot (hexadecimal) and sequence as in the detection's id.

        That somebody listens is noted.
        """
        text = f"{node}/{boot}/{sequence}"
        try:
            clip = history.clip(DetectionId.parse(text))
        except InputError as error:
            raise ApiProblemError(HTTPStatus.BAD_REQUEST, str(error)) from error
        if clip is None or clip.incident_id != incident_id:
            raise ApiProblemError(
                HTTPStatus.NOT_FOUND,
                f"no clip of '{text}' is kept for this incident; /incidents/{incident_id[:64]}/clips lists what is",
            )
        viewed(request, "view_clip", f"{incident_id} {text}"[:128])
        return Response(clip.flac, media_type=_FLAC, headers={"Accept-Ranges": "none"})

    @app.get(
        "/nodes",
        summary="Nodes: where they stand, and their last word",
        responses=_answers("NodePage", geojson=True),
        dependencies=[Depends(_only("format"))],
    )
    def list_nodes(request: Request, wanted: _Format = None) -> Response:
        """Return every node that was surveyed or ever spoke, by name."""
        if _wants_geojson(request, wanted):
            geodetic()
            return _json(nodes_collection(nodes_now(request)), media_type=_GEOJSON)
        return _json(NodePage(nodes=nodes_now(request)))

    @app.get(
        "/health", summary="Every check", responses=_answers("HealthDocument") | {503: {"description": "One fails"}}
    )
    def show_health(request: Request) -> Response:
        """Return every check; the status is 503 when one fails, and the answer still says which.

        Who may not see the checks gets the worst of their states without them.
        """
        report = health()
        failing = report.status is CheckStatus.FAIL
        document = health_document(report, mode)
        if request.state.principal is None or not request.state.principal.may(Right.HEALTH):
            document = msgspec.structs.replace(document, checks=())
        return _json(document, status=HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK)

    @app.get("/meta", summary="What this server is", responses=_answers("Meta"))
    def show_meta() -> Response:
        """Return version, mode, frame, and the notice that goes with every alert."""
        return _json(
            Meta(
                software="shotline",
                software_version=__version__,
                mode=mode,
                frame="cartesian" if frame is None else "geodetic",
                origin_lat_deg=None if frame is None else frame.lat_deg,
                origin_lon_deg=None if frame is None else frame.lon_deg,
                origin_height_m=None if frame is None else frame.height_m,
                basemap=None if basemap is None else basemap_record(basemap),
                notice=ALERT_NOTICE,
            )
        )

    @app.get(
        "/events",
        summary="New incidents as they come (server-sent events)",
        responses={200: {"description": _EVENTS_TEXT, "content": {"text/event-stream": {}}}},
        response_class=StreamingResponse,
    )
    async def events(
        request: Request,
        last_event_id: Annotated[str, Header(max_length=200)] = "",
        after: Annotated[str, Query(max_length=200, description="as the header, for those who cannot set it")] = "",
    ) -> Response:
        """Stream every revision from now on, or from after an event that the client names."""
        last = last_event_id or after
        subscription, resumed = live.subscribe(last, coarse=coarse(request))
        missed = [] if resumed else await run_in_threadpool(_missed, history, last, subscription)

        async def allowed() -> bool:
            return await run_in_threadpool(gate.still, request)

        stream = _stream(live, subscription, missed, heartbeat_s=heartbeat_s, now_ns=now_ns, allowed=allowed)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    if metrics is not None:
        app.include_router(metrics_router(metrics))
    app.include_router(review_router(parts))
    app.include_router(
        map_router(
            registry,
            association or AssociateSettings(),
            revisions_of=revisions_of,
            nodes_now=nodes_now,
            viewed=viewed,
            geodetic=geodetic,
        )
    )
    app.include_router(access_router(gate, casebook, now_ns=now_ns))
    app.include_router(features_router(index, desk, geodetic=geodetic, now_ns=now_ns))
    if scorecard is not None:
        book = Scorebook(history.database)
        cards = Scorecards(book, sites=list(registry), rules=scorecard, now_ns=now_ns)
        app.include_router(scorecard_router(cards, book, frame=frame, test=mode is Mode.DEMO, now_ns=now_ns))
    if basemap is not None:
        app.include_router(basemap_router(basemap))
    app.include_router(page_router(lambda: _json(landing_document())))
    _complete_openapi(app)
    return app


_EVENTS_TEXT = (
    "`incident`: an IncidentRecord, with the id `incident/revision`; `decision`, `acknowledgement`, `reminder`: a "
    "ReviewEvent, what people did or nobody did yet; `heartbeat`: the server's time, "
    "every few seconds; `reload`: events were left out, read /incidents again."
)
_PAGE_EXAMPLE = IncidentPage(incidents=[EXAMPLE_INCIDENT], limit=1, offset=0, next="/incidents?limit=1&offset=1")


async def _stream(
    live: LiveFeed,
    subscription: Subscription,
    missed: Sequence[bytes],
    *,
    heartbeat_s: float,
    now_ns: Callable[[], int],
    allowed: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    try:
        yield b"retry: 2000\n\n" + _heartbeat(now_ns()) + b"".join(missed)
        asked_ns = now_ns()
        while (events := await subscription.next(heartbeat_s)) is not None:
            # A stream outlives the session that opened it: ask again from time to time.
            if not 0 <= now_ns() - asked_ns < ns_from_seconds(heartbeat_s):
                asked_ns = now_ns()
                if not await allowed():
                    return
            yield b"".join(events) or _heartbeat(now_ns())
    finally:
        live.unsubscribe(subscription)


def _heartbeat(time_ns: int) -> bytes:
    return f'event: heartbeat\ndata: {{"time_utc":"{format_utc(time_ns, digits=3)}"}}\n\n'.encode()


def _missed(history: History, last_event_id: str, subscription: Subscription) -> list[bytes]:
    """Return events for what was concluded at or after an event that the feed no longer knows, oldest first."""
    match = _EVENT_ID.fullmatch(last_event_id)
    revisions = history.incident_revisions(match[1]) if match else []
    seen = [record for record in revisions if match and record.revision == int(match[2])]
    if not seen:
        return [RELOAD_EVENT]
    since_ns = parse_utc(seen[0].as_of_utc)
    latest = history.incidents(limit=_MISSED_LIMIT)
    newer = [
        record
        for record in latest
        if parse_utc(record.as_of_utc) >= since_ns and (record.id, record.revision) != (seen[0].id, seen[0].revision)
    ]
    if len(newer) == _MISSED_LIMIT:
        return [RELOAD_EVENT]
    in_order = sorted(newer, key=lambda record: parse_utc(record.as_of_utc))
    return [incident_event(coarse_incident(record) if subscription.coarse else record) for record in in_order]


def _wants_geojson(request: Request, wanted: str | None) -> bool:
    if wanted is not None:
        return wanted == "geojson"
    return _GEOJSON in request.headers.get("accept", "")


def _complete_openapi(app: FastAPI) -> None:
    """Put the schemas of our own documents into the description; wrong parameters are 400 here, not 422."""
    description = app.openapi()
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(
        schema_components() | review_schema_components() | scorecard_schema_components() | map_schema_components()
    )
    description["components"]["securitySchemes"] = {
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "an API token, or a JWT of the identity provider",
        },
        "session": {"type": "apiKey", "in": "cookie", "name": SESSION_COOKIE, "description": "POST /access/login"},
    }
    for path, operations in description["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            responses.pop("422", None)
            responses["429"] = problem_answer("Too many requests")
            responses["403"] = problem_answer(
                "Without the right; a change without X-Shotline-Request; without accounts, another machine's name"
            )
            if ROUTE_RIGHTS.get(f"{method.upper()} {path}", Right.OPERATE) is not None:
                operation["security"] = [{"bearer": []}, {"session": []}]
                responses["401"] = problem_answer("Nobody is signed in")
            for answer in responses.values():
                if answer.get("content", {}).get("application/json") == {"schema": {}}:
                    del answer["content"]["application/json"]
