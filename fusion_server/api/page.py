"""The live page: static files out of the package, read once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable

from fastapi import APIRouter, Request
from fastapi.responses import Response

__all__ = ["page_router"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page_router(landing: Callable[[], Response]) -> APIRouter:
    """Return routes for ``/`` and the files that the page needs, under ``/console/``.

    Parameters
    ----------
    landing : callable
        What ``/`` answers to a machine: to whoever accepts JSON and no HTML.
    """
    router = APIRouter(include_in_schema=False)
    for name, file in _files(files("fusion_server").joinpath("console"), ""):
        path = "/" if name == "index.html" else f"/console/{name}"
        media_type = _TYPES["." + file.name.rpartition(".")[2]]
        _serve(router, path, file.read_bytes(), media_type, landing if path == "/" else None)
    return router


def _files(folder: Traversable, above: str) -> Iterator[tuple[str, Traversable]]:
    """Return the files of a folder and the folders in it that the page can load, by their path from it."""
    for item in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if item.is_dir():
            yield from _files(item, f"{above}{item.name}/")
        elif "." + item.name.rpartition(".")[2] in _TYPES:
            yield f"{above}{item.name}", item


def _serve(
    router: APIRouter, path: str, content: bytes, media_type: str, landing: Callable[[], Response] | None
) -> None:
    tag = f'"{hashlib.sha256(content).hexdigest()[:24]}"'
    headers = {"ETag": tag, "Cache-Control": "no-cache"}

    @router.get(path)
    async def _file(request: Request) -> Response:
        accepted = request.headers.get("accept", "")
        if landing is not None and "application/json" in accepted and "text/html" not in accepted:
            return landing()
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=media_type)
