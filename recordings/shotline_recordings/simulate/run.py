"""A scene into a dataset on disk: sound or detections, exact truth, and a picture; spread over processes."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

import numpy as np

from shotline.atmosphere import WeatherTimeline
from shotline.domain import DetectionId, ImpulseKind
from shotline.errors import InputError
from shotline.timebase import format_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Dataset, PulseSet, Recording, Scene, TruthEvent, save_dataset
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate.arrivals import EventArrivals, Reported, event_arrivals, reported
from shotline_recordings.simulate.events import StagedEvent
from shotline_recordings.simulate.paths import PathFinder, PathKind
from shotline_recordings.simulate.picture import draw_scene
from shotline_recordings.simulate.sound import TrueArrival, node_sound
from shotline_recordings.simulate.stage import Stage, set_stage
from shotline_recordings.work import Progress, in_parallel

__all__ = ["ARRIVALS_FILE", "NODES_FILE", "Simulated", "simulate_dataset", "simulated_detections"]

_SOUND_LIMIT_S = 900.0
_CHUNK_EVENTS = 64
_SET_WITHIN_S = 0.040
"""A pulse set takes what is this close to the straight line, as the vendor's pulse sets do [TN098]."""
_BOOTS = 2**31
_SOUND_FOLDER = "audio"
ARRIVALS_FILE = "arrivals.csv"
NODES_FILE = "nodes.csv"


@dataclass(frozen=True, slots=True)
class Simulated:
    """What was made.

    Parameters
    ----------
    dataset : Dataset
    stage : Stage
    seconds : float
        Of the scene.
    detections : int
        0 when sound was made.
    """

    dataset: Dataset
    stage: Stage
    seconds: float
    detections: int


def simulate_dataset(
    scene: SceneFile,
    folder: Path,
    *,
    seed: int,
    detections_only: bool = False,
    excerpt_s: tuple[float, float] | None = None,
    jobs: int = 1,
    picture: bool = True,
    progress: Progress = lambda *_: None,
) -> Simulated:
    """Simulate a scene and write it as a dataset.

    Parameters
    ----------
    scene : SceneFile
    folder : Path
        Made if need be; files of the same names are replaced.
    seed : int
        Of every random choice.
    detections_only : bool
        No sound: what the nodes would report, by the same paths.
    excerpt_s : tuple[float, float] | None
        Sound, or the events, between these two instants of the scene only; None for all of it.
    jobs : int
        Processes; they change nothing about the result.
    picture : bool
        Whether to draw ``overview.png``.
    progress : callable (what, done, of_how_many)

    Raises
    ------
    InputError
        The scene cannot be, or is too long for sound.
    """
    stage = set_stage(scene, seed=seed)
    from_s, until_s = excerpt_s or (0.0, scene.duration_s)
    if not 0.0 <= from_s < until_s <= scene.duration_s:
        raise InputError(f"excerpt from {from_s:g} to {until_s:g} s, in a scene of {scene.duration_s:g} s")
    if not detections_only and until_s - from_s > _SOUND_LIMIT_S:
        raise InputError(
            f"{until_s - from_s:g} s of sound at once, at most {_SOUND_LIMIT_S:g} s; choose a part with --excerpt, or "
            "leave the sound out with --detections"
        )
    folder.mkdir(parents=True, exist_ok=True)
    truth = {
        number: _truth(stage, event)
        for number, event in ((number, stage.event(number)) for number in stage.events_between(from_s, until_s))
        if any(from_s <= item.time_s <= until_s for item in event.discharges)
    }
    recordings: tuple[Recording, ...] = ()
    several: list[Reported] = []
    if detections_only:
        several = simulated_detections(stage, events=list(truth), jobs=jobs, progress=progress)
        _write_arrivals(stage, _rows_of_detections(truth, several), folder / ARRIVALS_FILE)
    else:
        recordings = _write_sound(stage, folder, from_s=from_s, until_s=until_s, jobs=jobs, progress=progress)
    _write_faults(stage, folder / NODES_FILE)
    detections = sorted(
        (item for some in several for item in some.detections), key=lambda item: (item.arrival_time_ns, item.uid)
    )
    made = Scene(
        name=scene.name,
        frame=scene.frame,
        sites=tuple(node.site for node in stage.nodes),
        weather=WeatherTimeline.constant(stage.reported_weather),
        recordings=recordings,
        detections=tuple(detections),
        pulse_sets=tuple(_pulse_sets(truth, several)),
        truth=tuple(truth.values()),
    )
    dataset = Dataset(name=scene.name, licence="CC0-1.0", source=f"simulated by shotline, seed {seed}", scenes=(made,))
    save_dataset(dataset, folder)
    if picture:
        draw_scene(stage, list(truth.values()), folder / "overview.png")
    return Simulated(dataset, stage, until_s - from_s, len(detections))


