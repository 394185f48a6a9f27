"""The delay of a kind of hardware: by pulses, by sounds, and over the records of a network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from clock_samples import clock_log_lines
from typer.testing import CliRunner

from fusion_server.history import History, StoredDetection
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.messages import Detection, LevelReference, encode
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S
from shotline_calibration.cli import app
from shotline_calibration.clock.clocklog import parse_clock_log
from shotline_calibration.clock.describe import latency_result
from shotline_calibration.clock.hardware import delays_by_kind, shipped_hardware
from shotline_calibration.clock.heardsounds import lateness
from shotline_calibration.clock.latency import (
    Latency,
    NoLatency,
    NoLatencyReason,
    latency_by_pulses,
    latency_by_sound,
    pair_arrivals,
)
from shotline_calibration.clock.result import LatencyResult

START_NS = parse_utc("2026-12-01T10:00:00Z")


def by_pulses(seed: int, **changes: object) -> Latency | NoLatency:
    lines = clock_log_lines(np.random.default_rng(seed), **changes)  # type: ignore[arg-type]
    return latency_by_pulses(parse_clock_log(lines))


@pytest.mark.parametrize("late_s", [0.0, 70e-6, 1.3e-3])
def test_a_known_delay_is_found(late_s: float) -> None:
    # Stamps late by up to 20 us: the node's clock follows the earliest tenth of each half second, of five stamps here.
    found = by_pulses(1, late_s=late_s, jitter_s=20e-6)
    quiet = by_pulses(1, late_s=0.0, jitter_s=20e-6)
    assert isinstance(found, Latency)
    assert isinstance(quiet, Latency)
    # The same jitter in both: the difference is the delay alone, to how far whole nanoseconds and the filter round.
    assert found.late_s - quiet.late_s == pytest.approx(late_s, abs=0.2e-6)
    assert abs(found.late_s - late_s) < 20e-6
    assert found.spikes < 0.02 * found.readings
    # 10 us of bound, as half the width of a rectangle.
    assert found.systematic_sigma_s == pytest.approx(10e-6 / np.sqrt(3.0), rel=1e-6)
    assert found.random_sigma_s < 5e-6


def test_the_random_part_is_as_the_runs_scatter() -> None:
    runs = [by_pulses(seed, minutes=10.0, jitter_s=20e-6, host_sigma_s=5e-6) for seed in range(10)]
    late_s = np.array([run.late_s for run in runs if isinstance(run, Latency)])
    said_s = np.array([run.random_sigma_s for run in runs if isinstance(run, Latency)])
    assert len(late_s) == 10
    # Ten runs tell a scatter to a quarter; within a factor of two it is right.
    assert 0.5 < late_s.std(ddof=1) / np.sqrt(np.mean(said_s**2)) < 2.0


def test_lost_samples_do_not_move_it() -> None:
    whole = by_pulses(3, minutes=10.0, jitter_s=20e-6)
    lost = by_pulses(3, minutes=10.0, jitter_s=20e-6, lost_at_s=300.0)
    assert isinstance(whole, Latency)
    assert isinstance(lost, Latency)
    assert lost.late_s == pytest.approx(whole.late_s, abs=5e-6)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state": ClockState.NTP}, NoLatencyReason.NO_HOST),
        ({"minutes": 3.0}, NoLatencyReason.TOO_SHORT),
    ],
)
def test_what_cannot_be_told(changes: dict[str, object], reason: NoLatencyReason) -> None:
    found = by_pulses(1, **changes)
    assert isinstance(found, NoLatency)
    assert found.reason is reason


def test_a_log_without_pulses_or_stamps() -> None:
    lines = clock_log_lines(np.random.default_rng(1), minutes=1.0)
    silent = latency_by_pulses(parse_clock_log([line for line in lines if "pulse" not in line]))
    assert isinstance(silent, NoLatency)
    assert silent.reason is NoLatencyReason.NO_PULSES
    with pytest.raises(InputError, match="log of 'roof-1' has no stamps"):
        latency_by_pulses(parse_clock_log([line for line in lines if "stamp" not in line]))


def test_the_trailing_edge_and_an_early_time_are_refused() -> None:
    wrong = by_pulses(1, edge_late_s=0.1)
    assert isinstance(wrong, Latency)
    with pytest.raises(InputError, match=r"late by 100\.\d ms, expected under 90 ms; is pps_polarity right\?"):
        latency_result(wrong, wrong.late_s, how="pulses")
    early = by_pulses(1, edge_late_s=-0.001)
    assert isinstance(early, Latency)
    with pytest.raises(InputError, match=r"early by 8\d\d\.\d us .* which no hardware is; is the host's clock right"):
        latency_result(early, early.late_s, how="pulses")
    with pytest.raises(InputError, match="raise late_bias_us of 'b' instead"):
        latency_result(early, early.late_s, how="beside", relative_to="b")


def test_sounds_count_by_their_median() -> None:
    rng = np.random.default_rng(7)
    late_s = 120e-6 + 30e-6 * rng.standard_normal(40)
    late_s[:4] += 0.02
    found = latency_by_sound(late_s, np.arange(40.0), systematic_sigma_s=60e-6)
    assert isinstance(found, Latency)
    assert (found.readings, found.spikes) == (36, 4)
    assert abs(found.late_s - 120e-6) < 3.0 * found.random_sigma_s
    # 1.25 times 30 us over the root of 36.
    assert found.random_sigma_s == pytest.approx(6.3e-6, rel=0.35)
    assert found.sigma_s == pytest.approx(np.hypot(found.random_sigma_s, 60e-6))
    few = latency_by_sound(late_s[4:8], np.arange(4.0), systematic_sigma_s=0.0)
    assert isinstance(few, NoLatency)
    assert few.reason is NoLatencyReason.FEW_CLICKS
    assert isinstance(latency_by_sound(np.zeros(0), np.zeros(0), systematic_sigma_s=0.0), NoLatency)


def test_arrivals_are_paired_with_their_nearest() -> None:
    second_ns = [1_000_000_000, 2_000_000_000, 2_030_000_000, 5_000_000_000]
    first_ns = [2_010_000_000, 1_001_000_000, 9_000_000_000]
    assert pair_arrivals(first_ns, second_ns) == [(1_001_000_000, 1_000_000_000), (2_010_000_000, 2_000_000_000)]
    assert pair_arrivals([1], [2]) == [(1, 2)]
    assert pair_arrivals([], [1]) == pair_arrivals([1], []) == []


@pytest.fixture
def history(tmp_path: Path) -> str:
    """Return a server's history in which b dates each second's clap 0.15 ms later than a, and 3 m of sound later."""
    path = tmp_path / "history.sqlite"
    rng = np.random.default_rng(2)
    items = []
    for second in range(30):
        for node, late_s in (("a", 0.0), ("b", 0.15e-3 + 3.0 / 340.0)):
            time_ns = START_NS + second * NS_PER_S + round(1e9 * (0.01 + late_s + 20e-6 * rng.standard_normal()))
            items.append(StoredDetection(detection := _detection(node, second, time_ns), encode(detection), time_ns))
    with History.open(path) as store:
        store.store(items)
    return str(path)


def _detection(node: str, sequence: int, time_ns: int, state: ClockState = ClockState.PPS) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=time_ns,
        arrival_sigma_ns=10_000,
        clock_state=state,
        probabilities_bp=(),
        peak_level_db=-20.0,
        level_reference=LevelReference.DBFS,
        snr_db=40.0,
        rise_time_s=0.001,
        model_id="m",
        calibration_id=None,
        onset_sample=sequence,
        clipped=False,
    )


def test_two_nodes_side_by_side(history: str) -> None:
    span = {"since_ns": START_NS - NS_PER_S, "until_ns": START_NS + 100 * NS_PER_S}
    at_s, late_s = lateness(history, "b", "a", **span, travel_s=3.0 / 340.0)
    assert len(at_s) == 30
    assert float(np.median(late_s)) == pytest.approx(0.15e-3, abs=20e-6)
    _, against_seconds = lateness(history, "a", None, **span, travel_s=0.01)
    assert float(np.median(against_seconds)) == pytest.approx(0.0, abs=15e-6)
    with pytest.raises(InputError, match="'c' has no timed detection"):
        lateness(history, "c", "a", **span, travel_s=0.0)
    with pytest.raises(InputError, match="no such file"):
        lateness(history + ".not", "b", "a", **span, travel_s=0.0)


def test_the_command_tells_what_the_node_is_to_take(history: str, tmp_path: Path) -> None:
    words = ["clock", "sound", history, "--node", "b", "--from", "2026-12-01T09:59:00Z", "--to", "2026-12-01T10:05:00Z"]
    # 3 m at 15 °C, in whose air sound does 340.3 m/s; the node was told 40 us before.
    given = ["--beside", "a", "--farther-m", "3.0", "--sigma-m", "0.03", "--late-bias-us", "40", "--json"]
    said = json.loads(CliRunner().invoke(app, [*words, *given], catch_exceptions=False).stdout)["result"]
    assert said["relative_to"] == "a"
    assert said["difference_us"] == pytest.approx(150.0, abs=30.0)
    assert said["late_bias_us"] == pytest.approx(said["difference_us"] + 40.0)
    assert said["systematic_sigma_us"] == pytest.approx(0.03 / 340.3 * 1e6, rel=1e-3)
    plot = tmp_path / "plot.png"
    clicks = ["--distance-m", "3.4", "--emitted-late-us", "150", "--plot", str(plot), "--hardware", "usb-uac1"]
    text = CliRunner().invoke(app, [*words, *clicks], catch_exceptions=False).stdout
    assert "by seconds" in text
    assert "against the seconds" in text
    assert plot.stat().st_size > 10_000


def result(late_us: float, sigma_us: float, hardware: str = "i2s-dma", **more: object) -> LatencyResult:
    return LatencyResult(
        late_bias_us=late_us,
        sigma_us=sigma_us,
        random_sigma_us=1.0,
        systematic_sigma_us=sigma_us,
        readings=400,
        spikes=0,
        how="pulses",
        hardware=hardware,
        **more,  # type: ignore[arg-type]
    )


def test_records_of_a_kind_are_put_together() -> None:
    records = [
        ("a", result(100.0, 5.0)),
        ("b", result(140.0, 5.0)),
        ("c", result(120.0, 5.0)),
        ("d", result(9.0, 4.0, "x")),
    ]
    i2s, other = delays_by_kind([*records, ("e", result(900.0, 5.0, relative_to="a"))])
    # Equal sigmas: the plain mean; the scatter of 20 us beyond 5 us is the nodes' own.
    assert (i2s.name, i2s.nodes, other.nodes) == ("i2s-dma", 3, 1)
    assert i2s.late_bias_us == pytest.approx(120.0)
    assert i2s.spread_us == pytest.approx(np.sqrt(400.0 - 25.0))
    assert i2s.sigma_us == pytest.approx(20.0 / np.sqrt(3.0))
    assert i2s.for_another_us == pytest.approx(np.sqrt(400.0 - 25.0 + 400.0 / 3.0))
    assert (other.late_bias_us, other.sigma_us) == (9.0, 4.0)
    assert np.isnan(other.spread_us)
    same = delays_by_kind([("a", result(100.0, 5.0)), ("b", result(101.0, 5.0))])[0]
    assert same.spread_us == 0.0
    assert same.sigma_us == pytest.approx(5.0 / np.sqrt(2.0))
    with pytest.raises(InputError, match="no record of a delay that names its hardware"):
        delays_by_kind([("a", result(1.0, 1.0, ""))])


def test_what_is_shipped_is_measured_or_says_that_it_is_not() -> None:
    shipped = shipped_hardware()
    assert len({kind.name for kind in shipped}) == len(shipped) >= 4
    for kind in shipped:
        assert (kind.late_bias_us is None) == (kind.late_bias_sigma_us is None) == (kind.source == "not measured")


def test_what_the_node_is_told() -> None:
    settings = result(71.34, 6.01).node_settings("a")
    assert settings == {"capture": {"late_bias_us": 71.3, "late_bias_sigma_us": 6.1}}
    said = result(71.34, 6.01, relative_to="b", difference_us=-4.2).sentences()
    assert "difference   -4.2 us against 'b'" in said[2]
    assert said[-1] == "hardware     i2s-dma"
