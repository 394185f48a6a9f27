"""How often the locator's 95 % ellipse holds the place of a simulated shot, for each family of shipped scenes.

    python benchmarks/coverage.py [--shots 10000] [--jobs 2] [--families suburb open-field] [--out ...] [--figure ...]

Each family keeps the air, ground, town, nodes and faults of its shipped scene; its own events are replaced by shots of
pistols and rifles at random places, 8 s apart so that none hides another. A family is many *worlds*: each has a seed of
its own, and so another town of the same kind, other errors of survey and clock, another error of the reported weather.

A shot is located from the first detection of it at each node that is within 40 ms of the straight line from the muzzle
(what the dataset calls a pulse set), with the default settings of `fusion_server.locate` and the weather that the
dataset states. Truth is exact. A bullet's shock wave that leads by less than 40 ms gets into that set in place of the
blast; rows named *no shocks* are of the same detections without any shock wave. Families with a faulty node are also
located without it.

Wilson's interval takes shots as independent. Those of one world share its errors, so the interval over worlds (1.96
standard errors of the mean over worlds) stands beside it. Writes OUT.json, OUT.md and docs/images/coverage.png.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from fusion_server.locate import LocateSettings, locate
from fusion_server.registry import Registry
from shotline.domain import Arrival, Location
from shotline_recordings.scene import NodeTable, ScatterTable, SceneFile, ShotsTable, load_scene, shipped_scene
from shotline_recordings.simulate.paths import PathKind
from shotline_recordings.simulate.run import simulated_detections
from shotline_recordings.simulate.stage import Stage, set_stage
from shotline_recordings.work import in_parallel
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "coverage"
FIGURE = ROOT / "docs" / "images" / "coverage.png"

FAMILIES = (
    "open-field",
    "airport-wind",
    "hilly-valley",
    "suburb",
    "downtown-canyon",
    "new-years-eve",
    "two-shooters",
    "automatic-fire",
    "rooftop-shooter",
    "outside-the-array",
    "clock-off",
    "node-moved",
)
WEAPONS = ("glock-19", "glock-21", "glock-22", "sw-686", "m4", "ar15-20in", "akm", "rifle-308")
"""Four pistols and revolvers, four rifles."""
APART_S = 8.0
WORLD_SHOTS = 250
FIRST_SEED = 70_000
"""Of the first world of the first family; each family has a thousand of its own."""
MOST_WORLDS = 1_000
SET_WITHIN_S = 0.040
"""As `shotline_recordings.simulate.run` has it."""
LONGEST_EXTRA_M = 45.0
"""Longer ways than this over the straight line come 130 ms behind it: too late to be, or to change, a first detection
within 40 ms, whose level is that of its next 50 ms."""
RING_M = (150.0, 400.0)
"""How far outside the extent of the nodes the shots of `outside-the-array` are."""
ROOF_MARGIN_M = 1.0
CHI2_95 = -2.0 * math.log(0.05)
WANTED = 0.95
Z95 = 1.959964
BY_NODES = ((3, 3), (4, 4), (5, 5), (6, 7), (8, 9), (10, 99))
LARGEST_SYSTEMATIC_M = 200.0


@dataclass(frozen=True, slots=True)
class World:
    """One part of the work: some shots of one family, in a world of their own."""

    family: str
    number: int
    shots: int
    reflection_order: int | None

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return FIRST_SEED + MOST_WORLDS * FAMILIES.index(self.family) + self.number


@dataclass(frozen=True, slots=True)
class Fixes:
    """What became of the shots of one world; one row for each located shot.

    Parameters
    ----------
    rows : ndarray, shape (n_located, 9), float64
        Error east and north in m, covariance (xx, xy, yy) in m², cep95 in m, nodes used, nodes heard, and 1 when the
        shot is inside the hull of the nodes that heard it.
    refused : dict
        By reason.
    """

    shots: int
    rows: _Real
    refused: dict[str, int]


# Worlds.


def scattered(world: World) -> SceneFile:
    """Return the scene of a family with shots at random places instead of its own events."""
    scene, shots = load_scene(shipped_scene(world.family)), world.shots
    changes: dict[str, Any] = {"shots": [], "bangs": [], "scatter": [], "duration_s": APART_S * (shots + 1)}
    if world.family == "rooftop-shooter":
        changes["shots"] = _on_the_roof(scene, shots=shots, rng=np.random.default_rng(world.seed))
    elif world.family == "outside-the-array":
        changes["scatter"] = _round_about(scene.nodes, shots=shots)
    else:
        west_m, south_m, east_m, north_m = _inside(scene.nodes)
        changes["scatter"] = [_scatter("shot", (west_m, south_m, east_m, north_m), shots, first=0)]
    paths: dict[str, Any] = {"longest_extra_m": min(scene.paths.longest_extra_m, LONGEST_EXTRA_M)}
    if world.reflection_order is not None:
        paths["reflection_order"] = world.reflection_order
    changes["paths"] = scene.paths.model_copy(update=paths)
    return scene.model_copy(update=changes)


def _scatter(event: str, box_m: tuple[float, float, float, float], count: int, *, first: int) -> ScatterTable:
    west_m, south_m, east_m, north_m = box_m
    return ScatterTable(
        event=event,
        kinds=list(WEAPONS),
        count=count,
        west_m=west_m,
        south_m=south_m,
        east_m=east_m,
        north_m=north_m,
        from_s=APART_S * first,
        until_s=APART_S * (first + count),
        apart_s=APART_S,
    )


def _extent(nodes: Sequence[NodeTable]) -> tuple[_Real, _Real]:
    places = np.array([(node.x_m, node.y_m) for node in nodes])
    return places.min(axis=0), places.max(axis=0)


def _inside(nodes: Sequence[NodeTable]) -> tuple[float, float, float, float]:
    """Return the largest rectangle in the hull of the nodes that has the shape and the middle of their extent."""
    low, high = _extent(nodes)
    hull = shapely.MultiPoint([(node.x_m, node.y_m) for node in nodes]).convex_hull
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    shares = np.arange(1.0, 0.0, -0.01)
    share = next(
        share for share in shares if hull.covers(shapely.box(*(middle - share * half), *(middle + share * half)))
    )
    (west_m, south_m), (east_m, north_m) = middle - share * half, middle + share * half
    return float(west_m), float(south_m), float(east_m), float(north_m)


def _round_about(nodes: Sequence[NodeTable], *, shots: int) -> list[ScatterTable]:
    """Return four strips round the nodes, shots in proportion to their areas."""
    (west, south), (east, north) = ([float(value) for value in side] for side in _extent(nodes))
    near, far = RING_M
    strips = {
        "north": (west - far, north + near, east + far, north + far),
        "south": (west - far, south - far, east + far, south - near),
        "east": (east + near, south - near, east + far, north + near),
        "west": (west - far, south - near, west - near, north + near),
    }
    areas = np.array([(box[2] - box[0]) * (box[3] - box[1]) for box in strips.values()])
    ends = np.rint(np.cumsum(areas) / areas.sum() * shots).astype(int).tolist()
    tables = []
    for (name, box), first, last in zip(strips.items(), [0, *ends[:-1]], ends, strict=True):
        if last > first:
            tables.append(_scatter(f"shot-{name}", box, last - first, first=first))
    return tables


def _on_the_roof(scene: SceneFile, *, shots: int, rng: np.random.Generator) -> list[ShotsTable]:
    """Return shots from anywhere on the tower; a scatter would keep to the streets."""
    tower = scene.city.buildings[0]
    corners = np.array(tower.corners_m)
    low, high = corners.min(axis=0) + ROOF_MARGIN_M, corners.max(axis=0) - ROOF_MARGIN_M
    height_m = scene.shots[0].z_m
    made = []
    for index in range(shots):
        x_m, y_m = rng.uniform(low, high).tolist()
        made.append(
            ShotsTable(
                event=f"shot-{index}",
                x_m=x_m,
                y_m=y_m,
                z_m=height_m,
                weapon=WEAPONS[int(rng.integers(len(WEAPONS)))],
                azimuth_deg=float(rng.uniform(0.0, 360.0)),
                times_s=[APART_S * index],
            )
        )
    return made


def faulty_nodes(scene: SceneFile) -> set[str]:
    """Return the nodes with a clock of their own or that were moved."""
    return {node.id for node in scene.nodes if node.clock_offset_ms is not None or any(node.moved_m)}


# Work.


def located(world: World) -> dict[str, Fixes]:
    """Simulate and locate one world; with all nodes, and where one of them is faulty without it."""
    scene = scattered(world)
    stage = set_stage(scene, seed=world.seed)
    sets, blasts = arrival_sets(stage)
    weather = stage.reported_weather
    truth_m = [stage.event(number).discharges[0].position_m[:2] for number in range(stage.n_events)]
    nobody: set[str] = set()
    variants = [(world.family, sets, nobody), (f"{world.family}, no shocks", blasts, nobody)]
    faulty = faulty_nodes(scene)
    if faulty:
        variants.append((f"{world.family}, no shocks, without {', '.join(sorted(faulty))}", blasts, faulty))
    result = {}
    for name, heard_of, left_out in variants:
        rows: list[list[float]] = []
        refused: Counter[str] = Counter()
        for arrivals, place_m in zip(heard_of, truth_m, strict=True):
            heard = [item for item in arrivals if item.site.node not in left_out]
            found = locate(heard, weather=weather)
            if isinstance(found, Location):
                rows.append(_row(found, heard, place_m))
            else:
                refused[found.reason.value] += 1
        result[name] = Fixes(len(heard_of), np.array(rows).reshape(-1, 9), dict(refused))
    return result


def arrival_sets(stage: Stage) -> tuple[list[list[Arrival]], list[list[Arrival]]]:
    """Return, for each event, the first detection of it at each node that is near the straight line.

    Once as the dataset has it, and once of all that is no shock wave.
    """
    registry = Registry(node.site for node in stage.nodes)
    sets: list[list[Arrival]] = [[] for _ in range(stage.n_events)]
    blasts: list[list[Arrival]] = [[] for _ in range(stage.n_events)]
    for some in simulated_detections(stage):
        near = (some.event >= 0) & (np.abs(some.excess_s) <= SET_WITHIN_S)
        for chosen, rows in ((sets, near), (blasts, near & (some.kind != PathKind.SHOCK))):
            done: set[int] = set()
            for row in np.flatnonzero(rows).tolist():
                event = int(some.event[row])
                if event in done:
                    continue
                done.add(event)
                arrival = registry.arrival(some.detections[row])
                if arrival is not None:
                    chosen[event].append(arrival)
    return sets, blasts


def _row(found: Location, heard: Sequence[Arrival], truth_m: tuple[float, ...]) -> list[float]:
    (xx, xy), (_, yy) = found.covariance_m2
    hull = shapely.MultiPoint([(item.site.x_m, item.site.y_m) for item in heard]).convex_hull
    return [
        found.x_m - truth_m[0],
        found.y_m - truth_m[1],
        xx,
        xy,
        yy,
        found.cep95_m,
        sum(item.used for item in found.verdicts),
        len(heard),
        float(hull.covers(shapely.Point(truth_m[:2]))),
    ]


# Figures.


def within(rows: _Real, systematic_m: float) -> NDArray[np.bool_]:
    """Return whether the 95 % ellipse holds the truth, had the systematic term been another one."""
    return np.asarray(distance_sq(rows, systematic_m) <= CHI2_95)


def distance_sq(rows: _Real, systematic_m: float) -> _Real:
    """Return the squared Mahalanobis distance of the truth from each fix, had the systematic term been another one."""
    change_m2 = systematic_m**2 - LocateSettings().systematic_sigma_m ** 2
    x, y, xx, xy, yy = rows[:, 0], rows[:, 1], rows[:, 2] + change_m2, rows[:, 3], rows[:, 4] + change_m2
    # Without a systematic term the fit's own covariance is left: positive, but for rounding.
    determinant = np.maximum(xx * yy - xy**2, 1e-12)
    return np.asarray((yy * x**2 - 2.0 * xy * x * y + xx * y**2) / determinant)


def needed_systematic_m(rows: _Real) -> float | None:
    """Return the least systematic term that covers 95 %; 0 where none is needed, None where 200 m are not enough."""
    if not len(rows) or within(rows, LARGEST_SYSTEMATIC_M).mean() < WANTED:
        return None
    low, high = 0.0, LARGEST_SYSTEMATIC_M
    if within(rows, low).mean() >= WANTED:
        return 0.0
    while high - low > 1e-3:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if within(rows, middle).mean() >= WANTED else (middle, high)
    return round(high, 2)


def wilson(hits: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a share."""
    share, square = hits / count, Z95**2 / count
    middle, half = share + 0.5 * square, Z95 * math.sqrt(share * (1.0 - share) / count + 0.25 * square / count)
    return (middle - half) / (1.0 + square), (middle + half) / (1.0 + square)


