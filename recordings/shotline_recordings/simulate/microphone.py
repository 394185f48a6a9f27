"""From pressure at the microphone to the samples a node stores.

What is linear is a spectrum: `response` (capsule, vent, blocked port; causal and of minimum phase) times
`converter_response` (anti-alias filter; linear phase). The propagation multiplies it into every arrival, and
`noise.DrawnNoise` into the noise. What is not linear is `record`: overload, self-noise, automatic gain, clipping,
rounding, dropouts.

Full scale and overload are levels of the *peak*, 20 lg of the instantaneous pressure over 20 uPa, as everywhere in
Shotline. A datasheet states the rms of the sine whose peaks just reach it, which is 3.0 dB less: a microphone of
-26 dBFS at 94 dB SPL ends at 120 dB SPL rms, 123 dB peak.

References
----------
[InvenSense2014] the INMP441; [Infineon2022] the IM73A135; [TN098] the vendor's microphones; [IEC2013] A-weighting;
[AnalogDevices2010] what automatic gain control does. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import amplitude_from_db
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA, a_weighting, integral
from shotline_recordings.simulate.limits import check_limits

__all__ = ["MICROPHONES", "AutomaticGain", "Microphone", "converter_response", "record", "response"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_BEGINS, _ENDS = 0.35, 0.5
"""Of the sample rate: where the anti-alias filter begins and has ended."""
_KNEE = 8
"""Order of the overload curve: at half the overload pressure, distortion is 0.05 %."""
_GAIN_STEP_S = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticGain:
    """Automatic gain control that somebody forgot to switch off: the fault that ruins amplitudes.

    The gain goes towards the one that would bring the peaks of the last millisecond to the target. Defaults are what a
    codec proposes for speech [AnalogDevices2010 table 47]; target and range are estimated.

    Parameters
    ----------
    target_dbfs : float
        Level of the peaks it aims at.
    attack_s, release_s : float
        Time constants with which the gain falls and rises.
    lowest_gain_db, highest_gain_db : float
    """

    target_dbfs: float = -12.0
    attack_s: float = 0.024
    release_s: float = 1.54
    lowest_gain_db: float = -20.0
    highest_gain_db: float = 30.0

    def __post_init__(self) -> None:
        check_limits("target_dbfs", self.target_dbfs, -60.0, 0.0, "dBFS")
        check_limits("attack_s", self.attack_s, 0.0005, 10.0, "s")
        check_limits("release_s", self.release_s, 0.0005, 600.0, "s")
        check_limits("highest_gain_db", self.highest_gain_db, 0.0, 60.0, "dB")
        check_limits("lowest_gain_db", self.lowest_gain_db, -60.0, self.highest_gain_db, "dB, at most the highest gain")


@dataclass(frozen=True, slots=True, kw_only=True)
class Microphone:
    """A microphone with its converter, and what may be wrong with it.

    Parameters
    ----------
    name : str
    full_scale_db_spl : float
        Peak level at which samples end.
    overload_db_spl : float
        Peak level at which capsule or preamplifier end, smoothly; inf: never.
    self_noise_dba : float
        A-weighted rms level of the sound that would make as much noise (equivalent input noise); white; -inf: none.
    low_corner_hz, low_order : float, int
        Vent and coupling: a Butterworth high-pass; 0 Hz: none.
    resonance_hz, resonance_q : float
        Of the capsule, a low-pass of second order that rings; inf: none.
    bits : int
        16, or 24: then 16 are stored, rounded with triangular dither.
    gain_error_db : float
        True sensitivity over the stated one.
    muffled_db, muffled_corner_hz : float
        A blocked port: level change, 0 or less, and the corner of its first-order low-pass. 0 dB: open, no low-pass.
    gain_control : AutomaticGain | None
    dc_offset : float
        Part of full scale.
    dropouts_per_minute, dropout_s : float
        Stretches of zeros, as after a buffer was lost; the timing of the rest stays.
    """

    name: str
    full_scale_db_spl: float
    overload_db_spl: float = math.inf
    self_noise_dba: float = -math.inf
    low_corner_hz: float = 0.0
    low_order: int = 1
    resonance_hz: float = math.inf
    resonance_q: float = 1.0
    bits: int = 16
    gain_error_db: float = 0.0
    muffled_db: float = 0.0
    muffled_corner_hz: float = 1_000.0
    gain_control: AutomaticGain | None = None
    dc_offset: float = 0.0
    dropouts_per_minute: float = 0.0
    dropout_s: float = 0.05

    def __post_init__(self) -> None:
        check_limits("full_scale_db_spl", self.full_scale_db_spl, 60.0, 200.0, "dB SPL, peak")
        check_limits("overload_db_spl", self.overload_db_spl, 60.0, math.inf, "dB SPL, peak")
        check_limits("self_noise_dba", self.self_noise_dba, -math.inf, 90.0, "dB(A)")
        check_limits("low_corner_hz", self.low_corner_hz, 0.0, 1_000.0, "Hz")
        check_limits("resonance_hz", self.resonance_hz, 1_000.0, math.inf, "Hz")
        check_limits("resonance_q", self.resonance_q, 0.3, 100.0)
        check_limits("gain_error_db", self.gain_error_db, -40.0, 40.0, "dB")
        check_limits("muffled_db", self.muffled_db, -80.0, 0.0, "dB")
        check_limits("muffled_corner_hz", self.muffled_corner_hz, 10.0, 20_000.0, "Hz")
        check_limits("dc_offset", self.dc_offset, -0.9, 0.9, "of full scale")
        check_limits("dropouts_per_minute", self.dropouts_per_minute, 0.0, 600.0)
        check_limits("dropout_s", self.dropout_s, 0.001, 10.0, "s")
        if self.low_order not in (1, 2, 3, 4):
            raise InputError(f"{self.low_order}, expected an order of 1 to 4", field="low_order")
        if self.bits not in (16, 24):
            raise InputError(f"{self.bits} bits, expected a converter of 16 or 24", field="bits")

    @property
    def full_scale_pa(self) -> float:
        """Instantaneous pressure at which samples end."""
        return _pressure_pa(self.full_scale_db_spl)


MICROPHONES = MappingProxyType(
    {
        item.name: item
        for item in (
            Microphone(name="ideal", full_scale_db_spl=120.0),
            # INMP441 [InvenSense2014 table 1]: -26 dBFS, 120 dB SPL, 33 dB(A), 3 dB points 60 Hz and 15 kHz. The
            # capsule's resonance is chosen to be 3 dB up at 15 kHz; Q is estimated.
            Microphone(
                name="mems-120",
                full_scale_db_spl=123.0,
                self_noise_dba=33.0,
                low_corner_hz=60.0,
                resonance_hz=27_000.0,
                resonance_q=4.0,
                bits=24,
            ),
            # IM73A135 [Infineon2022]: 135 dB SPL, 73 dB signal to noise (21 dB(A)); low corner 20 Hz and resonance
            # from memory. Full scale as if the converter were matched to the overload point.
            Microphone(
                name="mems-135",
                full_scale_db_spl=139.0,
                overload_db_spl=138.0,
                self_noise_dba=21.0,
                low_corner_hz=20.0,
                resonance_hz=30_000.0,
                resonance_q=3.0,
                bits=24,
            ),
            # Recorded in Pittsburgh: full scale about 93 dB [TN098]. Noise and corner are estimated. The low-pass makes
            # shots from within 200 m fall by 21 dB from 1 to 4 kHz, as they do there; blast and air explain 9.
            Microphone(
                name="vendor-93",
                full_scale_db_spl=93.0,
                self_noise_dba=30.0,
                low_corner_hz=100.0,
                low_order=2,
                resonance_hz=2_000.0,
                resonance_q=0.7,
            ),
        )
    }
)
"""By name. Not stated: estimated, from the class of part rather than one part's datasheet."""


