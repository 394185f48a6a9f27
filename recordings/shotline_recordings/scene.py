"""The scene file of the simulator: where nodes, shots and noises are, as closed TOML. See ``recordings/README.md``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from shotline.atmosphere import Weather
from shotline.config import ConfigModel, load_config
from shotline.errors import DatasetError, InputError
from shotline.timebase import parse_utc

__all__ = [
    "Air",
    "Bang",
    "Echoes",
    "Noise",
    "Origin",
    "SceneFile",
    "SceneNode",
    "Shots",
    "demo_scene_path",
    "load_scene",
]

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
_Metres = Annotated[float, Field(allow_inf_nan=False, ge=-100_000.0, le=100_000.0)]
_Height = Annotated[float, Field(gt=0.0, le=1_000.0)]
_Seconds = Annotated[float, Field(ge=0.0, le=3_600.0)]
_Level = Annotated[float, Field(ge=0.0, le=190.0)]


class Origin(ConfigModel):
    """Where the local frame has its origin, on the ground; WGS-84."""

    lat_deg: float
    lon_deg: float
    height_m: float = 0.0


class Air(ConfigModel):
    """The weather of the whole scene."""

    temperature_c: float
    wind_speed_mps: float = 0.0
    wind_from_deg: float = 0.0
    humidity_percent: float = 60.0


class Noise(ConfigModel):
    """What is there without any shot."""

    background_db_spl: _Level = 55.0
    """Rms of wind and city, all frequencies."""
    traffic_db_spl: _Level = 66.0
    """Rms as a vehicle passes."""
    passes_per_minute: Annotated[float, Field(ge=0.0, le=60.0)] = 4.0
    """Vehicles per node and minute."""


class Echoes(ConfigModel):
    """What the buildings do. All of it comes later than the straight path, never earlier."""

    per_path: Annotated[float, Field(ge=0.0, le=50.0)] = 4.0
    """Mean number of distinct echoes between an event and a node."""
    delay_ms: Annotated[float, Field(gt=0.0, le=300.0)] = 90.0
    """Mean delay of an echo after the straight path."""
    tail_db: Annotated[float, Field(ge=-120.0, le=0.0)] = -24.0
    """Rms of the diffuse tail as it begins, relative to the peak."""
    tail_ms: Annotated[float, Field(gt=0.0, le=1_000.0)] = 120.0
    """Time in which the tail falls to 1/e."""
    nlos_share: Annotated[float, Field(ge=0.0, le=1.0)] = 0.3
    """Share of paths round a corner: duller, weaker and a little longer."""
    nlos_excess_ms: Annotated[float, Field(ge=0.0, le=50.0)] = 3.0
    """Mean extra delay of such a path."""


class SceneNode(ConfigModel):
    """A microphone on a roof or pole."""

    id: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height


class Shots(ConfigModel):
    """One event: rounds fired at one place."""

    event: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height = 1.5
    times_s: Annotated[list[_Seconds], Field(min_length=1)]
    """Discharges, after the start of the scene."""
    peak_db_spl_at_1m: _Level = 155.0
    blast_ms: Annotated[float, Field(gt=0.0, le=10.0)] = 0.5
    """Positive phase of the muzzle blast at 1 m."""
    label: str = "handgun"


class Bang(ConfigModel):
    """One event that is no shot, and must not become one."""

    event: _Name
    x_m: _Metres
    y_m: _Metres
    z_m: _Height = 1.0
    time_s: _Seconds
    peak_db_spl_at_1m: _Level
    modes_hz: Annotated[list[Annotated[float, Field(gt=0.0, le=20_000.0)]], Field(min_length=1)]
    """What rings."""
    decay_ms: Annotated[float, Field(gt=0.0, le=1_000.0)]
    """Time in which the ringing falls to 1/e."""
    kind: Literal["firework", "thunder", "impact", "other_impulse"] = "impact"
    label: str = ""


class SceneFile(ConfigModel):
    """A scene to simulate."""

    name: _Name
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    start_utc: str
    duration_s: Annotated[float, Field(gt=0.0, le=3_600.0)]
    sample_rate_hz: Annotated[int, Field(ge=8_000, le=96_000)] = 16_000
    full_scale_db_spl: Annotated[float, Field(ge=60.0, le=190.0)] = 120.0
    origin: Origin
    weather: Air
    noise: Noise = Noise()
    echoes: Echoes = Echoes()
    nodes: Annotated[list[SceneNode], Field(min_length=1)]
    shots: list[Shots] = Field(default_factory=list)
    bangs: list[Bang] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_together(self) -> SceneFile:
        _unique((node.id for node in self.nodes), "nodes: id")
        _unique((item.event for item in self.events), "shots, bangs: event")
        for item in self.events:
            times_s = item.times_s if isinstance(item, Shots) else [item.time_s]
            if max(times_s) > self.duration_s:
                raise ValueError(
                    f"event '{item.event}' is at {max(times_s):g} s, after the end ({self.duration_s:g} s)"
                )
            if any((node.x_m, node.y_m, node.z_m) == (item.x_m, item.y_m, item.z_m) for node in self.nodes):
                raise ValueError(f"event '{item.event}' is inside a microphone; move one of them")
        return self

    @property
    def events(self) -> list[Shots | Bang]:
        """All events, shots first."""
        return [*self.shots, *self.bangs]

    @property
    def start_ns(self) -> int:
        """UTC nanoseconds of the start."""
        return parse_utc(self.start_utc, field="start_utc")

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
        A time or the weather cannot be.
    """
    scene = load_config(path, SceneFile)
    for name, check in (("start_utc", lambda: scene.start_ns), ("weather", lambda: scene.air)):
        try:
            check()
        except InputError as error:
            raise DatasetError(error.problems[0].message, source=path, field=name) from error
    return scene


def demo_scene_path() -> Path:
    """Return the shipped city block: beside the package in a checkout, inside it in a wheel."""
    package = Path(__file__).parent
    for folder in (package / "demo", package.parent / "demo"):
        if (folder / "city-block.toml").is_file():
            return folder / "city-block.toml"
    raise DatasetError("the shipped demo scene is missing; name a SCENE.toml", source=package / "demo")


def _unique(names: Iterable[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise ValueError(f"{what}: '{name}' is there twice; give each its own")
        seen.add(name)
