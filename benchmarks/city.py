"""Fusion of a whole city on one core: 1,000 nodes in 100 km², each with ten impulses a second, and a few shots.

    python benchmarks/city.py                  # 100 and 1,000 nodes: a few minutes
    python benchmarks/city.py --quick          # 100 nodes, a few seconds of event time: does it run?

Writes benchmarks/results/city.json and city.md (``--quick`` writes neither). Nodes stand on a jittered grid, ten to a
square kilometre. Clutter is unclassified, at random times, with SNR above the detector's threshold spread
exponentially. Shots come at random places and times; nodes within their range hear them with probability 0.9, with
errors of path, and with weaker echoes behind. Every detection comes 50 to 500 ms after its sound.

Measured is the CPU time of this one process in ``FusionEngine.add`` and ``advance_to``, compilation apart. The
real-time factor is event time over CPU time: 1 or more keeps up on one core. The first four seconds are measured apart:
a server that has heard nothing yet takes the first impulse of every node for the breaking of a quiet.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusion_server.engine import FusionEngine
from fusion_server.registry import Registry
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Incident, IncidentState, Site
from shotline.messages import Detection, LevelReference
from shotline.units import NS_PER_S, ns_from_seconds

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
EPOCH_NS = 1_800_000_000 * NS_PER_S
NODES_PER_KM2 = 10.0
CLUTTER_HZ = 10.0
THRESHOLD_DB = 11.0
CLUTTER_SPREAD_DB = 5.0
SHOTS_PER_MIN = 6.0
DETECT_PROBABILITY = 0.9
PATH_SIGMA_S = 0.007
ECHOES = 3
FOUND_M = 25.0
FOUND_S = 0.12
STEP_S = 0.2
COLD_S = 4.0
JUST_SPOKE_NS = NS_PER_S // 2
HOLD_NS = 60 * NS_PER_S
SEED = 20261124


@dataclass(frozen=True)
class City:
    """What is fed, and the truth."""

    sites: list[Site]
    detections: list[tuple[int, Detection]]
    """With the event time at which the server has each, in that order."""
    shots: NDArray[np.float64]
    """Shape (n_shots, 3): x, y, seconds after the epoch."""


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    nodes: int
    event_s: float
    detections: int
    cpu_s: float
    real_time_factor: float
    us_per_detection: float
    longest_step_s: float
    cold_cpu_s: float
    cold_longest_step_s: float
    shots: int
    shots_found: int
    shots_false: int
    alerts_taken_back: int


def make_city(nodes: int, event_s: float, *, seed: int) -> City:
    """Return a city; everything in it follows from the seed."""
    rng = np.random.default_rng(seed)
    side = math.ceil(math.sqrt(nodes))
    spacing_m = 1000.0 / math.sqrt(NODES_PER_KM2)
    sites_m = np.array([(spacing_m * (i % side), spacing_m * (i // side)) for i in range(nodes)])
    sites_m += rng.uniform(-0.25 * spacing_m, 0.25 * spacing_m, sites_m.shape)
    sites = [Site(f"n{i:04}", float(x_m), float(y_m), sigma_m=1.0) for i, (x_m, y_m) in enumerate(sites_m)]
    heard: list[tuple[float, int, float]] = []
    for node in range(nodes):
        count = rng.poisson(CLUTTER_HZ * event_s)
        snr_db = THRESHOLD_DB + rng.exponential(CLUTTER_SPREAD_DB, count)
        heard += zip(rng.uniform(0.0, event_s, count), [node] * count, snr_db, strict=True)
    n_shots = max(1, round(SHOTS_PER_MIN * event_s / 60.0))
    shots = np.column_stack(
        [
            rng.uniform(sites_m.min(axis=0), sites_m.max(axis=0), (n_shots, 2)),
            rng.uniform(0.1 * event_s, event_s - 3.0, n_shots),
        ]
    )
    speed_mps = Weather().speed_of_sound_mps
    for x_m, y_m, at_s in shots:
        distance_m = np.hypot(*(sites_m - (x_m, y_m)).T)
        for node in np.flatnonzero(distance_m < rng.uniform(600.0, 1200.0)):
            if rng.uniform() > DETECT_PROBABILITY:
                continue
            snr_db = 70.0 - 20.0 * math.log10(max(distance_m[node], 10.0) / 10.0) + rng.normal(0.0, 3.0)
            time_s = at_s + distance_m[node] / speed_mps + rng.normal(0.0, PATH_SIGMA_S)
            heard.append((time_s, int(node), max(THRESHOLD_DB, snr_db)))
            for _ in range(ECHOES):
                echo_db = snr_db - rng.uniform(3.0, 15.0)
                if echo_db > THRESHOLD_DB:
                    heard.append((time_s + rng.uniform(0.05, 0.6), int(node), echo_db))
    detections = []
    for sequence, (time_s, node, snr_db) in enumerate(heard):
        time_ns = EPOCH_NS + ns_from_seconds(float(time_s))
        there_ns = time_ns + ns_from_seconds(float(rng.uniform(0.05, 0.5)))
        detections.append((there_ns, _detection(sites[node].node, sequence, time_ns, float(snr_db))))
    detections.sort(key=lambda item: (item[0], item[1].sequence))
    return City(sites, detections, shots)


def _detection(node: str, sequence: int, time_ns: int, snr_db: float) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=time_ns,
        arrival_sigma_ns=100_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=80.0,
        level_reference=LevelReference.DB_SPL,
        snr_db=snr_db,
        rise_time_s=0.001,
        model_id="none",
    )


def measure(nodes: int, event_s: float, *, seed: int) -> Figures:
    """Feed a city to an engine as event time passes; return the figures."""
    city = make_city(nodes, event_s, seed=seed)
    weather = WeatherTimeline.constant(Weather())
    engine = FusionEngine(registry=Registry(city.sites), weather=weather, assume_listening=False)
    step_ns, now_ns, place = ns_from_seconds(STEP_S), EPOCH_NS, 0
    told: list[Incident] = []
    cpu_s = longest_s = cold_cpu_s = cold_longest_s = 0.0
    before = 0
    while place < len(city.detections):
        started_s = time.process_time()
        now_ns += step_ns
        while place < len(city.detections) and city.detections[place][0] <= now_ns:
            detection = city.detections[place][1]
            # As the server does with whatever a node sends.
            engine.note_listening(detection.node, now_ns - JUST_SPOKE_NS, now_ns + HOLD_NS)
            engine.add(detection)
            place += 1
        told += engine.advance_to(now_ns)
        took_s = time.process_time() - started_s
        if now_ns <= EPOCH_NS + ns_from_seconds(COLD_S):
            cold_cpu_s, cold_longest_s, before = cold_cpu_s + took_s, max(cold_longest_s, took_s), place
        else:
            cpu_s, longest_s = cpu_s + took_s, max(longest_s, took_s)
    told += engine.finish()
    found, false = _score(city, told)
    return Figures(
        nodes=nodes,
        event_s=event_s,
        detections=len(city.detections),
        cpu_s=round(cpu_s, 2),
        real_time_factor=round((event_s - COLD_S) / cpu_s, 2),
        us_per_detection=round(1e6 * cpu_s / (len(city.detections) - before), 1),
        longest_step_s=round(longest_s, 3),
        cold_cpu_s=round(cold_cpu_s, 2),
        cold_longest_step_s=round(cold_longest_s, 3),
        shots=len(city.shots),
        shots_found=found,
        shots_false=false,
        alerts_taken_back=len({item.incident_id for item in told if item.state is IncidentState.RETRACTED}),
    )


def _score(city: City, told: list[Incident]) -> tuple[int, int]:
    """Return how many shots were found, and how many were reported that are none."""
    last = {incident.incident_id: incident for incident in told}.values()
    fixes = [
        (shot.location.x_m, shot.location.y_m, (shot.location.origin_time_ns - EPOCH_NS) / NS_PER_S)
        for incident in last
        if incident.state is not IncidentState.RETRACTED
        for shot in incident.shots
    ]
    open_shots = [tuple(shot) for shot in city.shots]
    false = 0
    for x_m, y_m, at_s in fixes:
        hits = [
            shot
            for shot in open_shots
            if math.hypot(shot[0] - x_m, shot[1] - y_m) <= FOUND_M and abs(shot[2] - at_s) <= FOUND_S
        ]
        if hits:
            open_shots.remove(hits[0])
        else:
            false += 1
    return len(city.shots) - len(open_shots), false


def markdown(rows: list[Figures], commit: str, machine: str) -> str:
    """Return the figures as a Markdown table."""
    about = (
        f"Commit {commit}; {machine}; seed {SEED}. Made by `python benchmarks/city.py`. {NODES_PER_KM2:g} nodes to a "
        f"square kilometre, {CLUTTER_HZ:g} impulses a second at each, unclassified; {SHOTS_PER_MIN:g} shots a minute "
        f"with {ECHOES} echoes at each node. CPU time of one process in add and advance_to."
    )
    heads = (
        "nodes|event time|detections|us a detection|real-time factor|longest step of 0.2 s"
        "|first 4 s: CPU|longest step|shots found|false|alerts taken back"
    )
    lines = ["# A city on one core", "", about, ""]
    lines += [f"| {heads.replace('|', ' | ')} |", "|---:" * 11 + "|"]
    lines += [
        f"| {row.nodes} | {row.event_s:g} s | {row.detections} | {row.us_per_detection:g} | {row.real_time_factor:g} "
        f"| {row.longest_step_s:g} s | {row.cold_cpu_s:g} s | {row.cold_longest_step_s:g} s "
        f"| {row.shots_found}/{row.shots} | {row.shots_false} | {row.alerts_taken_back} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="100 nodes, a few seconds")
    parser.add_argument("--event-s", type=float, default=60.0, help="event time of the measured run, seconds")
    parser.add_argument("--seed", type=int, default=SEED)
    arguments = parser.parse_args()
    # Whatever has to be compiled or loaded is, before anything is measured.
    measure(16, 6.0, seed=1)
    if arguments.quick:
        rows = [measure(100, 8.0, seed=arguments.seed)]
    else:
        rows = [measure(nodes, arguments.event_s, seed=arguments.seed) for nodes in (100, 1000)]
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    machine = f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores"
    text = markdown(rows, commit or "unknown", machine)
    if not arguments.quick:
        RESULTS.mkdir(parents=True, exist_ok=True)
        document = {
            "benchmark": "city",
            "commit": commit,
            "machine": machine,
            "seed": arguments.seed,
            "rows": [asdict(row) for row in rows],
        }
        (RESULTS / "city.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "city.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
