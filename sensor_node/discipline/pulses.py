"""Sample index -> UTC, from the edges of a PPS that is recorded beside the sound."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from sensor_node.discipline.line import Line, Segments
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["PulseStep", "PulseTrack", "PulsedTime"]

_WANDER = 1e-7
_START_SLOPE_SIGMA = 50e-6
_FLOOR_NS2 = 100.0**2
_GATE = 5.0
_GATE_FLOOR_NS = 1_000.0
_LOCK = 3
_ALIKE_NS = 5_000.0
_FRESH_S = 3.5
_RESTART_S = 60.0
_OFF_SECOND_NS = float(NS_PER_MS)
_LABEL_SIGMA_NS = 100.0 * NS_PER_MS


@dataclass(frozen=True, slots=True)
class PulsedTime:
    """UTC of a sample, its variance, and the doubt left by edges that do not fit."""

    time_ns: int
    variance_ns2: float
    doubt_ns: float


@dataclass(frozen=True, slots=True)
class PulseStep:
    """By how much time steps at a sample, seen by the edges alone."""

    sample: float
    step_ns: float
    variance_ns2: float


class PulseTrack:
    """A line through the edges. Which second an edge is, the rest of the clock has to say once.

    Attributes
    ----------
    rejected, steps : int
        Edges that were not used; times that the edges, three in a row, were elsewhere in the second.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._period_ns = NS_PER_S / sample_rate_hz
        self._segments = Segments(sample_rate_hz)
        self._strays: list[tuple[float, float]] = []
        self._taken = 0
        self._last = -math.inf
        self.rejected = 0
        self.steps = 0

    def at(self, sample: float) -> PulsedTime | None:
        """Return UTC of a sample; None when there is no pulse near enough before it."""
        segment = self._segments.find(sample)
        if segment is None or segment.line is None:
            return None
        if self._taken < _LOCK or sample - self._last > _FRESH_S * self._rate:
            return None
        doubt_ns = segment.doubt_ns
        if self._strays and sample > self._last:
            doubt_ns = max(doubt_ns, max(abs(residual_ns) for _, residual_ns in self._strays))
        return PulsedTime(segment.line.at(sample), segment.line.variance_ns2(sample), doubt_ns)

    def shift(self, first_sample: float, step_ns: float, variance_ns2: float) -> None:
        """Carry the line over lost samples."""
        self._segments.shift(first_sample, step_ns, variance_ns2)

    def relabel(self, seconds: int) -> None:
        """Count other seconds from now on."""
        if self._segments.line is not None:
            self._segments.line.time_ns += seconds * NS_PER_S

    def add(
        self, sample: float, sigma_samples: float, utc_ns: int, utc_sigma_ns: float, stamps: Line
    ) -> PulseStep | None:
        """Take an edge; return the step that it confirms, if it does.

        Parameters
        ----------
        sample, sigma_samples : float
            Where it is, with 1-sigma.
        utc_ns, utc_sigma_ns : int, float
            What the clock says without it.
        stamps : Line
            For the rate, at the start.
        """
        variance_ns2 = (sigma_samples * self._period_ns) ** 2 + _FLOOR_NS2
        line = self._segments.line
        if line is None or sample - self._last > _RESTART_S * self._rate:
            self._start(sample, variance_ns2, utc_ns, utc_sigma_ns, stamps)
            return None
        residual_ns = line.residual_ns(sample, _whole_second_ns(line.at(sample)))
        gate_ns = _GATE * math.sqrt(line.variance_ns2(sample) + variance_ns2)
        if abs(residual_ns) > max(gate_ns, _GATE_FLOOR_NS):
            self.rejected += 1
            if self._taken < _LOCK:
                self._start(sample, variance_ns2, utc_ns, utc_sigma_ns, stamps)
                return None
            self._strays = [*self._strays[1 - _LOCK :], (sample, residual_ns)]
            off_ns = abs(utc_ns - _whole_second_ns(utc_ns))
            return self._step(line, variance_ns2) if off_ns <= _OFF_SECOND_NS + 4.0 * utc_sigma_ns else None
        line.advance(sample)
        line.correct(residual_ns, variance_ns2)
        self._strays.clear()
        self._taken, self._last = self._taken + 1, sample
        return None

    def _step(self, line: Line, variance_ns2: float) -> PulseStep | None:
        """Follow the edges elsewhere, when enough agree: a few samples are missing."""
        residuals_ns = [residual_ns for _, residual_ns in self._strays]
        if len(self._strays) < _LOCK or max(residuals_ns) - min(residuals_ns) > _ALIKE_NS:
            return None
        first, step_ns = self._strays[0][0], residuals_ns[-1]
        after = replace(line)
        after.advance(self._strays[-1][0])
        after.shift(step_ns)
        after.p00, after.p01 = variance_ns2, 0.0
        self._segments.begin(max(self._last, self._segments.first_sample), line, doubt_ns=abs(step_ns))
        self._segments.begin(first, after)
        self._last = self._strays[-1][0]
        self._strays.clear()
        self.steps += 1
        return PulseStep(first, step_ns, variance_ns2)

    def _start(self, sample: float, variance_ns2: float, utc_ns: int, utc_sigma_ns: float, stamps: Line) -> None:
        """Begin at an edge, when the clock knows UTC well enough and has a second there."""
        self._strays.clear()
        second_ns = _whole_second_ns(utc_ns)
        if utc_sigma_ns > _LABEL_SIGMA_NS or abs(utc_ns - second_ns) > _OFF_SECOND_NS + 4.0 * utc_sigma_ns:
            self.rejected += 1
            return
        slope_variance = stamps.p11 + _START_SLOPE_SIGMA**2
        line = Line(self._period_ns, _WANDER, sample, second_ns, 0.0, stamps.slope, variance_ns2, 0.0, slope_variance)
        self._segments.begin(sample - self._rate, line)
        self._taken, self._last = 1, sample


def _whole_second_ns(time_ns: int) -> int:
    return (time_ns + NS_PER_S // 2) // NS_PER_S * NS_PER_S
