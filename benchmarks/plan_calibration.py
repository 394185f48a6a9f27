"""What a plan predicts against what is found: made-up towns through the simulator, association and the locator; and
the live-fire recordings with nodes left out.

    python benchmarks/plan_calibration.py                 # 16 towns of 120 shots, and Pittsburgh: ten to thirty minutes
    python benchmarks/plan_calibration.py --only pittsburgh --subsets 8
    python benchmarks/plan_calibration.py --quick         # 2 towns, 30 shots: does it run?

A town is drawn anew for each seed: streets, houses, noise, weather, wind, weapon, nodes and shots. The planner knows
where nodes are, how loud it is there on the mean, the weapon, the reported weather and the kind of surroundings, and
neither houses nor shots; the figures of surroundings come from other towns (plan_surroundings.py). What nodes
report is the simulator's, without sound; what becomes of it is the server's own fusion. A shot is found when a shot
that stands at the end is within 0.5 s (of live fire 0.15 s) and 150 m of it.
Writes benchmarks/results/plan_calibration.json and .md, and with --picture the calibration plot.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from plan_calibration_page import draw, markdown
from plan_towns import KINDS, make_town
from results_files import write_results
from scipy.stats import spearmanr

from fusion_server.engine import FusionSettings
from fusion_server.locate import ground_of_sites
from shotline.domain import Site
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.planner import CellFigures, Planner
from shotline_calibration.plan.situation import PlannedNode, Situation, weapons_of
from shotline_calibration.plan.surroundings import surroundings
from shotline_recordings.dataset import open_dataset
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA, a_weighting, integral
from shotline_recordings.simulate.noise_sources import CityNoise, TrafficNoise
from shotline_recordings.simulate.run import simulate_dataset
from shotline_recordings.simulate.stage import Stage
from shotline_replay.replay import RETRACTED, SceneRun, Source, latest_revisions, replay_dataset
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "plan_calibration"
SEED = 5000
WEAPONS = ("ruger-mk4", "glock-19", "glock-22", "ar15-20in", "glock-17-suppressed", "colt-1911")
FOUND_S, FOUND_M = 0.5, 150.0
STEP_M = 25.0
SIZES = (5, 6, 8, 10, 14, 20)
DRAWS = 96
_METER_S = 900.0
_HEARD_HZ = np.geomspace(20.0, 20_000.0, 2_000)

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Shots:
    """Shots of one town: shape (n_shots,) each."""

    town: str
    place_m: FloatArray
    detect_probability: FloatArray
    cep95_m: FloatArray
    found: NDArray[np.bool_]
    error_m: FloatArray
    stated_cep95_m: FloatArray
    nodes_predicted: FloatArray
    nodes_heard: FloatArray


def noise_dba(stage: Stage, *, rng: np.random.Generator) -> float:
    """Return the A-weighted level that is exceeded half of the time (LA50) at the middle one of the nodes.

    What a sound level meter would have said in a quarter of an hour at each, wind apart.
    """
    levels_db = []
    for node in stage.nodes:
        power = np.zeros(1)
        for source in node.noise:
            if isinstance(source, CityNoise | TrafficNoise):
                density = source.spectra_pa2_per_hz(_HEARD_HZ) * a_weighting(_HEARD_HZ) ** 2
                loud = np.array([float(integral(row, _HEARD_HZ)) for row in density])
                power = power + loud @ source.draw_powers(_METER_S, rng)
        levels_db.append(10.0 * math.log10(float(np.median(power)) / REFERENCE_PRESSURE_PA**2))
    return float(np.median(levels_db))


def town_of(number: int, *, shots: int) -> tuple[str, SceneFile]:
    """Return the kind and the scene of one town."""
    rng = np.random.default_rng(SEED + number)
    kind = KINDS[number % len(KINDS)]
    weapon = WEAPONS[int(rng.integers(len(WEAPONS)))]
    scene = make_town(
        kind,
        rng=rng,
        nodes=int(rng.integers(8, 21)),
        side_m=float(rng.uniform(1000.0, 2200.0)),
        shots=shots,
        weapons=(weapon,),
        wind_mps=float(rng.uniform(0.0, 5.0)),
        wind_from_deg=float(rng.uniform(0.0, 360.0)),
        clutter_per_minute=3.0,
    )
    return kind, scene


def shots_of(number: int, *, shots: int) -> Shots:
    """Simulate, replay and plan one town."""
    kind, scene = town_of(number, shots=shots)
    fusion = FusionSettings()
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as folder:
        made = simulate_dataset(scene, Path(folder), seed=scene.seed, detections_only=True, jobs=1, picture=False)
    dataset, stage = made.dataset, made.stage
    (truth_scene,) = dataset.scenes
    place_m = np.array([(event.x_m, event.y_m) for event in truth_scene.truth])
    (run,) = replay_dataset(dataset, Source.DETECTIONS)
    found, error_m, stated_m = matched(
        run, *place_m.T, np.array([event.shot_times_ns[0] for event in truth_scene.truth]), within_s=FOUND_S
    )
    reports = Counter(item.event for item in truth_scene.pulse_sets for _ in item.detections)
    heard = np.array([float(reports[event.event]) for event in truth_scene.truth])
    weather = truth_scene.weather.at(scene.start_ns)
    situation = Situation(
        weather=weather,
        around=surroundings(kind),
        weapons=weapons_of(tuple(scene.scatter[0].kinds)),
        noise_dba=noise_dba(stage, rng=np.random.default_rng([SEED, number])),
    )
    figures = planned(place_m, truth_scene.sites, situation, fusion)
    return Shots(
        town=f"{kind} {number}",
        place_m=place_m,
        detect_probability=figures.detect_probability,
        cep95_m=figures.cep95_m,
        found=found,
        error_m=error_m,
        stated_cep95_m=stated_m,
        nodes_predicted=figures.expected_nodes,
        nodes_heard=heard,
    )


def matched(
    run: SceneRun | None, x_m: FloatArray, y_m: FloatArray, times_ns: NDArray[np.int64], *, within_s: float
) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
    """Return of each shot whether one that stands at the end is it, how far off that is, and its CEP95."""
    told = [
        (shot.x_m, shot.y_m, parse_utc(shot.time_utc), shot.cep95_m)
        for record in latest_revisions(run.revisions if run else ())
        if record.state != RETRACTED
        for shot in record.shots
    ]
    found = np.zeros(len(times_ns), dtype=bool)
    error_m, stated_m = np.full((2, len(times_ns)), np.nan)
    for row, (x, y, time_ns) in enumerate(zip(x_m, y_m, times_ns, strict=True)):
        near = [
            (math.hypot(told_x_m - x, told_y_m - y), cep95_m)
            for told_x_m, told_y_m, told_ns, cep95_m in told
            if abs(told_ns - int(time_ns)) < within_s * NS_PER_S
        ]
        if near and min(near)[0] <= FOUND_M:
            found[row] = True
            error_m[row], stated_m[row] = min(near)
    return found, error_m, stated_m


def planned(place_m: FloatArray, sites: Sequence[Site], situation: Situation, fusion: FusionSettings) -> CellFigures:
    """Return the figures of the cells that some places lie in."""
    low_m = np.floor(place_m.min(axis=0) / STEP_M) * STEP_M
    cell = np.floor((place_m - low_m) / STEP_M).astype(np.int64)
    columns = int(cell[:, 0].max()) + 1
    cells = Cells(
        float(low_m[0]), float(low_m[1]), STEP_M, int(cell[:, 1].max()) + 1, columns, cell[:, 1] * columns + cell[:, 0]
    )
    planner = Planner(
        cells, situation, fusion=fusion, draws=DRAWS, ground=ground_of_sites(sites, mast_m=fusion.locate.mast_m)
    )
    return planner.figures([PlannedNode(site=site) for site in sites])


def grouped(values: FloatArray, groups: int) -> list[NDArray[np.int64]]:
    """Return rows in groups of like values, each as large."""
    return [part for part in np.array_split(np.argsort(values, kind="stable"), groups) if len(part)]


def quarters(shots: Shots) -> list[NDArray[np.int64]]:
    """Return the shots of each quarter of a town: a map's word against what was found there."""
    middle = np.median(shots.place_m, axis=0)
    quarter = 2 * (shots.place_m[:, 0] > middle[0]) + (shots.place_m[:, 1] > middle[1])
    return [np.flatnonzero(quarter == number) for number in range(4)]


