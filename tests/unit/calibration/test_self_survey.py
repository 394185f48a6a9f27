from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from survey_samples import Truth, made_up

from shotline.errors import InputError
from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.equations import PER_NODE, Arrivals, Linear, State
from shotline_calibration.self_survey.observability import Told, motions
from shotline_calibration.self_survey.problem import AirPrior, Impulse, NodePrior, SelfSurvey, SurveySettings
from shotline_calibration.self_survey.starts import start_state


def _errors(truth: Truth, found: SelfSurvey) -> tuple[np.ndarray, np.ndarray]:
    place = np.array([(node.x_m, node.y_m) for node in found.nodes]) - truth.node_m[:, :2]
    clock = np.array([node.clock_offset_s for node in found.nodes]) - truth.clock_offset_s
    return place, clock


def _nees(truth: Truth, found: SelfSurvey) -> float:
    """Squared error in units of the claimed covariance, per axis: 1 is honest."""
    place, _ = _errors(truth, found)
    rows = np.array([[PER_NODE * index, PER_NODE * index + 1] for index in range(len(place))]).ravel()
    covariance = found.node_covariance[np.ix_(rows, rows)]
    error = place.ravel()
    return float(error @ np.linalg.solve(covariance, error)) / len(error)


def _rms(errors: np.ndarray) -> float:
    return float(np.sqrt((errors**2).sum(axis=-1).mean()))


def test_unknown_impulses_bring_nodes_nearer_to_where_they_are_and_say_how_near() -> None:
    before, after, honest = [], [], []
    for seed in range(6):
        truth = made_up(seed)
        found = self_survey(truth.nodes, truth.impulses, truth.airs)
        surveyed = np.array([(node.x_m, node.y_m) for node in truth.nodes])
        before.append(_rms(surveyed - truth.node_m[:, :2]))
        after.append(_rms(_errors(truth, found)[0]))
        honest.append(_nees(truth, found))
    assert np.mean(after) < 0.55 * np.mean(before)
    # Six networks of 24 axes: chi-square over its 144 degrees of freedom is within 0.70 and 1.36 in 99.8 %.
    assert 0.7 < np.mean(honest) < 1.36


def test_impulses_at_known_places_hold_the_whole_network() -> None:
    truth = made_up(1, known=12)
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    place, _ = _errors(truth, found)
    told = {motion.name: motion for motion in motions(truth.nodes, truth.airs, found)}
    for axis, name in enumerate(("shift east", "shift north")):
        assert abs(place[:, axis].mean()) < 3.5 * told[name].sigma_after < 0.5 * 3.5 * told[name].sigma_before
    assert abs(found.speed_mps[0] - truth.speed_mps) < 4.0 * found.speed_sigma_mps[0] < 1.5


def test_with_every_place_known_only_picks_are_left() -> None:
    truth = made_up(3, known=40, path_sigma_s=1e-7, detours=0.0)
    exact = [
        replace(
            impulse,
            place_m=tuple(float(value) for value in place),
            place_sigma_m=(1e-4, 1e-4, 1e-4),
        )
        for impulse, place in zip(truth.impulses, truth.place_m, strict=True)
    ]
    found = self_survey(truth.nodes, exact, truth.airs)
    place, clock = _errors(truth, found)
    # What is left is the picks' 0.3 ms, which is 0.1 m, over some twenty impulses.
    assert _rms(place) < 0.15
    # A wind is as good as a tilt of all clocks, and nobody knows when the impulses were made: that is left open.
    plane = np.column_stack([truth.node_m[:, :2], np.ones(len(clock))])
    flat = clock - plane @ np.linalg.lstsq(plane, clock, rcond=None)[0]
    assert np.abs(flat).max() < 0.0005 < np.abs(clock).max()
    assert abs(found.speed_mps[0] - truth.speed_mps) < 0.1


def test_detours_are_set_aside() -> None:
    truth = made_up(4)
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    late = np.concatenate(truth.late)
    set_aside = ~np.concatenate(found.used)
    residual_s = np.abs(np.concatenate(found.residual_s))
    assert late.sum() >= 6
    # A detour that nothing checks, of four nodes that heard an impulse, moves the impulse instead.
    assert set_aside[late].mean() > 0.6
    assert residual_s[late & ~set_aside].max(initial=0.0) < 0.01
    assert set_aside[~late].mean() < 0.03
    assert found.path_sigma_s == pytest.approx(0.002, rel=0.25)


