"""The figures of a cell: against every combination of nodes, and against the locator's own word."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from plan_samples import PLANAR, field, nodes_at, planner_of, scattered
from scipy.stats import kstest, norm

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.locate import Height, LocateSettings, locate
from fusion_server.registry import Registry
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Arrival, ClockState, DetectionId, Location, Site
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_calibration.plan.kernel import uniform
from shotline_calibration.plan.levels import ANGLES, HEADINGS, STEP_M, level_table, microphone, noise_db_spl
from shotline_calibration.plan.situation import PlannedNode, Situation, weapons_of
from shotline_calibration.plan.surroundings import surroundings

# Loud enough for every node to report every shot: what is left is geometry.
LOUD = {"noise_dba": -20.0, "most_probability": 1.0, "weapons": weapons_of(("rifle-308",)), "microphone": "ideal"}
ROUND = [(0.0, 0.0), (600.0, 50.0), (550.0, 640.0), (-40.0, 560.0), (300.0, 900.0)]


def chances(cell_m: tuple[float, float], nodes: list[PlannedNode], weapon: str) -> list[tuple[float, list[float]]]:
    """Return each kind of shot in an open field: its weight, and the probability that each node reports it."""
    (x_m, y_m), around = cell_m, surroundings("open")
    air = {"around": around, "weather": Weather(), "heard_by": microphone("mems-120"), "mast_m": 8.0}
    table = level_table(weapons_of((weapon,))[0], reach_m=PLANAR.associate.reach_m, **air)
    noise_db = noise_db_spl(around.noise_dba, **air)
    made = []
    for z, weight in ((-math.sqrt(3.0), 1 / 6), (0.0, 4 / 6), (math.sqrt(3.0), 1 / 6)):
        for azimuth in range(0, HEADINGS, 4):
            of_nodes = []
            for node in nodes:
                dx, dy = node.site.x_m - x_m, node.site.y_m - y_m
                if math.hypot(dx, dy) > PLANAR.associate.reach_m:
                    of_nodes.append(0.0)
                    continue
                row = int(math.hypot(dx, dy) / STEP_M + 0.5)
                turn = math.atan2(dx, dy) / (2 * math.pi) * HEADINGS
                off = (turn - azimuth) % HEADINGS
                angle = int(min(off, HEADINGS - off) * 2 / HEADINGS * (ANGLES - 1) + 0.5)
                loss_db = around.loss_db + around.loss_db_per_decade * math.log10(max(row * STEP_M, 10.0) / 300.0)
                level_db = table.audible_db_spl[row, round(turn) % HEADINGS, angle] - loss_db
                margin_db = level_db + z * around.shot_sigma_db - noise_db
                of_nodes.append(0.95 * float(norm.cdf(margin_db / around.path_sigma_db)))
            made.append((weight / 6, of_nodes))
    return made


def all_combinations(of_nodes: list[float]) -> Iterator[tuple[tuple[int, ...], float]]:
    """Yield who reports, and how likely that is."""
    for who in product((0, 1), repeat=len(of_nodes)):
        yield who, math.prod(p if did else 1.0 - p for p, did in zip(of_nodes, who, strict=True))


def test_enough_nodes_is_the_sum_over_all_combinations() -> None:
    cells = field(100.0, step_m=100.0, west_m=1200.0, south_m=1200.0)
    nodes = scattered(8, 2500.0, seed=3)
    figures = planner_of(cells, weapons=weapons_of(("glock-17-suppressed",))).figures(nodes)
    total = expected = 0.0
    for weight, of_nodes in chances(tuple(cells.place_m[0]), nodes, "glock-17-suppressed"):
        for who, likely in all_combinations(of_nodes):
            total += weight * likely * (sum(who) >= 4)
            expected += weight * likely * sum(who)
    # The tables are of single precision: some 1e-5 dB.
    assert figures.enough_probability[0] == pytest.approx(total, abs=1e-5)
    assert figures.expected_nodes[0] == pytest.approx(expected, abs=1e-4)
    assert 0.01 < total < 0.99


def test_drawn_shots_come_to_the_sum_over_all_combinations() -> None:
    # Onsets as good at any strength, so that who reports is all that counts.
    fusion = replace(PLANAR, locate=replace(PLANAR.locate, pick_sigma_s=0.0))
    cells = field(100.0, step_m=100.0, west_m=900.0, south_m=700.0)
    nodes, weapon = scattered(6, 2000.0, seed=6), "ruger-mk4"
    drawn = planner_of(cells, fusion=fusion, draws=6000, goal_m=7.2, weapons=weapons_of((weapon,))).figures(nodes)
    sure = planner_of(cells, fusion=fusion, draws=1, goal_m=7.2, **LOUD)
    found = good = 0.0
    kinds = chances(tuple(cells.place_m[0]), nodes, weapon)
    for who in product((0, 1), repeat=6):
        if sum(who) < 4:
            continue
        some = [node if did else replace(node, noise_dba=119.0) for node, did in zip(nodes, who, strict=True)]
        judged = sure.figures(some)
        assert judged.expected_nodes[0] == pytest.approx(sum(who), abs=1e-6)
        likely = sum(weight * dict(all_combinations(of_nodes))[who] for weight, of_nodes in kinds)
        found += likely * float(judged.detect_probability[0])
        good += likely * float(judged.goal_probability[0])
    assert 0.1 < good < found - 0.02 < 0.95
    # Three standard errors of a share of the 6,000 that were drawn.
    assert drawn.detect_probability[0] == pytest.approx(found, abs=0.02)
    assert drawn.goal_probability[0] == pytest.approx(good, abs=0.02)


@pytest.mark.parametrize("height", [Height.PLANAR, Height.KNOWN])
def test_cep_and_gdop_are_those_of_the_locator(height: Height) -> None:
    # Residuals count for nothing here: noise-free ones would promise more than is expected.
    settings = LocateSettings(height=height, height_m=3.0, path_freedom=1e12, pick_sigma_s=0.0)
    weather = Weather(temperature_c=8.0, temperature_sigma_c=1.0, wind_sigma_mps=0.5)
    cells = field(100.0, step_m=100.0, west_m=200.0, south_m=300.0)
    places = [(x_m, y_m) for x_m, y_m in ROUND]
    nodes = [
        PlannedNode(site=Site(f"n{number}", x_m, y_m, 9.0 + number, 0.7), clock_sigma_s=2e-4)
        for number, (x_m, y_m) in enumerate(places)
    ]
    planner = planner_of(cells, fusion=replace(PLANAR, locate=settings), weather=weather, **LOUD)
    figures = planner.figures(nodes)
    assert figures.expected_nodes[0] == pytest.approx(5.0, abs=1e-6)
    source_m = np.array([*cells.place_m[0], 3.0 if height is Height.KNOWN else 0.0])
    sites_m = np.array([(node.site.x_m, node.site.y_m, node.site.z_m) for node in nodes])
    if height is Height.PLANAR:
        sites_m[:, 2] = 0.0
    times_s = travel_time_s(
        source_m,
        sites_m,
        speed_of_sound_mps=weather.speed_of_sound_mps,
        wind_mps=np.array([*weather.wind_enu_mps, 0.0]),
    )
    arrivals = [
        Arrival(DetectionId(node.site.node, 1, 1), node.site, ns_from_seconds(float(at_s)), math.hypot(2e-4, 1e-4))
        for node, at_s in zip(nodes, times_s, strict=True)
    ]
    found = locate(arrivals, weather=weather, settings=settings)
    assert isinstance(found, Location)
    # Arrival times are whole nanoseconds.
    assert figures.cep95_m[0] == pytest.approx(found.cep95_m, rel=1e-6)
    assert figures.gdop[0] == pytest.approx(found.gdop, rel=1e-6)


def test_the_evidence_is_that_of_association() -> None:
    weather = Weather(temperature_c=8.0)
    cells = field(100.0, step_m=100.0, west_m=200.0, south_m=300.0)
    nodes = [*nodes_at(*ROUND), *nodes_at((700.0, 300.0), (-300.0, 100.0), prefix="deaf", noise_dba=119.0)]
    known = LOUD | {"voice_log_odds": 0.0, "voice_sigma": 1e-6, "weather": weather}

    def is_found(least: float) -> bool:
        associate = replace(PLANAR.associate, min_log_evidence=least)
        planner = planner_of(cells, fusion=replace(PLANAR, associate=associate), draws=1, **known)
        figures = planner.figures(nodes)
        assert figures.expected_nodes[0] == pytest.approx(5.0, abs=1e-6)
        return bool(figures.detect_probability[0] > 0.5)

    low, high = -50.0, 50.0
    for _ in range(12):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if is_found(middle) else (low, middle)
    engine = FusionEngine(
        registry=Registry([node.site for node in nodes]),
        weather=WeatherTimeline.constant(weather),
        # Told when the silence of nodes has been heard.
        settings=replace(PLANAR, sure_log_evidence=100.0, associate=replace(PLANAR.associate, min_log_evidence=-10.0)),
    )
    start_ns = 1_800_000_000 * NS_PER_S
    for node in nodes[:5]:
        away_m = math.hypot(node.site.x_m - cells.place_m[0, 0], node.site.y_m - cells.place_m[0, 1])
        engine.add(
            Detection(
                node=node.site.node,
                boot=1,
                sequence=1,
                arrival_time_ns=start_ns + ns_from_seconds(away_m / weather.speed_of_sound_mps),
                arrival_sigma_ns=30_000,
                clock_state=ClockState.PPS,
                probabilities_bp=(),
                peak_level_db=90.0,
                level_reference=LevelReference.DB_SPL,
                snr_db=40.0,
                rise_time_s=0.001,
                model_id="none",
            )
        )
    told = engine.advance_to(start_ns + 10 * NS_PER_S) + engine.finish()
    (shot,) = told[-1].shots
    assert len(shot.silent) == 2
    assert shot.log_evidence is not None
    # The plan expects residuals as large as their sigmas, which take 0.48 each; here there are none. Association's fit
    # has its own degrees of freedom and no error of the wind: half a unit.
    assert shot.log_evidence == pytest.approx(low + 5 * 0.484, abs=0.6)


def test_shots_are_the_same_whatever_other_nodes_there_are() -> None:
    cells, nodes = field(1000.0, step_m=100.0), scattered(9, 1000.0, seed=5)
    planner = planner_of(cells)
    few, more = planner.figures(nodes[:6]), planner.figures(nodes)
    assert np.all(more.enough_probability >= few.enough_probability - 1e-12)
    assert np.all(more.expected_nodes > few.expected_nodes)
    some = np.array([3, 17, 60])
    part = planner.figures(nodes, some=some)
    assert np.array_equal(part.goal_probability, more.goal_probability[some])
    assert np.array_equal(part.cep95_m, more.cep95_m[some])


def test_figures_follow_one_from_the_other() -> None:
    figures = planner_of(field(1500.0, step_m=100.0)).figures(scattered(8, 1500.0, seed=6))
    assert np.all(figures.goal_probability <= figures.detect_probability + 1e-12)
    assert np.all(figures.detect_probability <= figures.enough_probability + 1e-12)
    assert figures.detect_probability.max() > 0.9


def test_nodes_at_one_place_count_once() -> None:
    cells = field(100.0, step_m=100.0, west_m=200.0, south_m=300.0)
    three = nodes_at(*ROUND[:3])
    beside = nodes_at((ROUND[0][0] + 2.0, ROUND[0][1]), prefix="beside")
    planner = planner_of(cells, **LOUD)
    assert planner.figures(three).enough_probability[0] == 0.0
    both = planner.figures([*three, *beside])
    assert both.enough_probability[0] == 0.0
    assert both.detect_probability[0] == 0.0
    assert both.expected_nodes[0] == pytest.approx(4.0, abs=1e-6)
    assert planner.figures(nodes_at(*ROUND[:4])).enough_probability[0] == pytest.approx(1.0, abs=1e-6)


def test_more_evidence_asked_for_means_fewer_found() -> None:
    cells, nodes = field(1000.0, step_m=200.0), scattered(8, 1000.0, seed=9)
    usual = planner_of(cells).figures(nodes)
    associate = replace(PLANAR.associate, min_log_evidence=20.0)
    strict = planner_of(cells, fusion=FusionSettings(associate=associate, locate=PLANAR.locate)).figures(nodes)
    assert np.array_equal(strict.enough_probability, usual.enough_probability)
    assert strict.detect_probability.mean() < usual.detect_probability.mean() - 0.02


def test_without_nodes_nothing_is_found() -> None:
    planner = planner_of(field(200.0))
    for nodes in ([], nodes_at(*ROUND, failed=True)):
        figures = planner.figures(nodes)
        assert not figures.detect_probability.any()
        assert np.isinf(figures.cep95_m).all()


def test_uniform_numbers_are_uniform_and_apart() -> None:
    numbers = np.array([[uniform(cell, node, draw) for draw in range(40)] for cell in (0, 1) for node in range(40)])
    assert kstest(numbers.ravel(), "uniform").pvalue > 0.001
    # 40 pairs of independent rows of 40: correlations of some 0.16.
    assert abs(np.corrcoef(numbers[:40].ravel(), numbers[40:].ravel())[0, 1]) < 0.1
    assert len(np.unique(numbers)) == numbers.size


def test_a_muffled_or_a_noisy_node_reports_less() -> None:
    cells = field(400.0, step_m=100.0, west_m=1000.0)
    (node,) = nodes_at((0.0, 0.0))
    planner = planner_of(cells, weapons=weapons_of(("ruger-mk4",)))
    plain = planner.figures([node]).expected_nodes
    for worse in (replace(node, muffled_db=-30.0), replace(node, noise_dba=60.0)):
        assert np.all(planner.figures([worse]).expected_nodes < plain)
    assert Situation().noise_dba is None