def rates(towns: Sequence[Shots]) -> dict[str, object]:
    """Return predicted against found rates: by quarter of each town, and by predicted probability."""
    by_quarter = [
        (float(one.detect_probability[rows].mean()), float(one.found[rows].mean()))
        for one in towns
        for rows in quarters(one)
    ]
    everything = np.concatenate([one.detect_probability for one in towns])
    found = np.concatenate([one.found for one in towns])
    bins = [
        {"predicted": round(float(everything[rows].mean()), 4), "found": round(float(found[rows].mean()), 4),
         "shots": len(rows)}
        for rows in grouped(everything, 10)
    ]  # fmt: skip
    predicted, seen = (np.array(column) for column in zip(*by_quarter, strict=True))
    return {
        "shots": len(found),
        "predicted": round(float(everything.mean()), 4),
        "found": round(float(found.mean()), 4),
        "rank_correlation_quarters": round(float(spearmanr(predicted, seen).statistic), 4),
        "rms_difference_quarters": round(float(np.sqrt(np.mean((predicted - seen) ** 2))), 4),
        "brier": round(float(np.mean((everything - found) ** 2)), 4),
        "brier_of_the_mean": round(float(np.mean((found.mean() - found) ** 2)), 4),
        "bins": bins,
        "quarters": [[round(one, 4) for one in pair] for pair in by_quarter],
    }


