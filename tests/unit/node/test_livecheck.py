"""`shotline node check` with a sound card: cards that do as told, a chronyc that answers, a gpsd that speaks."""

from __future__ import annotations

import json
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from sensor_node.capture import CaptureSettings, InputDevice, OnBlock
from sensor_node.config import NodeConfig, load_node_config
from sensor_node.livecheck import CheckEdges
from sensor_node.nodecheck import check_node
from shotline.errors import EdgeError
from shotline.health import Check, CheckStatus

OK, WARN, FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
NS_PER_S = 1_000_000_000
UTC_NS = 1_545_180_566 * NS_PER_S
TRACKING = "50505300,PPS,1,{reference:.9f},0.0000001,0.0000002,0.0000003,1.5,0.01,0.02,0.000001,0.00001,16.0,{leap}"
NAMES = [
    "config", "capture", "microphone", "time", "disk", "temperature", "voltage", "cpu", "memory", "version", "model",
    "calibration", "spool", "keys", "server",
]  # fmt: skip


class Cards:
    """One card, and a clock that brings sound as it goes on."""

    def __init__(self) -> None:
        self.now_ns = 1_000 * NS_PER_S
        self.device = InputDevice(0, "Roof Mic: USB Audio (hw:1,0)", "ALSA", 2, 48_000.0)
        self.sample_rate_hz = 48_000.0
        self.latency_s = 0.04
        self.silent = False
        self.refusal: EdgeError | None = None
        self.make: Callable[[int], np.ndarray] = self.noise
        self.opened = self.closed = 0
        self.on_block: OnBlock | None = None
        self.rng = np.random.default_rng(1)

    def refresh(self) -> None: ...

    def inputs(self) -> list[InputDevice]:
        return [self.device]

    def open_input(self, device: InputDevice, settings: CaptureSettings, on_block: OnBlock) -> Cards:
        assert device is self.device
        self.channels = settings.channels
        if self.refusal is not None:
            raise self.refusal
        self.on_block = on_block
        self.opened += 1
        return self

    def abandon(self) -> None: ...

    def start(self) -> None: ...

    def is_active(self) -> bool:
        return True

    def close(self) -> None:
        self.closed += 1

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 50)):
            self.now_ns += 20_000_000
            if self.on_block is not None and not self.silent:
                frames = np.zeros((960, self.channels), dtype=np.int16)
                frames[:, -1] = self.make(960)
                self.on_block(frames, self.now_ns / NS_PER_S - 0.02, self.now_ns / NS_PER_S, False)

    def noise(self, count: int) -> np.ndarray:
        return np.rint(33.0 * self.rng.standard_normal(count)).astype(np.int16)


def tracking(leap: str = "Normal", age_s: float = 10.0) -> str:
    return TRACKING.format(reference=UTC_NS / NS_PER_S - age_s, leap=leap)


def chronyc(says: str) -> str:
    return json.dumps([sys.executable, "-c", f"print({says!r})"])


@pytest.fixture
def cards() -> Cards:
    return Cards()


def configured(folder: Path, *, says: str = tracking(), node: str = "", more: str = "") -> NodeConfig:
    path = folder / "node.toml"
    path.write_text(
        '[node]\nid = "roof-1"\nserver = "tcp://127.0.0.1:1"\nspool = "roof-1.db"\nfull_scale_db_spl = 120.0\n'
        f'calibration_id = "cal-7"\n{node}\n[capture]\ndevice = "Roof Mic"\nchannel = 2\n'
        f"[time]\nchronyc = {chronyc(says)}\n{more}"
    )
    return load_node_config(path)


def found(config: NodeConfig, cards: Cards) -> dict[str, Check]:
    # Only what is not asked for on a clock of its own is made: the board of the machine is read as it is.
    edges = CheckEdges(
        cards=cards, monotonic_ns=lambda: cards.now_ns, utc_ns=lambda: UTC_NS, wait_s=cards.wait, root=Path("/nowhere")
    )
    return {check.name: check for check in check_node(config, edges)}


def test_all_is_well_but_for_the_server(tmp_path: Path, cards: Cards) -> None:
    checks = found(configured(tmp_path), cards)
    assert list(checks) == NAMES
    assert {name for name, check in checks.items() if check.status is not OK} == {"server"}
    assert checks["config"].message == "node 'roof-1', sound card 'Roof Mic'"
    assert checks["capture"].message.startswith("Roof Mic: USB Audio (hw:1,0), ALSA grants 48000 Hz")
    # The quieter of two seconds, 33 of 32768 rms: -59.94 dBFS, known to 0.03 dB.
    assert checks["microphone"].message == "alive, noise floor -60.0 dBFS"
    assert checks["microphone"].numbers["seconds"] == 2
    assert checks["time"].message == "pps by PPS, known to 0.011 ms"
    assert checks["version"].message == "0.1.0"
    assert checks["model"].message == "impulse-cnn-2-nc"
    assert checks["calibration"].message == "cal-7: full scale is 120 dB SPL"
    assert (cards.opened, cards.closed) == (1, 1)


def test_a_dead_microphone(tmp_path: Path, cards: Cards) -> None:
    cards.make = lambda count: np.zeros(count, dtype=np.int16)
    check = found(configured(tmp_path), cards)["microphone"]
    assert check.status is FAIL
    assert check.message.startswith("nothing but zeros for 2.")


