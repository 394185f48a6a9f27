"""The sample clock of a node: what stamps, readings and pulses say, put together."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace

from sensor_node.discipline.coast import CoastTrack
from sensor_node.discipline.host import HostClock, HostTime, UtcReading
from sensor_node.discipline.pulses import PulseTrack
from sensor_node.discipline.stamps import AdcStamp, ClockBreak, StampedTime, StampTrack
from sensor_node.sampleclock import UNTIMED_SIGMA_NS, ClockReading
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["LAG_S", "DisciplinedClock"]

LAG_S = 2.0
"""A sample so old is as well dated as it will be, unless stamps make no sense."""
_PATIENCE_S = 6.0
_USABLE_SIGMA_NS = 50 * NS_PER_MS
_LABEL_STEP_NS = NS_PER_S / 4.0
_CLEARLY_NS = 50_000.0
_BIAS_MEMORY = 64


@dataclass(frozen=True, slots=True)
class _Dated:
    """UTC of a sample by one way: the part of the error that averages out, the part that does not, the doubt."""

    time_ns: int
    variance_ns2: float
    systematic_ns: float
    doubt_ns: float
    state: ClockState

    @property
    def sigma_ns(self) -> float:
        """Everything together."""
        return math.sqrt(self.variance_ns2 + self.systematic_ns**2 + self.doubt_ns**2)


class DisciplinedClock:
    """A `sensor_node.sampleclock.SampleClock` that learns: stamps, readings and pulses in, UTC of samples out.

    Parameters
    ----------
    sample_rate_hz : int
        Nominal samples per second.
    not_before_ns : int
        UTC when this program was built. A reading from before it, or over 1024 weeks after it, is refused: a GPS
        receiver has lost count of its weeks.
    late_bias_ns, late_bias_sigma_ns : int
        How late ADC times of this hardware are at best, and the 1-sigma of that; `adc_bias_ns` measures it.
    """

    def __init__(
        self, sample_rate_hz: int, *, not_before_ns: int, late_bias_ns: int = 0, late_bias_sigma_ns: int = 100_000
    ) -> None:
        if sample_rate_hz <= 0:
            raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
        if not_before_ns < 0:
            raise InputError(f"{not_before_ns} ns is before 1970; give the build date", field="not_before_ns")
        if late_bias_sigma_ns < 0:
            raise InputError(f"sigma {late_bias_sigma_ns} ns is negative", field="late_bias_sigma_ns")
        self.sample_rate_hz = sample_rate_hz
        """Nominal samples per second."""
        self._rate = sample_rate_hz
        self._bias_ns = late_bias_ns
        self._bias_sigma_ns = float(late_bias_sigma_ns)
        self._stamps = StampTrack(sample_rate_hz)
        self._host = HostClock(not_before_ns)
        self._pulses = PulseTrack(sample_rate_hz)
        self._coast = CoastTrack(sample_rate_hz)
        self._queue: deque[tuple[float, float]] = deque(maxlen=64)
        self._next_sample = 0
        self._settled = 0
        self._breaks: deque[ClockBreak] = deque(maxlen=32)
        self._break_count = 0
        self._lost_samples = 0.0
        self._last_pulse = -1.0
        self._unordered_pulses = 0
        self._untimed_pulses = 0
        self._adc_bias_ns = math.nan
        self._adc_bias_count = 0

    def add_stamp(self, stamp: AdcStamp) -> None:
        """Take the ADC time of a block; blocks come once each, in order.

        Raises
        ------
        InputError
            The block is empty, or begins before the end of the last one.
        """
        if stamp.samples <= 0:
            raise InputError(f"a block of {stamp.samples} samples; expected at least 1", field="samples")
        if stamp.first_sample < self._next_sample:
            raise InputError(
                f"block starts at sample {stamp.first_sample}, expected {self._next_sample} or later; "
                "give stamps once each, in order",
                field="first_sample",
            )
        self._next_sample = stamp.first_sample + stamp.samples
        step = self._stamps.add(stamp)
        if step is not None:
            if step.found is not None:
                self._breaks.append(step.found)
                self._break_count += 1
                self._lost_samples += step.found.lost_samples
                self._pulses.shift(step.sample, step.step_ns, step.variance_ns2)
            self._coast.shift(step.sample, step.step_ns, step.variance_ns2)
        decided = self._stamps.decided_until
        while self._queue and self._queue[0][0] < decided:
            self._take_pulse(*self._queue.popleft())
        lagging = min(decided, self._next_sample - round(LAG_S * self._rate))
        self._settled = max(self._settled, lagging, self._next_sample - round(_PATIENCE_S * self._rate))
        if self._settled >= self._coast.next_sample:
            self._feed_coast(self._settled)

    def reopen(self, sample: int) -> None:
        """Note that the source was opened anew before a sample: its first seconds have stamps that mean nothing.

        Samples until then stay dated as they are; where the index jumps nothing is dated.
        """
        self._stamps.restart(sample)

    def add_utc(self, reading: UtcReading) -> None:
        """Take a reading of the host's clock, best once a second.

        Raises
        ------
        InputError
            A negative bound or monotonic time, or a state that a host cannot have.
        """
        if reading.monotonic_ns < 0:
            raise InputError(f"monotonic time {reading.monotonic_ns} ns is negative", field="monotonic_ns")
        if reading.bound_ns < 0:
            raise InputError(f"bound {reading.bound_ns} ns is negative; give its size", field="bound_ns")
        if reading.state is ClockState.PPS_AUDIO:
            raise InputError("a host is never pps_audio; give pulses to add_pulse", field="state")
        step = self._host.add(reading)
        if step is None:
            return
        seconds = round(step.step_ns / NS_PER_S)
        self._pulses.relabel(seconds)
        if step.leap:
            self._coast.relabel(seconds)
        else:
            self._coast.reset()

    def add_pulse(self, sample: float, sigma_samples: float) -> None:
        """Take the edge of a pulse in the second channel; edges come in order.

        Raises
        ------
        InputError
            A sample that is negative or not finite, or a sigma that is not more than 0.
        """
        if not (math.isfinite(sample) and sample >= 0.0):
            raise InputError(f"pulse at sample {sample}; expected a finite number from 0", field="sample")
        if not (math.isfinite(sigma_samples) and sigma_samples > 0.0):
            raise InputError(f"sigma of {sigma_samples} samples; expected more than 0", field="sigma_samples")
        if sample <= self._last_pulse:
            self._unordered_pulses += 1
            return
        self._last_pulse = sample
        self._queue.append((sample, sigma_samples))

    def utc_at(self, sample_index: float) -> ClockReading:
        """Return the UTC of a sample, best asked for once it is before `settled_until`, and not 5 s later than that.

        A sample with a sigma of over 50 ms is `untimed`, as is one within 3 s of a leap second, and one that was heard
        when the host's year was impossible.
        """
        if not math.isfinite(sample_index):
            raise InputError(f"sample index {sample_index} is not a finite number", field="sample_index")
        dated = self._date(sample_index)
        if dated is None:
            count_ns = round(sample_index * NS_PER_S / self._rate)
            return ClockReading(count_ns, UNTIMED_SIGMA_NS, ClockState.UNTIMED)
        sigma_ns = min(math.ceil(dated.sigma_ns), UNTIMED_SIGMA_NS)
        state = dated.state if sigma_ns <= _USABLE_SIGMA_NS else ClockState.UNTIMED
        return ClockReading(dated.time_ns, sigma_ns, state)

    @property
    def settled_until(self) -> int:
        """Samples before this one are as well dated as they will be: 2 s old, and no later stamp reveals a break there.

        While stamps make no sense it waits, but not for more than 6 s of samples.
        """
        return self._settled

    @property
    def ready(self) -> bool:
        """Whether the newest sample has a time."""
        return self.state is not ClockState.UNTIMED

    @property
    def state(self) -> ClockState:
        """How the newest sample is timed."""
        return self.utc_at(self._next_sample).state

    @property
    def sigma_ns(self) -> int:
        """1-sigma of the time of the newest sample."""
        return self.utc_at(self._next_sample).sigma_ns

    @property
    def rate_offset_ppm(self) -> float:
        """How much faster than nominal the sound card's clock runs, against the host's; NaN until known."""
        line = self._stamps.line
        return math.nan if line is None else (1.0 / (1.0 + line.slope) - 1.0) * 1e6

    @property
    def rate_sigma_ppm(self) -> float:
        """1-sigma of `rate_offset_ppm`; NaN until known."""
        line = self._stamps.line
        return math.nan if line is None else math.sqrt(line.p11) * 1e6

    @property
    def breaks(self) -> tuple[ClockBreak, ...]:
        """The last breaks, at most 32, oldest first."""
        return tuple(self._breaks)

    @property
    def break_count(self) -> int:
        """Breaks since the start."""
        return self._break_count

    @property
    def lost_samples(self) -> float:
        """Samples that are missing by all breaks since the start, as far as can be told."""
        return self._lost_samples

    @property
    def adc_bias_ns(self) -> float:
        """How late ADC times are, by the pulses, while the host has PPS too: for `late_bias_ns`. NaN until known."""
        return self._adc_bias_ns

    @property
    def rejects(self) -> Mapping[str, int]:
        """What was not used, or only after a second look, by reason."""
        return {
            "stamp_off": self._stamps.refused_stamps,
            "stamps_late": self._stamps.late_windows,
            "delay_changed": self._stamps.delay_steps,
            "reading_out_of_order": self._host.refused,
            "reading_impossible_year": self._host.implausible,
            "reading_glitch": self._host.glitches,
            "utc_stepped": self._host.steps,
            "pulse_out_of_order": self._unordered_pulses,
            "pulse_untimed": self._untimed_pulses,
            "pulse_off": self._pulses.rejected,
            "pulse_stepped": self._pulses.steps,
        }

    def _date(self, sample: float) -> _Dated | None:
        """Return UTC of a sample by the best of all ways; None where there is none."""
        known = self._known(sample)
        if known is None:
            return None
        stamped, host, best = known
        coast = self._coasted(sample, stamped, host)
        if coast is not None and (best is None or _outdoes(coast, best)):
            best = coast
        if best is None or not host.unknown:
            return best
        return replace(best, doubt_ns=float(NS_PER_S), state=ClockState.UNTIMED)

    def _known(self, sample: float) -> tuple[StampedTime, HostTime, _Dated | None] | None:
        """Return a sample's CLOCK_MONOTONIC, how UTC stood then, and its UTC by pulses, or by the host without them."""
        stamped = self._stamps.at(sample)
        if stamped is None:
            return None
        host = self._host.at(stamped.monotonic_ns - self._bias_ns)
        if host is None:
            return None
        pulsed = self._pulses.at(sample)
        if pulsed is not None:
            doubt_ns = math.hypot(pulsed.doubt_ns, _doubt_ns(stamped, host))
            return stamped, host, _Dated(pulsed.time_ns, pulsed.variance_ns2, 0.0, doubt_ns, ClockState.PPS_AUDIO)
        if host.state is ClockState.UNTIMED:
            return stamped, host, None
        return stamped, host, self._hosted(stamped, host)

    def _hosted(self, stamped: StampedTime, host: HostTime) -> _Dated:
        return _Dated(
            stamped.monotonic_ns - self._bias_ns + host.offset_ns,
            stamped.variance_ns2,
            math.hypot(host.sigma_ns, self._bias_sigma_ns),
            math.hypot(stamped.doubt_ns, host.dispute_ns),
            host.state,
        )

    def _coasted(self, sample: float, stamped: StampedTime, host: HostTime) -> _Dated | None:
        coasted = self._coast.at(sample)
        if coasted is None:
            return None
        told_by_host = coasted.systematic_ns > 0.0
        doubt_ns = math.hypot(stamped.doubt_ns, host.dispute_ns) if told_by_host else _doubt_ns(stamped, host)
        return _Dated(coasted.time_ns, coasted.variance_ns2, coasted.systematic_ns, doubt_ns, ClockState.HOLDOVER)

    def _take_pulse(self, sample: float, sigma_samples: float) -> None:
        line, dated = self._stamps.line, self._date(sample)
        if line is None or dated is None or dated.state is ClockState.UNTIMED:
            self._untimed_pulses += 1
            return
        step = self._pulses.add(sample, sigma_samples, dated.time_ns, dated.sigma_ns, line)
        if step is not None:
            self._coast.shift(step.sample, step.step_ns, step.variance_ns2)

    def _feed_coast(self, sample: int) -> None:
        """Tell the coasting line the time, unless it knows better."""
        self._coast.next_sample = sample + self._rate
        known, line = self._known(sample), self._stamps.line
        if known is None or line is None:
            return
        stamped, host, best = known
        if best is None or best.state is ClockState.HOLDOVER or best.doubt_ns or host.unknown:
            return
        coast = self._coasted(sample, stamped, host)
        if coast is not None and _outdoes(coast, best):
            return
        self._coast.add(sample, best.time_ns, best.variance_ns2, best.systematic_ns, line)
        if best.state is ClockState.PPS_AUDIO and host.state is ClockState.PPS:
            late_ns = stamped.monotonic_ns + host.offset_ns - best.time_ns
            self._adc_bias_count = min(self._adc_bias_count + 1, _BIAS_MEMORY)
            before_ns = self._adc_bias_ns if self._adc_bias_count > 1 else 0.0
            self._adc_bias_ns = before_ns + (late_ns - before_ns) / self._adc_bias_count


def _doubt_ns(stamped: StampedTime, host: HostTime) -> float:
    """Return the doubt in a time that comes from pulses: samples may be missing, the second may be another."""
    return math.hypot(stamped.doubt_ns, host.dispute_ns if host.dispute_ns >= _LABEL_STEP_NS else 0.0)


def _outdoes(coast: _Dated, told: _Dated) -> bool:
    """Say whether coasting is better than a host that is itself in holdover, or clearly better than one that is not.

    The scatter of the stamps is no reason: where it grows, samples may be missing, and coasting would not know.
    """
    if told.state is ClockState.HOLDOVER:
        return coast.sigma_ns < told.sigma_ns
    return 2.0 * coast.sigma_ns + _CLEARLY_NS < math.hypot(told.systematic_ns, told.doubt_ns)
