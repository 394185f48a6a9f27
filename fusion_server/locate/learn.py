"""What a network can learn about its own air and streets, without anybody telling it where the shots were."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from fusion_server.locate.batch import ArrivalBatch, locate_batch
from fusion_server.locate.ground import Ground
from fusion_server.locate.settings import LocateSettings
from shotline.atmosphere import Weather

__all__ = ["learn_path_sigma"]

_LEAST_S, _MOST_S = 0.0002, 0.02
_STEPS = 18
_GOLDEN = 0.5 * (math.sqrt(5.0) - 1.0)


def learn_path_sigma(
    heard: Sequence[tuple[ArrivalBatch, Weather]],
    *,
    settings: LocateSettings | None = None,
    ground: Ground | None = None,
) -> float:
    """Return the ``path_sigma_s`` under which the arrivals of a network's shots are likeliest, their places unknown.

    Empirical Bayes: the evidence of every shot, its place, instant and air integrated out (Laplace), is summed and
    maximised over the logarithm of sigma by golden section between 0.2 and 20 ms. A weak log-normal prior about the
    value in ``settings``, worth about one shot, keeps one or two shots from saying much.

    Parameters
    ----------
    heard : sequence of (batch, weather)
        Arrivals of some dozens of sounds, rightly associated, at five or more nodes each; gunshots or not.
    settings : LocateSettings, optional
        Everything else, and the value to start from.
    ground : Ground, optional
    """
    settings = settings or LocateSettings()

    def log_evidence(log_sigma: float) -> float:
        tried = replace(settings, path_sigma_s=math.exp(log_sigma))
        total = -0.5 * (log_sigma - math.log(settings.path_sigma_s)) ** 2
        for batch, weather in heard:
            fixes = locate_batch(batch, weather=weather, settings=tried, ground=ground, regions=False)
            total += float(fixes.log_evidence[fixes.located].sum())
        return total

    low, high = math.log(_LEAST_S), math.log(_MOST_S)
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = log_evidence(left), log_evidence(right)
    for _ in range(_STEPS):
        if at_left > at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = log_evidence(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = log_evidence(right)
    return math.exp(0.5 * (low + high))
