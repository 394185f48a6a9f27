"""The incidents of a small made-up city, kept byte for byte: a change in fusion shows here first.

When a change is meant: ``SHOTLINE_REFRESH_GOLDEN=1 pytest tests/golden``, look at the diff, and give the reason in the
changelog.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

from shotline_recordings.dataset import save_dataset
from shotline_replay.replay import Source
from shotline_replay.run import Request, replay_to_folder

GOLDEN = Path(__file__).parent / "small-city.incidents.jsonl"
BUILDER = Path(__file__).parents[1] / "unit" / "replay" / "small_city.py"


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    spec = importlib.util.spec_from_file_location("golden_small_city", BUILDER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return save_dataset(module.small_city(), tmp_path / "city").parent


def normal(data: bytes) -> bytes:
    """Return incidents with covariances in 1e-3 m²: their last bits differ between processors, the rest is rounded."""

    def rounded(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: [[round(part, 3) + 0.0 for part in row] for row in item]
                if key == "covariance_m2"
                else rounded(item)
                for key, item in value.items()
            }
        return [rounded(item) for item in value] if isinstance(value, list) else value

    return b"".join(json.dumps(rounded(json.loads(line))).encode() + b"\n" for line in data.splitlines())


def test_incidents_are_those_that_were_kept(dataset: Path, tmp_path: Path) -> None:
    replay_to_folder(Request(dataset=dataset, out=tmp_path / "out", source=Source.PULSES))
    seen = normal((tmp_path / "out" / "incidents.jsonl").read_bytes())
    if os.environ.get("SHOTLINE_REFRESH_GOLDEN"):
        GOLDEN.write_bytes(seen)
    assert GOLDEN.is_file(), f"{GOLDEN} is missing: SHOTLINE_REFRESH_GOLDEN=1 pytest tests/golden makes it"
    assert len(seen) < 50_000
    assert seen == GOLDEN.read_bytes()
