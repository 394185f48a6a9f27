"""Kill -9 of the server while shots come and every sink is on: nothing is lost, nothing comes twice under two names."""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
import zmq

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "dispatch"))

from stream_listener import Listener, read_all
from webhook_receiver import Post, Receiver, verify

from shotline.atmosphere import speed_of_sound_mps
from shotline.domain import ClockState
from shotline.messages import Ack, Detection, LevelReference, decode, encode
from shotline.units import NS_PER_S

pytestmark = pytest.mark.processes

SITES = {"a": (0, 0), "b": (400, 0), "c": (400, 400), "d": (0, 400), "e": (200, 500), "f": (210, 20)}
PLACES = [(150.0, 230.0), (320.0, 110.0), (60.0, 330.0)]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
SHOTLINE = [sys.executable, "-c", "from shotline.cli import main; main()"]
SHOTS_BETWEEN_KILLS = 8
_PATIENCE_S = 120.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""

Told = list[tuple[str, int]]


def test_kill_in_a_burst_with_every_sink_on(tmp_path: Path) -> None:
    with ExitStack() as stack:
        webhook, cap = stack.enter_context(Receiver()), stack.enter_context(Receiver())
        tak, collector = stack.enter_context(Listener(_tak_server)), stack.enter_context(Listener(read_all))
        broker_port = stack.enter_context(_Broker(tmp_path)).port
        config = _written(tmp_path, webhook, cap, tak, collector, broker_port)
        if broker_port:
            _subscribe(broker_port, "-E")
        gunfire = stack.enter_context(_Gunfire())
        server = _started(stack, config, gunfire)
        kept: set[tuple[str, int]] = set()
        for _ in range(2):
            gunfire.fire(SHOTS_BETWEEN_KILLS)
            fresh = len(kept)
            _wait_until(lambda fresh=fresh: len(_revisions(tmp_path)) >= fresh + 2, "two more revisions are kept")
            server.kill()
            server.wait()
            kept = _revisions(tmp_path)
            server = _started(stack, config, gunfire)
        gunfire.fire(SHOTS_BETWEEN_KILLS)
        _wait_until(lambda: gunfire.all_acknowledged, "every detection is acknowledged")
        _wait_until(lambda: _settled(tmp_path, sinks=7 if broker_port else 6), "every sink has taken every revision")
        server.terminate()
        assert server.wait(_PATIENCE_S) == 0
        posts = list(_all(webhook, must=True))
        told = {
            "webhook": [_of_post(post.body) for post in posts],
            "http": [_of_cap(post.body) for post in _all(cap)],
            "folder": [_of_cap(path.read_bytes()) for path in (tmp_path / "cap").iterdir()],
            "jsonl": [_of_record(json.loads(line)) for line in (tmp_path / "alerts.jsonl").read_text().splitlines()],
            "cot": [item for item in map(_of_cot, tak.received) if item is not None],
            "syslog": [item for item in map(_of_syslog, collector.received) if item is not None],
        }
        if broker_port:
            told["mqtt"] = [_of_event(line) for line in _subscribe(broker_port, "-W", "3").splitlines()]
        kept = _revisions(tmp_path)
    assert len(kept) >= 6
    assert len({(post.headers["webhook-id"], post.body) for post in posts}) == len(kept), "a repeat is not the same"
    for name, items in told.items():
        assert set(items) == kept, name
        # A kill falls between a sink's yes and its receipt at the most once for each sink.
        assert len(items) - len(kept) <= 2, name


def _written(
    folder: Path, webhook: Receiver, cap: Receiver, tak: Listener, collector: Listener, broker_port: int
) -> Path:
    (folder / "cap").mkdir()
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text(SECRET)
    sinks = [
        f'kind = "webhook"\nurl = "{webhook.url}"\nsecret_file = "secret"',
        f'kind = "http"\nurl = "{cap.url}"\nformat = "cap"',
        'kind = "folder"\npath = "cap"\nformat = "cap"',
        'kind = "jsonl"\npath = "alerts.jsonl"',
        f'kind = "cot"\nurl = "tcp://127.0.0.1:{tak.port}"',
        f'kind = "syslog"\nurl = "tcp://127.0.0.1:{collector.port}"',
        *([f'kind = "mqtt"\nurl = "mqtt://127.0.0.1:{broker_port}"'] if broker_port else []),
    ]
    nodes = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {x}.0\ny_m = {y}.0\n' for node, (x, y) in SITES.items())
    path = folder / "server.toml"
    path.write_text(
        '[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "history.db"\n[http]\nenabled = false\n'
        '[identity]\nname = "shots.example.org"\n[fusion]\nlateness_s = 3.0\n'
        f"[frame]\nlat_deg = 40.44\nlon_deg = -79.99\n{nodes}" + "".join(f"[[sinks]]\n{sink}\n" for sink in sinks)
    )
    return path


