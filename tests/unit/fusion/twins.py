"""Slow, obvious twins of the compiled kernels of association."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares


@dataclass(frozen=True)
class Heard:
    """One arrival of one node."""

    time_s: float
    snr_db: float


def log_clutter(
    mine: Sequence[Heard],
    *,
    window_s: float,
    burst_s: float,
    margin_db: float,
    softness_db: float,
    least_hz: float,
    echo_s: float,
    echo_share: float,
    quiet_s: float,
    below_db: float,
    few: float,
    top_hz: float,
    top_share: float,
    listens_from_s: float,
    many: float,
    least_known_s: float,
) -> list[float]:
    """Return the log clutter of each arrival of a node, from the words of its docstring."""

    def log_over_share(rate_hz: float, all_hz: float) -> float:
        spread = math.log(max(math.e, all_hz / least_hz))
        top = max(1.0, math.log(top_hz / least_hz))
        share = min(1.0, top_share / top / (1.0 + (rate_hz / top_hz) ** 2) + (1.0 - top_share) / spread)
        return math.log(rate_hz / share)

    starts = []
    for one in mine:
        before_db = [item.snr_db for item in mine if 0.0 < one.time_s - item.time_s <= quiet_s]
        off = min(30.0, max(-30.0, one.snr_db - below_db - max(before_db, default=-math.inf)))
        before = sum(0.0 < one.time_s - item.time_s <= burst_s for item in mine)
        deaf = min(1.0, max(0.0, (listens_from_s - (one.time_s - burst_s)) / burst_s))
        starts.append(math.exp(-(before + many * deaf) / few) / (1.0 + math.exp(-off)))
    result = []
    for one, start in zip(mine, starts, strict=True):
        rates, counts = [least_hz], [0.0]
        starting, all_starting = 0.0, 0.0
        known_s = max(least_known_s, one.time_s - listens_from_s)
        wide_s = min(window_s, known_s)
        for reach_s in (wide_s, min(burst_s, known_s)):
            weight, count = 0.0, 0
            for other, its_start in zip(mine, starts, strict=True):
                after_s = other.time_s - one.time_s
                if other is one or abs(after_s) > reach_s:
                    continue
                share = 1.0 / (1.0 + math.exp((margin_db - (other.snr_db - one.snr_db)) / softness_db))
                weight += share * (echo_share if 0.0 < after_s <= echo_s else 1.0)
                count += 1
                if reach_s == wide_s and len(rates) == 1:
                    starting += share * its_start
                    all_starting += its_start
            rates.append(weight / (2.0 * reach_s))
            counts.append(count / (2.0 * reach_s))
        log_any = log_over_share(max(rates), max(counts))
        log_start = log_over_share(max(starting / (2.0 * wide_s), least_hz), all_starting / (2.0 * wide_s))
        result.append(log_any + start * min(0.0, log_start - log_any))
    return result


def ring_row(
    times_s: np.ndarray, says: np.ndarray, bins: np.ndarray, *, bin_s: float, gate_s: float, never: float
) -> np.ndarray:
    """Return what a node has to say in each bin: the best of the arrivals whose bin is within the gate."""
    reach = math.ceil(gate_s / bin_s)
    of = np.floor(times_s / bin_s)
    row = np.full(len(bins), never)
    for index, number in enumerate(bins):
        near = np.abs(of - number) <= reach
        if near.any():
            row[index] = says[near].max()
    return row


def fit_place(
    sites_m: np.ndarray,
    range_m: np.ndarray,
    sigma_m: np.ndarray,
    *,
    nu: float,
    speed_error_sigma: float,
    start: np.ndarray,
) -> np.ndarray:
    """Return x, y, b, e of most posterior density, by scipy: residuals whose squares sum to twice the cost."""

    def residuals(state: np.ndarray) -> np.ndarray:
        distance_m = np.hypot(*(sites_m - state[:2]).T)
        z = (range_m - state[2] - distance_m / (1.0 + state[3])) / sigma_m
        return np.append(np.sqrt((nu + 1.0) * np.log1p(z**2 / nu)), state[3] / speed_error_sigma)

    return least_squares(residuals, start, x_scale=[1.0, 1.0, 1.0, 0.01], xtol=1e-14, ftol=1e-14, gtol=1e-14).x


def nearest(cells_m: np.ndarray, sites_m: np.ndarray, *, reach_m: float, count: int) -> list[list[int]]:
    """Return the nearest sites of each cell within reach, nearest first."""
    result = []
    for cell_m in cells_m:
        distance_m = np.hypot(*(sites_m - cell_m).T)
        order = np.argsort(distance_m, kind="stable")
        result.append([int(site) for site in order if distance_m[site] <= reach_m][:count])
    return result
