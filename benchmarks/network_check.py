"""The network self-check on made-up towns whose faults are known: how soon found, how rightly named, how often wrongly.

    python benchmarks/network_check.py [--networks 200] [--first 1000] [--quiet-shots 100] [--out OUT]

Towns are those of tests/unit/fusion/netcheck_samples.py: 8 to 30 nodes 300 to 500 m apart, surveyed to 0.7 m per
axis (1 m is stated), clocks to 0.05 ms; shots recur at 3 to 8 places (60 %, within some 20 m) or are anywhere. A third
of the paths from a neighbourhood of some 60 m is blocked and comes late; the rest scatters less. How much differs from
town to town: the scale is log-uniform from 0.7 to 6 ms. 1.5 % of arrivals are echoes 20 to 200 ms late; 7 % of sounds
that are loud enough are missed; levels scatter by 5 dB of shadow, 2 dB besides, and 5 dB of gain from node to node. The
weather told is 1.5 °C and 1.2 m/s per component off (1 sigma), for hours. Shots are located by `fusion_server.locate`.

After 80 shots a fault is put into one node, drawn at random; the run goes on until the node could have taken part in 40
more, that is, heard them or should have with 0.5 or more by fusion's own model. A town without any fault is watched for
false flags. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import platform
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from results_files import write_results

from fusion_server.netcheck import Cause, NetworkCheck, Standing
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "fusion"))

from netcheck_samples import Fault, Town, town_of  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "network_check"
BEFORE, WITHIN, LONGEST, MOST_SHOTS = 80, 20, 40, 240
FAULTS = ("clock 2 ms", "clock 5 ms", "moved 10 m", "-20 dB", "blocked 15 ms")
GOALS = ("clock 2 ms", "moved 10 m", "-20 dB")
"""The others are put into every fourth town only."""
RIGHT = {
    "clock 2 ms": {Cause.CLOCK},
    "clock 5 ms": {Cause.CLOCK},
    "moved 10 m": {Cause.MOVED},
    "-20 dB": {Cause.MUFFLED},
    "blocked 15 ms": {Cause.OBSTRUCTED},
}
CLASSES = ((0.0, 1.5e-3, "up to 1.5 ms"), (1.5e-3, 3e-3, "1.5 to 3 ms"), (3e-3, 1.0, "above 3 ms"))


def fault_of(name: str, rng: np.random.Generator) -> Fault:
    """Return a fault, to any side."""
    side, angle = float(rng.choice([-1.0, 1.0])), float(rng.uniform(0.0, 2.0 * math.pi))
    if name == "clock 2 ms":
        return Fault(clock_s=side * 0.002)
    if name == "clock 5 ms":
        return Fault(clock_s=side * 0.005)
    if name == "moved 10 m":
        return Fault(move_m=(10.0 * math.cos(angle), 10.0 * math.sin(angle)))
    if name == "-20 dB":
        return Fault(deficit_db=20.0)
    return Fault(blocked_s=0.015, blocked_from_rad=angle)


def run_fault(town: Town, check: NetworkCheck, name: str, seed: int) -> dict[str, Any]:
    """Put a fault into one node of a town; return after how many of its events it was found, and what as."""
    rng = np.random.default_rng([seed, FAULTS.index(name)])
    number = int(rng.integers(len(town.sites)))
    node = town.sites[number].node
    town, check = copy.deepcopy(town), copy.deepcopy(check)
    events, found, quarantined, wrongly = 0, None, None, 0
    first_causes: list[str] = []
    causes: list[str] = []
    for shot in town.shots(MOST_SHOTS, node=number, fault=fault_of(name, rng)):
        events += any(item.node == node for item in shot.arrivals) or shot.expected.get(node, 0.0) >= 0.5
        for change in check.add(shot):
            state = change.state
            if state.node != node:
                wrongly += change.before is Standing.OK
                continue
            if state.standing is not Standing.OK and found is None:
                found, first_causes = events, [item.cause.value for item in state.estimates]
            if state.standing is Standing.QUARANTINED and quarantined is None:
                quarantined, causes = events, [item.cause.value for item in state.estimates]
        if events >= LONGEST or quarantined is not None:
            break
    right = {cause.value for cause in RIGHT[name]}
    return {
        "fault": name,
        "path_sigma_s": town.path_sigma_s,
        "events": events,
        "found": found,
        "quarantined": quarantined,
        "named_first": bool(first_causes) and first_causes[0] in right,
        "named_among": bool(right & set(first_causes)),
        "named_second": bool(causes) and causes[0] in right,
        "others_flagged": wrongly,
    }


def quiet(seed: int, *, shots: int, events_per_day: float) -> dict[str, Any]:
    """Watch a town without faults; return flags and node-days."""
    town = town_of(seed, events_per_day=events_per_day)
    check = NetworkCheck(town.sites)
    flags, quarantines, first_ns, last_ns = 0, 0, None, 0
    causes: Counter[str] = Counter()
    for shot in town.shots(shots):
        first_ns = shot.time_ns if first_ns is None else first_ns
        last_ns = shot.time_ns
        for change in check.add(shot):
            flags += change.before is Standing.OK
            quarantines += change.state.standing is Standing.QUARANTINED
            if change.before is Standing.OK:
                causes[change.state.estimates[0].cause.value] += 1
    days = (last_ns - (first_ns or 0)) / 86_400e9
    return {
        "events_per_day": events_per_day,
        "flags": flags,
        "quarantines": quarantines,
        "node_days": days * len(town.sites),
        "causes": dict(causes),
    }


def towns(args: argparse.Namespace) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the runs with a fault, and those without."""
    faulty, healthy = [], []
    for seed in range(args.first, args.first + args.networks):
        began_s = time.perf_counter()
        town = town_of(seed)
        check = NetworkCheck(town.sites)
        for shot in town.shots(BEFORE):
            check.add(shot)
        names = FAULTS if seed % 4 == 0 else GOALS
        faulty += [run_fault(town, check, name, seed) for name in names]
        healthy.append(quiet(seed + 100_000, shots=args.quiet_shots, events_per_day=20.0))
        if seed % 8 == 0:
            healthy.append(quiet(seed + 200_000, shots=args.quiet_shots, events_per_day=5.0))
            healthy.append(quiet(seed + 300_000, shots=args.quiet_shots, events_per_day=100.0))
        sys.stderr.write(f"\rtown {seed - args.first + 1} of {args.networks}, {time.perf_counter() - began_s:.1f} s  ")
        sys.stderr.flush()
    sys.stderr.write("\n")
    return faulty, healthy


