"""Two recorded tests of one firing position superposed in time, through fusion from all pulses: are both found?

    python benchmarks/superposed.py                          # 25 pairs of tests a position
    python benchmarks/superposed.py --all                    # all 153 pairs a position
    python benchmarks/superposed.py --quick                  # two pairs of one position: does it run? writes nothing
    python benchmarks/superposed.py --only FP4 --pairs 5     # a small part; writes nothing without --out

The second test's first discharge is at most 1.5 s before or after the first test's. Each pair is replayed twice: both
from the place where they were fired, and with the second test moved by 60 m, any direction: its arrivals are shifted by
the difference of the straight ways, so that what real paths add to them, echoes, clutter and levels stay as recorded.
Two discharges at one place within 40 ms are one sound and count as one. Beside it each test alone, the moved ones too.

Pairs, offsets and directions depend on the seed and the names of position and tests only. Writes OUT.json and OUT.md,
by default benchmarks/results/superposed, when the whole set is run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import numpy as np

from shotline.records import IncidentRecord
from shotline_recordings.dataset import Dataset, Scene, open_dataset
from shotline_recordings.score import LocationCheck, SceneScore, score_locations, score_scene
from shotline_recordings.superpose import moved_event, one_event, superposed
from shotline_recordings.work import progress_bars
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "superposed"
PAIRS = 25
SEED = 0
MOST_OFFSET_S = 1.5
MOVED_M = 60.0
ONE_SOUND_S = 0.040
CLOSEST_S = (0.0, 0.1, 0.2, 0.4, math.inf)
"""Classes of the least time between discharges of both tests; a pair whose discharges are all one sound is in none."""
VARIANTS = {
    "same place": "both at the surveyed place",
    "moved": f"the second test {MOVED_M:g} m away",
    "alone": "each test of the pairs alone",
    "moved alone": f"the second tests alone, {MOVED_M:g} m away",
}
QUICK = ("FP4", 2)


@dataclass(frozen=True, slots=True)
class Case:
    """One scene to replay; the last two are of `shotline_recordings.superpose.Superposed`."""

    variant: str
    position: str
    scene: Scene
    one_sound: int = 0
    closest_s: float = math.inf


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was made of it. ``mixed`` counts shots whose fix rests on arrivals of both tests."""

    case: Case
    score: SceneScore
    mixed: int


def cases_of(scene: Scene, *, pairs: int | None, seed: int) -> list[Case]:
    """Return the scenes of one firing position.

    Parameters
    ----------
    scene : Scene
    pairs : int | None
        How many pairs of tests, drawn without replacement; None for all.
    seed : int
    """
    tests = [item.event for item in scene.truth]
    every = list(combinations(tests, 2))
    chosen = every
    if pairs is not None and pairs < len(every):
        rows = np.random.default_rng([seed, zlib.crc32(scene.name.encode())]).choice(
            len(every), size=pairs, replace=False
        )
        chosen = [every[row] for row in sorted(rows)]
    alone = {test: one_event(scene, test) for test in tests}
    used = {test for pair in chosen for test in pair}
    made = [Case("alone", scene.name, alone[test]) for test in tests if test in used]
    for first, second in chosen:
        rng = np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in (scene.name, first, second))])
        offset_s = float(rng.uniform(-MOST_OFFSET_S, MOST_OFFSET_S))
        azimuth_rad = float(rng.uniform(0.0, 2.0 * math.pi))
        elsewhere = moved_event(
            alone[second], east_m=MOVED_M * math.sin(azimuth_rad), north_m=MOVED_M * math.cos(azimuth_rad)
        )
        for variant, other in (("same place", alone[second]), ("moved", elsewhere)):
            both = superposed(alone[first], other, offset_s=offset_s, one_sound_s=ONE_SOUND_S)
            made.append(Case(variant, scene.name, both.scene, both.one_sound, both.closest_s))
        made.append(Case("moved alone", scene.name, replace(elsewhere, name=f"{elsewhere.name}-for-{first}")))
    return made


def outcome_of(case: Case, revisions: Sequence[IncidentRecord]) -> Outcome:
    """Score what stands at the end."""
    standing = [item for item in latest_revisions(revisions) if item.state != RETRACTED]
    test_of = {str(item.uid): item.boot for item in case.scene.detections}
    mixed = sum(
        len({test_of[arrival.detection] for arrival in shot.arrivals if arrival.used}) > 1
        for incident in standing
        for shot in incident.shots
    )
    return Outcome(case, score_scene(case.scene, standing), mixed)


