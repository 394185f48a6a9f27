"""A dataset: scenes with sites, weather, sound, detections and truth, in memory and on disk.

The format on disk is described in ``recordings/README.md``; `load_dataset` reads it, `save_dataset` writes it.
Loaders of foreign data (`shotline_recordings.pittsburgh`) make the same values; `open_dataset` chooses.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from pydantic import Field, model_validator

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.config import ConfigModel, line_of, parse_config
from shotline.domain import NODE_ID_PATTERN, ClockState, DetectionId, Site
from shotline.errors import DatasetError, InputError, MessageError
from shotline.geodesy import LocalFrame
from shotline.messages import Detection, decode, iter_frames, pack_frames
from shotline.timebase import format_utc, parse_utc

__all__ = [
    "DATASET_FILE",
    "DATASET_FORMAT",
    "Dataset",
    "PulseSet",
    "Recording",
    "Scene",
    "TruthEvent",
    "load_dataset",
    "open_dataset",
    "save_dataset",
]

DATASET_FILE = "dataset.toml"
DATASET_FORMAT = "shotline-dataset-1"


@dataclass(frozen=True, slots=True)
class Recording:
    """One node's sound: a mono WAV or FLAC file whose first sample has a known instant.

    ``full_scale_db_spl`` is the peak level of digital full scale; None when the microphone is not calibrated.
    """

    node: str
    path: Path
    start_time_ns: int
    event: str = ""
    clock_state: ClockState = ClockState.PPS
    clock_sigma_ns: int = 1_000
    full_scale_db_spl: float | None = None


@dataclass(frozen=True, slots=True)
class PulseSet:
    """The detections that somebody else grouped into one shot.

    As given: a node may be in it twice, and whoever uses it drops the later copies.
    """

    event: str
    shot_index: int
    detections: tuple[DetectionId, ...]


@dataclass(frozen=True, slots=True)
class TruthEvent:
    """What really happened: rounds fired at one place.

    Parameters
    ----------
    event : str
        Name, unique in the scene.
    x_m, y_m, z_m : float
        Position in the scene's frame.
    sigma_m : float
        1-sigma error of that position, per axis: nobody may claim to be better than the truth.
    rounds : int
    shot_times_ns : tuple[int, ...]
        Discharge instants as far as known; may be fewer than ``rounds``.
    window_ns : tuple[int, int]
        First and last instant at which the event's sound can be in the data.
    kind : str
        "gunshot" for what must be found; anything else is a confuser that must not be.
    label : str
        Weapon or source, for people.
    """

    event: str
    x_m: float
    y_m: float
    z_m: float
    sigma_m: float
    rounds: int
    shot_times_ns: tuple[int, ...]
    window_ns: tuple[int, int]
    kind: str = "gunshot"
    label: str = ""


@dataclass(frozen=True, slots=True)
class Scene:
    """One place with one set of sites, and what was heard there."""

    name: str
    frame: LocalFrame | None
    sites: tuple[Site, ...]
    weather: WeatherTimeline
    recordings: tuple[Recording, ...] = ()
    detections: tuple[Detection, ...] = ()
    pulse_sets: tuple[PulseSet, ...] = ()
    truth: tuple[TruthEvent, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """Scenes from one source under one licence. ``warnings`` names every quirk that was tolerated, with its count."""

    name: str
    licence: str
    source: str
    scenes: tuple[Scene, ...]
    warnings: tuple[str, ...] = ()


def open_dataset(
    path: Path, *, loader: Literal["auto", "shotline", "pittsburgh"] = "auto", only: Collection[str] | None = None
) -> Dataset:
    """Open a folder with the loader that knows it.

    Parameters
    ----------
    path : Path
        A folder, or a ``dataset.toml``.
    loader : {"auto", "shotline", "pittsburgh"}
        "auto" looks: a ``dataset.toml`` is ours, folders of tests are the Pittsburgh set.
    only : collection of str | None
        Names of scenes (with the Pittsburgh loader also of tests, ``FP1/test_008``); None for all.

    Raises
    ------
    DatasetError, ConfigError
        Nothing there that the loader knows, or a file is broken: names file, field and line.
    """
    from shotline_recordings import pittsburgh

    if not path.exists():
        raise DatasetError("no such folder; check the path", source=path)
    if loader == "auto":
        if path.is_file() or (path / DATASET_FILE).is_file():
            loader = "shotline"
        elif pittsburgh.looks_like_pittsburgh(path):
            loader = "pittsburgh"
        else:
            raise DatasetError(
                f"not a dataset that any loader knows: saw neither {DATASET_FILE} nor folders of the Pittsburgh set "
                "(FP1/test_001/test_001.allpulses.json); recordings/README.md says how to describe your own recordings",
                source=path,
            )
    return pittsburgh.load(path, only=only) if loader == "pittsburgh" else load_dataset(path, only=only)


# The file: closed pydantic models. Every field is documented in recordings/README.md.

_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=64)]
_NodeId = Annotated[str, Field(pattern=NODE_ID_PATTERN, max_length=64)]
_Metres = Annotated[float, Field(allow_inf_nan=False, ge=-1e8, le=1e8)]
_SigmaMetres = Annotated[float, Field(allow_inf_nan=False, ge=0.0, le=1e6)]


class _FrameTable(ConfigModel):
    lat_deg: float
    lon_deg: float
    height_m: float = 0.0


class _Placed(ConfigModel):
    x_m: _Metres | None = None
    y_m: _Metres | None = None
    lat_deg: float | None = None
    lon_deg: float | None = None
    z_m: _Metres = 0.0

    @model_validator(mode="after")
    def _one_kind_of_position(self) -> _Placed:
        metric = (self.x_m is not None, self.y_m is not None)
        degrees = (self.lat_deg is not None, self.lon_deg is not None)
        if (all(metric) and not any(degrees)) or (all(degrees) and not any(metric)):
            return self
        raise ValueError("give either x_m and y_m, or lat_deg and lon_deg")

    def enu_m(self, frame: LocalFrame | None) -> tuple[float, float, float]:
        """Return (x, y, z) in the scene's frame; z is given there in either case."""
        if self.x_m is not None and self.y_m is not None:
            return self.x_m, self.y_m, self.z_m
        if frame is None or self.lat_deg is None or self.lon_deg is None:
            raise InputError("lat_deg and lon_deg need the scene to have a frame: add [scenes.frame]")
        east_m, north_m, _ = frame.to_enu_m(self.lat_deg, self.lon_deg, frame.height_m)
        return east_m, north_m, self.z_m


