"""How often the locator's ellipses and regions hold the place of a simulated shot, for each family of shipped scenes.

    python benchmarks/ellipse_coverage.py [--shots 1000] [--jobs 2] [--families suburb open-field] [--quick] ...

Each family keeps the air, ground, town, nodes and faults of its shipped scene; its own events are replaced by shots of
pistols and rifles at random places, 8 s apart so that none hides another. A family is many *worlds*: each has a seed of
its own, and so another town of the same kind, other errors of survey and clock, another error of the reported weather.
Truth is exact.

A shot is located from the first detection of it at each node that is within 40 ms of the straight line from the muzzle
(what the dataset calls a pulse set): from all of them, and twice from random 4, 5, 6 and 8. A bullet's shock wave that
leads by less than 40 ms gets into that set in place of the blast; rows named *no shocks* are of the same detections
without any shock wave. Families with a faulty node are also located without it.

A world is a network that has run for a while. From the arrivals of its own first 20 shots it has learned its path sigma
(`fusion_server.locate.learn_path_sigma`; no truth is used). Its systematic term comes from control shots, whose places
are known, in the *other* worlds of the family: the least one, 0 to 5 m, with which 95 % of their fixes are in their
ellipses. The weather is what the dataset reports, with the errors it states; sources are on the ground that the nodes
stand on. All other shots of the world are then located, and counted. A last table has the default settings instead.

Wilson's interval takes shots as independent. Those of one world share its errors, so the interval over worlds (1.96
standard errors of the mean over worlds) stands beside it. Writes OUT.json, OUT.md and docs/images/coverage.png;
``--quick`` does two small worlds of each family and writes nothing. ``--cache`` keeps the simulated arrivals; empty it
when the simulator changes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import pickle
import platform
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from fusion_server.locate import (
    ArrivalBatch,
    Ground,
    Height,
    LocateSettings,
    ground_of_sites,
    learn_path_sigma,
    locate_batch,
)
from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Location, NoLocation, Site
from shotline_models.metrics import wilson_interval
from shotline_recordings.scene import NodeTable, ScatterTable, SceneFile, ShotsTable, load_scene, shipped_scene
from shotline_recordings.simulate.paths import PathKind
from shotline_recordings.simulate.run import simulated_detections
from shotline_recordings.simulate.stage import Stage, set_stage
from shotline_recordings.work import in_parallel
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]
_Flags = NDArray[np.bool_]

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
WORLD_SHOTS = 125
LEARN_SHOTS = 20
"""The first of a world: it learns from them, and they are not counted."""
LEARN_NODES = 5
QUICK_SHOTS, QUICK_WORLD_SHOTS = 80, 40
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
ALL = 0
SENSORS = (ALL, 4, 5, 6, 8)
SUBSETS = 2
CHI2 = {0.50: -2.0 * math.log(0.50), 0.90: -2.0 * math.log(0.10), 0.95: -2.0 * math.log(0.05)}
WANTED = 0.95
BAND = (0.93, 0.97)
Z95 = 1.959964
LARGEST_SYSTEMATIC_M = 5.0
SYSTEMATIC_STEP_M = 0.05
LEAST_FIXES = 60
"""Of fewer than this, a share of 95 % says nothing."""

# Columns of the rows of fixes.
_SENSORS, _INSIDE, _EAST, _NORTH, _XX, _XY, _YY, _REGION = range(8)
_NO_REGION, _MISSED, _HELD = -1.0, 0.0, 1.0


@dataclass(frozen=True, slots=True)
class World:
    """One part of the work: some shots of one family, in a world of their own; reflections of at most that order."""

    family: str
    number: int
    shots: int
    reflection_order: int

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return FIRST_SEED + MOST_WORLDS * FAMILIES.index(self.family) + self.number


@dataclass(frozen=True, slots=True)
class Heard:
    """What a world's nodes reported, and what is true.

    Parameters
    ----------
    sets, blasts : list of list of Arrival
        By shot: as the dataset has them, and without shock waves.
    truth_m : list of tuple
        Places of the shots, (x, y, z).
    weather : Weather
        As reported.
    sites : tuple of Site
        As surveyed.
    mast_m : float
        Median height of the nodes over the ground.
    faulty : frozenset of str
        Nodes with a clock of their own or that were moved.
    """

    sets: list[list[Arrival]]
    blasts: list[list[Arrival]]
    truth_m: list[tuple[float, float, float]]
    weather: Weather
    sites: tuple[Site, ...]
    mast_m: float
    faulty: frozenset[str]


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the counted shots of one world.

    Parameters
    ----------
    shots : int
    path_sigma_s : float
        Learned.
    rows, rows_by_default : ndarray, shape (n_located, 8), float64
        A row a fix: number of nodes asked for (0 for all), 1 when the shot is inside the hull of the nodes used, error
        east and north in m, covariance (xx, xy, yy) in m² without a systematic term, and whether the region holds the
        truth (-1 where there is none). With what was learned, and with the default settings, where regions are not
        looked at.
    refused : dict
        By reason, from all nodes.
    """

    shots: int
    path_sigma_s: float
    rows: _Real
    rows_by_default: _Real
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
    paths = {
        "longest_extra_m": min(scene.paths.longest_extra_m, LONGEST_EXTRA_M),
        "reflection_order": min(scene.paths.reflection_order, world.reflection_order),
    }
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


