"""Site bias in simulated cities: how much nearer are fixes of places never heard before, and are any further off?

    python benchmarks/site_bias.py [--cities 2] [--days 6] [--cache DIR] [--pittsburgh DIR] [--out FILE] [--quick]

A city is a shipped scene with its own air, ground, buildings and nodes (`city-block`, `suburb`, `downtown-canyon`),
with a town, screens and errors of survey of its own. Nodes are surveyed to 0.3 m, as shipped, or to 1.5 m, as by an
averaged GNSS receiver: the same errors, five times as large. Ten single shots a day come from open ground inside the
nodes, in a weather of that day (-5 to 30 °C, wind of 2.5 m/s on the mean, any direction) that the network knows to 1
°C and 0.7 m/s per axis. Those of the first four days are control shots, at places known to 0.3 m or to 2.5 m per
axis; those of the later days are to be located: other places, other weather. Simulated detections, exact truth, no
shock waves, echoes of first order.

*Without*: the path sigma is what the network learns from the arrivals of the same control shots, places unknown
(`fusion_server.locate.learn_path_sigma`). *With*: delays learned from the first 5, 10, 20 or 40 control shots, in
random order, as `shotline calibrate site-bias learn` does; where its own places left out (in five folds) do not gain,
the table is refused and the network stays as it is. *Ratio*: of median errors over all held-out shots of all cities
of a kind. *Quarters*: each city is cut in four at the middle of its nodes; held-out shots of a quarter are some
fifteen.

Of the Pittsburgh set, where it is there, only FP3 and FP4 share nodes: each is located with what the other taught, one
place, which the procedure itself would refuse. Beside it, what is no held-out place: tests of a position located with
what the other half of its tests taught.

Writes OUT.json and OUT.md; ``--quick`` does one small city and writes nothing.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import pickle
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from ellipse_coverage import arrival_sets
from numpy.typing import NDArray
from results_files import write_results

from fusion_server.locate import (
    ArrivalBatch,
    Fixes,
    Ground,
    Height,
    LocateSettings,
    ground_of_sites,
    learn_path_sigma,
    locate_batch,
)
from fusion_server.registry import Registry
from fusion_server.sitebias import (
    ControlShot,
    PathDelays,
    SiteBiasTable,
    air_errors,
    control_rows,
    locate_batch_with_delays,
)
from fusion_server.sitebias.judge import judge
from fusion_server.sitebias.learn import LearnSettings, learn_delays
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Site
from shotline_recordings.dataset import Scene, open_dataset
from shotline_recordings.scene import NodeTable, ScatterTable, SceneFile, load_scene, shipped_scene
from shotline_recordings.simulate.stage import set_stage
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "site_bias"
PITTSBURGH = ROOT.parent / "shared" / "data" / "pittsburgh"

FAMILIES = ("city-block", "suburb", "downtown-canyon")
WEAPONS = ["glock-19", "glock-21", "glock-22", "sw-686"]
FIRST_SEED = 880_000
A_DAY = 10
CONTROL_DAYS = 4
SIZES = (5, 10, 20, 40)
SURVEY_SIGMAS_M = (0.3, 1.5)
PLACE_SIGMAS_M = (0.3, 2.5)
APART_S = 8.0
LONGEST_EXTRA_M = 45.0
REPORTED_SIGMA_C, REPORTED_SIGMA_MPS = 1.0, 0.7
LEARN_NODES = 5
FOLDS = 5
NEAR_M = (0.0, 75.0, 150.0, 300.0, math.inf)
WORSE = 1.1
CHI2_95 = -2.0 * math.log(0.05)
SETTINGS = LocateSettings(height=Height.GROUND)


@dataclass(frozen=True, slots=True)
class Shot:
    """A shot as the network heard it, and where it was."""

    arrivals: tuple[Arrival, ...]
    x_m: float
    y_m: float
    weather: Weather
    day: int


@dataclass(frozen=True, slots=True)
class City:
    """A network, how high its microphones are, where its nodes really are, and shots."""

    sites: tuple[Site, ...]
    mast_m: float
    true_m: dict[str, tuple[float, float, float]]
    shots: tuple[Shot, ...]


@dataclass(frozen=True, slots=True)
class Located:
    """Held-out shots, located both ways: shape (n,) each.

    Parameters
    ----------
    without_m, with_m : ndarray
        Errors.
    held_without, held_with : ndarray
        Whether the 95 % ellipse holds the truth.
    size_without_m, size_with_m : ndarray
        CEP-like size: the root of the mean variance of an axis.
    nearest_m : ndarray
        To the nearest place learned from.
    quarter : ndarray
        City and quarter.
    refused : bool
        The network's own judgement refused the table.
    """

    without_m: _Real
    with_m: _Real
    held_without: _Real
    held_with: _Real
    size_without_m: _Real
    size_with_m: _Real
    nearest_m: _Real
    quarter: NDArray[np.int64]
    refused: bool


# Cities.


def inside(nodes: Sequence[NodeTable]) -> tuple[float, float, float, float]:
    """Return the largest rectangle in the hull of the nodes that has the shape and the middle of their extent."""
    places = np.array([(node.x_m, node.y_m) for node in nodes])
    low, high = places.min(axis=0), places.max(axis=0)
    hull = shapely.MultiPoint(places).convex_hull
    middle, half = 0.5 * (low + high), 0.5 * (high - low)
    share = next(
        share
        for share in np.arange(1.0, 0.0, -0.01).tolist()
        if hull.covers(shapely.box(*(middle - share * half), *(middle + share * half)))
    )
    (west_m, south_m), (east_m, north_m) = (middle - share * half).tolist(), (middle + share * half).tolist()
    return west_m, south_m, east_m, north_m


def scene_of(base: SceneFile, day: int, rng: np.random.Generator) -> SceneFile:
    """Return a scene with the shots and the weather of a day, both drawn anew; town and survey follow its seed."""
    west_m, south_m, east_m, north_m = inside(base.nodes)
    weather = base.weather.model_copy(
        update={
            "temperature_c": float(rng.uniform(-5.0, 30.0)),
            "wind_speed_mps": float(min(rng.rayleigh(2.0), 6.0)),
            "wind_from_deg": float(rng.uniform(0.0, 360.0)),
            "reported_temperature_sigma_c": 0.0,
            "reported_wind_sigma_mps": 0.0,
        }
    )
    scatter = ScatterTable(
        event=f"day{day}",
        kinds=WEAPONS,
        count=A_DAY,
        west_m=west_m,
        south_m=south_m,
        east_m=east_m,
        north_m=north_m,
        from_s=0.0,
        until_s=APART_S * A_DAY,
        apart_s=APART_S,
    )
    paths = {"longest_extra_m": LONGEST_EXTRA_M, "reflection_order": min(1, base.paths.reflection_order)}
    return base.model_copy(
        update={
            "weather": weather,
            "shots": [],
            "bangs": [],
            "scatter": [scatter],
            "duration_s": APART_S * (A_DAY + 1),
            "survey_sigma_m": SURVEY_SIGMAS_M[0],
            "paths": base.paths.model_copy(update=paths),
        }
    )


def reported(scene: SceneFile, rng: np.random.Generator) -> Weather:
    """Return the weather as the network knows it."""
    air = scene.air
    east_mps, north_mps = np.array(air.wind_enu_mps) + REPORTED_SIGMA_MPS * rng.standard_normal(2)
    return Weather(
        temperature_c=air.temperature_c + REPORTED_SIGMA_C * float(rng.standard_normal()),
        wind_speed_mps=float(np.hypot(east_mps, north_mps)),
        wind_from_deg=math.degrees(math.atan2(-east_mps, -north_mps)) % 360.0,
        humidity_percent=air.humidity_percent,
        temperature_sigma_c=REPORTED_SIGMA_C,
        wind_sigma_mps=REPORTED_SIGMA_MPS,
    )


def make_city(family: str, number: int, days: int, cache: Path | None) -> City:
    """Return a city, from the cache where it is there."""
    kept = None if cache is None else cache / f"site-bias-{family}-{number}-{days}.pickle"
    if kept is not None and kept.is_file():
        city: City = pickle.loads(kept.read_bytes())
        return city
    base = load_scene(shipped_scene(family))
    seed = FIRST_SEED + 1000 * FAMILIES.index(family) + number
    shots: list[Shot] = []
    sites: tuple[Site, ...] = ()
    true_m: dict[str, tuple[float, float, float]] = {}
    for day in range(days):
        rng = np.random.default_rng([seed, day])
        scene = scene_of(base, day, rng)
        stage = set_stage(scene, seed=seed)
        weather = reported(scene, rng)
        here = tuple(node.site for node in stage.nodes)
        if sites and here != sites:
            raise RuntimeError("the survey of a city differs from day to day")
        sites = here
        true_m = {node.id: tuple(node.position_m.tolist()) for node in stage.nodes}
        _, blasts = arrival_sets(stage)
        for number_of_event, arrivals in enumerate(blasts):
            x_m, y_m, _ = stage.event(number_of_event).discharges[0].position_m
            shots.append(Shot(tuple(arrivals), x_m, y_m, weather, day))
    city = City(sites, float(np.median([node.z_m for node in base.nodes])), true_m, tuple(shots))
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(pickle.dumps(city))
    return city


def surveyed(city: City, sigma_m: float) -> City:
    """Return a city whose nodes are surveyed worse: the same errors, larger."""
    factor = sigma_m / SURVEY_SIGMAS_M[0]

    def moved(site: Site) -> Site:
        x_m, y_m, z_m = city.true_m[site.node]
        return Site(
            site.node,
            x_m + factor * (site.x_m - x_m),
            y_m + factor * (site.y_m - y_m),
            z_m + factor * (site.z_m - z_m),
            sigma_m,
        )

    sites = {site.node: moved(site) for site in city.sites}
    shots = tuple(
        replace(shot, arrivals=tuple(replace(item, site=sites[item.site.node]) for item in shot.arrivals))
        for shot in city.shots
    )
    return City(tuple(sites.values()), city.mast_m, city.true_m, shots)


# Work.


def located(shots: Sequence[Shot], delays: PathDelays | None, settings: LocateSettings, ground: Ground) -> _Real:
    """Return error east and north, variances xx, xy, yy of each shot, shape (n, 5); NaN where there is no fix."""
    rows = np.full((len(shots), 5), np.nan)
    for day in sorted({shot.day for shot in shots}):
        which = [index for index, shot in enumerate(shots) if shot.day == day]
        batch, weather = ArrivalBatch.of([shots[index].arrivals for index in which]), shots[which[0]].weather
        fixes: Fixes
        if delays is None:
            fixes = locate_batch(batch, weather=weather, settings=settings, ground=ground)
        else:
            fixes = locate_batch_with_delays(batch, delays=delays, weather=weather, settings=settings, ground=ground)
        truth_m = np.array([(shots[index].x_m, shots[index].y_m) for index in which])
        found = np.column_stack([fixes.place_m - truth_m, fixes.covariance_m2.reshape(-1, 4)[:, [0, 1, 3]]])
        rows[which] = np.where(fixes.located[:, None], found, np.nan)
    return rows


def control(shots: Sequence[Shot], sigma_m: float, rng: np.random.Generator) -> list[ControlShot]:
    """Return shots as their places are known."""
    return [
        ControlShot(
            f"p{number}",
            shot.x_m + sigma_m * float(rng.standard_normal()),
            shot.y_m + sigma_m * float(rng.standard_normal()),
            sigma_m,
            shot.arrivals,
            shot.weather,
        )
        for number, shot in enumerate(shots)
    ]


def learned(
    shots: Sequence[ControlShot], city: City, settings: LocateSettings, ground: Ground
) -> tuple[PathDelays, bool]:
    """Return what the procedure learns, and whether it refuses it."""
    nodes = tuple(site.node for site in city.sites)
    rows, names = control_rows(shots, city.sites, settings=settings, ground=ground)
    learn = LearnSettings(air_errors([shot.weather for shot in shots], settings))
    delays = learn_delays(rows, nodes, learn)
    judgement = judge(
        shots,
        rows,
        names=names,
        nodes=nodes,
        learn=learn,
        start=delays.scales,
        settings=settings,
        ground=ground,
        most_folds=FOLDS,
    )
    table = SiteBiasTable.of(delays, places=names, place_sigma_m=rows.place_sigma_m.tolist())
    return table.to_delays(), bool(judgement.refusal)


def one(city: City, number: int, size: int, place_sigma_m: float, seed: int) -> Located:
    """Learn from the first control shots of a city, and locate its held-out shots both ways."""
    ground = ground_of_sites(city.sites, mast_m=city.mast_m)
    lessons = [shot for shot in city.shots if shot.day < CONTROL_DAYS]
    held_out = [shot for shot in city.shots if shot.day >= CONTROL_DAYS]
    rng = np.random.default_rng([seed, 1])
    lessons = [lessons[index] for index in rng.permutation(len(lessons)).tolist()[:size]]
    rng = np.random.default_rng([seed, 2, round(10 * place_sigma_m)])
    heard = [(ArrivalBatch.of([shot.arrivals]), shot.weather) for shot in lessons if len(shot.arrivals) >= LEARN_NODES]
    settings = replace(SETTINGS, path_sigma_s=learn_path_sigma(heard, settings=SETTINGS, ground=ground))
    delays, refused = learned(control(lessons, place_sigma_m, rng), city, settings, ground)
    without, with_delays = (located(held_out, some, settings, ground) for some in (None, delays))
    both = np.isfinite(without[:, 0]) & np.isfinite(with_delays[:, 0])
    without, with_delays = without[both], with_delays[both]
    where_m = np.array([(shot.x_m, shot.y_m) for shot in held_out])[both]
    taught_m = np.array([(shot.x_m, shot.y_m) for shot in lessons])
    middle_m = np.mean([(site.x_m, site.y_m) for site in city.sites], axis=0)
    side = where_m > middle_m
    return Located(
        without_m=np.hypot(without[:, 0], without[:, 1]),
        with_m=np.hypot(with_delays[:, 0], with_delays[:, 1]),
        held_without=_held(without),
        held_with=_held(with_delays),
        size_without_m=np.sqrt(0.5 * (without[:, 2] + without[:, 4])),
        size_with_m=np.sqrt(0.5 * (with_delays[:, 2] + with_delays[:, 4])),
        nearest_m=np.linalg.norm(where_m[:, None] - taught_m[None], axis=2).min(axis=1),
        quarter=4 * number + 2 * side[:, 0].astype(np.int64) + side[:, 1],
        refused=refused,
    )


def _held(rows: _Real) -> _Real:
    x, y, xx, xy, yy = rows.T
    distance_sq = (yy * x**2 - 2.0 * xy * x * y + xx * y**2) / (xx * yy - xy**2)
    return (distance_sq <= CHI2_95).astype(np.float64)


# Figures.


def case_of(each: Sequence[Located], **what: object) -> dict[str, Any]:
    """Put the cities of one case together: as learned, and as used, where refused tables are not."""
    without, with_delays = (np.concatenate([getattr(item, name) for item in each]) for name in ("without_m", "with_m"))
    used = np.concatenate([item.without_m if item.refused else item.with_m for item in each])
    held_used = np.concatenate([item.held_without if item.refused else item.held_with for item in each])
    size_used = np.concatenate([item.size_without_m if item.refused else item.size_with_m for item in each])
    quarter = np.concatenate([item.quarter for item in each])
    by_city = [_ratio(item.with_m, item.without_m) for item in each]
    quarters = [_ratio(used[quarter == number], without[quarter == number]) for number in np.unique(quarter).tolist()]
    return {
        **what,
        "cities": len(each),
        "shots": len(without),
        "without_m": _round(np.median(without)),
        "with_m": _round(np.median(with_delays)),
        "ratio": _ratio(with_delays, without),
        "refused": sum(item.refused for item in each),
        "used_m": _round(np.median(used)),
        "used_ratio": _ratio(used, without),
        "p90_without_m": _round(np.percentile(without, 90)),
        "p90_used_m": _round(np.percentile(used, 90)),
        "worst_city_ratio": max(by_city),
        "worst_city_used_ratio": max(1.0 if item.refused else ratio for item, ratio in zip(each, by_city, strict=True)),
        "quarters": len(quarters),
        "worst_quarter_used_ratio": max(quarters),
        "quarters_worse": sum(ratio > WORSE for ratio in quarters),
        "shots_worse_percent": _round(100.0 * np.mean(used > WORSE * without), 1),
        "shots_worse_by_1_m_percent": _round(100.0 * np.mean(used > without + 1.0), 1),
        "shots_better_by_1_m_percent": _round(100.0 * np.mean(used < without - 1.0), 1),
        "held95_without_percent": _round(100.0 * np.concatenate([item.held_without for item in each]).mean(), 1),
        "held95_used_percent": _round(100.0 * held_used.mean(), 1),
        "sigma_without_m": _round(np.median(np.concatenate([item.size_without_m for item in each]))),
        "sigma_used_m": _round(np.median(size_used)),
    }


def by_distance(each: Sequence[Located]) -> list[dict[str, Any]]:
    """Return ratios by the distance to the nearest place learned from, refused tables left out."""
    some = [item for item in each if not item.refused]
    if not some:
        return []
    near, without, with_delays = (
        np.concatenate([getattr(item, name) for item in some]) for name in ("nearest_m", "without_m", "with_m")
    )
    found = []
    for low, high in itertools.pairwise(NEAR_M):
        own = (near >= low) & (near < high)
        if own.sum() >= 20:
            ratio = _ratio(with_delays[own], without[own])
            to_m = high if math.isfinite(high) else None
            found.append({"from_m": low, "to_m": to_m, "shots": int(own.sum()), "ratio": ratio})
    return found


def _ratio(with_m: _Real, without_m: _Real) -> float:
    return _round(float(np.median(with_m) / np.median(without_m)))


def _round(value: float, digits: int = 2) -> float:
    return round(float(value), digits)


# Pittsburgh.


def control_of_scene(scene: Scene) -> list[tuple[str, ControlShot]]:
    """Return the shots of a firing position, each with the name of its test."""
    registry = Registry(scene.sites)
    detections = {item.uid: item for item in scene.detections}
    truth = {event.event: event for event in scene.truth}
    shots = []
    for group in scene.pulse_sets:
        event = truth[group.event]
        heard = [registry.arrival(detections[uid]) for uid in group.detections]
        arrivals = tuple(item for item in heard if item is not None)
        weather = scene.weather.at(min(item.time_ns for item in arrivals))
        shots.append((group.event, ControlShot(scene.name, event.x_m, event.y_m, event.sigma_m, arrivals, weather)))
    return shots


def off_m(shots: Sequence[ControlShot], delays: PathDelays | None, ground: Ground) -> _Real:
    """Return how far fixes are from the surveyed place, shape (n,); NaN where there is no fix."""
    found = []
    for shot in shots:
        batch, weather = ArrivalBatch.of([shot.arrivals]), shot.weather
        if delays is None:
            fixes = locate_batch(batch, weather=weather, settings=SETTINGS, ground=ground)
        else:
            fixes = locate_batch_with_delays(batch, delays=delays, weather=weather, settings=SETTINGS, ground=ground)
        found.append(float(np.hypot(*(fixes.place_m[0] - (shot.x_m, shot.y_m)))))
    return np.array(found)


def pittsburgh(folder: Path) -> list[dict[str, Any]]:
    """Return what the recorded positions teach: another position that shares nodes, and the same position."""
    scenes = {scene.name: scene for scene in open_dataset(folder).scenes}
    found = []
    for name, scene in scenes.items():
        shots = control_of_scene(scene)
        ground = ground_of_sites(scene.sites, mast_m=SETTINGS.mast_m)
        own = {site.node: site for site in scene.sites}
        others = [
            other
            for other in scenes.values()
            if other is not scene and len(own.keys() & {site.node for site in other.sites}) >= 2
        ]
        if others:
            # The frames of the two are the same but for a shift: laid on each other by the nodes they share.
            lessons = [shot for other in others for shot in laid_on(other, scene)]
            delays = _learned_once(lessons, scene.sites, ground)
            found.append(
                _compared(name, "held out: taught by " + ", ".join(o.name for o in others), shots, delays, ground)
            )
        tests = sorted({test for test, _ in shots})
        halves = [set(tests[0::2]), set(tests[1::2])]
        parts = []
        for taught, asked in (halves, halves[::-1]):
            delays = _learned_once([shot for test, shot in shots if test in taught], scene.sites, ground)
            some = [(test, shot) for test, shot in shots if test in asked]
            parts.append((off_m([s for _, s in some], None, ground), off_m([s for _, s in some], delays, ground)))
        without, with_delays = (np.concatenate(column) for column in zip(*parts, strict=True))
        found.append(_row(name, "not held out: taught by its other tests", without, with_delays))
    return found


def laid_on(other: Scene, scene: Scene) -> list[ControlShot]:
    """Return the shots of another position in the frame of a scene, of the nodes that both have."""
    own = {site.node: site for site in scene.sites}
    shared = [(site, own[site.node]) for site in other.sites if site.node in own]
    shift_x_m = float(np.median([mine.x_m - site.x_m for site, mine in shared]))
    shift_y_m = float(np.median([mine.y_m - site.y_m for site, mine in shared]))
    return [
        replace(
            shot,
            x_m=shot.x_m + shift_x_m,
            y_m=shot.y_m + shift_y_m,
            arrivals=tuple(replace(item, site=own[item.site.node]) for item in shot.arrivals if item.site.node in own),
        )
        for _, shot in control_of_scene(other)
    ]


def _learned_once(shots: Sequence[ControlShot], sites: Sequence[Site], ground: Ground) -> PathDelays:
    rows, _ = control_rows(shots, sites, settings=SETTINGS, ground=ground)
    air = air_errors([shot.weather for shot in shots], SETTINGS)
    return learn_delays(rows, tuple(site.node for site in sites), LearnSettings(air))


def _compared(
    name: str, how: str, shots: Sequence[tuple[str, ControlShot]], delays: PathDelays, ground: Ground
) -> dict[str, Any]:
    some = [shot for _, shot in shots]
    return _row(name, how, off_m(some, None, ground), off_m(some, delays, ground))


def _row(name: str, how: str, without: _Real, with_delays: _Real) -> dict[str, Any]:
    both = np.isfinite(without) & np.isfinite(with_delays)
    return {
        "position": name,
        "how": how,
        "shots": int(both.sum()),
        "without_m": _round(np.median(without[both])),
        "with_m": _round(np.median(with_delays[both])),
        "ratio": _ratio(with_delays[both], without[both]),
    }


# The page.


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    about = (
        f"Commit {document['commit']}; {document['cities']} cities of each kind, {document['held_out']} held-out shots "
        f"in each; {document['minutes']:.0f} minutes on one process. Made by `python benchmarks/site_bias.py`, which "
        "says what is done. *As used*: where the network's own places left out did not gain, the table is refused."
    )
    columns = (
        "city|nodes surveyed to|places known to|learned from|error without, m|with|ratio|refused|ratio as used"
        "|worst city|quarters > 1.10|p90 without, m|as used|in 95 % without|as used|sigma without, m|as used"
    )
    lines = [
        "# Site bias at held-out places",
        "",
        about,
        "",
        f"| {columns.replace('|', ' | ')} |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in document["rows"]:
        lines.append(
            f"| {row['family']} | {row['survey_sigma_m']:g} m | {row['place_sigma_m']:g} m | {row['learned_from']} "
            f"| {row['without_m']:.2f} | {row['with_m']:.2f} | {row['ratio']:.2f} "
            f"| {row['refused']} of {row['cities']} | **{row['used_ratio']:.2f}** | {row['worst_city_used_ratio']:.2f} "
            f"| {row['quarters_worse']} of {row['quarters']} | {row['p90_without_m']:.2f} | {row['p90_used_m']:.2f} "
            f"| {row['held95_without_percent']:.0f} % | {row['held95_used_percent']:.0f} % "
            f"| {row['sigma_without_m']:.2f} | {row['sigma_used_m']:.2f} |"
        )
    columns = (
        "nodes surveyed to|places known to|learned from|error without, m|as used|ratio|shots a tenth worse|1 m worse"
        "|1 m better|by distance to the nearest place learned from: ratio (shots)"
    )
    lines += [
        "",
        "## All kinds of city together",
        "",
        f"| {columns.replace('|', ' | ')} |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    for row in document["together"]:
        near = ", ".join(
            f"{item['from_m']:.0f} to {item['to_m'] or math.inf:.0f} m {item['ratio']:.2f} ({item['shots']})"
            for item in row["by_distance"]
        )
        lines.append(
            f"| {row['survey_sigma_m']:g} m | {row['place_sigma_m']:g} m | {row['learned_from']} "
            f"| {row['without_m']:.2f} | {row['used_m']:.2f} | **{row['used_ratio']:.2f}** "
            f"| {row['shots_worse_percent']:.0f} % | {row['shots_worse_by_1_m_percent']:.0f} % "
            f"| {row['shots_better_by_1_m_percent']:.0f} % | {near.replace('inf', '∞')} |"
        )
    if document["pittsburgh"]:
        lines += [
            "",
            "## Pittsburgh",
            "",
            "Errors are from a place surveyed with a phone, 2.5 m per axis: below about 3 m they say nothing.",
            "",
            "| position | how | shots | without, m | with, m | ratio |",
            "|---|---|---:|---:|---:|---:|",
        ]
        lines += [
            f"| {row['position']} | {row['how']} | {row['shots']} | {row['without_m']:.2f} | {row['with_m']:.2f} "
            f"| {row['ratio']:.2f} |"
            for row in document["pittsburgh"]
        ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cities", type=int, default=2, help="of each kind")
    parser.add_argument("--days", type=int, default=6, help="of ten held-out shots")
    parser.add_argument("--cache", type=Path, help="keep simulated cities there; empty it when the simulator changes")
    parser.add_argument("--pittsburgh", type=Path, default=PITTSBURGH)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--quick", action="store_true", help="one city-block, 5 control shots")
    arguments = parser.parse_args()
    started_s = time.perf_counter()
    families, cities, sizes = (FAMILIES[:1], 1, SIZES[:1]) if arguments.quick else (FAMILIES, arguments.cities, SIZES)
    days = CONTROL_DAYS + (1 if arguments.quick else arguments.days)
    cases: dict[tuple[str, float, float, int], list[Located]] = {}
    for kind, family in enumerate(families):
        for number in range(cities):
            city = make_city(family, number, days, arguments.cache)
            for survey_sigma_m in SURVEY_SIGMAS_M:
                network = surveyed(city, survey_sigma_m)
                for place_sigma_m in PLACE_SIGMAS_M:
                    for size in sizes:
                        seed = FIRST_SEED + 1000 * kind + number
                        found = one(network, 100 * kind + number, size, place_sigma_m, seed)
                        cases.setdefault((family, survey_sigma_m, place_sigma_m, size), []).append(found)
            sys.stderr.write(f"{family} {number}: {time.perf_counter() - started_s:.0f} s\n")
    keys = ("family", "survey_sigma_m", "place_sigma_m", "learned_from")
    rows = [case_of(each, **dict(zip(keys, key, strict=True))) for key, each in cases.items()]
    together = []
    for key in dict.fromkeys(key[1:] for key in cases):
        every = [item for other, each in cases.items() if other[1:] == key for item in each]
        together.append({**case_of(every, **dict(zip(keys[1:], key, strict=True))), "by_distance": by_distance(every)})
    software = describe_software()
    document = {
        "benchmark": "site_bias",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "cities": cities,
        "held_out": A_DAY * (days - CONTROL_DAYS),
        "rows": rows,
        "together": together,
        "pittsburgh": pittsburgh(arguments.pittsburgh) if arguments.pittsburgh.is_dir() and not arguments.quick else [],
        "minutes": round((time.perf_counter() - started_s) / 60.0, 1),
    }
    text = text_of(document)
    if arguments.quick:
        sys.stdout.write(text)
    else:
        write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
