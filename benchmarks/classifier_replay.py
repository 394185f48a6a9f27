"""What a network changes: live fire from raw sound, heard with the rule and with networks that never heard the place.

    shotline models train impulse-cnn-nc ... --out made --keep-folds
    python benchmarks/classifier_replay.py --folds made/folds [--out benchmarks/results/classifier_replay]

Each firing position is replayed once with the rule, and once with the network of the fold that held it out. Fusion is
that of every replay. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import msgspec
from results_files import write_results

from shotline_recordings.dataset import Dataset, open_dataset
from shotline_recordings.score import score_scene
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "classifier_replay"
RULE = "impulse-rules-1"
COUNTS = ("events_exact", "shots_found", "shots_false", "incidents_false")


def counted(dataset: Dataset, model: str, *, jobs: int) -> Counter[str]:
    """Replay one position from its sound; return what was found and what was invented."""
    counts: Counter[str] = Counter()
    for scene, run in zip(dataset.scenes, replay_dataset(dataset, Source.AUDIO, model=model, jobs=jobs), strict=True):
        told = [record for record in latest_revisions(run.revisions) if record.state != RETRACTED]
        made = score_scene(scene, told).counts
        counts.update({name: getattr(made, name) for name in ("events", "shots_fired", *COUNTS)})
        counts["detections"] += len(run.heard)
    return counts


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folds", type=Path, required=True, help="folder of NAME-fold-1.onnx and so on")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    networks = sorted(arguments.folds.glob("*-fold-*.onnx"), key=lambda path: int(path.stem.rpartition("-")[2]))
    if not networks:
        sys.stderr.write(f"no NAME-fold-N.onnx in {arguments.folds}; train with --keep-folds\n")
        return 2
    positions = sorted(scene.name for scene in open_dataset(arguments.data, loader="pittsburgh").scenes)
    rows: dict[str, dict[str, Counter[str]]] = {"rule": {}, "network": {}}
    for index, position in enumerate(positions):
        dataset = open_dataset(arguments.data, loader="pittsburgh", only=[position])
        for what, model in (("rule", RULE), ("network", str(networks[index % len(networks)]))):
            rows[what][position] = counted(dataset, model, jobs=arguments.jobs)
            sys.stderr.write(f"{position} {what}: {dict(rows[what][position])}\n")
    for counts in rows.values():
        counts["all"] = sum(counts.values(), Counter())
    software = describe_software()
    name = networks[0].stem.rpartition("-fold-")[0]
    lines = [
        "# Live fire from raw sound: the rule, and a network that never heard the place",
        "",
        f"Commit {(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}; {name}.",
        "Made by `python benchmarks/classifier_replay.py --folds DIR`.",
        "",
        "| position | shots | found: rule | network | false: rule | network | exact tests: rule | network |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for position, rule in rows["rule"].items():
        other = rows["network"][position]
        pairs = (f"{rule[key]} | {other[key]}" for key in ("shots_found", "shots_false", "events_exact"))
        lines.append(f"| {position} | {rule['shots_fired']} | {' | '.join(pairs)} |")
    text = "\n".join(lines) + "\n"
    document = {"benchmark": "classifier_replay", "network": name, "software": msgspec.to_builtins(software)}
    document |= {what: {key: dict(value) for key, value in counts.items()} for what, counts in rows.items()}
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
