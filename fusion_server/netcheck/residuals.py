"""What each node heard against the fix that the others make: residuals and their variance, one shot at a time.

For a linear model r = A q + noise with independent noise of variance D and a Gaussian prior on the unknowns q, the
residual of observation i against the fit of all others is (P r)_i / P_ii, of variance 1 / P_ii, with
P = D^-1 - D^-1 A (A' D^-1 A + prior)^-1 A' D^-1: leave-one-out without fitting again [CookWeisberg1982, section 2.2].
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from fusion_server.locate.kernel import factorise, solve

__all__ = ["leave_one_out", "level_left_out"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_UNKNOWNS = 6
"""Place east and north, instant, speed of sound, wind east and north."""
_FAR_M = 1e4
"""1-sigma of the prior on place and instant: none to speak of."""
_NU = 4.0
"""Degrees of freedom of the weights of the others."""
_EXCLUDED_S2 = 1.0
_ROUNDS = 3


@compiled
def leave_one_out(
    residual_s: FloatArray,
    east: FloatArray,
    north: FloatArray,
    distance_m: FloatArray,
    own_s2: FloatArray,
    path_s2: FloatArray,
    trusted: NDArray[np.bool_],
    speed_mps: float,
    speed_error_sigma: float,
    wind_error_sigma_mps: float,
    left_s: FloatArray,
    variance_s2: FloatArray,
) -> None:
    """Write what is left of each residual against the others, and its variance.

    Parameters
    ----------
    residual_s : ndarray, shape (n_nodes,), float64
        Observed minus predicted arrival time at any place near the true one.
    east, north : ndarray, shape (n_nodes,), float64
        Unit vector from the sound to the node, in the plane.
    distance_m : ndarray, shape (n_nodes,), float64
    own_s2, path_s2 : ndarray, shape (n_nodes,), float64
        Variances of clock and onset, and of the path.
    trusted : ndarray, shape (n_nodes,), bool
        Whose word counts for others.
    speed_mps, speed_error_sigma, wind_error_sigma_mps : float
    left_s, variance_s2 : ndarray, shape (n_nodes,), float64
        Written.
    """
    n = len(residual_s)
    rows = np.empty((n, _UNKNOWNS))
    for node in range(n):
        rows[node, 0] = -east[node] / speed_mps
        rows[node, 1] = -north[node] / speed_mps
        rows[node, 2] = 1.0 / speed_mps
        rows[node, 3] = -distance_m[node] / speed_mps
        rows[node, 4] = -distance_m[node] * east[node] / speed_mps**2
        rows[node, 5] = -distance_m[node] * north[node] / speed_mps**2
    weight = np.ones(n)
    normal = np.empty((_UNKNOWNS, _UNKNOWNS))
    gradient, column = np.empty(_UNKNOWNS), np.empty(_UNKNOWNS)
    for _ in range(_ROUNDS):
        for i in range(_UNKNOWNS):
            gradient[i] = 0.0
            for j in range(_UNKNOWNS):
                normal[i, j] = 0.0
        for i in range(3):
            normal[i, i] = 1.0 / _FAR_M**2
        normal[3, 3] = 1.0 / speed_error_sigma**2
        normal[4, 4] = normal[5, 5] = 1.0 / wind_error_sigma_mps**2
        for node in range(n):
            spread = (own_s2[node] + path_s2[node]) / weight[node] + (0.0 if trusted[node] else _EXCLUDED_S2)
            for i in range(_UNKNOWNS):
                gradient[i] += rows[node, i] * residual_s[node] / spread
                for j in range(i + 1):
                    normal[i, j] += rows[node, i] * rows[node, j] / spread
        if not factorise(normal, _UNKNOWNS):
            for node in range(n):
                left_s[node], variance_s2[node] = 0.0, np.inf
            return
        solve(normal, gradient, _UNKNOWNS)
        for node in range(n):
            own = own_s2[node] + path_s2[node]
            spread = own / weight[node] + (0.0 if trusted[node] else _EXCLUDED_S2)
            fitted, leverage = 0.0, 0.0
            for i in range(_UNKNOWNS):
                column[i] = rows[node, i]
            solve(normal, column, _UNKNOWNS)
            for i in range(_UNKNOWNS):
                fitted += rows[node, i] * gradient[i]
                leverage += rows[node, i] * column[i]
            # Of the weighted problem: P_ii = (1 - leverage / spread) / spread.
            free = max(1.0 - leverage / spread, 1e-9)
            left_s[node] = (residual_s[node] - fitted) / free
            variance_s2[node] = max(spread / free - spread, 0.0) + own
        for node in range(n):
            z_sq = left_s[node] * left_s[node] / variance_s2[node]
            weight[node] = min(1.0, (_NU + 1.0) / (_NU + z_sq))


@compiled
def level_left_out(
    level_db: FloatArray,
    distance_m: FloatArray,
    offset_db: FloatArray,
    trusted: NDArray[np.bool_],
    slope_db: float,
    left_db: FloatArray,
    others: IntArray,
) -> None:
    """Write each level against the median of what the others let expect, and how many others there were.

    Parameters
    ----------
    level_db : ndarray, shape (n_nodes,), float64
        NaN where nobody measured it.
    distance_m : ndarray, shape (n_nodes,), float64
    offset_db : ndarray, shape (n_nodes,), float64
        What each node is known to read above the others.
    trusted : ndarray, shape (n_nodes,), bool
    slope_db : float
        Fall in a decade of distance.
    left_db : ndarray, shape (n_nodes,), float64
        Written; NaN where there are fewer than three others.
    others : ndarray, shape (n_nodes,), int64
        Written.
    """
    n = len(level_db)
    source_db, rest_db = np.empty(n), np.empty(n)
    for node in range(n):
        source_db[node] = level_db[node] + slope_db * math.log10(max(distance_m[node], 1.0))
    for node in range(n):
        others[node] = 0
        for other in range(n):
            if other != node and trusted[other] and math.isfinite(source_db[other]):
                rest_db[others[node]] = source_db[other] - offset_db[other]
                others[node] += 1
        left_db[node] = np.nan
        if others[node] >= 3 and math.isfinite(source_db[node]):
            left_db[node] = source_db[node] - np.median(rest_db[: others[node]])
