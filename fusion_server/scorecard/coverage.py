"""How large an area was covered for how long: km2 times hours, by area.

A place is covered in a minute when at least so many surveyed nodes within hearing range of it were heard in that
minute. The plane is cut into square cells, each as covered as its middle.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from fusion_server.scorecard.areas import Area
from fusion_server.scorecard.heard import Heard
from shotline.domain import Site

__all__ = ["CoverageRules", "Parts", "covering_nodes", "parts_of"]

_CELLS_ACROSS = 200
_LEAST_CELL_M = 10.0
_MINUTES_PER_HOUR = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoverageRules:
    """When a place counts as covered.

    Parameters
    ----------
    min_nodes : int
    hearing_range_m : float
    """

    min_nodes: int
    hearing_range_m: float


class Parts:
    """The parts that are counted apart: each area, what lies in none of them, and everything.

    Parameters
    ----------
    areas : sequence of Area
    sites : sequence of Site
        Surveyed nodes, where they stand today.
    rules : CoverageRules
    """

    def __init__(self, areas: Sequence[Area], sites: Sequence[Site], rules: CoverageRules) -> None:
        self.areas = tuple(areas)
        self._rules = rules
        x_m, y_m, self.cell_m = _cells(sites, rules.hearing_range_m)
        self._weights_km2 = _inside(self.areas, x_m, y_m) * (self.cell_m**2 / 1e6)
        range2_m2 = rules.hearing_range_m**2
        self._cells_of = {
            site.node: np.flatnonzero((x_m - site.x_m) ** 2 + (y_m - site.y_m) ** 2 <= range2_m2) for site in sites
        }

    def km2_hours(self, heard: Heard) -> NDArray[np.float64]:
        """Return covered km2 times hours: shape (n_areas + 2,), the areas, none of them, everything."""
        counts = np.zeros(self._weights_km2.shape[1], dtype=np.int32)
        covered_km2 = total = np.zeros(self._weights_km2.shape[0])
        present: frozenset[str] = frozenset()
        for nodes, minutes in heard.runs():
            surveyed = nodes & self._cells_of.keys()
            if surveyed != present:
                for node in surveyed - present:
                    counts[self._cells_of[node]] += 1
                for node in present - surveyed:
                    counts[self._cells_of[node]] -= 1
                present = surveyed
                covered_km2 = self._weights_km2 @ (counts >= self._rules.min_nodes)
            total = total + covered_km2 * (minutes / _MINUTES_PER_HOUR)
        return np.asarray(total, dtype=np.float64)


def parts_of(areas: Sequence[Area], x_m: float, y_m: float) -> tuple[int, ...]:
    """Return which parts a place is in: positions in what `Parts.km2_hours` returns."""
    inside = _inside(areas, np.array([x_m]), np.array([y_m]))[:, 0]
    return tuple(int(index) for index in np.flatnonzero(inside))


def covering_nodes(x_m: float, y_m: float, *, sites: Sequence[Site], nodes: frozenset[str], range_m: float) -> int:
    """Return how many surveyed nodes of those given are within a range of a place."""
    return sum(math.hypot(site.x_m - x_m, site.y_m - y_m) <= range_m for site in sites if site.node in nodes)


def _inside(areas: Sequence[Area], x_m: NDArray[np.float64], y_m: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return 1 where a place is in a part: shape (n_areas + 2, n_places)."""
    rows = [shapely.intersects_xy(area.shape, x_m, y_m) for area in areas]
    nowhere = ~np.any(rows, axis=0) if rows else np.ones(x_m.shape, dtype=bool)
    return np.array([*rows, nowhere, np.ones(x_m.shape, dtype=bool)], dtype=np.float64)


def _cells(sites: Sequence[Site], range_m: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return the middles of the cells within range of the outermost nodes, and their side."""
    if not sites:
        return np.zeros(0), np.zeros(0), _LEAST_CELL_M
    xy_m = np.array([(site.x_m, site.y_m) for site in sites])
    low_m, high_m = xy_m.min(axis=0) - range_m, xy_m.max(axis=0) + range_m
    cell_m = max(_LEAST_CELL_M, float((high_m - low_m).max()) / _CELLS_ACROSS)
    numbers = np.ceil((high_m - low_m) / cell_m).astype(int)
    middles = [low + cell_m * (np.arange(number) + 0.5) for low, number in zip(low_m, numbers, strict=True)]
    x_m, y_m = np.meshgrid(*middles)
    return x_m.ravel(), y_m.ravel(), cell_m