def response(frequency_hz: NDArray[np.float64], microphone: Microphone) -> NDArray[np.complex128]:
    """Return what capsule, vent and port do to a sound: causal, minimum phase, about 1 in the middle of the band.

    The gain error is not in it: `record` applies it to everything, self-noise excepted.

    Parameters
    ----------
    frequency_hz : ndarray, float64
        Any shape, from 0.
    microphone : Microphone

    Returns
    -------
    ndarray, complex128
        Same shape, in the convention of `numpy.fft`.
    """
    laplace = 1j * np.asarray(frequency_hz, dtype=np.float64)
    total = np.ones(laplace.shape, dtype=np.complex128)
    if microphone.low_corner_hz > 0.0:
        order = microphone.low_order
        relative = laplace / microphone.low_corner_hz
        for index in range(order):  # poles of the Butterworth prototype, on the unit circle
            total *= relative / (relative - np.exp(1j * np.pi * (2 * index + order + 1) / (2 * order)))
    if math.isfinite(microphone.resonance_hz):
        relative = laplace / microphone.resonance_hz
        total /= 1.0 + relative / microphone.resonance_q + relative**2
    if microphone.muffled_db < 0.0:
        total *= amplitude_from_db(microphone.muffled_db) / (1.0 + laplace / microphone.muffled_corner_hz)
    return total


