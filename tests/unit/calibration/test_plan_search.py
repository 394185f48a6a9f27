"""Where more nodes help, what a failed one costs, and what was covered when: against working everything out anew."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from plan_samples import field, nodes_at, planner_of, scattered

from fusion_server.scorecard.heard import HOUR_NS, SERVER, HeardHour
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline_calibration.plan.failures import failures, without
from shotline_calibration.plan.history import history, history_csv
from shotline_calibration.plan.planner import smoothed
from shotline_calibration.plan.suggest import best_of_all, greedy_with_exchange, suggest
from shotline_calibration.plan.summary import summary

NOON_NS = parse_utc("2026-03-02T12:00:00Z")
FULL = (1 << 60) - 1


@pytest.mark.parametrize(("seed", "have", "count"), [(1, 3, 2), (2, 4, 2), (3, 2, 3), (4, 5, 1), (5, 0, 4), (6, 3, 3)])
def test_the_suggestion_is_the_best_of_all_choices(seed: int, have: int, count: int) -> None:
    side_m = 2400.0
    cells, nodes = field(side_m, step_m=300.0), scattered(have, side_m, seed=seed)
    candidates = scattered(8, side_m, seed=100 + seed, prefix="c")
    planner = planner_of(cells, draws=16)
    found = greedy_with_exchange(planner, nodes, candidates, count)
    # The slow, obvious way: every choice, from the beginning.
    means = {
        some: float(planner.figures([*nodes, *(candidates[index] for index in some)]).goal_probability.mean())
        for some in itertools.combinations(range(8), count)
    }
    best = max(means.values())
    exact = best_of_all(planner, nodes, candidates, count)
    assert exact.certified
    assert exact.goal_probability[-1] == pytest.approx(best, abs=1e-6)
    assert not found.certified
    assert found.goal_probability[-1] == pytest.approx(best, abs=1e-6)
    chosen = tuple(sorted(candidates.index(node) for node in found.chosen))
    assert means[chosen] == pytest.approx(best, abs=1e-9)
    assert found.goal_probability[0] == pytest.approx(float(planner.figures(nodes).goal_probability.mean()), abs=1e-6)
    assert len(found.goal_probability) == count + 1


def test_exchange_gains_where_greedy_alone_does_not() -> None:
    # Of no use alone, four of these are; greedy begins with any, and exchange mends it.
    side_m = 2400.0
    planner = planner_of(field(side_m, step_m=300.0), draws=16)
    candidates = scattered(8, side_m, seed=105, prefix="c")
    assert greedy_with_exchange(planner, [], candidates, 4).exchanged > 0


def test_few_choices_are_all_looked_at_and_many_are_not() -> None:
    planner = planner_of(field(1200.0, step_m=300.0), draws=8)
    nodes, candidates = scattered(4, 1200.0, seed=8), scattered(21, 1200.0, seed=9, prefix="c")
    assert suggest(planner, nodes, candidates[:6], 2).certified
    assert not suggest(planner, nodes, candidates, 2).certified
    for count in (0, 22):
        with pytest.raises(InputError, match=f"--add: {count} of 21 candidate sites; ask for 1 to 21, or give more"):
            suggest(planner, nodes, candidates, count)
    with pytest.raises(InputError, match="candidate 'n0' has the name of a node; rename it"):
        suggest(planner, nodes, [*candidates, nodes[0]], 2)


def test_a_failure_costs_what_a_plan_without_the_node_says() -> None:
    planner = planner_of(field(1500.0, step_m=100.0))
    nodes = [*scattered(7, 1500.0, seed=12), *nodes_at((9000.0, 9000.0), prefix="far")]
    found = failures(planner, nodes)
    whole = planner.figures(nodes)
    before = summary(whole, planner.cells)
    assert [one.goal_probability for one in found.each] == sorted(
        (one.goal_probability for one in found.each), reverse=True
    )
    worst = np.zeros(len(planner.cells))
    for one in found.each:
        left = planner.figures([node for node in nodes if node.site.node != one.node])
        after = summary(left, planner.cells)
        assert one.detect_probability == pytest.approx(before.detect_probability - after.detect_probability, abs=2e-4)
        assert one.covered_km2 == pytest.approx(before.covered_km2 - after.covered_km2, abs=2e-4)
        worst = np.maximum(worst, whole.detect_probability - left.detect_probability)
    assert np.allclose(found.worst_loss, worst)
    assert found.worst_loss.max() > 0.05
    (far,) = (one for one in found.each if one.node == "far0")
    assert (far.covered_km2, far.detect_probability, far.goal_probability, far.cep95_m) == (0.0, 0.0, 0.0, 0.0)
    assert found.each[0].node != "far0"


def test_only_what_can_change_is_worked_out_again() -> None:
    planner, nodes = planner_of(field(5000.0, step_m=500.0)), scattered(14, 5000.0, seed=14)
    whole = planner.figures(nodes)
    left = without(planner, nodes, nodes[:2], whole)
    again = planner.figures(nodes[2:])
    for name in ("enough_probability", "goal_probability", "expected_nodes", "cep95_m"):
        assert np.array_equal(getattr(left, name), getattr(again, name)), name
    assert without(planner, nodes, [], whole) is whole


def test_smoothing_keeps_what_is_exact_and_the_mean() -> None:
    planner = planner_of(field(1500.0, step_m=50.0))
    rough = planner.figures(scattered(7, 1500.0, seed=15))
    smooth = smoothed(rough, planner.cells)
    assert np.array_equal(smooth.enough_probability, rough.enough_probability)
    assert np.all(smooth.goal_probability <= smooth.detect_probability + 1e-12)
    assert np.all(smooth.detect_probability <= smooth.enough_probability + 1e-12)
    # 900 cells of 24 drawn shots, of which neighbours now share.
    assert smooth.detect_probability.mean() == pytest.approx(rough.detect_probability.mean(), abs=0.005)
    grids = [planner.cells.grid(one.detect_probability) for one in (rough, smooth)]
    rough_step, smooth_step = (np.abs(np.diff(grid, axis=0)).mean() for grid in grids)
    assert smooth_step < 0.7 * rough_step


def test_a_coarser_plan_looks_at_cells_of_the_same_grid() -> None:
    planner = planner_of(field(1000.0, step_m=100.0))
    nodes = scattered(6, 1000.0, seed=16)
    coarse = planner.coarser(3)
    assert len(coarse.cells) == 9
    whole = planner.figures(nodes).detect_probability
    at = np.searchsorted(planner.cells.index, coarse.cells.index)
    assert np.array_equal(coarse.figures(nodes).detect_probability, whole[at])


def test_history_is_the_plan_of_those_who_were_heard() -> None:
    planner, nodes = planner_of(field(1500.0, step_m=150.0)), scattered(6, 1500.0, seed=17)
    names = [node.site.node for node in nodes]
    half = (1 << 30) - 1
    rows = [
        HeardHour(NOON_NS, SERVER, FULL),
        *(HeardHour(NOON_NS, name, FULL if name != "n0" else half) for name in names),
        HeardHour(NOON_NS + HOUR_NS, SERVER, half),
        *(HeardHour(NOON_NS + HOUR_NS, name, FULL) for name in names[1:]),
        HeardHour(NOON_NS + HOUR_NS, "stranger", FULL),
    ]
    first, second, third = history(rows, planner, nodes, since_ns=NOON_NS, until_ns=NOON_NS + 3 * HOUR_NS)
    with_all, without_one = (summary(planner.figures(some), planner.cells) for some in (nodes, nodes[1:]))
    assert first.detect_probability == pytest.approx(
        0.5 * (with_all.detect_probability + without_one.detect_probability), abs=1e-6
    )
    assert first.nodes == pytest.approx(5.5)
    assert (second.server_minutes, second.minutes, second.nodes) == (30, 60, 5.0)
    assert second.detect_probability == pytest.approx(0.5 * without_one.detect_probability, abs=1e-6)
    assert second.covered_share == pytest.approx(0.5 * without_one.covered_km2 / without_one.area_km2, abs=1e-6)
    assert (third.server_minutes, third.nodes, third.covered_share) == (0, 0.0, 0.0)
    (whole,) = history(rows, planner, nodes, since_ns=NOON_NS, until_ns=NOON_NS + 3 * HOUR_NS, hours=24)
    assert whole.minutes == 180
    assert whole.detect_probability == pytest.approx(
        np.mean([one.detect_probability for one in (first, second, third)]), abs=1e-9
    )
    lines = history_csv([first, third]).splitlines()
    assert lines[0] == "begin_utc,minutes,server_minutes,nodes,covered_share,detect_probability"
    assert lines[1].startswith("2026-03-02T12:00:00Z,60,60,5.50,")
    assert lines[2] == "2026-03-02T14:00:00Z,60,0,0.00,0.0000,0.0000"
