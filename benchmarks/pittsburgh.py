"""The real live-fire recordings, three ways: given pulse sets, all pulses, raw sound; beside the published figures.

    python benchmarks/pittsburgh.py                 # the whole set: minutes
    python benchmarks/pittsburgh.py --quick         # two tests of one firing position: does it run?
    python benchmarks/pittsburgh.py --keep out      # also keep incidents and report pages, in out/tuples, ...

Sound is heard with the rule: the shipped networks have learned from these recordings. What networks make of places that
they never heard: classifier_replay.py. Writes benchmarks/results/pittsburgh.json and pittsburgh.md (``--quick`` writes
neither). The figures follow from data and code alone; wall times are this machine's.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_replay.replay import Source
from shotline_replay.report import Report
from shotline_replay.run import Request, replay_to_folder
from shotline_replay.summary import summary_rows

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results"
SENSORS = (4, 5, 6, 8, 10)
SUBSETS = 20
SEED = 0
RULE = "impulse-rules-1"
QUICK = ("FP1/test_001", "FP1/test_002")


def measure(source: Source, folder: Path, *, data: Path, quick: bool, jobs: int) -> tuple[Report, float]:
    """Replay one way; return the report and the wall seconds."""
    request = Request(
        dataset=data,
        out=folder,
        loader="pittsburgh",
        source=source,
        only=QUICK if quick else None,
        sensors=SENSORS if source is Source.TUPLES else (),
        subsets=2 if quick else SUBSETS,
        seed=SEED,
        model=RULE if source is Source.AUDIO else DEFAULT_CLASSIFIER,
        jobs=jobs,
    )
    started_s = time.perf_counter()
    report = replay_to_folder(request)
    return report, time.perf_counter() - started_s


def markdown(reports: dict[str, Report], wall_s: dict[str, float], *, quick: bool) -> str:
    """Return the figures as Markdown tables."""
    first = next(iter(reports.values()))
    commit = first.software.git_commit or "unknown"
    tests = "two tests only (--quick)" if quick else f"{len(first.dataset.scenes)} of the nine firing positions"
    code = f"{commit[:12]}{' with changes' if first.software.git_dirty else ''}"
    command = f"python benchmarks/pittsburgh.py{' --quick' if quick else ''}"
    published = first.published.source if first.published else "-"
    lines = ["# Pittsburgh live-fire set", ""]
    lines += [f"Commit {code}; {tests}; seed {SEED}. Made by `{command}`.", f"Published: {published}."]
    for name, report in reports.items():
        lines += ["", f"## from {name} ({wall_s[name]:.0f} s)", "", "| | here | published |", "|---|---:|---:|"]
        lines += [f"| {row.what} | {row.value} | {row.published} |" for row in summary_rows(report)]
    if first.published is not None:
        lines += ["", first.published.note]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two tests only")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--keep", type=Path, help="keep the outputs of each replay here")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
        return 2
    reports: dict[str, Report] = {}
    wall_s: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as scratch:
        for source in (Source.TUPLES, Source.PULSES, Source.AUDIO):
            folder = (arguments.keep or Path(scratch)) / source.value
            report, seconds = measure(source, folder, data=arguments.data, quick=arguments.quick, jobs=arguments.jobs)
            reports[source.value], wall_s[source.value] = report, seconds
            sys.stderr.write(f"{source.value}: {seconds:.1f} s\n")
    board = {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()}
    document = {
        "benchmark": "pittsburgh",
        "quick": arguments.quick,
        "board": board,
        "wall_s": {key: round(value, 1) for key, value in wall_s.items()},
        "reports": {key: msgspec.to_builtins(value) for key, value in reports.items()},
    }
    for report in document["reports"].values():
        for scene in (report.get("score") or {}).get("scenes", []):
            for long in ("events", "shot_checks"):
                del scene[long]
    text = markdown(reports, wall_s, quick=arguments.quick)
    if not arguments.quick:
        RESULTS.mkdir(parents=True, exist_ok=True)
        (RESULTS / "pittsburgh.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        (RESULTS / "pittsburgh.md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