def coverage(rows: _Real) -> dict[str, Any]:
    """Return how many of some fixes the ellipse covers."""
    if not len(rows):
        return {"located": 0}
    inside = within(rows, LocateSettings().systematic_sigma_m)
    low, high = wilson(int(inside.sum()), len(rows))
    return {
        "located": len(rows),
        "coverage": round(float(inside.mean()), 4),
        "wilson95": [round(low, 4), round(high, 4)],
        "median_error_m": round(float(np.median(np.hypot(rows[:, 0], rows[:, 1]))), 2),
    }


def summary(family: str, worlds: Sequence[Fixes]) -> dict[str, Any]:
    """Return everything about one family."""
    rows = np.concatenate([world.rows for world in worlds])
    refused = sum((Counter(world.refused) for world in worlds), Counter[str]())
    made: dict[str, Any] = {
        "family": family,
        "shots": sum(world.shots for world in worlds),
        "worlds": len(worlds),
        **coverage(rows),
        "refused": dict(sorted(refused.items())),
    }
    if not len(rows):
        return made
    now_m = LocateSettings().systematic_sigma_m
    shares = [float(within(world.rows, now_m).mean()) for world in worlds if len(world.rows)]
    if len(shares) > 1:
        half = Z95 * float(np.std(shares, ddof=1)) / math.sqrt(len(shares))
        made["half_interval_over_worlds"] = round(half, 4)
        made["worst_world"] = round(min(shares), 4)
    error_m = np.hypot(rows[:, 0], rows[:, 1])
    used, covered = rows[:, 6], rows[:, 8] > 0.0
    made |= {
        "p95_error_m": round(float(np.percentile(error_m, 95.0)), 2),
        "median_cep95_m": round(float(np.median(rows[:, 5])), 2),
        "within_cep95": round(float((error_m <= rows[:, 5]).mean()), 4),
        "systematic_m_for_95": needed_systematic_m(rows),
        "systematic_m_now": now_m,
        "axes_times_for_95": round(math.sqrt(float(np.percentile(distance_sq(rows, now_m), 95.0)) / CHI2_95), 3),
        "coverage_without_systematic": round(float(within(rows, 0.0).mean()), 4),
        "by_nodes_used": {
            label_of(low, high): coverage(rows[(used >= low) & (used <= high)]) for low, high in BY_NODES
        },
        "inside_hull": coverage(rows[covered]),
        "outside_hull": coverage(rows[~covered]),
    }
    return made


