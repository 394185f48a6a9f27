"""How fast the simulator is, with sound and without, and that one seed gives one result.

    python benchmarks/simulator_speed.py [--jobs 2] [--seconds 60] [--repeats 1] [--shots 300] [--scenes suburb ...]

Node-seconds a second: each shipped scene at 48 kHz through `simulate_dataset`, by the clock on the wall, files and
truth included, with so many processes and with one; scenes with fewer than two reflections also with two. The processes
are started once, before. What the runs of one seed wrote is compared by sha256: sound, dataset.toml and tables.

Shots a second without sound: some hundred pistols and rifles at random places among the nodes, 8 s apart, one process,
without the time to build the stage. Writes OUT.json and OUT.md. The exit code is 1 when files differ.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from results_files import write_results

from shotline_recordings.scene import ScatterTable, SceneFile, load_scene, shipped_scene, shipped_scenes
from shotline_recordings.simulate import simulate_dataset
from shotline_recordings.simulate.run import simulated_detections
from shotline_recordings.simulate.stage import set_stage
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "simulator_speed"

RATE_HZ = 48_000
ORDER = 2
GOAL_PER_S = 20.0
GOAL_JOBS = 2
WEAPONS = ("glock-19", "glock-21", "m4", "rifle-308")
APART_S = 8.0
_WARM_S = 0.5


def at_rate(scene: SceneFile, *, order: int | None = None) -> SceneFile:
    """Return a scene at 48 kHz, with another order of reflections if need be."""
    changes: dict[str, Any] = {"sample_rate_hz": RATE_HZ}
    if order is not None:
        changes["paths"] = scene.paths.model_copy(update={"reflection_order": order})
    return scene.model_copy(update=changes)


def has_walls(scene: SceneFile) -> bool:
    """Return whether there is anything that could reflect."""
    return scene.city.grid is not None or bool(scene.city.buildings) or scene.city.footprints is not None


def digests(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def simulated(scene: SceneFile, *, seconds: float, jobs: int) -> tuple[float, dict[str, str]]:
    """Simulate the beginning of a scene; return how long that took, in s, and what was written."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "out"
        started_s = time.perf_counter()
        simulate_dataset(scene, folder, seed=scene.seed, excerpt_s=(0.0, seconds), jobs=jobs, picture=False)
        return time.perf_counter() - started_s, digests(folder)


def sound(scene: SceneFile, *, longest_s: float, jobs: int, repeats: int) -> dict[str, Any]:
    """Return the figures of one scene with sound."""
    seconds = min(scene.duration_s, longest_s)
    node_seconds = len(scene.nodes) * seconds
    several = [simulated(scene, seconds=seconds, jobs=jobs) for _ in range(repeats)]
    alone = [simulated(scene, seconds=seconds, jobs=1) for _ in range(repeats)]
    together_s, alone_s = (statistics.median(took_s for took_s, _ in runs) for runs in (several, alone))
    written = [files for _, files in (*several, *alone)]
    differ = sorted({name for files in written for name in files if files[name] != written[0].get(name)})
    return {
        "scene": scene.name,
        "reflection_order": scene.paths.reflection_order if has_walls(scene) else 0,
        "nodes": len(scene.nodes),
        "seconds": seconds,
        "node_seconds": node_seconds,
        "wall_s": round(together_s, 2),
        "wall_one_process_s": round(alone_s, 2),
        "node_seconds_per_s": round(node_seconds / together_s, 1),
        "node_seconds_per_s_one_process": round(node_seconds / alone_s, 1),
        "files": len(written[0]),
        "files_that_differ": differ,
        "dataset_toml_sha256": written[0]["dataset.toml"],
    }


