"""Where a self-survey begins: each impulse where the locator puts it with the nodes as they were surveyed. Pure."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fusion_server.locate import LocateSettings, locate
from shotline.atmosphere import SPEED_OF_SOUND_0C_MPS, Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.propagation import travel_time_s
from shotline.units import CELSIUS_ZERO_K, NS_PER_S
from shotline_calibration.self_survey.equations import SCALE_MPS, State
from shotline_calibration.self_survey.problem import AirPrior, Impulse, NodePrior, SurveySettings

__all__ = ["start_state"]


def start_state(
    nodes: list[NodePrior], impulses: list[Impulse], airs: list[AirPrior], settings: SurveySettings
) -> tuple[State, NDArray[np.bool_]]:
    """Return the state to begin with, and for which impulses there is a place in it."""
    node_m = np.array([(node.x_m, node.y_m, node.z_m, 0.0) for node in nodes])
    air_mps = np.array([(air.speed_mps, *air.wind_mps) for air in airs])
    impulse_m = np.zeros((len(impulses), 4))
    started = np.zeros(len(impulses), dtype=bool)
    for index, impulse in enumerate(impulses):
        air = airs[impulse.air]
        known = impulse.place_m is not None and all(math.isfinite(sigma) for sigma in impulse.place_sigma_m[:2])
        place = impulse.place_m if known else _located(impulse, nodes, air, settings)
        if place is None:
            continue
        impulse_m[index, :3] = place
        travel_s = travel_time_s(
            impulse_m[index, :3],
            node_m[list(impulse.nodes), :3],
            speed_of_sound_mps=air.speed_mps,
            wind_mps=np.array([*air.wind_mps, 0.0]),
        )
        impulse_m[index, 3] = SCALE_MPS * float(np.median(np.array(impulse.arrival_s) - travel_s))
        started[index] = True
    return State(node_m, air_mps, impulse_m), started


def _located(
    impulse: Impulse, nodes: list[NodePrior], air: AirPrior, settings: SurveySettings
) -> tuple[float, float, float] | None:
    clock_s = max(nodes[node].clock_sigma_s for node in impulse.nodes)
    survey_s = max(nodes[node].sigma_m for node in impulse.nodes) / air.speed_mps
    path_sigma_s = math.hypot(settings.path_sigma_s, clock_s, survey_s)
    origin_s = min(impulse.arrival_s)
    arrivals = [
        Arrival(
            uid=DetectionId(nodes[node].node, 0, 0),
            site=Site(nodes[node].node, nodes[node].x_m, nodes[node].y_m, nodes[node].z_m),
            time_ns=round((time_s - origin_s) * NS_PER_S),
            sigma_s=sigma_s,
        )
        for node, time_s, sigma_s in zip(impulse.nodes, impulse.arrival_s, impulse.sigma_s, strict=True)
    ]
    found = locate(arrivals, weather=_weather(air), settings=replace(LocateSettings(), path_sigma_s=path_sigma_s))
    if isinstance(found, Location):
        return found.x_m, found.y_m, settings.height_m
    if found.roots:
        best = max(found.roots, key=lambda root: root.weight)
        return best.x_m, best.y_m, settings.height_m
    return None


def _weather(air: AirPrior) -> Weather:
    temperature_c = CELSIUS_ZERO_K * ((air.speed_mps / SPEED_OF_SOUND_0C_MPS) ** 2 - 1.0)
    east, north = air.wind_mps
    return Weather(
        temperature_c=temperature_c,
        wind_speed_mps=math.hypot(east, north),
        wind_from_deg=math.degrees(math.atan2(-east, -north)) % 360.0,
    )
