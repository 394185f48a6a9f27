"""The scene file of the simulator, as closed TOML: every key with its meaning. See docs/simulator.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from shotline.atmosphere import Weather
from shotline.config import ConfigModel, load_config
from shotline.errors import DatasetError, InputError
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc

__all__ = [
    "Air",
    "BangTable",
    "BuildingTable",
    "CityTable",
    "GridTable",
    "Ground",
    "Hill",
    "NodeTable",
    "NoiseTable",
    "Origin",
    "PathsTable",
    "RecordingTable",
    "ScatterTable",
    "SceneFile",
    "ScreensTable",
    "ShotsTable",
    "TailTable",
    "TerrainTable",
    "load_scene",
    "shipped_scene",
    "shipped_scenes",
]

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
_Metres = Annotated[float, Field(allow_inf_nan=False, ge=-100_000.0, le=100_000.0)]
_Height = Annotated[float, Field(gt=0.0, le=10_000.0)]
_Seconds = Annotated[float, Field(ge=0.0, le=1e7)]
_Level = Annotated[float, Field(ge=-20.0, le=200.0)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Pair = Annotated[list[_Metres], Field(min_length=2, max_length=2)]

DEMO_SCENE = "city-block"


class Origin(ConfigModel):
    """Where the local frame has its origin, on the ground; WGS-84."""

    lat_deg: float
    lon_deg: float
    height_m: float = 0.0


class Air(ConfigModel):
    """The weather of the whole scene."""

    temperature_c: float
    """At the ground, degrees Celsius."""
    wind_speed_mps: float = 0.0
    """At ``wind_height_m``; also what the dataset says of the wind, as a METAR would."""
    wind_from_deg: float = 0.0
    humidity_percent: float = 60.0
    wind_height_m: Annotated[float, Field(gt=0.0, le=100.0)] = 10.0
    roughness_m: Annotated[float, Field(gt=0.0, le=5.0)] | None = None
    """Roughness length of the logarithmic wind profile: 0.03 airport, 0.5 suburb, 1 town. None: one wind for all."""
    temperature_gradient_k_per_m: Annotated[float, Field(ge=-0.5, le=0.5)] = 0.0
    """Falls with height on a sunny day (-0.02), rises in a clear night (+0.05)."""
    reported_temperature_sigma_c: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """The dataset states the weather as a station elsewhere has it: with this 1-sigma error."""
    reported_wind_sigma_mps: Annotated[float, Field(ge=0.0, le=10.0)] = 0.0
    """The same of the wind, east and north."""


class Ground(ConfigModel):
    """What the ground is made of."""

    kind: str = "asphalt"
    """A kind of `shotline.propagation.GROUND_FLOW_RESISTIVITY_PA_S_PER_M2`, or "none" for no reflection."""


class Hill(ConfigModel):
    """A round hill, or with a negative height a hollow: height exp(-(distance / radius)²)."""

    x_m: _Metres
    y_m: _Metres
    height_m: Annotated[float, Field(ge=-2_000.0, le=2_000.0)]
    radius_m: Annotated[float, Field(gt=0.0, le=50_000.0)]


class TerrainTable(ConfigModel):
    """Heights of the ground; flat when there is no such table."""

    hills: list[Hill] = Field(default_factory=list)
    grid: str | None = None
    """An Esri ASCII grid (.asc) in metres of the local frame, relative to this file."""


class BuildingTable(ConfigModel):
    """One building with vertical walls and a flat roof."""

    name: _Name
    corners_m: Annotated[list[_Pair], Field(min_length=3)]
    """East and north of each corner, in order round the building."""
    height_m: _Height
    reflection: _Share | None = None


class GridTable(ConfigModel):
    """A generated town; see `shotline_recordings.simulate.city.StreetGrid`."""

    blocks: Annotated[list[Annotated[int, Field(ge=1, le=60)]], Field(min_length=2, max_length=2)]
    block_m: _Pair
    street_m: Annotated[float, Field(gt=0.0, le=500.0)]
    lots: Annotated[list[Annotated[int, Field(ge=1, le=40)]], Field(min_length=2, max_length=2)] = Field(
        default_factory=lambda: [2, 2]
    )
    gap_m: Annotated[float, Field(ge=0.1, le=100.0)] = 2.0
    height_m: _Pair = Field(default_factory=lambda: [6.0, 10.0])
    built: _Share = 0.9
    keep_clear_m: Annotated[float, Field(ge=0.0, le=1_000.0)] = 2.0
    """No generated building so near to another one, or to a node, shot or bang of the scene lower than its roof."""


class CityTable(ConfigModel):
    """Buildings: from a file, one by one, generated, or all of these."""

    footprints: str | None = None
    """A GeoJSON file of polygons with the property height_m, relative to this file."""
    buildings: list[BuildingTable] = Field(default_factory=list)
    grid: GridTable | None = None
    reflection: _Share = 0.8
    """Share of the energy that a wall returns: 1 hard and flat, 0.8 with windows and bays [ISO9613-2 table 4]."""


class TailTable(ConfigModel):
    """The diffuse tail: what many buildings scatter, after all paths that are drawn one by one."""

    level_db: Annotated[float, Field(ge=-120.0, le=20.0)] = -12.0
    """Energy of the whole tail over that of the open straight path, 100 m away."""
    falls_db: Annotated[float, Field(ge=0.0, le=24.0)] = 6.0
    """Per doubling of distance; the open straight path falls 6 dB. More where every street lies behind the next."""
    decay_s: Annotated[float, Field(gt=0.0, le=10.0)] = 1.0
    """Time in which it falls by 60 dB."""
    build_up_s: Annotated[float, Field(ge=0.0, le=2.0)] = 0.02
    """Time in which it rises."""


class ScreensTable(ConfigModel):
    """What no map shows: sheds, hoardings, parked lorries, hedges. A screen stands on a share of the paths.

    The way over it is longer by an exponentially distributed detour, which delays the sound and weakens it as an edge
    does. One draw for each path from a place to a node: a property of the path, the same for every round.
    """

    share: _Share = 0.5
    detour_m: Annotated[float, Field(gt=0.0, le=50.0)] = 1.0
    """Mean of the detours."""


class PathsTable(ConfigModel):
    """The physics, each piece of which can be switched off."""

    reflection_order: Annotated[int, Field(ge=0, le=3)] = 2
    diffraction: Literal["maekawa", "utd", "none"] = "maekawa"
    ground: bool = True
    absorption: bool = True
    shadow: bool = True
    """Sound that bends upwards, against the wind or over hot ground, leaves a shadow."""
    finite_walls: bool = True
    """Walls that are small against the wavelength reflect less."""
    longest_extra_m: Annotated[float, Field(gt=0.0, le=2_000.0)] = 150.0
    """A path longer than the straight line by more is left to the tail."""
    turbulence: Annotated[float, Field(ge=0.0, le=1e-4)] = 3e-6
    """Mean square of the fluctuating refractive index; makes travel times scatter."""
    screens: ScreensTable | None = None
    tails: list[TailTable] = Field(default_factory=list)
    """A town has a short one and a long one."""


class RecordingTable(ConfigModel):
    """A sound file that plays in the background of every node, in a loop."""

    file: str
    """Relative to this file."""
    level_db_spl: _Level


class NoiseTable(ConfigModel):
    """What is there without any event; see `shotline_recordings.simulate.noise_sources`."""

    city_dba: _Level | None = 45.0
    """A-weighted rms of the distant city: 35 a suburb at night, 45 by day, 55 down town."""
    passes_per_minute: Annotated[float, Field(ge=0.0, le=600.0)] = 2.0
    """Vehicles near each node."""
    road_m: Annotated[float, Field(ge=3.0, le=2_000.0)] = 15.0
    """From a node to the middle of the road."""
    wind: bool = True
    """Noise of the wind in the microphone, from the wind speed there."""
    windscreen_m: Annotated[float, Field(ge=0.001, le=2.0)] = 0.09
    """Diameter of the windscreen."""
    rain_dba: _Level | None = None
    insects_db_spl: _Level | None = None
    recording: RecordingTable | None = None
    clutter_per_minute: Annotated[float, Field(ge=0.0, le=6_000.0)] = 0.0
    """With ``--detections``: other impulses that each node reports."""


class NodeTable(ConfigModel):
    """A microphone on a roof or pole; where it really is, and what is wrong with it."""

    id: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height
    """Above the ground there."""
    microphone: str | None = None
    """Instead of the scene's."""
    clock: str | None = None
    """Instead of the scene's."""
    clock_offset_ms: Annotated[float, Field(ge=-1e4, le=1e4)] | None = None
    """With ``clock = "stepped"``: it is late by so much and does not know it."""
    muffled_db: Annotated[float, Field(ge=-80.0, le=0.0)] = 0.0
    """Change of level by a blocked port."""
    agc: bool = False
    """A fault: the gain follows the sound."""
    moved_m: _Pair = Field(default_factory=lambda: [0.0, 0.0])
    """The node has been moved east and north since its survey, which still says the old place."""


