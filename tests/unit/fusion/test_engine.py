"""The engine from detections to incidents, on shots whose truth is exact."""

from __future__ import annotations

import math
from dataclasses import replace

import msgspec
import numpy as np
import pytest
from conftest import START_NS, Network, last_of_each, play

from fusion_server.engine import Disposition, FusionSettings
from fusion_server.incidents import IncidentSettings
from shotline.atmosphere import Weather
from shotline.domain import ClockState, IncidentState
from shotline.messages import Detection
from shotline.records import incident_record
from shotline.units import NS_PER_S, ns_from_seconds


def test_one_shot_is_told_early_then_revised_under_one_id(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng)
    told = play(network.engine(), detections)
    assert {incident.incident_id for incident in told} == {told[0].incident_id}
    assert [incident.revision for incident in told] == list(range(1, len(told) + 1))
    assert told[0].state is IncidentState.PROVISIONAL
    assert {incident.state for incident in told[1:]} == {IncidentState.REVISED}
    # Told before the far nodes heard it: the sound needs over a second to them.
    assert told[0].as_of_ns < max(item.arrival_time_ns for item in detections)
    final = told[-1]
    # 2 ms of path error over 15 nodes is well under a metre; 3 m would show a wrong wind or speed of sound.
    assert math.hypot(final.x_m - 300.0, final.y_m - 350.0) < 3.0
    assert final.rounds == 1
    assert final.cadence_rounds_per_min is None
    assert abs(final.shots[0].location.origin_time_ns - START_NS - NS_PER_S) < ns_from_seconds(0.01)


def test_every_arrival_of_the_fix_is_in_the_evidence(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng)
    final = play(network.engine(), detections)[-1]
    verdicts = final.shots[0].location.verdicts
    assert {verdict.arrival.uid for verdict in verdicts} == {item.uid for item in detections}
    assert all(verdict.used for verdict in verdicts)


def test_order_of_detections_does_not_matter(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng, echoes=2) + network.shot(520.0, 100.0, 1.9, rng=rng, echoes=2)
    results = []
    for _ in range(3):
        engine = network.engine()
        for index in rng.permutation(len(detections)):
            assert engine.add(detections[index]) is Disposition.FUSED
        results.append(engine.finish())
    assert results[0] == results[1] == results[2]
    assert len(last_of_each(results[0])) == 2


@pytest.mark.parametrize("world", range(3))
def test_when_detections_come_does_not_matter_within_the_lateness(network: Network, world: int) -> None:
    # Two guns 40 m apart, echoes and clutter; each detection comes late by a time of its own.
    rng = np.random.default_rng([11, world])
    detections = [
        detection
        for at_s in (1.0, 2.2, 3.1)
        for detection in (
            *network.shot(300.0, 350.0, at_s, rng=rng, echoes=2),
            *network.shot(340.0, 350.0, at_s + 0.35, rng=rng, echoes=2),
        )
    ]
    detections += [
        network.detection(site, START_NS + ns_from_seconds(float(at_s)), snr_db=float(rng.uniform(12.0, 30.0)))
        for site in network.sites
        for at_s in rng.uniform(0.0, 6.0, 4)
    ]
    wanted = None
    for latest_s in (0.0, 0.5, 4.0):
        late_ns = [ns_from_seconds(float(late_s)) for late_s in rng.uniform(0.0, latest_s, len(detections))]
        order = sorted(range(len(detections)), key=lambda i: detections[i].arrival_time_ns + late_ns[i])
        engine, told, now_ns, step_ns = network.engine(), [], START_NS, ns_from_seconds(0.2)
        for index in order:
            while now_ns + step_ns < detections[index].arrival_time_ns + late_ns[index]:
                now_ns += step_ns
                told += engine.advance_to(now_ns)
            assert engine.add(detections[index]) is Disposition.FUSED
        told += engine.finish()
        shots = sorted(
            (shot.location.origin_time_ns, frozenset(item.arrival.uid for item in shot.location.verdicts if item.used))
            for incident in last_of_each(told)
            for shot in incident.shots
        )
        assert len(shots) == 6
        wanted = wanted or shots
        assert shots == wanted