def heard_in(world: World, *, cache: Path | None) -> Heard:
    """Return what is heard in a world, from the cache where it is there."""
    name = f"{world.family}-{world.number}-{world.shots}-{world.reflection_order}.pickle"
    if cache is not None and (cache / name).is_file():
        kept: Heard = pickle.loads((cache / name).read_bytes())
        return kept
    scene = scattered(world)
    stage = set_stage(scene, seed=world.seed)
    sets, blasts = arrival_sets(stage)
    heard = Heard(
        sets=sets,
        blasts=blasts,
        truth_m=[stage.event(number).discharges[0].position_m for number in range(stage.n_events)],
        weather=stage.reported_weather,
        sites=tuple(node.site for node in stage.nodes),
        mast_m=float(np.median([node.z_m for node in scene.nodes])),
        faulty=frozenset(faulty_nodes(scene)),
    )
    if cache is not None:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(pickle.dumps(heard))
    return heard


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


def counted(world: World, *, cache: Path | None) -> dict[str, Counted]:
    """Simulate one world, learn and locate; with and without shock waves, and without a faulty node."""
    heard = heard_in(world, cache=cache)
    nobody: frozenset[str] = frozenset()
    variants = [(world.family, heard.sets, nobody), (f"{world.family}, no shocks", heard.blasts, nobody)]
    if heard.faulty:
        without = f"{world.family}, no shocks, without {', '.join(sorted(heard.faulty))}"
        variants.append((without, heard.blasts, heard.faulty))
    found = {}
    for name, shots, left_out in variants:
        kept = [[item for item in arrivals if item.site.node not in left_out] for arrivals in shots]
        sites = [site for site in heard.sites if site.node not in left_out]
        rng = np.random.default_rng(world.seed)
        found[name] = learn_and_locate(kept, heard, ground_of_sites(sites, mast_m=heard.mast_m), rng)
    return found


def learn_and_locate(
    shots: Sequence[Sequence[Arrival]], heard: Heard, ground: Ground, rng: np.random.Generator
) -> Counted:
    """Learn from the first shots of a world, and locate the others."""
    settings = LocateSettings(height=Height.GROUND, systematic_sigma_m=0.0)
    lessons = [arrivals for arrivals in shots[:LEARN_SHOTS] if len(arrivals) >= LEARN_NODES]
    if lessons:
        path_sigma_s = learn_path_sigma([(ArrivalBatch.of(lessons), heard.weather)], settings=settings, ground=ground)
        settings = replace(settings, path_sigma_s=path_sigma_s)
    some = [(ALL, arrivals, truth_m) for arrivals, truth_m in zip(shots, heard.truth_m, strict=True)][LEARN_SHOTS:]
    asked = list(some)
    for sensors in SENSORS[1:]:
        for _, arrivals, truth_m in some:
            for _ in range(SUBSETS if len(arrivals) >= sensors else 0):
                chosen = rng.choice(len(arrivals), size=sensors, replace=False)
                asked.append((sensors, [arrivals[index] for index in chosen], truth_m))
    rows, refused = located(asked, weather=heard.weather, settings=settings, ground=ground, regions=True)
    plain = replace(LocateSettings(), systematic_sigma_m=0.0)
    by_default, _ = located(asked, weather=heard.weather, settings=plain, ground=None, regions=False)
    return Counted(len(some), settings.path_sigma_s, rows, by_default, refused)


