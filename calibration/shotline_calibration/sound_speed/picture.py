"""The plot of speed of sound and wind: how late each path is against the weather, by distance and by direction."""

from __future__ import annotations

from typing import Any

import numpy as np

from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure
from shotline_calibration.sound_speed.result import SoundSpeedResult
from shotline_calibration.sound_speed.solve import Paths

__all__ = ["draw_sound_speed"]

_NEAR_M = 100.0
"""Of shorter paths, milliseconds per kilometre are all noise."""


def draw_sound_speed(paths: Paths, found: SoundSpeedResult, *, title: str) -> Any:
    """Return the plot.

    Parameters
    ----------
    paths : Paths
    found : SoundSpeedResult
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(title, width_in=14.0)
    by_distance, by_direction, left = figure.subplots(1, 3)
    off_ms, km = 1e3 * paths.off_weather_s, paths.distance_m / 1e3
    by_distance.plot(paths.distance_m, off_ms, ".", color=GREY, markersize=4, label="a path", gid="paths")
    reach_m = np.array([0.0, float(paths.distance_m.max())])
    for number, air in enumerate(found.airs):
        stated_mps = _speed_mps(air.weather_temperature_c)
        slope = 1e3 * (1.0 / air.speed_of_sound_mps - 1.0 / stated_mps)
        label = f"{air.speed_of_sound_mps:.1f} m/s, the weather says {stated_mps:.1f}"
        by_distance.plot(reach_m, slope * reach_m, "-", color=BLUE, linewidth=1.2, label=label if number < 3 else None)
    by_distance.set(xlabel="distance, m", ylabel="later than the weather has it, ms")
    far = paths.distance_m >= _NEAR_M
    bearing_deg = np.degrees(paths.bearing_rad)
    by_direction.plot(bearing_deg[far], off_ms[far] / km[far], ".", color=GREY, markersize=4, label="a path")
    around = np.linspace(0.0, 2.0 * np.pi, 181)
    for number, air in enumerate(found.airs):
        stated_mps = _speed_mps(air.weather_temperature_c)
        along = air.wind_east_mps * np.sin(around) + air.wind_north_mps * np.cos(around)
        stated_along = air.weather_wind_east_mps * np.sin(around) + air.weather_wind_north_mps * np.cos(around)
        late = 1e6 * (1.0 / (air.speed_of_sound_mps + along) - 1.0 / (stated_mps + stated_along))
        label = f"wind {air.wind_east_mps:+.1f} east, {air.wind_north_mps:+.1f} north m/s"
        by_direction.plot(
            np.degrees(around), late, "-", color=ORANGE, linewidth=1.2, label=label if number < 3 else None
        )
    by_direction.set(xlabel="direction of the sound, ° from north", ylabel="ms per km", xlim=(0.0, 360.0))
    by_direction.set_xticks(range(0, 361, 90))
    left.plot(paths.distance_m, 1e3 * paths.residual_s, ".", color=BLUE, markersize=4, gid="residuals")
    left.set(xlabel="distance, m", ylabel="left with the air as found, ms")
    for axes in (by_distance, by_direction, left):
        axes.axhline(0.0, color=INK, linewidth=0.8)
        axes.grid(alpha=0.3)
    for axes in (by_distance, by_direction):
        axes.legend(fontsize=8)
    return figure


def _speed_mps(temperature_c: float) -> float:
    from shotline.atmosphere import speed_of_sound_mps

    return speed_of_sound_mps(temperature_c)
