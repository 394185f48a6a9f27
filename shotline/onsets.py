"""When did it start: an envelope step detector, refined below one sample.

The detector compares the energy of the band-passed sound just after an instant with that before it and takes the local
maxima of that ratio, in the spirit of TN 098 (window of about 50 ms); each is then refined on the waveform itself.

Everything is computed on a grid of hops anchored at the first sample of a segment, in batches of a fixed number of
hops, so the answer does not depend on how the sound was cut into blocks, to the last bit.

References
----------
[TN098] Calhoun et al., "Precision and accuracy of acoustic gunshot location in an urban environment", 2020: the step
detector and its window. [Maeda1985] N. Maeda, "A method for reading and checking phase times in auto-processing system
of seismic wave data", Zisin 38 (1985) 365-379: the AIC of a trace split in two. See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["Onset", "OnsetDetector", "OnsetSettings"]

_BATCH_HOPS = 32
_UPSAMPLING = 8
_SINC_HALF_WIDTH = 12
_FOURTH_ORDER_DAMPING = (2.0 * math.cos(math.pi / 8.0), 2.0 * math.cos(3.0 * math.pi / 8.0))
_IMPULSE_RESPONSE_S = 0.025
_QUIETEST_RMS = 1e-5  # -100 dBFS: the rounding noise of 16-bit sound
_DEAD_POWER = 1e-15  # -150 dBFS: no microphone is so quiet; padding, a dropout, or a sound made without noise
_LEAST_LIVE_HOPS = 8
_SEED_QUANTILE = 0.1
_LEVEL_CHANGE_SHARE = 0.3
_NOISE_FALL_DB_PER_S = 60.0
_NOISE_RISE_DB_PER_S = 6.0
_NOISE_SHARE = 0.3  # of the noise power, added to both sides of the ratio so that a quiet moment invents no step
_FIRST_PEAK_SHARE = 0.3
_CROSSING_SHARE = 0.5
_LOWEST_RATE_HZ = 4_000
_HIGHEST_RATE_HZ = 200_000


@dataclass(frozen=True, slots=True, kw_only=True)
class OnsetSettings:
    """What counts as an onset.

    Parameters
    ----------
    high_pass_hz, low_pass_hz : float
        Band that is listened to; wind is below it. The upper edge is lowered to 0.4 of the sample rate.
    before_s, after_s : float
        Windows of the energy ratio.
    threshold_db : float
        Least ratio of energy after to energy before.
    separation_s : float
        Least time between onsets: less than the 63 ms of automatic fire at 950 rounds/min.
    stronger_db : float
        An onset inside the separation is kept when it is this much stronger than the one before it: a weak direct
        sound must not hide a strong echo. Less than about 18 ms apart the two are one onset.
    frame_before_s, frame_after_s : float
        Sound kept around each onset for features and classifier. ``frame_after_s`` bounds the delay of the answer.
    """

    high_pass_hz: float = 250.0
    low_pass_hz: float = 4_000.0
    before_s: float = 0.050
    after_s: float = 0.010
    threshold_db: float = 5.0
    separation_s: float = 0.030
    stronger_db: float = 6.0
    frame_before_s: float = 0.050
    frame_after_s: float = 0.150


@dataclass(frozen=True, slots=True, eq=False)
class Onset:
    """The start of an impulse, with the sound it was found in.

    Parameters
    ----------
    sample : float
        Where it starts, in samples since the source was opened.
    step_db : float
        Energy after over energy before.
    noise_rms : float
        Noise floor of the band-passed sound at that time, full scale = 1.
    frame_start : int
        Sample index of the first value of both frames.
    raw, band : ndarray, shape (n_frame,), float64
        The sound as given, and band-passed. Shorter than asked where the segment begins or ends.
    """

    sample: float
    step_db: float
    noise_rms: float
    frame_start: int
    raw: NDArray[np.float64]
    band: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Pending:
    sample: float
    step_db: float
    noise_rms: float
    energy_after: float
    after_silence: bool


class OnsetDetector:
    """Finds onsets in one segment of sound after another.

    Parameters
    ----------
    sample_rate_hz : int
        4 to 200 kHz.
    settings : OnsetSettings
    """

    def __init__(self, sample_rate_hz: int, settings: OnsetSettings) -> None:
        if not _LOWEST_RATE_HZ <= sample_rate_hz <= _HIGHEST_RATE_HZ:
            raise InputError(
                f"sample rate {sample_rate_hz} Hz, expected {_LOWEST_RATE_HZ} to {_HIGHEST_RATE_HZ}",
                field="sample_rate_hz",
            )
        self.settings = settings
        self._hop = round(sample_rate_hz * 0.001)
        self._rate = sample_rate_hz
        self._batch = self._hop * _BATCH_HOPS
        hop_s = self._hop / sample_rate_hz
        self._before_hops = max(1, round(settings.before_s / hop_s))
        self._after_hops = max(1, round(settings.after_s / hop_s))
        self._near_hops = max(1, round(0.008 / hop_s))
        self._separation_hops = max(1, round(settings.separation_s / hop_s))
        self._frame_before = round(settings.frame_before_s * sample_rate_hz)
        self._frame_after = round(settings.frame_after_s * sample_rate_hz)
        self._pick_before = round(0.020 * sample_rate_hz)
        self._pick_after = round(0.010 * sample_rate_hz)
        self._least_apart = 0.005 * sample_rate_hz
        response = _impulse_response(sample_rate_hz, settings)
        self._memory = len(response) - 1
        self._fft_size = _next_fast_size(self._memory + self._batch)
        self._transfer = np.fft.rfft(response, self._fft_size)
        margin_s = settings.before_s + settings.after_s + 0.1
        self._keep = self._frame_before + self._frame_after + round(margin_s * sample_rate_hz) + self._batch
        self._keep_hops = self._before_hops + self._after_hops + 2 * self._near_hops + _BATCH_HOPS
        self._noise_db: float | None = None
        self.start(0)

    @property
    def noise_rms(self) -> float | None:
        """Noise floor of the band-passed sound, full scale = 1; None before there was any sound."""
        return None if self._noise_db is None else math.sqrt(self._noise_power())

    def _noise_power(self) -> float:
        return _QUIETEST_RMS**2 if self._noise_db is None else float(10.0 ** (self._noise_db / 10.0))

    def start(self, first_sample: int) -> None:
        """Begin a segment: filters, windows and grid start anew at this sample; the noise floor is kept."""
        self._segment_start = first_sample
        self._queue: list[NDArray[np.float64]] = []
        self._queued = 0
        self._raw = np.zeros(0)
        self._band = np.zeros(0)
        self._history: NDArray[np.float64] | None = None
        self._energy = np.zeros(0)
        self._hops = 0
        self._next_hop = self._before_hops
        self._last_hop: int | None = None
        self._last_energy = 0.0
        self._last_sample = -math.inf
        self._pending: list[_Pending] = []

    def push(self, samples: NDArray[np.float32]) -> list[Onset]:
        """Take the next samples of the segment; return the onsets whose frames are complete, in time order.

        Parameters
        ----------
        samples : ndarray, shape (n_samples,), float32
            Finite values; any number of them.
        """
        if len(samples):
            self._queue.append(samples.astype(np.float64))
            self._queued += len(samples)
        if self._queued < self._batch:
            return []
        waiting = np.concatenate(self._queue)
        full = len(waiting) - len(waiting) % self._batch
        found: list[Onset] = []
        for first in range(0, full, self._batch):
            self._advance(waiting[first : first + self._batch].copy(), last=False)
            found += self._complete(last=False)
        self._queue = [waiting[full:].copy()]
        self._queued = len(waiting) - full
        return found

    def finish(self) -> list[Onset]:
        """End the segment; return what is left, with frames as long as the sound allows.

        Less than one hop (1 ms) at the end is not looked at. Call `start` before the next `push`.
        """
        waiting = np.concatenate(self._queue) if self._queue else np.zeros(0)
        self._queue, self._queued = [], 0
        self._advance(waiting[: len(waiting) - len(waiting) % self._hop], last=True)
        return self._complete(last=True)

    def _advance(self, raw: NDArray[np.float64], *, last: bool) -> None:
        if len(raw):
            band = self._filter(raw)
            self._raw = np.concatenate((self._raw[-self._keep :], raw))
            self._band = np.concatenate((self._band[-self._keep :], band))
            energy = np.square(band).reshape(-1, self._hop).mean(axis=1)
            self._energy = np.concatenate((self._energy[-self._keep_hops :], energy))
            self._hops += len(energy)
            self._follow_noise(energy)
        self._decide(last=last)

    def _filter(self, raw: NDArray[np.float64]) -> NDArray[np.float64]:
        """Band-pass by overlap-save; before the segment the sound is taken to have been constant."""
        if self._history is None:
            self._history = np.full(self._memory, raw[0])
        buffer = np.concatenate((self._history, raw))
        self._history = buffer[len(raw) :].copy()
        spectrum = np.fft.rfft(buffer, self._fft_size) * self._transfer
        result: NDArray[np.float64] = np.fft.irfft(spectrum, self._fft_size)[self._memory : self._memory + len(raw)]
        return result

    def _follow_noise(self, energy: NDArray[np.float64]) -> None:
        """Follow the median power of the hops that hold sound at all: down fast, up slowly; a low quantile to begin."""
        live = energy[energy > _DEAD_POWER]
        if len(live) < _LEAST_LIVE_HOPS:
            return
        if self._noise_db is None:
            self._noise_db = 10.0 * math.log10(float(np.quantile(live, _SEED_QUANTILE)) + _QUIETEST_RMS**2)
            return
        level_db = 10.0 * math.log10(float(np.median(live)) + _QUIETEST_RMS**2)
        span_s = len(live) * self._hop / self._rate
        change_db = level_db - self._noise_db
        self._noise_db += min(max(change_db, -_NOISE_FALL_DB_PER_S * span_s), _NOISE_RISE_DB_PER_S * span_s)

    def _decide(self, *, last: bool) -> None:
        """Look for local maxima of the energy ratio at every hop that has its neighbours."""
        stop = self._hops - self._after_hops + 1  # first hop whose after-window is incomplete
        decidable = stop if last else stop - self._near_hops
        if decidable <= self._next_hop:
            return
        first = max(self._next_hop - self._near_hops, self._before_hops)
        hops = np.arange(first, stop)
        offset = self._hops - len(self._energy)
        energy_after = _means(self._energy, self._after_hops)[hops - offset]
        energy_before = _means(self._energy, self._before_hops)[hops - offset - self._before_hops]
        dead = _means((self._energy <= _DEAD_POWER).astype(np.float64), self._before_hops) > 0.0
        after_silence = dead[hops - offset - self._before_hops]
        floor = _NOISE_SHARE * self._noise_power() + _QUIETEST_RMS**2
        ratio_db = 10.0 * np.log10((energy_after + floor) / (energy_before + floor))
        padded = np.pad(ratio_db, self._near_hops, constant_values=-np.inf)
        highest = sliding_window_view(padded, self._near_hops)
        rises = ratio_db > highest[: len(hops)].max(axis=1)
        holds = ratio_db >= highest[self._near_hops + 1 :].max(axis=1)
        wanted = rises & holds & (ratio_db > self.settings.threshold_db) & (hops >= self._next_hop) & (hops < decidable)
        for index in np.flatnonzero(wanted):
            self._consider(
                int(hops[index]),
                float(ratio_db[index]),
                float(energy_after[index]),
                after_silence=bool(after_silence[index]),
            )
        self._next_hop = decidable

    def _consider(self, hop: int, step_db: float, energy_after: float, *, after_silence: bool) -> None:
        """Apply the refractory rule to a candidate, and refine it."""
        close = self._last_hop is not None and hop - self._last_hop < self._separation_hops
        if close and energy_after < self._last_energy * 10.0 ** (self.settings.stronger_db / 10.0):
            return
        sample = self._refine(self._segment_start + hop * self._hop)
        if sample - self._last_sample < self._least_apart:
            return
        self._last_hop, self._last_energy, self._last_sample = hop, energy_after, sample
        self._pending.append(_Pending(sample, step_db, math.sqrt(self._noise_power()), energy_after, after_silence))

    def _refine(self, rough_sample: int) -> float:
        """Return the onset near a hop: AIC of the split trace, then the rising edge of the first peak after it."""
        band_start = self._segment_start + self._hops * self._hop - len(self._band)
        first = max(rough_sample - self._pick_before - band_start, 0)
        stop = min(rough_sample + self._pick_after - band_start, len(self._band))
        pick = first + _split_index(self._band[first:stop])
        return band_start + _rising_edge(self._band, pick, self._rate)

    def _complete(self, *, last: bool) -> list[Onset]:
        end = self._segment_start + self._hops * self._hop
        done: list[Onset] = []
        while self._pending and (last or math.floor(self._pending[0].sample) + self._frame_after <= end):
            item = self._pending.pop(0)
            whole = math.floor(item.sample)
            start = end - len(self._raw)
            first = max(whole - self._frame_before - start, 0)
            stop = min(whole + self._frame_after - start, len(self._raw))
            if item.after_silence and _stays_loud(self._band[first:stop], item.energy_after):
                continue
            done.append(
                Onset(
                    sample=item.sample,
                    step_db=item.step_db,
                    noise_rms=item.noise_rms,
                    frame_start=start + first,
                    raw=self._raw[first:stop].copy(),
                    band=self._band[first:stop].copy(),
                )
            )
        return done


def _stays_loud(frame: NDArray[np.float64], energy_after: float) -> bool:
    """Tell whether a step out of digital silence is sound that was switched on, not an impulse."""
    late = frame[-round(len(frame) / 4) :]
    return float(np.square(late).mean()) > _LEVEL_CHANGE_SHARE * energy_after


def _means(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    result: NDArray[np.float64] = sliding_window_view(values, width).mean(axis=1)
    return result


def _impulse_response(sample_rate_hz: int, settings: OnsetSettings) -> NDArray[np.float64]:
    """Return a minimum-phase band-pass, so that nothing precedes the onset.

    A Butterworth high-pass of fourth order and low-pass of second order in cascade, by the bilinear transform; cut
    where it has long died away, and made to stop DC exactly.
    """
    low_pass_hz = min(settings.low_pass_hz, 0.4 * sample_rate_hz)
    if not 0.0 < settings.high_pass_hz < low_pass_hz:
        raise InputError(
            f"high pass {settings.high_pass_hz:g} Hz, expected more than 0 and less than the low pass "
            f"{low_pass_hz:g} Hz (at {sample_rate_hz} Hz)",
            field="high_pass_hz",
        )
    length = round(max(_IMPULSE_RESPONSE_S, 6.0 / settings.high_pass_hz) * sample_rate_hz)
    impulse = np.zeros(length)
    impulse[0] = 1.0
    passed = impulse
    for damping in _FOURTH_ORDER_DAMPING:
        passed = _section(passed, settings.high_pass_hz / sample_rate_hz, damping, high=True)
    passed = _section(passed, low_pass_hz / sample_rate_hz, math.sqrt(2.0), high=False)
    result: NDArray[np.float64] = passed - passed.mean()
    return result


def _section(
    signal: NDArray[np.float64], relative_frequency: float, damping: float, *, high: bool
) -> NDArray[np.float64]:
    """Run a signal through one second-order section; ``damping`` is 1 / Q."""
    tangent = math.tan(math.pi * relative_frequency)
    scale = 1.0 / (1.0 + damping * tangent + tangent**2)
    gain = scale if high else scale * tangent**2
    middle = -2.0 if high else 2.0
    back_1 = 2.0 * (tangent**2 - 1.0) * scale
    back_2 = (1.0 - damping * tangent + tangent**2) * scale
    result = np.zeros(len(signal))
    in_1 = in_2 = out_1 = out_2 = 0.0
    for index, value in enumerate(signal.tolist()):
        out = gain * (value + middle * in_1 + in_2) - back_1 * out_1 - back_2 * out_2
        in_2, in_1, out_2, out_1 = in_1, value, out_1, out
        result[index] = out
    return result


def _next_fast_size(least: int) -> int:
    return min(size for size in _fast_sizes(2 * least) if size >= least)


def _fast_sizes(most: int) -> Iterator[int]:
    power = 1
    while power <= most:
        yield from (power * factor for factor in (1, 3, 5, 9, 15) if power * factor <= most)
        power *= 2


def _split_index(trace: NDArray[np.float64]) -> int:
    """Return the index that best splits a trace into noise and signal: least AIC [Maeda1985 eq. 1].

    AIC(k) = k log(var of the first k) + (n - k) log(var of the rest); means are 0 after the band-pass.
    """
    count = len(trace)
    edge = min(4, count // 4)
    if count < 3:
        return 0
    total = np.cumsum(np.square(trace))
    splits = np.arange(max(edge, 1), count - max(edge, 1))
    noise = total[splits - 1] / splits
    signal = (total[-1] - total[splits - 1]) / (count - splits)
    tiny = 1e-6 * _QUIETEST_RMS**2
    criterion = splits * np.log(noise + tiny) + (count - splits) * np.log(np.maximum(signal, 0.0) + tiny)
    return int(splits[np.argmin(criterion)])


def _rising_edge(band: NDArray[np.float64], pick: int, sample_rate_hz: int) -> float:
    """Return where the first peak at or after a picked sample reaches half its height, in samples.

    The peak is the first that has at least 30 % of the highest one within 3 ms; the wave is interpolated eightfold by a
    windowed sinc, so the answer moves with the sound by fractions of a sample.
    """
    reach = max(8, round(0.003 * sample_rate_hz))
    first = max(pick - 8, 0)
    stop = min(pick + reach, len(band))
    fine = np.abs(_interpolate(band, first, stop))
    inside = fine[1:-1]
    is_peak = (inside >= fine[:-2]) & (inside > fine[2:])
    start = (pick - first - 1) * _UPSAMPLING
    peaks = np.flatnonzero(is_peak) + 1
    peaks = peaks[(peaks >= start) & (fine[peaks] >= _FIRST_PEAK_SHARE * fine[max(start, 0) :].max())]
    if not len(peaks):
        return float(pick)
    peak = int(peaks[0])
    level = _CROSSING_SHARE * fine[peak]
    below = np.flatnonzero(fine[:peak] < level)
    if not len(below):
        return float(pick)
    left = int(below[-1])
    step = (level - fine[left]) / (fine[left + 1] - fine[left])
    return first + float(left + step) / _UPSAMPLING


def _interpolate(band: NDArray[np.float64], first: int, stop: int) -> NDArray[np.float64]:
    """Return the wave at eighths of a sample from ``first`` to ``stop``; outside the buffer it is 0."""
    half = _SINC_HALF_WIDTH
    padded = np.zeros(stop - first + 2 * half)
    low, high = max(first - half, 0), min(stop + half, len(band))
    padded[low - first + half : high - first + half] = band[low:high]
    windows = sliding_window_view(padded, 2 * half)[1:]  # row i: samples i - half + 1 to i + half
    fine = np.stack([(windows * taps).sum(axis=1) for taps in _SINC_TAPS], axis=1)
    return fine.reshape(-1)


def _sinc_taps() -> NDArray[np.float64]:
    shifts = np.arange(_UPSAMPLING)[:, np.newaxis] / _UPSAMPLING
    offsets = np.arange(-_SINC_HALF_WIDTH + 1, _SINC_HALF_WIDTH + 1)[np.newaxis, :] - shifts
    window = np.square(np.cos(0.5 * math.pi * offsets / (_SINC_HALF_WIDTH + 1)))
    result: NDArray[np.float64] = np.sinc(offsets) * window
    return result


_SINC_TAPS = _sinc_taps()
