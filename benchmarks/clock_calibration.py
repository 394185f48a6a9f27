"""How honest `shotline calibrate clock` is: deviations against closed forms, holdover against what clocks then did.

    python benchmarks/clock_calibration.py [--runs 24] [--only allan,holdover,delay] [--out OUT]

*Deviations*: series of 2,048 readings of white phase, white frequency and random-walk frequency noise: Allan deviation
over its closed form, and how often its 95 % interval holds it. *Holdover*: crystals of six kinds are logged for half an
hour, two and twelve hours at a pulse a second (edges to 0.1 us); then the pulse is gone, and what the filter predicts
is held against what the crystal does: NEES (mean square error over what was said, 1 is honest) and share within two
sigma at 1 to 60 minutes; the time to 1 ms that was said, and after how long the rms error of all runs really was that.
*Delay*: clock logs of ten minutes with a known delay, made by tests/unit/calibration/clock_samples.py: what is found
minus what was put in, and its scatter over the random part that was said. Writes OUT.json and OUT.md.
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
from numpy.typing import NDArray
from results_files import write_results

from shotline_calibration.clock.clocklog import parse_clock_log
from shotline_calibration.clock.holdover import holdover_of
from shotline_calibration.clock.latency import Latency, latency_by_pulses
from shotline_calibration.clock.noisemodel import even_and_thinned, track
from shotline_calibration.clock.phase import PhaseSeries, clean
from shotline_calibration.clock.stability import deviations
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "calibration"))

from clock_samples import clock_log_lines  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "clock_calibration"
Floats = NDArray[np.float64]
GAPS_S = (60.0, 300.0, 900.0, 3_600.0)
HOURS = (0.5, 2.0, 12.0)
CRYSTALS = {
    "calm": "wander 0.005 ppm a root second",
    "usual": "wander 0.02 ppm a root second, as in the clock's scenarios",
    "restless": "wander 0.05 ppm a root second",
    "waves": "usual, and temperature: a sine of 1 ppm in half an hour",
    "alike": "frequency alike over 10 minutes and 2 hours (0.3 ppm each), no walk",
    "days": "usual, and temperature: a sine of 4 ppm in a day",
}
LIMIT_S = 1e-3


def crystal(name: str, count: int, rng: np.random.Generator) -> Floats:
    """Return the frequency of a crystal each second, as a fraction."""
    wander = {"calm": 0.5e-8, "restless": 5e-8, "alike": 0.0}.get(name, 2e-8)
    frequency = rng.uniform(-50e-6, 50e-6) + wander * np.cumsum(rng.standard_normal(count))
    at_s = np.arange(count)
    if name == "waves":
        frequency = frequency + 0.5e-6 * np.sin(2.0 * np.pi * (at_s / 1_800.0 + rng.uniform()))
    if name == "days":
        frequency = frequency + 2e-6 * np.sin(2.0 * np.pi * (at_s / 86_400.0 + rng.uniform()))
    if name == "alike":
        from scipy.signal import lfilter

        for time_s in (600.0, 7_200.0):
            keep = math.exp(-1.0 / time_s)
            drive = 0.3e-6 * math.sqrt(1.0 - keep**2) * rng.standard_normal(count)
            drive[0] = 0.3e-6 * rng.standard_normal()
            frequency = frequency + lfilter([1.0], [1.0, -keep], drive)
    return frequency


def holdover_row(name: str, hours: float, runs: int) -> dict[str, Any]:
    """Learn, lose the pulse, look."""
    logged, after = round(3_600.0 * hours), round(GAPS_S[-1]) + 1
    errors_s, sigmas_s, ramps_s = (
        np.zeros((runs, len(GAPS_S))),
        np.zeros((runs, len(GAPS_S))),
        np.zeros((runs, len(GAPS_S))),
    )
    said_s, over_s = np.zeros(runs), np.zeros((runs, after))
    for run in range(runs):
        rng = np.random.default_rng([run, sorted(CRYSTALS).index(name), logged])
        phase_s = np.concatenate([[0.0], np.cumsum(crystal(name, logged + after, rng))])
        read_s = phase_s[:logged] + 1e-7 * rng.standard_normal(logged)
        series = clean(PhaseSeries(np.arange(logged, dtype=np.float64), read_s, free=True, what="crystal")).series
        found = holdover_of(series)
        thin = even_and_thinned(series)
        last = track(thin, found.noise)
        for column, gap_s in enumerate(GAPS_S):
            at_s = float(thin.time_s[-1]) + gap_s
            true_s = float(np.interp(at_s, np.arange(len(phase_s)), phase_s))
            errors_s[run, column] = true_s - float(last.phase_s[-1] + last.frequency[-1] * gap_s)
            sigmas_s[run, column] = found.sigma_s(gap_s)
            ramps_s[run, column] = found.sigma_s(gap_s, ramp=True)
        said_s[run] = found.budget(LIMIT_S).holdover_s
        ahead_s = np.arange(after, dtype=np.float64)
        places_s = np.interp(float(thin.time_s[-1]) + ahead_s, np.arange(len(phase_s)), phase_s)
        over_s[run] = places_s - (last.phase_s[-1] + last.frequency[-1] * ahead_s)
    rms_s = np.sqrt(np.mean(over_s**2, axis=0))
    reached = np.flatnonzero(rms_s >= LIMIT_S)
    return {
        "crystal": name,
        "hours": hours,
        "rms_us": [1e6 * float(value) for value in np.sqrt(np.mean(errors_s**2, axis=0))],
        "nees": [float(value) for value in np.mean((errors_s / sigmas_s) ** 2, axis=0)],
        "in_2_sigma_percent": [float(value) for value in 100.0 * np.mean(np.abs(errors_s) <= 2.0 * sigmas_s, axis=0)],
        "in_2_sigma_ramp_percent": [
            float(value) for value in 100.0 * np.mean(np.abs(errors_s) <= 2.0 * ramps_s, axis=0)
        ],
        "to_1ms_said_min": [float(value) / 60.0 for value in np.percentile(said_s, (10.0, 50.0, 90.0))],
        "to_1ms_found_min": float(reached[0]) / 60.0 if len(reached) else None,
    }


def allan_rows(runs: int) -> list[dict[str, Any]]:
    """Hold deviations against closed forms."""
    rows = []
    for kind in ("white phase", "white frequency", "random-walk frequency"):
        ratios: dict[float, list[float]] = {}
        inside = right = total = 0
        for run in range(runs):
            draws = np.random.default_rng([run, 7]).standard_normal(2_048)
            phase_s = {"white phase": draws, "white frequency": np.cumsum(draws)}.get(kind, np.cumsum(np.cumsum(draws)))
            series = PhaseSeries(np.arange(2_048.0), 1e-9 * phase_s, free=True, what=kind)
            for row in deviations(series):
                tau = row.tau_s
                expected = (
                    1e-9
                    * {
                        "white phase": math.sqrt(3.0) / tau,
                        "white frequency": 1.0 / math.sqrt(tau),
                        "random-walk frequency": math.sqrt(tau / 3.0 + 1.0 / (6.0 * tau)),
                    }[kind]
                )
                ratios.setdefault(tau, []).append((row.adev / expected) ** 2)
                inside += row.adev_low <= expected <= row.adev_high
                right += row.alpha == {"white phase": 2, "white frequency": 0}.get(kind, -2)
                total += 1
        rows.append(
            {
                "noise": kind,
                "mean_square_ratio": {f"{tau:g}": float(np.mean(values)) for tau, values in ratios.items()},
                "in_95_percent": 100.0 * inside / total,
                "noise_right_percent": 100.0 * right / total,
            }
        )
    return rows


def delay_rows(runs: int) -> list[dict[str, Any]]:
    """Find a known delay."""
    rows = []
    for says, jitter_s, host_s in (
        ("I2S: stamps up to 0.02 ms late, host to 2 us", 0.02e-3, 2e-6),
        ("I2S: stamps up to 0.2 ms late, host to 2 us", 0.2e-3, 2e-6),
        ("USB: stamps up to 1 ms late, host to 2 us", 1e-3, 2e-6),
        ("USB: stamps up to 1 ms late, host to 10 us", 1e-3, 10e-6),
    ):
        found = []
        for run in range(runs):
            rng = np.random.default_rng([run, 3])
            lines = clock_log_lines(rng, minutes=10.0, late_s=70e-6, jitter_s=jitter_s, host_sigma_s=host_s)
            each = latency_by_pulses(parse_clock_log(lines))
            assert isinstance(each, Latency)
            found.append((each.late_s, each.random_sigma_s))
        late_s, said_s = (np.array(column) for column in zip(*found, strict=True))
        rows.append(
            {
                "says": says,
                "mean_error_us": 1e6 * float(late_s.mean() - 70e-6),
                "scatter_us": 1e6 * float(late_s.std(ddof=1)),
                "said_random_us": 1e6 * float(np.sqrt(np.mean(said_s**2))),
                "nees": float(late_s.var(ddof=1) / np.mean(said_s**2)),
            }
        )
    return rows


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    lines = [
        "# Clock calibration",
        "",
        f"Commit {commit}. `python benchmarks/clock_calibration.py --runs {document['runs']}`; all simulated.",
        "",
    ]
    if "holdover" in document:
        lines += [
            "## Holdover",
            "",
            *(f"* `{name}`: {says}" for name, says in CRYSTALS.items()),
            "",
            "| crystal | log, h | rms, us: 1, 5, 15, 60 min | NEES | in 2 sigma, % | ramp, % | 1 ms, min | found |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for row in document["holdover"]:
            found = "over 60" if row["to_1ms_found_min"] is None else f"{row['to_1ms_found_min']:.0f}"
            lines.append(
                f"| `{row['crystal']}` | {row['hours']:g} | {', '.join(f'{value:.1f}' for value in row['rms_us'])} "
                f"| {', '.join(f'{value:.2f}' for value in row['nees'])} "
                f"| {', '.join(f'{value:.0f}' for value in row['in_2_sigma_percent'])} "
                f"| {', '.join(f'{value:.0f}' for value in row['in_2_sigma_ramp_percent'])} "
                f"| {', '.join(f'{value:.0f}' for value in row['to_1ms_said_min'])} | {found} |"
            )
        lines += [
            "",
            "*1 ms*: how long until then by what was said, 10th, 50th and 90th percentile of runs; *found*: when the",
            "rms error of all runs was that. *Ramp*: within two sigma of what allows for 1 ppm in ten minutes, or for",
            "the steepest change that the log showed.",
            "",
        ]
    if "allan" in document:
        lines += [
            "## Allan deviation",
            "",
            "| noise | mean square over closed form, tau 1, 16, 256 s | 95 % interval holds it, % | named right, % |",
            "|---|---:|---:|---:|",
        ]
        for row in document["allan"]:
            ratios = ", ".join(f"{row['mean_square_ratio'][tau]:.3f}" for tau in ("1", "16", "256"))
            lines.append(
                f"| {row['noise']} | {ratios} | {row['in_95_percent']:.1f} | {row['noise_right_percent']:.1f} |"
            )
        lines.append("")
    if "delay" in document:
        lines += [
            "## Delay by pulses",
            "",
            "| hardware | found minus 70 us, us | scatter, us | said, us | NEES |",
            "|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {row['says']} | {row['mean_error_us']:+.1f} | {row['scatter_us']:.2f} | {row['said_random_us']:.2f} "
            f"| {row['nees']:.2f} |"
            for row in document["delay"]
        ]
        lines += [
            "",
            "What is found over 70 us is what the node's own filter leaves of the stamps' scatter (blocks of 0.1 s):",
            "it takes the earliest of them, and does so when it dates sounds, too. The node takes off what is found.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=24)
    parser.add_argument("--only", default="holdover,allan,delay")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    document: dict[str, Any] = {
        "benchmark": "clock_calibration",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "runs": arguments.runs,
    }
    wanted = arguments.only.split(",")
    if "holdover" in wanted:
        document["holdover"] = []
        for name in CRYSTALS:
            for hours in HOURS:
                document["holdover"].append(holdover_row(name, hours, arguments.runs))
                sys.stderr.write(f"{name}, {hours:g} h: NEES {document['holdover'][-1]['nees']}\n")
    if "allan" in wanted:
        document["allan"] = allan_rows(arguments.runs)
    if "delay" in wanted:
        document["delay"] = delay_rows(max(10, arguments.runs // 3))
    write_results(arguments.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
