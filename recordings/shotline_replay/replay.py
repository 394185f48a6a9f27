"""A dataset through the system's own code, in process: node pipeline, fusion engine, event time. Same in, same out.

Nothing here waits or asks for the time. Detections reach the engine in the order and at the event time at which a
server would have had them; event time advances tick by tick. Work is spread over processes by scene, or with
sound by episode, and put together in the order of the dataset, so the number of processes changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from itertools import groupby

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.registry import Registry
from sensor_node.player import FilePlayer, FileSource
from sensor_node.profile import NodeProfile, Summary
from shotline.domain import ClockState, Incident
from shotline.errors import DatasetError
from shotline.messages import Detection
from shotline.records import IncidentRecord, incident_record
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds
from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_recordings.dataset import Dataset, Recording, Scene
from shotline_recordings.work import in_parallel
from shotline_replay.episodes import Episode, sound_episodes

__all__ = [
    "RETRACTED",
    "Heard",
    "SceneRun",
    "Source",
    "fuse",
    "hear",
    "latest_revisions",
    "node_app",
    "replay_dataset",
    "require_source",
]

RETRACTED = "retracted"
"""State of an incident that a later revision took back."""


class Source(StrEnum):
    """What of a dataset is replayed."""

    AUDIO = "audio"
    """Sound, through the node's pipeline, then through fusion."""
    PULSES = "pulses"
    """Recorded detections in order of arrival, through fusion."""
    DETECTIONS = "detections"
    """Recorded detections in the order of their file, through fusion."""
    TUPLES = "tuples"
    """Detections that somebody grouped into shots, through the locator alone."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A detection, and the event time from which on the server can have it."""

    available_ns: int
    detection: Detection


@dataclass(frozen=True, slots=True)
class SceneRun:
    """What came of one scene.

    Parameters
    ----------
    scene : str
    revisions : tuple[IncidentRecord, ...]
        Every revision of every incident, in the order of their conclusion.
    dispositions : dict[str, int]
        How many detections the engine fused, and how many it could not use, by reason.
    heard : tuple[Detection, ...]
        What the nodes reported, in the order in which they did; empty unless sound was replayed.
    onsets, onsets_rejected : int | None
        Onsets that the nodes found, and those of them too close to the noise to be reported; None without sound.
    held_back : int | None
        Incidents that fusion located and did not tell; None when nobody counted.
    """

    scene: str
    revisions: tuple[IncidentRecord, ...]
    dispositions: dict[str, int] = field(default_factory=dict)
    heard: tuple[Detection, ...] = ()
    onsets: int | None = None
    onsets_rejected: int | None = None
    held_back: int | None = None


def require_source(dataset: Dataset, source: Source) -> None:
    """Refuse a dataset that has nothing of what is to be replayed.

    Raises
    ------
    DatasetError
        Says what it does have.
    """
    counts = {
        Source.AUDIO: sum(len(scene.recordings) for scene in dataset.scenes),
        Source.PULSES: sum(len(scene.detections) for scene in dataset.scenes),
        Source.TUPLES: sum(len(scene.pulse_sets) for scene in dataset.scenes),
    }
    counts[Source.DETECTIONS] = counts[Source.PULSES]
    if not counts[source]:
        there = ", ".join(kind.value for kind in Source if counts[kind]) or "nothing that can be replayed"
        raise DatasetError(
            f"dataset '{dataset.name}' has no {_WORDS[source]} in {len(dataset.scenes)} scenes; it has: {there}",
            field="--from",
        )


_WORDS = {
    Source.AUDIO: "sound files",
    Source.PULSES: "recorded detections",
    Source.DETECTIONS: "recorded detections",
    Source.TUPLES: "pulse sets (detections grouped into shots)",
}


def node_app(recording: Recording, *, model: str = DEFAULT_CLASSIFIER) -> FilePlayer:
    """Return the node's own application for one recording, as `shotline node run` would make it."""
    timed = recording.clock_state is not ClockState.UNTIMED
    return FilePlayer(
        NodeProfile(node=recording.node, full_scale_db_spl=recording.full_scale_db_spl, model=model),
        [
            FileSource(
                path=recording.path,
                start_time_ns=recording.start_time_ns if timed else None,
                clock_state=recording.clock_state,
                sigma_ns=recording.clock_sigma_ns,
            )
        ],
    )


def hear(recording: Recording, *, model: str = DEFAULT_CLASSIFIER) -> list[Heard]:
    """Return what a node makes of one recording, each detection with the event time at which the node emits it.

    That is the end of the block of sound after which the node's pipeline has the whole frame of the onset.
    """
    return _listen(recording, model)[0]


def _listen(recording: Recording, model: str) -> tuple[list[Heard], Summary]:
    """Return the same as `hear`, and what the node counted."""
    app = node_app(recording, model=model)
    heard = [
        Heard(max(app.event_time_ns, detection.arrival_time_ns), detection)
        for detections in app.detections(lambda _: True)
        for detection in detections
    ]
    return heard, app.summary


