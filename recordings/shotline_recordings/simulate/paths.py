"""Every way from a source to each node: straight, by walls, over roofs and hills, round corners.

The geometry only. What a way does to the sound is `shotline_recordings.simulate.gains`.

References
----------
[ISO9613-2] 7.4 (over and round obstacles) and 7.5 (reflections by walls of finite size). The shortest way over or
round is a rubber band: a convex hull. See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from enum import IntEnum
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotline.propagation import EffectiveProfile, leg_travel_time_s, shadow_edge_m
from shotline_recordings.simulate.city import City
from shotline_recordings.simulate.images import ImageTree, image_tree

__all__ = ["Edge", "PathFinder", "PathKind", "PathSettings", "Paths"]

_Real = NDArray[np.float64]
_Int = NDArray[np.intp]

_MOST_DETOURS = 5
_MOST_BUILDINGS = 40
_EASY_OVER_M = 0.5
"""Where the way over costs no more than this, none round corners is louder, and none is looked for."""
_MOST_ROUND_M = 40.0
"""A way round that is longer by more is no louder than what scattering leaves of the way over."""
_NEAREST_M = 0.1
_MOST_ECHOES_OVER = 5
_MOST_ECHO_DETOUR_M = 10.0
_LEAST_DETOUR_M = 1e-3
_BELOW_TOP_M = 0.3
_BEFORE_WALL_M = 0.01


class PathKind(IntEnum):
    """How a sound comes."""

    DIRECT = 0
    WALL = 1
    OVER = 2
    AROUND = 3
    SHOCK = 4
    """From the side of a bullet, not from the muzzle; no path of this module."""


@dataclass(frozen=True, slots=True)
class Edge:
    """One bend of a diffracted path, in the plane across the edge.

    Parameters
    ----------
    before_m, after_m : float
        Length of the path before and after it.
    source_angle_rad, receiver_angle_rad : float
        From the face of the wedge that the source sees.
    exterior_rad : float
        Angle of the open space round the wedge: 3/2 pi for the corner of a house, 2 pi for a thin screen.
    """

    before_m: float
    after_m: float
    source_angle_rad: float
    receiver_angle_rad: float
    exterior_rad: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PathSettings:
    """Which paths are looked for.

    Parameters
    ----------
    reflection_order : int
        Most walls of one path.
    diffraction : bool
        Ways over and round, where the straight one is blocked.
    longest_extra_m : float
        A path longer than the straight line by more is left out; the diffuse tail stands for it.
    """

    reflection_order: int = 2
    diffraction: bool = True
    longest_extra_m: float = 200.0


@dataclass(frozen=True, slots=True, eq=False)
class Paths:
    """All paths from one source to one node, in the order of arrival.

    Parameters
    ----------
    kind : ndarray, shape (n_paths,), intp
        `PathKind`.
    points_m : tuple of ndarray, shape (n_points, 3), float64
        Source, bends, node.
    length_m, horizontal_m, delay_s : ndarray, shape (n_paths,), float64
        Along the path; along its shadow on the ground; travel time in the air of the scene.
    departure : ndarray, shape (n_paths, 3), float64
        Unit vectors in which they leave the source.
    order : ndarray, shape (n_paths,), intp
        Number of walls.
    reflection : ndarray, shape (n_paths,), float64
        Product of the walls' shares of energy.
    least_hz : ndarray, shape (n_paths,), float64
        Below this frequency a wall of the path is too small to reflect like a mirror; 0 without walls.
    detour_m : ndarray, shape (n_paths,), float64
        By how much a diffracted path is longer than the straight line; 0 for others.
    edge_span_m : ndarray, shape (n_paths,), float64
        Length between the first and the last bend of a diffracted path.
    edges : tuple of tuple of Edge
    screen_m : ndarray, shape (n_paths,), float64
        Detour over something that is on no map; in ``length_m`` and ``delay_s`` already. 0 for none.
    heading : ndarray, shape (n_paths, 2), float64
        Unit vectors of the longest leg on the ground: the air in that direction stands for the whole path.
    shadow_m : ndarray, shape (n_paths,), float64
        Distance at which the shadow of upward refraction begins; infinite where sound does not bend up.
    source_height_m, node_height_m : ndarray, shape (n_paths,), float64
        Above the ground there.
    bounces : ndarray, shape (n_paths,), bool
        The ground between source and node is open, so that it reflects.
    straight_m, straight_s : float
        Length and travel time of the straight line, blocked or not.
    """

    kind: _Int
    points_m: tuple[_Real, ...]
    length_m: _Real
    horizontal_m: _Real
    delay_s: _Real
    departure: _Real
    order: _Int
    reflection: _Real
    least_hz: _Real
    detour_m: _Real
    edge_span_m: _Real
    edges: tuple[tuple[Edge, ...], ...]
    screen_m: _Real
    heading: _Real
    shadow_m: _Real
    source_height_m: _Real
    node_height_m: _Real
    bounces: NDArray[np.bool_]
    straight_m: float
    straight_s: float

    def __len__(self) -> int:
        return len(self.kind)

    def from_beside(self, offset_m: _Real, straight: _Real, speed_of_sound_mps: float) -> Paths:
        """Return the paths from a place so near, shape (3,), that only the travel times differ, to first order.

        ``straight`` is the unit vector, shape (3,), of the straight line.
        """
        return replace(
            self,
            delay_s=self.delay_s - self.departure @ offset_m / speed_of_sound_mps,
            straight_s=self.straight_s - float(straight @ offset_m) / speed_of_sound_mps,
        )

    def screened(self, share: float, detour_m: float, speed_of_sound_mps: float, rng: np.random.Generator) -> Paths:
        """Return the paths with screens that are on no map on a share of them, detours drawn exponentially."""
        lots, detours = rng.random((2, len(self)))
        screen_m = np.where(lots < share, -detour_m * np.log1p(-detours), 0.0)
        order = np.argsort(self.delay_s + screen_m / speed_of_sound_mps, kind="stable")
        columns: dict[str, Any] = {}
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, np.ndarray):
                value = value[order]
            elif isinstance(value, tuple):
                value = tuple(value[row] for row in order)
            columns[item.name] = value
        columns["screen_m"] = screen_m[order]
        columns["length_m"] = columns["length_m"] + screen_m[order]
        columns["delay_s"] = columns["delay_s"] + screen_m[order] / speed_of_sound_mps
        return Paths(**columns)

    @classmethod
    def together(cls, several: Sequence[Paths]) -> Paths:
        """Return the paths of several pairs as if they were one; the straight line is that of the first."""
        columns: dict[str, Any] = {}
        for item in fields(cls):
            values = [getattr(paths, item.name) for paths in several]
            columns[item.name] = values[0]
            if isinstance(values[0], np.ndarray):
                columns[item.name] = np.concatenate(values)
            elif isinstance(values[0], tuple):
                columns[item.name] = tuple(chain.from_iterable(values))
        return cls(**columns)


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """A path as it is found."""

    kind: PathKind
    points_m: _Real
    walls: tuple[int, ...] = ()
    wall_at: tuple[int, ...] = ()
    """Which of the points are on the walls."""
    detour_m: float = 0.0
    edges: tuple[Edge, ...] = ()


class PathFinder:
    """Finds the paths from any source to the nodes of a scene.

    Parameters
    ----------
    city : City
    nodes_m : ndarray, shape (n_nodes, 3), float64
        Microphones.
    profile : EffectiveProfile
        The air.
    settings : PathSettings
    farthest_m : float
        Farthest that a source can be from a node.
    """

    def __init__(
        self, city: City, nodes_m: _Real, profile: EffectiveProfile, settings: PathSettings, *, farthest_m: float
    ) -> None:
        self.city = city
        self.nodes_m = np.asarray(nodes_m, dtype=np.float64)
        self.profile = profile
        self.settings = settings
        self._node_ground_m = city.ground_m(self.nodes_m[:, :2])
        order = settings.reflection_order if city.n_walls else 0
        reach_m = farthest_m + settings.longest_extra_m
        self._trees = [image_tree(node[:2], city, order=order, reach_m=reach_m) for node in self.nodes_m]

    def find(self, source_m: _Real) -> tuple[Paths, ...]:
        """Return the paths from a source, shape (3,), to every node.

        A node from which nothing reaches it (its line is blocked and diffraction is off) has no paths.
        """
        source_m = np.asarray(source_m, dtype=np.float64)
        ways: list[list[_Way]] = [[] for _ in self.nodes_m]
        starts = np.broadcast_to(source_m, self.nodes_m.shape)
        blocked = self.city.blocked(starts, self.nodes_m)
        for index in np.flatnonzero(~blocked).tolist():
            ways[index].append(_Way(PathKind.DIRECT, np.array([source_m, self.nodes_m[index]])))
        hidden = np.flatnonzero(blocked) if self.settings.diffraction else np.zeros(0, dtype=np.intp)
        over = self._over(starts[hidden], self.nodes_m[hidden])
        for index, way in zip(hidden.tolist(), over, strict=True):
            ways[index].append(way)
            if way.detour_m > _EASY_OVER_M:
                ways[index] += self._around(source_m, self.nodes_m[index])
        for index, way in self._reflected(source_m):
            ways[index].append(way)
        return self._measured(source_m, ways)

    def _reflected(self, source_m: _Real) -> list[tuple[int, _Way]]:
        """Return the open paths by walls, with the number of their node, in a fixed order."""
        found: list[tuple[int, _Way]] = []
        seen = [self._seen(tree, source_m[:2]) for tree in self._trees]
        for order in range(1, self.settings.reflection_order + 1):
            owners, points, walls = [], [], []
            for index, (tree, some) in enumerate(zip(self._trees, seen, strict=True)):
                images = some[tree.order[some] == order]
                if len(images):
                    corners, met = tree.corners(images, source_m[:2])
                    owners.append(np.full(len(images), index))
                    points.append(corners)
                    walls.append(met)
            if not owners:
                continue
            owner, flat, wall = np.concatenate(owners), np.concatenate(points), np.concatenate(walls)
            solid = self._risen(flat, source_m[2], self.nodes_m[owner, 2])
            low_enough = (solid[:, 1:-1, 2] <= self.city.wall_top_m[wall]).all(axis=1)
            owner, solid, wall = owner[low_enough], solid[low_enough], wall[low_enough]
            shut = np.zeros(len(owner), dtype=np.bool_)
            for leg in range(order + 1):
                left = np.flatnonzero(~shut)
                shut[left] = self.city.blocked(solid[left, leg], solid[left, leg + 1])
            found += [
                (
                    int(owner[row]),
                    _Way(PathKind.WALL, solid[row], tuple(wall[row].tolist()), tuple(range(1, order + 1))),
                )
                for row in np.flatnonzero(~shut)
            ]
            if order == 1 and self.settings.diffraction:
                found += self._reflected_over(owner[shut], solid[shut], wall[shut, 0])
        return found

    def _reflected_over(self, owner: _Int, solid: _Real, wall: _Int) -> list[tuple[int, _Way]]:
        """Return echoes that pass over what blocks them to the top of their wall: the shortest few of each node."""
        length_m = np.linalg.norm(np.diff(solid, axis=1), axis=2).sum(axis=1)
        rows: list[int] = []
        kept: dict[int, int] = {}
        for row in np.argsort(length_m, kind="stable").tolist():
            node = int(owner[row])
            kept[node] = kept.get(node, 0) + 1
            if kept[node] <= _MOST_ECHOES_OVER:
                rows.append(row)
        owner, solid, wall, length_m = owner[rows], solid[rows], wall[rows], length_m[rows]
        spots = solid[:, 1].copy()
        spots[:, 2] = np.maximum(spots[:, 2], self.city.wall_top_m[wall] - _BELOW_TOP_M)
        # A hair before the wall, so that it does not block its own echo.
        spots[:, :2] += _BEFORE_WALL_M * self.city.wall_normal[wall]
        found = []
        for row, (there, back) in enumerate(
            zip(self._over(solid[:, 0], spots), self._over(spots, solid[:, 2]), strict=True)
        ):
            points = np.concatenate([there.points_m, back.points_m[1:]])
            detour_m = float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum() - length_m[row])
            if 0.0 <= detour_m <= _MOST_ECHO_DETOUR_M:
                way = _Way(
                    PathKind.WALL,
                    points,
                    (int(wall[row]),),
                    (len(there.points_m) - 1,),
                    detour_m=max(detour_m, _LEAST_DETOUR_M),
                    edges=there.edges + back.edges,
                )
                found.append((int(owner[row]), way))
        return found

    def _seen(self, tree: ImageTree, source_m: _Real) -> _Int:
        longest_m = math.dist(source_m, tree.node_m) + self.settings.longest_extra_m
        return tree.seen_from(source_m, longest_m=longest_m)

    def _risen(self, flat_m: _Real, source_z_m: float, node_z_m: _Real) -> _Real:
        """Return paths in the plane, shape (n, k, 2), with heights that change evenly along them, shape (n, k, 3)."""
        gone = np.concatenate(
            [np.zeros((len(flat_m), 1)), np.cumsum(np.linalg.norm(np.diff(flat_m, axis=1), axis=2), axis=1)], axis=1
        )
        share = gone / np.maximum(gone[:, -1:], _NEAREST_M)
        height = source_z_m + share * (node_z_m - source_z_m)[:, None]
        return np.concatenate([flat_m, height[:, :, None]], axis=2)

    def _over(self, start_m: _Real, end_m: _Real) -> list[_Way]:
        """Return the ways over everything, from and to shape (n, 3): upper convex hulls of what rises between."""
        made = []
        for start, end, rises in zip(start_m, end_m, self.city.obstacles(start_m, end_m), strict=True):
            span = end[:2] - start[:2]
            span_m = max(math.hypot(*span), _NEAREST_M)
            tops = ((at, z, number) for number, (at, z) in enumerate(rises.tolist()))
            hull = _upper_hull(span_m, float(start[2]), float(end[2]), tops)
            points = np.array([[*(start[:2] + span * (at / span_m)), z] for at, z, _ in hull])
            points[0], points[-1] = start, end
            bends = [
                (_angle((x0 - x, z0 - z), (0.0, -1.0)), 2.0 * math.pi - _angle((x1 - x, z1 - z), (0.0, -1.0)))
                for (x0, z0, _), (x, z, _), (x1, z1, _) in zip(hull, hull[1:], hull[2:], strict=False)
            ]
            made.append(_diffracted(PathKind.OVER, points, [(one, other, 2.0 * math.pi) for one, other in bends]))
        return made

    def _around(self, source_m: _Real, node_m: _Real) -> list[_Way]:
        """Return the ways round what is in the way, left and right: convex hulls in the plane, widened as need be."""
        span = node_m[:2] - source_m[:2]
        span_m = math.hypot(*span)
        own = {int(index) for index in self.city.building_at(np.array([source_m, node_m])) if index >= 0}
        first = self.city.blocking_buildings(source_m[None], node_m[None])
        longest_m = float(np.linalg.norm(node_m - source_m)) + min(self.settings.longest_extra_m, _MOST_ROUND_M)
        found: list[_Way] = []
        for side in (1.0, -1.0) if first and span_m > _NEAREST_M else ():
            buildings = set(first)
            for _ in range(_MOST_DETOURS):
                if buildings & own or len(buildings) > _MOST_BUILDINGS:
                    break
                rings = [self.city.pushed_corners_m[item] for item in sorted(buildings)]
                places = np.concatenate(rings)
                # In a frame with the source at the origin, the node on the x axis, and the side wanted up.
                arm = places - source_m[:2]
                across = side * (arm[:, 1] * span[0] - arm[:, 0] * span[1]) / span_m
                local = zip((arm @ span / span_m).tolist(), across.tolist(), range(len(arm)), strict=True)
                bends = [
                    number for _, _, number in _upper_hull(span_m, 0.0, 0.0, (it for it in local if it[1] > 0.0))[1:-1]
                ]
                flat = np.concatenate([source_m[None, :2], places[bends], node_m[None, :2]])
                points = self._risen(flat[None], float(source_m[2]), node_m[None, 2])[0]
                if float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum()) > longest_m:
                    break
                more = self.city.blocking_buildings(points[:-1], points[1:])
                if not more and not self.city.blocked(points[:-1], points[1:]).any():
                    owner = np.repeat(sorted(buildings), [len(ring) for ring in rings])
                    number = np.concatenate([np.arange(len(ring)) for ring in rings])
                    found.append(self._round_corners(points, owner[bends].tolist(), number[bends].tolist()))
                    break
                if more <= buildings:
                    break
                buildings |= more
        return found

    def _round_corners(self, points_m: _Real, buildings: Sequence[int], corners: Sequence[int]) -> _Way:
        bends = []
        for at, (building, corner) in enumerate(zip(buildings, corners, strict=True), start=1):
            back, ahead, exterior = self.city.faces(building, corner)
            towards_source = points_m[at - 1, :2] - points_m[at, :2]
            towards_node = points_m[at + 1, :2] - points_m[at, :2]
            if _angle(back, towards_source) > _angle(ahead, towards_source):
                back, ahead = ahead, back
            bends.append((_angle(back, towards_source), exterior - _angle(ahead, towards_node), exterior))
        return _diffracted(PathKind.AROUND, points_m, bends)

    def _measured(self, source_m: _Real, ways: list[list[_Way]]) -> tuple[Paths, ...]:
        """Return the paths with lengths and travel times, those of all nodes worked out together."""
        legs = [(way.points_m[:-1], way.points_m[1:]) for some in ways for way in some]
        n_nodes = len(self.nodes_m)
        begin = np.concatenate([np.broadcast_to(source_m, (n_nodes, 3)), *(leg[0] for leg in legs)])
        end = np.concatenate([self.nodes_m, *(leg[1] for leg in legs)])
        own = np.arange(n_nodes)
        path = np.concatenate([own, n_nodes + np.repeat(np.arange(len(legs)), [len(leg[0]) for leg in legs])])
        ground = np.column_stack([self.city.ground_m(begin[:, :2]), self.city.ground_m(end[:, :2])])
        above = np.stack([begin, end])
        above[:, :, 2] = np.maximum(above[:, :, 2] - ground.T, _NEAREST_M)
        total = n_nodes + len(legs)
        leg_m = np.linalg.norm(end - begin, axis=1)
        flat_m = np.hypot(*(end - begin)[:, :2].T)
        length = _sums(path, leg_m, total)
        horizontal = _sums(path, flat_m, total)
        delay = _sums(path, leg_travel_time_s(above[0], above[1], profile=self.profile), total)
        source_height_m = max(float(source_m[2] - self.city.ground_m(source_m[None, :2])[0]), _NEAREST_M)
        made, first = [], n_nodes
        for node, some in enumerate(ways):
            rows = np.arange(first, first + len(some))
            first += len(some)
            order = np.argsort(delay[rows], kind="stable")
            rows, some = rows[order], [some[index] for index in order]
            departure = np.array([way.points_m[1] - way.points_m[0] for way in some]).reshape(-1, 3)
            departure /= np.maximum(np.linalg.norm(departure, axis=1), 1e-9)[:, None]
            node_height_m = max(float(self.nodes_m[node, 2] - self._node_ground_m[node]), _NEAREST_M)
            heading = _headings(some)
            made.append(
                Paths(
                    kind=np.array([way.kind for way in some], dtype=np.intp),
                    points_m=tuple(way.points_m for way in some),
                    length_m=length[rows],
                    horizontal_m=horizontal[rows],
                    delay_s=delay[rows],
                    departure=departure,
                    order=np.array([len(way.walls) for way in some], dtype=np.intp),
                    reflection=np.array([math.prod(self.city.wall_reflection[list(way.walls)]) for way in some]),
                    least_hz=np.array([self._least_hz(way) for way in some]),
                    detour_m=np.array([way.detour_m for way in some]),
                    edge_span_m=np.array([_edge_span_m(way) for way in some]),
                    edges=tuple(way.edges for way in some),
                    screen_m=np.zeros(len(some)),
                    heading=heading,
                    shadow_m=self._shadow_m(source_height_m, node_height_m, heading),
                    source_height_m=np.full(len(some), source_height_m),
                    node_height_m=np.full(len(some), node_height_m),
                    bounces=self._bounces(source_height_m, node_height_m, some),
                    straight_m=float(length[node]),
                    straight_s=float(delay[node]),
                )
            )
        return tuple(made)

    def _shadow_m(self, source_height_m: float, node_height_m: float, heading: _Real) -> _Real:
        profile = self.profile
        even = profile.roughness_length_m is None or not any(profile.wind_enu_mps)
        if not len(heading) or (even and profile.temperature_gradient_k_per_m == 0.0):
            return np.full(len(heading), math.inf)
        return shadow_edge_m(source_height_m, node_height_m, direction=heading, profile=profile)

    def _least_hz(self, way: _Way) -> float:
        """Return the frequency below which a wall of a path is too small [ISO9613-2 eq. 19].

        1 / wavelength > 2 / (l_min cos beta)² * d_so d_or / (d_so + d_or), with l_min the smaller side of the wall.
        """
        least = 0.0
        for at, wall in zip(way.wall_at, way.walls, strict=True):
            here = way.points_m[at]
            before = float(np.linalg.norm(here - way.points_m[at - 1]))
            after = float(np.linalg.norm(way.points_m[at + 1] - here))
            cosine = abs(float((here - way.points_m[at - 1])[:2] @ self.city.wall_normal[wall])) / max(before, 1e-9)
            height_m = float(self.city.wall_top_m[wall] - self.city.base_m[self.city.wall_building[wall]])
            side_m = min(float(self.city.wall_length_m[wall]), height_m) * max(cosine, 0.05)
            fresnel = 2.0 / side_m**2 * before * after / max(before + after, 1e-9)
            least = max(least, self.profile.speed_of_sound_mps * fresnel)
        return least

    def _bounces(self, source_height_m: float, node_height_m: float, ways: Sequence[_Way]) -> NDArray[np.bool_]:
        """Return whether the place where the ground would reflect is open: not inside a building, nor on a roof."""
        if not ways:
            return np.zeros(0, dtype=np.bool_)
        share = source_height_m / (source_height_m + node_height_m)
        spots = []
        for way in ways:
            flat = way.points_m[:, :2]
            gone = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(flat, axis=0).T))])
            spots.append([np.interp(share * gone[-1], gone, flat[:, axis]) for axis in (0, 1)])
        over = np.array([way.kind is PathKind.OVER for way in ways])
        result: NDArray[np.bool_] = ~over & (self.city.building_at(np.array(spots)) < 0)
        return result


def _diffracted(kind: PathKind, points_m: _Real, bends: Sequence[tuple[float, float, float]]) -> _Way:
    leg_m = np.linalg.norm(np.diff(points_m, axis=0), axis=1)
    gone_m = np.cumsum(leg_m)
    edges = tuple(
        Edge(float(gone_m[at]), float(gone_m[-1] - gone_m[at]), one, other, exterior)
        for at, (one, other, exterior) in enumerate(bends)
    )
    straight_m = float(np.linalg.norm(points_m[-1] - points_m[0]))
    return _Way(kind, points_m, detour_m=max(float(gone_m[-1]) - straight_m, 0.0), edges=edges)


def _sums(group: _Int, values: _Real, count: int) -> _Real:
    return np.asarray(np.bincount(group, values, count), dtype=np.float64)


def _headings(ways: Sequence[_Way]) -> _Real:
    legs = [np.diff(way.points_m[:, :2], axis=0) for way in ways]
    longest = np.array([leg[np.argmax(np.hypot(*leg.T))] for leg in legs]).reshape(-1, 2)
    result: _Real = longest / np.maximum(np.hypot(*longest.T), 1e-9)[:, None]
    return result


def _edge_span_m(way: _Way) -> float:
    if len(way.edges) < 2:
        return 0.0
    return way.edges[-1].before_m - way.edges[0].before_m


def _angle(one: Sequence[float] | _Real, other: Sequence[float] | _Real) -> float:
    """Return the angle between two vectors in the plane, 0 to pi."""
    cross = one[0] * other[1] - one[1] * other[0]
    return abs(math.atan2(cross, one[0] * other[0] + one[1] * other[1]))


_Corner = tuple[float, float, int]
"""A point in the frame of a hull, and its number; -1 for the ends."""


def _upper_hull(span_m: float, start_m: float, end_m: float, points: Iterable[_Corner]) -> list[_Corner]:
    """Return the upper convex hull from (0, start) by points between to (span, end)."""
    hull: list[_Corner] = [(0.0, start_m, -1)]
    for point in [*sorted(point for point in points if 0.0 < point[0] < span_m), (span_m, end_m, -1)]:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], point) >= 0.0:
            hull.pop()
        hull.append(point)
    return hull


def _turn(one: _Corner, two: _Corner, three: _Corner) -> float:
    """Return more than 0 for a turn to the left."""
    return (two[0] - one[0]) * (three[1] - one[1]) - (two[1] - one[1]) * (three[0] - one[0])
