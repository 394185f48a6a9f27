"""Logs of fixes: gpsd's JSON and NMEA say the same; what cannot be read is counted with its reason."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from gnss_samples import HOME, fixes_at, gpsd_text, nmea
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_node.gpsd import Fix, GpsdMessage, Sky
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline_calibration.position.fixlog import read_fix_logs, record_fixes
from shotline_calibration.position.nmea import NmeaReader

RMC = nmea("GPRMC,235958.00,A,5130.0,N,00007.2,W,0.0,0.0,301126,,,A")
# 45.4 m above the geoid, which is 46.1 m above the ellipsoid there.
GGA = "GNGGA,{clock},5130.0060,N,00007.2000,W,{quality},12,0.8,45.4,M,46.1,M,,"


def read(*lines: str) -> tuple[list[Fix], dict[str, int]]:
    reader = NmeaReader()
    fixes = [fix for line in lines if (fix := reader.read(line)) is not None]
    return fixes, dict(reader.rejected)


def test_a_sentence_is_a_fix() -> None:
    fixes, rejected = read(RMC, nmea(GGA.format(clock="235959.25", quality=1)) + "\r\n")
    assert rejected == {}
    (fix,) = fixes
    assert fix.time_ns == parse_utc("2026-11-30T23:59:59.250Z")
    assert (fix.lat_deg, fix.lon_deg) == (pytest.approx(51.5001, abs=1e-12), pytest.approx(-0.12, abs=1e-12))
    assert fix.height_m == pytest.approx(91.5, abs=1e-12)
    assert fix.mode == 3


def test_midnight_comes_without_a_new_day_in_the_sentence() -> None:
    fixes, _ = read(
        RMC, *(nmea(GGA.format(clock=clock, quality=1)) for clock in ("235959.00", "000000.00", "000001.00"))
    )
    days = [fix.time_ns for fix in fixes]
    assert days == [parse_utc(f"2026-{text}Z") for text in ("11-30T23:59:59", "12-01T00:00:00", "12-01T00:00:01")]


def test_the_day_of_a_zda() -> None:
    fixes, _ = read(nmea("GPZDA,120000.00,29,02,2028,00,00"), nmea(GGA.format(clock="120000", quality=4)))
    assert fixes[0].time_ns == parse_utc("2028-02-29T12:00:00Z")


def test_south_and_east() -> None:
    (fix,), _ = read(RMC, nmea("GPGGA,120000.00,3351.0000,S,15112.6000,E,2,09,1.0,-5.5,M,22.0,M,,"))
    assert (fix.lat_deg, fix.lon_deg, fix.height_m) == pytest.approx((-33.85, 151.21, 16.5))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (nmea(GGA.format(clock="120000", quality=0)), "no fix"),
        (nmea(GGA.format(clock="120000", quality=6)), "not measured: estimated or made by hand"),
        (nmea(GGA.format(clock="", quality=1)), "no time"),
        (nmea("GPGGA,120000,,,,,1,09,1.0,5.5,M,22.0,M,,"), "no position"),
        (nmea("GPGGA,120000,9151.0,N,15112.6,E,1,09,1.0,5.5,M,22.0,M,,"), "no position"),
        (
            nmea("GPGGA,120000,5130.0,N,00007.2,W,1,09,1.0,5.5,M,,M,,"),
            "no height above the ellipsoid: the separation of the geoid is missing",
        ),
        (nmea(GGA.format(clock="120000", quality=1)).replace("5130", "5131"), "wrong checksum"),
        ("$GPGGA,120000,5130.0,N", "cut off or garbled"),
    ],
)
def test_what_is_not_taken_is_counted(line: str, reason: str) -> None:
    assert read(RMC, line) == ([], {reason: 1})


def test_without_a_day_there_is_no_time() -> None:
    assert read(nmea(GGA.format(clock="120000", quality=1))) == ([], {"no day yet: no RMC or ZDA before it": 1})


@settings(deadline=None)
@given(
    line=st.one_of(
        st.text(max_size=60), st.text(alphabet="$GPRMCZDA,.*0123456789NSEW", max_size=60).map("$GPGGA,".__add__)
    )
)
def test_nothing_raises(line: str) -> None:
    reader = NmeaReader()
    reader.read(RMC)
    reader.read(line)


@settings(deadline=None)
@given(body=st.text(alphabet=",.0123456789NSEWAM-", max_size=60), kind=st.sampled_from(["GGA", "RMC", "ZDA"]))
def test_nothing_raises_with_a_good_checksum(body: str, kind: str) -> None:
    reader = NmeaReader()
    reader.read(RMC)
    reader.read(nmea(f"GP{kind},{body}"))


def test_both_kinds_of_logs(tmp_path: Path) -> None:
    fixes = fixes_at(np.zeros((30, 3)), 1.0)
    first, second = tmp_path / "gps.json", tmp_path / "gps.nmea"
    first.write_text(gpsd_text(fixes) + '{"class":"TPV","mode":9}\n{"class":"TPV","mode":1}\n')
    second.write_text("\r\n".join([RMC, nmea(GGA.format(clock="235959", quality=1)), "noise"]))
    log = read_fix_logs([first, second])
    assert len(log.fixes) == 31
    assert log.rejected == {"out_of_range": 1}
    assert (log.fixes[0].lat_deg, log.fixes[0].height_m) == (pytest.approx(HOME[0]), pytest.approx(HOME[2]))
    (tmp_path / "none").write_text("$GPGGA,1\n")
    with pytest.raises(InputError, match=r"holds no fix \(1 cut off or garbled\); expected lines of `gpspipe -w`"):
        read_fix_logs([tmp_path / "none"])
    with pytest.raises(InputError, match="cannot read the file"):
        read_fix_logs([tmp_path / "not there"])


class Heard:
    """Gives one fix a second, and other things."""

    def __init__(self, fixes: list[Fix]) -> None:
        self.left = list(fixes)

    def poll(self, timeout_s: float) -> list[GpsdMessage]:
        assert timeout_s == 1.0
        return [Sky(), self.left.pop(0)] if self.left else []


def test_what_is_recorded_live_reads_back_as_it_was_heard(tmp_path: Path) -> None:
    fixes = [Fix(None, 1), *fixes_at(np.random.default_rng(1).normal(size=(400, 3)), 1.0)]
    clock = itertools.count(0.0, 1.0)
    said: list[str] = []
    path = tmp_path / "live.json"
    count = record_fixes(Heard(fixes), path, minutes=10.0, say=said.append, monotonic_s=lambda: next(clock))
    assert count == 400
    assert said == ["5 of 10 minutes, 299 fixes"]
    back = read_fix_logs([path]).fixes
    assert [(fix.time_ns, fix.lat_deg, fix.lon_deg, fix.height_m) for fix in back] == [
        (fix.time_ns, fix.lat_deg, fix.lon_deg, fix.height_m) for fix in fixes[1:]
    ]
    assert back[0].sigma_east_m == pytest.approx(2.0)
    with pytest.raises(InputError, match="is there already"):
        record_fixes(Heard([]), path, minutes=1.0, say=said.append)
