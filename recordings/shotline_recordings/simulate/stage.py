"""A scene file made into a world: town, air, nodes with their faults, and everything that sounds.

Every random choice has its own stream, made from the seed, from what it is for, and from the name of the node or event:
one more node or event changes nothing about the others.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from shotline.atmosphere import Weather
from shotline.domain import ImpulseKind, Site
from shotline.errors import DatasetError, InputError
from shotline.propagation import GROUND_FLOW_RESISTIVITY_PA_S_PER_M2, EffectiveProfile
from shotline_recordings.scene import BangTable, GridTable, NodeTable, ScatterTable, SceneFile, ShotsTable, TerrainTable
from shotline_recordings.simulate.bangs import BANG_KINDS
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.bullet import Flight
from shotline_recordings.simulate.city import Building, City, StreetGrid, Terrain, load_footprints, street_grid
from shotline_recordings.simulate.clocks import NodeClock, draw_clock
from shotline_recordings.simulate.emission import Emission
from shotline_recordings.simulate.fire import fire_times_s, moved_positions_m
from shotline_recordings.simulate.gains import Medium
from shotline_recordings.simulate.microphone import MICROPHONES, AutomaticGain, Microphone
from shotline_recordings.simulate.noise import NoiseModel, RecordedNoise
from shotline_recordings.simulate.noise_sources import CityNoise, InsectNoise, RainNoise, TrafficNoise, WindNoise
from shotline_recordings.simulate.paths import PathFinder, Paths, PathSettings
from shotline_recordings.simulate.positions import survey_error_m
from shotline_recordings.simulate.weapons import Weapon, weapon

__all__ = ["Discharge", "NearbyPaths", "Stage", "StagedEvent", "StagedNode", "Stream", "set_stage", "spot", "stream"]

_Real = NDArray[np.float64]

_LEAST_SIGMA_M = 0.05
"""What a dataset says of a survey without error."""
_TERRAIN_STEP_M = 20.0
_MOST_TRIES = 1_000
_ROAD_MIN_M = 3.0
_MOST_TAILS = 8
_SAME_PLACE_M = 1.0
_TURBULENCE_M = 5.0
"""Correlation length of the refractive index outdoors, 1 to 10 m."""
_BULLET_RANGE_M = 1_500.0


class Stream(IntEnum):
    """What random numbers are for."""

    TOWN = 0
    SURVEY = 1
    CLOCK = 2
    NOISE = 3
    MICROPHONE = 4
    FIRE = 5
    SCATTER = 6
    PATH = 7
    DETECTION = 8
    CLUTTER = 9
    WEATHER = 10


def stream(seed: int, what: Stream, *names: str | int) -> np.random.Generator:
    """Return the random numbers for one purpose, and for one node or event of that name."""
    parts = [name if isinstance(name, int) else zlib.crc32(name.encode()) for name in names]
    return np.random.default_rng([seed, int(what), *parts])


def spot(place_m: tuple[float, float, float]) -> str:
    """Return the name of a place to a metre: what is random about a line is the same from all of it."""
    return ",".join(f"{value:.0f}" for value in place_m)


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
class Discharge:
    """One round or bang: what it gives off, by ways of its own.

    Parameters
    ----------
    time_s : float
        After the start of the scene.
    position_m : tuple[float, float, float]
        In the local frame.
    emissions : tuple[Emission, ...]
        Their times count from the start of the scene.
    flight : Flight | None
        Of a bullet faster than sound, with a shock wave of its own.
    """

    time_s: float
    position_m: tuple[float, float, float]
    emissions: tuple[Emission, ...]
    flight: Flight | None = None

    def tail_share(self, number: int) -> float:
        """Return for how many emissions the diffuse tail of this one stands: of many, a few have one for all."""
        if len(self.emissions) <= _MOST_TAILS:
            return 1.0
        return 0.0 if number % _MOST_TAILS else float(min(_MOST_TAILS, len(self.emissions) - number))


@dataclass(frozen=True, slots=True, eq=False)
class StagedEvent:
    """Everything that one event sounds like at its source.

    Parameters
    ----------
    name, label : str
    kind : ImpulseKind
    discharges : tuple[Discharge, ...]
        In order of time.
    """

    name: str
    label: str
    kind: ImpulseKind
    discharges: tuple[Discharge, ...]


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
        """The weather as a station elsewhere states it: what the dataset says, and fusion computes with."""
        table, air = self.scene.weather, self.scene.air
        rng = stream(self.seed, Stream.WEATHER)
        wind = np.array(air.wind_enu_mps) + table.reported_wind_sigma_mps * rng.standard_normal(2)
        warmer_c = table.reported_temperature_sigma_c * float(rng.standard_normal())
        if not table.reported_wind_sigma_mps and not table.reported_temperature_sigma_c:
            return air
        return Weather(
            temperature_c=air.temperature_c + warmer_c,
            wind_speed_mps=float(np.hypot(*wind)),
            wind_from_deg=math.degrees(math.atan2(-wind[0], -wind[1])) % 360.0,
            humidity_percent=air.humidity_percent,
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
                return _scattered(table, number, count, stage=self)
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
    city = _city(scene, seed)
    medium = _medium(scene)
    placed = np.array([_place(city, node.x_m, node.y_m, node.z_m) for node in scene.nodes])
    city.require_outside(placed, [f"node '{node.id}'" for node in scene.nodes])
    recorded = _recorded_noise(scene)
    nodes = tuple(
        _node(scene, node, at, medium, recorded, seed=seed) for node, at in zip(scene.nodes, placed, strict=True)
    )
    named = [_shots(item, city, medium, seed) for item in scene.shots]
    named += [_bang(item, city, seed) for item in scene.bangs]
    places = [event.discharges[0].position_m for event in named]
    city.require_outside(np.array(places).reshape(-1, 3), [f"event '{event.name}'" for event in named])
    scatter = tuple((table, _scatter_count(scene, table, seed)) for table in scene.scatter)
    flat = [place[:2] for place in [*placed.tolist(), *places]]
    flat += [corner for it in scene.scatter for corner in ((it.west_m, it.south_m), (it.east_m, it.north_m))]
    farthest_m = float(np.hypot(*np.ptp(np.array(flat), axis=0))) + 1.0
    return Stage(scene, seed, city, medium, nodes, tuple(named), scatter, farthest_m)


def _place(city: City, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
    return x_m, y_m, z_m + float(city.ground_m(np.array([[x_m, y_m]]))[0])


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


# The town.


def _city(scene: SceneFile, seed: int) -> City:
    table = scene.city
    buildings: list[Building] = []
    if table.footprints:
        buildings += load_footprints(scene.folder / table.footprints, scene.frame, reflection=table.reflection)
    buildings += [
        Building.of(
            item.name,
            item.corners_m,
            item.height_m,
            reflection=table.reflection if item.reflection is None else item.reflection,
        )
        for item in table.buildings
    ]
    if table.grid:
        buildings += _generated(scene, table.grid, buildings, seed)
    return City(buildings, _terrain(scene, scene.terrain) if scene.terrain else None)


def _generated(scene: SceneFile, table: GridTable, others: Sequence[Building], seed: int) -> list[Building]:
    """Return the buildings of a grid, less those that others, nodes or named events stand in the place of."""
    grid = StreetGrid(
        blocks=(table.blocks[0], table.blocks[1]),
        block_m=(table.block_m[0], table.block_m[1]),
        street_m=table.street_m,
        lots=(table.lots[0], table.lots[1]),
        gap_m=table.gap_m,
        height_m=(table.height_m[0], table.height_m[1]),
        built=table.built,
    )
    made = street_grid(grid, stream(seed, Stream.TOWN), reflection=scene.city.reflection)
    taken = [(shapely.Polygon(item.ring_m), math.inf) for item in others]
    taken += [(shapely.Point(x_m, y_m), z_m) for x_m, y_m, z_m in _places(scene)]
    return [
        building
        for building in made
        if all(
            (height_m > building.height_m and height_m != math.inf)
            or shapely.distance(shapely.Polygon(building.ring_m), shape) > table.keep_clear_m
            for shape, height_m in taken
        )
    ]


def _places(scene: SceneFile) -> list[tuple[float, float, float]]:
    """Return where nodes and named events are: east, north, above the ground."""
    return [*((node.x_m, node.y_m, node.z_m) for node in scene.nodes), *scene.named_places.values()]


def _terrain(scene: SceneFile, table: TerrainTable) -> Terrain:
    places = np.array(_places(scene))[:, :2]
    hills = np.array([(hill.x_m, hill.y_m) for hill in table.hills]).reshape(-1, 2)
    base = _esri_grid(scene.folder / table.grid) if table.grid else None
    if base is not None and not table.hills:
        return base
    low = np.concatenate([places, hills]).min(axis=0) - 500.0
    high = np.concatenate([places, hills]).max(axis=0) + 500.0
    steps = np.ceil((high - low) / _TERRAIN_STEP_M).astype(int) + 1
    x_m, y_m = (low[axis] + _TERRAIN_STEP_M * np.arange(steps[axis], dtype=np.float64) for axis in (0, 1))
    east, north = np.meshgrid(x_m, y_m)
    height = np.zeros(east.shape) if base is None else base.at(east, north)
    for hill in table.hills:
        height += hill.height_m * np.exp(-((east - hill.x_m) ** 2 + (north - hill.y_m) ** 2) / hill.radius_m**2)
    return Terrain(x_m, y_m, height)


def _esri_grid(path: Path) -> Terrain:
    """Read an Esri ASCII grid: six lines of header, then rows from north to south."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        header = {key.lower(): float(value) for key, value in (line.split() for line in lines[:5])}
        first = 5
        if lines[5].lower().startswith("nodata"):
            header["nodata_value"], first = float(lines[5].split()[1]), 6
        rows = [[float(value) for value in line.split()] for line in lines[first:] if line.strip()]
        height = np.array(rows[::-1], dtype=np.float64)
        cell = header["cellsize"]
        half = 0.5 * cell if "xllcorner" in header else 0.0
        west = header.get("xllcorner", header.get("xllcenter", math.nan)) + half
        south = header.get("yllcorner", header.get("yllcenter", math.nan)) + half
        if height.shape != (int(header["nrows"]), int(header["ncols"])) or min(height.shape) < 2:
            raise ValueError(f"{height.shape[0]} rows of {height.shape[1]} values do not match its header")
    except (OSError, ValueError, KeyError, IndexError) as error:
        raise DatasetError(
            f"cannot read heights: {type(error).__name__}: {error}; expected an Esri ASCII grid with ncols, nrows, "
            "xllcorner, yllcorner, cellsize",
            source=path,
        ) from error
    if "nodata_value" in header and (height == header["nodata_value"]).any():
        raise DatasetError("the grid has holes (NODATA); fill them", source=path)
    n_rows, n_columns = height.shape
    x_m, y_m = (np.arange(count, dtype=np.float64) * cell for count in (n_columns, n_rows))
    return Terrain(west + x_m, south + y_m, height)


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


