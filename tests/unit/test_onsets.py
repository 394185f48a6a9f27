"""The onset detector: where it fires, where it must not, and how finely it dates what it hears."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from shotline import onsets
from shotline.errors import InputError
from shotline.onsets import Onset, OnsetDetector, OnsetSettings

RATES_HZ = (8_000, 11_025, 12_000, 16_000, 44_100, 48_000, 96_000)
NOISE_RMS = 1e-3


def blast(
    rate_hz: int, at_sample: float, seconds: float, *, peak: float = 0.5, decay_s: float = 0.004
) -> NDArray[np.float64]:
    """A smooth pulse: 600 Hz, rising as t² exp(-t/decay), exact at any fraction of a sample."""
    t = (np.arange(round(seconds * rate_hz)) - at_sample) / rate_hz
    late = np.maximum(t, 0.0)
    wave = (late / decay_s) ** 2 * np.exp(2.0 - 2.0 * late / decay_s) * np.cos(2 * np.pi * 600.0 * late)
    return peak * wave


def click(
    rate_hz: int, at_s: float, seconds: float, *, peak: float = 0.5, tail_s: float = 0.0, seed: int = 5
) -> NDArray[np.float64]:
    """An abrupt pulse of 2 ms, with a reverberant tail of decaying noise when ``tail_s`` (1/e) is given."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz - at_s
    late = np.maximum(t, 0.0)
    wave = np.where(t >= 0, np.exp(-late / 0.002) * np.cos(2 * np.pi * 700.0 * late), 0.0)
    if tail_s:
        rng = np.random.default_rng(seed)
        wave += np.where(t >= 0, 0.2 * np.exp(-late / tail_s) * rng.standard_normal(len(t)), 0.0)
    return peak * wave


def noise(rate_hz: int, seconds: float, *, rms: float = NOISE_RMS, seed: int = 1) -> NDArray[np.float64]:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))


def hear(
    sound: NDArray[np.float64], rate_hz: int, *, first_sample: int = 0, changed: OnsetSettings | None = None
) -> list[Onset]:
    detector = OnsetDetector(rate_hz, changed or OnsetSettings())
    detector.start(first_sample)
    return detector.push(sound.astype(np.float32)) + detector.finish()


def times_s(found: list[Onset], rate_hz: int) -> list[float]:
    return [onset.sample / rate_hz for onset in found]


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_one_blast_in_noise_is_one_onset_at_every_rate(rate_hz: int) -> None:
    found = hear(click(rate_hz, 0.5, 1.0) + noise(rate_hz, 1.0), rate_hz)
    # The step passes the band-pass within half a period of its upper edge (4 kHz) or half a sample (8 kHz).
    assert times_s(found, rate_hz) == [pytest.approx(0.5, abs=0.00008)]
    assert found[0].step_db > 20.0
    # White noise keeps the share of its band; the median of a hop's energy and its seed are a little low.
    band_rms = NOISE_RMS * math.sqrt((min(4_000.0, 0.4 * rate_hz) - 250.0) / (rate_hz / 2))
    assert found[0].noise_rms == pytest.approx(band_rms, rel=0.35)


