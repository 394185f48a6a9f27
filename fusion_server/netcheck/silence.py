"""How much the silence of a node speaks for a weak microphone: heard and missed sounds, by place. Compiled."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled

__all__ = ["silence_log_odds"]

_STRENGTH = 3.0
"""What is expected of a place is worth so many sounds; what it did before counts as they are."""
_NODE_STRENGTH = 8.0
_DB_PER_LOGIT = 4.0
"""So much weaker, and the odds to be heard fall by e: thresholds and loudness scatter so."""
_LEAST, _MOST = 0.02, 0.97


@compiled
def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


@compiled
def silence_log_odds(
    probability: NDArray[np.float64],
    heard: NDArray[np.bool_],
    place: NDArray[np.int64],
    base: NDArray[np.bool_],
    start: int,
    deficit_db: float,
    one_place: bool,
) -> float:
    """Return the log Bayes factor, from who was heard, of a microphone ``deficit_db`` weaker than before.

    Sounds heard at one place are beta-binomial [GelmanEtAl2013, section 2.4]: what is missed from a place again and
    again is missed for one reason. The place that speaks most for a weak microphone says no more than the next.

    Parameters
    ----------
    probability : ndarray, shape (n,), float64
        That a healthy node reports each sound, by the model of fusion.
    heard : ndarray, shape (n,), bool
    place : ndarray, shape (n,), int64
    base : ndarray, shape (n,), bool
        Whether the node counted as healthy then.
    start : int
        The window is from here on; what was before tells how well the node usually hears.
    deficit_db : float
    one_place : bool
        Whether one place is enough: then it says all that it says.
    """
    n_heard, n_expected = _NODE_STRENGTH, _NODE_STRENGTH
    for i in range(start):
        if base[i]:
            n_heard += heard[i]
            n_expected += probability[i]
    # A node in a courtyard hears less than the model thinks, everywhere.
    share = min(n_heard / n_expected, 1.1)
    total, first_place, second_place = 0.0, 0.0, 0.0
    done = np.zeros(len(place), dtype=np.bool_)
    for first in range(start, len(place)):
        if done[first]:
            continue
        usual, n, k = 0.0, 0.0, 0.0
        for i in range(first, len(place)):
            if place[i] == place[first]:
                done[i] = True
                usual += min(max(probability[i] * share, _LEAST), _MOST)
                n += 1.0
                k += heard[i]
        strength, ahead = _STRENGTH, 0.0
        for i in range(start):
            if base[i] and place[i] == place[first]:
                strength += 1.0
                ahead += heard[i]
        mean = min(max((usual / n * _STRENGTH + ahead) / strength, _LEAST), _MOST)
        odds = mean / (1.0 - mean) * math.exp(-deficit_db / _DB_PER_LOGIT)
        weak = odds / (1.0 + odds)
        here = 0.0
        for side in range(2):
            rate = weak if side == 0 else mean
            a, b = rate * strength, (1.0 - rate) * strength
            log_likely = _log_beta(a + k, b + n - k) - _log_beta(a, b)
            here += log_likely if side == 0 else -log_likely
        total += here
        if here > first_place:
            first_place, second_place = here, first_place
        elif here > second_place:
            second_place = here
    return total if one_place else total - (first_place - second_place)
