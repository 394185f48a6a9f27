"""Figures of a classifier against slow, obvious twins and numbers worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, special, stats

from shotline.errors import InputError
from shotline_models import metrics
from shotline_models.metrics import (
    DISTANCE_BINS_M,
    SNR_BINS_DB,
    TEMPERATURE_RANGE,
    Curve,
    Share,
    average_precision,
    calibration,
    confusion_counts,
    det_curve,
    even_odds,
    expected_calibration_error,
    false_alarm_threshold,
    fit_temperature,
    poisson_upper_bound,
    precision_recall_curve,
    recall_at,
    recall_by_bin,
    roc_area,
    roc_curve,
    share_of,
    wilson_interval,
)

# Rounding of sums of a few hundred numbers near 1.
EXACT = 1e-9


def drawn(seed: int, count: int = 300) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Scores with many ties, shots higher than the rest on the whole."""
    rng = np.random.default_rng(seed)
    truth = rng.random(count) < 0.3
    return np.round(np.clip(rng.normal(0.4 + 0.25 * truth, 0.2), 0.0, 1.0), 2), truth


# Wilson


def test_wilson_by_hand() -> None:
    # z = 1.959964: (8 + z²/2)/(10 + z²) -+ z/(10 + z²) sqrt(8·2/10 + z²/4)
    z = 1.959963984540054
    middle, reach = (8 + z**2 / 2) / (10 + z**2), z / (10 + z**2) * math.sqrt(1.6 + z**2 / 4)
    assert wilson_interval(8, 10) == pytest.approx((middle - reach, middle + reach), abs=EXACT)
    assert wilson_interval(8, 10) == pytest.approx((0.4901625, 0.9433178), abs=1e-7)  # as printed


@pytest.mark.parametrize(("count", "of"), [(0, 1), (0, 40), (7, 7), (3, 9), (950, 1000)])
@pytest.mark.parametrize("confidence", [0.5, 0.9, 0.95, 0.999])
def test_wilson_ends_solve_the_score_equation(count: int, of: int, confidence: float) -> None:
    """An end is the true share whose own normal interval just reaches what was seen."""
    z = stats.norm.ppf(0.5 + confidence / 2)
    for end in wilson_interval(count, of, confidence=confidence):
        assert (count / of - end) ** 2 == pytest.approx(z**2 * end * (1 - end) / of, abs=EXACT)
        assert 0.0 <= end <= 1.0


def test_wilson_agrees_with_scipy() -> None:
    for count, of in ((0, 5), (2, 5), (5, 5), (61, 64)):
        other = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
        assert wilson_interval(count, of) == pytest.approx((other.low, other.high), abs=EXACT)


def test_no_trials_know_nothing() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert share_of(0, 0) == Share(0, 0, None, 0.0, 1.0)
    assert share_of(3, 4).share == 0.75


@pytest.mark.parametrize(("count", "of"), [(-1, 3), (4, 3), (1, 0)])
def test_wilson_refuses_what_is_no_count(count: int, of: int) -> None:
    with pytest.raises(InputError, match=f"{count} successes in {of} trials, expected 0 <= successes"):
        wilson_interval(count, of)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 95.0])
def test_wilson_refuses_a_confidence_in_percent(confidence: float) -> None:
    with pytest.raises(InputError, match=f"confidence: is {confidence}, expected more than 0 and less than 1"):
        wilson_interval(1, 2, confidence=confidence)


# False alarms


def test_poisson_bound() -> None:
    assert poisson_upper_bound(0) == pytest.approx(-math.log(0.05), abs=EXACT)  # the rule of three
    for events in (0, 1, 2, 17):
        bound = poisson_upper_bound(events)
        assert stats.poisson.cdf(events, bound) == pytest.approx(0.05, abs=EXACT)
    assert poisson_upper_bound(4, confidence=0.5) < poisson_upper_bound(4)