def errors(towns: Sequence[Shots]) -> dict[str, object]:
    """Return predicted CEP95 against stated and true ones, of the shots that were found."""
    predicted, stated, error = (
        np.concatenate([getattr(one, name)[one.found] for one in towns])
        for name in ("cep95_m", "stated_cep95_m", "error_m")
    )
    known = np.isfinite(predicted)
    predicted, stated, error = predicted[known], stated[known], error[known]
    bins = [
        {
            "predicted_cep95_m": round(float(np.median(predicted[rows])), 2),
            "stated_cep95_m": round(float(np.median(stated[rows])), 2),
            "error_median_m": round(float(np.median(error[rows])), 2),
            "error_95_m": round(float(np.quantile(error[rows], 0.95)), 2),
            "within_predicted": round(float(np.mean(error[rows] <= predicted[rows])), 4),
            "shots": len(rows),
        }
        for rows in grouped(predicted, 10)
    ]
    return {
        "shots": int(known.sum()),
        "without_a_prediction": int((~known).sum()),
        "rank_correlation_stated": round(float(spearmanr(predicted, stated).statistic), 4),
        "rank_correlation_error": round(float(spearmanr(predicted, error).statistic), 4),
        "rank_correlation_stated_bins": _bins_correlation(bins, "stated_cep95_m"),
        "rank_correlation_error_bins": _bins_correlation(bins, "error_95_m"),
        "within_predicted": round(float(np.mean(error <= predicted)), 4),
        "stated_over_predicted": round(float(np.median(stated / predicted)), 3),
        "bins": bins,
    }


def _bins_correlation(bins: Sequence[dict[str, float]], name: str) -> float:
    return round(float(spearmanr([one["predicted_cep95_m"] for one in bins], [one[name] for one in bins]).statistic), 4)


