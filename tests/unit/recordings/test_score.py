"""Scoring: every verdict, by hand-made incidents around a known truth."""

from __future__ import annotations

import json
import math

import msgspec
import pytest

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.errors import InputError
from shotline.records import ArrivalRecord, EllipseRecord, IncidentRecord, ShotRecord
from shotline.timebase import format_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Scene, TruthEvent
from shotline_recordings.score import (
    LocationCheck,
    alert_delay_s,
    check_location,
    latency_stats,
    score_locations,
    score_scene,
    summarise,
)

T0_NS = 1_545_180_000 * NS_PER_S
ROUND = EllipseRecord(semi_major_m=10.0, semi_minor_m=10.0, orientation_deg=0.0)


def event(
    name: str = "a",
    *,
    at: tuple[float, float] = (0.0, 0.0),
    times_s: tuple[float, ...] = (0.0,),
    rounds: int | None = None,
    sigma_m: float = 0.0,
    kind: str = "gunshot",
) -> TruthEvent:
    return TruthEvent(
        event=name,
        x_m=at[0],
        y_m=at[1],
        z_m=0.0,
        sigma_m=sigma_m,
        rounds=len(times_s) if rounds is None else rounds,
        shot_times_ns=tuple(T0_NS + ns_from_seconds(time_s) for time_s in times_s) if kind == "gunshot" else (),
        window_ns=(T0_NS + ns_from_seconds(min(times_s) - 2.0), T0_NS + ns_from_seconds(max(times_s) + 4.0)),
        kind=kind,
    )


def shot(x_m: float, y_m: float, time_s: float, *, arrivals: tuple[ArrivalRecord, ...] = ()) -> ShotRecord:
    return ShotRecord(
        time_utc=format_utc(T0_NS + ns_from_seconds(time_s)),
        x_m=x_m,
        y_m=y_m,
        covariance_m2=((1.0, 0.0), (0.0, 1.0)),
        ellipse95=ROUND,
        cep50_m=5.0,
        cep95_m=10.0,
        gdop=1.0,
        rms_residual_s=0.001,
        probability=0.9,
        arrivals=arrivals,
    )


def incident(
    name: str, *shots: ShotRecord, revision: int = 1, ellipse: EllipseRecord = ROUND, scene: str = ""
) -> IncidentRecord:
    return IncidentRecord(
        id=name,
        revision=revision,
        state="provisional",
        time_utc=shots[0].time_utc,
        last_time_utc=shots[-1].time_utc,
        as_of_utc=format_utc(T0_NS + 3 * NS_PER_S),
        rounds=len(shots),
        x_m=sum(item.x_m for item in shots) / len(shots),
        y_m=sum(item.y_m for item in shots) / len(shots),
        covariance_m2=((1.0, 0.0), (0.0, 1.0)),
        ellipse95=ellipse,
        cep50_m=5.0,
        cep95_m=10.0,
        probability=0.9,
        shots=shots,
        notice="",
        scene=scene,
    )


def scene(*truth: TruthEvent) -> Scene:
    return Scene(
        name="FP1",
        frame=None,
        sites=(Site("n1", 0.0, 0.0),),
        weather=WeatherTimeline.constant(Weather()),
        truth=truth,
    )


def test_perfect_answer_is_perfect() -> None:
    truth = event(times_s=(0.0, 0.5, 1.0))
    score = score_scene(scene(truth), [incident("i", shot(0, 0, 0.0), shot(0, 0, 0.5), shot(0, 0, 1.0))])
    counts = score.counts
    assert (counts.events_detected, counts.events_found, counts.events_missed) == (1, 1, 0)
    assert (counts.shots_fired, counts.shots_found, counts.shots_missed, counts.shots_false) == (3, 3, 0, 0)
    assert (counts.rounds_exact, counts.events_exact) == (1, 1)
    assert score.incidents.median_m == 0.0
    assert score.shots.share_within_5m == 1.0
    assert score.shots.ellipse95_coverage == 1.0


def test_nothing_reported_is_all_missed() -> None:
    score = score_scene(scene(event(times_s=(0.0, 0.5))), [])
    assert score.counts.events_missed == 1
    assert score.counts.shots_missed == 2
    assert score.counts.rounds_exact == 0
    assert score.incidents.median_m is None
    assert score.incidents.share_within_25m == 0.0
    assert score.incidents.ellipse95_coverage is None


def test_no_truth_and_no_reports_scores_nothing() -> None:
    score = score_scene(scene(), [])
    assert score.counts.events == score.counts.shots_reported == 0
    assert score.incidents.share_within_5m is None


