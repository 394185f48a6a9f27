"""The search grid: a stack over places and origin times whose peaks are where to look closer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.settings import AssociateSettings
from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.propagation import travel_time_s

__all__ = ["BIN_S", "Grid", "Seed", "distinct"]

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

BIN_S = 0.05
"""Width of a bin of origin time."""
_SEEDS_PER_ANCHOR = 6
_APART_M = 75.0


@dataclass(frozen=True, slots=True)
class Seed:
    """A place and an instant (seconds after the epoch) worth a closer look, and how much speaks for it."""

    x_m: float
    y_m: float
    origin_s: float
    support: float


class Grid:
    """Cells of the search area, travel times from each to every site, and the stack.

    Parameters
    ----------
    sites : sequence of Site
        At least one; their order is the order of every array of sites.
    settings : AssociateSettings
    window_s : float
        Longest span of origin times that may be open at once.
    """

    def __init__(self, sites: Sequence[Site], settings: AssociateSettings, *, window_s: float) -> None:
        self.sites_m = np.array([(site.x_m, site.y_m) for site in sites])
        low = self.sites_m.min(axis=0) - settings.margin_m
        high = self.sites_m.max(axis=0) + settings.margin_m
        xs = np.arange(low[0], high[0] + settings.cell_m, settings.cell_m)
        ys = np.arange(low[1], high[1] + settings.cell_m, settings.cell_m)
        self._shape = (len(xs), len(ys))
        self._reach = math.ceil(_APART_M / settings.cell_m) - 1
        self._cells_m = np.stack(np.meshgrid(xs, ys, indexing="ij"), axis=-1).reshape(-1, 2)
        self._stack = np.zeros((math.ceil(window_s / BIN_S) + 2, len(self._cells_m)), dtype=np.float32)
        self._weather: Weather | None = None
        self._travel_s = np.empty((0, 0))

    def seeds(
        self, time_s: FloatArray, node: IndexArray, say: FloatArray, anchor: NDArray[np.bool_], weather: Weather
    ) -> list[Seed]:
        """Return the peaks that the anchors take part in.

        Parameters
        ----------
        time_s, node, say : ndarray, shape (n_arrivals,)
            Arrival time, index of the site, and weight in the stack.
        anchor : ndarray of bool, shape (n_arrivals,)
            The arrivals whose peaks are wanted.
        weather : Weather
        """
        stack, n_cells = self._stack.reshape(-1), len(self._cells_m)
        stack[:] = 0.0
        every, n_bins = np.arange(n_cells), len(self._stack)
        origins = time_s[:, None] - self._travel(weather)[node]
        rows = np.floor(origins / BIN_S).astype(np.intp) % n_bins
        for row, weight in zip(rows, say, strict=True):
            stack[row * n_cells + every] += weight
        seeds: list[Seed] = []
        for row, origin_s in zip(rows[anchor], origins[anchor], strict=True):
            before, after = stack[(row - 1) % n_bins * n_cells + every], stack[(row + 1) % n_bins * n_cells + every]
            seeds += self._peaks(stack[row * n_cells + every] + np.maximum(before, after), origin_s)
        return seeds

    def _peaks(self, support: NDArray[np.float32], origin_s: FloatArray) -> list[Seed]:
        """Return the highest cells that are not beside each other; ``support`` is used up."""
        seeds: list[Seed] = []
        plane = support.reshape(self._shape)
        for _ in range(_SEEDS_PER_ANCHOR):
            cell = int(support.argmax())
            if support[cell] <= 0.0:
                break
            x_m, y_m = self._cells_m[cell]
            seeds.append(Seed(float(x_m), float(y_m), float(origin_s[cell]), float(support[cell])))
            column, row = divmod(cell, self._shape[1])
            low, high = max(0, column - self._reach), column + self._reach + 1
            plane[low:high, max(0, row - self._reach) : row + self._reach + 1] = 0.0
        return seeds

    def _travel(self, weather: Weather) -> FloatArray:
        """Return travel times, shape (n_sites, n_cells); recomputed when the weather changes."""
        if weather != self._weather:
            speed, wind = weather.speed_of_sound_mps, np.array(weather.wind_enu_mps)
            # Reversing the wind makes the site the source: one call per site instead of one per cell.
            self._travel_s = np.stack(
                [travel_time_s(site, self._cells_m, speed_of_sound_mps=speed, wind_mps=-wind) for site in self.sites_m]
            )
            self._weather = weather
        return self._travel_s


def distinct(seeds: Sequence[Seed]) -> list[Seed]:
    """Return the seeds less those beside a better one, in place and time; best first."""
    ordered = sorted(seeds, key=lambda seed: (-seed.support, seed.origin_s, seed.x_m, seed.y_m))
    # In units in which less than 1 on every axis means beside.
    places = np.array([(seed.x_m / _APART_M, seed.y_m / _APART_M, seed.origin_s / BIN_S) for seed in ordered])
    standing = np.ones(len(ordered), dtype=bool)
    for index in range(len(ordered)):
        if standing[index]:
            beside = (np.abs(places[index + 1 :] - places[index]) < 1.0).all(axis=1)
            standing[index + 1 :][beside] = False
    return [seed for seed, stands in zip(ordered, standing, strict=True) if stands]
