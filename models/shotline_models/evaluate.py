"""Hold a classifier's probabilities against a corpus: recall at fixed false alarms, curves, calibration, worst errors.

Pure. It takes probabilities, not a model, so any model can be measured. `docs/evaluation.md` says what each figure
means, `shotline_models.report` draws them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.errors import InputError
from shotline_models.dataset import Clip, Corpus, Example
from shotline_models.metrics import (
    DISTANCE_BINS_M,
    SNR_BINS_DB,
    BinShare,
    Calibration,
    Curve,
    FalseAlarmThreshold,
    Share,
    average_precision,
    calibration,
    confusion_counts,
    det_curve,
    even_odds,
    expected_calibration_error,
    false_alarm_threshold,
    precision_recall_curve,
    recall_at,
    recall_by_bin,
    roc_area,
    roc_curve,
    share_of,
)

__all__ = [
    "PER_NODE_DAY",
    "PER_NODE_HOUR",
    "Evaluation",
    "GroupShare",
    "LabelCount",
    "LabelShare",
    "OperatingPoint",
    "WorstError",
    "evaluate",
]

PER_NODE_HOUR = 1.0
PER_NODE_DAY = 1.0 / 24.0
"""False alarms per hour."""
_SECONDS_PER_HOUR = 3600.0
_ROUNDING = 1e-6
"""A softmax in float32 may leave 0 to 1 by this much."""
_KINDS = tuple(ImpulseKind)
_GUNSHOT = _KINDS.index(ImpulseKind.GUNSHOT)


@dataclass(frozen=True, slots=True)
class GroupShare:
    """The share in one group: a source, or a sample rate."""

    name: str
    share: Share


@dataclass(frozen=True, slots=True)
class LabelCount:
    """What the corpus has of one label.

    Parameters
    ----------
    source : str
    label : str
        With the heading of its sub-label where that has one: ``gun handling: AK-47`` of ``other_impulse`` is counted
        under ``other_impulse: gun handling``.
    kind : ImpulseKind
        Clips of one label may be of two kinds.
    clips, onsets, missed : int
        ``missed``: shots in which no onset was found.
    hours : float
    """

    source: str
    label: str
    kind: ImpulseKind
    clips: int
    onsets: int
    missed: int
    hours: float


@dataclass(frozen=True, slots=True)
class LabelShare:
    """Onsets of one label, as in `LabelCount`, called gunshot. Missed shots are not onsets, and not counted here."""

    source: str
    label: str
    kind: ImpulseKind
    called_gunshot: Share


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """Everything at one threshold.

    Parameters
    ----------
    alarm : FalseAlarmThreshold
    recall : Share
        Of all shots; missed ones, in which no onset was found, count against it. So do they in the groups.
    recall_by_source, recall_by_sample_rate : tuple of GroupShare
    recall_by_distance : tuple of BinShare
        Metres; only shots whose distance was surveyed.
    recall_by_snr : tuple of BinShare
        dB; only shots with an onset: a missed one has no SNR.
    called_by_label : tuple of LabelShare
        By source, label and kind.
    called_by_kind : tuple of GroupShare
        Over all sources.
    false_by_sample_rate : tuple of GroupShare
        Onsets of negatives called gunshot.
    """

    alarm: FalseAlarmThreshold
    recall: Share
    recall_by_source: tuple[GroupShare, ...]
    recall_by_sample_rate: tuple[GroupShare, ...]
    recall_by_distance: tuple[BinShare, ...]
    recall_by_snr: tuple[BinShare, ...]
    called_by_label: tuple[LabelShare, ...]
    called_by_kind: tuple[GroupShare, ...]
    false_by_sample_rate: tuple[GroupShare, ...]


@dataclass(frozen=True, slots=True)
class WorstError:
    """An onset that the classifier got most wrong.

    Parameters
    ----------
    example : int
        Index in `Corpus.examples`.
    file, source, label, sub_label : str
        Of its clip.
    at_s : float
        Onset, seconds into the clip.
    score : float
        Gunshot probability.
    called : ImpulseKind
        The likeliest kind.
    snr_db : float
    distance_m : float | None
    """

    example: int
    file: str
    source: str
    label: str
    sub_label: str
    at_s: float
    score: float
    called: ImpulseKind
    snr_db: float
    distance_m: float | None


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What was measured.

    Parameters
    ----------
    model_id : str
    kinds : tuple of ImpulseKind
        Order of the rows and columns of ``confusion``.
    clips, negative_clips : int
        Negative: of any kind but gunshot.
    negative_hours : float
    gunshot_onsets, negative_onsets, missed_shots : int
    labels : tuple of LabelCount
    operating_points : tuple of OperatingPoint
        One for each rate asked for; none without hours of negatives.
    roc : Curve
        ``x`` share of negative onsets called, ``y`` recall. All curves are over onsets: missed shots are not in them.
    precision_recall : Curve
        ``x`` recall, ``y`` precision.
    det : Curve
        ``x`` share of negative onsets called, ``y`` share of gunshots not called.
    roc_area, average_precision : float | None
        None where not defined.
    confusion : tuple of rows of int
        Row true kind, column likeliest kind.
    gunshot_calibration : Calibration
        Of the gunshot probability, at the even odds that it is stated for: gunshots and all else weigh one half each.
        Without bins where there is no gunshot or no negative.
    gunshot_calibration_error_in_corpus_mix : float | None
        The same without weights: how far the probability is off where gunshots are as rare as in this corpus.
    top_calibration : Calibration
        Of the probability of the likeliest kind, in the corpus's mix.
    worst_negatives, worst_gunshots : tuple of WorstError
        Highest-scoring negatives, lowest-scoring gunshots; worst first, also when they are on the right side.
    """

    model_id: str
    kinds: tuple[ImpulseKind, ...]
    clips: int
    negative_clips: int
    negative_hours: float
    gunshot_onsets: int
    negative_onsets: int
    missed_shots: int
    labels: tuple[LabelCount, ...]
    operating_points: tuple[OperatingPoint, ...]
    roc: Curve
    precision_recall: Curve
    det: Curve
    roc_area: float | None
    average_precision: float | None
    confusion: tuple[tuple[int, ...], ...]
    gunshot_calibration: Calibration
    gunshot_calibration_error_in_corpus_mix: float | None
    top_calibration: Calibration
    worst_negatives: tuple[WorstError, ...]
    worst_gunshots: tuple[WorstError, ...]