class _NodeTable(_Placed):
    id: _NodeId
    sigma_m: _SigmaMetres = 1.0


class _WeatherTable(ConfigModel):
    time_utc: str = "1970-01-01T00:00:00Z"
    temperature_c: float
    wind_speed_mps: float = 0.0
    wind_from_deg: float = 0.0
    humidity_percent: float = 60.0
    temperature_sigma_c: float | None = None
    wind_sigma_mps: float | None = None


class _TruthTable(_Placed):
    event: str
    sigma_m: _SigmaMetres
    rounds: Annotated[int, Field(ge=0)]
    shot_times_utc: list[str] = Field(default_factory=list)
    window_utc: Annotated[list[str], Field(min_length=2, max_length=2)]
    kind: str = "gunshot"
    label: str = ""


class _AudioTable(ConfigModel):
    node: _NodeId
    file: Annotated[str, Field(min_length=1)]
    start_utc: str
    event: str = ""
    clock_state: Literal["untimed", "ntp", "pps", "pps_audio", "holdover"] = "pps"
    clock_sigma_ns: Annotated[int, Field(ge=0)] = 1_000
    full_scale_db_spl: float | None = None


class _PulseSetTable(ConfigModel):
    event: str
    shot_index: int
    detections: list[str]


class _SceneTable(ConfigModel):
    name: _Name
    detections: str | None = None
    frame: _FrameTable | None = None
    nodes: Annotated[list[_NodeTable], Field(min_length=1)]
    weather: Annotated[list[_WeatherTable], Field(min_length=1)]
    truth: list[_TruthTable] = Field(default_factory=list)
    audio: list[_AudioTable] = Field(default_factory=list)
    pulse_sets: list[_PulseSetTable] = Field(default_factory=list)


