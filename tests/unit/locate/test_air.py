"""What is known of the air, and how well: it widens the ellipse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from locate_samples import SQUARE, heard

from fusion_server.locate import LocateSettings, locate
from shotline.atmosphere import Weather
from shotline.domain import Location

SOURCE = (380.0, 280.0)
"""Inside, and far enough from the middle for a wrong speed not to cancel."""


def sigma_m(weather: Weather, **changes: float) -> float:
    """Return the root of the trace of the covariance of a fix without noise."""
    found = locate(
        heard(SQUARE, SOURCE, weather=weather), weather=weather, settings=replace(LocateSettings(), **changes)
    )
    assert isinstance(found, Location), found
    assert found.region95 == ()
    return float(np.sqrt(np.trace(found.covariance_m2)))


def test_a_temperature_known_worse_makes_a_wider_ellipse() -> None:
    widths = [sigma_m(Weather(temperature_sigma_c=value)) for value in (0.0, 2.0, 4.0, 6.0)]
    assert widths == sorted(widths)
    assert widths[-1] > 1.03 * widths[0]


def test_a_wind_known_worse_makes_a_wider_ellipse() -> None:
    widths = [sigma_m(Weather(wind_sigma_mps=value)) for value in (0.0, 1.0, 2.0, 4.0)]
    assert widths == sorted(widths)
    assert widths[-1] > 1.3 * widths[0]


def test_weather_that_does_not_say_is_as_good_as_the_settings() -> None:
    """Half a kelvin's share of the speed: sigma_c / c = sigma_T / 2 T."""
    weather = Weather(temperature_c=15.0)
    assert sigma_m(weather) == sigma_m(Weather(temperature_c=15.0, wind_sigma_mps=1.0))
    warmth_c = 0.004 * 2.0 * (15.0 + 273.15)
    # One rounding of the speed's error.
    assert sigma_m(weather) == pytest.approx(
        sigma_m(Weather(temperature_c=15.0, temperature_sigma_c=warmth_c)), rel=1e-9
    )


def test_what_the_weather_says_counts_and_not_the_settings() -> None:
    stated = Weather(temperature_sigma_c=1.0, wind_sigma_mps=1.0)
    assert sigma_m(stated) == sigma_m(stated, speed_error_sigma=0.1, wind_error_sigma_mps=30.0)
    assert sigma_m(Weather(), speed_error_sigma=0.02) > sigma_m(Weather())
    assert sigma_m(Weather(), wind_error_sigma_mps=3.0) > sigma_m(Weather())


def test_a_strong_wind_is_known_worse() -> None:
    breeze = Weather(wind_speed_mps=10.0, wind_from_deg=200.0, wind_sigma_mps=0.5)
    assert sigma_m(breeze, wind_share=0.3) > 1.1 * sigma_m(breeze, wind_share=0.0)


@pytest.mark.parametrize(("warmth_c", "wind_mps"), [(0.0, 0.0), (1e-6, 1e-6)])
def test_no_air_is_known_perfectly(warmth_c: float, wind_mps: float) -> None:
    """Floors of 0.05 % and 0.1 m/s hold, so that nothing is divided by zero."""
    perfect = Weather(temperature_sigma_c=warmth_c, wind_sigma_mps=wind_mps)
    # 0.05 % of 15 °C is 0.288 K.
    floor = Weather(temperature_sigma_c=0.0005 * 2.0 * 288.15, wind_sigma_mps=0.1)
    assert sigma_m(perfect) == pytest.approx(sigma_m(floor), rel=1e-9)
