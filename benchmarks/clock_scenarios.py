"""How wrong a node's clock is in each of its named troubles, and whether it knows.

    python benchmarks/clock_scenarios.py [--seeds 6] [--only usb_1ms,ntp] [--out benchmarks/results/clock_scenarios]

Half an hour of every scenario of tests/scenarios/clock_simulation.py with each seed: crystal up to 50 ppm off, 1 ppm of
temperature in half an hour, random walk of 0.02 ppm per root second, start transient, blocks of 1024 at 48 kHz, a
reading of the host each second. Samples at random, four a second, are dated when they are settled. The constant
bias of each run is its median error; with pulses nothing is taken off.

Then the cost of a stamp and of a question: processor time of one thread. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from results_files import write_results

from sensor_node.discipline import AdcStamp, DisciplinedClock, UtcReading
from shotline.domain import ClockState
from shotline.units import NS_PER_S
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "scenarios"))

from clock_simulation import SCENARIOS, judge, simulate  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "clock_scenarios"


def row(name: str, *, seeds: int) -> dict[str, Any]:
    """Return the figures of one scenario."""
    scenario = SCENARIOS[name]
    outcomes = [simulate(scenario, np.random.default_rng([seed, 1])) for seed in range(seeds)]
    verdict = judge(outcomes, remove_bias=not scenario.pulses)
    return {
        "scenario": name,
        "says": scenario.says,
        **{key: round(value, 6) for key, value in asdict(verdict).items()},
        "breaks": sum(outcome.clock.break_count for outcome in outcomes),
        "losses": seeds * len(scenario.losses),
    }


def cost(*, stamps: int = 20_000, block: int = 1024, rate_hz: int = 48_000) -> dict[str, float]:
    """Return microseconds of a stamp and of a question."""
    rng = np.random.default_rng(0)
    late_ns = rng.integers(0, 1_000_000, stamps)
    clock = DisciplinedClock(rate_hz, not_before_ns=1_700_000_000 * NS_PER_S)
    clock.add_utc(UtcReading(10**9, 1_700_000_001 * NS_PER_S, 10_000, ClockState.PPS))
    given = [
        AdcStamp(index * block, block, 10**9 + index * block * NS_PER_S // rate_hz + int(late_ns[index]), False)
        for index in range(stamps)
    ]
    started_s = time.process_time()
    for stamp in given:
        clock.add_stamp(stamp)
    stamped_s = time.process_time()
    for index in range(stamps):
        clock.utc_at(clock.settled_until - index)
    asked_s = time.process_time()
    return {
        "stamp_us": round((stamped_s - started_s) / stamps * 1e6, 2),
        "question_us": round((asked_s - stamped_s) / stamps * 1e6, 2),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    rows = "\n".join(
        f"| `{each['scenario']}` | {each['says']} | {each['rms_us']:.2f} | {each['p999_us']:.1f} | "
        f"{each['max_us']:.1f} | {100 * each['share_2_sigma']:.2f} | {100 * each['share_bold']:.3f} | "
        f"{100 * each['share_timed']:.1f} | {each['median_sigma_us']:.2f} | {each['max_lag_s']:.2f} |"
        for each in document["rows"]
    )
    seen = document["cost"]
    return f"""# The clock in its named troubles

Commit {commit}. Made by `python benchmarks/clock_scenarios.py --seeds {document["seeds"]}`: {document["seeds"]} runs of
half an hour each, simulated. Errors in microseconds about the constant bias, of samples that are timed, from 20 s
after the start on.

| scenario | what happens | rms | p99.9 | max | error < 2 sigma, % | bold, % | timed, % | median sigma | lag, s |
|---|---|---:|---:|---:|---:|---:|---:|---:|---:|
{rows}

*Bold*: samples with a sigma under 0.3 ms and an error over 1 ms, of all, start included. *Timed*: not `untimed`.
*Lag*: from a sample to the moment at which it is settled; while no sound comes nothing is settled.

A stamp takes {seen["stamp_us"]:.1f} us, a question {seen["question_us"]:.1f} us of one thread.
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--only", default=",".join(SCENARIOS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    document = {
        "benchmark": "clock_scenarios",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "seeds": arguments.seeds,
        "cost": cost(),
        "rows": [row(name, seeds=arguments.seeds) for name in arguments.only.split(",")],
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
