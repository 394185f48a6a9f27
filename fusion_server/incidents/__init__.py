"""Incidents: shots close in place and time, under one id.

Rounds with an interval, cadence and fire mode, places and movement where significant, the probability of gunfire.
Everything is a function of the shots, whatever their order; see docs/incidents.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fusion_server.incidents.firemode import cadence_rounds_per_min, fire_mode
from fusion_server.incidents.grouping import belongs, incident_id
from fusion_server.incidents.places import Places, find_places, least_shooters
from fusion_server.incidents.probability import gunshot_probability, incident_probability
from fusion_server.incidents.rounds import alone_probability, rounds_interval
from fusion_server.incidents.settings import IncidentSettings
from fusion_server.locate.uncertainty import cep_m, ellipse
from shotline.domain import FireMode, FiringPlace, Incident, IncidentState, Location, Shot

__all__ = ["IncidentSettings", "belongs", "gunshot_probability", "incident_id", "make_incident", "mean_place"]

FloatArray = NDArray[np.float64]


def mean_place(shots: Sequence[Shot]) -> tuple[FloatArray, FloatArray]:
    """Return the information-weighted mean place of shots, shape (2,), and its covariance, shape (2, 2).

    The covariance is *not* divided by their number: rounds from one place travel the same paths and share the same
    error.
    """
    information = [np.linalg.inv(np.array(shot.location.covariance_m2)) for shot in shots]
    total = np.sum(information, axis=0)
    place = [np.array([shot.location.x_m, shot.location.y_m]) for shot in shots]
    weighted = np.sum([info @ xy for info, xy in zip(information, place, strict=True)], axis=0)
    return np.linalg.solve(total, weighted), np.linalg.inv(total) * len(shots)


def make_incident(
    identity: str,
    shots: Sequence[Shot],
    *,
    revision: int,
    state: IncidentState,
    as_of_ns: int,
    settings: IncidentSettings | None = None,
) -> Incident:
    """Return the incident that shots make.

    Parameters
    ----------
    identity : str
        Its id.
    shots : sequence of Shot
        At least one, in any order.
    revision : int
    state : IncidentState
    as_of_ns : int
    settings : IncidentSettings, optional
    """
    settings = settings or IncidentSettings()
    ordered = tuple(sorted(shots, key=lambda shot: (shot.location.origin_time_ns, shot.location.x_m)))
    mean, covariance = mean_place(ordered)
    fixes = tuple(shot.location for shot in ordered)
    places = _places_of(fixes, settings)
    low, high = rounds_interval(ordered, echoes=len(places.echoes))
    firing = tuple(_firing_place(ordered, group, places.echoes, settings) for group in places.groups)
    mode, mode_probability = _clearest([item for _, item in firing])
    return Incident(
        incident_id=identity,
        revision=revision,
        state=state,
        shots=ordered,
        x_m=float(mean[0]),
        y_m=float(mean[1]),
        covariance_m2=_rows(covariance),
        ellipse95=ellipse(covariance, confidence=0.95),
        cep50_m=cep_m(covariance, probability=0.50),
        cep95_m=cep_m(covariance, probability=0.95),
        probability=incident_probability([shot.probability for shot in ordered]),
        cadence_rounds_per_min=_cadence(ordered),
        as_of_ns=as_of_ns,
        rounds_low=low,
        rounds_high=high,
        fire_mode=mode,
        fire_mode_probability=mode_probability,
        places=tuple(place for place, _ in firing),
        places_p_value=places.p_value,
        shooters_least=least_shooters(fixes, places.groups, settings),
        movement=places.movement,
    )


@lru_cache(maxsize=256)
def _places_of(fixes: tuple[Location, ...], settings: IncidentSettings) -> Places:
    """Return `find_places`, remembered: an incident is looked at again and again while its shots stay the same."""
    return find_places(fixes, settings)


def _firing_place(
    shots: Sequence[Shot], group: tuple[int, ...], echoes: tuple[int, ...], settings: IncidentSettings
) -> tuple[FiringPlace, tuple[FireMode, float]]:
    mine = [shots[number] for number in group if number not in echoes]
    mean, covariance = mean_place(mine)
    mode = fire_mode(
        [shot.location.origin_time_ns for shot in mine],
        alone=alone_probability(mine),
        least_probability=settings.fire_mode_probability,
    )
    place = FiringPlace(
        x_m=float(mean[0]),
        y_m=float(mean[1]),
        covariance_m2=_rows(covariance),
        ellipse95=ellipse(covariance, confidence=0.95),
        rounds=group,
        cadence_rounds_per_min=_cadence(mine),
        fire_mode=mode[0],
    )
    return place, mode


def _clearest(modes: Sequence[tuple[FireMode, float]]) -> tuple[FireMode, float]:
    """Return the mode of an incident: automatic if that of any place is; else what all places agree on."""
    automatic = [item for item in modes if item[0] is FireMode.AUTOMATIC]
    if automatic:
        return max(automatic, key=lambda item: item[1])
    if len({mode for mode, _ in modes}) == 1:
        return min(modes, key=lambda item: item[1])
    return FireMode.UNDETERMINED, min(probability for _, probability in modes)


def _cadence(shots: Sequence[Shot]) -> float | None:
    return cadence_rounds_per_min([shot.location.origin_time_ns for shot in shots])


def _rows(covariance_m2: FloatArray) -> tuple[tuple[float, float], tuple[float, float]]:
    return (
        (float(covariance_m2[0, 0]), float(covariance_m2[0, 1])),
        (float(covariance_m2[1, 0]), float(covariance_m2[1, 1])),
    )
