"""Our locator and associator beside others', on the same arrivals in the same run.

    python benchmarks/peers.py                                   # every table
    python benchmarks/peers.py --quick                           # two tests only: does it run? writes nothing
    python benchmarks/peers.py --solvers locate scipy_many       # only these; writes nothing without --out
    python benchmarks/peers.py --peers FOLDER                    # packages that no environment of ours can hold

Arrivals are the vendor's pulse sets of the Pittsburgh live-fire set, of a sensor that is there twice the first. Tables:
all sensors; random sub-arrays (the subsets of `shotline replay --from tuples --sensors`, seed 0); one or two arrivals
late by 50 to 400 ms; time a shot; and shots from all pulses, beside PyOcto. A refusal counts as a miss. Intervals are
bootstrapped over firing positions. A solver whose package is not here is named with the reason.

OpenSoundscape asks for torch and much more, of which its localization needs nothing; PyOcto asks for numpy 1 on Python
3.11 and works with numpy 2. So both go into a folder of their own, after everything else on the path:

    pip install --no-deps --target FOLDER opensoundscape==0.13.2 pyocto==0.2.2 pandas python-dateutil

Writes OUT.json and OUT.md, by default benchmarks/results/peers, when everything is run.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from peer_association import SETTINGS, pyocto_incidents
from peer_solvers import Problem, Solver, by_batches, missing, solvers, version_of

from fusion_server.locate import ArrivalBatch, locate_batch
from shotline_recordings.dataset import Dataset, Scene, open_dataset
from shotline_recordings.score import Score, score_scene, summarise
from shotline_recordings.superpose import one_event
from shotline_recordings.work import in_parallel
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software
from shotline_replay.subarrays import delayed, shot_rng, subarrays
from shotline_replay.tuples import given_shots

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "peers"
QUICK = ("FP1/test_001", "FP1/test_002")
SEED = 0
WITHIN_M = 15.0
SENSORS = (4, 5, 6, 8, 10)
SUBSETS = 20
LATE_SENSORS = (5, 6, 8, 0)
"""0 is all sensors of a shot."""
LATE_SUBSETS = 10
LATE_S = (0.050, 0.400)
TIMED_SENSORS = 10
TIMED_SHOTS = 40
TURNS = 15
RESAMPLES = 2_000
ASSOCIATION_COLUMNS = ("associator", "found", "false", "duplicate", "tests exact", "median, m", "p95, m", "s a test")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: so many sensors (0: all) of which so many late."""

    sensors: int
    late: int

    @property
    def label(self) -> str:
        """How it is written in the JSON."""
        sensors = f"k={self.sensors}" if self.sensors else "all sensors"
        return f"{sensors}, {self.late} late" if self.late else sensors


ALL = Kind(0, 0)
CLEAN = tuple(Kind(sensors, 0) for sensors in SENSORS)
LATE = tuple(Kind(sensors, late) for late in (1, 2) for sensors in LATE_SENSORS)


@dataclass(frozen=True, slots=True)
class Work:
    """One solver on one firing position, for one process."""

    scene: Scene
    solver: str
    subsets: int


@dataclass(frozen=True, slots=True)
class Errors:
    """Errors in m by kind of problem, NaN where there was no answer."""

    position: str
    solver: str
    by_kind: dict[Kind, NDArray[np.float64]]
    seconds: float


def problems_of(scene: Scene, kind: Kind, *, subsets: int) -> Iterator[tuple[Problem, tuple[float, float]]]:
    """Yield the problems of one kind in a scene, each with the true place; shots with fewer sensors have none."""
    for shot in given_shots(scene):
        if shot.truth is None or len(shot.arrivals) < kind.sensors:
            continue
        truth_m = shot.truth.x_m, shot.truth.y_m
        names = shot.scene, shot.event, shot.shot_index
        count = min(subsets, LATE_SUBSETS) if kind.late else subsets
        if kind.sensors:
            some = subarrays(
                shot.arrivals, size=kind.sensors, subsets=count, rng=shot_rng(*names, kind.sensors, seed=SEED)
            )
        else:
            some = [shot.arrivals] * (count if kind.late else 1)
        for number, arrivals in enumerate(some):
            if kind.late:
                rng = shot_rng(*names, kind.sensors, kind.late, number, seed=SEED)
                arrivals = delayed(arrivals, count=kind.late, least_s=LATE_S[0], most_s=LATE_S[1], rng=rng)
            yield Problem(arrivals, shot.weather), truth_m


