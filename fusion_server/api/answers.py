"""What the routes share: answers, what they look like in the description, and the reading of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request
from fastapi.responses import Response

from fusion_server.api.problems import ApiProblemError
from shotline.errors import InputError
from shotline.timebase import parse_utc

__all__ = [
    "FLAC",
    "GEOJSON",
    "Body",
    "answers",
    "decoded",
    "instant",
    "json_answer",
    "next_page",
    "only",
    "problem_answer",
    "request_body",
]

GEOJSON = "application/geo+json"
FLAC = "audio/flac"
_NS_LIMIT = 2**63
_MOST_BODY_BYTES = 16_384
_Document = TypeVar("_Document", bound=msgspec.Struct)


async def _read_body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MOST_BODY_BYTES:
            raise ApiProblemError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"the body is over {_MOST_BODY_BYTES} bytes; send less"
            )
    return body


Body = Annotated[bytes, Depends(_read_body)]
"""The bytes of a request, 16 KiB at the most."""


def decoded(body: bytes, kind: type[_Document]) -> _Document:
    """Return the JSON document that a body is; unknown fields are refused by the document's own type.

    Raises
    ------
    ApiProblemError
        It is another.
    """
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ApiProblemError(
            HTTPStatus.BAD_REQUEST, f"the body is not the JSON that is expected here (/openapi.json): {error}"
        ) from error


def request_body(schema: str, example: object) -> dict[str, Any]:
    """Return the description of a body, for a route's ``openapi_extra``."""
    content = {"schema": {"$ref": f"#/components/schemas/{schema}"}, "example": msgspec.to_builtins(example)}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def only(*known: str) -> Callable[[Request], None]:
    """Return a dependency that refuses query parameters nobody knows: a misspelt bound must not return everything."""

    def check(request: Request) -> None:
        for name in request.query_params:
            if name not in known:
                raise ApiProblemError(
                    HTTPStatus.BAD_REQUEST, f"unknown parameter '{name[:100]}'; use one of {', '.join(known)}"
                )

    return check


def instant(text: str | None, name: str) -> int | None:
    """Return the UTC nanoseconds that a parameter says."""
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


def next_page(request: Request, *, limit: int, offset: int) -> str:
    """Return the address of the page after this one."""
    url = request.url.include_query_params(limit=limit, offset=offset + limit)
    return f"{url.path}?{url.query}"


def json_answer(
    document: object,
    *,
    status: HTTPStatus = HTTPStatus.OK,
    media_type: str = "application/json",
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a document as the answer."""
    return Response(msgspec.json.encode(document), status, headers=headers, media_type=media_type)


def answers(
    schema: str | None,
    *,
    geojson: bool = False,
    sound: bool = False,
    missing: bool = False,
    example: object = None,
    status: HTTPStatus = HTTPStatus.OK,
    others: Mapping[int, str] | None = None,
) -> dict[int | str, dict[str, Any]]:
    """Return what a route answers, for its description; ``others`` are further problems and when they come."""
    content: dict[str, Any] = {}
    if schema is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
        if example is not None:
            content["application/json"]["example"] = msgspec.to_builtins(example)
    if sound:
        content[FLAC] = {"schema": {"type": "string", "format": "binary"}}
    if geojson:
        content[GEOJSON] = {"schema": {"type": "object", "description": "FeatureCollection, RFC 7946"}}
    described: dict[int | str, dict[str, Any]] = {status.value: {"description": "As asked", "content": content}}
    problems = {400: "The request is wrong", 503: "The history cannot be read"}
    problems |= {404: "Nothing of that name is kept"} if missing else {}
    problems |= {409: "GeoJSON is asked for and the network has no geodetic origin"} if geojson else {}
    for code, words in (problems | dict(others or {})).items():
        described[code] = problem_answer(words)
    return described


def problem_answer(words: str) -> dict[str, Any]:
    """Return how a problem is described."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemRecord"}}
    return {"description": words, "content": {"application/problem+json": schema}}
