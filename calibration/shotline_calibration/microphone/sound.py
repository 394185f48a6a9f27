"""One channel of a sound file, whole."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sensor_node.audiofile import inspect_audio, read_blocks
from shotline.errors import AudioError

__all__ = ["Recording", "read_recording"]

_LONGEST_S = 1_800.0
_BLOCK_SAMPLES = 1 << 16
_LEAST_RATE_HZ = 8_000


@dataclass(frozen=True, slots=True)
class Recording:
    """What was recorded.

    Parameters
    ----------
    samples : ndarray, shape (n,), float64
        1.0 at digital full scale.
    sample_rate_hz : int
    """

    samples: NDArray[np.float64]
    sample_rate_hz: int

    @property
    def duration_s(self) -> float:
        """Length."""
        return len(self.samples) / self.sample_rate_hz


def read_recording(path: Path, *, channel: int | None = None) -> Recording:
    """Read a WAV or FLAC file.

    Parameters
    ----------
    path : Path
    channel : int | None
        1 for the first; None only does for one channel.

    Raises
    ------
    AudioError
        It cannot be read, is over half an hour long, or has under 8 kHz.
    """
    info = inspect_audio(path, channel=channel)
    if info.sample_rate_hz < _LEAST_RATE_HZ:
        raise AudioError(f"{info.sample_rate_hz} Hz, expected {_LEAST_RATE_HZ} Hz or more", source=path)
    if info.duration_s > _LONGEST_S:
        raise AudioError(f"lasts {info.duration_s / 60.0:.0f} minutes, expected 30 at the most; cut it", source=path)
    blocks = [block.samples for block in read_blocks(path, block_samples=_BLOCK_SAMPLES, channel=channel)]
    return Recording(np.concatenate(blocks).astype(np.float64), info.sample_rate_hz)
