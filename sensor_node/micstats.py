"""What the sound says of the microphone: level, silence, offset, clipping, and whether something turns the gain.

One second at a time, with figures of the last five minutes in memory that does not grow. No sound is kept.

Automatic gain control is suspected from *pumping*: it turns the gain down for a loud sound, and up again in its release
time. So the hiss under all sounds (the highest frequencies) is quieter just after a loud impulse than before it, and
comes back. Without it an impulse leaves reverberation, and the quiet after it is as loud or louder. By chance sounds
end and begin too: of loud impulses in real recordings a quarter may look so, which is why most of many must.

What it cannot find: a gain that nothing loud has moved yet, or that is always down, as noise alone reaches its target
(then the noise floor is too high, which is another sign); one that comes back faster than reverberation dies away, or
slower than three seconds; one that is too slow for the impulse itself.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from shotline.errors import InputError
from shotline.units import db_from_amplitude

__all__ = ["GainEvidence", "MicrophoneStats", "SoundFigures"]

_WINDOW_S = 300
_FRAMES_PER_S = 20
_FULL_SCALE = 32_767.0 / 32_768.0
"""The highest value of a 16-bit sample."""
_FLAT_SAMPLES_IN_A_FRAME = 3
"""At full scale, for a frame to count as clipped: one sample may be a peak that just fits."""

_DIFFERENCES = 2
"""Of neighbouring samples, taken so often: what is left is hiss, without wind and traffic."""
_LOUD_DB = 24.0
"""Peak of an impulse over the quiet before it. Noise alone reaches 13 dB in a frame."""
_QUIET_SHARE = 0.2
_BEFORE, _SKIP, _AFTER, _LATER = 40, 2, 40, 100
"""Frames: looked at before an impulse, left out around it, looked at after that; where the gain should be back."""
_SUSTAINED = 10
"""Frames that the quiet after an impulse must last."""
_DEPRESSED_DB = 0.7
"""Hiss that nothing turns is the same within 0.3 dB."""
_IMPULSES_KEPT = 32
_LEAST_IMPULSES = 16
_SUSPICIOUS_SHARE = 0.6
"""With a chance of a quarter, 10 of 16 happen once in 600 times, 20 of 32 once in 100,000 times."""


class GainEvidence(NamedTuple):
    """What the last loud impulses (32 at most) say of the gain.

    Parameters
    ----------
    impulses : int
        Looked at.
    depressed : int
        After how many of them the hiss was over 0.7 dB less than before, and came back by half or more.
    """

    impulses: int
    depressed: int

    @property
    def suspected(self) -> bool:
        """Whether six of ten, of 16 at least, show pumping."""
        return self.impulses >= _LEAST_IMPULSES and self.depressed >= _SUSPICIOUS_SHARE * self.impulses


@dataclass(frozen=True, slots=True, kw_only=True)
class SoundFigures:
    """Of the last five minutes, or since the start. Levels are rms without the offset, dB over an amplitude of 1.0.

    Parameters
    ----------
    seconds : int
        Whole seconds that were looked at.
    level_dbfs : float
        Of the last second; -inf for one without change.
    quiet_dbfs : float
        The 10th percentile of the seconds: the noise floor.
    offset : float
        Median of the means, part of full scale.
    still_s : float
        How long the same value has been repeated, up to now.
    zero_run_s, constant_run_s : float
        Longest run of zeros, and of any other value that is not full scale.
    full_scale_share : float
        Of samples at full scale.
    clipped_share : float
        Of frames of 50 ms with 3 or more samples at full scale.
    gain : GainEvidence
        Of the last impulses, however long ago.
    """

    seconds: int
    level_dbfs: float
    quiet_dbfs: float
    offset: float
    still_s: float
    zero_run_s: float
    constant_run_s: float
    full_scale_share: float
    clipped_share: float
    gain: GainEvidence


class _Second(NamedTuple):
    rms: float
    mean: float
    zero_run: int
    constant_run: int
    full_scale: int
    clipped_frames: int


class MicrophoneStats:
    """Takes one channel as it comes.

    Parameters
    ----------
    sample_rate_hz : int
        At least 1000.
    settle_s : float
        After the start and after a gap so much is left out: a converter that begins says what is no sound.
    """

    def __init__(self, sample_rate_hz: int, *, settle_s: float = 0.0) -> None:
        if sample_rate_hz < 1_000:
            raise InputError(f"sample rate {sample_rate_hz} Hz, expected 1000 or more", field="sample_rate_hz")
        if not 0.0 <= settle_s <= 60.0:
            raise InputError(f"{settle_s:g} s is not within 0 to 60", field="settle_s")
        self._settle_samples = self._unsettled = round(settle_s * sample_rate_hz)
        self._rate = sample_rate_hz
        self._frame = sample_rate_hz // _FRAMES_PER_S
        self._buffer = np.empty(sample_rate_hz, dtype=np.float32)
        self._filled = 0
        self._next_sample: int | None = None
        self._last_value = np.float32(np.nan)
        self._run = 0
        self._seconds: deque[_Second] = deque(maxlen=_WINDOW_S)
        self._gain = _GainWatch()

    def add(self, block: AudioBlock) -> None:
        """Take a block. One that does not follow the last starts a new second: what was begun is dropped."""
        if self._next_sample is not None and block.first_sample != self._next_sample:
            self._filled = self._run = 0
            self._last_value = np.float32(np.nan)
            self._unsettled = self._settle_samples
            self._gain.interrupt()
        self._next_sample = block.end_sample
        left = block.samples[self._unsettled :]
        self._unsettled -= len(block.samples) - len(left)
        while len(left):
            taken = min(len(left), self._rate - self._filled)
            self._buffer[self._filled : self._filled + taken] = left[:taken]
            self._filled, left = self._filled + taken, left[taken:]
            if self._filled == self._rate:
                self._end_second()

    @property
    def figures(self) -> SoundFigures | None:
        """What is known by now; None before the first whole second."""
        if not self._seconds:
            return None
        rms, means, zero_runs, constant_runs, full_scale, clipped = (
            np.asarray(row) for row in zip(*self._seconds, strict=True)
        )
        return SoundFigures(
            seconds=len(self._seconds),
            level_dbfs=db_from_amplitude(float(rms[-1])),
            quiet_dbfs=db_from_amplitude(float(np.percentile(rms, 10.0, method="lower"))),
            offset=float(np.median(means)),
            still_s=self._run / self._rate if self._run > 1 else 0.0,
            zero_run_s=int(zero_runs.max()) / self._rate,
            constant_run_s=int(constant_runs.max()) / self._rate,
            full_scale_share=int(full_scale.sum()) / (len(rms) * self._rate),
            clipped_share=int(clipped.sum()) / (len(rms) * _FRAMES_PER_S),
            gain=self._gain.evidence,
        )

    def _end_second(self) -> None:
        self._filled = 0
        sound = self._buffer
        mean = float(np.mean(sound, dtype=np.float64))
        zero_run, constant_run = self._longest_runs(sound)
        moving = sound - np.float32(mean)
        frames = moving[: self._frame * _FRAMES_PER_S].reshape(_FRAMES_PER_S, self._frame)
        squares = np.square(frames).mean(axis=1, dtype=np.float64)
        flat = np.abs(sound) >= _FULL_SCALE
        flat_in_frames = flat[: self._frame * _FRAMES_PER_S].reshape(_FRAMES_PER_S, self._frame).sum(axis=1)
        hiss = np.square(np.diff(frames, n=_DIFFERENCES, axis=1)).mean(axis=1, dtype=np.float64)
        self._gain.add(np.sqrt(hiss), np.sqrt(squares), np.abs(frames).max(axis=1))
        self._seconds.append(
            _Second(
                rms=float(np.sqrt(np.mean(np.square(moving), dtype=np.float64))),
                mean=mean,
                zero_run=zero_run,
                constant_run=constant_run,
                full_scale=int(flat.sum()),
                clipped_frames=int((flat_in_frames >= _FLAT_SAMPLES_IN_A_FRAME).sum()),
            )
        )

    def _longest_runs(self, sound: NDArray[np.float32]) -> tuple[int, int]:
        """Return the longest runs, in samples, of zeros and of other values, begun before this second or in it."""
        ends = np.flatnonzero(sound[1:] != sound[:-1])
        starts = np.concatenate([[0], ends + 1])
        lengths = np.diff(np.concatenate([starts, [len(sound)]]))
        values = sound[starts]
        if values[0] == self._last_value:
            lengths[0] += self._run
        self._last_value, self._run = values[-1], int(lengths[-1])
        zero = values == 0.0
        other = ~zero & (np.abs(values) < _FULL_SCALE)
        return int(lengths[zero].max(initial=0)), int(lengths[other].max(initial=0))


class _GainWatch:
    """Looks at frames before and after loud impulses."""

    def __init__(self) -> None:
        self._frames: deque[tuple[float, float, float]] = deque(maxlen=_BEFORE + _LATER + _FRAMES_PER_S)
        self._wait = 0
        self._verdicts: deque[bool] = deque(maxlen=_IMPULSES_KEPT)

    def interrupt(self) -> None:
        """Forget what came before: it does not belong to what comes next."""
        self._frames.clear()
        self._wait = 0

    def add(self, hiss: NDArray[np.float64], rms: NDArray[np.float64], peak: NDArray[np.float32]) -> None:
        """Take the frames of a second, and look at those that are old enough."""
        self._frames.extend(zip(hiss.tolist(), rms.tolist(), peak.tolist(), strict=True))
        if len(self._frames) < _BEFORE + _LATER + len(rms):
            return
        hiss_db, rms_db, peak_db = 20.0 * np.log10(np.maximum(np.asarray(self._frames).T, 1e-9))
        for index in range(_BEFORE, _BEFORE + len(rms)):
            if self._wait:
                self._wait -= 1
                continue
            before = slice(index - _BEFORE, index - _SKIP)
            if peak_db[index] < float(np.quantile(rms_db[before], _QUIET_SHARE)) + _LOUD_DB:
                continue
            self._wait = _LATER
            self._verdicts.append(_is_depressed(hiss_db[before], hiss_db[index + _SKIP + 1 : index + _LATER]))

    @property
    def evidence(self) -> GainEvidence:
        """What all impulses say."""
        return GainEvidence(len(self._verdicts), sum(self._verdicts))


def _is_depressed(before_db: NDArray[np.float64], after_db: NDArray[np.float64]) -> bool:
    """Return whether the quiet soon after an impulse is quieter than before it, and comes back."""
    fallen_db = _lowest_quiet_db(before_db) - _lowest_quiet_db(after_db[:_AFTER])
    back_db = float(np.quantile(after_db[-_FRAMES_PER_S:], _QUIET_SHARE)) - _lowest_quiet_db(after_db[:_AFTER])
    return fallen_db > _DEPRESSED_DB and back_db > 0.5 * fallen_db


def _lowest_quiet_db(levels_db: NDArray[np.float64]) -> float:
    """Return the quiet level of the quietest half second."""
    windows = np.lib.stride_tricks.sliding_window_view(levels_db, _SUSTAINED)
    return float(np.quantile(windows, _QUIET_SHARE, axis=1).min())