@pytest.mark.parametrize(
    ("distance_m", "detected", "found", "shots_found", "shots_false"),
    [(24.9, 1, 1, 1, 0), (25.1, 1, 0, 0, 1), (99.9, 1, 0, 0, 1), (100.1, 0, 0, 0, 1)],
)
def test_gates_of_distance(distance_m: float, detected: int, found: int, shots_found: int, shots_false: int) -> None:
    score = score_scene(scene(event()), [incident("i", shot(distance_m, 0, 0.0))])
    counts = score.counts
    assert (counts.events_detected, counts.events_found) == (detected, found)
    assert (counts.shots_found, counts.shots_false) == (shots_found, shots_false)
    assert counts.incidents_false == 1 - detected
    assert score.shots.located == detected, "a shot on time but far off stays in the error figures up to the gate"


@pytest.mark.parametrize(("late_s", "found"), [(0.119, 1), (0.121, 0), (-0.119, 1), (-0.121, 0)])
def test_gate_of_time_is_for_shots_only(late_s: float, found: int) -> None:
    score = score_scene(scene(event()), [incident("i", shot(0, 0, late_s))])
    assert score.counts.events_detected == 1
    assert score.counts.shots_found == found
    assert score.counts.shots_false == 1 - found


def test_incident_outside_the_window_is_false() -> None:
    score = score_scene(scene(event()), [incident("i", shot(0, 0, 60.0))])
    assert (score.counts.events_missed, score.counts.incidents_false) == (1, 1)
    assert score.false_incidents[0].cause == "nothing"


def test_second_incident_at_the_same_event_is_a_duplicate() -> None:
    score = score_scene(scene(event()), [incident("near", shot(1, 0, 0.0)), incident("off", shot(9, 0, 0.05))])
    assert (score.counts.incidents_duplicate, score.counts.incidents_false) == (1, 0)
    assert score.counts.shots_duplicate == 1
    assert [(item.incident_id, item.cause, item.event) for item in score.false_incidents] == [("off", "duplicate", "a")]
    assert score.counts.events_exact == 0


def test_matching_prefers_pairs_over_closeness() -> None:
    """Greedy would give i to b (5 m) and leave a without an answer."""
    truth = (event("a", at=(0, 0)), event("b", at=(60, 0)))
    score = score_scene(scene(*truth), [incident("i", shot(55, 0, 0.0)), incident("k", shot(120, 0, 0.0))])
    assert {item.event: item.incident_id for item in score.events} == {"a": "i", "b": "k"}


def test_confuser_reported_as_an_incident_is_false() -> None:
    truth = (event("a"), event("drop", at=(300, 0), kind="impact"))
    clean = score_scene(scene(*truth), [incident("i", shot(0, 0, 0.0))])
    fooled = score_scene(scene(*truth), [incident("i", shot(0, 0, 0.0)), incident("k", shot(302, 0, 0.1))])
    assert (clean.counts.incidents_false, clean.counts.confusers, clean.counts.events) == (0, 1, 1)
    assert (fooled.counts.incidents_false, fooled.counts.incidents_false_at_confusers) == (1, 1)
    assert fooled.counts.shots_false == 1
    assert (fooled.events[1].incident_id, fooled.events[1].exact, clean.events[1].exact) == ("k", False, True)


def test_round_of_unknown_instant_is_neither_found_nor_false() -> None:
    """FP4 test_055: three rounds, two of them timed."""
    truth = event(times_s=(0.5, 1.0), rounds=3)
    reported = [incident("i", shot(0, 0, 0.0), shot(0, 0, 0.5), shot(0, 0, 1.0), shot(0, 0, 1.5))]
    counts = score_scene(scene(truth), reported).counts
    assert (counts.shots_fired, counts.shots_found, counts.shots_unverifiable, counts.shots_false) == (2, 2, 1, 1)
    assert counts.rounds_exact == 0


def test_latest_revision_counts_and_other_scenes_do_not() -> None:
    reported = [
        incident("i", shot(0, 0, 0.0), revision=2),
        incident("i", shot(90, 0, 0.0), revision=1),
        incident("k", shot(0, 0, 0.0), scene="FP9"),
    ]
    score = score_scene(scene(event()), reported)
    assert score.counts.incidents == 1
    assert score.incidents.max_m == 0.0


def test_too_many_rounds_is_not_exact() -> None:
    counts = score_scene(scene(event()), [incident("i", shot(0, 0, 0.0), shot(0, 0, 0.5))]).counts
    assert (counts.shots_found, counts.shots_false, counts.rounds_exact, counts.events_exact) == (1, 1, 0, 0)


