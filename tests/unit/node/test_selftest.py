"""Every check of a node, each side of every limit; and the list that goes into a heartbeat."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sensor_node.board import BoardFacts, DiskSpace
from sensor_node.capture import CaptureState
from sensor_node.chrony import parse_tracking
from sensor_node.framing import AudioBlock
from sensor_node.gpsd import Fix, GpsdCounts, GpsdState, Sky
from sensor_node.micstats import GainEvidence, SoundFigures
from sensor_node.nodehealth import (
    CaptureReport,
    HealthInputs,
    HealthSettings,
    NodeHealth,
    ServerReport,
    TimeReport,
    time_check,
)
from sensor_node.place import NoPlace, NoPlaceReason, Place, PlaceSource, Position
from sensor_node.ring import RingCounters
from sensor_node.selftest import (
    OverrunCounts,
    check_calibration,
    check_capture,
    check_cpu,
    check_disk,
    check_gps,
    check_memory,
    check_microphone,
    check_model,
    check_overruns,
    check_place,
    check_rate,
    check_server,
    check_spool,
    check_temperature,
    check_time,
    check_version,
    check_voltage,
)
from sensor_node.spool import SpoolCounts
from shotline.domain import ClockState
from shotline.health import VALUE_OF, Check, CheckStatus, check_from_item, health_items, worst_status
from shotline.messages import MAX_HEALTH_MESSAGE, Heartbeat, decode, encode

OK, WARN, FAIL = CheckStatus.OK, CheckStatus.WARN, CheckStatus.FAIL
SOUND = SoundFigures(
    seconds=300,
    level_dbfs=-60.0,
    quiet_dbfs=-72.0,
    offset=0.001,
    still_s=0.0,
    zero_run_s=0.0001,
    constant_run_s=0.0002,
    full_scale_share=0.0,
    clipped_share=0.0,
    gain=GainEvidence(20, 1),
)
TRACKING = "50505300,PPS,1,1545180566.1,0.0000001,0.0000002,0.0000003,1.5,0.01,0.02,0.000001,0.00001,16.0,{leap}"


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, OK, "alive, noise floor -72.0 dBFS"),
        ({"still_s": 0.49}, OK, "alive"),
        ({"still_s": 0.5, "zero_run_s": 0.5}, FAIL, "nothing but zeros for 0.5 s: is the microphone plugged in"),
        ({"still_s": 2.0, "constant_run_s": 2.0}, FAIL, "the same value again and again for 2.0 s"),
        ({"zero_run_s": 0.01}, WARN, "10 ms of zeros in the sound"),
        ({"offset": -0.019}, OK, "alive"),
        ({"offset": -0.02}, WARN, "offset of -2.0% of full scale"),
        ({"offset": 0.2}, FAIL, "offset of +20.0%"),
        ({"clipped_share": 0.0099}, OK, "alive"),
        ({"clipped_share": 0.01}, WARN, "1% of the time at full scale: turn the gain down"),
        ({"clipped_share": 0.1}, FAIL, "10% of the time"),
        ({"quiet_dbfs": -25.9}, WARN, "noise floor at -26 dBFS leaves impulses no room"),
        ({"quiet_dbfs": -26.0}, OK, "alive"),
        ({"quiet_dbfs": -98.0}, OK, "alive"),
        ({"quiet_dbfs": -98.1}, WARN, "less than a microphone's own hiss"),
        ({"quiet_dbfs": -math.inf}, WARN, "noise floor at -inf dBFS"),
        ({"gain": GainEvidence(16, 10)}, WARN, "automatic gain suspected: the hiss sank after 10 of 16 loud sounds"),
    ],
)
def test_microphone(changes: dict[str, object], status: CheckStatus, words: str) -> None:
    check = check_microphone(replace(SOUND, **changes))  # type: ignore[arg-type]
    assert (check.name, check.status) == ("microphone", status)
    assert words in check.message
    assert all(math.isfinite(value) for value in check.numbers.values())


def test_microphone_says_everything_that_is_wrong_and_knows_calibrated_levels() -> None:
    both = check_microphone(replace(SOUND, offset=0.5, zero_run_s=0.05))
    assert both.status is FAIL
    assert "offset of +50.0%" in both.message
    assert "50 ms of zeros" in both.message
    assert check_microphone(SOUND, full_scale_db_spl=92.0).status is OK
    quiet = check_microphone(SOUND, full_scale_db_spl=91.0)
    assert (quiet.status, "19 dB SPL, quieter than outdoors" in quiet.message) == (WARN, True)
    assert check_microphone(None).status is OK


@pytest.mark.parametrize(
    ("offset_ppm", "sigma_ppm", "status"),
    [(math.nan, math.nan, OK), (-140.0, 0.5, OK), (-152.0, 0.5, WARN), (501.0, 0.5, WARN), (502.0, 0.5, FAIL),
     (-9_000.0, 100.0, FAIL), (600.0, 200.0, OK)],
)  # fmt: skip
def test_rate(offset_ppm: float, sigma_ppm: float, status: CheckStatus) -> None:
    assert check_rate(offset_ppm, sigma_ppm).status is status


@pytest.mark.parametrize(
    ("hour", "status", "words"),
    [
        (OverrunCounts(0, 0), OK, "none in the last hour, 7 since the start"),
        (OverrunCounts(1, 480), WARN, "0.01 s of sound lost in the last hour, 1 overruns"),
        (OverrunCounts(0, 480), WARN, "0.01 s of sound lost"),
        (OverrunCounts(90, 37 * 48_000), FAIL, "37.00 s of sound lost"),
    ],
)
def test_overruns(hour: OverrunCounts, status: CheckStatus, words: str) -> None:
    check = check_overruns(OverrunCounts(7, 960), hour, sample_rate_hz=48_000)
    assert check.status is status
    assert words in check.message
    assert check.numbers["lost_s"] == 0.02


def test_capture() -> None:
    def of(state: str = "running", **changes: int) -> Check:
        return check_capture(
            state, device="USB Mic", problem="" if state == "running" else "unplugged?", **counts(changes)
        )

    def counts(changes: dict[str, int]) -> dict[str, int]:
        return {"reopens": 3, **changes}

    assert (of().status, of().message) == (OK, "USB Mic, opened again 3 times")
    lost = of("lost")
    assert (lost.status, lost.message) == (FAIL, "no sound comes in (lost): unplugged?; it is tried again by itself")
    assert of(reopens_last_hour=2).status is WARN
    assert "report it" in of(callback_errors=1).message


@pytest.mark.parametrize(
    ("state", "changes", "status", "words"),
    [
        (ClockState.PPS, {}, OK, "pps by PPS, known to 0.030 ms"),
        (ClockState.PPS_AUDIO, {"problem": "no chronyc"}, WARN, "pps_audio, but chronyd does not answer: no chronyc"),
        (ClockState.NTP, {"sigma_ns": 5_000_001}, WARN, "ntp, known to 5.0 ms only"),
        (ClockState.NTP, {"sigma_ns": 5_000_000}, OK, "ntp by PPS, known to 5.000 ms"),
        (ClockState.NTP, {"sigma_ns": None, "bound_ns": 6_000_000}, WARN, "known to 6.0 ms only"),
        (ClockState.HOLDOVER, {}, WARN, "the pulse is lost and the clock coasts"),
        (ClockState.UNTIMED, {"problem": "no chronyc"}, FAIL, "nothing heard now can be located: no chronyc;"),
        (ClockState.UNTIMED, {"leap": "unsynchronised"}, FAIL, "located: chronyd is not synchronised; check"),
        (ClockState.PPS_AUDIO, {"leap": "unsynchronised"}, WARN, "chronyd is not synchronised; check its sources"),
        (ClockState.PPS, {"leap": "insert"}, OK, "; a leap second is announced (insert)"),
    ],
)
def test_time(state: ClockState, changes: dict[str, object], status: CheckStatus, words: str) -> None:
    values: dict[str, object] = {"sigma_ns": 30_000, "bound_ns": 40_000, "leap": "normal", "reference": "PPS"}
    check = check_time(state, **(values | changes))  # type: ignore[arg-type]
    assert check.status is status
    assert words in check.message
    assert ("sigma_us" in check.numbers) == (state is not ClockState.UNTIMED and changes.get("sigma_ns", 1) is not None)


def test_time_as_chronyd_really_says_it() -> None:
    tracking = parse_tracking(TRACKING.format(leap="Normal"))
    check = time_check(TimeReport(state=ClockState.PPS, sigma_ns=12_000, tracking=tracking))
    assert (check.status, check.message) == (OK, "pps by PPS, known to 0.012 ms")
    assert check.numbers == {"sigma_us": 12.0, "bound_us": 10.6}
    lost = parse_tracking(TRACKING.format(leap="Not synchronised"))
    check = time_check(TimeReport(state=ClockState.UNTIMED, sigma_ns=10**18, tracking=lost))
    assert (check.status, check.numbers) == (FAIL, {})


@pytest.mark.parametrize(
    ("changes", "status", "words"),
    [
        ({}, OK, "3D fix, 9 satellites"),
        ({"satellites_used": None}, OK, "3D fix"),
        ({"connected": False, "problem": "no gpsd at 127.0.0.1:2947"}, WARN, "no gpsd at"),
        ({"devices": 0}, WARN, "gpsd reads no receiver"),
        ({"since_fix_s": None, "fix_mode": None, "satellites_used": 2}, WARN, "no position yet, 2 satellites used"),
        ({"since_fix_s": 61.0}, WARN, "no position for 61 s"),
        ({"fix_mode": 1}, WARN, "no position for 1 s"),
        ({"satellites_used": 3}, WARN, "3 satellites used, expected 4"),
    ],
)
def test_gps(changes: dict[str, object], status: CheckStatus, words: str) -> None:
    values: dict[str, object] = {
        "connected": True, "problem": "", "devices": 1, "fix_mode": 3, "since_fix_s": 0.6, "satellites_used": 9,
    }  # fmt: skip
    check = check_gps(**(values | changes))  # type: ignore[arg-type]
    assert check.status is status
    assert words in check.message


def test_place() -> None:
    position = Position(40.0, -80.0, 250.0, 1.0, 2.0)
    stands = Place(position, PlaceSource.SURVEY, False, position, 3.2, 20.0, 8)
    assert check_place(stands).message == "by survey, known to 1.0 m"
    assert check_place(stands).numbers == {"offset_m": 3.2, "sigma_m": 1.0}
    moved = check_place(replace(stands, moved=True, offset_m=41.0))
    assert (moved.status, "the node was moved, by 41 m" in moved.message) == (FAIL, True)
    for unknown in (None, NoPlace(NoPlaceReason.NO_FIXES, 0)):
        assert check_place(unknown) == Check("place", OK, "not known yet")


@pytest.mark.parametrize(
    ("free_bytes", "status"), [(300 * 1024**2, OK), (255 * 1024**2, WARN), (31 * 1024**2, FAIL), (None, WARN)]
)
def test_disk(free_bytes: int | None, status: CheckStatus) -> None:
    assert check_disk("/spool", free_bytes=free_bytes, total_bytes=10**10).status is status


@pytest.mark.parametrize(("celsius", "status"), [(None, OK), (-20.0, OK), (74.9, OK), (75.0, WARN), (85.0, FAIL)])
def test_temperature(celsius: float | None, status: CheckStatus) -> None:
    assert check_temperature(celsius).status is status


@pytest.mark.parametrize(
    ("now", "since_boot", "throttled", "status"),
    [(None, None, None, OK), (False, False, False, OK), (True, True, False, FAIL), (False, True, False, WARN),
     (False, False, True, WARN), (False, None, None, OK)],
)  # fmt: skip
def test_voltage(now: bool | None, since_boot: bool | None, throttled: bool | None, status: CheckStatus) -> None:
    check = check_voltage(now, since_boot=since_boot, throttled=throttled)
    assert check.status is status
    assert ("unknown" in check.message) == (now is None)


def test_cpu_and_memory() -> None:
    assert check_cpu(0.2, load_1min=0.5, cores=4).message == "the node takes 20% of one core, load 0.50 on 4 cores"
    assert check_cpu(0.71, load_1min=0.5, cores=4).status is WARN
    assert check_cpu(0.2, load_1min=8.1, cores=4).status is WARN
    assert check_cpu(None, load_1min=None, cores=None) == Check("cpu", OK, "load unknown")
    for available_mb, status in ((101, OK), (99, WARN), (29, FAIL)):
        check = check_memory(90 * 10**6, available_bytes=available_mb * 10**6, total_bytes=10**9)
        assert (check.status, check.numbers["rss_mb"]) == (status, 90.0)
    assert check_memory(None, available_bytes=None, total_bytes=None).message == "unknown"


def test_spool() -> None:
    clean = SpoolCounts(unacked=3, rejected=0)
    assert check_spool("a.db", clean, most_rows=10).message == "a.db can be written, 3 detections wait"
    assert check_spool("a.db", SpoolCounts(6, 0), most_rows=10).status is WARN
    assert check_spool("a.db", replace(clean, dropped_detections=1)).status is WARN
    assert check_spool("a.db", replace(clean, damaged_files=1)).status is WARN
    assert check_spool(None, clean).status is WARN
    full = check_spool("a.db", replace(clean, in_memory=2), problem="the disk is full; free space")
    assert (full.status, full.message) == (
        FAIL, "the disk is full; free space (2 detections are in memory only, 3 wait)"
    )  # fmt: skip


def test_server_version_model_calibration() -> None:
    def server(**changes: object) -> Check:
        values = {"connected": True, "problem": "", "heard_ago_s": 1.0, "last_reject": ""}
        return check_server("tcp://s:1", **(values | changes))  # type: ignore[arg-type]

    assert server().message == "tcp://s:1 answers"
    assert server(last_reject="wrong_node: x").message == "tcp://s:1 answers; it last refused: wrong_node: x"
    assert server(heard_ago_s=31.0).status is WARN
    assert server(heard_ago_s=None).status is OK
    assert server(connected=False, problem="no route").message == "tcp://s:1 is not reached: no route"
    assert check_version("0.1.0").message == "0.1.0"
    assert check_model("impulse-rules-1").message == "impulse-rules-1"
    assert check_model("x", problem="no such network").status is FAIL
    assert check_calibration("cal-7", full_scale_db_spl=120.0).message == "cal-7: full scale is 120 dB SPL"
    assert check_calibration(None, full_scale_db_spl=None).status is WARN


def counters(**changes: int) -> RingCounters:
    values = dict.fromkeys(RingCounters.__slots__, 0)
    return RingCounters(**(values | changes))


def inputs(now_s: float = 100.0, **changes: object) -> HealthInputs:
    values: dict[str, object] = {
        "now_s": now_s,
        "time": TimeReport(state=ClockState.PPS, sigma_ns=12_000, rate_offset_ppm=-31.25, rate_sigma_ppm=0.1),
        "spool": SpoolCounts(unacked=0, rejected=0),
        "server": ServerReport(connected=True, heard_ago_s=1.0),
        "board": BoardFacts(
            cores=4, cpu_time_s=0.1 * now_s, load_1min=0.4, rss_bytes=94_371_840, memory_bytes=10**9,
            available_bytes=6 * 10**8, temperature_c=51.5, undervoltage=False, undervoltage_since_boot=False,
            throttled=False,
        ),
        "capture": CaptureReport(state=CaptureState.RUNNING, counters=counters(), device="USB Mic"),
        "disk": DiskSpace(Path("/var/lib/shotline"), 20_000_000_000, 30_000_000_000),
        "gpsd": GpsdState(True, 1, 0, 0.5, 0.5, "3.22", ("/dev/ttyAMA0",), "", GpsdCounts()),
        "fix": Fix(None, 3),
        "sky": Sky(satellites_used=9),
    }  # fmt: skip
    return HealthInputs(**(values | changes))  # type: ignore[arg-type]


SETTINGS = HealthSettings(
    sample_rate_hz=48_000,
    server="tcp://server.example:5570",
    version="0.1.0",
    model_id="impulse-cnn-2-nc",
    calibration_id="cal-2026-03",
    full_scale_db_spl=120.0,
    spool="/var/lib/shotline/roof-1.db",
    gpsd=True,
)
NAMES = [
    "capture", "microphone", "rate", "overruns", "time", "gps", "place", "disk", "temperature", "voltage", "cpu",
    "memory", "spool", "server", "version", "model", "calibration",
]  # fmt: skip


def heard() -> NodeHealth:
    health = NodeHealth(SETTINGS)
    noise = (0.001 * np.random.default_rng(1).standard_normal(120_000)).astype(np.float32)
    health.sound(AudioBlock(0, noise))
    return health


def test_a_well_node_has_every_check_and_a_small_heartbeat() -> None:
    health = heard()
    health.checks(inputs(90.0))
    checks = health.checks(inputs())
    assert [check.name for check in checks] == NAMES
    assert worst_status(checks) is OK, checks
    found = {check.name: check for check in checks}
    assert found["microphone"].numbers["quiet_dbfs"] == -60.0
    assert found["cpu"].numbers["own_share"] == 0.1
    heartbeat = Heartbeat(
        node="roof-03", boot=2**62, time_ns=1_545_180_570_000_000_000, clock_state=ClockState.PPS,
        clock_sigma_ns=12_000, next_sequence=813, unacked=2, gap_samples=1_024, noise_level_db=-62.5,
        dropped_detections=3, dropped_heartbeats=500, health=health_items(checks),
    )  # fmt: skip
    data = encode(heartbeat)
    assert len(data) <= 500
    read = decode(data)
    assert isinstance(read, Heartbeat)
    back = {item.name: check_from_item(item) for item in read.health}
    assert back["rate"] == Check("rate", OK, "", {"offset_ppm": -31.25})
    assert back["temperature"].numbers == {"temperature_c": 51.5}
    assert back["model"].message == "impulse-cnn-2-nc"
    assert back["version"].message == "0.1.0"
    assert back["calibration"].message == "cal-2026-03: full scale is 120 dB SPL"
    assert back["server"].message == ""


def test_each_value_is_a_number_that_its_check_has() -> None:
    lost = counters(overflows=1, overrun_samples=480)
    place = Place(Position(40.0, -80.0, 0.0, 1.0, 2.0), PlaceSource.SURVEY, False, None, 3.0, 20.0, 8)
    health = heard()
    health.checks(inputs(90.0))
    checks = health.checks(inputs(capture=CaptureReport(state=CaptureState.RUNNING, counters=lost), place=place))
    sent = {item.name: item.value for item in health_items(checks) if item.value is not None}
    assert set(sent) == set(VALUE_OF)
    assert sent["overruns"] == 0.01


def test_texts_and_numbers_that_do_not_fit_are_cut_or_left_out() -> None:
    long = Check("microphone", FAIL, "x" * 200, {"quiet_dbfs": math.inf})
    (item,) = health_items([long])
    assert (len(item.message), item.message[-1], item.value) == (MAX_HEALTH_MESSAGE, "…", None)
    assert health_items([Check("rate", OK, "", {"offset_ppm": math.nan})])[0].value is None
    assert len(health_items([long] * 70)) == 64


def test_overruns_and_reopens_count_by_the_hour() -> None:
    health = NodeHealth(SETTINGS)

    def at(now_s: float, overflows: int, reopens: int) -> dict[str, Check]:
        report = CaptureReport(
            state=CaptureState.RUNNING,
            counters=counters(overflows=overflows, overrun_samples=480 * overflows),
            reopens=reopens,
        )
        return {check.name: check for check in health.checks(inputs(now_s, capture=report))}

    assert at(0.0, 0, 0)["overruns"].status is OK
    assert at(5.0, 2, 1)["overruns"].numbers == {"lost_last_hour_s": 0.02, "last_hour": 2, "total": 2, "lost_s": 0.02}
    for minute in range(1, 62):
        found = at(60.0 * minute + 5.0, 2, 1)
        assert (found["overruns"].status, found["capture"].status) == ((WARN, WARN) if minute < 61 else (OK, OK))
    again = at(60.0 * 63, 3, 1)["overruns"]
    assert (again.status, again.numbers["last_hour"], again.numbers["total"]) == (WARN, 1, 3)


def test_a_node_of_files_has_no_capture_and_none_without_gpsd_a_gps() -> None:
    checks = NodeHealth(replace(SETTINGS, gpsd=False)).checks(inputs(capture=None, disk=None))
    assert [check.name for check in checks] == [
        name for name in NAMES if name not in ("capture", "rate", "overruns", "gps", "place", "disk")
    ]
