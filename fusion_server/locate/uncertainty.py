"""From a covariance to what people read: ellipse, CEP, GDOP.

References: [Siouris1993] for the CEP integral; chi-square with two degrees of freedom for ellipses.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from shotline.domain import Ellipse

__all__ = ["cep_m", "cep_of_axes_m", "ellipse", "horizontal_dop", "principal_axes"]

FloatArray = NDArray[np.float64]


def _cos_sq(n_points: int) -> FloatArray:
    return np.asarray(np.cos((np.arange(n_points) + 0.5) * (0.5 * math.pi / n_points)) ** 2)


_ROUND, _OVAL, _THIN = _cos_sq(8), _cos_sq(24), _cos_sq(128)
"""Points of the midpoint rule in a quarter turn: the integrand is periodic, the rounder the sooner it converges."""
_ROUND_FROM, _OVAL_FROM = 0.5, 0.2
"""Ratios of the axes."""


@compiled
def principal_axes(xx: float, xy: float, yy: float) -> tuple[float, float, float]:
    """Return the larger and the smaller variance of a symmetric 2 x 2 matrix, and the larger one's angle from +x."""
    middle, half = 0.5 * (xx + yy), 0.5 * (xx - yy)
    root = math.hypot(half, xy)
    return middle + root, max(middle - root, 0.0), 0.5 * math.atan2(xy, half)


def ellipse(covariance_m2: FloatArray | Sequence[Sequence[float]], *, confidence: float) -> Ellipse:
    """Return the ellipse that holds the given share of a bivariate normal.

    Parameters
    ----------
    covariance_m2 : array_like, shape (2, 2), float64
        (x, y) with y north.
    confidence : float
        In (0, 1), e.g. 0.95.
    """
    (xx, xy), (_, yy) = covariance_m2
    major_sq, minor_sq, angle_rad = principal_axes(float(xx), float(xy), float(yy))
    scale = -2.0 * math.log1p(-confidence)
    orientation_deg = (90.0 - math.degrees(angle_rad)) % 180.0
    return Ellipse(math.sqrt(major_sq * scale), math.sqrt(minor_sq * scale), orientation_deg)


def cep_m(covariance_m2: FloatArray | Sequence[Sequence[float]], *, probability: float) -> float:
    """Return the radius about the mean that holds a share of a bivariate normal; see `cep_of_axes_m`.

    Parameters
    ----------
    covariance_m2 : array_like, shape (2, 2), float64
    probability : float
        In (0, 1): 0.5 for CEP50, 0.95 for CEP95.
    """
    (xx, xy), (_, yy) = covariance_m2
    major_sq, minor_sq, _ = principal_axes(float(xx), float(xy), float(yy))
    return float(cep_of_axes_m(major_sq, minor_sq, probability))


@compiled
def cep_of_axes_m(major_sq: float, minor_sq: float, probability: float) -> float:
    """Return the radius that holds a share of a bivariate normal with these variances along its axes.

    With x = s1 rho cos(phi), y = s2 rho sin(phi), rho Rayleigh and phi uniform, P(R < r) is the mean over phi of
    1 - exp(-r² / (2 (s1² cos² phi + s2² sin² phi))); solved for r by Newton's method inside a bracket.
    """
    if not major_sq > 0.0:
        return 0.0
    ratio = minor_sq / major_sq
    table = _THIN
    if ratio > _ROUND_FROM * _ROUND_FROM:
        table = _ROUND
    elif ratio > _OVAL_FROM * _OVAL_FROM:
        table = _OVAL
    low, high = 0.0, math.sqrt(-2.0 * math.log1p(-probability))
    radius = high * math.sqrt(0.5 * (1.0 + ratio))
    for _ in range(60):
        tail, slope = 0.0, 0.0
        for cos_sq in table:
            spread = max(cos_sq + ratio * (1.0 - cos_sq), 1e-12)
            outside = math.exp(-0.5 * radius * radius / spread)
            tail += outside
            slope += outside * radius / spread
        excess = 1.0 - tail / len(table) - probability
        if excess > 0.0:
            high = radius
        else:
            low = radius
        step = radius - excess * len(table) / slope if slope > 0.0 else -1.0
        before = radius
        radius = step if low < step < high else 0.5 * (low + high)
        if abs(radius - before) < 1e-9:
            break
    return radius * math.sqrt(major_sq)


@compiled
def horizontal_dop(directions: FloatArray) -> float:
    """Return the horizontal dilution of precision of time-difference geometry; infinity when it is singular.

    The position block of the inverse of the normal matrix of (u_x, u_y, 1) is the inverse of the scatter of the
    directions about their mean.

    Parameters
    ----------
    directions : ndarray, shape (n_nodes, 2), float64
        Unit vectors from the nodes to the source.
    """
    n_nodes = len(directions)
    mean_x, mean_y = 0.0, 0.0
    for node in range(n_nodes):
        mean_x += directions[node, 0] / n_nodes
        mean_y += directions[node, 1] / n_nodes
    xx, xy, yy = 0.0, 0.0, 0.0
    for node in range(n_nodes):
        x, y = directions[node, 0] - mean_x, directions[node, 1] - mean_y
        xx += x * x
        xy += x * y
        yy += y * y
    determinant = xx * yy - xy * xy
    if not determinant > 1e-9 * n_nodes:
        return math.inf
    return math.sqrt((xx + yy) / determinant)