def converter_response(frequency_hz: NDArray[np.float64], sample_rate_hz: int) -> NDArray[np.float64]:
    """Return the converter's anti-alias filter: linear phase, a cosine from 0.35 to 0.5 of the sample rate.

    Parameters
    ----------
    frequency_hz : ndarray, float64
        Any shape, from 0.
    sample_rate_hz : int

    Returns
    -------
    ndarray, float64
        Same shape; its delay is left out, as a node's clock accounts for it.
    """
    if sample_rate_hz <= 0:
        raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
    position = np.clip((frequency_hz / sample_rate_hz - _BEGINS) / (_ENDS - _BEGINS), 0.0, 1.0)
    result: _Real = 0.5 + 0.5 * np.cos(np.pi * position)
    return result


def record(
    pressure_pa: NDArray[np.float64], *, microphone: Microphone, sample_rate_hz: int, rng: np.random.Generator
) -> NDArray[np.int16]:
    """Return the samples a node stores.

    In order: gain error, overload, self-noise, automatic gain, offset, rounding, clipping, dropouts. Self-noise,
    dither and dropouts are drawn separately, so that one fault more does not change the noise.

    Parameters
    ----------
    pressure_pa : ndarray, shape (n_samples,), float64
        Sound and noise at the membrane: `response` and `converter_response` are in it.
    microphone : Microphone
    sample_rate_hz : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (n_samples,), int16

    Raises
    ------
    InputError
        Pressure that is not a row of finite numbers.
    """
    if pressure_pa.ndim != 1 or not np.isfinite(pressure_pa).all():
        raise InputError(
            f"pressure of shape {pressure_pa.shape}, {np.count_nonzero(~np.isfinite(pressure_pa))} values not finite; "
            "expected one row of finite numbers",
            field="pressure_pa",
        )
    if sample_rate_hz <= 0:
        raise InputError(f"sample rate {sample_rate_hz} Hz is not more than 0", field="sample_rate_hz")
    noise_rng, dither_rng, dropout_rng = (np.random.default_rng(int(rng.integers(0, 2**63))) for _ in range(3))
    signal = pressure_pa * amplitude_from_db(microphone.gain_error_db)
    if math.isfinite(microphone.overload_db_spl):
        signal = _overloaded(signal, _pressure_pa(microphone.overload_db_spl))
    noise_pa = _self_noise_pa(microphone, sample_rate_hz)
    if noise_pa > 0.0:
        signal += noise_pa * noise_rng.standard_normal(len(signal))
    signal /= microphone.full_scale_pa
    if microphone.gain_control is not None:
        signal *= _controlled_gain(signal, microphone.gain_control, sample_rate_hz)
    signal += microphone.dc_offset
    signal *= 32_768.0
    if microphone.bits == 24:
        signal = np.clip(np.rint(signal * 256.0), -(2.0**23), 2.0**23 - 1.0) / 256.0
        signal += dither_rng.random(len(signal)) - dither_rng.random(len(signal))
    samples: NDArray[np.int16] = np.clip(np.rint(signal), -32_768, 32_767).astype(np.int16)
    count = int(dropout_rng.poisson(microphone.dropouts_per_minute / 60.0 * len(samples) / sample_rate_hz))
    for first in dropout_rng.integers(0, max(len(samples), 1), count):
        samples[first : first + round(microphone.dropout_s * sample_rate_hz)] = 0
    return samples


