"""The ring of sound: nothing lost that it does not count, nothing shown that was overwritten."""

from __future__ import annotations

import dataclasses
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sensor_node import ring as ring_module
from sensor_node.framing import AudioBlock, Framer
from sensor_node.ring import BlockRecord, RingCounters, SoundRing
from shotline.errors import InputError

RATE_HZ = 1000
MS = 1_000_000
"""One sample at 1 kHz, in nanoseconds."""


def sound_at(first: int, count: int, channels: int = 1) -> NDArray[np.int16]:
    """Return frames whose every value tells index and channel, shape (count, channels)."""
    index = np.arange(first, first + count)[:, None] * 7919 + np.arange(channels) * 104_729
    return (index % 65_536 - 32_768).astype(np.int16)


def write(ring: SoundRing, count: int, *, lost: int = 0, overflow: bool = False, refused: bool = False) -> None:
    """Write the block that comes ``lost`` samples later than it should; the clock of the card has no error."""
    if refused:
        ring.write(np.zeros((count, ring.channels + 1), dtype=np.int16), adc_time_ns=0, overflow=False)
        return
    first = ring.next_sample + lost
    frames = sound_at(first, count, ring.channels)
    ring.write(frames, adc_time_ns=first * MS, overflow=overflow)


def assert_true(samples: NDArray[np.float32], records: list[BlockRecord]) -> None:
    """Every sample is that of its index, and every record has the time of its index."""
    assert samples.dtype == np.float32
    assert samples.shape[1] == sum(record.samples for record in records)
    start = 0
    for record in records:
        there = samples[:, start : start + record.samples]
        expected = sound_at(record.first_sample, record.samples, len(samples)).T / np.float32(32768)
        assert np.array_equal(there, expected), record
        assert record.adc_time_ns == record.first_sample * MS
        assert record.samples > 0
        start += record.samples


def test_what_is_written_is_read_once_with_index_and_time() -> None:
    ring = SoundRing(1.0, RATE_HZ, 2)
    assert ring.read(10)[1] == []
    write(ring, 30)
    write(ring, 20)
    samples, records = ring.read(1000)
    assert samples.shape == (2, 50)
    assert_true(samples, records)
    assert records == [BlockRecord(0, 30, 0, False), BlockRecord(30, 20, 30 * MS, False)]
    assert [record.end_sample for record in records] == [30, 50]
    nothing, none = ring.read(1000)
    assert (nothing.shape, none) == ((2, 0), [])
    assert ring.next_sample == 50


def test_full_scale_is_one() -> None:
    ring = SoundRing(1.0, RATE_HZ, 1)
    ring.write(np.array([[-32768], [32767], [1]], dtype=np.int16), adc_time_ns=0, overflow=False)
    assert ring.read(3)[0].tolist() == [[-1.0, 32767 / 32768, 1 / 32768]]


def test_a_block_is_copied() -> None:
    ring = SoundRing(1.0, RATE_HZ, 1)
    frames = sound_at(0, 10)
    ring.write(frames, adc_time_ns=0, overflow=False)
    frames[:] = 0
    assert_true(*ring.read(10))


def test_a_block_may_be_read_in_parts() -> None:
    ring = SoundRing(1.0, RATE_HZ, 1)
    write(ring, 10, overflow=True)
    write(ring, 5)
    parts = []
    while True:
        samples, records = ring.read(4)
        if not records:
            break
        assert_true(samples, records)
        parts += records
    assert [(part.first_sample, part.samples) for part in parts] == [(0, 4), (4, 4), (8, 2), (10, 2), (12, 3)]
    assert [part.overflow for part in parts] == [True, False, False, False, False]


def test_time_of_a_part_is_exact_at_48_khz() -> None:
    ring = SoundRing(1.0, 48_000, 1)
    ring.write(sound_at(0, 960), adc_time_ns=10**15 + 1, overflow=False)
    ring.read(1)
    assert ring.read(960)[1] == [BlockRecord(1, 959, 10**15 + 1 + 20_833, False)]


def test_a_slow_reader_is_told_how_much_it_missed() -> None:
    ring = SoundRing(0.1, RATE_HZ, 1)
    for _ in range(5):
        write(ring, 30)
    samples, records = ring.read(1000)
    assert_true(samples, records)
    assert (records[0].first_sample, samples.shape[1]) == (50, 100)
    assert ring.counters.overtaken_samples == 50
    assert {record.segment for record in records} == {0}


