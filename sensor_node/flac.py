"""Sound into FLAC, in memory."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import soundfile
from numpy.typing import NDArray

from shotline.errors import AudioError

__all__ = ["flac_encoder"]


def flac_encoder(sample_rate_hz: int) -> Callable[[NDArray[np.int16]], bytes]:
    """Return what makes a FLAC file of one channel at a rate.

    Raises
    ------
    AudioError
        FLAC cannot say this rate.
    """

    def encode(samples: NDArray[np.int16]) -> bytes:
        file = io.BytesIO()
        soundfile.write(file, samples, sample_rate_hz, format="FLAC", subtype="PCM_16")
        return file.getvalue()

    try:
        encode(np.zeros(16, dtype=np.int16))
    except soundfile.LibsndfileError as error:
        raise AudioError(
            f"FLAC cannot hold sound at {sample_rate_hz} Hz ({error}); choose a common rate such as 48000, or switch "
            "clips off",
            field="sample_rate_hz",
        ) from error
    return encode
