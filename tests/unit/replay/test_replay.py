"""Replay in process: the same bytes each time, however many processes; what is refused, and how."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from small_city import START_NS, detection, small_city
from typer.testing import CliRunner

from shotline.errors import DatasetError, InputError, StorageError
from shotline.records import IncidentRecord
from shotline.units import NS_PER_S
from shotline_recordings.dataset import Dataset, load_dataset, save_dataset
from shotline_recordings.score import score_scene
from shotline_replay.cli import replay_app
from shotline_replay.replay import Heard, Source, fuse, latest_revisions, replay_dataset
from shotline_replay.report import Report, read_incidents
from shotline_replay.run import Request, replay_to_folder

OUTPUTS = ("incidents.jsonl", "revisions.jsonl", "report.json", "report.html")


@pytest.fixture(scope="module")
def city() -> Dataset:
    return small_city()


@pytest.fixture(scope="module")
def two_cities(city: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes, so that there is work to share."""
    other = replace(small_city(seed=8).scenes[0], name="other-city")
    return save_dataset(replace(city, scenes=(*city.scenes, other)), tmp_path_factory.mktemp("two")).parent


def test_every_shot_is_found_where_it_was(city: Dataset) -> None:
    (run,) = replay_dataset(city, Source.PULSES)
    score = score_scene(city.scenes[0], latest_revisions(run.revisions))
    assert (score.counts.shots_found, score.counts.shots_false, score.counts.incidents_false) == (4, 0, 0)
    # 3 ms of path is 1 m; eight nodes around the shot leave less than 3 m.
    assert score.shots.max_m is not None
    assert score.shots.max_m < 3.0
    assert run.dispositions == {"fused": len(city.scenes[0].detections)}


@pytest.mark.parametrize("source", [Source.PULSES, Source.TUPLES])
def test_two_runs_give_identical_bytes_whatever_the_number_of_processes(
    source: Source, two_cities: Path, tmp_path: Path
) -> None:
    for name, jobs in (("one", 1), ("two", 2)):
        sensors = (4, 6) if source is Source.TUPLES else ()
        request = Request(
            dataset=two_cities, out=tmp_path / name, source=source, sensors=sensors, subsets=3, seed=5, jobs=jobs
        )
        replay_to_folder(request)
    written = [name for name in OUTPUTS if (tmp_path / "one" / name).is_file()]
    assert {"incidents.jsonl", "report.json", "report.html"} <= set(written)
    for name in written:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


def test_incidents_are_the_last_revisions_of_all(two_cities: Path, tmp_path: Path) -> None:
    report = replay_to_folder(Request(dataset=two_cities, out=tmp_path))
    revisions, incidents = (read_incidents(tmp_path / f"{name}.jsonl") for name in ("revisions", "incidents"))
    assert {item.scene for item in incidents} == {"small-city", "other-city"}
    assert report.revisions == len(revisions) > len(incidents)
    for item in incidents:
        mine = [other for other in revisions if (other.scene, other.id) == (item.scene, item.id)]
        assert [other.revision for other in mine] == list(range(1, len(mine) + 1))
        assert item == mine[-1]


def test_what_was_taken_back_comes_last_and_is_not_scored(city: Dataset) -> None:
    (run,) = replay_dataset(city, Source.PULSES)
    first, *others = latest_revisions(run.revisions)
    retracted = msgspec.structs.replace(first, revision=first.revision + 1, state="retracted")
    latest = latest_revisions([*run.revisions, retracted])
    assert latest == [*others, retracted]


def test_recorded_order_is_kept_and_nothing_reaches_the_server_early(city: Dataset) -> None:
    """A detection that stands in the file after a later one came after it: the engine may then call it too late."""
    (scene,) = city.scenes
    late = detection("n1", 900, START_NS)
    (run,) = replay_dataset(
        replace(city, scenes=(replace(scene, detections=(*scene.detections, late)),)), Source.DETECTIONS
    )
    assert run.dispositions["too_late"] == 1
    (run,) = replay_dataset(
        replace(city, scenes=(replace(scene, detections=(late, *scene.detections)),)), Source.PULSES
    )
    assert set(run.dispositions) == {"fused"}


def test_a_pause_changes_nothing(city: Dataset) -> None:
    """A detection days later does not disturb what was concluded before, and costs no time."""
    (scene,) = city.scenes
    heard = [Heard(item.arrival_time_ns, item) for item in scene.detections]
    last = detection("n1", 901, START_NS + 5 * 86_400 * NS_PER_S)
    plain, with_last = fuse(scene, heard), fuse(scene, [*heard, Heard(last.arrival_time_ns, last)])
    assert latest_revisions(plain.revisions) == latest_revisions(with_last.revisions)


