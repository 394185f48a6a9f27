"""Grouping, identity, cadence, fire mode, rounds and probability."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from incident_samples import START_NS, Range, bare_shot

from fusion_server.incidents import (
    IncidentSettings,
    belongs,
    gunshot_probability,
    incident_id,
    make_incident,
    mean_place,
    rounds,
)
from fusion_server.incidents.firemode import automatic_probability, fire_mode
from fusion_server.incidents.grouping import difference_covariance_m2
from fusion_server.incidents.probability import incident_probability, pooled_voices
from fusion_server.incidents.rounds import alone_probability, missed_probability, rounds_interval
from shotline.domain import Arrival, DetectionId, FireMode, Incident, IncidentState, Shot, Silence, Site
from shotline.units import ns_from_seconds


def _arrival(probability: float | None, node: str = "n") -> Arrival:
    return Arrival(DetectionId(node, 1, 1), Site(node, 0.0, 0.0), START_NS, gunshot_probability=probability)


def _incident(shots: list[Shot]) -> Incident:
    return make_incident("i", shots, revision=1, state=IncidentState.PROVISIONAL, as_of_ns=START_NS)


def test_id_does_not_depend_on_order_and_differs_between_fixes() -> None:
    uids = [DetectionId("a", 1, 2), DetectionId("b", 3, 4), DetectionId("c", 5, 6)]
    assert incident_id(uids) == incident_id(reversed(uids))
    assert incident_id(uids) != incident_id(uids[:2])
    # Frozen: an id printed in a report years ago must be found again.
    assert incident_id(uids) == "fbeeec9280b2a5bf"


@pytest.mark.parametrize(
    ("x_m", "at_s", "sigma_m", "expected"),
    [
        (49.0, 1.0, 0.1, True),
        (51.0, 1.0, 0.1, False),
        (51.0, 1.0, 20.0, True),
        (0.0, 10.0, 3.0, True),
        (0.0, -10.0, 3.0, True),
        (0.0, 10.1, 3.0, False),
    ],
)
def test_what_belongs_together(x_m: float, at_s: float, sigma_m: float, expected: bool) -> None:
    first = bare_shot(0.0, 0.0, 0.0, sigma_m=sigma_m)
    assert belongs(bare_shot(x_m, 0.0, at_s, sigma_m=sigma_m), [first], IncidentSettings()) is expected


def test_links_make_no_chain() -> None:
    chain = [bare_shot(40.0 * number, 0.0, 0.5 * number, sigma_m=0.1) for number in range(10)]
    settings = IncidentSettings()
    together = [chain[0]]
    for shot in chain[1:]:
        if belongs(shot, together, settings):
            together.append(shot)
    # 200 m of extent: the shots at 0, 40 ... 200 m, and no further although each is 40 m from the last.
    assert len(together) == 6
    assert not belongs(chain[6], together, settings)
    assert belongs(chain[6], together, replace(settings, extent_m=1000.0))


def test_errors_that_two_fixes_share_do_not_hold_them_together(rng: np.random.Generator) -> None:
    array = Range(rng)
    far = (0.0, 900.0)
    one, other = (array.shot((far[0], far[1] + away_m), 0.5 * away_m / 150.0, rng=rng) for away_m in (0.0, 150.0))
    settings = IncidentSettings()
    vague = ((900.0, 0.0), (0.0, 40_000.0))
    fixes = [replace(shot, location=replace(shot.location, covariance_m2=vague)) for shot in (one, other)]
    difference = difference_covariance_m2(fixes[0].location, fixes[1].location, settings)
    apart = 2.0 * np.array(vague)
    # Outside the array the ellipses are long; the difference of two fixes from the same nodes is much better known.
    assert math.sqrt(difference[1, 1]) < 0.4 * math.sqrt(apart[1, 1])
    assert not belongs(fixes[1], [fixes[0]], settings)
    without = [replace(shot, location=replace(shot.location, verdicts=())) for shot in fixes]
    assert difference_covariance_m2(without[0].location, without[1].location, settings) == pytest.approx(apart)
    assert belongs(without[1], [without[0]], settings)


def test_what_is_plainly_too_far_is_what_the_test_of_the_distance_says(rng: np.random.Generator) -> None:
    array, settings = Range(rng), IncidentSettings(reach_m=20.0, extent_m=1e6)
    said = []
    for away_m in rng.uniform(0.0, 120.0, 60):
        one, other = (array.shot((300.0 + x_m, 700.0), x_m, rng=rng) for x_m in (0.0, float(away_m)))
        offset = np.array([one.location.x_m - other.location.x_m, one.location.y_m - other.location.y_m])
        covariance = difference_covariance_m2(one.location, other.location, settings)
        quantile = -2.0 * math.log(0.01)
        near = offset @ np.linalg.solve(covariance + np.eye(2) * 20.0**2 / quantile, offset) <= quantile
        said.append(bool(near) or math.hypot(*offset) <= 20.0)
        other = replace(other, location=replace(other.location, origin_time_ns=one.location.origin_time_ns))
        assert belongs(one, [other], settings) is said[-1]
    assert 10 < sum(said) < 50


def test_the_difference_of_fixes_from_other_nodes_shares_nothing(rng: np.random.Generator) -> None:
    array = Range(rng)
    half = np.arange(len(array.sites_m)) % 2 == 0
    settings = replace(IncidentSettings(), repeat_sigma_s=0.0)
    one, same, other = (
        array.shot((10.0, 5.0), 0.0, rng=rng, heard=heard, scatter_s=0.0).location for heard in (half, half, ~half)
    )
    # Without the scatter of a repeat, fixes from the same nodes cannot differ; 1e-9 m² is rounding.
    assert np.abs(difference_covariance_m2(one, same, settings)).max() < 1e-9
    assert np.trace(difference_covariance_m2(one, other, settings)) > 1.0


def test_position_is_weighted_and_its_error_does_not_shrink_with_rounds() -> None:
    equal = _incident([bare_shot(0.0, 0.0, 0.0), bare_shot(2.0, 4.0, 1.0)])
    assert (equal.x_m, equal.y_m) == pytest.approx((1.0, 2.0), abs=1e-9)
    assert np.array(equal.covariance_m2) == pytest.approx(np.eye(2) * 9.0, abs=1e-9)
    skewed, _ = mean_place([bare_shot(0.0, 0.0, 0.0, sigma_m=1.0), bare_shot(10.0, 0.0, 1.0, sigma_m=3.0)])
    assert skewed[0] == pytest.approx(1.0, abs=1e-9)


def test_order_of_shots_does_not_matter(rng: np.random.Generator) -> None:
    array = Range(rng)
    shots = [array.shot((10.0 + 40.0 * (n % 2), 5.0), 0.37 * n + 0.05 * n * n, rng=rng) for n in range(7)]
    told = [_incident([shots[index] for index in rng.permutation(7)]) for _ in range(3)]
    assert told[0] == told[1] == told[2] == _incident(shots)
    assert len(told[0].places) == 2


def test_cadence_is_the_median_interval() -> None:
    shots = [bare_shot(0.0, 0.0, at_s) for at_s in (0.0, 0.5, 1.0, 3.0)]
    incident = _incident(shots[::-1])
    assert incident.cadence_rounds_per_min == pytest.approx(120.0)
    assert [shot.location.origin_time_ns for shot in incident.shots] == sorted(
        shot.location.origin_time_ns for shot in shots
    )
    assert _incident(shots[:1]).cadence_rounds_per_min is None


@pytest.mark.parametrize("rate_per_min", [450.0, 600.0, 800.0, 950.0, 1_200.0])
def test_a_regular_series_at_a_cyclic_rate_is_automatic(rate_per_min: float, rng: np.random.Generator) -> None:
    intervals_s = 60.0 / rate_per_min * (1.0 + 0.02 * rng.standard_normal(9))
    assert automatic_probability(intervals_s.tolist()) > 0.99
    # One round in the middle was missed.
    missed = [*intervals_s[:4], intervals_s[4] + intervals_s[5], *intervals_s[6:]]
    assert automatic_probability(missed) > 0.95


@pytest.mark.parametrize("tempo_s", [0.18, 0.25, 0.4, 0.9])
def test_an_irregular_series_is_by_hand(tempo_s: float, rng: np.random.Generator) -> None:
    assert automatic_probability((tempo_s * np.exp(0.25 * rng.standard_normal(9))).tolist()) < 0.01


def test_a_mode_is_told_only_when_probable() -> None:
    def mode(*at_s: float, alone: float = 0.98) -> FireMode:
        return fire_mode([ns_from_seconds(value) for value in at_s], alone=alone, least_probability=0.9)[0]

    assert mode(0.0) is FireMode.SINGLE
    assert mode(0.0, alone=0.8) is FireMode.UNDETERMINED
    assert mode(0.0, 0.075, 0.150) is FireMode.AUTOMATIC
    assert mode(0.0, 0.5, 0.9) is FireMode.SEMI_AUTOMATIC
    # 440 rounds a minute, once: a slow automatic or a fast finger.
    assert mode(0.0, 0.136) is FireMode.UNDETERMINED
    _, probability = fire_mode([0, ns_from_seconds(0.136)], alone=1.0, least_probability=0.9)
    assert 0.5 <= probability < 0.9


def test_rounds_that_few_nodes_hear_may_have_company(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "MISSED", (0.001, 0.05, 0.3))
    monkeypatch.setattr(rounds, "INVENTED", (0.1, 0.0, 0.2))
    array = Range(rng)
    everyone = np.ones(len(array.sites_m), dtype=bool)
    clear = [array.shot((0.0, 0.0), 0.5 * n, rng=rng, heard=everyone, log_evidence=60.0) for n in range(6)]
    assert rounds_interval(clear) == (6, 6)
    assert rounds_interval(clear, echoes=2) == (4, 6)
    few = []
    for number in range(6):
        heard = np.zeros(len(array.sites_m), dtype=bool)
        heard[rng.permutation(len(heard))[:4]] = True
        few.append(array.shot((0.0, 0.0), 0.5 * number, rng=rng, heard=heard, log_evidence=4.0))
    low, high = rounds_interval(few)
    assert 1 <= low < 6 < high
    assert min(missed_probability(few)) > max(missed_probability(clear))


def test_the_interval_of_rounds_is_exact(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "MISSED", (0.001, 0.05, 0.25))
    monkeypatch.setattr(rounds, "ALONE", 0.2)
    monkeypatch.setattr(rounds, "INVENTED", (0.5, 0.0, 0.2))
    array = Range(rng, nodes=30)
    fast = [array.shot((0.0, 0.0), 0.1 * n, rng=rng) for n in range(3)]
    assert missed_probability(fast) == pytest.approx([0.25] * 3)
    # A mean of 3 (1/3) = 1 missed: P(more than n) = 2^-(n + 1), first below 5 % at 4. Half of three are invented:
    # P(3) = 1/8 is above 5 %, so all may be, but for the one that an incident is about.
    assert rounds_interval(fast) == (1, 7)
    # A fifth of the single ones have company: a quarter missed on average, P(more than n) = 0.2^(n + 1).
    assert rounds_interval(fast[:1]) == (1, 2)
    assert alone_probability(fast[:1]) == pytest.approx(0.8)


def test_voices_are_pooled_robustly() -> None:
    def pooled(voices: list[float | None]) -> float:
        return pooled_voices([_arrival(voice) for voice in voices])

    assert pooled([None, None]) == 0.0
    assert pooled([0.8]) == pytest.approx(math.log(4.0), abs=1e-12)
    # Two that are alike by a half count as 4/3 of one.
    assert pooled([0.8, 0.8]) == pytest.approx(4.0 / 3.0 * math.log(4.0), abs=1e-12)
    assert pooled([0.8] * 1000) < 2.0 * math.log(4.0)
    # One strange voice of eight changes nothing, whatever it says.
    assert pooled([0.8] * 7 + [0.0]) == pytest.approx(pooled([0.8] * 8), abs=1e-12)
    assert pooled([0.9, 0.1]) == pytest.approx(0.0, abs=1e-12)
    assert math.isfinite(pooled([0.0, 1.0, 0.0]))


def test_probability_follows_the_voices_and_is_modest_without_them(rng: np.random.Generator) -> None:
    shot = Range(rng).shot((10.0, 5.0), 0.0, rng=rng)
    used = [verdict.arrival for verdict in shot.location.verdicts]

    def probability(voice: float | None, *, log_evidence: float = 25.0, silent: int = 0) -> float:
        return gunshot_probability(
            [replace(arrival, gunshot_probability=voice) for arrival in used],
            log_evidence=log_evidence,
            accepted_at=3.0,
            location=shot.location,
            silent=[Silence(f"s{number}", 200.0, 0.9) for number in range(silent)],
        )

    # With nobody's word it is no certainty either way.
    assert 0.2 - 1e-9 <= probability(None) <= 0.8 + 1e-9
    assert probability(0.95) > 0.9
    assert probability(0.05) < 0.1
    ordered = [probability(voice) for voice in (0.1, 0.4, 0.6, 0.9)]
    assert ordered == sorted(ordered)
    assert all(0.0 < probability(0.5, log_evidence=value) < 1.0 for value in (-1e9, 0.0, 1e9))


def test_probability_of_an_incident_is_that_of_its_shots_together() -> None:
    assert incident_probability([0.9, 0.2, 0.7]) == incident_probability([0.2, 0.7, 0.9])
    assert incident_probability([0.95, 0.95]) > incident_probability([0.6, 0.6]) > incident_probability([0.1, 0.1])
    assert 0.0 < incident_probability([0.0]) < incident_probability([1.0]) < 1.0
