"""Clocks of simulated nodes: one timestamp error for sound and detections, and figures that are those of the notes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sensor_node.sampleclock import UNTIMED_SIGMA_NS, FixedRateClock
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline_recordings.simulate.clocks import CLOCK_SCENARIOS, ClockScenario, NodeClock, draw_clock

START_NS = 1_700_000_000_000_000_000
DRAWS = 2_000
"""Relative error of a standard deviation from these, at 1 sigma: 1/sqrt(2 n) = 1.6 %."""


def rng(seed: int = 1) -> np.random.Generator:
    return np.random.default_rng(seed)


def errors_s(scenario: ClockScenario, **given: float) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return e(t) at 0, 1, 10 and 60 s of many clocks, shape (DRAWS, 4)."""
    random = rng(7)
    times_s = np.array([0.0, 1.0, 10.0, 60.0])
    return np.array(
        [draw_clock(scenario, duration_s=60.0, rng=random, **given).timestamp_error_s(times_s) for _ in range(DRAWS)]
    )


@pytest.mark.parametrize("scenario", CLOCK_SCENARIOS)
def test_a_file_read_back_gives_true_time_plus_error(scenario: ClockScenario) -> None:
    clock = draw_clock(scenario, duration_s=30.0, rng=rng())
    times_s = np.array([0.5, 3.123456789, 29.9])
    start_ns = clock.claimed_start_time_ns(START_NS, first_sample_s=0.0123)
    index = clock.sample_index(times_s, sample_rate_hz=48_000, first_sample_s=0.0123)
    reader = FixedRateClock(start_ns, 48_000, clock.sigma_ns, clock.state)
    read_s = np.array([reader.utc_at(float(item)).time_ns - START_NS for item in index]) * 1e-9
    # The reader rounds to 1 ns; double precision at 30 s and 1.4 million samples is far below.
    assert read_s == pytest.approx(times_s + clock.timestamp_error_s(times_s), abs=1.1e-9)


def test_first_sample_is_index_0() -> None:
    for scenario in CLOCK_SCENARIOS:
        clock = draw_clock(scenario, duration_s=30.0, rng=rng(3))
        index = clock.sample_index(np.array([0.25]), sample_rate_hz=48_000, first_sample_s=0.25)
        # The claimed start is a whole nanosecond: half of one is 2.4e-5 samples.
        assert index == pytest.approx([0.0], abs=2.5e-5)


def test_exact_is_exact() -> None:
    clock = draw_clock("exact", duration_s=60.0, rng=rng())
    times_s = np.linspace(0.0, 60.0, 7)
    assert not clock.timestamp_error_s(times_s).any()
    assert clock.claimed_start_time_ns(START_NS) == START_NS
    assert np.array_equal(clock.sample_index(times_s, sample_rate_hz=48_000), times_s * 48_000)
    assert (clock.state, clock.sigma_ns) == (ClockState.PPS, 1_000)


def test_rate_error_stays_in_the_file_only_where_nobody_corrects_it() -> None:
    corrected = NodeClock(scenario="pps", state=ClockState.PPS, sigma_ns=1, rate_error_ppm=40.0)
    left = NodeClock(
        scenario="free_running", state=ClockState.UNTIMED, sigma_ns=1, rate_error_ppm=40.0, rate_corrected=False
    )
    times_s = np.array([0.0, 100.0])
    assert not corrected.timestamp_error_s(times_s).any()
    # A fast converter makes more samples: 40 ppm of 100 s is 4 ms, late; 4,800,192 samples instead of 4.8 million.
    assert left.timestamp_error_s(times_s) == pytest.approx([0.0, 0.004], abs=1e-12)
    assert left.sample_index(times_s, sample_rate_hz=48_000) == pytest.approx([0.0, 4_800_192.0], abs=1e-6)


def test_drift_offset_and_wander_add_up() -> None:
    clock = NodeClock(
        scenario="holdover",
        state=ClockState.HOLDOVER,
        sigma_ns=5,
        offset_ns=100.0,
        drift_ppm=0.01,
        wander_step_s=2.0,
        wander_ns=(0.0, 40.0, -40.0),
    )
    got_ns = clock.timestamp_error_s(np.array([0.0, 1.0, 2.0, 3.0, 4.0, 10.0])) * 1e9
    assert got_ns == pytest.approx([100.0, 100 + 10 + 20, 100 + 20 + 40, 100 + 30, 100 + 40 - 40, 100 + 100 - 40])


