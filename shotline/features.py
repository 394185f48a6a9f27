"""What an impulse looks like: figures of the sound around one onset, and its log-mel picture. No decisions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.onsets import Onset
from shotline.units import db_from_amplitude

__all__ = ["ImpulseFeatures", "MelDefinition", "impulse_features", "log_mel", "mel_weights"]

_PEAK_SEARCH_S = 0.050
_LEAD_S = 0.003
_SMOOTH_S = 0.002
_DECAY_DB = 10.0
_DURATION_SHARE = 0.9
_LOW_BAND_HZ = 1_000.0
_CLIP_LEVEL = 0.999
_SMALLEST = 1e-9
_ROUNDING = 1e-12


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


@dataclass(frozen=True, slots=True, kw_only=True)
class MelDefinition:
    """The picture that a network looks at: short-time power in mel bands, in decibels below its highest value.

    Times are seconds and frequencies hertz, so sound of any rate gives the same picture, without resampling.

    Parameters
    ----------
    before_s, after_s : float
        Sound before and after the onset.
    window_s, hop_s : float
        Hann window of the transform, and its step.
    bands : int
    low_hz, high_hz : float
        Edges of the lowest and the highest band. Sound must have at least twice ``high_hz`` samples a second.
    range_db : float
        What is so far below the highest value, or further, is 0 in the picture; the highest value is 1.
    """

    before_s: float = 0.1
    after_s: float = 0.5
    window_s: float = 0.032
    hop_s: float = 0.008
    bands: int = 40
    low_hz: float = 60.0
    high_hz: float = 3_600.0
    range_db: float = 60.0

    @property
    def columns(self) -> int:
        """Windows that lie wholly inside the sound, where their length and step are whole numbers of samples."""
        return 1 + math.floor((self.before_s + self.after_s - self.window_s) / self.hop_s + 1e-6)


def mel_weights(definition: MelDefinition, sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the weights of the power spectrum in each band, shape (bands, window // 2 + 1).

    Triangles on the mel scale 2595 log10(1 + f / 700) [OShaughnessy1987], each of unit area in hertz.
    """
    low_mel, high_mel = (2595.0 * math.log10(1.0 + f / 700.0) for f in (definition.low_hz, definition.high_hz))
    mel = np.linspace(low_mel, high_mel, definition.bands + 2)
    edge_hz = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    window = round(definition.window_s * sample_rate_hz)
    frequency_hz = np.fft.rfftfreq(window, 1.0 / sample_rate_hz)
    low, middle, high = edge_hz[:-2, None], edge_hz[1:-1, None], edge_hz[2:, None]
    triangles = np.minimum((frequency_hz - low) / (middle - low), (high - frequency_hz) / (high - middle))
    weights: NDArray[np.float64] = np.maximum(triangles, 0.0) * 2.0 / (high - low)
    return weights


