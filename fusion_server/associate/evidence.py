"""How strongly arrivals and silences speak for a shot: log odds against unrelated impulses, term by term."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.settings import AssociateSettings
from fusion_server.locate.refine import STUDENT_NU
from shotline.domain import Arrival

__all__ = [
    "LARGEST_LOG_VOLUME",
    "class_log_odds",
    "clutter_hz",
    "log_prior_rate",
    "log_volume",
    "pattern",
    "same_strength",
    "student_log_density",
]

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

LARGEST_LOG_VOLUME = 4.0
"""Cap on the log volume (m² s) of the posterior: a vague place must not count for much."""
_LOUDNESS_RANGES_M = np.array([200.0, 300.0, 450.0, 650.0, 900.0, 1200.0, 1600.0])
_RANGE_SOFTNESS = 0.15
_LEAST_PROBABILITY = 0.02
_CLUTTER_SPREAD_DB = 30.0
_LEAST_STRENGTH_ODDS = -3.0
_STUDENT_CONSTANT = (
    math.lgamma(0.5 * (STUDENT_NU + 1.0)) - math.lgamma(0.5 * STUDENT_NU) - 0.5 * math.log(STUDENT_NU * math.pi)
)


def student_log_density(standardised: FloatArray) -> FloatArray:
    """Return the log density of Student-t residuals, elementwise."""
    density: FloatArray = _STUDENT_CONSTANT - 0.5 * (STUDENT_NU + 1.0) * np.log1p(standardised**2 / STUDENT_NU)
    return density


def log_prior_rate(settings: AssociateSettings) -> float:
    """Return the log of the prior rate of shots, per square metre and second."""
    return math.log(settings.shots_per_km2_hour / (1e6 * 3600.0))


def log_volume(covariance_m2: FloatArray, speed_mps: float) -> FloatArray:
    """Return the log of the posterior's volume over place and instant (Laplace), capped.

    Parameters
    ----------
    covariance_m2 : ndarray, shape (n_rows, 3, 3), float64
        Of (x, y, c t).
    speed_mps : float
        Speed of sound, to turn the last axis into seconds.

    Returns
    -------
    ndarray, shape (n_rows,), float64
        Log of m² s.
    """
    determinant = np.maximum(np.linalg.det(covariance_m2), 1e-12)
    volume = 0.5 * (np.log(determinant) + 3.0 * math.log(2.0 * math.pi)) - math.log(speed_mps)
    result: FloatArray = np.minimum(volume, LARGEST_LOG_VOLUME)
    return result


def clutter_hz(time_s: FloatArray, node: IndexArray, snr_db: FloatArray, settings: AssociateSettings) -> FloatArray:
    """Return the rate at which other impulses about as strong or stronger come to each arrival's node, Hz.

    An echo or a far door is seldom the strongest sound about: the stronger an arrival among its neighbours in time,
    the less likely it is clutter. Neighbours count by a soft comparison of SNR. All arrays of shape (n_arrivals,).
    """
    rate = np.empty(len(time_s))
    for one in np.unique(node):
        mine = np.flatnonzero(node == one)
        apart_s = np.abs(time_s[mine][:, None] - time_s[mine])
        stronger_db = snr_db[mine] - snr_db[mine][:, None]
        as_strong = 1.0 / (1.0 + np.exp(np.clip(-stronger_db / settings.strength_softness_db, -30.0, 30.0)))
        np.fill_diagonal(as_strong, 0.0)
        # Echoes come in bursts: the rate close by may be far above that of the seconds around.
        rate[mine] = np.max(
            [
                np.where(apart_s <= window_s, as_strong, 0.0).sum(axis=1) / (2.0 * window_s)
                for window_s in (settings.clutter_window_s, settings.clutter_burst_s)
            ],
            axis=0,
        )
    return np.maximum(rate, settings.clutter_hz)


def class_log_odds(arrivals: Sequence[Arrival], settings: AssociateSettings) -> FloatArray:
    """Return the log odds that each node's classifier gives a gunshot, over those it gives the usual impulse.

    Unclassified arrivals say nothing. Shape (n_arrivals,).
    """
    usual = settings.class_usual_probability
    probability = np.array(
        [usual if arrival.gunshot_probability is None else arrival.gunshot_probability for arrival in arrivals]
    )
    probability = np.clip(probability, _LEAST_PROBABILITY, 1.0 - _LEAST_PROBABILITY)
    odds: FloatArray = np.log(probability / (1.0 - probability)) - math.log(usual / (1.0 - usual))
    return odds


def same_strength(difference_db: FloatArray, settings: AssociateSettings) -> FloatArray:
    """Return the log odds that an arrival is this much stronger than in the round it repeats, over clutter's chance.

    Normal about equal strength against clutter spread evenly over `_CLUTTER_SPREAD_DB`. Any shape.
    """
    sigma_db = settings.repeat_strength_sigma_db
    odds = math.log(_CLUTTER_SPREAD_DB / (sigma_db * math.sqrt(2.0 * math.pi))) - 0.5 * (difference_db / sigma_db) ** 2
    result: FloatArray = np.maximum(odds, _LEAST_STRENGTH_ODDS)
    return result


def pattern(
    distance_m: FloatArray, heard: NDArray[np.bool_], silent: NDArray[np.bool_], settings: AssociateSettings
) -> FloatArray:
    """Return the log probability of who heard and who did not, averaged over how loud the shot was.

    Parameters
    ----------
    distance_m, heard, silent : ndarray, shape (n_rows, n_sites)
        Sites neither heard nor silent say nothing.

    Returns
    -------
    ndarray, shape (n_rows,), float64
    """
    ranges = _LOUDNESS_RANGES_M[:, None, None]
    beyond = np.clip((distance_m - ranges) / (_RANGE_SOFTNESS * ranges), -30.0, 30.0)
    audible = settings.detect_probability / (1.0 + np.exp(beyond))
    said = np.where(heard, np.log(audible), np.where(silent, np.log1p(-audible), 0.0)).sum(axis=2)
    result: FloatArray = np.logaddexp.reduce(said, axis=0) - math.log(len(_LOUDNESS_RANGES_M))
    return result
