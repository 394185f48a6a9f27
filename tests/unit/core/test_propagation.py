"""The physics: travel time in moving air, absorption."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import shotline.propagation
from shotline.propagation import absorption_db_per_m, travel_time_s

C_MPS = 340.0
STILL = np.zeros(2)
COORDINATE_M = st.floats(-3000.0, 3000.0)


def one(source: tuple[float, ...], site: tuple[float, ...], wind: tuple[float, ...]) -> float:
    time_s = travel_time_s(np.array(source), np.array([site]), speed_of_sound_mps=C_MPS, wind_mps=np.array(wind))
    assert time_s.shape == (1,)
    return float(time_s[0])


def test_public_names_exist() -> None:
    assert all(hasattr(shotline.propagation, name) for name in shotline.propagation.__all__)


@given(COORDINATE_M, COORDINATE_M, COORDINATE_M, COORDINATE_M)
def test_still_air_is_distance_over_speed(x: float, y: float, px: float, py: float) -> None:
    assert one((x, y), (px, py), (0.0, 0.0)) == pytest.approx(math.hypot(x - px, y - py) / C_MPS, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("wind_mps", [0.5, 5.0, 25.0])
@pytest.mark.parametrize("heading_deg", [0.0, 45.0, 137.0, 180.0, 270.0])
def test_downwind_upwind_and_crosswind(wind_mps: float, heading_deg: float) -> None:
    heading = math.radians(heading_deg)
    along = np.array([math.sin(heading), math.cos(heading)])
    across = np.array([along[1], -along[0]])
    r_m = 500.0
    sites = np.array([along * r_m, -along * r_m, across * r_m, -across * r_m])
    times_s = travel_time_s(np.zeros(2), sites, speed_of_sound_mps=C_MPS, wind_mps=wind_mps * along)
    beam_s = r_m / math.sqrt(C_MPS**2 - wind_mps**2)
    expected = [r_m / (C_MPS + wind_mps), r_m / (C_MPS - wind_mps), beam_s, beam_s]
    np.testing.assert_allclose(times_s, expected, rtol=1e-12)


@given(COORDINATE_M, COORDINATE_M, st.floats(-30.0, 30.0), st.floats(-30.0, 30.0))
def test_the_front_is_a_sphere_carried_by_the_wind(x: float, y: float, east_mps: float, north_mps: float) -> None:
    time_s = one((0.0, 0.0), (x, y), (east_mps, north_mps))
    # The defining equation |r - w t| = c t, in metres.
    assert math.hypot(x - east_mps * time_s, y - north_mps * time_s) == pytest.approx(C_MPS * time_s, abs=1e-9)
    # Two nearly equal numbers are subtracted: next to nothing may come out just below it.
    assert time_s >= -1e-15


def test_three_dimensions() -> None:
    assert one((0.0, 0.0, 0.0), (200.0, 300.0, 600.0), (0.0, 0.0, 0.0)) == pytest.approx(700.0 / C_MPS, rel=1e-14)
    assert one((0.0, 0.0, 100.0), (0.0, 0.0, 0.0), (0.0, 0.0, -10.0)) == pytest.approx(100.0 / 350.0, rel=1e-14)


def test_no_distance_takes_no_time() -> None:
    assert one((3.0, 4.0), (3.0, 4.0), (5.0, -5.0)) == 0.0


def test_five_mps_of_wind_ignored_is_the_designs_7_m_at_500_m() -> None:
    # The design states two digits, 7.3 m; exactly r w / (c + w) = 7.25 m.
    late_m = 500.0 - C_MPS * one((0.0, 0.0), (500.0, 0.0), (5.0, 0.0))
    assert late_m == pytest.approx(7.3, abs=0.06)


def test_many_sources_at_once_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(7)
    sources, sites = rng.uniform(-900, 900, (40, 2)), rng.uniform(-900, 900, (6, 2))
    wind = np.array([3.0, -4.0])
    together = travel_time_s(sources[:, None, :], sites, speed_of_sound_mps=C_MPS, wind_mps=wind)
    one_by_one = [travel_time_s(source, sites, speed_of_sound_mps=C_MPS, wind_mps=wind) for source in sources]
    assert together.shape == (40, 6)
    # The same sums in another order of the product with the wind: an ulp or two.
    np.testing.assert_allclose(together, one_by_one, rtol=1e-13)


BANDS_HZ = np.array([63.0, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0])


@pytest.mark.parametrize(
    ("temperature_c", "humidity_percent", "published_db_per_km"),
    [
        (10.0, 70.0, (0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117.0)),
        (20.0, 70.0, (0.1, 0.3, 1.1, 2.8, 5.0, 9.0, 22.9, 76.6)),
        (30.0, 70.0, (0.1, 0.3, 1.0, 3.1, 7.4, 12.7, 23.1, 59.3)),
        (15.0, 20.0, (0.3, 0.6, 1.2, 2.7, 8.2, 28.2, 88.8, 202.0)),
        (15.0, 50.0, (0.1, 0.5, 1.2, 2.2, 4.2, 10.8, 36.2, 129.0)),
        (15.0, 80.0, (0.1, 0.3, 1.1, 2.4, 4.1, 8.3, 23.7, 82.8)),
    ],
)
def test_absorption_is_the_table_of_iso_9613_2(
    temperature_c: float, humidity_percent: float, published_db_per_km: tuple[float, ...]
) -> None:
    computed = 1000.0 * absorption_db_per_m(BANDS_HZ, temperature_c=temperature_c, humidity_percent=humidity_percent)
    # ISO 9613-2 table 2 prints one decimal (0.05), three digits at most (0.5 above 100), and takes the exact midbands
    # 1000 * 10^(3k/10), up to 0.8 % away from the names used here, where absorption grows no faster than f^2: 1.6 %.
    printed = np.array(published_db_per_km)
    rounding = np.where(printed >= 100.0, 0.5, 0.05)
    assert (np.abs(computed - printed) <= rounding + 0.017 * printed).all(), computed


def test_absorption_of_the_exact_midbands_is_the_table_to_its_last_digit() -> None:
    exact_hz = 1000.0 * 10.0 ** (0.3 * np.arange(-4, 4))
    computed = 1000.0 * absorption_db_per_m(exact_hz, temperature_c=10.0, humidity_percent=70.0)
    # Half of the last digit printed.
    printed = np.array([0.1, 0.4, 1.0, 1.9, 3.7, 9.7, 32.8, 117.0])
    assert (np.abs(computed - printed) <= np.array([0.05] * 7 + [0.5])).all(), computed


def test_absorption_keeps_the_shape_and_starts_at_nothing() -> None:
    frequency_hz = np.array([[0.0, 100.0, 1000.0], [2000.0, 4000.0, 8000.0]])
    result = absorption_db_per_m(frequency_hz, temperature_c=15.0, humidity_percent=60.0)
    assert result.shape == (2, 3)
    assert result[0, 0] == 0.0
    assert (np.diff(result.ravel()) > 0.0).all()


def test_dry_air_absorbs_a_finite_amount() -> None:
    result = absorption_db_per_m(np.array([1000.0]), temperature_c=15.0, humidity_percent=0.0)
    assert math.isfinite(result[0])
    assert result[0] > 0.0


def test_at_high_frequencies_thin_air_absorbs_more() -> None:
    # The classical term, which rules far above the relaxation frequencies, goes with 1 / pressure (eq. 5).
    frequency_hz = np.array([1e7])
    sea = absorption_db_per_m(frequency_hz, temperature_c=20.0, humidity_percent=50.0)
    high = absorption_db_per_m(frequency_hz, temperature_c=20.0, humidity_percent=50.0, pressure_kpa=101.325 / 2)
    # 1e7 Hz is far enough that relaxation is 1e-3 of the whole.
    assert float(high[0] / sea[0]) == pytest.approx(2.0, rel=2e-3)
