"""What a network learns about its paths from shots whose places nobody told it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from simulated import AIR, anywhere, simulate

from fusion_server.locate import ArrivalBatch, LocateSettings, learn_path_sigma
from shotline.atmosphere import Weather

USUAL_S = LocateSettings().path_sigma_s


def heard(path_sigma_s: float, n_shots: int, n_nodes: int, *, seed: int = 1) -> list[tuple[ArrivalBatch, Weather]]:
    settings = replace(LocateSettings(), path_sigma_s=path_sigma_s)
    shots = simulate(np.random.default_rng(seed), n_shots, n_nodes, source=anywhere(300.0), settings=settings)
    return [(shots.batch, AIR)]


@pytest.mark.parametrize("path_sigma_s", [0.002, 0.004, 0.012])
@pytest.mark.parametrize("n_nodes", [6, 8])
def test_forty_shots_tell_it_within_a_quarter(path_sigma_s: float, n_nodes: int) -> None:
    learned_s = learn_path_sigma(heard(path_sigma_s, 40, n_nodes))
    # 40 shots have 120 to 200 residuals to spare: 6 % of a standard error, 10 % as those are heavy-tailed, and what
    # clock and site add to 2 ms is as large again.
    assert learned_s == pytest.approx(path_sigma_s, rel=0.25)


def test_a_single_shot_says_little() -> None:
    """The prior is worth about one shot: one residual to spare does not overrule it."""
    moved = [abs(np.log(learn_path_sigma(heard(0.003, 1, 4, seed=seed)) / USUAL_S)) for seed in range(10)]
    # All the way would be log(7 / 3) = 0.85.
    assert float(np.median(moved)) < 0.4


def test_more_shots_say_more() -> None:
    def scatter(n_shots: int) -> float:
        return float(np.std([np.log(learn_path_sigma(heard(0.004, n_shots, 5, seed=seed))) for seed in range(8)]))

    assert scatter(40) < 0.6 * scatter(3)


def test_nothing_heard_leaves_it_as_it_was() -> None:
    # Golden section of a parabola to 0.618^18 of log(100): a thousandth.
    assert learn_path_sigma([]) == pytest.approx(USUAL_S, rel=1e-3)
    assert learn_path_sigma([(ArrivalBatch.of([]), AIR)]) == pytest.approx(USUAL_S, rel=1e-3)


def test_refused_shots_count_for_nothing() -> None:
    given = heard(0.004, 40, 6)
    line = replace(given[0][0], site_m=given[0][0].site_m * (1.0, 0.0, 0.0))
    assert learn_path_sigma([*given, (line, AIR)]) == learn_path_sigma(given)


def test_it_starts_from_the_settings() -> None:
    settings = replace(LocateSettings(), path_sigma_s=0.002)
    assert learn_path_sigma([], settings=settings) == pytest.approx(0.002, rel=1e-3)
