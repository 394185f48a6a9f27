"""The compiled kernels of association against their slow twins."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import twins

from fusion_server.associate import AssociateSettings
from fusion_server.associate.cells import NOBODY, first_of_each, home_of, nearest_sites, pick_cells
from fusion_server.associate.geometry import STEP_M, audibility, lay_out
from fusion_server.associate.judge import NU, fit, shared_arrivals
from fusion_server.associate.rows import (
    ABSENT,
    BIN_S,
    COARSE_GATE_S,
    FEW,
    LEAST_KNOWN_S,
    MANY,
    NEVER,
    TOP_HZ,
    TOP_SHARE,
    draw,
)
from fusion_server.associate.store import ECHO_S, Store
from shotline.domain import Arrival, DetectionId, Site
from shotline.units import NS_PER_S, ns_from_seconds

SETTINGS = AssociateSettings()
EPOCH_NS = 1_800_000_000 * NS_PER_S


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(4)


def _arrivals(rng: np.random.Generator, count: int, seconds: float) -> list[Arrival]:
    site = Site("a", 0.0, 0.0)
    return [
        Arrival(DetectionId("a", 1, number), site, EPOCH_NS + ns_from_seconds(float(at_s)), snr_db=float(snr_db))
        for number, (at_s, snr_db) in enumerate(
            zip(rng.uniform(0.0, seconds, count), rng.uniform(11.0, 40.0, count), strict=True)
        )
    ]


def _store(arrivals: list[Arrival], *batches: int, listens_from_s: float = -1e9) -> Store:
    """Return a store that was given the arrivals in batches, all within one look's reach of the future."""
    store = Store(1, SETTINGS, window_s=40.0)
    start = 0
    for size in (*batches, len(arrivals)):
        for arrival in arrivals[start : start + size]:
            store.add(0, arrival, arrival.uid.sequence)
        start += size
        store.admit((EPOCH_NS - store.epoch_ns) / NS_PER_S + 12.0, 340.0, np.array([listens_from_s]))
    return store


def test_a_classifier_counts_as_its_kind_does_and_none_counts_nothing(rng: np.random.Generator) -> None:
    said = (("impulse-rules-1", 0.9), ("simulated", 0.9), ("a-network", 0.9), ("a-network", None), ("", None))
    arrivals = [
        replace(arrival, model_id=model, gunshot_probability=probability)
        for arrival, (model, probability) in zip(_arrivals(rng, 5, 10.0), said, strict=True)
    ]
    ordered = sorted(arrivals, key=lambda item: item.time_ns)
    odds = _store(arrivals).columns.odds[0, :5]

    def logit(probability: float) -> float:
        return math.log(probability / (1.0 - probability))

    by_rule = SETTINGS.rule_weight * (logit(0.9) - logit(SETTINGS.rule_usual_probability))
    by_network = SETTINGS.class_weight * (logit(0.9) - logit(SETTINGS.class_usual_probability))
    wanted = {("impulse-rules-1", 0.9): by_rule, ("simulated", 0.9): by_rule, ("a-network", 0.9): by_network}
    for arrival, seen in zip(ordered, odds, strict=True):
        assert seen == pytest.approx(wanted.get((arrival.model_id, arrival.gunshot_probability or 0.0), 0.0), abs=1e-12)


def test_a_networks_word_against_a_shot_is_bounded_and_its_word_for_one_is_not(rng: np.random.Generator) -> None:
    said = (
        ("a-network", 0.05),
        ("a-network", 0.5),
        ("a-network", 0.88),
        ("a-network", 0.97),
        ("impulse-rules-1", 0.05),
    )
    arrivals = [
        replace(arrival, model_id=model, gunshot_probability=probability)
        for arrival, (model, probability) in zip(_arrivals(rng, 5, 10.0), said, strict=True)
    ]
    seen = dict(
        zip(
            [(item.model_id, item.gunshot_probability) for item in sorted(arrivals, key=lambda item: item.time_ns)],
            _store(arrivals).columns.odds[0, :5].tolist(),
            strict=True,
        )
    )
    assert seen["a-network", 0.05] == seen["a-network", 0.5] == SETTINGS.class_least_log_odds
    assert SETTINGS.class_least_log_odds < seen["a-network", 0.88] < 0.0 < seen["a-network", 0.97]
    assert seen["impulse-rules-1", 0.05] < SETTINGS.class_least_log_odds


