"""From a covariance to what people read: ellipse, CEP, GDOP.

References: [Siouris1993] for the CEP integral; chi-square with two degrees of freedom for ellipses.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from shotline.domain import Ellipse

__all__ = ["cep_m", "ellipse", "horizontal_dop"]

FloatArray = NDArray[np.float64]

_QUADRATURE_POINTS = 128


def ellipse(covariance_m2: FloatArray, *, confidence: float) -> Ellipse:
    """Return the ellipse that holds the given share of a bivariate normal.

    Parameters
    ----------
    covariance_m2 : ndarray, shape (2, 2), float64
        (x, y) with y north.
    confidence : float
        In (0, 1), e.g. 0.95.
    """
    values, vectors = np.linalg.eigh(covariance_m2)
    scale = -2.0 * math.log1p(-confidence)
    minor_m, major_m = (math.sqrt(max(float(value), 0.0) * scale) for value in values)
    east, north = vectors[:, 1]
    orientation_deg = math.degrees(math.atan2(east, north)) % 180.0
    # A hair west of north is 180 after rounding, which is north.
    return Ellipse(major_m, minor_m, 0.0 if orientation_deg == 180.0 else orientation_deg)


def cep_m(covariance_m2: FloatArray, *, probability: float) -> float:
    """Return the radius about the mean that holds a share of a bivariate normal.

    With x = s1 rho cos(phi), y = s2 rho sin(phi), rho Rayleigh and phi uniform, P(R < r) is the mean over phi of
    1 - exp(-r² / (2 (s1² cos² phi + s2² sin² phi))); solved for r by Newton's method inside a bracket.

    Parameters
    ----------
    covariance_m2 : ndarray, shape (2, 2), float64
    probability : float
        In (0, 1): 0.5 for CEP50, 0.95 for CEP95.
    """
    minor, major = np.maximum(np.linalg.eigvalsh(covariance_m2), 0.0)
    if major <= 0.0:
        return 0.0
    angle = (np.arange(_QUADRATURE_POINTS) + 0.5) * (0.5 * math.pi / _QUADRATURE_POINTS)
    spread = np.maximum(np.cos(angle) ** 2 + (minor / major) * np.sin(angle) ** 2, 1e-12)
    low, high = 0.0, math.sqrt(-2.0 * math.log1p(-probability))
    radius = 0.8 * high
    for _ in range(60):
        inside = np.exp(-0.5 * radius**2 / spread)
        excess = 1.0 - float(inside.mean()) - probability
        low, high = (low, radius) if excess > 0 else (radius, high)
        slope = float((inside * radius / spread).mean())
        step = radius - excess / slope if slope > 0 else math.inf
        radius, before = (step if low < step < high else 0.5 * (low + high)), radius
        if abs(radius - before) < 1e-12:
            break
    return radius * math.sqrt(major)


def horizontal_dop(directions: FloatArray) -> float:
    """Return the horizontal dilution of precision of time-difference geometry; infinity when it is singular.

    Parameters
    ----------
    directions : ndarray, shape (n_nodes, 2), float64
        Unit vectors from the nodes to the source.
    """
    design = np.column_stack([directions, np.ones(len(directions))])
    normal = design.T @ design
    if np.linalg.matrix_rank(normal, tol=1e-9) < 3:
        return math.inf
    covariance = np.linalg.inv(normal)
    return math.sqrt(float(covariance[0, 0] + covariance[1, 1]))
