"""The frequency response of a microphone against a reference that heard the same sound. Pure.

Both recordings begin and run by their own clocks: the delay between them is followed over time, and taken off before
spectra are averaged. Transfer function and coherence are those of [BendatPiersol2010] (H1: noise of the microphone
under test does not bias it, noise of the reference does; coherence shows both).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shotline_calibration.microphone.thirdoctave import Band, bands_between

__all__ = ["NEEDED", "BandResponse", "Limit", "NoResponse", "NoResponseReason", "Response", "measure_response"]

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_SEGMENT_S = 0.2
_CHUNK_S = 1.0
_SEARCH_S = 0.01
_LEAST_S = 10.0
_LOWEST_HZ, _HIGHEST_HZ, _NYQUIST_SHARE = 90.0, 16_000.0, 0.9
_NORMAL_HZ = (500.0, 2_000.0)
_LEAST_COHERENCE = 0.8
_MOST_SKEW = 1e-3
_COARSE_S = 20.0
_LEAST_BINS = 3
_WHOLE_BINS_DB = 0.02
"""1-sigma of what a band of whole bins leaves: measured, benchmarks/microphone.py."""


@dataclass(frozen=True, slots=True)
class Limit:
    """What is allowed between two frequencies, dB about the mean of 500 Hz to 2 kHz."""

    lower_hz: float
    upper_hz: float
    low_db: float
    high_db: float


NEEDED = (Limit(250.0, 4_000.0, -3.0, 3.0), Limit(4_000.0, 8_000.0, -6.0, 6.0))
"""What detection and levels need: the detector listens from 250 Hz up, and a muzzle blast has most below 4 kHz."""


class NoResponseReason(StrEnum):
    """Why there is none."""

    SHORT = "too short"
    UNALIKE = "the recordings are not of the same sound"


@dataclass(frozen=True, slots=True)
class NoResponse:
    """There is none, and why."""

    reason: NoResponseReason
    detail: str


@dataclass(frozen=True, slots=True)
class BandResponse:
    """One band.

    Parameters
    ----------
    band : Band
    deviation_db : float
        Gain of the microphone over that of the reference, less its mean from 500 Hz to 2 kHz.
    sigma_db : float
        1-sigma of it by noise [BendatPiersol2010 chapter 9] and bins, that of the mean included.
    coherence : float
        Share of the microphone's power that the reference explains.
    limit : Limit | None
    """

    band: Band
    deviation_db: float
    sigma_db: float
    coherence: float
    limit: Limit | None

    @property
    def told(self) -> bool:
        """Whether the coherence is good enough to judge it."""
        return self.coherence >= _LEAST_COHERENCE

    @property
    def inside(self) -> bool | None:
        """Whether it is within its limit; None where there is none or it cannot be told."""
        if self.limit is None or not self.told:
            return None
        return self.limit.low_db <= self.deviation_db <= self.limit.high_db


@dataclass(frozen=True, slots=True)
class Response:
    """A response.

    Parameters
    ----------
    bands : tuple of BandResponse
    gain_db : float
        Mean from 500 Hz to 2 kHz: level read over level of the reference, both dBFS.
    delay_s, skew_ppm : float
        Of the microphone's recording against the reference's, at its start and as it grows.
    segments : float
        Independent ones that were averaged.
    """

    bands: tuple[BandResponse, ...]
    gain_db: float
    delay_s: float
    skew_ppm: float
    segments: float

    @property
    def ok(self) -> bool | None:
        """Whether all bands with a limit are inside; None when one of them cannot be told and none is outside."""
        judged = [item.inside for item in self.bands if item.limit is not None]
        if any(inside is False for inside in judged):
            return False
        return None if not judged or any(inside is None for inside in judged) else True


def measure_response(
    reference: Floats,
    tested: Floats,
    sample_rate_hz: int,
    *,
    limits: Sequence[Limit] = NEEDED,
    reference_db: Sequence[tuple[float, float]] = (),
) -> Response | NoResponse:
    """Measure the response.

    Parameters
    ----------
    reference, tested : ndarray, shape (n,), float64
        Of the same sound, wide in frequency: pink noise, a sweep, traffic. May begin up to 20 s apart.
    sample_rate_hz : int
        Of both.
    limits : sequence of Limit
    reference_db : sequence of (Hz, dB)
        Response of the reference microphone, by its certificate; empty: flat.
    """
    least = round(_LEAST_S * sample_rate_hz)
    if min(len(reference), len(tested)) < least:
        shorter_s = min(len(reference), len(tested)) / sample_rate_hz
        return NoResponse(NoResponseReason.SHORT, f"{shorter_s:.1f} s, expected {_LEAST_S:g} s or more")
    line = _delay_line(reference, tested, sample_rate_hz)
    if isinstance(line, NoResponse):
        return line
    start_samples, skew = line
    cross, power, own, segments = _spectra(reference, tested, sample_rate_hz, start_samples, skew)
    if segments < 2.0:
        return NoResponse(NoResponseReason.SHORT, "the recordings overlap by less than a second")
    frequency_hz: Floats = np.fft.rfftfreq(2 * (len(power) - 1), 1.0 / sample_rate_hz).astype(np.float64)
    return _banded(
        frequency_hz, cross, power, own, segments, (start_samples, skew, sample_rate_hz), limits, reference_db
    )


def _banded(
    frequency_hz: Floats,
    cross: Complexes,
    power: Floats,
    own: Floats,
    segments: float,
    line: tuple[float, float, int],
    limits: Sequence[Limit],
    reference_db: Sequence[tuple[float, float]],
) -> Response:
    start_samples, skew, sample_rate_hz = line
    # What noise adds to the square of a cross spectrum goes with one over the segments.
    square = np.maximum(np.abs(cross) ** 2 - (power * own - np.abs(cross) ** 2) / max(segments - 1.0, 1.0), 0.0)
    found: list[tuple[Band, float, float, float]] = []
    for band in bands_between(_LOWEST_HZ, min(_HIGHEST_HZ, _NYQUIST_SHARE * sample_rate_hz / 2.0)):
        inside = (frequency_hz >= band.lower_hz) & (frequency_hz < band.upper_hz) & (power > 0.0)
        bins = int(np.count_nonzero(inside))
        if bins < _LEAST_BINS or not np.any(own[inside] > 0.0):
            continue
        explained = float(np.sum(square[inside] / power[inside]))
        coherence = min(explained / float(np.sum(own[inside])), 1.0 - 1e-12)
        gain_db = 10.0 * math.log10(max(explained, 1e-30) / float(np.sum(power[inside])))
        gain_db += _interpolated(reference_db, band.middle_hz)
        # A Hann window halves the number of independent bins, or nearly.
        worth = 2.0 * max(coherence, 1e-6) * segments * bins / 1.5
        sigma_db = math.hypot(20.0 / math.log(10.0) * math.sqrt((1.0 - coherence) / worth), _WHOLE_BINS_DB)
        found.append((band, gain_db, sigma_db, coherence))
    middle = [row for row in found if _NORMAL_HZ[0] <= row[0].nominal_hz <= _NORMAL_HZ[1]]
    mean_db = float(np.mean([gain_db for _, gain_db, _, _ in middle])) if middle else 0.0
    mean_sigma_db = math.sqrt(sum(sigma_db**2 for _, _, sigma_db, _ in middle)) / max(len(middle), 1)
    bands = tuple(
        BandResponse(band, gain_db - mean_db, math.hypot(sigma_db, mean_sigma_db), coherence, _limit(limits, band))
        for band, gain_db, sigma_db, coherence in found
    )
    return Response(bands, mean_db, start_samples / sample_rate_hz, 1e6 * skew, segments)


def _delay_line(reference: Floats, tested: Floats, sample_rate_hz: int) -> tuple[float, float] | NoResponse:
    """Return by how many samples the tested recording is late at its start, and how that grows a sample."""
    from scipy.signal import fftconvolve
    from scipy.stats import theilslopes

    # The middle of the tested recording is looked for in the reference.
    span = min(round(4.0 * sample_rate_hz), len(tested) // 2)
    begin = (len(tested) - span) // 2
    piece = tested[begin : begin + span]
    reach = round(_COARSE_S * sample_rate_hz)
    low = max(0, begin - reach)
    looked = reference[low : begin + span + reach]
    if len(looked) < span:
        return NoResponse(NoResponseReason.UNALIKE, "they do not overlap in the middle of the recording under test")
    likeness = np.abs(fftconvolve(_whitened(looked), _whitened(piece)[::-1], mode="valid"))
    peak = int(np.argmax(likeness))
    if likeness[peak] < 6.0 * math.sqrt(float(np.mean(likeness**2))):
        return NoResponse(
            NoResponseReason.UNALIKE,
            "nothing in the reference is like the middle of the recording under test, within 20 s",
        )
    coarse = begin - (low + peak)
    chunk = round(_CHUNK_S * sample_rate_hz)
    search = round(_SEARCH_S * sample_rate_hz)
    middles, delays = [], []
    for first in range(0, len(tested) - chunk + 1, chunk):
        other = first - coarse
        if other < 0 or other + chunk > len(reference):
            continue
        delay = _chunk_delay(reference[other : other + chunk], tested[first : first + chunk], search)
        middles.append(first + chunk / 2.0)
        delays.append(coarse + delay)
    if len(middles) < 3:
        return NoResponse(NoResponseReason.SHORT, f"they overlap by {len(middles)} s, expected {_LEAST_S:g} s")
    slope, offset, _, _ = theilslopes(delays, middles)
    if abs(float(slope)) > _MOST_SKEW:
        return NoResponse(
            NoResponseReason.UNALIKE,
            f"the delay between them grows by {1e6 * float(slope):.0f} ppm; are rates right?",
        )
    return float(offset), float(slope)


def _chunk_delay(reference: Floats, tested: Floats, search: int) -> float:
    """Return the delay within plus and minus ``search`` samples, to a part of one.

    Whole samples by the whitened correlation, the rest by the slope of the phase of what is left. The ends are faded
    out: two cuts are alike, wherever the sounds are.
    """
    size = 2 * len(tested)
    window = np.hanning(len(tested))
    cross = np.fft.rfft(window * tested, size) * np.conj(np.fft.rfft(window * reference, size))
    strength = np.abs(cross)
    likeness = np.fft.irfft(cross / np.maximum(strength, 1e-12 * float(strength.max() or 1.0)), size)
    near = np.concatenate([likeness[-search:], likeness[: search + 1]])
    whole = int(np.argmax(near)) - search
    omega = 2.0 * np.pi * np.arange(len(cross)) / size
    weight = np.sqrt(strength)
    phase = np.angle(cross * np.exp(1j * omega * whole))
    # Phases of no more than half a sample; those of noise, which are anywhere, count half as much and cancel.
    for _ in range(3):
        scale = float(np.sum(weight * omega**2))
        part = -float(np.sum(weight * omega * phase)) / scale if scale else 0.0
        phase = np.angle(np.exp(1j * (phase + omega * part))) - omega * part
    return whole + part


def _spectra(
    reference: Floats, tested: Floats, sample_rate_hz: int, start: float, skew: float
) -> tuple[Complexes, Floats, Floats, float]:
    """Return cross spectrum, power of the reference and of the tested, and how many independent segments there are."""
    size = 1 << max(8, round(math.log2(_SEGMENT_S * sample_rate_hz)))
    window = np.hanning(size)
    omega = 2.0 * np.pi * np.arange(size // 2 + 1) / size
    cross = np.zeros(size // 2 + 1, dtype=np.complex128)
    power, own = np.zeros(size // 2 + 1), np.zeros(size // 2 + 1)
    count = 0
    for first in range(0, len(tested) - size + 1, size // 2):
        delay = start + skew * (first + size / 2.0)
        whole = round(delay)
        other = first - whole
        if other < 0 or other + size > len(reference):
            continue
        left = np.fft.rfft(window * reference[other : other + size])
        right = np.fft.rfft(window * tested[first : first + size]) * np.exp(1j * omega * (delay - whole))
        cross += np.conj(left) * right
        power += np.abs(left) ** 2
        own += np.abs(right) ** 2
        count += 1
    # Half-overlapping Hann segments are worth 1 / (1 + 2/36) of their number [Welch1967].
    return cross / max(count, 1), power / max(count, 1), own / max(count, 1), count / (1.0 + 2.0 / 36.0)


def _whitened(sound: Floats) -> Floats:
    spectrum = np.fft.rfft(sound - sound.mean())
    floor = 1e-3 * float(np.sqrt(np.mean(np.abs(spectrum) ** 2))) + 1e-30
    result: Floats = np.fft.irfft(spectrum / (np.abs(spectrum) + floor), len(sound))
    return result


def _limit(limits: Sequence[Limit], band: Band) -> Limit | None:
    return next((limit for limit in limits if limit.lower_hz <= band.nominal_hz <= limit.upper_hz), None)


def _interpolated(table: Sequence[tuple[float, float]], frequency_hz: float) -> float:
    if not table:
        return 0.0
    frequencies_hz, levels_db = zip(*sorted(table), strict=True)
    return float(np.interp(math.log(frequency_hz), np.log(frequencies_hz), levels_db))
