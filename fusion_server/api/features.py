"""Incidents for maps, in the manner of OGC API Features: collections, items with bbox, datetime and paging.

References
----------
[OGC17069] OGC API - Features - Part 1: Core, OGC 17-069r4 (2022), clause 7.
[RFC7946] https://www.rfc-editor.org/rfc/rfc7946, 5.2 (a bounding box across the antimeridian).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from fusion_server.api.answers import GEOJSON, answers, instant, json_answer, next_page, only
from fusion_server.api.gating import public_feature, public_place
from fusion_server.api.geojson import incidents_collection
from fusion_server.api.problems import ApiProblemError
from fusion_server.incidentindex import IncidentIndex, IndexedIncident
from fusion_server.reviewdesk import ReviewDesk
from fusion_server.roles import Right
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord
from shotline.timebase import format_utc

__all__ = ["Box", "features_router", "landing_document", "parse_box"]

_Json = dict[str, Any]
_CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
_CONFORMANCE = (
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/oas30",
)
_TITLE = "Gunshot incidents"
_ID = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
_NUMBER = re.compile(r"[+-]?(\d{1,9})(\.\d{1,15})?")
_OPEN_END = ("", "..")
_Bbox = Annotated[
    str | None,
    Query(max_length=200, description="west,south,east,north in degrees; or six numbers, the heights are not used"),
]
_Datetime = Annotated[
    str | None,
    Query(
        max_length=140,
        description="of the first shot: an instant, or two with / between, both included; .. or nothing is an open end",
        examples=["2018-12-19T00:00:00Z/.."],
    ),
]
_Limit = Annotated[int, Query(ge=1, le=1000, description="features on a page")]
_Offset = Annotated[int, Query(ge=0, le=1_000_000_000, description="features to leave out, newest first")]
Box = tuple[float, float, float, float]


def features_router(
    index: IncidentIndex, desk: ReviewDesk, *, geodetic: Callable[[], LocalFrame], now_ns: Callable[[], int]
) -> APIRouter:
    """Return the routes of collections.

    Parameters
    ----------
    index : IncidentIndex
    desk : ReviewDesk
        Says what the public may see: what people confirmed.
    geodetic : callable
        Returns the frame, or raises 409 when the network has none.
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """
    router = APIRouter()

    @router.get("/conformance", summary="Which requirements of OGC API are met", responses=_described("conformsTo"))
    def conformance() -> Response:
        """Return the conformance classes."""
        return json_answer({"conformsTo": _CONFORMANCE})

    @router.get("/collections", summary="What there is for maps", responses=_described("collections"))
    def collections() -> Response:
        """Return the one collection: incidents."""
        links = [_link("/collections", "self", "application/json")]
        return json_answer({"links": links, "collections": [_collection()]})

    @router.get("/collections/incidents", summary="The collection of incidents", responses=_described("id"))
    def collection() -> Response:
        """Return what the collection is, and where its items are."""
        return json_answer(_collection())

    @router.get(
        "/collections/incidents/items",
        summary="Incidents as features, newest first",
        responses=answers(None, geojson=True),
        dependencies=[Depends(only("bbox", "datetime", "limit", "offset"))],
    )
    def items(
        request: Request,
        bbox: _Bbox = None,
        datetime: _Datetime = None,
        limit: _Limit = 10,
        offset: _Offset = 0,
    ) -> Response:
        """Return each incident at its latest revision as a point, its error among its properties."""
        frame = geodetic()
        box = None if bbox is None else parse_box(bbox)
        first_ns, last_ns = (None, None) if datetime is None else _interval(datetime)
        found = index.incidents(first_ns=first_ns, last_ns=last_ns)
        if _is_public(request):
            confirmed = desk.confirmed()
            found = [public_place(item) for item in found if item.incident_id in confirmed]
        if box is not None:
            found = [item for item in found if _inside(item, box, frame)]
        page = index.records([item.incident_id for item in found[offset : offset + limit]])
        links = [_link(_address(request), "self", GEOJSON), _link("/collections/incidents", "collection")]
        if offset + limit < len(found):
            links.append(_link(next_page(request, limit=limit, offset=offset), "next", GEOJSON))
        if offset:
            links.append(_link(next_page(request, limit=limit, offset=max(0, offset - limit) - limit), "prev", GEOJSON))
        document = incidents_collection([_shown(record, request) for record in page], frame)
        document |= {
            "links": links,
            "timeStamp": format_utc(now_ns()),
            "numberMatched": len(found),
            "numberReturned": len(page),
        }
        return json_answer(document, media_type=GEOJSON)

    @router.get(
        "/collections/incidents/items/{incident_id}",
        summary="One incident as a feature",
        responses=answers(None, geojson=True, missing=True),
    )
    def item(incident_id: str, request: Request) -> Response:
        """Return the incident at its latest revision."""
        frame = geodetic()
        records = index.records([incident_id]) if _ID.fullmatch(incident_id) else []
        if not records or (_is_public(request) and incident_id not in desk.confirmed()):
            raise ApiProblemError(
                HTTPStatus.NOT_FOUND,
                f"no incident '{incident_id[:64]}' is shown here; /collections/incidents/items lists those that are",
            )
        feature = incidents_collection([_shown(records[0], request)], frame)["features"][0]
        path = f"/collections/incidents/items/{incident_id}"
        links = [_link(path, "self", GEOJSON), _link("/collections/incidents", "collection")]
        return json_answer(feature | {"links": links}, media_type=GEOJSON)

    return router


def landing_document() -> _Json:
    """Return where everything is, for machines."""
    return {
        "title": "Shotline",
        "description": _TITLE,
        "links": [
            _link("/", "self"),
            _link("/openapi.json", "service-desc", "application/vnd.oai.openapi+json;version=3.0"),
            _link("/conformance", "conformance"),
            _link("/collections", "data"),
        ],
    }


def parse_box(text: str) -> Box:
    """Return west, south, east, north in degrees.

    Raises
    ------
    ApiProblemError
        It is no bounding box.
    """
    parts = text.split(",")
    if len(parts) not in (4, 6) or not all(_NUMBER.fullmatch(part) for part in parts):
        raise ApiProblemError(
            HTTPStatus.BAD_REQUEST, f"bbox: '{text[:100]}', expected west,south,east,north in degrees, or six numbers"
        )
    numbers = [float(part) for part in parts]
    west, south, east, north = numbers if len(numbers) == 4 else (*numbers[:2], *numbers[3:5])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise ApiProblemError(
            HTTPStatus.BAD_REQUEST,
            f"bbox: '{text[:100]}', expected longitudes -180 to 180 and latitudes -90 to 90, south before north",
        )
    return west, south, east, north


def _interval(text: str) -> tuple[int | None, int | None]:
    first, slash, last = text.partition("/")
    if not slash:
        at_ns = instant(first, "datetime")
        return at_ns, at_ns
    first_ns = None if first in _OPEN_END else instant(first, "datetime")
    last_ns = None if last in _OPEN_END else instant(last, "datetime")
    if first_ns is not None and last_ns is not None and first_ns > last_ns:
        raise ApiProblemError(HTTPStatus.BAD_REQUEST, f"datetime: '{text}' ends before it begins")
    return first_ns, last_ns


def _inside(item: IndexedIncident, box: Box, frame: LocalFrame) -> bool:
    west, south, east, north = box
    lat_deg, lon_deg, _ = frame.to_geodetic(item.x_m, item.y_m)
    if not math.isfinite(lat_deg) or not south <= lat_deg <= north:
        return False
    return west <= lon_deg <= east if west <= east else lon_deg >= west or lon_deg <= east


def _is_public(request: Request) -> bool:
    return not request.state.principal.may(Right.INCIDENTS)


def _shown(record: IncidentRecord, request: Request) -> IncidentRecord:
    return public_feature(record) if _is_public(request) else record


def _collection() -> _Json:
    return {
        "id": "incidents",
        "title": _TITLE,
        "description": "Each incident at its latest revision, a point with its error",
        "itemType": "feature",
        "crs": [_CRS84],
        "links": [
            _link("/collections/incidents", "self"),
            _link("/collections/incidents/items", "items", GEOJSON),
        ],
    }


def _link(path: str, relation: str, kind: str = "application/json") -> _Json:
    return {"href": path, "rel": relation, "type": kind}


def _address(request: Request) -> str:
    return f"{request.url.path}?{request.url.query}" if request.url.query else request.url.path


def _described(*required: str) -> dict[int | str, dict[str, Any]]:
    described = answers(None)
    described[200]["content"]["application/json"] = {"schema": {"type": "object", "required": list(required)}}
    return described
