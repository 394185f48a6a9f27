"""Live sound to dated detections: what is heard at once is dated when the clock knows, whatever happens to the card."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sensor_node.classifier import ImpulseRules
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline
from sensor_node.discipline import DisciplinedClock, UtcReading
from sensor_node.ear import Ear
from sensor_node.ppsaudio import PulseFinder
from sensor_node.ring import BlockRecord
from shotline.domain import ClockState
from shotline.messages import Detection
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

RATE_HZ = 48_000
BLOCK = 960
BOOT_NS = 1_000_000 * NS_PER_S // 1_000
START_NS = parse_utc("2026-11-30T12:00:00Z")
"""UTC when CLOCK_MONOTONIC was `BOOT_NS`, which is when sample 0 was converted."""


def sound_with_shots(shots_s: tuple[float, ...], seconds: float) -> NDArray[np.float32]:
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    sound = 1e-3 * np.random.default_rng(5).standard_normal(len(t))
    for shot_s in shots_s:
        late = np.maximum(t - shot_s, 0.0)
        sound += np.where(t >= shot_s, 0.3 * np.exp(-late / 0.002) * np.cos(2 * np.pi * 700.0 * late), 0.0)
    return sound.astype(np.float32)


class Roof:
    """A card whose stamps are right, a host that knows the time, and an ear on both."""

    def __init__(self, *, pulses: bool = False) -> None:
        self.clock = DisciplinedClock(RATE_HZ, not_before_ns=parse_utc("2026-01-01T00:00:00Z"))
        pipeline = NodePipeline(
            identity=NodeIdentity("roof-1", 7),
            sample_rate_hz=RATE_HZ,
            clock=self.clock,
            classifier=ImpulseRules(),
            settings=DetectorSettings(),
            full_scale_db_spl=None,
        )
        finder = PulseFinder(RATE_HZ) if pulses else None
        self.ear = Ear(pipeline, self.clock, pps_channel=2 if pulses else None, pulses=finder)
        self.heard: list[Detection] = []
        self.waited_samples: list[int] = []
        self.next_sample = 0
        self.segment = 0
        self.read_ns = 0

    def play(
        self,
        sound: NDArray[np.float32],
        *,
        overflow: bool = False,
        late_s: float = 0.0,
        state: ClockState = ClockState.PPS,
        second: NDArray[np.float32] | None = None,
        late_stamps_s: float = 0.0,
    ) -> None:
        """Let a stretch of sound be recorded, a block at a time, in real time.

        ``late_s`` is true time that passed without sound before it; ``late_stamps_s`` how late all its stamps are.
        """
        if late_s or overflow:
            self.segment += 1
            self.next_sample += round(late_s * RATE_HZ)
        for start in range(0, len(sound), BLOCK):
            part = sound[start : start + BLOCK]
            first = self.next_sample
            adc_ns = BOOT_NS + first * NS_PER_S // RATE_HZ + round(late_stamps_s * NS_PER_S)
            now_ns = BOOT_NS + (first + len(part)) * NS_PER_S // RATE_HZ
            while now_ns - BOOT_NS >= self.read_ns:
                monotonic_ns = BOOT_NS + self.read_ns
                bound_ns = 10**18 if state is ClockState.UNTIMED else 10_000
                self.ear.add_utc(UtcReading(monotonic_ns, START_NS + self.read_ns, bound_ns, state))
                self.read_ns += NS_PER_S
            channels = part[None] if second is None else np.stack([part, second[start : start + BLOCK]])
            record = BlockRecord(first, len(part), adc_ns, overflow and start == 0, segment=self.segment)
            self.next_sample = record.end_sample
            found = self.ear.hear(channels, [record])
            self.waited_samples += [record.end_sample - item.onset_sample for item in found]
            self.heard += found


def truth_ns(shot_s: float) -> int:
    return START_NS + round(shot_s * NS_PER_S)


def test_dated_when_the_clock_knows_and_not_before() -> None:
    roof = Roof()
    roof.play(sound_with_shots((8.0, 8.4), 11.0))
    assert [item.clock_state for item in roof.heard] == [ClockState.PPS] * 2
    for item, shot_s in zip(roof.heard, (8.0, 8.4), strict=True):
        assert abs(item.arrival_time_ns - truth_ns(shot_s)) < 200_000
        assert item.arrival_sigma_ns < 300_000
    assert [item.sequence for item in roof.heard] == [0, 1]
    # Two seconds, and a block.
    assert all(2 * RATE_HZ < waited <= 2 * RATE_HZ + 2 * BLOCK for waited in roof.waited_samples)


def test_before_the_clock_is_acquired_it_says_so() -> None:
    roof = Roof()
    roof.play(sound_with_shots((1.0, 9.0), 12.0))
    assert [item.clock_state for item in roof.heard] == [ClockState.UNTIMED, ClockState.PPS]


def test_a_host_that_does_not_know_dates_nothing() -> None:
    roof = Roof()
    roof.play(sound_with_shots((8.0,), 11.0), state=ClockState.UNTIMED)
    assert [item.clock_state for item in roof.heard] == [ClockState.UNTIMED]


def test_what_waits_at_the_end_is_dated_as_well_as_is_known() -> None:
    roof = Roof()
    roof.play(sound_with_shots((9.0,), 10.0))
    assert (roof.heard, roof.ear.waiting) == ([], 1)
    (last,) = roof.ear.finish()
    assert last.clock_state is ClockState.PPS
    assert abs(last.arrival_time_ns - truth_ns(9.0)) < 200_000
    assert roof.ear.waiting == 0


def test_an_overrun_keeps_earlier_and_later_samples_rightly_dated() -> None:
    roof = Roof()
    roof.play(sound_with_shots((8.0,), 8.5))
    roof.play(sound_with_shots((4.0,), 8.0), overflow=True, late_s=0.1)
    assert len(roof.heard) == 2
    assert abs(roof.heard[0].arrival_time_ns - truth_ns(8.0)) < 200_000
    # Sample 0 of the second stretch is at 8.6 s.
    assert abs(roof.heard[1].arrival_time_ns - truth_ns(12.6)) < 300_000
    assert roof.ear.pipeline.counters.gap_samples == 4800


def test_after_a_reopened_card_nothing_is_dated_by_the_start_transient() -> None:
    roof = Roof()
    roof.play(sound_with_shots((8.0,), 10.5))
    roof.play(sound_with_shots((0.3, 0.8, 1.3), 1.6), late_s=5.0, late_stamps_s=0.15)
    roof.play(sound_with_shots((0.4, 9.0), 13.0))
    before, *during, after = roof.heard
    assert abs(before.arrival_time_ns - truth_ns(8.0)) < 200_000
    # 10.5 s, 5 s without a card, 1.6 s of stamps that are 150 ms late.
    assert len(during) == 4
    for item, shot_s in zip(during, (15.8, 16.3, 16.8, 17.5), strict=True):
        error_ns = abs(item.arrival_time_ns - truth_ns(shot_s))
        assert item.clock_state is ClockState.UNTIMED or error_ns < 2 * item.arrival_sigma_ns + 50_000
    assert after.clock_state is ClockState.PPS
    assert abs(after.arrival_time_ns - truth_ns(26.1)) < 300_000


def test_recorded_pulses_date_better_than_stamps() -> None:
    roof = Roof(pulses=True)
    seconds = 20.0
    t = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    # A pulse of 100 ms at each whole second, 0.3 of a sample after it; its converter is a low pass of three samples.
    raw = np.where((t - 0.3 / RATE_HZ) % 1.0 < 0.1, 0.5, 0.0)
    pulse = np.convolve(raw, [0.25, 0.5, 0.25], mode="same").astype(np.float32)
    pulse += 1e-4 * np.random.default_rng(9).standard_normal(len(t)).astype(np.float32)
    roof.play(sound_with_shots((16.0,), seconds), second=pulse, late_stamps_s=0.0)
    (item,) = roof.heard
    assert item.clock_state is ClockState.PPS_AUDIO
    # By the pulses the sound is dated a fraction of a sample early, whatever the stamps say.
    assert abs(item.arrival_time_ns - truth_ns(16.0)) < 100_000
    assert roof.ear.pulses is not None
    assert roof.ear.pulses.found >= 17


@pytest.mark.parametrize("cut", [1, 3])
def test_blocks_that_come_together_are_the_same(cut: int) -> None:
    one, many = Roof(), Roof()
    sound = sound_with_shots((8.0,), 11.0)
    one.play(sound)
    records, start = [], 0
    for second in range(11):
        many.ear.add_utc(UtcReading(BOOT_NS + second * NS_PER_S, START_NS + second * NS_PER_S, 10_000, ClockState.PPS))
    while start < len(sound):
        length = min(BLOCK, len(sound) - start)
        records.append(BlockRecord(start, length, BOOT_NS + start * NS_PER_S // RATE_HZ, overflow=False))
        start += length
    for first in range(0, len(records), cut):
        group = records[first : first + cut]
        many.heard += many.ear.hear(sound[None, group[0].first_sample : group[-1].end_sample], group)
    assert [(item.onset_sample, item.arrival_time_ns) for item in many.heard] == [
        (item.onset_sample, item.arrival_time_ns) for item in one.heard
    ]
