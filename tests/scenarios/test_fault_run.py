"""Killed, cut off, out of room: a short fault run. `benchmarks/fault_run.py` by itself takes ten minutes."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

_BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fault_run.py"


@pytest.mark.processes
def test_a_short_fault_run_stores_everything_once(tmp_path: Path) -> None:
    out = tmp_path / "short"
    command = [sys.executable, str(_BENCHMARK), "--out", str(out), "--minutes", "0.25", "--nodes", "4"]
    command += ["--server-kills", "2", "--node-kills", "1", "--cut-s", "2", "--disk-s", "2", "--ack-loss", "0.2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.with_suffix(".json").read_text())
    detections = found["detections"]
    assert detections["made"] == detections["stored"] >= detections["made_by_files"] > 0
    assert [detections[name] for name in ("lost", "duplicates", "changed", "unexpected")] == [0, 0, 0, 0]
    assert set(found["exit_codes"].values()) == {0}
    kinds = [fault["kind"] for fault in found["faults"]]
    assert (kinds.count("server killed"), kinds.count("node killed"), kinds.count("network cut")) == (2, 4, 1)
    assert kinds.count("node's disk full") == kinds.count("server's disk full") == int(found["options"]["disks"])


def test_the_judge_sees_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(_BENCHMARK.parent))
    judge = importlib.import_module("fault_judge")
    cut = judge.Happened("network cut", "", 10, 20)
    kill = judge.Happened("node killed", "b", 21, 30)
    uids = [("a", 1, number) for number in range(3)]
    made = {uid: judge.Made(f"sha-{uid[2]}", 5 + uid[2]) for uid in uids}
    stored = {uid: judge.Stored(f"sha-{uid[2]}", 25 + uid[2]) for uid in uids}
    late = ("b", 1, 0)

    clean = judge.judge(made, [late], stored, 0, [cut, kill])
    assert clean.is_clean
    assert (clean.made, clean.stored, clean.saved_by_spool) == (3, 3, 0)
    assert [(each.waiting, each.recovery_s, each.met) for each in clean.recoveries] == [
        (3, 7e-9, ()),  # the kill is of another node
        (0, 0.0, ()),
    ]
    # Nobody said that it was kept, but it was: the kill came before the line.
    saved = judge.judge(made, [late], stored | {late: judge.Stored("sha", 31)}, 0, [])
    assert saved.is_clean
    assert (saved.made, saved.saved_by_spool) == (4, 1)

    lost = judge.judge(made, [], {uid: stored[uid] for uid in uids[:2]}, 0, [cut])
    assert (lost.is_clean, lost.lost, lost.recoveries[0].recovery_s) == (False, [uids[2]], None)
    other = judge.judge(made, [], stored | {uids[0]: judge.Stored("other", 25)}, 0, [])
    assert (other.is_clean, other.changed) == (False, [uids[0]])
    nobodys = judge.judge(made, [], stored | {late: judge.Stored("sha", 31)}, 0, [])
    assert (nobodys.is_clean, nobodys.unexpected) == (False, [late])
    assert not judge.judge(made, [], stored, 1, []).is_clean
