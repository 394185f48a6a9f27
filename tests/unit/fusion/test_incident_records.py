"""The record of an incident: everything that an auditor needs, and nothing that was not there before changed."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import numpy as np
from incident_samples import START_NS, Range, bare_shot

from fusion_server.incidents import make_incident
from shotline.domain import ArrivalVerdict, Ellipse, IncidentState, LostHypothesis, Root, Shot, Silence
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord, incident_record
from shotline.units import ns_from_seconds

FIRST_FIELDS = (
    "id",
    "revision",
    "state",
    "time_utc",
    "last_time_utc",
    "as_of_utc",
    "rounds",
    "x_m",
    "y_m",
    "covariance_m2",
    "ellipse95",
    "cep50_m",
    "cep95_m",
    "probability",
    "shots",
    "notice",
)


def _record(shots: list[Shot], frame: LocalFrame | None = None) -> IncidentRecord:
    incident = make_incident("i", shots, revision=1, state=IncidentState.PROVISIONAL, as_of_ns=START_NS)
    return incident_record(incident, frame)


def test_evidence_of_a_shot_is_in_its_record(rng: np.random.Generator) -> None:
    shot = Range(rng).shot((10.0, 5.0), 0.0, rng=rng, log_evidence=21.3456)
    arrival = shot.location.verdicts[0].arrival
    ring = ((0.0, 0.0), (30.0, 0.0), (30.0, 40.0))
    location = replace(
        shot.location,
        ellipse50=Ellipse(3.0, 2.0, 10.0),
        ellipse90=Ellipse(6.0, 4.0, 10.0),
        region95=(ring,),
        weight=0.9,
        alternatives=(Root(70.0, -5.0, START_NS, 0.1),),
        z_sigma_m=4.5678,
    )
    shot = replace(
        shot,
        location=location,
        passed_over=(ArrivalVerdict(arrival, 0.06, False, "60 ms later, an echo"),),
        silent=(Silence("n77", 123.45, 0.8764),),
        lost=(LostHypothesis(99.0, 1.0, START_NS + ns_from_seconds(0.25), 5, 3.456, "fewer nodes"),),
    )
    record = _record([shot]).shots[0]
    assert record.log_evidence == 21.35
    assert record.ellipse50 is not None
    assert record.ellipse50.semi_major_m == 3.0
    assert record.ellipse90 is not None
    assert record.region95_m == (ring,)
    assert (record.weight, record.z_sigma_m) == (0.9, 4.568)
    (alternative,) = record.alternatives
    assert (alternative.x_m, alternative.weight) == (70.0, 0.1)
    (passed,) = record.passed_over
    assert (passed.residual_s, passed.used, passed.reason) == (0.06, False, "60 ms later, an echo")
    (silent,) = record.silent
    assert (silent.node, silent.distance_m, silent.probability) == ("n77", 123.5, 0.876)
    (lost,) = record.lost
    assert (lost.nodes, lost.log_evidence, lost.reason) == (5, 3.46, "fewer nodes")


def test_two_places_are_in_the_record_with_degrees(rng: np.random.Generator) -> None:
    array = Range(rng)
    shots = [array.shot((10.0 + 40.0 * (n % 2), 5.0), 0.31 * n + 0.04 * n * n, rng=rng) for n in range(8)]
    record = _record(shots, LocalFrame(40.44, -79.99))
    assert sorted(number for place in record.places for number in place.rounds) == list(range(8))
    assert all(place.lat_deg is not None for place in record.places)
    assert record.shooters_least == 2
    assert record.places_p_value is not None
    assert 1e-12 <= record.places_p_value < 0.01
    assert msgspec.json.decode(msgspec.json.encode(record), type=IncidentRecord) == record


def test_a_single_round_says_no_more_than_it_must() -> None:
    record = _record([bare_shot(0.0, 0.0, 0.0)])
    words = msgspec.to_builtins(record)
    assert not {"places", "places_p_value", "shooters_least", "movement", "cadence_rounds_per_min"} & set(words)
    assert (words["rounds_low"], words["rounds"]) == (1, 1)
    assert words["fire_mode"] in ("single", "undetermined")


def test_a_record_of_an_older_version_is_still_read() -> None:
    words = msgspec.to_builtins(_record([bare_shot(0.0, 0.0, 0.0)]))
    older = {name: words[name] for name in FIRST_FIELDS}
    record = msgspec.convert(older, IncidentRecord)
    assert (record.fire_mode, record.rounds_low, record.places, record.shooters_least) == (None, None, (), 1)
