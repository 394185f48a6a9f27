"""The level of full scale from calibrator tones, and where a microphone ends, on sounds whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from microphone_samples import RATE_HZ, bursts, calibrator_tone

from shotline.errors import InputError
from shotline_calibration.microphone.clipping import Ceiling, NoCeiling, NoCeilingReason, find_ceiling, rising_tone
from shotline_calibration.microphone.describe import clipping_result, level_result
from shotline_calibration.microphone.level import CALIBRATOR_CLASSES, Level, level_of
from shotline_calibration.microphone.tone import NoTone, NoToneReason, Tone, measure_tone

FIRST = CALIBRATOR_CLASSES["1"]


def tone(seed: int = 0, **changes: float) -> Tone:
    found = measure_tone(calibrator_tone(np.random.default_rng(seed), **changes), RATE_HZ, about_hz=1_000.0)
    assert isinstance(found, Tone), found
    return found


def level(*tones: Tone, **changes: object) -> Level:
    given = {"level_db_spl": 94.0, "frequency_hz": 1_000.0, "calibrator": FIRST, **changes}
    return level_of(tones, **given)  # type: ignore[arg-type]


def test_a_tone_without_noise_gives_its_level_exactly() -> None:
    time_s = np.arange(10 * RATE_HZ) / RATE_HZ
    found = measure_tone(0.25 * np.sin(2.0 * np.pi * 1_000.3 * time_s), RATE_HZ, about_hz=1_000.0)
    assert isinstance(found, Tone)
    # A sine of amplitude 0.25 has -12.04 dBFS peak, 3.01 less in rms.
    assert found.rms_dbfs == pytest.approx(20.0 * math.log10(0.25) - 10.0 * math.log10(2.0), abs=1e-6)
    assert found.frequency_hz == pytest.approx(1_000.3, abs=1e-5)
    assert found.fluctuation_db < 1e-6
    assert found.thd_percent < 1e-6


@pytest.mark.parametrize("full_scale_db_spl", [93.5, 123.0, 139.0])
@pytest.mark.parametrize("frequency_hz", [1_000.0, 997.3, 250.0])
def test_full_scale_is_found(full_scale_db_spl: float, frequency_hz: float) -> None:
    about = 250.0 if frequency_hz == 250.0 else 1_000.0
    # 94 dB on a microphone of 93.5 dB would clip: its calibrator makes 84 dB.
    made_db = 84.0 if full_scale_db_spl < 100.0 else 94.0
    sound = calibrator_tone(
        np.random.default_rng(1),
        full_scale_db_spl=full_scale_db_spl,
        level_db_spl=made_db,
        frequency_hz=frequency_hz,
    )
    found = measure_tone(sound, RATE_HZ, about_hz=about)
    assert isinstance(found, Tone)
    result = level_of([found] * 3, level_db_spl=made_db, frequency_hz=about, calibrator=FIRST)
    # Of 10 s of tone noise at -85 dBFS moves the level by less than a thousandth of a decibel.
    assert result.full_scale_db_spl == pytest.approx(full_scale_db_spl, abs=2e-3)
    assert found.frequency_hz == pytest.approx(frequency_hz, abs=1e-2)


def test_noise_does_not_add_to_the_level() -> None:
    # 7 dB over the noise: the rms of the whole would be 0.8 dB too high.
    loud = tone(noise_dbfs=-36.0)
    assert loud.rms_dbfs == pytest.approx(-29.0, abs=0.01)
    assert loud.snr_db == pytest.approx(7.0, abs=0.1)


def test_distortion_and_fluctuation_are_measured() -> None:
    assert tone(second_harmonic=0.04).thd_percent == pytest.approx(4.0, abs=0.05)
    # Time-weighting F leaves nearly all of a swing with 0.3 Hz.
    assert tone(swing_db=0.3).fluctuation_db == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize(
    ("sound", "reason"),
    [
        (np.zeros(20 * RATE_HZ), NoToneReason.SILENT),
        (np.ones(3 * RATE_HZ), NoToneReason.SHORT),
        (0.01 * np.random.default_rng(0).standard_normal(20 * RATE_HZ), NoToneReason.NOISE),
        (np.random.default_rng(0).standard_normal(20 * RATE_HZ) ** 9 * 1e-6, NoToneReason.SHORT),
    ],
)
def test_what_is_no_tone(sound: np.ndarray, reason: NoToneReason) -> None:
    found = measure_tone(sound, RATE_HZ, about_hz=1_000.0)
    assert isinstance(found, NoTone)
    assert found.reason is reason


def test_the_error_is_the_calibrators_and_that_of_insertions() -> None:
    good = tone()
    three = level(good, good, good)
    assert three.calibrator_sigma_db == pytest.approx(0.40 / math.sqrt(3.0))
    # Three that agree: four times 0.15 dB squared over six, over the root of three.
    assert three.repeat_sigma_db == pytest.approx(0.15 * math.sqrt(4.0 / 6.0) / math.sqrt(3.0))
    assert three.sigma_db == pytest.approx(math.hypot(three.calibrator_sigma_db, three.repeat_sigma_db))
    assert three.warnings == ()
    certified = level(good, calibrator_sigma_db=0.08, correction_db=-0.12, correction_sigma_db=0.3)
    assert certified.full_scale_db_spl == pytest.approx(three.full_scale_db_spl - 0.12)
    assert certified.sigma_db == pytest.approx(math.sqrt(0.08**2 + 0.15**2 + 0.3**2))
    spread = level(good, tone(level_db_spl=95.0), tone(level_db_spl=93.0))
    assert spread.repeat_sigma_db > 2.0 * three.repeat_sigma_db


def test_the_interval_holds_the_truth() -> None:
    rng = np.random.default_rng(3)
    inside = 0
    for _ in range(2_000):
        # A calibrator off by up to what its class allows, insertions that scatter by 0.15 dB.
        off_db = rng.uniform(-0.4, 0.4)
        each = [
            Tone(1_000.0, -29.0 + off_db + 0.15 * float(rng.standard_normal()), 10.0, 0.0, 0.0, 60.0, 0, np.zeros(4))
            for _ in range(3)
        ]
        found = level(*each)
        inside += abs(found.full_scale_db_spl - 123.0) <= 2.0 * found.sigma_db
    # A rectangle has no tails: two sigma hold more than 95 %.
    assert inside >= 0.95 * 2_000


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"frequency_hz": 1_012.0}, r"1012\.00 Hz is 1\.2 % off, class 1 allows 0\.7 %"),
        ({"swing_db": 0.3}, r"the level moves by 0\.\d+ dB, class 1 allows 0\.07 dB"),
        ({"second_harmonic": 0.04}, r"distortion of 4\.0 %, a calibrator has at most 2\.5 %"),
        ({"noise_dbfs": -41.0}, r"only 12 dB over the noise"),
        ({"drift_db": 0.9}, r"the level drifts by \+0\.\d+ dB"),
    ],
)
def test_what_is_not_as_it_should_be_is_told(changes: dict[str, float], says: str) -> None:
    import re

    bad = tone(**changes)
    warnings = level(bad, bad, bad).warnings
    assert any(re.search(says, text) for text in warnings), warnings


def test_too_few_insertions_and_a_leak_are_told() -> None:
    good = tone()
    assert "1 of 3 insertions" in level(good).warnings[0]
    warnings = level(good, tone(level_db_spl=93.2), good).warnings
    assert "insertions differ by 0.80 dB" in warnings[0]


def test_a_second_level_shows_gain_control() -> None:
    good, louder = tone(full_scale_db_spl=139.0), tone(full_scale_db_spl=139.0, level_db_spl=114.0)
    found = level(good, good, good, second=[louder], second_level_db_spl=114.0)
    assert found.linearity_db == pytest.approx(0.0, abs=1e-3)
    assert found.warnings == ()
    turned = tone(full_scale_db_spl=139.0, level_db_spl=111.0)
    found = level(good, good, good, second=[turned], second_level_db_spl=114.0)
    assert found.linearity_db == pytest.approx(-3.0, abs=1e-3)
    assert "the second level reads -3.00 dB off" in found.warnings[0]


def test_what_is_refused() -> None:
    with pytest.raises(InputError, match="no tone; give a recording"):
        level()
    with pytest.raises(InputError, match=r"insertion 1 has \d+ samples at full scale; use 94 dB instead of 114 dB"):
        level(tone(level_db_spl=121.0))
    with pytest.raises(InputError, match=r"insertion 1 has a tone of 1100\.0 Hz, expected 1000 Hz"):
        level(tone(frequency_hz=1_100.0))
    quiet = tone()
    given = {"calibrator_class": "1", "level_db_spl": 9.0, "frequency_hz": 1e3, "correction_db": 0.0}
    with pytest.raises(InputError, match=r"full scale would be 38\.0 dB SPL, expected 40 to 200"):
        level_result(level(quiet, level_db_spl=9.0), [quiet], **given, correction_sigma_db=0.0)  # type: ignore[arg-type]


@pytest.mark.parametrize("noise", [1e-4, 1e-3])
@pytest.mark.parametrize(("ceiling", "floor"), [(1.0, -1.0), (0.6, -0.6), (0.2, -0.2)])
def test_flat_tops_give_the_ceiling(noise: float, ceiling: float, floor: float) -> None:
    found = find_ceiling(bursts(np.random.default_rng(1), ceiling=ceiling, floor=floor, noise=noise), RATE_HZ)
    assert isinstance(found, Ceiling)
    # Noise of 1e-3 on a ceiling of 0.2 is 0.04 dB, and crests are where it is highest.
    assert found.clip_dbfs == pytest.approx(20.0 * math.log10(ceiling), abs=0.06)
    assert found.digital == (ceiling == 1.0)
    assert found.crests > 20


def test_the_two_sides_may_end_apart() -> None:
    found = find_ceiling(bursts(np.random.default_rng(2), ceiling=0.8, floor=-0.5), RATE_HZ)
    assert isinstance(found, Ceiling)
    assert found.positive_dbfs == pytest.approx(20.0 * math.log10(0.8), abs=0.03)
    assert found.negative_dbfs == pytest.approx(20.0 * math.log10(0.5), abs=0.03)
    assert found.clip_dbfs == found.negative_dbfs


@pytest.mark.parametrize("frequency_hz", [31.0, 100.0, 997.0, 6_000.0])
def test_smooth_crests_are_no_ceiling(frequency_hz: float) -> None:
    time_s = np.arange(5 * RATE_HZ) / RATE_HZ
    sound = 0.9 * np.sin(2.0 * np.pi * frequency_hz * time_s)
    found = find_ceiling(np.round(32_768.0 * sound) / 32_768.0, RATE_HZ)
    assert isinstance(found, NoCeiling)
    assert found.reason is NoCeilingReason.NOT_REACHED
    assert found.loudest_dbfs == pytest.approx(20.0 * math.log10(0.9), abs=0.01)


def test_loud_sounds_that_do_not_clip_are_a_lower_bound() -> None:
    sound = bursts(np.random.default_rng(4), loudest=0.7)
    found = find_ceiling(sound, RATE_HZ)
    assert isinstance(found, NoCeiling)
    result = clipping_result(found, sound, [], 123.0, 0.4)
    assert result.clip_dbfs is None
    assert result.clip_db_spl == pytest.approx(123.0 + found.loudest_dbfs)
    assert "ceiling      not reached" in result.sentences()[0]
    with pytest.raises(InputError, match="there is no loud sound in it"):
        clipping_result(find_ceiling(np.zeros(9_000), RATE_HZ), np.zeros(9_000), [], None, None)


def test_a_growing_tone_tells_where_distortion_begins() -> None:
    time_s = np.arange(30 * RATE_HZ) / RATE_HZ
    amplitude = 10.0 ** (np.linspace(-40.0, 6.0, len(time_s)) / 20.0)
    sound = np.clip(amplitude * np.sin(2.0 * np.pi * 997.0 * time_s), -0.5, 0.5)
    points = rising_tone(
        sound + 1e-4 * np.random.default_rng(0).standard_normal(len(sound)), RATE_HZ, frequency_hz=997.0
    )
    assert [point.thd_percent for point in points] == [1.0, 3.0, 10.0]
    # Blocks of 0.1 s rise by 0.15 dB.
    ceiling_dbfs = 20.0 * math.log10(0.5)
    assert points[0].peak_dbfs == pytest.approx(ceiling_dbfs + _clipped_fundamental_db(1.0), abs=0.1)
    assert points[2].peak_dbfs == pytest.approx(ceiling_dbfs + _clipped_fundamental_db(10.0), abs=0.1)
    assert rising_tone(0.1 * np.sin(2.0 * np.pi * 997.0 * time_s), RATE_HZ, frequency_hz=997.0) == []


def _clipped_fundamental_db(thd_percent: float) -> float:
    """Return the level of the fundamental of a clipped sine over its ceiling when it is so distorted, numerically."""
    angle = np.linspace(0.0, 2.0 * np.pi, 20_000, endpoint=False)
    for drive_db in np.arange(0.0, 12.0, 0.005):
        wave = np.clip(10.0 ** (drive_db / 20.0) * np.sin(angle), -1.0, 1.0)
        harmonics = np.abs(np.fft.rfft(wave))[1:7] * 2.0 / len(angle)
        if 100.0 * np.sqrt(np.sum(harmonics[1:] ** 2)) / harmonics[0] >= thd_percent:
            return 20.0 * math.log10(harmonics[0])
    raise AssertionError("never so distorted")
