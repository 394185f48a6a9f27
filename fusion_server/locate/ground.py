"""The ground: how high a source stands when nobody says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.domain import Site
from shotline.errors import GeometryError

__all__ = ["Ground", "ground_of_sites"]

FloatArray = NDArray[np.float64]

_CELL_M = 50.0
_MARGIN_M = 1000.0
_MOST_CELLS = 400
_SMOOTH_M = 50.0
_POWER = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """Height of sources over the plane of the local frame, on a grid.

    Parameters
    ----------
    x_m, y_m : float
        South-west corner of the grid.
    cell_m : float
        Spacing.
    height_m : ndarray, shape (n_x, n_y), float64
        Of the ground at each grid point; bilinear between them, level beyond the edge. (1, 1) for level ground.

    Raises
    ------
    GeometryError
        A height is not finite, or the grid is not two-dimensional.
    """

    x_m: float
    y_m: float
    cell_m: float
    height_m: FloatArray

    def __post_init__(self) -> None:
        shape = np.shape(self.height_m)
        if len(shape) != 2 or min(shape) < 1 or not np.isfinite(self.height_m).all() or not self.cell_m > 0.0:
            raise GeometryError(
                f"the ground is a grid of finite heights, (n_x, n_y), with a spacing above 0; saw shape {shape}, "
                f"spacing {self.cell_m:g} m, {int(np.sum(~np.isfinite(self.height_m)))} heights that are not finite"
            )

    @classmethod
    def level(cls, height_m: float) -> Ground:
        """Return level ground."""
        return cls(0.0, 0.0, 1.0, np.full((1, 1), float(height_m)))

    def at(self, x_m: float, y_m: float) -> float:
        """Return the height at a place: bilinear, as the locator has it, and level beyond the edge."""
        n_x, n_y = self.height_m.shape
        if n_x == 1 or n_y == 1:
            return float(self.height_m[0, 0])
        u = min(max((x_m - self.x_m) / self.cell_m, 0.0), n_x - 1.000001)
        v = min(max((y_m - self.y_m) / self.cell_m, 0.0), n_y - 1.000001)
        i, j = int(u), int(v)
        square = self.height_m[i : i + 2, j : j + 2]
        along = square[0] + (u - i) * (square[1] - square[0])
        return float(along[0] + (v - j) * (along[1] - along[0]))


def ground_of_sites(sites: Sequence[Site], *, mast_m: float) -> Ground:
    """Return the ground that the nodes stand on: their heights less their masts', weighted by inverse distance.

    A surveyed elevation model is better; but a network always knows its own heights, and on hills that is worth more
    than a plane. Weights are (distance² + 50² m²)^-1.5. Nodes that are all at one height say nothing about the ground:
    then everything is in one plane.

    Parameters
    ----------
    sites : sequence of Site
        At least one.
    mast_m : float
        How high a microphone usually stands over the ground near it.
    """
    place = np.array([(site.x_m, site.y_m) for site in sites])
    height = np.array([site.z_m for site in sites])
    if np.ptp(height) == 0.0:
        return Ground.level(float(height[0]))
    low, high = place.min(axis=0) - _MARGIN_M, place.max(axis=0) + _MARGIN_M
    cell_m = max(_CELL_M, float((high - low).max()) / _MOST_CELLS)
    xs, ys = (np.arange(low[axis], high[axis] + cell_m, cell_m) for axis in (0, 1))
    top, bottom = np.zeros((2, len(xs), len(ys)))
    for (x_m, y_m), z_m in zip(place, height, strict=True):
        square = (xs - x_m)[:, None] ** 2 + (ys - y_m)[None, :] ** 2
        weight = (square + _SMOOTH_M**2) ** -_POWER
        top += weight * z_m
        bottom += weight
    return Ground(float(low[0]), float(low[1]), cell_m, top / bottom - mast_m)
