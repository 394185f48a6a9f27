"""Incidents and nodes as GeoJSON (RFC 7946): longitude first, WGS-84. Pure.

References
----------
[RFC7946] https://www.rfc-editor.org/rfc/rfc7946, 3.1.6 (rings run counter-clockwise), 3.1.9 (cut at the antimeridian).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import msgspec

from fusion_server.api.documents import NodeRecord
from shotline.geodesy import LocalFrame
from shotline.records import EllipseRecord, FiringPlaceRecord, IncidentRecord, ShotRecord

__all__ = ["ellipse_ring_m", "incident_features", "incidents_collection", "nodes_collection"]

_VERTICES = 64
_DIGITS = 8
_Json = dict[str, Any]
_Position = tuple[float, float]


def incidents_collection(records: Iterable[IncidentRecord], frame: LocalFrame) -> _Json:
    """Return one point for each incident; the ellipse is in its properties."""
    return _collection(_incident_feature(record, frame) for record in records)


def nodes_collection(nodes: Iterable[NodeRecord]) -> _Json:
    """Return one point for each node that has a site."""
    return _collection(_node_feature(node, {}) for node in nodes if node.lat_deg is not None)


def incident_features(record: IncidentRecord, nodes: Sequence[NodeRecord], frame: LocalFrame) -> _Json:
    """Return one incident with everything about it: its point, 95 % ellipse, rounds, and nodes with what they heard.

    The property ``role`` of each feature is ``incident``, ``ellipse95``, ``place``, ``shot``, ``region95`` (of a shot)
    or ``node``.
    """
    features = [_incident_feature(record, frame), _ellipse_feature(record, frame)]
    features += [_place_feature(place, frame) for place in record.places]
    features += [_shot_feature(index, shot, frame) for index, shot in enumerate(record.shots)]
    features += [
        _region_feature(index, ring, frame) for index, shot in enumerate(record.shots) for ring in shot.region95_m
    ]
    heard = {arrival.node for shot in record.shots for arrival in shot.arrivals}
    used = {arrival.node for shot in record.shots for arrival in shot.arrivals if arrival.used}
    features += [
        _node_feature(node, {"heard": node.node in heard, "used": node.node in used})
        for node in nodes
        if node.lat_deg is not None
    ]
    return _collection(features)


def ellipse_ring_m(x_m: float, y_m: float, ellipse: EllipseRecord, *, vertices: int = _VERTICES) -> list[_Position]:
    """Return the outline of an ellipse in the local frame: counter-clockwise, closed.

    The major axis points ``orientation_deg`` clockwise from north (+y), so its direction is (sin, cos).
    """
    angle = math.radians(ellipse.orientation_deg)
    major, minor = (math.sin(angle), math.cos(angle)), (-math.cos(angle), math.sin(angle))
    ring = []
    for step in range(vertices):
        turn = 2.0 * math.pi * step / vertices
        along, across = ellipse.semi_major_m * math.cos(turn), ellipse.semi_minor_m * math.sin(turn)
        ring.append((x_m + along * major[0] + across * minor[0], y_m + along * major[1] + across * minor[1]))
    return [*ring, ring[0]]


def _collection(features: Iterable[_Json]) -> _Json:
    return {"type": "FeatureCollection", "features": list(features)}


def _feature(geometry: _Json, properties: _Json) -> _Json:
    return {"type": "Feature", "geometry": geometry, "properties": properties}


def _point(frame: LocalFrame, x_m: float, y_m: float) -> _Json:
    return {"type": "Point", "coordinates": _lon_lat(frame, x_m, y_m)}


def _lon_lat(frame: LocalFrame, x_m: float, y_m: float) -> _Position:
    lat_deg, lon_deg, _ = frame.to_geodetic(x_m, y_m)
    return round(lon_deg, _DIGITS), round(lat_deg, _DIGITS)


def _incident_feature(record: IncidentRecord, frame: LocalFrame) -> _Json:
    properties = msgspec.to_builtins(record)
    del properties["shots"]
    properties.pop("places", None)
    feature = _feature(_point(frame, record.x_m, record.y_m), {"role": "incident", **properties})
    return {"id": record.id, **feature}


def _ellipse_feature(record: IncidentRecord, frame: LocalFrame) -> _Json:
    ring = [_lon_lat(frame, x_m, y_m) for x_m, y_m in ellipse_ring_m(record.x_m, record.y_m, record.ellipse95)]
    properties = {"role": "ellipse95", **msgspec.to_builtins(record.ellipse95)}
    return _feature(_polygon(ring), properties)


def _shot_feature(index: int, shot: ShotRecord, frame: LocalFrame) -> _Json:
    properties = msgspec.to_builtins(shot)
    for evidence in ("arrivals", "passed_over", "silent", "lost", "region95_m"):
        properties.pop(evidence, None)
    return _feature(_point(frame, shot.x_m, shot.y_m), {"role": "shot", "round": index + 1, **properties})


def _place_feature(place: FiringPlaceRecord, frame: LocalFrame) -> _Json:
    return _feature(_point(frame, place.x_m, place.y_m), {"role": "place", **msgspec.to_builtins(place)})


def _region_feature(index: int, ring_m: Sequence[_Position], frame: LocalFrame) -> _Json:
    """Return one ring as a polygon; rings of the record run either way and are not closed, those of GeoJSON are."""
    area = sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in pairwise([*ring_m, ring_m[0]]))
    ordered = ring_m if area > 0.0 else ring_m[::-1]
    ring = [_lon_lat(frame, x_m, y_m) for x_m, y_m in [*ordered, ordered[0]]]
    return _feature(_polygon(ring), {"role": "region95", "round": index + 1})


def _node_feature(node: NodeRecord, extra: _Json) -> _Json:
    geometry = {"type": "Point", "coordinates": (node.lon_deg, node.lat_deg)}
    properties = msgspec.to_builtins(node)
    del properties["health"]
    return {"id": node.node, **_feature(geometry, {"role": "node", **properties, **extra})}


def _polygon(ring: list[_Position]) -> _Json:
    """Return a Polygon, or a MultiPolygon cut at the antimeridian for a ring that crosses it."""
    longitudes = [lon for lon, _ in ring]
    if max(longitudes) - min(longitudes) <= 180.0:
        return {"type": "Polygon", "coordinates": [ring]}
    unwrapped = [(lon + 360.0 if lon < 0 else lon, lat) for lon, lat in ring]
    west = _clip(unwrapped, side=-1.0)
    east = [(lon - 360.0, lat) for lon, lat in _clip(unwrapped, side=1.0)]
    return {"type": "MultiPolygon", "coordinates": [[west], [east]]}


def _clip(ring: list[_Position], *, side: float) -> list[_Position]:
    """Return the part of a convex closed ring on one side of longitude 180 (+1 east of it, -1 west), closed."""
    kept: list[_Position] = []
    for (lon, lat), (next_lon, next_lat) in pairwise(ring):
        inside, next_inside = side * (lon - 180.0) >= 0, side * (next_lon - 180.0) >= 0
        if inside:
            kept.append((lon, lat))
        if inside != next_inside:
            share = (180.0 - lon) / (next_lon - lon)
            kept.append((180.0, round(lat + share * (next_lat - lat), _DIGITS)))
    return [*kept, kept[0]]
