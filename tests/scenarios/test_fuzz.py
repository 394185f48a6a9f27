"""Broken, hostile and extreme input, a little of it. `benchmarks/fuzz.py` by itself sends a million messages."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


def test_nothing_escapes_and_everything_is_counted(tmp_path: Path) -> None:
    out = tmp_path / "fuzz"
    command = [sys.executable, str(_BENCHMARK), "--messages", "20000", "--seed", "7", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    targets = {each["target"]: each for each in json.loads(out.with_suffix(".json").read_text())["targets"]}
    assert set(targets) == {"intake", "receiver", "gpsd", "gpsd-client", "chrony", "clips", "node"}
    for each in targets.values():
        assert each["given"] == each["accepted"] + each["ignored"] + sum(each["rejected"].values())
        assert min(each["accepted"], each["rejected_in_all"]) > 0
    # Every way out was taken, so the mutations reach beyond the first check.
    assert {"malformed", "truncated", "too_large", "unsupported_version", "unexpected_message"} <= set(
        targets["intake"]["rejected"]
    )
    assert {"conflicting_duplicate", "in_future", "rate_limited", "unknown_key", "revoked_key", "wrong_node"} <= set(
        targets["intake"]["rejected"]
    )
