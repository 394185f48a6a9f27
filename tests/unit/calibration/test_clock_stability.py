"""Residuals, Allan deviation and holdover of clocks whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from clock_samples import oscillator

from shotline.errors import InputError
from shotline_calibration.clock.holdover import LEAST_RAMP_PER_S, holdover_of
from shotline_calibration.clock.noisemodel import ClockNoise, fit_noise, track
from shotline_calibration.clock.phase import PhaseSeries, clean, frequency_of, longest_even
from shotline_calibration.clock.stability import NOISES, deviations, residuals_of

COUNT = 8_192


def series(phase_s: np.ndarray, *, step_s: float = 1.0) -> PhaseSeries:
    return PhaseSeries(step_s * np.arange(len(phase_s)), phase_s, free=True, what="clock")


@pytest.mark.parametrize(
    ("kind", "noise", "slope"),
    [("white phase", 2, -1.0), ("white frequency", 0, -0.5), ("random-walk frequency", -2, 0.5)],
)
def test_deviations_are_those_of_the_closed_form(kind: str, noise: int, slope: float) -> None:
    # White phase of sigma x: sqrt(3) x / tau. White frequency of x a root second: x / sqrt(tau). A random walk of
    # frequency of y a root second: y sqrt(tau / 3 + 1 / (6 tau)) for steps of one second [Riley2008, table of noises].
    rng = np.random.default_rng(5)
    sigma = 1e-7
    draws = sigma * rng.standard_normal(COUNT)
    phase_s = {2: draws, 0: np.cumsum(draws), -2: np.cumsum(np.cumsum(draws))}[noise]
    rows = deviations(series(phase_s))
    expected = {
        2: lambda tau: math.sqrt(3.0) * sigma / tau,
        0: lambda tau: sigma / math.sqrt(tau),
        -2: lambda tau: sigma * math.sqrt(tau / 3.0 + 1.0 / (6.0 * tau)),
    }[noise]
    within = [row.adev_low <= expected(row.tau_s) <= row.adev_high for row in rows]
    # 95 % intervals of eleven averaging times, which are alike: one may miss.
    assert sum(within) >= len(rows) - 1
    for row in rows[:5]:
        # 8,192 readings tell an Allan deviation at short times to 3 %.
        assert row.adev == pytest.approx(expected(row.tau_s), rel=0.06)
        assert NOISES[row.alpha] == kind
        assert row.tdev_s == pytest.approx(row.tau_s * row.mdev / math.sqrt(3.0))
        assert row.tdev_low_s < row.tdev_s < row.tdev_high_s
    long, short = rows[4], rows[2]
    found = math.log(long.adev / short.adev) / math.log(long.tau_s / short.tau_s)
    assert found == pytest.approx(slope, abs=0.12)


def test_a_drift_is_told_from_noise() -> None:
    rows = deviations(series(0.5 * 1e-9 * np.arange(2_048.0) ** 2))
    # Pure drift D has an Allan deviation of D tau / sqrt(2) [Riley2008].
    for row in rows:
        assert row.adev == pytest.approx(1e-9 * row.tau_s / math.sqrt(2.0), rel=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    inside = total = 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 2])
        for row in deviations(series(np.cumsum(1e-9 * rng.standard_normal(1_024))))[:8:3]:
            inside += row.adev_low <= 1e-9 / math.sqrt(row.tau_s) <= row.adev_high
            total += 1
    # 180 intervals of 95 %: within three sigma of a binomial, 4.9 %.
    assert 0.90 <= inside / total <= 1.0


def test_residuals_are_those_of_one_reading() -> None:
    rng = np.random.default_rng(3)
    clock = oscillator(4_000, rng, white_phase_s=2e-7, wander=1e-9, white_frequency=1e-10)
    found = residuals_of(clock)
    assert found.rms_s == pytest.approx(2e-7, rel=0.05)
    assert found.p95_s == pytest.approx(1.96 * 2e-7, rel=0.07)
    assert found.p50_s < found.p95_s < found.p99_s <= found.most_s


def test_spikes_are_left_out_and_a_step_cuts() -> None:
    rng = np.random.default_rng(8)
    clock = oscillator(3_000, rng, wander=1e-9)
    phase_s = clock.phase_s.copy()
    spikes = [100, 500, 501, 900, 2_000]
    phase_s[spikes] += [1e-3, -2e-4, 5e-5, -1e-2, 3e-5]
    phase_s[1_000:] += 100 / 48_000
    found = clean(series(phase_s))
    assert found.spikes == len(spikes)
    assert found.steps == 1
    # The longest piece is what came after the step, but for the readings beside it.
    assert 1_990 <= len(found.series.time_s) <= 2_000
    assert found.left_out == 3_000 - len(spikes) - len(found.series.time_s)
    assert found.sigma_s == pytest.approx(1e-7, rel=0.1)


def test_a_clean_series_stays_whole() -> None:
    clock = oscillator(5_000, np.random.default_rng(9))
    found = clean(clock)
    assert (found.spikes, found.steps, found.left_out) == (0, 0, 0)


def test_short_gaps_are_filled_and_long_ones_cut() -> None:
    clock = oscillator(1_000, np.random.default_rng(1))
    keep = np.ones(1_000, dtype=bool)
    keep[[50, 51, 300]] = False
    assert len(longest_even(clock.part(keep)).time_s) == 1_000
    keep[700:720] = False
    assert longest_even(clock.part(keep)).duration_s == 699.0


def test_what_makes_no_series() -> None:
    with pytest.raises(InputError, match="as many of each"):
        PhaseSeries(np.arange(3.0), np.arange(2.0), free=True, what="x")
    with pytest.raises(InputError, match="times must rise"):
        PhaseSeries(np.array([0.0, 0.0]), np.zeros(2), free=True, what="x")
    with pytest.raises(InputError, match="8 readings of the clock; expected 32 or more"):
        clean(series(np.zeros(8)))
    with pytest.raises(InputError, match="the longest piece of the clock without a step has"):
        clean(series(np.repeat([0.0, 1.0, 0.0, 1.0], 20) + 1e-9 * np.arange(80)))
    with pytest.raises(InputError, match="expected 32"):
        deviations(series(np.arange(20.0)))
    with pytest.raises(InputError, match=r"lasts 1\.6 minutes, expected 4 or more"):
        holdover_of(series(1e-6 * np.arange(100.0)))


def test_the_filter_is_that_of_the_textbook() -> None:
    # The slow, obvious twin: matrices.
    rng = np.random.default_rng(2)
    clock = oscillator(60, rng, step_s=10.0)
    noise = ClockNoise(white_phase_s=1e-7, white_frequency=3e-9, wander=2e-8)
    found = track(clock, noise)
    state = np.array([clock.phase_s[0], (clock.phase_s[1] - clock.phase_s[0]) / 10.0])
    spread = np.diag([1e-14, 1e-8])
    move = np.array([[1.0, 10.0], [0.0, 1.0]])
    grown = 9e-18 * np.array([[10.0, 0.0], [0.0, 0.0]]) + 4e-16 * np.array([[1000.0 / 3.0, 50.0], [50.0, 10.0]])
    seen = np.array([[1.0, 0.0]])
    for index in range(1, 60):
        state, spread = move @ state, move @ spread @ move.T + grown
        gain = spread @ seen.T / (seen @ spread @ seen.T + 1e-14)
        state = state + gain[:, 0] * (clock.phase_s[index] - state[0])
        spread = spread - gain @ seen @ spread
        assert found.phase_s[index] == pytest.approx(state[0], rel=1e-9)
        assert found.frequency[index] == pytest.approx(state[1], rel=1e-9)
        assert (found.p00[index], found.p11[index]) == pytest.approx((spread[0, 0], spread[1, 1]), rel=1e-6)
    assert found.variance_s2(noise, 30.0)[-1] == pytest.approx(
        float(np.array([1.0, 30.0]) @ spread @ np.array([1.0, 30.0])) + 9e-18 * 30.0 + 4e-16 * 9_000.0, rel=1e-6
    )


def test_the_noise_that_was_put_in_is_found() -> None:
    rng = np.random.default_rng(11)
    clock = oscillator(1_500, rng, step_s=10.0, white_phase_s=2e-6, wander=2e-8, white_frequency=1e-10)
    found = fit_noise(clock)
    # 1,500 innovations tell a sigma to a few per cent; white phase and the walk are told apart well at this step.
    assert found.white_phase_s == pytest.approx(2e-6, rel=0.25)
    assert found.wander == pytest.approx(2e-8, rel=0.15)


def test_holdover_is_what_the_clock_does() -> None:
    wander = 2e-8
    found = holdover_of(oscillator(7_200, np.random.default_rng(1), wander=wander))
    for gap_s in (60.0, 300.0, 900.0):
        # A random walk of frequency alone makes wander sqrt(tau^3 / 3); what the filter does not know of the frequency
        # when the pulse is lost comes on top, a few per cent, and two hours tell a sigma to 10 to 20 %.
        assert found.sigma_s(gap_s) == pytest.approx(wander * math.sqrt(gap_s**3 / 3.0), rel=0.25)
    budget = found.budget(1e-3)
    assert budget.holdover_s == pytest.approx((3.0 * (1e-3 / wander) ** 2) ** (1.0 / 3.0), rel=0.2)
    assert abs(budget.holdover_s - (3.0 * (1e-3 / wander) ** 2) ** (1.0 / 3.0)) < 3.0 * budget.sigma_s
    assert budget.ramp_holdover_s < budget.holdover_s
    soon = found.budget(0.3e-3)
    assert soon.holdover_s < budget.holdover_s
    assert found.sigma_s(soon.holdover_s) == pytest.approx(0.3e-3, rel=1e-3)
    assert found.sigma_s(soon.ramp_holdover_s, ramp=True) == pytest.approx(0.3e-3, rel=1e-3)
    assert found.checks
    for check in found.checks:
        if check.independent > 20.0:
            # Of so many gaps a mean square is within half of what it should be.
            assert 0.5 < check.nees < 1.6


def test_a_calm_clock_holds_for_days_and_a_steep_ramp_is_remembered() -> None:
    calm = oscillator(3_000, np.random.default_rng(4), white_phase_s=1e-8, white_frequency=1e-13, wander=1e-14)
    assert holdover_of(calm, ramp_per_s=0.0).budget(1e-3).holdover_s == 7.0 * 86_400.0
    time_s = np.arange(3_000.0)
    # 3 ppm in ten minutes.
    ramp = PhaseSeries(time_s, calm.phase_s + 0.5 * 5e-9 * np.maximum(time_s - 1_200.0, 0.0) ** 2, free=True, what="x")
    found = holdover_of(ramp)
    assert found.seen_ramp_per_s == pytest.approx(5e-9, rel=0.01)
    assert found.ramp_per_s == found.seen_ramp_per_s > LEAST_RAMP_PER_S
    # Alone it makes 0.5 r t^2.
    assert found.budget(1e-3).ramp_holdover_s <= math.sqrt(2e-3 / 5e-9) * 1.01


def test_frequency_over_pieces() -> None:
    at_s, frequency = frequency_of(series(3e-6 * np.arange(1_801.0)), 600.0)
    assert at_s.tolist() == [300.0, 900.0, 1_500.0]
    assert frequency == pytest.approx(3e-6, rel=1e-9)
    assert len(frequency_of(series(np.arange(700.0)), 600.0)[0]) == 0