def replayed(cases: Sequence[Case], *, jobs: int) -> list[Outcome]:
    """Replay every case from all its pulses."""
    dataset = Dataset(name="superposed", licence="", source="", scenes=tuple(case.scene for case in cases))
    with progress_bars({"fuse": "scenes"}) as progress:
        runs = replay_dataset(dataset, Source.PULSES, jobs=jobs, progress=progress)
    return [outcome_of(case, run.revisions) for case, run in zip(cases, runs, strict=True)]


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures of some scenes together."""
    counts = [item.score.counts for item in outcomes]
    fired, found, reported, false, duplicate, unverifiable = (
        sum(getattr(item, name) for item in counts)
        for name in (
            "shots_fired",
            "shots_found",
            "shots_reported",
            "shots_false",
            "shots_duplicate",
            "shots_unverifiable",
        )
    )
    checks: list[LocationCheck] = [check for item in outcomes for check in item.score.shot_checks]
    error = score_locations(checks, attempted=fired)
    return {
        "scenes": len(outcomes),
        "one_sound": sum(item.case.one_sound for item in outcomes),
        "shots_fired": fired,
        "shots_found": found,
        "share_found": round(found / fired, 4) if fired else None,
        "shots_reported": reported,
        "shots_false": false,
        "share_false": round(false / reported, 4) if reported else None,
        "shots_duplicate": duplicate,
        "shots_unverifiable": unverifiable,
        "shots_of_both_tests": sum(item.mixed for item in outcomes),
        "scenes_exact": sum(
            item.score.counts.shots_found == item.score.counts.shots_fired
            and item.score.counts.shots_reported == item.score.counts.shots_fired + item.score.counts.shots_unverifiable
            for item in outcomes
        ),
        "events": sum(item.events for item in counts),
        "events_found": sum(item.events_found for item in counts),
        "incidents": sum(item.incidents for item in counts),
        "scenes_with_an_incident_per_event": sum(item.incidents == item.events == item.events_found for item in counts),
        "median_error_m": None if error.median_m is None else round(error.median_m, 2),
        "p95_error_m": None if error.p95_m is None else round(error.p95_m, 2),
    }


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the figures by variant: overall, by firing position and by how close discharges of both tests are."""
    made: dict[str, Any] = {}
    for variant in VARIANTS:
        some = [item for item in outcomes if item.case.variant == variant]
        positions = dict.fromkeys(item.case.position for item in some)
        made[variant] = {
            "overall": figures(some),
            "positions": {name: figures([item for item in some if item.case.position == name]) for name in positions},
        }
        if variant in ("same place", "moved"):
            made[variant]["closest_s"] = {
                f"{low:g} to {high:g}" if math.isfinite(high) else f"{low:g} and more": figures(
                    [item for item in some if low <= item.case.closest_s < high]
                )
                for low, high in pairwise(CLOSEST_S)
            }
    return made


