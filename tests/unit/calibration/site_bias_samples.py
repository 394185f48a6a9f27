"""A small network whose survey is off, and sounds from known places that it heard."""

from __future__ import annotations

import numpy as np

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Dataset, PulseSet, Scene, TruthEvent

START_NS = 1_800_000_000 * NS_PER_S
WEATHER = Weather(temperature_c=12.0, temperature_sigma_c=0.5, wind_sigma_mps=0.3)


def made_up(*, moved_m: float, scatter_s: float = 0.0003, places: int = 12, rounds: int = 2, seed: int = 5) -> Dataset:
    """Return a dataset of one scene: ten nodes, surveyed ``moved_m`` off, and rounds fired at known places."""
    rng = np.random.default_rng(seed)
    at_m = np.column_stack([rng.uniform(-400.0, 400.0, (10, 2)), np.full(10, 8.0)])
    surveyed_m = at_m + np.column_stack([rng.normal(0.0, moved_m, (10, 2)), np.zeros(10)])
    sites = tuple(
        Site(f"n{number}", float(x_m), float(y_m), 8.0, sigma_m=0.5) for number, (x_m, y_m, _) in enumerate(surveyed_m)
    )
    detections: list[Detection] = []
    groups, truth = [], []
    for place in range(places):
        x_m, y_m = rng.uniform(-300.0, 300.0, 2).tolist()
        late_s = rng.normal(0.0, scatter_s, len(sites))
        for index in range(rounds):
            event = f"shot-{place}-{index}"
            fired_s = 60.0 * place + 5.0 * index
            took_s = travel_time_s(
                np.array([x_m, y_m, 0.0]),
                at_m,
                speed_of_sound_mps=WEATHER.speed_of_sound_mps,
                wind_mps=np.zeros(3),
            )
            here = []
            for site, seconds in zip(sites, fired_s + took_s + late_s, strict=True):
                here.append(_detection(site.node, len(detections) + len(here) + 1, float(seconds)))
            detections += here
            groups.append(PulseSet(event, 0, tuple(item.uid for item in here)))
            fired_ns = START_NS + ns_from_seconds(fired_s)
            truth.append(
                TruthEvent(
                    event=event,
                    x_m=x_m,
                    y_m=y_m,
                    z_m=0.0,
                    sigma_m=0.3,
                    rounds=1,
                    shot_times_ns=(fired_ns,),
                    window_ns=(fired_ns, fired_ns + 4 * NS_PER_S),
                    kind="gunshot",
                    label="",
                )
            )
    scene = Scene(
        "here",
        None,
        sites,
        WeatherTimeline.constant(WEATHER),
        detections=tuple(sorted(detections, key=lambda item: (item.arrival_time_ns, item.node))),
        pulse_sets=tuple(groups),
        truth=tuple(truth),
    )
    return Dataset("made-up", "CC0-1.0", "made up", (scene,))


def _detection(node: str, sequence: int, seconds: float) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=START_NS + ns_from_seconds(seconds),
        arrival_sigma_ns=30_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9000, 200, 200, 200, 200, 200),
        peak_level_db=90.0,
        level_reference=LevelReference.DB_SPL,
        snr_db=40.0,
        rise_time_s=0.001,
        model_id="test",
    )
