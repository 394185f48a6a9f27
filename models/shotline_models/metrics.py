"""What a classifier is worth, in numbers: false alarms, recall, curves, confusion, calibration. Pure.

A score is higher the more an onset looks like a gunshot; an onset is an **alarm** where its score is *above* the
threshold. `docs/evaluation.md` says what each figure means.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import gammaincinv, softmax

from shotline.errors import InputError

__all__ = [
    "CALIBRATION_BINS",
    "DISTANCE_BINS_M",
    "SNR_BINS_DB",
    "TEMPERATURE_RANGE",
    "Bin",
    "BinShare",
    "Calibration",
    "CalibrationBin",
    "Curve",
    "FalseAlarmThreshold",
    "Share",
    "average_precision",
    "calibration",
    "confusion_counts",
    "det_curve",
    "even_odds",
    "expected_calibration_error",
    "false_alarm_threshold",
    "fit_temperature",
    "poisson_upper_bound",
    "precision_recall_curve",
    "recall_at",
    "recall_by_bin",
    "roc_area",
    "roc_curve",
    "share_of",
    "wilson_interval",
]

Bin = tuple[float | None, float | None]
"""Lower end, upper end; None is no end."""

DISTANCE_BINS_M: tuple[Bin, ...] = ((0.0, 200.0), (200.0, 400.0), (400.0, 600.0), (600.0, None))
"""From source to microphone; each with its lower end, without its upper."""
SNR_BINS_DB: tuple[Bin, ...] = ((None, 20.0), (20.0, 30.0), (30.0, 40.0), (40.0, None))
CALIBRATION_BINS = 15
TEMPERATURE_RANGE = (0.05, 20.0)
_CONFIDENCE = 0.95
_MOST_POINTS = 400


@dataclass(frozen=True, slots=True)
class Share:
    """A share of a count.

    Parameters
    ----------
    count, of : int
    share : float | None
        None where there was nothing to count.
    low95, high95 : float
        Wilson interval.
    """

    count: int
    of: int
    share: float | None
    low95: float
    high95: float


@dataclass(frozen=True, slots=True)
class BinShare:
    """The share in one bin, from ``low`` up to but without ``high``; None is no end."""

    low: float | None
    high: float | None
    share: Share


@dataclass(frozen=True, slots=True)
class FalseAlarmThreshold:
    """A threshold for a rate of false alarms, and what the negatives that were heard can say of it.

    Parameters
    ----------
    threshold : float
        An onset is an alarm where its score is above.
    alarms : int
        Negatives above it.
    hours : float
        Of sound without a gunshot.
    asked_per_hour, shown_per_hour : float
        The rate that was asked for, and alarms / hours.
    upper95_per_hour : float
        The true rate is below with 95 % confidence, if alarms come independently.
    resolved : bool
        Whether the hours are enough for the rate asked for to be one alarm or more. If not, the threshold is only the
        highest score that a negative had, and nothing but ``upper95_per_hour`` has been shown.
    """

    threshold: float
    alarms: int
    hours: float
    asked_per_hour: float
    shown_per_hour: float
    upper95_per_hour: float
    resolved: bool


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve, from the highest threshold to the lowest; no points where it is not defined.

    Parameters
    ----------
    threshold, x, y : tuple of float
        Of each point. The function that made the curve says what ``x`` and ``y`` are.
    """

    threshold: tuple[float, ...] = ()
    x: tuple[float, ...] = ()
    y: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class CalibrationBin:
    """One bin of a reliability diagram.

    Parameters
    ----------
    low, high : float
    weight : float
        What part of all examples is in the bin, by weight where they have weights.
    mean_probability : float | None
        As stated, over the bin; None when nothing in it weighs anything.
    observed : Share
        How often it was so. ``count`` and ``of`` are examples, each counted once; the share and its interval are by
        weight, so the share is not their quotient where examples have weights.
    """

    low: float
    high: float
    weight: float
    mean_probability: float | None
    observed: Share


@dataclass(frozen=True, slots=True)
class Calibration:
    """Stated probability against what happened.

    Parameters
    ----------
    error : float | None
        Expected calibration error; None without examples.
    bins : tuple of CalibrationBin
    """

    error: float | None
    bins: tuple[CalibrationBin, ...]


