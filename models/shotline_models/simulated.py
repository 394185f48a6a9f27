"""Sound of the project's own simulator to learn from: towns drawn by number, with every weapon and every confuser.

What a scene holds is known to the sample, and it may be used for anything. No network is judged by it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from shotline.domain import ImpulseKind
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S
from shotline_models.dataset import Clip, Corpus, Example, cut_examples
from shotline_recordings.dataset import Recording, TruthEvent, open_dataset
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate import simulate_dataset
from shotline_recordings.simulate.bangs import BANG_KINDS
from shotline_recordings.simulate.run import ARRIVALS_FILE
from shotline_recordings.simulate.weapons import weapons

__all__ = ["SIMULATED", "read_simulated", "simulate_towns", "town"]

SIMULATED = "simulated"
"""Name of the source."""
_SEED = 20260401
_TOWNS = ("open", "suburb", "suburb", "town", "centre")
_HEIGHTS_M = {"open": (4.0, 6.0), "suburb": (5.0, 9.0), "town": (8.0, 18.0), "centre": (15.0, 50.0)}
_TAILS_DB = {"open": -16.0, "suburb": -11.0, "town": -9.0, "centre": -6.0}
_MICROPHONES = ("vendor-93", "mems-120", "mems-135", "vendor-93")
_HALF_S = 30.0
_REACH_M = 320.0
_EARLY_S, _LATE_S = 0.003, 0.040
"""An onset so little before or after the first sound of a round at a node is that round's."""
_CLEAR_S = 0.6
"""Nothing of another kind may arrive so near: the frame would show both."""


def town(number: int) -> SceneFile:
    """Return a town by number: its weather, its nodes, shots of every weapon, and then bangs of every kind."""
    rng = np.random.default_rng([_SEED, number])
    kind = _TOWNS[number % len(_TOWNS)]
    grid = {
        "blocks": [9, 9],
        "block_m": [float(rng.uniform(55, 80)), float(rng.uniform(50, 75))],
        "street_m": float(rng.uniform(14, 24)),
        "lots": [4, 2] if kind == "suburb" else [2, 2],
        "height_m": list(_HEIGHTS_M[kind]),
        "built": float(rng.uniform(0.6, 0.9)),
    }
    nodes = [
        {
            "id": f"n{index}",
            "x_m": float(rng.uniform(-_REACH_M, _REACH_M)),
            "y_m": float(rng.uniform(-_REACH_M, _REACH_M)),
            "z_m": float(rng.uniform(4, 14)),
            "microphone": _MICROPHONES[index % len(_MICROPHONES)],
        }
        for index in range(8)
    ]
    area = {"west_m": -_REACH_M, "east_m": _REACH_M, "south_m": -_REACH_M, "north_m": _REACH_M, "apart_s": 1.0}
    others = [name for name in BANG_KINDS if name not in ("thunder", "firework_string")] * 2
    tail_db = _TAILS_DB[kind]
    tables: dict[str, Any] = {
        "name": f"augmentation-{number}",
        "seed": number,
        "start_utc": "2026-01-01T00:00:00Z",
        "duration_s": 2.0 * _HALF_S + 6.0,
        "sample_rate_hz": (12_000, 16_000)[number % 2],
        "survey_sigma_m": 0.0,
        "origin": {"lat_deg": 40.0, "lon_deg": -80.0},
        "weather": {
            "temperature_c": float(rng.uniform(-8, 32)),
            "wind_speed_mps": float(rng.uniform(0, 7)),
            "wind_from_deg": float(rng.uniform(0, 360)),
            "humidity_percent": float(rng.uniform(30, 90)),
            "roughness_m": 0.1 if kind == "open" else 0.7,
            "temperature_gradient_k_per_m": float(rng.uniform(-0.01, 0.03)),
        },
        "ground": {"kind": str(rng.choice(["asphalt", "grass", "compacted_soil"]))},
        "city": {} if kind == "open" else {"grid": grid},
        "paths": {
            "reflection_order": 2,
            "screens": {"share": float(rng.uniform(0.2, 0.7)), "detour_m": float(rng.uniform(0.3, 2.0))},
            "tails": [
                {"level_db": tail_db + float(rng.uniform(-3, 3)), "decay_s": float(rng.uniform(0.3, 1.0))},
                {"level_db": tail_db - 6.0, "decay_s": float(rng.uniform(1.0, 2.5)), "build_up_s": 0.1},
            ],
        },
        "noise": {"city_dba": float(rng.uniform(30, 52)), "passes_per_minute": float(rng.uniform(0, 3))},
        "nodes": nodes,
        "scatter": [
            {
                "event": "shot",
                "kinds": [arm.id for arm in weapons()],
                "count": 27,
                "from_s": 0.5,
                "until_s": _HALF_S,
                **area,
            },
            {
                "event": "bang",
                "kinds": [*others, "thunder", "firework_string"],
                "count": 27,
                "from_s": _HALF_S + 4.0,
                "until_s": 2.0 * _HALF_S + 3.0,
                **area,
            },
        ],
    }
    return SceneFile.model_validate(tables)


