"""The physics: a causal spectrum from a gain, and the Faddeeva function that ground and edges need."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import wofz

from shotline.propagation import minimum_phase
from shotline.propagation.faddeeva import faddeeva

RATE_HZ = 8000.0


def one_pole(count: int) -> np.ndarray:
    """The spectrum of 1, a, a², ...: causal, with no zero outside the unit circle, so its own minimum phase."""
    return 1.0 / (1.0 - 0.7 * np.exp(-2j * np.pi * np.arange(count // 2 + 1) / count))


@pytest.mark.parametrize("count", [512, 513])
def test_a_minimum_phase_filter_comes_back_from_its_gain(count: int) -> None:
    wanted = one_pole(count)
    # The cepstrum 0.7^n / n has fallen to 1e-40 where it folds: rounding only.
    np.testing.assert_allclose(minimum_phase(np.log(np.abs(wanted)), count), wanted, rtol=1e-12)


def test_nothing_sounds_before_its_time() -> None:
    count = 4096
    log_gain = -3e-4 * (np.arange(count // 2 + 1) * RATE_HZ / count) ** 1.5 * 1e-2
    response = np.fft.irfft(minimum_phase(log_gain, count), count)
    # Half of the samples are before time 0. What is there is the fold of a cepstrum that falls like n^-2.5.
    assert np.abs(response[count // 2 :]).max() < 1e-5 * np.abs(response).max()
    np.testing.assert_allclose(np.abs(np.fft.rfft(response)), np.exp(log_gain), rtol=1e-12)


def test_many_gains_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(3)
    slopes = rng.uniform(0.0, 2.0, (3, 2, 1))
    log_gain = -slopes * np.linspace(0.0, 1.0, 129) ** 2
    together = minimum_phase(log_gain, 256)
    assert together.shape == (3, 2, 129)
    for index in np.ndindex(3, 2):
        np.testing.assert_allclose(together[index], minimum_phase(log_gain[index], 256), rtol=1e-13)


def test_no_loss_changes_nothing() -> None:
    np.testing.assert_array_equal(minimum_phase(np.zeros(65), 128), np.ones(65))


def test_faddeeva_in_the_upper_half_plane() -> None:
    rng = np.random.default_rng(1)
    size = 10.0 ** rng.uniform(-6.0, 8.0, 20_000)
    argument = size * np.exp(1j * rng.uniform(0.0, np.pi, size.size))
    argument[:2000] = argument[:2000].real
    argument = argument.real + 1j * np.abs(argument.imag)
    # 32 terms of the series: 3e-13 at the worst.
    np.testing.assert_allclose(faddeeva(argument), wofz(argument), rtol=1e-12)


def test_faddeeva_in_the_lower_half_plane() -> None:
    rng = np.random.default_rng(2)
    argument = rng.uniform(-15.0, 15.0, (50, 40)) - 1j * rng.uniform(0.0, 15.0, (50, 40))
    # Relative to the larger of the two that are subtracted: w has zeros there.
    scale = np.abs(wofz(argument)) + np.abs(wofz(-argument))
    error = np.abs(faddeeva(argument) - wofz(argument)) / scale
    # exp(-z²) with |z|² up to 450 magnifies the rounding of its exponent by as much: 450 * 1e-16, and the series.
    assert error.max() < 1e-12
    assert error.shape == (50, 40)


def test_faddeeva_known_values_and_no_overflow() -> None:
    assert faddeeva(np.array([0.0 + 0.0j]))[0] == pytest.approx(1.0, rel=1e-12)
    # exp(1) erfc(1), Abramowitz and Stegun table 7.1.
    assert faddeeva(np.array([1.0j]))[0] == pytest.approx(0.427583576155807, rel=1e-12)
    deep = faddeeva(np.array([-1e3j, 1e200 + 0j, 30.0 - 40.0j]))
    assert np.isfinite(deep).all()
    assert abs(deep[0]) > 1e300
