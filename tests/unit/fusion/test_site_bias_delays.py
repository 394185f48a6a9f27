"""Excess delays learned from known places: beside a slow twin, and what must hold whatever is learned."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion_server.sitebias import AirErrors, ControlRows, DelayScales, PathDelays
from fusion_server.sitebias.evidence import Solver
from fusion_server.sitebias.learn import LearnSettings, learn_delays, leave_out
from shotline.errors import InputError

SPEED_MPS = 340.0
AIR = AirErrors(SPEED_MPS)
SCALES = DelayScales(
    constant_s=0.001, direction_s=0.002, direction_rad=0.8, place_s=0.0015, place_m=150.0, scatter_s=0.0012
)
FloatArray = NDArray[np.float64]


SITE_SIGMA_M = 0.4


def twin_covariance(scales: DelayScales, one_m: FloatArray, other_m: FloatArray, site_m: FloatArray) -> FloatArray:
    """The covariance as its formula has it, by angles."""
    angle = np.arctan2(one_m[:, 1] - site_m[1], one_m[:, 0] - site_m[0])
    other_angle = np.arctan2(other_m[:, 1] - site_m[1], other_m[:, 0] - site_m[0])
    turned = np.cos(angle[:, None] - other_angle[None])
    apart_m = np.linalg.norm(one_m[:, None] - other_m[None], axis=2)
    covariance: FloatArray = (
        scales.constant_s**2
        + (SITE_SIGMA_M / SPEED_MPS) ** 2 * turned
        + scales.direction_s**2 * np.exp((turned - 1.0) / scales.direction_rad**2)
        + scales.place_s**2 * np.exp(-apart_m / scales.place_m)
    )
    return covariance


def made_up(
    seed: int, *, nodes: int = 8, places: int = 12, moved_m: float = 0.0, place_sigma_m: float = 1.0
) -> tuple[ControlRows, FloatArray, FloatArray]:
    """Return rows of nodes whose survey is off, the sites as they are, and each row's true excess delay."""
    rng = np.random.default_rng([seed, 88])
    site_m = rng.uniform(-500.0, 500.0, (nodes, 2))
    place_m = rng.uniform(-500.0, 500.0, (places, 2))
    surveyed_m = site_m + rng.normal(0.0, moved_m, (nodes, 2))
    pairs = [(place, node) for place in range(places) for node in range(nodes) if (place + node) % 5]
    place, node = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    true_s = np.hypot(*(place_m[place] - site_m[node]).T) / SPEED_MPS
    said_s = np.hypot(*(place_m[place] - surveyed_m[node]).T) / SPEED_MPS
    rows = ControlRows(
        site_m=surveyed_m,
        site_sigma_m=np.full(nodes, SITE_SIGMA_M),
        place_m=place_m,
        place_sigma_m=np.full(places, place_sigma_m),
        air=np.arange(places, dtype=np.int64) // 3,
        place=place,
        node=node,
        delay_s=true_s - said_s + rng.normal(0.0, 3.0, places)[place],
        variance_s2=np.full(len(pairs), 1e-8),
    )
    return rows, site_m, true_s - said_s


def prior_s2(delays: PathDelays) -> float:
    return delays.scales.prior_variance_s2 + (SITE_SIGMA_M / SPEED_MPS) ** 2


def names(rows: ControlRows) -> tuple[str, ...]:
    return tuple(f"n{number}" for number in range(len(rows.site_m)))