def delays(name: str, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Put runs together."""

    def quantile(key: str, q: float) -> float | None:
        value = float(np.quantile([math.inf if run[key] is None else run[key] for run in runs], q, method="higher"))
        return value if math.isfinite(value) else None

    found = [run for run in runs if run["found"] is not None]
    return {
        "fault": name,
        "runs": len(runs),
        "within_20_percent": 100.0 * float(np.mean([(run["found"] or math.inf) <= WITHIN for run in runs])),
        "within_40_percent": 100.0 * len(found) / len(runs),
        "found_median": quantile("found", 0.5),
        "found_p90": quantile("found", 0.9),
        "quarantined_median": quantile("quarantined", 0.5),
        "quarantined_p90": quantile("quarantined", 0.9),
        "named_first_percent": 100.0 * float(np.mean([run["named_first"] for run in found])) if found else None,
        "named_among_percent": 100.0 * float(np.mean([run["named_among"] for run in found])) if found else None,
        "others_flagged": sum(run["others_flagged"] for run in runs),
    }


def rates(per_day: float, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Put runs without a fault together; the bound is that of a Poisson count."""
    from scipy.stats import chi2

    flags, days = sum(run["flags"] for run in runs), sum(run["node_days"] for run in runs)
    causes: Counter[str] = Counter()
    for run in runs:
        causes.update(run["causes"])
    return {
        "events_per_day": per_day,
        "networks": len(runs),
        "node_days": days,
        "flags": flags,
        "quarantines": sum(run["quarantines"] for run in runs),
        "flags_per_1000_node_days": 1000.0 * flags / days,
        "upper_95_per_1000_node_days": 1000.0 * float(chi2.ppf(0.95, 2 * flags + 2)) / 2.0 / days,
        "causes": dict(causes),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    changes = " with changes" if document["dirty"] else ""
    options = f"--networks {document['networks']} --first {document['first']} --quiet-shots {document['quiet_shots']}"
    lines = [
        "# Network self-check",
        "",
        f"Commit {(document['commit'] or '')[:12]}{changes}. Made by `python benchmarks/network_check.py {options}`",
        f"in {document['minutes']:.0f} minutes of one core.",
        "",
        f"{document['networks']} made-up towns, described in the command; goals: found within 20 events, at most one",
        "false flag in 1,000 node-days. Events are those in which the node could have taken part. *Named*: the first",
        "cause that the first flag names is right; *among*: it is one of those that it names as equally likely.",
        "",
        (
            "| fault | path scatter | runs | found within 20 | within 40 | median | p90 | quarantined median | p90 "
            "| named | among | other nodes flagged |"
        ),
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]

    def whole(value: float | None, unit: str = "") -> str:
        return "–" if value is None else f"{value:.0f}{unit}"

    for row in document["faults"]:
        lines.append(
            f"| {row['fault']} | {row['paths']} | {row['runs']} | {row['within_20_percent']:.0f} % "
            f"| {row['within_40_percent']:.0f} % | {whole(row['found_median'])} | {whole(row['found_p90'])} "
            f"| {whole(row['quarantined_median'])} | {whole(row['quarantined_p90'])} "
            f"| {whole(row['named_first_percent'], ' %')} | {whole(row['named_among_percent'], ' %')} "
            f"| {row['others_flagged']} |"
        )
    lines += [
        "",
        "Without any fault:",
        "",
        "| events a day | towns | node-days | flags | quarantines | flags in 1,000 node-days | 95 % bound |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['events_per_day']:g} | {row['networks']} | {row['node_days']:.0f} | {row['flags']} "
        f"| {row['quarantines']} | {row['flags_per_1000_node_days']:.2f} | {row['upper_95_per_1000_node_days']:.2f} |"
        for row in document["quiet"]
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=200)
    parser.add_argument("--first", type=int, default=1000, help="seed of the first town")
    parser.add_argument("--quiet-shots", type=int, default=100)
    parser.add_argument("--out", type=Path, default=RESULTS)
    args = parser.parse_args()
    began_s = time.process_time()
    faulty, healthy = towns(args)
    faults = []
    for name in FAULTS:
        runs = [run for run in faulty if run["fault"] == name]
        faults.append({"paths": "all", **delays(name, runs)})
        for low_s, high_s, words in CLASSES:
            some = [run for run in runs if low_s <= run["path_sigma_s"] < high_s]
            if some:
                faults.append({"paths": words, **delays(name, some)})
    software = describe_software()
    document = {
        "benchmark": "network_check",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "networks": args.networks,
        "first": args.first,
        "quiet_shots": args.quiet_shots,
        "minutes": (time.process_time() - began_s) / 60.0,
        "faults": faults,
        "quiet": [
            rates(rate, runs)
            for rate in (5.0, 20.0, 100.0)
            if (runs := [run for run in healthy if run["events_per_day"] == rate])
        ],
    }
    write_results(args.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
