"""Noise: what is heard against what its models state in closed form, and both against published figures."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import scipy.signal
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_recordings.simulate.levels import (
    REFERENCE_PRESSURE_PA,
    a_weighting,
    db_spl_from_power,
    integral,
)
from shotline_recordings.simulate.microphone import MICROPHONES, converter_response, response
from shotline_recordings.simulate.noise import (
    NoiseModel,
    RecordedNoise,
    band_level_db,
    draw_noise,
    onset_weight,
)
from shotline_recordings.simulate.noise_sources import CityNoise, InsectNoise, RainNoise, TrafficNoise, WindNoise

RATE = 48_000
MIX = (WindNoise(4.0), CityNoise(50.0), TrafficNoise(6.0))
STEADY: list[NoiseModel] = [
    WindNoise(5.0, gust_sigma_db=0.0),
    WindNoise(8.0, screen_diameter_m=0.01, gust_sigma_db=0.0),
    CityNoise(50.0, sigma_db=0.0),
    RainNoise(55.0, sigma_db=0.0),
    InsectNoise(50.0, sigma_db=0.0),
    InsectNoise(50.0, centre_hz=7_000.0, sigma_db=0.0),
]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def heard_db(sound_pa: NDArray[np.float64], rate_hz: int) -> float:
    """Return the rms level that the onset detector's filters leave: SciPy's, not the module's formula."""
    low_pass_hz = min(4_000.0, 0.4 * rate_hz)
    high = scipy.signal.butter(4, 250.0, "high", fs=rate_hz, output="sos")
    low = scipy.signal.butter(2, low_pass_hz, "low", fs=rate_hz, output="sos")
    passed = scipy.signal.sosfilt(np.concatenate([high, low]), sound_pa)
    return db_spl_from_power(float(np.mean(passed[rate_hz // 10 :] ** 2)))


def test_onset_weight_is_the_onset_detectors_filter() -> None:
    for rate_hz in (8_000, 16_000, 48_000):
        low_pass_hz = min(4_000.0, 0.4 * rate_hz)
        high = scipy.signal.butter(4, 250.0, "high", fs=rate_hz, output="sos")
        low = scipy.signal.butter(2, low_pass_hz, "low", fs=rate_hz, output="sos")
        frequency_hz = np.linspace(1.0, 0.499 * rate_hz, 500)
        _, transfer = scipy.signal.sosfreqz(np.concatenate([high, low]), frequency_hz, fs=rate_hz)
        got = onset_weight(frequency_hz, sample_rate_hz=rate_hz)
        assert got == pytest.approx(np.abs(transfer) ** 2, abs=1e-9)


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
@pytest.mark.parametrize("model", STEADY, ids=lambda model: repr(model)[:50])
def test_closed_form_is_what_the_onset_detector_hears(model: NoiseModel, rate_hz: int) -> None:
    sound_pa = draw_noise([model], duration_s=20.0, rng=rng()).pressure_pa(20 * rate_hz, sample_rate_hz=rate_hz)
    # 20 s of the narrowest (400 Hz) have 16,000 degrees of freedom: 0.05 dB at 1 sigma. The rest of the 0.25 dB is
    # for frames of 0.2 s, which smear the steep spectra a little.
    assert heard_db(sound_pa, rate_hz) == pytest.approx(band_level_db([model], sample_rate_hz=rate_hz), abs=0.25)


def test_level_over_time_is_what_is_heard_at_that_time() -> None:
    noise = draw_noise(MIX, duration_s=60.0, rng=rng(5))
    sound_pa = noise.pressure_pa(60 * RATE, sample_rate_hz=RATE)
    middles_s = np.arange(1.5, 60.0)
    fine_s = middles_s[:, np.newaxis] + np.linspace(-0.475, 0.475, 20)
    stated_db = noise.band_level_db(fine_s.ravel(), sample_rate_hz=RATE).reshape(fine_s.shape)
    stated_db = 10 * np.log10(np.mean(10 ** (stated_db / 10), axis=1))
    measured_db = [heard_db(sound_pa[round(t * RATE) - 28_800 : round(t * RATE) + 24_000], RATE) for t in middles_s]
    difference_db = np.array(measured_db) - stated_db
    # The level swings over more than 10 dB here. A second of wind, most of it near 250 Hz, has some 200 degrees of
    # freedom (0.4 dB); the mean over 60 has 0.06 dB.
    assert np.ptp(stated_db) > 10.0
    assert abs(difference_db.mean()) < 0.2
    assert np.abs(difference_db).max() < 2.0


@pytest.mark.parametrize(
    "model", [WindNoise(5.0), CityNoise(50.0), TrafficNoise(30.0)], ids=lambda model: repr(model)[:9]
)
def test_draws_have_the_stated_mean_power(model: NoiseModel) -> None:
    draws = [model.draw_powers(60.0, rng(seed)).mean(axis=1) for seed in range(400)]
    mean, sigma = np.mean(draws, axis=0), np.std(draws, axis=0) / math.sqrt(len(draws))
    # 3 sigma of the 400 draws themselves; traffic leaves out up to 1 % at the ends of a scene.
    assert np.all(np.abs(mean - model.mean_powers()) < 3.0 * sigma + 0.01 * mean)
    assert np.all(sigma < 0.05 * mean), "the test is blind"


def test_wind_is_van_den_bergs_formula_below_the_screens_corner() -> None:
    speed, height_m, roughness_m = 8.0, 4.0, 0.1
    frequency_hz = np.array([40.0, 60.0, 80.0])
    model = WindNoise(speed, height_m=height_m, roughness_m=roughness_m, screen_diameter_m=0.001)
    third_octave_hz = frequency_hz * (2 ** (1 / 6) - 2 ** (-1 / 6))
    got_db = 10 * np.log10(model.spectra_pa2_per_hz(frequency_hz)[0] * third_octave_hz / REFERENCE_PRESSURE_PA**2)
    wanted_db = (
        40 * np.log10(speed)
        - 6.67 * np.log10(height_m * frequency_hz / speed)
        - 20 * np.log10(0.2 * np.log(height_m / roughness_m))
        + 62.4
    )
    # The constant has three digits (0.05 dB), the slope 0.003 of it per decade and a half; the "1 +" in the spectrum
    # is 0.01 dB here. The corner at V / (3 D) = 2.7 kHz is 0.004 dB.
    assert got_db == pytest.approx(wanted_db, abs=0.08)


def test_wind_outdoors_is_more_than_in_an_even_flow() -> None:
    for speed in (3.0, 6.0, 12.0):
        strouhal = np.array([0.3, 1.0, 5.0])
        frequency_hz = strouhal * speed / 0.09
        even_db = 40 * math.log10(speed) - 23 * np.log10(strouhal) + 15
        density = WindNoise(speed).spectra_pa2_per_hz(frequency_hz)[0]
        outdoors_db = 10 * np.log10(density * frequency_hz * 0.2316 / REFERENCE_PRESSURE_PA**2)
        assert np.all(outdoors_db > even_db + 10.0)


def test_wind_grows_by_67_db_per_decade_of_speed_and_falls_as_screens_grow() -> None:
    def level_db(speed: float, screen_m: float = 0.09) -> float:
        return band_level_db([WindNoise(speed, screen_diameter_m=screen_m)], sample_rate_hz=RATE)

    # 40 + 20 + 6.67 per decade far above the screen's corner (18 Hz at 5 m/s); up to 37 Hz at 10 m/s is not quite far.
    assert level_db(10.0) - level_db(5.0) == pytest.approx(66.67 * math.log10(2), abs=0.1)
    assert level_db(5.0, 0.09) - level_db(5.0, 0.18) == pytest.approx(20 * math.log10(2), abs=0.1)
    assert level_db(0.0) == -math.inf
    fur = band_level_db([WindNoise(5.0, attenuation_db=-10.0)], sample_rate_hz=RATE)
    assert fur == pytest.approx(level_db(5.0) - 10.0, abs=1e-9)


@pytest.mark.parametrize("model", [CityNoise(47.0), RainNoise(47.0)], ids=["city", "rain"])
def test_a_weighted_levels_are_as_asked(model: NoiseModel) -> None:
    frequency_hz = np.geomspace(20.0, 20_000.0, 1_000)
    density = model.spectra_pa2_per_hz(frequency_hz)[0]
    # Another, coarser grid than the module's: 1e-3 dB.
    heard = float(integral(density * a_weighting(frequency_hz) ** 2, frequency_hz))
    assert db_spl_from_power(heard) == pytest.approx(47.0, abs=1e-3)


def test_one_car_is_as_loud_as_the_directive_says() -> None:
    # At 70 km/h and 1 kHz: rolling 100.1, propulsion 84.7 dB re 1 pW; half a sphere of 7.5 m: -20 lg 7.5 - 8.0 dB.
    model = TrafficNoise(60.0, distance_m=7.5, speed_mps=70 / 3.6, heavy_share=0.0)
    power = model._passing_powers(70 / 3.6, np.array([0.0]))[4, 0] * (10**10.01 + 10**8.47)
    wanted_db = 10 * math.log10(10**10.01 + 10**8.47) - 20 * math.log10(7.5) - 10 * math.log10(2 * math.pi)
    # Air takes 0.04 dB at 7.5 m.
    assert db_spl_from_power(float(power)) == pytest.approx(wanted_db, abs=0.05)


def test_a_pass_rises_and_falls_and_is_dull_from_afar() -> None:
    model = TrafficNoise(6.0, distance_m=15.0, speed_mps=14.0, heavy_share=0.0)
    powers = model._passing_powers(14.0, np.array([-20.0, -1.0, 0.0, 1.0, 20.0]))
    assert np.all(np.diff(powers[:, :3], axis=1) > 0)
    assert powers[:, ::-1] == pytest.approx(powers)
    # 280 m instead of 15: 25.4 dB by distance; the rest is air, 63 Hz to 8 kHz.
    extra_db = 10 * np.log10(powers[:, 2] / powers[:, 0]) - 20 * math.log10(math.hypot(15, 280) / 15)
    assert np.all(np.diff(extra_db) > 0)
    assert 0.0 < extra_db[0] < 0.1
    assert 20.0 < extra_db[7] < 40.0


def test_traffic_octaves_hold_their_power() -> None:
    model = TrafficNoise(6.0)
    frequency_hz = np.geomspace(20.0, 20_000.0, 9_000)
    assert integral(model.spectra_pa2_per_hz(frequency_hz), frequency_hz) == pytest.approx(np.ones(8), rel=1e-4)


def test_sources_add_in_power() -> None:
    parts = [10 ** (band_level_db([source], sample_rate_hz=RATE) / 10) for source in MIX]
    assert band_level_db(MIX, sample_rate_hz=RATE) == pytest.approx(10 * math.log10(sum(parts)), abs=1e-9)
    assert band_level_db([], sample_rate_hz=RATE) == -math.inf


def test_microphone_is_in_the_sound_and_in_the_closed_form() -> None:
    def heard(frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        microphone = MICROPHONES["vendor-93"]
        return response(frequency_hz, microphone) * converter_response(frequency_hz, 16_000) * 0.1

    sources = [CityNoise(50.0, sigma_db=0.0)]
    noise = draw_noise(sources, duration_s=20.0, rng=rng())
    sound_pa = noise.pressure_pa(320_000, sample_rate_hz=16_000, response=heard)
    stated_db = band_level_db(sources, sample_rate_hz=16_000, response=heard)
    # As above: 0.25 dB.
    assert heard_db(sound_pa, 16_000) == pytest.approx(stated_db, abs=0.25)
    assert noise.band_level_db(np.array([3.0]), sample_rate_hz=16_000, response=heard) == pytest.approx(stated_db)
    assert stated_db < band_level_db(sources, sample_rate_hz=16_000) - 19.0


def test_power_is_even_within_a_frame() -> None:
    noise = draw_noise([RainNoise(60.0, sigma_db=0.0)], duration_s=60.0, rng=rng())
    sound_pa = noise.pressure_pa(60 * 8_000, sample_rate_hz=8_000)
    parts = np.mean(sound_pa.reshape(-1, 20, 40) ** 2, axis=(0, 2))  # 20 places within the step of 0.1 s
    # 24,000 values each: 0.04 dB at 1 sigma for white noise, twice that for a coloured one; 4 sigma for 20 places.
    assert 10 * np.log10(parts / parts.mean()) == pytest.approx(np.zeros(20), abs=0.35)


def recording(seconds: float = 4.0, rate_hz: int = 44_100) -> NDArray[np.float64]:
    return 123.0 * rng(9).standard_normal(round(seconds * rate_hz))


def test_recording_is_looped_at_its_level() -> None:
    loop = RecordedNoise.from_recording(
        recording(), recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=61.0, level_band_hz=(20.0, 20_000.0)
    )
    noise = draw_noise([loop], duration_s=30.0, rng=rng())
    sound_pa = noise.pressure_pa(30 * RATE, sample_rate_hz=RATE)
    # 30 s are not whole loops of 3.5 s: 0.02 dB at 1 sigma; nothing of white noise at 44.1 kHz but a tenth is outside
    # 20 kHz: 10 lg (22.05 / 20) = 0.42 dB, less what the resampler's filter takes.
    assert db_spl_from_power(float(np.mean(sound_pa**2))) == pytest.approx(61.3, abs=0.2)
    length = len(loop.loop_pa)
    assert np.array_equal(sound_pa[:length], sound_pa[length : 2 * length])
    # No seam: the step over it is like any other (3 sigma of steps), and the power about it is even (0.1 s: 0.1 dB).
    seam = np.roll(loop.loop_pa, 2_400)[:4_800]
    assert abs(loop.loop_pa[0] - loop.loop_pa[-1]) < 4.0 * np.std(np.diff(loop.loop_pa))
    assert 10 * math.log10(np.mean(seam**2) / np.mean(loop.loop_pa**2)) == pytest.approx(0.0, abs=0.4)
    # Closed form against filtered sound: as above.
    assert heard_db(sound_pa, RATE) == pytest.approx(band_level_db([loop], sample_rate_hz=RATE), abs=0.25)
    assert noise.band_level_db(np.zeros(1), sample_rate_hz=RATE)[0] == band_level_db([loop], sample_rate_hz=RATE)


def test_recording_passes_the_microphone_too() -> None:
    loop = RecordedNoise.from_recording(recording(), recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=61.0)
    noise = draw_noise([loop], duration_s=5.0, rng=rng())

    def half(frequency_hz: NDArray[np.float64]) -> NDArray[np.complex128]:
        return np.full(frequency_hz.shape, 0.5 + 0j)

    plain, halved = (noise.pressure_pa(5 * RATE, sample_rate_hz=RATE, response=item) for item in (None, half))
    assert halved == pytest.approx(0.5 * plain, abs=1e-12)
    stated_db = [band_level_db([loop], sample_rate_hz=RATE, response=item) for item in (None, half)]
    assert stated_db[0] - stated_db[1] == pytest.approx(20 * math.log10(2), abs=1e-9)


def test_same_rng_same_bits() -> None:
    loop = RecordedNoise.from_recording(recording(), recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=50.0)

    def sound(seed: int, samples: int = 3 * RATE) -> NDArray[np.float64]:
        return draw_noise((*MIX, loop), duration_s=3.0, rng=rng(seed)).pressure_pa(samples, sample_rate_hz=RATE)

    assert np.array_equal(sound(1), sound(1))
    assert np.array_equal(sound(1)[:50_001], sound(1, 50_001))
    assert not np.array_equal(sound(1), sound(2))
    assert sound(1, 0).shape == (0,)


def test_one_more_source_leaves_the_draws_of_the_others() -> None:
    few, more = (draw_noise(sources, duration_s=9.0, rng=rng()) for sources in (MIX, (*MIX, RainNoise(40.0))))
    for one, other in zip(few.powers, more.powers[:3], strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(
    ("model", "changes", "text"),
    [
        (WindNoise, {"wind_speed_mps": -1.0}, "wind_speed_mps: -1, expected 0 to 60 m/s at the microphone"),
        (WindNoise, {"wind_speed_mps": math.nan}, "wind_speed_mps: nan"),
        (WindNoise, {"wind_speed_mps": 1.0, "screen_diameter_m": 0.0}, "screen_diameter_m: 0"),
        (WindNoise, {"wind_speed_mps": 1.0, "height_m": 0.1}, "height_m: 0.1, expected 0.15 to 500 m"),
        (WindNoise, {"wind_speed_mps": 1.0, "roughness_m": 0.0}, "roughness_m: 0"),
        (WindNoise, {"wind_speed_mps": 1.0, "attenuation_db": 3.0}, "attenuation_db: 3"),
        (WindNoise, {"wind_speed_mps": 1.0, "gust_sigma_db": -3.0}, "gust sigma: -3"),
        (WindNoise, {"wind_speed_mps": 1.0, "gust_time_s": 0.0}, "gust time: 0"),
        (CityNoise, {"level_dba": 400.0}, "level_dba: 400, expected -20 to 120 dB(A)"),
        (RainNoise, {"level_dba": -math.inf}, "level_dba: -inf"),
        (InsectNoise, {"level_db_spl": 130.0}, "level_db_spl: 130"),
        (InsectNoise, {"level_db_spl": 50.0, "centre_hz": 10.0}, "centre_hz: 10"),
        (InsectNoise, {"level_db_spl": 50.0, "bandwidth_hz": 4_000.0}, "bandwidth_hz: 4000, expected 50 to 1350 Hz"),
        (TrafficNoise, {"passes_per_minute": -1.0}, "passes_per_minute: -1"),
        (TrafficNoise, {"passes_per_minute": 1.0, "distance_m": 0.0}, "distance_m: 0"),
        (TrafficNoise, {"passes_per_minute": 1.0, "speed_mps": 50.0}, "speed_mps: 50, expected 5.55556 to 36.1111 m/s"),
        (TrafficNoise, {"passes_per_minute": 1.0, "heavy_share": 2.0}, "heavy_share: 2"),
        (TrafficNoise, {"passes_per_minute": 1.0, "temperature_c": 288.0}, "temperature_c: 288"),
        (TrafficNoise, {"passes_per_minute": 1.0, "humidity_percent": 0.0}, "humidity_percent: 0"),
    ],
)
def test_impossible_noise_is_named(model: type[Any], changes: dict[str, float], text: str) -> None:
    with pytest.raises(InputError) as caught:
        model(**changes)
    assert text in str(caught.value)


def test_impossible_requests_are_named() -> None:
    noise = draw_noise(MIX, duration_s=1.0, rng=rng())
    with pytest.raises(
        InputError, match="48001 samples of noise at 48000 Hz, but 1 s were drawn; draw noise for a lon"
    ):
        noise.pressure_pa(48_001, sample_rate_hz=RATE)
    with pytest.raises(InputError, match="sample rate 100 Hz, expected 4000 to 200000"):
        noise.pressure_pa(1, sample_rate_hz=100)
    with pytest.raises(InputError, match="noise for 0 s, expected more than 0 and at most a day"):
        draw_noise(MIX, duration_s=0.0, rng=rng())
    with pytest.raises(InputError, match=r"band \(4000.0, 250.0\) Hz at 48000 Hz, expected 0 < high pass < low pass"):
        band_level_db(MIX, sample_rate_hz=RATE, band_hz=(4_000.0, 250.0))


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        (np.zeros((2, 9_000)), "recording of shape (2, 9000)"),
        (np.zeros(10), "at least 0.1 s (4410 samples)"),
        (np.full(9_000, math.nan), "9000 values not finite"),
        (np.zeros(9_000), "the recording is silent between 20 and 20000 Hz"),
    ],
)
def test_impossible_recordings_are_named(samples: NDArray[np.float64], text: str) -> None:
    with pytest.raises(InputError) as caught:
        RecordedNoise.from_recording(samples, recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=50.0)
    assert text in str(caught.value)


def test_recordings_have_rates_and_bands() -> None:
    with pytest.raises(InputError, match="recorded_rate_hz: sample rate 0 Hz"):
        RecordedNoise.from_recording(recording(), recorded_rate_hz=0, sample_rate_hz=RATE, level_db_spl=50.0)
    with pytest.raises(InputError, match=r"level_band_hz: band \(9.0, 8.0\) Hz, expected low < high"):
        RecordedNoise.from_recording(
            recording(), recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=50.0, level_band_hz=(9.0, 8.0)
        )
    loop = RecordedNoise.from_recording(recording(), recorded_rate_hz=44_100, sample_rate_hz=RATE, level_db_spl=50.0)
    with pytest.raises(InputError, match="a recorded noise at 48000 Hz in a scene at 16000 Hz"):
        draw_noise([loop], duration_s=1.0, rng=rng()).pressure_pa(10, sample_rate_hz=16_000)
