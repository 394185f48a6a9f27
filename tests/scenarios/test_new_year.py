"""A few seconds of New Year's Eve. `benchmarks/new_year.py` by itself takes a minute; no time is judged here."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from shotline.atmosphere import Weather

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "new_year.py"


@pytest.mark.processes
def test_a_short_flood_is_kept_whole_and_its_shots_are_told(tmp_path: Path) -> None:
    out = tmp_path / "short"
    command = [sys.executable, str(_BENCHMARK), "--out", str(out), "--nodes", "100", "--per-s", "600"]
    command += ["--seconds", "5", "--fireworks-per-s", "2", "--shots-per-s", "0.5", "--no-browser"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.with_suffix(".json").read_text())
    kept = found["kept"]
    assert kept["made"] == kept["acknowledged"] == kept["stored"] == 3000
    assert (kept["lost"], kept["same_bytes"], kept["refused"]) == (0, True, {})
    assert found["alerts"]["gunshot"]["made"] == 2
    assert found["page"] is None
    assert found["memory"]["server_peak_mb"] >= found["memory"]["server_with_nodes_mb"] > 0
    assert "| lost | 0 |" in out.with_suffix(".md").read_text()


def test_what_is_heard_is_where_sound_would_bring_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARK.parent))
    plan = importlib.import_module("new_year_plan")
    sites_m = np.stack(np.divmod(np.arange(400), 20), axis=1) * 250.0
    load = plan.Load(detections_per_s=500.0, fireworks_per_s=3.0, shots_per_s=1.0, seconds=10.0)
    night = plan.make_night(sites_m, load, seed=3)
    again = plan.make_night(sites_m, load, seed=3)
    assert (night.time_s == again.time_s).all()
    assert len(night.time_s) == 5000
    assert (np.diff(night.time_s) >= 0).all()
    assert sum(bang.heard_by for bang in night.bangs) == night.from_bangs
    for bang in night.bangs:
        travel_s = np.hypot(*(sites_m[night.node] - (bang.x_m, bang.y_m)).T) / Weather().speed_of_sound_mps
        of_it = np.abs(night.time_s - bang.time_s - travel_s) < 1e-9
        assert of_it.sum() >= bang.heard_by >= 1
        assert np.sort(night.time_s[of_it])[3] <= bang.fourth_heard_s <= bang.last_heard_s < bang.time_s + 700.0 / 330.0

    # A detection says what the night says.
    one = plan.detection_of(night, 7, node="n", boot=1, sequence=2, start_ns=10**18)
    assert one.arrival_time_ns == 10**18 + round(night.time_s[7] * 1e9)
    assert sum(one.probabilities_bp) == 10_000
    assert one.peak_level_db - one.snr_db == pytest.approx(72.0)


def test_an_alert_is_timed_from_the_last_arrival(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARK.parent))
    benchmark, plan = importlib.import_module("new_year"), importlib.import_module("new_year_plan")
    bang = plan.Bang(5.0, 100.0, 200.0, plan.KINDS[0], 20, 7.0, 5.5)
    start_ns = 1_800_000_000_000_000_000

    def event(after_s: float, x_m: float, state: str = "provisional") -> tuple[int, bytes]:
        shot = {"time_utc": "2027-01-15T08:00:05.010Z", "x_m": x_m, "y_m": 200.0}
        return start_ns + round(1e9 * after_s), json.dumps({"state": state, "shots": [shot]}).encode()

    events = [event(7.2, 160.0), event(7.5, 101.0, "retracted"), event(8.0, 102.0), event(9.0, 100.0)]
    assert benchmark.told_after_s([bang], events, start_ns=start_ns) == pytest.approx([1.0])
    assert benchmark.told_after_s([bang], events[:2], start_ns=start_ns) == [None]
    assert benchmark.told_after_s([bang], [], start_ns=start_ns) == [None]
