"""Weather: speed of sound, wind vector, the observation in force."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shotline.atmosphere
from shotline.atmosphere import SPEED_OF_SOUND_0C_MPS, Weather, WeatherTimeline, speed_of_sound_mps
from shotline.errors import InputError


def test_public_names_exist() -> None:
    assert all(hasattr(shotline.atmosphere, name) for name in shotline.atmosphere.__all__)


@given(st.floats(-90.0, 60.0))
def test_speed_of_sound_follows_the_square_root_of_temperature(temperature_c: float) -> None:
    speed = speed_of_sound_mps(temperature_c)
    assert speed == pytest.approx(331.3 * math.sqrt(1.0 + temperature_c / 273.15), rel=1e-12)
    # 20.05 is a rounding to four digits (331.3 / sqrt(273.15) = 20.0457), which is 0.02 % off.
    assert speed == pytest.approx(20.05 * math.sqrt(temperature_c + 273.15), rel=1e-3)
    assert Weather(temperature_c=temperature_c).speed_of_sound_mps == speed


def test_speed_of_sound_at_zero_is_the_constant() -> None:
    assert speed_of_sound_mps(0.0) == SPEED_OF_SOUND_0C_MPS == 331.3


def test_one_degree_is_the_designs_085_m_at_500_m() -> None:
    # The design states two digits.
    shift_m = 500.0 * (speed_of_sound_mps(21.0) / speed_of_sound_mps(20.0) - 1.0)
    assert shift_m == pytest.approx(0.85, abs=0.005)


@pytest.mark.parametrize("temperature_c", [288.15, 273.15, 68.0, 60.01, -90.01, -273.15, math.nan, math.inf, -math.inf])
def test_a_temperature_that_weather_does_not_have_is_refused(temperature_c: float) -> None:
    expected = f"air temperature {temperature_c:g} °C is outside -90 to 60; give degrees Celsius"
    with pytest.raises(InputError) as caught:
        speed_of_sound_mps(temperature_c)
    assert str(caught.value) == expected
    with pytest.raises(InputError) as caught:
        Weather(temperature_c=temperature_c)
    assert str(caught.value) == expected


@pytest.mark.parametrize("temperature_c", [-90.0, 60.0])
def test_both_ends_of_the_range_are_weather(temperature_c: float) -> None:
    assert speed_of_sound_mps(temperature_c) > 0.0


@pytest.mark.parametrize(
    ("wind_from_deg", "east_mps", "north_mps"),
    [
        (0.0, 0.0, -5.0),
        (90.0, -5.0, 0.0),
        (180.0, 0.0, 5.0),
        (270.0, 5.0, 0.0),
        (360.0, 0.0, -5.0),
        (-90.0, 5.0, 0.0),
        (225.0, 5.0 / math.sqrt(2.0), 5.0 / math.sqrt(2.0)),
    ],
)
def test_wind_blows_away_from_where_it_comes_from(wind_from_deg: float, east_mps: float, north_mps: float) -> None:
    wind = Weather(wind_speed_mps=5.0, wind_from_deg=wind_from_deg).wind_enu_mps
    assert wind == pytest.approx((east_mps, north_mps), abs=1e-12)


@given(st.floats(0.0, 60.0), st.floats(-720.0, 720.0))
def test_wind_keeps_its_speed_in_every_direction(wind_speed_mps: float, wind_from_deg: float) -> None:
    wind = Weather(wind_speed_mps=wind_speed_mps, wind_from_deg=wind_from_deg).wind_enu_mps
    assert math.hypot(*wind) == pytest.approx(wind_speed_mps, abs=1e-12)


@pytest.mark.parametrize("speed", [-0.1, 60.1, math.nan, math.inf])
def test_wind_speed_out_of_range_is_refused(speed: float) -> None:
    with pytest.raises(InputError) as caught:
        Weather(wind_speed_mps=speed)
    assert str(caught.value) == f"wind speed {speed:g} m/s is outside 0 to 60"


@pytest.mark.parametrize("direction", [math.nan, math.inf])
def test_wind_direction_that_is_no_number_is_refused(direction: float) -> None:
    with pytest.raises(InputError) as caught:
        Weather(wind_from_deg=direction)
    assert str(caught.value) == f"wind direction {direction} is not a number of degrees from north"


@pytest.mark.parametrize("humidity", [-1.0, 100.1, math.nan])
def test_humidity_out_of_range_is_refused(humidity: float) -> None:
    with pytest.raises(InputError) as caught:
        Weather(humidity_percent=humidity)
    assert str(caught.value) == f"relative humidity {humidity:g} % is outside 0 to 100"


class TestWeatherTimeline:
    cold, mild, warm = Weather(temperature_c=0.0), Weather(temperature_c=10.0), Weather(temperature_c=20.0)

    def test_the_latest_observation_not_after_the_instant_is_in_force(self) -> None:
        timeline = WeatherTimeline([(200, self.warm), (100, self.mild)])
        assert timeline.at(100) is self.mild
        assert timeline.at(199) is self.mild
        assert timeline.at(200) is self.warm
        assert timeline.at(10**19) is self.warm

    def test_the_earliest_serves_every_instant_before_it(self) -> None:
        timeline = WeatherTimeline([(200, self.warm), (100, self.mild)])
        assert timeline.at(99) is self.mild
        assert timeline.at(-(10**19)) is self.mild

    def test_observations_come_back_in_time_order(self) -> None:
        timeline = WeatherTimeline([(3, self.warm), (1, self.cold), (2, self.mild)])
        assert timeline.observations == ((1, self.cold), (2, self.mild), (3, self.warm))

    def test_of_two_at_one_instant_the_one_given_last_counts(self) -> None:
        assert WeatherTimeline([(1, self.cold), (1, self.warm)]).at(1) is self.warm

    def test_constant_holds_for_ever(self) -> None:
        timeline = WeatherTimeline.constant(self.mild)
        assert timeline.at(-1) is timeline.at(0) is timeline.at(10**19) is self.mild

    def test_none_is_refused(self) -> None:
        with pytest.raises(InputError) as caught:
            WeatherTimeline([])
        assert str(caught.value) == "no weather observation; give at least one temperature"

    @given(st.lists(st.integers(-1000, 1000), min_size=1, unique=True), st.integers(-1100, 1100))
    def test_agrees_with_looking_at_every_observation(self, times_ns: list[int], time_ns: int) -> None:
        timeline = WeatherTimeline([(at_ns, Weather(temperature_c=at_ns / 100.0)) for at_ns in times_ns])
        past = [at_ns for at_ns in times_ns if at_ns <= time_ns]
        assert timeline.at(time_ns).temperature_c == max(past, default=min(times_ns)) / 100.0
