"""The tone of a calibrator in a recording: its level, frequency, steadiness and purity. Pure.

The tone is fitted by least squares, block by block, so that noise beside it does not add to its level. A recording may
begin and end with handling noise: the longest steady stretch counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shotline.units import db_from_amplitude

__all__ = ["NoTone", "NoToneReason", "Tone", "fit_harmonics", "measure_tone"]

Floats = NDArray[np.float64]

_BLOCK_S = 0.1
_FAST_S = 0.125
"""Time-weighting F [IEC2013]."""
_WITHIN_DB = 1.0
_LEAST_S = 5.0
_HANDLING_S = 0.5
_HARMONICS = 5
_FULL_SCALE = 32_766.5 / 32_768.0
_LEAST_SNR_DB = 6.0
_HIGHEST_SHARE = 0.45


class NoToneReason(StrEnum):
    """Why there is no tone."""

    SILENT = "silent"
    SHORT = "not steady for long enough"
    NOISE = "no tone stands out"


@dataclass(frozen=True, slots=True)
class NoTone:
    """There is none, and why."""

    reason: NoToneReason
    detail: str


@dataclass(frozen=True, slots=True)
class Tone:
    """A steady tone.

    Parameters
    ----------
    frequency_hz : float
    rms_dbfs : float
        20 lg of the rms of the fundamental over an amplitude of 1.0: a sine that just reaches full scale has -3.01.
    steady_s : float
        Length of the stretch that counted.
    fluctuation_db : float
        Largest difference of the level, time-weighting F, from its mean, as IEC 60942 means it.
    thd_percent : float
        Harmonics 2 to 5 over the fundamental, root of the sum of squares.
    snr_db : float
        Fundamental over all that is neither it nor a harmonic.
    clipped_samples : int
        At full scale.
    level_each_db : ndarray, shape (n,), float64
        Of blocks of 0.1 s of the stretch, dBFS rms.
    """

    frequency_hz: float
    rms_dbfs: float
    steady_s: float
    fluctuation_db: float
    thd_percent: float
    snr_db: float
    clipped_samples: int
    level_each_db: Floats


def measure_tone(samples: Floats, sample_rate_hz: int, *, about_hz: float) -> Tone | NoTone:
    """Find the steady tone of a recording and measure it.

    Parameters
    ----------
    samples : ndarray, shape (n,), float64
        1.0 at full scale.
    sample_rate_hz : int
    about_hz : float
        Looked for between half and twice of it.
    """
    block = round(_BLOCK_S * sample_rate_hz)
    count = len(samples) // block
    if count * _BLOCK_S < _LEAST_S:
        return NoTone(
            NoToneReason.SHORT, f"{len(samples) / sample_rate_hz:.1f} s in all, expected {_LEAST_S:g} s or more"
        )
    blocks = samples[: count * block].reshape(count, block)
    rms = blocks.std(axis=1)
    if not rms.max() > 0.0:
        return NoTone(NoToneReason.SILENT, "every sample is the same")
    level_db = 20.0 * np.log10(np.maximum(rms, 1e-9))
    first, last = _longest_steady(level_db)
    margin = round(_HANDLING_S / _BLOCK_S)
    first, last = first + margin, last - margin
    steady_s = (last - first) * _BLOCK_S
    if steady_s < _LEAST_S:
        return NoTone(
            NoToneReason.SHORT,
            f"the longest steady stretch has {max(steady_s, 0.0):.1f} s within {_WITHIN_DB:g} dB, "
            f"expected {_LEAST_S:g} s; hold still, record 20 s",
        )
    sound = samples[first * block : last * block]
    frequency_hz = _frequency(sound, sample_rate_hz, about_hz)
    return _measured(sound, sample_rate_hz, frequency_hz, steady_s)


def fit_harmonics(sound: Floats, sample_rate_hz: int, frequency_hz: float, *, harmonics: int) -> tuple[Floats, float]:
    """Fit a constant, a tone and its harmonics to one block.

    Parameters
    ----------
    sound : ndarray, shape (n,), float64
    sample_rate_hz : int
    frequency_hz : float
    harmonics : int
        How many, the fundamental included; those over 0.45 of the sample rate are left out.

    Returns
    -------
    rms : ndarray, shape (harmonics,), float64
        Of each; 0 for those left out.
    rest_rms : float
        Of what is neither.
    """
    design, used = _design(len(sound), sample_rate_hz, frequency_hz, harmonics)
    solved, _, _, _ = np.linalg.lstsq(design, sound, rcond=None)
    rms = np.zeros(harmonics)
    rms[:used] = np.hypot(solved[1::2], solved[2::2]) / math.sqrt(2.0)
    rest = sound - design @ solved
    return rms, math.sqrt(float(rest @ rest) / max(len(sound) - design.shape[1], 1))


def _design(count: int, sample_rate_hz: int, frequency_hz: float, harmonics: int) -> tuple[Floats, int]:
    used = max(1, min(harmonics, int(_HIGHEST_SHARE * sample_rate_hz / frequency_hz)))
    angle = 2.0 * np.pi * frequency_hz / sample_rate_hz * np.arange(count)
    columns = [np.ones(count)]
    for order in range(1, used + 1):
        columns += [np.cos(order * angle), np.sin(order * angle)]
    return np.stack(columns, axis=1), used


def _measured(sound: Floats, sample_rate_hz: int, frequency_hz: float, steady_s: float) -> Tone | NoTone:
    block = round(_BLOCK_S * sample_rate_hz)
    blocks = sound[: len(sound) // block * block].reshape(-1, block).T
    design, used = _design(block, sample_rate_hz, frequency_hz, _HARMONICS)
    solved, _, _, _ = np.linalg.lstsq(design, blocks, rcond=None)
    power = (solved[1::2] ** 2 + solved[2::2] ** 2) / 2.0
    rest = blocks - design @ solved
    noise_power = float(np.mean(np.sum(rest**2, axis=0)) / (block - design.shape[1]))
    # What noise adds to a fitted amplitude: its variance times two parameters over the samples.
    fundamental = float(np.mean(power[0])) - 2.0 * noise_power / block
    snr_db = 10.0 * math.log10(max(fundamental, 1e-30) / max(noise_power, 1e-30))
    if fundamental <= 0.0 or snr_db < _LEAST_SNR_DB:
        return NoTone(NoToneReason.NOISE, f"the strongest, at {frequency_hz:.0f} Hz, is {snr_db:.1f} dB over the rest")
    over = np.maximum(np.mean(power[1:used], axis=1) - 2.0 * noise_power / block, 0.0) if used > 1 else np.zeros(1)
    fast_db = 10.0 * np.log10(_time_weighted(power[0]))
    return Tone(
        frequency_hz,
        0.5 * db_from_amplitude(fundamental),
        steady_s,
        float(np.max(np.abs(fast_db - 10.0 * math.log10(float(np.mean(power[0])))))),
        100.0 * math.sqrt(float(over.sum()) / fundamental),
        snr_db,
        int(np.count_nonzero(np.abs(sound) >= _FULL_SCALE)),
        10.0 * np.log10(power[0]),
    )


def _time_weighted(power: Floats) -> Floats:
    """Return powers of blocks smoothed as time-weighting F does, begun at their mean."""
    keep = math.exp(-_BLOCK_S / _FAST_S)
    smoothed, value = np.empty(len(power)), float(np.mean(power))
    for index, each in enumerate(power):
        value = keep * value + (1.0 - keep) * float(each)
        smoothed[index] = value
    return smoothed


def _longest_steady(level_db: Floats) -> tuple[int, int]:
    """Return the longest run of blocks within 1 dB of the level that most of the louder half have."""
    loud = level_db[level_db >= np.median(level_db)]
    around = float(np.median(loud))
    inside = np.concatenate([[False], np.abs(level_db - around) <= _WITHIN_DB, [False]])
    edges = np.flatnonzero(np.diff(inside.astype(np.int8)))
    runs = edges.reshape(-1, 2)
    if not len(runs):
        return 0, 0
    longest = runs[np.argmax(runs[:, 1] - runs[:, 0])]
    return int(longest[0]), int(longest[1])


def _frequency(sound: Floats, sample_rate_hz: int, about_hz: float) -> float:
    """Return the frequency of the strongest tone: the peak of the spectrum, refined by the phase of blocks."""
    window = np.hanning(len(sound))
    spectrum = np.abs(np.fft.rfft((sound - sound.mean()) * window))
    frequencies_hz = np.fft.rfftfreq(len(sound), 1.0 / sample_rate_hz)
    band = (frequencies_hz >= about_hz / 2.0) & (frequencies_hz <= 2.0 * about_hz)
    coarse_hz = float(frequencies_hz[band][np.argmax(spectrum[band])])
    block = round(_BLOCK_S * sample_rate_hz)
    blocks = sound[: len(sound) // block * block].reshape(-1, block)
    time_s = np.arange(block) / sample_rate_hz
    turned = (blocks * np.hanning(block)) @ np.exp(-2j * np.pi * coarse_hz * time_s)
    steps = np.angle(np.sum(turned[1:] * np.conj(turned[:-1])))
    # From block to block the coarse tone itself turns by a whole part of a cycle that is known.
    turns = (coarse_hz * block / sample_rate_hz) % 1.0
    rest = (steps / (2.0 * np.pi) - turns + 0.5) % 1.0 - 0.5
    return coarse_hz + float(rest) * sample_rate_hz / block
