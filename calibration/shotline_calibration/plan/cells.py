"""The plane cut into square cells: those whose middle lies in an area."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from fusion_server.scorecard.areas import Area
from shotline.errors import InputError

__all__ = ["Cells", "cells_of"]

_MOST_CELLS = 400_000


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Cells of a grid that lie in an area.

    Parameters
    ----------
    west_m, south_m : float
        Corner of the grid, local frame.
    step_m : float
        Side of a cell.
    rows, columns : int
    index : ndarray, shape (n_cells,), int64
        Of the cell in the grid: row times columns plus column; rows run from the south, columns from the west.
    """

    west_m: float
    south_m: float
    step_m: float
    rows: int
    columns: int
    index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.index)

    @property
    def place_m(self) -> NDArray[np.float64]:
        """Middles, shape (n_cells, 2)."""
        row, column = np.divmod(self.index, self.columns)
        return np.column_stack([self.west_m + (column + 0.5) * self.step_m, self.south_m + (row + 0.5) * self.step_m])

    @property
    def km2(self) -> float:
        """Their size together."""
        return len(self) * self.step_m**2 / 1e6

    def grid(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values of the cells on the whole grid, shape (rows, columns); NaN outside the area."""
        whole = np.full(self.rows * self.columns, np.nan)
        whole[self.index] = values
        return whole.reshape(self.rows, self.columns)


def cells_of(areas: Sequence[Area], *, step_m: float) -> Cells:
    """Return the cells whose middle lies in one of some areas.

    Corners of cells are whole multiples of the step from the origin of the frame.

    Raises
    ------
    InputError
        There is none, or there are too many.
    """
    shape = shapely.union_all([area.shape for area in areas])
    west_m, south_m, east_m, north_m = shape.bounds
    first_column, first_row = math.floor(west_m / step_m), math.floor(south_m / step_m)
    columns, rows = math.ceil(east_m / step_m) - first_column, math.ceil(north_m / step_m) - first_row
    if shape.area / step_m**2 > _MOST_CELLS or rows * columns > 8 * _MOST_CELLS:
        raise InputError(
            f"{shape.area / 1e6:.1f} km² in cells of {step_m:g} m are {shape.area / step_m**2:.0f}, at most "
            f"{_MOST_CELLS} are planned at once; choose a larger --cell-m, or a part of the area",
            field="--cell-m",
        )
    x_m = (first_column + np.arange(columns) + 0.5) * step_m
    y_m = (first_row + np.arange(rows) + 0.5) * step_m
    inside = shapely.contains_xy(shape, *(axis.ravel() for axis in np.meshgrid(x_m, y_m)))
    index = np.flatnonzero(inside).astype(np.int64)
    if not len(index):
        raise InputError(
            f"no middle of a cell of {step_m:g} m lies in the area of {shape.area:.0f} m²; choose a smaller --cell-m",
            field="--cell-m",
        )
    return Cells(first_column * step_m, first_row * step_m, step_m, rows, columns, index)
