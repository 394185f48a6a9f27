"""What clocks in trouble do to locations: live fire, with every node's clock drawn from a trouble of the sample clock.

    python benchmarks/clock_location.py [--draws 5] [--only ntp,usb_1ms] [--out benchmarks/results/clock_location]

Errors and sigmas come from tests/scenarios/clock_simulation.py: half an hour of a scenario is simulated for a pool of
nodes; each node of each scene then gets one of them, from a random moment on, in every draw another. Its detections are
dated with that error and carry that sigma beside their own, as a node would send them; what it would mark untimed
stays so. The recordings' own clocks are the same in every run. Located are all given pulse sets, by the locator alone,
and all recorded pulses through fusion. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
from results_files import write_results

from shotline.domain import ClockState
from shotline.messages import Detection
from shotline.units import NS_PER_S
from shotline_recordings.dataset import Dataset, Scene, open_dataset
from shotline_recordings.score import score_scene, summarise
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software
from shotline_replay.tuples import locate_dataset, locator_report

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "scenarios"))

from clock_simulation import SCENARIOS, Outcome, simulate  # noqa: E402

DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "clock_location"
WORST = ("ntp", "pps_audio_lost_ramp", "usb_beat", "pps_lost_and_back", "user_space_stamps", "usb_1ms")
POOL = 8
BIAS_SIGMA_NS = 100_000
"""What a node adds to every sigma for the bias of its hardware, which is the same for all and is taken off here."""


def pool(name: str) -> list[Outcome]:
    """Return simulated nodes of a scenario; what all stamps are late by is the hardware's, and is taken off."""
    outcomes = [simulate(SCENARIOS[name], np.random.default_rng([seed, 7])) for seed in range(POOL)]
    if SCENARIOS[name].pulses:
        return outcomes
    return [replace(each, error_s=each.error_s - np.median(each.error_s)) for each in outcomes]


def spoiled(scene: Scene, nodes: list[Outcome], rng: np.random.Generator) -> Scene:
    """Return a scene whose nodes have the clocks of simulated ones."""
    start_ns = min(item.arrival_time_ns for item in scene.detections)
    clocks = {site.node: (nodes[rng.integers(len(nodes))], rng.uniform(0.0, 1.0)) for site in scene.sites}

    def dated(item: Detection) -> Detection:
        outcome, offset = clocks[item.node]
        length_s = float(outcome.moment_s[-1])
        moment_s = (offset * length_s + (item.arrival_time_ns - start_ns) / NS_PER_S) % length_s
        index = int(np.searchsorted(outcome.moment_s, moment_s))
        if outcome.state[index] is ClockState.UNTIMED:
            return msgspec.structs.replace(item, clock_state=ClockState.UNTIMED)
        sigma_ns = math.hypot(item.arrival_sigma_ns, outcome.sigma_s[index] * NS_PER_S, BIAS_SIGMA_NS)
        return msgspec.structs.replace(
            item,
            arrival_time_ns=item.arrival_time_ns + round(float(outcome.error_s[index]) * NS_PER_S),
            arrival_sigma_ns=round(sigma_ns),
            clock_state=outcome.state[index],
        )

    detections = tuple(dated(item) for item in scene.detections)
    timed = {item.uid for item in detections if item.clock_state is not ClockState.UNTIMED}
    groups = tuple(
        replace(group, detections=tuple(uid for uid in group.detections if uid in timed)) for group in scene.pulse_sets
    )
    return replace(scene, detections=detections, pulse_sets=groups)


