"""Logs of chronyd and of a node's clock: what they say, and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clock_samples import RATE_HZ, clock_log_lines, oscillator, tracking_log

from sensor_node.ppsaudio import Pulse
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline_calibration.clock.chronylogs import ChronyLog, parse_chrony_log, phase_of
from shotline_calibration.clock.clocklog import ClockLog, head_line, log_line, parse_clock_log, phase_of_pulses
from shotline_calibration.clock.reading import read_clock, read_clock_log

REFCLOCKS = """===============================================================================
   Date (UTC) Time         Refid  DP L P  Raw offset   Cooked offset      Disp.
===============================================================================
2026-11-30 14:33:27.000000 PPS     7 N 1  4.900000e-07 -6.741777e-07  1.000e-06
2026-11-30 14:33:28.000000 PPS     8 N 1 -1.100000e-07 -6.741777e-07  1.000e-06
2026-11-30 14:33:28.000000 PPS     - N -       -       -6.741777e-07  1.000e-06
2026-11-30 14:33:28.000000 NMEA    8 N 0 -1.100000e-01 -6.741777e-07  1.000e-06
"""
STATISTICS = """===
   Date (UTC) Time     IP Address    Std dev'n Est offset  Offset sd  Diff freq   Est skew  Stress  Ns  Bs  Nr  Asym
