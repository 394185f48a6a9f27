"""A live node on a roof without hardware: ALSA's `file` device on a pipe is its sound card, and this is the air.

Its own process, the real PortAudio, a real server: for tests and for benchmarks.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import threading
import time
from array import array
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import numpy as np

from shotline.messages import Detection, decode

__all__ = ["PATIENCE_S", "Air", "Roof"]

RATE_HZ = 48_000
BLOCK = 960
PATIENCE_S = 60.0
"""Far beyond what is needed on a busy machine."""
_SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
_ASOUND = """\
pcm.null {{ type null }}
pcm.rooftop {{ type file slave.pcm "null" file "/dev/null" infile "{folder}/pipe" format "raw" }}
pcm.default {{ type null }}
"""


class Air:
    """Noise at a microphone, in real time, and bangs when they are fired.

    Parameters
    ----------
    folder : Path
        Of the node; made, with the pipe in it.
    seed : int
        Of the noise.
    """

    def __init__(self, folder: Path, *, seed: int = 2) -> None:
        folder.mkdir(exist_ok=True)
        os.mkfifo(folder / "pipe")
        # Both ends, so that opening waits for nobody and the pipe never ends.
        self._end = os.open(folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
        self._rng = np.random.default_rng(seed)
        self._bangs_s: deque[float] = deque()
        self.fired_ns: list[int] = []
        """UTC at which blocks with the beginning of a bang were given to the card."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._blow)

    def __enter__(self) -> Air:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._end)

    def fire(self, at_s: float = 0.0) -> None:
        """Let a bang begin at an instant of ``time.monotonic``, or in the next block."""
        self._bangs_s.append(at_s)

    def _blow(self) -> None:
        start_s, sent = time.monotonic(), 0
        left = np.zeros(BLOCK)
        while not self._stop.is_set():
            if (time.monotonic() - start_s) * RATE_HZ < sent or self._waiting_bytes() > BLOCK:
                time.sleep(0.002)
                continue
            sound = np.concatenate([left, np.zeros(BLOCK)])
            begins = False
            while self._bangs_s and (self._bangs_s[0] - start_s) * RATE_HZ < sent + BLOCK:
                first = max(0, round((self._bangs_s.popleft() - start_s) * RATE_HZ) - sent)
                late_s = np.arange(BLOCK) / RATE_HZ
                bang = 15_000.0 * np.exp(-late_s / 0.002) * np.cos(2 * np.pi * 700.0 * late_s)
                sound[first : first + BLOCK] += bang
                begins = True
            block, left = sound[:BLOCK] + 30.0 * self._rng.standard_normal(BLOCK), sound[BLOCK:]
            # There is room: hardly anything waits in it.
            os.write(self._end, np.clip(block, -32_768, 32_767).astype(np.int16).tobytes())
            sent += BLOCK
            if begins:
                self.fired_ns.append(time.time_ns())

    def _waiting_bytes(self) -> int:
        """Return what the card has not read yet: sound that waits in the pipe would be heard late."""
        waiting = array("i", [0])
        fcntl.ioctl(self._end, termios.FIONREAD, waiting)
        return waiting[0]


class Roof:
    """A server and live nodes, each in a folder of its own.

    Parameters
    ----------
    folder : Path
    stack : ExitStack
    chronyc : list of str
        What nodes run to ask chronyd.
    sites : mapping of node id to (x_m, y_m), optional
    heartbeat_s : float
    model : str | None
        Of the nodes; None for their default.
    """

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        chronyc: list[str],
        *,
        sites: Mapping[str, tuple[float, float]] | None = None,
        heartbeat_s: float = 0.2,
        model: str | None = None,
    ) -> None:
        self.folder = folder
        self._stack = stack
        self._systemd = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        # Abstract: the path of a socket has at most 107 characters.
        self._notify = f"@shotline-test-{os.getpid()}-{secrets.token_hex(4)}"
        self._systemd.bind("\0" + self._notify[1:])
        self._systemd.setblocking(False)
        sites = sites or {"roof-1": (0.0, 0.0)}
        nodes = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {x_m}\ny_m = {y_m}\n' for node, (x_m, y_m) in sites.items())
        (folder / "server.toml").write_text(
            '[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "history.db"\n[http]\nenabled = false\n' + nodes
        )
        server = self._start(folder, "server", "run", "--config", str(folder / "server.toml"), "--ready-json")
        assert server.stdout is not None
        endpoint = json.loads(server.stdout.readline())["endpoint"]
        detector = "" if model is None else f'[detector]\nmodel = "{model}"\n'
        self.nodes: dict[str, subprocess.Popen[str]] = {}
        for node in sites:
            home = folder / node
            (home / "asound.conf").write_text(_ASOUND.format(folder=home))
            (home / "node.toml").write_text(
                f'[node]\nid = "{node}"\nserver = "{endpoint}"\nspool = "spool.db"\n'
                f'heartbeat_interval_s = {heartbeat_s}\n[capture]\ndevice = "rooftop"\n'
                f"[time]\nchronyc = {json.dumps(chronyc)}\n{detector}"
            )
            self.nodes[node] = self._start(home, "node", "run", "--config", str(home / "node.toml"), "--json")

    @property
    def node(self) -> subprocess.Popen[str]:
        """The first node."""
        return next(iter(self.nodes.values()))

    def query(self, query: str) -> list[tuple[object, ...]]:
        """Ask the server's database."""
        with closing(sqlite3.connect(f"file:{self.folder / 'history.db'}?mode=ro", uri=True)) as db:
            return db.execute(query).fetchall()

    def clock_state(self) -> object:
        """Return how the nodes last said that they know the time; None while they differ, or one has not spoken."""
        rows = self.query("SELECT clock_state FROM node_status")
        states = {state for (state,) in rows}
        return states.pop() if len(rows) == len(self.nodes) and len(states) == 1 else None

    def detections(self) -> list[Detection]:
        """Return what the server has."""
        found = [decode(bytes(raw)) for (raw,) in self.query("SELECT raw FROM detections ORDER BY sequence")]  # type: ignore[call-overload]
        assert all(isinstance(item, Detection) for item in found)
        return found  # type: ignore[return-value]

    def notified(self) -> list[str]:
        """Return what the node told systemd since the last time."""
        told: list[str] = []
        with suppress(BlockingIOError):
            while True:
                told.append(self._systemd.recv(4096).decode())
        return told

    def stop_node(self) -> dict[str, object]:
        """End the node as systemd would; return what it says of itself."""
        self.node.send_signal(signal.SIGTERM)
        out, _ = self.node.communicate(timeout=PATIENCE_S)
        assert self.node.returncode == 0, (self.folder / "stderr.txt").read_text()
        said: dict[str, object] = json.loads(out)
        return said

    def _start(self, home: Path, *arguments: str) -> subprocess.Popen[str]:
        errors = self._stack.enter_context((self.folder / "stderr.txt").open("a"))
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": self._notify,
            "WATCHDOG_USEC": "4000000",
            "ALSA_CONFIG_PATH": str(home / "asound.conf"),
            "HOME": str(home),
        }
        process = self._stack.enter_context(
            subprocess.Popen(
                [*_SHOTLINE, *arguments], stdout=subprocess.PIPE, stderr=errors, text=True, env=environment
            )
        )
        self._stack.callback(process.kill)
        return process
