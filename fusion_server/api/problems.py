"""Errors of the API: plain words, as ``application/problem+json`` (RFC 9457), never a trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from fusion_server.api.documents import ProblemRecord
from fusion_server.api.feed import FeedFullError
from shotline.errors import StorageError

__all__ = ["ApiProblemError", "add_problem_handlers"]

_RETRY = {"Retry-After": "5"}


class ApiProblemError(Exception):
    """A request that cannot be answered as asked.

    Parameters
    ----------
    status : HTTPStatus
    detail : str
        What was seen, what was expected, what to do.
    headers : Mapping of str to str | None
        Of the answer.
    """

    def __init__(self, status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.detail = detail
        self.headers = headers
        super().__init__(detail)


def add_problem_handlers(app: FastAPI) -> None:
    """Make every error of an app a problem document."""

    @app.exception_handler(ApiProblemError)
    async def _asked_wrongly(_request: Request, error: ApiProblemError) -> Response:
        return _problem(error.status, error.detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(_request: Request, error: RequestValidationError) -> Response:
        return _problem(HTTPStatus.BAD_REQUEST, "; ".join(_sentence(item) for item in error.errors()))

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        status, detail = HTTPStatus(error.status_code), str(error.detail)
        if status is HTTPStatus.NOT_FOUND:
            detail = f"there is no {request.url.path} here; see /openapi.json for what there is"
        elif status is HTTPStatus.METHOD_NOT_ALLOWED:
            detail = f"{request.method} is not possible on {request.url.path}; see /openapi.json for what is"
        return _problem(status, detail, headers=error.headers)

    @app.exception_handler(StorageError)
    async def _storage(_request: Request, error: StorageError) -> Response:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, f"the history cannot be read: {error}", headers=_RETRY)

    @app.exception_handler(FeedFullError)
    async def _full(_request: Request, error: FeedFullError) -> Response:
        return _problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), headers=_RETRY)


def _problem(status: HTTPStatus, detail: str, *, headers: Mapping[str, str] | None = None) -> Response:
    body = msgspec.json.encode(ProblemRecord(title=status.phrase, status=status, detail=detail))
    return Response(body, status, headers=dict(headers or {}), media_type="application/problem+json")


def _sentence(item: Mapping[str, Any]) -> str:
    location: Sequence[Any] = item["loc"]
    message = str(item["msg"])
    return f"{location[-1]}: {message[:1].lower()}{message[1:]}; saw {str(item['input'])[:100]!r}"
