"""Where a shot may have been when no ellipse says it: the posterior on cells, and the outline of its densest part.

The posterior of the place, its other unknowns at their best, is evaluated on cells of range and bearing about the
middle of the nodes: seen from there, what is far off is long in range and thin in bearing. Cells are split where and in
what direction it matters: first blurred to what the arrival-time differences vary across the cell, so that no thin
ridge falls between, then finer until that is little beside their sigmas.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from fusion_server.locate.kernel import STATE, Model, climb, ground_height_m, level_log_density

__all__ = ["Cells", "posterior_cells", "rings_of"]

FloatArray = NDArray[np.float64]

_NEAREST_M = 2.0
_REACH = 1.5
"""Cells reach this many hearing ranges from the middle of the nodes."""
_RANGES, _BEARINGS = 20, 36
"""Cells to begin with."""
_LEVELS = 24
_MOST_CELLS = 6000
_BLUR = 1.0 / math.sqrt(12.0)
"""Standard deviation of a uniform spread over one unit."""
_FINE = 0.3
"""A cell is fine when it blurs no node by more than this share of its sigma."""
_LEAST_MASS = 1e-5
"""Cells of a smaller share of the whole are dropped."""
_HELD = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """A posterior on cells.

    Parameters
    ----------
    place_m : ndarray, shape (n_cells, 2), float64
        Middles, local frame, the likeliest (by density) first.
    corners_m : ndarray, shape (n_cells, 4, 2), float64
    mass : ndarray, shape (n_cells,), float64
        Sums to 1.
    """

    place_m: FloatArray
    corners_m: FloatArray
    mass: FloatArray


@compiled
def posterior_cells(
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    level_db: FloatArray,
    used: NDArray[np.bool_],
    model: Model,
    ground: FloatArray,
    bearing_rad: float,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return cells (log range, bearing, their sizes), shape (n, 4), about the origin of ``sites``, with log density.

    Parameters
    ----------
    sites, rho, sigma, level_db, used, model, ground
        As in `fusion_server.locate.kernel`.
    bearing_rad : float
        Of the fix from the origin: cells are laid out from there, so that they turn with the nodes.

    Returns
    -------
    cells, log_density, mass : ndarray, shapes (n, 4), (n,) and (n,)
        Density per square metre up to a constant; mass sums to 1.
    """
    lowest, highest = math.log(_NEAREST_M), math.log(_REACH * model.hearing_range_m)
    count = _RANGES * _BEARINGS
    # Log range, bearing, sizes of both, and the air's unknowns of the cell it was split from.
    cells = np.zeros((count, 7))
    for i in range(_RANGES):
        for j in range(_BEARINGS):
            cell = cells[i * _BEARINGS + j]
            cell[2], cell[3] = (highest - lowest) / _RANGES, 2.0 * math.pi / _BEARINGS
            cell[0], cell[1] = lowest + (i + 0.5) * cell[2], bearing_rad + (j + 0.5) * cell[3]
    density, mass = np.empty(count), np.empty(count)
    split = np.empty(count, dtype=np.int64)
    for depth in range(_LEVELS):
        density, mass = np.empty(len(cells)), np.empty(len(cells))
        split = np.empty(len(cells), dtype=np.int64)
        for number in range(len(cells)):
            density[number], split[number] = _evaluate(cells[number], sites, rho, sigma, level_db, used, model, ground)
        best = density.max()
        for number in range(len(cells)):
            cell = cells[number]
            mass[number] = math.exp(density[number] - best) * math.exp(2.0 * cell[0]) * cell[2] * cell[3]
        mass /= mass.sum()
        keep = mass > _LEAST_MASS
        finer = keep.sum() + (keep & (split > 0)).sum()
        if depth == _LEVELS - 1 or finer > _MOST_CELLS or finer == keep.sum():
            break
        parts = np.empty((finer, 7))
        count = 0
        for number in range(len(cells)):
            if not keep[number]:
                continue
            parts[count] = cells[number]
            if split[number] > 0:
                along = split[number] - 1
                parts[count, 2 + along] *= 0.5
                parts[count + 1] = parts[count]
                parts[count, along] -= 0.5 * parts[count, 2 + along]
                count += 1
                parts[count, along] += 0.5 * parts[count, 2 + along]
            count += 1
        cells = parts
    return cells[:, :4].copy(), density, mass


@compiled
def _evaluate(
    cell: FloatArray,
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    level_db: FloatArray,
    used: NDArray[np.bool_],
    model: Model,
    ground: FloatArray,
) -> tuple[float, int]:
    """Return the log density of a cell, and what to split it in: 1 range, 2 bearing, 0 when it is fine."""
    n_nodes = len(rho)
    state, gap, blurred = np.zeros(STATE), np.empty(n_nodes), np.empty(n_nodes)
    away = math.exp(cell[0])
    cos, sin = math.cos(cell[1]), math.sin(cell[1])
    state[0], state[1] = away * cos, away * sin
    state[3], state[4], state[5] = cell[4], cell[5], cell[6]
    state[7] = ground_height_m(state[0], state[1], model, ground)
    state[6] = state[7]
    towards = np.empty((n_nodes, 2))
    mean_out, mean_across = 0.0, 0.0
    for node in range(n_nodes):
        dx, dy, dz = state[0] - sites[node, 0], state[1] - sites[node, 1], state[6] - sites[node, 2]
        d = math.sqrt(dx * dx + dy * dy + dz * dz)
        gap[node] = rho[node] - d
        towards[node, 0] = (dx * cos + dy * sin) / max(d, 1e-9)
        towards[node, 1] = (dy * cos - dx * sin) / max(d, 1e-9)
        mean_out += towards[node, 0] / n_nodes
        mean_across += towards[node, 1] / n_nodes
    # What all nodes share is a change of origin, no contradiction.
    worst_out, worst_across = 0.0, 0.0
    for node in range(n_nodes):
        out = _BLUR * away * cell[2] * abs(towards[node, 0] - mean_out)
        across = _BLUR * away * cell[3] * abs(towards[node, 1] - mean_across)
        blurred[node] = math.sqrt(sigma[node] * sigma[node] + out * out + across * across)
        worst_out = max(worst_out, out / sigma[node])
        worst_across = max(worst_across, across / sigma[node])
    state[2] = np.median(gap)
    cost = climb(state, sites, rho, blurred, model, 1.0, model.unknowns, 2, 1e-3, 30)
    cell[4], cell[5], cell[6] = state[3], state[4], state[5]
    split = 0
    if max(worst_out, worst_across) > _FINE:
        split = 1 if worst_out > worst_across else 2
    return level_log_density(state, sites, level_db, used, model) - cost, split


def rings_of(cells: Cells) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Return the outlines of the densest cells that hold 95 %, largest first."""
    import shapely

    n_held = int(np.searchsorted(np.cumsum(cells.mass), _HELD)) + 1
    corners = cells.corners_m[:n_held]
    sides_m = np.linalg.norm(corners[:, [1, 3]] - corners[:, [0]], axis=2)
    thickness_m = float(np.median(sides_m.min(axis=1)))
    joined = shapely.union_all(shapely.buffer(shapely.polygons(corners), 0.2 * thickness_m))
    smooth = joined.simplify(0.3 * thickness_m)
    parts = sorted(shapely.get_parts(smooth).tolist(), key=lambda part: -float(part.area))
    return tuple(
        tuple((round(float(px), 2), round(float(py), 2)) for px, py in part.exterior.coords[:-1]) for part in parts
    )