@pytest.mark.parametrize("rate_hz", [12_000, 48_000])
def test_onset_moves_with_the_sound_by_fractions_of_a_sample(rate_hz: int) -> None:
    late = [
        hear(blast(rate_hz, rate_hz // 2 + fraction, 1.0), rate_hz)[0].sample - rate_hz // 2 - fraction
        for fraction in np.linspace(0.0, 1.0, 11)
    ]
    # Noise-free: what is left is float32 rounding and the linear step between eighths of a sample.
    assert np.ptp(late) < 0.02


def test_picking_scatter_in_noise_is_below_one_sample() -> None:
    rate_hz = 12_000
    late = [
        hear(blast(rate_hz, 6_000 + seed / 7.0, 1.0) + noise(rate_hz, 1.0, seed=seed), rate_hz)[0].sample - seed / 7.0
        for seed in range(30)
    ]
    # 54 dB peak over noise and a slope of about 0.1 of the peak per sample give 0.03 samples by arithmetic.
    assert np.std(late) < 0.15


def test_automatic_fire_at_950_rounds_per_minute_is_separated() -> None:
    rate_hz, cadence_s = 12_000, 60.0 / 950.0
    shots_s = [0.5 + index * cadence_s for index in range(10)]
    sound = noise(rate_hz, 2.0)
    for index, shot_s in enumerate(shots_s):
        sound += click(rate_hz, shot_s, 2.0, tail_s=0.03, seed=index)
    found = times_s(hear(sound, rate_hz), rate_hz)
    assert [min(found, key=lambda t: abs(t - shot_s)) for shot_s in shots_s] == pytest.approx(shots_s, abs=0.001)
    assert len(found) == 10


@pytest.mark.parametrize("seed", range(5))
def test_reverberant_tail_is_not_a_row_of_onsets(seed: int) -> None:
    rate_hz = 12_000
    found = hear(click(rate_hz, 0.5, 2.0, tail_s=0.15, seed=seed) + noise(rate_hz, 2.0, seed=seed), rate_hz)
    assert len(found) == 1


@pytest.mark.parametrize("delay_s", [0.019, 0.024, 0.028])
def test_strong_echo_within_the_separation_is_reported_beside_the_weak_direct_sound(delay_s: float) -> None:
    rate_hz = 12_000
    sound = click(rate_hz, 0.5, 1.0, peak=0.02) + click(rate_hz, 0.5 + delay_s, 1.0, peak=0.5) + noise(rate_hz, 1.0)
    assert times_s(hear(sound, rate_hz), rate_hz) == pytest.approx([0.5, 0.5 + delay_s], abs=0.001)


def test_weaker_echo_within_the_separation_is_not_an_onset() -> None:
    rate_hz = 12_000
    sound = click(rate_hz, 0.5, 1.0) + click(rate_hz, 0.52, 1.0, peak=0.4) + noise(rate_hz, 1.0)
    assert times_s(hear(sound, rate_hz), rate_hz) == pytest.approx([0.5], abs=0.001)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("level", [0.0, 0.3, -1.0])
def test_silence_and_direct_current_have_no_onset(rate_hz: int, level: float) -> None:
    assert hear(np.full(rate_hz, level), rate_hz) == []


@pytest.mark.parametrize("seed", range(5))
def test_steady_noise_has_no_onset(seed: int) -> None:
    assert hear(noise(12_000, 5.0, seed=seed, rms=0.05), 12_000) == []


def test_wind_rumble_has_no_onset_and_hides_no_shot() -> None:
    rate_hz = 12_000
    rumble = signal.sosfilt(signal.butter(4, 40, fs=rate_hz, output="sos"), noise(rate_hz, 5.0, rms=3.0))
    assert np.std(rumble) > 0.1
    assert hear(rumble + noise(rate_hz, 5.0), rate_hz) == []
    found = hear(rumble + noise(rate_hz, 5.0) + click(rate_hz, 2.0, 5.0, peak=0.1), rate_hz)
    assert times_s(found, rate_hz) == pytest.approx([2.0], abs=0.001)


def test_direct_current_under_a_shot_changes_nothing() -> None:
    rate_hz = 12_000
    sound = click(rate_hz, 0.5, 1.0, peak=0.3) + noise(rate_hz, 1.0)
    plain, offset = hear(sound, rate_hz), hear(sound + 0.25, rate_hz)
    # float32 keeps 24 bits: adding 0.25 rounds each sample by up to 1.5e-8, far below a thousandth of a sample.
    assert [onset.sample for onset in offset] == pytest.approx([onset.sample for onset in plain], abs=1e-3)


def test_clipping_does_not_move_the_onset() -> None:
    rate_hz = 12_000
    sound = click(rate_hz, 0.5, 1.0, peak=4.0) + noise(rate_hz, 1.0)
    assert times_s(hear(np.clip(sound, -1.0, 1.0), rate_hz), rate_hz) == pytest.approx([0.5], abs=0.00008)


@pytest.mark.parametrize("level", [1e-4, 1e-2, 0.3])
def test_sound_switched_on_after_digital_silence_is_not_an_onset(level: float) -> None:
    sound = noise(12_000, 3.0, rms=level)
    sound[:12_345] = 0.0
    assert hear(sound, 12_000) == []


def test_dropout_is_not_an_onset() -> None:
    sound = noise(12_000, 3.0)
    sound[15_000:18_000] = 0.0
    assert hear(sound, 12_000) == []


def test_shot_without_any_noise_is_heard() -> None:
    found = hear(click(12_000, 0.5, 1.0), 12_000)
    assert times_s(found, 12_000) == pytest.approx([0.5], abs=0.00008)


@pytest.mark.parametrize("cut", [0, 1, 137, 4_000])
def test_segment_edges_invent_nothing(cut: int) -> None:
    t = np.arange(24_000 + cut) / 12_000
    loud = 0.5 * np.sin(2 * np.pi * 440.0 * t)[cut:] + 0.2
    assert hear(loud, 12_000, first_sample=cut) == []


def test_new_segment_forgets_the_sound_before_it_and_keeps_the_noise_floor() -> None:
    detector = OnsetDetector(12_000, OnsetSettings())
    detector.start(0)
    detector.push(noise(12_000, 1.0).astype(np.float32))
    assert detector.finish() == []
    floor = detector.noise_rms
    detector.start(50_000)
    assert detector.noise_rms == floor
    shot = click(12_000, 0.5, 1.0) + noise(12_000, 1.0, seed=2)
    found = detector.push(shot.astype(np.float32)) + detector.finish()
    assert [onset.sample for onset in found] == pytest.approx([50_000 + 6_000], abs=1)
    assert detector.noise_rms == pytest.approx(NOISE_RMS, rel=0.5)


def test_onset_comes_within_a_quarter_of_a_second_of_sound() -> None:
    rate_hz = 12_000
    sound = (click(rate_hz, 0.5, 1.0) + noise(rate_hz, 1.0)).astype(np.float32)
    detector = OnsetDetector(rate_hz, OnsetSettings())
    detector.start(0)
    ready = [end for end in range(60, len(sound) + 1, 60) if detector.push(sound[end - 60 : end])]
    assert len(ready) == 1
    # 150 ms of frame, one batch of 32 ms, one block of 5 ms.
    assert 0.650 <= ready[0] / rate_hz <= 0.500 + 0.150 + 0.032 + 0.005


def test_frame_holds_the_sound_around_the_onset() -> None:
    rate_hz = 12_000
    sound = click(rate_hz, 0.5, 1.0) + noise(rate_hz, 1.0)
    (onset,) = hear(sound, rate_hz, first_sample=1_000)
    whole = int(onset.sample)
    assert onset.frame_start == whole - 600
    assert len(onset.raw) == len(onset.band) == 600 + 1_800
    kept = sound.astype(np.float32)[onset.frame_start - 1_000 :][:2_400]
    assert np.array_equal(onset.raw, kept.astype(np.float64))


def test_frame_is_short_where_the_sound_ends() -> None:
    rate_hz = 12_000
    sound = (click(rate_hz, 0.5, 1.0) + noise(rate_hz, 1.0))[:6_600]
    (onset,) = hear(sound, rate_hz)
    assert onset.frame_start + len(onset.raw) == 6_600
    assert len(onset.band) == len(onset.raw)


def _same(left: list[Onset], right: list[Onset]) -> bool:
    return len(left) == len(right) and all(
        (a.sample, a.step_db, a.noise_rms, a.frame_start) == (b.sample, b.step_db, b.noise_rms, b.frame_start)
        and a.raw.tobytes() == b.raw.tobytes()
        and a.band.tobytes() == b.band.tobytes()
        for a, b in zip(left, right, strict=True)
    )


_SCENE = sum(
    (click(12_000, at_s, 3.0, tail_s=0.05, seed=seed) for seed, at_s in enumerate((0.4, 0.463, 1.3, 2.2, 2.97))),
    noise(12_000, 3.0),
).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, len(_SCENE)), max_size=40), small=st.integers(1, 900))
def test_cutting_the_sound_changes_not_one_bit(cuts: list[int], small: int) -> None:
    whole = OnsetDetector(12_000, OnsetSettings())
    whole.start(0)
    expected = whole.push(_SCENE) + whole.finish()
    edges = sorted({0, len(_SCENE), *cuts, *range(6_000, 12_000, small)})
    pieces = OnsetDetector(12_000, OnsetSettings())
    pieces.start(0)
    found = [onset for a, b in pairwise(edges) for onset in pieces.push(_SCENE[a:b])]
    assert _same(found + pieces.finish(), expected)
    assert len(expected) >= 5


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_filter_agrees_with_its_slow_twin(rate_hz: int) -> None:
    taps = onsets._impulse_response(rate_hz, OnsetSettings())
    low_pass_hz = min(4_000.0, 0.4 * rate_hz)
    impulse = np.zeros(len(taps))
    impulse[0] = 1.0
    for order, kind, edge_hz in ((4, "highpass", 250.0), (2, "lowpass", low_pass_hz)):
        impulse = signal.sosfilt(signal.butter(order, edge_hz, kind, fs=rate_hz, output="sos"), impulse)
    # The twin is not made to stop DC exactly: what is left after 25 ms is below 1e-6 in sum, spread over the taps.
    assert np.abs(taps - impulse).max() < 1e-8
    assert abs(taps.sum()) < 1e-14