class _DatasetTable(ConfigModel):
    format: Literal["shotline-dataset-1"]
    name: Annotated[str, Field(min_length=1)]
    licence: str
    source: str
    warnings: list[str] = Field(default_factory=list)
    scenes: Annotated[list[_SceneTable], Field(min_length=1)]


def load_dataset(path: Path, *, only: Collection[str] | None = None) -> Dataset:
    """Read a dataset in our own format.

    Parameters
    ----------
    path : Path
        Its ``dataset.toml``, or the folder that holds it.
    only : collection of str | None
        Names of scenes; None for all.

    Raises
    ------
    ConfigError
        ``dataset.toml`` is not TOML or breaks the format; carries every problem with its line.
    DatasetError
        What it says does not fit together, or a file it names is missing or broken.
    """
    file = path / DATASET_FILE if path.is_dir() else path
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"cannot read the file: {error}; expected {DATASET_FILE}", source=file) from error
    table = parse_config(text, _DatasetTable, source=str(file))
    reader = _Reader(file, text)
    names = [scene.name for scene in table.scenes]
    reader.unique(names, lambda index: f"scenes.{index}.name", "scene")
    if unknown := sorted(set(only or ()) - set(names)):
        raise DatasetError(f"no scene {', '.join(unknown)}; there are {', '.join(names)}", source=file, field="only")
    scenes = tuple(
        reader.scene(scene, f"scenes.{index}")
        for index, scene in enumerate(table.scenes)
        if only is None or scene.name in only
    )
    return Dataset(
        name=table.name,
        licence=table.licence,
        source=table.source,
        scenes=scenes,
        warnings=(*table.warnings, *reader.warnings),
    )


_Made = TypeVar("_Made")


