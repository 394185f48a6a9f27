"""Where the impulses of a self-survey may have been made: what the locator says with the nodes as they are known. Pure.

Arrivals at four nodes often fit two places, and with nodes metres off the locator may take the wrong one. So each
impulse has its candidates, and gets the one that fits best once the nodes are better known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fusion_server.locate import ArrivalBatch, LocateSettings, locate_batch
from shotline.atmosphere import SPEED_OF_SOUND_0C_MPS, Weather
from shotline.domain import Arrival, DetectionId, NoLocation, Site
from shotline.propagation import travel_time_s
from shotline.units import CELSIUS_ZERO_K, NS_PER_S
from shotline_calibration.self_survey.equations import (
    PER_IMPULSE,
    PER_NODE,
    SCALE_MPS,
    Arrivals,
    Linear,
    Precisions,
    State,
)
from shotline_calibration.self_survey.problem import AirPrior, FloatArray, Impulse, NodePrior, SurveySettings

__all__ = ["best_places", "is_known", "start_state"]

_MOST_CANDIDATES = 3
_STEPS = 25
_CONVERGED_M = 1e-3
_STUDENT_NU = 4.0
_SAME_PLACE_M = 20.0
_RIVAL = 9.0
"""Two places whose costs differ by less are both possible: a factor of 90 in probability."""

_Places = list[list[tuple[float, float]]]


def start_state(
    nodes: list[NodePrior], impulses: list[Impulse], airs: list[AirPrior], settings: SurveySettings
) -> tuple[State, NDArray[np.bool_]]:
    """Return the state to begin with, and for which impulses there is a place in it."""
    node_m = np.array([(node.x_m, node.y_m, node.z_m, 0.0) for node in nodes])
    air_mps = np.array([(air.speed_mps, *air.wind_mps) for air in airs])
    node_sigma_s = np.array([math.hypot(n.clock_sigma_s, n.sigma_m / airs[0].speed_mps) for n in nodes])
    places = _located(node_m, node_sigma_s, air_mps, impulses, settings.path_sigma_s)
    impulse_m = np.zeros((len(impulses), PER_IMPULSE))
    started = np.zeros(len(impulses), dtype=bool)
    for index, impulse in enumerate(impulses):
        if is_known(impulse) and impulse.place_m is not None:
            impulse_m[index, :3] = impulse.place_m
        elif places[index]:
            height_m = settings.height_m if impulse.place_m is None else impulse.place_m[2]
            impulse_m[index, :3] = (*places[index][0], height_m)
        else:
            continue
        started[index] = True
        impulse_m[index, 3] = _instant_m(impulse_m[index, :3], impulse, node_m, air_mps)
    return State(node_m, air_mps, impulse_m), started


def is_known(impulse: Impulse) -> bool:
    """Return whether it is known beforehand where it was made."""
    return impulse.place_m is not None and all(math.isfinite(sigma) for sigma in impulse.place_sigma_m[:2])


def best_places(
    state: State,
    common_covariance: FloatArray,
    impulses: list[Impulse],
    arrivals: Arrivals,
    known: Precisions,
    variance_m2: FloatArray,
) -> tuple[State, NDArray[np.bool_]]:
    """Return the state with each impulse at the place that fits best, and for which impulses another fits as well.

    Parameters
    ----------
    state : State
        Nodes and air stay as they are.
    common_covariance : ndarray, shape (n_common, n_common)
        How well they are known, in the units of the state.
    impulses : list of Impulse
    arrivals : Arrivals
    known : Precisions
    variance_m2 : ndarray, shape (n,)
        Of each arrival, without what nodes and air add.
    """
    n_nodes = len(state.nodes_m)
    variances = np.diag(common_covariance)[: PER_NODE * n_nodes].reshape(n_nodes, PER_NODE)
    node_m2 = variances[:, :2].mean(axis=1) + variances[:, 3]
    path_sigma_s = math.sqrt(float(np.median(variance_m2))) / SCALE_MPS
    places = _located(state.nodes_m, np.sqrt(node_m2) / SCALE_MPS, state.air_mps, impulses, path_sigma_s)
    variance = variance_m2 + node_m2[arrivals.node]
    tried = [state.impulses_m]
    for rank in range(_MOST_CANDIDATES):
        candidate = state.impulses_m.copy()
        for index, impulse in enumerate(impulses):
            if not is_known(impulse) and len(places[index]) > rank:
                candidate[index, :2] = places[index][rank]
                candidate[index, 2] = known.impulses_m[index, 2]
                candidate[index, 3] = _instant_m(candidate[index, :3], impulse, state.nodes_m, state.air_mps)
        tried.append(candidate)
    settled = [_settled(State(state.nodes_m, state.air_mps, each), arrivals, known, variance) for each in tried]
    at, cost = np.array([each for each, _ in settled]), np.array([each for _, each in settled])
    best = np.argmin(cost, axis=0)
    every = np.arange(len(impulses))
    apart_m = np.linalg.norm((at - at[best, every])[:, :, :2], axis=2)
    rivals: NDArray[np.bool_] = ((apart_m > _SAME_PLACE_M) & (cost < cost[best, every] + _RIVAL)).any(axis=0)
    rivals &= np.array([not is_known(impulse) for impulse in impulses], dtype=bool)
    return State(state.nodes_m, state.air_mps, at[best, every]), rivals


def _settled(
    state: State, arrivals: Arrivals, known: Precisions, variance_m2: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return each impulse at the nearest robust optimum, with nodes and air held, and its cost there.

    Levenberg and Marquardt, a damping for each impulse, weights of Student's t.
    """
    count = len(state.impulses_m)
    damping = np.full(count, 1e-3)
    linear = Linear.at(state, arrivals, with_common=False)
    cost = _costs(state, linear, arrivals, known, variance_m2)
    for _ in range(_STEPS):
        weight = (_STUDENT_NU + 1.0) / (_STUDENT_NU * variance_m2 + linear.residual_m**2)
        block = np.zeros((count, PER_IMPULSE, PER_IMPULSE))
        np.add.at(block, arrivals.impulse, np.einsum("n,ni,nj->nij", weight, linear.own, linear.own))
        slope = known.impulses * (known.impulses_m - state.impulses_m)
        np.add.at(slope, arrivals.impulse, linear.own * (weight * linear.residual_m)[:, None])
        axes = np.arange(PER_IMPULSE)
        block[:, axes, axes] = (block[:, axes, axes] + known.impulses) * (1.0 + damping[:, None]) + 1e-12
        step = np.linalg.solve(block, slope[:, :, None])[:, :, 0]
        ahead = State(state.nodes_m, state.air_mps, state.impulses_m + step)
        ahead_linear = Linear.at(ahead, arrivals, with_common=False)
        ahead_cost = _costs(ahead, ahead_linear, arrivals, known, variance_m2)
        better = ahead_cost <= cost
        damping = np.where(better, np.maximum(damping / 10.0, 1e-12), np.minimum(damping * 10.0, 1e8))
        moved = np.where(better[:, None], ahead.impulses_m, state.impulses_m)
        state, cost = State(state.nodes_m, state.air_mps, moved), np.where(better, ahead_cost, cost)
        linear = Linear.at(state, arrivals, with_common=False)
        if float(np.abs(step).max()) < _CONVERGED_M:
            break
    return state.impulses_m, cost


