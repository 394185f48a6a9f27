"""What nodes hear at night: one figure a node, how well it is known, and whether it follows the others. Pure.

The noise of a night has a part that all nodes share (the town, the weather) and one of each place. In bins of some
minutes the part shared is taken off, as medians of rows and columns take turns [Tukey1977]; what is left of a node, a
night each, scatters as it does from night to night.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import NS_PER_S

__all__ = ["NightLevel", "NoiseReadings", "level_changes", "night_levels"]

Floats = NDArray[np.float64]

_BIN_S = 600.0
_DAY_S = 86_400.0
_LEAST_NODES = 3
_LEAST_BINS = 12
_ROUNDS = 20
_PER_MAD = 1.4826
_FLOOR_DB = 0.2
"""What a night's mean is not better than: levels are floors that follow slowly."""
_PRIOR_NIGHT_DB, _PRIOR_NIGHTS = 1.5, 2.0
"""How much a place differs from night to night until there are enough of them, and with what weight."""
_QUIET_SHARE = 0.25
_LEAST_RANGE_DB = 2.0
_FOLLOWS, _DEAF = 0.5, 0.25


@dataclass(frozen=True, slots=True)
class NoiseReadings:
    """Noise levels of one node.

    Parameters
    ----------
    time_ns : ndarray, shape (n,), int64
        UTC nanoseconds.
    level_db : ndarray, shape (n,), float64
        Of the noise floor, as the node states it.
    """

    time_ns: NDArray[np.int64]
    level_db: Floats


@dataclass(frozen=True, slots=True)
class NightLevel:
    """One node's nights.

    Parameters
    ----------
    node : str
    level_db : float
        Above what all nodes share, over the nights.
    sigma_db : float
        1-sigma of it, as nights scatter.
    nights, bins : int
    follows : float | None
        By how many decibels it rises when the others rise by one; None where they change too little to tell. 1 is
        right; 0 is a node that hears itself.
    """

    node: str
    level_db: float
    sigma_db: float
    nights: int
    bins: int
    follows: float | None

    @property
    def is_deaf(self) -> bool:
        """Whether it does not follow: its own noise, or nothing, is what it hears."""
        return self.follows is not None and self.follows < _DEAF


def night_levels(
    readings: Mapping[str, NoiseReadings], *, from_hour: float = 0.0, to_hour: float = 4.0, offset_h: float = 0.0
) -> list[NightLevel]:
    """Return the night level of each node that was heard at night, in the order of names.

    Parameters
    ----------
    readings : mapping from node to NoiseReadings
        All dBFS, or all dB SPL.
    from_hour, to_hour : float
        Of local time; through midnight where the second is less.
    offset_h : float
        Local time minus UTC.

    Raises
    ------
    InputError
        Hours that are none, or fewer than three nodes with a dozen bins at night.
    """
    for name, hour in (("from_hour", from_hour), ("to_hour", to_hour)):
        if not 0.0 <= hour <= 24.0:
            raise InputError(f"{hour:g} is not within 0 to 24", field=name)
    bins, nodes, table = _table(readings, from_hour, to_hour, offset_h)
    if len(nodes) < _LEAST_NODES:
        raise InputError(
            f"{len(nodes)} of {len(readings)} nodes were heard at night, with two others, in {_LEAST_BINS} or more "
            f"bins of ten minutes; expected {_LEAST_NODES} or more"
        )
    shared, own = _polished(table)
    # A night is a day that begins at noon, local time.
    nights = np.floor((bins * _BIN_S + offset_h * 3600.0 - _DAY_S / 2.0) / _DAY_S).astype(np.int64)
    return [
        _night_level(node, table[:, column] - shared, own[column], nights, shared, table[:, column])
        for column, node in enumerate(nodes)
    ]


