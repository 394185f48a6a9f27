"""How much the sounds of a window speak for a fault of a node, against a healthy one. Compiled.

What a healthy node is off by, from sound to sound, is a Gaussian process over the places of the sounds, the same that
site biases are learned with (`fusion_server.sitebias.delays.covariance_s2`): what all its paths share, what those from
one direction share, what those from one neighbourhood share; and noise. So what was heard before the window says what
to expect in it, the more the nearer it was. A fault adds X f from the first sound of the window on, with a Gaussian
prior on f; its Bayes factor against none is, with y and X whitened by the Cholesky factor of the covariance,
exp(½ yᵀX (XᵀX + P)⁻¹ Xᵀy) (|P| / |XᵀX + P|)^½ [RasmussenWilliams2006, section 2.7], so that a fault with more unknowns
must explain more. A sound more than three sigma from what those before it let expect counts as one of larger noise
[Huber1981, section 1.7], so that
an echo says no more than three sigma do; and what the place says that speaks most for a fault
is not counted, since one place is one path.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from fusion_server.locate.kernel import factorise, solve
from fusion_server.sitebias.delays import covariance_s2

__all__ = [
    "AGREE",
    "CLOCK",
    "DRIFT",
    "FAULTS",
    "LOG_ODDS",
    "MOVE",
    "OBSTRUCTED",
    "SECOND",
    "SECOND_SIGMA",
    "SECTORS",
    "SIGMA",
    "TOUCHED",
    "VALUE",
    "judge",
    "log_marginal",
    "persists",
    "whiten",
]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

CLOCK, DRIFT, MOVE, OBSTRUCTED = 0, 1, 2, 3
SECTORS = 8
FAULTS = OBSTRUCTED + SECTORS
"""Clock (of levels: gain), drift, move, and a delay from each of eight directions."""
_CLIP = 3.0
_AGREES = 2.5
_NO_FAULT = -1e9

# Columns of an answer.
LOG_ODDS, VALUE, SECOND, SIGMA, SECOND_SIGMA, AGREE, TOUCHED = range(7)


@compiled
def whiten(
    y: FloatArray,
    size: FloatArray,
    noise: FloatArray,
    place_m: FloatArray,
    site: FloatArray,
    scales: tuple[float, float, float, float, float],
    factor: FloatArray,
    white: FloatArray,
) -> None:
    """Write the Cholesky factor of the covariance of the errors of one node, and the errors whitened by it.

    Parameters
    ----------
    y : ndarray, shape (n,), float64
        Errors, in order of time.
    size, noise : ndarray, shape (n,), float64
        1-sigma of the part that the Gaussian process tells, and variance of the rest.
    place_m : ndarray, shape (n, 2), float64
        Where the sounds were.
    site : ndarray, shape (3,), float64
        Where the node stands, x and y in m; and 0.
    scales : tuple of float
        As of `covariance_s2`, relative to ``size``.
    factor : ndarray, shape (n, n), float64
        Written: its lower triangle.
    white : ndarray, shape (n,), float64
        Written.
    """
    for i in range(len(y)):
        for j in range(i + 1):
            covariance = size[i] * size[j]
            covariance *= covariance_s2(place_m[i, 0], place_m[i, 1], place_m[j, 0], place_m[j, 1], site, scales)
            if i == j:
                covariance += noise[i]
            for k in range(j):
                covariance -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = covariance / factor[j, j]
            else:
                factor[i, i] = covariance
        expected = 0.0
        for j in range(i):
            expected += factor[i, j] * white[j]
        sigma = math.sqrt(max(factor[i, i], 1e-30))
        off = abs(y[i] - expected) / sigma
        if off > _CLIP:
            sigma *= off / _CLIP
        factor[i, i] = sigma
        white[i] = (y[i] - expected) / sigma


@compiled
def log_marginal(factor: FloatArray, white: FloatArray) -> float:
    """Return the log probability of the errors, up to a constant; see `whiten`."""
    total = 0.0
    for i in range(len(white)):
        total -= 0.5 * white[i] * white[i] + math.log(factor[i, i])
    return total


@compiled
def _whiten_column(factor: FloatArray, column: FloatArray, start: int, out: FloatArray) -> None:
    """Whiten what a fault adds: zero before ``start``."""
    for i in range(start, len(column)):
        total = column[i]
        for j in range(start, i):
            total -= factor[i, j] * out[j]
        out[i] = total / factor[i, i]


@compiled
def judge(
    factor: FloatArray,
    white: FloatArray,
    east: FloatArray,
    north: FloatArray,
    at_s: FloatArray,
    place: IntArray,
    start: int,
    faults: int,
    one_place: bool,
    speed_mps: float,
    sigmas: FloatArray,
    answer: FloatArray,
) -> None:
    """Write the log Bayes factor of each fault in the sounds of a node from ``start`` on, and its size.

    Parameters
    ----------
    factor, white : ndarray
        From `whiten`.
    east, north : ndarray, shape (n,), float64
        Unit vector from the sound to the node.
    at_s : ndarray, shape (n,), float64
        Instants.
    place : ndarray, shape (n,), int64
        Number of the place of each.
    start : int
    faults : int
        How many of the faults are looked at: 1 or `FAULTS`.
    one_place : bool
        Whether one place is enough: then what it says is counted.
    speed_mps : float
    sigmas : ndarray, shape (4, 2), float64
        Priors of clock, drift, move and delay, 1-sigma, two of each: small, and gross.
    answer : ndarray, shape (FAULTS, 7), float64
        Written: log odds, value, second value (north of a move), their sigmas, share of the sounds touched that agree,
        and how many are touched.
    """
    n = len(white)
    span_s = max(at_s[n - 1] - at_s[start], 1.0)
    column, rows = np.zeros(n), np.zeros((2, n))
    half_width = math.cos(math.radians(45.0))
    normal, value, unit = np.empty((2, 2)), np.empty(2), np.empty(2)
    for fault in range(faults):
        answer[fault, LOG_ODDS] = _NO_FAULT
        p = 2 if fault == MOVE else 1
        touched = 0
        for axis in range(p):
            touched = 0
            for i in range(start, n):
                if fault == CLOCK:
                    column[i] = 1.0
                elif fault == DRIFT:
                    column[i] = (at_s[i] - at_s[start]) / span_s
                elif fault == MOVE:
                    column[i] = (east[i] if axis == 0 else north[i]) / speed_mps
                else:
                    # Where the sound comes from is against its way.
                    angle = (fault - OBSTRUCTED) * 2.0 * math.pi / SECTORS
                    within = -east[i] * math.sin(angle) - north[i] * math.cos(angle)
                    column[i] = 1.0 if within >= half_width else 0.0
                touched += column[i] != 0.0
            _whiten_column(factor, column, start, rows[axis])
        answer[fault, TOUCHED] = touched
        if touched == 0:
            continue
        total, best = 0.0, _NO_FAULT
        kind = min(fault, OBSTRUCTED)
        for option in range(2):
            precision = 1.0 / sigmas[kind, option] ** 2
            for a in range(p):
                value[a] = 0.0
                for i in range(start, n):
                    value[a] += rows[a, i] * white[i]
                for b in range(a + 1):
                    normal[a, b] = precision if a == b else 0.0
                    for i in range(start, n):
                        normal[a, b] += rows[a, i] * rows[b, i]
            gained = 0.5 * p * math.log(precision)
            if not factorise(normal, p):
                continue
            for a in range(p):
                unit[a] = value[a]
            solve(normal, value, p)
            for a in range(p):
                gained += 0.5 * unit[a] * value[a] - math.log(normal[a, a])
            if gained > best:
                best = gained
                answer[fault, VALUE], answer[fault, SECOND] = value[0], value[1] if p == 2 else 0.0
                for a in range(p):
                    unit[0], unit[1] = (1.0, 0.0) if a == 0 else (0.0, 1.0)
                    solve(normal, unit, p)
                    answer[fault, SIGMA if a == 0 else SECOND_SIGMA] = math.sqrt(unit[a])
            total += 0.5 * math.exp(min(gained, 600.0))
        answer[fault, LOG_ODDS] = math.log(max(total, 1e-300))
        agree, counted = 0, 0
        said = np.zeros(n)
        for i in range(start, n):
            added = rows[0, i] * answer[fault, VALUE]
            if p == 2:
                added += rows[1, i] * answer[fault, SECOND]
            if fault < OBSTRUCTED or rows[0, i] != 0.0:
                counted += 1
                agree += abs(white[i] - added) <= _AGREES
                said[place[i]] += 0.5 * white[i] ** 2 - 0.5 * (white[i] - added) ** 2
        answer[fault, AGREE] = agree / max(counted, 1)
        if not one_place:
            answer[fault, LOG_ODDS] -= max(said.max(), 0.0)


@compiled
def persists(factor: FloatArray, white: FloatArray, shift: FloatArray, start: int) -> float:
    """Return the log odds that the errors from ``start`` on hold a shift, against that they hold none.

    Parameters
    ----------
    factor, white : ndarray
        From `whiten`.
    shift : ndarray, shape (n,), float64
        What a fault of known size adds to each.
    start : int
    """
    moved = np.zeros(len(white))
    _whiten_column(factor, shift, start, moved)
    odds = 0.0
    for i in range(start, len(white)):
        odds += 0.5 * white[i] * white[i] - 0.5 * (white[i] - moved[i]) ** 2
    return odds