class _Reader:
    """Makes scenes of checked tables; what does not fit together is an error with file, field and line."""

    def __init__(self, file: Path, text: str) -> None:
        self._file = file
        self._text = text
        self.warnings: list[str] = []

    def scene(self, table: _SceneTable, at: str) -> Scene:
        frame = None
        if (given := table.frame) is not None:
            frame = self._made(f"{at}.frame", lambda: LocalFrame(given.lat_deg, given.lon_deg, given.height_m))
        sites = tuple(self._site(node, frame, f"{at}.nodes.{index}") for index, node in enumerate(table.nodes))
        nodes = [site.node for site in sites]
        self.unique(nodes, lambda index: f"{at}.nodes.{index}.id", "node")
        self.unique([item.event for item in table.truth], lambda index: f"{at}.truth.{index}.event", "event")
        detections = self._detections(table, set(nodes), f"{at}.detections")
        return Scene(
            name=table.name,
            frame=frame,
            sites=sites,
            weather=WeatherTimeline(
                [self._weather(item, f"{at}.weather.{index}") for index, item in enumerate(table.weather)]
            ),
            recordings=tuple(
                self._recording(item, set(nodes), f"{at}.audio.{index}") for index, item in enumerate(table.audio)
            ),
            detections=detections,
            pulse_sets=tuple(
                self._pulse_set(item, {item.uid for item in detections}, f"{at}.pulse_sets.{index}")
                for index, item in enumerate(table.pulse_sets)
            ),
            truth=tuple(self._truth(item, frame, f"{at}.truth.{index}") for index, item in enumerate(table.truth)),
        )

    def unique(self, names: list[str], field_of: Callable[[int], str], what: str) -> None:
        for index, name in enumerate(names):
            if name in names[:index]:
                raise self._error(f"{what} '{name}' is there twice; give each its own name", field_of(index))

    def _error(self, message: str, field: str) -> DatasetError:
        return DatasetError(message, source=self._file, field=field, line=line_of(self._text, field))

    def _made(self, field: str, make: Callable[[], _Made]) -> _Made:
        try:
            return make()
        except InputError as error:
            raise self._error(error.problems[0].message, field) from error

    def _instant_ns(self, text: str, field: str) -> int:
        return self._made(field, lambda: parse_utc(text))

    def _site(self, table: _NodeTable, frame: LocalFrame | None, at: str) -> Site:
        x_m, y_m, z_m = self._made(at, lambda: table.enu_m(frame))
        return Site(table.id, x_m, y_m, z_m, table.sigma_m)

    def _weather(self, table: _WeatherTable, at: str) -> tuple[int, Weather]:
        weather = self._made(
            at,
            lambda: Weather(
                temperature_c=table.temperature_c,
                wind_speed_mps=table.wind_speed_mps,
                wind_from_deg=table.wind_from_deg,
                humidity_percent=table.humidity_percent,
                temperature_sigma_c=table.temperature_sigma_c,
                wind_sigma_mps=table.wind_sigma_mps,
            ),
        )
        return self._instant_ns(table.time_utc, f"{at}.time_utc"), weather

    def _truth(self, table: _TruthTable, frame: LocalFrame | None, at: str) -> TruthEvent:
        x_m, y_m, z_m = self._made(at, lambda: table.enu_m(frame))
        first_ns, last_ns = (self._instant_ns(text, f"{at}.window_utc") for text in table.window_utc)
        if first_ns > last_ns:
            raise self._error("the window ends before it begins; give its first instant first", f"{at}.window_utc")
        return TruthEvent(
            event=table.event,
            x_m=x_m,
            y_m=y_m,
            z_m=z_m,
            sigma_m=table.sigma_m,
            rounds=table.rounds,
            shot_times_ns=tuple(self._instant_ns(text, f"{at}.shot_times_utc") for text in table.shot_times_utc),
            window_ns=(first_ns, last_ns),
            kind=table.kind,
            label=table.label,
        )

    def _recording(self, table: _AudioTable, nodes: set[str], at: str) -> Recording:
        if table.node not in nodes:
            raise self._error(f"node '{table.node}' has no site; add it to the scene's nodes", f"{at}.node")
        path = self._file.parent / table.file
        if not path.is_file():
            raise self._error(f"no such file: {path}; paths are relative to {DATASET_FILE}", f"{at}.file")
        return Recording(
            node=table.node,
            path=path,
            start_time_ns=self._instant_ns(table.start_utc, f"{at}.start_utc"),
            event=table.event,
            clock_state=ClockState(table.clock_state),
            clock_sigma_ns=table.clock_sigma_ns,
            full_scale_db_spl=table.full_scale_db_spl,
        )

    def _detections(self, table: _SceneTable, nodes: set[str], field: str) -> tuple[Detection, ...]:
        if table.detections is None:
            return ()
        path = self._file.parent / table.detections
        try:
            data = path.read_bytes()
        except OSError as error:
            raise self._error(f"cannot read {path}: {error.strerror}", field) from error
        detections = tuple(_read_detections(data, path))
        strangers = Counter(item.node for item in detections if item.node not in nodes)
        if strangers:
            self.warnings.append(
                f"{table.name}: {strangers.total()} detections of {len(strangers)} nodes without a site "
                f"({', '.join(sorted(strangers))}) cannot be used"
            )
        return detections

    def _pulse_set(self, table: _PulseSetTable, known: set[DetectionId], at: str) -> PulseSet:
        found = []
        for text in table.detections:
            match = re.fullmatch(r"([^/]+)/([0-9a-f]+)/(\d+)", text)
            uid = DetectionId(match[1], int(match[2], 16), int(match[3])) if match else None
            if uid not in known or uid is None:
                raise self._error(
                    f"'{text}' is not a detection of this scene; write node/boot in hexadecimal/sequence",
                    f"{at}.detections",
                )
            found.append(uid)
        return PulseSet(table.event, table.shot_index, tuple(found))


def _read_detections(data: bytes, path: Path) -> Iterator[Detection]:
    frames = iter_frames(data)
    for number in count(1):
        try:
            frame = next(frames, None)
            message = decode(frame) if frame is not None else None
        except MessageError as error:
            raise DatasetError(f"{error}; write the file again", source=path, field=f"frame {number}") from error
        if message is None:
            return
        if not isinstance(message, Detection):
            raise DatasetError(
                f"a {type(message).__name__} message, expected detections only", source=path, field=f"frame {number}"
            )
        yield message


