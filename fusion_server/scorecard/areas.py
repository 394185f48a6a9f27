"""Areas that a city is divided into, from GeoJSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.geodesy import LocalFrame

__all__ = ["Area", "parse_areas"]

_MOST_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Area:
    """A named area.

    Parameters
    ----------
    name : str
    shape : shapely Polygon | MultiPolygon
        Metres in the local frame.
    """

    name: str
    shape: Any

    @property
    def km2(self) -> float:
        """Its size."""
        return float(self.shape.area) / 1e6


def parse_areas(text: str, *, frame: LocalFrame | None, source: object = "") -> tuple[Area, ...]:
    """Return the areas of a GeoJSON text, in their order.

    Parameters
    ----------
    text : str
        A Feature or a FeatureCollection; each feature a Polygon or MultiPolygon with a property ``name``.
    frame : LocalFrame | None
        The coordinates are degrees, longitude first; without a frame they are metres, x first.
    source : object
        File, for messages.

    Raises
    ------
    InputError
        Names the feature and what is wrong with it.
    """
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON: {error}; expected GeoJSON", source=source) from error
    areas: dict[str, Area] = {}
    for number, feature in enumerate(_features(document, source), start=1):
        field = f"feature {number}"
        name = _name(feature, source, field)
        if name in areas:
            raise InputError(f"a second area is named '{name}'; give each its own name", source=source, field=field)
        areas[name] = Area(name, _shape(feature, frame, source, field))
    if not areas:
        raise InputError("no features; expected areas, each a Polygon with a name", source=source)
    return tuple(areas.values())


def _features(document: Any, source: object) -> Iterator[dict[str, Any]]:
    kind = document.get("type") if isinstance(document, dict) else None
    features = document.get("features") if kind == "FeatureCollection" else [document]
    if kind not in ("FeatureCollection", "Feature") or not isinstance(features, list):
        raise InputError(f"its type is {kind!r}, expected a FeatureCollection or a Feature", source=source)
    for feature in features:
        yield feature if isinstance(feature, dict) else {}


def _name(feature: dict[str, Any], source: object, field: str) -> str:
    properties = feature.get("properties")
    name = properties.get("name") if isinstance(properties, dict) else None
    # A name goes into tables that other programs open; one that begins like a formula is none.
    if not isinstance(name, str) or not name[:1].isalnum() or not name.isprintable():
        raise InputError(
            f"its name is {name!r}; expected a text in properties.name that begins with a letter or digit",
            source=source,
            field=field,
        )
    if len(name) > _MOST_NAME_CHARACTERS:
        raise InputError(
            f"its name has {len(name)} characters, expected {_MOST_NAME_CHARACTERS} at the most",
            source=source,
            field=field,
        )
    return name


def _shape(feature: dict[str, Any], frame: LocalFrame | None, source: object, field: str) -> Any:
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if kind not in ("Polygon", "MultiPolygon"):
        raise InputError(f"its geometry is {kind!r}, expected Polygon or MultiPolygon", source=source, field=field)
    try:
        shape = shapely.force_2d(shapely.from_geojson(json.dumps(geometry)))
    except shapely.GEOSException as error:
        raise InputError(f"its geometry cannot be read: {error}", source=source, field=field) from error

    def to_metres(points: NDArray[np.float64]) -> NDArray[np.float64]:
        assert frame is not None
        return np.array([frame.to_enu_m(lat_deg, lon_deg, frame.height_m)[:2] for lon_deg, lat_deg in points])

    if not shape.is_empty and frame is not None:
        shape = shapely.transform(shape, to_metres)
    if shape.is_empty or not shape.is_valid or not shape.area > 0:
        why = "it is empty" if shape.is_empty else shapely.is_valid_reason(shape)
        raise InputError(f"its geometry is no area: {why}", source=source, field=field)
    return shape