def log_mel(
    samples: NDArray[np.float32] | NDArray[np.float64],
    *,
    onset_index: int,
    sample_rate_hz: int,
    definition: MelDefinition,
) -> NDArray[np.float32]:
    """Return the picture of the sound around an onset.

    Where the sound begins or ends inside the frame, columns that are not wholly known are as quiet as the quietest
    known one, band by band: what was not heard is taken for background.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float
    onset_index : int
        Of the onset in it.
    sample_rate_hz : int
    definition : MelDefinition

    Returns
    -------
    ndarray, shape (bands, columns), float32
        0 to 1. All 0 for silence.

    Raises
    ------
    InputError
        The rate is too low, the sound is not one channel of finite numbers, or shorter than one window.
    """
    if sample_rate_hz < 2.0 * definition.high_hz:
        raise InputError(
            f"sample rate {sample_rate_hz} Hz, expected at least {2.0 * definition.high_hz:g}: "
            f"the picture reaches to {definition.high_hz:g} Hz",
            field="sample_rate_hz",
        )
    if samples.ndim != 1:
        raise InputError(f"sound of shape {samples.shape}, expected one channel; choose a channel", field="samples")
    if not np.isfinite(samples).all():
        raise InputError("sound holds a sample that is not a finite number; its source is broken", field="samples")
    window, hop = round(definition.window_s * sample_rate_hz), round(definition.hop_s * sample_rate_hz)
    first = onset_index - round(definition.before_s * sample_rate_hz) + hop * np.arange(definition.columns)
    known = (first >= 0) & (first + window <= len(samples))
    if not known.any():
        raise InputError(
            f"{len(samples)} samples at {sample_rate_hz} Hz with the onset at {onset_index}, "
            f"expected at least one window of {window} inside the frame",
            field="samples",
        )
    weights = _weights(definition, sample_rate_hz)
    inside = samples[first[known][0] : first[known][-1] + window].astype(np.float64)
    swing = inside - inside.mean()
    loudest = float(np.abs(swing).max())
    if loudest <= _ROUNDING * float(np.abs(inside).max()):
        return np.zeros((definition.bands, definition.columns), dtype=np.float32)
    # Single precision is 140 dB, and twice as fast.
    spectrum = _hann_spectra((swing / loudest).astype(np.float32), window, hop, len(weights))
    power = (np.square(spectrum.real) + np.square(spectrum.imag)) @ weights
    picture = np.empty((definition.bands, definition.columns), dtype=np.float32)
    picture[:, known] = power.T
    picture[:, ~known] = power.min(axis=0)[:, None]
    highest = picture.max()
    if highest <= 0.0:
        return np.zeros(picture.shape, dtype=np.float32)
    floor = np.float32(10.0 ** (-definition.range_db / 10.0))
    level_db = np.float32(10.0) * np.log10(np.maximum(picture / highest, floor))
    result: NDArray[np.float32] = np.float32(1.0) + level_db / np.float32(definition.range_db)
    return result


def _hann_spectra(samples: NDArray[np.float32], window: int, hop: int, bins: int) -> NDArray[np.complex64]:
    """Return the lowest bins of the transforms of all windows, times a periodic Hann window: shape (n_windows, bins).

    Where windows are made of whole hops, each hop is transformed once, and a window is the sum of its hops; a Hann
    window is three bins of the transform without one [Harris1978 sec. V]. That takes a fourth of the products.
    """
    if window % hop:
        pieces = np.lib.stride_tricks.sliding_window_view(samples, window)[::hop]
        hann = 0.5 - 0.5 * np.cos(2.0 * math.pi * np.arange(window) / window)
        plain: NDArray[np.complex64] = np.fft.rfft(pieces * hann)[:, :bins].astype(np.complex64)
        return plain
    matrix, turns = _hop_transform(window, hop, bins)
    hops = (samples.reshape(-1, hop) @ matrix).view(np.complex64)
    count = len(hops) + 1 - len(turns)
    whole = hops[:count] * turns[0]
    for number in range(1, len(turns)):
        whole += hops[number : number + count] * turns[number]
    below = np.concatenate([whole[:, 1:2].conj(), whole[:, : bins - 1]], axis=1)
    spectra: NDArray[np.complex64] = np.float32(0.5) * whole[:, :bins] - np.float32(0.25) * (below + whole[:, 1:])
    return spectra


@lru_cache(maxsize=8)
def _hop_transform(window: int, hop: int, bins: int) -> tuple[NDArray[np.float32], NDArray[np.complex64]]:
    """Return what transforms one hop (real and imaginary part in turn), and what turns the hops of a window together.

    One bin more than asked for: the window needs it.
    """
    cycles = np.arange(bins + 1) / window
    each = np.exp(-2j * math.pi * np.outer(np.arange(hop), cycles)).astype(np.complex64)
    turns = np.exp(-2j * math.pi * np.outer(np.arange(window // hop) * hop, cycles)).astype(np.complex64)
    return np.ascontiguousarray(each).view(np.float32), turns


@lru_cache(maxsize=8)
def _weights(definition: MelDefinition, sample_rate_hz: int) -> NDArray[np.float32]:
    """Return the weights of the bands transposed, shape (bins, bands), without the bins above that have none."""
    weights = mel_weights(definition, sample_rate_hz)
    bins = int(np.flatnonzero(weights.any(axis=0))[-1]) + 1
    return np.ascontiguousarray(weights[:, :bins].T, dtype=np.float32)
