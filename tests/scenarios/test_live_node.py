"""A live node as it runs on a roof: its own process, the real PortAudio, the real chronyd, a real server.

The sound card is ALSA's `file` device on a pipe; the test is the air.
"""

from __future__ import annotations

import ctypes.util
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
from chrony_bench import CHRONYC, CHRONYD, Chrony
from live_bench import PATIENCE_S, Air, Roof

from shotline.atmosphere import speed_of_sound_mps
from shotline.domain import ClockState
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        ctypes.util.find_library("portaudio") is None,
        reason="libportaudio.so.2 is missing (apt-get install libportaudio2)",
    ),
]


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_without_chronyd_it_hears_and_says_that_it_does_not_know_the_time(tmp_path: Path, stack: ExitStack) -> None:
    air = stack.enter_context(Air(tmp_path / "roof-1"))
    roof = Roof(tmp_path, stack, ["chronyc-that-is-not-there"])
    _wait(lambda: roof.clock_state() == "untimed", "the node says that it does not know the time")
    _fire_until(air, lambda: roof.detections(), "a shot is stored")
    assert {item.clock_state for item in roof.detections()} == {ClockState.UNTIMED}
    told = roof.notified()
    assert told[0] == "READY=1\nSTATUS=roof-1 listens"
    assert "WATCHDOG=1" in told
    assert any(line.startswith("STATUS=roof-1: ") and "time: " in line for line in told)
    said = roof.stop_node()
    assert (said["device"], said["clock_state"], said["unacked"]) == ("rooftop", "untimed", 0)


@pytest.mark.skipif(CHRONYD is None or CHRONYC is None, reason="chrony is not installed: apt-get install chrony")
def test_with_a_pulse_it_dates_what_it_hears(tmp_path: Path, stack: ExitStack) -> None:
    chrony = Chrony(stack)
    chrony.start_with_pulses()
    chrony.until(chrony.is_within_50_us, "the pulse is followed")
    air = stack.enter_context(Air(tmp_path / "roof-1"))
    start_ns = time.time_ns()
    roof = Roof(tmp_path, stack, chrony.command)
    chrony.until(lambda: roof.clock_state() == "pps", "the node knows the time")
    fired = 0

    def timed() -> bool:
        nonlocal fired
        if not any(item.clock_state is ClockState.PPS for item in roof.detections()):
            if fired % 10 == 0:
                air.fire()
            fired += 1
            return False
        return True

    chrony.until(timed, "a shot is stored with its time")
    end_ns = time.time_ns()
    said = roof.stop_node()
    assert said["unacked"] == 0
    for item in roof.detections():
        if item.clock_state is ClockState.PPS:
            assert start_ns < item.arrival_time_ns < end_ns
            # When the card got it, that is when it was heard; how long a block waits depends on the machine.
            assert min(abs(item.arrival_time_ns - fired_ns) for fired_ns in air.fired_ns) < NS_PER_S
            assert item.arrival_sigma_ns < NS_PER_S // 20


@pytest.mark.skipif(CHRONYD is None or CHRONYC is None, reason="chrony is not installed: apt-get install chrony")
def test_live_nodes_locate_a_shot_and_give_its_sound(tmp_path: Path, stack: ExitStack) -> None:
    """Six processes with six sound cards, one shot: where it was, and clips whose digests were announced."""
    sites = {
        "a": (0.0, 0.0), "b": (300.0, 0.0), "c": (300.0, 300.0), "d": (0.0, 300.0), "e": (150.0, 380.0),
        "f": (160.0, -60.0),
    }  # fmt: skip
    shot_m = (120.0, 180.0)
    chrony = Chrony(stack)
    chrony.start_with_pulses()
    chrony.until(chrony.is_within_50_us, "the pulse is followed")
    airs = {node: stack.enter_context(Air(tmp_path / node, seed=seed)) for seed, node in enumerate(sites)}
    roof = Roof(tmp_path, stack, chrony.command, sites=sites, model="impulse-rules-1")
    chrony.until(lambda: roof.clock_state() == "pps", "all nodes know the time")
    # A few seconds more until every clock is settled, on a machine as busy as this one may be.
    settled_s = time.monotonic() + 4.0
    chrony.until(lambda: time.monotonic() > settled_s, "clocks are settled")
    fired_s, fired_ns = time.monotonic() + 0.2, time.time_ns() + NS_PER_S // 5
    for node, site in sites.items():
        airs[node].fire(fired_s + math.dist(site, shot_m) / speed_of_sound_mps(15.0))
    clips = "SELECT node, digest_ok FROM clips"
    chrony.until(lambda: len(roof.query(clips)) >= 4, "clips are there")
    records = [
        msgspec.json.decode(bytes(record), type=IncidentRecord)  # type: ignore[call-overload]
        for (record,) in roof.query("SELECT record FROM incidents ORDER BY revision")
    ]
    assert len({record.id for record in records}) == 1
    found = records[-1]
    assert math.dist((found.x_m, found.y_m), shot_m) < 15.0
    assert abs(parse_utc(found.time_utc) - fired_ns) < NS_PER_S
    assert {ok for _, ok in roof.query(clips)} == {1}


def _wait(done: object, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s in vain until {what}"
        time.sleep(0.05)


def _fire_until(air: Air, done: object, what: str) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not done():  # type: ignore[operator]
        assert time.monotonic() < deadline_s, f"waited {PATIENCE_S:g} s in vain until {what}"
        air.fire()
        time.sleep(1.0)