def evaluate(
    corpus: Corpus,
    probabilities: NDArray[np.floating],
    *,
    model_id: str,
    per_hour: Sequence[float] = (PER_NODE_HOUR, PER_NODE_DAY),
    worst: int = 12,
) -> Evaluation:
    """Measure a classifier on a corpus that it was not trained on.

    Parameters
    ----------
    corpus : Corpus
    probabilities : ndarray, shape (n_examples, n_kinds), floating
        In the order of `Corpus.examples` and of `ImpulseKind`. Rows need not add up to 1: a peer may not.
    model_id : str
    per_hour : sequence of float
        Rates of false alarms to set thresholds for.
    worst : int
        Errors to list on each side.

    Raises
    ------
    InputError
        The probabilities are not of this corpus, not finite, or not between 0 and 1.
    """
    table = _checked(corpus, probabilities)
    examples = corpus.examples
    score = table[:, _GUNSHOT]
    kind = np.array([_KINDS.index(example.clip.kind) for example in examples], dtype=np.int64)
    called = table.argmax(axis=1)
    shot = kind == _GUNSHOT
    negative_clips = [clip for clip in corpus.clips if clip.kind is not ImpulseKind.GUNSHOT]
    hours = sum(clip.duration_s for clip in negative_clips) / _SECONDS_PER_HOUR
    alarms = [false_alarm_threshold(score[~shot], hours, per_hour=rate) for rate in per_hour] if hours > 0.0 else []
    by_score = np.argsort(score, kind="stable")
    lowest = [int(index) for index in by_score if shot[index]][:worst]
    highest = [int(index) for index in np.argsort(-score, kind="stable") if not shot[index]][:worst]
    return Evaluation(
        model_id=model_id,
        kinds=_KINDS,
        clips=len(corpus.clips),
        negative_clips=len(negative_clips),
        negative_hours=hours,
        gunshot_onsets=int(shot.sum()),
        negative_onsets=int((~shot).sum()),
        missed_shots=len(corpus.missed),
        labels=_labels(corpus),
        operating_points=tuple(_operating_point(corpus, score, alarm) for alarm in alarms),
        roc=roc_curve(score, shot),
        precision_recall=precision_recall_curve(score, shot),
        det=det_curve(score, shot),
        roc_area=roc_area(score, shot),
        average_precision=average_precision(score, shot),
        confusion=tuple(tuple(row) for row in confusion_counts(kind, called, n_kinds=len(_KINDS)).tolist()),
        gunshot_calibration=(
            calibration(score, shot, weights=even_odds(shot))
            if shot.any() and not shot.all()
            else Calibration(None, ())
        ),
        gunshot_calibration_error_in_corpus_mix=expected_calibration_error(score, shot),
        top_calibration=calibration(table[np.arange(len(table)), called], called == kind),
        worst_negatives=tuple(_error(examples[index], index, table[index]) for index in highest),
        worst_gunshots=tuple(_error(examples[index], index, table[index]) for index in lowest),
    )