def _costs(state: State, linear: Linear, arrivals: Arrivals, known: Precisions, variance_m2: FloatArray) -> FloatArray:
    square = (_STUDENT_NU + 1.0) * np.log1p(linear.residual_m**2 / (_STUDENT_NU * variance_m2))
    heard = np.bincount(arrivals.impulse, weights=square, minlength=len(state.impulses_m))
    result: FloatArray = heard + (known.impulses * (state.impulses_m - known.impulses_m) ** 2).sum(axis=1)
    return result


def _instant_m(place_m: FloatArray, impulse: Impulse, nodes_m: FloatArray, air_mps: FloatArray) -> float:
    nodes, air = nodes_m[list(impulse.nodes)], air_mps[impulse.air]
    travel_s = travel_time_s(
        place_m, nodes[:, :3], speed_of_sound_mps=float(air[0]), wind_mps=np.array([air[1], air[2], 0.0])
    )
    return float(np.median(SCALE_MPS * (np.array(impulse.arrival_s) - travel_s) - nodes[:, 3]))


def _located(
    nodes_m: FloatArray,
    node_sigma_s: FloatArray,
    air_mps: FloatArray,
    impulses: Sequence[Impulse],
    path_sigma_s: float,
) -> _Places:
    """Return where each unknown impulse may have been, the likeliest first."""
    places: _Places = [[] for _ in impulses]
    for air in range(len(air_mps)):
        mine = [index for index, impulse in enumerate(impulses) if impulse.air == air and not is_known(impulse)]
        if not mine:
            continue
        sigma_s = math.hypot(path_sigma_s, float(np.median(node_sigma_s)))
        fixes = locate_batch(
            ArrivalBatch.of([_arrivals(impulses[index], nodes_m) for index in mine]),
            weather=_weather(air_mps[air]),
            settings=replace(LocateSettings(), path_sigma_s=sigma_s),
        )
        for number, index in enumerate(mine):
            if fixes.located[number]:
                x_m, y_m = fixes.place_m[number].tolist()
                others = [(x, y) for x, y, _, weight in fixes.roots[number, 1:].tolist() if not math.isnan(weight)]
                places[index] = [(x_m, y_m), *others]
            elif isinstance(found := fixes.result(number), NoLocation):
                places[index] = [(root.x_m, root.y_m) for root in found.roots]
    return places


def _arrivals(impulse: Impulse, nodes_m: FloatArray) -> list[Arrival]:
    origin_s = min(impulse.arrival_s)
    return [
        Arrival(
            uid=DetectionId(f"node-{node}", 0, 0),
            site=Site(f"node-{node}", float(nodes_m[node, 0]), float(nodes_m[node, 1]), float(nodes_m[node, 2])),
            time_ns=round((time_s - origin_s - float(nodes_m[node, 3]) / SCALE_MPS) * NS_PER_S),
            sigma_s=sigma_s,
        )
        for node, time_s, sigma_s in zip(impulse.nodes, impulse.arrival_s, impulse.sigma_s, strict=True)
    ]


def _weather(air_mps: FloatArray) -> Weather:
    speed_mps, east, north = (float(value) for value in air_mps)
    return Weather(
        temperature_c=CELSIUS_ZERO_K * ((speed_mps / SPEED_OF_SOUND_0C_MPS) ** 2 - 1.0),
        wind_speed_mps=math.hypot(east, north),
        wind_from_deg=math.degrees(math.atan2(-east, -north)) % 360.0,
    )
