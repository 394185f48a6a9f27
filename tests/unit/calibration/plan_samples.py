"""A small network in an open field, and cells about it."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely

from fusion_server.engine import FusionSettings
from fusion_server.locate import Height, LocateSettings
from fusion_server.scorecard.areas import Area
from shotline.domain import Site
from shotline_calibration.plan.cells import Cells, cells_of
from shotline_calibration.plan.planner import Planner
from shotline_calibration.plan.situation import PlannedNode, Situation, weapons_of
from shotline_calibration.plan.surroundings import surroundings

__all__ = ["field", "nodes_at", "planner_of", "scattered"]

PLANAR = FusionSettings(locate=LocateSettings(height=Height.PLANAR))


def field(side_m: float, *, step_m: float = 50.0, west_m: float = 0.0, south_m: float = 0.0) -> Cells:
    """Return the cells of a square."""
    shape = shapely.box(west_m, south_m, west_m + side_m, south_m + side_m)
    return cells_of([Area("field", shape)], step_m=step_m)


def nodes_at(*places_m: tuple[float, float], prefix: str = "n", **known: Any) -> list[PlannedNode]:
    """Return nodes at places."""
    return [
        PlannedNode(site=Site(f"{prefix}{number}", x_m, y_m, 0.0, 1.0), **known)
        for number, (x_m, y_m) in enumerate(places_m)
    ]


def scattered(count: int, side_m: float, *, seed: int, prefix: str = "n") -> list[PlannedNode]:
    """Return nodes at random places in a square."""
    places = np.random.default_rng([seed, 81]).uniform(0.0, side_m, (count, 2))
    return nodes_at(*((float(x_m), float(y_m)) for x_m, y_m in places), prefix=prefix)


def planner_of(cells: Cells, *, fusion: FusionSettings = PLANAR, draws: int = 24, **changes: Any) -> Planner:
    """Return a planner for one pistol in an open field."""
    known: dict[str, Any] = {"around": surroundings("open"), "weapons": weapons_of(("glock-19",))} | changes
    goal_m = known.pop("goal_m", 25.0)
    return Planner(cells, Situation(**known), fusion=fusion, draws=draws, goal_m=goal_m)
