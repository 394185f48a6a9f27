"""A live node as it runs on a roof: its own process, the real PortAudio, the real chronyd, a real server.

The sound card is ALSA's `file` device on a pipe; the test is the air.
"""

from __future__ import annotations

import ctypes.util
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from chrony_bench import CHRONYC, CHRONYD, Chrony
from live_bench import PATIENCE_S, Air, Roof

from shotline.domain import ClockState
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
    air = stack.enter_context(Air(tmp_path))
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
    air = stack.enter_context(Air(tmp_path))
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
