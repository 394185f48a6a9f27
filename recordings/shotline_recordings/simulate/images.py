"""Reflections by vertical walls: images of a node, each with the stretch of wall through which it can be seen.

Nodes stand still and sources are many, so the images are those of the *node*, made once: mirror it in each wall that it
is in front of, mirror that image in each wall that its beam meets, and so on. A beam is the part of the plane that sees
an image through its wall; it is cut to what lies in the beam before it, so that a source that is inside a beam has
exactly one path to that image, by all its walls in turn ([AllenBerkley1979]; [Borish1984] for walls of any shape).
Buildings in the way are not looked at here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline_recordings.simulate.city import City

__all__ = ["ImageTree", "image_tree"]

_Real = NDArray[np.float64]
_Int = NDArray[np.intp]

_FRONT_M = 1e-6
_NARROW = 1e-9
_CHUNK = 4_000_000


@dataclass(frozen=True, slots=True, eq=False)
class ImageTree:
    """The images of one node.

    Parameters
    ----------
    node_m : ndarray, shape (2,), float64
    order : ndarray, shape (n_images,), intp
        Number of reflections.
    image_m : ndarray, shape (n_images, 2), float64
    wall : ndarray, shape (n_images,), intp
        The wall that a ray from the source meets first.
    parent : ndarray, shape (n_images,), intp
        The image that was mirrored; -1 for the node itself.
    right_m, left_m : ndarray, shape (n_images, 2), float64
        Ends of the stretch of that wall through which the image is seen, right and left as seen from the image.
    wall_start_m, wall_normal : ndarray, shape (n_images, 2), float64
        Of that wall; the normal points outwards.
    """

    node_m: _Real
    order: _Int
    image_m: _Real
    wall: _Int
    parent: _Int
    right_m: _Real
    left_m: _Real
    wall_start_m: _Real
    wall_normal: _Real

    def seen_from(self, source_m: _Real, *, longest_m: float) -> _Int:
        """Return the images that a source, shape (2,), sees through their walls, at most so far away."""
        arm = source_m - self.image_m
        some = np.flatnonzero(arm[:, 0] ** 2 + arm[:, 1] ** 2 <= longest_m**2)
        image, arm = self.image_m[some], arm[some]
        inside = _cross(self.right_m[some] - image, arm) >= 0.0
        inside &= _cross(arm, self.left_m[some] - image) >= 0.0
        some = some[inside]
        front = np.einsum("ij,ij->i", source_m - self.wall_start_m[some], self.wall_normal[some]) > _FRONT_M
        return np.asarray(some[front])

    def corners(self, images: _Int, source_m: _Real) -> tuple[_Real, _Int]:
        """Return the path from a source by the walls to the node, for images of one order.

        Parameters
        ----------
        images : ndarray, shape (n,), intp
        source_m : ndarray, shape (2,), float64

        Returns
        -------
        points_m : ndarray, shape (n, order + 2, 2), float64
            Source, one point on each wall, node.
        walls : ndarray, shape (n, order), intp
        """
        order = int(self.order[images[0]]) if len(images) else 0
        points = np.empty((len(images), order + 2, 2))
        walls = np.empty((len(images), order), dtype=np.intp)
        points[:, 0] = source_m
        points[:, -1] = self.node_m
        at = images
        for step in range(order):
            walls[:, step] = self.wall[at]
            start, normal = self.wall_start_m[at], self.wall_normal[at]
            image = self.image_m[at]
            here = np.einsum("ij,ij->i", points[:, step] - start, normal)
            there = np.einsum("ij,ij->i", image - start, normal)
            share = here / (here - there)
            points[:, step + 1] = points[:, step] + share[:, None] * (image - points[:, step])
            at = self.parent[at]
        return points, walls


def image_tree(node_m: _Real, city: City, *, order: int, reach_m: float) -> ImageTree:
    """Return the images of a node.

    Parameters
    ----------
    node_m : ndarray, shape (2,), float64
    city : City
    order : int
        Most reflections; 0 for none.
    reach_m : float
        A wall further than this from an image is not reached.
    """
    levels = [_Level.first(node_m, city, reach_m)] if order >= 1 else []
    for _ in range(1, order):
        levels.append(levels[-1].next(city, reach_m))
    offset, parents = 0, []
    for number, level in enumerate(levels):
        parents.append(level.parent + (offset if number else 0))
        offset += len(levels[number - 1].wall) if number else 0
    empty = np.zeros((0, 2))
    whole = np.zeros(0, dtype=np.intp)
    walls = np.concatenate([whole, *(level.wall for level in levels)])
    return ImageTree(
        node_m=np.asarray(node_m, dtype=np.float64),
        order=np.concatenate([whole, *(np.full(len(level.wall), n + 1) for n, level in enumerate(levels))]),
        image_m=np.concatenate([empty, *(level.image_m for level in levels)]),
        wall=walls,
        parent=np.concatenate([whole, *parents]),
        right_m=np.concatenate([empty, *(level.right_m for level in levels)]),
        left_m=np.concatenate([empty, *(level.left_m for level in levels)]),
        wall_start_m=city.wall_start_m[walls],
        wall_normal=city.wall_normal[walls],
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """Images of one order; `parent` counts within the order before."""

    image_m: _Real
    wall: _Int
    parent: _Int
    right_m: _Real
    left_m: _Real

    @classmethod
    def first(cls, node_m: _Real, city: City, reach_m: float) -> _Level:
        away = np.einsum("ij,ij->i", node_m - city.wall_start_m, city.wall_normal)
        wall = np.flatnonzero((away > _FRONT_M) & (away < reach_m))
        image = node_m - 2.0 * away[wall, None] * city.wall_normal[wall]
        parent = np.full(len(wall), -1, dtype=np.intp)
        # Seen from behind, a wall whose outside is on the right of its direction runs from left to right.
        return cls(image, wall, parent, *_right_and_left(image, city.wall_start_m[wall], city.wall_end_m[wall]))

    def next(self, city: City, reach_m: float) -> _Level:
        chunk = max(1, _CHUNK // max(city.n_walls, 1))
        parts = [
            self._reflect(np.arange(first, min(first + chunk, len(self.wall))), city, reach_m)
            for first in range(0, len(self.wall), chunk)
        ]
        if not parts:
            return self
        return _Level(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _reflect(self, rows: _Int, city: City, reach_m: float) -> tuple[_Real, _Int, _Int, _Real, _Real]:
        """Mirror images in every wall that their beams meet."""
        image = self.image_m[rows]
        away = image @ city.wall_normal.T - np.einsum("ij,ij->i", city.wall_start_m, city.wall_normal)
        row, wall = np.nonzero((away > _FRONT_M) & (away < reach_m))
        here, behind = image[row], self.wall[rows[row]]
        start, end = city.wall_start_m[wall], city.wall_end_m[wall]
        right, left = self.right_m[rows[row]] - here, self.left_m[rows[row]] - here
        low, high = np.zeros(len(row)), np.ones(len(row))
        for at_start, at_end in (
            (_cross(right, start - here), _cross(right, end - here)),
            (_cross(start - here, left), _cross(end - here, left)),
            tuple(
                np.einsum("ij,ij->i", point - city.wall_start_m[behind], city.wall_normal[behind]) - _FRONT_M
                for point in (start, end)
            ),
        ):
            _clip(low, high, at_start, at_end)
        kept = high - low > _NARROW
        row, wall, low, high = row[kept], wall[kept], low[kept, None], high[kept, None]
        start, along = start[kept], end[kept] - start[kept]
        first, last = start + low * along, start + high * along
        mirrored = here[kept] - 2.0 * away[row, wall][:, None] * city.wall_normal[wall]
        return mirrored, wall, rows[row], *_right_and_left(mirrored, first, last)


def _clip(low: _Real, high: _Real, at_start: _Real, at_end: _Real) -> None:
    """Cut the stretch [low, high] to where a function that is linear along the wall is not negative; in place."""
    rise = at_end - at_start
    with np.errstate(divide="ignore", invalid="ignore"):
        zero = -at_start / rise
    np.copyto(low, np.maximum(low, zero), where=rise > 0.0)
    np.copyto(high, np.minimum(high, zero), where=rise < 0.0)
    high[(rise == 0.0) & (at_start < 0.0)] = -1.0


def _right_and_left(image_m: _Real, one_m: _Real, other_m: _Real) -> tuple[_Real, _Real]:
    swap = (_cross(one_m - image_m, other_m - image_m) < 0.0)[:, None]
    return np.where(swap, other_m, one_m), np.where(swap, one_m, other_m)


def _cross(one: _Real, other: _Real) -> _Real:
    result: _Real = one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]
    return result
