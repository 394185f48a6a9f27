"""What chronyd knows of the system clock. Parsing is pure; asking ``chronyc`` and reading clocks are thin edges."""

from __future__ import annotations

import math
import os
import re
import subprocess
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from shotline.domain import ClockState
from shotline.errors import EdgeError, InputError
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["ClockPair", "Leap", "Tracking", "clock_state", "parse_tracking", "read_tracking", "read_utc"]

Leap = Literal["normal", "insert", "delete", "unsynchronised"]

_LEAPS: dict[str, Leap] = {
    "Normal": "normal",
    "Insert second": "insert",
    "Delete second": "delete",
    "Not synchronised": "unsynchronised",
}
_SOURCE = "chronyc -c tracking"
_LEAST_FIELDS = 14
_MAX_STRATUM = 16
_MAX_CHARS = 1_000
_MAX_EPOCH_S = 2**63 / NS_PER_S
_LONGEST_S = UNTIMED_SIGMA_NS / NS_PER_S
_LOCAL_REFERENCE = "127.127.1.1"
_NUMBER = re.compile(r"[+-]?[0-9]{1,20}(?:\.[0-9]{1,20})?\Z")
_REFERENCE_ID = re.compile(r"[0-9A-Fa-f]{8}\Z")


@dataclass(frozen=True, slots=True)
class Tracking:
    """One reading of ``chronyc -c tracking``.

    Parameters
    ----------
    reference : str
        Name or address of what the clock follows, such as ``PPS`` or ``192.0.2.1``; "" when it follows nothing.
    stratum : int
        1 for a reference clock of our own, 2 for a server that has one; 0 when not synchronised.
    reference_time_s : float
        UTC of the last measurement that was used, seconds since 1970; in steps of 0.24 us, as any float64 epoch.
    offset_s : float
        True time minus system clock, as chronyd estimates it now: positive when the system clock is slow.
    frequency_ppm : float
        Error of the system clock's rate that chronyd corrects: positive when the clock would be slow.
    skew_ppm : float
        Error bound of that rate.
    root_delay_s : float
        Sum of network delays to the stratum-1 clock, there and back.
    root_dispersion_s : float
        Error gathered on that way and since the last measurement.
    leap : str
        ``normal``, ``insert``, ``delete`` or ``unsynchronised``: what happens at the end of this UTC day or month.
    """

    reference: str
    stratum: int
    reference_time_s: float
    offset_s: float
    frequency_ppm: float
    skew_ppm: float
    root_delay_s: float
    root_dispersion_s: float
    leap: Leap

    @property
    def synchronised(self) -> bool:
        """Whether chronyd follows anything outside. In its ``local`` mode it follows itself, and calls that normal."""
        return self.leap != "unsynchronised" and self.reference != _LOCAL_REFERENCE

    @property
    def bound_ns(self) -> int:
        """The most that the system clock can be wrong, if its stratum-1 clock is right.

        |offset| + root dispersion + root delay / 2, from the manual page chronyc(1), under "Root dispersion". The
        dispersion grows by ``maxclockerror`` (chrony.conf, 1 ppm unless set) plus skew after the last measurement, so
        it is a bound only where the clock's crystal keeps that. Not synchronised: `UNTIMED_SIGMA_NS`.
        """
        if not self.synchronised:
            return UNTIMED_SIGMA_NS
        bound_s = abs(self.offset_s) + self.root_dispersion_s + self.root_delay_s / 2.0
        return ns_from_seconds(min(bound_s, _LONGEST_S))


class ClockPair(NamedTuple):
    """One instant on two clocks.

    Parameters
    ----------
    monotonic_ns, utc_ns : int
        What the clocks said.
    bracket_ns : int
        Time between the readings of the monotonic clock before and after; the two are together within half of it.
    """

    monotonic_ns: int
    utc_ns: int
    bracket_ns: int


def parse_tracking(text: str) -> Tracking:
    """Return what one line of ``chronyc -c tracking`` says.

    The order of its fields is that of chrony 4.3: reference id, name, stratum, reference time, system time, last
    offset, rms offset, frequency, residual frequency, skew, root delay, root dispersion, update interval, leap. A
    later version may append fields; they are not read.

    Raises
    ------
    InputError
        The text is anything else; the error names the field.
    """
    if len(text) > _MAX_CHARS:
        raise _wrong(f"{len(text)} characters, expected one line under {_MAX_CHARS}")
    fields = text.strip().split(",")
    if len(fields) < _LEAST_FIELDS or len(text.strip().splitlines()) != 1:
        raise _wrong(
            f"{text.strip()[:80]!r} is not one line of {_LEAST_FIELDS} fields with commas between; "
            "is this chronyc 4.0 or newer, called with -c?"
        )
    leap = _LEAPS.get(fields[13])
    if leap is None:
        raise _wrong(f"{fields[13][:40]!r} is none of {', '.join(_LEAPS)}", field="leap")
    return Tracking(
        reference=_reference(fields[0], fields[1]),
        stratum=_stratum(fields[2]),
        reference_time_s=_number(fields[3], "reference_time_s", least=0.0, most=_MAX_EPOCH_S),
        offset_s=_number(fields[4], "offset_s"),
        frequency_ppm=_number(fields[7], "frequency_ppm"),
        skew_ppm=_number(fields[9], "skew_ppm", least=0.0),
        # chronyd gives a delay below 0 when the two ways of a packet differ; a bound must not shrink by it.
        root_delay_s=max(0.0, _number(fields[10], "root_delay_s")),
        root_dispersion_s=_number(fields[11], "root_dispersion_s", least=0.0),
        leap=leap,
    )