def test_a_block_longer_than_the_ring_keeps_its_end() -> None:
    ring = SoundRing(0.1, RATE_HZ, 2)
    write(ring, 10)
    write(ring, 250)
    samples, records = ring.read(1000)
    assert_true(samples, records)
    assert records == [BlockRecord(160, 100, 160 * MS, False)]
    assert ring.counters.overtaken_samples == 160
    assert ring.last(159, 200) is None
    assert ring.last(160, 260) is not None


@pytest.mark.parametrize("count", [14, 15, 16, 17, 18, 31, 32, 40])
def test_records_may_run_out_before_sound(count: int) -> None:
    ring = SoundRing(0.1, RATE_HZ, 1)
    for _ in range(count):
        write(ring, 1)
    samples, records = ring.read(1000)
    assert_true(samples, records)
    kept = min(count, ring_module._LEAST_RECORDS - 1)
    assert (records[0].first_sample, len(records)) == (count - kept, kept)
    assert ring.counters.overtaken_samples == count - kept
    assert ring.last(count - kept - 1, count) is None
    assert ring.last(count - kept, count) is not None


class TestInterruptions:
    def test_overrun_is_a_gap_as_long_as_the_conversion_times_say(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        write(ring, 10, lost=7, overflow=True)
        write(ring, 10)
        samples, records = ring.read(1000)
        assert_true(samples, records)
        assert [(record.first_sample, record.overflow, record.segment) for record in records] == [
            (0, False, 0),
            (17, True, 1),
            (27, False, 1),
        ]
        counters = ring.counters
        assert (counters.overflows, counters.overrun_samples, counters.breaks) == (1, 7, 0)

    def test_framer_sees_the_gap(self) -> None:
        ring, framer = SoundRing(1.0, RATE_HZ, 1), Framer()
        write(ring, 10)
        write(ring, 10, lost=7, overflow=True)
        samples, records = ring.read(1000)
        starts = [
            framer.accept(AudioBlock(records[0].first_sample, samples[0, :10])),
            framer.accept(AudioBlock(records[1].first_sample, samples[0, 10:])),
        ]
        assert starts == [True, True]
        assert (framer.gaps, framer.gap_samples) == (1, 7)

    @pytest.mark.parametrize("late_ns", [0, -5 * MS, 400_000])
    def test_gap_is_at_least_one_sample_whatever_the_times_say(self, late_ns: int) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        ring.write(sound_at(11, 5), adc_time_ns=10 * MS + late_ns, overflow=True)
        assert [record.first_sample for record in ring.read(100)[1]] == [0, 11]

    @pytest.mark.parametrize(("late_ns", "missing"), [(1_499_999, 1), (1_500_000, 2), (2_500_000, 3)])
    def test_gap_is_rounded_to_whole_samples(self, late_ns: int, missing: int) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        ring.write(sound_at(0, 5), adc_time_ns=10 * MS + late_ns, overflow=True)
        assert ring.counters.overrun_samples == missing

    def test_end_of_a_segment_is_a_break(self) -> None:
        ring = SoundRing(10.0, RATE_HZ, 1)
        write(ring, 10)
        ring.end_segment()
        write(ring, 10, lost=3000)
        samples, records = ring.read(1000)
        assert_true(samples, records)
        assert [(record.first_sample, record.overflow, record.segment) for record in records] == [
            (0, False, 0),
            (3010, False, 1),
        ]
        assert (ring.counters.breaks, ring.counters.break_samples, ring.counters.overflows) == (1, 3000, 0)

    def test_before_the_first_block_there_is_nothing_to_interrupt(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        ring.end_segment()
        ring.write(sound_at(0, 5), adc_time_ns=99 * MS, overflow=True)
        assert ring.read(10)[1] == [BlockRecord(0, 5, 99 * MS, True)]
        assert ring.counters.breaks == 0

    def test_overflow_of_an_empty_block_belongs_to_the_next(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        write(ring, 0, overflow=True)
        write(ring, 10, lost=4)
        assert [(r.first_sample, r.overflow) for r in ring.read(100)[1]] == [(0, False), (14, True)]
        assert (ring.counters.blocks, ring.counters.overflows, ring.counters.overrun_samples) == (2, 1, 4)

    @pytest.mark.parametrize(
        "frames",
        [
            np.zeros(10, dtype=np.int16),
            np.zeros((10, 2), dtype=np.int16),
            np.zeros((10, 1), dtype=np.float32),
            np.zeros((10, 1, 1), dtype=np.int16),
        ],
    )
    def test_block_of_another_kind_is_refused_and_leaves_a_gap(self, frames: NDArray[np.int16]) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        ring.write(frames, adc_time_ns=10 * MS, overflow=False)
        write(ring, 10, lost=10)
        assert [(record.first_sample, record.segment) for record in ring.read(100)[1]] == [(0, 0), (20, 1)]
        assert (ring.counters.refused_blocks, ring.counters.break_samples) == (1, 10)

    def test_estimated_times_are_marked(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        ring.write(sound_at(0, 5), adc_time_ns=0, overflow=False, estimated=True)
        write(ring, 5)
        assert [record.estimated for record in ring.read(100)[1]] == [True, False]

    def test_segment_survives_an_overtaken_break(self) -> None:
        """The flagged block is overwritten unread; what follows still says that the card's counting was interrupted."""
        ring = SoundRing(0.1, RATE_HZ, 1)
        write(ring, 10)
        write(ring, 10, lost=5, overflow=True)
        for _ in range(3):
            write(ring, 50)
        records = ring.read(1000)[1]
        assert {(record.overflow, record.segment) for record in records} == {(False, 1)}


class TestLast:
    def test_sound_by_index_across_blocks_and_the_end_of_the_memory(self) -> None:
        ring = SoundRing(0.1, RATE_HZ, 2)
        for _ in range(13):
            write(ring, 30)
        assert ring.next_sample == 390
        for first, until in ((290, 390), (300, 301), (295, 361), (389, 390)):
            found = ring.last(first, until)
            assert found is not None
            assert found.dtype == np.int16
            assert np.array_equal(found, sound_at(first, until - first, 2).T)

    @pytest.mark.parametrize(("first", "until"), [(289, 300), (380, 391), (390, 395), (0, 10), (-5, 3), (500, 600)])
    def test_none_when_it_is_gone_or_not_there_yet(self, first: int, until: int) -> None:
        ring = SoundRing(0.1, RATE_HZ, 1)
        assert ring.last(0, 1) is None
        for _ in range(13):
            write(ring, 30)
        assert ring.last(first, until) is None

    def test_none_when_a_gap_is_inside(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        write(ring, 10, lost=5, overflow=True)
        assert ring.last(0, 10) is not None
        assert ring.last(15, 25) is not None
        for first, until in ((9, 16), (0, 25), (10, 15), (12, 13), (14, 16), (5, 12)):
            assert ring.last(first, until) is None, (first, until)

    def test_reading_takes_nothing_away(self) -> None:
        ring = SoundRing(1.0, RATE_HZ, 1)
        write(ring, 10)
        ring.read(10)
        assert ring.last(0, 10) is not None
        assert ring.last(0, 10) is not None
        write(ring, 5)
        assert ring.read(10)[1][0].first_sample == 10


class Twin:
    """What the ring does, slow and obvious: every sample that was ever stored, in a list."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.records_kept = max(ring_module._LEAST_RECORDS, capacity // ring_module._SAMPLES_PER_RECORD) - 1
        self.stored: list[int] = []
        self.starts: list[int] = []
        self.next_sample = 0
        self.interrupted = False
        self.read_from = 0
        self.overtaken = 0

    @property
    def kept_from(self) -> int:
        records = self.starts[-self.records_kept :]
        return max(len(self.stored) - self.capacity, records[0] if records else 0, 0)

    def write(self, count: int, lost: int) -> None:
        self.starts.append(len(self.stored))
        self.next_sample += lost
        self.stored += range(self.next_sample, self.next_sample + count)
        self.next_sample += count

    def read(self, most: int) -> list[int]:
        start = max(self.read_from, self.kept_from)
        found = self.stored[start : start + most]
        if found:
            self.overtaken += start - self.read_from
            self.read_from = start + len(found)
        return found

    def has(self, first: int, until: int) -> bool:
        return set(range(first, until)) <= set(self.stored[self.kept_from :])


def indices(records: list[BlockRecord]) -> list[int]:
    """Return the index of every sample."""
    return [index for record in records for index in range(record.first_sample, record.end_sample)]


steps = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 60), st.just(0)),
    st.tuples(st.just("write"), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("overrun"), st.integers(1, 60), st.integers(1, 50)),
    st.tuples(st.just("reopen"), st.integers(1, 60), st.integers(1, 500)),
    st.tuples(st.just("refused"), st.integers(1, 60), st.integers(1, 60)),
    st.tuples(st.just("read"), st.integers(1, 120), st.just(0)),
    st.tuples(st.just("last"), st.integers(-20, 200), st.integers(1, 60)),
)


@settings(max_examples=300, deadline=None)
@given(capacity=st.integers(1, 90), channels=st.integers(1, 3), script=st.lists(steps, min_size=1, max_size=80))
def test_any_order_of_writes_and_reads_does_what_the_twin_does(
    capacity: int, channels: int, script: list[tuple[str, int, int]]
) -> None:
    ring, twin = SoundRing(capacity / RATE_HZ, RATE_HZ, channels), Twin(capacity)
    for what, count, more in script:
        if what == "read":
            samples, records = ring.read(count)
            assert_true(samples, records)
            assert indices(records) == twin.read(count)
        elif what == "last":
            first = ring.next_sample - count
            found = ring.last(first, first + more)
            assert (found is not None) == twin.has(first, first + more)
            if found is not None:
                assert np.array_equal(found, sound_at(first, more, channels).T)
        else:
            # Before the first block there is nothing that could be lost.
            lost = more if ring.counters.blocks and what != "write" else 0
            if what == "reopen":
                ring.end_segment()
            write(ring, 1, refused=True) if what == "refused" else None
            write(ring, count, lost=lost, overflow=what == "overrun")
            twin.write(count, lost)
        assert ring.counters.overtaken_samples == twin.overtaken
        assert ring.counters.samples == len(twin.stored)
    counters = ring.counters
    assert counters.overrun_samples + counters.break_samples == twin.next_sample - len(twin.stored)


class RacedRing(SoundRing):
    """A ring whose writer comes in the middle of a read, at a moment of the test's choice."""

    def __init__(self, capacity: int, channels: int) -> None:
        super().__init__(capacity / RATE_HZ, RATE_HZ, channels)
        self.intrude: Callable[[], None] = lambda: None

    def _copy(self, start: int, end: int) -> NDArray[np.int16]:
        self.intrude()
        half = start + (end - start) // 2
        first = super()._copy(start, half)
        self.intrude()
        both = np.concatenate([first, super()._copy(half, end)], axis=1)
        self.intrude()
        return both

    def _record(self, number: int) -> tuple[int, BlockRecord] | None:
        self.intrude()
        found = super()._record(number)
        self.intrude()
        return found


def test_clip_overwritten_while_it_is_copied_is_not_given() -> None:
    for writes_late in range(3):
        ring = RacedRing(100, 1)
        write(ring, 50)
        write(ring, 50)
        moments = iter(range(100))

        def intrude(ring: RacedRing = ring, moments: Iterator[int] = moments, late: int = 4 + writes_late) -> None:
            if next(moments) == late:
                write(ring, 1)

        ring.intrude = intrude
        # Two looks at each of two records come first; then the three moments of the copy.
        assert ring.last(0, 50) is None
        assert ring.next_sample == 101
        assert ring.last(1, 101) is not None


def test_records_overwritten_while_they_are_looked_at() -> None:
    """Sound is kept longer than its records here: what remains has its record, the rest is lost."""
    ring = RacedRing(90, 1)
    for _ in range(15):
        write(ring, 1)
    pending = [1, 1, 1, 1, 1]

    def intrude() -> None:
        if pending:
            write(ring, pending.pop())

    ring.intrude = intrude
    samples, records = ring.read(100)
    assert_true(samples, records)
    assert indices(records) == list(range(5, 15))
    assert ring.counters.overtaken_samples == 5


@settings(max_examples=300, deadline=None)
@given(
    capacity=st.integers(1, 90),
    channels=st.integers(1, 2),
    before=st.lists(st.integers(1, 40), max_size=30),
    during=st.lists(st.integers(0, 40), max_size=60),
    most=st.integers(1, 100),
    clip=st.tuples(st.integers(1, 120), st.integers(1, 60)),
)
def test_a_writer_that_overtakes_a_read_leaves_only_true_sound(
    capacity: int, channels: int, before: list[int], during: list[int], most: int, clip: tuple[int, int]
) -> None:
    ring = RacedRing(capacity, channels)
    for count in before:
        write(ring, count)
    pending = list(during)

    def intrude() -> None:
        count = pending.pop() if pending else 0
        if count:
            write(ring, count)

    ring.intrude = intrude
    seen: list[int] = []
    for turn in range(6):
        if turn % 2:
            first = ring.next_sample - clip[0]
            found = ring.last(first, first + clip[1])
            assert found is None or np.array_equal(found, sound_at(first, clip[1], channels).T)
        samples, records = ring.read(most)
        assert_true(samples, records)
        seen += indices(records)
    ring.intrude = lambda: None
    while (rest := ring.read(most))[1]:
        assert_true(*rest)
        seen += indices(rest[1])
    assert seen == sorted(set(seen))
    assert len(seen) + ring.counters.overtaken_samples == ring.counters.samples


class Intruder(list[int]):
    """Stands in for a ring's array: lets the reader in when the sound of a block is there and its record is not."""

    intrude: Callable[[], None]

    def __setitem__(self, slot: object, value: object) -> None:
        self.intrude()
        super().__setitem__(slot, value)  # type: ignore[call-overload]
        self.intrude()


@settings(max_examples=200, deadline=None)
@given(
    capacity=st.integers(1, 60),
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=40),
    reads=st.lists(st.integers(0, 50), max_size=80),
)
def test_a_read_in_the_middle_of_a_write_shows_only_true_sound(
    capacity: int, counts: list[int], reads: list[int]
) -> None:
    ring = SoundRing(capacity / RATE_HZ, RATE_HZ, 1)
    pending = list(reads)
    seen: list[int] = []

    def read() -> None:
        most = pending.pop() if pending else 0
        if most:
            samples, records = ring.read(most)
            assert_true(samples, records)
            seen.extend(indices(records))
        first = ring.next_sample - most
        clip = ring.last(first, first + 5)
        assert clip is None or np.array_equal(clip, sound_at(first, 5).T)

    slots = Intruder(ring._position)
    slots.intrude = read
    ring._position = slots  # type: ignore[assignment]
    for count in counts:
        write(ring, count)
    while (rest := ring.read(100))[1]:
        assert_true(*rest)
        seen += indices(rest[1])
    assert seen == sorted(set(seen))
    assert len(seen) + ring.counters.overtaken_samples == ring.counters.samples


@contextmanager
def eager_threads() -> Iterator[None]:
    """Switch threads as often as Python can."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)


def test_two_threads_at_full_speed() -> None:
    """The ring holds four blocks, so the reader is overtaken again and again."""
    ring = SoundRing(0.4, RATE_HZ, 2)
    blocks, problems = 3000, []

    def writer() -> None:
        try:
            for number in range(blocks):
                write(ring, 90 + number % 20, lost=number % 7, overflow=bool(number % 7))
        except Exception as error:
            problems.append(error)

    thread = threading.Thread(target=writer)
    seen = clips = 0
    reached = -1
    with eager_threads():
        thread.start()
        while True:
            alive = thread.is_alive()
            samples, records = ring.read(150)
            assert_true(samples, records)
            for record in records:
                assert record.first_sample > reached
                reached = record.end_sample - 1
            seen += samples.shape[1]
            first = ring.next_sample - 60
            clip = ring.last(first, first + 60)
            if clip is not None:
                assert np.array_equal(clip, sound_at(first, 60, 2).T)
                clips += 1
            if not alive and not records:
                break
    thread.join()
    counters = ring.counters
    assert problems == []
    assert counters.blocks == blocks
    assert seen + counters.overtaken_samples == counters.samples
    assert clips


def test_counters_begin_at_nothing() -> None:
    assert set(dataclasses.asdict(SoundRing(1.0, RATE_HZ, 1).counters).values()) == {0}
    assert isinstance(SoundRing(1.0, RATE_HZ, 1).counters, RingCounters)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((1.0, 0, 1), "sample_rate_hz: sample rate 0 Hz is not more than 0"),
        ((1.0, 1000, 0), "channels: 0 channels, expected at least 1"),
        ((0.0, 1000, 1), "seconds: a ring of 0 s at 1000 Hz cannot be"),
        ((float("nan"), 1000, 1), "seconds: a ring of nan s"),
        ((float("inf"), 1000, 1), "seconds: a ring of inf s"),
    ],
)
def test_sizes_that_cannot_be(arguments: tuple[float, int, int], text: str) -> None:
    with pytest.raises(InputError) as caught:
        SoundRing(*arguments)
    assert str(caught.value).startswith(text)


def test_questions_that_cannot_be() -> None:
    ring = SoundRing(1.0, RATE_HZ, 1)
    with pytest.raises(InputError, match="most_samples: 0 samples asked for, expected at least 1"):
        ring.read(0)
    with pytest.raises(InputError, match="until_sample: samples 5 to 5 asked for, expected at least one"):
        ring.last(5, 5)


def test_public_names() -> None:
    assert ring_module.__all__ == ["BlockRecord", "RingCounters", "SoundRing"]