def failures(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Return the scenes in which a shot was missed or one too many reported."""
    made = []
    for item in outcomes:
        counts = item.score.counts
        if counts.shots_missed or counts.shots_false or counts.shots_duplicate:
            made.append(
                {
                    "variant": item.case.variant,
                    "scene": item.case.scene.name,
                    "closest_s": round(item.case.closest_s, 3) if math.isfinite(item.case.closest_s) else None,
                    "fired": counts.shots_fired,
                    "found": counts.shots_found,
                    "false": counts.shots_false,
                    "duplicate": counts.shots_duplicate,
                }
            )
    return made


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


COLUMNS = (
    "",
    "scenes",
    "shots fired",
    "found",
    "found, %",
    "false",
    "false, % of reported",
    "duplicate",
    "scenes exact",
    "median error, m",
    "p95, m",
)


def row_of(name: str, part: dict[str, Any]) -> tuple[str, ...]:
    """Return one row of a table."""

    def number(value: float | None, *, times: float = 1.0) -> str:
        return "" if value is None else f"{times * value:.1f}"

    return (
        name,
        str(part["scenes"]),
        str(part["shots_fired"]),
        str(part["shots_found"]),
        number(part["share_found"], times=100.0),
        str(part["shots_false"]),
        number(part["share_false"], times=100.0),
        str(part["shots_duplicate"]),
        str(part["scenes_exact"]),
        number(part["median_error_m"]),
        number(part["p95_error_m"]),
    )


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    results = document["variants"]
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    same, moved = results["same place"]["overall"], results["moved"]["overall"]
    positions = len(results["alone"]["positions"])
    parts = [
        f"""# Two tests superposed in time

Commit {commit}. Made by `{document["command"]}` in {document["minutes"]:.1f} min; jobs: {document["jobs"]}; seed
{document["seed"]}. Pairs of tests of one firing position: {document["pairs_per_position"]} of each of {positions}. A
shot is found when it is matched one to one with a discharge within 25 m and 0.12 s (docs/scoring.md); a scene is exact
when all are found and nothing else is reported.

{table(COLUMNS, [row_of(words, results[name]["overall"]) for name, words in VARIANTS.items()])}

At one place {same["one_sound"]} discharges of the second tests fall within {1000.0 * ONE_SOUND_S:g} ms of one of the
first: they are one sound by nature and count once. Fixes that rest on arrivals of both tests:
{same["shots_of_both_tests"]} of {same["shots_reported"]} at one place, {moved["shots_of_both_tests"]} of
{moved["shots_reported"]} with the second test moved. Of {moved["scenes"]} pairs with the second test moved
{moved["scenes_with_an_incident_per_event"]} were told as just two incidents, each within 25 m of its place.

The weather is that of the first test; the speed of sound of two tests of one position differs by
{document["largest_speed_difference_mps"]:.2f} m/s at the most. Recorded sensors tell pulses 1 ms apart, so none is
taken away where pulses of both tests meet."""
    ]
    for name in ("same place", "moved"):
        rows = [row_of(position, part) for position, part in results[name]["positions"].items()]
        classes = [row_of(label, part) for label, part in results[name]["closest_s"].items()]
        parts += [
            f"## By firing position: {VARIANTS[name]}",
            table(COLUMNS, rows),
            f"## By least time between discharges of both tests: {VARIANTS[name]}",
            table(("seconds", *COLUMNS[1:]), classes),
        ]
    return "\n\n".join(parts) + "\n"


def largest_speed_difference_mps(scenes: Sequence[Scene]) -> float:
    """Return by how much the speed of sound differs between tests of one position, at the most."""
    largest = 0.0
    for scene in scenes:
        speeds = [scene.weather.at(item.window_ns[0]).speed_of_sound_mps for item in scene.truth]
        largest = max(largest, max(speeds) - min(speeds))
    return largest


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--only", nargs="+", metavar="POSITION", help="these firing positions only")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="pairs of tests a position")
    parser.add_argument("--all", action="store_true", help="all pairs of tests")
    parser.add_argument("--quick", action="store_true", help="two pairs of one position")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write OUT.json and OUT.md")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
        return 2
    pairs = None if arguments.all else arguments.pairs
    only, out = arguments.only, arguments.out
    if arguments.quick:
        only, pairs = [QUICK[0]], QUICK[1]
    elif only is None and out is None:
        out = RESULTS
    started_s = time.perf_counter()
    scenes = open_dataset(arguments.data, loader="pittsburgh", only=only).scenes
    outcomes: list[Outcome] = []
    for scene in scenes:
        outcomes += replayed(cases_of(scene, pairs=pairs, seed=arguments.seed), jobs=arguments.jobs)
        sys.stderr.write(f"{scene.name}: {len(outcomes)} scenes after {time.perf_counter() - started_s:.0f} s\n")
    software = describe_software()
    document = {
        "benchmark": "superposed",
        "command": " ".join(["python", "benchmarks/superposed.py", *_told(arguments)]),
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "packages": software.packages,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "seed": arguments.seed,
        "jobs": arguments.jobs,
        "minutes": round((time.perf_counter() - started_s) / 60.0, 2),
        "pairs_per_position": "all" if pairs is None else pairs,
        "most_offset_s": MOST_OFFSET_S,
        "moved_m": MOVED_M,
        "one_sound_s": ONE_SOUND_S,
        "largest_speed_difference_mps": round(largest_speed_difference_mps(scenes), 3),
        "variants": summary(outcomes),
        "failures": failures(outcomes),
    }
    text = text_of(document)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


def _told(arguments: argparse.Namespace) -> list[str]:
    """Return the arguments that change a figure."""
    words = ["--only", *arguments.only] if arguments.only else []
    if arguments.all:
        words.append("--all")
    elif arguments.pairs != PAIRS:
        words += ["--pairs", str(arguments.pairs)]
    if arguments.quick:
        words.append("--quick")
    return [*words, "--seed", str(arguments.seed)] if arguments.seed != SEED else words


if __name__ == "__main__":
    sys.exit(main())
