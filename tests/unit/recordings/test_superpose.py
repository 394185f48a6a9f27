"""Superposing events: identities, instants and truth of what is made; the moved event's exact geometry."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.errors import InputError
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_MS, NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import PulseSet, Scene, TruthEvent
from shotline_recordings.superpose import moved_event, one_event, superposed

SITES = (Site("a", 0.0, 0.0), Site("b", 400.0, 0.0), Site("c", 0.0, 300.0), Site("d", -250.0, -90.0))
PLACE = (120.0, 80.0)
COLD = Weather(temperature_c=-5.0)
WINDY = Weather(temperature_c=18.0, wind_speed_mps=6.0, wind_from_deg=250.0)
START_NS = 1_700_000_000 * NS_PER_S


def travel_ns(place: tuple[float, float], weather: Weather) -> dict[str, int]:
    delays_s = travel_time_s(
        np.array(place),
        np.array([(site.x_m, site.y_m) for site in SITES]),
        speed_of_sound_mps=weather.speed_of_sound_mps,
        wind_mps=np.array(weather.wind_enu_mps),
    )
    return {site.node: ns_from_seconds(float(delay_s)) for site, delay_s in zip(SITES, delays_s, strict=True)}


def detection(node: str, boot: int, sequence: int, arrival_time_ns: int) -> Detection:
    return Detection(
        node=node,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=arrival_time_ns,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=100.0 + sequence,
        level_reference=LevelReference.DB_SPL,
        snr_db=20.0,
        rise_time_s=0.0,
        model_id="test",
    )


def scene_of(tests: dict[str, tuple[int, tuple[float, ...], Weather]]) -> Scene:
    """Return a scene of tests: name -> (first instant, discharges in seconds from it, weather)."""
    detections, truth, sets = [], [], []
    for boot, (name, (first_ns, times_s, weather)) in enumerate(tests.items(), start=1):
        delay_ns = travel_ns(PLACE, weather)
        instants = [first_ns + ns_from_seconds(time_s) for time_s in times_s]
        made = [
            detection(node, boot, sequence, instant_ns + delay_ns[node])
            for node in delay_ns
            for sequence, instant_ns in enumerate(instants)
        ]
        detections += made
        sets.append(PulseSet(name, 0, tuple(item.uid for item in made if item.sequence == 0)))
        truth.append(
            TruthEvent(
                event=name,
                x_m=PLACE[0],
                y_m=PLACE[1],
                z_m=0.0,
                sigma_m=2.5,
                rounds=len(times_s),
                shot_times_ns=tuple(instants),
                window_ns=(first_ns - NS_PER_S, first_ns + 8 * NS_PER_S),
                label=name,
            )
        )
    return Scene(
        name="place",
        frame=None,
        sites=SITES,
        weather=WeatherTimeline([(first_ns - NS_PER_S, weather) for first_ns, _, weather in tests.values()]),
        detections=tuple(sorted(detections, key=lambda item: (item.arrival_time_ns, item.uid))),
        pulse_sets=tuple(sets),
        truth=tuple(truth),
    )


@pytest.fixture
def scene() -> Scene:
    return scene_of(
        {
            "one": (START_NS, (0.0, 0.5), COLD),
            "two": (START_NS + 60 * NS_PER_S, (0.0, 0.53, 1.2), WINDY),
        }
    )


def test_one_event_is_just_that_test_in_its_own_weather(scene: Scene) -> None:
    alone = one_event(scene, "two")
    assert alone.name == "place/two"
    assert [item.event for item in alone.truth] == ["two"]
    assert {item.boot for item in alone.detections} == {2}
    assert len(alone.detections) == 3 * len(SITES)
    assert [item.event for item in alone.pulse_sets] == ["two"]
    assert alone.weather.at(0) == WINDY
    assert one_event(scene, "one").weather.at(START_NS + 3600 * NS_PER_S) == COLD


def test_an_unknown_event_is_refused_by_name(scene: Scene) -> None:
    with pytest.raises(InputError, match="scene place has no event three; there are one, two"):
        one_event(scene, "three")


def test_a_moved_event_is_heard_as_if_fired_there_wind_included(scene: Scene) -> None:
    moved = moved_event(one_event(scene, "two"), east_m=-36.0, north_m=48.0)
    (truth,) = moved.truth
    assert (truth.x_m, truth.y_m) == (PLACE[0] - 36.0, PLACE[1] + 48.0)
    delay_ns = travel_ns((truth.x_m, truth.y_m), WINDY)
    assert moved.detections
    for item in moved.detections:
        # Three travel times, each rounded to a nanosecond.
        assert abs(item.arrival_time_ns - (truth.shot_times_ns[item.sequence] + delay_ns[item.node])) <= 2
    times_ns = [item.arrival_time_ns for item in moved.detections]
    assert times_ns == sorted(times_ns)
    assert truth.window_ns[0] <= times_ns[0]
    assert times_ns[-1] <= truth.window_ns[1]


def test_what_a_real_path_adds_stays_when_an_event_is_moved(scene: Scene) -> None:
    alone = one_event(scene, "one")
    late = {item.uid: 7 * NS_PER_MS + index for index, item in enumerate(alone.detections)}
    crooked = replace(
        alone,
        detections=tuple(
            detection(item.node, item.boot, item.sequence, item.arrival_time_ns + late[item.uid])
            for item in alone.detections
        ),
    )
    straight_ns = {item.uid: item.arrival_time_ns for item in moved_event(alone, east_m=60.0, north_m=0.0).detections}
    for item in moved_event(crooked, east_m=60.0, north_m=0.0).detections:
        assert item.arrival_time_ns - straight_ns[item.uid] == late[item.uid]
        assert item.peak_level_db == 100.0 + item.sequence


@pytest.mark.parametrize("offset_s", [0.2, -0.9])
def test_the_second_tests_first_discharge_falls_at_the_offset(scene: Scene, offset_s: float) -> None:
    first, second = one_event(scene, "one"), one_event(scene, "two")
    both = superposed(first, second, offset_s=offset_s, one_sound_s=0.04)
    assert both.one_sound == 0
    assert both.scene.name == "place/one+two"
    shift_ns = START_NS + ns_from_seconds(offset_s) - second.truth[0].shot_times_ns[0]
    was_ns = {item.uid: item.arrival_time_ns for item in (*first.detections, *second.detections)}
    assert {item.uid for item in both.scene.detections} == set(was_ns)
    for item in both.scene.detections:
        assert item.arrival_time_ns - was_ns[item.uid] == (shift_ns if item.boot == 2 else 0)
    (truth,) = both.scene.truth
    assert truth.rounds == 5
    second_ns = [time_ns + shift_ns for time_ns in second.truth[0].shot_times_ns]
    assert truth.shot_times_ns == tuple(sorted([*first.truth[0].shot_times_ns, *second_ns]))
    assert truth.window_ns[0] == min(first.truth[0].window_ns[0], second.truth[0].window_ns[0] + shift_ns)
    assert both.closest_s == pytest.approx(
        min(abs(a - b) for a in first.truth[0].shot_times_ns for b in second_ns) / NS_PER_S, abs=1e-9
    )
    assert both.scene.weather.at(START_NS) == COLD


def test_discharges_at_one_place_that_are_one_sound_count_once(scene: Scene) -> None:
    first, second = one_event(scene, "one"), one_event(scene, "two")
    both = superposed(first, second, offset_s=0.0, one_sound_s=0.04)
    # 0.0 and 0.53 s of the second meet 0.0 and 0.5 s of the first.
    assert both.one_sound == 2
    (truth,) = both.scene.truth
    assert truth.rounds == 3
    assert truth.shot_times_ns == tuple(START_NS + ns_from_seconds(time_s) for time_s in (0.0, 0.5, 1.2))
    assert both.closest_s == pytest.approx(0.7, abs=1e-9)
    assert len(both.scene.detections) == 5 * len(SITES)
    assert superposed(first, second, offset_s=0.0, one_sound_s=0.02).one_sound == 1


def test_two_places_keep_two_events_and_every_discharge(scene: Scene) -> None:
    first = one_event(scene, "one")
    elsewhere = moved_event(one_event(scene, "two"), east_m=60.0, north_m=0.0)
    both = superposed(first, elsewhere, offset_s=0.0, one_sound_s=0.04)
    assert both.one_sound == 0
    assert [item.event for item in both.scene.truth] == ["one", "two"]
    assert [item.rounds for item in both.scene.truth] == [2, 3]
    assert both.scene.truth[1].shot_times_ns[0] == START_NS
    assert both.closest_s == 0.0


def test_when_all_of_the_second_is_one_sound_nothing_is_close() -> None:
    single = scene_of({"one": (START_NS, (0.0,), COLD), "two": (START_NS + 60 * NS_PER_S, (0.0,), COLD)})
    both = superposed(one_event(single, "one"), one_event(single, "two"), offset_s=0.01, one_sound_s=0.04)
    assert both.one_sound == 1
    assert both.scene.truth[0].rounds == 1
    assert math.isinf(both.closest_s)


def test_what_cannot_be_superposed_is_refused(scene: Scene) -> None:
    first, second = one_event(scene, "one"), one_event(scene, "two")
    with pytest.raises(InputError, match="8 detections are in both place/one and place/one, such as"):
        superposed(first, first, offset_s=0.0, one_sound_s=0.04)
    with pytest.raises(InputError, match="different sites; expected the same"):
        superposed(first, replace(second, sites=SITES[:3]), offset_s=0.0, one_sound_s=0.04)
    with pytest.raises(InputError, match=r"scene place has 2 events with \[2, 3\] timed discharges"):
        superposed(scene, second, offset_s=0.0, one_sound_s=0.04)
    untimed = replace(second, truth=(replace(second.truth[0], shot_times_ns=()),))
    with pytest.raises(InputError, match=r"1 events with \[0\] timed discharges; expected one event"):
        moved_event(untimed, east_m=60.0, north_m=0.0)