@pytest.mark.parametrize("listens_after_s", [-1e6, 0.0, 4.0])
def test_clutter_is_what_its_docstring_says(rng: np.random.Generator, listens_after_s: float) -> None:
    arrivals = _arrivals(rng, 60, 10.0)
    listens_from_s = (EPOCH_NS - _store(arrivals).epoch_ns) / NS_PER_S + listens_after_s
    store = _store(arrivals, listens_from_s=listens_from_s)
    ordered = sorted(arrivals, key=lambda item: item.time_ns)
    wanted = twins.log_clutter(
        [twins.Heard((item.time_ns - store.epoch_ns) / NS_PER_S, item.snr_db) for item in ordered],
        window_s=SETTINGS.clutter_window_s,
        burst_s=SETTINGS.clutter_burst_s,
        margin_db=SETTINGS.strength_margin_db,
        softness_db=SETTINGS.strength_softness_db,
        least_hz=SETTINGS.clutter_hz,
        echo_s=ECHO_S,
        echo_share=SETTINGS.echo_clutter_share,
        quiet_s=SETTINGS.quiet_s,
        below_db=SETTINGS.quiet_below_db,
        few=FEW,
        top_hz=TOP_HZ,
        top_share=TOP_SHARE,
        listens_from_s=listens_from_s,
        many=MANY,
        least_known_s=LEAST_KNOWN_S,
    )
    assert store.columns.log_clutter[0, : len(arrivals)] == pytest.approx(wanted, abs=1e-12)


def test_a_first_arrival_breaks_a_quiet_only_where_the_node_listened_before() -> None:
    arrivals = [Arrival(DetectionId("a", 1, 1), Site("a", 0.0, 0.0), EPOCH_NS + 5 * NS_PER_S, snr_db=30.0)]
    at_s = float(_store(arrivals).columns.time_s[0, 0])
    assert _store(arrivals).columns.starts[0, 0] > 0.99
    assert _store(arrivals, listens_from_s=at_s - 2.0).columns.starts[0, 0] > 0.99
    assert _store(arrivals, listens_from_s=at_s).columns.starts[0, 0] < 0.05
    assert _store(arrivals, listens_from_s=np.inf).columns.starts[0, 0] < 0.05


