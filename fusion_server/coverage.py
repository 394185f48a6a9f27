"""Where a network would hear a shot, by fusion's own model of what is audible: modelled, not measured. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES
from fusion_server.associate.geometry import STEP_M, audibility, distance_rows
from fusion_server.associate.search import distinct_places
from fusion_server.associate.settings import AssociateSettings
from shotline.domain import Site

__all__ = ["Coverage", "model_coverage"]

_STEPS_M = (25.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0)
_MOST_CELLS = 10_000


@dataclass(frozen=True, slots=True, eq=False)
class Coverage:
    """How well shots are heard, on a grid of square cells.

    Parameters
    ----------
    west_m, south_m : float
        Corner of the grid.
    step_m : float
        Side of a cell.
    probability : ndarray, shape (n_rows, n_columns), float64
        That at least so many nodes report a shot in the cell; every loudness that fusion knows is as likely. Rows run
        from the south, columns from the west.
    expected_nodes : ndarray, shape (n_rows, n_columns), float64
        How many report it on average.
    """

    west_m: float
    south_m: float
    step_m: float
    probability: NDArray[np.float64]
    expected_nodes: NDArray[np.float64]


def model_coverage(
    sites: Sequence[Site],
    settings: AssociateSettings,
    *,
    around: Sequence[Site] | None = None,
    rounded_to_m: float = 0.0,
) -> Coverage:
    """Return the coverage of nodes, as far beyond the outermost as fusion looks.

    Parameters
    ----------
    sites : sequence of Site
        Nodes that listen. Of several at one place one counts, as for a fix.
    settings : AssociateSettings
        Those of fusion.
    around : sequence of Site, optional
        Nodes that the grid is laid around; the same by default.
    rounded_to_m : float
        Where nodes stand is rounded to this first, and no cell is smaller: the answer then tells no more of it.
    """
    around = sites if around is None else around
    if not around:
        nothing = np.zeros((0, 0))
        return Coverage(0.0, 0.0, max(_STEPS_M[0], rounded_to_m), nothing, nothing)
    corners_m = _rounded(_places_m(around), rounded_to_m)
    low, high = corners_m.min(axis=0) - settings.margin_m, corners_m.max(axis=0) + settings.margin_m
    step_m = _step_m(high - low, rounded_to_m)
    low = np.floor(low / step_m) * step_m
    columns, rows = (int(count) for count in np.ceil((high - low) / step_m))
    east_m, north_m = low[0] + (np.arange(columns) + 0.5) * step_m, low[1] + (np.arange(rows) + 0.5) * step_m
    cells_m = np.stack(np.meshgrid(east_m, north_m), axis=-1).reshape(-1, 2)
    sites_m = _places_m(sites)
    sites_m = _rounded(sites_m[distinct_places(sites_m)], rounded_to_m)
    probability, expected = _heard_by(cells_m, sites_m, settings)
    shape = (rows, columns)
    return Coverage(float(low[0]), float(low[1]), step_m, probability.reshape(shape), expected.reshape(shape))


def _step_m(size_m: NDArray[np.float64], least_step_m: float) -> float:
    for step_m in _STEPS_M:
        if step_m >= least_step_m and math.prod(np.ceil(size_m / step_m) + 1.0) <= _MOST_CELLS:
            return step_m
    return max(least_step_m, float(size_m.max()) / math.isqrt(_MOST_CELLS) + 1.0)


def _places_m(sites: Sequence[Site]) -> NDArray[np.float64]:
    return np.array([(site.x_m, site.y_m) for site in sites], dtype=np.float64).reshape(-1, 2)


def _rounded(places_m: NDArray[np.float64], to_m: float) -> NDArray[np.float64]:
    return places_m if to_m == 0.0 else np.round(places_m / to_m) * to_m


def _heard_by(
    cells_m: NDArray[np.float64], sites_m: NDArray[np.float64], settings: AssociateSettings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the probability that enough nodes report a shot in each cell, and how many do on average."""
    log_heard, _ = audibility(settings)
    audible = np.exp(log_heard[:, :N_RANGES].astype(np.float64))
    # Of each cell and loudness: the chance that exactly 0, 1, ... nodes report, up to one too few.
    few = np.zeros((len(cells_m), N_RANGES, settings.min_nodes))
    few[:, :, 0] = 1.0
    expected = np.zeros(len(cells_m))
    for site_m in sites_m:
        distance_m: NDArray[np.float64] = np.hypot(*(cells_m - site_m).T)
        near = np.flatnonzero(distance_m <= settings.reach_m)
        heard = audible[distance_rows(distance_m[near], step_m=STEP_M, rows=len(audible))]
        expected[near] += heard.mean(axis=1)
        before = few[near]
        after = before * (1.0 - heard[:, :, None])
        after[:, :, 1:] += before[:, :, :-1] * heard[:, :, None]
        few[near] = after
    return 1.0 - few.sum(axis=2).mean(axis=1), expected
