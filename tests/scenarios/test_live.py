"""Live replay of one real test: a real server, real nodes, real waits; and nothing left behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shotline_replay.report import read_incidents

REAL = Path(__file__).parents[3] / "shared" / "data" / "pittsburgh"
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"the Pittsburgh live-fire set is not at {REAL}"),
]

MAIN = "from shotline.cli import main; main()"


@pytest.mark.parametrize("source", ["pulses", "audio"])
def test_one_test_live(source: str, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAIN, "replay", str(REAL), "--from", source, "--only", "FP1/test_004"]
    command += ["--live", "--pace", "1.5", "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=110.0,
        check=False,
        env=os.environ | {"TMPDIR": str(tmp_path), "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    counts = report["score"]["counts"]
    assert (counts["events_found"], counts["shots_found"]) == (1, 1)
    assert report["live"]["unacknowledged"] == 0
    assert report["live"]["processes"] == (2 if source == "pulses" else 1 + len(list(REAL.glob("FP1/test_004/*.wav"))))
    waits = report["live"]["all_revisions"]
    assert waits["count"] == report["revisions"] == len(read_incidents(tmp_path / "out" / "revisions.jsonl"))
    # Sound is heard before it is told; the upper bound only says that the figures are no nonsense on a busy machine.
    assert 0.0 < report["live"]["first_alerts"]["p50_s"] < 15.0
    assert [item.name for item in tmp_path.iterdir()] == ["out"]