def errors_of(work: Work) -> Errors:
    """Solve every problem of a scene with one solver."""
    solver = solvers()[work.solver]
    by_kind: dict[Kind, NDArray[np.float64]] = {}
    seconds = 0.0
    for kind in (ALL, *CLEAN, *LATE):
        pairs = list(problems_of(work.scene, kind, subsets=work.subsets))
        started_s = time.perf_counter()
        places = solver.solve([problem for problem, _ in pairs])
        seconds += time.perf_counter() - started_s
        by_kind[kind] = np.array(
            [
                math.nan if place is None else math.hypot(place[0] - truth_m[0], place[1] - truth_m[1])
                for place, (_, truth_m) in zip(places, pairs, strict=True)
            ]
        )
    return Errors(work.scene.name, work.solver, by_kind, seconds)


# Figures.


def bootstrapped(
    parts: Sequence[NDArray[np.float64]], figure: Callable[[NDArray[np.float64]], float]
) -> list[float] | None:
    """Return the 95 % interval of a figure, firing positions drawn with replacement; None of fewer than two."""
    if len(parts) < 2:
        return None
    rng = np.random.default_rng(SEED)
    drawn = rng.integers(len(parts), size=(RESAMPLES, len(parts)))
    values = [figure(np.concatenate([parts[index] for index in row])) for row in drawn.tolist()]
    return [round(float(value), 4) for value in np.nanpercentile(values, (2.5, 97.5))]


def share_within(errors_m: NDArray[np.float64]) -> float:
    """Return the share of answers within 15 m; no answer is none."""
    return float(np.mean(errors_m <= WITHIN_M)) if len(errors_m) else math.nan


def median_m(errors_m: NDArray[np.float64]) -> float:
    """Return the median over answers."""
    return float(np.nanmedian(errors_m)) if np.isfinite(errors_m).any() else math.nan


def figures(parts: Sequence[NDArray[np.float64]]) -> dict[str, Any]:
    """Return the figures of one solver on one kind of problem, given by firing position."""
    every = np.concatenate(parts)
    there = every[np.isfinite(every)]
    if not len(every):
        return {"problems": 0}
    made: dict[str, Any] = {
        "problems": len(every),
        "refused": len(every) - len(there),
        "share_within_15m": round(share_within(every), 4),
        "share_interval95": bootstrapped(parts, share_within),
    }
    if len(there):
        made |= {
            "median_m": round(median_m(every), 2),
            "median_interval95": bootstrapped(parts, median_m),
            "p95_m": round(float(np.percentile(there, 95.0)), 2),
            "max_m": round(float(there.max()), 2),
        }
    return made


