"""Features of synthetic impulses whose figures follow from arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shotline import features
from shotline.features import impulse_features
from shotline.onsets import Onset

RATE_HZ = 16_000
START = 800


def onset_of(body: NDArray[np.float64], *, noise_rms: float = 1e-4, raw: NDArray[np.float64] | None = None) -> Onset:
    band = np.concatenate((np.zeros(START), body))
    return Onset(
        sample=1_000.0 + START + 0.25,
        step_db=17.0,
        noise_rms=noise_rms,
        frame_start=1_000,
        raw=band if raw is None else raw,
        band=band,
    )


def test_decaying_tone_has_the_figures_it_was_made_with() -> None:
    t = np.arange(2_400) / RATE_HZ
    found = impulse_features(onset_of(0.5 * np.exp(-t / 0.02) * np.cos(2 * np.pi * 500.0 * t)), sample_rate_hz=RATE_HZ)
    assert found.peak == 0.5
    assert found.peak_delay_s == 0.0
    assert found.snr_db == pytest.approx(20 * math.log10(5_000.0), abs=1e-9)
    assert found.step_db == 17.0
    # From 0 straight to the peak in one sample: 10 to 90 % is 0.8 of it.
    assert found.rise_time_s == pytest.approx(0.8 / RATE_HZ, abs=1e-12)
    # Energy falls as exp(-2t/20 ms): 10 dB in 23.0 ms; the 2 ms smoothing is one period of the tone's square.
    assert found.decay_time_s == pytest.approx(0.01 * math.log(10.0), abs=0.001)
    # 90 % of the energy in the same 23.0 ms, within half a period of the squared tone.
    assert found.duration_s == pytest.approx(0.01 * math.log(10.0), abs=0.001)
    # Mean square of the first 50 ms: (1 - e^-5)/2 * τ/2 / 50 ms, but for the term at twice the frequency.
    expected_db = -10 * math.log10(0.5 * 0.01 * (1 - math.exp(-5.0)) / 0.05)
    assert found.crest_db == pytest.approx(expected_db, abs=0.1)
    # A 16 Hz wide line at 500 Hz with long skirts: the centre of gravity is pulled up by them.
    assert 500.0 < found.centroid_hz < 700.0
    assert found.low_band_ratio > 0.95
    assert not found.clipped


@pytest.mark.parametrize(("frequency_hz", "low"), [(400.0, True), (3_000.0, False)])
def test_low_band_ratio_tells_low_from_high(frequency_hz: float, low: bool) -> None:
    t = np.arange(2_400) / RATE_HZ
    found = impulse_features(onset_of(0.1 * np.sin(2 * np.pi * frequency_hz * t)), sample_rate_hz=RATE_HZ)
    # 50 ms hold whole periods of both: no leakage.
    assert found.low_band_ratio == pytest.approx(1.0 if low else 0.0, abs=1e-12)
    assert found.centroid_hz == pytest.approx(frequency_hz, abs=1e-6)
    assert found.crest_db == pytest.approx(20 * math.log10(math.sqrt(2.0)), abs=0.05)
    # It never decays: to the end of the frame, less the 2 ms window and the quarter period to the peak.
    assert found.decay_time_s == pytest.approx(0.150 - 0.002, abs=0.25 / frequency_hz + 2.5 / RATE_HZ)


def test_slow_rise_is_measured_by_interpolation() -> None:
    ramp = np.concatenate((np.linspace(0.0, 1.0, 161), np.zeros(1_000)))
    found = impulse_features(onset_of(0.5 * ramp), sample_rate_hz=RATE_HZ)
    assert found.rise_time_s == pytest.approx(0.8 * 0.010, abs=1e-12)
    assert found.peak_delay_s == pytest.approx(0.010, abs=1e-12)


@pytest.mark.parametrize("full", [1.0, -1.0])
def test_clipping_is_seen_on_the_raw_sound(full: float) -> None:
    raw = np.zeros(START + 2_400)
    raw[START + 5] = full
    body = np.full(2_400, 0.01)
    assert impulse_features(onset_of(body, raw=raw), sample_rate_hz=RATE_HZ).clipped
    assert not impulse_features(onset_of(body), sample_rate_hz=RATE_HZ).clipped


def test_peak_later_than_50_ms_is_another_sound() -> None:
    body = np.full(2_400, 0.01)
    body[1_000] = 0.9
    assert impulse_features(onset_of(body), sample_rate_hz=RATE_HZ).peak == 0.01


@pytest.mark.parametrize("length", [1, 2, 31, 33])
def test_short_frames_have_finite_figures(length: int) -> None:
    found = impulse_features(onset_of(np.full(length, 0.1)), sample_rate_hz=RATE_HZ)
    assert found.peak == 0.1
    assert all(
        math.isfinite(value)
        for value in (found.rise_time_s, found.decay_time_s, found.duration_s, found.crest_db, found.centroid_hz)
    )


def test_silent_frame_has_finite_figures() -> None:
    found = impulse_features(onset_of(np.zeros(2_400), noise_rms=0.0), sample_rate_hz=RATE_HZ)
    assert (found.centroid_hz, found.low_band_ratio, found.peak) == (0.0, 0.0, 1e-9)
    assert math.isfinite(found.snr_db)


def test_public_names() -> None:
    assert features.__all__ == ["ImpulseFeatures", "MelDefinition", "impulse_features", "log_mel", "mel_weights"]