@pytest.mark.parametrize(
    ("scenario", "bias_us", "sigma_us", "state"),
    [
        ("pps_audio", 0.0, math.hypot(1.0, 1.5), ClockState.PPS_AUDIO),
        ("pps", 24.0, math.hypot(10.0, 3.6), ClockState.PPS),
        ("pps_usb", 120.0, math.hypot(20.0, 13.0), ClockState.PPS),
        ("ntp", 0.0, math.hypot(3_000.0, 500.0), ClockState.NTP),
    ],
)
def test_disciplined_clocks_have_the_figures_of_the_notes(
    scenario: ClockScenario, bias_us: float, sigma_us: float, state: ClockState
) -> None:
    errors_us = errors_s(scenario) * 1e6
    # 3 sigma: of a mean 3/sqrt(2000) = 6.7 % of the spread, of a spread 3 x 1.6 % = 4.7 %. At every time: stationary.
    assert errors_us.mean(axis=0) == pytest.approx(np.full(4, bias_us), abs=0.067 * sigma_us)
    assert errors_us.std(axis=0) == pytest.approx(np.full(4, sigma_us), rel=0.047)
    clock = draw_clock(scenario, duration_s=1.0, rng=rng())
    assert clock.state is state
    # What it claims covers what it is, bias and all, and not by more than the 1.5 that rounding to a figure needs.
    rms_us = float(np.sqrt(np.mean(errors_us**2)))
    assert rms_us < clock.sigma_ns * 1e-3 < 1.7 * rms_us


def test_wander_forgets_in_its_own_time() -> None:
    errors = errors_s("pps_usb")
    constant = np.corrcoef(errors.T)
    node_share = 20.0**2 / (20.0**2 + 13.0**2)
    wanted = [node_share + (1 - node_share) * math.exp(-lag_s / 5.0) for lag_s in (1.0, 10.0, 60.0)]
    # The error of a correlation r from n pairs is (1 - r^2)/sqrt(n) < 0.011 here: 3 sigma.
    assert constant[0, 1:] == pytest.approx(wanted, abs=0.033)


@pytest.mark.parametrize(("holdover_s", "median_us"), [(60.0, 17.0), (300.0, 137.0), (900.0, 670.0)])
def test_holdover_is_as_measured_and_goes_on_as_it_began(holdover_s: float, median_us: float) -> None:
    random = rng(11)
    clocks = [
        draw_clock("holdover", duration_s=2 * holdover_s, rng=random, holdover_s=holdover_s) for _ in range(DRAWS)
    ]
    errors_us = np.array([clock.timestamp_error_s(np.array([0.0, holdover_s])) for clock in clocks]) * 1e6
    ends_us = errors_us - 24.0
    sigma_us = math.hypot(median_us / 0.6745, 10.0)
    # 3 sigma of a spread: 4.7 %.
    assert ends_us[:, 0].std() == pytest.approx(sigma_us, rel=0.047)
    # A frequency that walks at random: variance as time cubed, so 8 times after twice as long.
    assert ends_us[:, 1].std() == pytest.approx(math.hypot(math.sqrt(8.0) * median_us / 0.6745, 10.0), rel=0.047)
    assert {clock.state for clock in clocks} == {ClockState.HOLDOVER}
    claimed_us = clocks[0].sigma_ns * 1e-3
    assert claimed_us == pytest.approx(30.0 + 1.2 * holdover_s)
    assert np.mean(np.abs(errors_us[:, 0]) < 2 * claimed_us) > 0.93  # a claim to be believed: 95 % less 3 sigma


