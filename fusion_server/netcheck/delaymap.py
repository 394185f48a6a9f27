"""The delay map of a network, from ordinary sounds: how much later a node hears from each direction than others say.

Not what site bias learning gives (`fusion_server.sitebias`): there the places are known, here they are what the other
nodes make of them, so a delay that all share cannot be seen, and what is left of it is smaller than it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.netcheck.usual import Share, scales_of
from fusion_server.sitebias import DelayScales, PathDelays

if TYPE_CHECKING:
    from fusion_server.netcheck.memory import Series

__all__ = ["DIRECTIONS", "DirectionDelay", "delay_rose", "learned_delays"]

DIRECTIONS = 16
_CLIP = 3.0


class DirectionDelay(NamedTuple):
    """What one node has from one direction.

    Parameters
    ----------
    direction_deg : float
        Where the sound comes from, clockwise from north.
    delay_s : float
        Excess delay, shrunk towards none where little was heard.
    sigma_s : float
    sounds : int
        So many came from there.
    """

    direction_deg: float
    delay_s: float
    sigma_s: float
    sounds: int


def learned_delays(
    names: tuple[str, ...],
    sites_m: NDArray[np.float64],
    heard: Sequence[Series],
    *,
    path_sigma_s: float,
    share: Share,
) -> PathDelays:
    """Return the excess delays of all nodes, a Gaussian process for each; what counts as faulty is not in it.

    Parameters
    ----------
    names : tuple of str
    sites_m : ndarray, shape (n_nodes, 2), float64
    heard : sequence of Series
        What each node heard.
    path_sigma_s : float
    share : Share
    """
    constant, direction, direction_rad, place, _ = scales_of(share.reach_m)
    sigma_s = math.sqrt(1.0 - share.noise) * path_sigma_s
    first, places, delays, noise = [0], [np.zeros((0, 2))], [np.zeros(0)], [np.zeros(0)]
    for series in heard:
        used = series.base
        places.append(series.place_m[used])
        # One echo is not to be learned.
        reach_s = _CLIP * np.sqrt(series.size[used] ** 2 + series.noise[used])
        delays.append(np.clip(series.y[used], -reach_s, reach_s))
        noise.append(series.noise[used] + np.maximum(series.size[used] ** 2 - sigma_s**2, 0.0))
        first.append(first[-1] + int(used.sum()))
    rows = first[-1]
    return PathDelays(
        nodes=names,
        site_m=sites_m,
        survey_s=np.zeros(len(names)),
        first=np.array(first, dtype=np.int64),
        place=np.arange(rows, dtype=np.int64),
        place_m=np.concatenate(places),
        delay_s=np.concatenate(delays),
        noise_s2=np.concatenate(noise),
        unsure_s2=np.zeros(rows),
        scales=DelayScales(
            constant_s=constant * sigma_s,
            direction_s=direction * sigma_s,
            direction_rad=direction_rad,
            place_s=place * sigma_s,
            place_m=share.reach_m,
            scatter_s=math.sqrt(share.noise) * path_sigma_s,
        ),
    )


def delay_rose(delays: PathDelays, node: int, series: Series) -> tuple[DirectionDelay, ...]:
    """Return the delay of a node from each of `DIRECTIONS` directions, as far away as its sounds usually are.

    Parameters
    ----------
    delays : PathDelays
    node : int
    series : Series
        What it heard.
    """
    if not len(series.y):
        return ()
    site_m = delays.site_m[node]
    away_m = series.place_m - site_m
    distance_m = float(np.median(np.hypot(away_m[:, 0], away_m[:, 1])))
    sector = np.rint(np.arctan2(away_m[:, 0], away_m[:, 1]) * DIRECTIONS / (2.0 * math.pi)).astype(int) % DIRECTIONS
    angle = np.arange(DIRECTIONS) * 2.0 * math.pi / DIRECTIONS
    mean_s, variance_s2 = delays.at(
        node, site_m[0] + distance_m * np.sin(angle), site_m[1] + distance_m * np.cos(angle)
    )
    return tuple(
        DirectionDelay(
            number * 360.0 / DIRECTIONS,
            float(mean_s[number]),
            math.sqrt(float(variance_s2[number])),
            int((sector == number).sum()),
        )
        for number in range(DIRECTIONS)
    )