def test_overlap_save_agrees_with_plain_convolution() -> None:
    sound = noise(12_000, 0.5, rms=0.1)
    detector = OnsetDetector(12_000, OnsetSettings())
    detector.start(0)
    detector.push(sound.astype(np.float32))
    taps = onsets._impulse_response(12_000, OnsetSettings())
    exact = sound.astype(np.float32).astype(np.float64)
    before = np.concatenate((np.full(len(taps) - 1, exact[0]), exact))
    done = 12 * 32 * (len(sound) // (12 * 32))
    expected = np.convolve(before, taps, mode="valid")[:done][-len(detector._band) :]
    # Double precision transforms of 1,024 values of order 0.1.
    assert np.abs(detector._band - expected).max() < 1e-14


def test_split_index_agrees_with_its_slow_twin() -> None:
    trace = np.concatenate((noise(1_000, 0.1), noise(1_000, 0.1, rms=0.1)))
    tiny = 1e-6 * onsets._QUIETEST_RMS**2
    slow = min(
        range(4, len(trace) - 4),
        key=lambda k: (
            k * np.log(np.mean(trace[:k] ** 2) + tiny) + (len(trace) - k) * np.log(np.mean(trace[k:] ** 2) + tiny)
        ),
    )
    assert onsets._split_index(trace) == slow
    assert abs(slow - 100) <= 2


@pytest.mark.parametrize("rate_hz", [0, 3_999, 200_001])
def test_rate_out_of_range_is_refused(rate_hz: int) -> None:
    with pytest.raises(InputError, match=f"sample rate {rate_hz} Hz, expected 4000 to 200000"):
        OnsetDetector(rate_hz, OnsetSettings())


def test_empty_band_is_refused() -> None:
    with pytest.raises(InputError, match="high pass 3500 Hz, expected more than 0 and less than the low pass 3200 Hz"):
        OnsetDetector(8_000, OnsetSettings(high_pass_hz=3_500.0))


def test_public_names() -> None:
    assert onsets.__all__ == ["Onset", "OnsetDetector", "OnsetSettings"]
