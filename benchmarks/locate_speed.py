"""Microseconds a locate, single and batched, beside scipy's least squares on the same problems in the same run.

    python benchmarks/locate_speed.py [--runs 15] [--out benchmarks/results/locate_speed]

Nodes at random in 1.5 km x 1.5 km, a shot among them, 3 ms of noise on every arrival. *Single* is `locate`, arrivals
in and a `Location` out; *batched* is `locate_batch`, columns in and columns out; what it costs to make the columns from
arrivals and the `Location`s from columns stands beside it. All that is over the shots whose error an ellipse tells: the
others, mostly of few nodes and seen from outside, get a region as well, and are timed by themselves.

Each figure is the median over runs of the mean processor time of a shot in a run, one thread: what else the machine
does lengthens the wall time, not that.

scipy has one start, at the centroid, and finds no covariance, no verdicts and no second root: it is a yardstick for the
machine, not a rival. Once as one calls it first (differences for derivatives), once at its fastest (MINPACK with the
Jacobian given).

The first call of a process compiles, or loads what an earlier process compiled; both are timed in processes of their
own, in an empty folder for the machine code. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import write_results
from scipy.optimize import least_squares

from fusion_server.locate import ArrivalBatch, locate, locate_batch
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_replay.report import describe_software

NODES = (4, 6, 10, 20)
PROBLEMS = 200
NOISE_S = 0.003
EPOCH_NS = 1_700_000_000 * NS_PER_S
WEATHER = Weather(temperature_c=10.0)
RESULTS = Path(__file__).resolve().parent / "results" / "locate_speed"

_FIRST_CALL = """
import sys, time
import numba
import fusion_server.compiled
numba.config.CACHE_DIR = sys.argv[1]
started_s = time.process_time()
from fusion_server.locate import locate
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Site
imported_s = time.process_time()
heard = [
    Arrival(DetectionId(name, 0, 0), Site(name, x_m, y_m), 1_700_000_000_000_000_000 + time_ns)
    for name, x_m, y_m, time_ns in (("a", 0.0, 0.0, 0), ("b", 500.0, 0.0, 1_400_000_000),
                                    ("c", 0.0, 500.0, 5_000_000), ("d", 500.0, 500.0, 1_405_000_000))
]
locate(heard, weather=Weather())
print(imported_s - started_s, time.process_time() - imported_s)
"""
"""Imports, then one shot outside the nodes, so that the region is compiled too."""


def problems(nodes: int, rng: np.random.Generator) -> list[list[Arrival]]:
    """Return shots heard by so many nodes."""
    made = []
    for _ in range(PROBLEMS):
        sites = rng.uniform(0.0, 1500.0, (nodes, 2))
        place = rng.uniform(400.0, 1100.0, 2)
        delays = np.hypot(*(sites - place).T) / WEATHER.speed_of_sound_mps + rng.normal(0.0, NOISE_S, nodes)
        made.append(
            [
                Arrival(DetectionId(f"n{i}", 0, 0), Site(f"n{i}", x, y), EPOCH_NS + ns_from_seconds(delay))
                for i, ((x, y), delay) in enumerate(zip(sites, delays, strict=True))
            ]
        )
    return made


def by_scipy(arrivals: list[Arrival], *, fastest: bool) -> NDArray[np.float64]:
    """Return position and range offset, solved for with one start."""
    sites = np.array([(item.site.x_m, item.site.y_m) for item in arrivals])
    ranges = np.array([item.time_ns - arrivals[0].time_ns for item in arrivals]) / NS_PER_S
    ranges *= WEATHER.speed_of_sound_mps
    start = np.array([*sites.mean(axis=0), 0.0])

    def residual_m(unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        x_m, y_m = (unknown[:2] - sites).T
        return np.asarray(np.sqrt(x_m * x_m + y_m * y_m) + unknown[2] - ranges)

    def jacobian(unknown: NDArray[np.float64]) -> NDArray[np.float64]:
        slopes = np.ones((len(sites), 3))
        away = unknown[:2] - sites
        slopes[:, :2] = away / np.sqrt((away * away).sum(axis=1))[:, None]
        return slopes

    found = least_squares(residual_m, start, jac=jacobian, method="lm") if fastest else least_squares(residual_m, start)
    return np.asarray(found.x)


def median_us(work: Callable[[], object], *, shots: int, runs: int) -> float:
    """Return the median over runs of the microseconds a shot; one more run goes before, not counted."""
    work()
    times_s = []
    for _ in range(runs):
        started_s = time.process_time()
        work()
        times_s.append(time.process_time() - started_s)
    return round(statistics.median(times_s) / shots * 1e6, 2)


def row(nodes: int, *, rng: np.random.Generator, runs: int) -> dict[str, Any]:
    """Return the figures at one number of nodes."""
    made = problems(nodes, rng)
    fixes = locate_batch(ArrivalBatch.of(made), weather=WEATHER)
    if [isinstance(locate(shot, weather=WEATHER), Location) for shot in made] != fixes.located.tolist():
        raise SystemExit("single and batched do not locate the same shots; they should")
    plain = [shot for shot, bent, found in zip(made, fixes.bent, fixes.located, strict=True) if found and not bent]
    bent = [shot for shot, bent in zip(made, fixes.bent, strict=True) if bent]
    columns = ArrivalBatch.of(plain)
    found = locate_batch(columns, weather=WEATHER)

    def us(work: Callable[[], object]) -> float:
        return median_us(work, shots=len(plain), runs=runs)

    figures: dict[str, Any] = {
        "nodes": nodes,
        "refused": int((~fixes.located).sum()),
        "with_region": len(bent),
        "locate_us": us(lambda: [locate(shot, weather=WEATHER) for shot in plain]),
        "batch_us": us(lambda: locate_batch(columns, weather=WEATHER)),
        "columns_from_arrivals_us": us(lambda: ArrivalBatch.of(plain)),
        "locations_from_columns_us": us(lambda: [found.result(shot) for shot in range(len(plain))]),
        "scipy_us": us(lambda: [by_scipy(shot, fastest=False) for shot in plain]),
        "scipy_fastest_us": us(lambda: [by_scipy(shot, fastest=True) for shot in plain]),
    }
    for ours in ("locate", "batch"):
        for rival in ("scipy", "scipy_fastest"):
            figures[f"{ours}_over_{rival}"] = round(figures[f"{ours}_us"] / figures[f"{rival}_us"], 3)
    if bent:
        columns_of_bent = ArrivalBatch.of(bent)
        figures["locate_with_region_us"] = median_us(
            lambda: [locate(shot, weather=WEATHER) for shot in bent], shots=len(bent), runs=min(runs, 3)
        )
        figures["batch_with_region_us"] = median_us(
            lambda: locate_batch(columns_of_bent, weather=WEATHER), shots=len(bent), runs=min(runs, 3)
        )
    return figures


def first_call() -> dict[str, float]:
    """Return the seconds of the first locate of a process, machine code to be made and machine code there."""
    made = {}
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as folder:
        for name in ("compiling", "compiled_before"):
            said = subprocess.run(
                [sys.executable, "-c", _FIRST_CALL, folder], check=True, capture_output=True, text=True
            ).stdout.split()
            made[f"import_{name}_s"], made[f"first_locate_{name}_s"] = (round(float(value), 2) for value in said)
    return made


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    first, rows = document["first_call"], document["rows"]
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    columns = (
        "nodes",
        "locate",
        "locate_batch",
        "arrivals to columns",
        "columns to locations",
        "scipy",
        "scipy, fastest",
        "locate / scipy",
        "batch / scipy",
        "locate / fastest",
        "batch / fastest",
    )
    speed = "\n".join(
        f"| {row['nodes']} | {row['locate_us']:.0f} | {row['batch_us']:.1f} | {row['columns_from_arrivals_us']:.1f} | "
        f"{row['locations_from_columns_us']:.1f} | {row['scipy_us']:.0f} | {row['scipy_fastest_us']:.0f} | "
        f"{row['locate_over_scipy']:.3f} | {row['batch_over_scipy']:.3f} | {row['locate_over_scipy_fastest']:.3f} | "
        f"{row['batch_over_scipy_fastest']:.3f} |"
        for row in rows
    )
    regions = "\n".join(
        f"| {row['nodes']} | {row['with_region']} of {document['problems']} | "
        + (
            f"{row['locate_with_region_us'] / 1e3:.1f} | {row['batch_with_region_us'] / 1e3:.1f} |"
            if row["with_region"]
            else " | |"
        )
        for row in rows
    )
    return f"""# Speed of the locator

Commit {commit}. Made by `python benchmarks/locate_speed.py --runs {document["runs"]}`. Microseconds of one thread a
shot, median of {document["runs"]} runs over {document["problems"]} shots, less those that get a region.

| {" | ".join(columns)} |
|{"---:|" * len(columns)}
{speed}

scipy's is one start without covariance, verdicts or second root; *fastest* is MINPACK with the Jacobian.

Shots whose error an ellipse does not tell get a region; milliseconds for each of those:

| nodes | shots | locate, outline included | locate_batch, cells only |
|---:|---:|---:|---:|
{regions}

First locate of a process, region included: {first["first_locate_compiling_s"]:.1f} s of processor time where it has to
be compiled, {first["first_locate_compiled_before_s"]:.2f} s where an earlier process has done that.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    software = describe_software()
    document = {
        "benchmark": "locate_speed",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "runs": arguments.runs,
        "problems": PROBLEMS,
        "noise_s": NOISE_S,
        "first_call": first_call(),
        "rows": [row(nodes, rng=rng, runs=arguments.runs) for nodes in NODES],
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
