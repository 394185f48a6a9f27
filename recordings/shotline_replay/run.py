"""One replay from start to finish: open, replay, score, write. What ``shotline replay`` does, callable."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from shotline.domain import Site
from shotline.errors import InputError, StorageError
from shotline.messages import Detection
from shotline.records import IncidentRecord
from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_recordings.dataset import Dataset, Scene, open_dataset, save_dataset
from shotline_recordings.score import LocationCheck, Score
from shotline_recordings.work import Progress
from shotline_replay.charts import Series
from shotline_replay.page import report_page
from shotline_replay.replay import RETRACTED, SceneRun, Source, latest_revisions, replay_dataset
from shotline_replay.report import (
    PUBLISHED,
    LiveTiming,
    Report,
    RunInfo,
    describe_dataset,
    describe_software,
    event_time_delay,
    fusion_settings,
    score_dataset,
    write_json,
    write_lines,
    write_text,
)
from shotline_replay.stages import Stages, stages_of
from shotline_replay.tuples import SceneFixes, locate_dataset, locator_report

__all__ = ["Loader", "Request", "check_model", "make_folder", "replay_to_folder", "write_fusion_outputs"]

Loader = Literal["auto", "shotline", "pittsburgh"]
_FORMAT = "shotline-report-1"
_PITTSBURGH = "pittsburgh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to replay, and how.

    Parameters
    ----------
    dataset : Path
    out : Path
        Folder of the results; made if need be.
    loader : str
    source : Source
    only : collection of str | None
        Scenes (or tests of the Pittsburgh set); None for all.
    sensors : tuple[int, ...]
        Sizes of random subsets, with `Source.TUPLES`.
    subsets, seed : int
        How many of each size per shot, and from which seed.
    model : str
        The nodes' classifier, with `Source.AUDIO`.
    jobs : int
        Processes; changes nothing in the results.
    """

    dataset: Path
    out: Path
    loader: Loader = "auto"
    source: Source = Source.PULSES
    only: Collection[str] | None = None
    sensors: tuple[int, ...] = ()
    subsets: int = 20
    seed: int = 0
    model: str = DEFAULT_CLASSIFIER
    jobs: int = 1


def replay_to_folder(request: Request, *, progress: Progress = lambda *_: None) -> Report:
    """Replay in process and write ``incidents.jsonl`` and the reports; return what ``report.json`` says.

    Raises
    ------
    InputError
        The request, the dataset or one of its files cannot be used.
    StorageError
        The results cannot be written.
    """
    _check(request)
    started_s = time.perf_counter()
    dataset = open_dataset(request.dataset, loader=request.loader, only=request.only)
    make_folder(request.out)
    if request.source is Source.TUPLES:
        report = _replay_tuples(request, dataset, progress)
    else:
        report = _replay_fusion(request, dataset, progress)
    wall_s = time.perf_counter() - started_s
    write_json(request.out / "timing.json", {"wall_s": round(wall_s, 3), "jobs": request.jobs})
    return report


def write_fusion_outputs(
    out: Path,
    dataset: Dataset,
    runs: Sequence[SceneRun],
    run: RunInfo,
    *,
    live: LiveTiming | None = None,
) -> Report:
    """Score what fusion concluded and write everything but the timing."""
    revisions = [record for item in runs for record in item.revisions]
    latest = latest_revisions(revisions)
    standing = sum(record.state != RETRACTED for record in latest)
    dispositions: dict[str, int] = {}
    for item in runs:
        for name, count in item.dispositions.items():
            dispositions[name] = dispositions.get(name, 0) + count
    report = Report(
        format=_FORMAT,
        dataset=describe_dataset(dataset),
        run=run,
        software=describe_software(),
        incidents=standing,
        incidents_retracted=len(latest) - standing,
        revisions=len(revisions),
        dispositions=dispositions,
        stages=_stages(dataset, runs, run, told=len(latest), taken_back=len(latest) - standing),
        score=score_dataset(dataset, latest),
        alert_delay=event_time_delay(revisions),
        live=live,
        published=PUBLISHED if dataset.name == _PITTSBURGH else None,
    )
    write_lines(out / "incidents.jsonl", latest)
    write_lines(out / "revisions.jsonl", revisions)
    write_json(out / "report.json", report)
    series = [] if report.score is None else _series(report.score)
    write_text(out / "report.html", report_page(report, dataset, latest, series=series))
    return report


def _stages(dataset: Dataset, runs: Sequence[SceneRun], run: RunInfo, *, told: int, taken_back: int) -> Stages:
    detections: list[Detection] | None = None
    if run.source != Source.AUDIO.value:
        detections = [item for scene in dataset.scenes for item in scene.detections]
    elif not run.live:
        detections = [item for each in runs for item in each.heard]
    recordings = sum(len(scene.recordings) for scene in dataset.scenes) if run.source == Source.AUDIO.value else None
    return stages_of(runs, detections, recordings=recordings, told=told, taken_back=taken_back)


