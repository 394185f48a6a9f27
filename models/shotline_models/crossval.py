"""Cross-validation: every example is judged by a network that learned from none of its family or firing position."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from shotline.domain import GUNSHOT_INDEX, ImpulseKind
from shotline_models.architecture import Committee
from shotline_models.dataset import LIVE_FIRE, Corpus
from shotline_models.metrics import even_odds, false_alarm_threshold, fit_temperature
from shotline_models.plan import Plan, is_free
from shotline_models.train import Epoch, Frames, Variants, fold_of_example, logits_of, train_committee
from shotline_models.twin import Threshold

__all__ = ["PER_HOUR", "folds_of", "held_out_logits", "may_learn", "temperatures", "thresholds_of"]

PER_HOUR = (10.0, 1.0, 1.0 / 24.0)
"""Rates of false alarms that thresholds are given for."""


def folds_of(frames: Frames, plan: Plan) -> NDArray[np.int64]:
    """Return the fold that holds each example out."""
    positions = sorted({item.clip.family for item in frames.examples if item.clip.source == LIVE_FIRE})
    return np.array([fold_of_example(item, plan, positions) for item in frames.examples], dtype=np.int64)


def may_learn(frames: Frames, plan: Plan) -> NDArray[np.bool_]:
    """Say what the plan allows to learn from: by licence, and by source."""
    return np.array(
        [
            item.clip.source not in plan.without and (plan.licences == "all" or is_free(item.clip.licence))
            for item in frames.examples
        ],
        dtype=np.bool_,
    )


def held_out_logits(
    frames: Frames,
    variants: Variants,
    plan: Plan,
    *,
    device: torch.device,
    progress: Callable[[int, int, Epoch], None] = lambda *_: None,
    keep: Callable[[int, Committee], None] = lambda *_: None,
) -> NDArray[np.float64]:
    """Return the logits of every example by the network of the fold that holds it out, shape (n, n_kinds).

    ``keep`` is given each fold's network: to replay what it never learned from.
    """
    folds, allowed = folds_of(frames, plan), may_learn(frames, plan)
    logits = np.zeros((len(folds), len(ImpulseKind)))
    for fold in sorted(set(folds.tolist())):
        network = train_committee(
            frames,
            variants,
            allowed & (folds != fold),
            plan,
            seed=plan.seed + fold + 1,
            device=device,
            progress=lambda member, epoch, fold=fold: progress(fold, member, epoch),  # type: ignore[misc]
        )
        rows = np.flatnonzero(folds == fold)
        logits[rows] = logits_of(network, frames, rows, plan, device)
        keep(fold, network)
    return logits


def temperatures(
    logits: NDArray[np.float64], kind: NDArray[np.int64], folds: NDArray[np.int64]
) -> tuple[float, NDArray[np.float64]]:
    """Return the temperature of all, and for every example that of the other folds: none is judged by its own."""
    weights = even_odds(kind == GUNSHOT_INDEX)
    of_others = np.ones(len(kind))
    for fold in set(folds.tolist()):
        others = folds != fold
        if others.any():
            of_others[~others] = fit_temperature(logits[others], kind[others], weights[others])
    return fit_temperature(logits, kind, weights), of_others


def thresholds_of(
    corpus: Corpus, probabilities: NDArray[np.float64], per_hour: Sequence[float] = PER_HOUR
) -> tuple[Threshold, ...]:
    """Return the thresholds of some rates of false alarms, from the held-out sound that holds no gunshot."""
    negative = np.array([item.clip.kind is not ImpulseKind.GUNSHOT for item in corpus.examples], dtype=np.bool_)
    hours = sum(clip.duration_s for clip in corpus.clips if clip.kind is not ImpulseKind.GUNSHOT) / 3600.0
    found = (
        false_alarm_threshold(probabilities[negative, GUNSHOT_INDEX], hours, per_hour=rate)
        for rate in sorted(per_hour, reverse=True)
    )
    return tuple(Threshold(item.asked_per_hour, item.threshold, item.hours, item.resolved) for item in found)
