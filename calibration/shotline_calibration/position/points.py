"""Surveyed points as surveyors hand them over: CSV with guessed columns, GeoJSON. Pure."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from shotline.domain import NODE_ID_PATTERN
from shotline.errors import InputError

__all__ = ["Column", "PointTable", "RawPoint", "parse_csv", "parse_geojson"]


class Column(StrEnum):
    """What a column holds. ``X`` and ``Y`` are called so in the file: which is east, the coordinate system says."""

    NODE = "node"
    EAST = "east"
    NORTH = "north"
    X = "x"
    Y = "y"
    HEIGHT = "height"
    SIGMA = "sigma"


_NAMES = {
    Column.NODE: {"node", "id", "nodeid", "name", "point", "pointid", "station", "label", "nr", "no", "punkt"},
    Column.EAST: {"e", "east", "easting", "lon", "lng", "long", "longitude", "rechtswert", "ost", "lambda"},
    Column.NORTH: {"n", "north", "northing", "lat", "latitude", "hochwert", "nord", "phi"},
    Column.X: {"x", "xcoord", "coordx"},
    Column.Y: {"y", "ycoord", "coordy"},
    Column.HEIGHT: {"z", "h", "height", "hoehe", "höhe", "elev", "elevation", "alt", "altitude", "up"},
    Column.SIGMA: {"sigma", "std", "stddev", "sd", "rms", "sigmaxy", "hz", "accuracy"},
}
_UNITS = re.compile(r"(?<=[a-zöäü])(deg|m)\Z")


@dataclass(frozen=True, slots=True)
class RawPoint:
    """A point as the file has it.

    Parameters
    ----------
    node : str
    first, second : float
        East and north, or longitude and latitude; x and y where ``PointTable.plain_xy``.
    height : float | None
    sigma_m : float | None
    line : int
        Where it is in the file; number of the feature in GeoJSON.
    """

    node: str
    first: float
    second: float
    height: float | None
    sigma_m: float | None
    line: int


@dataclass(frozen=True, slots=True)
class PointTable:
    """The points of a file.

    Parameters
    ----------
    points : tuple of RawPoint
    columns : mapping of Column to str
        Which column was taken for what.
    plain_xy : bool
        The columns are called x and y, which says nothing about east and north.
    crs : str | None
        What the file itself says its coordinate system is.
    """

    points: tuple[RawPoint, ...]
    columns: Mapping[Column, str]
    plain_xy: bool
    crs: str | None


def parse_csv(text: str, *, given: Mapping[Column, str] | None = None, source: object = "") -> PointTable:
    """Return the points of a CSV file with a line of names.

    Parameters
    ----------
    text : str
        Columns separated by comma, semicolon or tab; with the last two, a decimal comma is read as well.
    given : mapping of Column to str, optional
        Names of columns that are not to be guessed.
    source : object

    Raises
    ------
    InputError
        Columns cannot be told, or a value cannot be read; with its line.
    """
    lines = text.lstrip("﻿").splitlines()
    if not lines:
        raise InputError("is empty, expected a line of names and a line a point", source=source)
    delimiter = max(";\t,", key=lines[0].count)
    rows = csv.reader(lines, delimiter=delimiter)
    names = [name.strip() for name in next(rows)]
    columns = _columns(names, dict(given or {}), source)
    plain_xy = Column.X in columns
    where = {column: names.index(name) for column, name in columns.items()}
    pair = (Column.X, Column.Y) if plain_xy else (Column.EAST, Column.NORTH)
    points: list[RawPoint] = []
    for row in rows:
        line = rows.line_num
        if not any(cell.strip() for cell in row) or row[0].lstrip().startswith("#"):
            continue
        if len(row) < len(names):
            raise InputError(f"{len(row)} columns, the first line has {len(names)}", source=source, line=line)

        def number(column: Column, *, row: Sequence[str] = row, line: int = line) -> float | None:
            if column not in where:
                return None
            cell = row[where[column]].strip()
            return None if not cell else _number(cell, columns[column], delimiter != ",", source, line)

        first, second = number(pair[0]), number(pair[1])
        if first is None or second is None:
            raise InputError("has no coordinates", source=source, line=line)
        node = _node(row[where[Column.NODE]].strip(), source, line)
        points.append(RawPoint(node, first, second, number(Column.HEIGHT), number(Column.SIGMA), line))
    return PointTable(_some(points, source), columns, plain_xy, None)


def parse_geojson(text: str, *, source: object = "") -> PointTable:
    """Return the points of a GeoJSON feature collection [RFC7946]; coordinates are east first, longitude first.

    The node is the property ``node``, ``id`` or ``name``, or the id of the feature. A member ``crs``, of the format
    before RFC 7946, is believed.

    Raises
    ------
    InputError
        It is none, or a feature is no point, or names no node.
    """
    try:
        document = msgspec.json.decode(text, type=_Collection)
    except msgspec.MsgspecError as error:
        raise InputError(f"is no GeoJSON feature collection of points: {error}", source=source) from error
    points: list[RawPoint] = []
    for number, feature in enumerate(document.features, start=1):
        values = feature.geometry.coordinates
        if len(values) < 2 or not all(map(math.isfinite, values)):
            raise InputError(f"feature {number} has {len(values)} coordinates, expected 2 or 3", source=source)
        properties = feature.properties or {}
        named = {name.lower(): value for name, value in properties.items()}
        name = next((named[key] for key in ("node", "id", "name") if named.get(key) is not None), feature.id)
        sigma = named.get("sigma_m")
        if sigma is not None and (isinstance(sigma, bool) or not isinstance(sigma, int | float)):
            raise InputError(f"feature {number}: sigma_m is {sigma!r}, expected metres", source=source)
        node = _node("" if name is None else str(name), source, number)
        height = values[2] if len(values) > 2 else None
        points.append(RawPoint(node, values[0], values[1], height, None if sigma is None else float(sigma), number))
    stated = None if document.crs is None else document.crs.properties.get("name")
    return PointTable(_some(points, source), {}, False, stated)


class _Geometry(msgspec.Struct, tag_field="type", tag="Point"):
    coordinates: list[float]


class _Feature(msgspec.Struct, tag_field="type", tag="Feature"):
    geometry: _Geometry
    properties: dict[str, object] | None = None
    id: str | int | None = None


class _Crs(msgspec.Struct):
    properties: dict[str, str] = {}


class _Collection(msgspec.Struct, tag_field="type", tag="FeatureCollection"):
    features: list[_Feature]
    crs: _Crs | None = None


def _columns(names: list[str], given: dict[Column, str], source: object) -> dict[Column, str]:
    """Return which column is what; what is not given is guessed from its name, and never from two."""
    found = dict(given)
    for column, name in given.items():
        if name not in names:
            raise InputError(f"has no column '{name}' for the {column.value}; it has {', '.join(names)}", source=source)
    free = [name for name in names if name not in given.values()]
    guessed: dict[Column, list[str]] = {}
    for name in free:
        for column, known in _NAMES.items():
            if _plain(name) in known and column not in given:
                guessed.setdefault(column, []).append(name)
    if Column.EAST in given and Column.NORTH in given:
        guessed.pop(Column.X, None)
        guessed.pop(Column.Y, None)
    for column, candidates in guessed.items():
        if len(candidates) > 1:
            said = " and ".join(f"'{name}'" for name in candidates)
            raise InputError(f"{said} both look like the {column.value}; say which: {_option(column)}", source=source)
        found[column] = candidates[0]
    if {Column.EAST, Column.NORTH} <= set(found):
        found.pop(Column.X, None)
        found.pop(Column.Y, None)
    elif not {Column.X, Column.Y} <= set(found):
        raise InputError(
            f"no columns for east and north found among {', '.join(names)}; name them: --east COLUMN --north COLUMN",
            source=source,
        )
    if Column.NODE not in found:
        raise InputError(f"no column for the node found among {', '.join(names)}; name it: --id COLUMN", source=source)
    return found


def _option(column: Column) -> str:
    option = {Column.NODE: "--id", Column.X: "--east", Column.Y: "--north"}.get(column, f"--{column.value}")
    return f"{option} COLUMN"


def _plain(name: str) -> str:
    """Return a name without case, signs, and unit: ``Lat_deg`` is ``lat``."""
    return _UNITS.sub("", re.sub(r"[^a-zöäü]", "", name.lower()))


def _number(cell: str, name: str, comma: bool, source: object, line: int) -> float:
    text = cell.replace(",", ".") if comma and "." not in cell else cell
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{cell}' is no number", source=source, field=name, line=line)
    return value


def _node(text: str, source: object, line: int) -> str:
    if not re.fullmatch(NODE_ID_PATTERN, text) or len(text) > 64:
        raise InputError(
            f"'{text}' is no node id: letters, digits, and . _ : - after the first, 64 at the most",
            source=source,
            field="node",
            line=line,
        )
    return text


def _some(points: list[RawPoint], source: object) -> tuple[RawPoint, ...]:
    if not points:
        raise InputError("holds no points", source=source)
    lines: dict[str, int] = {}
    for point in points:
        if point.node in lines:
            raise InputError(
                f"'{point.node}' is there twice, before in line {lines[point.node]}; remove one",
                source=source,
                line=point.line,
            )
        lines[point.node] = point.line
    return tuple(points)