def make_folder(path: Path) -> None:
    """Make a folder for results.

    Raises
    ------
    StorageError
        It cannot be made.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {path}: {error.strerror}; choose another with --out") from error


def _check(request: Request) -> None:
    if request.sensors and request.source is not Source.TUPLES:
        raise InputError(
            f"random subsets of sensors are for --from tuples, saw --from {request.source.value}", field="--sensors"
        )
    check_model(request)
    if too_few := [size for size in request.sensors if size < 3]:
        raise InputError(f"subsets of {too_few[0]} sensors cannot be located; ask for 3 or more", field="--sensors")


def check_model(request: Request) -> None:
    """Refuse a classifier for what has been classified.

    Raises
    ------
    InputError
    """
    if request.model != DEFAULT_CLASSIFIER and request.source is not Source.AUDIO:
        raise InputError(
            f"recorded detections have been classified already; a model is for --from audio, "
            f"saw --from {request.source.value}",
            field="--model",
        )


def _replay_fusion(request: Request, dataset: Dataset, progress: Progress) -> Report:
    runs = replay_dataset(dataset, request.source, model=request.model, jobs=request.jobs, progress=progress)
    if request.source is Source.AUDIO:
        _save_heard(dataset, runs, request.out)
    info = RunInfo(
        source=request.source.value,
        loader=request.loader,
        only=_sorted(request.only),
        model=request.model if request.source is Source.AUDIO else None,
        fusion=fusion_settings(),
    )
    return write_fusion_outputs(request.out, dataset, runs, info)


def _save_heard(dataset: Dataset, runs: Sequence[SceneRun], out: Path) -> None:
    """Write what the nodes reported as a dataset of its own: ``dataset.toml`` and one file of detections per scene."""
    scenes = tuple(
        replace(scene, sites=_listening(scene), recordings=(), pulse_sets=(), detections=run.heard)
        for scene, run in zip(dataset.scenes, runs, strict=True)
    )
    try:
        save_dataset(replace(dataset, scenes=scenes), out)
    except OSError as error:
        raise StorageError(f"cannot write the detections into {out}: {error.strerror}; free space") from error


def _listening(scene: Scene) -> tuple[Site, ...]:
    nodes = {item.node for item in scene.recordings}
    return tuple(site for site in scene.sites if site.node in nodes)


def _replay_tuples(request: Request, dataset: Dataset, progress: Progress) -> Report:
    fixes = locate_dataset(
        dataset,
        sensors=request.sensors,
        subsets=request.subsets,
        seed=request.seed,
        jobs=request.jobs,
        progress=progress,
    )
    records = [record for item in fixes for record in item.records]
    report = Report(
        format=_FORMAT,
        dataset=describe_dataset(dataset),
        run=RunInfo(
            source=request.source.value,
            loader=request.loader,
            only=_sorted(request.only),
            sensors=request.sensors,
            subsets=request.subsets if request.sensors else None,
            seed=request.seed if request.sensors else None,
        ),
        software=describe_software(),
        incidents=len(records),
        incidents_retracted=0,
        revisions=len(records),
        locator=locator_report(fixes, subsets=request.subsets),
        published=PUBLISHED if dataset.name == _PITTSBURGH else None,
    )
    write_lines(request.out / "incidents.jsonl", records)
    write_json(request.out / "report.json", report)
    page = report_page(
        report, dataset, records, series=_locator_series(fixes), events=_given_events(dataset.scenes, records)
    )
    write_text(request.out / "report.html", page)
    return report


def _given_events(scenes: Sequence[Scene], records: Sequence[IncidentRecord]) -> dict[tuple[str, str], str]:
    """Return the event of each located pulse set, from its id."""
    known = {scene.name: {group.event for group in scene.pulse_sets} for scene in scenes}
    pairs = ((item, item.id.rpartition("-shot-")[0]) for item in records)
    return {(item.scene, item.id): event for item, event in pairs if event in known[item.scene]}


def _series(score: Score) -> list[Series]:
    incidents = [event.check.error_m for scene in score.scenes for event in scene.events if event.check is not None]
    shots = [check.error_m for scene in score.scenes for check in scene.shot_checks]
    return [
        Series("incidents", tuple(incidents), score.counts.events),
        Series("shots", tuple(shots), score.counts.shots_fired),
    ]


def _locator_series(fixes: Sequence[SceneFixes]) -> list[Series]:
    sizes = list(dict.fromkeys(size for item in fixes for size in item.by_sensors))
    series = []
    for size in sizes:
        checks: list[LocationCheck] = [check for item in fixes for check in item.by_sensors[size].checks]
        attempted = sum(item.by_sensors[size].attempted for item in fixes)
        label = f"{size} sensors" if size else "all sensors"
        series.append(Series(label, tuple(check.error_m for check in checks), attempted))
    return series


def _sorted(only: Collection[str] | None) -> tuple[str, ...] | None:
    return None if only is None else tuple(sorted(only))
