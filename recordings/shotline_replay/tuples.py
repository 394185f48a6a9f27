"""Detections that somebody grouped into shots, through the locator alone: how good is a fix, given the right arrivals?

With ``sensors`` each shot is also located from random subsets of its sensors. The subsets depend only on the seed, the
names of scene and event, the shot and the number of sensors, so neither the order of work nor what else is replayed
changes them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import msgspec

from fusion_server.locate import Height, LocateSettings, ground_of_sites, locate
from fusion_server.registry import Registry
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Incident, IncidentState, Location, NoLocation, Shot
from shotline.records import IncidentRecord, incident_record
from shotline_recordings.dataset import Dataset, Scene, TruthEvent
from shotline_recordings.score import LocationCheck, LocationScore, check_location, score_locations
from shotline_recordings.work import in_parallel
from shotline_replay.replay import Source, require_source
from shotline_replay.subarrays import shot_rng, subarrays

__all__ = [
    "GivenShot",
    "LocatorReport",
    "LocatorScore",
    "SceneFixes",
    "given_shots",
    "locate_dataset",
    "locator_report",
]


@dataclass(frozen=True, slots=True)
class GivenShot:
    """One pulse set: the arrivals to locate from, one per sensor, and what is true."""

    scene: str
    event: str
    shot_index: int
    arrivals: tuple[Arrival, ...]
    weather: Weather
    truth: TruthEvent | None


@dataclass(slots=True)
class _Fixes:
    """Attempts with one number of sensors in one scene."""

    attempted: int = 0
    too_small: int = 0
    checks: list[LocationCheck] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class SceneFixes:
    """What the locator made of one scene; ``by_sensors[0]`` is all sensors of each shot."""

    scene: str
    records: tuple[IncidentRecord, ...]
    by_sensors: dict[int, _Fixes]


class LocatorScore(msgspec.Struct, frozen=True, kw_only=True):
    """Fixes from so many sensors (None: from all that each shot has), overall and by scene."""

    sensors: int | None
    subsets_per_shot: int
    shots_with_fewer: int
    refused: dict[str, int]
    overall: LocationScore
    scenes: dict[str, LocationScore]


class LocatorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The locator alone, on given arrivals. Only shots whose truth is known are counted."""

    shots: int
    all_sensors: LocatorScore
    subsets: tuple[LocatorScore, ...]


def given_shots(scene: Scene) -> Iterator[GivenShot]:
    """Yield the pulse sets of a scene as arrivals; of a sensor that is there twice the first counts."""
    registry = Registry(scene.sites)
    detections = {item.uid: item for item in scene.detections}
    truth = {event.event: event for event in scene.truth}
    for group in scene.pulse_sets:
        arrivals: dict[str, Arrival] = {}
        for uid in group.detections:
            arrival = registry.arrival(detections[uid])
            if arrival is not None:
                arrivals.setdefault(uid.node, arrival)
        if arrivals:
            first_ns = min(item.time_ns for item in arrivals.values())
            yield GivenShot(
                scene=scene.name,
                event=group.event,
                shot_index=group.shot_index,
                arrivals=tuple(arrivals.values()),
                weather=scene.weather.at(first_ns),
                truth=truth.get(group.event),
            )


def locate_dataset(
    dataset: Dataset,
    *,
    sensors: Sequence[int] = (),
    subsets: int = 20,
    seed: int = 0,
    settings: LocateSettings | None = None,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[SceneFixes]:
    """Locate every pulse set of a dataset, and random subsets of each.

    Parameters
    ----------
    dataset : Dataset
    sensors : sequence of int
        Sizes of the subsets; none for none.
    subsets : int
        Subsets of each size per shot, each drawn without replacement.
    seed : int
    settings : LocateSettings, optional
        By default with sources on the ground that the scene's sites stand on.
    jobs, progress
        See `shotline_replay.replay.replay_dataset`.

    Raises
    ------
    DatasetError
        The dataset has no pulse sets.
    """
    require_source(dataset, Source.TUPLES)
    work = partial(_locate_scene, sensors=tuple(sensors), subsets=subsets, seed=seed, settings=settings)
    done: list[SceneFixes] = []
    for fixes in in_parallel(work, dataset.scenes, jobs=jobs):
        done.append(fixes)
        progress("locate", len(done), len(dataset.scenes))
    return done


def locator_report(scenes: Sequence[SceneFixes], *, subsets: int) -> LocatorReport:
    """Put the scenes together."""
    sizes = list(dict.fromkeys(size for scene in scenes for size in scene.by_sensors))

    def score(size: int) -> LocatorScore:
        parts = {scene.scene: scene.by_sensors[size] for scene in scenes}
        refused = sum((part.refused for part in parts.values()), Counter[str]())
        return LocatorScore(
            sensors=size or None,
            subsets_per_shot=subsets if size else 1,
            shots_with_fewer=sum(part.too_small for part in parts.values()),
            refused=dict(sorted(refused.items())),
            overall=score_locations(
                [check for part in parts.values() for check in part.checks],
                attempted=sum(part.attempted for part in parts.values()),
            ),
            scenes={name: score_locations(part.checks, attempted=part.attempted) for name, part in parts.items()},
        )

    all_sensors = score(0)
    return LocatorReport(
        shots=all_sensors.overall.attempted,
        all_sensors=all_sensors,
        subsets=tuple(score(size) for size in sizes if size),
    )


def _locate_scene(
    scene: Scene, *, sensors: tuple[int, ...], subsets: int, seed: int, settings: LocateSettings | None
) -> SceneFixes:
    settings = settings or LocateSettings(height=Height.GROUND)
    ground = ground_of_sites(scene.sites, mast_m=settings.mast_m)
    records: list[IncidentRecord] = []
    by_sensors = {size: _Fixes() for size in (0, *sensors)}
    for shot in given_shots(scene):
        found = locate(shot.arrivals, weather=shot.weather, settings=settings, ground=ground)
        if isinstance(found, Location):
            records.append(incident_record(_one_shot(shot, found), scene.frame, scene=scene.name))
        if shot.truth is None:
            continue
        _count(by_sensors[0], found, shot.truth)
        for size in sensors:
            if len(shot.arrivals) < size:
                by_sensors[size].too_small += 1
                continue
            rng = shot_rng(shot.scene, shot.event, shot.shot_index, size, seed=seed)
            for some in subarrays(shot.arrivals, size=size, subsets=subsets, rng=rng):
                found = locate(some, weather=shot.weather, settings=settings, ground=ground)
                _count(by_sensors[size], found, shot.truth)
    return SceneFixes(scene.name, tuple(records), by_sensors)


def _count(fixes: _Fixes, found: Location | NoLocation, truth: TruthEvent) -> None:
    fixes.attempted += 1
    if isinstance(found, Location):
        fixes.checks.append(check_location(found, x_m=truth.x_m, y_m=truth.y_m, sigma_m=truth.sigma_m))
    else:
        fixes.refused[found.reason.value] += 1


def _one_shot(shot: GivenShot, location: Location) -> Incident:
    return Incident(
        incident_id=f"{shot.event}-shot-{shot.shot_index}",
        revision=1,
        state=IncidentState.PROVISIONAL,
        shots=(Shot(location, 1.0),),
        x_m=location.x_m,
        y_m=location.y_m,
        covariance_m2=location.covariance_m2,
        ellipse95=location.ellipse95,
        cep50_m=location.cep50_m,
        cep95_m=location.cep95_m,
        probability=1.0,
        cadence_rounds_per_min=None,
        as_of_ns=max(arrival.time_ns for arrival in shot.arrivals),
    )
