"""A small city for replay tests: eight nodes, a single shot, a burst of three and clutter, all from one seed."""

from __future__ import annotations

import math

import numpy as np

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.messages import Detection, LevelReference
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Dataset, PulseSet, Scene, TruthEvent

START_NS = parse_utc("2026-03-14T21:30:00Z")
AIR = Weather(temperature_c=12.0)
PLACES = {
    "n1": (0.0, 0.0),
    "n2": (420.0, 30.0),
    "n3": (810.0, -20.0),
    "n4": (10.0, 430.0),
    "n5": (400.0, 390.0),
    "n6": (790.0, 410.0),
    "n7": (30.0, 800.0),
    "n8": (410.0, 820.0),
}
EVENTS = {"single": ((300.0, 200.0), (5.0,)), "burst": ((560.0, 520.0), (70.0, 70.4, 70.9))}
CLUTTER = 12
PATH_SIGMA_S = 0.003


def small_city(seed: int = 7) -> Dataset:
    """Return the dataset: recorded detections, pulse sets and exact truth; no sound."""
    rng = np.random.default_rng(seed)
    heard: list[tuple[int, str, str, int]] = []
    for event, ((x_m, y_m), times_s) in EVENTS.items():
        for number, time_s in enumerate(times_s):
            for node, place in PLACES.items():
                path_s = math.dist(place, (x_m, y_m)) / AIR.speed_of_sound_mps + abs(rng.normal(0.0, PATH_SIGMA_S))
                heard.append((START_NS + ns_from_seconds(time_s + path_s), node, event, number))
    for _ in range(CLUTTER):
        node = str(rng.choice(list(PLACES)))
        heard.append((START_NS + ns_from_seconds(float(rng.uniform(0.0, 80.0))), node, "", 0))
    detections: list[Detection] = []
    groups: dict[tuple[str, int], list[Detection]] = {}
    next_sequence = dict.fromkeys(PLACES, 0)
    for time_ns, node, event, number in sorted(heard):
        made = detection(node, next_sequence[node], time_ns)
        next_sequence[node] += 1
        detections.append(made)
        if event:
            groups.setdefault((event, number), []).append(made)
    scene = Scene(
        name="small-city",
        frame=None,
        sites=tuple(Site(node, x_m, y_m, 8.0, 0.5) for node, (x_m, y_m) in PLACES.items()),
        weather=WeatherTimeline.constant(AIR),
        detections=tuple(detections),
        pulse_sets=tuple(
            PulseSet(event, number, tuple(item.uid for item in group)) for (event, number), group in groups.items()
        ),
        truth=tuple(
            TruthEvent(
                event=event,
                x_m=x_m,
                y_m=y_m,
                z_m=1.5,
                sigma_m=0.0,
                rounds=len(times_s),
                shot_times_ns=tuple(START_NS + ns_from_seconds(time_s) for time_s in times_s),
                window_ns=(
                    START_NS + ns_from_seconds(times_s[0]) - NS_PER_S,
                    START_NS + ns_from_seconds(times_s[-1] + 5),
                ),
            )
            for event, ((x_m, y_m), times_s) in EVENTS.items()
        ),
    )
    return Dataset(name="small-city", licence="CC0", source="made by tests/unit/replay/small_city.py", scenes=(scene,))


def detection(node: str, sequence: int, time_ns: int) -> Detection:
    """Return one recorded detection."""
    return Detection(
        node=node,
        boot=11,
        sequence=sequence,
        arrival_time_ns=time_ns,
        arrival_sigma_ns=200_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=85.0,
        level_reference=LevelReference.DB_SPL,
        snr_db=22.0,
        rise_time_s=0.0005,
        model_id="made-up",
    )