def dense(rows: ControlRows, scales: DelayScales, share: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return covariances of all rows: of the excess delays, of the nuisances, and of the noise."""
    same_node = rows.node[:, None] == rows.node[None]
    excess = np.zeros((len(rows), len(rows)))
    at_m = rows.place_m[rows.place]
    for node in range(len(rows.site_m)):
        excess += twin_covariance(scales, at_m, at_m, rows.site_m[node]) * (same_node & (rows.node == node)[:, None])
    away_m = at_m - rows.site_m[rows.node]
    length_m = np.linalg.norm(away_m, axis=1)
    airs = [
        AIR.speed_error_sigma * length_m / SPEED_MPS,
        *(AIR.wind_error_sigma_mps * away_m / SPEED_MPS**2).T,
    ]
    places = [
        np.full(len(rows), 10.0),
        *(away_m / length_m[:, None] / SPEED_MPS * rows.place_sigma_m[rows.place][:, None]).T,
    ]
    through = rows.air[rows.place]
    nuisance = sum(np.outer(part, part) for part in airs) * (through[:, None] == through[None])
    nuisance = nuisance + sum(np.outer(part, part) for part in places) * (rows.place[:, None] == rows.place[None])
    return excess, nuisance, np.diag(rows.variance_s2 + scales.scatter_s**2 / share)


def test_likelihood_and_predictions_are_those_of_one_dense_normal() -> None:
    rows, _, _ = made_up(1, nodes=5, places=6, moved_m=2.0)
    share = np.linspace(0.3, 1.0, len(rows))
    excess, nuisance, noise = dense(rows, SCALES, share)
    total = excess + nuisance + noise
    solved = Solver(rows, AIR).solve(SCALES, share)
    expected = -0.5 * (rows.delay_s @ np.linalg.solve(total, rows.delay_s) + np.linalg.slogdet(total)[1])
    # The offset's variance of 100 s² beside a scatter of 1e-6 s² costs the dense twin eight digits.
    assert Solver(rows, AIR).log_likelihood(SCALES, share) == pytest.approx(expected, abs=1e-4)
    told = nuisance @ np.linalg.solve(total, rows.delay_s)
    assert solved.delay_s == pytest.approx(rows.delay_s - told, abs=1e-9)
    for row in (0, 7, len(rows) - 1):
        others = np.arange(len(rows)) != row
        gain = np.linalg.solve(total[np.ix_(others, others)], total[others, row])
        assert solved.left_out_s[row] == pytest.approx(rows.delay_s[row] - gain @ rows.delay_s[others], abs=1e-8)
        variance_s2 = total[row, row] - gain @ total[others, row]
        assert solved.left_out_s2[row] == pytest.approx(variance_s2, rel=1e-4)


def test_an_answer_is_the_mean_of_the_joint_process() -> None:
    rows, _, _ = made_up(2, nodes=5, places=7, moved_m=2.0)
    found = learn_delays(rows, names(rows), LearnSettings(AIR))
    # Its noise, row by row, in the order of the rows given.
    order = np.lexsort((rows.place, rows.node))
    noise_s2 = np.empty(len(rows))
    noise_s2[order] = found.noise_s2
    excess, nuisance, _ = dense(rows, found.scales, np.ones(len(rows)))
    total = excess + nuisance + np.diag(noise_s2)
    asked_m = np.array([[120.0, -80.0], [900.0, 400.0]])
    for node in range(5):
        own = rows.node == node
        near = np.zeros((2, len(rows)))
        near[:, own] = twin_covariance(found.scales, asked_m, rows.place_m[rows.place[own]], rows.site_m[node])
        mean_s, variance_s2 = found.at(node, asked_m[:, 0], asked_m[:, 1])
        assert mean_s == pytest.approx(near @ np.linalg.solve(total, rows.delay_s), abs=1e-8)
        exact_s2 = found.scales.prior_variance_s2 - np.einsum("ij,ij->i", near, np.linalg.solve(total, near.T).T)
        # What the offsets of all places have in common moves all nodes alike and no fix: it is not counted.
        assert (variance_s2 > 0.6 * exact_s2).all()
        assert (variance_s2 <= prior_s2(found)).all()


def test_far_from_what_was_learned_it_knows_no_more_than_before() -> None:
    rows, _, _ = made_up(3, moved_m=3.0)
    found = learn_delays(rows, names(rows), LearnSettings(AIR))
    mean_s, variance_s2 = found.at(-1, np.array([0.0, 50.0]), 10.0)
    assert mean_s.tolist() == [0.0, 0.0]
    assert variance_s2 == pytest.approx(found.scales.prior_variance_s2, rel=1e-12)
    assert found.number_of("n3") == 3
    assert found.number_of("elsewhere") == -1
    silent = dataclasses.replace(
        rows,
        site_m=np.vstack([rows.site_m, [[7.0, 7.0]]]),
        site_sigma_m=np.append(rows.site_sigma_m, SITE_SIGMA_M),
    )
    deaf = learn_delays(silent, names(silent), LearnSettings(AIR))
    mean_s, variance_s2 = deaf.at(len(rows.site_m), 30.0, -40.0)
    assert float(mean_s) == 0.0
    assert float(variance_s2) == pytest.approx(prior_s2(deaf), rel=1e-12)


def test_a_wrong_survey_is_learned_and_serves_places_never_heard() -> None:
    errors = []
    for seed in range(4):
        rows, site_m, _ = made_up(seed, places=25, moved_m=3.0, place_sigma_m=0.1)
        found = learn_delays(rows, names(rows), LearnSettings(AIR))
        rng = np.random.default_rng(seed)
        asked_m = rng.uniform(-400.0, 400.0, (40, 2))
        wanted_s = np.array(
            [
                (np.hypot(*(asked_m - true).T) - np.hypot(*(asked_m - said).T)) / SPEED_MPS
                for true, said in zip(site_m, rows.site_m, strict=True)
            ]
        )
        told_s = np.array([found.at(node, asked_m[:, 0], asked_m[:, 1])[0] for node in range(len(site_m))])
        # What all nodes share at a place is an offset, and no error of a fix.
        left, before = ((item - item.mean(axis=0)).std() for item in (wanted_s - told_s, wanted_s))
        errors.append(left / before)
    # 3 m over 340 m/s is 9 ms; a sixth of it is left on the whole, a shift of the network, air and places being free.
    assert max(errors) < 0.35
    assert np.mean(errors) < 0.25


def test_offsets_of_places_do_not_matter_and_neither_does_the_order() -> None:
    rows, _, _ = made_up(5, moved_m=2.0)
    settings = LearnSettings(AIR)
    found = learn_delays(rows, names(rows), settings)
    moved = dataclasses.replace(rows, delay_s=rows.delay_s + np.linspace(-2.0, 2.0, rows.n_places)[rows.place])
    again = learn_delays(moved, names(rows), settings, start=found.scales)
    once = learn_delays(rows, names(rows), settings, start=found.scales)
    # The search for the scales stops at a relative gain of 1e-6: they agree to per mille, and delays to microseconds.
    assert once.at(3, 60.0, 70.0)[0] == pytest.approx(again.at(3, 60.0, 70.0)[0], abs=2e-5)
    turned = np.arange(len(rows))[::-1]
    other = rows.rows(np.ones(len(rows), dtype=np.bool_))
    shuffled = dataclasses.replace(
        other,
        place=rows.place[turned],
        node=rows.node[turned],
        delay_s=rows.delay_s[turned],
        variance_s2=rows.variance_s2[turned],
    )
    same = learn_delays(shuffled, names(rows), settings)
    assert same.at(3, 60.0, 70.0)[0] == pytest.approx(found.at(3, 60.0, 70.0)[0], abs=2e-5)


def test_one_echo_among_the_rows_counts_for_little() -> None:
    rows, _, _ = made_up(6, places=20, moved_m=1.0)
    found = learn_delays(rows, names(rows), LearnSettings(AIR))
    delay_s = rows.delay_s.copy()
    delay_s[40] += 0.08
    late = learn_delays(dataclasses.replace(rows, delay_s=delay_s), names(rows), LearnSettings(AIR))
    node, place_m = int(rows.node[40]), rows.place_m[rows.place[40]]
    moved_s = float(late.at(node, *place_m)[0] - found.at(node, *place_m)[0])
    # 80 ms, of which a tenth would be the share of one row among ten.
    assert abs(moved_s) < 0.004


def test_what_is_left_out_is_not_learned_from() -> None:
    rows, _, _ = made_up(7, places=9, moved_m=2.0)
    settings = LearnSettings(AIR, most_steps=5)
    start = learn_delays(rows, names(rows), settings).scales
    told: list[tuple[int, int]] = []
    folds = list(leave_out(rows, names(rows), settings, start=start, progress=lambda *done: told.append(done)))
    assert sorted(np.concatenate([fold.places for fold in folds]).tolist()) == list(range(9))
    assert told[-1] == (9, 9)
    for fold in folds:
        assert not set(fold.delays.place.tolist()) & set(fold.places.tolist())
        kept = rows.without(fold.places)
        spoiled = dataclasses.replace(
            rows, delay_s=np.where(np.isin(rows.place, fold.places), 5.0, rows.delay_s)
        ).without(fold.places)
        assert np.array_equal(kept.delay_s, spoiled.delay_s)
    together = list(leave_out(rows, names(rows), settings, start=start, most_folds=2))
    assert [fold.places.tolist() for fold in together] == [[0, 2, 4, 6, 8], [1, 3, 5, 7]]


def test_seen_from_its_own_site_there_is_no_direction_and_no_nan() -> None:
    rows, _, _ = made_up(8, moved_m=1.0)
    found = learn_delays(rows, names(rows), LearnSettings(AIR))
    mean_s, variance_s2 = found.at(2, *rows.site_m[2])
    assert math.isfinite(float(mean_s))
    assert 0.0 < float(variance_s2) <= prior_s2(found)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"delay_s": lambda rows: np.full(len(rows), np.nan)}, "not finite"),
        ({"node": lambda rows: rows.node + 100}, "expected .* indices from 0 to 7"),
        ({"place": lambda rows: rows.place * 0}, "two rows of one place"),
        ({"variance_s2": lambda rows: -rows.variance_s2}, "negative"),
        ({"variance_s2": lambda rows: rows.variance_s2[1:]}, "values, expected"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, object], said: str) -> None:
    rows, _, _ = made_up(9)
    changed = {name: make(rows) for name, make in change.items()}  # type: ignore[operator]
    with pytest.raises(InputError, match=said):
        learn_delays(dataclasses.replace(rows, **changed), names(rows), LearnSettings(AIR))


def test_nothing_to_learn_from_is_refused() -> None:
    rows, _, _ = made_up(9)
    with pytest.raises(InputError, match="no rows"):
        learn_delays(rows.of(np.array([], dtype=np.int64)), names(rows), LearnSettings(AIR))
    with pytest.raises(InputError, match="1 names for 8 nodes"):
        learn_delays(rows, ("n0",), LearnSettings(AIR))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"first": np.array([0, 1, 3])}, "do not fit"),
        ({"place": np.array([0, 2])}, "do not fit"),
        ({"scales": dataclasses.replace(SCALES, place_m=0.0)}, "scale of path delays is not positive"),
        ({"noise_s2": np.array([-1.0, 1e-6])}, "variance of path delays is not positive"),
        ({"unsure_s2": np.array([-1.0, 1e-6])}, "variance of path delays is not positive"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(change: dict[str, object], said: str) -> None:
    whole = PathDelays(
        nodes=("a", "b"),
        site_m=np.zeros((2, 2)),
        survey_s=np.zeros(2),
        first=np.array([0, 1, 2]),
        place=np.array([0, 1]),
        place_m=np.array([[10.0, 0.0], [0.0, 10.0]]),
        delay_s=np.array([0.001, 0.002]),
        noise_s2=np.array([1e-6, 1e-6]),
        unsure_s2=np.zeros(2),
        scales=SCALES,
    )
    with pytest.raises(InputError, match=said):
        dataclasses.replace(whole, **change)  # type: ignore[arg-type]
