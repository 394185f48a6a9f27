"""Grouping, identity, cadence and probability."""

from __future__ import annotations

import math

import numpy as np
import pytest
from conftest import START_NS

from fusion_server.incidents import IncidentSettings, belongs, gunshot_probability, incident_id, make_incident
from shotline.domain import Arrival, DetectionId, Ellipse, IncidentState, Location, Shot, Site
from shotline.units import ns_from_seconds


def _shot(x_m: float, y_m: float, at_s: float, *, sigma_m: float = 3.0, probability: float = 0.9) -> Shot:
    location = Location(
        x_m=x_m,
        y_m=y_m,
        z_m=None,
        origin_time_ns=START_NS + ns_from_seconds(at_s),
        origin_sigma_s=0.01,
        covariance_m2=((sigma_m**2, 0.0), (0.0, sigma_m**2)),
        ellipse95=Ellipse(sigma_m, sigma_m, 0.0),
        cep50_m=sigma_m,
        cep95_m=sigma_m,
        gdop=1.0,
        rms_residual_s=0.005,
        verdicts=(),
    )
    return Shot(location, probability)


def _arrival(probability: float | None) -> Arrival:
    return Arrival(DetectionId("n", 1, 1), Site("n", 0.0, 0.0), START_NS, gunshot_probability=probability)


def test_id_does_not_depend_on_order_and_differs_between_fixes() -> None:
    uids = [DetectionId("a", 1, 2), DetectionId("b", 3, 4), DetectionId("c", 5, 6)]
    assert incident_id(uids) == incident_id(reversed(uids))
    assert incident_id(uids) != incident_id(uids[:2])
    # Frozen: an id printed in a report years ago must be found again.
    assert incident_id(uids) == "fbeeec9280b2a5bf"


@pytest.mark.parametrize(
    ("x_m", "at_s", "sigma_m", "expected"),
    [
        (29.0, 1.0, 0.1, True),
        (31.0, 1.0, 0.1, False),
        (31.0, 1.0, 20.0, True),
        (0.0, 10.0, 3.0, True),
        (0.0, -10.0, 3.0, True),
        (0.0, 10.1, 3.0, False),
    ],
)
def test_what_belongs_together(x_m: float, at_s: float, sigma_m: float, expected: bool) -> None:
    first = _shot(0.0, 0.0, 0.0, sigma_m=sigma_m)
    assert belongs(_shot(x_m, 0.0, at_s, sigma_m=sigma_m), [first], IncidentSettings()) is expected


def test_position_is_weighted_and_its_error_does_not_shrink_with_rounds() -> None:
    equal = make_incident(
        "i",
        [_shot(0.0, 0.0, 0.0), _shot(2.0, 4.0, 1.0)],
        revision=1,
        state=IncidentState.PROVISIONAL,
        as_of_ns=START_NS,
    )
    assert (equal.x_m, equal.y_m) == pytest.approx((1.0, 2.0), abs=1e-9)
    assert np.array(equal.covariance_m2) == pytest.approx(np.eye(2) * 9.0, abs=1e-9)
    skewed = make_incident(
        "i",
        [_shot(0.0, 0.0, 0.0, sigma_m=1.0), _shot(10.0, 0.0, 1.0, sigma_m=3.0)],
        revision=1,
        state=IncidentState.PROVISIONAL,
        as_of_ns=START_NS,
    )
    assert skewed.x_m == pytest.approx(1.0, abs=1e-9)


def test_cadence_is_the_median_interval() -> None:
    shots = [_shot(0.0, 0.0, at_s) for at_s in (0.0, 0.5, 1.0, 3.0)]
    incident = make_incident("i", shots[::-1], revision=1, state=IncidentState.REVISED, as_of_ns=START_NS)
    assert incident.cadence_rounds_per_min == pytest.approx(120.0)
    assert [shot.location.origin_time_ns for shot in incident.shots] == sorted(
        shot.location.origin_time_ns for shot in shots
    )


def test_probability_needs_one_sound_and_a_gun() -> None:
    def probability(voices: list[float | None], log_evidence: float = 30.0) -> float:
        return gunshot_probability([_arrival(voice) for voice in voices], log_evidence=log_evidence, accepted_at=5.0)

    assert probability([None, None]) == pytest.approx(1.0, abs=1e-9)
    assert probability([None, None], log_evidence=5.0) == pytest.approx(0.5)
    assert probability([0.9, 0.9, None]) == pytest.approx(0.9, abs=1e-6)
    assert probability([0.9, 0.1]) == pytest.approx(0.5, abs=1e-6)
    assert probability([0.0, 1.0]) == pytest.approx(0.5, abs=1e-6)
    assert 0.0 < probability([0.0] * 8) < 0.05
    assert math.isfinite(probability([0.5], log_evidence=-1e9))
