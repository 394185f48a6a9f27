"""Small basemaps about the nine roofs, written for real: streets as GeoJSON, and PMTiles of images and of shapes."""

from __future__ import annotations

import gzip
import json
import math
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path

from alert_samples import FRAME
from pmtiles.tile import Compression, TileType, zxy_to_tileid
from pmtiles.writer import Writer

__all__ = ["ATTRIBUTION", "raster_pmtiles", "streets_geojson", "vector_pmtiles"]

ATTRIBUTION = 'Streets made up <a href="https://example.org">for tests</a> &copy; nobody'
_HALF_M = 700.0
_LEVELS = (13, 16)
_TILE_PX = 256
_EXTENT = 4096
_Line = list[tuple[float, float]]


def _streets_m() -> Iterator[tuple[str, _Line]]:
    """Yield streets in metres: a grid askew, an avenue, a river."""
    for index in range(-6, 7):
        across_m = 110.0 * index
        yield "residential", [(across_m - 60.0, -_HALF_M), (across_m + 60.0, _HALF_M)]
        yield "residential", [(-_HALF_M, across_m + 60.0), (_HALF_M, across_m - 60.0)]
    yield "primary", [(-_HALF_M, -350.0), (-100.0, -60.0), (200.0, 90.0), (_HALF_M, 120.0)]


def _water_m() -> _Line:
    return [(-_HALF_M, 330.0), (0.0, 400.0), (_HALF_M, 350.0), (_HALF_M, 460.0), (0.0, 500.0), (-_HALF_M, 430.0)]


def _lon_lat(x_m: float, y_m: float) -> tuple[float, float]:
    lat_deg, lon_deg, _ = FRAME.to_geodetic(x_m, y_m)
    return round(lon_deg, 7), round(lat_deg, 7)


def streets_geojson(path: Path) -> Path:
    """Write streets and a river."""
    ring = [_lon_lat(*place) for place in _water_m()]
    features = [
        {"type": "Feature", "properties": {"natural": "water"}, "geometry": _geometry("Polygon", [[*ring, ring[0]]])},
        *(
            {
                "type": "Feature",
                "properties": {"highway": kind},
                "geometry": _geometry("LineString", [_lon_lat(*place) for place in line]),
            }
            for kind, line in _streets_m()
        ),
    ]
    collection = {"type": "FeatureCollection", "attribution": ATTRIBUTION, "features": features}
    path.write_text(json.dumps(collection), encoding="utf-8")
    return path


def _geometry(kind: str, coordinates: object) -> dict[str, object]:
    return {"type": kind, "coordinates": coordinates}


def raster_pmtiles(path: Path) -> Path:
    """Write images: white, with the streets drawn square by square."""
    return _write(path, TileType.PNG, _image, levels=(14, 15))


def vector_pmtiles(path: Path, *, layers: tuple[str, ...] = ("earth", "water", "roads")) -> Path:
    """Write vector tiles in the manner of Protomaps basemaps."""
    return _write(path, TileType.MVT, lambda z, x, y: gzip.compress(_shapes(z, x, y, layers)), layers=layers)


def _write(
    path: Path,
    kind: TileType,
    make: Callable[[int, int, int], bytes],
    *,
    layers: tuple[str, ...] = (),
    levels: tuple[int, int] = _LEVELS,
) -> Path:
    corners = [_lon_lat(-_HALF_M, -_HALF_M), _lon_lat(_HALF_M, _HALF_M)]
    with path.open("wb") as file:
        writer = Writer(file)
        tiles = [
            (z, x, y) for z in range(levels[0], levels[1] + 1) for x in range(*_span(z, 0)) for y in range(*_span(z, 1))
        ]
        for z, x, y in sorted(tiles, key=lambda tile: zxy_to_tileid(*tile)):
            writer.write_tile(zxy_to_tileid(z, x, y), make(z, x, y))
        header = {
            "tile_type": kind,
            "tile_compression": Compression.GZIP if kind is TileType.MVT else Compression.NONE,
            "min_zoom": levels[0],
            "max_zoom": levels[1],
            "min_lon_e7": int(corners[0][0] * 1e7),
            "min_lat_e7": int(corners[0][1] * 1e7),
            "max_lon_e7": int(corners[1][0] * 1e7),
            "max_lat_e7": int(corners[1][1] * 1e7),
            "center_zoom": levels[0],
            "center_lon_e7": int(FRAME.lon_deg * 1e7),
            "center_lat_e7": int(FRAME.lat_deg * 1e7),
        }
        metadata: dict[str, object] = {"attribution": ATTRIBUTION}
        if layers:
            metadata["vector_layers"] = [{"id": layer, "fields": {}} for layer in layers]
        writer.finalize(header, metadata)
    return path


