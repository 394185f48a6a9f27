"""The network self-check on made-up towns: what is wrong is found and named, what is not wrong is left alone."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from netcheck_samples import Fault, Town, town_of

from fusion_server.netcheck import (
    Cause,
    Change,
    CheckedShot,
    Estimate,
    NetcheckSettings,
    NetworkCheck,
    NodeState,
    Standing,
)

BEFORE = 60


def judged(check: NetworkCheck, shots: Iterable[CheckedShot]) -> list[Change]:
    return [change for shot in shots for change in check.add(shot)]


def town(**more: object) -> Town:
    """Return a town of 12 nodes whose paths scatter by 1 ms."""
    return town_of(5, nodes=12, path_sigma_s=0.001, **more)  # type: ignore[arg-type]


def with_history(shots: Iterable[CheckedShot], made: Town) -> NetworkCheck:
    check = NetworkCheck(made.sites)
    assert judged(check, shots) == []
    assert all(state.standing is Standing.OK for state in check.states())
    return check


def fault_in(number: int, fault: Fault, count: int = 80) -> tuple[NetworkCheck, list[Change]]:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    return check, judged(check, made.shots(count, node=number, fault=fault))


@pytest.mark.parametrize("side", [-1.0, 1.0])
def test_a_clock_that_steps_is_flagged_then_quarantined_and_said_to_which_side(side: float) -> None:
    check, changes = fault_in(0, Fault(clock_s=side * 0.006))
    assert [(change.state.node, change.before, change.state.standing) for change in changes] == [
        ("roof-01", Standing.OK, Standing.FLAGGED),
        ("roof-01", Standing.FLAGGED, Standing.QUARANTINED),
    ]
    best = changes[1].state.estimates[0]
    assert best.cause is Cause.CLOCK
    # Within 3 of its own sigmas, and those no wider than the scatter of paths.
    assert abs(best.value - side * 0.006) < 3.0 * best.sigma < 0.003
    assert f"ms {'late' if side > 0 else 'early'} in " in changes[1].state.reason
    assert check.quarantined == {"roof-01"}


def test_a_moved_node_is_told_from_a_wrong_clock() -> None:
    _, changes = fault_in(0, Fault(move_m=(0.0, -10.0)))
    assert {change.state.node for change in changes} == {"roof-01"}
    best = changes[1].state.estimates[0]
    assert best.cause is Cause.MOVED
    assert abs(best.value) < 4.0
    assert -13.0 < best.second < -7.0
    assert "m south of where it is surveyed" in changes[1].state.reason


def test_a_muffled_microphone_is_found_by_levels_and_silence_and_its_times_count_until_then() -> None:
    check, changes = fault_in(0, Fault(deficit_db=20.0))
    assert {change.state.node for change in changes} == {"roof-01"}
    assert changes[0].state.estimates[0].cause is Cause.MUFFLED
    assert changes[0].state.reason.startswith("microphone ")
    assert check.series("roof-01")[0].base.all()


def test_a_wall_between_is_told_as_one() -> None:
    _, changes = fault_in(2, Fault(blocked_s=0.020, blocked_from_rad=0.5 * math.pi))
    assert {change.state.node for change in changes} == {"roof-03"}
    best = changes[1].state.estimates[0]
    assert best.cause is Cause.OBSTRUCTED
    assert best.direction_deg == 90.0
    assert "sound from the east comes " in changes[1].state.reason


def test_a_gross_error_of_one_node_smears_nobody() -> None:
    check, changes = fault_in(0, Fault(clock_s=0.2))
    assert {change.state.node for change in changes} == {"roof-01"}
    assert check.quarantined == {"roof-01"}
    assert changes[-1].state.estimates[0].cause is Cause.CLOCK


def test_two_bad_nodes_at_once_are_both_found() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    bad = {"roof-01": 0.012, "roof-03": -0.010}
    changes = judged(check, (late(shot, bad) for shot in made.shots(50)))
    assert {change.state.node for change in changes} == set(bad)
    assert check.quarantined == set(bad)


def late(shot: CheckedShot, by_s: dict[str, float]) -> CheckedShot:
    """Return a shot in which clocks read late; the place stays as it was located without that."""
    return replace(
        shot,
        arrivals=tuple(
            replace(item, time_ns=item.time_ns + round(1e9 * by_s.get(item.node, 0.0))) for item in shot.arrivals
        ),
    )


def test_a_healed_node_comes_back_by_itself() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    judged(check, (late(shot, {"roof-01": 0.006}) for shot in made.shots(40)))
    assert check.quarantined == {"roof-01"}
    changes = judged(check, made.shots(40))
    assert [(change.state.node, change.state.standing) for change in changes] == [("roof-01", Standing.OK)]


def test_a_technician_clears_a_node_and_it_is_judged_afresh() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    judged(check, (late(shot, {"roof-01": 0.006}) for shot in made.shots(40)))
    change = check.clear("roof-01", 7)
    assert change is not None
    assert (change.before, change.state.standing, change.time_ns) == (Standing.QUARANTINED, Standing.OK, 7)
    assert not check.quarantined
    assert len(check.series("roof-01")[0].y) == 0
    assert judged(check, made.shots(40)) == []
    assert check.clear("roof-01", 8) is None
    assert check.clear("stranger", 8) is None


def test_weather_that_is_wrong_is_no_fault_of_nodes() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    warmer = (
        replace(shot, weather=replace(shot.weather, temperature_c=shot.weather.temperature_c + 8.0))
        for shot in made.shots(60)
    )
    assert judged(check, warmer) == []


def test_nothing_is_said_on_thin_evidence() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    # Four sounds 30 ms late, however clear, are fewer than five; nor do fewer than five nodes judge each other.
    changes: list[Change] = []
    heard = 0
    for shot in made.shots(40):
        heard += any(item.node == "roof-01" for item in shot.arrivals)
        if heard > 4:
            break
        changes += check.add(late(shot, {"roof-01": 0.03}))
    assert changes == []
    shots = check.shots
    assert check.add(replace(shot, arrivals=shot.arrivals[:4])) == ()
    assert check.add(replace(shot, cep95_m=200.0)) == ()
    assert check.shots == shots


def test_one_place_is_one_path() -> None:
    """What comes late from one place only is a new wall there, not the node."""
    made = town(hot_share=1.0)
    made.hot_m[:], made.hot_spread_m = made.hot_m[0], 5.0
    check = NetworkCheck(made.sites)
    judged(check, made.shots(30))
    assert judged(check, (late(shot, {"roof-01": 0.01}) for shot in made.shots(30))) == []


def test_no_more_than_a_third_of_the_nodes_is_doubted() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    bad = {site.node: 0.02 * (-1.0) ** index for index, site in enumerate(made.sites[:7])}
    judged(check, (late(shot, bad) for shot in made.shots(60)))
    doubted = [state for state in check.states() if state.standing is not Standing.OK]
    assert len(doubted) <= 4


def test_the_score_of_a_flag_fades_and_then_the_flag_is_lifted() -> None:
    made = town()
    check = with_history(list(made.shots(BEFORE)), made)
    for shot in made.shots(60):
        if any(change.state.standing is Standing.FLAGGED for change in check.add(late(shot, {"roof-01": 0.008}))):
            break
    (state,) = [item for item in check.states() if item.standing is Standing.FLAGGED]
    half_life_ns = round(NetcheckSettings().half_life_s * 1e9)
    assert state.changed_ns is not None
    (faded,) = [item for item in check.states(state.changed_ns + half_life_ns) if item.node == "roof-01"]
    assert faded.score == pytest.approx(0.5 * state.score, rel=1e-9)


def test_what_was_known_before_a_restart_is_taken_over() -> None:
    made = town()
    check = NetworkCheck(made.sites)
    known = NodeState(
        "roof-01", Standing.QUARANTINED, (Estimate(Cause.CLOCK, 20.0, 0.006, 0.0005),), "clock reads late", 20.0
    )
    check.resume(known)
    check.resume(replace(known, node="stranger"))
    check.resume(replace(known, node="roof-05", standing=Standing.OK))
    assert check.quarantined == {"roof-01"}
    judged(check, (late(shot, {"roof-01": 0.006}) for shot in made.shots(60)))
    assert check.quarantined == {"roof-01"}
    judged(check, made.shots(40))
    assert not check.quarantined


def test_a_shift_and_a_turn_of_the_network_change_nothing() -> None:
    made = town()
    shots = list(made.shots(BEFORE))
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])

    def placed(x_m: float, y_m: float) -> tuple[float, float]:
        x, y = (turn @ (x_m, y_m)).tolist()
        return x + 5000.0, y - 3000.0

    sites = []
    for site in made.sites:
        x_m, y_m = placed(site.x_m, site.y_m)
        sites.append(replace(site, x_m=x_m, y_m=y_m))
    check, turned = NetworkCheck(made.sites), NetworkCheck(sites)
    for shot in shots:
        x_m, y_m = placed(shot.x_m, shot.y_m)
        # A quarter turn counter-clockwise: a wind from 90 degrees comes from 0.
        weather = replace(shot.weather, wind_from_deg=(shot.weather.wind_from_deg - 90.0) % 360.0)
        check.add(shot)
        turned.add(replace(shot, x_m=x_m, y_m=y_m, weather=weather))
    for site in made.sites:
        # Rounding of the sines: a nanosecond.
        assert np.allclose(check.series(site.node)[0].y, turned.series(site.node)[0].y, atol=1e-9)


def test_the_delay_map_shows_what_comes_late_from_where() -> None:
    made = town()
    check = NetworkCheck(made.sites)
    # Shrunk: a tenth of it and more is left where few sounds came from.
    judged(check, made.shots(160, node=0, fault=Fault(blocked_s=0.005, blocked_from_rad=math.pi)))
    assert check.quarantined == frozenset()
    rose = check.rose("roof-01")
    assert len(rose) == 16
    south = [item for item in rose if abs(item.direction_deg - 180.0) <= 30.0 and item.sounds >= 3]
    north = [item for item in rose if min(item.direction_deg, 360.0 - item.direction_deg) <= 90.0 and item.sounds >= 3]
    assert south
    assert north
    assert np.mean([item.delay_s for item in south]) > np.mean([item.delay_s for item in north]) + 0.0005
    assert NetworkCheck(made.sites).rose("roof-01") == ()