def test_a_node_at_another_place_than_its_survey_says_is_found() -> None:
    truth = made_up(2)
    nodes = list(truth.nodes)
    nodes[3] = replace(nodes[3], x_m=nodes[3].x_m + 30.0)
    found = self_survey(nodes, truth.impulses, truth.airs)
    assert [node.node for node in found.nodes if node.prior_dropped] == ["roof-04"]
    assert found.nodes[3].surprise > 6.0
    assert max(node.surprise for index, node in enumerate(found.nodes) if index != 3) < 4.0
    at = np.array([found.nodes[3].x_m, found.nodes[3].y_m])
    assert np.linalg.norm(at - truth.node_m[3, :2]) < 3.0 * np.hypot(found.nodes[3].sigma_x_m, found.nodes[3].sigma_y_m)


def test_what_the_sound_cannot_tell_is_said() -> None:
    alone, held = made_up(1), made_up(1, known=12)
    told = {m.name: m for m in motions(alone.nodes, alone.airs, self_survey(alone.nodes, alone.impulses, alone.airs))}
    for name in ("shift east", "shift north", "turn", "clocks together"):
        assert told[name].told is Told.NO
        assert told[name].sigma_after == pytest.approx(told[name].sigma_before, rel=1e-3)
    told = {m.name: m for m in motions(held.nodes, held.airs, self_survey(held.nodes, held.impulses, held.airs))}
    for name in ("shift east", "shift north", "turn", "scale", "speed of sound"):
        assert told[name].told is Told.YES
    assert told["clocks together"].told is Told.NO


def test_an_impulse_at_a_known_time_tells_what_all_clocks_share() -> None:
    truth = made_up(1, known=12)
    timed = [
        replace(impulse, made_s=10.0 * (int(impulse.name.split()[1]) - 1), made_sigma_s=1e-4)
        if math.isfinite(impulse.place_sigma_m[0])
        else impulse
        for impulse in truth.impulses
    ]
    found = self_survey(truth.nodes, timed, truth.airs)
    told = {m.name: m for m in motions(truth.nodes, truth.airs, found)}
    assert told["clocks together"].told is Told.YES
    off_s = float((_errors(truth, found)[1]).mean())
    assert abs(off_s) < 4.0 * told["clocks together"].sigma_after
    with pytest.raises(InputError, match="was made at no time"):
        self_survey(truth.nodes, [replace(timed[0], made_sigma_s=0.0), *timed[1:]], truth.airs)


def test_an_impulse_of_which_two_places_fit_is_not_used_as_if_one_did() -> None:
    """Seed 23: the four nodes that heard the last impulse put it 600 m from where it was, just as well."""
    truth = made_up(23, detours=0.0)
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    used = np.array([bool(each.any()) for each in found.used])
    off_m = np.linalg.norm(found.places_m[:, :2] - truth.place_m[:, :2], axis=1)
    assert (off_m[used] < 100.0).all()
    assert used.sum() >= len(used) - 2


def test_of_an_impulse_the_likeliest_culprit_goes_first() -> None:
    """One arrival 40 ms late bends the place of its impulse; the others look wrong then, and must stay."""
    truth = made_up(4, detours=0.0)
    number = next(n for n, impulse in enumerate(truth.impulses) if len(impulse.nodes) == 8)
    impulse = truth.impulses[number]
    late = replace(impulse, arrival_s=(impulse.arrival_s[0] + 0.04, *impulse.arrival_s[1:]))
    found = self_survey(truth.nodes, [*truth.impulses[:number], late, *truth.impulses[number + 1 :]], truth.airs)
    assert found.used[number].tolist() == [False] + [True] * 7
    assert found.residual_s[number][0] == pytest.approx(0.04, abs=0.008)


def test_detours_that_nothing_shows_are_in_the_error() -> None:
    """The more arrivals were set aside, the more are likely to be left: the same data, another share."""
    truth = made_up(4)
    few = self_survey(truth.nodes, truth.impulses, truth.airs, SurveySettings(detour_share=0.0, detour_s=1e-4))
    many = self_survey(truth.nodes, truth.impulses, truth.airs)
    for one, other in zip(few.nodes, many.nodes, strict=True):
        assert one.clock_sigma_s < other.clock_sigma_s < 1.5 * one.clock_sigma_s