def fuse(scene: Scene, heard: Iterable[Heard], *, settings: FusionSettings | None = None) -> SceneRun:
    """Feed a scene's detections to a fusion engine as event time passes.

    The engine thinks at ticks of event time. Before each tick it is given just what the server would have had by then;
    pauses cost next to nothing, since the engine passes over ticks at which nothing is pending.

    Parameters
    ----------
    scene : Scene
    heard : iterable of Heard
        In the order in which the server gets them.
    settings : FusionSettings, optional
    """
    settings = settings or FusionSettings()
    tick_ns = ns_from_seconds(settings.tick_s)
    engine = FusionEngine(registry=Registry(scene.sites), weather=scene.weather, settings=settings)
    records: list[IncidentRecord] = []
    dispositions: Counter[str] = Counter()

    def keep(incidents: Iterable[Incident]) -> None:
        records.extend(incident_record(item, scene.frame, scene=scene.name) for item in incidents)

    for tick, group in groupby(heard, key=lambda item: -(-item.available_ns // tick_ns)):
        keep(engine.advance_to((tick - 1) * tick_ns))
        for item in group:
            dispositions[engine.add(item.detection).value] += 1
        keep(engine.advance_to(tick * tick_ns))
    keep(engine.finish())
    return SceneRun(scene.name, tuple(records), dict(sorted(dispositions.items())), held_back=engine.held_back)


def replay_dataset(
    dataset: Dataset,
    source: Source,
    *,
    model: str = DEFAULT_CLASSIFIER,
    jobs: int = 1,
    progress: Callable[[str, int, int], None] = lambda *_: None,
) -> list[SceneRun]:
    """Replay a dataset through fusion.

    Parameters
    ----------
    dataset : Dataset
    source : Source
        Not `Source.TUPLES`; that is `shotline_replay.tuples`.
    model : str
        The nodes' classifier, with `Source.AUDIO`; see `sensor_node.network.make_classifier`.
    jobs : int
        Processes to spread the work over; the result is the same.
    progress : callable (what, done, of_how_many)
        Called as the work goes on.

    Raises
    ------
    DatasetError
        The dataset has nothing of the kind.
    AudioError
        A sound file is broken: names it.
    """
    require_source(dataset, source)
    if source is Source.AUDIO:
        return _replay_sound(dataset.scenes, model=model, jobs=jobs, progress=progress)
    order = _in_order_of_arrival if source is Source.PULSES else _in_recorded_order
    work = [(scene, order(scene.detections)) for scene in dataset.scenes]
    runs: list[SceneRun] = []
    for run in in_parallel(_fuse_one, work, jobs=jobs):
        runs.append(run)
        progress("fuse", len(runs), len(work))
    return runs


def latest_revisions(revisions: Iterable[IncidentRecord]) -> list[IncidentRecord]:
    """Return the last revision of each incident: those that stand first, then those taken back, each by time."""
    latest: dict[tuple[str, str], IncidentRecord] = {}
    for item in revisions:
        known = latest.get((item.scene, item.id))
        if known is None or known.revision <= item.revision:
            latest[item.scene, item.id] = item
    scenes = {scene: index for index, scene in enumerate(dict.fromkeys(scene for scene, _ in latest))}
    return sorted(
        latest.values(),
        key=lambda item: (item.state == RETRACTED, scenes[item.scene], parse_utc(item.time_utc), item.id),
    )


def _fuse_one(work: tuple[Scene, list[Heard]]) -> SceneRun:
    return fuse(*work)


def _replay_sound(
    scenes: Sequence[Scene], *, model: str, jobs: int, progress: Callable[[str, int, int], None]
) -> list[SceneRun]:
    work = [episode for scene in scenes for episode in sound_episodes(scene)]
    runs: dict[str, SceneRun] = {scene.name: SceneRun(scene.name, (), {}, (), 0, 0, 0) for scene in scenes}
    for done, run in enumerate(in_parallel(partial(_hear_and_fuse, model=model), work, jobs=jobs), start=1):
        before = runs[run.scene]
        dispositions = Counter(before.dispositions) + Counter(run.dispositions)
        runs[run.scene] = SceneRun(
            run.scene,
            before.revisions + run.revisions,
            dict(sorted(dispositions.items())),
            before.heard + run.heard,
            (before.onsets or 0) + (run.onsets or 0),
            (before.onsets_rejected or 0) + (run.onsets_rejected or 0),
            (before.held_back or 0) + (run.held_back or 0),
        )
        progress("hear", done, len(work))
    return list(runs.values())


def _hear_and_fuse(episode: Episode, *, model: str) -> SceneRun:
    listened = [_listen(recording, model) for recording in episode.recordings]
    heard = [item for mine, _ in listened for item in mine]
    heard.sort(key=lambda item: (item.available_ns, item.detection.uid))
    run = fuse(episode.scene, heard)
    return replace(
        run,
        heard=tuple(item.detection for item in heard),
        onsets=sum(summary.onsets for _, summary in listened),
        onsets_rejected=sum(summary.rejected_onsets for _, summary in listened),
    )


def _in_order_of_arrival(detections: Iterable[Detection]) -> list[Heard]:
    ordered = sorted(detections, key=lambda item: (item.arrival_time_ns, item.uid))
    return [Heard(item.arrival_time_ns, item) for item in ordered]


def _in_recorded_order(detections: Iterable[Detection]) -> list[Heard]:
    """As the file has them; one that is recorded after a later sound reached the server after it."""
    heard: list[Heard] = []
    for item in detections:
        available_ns = max(item.arrival_time_ns, heard[-1].available_ns if heard else 0)
        heard.append(Heard(available_ns, item))
    return heard
