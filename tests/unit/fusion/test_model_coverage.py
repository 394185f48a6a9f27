"""Where a network would hear a shot, against every combination of nodes written out."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from fusion_server.associate import AssociateSettings
from fusion_server.associate.cells import LOUDNESS_RANGES_M
from fusion_server.coverage import Coverage, model_coverage
from shotline.domain import Site

SETTINGS = AssociateSettings()
SITES = tuple(
    Site(f"n{index}", x_m, y_m)
    for index, (x_m, y_m) in enumerate([(0, 0), (400, 30), (90, 500), (480, 420), (900, 250)])
)


def twin(sites: tuple[Site, ...], x_m: float, y_m: float) -> float:
    """Return the probability that four or more report, by adding up all combinations of all loudnesses."""
    total = 0.0
    for range_m in LOUDNESS_RANGES_M:
        heard = []
        for site in sites:
            distance_m = round(np.hypot(site.x_m - x_m, site.y_m - y_m) / 5.0) * 5.0
            beyond = np.clip((distance_m - range_m) / (0.15 * range_m), -30.0, 30.0)
            heard.append(SETTINGS.detect_probability / (1.0 + np.exp(beyond)))
        for who in product((0, 1), repeat=len(sites)):
            if sum(who) >= SETTINGS.min_nodes:
                total += np.prod([p if did else 1.0 - p for p, did in zip(heard, who, strict=True)])
    return float(total / len(LOUDNESS_RANGES_M))


def cells(coverage: Coverage) -> list[tuple[int, int, float, float]]:
    rows, columns = coverage.probability.shape
    return [
        (
            row,
            column,
            coverage.west_m + (column + 0.5) * coverage.step_m,
            coverage.south_m + (row + 0.5) * coverage.step_m,
        )
        for row in range(rows)
        for column in range(columns)
    ]


def test_the_probability_is_that_of_all_combinations() -> None:
    coverage = model_coverage(SITES, SETTINGS)
    for row, column, x_m, y_m in cells(coverage)[::97]:
        # float32 tables of logarithms: seven digits.
        assert coverage.probability[row, column] == pytest.approx(twin(SITES, x_m, y_m), abs=1e-6)


def test_the_grid_reaches_as_far_as_fusion_looks() -> None:
    coverage = model_coverage(SITES, SETTINGS)
    rows, columns = coverage.probability.shape
    assert coverage.west_m <= -SETTINGS.margin_m
    assert coverage.south_m <= -SETTINGS.margin_m
    assert coverage.west_m + columns * coverage.step_m >= 900.0 + SETTINGS.margin_m
    assert coverage.south_m + rows * coverage.step_m >= 500.0 + SETTINGS.margin_m
    assert rows * columns <= 10_000


def test_a_city_has_larger_cells_and_no_more_of_them() -> None:
    sites = [Site(f"n{index}", 700.0 * (index % 12), 700.0 * (index // 12)) for index in range(144)]
    coverage = model_coverage(sites, SETTINGS)
    assert coverage.step_m == 100.0
    assert coverage.probability.size <= 10_000
    assert coverage.probability.max() > coverage.probability[0, 0]


def test_fewer_nodes_hear_less_on_the_same_grid() -> None:
    every, fewer = model_coverage(SITES, SETTINGS), model_coverage(SITES[:4], SETTINGS, around=SITES)
    assert every.probability.shape == fewer.probability.shape
    assert (every.probability >= fewer.probability - 1e-12).all()
    assert (every.expected_nodes > fewer.expected_nodes).any()
    assert model_coverage(SITES[:3], SETTINGS, around=SITES).probability.max() == pytest.approx(0.0, abs=1e-12)


def test_two_nodes_at_one_place_count_once() -> None:
    doubled = (*SITES[:3], Site("again", SITES[0].x_m + 1.0, SITES[0].y_m))
    assert model_coverage(doubled, SETTINGS).probability.max() == pytest.approx(0.0, abs=1e-12)


def test_rounded_places_give_the_coverage_of_rounded_places() -> None:
    rounded = [Site(site.node, round(site.x_m / 100) * 100.0, round(site.y_m / 100) * 100.0) for site in SITES]
    told = model_coverage(SITES, SETTINGS, rounded_to_m=100.0)
    assert told.step_m == 100.0
    moved = model_coverage(rounded, SETTINGS, rounded_to_m=100.0)
    assert np.array_equal(told.probability, moved.probability)
    assert not np.array_equal(told.probability, model_coverage(SITES, SETTINGS).probability)


def test_nobody_covers_nothing() -> None:
    assert model_coverage([], SETTINGS).probability.size == 0
    assert model_coverage([], SETTINGS, around=SITES).expected_nodes.max() == 0.0


def test_a_network_beyond_every_step_still_has_a_grid() -> None:
    sites = [Site("a", 0.0, 0.0), Site("b", 900_000.0, 900_000.0)]
    assert 0 < model_coverage(sites, SETTINGS).probability.size <= 12_000
