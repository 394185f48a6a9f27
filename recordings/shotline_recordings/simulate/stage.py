"""A scene file made into a world: town, air, nodes with their faults, and everything that sounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.errors import DatasetError, InputError
from shotline.propagation import GROUND_FLOW_RESISTIVITY_PA_S_PER_M2, EffectiveProfile
from shotline_recordings.scene import NodeTable, ScatterTable, SceneFile
from shotline_recordings.simulate.city import City
from shotline_recordings.simulate.clocks import NodeClock, draw_clock
from shotline_recordings.simulate.events import (
    StagedEvent,
    bang,
    placed,
    scatter_count,
    scatter_shares,
    scattered,
    shots,
    span_s,
)
from shotline_recordings.simulate.gains import Medium
from shotline_recordings.simulate.microphone import MICROPHONES, AutomaticGain, Microphone
from shotline_recordings.simulate.noise import NoiseModel, RecordedNoise
from shotline_recordings.simulate.noise_sources import CityNoise, InsectNoise, RainNoise, TrafficNoise, WindNoise
from shotline_recordings.simulate.paths import PathFinder, Paths, PathSettings
from shotline_recordings.simulate.positions import survey_error_m
from shotline_recordings.simulate.streams import Stream, spot, stream
from shotline_recordings.simulate.town import build_city

__all__ = ["NearbyPaths", "Stage", "StagedNode", "set_stage"]

_Real = NDArray[np.float64]

_LEAST_SIGMA_M = 0.05
"""What a dataset says of a survey without error."""
_ROAD_MIN_M = 3.0
_LONGEST_EVENT_S = 60.0
"""Of anything that is scattered: a string of crackers, a flash of lightning."""
_SAME_PLACE_M = 1.0
_TURBULENCE_M = 5.0
"""Correlation length of the refractive index outdoors, 1 to 10 m."""


@dataclass(frozen=True, slots=True, eq=False)
class StagedNode:
    """A node as it really is.

    Parameters
    ----------
    id : str
    position_m : ndarray, shape (3,), float64
        Where the microphone is.
    site : Site
        Where the survey says it is.
    clock : NodeClock
    microphone : Microphone
    noise : tuple
        Sources of noise there.
    """

    id: str
    position_m: _Real
    site: Site
    clock: NodeClock
    microphone: Microphone
    noise: tuple[NoiseModel | RecordedNoise, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A scene, ready to sound.

    Parameters
    ----------
    scene : SceneFile
    seed : int
    city : City
    medium : Medium
    nodes : tuple[StagedNode, ...]
    named : tuple[StagedEvent, ...]
        Shots, then bangs, in the order of the file.
    scatter : tuple[tuple[ScatterTable, int], ...]
        Scattered events with their number; made when asked for, so that there may be millions.
    farthest_m : float
        From any source to any node.
    """

    scene: SceneFile
    seed: int
    city: City
    medium: Medium
    nodes: tuple[StagedNode, ...]
    named: tuple[StagedEvent, ...]
    scatter: tuple[tuple[ScatterTable, int], ...]
    farthest_m: float

    @property
    def reported_weather(self) -> Weather:
        """The weather as a station elsewhere states it, and its error: what the dataset says, and fusion works with."""
        table, air = self.scene.weather, self.scene.air
        rng = stream(self.seed, Stream.WEATHER)
        wind = np.array(air.wind_enu_mps) + table.reported_wind_sigma_mps * rng.standard_normal(2)
        warmer_c = table.reported_temperature_sigma_c * float(rng.standard_normal())
        sigmas = {
            "temperature_sigma_c": table.reported_temperature_sigma_c,
            "wind_sigma_mps": table.reported_wind_sigma_mps,
        }
        if not any(sigmas.values()):
            return replace(air, **sigmas)
        return Weather(
            temperature_c=air.temperature_c + warmer_c,
            wind_speed_mps=float(np.hypot(*wind)),
            wind_from_deg=math.degrees(math.atan2(-wind[0], -wind[1])) % 360.0,
            humidity_percent=air.humidity_percent,
            **sigmas,
        )

    @property
    def n_events(self) -> int:
        """Number of events, scattered ones included."""
        return len(self.named) + sum(count for _, count in self.scatter)

    def event(self, number: int) -> StagedEvent:
        """Return one event, 0 to ``n_events`` - 1."""
        if number < len(self.named):
            return self.named[number]
        number -= len(self.named)
        for table, count in self.scatter:
            if number < count:
                return scattered(
                    self.scene, table, number, count=count, city=self.city, medium=self.medium, seed=self.seed
                )
            number -= count
        raise IndexError(f"the scene has {self.n_events} events")

    def turbulent_sigma_s(self, length_m: _Real) -> _Real:
        """Return the 1-sigma of travel times by turbulence, sqrt(sqrt(pi) mu² L x) / c [Chernov1960].

        Parameters
        ----------
        length_m : ndarray, shape (n_paths,), float64
        """
        scatter_m2 = math.sqrt(math.pi) * self.scene.paths.turbulence * _TURBULENCE_M * length_m
        result: _Real = np.sqrt(scatter_m2) / self.medium.profile.speed_of_sound_mps
        return result

    def events_between(self, from_s: float, until_s: float) -> list[int]:
        """Return the events that may sound at their source between two instants: of scattered ones, those near them."""
        found = list(range(len(self.named)))
        first = len(self.named)
        for table, count in self.scatter:
            begin_s, end_s = span_s(self.scene, table)
            share = scatter_shares(table, count, seed=self.seed)
            times_s = begin_s + share * (end_s - begin_s)
            near = (times_s <= until_s) & (times_s >= from_s - _LONGEST_EVENT_S)
            found += (first + np.flatnonzero(near)).tolist()
            first += count
        return found

    def finder(self, nodes: Sequence[StagedNode]) -> PathFinder:
        """Return a finder of the paths to some of the nodes."""
        paths = self.scene.paths
        settings = PathSettings(
            reflection_order=paths.reflection_order,
            diffraction=paths.diffraction != "none",
            longest_extra_m=paths.longest_extra_m,
        )
        positions = np.array([node.position_m for node in nodes])
        return PathFinder(self.city, positions, self.medium.profile, settings, farthest_m=self.farthest_m)