def pittsburgh(data: Path, *, sizes: Sequence[int], subsets: int) -> list[Shots]:
    """Return the live-fire shots for random sets of the recorded nodes: a `Shots` for each firing position and set.

    Every recorded pulse of the chosen nodes goes through the server's own fusion. The planner is told that it is a
    town, three kinds of pistol, the vendor's microphone, and the weather; noise is that of its town.
    """
    dataset = open_dataset(data, loader="pittsburgh")
    fusion = FusionSettings()
    made = []
    for scene in dataset.scenes:
        truth = scene.truth[0]
        times_ns = np.array([time_ns for event in scene.truth for time_ns in event.shot_times_ns])
        situation = Situation(
            weather=scene.weather.at(int(times_ns[0])),
            around=surroundings("town"),
            weapons=weapons_of(("glock-19", "glock-22", "glock-21")),
            microphone="vendor-93",
            mast_m=fusion.locate.mast_m,
        )
        for size in sizes:
            for subset in range(subsets):
                rng = np.random.default_rng([SEED, size, subset, len(made)])
                sites = tuple(scene.sites[int(row)] for row in rng.choice(len(scene.sites), size=size, replace=False))
                names = {site.node for site in sites}
                detections = tuple(item for item in scene.detections if item.node in names)
                part = replace(scene, sites=sites, detections=detections, pulse_sets=(), recordings=())
                (run,) = replay_dataset(replace(dataset, scenes=(part,)), Source.PULSES) if detections else (None,)
                found, error_m, stated_m = matched(
                    run, np.full(len(times_ns), truth.x_m), np.full(len(times_ns), truth.y_m), times_ns, within_s=0.15
                )
                place_m = np.array([[truth.x_m, truth.y_m]])
                figures = planned(place_m, sites, situation, fusion)
                count = len(times_ns)
                made.append(
                    Shots(
                        town=f"{scene.name}, {size} nodes",
                        place_m=np.repeat(place_m, count, axis=0),
                        detect_probability=np.repeat(figures.detect_probability, count),
                        cep95_m=np.repeat(figures.cep95_m, count),
                        found=found,
                        error_m=error_m,
                        stated_cep95_m=stated_m,
                        nodes_predicted=np.repeat(figures.expected_nodes, count),
                        nodes_heard=np.full(count, np.nan),
                    )
                )
        sys.stderr.write(f"{scene.name}\n")
    return made


def pittsburgh_rates(sets: Sequence[Shots]) -> dict[str, object]:
    """Return predicted against found rates of the sets of nodes, and of their CEP95."""
    predicted = np.array([one.detect_probability[0] for one in sets])
    found = np.array([one.found.mean() for one in sets])
    names = np.array([one.town for one in sets])
    groups = [np.flatnonzero(names == name) for name in sorted(set(names.tolist()))]
    by_group = [(float(predicted[rows].mean()), float(found[rows].mean())) for rows in groups]
    located = [one for one in sets if one.found.any() and np.isfinite(one.cep95_m[0])]
    cep95_m = np.array([one.cep95_m[0] for one in located])
    stated = np.array([np.median(one.stated_cep95_m[one.found]) for one in located])
    error = np.array([np.median(one.error_m[one.found]) for one in located])
    return {
        "sets": len(sets),
        "predicted": round(float(predicted.mean()), 4),
        "found": round(float(found.mean()), 4),
        "rank_correlation": round(float(spearmanr(predicted, found).statistic), 4),
        "rms_difference": round(float(np.sqrt(np.mean((predicted - found) ** 2))), 4),
        "groups": len(groups),
        "rank_correlation_groups": round(float(spearmanr(*zip(*by_group, strict=True)).statistic), 4),
        "rank_correlation_of_one_fate": round(_one_fate(predicted), 4),
        "rank_correlation_stated_cep95": round(float(spearmanr(cep95_m, stated).statistic), 4),
        "rank_correlation_median_error": round(float(spearmanr(cep95_m, error).statistic), 4),
        "stated_over_predicted": round(float(np.median(stated / cep95_m)), 3),
        "bins": [
            {
                "predicted": round(float(predicted[rows].mean()), 4),
                "found": round(float(found[rows].mean()), 4),
                "sets": len(rows),
            }
            for rows in grouped(predicted, 6)
        ],
        "each": [
            [one.town, round(float(one.detect_probability[0]), 4), round(float(one.found.mean()), 4)] for one in sets
        ],
    }