def wilson_interval(successes: int, trials: int, *, confidence: float = _CONFIDENCE) -> tuple[float, float]:
    """Return the score interval of a share [Wilson1927]; (0, 1) without trials.

    Parameters
    ----------
    successes, trials : int
    confidence : float
        Of the two-sided interval, between 0 and 1.

    Raises
    ------
    InputError
    """
    if not 0 <= successes <= trials:
        raise InputError(
            f"{successes} successes in {trials} trials, expected 0 <= successes <= trials; count both over one set",
            field="successes",
        )
    if not 0.0 < confidence < 1.0:
        raise InputError(f"is {confidence}, expected more than 0 and less than 1, such as 0.95", field="confidence")
    if trials == 0:
        return 0.0, 1.0
    z2 = NormalDist().inv_cdf(0.5 + confidence / 2.0) ** 2
    share = successes / trials
    middle = share + z2 / (2.0 * trials)
    reach = math.sqrt(z2 * (share * (1.0 - share) / trials + z2 / (4.0 * trials**2)))
    widen = 1.0 + z2 / trials
    low = 0.0 if successes == 0 else (middle - reach) / widen
    high = 1.0 if successes == trials else (middle + reach) / widen
    return low, high


def share_of(count: int, of: int) -> Share:
    """Return a share with its Wilson interval."""
    low, high = wilson_interval(count, of)
    return Share(count=count, of=of, share=count / of if of else None, low95=low, high95=high)


def poisson_upper_bound(events: int, *, confidence: float = _CONFIDENCE) -> float:
    """Return the mean that is not exceeded with this one-sided confidence when so many events were seen [Garwood1936].

    None seen: 3.0 at 95 %, the "rule of three".
    """
    return float(gammaincinv(events + 1, confidence))


def false_alarm_threshold(
    negative_scores: ArrayLike, hours: float, *, per_hour: float, floor: float = 0.0
) -> FalseAlarmThreshold:
    """Return the least threshold at which the negatives raise no more alarms than the rate allows.

    Parameters
    ----------
    negative_scores : array_like, shape (n,)
        Of the onsets in sound without a gunshot.
    hours : float
        Of that sound, whether or not an onset was found in it.
    per_hour : float
        The rate allowed.
    floor : float
        The least score there is, and the least threshold to return: 0 for probabilities.

    Raises
    ------
    InputError
        No hours, no rate, a score that is not finite or below the floor.
    """
    scores = np.sort(_scores(negative_scores, "negative_scores"))[::-1]
    for name, value in (("hours", hours), ("per_hour", per_hour)):
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(
                f"is {value}, expected a finite number above 0; a rate needs hours of sound without a gunshot",
                field=name,
            )
    if scores.size and scores[-1] < floor:
        raise InputError(
            f"holds {scores[-1]:g}, expected nothing below the floor of {floor:g}; give another floor for scores "
            "that are no probabilities",
            field="negative_scores",
        )
    # A hair is added so that 0.1 h x 10 /h is one alarm whatever the rounding of either.
    allowed = math.floor(per_hour * hours + 1e-9)
    threshold = float(scores[allowed]) if allowed < scores.size else floor
    alarms = int(np.count_nonzero(scores > threshold))
    return FalseAlarmThreshold(
        threshold=threshold,
        alarms=alarms,
        hours=float(hours),
        asked_per_hour=float(per_hour),
        shown_per_hour=alarms / hours,
        upper95_per_hour=poisson_upper_bound(alarms) / hours,
        resolved=allowed >= 1,
    )


def roc_curve(scores: ArrayLike, truth: ArrayLike, *, most: int = _MOST_POINTS) -> Curve:
    """Return the receiver operating characteristic: ``x`` share of negatives above the threshold, ``y`` recall.

    Parameters
    ----------
    scores : array_like, shape (n,)
    truth : array_like of bool, shape (n,)
        True for a gunshot.
    most : int
        Points at most; ends are kept, and the rest lie closer together where few alarms are raised.

    Returns
    -------
    Curve
        Without points when there is no gunshot or no negative.

    Raises
    ------
    InputError
    """
    threshold, hits, alarms = _counts(scores, truth)
    if not hits[-1] or not alarms[-1]:
        return Curve()
    return _thinned(threshold, alarms / alarms[-1], hits / hits[-1], most)


def precision_recall_curve(scores: ArrayLike, truth: ArrayLike, *, most: int = _MOST_POINTS) -> Curve:
    """Return precision (``y``) against recall (``x``), from the first threshold with anything above it.

    Parameters and errors as `roc_curve`; without points when there is no gunshot.
    """
    threshold, hits, alarms = _counts(scores, truth)
    if not hits[-1]:
        return Curve()
    threshold, hits, alarms = threshold[1:], hits[1:], alarms[1:]
    return _thinned(threshold, hits / hits[-1], hits / (hits + alarms), most)