# Events.


def _shots(table: ShotsTable, city: City, medium: Medium, seed: int) -> StagedEvent:
    arm = weapon(table.weapon)
    try:
        times_s = fire_times_s(
            "listed" if table.times_s is not None else table.mode,
            start_s=table.start_s or 0.0,
            times_s=table.times_s or (),
            rounds=table.rounds,
            rate_rpm=table.rate_rpm,
            weapon=arm,
            rng=stream(seed, Stream.FIRE, table.event),
        )
    except InputError as error:
        problem = error.problems[0]
        raise InputError(f"event '{table.event}': {problem.message}", field=problem.field) from error
    places = moved_positions_m(
        np.array([table.x_m, table.y_m, table.z_m]),
        velocity_mps=(table.velocity_mps[0], table.velocity_mps[1]),
        times_s=times_s,
    )
    discharges = tuple(
        _round(arm, float(time_s), _place(city, *place), (table.azimuth_deg, table.elevation_deg), city, medium)
        for time_s, place in zip(times_s, places.tolist(), strict=True)
    )
    return StagedEvent(table.event, table.label or arm.name, ImpulseKind.GUNSHOT, discharges)


def _round(
    arm: Weapon,
    time_s: float,
    position_m: tuple[float, float, float],
    barrel_deg: tuple[float, float],
    city: City,
    medium: Medium,
) -> Discharge:
    """Return one round; the bullet flies until it meets a wall."""
    speed_mps = medium.profile.speed_of_sound_mps
    azimuth_deg, elevation_deg = barrel_deg
    blast = MuzzleBlast.of(arm, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, speed_of_sound_mps=speed_mps)
    flight = None
    if arm.muzzle_velocity_mps > speed_mps:
        flight = Flight.of(
            arm,
            muzzle_enu_m=position_m,
            barrel_enu=blast.barrel_enu,
            speed_of_sound_mps=speed_mps,
            range_m=city.free_flight_m(np.array(position_m), np.array(blast.barrel_enu), longest_m=_BULLET_RANGE_M),
        )
    return Discharge(time_s, position_m, (Emission(time_s, position_m, blast),), flight)


