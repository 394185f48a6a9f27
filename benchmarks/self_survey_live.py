"""Self-survey on the Pittsburgh live-fire set: positions and clocks are put wrong, and its shots are to mend them.

    python benchmarks/self_survey_live.py [--seeds 10] [--out benchmarks/results/self_survey_live]

Every firing position is a network of its own with one place that was fired from, surveyed to 2.5 m: one equation a
node, for two coordinates and a clock. So positions cannot come back, and the question is whether the errors say so.
Nodes are moved by 3 m per axis and clocks set off by 5 ms, drawn anew for each seed. The shots of every second test
are given; the others are located with the network as it was put wrong, as it was surveyed by sound, and as it is; their
place is the same as that given, which flatters. Truth is as good as the averaged GPS of the nodes, a few centimetres by
its own word. NEES is the squared error in units of the claimed covariance, per figure: 1 is honest. Writes OUT.json and
OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from live_impulses import DATA, load_live, shots_of
from numpy.typing import NDArray
from results_files import write_results

from fusion_server.locate import LocateSettings, locate
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.units import ns_from_seconds
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse
from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.equations import PER_NODE
from shotline_calibration.self_survey.prepare import PrepareSettings, paths_assumed, prepare
from shotline_recordings.dataset import Scene
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "self_survey_live"
MOVED_M, OFF_S = 3.0, 0.005
SETTINGS = PrepareSettings(clock_sigma_s=OFF_S, air_span_s=86_400.0, temperature_sigma_c=2.0, up_share=1.0)


def late(impulse: HeardImpulse, off_s: dict[str, float]) -> HeardImpulse:
    """Return an impulse as clocks that are off give it."""
    arrivals = [
        HeardArrival(each.node, each.time_ns + ns_from_seconds(off_s[each.node]), each.sigma_s)
        for each in impulse.arrivals
    ]
    return replace(impulse, arrivals=tuple(sorted(arrivals, key=lambda each: (each.time_ns, each.node))))


def located_m(
    impulses: Sequence[HeardImpulse], sites: dict[str, Site], off_s: dict[str, float], scene: Scene
) -> NDArray[np.float64]:
    """Return how far each is located from its surveyed place; infinite where it is not located."""
    weather: Weather = scene.weather.at(impulses[0].time_ns)
    found = []
    for impulse in impulses:
        arrivals = [
            Arrival(
                DetectionId(each.node, 0, 0), sites[each.node], each.time_ns - ns_from_seconds(off_s[each.node]), 0.0003
            )
            for each in impulse.arrivals
        ]
        fix = locate(arrivals, weather=weather, settings=LocateSettings())
        event = next(event for event in scene.truth if impulse.name.startswith(f"{event.event}/"))
        near = isinstance(fix, Location)
        found.append(math.hypot(fix.x_m - event.x_m, fix.y_m - event.y_m) if near else math.inf)
    return np.array(found)


def one(scene: Scene, seed: int, *, known: bool) -> dict[str, Any]:
    """Put a network wrong, survey it with half of its tests, locate the other half."""
    rng = np.random.default_rng([seed, 11])
    heard_by = {arrival.node for shot in shots_of(scene, known=False) for arrival in shot.arrivals}
    true = [site for site in scene.sites if site.node in heard_by]
    wrong = [
        replace(
            site,
            x_m=site.x_m + rng.normal(0.0, MOVED_M),
            y_m=site.y_m + rng.normal(0.0, MOVED_M),
            sigma_m=math.hypot(MOVED_M, site.sigma_m),
        )
        for site in true
    ]
    off_s = {site.node: float(rng.normal(0.0, OFF_S)) for site in true}
    tests = sorted({shot.name.rsplit("/", 1)[0] for shot in shots_of(scene, known=False)})
    given = set(tests[::2])
    shots = [late(shot, off_s) for shot in shots_of(scene, known=known)]
    mine = [shot for shot in shots if shot.name.rsplit("/", 1)[0] in given]
    rest = [shot for shot in shots if shot.name.rsplit("/", 1)[0] not in given]
    prepared = prepare(wrong, mine, scene.weather, SETTINGS)
    found = self_survey(prepared.nodes, prepared.impulses, prepared.airs, paths_assumed(5.0))
    before = np.array([(a.x_m - b.x_m, a.y_m - b.y_m) for a, b in zip(wrong, true, strict=True)])
    after = np.array([(a.x_m - b.x_m, a.y_m - b.y_m) for a, b in zip(found.nodes, true, strict=True)])
    clock_after = np.array([node.clock_offset_s - off_s[node.node] for node in found.nodes])
    figures = np.concatenate([after, clock_after[:, None]], axis=1).ravel()
    rows = np.array([[PER_NODE * n, PER_NODE * n + 1, PER_NODE * n + 3] for n in range(len(true))]).ravel()
    covariance = found.node_covariance[np.ix_(rows, rows)]
    zero = dict.fromkeys(off_s, 0.0)
    mended = {node.node: Site(node.node, node.x_m, node.y_m, node.z_m, node.sigma_x_m) for node in found.nodes}
    set_right = {node.node: node.clock_offset_s for node in found.nodes}
    return {
        "before": float((before**2).sum(axis=1).mean()),
        "after": float((after**2).sum(axis=1).mean()),
        "clock_before": float(np.mean([each**2 for each in off_s.values()])),
        "clock_after": float((clock_after**2).mean()),
        "nees": float(figures @ np.linalg.solve(covariance, figures)) / len(figures),
        "located_before": located_m(rest, {site.node: site for site in wrong}, zero, scene),
        "located_after": located_m(rest, mended, set_right, scene),
        "located_right": located_m(rest, {site.node: site for site in true}, off_s, scene),
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    lines = [
        "# Self-survey on the live-fire set",
        "",
        f"Commit {document['commit']}, {document['seeds']} seeds. `python benchmarks/self_survey_live.py`, minutes.",
        "Nodes 3 m per axis wrong, clocks 5 ms; one place fired from in each network, so positions cannot come back.",
        "",
        "| network | place | positions, m | clocks, ms | NEES | other tests, median m: wrong, mended, right |",
        "|---|---|---:|---:|---:|---:|",
    ]
    for item in document["rows"]:
        lines.append(
            f"| {item['scene']} | {item['place']} | {item['before_m']:.2f} → {item['after_m']:.2f} "
            f"| {item['clock_before_ms']:.2f} → {item['clock_after_ms']:.2f} | {item['nees']:.2f} "
            f"| {item['located_before_m']:.1f}, {item['located_after_m']:.1f}, {item['located_right_m']:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if not DATA.is_dir():
        sys.stderr.write("the live-fire set is not here; nothing is measured\n")
        return 1
    software = describe_software()
    rows = []
    for scene in load_live().scenes:
        for known in (True, False):
            each = [one(scene, seed, known=known) for seed in range(arguments.seeds)]

            def rms(key: str, each: list[dict[str, Any]] = each) -> float:
                return math.sqrt(float(np.mean([item[key] for item in each])))

            def median(key: str, each: list[dict[str, Any]] = each) -> float:
                return float(np.median(np.concatenate([item[key] for item in each])))

            rows.append(
                {
                    "scene": scene.name,
                    "place": "known" if known else "unknown",
                    "before_m": rms("before"),
                    "after_m": rms("after"),
                    "clock_before_ms": 1e3 * rms("clock_before"),
                    "clock_after_ms": 1e3 * rms("clock_after"),
                    "nees": float(np.mean([item["nees"] for item in each])),
                    "located_before_m": median("located_before"),
                    "located_after_m": median("located_after"),
                    "located_right_m": median("located_right"),
                }
            )
            sys.stderr.write(
                f"{scene.name} {rows[-1]['place']}: {rows[-1]['before_m']:.2f} -> {rows[-1]['after_m']:.2f} m\n"
            )
    document = {
        "benchmark": "self_survey_live",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "seeds": arguments.seeds,
        "rows": rows,
    }
    write_results(arguments.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
