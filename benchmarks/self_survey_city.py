"""Self-survey in a simulated city, from sound paths round houses to mended positions, and what shots gain by it.

    python benchmarks/self_survey_city.py [--seeds 8] [--out benchmarks/results/self_survey_city]

The shipped city block with other shots: 60 single rounds in its streets, ten nodes surveyed with 3 m of error per axis,
clocks on PPS. Detections are simulated along paths over and round houses, fused with the wrong positions, and the first
40 incidents that stand are what the self-survey is given: nothing else, or the true places of ten of the shots as well.
The shots after those are located anew with the positions as surveyed, as mended, and as they are. The path model is not
that of the adjustment, and nobody told it how many shots there were. NEES as in self_survey.py. Writes OUT.json and
OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import write_results

from fusion_server.locate import LocateSettings, locate
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline_calibration.heard.impulses import HeardImpulse, KnownPlace, matched
from shotline_calibration.heard.sources import impulses_of_records
from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.equations import PER_NODE
from shotline_calibration.self_survey.prepare import PrepareSettings, paths_assumed, prepare
from shotline_recordings.dataset import Scene, open_dataset
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_replay.replay import Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "self_survey_city"
SHOTS, GIVEN, KNOWN, EVERY_S = 60, 40, 10, 8.0
SURVEY_SIGMA_M = 3.0
SETTINGS = PrepareSettings(clock_sigma_s=1e-4)
FloatArray = NDArray[np.float64]


def scene_text(seed: int) -> str:
    """Return the city block with shots at random places of its streets."""
    text = shipped_scene("city-block").read_text(encoding="utf-8")
    text = text[: text.index("[[shots]]")]
    text = text.replace("survey_sigma_m = 0.3", f"survey_sigma_m = {SURVEY_SIGMA_M}")
    text = text.replace("duration_s = 45.0", f"duration_s = {EVERY_S * (SHOTS + 1):.1f}")
    rng = np.random.default_rng([seed, 40])
    for number in range(SHOTS):
        along_m, street = rng.uniform(-340.0, 340.0), int(rng.integers(-4, 5))
        east = rng.random() < 0.5
        x_m, y_m = (90.0 * street, along_m) if east else (along_m, 86.0 * street)
        text += (
            f'\n[[shots]]\nevent = "s{number}"\nx_m = {x_m:.2f}\ny_m = {y_m:.2f}\nweapon = "glock-19"\n'
            f"azimuth_deg = {rng.uniform(0.0, 360.0):.0f}\ntimes_s = [{EVERY_S * number + 4.0:.1f}]\n"
        )
    return text


def heard_in(folder: Path, seed: int) -> tuple[Scene, dict[str, tuple[float, float]], list[HeardImpulse]]:
    """Simulate and fuse; return the scene as surveyed, where nodes are, and the shots that fusion found."""
    file = folder / "scene.toml"
    file.write_text(scene_text(seed), encoding="utf-8")
    data = folder / "data"
    simulate_dataset(load_scene(file), data, seed=seed, detections_only=True, jobs=1, picture=False)
    dataset = open_dataset(data, loader="auto")
    (run,) = replay_dataset(dataset, Source.DETECTIONS)
    impulses = sorted(impulses_of_records(latest_revisions(run.revisions)), key=lambda each: each.time_ns)
    nodes = tomllib.loads(file.read_text(encoding="utf-8"))["nodes"]
    return dataset.scenes[0], {node["id"]: (node["x_m"], node["y_m"]) for node in nodes}, impulses


def errors_m(scene: Scene, impulses: Sequence[HeardImpulse], sites: dict[str, Site]) -> list[float]:
    """Return how far each impulse is located from the shot that it is, by time."""
    found = []
    for impulse in impulses:
        arrivals = [Arrival(DetectionId(a.node, 0, 0), sites[a.node], a.time_ns, a.sigma_s) for a in impulse.arrivals]
        fix = locate(arrivals, weather=scene.weather.at(impulse.time_ns), settings=LocateSettings())
        event = min(scene.truth, key=lambda each: abs(each.shot_times_ns[0] - impulse.time_ns))
        located = isinstance(fix, Location)
        found.append(math.hypot(fix.x_m - event.x_m, fix.y_m - event.y_m) if located else math.inf)
    return found


def one(seed: int) -> list[dict[str, Any]]:
    """Survey one city, without known places and with them."""
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as folder:
        scene, true, impulses = heard_in(Path(folder), seed)
    rows = []
    for known in (0, KNOWN):
        given = impulses[:GIVEN]
        events = scene.truth[:known]
        places = [
            KnownPlace("", each.x_m, each.y_m, each.z_m, 0.1, 0.1, time_ns=each.shot_times_ns[0]) for each in events
        ]
        given, _ = matched(given, places, sites={site.node: site for site in scene.sites}, weather=scene.weather)
        prepared = prepare(scene.sites, given, scene.weather, SETTINGS)
        found = self_survey(prepared.nodes, prepared.impulses, prepared.airs, paths_assumed(5.0))
        at = np.array([true[node.node] for node in found.nodes])
        before = np.array([(site.x_m, site.y_m) for site in scene.sites]) - at
        after = np.array([(node.x_m, node.y_m) for node in found.nodes]) - at
        plane = np.array([[PER_NODE * n, PER_NODE * n + 1] for n in range(len(at))]).ravel()
        covariance = found.node_covariance[np.ix_(plane, plane)]
        mended = {n.node: Site(n.node, n.x_m, n.y_m, n.z_m, n.sigma_x_m) for n in found.nodes}
        right = {s.node: replace(s, x_m=true[s.node][0], y_m=true[s.node][1], sigma_m=0.01) for s in scene.sites}
        rest = impulses[GIVEN:]
        rows.append(
            {
                "known": known,
                "impulses": len(prepared.impulses),
                "before": float((before**2).sum(axis=1).mean()),
                "after": float((after**2).sum(axis=1).mean()),
                "nees": float(after.ravel() @ np.linalg.solve(covariance, after.ravel())) / after.size,
                "path_sigma_s": found.path_sigma_s,
                "located_before": errors_m(scene, rest, {site.node: site for site in scene.sites}),
                "located_after": errors_m(scene, rest, mended),
                "located_right": errors_m(scene, rest, right),
            }
        )
    return rows


def together(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Put the seeds of one case together."""
    located = {key: np.concatenate([item[key] for item in each]) for key in each[0] if key.startswith("located")}
    return {
        "known": each[0]["known"],
        "impulses": float(np.mean([item["impulses"] for item in each])),
        "before_m": math.sqrt(float(np.mean([item["before"] for item in each]))),
        "after_m": math.sqrt(float(np.mean([item["after"] for item in each]))),
        "nees": float(np.mean([item["nees"] for item in each])),
        "path_sigma_ms": 1e3 * float(np.median([item["path_sigma_s"] for item in each])),
        **{f"{key}_m": float(np.median(values)) for key, values in located.items()},
        **{f"{key}_p90_m": float(np.quantile(values, 0.9)) for key, values in located.items()},
        "shots": len(located["located_after"]),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Self-survey in a simulated city",
        "",
        f"Commit {document['commit']}, {document['seeds']} cities. `python benchmarks/self_survey_city.py`, minutes.",
        "",
        "| known places | impulses | positions, m | NEES | paths, ms | later shots, m: surveyed | mended | right |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for item in document["rows"]:
        located = " | ".join(
            f"{item[f'located_{which}_m']:.1f} ({item[f'located_{which}_p90_m']:.1f})"
            for which in ("before", "after", "right")
        )
        lines.append(
            f"| {item['known']} | {item['impulses']:.0f} | {item['before_m']:.2f} → {item['after_m']:.2f} "
            f"| {item['nees']:.2f} | {item['path_sigma_ms']:.1f} | {located} |"
        )
    lines += ["", "Later shots: median (90 %) of the error of location, with positions as surveyed, mended, and right."]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    cases: dict[int, list[dict[str, Any]]] = {}
    for seed in range(arguments.seeds):
        for item in one(seed):
            cases.setdefault(item["known"], []).append(item)
        sys.stderr.write(f"city {seed + 1} of {arguments.seeds}\n")
    document = {
        "benchmark": "self_survey_city",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "seeds": arguments.seeds,
        "rows": [together(each) for each in cases.values()],
    }
    write_results(arguments.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