def _bang(table: BangTable, city: City, seed: int) -> StagedEvent:
    at = _place(city, table.x_m, table.y_m, table.z_m)
    return _made_bang(table.event, table.label, table.kind, table.time_s, at, table.peak_db_spl_at_1m, seed)


def _made_bang(
    name: str,
    label: str,
    kind: str,
    time_s: float,
    position_m: tuple[float, float, float],
    peak_db_spl: float | None,
    seed: int,
) -> StagedEvent:
    if kind not in BANG_KINDS:
        raise InputError(f"event '{name}': no bang '{kind}'; there are: {', '.join(BANG_KINDS)}", field="kind")
    known = BANG_KINDS[kind]
    made = known.build(position_m, peak_db_spl=peak_db_spl, rng=stream(seed, Stream.FIRE, name))
    emissions = tuple(replace(item, time_s=time_s + item.time_s) for item in made)
    return StagedEvent(name, label or known.about, known.kind, (Discharge(time_s, position_m, emissions),))


def _scatter_count(scene: SceneFile, table: ScatterTable, seed: int) -> int:
    """Return how many events a table stands for, once it is known that they can be."""
    for kind in table.kinds:
        if kind not in BANG_KINDS:
            weapon(kind)  # says which are near when there is none
    from_s, until_s = _span_s(scene, table)
    if not from_s < until_s <= scene.duration_s:
        raise InputError(
            f"scatter '{table.event}' is from {from_s:g} to {until_s:g} s, in a scene of {scene.duration_s:g} s"
        )
    count = table.count
    if count is None:
        expected = (table.per_hour or 0.0) * (until_s - from_s) / 3_600.0
        count = int(stream(seed, Stream.SCATTER, table.event).poisson(expected))
    if table.apart_s * count > until_s - from_s:
        raise InputError(
            f"scatter '{table.event}': {count} events {table.apart_s:g} s apart do not fit into {until_s - from_s:g} s"
        )
    return count


