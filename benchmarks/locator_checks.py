"""The locator against what is known: the Cramér-Rao bound, wind, faulty nodes, shots outside, late arrivals, learning.

    python benchmarks/locator_checks.py [--quick] [--data ../shared/data/pittsburgh] [--out ...] [--figure ...]

The first four are of arrivals made here, from exact truth: nodes at random in 1.5 km x 1.5 km, one shot each time,
noise of a known sigma. The last two are of the Pittsburgh live-fire set, left out with a note where it is not there:
the same random sub-arrays and the same delays as `benchmarks/peers.py`, and `learn_path_sigma` on all firing positions
but one, held against that one.

Writes OUT.json, OUT.md and a picture; ``--quick`` does a tenth of it and writes nothing.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy.optimize import least_squares

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
from shotline.atmosphere import Weather
from shotline.domain import Arrival
from shotline.units import NS_PER_S
from shotline_recordings.dataset import open_dataset
from shotline_replay.report import describe_software
from shotline_replay.subarrays import delayed, shot_rng, subarrays
from shotline_replay.tuples import GivenShot, given_shots

_Real = NDArray[np.float64]
_Flags = NDArray[np.bool_]

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results" / "locator_checks"
FIGURE = ROOT / "docs" / "images" / "locator-checks.png"

SIDE_M = 1500.0
NOISE_S = 0.003
EPOCH_NS = 1_700_000_000 * NS_PER_S
SEED = 0
EXACT_AIR = Weather(temperature_c=15.0, temperature_sigma_c=0.0, wind_sigma_mps=0.0)
KNOWN_NOISE = LocateSettings(path_sigma_s=NOISE_S, pick_sigma_s=0.0, systematic_sigma_m=0.0)
"""Sites, clocks and picks are exact here; all noise is of the path."""
CHI2 = {0.50: 1.3863, 0.90: 4.6052, 0.95: 5.9915}

BOUND_NODES = tuple(range(4, 13))
BOUND_SHOTS = 4000
WIND_MPS = 5.0
WIND_NODES = (4, 6, 10)
WIND_SHOTS = 3000
IGNORED_WIND_SIGMA_MPS = 3.0
FAULT_NODES = (8, 12)
FAULT_SHOTS = 1000
LATE_S = (0.020, 0.200)
CLOCK_S = 0.050
MOVED_M = 30.0
OUTSIDE_NODES = (4, 6, 10)
OUTSIDE_M = ((0.0, 100.0), (100.0, 200.0), (200.0, 400.0), (400.0, 800.0))
OUTSIDE_SHOTS = 200

WITHIN_M = 15.0
SUBSETS = 20
DELAYED_S = (0.050, 0.400)
DELAYED_SENSORS = (5, 6, 8, 0)
"""0 is all sensors of a shot."""
SENSORS = (4, 5, 6, 8, 10)
HEIGHTS = (Height.PLANAR, Height.GROUND)


# Arrivals made here.


@dataclass(frozen=True, slots=True, eq=False)
class Shots:
    """Shots of so many nodes each.

    Parameters
    ----------
    site_m : ndarray, shape (n_shots, n_nodes, 2), float64
    place_m : ndarray, shape (n_shots, 2), float64
        Where the shots are.
    """

    site_m: _Real
    place_m: _Real

    @property
    def size(self) -> tuple[int, int]:
        """Number of shots, and of nodes of each."""
        return self.site_m.shape[0], self.site_m.shape[1]


def inside(count: int, nodes: int, rng: np.random.Generator) -> Shots:
    """Return shots in the hull of their nodes."""
    site_m = rng.uniform(0.0, SIDE_M, (20 * count, nodes, 2))
    place_m = rng.uniform(0.0, SIDE_M, (20 * count, 2))
    away = site_m - place_m[:, None]
    bearing = np.sort(np.arctan2(away[..., 1], away[..., 0]), axis=1)
    gaps = np.diff(bearing, axis=1, append=bearing[:, :1] + 2.0 * np.pi)
    chosen = np.flatnonzero(gaps.max(axis=1) < np.pi)[:count]
    return Shots(site_m[chosen], place_m[chosen])


def outside(count: int, nodes: int, band_m: tuple[float, float], rng: np.random.Generator) -> Shots:
    """Return shots so far outside the hull of their nodes."""
    sites: list[_Real] = []
    places: list[_Real] = []
    while len(sites) < count:
        site_m = rng.uniform(0.0, SIDE_M, (nodes, 2))
        place_m = rng.uniform(-band_m[1], SIDE_M + band_m[1], 2)
        if band_m[0] < shapely.MultiPoint(site_m).convex_hull.distance(shapely.Point(place_m)) <= band_m[1]:
            sites.append(site_m)
            places.append(place_m)
    return Shots(np.array(sites), np.array(places))


def travel_s(shots: Shots, *, speed_mps: float | _Real, wind_mps: _Real) -> _Real:
    """Return travel times in uniform moving air, shape (n_shots, n_nodes): |site - place - wind t| = speed t.

    Parameters
    ----------
    shots : Shots
    speed_mps : float or ndarray, shape (n_shots, 1), float64
    wind_mps : ndarray, shape (n_shots, 2) or (2,), float64
    """
    away = shots.site_m - shots.place_m[:, None]
    wind = np.broadcast_to(wind_mps, shots.place_m.shape)[:, None]
    along = (away * wind).sum(axis=2)
    square = speed_mps**2 - (wind * wind).sum(axis=2)
    return np.asarray((np.sqrt(along**2 + square * (away * away).sum(axis=2)) - along) / square)


def columns(shots: Shots, time_s: _Real) -> ArrivalBatch:
    """Return the arrivals in columns; level unknown, sigma of site and clock 0."""
    count, nodes = shots.size
    order = np.argsort(time_s, axis=1)
    site_m = np.zeros((count, nodes, 3))
    site_m[..., :2] = np.take_along_axis(shots.site_m, order[..., None], axis=1)
    none = np.zeros(count * nodes)
    late_ns = np.rint(np.take_along_axis(time_s, order, axis=1) * NS_PER_S).astype(np.int64)
    return ArrivalBatch(
        first=np.arange(count + 1, dtype=np.int64) * nodes,
        node=order.ravel().astype(np.int64),
        site_m=site_m.reshape(-1, 3),
        site_sigma_m=none,
        sigma_s=none,
        snr_db=none + 20.0,
        level_db=none + np.nan,
        time_ns=EPOCH_NS + late_ns.ravel(),
    )


def errors_m(fixes: Fixes, shots: Shots) -> _Real:
    """Return fix minus truth, shape (n_located, 2)."""
    return np.asarray((fixes.place_m - shots.place_m)[fixes.located])


def distance_sq(fixes: Fixes, shots: Shots) -> _Real:
    """Return the squared Mahalanobis distance of the truth from each fix, shape (n_located,)."""
    error_m = errors_m(fixes, shots)
    solved = np.linalg.solve(fixes.covariance_m2[fixes.located], error_m[..., None])[..., 0]
    return np.asarray((error_m * solved).sum(axis=1))


def figures_of(fixes: Fixes, shots: Shots) -> dict[str, Any]:
    """Return errors and coverage of some fixes."""
    length_m = np.hypot(*errors_m(fixes, shots).T)
    return {
        "shots": len(fixes.located),
        "located": int(fixes.located.sum()),
        "median_m": round(float(np.median(length_m)), 2),
        "p95_m": round(float(np.percentile(length_m, 95.0)), 2),
        "in_ellipse95": round(float((distance_sq(fixes, shots) <= CHI2[0.95]).mean()), 4),
    }


# The Cramér-Rao bound.


def bound(*, share: float) -> list[dict[str, Any]]:
    """Return error against the bound by number of nodes; Gaussian noise, everything else exact."""
    rows = []
    for nodes in BOUND_NODES:
        rng = np.random.default_rng([SEED, 1, nodes])
        shots = inside(int(BOUND_SHOTS * share), nodes, rng)
        still = np.zeros(2)
        speed_mps = EXACT_AIR.speed_of_sound_mps
        time_s = travel_s(shots, speed_mps=speed_mps, wind_mps=still) + rng.normal(0.0, NOISE_S, shots.size)
        fixes = locate_batch(columns(shots, time_s), weather=EXACT_AIR, settings=KNOWN_NOISE)
        length_m = np.hypot(*errors_m(fixes, shots).T)
        least_m2 = bound_m2(shots, speed_mps=speed_mps)[fixes.located]
        ours_m2 = length_m**2
        trimmed = ours_m2 <= 9.0 * CHI2[0.95] * least_m2
        away_m = np.linalg.norm(fixes.roots[fixes.located, 1:, :2] - shots.place_m[fixes.located, None], axis=2)
        told = np.fmin.reduce(away_m, axis=1) ** 2 <= 9.0 * CHI2[0.95] * least_m2
        rows.append(
            {
                "nodes": nodes,
                **figures_of(fixes, shots),
                "bound_rms_m": round(math.sqrt(float(least_m2.mean())), 3),
                "rms_m": round(math.sqrt(float(ours_m2.mean())), 3),
                "efficiency": round(float(least_m2.mean() / ours_m2.mean()), 3),
                "trimmed": int((~trimmed).sum()),
                "trimmed_right_as_alternative": int((~trimmed & told).sum()),
                "efficiency_trimmed": round(float(least_m2[trimmed].mean() / ours_m2[trimmed].mean()), 3),
                "efficiency_by_shot": round(float(1.0 / np.mean(ours_m2 / least_m2)), 3),
            }
        )
    return rows


def bound_m2(shots: Shots, *, speed_mps: float) -> _Real:
    """Return the least variance of place, both axes together, instant unknown, air known; shape (n_shots,).

    The inverse of the Fisher information of x, y and the instant under Gaussian noise (S. M. Kay, "Fundamentals of
    statistical signal processing: estimation theory", Prentice Hall, 1993, chapter 3).
    """
    away = shots.place_m[:, None] - shots.site_m
    slopes = np.ones((*shots.size, 3))
    slopes[..., :2] = away / np.linalg.norm(away, axis=2, keepdims=True)
    information = np.swapaxes(slopes, 1, 2) @ slopes / (NOISE_S * speed_mps) ** 2
    inverse = np.linalg.inv(information)
    return np.asarray(inverse[:, 0, 0] + inverse[:, 1, 1])


# Wind.


def wind(*, share: float) -> list[dict[str, Any]]:
    """Return bias and error in a wind of 5 m/s: known, ignored but allowed for, ignored."""
    still = Weather(temperature_c=15.0, temperature_sigma_c=0.0, wind_sigma_mps=0.0)
    rows = []
    for nodes in WIND_NODES:
        rng = np.random.default_rng([SEED, 2, nodes])
        shots = inside(int(WIND_SHOTS * share), nodes, rng)
        towards = np.array([WIND_MPS, 0.0])
        time_s = travel_s(shots, speed_mps=still.speed_of_sound_mps, wind_mps=towards)
        batch = columns(shots, time_s + rng.normal(0.0, NOISE_S, shots.size))
        known = replace(still, wind_speed_mps=WIND_MPS, wind_from_deg=270.0)
        for name, weather, settings in (
            ("known", known, replace(KNOWN_NOISE, wind_share=0.0)),
            ("ignored, allowed for", replace(still, wind_sigma_mps=IGNORED_WIND_SIGMA_MPS), KNOWN_NOISE),
            ("ignored", still, KNOWN_NOISE),
        ):
            fixes = locate_batch(batch, weather=weather, settings=settings)
            error_m = errors_m(fixes, shots)
            rows.append(
                {
                    "nodes": nodes,
                    "wind": name,
                    "bias_downwind_m": round(float(error_m[:, 0].mean()), 2),
                    "bias_downwind_sigma_m": round(float(error_m[:, 0].std() / math.sqrt(len(error_m))), 2),
                    "median_downwind_m": round(float(np.median(error_m[:, 0])), 2),
                    **figures_of(fixes, shots),
                }
            )
    return rows


# Faulty nodes.


def faults(*, share: float) -> list[dict[str, Any]]:
    """Return errors with one faulty node, beside least squares that trust everybody."""
    rows = []
    for nodes in FAULT_NODES:
        for number, fault in enumerate(("none", "late path", "bad clock", "moved node")):
            rng = np.random.default_rng([SEED, 3, nodes, number])
            shots = inside(int(FAULT_SHOTS * share), nodes, rng)
            count = shots.size[0]
            true_m = shots
            if fault == "moved node":
                # The survey still says the old place.
                site_m = shots.site_m.copy()
                angle = rng.uniform(0.0, 2.0 * np.pi, count)
                site_m[:, 0] += MOVED_M * np.stack([np.cos(angle), np.sin(angle)], axis=1)
                true_m = Shots(site_m, shots.place_m)
            time_s = travel_s(true_m, speed_mps=EXACT_AIR.speed_of_sound_mps, wind_mps=np.zeros(2))
            time_s += rng.normal(0.0, NOISE_S, shots.size)
            if fault == "late path":
                time_s[:, 0] += rng.uniform(*LATE_S, count)
            elif fault == "bad clock":
                time_s[:, 0] += CLOCK_S * rng.choice([-1.0, 1.0], count)
            fixes = locate_batch(columns(shots, time_s), weather=EXACT_AIR, settings=KNOWN_NOISE)
            plain_m = np.hypot(*(least_squares_places(shots, time_s) - shots.place_m).T)
            rows.append(
                {
                    "nodes": nodes,
                    "fault": fault,
                    **figures_of(fixes, shots),
                    "plain_median_m": round(float(np.median(plain_m)), 2),
                    "plain_p95_m": round(float(np.percentile(plain_m, 95.0)), 2),
                }
            )
    return rows


def least_squares_places(shots: Shots, time_s: _Real) -> _Real:
    """Return places by scipy's least squares, started at the truth; shape (n_shots, 2)."""
    found = []
    for site_m, place_m, ranges in zip(shots.site_m, shots.place_m, time_s * EXACT_AIR.speed_of_sound_mps, strict=True):

        def residual_m(unknown: _Real, site_m: _Real = site_m, ranges: _Real = ranges) -> _Real:
            return np.asarray(np.hypot(*(unknown[:2] - site_m).T) + unknown[2] - ranges)

        found.append(least_squares(residual_m, np.array([*place_m, 0.0]), method="lm").x[:2])
    return np.array(found)


# Outside the nodes.


def beyond(*, share: float) -> list[dict[str, Any]]:
    """Return coverage of region and ellipse by distance outside; speed of sound and wind as wrong as is said."""
    settings = KNOWN_NOISE
    weather = Weather(temperature_c=15.0)
    rows = []
    for nodes in OUTSIDE_NODES:
        for band_m in OUTSIDE_M:
            rng = np.random.default_rng([SEED, 4, nodes, int(band_m[0])])
            shots = outside(int(OUTSIDE_SHOTS * share), nodes, band_m, rng)
            count = shots.size[0]
            faster = 1.0 + settings.speed_error_sigma * rng.standard_normal((count, 1))
            wind_mps = settings.wind_error_sigma_mps * rng.standard_normal((count, 2))
            time_s = travel_s(shots, speed_mps=weather.speed_of_sound_mps * faster, wind_mps=wind_mps)
            time_s += rng.normal(0.0, NOISE_S, shots.size)
            fixes = locate_batch(columns(shots, time_s), weather=weather, settings=settings)
            held, area_ha = in_regions(fixes, shots)
            ellipse = np.zeros(count, dtype=bool)
            ellipse[fixes.located] = distance_sq(fixes, shots) <= CHI2[0.95]
            bent, plain = fixes.bent & fixes.located, fixes.located & ~fixes.bent
            rows.append(
                {
                    "nodes": nodes,
                    "from_m": band_m[0],
                    "to_m": band_m[1],
                    **figures_of(fixes, shots),
                    "regions": int(bent.sum()),
                    "in_region95": _share(held[bent]),
                    "in_ellipse95_of_those": _share(ellipse[bent]),
                    "in_ellipse95_of_others": _share(ellipse[plain]),
                    "in_region_or_ellipse": _share(np.concatenate([held[bent], ellipse[plain]])),
                    "median_region_ha": round(float(np.median(area_ha[bent])), 2) if bent.any() else None,
                }
            )
    return rows


def in_regions(fixes: Fixes, shots: Shots) -> tuple[_Flags, _Real]:
    """Return whether the region holds the truth, and its hectares, by shot; False and NaN where there is none."""
    from fusion_server.locate.region import rings_of

    held, area_ha = np.zeros(len(shots.place_m), dtype=bool), np.full(len(shots.place_m), np.nan)
    for shot, cells in fixes.cells.items():
        region = shapely.union_all([shapely.Polygon(ring) for ring in rings_of(cells)])
        held[shot], area_ha[shot] = region.covers(shapely.Point(shots.place_m[shot])), region.area / 1e4
    return held, area_ha


def _share(flags: _Flags) -> float | None:
    return round(float(flags.mean()), 4) if len(flags) else None


# The Pittsburgh set.


@dataclass(frozen=True, slots=True)
class Given:
    """The pulse sets of one firing position."""

    name: str
    shots: tuple[GivenShot, ...]
    ground: Ground


def given(data: Path) -> list[Given]:
    """Return the pulse sets whose truth is known, by firing position."""
    made = []
    for scene in open_dataset(data, loader="pittsburgh").scenes:
        shots = tuple(shot for shot in given_shots(scene) if shot.truth is not None)
        made.append(Given(scene.name, shots, ground_of_sites(scene.sites, mast_m=LocateSettings().mast_m)))
    return made


def misses_m(
    problems: Sequence[tuple[GivenShot, Sequence[Arrival]]], *, settings: LocateSettings, ground: Ground
) -> _Real:
    """Return the distance of each fix from the survey, infinite where there is none; shape (n_problems,)."""
    missed = np.full(len(problems), np.inf)
    for weather, numbers in by_weather([shot.weather for shot, _ in problems]):
        batch = ArrivalBatch.of([problems[number][1] for number in numbers])
        fixes = locate_batch(batch, weather=weather, settings=settings, ground=ground, regions=False)
        truths = (problems[number][0].truth for number in numbers)
        truth_m = np.array([(truth.x_m, truth.y_m) for truth in truths if truth is not None])
        length_m = np.hypot(*(fixes.place_m - truth_m).T)
        missed[numbers] = np.where(fixes.located, length_m, np.inf)
    return missed


def by_weather(weathers: Sequence[Weather]) -> Iterator[tuple[Weather, list[int]]]:
    """Yield each weather with the numbers of the shots in it."""
    numbers: dict[Weather, list[int]] = {}
    for number, weather in enumerate(weathers):
        numbers.setdefault(weather, []).append(number)
    yield from numbers.items()


def drawn(shots: Sequence[GivenShot], *, sensors: int, late: int, subsets: int) -> Iterator[tuple[GivenShot, Any]]:
    """Yield sub-arrays with late arrivals, the same as in `benchmarks/peers.py`."""
    for shot in shots:
        if len(shot.arrivals) < max(sensors, 4):
            continue
        names = shot.scene, shot.event, shot.shot_index
        if sensors:
            some = subarrays(shot.arrivals, size=sensors, subsets=subsets, rng=shot_rng(*names, sensors, seed=SEED))
        else:
            some = [shot.arrivals] * (subsets if late else 1)
        for number, arrivals in enumerate(some):
            if late:
                rng = shot_rng(*names, sensors, late, number, seed=SEED)
                arrivals = delayed(arrivals, count=late, least_s=DELAYED_S[0], most_s=DELAYED_S[1], rng=rng)
            yield shot, arrivals


def late_arrivals(positions: Sequence[Given], *, subsets: int) -> list[dict[str, Any]]:
    """Return the share of fixes near the survey with arrivals made late."""
    rows = []
    for height in HEIGHTS:
        for sensors in DELAYED_SENSORS:
            for late in (0, 1, 2):
                missed = np.concatenate(
                    [
                        misses_m(
                            list(drawn(place.shots, sensors=sensors, late=late, subsets=subsets)),
                            settings=LocateSettings(height=height),
                            ground=place.ground,
                        )
                        for place in positions
                    ]
                )
                rows.append({"height": height.value, "sensors": sensors, "late": late, **near(missed)})
    return rows


def near(missed: _Real) -> dict[str, Any]:
    """Return how many of some fixes are near the survey."""
    found = missed[np.isfinite(missed)]
    return {
        "fixes": len(missed),
        "refused": len(missed) - len(found),
        "within_15m": round(float((missed <= WITHIN_M).mean()), 4),
        "median_m": round(float(np.median(found)), 2),
        "p95_m": round(float(np.percentile(found, 95.0)), 2),
        "max_m": round(float(found.max()), 2),
    }


def learning(positions: Sequence[Given], *, subsets: int) -> dict[str, Any]:
    """Return what all positions but one teach, and how the one is located with it."""
    made: dict[str, Any] = {"learned": [], "rows": []}
    for height in HEIGHTS:
        chosen: dict[str, LocateSettings] = {}
        for held_out in positions:
            sigma_s = learned_sigma_s([place for place in positions if place is not held_out], height=height)
            chosen[held_out.name] = replace(LocateSettings(height=height), path_sigma_s=sigma_s)
            made["learned"].append(
                {"height": height.value, "held_out": held_out.name, "path_sigma_ms": round(1e3 * sigma_s, 2)}
            )
        for sensors in (*SENSORS, 0):
            work = [(place, list(drawn(place.shots, sensors=sensors, late=0, subsets=subsets))) for place in positions]
            for name in ("learned", "default"):
                missed = np.concatenate(
                    [
                        misses_m(
                            problems,
                            settings=chosen[place.name] if name == "learned" else LocateSettings(height=height),
                            ground=place.ground,
                        )
                        for place, problems in work
                    ]
                )
                made["rows"].append({"height": height.value, "path_sigma": name, "sensors": sensors, **near(missed)})
    return made


def learned_sigma_s(positions: Sequence[Given], *, height: Height) -> float:
    """Return the path sigma that some positions teach.

    Each has ground of its own, and `learn_path_sigma` takes one: where sources are on the ground, each position learns,
    and the logarithms are averaged by number of shots. In the plane all learn together.
    """
    if height is Height.PLANAR:
        return learn_path_sigma(
            [pair for place in positions for pair in heard(place)], settings=LocateSettings(height=height)
        )
    logs = [
        math.log(learn_path_sigma(heard(place), settings=LocateSettings(height=height), ground=place.ground))
        for place in positions
    ]
    return math.exp(float(np.average(logs, weights=[len(place.shots) for place in positions])))


def heard(place: Given) -> list[tuple[ArrivalBatch, Weather]]:
    """Return the arrivals of the shots that five sensors or more heard; no truth in it."""
    shots = [shot for shot in place.shots if len(shot.arrivals) >= 5]
    return [
        (ArrivalBatch.of([shots[number].arrivals for number in numbers]), weather)
        for weather, numbers in by_weather([shot.weather for shot in shots])
    ]


# What is written.


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown, numbers to the right."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def percent(value: float | None, digits: int = 1) -> str:
    """Return a share as it is written."""
    return "" if value is None else f"{100.0 * value:.{digits}f}"


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    bound_table = table(
        (
            "nodes",
            "shots",
            "located",
            "rms error, m",
            "bound, m",
            "efficiency",
            "by shot",
            "trimmed",
            "other solution right",
            "efficiency, trimmed",
            "in ellipse, %",
        ),
        [
            (
                str(row["nodes"]),
                str(row["shots"]),
                str(row["located"]),
                f"{row['rms_m']:.2f}",
                f"{row['bound_rms_m']:.2f}",
                f"{row['efficiency']:.2f}",
                f"{row['efficiency_by_shot']:.2f}",
                str(row["trimmed"]),
                str(row["trimmed_right_as_alternative"]),
                f"{row['efficiency_trimmed']:.2f}",
                percent(row["in_ellipse95"]),
            )
            for row in document["bound"]
        ],
    )
    wind_table = table(
        ("wind", "nodes", "mean error downwind, m", "median downwind, m", "median error, m", "p95, m", "in ellipse, %"),
        [
            (
                row["wind"],
                str(row["nodes"]),
                f"{row['bias_downwind_m']:+.2f} ± {row['bias_downwind_sigma_m']:.2f}",
                f"{row['median_downwind_m']:+.2f}",
                f"{row['median_m']:.2f}",
                f"{row['p95_m']:.1f}",
                percent(row["in_ellipse95"]),
            )
            for row in document["wind"]
        ],
    )
    fault_table = table(
        ("fault", "nodes", "located", "median error, m", "p95, m", "in ellipse, %", "least squares, m", "its p95, m"),
        [
            (
                row["fault"],
                str(row["nodes"]),
                f"{row['located']} of {row['shots']}",
                f"{row['median_m']:.2f}",
                f"{row['p95_m']:.1f}",
                percent(row["in_ellipse95"]),
                f"{row['plain_median_m']:.2f}",
                f"{row['plain_p95_m']:.1f}",
            )
            for row in document["faults"]
        ],
    )
    outside_table = table(
        (
            "outside by, m",
            "nodes",
            "located",
            "median error, m",
            "regions",
            "in region, %",
            "in ellipse of those, %",
            "in ellipse of the others, %",
            "region or ellipse, %",
            "median region, ha",
        ),
        [
            (
                f"{row['from_m']:g} to {row['to_m']:g}",
                str(row["nodes"]),
                f"{row['located']} of {row['shots']}",
                f"{row['median_m']:.1f}",
                str(row["regions"]),
                percent(row["in_region95"]),
                percent(row["in_ellipse95_of_those"]),
                percent(row["in_ellipse95_of_others"]),
                percent(row["in_region_or_ellipse"]),
                "" if row["median_region_ha"] is None else f"{row['median_region_ha']:.2f}",
            )
            for row in document["outside"]
        ],
    )
    return f"""# The locator against what is known

Commit {commit}. Made by `python benchmarks/locator_checks.py` in {document["minutes"]:.1f} min. Noise
{1e3 * NOISE_S:g} ms, nodes at random in {SIDE_M / 1e3:g} km x {SIDE_M / 1e3:g} km, exact truth; settings know the
noise, and add no systematic term.

![Locator checks](../../docs/images/{FIGURE.name})

## Error against the Cramér-Rao bound

Shots in the hull of their nodes, air exact. Efficiency is the mean bound on the variance over the mean squared error;
*by shot* each shot's squared error is first divided by its own bound. *Trimmed* leaves out the shots so numbered, whose
error is over {3.0 * math.sqrt(CHI2[0.95]):.1f} times their bound: four nodes may have a second solution, and of so many
of them that is the right one, and given as an alternative.

{bound_table}

## Wind of {WIND_MPS:g} m/s

Known; ignored with {IGNORED_WIND_SIGMA_MPS:g} m/s of error per component allowed for; ignored and not allowed for.
Shots in the hull.

{wind_table}

## One faulty node

Late path: +{1e3 * LATE_S[0]:g} to +{1e3 * LATE_S[1]:g} ms. Bad clock: ±{1e3 * CLOCK_S:g} ms. Moved node: it stands
{MOVED_M:g} m from where the survey says. Least squares trust everybody, and start at the truth.

{fault_table}

## Outside the nodes

Speed of sound and wind wrong by what the default settings say. A region is given where an ellipse does not tell where
the shot may have been.

{outside_table}
{text_of_pittsburgh(document)}"""


def text_of_pittsburgh(document: dict[str, Any]) -> str:
    """Return what is said about the live-fire set."""
    if "late_arrivals" not in document:
        return f"\n## Pittsburgh\n\n{document['note']}\n"
    late, rows = document["late_arrivals"], document["learning"]["rows"]
    kinds = [(sensors, count) for sensors in DELAYED_SENSORS for count in (0, 1, 2)]
    late_table = table(
        ("sensors", "late", *(f"{height.value}, %" for height in HEIGHTS), "fixes", "refused, ground"),
        [
            (
                str(sensors) if sensors else "all",
                str(count),
                *(
                    percent(_row(late, height=height.value, sensors=sensors, late=count)["within_15m"], 2)
                    for height in HEIGHTS
                ),
                str(_row(late, height="ground", sensors=sensors, late=count)["fixes"]),
                str(_row(late, height="ground", sensors=sensors, late=count)["refused"]),
            )
            for sensors, count in kinds
        ],
    )
    names = list(dict.fromkeys(row["held_out"] for row in document["learning"]["learned"]))
    learned_table = table(
        ("learned from all but", *names),
        [
            (
                f"{height.value}, ms",
                *(
                    f"{_row(document['learning']['learned'], height=height.value, held_out=name)['path_sigma_ms']:.2f}"
                    for name in names
                ),
            )
            for height in HEIGHTS
        ],
    )
    share_rows, full_rows = [], []
    for height in HEIGHTS:
        for sigma in ("learned", "default"):
            label = f"{height.value}, path sigma {sigma}"
            of = {row["sensors"]: row for row in rows if (row["height"], row["path_sigma"]) == (height.value, sigma)}
            share_rows.append((label, *(percent(of[sensors]["within_15m"], 2) for sensors in SENSORS)))
            full = of[0]
            full_rows.append(
                (label, str(full["fixes"]), *(f"{full[name]:.2f}" for name in ("median_m", "p95_m", "max_m")))
            )
    return f"""
## Pittsburgh: arrivals made late

Share of fixes within {WITHIN_M:g} m of the survey in %, refusals counted as further away; {document["subsets"]} random
sub-arrays of each pulse set, some of their arrivals late by {1e3 * DELAYED_S[0]:g} to {1e3 * DELAYED_S[1]:g} ms.
Default settings.

{late_table}

## Pittsburgh: path sigma learned from the other firing positions

`learn_path_sigma` knows no truth; still, the position that is located is left out of what it learns from.

{learned_table}

Share within {WITHIN_M:g} m in %, by number of sensors:

{table(("", *(str(sensors) for sensors in SENSORS)), share_rows)}

All sensors of each pulse set, distance to the survey (good to 2.5 m):

{table(("", "fixes", "median, m", "p95, m", "max, m"), full_rows)}
"""


def _row(rows: Sequence[dict[str, Any]], **wanted: object) -> dict[str, Any]:
    return next(row for row in rows if all(row[key] == value for key, value in wanted.items()))


def draw(document: dict[str, Any], path: Path) -> None:
    """Draw what the tables say."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12.0, 7.0), layout="constrained")
    (efficiency, windy, faulty), (far, late, learned) = figure.subplots(2, 3)
    rows = document["bound"]
    at = [row["nodes"] for row in rows]
    efficiency.plot(at, [row["efficiency"] for row in rows], marker="o", label="all shots")
    efficiency.plot(at, [row["efficiency_trimmed"] for row in rows], marker=".", ls="--", label="trimmed")
    efficiency.axhline(0.9, color="tab:green", lw=1.0)
    efficiency.set(title="Efficiency, Gaussian noise", xlabel="nodes", ylim=(0.0, 1.1))
    for name in dict.fromkeys(row["wind"] for row in document["wind"]):
        some = [row for row in document["wind"] if row["wind"] == name]
        windy.plot([row["nodes"] for row in some], [row["median_m"] for row in some], marker="o", label=name)
    windy.set(title=f"Wind of {WIND_MPS:g} m/s: median error", xlabel="nodes", ylabel="m", ylim=(0.0, None))
    rows = document["faults"]
    places = np.arange(len(rows))
    faulty.barh(places - 0.2, [row["p95_m"] for row in rows], 0.4, label="locator")
    faulty.barh(places + 0.2, [row["plain_p95_m"] for row in rows], 0.4, label="least squares")
    faulty.set_yticks(places, [f"{row['fault']}, {row['nodes']} nodes" for row in rows])
    faulty.invert_yaxis()
    faulty.set(title="One faulty node: p95 error", xlabel="m")
    for nodes in OUTSIDE_NODES:
        some = [row for row in document["outside"] if row["nodes"] == nodes]
        middle = [0.5 * (row["from_m"] + row["to_m"]) for row in some]
        far.plot(middle, [100.0 * row["in_region_or_ellipse"] for row in some], marker="o", label=f"{nodes} nodes")
    far.axhspan(93.0, 97.0, color="tab:green", alpha=0.2)
    far.set(title="Outside: region or ellipse holds truth", xlabel="m outside", ylabel="%", ylim=(60.0, 100.5))
    if "late_arrivals" in document:
        for count in (0, 1, 2):
            some = [row for row in document["late_arrivals"] if row["height"] == "ground" and row["late"] == count]
            shares = [100.0 * row["within_15m"] for row in some]
            late.plot(range(len(some)), shares, marker="o", label=f"{count} late")
        late.set_xticks(range(len(DELAYED_SENSORS)), [str(sensors or "all") for sensors in DELAYED_SENSORS])
        late.set(title="Pittsburgh, late arrivals", xlabel="sensors", ylabel=f"% within {WITHIN_M:g} m")
        for height in HEIGHTS:
            some = [
                row
                for row in document["learning"]["rows"]
                if (row["height"], row["path_sigma"]) == (height.value, "learned") and row["sensors"]
            ]
            shares = [100.0 * row["within_15m"] for row in some]
            learned.plot([row["sensors"] for row in some], shares, marker="o", label=height.value)
        learned.set(title="Pittsburgh, learned elsewhere", xlabel="sensors", ylabel=f"% within {WITHIN_M:g} m")
    for panel in (efficiency, windy, faulty, far, late, learned):
        panel.grid(visible=True, alpha=0.3)
        if panel.get_legend_handles_labels()[0]:
            panel.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of it; writes nothing")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    software, started_s = describe_software(), time.monotonic()
    share, subsets = (0.1, 2) if arguments.quick else (1.0, SUBSETS)
    checks: dict[str, Any] = {}
    for name, check in (("bound", bound), ("wind", wind), ("faults", faults), ("outside", beyond)):
        checks[name] = check(share=share)
        sys.stderr.write(f"{name}: {time.monotonic() - started_s:.0f} s\n")
    if arguments.data.is_dir():
        positions = given(arguments.data)
        checks["late_arrivals"] = late_arrivals(positions, subsets=subsets)
        sys.stderr.write(f"late arrivals: {time.monotonic() - started_s:.0f} s\n")
        checks["learning"] = learning(positions, subsets=subsets)
    else:
        checks["note"] = "Left out: the recordings were not there."
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
    document = {
        "benchmark": "locator_checks",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "minutes": round((time.monotonic() - started_s) / 60.0, 1),
        "seed": SEED,
        "noise_s": NOISE_S,
        "subsets": subsets,
        **checks,
    }
    text = text_of(document)
    if not arguments.quick:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
        draw(document, arguments.figure)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
