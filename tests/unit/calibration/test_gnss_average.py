"""Averages of fixes: exact without noise, honest with it, not led astray, and silent where there is no answer."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from gnss_samples import HOME, START_NS, fixes_at, wander_m

from sensor_node.gpsd import Fix
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.position.average import (
    Average,
    AverageSettings,
    NoAverage,
    NoAverageReason,
    _averaged,
    _mean_variance,
    average_fixes,
)

NO_BIAS = AverageSettings(bias_sigma_m=0.0, bias_sigma_up_m=0.0)


def averaged(fixes: list[Fix], settings: AverageSettings | None = None) -> Average:
    found = average_fixes(fixes, settings)
    assert isinstance(found, Average), found
    return found


def apart_m(found: Average, at: tuple[float, float, float] = HOME) -> tuple[float, float, float]:
    return LocalFrame(*at).to_enu_m(found.lat_deg, found.lon_deg, found.height_m)


@pytest.mark.parametrize("at", [HOME, (-33.9, 151.2, -20.0), (12.0, 180.0, 100.0), (-17.0, -179.9999999, 3.0)])
def test_equal_fixes_have_their_place_as_average(at: tuple[float, float, float]) -> None:
    found = averaged(fixes_at(np.zeros((120, 3)), 30.0, at=at))
    # 1e-7 m: the resolution of degrees in a float64 is 2e-9 m at the equator, and pyproj's way back is 0.1 um.
    assert apart_m(found, at) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert found.how.fixes == 120
    assert found.how.duration_s == 119 * 30.0


def test_across_the_date_line() -> None:
    places = np.tile([[3.0, 0.0, 0.0], [-3.0, 0.0, 0.0]], (100, 1))
    found = averaged(fixes_at(places, 30.0, at=(10.0, 180.0, 0.0)))
    assert abs(abs(found.lon_deg) - 180.0) < 1e-4


def test_moved_fixes_move_the_average_alike() -> None:
    enu_m = wander_m(480, 30.0, [(600.0, 2.0)], np.random.default_rng(2))
    here, there = averaged(fixes_at(enu_m, 30.0)), averaged(fixes_at(enu_m + np.array([100.0, -50.0, 7.0]), 30.0))
    # The metres of the second are about its first fix, 110 m away: a flat frame there differs by 0.1 mm.
    assert np.array(apart_m(there)) - apart_m(here) == pytest.approx(np.array([100.0, -50.0, 7.0]), abs=2e-3)
    assert there.sigma_m == pytest.approx(here.sigma_m, rel=1e-3)


def test_more_fixes_in_the_same_time_tell_no_more() -> None:
    """Ten times the fixes: one over the root of n would make a third of it."""
    rng = np.random.default_rng(3)
    slow = wander_m(240, 30.0, [(1_800.0, 3.0)], rng)
    often = np.repeat(slow, 10, axis=0)
    few, many = averaged(fixes_at(slow, 30.0)), averaged(fixes_at(often, 3.0))
    assert many.how.fixes == 10 * few.how.fixes
    assert many.sigma_m == pytest.approx(few.sigma_m, rel=0.02)
    assert many.how.independent < 12.0


@pytest.mark.parametrize(
    ("parts", "hours"),
    [
        ([(600.0, 3.0)], 4.0),
        ([(1_800.0, 3.0)], 1.0),
        ([(7_200.0, 3.0)], 4.0),
        ([(60.0, 1.0), (600.0, 2.0), (3_600.0, 2.0)], 8.0),
    ],
)
def test_the_error_is_honest(parts: list[tuple[float, float]], hours: float) -> None:
    """NEES of the plane: for a consistent error its mean over 24 runs is under 3.5 in 99.9 % of such tests.

    (Chi-squared with 48 degrees of freedom: 84.0 over 24.) It may be careful, not bold.
    """
    rng = np.random.default_rng(11)
    squares = []
    for _ in range(24):
        found = averaged(fixes_at(wander_m(round(hours * 60), 60.0, parts, rng), 60.0), _minutely(NO_BIAS))
        east_m, north_m, _ = apart_m(found)
        squares.append((east_m**2 + north_m**2) / found.sigma_m**2)
    assert 0.15 < float(np.mean(squares)) < 3.5


def test_the_error_falls_with_time_and_never_below_the_bias() -> None:
    enu_m = wander_m(2_880, 60.0, [(600.0, 2.0)], np.random.default_rng(5))
    sigmas = [averaged(fixes_at(enu_m[:count], 60.0), _minutely()).sigma_m for count in (30, 240, 2_880)]
    assert sigmas[0] > sigmas[1] > sigmas[2] > 1.0
    assert sigmas[2] < 1.1
    assert sigmas[0] > 2.0


def test_what_it_says_of_longer_holds() -> None:
    """After four hours the forecast for 48 is near what 48 hours then say."""
    enu_m = wander_m(2_880, 60.0, [(600.0, 2.0), (3_600.0, 1.0)], np.random.default_rng(6))
    first = averaged(fixes_at(enu_m[:240], 60.0), _minutely(NO_BIAS))
    last = averaged(fixes_at(enu_m, 60.0), _minutely(NO_BIAS))
    assert first.forecast[0] == (pytest.approx(239.0 / 60.0), pytest.approx(first.sigma_m))
    assert all(one[1] >= two[1] for one, two in zip(first.forecast, first.forecast[1:], strict=False))
    said_m = next(sigma_m for hours, sigma_m in first.forecast if hours >= 48.0)
    # What four hours know of slow errors is little: within a factor of two and a half.
    assert 1.0 / 2.5 < said_m / last.sigma_m < 2.5
    hours = first.hours_for(said_m)
    assert hours is not None
    assert 48.0 <= hours < 53.0
    assert averaged(fixes_at(enu_m, 60.0), _minutely()).hours_for(0.9) is None


def test_one_fix_in_four_may_be_anywhere() -> None:
    enu_m = np.zeros((480, 3))
    enu_m[::4] = [400.0, -900.0, 80.0]
    found = averaged(fixes_at(enu_m, 30.0))
    assert apart_m(found) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)


def test_minutes_elsewhere_are_set_aside() -> None:
    enu_m = wander_m(480, 30.0, [(600.0, 1.0)], np.random.default_rng(7))
    away = enu_m.copy()
    away[100:120, 0] += 500.0
    found = averaged(fixes_at(away, 30.0))
    assert found.how.fixes_rejected >= 20
    assert math.hypot(*apart_m(found)[:2]) < 3.0 * found.sigma_m


def test_an_antenna_that_was_carried_away_has_no_average() -> None:
    enu_m = wander_m(480, 30.0, [(600.0, 1.0)], np.random.default_rng(8))
    enu_m[300:, 1] += 25.0
    found = average_fixes(fixes_at(enu_m, 30.0))
    assert isinstance(found, NoAverage)
    assert found.reason is NoAverageReason.MOVED
    assert found.detail.startswith("by 2")


def test_there_may_be_no_answer() -> None:
    assert average_fixes([]) == NoAverage(NoAverageReason.NO_FIXES, "none of 0; is the antenna under the sky?")
    flat = [Fix(START_NS, 2, 51.0, 0.0), Fix(None, 3, 51.0, 0.0, 1.0), Fix(START_NS, 3, None, 0.0, 1.0)]
    none = average_fixes(flat)
    assert isinstance(none, NoAverage)
    assert none.reason is NoAverageReason.NO_FIXES
    short = average_fixes(fixes_at(np.zeros((200, 3)), 1.0))
    assert isinstance(short, NoAverage)
    assert short.reason is NoAverageReason.TOO_SHORT
    assert short.detail == "3.3 minutes with 200 fixes; expected 10 minutes or more"


def test_a_receiver_that_says_it_is_poor_is_believed_and_one_that_brags_is_not() -> None:
    enu_m = wander_m(60, 30.0, [(600.0, 1.0)], np.random.default_rng(9))
    poor, plain, proud = (averaged(fixes_at(enu_m, 30.0, stated_m=said_m)) for said_m in (9.0, None, 0.01))
    assert poor.sigma_m > 2.0 * plain.sigma_m
    assert proud.sigma_m == plain.sigma_m


def test_another_time_of_day_tells_more_than_the_next_hour() -> None:
    """The same values, the second half an hour later or at once: what is far apart is less alike."""
    fixes = fixes_at(wander_m(240, 30.0, [(1_800.0, 3.0)], np.random.default_rng(10)), 30.0)
    later = [dataclasses.replace(fix, time_ns=(fix.time_ns or 0) + 10 * 3_600 * 10**9) for fix in fixes[120:]]
    apart, at_once = averaged([*fixes[:120], *later], NO_BIAS), averaged(fixes, NO_BIAS)
    assert apart.how.fixes == at_once.how.fixes == 240
    assert apart.sigma_m < 0.9 * at_once.sigma_m


def test_windows_of_a_gauss_markov_process() -> None:
    """Against sums over many instants: the closed forms are those of the means of two windows."""
    time_s, length_s = 700.0, 300.0
    inside = (np.arange(2_000) + 0.5) * length_s / 2_000
    for begin_s, expected in ((0.0, 1.0), (300.0, None), (900.0, None)):
        covariance = np.mean(np.exp(-np.abs(inside[:, None] - inside[None, :] - begin_s) / time_s))
        own = np.mean(np.exp(-np.abs(inside[:, None] - inside[None, :]) / time_s))
        said = _averaged(np.array([[begin_s]]), length_s, time_s)[0, 0]
        # A midpoint sum of 2,000 steps is good to 1e-7.
        assert said == pytest.approx(covariance / own if expected is None else expected, abs=1e-6)
        assert _mean_variance(length_s / time_s) == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"window_s": 0.0}, "window_s: 0.0 is not more than 0"),
        ({"prior_weight": 2.0}, "prior_weight: 2.0 is not more than 2"),
        ({"bias_sigma_m": -1.0}, "bias_sigma_m: -1.0 is not 0 or more"),
        ({"prior_sigma_m": math.nan}, "prior_sigma_m: nan"),
    ],
)
def test_settings_that_cannot_be(changes: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        AverageSettings(**changes)  # type: ignore[arg-type]


def _minutely(settings: AverageSettings | None = None) -> AverageSettings:
    """Return settings for fixes a minute apart: five in a window."""
    return dataclasses.replace(settings or AverageSettings(), least_fixes=3)