def test_what_the_card_says_at_its_start_is_not_judged(tmp_path: Path, cards: Cards) -> None:
    left = [11]

    def thump(count: int) -> np.ndarray:
        left[0] -= 1
        return np.full(count, 32_767, dtype=np.int16) if left[0] >= 0 else cards.noise(count)

    cards.make = thump
    assert found(configured(tmp_path), cards)["microphone"].status is OK


def test_a_card_that_says_nothing(tmp_path: Path, cards: Cards) -> None:
    cards.silent = True
    checks = found(configured(tmp_path), cards)
    assert checks["capture"].status is FAIL
    assert "no sound for" in checks["capture"].message
    assert checks["microphone"] == Check("microphone", FAIL, "not listened to; see capture")


def test_a_card_that_another_program_has(tmp_path: Path, cards: Cards) -> None:
    cards.refusal = EdgeError("cannot be opened")
    cards.refusal.__cause__ = OSError("Error opening InputStream: Device unavailable", -9985)
    checks = found(configured(tmp_path), cards)
    assert (checks["capture"].status, checks["microphone"].status) == (WARN, WARN)
    assert "another program has the sound card: the node itself, if it runs" in checks["capture"].message
    cards.refusal.__cause__ = None
    assert found(configured(tmp_path), cards)["capture"] == Check("capture", FAIL, "cannot be opened")


def test_no_such_card_and_another_rate(tmp_path: Path, cards: Cards) -> None:
    cards.device = InputDevice(0, "Webcam", "ALSA", 2, 48_000.0)
    assert "no input is called 'Roof Mic'" in found(configured(tmp_path), cards)["capture"].message
    cards.device = InputDevice(0, "Roof Mic", "ALSA", 2, 48_000.0)
    cards.sample_rate_hz = 44_100.0
    assert "grants 44100 Hz, 48000 Hz asked for" in found(configured(tmp_path), cards)["capture"].message


@pytest.mark.parametrize(
    ("says", "status", "words"),
    [
        (tracking("Not synchronised"), FAIL, "located: chronyd is not synchronised"),
        (tracking(age_s=70.0), WARN, "the pulse is lost and the clock coasts"),
        ("506 Cannot talk to daemon", FAIL, "located: chronyc -c tracking: "),
    ],
)
def test_time(tmp_path: Path, cards: Cards, says: str, status: CheckStatus, words: str) -> None:
    check = found(configured(tmp_path, says=says), cards)["time"]
    assert check.status is status
    assert words in check.message


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('[detector]\nmodel = "impulse-cnn-9"\n', "impulse-cnn-9"),
        ("[detector]\nreport_per_hour = 7.0\n", "has no threshold for 7 false alarms an hour"),
    ],
)
def test_a_classifier_that_cannot_be_used(tmp_path: Path, cards: Cards, more: str, words: str) -> None:
    check = found(configured(tmp_path, more=more), cards)["model"]
    assert check.status is FAIL
    assert words in check.message


def test_a_classifier_that_hears_higher_than_the_card(tmp_path: Path, cards: Cards) -> None:
    config = configured(tmp_path)
    assert config.capture is not None
    low = config.model_copy(update={"capture": config.capture.model_copy(update={"sample_rate_hz": 4_000})})
    check = found(low, cards)["model"]
    assert check.status is FAIL
    assert "4000" in check.message
    rules = low.model_copy(update={"detector": low.detector.model_copy(update={"model": "impulse-rules-1"})})
    assert found(rules, cards)["model"] == Check("model", OK, "impulse-rules-1")


@contextmanager
def gpsd(*lines: dict[str, object]) -> Iterator[int]:
    """Answer one client as gpsd does, and yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(b"".join(json.dumps(line).encode() + b"\r\n" for line in lines))
                connection.settimeout(30.0)
                while connection.recv(4096):
                    pass

        speaker = threading.Thread(target=speak)
        speaker.start()
        yield listener.getsockname()[1]
        speaker.join()


def test_gpsd(tmp_path: Path, cards: Cards) -> None:
    path = "/dev/ttyAMA0"
    said = (
        {"class": "VERSION", "release": "3.22", "proto_major": 3, "proto_minor": 14},
        {"class": "DEVICES", "devices": [{"path": path, "driver": "u-blox", "activated": "2026-11-30T12:00:00.000Z"}]},
        {"class": "SKY", "device": path, "uSat": 9, "nSat": 14},
        {"class": "TPV", "device": path, "mode": 3, "lat": 51.5, "lon": -0.1, "time": "2026-11-30T12:00:00.000Z"},
    )
    with gpsd(*said) as port:
        check = found(configured(tmp_path, more=f"[gpsd]\nport = {port}\n"), cards)["gps"]
    assert (check.status, check.message) == (OK, "3D fix, 9 satellites")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        check = found(configured(tmp_path, more=f"[gpsd]\nport = {port}\n"), cards)["gps"]
    assert (check.status, check.message) == (
        WARN, f"no gpsd at 127.0.0.1:{port}: Connection refused; is it running?"
    )  # fmt: skip


def test_without_spool_there_is_no_disk_to_look_at(tmp_path: Path, cards: Cards) -> None:
    config = configured(tmp_path)
    memory = config.model_copy(update={"node": config.node.model_copy(update={"spool": None})})
    checks = found(memory, cards)
    assert "disk" not in checks
    assert checks["spool"].status is WARN
