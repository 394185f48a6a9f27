"""The streets under the map of the page: a GeoJSON file, or one PMTiles archive of images or of shapes, looked at once.

References
----------
[PMTiles3] the header of 127 bytes and the metadata: https://github.com/protomaps/PMTiles/blob/main/spec/v3/spec.md
[RFC7946] https://www.rfc-editor.org/rfc/rfc7946
"""

from __future__ import annotations

import gzip
import html
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

from shotline.errors import InputError

__all__ = ["Basemap", "BasemapKind"]

_HEADER = struct.Struct("<7sB11Q4B2B")
_HEADER_BYTES = 127
_COMPRESSIONS = {0: "unknown", 1: "none", 2: "gzip", 3: "brotli", 4: "zstd"}
_TILE_TYPES = {1: "vector", 2: "raster", 3: "raster", 4: "raster", 5: "raster"}
_ROADS = "roads"
_MOST_METADATA_BYTES = 4_000_000
_MOST_GEOJSON_BYTES = 30_000_000
_MOST_ATTRIBUTION = 300
_USE = "give a GeoJSON file of streets in degrees, or a PMTiles archive (docs/server.md)"


class BasemapKind(StrEnum):
    """What a basemap is made of."""

    GEOJSON = "geojson"
    RASTER = "raster"
    VECTOR = "vector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Basemap:
    """A file of streets that can be shown.

    Parameters
    ----------
    path : Path
    kind : BasemapKind
    attribution : str
        Whose data it is, in plain text; "" where the file does not say.
    min_zoom, max_zoom : int
        Levels of the tiles; zero for GeoJSON.
    """

    path: Path
    kind: BasemapKind
    attribution: str = ""
    min_zoom: int = 0
    max_zoom: int = 0

    @classmethod
    def read(cls, path: Path) -> Basemap:
        """Look at a file.

        Raises
        ------
        InputError
            It is missing, or not what its name says.
        """
        suffix = path.suffix.lower()
        try:
            if suffix == ".pmtiles":
                return _read_pmtiles(path)
            if suffix in (".geojson", ".json"):
                return _read_geojson(path)
        except OSError as error:
            raise _wrong(path, f"cannot be read: {error.strerror}; {_USE}") from error
        raise _wrong(path, f"is neither .geojson nor .pmtiles; {_USE}")


def _wrong(path: Path, words: str) -> InputError:
    return InputError(f"the basemap {words}", source=path, field="console.basemap")


def _read_pmtiles(path: Path) -> Basemap:
    with path.open("rb") as file:
        head = file.read(_HEADER_BYTES)
        if not head.startswith(b"PMTiles"):
            raise _wrong(path, f"is no PMTiles archive: it begins with {head[:7]!r}, not with b'PMTiles'; {_USE}")
        if len(head) < _HEADER_BYTES:
            raise _wrong(path, f"ends after {len(head)} bytes, within its header; copy it again")
        _, version, *numbers = _HEADER.unpack_from(head)
        if version != 3:
            raise _wrong(path, f"is of PMTiles version {version}, version 3 is read; convert it with `pmtiles convert`")
        metadata_at, metadata_bytes, tiles_at, tiles_bytes = numbers[2], numbers[3], numbers[6], numbers[7]
        _, internal, tile, tile_type, min_zoom, max_zoom = numbers[11:17]
        size = path.stat().st_size
        if tiles_at + tiles_bytes > size or metadata_at + metadata_bytes > size:
            raise _wrong(
                path, f"is cut off: it has {size} bytes and should have {tiles_at + tiles_bytes}; copy it again"
            )
        for what, code in (("directories are", internal), ("tiles are", tile)):
            if code > 2:
                named = _COMPRESSIONS.get(code, str(code))
                raise _wrong(path, f"cannot be read by browsers: its {what} compressed with {named}; use gzip")
        if tile_type not in _TILE_TYPES:
            raise _wrong(path, f"has tiles of type {tile_type}; images or vector tiles (MVT) are shown")
        if metadata_bytes > _MOST_METADATA_BYTES:
            raise _wrong(
                path, f"has {metadata_bytes} bytes of metadata, more than {_MOST_METADATA_BYTES}; make it anew"
            )
        file.seek(metadata_at)
        metadata = _metadata(path, file.read(metadata_bytes), is_gzip=internal == 2)
    kind = BasemapKind(_TILE_TYPES[tile_type])
    if kind is BasemapKind.VECTOR:
        _check_layers(path, metadata)
    return Basemap(
        path=path, kind=kind, attribution=_plain(metadata.get("attribution")), min_zoom=min_zoom, max_zoom=max_zoom
    )


def _metadata(path: Path, data: bytes, *, is_gzip: bool) -> dict[str, Any]:
    try:
        return msgspec.json.decode(gzip.decompress(data) if is_gzip else data, type=dict[str, Any])
    except (OSError, EOFError, zlib.error, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _wrong(path, f"has metadata that is no JSON object: {error}; make it anew") from error


def _check_layers(path: Path, metadata: dict[str, Any]) -> None:
    """Refuse vector tiles of another schema: they would be an empty map."""
    layers = metadata.get("vector_layers")
    names = [str(item.get("id")) for item in layers if isinstance(item, dict)] if isinstance(layers, list) else []
    if _ROADS not in names:
        raise _wrong(
            path,
            f"has vector layers {', '.join(names) or 'without names'}, and is drawn by those of Protomaps basemaps "
            f"({_ROADS} and others); cut an area out of such a build with `pmtiles extract`, or use images",
        )


def _read_geojson(path: Path) -> Basemap:
    size = path.stat().st_size
    if size > _MOST_GEOJSON_BYTES:
        raise _wrong(
            path,
            f"has {size} bytes, too much to draw at once (at most {_MOST_GEOJSON_BYTES}); cut it to the area, or make "
            "a PMTiles archive of it",
        )
    try:
        document = msgspec.json.decode(path.read_bytes())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _wrong(path, f"is no JSON: {error}; {_USE}") from error
    kind = document.get("type") if isinstance(document, dict) else None
    if not isinstance(document, dict) or kind != "FeatureCollection" or not isinstance(document.get("features"), list):
        raise _wrong(path, f"is no GeoJSON FeatureCollection: its type is {kind!r}; {_USE}")
    drawn = 0
    for number, feature in enumerate(document["features"]):
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        if not isinstance(geometry, dict) or not str(geometry.get("type")).endswith(("LineString", "Polygon")):
            continue
        for position in _positions(geometry.get("coordinates")):
            if len(position) < 2 or not (-360.0 <= position[0] <= 360.0 and -90.0 <= position[1] <= 90.0):
                raise _wrong(
                    path, f"has {position} in feature {number}, which is no longitude and latitude; export it in WGS-84"
                )
        drawn += 1
    if not drawn:
        raise _wrong(path, "has no line and no polygon, so nothing would be drawn; export streets")
    return Basemap(path=path, kind=BasemapKind.GEOJSON, attribution=_plain(document.get("attribution")))


def _positions(coordinates: object) -> Iterator[list[float]]:
    """Yield the positions in coordinates of any depth; what is no list of numbers is a position of length 0."""
    waiting = [coordinates]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, list) or not item:
            yield []
        elif all(isinstance(part, int | float) for part in item):
            yield item
        else:
            waiting.extend(item)


def _plain(attribution: object) -> str:
    """Return an attribution, often HTML, as text."""
    if not isinstance(attribution, str):
        return ""
    return html.unescape(re.sub(r"<[^<>]*>", "", attribution)).strip()[:_MOST_ATTRIBUTION]
