"""What a city hears on New Year's Eve, second by second. Pure: everything follows from the seed.

Three things are heard. Fireworks burst above the houses and each is heard by every node within earshot, at the true
time that sound needs. Firecrackers in a yard are heard by one node alone; they are most of it. And now and then
somebody fires a gun, which is what a dispatcher must still hear of.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_node.swarmplan import CLOCK_SIGMA_NS, MODEL_ID
from shotline.atmosphere import Weather
from shotline.domain import ClockState, ImpulseKind
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import ns_from_seconds

__all__ = ["KINDS", "Bang", "Load", "Night", "detection_of", "make_night"]

KINDS = (ImpulseKind.GUNSHOT, ImpulseKind.FIREWORK)
_PROBABILITIES_BP = {
    kind: tuple(8_500 if kind is other else 300 for other in ImpulseKind)
    for kind in (ImpulseKind.GUNSHOT, ImpulseKind.FIREWORK)
}
_EARSHOT_M = 700.0
_ENOUGH = 4
_REPORTED_SHARE = 0.9
"""Of the nodes within earshot; the others are drowned by what is nearer."""
_SOURCE_DB_SPL = {ImpulseKind.GUNSHOT: 155.0, ImpulseKind.FIREWORK: 148.0}
"""Peak at 1 m."""
_NOISE_DB_SPL = 72.0
_CRACKER_SNR_DB = (8.0, 30.0)
_APART_M, _APART_S = 250.0, 4.0
"""Shots of the plan are no nearer to each other than this in place and time: each is an incident of its own."""
_EDGE_M = 400.0


@dataclass(frozen=True, slots=True)
class Load:
    """How much there is to hear.

    Parameters
    ----------
    detections_per_s : float
        Of all nodes together. Firecrackers make up what the others leave.
    fireworks_per_s, shots_per_s : float
        In the whole city.
    seconds : float
    """

    detections_per_s: float
    fireworks_per_s: float
    shots_per_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Bang:
    """A firework or a shot: where, when, what, and when its fourth node and its last heard it.

    Seconds from the start. Fewer than four nodes give no place; where fewer heard it the last stands for the fourth.
    """

    time_s: float
    x_m: float
    y_m: float
    kind: ImpulseKind
    heard_by: int
    last_heard_s: float
    fourth_heard_s: float


@dataclass(frozen=True, slots=True)
class Night:
    """Every impulse at every node, in order of time, and the bangs that made some of them.

    Parameters
    ----------
    time_s : ndarray, shape (n,), float64
        From the start.
    node, kind : ndarray, shape (n,), int64
        Index of the node, and of the kind in `KINDS`.
    snr_db : ndarray, shape (n,), float64
    bangs : tuple of Bang
    from_bangs : int
        How many of the impulses bangs made; firecrackers made the others.
    """

    time_s: NDArray[np.float64]
    node: NDArray[np.int64]
    kind: NDArray[np.int64]
    snr_db: NDArray[np.float64]
    bangs: tuple[Bang, ...]
    from_bangs: int


def make_night(sites_m: NDArray[np.float64], load: Load, *, seed: int) -> Night:
    """Draw a night.

    Parameters
    ----------
    sites_m : ndarray, shape (n_nodes, 2), float64
    load : Load
    seed : int
    """
    rng = np.random.default_rng(seed)
    weather = Weather()
    times_s, nodes, kinds, snrs_db = [], [], [], []
    bangs: list[Bang] = []
    rates = {ImpulseKind.GUNSHOT: load.shots_per_s, ImpulseKind.FIREWORK: load.fireworks_per_s}
    for number, kind in enumerate(KINDS):
        for time_s, x_m, y_m in _places(sites_m, rates[kind], load.seconds, apart=number == 0, rng=rng):
            distance_m = np.hypot(*(sites_m - (x_m, y_m)).T)
            near = np.flatnonzero((distance_m < _EARSHOT_M) & (rng.random(len(sites_m)) < _REPORTED_SHARE))
            if not near.size:
                continue
            travel_s = travel_time_s(
                np.array([x_m, y_m]),
                sites_m[near],
                speed_of_sound_mps=weather.speed_of_sound_mps,
                wind_mps=np.array(weather.wind_enu_mps),
            )
            level_db = _SOURCE_DB_SPL[kind] - 20.0 * np.log10(np.maximum(1.0, distance_m[near]))
            times_s.append(time_s + travel_s)
            nodes.append(near)
            kinds.append(np.full(len(near), number))
            snrs_db.append(level_db + rng.normal(0.0, 3.0, len(near)) - _NOISE_DB_SPL)
            in_order_s = (time_s + np.sort(travel_s)).tolist()
            bangs.append(Bang(time_s, x_m, y_m, kind, len(near), in_order_s[-1], in_order_s[:_ENOUGH][-1]))
    from_bangs = sum(map(len, nodes))
    crackers = max(0, round(load.detections_per_s * load.seconds) - from_bangs)
    times_s.append(rng.uniform(0.0, load.seconds, crackers))
    nodes.append(rng.integers(len(sites_m), size=crackers))
    kinds.append(np.full(crackers, KINDS.index(ImpulseKind.FIREWORK)))
    snrs_db.append(rng.uniform(*_CRACKER_SNR_DB, crackers))
    time_s = np.concatenate(times_s)
    order = np.argsort(time_s, kind="stable")
    columns = [np.concatenate(column)[order] for column in (nodes, kinds, snrs_db)]
    bangs.sort(key=lambda bang: bang.time_s)
    return Night(time_s[order], columns[0], columns[1], np.maximum(3.0, columns[2]), tuple(bangs), from_bangs)


def detection_of(night: Night, item: int, *, node: str, boot: int, sequence: int, start_ns: int) -> Detection:
    """Return what a node sends about one impulse.

    Parameters
    ----------
    night : Night
    item : int
        Which impulse of the night.
    node : str
    boot, sequence : int
    start_ns : int
        UTC nanoseconds at which the night begins.
    """
    snr_db = float(night.snr_db[item])
    return Detection(
        node=node,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=start_ns + ns_from_seconds(float(night.time_s[item])),
        arrival_sigma_ns=CLOCK_SIGMA_NS,
        clock_state=ClockState.PPS,
        probabilities_bp=_PROBABILITIES_BP[KINDS[int(night.kind[item])]],
        peak_level_db=snr_db + _NOISE_DB_SPL,
        level_reference=LevelReference.DB_SPL,
        snr_db=snr_db,
        rise_time_s=0.0005,
        model_id=MODEL_ID,
    )


def _places(
    sites_m: NDArray[np.float64], rate_per_s: float, seconds: float, *, apart: bool, rng: np.random.Generator
) -> list[tuple[float, float, float]]:
    """Draw instants and places inside the city; what is to be apart and is not is drawn again."""
    low_m, high_m = sites_m.min(axis=0) + _EDGE_M, sites_m.max(axis=0) - _EDGE_M
    drawn: list[tuple[float, float, float]] = []
    # Even spacing with a little chance: the last one is heard by everyone before the night is over.
    wanted = int(rate_per_s * seconds)
    for time_s in np.sort(rng.uniform(0.0, max(0.0, seconds - 2.0), wanted)).tolist():
        for _ in range(1000):
            x_m, y_m = rng.uniform(low_m, high_m).tolist()
            if not apart or all(
                np.hypot(x_m - x, y_m - y) > _APART_M or time_s - before_s > _APART_S for before_s, x, y in drawn
            ):
                drawn.append((time_s, x_m, y_m))
                break
    return drawn
