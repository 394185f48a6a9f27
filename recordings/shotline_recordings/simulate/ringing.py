"""Sounds that are no blasts, as waveforms: what rings after a blow, and what hisses.

References
----------
[FletcherRossing1998] modes as damped sinusoids. See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import czt

from shotline.errors import InputError
from shotline_recordings.simulate.blast import peak_pa_from_db_spl

__all__ = ["Hiss", "Ringing"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_NEPER_60_DB = math.log(1000.0)
_HISS_RATE_HZ = 96_000.0
_UNEVEN = 1e-9
"""Steps of frequency that differ by less of the highest frequency count as equal."""


@dataclass(frozen=True, slots=True)
class Ringing:
    """Modes that ring and decay, A sin(w t) exp(-t/tau) each [FletcherRossing1998]; a `Waveform`.

    Parameters
    ----------
    modes_hz, decays_s, amplitudes_pa_m : tuple[float, ...]
        Frequency, time to 1/e and amplitude times distance of each mode.
    peak_pa_m : float
        Of all together.
    """

    modes_hz: tuple[float, ...]
    decays_s: tuple[float, ...]
    amplitudes_pa_m: tuple[float, ...]
    peak_pa_m: float

    @classmethod
    def at_level(
        cls,
        modes_hz: Sequence[float],
        *,
        decays_s: Sequence[float],
        weights: Sequence[float],
        peak_db_spl_at_1m: float,
    ) -> Ringing:
        """Return modes of these relative weights whose sum peaks at a level at 1 m."""
        if not len(modes_hz) == len(decays_s) == len(weights) > 0:
            raise InputError(
                f"{len(modes_hz)} modes, {len(decays_s)} decays and {len(weights)} weights; give as many of each"
            )
        if min(modes_hz) <= 0.0 or min(decays_s) <= 0.0:
            raise InputError("a mode needs a frequency and a decay above zero")
        time_s = np.arange(0.0, min(max(decays_s), 4.0 / min(modes_hz)), 0.02 / max(modes_hz))
        turning = np.sin(2.0 * np.pi * np.multiply.outer(np.array(modes_hz), time_s))
        falling = np.exp(-np.divide.outer(time_s, np.array(decays_s))).T
        peak_pa = peak_pa_from_db_spl(peak_db_spl_at_1m)
        scale = peak_pa / float(np.abs(np.array(weights) @ (turning * falling)).max())
        return cls(tuple(modes_hz), tuple(decays_s), tuple(scale * weight for weight in weights), peak_pa)

    @property
    def duration_s(self) -> float:
        """Time in which the slowest mode has fallen by 60 dB."""
        return _NEPER_60_DB * max(self.decays_s)

    def spectrum_pa_m_s(self, frequency_hz: _Real, *, distance_m: _Real, direction: _Real) -> _Complex:
        """Return the Fourier transform of pressure times distance, the same on every path; see `Waveform`."""
        laplace = 2j * np.pi * frequency_hz
        total = np.zeros(frequency_hz.shape, dtype=np.complex128)
        for mode_hz, decay_s, amplitude_pa_m in zip(self.modes_hz, self.decays_s, self.amplitudes_pa_m, strict=True):
            turn = 2.0 * np.pi * mode_hz
            total += amplitude_pa_m * turn / ((laplace + 1.0 / decay_s) ** 2 + turn**2)
        return _on_every_path(total, distance_m, direction)


@dataclass(frozen=True, slots=True, eq=False)
class Hiss:
    """A sound known by its samples, straight lines between them; a `Waveform`.

    Parameters
    ----------
    samples_pa_m : ndarray, shape (n_samples,), float64
        Pressure times distance; zero before the first and after the last.
    sample_rate_hz : float
    """

    samples_pa_m: _Real
    sample_rate_hz: float

    @classmethod
    def at_level(
        cls,
        *,
        rise_s: float,
        decay_s: float,
        low_hz: float,
        high_hz: float,
        peak_db_spl_at_1m: float,
        rng: np.random.Generator,
    ) -> Hiss:
        """Return noise of a band that rises linearly, falls exponentially, and peaks at a level at 1 m."""
        count = math.ceil((rise_s + _NEPER_60_DB * decay_s) * _HISS_RATE_HZ)
        time_s = np.arange(count) / _HISS_RATE_HZ
        frequency_hz = np.fft.rfftfreq(count, 1.0 / _HISS_RATE_HZ)
        shape = (frequency_hz > low_hz) / (1.0 + (frequency_hz / high_hz) ** 4)
        noise = np.fft.irfft(np.fft.rfft(rng.standard_normal(count)) * shape, count)
        envelope = np.minimum(time_s / rise_s, np.exp(-np.maximum(time_s - rise_s, 0.0) / decay_s))
        sound = noise * envelope
        return cls(peak_pa_from_db_spl(peak_db_spl_at_1m) / float(np.abs(sound).max()) * sound, _HISS_RATE_HZ)

    @property
    def peak_pa_m(self) -> float:
        """Highest pressure times distance."""
        return float(np.abs(self.samples_pa_m).max())

    @property
    def duration_s(self) -> float:
        """Length of all samples."""
        return (len(self.samples_pa_m) + 1) / self.sample_rate_hz

    def spectrum_pa_m_s(self, frequency_hz: _Real, *, distance_m: _Real, direction: _Real) -> _Complex:
        """Return the Fourier transform of pressure times distance, the same on every path; see `Waveform`.

        The first sample comes one step after time zero, where the straight line to it begins.

        Raises
        ------
        InputError
            The frequencies have no equal steps.
        """
        step_s = 1.0 / self.sample_rate_hz
        step_hz = float(frequency_hz[1] - frequency_hz[0]) if len(frequency_hz) > 1 else 0.0
        if (
            len(frequency_hz) > 2
            and np.abs(np.diff(frequency_hz) - step_hz).max() > _UNEVEN * np.abs(frequency_hz).max()
        ):
            raise InputError("frequencies of a sampled sound need equal steps, as of numpy.fft.rfftfreq")
        first = np.exp(2j * np.pi * float(frequency_hz[0]) * step_s)
        turn = np.exp(-2j * np.pi * step_hz * step_s)
        line = np.sinc(frequency_hz * step_s) ** 2 * np.exp(-2j * np.pi * frequency_hz * step_s)
        total = step_s * line * czt(self.samples_pa_m, len(frequency_hz), turn, first)
        return _on_every_path(np.asarray(total, dtype=np.complex128), distance_m, direction)


def _on_every_path(total: _Complex, distance_m: _Real, direction: _Real) -> _Complex:
    if len(direction) != len(distance_m):
        raise InputError(f"{len(direction)} directions for {len(distance_m)} paths; give one for each")
    return np.repeat(total[None, :], len(distance_m), axis=0)
