"""Made-up networks that locate shots, with everything known exactly, and faults put into one node."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES
from fusion_server.associate.geometry import STEP_M, audibility, distance_rows, probability_to_hear
from fusion_server.associate.settings import AssociateSettings
from fusion_server.locate import LocateSettings, locate
from fusion_server.netcheck import CheckedArrival, CheckedShot
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.propagation import travel_time_s

__all__ = ["Fault", "Town", "town_of"]

_START_NS = 1_796_069_600_000_000_000
_SETTINGS = AssociateSettings()
_TABLES = audibility(_SETTINGS)
_LOCATE = LocateSettings()
_WAVES = 48


@dataclass(frozen=True)
class Fault:
    """What is put into one node, from one shot on.

    Parameters
    ----------
    clock_s, drift_s_per_day : float
    move_m : tuple of float
        East, north.
    deficit_db : float
    blocked_s : float
        Delay of sounds from the quarter about ``blocked_from_rad``, clockwise from north.
    """

    clock_s: float = 0.0
    drift_s_per_day: float = 0.0
    move_m: tuple[float, float] = (0.0, 0.0)
    deficit_db: float = 0.0
    blocked_s: float = 0.0
    blocked_from_rad: float = 0.0


class _Field:
    """A smooth random value over the plane, one a node: what buildings make of the paths from a place."""

    def __init__(self, nodes: int, length_m: float, rng: np.random.Generator) -> None:
        # Random Fourier features of a Gaussian covariance.
        self._wave = rng.normal(0.0, 1.0 / length_m, (nodes, _WAVES, 2))
        self._phase = rng.uniform(0.0, 2.0 * math.pi, (nodes, _WAVES))

    def at(self, place_m: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the value of each node, standard normal over places."""
        waves = np.cos(self._wave @ place_m[:2] + self._phase)
        result: NDArray[np.float64] = math.sqrt(2.0 / _WAVES) * waves.sum(axis=1)
        return result


@dataclass
class Town:
    """A network in a town, and what it locates.

    Parameters
    ----------
    sites : list of Site
        As surveyed.
    path_sigma_s : float
        How the delay of paths scatters between places.
    events_per_day : float
    """

    sites: list[Site]
    path_sigma_s: float
    events_per_day: float
    rng: np.random.Generator
    nodes_m: NDArray[np.float64]
    hot_m: NDArray[np.float64]
    hot_share: float
    paths: _Field
    shadows: _Field
    blocked: _Field
    within_s: float
    offset_db: NDArray[np.float64]
    clock_sigma_s: NDArray[np.float64]
    half_m: float
    hot_spread_m: float = 20.0
    time_s: float = 0.0
    weather_error: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    """Degrees, and m/s east and north."""

    def shots(self, count: int, *, node: int = -1, fault: Fault | None = None, after: int = 0) -> Iterator[CheckedShot]:
        """Yield located shots; the fault is in one node from the shot numbered ``after`` on."""
        fault = fault or Fault()
        rng, fault_since_s = self.rng, None
        while count > 0:
            apart_s = rng.exponential(86_400.0 / self.events_per_day)
            self.time_s += apart_s
            keep = math.exp(-apart_s / 21_600.0)
            drive = math.sqrt(1.0 - keep * keep)
            self.weather_error = keep * self.weather_error + drive * rng.normal(0.0, (1.5, 1.2, 1.2))
            faulty = after <= 0
            if faulty and fault_since_s is None:
                fault_since_s = self.time_s
            shot = self._shot(node if faulty else -1, fault, fault_since_s or 0.0)
            if shot is not None:
                count -= 1
                after -= 1
                yield shot

    def _shot(self, node: int, fault: Fault, fault_since_s: float) -> CheckedShot | None:
        rng, n, time_s = self.rng, len(self.sites), self.time_s
        cold_c, wind_error_mps = float(self.weather_error[0]), self.weather_error[1:]
        if rng.random() < self.hot_share:
            place_m = self.hot_m[rng.integers(len(self.hot_m))] + rng.normal(0.0, self.hot_spread_m, 2)
        else:
            place_m = rng.uniform(-self.half_m, self.half_m, 2)
        place_m = np.array([*place_m, 1.5])
        season_c = 12.0 + 6.0 * math.sin(time_s / 86_400.0 * 2.0 * math.pi)
        told = Weather(temperature_c=season_c, wind_speed_mps=3.0, wind_from_deg=(time_s / 3600.0 * 7.0) % 360.0)
        true = replace(told, temperature_c=season_c + cold_c)
        wind_mps = np.array([*(np.array(told.wind_enu_mps) + wind_error_mps), 0.0])
        nodes_m = self.nodes_m.copy()
        if node >= 0:
            nodes_m[node, :2] += fault.move_m
        away_m = nodes_m - place_m
        distance_m = np.linalg.norm(away_m, axis=1)
        travel_s = travel_time_s(place_m, nodes_m, speed_of_sound_mps=true.speed_of_sound_mps, wind_mps=wind_mps)
        # A third of the paths is blocked and comes late; the rest scatters little.
        blocked = self.blocked.at(place_m) > 0.43
        late = self.path_sigma_s * np.where(blocked, np.abs(1.5 * self.paths.at(place_m)), 0.4 * self.paths.at(place_m))
        late += rng.normal(0.0, self.within_s * np.sqrt(distance_m / 400.0))
        late += np.where(rng.random(n) < 0.015, rng.uniform(0.02, 0.2, n), 0.0)
        loud_db = 150.0 + rng.normal(0.0, 5.0)
        shadow_db = 5.0 * self.shadows.at(place_m) - np.where(blocked, 6.0, 0.0) + rng.normal(0.0, 2.0, n)
        level_db = loud_db - 30.0 * np.log10(np.maximum(distance_m, 5.0)) + shadow_db
        noise_db = 48.0 + rng.normal(0.0, 3.0, n)
        if node >= 0:
            level_db[node] -= fault.deficit_db
            late[node] += fault.clock_s + fault.drift_s_per_day * (time_s - fault_since_s) / 86_400.0
            angle = math.atan2(-away_m[node, 0], -away_m[node, 1]) - fault.blocked_from_rad
            if math.cos(angle) > math.cos(0.25 * math.pi):
                late[node] += fault.blocked_s
        snr_db = level_db - noise_db
        heard = (snr_db > 14.0) & (rng.random(n) < 0.93) & (distance_m < 2000.0)
        if heard.sum() < 4:
            return None
        pick_s = 0.0006 * 10.0 ** (0.05 * (20.0 - np.clip(snr_db, 0.0, 40.0)))
        time_ns = _START_NS + round(time_s * 1e9)
        arrival_s = travel_s + late + rng.normal(0.0, np.hypot(pick_s, self.clock_sigma_s))
        arrivals = [
            Arrival(
                DetectionId(self.sites[i].node, 1, i),
                self.sites[i],
                time_ns + round(float(arrival_s[i]) * 1e9),
                sigma_s=float(np.hypot(pick_s[i], self.clock_sigma_s[i])),
                snr_db=float(snr_db[i]),
                level_db=float(level_db[i] + self.offset_db[i]),
            )
            for i in np.flatnonzero(heard).tolist()
        ]
        located = locate(arrivals, weather=told, settings=_LOCATE)
        if not isinstance(located, Location):
            return None
        gate_ns = round(1e9 * _SETTINGS.gate_s)
        used = {item.arrival.site.node: item.used for item in located.verdicts if abs(item.residual_s) * 1e9 < gate_ns}
        return CheckedShot(
            time_ns=located.origin_time_ns,
            x_m=located.x_m,
            y_m=located.y_m,
            z_m=1.5,
            cep95_m=located.cep95_m,
            weather=told,
            arrivals=tuple(
                CheckedArrival(
                    item.site.node, item.time_ns, item.sigma_s, item.level_db, used.get(item.site.node, False)
                )
                for item in arrivals
            ),
            expected=self._expected(located, {item.site.node for item in arrivals if used.get(item.site.node)}),
        )

    def _expected(self, located: Location, heard: set[str]) -> dict[str, float]:
        sites_m = np.array([(site.x_m, site.y_m) for site in self.sites])
        distance_m = np.hypot(*(sites_m - (located.x_m, located.y_m)).T)
        near = distance_m <= _SETTINGS.reach_m
        rows = distance_rows(distance_m, step_m=STEP_M, rows=len(_TABLES[0]))
        is_heard = np.array([site.node in heard for site in self.sites]) & near
        probability = probability_to_hear(
            _TABLES[0][rows, :N_RANGES], _TABLES[1][rows, :N_RANGES], heard=is_heard, silent=near & ~is_heard
        )
        return {
            site.node: float(value) for site, value, here in zip(self.sites, probability, near, strict=True) if here
        }


