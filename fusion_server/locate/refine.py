"""Robust weighted refinement: maximum a posteriori under Student-t residuals, many starts and problems at once.

Unknowns of each row: x, y (and z when free), the range offset b = c t0, and a relative speed-of-sound error e with a
weak prior. Model: r_i = b + |p_i - x| / (1 + e), weight (nu + 1) / (nu + z_i²) with z_i = residual / sigma_i, by
iteratively reweighted, damped Gauss-Newton [Lange1989]. Rows freeze when converged, so that a row's result does not
depend on its companions. See docs/references.md.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ANNEALED", "QUICK", "STUDENT_NU", "Refined", "refine", "robust_offsets", "student_cost"]

FloatArray = NDArray[np.float64]

STUDENT_NU = 4.0
"""Degrees of freedom of the residual distribution."""

ANNEALED = ((4.0, 0.3), (1.0, 1e-6))
"""Residual scale of each stage, and the step in metres at which its rows stop: from anywhere, to the last digit."""
QUICK = ((4.0, 1.0), (1.0, 0.1))
"""From a start that is nearly right, to a decimetre."""
_MAX_STEPS = 100
_MAX_STEP_M = 250.0


@dataclass(frozen=True, slots=True)
class Refined:
    """Refined rows.

    Parameters
    ----------
    position_m : ndarray, shape (n_rows, n_dim), float64
    offset_m : ndarray, shape (n_rows,), float64
        Origin time times nominal speed of sound.
    speed_error : ndarray, shape (n_rows,), float64
        Relative error e of the nominal speed of sound.
    residual_m : ndarray, shape (n_rows, n_nodes), float64
        Observed minus predicted pseudorange.
    cost : ndarray, shape (n_rows,), float64
        Negative log posterior, up to a constant shared by rows of the same problem.
    information : ndarray, shape (n_rows, n_dim + 2, n_dim + 2), float64
        Expected information of (position, offset, speed error) from every node, priors included.
    node_information : ndarray, shape (n_rows, n_nodes, n_dim + 2, n_dim + 2), float64
        What each node adds to it.
    """

    position_m: FloatArray
    offset_m: FloatArray
    speed_error: FloatArray
    residual_m: FloatArray
    cost: FloatArray
    information: FloatArray
    node_information: FloatArray


def student_cost(standardised: FloatArray) -> FloatArray:
    """Return the negative log density of Student-t residuals, up to a constant, summed over the last axis."""
    result: FloatArray = 0.5 * (STUDENT_NU + 1.0) * np.log1p(standardised**2 / STUDENT_NU).sum(axis=-1)
    return result


def robust_offsets(pseudoranges_m: FloatArray, distance_m: FloatArray) -> FloatArray:
    """Return the median of pseudorange minus distance over nodes, shape (n_rows,)."""
    result: FloatArray = np.median(pseudoranges_m - distance_m, axis=-1)
    return result


def refine(
    start_m: FloatArray,
    sites_m: FloatArray,
    pseudoranges_m: FloatArray,
    sigma_m: FloatArray,
    *,
    speed_error_sigma: float,
    height_prior: tuple[float, float] | None = None,
    height_offset_m: FloatArray | None = None,
    start_offset_m: FloatArray | None = None,
    stages: tuple[tuple[float, float], ...] = ANNEALED,
) -> Refined:
    """Refine many rows at once.

    Parameters
    ----------
    start_m : ndarray, shape (n_rows, n_dim), float64
        n_dim is 2, or 3 when the height is free.
    sites_m : ndarray, shape (n_rows, n_nodes, n_dim), float64
    pseudoranges_m : ndarray, shape (n_rows, n_nodes), float64
    sigma_m : ndarray, shape (n_rows, n_nodes), float64
        1-sigma of each pseudorange.
    speed_error_sigma : float
        1-sigma of the relative speed of sound; more than 0.
    height_prior : tuple of float, optional
        Mean and 1-sigma of the height, for n_dim = 3.
    height_offset_m : ndarray, shape (n_rows, n_nodes), optional
        Known height of each site over the source, for n_dim = 2.
    start_offset_m : ndarray, shape (n_rows,), optional
        First range offset; by default the median of what the nodes say.
    stages : tuple of (scale, step_m)
        `ANNEALED` or `QUICK`.
    """
    n_rows, n_dim = start_m.shape
    n_state = n_dim + 2
    state = np.zeros((n_rows, n_state))
    state[:, :n_dim] = start_m
    extra_sq = np.zeros_like(pseudoranges_m) if height_offset_m is None else height_offset_m**2
    if start_offset_m is None:
        start_offset_m = robust_offsets(pseudoranges_m, _length(start_m[:, None, :] - sites_m, extra_sq))
    state[:, n_dim] = start_offset_m
    prior = np.zeros(n_state)
    prior_mean = np.zeros(n_state)
    prior[-1] = speed_error_sigma**-2
    if height_prior is not None:
        prior[2], prior_mean[2] = height_prior[1] ** -2, height_prior[0]

    for scale, converged_m in stages:
        active = np.arange(n_rows)
        damping = np.full(n_rows, 1e-6)
        cost, jacobian, residual, weight = _linearise(
            state, sites_m, extra_sq, pseudoranges_m, sigma_m * scale, prior, prior_mean
        )
        for _ in range(_MAX_STEPS):
            weighted = jacobian * weight[:, :, None]
            normal = np.swapaxes(weighted, 1, 2) @ jacobian
            gradient = np.einsum("rni,rn->ri", weighted, residual) + prior * (prior_mean - state[active])
            diagonal = np.einsum("rii->ri", normal)
            diagonal += prior
            diagonal += damping[active, None] * diagonal + 1e-12
            step = np.linalg.solve(normal, gradient[:, :, None])[:, :, 0]
            length = np.sqrt((step[:, :n_dim] ** 2).sum(axis=1))
            step *= np.minimum(1.0, _MAX_STEP_M / np.maximum(length, 1e-300))[:, None]
            trial = state[active] + step
            new = _linearise(
                trial,
                sites_m[active],
                extra_sq[active],
                pseudoranges_m[active],
                sigma_m[active] * scale,
                prior,
                prior_mean,
            )
            better = new[0] <= cost + 1e-12
            state[active[better]] = trial[better]
            damping[active] = np.where(better, damping[active] * 0.1, np.maximum(damping[active], 1e-4) * 10.0)
            going = ~(better & (length <= converged_m)) & (damping[active] < 1e6)
            cost, jacobian, residual, weight = (
                np.where(better.reshape((-1,) + (1,) * (now.ndim - 1)), now, before)[going]
                for now, before in zip(new, (cost, jacobian, residual, weight), strict=True)
            )
            active = active[going]
            if active.size == 0:
                break

    cost, jacobian, residual, weight = _linearise(state, sites_m, extra_sq, pseudoranges_m, sigma_m, prior, prior_mean)
    # Expected information of a Student-t location family: (nu + 1) / (nu + 3) per unit variance.
    expected = (STUDENT_NU + 1.0) / (STUDENT_NU + 3.0) / sigma_m**2
    node_information = expected[:, :, None, None] * jacobian[:, :, :, None] * jacobian[:, :, None, :]
    return Refined(
        position_m=state[:, :n_dim],
        offset_m=state[:, n_dim],
        speed_error=state[:, -1],
        residual_m=residual,
        cost=cost,
        information=node_information.sum(axis=1) + np.diag(prior),
        node_information=node_information,
    )


def _length(path: FloatArray, extra_sq: FloatArray) -> FloatArray:
    result: FloatArray = np.sqrt(np.einsum("rnd,rnd->rn", path, path) + extra_sq)
    return result


def _linearise(
    state: FloatArray,
    sites_m: FloatArray,
    extra_sq: FloatArray,
    pseudoranges_m: FloatArray,
    sigma_m: FloatArray,
    prior: FloatArray,
    prior_mean: FloatArray,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    n_dim = state.shape[1] - 2
    path = state[:, None, :n_dim] - sites_m
    distance = _length(path, extra_sq)
    slowness = 1.0 / (1.0 + state[:, -1:])
    residual = pseudoranges_m - state[:, n_dim : n_dim + 1] - distance * slowness
    jacobian = np.empty((*distance.shape, n_dim + 2))
    jacobian[:, :, :n_dim] = path / np.maximum(distance, 1e-9)[:, :, None] * slowness[:, :, None]
    jacobian[:, :, n_dim] = 1.0
    jacobian[:, :, -1] = -distance * slowness**2
    standardised = residual / sigma_m
    weight = (STUDENT_NU + 1.0) / (STUDENT_NU + standardised**2) / sigma_m**2
    cost = student_cost(standardised) + 0.5 * ((state - prior_mean) ** 2 * prior).sum(axis=1)
    return cost, jacobian, residual, weight