def save_dataset(dataset: Dataset, path: Path) -> Path:
    """Write a dataset into a folder, made if need be; return its ``dataset.toml``, which is written last.

    Sound is not copied: files inside the folder are named relative to it, others by their absolute path.

    Parameters
    ----------
    dataset : Dataset
    path : Path
        The folder.
    """
    path.mkdir(parents=True, exist_ok=True)
    lines = [f"format = {_text(DATASET_FORMAT)}"]
    lines += _keys(name=dataset.name, licence=dataset.licence, source=dataset.source)
    if dataset.warnings:
        lines += _keys(warnings=dataset.warnings)
    for scene in dataset.scenes:
        if scene.detections:
            (path / f"{scene.name}.detections").write_bytes(b"".join(pack_frames(scene.detections)))
        lines += _scene_lines(scene, path)
    file = path / DATASET_FILE
    part = file.with_suffix(".toml.part")
    part.write_text("\n".join(lines) + "\n", encoding="utf-8")
    part.replace(file)
    return file


_Value = str | int | float | Iterable[str] | None


def _scene_lines(scene: Scene, folder: Path) -> Iterator[str]:
    yield from ("", "[[scenes]]")
    yield from _keys(name=scene.name, detections=f"{scene.name}.detections" if scene.detections else None)
    if scene.frame:
        yield from ("", "[scenes.frame]")
        yield from _keys(lat_deg=scene.frame.lat_deg, lon_deg=scene.frame.lon_deg, height_m=scene.frame.height_m)
    for site in scene.sites:
        yield from ("", "[[scenes.nodes]]")
        yield from _keys(id=site.node, x_m=site.x_m, y_m=site.y_m, z_m=site.z_m, sigma_m=site.sigma_m)
    for time_ns, weather in scene.weather.observations:
        yield from ("", "[[scenes.weather]]")
        yield from _keys(
            time_utc=_instant(time_ns),
            temperature_c=weather.temperature_c,
            wind_speed_mps=weather.wind_speed_mps,
            wind_from_deg=weather.wind_from_deg,
            humidity_percent=weather.humidity_percent,
            temperature_sigma_c=weather.temperature_sigma_c,
            wind_sigma_mps=weather.wind_sigma_mps,
        )
    for event in scene.truth:
        yield from ("", "[[scenes.truth]]")
        yield from _keys(
            event=event.event,
            kind=event.kind,
            label=event.label,
            x_m=event.x_m,
            y_m=event.y_m,
            z_m=event.z_m,
            sigma_m=event.sigma_m,
            rounds=event.rounds,
            shot_times_utc=[_instant(time_ns) for time_ns in event.shot_times_ns],
            window_utc=[_instant(time_ns) for time_ns in event.window_ns],
        )
    for item in scene.recordings:
        yield from ("", "[[scenes.audio]]")
        inside = item.path.is_relative_to(folder)
        yield from _keys(
            node=item.node,
            file=(item.path.relative_to(folder) if inside else item.path.absolute()).as_posix(),
            start_utc=_instant(item.start_time_ns),
            event=item.event,
            clock_state=item.clock_state.value,
            clock_sigma_ns=item.clock_sigma_ns,
            full_scale_db_spl=item.full_scale_db_spl,
        )
    for group in scene.pulse_sets:
        yield from ("", "[[scenes.pulse_sets]]")
        yield from _keys(
            event=group.event, shot_index=group.shot_index, detections=[str(uid) for uid in group.detections]
        )


def _instant(time_ns: int) -> str:
    return format_utc(time_ns, digits=9)


def _keys(**values: _Value) -> Iterator[str]:
    """Yield TOML lines; None is left out."""
    for name, value in values.items():
        if value is not None:
            yield f"{name} = {_toml(value)}"


def _toml(value: str | int | float | Iterable[str]) -> str:
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(map(_text, value))}]"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