def test_free_running_claims_nothing_and_drifts_by_the_crystal() -> None:
    random = rng(2)
    clocks = [draw_clock("free_running", duration_s=100.0, rng=random) for _ in range(DRAWS)]
    assert {(clock.state, clock.sigma_ns) for clock in clocks} == {(ClockState.UNTIMED, UNTIMED_SIGMA_NS)}
    growth_ppm = np.array([np.diff(clock.timestamp_error_s(np.array([0.0, 100.0])))[0] * 1e4 for clock in clocks])
    # Uniform in +-50 ppm: 28.9 rms, from 2000 to 3 x 1.0 % (uniform has less scatter than normal); temperature adds
    # 0.06 ppm.
    assert growth_ppm.std() == pytest.approx(100.0 / math.sqrt(12.0), rel=0.03)
    assert np.abs(growth_ppm).max() < 50.5
    offsets_s = np.array([clock.timestamp_error_s(np.zeros(1))[0] for clock in clocks])
    assert offsets_s.std() == pytest.approx(0.2, rel=0.047)


def test_stepped_is_a_pps_clock_that_is_wrong_and_does_not_know() -> None:
    true = draw_clock("pps", duration_s=60.0, rng=rng(4))
    for offset_ms in (10.0, -10.0, 3.0):
        wrong = draw_clock("stepped", duration_s=60.0, rng=rng(4), offset_ms=offset_ms)
        times_s = np.linspace(0.0, 60.0, 5)
        moved_s = wrong.timestamp_error_s(times_s) - true.timestamp_error_s(times_s)
        assert moved_s == pytest.approx(np.full(5, offset_ms * 1e-3), abs=1e-12)
        assert (wrong.state, wrong.sigma_ns) == (true.state, true.sigma_ns)
    usual = draw_clock("stepped", duration_s=60.0, rng=rng(4))
    assert usual == draw_clock("stepped", duration_s=60.0, rng=rng(4), offset_ms=10.0)


@pytest.mark.parametrize("scenario", CLOCK_SCENARIOS)
def test_same_rng_same_clock(scenario: ClockScenario) -> None:
    first, again = (draw_clock(scenario, duration_s=20.0, rng=rng()) for _ in range(2))
    assert first == again
    assert scenario == "exact" or first != draw_clock(scenario, duration_s=20.0, rng=rng(2))


def test_a_single_instant_is_enough() -> None:
    for scenario in CLOCK_SCENARIOS:
        assert len(draw_clock(scenario, duration_s=0.0, rng=rng()).wander_ns) == 1


def test_impossible_clocks_are_named() -> None:
    with pytest.raises(
        InputError, match="scenario: no clock scenario 'gps'; there are exact, pps_audio, pps, pps_usb,"
    ):
        draw_clock("gps", duration_s=1.0, rng=rng())  # type: ignore[arg-type]
    with pytest.raises(InputError, match="duration_s: nan s, expected 0 s to a day"):
        draw_clock("pps", duration_s=math.nan, rng=rng())
    with pytest.raises(InputError, match="offset_ms: 10 given for the scenario 'pps'; it belongs to 'stepped'"):
        draw_clock("pps", duration_s=1.0, rng=rng(), offset_ms=10.0)
    with pytest.raises(InputError, match="holdover_s: 9 given for the scenario 'ntp'; it belongs to 'holdover'"):
        draw_clock("ntp", duration_s=1.0, rng=rng(), holdover_s=9.0)
    with pytest.raises(InputError, match="holdover_s: 0 s without pulses, expected 1 s to a day"):
        draw_clock("holdover", duration_s=1.0, rng=rng(), holdover_s=0.0)
    with pytest.raises(InputError, match="sample rate 0 Hz is not more than 0"):
        draw_clock("pps", duration_s=1.0, rng=rng()).sample_index(np.zeros(1), sample_rate_hz=0)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"sigma_ns": -1}, "sigma_ns: sigma -1 ns is negative"),
        ({"wander_step_s": 0.0}, "wander_step_s: step 0 s, expected more than 0"),
        ({"offset_ns": math.nan}, "offset_ns: [nan], expected finite numbers"),
        ({"rate_error_ppm": math.inf}, "rate_error_ppm: [inf]"),
        ({"drift_ppm": math.inf}, "drift_ppm: [inf]"),
        ({"wander_ns": ()}, "wander_ns: [], expected finite numbers"),
        ({"wander_ns": (0.0, math.nan)}, "wander_ns: [0.0, nan]"),
    ],
)
def test_impossible_values_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(InputError) as caught:
        NodeClock(**({"scenario": "pps", "state": ClockState.PPS, "sigma_ns": 1} | changes))
    assert text in str(caught.value)
