"""A simulated network with exact truth: who hears what, when."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.registry import Registry
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Incident, IncidentState, Site
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds

START_NS = 1_800_000_000 * NS_PER_S


class Network:
    """Nodes on a jittered grid, and the detections that shots make at them."""

    def __init__(self, *, side: int = 4, spacing_m: float = 220.0, weather: Weather | None = None) -> None:
        rng = np.random.default_rng(7)
        self.weather = weather or Weather(temperature_c=12.0)
        self.sites = tuple(
            Site(
                f"n{row}{column}",
                float(column * spacing_m + rng.uniform(-40, 40)),
                float(row * spacing_m + rng.uniform(-40, 40)),
                sigma_m=0.1,
            )
            for row in range(side)
            for column in range(side)
        )
        self._sequence: dict[str, int] = {}

    def engine(self, *, assume_listening: bool = True, settings: FusionSettings | None = None) -> FusionEngine:
        return FusionEngine(
            registry=Registry(self.sites),
            weather=WeatherTimeline.constant(self.weather),
            settings=settings,
            assume_listening=assume_listening,
        )

    def detection(self, site: Site, time_ns: int, *, snr_db: float = 30.0, **changes: object) -> Detection:
        sequence = self._sequence.get(site.node, 0)
        self._sequence[site.node] = sequence + 1
        fields: dict[str, object] = {
            "node": site.node,
            "boot": 1,
            "sequence": sequence,
            "arrival_time_ns": time_ns,
            "arrival_sigma_ns": 100_000,
            "clock_state": ClockState.PPS,
            "probabilities_bp": (),
            "peak_level_db": 80.0,
            "level_reference": LevelReference.DB_SPL,
            "snr_db": snr_db,
            "rise_time_s": 0.001,
            "model_id": "test",
        }
        return Detection(**(fields | changes))  # type: ignore[arg-type]

    def shot(
        self,
        x_m: float,
        y_m: float,
        at_s: float,
        *,
        rng: np.random.Generator,
        path_sigma_s: float = 0.002,
        range_m: float = 700.0,
        echoes: int = 0,
        path_s: np.ndarray | None = None,
    ) -> list[Detection]:
        """Return the detections of one shot, with ``echoes`` weaker later arrivals at each node."""
        sites_m = np.array([(site.x_m, site.y_m) for site in self.sites])
        travel = travel_time_s(
            np.array([x_m, y_m]),
            sites_m,
            speed_of_sound_mps=self.weather.speed_of_sound_mps,
            wind_mps=np.array(self.weather.wind_enu_mps),
        )
        delays = rng.normal(0.0, path_sigma_s, len(self.sites)) if path_s is None else path_s
        made = []
        for site, travel_s, delay_s in zip(self.sites, travel, delays, strict=True):
            distance_m = math.hypot(site.x_m - x_m, site.y_m - y_m)
            if distance_m > range_m:
                continue
            snr_db = 60.0 - 20.0 * math.log10(max(distance_m, 10.0) / 10.0)
            times_s = [at_s + travel_s + delay_s]
            times_s += [times_s[0] + echo_s for echo_s in rng.uniform(0.08, 0.9, echoes)]
            for index, time_s in enumerate(times_s):
                weaker_db = 0.0 if index == 0 else rng.uniform(3.0, 12.0)
                made.append(self.detection(site, START_NS + ns_from_seconds(time_s), snr_db=snr_db - weaker_db))
        return made


@pytest.fixture
def network() -> Network:
    return Network()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20261123)


def play(engine: FusionEngine, detections: Sequence[Detection], *, step_s: float = 0.2) -> list[Incident]:
    """Feed detections as their time comes and return every revision told."""
    told: list[Incident] = []
    step_ns = ns_from_seconds(step_s)
    ordered = sorted(detections, key=lambda item: (item.arrival_time_ns, item.uid))
    now_ns = ordered[0].arrival_time_ns // step_ns * step_ns
    for detection in ordered:
        while now_ns + step_ns < detection.arrival_time_ns:
            now_ns += step_ns
            told += engine.advance_to(now_ns)
        engine.add(detection)
    told += engine.finish()
    return told


def last_of_each(told: Iterable[Incident]) -> list[Incident]:
    """Return the last revision of each incident that was not taken back."""
    last = {incident.incident_id: incident for incident in told}.values()
    return [incident for incident in last if incident.state is not IncidentState.RETRACTED]
