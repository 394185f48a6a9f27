"""A disk without room, and kill -9 at every instant: real processes, real file systems, real sockets."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from burst_node import detection
from test_transport_kill import Bench, wait_until

from sensor_node.diskspool import DiskSpool
from shotline.units import NS_PER_S

pytestmark = pytest.mark.processes

_SCRIPT = Path(__file__).with_name("spool_node.py")
_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def _can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    command = [*_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["tmpfs", "limit"])
def test_a_full_disk_costs_nothing_while_the_process_lives(kind: str, tmp_path: Path) -> None:
    if kind == "tmpfs" and not _can_mount():
        pytest.skip("this machine lets nobody mount a tmpfs in a namespace of his own")
    command = [*(_NAMESPACE if kind == "tmpfs" else []), sys.executable, str(_SCRIPT), kind, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    unacked, in_memory, problem = said["full"]
    assert unacked == 1_900
    assert 1_000 < in_memory <= 1_990
    seen = "the disk is full; free space on it" if kind == "tmpfs" else "the disk fails to read or write"
    assert seen in problem
    assert said["room"] == [1_900, 0, ""]
    assert said["again"] == [1_900, 0]
    assert said["order"]
    assert said["order_full"]


def test_killed_ten_times_in_writes_and_sends_it_owes_nothing_in_the_end(tmp_path: Path) -> None:
    rng = random.Random(20)
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        server = bench.start_server()
        for kill in range(10):
            node = bench.start_node(100_000)
            made = len(bench.spooled())
            wait_until(lambda made=made: len(bench.spooled()) > made + 20, "the node is at work")
            time.sleep(rng.uniform(0.0, 0.1))
            if kill % 3 == 1:  # an outage: what follows is spooled only
                server.kill()
                server.wait()
                time.sleep(rng.uniform(0.0, 0.1))
            node.kill()
            node.wait()
            if kill % 3 == 1:
                server = bench.start_server()
        assert bench.start_node(100).wait(30.0) == 0
        stored, spooled = bench.stored(), bench.spooled()
        assert len(stored) == len(set(stored))
        assert set(stored) >= spooled
        # A kill may fall between the spool's commit and the line that tells us: one more at most, each time.
        assert len(set(stored) - spooled) <= 10
        assert bench.waiting() == []
        assert not list(tmp_path.glob("*.damaged-*"))


def test_what_waited_too_long_is_stored_and_marked_late(tmp_path: Path) -> None:
    with ExitStack() as stack:
        bench = Bench(tmp_path, stack)
        server = bench.start_server()
        with DiskSpool(tmp_path / "spool.db") as spool:
            for sequence in range(3):  # made in 2018, see burst_node
                spool.append(detection(1, sequence))
        assert bench.start_node(0).wait(15.0) == 0

        def marked() -> list[tuple[object, ...]]:
            with closing(sqlite3.connect(f"file:{tmp_path / 'history.db'}?mode=ro", uri=True)) as db:
                return db.execute("SELECT boot, sequence, disposition FROM dispositions ORDER BY sequence").fetchall()

        wait_until(lambda: len(marked()) == 3, "the server has said what it made of them")
        assert marked() == [(1, sequence, "too_late") for sequence in range(3)]
        with closing(sqlite3.connect(f"file:{tmp_path / 'history.db'}?mode=ro", uri=True)) as db:
            rows = db.execute("SELECT received_ns - arrival_time_ns FROM detections").fetchall()
        assert len(rows) == 3
        assert all(late_ns > 365 * 86_400 * NS_PER_S for (late_ns,) in rows)
        server.terminate()
        assert server.wait(15.0) == 0
