"""The probability of gunfire: a logistic model of what nodes say, who heard, and how the sound falls off.

What it means: among impulses that such a network locates, taken as shots and other bangs in equal numbers, the share of
shots among those that look like this one. Coefficients are those of simulated scenes. With no classifier's word the
rest says little, and the probability stays near even odds: that is the honest answer, not certainty.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fusion_server.incidents.coefficients import INCIDENT, SHOT
from shotline.domain import Arrival, Location, Silence

__all__ = [
    "MOST_LOGIT",
    "MOST_WITHOUT_VOICES",
    "features",
    "gunshot_probability",
    "incident_probability",
    "pooled_voices",
]

MOST_LOGIT = 4.0
"""Bound of one voice, and of one shot in its incident: nothing alone decides."""
MOST_WITHOUT_VOICES = math.log(4.0)
"""Bound of all that no classifier says, in log odds: it was learned on simulated scenes alone."""
_MOST_EVIDENCE = 20.0
_LIKE_VOICES = 0.5
"""Correlation of what the nodes' classifiers say of one sound: so many nodes are no more than two independent ones."""
_USUAL_SLOPE_DB = -25.0
"""SNR per tenfold distance of an impulse outdoors: spherical, absorption and ground besides."""
_LEAST_SPREAD_DECADES = 0.15
_USUAL_RESIDUAL_S = 0.008


def gunshot_probability(
    arrivals: Sequence[Arrival],
    *,
    log_evidence: float,
    accepted_at: float,
    location: Location | None = None,
    silent: Sequence[Silence] = (),
) -> float:
    """Return the probability that arrivals are a gunshot.

    Parameters
    ----------
    arrivals : sequence of Arrival
        Those that the fix rests on.
    log_evidence : float
        That they are one sound.
    accepted_at : float
        Log evidence that a shot must have.
    location : Location, optional
        Gives the fall-off with distance and the residual; without it neither counts.
    silent : sequence of Silence
        Nodes that should have heard and did not.
    """
    values = features(arrivals, log_evidence=log_evidence - accepted_at, location=location, silent=silent)
    voices = SHOT["voices"] * values.pop("voices")
    others = sum(SHOT[name] * value for name, value in values.items())
    return _logistic(voices + min(max(others, -MOST_WITHOUT_VOICES), MOST_WITHOUT_VOICES))


def incident_probability(shots: Sequence[float]) -> float:
    """Return the probability that an incident is gunfire from those of its shots, in any order.

    Rounds of one weapon sound alike: the mean of their log odds counts once, their number a little.
    """
    mean = sum(map(_logit, sorted(shots))) / len(shots)
    constant, for_mean, for_number = INCIDENT
    return _logistic(constant + for_mean * mean + for_number * math.log(len(shots)))


def features(
    arrivals: Sequence[Arrival], *, log_evidence: float, location: Location | None, silent: Sequence[Silence]
) -> dict[str, float]:
    """Return what the model looks at, by name; each zero or nearly so where nothing is known.

    ``log_evidence`` is over that at which a shot is accepted.
    """
    slope_db, spread_db = (0.0, 0.0) if location is None else _fall_off(arrivals, location)
    residual_s = _USUAL_RESIDUAL_S if location is None else location.rms_residual_s
    return {
        "constant": 1.0,
        "voices": pooled_voices(arrivals),
        "evidence": min(max(log_evidence, -_MOST_EVIDENCE), _MOST_EVIDENCE) / 10.0,
        "heard": math.log(max(len({arrival.site.node for arrival in arrivals}), 1) / 6.0),
        "silent": math.log1p(sum(silence.probability for silence in silent)),
        "slope": slope_db / 10.0,
        "spread": spread_db / 5.0,
        "residual": math.log(max(residual_s, 0.001) / _USUAL_RESIDUAL_S),
    }


def pooled_voices(arrivals: Sequence[Arrival]) -> float:
    """Return the log odds of gunshot that the nodes' classifiers together give; 0 when none has spoken.

    Each is bounded, so that no single one decides. Of n voices as alike as those of one sound are, the mean counts
    n / (1 + (n - 1) r) times, r their correlation: once for one, less than twice for many.
    """
    voices = sorted(
        _logit(arrival.gunshot_probability) for arrival in arrivals if arrival.gunshot_probability is not None
    )
    if not voices:
        return 0.0
    count = len(voices)
    # The mean of the middle half, which one or two strange voices do not move.
    trim = count // 4
    middle = voices[trim : count - trim]
    return count / (1.0 + (count - 1) * _LIKE_VOICES) * sum(middle) / len(middle)


def _fall_off(arrivals: Sequence[Arrival], location: Location) -> tuple[float, float]:
    """Return SNR per tenfold distance against the usual, dB, and the scatter about the line, dB: both robust.

    The median of the slopes of all pairs [Sen1968], drawn towards the usual slope where distances hardly differ.
    """
    distance_m = [math.hypot(item.site.x_m - location.x_m, item.site.y_m - location.y_m) for item in arrivals]
    decade = np.log10(np.maximum(distance_m, 10.0))
    snr_db = np.array([item.snr_db for item in arrivals])
    first, second = np.triu_indices(len(decade), 1)
    run = decade[second] - decade[first]
    apart = np.abs(run) >= _LEAST_SPREAD_DECADES
    if not apart.any():
        return 0.0, 0.0
    slope = float(np.median((snr_db[second] - snr_db[first])[apart] / run[apart]))
    trust = 1.0 - 1.0 / (1.0 + float(apart.sum()))
    slope = _USUAL_SLOPE_DB + trust * (min(max(slope, -80.0), 30.0) - _USUAL_SLOPE_DB)
    off = snr_db - slope * decade
    return slope - _USUAL_SLOPE_DB, float(np.median(np.abs(off - np.median(off))))


def _logit(probability: float) -> float:
    edge = _logistic(-MOST_LOGIT)
    clipped = min(max(probability, edge), 1.0 - edge)
    return math.log(clipped / (1.0 - clipped))


def _logistic(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, log_odds))))