===
2026-07-22 05:40:50 PPS              6.261e-03 -3.247e-03  2.220e-03  1.874e-06  1.080e-06 7.8e-02  16   0   8  0.00
2026-07-22 05:41:06 PPS              6.261e-03  1.247e-03  2.220e-03  1.874e-06  1.080e-06 7.8e-02  16   0   8  0.00
"""


def test_refclocks_tell_how_far_the_steered_clock_is_off() -> None:
    kind, rows, skipped = parse_chrony_log(REFCLOCKS)
    assert (kind, skipped) == (ChronyLog.REFCLOCKS, 1)
    assert rows[0].time_ns == parse_utc("2026-11-30T14:33:27Z")
    series = phase_of(kind, rows)
    # A raw offset is positive when the clock is slow; a phase when it is fast.
    assert series.phase_s.tolist() == [-4.9e-7, 1.1e-7]
    assert series.time_s.tolist() == [0.0, 1.0]
    assert not series.free
    assert series.what == "system clock against PPS"
    with pytest.raises(InputError, match=r"1 lines of 'NMEA', expected two or more; there are 1 of 'NMEA', 2 of 'PPS'"):
        phase_of(kind, rows, reference="NMEA")


def test_statistics_tell_it_too() -> None:
    kind, rows, _ = parse_chrony_log(STATISTICS)
    assert kind is ChronyLog.STATISTICS
    assert phase_of(kind, rows).phase_s.tolist() == [3.247e-3, -1.247e-3]


def test_tracking_gives_back_the_free_clock() -> None:
    free = oscillator(4_000, np.random.default_rng(6), offset=-12e-6)
    kind, rows, _ = parse_chrony_log(tracking_log(free))
    assert kind is ChronyLog.TRACKING
    found = phase_of(kind, rows)
    assert found.free
    truth_s = free.phase_s[::16] - free.phase_s[0]
    # Which source it was measured against does not matter: what was taken off counts whole.
    mixed = [row if index % 3 else replace(row, source="192.0.2.1") for index, row in enumerate(rows)]
    assert phase_of(kind, mixed).phase_s.tolist() == found.phase_s.tolist()
    with pytest.raises(InputError, match=r"tracking\.log is of one clock, whatever it follows"):
        phase_of(kind, rows, reference="PPS")
    # Offsets are written to four digits: of up to 10 us that is 0.3 ns each, and 250 of them.
    assert np.abs(found.phase_s - truth_s).max() < 50e-9


def test_what_no_log_says() -> None:
    with pytest.raises(InputError, match=r"no header of tracking\.log, refclocks\.log, statistics\.log"):
        parse_chrony_log("2026-11-30 14:33:27 PPS\n")
    with pytest.raises(InputError, match=r"x:8: 3 columns, expected 9 or more"):
        parse_chrony_log(REFCLOCKS + "2026-11-30 14:33:29 PPS\n", source="x")
    with pytest.raises(
        InputError, match=r"x:4: cannot be read as a line of refclocks\.log: nan is not a finite number"
    ):
        parse_chrony_log(REFCLOCKS.replace(" 4.900000e-07", " nan"), source="x")
    unknown = tracking_log(oscillator(64, np.random.default_rng(0))).replace(" N  1 ", " ?  1 ")
    assert parse_chrony_log(unknown)[1:] == ([], 4)


def test_a_clock_log_comes_back() -> None:
    lines = clock_log_lines(np.random.default_rng(1), minutes=1.0)
    log = parse_clock_log(lines)
    assert (log.node, log.device, log.sample_rate_hz, log.hardware) == ("roof-1", "hw:1", RATE_HZ, "i2s-dma")
    assert log.temperatures_c == [41.5, 39.0]
    assert len(log.pulses) == 59
    series = phase_of_pulses(log)
    assert series.time_s.tolist() == [float(second) for second in range(59)]
    # 30 ppm fast, edges to a hundredth of a sample.
    assert series.phase_s[-1] == pytest.approx(58 * 30e-6, abs=2e-6)
    # Cut off while it was written: the last line does not count.
    assert len(parse_clock_log([*lines, '{"pulse":[12']).events) == len(log.events)


def test_edges_that_are_none_are_passed_over_and_lost_samples_followed() -> None:
    log = ClockLog("a", "", RATE_HZ)
    samples = [(second + 0.0) * RATE_HZ for second in range(1, 40)]
    samples += [12.4 * RATE_HZ, 25.6 * RATE_HZ]
    after = [second * RATE_HZ - 4_800.0 for second in range(41, 60)]
    log.events = [Pulse(sample, 0.01, 0.5) for sample in sorted(samples) + after]
    series = phase_of_pulses(log)
    assert len(series.time_s) == 39 + 19
    assert np.abs(series.phase_s[:39]).max() < 1e-9
    assert series.phase_s[39:] == pytest.approx(-0.1)
    assert series.time_s[-1] == 58.0


def test_what_is_no_clock_log() -> None:
    with pytest.raises(InputError, match="is empty"):
        parse_clock_log([])
    with pytest.raises(InputError, match="x:1: is no clock log"):
        parse_clock_log(["{}"], source="x")
    with pytest.raises(InputError, match="is a log 'other', expected shotline-clock-1"):
        parse_clock_log([head_line(node="a", device="", sample_rate_hz=1).replace("shotline-clock-1", "other")])
    with pytest.raises(InputError, match="0 Hz is not more than 0"):
        parse_clock_log([head_line(node="a", device="", sample_rate_hz=0)])
    good = log_line(Pulse(1.0, 0.1, 0.5))
    with pytest.raises(InputError, match="x:2: cannot be read"):
        parse_clock_log([head_line(node="a", device="", sample_rate_hz=1), '{"pulse":1}', good], source="x")
    with pytest.raises(InputError, match="1 pulses in the log of 'a', expected two or more"):
        phase_of_pulses(parse_clock_log([head_line(node="a", device="", sample_rate_hz=1), good]))


def test_files_are_told_apart(tmp_path: Path) -> None:
    ours, theirs, other = tmp_path / "a.jsonl", tmp_path / "tracking.log", tmp_path / "statistics.log"
    ours.write_text("\n".join(clock_log_lines(np.random.default_rng(1), minutes=1.0)))
    theirs.write_text(tracking_log(oscillator(640, np.random.default_rng(0))))
    other.write_text(STATISTICS)
    assert read_clock([ours]).temperatures_c == (41.5, 39.0)
    assert read_clock([theirs]).series.what == "system clock, uncorrected"
    assert len(read_clock_log(ours).pulses) == 59
    with pytest.raises(InputError, match="give one of them alone"):
        read_clock([ours, theirs])
    with pytest.raises(InputError, match="statistics and tracking together; give logs of one kind"):
        read_clock([theirs, other])
    (tmp_path / "x").write_text("nothing")
    with pytest.raises(InputError, match=r"neither a clock log \(shotline-clock-1\) nor tracking\.log"):
        read_clock([tmp_path / "x"])
    with pytest.raises(InputError, match="cannot read the file"):
        read_clock([tmp_path / "missing"])
