"""How large the errors of a network usually are, learned from itself: scatter, what of it places share, and how far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.netcheck.evidence import log_marginal, whiten

__all__ = ["Share", "Track", "learn_share", "node_scale", "scales_of", "usual_sigma"]

FloatArray = NDArray[np.float64]

_TAIL = 0.85
_TAIL_OF_T = 1.778
"""85 % of absolute values of Student's t with 4 degrees of freedom are below this."""
_PRIOR_ERRORS = 40.0
"""The prior on the usual size of errors is worth so many of them."""
_NODE_PRIOR = 10.0
_NOISE_SHARES = (0.03, 0.1, 0.25, 0.5, 0.8)
_REACHES_M = (25.0, 60.0, 150.0)
_MOST_EACH = 60
_CONSTANT, _DIRECTION, _DIRECTION_RAD = 0.45, 0.35, 0.8
"""Of the part that the paths make, what a node has from everywhere, and from one direction."""


@dataclass(frozen=True, slots=True)
class Share:
    """How the variance that paths make is made up.

    Parameters
    ----------
    noise : float
        Share that differs from sound to sound, from the very same place too.
    reach_m : float
        Places further apart than about this have little in common.
    """

    noise: float = 0.25
    reach_m: float = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """Errors of one node, oldest first.

    Parameters
    ----------
    y, own, path : ndarray, shape (n,), float64
        Error, and its variances: of clock and onset, and of the paths.
    place_m : ndarray, shape (n, 2), float64
    site : ndarray, shape (3,), float64
    """

    y: FloatArray
    own: FloatArray
    path: FloatArray
    place_m: FloatArray
    site: FloatArray


def scales_of(reach_m: float) -> tuple[float, float, float, float, float]:
    """Return the scales of the Gaussian process of one node, of variance 1 in all."""
    place = math.sqrt(1.0 - _CONSTANT**2 - _DIRECTION**2)
    return (_CONSTANT, _DIRECTION, _DIRECTION_RAD, place, reach_m)


def usual_sigma(z: FloatArray, *, now: float, prior: float) -> float:
    """Return the scale of errors: from their absolute values in units of ``now``, shrunk towards a prior."""
    if len(z) < 20:
        return now
    wanted = math.log(max(float(np.quantile(z, _TAIL)) / _TAIL_OF_T, 1e-3) * now)
    weight = len(z) / (len(z) + _PRIOR_ERRORS)
    return math.exp(weight * wanted + (1.0 - weight) * math.log(prior))


def node_scale(z_sq: FloatArray) -> float:
    """Return by what the variance of a node differs from the network's: a noisy one is not a faulty one."""
    if len(z_sq) < 5:
        return 1.0
    usual = min(float(np.quantile(z_sq, _TAIL)) / _TAIL_OF_T**2, 9.0)
    return max(0.5, (_NODE_PRIOR + len(z_sq) * usual) / (_NODE_PRIOR + len(z_sq)))


def learn_share(tracks: Sequence[Track]) -> Share:
    """Return the share and reach under which the errors of all nodes are likeliest, a weak prior in the middle.

    Type-II maximum likelihood over a grid [RasmussenWilliams2006, section 5.4.1].
    """
    best, highest = Share(), -math.inf
    usual = Share()
    latest = [_latest(track) for track in tracks if len(track.y) >= 5]
    for noise in _NOISE_SHARES:
        for reach_m in _REACHES_M:
            total = -0.5 * (math.log(noise / usual.noise) ** 2 + math.log(reach_m / usual.reach_m) ** 2)
            for track in latest:
                n = len(track.y)
                factor, white = np.zeros((n, n)), np.empty(n)
                size, rest = np.sqrt((1.0 - noise) * track.path), track.own + noise * track.path
                whiten(track.y, size, rest, track.place_m, track.site, scales_of(reach_m), factor, white)
                total += float(log_marginal(factor, white))
            if total > highest:
                best, highest = Share(noise, reach_m), total
    return best


def _latest(track: Track) -> Track:
    keep = slice(max(len(track.y) - _MOST_EACH, 0), None)
    return Track(track.y[keep], track.own[keep], track.path[keep], track.place_m[keep], track.site)