def simulated_detections(
    stage: Stage, *, events: Sequence[int] | None = None, jobs: int = 1, progress: Progress = lambda *_: None
) -> list[Reported]:
    """Return what each node reports of some events (of all when None), without sound.

    Parameters
    ----------
    stage : Stage
    events : sequence of int, optional
    jobs, progress
        See `simulate_dataset`.
    """
    numbers = range(stage.n_events) if events is None else events
    chunks = [numbers[first : first + _CHUNK_EVENTS] for first in range(0, len(numbers), _CHUNK_EVENTS)]
    parts: list[EventArrivals] = []
    for part in in_parallel(partial(_chunk, _Recipe.of(stage)), chunks, jobs=jobs):
        parts.append(part)
        progress("events", min(len(parts) * _CHUNK_EVENTS, len(numbers)), len(numbers))
    if not parts:
        parts.append(EventArrivals.none())
    boot = stage.seed % _BOOTS
    together = EventArrivals.together(parts)
    return [reported(stage, index, together, boot=boot) for index in range(len(stage.nodes))]


# What other processes do. They are given the recipe of a stage, and make it once.


@dataclass(frozen=True, slots=True)
class _Recipe:
    scene_json: str
    folder: Path
    seed: int

    @classmethod
    def of(cls, stage: Stage) -> _Recipe:
        return cls(stage.scene.model_dump_json(exclude_unset=True), stage.scene.folder, stage.seed)


@lru_cache(maxsize=2)
def _stage(recipe: _Recipe) -> Stage:
    return set_stage(SceneFile.model_validate_json(recipe.scene_json).at(recipe.folder), seed=recipe.seed)


@lru_cache(maxsize=2)
def _finder(recipe: _Recipe) -> PathFinder:
    stage = _stage(recipe)
    return stage.finder(stage.nodes)


def _chunk(recipe: _Recipe, numbers: Sequence[int]) -> EventArrivals:
    stage, finder = _stage(recipe), _finder(recipe)
    return EventArrivals.together([event_arrivals(stage, finder, number) for number in numbers])


def _sound_of_node(
    recipe: _Recipe, folder: Path, from_s: float, until_s: float, index: int
) -> tuple[Recording, tuple[TrueArrival, ...]]:
    """Render one node into its file."""
    import soundfile

    stage = _stage(recipe)
    node = stage.nodes[index]
    made = node_sound(stage, index, from_s=from_s, until_s=until_s)
    path = folder / _SOUND_FOLDER / f"{node.id}.flac"
    soundfile.write(path, made.samples, stage.scene.sample_rate_hz, subtype="PCM_16")
    recording = Recording(
        node=node.id,
        path=path,
        start_time_ns=node.clock.claimed_start_time_ns(stage.scene.start_ns, first_sample_s=made.first_sample_s),
        clock_state=node.clock.state,
        clock_sigma_ns=node.clock.sigma_ns,
        full_scale_db_spl=node.microphone.full_scale_db_spl,
    )
    return recording, made.arrivals


# What is written beside the dataset.


def _write_sound(
    stage: Stage, folder: Path, *, from_s: float, until_s: float, jobs: int, progress: Progress
) -> tuple[Recording, ...]:
    (folder / _SOUND_FOLDER).mkdir(exist_ok=True)
    work = partial(_sound_of_node, _Recipe.of(stage), folder, from_s, until_s)
    recordings: list[Recording] = []
    rows: list[_ArrivalRow] = []
    for recording, arrivals in in_parallel(work, range(len(stage.nodes)), jobs=jobs):
        recordings.append(recording)
        rows += [
            (item.event, item.round_index, recording.node, item.kind, item.time_s, item.straight_s) for item in arrivals
        ]
        progress("nodes", len(recordings), len(stage.nodes))
    _write_arrivals(stage, rows, folder / ARRIVALS_FILE)
    return tuple(recordings)


