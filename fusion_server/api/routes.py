"""The HTTP API: what is kept, read-only."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Literal

import msgspec
from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from starlette.concurrency import run_in_threadpool

from fusion_server.api.documents import (
    EXAMPLE_INCIDENT,
    IncidentDetail,
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
from fusion_server.api.feed import RELOAD_EVENT, LiveFeed, Subscription, incident_event
from fusion_server.api.geojson import incident_features, incidents_collection, nodes_collection
from fusion_server.api.metrics import metrics_router
from fusion_server.api.page import page_router
from fusion_server.api.problems import ApiProblemError, add_problem_handlers
from fusion_server.api.security import SecurityHeaders
from fusion_server.health import NodeReport
from fusion_server.history import History
from fusion_server.metrics import MetricsSnapshot
from fusion_server.registry import Registry
from shotline import __version__
from shotline.domain import DetectionId
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.health import CheckStatus, HealthReport
from shotline.records import ALERT_NOTICE, IncidentRecord
from shotline.timebase import format_utc, parse_utc

__all__ = ["create_app"]

_GEOJSON = "application/geo+json"
_FLAC = "audio/flac"
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_EVENT_ID = re.compile(r"([A-Za-z0-9_.:-]{1,64})/(\d{1,9})")
_NS_LIMIT = 2**63
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
) -> FastAPI:
    """Return the ASGI app: read-only API, event stream and live page.

    Everything it answers is open to whoever can connect: bind it to loopback, or put it behind something that asks who
    is there. Call ``live.close()`` before the HTTP server stops, so that open streams do not hold it.

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
    """
    app = FastAPI(
        title="Shotline",
        version=__version__,
        description=f"Gunshot incidents, the nodes that heard them, and the health of the server. {ALERT_NOTICE}",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.add_middleware(SecurityHeaders)
    add_problem_handlers(app)

    def nodes_now() -> list[NodeRecord]:
        return node_records(
            list(registry),
            history.node_statuses(),
            node_reports(),
            frame=frame,
            now_ns=now_ns(),
            silent_after_s=silent_after_s,
        )

    def revisions_of(incident_id: str) -> list[IncidentRecord]:
        revisions = history.incident_revisions(incident_id) if _ID.fullmatch(incident_id) else []
        if not revisions:
            raise ApiProblemError(
                HTTPStatus.NOT_FOUND, f"no incident '{incident_id[:64]}' is kept here; /incidents lists those that are"
            )
        return revisions

    def geodetic() -> LocalFrame:
        if frame is None:
            raise ApiProblemError(
                HTTPStatus.CONFLICT,
                "this network has no geodetic origin, so there are no degrees for GeoJSON; ask for JSON, which has "
                "metres, or give the network an origin in the configuration",
            )
        return frame

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
        records, more = found[:limit], len(found) > limit
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
    def incident_map(incident_id: str) -> Response:
        """The incident's point, 95 % ellipse, rounds and all nodes, as a FeatureCollection."""
        geojson_frame = geodetic()
        record = revisions_of(incident_id)[-1]
        return _json(incident_features(record, nodes_now(), geojson_frame) | {"mode": mode}, media_type=_GEOJSON)

    @app.get(
        "/incidents/{incident_id}",
        summary="One incident with its whole story",
        responses=_answers("IncidentDetail", missing=True, example=_DETAIL_EXAMPLE),
    )
    def one_incident(incident_id: str) -> Response:
        """Return the latest revision, every revision from the first on, and every receipt of the alerts sent."""
        revisions = revisions_of(incident_id)
        receipts = [receipt_record(receipt) for receipt in history.receipts(incident_id)]
        return _json(IncidentDetail(incident=revisions[-1], revisions=revisions, receipts=receipts))

    @app.get(
        "/incidents/{incident_id}/clips",
        summary="The clips of one incident",
        responses=_answers("ClipPage", missing=True),
    )
    def list_clips(incident_id: str) -> Response:
        """Return which clips of sound are kept, and which were asked for and did not come."""
        revisions_of(incident_id)
        return _json(clip_page(incident_id, history.clips(incident_id), history.clip_refusals(incident_id)))

    @app.get(
        "/incidents/{incident_id}/clips/{node}/{boot}/{sequence}",
        summary="One clip, a FLAC file of 2 s",
        responses=_answers(None, sound=True, missing=True),
        response_class=Response,
    )
    def one_clip(incident_id: str, node: str, boot: str, sequence: str) -> Response:
        """Return the whole file as it came; node, boot (hexadecimal) and sequence as in the detection's id."""
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
            return _json(nodes_collection(nodes_now()), media_type=_GEOJSON)
        return _json(NodePage(nodes=nodes_now()))

    @app.get(
        "/health", summary="Every check", responses=_answers("HealthDocument") | {503: {"description": "One fails"}}
    )
    def show_health() -> Response:
        """Return every check; the status is 503 when one fails, and the answer still says which."""
        report = health()
        failing = report.status is CheckStatus.FAIL
        return _json(health_document(report, mode), status=HTTPStatus.SERVICE_UNAVAILABLE if failing else HTTPStatus.OK)

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
        last_event_id: Annotated[str, Header(max_length=200)] = "",
        after: Annotated[str, Query(max_length=200, description="as the header, for those who cannot set it")] = "",
    ) -> Response:
        """Stream every revision from now on, or from after an event that the client names."""
        last = last_event_id or after
        subscription, resumed = live.subscribe(last)
        missed = [] if resumed else await run_in_threadpool(_missed, history, last)
        stream = _stream(live, subscription, missed, heartbeat_s=heartbeat_s, now_ns=now_ns)
        return StreamingResponse(stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})

    if metrics is not None:
        app.include_router(metrics_router(metrics))
    app.include_router(page_router())
    _complete_openapi(app)
    return app