def measure(dataset: Dataset, *, jobs: int) -> dict[str, float]:
    """Locate everything; return the figures."""
    report = locator_report(locate_dataset(dataset, jobs=jobs), subsets=0)
    located = report.all_sensors.overall
    runs = replay_dataset(dataset, Source.PULSES, jobs=jobs)
    score = summarise(
        [
            score_scene(scene, [item for item in latest_revisions(run.revisions) if item.state != RETRACTED])
            for scene, run in zip(dataset.scenes, runs, strict=True)
        ]
    )
    return {
        "median_m": located.median_m or math.nan,
        "p95_m": located.p95_m or math.nan,
        "located": located.located,
        "coverage95": located.ellipse95_coverage_with_truth or math.nan,
        "fusion_median_m": score.incidents.median_m or math.nan,
        "fusion_found": score.counts.shots_found,
        "fusion_false": score.counts.shots_false,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--only", default=",".join(WORST), help="scenarios, with commas between")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    dataset = open_dataset(arguments.data, loader="pittsburgh")
    before = measure(dataset, jobs=arguments.jobs)
    rows = []
    for name in arguments.only.split(","):
        nodes = pool(name)
        errors_s = np.concatenate([each.error_s[[s is not ClockState.UNTIMED for s in each.state]] for each in nodes])
        draws = []
        for draw in range(arguments.draws):
            rng = np.random.default_rng([draw, 11])
            scenes = tuple(spoiled(scene, nodes, rng) for scene in dataset.scenes)
            draws.append(measure(replace(dataset, scenes=scenes), jobs=arguments.jobs))
            sys.stderr.write(f"{name} {draw + 1} of {arguments.draws}: {draws[-1]}\n")
        rms_us = 1e6 * float(np.sqrt(np.mean(errors_s**2)))
        rows.append({"scenario": name, "says": SCENARIOS[name].says, "rms_us": rms_us, "draws": draws})
    write(arguments.out, before, rows, draws=arguments.draws)
    return 0


def write(out: Path, before: dict[str, float], rows: list[dict[str, object]], *, draws: int) -> None:
    """Write the figures, and show them."""
    software = describe_software()
    lines = [
        "# What clocks in trouble do to locations",
        "",
        (
            f"Commit {(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}; "
            f"{draws} draws. Made by `python benchmarks/clock_location.py`."
        ),
        "",
        "Live fire, given pulse sets (all sensors of each shot), and all pulses through fusion. Changes of the median",
        "are against the recordings' own clocks: the mean of the draws, and the largest. The ellipse is widened by the",
        "error of the truth.",
        "",
        (
            "| clocks | error, us rms | median, m | change, m | largest | p95, m | in 95 % ellipse | fusion: median, m "
            "| change, m | largest | found | false |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        (
            f"| as recorded | | {before['median_m']:.2f} | | | {before['p95_m']:.2f} "
            f"| {100 * before['coverage95']:.1f} % | {before['fusion_median_m']:.2f} | | "
            f"| {before['fusion_found']:.0f} | {before['fusion_false']:.0f} |"
        ),
    ]
    for row in rows:
        made = row["draws"]
        assert isinstance(made, list)
        mean = {key: float(np.mean([draw[key] for draw in made])) for key in before}
        moves = {key: [draw[key] - before[key] for draw in made] for key in ("median_m", "fusion_median_m")}
        lines.append(
            f"| `{row['scenario']}`: {row['says']} | {row['rms_us']:.0f} | {mean['median_m']:.2f} "
            f"| {np.mean(moves['median_m']):+.2f} | {max(moves['median_m'], key=abs):+.2f} | {mean['p95_m']:.2f} "
            f"| {100 * mean['coverage95']:.1f} % | {mean['fusion_median_m']:.2f} "
            f"| {np.mean(moves['fusion_median_m']):+.2f} | {max(moves['fusion_median_m'], key=abs):+.2f} "
            f"| {mean['fusion_found']:.1f} | {mean['fusion_false']:.1f} |"
        )
    text = "\n".join(lines) + "\n"
    document = {
        "benchmark": "clock_location",
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "software": msgspec.to_builtins(software),
        "as_recorded": before,
        "scenarios": rows,
    }
    write_results(out, document, text)


if __name__ == "__main__":
    raise SystemExit(main())
