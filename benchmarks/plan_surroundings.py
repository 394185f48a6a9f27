"""What a made-up town takes from a shot, beyond open ground: where the figures of the planner's surroundings come from.

    python benchmarks/plan_surroundings.py [--towns 6] [--shots 40] [--out ...]

For each shot and node the noise is sought in which the simulator's node would just report the shot by any of its
paths, and set against that of the planner's open ground (`shotline_calibration.plan.levels`). The difference is the
loss. It is fitted by a line in the logarithm of distance; what is left is split into a part that all nodes of a shot
share, and the rest. How deep a shadow may be is that limit which fits towns with wind best. Seeds 1000 and up; those of
plan_calibration.py are others. Writes OUT.json and OUT.md; one process, some minutes.
"""

from __future__ import annotations

import argparse
import math
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from plan_towns import KINDS, make_town
from results_files import write_results

from shotline.atmosphere import Weather
from shotline_calibration.plan.levels import ANGLES, HEADINGS, STEP_M, level_table
from shotline_calibration.plan.surroundings import surroundings
from shotline_recordings.simulate.arrivals import EventArrivals, _onsets, event_arrivals
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA
from shotline_recordings.simulate.stage import set_stage
from shotline_recordings.simulate.weapons import weapon

RESULTS = Path(__file__).resolve().parent / "results" / "plan_surroundings"
WEAPON = "glock-19"
MAST_M = 8.0
SIDE_M = 1400.0
NODES = 20
SEED = 1000
FARTHEST_M = 1200.0
NEAREST_M = 50.0
REFERENCE_M = 300.0
WIND_MPS = 4.0
_LOWEST_DB, _HIGHEST_DB = -30.0, 130.0


@dataclass(frozen=True)
class Figures:
    """Of one kind of surroundings."""

    kind: str
    pairs: int
    loss_db: float
    loss_db_per_decade: float
    shot_sigma_db: float
    path_sigma_db: float
    deepest_shadow_db: float
    shadow_rms_db: float


def just_heard_db(heard: EventArrivals) -> float:
    """Return the noise, dB SPL in the band, in which what reaches one node is just reported."""
    still = EventArrivals(
        *(np.zeros(len(heard)) if name == "luck" else getattr(heard, name) for name in heard.__slots__)
    )
    low_db, high_db = _LOWEST_DB, _HIGHEST_DB
    for _ in range(11):
        middle_db = 0.5 * (low_db + high_db)
        noise_pa = np.full(len(still), REFERENCE_PRESSURE_PA * 10.0 ** (middle_db / 20.0))
        if _onsets(still, noise_pa)[0]:
            low_db = middle_db
        else:
            high_db = middle_db
    return 0.5 * (low_db + high_db)


def losses(kind: str, *, towns: int, shots: int, wind_mps: float = 0.0) -> NDArray[np.float64]:
    """Return a row for each shot and node: number of the shot, distance in m, loss in dB, depth of the shadow in dB."""
    around, rows = surroundings(kind), []
    for town in range(towns):
        rng = np.random.default_rng([SEED + town, KINDS.index(kind), wind_mps > 0.0])
        scene = make_town(
            kind,
            rng=rng,
            nodes=NODES,
            side_m=SIDE_M,
            shots=shots,
            weapons=(WEAPON,),
            mast_m=MAST_M,
            wind_mps=wind_mps,
            wind_from_deg=float(rng.uniform(0.0, 360.0)),
        )
        stage = set_stage(scene, seed=scene.seed)
        weather: Weather = scene.air
        table, still = (
            level_table(
                weapon(WEAPON),
                around=replace(around, deepest_shadow_db=25.0),
                weather=air,
                heard_by=stage.nodes[0].microphone,
                mast_m=MAST_M,
                reach_m=2000.0,
            )
            for air in (weather, replace(weather, wind_speed_mps=0.0))
        )
        finder = stage.finder(stage.nodes)
        for number in range(stage.n_events):
            arrivals = event_arrivals(stage, finder, number)
            emission = stage.event(number).discharges[0].emissions[0]
            blast = emission.waveform
            assert isinstance(blast, MuzzleBlast)
            for index, node in enumerate(stage.nodes):
                away = node.position_m - np.array(emission.position_m)
                distance_m = float(np.hypot(away[0], away[1]))
                if not NEAREST_M <= distance_m <= FARTHEST_M:
                    continue
                angle = math.acos(float(np.clip(away[:2] @ np.array(blast.barrel_enu[:2]) / distance_m, -1.0, 1.0)))
                heading = round(math.atan2(away[0], away[1]) / (2.0 * math.pi) * HEADINGS) % HEADINGS
                at = (round(distance_m / STEP_M), heading, round(angle / math.pi * (ANGLES - 1)))
                shadow_db = float(still.audible_db_spl[at] - table.audible_db_spl[at])
                loss_db = float(still.audible_db_spl[at]) - just_heard_db(arrivals.of_node(index))
                rows.append((town * shots + number, distance_m, loss_db, shadow_db))
    return np.array(rows)