def test_truths_own_error_widens_the_ellipse() -> None:
    """11 m from a 10 m ellipse: outside alone; with sigma 2.5 m the axis is sqrt(100 + 5.991 * 6.25) = 11.72 m."""
    fix = incident("i", shot(11.0, 0.0, 0.0))
    check = check_location(fix, x_m=0.0, y_m=0.0, sigma_m=2.5)
    assert (check.in_ellipse95, check.in_ellipse95_with_truth) == (False, True)
    assert not check_location(incident("i", shot(11.73, 0, 0.0)), x_m=0, y_m=0, sigma_m=2.5).in_ellipse95_with_truth
    assert check_location(incident("i", shot(11.71, 0, 0.0)), x_m=0, y_m=0, sigma_m=2.5).in_ellipse95_with_truth


@pytest.mark.parametrize("orientation_deg", [0.0, 30.0, 90.0, 150.0])
def test_ellipse_is_turned_clockwise_from_north(orientation_deg: float) -> None:
    ellipse = EllipseRecord(semi_major_m=20.0, semi_minor_m=1.0, orientation_deg=orientation_deg)
    angle_rad = math.radians(orientation_deg)
    east, north = math.sin(angle_rad), math.cos(angle_rad)
    fix = incident("i", shot(0, 0, 0.0), ellipse=ellipse)
    assert check_location(fix, x_m=19.9 * east, y_m=19.9 * north, sigma_m=0.0).in_ellipse95
    assert not check_location(fix, x_m=20.1 * east, y_m=20.1 * north, sigma_m=0.0).in_ellipse95
    assert not check_location(fix, x_m=1.1 * north, y_m=-1.1 * east, sigma_m=0.0).in_ellipse95


def test_point_ellipse_holds_only_itself() -> None:
    point = EllipseRecord(semi_major_m=0.0, semi_minor_m=0.0, orientation_deg=0.0)
    fix = incident("i", shot(0, 0, 0.0), ellipse=point)
    assert check_location(fix, x_m=0.0, y_m=0.0, sigma_m=0.0).in_ellipse95
    assert not check_location(fix, x_m=0.1, y_m=0.0, sigma_m=0.0).in_ellipse95


def check(error_m: float) -> LocationCheck:
    return LocationCheck(
        error_m=error_m, in_ellipse95=True, in_ellipse95_with_truth=True, in_cep50=error_m < 3, in_cep95=True
    )


def test_quantiles_and_shares() -> None:
    score = score_locations([check(float(value)) for value in range(11)], attempted=22)
    assert (score.median_m, score.p90_m, score.p95_m, score.max_m) == (5.0, 9.0, 9.5, 10.0)
    assert (score.share_within_5m, score.share_within_10m) == (6 / 22, 0.5)
    assert score.cep50_coverage == 3 / 11


def test_more_fixes_than_attempts_is_refused() -> None:
    with pytest.raises(InputError, match="2 fixes of 1 attempts"):
        score_locations([check(1.0), check(2.0)], attempted=1)


def test_pooling_sums_counts_and_pools_errors() -> None:
    one = score_scene(scene(event()), [incident("i", shot(3, 0, 0.0))])
    two = score_scene(scene(event()), [incident("i", shot(9, 0, 0.0))])
    score = summarise([one, two])
    assert (score.counts.events, score.counts.shots_found) == (2, 2)
    assert score.incidents.median_m == pytest.approx(6.0, abs=1e-12)
    assert [item.scene for item in score.scenes] == ["FP1", "FP1"]
    assert json.loads(msgspec.json.encode(score))["counts"]["events_detected"] == 2


def test_waits() -> None:
    stats = latency_stats([float(value) for value in range(101)])
    assert (stats.count, stats.p50_s, stats.p99_s, stats.max_s) == (101, 50.0, 99.0, 100.0)
    assert latency_stats([]).p50_s is None


def test_alert_delay_counts_from_the_last_used_arrival() -> None:
    def arrival(time_s: float, *, used: bool) -> ArrivalRecord:
        return ArrivalRecord(
            node="n1",
            detection="n1/0/0",
            time_utc=format_utc(T0_NS + ns_from_seconds(time_s)),
            residual_s=0.0,
            used=used,
            reason="",
            snr_db=20.0,
            level_db=80.0,
        )

    arrivals = (arrival(1.0, used=True), arrival(2.0, used=True), arrival(2.9, used=False))
    assert alert_delay_s(incident("i", shot(0, 0, 0.0, arrivals=arrivals))) == 1.0
    with pytest.raises(InputError, match="rests on no arrival"):
        alert_delay_s(incident("i", shot(0, 0, 0.0)))