class ShotsTable(ConfigModel):
    """One event: rounds fired by one shooter."""

    event: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height = 1.5
    """Above the ground there."""
    weapon: str = "pistol-9mm"
    """An id of the weapon table: ``shotline simulate --weapons``."""
    azimuth_deg: float = 0.0
    """Where the barrel points, clockwise from north."""
    elevation_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 0.0
    times_s: Annotated[list[_Seconds], Field(min_length=1)] | None = None
    """Discharges, after the start of the scene; or leave it out and give ``start_s``."""
    start_s: _Seconds | None = None
    mode: Literal["single", "double_tap", "burst", "automatic"] = "single"
    rounds: Annotated[int, Field(ge=1, le=1_000)] | None = None
    rate_rpm: Annotated[float, Field(gt=0.0, le=6_000.0)] | None = None
    """Rounds per minute, instead of the weapon's or the mode's own."""
    velocity_mps: _Pair = Field(default_factory=lambda: [0.0, 0.0])
    """The shooter moves, east and north; (x_m, y_m) is where the first round is fired."""
    label: str = ""


class BangTable(ConfigModel):
    """One event that is no shot, and must not become one."""

    event: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height = 1.0
    time_s: _Seconds
    kind: str
    """A kind of ``shotline simulate --bangs``."""
    peak_db_spl_at_1m: _Level | None = None
    """Instead of what is usual of the kind."""
    label: str = ""


