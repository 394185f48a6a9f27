"""Buildings and ground of a scene: footprints with heights, what stands in the way of a straight line, and terrain.

A building is a prism: a simple polygon, a flat roof. All its walls are vertical, so that a path is worked out in the
plane and its heights follow from the distance gone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.polygon import orient

from shotline.errors import DatasetError, InputError
from shotline.geodesy import LocalFrame

__all__ = ["Building", "City", "StreetGrid", "Terrain", "load_footprints", "street_grid"]

_Real = NDArray[np.float64]
_Int = NDArray[np.intp]

_TOUCH_M = 1e-3
"""A leg that begins or ends this close to a wall does not cross it: it was reflected there."""
_OVERLAP_M2 = 0.01
_OFF_CORNER_M = 0.05
"""How far from a corner a path bends: so that it does not touch the wall it goes along."""
_PROFILE_STEP_M = 10.0
_HEIGHT_KEYS = ("height_m", "height")


@dataclass(frozen=True, slots=True, eq=False)
class Building:
    """One prism.

    Parameters
    ----------
    name : str
    ring_m : ndarray, shape (n_corners, 2), float64
        Corners east, north; counter-clockwise, the first not repeated.
    height_m : float
        Of the roof above the ground at the building.
    reflection : float
        Share of the energy that a wall returns, 0 to 1.
    """

    name: str
    ring_m: _Real
    height_m: float
    reflection: float = 0.8

    @classmethod
    def of(
        cls, name: str, corners_m: Sequence[Sequence[float]], height_m: float, *, reflection: float = 0.8
    ) -> Building:
        """Return a building from corners in either sense, the first repeated or not.

        Raises
        ------
        InputError
            Fewer than three corners, edges that cross, no area, or no height.
        """
        try:
            polygon = shapely.Polygon(corners_m)
        except (ValueError, TypeError) as error:
            raise InputError(f"building '{name}': {error}; give at least three corners [x, y]") from error
        if not polygon.is_valid or polygon.area < _OVERLAP_M2:
            why = shapely.is_valid_reason(polygon) if not polygon.is_valid else "it has no area"
            raise InputError(f"building '{name}' is no simple polygon: {why}; list its corners in order, once round")
        if polygon.interiors:
            raise InputError(f"building '{name}' has a hole; split it into parts without one")
        if not (math.isfinite(height_m) and height_m > 0.0):
            raise InputError(f"building '{name}' is {height_m} m high, expected more than 0")
        ring = np.array(orient(polygon).exterior.coords, dtype=np.float64)[:-1, :2]
        return cls(name, ring, float(height_m), reflection)


@dataclass(frozen=True, slots=True, eq=False)
class Terrain:
    """Heights of the ground above the origin of the frame, on a regular grid, interpolated bilinearly.

    Parameters
    ----------
    x_m, y_m : ndarray, shape (n_x,) and (n_y,), float64
        Rising. Beyond the edge the height of the edge goes on.
    height_m : ndarray, shape (n_y, n_x), float64
    """

    x_m: _Real
    y_m: _Real
    height_m: _Real

    def at(self, x_m: _Real, y_m: _Real) -> _Real:
        """Return the height of the ground, same shape as x and y."""
        column, right = _cell(self.x_m, x_m)
        row, upper = _cell(self.y_m, y_m)
        z = self.height_m
        low = z[row, column] * (1.0 - right) + z[row, column + 1] * right
        high = z[row + 1, column] * (1.0 - right) + z[row + 1, column + 1] * right
        result: _Real = low * (1.0 - upper) + high * upper
        return result


def _cell(axis_m: _Real, value_m: _Real) -> tuple[_Int, _Real]:
    inside = np.clip(value_m, axis_m[0], axis_m[-1])
    index = np.clip(np.searchsorted(axis_m, inside, side="right") - 1, 0, len(axis_m) - 2)
    return index, (inside - axis_m[index]) / (axis_m[index + 1] - axis_m[index])


class City:
    """Everything that stands in the way.

    Parameters
    ----------
    buildings : sequence of Building
    terrain : Terrain, optional
        None for flat ground at height 0.

    Raises
    ------
    InputError
        Two buildings overlap: names both.
    """

    def __init__(self, buildings: Sequence[Building] = (), terrain: Terrain | None = None) -> None:
        self.buildings = tuple(buildings)
        self.terrain = terrain
        self._polygons = np.array([shapely.Polygon(item.ring_m) for item in self.buildings], dtype=object)
        self._require_apart()
        counts = [len(item.ring_m) for item in self.buildings]
        nowhere = np.zeros((0, 2))
        self.wall_start_m: _Real = np.concatenate([nowhere, *(item.ring_m for item in self.buildings)])
        self.wall_end_m: _Real = np.concatenate([nowhere, *(np.roll(i.ring_m, -1, axis=0) for i in self.buildings)])
        self.wall_building: _Int = np.repeat(np.arange(len(counts)), counts).astype(np.intp)
        along = self.wall_end_m - self.wall_start_m
        self.wall_length_m: _Real = np.hypot(along[:, 0], along[:, 1])
        self.wall_normal: _Real = np.column_stack([along[:, 1], -along[:, 0]]) / self.wall_length_m[:, None]
        """Outward: rings run counter-clockwise."""
        centres = np.array([polygon.centroid.coords[0] for polygon in self._polygons]).reshape(-1, 2)
        self.base_m: _Real = self.ground_m(centres)
        self.top_m: _Real = self.base_m + np.array([item.height_m for item in self.buildings])
        self.wall_top_m: _Real = self.top_m[self.wall_building]
        self.wall_reflection: _Real = np.array([item.reflection for item in self.buildings])[self.wall_building]
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.intp)
        self.pushed_corners_m: tuple[_Real, ...] = tuple(
            _pushed(item.ring_m, self.wall_normal[first:stop])
            for item, first, stop in zip(self.buildings, starts[:-1], starts[1:], strict=True)
        )
        """Corners of each building, shape (n, 2), each 5 cm off its two walls: where a path can bend."""
        self._walls = shapely.STRtree(shapely.linestrings(np.stack([self.wall_start_m, self.wall_end_m], axis=1)))
        self._footprints = shapely.STRtree(self._polygons)

    @property
    def n_walls(self) -> int:
        """Number of walls."""
        return len(self.wall_start_m)

    def ground_m(self, places_m: _Real) -> _Real:
        """Return the height of the ground at places, shape (n, 2) to (n,)."""
        if self.terrain is None:
            return np.zeros(len(places_m))
        return self.terrain.at(places_m[:, 0], places_m[:, 1])

    def building_at(self, places_m: _Real) -> _Int:
        """Return the building whose footprint each place, shape (n, 2), is inside of; -1 for none."""
        found = np.full(len(places_m), -1, dtype=np.intp)
        if len(self.buildings) and len(places_m):
            place, building = self._footprints.query(shapely.points(places_m[:, :2]), predicate="within")
            found[place] = building
        return found

    def require_outside(self, points_m: _Real, names: Sequence[str]) -> None:
        """Refuse points, shape (n, 3), that are inside a building or under the ground.

        Raises
        ------
        InputError
            Names the point, the building and its height.
        """
        ground = self.ground_m(points_m[:, :2])
        for name, point, floor_m, building in zip(names, points_m, ground, self.building_at(points_m), strict=True):
            if building >= 0 and point[2] <= self.top_m[building]:
                raise InputError(
                    f"{name} at x {point[0]:g} m, y {point[1]:g} m is inside building "
                    f"'{self.buildings[building].name}', whose roof is {self.buildings[building].height_m:g} m above "
                    "its ground; move it out, or give it a z_m of more than "
                    f"{self.top_m[building] - floor_m:g} to put it on the roof"
                )
            if point[2] <= floor_m:
                raise InputError(f"{name} is at or under the ground; give it a z_m of more than 0")

    def blocked(self, start_m: _Real, end_m: _Real) -> NDArray[np.bool_]:
        """Return whether walls or ground block straight legs.

        Parameters
        ----------
        start_m, end_m : ndarray, shape (n_legs, 3), float64

        Returns
        -------
        ndarray, shape (n_legs,), bool
        """
        result = np.zeros(len(start_m), dtype=np.bool_)
        leg, _, share, wall = self._crossings(start_m, end_m)
        height_m = start_m[leg, 2] + share * (end_m[leg, 2] - start_m[leg, 2])
        result[leg[height_m < self.wall_top_m[wall]]] = True
        if self.terrain is not None and len(start_m):
            result |= self._under_ground(start_m, end_m)
        return result

    def blocking_buildings(self, start_m: _Real, end_m: _Real) -> set[int]:
        """Return the buildings that block any of some legs, from and to shape (n_legs, 3)."""
        leg, _, share, wall = self._crossings(start_m, end_m)
        low = start_m[leg, 2] + share * (end_m[leg, 2] - start_m[leg, 2]) < self.wall_top_m[wall]
        return set(self.wall_building[wall[low]].tolist())

    def free_flight_m(self, start_m: _Real, direction: _Real, *, longest_m: float) -> float:
        """Return how far a straight line from (3,) in a direction (3,) goes before it meets a wall, at most so far."""
        end_m = start_m + longest_m * direction
        _, _, share, wall = self._crossings(start_m[None], end_m[None])
        hits = share[start_m[2] + share * (end_m[2] - start_m[2]) < self.wall_top_m[wall]]
        return longest_m * float(hits.min(initial=1.0))

    def obstacles(self, start_m: _Real, end_m: _Real) -> list[_Real]:
        """Return what rises above each of some legs, from and to shape (n_legs, 3): wall tops and ground.

        Returns
        -------
        list of ndarray, shape (n_points, 2), float64
            Horizontal distance from the start, and height.
        """
        if not len(start_m):
            return []
        span_m = np.hypot(*(end_m - start_m)[:, :2].T)
        leg, _, share, wall = self._crossings(start_m, end_m)
        top_m = self.wall_top_m[wall]
        high = top_m > start_m[leg, 2] + share * (end_m[leg, 2] - start_m[leg, 2])
        leg, points = leg[high], np.column_stack([share * span_m[leg], top_m])[high]
        found = np.split(points, np.searchsorted(leg, np.arange(1, len(start_m))))
        if self.terrain is None:
            return found
        return [
            np.concatenate([tops, self._rises(start, end)])
            for tops, start, end in zip(found, start_m, end_m, strict=True)
        ]

    def _rises(self, start_m: _Real, end_m: _Real) -> _Real:
        """Return the ground that is above one leg, shape (n_points, 2)."""
        span_m = math.hypot(end_m[0] - start_m[0], end_m[1] - start_m[1])
        count = max(2, math.ceil(span_m / _PROFILE_STEP_M))
        share = np.arange(1, count) / count
        points_m = start_m + share[:, None] * (end_m - start_m)
        ground_m = self.ground_m(points_m[:, :2])
        return np.column_stack([share * span_m, ground_m])[ground_m > points_m[:, 2]]

    def faces(self, building: int, corner: int) -> tuple[_Real, _Real, float]:
        """Return the directions, shape (2,), of the two walls from a corner, and the angle of the open space."""
        ring = self.buildings[building].ring_m
        back, ahead = ring[corner - 1] - ring[corner], ring[(corner + 1) % len(ring)] - ring[corner]
        inside = math.atan2(ahead[0] * back[1] - ahead[1] * back[0], float(ahead @ back)) % (2.0 * math.pi)
        return back, ahead, 2.0 * math.pi - inside

    def _crossings(self, start_m: _Real, end_m: _Real) -> tuple[_Int, _Real, _Real, _Int]:
        """Return where legs cross walls in the plane: leg, share of the wall, share of the leg, wall."""
        if not self.n_walls or not len(start_m):
            none = np.zeros(0, dtype=np.intp)
            return none, np.zeros(0), np.zeros(0), none
        lines = shapely.linestrings(np.stack([start_m[:, :2], end_m[:, :2]], axis=1))
        leg, wall = self._walls.query(lines)
        order = np.lexsort((wall, leg))
        leg, wall = leg[order], wall[order]
        along = end_m[leg, :2] - start_m[leg, :2]
        side = self.wall_end_m[wall] - self.wall_start_m[wall]
        gap = self.wall_start_m[wall] - start_m[leg, :2]
        turn = along[:, 0] * side[:, 1] - along[:, 1] * side[:, 0]
        with np.errstate(divide="ignore", invalid="ignore"):
            on_leg = (gap[:, 0] * side[:, 1] - gap[:, 1] * side[:, 0]) / turn
            on_wall = (gap[:, 0] * along[:, 1] - gap[:, 1] * along[:, 0]) / turn
        slack = _TOUCH_M / np.maximum(np.hypot(along[:, 0], along[:, 1]), _TOUCH_M)
        crosses = (on_leg > slack) & (on_leg < 1.0 - slack) & (on_wall >= 0.0) & (on_wall <= 1.0)
        return leg[crosses], on_wall[crosses], on_leg[crosses], wall[crosses]

    def _under_ground(self, start_m: _Real, end_m: _Real) -> NDArray[np.bool_]:
        longest_m = float(np.hypot(*(end_m[:, :2] - start_m[:, :2]).T).max())
        count = max(4, math.ceil(longest_m / _PROFILE_STEP_M))
        share = (np.arange(1, count) / count)[:, None, None]
        points = start_m + share * (end_m - start_m)
        flat = points.reshape(-1, 3)
        under = (flat[:, 2] < self.ground_m(flat[:, :2])).reshape(points.shape[:2])
        return np.asarray(under.any(axis=0))

    def _require_apart(self) -> None:
        if not len(self._polygons):
            return
        one, other = shapely.STRtree(self._polygons).query(self._polygons, predicate="intersects")
        for first, second in zip(one.tolist(), other.tolist(), strict=True):
            if first < second:
                shared = self._polygons[first].intersection(self._polygons[second])
                if shared.area > _OVERLAP_M2:
                    spot = shared.representative_point()
                    raise InputError(
                        f"buildings '{self.buildings[first].name}' and '{self.buildings[second].name}' overlap by "
                        f"{shared.area:.3g} m² near x {spot.x:.1f} m, y {spot.y:.1f} m; cut one of them or join them"
                    )


def _pushed(ring_m: _Real, normal: _Real) -> _Real:
    outward = normal + np.roll(normal, 1, axis=0)
    result: _Real = ring_m + _OFF_CORNER_M * outward / np.maximum(np.einsum("ij,ij->i", outward, normal), 0.1)[:, None]
    return result


@dataclass(frozen=True, slots=True, kw_only=True)
class StreetGrid:
    """A town on a grid: blocks between streets, lots in blocks, a building on most lots.

    Parameters
    ----------
    blocks : tuple[int, int]
        Number of blocks east and north; the town is centred on the origin.
    block_m : tuple[float, float]
        Size of a block.
    street_m : float
        Width of the streets, from front to front.
    lots : tuple[int, int]
        Lots of a block, east and north.
    gap_m : float
        Space around each building inside its lot, to each side.
    height_m : tuple[float, float]
        Lowest and highest building.
    built : float
        Share of the lots with a building.
    """

    blocks: tuple[int, int]
    block_m: tuple[float, float]
    street_m: float
    lots: tuple[int, int] = (2, 2)
    gap_m: float = 2.0
    height_m: tuple[float, float] = (6.0, 10.0)
    built: float = 0.9


def street_grid(grid: StreetGrid, rng: np.random.Generator, *, reflection: float = 0.8) -> list[Building]:
    """Return the buildings of a generated town, heights and gaps drawn.

    Raises
    ------
    InputError
        The gaps leave nothing of a lot.
    """
    lot = np.array(grid.block_m) / np.array(grid.lots)
    size = lot - 2.0 * grid.gap_m
    if (size < 2.0).any():
        raise InputError(f"lots of {lot[0]:g} m by {lot[1]:g} m leave no room beside gaps of {grid.gap_m:g} m")
    pitch = np.array(grid.block_m) + grid.street_m
    corner = -0.5 * (np.array(grid.blocks) * pitch - grid.street_m)
    made: list[Building] = []
    for block in np.ndindex(*grid.blocks):
        for place in np.ndindex(*grid.lots):
            height_m = float(rng.uniform(*grid.height_m))
            smaller = rng.uniform(0.75, 1.0, 2)
            if rng.random() >= grid.built:
                continue
            low = corner + np.array(block) * pitch + np.array(place) * lot + grid.gap_m
            wide = size * smaller
            low = low + 0.5 * (size - wide)
            (x0, y0), (x1, y1) = low, low + wide
            name = f"block-{block[0]}-{block[1]}-lot-{place[0]}-{place[1]}"
            made.append(
                Building.of(name, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], round(height_m, 1), reflection=reflection)
            )
    return made


def load_footprints(path: Path, frame: LocalFrame, *, reflection: float = 0.8) -> list[Building]:
    """Read building footprints with heights from a GeoJSON file [RFC7946]: longitude and latitude in degrees.

    Each feature is a Polygon or MultiPolygon with the property ``height_m`` (or ``height``); ``name`` and
    ``reflection`` may be there too.

    Raises
    ------
    DatasetError
        The file cannot be read, or a feature is no building: says which and what was expected.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        features = document["features"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise DatasetError(
            f"cannot read footprints: {type(error).__name__}: {error}; expected a GeoJSON FeatureCollection of "
            "polygons with the property height_m",
            source=path,
        ) from error
    made: list[Building] = []
    for number, feature in enumerate(features):
        where = f"features.{number}"
        try:
            properties = feature.get("properties") or {}
            name = str(properties.get("name") or feature.get("id") or f"building-{number}")
            height_m = next((float(properties[key]) for key in _HEIGHT_KEYS if key in properties), None)
            if height_m is None:
                raise InputError(f"building '{name}' has no height: add the property height_m")
            share = float(properties.get("reflection", reflection))
            rings = _outer_rings(feature["geometry"])
            for part, ring in enumerate(rings):
                corners = [frame.to_enu_m(float(lat), float(lon), frame.height_m)[:2] for lon, lat, *_ in ring]
                label = name if len(rings) == 1 else f"{name}.{part}"
                made.append(Building.of(label, corners, height_m, reflection=share))
        except InputError as error:
            raise DatasetError(error.problems[0].message, source=path, field=where) from error
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DatasetError(
                f"{type(error).__name__}: {error}; expected a Feature with a Polygon", source=path, field=where
            ) from error
    return made


def _outer_rings(geometry: dict[str, Any]) -> list[list[list[float]]]:
    kind, coordinates = geometry["type"], geometry["coordinates"]
    polygons = {"Polygon": [coordinates], "MultiPolygon": coordinates}.get(kind)
    if polygons is None:
        raise ValueError(f"geometry {kind} is no Polygon")
    if any(len(rings) > 1 for rings in polygons):
        raise InputError("a footprint has a courtyard; split it into parts without a hole")
    return [rings[0] for rings in polygons]