def _checked(corpus: Corpus, probabilities: NDArray[np.floating]) -> NDArray[np.float64]:
    table = np.asarray(probabilities, dtype=np.float64)
    expected = (len(corpus.examples), len(_KINDS))
    if table.shape != expected:
        raise InputError(
            f"shape {table.shape}, expected {expected}: one row an example, one column a kind ({', '.join(_KINDS)}); "
            "score the same corpus",
            field="probabilities",
        )
    bad = ~np.isfinite(table) | (table < -_ROUNDING) | (table > 1.0 + _ROUNDING)
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        example = corpus.examples[row]
        raise InputError(
            f"{np.count_nonzero(bad)} of {table.size} are no probabilities, the first is {table[row, column]} for "
            f"{_KINDS[column]} in {example.clip.file} at {example.at_s:.3f} s; expected 0 to 1: give the softmax or "
            "sigmoid, not logits",
            field="probabilities",
        )
    listened = set(corpus.clips)
    heard = [example.clip for example in corpus.examples] + [clip for clip, _ in corpus.missed]
    stray = next((clip for clip in heard if clip not in listened), None)
    if stray is not None:
        raise InputError(
            f"an example or missed shot is of {stray.file}, which is not among the {len(corpus.clips)} clips; "
            "its hours would not count: keep clips and examples together with Corpus.only",
            field="corpus.clips",
        )
    return np.clip(table, 0.0, 1.0)


def _operating_point(corpus: Corpus, score: NDArray[np.float64], alarm: FalseAlarmThreshold) -> OperatingPoint:
    examples, threshold = corpus.examples, alarm.threshold
    shots = [index for index, example in enumerate(examples) if example.clip.kind is ImpulseKind.GUNSHOT]
    surveyed = [index for index in shots if examples[index].distance_m is not None]
    heard = [(example.clip, bool(value > threshold)) for example, value in zip(examples, score, strict=True)]
    fired = [heard[index] for index in shots] + [(clip, False) for clip, _ in corpus.missed]
    quiet = [item for item in heard if item[0].kind is not ImpulseKind.GUNSHOT]
    return OperatingPoint(
        alarm=alarm,
        recall=recall_at(score[shots], threshold, missed=len(corpus.missed)),
        recall_by_source=_by_group(fired, lambda clip: clip.source),
        recall_by_sample_rate=_by_sample_rate(fired),
        recall_by_distance=recall_by_bin(
            score[surveyed],
            np.array([examples[index].distance_m for index in surveyed], dtype=np.float64),
            threshold,
            bins=DISTANCE_BINS_M,
            missed_values=[distance_m for _, distance_m in corpus.missed],
        ),
        recall_by_snr=recall_by_bin(
            score[shots], [examples[index].snr_db for index in shots], threshold, bins=SNR_BINS_DB
        ),
        called_by_label=_by_label(heard),
        called_by_kind=tuple(
            sorted(
                _by_group(heard, lambda clip: clip.kind.value), key=lambda group: _KINDS.index(ImpulseKind(group.name))
            )
        ),
        false_by_sample_rate=_by_sample_rate(quiet),
    )


def _by_group(items: Sequence[tuple[Clip, bool]], name_of: Callable[[Clip], str]) -> tuple[GroupShare, ...]:
    names = Counter(name_of(clip) for clip, _ in items)
    hits = Counter(name_of(clip) for clip, hit in items if hit)
    return tuple(GroupShare(name, share_of(hits[name], names[name])) for name in sorted(names))


def _by_sample_rate(items: Sequence[tuple[Clip, bool]]) -> tuple[GroupShare, ...]:
    groups = _by_group(items, lambda clip: f"{clip.sample_rate_hz} Hz")
    return tuple(sorted(groups, key=lambda group: int(group.name.split()[0])))


def _by_label(items: Sequence[tuple[Clip, bool]]) -> tuple[LabelShare, ...]:
    keys = Counter(_label_of(clip) for clip, _ in items)
    hits = Counter(_label_of(clip) for clip, hit in items if hit)
    return tuple(LabelShare(*key, share_of(hits[key], keys[key])) for key in sorted(keys))


def _labels(corpus: Corpus) -> tuple[LabelCount, ...]:
    clips = Counter(_label_of(clip) for clip in corpus.clips)
    onsets = Counter(_label_of(example.clip) for example in corpus.examples)
    missed = Counter(_label_of(clip) for clip, _ in corpus.missed)
    seconds = dict.fromkeys(clips, 0.0)
    for clip in corpus.clips:
        seconds[_label_of(clip)] += clip.duration_s
    return tuple(
        LabelCount(*key, clips[key], onsets[key], missed[key], seconds[key] / _SECONDS_PER_HOUR)
        for key in sorted(clips)
    )


def _error(example: Example, index: int, row: NDArray[np.float64]) -> WorstError:
    clip = example.clip
    return WorstError(
        example=index,
        file=clip.file,
        source=clip.source,
        label=clip.label,
        sub_label=clip.sub_label,
        at_s=float(example.at_s),
        score=float(row[_GUNSHOT]),
        called=_KINDS[int(row.argmax())],
        snr_db=float(example.snr_db),
        distance_m=None if example.distance_m is None else float(example.distance_m),
    )


def _label_of(clip: Clip) -> tuple[str, str, ImpulseKind]:
    heading, colon, _ = clip.sub_label.partition(": ")
    return clip.source, f"{clip.label}: {heading}" if colon else clip.label, clip.kind
