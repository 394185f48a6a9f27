"""What files say of a plan: the area, nodes and candidate sites as GeoJSON [RFC7946], and the state of nodes. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from fusion_server.scorecard.areas import Area, parse_areas
from shotline.config import ConfigModel, parse_config
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.plan.situation import PlannedNode

__all__ = ["NodeState", "grid_sites", "parse_area", "parse_points", "parse_states", "with_states"]

_SITE_SIGMA_M = 1.0


class NodeState(ConfigModel):
    """What is known of one node, ``[[nodes]]`` of a state file."""

    id: str
    noise_dba: Annotated[float, Field(ge=-20.0, le=120.0)] | None = None
    """A-weighted level of the noise there, exceeded half of the time (LA50)."""
    muffled_db: Annotated[float, Field(ge=-80.0, le=0.0)] = 0.0
    """Change of level by a blocked microphone."""
    clock_sigma_s: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    failed: bool = False
    """It hears nothing."""


class _StateFile(ConfigModel):
    nodes: list[NodeState] = Field(default_factory=list)


def parse_area(text: str, *, frame: LocalFrame | None, source: object) -> tuple[tuple[Area, ...], LocalFrame]:
    """Return the areas of a GeoJSON text, and the frame that they are in.

    Parameters
    ----------
    text : str
        A Polygon or MultiPolygon, a Feature of one, or a FeatureCollection; longitude first.
    frame : LocalFrame | None
        None: one about the middle of the area.
    source : object
        File, for messages.

    Raises
    ------
    InputError
        Names the feature and what is wrong with it.
    """
    document = _document(text, source)
    if document.get("type") in ("Polygon", "MultiPolygon"):
        document = {"type": "Feature", "properties": {}, "geometry": document}
    features = document.get("features") if document.get("type") == "FeatureCollection" else [document]
    for number, feature in enumerate(features if isinstance(features, list) else [], start=1):
        if isinstance(feature, dict):
            properties = feature.get("properties")
            properties = dict(properties) if isinstance(properties, dict) else {}
            properties.setdefault("name", f"area {number}")
            feature["properties"] = properties
    if frame is None:
        corners = list(_pairs([item.get("geometry") for item in features or [] if isinstance(item, dict)]))
        if not corners:
            raise InputError("no coordinates; expected a Polygon or MultiPolygon", source=source)
        lon_deg, lat_deg = (0.5 * (min(axis) + max(axis)) for axis in zip(*corners, strict=True))
        frame = LocalFrame(lat_deg, lon_deg, 0.0)
    return parse_areas(json.dumps(document), frame=frame, source=source), frame


def parse_points(
    text: str, *, frame: LocalFrame, up_m: float, source: object, prefix: str = "site"
) -> tuple[PlannedNode, ...]:
    """Return the points of a GeoJSON text as places of nodes, in their order.

    Parameters
    ----------
    text : str
        A FeatureCollection of Points; the name is the feature's id, or its property ``node``, ``id`` or ``name``;
        ``noise_dba``, ``sigma_m`` and ``muffled_db`` are read where they are there.
    frame : LocalFrame
    up_m : float
        Height of the microphones in the frame.
    source : object
        File, for messages.
    prefix : str
        Of the name of a point without one.

    Raises
    ------
    InputError
        Names the feature and what is wrong with it.
    """
    document = _document(text, source)
    features = document.get("features")
    if document.get("type") != "FeatureCollection" or not isinstance(features, list):
        raise InputError(f"its type is {document.get('type')!r}, expected a FeatureCollection of Points", source=source)
    found: dict[str, PlannedNode] = {}
    for number, feature in enumerate(features, start=1):
        field = f"feature {number}"
        geometry = feature.get("geometry") if isinstance(feature, dict) else None
        if not isinstance(geometry, dict) or geometry.get("type") != "Point":
            kind = geometry.get("type") if isinstance(geometry, dict) else None
            raise InputError(f"its geometry is {kind!r}, expected Point", source=source, field=field)
        lon_deg, lat_deg = _lon_lat(geometry.get("coordinates"), source, field)
        properties = feature.get("properties")
        said: dict[str, Any] = properties if isinstance(properties, dict) else {}
        name = feature.get("id") or said.get("node") or said.get("id") or said.get("name") or f"{prefix}-{number:02}"
        if str(name) in found:
            raise InputError(f"a second point is named '{name}'; give each its own name", source=source, field=field)
        east_m, north_m, _ = frame.to_enu_m(lat_deg, lon_deg, frame.height_m)
        found[str(name)] = PlannedNode(
            site=Site(str(name), east_m, north_m, up_m, _number(said, "sigma_m", _SITE_SIGMA_M, source, field)),
            noise_dba=_number(said, "noise_dba", None, source, field),
            muffled_db=_number(said, "muffled_db", 0.0, source, field),
        )
    if not found:
        raise InputError("no points; expected at least one", source=source)
    return tuple(found.values())


def grid_sites(areas: Sequence[Area], *, apart_m: float, up_m: float) -> tuple[PlannedNode, ...]:
    """Return places on a triangular grid over some areas: candidates where nobody names any."""
    import numpy as np
    import shapely

    shape = shapely.union_all([area.shape for area in areas])
    west_m, south_m, east_m, north_m = shape.bounds
    rows = np.arange(south_m + 0.5 * apart_m, north_m, apart_m * math.sqrt(0.75))
    places = [
        (float(x_m), float(y_m))
        for number, y_m in enumerate(rows)
        for x_m in np.arange(west_m + (0.25 if number % 2 else 0.75) * apart_m, east_m, apart_m)
    ]
    kept = [place for place in places if shapely.contains_xy(shape, *place)]
    return tuple(
        PlannedNode(site=Site(f"place-{number:03}", x_m, y_m, up_m, _SITE_SIGMA_M))
        for number, (x_m, y_m) in enumerate(kept, start=1)
    )


def parse_states(text: str, *, source: object) -> tuple[NodeState, ...]:
    """Return what a state file says, TOML with ``[[nodes]]``.

    Raises
    ------
    ConfigError
        With every mistake and its line.
    """
    return tuple(parse_config(text, _StateFile, source=str(source)).nodes)


def with_states(
    nodes: Sequence[PlannedNode], states: Sequence[NodeState], *, source: object = ""
) -> tuple[PlannedNode, ...]:
    """Return nodes with what is known of them.

    Raises
    ------
    InputError
        A state is of no node.
    """
    known = {node.site.node for node in nodes}
    for state in states:
        if state.id not in known:
            raise InputError(f"no node '{state.id}'; there are {len(known)} others", source=source, field="nodes")
    of = {state.id: state for state in states}
    return tuple(_in_state(node, of.get(node.site.node)) for node in nodes)


def _in_state(node: PlannedNode, state: NodeState | None) -> PlannedNode:
    if state is None:
        return node
    return replace(
        node,
        noise_dba=node.noise_dba if state.noise_dba is None else state.noise_dba,
        muffled_db=state.muffled_db,
        clock_sigma_s=node.clock_sigma_s if state.clock_sigma_s is None else state.clock_sigma_s,
        failed=state.failed,
    )


def _document(text: str, source: object) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except ValueError as error:
        raise InputError(f"not JSON: {error}; expected GeoJSON", source=source) from error
    if not isinstance(document, dict):
        raise InputError(f"it is a {type(document).__name__}, expected a GeoJSON object", source=source)
    return document


def _pairs(value: Any) -> Any:
    """Yield every pair of numbers in nested coordinates."""
    if isinstance(value, dict):
        yield from _pairs(value.get("coordinates"))
    elif isinstance(value, list) and len(value) >= 2 and all(_is_number(item) for item in value[:2]):
        yield float(value[0]), float(value[1])
    elif isinstance(value, list):
        for item in value:
            yield from _pairs(item)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _lon_lat(value: object, source: object, field: str) -> tuple[float, float]:
    if not isinstance(value, list) or len(value) < 2 or not all(_is_number(item) for item in value[:2]):
        raise InputError(f"its coordinates are {value!r}, expected longitude and latitude", source=source, field=field)
    return float(value[0]), float(value[1])


def _number(said: dict[str, Any], key: str, default: Any, source: object, field: str) -> Any:
    value = said.get(key, default)
    if value is not default and not _is_number(value):
        raise InputError(f"{key} is {value!r}, expected a number", source=source, field=field)
    return value