_EVENTS_TEXT = (
    "`incident`: an IncidentRecord, with the id `incident/revision`; `heartbeat`: the server's time, "
    "every few seconds; `reload`: events were left out, read /incidents again."
)
_PAGE_EXAMPLE = IncidentPage(incidents=[EXAMPLE_INCIDENT], limit=1, offset=0, next="/incidents?limit=1&offset=1")
_DETAIL_EXAMPLE = IncidentDetail(incident=EXAMPLE_INCIDENT, revisions=[EXAMPLE_INCIDENT], receipts=[])


async def _stream(
    live: LiveFeed,
    subscription: Subscription,
    missed: Sequence[bytes],
    *,
    heartbeat_s: float,
    now_ns: Callable[[], int],
) -> AsyncIterator[bytes]:
    try:
        yield b"retry: 2000\n\n" + _heartbeat(now_ns()) + b"".join(missed)
        while (events := await subscription.next(heartbeat_s)) is not None:
            yield b"".join(events) or _heartbeat(now_ns())
    finally:
        live.unsubscribe(subscription)


def _heartbeat(time_ns: int) -> bytes:
    return f'event: heartbeat\ndata: {{"time_utc":"{format_utc(time_ns, digits=3)}"}}\n\n'.encode()


def _missed(history: History, last_event_id: str) -> list[bytes]:
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
    return [incident_event(record) for record in sorted(newer, key=lambda record: parse_utc(record.as_of_utc))]


def _only(*known: str) -> Callable[[Request], None]:
    """Return a dependency that refuses query parameters nobody knows: a misspelt bound must not return everything."""

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                raise ApiProblemError(
                    HTTPStatus.BAD_REQUEST, f"unknown parameter '{name[:100]}'; use one of {', '.join(known)}"
                )

    return check


def _instant(text: str | None, name: str) -> int | None:
    if text is None:
        return None
    try:
        # In a query string "+" stands for a blank, so an offset such as +01:00 comes as " 01:00".
        time_ns = parse_utc(re.sub(r" (\d{2}:\d{2})\Z", r"+\1", text) if "T" in text else text)
    except (InputError, OverflowError) as error:
        raise ApiProblemError(HTTPStatus.BAD_REQUEST, f"{name}: {error}") from error
    if not -_NS_LIMIT <= time_ns < _NS_LIMIT:
        raise ApiProblemError(HTTPStatus.BAD_REQUEST, f"{name}: '{text}' is outside the years 1678 to 2262")
    return time_ns


def _next_page(request: Request, *, limit: int, offset: int) -> str:
    url = request.url.include_query_params(limit=limit, offset=offset + limit)
    return f"{url.path}?{url.query}"


def _wants_geojson(request: Request, wanted: str | None) -> bool:
    if wanted is not None:
        return wanted == "geojson"
    return _GEOJSON in request.headers.get("accept", "")


def _json(
    document: object,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    return Response(msgspec.json.encode(document), status, headers=headers, media_type=media_type)


def _answers(
    schema: str | None, *, geojson: bool = False, sound: bool = False, missing: bool = False, example: object = None
) -> dict[int | str, dict[str, Any]]:
    content: dict[str, Any] = {}
    if schema is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
        if example is not None:
            content["application/json"]["example"] = msgspec.to_builtins(example)
    if sound:
        content[_FLAC] = {"schema": {"type": "string", "format": "binary"}}
    if geojson:
        content[_GEOJSON] = {"schema": {"type": "object", "description": "FeatureCollection, RFC 7946"}}
    answers: dict[int | str, dict[str, Any]] = {200: {"description": "As asked", "content": content}}
    problems = {400: "The request is wrong", 503: "The history cannot be read"}
    problems |= {404: "Nothing of that name is kept"} if missing else {}
    problems |= {409: "GeoJSON is asked for and the network has no geodetic origin"} if geojson else {}
    for status, words in problems.items():
        schema_of = {"schema": {"$ref": "#/components/schemas/ProblemRecord"}}
        answers[status] = {"description": words, "content": {"application/problem+json": schema_of}}
    return answers


def _complete_openapi(app: FastAPI) -> None:
    """Put the schemas of our own documents into the description; wrong parameters are 400 here, not 422."""
    description = app.openapi()
    schemas = description.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas.update(schema_components())
    for operations in description["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
            json_answer = operation["responses"]["200"]["content"].get("application/json")
            if json_answer == {"schema": {}}:
                del operation["responses"]["200"]["content"]["application/json"]
