"""Why a shot was taken: what it passed over, who was silent, which other places lost."""

from __future__ import annotations

import math

import numpy as np
from conftest import START_NS, Network, play

from shotline.domain import Shot
from shotline.units import NS_PER_S, ns_from_seconds

AT_M = (300.0, 350.0)


def _told(network: Network, *others: object, without: str | None = None, rng: np.random.Generator) -> Shot:
    detections = [item for item in network.shot(*AT_M, 1.0, rng=rng) if item.node != without]
    (shot,) = play(network.engine(), [*detections, *others])[-1].shots  # type: ignore[list-item]
    return shot


def test_arrivals_passed_over_say_what_they_are_instead(network: Network, rng: np.random.Generator) -> None:
    distance_m = math.hypot(network.sites[5].x_m - AT_M[0], network.sites[5].y_m - AT_M[1])
    speed_mps = network.weather.speed_of_sound_mps
    heard_ns = START_NS + NS_PER_S + ns_from_seconds(distance_m / speed_mps)
    echo = network.detection(network.sites[5], heard_ns + ns_from_seconds(0.120), snr_db=20.0)
    stray = network.detection(network.sites[0], heard_ns + 8 * NS_PER_S, snr_db=20.0)
    shot = _told(network, echo, stray, rng=rng)
    (verdict,) = shot.passed_over
    assert verdict.arrival.uid == echo.uid
    assert not verdict.used
    # The path's own 2 ms and the fix's place.
    assert verdict.reason.startswith("echo: 1")
    assert verdict.reason.endswith("ms after the arrival used")
    assert abs(verdict.residual_s - 0.120) < 0.01


def test_a_second_shot_owns_its_arrivals(network: Network, rng: np.random.Generator) -> None:
    second = network.shot(520.0, 100.0, 1.2, rng=rng)
    told = play(network.engine(), [*network.shot(*AT_M, 1.0, rng=rng), *second])
    reasons = {item.reason for incident in told[-2:] for shot in incident.shots for item in shot.passed_over}
    assert any(reason.startswith("belongs to the shot 0.2") and reason.endswith("s later") for reason in reasons)
    assert any(reason.startswith("belongs to the shot 0.2") and reason.endswith("s earlier") for reason in reasons)


def test_a_silent_node_is_named_with_the_chance_that_it_would_have_heard(
    network: Network, rng: np.random.Generator
) -> None:
    assert not [item for item in _told(network, rng=rng).silent if item.probability > 0.5]
    shot = _told(network, without="n11", rng=rng)
    first = shot.silent[0]
    assert first.node == "n11"
    assert 0.5 < first.probability <= 0.9 + 1e-6
    assert abs(first.distance_m - math.hypot(network.sites[5].x_m - AT_M[0], network.sites[5].y_m - AT_M[1])) < 5.0


def test_places_that_lost_say_why(network: Network, rng: np.random.Generator) -> None:
    # Clutter everywhere, so that other places find some of the arrivals to their liking.
    clutter = [
        network.detection(site, START_NS + ns_from_seconds(float(at_s)), snr_db=30.0)
        for site in network.sites
        for at_s in rng.uniform(0.5, 3.5, 8)
    ]
    shot = _told(network, *clutter, rng=rng)
    assert shot.lost
    assert [item.log_evidence for item in shot.lost] == sorted((item.log_evidence for item in shot.lost), reverse=True)
    for item in shot.lost:
        apart_m = math.hypot(item.x_m - AT_M[0], item.y_m - AT_M[1])
        assert apart_m > 25.0 or abs(item.origin_time_ns - START_NS - NS_PER_S) > ns_from_seconds(0.03)
        assert item.reason.startswith(("node", "fewer nodes agree", "its arrivals belong", "evidence"))
