"""A swarm against the real server, in processes of their own, with CURVE: what it hears is located, nothing is lost."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from sensor_node.swarmplan import SwarmLoad, SwarmPlan, grid_m

pytestmark = pytest.mark.processes

_SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
_PATIENCE_S = 60.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""
_NODES = 20
_SECONDS = 4.0
_LOAD = SwarmLoad(detections_per_hour=300.0, shots_per_minute=45.0)
_SEED = 5


def shotline(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run([*_SHOTLINE, *arguments], capture_output=True, text=True, timeout=_PATIENCE_S, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("swarm")
    (made / "etc").mkdir()
    return made


def test_a_swarm_is_heard_and_its_shots_are_located(folder: Path) -> None:
    keys, config = folder / "keys", folder / "etc" / "server.toml"
    swarm = ["node", "swarm", str(_NODES), "--keys", str(keys)]
    shotline(*swarm, "--server", "tcp://127.0.0.1:0", "--write-config", str(config))
    with ExitStack() as stack:
        errors = stack.enter_context((folder / "server.log").open("w"))
        command = [*_SHOTLINE, "server", "run", "--config", str(config), "--ready-json", "--for", "120"]
        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True))
        stack.callback(server.kill)
        assert server.stdout is not None
        endpoint = json.loads(server.stdout.readline())["endpoint"]
        load = ["--detections-per-hour", f"{_LOAD.detections_per_hour}"]
        load += ["--shots-per-minute", f"{_LOAD.shots_per_minute}", "--seconds", f"{_SECONDS}", "--seed", f"{_SEED}"]
        done = shotline(*swarm, "--server", endpoint, *load, "--json")
        said = json.loads(done.stdout)
        refused = shotline(
            "node", "swarm", "1", "--keys", str(folder / "strangers"), "--server-key", str(keys / "server.key"),
            "--server", endpoint, "--patience-s", "1", check=False,
        )  # fmt: skip
        server.terminate()
        assert server.wait(_PATIENCE_S) == 0

    plan = SwarmPlan(grid_m(_NODES, 250.0), _LOAD, seconds=_SECONDS, seed=_SEED)
    made = list(plan.heard())
    assert said["problem"] == ""
    assert (said["connected"], said["made"], said["acked"], said["owed"]) == (_NODES, len(made), len(made), 0)
    assert said["connects"] == _NODES
    assert said["ack_p50_s"] <= said["ack_p99_s"] <= said["ack_worst_s"]
    with closing(sqlite3.connect(f"file:{folder / 'etc' / 'history.db'}?mode=ro", uri=True)) as db:
        stored = db.execute("SELECT node, arrival_time_ns FROM detections ORDER BY arrival_time_ns").fetchall()
        records = [json.loads(row[0]) for row in db.execute("SELECT record FROM incidents")]
        heard_of = db.execute("SELECT COUNT(*) FROM node_status WHERE hello_ns IS NOT NULL").fetchone()[0]
    assert len(stored) == len(made)
    assert heard_of == _NODES
    start_ns = stored[0][1] - round(made[0].time_s * 1e9)
    # A nanosecond of rounding at each end.
    assert [time_ns - start_ns for _, time_ns in stored] == pytest.approx([item.time_s * 1e9 for item in made], abs=2)

    shots = list(plan.shots())
    located = [(shot["x_m"], shot["y_m"]) for record in records for shot in record["shots"]]
    assert len(shots) >= 2
    for shot in shots:
        nearest_m = min(math.dist((shot.x_m, shot.y_m), place) for place in located)
        # The times are exact to a nanosecond; a wrong speed of sound or a swapped node would be metres.
        assert nearest_m < 0.05, (shot, located)

    assert refused.returncode == 1
    assert "1 of 1 nodes are not connected; swarm-00000" in refused.stderr
    assert "does not accept this node's key" in refused.stderr


def test_a_swarm_refuses_a_server_that_is_elsewhere(folder: Path) -> None:
    done = shotline(
        "node", "swarm", "1", "--keys", str(folder / "elsewhere"), "--server", "tcp://server.example:5570", check=False
    )
    assert done.returncode == 2
    assert "--i-own-this-server" in done.stderr