def test_nothing_to_replay_is_an_error_that_says_what_there_is(city: Dataset) -> None:
    with pytest.raises(DatasetError, match=r"no sound files in 1 scenes; it has: pulses, detections, tuples"):
        replay_dataset(city, Source.AUDIO)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sensors": (4,)}, "random subsets of sensors are for --from tuples"),
        ({"sensors": (2,), "source": Source.TUPLES}, "subsets of 2 sensors cannot be located"),
        ({"model": "impulse-cnn-2"}, "a model is for --from audio, saw --from pulses"),
        ({"only": ("elsewhere",)}, "no scene elsewhere; there are small-city, other-city"),
    ],
)
def test_requests_that_cannot_be(changes: dict[str, object], message: str, two_cities: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message):
        replay_to_folder(Request(dataset=two_cities, out=tmp_path, **changes))  # type: ignore[arg-type]


def test_a_place_that_cannot_be_written_is_named(two_cities: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")
    with pytest.raises(StorageError, match=r"cannot make the folder .*taken/out"):
        replay_to_folder(Request(dataset=two_cities, out=tmp_path / "taken" / "out"))


def test_the_command_prints_json_and_nothing_else(two_cities: Path, tmp_path: Path) -> None:
    arguments = [str(two_cities), "--from", "pulses", "--only", "small-city", "--out", str(tmp_path), "--json"]
    result = CliRunner().invoke(replay_app, [*arguments, "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout) == json.loads((tmp_path / "report.json").read_text())
    report = msgspec.json.decode((tmp_path / "report.json").read_bytes(), type=Report)
    assert report.run.only == ("small-city",)
    assert report.score is not None
    assert report.score.counts.shots_found == 4


def test_the_command_prints_a_table(two_cities: Path, tmp_path: Path) -> None:
    arguments = [str(two_cities), "--from", "tuples", "--sensors", "4,6", "--subsets", "2", "--out", str(tmp_path)]
    result = CliRunner().invoke(replay_app, [*arguments, "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert "shots located, of given" in result.stdout
    assert "6 random sensors: within 15 m" in result.stdout


def test_the_command_refuses_a_number_of_sensors_that_is_none(two_cities: Path, tmp_path: Path) -> None:
    arguments = [str(two_cities), "--from", "tuples", "--sensors", "4,many", "--out", str(tmp_path)]
    result = CliRunner().invoke(replay_app, arguments)
    assert isinstance(result.exception, InputError)
    assert "'many' is not a number of sensors" in str(result.exception)


def test_the_page_carries_everything_and_asks_for_nothing(two_cities: Path, tmp_path: Path) -> None:
    replay_to_folder(Request(dataset=two_cities, out=tmp_path))
    page = (tmp_path / "report.html").read_text()
    incidents = read_incidents(tmp_path / "incidents.jsonl")
    assert all(item.id in page for item in incidents)
    assert page.count('class="map"') == 2 * len(incidents)
    assert "<script" not in page
    assert "http://" not in page
    assert "https://" not in page
    assert "src=" not in page
    assert page.count("<svg") == page.count("</svg>")
    assert page.count("<details") == page.count("</details>")


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(two_cities: Path, tmp_path: Path) -> None:
    from shotline_replay.page import report_page

    report = replay_to_folder(Request(dataset=two_cities, out=tmp_path))
    incidents = read_incidents(tmp_path / "incidents.jsonl")
    page = report_page(report, load_dataset(two_cities), incidents, most_bytes=1)
    assert f"0 of {len(incidents)} incidents are drawn" in page


def test_names_are_escaped_in_the_page(city: Dataset, tmp_path: Path) -> None:
    from shotline_replay.page import report_page

    folder = save_dataset(city, tmp_path / "city").parent
    report = replay_to_folder(Request(dataset=folder, out=tmp_path / "out"))
    (scene,) = city.scenes
    nasty = replace(city, name="<b>&", scenes=(replace(scene, truth=(replace(scene.truth[0], event="<i>"),)),))
    incidents: list[IncidentRecord] = read_incidents(tmp_path / "out" / "incidents.jsonl")
    page = report_page(report, nasty, incidents, events={(item.scene, item.id): "<i>" for item in incidents})
    assert "<b>&" not in page
    assert "<i>" not in page
    assert "&lt;i&gt;" in page