def detections(scene: SceneFile, *, shots: int) -> dict[str, Any]:
    """Return the figures of one scene without sound."""
    places = np.array([(node.x_m, node.y_m) for node in scene.nodes])
    (west_m, south_m), (east_m, north_m) = places.min(axis=0).tolist(), places.max(axis=0).tolist()
    scatter = ScatterTable(
        event="shot",
        kinds=list(WEAPONS),
        count=shots,
        west_m=west_m,
        south_m=south_m,
        east_m=east_m,
        north_m=north_m,
        apart_s=APART_S,
    )
    changes = {"shots": [], "bangs": [], "scatter": [scatter], "duration_s": APART_S * (shots + 1)}
    stage = set_stage(scene.model_copy(update=changes), seed=scene.seed)
    # The first builds what all of them share: images of nodes, spectra, shadows.
    simulated_detections(stage, events=range(1))
    started_s = time.perf_counter()
    found = simulated_detections(stage)
    took_s = time.perf_counter() - started_s
    return {
        "scene": scene.name,
        "reflection_order": scene.paths.reflection_order if stage.city.n_walls else 0,
        "nodes": len(scene.nodes),
        "walls": stage.city.n_walls,
        "shots": shots,
        "detections": sum(len(some.detections) for some in found),
        "wall_s": round(took_s, 2),
        "shots_per_s": round(shots / took_s, 1),
    }


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    rows, jobs, board = document["sound"], document["jobs"], document["board"]
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    slowest = min(rows, key=lambda row: row["node_seconds_per_s"])
    unlike = [row["scene"] for row in rows if row["files_that_differ"]]
    verdict = (
        "every file of every scene is the same to the bit"
        if not unlike
        else f"files DIFFER in {', '.join(unlike)}: see the JSON"
    )
    met = "met by all" if slowest["node_seconds_per_s"] >= GOAL_PER_S else "MISSED"
    sound_table = table(
        (
            "scene",
            "order",
            "nodes",
            "s",
            f"wall, {jobs} processes, s",
            "node-seconds/s",
            "wall, one process, s",
            "node-seconds/s",
        ),
        [
            (
                row["scene"],
                str(row["reflection_order"]) if row["reflection_order"] else "no walls",
                str(row["nodes"]),
                f"{row['seconds']:g}",
                f"{row['wall_s']:.1f}",
                f"**{row['node_seconds_per_s']:.0f}**",
                f"{row['wall_one_process_s']:.1f}",
                f"{row['node_seconds_per_s_one_process']:.0f}",
            )
            for row in rows
        ],
    )
    detections_table = table(
        ("scene", "order", "nodes", "walls", "shots", "detections", "shots/s"),
        [
            (
                row["scene"],
                str(row["reflection_order"]) if row["reflection_order"] else "no walls",
                str(row["nodes"]),
                str(row["walls"]),
                str(row["shots"]),
                str(row["detections"]),
                f"**{row['shots_per_s']:.0f}**",
            )
            for row in document["detections"]
        ],
    )
    return f"""# Speed of the simulator

Commit {commit}. Made by `python benchmarks/simulator_speed.py` on {board["cores"]} cores ({board["machine"]}); load
before {board["load_before"]:.1f}.

## Sound at 48 kHz

Writing included. Goal: {GOAL_PER_S:g} node-seconds a second with echoes of second order on {GOAL_JOBS} cores: {met};
slowest {slowest["scene"]}, {slowest["node_seconds_per_s"]:.1f}. Starting {jobs} processes took
{document["start_processes_s"]:.1f} s, once, before.

{sound_table}

The same seed with {jobs} processes and with one: {verdict}.

## Detections without sound, one process

{detections_table}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=GOAL_JOBS)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each scene, at the most")
    parser.add_argument("--repeats", type=int, default=1, help="the median of so many runs counts")
    parser.add_argument("--shots", type=int, default=300, help="of each scene, without sound")
    parser.add_argument("--scenes", nargs="+", choices=list(shipped_scenes()), default=list(shipped_scenes()))
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    scenes = [load_scene(shipped_scene(name)) for name in arguments.scenes]
    start_s, _ = simulated(at_rate(scenes[0]), seconds=_WARM_S, jobs=arguments.jobs)
    sounds, without = [], []
    for scene in scenes:
        orders = [None, ORDER] if has_walls(scene) and scene.paths.reflection_order < ORDER else [None]
        for order in orders:
            row = sound(
                at_rate(scene, order=order),
                longest_s=arguments.seconds,
                jobs=arguments.jobs,
                repeats=arguments.repeats,
            )
            sounds.append(row)
            sys.stderr.write(f"{row['scene']}: {row['node_seconds_per_s']} node-seconds/s\n")
        without.append(detections(at_rate(scene), shots=arguments.shots))
        sys.stderr.write(f"{scene.name}: {without[-1]['shots_per_s']} shots/s\n")
    software = describe_software()
    document = {
        "benchmark": "simulator_speed",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {
            "machine": platform.machine(),
            "system": platform.system(),
            "cores": os.cpu_count(),
            "load_before": round(load, 2),
        },
        "packages": software.packages,
        "jobs": arguments.jobs,
        "repeats": arguments.repeats,
        "start_processes_s": round(start_s, 2),
        "sound": sounds,
        "detections": without,
    }
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 1 if any(row["files_that_differ"] for row in sounds) else 0


if __name__ == "__main__":
    sys.exit(main())
