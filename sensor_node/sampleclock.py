"""From the sample index to UTC. The moment a block arrives is not a time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_S

__all__ = ["UNTIMED_SIGMA_NS", "ClockReading", "FixedRateClock", "SampleClock"]

UNTIMED_SIGMA_NS = 10**18
"""1-sigma of a clock that was never set: about 32 years. Nobody can mistake it for a time."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    """UTC of a sample.

    Parameters
    ----------
    time_ns : int
        UTC nanoseconds.
    sigma_ns : int
        1-sigma of it.
    state : ClockState
        How the clock knows.
    """

    time_ns: int
    sigma_ns: int
    state: ClockState


class SampleClock(Protocol):
    """Anything that dates samples."""

    def utc_at(self, sample_index: float) -> ClockReading:
        """Return the UTC of a sample index; fractions are allowed."""
        ...


@dataclass(frozen=True, slots=True)
class FixedRateClock:
    """The clock of a file: the time of sample 0 and an exact rate.

    Parameters
    ----------
    start_time_ns : int
        UTC of sample 0.
    sample_rate_hz : int
        Samples per second.
    sigma_ns : int
        1-sigma of the start time.
    state : ClockState
        What dated the recording.
    """

    start_time_ns: int
    sample_rate_hz: int
    sigma_ns: int
    state: ClockState

    def __post_init__(self) -> None:
        if self.sample_rate_hz <= 0:
            raise InputError(f"sample rate {self.sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
        if self.sigma_ns < 0:
            raise InputError(f"sigma {self.sigma_ns} ns is negative", field="sigma_ns")

    def utc_at(self, sample_index: float) -> ClockReading:
        """Return the UTC of a sample index, rounded to the nanosecond; whole samples use integers only."""
        whole = math.floor(sample_index)
        fraction = float(sample_index - whole)
        nanoseconds, remainder = divmod(whole * NS_PER_S, self.sample_rate_hz)
        offset_ns = round((remainder + fraction * NS_PER_S) / self.sample_rate_hz)
        return ClockReading(self.start_time_ns + nanoseconds + offset_ns, self.sigma_ns, self.state)

    @classmethod
    def untimed(cls, sample_rate_hz: int) -> FixedRateClock:
        """Return the clock of a recording whose start nobody knows: it counts from 1970 and says so."""
        return cls(0, sample_rate_hz, UNTIMED_SIGMA_NS, ClockState.UNTIMED)