def test_the_first_impulses_of_a_busy_node_are_not_rare_because_nothing_is_known_before_them() -> None:
    # Ten a second for half a second, all alike: as common as they will turn out to be.
    site = Site("a", 0.0, 0.0)
    arrivals = [
        Arrival(DetectionId("a", 1, number), site, EPOCH_NS + number * NS_PER_S // 10, snr_db=20.0)
        for number in range(60)
    ]
    first_s = float(_store(arrivals).columns.time_s[0, 0])
    early, later = _store(arrivals[:6], listens_from_s=first_s), _store(arrivals, listens_from_s=first_s)
    early_hz, later_hz = early.columns.log_clutter[0, 3], later.columns.log_clutter[0, 30]
    assert early_hz > later_hz - 1.0
    # Where it is known that nothing came before, they are rarer.
    assert _store(arrivals[:6]).columns.log_clutter[0, 3] < early_hz - 0.5


def test_rows_do_not_depend_on_the_order_of_arrival(rng: np.random.Generator) -> None:
    arrivals = _arrivals(rng, 80, 10.0)
    one = _store(arrivals)
    other = _store([arrivals[index] for index in rng.permutation(80)], 7, 1, 30)
    for name in ("time_s", "snr_db", "log_clutter", "starts", "record"):
        # To the bit: sums run over rows in order of time, however they came to be.
        assert (getattr(one.columns, name)[0, :80] == getattr(other.columns, name)[0, :80]).all()
    assert (one.ring == other.ring).all()


@pytest.mark.parametrize("late", range(12))
def test_one_late_arrival_changes_rows_as_if_it_had_come_in_time(rng: np.random.Generator, late: int) -> None:
    # Few, so that it takes the beginning from another, whose neighbours then count it differently.
    arrivals = sorted(_arrivals(rng, 12, 12.0), key=lambda item: item.time_ns)
    one = _store(arrivals)
    other = _store([*arrivals[:late], *arrivals[late + 1 :], arrivals[late]], 11)
    for name in ("starts", "log_clutter", "record"):
        assert (getattr(one.columns, name)[0, :12] == getattr(other.columns, name)[0, :12]).all()
    assert (one.ring == other.ring).all()


def test_a_ring_says_the_best_of_the_arrivals_near(rng: np.random.Generator) -> None:
    store = _store(_arrivals(rng, 50, 10.0))
    columns = store.columns
    columns.free[0, 5:12] = 0
    start_s = (EPOCH_NS - store.epoch_ns) / NS_PER_S
    draw(columns, store.ring, 0, start_s - 1.0, start_s + 11.0, start_s - 5.0, store.log_coarse)
    free = columns.free[0, :50] == 1
    bins = np.arange(int((start_s - 0.9) / BIN_S), int((start_s + 10.9) / BIN_S))
    wanted = twins.ring_row(
        columns.time_s[0, :50][free],
        store.log_coarse - columns.working[0, :50][free],
        bins,
        bin_s=BIN_S,
        gate_s=COARSE_GATE_S,
        never=NEVER,
    )
    # Rings are 32-bit floats: 7 digits.
    assert store.ring[0, bins & (store.ring.shape[1] - 1)] == pytest.approx(wanted, rel=1e-6)


def test_forgetting_keeps_the_rest_in_order(rng: np.random.Generator) -> None:
    arrivals = _arrivals(rng, 40, 10.0)
    store = _store(arrivals)
    cut_ns = sorted(item.time_ns for item in arrivals)[15]
    store.forget((cut_ns - store.epoch_ns) / NS_PER_S)
    kept = sorted((item for item in arrivals if item.time_ns >= cut_ns), key=lambda item: item.time_ns)
    assert [store.arrivals[slot] for slot in store.columns.slot[0, : store.columns.used[0]].tolist()] == kept
    assert len(store) == len(kept)


def test_a_place_is_fitted_as_scipy_fits_it(rng: np.random.Generator) -> None:
    for _ in range(20):
        sites_m = rng.uniform(-500.0, 500.0, (9, 2))
        truth = np.array([*rng.uniform(-300.0, 300.0, 2), rng.uniform(-20.0, 20.0), 0.0])
        range_m = truth[2] + np.hypot(*(sites_m - truth[:2]).T) + rng.normal(0.0, 3.0, 9)
        range_m[0] += 25.0
        sigma_m = np.full(9, 3.0)
        state = truth + np.array([5.0, -5.0, 3.0, 0.0])
        fit(sites_m, range_m, sigma_m, 9, 0.004, False, state)
        wanted = twins.fit_place(sites_m, range_m, sigma_m, nu=NU, speed_error_sigma=0.004, start=truth)
        # Reweighting converges linearly beside an outlier: after a last step of a decimetre a few may be left.
        assert state[:2] == pytest.approx(wanted[:2], abs=0.5)


def test_a_rough_fit_brings_the_gate_to_the_place(rng: np.random.Generator) -> None:
    for _ in range(20):
        sites_m = rng.uniform(-500.0, 500.0, (12, 2))
        truth = np.array([*rng.uniform(-300.0, 300.0, 2), rng.uniform(-20.0, 20.0), 0.0])
        range_m = truth[2] + np.hypot(*(sites_m - truth[:2]).T) + rng.normal(0.0, 3.0, 12)
        rough, fine = truth + np.array([40.0, -40.0, 10.0, 0.0]), truth.copy()
        fit(sites_m, range_m, np.full(12, 3.0), 12, 0.004, True, rough)
        fit(sites_m, range_m, np.full(12, 3.0), 12, 0.004, False, fine)
        assert np.hypot(*(rough - fine)[:2]) < 5.0


def test_arrivals_wanted_by_two_hypotheses_are_counted() -> None:
    ground = lay_out([Site(name, 300.0 * number, 0.0) for number, name in enumerate("abcd")], SETTINGS)
    results = np.zeros((2, 6))
    results[1, 5] = 3.0
    chosen = np.array([[0, 2, ABSENT, 1], [0, 2, 5, ABSENT]], dtype=np.int32)
    shared = shared_arrivals(ground, results, chosen, np.array([0, 1, 3]), np.array([0, 2, 1]))
    assert shared.tolist() == [3, 2]


def test_noise_free_ranges_give_the_place(rng: np.random.Generator) -> None:
    sites_m = rng.uniform(-500.0, 500.0, (6, 2))
    truth = np.array([40.0, -70.0, 12.0, 0.0])
    state = truth + np.array([8.0, 8.0, -4.0, 0.0])
    fit(sites_m, truth[2] + np.hypot(*(sites_m - truth[:2]).T), np.full(6, 3.0), 6, 0.004, False, state)
    # Quadratic convergence: a last step under a decimetre leaves far less than a millimetre.
    assert state[:2] == pytest.approx(truth[:2], abs=1e-3)


def test_the_nearest_sites_of_a_cell(rng: np.random.Generator) -> None:
    cells_m, sites_m = rng.uniform(0.0, 3000.0, (50, 2)), rng.uniform(0.0, 3000.0, (30, 2))
    found, distance_m = np.empty((50, 8), dtype=np.int32), np.empty((50, 8), dtype=np.float32)
    nearest_sites(cells_m, sites_m, 900.0, found, distance_m)
    wanted = twins.nearest(cells_m, sites_m, reach_m=900.0, count=8)
    assert [[site for site in row if site != NOBODY] for row in found.tolist()] == wanted


def test_cells_belong_to_their_nearest_nodes_that_are_awake() -> None:
    cell_sites = np.array([[0, 1, 2], [2, 0, 1], [1, 2, NOBODY]], dtype=np.int32)
    first, cells, ranks = pick_cells(cell_sites, np.array([0, 1, 1], dtype=np.uint8), 1)
    # Node 0 sleeps, so the next nearest looks after its cell.
    assert [cells[first[n] : first[n + 1]].tolist() for n in range(3)] == [[], [0, 2], [1]]
    assert ranks.tolist() == [1, 0, 0]


def test_seeds_beside_a_better_one_stand_behind_it() -> None:
    seeds = np.array([[0.0, 0.0, 1.0, 9.0], [50.0, 0.0, 1.01, 8.0], [100.0, 0.0, 1.0, 7.0], [0.0, 0.0, 1.2, 6.0]])
    stands_for = np.empty(4, dtype=np.int64)
    first_of_each(seeds, 75.0, 0.05, stands_for)
    assert stands_for.tolist() == [0, 0, 2, 3]


def test_who_stands_for_whom_is_as_by_comparing_all(rng: np.random.Generator) -> None:
    seeds = np.column_stack([rng.uniform(0.0, 600.0, (400, 2)), rng.integers(0, 40, 400) * 0.025, np.zeros(400)])
    stands_for = np.empty(400, dtype=np.int64)
    first_of_each(seeds, 75.0, 0.05, stands_for)
    wanted: list[int] = []
    for seed in seeds:
        apart = np.abs(seeds[: len(wanted), :3] - seed[:3])
        beside = (apart < (75.0, 75.0, 0.05)).all(axis=1) & (np.array(wanted) == np.arange(len(wanted)))
        wanted.append(int(np.flatnonzero(beside)[0]) if beside.any() else len(wanted))
    assert 10 < len(set(wanted)) < 390
    assert stands_for.tolist() == wanted
    first_of_each(seeds[:0], 75.0, 0.05, stands_for[:0])


def test_the_home_of_a_place_is_its_nearest_site(rng: np.random.Generator) -> None:
    # On a grid, so that there are many as near as each other.
    xy_m = np.array([(250.0 * i, 250.0 * j) for i in range(7) for j in range(5)])[rng.permutation(35)]
    ground = lay_out([Site(str(number), x, y) for number, (x, y) in enumerate(xy_m.tolist())], SETTINGS)
    places_m = np.concatenate([rng.uniform(-900.0, 2400.0, (200, 2)), xy_m + 125.0, xy_m])
    found = [home_of(ground, x, y) for x, y in places_m.tolist()]
    squares = ((places_m[:, None] - xy_m) ** 2).sum(axis=2)
    assert found == squares.argmin(axis=1).tolist()


def test_louder_shots_are_heard_further() -> None:
    heard, silent = audibility(SETTINGS)
    near, far = round(20.0 / STEP_M), round(1000.0 / STEP_M)
    assert np.exp(heard[near, :7]) == pytest.approx(SETTINGS.detect_probability, abs=0.01)
    assert (np.diff(heard[far, :7]) > 0.0).all()
    assert np.exp(heard[:, :7]) + np.exp(silent[:, :7]) == pytest.approx(1.0, abs=1e-6)