def test_how_often_it_is_called_changes_nothing(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng, echoes=1)
    assert play(network.engine(), detections, step_s=0.2) == play(network.engine(), detections, step_s=0.05)


def test_automatic_fire_at_950_rounds_a_minute_is_counted(network: Network, rng: np.random.Generator) -> None:
    interval_s = 60.0 / 950.0
    path_s = rng.normal(0.0, 0.005, len(network.sites))
    detections = [
        detection
        for number in range(10)
        for detection in network.shot(
            310.0, 420.0, 1.0 + number * interval_s, rng=rng, path_s=path_s + rng.normal(0.0, 0.0005, len(path_s))
        )
    ]
    (incident,) = last_of_each(play(network.engine(), detections))
    assert incident.rounds == 10
    assert incident.cadence_rounds_per_min == pytest.approx(950.0, rel=0.02)


def test_echoes_make_no_second_shot(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng, echoes=4, path_sigma_s=0.008)
    (incident,) = last_of_each(play(network.engine(), detections))
    assert incident.rounds == 1
    assert math.hypot(incident.x_m - 300.0, incident.y_m - 350.0) < 10.0


def test_two_shooters_40_m_apart_are_told_apart_shot_by_shot(network: Network, rng: np.random.Generator) -> None:
    fired = [(300.0, 1.0), (340.0, 1.18), (300.0, 1.62), (340.0, 1.75), (300.0, 2.2), (340.0, 2.61)]
    detections = [
        item for x_m, at_s in fired for item in network.shot(x_m, 350.0, at_s, rng=rng, echoes=1, path_sigma_s=0.003)
    ]
    incidents = last_of_each(play(network.engine(), detections))
    found = sorted((shot.location.origin_time_ns, shot.location.x_m) for item in incidents for shot in item.shots)
    assert len(found) == len(fired)
    for (time_ns, x_m), (true_x_m, at_s) in zip(found, fired, strict=True):
        assert x_m == pytest.approx(true_x_m, abs=8.0)
        assert (time_ns - START_NS) / NS_PER_S == pytest.approx(at_s, abs=0.02)


def test_a_shot_inside_a_barrage_of_fireworks_is_found(network: Network, rng: np.random.Generator) -> None:
    # Bursts high over the far side, three a second for four seconds; the shot is not among them.
    detections = network.shot(180.0, 200.0, 4.0, rng=rng, echoes=1)
    for at_s in np.arange(2.0, 6.0, 1.0 / 3.0):
        x_m, y_m = 560.0 + rng.normal(0.0, 15.0), 520.0 + rng.normal(0.0, 15.0)
        detections += network.shot(x_m, y_m, float(at_s + rng.normal(0.0, 0.03)), rng=rng, echoes=1)
    incidents = last_of_each(play(network.engine(), detections))
    shots = [shot.location for incident in incidents for shot in incident.shots]
    near = [fix for fix in shots if math.hypot(fix.x_m - 180.0, fix.y_m - 200.0) < 10.0]
    assert [round((fix.origin_time_ns - START_NS) / NS_PER_S, 1) for fix in near] == [4.0]


