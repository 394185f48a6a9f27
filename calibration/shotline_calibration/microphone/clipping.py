"""Where a microphone ends: by the flat tops of loud sounds, or by the distortion of a tone that grows. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shotline.units import db_from_amplitude
from shotline_calibration.microphone.tone import fit_harmonics

__all__ = ["Ceiling", "DistortionPoint", "NoCeiling", "NoCeilingReason", "find_ceiling", "rising_tone"]

Floats = NDArray[np.float64]

_NEAR, _MOST_NEAR = 0.002, 0.02
_NOISE_SIGMAS = 4.0
_QUIET_S, _QUIET_SHARE = 0.005, 0.1
_LEAST_RUN = 3
_DROPS = 3.0
_APART_S = 0.002
_LEAST_CRESTS = 5
_ALIKE_DB = 0.25
_BLOCK_S = 0.1
_HARMONICS = 6
_LEAST_RMS = 1e-4
_LEVELS_PERCENT = (1.0, 3.0, 10.0)
_DIGITAL_DBFS = -0.02


class NoCeilingReason(StrEnum):
    """Why there is none."""

    SILENT = "silent"
    NOT_REACHED = "not reached"


@dataclass(frozen=True, slots=True)
class NoCeiling:
    """It did not clip, or that cannot be told.

    Parameters
    ----------
    reason : NoCeilingReason
    loudest_dbfs : float
        Peak: it ends no lower than there.
    crests : int
        Flat ones at the highest level.
    """

    reason: NoCeilingReason
    loudest_dbfs: float
    crests: int


@dataclass(frozen=True, slots=True)
class Ceiling:
    """Where it ends.

    Parameters
    ----------
    clip_dbfs : float
        Peak level of the lower of the two sides that were seen to end.
    positive_dbfs, negative_dbfs : float | None
        Of each side; None where no flat top was seen.
    crests : int
        Flat tops at those levels.
    digital : bool
        It ends at digital full scale: the converter; else something before it.
    """

    clip_dbfs: float
    positive_dbfs: float | None
    negative_dbfs: float | None
    crests: int
    digital: bool


@dataclass(frozen=True, slots=True)
class DistortionPoint:
    """Where the distortion of a growing tone passes a value.

    Parameters
    ----------
    thd_percent : float
    peak_dbfs : float
        Peak of the fundamental, 3.01 dB over its rms.
    """

    thd_percent: float
    peak_dbfs: float


def find_ceiling(samples: Floats, sample_rate_hz: int) -> Ceiling | NoCeiling:
    """Look for crests that are cut off, again and again at the same level.

    A crest is flat when three or more samples are within 0.2 % of its peak (or within the noise) and the sound falls
    away beside them three times as far as a smooth crest would, or more. Five of them at one level, within 0.25 dB,
    make a ceiling.

    Parameters
    ----------
    samples : ndarray, shape (n,), float64
        1.0 at full scale; any number of recordings one after another.
    sample_rate_hz : int
    """
    sides = [_flat_crests(side * samples, sample_rate_hz) for side in (1.0, -1.0)]
    loudest = float(np.max(np.abs(samples), initial=0.0))
    if loudest < _LEAST_RMS:
        return NoCeiling(NoCeilingReason.SILENT, db_from_amplitude(loudest), 0)
    levels: list[float | None] = []
    crests = most = 0
    for peaks in sides:
        highest = max(peaks, default=0.0)
        alike = [peak for peak in peaks if peak > 0.0 and db_from_amplitude(highest / peak) <= _ALIKE_DB]
        most = max(most, len(alike))
        if len(alike) >= _LEAST_CRESTS:
            crests += len(alike)
            levels.append(db_from_amplitude(float(np.median(alike))))
        else:
            levels.append(None)
    found = [level for level in levels if level is not None]
    if not found:
        return NoCeiling(NoCeilingReason.NOT_REACHED, db_from_amplitude(loudest), most)
    clip_dbfs = min(found)
    return Ceiling(clip_dbfs, levels[0], levels[1], crests, clip_dbfs >= _DIGITAL_DBFS)


def rising_tone(samples: Floats, sample_rate_hz: int, *, frequency_hz: float) -> list[DistortionPoint]:
    """Return where the distortion of a tone that grows louder reaches 1, 3 and 10 %; those that it reaches.

    Parameters
    ----------
    samples : ndarray, shape (n,), float64
    sample_rate_hz : int
    frequency_hz : float
    """
    block = round(_BLOCK_S * sample_rate_hz)
    levels: list[tuple[float, float]] = []
    for first in range(0, len(samples) - block + 1, block):
        rms, rest_rms = fit_harmonics(
            samples[first : first + block], sample_rate_hz, frequency_hz, harmonics=_HARMONICS
        )
        if rms[0] > max(_LEAST_RMS, 3.0 * rest_rms):
            thd_percent = 100.0 * float(np.sqrt(np.sum(rms[1:] ** 2))) / float(rms[0])
            levels.append((db_from_amplitude(float(rms[0]) * math.sqrt(2.0)), thd_percent))
    levels.sort()
    found = []
    for limit in _LEVELS_PERCENT:
        # From where on it stays above, not the first block that noise lifts over it.
        above = len(levels)
        while above and levels[above - 1][1] >= limit:
            above -= 1
        if 0 < above < len(levels):
            (low_db, low), (high_db, high) = levels[above - 1], levels[above]
            share = (math.log(limit) - math.log(max(low, 1e-6))) / (math.log(high) - math.log(max(low, 1e-6)))
            found.append(DistortionPoint(limit, low_db + share * (high_db - low_db)))
    return found


def _flat_crests(samples: Floats, sample_rate_hz: int) -> list[float]:
    """Return the peaks of the flat crests on the upper side."""
    from scipy.signal import find_peaks

    highest = float(samples.max(initial=0.0))
    if highest <= 0.0:
        return []
    near = max(_NEAR, min(_NOISE_SIGMAS * _quiet_rms(samples, sample_rate_hz) / highest, _MOST_NEAR))
    # Crests under half the highest cannot be at the ceiling that the highest reached.
    tops, _ = find_peaks(samples, height=0.5 * highest, distance=max(1, round(_APART_S * sample_rate_hz)))
    levels = [_flat_level(samples, int(top), near) for top in tops]
    return [level for level in levels if level is not None]


def _flat_level(samples: Floats, top: int, near: float) -> float | None:
    """Return the level of a crest that is cut off, else None; ``near`` is what noise leaves of flat, relative."""
    peak = float(samples[top])
    least = (1.0 - near) * peak
    first = last = top
    while first > 0 and samples[first - 1] >= least:
        first -= 1
    while last < len(samples) - 1 and samples[last + 1] >= least:
        last += 1
    run = last - first + 1
    beside = max(1, (run + 1) // 2)
    if run < _LEAST_RUN or first < beside or last + beside >= len(samples):
        return None
    # So far out a parabola has fallen by the square of the distance over half the run, times what it fell within.
    smooth = ((run / 2.0 + beside) / (run / 2.0)) ** 2 * near * peak
    fallen = peak - max(float(samples[first - beside]), float(samples[last + beside]))
    return float(np.median(samples[first : last + 1])) if fallen >= _DROPS * smooth else None


def _quiet_rms(samples: Floats, sample_rate_hz: int) -> float:
    """Return the rms of the noise: of differences, in the quietest tenth of the blocks of 5 ms."""
    block = max(8, round(_QUIET_S * sample_rate_hz))
    count = len(samples) // block
    if not count:
        return 0.0
    rough = np.diff(samples[: count * block].reshape(count, block), axis=1).std(axis=1)
    return float(np.quantile(rough, _QUIET_SHARE)) / math.sqrt(2.0)
