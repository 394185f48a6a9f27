"""What storing a sound leaves of it: Opus and FLAC by libsndfile, in memory, back at its time and at its length.

Phones, cameras and the web store sound with Opus and its like; the clips that a classifier is trained on have often
been through one, and which, must not tell the label.

Both come back in time. FLAC adds nothing in front; what Opus adds (look-ahead of the encoder, "pre-skip") is told in
the header [RFC7845 sec. 4.2], and libsndfile leaves it out, to within a sample: a test measures it at every rate. An
encoder starts and ends with a transient of its own; so that these do not mark a frame, the sound is continued by its
mirror image on either side, and what comes of that is cut off. The bits do not change from call to call, only from one
libopus to another.

References
----------
[RFC6716] Opus; [RFC7845] Opus in Ogg; [RFC9639] FLAC. See docs/references.md.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import amplitude_from_db

__all__ = ["OPUS_BITRATES_BPS", "OPUS_RATES_HZ", "through_flac", "through_opus"]

OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Sample rates that Opus takes [RFC6716 sec. 2.1.1]."""
OPUS_BITRATES_BPS = (6_000.0, 256_000.0)
"""Least and most that libsndfile asks of Opus for one channel."""

_MARGIN_S = 0.08


def through_opus(
    sound: NDArray[np.float32], *, sample_rate_hz: int, bitrate_bps: float, level_dbfs: float = -3.0
) -> NDArray[np.float32]:
    """Return a sound as Opus in an Ogg file gives it back [RFC6716; RFC7845].

    Parameters
    ----------
    sound : ndarray, shape (n_samples,), float32
        Finite, in any unit.
    sample_rate_hz : int
        One of `OPUS_RATES_HZ`.
    bitrate_bps : float
        Asked of the encoder, within `OPUS_BITRATES_BPS`; its rate is variable, and goes up at bangs.
    level_dbfs : float
        Of the sound's peak when it is encoded.

    Returns
    -------
    ndarray, shape (n_samples,), float32
        In the unit of the sound, and at its time.
    """
    if sample_rate_hz not in OPUS_RATES_HZ:
        raise InputError(
            f"{sample_rate_hz} Hz, but Opus takes {', '.join(str(rate) for rate in OPUS_RATES_HZ)} Hz only; resample "
            "first, or use FLAC",
            field="sample_rate_hz",
        )
    low, high = OPUS_BITRATES_BPS
    if not low <= bitrate_bps <= high:
        raise InputError(
            f"{bitrate_bps:g} bit/s, expected {low:g} to {high:g}; ask Opus for a rate in between", field="bitrate_bps"
        )
    # libsndfile counts from 256 kbit/s at compression 0 down to 6 kbit/s at compression 1.
    compression = (high - bitrate_bps) / (high - low)
    return _stored(sound, sample_rate_hz, level_dbfs, container="OGG", subtype="OPUS", compression=compression)


def through_flac(sound: NDArray[np.float32], *, sample_rate_hz: int, level_dbfs: float = -3.0) -> NDArray[np.float32]:
    """Return a sound as 16 bit FLAC gives it back: rounded to a step of 2^-15 of full scale, else the same [RFC9639].

    Parameters
    ----------
    sound : ndarray, shape (n_samples,), float32
        Finite, in any unit.
    sample_rate_hz : int
    level_dbfs : float
        Of the sound's peak when it is stored: -60 leaves 33 steps.

    Returns
    -------
    ndarray, shape (n_samples,), float32
        In the unit of the sound, and at its time.
    """
    return _stored(sound, sample_rate_hz, level_dbfs, container="FLAC", subtype="PCM_16", compression=0.5)


def _stored(
    sound: NDArray[np.float32],
    sample_rate_hz: int,
    level_dbfs: float,
    *,
    container: str,
    subtype: str,
    compression: float,
) -> NDArray[np.float32]:
    if sound.ndim != 1 or not np.isfinite(sound).all():
        raise InputError(
            f"sound of shape {sound.shape}, {np.count_nonzero(~np.isfinite(sound))} values not finite; expected one "
            "row of finite numbers",
            field="sound",
        )
    if not level_dbfs <= 0.0:
        raise InputError(f"{level_dbfs:g} dBFS, expected 0 or less: above, the codec clips", field="level_dbfs")
    peak = float(np.abs(sound).max(initial=0.0))
    if peak == 0.0:
        return sound.copy()
    scale = amplitude_from_db(level_dbfs) / peak
    margin = min(round(_MARGIN_S * sample_rate_hz), len(sound) - 1)
    longer = np.pad(sound.astype(np.float64) * scale, margin, mode="reflect")
    file = io.BytesIO()
    with soundfile.SoundFile(
        file,
        "w",
        samplerate=sample_rate_hz,
        channels=1,
        format=container,
        subtype=subtype,
        compression_level=compression,
    ) as writer:
        writer.write(longer)
    file.seek(0)
    decoded, _ = soundfile.read(file, dtype="float64")
    result = np.zeros(len(sound), dtype=np.float32)
    kept = decoded[margin : margin + len(sound)]
    result[: len(kept)] = kept / scale
    return result