def test_two_shooters_at_once_are_two_incidents(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(150.0, 150.0, 1.0, rng=rng) + network.shot(560.0, 520.0, 1.1, rng=rng)
    incidents = last_of_each(play(network.engine(), detections))
    places = sorted((incident.x_m, incident.y_m) for incident in incidents)
    assert places == [pytest.approx((150.0, 150.0), abs=3.0), pytest.approx((560.0, 520.0), abs=3.0)]


def test_the_same_place_much_later_is_another_incident(network: Network, rng: np.random.Generator) -> None:
    near, later = network.shot(300.0, 350.0, 1.0, rng=rng), network.shot(300.0, 350.0, 13.0, rng=rng)
    same = network.shot(300.0, 350.0, 6.0, rng=rng)
    assert len(last_of_each(play(network.engine(), near + later))) == 2
    assert [incident.rounds for incident in last_of_each(play(network.engine(), near + same + later))] == [3]


def test_wind_is_used(rng: np.random.Generator) -> None:
    network = Network(weather=Weather(temperature_c=5.0, wind_speed_mps=10.0, wind_from_deg=250.0))
    detections = network.shot(300.0, 350.0, 1.0, rng=rng, path_sigma_s=0.0)
    final = play(network.engine(), detections)[-1]
    # No noise and the right wind: what is left is the rounding of nanoseconds.
    assert math.hypot(final.x_m - 300.0, final.y_m - 350.0) < 1e-3


def test_dispositions(network: Network) -> None:
    engine = network.engine()
    site = network.sites[0]
    first = network.detection(site, START_NS)
    assert engine.add(first) is Disposition.FUSED
    assert engine.add(first) is Disposition.DUPLICATE
    assert engine.add(network.detection(site, START_NS, clock_state=ClockState.UNTIMED)) is Disposition.UNTIMED
    assert engine.add(network.detection(site, START_NS, node="stranger")) is Disposition.NO_SITE
    engine.advance_to(START_NS + 20 * NS_PER_S)
    assert engine.add(network.detection(site, START_NS + 9 * NS_PER_S)) is Disposition.TOO_LATE
    assert engine.add(network.detection(site, START_NS + 11 * NS_PER_S)) is Disposition.FUSED
    assert engine.add(network.detection(site, START_NS + 23 * NS_PER_S)) is Disposition.IN_FUTURE


def _said(detections: list[Detection], probability_bp: int) -> list[Detection]:
    words = (probability_bp, 0, 0, 0, 10_000 - probability_bp, 0)
    return [msgspec.structs.replace(item, probabilities_bp=words, model_id="a-network") for item in detections]


def test_a_shot_that_a_network_is_unsure_of_at_every_node_is_told(network: Network, rng: np.random.Generator) -> None:
    """Was lost: nine nodes that say 0.34 each were nine vetoes, though all had learned from the same sounds."""
    told = play(network.engine(), _said(network.shot(300.0, 350.0, 1.0, rng=rng), 3_400))
    (final,) = last_of_each(told)
    assert math.hypot(final.x_m - 300.0, final.y_m - 350.0) < 3.0
    assert 0.02 < final.probability < 0.5


def test_what_is_hardly_gunfire_is_held_back_and_counted(network: Network, rng: np.random.Generator) -> None:
    engine = network.engine()
    bang = _said(network.shot(300.0, 350.0, 1.0, rng=rng), 100)
    assert play(engine, bang) == []
    assert engine.held_back == 1
    told_all = replace(FusionSettings(), incidents=IncidentSettings(least_probability=0.0))
    (final,) = last_of_each(play(network.engine(settings=told_all), bang))
    assert final.probability < 0.02


def test_an_incident_that_was_held_back_is_told_once_it_is_likelier(network: Network, rng: np.random.Generator) -> None:
    engine = network.engine()
    bang = _said(network.shot(300.0, 350.0, 1.0, rng=rng), 100)
    shots = [item for at_s in (4.0, 5.0, 6.0) for item in _said(network.shot(300.0, 350.0, at_s, rng=rng), 9_900)]
    (final,) = last_of_each(play(engine, bang + shots))
    assert final.rounds == 4
    assert engine.held_back == 0


def test_a_late_detection_still_improves_the_incident(network: Network, rng: np.random.Generator) -> None:
    detections = sorted(network.shot(300.0, 350.0, 1.0, rng=rng), key=lambda item: item.arrival_time_ns)
    engine = network.engine()
    for detection in detections[:-3]:
        engine.add(detection)
    first = engine.advance_to(START_NS + 6 * NS_PER_S)[-1]
    for detection in detections[-3:]:
        assert engine.add(detection) is Disposition.FUSED
    engine.advance_to(START_NS + 9 * NS_PER_S)
    last = engine.finish()
    used = len(first.shots[0].location.verdicts)
    assert used == len(detections) - 3
    assert all(incident.incident_id == first.incident_id for incident in last)


def test_time_does_not_run_back(network: Network, rng: np.random.Generator) -> None:
    engine = network.engine()
    for detection in network.shot(300.0, 350.0, 1.0, rng=rng):
        engine.add(detection)
    assert engine.advance_to(START_NS + 8 * NS_PER_S)
    assert engine.advance_to(START_NS) == ()


def test_silence_of_near_nodes_refuses_a_coincidence(network: Network, rng: np.random.Generator) -> None:
    heard = network.shot(330.0, 330.0, 1.0, rng=rng)
    near = sorted(heard, key=lambda item: item.arrival_time_ns)
    far_only = near[-5:]
    assert last_of_each(play(network.engine(), far_only)) == []
    # The same five arrivals, when nobody else was listening.
    engine = network.engine(assume_listening=False)
    for detection in far_only:
        engine.note_listening(detection.node, START_NS, START_NS + 60 * NS_PER_S)
    (incident,) = last_of_each(play(engine, far_only))
    assert incident.rounds == 1


def test_what_silence_contradicts_is_retracted(network: Network, rng: np.random.Generator) -> None:
    far_only = sorted(network.shot(330.0, 330.0, 1.0, rng=rng), key=lambda item: item.arrival_time_ns)[-7:]
    hasty = FusionSettings(sure_log_evidence=-100.0)
    engine = network.engine(settings=hasty)
    for detection in far_only:
        engine.add(detection)
    told = [*engine.advance_to(far_only[-1].arrival_time_ns + ns_from_seconds(0.2)), *engine.finish()]
    # Told at once, although the near nodes have had no time to report; taken back when they had.
    assert [incident.state for incident in told] == [IncidentState.PROVISIONAL, IncidentState.RETRACTED]
    assert told[1].shots == told[0].shots
    assert told[1].incident_id == told[0].incident_id


def test_a_restart_keeps_the_id_and_repeats_nothing(network: Network, rng: np.random.Generator) -> None:
    detections = network.shot(300.0, 350.0, 1.0, rng=rng)
    final = play(network.engine(), detections)[-1]
    engine = network.engine()
    engine.restore([incident_record(final, None)])
    for detection in detections:
        engine.add(detection)
    assert engine.finish() == ()
    more = network.shot(301.0, 349.0, 3.0, rng=rng)
    engine = network.engine()
    engine.restore([incident_record(final, None)])
    told = play(engine, detections + more)
    assert {incident.incident_id for incident in told} == {final.incident_id}
    assert told[0].revision == final.revision + 1
    assert told[-1].rounds == 2


def test_no_site_at_all_is_no_crash() -> None:
    network = Network(side=0)
    engine = network.engine()
    assert engine.finish() == ()
    assert engine.advance_to(START_NS) == ()


def test_a_weak_shot_is_told_though_clutter_never_stops(network: Network, rng: np.random.Generator) -> None:
    shot = network.shot(330.0, 330.0, 5.0, rng=rng, range_m=340.0)
    clutter = [
        network.detection(
            network.sites[int(rng.integers(len(network.sites)))], START_NS + ns_from_seconds(at_s), snr_db=12.0
        )
        for at_s in np.arange(0.0, 40.0, 0.15)
    ]
    incidents = last_of_each(play(network.engine(), shot + clutter))
    assert [incident.rounds for incident in incidents] == [1]
    assert math.hypot(incidents[0].x_m - 330.0, incidents[0].y_m - 330.0) < 10.0
