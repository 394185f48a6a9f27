"""The picture that a network looks at, against librosa, torchaudio and arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.features import MelDefinition, log_mel, mel_weights

WHOLE = MelDefinition()
RATES_HZ = (8_000, 12_000, 16_000, 48_000)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def _sound(rng: np.random.Generator, rate_hz: int) -> tuple[NDArray[np.float64], int]:
    """Return noise with an impulse in it, and the impulse's index."""
    samples = rng.normal(0.0, 0.01, round(0.8 * rate_hz))
    onset = round(0.15 * rate_hz)
    tail = np.exp(-np.arange(len(samples) - onset) / (0.05 * rate_hz))
    samples[onset:] += rng.normal(0.0, 0.5, len(tail)) * tail
    return samples, onset


def _by_power(power: NDArray[np.float64]) -> NDArray[np.float64]:
    level_db = 10.0 * np.log10(power / power.max())
    return 1.0 + np.maximum(level_db, -WHOLE.range_db) / WHOLE.range_db


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_picture_is_that_of_librosa(rng: np.random.Generator, rate_hz: int) -> None:
    librosa = pytest.importorskip("librosa", reason="librosa is a training extra")
    samples, onset = _sound(rng, rate_hz)
    start = onset - round(WHOLE.before_s * rate_hz)
    window, hop = round(WHOLE.window_s * rate_hz), round(WHOLE.hop_s * rate_hz)
    power = librosa.feature.melspectrogram(
        y=samples[start : start + window + (WHOLE.columns - 1) * hop],
        sr=rate_hz,
        n_fft=window,
        hop_length=hop,
        center=False,
        n_mels=WHOLE.bands,
        fmin=WHOLE.low_hz,
        fmax=WHOLE.high_hz,
        htk=True,
        norm="slaney",
        dtype=np.float64,
    )
    seen = log_mel(samples, onset_index=onset, sample_rate_hz=rate_hz, definition=WHOLE)
    assert seen.shape == power.shape == (WHOLE.bands, WHOLE.columns)
    # The picture is of 32-bit floats, 0 to 1: 6e-8; librosa's weights are 32-bit as well.
    assert seen == pytest.approx(_by_power(power), abs=1e-6)


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_the_weights_are_those_of_torchaudio(rate_hz: int) -> None:
    pytest.importorskip("torch", reason="torch is a training extra")
    from shotline_models.torchaudio_beside_cpu import torchaudio

    window = round(WHOLE.window_s * rate_hz)
    wanted = torchaudio.functional.melscale_fbanks(
        window // 2 + 1, WHOLE.low_hz, WHOLE.high_hz, WHOLE.bands, rate_hz, norm="slaney", mel_scale="htk"
    ).numpy()
    # Theirs are worked out in 32-bit floats: edges of some kHz are good to about 1e-4 Hz in bands of 45 Hz and more.
    assert pytest.approx(wanted, abs=2e-5 * float(wanted.max())) == mel_weights(WHOLE, rate_hz).T


def test_sound_of_any_rate_gives_the_same_picture() -> None:
    # Tones that swell and fade: band-limited, so that no rate sees more of them than another.
    pictures = []
    for rate_hz in (*RATES_HZ, 44_100):
        t = np.arange(round(0.8 * rate_hz)) / rate_hz - 0.15
        swell = np.exp(-0.5 * np.square((t - 0.08) / 0.03))
        samples = swell * sum(np.sin(2.0 * np.pi * frequency_hz * t) for frequency_hz in (300.0, 900.0, 2_100.0))
        pictures.append(log_mel(samples, onset_index=round(0.15 * rate_hz), sample_rate_hz=rate_hz, definition=WHOLE))
    loud = pictures[0] > 0.5
    for other in pictures[1:-1]:
        # A window of so many hertz is sampled more finely at a higher rate: leakage differs below -90 dB.
        assert np.abs(other - pictures[0])[loud].max() < 1e-4
    # At 44.1 kHz a hop of 8 ms is 352.8 samples, taken as 353: 0.3 ms after 75 hops, 0.1 dB of a slope of 0.3 dB/ms.
    assert np.abs(pictures[-1] - pictures[0])[loud].max() < 0.01


def test_level_does_not_matter_and_time_does(rng: np.random.Generator) -> None:
    samples, onset = _sound(rng, 8_000)
    seen = log_mel(samples, onset_index=onset, sample_rate_hz=8_000, definition=WHOLE)
    assert log_mel(0.25 * samples, onset_index=onset, sample_rate_hz=8_000, definition=WHOLE) == pytest.approx(
        seen, abs=1e-6
    )
    assert seen.max() == 1.0
    # The impulse comes after 0.1 s: columns wholly before it are 30 dB and more lower.
    before = math.floor((WHOLE.before_s - WHOLE.window_s) / WHOLE.hop_s)
    assert seen[:, :before].max() < 0.75
    assert int(seen.sum(axis=0).argmax()) in range(before, before + 6)


def test_what_was_not_heard_is_taken_for_background(rng: np.random.Generator) -> None:
    samples, onset = _sound(rng, 8_000)
    whole = log_mel(samples, onset_index=onset, sample_rate_hz=8_000, definition=WHOLE)
    cut = log_mel(samples[: onset + 800], onset_index=onset, sample_rate_hz=8_000, definition=WHOLE)
    known = 1 + (800 + 800 - 256) // 64
    assert cut[:, :known] == pytest.approx(whole[:, :known], abs=1e-6)
    assert (cut[:, known:] == cut[:, :known].min(axis=1)[:, None]).all()
    late = log_mel(samples[onset - 400 :], onset_index=400, sample_rate_hz=8_000, definition=WHOLE)
    # Six windows start in the 400 samples that are not there, and one between.
    assert late[:, 7:] == pytest.approx(whole[:, 7:], abs=1e-6)
    assert (late[:, :7] == late[:, 7:].min(axis=1)[:, None]).all()


def test_silence_is_a_dark_picture() -> None:
    assert not log_mel(np.zeros(8_000), onset_index=1_000, sample_rate_hz=8_000, definition=WHOLE).any()


@pytest.mark.parametrize(
    ("samples", "onset", "rate_hz", "message"),
    [
        (np.ones(800), 100, 6_000, "sample rate 6000 Hz, expected at least 7200"),
        (np.ones((800, 2)), 100, 8_000, "expected one channel; choose a channel"),
        (np.full(800, np.nan), 100, 8_000, "not a finite number"),
        (np.zeros(0), 0, 8_000, "0 samples at 8000 Hz with the onset at 0, expected at least one window of 256"),
        (np.ones(200), 100, 8_000, "expected at least one window of 256 inside the frame"),
    ],
)
def test_bad_sound_is_refused(samples: NDArray[np.float64], onset: int, rate_hz: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        log_mel(samples, onset_index=onset, sample_rate_hz=rate_hz, definition=WHOLE)
