"""Microseconds a locate, beside scipy's least squares on the same problems in the same run.

    python benchmarks/locate_speed.py [--batches 15] [--out benchmarks/results/locate_speed.json]

Nodes at random in 1.5 km x 1.5 km, a shot among them, 3 ms of noise on every arrival. Each figure is the median over
batches of the mean time in a batch, so that other work on the machine does not show. scipy has one start, at the
centroid, and finds no covariance, no verdicts and no second root: it is a yardstick for the machine, not a rival.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.optimize import least_squares

from fusion_server.locate import locate
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_replay.report import describe_software

NODES = (4, 6, 10, 20)
PROBLEMS = 40
EPOCH_NS = 1_700_000_000 * NS_PER_S
WEATHER = Weather(temperature_c=10.0)
RESULTS = Path(__file__).resolve().parent / "results" / "locate_speed.json"


def problems(nodes: int, rng: np.random.Generator) -> list[list[Arrival]]:
    """Return shots heard by so many nodes."""
    made = []
    for _ in range(PROBLEMS):
        sites = rng.uniform(0.0, 1500.0, (nodes, 2))
        place = rng.uniform(400.0, 1100.0, 2)
        delays = np.hypot(*(sites - place).T) / WEATHER.speed_of_sound_mps + rng.normal(0.0, 0.003, nodes)
        made.append(
            [
                Arrival(DetectionId(f"n{i}", 0, 0), Site(f"n{i}", x, y), EPOCH_NS + ns_from_seconds(delay))
                for i, ((x, y), delay) in enumerate(zip(sites, delays, strict=True))
            ]
        )
    return made


def by_scipy(arrivals: list[Arrival]) -> None:
    """Solve for position and instant with one start."""
    sites = np.array([(item.site.x_m, item.site.y_m) for item in arrivals])
    ranges = np.array([item.time_ns - arrivals[0].time_ns for item in arrivals]) / NS_PER_S
    ranges *= WEATHER.speed_of_sound_mps
    centre = sites.mean(axis=0)

    def residual_m(unknown: np.ndarray) -> np.ndarray:
        return np.hypot(*(sites - unknown[:2]).T) + unknown[2] - ranges

    least_squares(residual_m, np.array([*centre, 0.0]))


def by_shotline(arrivals: list[Arrival]) -> None:
    """Locate with everything that comes with it."""
    if not isinstance(locate(arrivals, weather=WEATHER), Location):
        raise SystemExit("a benchmark problem was refused; it should not be")


def microseconds(solve: Callable[[list[Arrival]], None], work: list[list[Arrival]], *, batches: int) -> float:
    """Return the median over batches of the mean time of one solution."""
    means = []
    for arrivals in work[:3]:
        solve(arrivals)
    for _ in range(batches):
        started_s = time.perf_counter()
        for arrivals in work:
            solve(arrivals)
        means.append((time.perf_counter() - started_s) / len(work) * 1e6)
    return statistics.median(means)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    rows = []
    sys.stdout.write("nodes   locate   scipy   ratio\n")
    for nodes in NODES:
        work = problems(nodes, rng)
        ours_us = microseconds(by_shotline, work, batches=arguments.batches)
        scipy_us = microseconds(by_scipy, work, batches=arguments.batches)
        rows.append(
            {
                "nodes": nodes,
                "locate_us": round(ours_us, 1),
                "scipy_us": round(scipy_us, 1),
                "ratio_to_scipy": round(ours_us / scipy_us, 3),
            }
        )
        sys.stdout.write(f"{nodes:5} {ours_us:5.0f} us {scipy_us:4.0f} us  {ours_us / scipy_us:.2f}\n")
    software = describe_software()
    document = {
        "benchmark": "locate_speed",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "batches": arguments.batches,
        "problems_per_batch": PROBLEMS,
        "rows": rows,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
