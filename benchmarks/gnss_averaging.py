"""How honest the error of averaged GNSS fixes is, and how soon a moved node is found, on simulated errors.

    python benchmarks/gnss_averaging.py [--runs 12] [--days 250] [--moves 12] [--jobs 1] [--out OUT]

Errors are sums of first-order Gauss-Markov processes with the time constants and sigmas named, and a constant of 1 m
per axis, drawn anew for each run: what no averaging removes. A receiver states what it states in `STATED_M`.

First `shotline calibrate position average`: mean NEES of the plane over its two degrees of freedom (1 is consistent,
below it careful), share of runs within the 95 % circle, the sigma said, the error found, and what one over the root of
the number of fixes would have said. Then the check ``place`` of a running node that has its survey record, with 0.5 m
more that comes back each sidereal day: false alarms over node-days, and hours until a move of 10 m is found that
happens 50 hours after the start. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from results_files import write_results
from scipy.signal import lfilter

from sensor_node.gpsd import Fix
from sensor_node.place import Place, PlaceKeeper, PlaceSettings, Position
from shotline.geodesy import LocalFrame
from shotline_calibration.position.average import Average, average_fixes
from shotline_replay.report import describe_software

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results" / "gnss_averaging"
HOME = (51.5, -0.12, 40.0)
START_NS = 1_796_069_600_000_000_000
ERRORS: dict[str, list[tuple[float, float]]] = {
    "1 min": [(60.0, 3.0)],
    "10 min": [(600.0, 3.0)],
    "30 min": [(1_800.0, 3.0)],
    "2 h": [(7_200.0, 3.0)],
    "6 h": [(21_600.0, 3.0)],
    "good": [(60.0, 0.5), (600.0, 0.7), (5_400.0, 0.7)],
    "usual": [(60.0, 1.0), (600.0, 1.5), (3_600.0, 1.5)],
    "slow": [(600.0, 1.0), (21_600.0, 2.0)],
    "poor": [(300.0, 3.0), (5_400.0, 4.0)],
}
STATED_M = {"good": 1.0, "poor": 5.0}
"""1-sigma per axis; 3 m for the others."""
HOURS = (0.25, 1.0, 4.0, 12.0, 24.0, 72.0)
WATCHED = ("good", "usual", "slow", "poor")
CIRCLE_95 = 5.991465
"""Quantile of the chi-squared distribution with two degrees of freedom."""

Floats = npt.NDArray[np.float64]


def errors_m(name: str, count: int, step_s: float, rng: np.random.Generator) -> Floats:
    """Return errors in east, north and up, shape (count, 3)."""
    total = np.tile(rng.normal(size=3), (count, 1))
    for time_s, sigma_m in ERRORS[name]:
        keep = math.exp(-step_s / time_s)
        drive = sigma_m * math.sqrt(1.0 - keep * keep) * rng.normal(size=(count, 3))
        drive[0] = sigma_m * rng.normal(size=3)
        total += lfilter([1.0], [1.0, -keep], drive, axis=0)
    return total


class Globe:
    """Metres about home as degrees, near enough: 1 mm in 1 km."""

    def __init__(self) -> None:
        frame = LocalFrame(*HOME)
        self._per_m = (frame.to_geodetic(0.0, 1_000.0)[0] - HOME[0], frame.to_geodetic(1_000.0, 0.0)[1] - HOME[1])

    def fixes(self, enu_m: Floats, step_s: float, stated_m: float) -> list[Fix]:
        """Return fixes at places."""
        lat_deg = HOME[0] + enu_m[:, 1] * self._per_m[0] / 1e3
        lon_deg = HOME[1] + enu_m[:, 0] * self._per_m[1] / 1e3
        return [
            Fix(START_NS + round(number * step_s * 1e9), 3, lat, lon, HOME[2] + up, stated_m, stated_m, 1.5 * stated_m)
            for number, (lat, lon, up) in enumerate(
                zip(lat_deg.tolist(), lon_deg.tolist(), enu_m[:, 2].tolist(), strict=True)
            )
        ]


def averaged(name: str, hours: float, *, runs: int, globe: Globe) -> dict[str, Any]:
    """Return the figures of one kind of errors and one length."""
    rng = np.random.default_rng([round(hours * 4), *name.encode()])
    frame, step_s = LocalFrame(*HOME), 30.0
    squares, sigmas, naive = [], [], []
    for _ in range(runs):
        enu_m = errors_m(name, round(hours * 3600.0 / step_s), step_s, rng)
        found = average_fixes(globe.fixes(enu_m, step_s, STATED_M.get(name, 3.0)))
        assert isinstance(found, Average)
        east_m, north_m, _ = frame.to_enu_m(found.lat_deg, found.lon_deg, found.height_m)
        squares.append(east_m**2 + north_m**2)
        sigmas.append(found.sigma_m)
        # As one would with a fix a second.
        naive.append(found.how.scatter_m / math.sqrt(hours * 3600.0))
    ratio = np.array(squares) / np.array(sigmas) ** 2
    return {
        "errors": name,
        "hours": hours,
        "nees_per_freedom": round(float(np.mean(ratio)) / 2.0, 3),
        "within_95_percent": round(100.0 * float(np.mean(ratio <= CIRCLE_95)), 1),
        "sigma_m": round(float(np.mean(sigmas)), 3),
        "rms_m": round(math.sqrt(float(np.mean(squares)) / 2.0), 3),
        "root_n_m": round(float(np.mean(naive)), 4),
    }


def flags(name: str, days: float, *, move_m: float, rng: np.random.Generator, globe: Globe) -> npt.NDArray[np.bool_]:
    """Return, window by window, whether a node with a survey counts as moved; a move happens after 50 hours."""
    per_window = 6
    count = round(days * 144) * per_window
    step_s = 600.0 / per_window
    enu_m = errors_m(name, count, step_s, rng)
    phase = rng.uniform(0.0, 2.0 * math.pi, size=3)
    enu_m += 0.5 * np.sin(2.0 * math.pi * step_s / 86_164.0 * np.arange(count)[:, None] + phase)
    if move_m:
        heading = rng.uniform(0.0, 2.0 * math.pi)
        enu_m[300 * per_window :, :2] += move_m * np.array([math.cos(heading), math.sin(heading)])
    survey = Position(*HOME, sigma_m=0.5, sigma_up_m=1.0)
    keeper = PlaceKeeper(survey=survey, settings=PlaceSettings(least_fixes=per_window // 2))
    said: list[bool] = []
    for fix in globe.fixes(enu_m, step_s, STATED_M.get(name, 3.0)):
        before = keeper.counts.windows
        keeper.add(fix)
        if keeper.counts.windows > before:
            place = keeper.place()
            assert isinstance(place, Place)
            said.append(place.moved)
    return np.array(said)


def false_alarms(name: str, piece: int, *, globe: Globe) -> int:
    """Return how often a node that stands still is said to have been moved in 25 days."""
    said = flags(name, 25, move_m=0.0, rng=np.random.default_rng([7, piece, *name.encode()]), globe=globe)
    return int(said[0]) + int(np.sum(said[1:] & ~said[:-1]))


def delay_h(name: str, piece: int, *, globe: Globe) -> float:
    """Return how many hours pass until a move of 10 m is found; infinite when 46 do not."""
    said = flags(name, 4.0, move_m=10.0, rng=np.random.default_rng([8, piece, *name.encode()]), globe=globe)[300:]
    return (int(np.argmax(said)) + 1) / 6.0 if said.any() else math.inf


def watched(name: str, alarms: list[int], delays_h: list[float]) -> dict[str, Any]:
    """Return the figures of the check of a running node."""
    return {
        "errors": name,
        "node_days": 25 * len(alarms),
        "false_alarms": sum(alarms),
        "moves": len(delays_h),
        "found": int(np.sum(np.isfinite(delays_h))),
        "median_h": round(float(np.median(delays_h)), 2),
        "p90_h": round(float(np.quantile(delays_h, 0.9, method="higher")), 2),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    changes = " with changes" if document["dirty"] else ""
    options = " ".join(f"--{name} {document[name]}" for name in ("runs", "days", "moves"))
    kinds = "; ".join(
        f"`{name}`: " + " + ".join(f"{sigma:g} m over {time_s / 60.0:g} min" for time_s, sigma in parts)
        for name, parts in ERRORS.items()
    )
    lines = [
        "# Averaged GNSS fixes",
        "",
        f"Commit {document['commit'][:12]}{changes}. Made by `python benchmarks/gnss_averaging.py {options}`.",
        "",
        f"Simulated errors per axis, Gauss-Markov: {kinds}; and a constant of 1 m per axis that no averaging removes.",
        "",
        "| errors | hours | NEES / 2 | in the 95 % circle | sigma said, m | error found, m rms | 1/sqrt(n) says, m |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['errors']} | {row['hours']:g} | {row['nees_per_freedom']:.2f} | {row['within_95_percent']:.0f} % "
        f"| {row['sigma_m']:.2f} | {row['rms_m']:.2f} | {row['root_n_m']:.3f} |"
        for row in document["averages"]
    ]
    total = document["total"]
    lines += [
        "",
        f"All: NEES / 2 {total['nees_per_freedom']:.2f}, in the 95 % circle {total['within_95_percent']:.1f} %.",
        "",
        "The check `place` of a running node with a survey, and 0.5 m more that comes back each day:",
        "",
        "| errors | node-days | false alarms | moves of 10 m | found | median, h | 90 % within, h |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['errors']} | {row['node_days']} | {row['false_alarms']} | {row['moves']} | {row['found']} "
        f"| {row['median_h']:.1f} | {row['p90_h']:.1f} |"
        for row in document["watched"]
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=12)
    parser.add_argument("--days", type=int, default=250, help="of each kind of errors")
    parser.add_argument("--moves", type=int, default=12)
    parser.add_argument("--jobs", type=int, default=1, help="processes; the figures do not depend on it")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    globe = Globe()
    pieces = range(max(1, arguments.days // 25))
    with Parallel(n_jobs=arguments.jobs) as parallel:
        rows = parallel(
            delayed(averaged)(name, hours, runs=arguments.runs, globe=globe) for name in ERRORS for hours in HOURS
        )
        alarms = parallel(delayed(false_alarms)(name, piece, globe=globe) for name in WATCHED for piece in pieces)
        delays = parallel(
            delayed(delay_h)(name, move, globe=globe) for name in WATCHED for move in range(arguments.moves)
        )
    few = len(pieces)
    document = {
        "benchmark": "gnss_averaging",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "runs": arguments.runs,
        "days": arguments.days,
        "moves": arguments.moves,
        "averages": rows,
        "total": {
            key: round(float(np.mean([row[key] for row in rows])), 3)
            for key in ("nees_per_freedom", "within_95_percent")
        },
        "watched": [
            watched(
                name,
                alarms[few * number : few * (number + 1)],
                delays[arguments.moves * number : arguments.moves * (number + 1)],
            )
            for number, name in enumerate(WATCHED)
        ],
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
