"""`shotline simulate` as people and machines use it, and what it writes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from scene_samples import scene
from typer.main import get_command

from shotline.domain import ClockState
from shotline.errors import InputError, StorageError
from shotline.units import NS_PER_S
from shotline_recordings.cli import app
from shotline_recordings.dataset import load_dataset
from shotline_recordings.scene import shipped_scene
from shotline_recordings.simulate import simulate_dataset

SHIPPED = shipped_scene().read_text(encoding="utf-8")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(get_command(app), list(arguments))


def small_scene(folder: Path) -> Path:
    """Write the shipped scene cut to 10 s, three nodes and the first shot."""
    head, *nodes = SHIPPED[: SHIPPED.index("[[shots]]")].split("[[nodes]]")
    shot = SHIPPED[SHIPPED.index("[[shots]]") : SHIPPED.index('[[shots]]\nevent = "alley"')]
    path = folder / "scene.toml"
    path.write_text("[[nodes]]".join([head.replace("duration_s = 45.0", "duration_s = 10.0"), *nodes[:3]]) + shot)
    return path


def digests(folder: Path) -> dict[str, str]:
    files = sorted(item for item in folder.rglob("*") if item.is_file() and item.suffix != ".png")
    return {str(item.relative_to(folder)): hashlib.sha256(item.read_bytes()).hexdigest() for item in files}


def test_it_speaks_sentences_and_json(tmp_path: Path) -> None:
    path = small_scene(tmp_path)
    said = run(str(path), "--out", str(tmp_path / "a"), "--jobs", "1")
    assert said.exit_code == 0, said.output
    assert (
        "city-block: 3 nodes, 10 s, 1 shooting events with 1 rounds, 0 other bangs, seed 20260314: sound" in said.output
    )
    said = run(str(path), "--out", str(tmp_path / "b"), "--seed", "9", "--jobs", "1", "--no-picture", "--json")
    about = json.loads(said.output)
    assert (about["seed"], about["nodes"], about["rounds"], about["detections"]) == (9, 3, 1, None)
    assert load_dataset(tmp_path / "b").source == "simulated by shotline, seed 9"
    assert (tmp_path / "a" / "overview.png").stat().st_size > 10_000
    assert not (tmp_path / "b" / "overview.png").exists()


def test_the_number_of_processes_changes_no_bit(tmp_path: Path) -> None:
    path = small_scene(tmp_path)
    for jobs in ("1", "2"):
        assert run(str(path), "--out", str(tmp_path / jobs), "--jobs", jobs, "--no-picture").exit_code == 0
    assert digests(tmp_path / "1") == digests(tmp_path / "2")
    assert len(digests(tmp_path / "1")) == 3 + len(("dataset.toml", "arrivals.csv", "nodes.csv"))


def test_detections_and_excerpts(tmp_path: Path) -> None:
    path = small_scene(tmp_path)
    said = run(str(path), "--out", str(tmp_path / "d"), "--detections", "--no-picture", "--json")
    assert json.loads(said.output)["detections"] >= 3
    assert not load_dataset(tmp_path / "d").scenes[0].recordings
    said = run(str(path), "--out", str(tmp_path / "e"), "--excerpt", "7", "9", "--no-picture", "--json", "--jobs", "1")
    assert json.loads(said.output)["duration_s"] == 2.0
    (first, *_) = load_dataset(tmp_path / "e").scenes[0].recordings
    assert soundfile.info(first.path).frames == 2 * 16_000


@pytest.mark.parametrize(
    ("option", "word"), [("--scenes", "suburb"), ("--weapons", "glock-19"), ("--bangs", "thunder")]
)
def test_lists_for_people_and_machines(option: str, word: str) -> None:
    assert word in run(option).output
    rows = json.loads(run(option, "--json").output)
    assert any(word in row.values() for row in rows)
    assert "list one thing at a time" in run("--scenes", "--weapons", "--bangs").output


def test_mistakes_say_what_to_do(tmp_path: Path) -> None:
    assert "name the folder of the dataset" in run().output
    (tmp_path / "file").write_text("")
    failed = run(str(small_scene(tmp_path)), "--out", str(tmp_path / "file"))
    assert isinstance(failed.exception, StorageError)
    assert "choose another folder with --out" in str(failed.exception)
    failed = run("new-years-eve", "--out", str(tmp_path / "eve"))
    assert isinstance(failed.exception, InputError)
    assert "3600 s of sound at once, at most 900 s; choose a part with --excerpt" in str(failed.exception)
    path = small_scene(tmp_path)
    path.write_text(path.read_text().replace('"glock-19"', '"glock-91"'))
    failed = run(str(path), "--out", str(tmp_path / "x"))
    assert isinstance(failed.exception, InputError)
    assert str(failed.exception).startswith(f"{path}: weapon: event 'corner': no weapon")
    assert "glock-19" in str(failed.exception)
    failed = run("mars", "--out", str(tmp_path / "mars"))
    assert "no shipped scene 'mars'" in str(failed.exception)
    failed = run("missing.toml", "--out", str(tmp_path / "mars"))
    assert "missing.toml: cannot read the file" in str(failed.exception)
    failed = run(str(small_scene(tmp_path)), "--out", str(tmp_path / "x"), "--excerpt", "5", "50")
    assert "excerpt from 5 to 50 s, in a scene of 10 s" in str(failed.exception)


def test_a_dataset_reads_back_with_exact_truth(tmp_path: Path) -> None:
    bang = {"event": "noise", "x_m": 50.0, "y_m": 0.0, "time_s": 0.8, "kind": "hammer", "label": "a hammer"}
    nodes = [
        {"id": "a", "x_m": 120.0, "y_m": 30.0, "z_m": 5.0, "moved_m": [24.0, 18.0]},
        {"id": "b", "x_m": -90.0, "y_m": 160.0, "z_m": 8.0, "clock": "ntp", "muffled_db": -20.0, "agc": True},
    ]
    made = simulate_dataset(scene(bangs=[bang], nodes=nodes), tmp_path, seed=4, picture=False)
    (read,) = load_dataset(tmp_path).scenes
    assert read.recordings == made.dataset.scenes[0].recordings
    assert [(event.event, event.kind, event.rounds, event.sigma_m) for event in read.truth] == [
        ("one", "gunshot", 1, 0.0),
        ("noise", "impact", 0, 0.0),
    ]
    assert read.truth[0].shot_times_ns == (made.stage.scene.start_ns + round(0.3 * NS_PER_S),)
    assert read.frame == made.stage.scene.frame
    assert (read.sites[0].x_m, read.sites[0].y_m) == pytest.approx((96.0, 12.0))
    assert read.recordings[1].clock_state is ClockState.NTP
    for recording in read.recordings:
        samples, rate_hz = soundfile.read(recording.path, dtype="int16")
        assert (rate_hz, len(samples)) == (16_000, 32_000)
        assert np.abs(samples).max() > 100
    with (tmp_path / "nodes.csv").open(encoding="utf-8") as file:
        first, second = csv.DictReader(file)
    assert (first["x_m"], first["y_m"]) == ("120.000", "30.000")
    assert (second["clock"], second["muffled_db"], second["agc"]) == ("ntp", "-20.0", "True")
    with (tmp_path / "arrivals.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {(row["event"], row["node"]) for row in rows} == {(e, n) for e in ("one", "noise") for n in ("a", "b")}
    assert all(row["path"] == "direct" for row in rows)
