"""The town of a scene: footprints from files, buildings one by one, generated blocks; hills and heights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import shapely

from shotline.errors import DatasetError
from shotline_recordings.scene import GridTable, SceneFile, TerrainTable
from shotline_recordings.simulate.city import Building, City, StreetGrid, Terrain, load_footprints, street_grid
from shotline_recordings.simulate.streams import Stream, stream

__all__ = ["build_city"]

_TERRAIN_STEP_M = 20.0


def build_city(scene: SceneFile, *, seed: int) -> City:
    """Return the buildings and the ground of a scene.

    Raises
    ------
    InputError
        A building or a file of them cannot be: says which and why.
    """
    table = scene.city
    buildings: list[Building] = []
    if table.footprints:
        buildings += load_footprints(scene.folder / table.footprints, scene.frame, reflection=table.reflection)
    buildings += [
        Building.of(
            item.name,
            item.corners_m,
            item.height_m,
            reflection=table.reflection if item.reflection is None else item.reflection,
        )
        for item in table.buildings
    ]
    if table.grid:
        buildings += _generated(scene, table.grid, buildings, seed)
    return City(buildings, _terrain(scene, scene.terrain) if scene.terrain else None)


def _generated(scene: SceneFile, table: GridTable, others: Sequence[Building], seed: int) -> list[Building]:
    """Return the buildings of a grid, less those that others, nodes or named events stand in the place of."""
    grid = StreetGrid(
        blocks=(table.blocks[0], table.blocks[1]),
        block_m=(table.block_m[0], table.block_m[1]),
        street_m=table.street_m,
        lots=(table.lots[0], table.lots[1]),
        gap_m=table.gap_m,
        height_m=(table.height_m[0], table.height_m[1]),
        built=table.built,
    )
    made = street_grid(grid, stream(seed, Stream.TOWN), reflection=scene.city.reflection)
    taken = [(shapely.Polygon(item.ring_m), math.inf) for item in others]
    taken += [(shapely.Point(x_m, y_m), z_m) for x_m, y_m, z_m in _places(scene)]
    return [
        building
        for building in made
        if all(
            (height_m > building.height_m and height_m != math.inf)
            or shapely.distance(shapely.Polygon(building.ring_m), shape) > table.keep_clear_m
            for shape, height_m in taken
        )
    ]


def _places(scene: SceneFile) -> list[tuple[float, float, float]]:
    """Return where nodes and named events are: east, north, above the ground."""
    return [*((node.x_m, node.y_m, node.z_m) for node in scene.nodes), *scene.named_places.values()]


def _terrain(scene: SceneFile, table: TerrainTable) -> Terrain:
    places = np.array(_places(scene))[:, :2]
    hills = np.array([(hill.x_m, hill.y_m) for hill in table.hills]).reshape(-1, 2)
    base = _esri_grid(scene.folder / table.grid) if table.grid else None
    if base is not None and not table.hills:
        return base
    low = np.concatenate([places, hills]).min(axis=0) - 500.0
    high = np.concatenate([places, hills]).max(axis=0) + 500.0
    steps = np.ceil((high - low) / _TERRAIN_STEP_M).astype(int) + 1
    x_m, y_m = (low[axis] + _TERRAIN_STEP_M * np.arange(steps[axis], dtype=np.float64) for axis in (0, 1))
    east, north = np.meshgrid(x_m, y_m)
    height = np.zeros(east.shape) if base is None else base.at(east, north)
    for hill in table.hills:
        height += hill.height_m * np.exp(-((east - hill.x_m) ** 2 + (north - hill.y_m) ** 2) / hill.radius_m**2)
    return Terrain(x_m, y_m, height)


def _esri_grid(path: Path) -> Terrain:
    """Read an Esri ASCII grid: six lines of header, then rows from north to south."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = {key.lower(): float(value) for key, value in (line.split() for line in lines[:5])}
        first = 5
        if lines[5].lower().startswith("nodata"):
            header["nodata_value"], first = float(lines[5].split()[1]), 6
        rows = [[float(value) for value in line.split()] for line in lines[first:] if line.strip()]
        height = np.array(rows[::-1], dtype=np.float64)
        cell = header["cellsize"]
        half = 0.5 * cell if "xllcorner" in header else 0.0
        west = header.get("xllcorner", header.get("xllcenter", math.nan)) + half
        south = header.get("yllcorner", header.get("yllcenter", math.nan)) + half
        if height.shape != (int(header["nrows"]), int(header["ncols"])) or min(height.shape) < 2:
            raise ValueError(f"{height.shape[0]} rows of {height.shape[1]} values do not match its header")
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DatasetError(
            f"cannot read heights: {type(error).__name__}: {error}; expected an Esri ASCII grid with ncols, nrows, "
            "xllcorner, yllcorner, cellsize",
            source=path,
        ) from error
    if "nodata_value" in header and (height == header["nodata_value"]).any():
        raise DatasetError("the grid has holes (NODATA); fill them", source=path)
    n_rows, n_columns = height.shape
    x_m, y_m = (np.arange(count, dtype=np.float64) * cell for count in (n_columns, n_rows))
    return Terrain(west + x_m, south + y_m, height)
