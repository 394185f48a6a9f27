"""Microphones: linear answers against closed forms, and every way in which a recording goes wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA, a_weighting
from shotline_recordings.simulate.microphone import (
    MICROPHONES,
    AutomaticGain,
    Microphone,
    converter_response,
    record,
    response,
)

RATE = 48_000
IDEAL = MICROPHONES["ideal"]


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def kept(pressure_pa: NDArray[np.float64], microphone: Microphone, seed: int = 1) -> NDArray[np.int16]:
    return record(pressure_pa, microphone=microphone, sample_rate_hz=RATE, rng=rng(seed))


def tone_pa(peak_db_spl: float, seconds: float = 1.0, frequency_hz: float = 1_000.0) -> NDArray[np.float64]:
    time_s = np.arange(round(seconds * RATE)) / RATE
    return REFERENCE_PRESSURE_PA * 10 ** (peak_db_spl / 20) * np.sin(2 * np.pi * frequency_hz * time_s)


def test_a_weighting_is_the_standards_table() -> None:
    # IEC 61672-1 table 3 states 0.1 dB: half of its last digit.
    table = {31.623: -39.4, 100.0: -19.1, 251.19: -8.6, 1_000.0: 0.0, 2_511.9: 1.3, 10_000.0: -2.5, 19_952.6: -9.3}
    got_db = 20 * np.log10(a_weighting(np.array(list(table))))
    assert got_db == pytest.approx(list(table.values()), abs=0.051)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_vent_is_a_butterworth_high_pass(order: int) -> None:
    microphone = replace(IDEAL, low_corner_hz=60.0, low_order=order)
    frequency_hz = np.array([0.0, 6.0, 60.0, 600.0, 6_000.0])
    ratio = (frequency_hz / 60.0) ** (2 * order)
    # Closed form of the modulus: exact but for rounding.
    assert np.abs(response(frequency_hz, microphone)) ** 2 == pytest.approx(ratio / (1 + ratio), abs=1e-12)


def test_resonance_is_q_high_and_lags_by_a_quarter_turn() -> None:
    value = response(np.array([28_000.0]), replace(IDEAL, resonance_hz=28_000.0, resonance_q=4.0))[0]
    assert value == pytest.approx(-4j, abs=1e-12)


def test_mems_resonance_explains_the_3_db_point_of_its_datasheet() -> None:
    # INMP441: 3 dB at 15 kHz; resonance and Q were chosen for it, to 0.2 dB; the vent takes 0.02 dB at 1 kHz.
    rise = np.abs(response(np.array([15_000.0, 1_000.0]), MICROPHONES["mems-120"]))
    assert 20 * math.log10(rise[0] / rise[1]) == pytest.approx(3.0, abs=0.2)


def test_blocked_port_is_weaker_and_duller() -> None:
    muffled = replace(IDEAL, muffled_db=-20.0, muffled_corner_hz=1_000.0)
    level_db = 20 * np.log10(np.abs(response(np.array([0.0, 1_000.0, 10_000.0]), muffled)))
    assert level_db == pytest.approx([-20.0, -20.0 - 10 * math.log10(2), -20.0 - 10 * math.log10(101)], abs=1e-9)


@pytest.mark.parametrize("name", MICROPHONES)
def test_no_microphone_answers_before_it_is_asked(name: str) -> None:
    # Sampled at 4 MHz, so that the ends of the band alias little, for 65 ms, in which the slowest vent (20 Hz) has died
    # to 3e-4: an impulse 1 ms late, 0.5 us wide, has less than 1e-3 of its peak earlier than 10 us before its time.
    # A filter of linear phase would ring there.
    count, fast = 2**18, 4_000_000
    frequency_hz = np.arange(count // 2 + 1) * (fast / count)
    smooth = np.exp(-0.5 * (frequency_hz / 300_000) ** 2)
    late = np.exp(-2j * np.pi * frequency_hz * 0.001)
    heard = np.fft.irfft(response(frequency_hz, replace(MICROPHONES[name], muffled_db=-6.0)) * smooth * late, count)
    assert np.abs(heard[: round(0.00099 * fast)]).max() < 1e-3 * np.abs(heard).max()


def test_converter_is_flat_then_a_cosine_then_nothing() -> None:
    got = converter_response(np.array([0.0, 0.35, 0.425, 0.5, 0.6]) * RATE, RATE)
    assert got == pytest.approx([1.0, 1.0, 0.5, 0.0, 0.0], abs=1e-12)


def test_ideal_microphone_only_rounds() -> None:
    pressure_pa = tone_pa(110.0)
    wanted = pressure_pa / IDEAL.full_scale_pa * 32_768
    # Half a step, plus rounding of double precision.
    assert np.abs(kept(pressure_pa, IDEAL) - wanted).max() <= 0.5 + 1e-9


def test_full_scale_is_a_peak_level_and_clips_both_ways() -> None:
    samples = kept(tone_pa(126.0), IDEAL)
    assert (samples.max(), samples.min()) == (32_767, -32_768)
    # 6 dB over: a sine is beyond half its peak for 2/3 of the time; 1 kHz at 48 kHz samples that exactly to 1 in 48,
    # and the two samples of a period that just touch the limit may fall either way.
    assert np.mean((samples == 32_767) | (samples == -32_768)) == pytest.approx(2 / 3, abs=0.05)


def test_gain_error_moves_the_level_and_not_the_noise() -> None:
    microphone = replace(IDEAL, gain_error_db=6.0)
    assert kept(tone_pa(100.0), microphone).max() == pytest.approx(kept(tone_pa(106.0), IDEAL).max(), abs=1)
    noisy = replace(IDEAL, self_noise_dba=60.0)
    silence = np.zeros(RATE)
    assert np.array_equal(kept(silence, noisy), kept(silence, replace(noisy, gain_error_db=6.0)))


def test_self_noise_has_the_stated_a_weighted_level() -> None:
    microphone = replace(IDEAL, self_noise_dba=50.0)
    samples = kept(np.zeros(10 * RATE), microphone)
    lines = np.abs(np.fft.rfft(samples)) ** 2 * 2 / len(samples) ** 2
    frequency_hz = np.arange(len(lines)) * 0.1
    audible = (frequency_hz > 20) & (frequency_hz < 20_000)
    heard = (lines * a_weighting(frequency_hz) ** 2)[audible].sum() * (microphone.full_scale_pa / 32_768) ** 2
    # 200,000 independent lines: 0.01 dB at 1 sigma; rounding noise (1/12 step^2 against 6 step^2) adds 0.06 dB.
    assert 10 * math.log10(heard / REFERENCE_PRESSURE_PA**2) == pytest.approx(50.0, abs=0.1)


def test_overload_is_linear_below_and_a_wall_above() -> None:
    microphone = replace(IDEAL, full_scale_db_spl=140.0, overload_db_spl=120.0)
    quiet, loud = kept(tone_pa(100.0), microphone), kept(tone_pa(150.0), microphone)
    # 20 dB below the wall the curve bends by 1e-9 of the signal: less than the rounding, which it may tip by one step.
    assert np.abs(quiet - kept(tone_pa(100.0), replace(IDEAL, full_scale_db_spl=140.0)).astype(int)).max() <= 1
    assert np.abs(loud.astype(int)).max() == pytest.approx(3_276.8, abs=0.6)


def test_24_bits_are_stored_as_16_with_dither_that_keeps_what_is_below_a_step() -> None:
    level = 0.3 * IDEAL.full_scale_pa / 32_768
    still = np.full(RATE, level)
    assert not kept(still, IDEAL).any()
    samples = kept(still, replace(IDEAL, bits=24))
    # Rms of triangular dither plus rounding is 0.5 steps: the mean of 48,000 has 0.0023 at 1 sigma.
    assert samples.mean() == pytest.approx(0.3, abs=0.007)
    assert samples.std() == pytest.approx(0.5, abs=0.01)


def test_offset_and_dropouts() -> None:
    samples = kept(np.zeros(60 * RATE), replace(IDEAL, dc_offset=0.01, dropouts_per_minute=20.0, dropout_s=0.1))
    assert set(np.unique(samples).tolist()) == {0, 328}
    # Poisson with mean 20 and 0.1 s each: 2.0 s +- 0.45 at 1 sigma, a little less where they overlap; 3 sigma.
    assert np.count_nonzero(samples == 0) / RATE == pytest.approx(2.0, abs=1.35)


def test_gain_control_brings_a_steady_tone_to_its_target() -> None:
    microphone = replace(IDEAL, gain_control=AutomaticGain(target_dbfs=-12.0, release_s=0.1))
    for level_db_spl in (90.0, 118.0):
        peak = np.abs(kept(tone_pa(level_db_spl, 2.0), microphone)[-RATE // 2 :].astype(int)).max()
        # The last millisecond holds one whole period: its peak is the tone's, to the rounding of a step in 8,231.
        assert 20 * math.log10(peak / 32_768) == pytest.approx(-12.0, abs=0.05)


def test_gain_control_lets_the_first_blow_through_then_ducks_and_recovers() -> None:
    control = AutomaticGain(target_dbfs=-20.0, attack_s=0.01, release_s=0.5)
    microphone = replace(IDEAL, gain_control=control)
    quiet, loud = tone_pa(100.0, 1.0), tone_pa(116.0, 0.2)
    samples = kept(np.concatenate([quiet, loud, tone_pa(100.0, 3.0)]), microphone).astype(int)

    def peak_dbfs(first_s: float, last_s: float) -> float:
        return 20 * math.log10(np.abs(samples[round(first_s * RATE) : round(last_s * RATE)]).max() / 32_768)

    assert peak_dbfs(0.5, 1.0) == pytest.approx(-20.0, abs=0.05)
    # The gain knows of the blow a millisecond later: its first millisecond is 16 dB too loud.
    assert peak_dbfs(1.0, 1.001) == pytest.approx(-4.0, abs=0.1)
    assert peak_dbfs(1.15, 1.2) == pytest.approx(-20.0, abs=0.05)  # 15 time constants
    assert peak_dbfs(1.205, 1.22) < -34.0  # ducked by 16 dB, 4 % of a release time constant later
    # exp(-1.5/0.5) of 16 dB is 0.8 dB still to go.
    assert peak_dbfs(2.69, 2.7) == pytest.approx(-20.8, abs=0.15)


def test_gain_control_is_causal() -> None:
    microphone = replace(IDEAL, gain_control=AutomaticGain())
    first = tone_pa(100.0, 1.5)
    other = first.copy()
    other[RATE + 7_000 :] *= 10.0
    changed = np.flatnonzero(kept(first, microphone) != kept(other, microphone))
    assert changed.min() >= RATE + 7_000


def test_same_rng_same_bits_and_one_fault_more_changes_no_noise() -> None:
    microphone = replace(MICROPHONES["mems-120"], dropouts_per_minute=30.0)
    pressure_pa = tone_pa(60.0, 4.0)
    assert np.array_equal(kept(pressure_pa, microphone), kept(pressure_pa, microphone))
    assert not np.array_equal(kept(pressure_pa, microphone), kept(pressure_pa, microphone, seed=2))
    whole = kept(pressure_pa, MICROPHONES["mems-120"])
    broken = kept(pressure_pa, microphone)
    assert np.array_equal(broken[broken != 0], whole[broken != 0])


def test_input_is_left_alone_and_may_be_empty() -> None:
    pressure_pa = tone_pa(125.0)
    before = pressure_pa.copy()
    kept(pressure_pa, replace(MICROPHONES["mems-135"], gain_control=AutomaticGain(), dc_offset=0.1))
    assert np.array_equal(pressure_pa, before)
    assert kept(np.zeros(0), replace(MICROPHONES["mems-120"], gain_control=AutomaticGain())).shape == (0,)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"full_scale_db_spl": 20.0}, "full_scale_db_spl: 20, expected 60 to 200 dB SPL, peak"),
        ({"overload_db_spl": math.nan}, "overload_db_spl: nan"),
        ({"self_noise_dba": 120.0}, "self_noise_dba: 120"),
        ({"low_corner_hz": -1.0}, "low_corner_hz: -1"),
        ({"low_order": 5}, "low_order: 5, expected an order of 1 to 4"),
        ({"resonance_hz": 10.0}, "resonance_hz: 10"),
        ({"resonance_q": 0.0}, "resonance_q: 0"),
        ({"bits": 8}, "bits: 8 bits, expected a converter of 16 or 24"),
        ({"gain_error_db": 99.0}, "gain_error_db: 99"),
        ({"muffled_db": 3.0}, "muffled_db: 3, expected -80 to 0 dB"),
        ({"muffled_corner_hz": 0.0}, "muffled_corner_hz: 0"),
        ({"dc_offset": 1.0}, "dc_offset: 1"),
        ({"dropouts_per_minute": -1.0}, "dropouts_per_minute: -1"),
        ({"dropout_s": 0.0}, "dropout_s: 0"),
    ],
)
def test_impossible_microphones_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        replace(IDEAL, **changes)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"target_dbfs": 1.0}, "target_dbfs: 1"),
        ({"attack_s": 0.0}, "attack_s: 0"),
        ({"release_s": math.inf}, "release_s: inf"),
        ({"highest_gain_db": -1.0}, "highest_gain_db: -1"),
        ({"lowest_gain_db": 31.0}, "lowest_gain_db: 31, expected -60 to 30 dB, at most the highest gain"),
    ],
)
def test_impossible_gain_controls_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        AutomaticGain(**changes)
    assert text in str(caught.value)


def test_impossible_sound_is_named() -> None:
    with pytest.raises(InputError, match=r"pressure of shape \(2,\), 1 values not finite; expected one row"):
        kept(np.array([0.0, math.nan]), IDEAL)
    with pytest.raises(InputError, match=r"pressure of shape \(2, 3\)"):
        kept(np.zeros((2, 3)), IDEAL)
    with pytest.raises(InputError, match="sample rate 0 Hz is not more than 0"):
        record(np.zeros(3), microphone=IDEAL, sample_rate_hz=0, rng=rng())
    with pytest.raises(InputError, match="sample rate -1 Hz is not more than 0"):
        converter_response(np.zeros(3), -1)