def located(
    asked: Sequence[tuple[int, Sequence[Arrival], tuple[float, float, float]]],
    *,
    weather: Weather,
    settings: LocateSettings,
    ground: Ground | None,
    regions: bool,
) -> tuple[_Real, dict[str, int]]:
    """Return a row for each fix (see `Counted`), and why shots of all nodes have none."""
    fixes = locate_batch(
        ArrivalBatch.of([arrivals for _, arrivals, _ in asked]), weather=weather, settings=settings, ground=ground
    )
    rows: list[list[float]] = []
    refused: Counter[str] = Counter()
    for shot, (sensors, _, truth_m) in enumerate(asked):
        if not fixes.located[shot]:
            told = fixes.result(shot)
            if sensors == ALL and isinstance(told, NoLocation):
                refused[told.reason.value] += 1
            continue
        part = slice(int(fixes.batch.first[shot]), int(fixes.batch.first[shot + 1]))
        used = np.abs(fixes.standardised[part]) <= settings.outlier_sigma
        (xx, xy), (_, yy) = fixes.covariance_m2[shot].tolist()
        east_m, north_m = (fixes.place_m[shot] - np.array(truth_m[:2])).tolist()
        inside = _is_inside(fixes.batch.site_m[part][used, :2], truth_m)
        rows.append([sensors, float(inside), east_m, north_m, xx, xy, yy, _NO_REGION])
        if regions and fixes.bent[shot]:
            rows[-1][_REGION] = _HELD if _in_region(fixes.result(shot), truth_m) else _MISSED
    return np.array(rows).reshape(-1, 8), dict(refused)


def _is_inside(site_m: _Real, truth_m: tuple[float, float, float]) -> bool:
    """Return whether a place is in the hull of some sites: no gap of half a turn between their bearings."""
    away = site_m - np.array(truth_m[:2])
    bearing = np.sort(np.arctan2(away[:, 1], away[:, 0]))
    return bool(np.diff(bearing, append=bearing[0] + 2.0 * np.pi).max() < np.pi)


def _in_region(fix: Location | NoLocation, truth_m: tuple[float, float, float]) -> bool:
    if isinstance(fix, NoLocation):
        return False
    return any(shapely.Polygon(ring).covers(shapely.Point(truth_m[:2])) for ring in fix.region95)


# Figures.


def distance_sq(rows: _Real, systematic_m: float | _Real) -> _Real:
    """Return the squared Mahalanobis distance of the truth from each fix with a systematic term (one, or one each)."""
    x, y, xy = rows[:, _EAST], rows[:, _NORTH], rows[:, _XY]
    xx, yy = rows[:, _XX] + systematic_m**2, rows[:, _YY] + systematic_m**2
    # Positive, but for rounding.
    determinant = np.maximum(xx * yy - xy**2, 1e-12)
    return np.asarray((yy * x**2 - 2.0 * xy * x * y + xx * y**2) / determinant)


def needed_systematic_m(rows: _Real) -> float:
    """Return the least systematic term with which 95 % of some fixes are covered; 5 m where that is not enough."""
    for tried_m in np.arange(0.0, LARGEST_SYSTEMATIC_M, SYSTEMATIC_STEP_M).tolist():
        if (distance_sq(rows, tried_m) <= CHI2[0.95]).mean() >= WANTED:
            return round(float(tried_m), 2)
    return LARGEST_SYSTEMATIC_M


def cell_of(inside: _Flags) -> dict[str, Any]:
    """Return a share of fixes, its interval, and where it is against 93 to 97 %.

    ``beside`` is -1, 0 or 1 for below, in and above the band; ``surely`` when the interval does not reach it either.
    """
    if len(inside) < LEAST_FIXES:
        return {"fixes": len(inside)}
    share = float(inside.mean())
    low, high = wilson_interval(int(inside.sum()), len(inside))
    beside = -1 if share < BAND[0] else 1 if share > BAND[1] else 0
    return {
        "fixes": len(inside),
        "coverage": round(share, 4),
        "wilson95": [round(low, 4), round(high, 4)],
        "beside": beside,
        "surely": (beside < 0 and high < BAND[0]) or (beside > 0 and low > BAND[1]),
    }


def by_sensors(rows: _Real, distances: _Real) -> dict[str, Any]:
    """Return coverage by number of nodes, inside and outside their hull."""
    made: dict[str, Any] = {}
    for sensors in SENSORS:
        these = rows[:, _SENSORS] == sensors
        for where, flag in (("inside", 1.0), ("outside", 0.0)):
            chosen = these & (rows[:, _INSIDE] == flag)
            made[f"{_label(sensors)} {where}"] = cell_of(distances[chosen] <= CHI2[0.95])
    return made


