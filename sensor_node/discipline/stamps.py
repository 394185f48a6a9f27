"""Sample index -> CLOCK_MONOTONIC, from stamps that are late by different amounts; and where samples are missing."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

from sensor_node.discipline.line import Line, Segments
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["AdcStamp", "ClockBreak", "StampStep", "StampTrack", "StampedTime"]

_WARM_UP_S = 3.0
_WINDOW_S = 0.5
_WINDOW_BLOCKS = 6
_ACQUIRE_WINDOWS = 6
_WANDER = 1e-7
_FLOOR_NS2 = 500.0**2
_START_SLOPE_SIGMA = 300e-6
_CAUTION = 1.1
_GATE = 5.0
_GATE_FLOOR_NS = 50_000.0
_EARLY_WINDOWS, _LATE_WINDOWS, _GIVE_UP_WINDOWS = 2, 3, 8
_OPEN_SIGMA_NS = 100.0 * NS_PER_MS
_DRIFT_SHARE, _DRIFT_GATE, _DRIFT_FLOOR_NS = 0.25, 4.0, 10_000.0
_DELAY_STEP_NS = float(NS_PER_MS)
_DELAY_MEMORY_S = 1800.0
_STRAY_NS = NS_PER_S
_STRAYS = 8
_RECENT_S = 8.0
_LOCATE_DOUBT = 0.003
_USUAL = 0.9


@dataclass(frozen=True, slots=True)
class AdcStamp:
    """When a block of sound was converted, from PortAudio's ``inputBufferAdcTime``.

    Parameters
    ----------
    first_sample : int
        Index of the block's first sample as the capture counts: samples delivered; lost ones are not counted.
    samples : int
        Length of the block.
    adc_time_ns : int
        CLOCK_MONOTONIC of that sample; late by at least the constant bias of the hardware, never early.
    overflow : bool
        The driver says that samples were lost before this block; not how many.
    """

    first_sample: int
    samples: int
    adc_time_ns: int
    overflow: bool


@dataclass(frozen=True, slots=True)
class ClockBreak:
    """A place at which the sample index does not go on in time as it counts.

    Parameters
    ----------
    sample : int
        First sample that may be after it.
    lost_samples, sigma_samples : float
        How many samples are missing there, with 1-sigma; negative when there are too many.
    flagged : bool
        The driver had said so.
    """

    sample: int
    lost_samples: float
    sigma_samples: float
    flagged: bool


@dataclass(frozen=True, slots=True)
class StampStep:
    """By how much time steps at a sample. Without ``found`` no samples are missing: only the delay is another."""

    sample: int
    step_ns: float
    variance_ns2: float
    found: ClockBreak | None


@dataclass(frozen=True, slots=True)
class StampedTime:
    """CLOCK_MONOTONIC of a sample, its variance, and the doubt whether samples are missing before it."""

    monotonic_ns: int
    variance_ns2: float
    doubt_ns: float


@dataclass(frozen=True, slots=True)
class _Window:
    """What half a second of stamps says: the residual of its earliest blocks, at their mean sample."""

    first_sample: int
    end_sample: int
    sample: float
    residual_ns: float


class StampTrack:
    """A line through the earliest stamps.

    Delay has one sign, so of each half second only the earliest tenth counts: their mean residual. What that still
    is late by is nearly the same each time; how nearly is learnt from the innovations [Mehra1970].

    A window that does not fit is kept until it is clear what happened: samples are missing, or nothing.

    Attributes
    ----------
    refused_stamps, late_windows, delay_steps : int
        Stamps without a time or far off; windows that did not fit and meant nothing; times the delay changed.
    """

    def __init__(self, sample_rate_hz: int) -> None:
        self._rate = sample_rate_hz
        self._period_ns = NS_PER_S / sample_rate_hz
        self._segments = Segments(sample_rate_hz)
        self._recent: deque[AdcStamp] = deque()
        self._window: list[AdcStamp] = []
        self._pending: list[_Window] = []
        self._strays: list[AdcStamp] = []
        self._last: AdcStamp | None = None
        self._warm_from: int | None = None
        self._acquire_from = 0
        self._acquired = 0
        self._before: Line | None = None
        self._open_from: int | None = None
        self._open_last = 0
        self._open_flagged = False
        self._variance_ns2 = 0.0
        self._drift_ns = 0.0
        self._unsteady_ns = 0.0
        self._unsteady_from = 0.0
        self._judged = 0
        self.refused_stamps = 0
        self.late_windows = 0
        self.delay_steps = 0

    @property
    def line(self) -> Line | None:
        """The line that holds now; None until it can be trusted."""
        return self._segments.line if self._acquired >= _ACQUIRE_WINDOWS else None

    @property
    def decided_until(self) -> int:
        """Samples before this one cannot turn out to be after a break any more."""
        limit = self._judged
        if self._pending:
            limit = min(limit, self._pending[0].first_sample - round(_WINDOW_S * self._rate))
        if self._open_from is not None:
            limit = min(limit, self._open_from)
        return max(limit, 0)

    def at(self, sample: float) -> StampedTime | None:
        """Return CLOCK_MONOTONIC of a sample; None where nothing is known."""
        segment = self._segments.find(sample)
        if segment is None or segment.line is None or (segment.line is self._segments.line and self.line is None):
            return None
        doubt_ns = segment.doubt_ns
        if self._pending and sample >= self._pending[0].first_sample - _WINDOW_S * self._rate:
            doubt_ns = max(doubt_ns, max(abs(window.residual_ns) for window in self._pending))
        if self._open_from is not None and sample >= self._open_from:
            doubt_ns = max(doubt_ns, _OPEN_SIGMA_NS)
        variance_ns2 = _CAUTION**2 * segment.line.variance_ns2(sample) + self._unsteady(sample) ** 2
        return StampedTime(segment.line.at(sample), variance_ns2, doubt_ns)

    def add(self, stamp: AdcStamp) -> StampStep | None:
        """Take a stamp; return the step that it reveals, if it does."""
        step = self._overflow(stamp) if stamp.overflow else None
        if stamp.adc_time_ns <= 0:
            self.refused_stamps += 1
            return step
        if self._is_stray(stamp):
            return step
        if self._warm_from is None:
            self._warm_from = self._acquire_from = stamp.first_sample
            self._segments.begin(stamp.first_sample, None)
        self._last = stamp
        if stamp.first_sample < self._warm_from + _WARM_UP_S * self._rate:
            self._judged = stamp.first_sample
            return step
        self._recent.append(stamp)
        while self._recent[0].first_sample < stamp.first_sample - _RECENT_S * self._rate:
            self._recent.popleft()
        full = len(self._window) >= _WINDOW_BLOCKS
        if full and stamp.first_sample - self._window[0].first_sample >= _WINDOW_S * self._rate:
            step = self._close_window() or step
        self._window.append(stamp)
        return step

    def restart(self, sample: int) -> None:
        """Begin again at a sample, warm-up and all: the source was opened anew."""
        if self.line is not None:
            self._before = self.line
            self._acquire_from = min(sample, self.decided_until)
        self._abandon(self._acquire_from)
        self._warm_from, self._open_from, self._last = sample, None, None
        for seen in (self._strays, self._window, self._pending, self._recent):
            seen.clear()

    def _overflow(self, stamp: AdcStamp) -> StampStep | None:
        """End the window here: what follows may be later."""
        step = self._close_window()
        if self.line is not None:
            self._open_from = stamp.first_sample if self._open_from is None else self._open_from
            self._open_last, self._open_flagged = stamp.first_sample, True
        elif self._segments.line is not None:
            self._abandon(stamp.first_sample)
        return step

    def _abandon(self, sample: int) -> None:
        """Give up the line that was being acquired, and begin another at a sample."""
        self._segments.begin(min(self._acquire_from, sample), None)
        self._acquire_from, self._acquired = sample, 0

    def _is_stray(self, stamp: AdcStamp) -> bool:
        """Say whether a stamp is a second or more off where the last one leads; enough that agree are a new start."""
        if self._last is None:
            return False
        if not self._is_far(self._last, stamp):
            if self._strays and not self._open_flagged:
                self._open_from = None
            self._drop_strays()
            return False
        if self._strays and self._is_far(self._strays[-1], stamp):
            self._drop_strays()
        if self._open_from is None:
            self._open_from, self._open_flagged = stamp.first_sample, False
        self._strays.append(stamp)
        if len(self._strays) >= _STRAYS:
            last = self._strays[-1]
            self.restart(self._strays[0].first_sample)
            self._last = last
        return True

    def _is_far(self, old: AdcStamp, new: AdcStamp) -> bool:
        expected_ns = old.adc_time_ns + (new.first_sample - old.first_sample) * self._period_ns
        return abs(new.adc_time_ns - expected_ns) >= _STRAY_NS

    def _drop_strays(self) -> None:
        self.refused_stamps += len(self._strays)
        self._strays.clear()

    def _close_window(self) -> StampStep | None:
        blocks, self._window = self._window, []
        if len(blocks) < _WINDOW_BLOCKS:
            return None
        self._judged = blocks[0].first_sample
        line = self._segments.line or self._start(blocks)
        ranked = sorted(
            (line.residual_ns(block.first_sample, block.adc_time_ns), block.first_sample) for block in blocks
        )
        used = max(2, round(len(ranked) / 10.0))
        residual_ns = sum(residual for residual, _ in ranked[:used]) / used
        sample = sum(first for _, first in ranked[:used]) / used
        window = _Window(blocks[0].first_sample, blocks[-1].first_sample + blocks[-1].samples, sample, residual_ns)
        if self.line is None:
            return self._acquire(line, window, _least_mean_variance([residual for residual, _ in ranked], used))
        return self._judge(line, window)

    def _start(self, blocks: list[AdcStamp]) -> Line:
        first = min(blocks, key=lambda block: block.adc_time_ns - block.first_sample * self._period_ns)
        slope = self._before.slope if self._before is not None else 0.0
        line = Line(
            self._period_ns, _WANDER, first.first_sample, first.adc_time_ns, 0.0, slope,
            float(_STRAY_NS) ** 2, 0.0, _START_SLOPE_SIGMA**2,
        )  # fmt: skip
        self._segments.begin(self._acquire_from, line)
        self._acquired = 0
        return line

    def _acquire(self, line: Line, window: _Window, variance_ns2: float) -> StampStep | None:
        """Take one of the first windows; one that is far off begins the line again after it."""
        variance_ns2 = max(4.0 * variance_ns2, _FLOOR_NS2)
        self._variance_ns2 = min(variance_ns2, self._variance_ns2) if self._acquired else variance_ns2
        line.advance(window.sample)
        if self._acquired and abs(window.residual_ns) > 2.0 * _GATE * math.sqrt(line.p00 + self._variance_ns2):
            self.late_windows += 1
            self._abandon(window.end_sample)
            return None
        line.correct(window.residual_ns, self._variance_ns2)
        self._acquired += 1
        if self.line is None:
            return None
        self._drift_ns = 0.0
        before, self._before = self._before, None
        if before is None:
            return None
        first = self._acquire_from
        variance_ns2 = before.variance_ns2(first) + line.variance_ns2(first)
        return self._lost(line, first, before.residual_ns(first, line.at(first)), variance_ns2, flagged=False)

    def _judge(self, line: Line, window: _Window) -> StampStep | None:
        """Take a window, or keep it until it is clear whether samples are missing."""
        predicted_ns2 = line.variance_ns2(window.sample)
        gate_ns = max(_GATE * math.sqrt(predicted_ns2 + self._variance_ns2), _GATE_FLOOR_NS)
        if abs(window.residual_ns) <= gate_ns:
            return self._take(line, window, predicted_ns2)
        self._pending.append(window)
        flagged = self._open_from is not None and self._open_flagged and window.first_sample >= self._open_last
        needed = 1 if flagged else _LATE_WINDOWS if window.residual_ns > 0 else _EARLY_WINDOWS
        agreed = self._pending[-needed:]
        residuals_ns = [each.residual_ns for each in agreed]
        alike_ns = max(1.5 * _GATE * math.sqrt(self._variance_ns2), _GATE_FLOOR_NS)
        if len(agreed) == needed and max(residuals_ns) - min(residuals_ns) <= alike_ns:
            return self._break(line, agreed, flagged=flagged)
        if len(self._pending) >= _GIVE_UP_WINDOWS:
            return self._give_up(line, window)
        return None

    def _take(self, line: Line, window: _Window, predicted_ns2: float) -> StampStep | None:
        """Take a window that fits.

        What is too small to be a break is followed fast all the same: after a flag, and when several windows are off to
        the same side, the line is opened.
        """
        total_ns2 = predicted_ns2 + self._variance_ns2
        flagged = self._open_from if self._open_flagged else None
        line.advance(window.sample)
        line.p00 += total_ns2 if flagged is not None else 0.0
        line.correct(window.residual_ns, self._variance_ns2)
        self._acquired += 1
        seen_ns2 = window.residual_ns**2 - predicted_ns2
        self._variance_ns2 += (seen_ns2 - self._variance_ns2) / min(self._acquired, 64)
        self._variance_ns2 = max(self._variance_ns2, _FLOOR_NS2)
        self.late_windows += len(self._pending)
        self._pending.clear()
        self._open_from = None
        self._drift_ns += _DRIFT_SHARE * (window.residual_ns - self._drift_ns)
        drift_sigma_ns = math.sqrt(total_ns2 * _DRIFT_SHARE / (2.0 - _DRIFT_SHARE))
        if abs(self._drift_ns) > max(_DRIFT_GATE * drift_sigma_ns, _DRIFT_FLOOR_NS):
            line.p00 += self._drift_ns**2
            self._drift_ns = 0.0
            self.delay_steps += 1
        return StampStep(flagged, 0.0, total_ns2, None) if flagged is not None else None

    def _break(self, line: Line, agreed: list[_Window], *, flagged: bool) -> StampStep:
        """Go on with the same slope at another time."""
        step_ns = sum(each.residual_ns for each in agreed) / len(agreed)
        first, sure = self._locate(line, step_ns, self._open_from if flagged else None)
        sure = self._open_last if flagged else sure
        if len(self._pending) > len(agreed):
            first = min(first, self._pending[0].first_sample - round(_WINDOW_S * self._rate))
        first = max(first, math.ceil(self._segments.first_sample))
        after = replace(line)
        after.advance(sum(each.sample for each in agreed) / len(agreed))
        before_ns2 = after.p00
        after.shift(step_ns)
        after.p00, after.p01 = self._variance_ns2 / len(agreed), 0.0
        if sure > first:
            self._segments.begin(first, line, doubt_ns=abs(step_ns))
        self._segments.begin(max(first, sure), after)
        self._pending.clear()
        self._drift_ns = 0.0
        self._open_from = None
        if flagged or abs(step_ns) >= _DELAY_STEP_NS:
            return self._lost(after, first, step_ns, before_ns2 + after.p00, flagged=flagged)
        self.delay_steps += 1
        self._unsteady_ns = max(self._unsteady(after.sample), abs(step_ns) / 2.0)
        self._unsteady_from = after.sample
        return StampStep(first, 0.0, step_ns**2, None)

    def _give_up(self, line: Line, window: _Window) -> StampStep:
        """Begin again from the last window: nothing agrees any more."""
        worst_ns = max(abs(each.residual_ns) for each in self._pending)
        first = self._pending[0].first_sample - round(_WINDOW_S * self._rate)
        after = replace(line)
        after.advance(window.sample)
        after.shift(window.residual_ns)
        after.p00, after.p01, after.p11 = worst_ns**2, 0.0, after.p11 + _START_SLOPE_SIGMA**2
        self._segments.begin(max(first, self._segments.first_sample), line, doubt_ns=worst_ns)
        self._segments.begin(window.first_sample, after)
        self._pending.clear()
        self._open_from, self._acquired = None, 0
        return self._lost(after, window.first_sample, window.residual_ns, worst_ns**2, flagged=False)

    def _locate(self, line: Line, step_ns: float, flagged: int | None) -> tuple[int, int]:
        """Return the first sample that may be after a break, and the first that must be.

        A block may be late by chance, never early: one that is earlier than the line after the break was before the
        break, one that is earlier than the old line was after it. Between the last block that was no later than usual
        and the break there may have been another one.

        Parameters
        ----------
        line : Line
            From before it.
        step_ns : float
        flagged : int | None
            Where the driver says it is.
        """
        margin_ns = _GATE * math.sqrt(self._variance_ns2)
        start = self._pending[0].first_sample if flagged is None else flagged
        start -= round(2.0 * _WINDOW_S * self._rate)
        residuals_ns = [line.residual_ns(block.first_sample, block.adc_time_ns) for block in self._recent]
        split = sum(block.first_sample < start for block in self._recent)
        older_ns, residuals_ns = sorted(residuals_ns[:split]), residuals_ns[split:]
        starts = [block.first_sample for block in self._recent][split:]
        starts.append(self._recent[-1].first_sample + self._recent[-1].samples)
        last, size_ns = len(residuals_ns), abs(step_ns) - margin_ns
        unsure = _run_length(sum(each_ns >= size_ns for each_ns in older_ns), len(older_ns), last)
        if flagged is not None:
            place, unsure = sum(first < flagged for first in starts[:-1]), 0
        elif step_ns > 0:
            place = 1 + max((i for i, each_ns in enumerate(residuals_ns) if each_ns < size_ns), default=-1)
        else:
            place = min((i for i, each_ns in enumerate(residuals_ns) if each_ns < -margin_ns), default=last)
            return starts[max(place - unsure, 0)], starts[place]
        usual_ns = older_ns[int(_USUAL * len(older_ns))] if older_ns else 0.0
        usual = 1 + max((i for i in range(place) if residuals_ns[i] <= usual_ns), default=-1)
        return starts[usual], starts[min(place + unsure, last)]

    def _lost(self, line: Line, sample: int, step_ns: float, variance_ns2: float, *, flagged: bool) -> StampStep:
        period_ns = self._period_ns * (1.0 + line.slope)
        found = ClockBreak(sample, step_ns / period_ns, math.sqrt(variance_ns2) / period_ns, flagged)
        return StampStep(sample, step_ns, variance_ns2, found)

    def _unsteady(self, sample: float) -> float:
        """Return half the largest change of delay (ns) in the last half hour, faded by its age."""
        age_s = max(sample - self._unsteady_from, 0.0) / self._rate
        return self._unsteady_ns * math.exp(-age_s / _DELAY_MEMORY_S)


def _least_mean_variance(ranked_ns: list[float], used: int) -> float:
    """Return the variance of the mean of the smallest few of many values.

    The spacings of the smallest are exponential and independent [DavidNagaraja2003]; their size is taken
    from the smallest quarter.
    """
    quarter = max(2, len(ranked_ns) // 4)
    spacing_ns = (ranked_ns[quarter] - ranked_ns[0]) / quarter
    return spacing_ns**2 * (used / 3.0 + 0.5 + 1.0 / (6.0 * used))


def _run_length(late: int, blocks: int, most: int) -> int:
    """Return how many blocks in a row may be late by chance, when so many of a number are."""
    if not blocks or late == blocks:
        return most
    return min(most, int(math.log(_LOCATE_DOUBT) / math.log(late / blocks))) if late else 0