class NearbyPaths:
    """Paths from places to some nodes, found anew only for places more than a metre from those already known.

    What no map shows is on them, the same for all sounds from a place.

    Parameters
    ----------
    stage : Stage
    nodes : sequence of StagedNode
    finder : PathFinder
        For these nodes.
    """

    def __init__(self, stage: Stage, nodes: Sequence[StagedNode], finder: PathFinder) -> None:
        self._stage, self._nodes, self._finder = stage, nodes, finder
        self._places_m: list[_Real] = []
        self._paths: list[tuple[Paths, ...]] = []

    def at(self, source_m: tuple[float, float, float]) -> tuple[int, tuple[Paths, ...]]:
        """Return the number of the place that a source is at, and its own paths to each node."""
        here = np.array(source_m)
        for number, place_m in enumerate(self._places_m):
            offset_m = here - place_m
            if float(offset_m @ offset_m) <= _SAME_PLACE_M**2:
                return number, self._shifted(number, offset_m)
        screens, speed_mps = self._stage.scene.paths.screens, self._stage.medium.profile.speed_of_sound_mps
        found = self._finder.find(here)
        if screens is not None:
            found = tuple(
                paths.screened(screens.share, screens.detour_m, speed_mps, self._line(node, source_m))
                for paths, node in zip(found, self._nodes, strict=True)
            )
        self._places_m.append(here)
        self._paths.append(found)
        return len(self._paths) - 1, found

    def _line(self, node: StagedNode, source_m: tuple[float, float, float]) -> np.random.Generator:
        return stream(self._stage.seed, Stream.PATH, node.id, spot(source_m))

    def _shifted(self, number: int, offset_m: _Real) -> tuple[Paths, ...]:
        if not offset_m.any():
            return self._paths[number]
        speed_mps = self._stage.medium.profile.speed_of_sound_mps
        shifted = []
        for paths, node in zip(self._paths[number], self._nodes, strict=True):
            straight = (node.position_m - self._places_m[number]) / max(paths.straight_m, 1.0)
            shifted.append(paths.from_beside(offset_m, straight, speed_mps))
        return tuple(shifted)


def set_stage(scene: SceneFile, *, seed: int) -> Stage:
    """Make a scene ready.

    Raises
    ------
    InputError
        Something in it cannot be (an unknown weapon, a node inside a building, buildings that overlap): says what.
    """
    city = build_city(scene, seed=seed)
    medium = _medium(scene)
    nodes_m = np.array([placed(city, node.x_m, node.y_m, node.z_m) for node in scene.nodes])
    city.require_outside(nodes_m, [f"node '{node.id}'" for node in scene.nodes])
    recorded = _recorded_noise(scene)
    nodes = tuple(
        _node(scene, node, at, medium, recorded, seed=seed) for node, at in zip(scene.nodes, nodes_m, strict=True)
    )
    named = [shots(scene, item, city, medium, seed=seed) for item in scene.shots]
    named += [bang(item, city, seed=seed) for item in scene.bangs]
    fired = [(f"event '{event.name}'", item.position_m) for event in named for item in event.discharges]
    places = [place for _, place in fired]
    city.require_outside(np.array(places).reshape(-1, 3), [name for name, _ in fired])
    scatter = tuple((table, scatter_count(scene, table, seed=seed)) for table in scene.scatter)
    flat = [place[:2] for place in [*nodes_m.tolist(), *places]]
    flat += [corner for it in scene.scatter for corner in ((it.west_m, it.south_m), (it.east_m, it.north_m))]
    farthest_m = float(np.hypot(*np.ptp(np.array(flat), axis=0))) + 1.0
    return Stage(scene, seed, city, medium, nodes, tuple(named), scatter, farthest_m)