def _label(sensors: int) -> str:
    return str(sensors) if sensors else "all"


def summary(family: str, worlds: Sequence[Counted]) -> dict[str, Any]:
    """Return everything about one family."""
    systematic_m = [
        needed_systematic_m(np.concatenate([other.rows for other in worlds if other is not world] or [world.rows]))
        for world in worlds
    ]
    rows = np.concatenate([world.rows for world in worlds])
    number = np.repeat(np.arange(len(worlds)), [len(world.rows) for world in worlds])
    distances = distance_sq(rows, np.array(systematic_m)[number])
    refused = sum((Counter(world.refused) for world in worlds), Counter[str]())
    sigma_ms = [1e3 * world.path_sigma_s for world in worlds]
    made: dict[str, Any] = {
        "family": family,
        "shots": sum(world.shots for world in worlds),
        "worlds": len(worlds),
        "refused": dict(sorted(refused.items())),
        "path_sigma_ms": [round(value, 2) for value in sigma_ms],
        "systematic_m": systematic_m,
    }
    whole = rows[:, _SENSORS] == ALL
    made["located"] = int(whole.sum())
    if made["located"] < LEAST_FIXES:
        return made
    hits = distances[whole] <= CHI2[0.95]
    made |= {name: value for name, value in cell_of(hits).items() if name != "fixes"}
    shares = [float(hits[number[whole] == world].mean()) for world in set(number[whole].tolist())]
    if len(shares) > 1:
        made["half_interval_over_worlds"] = round(Z95 * float(np.std(shares, ddof=1)) / math.sqrt(len(shares)), 4)
        made["worst_world"] = round(min(shares), 4)
    length_m = np.hypot(rows[:, _EAST], rows[:, _NORTH])
    region = rows[:, _REGION] != _NO_REGION
    made |= {
        "in_ellipse50": round(float((distances[whole] <= CHI2[0.50]).mean()), 4),
        "in_ellipse90": round(float((distances[whole] <= CHI2[0.90]).mean()), 4),
        "p95_error_m": round(float(np.percentile(length_m[whole], 95.0)), 2),
        "median_error_m": {
            _label(sensors): round(float(np.median(length_m[rows[:, _SENSORS] == sensors])), 2)
            for sensors in SENSORS
            if (rows[:, _SENSORS] == sensors).any()
        },
        "ellipse_of_all_fixes": cell_of(distances <= CHI2[0.95]),
        "region_share": round(float(region.mean()), 4),
        "region": cell_of(rows[region, _REGION] == _HELD),
        "ellipse_of_those": cell_of(distances[region] <= CHI2[0.95]),
        "by_sensors": by_sensors(rows, distances),
    }
    plain = np.concatenate([world.rows_by_default for world in worlds])
    made["by_default"] = by_sensors(plain, distance_sq(plain, LocateSettings().systematic_sigma_m))
    return made


def count_beside(families: Sequence[dict[str, Any]], what: str) -> dict[str, int]:
    """Return how many cells there are, and how many are below and above 93 to 97 %, surely and at all."""
    cells = [cell for row in families if what in row for cell in row[what].values() if "coverage" in cell]
    return {
        "cells": len(cells),
        "below": sum(cell["beside"] < 0 for cell in cells),
        "above": sum(cell["beside"] > 0 for cell in cells),
        "surely_below": sum(cell["beside"] < 0 and cell["surely"] for cell in cells),
        "surely_above": sum(cell["beside"] > 0 and cell["surely"] for cell in cells),
    }


# What is written.


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def written(cell: dict[str, Any]) -> str:
    """Return a coverage in %, with an arrow when it is outside the band, twice when surely."""
    if "coverage" not in cell:
        return ""
    arrow = {-1: "↓", 0: "", 1: "↑"}[cell["beside"]] * (2 if cell["surely"] else 1)
    return f"{100.0 * cell['coverage']:.1f}{' ' if arrow else ''}{arrow}"


