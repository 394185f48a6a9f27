"""The locator on given arrivals: which are taken, which subsets are drawn, what is counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from small_city import START_NS, detection, small_city

from shotline.domain import DetectionId
from shotline.units import NS_PER_S
from shotline_recordings.dataset import Dataset, PulseSet
from shotline_replay.tuples import given_shots, locate_dataset, locator_report


@pytest.fixture(scope="module")
def city() -> Dataset:
    return small_city()


def test_of_a_sensor_that_is_there_twice_the_first_counts(city: Dataset) -> None:
    (scene,) = city.scenes
    echo = detection("n3", 500, START_NS + 9 * NS_PER_S)
    group = scene.pulse_sets[0]
    doubled = PulseSet(group.event, group.shot_index, (*group.detections, echo.uid))
    changed = replace(scene, detections=(*scene.detections, echo), pulse_sets=(doubled,))
    (shot,) = given_shots(changed)
    assert [item.uid for item in shot.arrivals] == list(group.detections)


def test_a_node_without_a_site_takes_no_part(city: Dataset) -> None:
    (scene,) = city.scenes
    (shot, *_) = given_shots(replace(scene, sites=scene.sites[:5]))
    assert {item.site.node for item in shot.arrivals} == {site.node for site in scene.sites[:5]}


def test_every_shot_is_located_and_every_subset_counted(city: Dataset) -> None:
    report = locator_report(locate_dataset(city, sensors=(4, 9), subsets=3, seed=1), subsets=3)
    assert report.shots == report.all_sensors.overall.located == 4
    four, nine = report.subsets
    assert (four.sensors, four.overall.attempted, four.shots_with_fewer) == (4, 12, 0)
    assert (nine.sensors, nine.overall.attempted, nine.shots_with_fewer) == (9, 0, 4)
    assert four.overall.located + sum(four.refused.values()) == 12


def test_subsets_depend_on_the_seed_and_not_on_what_else_is_replayed(city: Dataset) -> None:
    (scene,) = city.scenes
    alone = replace(city, scenes=(replace(scene, pulse_sets=scene.pulse_sets[-1:]),))

    def errors(dataset: Dataset, sensors: tuple[int, ...], seed: int) -> list[float]:
        (fixes,) = locate_dataset(dataset, sensors=sensors, subsets=5, seed=seed)
        return [check.error_m for check in fixes.by_sensors[5].checks]

    assert errors(city, (4, 5), 3)[-5:] == errors(alone, (5,), 3)
    assert errors(alone, (5,), 3) != errors(alone, (5,), 4)


def test_refusals_are_counted_by_reason(city: Dataset) -> None:
    (scene,) = city.scenes
    first = scene.pulse_sets[0]
    lonely = PulseSet(first.event, first.shot_index, first.detections[:2])
    (fixes,) = locate_dataset(replace(city, scenes=(replace(scene, pulse_sets=(lonely,)),)))
    assert fixes.records == ()
    assert dict(fixes.by_sensors[0].refused) == {"too_few_nodes": 1}


def test_ids_name_event_and_shot(city: Dataset) -> None:
    (fixes,) = locate_dataset(city)
    assert [item.id for item in fixes.records] == ["single-shot-0", "burst-shot-0", "burst-shot-1", "burst-shot-2"]
    assert all(isinstance(uid, DetectionId) for group in city.scenes[0].pulse_sets for uid in group.detections)