def town_of(
    seed: int,
    *,
    nodes: int | None = None,
    path_sigma_s: float | None = None,
    hot_share: float = 0.6,
    events_per_day: float = 20.0,
) -> Town:
    """Return a made-up town: 8 to 30 nodes some hundred metres apart, buildings, places where shots recur."""
    rng = np.random.default_rng([seed, 86])
    count = int(rng.integers(8, 31)) if nodes is None else nodes
    spacing_m = rng.uniform(300.0, 500.0)
    side = math.ceil(math.sqrt(count))
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) - 0.5 * (side - 1)
    grid = grid[np.argsort(np.hypot(*grid.T) + rng.uniform(0.0, 0.5, len(grid)))[:count]]
    place_m = spacing_m * grid + rng.uniform(-0.3, 0.3, (count, 2)) * spacing_m
    nodes_m = np.column_stack([place_m, rng.uniform(6.0, 15.0, count)])
    survey_m = nodes_m + rng.normal(0.0, 0.7, (count, 3))
    sigma_s = float(np.exp(rng.uniform(math.log(0.0007), math.log(0.006)))) if path_sigma_s is None else path_sigma_s
    half_m = 0.5 * side * spacing_m
    return Town(
        sites=[Site(f"roof-{i + 1:02}", x_m, y_m, z_m, 1.0) for i, (x_m, y_m, z_m) in enumerate(survey_m.tolist())],
        path_sigma_s=sigma_s,
        events_per_day=events_per_day,
        rng=rng,
        nodes_m=nodes_m,
        hot_m=rng.uniform(-0.8 * half_m, 0.8 * half_m, (int(rng.integers(3, 9)), 2)),
        hot_share=hot_share,
        paths=_Field(count, 60.0, rng),
        shadows=_Field(count, 60.0, rng),
        blocked=_Field(count, 80.0, rng),
        within_s=float(rng.uniform(0.0003, 0.001)),
        offset_db=rng.normal(0.0, 5.0, count),
        clock_sigma_s=np.exp(rng.normal(math.log(5e-5), 0.7, count)),
        half_m=half_m,
    )
