"""What was it: probabilities of each kind of impulse, for the sound around one onset.

There is no kind for speech or for people, and there never will be: a node has no word for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.features import ImpulseFeatures

__all__ = ["Classifier", "FrameDefinition", "ImpulseFrame", "ImpulseRules", "rule_inputs"]


@dataclass(frozen=True, slots=True)
class FrameDefinition:
    """The input a classifier is made for.

    Parameters
    ----------
    before_s, after_s : float
        Sound before and after the onset.
    sample_rate_hz : int | None
        The rate it wants; None when any will do.
    """

    before_s: float
    after_s: float
    sample_rate_hz: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ImpulseFrame:
    """The sound around one onset.

    Parameters
    ----------
    samples : ndarray, shape (n_samples,), float64
        Raw sound, full scale = 1; shorter than defined where the recording begins or ends.
    onset_index : int
        Index of the onset in it.
    sample_rate_hz : int
    features : ImpulseFeatures
    """

    samples: NDArray[np.float64]
    onset_index: int
    sample_rate_hz: int
    features: ImpulseFeatures


class Classifier(Protocol):
    """Anything that names impulses."""

    @property
    def model_id(self) -> str:
        """Name of the model, as in its card; goes into every detection."""
        ...

    @property
    def frame(self) -> FrameDefinition:
        """The input it is made for."""
        ...

    def probabilities(self, frame: ImpulseFrame) -> tuple[float, ...]:
        """Return one probability per `ImpulseKind`, in its order; they sum to 1."""
        ...


class ImpulseRules:
    """A logistic rule on six figures of the impulse: gunshot-like, or another impulse. See its model card.

    It cannot tell fireworks, thunder or hammering apart and does not pretend to: what is not gunshot-like is
    `ImpulseKind.OTHER_IMPULSE`. Its answer is soft evidence for the fusion of many nodes, not a gate.
    """

    INTERCEPT = -0.62
    WEIGHTS = (0.08, 0.81, -0.86, 0.44, 0.45, 2.32)
    FLOOR = 0.05

    @property
    def model_id(self) -> str:
        """Name of the model, as in its card."""
        return "impulse-rules-1"

    @property
    def frame(self) -> FrameDefinition:
        """50 ms before to 150 ms after the onset, at any rate."""
        return FrameDefinition(before_s=0.050, after_s=0.150)

    def probabilities(self, frame: ImpulseFrame) -> tuple[float, ...]:
        """Return one probability per `ImpulseKind`, in its order."""
        score = self.INTERCEPT + math.fsum(
            weight * value for weight, value in zip(self.WEIGHTS, rule_inputs(frame.features), strict=True)
        )
        logistic = 1.0 / (1.0 + math.exp(-min(max(score, -30.0), 30.0)))
        gunshot = self.FLOOR + (1.0 - 2.0 * self.FLOOR) * logistic
        share = {ImpulseKind.GUNSHOT: gunshot, ImpulseKind.OTHER_IMPULSE: 1.0 - gunshot}
        return tuple(share.get(kind, 0.0) for kind in ImpulseKind)


def rule_inputs(features: ImpulseFeatures) -> tuple[float, ...]:
    """Return the six inputs of the rule, each clipped to the range seen in training and of order 1."""
    return (
        _clip(features.snr_db, 10.0, 60.0) / 20.0 - 1.5,
        _clip(features.step_db, 5.0, 40.0) / 10.0 - 1.5,
        math.log10(_clip(features.rise_time_s, 1e-4, 0.05)) + 2.5,
        math.log10(_clip(features.decay_time_s, 1e-3, 0.15)) + 1.5,
        _clip(features.crest_db, 5.0, 25.0) / 5.0 - 2.5,
        features.low_band_ratio - 0.5,
    )


def _clip(value: float, low: float, high: float) -> float:
    return min(max(value, low), high)
