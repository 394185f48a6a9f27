"""Compile the hot loops ahead: ``python -m fusion_server.warm``, once after an installation; a server does it at start.

The machine code is kept on disk, so it takes its tens of seconds only once; else the first shot would wait for it.
"""

from __future__ import annotations

import numpy as np

from fusion_server.engine import FusionEngine
from fusion_server.netcheck import CheckedArrival, CheckedShot, NetworkCheck
from fusion_server.registry import Registry
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["warm_up"]

_NODES_M = ((0.0, 0.0, 6.0), (500.0, 0.0, 9.0), (500.0, 500.0, 6.0), (0.0, 500.0, 7.0), (250.0, 620.0, 6.0))
_PLACES_M = ((220.0, 180.0), (700.0, 260.0))
"""One inside the nodes, one outside, whose region takes other code."""
_JUDGED = 41


def warm_up() -> int:
    """Put two made-up shots through an engine of its own; return how many incidents it told."""
    weather = Weather()
    sites = [Site(f"n{number}", *place_m) for number, place_m in enumerate(_NODES_M)]
    engine = FusionEngine(registry=Registry(sites), weather=WeatherTimeline.constant(weather))
    told = 0
    for shot, place_m in enumerate(_PLACES_M):
        for site in sites:
            travel_s = travel_time_s(
                np.array(place_m),
                np.array([site.x_m, site.y_m]),
                speed_of_sound_mps=weather.speed_of_sound_mps,
                wind_mps=np.zeros(2),
            )
            engine.add(_detection(site.node, shot, (60 + 30 * shot) * NS_PER_S + ns_from_seconds(float(travel_s))))
        told += len(engine.advance_to((80 + 30 * shot) * NS_PER_S))
    _warm_network_check(sites, weather)
    return told


def _warm_network_check(sites: list[Site], weather: Weather) -> None:
    """Let a made-up network judge itself by so many shots that all of its code is used."""
    check = NetworkCheck(sites)
    places_m = np.array(_PLACES_M[:1]) + 40.0 * np.arange(_JUDGED)[:, None] % 200.0
    for shot, place_m in enumerate(places_m):
        begin_ns = (60 + 100 * shot) * NS_PER_S
        away_m = np.hypot(*(np.array(_NODES_M)[:, :2] - place_m).T)
        arrivals = [
            CheckedArrival(site.node, begin_ns + ns_from_seconds(float(range_m) / 340.0), level_db=60.0)
            for site, range_m in zip(sites, away_m, strict=True)
        ]
        expected = {site.node: 0.9 for site in sites}
        x_m, y_m = place_m.tolist()
        check.add(CheckedShot(begin_ns, x_m, y_m, 0.0, 5.0, weather, tuple(arrivals), expected))


def _detection(node: str, sequence: int, arrival_time_ns: int) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=arrival_time_ns,
        arrival_sigma_ns=100_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=-10.0,
        level_reference=LevelReference.DBFS,
        snr_db=30.0,
        rise_time_s=0.0005,
        model_id="",
    )


if __name__ == "__main__":
    warm_up()