def slow_threshold(scores: NDArray[np.float64], allowed: int, floor: float) -> float:
    """Try every score, and the floor, from below."""
    for threshold in [floor, *sorted(scores)]:
        if sum(score > threshold for score in scores) <= allowed:
            return float(threshold)
    raise AssertionError


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("per_hour", [0.01, 0.5, 1.0, 7.3, 40.0, 1e4])
def test_threshold_against_trying_all(seed: int, per_hour: float) -> None:
    scores, truth = drawn(seed)
    negatives = scores[~truth]
    found = false_alarm_threshold(negatives, 2.5, per_hour=per_hour)
    assert found.threshold == slow_threshold(negatives, math.floor(per_hour * 2.5), 0.0)
    assert found.alarms == sum(score > found.threshold for score in negatives)
    assert found.alarms <= per_hour * 2.5
    assert found.shown_per_hour == found.alarms / 2.5
    assert found.upper95_per_hour == pytest.approx(poisson_upper_bound(found.alarms) / 2.5, abs=EXACT)
    assert found.resolved is (per_hour * 2.5 >= 1.0)
    assert (found.hours, found.asked_per_hour) == (2.5, per_hour)


def test_a_day_cannot_be_shown_by_two_hours() -> None:
    found = false_alarm_threshold([0.1, 0.9, 0.4], 2.0, per_hour=1 / 24)
    assert not found.resolved
    assert (found.threshold, found.alarms, found.shown_per_hour) == (0.9, 0, 0.0)
    assert found.upper95_per_hour == pytest.approx(3.0 / 2.0, rel=0.002)  # 2.9957, not 3


def test_ties_are_not_split() -> None:
    """One alarm is allowed and two onsets score the same: neither may be one."""
    found = false_alarm_threshold([0.8, 0.8, 0.2], 1.0, per_hour=1.0)
    assert (found.threshold, found.alarms, found.resolved) == (0.8, 0, True)
    assert false_alarm_threshold([0.9, 0.8, 0.8], 1.0, per_hour=1.0).alarms == 1


def test_rates_that_are_whole_counts_are_reached_whatever_the_rounding() -> None:
    hours = sum([0.1] * 3)  # 0.30000000000000004
    assert false_alarm_threshold([0.5, 0.4, 0.3, 0.2], hours, per_hour=10.0).alarms == 3
    assert false_alarm_threshold([0.5, 0.4, 0.3, 0.2], 0.3 - 1e-16, per_hour=10.0).alarms == 3


def test_few_or_no_negatives_leave_the_floor() -> None:
    assert false_alarm_threshold([0.5], 3.0, per_hour=1.0).threshold == 0.0
    none = false_alarm_threshold([], 3.0, per_hour=1.0)
    assert (none.threshold, none.alarms, none.resolved) == (0.0, 0, True)
    assert false_alarm_threshold([], 3.0, per_hour=0.1).resolved is False
    assert false_alarm_threshold([-5.0], 1.0, per_hour=2.0, floor=-9.0).threshold == -9.0


@pytest.mark.parametrize("hours", [0.0, -1.0, math.nan, math.inf])
def test_no_hours_no_rate(hours: float) -> None:
    with pytest.raises(InputError, match=f"hours: is {hours}, expected a finite number above 0"):
        false_alarm_threshold([0.5], hours, per_hour=1.0)


def test_no_rate_asked_for() -> None:
    with pytest.raises(InputError, match=r"per_hour: is 0\.0, expected a finite number above 0"):
        false_alarm_threshold([0.5], 1.0, per_hour=0.0)


def test_scores_below_the_floor_are_refused() -> None:
    with pytest.raises(InputError, match=r"negative_scores: holds -0\.2, expected nothing below the floor of 0;"):
        false_alarm_threshold([0.5, -0.2], 1.0, per_hour=1.0)


# Curves