_ArrivalRow = tuple[str, int, str, int, float, float]
"""Event, round, node, way (a `PathKind`, or less than 0 for a diffuse tail); true arrival, and that of the straight
line, in s after the start of the scene."""


def _write_arrivals(stage: Stage, rows: Iterable[_ArrivalRow], path: Path) -> None:
    """Write the exact instants at which the first sound of each round reached each node."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("event", "round_index", "node", "path", "arrival_utc", "behind_straight_line_s"))
        for event, round_index, node, kind, time_s, straight_s in rows:
            utc = format_utc(stage.scene.start_ns + ns_from_seconds(time_s), digits=9)
            way = PathKind(kind).name.lower() if kind >= 0 else "tail"
            table.writerow((event, round_index, node, way, utc, f"{time_s - straight_s:.9f}"))


def _write_faults(stage: Stage, path: Path) -> None:
    """Write where each node really is, how its clock is wrong, and what else is wrong with it."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ("node", "x_m", "y_m", "z_m", "clock", "clock_error_at_start_s", "microphone", "muffled_db", "agc")
        )
        for node in stage.nodes:
            error_s = float(node.clock.timestamp_error_s(np.zeros(1))[0])
            place = [f"{value:.3f}" for value in node.position_m]
            fault = node.microphone.gain_control is not None
            table.writerow(
                (
                    node.id,
                    *place,
                    node.clock.scenario,
                    f"{error_s:.9f}",
                    node.microphone.name,
                    node.microphone.muffled_db,
                    fault,
                )
            )


def _truth(stage: Stage, event: StagedEvent) -> TruthEvent:
    times_ns = tuple(stage.scene.start_ns + ns_from_seconds(item.time_s) for item in event.discharges)
    x_m, y_m, z_m = event.discharges[0].position_m
    slowest_mps = 0.9 * stage.medium.profile.speed_of_sound_mps
    last_s = max(
        item.over_by_s(node.position_m, slowest_mps=slowest_mps) for item in event.discharges for node in stage.nodes
    )
    gunshot = event.kind is ImpulseKind.GUNSHOT
    return TruthEvent(
        event=event.name,
        x_m=x_m,
        y_m=y_m,
        z_m=z_m,
        sigma_m=0.0,
        rounds=len(times_ns) if gunshot else 0,
        shot_times_ns=times_ns,
        window_ns=(
            times_ns[0] - NS_PER_S // 2,
            stage.scene.start_ns + ns_from_seconds(last_s + 1.0),
        ),
        kind=event.kind.value,
        label=event.label,
    )


def _pulse_sets(truth: Mapping[int, TruthEvent], several: Sequence[Reported]) -> Iterator[PulseSet]:
    """Yield, for each round, the first detection of it at each node, unless it is an echo or a bullet's shock."""
    first: dict[tuple[int, int], dict[str, DetectionId]] = {}
    for some in several:
        muzzle = (some.event >= 0) & (some.kind != PathKind.SHOCK)
        rows = np.flatnonzero(muzzle & (np.abs(some.excess_s) <= _SET_WITHIN_S))
        for row in rows.tolist():
            detection = some.detections[row]
            group = first.setdefault((int(some.event[row]), int(some.round_index[row])), {})
            group.setdefault(detection.node, detection.uid)
    for (number, round_index), group in sorted(first.items()):
        if truth[number].kind == ImpulseKind.GUNSHOT.value:
            yield PulseSet(truth[number].event, round_index, tuple(group.values()))


def _rows_of_detections(truth: Mapping[int, TruthEvent], several: Sequence[Reported]) -> Iterator[_ArrivalRow]:
    for some in several:
        for detection, event, round_index, kind, excess_s, true_s in zip(
            some.detections, some.event, some.round_index, some.kind, some.excess_s, some.time_s, strict=True
        ):
            if event >= 0:
                name = truth[int(event)].event
                yield (
                    name,
                    int(round_index),
                    detection.node,
                    int(kind),
                    float(true_s),
                    float(true_s - excess_s),
                )
