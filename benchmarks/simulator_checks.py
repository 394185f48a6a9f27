"""The simulator's physics beside pyroomacoustics, ISO 9613, Maekawa's curve, Sommerfeld's half plane, exact integrals.

    pip install -e '.[server,bench]'      # pyroomacoustics; without it the first check is skipped, and says so
    python benchmarks/simulator_checks.py [--out benchmarks/results/simulator_checks]

Four checks, each of the code that the simulator runs: image sources in courtyards beside pyroomacoustics' shoeboxes,
absorption by the air beside the printed table, edges beside the published curve and the exact half plane, and the
ground beside the exact integral. Writes OUT.json, OUT.md and docs/images/diffraction.png. The first has goals, and the
exit code is 1 when they are missed; of the others the worst difference is stated.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad
from scipy.special import fresnel

from shotline.atmosphere import Weather
from shotline.propagation import (
    EffectiveProfile,
    absorption_db_per_m,
    maekawa_attenuation_db,
    spherical_reflection,
    surface_admittance,
    wedge_diffraction,
)
from shotline_recordings.simulate.city import Building, City
from shotline_recordings.simulate.gains import Medium, path_gains
from shotline_recordings.simulate.paths import PathFinder, Paths, PathSettings
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]
_Point = tuple[float, float, float]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "simulator_checks"
FIGURE = ROOT / "docs" / "images" / "diffraction.png"

SPEED_MPS = 343.0
WALL_M = 5.0
"""Depth of the buildings round a yard."""
ROOF_M = 60.0
"""Above every path: a yard is a room without floor and ceiling."""
ORDERS = (1, 2, 3)
TIME_GOAL_US = 1.0
LEVEL_GOAL_DB = 0.1


@dataclass(frozen=True, slots=True)
class Yard:
    """A yard between four buildings, with pairs of source and microphone in it."""

    width_m: float
    depth_m: float
    reflection: float
    pairs: tuple[tuple[_Point, _Point], ...]


YARDS = (
    Yard(
        40.0,
        25.0,
        0.7,
        (
            ((11.3, 7.1, 1.5), (31.0, 18.2, 6.0)),
            ((2.4, 23.3, 1.5), (38.1, 1.9, 14.0)),
            ((20.6, 12.1, 25.0), (5.2, 6.4, 3.0)),
        ),
    ),
    Yard(
        12.0,
        90.0,
        0.8,
        (
            ((3.3, 10.7, 1.5), (9.1, 77.2, 9.0)),
            ((6.1, 44.6, 1.6), (1.2, 45.9, 1.6)),
            ((10.4, 3.2, 20.0), (2.9, 88.1, 4.0)),
        ),
    ),
    Yard(
        150.0,
        110.0,
        0.95,
        (((33.7, 81.2, 1.5), (120.4, 20.3, 12.0)), ((75.9, 54.1, 2.0), (75.2, 12.6, 30.0))),
    ),
    Yard(63.0, 63.5, 0.3, (((20.1, 41.7, 1.5), (44.8, 19.3, 7.5)), ((5.4, 5.9, 3.0), (58.2, 60.6, 18.0)))),
)

BANDS_HZ = (63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
PRINTED_DB_PER_KM = {
    (10.0, 70.0): (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117.0),
    (20.0, 70.0): (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6),
    (30.0, 70.0): (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3),
    (15.0, 20.0): (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202.0),
    (15.0, 50.0): (0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129.0),
    (15.0, 80.0): (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8),
}
"""By temperature in degrees Celsius and humidity in percent: ISO 9613-1 as ISO 9613-2 table 2 prints it."""

MAEKAWA_DB = {0.0: 5.0, 1.0: 13.0, 10.0: 23.0, 100.0: 33.0}
"""Points of [Maekawa1968] fig. 4 by Fresnel number, as every textbook reads them: 5, 13, and 10 lg(20 N) from there."""
FAR_M, NEAR_M = 1e7, 2.0
"""Of the source and of the receiver from the edge: a plane wave to a part in 1e7."""
FACE_DEG = 60.0
SHADOW_DEG = (10.0, 20.0, 45.0, 90.0)
"""How far round the screen the receiver is, past the edge of the shadow."""
SHOWN_DEG = (10.0, 45.0)

GROUND_GEOMETRIES_M = ((1.5, 2.0, 10.0), (1.5, 2.0, 100.0), (1.5, 8.0, 30.0), (5.0, 5.0, 3.0), (0.3, 0.3, 20.0))
"""Height of source, of receiver, distance."""
GROUND_HZ = (50.0, 200.0, 1000.0)
GROUND_RESISTIVITIES = {"forest": 3.15e4, "grass": 2e5, "compacted soil": 2e6}


# Image sources.


def images(room: ModuleType | None) -> dict[str, Any]:
    """Hold courtyards beside shoeboxes."""
    if room is None:
        why = "pyroomacoustics is not installed; pip install -e '.[server,bench]', or pip install pyroomacoustics"
        return {"skipped": why, "met": None}
    rows = [
        {
            "yard_m": [yard.width_m, yard.depth_m],
            "reflection": yard.reflection,
            "order": order,
            **_yard(room, yard, order),
        }
        for yard in YARDS
        for order in ORDERS
    ]
    met = all(
        row["worst_time_us"] <= TIME_GOAL_US and row["worst_level_db"] <= LEVEL_GOAL_DB and row["paths_differ"] == 0
        for row in rows
    )
    return {"pyroomacoustics": version("pyroomacoustics"), "rows": rows, "met": met}


def _yard(room: ModuleType, yard: Yard, order: int) -> dict[str, Any]:
    times_us, levels_db, paths, differ = [0.0], [0.0], 0, 0
    for source_m, microphone_m in yard.pairs:
        ours = np.array(sorted(_our_images(yard, order, source_m, microphone_m)))
        theirs = np.array(sorted(_their_images(room, yard, order, source_m, microphone_m)))
        paths += len(theirs)
        if ours.shape != theirs.shape:
            differ += abs(len(ours) - len(theirs))
            continue
        times_us.append(float(np.abs(ours[:, 1] - theirs[:, 1]).max()) * 1e6)
        levels_db.append(float(np.abs(20.0 * np.log10(ours[:, 2] / theirs[:, 2])).max()))
        differ += int((ours[:, 0] != theirs[:, 0]).sum())
    return {
        "pairs": len(yard.pairs),
        "paths": paths,
        "paths_differ": differ,
        "worst_time_us": max(times_us),
        "worst_level_db": max(levels_db),
    }


def _our_images(yard: Yard, order: int, source_m: _Point, microphone_m: _Point) -> list[tuple[int, float, float]]:
    """Return number of reflections, travel time and gain of each path: geometry by paths, level by gains."""
    paths = _paths(yard, order, source_m, microphone_m)
    profile = EffectiveProfile(speed_of_sound_mps=SPEED_MPS)
    bare = Medium(weather=Weather(20.0), profile=profile, absorption=False, shadow=False, finite_walls=False)
    gains = np.abs(path_gains(paths, np.linspace(0.0, 24_000.0, 65), bare))
    return [
        (int(count), float(delay_s), float(gain))
        for count, delay_s, gain in zip(paths.order, paths.delay_s, gains[:, 32], strict=True)
    ]


def _paths(yard: Yard, order: int, source_m: _Point, microphone_m: _Point) -> Paths:
    width, depth, wall = yard.width_m, yard.depth_m, WALL_M
    boxes = {
        "south": (-wall, -wall, width + wall, 0.0),
        "north": (-wall, depth, width + wall, depth + wall),
        "west": (-wall, 0.0, 0.0, depth),
        "east": (width, 0.0, width + wall, depth),
    }
    city = City(
        [
            Building.of(name, [(w, s), (e, s), (e, n), (w, n)], ROOF_M, reflection=yard.reflection)
            for name, (w, s, e, n) in boxes.items()
        ]
    )
    finder = PathFinder(
        city,
        np.array([microphone_m]),
        EffectiveProfile(speed_of_sound_mps=SPEED_MPS),
        PathSettings(reflection_order=order, longest_extra_m=2_000.0),
        farthest_m=2_000.0,
    )
    (paths,) = finder.find(np.array(source_m))
    return paths


def _their_images(
    room: ModuleType, yard: Yard, order: int, source_m: _Point, microphone_m: _Point
) -> list[tuple[int, float, float]]:
    """Return the same by pyroomacoustics: floor and ceiling absorb all, and what met them is left out."""
    walls = room.Material(1.0 - yard.reflection)
    material = dict.fromkeys(("east", "west", "north", "south"), walls)
    material |= dict.fromkeys(("floor", "ceiling"), room.Material(1.0))
    box = room.ShoeBox(
        [yard.width_m, yard.depth_m, ROOF_M], fs=48_000, materials=material, max_order=order, air_absorption=False
    )
    box.set_sound_speed(SPEED_MPS)
    box.add_source(list(source_m))
    box.add_microphone(list(microphone_m))
    box.image_source_model()
    source = box.sources[0]
    seen = np.flatnonzero(box.visibility[0][0].astype(bool) & (source.damping[0] > 0.0))
    length_m = np.linalg.norm(source.images[:, seen].astype(np.float64).T - np.array(microphone_m), axis=1)
    return [
        (int(count), float(length) / SPEED_MPS, float(damping) / float(length))
        for count, length, damping in zip(source.orders[seen], length_m, source.damping[0, seen], strict=True)
    ]


# Air.


def air() -> dict[str, Any]:
    """Hold absorption beside the printed table, at the exact midbands that it is made for."""
    exact_hz = np.asarray(1000.0 * 10.0 ** (0.3 * np.arange(-4, 4)), dtype=np.float64)
    rows: list[dict[str, Any]] = []
    for (temperature_c, humidity_percent), published in PRINTED_DB_PER_KM.items():
        ours = 1000.0 * absorption_db_per_m(exact_hz, temperature_c=temperature_c, humidity_percent=humidity_percent)
        printed = np.array(published)
        open_db = np.where(printed >= 100.0, 0.5, 0.05)
        rows.append(
            {
                "temperature_c": temperature_c,
                "humidity_percent": humidity_percent,
                "printed_db_per_km": list(published),
                "ours_db_per_km": [round(float(value), 3) for value in ours],
                "worst_db_per_km": round(float(np.abs(ours - printed).max()), 3),
                "round_to_the_print": int((np.abs(ours - printed) <= open_db).sum()),
            }
        )
    return {
        "bands_hz": list(BANDS_HZ),
        "rows": rows,
        "values": len(rows) * len(BANDS_HZ),
        "round_to_the_print": sum(row["round_to_the_print"] for row in rows),
    }


# Edges.


def half_plane(k_rho: _Real, source_rad: float, receiver_rad: float) -> _Complex:
    """Return the total field of a plane wave on a rigid half plane, exactly (Sommerfeld 1896), exp(+i omega t).

    exp(i pi/4) / sqrt(pi) (exp(i k rho cos d) G(a_d) + the same with the sum s of the angles), with
    G(a) = int_-inf^a exp(-i t²) dt, a = sqrt(2 k rho) cos(angle / 2).
    """
    total = np.zeros(len(k_rho), dtype=np.complex128)
    for angle in (receiver_rad - source_rad, receiver_rad + source_rad):
        sine, cosine = fresnel(2.0 * np.sqrt(k_rho / math.pi) * math.cos(angle / 2.0))
        integral = math.sqrt(math.pi / 2.0) * (0.5 + cosine - 1j * (0.5 + sine))
        total += np.exp(1j * k_rho * math.cos(angle)) * integral
    return np.asarray(np.exp(0.25j * math.pi) / math.sqrt(math.pi) * total)


def exact_wedge(
    k_per_m: _Real, before_m: float, after_m: float, source_rad: float, receiver_rad: float, exterior_rad: float
) -> _Complex:
    """Return a spherical wave round a rigid wedge, exactly: Biot and Tolstoy 1957 as Svensson et al. 1999 write it.

    -(nu / 2 pi) L exp(ikL) int_0^inf beta(eta) exp(-ikl) / l d eta, l² = r² + r'² + 2 r r' cosh eta, beta = the sum of
    sin(nu phi) / (cosh(nu eta) - cos(nu phi)), phi = pi ± source ± receiver; along a contour on which it decays.
    """
    nu, length_m = math.pi / exterior_rad, before_m + after_m
    nodes, weights = np.polynomial.legendre.leggauss(40)
    edges = np.concatenate([[0.0], np.geomspace(1e-6, 30.0, 150)])
    t = (edges[:-1, None] + np.diff(edges)[:, None] * (nodes + 1.0) / 2.0).ravel()
    weight = (np.diff(edges)[:, None] * weights / 2.0).ravel() * (1.0 - 0.25j * np.pi / np.cosh(t) ** 2)
    eta = t - 0.25j * np.pi * np.tanh(t)
    way_m = np.sqrt(before_m**2 + after_m**2 + 2.0 * before_m * after_m * np.cosh(eta))
    beta = np.zeros_like(eta)
    for one, other in itertools.product((1.0, -1.0), repeat=2):
        phi = nu * (math.pi + one * source_rad + other * receiver_rad)
        beta += math.sin(phi) / (np.cosh(nu * eta) - math.cos(phi))
    waves = weight * beta / way_m * np.exp(-1j * k_per_m[:, None] * (way_m - length_m))
    return np.asarray(-nu / (2.0 * np.pi) * length_m * waves.sum(axis=1))


def screen_curves(number: _Real, shadow_deg: float) -> tuple[_Real, _Real, float]:
    """Return attenuation of a plane wave behind a thin screen: uniform theory, exact; and the worst of the fields."""
    source_rad = math.radians(FACE_DEG)
    receiver_rad = math.pi + source_rad + math.radians(shadow_deg)
    # The way over the edge is longer by rho (1 + cos(angle between)): N = 2 delta / lambda = k rho (1 + cos) / pi.
    k_rho = math.pi * number / (1.0 + math.cos(receiver_rad - source_rad))
    factor = wedge_diffraction(
        k_rho / NEAR_M * SPEED_MPS / (2.0 * math.pi),
        source_distance_m=FAR_M,
        receiver_distance_m=NEAR_M,
        source_angle_rad=source_rad,
        receiver_angle_rad=receiver_rad,
        exterior_angle_rad=2.0 * math.pi,
        speed_of_sound_mps=SPEED_MPS,
    )
    exact = half_plane(k_rho, source_rad, receiver_rad)
    worst = float(np.abs(factor * np.exp(-1j * k_rho) - exact).max())
    return -20.0 * np.log10(np.abs(factor)), -20.0 * np.log10(np.abs(exact)), worst


def edges() -> dict[str, Any]:
    """Hold the curve beside its published points, and the wedge beside exact fields."""
    curve = [
        {
            "fresnel_number": number,
            "published_db": published,
            "ours_db": round(float(maekawa_attenuation_db(np.array([number]), limit_db=None)[0]), 3),
        }
        for number, published in MAEKAWA_DB.items()
    ]
    number = np.geomspace(0.01, 100.0, 161)
    maekawa_db = maekawa_attenuation_db(number, limit_db=None)
    screen = []
    for shadow_deg in SHADOW_DEG:
        ours_db, exact_db, worst = screen_curves(number, shadow_deg)
        screen.append(
            {
                "past_the_shadow_edge_deg": shadow_deg,
                "worst_field": worst,
                "worst_db": float(np.abs(ours_db - exact_db).max()),
                "maekawa_over_exact_db": [round(float(f(maekawa_db - exact_db)), 2) for f in (np.min, np.max)],
            }
        )
    wedges = [_wedge(name, angle_rad) for name, angle_rad in (("screen", 2.0 * math.pi), ("corner", 1.5 * math.pi))]
    return {"maekawa": curve, "half_plane": screen, "spherical_wave": wedges}


def _wedge(name: str, exterior_rad: float) -> dict[str, Any]:
    """Hold spherical waves in the shadow of a wedge beside the exact integral, over many geometries."""
    rng = np.random.default_rng(0)
    frequency_hz = np.array([50.0, 200.0, 1000.0, 5000.0])
    worst_db, worst_near_db, count = 0.0, 0.0, 0
    for _ in range(200):
        before_m, after_m = 10.0 ** rng.uniform(-0.3, 2.0, 2)
        source_rad = float(rng.uniform(0.05, exterior_rad - math.pi - 0.1))
        receiver_rad = float(rng.uniform(math.pi + source_rad + 0.01, exterior_rad - 0.02))
        k_per_m = 2.0 * math.pi * frequency_hz / SPEED_MPS
        ours = wedge_diffraction(
            frequency_hz,
            source_distance_m=before_m,
            receiver_distance_m=after_m,
            source_angle_rad=source_rad,
            receiver_angle_rad=receiver_rad,
            exterior_angle_rad=exterior_rad,
            speed_of_sound_mps=SPEED_MPS,
        )
        exact = exact_wedge(k_per_m, before_m, after_m, source_rad, receiver_rad, exterior_rad)
        off_db = np.abs(20.0 * np.log10(np.abs(ours / exact)))
        far = k_per_m * before_m * after_m / (before_m + after_m) >= 10.0
        worst_db = max([worst_db, *off_db[far].tolist()])
        worst_near_db = max([worst_near_db, *off_db[~far].tolist()])
        count += int(far.sum())
    return {"wedge": name, "cases": count, "worst_db": worst_db, "worst_nearer_db": worst_near_db}


# Ground.


def line_image(frequency_hz: float, geometry_m: _Point, admittance: complex) -> complex:
    """Return the exact reflection of a spherical wave: an image source, and the line of images below it.

    Di and Gilbert 1993, in exp(-i omega t) and with b the admittance: exp(ikr) / r - 2kb int_0^inf exp(-kbq)
    exp(ikR(q)) / R(q) dq, R² = horizontal² + (hs + hr + iq)².
    """
    k_per_m, (source_m, receiver_m, horizontal_m) = 2.0 * math.pi * frequency_hz / SPEED_MPS, geometry_m
    b, height_m = complex(np.conj(admittance)), source_m + receiver_m
    length_m = math.hypot(horizontal_m, height_m)

    def integrand(q: float) -> complex:
        path = np.sqrt(horizontal_m**2 + (height_m + 1j * q) ** 2)
        path = -path if path.imag < 0.0 else path
        return complex(np.exp(1j * k_per_m * path - k_per_m * b * q) / path)

    top = 35.0 / (k_per_m * b.real)
    knots = [edge for edge in (0.0, *(horizontal_m * np.array([0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 1.5]))) if edge < top]
    total = 0.0j
    for low, high in itertools.pairwise([*knots, top]):
        for begin, end in itertools.pairwise(np.linspace(low, high, 2 + int((high - low) * k_per_m / 60.0)).tolist()):
            options = {"limit": 500, "epsabs": 1e-11, "epsrel": 1e-8}
            total += quad(lambda q: integrand(q).real, begin, end, **options)[0]
            total += 1j * quad(lambda q: integrand(q).imag, begin, end, **options)[0]
    direct = np.exp(1j * k_per_m * length_m) / length_m
    return complex(np.conj((direct - 2.0 * k_per_m * b * total) / direct))


def ground() -> dict[str, Any]:
    """Hold the reflection of a spherical wave beside the exact integral."""
    rows: list[dict[str, Any]] = []
    for geometry_m, (kind, resistivity), frequency in itertools.product(
        GROUND_GEOMETRIES_M, GROUND_RESISTIVITIES.items(), GROUND_HZ
    ):
        source_m, receiver_m, horizontal_m = geometry_m
        at = np.array([frequency])
        ours = complex(
            spherical_reflection(
                at,
                source_height_m=source_m,
                receiver_height_m=receiver_m,
                horizontal_m=horizontal_m,
                flow_resistivity_pa_s_per_m2=resistivity,
                speed_of_sound_mps=SPEED_MPS,
            )[0]
        )
        exact = line_image(frequency, geometry_m, complex(surface_admittance(at, resistivity)[0]))
        direct_m = math.hypot(horizontal_m, source_m - receiver_m)
        bounce_m = math.hypot(horizontal_m, source_m + receiver_m)
        turn = np.exp(-2j * math.pi * frequency / SPEED_MPS * (bounce_m - direct_m)) * direct_m / bounce_m
        rows.append(
            {
                "geometry_m": list(geometry_m),
                "ground": kind,
                "frequency_hz": frequency,
                "k_r": round(2.0 * math.pi * frequency / SPEED_MPS * bounce_m, 1),
                "coefficient": [round(ours.real, 4), round(ours.imag, 4)],
                "off": round(abs(ours - exact), 5),
                "level_off_db": round(20.0 * math.log10(abs((1.0 + ours * turn) / (1.0 + exact * turn))), 4),
            }
        )
    return {
        "rows": rows,
        "worst_coefficient": max(row["off"] for row in rows),
        "worst_level_db": max(abs(row["level_off_db"]) for row in rows),
    }


# What is written.


def draw(path: Path) -> None:
    """Draw attenuation by a thin screen over the Fresnel number."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    panel = figure.add_subplot()
    number = np.geomspace(0.01, 100.0, 161)
    panel.plot(number, maekawa_attenuation_db(number, limit_db=None), color="black", label="Maekawa's curve, ours")
    # Fresnel number 0 is not on a logarithmic axis: its 5 dB stand at the left end.
    places = [max(value, float(number[0])) for value in MAEKAWA_DB]
    panel.plot(places, list(MAEKAWA_DB.values()), "ks", mfc="none", ms=9, label="Maekawa 1968, fig. 4")
    for shadow_deg, colour in zip(SHOWN_DEG, ("tab:blue", "tab:red"), strict=True):
        ours_db, exact_db, _ = screen_curves(number, shadow_deg)
        panel.plot(number, exact_db, color=colour, label=f"half plane, exact, {shadow_deg:.0f} degrees in the shadow")
        panel.plot(number[::10], ours_db[::10], "o", color=colour, mfc="none", label="uniform theory, ours")
    panel.set(
        title="A thin screen", xlabel="Fresnel number", ylabel="attenuation, dB", xscale="log", xlim=(0.009, 120.0)
    )
    panel.grid(visible=True, alpha=0.3)
    panel.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    room, sky, edge, soil = (document[name] for name in ("images", "air", "edges", "ground"))
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    if "skipped" in room:
        courtyards = f"Skipped: {room['skipped']}."
    else:
        courtyards = table(
            ("yard, m", "walls return", "order", "pairs", "paths", "not in both", "worst time, us", "worst level, dB"),
            [
                (
                    "{:g} x {:g}".format(*row["yard_m"]),
                    f"{row['reflection']:g}",
                    str(row["order"]),
                    str(row["pairs"]),
                    str(row["paths"]),
                    str(row["paths_differ"]),
                    f"{row['worst_time_us']:.4f}",
                    f"{row['worst_level_db']:.6f}",
                )
                for row in room["rows"]
            ],
        )
        courtyards = (
            f"pyroomacoustics {room['pyroomacoustics']} keeps images in single precision. Goals, the same paths, "
            f"{TIME_GOAL_US:g} us and {LEVEL_GOAL_DB:g} dB: {'met' if room['met'] else 'MISSED'}.\n\n{courtyards}"
        )
    air_table = table(
        ("air", *(f"{band:g} Hz" for band in BANDS_HZ), "worst"),
        [
            (
                f"{row['temperature_c']:g} °C, {row['humidity_percent']:g} %",
                *(
                    f"{ours:.2f} ({printed:g})"
                    for ours, printed in zip(row["ours_db_per_km"], row["printed_db_per_km"], strict=True)
                ),
                f"{row['worst_db_per_km']:.3f}",
            )
            for row in sky["rows"]
        ],
    )
    curve_table = table(
        ("Fresnel number", "published, dB", "ours, dB"),
        [
            (f"{row['fresnel_number']:g}", f"{row['published_db']:g}", f"{row['ours_db']:.2f}")
            for row in edge["maekawa"]
        ],
    )
    screen_table = table(
        ("behind the edge of the shadow", "worst field", "worst level, dB", "Maekawa less exact, dB"),
        [
            (
                f"{row['past_the_shadow_edge_deg']:g} degrees",
                f"{row['worst_field']:.1e}",
                f"{row['worst_db']:.1e}",
                "{:+.1f} to {:+.1f}".format(*row["maekawa_over_exact_db"]),
            )
            for row in edge["half_plane"]
        ],
    )
    wedge_table = table(
        ("wedge", "cases with k L' > 10", "worst, dB", "worst of the nearer ones, dB"),
        [
            (row["wedge"], str(row["cases"]), f"{row['worst_db']:.3f}", f"{row['worst_nearer_db']:.2f}")
            for row in edge["spherical_wave"]
        ],
    )
    ground_table = table(
        ("heights and distance, m", "ground", *(f"{value:g} Hz" for value in GROUND_HZ)),
        [
            (
                "{:g}, {:g}, {:g}".format(*geometry_m),
                kind,
                *(
                    f"{row['off']:.4f}, {row['level_off_db']:+.3f} dB"
                    for row in soil["rows"]
                    if (row["geometry_m"], row["ground"]) == (list(geometry_m), kind)
                ),
            )
            for geometry_m, kind in itertools.product(GROUND_GEOMETRIES_M, GROUND_RESISTIVITIES)
        ],
    )
    return f"""# The simulator's physics beside what others published

Commit {commit}. Made by `python benchmarks/simulator_checks.py`.

## Image sources beside pyroomacoustics

Four buildings round a yard, and a shoebox whose floor and ceiling absorb all.
{courtyards}

## Absorption by the air beside ISO 9613

ISO 9613-1 at the exact midbands: our dB/km, then (what ISO 9613-2 table 2 prints). {sky["round_to_the_print"]} of
{sky["values"]} values are within half of the last digit printed; the last column is the worst difference, dB/km.

{air_table}

## Edges

![Attenuation by a thin screen](../../docs/images/{FIGURE.name})

Maekawa's published curve:

{curve_table}

A plane wave on a thin rigid screen, Fresnel numbers 0.01 to 100: our wedge beside Sommerfeld's exact half plane. Worst
difference of the fields, the incident one being 1, and of the levels. The last column is Maekawa's curve less the exact
field: what a curve that knows no angles is off by.

{screen_table}

A spherical wave in the shadow, beside the exact integral of Biot and Tolstoy; distances from the edge 0.5 to 100 m,
50 Hz to 5 kHz. What the uniform theory leaves out is of the order of 1 / k L'.

{wedge_table}

## Ground

Reflection of a spherical wave by the Weyl-Van der Pol form, beside the exact line of images (Di and Gilbert 1993):
difference of the coefficient, and of the level of direct and reflected wave together. Worst:
{soil["worst_coefficient"]:.4f} and {soil["worst_level_db"]:.3f} dB.

{ground_table}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--figure", type=Path, default=FIGURE)
    arguments = parser.parse_args()
    try:
        room = import_module("pyroomacoustics")
    except ImportError:
        room = None
    software = describe_software()
    document: dict[str, Any] = {
        "benchmark": "simulator_checks",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "images": images(room),
        "air": air(),
        "edges": edges(),
        "ground": ground(),
    }
    text = text_of(document)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.with_suffix(".json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    arguments.out.with_suffix(".md").write_text(text, encoding="utf-8")
    draw(arguments.figure)
    sys.stdout.write(text)
    return 1 if document["images"]["met"] is False else 0


if __name__ == "__main__":
    sys.exit(main())
