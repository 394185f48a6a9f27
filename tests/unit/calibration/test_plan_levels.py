"""How strong a shot is: laws that hold over open ground, wind, noise, and the simulator's own nodes."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusion_server.engine import FusionSettings
from shotline.atmosphere import Weather
from shotline.errors import InputError
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.levels import HEADINGS, STEP_M, LevelTable, level_table, microphone, noise_db_spl
from shotline_calibration.plan.planner import Planner
from shotline_calibration.plan.situation import PlannedNode, Situation, weapons_of
from shotline_calibration.plan.surroundings import SURROUNDINGS, surroundings
from shotline_recordings.simulate.arrivals import event_arrivals, reported
from shotline_recordings.simulate.stage import set_stage
from shotline_recordings.simulate.weapons import weapon

sys.path.insert(0, str(Path(__file__).parents[3] / "benchmarks"))
from plan_towns import make_town

OPEN = surroundings("open")
MEMS = microphone("mems-120")
EAST, WEST = HEADINGS // 4, 3 * HEADINGS // 4
FORWARD, BACK = 0, -1


def table_of(name: str = "glock-19", *, weather: Weather | None = None, around: str = "open") -> LevelTable:
    return level_table(
        weapon(name),
        around=surroundings(around),
        weather=weather or Weather(),
        heard_by=MEMS,
        mast_m=8.0,
        reach_m=2000.0,
    )


def row(distance_m: float) -> int:
    return round(distance_m / STEP_M)


def test_a_shot_falls_with_distance_and_is_loudest_ahead() -> None:
    table = table_of()
    # Spreading takes 6 dB of a doubling; a blast that ages and ground that interferes a decibel or two more or less.
    fall_db = table.peak_db_spl[row(50.0), 0, FORWARD] - table.peak_db_spl[row(100.0), 0, FORWARD]
    assert 5.0 < fall_db < 9.0
    levels = table.audible_db_spl[row(50.0) :, 0, 6]
    assert np.all(np.diff(levels) < 0.05)
    assert np.all(np.diff(table.peak_db_spl[row(200.0), 0]) <= 0.0)
    assert table.peak_db_spl[row(200.0), 0, FORWARD] - table.peak_db_spl[row(200.0), 0, BACK] > 6.0


def test_a_suppressor_takes_what_it_takes() -> None:
    loud, soft = table_of("m4"), table_of("m4-suppressed")
    taken_db = weapon("m4-suppressed").suppressor_db - weapon("m4").suppressor_db
    assert np.allclose(loud.peak_db_spl - soft.peak_db_spl, taken_db, atol=0.3)


def test_wind_makes_a_shadow_on_one_side_only() -> None:
    still, windy = table_of(), table_of(weather=Weather(wind_speed_mps=5.0, wind_from_deg=270.0))
    far = row(800.0)
    against_db = still.audible_db_spl[far, WEST, 6] - windy.audible_db_spl[far, WEST, 6]
    along_db = still.audible_db_spl[far, EAST, 6] - windy.audible_db_spl[far, EAST, 6]
    assert abs(along_db) < 0.1
    assert 15.0 < against_db <= OPEN.deepest_shadow_db + 0.1
    # Turned with the wind.
    turned = table_of(weather=Weather(wind_speed_mps=5.0, wind_from_deg=90.0))
    assert turned.audible_db_spl[far, EAST, 6] == pytest.approx(windy.audible_db_spl[far, WEST, 6], abs=1e-3)


@pytest.mark.parametrize("name", [item.name for item in SURROUNDINGS])
def test_houses_fill_the_shadow_in(name: str) -> None:
    around = surroundings(name)
    windy = table_of(weather=Weather(wind_speed_mps=6.0, wind_from_deg=0.0), around=name)
    still = table_of(around=name)
    assert np.max(still.audible_db_spl - windy.audible_db_spl) == pytest.approx(around.deepest_shadow_db, abs=0.1)


def test_noise_adds_in_power_and_a_blocked_port_only_raises_its_own() -> None:
    air = {"around": OPEN, "weather": Weather(), "heard_by": MEMS, "mast_m": 8.0}
    quiet, loud = noise_db_spl(20.0, **air), noise_db_spl(60.0, **air)
    # A microphone of 33 dB(A) covers 20 dB(A), and 60 dB(A) covers it.
    assert noise_db_spl(60.0, **air, muffled_db=-10.0) - loud < 0.2
    assert noise_db_spl(20.0, **air, muffled_db=-10.0) - quiet == pytest.approx(10.0, abs=0.5)
    assert noise_db_spl(70.0, **air) - loud == pytest.approx(10.0, abs=0.1)
    assert noise_db_spl(20.0, **(air | {"weather": Weather(wind_speed_mps=6.0)})) > quiet + 10.0
    with pytest.raises(InputError, match="3 dB is louder than without; give 0 or less"):
        noise_db_spl(40.0, **air, muffled_db=3.0)


def test_names_that_are_not_known_are_explained() -> None:
    with pytest.raises(
        InputError, match=r"--surroundings: no surroundings 'suburbs'; did you mean 'suburb'\? there are"
    ):
        surroundings("suburbs")
    with pytest.raises(InputError, match=r"--weapon: no class or weapon 'gun'; classes are small, handgun, rifle"):
        weapons_of(("gun",))
    with pytest.raises(InputError, match=r"--weapon: no weapon is named"):
        weapons_of(())
    with pytest.raises(InputError, match="--microphone: no microphone 'big'; there are: ideal, mems-120"):
        microphone("big")
    assert [item.id for item in weapons_of(("suppressed", "mp5", "mp5"))] == [
        "glock-17-suppressed",
        "m4-suppressed",
        "mp5",
    ]


def test_as_many_nodes_report_as_the_simulators_do_in_an_open_field() -> None:
    rng = np.random.default_rng(77)
    scene = make_town("open", rng=rng, nodes=12, side_m=2400.0, shots=60, weapons=("ruger-mk4",))
    scene = scene.model_copy(update={"noise": scene.noise.model_copy(update={"passes_per_minute": 0.0})})
    stage = set_stage(scene, seed=scene.seed)
    finder = stage.finder(stage.nodes)
    arrivals = [event_arrivals(stage, finder, number) for number in range(stage.n_events)]
    heard, predicted = 0, 0.0
    situation = Situation(
        weather=scene.air,
        around=replace(OPEN, path_sigma_db=3.0),
        weapons=weapons_of(("ruger-mk4",)),
        noise_dba=scene.noise.city_dba,
        most_probability=1.0,
    )
    for number, one in enumerate(arrivals):
        for index in range(len(stage.nodes)):
            of_node = one.of_node(index)
            heard += len(of_node) > 0 and bool(np.any(reported(stage, index, one, boot=1).event == number))
        x_m, y_m, _ = stage.event(number).discharges[0].position_m
        cells = Cells(float(x_m) - 5.0, float(y_m) - 5.0, 10.0, 1, 1, np.array([0]))
        planner = Planner(cells, situation, fusion=FusionSettings(), draws=1)
        predicted += float(planner.figures([PlannedNode(site=node.site) for node in stage.nodes]).expected_nodes[0])
    assert 150 < heard < 600
    # 720 pairs of shot and node, and decibels that are good to one.
    assert predicted == pytest.approx(heard, rel=0.1)
