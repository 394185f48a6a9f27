"""Association on shipped scenes with exact truth: which shots are found from detections, and what is invented.

    python benchmarks/scenes.py [--seeds 100 101 102] [--scenes two-shooters suburb] [--jobs 2] [--out ...]

Each scene is simulated anew for each seed (other town, clocks, weather, sound), without sound: what nodes would detect.
Seeds below 200 were looked at while association was written; the default ones were not. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from results_files import write_results

from shotline_recordings.dataset import open_dataset
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.score import score_scene
from shotline_recordings.simulate.run import simulate_dataset
from shotline_recordings.work import in_parallel
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "scenes"
SCENES = (
    "city-block",
    "suburb",
    "downtown-canyon",
    "two-shooters",
    "automatic-fire",
    "rooftop-shooter",
    "hilly-valley",
    "clock-off",
    "node-moved",
)
SEEDS = tuple(range(200, 208))
COUNTS = (
    "events",
    "events_found",
    "events_exact",
    "shots_fired",
    "shots_found",
    "shots_duplicate",
    "shots_false",
    "incidents_false",
)


@dataclass(frozen=True, slots=True)
class Case:
    """One scene with one seed."""

    scene: str
    seed: int


def scored(case: Case) -> tuple[Case, dict[str, int], float]:
    """Simulate, replay and score one case; return it with its counts and the seconds of the replay."""
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as folder:
        target = Path(folder) / case.scene
        simulate_dataset(
            load_scene(shipped_scene(case.scene)), target, seed=case.seed, detections_only=True, jobs=1, picture=False
        )
        dataset = open_dataset(target, loader="auto")
        started_s = time.process_time()
        runs = replay_dataset(dataset, Source.DETECTIONS)
        seconds = time.process_time() - started_s
        counts: Counter[str] = Counter()
        for scene, run in zip(dataset.scenes, runs, strict=True):
            told = [record for record in latest_revisions(run.revisions) if record.state != RETRACTED]
            made = score_scene(scene, told).counts
            counts.update({name: getattr(made, name) for name in COUNTS})
    return case, dict(counts), seconds


def markdown(rows: dict[str, Counter[str]], *, seeds: list[int], minutes: float, command: str) -> str:
    """Return the figures as a Markdown table."""
    software = describe_software()
    changed = " with changes" if software.git_dirty else ""
    lines = [
        "# Shots of simulated scenes",
        "",
        f"Commit {(software.git_commit or 'unknown')[:12]}{changed}; seeds {', '.join(map(str, seeds))}. Made by",
        f"`{command}` in {minutes:.0f} min. A shot is found when it is matched one to one within 25 m and 0.12 s.",
        "",
        "| scene | events | found | exact rounds | shots | found | duplicate | false | incidents false |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name, count in rows.items():
        lines.append(f"| {name} | {' | '.join(str(count[key]) for key in COUNTS)} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", nargs="+", choices=SCENES, default=list(SCENES))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    started_s = time.perf_counter()
    rows: dict[str, Counter[str]] = {name: Counter() for name in (*arguments.scenes, "all")}
    cases = [Case(name, seed) for name in arguments.scenes for seed in arguments.seeds]
    each = []
    for case, counts, seconds in in_parallel(scored, cases, jobs=arguments.jobs):
        rows[case.scene].update(counts)
        rows["all"].update(counts)
        each.append({"scene": case.scene, "seed": case.seed, "replay_cpu_s": round(seconds, 2), **counts})
        sys.stderr.write(f"{case.scene} {case.seed}: {counts['shots_found']}/{counts['shots_fired']}\n")
    minutes = (time.perf_counter() - started_s) / 60.0
    command = " ".join(["python benchmarks/scenes.py", *sys.argv[1:]])
    text = markdown(rows, seeds=arguments.seeds, minutes=minutes, command=command)
    write_results(arguments.out, {"benchmark": "scenes", "cases": each}, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