def _started(stack: ExitStack, config: Path, gunfire: _Gunfire) -> subprocess.Popen[str]:
    errors = stack.enter_context(config.with_name("stderr.txt").open("a"))
    process = stack.enter_context(
        subprocess.Popen(
            [*SHOTLINE, "server", "run", "--config", config, "--ready-json"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, config.with_name("stderr.txt").read_text()
    gunfire.connect(json.loads(line)["endpoint"])
    return process


class _Gunfire:
    """Six nodes in one thread: what is not acknowledged is sent again, to whichever server is there."""

    def __init__(self) -> None:
        self._context = zmq.Context()
        self._lock = threading.Lock()
        self._owed: dict[tuple[str, int], bytes] = {}
        self._sequence = 0
        self._endpoint = ""
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> _Gunfire:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join(10.0)
        self._context.term()

    def connect(self, endpoint: str) -> None:
        """Talk to this server from now on."""
        with self._lock:
            self._endpoint = endpoint

    def fire(self, rounds: int) -> None:
        """Fire at each place in turn, a round every 0.1 s."""
        speed_mps = speed_of_sound_mps(15.0)
        for _ in range(rounds):
            self._sequence += 1
            place, now_ns = PLACES[self._sequence % len(PLACES)], time.time_ns()
            with self._lock:
                for node, site in SITES.items():
                    arrival_ns = now_ns + round(math.dist(place, site) / speed_mps * NS_PER_S)
                    self._owed[node, self._sequence] = encode(_detection(node, self._sequence, arrival_ns))
            time.sleep(0.1)

    @property
    def all_acknowledged(self) -> bool:
        """Whether nothing is owed."""
        with self._lock:
            return not self._owed

    def _run(self) -> None:
        sockets: dict[tuple[str, str], zmq.Socket[bytes]] = {}
        while not self._done.wait(0.05):
            with self._lock:
                endpoint, owed = self._endpoint, dict(self._owed)
            for (node, _), raw in owed.items() if endpoint else ():
                if (endpoint, node) not in sockets:
                    made = sockets[endpoint, node] = self._context.socket(zmq.DEALER)
                    made.linger = 0
                    made.connect(endpoint)
                sockets[endpoint, node].send(raw)
            for (_, node), peer in sockets.items():
                while peer.poll(0):
                    self._acknowledge(node, peer.recv())
        for peer in sockets.values():
            peer.close()

    def _acknowledge(self, node: str, message: bytes) -> None:
        answer = decode(message)
        if isinstance(answer, Ack):
            with self._lock:
                for sequence in answer.sequences:
                    self._owed.pop((node, sequence), None)


def _detection(node: str, sequence: int, arrival_ns: int) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=arrival_ns,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_000, 200, 200, 200, 200, 200),
        peak_level_db=-12.5,
        level_reference=LevelReference.DBFS,
        snr_db=22.0,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )


class _Broker:
    """mosquitto, where it is installed; port 0 where it is not."""

    def __init__(self, folder: Path) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "mosquitto.conf"

    def __enter__(self) -> _Broker:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        try:
            import paho.mqtt.client  # noqa: F401
        except ModuleNotFoundError:
            return self
        if program is None or shutil.which("mosquitto_sub") is None:
            return self
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._settings.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        self._process = subprocess.Popen(
            [program, "-c", self._settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _wait_until(self._answers, "the broker answers")
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(20.0)

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1.0).close()
        except OSError:
            return False
        return True


def _subscribe(port: int, *options: str) -> str:
    """Ask as one and the same subscriber, whom the broker keeps messages for; return what came."""
    command = ["mosquitto_sub", "-V", "5", "-h", "127.0.0.1", "-p", str(port), "-t", "shotline/alerts", "-q", "1"]
    done = subprocess.run(
        [*command, "-i", "stranger", "-c", "-x", "600", *options], capture_output=True, text=True, timeout=60.0
    )
    return done.stdout


def _tak_server(connection: socket.socket) -> bytes:
    read = b""
    while b"</event>" not in read.partition(b'type="t-x-c-t"')[2]:
        part = connection.recv(65_536)
        if not part:
            return read
        read += part
    connection.sendall(b'<event version="2.0" uid="x" type="t-x-c-t-r" how="m-g"/>')
    return read


def _revisions(folder: Path) -> set[tuple[str, int]]:
    return set(_query(folder, "SELECT id, revision FROM incidents"))


def _settled(folder: Path, *, sinks: int) -> bool:
    """Say whether the engine has said its last word and every sink has taken all."""
    open_since_ns = time.time_ns() - 6 * NS_PER_S
    if _query(folder, f"SELECT 1, 1 FROM incidents WHERE as_of_ns > {open_since_ns}"):
        return False
    taken = _query(folder, "SELECT DISTINCT sink || ' ' || incident_id, revision FROM receipts WHERE ok")
    return len(taken) == sinks * len(_revisions(folder))


def _query(folder: Path, query: str) -> Told:
    with closing(sqlite3.connect(f"file:{folder / 'history.db'}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def _all(receiver: Receiver, *, must: bool = False) -> Iterator[Post]:
    while not receiver.posts.empty():
        post = receiver.posts.get()
        assert not must or verify(SECRET, post)
        yield post


def _of_post(body: bytes) -> tuple[str, int]:
    return _of_record(json.loads(body)["data"])


def _of_event(line: str) -> tuple[str, int]:
    return _of_record(json.loads(line)["data"])


def _of_record(record: dict[str, object]) -> tuple[str, int]:
    return str(record["id"]), int(str(record["revision"]))


def _of_cap(message: bytes) -> tuple[str, int]:
    root = ElementTree.fromstring(message)
    _, incident, revision = (root.findtext(f"{CAP}identifier") or "").split(".")
    named = len((root.findtext(f"{CAP}references") or "").split())
    assert named == int(revision) - 1, "an update names every message before it"
    return incident, int(revision)


def _of_cot(stream: bytes) -> tuple[str, int] | None:
    """Return what the first whole event says; None where a kill cut it."""
    event, ending, _ = stream.partition(b"</event>")
    if not ending:
        return None
    own = ElementTree.fromstring(event + ending).find("detail/shotline")
    assert own is not None
    return own.attrib["incident_id"], int(own.attrib["revision"])


def _of_syslog(stream: bytes) -> tuple[str, int] | None:
    count, _, message = stream.partition(b" ")
    if not count or len(message) < int(count):
        return None
    found = re.search(rb'incident_id="(\w+)" revision="(\d+)"', message)
    assert found
    return found[1].decode(), int(found[2])


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + _PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited {_PATIENCE_S:g} s in vain until {what}"
        time.sleep(0.05)
