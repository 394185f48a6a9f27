"""How far a replay came that found nothing: told in words and in report.json, stage by stage."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from small_city import small_city
from typer.testing import CliRunner

from shotline.domain import ClockState
from shotline_recordings.dataset import Dataset, save_dataset
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_replay.cli import replay_app
from shotline_replay.replay import Source
from shotline_replay.run import Request, replay_to_folder
from shotline_replay.stages import Stages, explain_nothing
from shotline_replay.summary import nothing_found

ALL_FUSED = Stages(
    recordings=9,
    onsets=42,
    onsets_rejected=2,
    sent=40,
    classified=40,
    called_gunshot=12,
    gunshot_median=0.34,
    fused=40,
    held_back=0,
    told=0,
    taken_back=0,
)


@pytest.fixture(scope="module")
def city() -> Dataset:
    return small_city()


def _with(city: Dataset, **changes: object) -> Dataset:
    (scene,) = city.scenes
    detections = tuple(msgspec.structs.replace(item, **changes) for item in scene.detections)
    return replace(city, scenes=(replace(scene, detections=detections),))


def test_shots_over_an_open_field_are_found_from_sound_by_the_default_network(tmp_path: Path) -> None:
    """Sound without echoes is strange to the network at every node alike: no veto over what times and levels say."""
    chosen = load_scene(shipped_scene("open-field"))
    simulate_dataset(chosen, tmp_path / "made", seed=chosen.seed, picture=False)
    report = replay_to_folder(Request(dataset=tmp_path / "made", out=tmp_path / "out", source=Source.AUDIO))
    assert report.score is not None
    assert (report.score.counts.events_found, report.score.counts.incidents_false) == (3, 0)
    stages = report.stages
    assert stages is not None
    assert stages.onsets is not None
    assert stages.onsets_rejected is not None
    assert (stages.recordings, stages.sent) == (9, stages.onsets - stages.onsets_rejected)
    assert (stages.fused, stages.classified, stages.told) == (stages.sent, stages.sent, 3)
    # Unsure, as it may be: with a usual word of 0.9 this was nine vetoes.
    assert stages.gunshot_median is not None
    assert stages.gunshot_median < 0.7
    assert nothing_found(report) == []


def test_the_command_says_how_far_it_came_when_it_found_nothing(city: Dataset, tmp_path: Path) -> None:
    folder = save_dataset(_with(city, clock_state=ClockState.UNTIMED), tmp_path / "untimed").parent
    arguments = [str(folder), "--from", "pulses", "--jobs", "1", "--out"]
    result = CliRunner().invoke(replay_app, [*arguments, str(tmp_path / "a")])
    assert result.exit_code == 0, result.output
    count = len(city.scenes[0].detections)
    words = " ".join(result.stdout.split())
    assert f"Nothing was found. How far it came: {count} detections sent; " in words
    assert "0 fused; 0 incidents held back as unlikely; 0 told, 0 taken back." in words
    assert f"Lost at the door of fusion: untimed {count}." in words
    assert "Lost at the door of fusion" in (tmp_path / "a" / "report.html").read_text()
    result = CliRunner().invoke(replay_app, [*arguments, str(tmp_path / "b"), "--json"])
    stages = json.loads(result.stdout)["stages"]
    assert (stages["onsets"], stages["sent"], stages["fused"], stages["told"]) == (None, count, 0, 0)


def test_a_replay_that_found_something_says_nothing_of_the_kind(city: Dataset, tmp_path: Path) -> None:
    report = replay_to_folder(Request(dataset=save_dataset(city, tmp_path / "city").parent, out=tmp_path / "out"))
    assert report.stages is not None
    assert report.stages.told == report.incidents > 0
    assert nothing_found(report) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"onsets": 0, "onsets_rejected": 0, "sent": 0, "fused": 0, "classified": 0},
            "Lost at the onsets: nothing stands",
        ),
        (
            {"sent": 0, "fused": 0, "classified": 0, "onsets_rejected": 42},
            "Lost before fusion: nothing was loud enough",
        ),
        ({"fused": 0}, "Lost at the door of fusion: no site 40."),
        ({"told": 2, "taken_back": 2}, "Lost in fusion: what was told was taken back"),
        ({"held_back": 3}, "Lost at the end: what was located is too unlikely"),
        ({}, "Lost in fusion: no place explains arrivals at four nodes"),
    ],
)
def test_each_stage_at_which_all_can_be_lost_is_named(changes: dict[str, int], words: str) -> None:
    stages = msgspec.structs.replace(ALL_FUSED, **changes)
    how_far, where = explain_nothing(stages, dispositions={"no_site": 40}, model="impulse-cnn-2-nc")
    assert how_far.startswith("Nothing was found. How far it came: 9 recordings; ")
    assert where.startswith(words)


def test_another_classifier_is_advised_only_where_it_can_help() -> None:
    advice = "try --model impulse-rules-1"
    assert advice in explain_nothing(ALL_FUSED, dispositions={}, model="impulse-cnn-2-nc")[1]
    for model in ("impulse-rules-1", None):
        assert advice not in explain_nothing(ALL_FUSED, dispositions={}, model=model)[1]
    at_the_door = msgspec.structs.replace(ALL_FUSED, fused=0)
    assert advice not in explain_nothing(at_the_door, dispositions={"untimed": 40}, model="impulse-cnn-2-nc")[1]


def test_what_nobody_watched_is_not_counted() -> None:
    live = msgspec.structs.replace(
        ALL_FUSED, onsets=None, onsets_rejected=None, classified=None, called_gunshot=None, held_back=None
    )
    how_far, _ = explain_nothing(live, dispositions={}, model="impulse-cnn-2-nc")
    assert how_far == (
        "Nothing was found. How far it came: 9 recordings; 40 detections sent; 40 fused; 0 told, 0 taken back."
    )
