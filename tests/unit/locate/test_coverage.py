"""Coverage of the 95 % ellipse and of CEP95: over many simulated shots 95 % must fall inside, by number of nodes."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fusion_server.locate import LocateSettings, locate
from shotline.atmosphere import Weather
from shotline.domain import Arrival, DetectionId, Location, Site
from shotline.units import NS_PER_S, ns_from_seconds

_SHOTS = 400
_PATH_SIGMA_S = 0.009
_SYSTEMATIC_M = 2.5


def _covered(n_nodes: int) -> tuple[float, float]:
    """Return the share of shots inside the ellipse and inside CEP95; truth exact, errors as the settings say."""
    rng = np.random.default_rng(n_nodes)
    weather = Weather(temperature_c=10.0)
    settings = LocateSettings(path_sigma_s=_PATH_SIGMA_S, systematic_sigma_m=_SYSTEMATIC_M)
    in_ellipse = in_cep = located = 0
    while located < _SHOTS:
        sites_m = rng.uniform(-500.0, 500.0, (n_nodes, 2))
        source_m = rng.uniform(-300.0, 300.0, 2)
        travel_s = np.hypot(*(sites_m - source_m).T) / weather.speed_of_sound_mps
        # Student-t with 4 degrees of freedom, as the locator takes path errors to be.
        times_s = 10.0 + travel_s + _PATH_SIGMA_S * rng.standard_t(4.0, n_nodes)
        arrivals = [
            Arrival(
                DetectionId(f"n{index}", 1, 1),
                Site(f"n{index}", *map(float, site), sigma_m=0.0),
                NS_PER_S + ns_from_seconds(float(time_s)),
                sigma_s=1e-4,
            )
            for index, (site, time_s) in enumerate(zip(sites_m, times_s, strict=True))
        ]
        fix = locate(arrivals, weather=weather, settings=settings)
        if not isinstance(fix, Location):
            continue
        located += 1
        truth_m = source_m + rng.normal(0.0, _SYSTEMATIC_M, 2)
        offset_m = truth_m - (fix.x_m, fix.y_m)
        in_ellipse += float(offset_m @ np.linalg.solve(np.array(fix.covariance_m2), offset_m)) <= -2.0 * math.log(0.05)
        in_cep += math.hypot(*offset_m) <= fix.cep95_m
    return in_ellipse / _SHOTS, in_cep / _SHOTS


@pytest.mark.parametrize("n_nodes", [5, 6, 8, 10])
def test_95_percent_fall_inside(n_nodes: int) -> None:
    ellipse, cep = _covered(n_nodes)
    # Binomial standard error of 400 shots at 0.95 is 1.1 %; three of them below, and no upper bound but the honest one.
    assert 0.95 - 0.033 <= ellipse <= 1.0
    assert 0.95 - 0.033 <= cep <= 1.0
