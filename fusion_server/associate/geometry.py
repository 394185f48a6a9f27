"""Where to look, and who is near whom: cells of the search area and tables of the nodes about them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import LOUDNESS_RANGES_M, Ground, nearest_sites
from fusion_server.associate.settings import AssociateSettings
from shotline.domain import Site

__all__ = ["STEP_M", "audibility", "distance_rows", "lay_out", "probability_to_hear"]

STEP_M = 5.0
"""Steps of the audibility tables."""
_NEAR = 16
"""A cell is judged by so many nearest nodes when seeds are sought."""
_BESIDE_M = 300.0
"""Beyond hearing range: a place may be so far from the site whose surroundings are looked at."""
_RANGE_SOFTNESS = 0.15


def audibility(settings: AssociateSettings) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the log probability that a node reports a shot, and that it does not, by distance and loudness.

    Both of shape (n_distances, 8), float32: distance in steps of `STEP_M`, loudness as `LOUDNESS_RANGES_M`, and a
    column to spare.
    """
    distance_m = np.arange(0.0, settings.reach_m + 2.0 * STEP_M, STEP_M)[:, None]
    beyond = np.clip((distance_m - LOUDNESS_RANGES_M) / (_RANGE_SOFTNESS * LOUDNESS_RANGES_M), -30.0, 30.0)
    audible = settings.detect_probability / (1.0 + np.exp(beyond))
    heard, silent = np.zeros((2, len(distance_m), 8), dtype=np.float32)
    heard[:, : audible.shape[1]] = np.log(audible)
    silent[:, : audible.shape[1]] = np.log1p(-audible)
    return heard, silent


def distance_rows(distance_m: NDArray[np.float64], *, step_m: float, rows: int) -> NDArray[np.int64]:
    """Return the rows of the audibility tables for distances; the last row for what is beyond them."""
    row: NDArray[np.int64] = np.minimum(np.rint(distance_m / step_m).astype(np.int64), rows - 1)
    return row


def probability_to_hear(
    log_heard: NDArray[np.float32],
    log_silent: NDArray[np.float32],
    *,
    heard: NDArray[np.bool_],
    silent: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return the probability that each node reports a shot, given who did and who listened and did not.

    They say how loud it was. Each node's own word is among them: of a silent one this is the chance, before it is
    counted out, that a shot as loud as that is heard where it stands.

    Parameters
    ----------
    log_heard, log_silent : ndarray, shape (n_nodes, n_loudness)
        Rows of the tables of `audibility`, without the column to spare.
    heard, silent : ndarray, shape (n_nodes,), bool
    """
    said = log_heard[heard].sum(axis=0) + log_silent[silent].sum(axis=0)
    weight = np.exp(said - said.max())
    probability: NDArray[np.float64] = np.exp(log_heard) @ (weight / weight.sum())
    return probability


def lay_out(sites: Sequence[Site], settings: AssociateSettings) -> Ground:
    """Return the ground of at least one site; travel times and the cells of each node are still to be filled in."""
    sites_m = np.array([(site.x_m, site.y_m) for site in sites])
    low, high = sites_m.min(axis=0) - settings.margin_m, sites_m.max(axis=0) + settings.margin_m
    xs = np.arange(low[0], high[0] + settings.cell_m, settings.cell_m)
    ys = np.arange(low[1], high[1] + settings.cell_m, settings.cell_m)
    cells_m = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
    # A cell that no node is near enough to hear is no place to look.
    near = min(_NEAR, len(sites))
    cell_sites = np.empty((len(cells_m), near), dtype=np.int32)
    distance_m = np.empty((len(cells_m), near), dtype=np.float32)
    nearest_sites(cells_m, sites_m, settings.reach_m, cell_sites, distance_m)
    pairs = [np.flatnonzero(np.hypot(*(sites_m - site_m).T) <= settings.reach_m + _BESIDE_M) for site_m in sites_m]
    return Ground(
        sites_m=sites_m,
        by_x=np.argsort(sites_m[:, 0], kind="stable").astype(np.int64),
        around_first=np.concatenate([[0], np.cumsum([len(one) for one in pairs])]).astype(np.int64),
        around=np.concatenate(pairs).astype(np.int64),
        cells_m=cells_m,
        cell_sites=cell_sites,
        cell_travel_s=np.zeros((len(cells_m), near), dtype=np.float32),
        cell_distance=np.minimum(np.rint(distance_m / STEP_M), math.ceil(settings.reach_m / STEP_M)).astype(np.int16),
        cells_first=np.zeros(len(sites) + 1, dtype=np.int64),
        cells_of=np.empty(0, dtype=np.int32),
        rank_of=np.empty(0, dtype=np.int32),
    )
