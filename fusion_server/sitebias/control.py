"""From control shots to rows: how much later than the straight line each node heard sounds from known places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.locate import Ground, LocateSettings
from fusion_server.sitebias.rows import AirErrors, ControlRows
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Site
from shotline.errors import InputError
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, kelvin_from_celsius

__all__ = ["ControlShot", "air_errors", "control_rows"]

FloatArray = NDArray[np.float64]

_ALIGNED = 20
"""Rounds of one place are laid on each other so many times."""
_LEAST_NODES = 2
_HOUR_NS = 3600 * NS_PER_S
"""Sounds within one are heard through the same air, where the weather is said to be the same."""


@dataclass(frozen=True, slots=True)
class ControlShot:
    """One sound from a place that is known: a control shot, or a shot whose place somebody found.

    Parameters
    ----------
    place : str
        Name of the place; sounds of one name are from the same place, and are judged together.
    x_m, y_m : float
        Where it was, local frame.
    sigma_m : float
        1-sigma of that, per axis.
    arrivals : tuple of Arrival
        Of this sound; of a node that is there twice the earliest counts.
    weather : Weather
        As the network knew it then.
    """

    place: str
    x_m: float
    y_m: float
    sigma_m: float
    arrivals: tuple[Arrival, ...]
    weather: Weather


def air_errors(weathers: Sequence[Weather], settings: LocateSettings) -> AirErrors:
    """Return how wrong the air may be, as the locator takes it: rms over some weathers.

    Parameters
    ----------
    weathers : sequence of Weather
        At least one.
    settings : LocateSettings
        Counts where a weather does not say.
    """
    speed, wind = [], []
    for weather in weathers:
        warmth_c, wind_mps = weather.temperature_sigma_c, weather.wind_sigma_mps
        kelvin = kelvin_from_celsius(weather.temperature_c)
        speed.append(settings.speed_error_sigma if warmth_c is None else 0.5 * warmth_c / kelvin)
        said_mps = settings.wind_error_sigma_mps if wind_mps is None else wind_mps
        wind.append(math.hypot(said_mps, settings.wind_share * weather.wind_speed_mps))
    return AirErrors(
        speed_mps=float(np.mean([weather.speed_of_sound_mps for weather in weathers])),
        speed_error_sigma=_rms(speed),
        wind_error_sigma_mps=_rms(wind),
    )


def control_rows(
    shots: Sequence[ControlShot], sites: Sequence[Site], *, settings: LocateSettings, ground: Ground | None = None
) -> tuple[ControlRows, tuple[str, ...]]:
    """Return the rows that control shots make, and the names of the places in them.

    Parameters
    ----------
    shots : sequence of ControlShot
        Those that fewer than two of the sites heard say nothing, and are left out.
    sites : sequence of Site
        The nodes of the rows are these, in this order.
    settings : LocateSettings
    ground : Ground, optional
        Where sources are on it; without, everything is in one plane.

    Raises
    ------
    InputError
        No shot is left, or one place is said to be at two.
    """
    number = {site.node: index for index, site in enumerate(sites)}
    site_m = np.array([(site.x_m, site.y_m, site.z_m) for site in sites], dtype=np.float64).reshape(-1, 3)
    groups: dict[str, list[tuple[ControlShot, dict[int, Arrival]]]] = {}
    for shot in shots:
        heard: dict[int, Arrival] = {}
        for arrival in sorted(shot.arrivals, key=lambda item: item.time_ns):
            if arrival.site.node in number:
                heard.setdefault(number[arrival.site.node], arrival)
        if len(heard) >= _LEAST_NODES:
            groups.setdefault(shot.place, []).append((shot, heard))
    if not groups:
        raise InputError("no control shot that two nodes of the network heard", field="shots")
    columns: list[tuple[int, int, float, float]] = []
    airs: dict[object, int] = {}
    air: list[int] = []
    for place, (name, members) in enumerate(groups.items()):
        where = {(shot.x_m, shot.y_m, shot.sigma_m) for shot, _ in members}
        if len(where) > 1:
            raise InputError(f"place '{name}' is said to be at {len(where)} positions; give each a name", field="place")
        delays = np.full((len(members), len(sites)), np.nan)
        noise_s2 = np.full_like(delays, np.nan)
        for row, (shot, heard) in enumerate(members):
            nodes = list(heard)
            source_m = np.array([shot.x_m, shot.y_m, 0.0])
            there_m = site_m[nodes].copy()
            if ground is None:
                there_m[:, 2] = 0.0
            else:
                source_m[2] = ground.at(shot.x_m, shot.y_m)
            took_s = travel_time_s(
                source_m,
                there_m,
                speed_of_sound_mps=shot.weather.speed_of_sound_mps,
                wind_mps=np.array([*shot.weather.wind_enu_mps, 0.0]),
            )
            begin_ns = min(arrival.time_ns for arrival in heard.values())
            heard_s = np.array([(heard[node].time_ns - begin_ns) / NS_PER_S for node in nodes])
            delays[row, nodes] = heard_s - took_s
            noise_s2[row, nodes] = [_noise_s2(heard[node], settings) for node in nodes]
        # Rounds of one place in several airs have their mean: an air of its own.
        through = {(shot.weather, min(item.time_ns for item in heard.values()) // _HOUR_NS) for shot, heard in members}
        air.append(airs.setdefault(through.pop() if len(through) == 1 else place, len(airs)))
        mean_s = _laid_together(delays)
        for node in np.flatnonzero(np.isfinite(mean_s)).tolist():
            own = noise_s2[:, node][np.isfinite(noise_s2[:, node])]
            columns.append((place, node, float(mean_s[node]), float(own.mean()) / len(own)))
    table = np.array(columns)
    firsts = [members[0][0] for members in groups.values()]
    rows = ControlRows(
        site_m=np.ascontiguousarray(site_m[:, :2]),
        site_sigma_m=np.array([site.sigma_m for site in sites]),
        place_m=np.array([(shot.x_m, shot.y_m) for shot in firsts]),
        place_sigma_m=np.array([shot.sigma_m for shot in firsts]),
        air=np.array(air, dtype=np.int64),
        place=table[:, 0].astype(np.int64),
        node=table[:, 1].astype(np.int64),
        delay_s=table[:, 2],
        variance_s2=table[:, 3],
    )
    return rows, tuple(groups)


def _laid_together(delays: FloatArray) -> FloatArray:
    """Return the delay of each node, shape (n_nodes,), over rounds whose instants are unknown: a median polish."""
    offset_s = np.nanmedian(delays, axis=1, keepdims=True)
    heard = np.isfinite(delays).any(axis=0)
    mean_s = np.full(delays.shape[1], np.nan)
    for _ in range(_ALIGNED if len(delays) > 1 else 1):
        mean_s[heard] = np.nanmedian((delays - offset_s)[:, heard], axis=0)
        offset_s = offset_s + np.nanmedian(delays - offset_s - mean_s, axis=1, keepdims=True)
    return mean_s


def _noise_s2(arrival: Arrival, settings: LocateSettings) -> float:
    """Return the variance of clock and onset, as the locator has it (docs/location.md)."""
    pick_s = settings.pick_sigma_s
    if math.isfinite(arrival.snr_db):
        pick_s *= 10.0 ** (0.05 * (20.0 - min(max(arrival.snr_db, 0.0), 60.0)))
    return float(arrival.sigma_s**2 + pick_s**2)


def _rms(values: Sequence[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
