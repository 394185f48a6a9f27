"""Weather, and how fast sound travels in it.

References
----------
[ISO9613] ISO 9613-1:1993, eq. for the speed of sound in annex A; [Bohn1988]. See docs/references.md.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from shotline.errors import InputError
from shotline.units import CELSIUS_ZERO_K, kelvin_from_celsius

__all__ = ["SPEED_OF_SOUND_0C_MPS", "Weather", "WeatherTimeline", "speed_of_sound_mps"]

SPEED_OF_SOUND_0C_MPS = 331.3
"""Speed of sound in dry air at 0 degrees C."""

_COLDEST_C, _HOTTEST_C = -90.0, 60.0
_STRONGEST_WIND_MPS = 60.0


def speed_of_sound_mps(temperature_c: float) -> float:
    """Return the speed of sound in dry air, 331.3 sqrt(1 + T / 273.15), i.e. 20.05 sqrt(kelvin) [Bohn1988].

    Raises
    ------
    InputError
        The temperature is not one that weather has: probably kelvin or fahrenheit.
    """
    if not _COLDEST_C <= temperature_c <= _HOTTEST_C:
        raise InputError(
            f"air temperature {temperature_c:g} °C is outside {_COLDEST_C:g} to {_HOTTEST_C:g}; give degrees Celsius"
        )
    return SPEED_OF_SOUND_0C_MPS * math.sqrt(kelvin_from_celsius(temperature_c) / CELSIUS_ZERO_K)


@dataclass(frozen=True, slots=True)
class Weather:
    """The air a shot is heard through.

    Parameters
    ----------
    temperature_c : float
        Air temperature near the ground.
    wind_speed_mps : float
        Mean wind speed at microphone height.
    wind_from_deg : float
        Direction the wind blows *from*, degrees clockwise from north, as in a METAR.
    humidity_percent : float
        Relative humidity; matters to absorption only.
    temperature_sigma_c, wind_sigma_mps : float | None
        1-sigma error of temperature, and of each horizontal component of the wind, as they hold for the whole path of
        the sound; None when the source does not say, and the user of the weather assumes what is usual.
    """

    temperature_c: float = 15.0
    wind_speed_mps: float = 0.0
    wind_from_deg: float = 0.0
    humidity_percent: float = 60.0
    temperature_sigma_c: float | None = None
    wind_sigma_mps: float | None = None

    def __post_init__(self) -> None:
        speed_of_sound_mps(self.temperature_c)
        if not 0.0 <= self.wind_speed_mps <= _STRONGEST_WIND_MPS:
            raise InputError(f"wind speed {self.wind_speed_mps:g} m/s is outside 0 to {_STRONGEST_WIND_MPS:g}")
        if not math.isfinite(self.wind_from_deg):
            raise InputError(f"wind direction {self.wind_from_deg} is not a number of degrees from north")
        if not 0.0 <= self.humidity_percent <= 100.0:
            raise InputError(f"relative humidity {self.humidity_percent:g} % is outside 0 to 100")
        for what, sigma in (("temperature", self.temperature_sigma_c), ("wind", self.wind_sigma_mps)):
            if sigma is not None and not 0.0 <= sigma < math.inf:
                raise InputError(f"1-sigma error of the {what}, {sigma}, is not a number from 0 up")

    @property
    def speed_of_sound_mps(self) -> float:
        """Speed of sound in still air of this temperature."""
        return speed_of_sound_mps(self.temperature_c)

    @property
    def wind_enu_mps(self) -> tuple[float, float]:
        """Wind velocity (east, north): where the air goes, not where it comes from."""
        heading_rad = math.radians(self.wind_from_deg)
        return -self.wind_speed_mps * math.sin(heading_rad), -self.wind_speed_mps * math.cos(heading_rad)


class WeatherTimeline:
    """Weather observations in time; the one in force is the latest not after the instant asked for.

    Parameters
    ----------
    observations : sequence of (time_ns, Weather)
        In any order, at least one. The earliest also serves every instant before it.
    """

    def __init__(self, observations: Sequence[tuple[int, Weather]]) -> None:
        if not observations:
            raise InputError("no weather observation; give at least one temperature")
        ordered = sorted(observations, key=lambda item: item[0])
        self._times_ns = [time_ns for time_ns, _ in ordered]
        self._weather = [weather for _, weather in ordered]

    @classmethod
    def constant(cls, weather: Weather) -> WeatherTimeline:
        """Return a timeline of one observation that holds for ever."""
        return cls([(0, weather)])

    @property
    def observations(self) -> tuple[tuple[int, Weather], ...]:
        """Every observation with its instant, in time order."""
        return tuple(zip(self._times_ns, self._weather, strict=True))

    def at(self, time_ns: int) -> Weather:
        """Return the weather in force at an instant."""
        return self._weather[max(0, bisect_right(self._times_ns, time_ns) - 1)]