def label_of(low: int, high: int) -> str:
    """Return how a class of numbers of nodes is written."""
    return str(low) if low == high else f"{low}+" if high == BY_NODES[-1][1] else f"{low} to {high}"


# What is written.


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(part: dict[str, Any]) -> str:
    """Return a coverage with its interval and number."""
    if not part["located"]:
        return ""
    low, high = part["wilson95"]
    return f"{100.0 * part['coverage']:.1f} ({100.0 * low:.1f} to {100.0 * high:.1f}; {part['located']})"


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    rows = document["families"]
    some = [row for row in rows if row["located"]]
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    order = document["reflection_order"]
    orders = "as shipped" if order is None else f"at most {order} everywhere"
    main_table = table(
        (
            "family",
            "shots",
            "located",
            "refused",
            "coverage, %",
            "Wilson 95 %",
            "over worlds",
            "worst world, %",
            "median error, m",
            "p95 error, m",
            "median CEP95, m",
            "in CEP95, %",
        ),
        [
            (
                row["family"],
                str(row["shots"]),
                str(row["located"]),
                ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in row["refused"].items()) or "none",
                f"{100.0 * row['coverage']:.1f}",
                "{:.1f} to {:.1f}".format(*(100.0 * value for value in row["wilson95"])),
                f"±{100.0 * row['half_interval_over_worlds']:.1f}" if "half_interval_over_worlds" in row else "",
                f"{100.0 * row['worst_world']:.1f}" if "worst_world" in row else "",
                f"{row['median_error_m']:.1f}",
                f"{row['p95_error_m']:.1f}",
                f"{row['median_cep95_m']:.1f}",
                f"{100.0 * row['within_cep95']:.1f}",
            )
            for row in some
        ],
    )
    systematic_table = table(
        (
            "family",
            "needed for 95 %, m",
            "in use, m",
            "coverage without, %",
            "coverage as is, %",
            "axes times for 95 %",
        ),
        [
            (
                row["family"],
                f"more than {LARGEST_SYSTEMATIC_M:g}"
                if row["systematic_m_for_95"] is None
                else f"{row['systematic_m_for_95']:.1f}",
                f"{row['systematic_m_now']:.1f}",
                f"{100.0 * row['coverage_without_systematic']:.1f}",
                f"{100.0 * row['coverage']:.1f}",
                f"{row['axes_times_for_95']:.2f}",
            )
            for row in some
        ],
    )
    labels = [label_of(low, high) for low, high in BY_NODES]
    nodes_table = table(
        ("family", *(f"{label} nodes" for label in labels)),
        [(row["family"], *(percent(row["by_nodes_used"][label]) for label in labels)) for row in some],
    )
    hull_table = table(
        ("family", "inside", "outside", "median error inside, m", "outside, m"),
        [
            (
                row["family"],
                percent(row["inside_hull"]),
                percent(row["outside_hull"]),
                *(f"{row[side].get('median_error_m', '')}" for side in ("inside_hull", "outside_hull")),
            )
            for row in some
        ],
    )
    return f"""# Coverage of the 95 % ellipse over simulated shots

Commit {commit}. Made by `python benchmarks/coverage.py --shots {document["shots"]}` in {document["minutes"]:.0f} min by
{document["jobs"]} processes. Locator with its default settings, arrivals rightly associated, exact truth; order of
reflections {orders}. A world has {document["world_shots"]} shots at the most, and its own town, survey, clocks and
reported weather.

![Coverage by family, and by number of nodes](../../docs/images/{FIGURE.name})

{main_table}

`rooftop-shooter` fires from its tower's roof, `outside-the-array` from {RING_M[0]:g} to {RING_M[1]:g} m outside, all
others from open ground in the largest rectangle inside the nodes. Wilson's interval takes shots as independent; *over
worlds* is 1.96 standard errors over worlds, whose shots share their errors.

## The systematic term

1-sigma per axis that all fixes of a family would need for 95 %, the fit's own covariance being what it is; 0 where that
alone covers 95 %. The last column is what both axes of the ellipses in use could be multiplied by to hold 95 %: less
than 1 where they are wider than need be.

{systematic_table}

## By number of nodes used

Coverage in % (Wilson 95 %; located shots).

{nodes_table}

## Inside and outside the hull of the nodes that heard the shot

{hull_table}
"""


