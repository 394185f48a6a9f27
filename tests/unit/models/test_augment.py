"""Every effect against a slow, obvious twin or an exact property; together: chances, randomness, time, silence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch", reason="torch is a training extra")
pytest.importorskip("soundfile", reason="soundfile is a training extra")
pytest.importorskip("scipy", reason="scipy is a server extra")

from shotline.errors import InputError  # noqa: E402
from shotline.propagation import (  # noqa: E402
    absorption_db_per_m,
    fresnel_number,
    maekawa_attenuation_db,
    spherical_reflection,
)
from shotline_models.augment import EFFECTS, Augmenter, AugmentSettings, Effect  # noqa: E402
from shotline_models.codec import OPUS_RATES_HZ, through_flac, through_opus  # noqa: E402
from shotline_recordings.simulate.blast import STANDARD_SOUND_MPS  # noqa: E402
from shotline_recordings.simulate.microphone import Microphone, response  # noqa: E402
from shotline_recordings.simulate.noise_sources import WindNoise  # noqa: E402

RATE_HZ = 8_000
COUNT = 5_600
ONSET = 1_000
NONE = AugmentSettings(**{f"{effect}_chance": 0.0 for effect in EFFECTS})
ALL = AugmentSettings(**{f"{effect}_chance": 1.0 for effect in EFFECTS})
CLEAN: dict[str, Any] = {"tilt_db": (0.0, 0.0), "ripple_db": (0.0, 0.0)}
ECHO: dict[str, Any] = {
    "echo_count": (1, 1),
    "echo_delay_s": (0.1, 0.1),
    "echo_loss_db": (6.0, 6.0),
    "echo_path_m": (100.0, 100.0),
    "echo_corner_hz": (100_000.0, 100_000.0),
    "tail_level_db": (-80.0, -80.0),
}


def seeded(seed: int = 7) -> Any:
    return torch.Generator().manual_seed(seed)


def impulses(frames: int = 1, *, at: int = ONSET, height: float = 1.0) -> Any:
    sound = torch.zeros(frames, COUNT)
    sound[:, at] = height
    return sound


def bangs(frames: int = 8) -> Any:
    """Noise that begins at the onset and dies away, and some noise before it."""
    generator = seeded(1)
    after = torch.arange(COUNT) - ONSET
    shape = torch.where(after >= 0, torch.exp(-after / 300.0), 0.001)
    return torch.randn(frames, COUNT, generator=generator) * shape


def one(effect: Effect, sound: Any, *, background: Any = None, seed: int = 7, **ranges: Any) -> Any:
    augmenter = Augmenter(replace(NONE, **ranges), RATE_HZ)
    return augmenter.apply_one(effect, sound, background=background, generator=seeded(seed))


def gain_at(effect: Effect, frequency_hz: float, **ranges: Any) -> float:
    """Return the gain for a tone in dB, measured over its last 0.25 s, when filters have settled; whole periods."""
    tone = torch.sin(2.0 * torch.pi * frequency_hz / RATE_HZ * torch.arange(COUNT, dtype=torch.float64))
    after = one(effect, tone.float().unsqueeze(0), **ranges)[0].double()
    part = slice(COUNT - 2_000, COUNT)
    return float(10.0 * torch.log10((after[part] ** 2).sum() / (tone[part] ** 2).sum()))


def response_of(effect: Effect, **ranges: Any) -> tuple[NDArray[np.float64], NDArray[np.complex128]]:
    after = one(effect, impulses(), **ranges)[0].double().numpy()
    count = 2 * COUNT
    spectrum = np.fft.rfft(after[ONSET:], count)
    return np.fft.rfftfreq(count, 1.0 / RATE_HZ), spectrum


# Each effect.


@pytest.mark.parametrize("frequency_hz", [500.0, 2_000.0, 3_500.0])
def test_distance_takes_what_the_standard_says_and_spreads(frequency_hz: float) -> None:
    got_db = gain_at(
        "distance",
        frequency_hz,
        distance_m=(500.0, 500.0),
        distance_from_m=50.0,
        temperature_c=(12.0, 12.0),
        humidity_percent=(55.0, 55.0),
    )
    absorbed_db = 500.0 * float(
        absorption_db_per_m(np.array([frequency_hz]), temperature_c=12.0, humidity_percent=55.0)[0]
    )
    # float32 transforms are good to 1e-6; the rest is how far the tone's onset has died away: 1e-5.
    assert got_db == pytest.approx(20.0 * np.log10(50.0 / 550.0) - absorbed_db, abs=1e-3)


def test_no_distance_is_no_change() -> None:
    sound = bangs()
    # Rounding of float32 transforms: 1e-7 of the peak of 4.
    torch.testing.assert_close(one("distance", sound, distance_m=(0.0, 0.0)), sound, atol=4e-6, rtol=0.0)


def test_bounce_is_the_sum_of_the_two_rays() -> None:
    drawn: dict[str, Any] = {
        "source_height_m": (1.5, 1.5),
        "receiver_height_m": (6.0, 6.0),
        "bounce_distance_m": (60.0, 60.0),
        "flow_resistivity_pa_s_per_m2": (2.0e5, 2.0e5),
    }
    frequency_hz, got = response_of("bounce", **drawn)
    reflected = spherical_reflection(
        frequency_hz,
        source_height_m=1.5,
        receiver_height_m=6.0,
        horizontal_m=60.0,
        flow_resistivity_pa_s_per_m2=2.0e5,
        speed_of_sound_mps=STANDARD_SOUND_MPS,
    )
    straight_m, by_ground_m = np.hypot(60.0, 4.5), np.hypot(60.0, 7.5)
    late = np.exp(-2j * np.pi * frequency_hz / STANDARD_SOUND_MPS * (by_ground_m - straight_m))
    expected = 1.0 + reflected * straight_m / by_ground_m * late
    # The filter is known at other frequencies than these, and cut after 0.57 s: 1e-3 of the direct sound.
    np.testing.assert_allclose(np.abs(got), np.abs(expected), atol=2e-3)
    # The sum is of minimum phase by itself: the phases agree too, but at the top, where a sampled one must be real.
    inside = (frequency_hz > 100.0) & (frequency_hz < 2_000.0)
    np.testing.assert_allclose(got[inside], expected[inside], atol=0.05)


def test_hard_ground_dips_where_the_rays_are_half_a_wave_apart() -> None:
    frequency_hz, got = response_of(
        "bounce",
        source_height_m=(1.5, 1.5),
        receiver_height_m=(4.0, 4.0),
        bounce_distance_m=(30.0, 30.0),
        flow_resistivity_pa_s_per_m2=(1.0e9, 1.0e9),
    )
    later_m = np.hypot(30.0, 5.5) - np.hypot(30.0, 2.5)
    dip_hz = STANDARD_SOUND_MPS / (2.0 * later_m)
    below = frequency_hz < 2.0 * dip_hz
    # Concrete is not quite rigid: the dip is 1 % lower.
    assert frequency_hz[below][np.argmin(np.abs(got[below]))] == pytest.approx(dip_hz, rel=0.02)
    assert np.abs(got[below]).min() < 0.1
    assert np.abs(got[0]) == pytest.approx(2.0, abs=0.05)


def test_blocked_follows_maekawa() -> None:
    frequency_hz, got = response_of("blocked", detour_m=(0.4, 0.4))
    number = fresnel_number(0.4, frequency_hz, speed_of_sound_mps=STANDARD_SOUND_MPS)
    inside = frequency_hz > 50.0
    # The response dies away slowly: what is cut off after 0.57 s is worth 0.01 dB.
    np.testing.assert_allclose(-20.0 * np.log10(np.abs(got[inside])), maekawa_attenuation_db(number)[inside], atol=0.05)


def test_an_echo_is_late_and_weaker_by_spreading_and_loss() -> None:
    after = one("echoes", impulses(), **ECHO)[0]
    expected = 100.0 / (100.0 + STANDARD_SOUND_MPS * 0.1) * 10.0 ** (-6.0 / 20.0)
    assert float(after[ONSET]) == pytest.approx(1.0, abs=1e-6)
    # A corner at 100 kHz is none, and the tail has 1e-8 of the energy: 1e-4 in amplitude.
    assert float(after[ONSET + 800]) == pytest.approx(expected, abs=2e-4)
    after[[ONSET, ONSET + 800]] = 0.0
    assert float(after.abs().max()) < 5e-5


def test_echoes_are_as_many_as_drawn_and_within_their_time() -> None:
    drawn: dict[str, Any] = {**ECHO, "echo_count": (2, 5), "echo_delay_s": (0.02, 0.15), "echo_loss_db": (6.0, 12.0)}
    after = one("echoes", impulses(200), **drawn)[:, ONSET:]
    heard = after.abs() > 0.01
    heard[:, 0] = False
    count = heard.sum(dim=1)
    # Two of five echoes in a thousand samples share one now and then.
    assert set(count.tolist()) <= {1, 2, 3, 4, 5}
    assert {2, 3, 4, 5} <= set(count.tolist())
    places = torch.nonzero(heard)[:, 1]
    assert int(places.min()) >= 160
    assert int(places.max()) <= 1_200
    # Two at one sample add up.
    assert float(torch.where(heard, after, 0.0).max()) <= 2.0 * 10.0 ** (-6.0 / 20.0)


def test_echoes_are_dull_by_a_first_order_low_pass() -> None:
    after = one("echoes", impulses(), **{**ECHO, "echo_corner_hz": (700.0, 700.0)})[0].double().numpy()
    keep = np.exp(-2.0 * np.pi * 700.0 / RATE_HZ)
    expected, state = np.zeros(100), 0.0
    for index in range(100):
        coming = 100.0 / (100.0 + STANDARD_SOUND_MPS * 0.1) * 10.0 ** (-6.0 / 20.0) if index == 0 else 0.0
        state = (1.0 - keep) * coming + keep * state
        expected[index] = state
    np.testing.assert_allclose(after[ONSET + 800 : ONSET + 900], expected, atol=1e-4)


def test_the_tail_has_its_energy_and_decay_and_begins_after_the_sound() -> None:
    drawn: dict[str, Any] = {
        **ECHO,
        "echo_loss_db": (60.0, 60.0),
        "tail_level_db": (-6.0, -6.0),
        "tail_decay_s": (0.4, 0.4),
        "tail_build_up_s": (0.0001, 0.0001),
    }
    tail = (one("echoes", impulses(64, at=0), **drawn) - impulses(64, at=0)).double()
    energy_db = 10.0 * torch.log10((tail**2).sum(dim=1))
    # The echo adds 1e-6 of energy and the 100 kHz corner takes 1e-4 of amplitude: 0.003 dB.
    np.testing.assert_allclose(energy_db.numpy(), -6.0, atol=0.01)
    assert float(tail[:, 0].abs().max()) < 1e-6
    blocks = 10.0 * torch.log10((tail**2).reshape(64, 14, 400).mean(dim=(0, 2)))
    falls_db = torch.diff(blocks)
    # 25600 squares of normals in a block: 4.34 dB sqrt(2 / 25600) = 0.04 dB, sqrt 2 for a difference; 5 sigma.
    np.testing.assert_allclose(falls_db.numpy(), -60.0 * 0.05 / 0.4, atol=0.3)


def test_behind_an_edge_an_echo_may_be_louder_than_the_straight_way() -> None:
    drawn: dict[str, Any] = {**ECHO, "echo_loss_db": (1.0, 1.0), "detour_m": (2.0, 2.0)}
    settings = replace(NONE, blocked_chance=1.0, echoes_chance=1.0, **drawn)
    after = Augmenter(settings, RATE_HZ)(impulses(), background=None, generator=seeded())[0]
    unblocked = one("echoes", impulses(), **{**drawn, "tail_level_db": (-80.0, -80.0)})[0]
    assert float(after[ONSET].abs()) < 0.3 < float(after[ONSET + 800])
    # What bends over the edge is still dying away 0.1 s later: 1e-3.
    assert float(after[ONSET + 800]) == pytest.approx(float(unblocked[ONSET + 800]), abs=2e-3)


@pytest.mark.parametrize("frequency_hz", [100.0, 1_000.0, 2_500.0, 3_500.0])
def test_the_microphone_is_the_simulators(frequency_hz: float) -> None:
    got_db = gain_at(
        "microphone",
        frequency_hz,
        low_corner_hz=(80.0, 80.0),
        resonance_hz=(2_500.0, 2_500.0),
        resonance_q=(2.0, 2.0),
        **CLEAN,
    )
    twins = [
        Microphone(
            name="", full_scale_db_spl=120.0, low_corner_hz=80.0, low_order=order, resonance_hz=2_500.0, resonance_q=2.0
        )
        for order in (1, 2)
    ]
    expected_db = [20.0 * np.log10(np.abs(response(np.array([frequency_hz]), twin))[0]) for twin in twins]
    # Either order may be drawn; 1e-3 dB is the ringing of the tone's onset 0.45 s before.
    assert min(abs(got_db - each_db) for each_db in expected_db) < 2e-3


def test_tilt_is_straight_over_the_octaves() -> None:
    flat: dict[str, Any] = {"low_corner_hz": (1.0, 1.0), "resonance_hz": (1.0e6, 1.0e6), "resonance_q": (1.0, 1.0)}
    got_db = [
        gain_at("microphone", at_hz, tilt_db=(5.0, 5.0), ripple_db=(0.0, 0.0), **flat)
        for at_hz in (100.0, 400.0, 1_600.0)
    ]
    per_octave_db = 10.0 / np.log2(4_000.0 / 50.0)
    # The corner at 1 Hz takes 4e-4 dB at 100 Hz.
    np.testing.assert_allclose(np.diff(got_db), 2.0 * per_octave_db, atol=0.01)
    assert got_db[0] == pytest.approx(-5.0 + per_octave_db, abs=0.01)


def test_ripple_is_within_its_decibels_and_not_flat() -> None:
    flat: dict[str, Any] = {"low_corner_hz": (1.0, 1.0), "resonance_hz": (1.0e6, 1.0e6), "resonance_q": (1.0, 1.0)}
    frequency_hz, got = response_of("microphone", tilt_db=(0.0, 0.0), ripple_db=(2.0, 2.0), **flat)
    inside = (frequency_hz > 60.0) & (frequency_hz < 3_990.0)
    level_db = 20.0 * np.log10(np.abs(got[inside]))
    # One whole wave over the band; 0.02 dB is the vent's ringing, cut off.
    assert level_db.max() == pytest.approx(2.0, abs=0.05)
    assert level_db.min() == pytest.approx(-2.0, abs=0.05)


def test_gain_is_in_decibels() -> None:
    sound = bangs()
    torch.testing.assert_close(one("gain", sound, gain_db=(-20.0, -20.0)), 0.1 * sound)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_clipping_ends_at_the_drawn_level(sign: float) -> None:
    sound = sign * bangs()
    after = one("clipping", sound, clip_below_peak_db=(6.0, 6.0))
    limit = sound.abs().amax(dim=1) * 10.0 ** (-6.0 / 20.0)
    torch.testing.assert_close(after.abs().amax(dim=1), limit)
    below = sound.abs() < limit.unsqueeze(1) * 0.999
    assert torch.equal(after[below], sound[below])
    assert torch.equal(torch.sign(after), torch.sign(sound))


@pytest.mark.parametrize("snr_db", [0.0, 30.0])
def test_noise_has_its_snr(snr_db: float) -> None:
    sound = bangs(32)
    added = (one("noise", sound, snr_db=(snr_db, snr_db)) - sound).double()
    got_db = 20.0 * torch.log10(sound.double().abs().amax(dim=1) / torch.sqrt((added**2).mean(dim=1)))
    # The sum is rounded to float32, 1e-7 of the peak.
    np.testing.assert_allclose(got_db.numpy(), snr_db, atol=1e-3)


def test_a_background_is_scaled_and_nothing_else() -> None:
    sound, background = bangs(4), torch.randn(4, COUNT, generator=seeded(3))
    after = one("noise", sound, background=background, snr_db=(20.0, 20.0), background_share=1.0)
    rms = torch.sqrt((background.double() ** 2).mean(dim=1))
    scale = (0.1 * sound.double().abs().amax(dim=1) / rms).float().unsqueeze(1)
    torch.testing.assert_close(after, sound + scale * background)


def test_where_the_background_is_silent_there_is_other_noise() -> None:
    sound, background = bangs(2), torch.zeros(2, COUNT)
    background[1] = torch.randn(COUNT, generator=seeded(3))
    drawn: dict[str, Any] = {"snr_db": (20.0, 20.0), "background_share": 1.0}
    with_background = one("noise", sound, background=background, **drawn)
    without = one("noise", sound, **drawn)
    assert torch.equal(with_background[0], without[0])
    assert not torch.equal(with_background[1], without[1])


def test_wind_and_traffic_have_their_spectra() -> None:
    sound = impulses(256, height=1.0)
    added = (one("noise", sound, snr_db=(0.0, 0.0), wind_speed_mps=(5.0, 5.0), noise_from_hz=50.0) - sound).double()
    power = (torch.fft.rfft(added * torch.hann_window(COUNT), dim=1).abs() ** 2).mean(dim=0).numpy()
    frequency_hz = np.fft.rfftfreq(COUNT, 1.0 / RATE_HZ)

    def band(low_hz: float, high_hz: float) -> float:
        return float(power[(frequency_hz >= low_hz) & (frequency_hz < high_hz)].sum())

    assert band(0.0, 40.0) < 1e-3 * band(0.0, 4_000.0)
    density = WindNoise(5.0).spectra_pa2_per_hz(np.array([60.0, 120.0]))[0]
    assert density[0] / density[1] > 4.0
    # Half of the power, on average, is wind, which is below 200 Hz; traffic is loudest about 1 kHz.
    assert 0.4 < band(50.0, 200.0) / band(0.0, 4_000.0) < 0.8
    assert band(500.0, 2_000.0) > 3.0 * band(2_000.0, 4_000.0)


def test_bandwidth_is_butterworths() -> None:
    drawn: dict[str, Any] = {"bandwidth_hz": (1_600.0, 1_600.0)}
    # Settled after 0.45 s, to the rounding of float32 transforms: 1e-7 of the peak is -140 dB, of -48 dB then 1e-4.
    assert gain_at("bandwidth", 400.0, **drawn) == pytest.approx(0.0, abs=1e-3)
    assert gain_at("bandwidth", 1_600.0, **drawn) == pytest.approx(-10.0 * np.log10(2.0), abs=1e-3)
    assert gain_at("bandwidth", 3_200.0, **drawn) == pytest.approx(-10.0 * np.log10(1.0 + 2.0**16), abs=0.01)


# Time.


@pytest.mark.parametrize("effect", ["distance", "bounce", "blocked", "echoes", "microphone", "gain", "bandwidth"])
def test_nothing_sounds_before_its_time(effect: Effect) -> None:
    after = one(effect, impulses(256)).abs()
    peak = after.amax(dim=1, keepdim=True)
    # Minimum phase by a cepstrum of finite length: 1e-4 is -80 dB of the peak.
    assert float((after[:, :ONSET] / peak).max()) < 1e-4
    # 800 m of damp air smear a front over 3 samples, the steepest low-pass over 2.
    assert int((after >= 0.1 * peak).int().argmax(dim=1).max()) <= ONSET + 2


@pytest.mark.parametrize("rate_hz", OPUS_RATES_HZ)
def test_opus_comes_back_at_its_time_and_length(rate_hz: int) -> None:
    rng = np.random.default_rng(rate_hz)
    count = round(0.7 * rate_hz)
    after_s = np.arange(count) / rate_hz - 0.2
    smooth = np.convolve(rng.standard_normal(count), np.hanning(9) / 4.5, mode="same")
    sound = (np.where(after_s >= 0.0, np.exp(-after_s / 0.02), 0.003) * smooth).astype(np.float32)
    got = through_opus(sound, sample_rate_hz=rate_hz, bitrate_bps=96_000.0)
    assert got.shape == sound.shape
    assert got.dtype == np.float32
    alike = np.fft.irfft(np.fft.rfft(got, 2 * count) * np.conj(np.fft.rfft(sound, 2 * count)), 2 * count)
    late = int(np.argmax(alike))
    assert min(late, 2 * count - late) <= 1
    assert alike.max() > 0.8 * float(np.sum(sound.astype(np.float64) ** 2))


def test_opus_is_worse_with_fewer_bits_and_the_same_every_time() -> None:
    sound = bangs(1)[0].numpy()
    errors = []
    for bitrate_bps in (8_000.0, 24_000.0, 128_000.0):
        first, second = (through_opus(sound, sample_rate_hz=RATE_HZ, bitrate_bps=bitrate_bps) for _ in range(2))
        np.testing.assert_array_equal(first, second)
        errors.append(float(np.sum((first - sound) ** 2) / np.sum(sound**2)))
    assert errors[0] > errors[1] > errors[2]


@pytest.mark.parametrize("level_dbfs", [0.0, -40.0])
def test_flac_only_rounds(level_dbfs: float) -> None:
    sound = 300.0 * bangs(1)[0].numpy()
    got = through_flac(sound, sample_rate_hz=44_100, level_dbfs=level_dbfs)
    step = float(np.abs(sound).max()) / (32_767.0 * 10.0 ** (level_dbfs / 20.0))
    # Half a step; at full scale written as 32767 and read as of 32768, another one; and the rounding of float32.
    assert float(np.abs(got - sound).max()) <= 1.51 * step
    assert not np.array_equal(got, sound)


def test_silence_comes_back_from_a_codec() -> None:
    silence = np.zeros(COUNT, dtype=np.float32)
    np.testing.assert_array_equal(through_opus(silence, sample_rate_hz=RATE_HZ, bitrate_bps=16_000.0), silence)
    np.testing.assert_array_equal(through_flac(silence, sample_rate_hz=RATE_HZ), silence)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda sound: through_opus(sound, sample_rate_hz=11_025, bitrate_bps=16_000.0),
            "sample_rate_hz: 11025 Hz, but Opus takes 8000, 12000, 16000, 24000, 48000 Hz only; resample first",
        ),
        (
            lambda sound: through_opus(sound, sample_rate_hz=8_000, bitrate_bps=1.0),
            "bitrate_bps: 1 bit/s, expected 6000 to 256000",
        ),
        (lambda sound: through_flac(sound, sample_rate_hz=8_000, level_dbfs=1.0), "level_dbfs: 1 dBFS, expected 0 or"),
        (
            lambda sound: through_flac(sound * np.nan, sample_rate_hz=8_000),
            "sound: sound of shape .5600,., 5600 v",
        ),
        (lambda sound: through_flac(sound[None], sample_rate_hz=8_000), "sound: sound of shape .1, 5600., 0 values"),
    ],
)
def test_a_codec_says_what_it_cannot_take(call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call(np.ones(COUNT, dtype=np.float32))


# Together.


def test_chance_0_changes_no_bit() -> None:
    sound = bangs()
    after = Augmenter(NONE, RATE_HZ)(sound, background=sound.flip(0), generator=seeded())
    assert torch.equal(after, sound)
    assert after.data_ptr() != sound.data_ptr()


@pytest.mark.parametrize("effect", EFFECTS)
def test_chance_1_changes_every_frame_and_not_what_was_given(effect: Effect) -> None:
    sound = bangs(4)
    given = sound.clone()
    augmenter = Augmenter(replace(NONE, **{f"{effect}_chance": 1.0}), RATE_HZ)
    after = augmenter(sound, background=None, generator=seeded())
    assert after.shape == sound.shape
    assert after.dtype == torch.float32
    assert bool((after != sound).any(dim=1).all())
    assert torch.equal(sound, given)
    # Frames differ: each has its own draw.
    alike = augmenter(sound[:1].repeat(8, 1), background=None, generator=seeded())
    assert len(torch.unique(alike, dim=0)) > 1


def test_a_chance_is_the_share_of_frames() -> None:
    sound = bangs(1).repeat(2_000, 1)
    after = Augmenter(replace(NONE, gain_chance=0.3), RATE_HZ)(sound, background=None, generator=seeded())
    # Binomial: sigma 20 of 2000; 5 sigma.
    assert int((after != sound).any(dim=1).sum()) == pytest.approx(600, abs=103)


def test_the_same_state_gives_the_same_bits_and_no_other_state_matters() -> None:
    sound = bangs()[:, ONSET - 100 : ONSET + 900].contiguous()
    settings = replace(ALL, codec_chance=0.3)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = Augmenter(settings, RATE_HZ)(sound, background=sound.flip(0), generator=seeded(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    augmenter, generator = Augmenter(settings, RATE_HZ), seeded(5)
    assert torch.equal(augmenter(sound, background=sound.flip(0), generator=generator), first)
    assert not torch.equal(augmenter(sound, background=sound.flip(0), generator=generator), first)


def test_what_one_effect_draws_does_not_depend_on_another() -> None:
    sound = bangs(32)
    only = Augmenter(replace(NONE, clipping_chance=0.5), RATE_HZ)(sound, background=None, generator=seeded())
    louder = replace(NONE, clipping_chance=0.5, gain_chance=1.0, gain_db=(20.0, 20.0))
    both = Augmenter(louder, RATE_HZ)(sound, background=None, generator=seeded())
    torch.testing.assert_close(both, 10.0 * only)


@pytest.mark.parametrize("effect", EFFECTS)
def test_silence_and_extremes_stay_finite(effect: Effect) -> None:
    sound = torch.stack(
        [torch.zeros(COUNT), torch.full((COUNT,), 1e-30), torch.full((COUNT,), 1e15), impulses(at=0)[0], bangs(1)[0]]
    )
    after = one(effect, sound, background=torch.zeros_like(sound))
    assert bool(torch.isfinite(after).all())
    assert float(after[0].abs().max()) == 0.0


def test_everything_at_once_stays_finite() -> None:
    sound = torch.cat([torch.zeros(2, COUNT), bangs(6)])[:, ONSET - 100 : ONSET + 900].contiguous()
    after = Augmenter(ALL, RATE_HZ)(sound, background=None, generator=seeded())
    assert bool(torch.isfinite(after).all())
    assert float(after[:2].abs().max()) == 0.0


@pytest.mark.parametrize("count", [2, 333, 2_401])
def test_frames_may_have_any_length(count: int) -> None:
    sound = torch.randn(3, count, generator=seeded())
    after = Augmenter(ALL, RATE_HZ)(sound, background=None, generator=seeded())
    assert after.shape == sound.shape
    assert bool(torch.isfinite(after).all())


def test_no_frames_are_no_frames() -> None:
    none = torch.zeros(0, COUNT)
    augmenter = Augmenter(ALL, RATE_HZ)
    assert augmenter(none, background=None, generator=seeded()).shape == (0, COUNT)
    assert augmenter.apply_one("gain", none, generator=seeded()).shape == (0, COUNT)


# What is not accepted.


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("noise_chance", 1.5, r"noise_chance: 1.5, expected 0 to 1 \(a share of frames\); give a number within"),
        ("opus_share", -0.1, "opus_share: -0.1, expected 0 to 1"),
        ("codec_chance", float("nan"), "codec_chance: nan, expected 0 to 1"),
        ("distance_m", (5.0, 1.0), r"distance_m: \(5.0, 1.0\), expected two numbers within 0 to 20000 m; give the"),
        ("detour_m", (0.0, 1.0), r"detour_m: \(0.0, 1.0\), expected two numbers within 0.001 to 1000 m"),
        ("tail_decay_s", (0.1, 0.2, 0.3), r"tail_decay_s: \(0.1, 0.2, 0.3\), expected two numbers"),
        ("snr_db", (float("nan"), 3.0), r"snr_db: \(nan, 3.0\), expected two numbers"),
        ("noise_from_hz", -1.0, "noise_from_hz: -1, expected 0 to 1000 Hz"),
        ("echo_count", (1.0, 2.5), r"echo_count: \(1.0, 2.5\), expected two whole numbers"),
    ],
)
def test_settings_say_what_is_wrong(field: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        AugmentSettings(**{field: value})


def test_every_number_has_limits_or_is_a_share() -> None:
    for name, value in vars(AugmentSettings()).items():
        wrong = (-1e9, 1e9) if isinstance(value, tuple) else 1e9
        with pytest.raises(InputError, match=f"^{name}: "):
            AugmentSettings(**{name: wrong})


def test_an_augmenter_says_what_it_cannot_take() -> None:
    with pytest.raises(InputError, match="sample_rate_hz: 0 Hz, expected 4000 to 200000"):
        Augmenter(AugmentSettings(), 0)
    with pytest.raises(InputError, match=r"sample_rate_hz: 44100 Hz, but Opus takes .* or set opus_share to 0"):
        Augmenter(AugmentSettings(), 44_100)
    augmenter = Augmenter(replace(ALL, opus_share=0.0), 44_100)
    assert augmenter.sample_rate_hz == 44_100
    good = torch.zeros(2, COUNT)
    for bad in (good[0], good.double(), good[:, :1]):
        with pytest.raises(InputError, match=r"sound: torch.float.* expected torch.float32 of shape"):
            augmenter(bad, background=None, generator=seeded())
    with pytest.raises(InputError, match=r"background: torch.float32 of shape \(1, 5600\), expected"):
        augmenter(good, background=good[:1], generator=seeded())
    broken = good.clone()
    broken[1, 3], broken[1, 4] = float("nan"), float("inf")
    with pytest.raises(InputError, match=r"sound: 2 of 11200 samples are NaN, infinite or beyond 1e[+]15, expected"):
        augmenter(broken, background=None, generator=seeded())
    with pytest.raises(InputError, match="background: 2 of 11200 samples"):
        augmenter(good, background=broken, generator=seeded())
    with pytest.raises(InputError, match="effect: no effect 'reverb' is known; give one of distance, bounce"):
        augmenter.apply_one("reverb", good, generator=seeded())  # type: ignore[arg-type]
