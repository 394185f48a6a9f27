"""The real chronyd, fed with pulses that Python makes. With -x it never touches the clock of this machine."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest

from sensor_node.chrony import Tracking, clock_state, read_tracking, read_utc
from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from shotline.domain import ClockState
from shotline.errors import EdgeError
from shotline.units import NS_PER_S

_CHRONYD = shutil.which("chronyd") or shutil.which("chronyd", path="/usr/sbin:/usr/local/sbin")
_CHRONYC = shutil.which("chronyc")
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(_CHRONYD is None or _CHRONYC is None, reason="chrony is not installed: apt-get install chrony"),
]

_PATIENCE_S = 60.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""
_MAX_CLOCK_ERROR_PPM = 5.0
_PULSE_NOISE_S = 2e-6
_SAMPLE = struct.Struct("@lldiiii")
"""A sample of chrony's SOCK reference clock (its refclock_sock.c): timeval, offset, pulse, leap, padding, magic."""
_MAGIC = 0x534F434B


class Chrony:
    """chronyd in a folder of its own, with no network; and the receiver that feeds it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        # Not the test's own folder: the path of a socket has at most 107 characters.
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chrony")))
        self._commands = self._folder / "cmd.sock"
        self._samples = self._folder / "pps.sock"
        self._socket = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._rng = np.random.default_rng(9)
        self._next_s = 0.0
        self.offset_s = 0.0

    def start(self, *directives: str) -> subprocess.Popen[bytes]:
        """Start it: ``-x`` leaves the system clock alone, ``-U`` and ``-u`` let it run as whoever we are."""
        assert _CHRONYD is not None
        config = self._folder / "chrony.conf"
        config.write_text(
            "\n".join(
                [
                    f"maxclockerror {_MAX_CLOCK_ERROR_PPM}",
                    "port 0",
                    "cmdport 0",
                    f"bindcmdaddress {self._commands}",
                    f"pidfile {self._folder / 'pid'}",
                    *directives,
                    "",
                ]
            )
        )
        user = pwd.getpwuid(os.getuid()).pw_name
        errors = self._stack.enter_context((self._folder / "chronyd.txt").open("ab"))
        process = self._stack.enter_context(
            subprocess.Popen(
                [_CHRONYD, "-x", "-d", "-U", "-u", user, "-f", str(config)], stdin=subprocess.DEVNULL, stderr=errors
            )
        )
        self._stack.callback(process.kill)
        self.until(self._answers, "chronyd answers", pulses=False)
        return process

    def start_with_pulses(self) -> subprocess.Popen[bytes]:
        """Start it with a reference clock called PPS, polled eight times a second instead of every 16 s."""
        return self.start(f"refclock SOCK {self._samples} refid PPS poll -3 precision 1e-6")

    def read(self) -> Tracking:
        """Ask through chronyc, as a node does."""
        assert _CHRONYC is not None
        return read_tracking([_CHRONYC, "-h", str(self._commands), "-c", "tracking"], timeout_s=_PATIENCE_S)

    def until(self, done: Callable[[], object], what: str, *, pulses: bool = True) -> None:
        """Wait until it is done; meanwhile the receiver sends pulses, fifty a second."""
        deadline_s = time.monotonic() + _PATIENCE_S
        ask_s = 0.0
        while True:
            now_s = time.monotonic()
            assert now_s < deadline_s, f"waited {_PATIENCE_S:g} s in vain until {what}"
            if pulses:
                self._pulse()
            if now_s >= ask_s:
                if done():
                    return
                ask_s = now_s + 0.1
            time.sleep(0.02)

    def is_within_50_us(self) -> bool:
        """Tell whether the pulse is followed, and the bound says 50 us at the most."""
        tracking = self.read()
        return state_of(tracking) is ClockState.PPS and tracking.bound_ns < 50_000

    def _pulse(self) -> None:
        now_ns = time.time_ns()
        offset_s = self.offset_s + _PULSE_NOISE_S * self._rng.normal()
        sample = _SAMPLE.pack(now_ns // NS_PER_S, now_ns % NS_PER_S // 1_000, offset_s, 0, 0, 0, _MAGIC)
        self._socket.sendto(sample, str(self._samples))

    def _answers(self) -> bool:
        with suppress(EdgeError):
            self.read()
            return True
        return False


@pytest.fixture
def chrony() -> Iterator[Chrony]:
    with ExitStack() as stack:
        yield Chrony(stack)


def state_of(tracking: Tracking) -> ClockState:
    """Return the state, with holdover after 3 s instead of 64."""
    return clock_state(tracking, time.time_ns(), holdover_after_s=3.0)


def test_from_nothing_to_lock_through_loss_and_back(chrony: Chrony) -> None:
    chrony.start_with_pulses()
    nothing = chrony.read()
    assert (nothing.synchronised, nothing.leap, nothing.stratum) == (False, "unsynchronised", 0)
    assert nothing.bound_ns == UNTIMED_SIGMA_NS
    assert state_of(nothing) is ClockState.UNTIMED

    # Pulses scatter by 2 us; measured, the bound is 3 to 15 us, wider where the machine is busy.
    chrony.until(chrony.is_within_50_us, "the clock is within 50 us")
    locked = chrony.read()
    assert (locked.reference, locked.stratum, locked.leap) == ("PPS", 1, "normal")
    assert abs(locked.offset_s) < 50e-6

    # Nothing comes any more: chronyd stays "Normal", and its dispersion grows by maxclockerror and skew.
    until_s = time.monotonic() + 1.0
    chrony.until(lambda: time.monotonic() > until_s, "the last pulse is worked in", pulses=False)
    before_s = time.monotonic()
    first = chrony.read()
    first_s = time.monotonic()
    chrony.until(lambda: state_of(chrony.read()) is ClockState.HOLDOVER, "holdover", pulses=False)
    last_s = time.monotonic()
    last = chrony.read()
    after_s = time.monotonic()
    assert last.synchronised
    assert last.reference_time_s == first.reference_time_s
    grown_us = 1e6 * (last.root_dispersion_s - first.root_dispersion_s)
    least_ppm = _MAX_CLOCK_ERROR_PPM + first.skew_ppm
    # The rate that chronyd was not sure about adds to it: a fraction of the skew. Skew is given to 0.001 ppm.
    most_ppm = _MAX_CLOCK_ERROR_PPM + 2.0 * first.skew_ppm + 0.1
    assert (last_s - first_s) * (least_ppm - 0.001) - 0.002 < grown_us < (after_s - before_s) * most_ppm + 0.002
    assert last.bound_ns > first.bound_ns

    chrony.until(chrony.is_within_50_us, "the pulse is followed again")


@pytest.mark.parametrize("offset_s", [0.002, -0.003])
def test_offset_is_what_the_system_clock_lacks(chrony: Chrony, offset_s: float) -> None:
    """With -x chronyd cannot correct the clock, so its offset stays to be seen, and the bound holds it."""
    chrony.offset_s = offset_s
    chrony.start_with_pulses()
    chrony.until(lambda: chrony.read().synchronised, "chronyd follows the pulse")
    tracking = chrony.read()
    # Within the noise of the first few pulses; ten sigma of one.
    assert tracking.offset_s == pytest.approx(offset_s, abs=10 * _PULSE_NOISE_S)
    assert tracking.bound_ns >= abs(tracking.offset_s) * NS_PER_S


def test_local_mode_is_no_time(chrony: Chrony) -> None:
    """chronyd calls itself synchronised, with error 0."""
    chrony.start("local stratum 10")
    chrony.until(lambda: chrony.read().leap == "normal", "chronyd follows itself", pulses=False)
    tracking = chrony.read()
    assert (tracking.reference, tracking.stratum) == ("127.127.1.1", 10)
    assert not tracking.synchronised
    assert tracking.bound_ns == UNTIMED_SIGMA_NS
    assert state_of(tracking) is ClockState.UNTIMED


def test_chronyd_that_is_gone_is_an_edge_error(chrony: Chrony) -> None:
    process = chrony.start_with_pulses()
    process.terminate()
    assert process.wait(_PATIENCE_S) == 0
    with pytest.raises(EdgeError, match=r"chronyc ended with 1 and said: .*daemon; does chronyd run"):
        chrony.read()


def test_the_clocks_of_the_kernel_are_read_as_one(chrony: Chrony) -> None:
    """What a node does for each block of sound; chronyd beside it does not step UTC."""
    chrony.start_with_pulses()
    readings = [
        read_utc(lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.time_ns, readings=9) for _ in range(50)
    ]
    # Half of 50 best-of-nine brackets: 0.3 us measured on an idle machine.
    assert sorted(reading.bracket_ns for reading in readings)[25] < 100_000
    differences_ns = [reading.utc_ns - reading.monotonic_ns for reading in readings]
    assert max(differences_ns) - min(differences_ns) < 1_000_000