def draw(rows: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw coverage by family, and by number of nodes used."""
    from matplotlib.figure import Figure

    some = [row for row in rows if row["located"]]
    figure = Figure(figsize=(12.0, 7.5), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
    places = np.arange(len(some))
    shares = np.array([row["coverage"] for row in some])
    halves = np.array([row.get("half_interval_over_worlds", 0.0) for row in some])
    ends = np.array([row["wilson95"] for row in some]).T
    left.errorbar(shares * 100.0, places, xerr=halves * 100.0, fmt="none", ecolor="tab:blue", label="95 %, over worlds")
    wilson_bars = 100.0 * np.abs(ends - shares)
    left.errorbar(
        shares * 100.0, places, xerr=wilson_bars, fmt="o", ms=4, color="black", capsize=3, label="95 %, Wilson"
    )
    left.set_yticks(places, [row["family"] for row in some])
    left.invert_yaxis()
    left.set(title="Coverage of the 95 % ellipse", xlabel="%")
    labels = [label_of(low, high) for low, high in BY_NODES]
    styles = ("-", "--", ":")
    for number, row in enumerate(some):
        parts = [row["by_nodes_used"][label] for label in labels]
        # Fewer than 20 fixes say nothing about 95 %.
        known = [(at, 100.0 * part["coverage"]) for at, part in enumerate(parts) if part["located"] >= 20]
        if known:
            right.plot(*zip(*known, strict=True), styles[number // 10], marker=".", label=row["family"])
    right.set_xticks(range(len(labels)), labels)
    right.set(title="By number of nodes used (20 fixes or more)", xlabel="nodes", ylabel="%")
    left.axvline(100.0 * WANTED, color="tab:green", lw=1.0)
    right.axhline(100.0 * WANTED, color="tab:green", lw=1.0)
    for panel in (left, right):
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize=7, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def run(
    families: Sequence[str], *, shots: int, jobs: int, reflection_order: int | None, say: Callable[[str], object]
) -> list[dict[str, Any]]:
    """Return the summary of each family, and of those with a faulty node also without it."""
    counts = [min(WORLD_SHOTS, shots - first) for first in range(0, shots, WORLD_SHOTS)]
    numbered = list(enumerate(counts))
    worlds = [World(family, number, count, reflection_order) for family in families for number, count in numbered]
    started_s = time.monotonic()
    together: dict[str, list[Fixes]] = {}
    for world, found in zip(worlds, in_parallel(located, worlds, jobs=jobs), strict=True):
        for name, fixes in found.items():
            together.setdefault(name, []).append(fixes)
        if world.number == len(counts) - 1:
            say(f"{world.family}: {(time.monotonic() - started_s) / 60.0:.1f} min\n")
    return [summary(name, fixes) for name, fixes in together.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=10_000, help="of each family")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--reflection-order", type=int, choices=range(4), help="instead of each scene's own; faster")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    if not 1 <= arguments.shots <= MOST_WORLDS * WORLD_SHOTS:
        parser.error(f"--shots {arguments.shots}: expected 1 to {MOST_WORLDS * WORLD_SHOTS}")
    started_s = time.monotonic()
    families = run(
        arguments.families,
        shots=arguments.shots,
        jobs=arguments.jobs,
        reflection_order=arguments.reflection_order,
        say=sys.stderr.write,
    )
    software = describe_software()
    document = {
        "benchmark": "coverage",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "shots": arguments.shots,
        "world_shots": WORLD_SHOTS,
        "first_seed": FIRST_SEED,
        "jobs": arguments.jobs,
        "minutes": round((time.monotonic() - started_s) / 60.0, 1),
        "reflection_order": arguments.reflection_order,
        "weapons": list(WEAPONS),
        "families": families,
    }
    text = text_of(document)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    draw(families, arguments.figure)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
