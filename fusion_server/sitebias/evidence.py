"""The likelihood of excess delays, offsets of places and errors of the air integrated out.

A row is delay = offset of its place + air and place errors + excess delay + scatter. The excess delays are independent
from node to node (see `fusion_server.sitebias.delays`); the nuisances of a place are its offset, about which nothing is
known, and two errors of the place itself; those of an air are a relative error of the speed of sound and two of the
wind. By the matrix inversion lemma [RasmussenWilliams2006, appendix A.3] the nodes are solved apart, and three
unknowns a place and an air together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular

from fusion_server.sitebias.rows import AirErrors, ControlRows, DelayScales

__all__ = ["Solved", "Solver"]

FloatArray = NDArray[np.float64]

_EACH = 3
"""Nuisances of a place, and of an air."""
_OFFSET_SIGMA_S = 10.0
"""Of the offset of a place: so wide that it says nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Solved:
    """Excess delays with the nuisances taken away.

    Parameters
    ----------
    delay_s : ndarray, shape (n_rows,), float64
        With the nuisances at their posterior mean taken away.
    unsure_s2 : ndarray, shape (n_rows,), float64
        Posterior variance of what was taken away.
    left_out_s, left_out_s2 : ndarray, shape (n_rows,), float64
        What a row is off the prediction of all others, and the variance of that.
    """

    delay_s: FloatArray
    unsure_s2: FloatArray
    left_out_s: FloatArray
    left_out_s2: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class _Reduced:
    """Normal equations of the nuisances, factorised, their right side half solved; each node's inverse covariance."""

    log_likelihood: float
    factor: FloatArray
    half: FloatArray
    inverses: list[FloatArray]


class Solver:
    """Rows, ready to be solved with any scales.

    Parameters
    ----------
    rows : ControlRows
    air : AirErrors
    """

    def __init__(self, rows: ControlRows, air: AirErrors) -> None:
        self._rows = rows
        away_m = rows.place_m[rows.place] - rows.site_m[rows.node]
        length_m = np.maximum(np.hypot(away_m[:, 0], away_m[:, 1]), 1e-6)
        unit = away_m / length_m[:, None]
        speed = air.speed_mps
        # Only places and airs that are there, without gaps.
        here, self._block = np.unique(rows.place, return_inverse=True)
        airs, through = np.unique(rows.air[here], return_inverse=True)
        self._place_unknowns = _EACH * len(here)
        self._unknowns = self._place_unknowns + _EACH * len(airs)
        self._of_place = np.column_stack(
            [
                np.full(len(rows), _OFFSET_SIGMA_S),
                unit / speed * rows.place_sigma_m[rows.place][:, None],
            ]
        )
        errors = np.column_stack(
            [length_m / speed * air.speed_error_sigma, away_m / speed**2 * air.wind_error_sigma_mps]
        )
        self._of_air = np.zeros((len(rows), _EACH * len(airs)))
        for part in range(_EACH):
            self._of_air[np.arange(len(rows)), _EACH * through[self._block] + part] = errors[:, part]
        self._nodes = [np.flatnonzero(rows.node == node) for node in np.unique(rows.node)]
        self._columns = [(self._block[own][:, None] * _EACH + np.arange(_EACH)).ravel() for own in self._nodes]
        self._survey_s = [float(rows.site_sigma_m[rows.node[own[0]]]) / speed for own in self._nodes]
        self._cosine: list[FloatArray] = []
        self._apart_m: list[FloatArray] = []
        for own in self._nodes:
            towards, place_m = unit[own], rows.place_m[rows.place[own]]
            self._cosine.append(np.minimum(towards @ towards.T, 1.0))
            self._apart_m.append(np.hypot(*(place_m[:, None] - place_m[None]).transpose(2, 0, 1)))

    def log_likelihood(self, scales: DelayScales, share: FloatArray) -> float:
        """Return the log marginal likelihood; see `solve`."""
        return self._reduce(scales, share).log_likelihood

    def solve(self, scales: DelayScales, share: FloatArray) -> Solved:
        """Solve for the nuisances.

        Parameters
        ----------
        scales : DelayScales
        share : ndarray, shape (n_rows,), float64
            The scatter of a row has its variance divided by this: below 1 for a row that is far from the others.
        """
        rows, reduced = self._rows, self._reduce(scales, share)
        factor = reduced.factor
        nuisance = solve_triangular(factor, reduced.half, lower=True, trans="T", check_finite=False)
        joint = cho_solve((factor, True), np.eye(self._unknowns), check_finite=False)
        clean_s, unsure_s2, left_s, left_s2 = (np.empty(len(rows)) for _ in range(4))
        for own, inverse, columns in zip(self._nodes, reduced.inverses, self._columns, strict=True):
            design = np.zeros((len(own), self._unknowns))
            design[np.arange(len(own))[:, None], columns.reshape(-1, _EACH)] = self._of_place[own]
            design[:, self._place_unknowns :] = self._of_air[own]
            clean_s[own] = rows.delay_s[own] - design @ nuisance
            among = design @ joint @ design.T
            unsure_s2[own] = np.diag(among)
            precision = np.diag(inverse - inverse @ among @ inverse)
            left_s2[own] = 1.0 / np.maximum(precision, 1e-12)
            left_s[own] = inverse @ clean_s[own] * left_s2[own]
        return Solved(clean_s, unsure_s2, left_s, left_s2)

    def _reduce(self, scales: DelayScales, share: FloatArray) -> _Reduced:
        """Return the normal equations of the nuisances, the excess delays integrated out."""
        rows, of_place = self._rows, self._place_unknowns
        noise_s2 = rows.variance_s2 + scales.scatter_s**2 / share
        normal, right = np.eye(self._unknowns), np.zeros(self._unknowns)
        inverses: list[FloatArray] = []
        log_likelihood = 0.0
        for own, survey_s, cosine, apart_m, columns in zip(
            self._nodes, self._survey_s, self._cosine, self._apart_m, self._columns, strict=True
        ):
            covariance = (
                scales.constant_s**2
                + survey_s**2 * cosine
                + scales.direction_s**2 * np.exp((cosine - 1.0) / scales.direction_rad**2)
                + scales.place_s**2 * np.exp(-apart_m / scales.place_m)
            )
            covariance[np.diag_indices_from(covariance)] += noise_s2[own]
            factor = cholesky(covariance, lower=True, check_finite=False)
            inverse = cho_solve((factor, True), np.eye(len(own)), check_finite=False)
            inverses.append(inverse)
            delay_s, place, air = rows.delay_s[own], self._of_place[own], self._of_air[own]
            told, through = inverse @ delay_s, inverse @ air
            log_likelihood -= np.log(np.diag(factor)).sum() + 0.5 * float(delay_s @ told)
            # A node has one row of a place, so the product of design, inverse and design is elementwise there.
            product = inverse[:, None, :, None] * place[:, :, None, None] * place[None, None]
            normal[np.ix_(columns, columns)] += product.reshape(len(columns), len(columns))
            across = (place[:, :, None] * through[:, None]).reshape(len(columns), -1)
            normal[columns, of_place:] += across
            normal[of_place:, columns] += across.T
            normal[of_place:, of_place:] += air.T @ through
            right[columns] += (place * told[:, None]).ravel()
            right[of_place:] += air.T @ told
        factor = cholesky(normal, lower=True, check_finite=False)
        half = solve_triangular(factor, right, lower=True, check_finite=False)
        log_likelihood += 0.5 * float(half @ half) - float(np.log(np.diag(factor)).sum())
        return _Reduced(float(log_likelihood), factor, half, inverses)
