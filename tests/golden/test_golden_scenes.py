"""What fusion makes of the shipped scenes, kept: a change in simulator, node model or fusion shows here first.

Detections without sound, so that it takes seconds. Places are compared to 0.3 m and probabilities to 0.02: sines and
logarithms differ in their last bits between processors. When a change is meant:
``SHOTLINE_REFRESH_GOLDEN=1 pytest tests/golden``, look at the diff, and give the reason in the changelog.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.score import score_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_replay.replay import RETRACTED, Source, latest_revisions, replay_dataset

GOLDEN = Path(__file__).parent / "scenes"
NAMES = (
    "airport-wind",
    "city-block",
    "clock-off",
    "downtown-canyon",
    "open-field",
    "outside-the-array",
    "rooftop-shooter",
)
"""Those that fusion goes through in seconds."""


def found(name: str, folder: Path) -> dict[str, Any]:
    """Return the incidents of a scene and how they score."""
    chosen = load_scene(shipped_scene(name))
    made = simulate_dataset(chosen, folder, seed=chosen.seed, detections_only=True, picture=False)
    (run,) = replay_dataset(made.dataset, Source.DETECTIONS)
    standing = [item for item in latest_revisions(run.revisions) if item.state != RETRACTED]
    score = score_scene(made.dataset.scenes[0], standing)
    return {
        "detections": made.detections,
        "incidents": [
            {
                "rounds": item.rounds,
                "x_m": round(item.x_m, 2),
                "y_m": round(item.y_m, 2),
                "cep95_m": round(item.cep95_m, 2),
                "probability": round(item.probability, 3),
            }
            for item in standing
        ],
        "events": {
            event.event: {"fired": event.rounds, "reported": event.rounds_reported if event.incident_id else 0}
            for event in score.events
        },
    }


@pytest.mark.parametrize("name", NAMES)
def test_incidents_of_a_shipped_scene_are_those_that_were_kept(name: str, tmp_path: Path) -> None:
    seen = found(name, tmp_path)
    path = GOLDEN / f"{name}.json"
    if os.environ.get("SHOTLINE_REFRESH_GOLDEN"):
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(json.dumps(seen, indent=1) + "\n", encoding="utf-8")
    assert path.is_file(), f"{path} is missing: SHOTLINE_REFRESH_GOLDEN=1 pytest tests/golden makes it"
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert seen["events"] == kept["events"]
    assert abs(seen["detections"] - kept["detections"]) <= 1
    for one, other in zip(seen["incidents"], kept["incidents"], strict=True):
        assert one["rounds"] == other["rounds"]
        assert (one["x_m"], one["y_m"], one["cep95_m"]) == pytest.approx(
            (other["x_m"], other["y_m"], other["cep95_m"]), abs=0.3
        )
        assert one["probability"] == pytest.approx(other["probability"], abs=0.02)
