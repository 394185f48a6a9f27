"""CLOCK_MONOTONIC -> UTC, by what the host and its time daemon say."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime

from shotline.domain import ClockState
from shotline.units import NS_PER_S

__all__ = ["HostClock", "HostStep", "HostTime", "UtcReading"]

_GPS_ERA_NS = 1024 * 7 * 86_400 * NS_PER_S
_HOST_DRIFT = 2e-6
_READING_NOISE_NS = 20_000
_READING_AGE_NS = 30 * NS_PER_S
_READINGS_KEPT = 128
_DISPUTE_BEFORE_NS, _DISPUTE_AFTER_NS = 10 * NS_PER_S, 60 * NS_PER_S
_LEAP_GUARD_NS = 3 * NS_PER_S


@dataclass(frozen=True, slots=True)
class UtcReading:
    """How CLOCK_MONOTONIC relates to UTC now, as the host has it.

    Parameters
    ----------
    monotonic_ns : int
        CLOCK_MONOTONIC.
    utc_ns : int
        CLOCK_REALTIME at the same instant (POSIX).
    bound_ns : int
        How far that can be off: chrony's |offset| + dispersion + delay / 2.
    state : ClockState
        NTP, PPS, HOLDOVER or UNTIMED, as the time daemon has it.
    leap : bool
        A leap second is pending or being applied.
    """

    monotonic_ns: int
    utc_ns: int
    bound_ns: int
    state: ClockState
    leap: bool = False

    @property
    def offset_ns(self) -> int:
        """UTC - CLOCK_MONOTONIC."""
        return self.utc_ns - self.monotonic_ns


@dataclass(frozen=True, slots=True)
class HostTime:
    """How UTC stood at an instant.

    Parameters
    ----------
    offset_ns : int
        UTC - CLOCK_MONOTONIC.
    sigma_ns : float
        1-sigma of it.
    state : ClockState
    dispute_ns : float
        Size of a step of UTC that nobody can judge: before and after cannot both be right.
    unknown : bool
        There is no telling UTC: a leap second, or an impossible year.
    """

    offset_ns: int
    sigma_ns: float
    state: ClockState
    dispute_ns: float
    unknown: bool


@dataclass(frozen=True, slots=True)
class HostStep:
    """By how much UTC stepped against CLOCK_MONOTONIC; a leap second was announced, and may be none after all."""

    step_ns: int
    leap: bool


@dataclass(slots=True)
class _Epoch:
    """Readings from one step of UTC to the next."""

    start_ns: int
    times_ns: list[int]
    readings: list[UtcReading]


class HostClock:
    """The host's readings.

    A clock that is slewed takes CLOCK_MONOTONIC along: their offset only changes when UTC steps. A reading that
    disagrees by more than both bounds is believed once the next one says the same; which side of such a step was right
    nobody knows, so that its size is a dispute for a while, before and after.

    A bound is the half-width of a rectangular distribution: its sigma is bound / sqrt(3) [JCGM2008] (4.3.7).

    Attributes
    ----------
    refused, implausible, glitches, steps : int
        Readings that go back in CLOCK_MONOTONIC; of an impossible year; that disagreed alone. Steps that were believed.
    """

    def __init__(self, not_before_ns: int) -> None:
        self._not_before_ns = not_before_ns
        self._epochs: list[_Epoch] = []
        self._timed: UtcReading | None = None
        self._suspect: UtcReading | None = None
        self._disputes: list[tuple[int, int, float]] = []
        self._implausible_from_ns: int | None = None
        self._leap_ns: int | None = None
        self._past_leaps_ns: list[int] = []
        self._last_ns = -1
        self.refused = 0
        self.implausible = 0
        self.glitches = 0
        self.steps = 0

    def add(self, reading: UtcReading) -> HostStep | None:
        """Take a reading; return the step of UTC that it confirms, if it does."""
        if reading.monotonic_ns <= self._last_ns:
            self.refused += 1
            return None
        self._last_ns = reading.monotonic_ns
        if not self._not_before_ns <= reading.utc_ns < self._not_before_ns + _GPS_ERA_NS:
            self.implausible += 1
            if self._implausible_from_ns is None:
                self._implausible_from_ns = reading.monotonic_ns
            return None
        self._implausible_from_ns = None
        if self._leap_ns is not None:
            if abs(reading.monotonic_ns - self._leap_ns) <= _LEAP_GUARD_NS:
                return None
            if reading.monotonic_ns > self._leap_ns:
                return self._pass_leap(reading, self._leap_ns)
        step = self._take(reading)
        if reading.state is not ClockState.UNTIMED and self._suspect is None:
            self._leap_ns = _next_month_ns(reading.utc_ns) - reading.offset_ns if reading.leap else None
        return step

    def at(self, monotonic_ns: int) -> HostTime | None:
        """Return how UTC stood at an instant; None before the first reading."""
        if not self._epochs:
            return None
        epoch = next((each for each in reversed(self._epochs) if each.start_ns <= monotonic_ns), self._epochs[0])
        reading = epoch.readings[max(bisect_right(epoch.times_ns, monotonic_ns) - 1, 0)]
        age_ns = abs(monotonic_ns - reading.monotonic_ns)
        state = reading.state
        if age_ns > _READING_AGE_NS and state is not ClockState.UNTIMED:
            state = ClockState.HOLDOVER
        sigma_ns = reading.bound_ns / math.sqrt(3.0) + _HOST_DRIFT * age_ns
        return HostTime(
            reading.offset_ns, sigma_ns, state, self._dispute_ns(monotonic_ns), self._is_unknown(monotonic_ns)
        )

    def _pass_leap(self, reading: UtcReading, leap_ns: int) -> HostStep | None:
        """Take the first reading after a leap second."""
        self._leap_ns = None
        self._past_leaps_ns = [*self._past_leaps_ns[-3:], leap_ns]
        before = self._timed
        if before is None or reading.state is ClockState.UNTIMED:
            return self._take(reading)
        step_ns = reading.offset_ns - before.offset_ns
        seconds = round(step_ns / NS_PER_S)
        if abs(seconds) > 1 or abs(step_ns - seconds * NS_PER_S) > _tolerance_ns(before, reading):
            return self._take(reading)
        self._suspect = None
        self._begin(leap_ns, [reading])
        return HostStep(seconds * NS_PER_S, leap=True)

    def _take(self, reading: UtcReading) -> HostStep | None:
        timed, suspect = self._timed, self._suspect
        if not self._epochs:
            self._begin(reading.monotonic_ns, [reading])
            return None
        if reading.state is ClockState.UNTIMED or timed is None:
            self._append(reading)
            return None
        if _agree(timed, reading):
            self.glitches += suspect is not None
            self._suspect = None
            self._append(reading)
            return None
        if suspect is None or not _agree(suspect, reading):
            self.glitches += suspect is not None
            self._suspect = reading
            return None
        self.steps += 1
        self._suspect = None
        self._disputes = [*self._disputes[-7:], _dispute(suspect, timed)]
        self._begin(suspect.monotonic_ns, [suspect, reading])
        return HostStep(suspect.offset_ns - timed.offset_ns, leap=False)

    def _begin(self, start_ns: int, readings: list[UtcReading]) -> None:
        self._epochs = [*self._epochs[-7:], _Epoch(start_ns, [], [])]
        for reading in readings:
            self._append(reading)

    def _append(self, reading: UtcReading) -> None:
        epoch = self._epochs[-1]
        epoch.times_ns.append(reading.monotonic_ns)
        epoch.readings.append(reading)
        if len(epoch.readings) > 2 * _READINGS_KEPT:
            del epoch.times_ns[:_READINGS_KEPT], epoch.readings[:_READINGS_KEPT]
        if reading.state is not ClockState.UNTIMED:
            self._timed = reading

    def _dispute_ns(self, monotonic_ns: int) -> float:
        disputes = list(self._disputes)
        if self._suspect is not None and self._timed is not None:
            disputes.append(_dispute(self._suspect, self._timed))
        return max(
            (size_ns for start_ns, end_ns, size_ns in disputes if start_ns <= monotonic_ns <= end_ns), default=0.0
        )

    def _is_unknown(self, monotonic_ns: int) -> bool:
        if self._implausible_from_ns is not None and monotonic_ns >= self._implausible_from_ns:
            return True
        if self._leap_ns is not None and monotonic_ns >= self._leap_ns - _LEAP_GUARD_NS:
            return True
        return any(abs(monotonic_ns - leap_ns) <= _LEAP_GUARD_NS for leap_ns in self._past_leaps_ns)


def _dispute(suspect: UtcReading, timed: UtcReading) -> tuple[int, int, float]:
    """Return from when to when, and how large."""
    start_ns, end_ns = suspect.monotonic_ns - _DISPUTE_BEFORE_NS, suspect.monotonic_ns + _DISPUTE_AFTER_NS
    return start_ns, end_ns, float(abs(suspect.offset_ns - timed.offset_ns))


def _agree(old: UtcReading, new: UtcReading) -> bool:
    return abs(new.offset_ns - old.offset_ns) <= _tolerance_ns(old, new)


def _tolerance_ns(old: UtcReading, new: UtcReading) -> float:
    age_ns = new.monotonic_ns - old.monotonic_ns
    return old.bound_ns + new.bound_ns + _READING_NOISE_NS + _HOST_DRIFT * age_ns


def _next_month_ns(utc_ns: int) -> int:
    """Return the end of the UTC month, which is where a leap second is [RFC5905] (section 7.3)."""
    day = datetime.fromtimestamp(utc_ns // NS_PER_S, tz=UTC)
    months = 12 * day.year + day.month
    return int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp()) * NS_PER_S
