"""Blocks of sound and the bookkeeping of their sample index. The sample index is the time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import AudioError

__all__ = ["AudioBlock", "Framer"]


@dataclass(frozen=True, slots=True, eq=False)
class AudioBlock:
    """Consecutive samples of one channel.

    Parameters
    ----------
    first_sample : int
        Index of the first sample since the source was opened, zero-based.
    samples : ndarray, shape (n_samples,), float32
        Sound, 1.0 at digital full scale.
    """

    first_sample: int
    samples: NDArray[np.float32]

    @property
    def end_sample(self) -> int:
        """Index one past the last sample."""
        return self.first_sample + len(self.samples)


class Framer:
    """Checks that blocks follow each other, and counts what is missing.

    A block that starts later than expected leaves a gap, which is counted; one that starts earlier is refused, as are
    samples that are not numbers. A refused block leaves the state as it was.

    Attributes
    ----------
    samples, gaps, gap_samples : int
        Samples taken, gaps seen, samples missing in them.
    next_sample : int | None
        Index expected next; None before the first block.
    """

    def __init__(self, *, source: str = "") -> None:
        self._source = source
        self.samples = 0
        self.gaps = 0
        self.gap_samples = 0
        self.next_sample: int | None = None
        self._open = False

    def end_segment(self) -> None:
        """Note that the sound ended here: a block that follows starts a new segment."""
        self._open = False

    def accept(self, block: AudioBlock) -> bool:
        """Take a block; return True when a new segment starts with it (the first block, or one after a gap).

        Raises
        ------
        AudioError
            The block overlaps what was taken, is not mono, or holds a sample that is not finite.
        """
        if block.samples.ndim != 1:
            raise self._error(
                f"block at sample {block.first_sample} has shape {block.samples.shape}, expected one channel; "
                "choose a channel"
            )
        if self.next_sample is not None and block.first_sample < self.next_sample:
            raise self._error(
                f"block starts at sample {block.first_sample}, expected {self.next_sample} or later; "
                "blocks must be given once each, in order"
            )
        if block.first_sample < 0:
            raise self._error(f"block starts at sample {block.first_sample}; the index counts from 0")
        finite = np.isfinite(block.samples)
        if not finite.all():
            offset = int(np.argmin(finite))
            raise self._error(
                f"sample {block.first_sample + offset} is {block.samples[offset]}, expected a finite number; "
                "the source is broken, or its file is"
            )
        if not len(block.samples):
            return False
        missing = 0 if self.next_sample is None else block.first_sample - self.next_sample
        starts = missing > 0 or not self._open
        self._open = True
        if missing:
            self.gaps += 1
            self.gap_samples += missing
        self.next_sample = block.end_sample
        self.samples += len(block.samples)
        return starts

    def _error(self, message: str) -> AudioError:
        return AudioError(message, source=self._source, field="samples")
