"""Random sub-arrays of the sensors that heard a shot, and arrivals made late: the same for every solver that is tried.

What is drawn depends on the seed and on the names of what it is drawn from only, so neither the order of work nor what
else is tried changes it.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from shotline.domain import Arrival
from shotline.errors import InputError
from shotline.units import ns_from_seconds

__all__ = ["delayed", "shot_rng", "subarrays"]


def shot_rng(scene: str, event: str, shot_index: int, *more: int, seed: int) -> np.random.Generator:
    """Return the generator that belongs to one shot.

    Parameters
    ----------
    scene, event : str
    shot_index : int
    more : int
        What else tells one use from another: the number of sensors first, for sub-arrays nothing else.
    seed : int
    """
    return np.random.default_rng([seed, zlib.crc32(scene.encode()), zlib.crc32(event.encode()), shot_index, *more])


def subarrays(
    arrivals: Sequence[Arrival], *, size: int, subsets: int, rng: np.random.Generator
) -> list[tuple[Arrival, ...]]:
    """Return so many subsets of one size, each drawn without replacement and in the order of ``arrivals``.

    Raises
    ------
    InputError
        There are fewer arrivals than that.
    """
    if len(arrivals) < size:
        raise InputError(f"{len(arrivals)} arrivals, expected at least {size}; ask for smaller subsets", field="size")
    chosen = (sorted(rng.choice(len(arrivals), size=size, replace=False)) for _ in range(subsets))
    return [tuple(arrivals[index] for index in some) for some in chosen]


def delayed(
    arrivals: Sequence[Arrival], *, count: int, least_s: float, most_s: float, rng: np.random.Generator
) -> tuple[Arrival, ...]:
    """Return the arrivals with some, drawn without replacement, late by a uniform delay each."""
    made = list(arrivals)
    for index in rng.choice(len(made), size=count, replace=False):
        late_ns = ns_from_seconds(float(rng.uniform(least_s, most_s)))
        made[index] = replace(made[index], time_ns=made[index].time_ns + late_ns)
    return tuple(made)
