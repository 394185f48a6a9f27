"""Sounds whose truth is known: calibrator tones, noise through a filter, loud bursts that are cut off."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "bursts", "calibrator_tone", "write_sound"]

RATE_HZ = 48_000
Floats = NDArray[np.float64]


def calibrator_tone(
    rng: np.random.Generator,
    *,
    full_scale_db_spl: float = 123.0,
    level_db_spl: float = 94.0,
    frequency_hz: float = 1_000.0,
    seconds: float = 12.0,
    noise_dbfs: float = -85.0,
    second_harmonic: float = 0.0,
    swing_db: float = 0.0,
    drift_db: float = 0.0,
    handling_s: float = 1.0,
) -> Floats:
    """Return a tone of known level, as a microphone of known full scale records it: rounded to 16 bits with dither.

    ``swing_db`` is the amplitude of a slow change of level, ``drift_db`` its change from beginning to end; handling
    noise is before the tone.
    """
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    level_db = level_db_spl - full_scale_db_spl
    level_db = level_db + swing_db * np.sin(2.0 * np.pi * 0.3 * time_s) + drift_db * (time_s / seconds - 0.5)
    angle = 2.0 * np.pi * frequency_hz * time_s + 0.4
    tone = math.sqrt(2.0) * 10.0 ** (level_db / 20.0) * (np.sin(angle) + second_harmonic * np.sin(2.0 * angle + 1.0))
    before = 0.2 * rng.standard_normal(round(handling_s * RATE_HZ))
    sound = np.concatenate([before, tone])
    sound = sound + 10.0 ** (noise_dbfs / 20.0) * rng.standard_normal(len(sound))
    dither = rng.uniform(-0.5, 0.5, len(sound)) + rng.uniform(-0.5, 0.5, len(sound))
    result: Floats = np.clip(np.round(32_768.0 * sound + dither), -32_768, 32_767) / 32_768.0
    return result


def bursts(
    rng: np.random.Generator,
    *,
    count: int = 30,
    loudest: float = 3.0,
    ceiling: float = 1.0,
    floor: float = -1.0,
    noise: float = 3e-4,
) -> Floats:
    """Return bursts that die away, louder and softer, cut off at a ceiling and a floor before noise is added."""
    time_s = np.arange(2_400) / RATE_HZ
    pieces = []
    for _ in range(count):
        tone = np.sin(2.0 * np.pi * rng.uniform(200.0, 1_500.0) * time_s + rng.uniform(0.0, 6.0))
        pieces += [np.zeros(3_000), loudest * rng.uniform(0.3, 1.0) * np.exp(-60.0 * time_s) * tone]
    sound = np.clip(np.concatenate(pieces), floor, ceiling)
    sound = sound + noise * rng.standard_normal(len(sound))
    result: Floats = np.clip(np.round(32_768.0 * sound), -32_768, 32_767) / 32_768.0
    return result


def write_sound(path: Path, samples: Floats, *, rate_hz: int = RATE_HZ) -> Path:
    """Write 16-bit sound; return where."""
    soundfile.write(path, samples, rate_hz, subtype="PCM_16")
    return path