def _one_fate(probability: FloatArray) -> float:
    """Return the rank correlation that true probabilities would reach if all shots of a set were found, or none."""
    rng = np.random.default_rng(SEED)
    tries = [spearmanr(probability, rng.random(len(probability)) < probability).statistic for _ in range(200)]
    return float(np.mean(tries))


def made_up(count: int, shots_each: int) -> dict[str, Any]:
    """Return the part of the result that is about made-up towns."""
    towns, rows = [], []
    for number in range(count):
        shots = shots_of(number, shots=shots_each)
        _, scene = town_of(number, shots=1)
        towns.append(shots)
        rows.append(
            {
                "town": shots.town,
                "weapon": scene.scatter[0].kinds[0],
                "nodes": len(scene.nodes),
                "wind_mps": round(scene.weather.wind_speed_mps, 2),
                "predicted": round(float(shots.detect_probability.mean()), 4),
                "found": round(float(shots.found.mean()), 4),
                "nodes_predicted": round(float(shots.nodes_predicted.mean()), 3),
                "nodes_heard": round(float(shots.nodes_heard.mean()), 3),
            }
        )
        sys.stderr.write(f"{rows[-1]}\n")
    return {"towns": rows, "rates": rates(towns), "errors": errors(towns)}


def made_by(command: str, started_s: float) -> dict[str, Any]:
    """Return by what command and code, and in what time, a part was made."""
    software = describe_software()
    changed = " with changes" if software.git_dirty else ""
    minutes = round((time.perf_counter() - started_s) / 60.0, 1)
    return {"command": command, "commit": f"{(software.git_commit or 'unknown')[:12]}{changed}", "minutes": minutes}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="2 towns, 30 shots; writes to --out only")
    parser.add_argument(
        "--only", choices=("towns", "pittsburgh"), help="this part anew; the other stays as it is in OUT"
    )
    parser.add_argument("--towns", type=int, default=16)
    parser.add_argument("--shots", type=int, default=120)
    parser.add_argument("--subsets", type=int, default=3)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--picture", type=Path, help="draw it: .png or .svg")
    arguments = parser.parse_args()
    if arguments.quick and arguments.out == RESULTS:
        arguments.out = Path(tempfile.gettempdir()) / "plan_calibration"
    file = arguments.out.with_suffix(".json")
    document: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if arguments.only and file.is_file() else {}
    document |= {"benchmark": "plan_calibration", "seed": SEED}
    command = " ".join(["python benchmarks/plan_calibration.py", *sys.argv[1:]])
    if arguments.only in (None, "towns"):
        started_s = time.perf_counter()
        document |= made_up(2 if arguments.quick else arguments.towns, 30 if arguments.quick else arguments.shots)
        document["towns_made"] = made_by(command, started_s)
    if arguments.only in (None, "pittsburgh") and arguments.data.is_dir():
        started_s = time.perf_counter()
        sizes, subsets = ((6,), 1) if arguments.quick else (SIZES, arguments.subsets)
        document["pittsburgh"] = pittsburgh_rates(pittsburgh(arguments.data, sizes=sizes, subsets=subsets))
        document["pittsburgh_made"] = made_by(command, started_s)
    write_results(arguments.out, document, markdown(document))
    if arguments.picture is not None:
        draw(document, arguments.picture)
    return 0


if __name__ == "__main__":
    sys.exit(main())
