"""What a swarm of simulated nodes hears: shots at random places among them, and bangs that one node alone hears.

Pure: everything follows from the seed. Seconds count from the start of the run.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.atmosphere import Weather
from shotline.domain import ClockState, ImpulseKind
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import db_from_amplitude, ns_from_seconds

__all__ = ["CLOCK_SIGMA_NS", "MODEL_ID", "Heard", "SwarmLoad", "SwarmPlan", "SwarmShot", "grid_m", "make_detection"]

MODEL_ID = "swarm"
CLOCK_SIGMA_NS = 1_000
_HEARING_M = 700.0
_SOURCE_DB_SPL = 150.0
"""Peak of a shot at 1 m."""
_BANG_DB_SPL = 100.0
_NOISE_DB_SPL = 60.0
_GUNSHOT = ImpulseKind.GUNSHOT
_WEATHER = Weather()
"""That of a server which is not told another."""


@dataclass(frozen=True, slots=True)
class SwarmLoad:
    """How much there is to hear.

    Parameters
    ----------
    detections_per_hour : float
        Bangs of each node in the mean, which no other node hears.
    shots_per_minute : float
        In the whole swarm, in the mean. They come on top.
    burst : int
        Shots that are fired at the same instant, each at a place of its own.
    """

    detections_per_hour: float = 100.0
    shots_per_minute: float = 0.0
    burst: int = 1


@dataclass(frozen=True, slots=True)
class SwarmShot:
    """Where and when a shot is fired, in the swarm's own metres."""

    time_s: float
    x_m: float
    y_m: float


@dataclass(frozen=True, slots=True, order=True)
class Heard:
    """One impulse at one node."""

    time_s: float
    member: int
    kind: ImpulseKind
    level_db_spl: float


class SwarmPlan:
    """What there is to hear in a run.

    Parameters
    ----------
    sites_m : ndarray, shape (n_nodes, 2), float64
        East and north of each node.
    load : SwarmLoad
    seconds : float
        Shots and bangs begin before this.
    seed : int
    """

    def __init__(self, sites_m: NDArray[np.float64], load: SwarmLoad, *, seconds: float, seed: int) -> None:
        self._sites_m = sites_m
        self._load = load
        self._seconds = seconds
        self._seed = seed

    def shots(self) -> Iterator[SwarmShot]:
        """Yield the shots in order; the same each time."""
        rng = np.random.default_rng([self._seed, 1])
        lowest_m, highest_m = self._sites_m.min(axis=0), self._sites_m.max(axis=0)
        for time_s in _instants(self._load.shots_per_minute / 60.0 / self._load.burst, self._seconds, rng):
            for _ in range(self._load.burst):
                x_m, y_m = rng.uniform(lowest_m, highest_m).tolist()
                yield SwarmShot(time_s, x_m, y_m)

    def heard(self) -> Iterator[Heard]:
        """Yield every impulse at every node, in order of time; the same each time."""
        shots, bangs = self.shots(), self._bangs()
        shot, bang = next(shots, None), next(bangs, None)
        arriving: list[Heard] = []
        while shot is not None or bang is not None or arriving:
            shot_s = math.inf if shot is None else shot.time_s
            bang_s = math.inf if bang is None else bang.time_s
            if arriving and arriving[0].time_s <= min(shot_s, bang_s):
                yield heapq.heappop(arriving)
            elif shot is not None and shot_s <= bang_s:
                for item in self._arrivals(shot):
                    heapq.heappush(arriving, item)
                shot = next(shots, None)
            elif bang is not None:
                yield bang
                bang = next(bangs, None)

    def _bangs(self) -> Iterator[Heard]:
        rng = np.random.default_rng([self._seed, 2])
        nodes = len(self._sites_m)
        for time_s in _instants(nodes * self._load.detections_per_hour / 3600.0, self._seconds, rng):
            yield Heard(time_s, int(rng.integers(nodes)), ImpulseKind.OTHER_IMPULSE, _BANG_DB_SPL)

    def _arrivals(self, shot: SwarmShot) -> Iterator[Heard]:
        source_m = np.array([shot.x_m, shot.y_m])
        distance_m = np.hypot(*(self._sites_m - source_m).T)
        near = np.flatnonzero(distance_m < _HEARING_M)
        times_s = travel_time_s(
            source_m,
            self._sites_m[near],
            speed_of_sound_mps=_WEATHER.speed_of_sound_mps,
            wind_mps=np.array(_WEATHER.wind_enu_mps),
        )
        for member, time_s in zip(near.tolist(), times_s.tolist(), strict=True):
            level_db_spl = _SOURCE_DB_SPL - db_from_amplitude(max(1.0, float(distance_m[member])))
            yield Heard(shot.time_s + time_s, member, _GUNSHOT, level_db_spl)


def grid_m(nodes: int, spacing_m: float) -> NDArray[np.float64]:
    """Return where the nodes stand: a square grid, filled row by row, shape (nodes, 2), float64, metres."""
    side = math.ceil(math.sqrt(nodes))
    rows, columns = np.divmod(np.arange(nodes), side)
    return np.stack([columns, rows], axis=1) * spacing_m


def make_detection(heard: Heard, *, node: str, boot: int, sequence: int, start_ns: int) -> Detection:
    """Return what a node sends about an impulse.

    Parameters
    ----------
    heard : Heard
    node : str
    boot, sequence : int
    start_ns : int
        UTC nanoseconds at which the run began.
    """
    return Detection(
        node=node,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=start_ns + ns_from_seconds(heard.time_s),
        arrival_sigma_ns=CLOCK_SIGMA_NS,
        clock_state=ClockState.PPS,
        probabilities_bp=tuple(9_500 if kind is heard.kind else 100 for kind in ImpulseKind),
        peak_level_db=heard.level_db_spl,
        level_reference=LevelReference.DB_SPL,
        snr_db=heard.level_db_spl - _NOISE_DB_SPL,
        rise_time_s=0.0005,
        model_id=MODEL_ID,
    )


def _instants(rate_per_s: float, until_s: float, rng: np.random.Generator) -> Iterator[float]:
    """Yield the instants of a Poisson process."""
    time_s = 0.0
    while rate_per_s > 0 and (time_s := time_s + rng.exponential(1.0 / rate_per_s)) < until_s:
        yield time_s
