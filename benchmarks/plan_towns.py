"""Made-up towns for the planner's figures: each kind of surroundings, drawn anew, with nodes and shots."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shotline_recordings.scene import SceneFile

__all__ = ["KINDS", "make_town"]

_TAILS = {
    "open": [],
    "suburb": [(-11.0, 9.0, 0.4, 0.01), (-13.0, 9.0, 1.6, 0.05)],
    "town": [(-14.0, 8.0, 0.5, 0.01), (-16.0, 8.0, 1.6, 0.05)],
    "downtown": [(-8.0, 6.0, 0.8, 0.01), (-11.0, 6.0, 2.0, 0.1)],
}
_HEIGHTS_M = {"suburb": (4.0, 9.0), "town": (6.0, 13.0), "downtown": (12.0, 40.0)}
_SCREENS = {"open": 0.0, "suburb": 0.4, "town": 0.3, "downtown": 0.2}
_GROUND = {"open": "grass", "suburb": "grass", "town": "asphalt", "downtown": "asphalt"}
_ROUGHNESS_M = {"open": 0.03, "suburb": 0.5, "town": 0.7, "downtown": 1.0}
_NOISE_DBA = {"open": 33.0, "suburb": 40.0, "town": 46.0, "downtown": 53.0}
_EDGE_M = 120.0
_LEAST_APART_M = 60.0
KINDS = tuple(_TAILS)


def make_town(
    kind: str,
    *,
    rng: np.random.Generator,
    nodes: int,
    side_m: float,
    shots: int,
    weapons: tuple[str, ...],
    wind_mps: float = 0.0,
    wind_from_deg: float = 0.0,
    mast_m: float = 8.0,
    apart_s: float = 12.0,
    clutter_per_minute: float = 0.0,
) -> SceneFile:
    """Return a town; everything in it follows from the generator.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    rng : numpy.random.Generator
    nodes, shots : int
    side_m : float
        Of the square in which nodes and shots are; houses reach as far.
    weapons : tuple of str
        Each as likely.
    wind_mps, wind_from_deg : float
    mast_m : float
        Of the nodes, on the mean; each is up to 2 m off.
    apart_s : float
        Between shots.
    clutter_per_minute : float
        Other impulses of each node.
    """
    half_m = 0.5 * side_m
    places: list[tuple[float, float]] = []
    while len(places) < nodes:
        x_m, y_m = (float(value) for value in rng.uniform(-half_m, half_m, 2))
        if all(math.hypot(x_m - px, y_m - py) > _LEAST_APART_M for px, py in places):
            places.append((round(x_m, 1), round(y_m, 1)))
    scene: dict[str, Any] = {
        "name": f"{kind}-made",
        "seed": int(rng.integers(1, 2**31)),
        "start_utc": "2026-06-20T02:00:00Z",
        "duration_s": apart_s * (shots + 2) + 10.0,
        "survey_sigma_m": 0.3,
        "origin": {"lat_deg": 39.5, "lon_deg": -98.35, "height_m": 500.0},
        "weather": {
            "temperature_c": float(rng.uniform(5.0, 25.0)),
            "wind_speed_mps": wind_mps,
            "wind_from_deg": wind_from_deg,
            "humidity_percent": float(rng.uniform(40.0, 80.0)),
            "roughness_m": _ROUGHNESS_M[kind],
            "reported_temperature_sigma_c": 1.0,
            "reported_wind_sigma_mps": 0.5,
        },
        "ground": {"kind": _GROUND[kind]},
        "noise": {
            "city_dba": _NOISE_DBA[kind] + float(rng.uniform(-3.0, 3.0)),
            "passes_per_minute": 0.5 if kind == "open" else 1.0,
            "road_m": float(rng.uniform(15.0, 40.0)),
            "clutter_per_minute": clutter_per_minute,
        },
        "nodes": [
            {"id": f"n{number:02}", "x_m": x_m, "y_m": y_m, "z_m": round(mast_m + float(rng.uniform(-2.0, 2.0)), 1)}
            for number, (x_m, y_m) in enumerate(places)
        ],
        "scatter": [
            {
                "event": "shot",
                "kinds": list(weapons),
                "count": shots,
                "west_m": -half_m,
                "east_m": half_m,
                "south_m": -half_m,
                "north_m": half_m,
                "from_s": 8.0,
                "until_s": 8.0 + apart_s * (shots + 1),
                "apart_s": apart_s,
            }
        ],
        "paths": {
            "reflection_order": 1,
            "tails": [
                {"level_db": level, "falls_db": falls, "decay_s": decay, "build_up_s": build_up}
                for level, falls, decay, build_up in _TAILS[kind]
            ],
        },
    }
    if kind != "open":
        block_m = [float(rng.uniform(70.0, 130.0)), float(rng.uniform(60.0, 90.0))]
        street_m = float(rng.uniform(14.0, 20.0))
        low_m, high_m = _HEIGHTS_M[kind]
        scene["city"] = {
            "reflection": 0.6,
            "grid": {
                "blocks": [math.ceil((side_m + _EDGE_M) / (size_m + street_m)) for size_m in block_m],
                "block_m": block_m,
                "street_m": street_m,
                "lots": [2, 2] if kind == "downtown" else [4, 2],
                "gap_m": 0.5 if kind == "downtown" else 3.0,
                "height_m": [low_m, high_m],
                "built": float(rng.uniform(0.75, 0.95)),
            },
        }
        scene["paths"]["screens"] = {"share": _SCREENS[kind], "detour_m": float(rng.uniform(1.0, 2.5))}
    return SceneFile.model_validate(scene)
