"""Random numbers: each purpose, node and event has its own stream, so that one more of them changes no other."""

from __future__ import annotations

import zlib
from enum import IntEnum

import numpy as np

__all__ = ["Stream", "spot", "stream"]


class Stream(IntEnum):
    """What random numbers are for."""

    TOWN = 0
    SURVEY = 1
    CLOCK = 2
    NOISE = 3
    MICROPHONE = 4
    FIRE = 5
    SCATTER = 6
    PATH = 7
    DETECTION = 8
    CLUTTER = 9
    WEATHER = 10


def stream(seed: int, what: Stream, *names: str | int) -> np.random.Generator:
    """Return the random numbers for one purpose, and for one node or event of that name."""
    parts = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng([seed, int(what), *parts])


def spot(place_m: tuple[float, float, float]) -> str:
    """Return the name of a place to a metre: what is random about a line is the same from all of it."""
    return ",".join(f"{value:.0f}" for value in place_m)
