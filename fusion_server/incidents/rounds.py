"""How many rounds there were, as an interval: some found may be no rounds, and some fired may not have been found.

A round is missed when fewer nodes report it than a shot must rest on, or when it hides in the sound of the round
before it; one is invented when echoes or clutter fit together by chance. The interval adds to the count the number
missed, geometric (an event loses one round or many), and takes from it the number invented, Poisson-binomial, each at
the given confidence. The rates are those of simulated scenes (`fusion_server.incidents.coefficients`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusion_server.incidents.coefficients import ALONE, INVENTED, MISSED, MISSED_RATES_S
from shotline.domain import Shot
from shotline.units import NS_PER_S

__all__ = ["alone_probability", "invented_probability", "missed_probability", "rounds_interval"]

_MIN_NODES = 4
"""That a shot must rest on."""
_EACH_SIDE = 0.05


def invented_probability(log_evidence: float | None) -> float:
    """Return the probability that a round found is none, by its evidence of association."""
    if log_evidence is None:
        return INVENTED[0]
    intercept, slope = INVENTED[1:]
    return 1.0 / (1.0 + math.exp(min(max(intercept + slope * log_evidence, -50.0), 50.0)))


def missed_probability(shots: Sequence[Shot]) -> list[float]:
    """Return, for each round, the probability that one like it would not have been found.

    The larger of two: by how many nodes hear a round here, and by how closely rounds follow each other; for a single
    round, the share of single ones that had company.

    Parameters
    ----------
    shots : sequence of Shot
        In order of origin time.
    """
    heard = [{item.arrival.site.node for item in shot.location.verdicts if item.used} for shot in shots]
    everyone: set[str] = set().union(*heard)
    times_s = np.array([shot.location.origin_time_ns - shots[0].location.origin_time_ns for shot in shots]) / NS_PER_S
    by_cadence = ALONE
    if len(shots) > 1:
        between_s = float(np.median(np.diff(times_s)))
        by_cadence = next(share for limit_s, share in zip(MISSED_RATES_S, MISSED, strict=True) if between_s >= limit_s)
    chances = []
    for nodes in heard:
        # One more heard and one more not: a share of all or nothing is not believed.
        share = (len(nodes) + 1.0) / (len(everyone | nodes) + 2.0)
        chances.append(max(by_cadence, _fewer_than(_MIN_NODES, max(len(everyone), _MIN_NODES), share)))
    return chances


def rounds_interval(shots: Sequence[Shot], *, echoes: int = 0) -> tuple[int, int]:
    """Return the least and the most rounds that there were, with probability 90 %; at least one.

    Parameters
    ----------
    shots : sequence of Shot
        In order of origin time.
    echoes : int
        So many of them keep in step with others: the least number does without.
    """
    invented = _upper_of_several([invented_probability(shot.log_evidence) for shot in shots])
    missed = _upper_of_waiting(missed_probability(shots))
    return max(1, len(shots) - max(invented, echoes)), len(shots) + missed


def alone_probability(shots: Sequence[Shot]) -> float:
    """Return the probability that nothing was missed."""
    return float(np.prod([1.0 - chance for chance in missed_probability(shots)]))


def _fewer_than(needed: int, of: int, share: float) -> float:
    """Return the binomial chance of fewer than so many."""
    return sum(math.comb(of, count) * share**count * (1.0 - share) ** (of - count) for count in range(needed))


def _upper_of_several(chances: Sequence[float]) -> int:
    """Return the least number that a count of independent events exceeds with 5 % at the most."""
    distribution = np.ones(1)
    for chance in chances:
        distribution = np.convolve(distribution, [1.0 - chance, chance])
    return _quantile(distribution)


def _upper_of_waiting(chances: Sequence[float]) -> int:
    """Return the same of what was missed: geometric, with the mean that the chances of the found rounds give."""
    mean = sum(chance / (1.0 - chance) for chance in chances)
    if mean <= 0.0:
        return 0
    # P(more than n) = (mean / (1 + mean)) ** (n + 1).
    return max(0, math.ceil(math.log(_EACH_SIDE) / math.log(mean / (1.0 + mean)) - 1.0 - 1e-9))


def _quantile(distribution: np.ndarray[tuple[int], np.dtype[np.float64]]) -> int:
    return int(np.searchsorted(np.cumsum(distribution), 1.0 - _EACH_SIDE))