def _pressure_pa(level_db_spl: float) -> float:
    return float(REFERENCE_PRESSURE_PA * amplitude_from_db(level_db_spl))


def _overloaded(signal: _Real, limit_pa: float) -> _Real:
    """Return x / (1 + |x/L|^n)^(1/n): the signal while it is small, +-L where it is large."""
    result = signal.copy()
    loud = np.flatnonzero(np.abs(signal) > 0.05 * limit_pa)  # below, nothing changes by more than 1e-11 of it
    part = np.abs(signal[loud]) / limit_pa
    result[loud] = (
        np.sign(signal[loud])
        * limit_pa
        * np.where(
            part < 1.0,
            part / (1.0 + np.minimum(part, 1.0) ** _KNEE) ** (1.0 / _KNEE),
            1.0 / (1.0 + np.maximum(part, 1.0) ** -_KNEE) ** (1.0 / _KNEE),
        )
    )
    return result


def _self_noise_pa(microphone: Microphone, sample_rate_hz: int) -> float:
    """Return the rms of white noise up to half the sample rate whose A-weighted level to 20 kHz is the stated one."""
    if microphone.self_noise_dba == -math.inf:
        return 0.0
    frequency_hz = np.geomspace(20.0, 20_000.0, 4_000)
    heard_hz = float(integral(a_weighting(frequency_hz) ** 2, frequency_hz))
    return _pressure_pa(microphone.self_noise_dba) * math.sqrt(0.5 * sample_rate_hz / heard_hz)


def _controlled_gain(signal: _Real, control: AutomaticGain, sample_rate_hz: int) -> _Real:
    """Return the gain at every sample: it knows only milliseconds that have passed."""
    step = max(1, round(_GAIN_STEP_S * sample_rate_hz))
    blocks = -(-len(signal) // step)
    padded = np.zeros(blocks * step)
    padded[: len(signal)] = np.abs(signal)
    peaks = padded.reshape(blocks, step).max(axis=1)
    wanted_db = np.clip(
        control.target_dbfs - 20.0 * np.log10(np.maximum(peaks, 1e-9)), control.lowest_gain_db, control.highest_gain_db
    )
    step_s = step / sample_rate_hz
    falling, rising = 1.0 - math.exp(-step_s / control.attack_s), 1.0 - math.exp(-step_s / control.release_s)
    gain_db = float(np.median(wanted_db[: round(1.0 / step_s)])) if blocks else 0.0
    knots_db = [gain_db, gain_db]
    for wanted in wanted_db.tolist():
        gain_db += (wanted - gain_db) * (falling if wanted < gain_db else rising)
        knots_db.append(gain_db)
    knots = 10.0 ** (np.asarray(knots_db) / 20.0)
    ramp = np.arange(step) / step
    gain = knots[:blocks, np.newaxis] + (knots[1 : blocks + 1] - knots[:blocks])[:, np.newaxis] * ramp
    result: _Real = gain.reshape(-1)[: len(signal)]
    return result