def fitted(kind: str, rows: NDArray[np.float64], windy: NDArray[np.float64]) -> Figures:
    """Return the line, the parts of what is left, and how deep shadows may be, of towns with wind."""
    decades = np.log10(rows[:, 1] / REFERENCE_M)
    slope, level = np.polyfit(decades, rows[:, 2], 1)
    left = rows[:, 2] - level - slope * decades
    shot = rows[:, 0].astype(int)
    groups = [left[shot == number] for number in np.unique(shot)]
    within = sum(float(np.sum((one - one.mean()) ** 2)) for one in groups) / (len(left) - len(groups))
    between = float(np.mean([one.mean() ** 2 - within / len(one) for one in groups]))
    beyond = windy[:, 2] - level - slope * np.log10(windy[:, 1] / REFERENCE_M)
    limits_db = np.arange(0.0, 26.0, 1.0)
    rms_db = [float(np.sqrt(np.mean((beyond - np.minimum(windy[:, 3], limit)) ** 2))) for limit in limits_db]
    best = int(np.argmin(rms_db))
    return Figures(
        kind=kind,
        pairs=len(rows),
        loss_db=round(float(level), 1),
        loss_db_per_decade=round(float(slope), 1),
        shot_sigma_db=round(math.sqrt(max(between, 0.0)), 1),
        path_sigma_db=round(math.sqrt(within), 1),
        deepest_shadow_db=float(limits_db[best]),
        shadow_rms_db=round(rms_db[best], 1),
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--towns", type=int, default=6)
    parser.add_argument("--shots", type=int, default=40)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    made = []
    for kind in KINDS:
        still, windy = (
            losses(kind, towns=arguments.towns, shots=arguments.shots, wind_mps=wind_mps)
            for wind_mps in (0.0, WIND_MPS)
        )
        made.append(fitted(kind, still, windy))
        sys.stderr.write(f"{made[-1]}\n")
    lines = [
        "# What surroundings take from a shot",
        "",
        f"{arguments.towns} made-up towns of each kind, {arguments.shots} shots each, {NODES} nodes on masts of about",
        f"{MAST_M:g} m; loss at {REFERENCE_M:g} m over open ground, by the planner's own levels. Made by",
        "`python benchmarks/plan_surroundings.py`.",
        "",
        (
            "| surroundings | pairs of shot and node | loss, dB | per decade of distance, dB | sigma of the shot, dB "
            "| of the path, dB | deepest shadow, dB | rms with wind, dB |"
        ),
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {one.kind} | {one.pairs} | {one.loss_db} | {one.loss_db_per_decade} | {one.shot_sigma_db} "
        f"| {one.path_sigma_db} | {one.deepest_shadow_db} | {one.shadow_rms_db} |"
        for one in made
    ]
    document = {"benchmark": "plan_surroundings", "seed": SEED, "figures": [asdict(one) for one in made]}
    write_results(arguments.out, document, "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
