"""PyOcto as an associator of pulses, for `benchmarks/peers.py`: all pulses of a test in, shots out.

A gunshot is an earthquake with P waves only, at the speed of sound, at depth 0, over some kilometres. Every setting
that matters at this scale is given; the rest are PyOcto's own. The settings are the best of those that were tried on
the very recordings they are judged on, which flatters PyOcto.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from peer_solvers import Problem, by_many_starts, heard_of

from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival
from shotline.records import EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Scene
from shotline_recordings.superpose import one_event

__all__ = ["SETTINGS", "PyOctoSettings", "pyocto_incidents"]


@dataclass(frozen=True, slots=True)
class PyOctoSettings:
    """What is given to PyOcto, in its own words; its unit of length is the kilometre. Defaults: the best of about 30.

    Parameters
    ----------
    tolerance, pick_match_tolerance : float
        Seconds.
    min_node_size, min_node_size_location : float
        Kilometres.
    n_picks : int
    min_interevent_time : float
        Seconds.
    min_pick_fraction : float
    margin : float
        How far the search space reaches beyond the sites, kilometres.
    """

    tolerance: float = 0.06
    pick_match_tolerance: float = 0.03
    min_node_size: float = 0.05
    min_node_size_location: float = 0.005
    n_picks: int = 9
    min_interevent_time: float = 0.2
    min_pick_fraction: float = 0.7
    margin: float = 0.3


SETTINGS = PyOctoSettings()


def pyocto_incidents(scene: Scene, *, settings: PyOctoSettings, relocated: bool) -> list[IncidentRecord]:
    """Return what PyOcto makes of each test of a scene alone, one incident for each of its events.

    Parameters
    ----------
    scene : Scene
    settings : PyOctoSettings
    relocated : bool
        Whether an event is located again, from its picks by least squares with many starts, or as PyOcto has it.
    """
    made: list[IncidentRecord] = []
    for truth in scene.truth:
        made += _of_test(one_event(scene, truth.event), scene.name, settings=settings, relocated=relocated)
    return made


def _of_test(test: Scene, name: str, *, settings: PyOctoSettings, relocated: bool) -> list[IncidentRecord]:
    import pandas as pd
    from pyocto import OctoAssociator, VelocityModel0D

    registry = Registry(test.sites)
    arrivals = [item for item in map(registry.arrival, test.detections) if item is not None]
    if not arrivals:
        return []
    start_ns = arrivals[0].time_ns
    weather = test.weather.at(start_ns)
    speed_kmps = weather.speed_of_sound_mps / 1000.0
    sites_km = np.array([(site.x_m, site.y_m) for site in test.sites]) / 1000.0
    low, high = sites_km.min(axis=0) - settings.margin, sites_km.max(axis=0) + settings.margin
    associator = OctoAssociator(
        xlim=(float(low[0]), float(high[0])),
        ylim=(float(low[1]), float(high[1])),
        zlim=(0.0, 0.001),
        velocity_model=VelocityModel0D(
            p_velocity=speed_kmps, s_velocity=speed_kmps / 2.0, tolerance=settings.tolerance
        ),
        time_before=float(np.hypot(*(high - low))) / speed_kmps,
        min_node_size=settings.min_node_size,
        min_node_size_location=settings.min_node_size_location,
        pick_match_tolerance=settings.pick_match_tolerance,
        min_interevent_time=settings.min_interevent_time,
        min_pick_fraction=settings.min_pick_fraction,
        n_picks=settings.n_picks,
        n_p_picks=settings.n_picks,
        n_s_picks=0,
        n_p_and_s_picks=0,
        n_threads=1,
    )
    picks = pd.DataFrame(
        {
            "station": [item.site.node for item in arrivals],
            "phase": "P",
            "time": [(item.time_ns - start_ns) / NS_PER_S for item in arrivals],
        }
    )
    stations = pd.DataFrame(
        {"id": [site.node for site in test.sites], "x": sites_km[:, 0], "y": sites_km[:, 1], "z": 0.0}
    )
    events, assignments = associator.associate(picks, stations)
    made = []
    for _, event in events.iterrows():
        chosen = [arrivals[row] for row in assignments.loc[assignments["event_idx"] == event["idx"], "pick_idx"]]
        x_m, y_m, time_s = 1000.0 * event["x"], 1000.0 * event["y"], float(event["time"])
        if relocated:
            x_m, y_m, time_s = _relocated(chosen, start_ns, weather)
        made.append(_incident(name, f"{test.name}-{event['idx']}", x_m, y_m, start_ns + ns_from_seconds(time_s)))
    return made


def _relocated(arrivals: Sequence[Arrival], start_ns: int, weather: Weather) -> tuple[float, float, float]:
    heard = heard_of(Problem(tuple(arrivals), weather))
    place = by_many_starts(heard)
    if place is None:
        raise ValueError(f"{len(arrivals)} picks without a place")
    first_s = (min(item.time_ns for item in arrivals) - start_ns) / NS_PER_S
    distance_m = np.hypot(*(heard.sites_m - place).T)
    return *place, first_s + float(np.mean(heard.delays_s - distance_m / heard.speed_of_sound_mps))


def _incident(scene: str, identity: str, x_m: float, y_m: float, time_ns: int) -> IncidentRecord:
    """Return one shot in the words that `shotline_recordings.score` reads; PyOcto states no error."""
    text, none = format_utc(time_ns, digits=9), ((0.0, 0.0), (0.0, 0.0))
    ellipse = EllipseRecord(semi_major_m=0.0, semi_minor_m=0.0, orientation_deg=0.0)
    shot = ShotRecord(
        time_utc=text,
        x_m=x_m,
        y_m=y_m,
        covariance_m2=none,
        ellipse95=ellipse,
        cep50_m=0.0,
        cep95_m=0.0,
        gdop=0.0,
        rms_residual_s=0.0,
        probability=1.0,
        arrivals=(),
    )
    return IncidentRecord(
        id=identity,
        revision=1,
        state="final",
        time_utc=text,
        last_time_utc=text,
        as_of_utc=text,
        rounds=1,
        x_m=x_m,
        y_m=y_m,
        covariance_m2=none,
        ellipse95=ellipse,
        cep50_m=0.0,
        cep95_m=0.0,
        probability=1.0,
        shots=(shot,),
        notice="",
        scene=scene,
    )