def _medium(scene: SceneFile) -> Medium:
    air, paths, kind = scene.weather, scene.paths, scene.ground.kind
    if kind != "none" and kind not in GROUND_FLOW_RESISTIVITY_PA_S_PER_M2:
        raise InputError(
            f"no ground '{kind}'; there are: {', '.join(GROUND_FLOW_RESISTIVITY_PA_S_PER_M2)}, none",
            field="ground.kind",
        )
    return Medium(
        weather=scene.air,
        profile=EffectiveProfile(
            speed_of_sound_mps=scene.air.speed_of_sound_mps,
            wind_enu_mps=scene.air.wind_enu_mps,
            wind_reference_height_m=air.wind_height_m,
            roughness_length_m=air.roughness_m,
            temperature_gradient_k_per_m=air.temperature_gradient_k_per_m,
        ),
        flow_resistivity_pa_s_per_m2=(
            GROUND_FLOW_RESISTIVITY_PA_S_PER_M2[kind] if paths.ground and kind != "none" else None
        ),
        absorption=paths.absorption,
        diffraction="utd" if paths.diffraction == "utd" else "maekawa",
        shadow=paths.shadow,
        finite_walls=paths.finite_walls,
    )


# Nodes.


def _node(
    scene: SceneFile, table: NodeTable, position_m: _Real, medium: Medium, recorded: RecordedNoise | None, *, seed: int
) -> StagedNode:
    error_m = survey_error_m(1, sigma_m=scene.survey_sigma_m, rng=stream(seed, Stream.SURVEY, table.id))[0]
    site = Site(
        table.id,
        float(position_m[0] + error_m[0] - table.moved_m[0]),
        float(position_m[1] + error_m[1] - table.moved_m[1]),
        float(position_m[2] + error_m[2]),
        max(scene.survey_sigma_m, _LEAST_SIGMA_M),
    )
    name = table.microphone or scene.microphone
    if name not in MICROPHONES:
        raise InputError(f"node '{table.id}': no microphone '{name}'; there are: {', '.join(MICROPHONES)}")
    microphone = replace(
        MICROPHONES[name], muffled_db=table.muffled_db, gain_control=AutomaticGain() if table.agc else None
    )
    try:
        clock = draw_clock(
            table.clock or scene.clock,  # type: ignore[arg-type]
            duration_s=min(scene.duration_s, 86_400.0),
            rng=stream(seed, Stream.CLOCK, table.id),
            offset_ms=table.clock_offset_ms,
        )
    except InputError as error:
        raise InputError(f"node '{table.id}': {error.problems[0].message}", field="clock") from error
    return StagedNode(table.id, position_m, site, clock, microphone, _noise(scene, table, medium, recorded))


def _noise(
    scene: SceneFile, node: NodeTable, medium: Medium, recorded: RecordedNoise | None
) -> tuple[NoiseModel | RecordedNoise, ...]:
    table, made = scene.noise, list[NoiseModel | RecordedNoise]()
    if table.city_dba is not None:
        made.append(CityNoise(table.city_dba))
    if table.passes_per_minute > 0.0:
        made.append(
            TrafficNoise(
                table.passes_per_minute,
                distance_m=max(math.hypot(table.road_m, node.z_m), _ROAD_MIN_M),
                temperature_c=scene.weather.temperature_c,
                humidity_percent=max(scene.weather.humidity_percent, 1.0),
            )
        )
    if table.wind and scene.weather.wind_speed_mps > 0.0:
        roughness_m = scene.weather.roughness_m or 0.1
        factor = float(medium.profile.wind_factor(node.z_m))
        height_m = max(node.z_m, 1.5 * roughness_m)
        made.append(
            WindNoise(
                scene.weather.wind_speed_mps * factor,
                screen_diameter_m=table.windscreen_m,
                height_m=height_m,
                roughness_m=roughness_m,
            )
        )
    if table.rain_dba is not None:
        made.append(RainNoise(table.rain_dba))
    if table.insects_db_spl is not None:
        made.append(InsectNoise(table.insects_db_spl))
    if recorded is not None:
        made.append(recorded)
    return tuple(made)


def _recorded_noise(scene: SceneFile) -> RecordedNoise | None:
    table = scene.noise.recording
    if table is None:
        return None
    import soundfile

    path = scene.folder / table.file
    try:
        samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    except (OSError, RuntimeError) as error:
        raise DatasetError(f"cannot read the background recording: {error}", source=path) from error
    return RecordedNoise.from_recording(
        samples.mean(axis=1),
        recorded_rate_hz=rate_hz,
        sample_rate_hz=scene.sample_rate_hz,
        level_db_spl=table.level_db_spl,
    )
