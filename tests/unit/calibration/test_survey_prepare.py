"""From sites, heard impulses and weather to the problem that is solved: which errors, which airs, what is left out."""

from __future__ import annotations

import math

import pytest
from survey_files import START_NS

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.errors import InputError
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse, KnownPlace
from shotline_calibration.self_survey.prepare import (
    VAGUE_SPEED_SIGMA_MPS,
    PrepareSettings,
    air_prior,
    paths_assumed,
    prepare,
)

SITES = [Site(name, 300.0 * n, 200.0 * (n % 2), 10.0 + n, 0.5) for n, name in enumerate("abcde")]
STILL = WeatherTimeline.constant(Weather(temperature_c=10.0))
HOUR_NS = 3_600_000_000_000


def heard(name: str, nodes: str, *, hour: float = 0.0, place: KnownPlace | None = None) -> HeardImpulse:
    start_ns = START_NS + round(hour * HOUR_NS)
    # Each pattern of its own, so that none is a repeat of another.
    step_ns = 100_000_000 + 37_000_000 * sum(map(ord, name))
    arrivals = (HeardArrival(node, start_ns + n * n * step_ns, 0.0005) for n, node in enumerate(nodes))
    return HeardImpulse(name, tuple(arrivals), place)


def test_no_usable_impulse_is_told_with_its_reasons() -> None:
    with pytest.raises(InputError, match=r"none of 2 impulses .*2 impulses that fewer than 4 nodes heard.*louder"):
        prepare(SITES, [heard("1", "abc"), heard("2", "ab")], STILL)
    with pytest.raises(
        InputError, match=r"4 arrivals of nodes that have no site.*no site has v, w, x, y; is it the ri"
    ):
        prepare(SITES, [heard("1", "vwxy")], STILL)
    with pytest.raises(InputError, match="nothing was heard"):
        prepare(SITES, [], STILL)


def test_times_count_from_the_first_arrival_and_nodes_have_their_errors() -> None:
    found = prepare(SITES, [heard("1", "abcd")], STILL, PrepareSettings(clock_sigma_s=0.003))
    (impulse,) = found.impulses
    assert impulse.arrival_s[0] == 0.0
    assert impulse.nodes == (0, 1, 2, 3)
    assert impulse.made_s is None
    # On the ground under those that heard it: 11.5 m in the mean, less a mast of 8 m.
    assert impulse.place_m == (0.0, 0.0, 3.5)
    assert impulse.place_sigma_m == (math.inf, math.inf, 2.0)
    assert (found.nodes[0].sigma_m, found.nodes[0].sigma_z_m) == (0.5, 1.0)
    # The clock, and 1 ms that all paths of a node may share.
    assert found.nodes[0].clock_sigma_s == pytest.approx(math.sqrt(0.003**2 + 0.001**2))
    assert paths_assumed(4.0).path_sigma_s == 0.004


def test_a_known_place_counts_with_its_time_only_where_that_has_an_error() -> None:
    place = KnownPlace("", 10.0, 20.0, 1.0, 0.1, 0.2, time_ns=START_NS - 250_000_000)
    timed = KnownPlace("", 90.0, 20.0, 1.0, 0.1, 0.2, time_ns=START_NS - 250_000_000, time_sigma_s=0.0002)
    said, counted = prepare(SITES, [heard("1", "ab", place=place), heard("2", "ab", place=timed)], STILL).impulses
    assert (said.place_m, said.place_sigma_m, said.made_s) == ((10.0, 20.0, 1.0), (0.1, 0.1, 0.2), None)
    assert (counted.made_s, counted.made_sigma_s) == (pytest.approx(-0.25, abs=1e-12), 0.0002)


def test_impulses_too_few_heard_and_strangers_are_counted() -> None:
    found = prepare(SITES, [heard("1", "abc"), heard("2", "abcx"), heard("3", "abcde")], STILL)
    assert [each.name for each in found.heard] == ["3"]
    assert found.left_out == {
        "arrivals of nodes that have no site": 1,
        "impulses that fewer than 4 nodes heard": 2,
    }


def test_airs_are_by_the_hour_with_the_weather_of_their_time() -> None:
    weather = WeatherTimeline([(0, Weather(temperature_c=10.0)), (START_NS + 2 * HOUR_NS, Weather(temperature_c=5.0))])
    impulses = [heard("3", "abcd", hour=2.5), heard("1", "abcd"), heard("2", "abcd", hour=0.9)]
    found = prepare(SITES, impulses, weather)
    assert [each.name for each in found.heard] == ["1", "2", "3"]
    assert [each.air for each in found.impulses] == [0, 0, 1]
    assert [each.temperature_c for each in found.weathers] == [10.0, 5.0]
    assert found.spans_ns[0][0] == START_NS
    own = HeardImpulse("4", heard("4", "abcd").arrivals, weather=Weather(temperature_c=30.0))
    assert prepare(SITES, [own], weather).weathers[0].temperature_c == 30.0


def test_the_error_of_the_air_is_as_stated_or_usual_and_never_nothing() -> None:
    settings = PrepareSettings()
    usual = air_prior(Weather(temperature_c=10.0, wind_speed_mps=4.0), settings)
    # dc / dT = c / 2 T: 337.3 m/s / 566 K = 0.596 m/s per degree.
    assert usual.speed_sigma_mps == pytest.approx(2.0 * 0.596, abs=0.01)
    assert usual.wind_sigma_mps == pytest.approx(math.hypot(1.0, 0.6))
    stated = air_prior(Weather(temperature_c=10.0, temperature_sigma_c=1.0, wind_sigma_mps=0.5), settings)
    assert stated.speed_sigma_mps == pytest.approx(0.596, abs=0.01)
    assert stated.wind_sigma_mps == 0.5
    boast = air_prior(Weather(temperature_c=10.0, temperature_sigma_c=0.0, wind_sigma_mps=0.0), settings)
    assert boast.speed_sigma_mps == pytest.approx(0.298, abs=0.01)
    assert boast.wind_sigma_mps == 0.3
    vague = prepare(SITES, [heard("1", "abcd")], STILL, PrepareSettings(vague_air=True)).airs[0]
    assert vague.speed_sigma_mps == VAGUE_SPEED_SIGMA_MPS
    assert vague.speed_mps == usual.speed_mps
