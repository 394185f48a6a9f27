"""Self-survey from sound, over made-up networks whose truth is exact: how much nearer, and how honest the covariance.

    python benchmarks/self_survey.py [--networks 200] [--jobs 1] [--out benchmarks/results/self_survey]

Networks are those of tests/unit/calibration/survey_samples.py: nodes strewn over a square with 3 m of survey error per
axis and 5 ms of clock offset, impulses at unknown places about the ground in and around it, each heard by the nodes
near enough (half at 700 m); 2 ms of scatter per path, 3 % of arrivals late by a detour, speed of sound and wind known
to 1.4 m/s and 1 m/s only. Each row changes one thing; the first four are done on every network, the others on a
quarter. *Absolute* errors are rms over all nodes, horizontal; *relative*
ones after the network is laid on the truth as a whole (shift and turn, which unknown impulses cannot tell). NEES is the
squared error in units of the claimed covariance, per axis: 1 is honest; its interval is that of chi-square.
Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import write_results
from scipy.stats import chi2

from shotline_calibration.self_survey.adjust import self_survey
from shotline_recordings.work import in_parallel
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "calibration"))

from survey_samples import made_up  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "self_survey"
CASES: dict[str, dict[str, Any]] = {
    "12 nodes, 40 unknown impulses": {},
    "no detours": {"detours": 0.0},
    "3 of them at known places": {"known": 3},
    "10 of them at known places": {"known": 10},
    "10 % detours": {"detours": 0.1},
    "all at known places": {"known": 40},
    "10 impulses": {"impulses": 10},
    "160 impulses": {"impulses": 160},
    "clocks right": {"clock_sigma_s": 1e-6},
    "5 ms of scatter per path": {"path_sigma_s": 0.005},
    "24 nodes on 1.5 km": {"nodes": 24, "side_m": 1500.0},
}
_IN_FULL = 4
"""The first of them are done on every network, the others on a quarter."""


def laid_on(place: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the errors that are left after the best shift and turn."""
    ours, theirs = place - place.mean(axis=0), truth - truth.mean(axis=0)
    left, _, right = np.linalg.svd(ours.T @ theirs)
    result: NDArray[np.float64] = ours @ (left @ right) - theirs
    return result


def one(seed: int, case: dict[str, Any]) -> dict[str, float]:
    """Survey one network; return mean squares."""
    truth = made_up(seed, **case)
    started_s = time.perf_counter()
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    seconds = time.perf_counter() - started_s
    true = truth.node_m[:, :2]
    surveyed = np.array([(node.x_m, node.y_m) for node in truth.nodes])
    place = np.array([(node.x_m, node.y_m) for node in found.nodes])
    clock = np.array([node.clock_offset_s for node in found.nodes]) - truth.clock_offset_s
    rows = np.array([[4 * index, 4 * index + 1] for index in range(len(true))]).ravel()
    covariance = found.node_covariance[np.ix_(rows, rows)]
    error = (place - true).ravel()
    own = np.array(
        [
            error[2 * i : 2 * i + 2]
            @ np.linalg.solve(covariance[2 * i : 2 * i + 2, 2 * i : 2 * i + 2], error[2 * i : 2 * i + 2])
            for i in range(len(true))
        ]
    )
    late, used = np.concatenate(truth.late), np.concatenate(found.used)
    return {
        "before": float(((surveyed - true) ** 2).sum(axis=1).mean()),
        "after": float((error**2).sum() / len(true)),
        "relative_before": float((laid_on(surveyed, true) ** 2).sum(axis=1).mean()),
        "relative_after": float((laid_on(place, true) ** 2).sum(axis=1).mean()),
        "clock_before": float((truth.clock_offset_s**2).mean()),
        "clock_after": float((clock**2).mean()),
        "nees": float(error @ np.linalg.solve(covariance, error)),
        "axes": len(error),
        "in_95": int((own <= chi2.ppf(0.95, 2)).sum()),
        "nodes": len(true),
        "worse": int((((place - true) ** 2).sum(axis=1) > ((surveyed - true) ** 2).sum(axis=1)).sum()),
        "arrivals": len(used),
        "late": int(late.sum()),
        "late_set_aside": int((late & ~used).sum()),
        "right_set_aside": int((~late & ~used).sum()),
        "dropped": sum(node.prior_dropped for node in found.nodes),
        "seconds": seconds,
    }


def row(name: str, each: list[dict[str, float]]) -> dict[str, Any]:
    """Put the networks of one case together."""

    def rms(key: str) -> float:
        return math.sqrt(float(np.mean([item[key] for item in each])))

    def total(key: str) -> float:
        return float(sum(item[key] for item in each))

    axes, nees = total("axes"), total("nees")
    return {
        "case": name,
        "networks": len(each),
        "before_m": rms("before"),
        "after_m": rms("after"),
        "relative_before_m": rms("relative_before"),
        "relative_after_m": rms("relative_after"),
        "clock_before_ms": 1e3 * rms("clock_before"),
        "clock_after_ms": 1e3 * rms("clock_after"),
        "nees": nees / axes,
        "nees_expected_95": [float(chi2.ppf(q, axes)) / axes for q in (0.025, 0.975)],
        "in_95_percent": 100.0 * total("in_95") / total("nodes"),
        "worse_percent": 100.0 * total("worse") / total("nodes"),
        "arrivals": total("arrivals") / len(each),
        "late_set_aside_percent": 100.0 * total("late_set_aside") / max(total("late"), 1.0),
        "right_set_aside_percent": 100.0 * total("right_set_aside") / total("arrivals"),
        "survey_dropped": int(total("dropped")),
        "seconds_median": float(np.median([item["seconds"] for item in each])),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Self-survey from sound",
        "",
        f"Commit {document['commit']}, `python benchmarks/self_survey.py`, eight minutes of one core.",
        "",
        "| case | nets | absolute, m | relative, m | clocks, ms | NEES (honest) | in 95 % | heard | late out | good |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for item in document["rows"]:
        low, high = item["nees_expected_95"]
        lines.append(
            f"| {item['case']} | {item['networks']} | {item['before_m']:.2f} → {item['after_m']:.2f} "
            f"| {item['relative_before_m']:.2f} → {item['relative_after_m']:.2f} "
            f"| {item['clock_before_ms']:.2f} → {item['clock_after_ms']:.2f} "
            f"| {item['nees']:.2f} ({low:.2f} to {high:.2f}) | {item['in_95_percent']:.1f} % | {item['arrivals']:.0f} "
            f"| {item['late_set_aside_percent']:.0f} % | {item['right_set_aside_percent']:.1f} % |"
        )
    lines += [
        "",
        "While no impulse is at a known place a shift of everything is not told: absolute errors keep what the mean of",
        "the surveyed positions is off, 3 m √2 / √12 = 1.22 m. Clocks are told up to a common offset and a tilt.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    rows = []
    for number, (name, case) in enumerate(CASES.items()):
        count = arguments.networks if number < _IN_FULL else max(arguments.networks // 4, 1)
        each = list(in_parallel(partial(one, case=case), range(count), jobs=arguments.jobs))
        rows.append(row(name, each))
        sys.stderr.write(f"{name}: {rows[-1]['before_m']:.2f} -> {rows[-1]['after_m']:.2f} m\n")
    document = {
        "benchmark": "self_survey",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "networks": arguments.networks,
        "rows": rows,
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
