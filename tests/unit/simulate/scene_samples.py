"""Small worlds that the tests of the simulator share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotline.propagation import EffectiveProfile
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate.city import Building, City
from shotline_recordings.simulate.paths import PathFinder, Paths, PathSettings

__all__ = ["AIR_MPS", "box", "courtyard", "one_node", "scene", "still_air"]

AIR_MPS = 340.0


def still_air(speed_mps: float = AIR_MPS) -> EffectiveProfile:
    return EffectiveProfile(speed_of_sound_mps=speed_mps)


def box(
    name: str, west_m: float, south_m: float, east_m: float, north_m: float, height_m: float, reflection: float = 0.8
) -> Building:
    """Return a building with walls along the axes."""
    corners = [(west_m, south_m), (east_m, south_m), (east_m, north_m), (west_m, north_m)]
    return Building.of(name, corners, height_m, reflection=reflection)


def courtyard(width_m: float, depth_m: float, height_m: float, reflection: float = 0.7) -> City:
    """Return four buildings round a yard from (0, 0) to (width, depth): a room without floor and ceiling."""
    return City(
        [
            box("south", -5.0, -5.0, width_m + 5.0, 0.0, height_m, reflection),
            box("north", -5.0, depth_m, width_m + 5.0, depth_m + 5.0, height_m, reflection),
            box("west", -5.0, 0.0, 0.0, depth_m, height_m, reflection),
            box("east", width_m, 0.0, width_m + 5.0, depth_m, height_m, reflection),
        ]
    )


def one_node(
    city: City,
    source_m: tuple[float, float, float],
    node_m: tuple[float, float, float],
    *,
    profile: EffectiveProfile | None = None,
    **settings: Any,
) -> Paths:
    """Return the paths from a source to one node."""
    finder = PathFinder(city, np.array([node_m]), profile or still_air(), PathSettings(**settings), farthest_m=2_000.0)
    (paths,) = finder.find(np.array(source_m))
    return paths


def scene(**changes: Any) -> SceneFile:
    """Return a small open scene of three nodes, one shot and 2 s; quiet unless told otherwise."""
    values: dict[str, Any] = {
        "name": "small",
        "seed": 3,
        "start_utc": "2026-03-14T21:30:00Z",
        "duration_s": 2.0,
        "sample_rate_hz": 16_000,
        "microphone": "ideal",
        "clock": "exact",
        "survey_sigma_m": 0.0,
        "origin": {"lat_deg": 40.0, "lon_deg": -80.0},
        "weather": {"temperature_c": 12.0},
        "ground": {"kind": "none"},
        "paths": {"turbulence": 0.0},
        "noise": {"passes_per_minute": 0.0, "wind": False},
        "nodes": [
            {"id": "a", "x_m": 120.0, "y_m": 30.0, "z_m": 5.0},
            {"id": "b", "x_m": -90.0, "y_m": 160.0, "z_m": 8.0},
            {"id": "c", "x_m": 20.0, "y_m": -210.0, "z_m": 12.0},
        ],
        "shots": [{"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3]}],
    }
    return SceneFile.model_validate(values | changes)


def pressure_pa(path: Path, full_scale_pa: float) -> NDArray[np.float64]:
    """Return a sound file as pressure."""
    import soundfile

    samples, _ = soundfile.read(path, dtype="float64")
    result: NDArray[np.float64] = samples * full_scale_pa
    return result