def told(count: dict[str, int]) -> str:
    """Return a count of cells as a sentence."""
    return (
        f"Of {count['cells']} cells {count['below']} are below 93 % and {count['above']} above 97 %; "
        f"{count['surely_below']} and {count['surely_above']} surely."
    )


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    rows = [row for row in document["families"] if "coverage" in row]
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    main_table = table(
        (
            "family",
            "shots",
            "refused",
            "in 95 % ellipse",
            "Wilson 95 %",
            "over worlds",
            "worst world",
            "in 90 %",
            "in 50 %",
            "median error, m",
            "p95, m",
            "path sigma, ms",
            "systematic, m",
        ),
        [
            (
                row["family"],
                str(row["shots"]),
                ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in row["refused"].items()) or "none",
                written(row),
                "{:.1f} to {:.1f}".format(*(100.0 * value for value in row["wilson95"])),
                f"±{100.0 * row['half_interval_over_worlds']:.1f}" if "half_interval_over_worlds" in row else "",
                f"{100.0 * row['worst_world']:.1f}" if "worst_world" in row else "",
                f"{100.0 * row['in_ellipse90']:.1f}",
                f"{100.0 * row['in_ellipse50']:.1f}",
                f"{row['median_error_m']['all']:.2f}",
                f"{row['p95_error_m']:.1f}",
                span(row["path_sigma_ms"]),
                span(row["systematic_m"]),
            )
            for row in rows
        ],
    )
    processes = f"{document['jobs']} {'process' if document['jobs'] == 1 else 'processes'}"
    columns = [f"{_label(sensors)} {where}" for sensors in SENSORS for where in ("inside", "outside")]
    by_sensors_table, default_table = (
        table(("family", *columns), [(row["family"], *(written(row[what][name]) for name in columns)) for row in rows])
        for what in ("by_sensors", "by_default")
    )
    error_table = table(
        ("family", *(_label(sensors) for sensors in SENSORS)),
        [
            (
                row["family"],
                *(
                    f"{row['median_error_m'][_label(sensors)]:.2f}" if _label(sensors) in row["median_error_m"] else ""
                    for sensors in SENSORS
                ),
            )
            for row in rows
        ],
    )
    region_table = table(
        ("family", "fixes with a region", "share, %", "truth in the region", "in the ellipse of those", "all fixes"),
        [
            (
                row["family"],
                str(row["region"]["fixes"]),
                f"{100.0 * row['region_share']:.1f}",
                written(row["region"]),
                written(row["ellipse_of_those"]),
                written(row["ellipse_of_all_fixes"]),
            )
            for row in rows
        ],
    )
    return f"""# Coverage of ellipses and regions over simulated shots

Commit {commit}. Made by `python benchmarks/ellipse_coverage.py --shots {document["shots"]}`
in {document["minutes"]:.0f} min by
{processes}. Arrivals rightly associated, exact truth; reflections of order
{document["reflection_order"]} at most. A world has {document["world_shots"]} shots at the most, and its own town,
survey, clocks and reported weather; it learned its path sigma from its first {LEARN_SHOTS}, which are not counted, and
its systematic term from the other worlds of its family.

↓ and ↑: below 93 and above 97 %; twice where Wilson's interval does not reach that band either. Empty: fewer than
{LEAST_FIXES} fixes.

![Coverage by family, and by number of nodes](../../docs/images/{FIGURE.name})

## All nodes that heard the shot

{main_table}

Shares in %. Of path sigma and systematic term: the median over worlds (least to largest). `rooftop-shooter` fires from
its tower's roof, `outside-the-array` from {RING_M[0]:g} to {RING_M[1]:g} m outside, all others from open ground in the
largest rectangle inside the nodes. Wilson's interval takes shots as independent; *over worlds* is 1.96 standard errors
over worlds, whose shots share their errors.

## By number of nodes, inside and outside the hull of those used

In the 95 % ellipse, %; {SUBSETS} random subsets of each size a shot. {told(document["beside"]["by_sensors"])}

{by_sensors_table}

Median error in m:

{error_table}

## Regions

Fixes whose error an ellipse does not tell get a region; the systematic term is not in it. All numbers of nodes
together, %.

{region_table}

## With the default settings

Nothing learned: in the plane, path sigma {1e3 * LocateSettings().path_sigma_s:g} ms, systematic term
{LocateSettings().systematic_sigma_m:g} m. {told(document["beside"]["by_default"])}

{default_table}
"""