def det_curve(scores: ArrayLike, truth: ArrayLike, *, most: int = _MOST_POINTS) -> Curve:
    """Return the detection error tradeoff [Martin1997]: ``x`` share of negatives above the threshold, ``y`` misses.

    Parameters, return and errors as `roc_curve`.
    """
    roc = roc_curve(scores, truth, most=most)
    return Curve(roc.threshold, roc.x, tuple(1.0 - recall for recall in roc.y))


def roc_area(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Return the area under the whole receiver operating characteristic; None without gunshot or negative.

    It is the chance that a gunshot scores above a negative, ties counted half.
    """
    _, hits, alarms = _counts(scores, truth)
    if not hits[-1] or not alarms[-1]:
        return None
    return float(np.trapezoid(hits / hits[-1], alarms / alarms[-1]))


def average_precision(scores: ArrayLike, truth: ArrayLike) -> float | None:
    """Return the mean of the precision over the steps of recall, equal scores taken together; None without gunshot."""
    _, hits, alarms = _counts(scores, truth)
    if not hits[-1]:
        return None
    gained = np.diff(hits) / hits[-1]
    return float(np.sum(gained * hits[1:] / (hits[1:] + alarms[1:])))


def recall_at(gunshot_scores: ArrayLike, threshold: float, *, missed: int = 0) -> Share:
    """Return the share of shots whose score is above the threshold.

    Parameters
    ----------
    gunshot_scores : array_like, shape (n,)
    threshold : float
    missed : int
        Shots in which no onset was found: no threshold brings them back.

    Raises
    ------
    InputError
    """
    scores = _scores(gunshot_scores, "gunshot_scores")
    return share_of(int(np.count_nonzero(scores > threshold)), scores.size + missed)


def recall_by_bin(
    gunshot_scores: ArrayLike,
    values: ArrayLike,
    threshold: float,
    *,
    bins: Sequence[Bin],
    missed_values: ArrayLike = (),
) -> tuple[BinShare, ...]:
    """Return recall by distance, SNR or the like.

    Parameters
    ----------
    gunshot_scores : array_like, shape (n,)
    values : array_like, shape (n,)
        Distance, SNR or the like of each shot.
    threshold : float
    bins : sequence of (low, high)
        Each with its lower end, without its upper; None is no end.
    missed_values : array_like, shape (n_missed,)
        Of shots in which no onset was found.

    Raises
    ------
    InputError
        Also where a value is in no bin: a shot is never left out in silence.
    """
    scores, inside = _scores(gunshot_scores, "gunshot_scores"), _scores(values, "values")
    lost = _scores(missed_values, "missed_values")
    if scores.size != inside.size:
        raise InputError(
            f"{inside.size} values for {scores.size} scores, expected one each; build both from the same examples",
            field="values",
        )
    for name, array in (("values", inside), ("missed_values", lost)):
        homes = sum((_in_bin(array, edges).astype(int) for edges in bins), np.zeros(array.size, int))
        if (homes != 1).any():
            place = int(np.argmax(homes != 1))
            raise InputError(
                f"{array[place]:g} at {place} is in {homes[place]} bins, expected one; give bins that cover all values "
                "and do not overlap",
                field=name,
            )
    return tuple(
        BinShare(
            low=edges[0],
            high=edges[1],
            share=recall_at(
                scores[_in_bin(inside, edges)], threshold, missed=int(np.count_nonzero(_in_bin(lost, edges)))
            ),
        )
        for edges in bins
    )


def confusion_counts(truth: ArrayLike, called: ArrayLike, *, n_kinds: int) -> NDArray[np.int64]:
    """Return how often each kind (row) was called each kind (column).

    Parameters
    ----------
    truth, called : array_like of int, shape (n,)
        Indices of kinds, 0 to ``n_kinds`` - 1.
    n_kinds : int

    Returns
    -------
    counts : ndarray, shape (n_kinds, n_kinds), int64

    Raises
    ------
    InputError
    """
    rows, columns = _kinds(truth, n_kinds, "truth"), _kinds(called, n_kinds, "called")
    if rows.size != columns.size:
        raise InputError(f"{columns.size} calls for {rows.size} truths, expected one each", field="called")
    counts = np.bincount(rows * n_kinds + columns, minlength=n_kinds * n_kinds)
    return counts.reshape(n_kinds, n_kinds).astype(np.int64)


def even_odds(truth: ArrayLike) -> NDArray[np.float64]:
    """Return weights with which what is true and what is not weigh one half each, shape (n,); a side may be empty.

    Parameters
    ----------
    truth : array_like of bool, shape (n,)

    Raises
    ------
    InputError
    """
    shots = _truth(truth, "truth")
    hits = int(np.count_nonzero(shots))
    weights: NDArray[np.float64] = np.where(shots, 0.5 / max(1, hits), 0.5 / max(1, shots.size - hits))
    return weights


def calibration(
    probability: ArrayLike, happened: ArrayLike, *, weights: ArrayLike | None = None, bins: int = CALIBRATION_BINS
) -> Calibration:
    """Return the reliability diagram and the expected calibration error over bins of equal width [Naeini2015].

    The error is the mean over examples of \\|share that happened - mean probability stated\\| of their bin.

    With weights, every mean and share is a weighted one. Weights that depend on nothing but what happened, such as
    those of `even_odds`, multiply the odds in a bin by one factor, and the ends of its Wilson interval are moved by the
    same factor: it stays as sure as it was. For other weights no interval is stated; it is 0 to 1.

    Parameters
    ----------
    probability : array_like, shape (n,)
        As stated, 0 to 1. A bin has its lower end, not its upper; the last has both.
    happened : array_like of bool, shape (n,)
    weights : array_like, shape (n,), optional
        Of the examples, 0 or more; they need not add up to anything.
    bins : int

    Raises
    ------
    InputError
    """
    stated, came = _scores(probability, "probability"), _truth(happened, "happened")
    _same_length(stated, came, "happened")
    if stated.size and not (stated.min() >= 0.0 and stated.max() <= 1.0):
        wrong = stated[(stated < 0.0) | (stated > 1.0)][0]
        raise InputError(f"holds {wrong:g}, expected 0 to 1; give probabilities, not logits", field="probability")
    if bins < 1:
        raise InputError(f"is {bins}, expected 1 or more", field="bins")
    weight = np.ones(stated.size) if weights is None else _weights(weights, stated)
    number = np.minimum((stated * bins).astype(np.int64), bins - 1)
    points = []
    error = 0.0
    for index in range(bins):
        inside = number == index
        counted = share_of(int(np.count_nonzero(came[inside])), int(np.count_nonzero(inside)))
        part, mean, observed = 0.0, None, Share(counted.count, counted.of, None, 0.0, 1.0)
        inside_weight = float(weight[inside].sum())
        if inside_weight > 0.0:
            part = inside_weight / float(weight.sum())
            mean = float(weight[inside] @ stated[inside]) / inside_weight
            share = float(weight[inside & came].sum()) / inside_weight
            low, high = _reweighted(counted, weight[came], weight[~came])
            observed = Share(counted.count, counted.of, share, low, high)
            error += part * abs(share - mean)
        points.append(CalibrationBin(index / bins, (index + 1) / bins, part, mean, observed))
    return Calibration(error=error if stated.size else None, bins=tuple(points))


def expected_calibration_error(
    probability: ArrayLike, happened: ArrayLike, *, weights: ArrayLike | None = None, bins: int = CALIBRATION_BINS
) -> float | None:
    """Return the expected calibration error alone; see `calibration`."""
    return calibration(probability, happened, weights=weights, bins=bins).error


def fit_temperature(logits: ArrayLike, truth: ArrayLike, weights: ArrayLike | None = None) -> float:
    """Return the temperature by which logits are divided so that the truth is likeliest [Guo2017, section 4.2].

    The log likelihood is concave in the inverse temperature, so there is one answer. Where it lies outside
    `TEMPERATURE_RANGE` (every example right by any margin: the likelihood grows for ever) the nearer end is returned.

    Parameters
    ----------
    logits : array_like, shape (n, n_kinds)
    truth : array_like of int, shape (n,)
        Index of the true kind.
    weights : array_like, shape (n,), optional
        Of the examples, 0 or more.

    Raises
    ------
    InputError
    """
    table = np.asarray(logits, dtype=np.float64)
    if table.ndim != 2 or 0 in table.shape:
        raise InputError(f"shape {table.shape}, expected (n, n_kinds) with n of 1 or more", field="logits")
    _finite(table, "logits")
    right = _kinds(truth, table.shape[1], "truth")
    _same_length(table[:, 0], right, "truth")
    share = np.ones(len(table)) if weights is None else _weights(weights, right)
    shifted = table - table.max(axis=1, keepdims=True)
    own = shifted[np.arange(len(table)), right]

    def slope(inverse: float) -> float:
        expected = np.sum(softmax(inverse * shifted, axis=1) * shifted, axis=1)
        return float(np.sum(share * (own - expected)))

    least, most = (1.0 / temperature for temperature in reversed(TEMPERATURE_RANGE))
    if slope(most) >= 0.0:
        return 1.0 if slope(least) == 0.0 else TEMPERATURE_RANGE[0]
    if slope(least) <= 0.0:
        return TEMPERATURE_RANGE[1]
    return 1.0 / float(brentq(slope, least, most, xtol=1e-12, rtol=1e-12))


def _counts(scores: ArrayLike, truth: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """Return thresholds from high to low, one between any two different scores, and what is above each.

    At the first nothing is above, at the last everything is.
    """
    values, shots = _scores(scores, "scores"), _truth(truth, "truth")
    _same_length(values, shots, "truth")
    if not values.size:
        return np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.int64)
    order = np.argsort(-values, kind="stable")
    values, shots = values[order], shots[order]
    last = np.append(np.flatnonzero(np.diff(values)), values.size - 1)
    hits = np.append(0, np.cumsum(shots)[last])
    alarms = np.append(0, np.cumsum(~shots)[last])
    threshold = np.append(values[last], np.nextafter(values[-1], -np.inf))
    return threshold, hits, alarms


def _thinned(threshold: NDArray[np.float64], x: NDArray[np.float64], y: NDArray[np.float64], most: int) -> Curve:
    count = threshold.size
    if most < 2:
        raise InputError(f"is {most}, expected 2 or more: a curve has two ends", field="most")
    keep = np.arange(count)
    if count > most:
        half = (most - 2) // 2
        even = np.linspace(0, count - 1, most - half)
        dense_first = np.geomspace(1, count, half) - 1.0
        keep = np.unique(np.rint(np.concatenate([even, dense_first])).astype(np.int64))
    return Curve(*(tuple(part[keep].tolist()) for part in (threshold, x, y)))


def _in_bin(values: NDArray[np.float64], edges: Bin) -> NDArray[np.bool_]:
    low, high = edges
    return (values >= (-np.inf if low is None else low)) & (values < (np.inf if high is None else high))


def _scores(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise InputError(f"shape {array.shape}, expected one dimension", field=name)
    _finite(array, name)
    return array


def _finite(array: NDArray[np.float64], name: str) -> None:
    bad = ~np.isfinite(array)
    if bad.any():
        place = ", ".join(str(index) for index in np.argwhere(bad)[0].tolist())
        raise InputError(
            f"{np.count_nonzero(bad)} of {array.size} are not finite numbers, the first at {place} is {array[bad][0]}; "
            "expected finite numbers: look for silence or broken input to the model",
            field=name,
        )


def _truth(values: ArrayLike, name: str) -> NDArray[np.bool_]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype != np.bool_):
        raise InputError(f"{array.dtype} of shape {array.shape}, expected bool of one dimension", field=name)
    return array.astype(np.bool_)


def _weights(values: ArrayLike, examples: NDArray[Any]) -> NDArray[np.float64]:
    array = _scores(values, "weights")
    _same_length(examples, array, "weights")
    if array.size and (array.min() < 0.0 or array.max() <= 0.0):
        raise InputError("hold a negative number, or only zeros; expected 0 or more and one above 0", field="weights")
    return array


def _reweighted(
    counted: Share, of_happened: NDArray[np.float64], of_others: NDArray[np.float64]
) -> tuple[float, float]:
    """Return the interval of a share by weight, from that by count and the weights of all of either outcome."""
    sides = [side for side in (of_happened, of_others) if side.size]
    if any(side.min() < side.max() for side in sides):
        return 0.0, 1.0
    if sides[0][0] == sides[-1][0]:
        return counted.low95, counted.high95
    yes, no = float(of_happened[0]), float(of_others[0])
    low, high = (yes * end / (yes * end + no * (1.0 - end)) for end in (counted.low95, counted.high95))
    return low, high


def _kinds(values: ArrayLike, n_kinds: int, name: str) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and not np.issubdtype(array.dtype, np.integer)):
        raise InputError(f"{array.dtype} of shape {array.shape}, expected integers of one dimension", field=name)
    if array.size and not (array.min() >= 0 and array.max() < n_kinds):
        raise InputError(f"holds {array.min()} to {array.max()}, expected 0 to {n_kinds - 1}", field=name)
    return array.astype(np.int64)


def _same_length(one: NDArray[Any], other: NDArray[Any], name: str) -> None:
    if one.size != other.size:
        raise InputError(
            f"{other.size} values for {one.size} scores, expected one each; build both from the same examples",
            field=name,
        )
