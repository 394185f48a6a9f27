"""The last seconds of sound in memory: one thread writes and never waits, another reads and is told what it missed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import NS_PER_S

__all__ = ["BlockRecord", "RingCounters", "SoundRing"]

_SAMPLES_PER_RECORD = 64
"""Memory for records is set aside for blocks of this length; with shorter ones records run out before sound does."""

_LEAST_RECORDS = 16
_OVERFLOW, _ESTIMATED = 1, 2
_INT16_SCALE = np.float32(1 / 32768)


@dataclass(frozen=True, slots=True)
class BlockRecord:
    """What is known about consecutive samples that came together.

    Parameters
    ----------
    first_sample : int
        Index of the first sample, counted from the first that was ever written. It jumps where sound was lost.
    samples : int
        How many there are.
    adc_time_ns : int
        CLOCK_MONOTONIC nanoseconds at which the first sample was converted.
    overflow : bool
        The sound card said that it lost sound before or within this block.
    estimated : bool
        The card gave no usable conversion time: `adc_time_ns` comes from the moment of the callback.
    segment : int
        Number of the uninterrupted stretch of the card's own counting, from 0. The next one begins after an overrun,
        a refused block or a stream that was opened again; a jump of the index within one is only sound not read in
        time.
    """

    first_sample: int
    samples: int
    adc_time_ns: int
    overflow: bool
    estimated: bool = False
    segment: int = 0

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + self.samples


@dataclass(frozen=True, slots=True, kw_only=True)
class RingCounters:
    """What has happened to the sound.

    Parameters
    ----------
    blocks, samples : int
        Written; samples per channel.
    overflows, overrun_samples : int
        Blocks that the sound card flagged, and an estimate from conversion times of what was lost before them.
    breaks, break_samples : int
        Other interruptions (`SoundRing.end_segment`, refused blocks), and what they are estimated to have cost.
    overtaken_samples : int
        Written, but overwritten before they were read.
    refused_blocks : int
        Blocks of another shape or sample format; none of their sound was taken.
    """

    blocks: int
    samples: int
    overflows: int
    overrun_samples: int
    breaks: int
    break_samples: int
    overtaken_samples: int
    refused_blocks: int


class SoundRing:
    """Sound in memory that is set aside once, with a record for each block. One writer, one reader, no lock.

    The writer says which sound it is about to overwrite before it does. The reader copies first and looks after that:
    what may have changed under its hands is lost, and counted. `last` may be called from any thread.

    Parameters
    ----------
    seconds : float
        How much is kept; more than 0.
    sample_rate_hz : int
        Nominal rate, for turning lost time into lost samples.
    channels : int
        At least 1.
    """

    def __init__(self, seconds: float, sample_rate_hz: int, channels: int) -> None:
        if sample_rate_hz < 1:
            raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
        if channels < 1:
            raise InputError(f"{channels} channels, expected at least 1", field="channels")
        if not 1 <= seconds * sample_rate_hz < 2**40:
            raise InputError(
                f"a ring of {seconds:g} s at {sample_rate_hz} Hz cannot be; give some seconds", field="seconds"
            )
        self.channels = channels
        self.sample_rate_hz = sample_rate_hz
        self.capacity_samples = round(seconds * sample_rate_hz)
        # Filled, so that every page is there before the callback needs it.
        self._sound = np.full((channels, self.capacity_samples), 0, dtype=np.int16)
        self._slots = max(_LEAST_RECORDS, self.capacity_samples // _SAMPLES_PER_RECORD)
        # Of record n, in slot n % slots. A position counts stored samples: unlike the index it never jumps.
        self._position = _zeros(self._slots)
        self._length = _zeros(self._slots)
        self._first = _zeros(self._slots)
        self._adc_ns = _zeros(self._slots)
        self._flags = _zeros(self._slots)
        self._segment_of = _zeros(self._slots)
        # The writer's; the reader only looks at these four.
        self._kept_from = 0
        self._written = 0
        self._records = 0
        self._next_sample = 0
        self._next_adc_ns = 0
        self._segment = 0
        self._interrupted = False
        self._overflow_pending = False
        self._overflows = 0
        self._overrun_samples = 0
        self._breaks = 0
        self._break_samples = 0
        self._refused = 0
        # The reader's.
        self._read_from = 0
        self._overtaken = 0

    @property
    def next_sample(self) -> int:
        """Index that follows the last sample written."""
        return self._next_sample

    @property
    def counters(self) -> RingCounters:
        """What has happened so far."""
        return RingCounters(
            blocks=self._records,
            samples=self._written,
            overflows=self._overflows,
            overrun_samples=self._overrun_samples,
            breaks=self._breaks,
            break_samples=self._break_samples,
            overtaken_samples=self._overtaken,
            refused_blocks=self._refused,
        )

    def write(self, frames: NDArray[np.int16], *, adc_time_ns: int, overflow: bool, estimated: bool = False) -> None:
        """Take a block. Waits for nobody, raises nothing and sets no memory aside: it runs in the card's callback.

        After an interruption the index goes on where the conversion times say, at least one sample later than it
        would have: whoever watches the index sees the gap.

        Parameters
        ----------
        frames : ndarray, shape (n_samples, n_channels), int16
            As PortAudio hands it over; copied.
        adc_time_ns : int
            CLOCK_MONOTONIC nanoseconds of the first sample.
        overflow : bool
            The card lost sound before or within this block.
        estimated : bool
            `adc_time_ns` does not come from the card.
        """
        if frames.ndim != 2 or frames.shape[1] != self.channels or frames.dtype != np.int16:
            self._refused += 1
            self._interrupted = True
            return
        if overflow:
            self._overflows += 1
            self._overflow_pending = True
        count = len(frames)
        if not count:
            return
        self._begin_after_interruption(adc_time_ns)
        flags = (_OVERFLOW if self._overflow_pending else 0) | (_ESTIMATED if estimated else 0)
        self._interrupted = self._overflow_pending = False
        self._store(frames, adc_time_ns, flags)
        self._next_sample += count
        self._next_adc_ns = adc_time_ns + count * NS_PER_S // self.sample_rate_hz

    def end_segment(self) -> None:
        """Note that the sound was interrupted here. Call it while nobody writes."""
        self._interrupted = True

    def read(self, most_samples: int) -> tuple[NDArray[np.float32], list[BlockRecord]]:
        """Return what is new since the last call, oldest first.

        Sound that was overwritten before it was read is left out: the index of the first record jumps over it, and it
        is counted. A block may come in parts; only the part with its first sample carries its overflow.

        Parameters
        ----------
        most_samples : int
            At least 1. What is left comes with the next call.

        Returns
        -------
        samples : ndarray, shape (n_channels, n_samples), float32
            1.0 at digital full scale.
        records : list of BlockRecord
            Together as long as `samples`, in the same order.
        """
        if most_samples < 1:
            raise InputError(f"{most_samples} samples asked for, expected at least 1", field="most_samples")
        written, records = self._written, self._records
        start = max(self._read_from, self._kept_from)
        end = min(written, start + most_samples)
        if end <= start:
            return np.empty((self.channels, 0), dtype=np.float32), []
        found = list(self._records_between(start, end, records))
        sound = self._copy(start, end)
        kept = min(max(self._kept_from, start), end)
        self._overtaken += kept - self._read_from
        self._read_from = end
        samples = np.multiply(sound[:, kept - start :], _INT16_SCALE, dtype=np.float32)
        return samples, [
            self._part(record, max(kept, position), min(end, position + record.samples), position)
            for position, record in found
            if min(end, position + record.samples) > kept
        ]

    def last(self, from_sample: int, until_sample: int) -> NDArray[np.int16] | None:
        """Return a stretch of sound by its index, or None when it is not (or no longer, or not all) in memory.

        Parameters
        ----------
        from_sample, until_sample : int
            Index of the first sample wanted, and one past the last.

        Returns
        -------
        ndarray, shape (n_channels, until_sample - from_sample), int16, or None
            A copy.
        """
        if until_sample <= from_sample:
            raise InputError(
                f"samples {from_sample} to {until_sample} asked for, expected at least one", field="until_sample"
            )
        records = self._records
        start = self._position_of(from_sample, records)
        last = self._position_of(until_sample - 1, records)
        if start is None or last is None or last - start != until_sample - 1 - from_sample or self._kept_from > start:
            return None
        sound = self._copy(start, last + 1)
        return sound if self._kept_from <= start else None

    def _begin_after_interruption(self, adc_time_ns: int) -> None:
        if not (self._interrupted or self._overflow_pending) or not self._records:
            return
        late_ns = adc_time_ns - self._next_adc_ns
        missing = max(1, (late_ns * self.sample_rate_hz + NS_PER_S // 2) // NS_PER_S)
        self._next_sample += missing
        self._segment += 1
        if self._interrupted:
            self._breaks += 1
            self._break_samples += missing
        else:
            self._overrun_samples += missing

    def _store(self, frames: NDArray[np.int16], adc_time_ns: int, flags: int) -> None:
        position, record, capacity = self._written, self._records, self.capacity_samples
        count = len(frames)
        end = position + count
        slot = record % self._slots
        kept = max(self._kept_from, end - capacity)
        if record + 1 >= self._slots:
            kept = max(kept, self._position[(record + 2) % self._slots])
        self._kept_from = kept  # before anything is overwritten
        keep = min(count, capacity)
        at = (end - keep) % capacity
        head = min(keep, capacity - at)
        self._sound[:, at : at + head] = frames[count - keep : count - keep + head].T
        self._sound[:, : keep - head] = frames[count - keep + head :].T
        self._position[slot] = position
        self._length[slot] = count
        self._first[slot] = self._next_sample
        self._adc_ns[slot] = adc_time_ns
        self._flags[slot] = flags
        self._segment_of[slot] = self._segment
        self._records = record + 1  # before `_written`: whoever sees the sound also sees its record
        self._written = end

    def _copy(self, start: int, end: int) -> NDArray[np.int16]:
        """Return stored samples by position; the caller looks at `_kept_from` after that."""
        capacity = self.capacity_samples
        at, count = start % capacity, end - start
        head = min(count, capacity - at)
        sound = np.empty((self.channels, count), dtype=np.int16)
        sound[:, :head] = self._sound[:, at : at + head]
        sound[:, head:] = self._sound[:, : count - head]
        return sound

    def _records_between(self, start: int, end: int, records: int) -> Iterator[tuple[int, BlockRecord]]:
        """Yield (position, record) of what is stored between two positions, but for records overwritten by now."""
        for number in range(self._find(self._position, start, records), records):
            found = self._record(number)
            if found is None:
                continue
            if found[0] >= end:
                return
            yield found

    def _position_of(self, sample: int, records: int) -> int | None:
        """Return where a sample is stored, by its index."""
        found = self._record(self._find(self._first, sample, records)) if records else None
        if found is None:
            return None
        position, record = found
        return position + sample - record.first_sample if record.first_sample <= sample < record.end_sample else None

    def _find(self, values: array[int], value: int, records: int) -> int:
        """Return the number of the last record kept whose value is not above the one given; else that of the first.

        A record overwritten meanwhile holds a later value, so the answer can only be too early.
        """
        low, high = max(0, records - self._slots + 1), records
        while high - low > 1:
            middle = (low + high) // 2
            if values[middle % self._slots] <= value:
                low = middle
            else:
                high = middle
        return low

    def _record(self, number: int) -> tuple[int, BlockRecord] | None:
        """Return position and content of a record; None when it may have been overwritten while it was read."""
        slot = number % self._slots
        position, flags = self._position[slot], self._flags[slot]
        record = BlockRecord(
            self._first[slot],
            self._length[slot],
            self._adc_ns[slot],
            bool(flags & _OVERFLOW),
            bool(flags & _ESTIMATED),
            self._segment_of[slot],
        )
        return (position, record) if number > self._records - self._slots else None

    def _part(self, record: BlockRecord, start: int, end: int, position: int) -> BlockRecord:
        """Return the part of a record between two positions."""
        offset = start - position
        if not offset and end - start == record.samples:
            return record
        return BlockRecord(
            record.first_sample + offset,
            end - start,
            record.adc_time_ns + offset * NS_PER_S // self.sample_rate_hz,
            record.overflow and not offset,
            record.estimated,
            record.segment,
        )


def _zeros(count: int) -> array[int]:
    return array("q", bytes(8 * count))
