"""The file of streets under the map, whole or in ranges of bytes as a PMTiles archive is read (RFC 9110, 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse

from fusion_server.api.answers import GEOJSON
from fusion_server.api.documents import BasemapRecord
from fusion_server.api.problems import ApiProblemError
from fusion_server.basemap import Basemap, BasemapKind

__all__ = ["basemap_record", "basemap_router", "byte_range"]

_PMTILES = "application/vnd.pmtiles"
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)
_CHUNK_BYTES = 1 << 18


def basemap_record(basemap: Basemap) -> BasemapRecord:
    """Return what the page is told of a basemap."""
    return BasemapRecord(
        kind=basemap.kind.value,
        href=_path(basemap),
        attribution=basemap.attribution,
        min_zoom=basemap.min_zoom,
        max_zoom=basemap.max_zoom,
    )


def _path(basemap: Basemap) -> str:
    # Below the page's own files: as public as they are.
    return "/console/basemap." + ("geojson" if basemap.kind is BasemapKind.GEOJSON else "pmtiles")


def basemap_router(basemap: Basemap) -> APIRouter:
    """Return the route of the file."""
    router = APIRouter(include_in_schema=False)
    media_type = GEOJSON if basemap.kind is BasemapKind.GEOJSON else _PMTILES

    @router.get(_path(basemap))
    def show(request: Request) -> Response:
        try:
            status = basemap.path.stat()
        except OSError as error:
            words = f"the basemap {basemap.path.name} is not there any more: {error.strerror}; put it back"
            raise ApiProblemError(HTTPStatus.SERVICE_UNAVAILABLE, words) from error
        size, tag = status.st_size, f'"{status.st_size:x}-{status.st_mtime_ns:x}"'
        headers = {"ETag": tag, "Cache-Control": "no-cache", "Accept-Ranges": "bytes"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=HTTPStatus.NOT_MODIFIED, headers=headers)
        wanted = request.headers.get("range", "") if request.headers.get("if-range", tag) == tag else ""
        part = byte_range(wanted, size)
        if part is None:
            whole = headers | {"Content-Length": str(size)}
            return StreamingResponse(_read(basemap.path, 0, size), headers=whole, media_type=media_type)
        start, end = part
        if start >= end:
            words = f"the basemap has {size} bytes, and '{wanted}' asks for none of them"
            outside = {"Content-Range": f"bytes */{size}"}
            raise ApiProblemError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, words, headers=outside)
        headers |= {"Content-Range": f"bytes {start}-{end - 1}/{size}", "Content-Length": str(end - start)}
        chunks = _read(basemap.path, start, end)
        return StreamingResponse(chunks, HTTPStatus.PARTIAL_CONTENT, headers=headers, media_type=media_type)

    return router


def byte_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the first byte that a ``Range`` asks for and the one after the last.

    None for the whole file: nothing is asked, or several ranges, or something that is not understood. An empty range
    is one that cannot be had.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[0] == "bytes=-":
        return None
    if not match[1]:
        return max(0, size - int(match[2])), size
    start, end = int(match[1]), int(match[2]) + 1 if match[2] else size
    if start >= end and match[2]:
        return None
    return min(start, size), min(end, size)


def _read(path: Path, start: int, end: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while start < end and (chunk := file.read(min(_CHUNK_BYTES, end - start))):
            start += len(chunk)
            yield chunk
