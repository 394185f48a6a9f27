"""Sound that is there without any shot: a sum of spectra, each with a power of its own that changes slowly.

A `NoiseModel` (see `noise_sources`) names power spectra of pressure and draws, per node, how strong each is over time.
`draw_noise` draws once; the result sounds (`DrawnNoise.pressure_pa`) and states its own level at any time in closed
form (`DrawnNoise.band_level_db`), so that a simulation with sound and one of detections only live in the same noise.

Sound is made in frames of 0.2 s of independent Gaussian noise, overlapped by half under a power-complementary window:
the mean power at any instant is that of the spectra, exactly. Below about 10 Hz the spectra are not followed; no
microphone of a node hears that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import scipy.fft
import scipy.signal
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import amplitude_from_db
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA, db_spl_from_power, integral

__all__ = [
    "ONSET_BAND_HZ",
    "TRACK_STEP_S",
    "DrawnNoise",
    "NoiseModel",
    "RecordedNoise",
    "Response",
    "band_level_db",
    "draw_noise",
    "onset_weight",
]

_Real = NDArray[np.float64]

Response: TypeAlias = Callable[[NDArray[np.float64]], NDArray[np.complex128]]
"""Frequency in Hz to transfer function, such as `microphone.response`."""

ONSET_BAND_HZ = (250.0, 4_000.0)
"""What the onset detector listens to (`shotline.onsets.OnsetSettings`)."""
TRACK_STEP_S = 0.1
"""Between the instants for which a model draws its powers."""

_FRAME_S = 0.2
_FRAMES_AT_ONCE = 32
_LOWEST_HZ = 5.0
_GRID_POINTS = 6_000
_CROSSFADE_S = 0.5
_LONGEST_S = 86_400.0
_LOWEST_RATE_HZ = 4_000
_HIGHEST_RATE_HZ = 200_000


class NoiseModel(Protocol):
    """One kind of noise: ``n_spectra`` shapes whose powers change with time."""

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one-sided power spectral densities at power 1, shape (n_spectra, n_frequencies); frequencies > 0."""
        ...

    def mean_powers(self) -> NDArray[np.float64]:
        """Return the expected power of each, shape (n_spectra,): a factor on the spectra, in closed form."""
        ...

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw the powers over time, shape (n_spectra, n_steps), every `TRACK_STEP_S` from the start to the end."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class RecordedNoise:
    """A recording that is played in a loop. Make one with `from_recording`.

    Parameters
    ----------
    loop_pa : ndarray, shape (n_samples,), float64
        Joins at its ends.
    sample_rate_hz : int
    """

    loop_pa: NDArray[np.float64]
    sample_rate_hz: int

    @classmethod
    def from_recording(
        cls,
        samples: NDArray[np.float64],
        *,
        recorded_rate_hz: int,
        sample_rate_hz: int,
        level_db_spl: float,
        level_band_hz: tuple[float, float] = (20.0, 20_000.0),
    ) -> RecordedNoise:
        """Make a loop of a recording, at another rate and at a stated level.

        The end is faded into the beginning over 0.5 s (or a quarter of the recording), keeping the power of two
        stretches of noise that have nothing to do with each other.

        Parameters
        ----------
        samples : ndarray, shape (n_samples,), float64
            In any unit: the level is set here.
        recorded_rate_hz, sample_rate_hz : int
            Rate it has, rate it shall have.
        level_db_spl : float
            Rms level of the loop within ``level_band_hz``.
        level_band_hz : tuple[float, float]

        Raises
        ------
        InputError
            Not a row of finite numbers, shorter than 0.1 s, or silent within the band.
        """
        for name, rate_hz in (("recorded_rate_hz", recorded_rate_hz), ("sample_rate_hz", sample_rate_hz)):
            _check_rate(rate_hz, field=name)
        if samples.ndim != 1 or len(samples) < 0.1 * recorded_rate_hz or not np.isfinite(samples).all():
            raise InputError(
                f"recording of shape {samples.shape}, {np.count_nonzero(~np.isfinite(samples))} values not finite; "
                f"expected one channel of finite numbers, at least 0.1 s ({math.ceil(0.1 * recorded_rate_hz)} samples)",
                field="samples",
            )
        if not 0.0 <= level_band_hz[0] < level_band_hz[1]:
            raise InputError(f"band {level_band_hz} Hz, expected low < high, from 0", field="level_band_hz")
        shared = math.gcd(recorded_rate_hz, sample_rate_hz)
        resampled = np.asarray(
            scipy.signal.resample_poly(
                samples.astype(np.float64), sample_rate_hz // shared, recorded_rate_hz // shared
            ),
            dtype=np.float64,
        )
        fade = min(round(_CROSSFADE_S * sample_rate_hz), len(resampled) // 4)
        angle = 0.5 * np.pi * (np.arange(fade) + 0.5) / fade
        loop = resampled[: len(resampled) - fade].copy()
        loop[:fade] = loop[:fade] * np.sin(angle) + resampled[len(resampled) - fade :] * np.cos(angle)
        frequency_hz, powers = _line_powers(loop, sample_rate_hz)
        inside = (frequency_hz >= level_band_hz[0]) & (frequency_hz <= level_band_hz[1])
        power = float(powers[inside].sum())
        if not power > 1e-15 * float(powers.sum()):
            raise InputError(
                f"the recording is silent between {level_band_hz[0]:g} and {level_band_hz[1]:g} Hz, expected sound "
                "there; give another recording or another level_band_hz",
                field="samples",
            )
        loop *= REFERENCE_PRESSURE_PA * amplitude_from_db(level_db_spl) / math.sqrt(power)
        return cls(loop, sample_rate_hz)


@dataclass(frozen=True, slots=True, eq=False)
class DrawnNoise:
    """The noise of one node in one scene: every random choice made but the waveform's, whose seed is held.

    Parameters
    ----------
    models : tuple[NoiseModel, ...]
    powers : tuple[ndarray, ...], each shape (n_spectra, n_steps), float64
        Of each model over time, every `TRACK_STEP_S`.
    recordings : tuple[RecordedNoise, ...]
    phases : tuple[float, ...]
        Where in its loop each recording begins, 0 to 1.
    duration_s : float
    seed : int
        Of the waveform.
    """

    models: tuple[NoiseModel, ...]
    powers: tuple[NDArray[np.float64], ...]
    recordings: tuple[RecordedNoise, ...]
    phases: tuple[float, ...]
    duration_s: float
    seed: int

    def pressure_pa(
        self, n_samples: int, *, sample_rate_hz: int, response: Response | None = None
    ) -> NDArray[np.float64]:
        """Return the sound; the same bits for the same arguments, and the same beginning for fewer samples.

        Parameters
        ----------
        n_samples : int
            At most ``duration_s`` of them.
        sample_rate_hz : int
            4 to 200 kHz; that of the recordings, if there are any.
        response : callable | None
            What the sound passes: microphone times converter. None for the sound in the air.

        Returns
        -------
        ndarray, shape (n_samples,), float64
            Pa.
        """
        _check_rate(sample_rate_hz)
        if not 0 <= n_samples <= math.ceil(self.duration_s * sample_rate_hz):
            raise InputError(
                f"{n_samples} samples of noise at {sample_rate_hz} Hz, but {self.duration_s:g} s were drawn; "
                "draw noise for a longer duration",
                field="n_samples",
            )
        total = np.zeros(n_samples)
        if self.models:
            total += self._frames_pa(n_samples, sample_rate_hz, response)
        for recording, phase in zip(self.recordings, self.phases, strict=True):
            total += _played_pa(recording, phase, n_samples, sample_rate_hz, response)
        return total

    def band_level_db(
        self,
        time_s: NDArray[np.float64],
        *,
        sample_rate_hz: int,
        band_hz: tuple[float, float] = ONSET_BAND_HZ,
        response: Response | None = None,
    ) -> NDArray[np.float64]:
        """Return the expected rms level in the node's onset band at instants of the scene, without making any sound.

        Parameters
        ----------
        time_s : ndarray, shape (n_times,), float64
            Since the start of the noise.
        sample_rate_hz, band_hz, response
            See `band_level_db`.

        Returns
        -------
        ndarray, shape (n_times,), float64
            dB SPL; -inf where there is silence.
        """
        power = np.zeros(np.shape(time_s))
        for model, track in zip(self.models, self.powers, strict=True):
            in_band = _model_band_powers(model, sample_rate_hz, band_hz, response)
            power += np.einsum("k,kt->t", in_band, _at(track, time_s))
        for recording in self.recordings:
            power += _recorded_band_power(recording, sample_rate_hz, band_hz, response)
        with np.errstate(divide="ignore"):
            result: NDArray[np.float64] = 10.0 * np.log10(power / REFERENCE_PRESSURE_PA**2)
        return result

    def _frames_pa(self, n_samples: int, sample_rate_hz: int, response: Response | None) -> _Real:
        half = int(scipy.fft.next_fast_len(round(0.5 * _FRAME_S * sample_rate_hz), real=True))
        length = 2 * half
        frequency_hz = np.arange(1, half, dtype=np.float64) * (sample_rate_hz / length)
        spectra = np.concatenate([model.spectra_pa2_per_hz(frequency_hz) for model in self.models])
        if response is not None:
            spectra = spectra * np.abs(response(frequency_hz)) ** 2
        spectra = spectra * (0.25 * length * sample_rate_hz)
        frames = -(-n_samples // half) + 1
        middles_s = np.arange(frames, dtype=np.float64) * (half / sample_rate_hz)
        powers = np.concatenate([_at(track, middles_s) for track in self.powers])
        window = np.sin(0.5 * np.pi * np.sin(np.pi * (np.arange(length) + 0.5) / length) ** 2)
        rng = np.random.default_rng(self.seed)
        halves = np.zeros((frames + 1, half))
        for first in range(0, frames, _FRAMES_AT_ONCE):
            last = min(first + _FRAMES_AT_ONCE, frames)
            amplitude = np.sqrt(np.einsum("kt,kf->tf", powers[:, first:last], spectra))
            lines = np.zeros((last - first, half + 1), dtype=np.complex128)
            lines[:, 1:-1] = rng.standard_normal((last - first, 2 * (half - 1))).view(np.complex128) * amplitude
            sound = scipy.fft.irfft(lines, length, axis=1, overwrite_x=True) * window
            halves[first:last] += sound[:, :half]
            halves[first + 1 : last + 1] += sound[:, half:]
        result: _Real = halves[1:].reshape(-1)[:n_samples]
        return result


def draw_noise(
    sources: Sequence[NoiseModel | RecordedNoise], *, duration_s: float, rng: np.random.Generator
) -> DrawnNoise:
    """Draw what is random about the noise at one node. One more source at the end changes nothing about the others.

    Parameters
    ----------
    sources : sequence of NoiseModel and RecordedNoise
        They add up in power.
    duration_s : float
        Up to a day.
    rng : numpy.random.Generator
    """
    if not 0.0 < duration_s <= _LONGEST_S:
        raise InputError(f"noise for {duration_s:g} s, expected more than 0 and at most a day", field="duration_s")
    seed = int(rng.integers(0, 2**63))
    models, powers, recordings, phases = [], [], [], []
    for source in sources:
        own = np.random.default_rng(int(rng.integers(0, 2**63)))
        if isinstance(source, RecordedNoise):
            recordings.append(source)
            phases.append(float(own.random()))
        else:
            models.append(source)
            powers.append(source.draw_powers(duration_s, own))
    return DrawnNoise(tuple(models), tuple(powers), tuple(recordings), tuple(phases), duration_s, seed)


def band_level_db(
    sources: Sequence[NoiseModel | RecordedNoise],
    *,
    sample_rate_hz: int,
    band_hz: tuple[float, float] = ONSET_BAND_HZ,
    response: Response | None = None,
) -> float:
    """Return the expected rms level of noise in the node's onset band, over all draws and times, in closed form.

    Parameters
    ----------
    sources : sequence of NoiseModel and RecordedNoise
    sample_rate_hz : int
        Of the node: what is above half of it is not heard, and the band's filters are digital.
    band_hz : tuple[float, float]
        High pass (fourth order) and low pass (second order) of the onset detector.
    response : callable | None
        Microphone times converter; None for the level in the air.

    Returns
    -------
    float
        dB SPL; -inf for silence.
    """
    power = 0.0
    for source in sources:
        if isinstance(source, RecordedNoise):
            power += _recorded_band_power(source, sample_rate_hz, band_hz, response)
        else:
            in_band = _model_band_powers(source, sample_rate_hz, band_hz, response)
            power += float(np.einsum("k,k->", in_band, source.mean_powers()))
    return db_spl_from_power(power)


def onset_weight(
    frequency_hz: NDArray[np.float64], *, sample_rate_hz: int, band_hz: tuple[float, float] = ONSET_BAND_HZ
) -> NDArray[np.float64]:
    """Return the power gain of the onset detector's band-pass: digital Butterworth, fourth and second order.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
        From 0 to half the sample rate.
    sample_rate_hz : int
    band_hz : tuple[float, float]
        As `shotline.onsets.OnsetSettings`; the upper edge is lowered to 0.4 of the sample rate.
    """
    _check_rate(sample_rate_hz)
    low_pass_hz = min(band_hz[1], 0.4 * sample_rate_hz)
    if not 0.0 < band_hz[0] < low_pass_hz:
        raise InputError(
            f"band {band_hz} Hz at {sample_rate_hz} Hz, expected 0 < high pass < low pass < 0.4 of the rate",
            field="band_hz",
        )
    high, low, here = (
        np.tan(np.pi * np.asarray(value) / sample_rate_hz) for value in (band_hz[0], low_pass_hz, frequency_hz)
    )
    result: NDArray[np.float64] = here**8 / (here**8 + high**8) / (1.0 + (here / low) ** 4)
    return result


def _check_rate(sample_rate_hz: int, *, field: str = "sample_rate_hz") -> None:
    if not _LOWEST_RATE_HZ <= sample_rate_hz <= _HIGHEST_RATE_HZ:
        raise InputError(
            f"sample rate {sample_rate_hz} Hz, expected {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ}", field=field
        )


def _at(track: _Real, time_s: _Real) -> _Real:
    """Return powers at instants, shape (n_spectra, n_times): straight lines between the steps."""
    steps_s = np.arange(track.shape[1], dtype=np.float64) * TRACK_STEP_S
    return np.stack([np.interp(time_s, steps_s, row) for row in track])


def _model_band_powers(
    model: NoiseModel, sample_rate_hz: int, band_hz: tuple[float, float], response: Response | None
) -> _Real:
    """Return the mean square pressure in the band of each spectrum at power 1, shape (n_spectra,)."""
    _check_rate(sample_rate_hz)
    frequency_hz = np.geomspace(_LOWEST_HZ, 0.4999 * sample_rate_hz, _GRID_POINTS)
    weight = onset_weight(frequency_hz, sample_rate_hz=sample_rate_hz, band_hz=band_hz)
    if response is not None:
        weight = weight * np.abs(response(frequency_hz)) ** 2
    return integral(model.spectra_pa2_per_hz(frequency_hz) * weight, frequency_hz)


def _line_powers(sound: _Real, sample_rate_hz: int) -> tuple[_Real, _Real]:
    """Return frequencies and the mean square at each, of a sound that repeats for ever."""
    lines = np.abs(scipy.fft.rfft(sound)) ** 2 * (2.0 / len(sound) ** 2)
    lines[0] *= 0.5
    if len(sound) % 2 == 0:
        lines[-1] *= 0.5
    return np.arange(len(lines), dtype=np.float64) * (sample_rate_hz / len(sound)), lines


def _same_rate(recording: RecordedNoise, sample_rate_hz: int) -> None:
    if recording.sample_rate_hz != sample_rate_hz:
        raise InputError(
            f"a recorded noise at {recording.sample_rate_hz} Hz in a scene at {sample_rate_hz} Hz, expected one rate; "
            "give RecordedNoise.from_recording the rate of the scene",
            field="sample_rate_hz",
        )


def _recorded_band_power(
    recording: RecordedNoise, sample_rate_hz: int, band_hz: tuple[float, float], response: Response | None
) -> float:
    _same_rate(recording, sample_rate_hz)
    frequency_hz, powers = _line_powers(recording.loop_pa, sample_rate_hz)
    inside = frequency_hz < 0.4999 * sample_rate_hz
    weight = onset_weight(frequency_hz[inside], sample_rate_hz=sample_rate_hz, band_hz=band_hz)
    if response is not None:
        weight = weight * np.abs(response(frequency_hz[inside])) ** 2
    return float((powers[inside] * weight).sum())


def _played_pa(
    recording: RecordedNoise, phase: float, n_samples: int, sample_rate_hz: int, response: Response | None
) -> _Real:
    _same_rate(recording, sample_rate_hz)
    loop = recording.loop_pa
    if response is not None:  # a loop is filtered without ends
        frequency_hz = np.arange(len(loop) // 2 + 1, dtype=np.float64) * (sample_rate_hz / len(loop))
        loop = np.asarray(scipy.fft.irfft(scipy.fft.rfft(loop) * response(frequency_hz), len(loop)))
    first = int(phase * len(loop))
    result: _Real = np.resize(np.roll(loop, -first), n_samples)
    return result
