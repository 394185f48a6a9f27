"""Random sub-arrays and late arrivals: the draws of the locator's report, and nothing but what was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from small_city import small_city

from shotline.domain import Arrival, DetectionId, NoLocation, NoLocationReason, Site
from shotline.errors import InputError
from shotline.units import NS_PER_MS, NS_PER_S
from shotline_recordings.dataset import Dataset
from shotline_replay import tuples
from shotline_replay.subarrays import delayed, shot_rng, subarrays


@pytest.fixture(scope="module")
def city() -> Dataset:
    return small_city()


def heard(count: int) -> tuple[Arrival, ...]:
    return tuple(
        Arrival(DetectionId(f"n{index}", 0, 0), Site(f"n{index}", 100.0 * index, 0.0), NS_PER_S * (index + 1))
        for index in range(count)
    )


def test_the_subsets_are_those_of_the_locators_report(city: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Arrival, ...]] = []

    def refuse(arrivals: Sequence[Arrival], **_: Any) -> NoLocation:
        asked.append(tuple(arrivals))
        return NoLocation(NoLocationReason.TOO_FEW_NODES, "not tried")

    monkeypatch.setattr(tuples, "locate", refuse)
    tuples.locate_dataset(city, sensors=(4, 5), subsets=3, seed=7)
    expected: list[tuple[Arrival, ...]] = []
    for scene in city.scenes:
        for shot in tuples.given_shots(scene):
            expected.append(shot.arrivals)
            for size in (4, 5):
                rng = shot_rng(shot.scene, shot.event, shot.shot_index, size, seed=7)
                expected += subarrays(shot.arrivals, size=size, subsets=3, rng=rng)
    assert asked == expected
    assert len(asked) == 4 * (1 + 2 * 3)


def test_a_subset_is_drawn_without_replacement_and_keeps_the_order() -> None:
    arrivals = heard(9)
    drawn = subarrays(arrivals, size=4, subsets=50, rng=np.random.default_rng(1))
    assert len(drawn) == 50
    assert len(set(drawn)) > 30
    for some in drawn:
        places = [arrivals.index(item) for item in some]
        assert places == sorted(set(places))
        assert len(places) == 4
    assert {item for some in drawn for item in some} == set(arrivals)


def test_what_a_shot_draws_depends_on_every_name_and_on_the_seed() -> None:
    cases = [("a", "e", 0, 4, 0), ("b", "e", 0, 4, 0), ("a", "f", 0, 4, 0), ("a", "e", 1, 4, 0), ("a", "e", 0, 5, 0)]
    cases += [("a", "e", 0, 4, 1)]
    values = [shot_rng(scene, event, shot, size, seed=seed).random() for scene, event, shot, size, seed in cases]
    assert len(set(values)) == len(cases)
    assert shot_rng("a", "e", 0, 4, seed=0).random() == values[0]
    assert shot_rng("a", "e", 0, 4, 1, 0, seed=0).random() not in values


def test_fewer_sensors_than_asked_for_are_refused() -> None:
    with pytest.raises(InputError, match="3 arrivals, expected at least 4"):
        subarrays(heard(3), size=4, subsets=1, rng=np.random.default_rng(0))


@pytest.mark.parametrize("count", [0, 1, 2, 6])
def test_so_many_arrivals_are_late_by_delays_in_range_and_the_rest_untouched(count: int) -> None:
    arrivals = heard(6)
    rng = np.random.default_rng(3)
    delays_ms, late_nodes = [], set()
    for _ in range(200):
        made = delayed(arrivals, count=count, least_s=0.05, most_s=0.4, rng=rng)
        late = [(new.time_ns - old.time_ns) / NS_PER_MS for new, old in zip(made, arrivals, strict=True)]
        assert sum(value != 0.0 for value in late) == count
        assert [item.uid for item in made] == [item.uid for item in arrivals]
        delays_ms += [value for value in late if value]
        late_nodes |= {index for index, value in enumerate(late) if value}
    if count:
        assert late_nodes == set(range(6))
        assert 50.0 <= min(delays_ms) < 60.0
        assert 390.0 < max(delays_ms) <= 400.0
