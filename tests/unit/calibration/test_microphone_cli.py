"""``shotline calibrate microphone level|collect|relative|response|clipping``: from sounds and tables to records."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from microphone_samples import RATE_HZ, bursts, calibrator_tone, write_sound
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey
from fusion_server.history import History, NodeStatus, StoredDetection
from shotline.domain import ClockState
from shotline.errors import AudioError, InputError
from shotline.messages import Detection, LevelReference, encode
from shotline.timebase import format_utc, parse_utc
from shotline_calibration.cli import app
from shotline_calibration.microphone.noisefiles import collect_noise, read_history_noise, read_noise_table
from shotline_calibration.microphone.result import LevelResult
from shotline_calibration.recordbook import RecordBook

RUN = CliRunner()
START_NS = parse_utc("2026-11-01T00:00:00Z")
MINUTE_NS = 60 * 10**9


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    SigningKey.new(tmp_path / "k")
    return ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]


def run(*words: object, code: int = 0) -> str:
    done = RUN.invoke(app, ["microphone", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def tones(folder: Path, count: int = 3, **changes: float) -> list[Path]:
    name = changes.get("level_db_spl", 94.0)
    return [
        write_sound(folder / f"{name}-{index}.wav", calibrator_tone(np.random.default_rng(index), **changes))
        for index in range(count)
    ]


def test_from_insertions_to_a_record_and_the_nodes_setting(kept: list[str], tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    words = ["level", *tones(tmp_path), "--node", "roof-1", "--level-db", 94.0, "--class", "1"]
    louder = ["--second", tones(tmp_path, 1, level_db_spl=114.0)[0], "--second-level-db", 114.0]
    text = run(*words, *louder, "--plot", plot, "--instrument", "CAL200;17;2026-03-01", *kept)
    assert "full scale   123.00 dB SPL peak" in text
    assert "linear       the second level reads" in text
    assert "look at" not in text
    assert "insertions" in plot.read_text(encoding="utf-8")
    (signed,) = RecordBook.read(tmp_path / "records").records
    found = signed.record.result
    assert isinstance(found, LevelResult)
    assert found.full_scale_db_spl == pytest.approx(123.0, abs=0.01)
    assert len(signed.record.inputs) == 4
    applied = RUN.invoke(
        app, ["apply", "roof-1", "--records", str(tmp_path / "records")], catch_exceptions=False
    ).stdout
    table = tomllib.loads(applied)
    assert table["node"]["full_scale_db_spl"] == pytest.approx(123.0, abs=0.01)
    assert table["node"]["calibration_id"] == signed.id
    said = json.loads(run(*words, "--json"))
    assert said["record"] is None
    assert said["result"]["insertions"][0]["frequency_hz"] == pytest.approx(1_000.0, abs=0.01)


def test_what_level_refuses(tmp_path: Path) -> None:
    silent = write_sound(tmp_path / "silent.wav", np.zeros(10 * RATE_HZ))
    given = ["--node", "a", "--level-db", 94.0, "--class", "2"]
    with pytest.raises(InputError, match=r"silent\.wav: no tone, silent"):
        run("level", silent, *given)
    with pytest.raises(InputError, match="--second and --second-level-db go together"):
        run("level", silent, *given, "--second-level-db", 114.0)
    slow = write_sound(tmp_path / "slow.wav", np.zeros(10), rate_hz=4_000)
    with pytest.raises(AudioError, match="4000 Hz, expected 8000 Hz or more"):
        run("level", slow, *given)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """Return a server's configuration with 16 nodes, and write five nights of noise in which n05 is 15 dB too quiet."""
    rng = np.random.default_rng(1)
    config = tmp_path / "server.toml"
    nodes = [f"n{index:02d}" for index in range(16)]
    config.write_text(
        "".join(
            f'[[nodes]]\nid = "{node}"\nx_m = {300.0 * (index % 4)}\ny_m = {300.0 * (index // 4)}\nz_m = 5.0\n'
            for index, node in enumerate(nodes)
        )
    )
    place_db = 1.5 * rng.standard_normal(16)
    with (tmp_path / "noise.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["utc", "node", "noise_level_db"])
        for minute in range(0, 5 * 1_440, 5):
            if minute % 1_440 >= 240:
                continue
            shared = -70.0 + 3.0 * np.sin(minute / 400.0)
            for index, node in enumerate(nodes):
                level_db = shared + place_db[index] - 15.0 * (index == 5) + 0.3 * rng.standard_normal()
                writer.writerow([format_utc(START_NS + minute * MINUTE_NS, digits=0), node, f"{level_db:.2f}"])
    return config


def test_a_quiet_microphone_is_found_and_corrected(network: Path, kept: list[str], tmp_path: Path) -> None:
    table, plot = tmp_path / "noise.csv", tmp_path / "plot.svg"
    text = run("relative", table, "--config", network, "--plot", plot, "--records", tmp_path / "records")
    flagged = [line for line in text.splitlines() if "quieter than the others" in line or "louder" in line]
    assert [line.split()[0] for line in flagged] == ["n05"]
    assert "levels" in plot.read_text(encoding="utf-8")
    said = json.loads(run("relative", table, "--config", network, "--json", "--records", tmp_path / "records"))
    (broken,) = [node for node in said["nodes"] if node["node"] == "n05"]
    words = ["relative", table, "--config", network, "--node", "n05", "--full-scale-db-spl", 123.0, "--correct"]
    text = run(*words, *kept)
    assert "in place of 123.0 dB SPL" in text
    (signed,) = RecordBook.read(tmp_path / "records").records
    settings = signed.record.result.node_settings("n05")["node"]
    assert settings["full_scale_db_spl"] == pytest.approx(123.0 - broken["gain_db"], abs=0.01)
    since = run("relative", table, "--config", network, "--before", table, "--records", tmp_path / "none")
    # Nothing changed since the same nights.
    assert since.count("as the others") == 16
    with pytest.raises(InputError, match="expected tables, or --history"):
        run("relative", "--config", network)
    with pytest.raises(InputError, match="no table of noise levels, and no --history"):
        run("relative", table, "--config", network, "--before-from", "2026-11-01T00:00:00Z")
    with pytest.raises(InputError, match="a record is of one node; name it"):
        run("relative", table, "--config", network, *kept)
    with pytest.raises(InputError, match="'n99' was not heard often enough at night"):
        run("relative", table, "--config", network, "--node", "n99")


def test_noise_comes_from_detections_too(network: Path, tmp_path: Path) -> None:
    path = tmp_path / "history.sqlite"
    items = []
    for minute in range(0, 5 * 1_440, 10):
        for index in range(16):
            time_ns = START_NS + minute * MINUTE_NS + index
            detection = Detection(
                node=f"n{index:02d}",
                boot=1,
                sequence=minute,
                arrival_time_ns=time_ns,
                arrival_sigma_ns=10_000,
                clock_state=ClockState.PPS,
                probabilities_bp=(),
                peak_level_db=90.0 - 15.0 * (index == 5),
                level_reference=LevelReference.DB_SPL if index else LevelReference.DBFS,
                snr_db=50.0,
                rise_time_s=0.001,
                model_id="m",
                calibration_id=None,
                onset_sample=minute,
                clipped=False,
            )
            items.append(StoredDetection(detection, encode(detection), time_ns))
    with History.open(path) as store:
        store.store(items)
    found = read_history_noise(str(path), since_ns=START_NS, until_ns=START_NS + 9_000 * MINUTE_NS)
    # The one that is not calibrated cannot be compared.
    assert len(found) == 15
    assert set(found["n05"].level_db) == {25.0}
    span = ["--from", "2026-11-01T00:00:00Z", "--to", "2026-11-06T00:00:00Z"]
    text = run("relative", "--config", network, "--history", path, *span, "--records", tmp_path / "none")
    assert [line.split()[0] for line in text.splitlines() if "quieter" in line] == ["n05"]
    with pytest.raises(InputError, match="has no detection in that time"):
        read_history_noise(str(path), since_ns=0, until_ns=1)
    with pytest.raises(InputError, match="no such file"):
        read_history_noise(str(tmp_path / "missing"), since_ns=0, until_ns=1)


def test_heartbeats_are_noted_each_once(tmp_path: Path) -> None:
    path, now_s = tmp_path / "history.sqlite", [0.0]

    def beat(store: History, second: float) -> None:
        beat_ns = START_NS + round(second * 1e9)
        status = NodeStatus(
            "a", boot=1, last_heard_ns=beat_ns, heartbeat_ns=beat_ns, noise_level_db=-60.0 - second / 100.0
        )
        store.touch_node(status)

    with History.open(path) as store:
        beat(store, 0.0)

        def wait_s(duration_s: float) -> None:
            now_s[0] += duration_s
            if now_s[0] != 120.0:
                beat(store, now_s[0])

        told: list[str] = []
        count = collect_noise(
            str(path), tmp_path / "noise.csv", hours=0.25, every_s=60.0, say=told.append,
            monotonic_s=lambda: now_s[0], wait_s=wait_s,
        )  # fmt: skip
    # Fifteen minutes, a look each minute, one without a new heartbeat.
    assert count == 15
    found = read_noise_table([tmp_path / "noise.csv"])
    assert found["a"].level_db[:3].tolist() == [-60.0, -60.6, -61.8]
    assert told == ["0.2 of 0.2 hours, 10 readings of 1 nodes"]
    with pytest.raises(InputError, match="is there already"):
        collect_noise(str(path), tmp_path / "noise.csv", hours=1.0, every_s=60.0, say=told.append)
    with pytest.raises(InputError, match="no such file"):
        run("collect", tmp_path / "missing", tmp_path / "x.csv")


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("utc,node\n")
    with pytest.raises(InputError, match="has no column noise_level_db; expected utc, node, noise_level_db"):
        read_noise_table([table])
    table.write_text("utc,node,noise_level_db\n2026-11-01T00:00:00Z,a,loud\n")
    with pytest.raises(InputError, match=r"t\.csv:2: node 'a' with 'loud' dB"):
        read_noise_table([table])
    table.write_text(
        "utc,node,noise_level_db\n2026-11-01T00:00:00Z,a,-60\n2026-11-01T00:00:00Z,b,-61\n2026-11-01T00:00:00Z,c,38\n"
    )
    assert sorted(read_noise_table([table])) == ["a", "b"]


def test_response_and_its_tables(kept: list[str], tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    sound = 0.05 * rng.standard_normal(12 * RATE_HZ)
    one, other = write_sound(tmp_path / "ref.wav", sound), write_sound(tmp_path / "dut.wav", 0.5 * sound)
    plot = tmp_path / "plot.svg"
    text = run("response", one, other, "--node", "a", "--plot", plot, *kept)
    assert "verdict      inside" in text
    assert "1000 Hz   +0.00 dB" in text
    assert "bands" in plot.read_text(encoding="utf-8")
    limits, response = tmp_path / "limits.csv", tmp_path / "response.csv"
    limits.write_text("lower_hz,upper_hz,low_db,high_db\n5000,8000,-1,1\n")
    response.write_text("frequency_hz,response_db\n100,0\n4000,0\n5000,6\n20000,6\n")
    text = run("response", one, other, "--node", "a", "--limits", limits, "--reference-response", response)
    assert "verdict      outside" in text
    limits.write_text("lower_hz,upper_hz,low_db,high_db\n5000,8000,1,-1\n")
    with pytest.raises(InputError, match="expected lower_hz under upper_hz"):
        run("response", one, other, "--node", "a", "--limits", limits)
    limits.write_text("lower_hz,upper_hz,low_db,high_db\n")
    with pytest.raises(InputError, match="has no line below its names"):
        run("response", one, other, "--node", "a", "--limits", limits)
    response.write_text("frequency_hz,response_db\n0,0\n")
    with pytest.raises(InputError, match="0 Hz is not over 0"):
        run("response", one, other, "--node", "a", "--reference-response", response)
    half = write_sound(tmp_path / "half.wav", sound[::2], rate_hz=RATE_HZ // 2)
    with pytest.raises(InputError, match=r"half\.wav: no response, too short: 6\.0 s"):
        run("response", one, write_sound(half, sound[: 6 * RATE_HZ : 2], rate_hz=RATE_HZ // 2), "--node", "a")


def test_clipping_in_decibels_of_pressure(kept: list[str], tmp_path: Path) -> None:
    path = write_sound(tmp_path / "loud.wav", bursts(np.random.default_rng(1), ceiling=0.6, floor=-0.6))
    text = run("clipping", path, "--node", "roof-1", "--records", tmp_path / "records")
    assert "ceiling      -4.4" in text
    assert "dB SPL" not in text
    run("level", *tones(tmp_path), "--node", "roof-1", "--level-db", 94.0, "--class", "1", *kept)
    plot = tmp_path / "plot.svg"
    text = run("clipping", path, "--node", "roof-1", "--plot", plot, *kept)
    assert "118.6 ± 0.4 dB SPL peak: something before the converter" in text
    assert "histogram" in plot.read_text(encoding="utf-8")
    time_s = np.arange(20 * RATE_HZ) / RATE_HZ
    rising = np.clip(10.0 ** (np.linspace(-30.0, 6.0, len(time_s)) / 20.0) * np.sin(6_000.0 * time_s), -0.8, 0.8)
    growing = write_sound(tmp_path / "rising.wav", rising)
    given = ["--tone-hz", 6_000.0 / (2.0 * np.pi), "--full-scale-db-spl", 123.0, "--json"]
    said = json.loads(run("clipping", growing, "--node", "b", *given))["result"]
    assert [row["thd_percent"] for row in said["distortion"]] == [1.0, 3.0, 10.0]
    assert said["clip_db_spl"] == pytest.approx(123.0 - 1.94, abs=0.02)
    with pytest.raises(AudioError, match="expected one rate"):
        run("clipping", path, write_sound(tmp_path / "r.wav", np.ones(9), rate_hz=8_000), "--node", "a")
