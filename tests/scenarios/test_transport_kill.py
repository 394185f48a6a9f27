"""Kill -9 of either side in the middle of a burst loses nothing: real processes, real sockets, real disks."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import IO

import pytest

pytestmark = pytest.mark.processes

_NODE_SCRIPT = Path(__file__).with_name("burst_node.py")
_SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
_PATIENCE_S = 15.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""


class Bench:
    """A server and a node in one folder, started and killed at will."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.bind = "tcp://127.0.0.1:0"
        self._stack = stack
        self._node_outputs: list[Path] = []

    def start_server(self) -> subprocess.Popen[str]:
        """Start the server; after the first time on the port it first got."""
        config = self.folder / "server.toml"
        config.write_text(
            f'[server]\nbind = "{self.bind}"\ndatabase = "history.db"\n[http]\nenabled = false\n'
            '[[nodes]]\nid = "burst"\nx_m = 0.0\ny_m = 0.0\n'
        )
        process = self._start([*_SHOTLINE, "server", "run", "--config", str(config), "--ready-json"], subprocess.PIPE)
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, (self.folder / "stderr.txt").read_text()
        self.bind = json.loads(line)["endpoint"]
        return process

    def start_node(self, count: int) -> subprocess.Popen[str]:
        """Start a node that sends so many detections more, on the same spool as those before it."""
        output = self.folder / f"node{len(self._node_outputs)}.txt"
        self._node_outputs.append(output)
        file = self._stack.enter_context(output.open("w"))
        return self._start(
            [sys.executable, str(_NODE_SCRIPT), self.bind, str(self.folder / "spool.db"), str(count)], file
        )

    def spooled(self) -> set[tuple[int, int]]:
        """Return (boot, sequence) of what nodes said they keep. A line cut short by a kill is left out."""
        lines = [line for path in self._node_outputs for line in path.read_text().split("\n")[:-1]]
        return {(int(line.split()[0]), int(line.split()[1])) for line in lines if line[:1].isdigit()}

    def stored(self) -> list[tuple[int, int]]:
        """Return (boot, sequence) of what the server committed."""
        return self._query("history.db", "SELECT boot, sequence FROM detections")

    def waiting(self) -> list[tuple[int, int]]:
        """Return (boot, sequence) of what the node still owes."""
        return self._query("spool.db", "SELECT boot, sequence FROM waiting")

    def _query(self, name: str, query: str) -> list[tuple[int, int]]:
        with closing(sqlite3.connect(f"file:{self.folder / name}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()

    def _start(self, command: list[str], output: int | IO[str]) -> subprocess.Popen[str]:
        errors = self._stack.enter_context((self.folder / "stderr.txt").open("a"))
        process = self._stack.enter_context(subprocess.Popen(command, stdout=output, stderr=errors, text=True))
        self._stack.callback(process.kill)
        return process


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {_PATIENCE_S:g} s in vain until {what}"
        time.sleep(0.005)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


@pytest.fixture(scope="module")
def quiet_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Where nobody is killed: one server for several tests."""
    with ExitStack() as stack:
        made = Bench(tmp_path_factory.mktemp("quiet"), stack)
        made.start_server()
        yield made


def test_killing_the_server_in_a_burst_loses_nothing(bench: Bench) -> None:
    server = bench.start_server()
    node = bench.start_node(2_000)
    for kill in range(1, 4):
        wait_until(lambda kill=kill: len(bench.stored()) >= 200 * kill, f"{200 * kill} are stored")
        assert node.poll() is None, "the burst was over before the kill"
        server.kill()
        server.wait()
        server = bench.start_server()
    assert node.wait(_PATIENCE_S) == 0
    stored = bench.stored()
    assert len(stored) == 2_000
    assert set(stored) == bench.spooled()
    assert bench.waiting() == []
    server.terminate()
    assert server.wait(_PATIENCE_S) == 0


def test_killing_the_node_in_a_burst_loses_nothing(bench: Bench) -> None:
    server = bench.start_server()
    for kill in range(1, 4):
        node = bench.start_node(100_000)
        wait_until(lambda kill=kill: len(bench.stored()) >= 200 * kill, f"{200 * kill} are stored")
        node.kill()
        node.wait()
    assert bench.start_node(100).wait(_PATIENCE_S) == 0
    stored = bench.stored()
    spooled = bench.spooled()
    assert len(stored) == len(set(stored))
    assert set(stored) >= spooled
    # A kill may fall between the spool's commit and the line that tells us: one more at most, each time.
    assert len(set(stored) - spooled) <= 3
    assert bench.waiting() == []
    server.terminate()
    assert server.wait(_PATIENCE_S) == 0


def test_killing_both_loses_nothing(bench: Bench) -> None:
    server, node = bench.start_server(), bench.start_node(100_000)
    wait_until(lambda: len(bench.stored()) >= 300, "300 are stored")
    server.kill()
    server.wait()
    owed = len(bench.spooled())
    wait_until(lambda: len(bench.spooled()) >= owed + 200, "the node has spooled 200 more on its own")
    node.kill()
    node.wait()
    assert bench.waiting() != []
    server = bench.start_server()
    assert bench.start_node(1).wait(_PATIENCE_S) == 0
    assert set(bench.stored()) >= bench.spooled()
    assert bench.waiting() == []


def test_heartbeats_go_both_ways(quiet_bench: Bench) -> None:
    bench = quiet_bench
    node = bench.start_node(300)
    query = "SELECT hello_ns, heartbeat_ns FROM node_status WHERE heartbeat_ns IS NOT NULL"
    wait_until(lambda: len(bench._query("history.db", query)) == 1, "the server has heard hello and heartbeat")
    assert bench._query("history.db", query)[0][0] is not None
    assert node.wait(_PATIENCE_S) == 0
    said = (bench.folder / "node0.txt").read_text().splitlines()[-1]
    assert int(said.removeprefix("heartbeats from the server: ")) >= 1


def test_a_second_server_on_the_port_says_what_to_do(quiet_bench: Bench) -> None:
    bench = quiet_bench
    config = bench.folder / "second.toml"
    config.write_text(f'[server]\nbind = "{bench.bind}"\ndatabase = "second.db"\n[http]\nenabled = false\n')
    second = subprocess.run(
        [*_SHOTLINE, "server", "run", "--config", str(config)], capture_output=True, text=True, timeout=_PATIENCE_S
    )
    assert second.returncode == 1
    assert f"cannot listen on '{bench.bind}' (Address already in use): the port is in use; stop the other server" in (
        second.stderr
    )