class ScatterTable(ConfigModel):
    """Many events at random places and times, on open ground."""

    event: _Name
    """Their names begin with it."""
    kinds: Annotated[list[str], Field(min_length=1)]
    """Weapons or kinds of bang, each as likely as it is often named."""
    count: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    per_hour: Annotated[float, Field(gt=0.0, le=1e6)] | None = None
    """Instead of ``count``."""
    west_m: _Metres
    east_m: _Metres
    south_m: _Metres
    north_m: _Metres
    z_m: _Height = 1.5
    from_s: _Seconds = 0.0
    until_s: _Seconds | None = None
    """The end of the scene when left out."""
    apart_s: _Seconds = 0.0
    """Least time between two of them: they are then spread evenly instead of at random."""


class SceneFile(ConfigModel):
    """A scene to simulate."""

    name: _Name
    about: str = ""
    """What it is for, in a sentence."""
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    start_utc: str
    duration_s: Annotated[float, Field(gt=0.0, le=1e7)]
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=96_000)] = 48_000
    microphone: str = "mems-120"
    """A name of `shotline_recordings.simulate.microphone.MICROPHONES`."""
    clock: str = "pps"
    """A scenario of `shotline_recordings.simulate.clocks`."""
    survey_sigma_m: Annotated[float, Field(ge=0.0, le=100.0)] = 0.5
    """1-sigma error of the surveyed positions of the nodes, per axis; the dataset's sites have it."""
    origin: Origin
    weather: Air
    ground: Ground = Ground()
    terrain: TerrainTable | None = None
    city: CityTable = CityTable()
    paths: PathsTable = PathsTable()
    noise: NoiseTable = NoiseTable()
    nodes: Annotated[list[NodeTable], Field(min_length=1)]
    shots: list[ShotsTable] = Field(default_factory=list)
    bangs: list[BangTable] = Field(default_factory=list)
    scatter: list[ScatterTable] = Field(default_factory=list)
    _folder: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _fits_together(self) -> SceneFile:
        _unique((node.id for node in self.nodes), "nodes: id")
        names = [item.event for item in self.shots] + [item.event for item in self.bangs]
        _unique([*names, *(item.event for item in self.scatter)], "shots, bangs, scatter: event")
        for shots in self.shots:
            if (shots.times_s is None) == (shots.start_s is None):
                raise ValueError(f"event '{shots.event}': give either times_s, or start_s with a mode")
            if shots.times_s is not None and {"mode", "rounds", "rate_rpm"} & shots.model_fields_set:
                raise ValueError(f"event '{shots.event}': mode, rounds and rate_rpm go with start_s, not with times_s")
        latest = {item.event: max(item.times_s or [item.start_s or 0.0]) for item in self.shots}
        latest |= {item.event: item.time_s for item in self.bangs}
        for event, time_s in latest.items():
            if time_s > self.duration_s:
                raise ValueError(f"event '{event}' is at {time_s:g} s, after the end ({self.duration_s:g} s)")
        microphones = {(node.x_m, node.y_m, node.z_m) for node in self.nodes}
        for event, place in self.named_places.items():
            if place in microphones:
                raise ValueError(f"event '{event}' is inside a microphone; move one of them")
        for some in self.scatter:
            if (some.count is None) == (some.per_hour is None):
                raise ValueError(f"scatter '{some.event}': give either count or per_hour")
            if some.west_m >= some.east_m or some.south_m >= some.north_m:
                raise ValueError(f"scatter '{some.event}': west_m must be less than east_m, south_m than north_m")
        return self

    @property
    def named_places(self) -> dict[str, tuple[float, float, float]]:
        """East, north, and height above the ground of each shot and bang, by event."""
        places = {item.event: (item.x_m, item.y_m, item.z_m) for item in self.shots}
        return places | {item.event: (item.x_m, item.y_m, item.z_m) for item in self.bangs}

    @property
    def folder(self) -> Path:
        """Where the files that it names are."""
        return self._folder

    def at(self, folder: Path) -> SceneFile:
        """Return the scene, with the files that it names in this folder."""
        made = self.model_copy()
        made._folder = folder
        return made

    @property
    def start_ns(self) -> int:
        """UTC nanoseconds of the start."""
        return parse_utc(self.start_utc, field="start_utc")

    @property
    def frame(self) -> LocalFrame:
        """The local frame."""
        return LocalFrame(self.origin.lat_deg, self.origin.lon_deg, self.origin.height_m)

    @property
    def air(self) -> Weather:
        """The weather as a domain value."""
        return Weather(
            temperature_c=self.weather.temperature_c,
            wind_speed_mps=self.weather.wind_speed_mps,
            wind_from_deg=self.weather.wind_from_deg,
            humidity_percent=self.weather.humidity_percent,
        )