def test_derivatives_are_those_of_the_travel_time() -> None:
    truth = made_up(5, impulses=6)
    arrivals = Arrivals.of(truth.impulses)
    state, started = start_state(truth.nodes, truth.impulses, truth.airs, SurveySettings())
    assert started.all()
    linear = Linear.at(state, arrivals)
    step = 1e-4
    for column in range(linear.common.shape[1]):
        common = np.zeros(linear.common.shape[1])
        common[column] = step
        ahead = Linear.at(state.moved(common, np.zeros_like(state.impulses_m)), arrivals).residual_m
        behind = Linear.at(state.moved(-common, np.zeros_like(state.impulses_m)), arrivals).residual_m
        np.testing.assert_allclose((behind - ahead) / (2 * step), linear.common[:, column], atol=1e-5)
    for axis in range(4):
        own = np.zeros_like(state.impulses_m)
        own[:, axis] = step
        still = np.zeros(linear.common.shape[1])
        ahead = Linear.at(state.moved(still, own), arrivals).residual_m
        behind = Linear.at(state.moved(still, -own), arrivals).residual_m
        np.testing.assert_allclose((behind - ahead) / (2 * step), linear.own[:, axis], atol=1e-5)


def test_the_order_of_impulses_does_not_matter() -> None:
    truth = made_up(6, impulses=20)
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    turned = self_survey(truth.nodes, truth.impulses[::-1], truth.airs)
    for one, other in zip(found.nodes, turned.nodes, strict=True):
        assert one.x_m == pytest.approx(other.x_m, abs=2e-3)
        assert one.clock_offset_s == pytest.approx(other.clock_offset_s, abs=1e-5)


def _nodes(count: int) -> list[NodePrior]:
    return [NodePrior(f"n{i}", 100.0 * i, 50.0 * (i % 2)) for i in range(count)]


AIR = [AirPrior(343.0, 1.0)]
HEARD = Impulse("one", (0, 1, 2, 3), (0.0, 0.1, 0.2, 0.3), (0.001,) * 4)


@pytest.mark.parametrize(
    ("nodes", "impulses", "says"),
    [
        (_nodes(2), [], "2 nodes; a self-survey needs three"),
        ([*_nodes(3), _nodes(1)[0]], [], "node n0 is given twice"),
        (_nodes(4), [replace(HEARD, sigma_s=(0.001,))], "not as many arrivals and sigmas as nodes"),
        (_nodes(4), [replace(HEARD, nodes=(0, 0, 1, 2))], "names a node twice"),
        (_nodes(4), [replace(HEARD, nodes=(0, 1, 2, 9))], "that is not there"),
        (_nodes(4), [replace(HEARD, sigma_s=(0.0, 1.0, 1.0, 1.0))], "sigma that is not above zero"),
        (_nodes(4), [replace(HEARD, arrival_s=(0.0, float("nan"), 1.0, 1.0))], "an arrival that is no number"),
        ([replace(_nodes(1)[0], sigma_m=0.0), *_nodes(4)[1:]], [], "sigma of its survey that is not above zero"),
        (_nodes(4), [replace(HEARD, nodes=(0, 1), arrival_s=(0.0, 0.1), sigma_s=(0.1, 0.1))], "none of 1 impulses"),
    ],
)
def test_problems_without_an_answer_are_refused(nodes: list[NodePrior], impulses: list[Impulse], says: str) -> None:
    with pytest.raises(InputError, match=says):
        self_survey(nodes, impulses, AIR)


def test_many_nodes_and_impulses() -> None:
    """The impulses are taken out one by one: what is solved is as large as the network."""
    truth = made_up(7, nodes=40, impulses=120, side_m=2000.0)
    arrivals = Arrivals.of(truth.impulses)
    state = State(
        np.column_stack([truth.node_m, np.zeros(len(truth.node_m))]),
        np.array([[343.0, 0.0, 0.0]]),
        np.column_stack([truth.place_m, np.zeros(len(truth.place_m))]),
    )
    assert Linear.at(state, arrivals).common.shape == (len(arrivals.node), 4 * 40 + 3)
    found = self_survey(truth.nodes, truth.impulses, truth.airs)
    assert _rms(_errors(truth, found)[0]) < 2.6
