"""The node put together: files to detections, to servers that acknowledge or do not; check and commands."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
import zmq
from typer.testing import CliRunner

from fusion_server.history import History
from fusion_server.receiver import CurveGuard, Intake, Receiver
from sensor_node import app as node_app
from sensor_node import diskspool
from sensor_node.app import replay_to_file, replay_to_server, run_node, stop_on_signals
from sensor_node.cli import app as commands
from sensor_node.config import load_node_config
from sensor_node.connection import CurveClientKeys
from sensor_node.diskspool import DiskSpool
from sensor_node.nodecheck import check_node
from sensor_node.player import FilePlayer, FileSource, sources_from_config
from sensor_node.profile import NodeProfile, profile_from_config
from sensor_node.spool import SpoolLimits
from shotline.allowlist import WatchedAllowList, edit_allow_list
from shotline.domain import ClockState
from shotline.errors import AudioError, ConfigError, InputError, StorageError
from shotline.health import CheckStatus
from shotline.keyfiles import KeyPair
from shotline.messages import Ack, Detection, Heartbeat, Hello, Reject, RejectReason, decode, encode, iter_frames
from shotline.timebase import EventClock, parse_utc
from shotline_models.registry import DEFAULT_CLASSIFIER

RATE_HZ = 12_000
START = "2018-12-19T00:49:26.000Z"
START_NS = parse_utc(START)


def write_shots(path: Path, shots_s: tuple[float, ...], seconds: float, *, seed: int = 1) -> Path:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = 1e-3 * np.random.default_rng(seed).standard_normal(len(t))
    for shot_s in shots_s:
        late = np.maximum(t - shot_s, 0.0)
        sound += np.where(t >= shot_s, 0.3 * np.exp(-late / 0.002) * np.cos(2 * np.pi * 700.0 * late), 0.0)
    soundfile.write(path, sound, RATE_HZ)
    return path


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    return write_shots(tmp_path / "a.wav", (0.5, 1.1), 1.6)


def player(wav: Path, start_time_ns: int | None = START_NS, **profile: object) -> FilePlayer:
    return FilePlayer(NodeProfile(node="roof-1", **profile), [FileSource(path=wav, start_time_ns=start_time_ns)])  # type: ignore[arg-type]


def detections_in(path: Path) -> list[Detection]:
    found = [decode(frame) for frame in iter_frames(path.read_bytes())]
    assert all(isinstance(item, Detection) for item in found)
    return found  # type: ignore[return-value]


def never() -> bool:
    return False


class Server:
    """A ROUTER that says what a script tells it to each detection; collects what it got."""

    def __init__(self, *, answer: str) -> None:
        self.got: list[Hello | Detection | Heartbeat] = []
        self.answer = answer
        self.heard = threading.Event()
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self.endpoint = ""

    def __enter__(self) -> Server:
        self._thread.start()
        assert self._ready.wait(10.0)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10.0)
        assert not self._thread.is_alive()

    def detections(self) -> list[Detection]:
        return [item for item in self.got if isinstance(item, Detection)]

    def _serve(self) -> None:
        with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
            router.linger = 0
            port = router.bind_to_random_port("tcp://127.0.0.1")
            self.endpoint = f"tcp://127.0.0.1:{port}"
            self._ready.set()
            while not self._stop.is_set():
                if not router.poll(20):
                    continue
                peer, data = router.recv_multipart()
                message = decode(data)
                assert isinstance(message, Hello | Detection | Heartbeat)
                self.got.append(message)
                self.heard.set()
                if isinstance(message, Detection):
                    answer: Ack | Reject = Ack(boot=message.boot, sequences=(message.sequence,))
                    if self.answer == "reject":
                        answer = Reject(
                            reason=RejectReason.CONFLICTING_DUPLICATE,
                            detail="another one",
                            boot=message.boot,
                            sequence=message.sequence,
                        )
                    if self.answer != "silence":
                        router.send_multipart([peer, encode(answer)])


class TestReplayWithKeys:
    def test_a_server_that_wants_keys(self, wav: Path, tmp_path: Path) -> None:
        server, own = (KeyPair(*(half.decode() for half in zmq.curve_keypair())) for _ in range(2))
        allowed = tmp_path / "nodes.toml"
        edit_allow_list(allowed, lambda before: before.enrol("roof-1", own.public, now_ns=1), create=True)
        keys = WatchedAllowList(allowed)
        stop = threading.Event()
        with History.open("sqlite://") as history:
            intake = Intake(history, boot=1, keys=keys)
            with Receiver("tcp://127.0.0.1:0", intake, curve=CurveGuard(server, keys)) as receiver:

                def serve() -> None:
                    while not stop.is_set():
                        receiver.poll(20, time.time_ns)

                thread = threading.Thread(target=serve)
                thread.start()
                try:
                    summary = replay_to_server(
                        player(wav),
                        receiver.endpoint,
                        clock=None,
                        stopping=never,
                        patience_s=30.0,
                        curve=CurveClientKeys(own, server.public),
                    )
                finally:
                    stop.set()
                    thread.join(10.0)
            assert (summary.problem, summary.unacked, summary.detections) == ("", 0, 2)
            assert history.counts().detections == 2

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            (["--key-file", "a.key_secret"], "--key-file and --server-key go together"),
            (["--key-file", "a.key_secret", "--server-key", "x"], "is not the z85 text of a key"),
        ],
    )
    def test_half_a_key(self, wav: Path, options: list[str], says: str) -> None:
        result = CliRunner().invoke(commands, ["replay", str(wav), "--server", "tcp://127.0.0.1:9", *options])
        assert says in str(result.exception)


class TestReplayToFile:
    def test_same_file_same_bytes(self, wav: Path, tmp_path: Path) -> None:
        summary = replay_to_file(player(wav), tmp_path / "one")
        replay_to_file(player(wav), tmp_path / "two")
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        first, second = detections_in(tmp_path / "one")
        assert first.arrival_time_ns == pytest.approx(START_NS + 500_000_000, abs=80_000)
        assert second.arrival_time_ns == pytest.approx(START_NS + 1_100_000_000, abs=80_000)
        assert first.clock_state is ClockState.NTP
        # 1-sigma of the start time is 1 ms unless said otherwise; picking adds in squares.
        assert 1_000_000 <= first.arrival_sigma_ns < 1_100_000
        assert (summary.files, summary.detections, summary.onsets, summary.problem) == (1, 2, 2, "")
        assert summary.seconds == pytest.approx(1.6)
        assert not list(tmp_path.glob("*.part"))

    def test_other_settings_are_another_boot(self, wav: Path, tmp_path: Path) -> None:
        replay_to_file(player(wav), tmp_path / "one")
        replay_to_file(player(wav, full_scale_db_spl=120.0), tmp_path / "two")
        assert detections_in(tmp_path / "one")[0].boot != detections_in(tmp_path / "two")[0].boot

    def test_without_start_time_it_is_untimed(self, wav: Path, tmp_path: Path) -> None:
        summary = replay_to_file(player(wav, None), tmp_path / "out")
        assert {item.clock_state for item in detections_in(tmp_path / "out")} == {ClockState.UNTIMED}
        assert summary.clock_state == "untimed"

    def test_folder_that_is_not_there(self, wav: Path, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"cannot write .*none/out: No such file or directory"):
            replay_to_file(player(wav), tmp_path / "none" / "out")

    def test_sample_that_is_no_number_names_the_file(self, tmp_path: Path) -> None:
        sound = np.zeros(5_000, dtype=np.float32)
        sound[1_234] = np.nan
        soundfile.write(tmp_path / "nan.wav", sound, RATE_HZ, subtype="FLOAT")
        with pytest.raises(AudioError, match=r"nan.wav: samples: sample 1234 is nan"):
            replay_to_file(player(tmp_path / "nan.wav"), tmp_path / "out")
        assert not list(tmp_path.glob("out*"))

    def test_files_that_overlap_are_refused(self, wav: Path) -> None:
        sources = [FileSource(path=wav, start_time_ns=START_NS + ms * 10**6) for ms in (0, 1_500)]
        with pytest.raises(InputError, match=r"a.wav: start_utc: starts at .*27.500000Z, before a.wav ends at"):
            FilePlayer(NodeProfile(node="n"), sources)


class TestServe:
    def test_hello_detections_heartbeat_and_done(self, wav: Path) -> None:
        with Server(answer="ack") as server:
            summary = replay_to_server(player(wav), server.endpoint, clock=None, stopping=never, patience_s=20.0)
        assert (summary.detections, summary.unacked, summary.problem) == (2, 0, "")
        assert isinstance(server.got[0], Hello)
        assert (server.got[0].node, server.got[0].model_id) == ("roof-1", DEFAULT_CLASSIFIER)
        assert any(isinstance(item, Heartbeat) for item in server.got)
        assert [item.sequence for item in server.detections()] == [0, 1]

    def test_refused_detections_are_a_problem(self, wav: Path) -> None:
        with Server(answer="reject") as server:
            summary = replay_to_server(player(wav), server.endpoint, clock=None, stopping=never, patience_s=20.0)
        assert summary.rejected_by_server == 2
        assert summary.problem == ("the server refused 2 detections; the last: conflicting_duplicate: another one")

    def test_silent_server_is_given_up_on(self, wav: Path) -> None:
        with Server(answer="silence") as server:
            summary = replay_to_server(player(wav), server.endpoint, clock=None, stopping=never, patience_s=0.3)
        assert summary.unacked == 2
        assert summary.problem.startswith("2 detections are not acknowledged by the server: ")

    def test_pace_follows_the_event_clock(self, wav: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        now_ns = 10**18
        asked: list[int] = []

        def tick() -> int:
            nonlocal now_ns
            now_ns += 40_000_000
            return now_ns

        monkeypatch.setattr(node_app.time, "time_ns", tick)
        clock = EventClock(START_NS, 10**18, 2.0)
        waited = node_app._wait
        monkeypatch.setattr(node_app, "_wait", lambda *arguments: (waited(*arguments), asked.append(now_ns))[0])
        with Server(answer="ack") as server:
            summary = replay_to_server(player(wav), server.endpoint, clock=clock, stopping=never, patience_s=20.0)
        assert (summary.detections, summary.problem) == (2, "")
        # 32 blocks of 50 ms: block k is complete at 50 (k + 1) ms of the recording, 25 (k + 1) ms of wall time.
        assert len(asked) == 32
        assert all(at_ns - 10**18 >= 25_000_000 * (index + 1) for index, at_ns in enumerate(asked))

    def test_stop_ends_it_at_once(self, wav: Path) -> None:
        with Server(answer="ack") as server:
            clock = EventClock(START_NS, 4 * 10**18, 1.0)
            summary = replay_to_server(
                player(wav), server.endpoint, clock=clock, stopping=lambda: True, patience_s=20.0
            )
        assert (summary.stopped, summary.samples) == (True, 0)

    def test_stop_with_detections_only_in_memory_is_a_problem(self, wav: Path) -> None:
        stopping = iter([False] * 40 + [True] * 100)
        with Server(answer="silence") as server:
            summary = replay_to_server(
                player(wav), server.endpoint, clock=None, stopping=lambda: next(stopping), patience_s=20.0
            )
        assert summary.stopped
        assert summary.problem.startswith("2 detections are not acknowledged by the server: ")


def config_text(endpoint: str, more: str = "") -> str:
    return (
        f'[node]\nid = "roof-1"\nserver = "{endpoint}"\nspool = "roof-1.db"\nheartbeat_interval_s = 0.1\n{more}'
        f'\n[[sources]]\nfile = "a.wav"\nstart_utc = "{START}"\nclock_state = "pps"\n'
        '\n[[sources]]\nfile = "b.wav"\nstart_utc = "2018-12-19T00:50:26Z"\n'
    )


@pytest.fixture
def folder(wav: Path, tmp_path: Path) -> Path:
    assert wav.parent == tmp_path
    write_shots(tmp_path / "b.wav", (0.4,), 1.0, seed=2)
    return tmp_path


def write_config(folder: Path, endpoint: str, more: str = "") -> Path:
    path = folder / "node.toml"
    path.write_text(config_text(endpoint, more))
    return path


class TestRunNode:
    def test_two_files_in_order_and_nothing_left(self, folder: Path) -> None:
        with Server(answer="ack") as server:
            config = load_node_config(write_config(folder, server.endpoint))
            summary = run_node(config, until_done=True, stopping=never)
            again = run_node(config, until_done=True, stopping=never)
        assert (summary.files, summary.detections, summary.unacked, summary.problem) == (2, 3, 0, "")
        assert again.detections == 3
        found = server.detections()
        # The second run says the very same things again: the server knows them by their identity.
        assert {encode(item) for item in found[:3]} == {encode(item) for item in found[3:]}
        assert len({item.uid for item in found}) == 3
        assert [item.clock_state for item in found[:3]] == [ClockState.PPS, ClockState.PPS, ClockState.NTP]

    def test_what_is_not_acknowledged_waits_in_the_spool(self, folder: Path) -> None:
        with Server(answer="silence") as server:
            config = load_node_config(write_config(folder, server.endpoint))
            stopping = iter([False] * 55 + [True] * 100)
            summary = run_node(config, until_done=False, stopping=lambda: next(stopping))
        assert summary.stopped
        assert (summary.unacked, summary.problem) == (3, "")
        with DiskSpool(folder / "roof-1.db") as spool:
            assert spool.counts().unacked == 3

    def test_a_damaged_spool_is_moved_aside_and_said(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        (folder / "roof-1.db").write_bytes(bytes(4096))
        with Server(answer="ack") as server:
            summary = run_node(load_node_config(write_config(folder, server.endpoint)), until_done=True, stopping=never)
        assert (summary.detections, summary.unacked, summary.problem) == (3, 0, "")
        assert (summary.damaged_spools, summary.dropped_detections) == (1, 0)
        assert (folder / "roof-1.db.damaged-1").read_bytes() == bytes(4096)
        event = json.loads(capsys.readouterr().err.splitlines()[0])
        assert (event["event"], event["problem"], event["in_memory"]) == ("spool", "", 0)
        assert "it was moved to roof-1.db.damaged-1, 0 waiting detections were read from it" in event["notice"]

    def test_detections_that_only_memory_holds_at_the_end_are_a_problem(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def full(path: Path, _: object) -> None:
            raise diskspool.DiskFullError(f"spool {path}: the disk is full")

        monkeypatch.setattr(diskspool, "SpoolFile", full)
        with Server(answer="silence") as server:
            config = load_node_config(write_config(folder, server.endpoint))
            stopping = iter([False] * 55 + [True] * 100)
            summary = run_node(config, until_done=False, stopping=lambda: next(stopping))
        assert summary.problem == (
            f"3 detections are in memory only and end with the process; spool {folder / 'roof-1.db'}: the disk is full"
        )
        assert json.loads(capsys.readouterr().err.splitlines()[0])["problem"].endswith("the disk is full")

    def test_file_that_breaks_does_not_stop_the_node(self, folder: Path) -> None:
        sound, _ = soundfile.read(folder / "a.wav", dtype="float32")
        sound[9_001] = np.inf
        soundfile.write(folder / "a.wav", sound, RATE_HZ, subtype="FLOAT")
        with Server(answer="ack") as server:
            summary = run_node(load_node_config(write_config(folder, server.endpoint)), until_done=True, stopping=never)
        # One shot before the bad sample, one in the second file; the one after it is lost with the file.
        assert [item.clock_state for item in server.detections()] == [ClockState.PPS, ClockState.NTP]
        assert summary.unacked == 0
        assert re.search(r"a.wav: samples: sample 9001 is inf, expected a finite number", summary.problem)

    def test_without_sources_readable_it_does_not_start(self, folder: Path) -> None:
        (folder / "b.wav").unlink()
        with pytest.raises(AudioError, match=r"b.wav: cannot read the file"):
            run_node(load_node_config(write_config(folder, "tcp://127.0.0.1:1")), until_done=True, stopping=never)


class TestCheck:
    def statuses(self, folder: Path, endpoint: str, more: str = "") -> dict[str, tuple[CheckStatus, str]]:
        checks = check_node(load_node_config(write_config(folder, endpoint, more)))
        return {item.name: (item.status, item.message) for item in checks}

    def test_all_is_well(self, folder: Path) -> None:
        with Server(answer="ack") as server:
            found = self.statuses(folder, server.endpoint, "full_scale_db_spl = 120.0\n")
        assert list(found) == ["config", "sources", "sample_rate", "clock", "calibration", "spool", "keys", "server"]
        assert {status for status, _ in found.values()} == {CheckStatus.OK}
        assert not (folder / "roof-1.db").exists()

    def test_keys(self, folder: Path) -> None:
        assert self.statuses(folder, "tcp://nowhere")["keys"] == (
            CheckStatus.WARN,
            "none: what is sent can be read and forged on its way; give node.key_file and node.server_key",
        )
        public, secret = (half.decode() for half in zmq.curve_keypair())
        file = folder / "roof-1.key_secret"
        file.write_text(f'metadata\ncurve\n    public-key = "{public}"\n    secret-key = "{secret}"\n')
        file.chmod(0o640)
        more = f'key_file = "roof-1.key_secret"\nserver_key = "{public}"\n'
        status, message = self.statuses(folder, "tcp://nowhere", more)["keys"]
        assert status is CheckStatus.FAIL
        assert f"the key can be read by others (mode 0640); run: chmod 600 {file}" in message
        file.chmod(0o600)
        found = self.statuses(folder, "tcp://nowhere", more)["keys"]
        assert found == (CheckStatus.OK, f"this node is {public}; the server's key is pinned, with no successor")
        more += f'server_next_key = "{public}"\n'
        assert self.statuses(folder, "tcp://nowhere", more)["keys"][1].endswith("with a successor")
        assert secret not in str(found)

    def test_nobody_there(self, folder: Path) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
            status, message = self.statuses(folder, endpoint)["server"]
        assert status is CheckStatus.FAIL
        assert message.startswith(f"{endpoint} is not reached (")
        assert message.endswith("is the server running, is the address right?")

    def test_somebody_else_there(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:

            def greet() -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

            other = threading.Thread(target=greet)
            other.start()
            status, message = self.statuses(folder, f"tcp://127.0.0.1:{listener.getsockname()[1]}")["server"]
            other.join()
        assert status is CheckStatus.FAIL
        assert "answers, but not as a Shotline server" in message

    def test_endpoint_without_port_and_local_endpoint(self, folder: Path) -> None:
        assert "no host and port in it" in self.statuses(folder, "tcp://nowhere")["server"][1]
        assert self.statuses(folder, f"ipc://{folder}/none.ipc")["server"][0] is CheckStatus.FAIL

    def test_file_missing(self, folder: Path) -> None:
        (folder / "b.wav").unlink()
        status, message = self.statuses(folder, "tcp://nowhere")["sources"]
        assert status is CheckStatus.FAIL
        assert "b.wav: cannot read the file" in message

    def test_files_overlap(self, folder: Path) -> None:
        path = write_config(folder, "tcp://nowhere")
        path.write_text(path.read_text().replace("00:50:26", "00:49:27"))
        found = {item.name: item for item in check_node(load_node_config(path))}
        assert found["sources"].status is CheckStatus.FAIL
        assert "before a.wav ends" in found["sources"].message

    def test_clock_not_set(self, folder: Path) -> None:
        path = write_config(folder, "tcp://nowhere")
        path.write_text(path.read_text().replace(f'start_utc = "{START}"\n', ""))
        found = {item.name: item for item in check_node(load_node_config(path))}["clock"]
        assert found.status is CheckStatus.FAIL
        assert found.message.startswith("the clock is not set: no start time for a.wav")
        assert found.numbers == {"untimed_files": 1}

    @pytest.mark.parametrize(
        ("rate_hz", "status", "words"),
        [(6_000, CheckStatus.FAIL, "6000 Hz is too low"), (48_000, CheckStatus.WARN, "differ: 12000, 48000 Hz")],
    )
    def test_sample_rates(self, folder: Path, rate_hz: int, status: CheckStatus, words: str) -> None:
        soundfile.write(folder / "b.wav", np.zeros(1_000), rate_hz)
        found = self.statuses(folder, "tcp://nowhere")["sample_rate"]
        assert found[0] is status
        assert words in found[1]

    def test_no_rate_known(self, folder: Path) -> None:
        (folder / "a.wav").unlink()
        (folder / "b.wav").unlink()
        assert self.statuses(folder, "tcp://nowhere")["sample_rate"][0] is CheckStatus.FAIL

    def test_uncalibrated_and_memory_only_are_warnings(self, folder: Path) -> None:
        path = write_config(folder, "tcp://nowhere")
        path.write_text(path.read_text().replace('spool = "roof-1.db"\n', ""))
        found = {item.name: item.status for item in check_node(load_node_config(path))}
        assert (found["calibration"], found["spool"]) == (CheckStatus.WARN, CheckStatus.WARN)

    def test_spool_says_what_waits_and_what_it_lost(self, folder: Path) -> None:
        config = load_node_config(write_config(folder, "tcp://127.0.0.1:1"))
        app = FilePlayer(profile_from_config(config), sources_from_config(config))
        heard = next(item for block in app.detections(lambda _: True) for item in block)
        path = folder / "roof-1.db"
        for most_rows, waiting in ((10, 3), (10, 10), (4, 4)):
            with DiskSpool(path, SpoolLimits(most_rows=most_rows)) as spool:
                for sequence in range(waiting):
                    spool.append(msgspec.structs.replace(heard, sequence=sequence + 100 * waiting))
            found = {item.name: item for item in check_node(config)}["spool"]
            assert found.numbers["waiting"] == waiting
            if waiting == 3:
                assert (found.status, found.message) == (
                    CheckStatus.OK,
                    f"{path} can be written, 3 detections wait",
                )
        assert found.status is CheckStatus.WARN
        assert (
            found.message == f"{path} has dropped 13 detections for want of room and was found damaged 0 times; 4 wait"
        )
        path.write_bytes(b"\xff" * 4096)
        found = {item.name: item for item in check_node(config)}["spool"]
        assert found.status is CheckStatus.WARN
        assert "at its next start the node sets a damaged one aside" in found.message

    def test_spool_folder_missing(self, folder: Path) -> None:
        path = write_config(folder, "tcp://nowhere")
        path.write_text(path.read_text().replace("roof-1.db", "none/roof-1.db"))
        found = {item.name: item for item in check_node(load_node_config(path))}["spool"]
        assert found.status is CheckStatus.FAIL
        assert "none does not exist; create it" in found.message


class TestCommands:
    def call(self, *arguments: str, code: int = 0) -> str:
        done = CliRunner().invoke(commands, list(arguments))
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == code, done.output
        return done.output

    def test_replay_to_file_in_words(self, wav: Path, tmp_path: Path) -> None:
        said = self.call("replay", str(wav), "--out", str(tmp_path / "o"), "--start-utc", START, "--node", "roof-1")
        assert said == "roof-1: 1.6 s of sound in 1 files, 2 onsets, 2 detections\n"
        assert [item.node for item in detections_in(tmp_path / "o")] == ["roof-1"] * 2

    def test_replay_says_that_the_clock_is_not_set(self, wav: Path, tmp_path: Path) -> None:
        said = self.call("replay", str(wav), "--out", str(tmp_path / "o"))
        assert "The clock is not set" in said

    def test_replay_as_json(self, wav: Path, tmp_path: Path) -> None:
        said = json.loads(self.call("replay", str(wav), "--out", str(tmp_path / "o"), "--start-utc", START, "--json"))
        assert (said["detections"], said["clock_state"], said["problem"]) == (2, "ntp", "")

    def test_replay_options_reach_the_detections(self, wav: Path, tmp_path: Path) -> None:
        options = ("--full-scale-db-spl", "120", "--clock-state", "pps", "--sigma-ms", "5", "--channel", "1")
        self.call("replay", str(wav), "--out", str(tmp_path / "o"), "--start-utc", START, *options)
        found = detections_in(tmp_path / "o")[0]
        assert found.level_reference == "db_spl"
        assert found.clock_state is ClockState.PPS
        assert found.arrival_sigma_ns >= 5_000_000

    def test_replay_to_server_at_a_pace(self, wav: Path) -> None:
        with Server(answer="ack") as server:
            options = ("--pace", "1000", "--event-clock", START, "2020-01-01T00:00:00Z", "--json")
            said = self.call("replay", str(wav), "--server", server.endpoint, "--start-utc", START, *options)
            self.call("replay", str(wav), "--server", server.endpoint, "--start-utc", START, "--pace", "1000")
        assert json.loads(said)["unacked"] == 0
        assert len(server.detections()) == 4

    def test_replay_to_a_server_that_says_nothing_is_a_failure(self, wav: Path) -> None:
        with Server(answer="silence") as server:
            said = self.call("replay", str(wav), "--server", server.endpoint, "--patience-s", "0.3", code=1)
        assert "2 detections are not acknowledged" in said

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), "either --out FILE or --server ENDPOINT"),
            (("--out", "x", "--server", "tcp://a:1"), "either --out FILE or --server ENDPOINT"),
            (("--out", "x", "--pace", "1"), "--pace and --event-clock are for --server"),
            (("--server", "tcp://a:1", "--event-clock", START, START), "--event-clock needs --pace"),
            (("--server", "tcp://a:1", "--pace", "1", "--event-clock", START, START), "needs --start-utc"),
            (("--out", "x", "--clock-state", "sundial"), "'sundial', expected one of ntp, pps, pps_audio, holdover"),
            (("--out", "x", "--start-utc", "noon"), "--start-utc: 'noon' is not a UTC time"),
        ],
    )
    def test_replay_mistakes(self, wav: Path, arguments: tuple[str, ...], message: str) -> None:
        with pytest.raises(InputError, match=re.escape(message)):
            self.call("replay", str(wav), *arguments)

    def test_run_until_done(self, folder: Path) -> None:
        with Server(answer="ack") as server:
            path = write_config(folder, server.endpoint)
            said = json.loads(self.call("run", "--config", str(path), "--until-done", "--json"))
        assert (said["files"], said["detections"], said["unacked"]) == (2, 3, 0)

    def test_check_in_words_and_json(self, folder: Path) -> None:
        with Server(answer="ack") as server:
            path = write_config(folder, server.endpoint)
            said = self.call("check", "--config", str(path))
            found = json.loads(self.call("check", "--config", str(path), "--json"))
        assert "ok    server       tcp://127.0.0.1:" in said
        assert found["status"] == "warn"
        assert [item["name"] for item in found["checks"]][:2] == ["config", "sources"]

    def test_check_of_a_broken_configuration(self, folder: Path) -> None:
        path = write_config(folder, "http://x")
        said = self.call("check", "--config", str(path), code=1)
        assert said.startswith(f"fail  config       {path}:3: node.server: ")

    def test_run_of_a_broken_configuration(self, folder: Path) -> None:
        with pytest.raises(ConfigError, match=r"node.toml:3: node.server: "):
            self.call("run", "--config", str(write_config(folder, "http://x")))


def test_signals_are_noted_and_handlers_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stopping:
        assert not stopping()
        os.kill(os.getpid(), signal.SIGTERM)
        assert stopping()
    assert signal.getsignal(signal.SIGTERM) is before


@contextmanager
def node_process(config: Path) -> Iterator[subprocess.Popen[str]]:
    code = "from sensor_node.cli import app; app()"
    command = [sys.executable, "-c", code, "run", "--config", str(config), "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.processes
def test_sigterm_ends_a_running_node_cleanly(folder: Path) -> None:
    with Server(answer="ack") as server, node_process(write_config(folder, server.endpoint)) as process:
        while len(server.detections()) < 3:
            assert server.heard.wait(30.0), process.poll()
            server.heard.clear()
        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=20.0)
    assert process.returncode == 0
    assert json.loads(said)["stopped"] is True


def test_node_path_is_light_and_help_is_quick() -> None:
    code = (
        "import sys; import sensor_node.cli; heavy = {'numpy', 'zmq', 'soundfile', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; import sensor_node.app; assert 'scipy' not in sys.modules; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60.0)
