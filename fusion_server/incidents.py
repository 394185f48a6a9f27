"""Incidents: shots close in place and time, under one id; rounds, cadence, and the probability of gunfire."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fusion_server.locate.uncertainty import cep_m, ellipse
from shotline.domain import Arrival, DetectionId, Incident, IncidentState, Location, Shot
from shotline.units import NS_PER_S, ns_from_seconds, seconds_from_ns

__all__ = ["IncidentSettings", "belongs", "gunshot_probability", "incident_id", "make_incident"]


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """When a shot belongs to an incident.

    Parameters
    ----------
    gap_s : float
        Longest silence between two shots of one incident.
    reach_m : float
        Shots this close are one place whatever their ellipses say.
    """

    gap_s: float = 10.0
    reach_m: float = 30.0


_CHI2_2DOF_99 = 9.21
_MOST_LOGIT = 4.0


def incident_id(first_fix: Iterable[DetectionId]) -> str:
    """Return the id of an incident from the detections of its first fix: recomputable, and never changed after."""
    text = "\n".join(str(uid) for uid in sorted(first_fix))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def belongs(shot: Shot, shots: Sequence[Shot], settings: IncidentSettings) -> bool:
    """Say whether a shot is close enough in time and place to any of an incident's shots."""
    return any(_close(shot.location, other.location, settings) for other in shots)


def _close(one: Location, other: Location, settings: IncidentSettings) -> bool:
    if abs(one.origin_time_ns - other.origin_time_ns) > ns_from_seconds(settings.gap_s):
        return False
    offset = np.array([one.x_m - other.x_m, one.y_m - other.y_m])
    if float(np.hypot(*offset)) <= settings.reach_m:
        return True
    covariance = np.array(one.covariance_m2) + np.array(other.covariance_m2)
    return float(offset @ np.linalg.solve(covariance, offset)) <= _CHI2_2DOF_99


def gunshot_probability(arrivals: Sequence[Arrival], *, log_evidence: float, accepted_at: float) -> float:
    """Return the probability that arrivals are one gunshot: that they are one sound, and that it was a gun.

    The first from the evidence of association (even odds where it is only just accepted); the second by pooling what
    the nodes' classifiers say (mean log odds, so that one voice counts little and many silent doubts count fully).
    Nodes that classified nothing say nothing.
    """
    one_sound = _logistic(log_evidence - accepted_at)
    voices = [arrival.gunshot_probability for arrival in arrivals if arrival.gunshot_probability is not None]
    if not voices:
        return one_sound
    return one_sound * _logistic(sum(map(_logit, voices)) / len(voices))


def _logit(probability: float) -> float:
    edge = _logistic(-_MOST_LOGIT)
    clipped = min(max(probability, edge), 1.0 - edge)
    return math.log(clipped / (1.0 - clipped))


def _logistic(log_odds: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, log_odds))))


def make_incident(
    identity: str, shots: Sequence[Shot], *, revision: int, state: IncidentState, as_of_ns: int
) -> Incident:
    """Return the incident that shots make.

    Its position is the information-weighted mean of theirs. Its covariance is *not* divided by their number: rounds
    from one place travel the same paths and share the same error.
    """
    ordered = tuple(sorted(shots, key=lambda shot: shot.location.origin_time_ns))
    information = [np.linalg.inv(np.array(shot.location.covariance_m2)) for shot in ordered]
    total = np.sum(information, axis=0)
    place = [np.array([shot.location.x_m, shot.location.y_m]) for shot in ordered]
    weighted = np.sum([info @ xy for info, xy in zip(information, place, strict=True)], axis=0)
    mean = np.linalg.solve(total, weighted)
    covariance = np.linalg.inv(total) * len(ordered)
    return Incident(
        incident_id=identity,
        revision=revision,
        state=state,
        shots=ordered,
        x_m=float(mean[0]),
        y_m=float(mean[1]),
        covariance_m2=(
            (float(covariance[0, 0]), float(covariance[0, 1])),
            (float(covariance[1, 0]), float(covariance[1, 1])),
        ),
        ellipse95=ellipse(covariance, confidence=0.95),
        cep50_m=cep_m(covariance, probability=0.50),
        cep95_m=cep_m(covariance, probability=0.95),
        probability=max(shot.probability for shot in ordered),
        cadence_rounds_per_min=_cadence(ordered),
        as_of_ns=as_of_ns,
    )


def _cadence(shots: Sequence[Shot]) -> float | None:
    if len(shots) < 2:
        return None
    instants = np.array([shot.location.origin_time_ns for shot in shots])
    interval_s = seconds_from_ns(int(np.median(np.diff(instants))))
    return 60.0 / interval_s if interval_s > 1.0 / NS_PER_S else None
