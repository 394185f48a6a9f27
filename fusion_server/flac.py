"""FLAC files from nodes into sound, in memory, never more than was promised."""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from shotline.errors import MessageError
from shotline.messages import RejectReason

__all__ = ["decode_flac"]


def decode_flac(file: bytes, *, sample_rate_hz: int, samples: int) -> NDArray[np.int16]:
    """Return the samples of a FLAC file of one channel, 16 bit.

    Parameters
    ----------
    file : bytes
    sample_rate_hz, samples : int
        What it must hold: not a sample more is decoded.

    Raises
    ------
    MessageError
        It is something else.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(file)) as opened:
            seen = (opened.format, opened.subtype, opened.channels, opened.samplerate, opened.frames)
            expected = ("FLAC", "PCM_16", 1, sample_rate_hz, samples)
            if seen != expected:
                raise MessageError(RejectReason.CLIP_DAMAGED, f"the file holds {seen}, expected {expected}")
            sound: NDArray[np.int16] = opened.read(samples, dtype="int16")
    except (soundfile.LibsndfileError, RuntimeError, ValueError) as error:
        raise MessageError(RejectReason.CLIP_DAMAGED, f"the file is no FLAC that can be read: {error}") from error
    if sound.shape != (samples,):
        raise MessageError(RejectReason.CLIP_DAMAGED, f"the file ends after {len(sound)} samples, expected {samples}")
    return sound
