"""The pulse per second of a GPS receiver, recorded beside the sound: where its edges are, to a hundredth of a sample.

The edge is a step; after the converter's filter a smooth one. Its place is found by fitting a step of that shape, which
is a matched filter. The first pulses are fitted with a generic shape; where that does not fit their mean, aligned, is
the shape from then on. See docs/clock.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from shotline.errors import InputError

__all__ = ["Pulse", "PulseFinder"]

_HALF = 32
_SHORT = 4
_APART = 24
_THRESHOLD_SIGMAS = 8.0
_ROLL_OFF = 0.8
_STEPS = 6
_CLOSE_ENOUGH = 1e-5
_LEARN_PULSES = 32
_NOISE_MEMORY = 0.2
_CHUNK_S = 0.08
_EXCESS_MEMORY, _EXCESS_NOISE = 1.0 / 32.0, 0.1
_SIGMA_FLOOR = 0.002
_MOST_SIGMA = 1.0
_MISFIT_GENERIC, _MISFIT_LEARNT = 0.15, 0.05
_MISFIT_NOISE = 3.0
_AMPLITUDE_RATIO = 2.0

Samples = NDArray[np.float64]
Spectrum = NDArray[np.complex128]


@dataclass(frozen=True, slots=True)
class Pulse:
    """The leading edge of one pulse.

    Parameters
    ----------
    sample : float
        Sample index of the edge.
    sigma_samples : float
        1-sigma of it.
    amplitude : float
        Height of the step; 1.0 is digital full scale. Negative where the input inverts.
    """

    sample: float
    sigma_samples: float
    amplitude: float


class PulseFinder:
    """Finds pulses in the blocks of the second channel.

    Parameters
    ----------
    sample_rate_hz : int
        Samples per second.
    polarity : int
        1 when the leading edge goes up in the recording, -1 when the input inverts. A pulse lasts less than half a
        second, which is how a wrong polarity is noticed: its edges are refused.
    min_amplitude : float
        Least height of an edge.
    """

    def __init__(self, sample_rate_hz: int, *, polarity: int = 1, min_amplitude: float = 0.01) -> None:
        if sample_rate_hz <= 0:
            raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
        if polarity not in (-1, 1):
            raise InputError(f"polarity {polarity}; expected 1 or -1", field="polarity")
        if not 0.0 < min_amplitude < 2.0:
            raise InputError(
                f"least amplitude {min_amplitude}; expected more than 0, less than 2", field="min_amplitude"
            )
        self._rate = sample_rate_hz
        self._polarity = polarity
        self._min_amplitude = min_amplitude
        self._buffer: Samples = np.zeros(0)
        self._start = 0
        self._searched = 0
        self._noise = 0.0
        self._last_trailing: float | None = None
        self._spectrum = _generic_spectrum()
        self._edges_seen: list[Spectrum] = []
        self._amplitude = 0.0
        self._excess = 0.0
        self._measured = 0
        self._found = 0
        self._misfits = self._wrong_polarity = self._wrong_amplitude = 0

    @property
    def found(self) -> int:
        """Pulses since the start."""
        return self._found

    @property
    def learnt(self) -> bool:
        """Whether enough edges were seen to know their shape and height."""
        return len(self._edges_seen) >= _LEARN_PULSES

    @property
    def rejects(self) -> Mapping[str, int]:
        """Edges that are no pulses, by reason."""
        return {
            "misfit": self._misfits,
            "wrong_polarity": self._wrong_polarity,
            "wrong_amplitude": self._wrong_amplitude,
        }

    def add(self, block: AudioBlock) -> list[Pulse]:
        """Take a block; return the pulses whose edges are complete now, in order."""
        end = self._start + len(self._buffer)
        if block.first_sample != end:
            self._buffer, self._start, self._searched = np.zeros(0), block.first_sample, block.first_sample
            self._last_trailing = None
        self._buffer = np.concatenate([self._buffer, block.samples.astype(np.float64)])
        pulses = []
        for place in self._edges():
            pulse = self._measure(place)
            if pulse is not None:
                pulses.append(pulse)
        keep = max(0, self._searched - self._start - 2 * _HALF)
        self._buffer, self._start = self._buffer[keep:], self._start + keep
        return pulses

    def _edges(self) -> list[int]:
        """Return where, in the buffer, the steps are that have enough sound around them."""
        first = max(self._searched - self._start, _HALF)
        last = len(self._buffer) - _HALF
        if last - first < _CHUNK_S * self._rate:
            return []
        total = np.concatenate([[0.0], np.cumsum(self._buffer)])
        places = np.arange(first - _APART, last + _APART)
        places = places[(places >= _SHORT) & (places <= len(self._buffer) - _SHORT)]
        step = np.abs(total[places + _SHORT] - 2.0 * total[places] + total[places - _SHORT]) / _SHORT
        noise = 1.4826 * float(np.median(step))
        self._noise += (noise - self._noise) * (_NOISE_MEMORY if self._noise else 1.0)
        self._searched = self._start + last
        threshold = max(0.5 * self._min_amplitude, _THRESHOLD_SIGMAS * self._noise)
        high = np.flatnonzero((step > threshold) & (places >= first) & (places < last))
        found: list[int] = []
        for index in high:
            around = step[max(index - _APART, 0) : index + _APART + 1]
            if step[index] == around.max() and (not found or places[index] - found[-1] > _APART):
                found.append(int(places[index]))
        return found

    def _measure(self, place: int) -> Pulse | None:
        """Fit a step to an edge; None when it is no leading edge of a pulse."""
        window = self._buffer[place - _HALF : place + _HALF]
        noise = _straight_noise(window[: _HALF - 2 * _SHORT])
        fit = _fit_step(window, self._spectrum)
        sample, height = self._start + place + fit.delay - 0.5, fit.height
        misfit = _MISFIT_LEARNT if self.learnt else _MISFIT_GENERIC
        strange = fit.residual > _MISFIT_NOISE * noise + misfit * abs(height)
        if strange or abs(fit.delay) > _SHORT or fit.sigma > _MOST_SIGMA:
            self._misfits += 1
            return None
        if abs(height) < self._min_amplitude or (
            self.learnt and not 1.0 / _AMPLITUDE_RATIO < abs(height) / self._amplitude < _AMPLITUDE_RATIO
        ):
            self._wrong_amplitude += 1
            return None
        if height * self._polarity < 0.0:
            self._last_trailing = sample
            return None
        if self._last_trailing is not None and sample - self._last_trailing < 0.5 * self._rate:
            self._wrong_polarity += 1
            return None
        self._found += 1
        excess = (fit.residual**2 - (1.0 + _EXCESS_NOISE) * noise**2) / height**2
        self._measured += 1
        self._excess += (excess - self._excess) * max(_EXCESS_MEMORY, 1.0 / self._measured)
        hidden = 0.5 * np.sqrt(max(self._excess, 0.0) * len(window)) / fit.steepness
        if not self.learnt:
            self._learn(window, fit.delay, height)
        return Pulse(sample, float(np.sqrt(fit.sigma**2 + hidden**2 + _SIGMA_FLOOR**2)), height)

    def _learn(self, window: Samples, delay: float, height: float) -> None:
        """Add an edge to the mean; once there are enough it replaces the generic shape, if that did not fit."""
        spectrum = np.fft.rfft(np.diff(window, prepend=window[0])) / height
        self._edges_seen.append(spectrum * np.exp(1j * _omega() * (delay + _HALF)))
        self._amplitude += (abs(height) - self._amplitude) / len(self._edges_seen)
        if self.learnt and self._excess > 0.0:
            self._spectrum = np.mean(self._edges_seen, axis=0)
            self._spectrum[-1] = 0.0
            self._excess, self._measured = 0.0, 0


def _omega() -> Samples:
    return 2.0 * np.pi * np.arange(_HALF + 1) / (2 * _HALF)


def _generic_spectrum() -> Spectrum:
    """Return the spectrum of the slope of an edge: flat to 0.8 of half the sample rate, then down like a cosine."""
    share = np.clip((_omega() / np.pi - _ROLL_OFF) / (1.0 - _ROLL_OFF), 0.0, 1.0)
    return (0.5 + 0.5 * np.cos(np.pi * share)).astype(np.complex128)


@dataclass(frozen=True, slots=True)
class _Fit:
    """A step in a window: where its difference is after the middle, with 1-sigma; height; rms of the rest."""

    delay: float
    sigma: float
    height: float
    residual: float
    steepness: float


def _fit_step(window: Samples, spectrum: Spectrum) -> _Fit:
    """Fit offset, height and delay of a step by least squares.

    The sigma is the Cramer-Rao bound of a delay in white noise [Kay1993] (section 3.11), the noise that of the rest.

    Parameters
    ----------
    window : ndarray, shape (64,), float64
    spectrum : ndarray, shape (33,), complex128
        Of the differences of a step of height 1 at sample 0.
    """
    omega = _omega()
    delay = 0.0
    for _ in range(_STEPS):
        shifted = spectrum * np.exp(-1j * omega * (delay + _HALF))
        shape = np.cumsum(np.fft.irfft(shifted))
        slope = np.cumsum(np.fft.irfft(-1j * omega * shifted))
        design = np.stack([np.ones(2 * _HALF), shape, slope], axis=1)
        normal = design.T @ design
        offset, height, moved = np.linalg.solve(normal, design.T @ window)
        change = float(np.clip(moved / height, -1.0, 1.0)) if height else 0.0
        delay = float(np.clip(delay + change, -2.0 * _SHORT, 2.0 * _SHORT))
        if abs(change) < _CLOSE_ENOUGH:
            break
    rest = window - design @ np.array([offset, height, moved])
    residual = float(np.sqrt(rest @ rest / (2 * _HALF - 3)))
    bound = residual * float(np.sqrt(np.linalg.inv(normal)[2, 2]))
    sigma = bound / abs(float(height)) if height else np.inf
    return _Fit(delay, sigma, float(height), residual, float(np.sqrt(slope @ slope)))


def _straight_noise(samples: Samples) -> float:
    """Return the rms about a straight line."""
    ramp = np.linspace(-1.0, 1.0, len(samples))
    rest = samples - samples.mean()
    rest = rest - ramp * float(ramp @ rest) / float(ramp @ ramp)
    return float(np.sqrt(np.sum(rest**2) / (len(samples) - 2)))
