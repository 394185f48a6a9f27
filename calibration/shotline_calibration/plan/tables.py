"""What the compiled loop needs to know of a situation and of a server's settings, as tables and numbers."""

from __future__ import annotations

import math

import numpy as np

from fusion_server.associate.geometry import STEP_M as AUDIBLE_STEP_M
from fusion_server.associate.geometry import audibility
from fusion_server.associate.judge import LARGEST_LOG_VOLUME, NU, STUDENT_CONSTANT
from fusion_server.associate.rows import rank_share
from fusion_server.engine import FusionSettings
from fusion_server.locate import Ground
from fusion_server.locate.batch import posterior_model
from shotline_calibration.plan.kernel import Rules, Scenarios
from shotline_calibration.plan.levels import ANGLES, HEADINGS, STEP_M, level_table, microphone
from shotline_calibration.plan.situation import Situation

__all__ = ["rules_of", "scenarios_of"]

_AZIMUTHS = 6
_SHARED = ((-math.sqrt(3.0), 1.0 / 6.0), (0.0, 2.0 / 3.0), (math.sqrt(3.0), 1.0 / 6.0))
"""Three points that have the mean, the variance and the next moments of a normal (Gauss and Hermite's)."""
_LOSS_FROM_M = 300.0
_NEAREST_M = 10.0


def scenarios_of(situation: Situation, *, draws: int, reach_m: float) -> Scenarios:
    """Return the kinds of shot of a situation: weapons, where the barrel points, what all paths lose.

    Parameters
    ----------
    situation : Situation
    draws : int
        Drawn shots a cell: dealt out to the kinds by their weight.
    reach_m : float
        No table reaches further.
    """
    tables = [
        level_table(
            weapon,
            around=situation.around,
            weather=situation.weather,
            heard_by=microphone(situation.microphone),
            mast_m=situation.mast_m,
            reach_m=reach_m,
            temperature_gradient_k_per_m=situation.temperature_gradient_k_per_m,
        )
        for weapon in situation.weapons
    ]
    around = situation.around
    distance_m = np.maximum(STEP_M * np.arange(len(tables[0].audible_db_spl)), _NEAREST_M)
    loss_db = around.loss_db + around.loss_db_per_decade * np.log10(distance_m / _LOSS_FROM_M)
    loss = loss_db.astype(np.float32)[None, :, None, None]
    rows = [
        (share / (len(tables) * _AZIMUTHS), number, azimuth * HEADINGS // _AZIMUTHS, -z * around.shot_sigma_db)
        for z, share in _SHARED
        for number in range(len(tables))
        for azimuth in range(_AZIMUTHS)
    ]
    weight, weapon, azimuth, shared_db = (np.array(column) for column in zip(*rows, strict=True))
    middle = (np.arange(draws) + 0.5) / draws
    assert tables[0].audible_db_spl.shape[1:] == (HEADINGS, ANGLES)
    return Scenarios(
        weight=weight,
        weapon=weapon.astype(np.int64),
        azimuth=azimuth.astype(np.int64),
        loss_db=shared_db,
        of_draw=np.searchsorted(np.cumsum(weight), middle).astype(np.int64),
        audible_db_spl=np.stack([table.audible_db_spl for table in tables]) - loss,
        peak_db_spl=np.stack([table.peak_db_spl for table in tables]) - loss,
        step_m=STEP_M,
        path_sigma_db=around.path_sigma_db,
        most_probability=situation.most_probability,
    )


def rules_of(situation: Situation, fusion: FusionSettings, goal_m: float) -> Rules:
    """Return what a server with these settings asks for, and how it reckons."""
    associate, locate = fusion.associate, fusion.locate
    log_heard, log_silent = audibility(associate)
    rate_hz = max(situation.impulses_hz, associate.clutter_hz)
    log_clutter = math.log(rate_hz / rank_share(rate_hz, rate_hz, associate.clutter_hz))
    return Rules(
        min_nodes=associate.min_nodes,
        least_evidence=associate.min_log_evidence,
        log_prior=math.log(associate.shots_per_km2_hour / (1e6 * 3600.0)),
        log_volume_most=LARGEST_LOG_VOLUME,
        gain=STUDENT_CONSTANT - _mean_misfit() - log_clutter + situation.voice_log_odds,
        gain_sigma=situation.voice_sigma,
        log_heard=log_heard,
        log_silent=log_silent,
        audible_step_m=AUDIBLE_STEP_M,
        reach_m=associate.reach_m,
        path_sigma_s=locate.path_sigma_s,
        associate_path_sigma_s=associate.path_sigma_s,
        pick_sigma_s=locate.pick_sigma_s,
        systematic_m=locate.systematic_sigma_m,
        model=posterior_model(situation.weather, locate, Ground.level(locate.height_m)),
        goal_m=goal_m,
    )


def _mean_misfit() -> float:
    """Return what a residual as large as its sigma says takes from the log density on the mean: normal, in nu = 4."""
    z, weight = np.polynomial.hermite_e.hermegauss(21)
    return float(0.5 * (NU + 1.0) * (weight @ np.log1p(z**2 / NU)) / weight.sum())