def _span_s(scene: SceneFile, table: ScatterTable) -> tuple[float, float]:
    return table.from_s, scene.duration_s if table.until_s is None else table.until_s


def _scattered(table: ScatterTable, number: int, count: int, *, stage: Stage) -> StagedEvent:
    """Draw one event on open ground."""
    rng = stream(stage.seed, Stream.SCATTER, table.event, number)
    name = f"{table.event}-{number}"
    from_s, until_s = _span_s(stage.scene, table)
    share = number / count if table.apart_s else rng.random()
    time_s = from_s + float(share) * (until_s - from_s)
    at = _open_ground(table, stage.city, rng)
    kind = table.kinds[int(rng.integers(len(table.kinds)))]
    azimuth_deg = float(rng.uniform(0.0, 360.0))
    if kind in BANG_KINDS:
        return _made_bang(name, "", kind, time_s, at, None, stage.seed)
    arm = weapon(kind)
    return StagedEvent(
        name, arm.name, ImpulseKind.GUNSHOT, (_round(arm, time_s, at, (azimuth_deg, 0.0), stage.city, stage.medium),)
    )


def _open_ground(table: ScatterTable, city: City, rng: np.random.Generator) -> tuple[float, float, float]:
    for _ in range(_MOST_TRIES):
        x_m, y_m = rng.uniform(table.west_m, table.east_m), rng.uniform(table.south_m, table.north_m)
        if city.building_at(np.array([[x_m, y_m]]))[0] < 0:
            return _place(city, float(x_m), float(y_m), table.z_m)
    raise InputError(f"scatter '{table.event}': no open ground in its area; make it larger")
