"""How long a plan of a city takes: 20 km² in cells of 25 m, 100 nodes; what the issue allows is 30 s on two cores.

    python benchmarks/plan_speed.py                 # a minute
    python benchmarks/plan_speed.py --side-m 1000   # smaller: does it run?

One process, one thread; compilation apart, which happens once for each version and is then kept. CPU time counts: wall
time is that of a machine which may have had other work. Writes benchmarks/results/plan_speed.json and .md, with
--side-m or --nodes nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from pathlib import Path

import numpy as np
import shapely
from results_files import write_results

from fusion_server.engine import FusionSettings
from fusion_server.scorecard.areas import Area
from shotline.domain import Site
from shotline_calibration.plan.cells import cells_of
from shotline_calibration.plan.planner import DEFAULT_DRAWS, Planner
from shotline_calibration.plan.situation import PlannedNode, Situation
from shotline_calibration.plan.surroundings import surroundings
from shotline_replay.report import describe_software

RESULTS = Path(__file__).resolve().parent / "results" / "plan_speed"
SIDE_M = 4472.0
NODES = 100
CELL_M = 25.0
SEED = 8


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side-m", type=float, default=SIDE_M)
    parser.add_argument("--nodes", type=int, default=NODES)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    side_m = arguments.side_m
    cells = cells_of([Area("square", shapely.box(0.0, 0.0, side_m, side_m))], step_m=CELL_M)
    places_m = np.random.default_rng(SEED).uniform(0.0, side_m, (arguments.nodes, 2))
    nodes = [PlannedNode(site=Site(f"n{row}", float(x_m), float(y_m), 8.0)) for row, (x_m, y_m) in enumerate(places_m)]
    Planner(cells, Situation(), fusion=FusionSettings()).figures(nodes[:5], some=np.arange(3))
    rows = []
    for name in ("open", "suburb", "town", "downtown"):
        started_s, cpu_s = time.perf_counter(), time.process_time()
        planner = Planner(cells, Situation(around=surroundings(name)), fusion=FusionSettings())
        figures = planner.figures(nodes)
        rows.append(
            {
                "surroundings": name,
                "cpu_s": round(time.process_time() - cpu_s, 1),
                "wall_s": round(time.perf_counter() - started_s, 1),
                "expected_nodes": round(float(figures.expected_nodes.mean()), 1),
                "detect_probability": round(float(figures.detect_probability.mean()), 3),
            }
        )
        sys.stderr.write(f"{rows[-1]}\n")
    software = describe_software()
    machine = f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores"
    lines = [
        "# Time of a plan",
        "",
        f"Commit {(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}; {machine}.",
        f"Made by `python benchmarks/plan_speed.py`: {cells.km2:.1f} km² in {len(cells)} cells of {CELL_M:g} m,",
        f"{arguments.nodes} nodes,",
        f"three weapons, {DEFAULT_DRAWS} drawn shots a cell; one thread. The other core was at other work.",
        "",
        "| surroundings | CPU time, s | wall time, s | nodes that report a shot | shots found |",
        "|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {row['surroundings']} | {row['cpu_s']} | {row['wall_s']} | {row['expected_nodes']} "
        f"| {row['detect_probability']} |"
        for row in rows
    ]
    text = "\n".join(lines) + "\n"
    if (side_m, arguments.nodes) == (SIDE_M, NODES):
        document = {"benchmark": "plan_speed", "machine": machine, "cells": len(cells), "nodes": NODES, "rows": rows}
        write_results(arguments.out, document, text)
    else:
        sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
