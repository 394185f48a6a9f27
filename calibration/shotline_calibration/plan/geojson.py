"""A plan as GeoJSON [RFC7946]: areas of one band of a figure each, and the nodes. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import shapely

from shotline.geodesy import LocalFrame
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.planner import CellFigures
from shotline_calibration.plan.situation import PlannedNode

__all__ = ["BANDS", "plan_collection"]

BANDS = (0.1, 0.5, 0.9)
"""Lower edges of the bands of the probability that a shot is found."""
_DIGITS = 7


def plan_collection(
    cells: Cells,
    figures: CellFigures,
    frame: LocalFrame,
    *,
    nodes: Sequence[PlannedNode],
    suggested: Sequence[PlannedNode] = (),
    properties: dict[str, Any],
) -> dict[str, Any]:
    """Return a feature collection.

    Features with the role ``coverage`` are the cells whose probability lies in one band, put together; with the median
    of CEP95 over them. ``node`` and ``suggested`` are points. Coordinates are WGS-84, longitude first.

    Parameters
    ----------
    cells : Cells
    figures : CellFigures
    frame : LocalFrame
    nodes, suggested : sequence of PlannedNode
    properties : dict
        Of the whole: what was planned for.
    """
    grid = cells.grid(figures.detect_probability)
    features: list[dict[str, Any]] = []
    for number, least in enumerate(BANDS):
        most = BANDS[number + 1] if number + 1 < len(BANDS) else None
        inside = (grid >= least) & (grid < most if most is not None else True)
        if not inside.any():
            continue
        held = (figures.detect_probability >= least) & (most is None or figures.detect_probability < (most or 0.0))
        cep95_m = float(np.median(figures.cep95_m[held]))
        features.append(
            {
                "type": "Feature",
                "geometry": _geodetic(_outline(cells, inside), frame),
                "properties": {
                    "role": "coverage",
                    "probability_from": least,
                    "probability_to": 1.0 if most is None else most,
                    "cep95_m": round(cep95_m, 1) if np.isfinite(cep95_m) else None,
                },
            }
        )
    for role, several in (("node", nodes), ("suggested", suggested)):
        features += [_point(node, role, frame) for node in several]
    return {"type": "FeatureCollection", "features": features, **properties}


def _outline(cells: Cells, inside: np.ndarray[tuple[int, int], np.dtype[np.bool_]]) -> Any:
    """Return the cells that are inside as one shape: runs of each row, united."""
    edge = np.zeros((cells.rows, 1), dtype=np.int8)
    steps = np.diff(np.hstack([edge, inside.astype(np.int8), edge]), axis=1)
    row, first = np.nonzero(steps == 1)
    _, last = np.nonzero(steps == -1)
    west_m, east_m = (cells.west_m + column * cells.step_m for column in (first, last))
    south_m = cells.south_m + row * cells.step_m
    return shapely.union_all(shapely.box(west_m, south_m, east_m, south_m + cells.step_m))


def _geodetic(shape: Any, frame: LocalFrame) -> dict[str, Any]:
    def ring(line: Any) -> list[list[float]]:
        return [_lon_lat(x_m, y_m, frame) for x_m, y_m in line.coords]

    parts = [
        [ring(part.exterior), *(ring(hole) for hole in part.interiors)]
        for part in (shapely.orient_polygons(one) for one in shapely.get_parts(shape).tolist())
    ]
    return {"type": "MultiPolygon", "coordinates": parts}


def _point(node: PlannedNode, role: str, frame: LocalFrame) -> dict[str, Any]:
    site = node.site
    return {
        "type": "Feature",
        "id": site.node,
        "geometry": {"type": "Point", "coordinates": _lon_lat(site.x_m, site.y_m, frame)},
        "properties": {"role": role, "node": site.node, **({"failed": True} if node.failed else {})},
    }


def _lon_lat(x_m: float, y_m: float, frame: LocalFrame) -> list[float]:
    lat_deg, lon_deg, _ = frame.to_geodetic(x_m, y_m)
    return [round(lon_deg, _DIGITS), round(lat_deg, _DIGITS)]
