"""Sample index -> UTC from the sound card's crystal alone, and how far that went wrong whenever it was tried."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

from sensor_node.discipline.line import Line, Segments
from shotline.units import NS_PER_S

__all__ = ["CoastTrack", "CoastedTime"]

_WANDER = 2e-8
_STEP_S = 10.0
_POINTS = 6
_GATE = 5.0
_GATE_FLOOR_NS = 50_000.0
_TRIAL_STEP_S = 30.0
_TRIAL_AGES_S = (60.0, 120.0, 240.0, 480.0, 960.0)
_RAMP_PER_S = 3e-6 / 600.0
_LEAST_SHARE = 1.0 / 3.0
_CAUTION = 1.25


@dataclass(frozen=True, slots=True)
class CoastedTime:
    """UTC of a sample, its variance, and the sigma of what it was last told."""

    time_ns: int
    variance_ns2: float
    systematic_ns: float


class CoastTrack:
    """A slow line through the UTC that it is told every ten seconds.

    Every thirty seconds it looks what it would have said had it heard nothing for 1, 2, 4, 8 and 16 minutes. Those
    errors are the measured stability, and sigma grows by them. Trials that were not made yet are stood in for by a
    temperature ramp, 3 ppm in 10 minutes, and however calm the crystal has been, sigma grows by a third of that: a ramp
    can begin when the reference is lost.

    Attributes
    ----------
    next_sample : int
        Where it wants to be told again.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._period_ns = NS_PER_S / sample_rate_hz
        self._segments = Segments(sample_rate_hz)
        self._systematic_ns = 0.0
        self._points = 0
        self._trials: deque[Line] = deque()
        self._square_ns2 = [0.0] * len(_TRIAL_AGES_S)
        self._count = [0] * len(_TRIAL_AGES_S)
        self._growth = self._fit_growth()
        self.next_sample = 0

    def reset(self) -> None:
        """Forget the time; what is known of the crystal stays."""
        self._points = 0
        self._trials.clear()

    def shift(self, first_sample: float, step_ns: float, variance_ns2: float) -> None:
        """Carry the line over lost samples."""
        self._segments.shift(first_sample, step_ns, variance_ns2)
        self._trials.clear()

    def relabel(self, seconds: int) -> None:
        """Count other seconds from now on."""
        for line in (self._segments.line, *self._trials):
            if line is not None:
                line.time_ns += seconds * NS_PER_S

    def at(self, sample: float) -> CoastedTime | None:
        """Return UTC of a sample; None until it was told often enough."""
        segment = self._segments.find(sample)
        if segment is None or segment.line is None or self._points < _POINTS:
            return None
        line = segment.line
        age_s = max(sample - line.sample, 0.0) / self._rate
        variance_ns2 = line.p00 + line.p11 * (age_s * NS_PER_S) ** 2 + self.growth_ns(age_s) ** 2
        return CoastedTime(line.at(sample), variance_ns2, self._systematic_ns)

    def add(self, sample: float, time_ns: int, variance_ns2: float, systematic_ns: float, stamps: Line) -> None:
        """Hear what UTC a sample has; ``stamps`` for the rate, at the start."""
        self.next_sample = math.ceil(sample + _STEP_S * self._rate)
        self._systematic_ns = systematic_ns
        line = self._segments.line
        if line is not None and self._points:
            gate_ns2 = _GATE**2 * (line.variance_ns2(sample) + variance_ns2) + _GATE_FLOOR_NS**2
            if line.residual_ns(sample, time_ns) ** 2 > gate_ns2:
                self.reset()
        if line is None or not self._points:
            line = Line(self._period_ns, _WANDER, sample, time_ns, 0.0, stamps.slope, variance_ns2, 0.0, stamps.p11)
            self._segments.begin(sample, line)
        else:
            residual_ns = line.residual_ns(sample, time_ns)
            line.advance(sample)
            line.correct(residual_ns, variance_ns2)
        self._points += 1
        if self._points >= _POINTS:
            self._try(line)

    def growth_ns(self, age_s: float) -> float:
        """Return the sigma after coasting so long: like the age before the first trial, its square after the last."""
        first_s, first_ns = self._growth[0]
        if age_s <= first_s:
            return first_ns * age_s / first_s
        for (young_s, young_ns), (old_s, old_ns) in zip(self._growth, self._growth[1:], strict=False):
            if age_s <= old_s:
                share = math.log(age_s / young_s) / math.log(old_s / young_s)
                return math.exp((1.0 - share) * math.log(young_ns) + share * math.log(old_ns))
        last_s, last_ns = self._growth[-1]
        return last_ns * (age_s / last_s) ** 2

    def _try(self, line: Line) -> None:
        if self._trials and line.sample - self._trials[-1].sample < _TRIAL_STEP_S * self._rate:
            return
        for trial in self._trials:
            age_s = (line.sample - trial.sample) / self._rate
            for place, wanted_s in enumerate(_TRIAL_AGES_S):
                if abs(age_s - wanted_s) <= _STEP_S:
                    error_ns = trial.residual_ns(line.sample, line.time_ns) * wanted_s / age_s
                    self._square_ns2[place] += error_ns**2
                    self._count[place] += 1
        self._trials.append(replace(line))
        while line.sample - self._trials[0].sample > (_TRIAL_AGES_S[-1] + _STEP_S) * self._rate:
            self._trials.popleft()
        self._growth = self._fit_growth()

    def _fit_growth(self) -> list[tuple[float, float]]:
        """Return age (s) and sigma (ns) of coasting: trials, and the ramp with the weight of one trial."""
        growth: list[tuple[float, float]] = []
        younger_ns = 0.0
        for age_s, square_ns2, count in zip(_TRIAL_AGES_S, self._square_ns2, self._count, strict=True):
            ramp_ns = 0.5 * _RAMP_PER_S * age_s**2 * NS_PER_S
            expected_ns = max(ramp_ns, 2.0 * younger_ns)
            independent = count * _TRIAL_STEP_S / age_s
            mean_ns2 = square_ns2 / count if count else 0.0
            seen_ns = _CAUTION * math.sqrt((independent * mean_ns2 + expected_ns**2) / (independent + 1.0))
            younger_ns = max(seen_ns, _LEAST_SHARE * ramp_ns)
            growth.append((age_s, younger_ns))
        return growth