def slow_curve(scores: NDArray[np.float64], truth: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Count (hits, alarms) at every score, and below all."""
    points = []
    for threshold in [*sorted(set(scores.tolist()), reverse=True), -1.0]:
        hits = sum(bool(score > threshold and shot) for score, shot in zip(scores, truth, strict=True))
        alarms = sum(bool(score > threshold and not shot) for score, shot in zip(scores, truth, strict=True))
        points.append((hits, alarms))
    return points


@pytest.mark.parametrize("seed", range(4))
def test_curves_against_counting(seed: int) -> None:
    scores, truth = drawn(seed)
    points = slow_curve(scores, truth)
    shots, negatives = int(truth.sum()), int((~truth).sum())
    roc, det, pr = roc_curve(scores, truth), det_curve(scores, truth), precision_recall_curve(scores, truth)
    assert roc.x == pytest.approx([alarms / negatives for _, alarms in points], abs=EXACT)
    assert roc.y == pytest.approx([hits / shots for hits, _ in points], abs=EXACT)
    assert det.x == roc.x
    assert det.y == pytest.approx([1.0 - hits / shots for hits, _ in points], abs=EXACT)
    assert pr.x == pytest.approx([hits / shots for hits, _ in points[1:]], abs=EXACT)
    assert pr.y == pytest.approx([hits / (hits + alarms) for hits, alarms in points[1:]], abs=EXACT)
    for curve in (roc, det):
        for threshold, x in zip(curve.threshold, curve.x, strict=True):
            assert np.count_nonzero(scores[~truth] > threshold) / negatives == pytest.approx(x, abs=EXACT)
    for threshold, x in zip(pr.threshold, pr.x, strict=True):
        assert np.count_nonzero(scores[truth] > threshold) / shots == pytest.approx(x, abs=EXACT)


def test_curves_by_hand() -> None:
    scores, truth = [0.9, 0.8, 0.8, 0.1], np.array([True, True, False, False])
    roc = roc_curve(scores, truth)
    assert roc.x == (0.0, 0.0, 0.5, 1.0)
    assert roc.y == (0.0, 0.5, 1.0, 1.0)
    assert roc.threshold[:3] == (0.9, 0.8, 0.1)
    assert roc.threshold[3] < 0.1
    assert precision_recall_curve(scores, truth).y == (1.0, 2 / 3, 0.5)
    assert roc_area(scores, truth) == pytest.approx(0.875, abs=EXACT)
    assert average_precision(scores, truth) == pytest.approx(0.5 * 1.0 + 0.5 * 2 / 3, abs=EXACT)


@pytest.mark.parametrize("seed", range(4))
def test_areas_against_all_pairs(seed: int) -> None:
    scores, truth = drawn(seed, 120)
    pairs = [
        1.0 if shot > other else 0.5 if shot == other else 0.0 for shot in scores[truth] for other in scores[~truth]
    ]
    assert roc_area(scores, truth) == pytest.approx(np.mean(pairs), abs=EXACT)
    precisions = []
    for shot in scores[truth]:
        above = scores >= shot
        precisions.append(np.count_nonzero(truth & above) / np.count_nonzero(above))
    assert average_precision(scores, truth) == pytest.approx(np.mean(precisions), abs=EXACT)


@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
@settings(max_examples=60, deadline=None)
def test_order_and_scale_do_not_matter(items: list[tuple[int, bool]]) -> None:
    scores, truth = np.array([item[0] for item in items]) / 6, np.array([item[1] for item in items])
    assert roc_curve(scores[::-1], truth[::-1]) == roc_curve(scores, truth)
    other = roc_curve(np.exp(3.0 * scores), truth)
    assert (other.x, other.y) == (roc_curve(scores, truth).x, roc_curve(scores, truth).y)
    area, flipped = roc_area(scores, truth), roc_area(-scores, truth)
    if area is not None and flipped is not None:
        assert area + flipped == pytest.approx(1.0, abs=EXACT)


def test_a_thinned_curve_keeps_its_ends_and_its_start_dense() -> None:
    rng = np.random.default_rng(3)
    scores, truth = rng.random(20_000), rng.random(20_000) < 0.5
    whole, thin = roc_curve(scores, truth, most=10**6), roc_curve(scores, truth)
    assert len(thin.x) <= 400 < len(whole.x)
    assert (thin.x[0], thin.y[0], thin.x[-1], thin.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    assert thin.threshold[:5] == whole.threshold[:5]
    points = dict(zip(whole.threshold, zip(whole.x, whole.y, strict=True), strict=True))
    assert all(points[t] == (x, y) for t, x, y in zip(thin.threshold, thin.x, thin.y, strict=True))
    assert len(roc_curve(scores, truth, most=2).x) == 2
    with pytest.raises(InputError, match="most: is 1, expected 2 or more"):
        roc_curve(scores, truth, most=1)


def test_curves_that_are_not_defined() -> None:
    yes, no = np.array([True, True]), np.array([False, False])
    for truth in (yes, no):
        assert roc_curve([0.1, 0.2], truth) == Curve()
        assert det_curve([0.1, 0.2], truth) == Curve()
        assert roc_area([0.1, 0.2], truth) is None
    assert average_precision([0.1, 0.2], no) is None
    assert precision_recall_curve([0.1, 0.2], no) == Curve()
    assert average_precision([0.1, 0.2], yes) == 1.0
    assert precision_recall_curve([0.1, 0.2], yes).y == (1.0, 1.0)
    assert roc_curve([], []) == precision_recall_curve([], []) == Curve()
    assert roc_area([], []) is None
    assert average_precision([], []) is None


# Recall


def test_missed_shots_count_against_recall() -> None:
    found = recall_at([0.9, 0.5, 0.2], 0.5, missed=1)
    assert (found.count, found.of, found.share) == (1, 4, 0.25)
    assert (found.low95, found.high95) == wilson_interval(1, 4)
    assert recall_at([], 0.5).share is None
    assert recall_at([], 0.5, missed=2).share == 0.0


def test_recall_by_distance() -> None:
    found = recall_by_bin(
        [0.9, 0.1, 0.8, 0.7], [0.0, 199.9, 200.0, 900.0], 0.5, bins=DISTANCE_BINS_M, missed_values=[600.0, 450.0]
    )
    assert [(item.low, item.high) for item in found] == list(DISTANCE_BINS_M)
    assert [(item.share.count, item.share.of) for item in found] == [(1, 2), (1, 1), (0, 1), (1, 2)]


def test_recall_by_snr_with_an_empty_bin() -> None:
    found = recall_by_bin([0.9, 0.1], [-3.0, 40.0], 0.5, bins=SNR_BINS_DB)
    assert [item.share.share for item in found] == [1.0, None, None, 0.0]


@pytest.mark.parametrize(
    ("values", "missed", "bins", "words"),
    [
        ([1.0], [], DISTANCE_BINS_M, "values: 1 values for 2 scores, expected one each"),
        ([1.0, -2.0], [], DISTANCE_BINS_M, "values: -2 at 1 is in 0 bins, expected one"),
        ([1.0, 2.0], [-2.0], DISTANCE_BINS_M, "missed_values: -2 at 0 is in 0 bins, expected one"),
        ([1.0, 2.0], [], ((None, 2.0), (0.0, None)), "values: 1 at 0 is in 2 bins, expected one"),
    ],
)
def test_a_shot_is_never_left_out_in_silence(
    values: list[float], missed: list[float], bins: tuple[metrics.Bin, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        recall_by_bin([0.5, 0.6], values, 0.5, bins=bins, missed_values=missed)


# Confusion


def test_confusion() -> None:
    truth, called = [0, 0, 2, 1, 2], [0, 1, 2, 1, 0]
    counts = confusion_counts(truth, called, n_kinds=3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [1, 0, 1]]
    assert confusion_counts([], [], n_kinds=2).tolist() == [[0, 0], [0, 0]]


@pytest.mark.parametrize(
    ("truth", "called", "words"),
    [
        ([0, 3], [0, 1], "truth: holds 0 to 3, expected 0 to 2"),
        ([0, 1], [-1, 1], "called: holds -1 to 1, expected 0 to 2"),
        ([0.5], [1], "truth: float64 of shape .1,., expected integers"),
        ([0, 1], [1], "called: 1 calls for 2 truths"),
    ],
)
def test_confusion_refuses_what_is_no_kind(truth: list[int], called: list[int], words: str) -> None:
    with pytest.raises(InputError, match=words):
        confusion_counts(truth, called, n_kinds=3)


# Calibration


def test_calibration_by_hand() -> None:
    found = calibration([0.1, 0.3, 0.9, 0.9, 1.0], np.array([False, True, True, False, True]), bins=2)
    low, high = found.bins
    assert (low.low, low.high, high.low, high.high) == (0.0, 0.5, 0.5, 1.0)
    assert low.mean_probability == pytest.approx(0.2, abs=EXACT)
    assert high.mean_probability == pytest.approx(2.8 / 3, abs=EXACT)
    assert (low.observed, high.observed) == (share_of(1, 2), share_of(2, 3))
    expected = 2 / 5 * abs(0.5 - 0.2) + 3 / 5 * abs(2 / 3 - 2.8 / 3)
    assert found.error == pytest.approx(expected, abs=EXACT)
    assert (
        expected_calibration_error([0.1, 0.3, 0.9, 0.9, 1.0], [False, True, True, False, True], bins=2) == found.error
    )


@pytest.mark.parametrize("seed", range(3))
def test_calibration_against_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    stated = rng.random(500)
    came = rng.random(500) < stated**2
    total = 0.0
    for index in range(15):
        inside = [(p, c) for p, c in zip(stated, came, strict=True) if index / 15 <= p < (index + 1) / 15]
        total += abs(sum(c for _, c in inside) - sum(p for p, _ in inside)) / 500
    found = calibration(stated, came)
    assert found.error == pytest.approx(total, abs=EXACT)
    assert sum(item.observed.of for item in found.bins) == 500
    assert len(found.bins) == 15


def test_a_bin_has_its_lower_end_and_the_last_has_both() -> None:
    found = calibration([0.0, 0.25, 0.5, 1.0], [False] * 4, bins=4)
    assert [item.observed.of for item in found.bins] == [1, 1, 1, 1]
    assert calibration([0.0, 1.0], [False, True]).error == 0.0
    empty = calibration([], [])
    assert empty.error is None
    assert all(item.mean_probability is None and item.observed.share is None for item in empty.bins)


def test_calibration_refuses_logits() -> None:
    with pytest.raises(InputError, match=r"probability: holds 1\.5, expected 0 to 1; give probabilities"):
        calibration([0.5, 1.5], [True, True])
    with pytest.raises(InputError, match="bins: is 0, expected 1 or more"):
        calibration([0.5], [True], bins=0)


def test_a_weight_counts_as_so_many_examples() -> None:
    """All but the interval: an example of weight 9 is one look, not nine."""
    stated = np.array([0.1, 0.3, 0.7, 0.9, 0.9, 1.0])
    came, weights = np.array([False, True, False, True, True, False]), np.array([3, 9, 3, 9, 9, 3])
    found = calibration(stated, came, weights=weights, bins=3)
    slow = calibration(np.repeat(stated, weights), np.repeat(came, weights), bins=3)
    assert found.error == pytest.approx(slow.error, abs=EXACT)
    for one, other in zip(found.bins, slow.bins, strict=True):
        assert one.mean_probability == pytest.approx(other.mean_probability, abs=EXACT)
        assert one.weight == pytest.approx(other.weight, abs=EXACT)
        assert one.observed.share == pytest.approx(other.observed.share, abs=EXACT)
    assert [(item.observed.count, item.observed.of) for item in found.bins] == [(1, 2), (0, 0), (2, 4)]
    assert expected_calibration_error(stated, came, weights=weights, bins=3) == found.error
    assert calibration(stated, came, weights=np.full(6, 0.25), bins=3) == calibration(stated, came, bins=3)


def test_weights_of_what_happened_move_the_odds_of_an_interval() -> None:
    came = np.array([True, False, False, False, False])
    (found,) = calibration([0.5] * 5, came, weights=np.where(came, 4.0, 0.5), bins=1).bins
    counted = share_of(1, 5)
    for moved, end in ((found.observed.low95, counted.low95), (found.observed.high95, counted.high95)):
        assert moved / (1.0 - moved) == pytest.approx(8.0 * end / (1.0 - end), rel=EXACT)
    # Nothing of a bin came true, but what did elsewhere says what it would have weighed.
    low, _ = calibration([0.1, 0.1, 0.9], [False, False, True], weights=[1.0, 1.0, 20.0], bins=2).bins
    end = share_of(0, 2).high95
    assert low.observed.low95 == low.observed.share == 0.0
    assert low.observed.high95 == pytest.approx(20.0 * end / (20.0 * end + 1.0 - end), rel=EXACT)


def test_other_weights_leave_an_interval_open() -> None:
    for weights in ([1.0, 2.0, 1.0], [1.0, 1.0, 0.0]):
        (found,) = calibration([0.2] * 3, [True, False, False], weights=weights, bins=1).bins
        assert (found.observed.low95, found.observed.high95) == (0.0, 1.0)


def test_what_weighs_nothing_is_not_there() -> None:
    low, high = calibration([0.1, 0.9, 0.9], [False, True, True], weights=[0.0, 2.0, 2.0], bins=2).bins
    assert (low.weight, low.mean_probability, low.observed) == (0.0, None, Share(0, 1, None, 0.0, 1.0))
    assert (high.weight, high.mean_probability, high.observed.share) == (1.0, 0.9, 1.0)
    assert calibration([], [], weights=[]).error is None


def test_intervals_at_even_odds_hold_what_is_so() -> None:
    """Sixteen times as rare as at even odds: what is stated at 0.35 comes true in 3 % of the onsets."""
    rng = np.random.default_rng(4)
    stated, odds_here = np.append(np.full(150, 0.35), 1.0), 0.35 / 0.65 / 16
    inside = 0
    for _ in range(400):
        came = np.append(rng.random(150) < odds_here / (1.0 + odds_here), True)
        seen = calibration(stated, came, weights=np.where(came, 16.0, 1.0), bins=10).bins[3].observed
        inside += seen.low95 <= 0.35 <= seen.high95
    # 380 are expected, with a standard deviation of 4.4.
    assert inside >= 367


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ([1.0, np.nan], "weights: 1 of 2 are not finite numbers"),
        ([1.0, -1.0], "weights: hold a negative number, or only zeros; expected 0 or more and one above 0"),
        ([0.0, 0.0], "weights: hold a negative number, or only zeros"),
        ([1.0], "weights: 1 values for 2 scores, expected one each"),
    ],
)
def test_weights_that_are_none(weights: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        calibration([0.1, 0.9], [False, True], weights=weights)


def test_even_odds() -> None:
    truth = np.array([True, False, False, False, False])
    weights = even_odds(truth)
    assert weights[truth].sum() == weights[~truth].sum() == 0.5
    assert weights.tolist() == [0.5, 0.125, 0.125, 0.125, 0.125]
    assert even_odds(truth[1:]).sum() == even_odds(truth[:1]).sum() == 0.5
    assert even_odds([]).size == 0
    with pytest.raises(InputError, match=r"truth: int64 of shape \(2,\), expected bool"):
        even_odds([1, 0])


# Temperature


def over_sure(temperature: float, count: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    rng = np.random.default_rng(11)
    logits = rng.normal(0.0, 2.0, (count, 4))
    chance = special.softmax(logits, axis=1)
    truth = np.array([rng.choice(4, p=row) for row in chance])
    return logits * temperature, truth


def negative_log_likelihood(
    temperature: float, logits: NDArray[np.float64], truth: NDArray[np.int64], weights: NDArray[np.float64]
) -> float:
    chosen = special.log_softmax(logits / temperature, axis=1)[np.arange(len(truth)), truth]
    return float(-np.sum(weights * chosen))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_against_a_search(temperature: float) -> None:
    logits, truth = over_sure(temperature)
    weights = np.random.default_rng(5).random(len(truth))
    slow = optimize.minimize_scalar(
        negative_log_likelihood,
        bounds=(0.1, 9.0),
        args=(logits, truth, weights),
        method="bounded",
        options={"xatol": 1e-9},
    ).x
    # A search by values alone finds a minimum to the square root of rounding only.
    assert fit_temperature(logits, truth, weights) == pytest.approx(slow, rel=1e-6)
    # 4000 draws tell the temperature to about 2 %; three times that.
    assert fit_temperature(logits, truth) == pytest.approx(temperature, rel=0.06)


def test_temperature_by_hand() -> None:
    """Three of four are right by a logit of 2: the odds 3 are exp(2 / T)."""
    logits = [[2.0, 0.0]] * 4
    assert fit_temperature(logits, [0, 0, 0, 1]) == pytest.approx(2.0 / math.log(3.0), abs=EXACT)
    assert fit_temperature(logits[:2], [0, 1], [3.0, 1.0]) == pytest.approx(2.0 / math.log(3.0), abs=EXACT)
    assert fit_temperature(np.array(logits) + 1e3, [0, 0, 0, 1]) == pytest.approx(2.0 / math.log(3.0), abs=EXACT)


def test_temperature_stays_in_its_range() -> None:
    assert fit_temperature([[9.0, 0.0], [0.0, 9.0]], [0, 1]) == TEMPERATURE_RANGE[0]
    assert fit_temperature([[9.0, 0.0], [0.0, 9.0]], [1, 0]) == TEMPERATURE_RANGE[1]
    assert fit_temperature([[0.0, 0.0]], [1]) == 1.0


@pytest.mark.parametrize(
    ("logits", "truth", "weights", "words"),
    [
        ([1.0, 2.0], [0, 1], None, r"logits: shape \(2,\), expected \(n, n_kinds\)"),
        (np.zeros((0, 3)), [], None, r"logits: shape \(0, 3\), expected \(n, n_kinds\) with n of 1 or more"),
        ([[1.0, math.nan]], [0], None, "logits: 1 of 2 are not finite numbers, the first at 0, 1 is nan"),
        ([[1.0, 2.0]], [2], None, "truth: holds 2 to 2, expected 0 to 1"),
        ([[1.0, 2.0]], [0, 1], None, "truth: 2 values for 1 scores"),
        ([[1.0, 2.0]], [0], [1.0, 1.0], "weights: 2 values for 1 scores"),
        ([[1.0, 2.0]], [0], [0.0], "weights: hold a negative number, or only zeros"),
        ([[1.0, 2.0], [1.0, 2.0]], [0, 1], [-1.0, 2.0], "weights: hold a negative number"),
    ],
)
def test_temperature_refuses(logits: list[list[float]], truth: list[int], weights: list[float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        fit_temperature(logits, truth, weights)


# What every one refuses


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda scores: roc_curve(scores, [True, False]), "scores"),
        (lambda scores: det_curve(scores, [True, False]), "scores"),
        (lambda scores: precision_recall_curve(scores, [True, False]), "scores"),
        (lambda scores: roc_area(scores, [True, False]), "scores"),
        (lambda scores: average_precision(scores, [True, False]), "scores"),
        (lambda scores: calibration(scores, [True, False]), "probability"),
        (lambda scores: recall_at(scores, 0.5), "gunshot_scores"),
        (lambda scores: recall_by_bin([0.1, 0.2], scores, 0.5, bins=DISTANCE_BINS_M), "values"),
        (lambda scores: false_alarm_threshold(scores, 1.0, per_hour=1.0), "negative_scores"),
    ],
)
def test_numbers_that_are_none_are_refused(call: Callable[[list[float]], object], field: str, bad: float) -> None:
    with pytest.raises(
        InputError, match=rf"^{field}: 1 of 2 are not finite numbers, the first at 1 is {bad}; expected"
    ):
        call([0.5, bad])


def test_shapes_and_types_are_refused() -> None:
    with pytest.raises(InputError, match=r"scores: shape \(1, 2\), expected one dimension"):
        roc_curve([[0.1, 0.2]], [True])
    with pytest.raises(InputError, match="truth: 1 values for 2 scores, expected one each"):
        roc_curve([0.1, 0.2], [True])
    with pytest.raises(InputError, match=r"truth: int64 of shape \(2,\), expected bool"):
        roc_area([0.1, 0.2], [1, 0])