def span(values: Sequence[float]) -> str:
    """Return median, least and largest of some values."""
    return f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def draw(families: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw coverage by family, and by number of nodes inside and outside."""
    from matplotlib.colors import BoundaryNorm
    from matplotlib.figure import Figure

    rows = [row for row in families if "coverage" in row]
    figure = Figure(figsize=(13.0, 1.5 + 0.3 * len(rows)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.4))
    places = np.arange(len(rows))
    shares = np.array([row["coverage"] for row in rows])
    halves = np.array([row.get("half_interval_over_worlds", 0.0) for row in rows])
    ends = np.array([row["wilson95"] for row in rows]).T
    left.axvspan(100.0 * BAND[0], 100.0 * BAND[1], color="tab:green", alpha=0.2)
    left.errorbar(shares * 100.0, places, xerr=halves * 100.0, fmt="none", ecolor="tab:blue", label="95 %, over worlds")
    wilson_bars = 100.0 * np.abs(ends - shares)
    left.errorbar(
        shares * 100.0, places, xerr=wilson_bars, fmt="o", ms=4, color="black", capsize=3, label="95 %, Wilson"
    )
    left.set_yticks(places, [row["family"] for row in rows])
    left.set(title="In the 95 % ellipse, all nodes", xlabel="%", ylim=(len(rows) - 0.5, -0.5))
    left.grid(visible=True, alpha=0.3)
    left.legend(fontsize=7, loc="lower left")
    names = [f"{_label(sensors)} {where}" for sensors in SENSORS for where in ("inside", "outside")]
    values = np.array([[100.0 * row["by_sensors"][name].get("coverage", np.nan) for name in names] for row in rows])
    norm = BoundaryNorm([0.0, 85.0, 90.0, 93.0, 97.0, 99.0, 100.1], 256)
    right.imshow(values, cmap="RdYlBu", norm=norm, aspect="auto", alpha=0.7)
    for (y, x), value in np.ndenumerate(values):
        if not np.isnan(value):
            right.text(x, y, f"{value:.1f}", ha="center", va="center", fontsize=7)
    right.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    right.set_yticks([])
    right.set(title="By number of nodes, inside and outside their hull, %")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def run(
    families: Sequence[str],
    *,
    counts: Sequence[int],
    jobs: int,
    reflection_order: int,
    cache: Path | None,
    say: Callable[[str], object],
) -> list[dict[str, Any]]:
    """Return the summary of each family, and of those with a faulty node also without it."""
    numbered = list(enumerate(counts))
    worlds = [World(family, number, count, reflection_order) for family in families for number, count in numbered]
    started_s = time.monotonic()
    together: dict[str, list[Counted]] = {}
    for world, found in zip(worlds, in_parallel(partial(counted, cache=cache), worlds, jobs=jobs), strict=True):
        for name, some in found.items():
            together.setdefault(name, []).append(some)
        if world.number == len(counts) - 1:
            say(f"{world.family}: {(time.monotonic() - started_s) / 60.0:.1f} min\n")
    return [summary(name, some) for name, some in together.items()]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shots", type=int, default=1_000, help="of each family, those to learn from among them")
    parser.add_argument("--quick", action="store_true", help="two worlds of 40 shots each; writes nothing")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--reflection-order", type=int, choices=range(4), default=1, help="at most; 1")
    parser.add_argument("--cache", type=Path, help="folder that keeps the simulated arrivals")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    shots, each = (QUICK_SHOTS, QUICK_WORLD_SHOTS) if arguments.quick else (arguments.shots, WORLD_SHOTS)
    counts = [min(each, shots - first) for first in range(0, shots, each)]
    if not shots >= 1 or len(counts) > MOST_WORLDS or counts[-1] <= LEARN_SHOTS:
        parser.error(
            f"--shots {shots}: expected up to {MOST_WORLDS * WORLD_SHOTS}; the last world, of {WORLD_SHOTS} or "
            f"what is left, needs more than the {LEARN_SHOTS} that it learns from"
        )
    software, started_s = describe_software(), time.monotonic()
    families = run(
        arguments.families,
        counts=counts,
        jobs=arguments.jobs,
        reflection_order=arguments.reflection_order,
        cache=arguments.cache,
        say=sys.stderr.write,
    )
    document = {
        "benchmark": "coverage",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "shots": shots,
        "world_shots": each,
        "learn_shots": LEARN_SHOTS,
        "first_seed": FIRST_SEED,
        "jobs": arguments.jobs,
        "minutes": round((time.monotonic() - started_s) / 60.0, 1),
        "reflection_order": arguments.reflection_order,
        "weapons": list(WEAPONS),
        "beside": {what: count_beside(families, what) for what in ("by_sensors", "by_default")},
        "families": families,
    }
    text = text_of(document)
    if not arguments.quick:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
        draw(families, arguments.figure)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
