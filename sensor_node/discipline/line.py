"""A clock as a straight line that bends slowly: time at a sample, and by how much the period is off."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from shotline.units import NS_PER_S

__all__ = ["Line", "Segment", "Segments"]

_MAX_SLOPE = 500e-6
_MEMORY_S = 30.0


@dataclass(slots=True)
class Line:
    """Two-state Kalman filter [Kalman1960] of a clock.

    The clock model is that of [Galleani2003] with random-walk frequency noise only.

    Parameters
    ----------
    period_ns : float
        Nominal time between samples.
    wander : float
        By how much the sigma of the slope grows in one second; as the root of the time after that.
    sample : float
        Where the state is given.
    time_ns : int
        Time there, whole part: no float holds both.
    rest_ns : float
        The rest of it.
    slope : float
        Period / nominal period - 1.
    p00, p01, p11 : float
        Covariance of time (ns) and slope.
    """

    period_ns: float
    wander: float
    sample: float
    time_ns: int
    rest_ns: float
    slope: float
    p00: float
    p01: float
    p11: float

    def at(self, sample: float) -> int:
        """Return the time of a sample."""
        return self.time_ns + round(self.rest_ns + self._span_ns(sample) * (1.0 + self.slope))

    def residual_ns(self, sample: float, time_ns: int) -> float:
        """Return observed minus predicted time."""
        return (time_ns - self.time_ns) - (self.rest_ns + self._span_ns(sample) * (1.0 + self.slope))

    def variance_ns2(self, sample: float) -> float:
        """Return the variance of `at`, before the state as well as after it."""
        span_ns = self._span_ns(sample)
        return self.p00 + span_ns * (2.0 * self.p01 + span_ns * (self.p11 + self._noise_per_ns * abs(span_ns) / 3.0))

    def advance(self, sample: float) -> None:
        """Carry the state to a later sample."""
        span_ns, noise = self._span_ns(sample), self._noise_per_ns
        self.p00 = self.variance_ns2(sample)
        self.p01 += span_ns * (self.p11 + noise * span_ns / 2.0)
        self.p11 += noise * span_ns
        self.shift(span_ns * (1.0 + self.slope))
        self.sample = sample

    def shift(self, step_ns: float) -> None:
        """Move the line in time."""
        rest_ns = self.rest_ns + step_ns
        whole_ns = math.floor(rest_ns)
        self.time_ns += whole_ns
        self.rest_ns = rest_ns - whole_ns

    def correct(self, residual_ns: float, variance_ns2: float) -> None:
        """Take a measurement at the state's sample."""
        total_ns2 = self.p00 + variance_ns2
        gain_time, gain_slope = self.p00 / total_ns2, self.p01 / total_ns2
        self.shift(gain_time * residual_ns)
        self.slope = min(max(self.slope + gain_slope * residual_ns, -_MAX_SLOPE), _MAX_SLOPE)
        self.p11 -= gain_slope * self.p01
        self.p01 *= 1.0 - gain_time
        self.p00 *= 1.0 - gain_time

    @property
    def _noise_per_ns(self) -> float:
        return self.wander**2 / NS_PER_S

    def _span_ns(self, sample: float) -> float:
        return (sample - self.sample) * self.period_ns


@dataclass(frozen=True, slots=True)
class Segment:
    """A line, from which sample on it holds, and the doubt (ns) that comes on top of its sigma there."""

    first_sample: float
    line: Line | None
    doubt_ns: float = 0.0


class Segments:
    """Lines one after another: a sample before a break keeps the line of then."""

    def __init__(self, sample_rate_hz: int) -> None:
        self._memory_samples = _MEMORY_S * sample_rate_hz
        self._all: list[Segment] = []

    @property
    def line(self) -> Line | None:
        """The line that holds now."""
        return self._all[-1].line if self._all else None

    @property
    def first_sample(self) -> float:
        """From where on it holds."""
        return self._all[-1].first_sample if self._all else 0.0

    def begin(self, first_sample: float, line: Line | None, *, doubt_ns: float = 0.0) -> None:
        """Start a segment; what began later is gone."""
        while self._all and self._all[-1].first_sample >= first_sample:
            self._all.pop()
        self._all.append(Segment(first_sample, line, doubt_ns))
        while len(self._all) > 1 and self._all[1].first_sample < first_sample - self._memory_samples:
            self._all.pop(0)

    def find(self, sample: float) -> Segment | None:
        """Return the segment of a sample; the first one for all that is older."""
        for segment in reversed(self._all):
            if segment.first_sample <= sample:
                return segment
        return self._all[0] if self._all else None

    def shift(self, first_sample: float, step_ns: float, variance_ns2: float) -> None:
        """Let the samples from here on be later, by an amount that is known so well."""
        if self.line is not None:
            line = replace(self.line, p00=self.line.p00 + variance_ns2)
            line.shift(step_ns)
            self.begin(first_sample, line)
