"""The disciplined clock, one rule at a time. Stamps and readings are exact unless a test says otherwise."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_node.discipline import AdcStamp, DisciplinedClock, UtcReading
from sensor_node.discipline.coast import CoastTrack
from sensor_node.discipline.line import Line, Segments
from sensor_node.sampleclock import UNTIMED_SIGMA_NS, ClockReading, SampleClock
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline.units import NS_PER_MS, NS_PER_S

RATE = 48_000
BLOCK = 1200
BUILT_NS = parse_utc("2025-01-01T00:00:00Z")
START_NS = parse_utc("2026-03-01T12:00:00.4Z")
BOOT_NS = 777 * NS_PER_S
# Stamps are whole nanoseconds and the filter needs no noise to smooth: what is left is rounding and the start.
EXACT_NS = 100


class Node:
    """A node in which everything is exact: the sound card is ``ppm`` fast, samples may be lost, UTC may step."""

    def __init__(self, *, ppm: float = 40.0, bias_ns: int = 0, bias_sigma_ns: int = 0, late_bias_ns: int = 0) -> None:
        self.clock = DisciplinedClock(
            RATE, not_before_ns=BUILT_NS, late_bias_ns=late_bias_ns, late_bias_sigma_ns=bias_sigma_ns
        )
        self.period_ns = NS_PER_S / RATE / (1.0 + ppm * 1e-6)
        self.bias_ns = bias_ns
        self.sample = 0
        self.lost = 0
        self.step_ns = 0
        self.bound_ns = 1_000
        self.state = ClockState.PPS
        self.leap = False
        self.reads = True
        self.pulses = False
        self.next_second = 1
        self.late_ns: Callable[[int], int] = lambda _: 0

    def elapsed_ns(self, sample: float) -> float:
        return (sample + self.lost) * self.period_ns

    def utc_ns(self, sample: float) -> float:
        """Return the truth."""
        return START_NS + self.elapsed_ns(sample)

    def error_ns(self, sample: float) -> float:
        return self.clock.utc_at(sample).time_ns - self.utc_ns(sample)

    def run(self, duration_s: float, *, overflow: bool = False) -> Node:
        """Let time pass; ``overflow`` flags the first block."""
        end = self.sample + round(duration_s * RATE)
        while self.sample < end:
            elapsed_ns = round(self.elapsed_ns(self.sample))
            adc_ns = BOOT_NS + elapsed_ns + self.bias_ns + self.late_ns(self.sample)
            self.clock.add_stamp(AdcStamp(self.sample, BLOCK, adc_ns, overflow))
            overflow = False
            if self.reads and elapsed_ns % NS_PER_S < BLOCK * self.period_ns:
                self.read()
            if self.pulses:
                self.pulse()
            self.sample += BLOCK
        return self

    def read(self, **changes: object) -> None:
        elapsed_ns = round(self.elapsed_ns(self.sample))
        values = {
            "monotonic_ns": BOOT_NS + elapsed_ns,
            "utc_ns": START_NS + elapsed_ns + self.step_ns,
            "bound_ns": self.bound_ns,
            "state": self.state,
            "leap": self.leap,
        } | changes
        self.clock.add_utc(UtcReading(**values))  # type: ignore[arg-type]

    def pulse(self) -> None:
        """Give the edges up to now."""
        first_ns = NS_PER_S - START_NS % NS_PER_S
        while True:
            at = (first_ns + (self.next_second - 1) * NS_PER_S) / self.period_ns - self.lost
            if at > self.sample:
                return
            if at >= 0.0:
                self.clock.add_pulse(at, 0.001)
            self.next_second += 1


def with_pulses(ppm: float = 40.0) -> Node:
    node = Node(ppm=ppm, bias_ns=70_000)
    node.pulses = True
    return node


class TestExactInput:
    def test_gives_exact_times(self) -> None:
        node = Node().run(40.0)
        clock: SampleClock = node.clock
        for sample in (39 * RATE, 38 * RATE + 0.5, 35 * RATE):
            reading = clock.utc_at(sample)
            assert abs(reading.time_ns - node.utc_ns(sample)) <= EXACT_NS
            assert reading.state is ClockState.PPS
        assert node.clock.ready

    @pytest.mark.parametrize("ppm", [-300.0, -40.0, 0.0, 40.0, 300.0])
    def test_finds_the_rate(self, ppm: float) -> None:
        clock = Node(ppm=ppm).run(60.0).clock
        assert clock.rate_offset_ppm == pytest.approx(ppm, abs=0.01)
        assert 0.0 < clock.rate_sigma_ppm < 1.0

    def test_a_known_bias_is_taken_off_and_its_sigma_counts(self) -> None:
        node = Node(bias_ns=120_000, late_bias_ns=120_000, bias_sigma_ns=30_000).run(30.0)
        assert abs(node.error_ns(28 * RATE)) <= EXACT_NS
        assert 30_000 <= node.clock.utc_at(28 * RATE).sigma_ns < 31_000

    def test_an_unknown_bias_shows_whole(self) -> None:
        assert Node(bias_ns=120_000).run(30.0).error_ns(28 * RATE) == pytest.approx(120_000, abs=EXACT_NS)

    def test_the_bound_is_the_half_width_of_a_rectangle(self) -> None:
        node = Node()
        node.bound_ns = 3_000_000
        sigma_ns = node.run(30.0).clock.utc_at(28 * RATE).sigma_ns
        assert sigma_ns == pytest.approx(3_000_000 / math.sqrt(3.0), rel=0.01)

    def test_time_goes_on_with_the_samples_that_are_settled(self) -> None:
        node = Node()
        before = 0
        for _ in range(40):
            node.run(0.25)
            assert node.clock.settled_until >= before
            before = node.clock.settled_until
        assert node.sample - 2.6 * RATE <= before <= node.sample - 2.0 * RATE


class TestUntimed:
    def test_nothing_is_known_at_first(self) -> None:
        clock = DisciplinedClock(RATE, not_before_ns=BUILT_NS)
        assert clock.utc_at(RATE // 2) == ClockReading(NS_PER_S // 2, UNTIMED_SIGMA_NS, ClockState.UNTIMED)
        assert (clock.ready, clock.state, clock.sigma_ns) == (False, ClockState.UNTIMED, UNTIMED_SIGMA_NS)
        assert math.isnan(clock.rate_offset_ppm)
        assert math.isnan(clock.rate_sigma_ppm)
        assert math.isnan(clock.adc_bias_ns)

    def test_stamps_alone_are_no_time(self) -> None:
        node = Node()
        node.reads = False
        assert node.run(20.0).clock.state is ClockState.UNTIMED

    def test_a_host_without_time_is_no_time(self) -> None:
        node = Node()
        node.state = ClockState.UNTIMED
        assert node.run(20.0).clock.state is ClockState.UNTIMED

    def test_a_bound_that_no_location_can_use_is_no_time(self) -> None:
        node = Node()
        node.bound_ns = 200 * NS_PER_MS
        reading = node.run(20.0).clock.utc_at(18 * RATE)
        assert reading.state is ClockState.UNTIMED
        assert reading.sigma_ns == pytest.approx(200e6 / math.sqrt(3.0), rel=0.01)

    def test_the_start_transient_does_not_count(self) -> None:
        node = Node()
        node.late_ns = lambda sample: 172_000_000 if sample < 1.3 * RATE else 0
        assert abs(node.run(30.0).error_ns(28 * RATE)) <= EXACT_NS


class TestLostSamples:
    @pytest.mark.parametrize("lost", [200, 1_024, 24_000])
    @pytest.mark.parametrize("flagged", [True, False])
    def test_are_found_and_both_sides_dated(self, lost: int, flagged: bool) -> None:
        node = Node().run(30.0)
        edge = node.sample
        before_ns = node.utc_ns(edge - 1)
        node.lost += lost
        node.run(4.0, overflow=flagged)
        clock = node.clock
        assert clock.break_count == 1
        (found,) = clock.breaks
        assert found.sample == edge
        assert found.flagged is flagged
        assert found.lost_samples == pytest.approx(lost, abs=0.01)
        assert clock.lost_samples == pytest.approx(lost, abs=0.01)
        assert abs(clock.utc_at(edge - 1).time_ns - before_ns) <= EXACT_NS
        assert abs(node.error_ns(edge)) <= EXACT_NS

    def test_too_many_samples_are_a_break_too(self) -> None:
        node = Node().run(30.0)
        node.lost -= 960
        node.run(6.0)
        assert node.clock.breaks[0].lost_samples == pytest.approx(-960, abs=0.01)
        assert abs(node.error_ns(node.sample - RATE)) <= EXACT_NS

    def test_an_unflagged_loss_holds_back_what_is_settled(self) -> None:
        node = Node().run(30.0)
        edge = node.sample
        node.lost += 9_600
        while node.clock.break_count == 0:
            node.run(0.025)
            assert node.clock.settled_until <= edge
        assert node.sample - edge < 2.6 * RATE

    def test_a_flag_opens_sigma_at_once_and_means_nothing_when_nothing_is_lost(self) -> None:
        node = Node().run(30.0)
        edge = node.sample
        node.run(0.1, overflow=True)
        assert node.clock.utc_at(edge).state is ClockState.UNTIMED
        assert node.clock.utc_at(edge - 1).state is ClockState.PPS
        assert node.clock.settled_until <= edge
        node.run(3.0)
        assert node.clock.utc_at(edge).state is ClockState.PPS
        assert node.clock.break_count == 0

    def test_two_losses_close_together_leave_doubt_between_them(self) -> None:
        node = Node().run(30.0)
        first = node.sample
        node.lost += 4_800
        node.run(0.3)
        second = node.sample
        node.lost += 9_600
        node.run(6.0)
        assert node.clock.utc_at(second - BLOCK).sigma_ns > 50 * NS_PER_MS
        assert node.clock.utc_at(first - 1.5 * RATE).sigma_ns < 10_000
        assert abs(node.error_ns(second + RATE)) <= EXACT_NS
        assert node.clock.lost_samples == pytest.approx(14_400, abs=0.01)

    def test_a_small_change_of_delay_is_no_break_but_counts_in_sigma(self) -> None:
        node = Node().run(30.0)
        calm_ns = node.clock.utc_at(28 * RATE).sigma_ns
        node.late_ns = lambda _: 300_000
        node.run(6.0)
        assert node.clock.break_count == 0
        assert node.clock.rejects["delay_changed"] >= 1
        assert node.clock.utc_at(node.sample - 2 * RATE).sigma_ns > max(100_000, 10 * calm_ns)

    def test_a_hung_driver_is_waited_out(self) -> None:
        node = Node().run(30.0)
        node.late_ns = lambda sample: 30_000_000 + 20_000_000 * (sample // BLOCK % 7) + sample // 40 * 1_000
        node.run(1.0)
        node.late_ns = lambda _: 0
        node.run(5.0)
        assert node.clock.break_count == 0
        assert node.clock.rejects["stamps_late"] >= 1
        assert abs(node.error_ns(node.sample - RATE)) <= EXACT_NS

    def test_a_clock_that_fits_nothing_begins_again(self) -> None:
        node = Node().run(30.0)
        node.late_ns = lambda sample: (sample // (RATE // 2) * 7_919 % 100) * 5_000_000
        node.run(6.0)
        node.late_ns = lambda _: 0
        node.run(15.0)
        assert node.clock.state is ClockState.PPS
        assert abs(node.error_ns(node.sample - RATE)) <= EXACT_NS


class TestStamps:
    def test_a_stamp_without_a_time_is_counted(self) -> None:
        node = Node().run(30.0)
        node.clock.add_stamp(AdcStamp(node.sample, BLOCK, 0, False))
        node.sample += BLOCK
        node.run(3.0)
        assert node.clock.rejects["stamp_off"] == 1
        assert abs(node.error_ns(node.sample - 2 * RATE)) <= EXACT_NS

    def test_without_any_stamp_samples_are_settled_all_the_same(self) -> None:
        node = Node().run(30.0)
        for _ in range(400):
            node.clock.add_stamp(AdcStamp(node.sample, BLOCK, 0, False))
            node.sample += BLOCK
        assert node.clock.settled_until == node.sample - 6 * RATE

    @pytest.mark.parametrize("jump_ns", [-3 * NS_PER_S, 3_600 * NS_PER_S])
    def test_a_stamp_far_off_is_counted(self, jump_ns: int) -> None:
        node = Node().run(30.0)
        node.late_ns = lambda _: jump_ns
        node.run(0.025)
        node.late_ns = lambda _: 0
        node.run(3.0)
        assert node.clock.rejects["stamp_off"] == 1
        assert node.clock.break_count == 0
        assert abs(node.error_ns(node.sample - 2 * RATE)) <= EXACT_NS

    @pytest.mark.parametrize("lost_s", [3, 40])
    def test_a_source_that_was_opened_anew_warms_up_again(self, lost_s: int) -> None:
        node = Node().run(60.0)
        edge = node.sample
        node.lost += lost_s * RATE
        node.late_ns = lambda sample: 172_000_000 if sample < edge + 1.3 * RATE else 0
        node.run(4.0)
        assert node.clock.state is ClockState.UNTIMED
        node.run(10.0)
        assert node.clock.state is ClockState.PPS
        assert abs(node.error_ns(node.sample - 2 * RATE)) <= EXACT_NS
        assert node.clock.lost_samples == pytest.approx(lost_s * RATE, abs=0.01)

    def test_blocks_of_any_size_will_do(self) -> None:
        for samples in (64, 480, 4_096, 16_384):
            clock = DisciplinedClock(RATE, not_before_ns=BUILT_NS, late_bias_sigma_ns=0)
            clock.add_utc(UtcReading(BOOT_NS, START_NS, 1_000, ClockState.PPS))
            for first in range(0, 40 * RATE, samples):
                clock.add_stamp(AdcStamp(first, samples, BOOT_NS + round(first * NS_PER_S / RATE), False))
            assert abs(clock.utc_at(30 * RATE).time_ns - START_NS - 30 * NS_PER_S) <= EXACT_NS, samples

    def test_mistakes_of_the_caller(self) -> None:
        clock = DisciplinedClock(RATE, not_before_ns=BUILT_NS)
        clock.add_stamp(AdcStamp(100, 10, BOOT_NS, False))
        with pytest.raises(InputError, match=r"first_sample: block starts at sample 109, expected 110 or later"):
            clock.add_stamp(AdcStamp(109, 10, BOOT_NS, False))
        with pytest.raises(InputError, match=r"first_sample: .* expected 110 or later"):
            clock.add_stamp(AdcStamp(-5, 10, BOOT_NS, False))
        with pytest.raises(InputError, match="samples: a block of 0 samples"):
            clock.add_stamp(AdcStamp(110, 0, BOOT_NS, False))
        with pytest.raises(InputError, match="sample_index: sample index nan"):
            clock.utc_at(math.nan)
        with pytest.raises(InputError, match="sample_rate_hz"):
            DisciplinedClock(0, not_before_ns=BUILT_NS)
        with pytest.raises(InputError, match="not_before_ns"):
            DisciplinedClock(RATE, not_before_ns=-1)
        with pytest.raises(InputError, match="late_bias_sigma_ns"):
            DisciplinedClock(RATE, not_before_ns=BUILT_NS, late_bias_sigma_ns=-1)


class TestHost:
    def test_readings_that_stop_are_a_holdover(self) -> None:
        node = Node().run(100.0)
        node.reads = False
        node.run(20.0)
        assert node.clock.state is ClockState.PPS
        locked_ns = node.clock.sigma_ns
        node.run(60.0)
        assert node.clock.state is ClockState.HOLDOVER
        assert node.clock.sigma_ns > locked_ns

    def test_a_host_that_loses_the_time_is_a_holdover(self) -> None:
        node = Node().run(120.0)
        node.state = ClockState.UNTIMED
        node.run(30.0)
        assert node.clock.state is ClockState.HOLDOVER
        assert abs(node.error_ns(node.sample - 2 * RATE)) < 5_000

    def test_a_reading_that_goes_back_is_counted(self) -> None:
        node = Node().run(20.0)
        node.read(monotonic_ns=BOOT_NS)
        assert node.clock.rejects["reading_out_of_order"] == 1

    def test_mistakes_of_the_caller(self) -> None:
        node = Node()
        with pytest.raises(InputError, match="monotonic_ns: monotonic time -1 ns is negative"):
            node.read(monotonic_ns=-1)
        with pytest.raises(InputError, match="bound_ns: bound -1 ns is negative"):
            node.read(bound_ns=-1)
        with pytest.raises(InputError, match="state: a host is never pps_audio"):
            node.read(state=ClockState.PPS_AUDIO)

    @pytest.mark.parametrize("weeks", [-1024, 1024])
    def test_a_lost_week_count_is_refused(self, weeks: int) -> None:
        node = Node().run(30.0)
        good = node.sample - 3 * RATE
        node.step_ns = weeks * 7 * 86_400 * NS_PER_S
        node.run(5.0)
        assert node.clock.state is ClockState.UNTIMED
        assert node.clock.rejects["reading_impossible_year"] == 5
        assert node.clock.utc_at(good).state is ClockState.PPS
        node.step_ns = 0
        node.run(5.0)
        assert node.clock.state is ClockState.PPS
        assert node.clock.rejects["utc_stepped"] == 0

    def test_a_step_within_the_bounds_is_followed(self) -> None:
        node = Node()
        node.bound_ns = 10 * NS_PER_MS
        node.step_ns = 8 * NS_PER_MS
        node.run(30.0)
        node.bound_ns, node.step_ns = 1_000, 0
        node.run(5.0)
        assert abs(node.error_ns(node.sample - 2 * RATE)) <= EXACT_NS
        assert node.clock.rejects["utc_stepped"] == 0

    @pytest.mark.parametrize("step_ns", [-20 * NS_PER_MS, 500 * NS_PER_MS])
    def test_a_step_that_contradicts_is_a_dispute_for_a_minute(self, step_ns: int) -> None:
        node = Node().run(30.0)
        node.step_ns = step_ns
        node.run(5.0)
        for sample in (node.sample - RATE, node.sample - 7 * RATE):
            assert node.clock.utc_at(sample).sigma_ns >= abs(step_ns)
        assert node.clock.rejects["utc_stepped"] == 1
        node.run(70.0)
        assert node.clock.sigma_ns < 10_000
        assert node.error_ns(node.sample - RATE) == pytest.approx(step_ns, abs=EXACT_NS)

    def test_one_odd_reading_is_not_believed(self) -> None:
        node = Node().run(30.0)
        node.sample += 0
        node.step_ns = 200 * NS_PER_MS
        node.read(monotonic_ns=BOOT_NS + round(node.elapsed_ns(node.sample)) - 1, utc_ns=START_NS)
        node.step_ns = 0
        assert node.clock.sigma_ns > NS_PER_S
        node.run(3.0)
        assert node.clock.rejects["reading_glitch"] == 1
        assert abs(node.error_ns(node.sample - RATE)) <= EXACT_NS
        assert node.clock.sigma_ns < 10_000


class TestLeapSecond:
    """Nodes here start 20 s before the end of June."""

    @staticmethod
    def node(monkeypatch: pytest.MonkeyPatch, *, pulses: bool = False) -> Node:
        monkeypatch.setitem(globals(), "START_NS", parse_utc("2026-06-30T23:59:40.000Z"))
        node = with_pulses() if pulses else Node()
        node.leap = True
        return node

    @pytest.mark.parametrize("pulses", [False, True])
    @pytest.mark.parametrize("step_s", [-1, 0, 1])
    def test_inserted_cancelled_or_taken_out(self, step_s: int, pulses: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        node = self.node(monkeypatch, pulses=pulses)
        state = ClockState.PPS_AUDIO if pulses else ClockState.PPS
        node.run(16.5)
        assert node.clock.utc_at(16 * RATE).state is state
        node.run(3.5)
        node.step_ns = step_s * NS_PER_S
        node.leap = step_s == 0
        node.run(2.0)
        for second in (18.0, 19.9, 20.1, 21.9):
            assert node.clock.utc_at(second * RATE).state is ClockState.UNTIMED
        node.leap = False
        node.run(6.0)
        reading = node.clock.utc_at(26 * RATE)
        assert reading.state is state
        assert reading.time_ns - node.utc_ns(26 * RATE) == pytest.approx(
            step_s * NS_PER_S + (0 if pulses else node.bias_ns), abs=1_000
        )
        assert node.clock.rejects["utc_stepped"] == 0
        assert node.clock.utc_at(20 * RATE).state is ClockState.UNTIMED

    def test_without_a_reading_after_it_time_stays_unknown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        node = self.node(monkeypatch).run(19.0)
        node.reads = False
        assert node.run(10.0).clock.state is ClockState.UNTIMED

    def test_an_announcement_taken_back_is_forgotten(self, monkeypatch: pytest.MonkeyPatch) -> None:
        node = self.node(monkeypatch).run(10.0)
        node.leap = False
        node.run(10.5)
        assert node.clock.utc_at(20 * RATE).state is ClockState.PPS

    def test_a_second_that_nobody_announced_is_a_dispute(self, monkeypatch: pytest.MonkeyPatch) -> None:
        node = self.node(monkeypatch)
        node.leap = False
        node.run(20.0)
        node.step_ns = -NS_PER_S
        node.run(5.0)
        assert node.clock.state is ClockState.UNTIMED
        assert node.clock.rejects["utc_stepped"] == 1

    def test_the_month_after_december_is_january(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(globals(), "START_NS", parse_utc("2026-12-31T23:59:40.000Z"))
        node = Node()
        node.leap = True
        assert node.run(20.5).clock.utc_at(20 * RATE).state is ClockState.UNTIMED


class TestPulses:
    def test_take_the_bias_of_the_stamps_away(self) -> None:
        node = with_pulses().run(40.0)
        reading = node.clock.utc_at(38 * RATE)
        assert reading.state is ClockState.PPS_AUDIO
        assert abs(node.error_ns(38 * RATE)) <= EXACT_NS
        assert reading.sigma_ns < 500
        assert node.clock.adc_bias_ns == pytest.approx(70_000, abs=1_000)

    def test_need_a_second_from_elsewhere(self) -> None:
        node = with_pulses()
        node.bound_ns = 400 * NS_PER_MS
        node.run(30.0)
        assert node.clock.state is ClockState.UNTIMED
        assert node.clock.rejects["pulse_off"] + node.clock.rejects["pulse_untimed"] > 20

    def test_off_the_second_are_refused(self) -> None:
        node = Node().run(20.0)
        for second in range(20, 25):
            node.run(1.0)
            node.clock.add_pulse((second - 1 + 0.1) * RATE, 0.01)
        node.run(4.0)
        assert node.clock.state is ClockState.PPS
        assert node.clock.rejects["pulse_off"] >= 3

    def test_lost_samples_are_carried_over(self) -> None:
        node = with_pulses().run(40.0)
        node.lost += 4_800
        node.run(5.0, overflow=True)
        assert node.clock.state is ClockState.PPS_AUDIO
        assert abs(node.error_ns(node.sample - 2 * RATE)) <= 1_000

    def test_see_a_loss_that_stamps_cannot(self) -> None:
        """Two samples, 42 us, are less than the gate of the stamps."""
        node = with_pulses().run(60.0)
        edge = node.sample
        node.lost += 2
        node.run(10.0)
        assert node.clock.break_count == 0
        assert node.clock.rejects["pulse_stepped"] == 1
        assert abs(node.error_ns(node.sample - 3 * RATE)) <= 200
        assert node.clock.utc_at(edge + RATE // 10).sigma_ns > 30_000

    def test_one_false_edge_changes_nothing(self) -> None:
        node = with_pulses().run(40.0)
        node.clock.add_pulse(node.sample - 100.25, 0.001)
        node.run(5.0)
        assert node.clock.rejects["pulse_off"] == 1
        assert abs(node.error_ns(node.sample - 3 * RATE)) <= EXACT_NS

    def test_lost_are_a_holdover_and_come_back(self) -> None:
        node = with_pulses()
        node.state, node.bound_ns = ClockState.NTP, 5 * NS_PER_MS
        node.run(120.0)
        node.pulses = False
        node.run(100.0)
        assert node.clock.state is ClockState.HOLDOVER
        sample = node.sample - 2 * RATE
        assert abs(node.error_ns(sample)) < node.clock.utc_at(sample).sigma_ns < NS_PER_MS
        node.next_second += 100
        node.pulses = True
        node.run(10.0)
        assert node.clock.state is ClockState.PPS_AUDIO

    def test_mistakes(self) -> None:
        clock = Node().clock
        with pytest.raises(InputError, match="sample: pulse at sample -1"):
            clock.add_pulse(-1.0, 0.01)
        with pytest.raises(InputError, match="sample: pulse at sample nan"):
            clock.add_pulse(math.nan, 0.01)
        with pytest.raises(InputError, match="sigma_samples"):
            clock.add_pulse(5.0, 0.0)
        clock.add_pulse(5.0, 0.01)
        clock.add_pulse(5.0, 0.01)
        assert clock.rejects["pulse_out_of_order"] == 1


class TestCoast:
    @staticmethod
    def told(duration_s: int, slope: Callable[[int], float]) -> CoastTrack:
        """Return one that was told the time of a card whose rate changes by the second."""
        coast = CoastTrack(1_000)
        stamps = Line(1e6, 1e-7, 0.0, 0, 0.0, slope(0), 0.0, 0.0, 1e-14)
        time_ns = 0.0
        for second in range(duration_s):
            if second % 10 == 0:
                coast.add(second * 1_000, round(time_ns), 100.0**2, 0.0, stamps)
            time_ns += NS_PER_S * (1.0 + slope(second))
        return coast

    def test_sigma_grows_with_the_age(self) -> None:
        for coast in (CoastTrack(1_000), self.told(1_200, lambda _: 1e-6)):
            ages_s = [0.0, 1.0, 30.0, 60.0, 90.0, 120.0, 700.0, 960.0, 2_000.0, 10_000.0]
            sigmas_ns = [coast.growth_ns(age_s) for age_s in ages_s]
            assert sigmas_ns[0] == 0.0
            assert sigmas_ns == sorted(sigmas_ns)

    def test_a_calm_crystal_earns_a_smaller_sigma_but_not_none(self) -> None:
        fresh, calm = CoastTrack(1_000), self.told(3_000, lambda _: 1e-6)
        ramp_ns = 0.5 * 3e-6 / 600.0 * 240.0**2 * NS_PER_S
        assert fresh.growth_ns(240.0) >= ramp_ns
        assert ramp_ns / 3.0 <= calm.growth_ns(240.0) < 0.5 * fresh.growth_ns(240.0)

    def test_a_restless_crystal_gets_a_larger_one(self) -> None:
        fresh, restless = CoastTrack(1_000), self.told(3_000, lambda second: 3e-6 * math.sin(second / 60.0))
        assert restless.growth_ns(240.0) > 2.0 * fresh.growth_ns(240.0)

    def test_is_silent_until_it_was_told_often_enough(self) -> None:
        assert CoastTrack(1_000).at(5.0) is None
        assert self.told(50, lambda _: 0.0).at(50_000) is None
        assert self.told(51, lambda _: 0.0).at(50_000) is not None


class TestLine:
    def test_variance_is_that_of_the_matrix_recursion(self) -> None:
        """The slow twin: [[1, t], [0, 1]] P [[1, 0], [t, 1]] + Q."""
        line = Line(1e9, 1e-7, 10.0, 5, 0.0, 0.0, 400.0, 3e-8, 1e-14)
        span_ns, noise = 7e9, 1e-14 / 1e9
        p00, p01, p11 = line.p00, line.p01, line.p11
        expected = (
            p00 + 2 * span_ns * p01 + span_ns**2 * p11 + noise * span_ns**3 / 3,
            p01 + span_ns * p11 + noise * span_ns**2 / 2,
            p11 + noise * span_ns,
        )
        assert line.variance_ns2(17.0) == pytest.approx(expected[0], rel=1e-12)
        line.advance(17.0)
        assert (line.p00, line.p01, line.p11) == pytest.approx(expected, rel=1e-12)
        total = line.p00 + 900.0
        line.correct(50.0, 900.0)
        assert line.p00 == pytest.approx(expected[0] * 900.0 / total, rel=1e-12)
        assert line.p01 == pytest.approx(expected[1] * 900.0 / total, rel=1e-12)
        assert line.p11 == pytest.approx(expected[2] - expected[1] ** 2 / total, rel=1e-12)

    def test_keeps_nanoseconds_over_a_year(self) -> None:
        line = Line(NS_PER_S / RATE, 1e-7, 0.0, START_NS, 0.0, 0.0, 1.0, 0.0, 0.0)
        for day in range(1, 366):
            line.advance(day * 86_400 * RATE)
        assert abs(line.at(365 * 86_400 * RATE) - START_NS - 365 * 86_400 * NS_PER_S) <= 1

    def test_a_sample_keeps_the_line_of_then(self) -> None:
        segments = Segments(RATE)
        assert segments.find(3.0) is None
        assert segments.line is None
        old = Line(1e6, 0.0, 0.0, 0, 0.0, 0.0, 1.0, 0.0, 0.0)
        segments.begin(0.0, old)
        segments.shift(100.0, 5e6, 4.0)
        before, after = segments.find(99.9), segments.find(100.0)
        assert before is not None
        assert after is not None
        assert before.line is old
        assert after.line is not None
        assert after.line.at(100.0) - old.at(100.0) == 5_000_000
        assert after.line.p00 == 5.0
        assert segments.find(-5.0) is before


EVENTS = st.lists(
    st.one_of(
        st.tuples(
            st.just("stamp"),
            st.integers(0, 3_000),
            st.integers(1, 20_000),
            st.one_of(st.just(0), st.integers(-(10**13), 10**13)),
            st.booleans(),
        ),
        st.tuples(
            st.just("utc"),
            st.integers(-(10**9), 10**10),
            st.one_of(st.just(0), st.integers(-(10**19), 10**19)),
            st.integers(0, 10**10),
            st.sampled_from([ClockState.NTP, ClockState.PPS, ClockState.HOLDOVER, ClockState.UNTIMED]),
            st.booleans(),
        ),
        st.tuples(st.just("pulse"), st.floats(0.0, 1e6), st.floats(1e-6, 1e3)),
        st.tuples(st.just("run"), st.integers(1, 40)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(events=EVENTS)
def test_nothing_from_outside_crashes_it(events: list[tuple[object, ...]]) -> None:
    clock = DisciplinedClock(8_000, not_before_ns=BUILT_NS)
    sample, now_ns, settled = 0, BOOT_NS, 0
    for kind, *values in events:
        if kind == "stamp":
            gap, samples, jump_ns, overflow = values
            sample += int(gap)  # type: ignore[call-overload]
            clock.add_stamp(AdcStamp(sample, int(samples), now_ns + int(jump_ns), bool(overflow)))  # type: ignore[call-overload]
            sample += int(samples)  # type: ignore[call-overload]
        elif kind == "utc":
            ahead_ns, jump_ns, bound_ns, state, leap = values
            utc_ns = START_NS - BOOT_NS + now_ns + int(jump_ns)  # type: ignore[call-overload]
            reading = UtcReading(max(now_ns + int(ahead_ns), 0), utc_ns, int(bound_ns), ClockState(state), bool(leap))  # type: ignore[call-overload]
            clock.add_utc(reading)
        elif kind == "pulse":
            clock.add_pulse(float(values[0]), float(values[1]))  # type: ignore[arg-type]
        else:
            for _ in range(int(values[0]) * 4):  # type: ignore[call-overload]
                clock.add_stamp(AdcStamp(sample, 1_000, now_ns, False))
                clock.add_utc(UtcReading(now_ns, START_NS - BOOT_NS + now_ns, 1_000, ClockState.PPS))
                sample, now_ns = sample + 1_000, now_ns + NS_PER_S // 8
        assert settled <= clock.settled_until <= sample
        settled = clock.settled_until
        for asked in (0, settled, sample, sample + 100_000):
            reading_at = clock.utc_at(asked)
            assert 0 < reading_at.sigma_ns <= UNTIMED_SIGMA_NS
        assert all(count >= 0 for count in clock.rejects.values())
