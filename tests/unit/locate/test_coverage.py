"""How good, and how honest: coverage of ellipse and CEP, and the error against the Cramér-Rao bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from simulated import AIR, SPEED_MPS, anywhere, gaussian, simulate

from fusion_server.locate import LocateSettings, locate_batch
from fusion_server.locate.uncertainty import cep_m

CHI2_95 = -2.0 * math.log(0.05)
SHOTS = 800


def _inside(offset_m: np.ndarray, covariance_m2: np.ndarray) -> np.ndarray:
    square = np.einsum("ni,nij,nj->n", offset_m, np.linalg.inv(covariance_m2), offset_m)
    result: np.ndarray = square <= CHI2_95
    return result


@pytest.mark.parametrize("n_nodes", [4, 5, 6, 8])
def test_95_percent_fall_inside(n_nodes: int) -> None:
    rng = np.random.default_rng(n_nodes)
    shots = simulate(rng, SHOTS, n_nodes, source=anywhere(300.0))
    fixes = locate_batch(shots.batch, weather=AIR)
    assert fixes.located.mean() > 0.98
    truth_m = shots.source_m + rng.normal(0.0, LocateSettings().systematic_sigma_m, (SHOTS, 2))
    offset_m, covariance_m2 = (truth_m - fixes.place_m)[fixes.located], fixes.covariance_m2[fixes.located]
    ellipse = float(_inside(offset_m, covariance_m2).mean())
    radius_m = np.array([cep_m(each, probability=0.95) for each in covariance_m2])
    cep = float((np.hypot(*offset_m.T) <= radius_m).mean())
    # Binomial standard error of 800 shots at 0.95 is 0.8 %; two of them, and 2 % that the expected information of a
    # heavy-tailed residual promises too much with so few of them.
    assert 0.95 - 0.036 <= ellipse <= 0.95 + 0.03
    assert 0.95 - 0.036 <= cep <= 0.95 + 0.03


def _bound_m2(sites_m: np.ndarray, source_m: np.ndarray, sigma_m: float) -> float:
    """Return the Cramér-Rao bound on the squared error of the place, the air known as well as the settings say."""
    settings = LocateSettings()
    normal = np.diag([0.0, 0.0, 0.0, settings.speed_error_sigma**-2, *[settings.wind_error_sigma_mps**-2] * 2])
    for site in sites_m:
        way = source_m - site
        row = np.array([*(way / math.hypot(*way)), 1.0, -math.hypot(*way), *(way / SPEED_MPS)])
        normal += np.outer(row, row) / sigma_m**2
    return float(np.trace(np.linalg.inv(normal)[:2, :2]))


@pytest.mark.parametrize("n_nodes", [5, 8, 12])
def test_the_error_is_near_the_bound_with_gaussian_noise(n_nodes: int) -> None:
    shots = simulate(np.random.default_rng(n_nodes), 1500, n_nodes, noise=gaussian, source=anywhere(250.0))
    fixes = locate_batch(shots.batch, weather=AIR, regions=False)
    # Where the posterior is bent there is no such bound: it is of normal errors about one place.
    straight = np.flatnonzero(fixes.located & ~fixes.bent)
    assert len(straight) > 1300
    bound_m2 = np.array([_bound_m2(shots.site_m[i], shots.source_m[i], shots.sigma_m) for i in straight])
    error_m2 = ((fixes.place_m - shots.source_m)[straight] ** 2).sum(axis=1)
    # Each shot counts the same, whatever its geometry: a mean of about chi-square with two degrees of freedom over two,
    # so four standard errors of 1300 are 11 %. The wanted efficiency is 0.9.
    ratio = float(np.sqrt((error_m2 / bound_m2).mean()))
    assert ratio <= 1.0 / math.sqrt(0.9) * (1.0 + 0.5 * 4.0 / math.sqrt(len(straight)))
    assert ratio > 1.0 - 0.5 * 4.0 / math.sqrt(len(straight))
