"""Framing, sample clock and classifier of a node."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_node import classifier, framing, sampleclock
from sensor_node.classifier import FrameDefinition, ImpulseFrame, ImpulseRules, rule_inputs
from sensor_node.framing import AudioBlock, Framer
from sensor_node.sampleclock import UNTIMED_SIGMA_NS, FixedRateClock
from shotline.domain import ClockState, ImpulseKind
from shotline.errors import AudioError, InputError
from shotline.features import ImpulseFeatures

START_NS = 1_545_180_566_000_000_001


def block(first_sample: int, count: int, value: float = 0.0) -> AudioBlock:
    return AudioBlock(first_sample, np.full(count, value, dtype=np.float32))


class TestFramer:
    def test_consecutive_blocks_are_one_segment(self) -> None:
        framer = Framer()
        assert [framer.accept(block(100, 10)), framer.accept(block(110, 5)), framer.accept(block(115, 1))] == [
            True,
            False,
            False,
        ]
        assert (framer.samples, framer.gaps, framer.gap_samples, framer.next_sample) == (16, 0, 0, 116)

    def test_gap_is_counted_and_starts_a_segment(self) -> None:
        framer = Framer()
        framer.accept(block(0, 10))
        assert framer.accept(block(13, 10))
        assert framer.accept(block(30, 10))
        assert (framer.samples, framer.gaps, framer.gap_samples) == (30, 2, 10)

    def test_segment_that_ended_is_followed_by_a_new_one_without_a_gap(self) -> None:
        framer = Framer()
        framer.accept(block(0, 10))
        framer.end_segment()
        assert framer.accept(block(10, 10))
        assert framer.gaps == 0

    def test_empty_block_changes_nothing(self) -> None:
        framer = Framer()
        assert not framer.accept(block(7, 0))
        assert framer.next_sample is None

    @pytest.mark.parametrize("first", [0, 9])
    def test_overlap_is_refused(self, first: int) -> None:
        framer = Framer(source="roof-1")
        framer.accept(block(0, 10))
        with pytest.raises(AudioError, match=f"roof-1: samples: block starts at sample {first}, expected 10 or later"):
            framer.accept(block(first, 5))
        assert (framer.samples, framer.next_sample) == (10, 10)

    def test_negative_index_is_refused(self) -> None:
        with pytest.raises(AudioError, match="block starts at sample -1; the index counts from 0"):
            Framer().accept(block(-1, 5))

    @pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
    def test_sample_that_is_no_number_is_named(self, bad: float) -> None:
        framer = Framer()
        framer.accept(block(0, 10))
        broken = block(10, 10)
        broken.samples[3] = bad
        with pytest.raises(AudioError, match=f"sample 13 is {bad}, expected a finite number"):
            framer.accept(broken)
        assert framer.next_sample == 10

    def test_two_channels_are_refused(self) -> None:
        with pytest.raises(AudioError, match=r"shape \(10, 2\), expected one channel"):
            Framer().accept(AudioBlock(0, np.zeros((10, 2), dtype=np.float32)))

    @given(lengths=st.lists(st.tuples(st.integers(0, 50), st.integers(1, 50)), min_size=1))
    def test_what_was_heard_and_what_is_missing_make_the_whole(self, lengths: list[tuple[int, int]]) -> None:
        framer, first = Framer(), 0
        for missing, count in lengths:
            first += missing
            framer.accept(block(first, count))
            first += count
        assert framer.samples + framer.gap_samples + lengths[0][0] == first
        assert framer.gaps == sum(missing > 0 for missing, _ in lengths[1:])


class TestFixedRateClock:
    def test_whole_samples_are_exact_for_years(self) -> None:
        clock = FixedRateClock(START_NS, 48_000, 30, ClockState.PPS)
        ten_years = 10 * 365 * 86_400 * 48_000
        reading = clock.utc_at(ten_years)
        assert reading.time_ns == START_NS + 10 * 365 * 86_400 * 10**9
        assert (reading.sigma_ns, reading.state) == (30, ClockState.PPS)

    @given(sample=st.integers(0, 10**12), rate_hz=st.sampled_from([8_000, 11_025, 12_000, 44_100, 48_000, 96_000]))
    def test_whole_samples_are_rounded_to_the_nanosecond(self, sample: int, rate_hz: int) -> None:
        found = FixedRateClock(START_NS, rate_hz, 0, ClockState.NTP).utc_at(sample).time_ns - START_NS
        assert abs(found * rate_hz - sample * 10**9) * 2 <= rate_hz

    def test_fractions_count(self) -> None:
        clock = FixedRateClock(START_NS, 8_000, 0, ClockState.NTP)
        assert clock.utc_at(1_000_000_000.25).time_ns == START_NS + 125_000_000_000_000 + 31_250
        assert clock.utc_at(-0.5).time_ns == START_NS - 62_500

    def test_untimed_says_so(self) -> None:
        reading = FixedRateClock.untimed(8_000).utc_at(8_000)
        assert (reading.time_ns, reading.sigma_ns, reading.state) == (10**9, UNTIMED_SIGMA_NS, ClockState.UNTIMED)

    def test_nonsense_is_refused(self) -> None:
        with pytest.raises(InputError, match="sample rate 0 Hz is not more than 0"):
            FixedRateClock(0, 0, 0, ClockState.NTP)
        with pytest.raises(InputError, match="sigma -1 ns is negative"):
            FixedRateClock(0, 1, -1, ClockState.NTP)


FEATURES = ImpulseFeatures(
    peak=0.1,
    peak_delay_s=0.002,
    snr_db=30.0,
    step_db=15.0,
    rise_time_s=0.002,
    decay_time_s=0.05,
    duration_s=0.06,
    crest_db=12.0,
    centroid_hz=800.0,
    low_band_ratio=0.8,
    clipped=False,
)


def classify(features: ImpulseFeatures) -> dict[ImpulseKind, float]:
    frame = ImpulseFrame(np.zeros(10), 2, 12_000, features)
    return dict(zip(ImpulseKind, ImpulseRules().probabilities(frame), strict=True))


class TestImpulseRules:
    def test_there_is_no_kind_for_speech_or_people(self) -> None:
        words = {word for kind in ImpulseKind for word in kind.value.split("_")}
        assert words == {"gunshot", "firework", "thunder", "impact", "other", "impulse", "background"}
        assert not words & {"speech", "voice", "person", "people", "human", "talk", "scream"}

    def test_name_and_input(self) -> None:
        assert ImpulseRules().model_id == "impulse-rules-1"
        assert ImpulseRules().frame == FrameDefinition(before_s=0.05, after_s=0.15, sample_rate_hz=None)

    def test_probabilities_sum_to_one_and_name_only_two_kinds(self) -> None:
        found = classify(FEATURES)
        assert math.fsum(found.values()) == pytest.approx(1.0, abs=1e-15)
        assert {kind for kind, value in found.items() if value} == {ImpulseKind.GUNSHOT, ImpulseKind.OTHER_IMPULSE}

    def test_formula(self) -> None:
        inputs = (0.0, 0.0, math.log10(0.002) + 2.5, math.log10(0.05) + 1.5, -0.1, 0.3)
        assert rule_inputs(FEATURES) == pytest.approx(inputs, abs=1e-12)
        score = ImpulseRules.INTERCEPT + sum(w * x for w, x in zip(ImpulseRules.WEIGHTS, inputs, strict=True))
        expected = 0.05 + 0.9 / (1.0 + math.exp(-score))
        assert classify(FEATURES)[ImpulseKind.GUNSHOT] == pytest.approx(expected, abs=1e-12)

    @pytest.mark.parametrize(
        ("field", "more", "less"),
        [("step_db", 25.0, 8.0), ("rise_time_s", 0.0005, 0.02), ("low_band_ratio", 0.95, 0.2)],
    )
    def test_sharp_low_and_sudden_is_more_like_a_gunshot(self, field: str, more: float, less: float) -> None:
        high = classify(dataclasses.replace(FEATURES, **{field: more}))[ImpulseKind.GUNSHOT]
        low = classify(dataclasses.replace(FEATURES, **{field: less}))[ImpulseKind.GUNSHOT]
        assert high > low

    @given(
        snr_db=st.floats(-100.0, 300.0),
        step_db=st.floats(-10.0, 200.0),
        rise_time_s=st.floats(0.0, 1.0),
        decay_time_s=st.floats(0.0, 1.0),
        crest_db=st.floats(-10.0, 100.0),
        low_band_ratio=st.floats(0.0, 1.0),
    )
    def test_never_sure_either_way(self, **values: float) -> None:
        found = classify(dataclasses.replace(FEATURES, **values))[ImpulseKind.GUNSHOT]
        assert 0.05 <= found <= 0.95


def test_public_names() -> None:
    assert framing.__all__ == ["AudioBlock", "Framer"]
    assert sampleclock.__all__ == ["UNTIMED_SIGMA_NS", "ClockReading", "FixedRateClock", "SampleClock"]
    assert classifier.__all__ == ["Classifier", "FrameDefinition", "ImpulseFrame", "ImpulseRules", "rule_inputs"]