def read_tracking(command: Sequence[str] = ("chronyc", "-c", "tracking"), timeout_s: float = 2.0) -> Tracking:
    """Ask chronyd, through ``chronyc``.

    Raises
    ------
    EdgeError
        ``chronyc`` is not there, does not answer in time, or reaches no chronyd.
    InputError
        It says something that `parse_tracking` does not take.
    """
    if not command:
        raise InputError("command is empty; expected a program and its arguments, such as chronyc -c tracking")
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired as error:
        raise EdgeError(f"{command[0]} did not answer within {timeout_s:g} s; does chronyd run?") from error
    except OSError as error:
        raise EdgeError(
            f"cannot run {command[0]}: {error.strerror}; install chrony (apt-get install chrony)"
        ) from error
    out = done.stdout.decode("utf-8", errors="replace")
    if done.returncode:
        said = (out + done.stderr.decode("utf-8", errors="replace")).strip()[:200] or "nothing"
        raise EdgeError(f"{command[0]} ended with {done.returncode} and said: {said}; does chronyd run?")
    return parse_tracking(out)


def clock_state(
    tracking: Tracking,
    now_ns: int,
    *,
    pulse_references: Collection[str] = ("PPS",),
    holdover_after_s: float = 64.0,
) -> ClockState:
    """Return how the system clock knows the time.

    chronyd calls itself synchronised for ever once it was; that it coasts shows only in the age of its last
    measurement.

    Parameters
    ----------
    tracking : Tracking
    now_ns : int
        UTC nanoseconds.
    pulse_references : collection of str
        ``refid`` of the reference clocks in chrony.conf that are pulses.
    holdover_after_s : float
        A pulse that was last used so long ago is lost: four polls of 16 s, chronyd's longest for a reference clock
        unless configured otherwise. How old a server's answer is does not count: a thousand seconds are usual, and
        the bound grows meanwhile.
    """
    if not tracking.synchronised:
        return ClockState.UNTIMED
    if tracking.stratum != 1 or tracking.reference not in pulse_references:
        return ClockState.NTP
    age_ns = now_ns - ns_from_seconds(tracking.reference_time_s)
    return ClockState.HOLDOVER if age_ns > ns_from_seconds(holdover_after_s) else ClockState.PPS


def read_utc(monotonic_ns: Callable[[], int], utc_ns: Callable[[], int], *, readings: int = 5) -> ClockPair:
    """Read two clocks at one instant: the first, the second, the first again; the closest of several such triples.

    Parameters
    ----------
    monotonic_ns, utc_ns : callable () -> int
        Nanoseconds of a clock that never steps, and UTC: ``time.monotonic_ns`` and ``time.time_ns``.
    readings : int
        How many triples; whatever interrupts one of them widens its bracket, and it is not taken.

    Raises
    ------
    InputError
        ``readings`` is less than 1.
    EdgeError
        The first clock runs backwards.
    """
    if readings < 1:
        raise InputError(f"{readings} readings, expected 1 or more", field="readings")
    return min((_triple(monotonic_ns, utc_ns) for _ in range(readings)), key=lambda reading: reading.bracket_ns)


def _triple(monotonic_ns: Callable[[], int], utc_ns: Callable[[], int]) -> ClockPair:
    before_ns = monotonic_ns()
    at_ns = utc_ns()
    bracket_ns = monotonic_ns() - before_ns
    if bracket_ns < 0:
        raise EdgeError(f"the monotonic clock went back by {-bracket_ns} ns between two readings; do not use it")
    return ClockPair(before_ns + bracket_ns // 2, at_ns, bracket_ns)


def _reference(number: str, name: str) -> str:
    """Return the name of a reference, or what its id spells when chronyc gives no name."""
    if not _REFERENCE_ID.match(number):
        raise _wrong(f"{number[:40]!r} is not a reference id of 8 hexadecimal digits", field="reference")
    if name:
        return name
    octets = bytes.fromhex(number)
    spelled = octets.rstrip(b"\0").decode("latin-1")
    return spelled if spelled.isascii() and spelled.isprintable() else ".".join(map(str, octets))


def _stratum(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= _MAX_STRATUM):
        raise _wrong(f"{text[:40]!r} is not a stratum from 0 to {_MAX_STRATUM}", field="stratum")
    return int(text)


def _number(text: str, field: str, *, least: float = -math.inf, most: float = math.inf) -> float:
    if not _NUMBER.match(text):
        raise _wrong(f"{text[:40]!r} is not a decimal number", field=field)
    value = float(text)
    if not least <= value <= most:
        raise _wrong(f"{value:g} is not within {least:g} to {most:g}", field=field)
    return value


def _wrong(message: str, *, field: str = "") -> InputError:
    return InputError(message, source=_SOURCE, field=field)
