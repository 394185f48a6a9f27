"""Thunder: a crooked channel kilometres long, all of it loud at once, heard for as long as its sound takes to come.

References
----------
[Few1969] the dominant frequency; [RibnerRoy1982] a crooked line of N-waves; [Hill1968] how crooked.
See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import spherical_jn

from shotline_recordings.simulate.blast import AMBIENT_PRESSURE_PA, STANDARD_SOUND_MPS, peak_pa_from_db_spl
from shotline_recordings.simulate.emission import Emission

__all__ = ["LineNWave", "lightning_channel_m", "thunder"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_PEAK_OF_N_WAVE = 0.6625
"""Frequency at which the spectrum of an N-wave is highest, times its duration: where j1 is highest, over pi."""
_MEAN_TURN_RAD = math.radians(17.0)
"""Mean angle between neighbouring pieces of a channel [Hill1968]."""
_UPRIGHT_SHARE = 0.6
_ENERGY_J_PER_M, _ENERGY_SPREAD = 4e5, 0.5
"""Median and spread of its logarithm: puts the dominant frequency near 110 Hz, as observed."""
_STRENGTH_SPREAD = 0.35
_LEVEL_DB_SPL, _LEVEL_SPREAD_DB = 175.0, 4.0
"""115 dB at 1 km."""
_REFERENCE_M = 1_000.0
_STEP_S = 0.25e-3


@dataclass(frozen=True, slots=True)
class LineNWave:
    """A short straight piece of channel, all along which N-waves start at once [RibnerRoy1982]; a `Waveform`.

    Off its broadside the N-wave is smeared over L |cos| / c and weaker by as much. The position of the emission is the
    middle of the piece; everything comes L / 2c late, so that nothing comes before time zero.

    Parameters
    ----------
    peak_pa_m : float
        On the broadside.
    n_wave_s, length_m : float
    axis_enu : tuple[float, float, float]
    speed_of_sound_mps : float
    """

    peak_pa_m: float
    n_wave_s: float
    length_m: float
    axis_enu: tuple[float, float, float]
    speed_of_sound_mps: float

    @property
    def duration_s(self) -> float:
        """Whole length of the wave, on the axis."""
        return self.n_wave_s + self.length_m / self.speed_of_sound_mps

    def smear_s(self, direction: _Real) -> _Real:
        """Return over how long the piece is heard from each direction, shape (n_paths,)."""
        result: _Real = np.abs(direction @ np.array(self.axis_enu)) * self.length_m / self.speed_of_sound_mps
        return result

    def spectrum_pa_m_s(self, frequency_hz: _Real, *, distance_m: _Real, direction: _Real) -> _Complex:
        """Return the Fourier transform of pressure times distance; see `Waveform`."""
        smear = np.sinc(np.multiply.outer(self.smear_s(direction), frequency_hz))
        shape = 1j * self.peak_pa_m * self.n_wave_s * spherical_jn(1, np.pi * frequency_hz * self.n_wave_s)
        turn = np.exp(-1j * np.pi * frequency_hz * self.duration_s)
        result: _Complex = smear[: len(distance_m)] * (shape * turn)
        return result


def lightning_channel_m(*, length_m: float, pieces: int, rng: np.random.Generator) -> _Real:
    """Return the corners of a channel that starts at the ground, climbs, and then runs on within the cloud.

    Returns
    -------
    ndarray, shape (pieces + 1, 3), float64
        East, north, up from its foot.
    """
    heading = rng.uniform(0.0, 2.0 * np.pi)
    along = np.array([math.sin(heading), math.cos(heading), 0.0])
    upright = np.arange(pieces) < _UPRIGHT_SHARE * pieces
    course = np.where(upright[:, None], np.array([0.15, 0.0, 1.0]), along + np.array([0.0, 0.0, 0.1]))
    course /= np.linalg.norm(course, axis=1, keepdims=True)
    # Neighbours turn by sqrt(2) of what each turns from the course; a mean of two axes is sqrt(pi / 2) sigma.
    sigma = _MEAN_TURN_RAD / math.sqrt(2.0) / math.sqrt(np.pi / 2.0)
    steps = course + np.tan(sigma) * rng.standard_normal((pieces, 3))
    steps *= length_m / pieces / np.linalg.norm(steps, axis=1, keepdims=True)
    corners = np.vstack([np.zeros(3), np.cumsum(steps, axis=0)])
    corners[:, 2] = np.maximum(corners[:, 2], 0.0)
    return corners


def thunder(
    position_enu_m: tuple[float, float, float],
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    length_m: float | None = None,
    pieces: int = 240,
    speed_of_sound_mps: float = STANDARD_SOUND_MPS,
) -> list[Emission]:
    """Return the thunder of one flash that strikes at a position.

    The N-waves have the duration that puts their strongest frequency where [Few1969] has it, 0.63 c sqrt(p0 / E) for
    an energy per length E. Their strength follows from the level; how it falls off by the piece is random.

    Parameters
    ----------
    position_enu_m : tuple[float, float, float]
        Foot of the channel; kilometres from the nodes, as a rule.
    rng : numpy.random.Generator
    peak_db_spl : float, optional
        60 dB more than the free-field peak 1 km east of the foot; near 175 if not given.
    length_m : float, optional
        Of the channel; 5 to 9 km if not given.
    pieces : int
    speed_of_sound_mps : float
    """
    if length_m is None:
        length_m = float(rng.uniform(5_000.0, 9_000.0))
    level_db_spl = peak_db_spl
    if level_db_spl is None:
        level_db_spl = float(rng.normal(_LEVEL_DB_SPL, _LEVEL_SPREAD_DB))
    energy_j_per_m = _ENERGY_J_PER_M * math.exp(_ENERGY_SPREAD * float(rng.standard_normal()))
    dominant_hz = 0.63 * speed_of_sound_mps * math.sqrt(AMBIENT_PRESSURE_PA / energy_j_per_m)
    corners_m = lightning_channel_m(length_m=length_m, pieces=pieces, rng=rng)
    steps_m = np.diff(corners_m, axis=0)
    lengths_m = np.linalg.norm(steps_m, axis=1)
    strengths = lengths_m * np.exp(_STRENGTH_SPREAD * rng.standard_normal(pieces))
    middles_m = corners_m[:-1] + 0.5 * steps_m
    waves = [
        LineNWave(
            peak_pa_m=float(strength),
            n_wave_s=_PEAK_OF_N_WAVE / dominant_hz,
            length_m=float(length),
            axis_enu=(float(step[0] / length), float(step[1] / length), float(step[2] / length)),
            speed_of_sound_mps=speed_of_sound_mps,
        )
        for strength, length, step in zip(strengths, lengths_m, steps_m, strict=True)
        if length > 0.0
    ]
    middles_m = middles_m[lengths_m > 0.0]
    wanted_pa = peak_pa_from_db_spl(level_db_spl) / _REFERENCE_M
    scale = wanted_pa / _peak_pa(waves, middles_m, np.array([_REFERENCE_M, 0.0, 0.0]))
    east_m, north_m, up_m = position_enu_m
    return [
        Emission(
            time_s=0.0,
            position_m=(east_m + float(middle[0]), north_m + float(middle[1]), up_m + float(middle[2])),
            waveform=LineNWave(
                scale * wave.peak_pa_m, wave.n_wave_s, wave.length_m, wave.axis_enu, wave.speed_of_sound_mps
            ),
        )
        for wave, middle in zip(waves, middles_m, strict=True)
    ]


def _peak_pa(waves: list[LineNWave], middles_m: _Real, listener_m: _Real) -> float:
    """Return the peak of all pieces together at a listener, in free air, added up in time."""
    rays_m = listener_m - middles_m
    distances_m = np.linalg.norm(rays_m, axis=1)
    delays_s = distances_m / waves[0].speed_of_sound_mps
    heard = np.zeros(int((delays_s.max() - delays_s.min() + 1.0) / _STEP_S) + 1)
    for wave, ray_m, distance_m, delay_s in zip(waves, rays_m, distances_m, delays_s - delays_s.min(), strict=True):
        smear_s = max(float(wave.smear_s((ray_m / distance_m)[None])[0]), _STEP_S)
        first = int(delay_s / _STEP_S)
        count = int((wave.n_wave_s + smear_s) / _STEP_S) + 2
        time_s = (first + np.arange(count)) * _STEP_S - delay_s
        smeared = (_rise(time_s, wave.n_wave_s) - _rise(time_s - smear_s, wave.n_wave_s)) / smear_s
        heard[first : first + count] += wave.peak_pa_m / distance_m * smeared
    return float(np.abs(heard).max())


def _rise(time_s: _Real, n_wave_s: float) -> _Real:
    """Return the integral of 1 - 2t/T since time zero."""
    within_s = np.clip(time_s, 0.0, n_wave_s)
    result: _Real = within_s - within_s**2 / n_wave_s
    return result