def level_changes(before: Sequence[NightLevel], now: Sequence[NightLevel]) -> list[NightLevel]:
    """Return by how much the night levels of nodes rose since earlier nights; their places are the same, and cancel.

    Only nodes that were heard then and now; whether they follow is as now.

    Raises
    ------
    InputError
        Fewer than three of them.
    """
    earlier = {item.node: item for item in before}
    both = [(earlier[item.node], item) for item in now if item.node in earlier]
    if len(both) < _LEAST_NODES:
        raise InputError(f"{len(both)} nodes were heard in both stretches of nights; expected {_LEAST_NODES} or more")
    middle = float(np.median([item.level_db - old.level_db for old, item in both]))
    return [
        NightLevel(
            item.node,
            item.level_db - old.level_db - middle,
            math.hypot(item.sigma_db, old.sigma_db),
            min(item.nights, old.nights),
            min(item.bins, old.bins),
            item.follows,
        )
        for old, item in both
    ]


def _table(
    readings: Mapping[str, NoiseReadings], from_hour: float, to_hour: float, offset_h: float
) -> tuple[NDArray[np.int64], list[str], Floats]:
    """Return bins (ten minutes since 1970), nodes, and levels of shape (bins, nodes), NaN where there is none."""
    each: dict[str, dict[int, float]] = {}
    for node in sorted(readings):
        item = readings[node]
        place = item.time_ns // round(_BIN_S * NS_PER_S)
        hour = (item.time_ns / NS_PER_S / 3600.0 + offset_h) % 24.0
        night = (
            (hour >= from_hour) & (hour < to_hour) if from_hour < to_hour else (hour >= from_hour) | (hour < to_hour)
        )
        night &= np.isfinite(item.level_db)
        found = {
            int(index): float(np.quantile(item.level_db[night & (place == index)], _QUIET_SHARE))
            for index in np.unique(place[night])
        }
        if len(found) >= _LEAST_BINS:
            each[node] = found
    nodes = list(each)
    counts: dict[int, int] = {}
    for found in each.values():
        for index in found:
            counts[index] = counts.get(index, 0) + 1
    used = sorted(index for index, count in counts.items() if count >= _LEAST_NODES)
    table = np.full((len(used), len(nodes)), np.nan)
    row_of = {index: row for row, index in enumerate(used)}
    for column, node in enumerate(nodes):
        for index, level_db in each[node].items():
            if index in row_of:
                table[row_of[index], column] = level_db
    kept = np.count_nonzero(np.isfinite(table), axis=0) >= _LEAST_BINS
    return (
        np.array(used, dtype=np.int64),
        [node for node, keep in zip(nodes, kept, strict=True) if keep],
        table[:, kept],
    )


def _polished(table: Floats) -> tuple[Floats, Floats]:
    """Return the level that nodes share in each bin, and what each node has on top; the median of those is 0."""
    own = np.nanmedian(table, axis=0)
    shared = np.zeros(len(table))
    for _ in range(_ROUNDS):
        shared = np.nanmedian(table - own, axis=1)
        own = np.nanmedian(table - shared[:, None], axis=0)
    middle = float(np.median(own))
    return shared + middle, own - middle


def _night_level(
    node: str, rest: Floats, own_db: float, nights: NDArray[np.int64], shared: Floats, level: Floats
) -> NightLevel:
    heard = np.isfinite(rest)
    each = [float(np.median(rest[heard & (nights == night)])) for night in np.unique(nights[heard])]
    scatter2 = (_PRIOR_NIGHTS * _PRIOR_NIGHT_DB**2 + float(np.sum((np.array(each) - np.mean(each)) ** 2))) / (
        _PRIOR_NIGHTS + len(each) - 1.0
    )
    sigma_db = math.hypot(math.sqrt(scatter2 / len(each)), _FLOOR_DB)
    return NightLevel(
        node,
        float(np.median(each)) if len(each) > 2 else own_db,
        sigma_db,
        len(each),
        int(np.count_nonzero(heard)),
        _slope(shared[heard], level[heard]),
    )


def _slope(shared_db: Floats, level_db: Floats) -> float | None:
    """Return the robust slope of a node's level against what nodes share [Sen1968]."""
    from scipy.stats import theilslopes

    if float(np.percentile(shared_db, 90.0) - np.percentile(shared_db, 10.0)) < _LEAST_RANGE_DB:
        return None
    thin = max(1, len(shared_db) // 400)
    return float(theilslopes(level_db[::thin], shared_db[::thin])[0])
