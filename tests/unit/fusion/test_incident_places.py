"""Places and movement: told when they are there, and not when they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from incident_samples import Range

from fusion_server.incidents import IncidentSettings
from fusion_server.incidents.places import find_places, least_shooters
from fusion_server.incidents.repeats import Repeats, f_tail_2
from shotline.domain import Location, Shot

SETTINGS = IncidentSettings()


def _times_s(rng: np.random.Generator, rounds: int) -> list[float]:
    times: list[float] = np.cumsum(rng.uniform(0.1, 0.8, rounds)).tolist()
    return times


def _fixes(shots: list[Shot]) -> list[Location]:
    return [shot.location for shot in shots]


def _shots(
    rng: np.random.Generator, places: list[tuple[float, float]], times_s: list[float], *, scatter_s: float = 0.0015
) -> list[Shot]:
    array = Range(rng)
    return [array.shot(place, at_s, rng=rng, scatter_s=scatter_s) for place, at_s in zip(places, times_s, strict=True)]


def test_the_tail_of_f_is_exact() -> None:
    # F with 2 and 2 degrees of freedom has P(F > f) = 1 / (1 + f); with 2 and infinitely many it is exp(-f).
    assert f_tail_2(3.0, 2.0) == pytest.approx(0.25, abs=1e-12)
    assert f_tail_2(2.0, 1e12) == pytest.approx(math.exp(-2.0), rel=1e-6)
    assert f_tail_2(-1.0, 5.0) == 1.0


def test_without_scatter_the_offset_between_places_is_exact(rng: np.random.Generator) -> None:
    offset = np.array([0.03, -0.04])
    places = [(10.0, 5.0) if number % 2 else (10.03, 4.96) for number in range(6)]
    compared = Repeats(_fixes(_shots(rng, places, _times_s(rng, 6), scatter_s=0.0)), SETTINGS)
    contrast = np.array([[0.5 if number % 2 == 0 else -0.5 for number in range(6)]])
    # 5 cm: the way is straight to within its square over the distance, 1e-5 m; arrival times are whole nanoseconds.
    assert compared.fit(contrast).effect_m[0] == pytest.approx(offset, abs=5e-5)


def test_two_shooters_40_m_apart_are_two_places(rng: np.random.Generator) -> None:
    which = [0, 1, 0, 0, 1, 1, 0, 1]
    times_s = [0.0, 0.18, 0.62, 1.21, 1.0, 1.6, 1.9, 2.1]
    order = np.argsort(times_s)
    places = [((5.0, 3.0), (45.0, 3.0))[which[index]] for index in order]
    shots = _shots(rng, places, sorted(times_s))
    found = find_places(_fixes(shots), SETTINGS)
    expected = {tuple(n for n, index in enumerate(order) if which[index] == side) for side in (0, 1)}
    assert set(found.groups) == expected
    assert found.p_value is not None
    assert found.p_value < 1e-3
    assert found.movement is None
    assert least_shooters(_fixes(shots), found.groups, SETTINGS) == 2


def test_one_who_walks_over_and_fires_again_need_not_be_two(rng: np.random.Generator) -> None:
    places = [(5.0, 3.0)] * 3 + [(25.0, 3.0)] * 3
    shots = _shots(rng, places, [0.0, 0.4, 0.9, 5.0, 5.5, 5.9])
    found = find_places(_fixes(shots), SETTINGS)
    assert found.groups == ((0, 1, 2), (3, 4, 5))
    assert least_shooters(_fixes(shots), found.groups, SETTINGS) == 1


def test_a_moving_shooter_moves_and_is_one(rng: np.random.Generator) -> None:
    times_s = _times_s(rng, 8)
    velocity = np.array([6.0, -8.0])
    places = [(10.0 + 6.0 * at_s, 5.0 - 8.0 * at_s) for at_s in times_s]
    found = find_places(_fixes(_shots(rng, places, times_s)), SETTINGS)
    assert len(found.groups) == 1
    assert found.movement is not None
    speed = float(np.hypot(*velocity))
    # Four sigma of what it says itself, and 2 % for the nominal speed of sound and the straight ray.
    assert abs(found.movement.speed_mps - speed) < 4.0 * found.movement.speed_sigma_mps + 0.02 * speed
    assert found.movement.heading_deg == pytest.approx(math.degrees(math.atan2(6.0, -8.0)), abs=10.0)
    assert found.movement.p_value < SETTINGS.significance


def test_nobody_is_faster_than_a_car(rng: np.random.Generator) -> None:
    times_s = [0.0, 0.4, 0.9, 1.3, 1.9]
    places = [(10.0 + 70.0 * at_s, 5.0) for at_s in times_s]
    assert find_places(_fixes(_shots(rng, places, times_s)), SETTINGS).movement is None


def test_what_keeps_in_step_is_an_echo_and_no_shooter(rng: np.random.Generator) -> None:
    array = Range(rng)
    fired_s = [0.0, 0.45, 1.2, 1.55]
    shots = []
    for at_s in fired_s:
        shots.append(array.shot((5.0, 3.0), at_s, rng=rng))
        shots.append(array.shot((65.0, 3.0), at_s + 0.12, rng=rng))
    found = find_places(_fixes(shots), SETTINGS)
    assert found.groups == (tuple(range(8)),)
    assert found.echoes in ((0, 2, 4, 6), (1, 3, 5, 7))


def test_a_bad_pick_is_no_second_shooter(rng: np.random.Generator) -> None:
    array = Range(rng, nodes=7)
    late = array.path_s.copy()
    late[2] += 0.04
    for bad in range(5):
        shots = []
        for number, at_s in enumerate([0.0, 0.9, 1.9, 2.7, 3.8]):
            fair = array.path_s
            array.path_s = late if number == bad else fair
            shots.append(array.shot((10.0, 5.0), at_s, rng=rng))
            array.path_s = fair
        found = find_places(_fixes(shots), SETTINGS)
        assert len(found.groups) == 1
        assert found.movement is None


@pytest.mark.parametrize(("rounds", "nodes"), [(2, 8), (4, 8), (8, 6)])
def test_one_stationary_shooter_is_one_place_and_still(rounds: int, nodes: int) -> None:
    rng = np.random.default_rng([rounds, nodes])
    false = 0
    for _ in range(60):
        array = Range(rng, nodes=nodes)
        shots = []
        for at_s in _times_s(rng, rounds):
            heard = rng.random(nodes) < 0.9
            heard[rng.permutation(nodes)[:5]] = True
            shots.append(array.shot((10.0, 5.0), at_s, rng=rng, scatter_s=0.002, heard=heard))
        found = find_places(_fixes(shots), SETTINGS)
        false += len(found.groups) > 1 or found.movement is not None
    # At 2 % for the two tests together (1 % each), more than 5 of 60 has a chance of 0.1 %.
    assert false <= 5


def test_the_answer_turns_and_shifts_with_the_world() -> None:
    answers = []
    for turn_rad, shift_m in ((0.0, (0.0, 0.0)), (0.7, (5_000.0, -3_000.0)), (3.0, (-20.0, 60.0))):
        rng = np.random.default_rng(11)
        array = Range(rng)
        times_s = _times_s(rng, 6)
        shots = [
            array.shot((10.0 + 9.0 * at_s, 5.0), at_s, rng=rng, turn_rad=turn_rad, shift_m=shift_m) for at_s in times_s
        ]
        found = find_places(_fixes(shots), SETTINGS)
        assert found.movement is not None
        turned_deg = math.degrees(turn_rad)
        answers.append((found.movement.speed_mps, (found.movement.heading_deg + turned_deg) % 360.0, len(found.groups)))
    # Settled to a thousandth of the scatter of 2 ms: below a millimetre, so 1 mm/s of speed.
    for other in answers[1:]:
        assert other == pytest.approx(answers[0], rel=1e-3)


def test_too_little_to_compare_says_nothing(rng: np.random.Generator) -> None:
    array = Range(rng)
    four = np.zeros(len(array.sites_m), dtype=bool)
    four[:4] = True
    far = [array.shot((x_m, 0.0), 0.5 * x_m / 40.0, rng=rng, heard=four) for x_m in (0.0, 40.0, 0.0, 40.0)]
    assert find_places(_fixes(far), SETTINGS).groups == ((0, 1, 2, 3),)
    assert find_places(_fixes(far[:1]), SETTINGS).groups == ((0,),)
