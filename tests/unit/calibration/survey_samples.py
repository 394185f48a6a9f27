"""Made-up networks that hear impulses, with everything known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.propagation import travel_time_s
from shotline_calibration.self_survey.problem import AirPrior, Impulse, NodePrior

__all__ = ["Truth", "made_up"]

PICK_SIGMA_S = 0.0003


@dataclass(frozen=True)
class Truth:
    """A network as it is, and what is known of it beforehand."""

    nodes: list[NodePrior]
    impulses: list[Impulse]
    airs: list[AirPrior]
    node_m: NDArray[np.float64]
    clock_offset_s: NDArray[np.float64]
    place_m: NDArray[np.float64]
    speed_mps: float
    wind_mps: NDArray[np.float64]
    late: list[NDArray[np.bool_]]
    """Which arrivals came by a detour of more than 5 ms."""


def made_up(
    seed: int,
    *,
    nodes: int = 12,
    impulses: int = 40,
    side_m: float = 1000.0,
    survey_sigma_m: float = 3.0,
    clock_sigma_s: float = 0.005,
    path_sigma_s: float = 0.002,
    detours: float = 0.03,
    known: int = 0,
) -> Truth:
    """Return nodes strewn over a square, and impulses in and around it, each heard the better the nearer.

    A share of arrivals comes late by an exponential delay of 50 ms on the mean. The first ``known`` impulses are at
    places known to 5 cm.
    """
    rng = np.random.default_rng([seed, 8])
    half_m = side_m / 2.0
    node_m = np.column_stack([rng.uniform(-half_m, half_m, (nodes, 2)), rng.uniform(6.0, 15.0, nodes)])
    offset_s = rng.normal(0.0, clock_sigma_s, nodes)
    surveyed = node_m + rng.normal(0.0, survey_sigma_m, (nodes, 3))
    speed_mps, wind_mps = 343.0 + rng.normal(0.0, 1.4), np.array([2.0, -1.0]) + rng.normal(0.0, 1.0, 2)
    reach_m = half_m + 100.0
    place_m = np.column_stack([rng.uniform(-reach_m, reach_m, (impulses, 2)), rng.normal(0.0, 1.0, impulses)])
    heard_all: list[Impulse] = []
    late_all: list[NDArray[np.bool_]] = []
    kept: list[int] = []
    for index, place in enumerate(place_m):
        distance_m = np.linalg.norm(node_m - place, axis=1)
        heard = np.flatnonzero(rng.random(nodes) < 1.0 / (1.0 + np.exp((distance_m - 700.0) / 120.0)))
        time_s = 10.0 * index + offset_s[heard]
        time_s += travel_time_s(place, node_m[heard], speed_of_sound_mps=speed_mps, wind_mps=np.array([*wind_mps, 0.0]))
        time_s += rng.normal(0.0, path_sigma_s, len(heard)) + rng.normal(0.0, PICK_SIGMA_S, len(heard))
        detour_s = np.where(rng.random(len(heard)) < detours, rng.exponential(0.05, len(heard)), 0.0)
        if len(heard) < 4:
            continue
        at = tuple(float(value) for value in place + rng.normal(0.0, 0.05, 3))
        kept.append(index)
        late_all.append(detour_s > 0.005)
        heard_all.append(
            Impulse(
                name=f"bang {index + 1}",
                nodes=tuple(int(node) for node in heard),
                arrival_s=tuple(float(value) for value in time_s + detour_s),
                sigma_s=(PICK_SIGMA_S,) * len(heard),
                place_m=(at[0], at[1], at[2]) if index < known else None,
                place_sigma_m=(0.05, 0.05, 0.05) if index < known else (np.inf, np.inf, 2.0),
            )
        )
    priors = [
        NodePrior(
            f"roof-{index + 1:02}",
            *(float(value) for value in at),
            sigma_m=survey_sigma_m,
            sigma_z_m=survey_sigma_m,
            clock_sigma_s=clock_sigma_s,
        )
        for index, at in enumerate(surveyed)
    ]
    air = AirPrior(343.0, 1.4, (2.0, -1.0), 1.0)
    return Truth(priors, heard_all, [air], node_m, offset_s, place_m[kept], speed_mps, wind_mps, late_all)
