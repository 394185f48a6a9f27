"""A real chronyd in a folder of its own, fed with pulses that Python makes. With -x it never touches the clock."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np

from sensor_node.chrony import Tracking, clock_state, read_tracking
from shotline.domain import ClockState
from shotline.errors import EdgeError
from shotline.units import NS_PER_S

__all__ = ["CHRONYC", "CHRONYD", "MAX_CLOCK_ERROR_PPM", "PATIENCE_S", "PULSE_NOISE_S", "Chrony", "state_of"]

CHRONYD = shutil.which("chronyd") or shutil.which("chronyd", path="/usr/sbin:/usr/local/sbin")
CHRONYC = shutil.which("chronyc")
PATIENCE_S = 60.0
"""Far beyond what is needed on a busy machine; a test that waits so long has failed."""
MAX_CLOCK_ERROR_PPM = 5.0
PULSE_NOISE_S = 2e-6
_SAMPLE = struct.Struct("@lldiiii")
"""A sample of chrony's SOCK reference clock (its refclock_sock.c): timeval, offset, pulse, leap, padding, magic."""
_MAGIC = 0x534F434B


class Chrony:
    """chronyd in a folder of its own, with no network; and the receiver that feeds it."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        # Not the test's own folder: the path of a socket has at most 107 characters. In memory, as /run is: chronyc
        # makes a socket there each time.
        memory = Path("/dev/shm")
        home = memory if os.access(memory, os.W_OK) else None
        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chrony", dir=home)))
        self._commands = self._folder / "cmd.sock"
        self._samples = self._folder / "pps.sock"
        self._socket = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self._rng = np.random.default_rng(9)
        self._next_s = 0.0
        self.offset_s = 0.0

    def start(self, *directives: str) -> subprocess.Popen[bytes]:
        """Start it: ``-x`` leaves the system clock alone, ``-U`` and ``-u`` let it run as whoever we are."""
        assert CHRONYD is not None
        config = self._folder / "chrony.conf"
        config.write_text(
            "\n".join(
                [
                    f"maxclockerror {MAX_CLOCK_ERROR_PPM}",
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
                [CHRONYD, "-x", "-d", "-U", "-u", user, "-f", str(config)], stdin=subprocess.DEVNULL, stderr=errors
            )
        )
        self._stack.callback(process.kill)
        self.until(self._answers, "chronyd answers", pulses=False)
        return process

    def start_with_pulses(self) -> subprocess.Popen[bytes]:
        """Start it with a reference clock called PPS, polled eight times a second instead of every 16 s."""
        return self.start(f"refclock SOCK {self._samples} refid PPS poll -3 precision 1e-6")

    @property
    def command(self) -> list[str]:
        """What a node runs to ask this one."""
        assert CHRONYC is not None
        return [CHRONYC, "-h", str(self._commands), "-c", "tracking"]

    def read(self) -> Tracking:
        """Ask through chronyc, as a node does."""
        return read_tracking(self.command, timeout_s=PATIENCE_S)

    def until(
        self, done: Callable[[], object], what: str, *, pulses: bool = True, patience_s: float = PATIENCE_S
    ) -> None:
        """Wait until it is done; meanwhile the receiver sends pulses, fifty a second."""
        deadline_s = time.monotonic() + patience_s
        ask_s = 0.0
        while True:
            now_s = time.monotonic()
            assert now_s < deadline_s, f"waited {patience_s:g} s in vain until {what}"
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
        offset_s = self.offset_s + PULSE_NOISE_S * self._rng.normal()
        sample = _SAMPLE.pack(now_ns // NS_PER_S, now_ns % NS_PER_S // 1_000, offset_s, 0, 0, 0, _MAGIC)
        self._socket.sendto(sample, str(self._samples))

    def _answers(self) -> bool:
        with suppress(EdgeError):
            self.read()
            return True
        return False


def state_of(tracking: Tracking) -> ClockState:
    """Return the state, with holdover after 3 s instead of 64."""
    return clock_state(tracking, time.time_ns(), holdover_after_s=3.0)