def speeds(scenes: Sequence[Scene], chosen: dict[str, Solver]) -> dict[str, Any]:
    """Return microseconds a shot at k = 10, all solvers in each turn, the median over turns.

    Others' figures leave out making arrays of arrivals; ours leaves out nothing, and so does "all at once" but for its
    second figure.
    """
    every = [problem for scene in scenes for problem, _ in problems_of(scene, Kind(TIMED_SENSORS, 0), subsets=1)]
    work = every[:: max(1, len(every) // TIMED_SHOTS)][:TIMED_SHOTS]
    if not work:
        return {"problems": 0}
    runs: dict[str, Callable[[], object]] = {}
    for name, solver in chosen.items():
        if solver.many is None:
            prepared = [solver.prepare(problem) for problem in work]
            runs[name] = _each(solver, prepared)
    if "locate_batch" in chosen:
        by_weather = {
            weather: [problem.arrivals for problem in every if problem.weather == weather]
            for weather in dict.fromkeys(problem.weather for problem in every)
        }
        columns = [(ArrivalBatch.of(shots), weather) for weather, shots in by_weather.items()]
        runs["locate_batch"] = lambda: by_batches(every)
        runs["locate_batch, columns given"] = lambda: [
            locate_batch(batch, weather=weather) for batch, weather in columns
        ]
    taken_us: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(TURNS + 1):
        for name, run in runs.items():
            started_s = time.perf_counter()
            run()
            seconds = time.perf_counter() - started_s
            if turn:
                count = len(every) if name.startswith("locate_batch") else len(work)
                taken_us[name].append(1e6 * seconds / count)
    yardstick_us = taken_us.get("scipy_centroid")
    rows: dict[str, dict[str, float | None]] = {}
    for name, values in taken_us.items():
        ratios = [value / other for value, other in zip(values, yardstick_us or (), strict=False)]
        rows[name] = {
            "microseconds": round(statistics.median(values), 1),
            "ratio_to_scipy_centroid": round(statistics.median(ratios), 3) if ratios else None,
        }
    return {"sensors": TIMED_SENSORS, "problems": len(work), "problems_at_once": len(every), "rows": rows}


def _each(solver: Solver, prepared: Sequence[object]) -> Callable[[], object]:
    def run() -> None:
        for item in prepared:
            solver.one(item)

    return run


# Association.


@dataclass(frozen=True, slots=True)
class Associating:
    """One firing position for PyOcto, for one process."""

    scene: Scene
    relocated: bool


def scored_pyocto(work: Associating) -> tuple[Any, float]:
    """Return the score of a scene and the wall seconds."""
    started_s = time.perf_counter()
    found = pyocto_incidents(work.scene, settings=SETTINGS, relocated=work.relocated)
    seconds = time.perf_counter() - started_s
    return score_scene(work.scene, found), seconds


def association(dataset: Dataset, *, jobs: int) -> dict[str, Any]:
    """Return shots from all pulses: ours, and PyOcto's where it is installed."""
    tests = sum(len(scene.truth) for scene in dataset.scenes)
    first = one_event(dataset.scenes[0], dataset.scenes[0].truth[0].event)
    replay_dataset(replace(dataset, scenes=(first,)), Source.PULSES)  # Compiles what is compiled on first use.
    started_s = time.perf_counter()
    runs = replay_dataset(dataset, Source.PULSES, jobs=1)
    seconds = time.perf_counter() - started_s
    ours = [
        score_scene(scene, [item for item in latest_revisions(run.revisions) if item.state != RETRACTED])
        for scene, run in zip(dataset.scenes, runs, strict=True)
    ]
    made = {"Shotline": _associated(summarise(ours), seconds / tests)}
    for words, relocated in (("PyOcto", False), ("PyOcto, relocated by least squares, many starts", True)):
        if reason := missing("pyocto") or missing("pandas"):
            made[words] = {"missing": reason}
            continue
        done = list(in_parallel(scored_pyocto, [Associating(scene, relocated) for scene in dataset.scenes], jobs=jobs))
        made[words] = _associated(summarise([score for score, _ in done]), sum(seconds for _, seconds in done) / tests)
    return made


def _associated(score: Score, seconds: float) -> dict[str, Any]:
    counts, shots = score.counts, score.shots
    return {
        "shots": counts.shots_fired,
        "found": counts.shots_found,
        "false": counts.shots_false,
        "duplicate": counts.shots_duplicate,
        "tests": counts.events,
        "tests_exact": counts.events_exact,
        "median_m": None if shots.median_m is None else round(shots.median_m, 2),
        "p95_m": None if shots.p95_m is None else round(shots.p95_m, 2),
        "seconds_a_test": round(seconds, 3),
    }


# What is written.


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _share(part: dict[str, Any]) -> str:
    if not part["problems"]:
        return ""
    text = f"{100.0 * part['share_within_15m']:.1f}"
    if part["share_interval95"]:
        text += " ({:.1f} to {:.1f})".format(*(100.0 * value for value in part["share_interval95"]))
    return text


def _metres(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    results, names = document["solvers"], document["names"]
    ran = {key: part for key, part in results.items() if "missing" not in part}
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in document["versions"].items() if version)
    absent = [f"{names[key]}: {part['missing']}" for key, part in results.items() if "missing" in part]
    absent += [f"{name}: {part['missing']}" for name, part in document["association"].items() if "missing" in part]
    full_rows = []
    for key, part in ran.items():
        full = part[ALL.label]
        interval = "{:.1f} to {:.1f}".format(*full["median_interval95"]) if full.get("median_interval95") else ""
        errors = [_metres(full.get(name)) for name in ("median_m", "p95_m", "max_m")]
        full_rows.append((names[key], errors[0], interval, *errors[1:], str(full["refused"])))
    speed = document["speed"]
    names_too = {**names, "locate_batch, columns given": "Shotline, all at once, columns given"}
    speed_rows = [
        (
            names_too[key],
            f"{row['microseconds']:.0f}",
            "" if row["ratio_to_scipy_centroid"] is None else f"{row['ratio_to_scipy_centroid']:.2f}",
        )
        for key, row in speed.get("rows", {}).items()
    ]
    association_rows = [
        (
            name,
            f"{part['found']} of {part['shots']}",
            str(part["false"]),
            str(part["duplicate"]),
            f"{part['tests_exact']} of {part['tests']}",
            _metres(part["median_m"]),
            _metres(part["p95_m"]),
            f"{part['seconds_a_test']:.2f}",
        )
        for name, part in document["association"].items()
        if "missing" not in part
    ]

    def shares(kinds: Sequence[Kind]) -> list[tuple[str, ...]]:
        return [(names[key], *(_share(part[kind.label]) for kind in kinds)) for key, part in ran.items()]

    late_columns = [f"{kind.sensors or 'all'}, {('one', 'two')[kind.late - 1]} late" for kind in LATE]
    missing_text = "\n".join(f"- Not run: {line}." for line in absent) or "All that were asked for ran."
    return f"""# Beside other people's solvers

Commit {commit}. Made by `{document["command"]}` in {document["minutes"]:.1f} min; jobs: {document["jobs"]}; seed
{SEED}. {document["positions"]} firing positions, {document["shots"]} shots with given pulse sets.
Versions: {versions}.

{missing_text}

Every solver gets the same arrivals; others' get the same speed of sound, still air. Errors are to a survey good to
2.5 m per axis. In brackets: 95 % interval, firing positions drawn with replacement. A refusal is a miss.

## All sensors

{table(("solver", "median, m", "95 % interval", "p95, m", "max, m", "refused"), full_rows)}

## Random sub-arrays: share within {WITHIN_M:g} m, in %

{document["subsets"]} subsets a shot and size.

{table(("solver", *(f"k = {kind.sensors}" for kind in CLEAN)), shares(CLEAN))}

## One or two arrivals late by {1000.0 * LATE_S[0]:g} to {1000.0 * LATE_S[1]:g} ms: share within {WITHIN_M:g} m, in %

{min(LATE_SUBSETS, document["subsets"])} subsets, or draws of the delays with all sensors, a shot.

{table(("solver", *late_columns), shares(LATE))}

## Time a shot, {TIMED_SENSORS} sensors

Median over {TURNS} turns, in one process; one at a time {speed["problems"]} problems, all at once
{speed.get("problems_at_once", 0)}. Others' times leave out making arrays of arrivals, and they return a place only;
ours leave out nothing, and one at a time they hold errors and verdicts too.

{table(("solver", "microseconds", "ratio to scipy, one start"), speed_rows)}

## Shots from all pulses

Found: one to one within 25 m and 0.12 s; exact: all found and nothing else reported (docs/scoring.md). Ours hears each
position as one stream, in event time, one process; PyOcto gets each test alone and at once, and its settings are the
best of those tried on these recordings: {document["pyocto_settings"]}.
Seconds are wall time of one process a test.

{table(ASSOCIATION_COLUMNS, association_rows)}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="two tests only, two subsets a shot")
    parser.add_argument("--solvers", nargs="+", choices=list(solvers()), help="only these")
    parser.add_argument("--peers", type=Path, metavar="FOLDER", help="where peers were installed with --target")
    parser.add_argument("--no-association", action="store_true", help="leave out shots from all pulses")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write OUT.json and OUT.md")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
        return 2
    if arguments.peers is not None:
        if not arguments.peers.is_dir():
            sys.stderr.write(f"no folder at {arguments.peers}; install the peers there, see --help\n")
            return 2
        sys.path.append(str(arguments.peers.resolve()))
    whole = not (arguments.quick or arguments.solvers or arguments.no_association)
    out = arguments.out or (RESULTS if whole else None)
    subsets = 2 if arguments.quick else SUBSETS
    started_s = time.perf_counter()
    dataset = open_dataset(arguments.data, loader="pittsburgh", only=QUICK if arguments.quick else None)
    known = solvers()
    chosen = {key: known[key] for key in arguments.solvers or known}
    usable = {key: solver for key, solver in chosen.items() if not solver.missing}
    for solver in chosen.values():
        if solver.missing:
            sys.stderr.write(f"{solver.name}: left out, {solver.missing}\n")

    def told(what: str) -> None:
        sys.stderr.write(f"{what} after {time.perf_counter() - started_s:.0f} s\n")

    speed = speeds(dataset.scenes, usable)
    told("speed")
    work = [Work(scene, key, subsets) for key in usable for scene in dataset.scenes]
    done: list[Errors] = []
    for errors in in_parallel(errors_of, work, jobs=arguments.jobs):
        done.append(errors)
        if len(done) % len(dataset.scenes) == 0:
            told(usable[errors.solver].name)
    associated = {} if arguments.no_association else association(dataset, jobs=arguments.jobs)
    told("association")
    results: dict[str, Any] = {}
    for key, solver in chosen.items():
        parts = [item for item in done if item.solver == key]
        if solver.missing:
            results[key] = {"missing": solver.missing}
            continue
        results[key] = {kind.label: figures([item.by_kind[kind] for item in parts]) for kind in (ALL, *CLEAN, *LATE)}
        results[key]["seconds"] = round(sum(item.seconds for item in parts), 1)
    software = describe_software()
    packages = dict.fromkeys([solver.package for solver in chosen.values() if solver.package] + ["pyocto", "numpy"])
    command = ["python", "benchmarks/peers.py"]
    command += ["--quick"] if arguments.quick else []
    command += ["--solvers", *arguments.solvers] if arguments.solvers else []
    command += ["--peers", "FOLDER"] if arguments.peers else []
    command += ["--no-association"] if arguments.no_association else []
    document = {
        "benchmark": "peers",
        "command": " ".join(command),
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "packages": software.packages,
        "versions": {name: version_of(name) for name in packages},
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "seed": SEED,
        "subsets": subsets,
        "late_s": LATE_S,
        "jobs": arguments.jobs,
        "minutes": round((time.perf_counter() - started_s) / 60.0, 2),
        "positions": len(dataset.scenes),
        "shots": sum(len(scene.pulse_sets) for scene in dataset.scenes),
        "names": {key: solver.name for key, solver in chosen.items()},
        "solvers": results,
        "speed": speed,
        "pyocto_settings": ", ".join(f"{name} {getattr(SETTINGS, name):g}" for name in SETTINGS.__dataclass_fields__),
        "association": associated,
    }
    text = text_of(document)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        out.with_suffix(".md").write_text(text, encoding="utf-8")
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
