"""``shotline calibrate clock listen|stability|latency|sound|hardware``: from logs to records, settings and plots."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clock_samples import clock_log_lines, oscillator, tracking_log
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey
from sensor_node.capture import CapturedSound
from sensor_node.chrony import Tracking
from sensor_node.config import load_node_config
from sensor_node.ring import BlockRecord
from shotline.errors import InputError
from shotline_calibration.cli import app
from shotline_calibration.clock.listen import write_clock_log
from shotline_calibration.clock.reading import read_clock_log
from shotline_calibration.clock.result import ClockResult, LatencyResult
from shotline_calibration.recordbook import RecordBook

RUN = CliRunner()
RATE_HZ = 8_000
NODE = """
[node]
id = "roof-1"
server = "tcp://127.0.0.1:5570"
[capture]
device = "hw:1"
sample_rate_hz = 8000
{pps}
"""


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    SigningKey.new(tmp_path / "k")
    return ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]


def run(*words: object, code: int = 0) -> str:
    done = RUN.invoke(app, [*(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "clock.jsonl"
    path.write_text("\n".join(clock_log_lines(np.random.default_rng(1), minutes=12.0, jitter_s=20e-6)) + "\n")
    return path


def test_from_a_log_to_stability_and_its_record(log: Path, kept: list[str], tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    text = run("clock", "stability", log, "--node", "roof-1", "--plot", plot, *kept)
    assert "clock        sample clock of hw:1" in text
    assert "frequency    +30.0" in text
    assert "board        39 to 42 °C meanwhile" in text
    assert "to 1 ms (1 sigma) as in the log" in text
    assert "white phase" in text
    picture = plot.read_text(encoding="utf-8")
    assert all(name in picture for name in ("residuals", "adev", "gaps"))
    (signed,) = RecordBook.read(tmp_path / "records").records
    found = signed.record.result
    assert isinstance(found, ClockResult)
    assert signed.record.kind == "clock"
    # Edges to 0.005 samples of 48 kHz.
    assert found.residual_rms_s == pytest.approx(0.005 / 48_000, rel=0.1)
    assert found.node_settings("roof-1") == {}


def test_a_clock_that_is_steered_has_no_holdover(tmp_path: Path) -> None:
    path = tmp_path / "refclocks.log"
    rng = np.random.default_rng(3)
    rows = [
        f"2026-11-30 14:{second // 60:02d}:{second % 60:02d}.0 PPS 7 N 1 {2e-6 * rng.standard_normal(): .6e} 0 1e-6"
        for second in range(600)
    ]
    path.write_text("   Date (UTC) Time         Refid  DP L P  Raw offset   Cooked offset\n" + "\n".join(rows) + "\n")
    text = run("clock", "stability", path, "--node", "a", "--plot", tmp_path / "p.png")
    assert "holdover     to 1 ms: not told by a clock that is steered" in text
    said = json.loads(run("clock", "stability", path, "--node", "a", "--json"))
    assert said["record"] is None
    assert said["result"]["residual_rms_s"] == pytest.approx(2e-6, rel=0.15)


def test_the_free_clock_comes_from_tracking(tmp_path: Path) -> None:
    path = tmp_path / "tracking.log"
    path.write_text(tracking_log(oscillator(12_000, np.random.default_rng(5), offset=-8e-6)))
    said = json.loads(run("clock", "stability", path, "--node", "a", "--json"))["result"]
    assert said["what"] == "system clock, uncorrected"
    # The walk of 0.02 ppm a root second alone makes 1 ms in 32 minutes.
    assert said["holdover_1ms_s"] == pytest.approx(1_957.0, rel=0.35)


def test_delay_record_and_what_the_node_takes(log: Path, kept: list[str], tmp_path: Path) -> None:
    plot = tmp_path / "delay.svg"
    text = run("clock", "latency", log, "--node", "roof-1", "--plot", plot, *kept)
    assert "hardware     i2s-dma" in text
    assert "shotline calibrate apply roof-1" in text
    assert "readings" in plot.read_text(encoding="utf-8")
    (signed,) = RecordBook.read(tmp_path / "records").records
    assert isinstance(signed.record.result, LatencyResult)
    assert signed.record.result.late_bias_us == pytest.approx(70.0, abs=15.0)
    lines = run("apply", "roof-1", "--records", tmp_path / "records")
    assert "[capture]" in lines
    assert f"late_bias_us = {round(signed.record.result.late_bias_us, 1)}" in lines
    table = run("clock", "hardware", "--records", tmp_path / "records")
    assert "usb-uac1     not measured" in table
    assert "us by records of 1 node" in table
    said = json.loads(run("clock", "hardware", "--records", tmp_path / "records", "--json"))
    assert said["records"][0]["spread_us"] is None
    assert json.loads(run("clock", "hardware", "--records", tmp_path / "none", "--json"))["records"] == []


def test_what_the_commands_refuse(log: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.jsonl"
    short.write_text("\n".join(clock_log_lines(np.random.default_rng(1), minutes=2.0)))
    with pytest.raises(InputError, match="no delay, too short"):
        run("clock", "latency", short, "--node", "a")
    span = ["--from", "2026-12-01T10:00:00Z", "--to", "2026-12-01T11:00:00Z"]
    with pytest.raises(InputError, match="expected --beside NODE, or --distance-m"):
        run("clock", "sound", tmp_path / "x", "--node", "a", *span)
    with pytest.raises(InputError, match="no such file"):
        run("clock", "sound", tmp_path / "x", "--node", "a", "--beside", "b", *span)
    with pytest.raises(InputError, match=r"does not end in \.png"):
        run("clock", "stability", log, "--node", "a", "--plot", tmp_path / "x.txt")


class FakeCard:
    """A sound card of 8 kHz whose second channel hears a pulse each second."""

    def __init__(self, seconds: float) -> None:
        self.now_ns = 10**9
        self.first = 0
        self.most = round(seconds * RATE_HZ)
        self.opened = self.closed = False
        self.rng = np.random.default_rng(0)

    def monotonic_ns(self) -> int:
        return self.now_ns

    def utc_ns(self) -> int:
        return self.now_ns + 1_796_000_000_000_000_000

    def wait_s(self, duration_s: float) -> None:
        self.now_ns += round(duration_s * 1e9)

    def open(self) -> None:
        self.opened = True

    def close(self) -> None:
        self.closed = True

    def supervise(self, now_ns: int) -> None:
        del now_ns

    def poll(self) -> CapturedSound:
        count = 400
        at = (self.first + np.arange(count)) / RATE_HZ
        pulse = 0.5 * ((at % 1.0) < 0.1) + 1e-4 * self.rng.standard_normal(count)
        samples = np.stack([0.01 * self.rng.standard_normal(count), pulse]).astype(np.float32)
        record = BlockRecord(self.first, count, 10**9 + round(self.first / RATE_HZ * 1e9), False)
        self.first += count
        return CapturedSound(samples=samples, records=(record,), events=())


def test_listening_writes_what_can_be_read(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(NODE.format(pps="pps_channel = 2"))
    card = FakeCard(120.0)
    told: list[str] = []

    def unasked() -> Tracking:
        raise InputError("no chronyd here")

    counts = write_clock_log(
        load_node_config(config),
        tmp_path / "log",
        minutes=2.0,
        hardware="usb-uac1",
        say=told.append,
        capture=card,  # type: ignore[arg-type]
        tracking=unasked,
        monotonic_ns=card.monotonic_ns,
        utc_ns=card.utc_ns,
        wait_s=card.wait_s,
    )
    assert card.opened
    assert card.closed
    log = read_clock_log(tmp_path / "log")
    assert (log.node, log.hardware, log.sample_rate_hz) == ("roof-1", "usb-uac1", RATE_HZ)
    assert counts.stamps == 2_400
    assert len(log.pulses) == counts.pulses >= 110
    assert np.diff([pulse.sample for pulse in log.pulses]) == pytest.approx(RATE_HZ, abs=0.5)
    assert told[0].startswith("1 of 2 minutes: ")
    with pytest.raises(InputError, match="is there already"):
        write_clock_log(
            load_node_config(config),
            tmp_path / "log",
            minutes=1.0,
            say=told.append,
            capture=card,  # type: ignore[arg-type]
        )
    config.write_text(NODE.format(pps=""))
    with pytest.raises(InputError, match=r"needs \[capture\] with the channel of the pulse"):
        run("clock", "listen", tmp_path / "other", "--config", config)