def simulate_towns(
    folder: Path, count: int, *, jobs: int = 1, progress: Callable[[int, int], None] = lambda *_: None
) -> list[Path]:
    """Make the sound of the first so many towns, each in a folder of its own; what is there already stays.

    Parameters
    ----------
    folder : Path
        Made if need be. Of one version of the code: the simulator's sound may differ in the next.
    count : int
    jobs : int
        Processes; the sound is the same.
    progress : callable (done, of_how_many)

    Returns
    -------
    list of Path
    """
    made = []
    for number in range(count):
        path = folder / str(number)
        if not (path / _DONE).is_file():
            scene = town(number)
            simulate_dataset(scene, path, seed=scene.seed, jobs=jobs, picture=False)
            (path / _DONE).touch()
        made.append(path)
        progress(number + 1, count)
    return made


_DONE = "done"


def read_simulated(
    folders: list[Path],
    *,
    before_s: float,
    after_s: float,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Corpus:
    """Return an example for every round or bang whose first sound the node hears, and that nothing else is near to.

    Parameters
    ----------
    folders : list of Path
        Each a simulated dataset of one scene, with sound.
    before_s, after_s : float
        Sound to keep around each onset.
    progress : callable (done, of_how_many)

    Raises
    ------
    DatasetError
    """
    clips: list[Clip] = []
    examples: list[Example] = []
    for number, folder in enumerate(folders):
        scene = open_dataset(folder, loader="shotline").scenes[0]
        truth = {event.event: event for event in scene.truth}
        arrivals: dict[str, list[tuple[int, str]]] = {}
        with (folder / ARRIVALS_FILE).open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                arrivals.setdefault(row["node"], []).append((parse_utc(row["arrival_utc"]), row["event"]))
        for recording in scene.recordings:
            heard = _hear(recording, arrivals.get(recording.node, []), truth, scene.name, before_s, after_s)
            clips += dict.fromkeys(example.clip for example in heard)
            examples += heard
        progress(number + 1, len(folders))
    return Corpus(tuple(clips), tuple(examples))


def _hear(
    recording: Recording,
    arrivals: list[tuple[int, str]],
    truth: dict[str, TruthEvent],
    family: str,
    before_s: float,
    after_s: float,
) -> list[Example]:
    samples, rate_hz = soundfile.read(recording.path, dtype="float32")
    whole = Clip(
        file=f"{family}/{recording.node}",
        kind=ImpulseKind.BACKGROUND,
        label="",
        sub_label="",
        source=SIMULATED,
        licence="CC0",
        family=family,
        sample_rate_hz=rate_hz,
        duration_s=len(samples) / rate_hz,
    )
    times_s = np.array([(time_ns - recording.start_time_ns) / NS_PER_S for time_ns, _ in arrivals])
    events = [truth[event] for _, event in arrivals]
    kinds = np.array([event.kind for event in events])
    found, used = [], set()
    for example in cut_examples(samples, whole, before_s=before_s, after_s=after_s):
        late_s = example.at_s - times_s
        mine = np.flatnonzero((late_s >= -_EARLY_S) & (late_s <= _LATE_S))
        if len(mine) != 1 or int(mine[0]) in used:
            continue
        index = int(mine[0])
        if ((np.abs(late_s) < _CLEAR_S) & (kinds != kinds[index])).any():
            continue
        used.add(index)
        event = events[index]
        clip = replace(whole, kind=ImpulseKind(event.kind), label=event.kind, sub_label=event.label)
        found.append(replace(example, clip=clip))
    return found
