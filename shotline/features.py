"""What an impulse looks like: figures of the sound around one onset. Pure numbers, no decisions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.onsets import Onset
from shotline.units import db_from_amplitude

__all__ = ["ImpulseFeatures", "impulse_features"]

_PEAK_SEARCH_S = 0.050
_LEAD_S = 0.003
_SMOOTH_S = 0.002
_DECAY_DB = 10.0
_DURATION_SHARE = 0.9
_LOW_BAND_HZ = 1_000.0
_CLIP_LEVEL = 0.999
_SMALLEST = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class ImpulseFeatures:
    """Figures of one impulse. All are of the band-passed sound, except ``clipped``.

    Parameters
    ----------
    peak : float
        Highest magnitude within 50 ms of the onset; full scale = 1.
    peak_delay_s : float
        From the onset to that peak.
    snr_db : float
        Peak over the rms of the noise floor. Noise alone reaches about 11 dB, since it has peaks too.
    step_db : float
        Energy of the 10 ms after the onset over energy of the 50 ms before.
    rise_time_s : float
        From the first 10 % to the first 90 % of the peak magnitude, interpolated.
    decay_time_s : float
        From the peak until the energy, smoothed over 2 ms, stays 10 dB below its highest;
        to the end of the frame if it never does.
    duration_s : float
        Time after the onset that holds 90 % of the frame's energy above the noise.
    crest_db : float
        Peak over the rms of the first 50 ms.
    centroid_hz : float
        Centre of gravity of the power spectrum of the first 50 ms.
    low_band_ratio : float
        Share of that power below 1 kHz, 0 to 1.
    clipped : bool
        A raw sample from just before the onset to 50 ms after it reached full scale.
    """

    peak: float
    peak_delay_s: float
    snr_db: float
    step_db: float
    rise_time_s: float
    decay_time_s: float
    duration_s: float
    crest_db: float
    centroid_hz: float
    low_band_ratio: float
    clipped: bool


def impulse_features(onset: Onset, *, sample_rate_hz: int) -> ImpulseFeatures:
    """Return the figures of one onset.

    Parameters
    ----------
    onset : Onset
        With at least one sample after the onset in its frame.
    sample_rate_hz : int
        Of its frames.
    """
    start = max(int(onset.sample) - onset.frame_start, 0)
    body = onset.band[start:]
    near = body[: max(round(_PEAK_SEARCH_S * sample_rate_hz), 1)]
    magnitude = np.abs(near)
    peak_index = int(np.argmax(magnitude))
    peak = max(float(magnitude[peak_index]), _SMALLEST)
    lead = max(start - round(_LEAD_S * sample_rate_hz), 0)
    near_rms = float(np.sqrt(np.square(near).mean()))
    centroid_hz, low_band_ratio = _spectrum(near, sample_rate_hz)
    raw = np.abs(onset.raw[lead : start + len(near)])
    return ImpulseFeatures(
        peak=peak,
        peak_delay_s=peak_index / sample_rate_hz,
        snr_db=db_from_amplitude(peak / max(onset.noise_rms, _SMALLEST)),
        step_db=onset.step_db,
        rise_time_s=_rise_samples(np.abs(onset.band[lead : start + peak_index + 1]), peak) / sample_rate_hz,
        decay_time_s=_decay_samples(body, peak_index, sample_rate_hz) / sample_rate_hz,
        duration_s=_duration_samples(body, onset.noise_rms) / sample_rate_hz,
        crest_db=db_from_amplitude(peak / max(near_rms, _SMALLEST)),
        centroid_hz=centroid_hz,
        low_band_ratio=low_band_ratio,
        clipped=bool(raw.max() >= _CLIP_LEVEL),
    )


def _rise_samples(magnitude: NDArray[np.float64], peak: float) -> float:
    """Return samples from the first crossing of 10 % to the first of 90 % of a peak that ends the array."""
    return max(_first_crossing(magnitude, 0.9 * peak) - _first_crossing(magnitude, 0.1 * peak), 0.0)


def _first_crossing(magnitude: NDArray[np.float64], level: float) -> float:
    reached = np.flatnonzero(magnitude >= level)
    index = int(reached[0]) if len(reached) else len(magnitude) - 1
    if index == 0:
        return 0.0
    below, above = float(magnitude[index - 1]), float(magnitude[index])
    return index - 1 + (level - below) / (above - below) if above > below else float(index)


def _decay_samples(body: NDArray[np.float64], peak_index: int, sample_rate_hz: int) -> int:
    width = max(round(_SMOOTH_S * sample_rate_hz), 1)
    if len(body) - peak_index <= width:
        return len(body) - peak_index
    squared = np.square(body[peak_index:])
    smooth = np.lib.stride_tricks.sliding_window_view(squared, width).mean(axis=1)
    loud = np.flatnonzero(smooth >= smooth[0] * 10.0 ** (-_DECAY_DB / 10.0))
    return int(loud[-1]) + 1


def _duration_samples(body: NDArray[np.float64], noise_rms: float) -> int:
    energy = np.cumsum(np.square(body) - noise_rms**2)
    return int(np.argmax(energy >= _DURATION_SHARE * energy.max())) + 1


def _spectrum(near: NDArray[np.float64], sample_rate_hz: int) -> tuple[float, float]:
    power = np.square(np.abs(np.fft.rfft(near)))
    frequency_hz = np.fft.rfftfreq(len(near), 1.0 / sample_rate_hz)
    total = float(power.sum())
    if total <= 0.0:
        return 0.0, 0.0
    return float((frequency_hz * power).sum()) / total, float(power[frequency_hz < _LOW_BAND_HZ].sum()) / total