def load_scene(path: Path) -> SceneFile:
    """Read a scene file.

    Raises
    ------
    ConfigError
        Every mistake, each with its line.
    DatasetError
        A time, the weather or the origin cannot be.
    """
    scene = load_config(path, SceneFile).at(path.parent)
    for name, check in (("start_utc", "start_ns"), ("weather", "air"), ("origin", "frame")):
        try:
            getattr(scene, check)
        except InputError as error:
            raise DatasetError(error.problems[0].message, source=path, field=name) from error
    return scene


def shipped_scenes() -> Mapping[str, Path]:
    """Return the scenes that come with Shotline, by name: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    for folder in (package / "demo", package.parent / "demo"):
        found = {path.stem: path for path in sorted(folder.glob("*.toml"))}
        if DEMO_SCENE in found:
            return found
    raise DatasetError("the shipped scenes are missing; name a SCENE.toml", source=package / "demo")


def shipped_scene(name: str = DEMO_SCENE) -> Path:
    """Return the file of a shipped scene.

    Raises
    ------
    InputError
        There is none of that name: lists those that are there.
    """
    scenes = shipped_scenes()
    if name not in scenes:
        raise InputError(f"no file and no shipped scene '{name}'; shipped are: {', '.join(scenes)}")
    return scenes[name]


def _unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: '{name}' is there twice; give each its own")
        seen.add(name)