def _span(z: int, axis: int) -> tuple[int, int]:
    ends = [_tile_at(x_m, y_m, z)[axis] for x_m, y_m in ((-_HALF_M, _HALF_M), (_HALF_M, -_HALF_M))]
    return math.floor(min(ends)), math.floor(max(ends)) + 1


def _tile_at(x_m: float, y_m: float, z: int) -> tuple[float, float]:
    """Return where a place is, in tiles of a level from the north-west corner of the world."""
    lon_deg, lat_deg = _lon_lat(x_m, y_m)
    return (
        (lon_deg + 180.0) / 360.0 * 2**z,
        (1.0 - math.asinh(math.tan(math.radians(lat_deg))) / math.pi) / 2.0 * 2**z,
    )


def _inside(line: Iterable[tuple[float, float]], z: int, x: int, y: int, size: int) -> list[tuple[int, int]]:
    places = (_tile_at(x_m, y_m, z) for x_m, y_m in line)
    return [(round((across - x) * size), round((down - y) * size)) for across, down in places]


def _image(z: int, x: int, y: int) -> bytes:
    pixels = bytearray(b"\xf4\xf2\xee" * _TILE_PX * _TILE_PX)
    for kind, line in _streets_m():
        half = 2 if kind == "primary" else 1
        for (x0, y0), (x1, y1) in pairwise(_inside(line, z, x, y, _TILE_PX)):
            steps = max(abs(x1 - x0), abs(y1 - y0), 1)
            for step in range(steps + 1):
                across, down = x0 + (x1 - x0) * step // steps, y0 + (y1 - y0) * step // steps
                for row in range(max(0, down - half), min(_TILE_PX, down + half)):
                    for column in range(max(0, across - half), min(_TILE_PX, across + half)):
                        at = 3 * (row * _TILE_PX + column)
                        pixels[at : at + 3] = b"\xe0\x9a\x3c" if kind == "primary" else b"\xb8\xb4\xac"
    rows = b"".join(b"\0" + pixels[3 * _TILE_PX * row : 3 * _TILE_PX * (row + 1)] for row in range(_TILE_PX))
    head = struct.pack(">2I5B", _TILE_PX, _TILE_PX, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows, 6)), (b"IEND", b"")]
    chunks = (
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


# --- Mapbox vector tiles, as much of them as is needed ----------------------------------------------------------------


def _shapes(z: int, x: int, y: int, layers: tuple[str, ...]) -> bytes:
    roads = [
        _feature(2, _moves(_inside(line, z, x, y, _EXTENT)), 1 if kind == "primary" else 0)
        for kind, line in _streets_m()
    ]
    water = [_feature(3, [*_moves(_inside(_water_m(), z, x, y, _EXTENT)[::-1]), 15], 2)]
    earth = [_feature(3, [*_moves([(0, 0), (_EXTENT, 0), (_EXTENT, _EXTENT), (0, _EXTENT)]), 15], 3)]
    return b"".join(_field(3, _layer(name, made)) for name, made in zip(layers, (earth, water, roads), strict=True))


def _layer(name: str, features: list[bytes]) -> bytes:
    values = [_field(1, kind.encode()) for kind in ("minor_road", "major_road", "water", "earth")]
    parts = [_field(1, name.encode()), *(_field(2, feature) for feature in features), _field(3, b"kind")]
    return b"".join([*parts, *(_field(4, value) for value in values), _number(5, _EXTENT), _number(15, 2)])


def _feature(kind: int, geometry: list[int], value: int) -> bytes:
    packed = b"".join(_varint(number) for number in geometry)
    return _field(2, _varint(0) + _varint(value)) + _number(3, kind) + _field(4, packed)


def _moves(line: list[tuple[int, int]]) -> list[int]:
    made = [9, *_zigzag(line[0], (0, 0)), (len(line) - 1) << 3 | 2]
    for before, after in pairwise(line):
        made += _zigzag(after, before)
    return made


def _zigzag(to: tuple[int, int], start: tuple[int, int]) -> list[int]:
    return [(step << 1) ^ (step >> 63) for step in (to[0] - start[0], to[1] - start[1])]


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
