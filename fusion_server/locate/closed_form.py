"""Closed-form multilateration of the minimal set: three nodes, three unknowns, up to two roots.

With nodes p1, p2, p3 and pseudoranges r_i = c t_i (whose common offset is unknown), squaring |p_i - x| = r_i - b and
subtracting the equation of p1 leaves two equations linear in x and in the range R = |p1 - x|; putting x = u + v R back
into |p1 - x|² = R² gives a quadratic in R [SmithAbel1987; see docs/references.md]. Every physical root is returned.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

__all__ = ["three_node_roots", "well_spread_triples"]

FloatArray = NDArray[np.float64]

_FLAT_SINE = 1e-3
"""Three nodes whose triangle has a smaller sine than this are on a line."""


def three_node_roots(
    sites_m: FloatArray, pseudoranges_m: FloatArray, *, slack_m: float
) -> tuple[FloatArray, FloatArray, NDArray[np.intp]]:
    """Return every physical root of many three-node problems.

    Parameters
    ----------
    sites_m : ndarray, shape (n_problems, 3, 2), float64
        Nodes of each problem.
    pseudoranges_m : ndarray, shape (n_problems, 3), float64
        Arrival time times speed of sound, any common origin.
    slack_m : float
        A range may be this negative, and the discriminant this far below zero (as a length squared), before a root is
        unphysical: noise must not remove a root that lies on a node or on the edge of the feasible region.

    Returns
    -------
    roots_m : ndarray, shape (n_roots, 2), float64
    offsets_m : ndarray, shape (n_roots,), float64
        Origin time times speed of sound.
    problem : ndarray, shape (n_roots,), int
        Which problem each root solves; collinear problems have none.
    """
    first = sites_m[:, 0]
    baseline = sites_m[:, 1:] - first[:, None]
    delay = pseudoranges_m[:, 1:] - pseudoranges_m[:, :1]
    (ax, ay), (bx, by) = baseline[:, 0].T, baseline[:, 1].T
    determinant = ax * by - ay * bx
    lengths = np.hypot(ax, ay) * np.hypot(bx, by)
    usable = np.abs(determinant) > _FLAT_SINE * np.maximum(lengths, 1e-12)
    safe = np.where(usable, determinant, 1.0)
    half = 0.5 * (np.einsum("pij,pij->pi", baseline, baseline) - delay**2)
    u = np.stack([by * half[:, 0] - ay * half[:, 1], ax * half[:, 1] - bx * half[:, 0]], axis=1) / safe[:, None]
    v = -np.stack([by * delay[:, 0] - ay * delay[:, 1], ax * delay[:, 1] - bx * delay[:, 0]], axis=1) / safe[:, None]
    quad_a = np.einsum("pi,pi->p", v, v) - 1.0
    quad_b = np.einsum("pi,pi->p", u, v)
    quad_c = np.einsum("pi,pi->p", u, u)
    discriminant = quad_b**2 - quad_a * quad_c
    usable &= discriminant > -(slack_m**2) * np.maximum(np.abs(quad_a), 1.0)
    sqrt = np.sqrt(np.maximum(discriminant, 0.0))
    # The stable pair: one root by addition, the other from their product; a = 0 leaves the second only.
    q = -(quad_b + np.where(quad_b >= 0, sqrt, -sqrt))
    with np.errstate(divide="ignore", invalid="ignore"):
        range_m = np.stack([q / quad_a, quad_c / q], axis=1)
    range_m = np.where((q == 0.0)[:, None], 0.0, range_m)
    longest_delay = np.maximum(0.0, -delay.min(axis=1))
    physical = usable[:, None] & np.isfinite(range_m) & (range_m >= longest_delay[:, None] - slack_m)
    physical[:, 1] &= np.abs(range_m[:, 0] - range_m[:, 1]) > 1e-6
    problem, which = np.nonzero(physical)
    ranges = range_m[problem, which]
    roots = first[problem] + u[problem] + v[problem] * ranges[:, None]
    offsets = pseudoranges_m[problem, 0] - ranges
    return roots, offsets, problem


def well_spread_triples(n_nodes: int, *, most: int) -> NDArray[np.intp]:
    """Return index triples out of the first ``n_nodes`` nodes: all of them, or those of the first few nodes.

    Parameters
    ----------
    n_nodes : int
        Nodes, ordered best first.
    most : int
        How many of the first nodes to combine.

    Returns
    -------
    ndarray, shape (n_triples, 3), int
    """
    return np.array(list(itertools.combinations(range(min(n_nodes, most)), 3)), dtype=np.intp).reshape(-1, 3)
