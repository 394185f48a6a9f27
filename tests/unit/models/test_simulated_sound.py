"""Simulated sound to learn from: towns that can be made, examples that are what the truth says, free for any use."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from shotline.domain import ImpulseKind
from shotline.errors import DatasetError
from shotline.timebase import parse_utc
from shotline_models.dataset import Corpus
from shotline_models.plan import is_free
from shotline_models.simulated import SIMULATED, read_simulated, town
from shotline_recordings.dataset import open_dataset
from shotline_recordings.simulate import simulate_dataset
from shotline_recordings.simulate.bangs import BANG_KINDS
from shotline_recordings.simulate.weapons import weapons


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open field with two nodes, a few shots and bangs."""
    path = tmp_path_factory.mktemp("town") / "0"
    whole = town(0)
    scatter = [
        table.model_copy(update={"count": 4, "from_s": first_s, "until_s": first_s + 6.0})
        for table, first_s in zip(whole.scatter, (0.5, 9.0), strict=True)
    ]
    small = whole.model_copy(update={"nodes": whole.nodes[:2], "scatter": scatter, "duration_s": 17.0})
    simulate_dataset(small, path, seed=1, jobs=1, picture=False)
    return path


@pytest.fixture(scope="module")
def corpus(folder: Path) -> Corpus:
    return read_simulated([folder], before_s=0.35, after_s=0.56)


def test_towns_differ_and_hold_every_weapon_and_every_bang() -> None:
    towns = [town(number) for number in range(5)]
    assert len({item.weather.temperature_c for item in towns}) == 5
    for item in towns:
        shots, bangs = item.scatter
        assert set(shots.kinds) == {arm.id for arm in weapons()}
        assert set(bangs.kinds) == set(BANG_KINDS)
    assert town(3) == town(3)


def test_every_example_is_the_first_sound_of_what_the_truth_says(folder: Path, corpus: Corpus) -> None:
    scene = open_dataset(folder, loader="shotline").scenes[0]
    kinds = {event.event: event.kind for event in scene.truth}
    begins = {item.node: item.start_time_ns for item in scene.recordings}
    with (folder / "arrivals.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(corpus.examples) >= 6
    assert {item.clip.kind for item in corpus.examples} >= {ImpulseKind.GUNSHOT}
    for item in corpus.examples:
        node = item.clip.file.rpartition("/")[2]
        near = [
            kinds[row["event"]]
            for row in rows
            if row["node"] == node
            and -0.003 <= item.at_s - (parse_utc(row["arrival_utc"]) - begins[node]) / 1e9 <= 0.040
        ]
        assert near == [item.clip.kind.value]


def test_simulated_sound_is_free_and_known_by_its_source(corpus: Corpus) -> None:
    assert {item.clip.source for item in corpus.examples} == {SIMULATED}
    assert all(is_free(item.clip.licence) for item in corpus.examples)
    assert {item.clip.family for item in corpus.examples} == {"augmentation-0"}


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError):
        read_simulated([tmp_path], before_s=0.1, after_s=0.2)
