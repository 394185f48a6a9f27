"""What was learned, asked: the excess delay from a place to a node, and how sure that is.

For each node its excess delay is a Gaussian process over places [RasmussenWilliams2006, eq. 2.25 and 2.26] with
covariance

    k(x, x') = a² + (s/c)² cos(t - t') + b² exp((cos(t - t') - 1) / h²) + p² exp(-|x - x'| / l),

t the direction of the place from the node: a constant, what a surveyed position that is s off makes, a part that
depends on the direction alone (a periodic kernel, [MacKay1998]), and one that depends on the neighbourhood of the
source. Far from all that was learned, the mean goes
to that of the node's constant and direction, and to 0 for a node that learned nothing; the variance goes to that of
the prior. The arithmetic is compiled, and no library reorders a sum: the same table gives the same bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from fusion_server.locate.kernel import factorise, solve
from fusion_server.sitebias.rows import DelayScales
from shotline.errors import InputError

__all__ = ["PathDelays", "covariance_s2"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_Scales = tuple[float, float, float, float, float]


@compiled
def covariance_s2(
    x_m: float, y_m: float, other_x_m: float, other_y_m: float, site: FloatArray, scales: _Scales
) -> float:
    """Return the prior covariance of the excess delays from two places to one node.

    ``site`` is x and y in m and the error of its survey in s of sound, ``scales`` are constant and direction in s,
    direction in rad, place in s, place in m.
    """
    ax, ay = x_m - site[0], y_m - site[1]
    bx, by = other_x_m - site[0], other_y_m - site[1]
    lengths = math.sqrt((ax * ax + ay * ay) * (bx * bx + by * by))
    # Seen from the very place of the node there is no direction: as if at right angles.
    cosine = min(1.0, (ax * bx + ay * by) / lengths) if lengths > 0.0 else 0.0
    apart_m = math.hypot(x_m - other_x_m, y_m - other_y_m)
    covariance: float = (
        scales[0] * scales[0]
        + site[2] * site[2] * cosine
        + scales[1] * scales[1] * math.exp((cosine - 1.0) / (scales[2] * scales[2]))
        + scales[3] * scales[3] * math.exp(-apart_m / scales[4])
    )
    return covariance


@compiled
def _prepare(
    first: IntArray,
    sites: FloatArray,
    place_m: FloatArray,
    delay_s: FloatArray,
    noise_s2: FloatArray,
    scales: _Scales,
    factors: FloatArray,
    start: IntArray,
    weights: FloatArray,
) -> bool:
    """Fill in the Cholesky factors of each node's covariance, one after the other, and the weights of its rows."""
    for node in range(len(first) - 1):
        begin, n = first[node], first[node + 1] - first[node]
        matrix = np.empty((n, n))
        for i in range(n):
            for j in range(i + 1):
                matrix[i, j] = covariance_s2(
                    place_m[begin + i, 0],
                    place_m[begin + i, 1],
                    place_m[begin + j, 0],
                    place_m[begin + j, 1],
                    sites[node],
                    scales,
                )
                matrix[j, i] = matrix[i, j]
            matrix[i, i] += noise_s2[begin + i]
        if not factorise(matrix, n):
            return False
        vector = delay_s[begin : begin + n].copy()
        solve(matrix, vector, n)
        weights[begin : begin + n] = vector
        factors[start[node] : start[node + 1]] = matrix.ravel()
    return True


@compiled
def _ask(
    node: IntArray,
    x_m: FloatArray,
    y_m: FloatArray,
    first: IntArray,
    sites: FloatArray,
    place_m: FloatArray,
    unsure_s2: FloatArray,
    scales: _Scales,
    factors: FloatArray,
    start: IntArray,
    weights: FloatArray,
    mean_s: FloatArray,
    variance_s2: FloatArray,
) -> None:
    prior_s2 = scales[0] * scales[0] + scales[1] * scales[1] + scales[3] * scales[3]
    for row in range(len(node)):
        mean_s[row], variance_s2[row] = 0.0, prior_s2
        which = node[row]
        if which < 0:
            continue
        survey_s2 = sites[which, 2] * sites[which, 2]
        begin, n = first[which], first[which + 1] - first[which]
        factor = factors[start[which] : start[which + 1]].reshape(n, n)
        near, answer = np.empty(n), np.empty(n)
        for i in range(n):
            near[i] = covariance_s2(
                x_m[row],
                y_m[row],
                place_m[begin + i, 0],
                place_m[begin + i, 1],
                sites[which],
                scales,
            )
            answer[i] = near[i]
            mean_s[row] += near[i] * weights[begin + i]
        solve(factor, answer, n)
        told_s2, unsure = 0.0, 0.0
        for i in range(n):
            told_s2 += near[i] * answer[i]
            unsure += answer[i] * answer[i] * unsure_s2[begin + i]
        most_s2 = prior_s2 + survey_s2
        variance_s2[row] = min(max(most_s2 - told_s2, 0.0) + unsure, most_s2)


@dataclass(frozen=True, slots=True, eq=False)
class PathDelays:
    """Excess delays of the paths of a network, as learned.

    Parameters
    ----------
    nodes : tuple of str
        Which nodes; others learned nothing.
    site_m : ndarray, shape (n_nodes, 2), float64
        Where each stood by the survey when it was learned, local frame.
    survey_s : ndarray, shape (n_nodes,), float64
        1-sigma error of that survey per axis, in seconds of sound.
    first : ndarray, shape (n_nodes + 1,), int64
        The rows of node i are ``first[i]`` to ``first[i + 1]``.
    place : ndarray, shape (n_rows,), int64
        Of which place a row is.
    place_m : ndarray, shape (n_places, 2), float64
        Where the sounds were made.
    delay_s : ndarray, shape (n_rows,), float64
        Excess delay, the offset of its place taken away.
    noise_s2 : ndarray, shape (n_rows,), float64
        Variance of that, independent from row to row.
    unsure_s2 : ndarray, shape (n_rows,), float64
        Variance of the offset taken away.
    scales : DelayScales

    Raises
    ------
    InputError
        No covariance: a scale or a variance is not positive, or the columns do not fit.
    """

    nodes: tuple[str, ...]
    site_m: FloatArray
    survey_s: FloatArray
    first: IntArray
    place: IntArray
    place_m: FloatArray
    delay_s: FloatArray
    noise_s2: FloatArray
    unsure_s2: FloatArray
    scales: DelayScales
    _at_m: FloatArray = field(init=False, repr=False)
    _sites: FloatArray = field(init=False, repr=False)
    _scales: _Scales = field(init=False, repr=False)
    _factors: FloatArray = field(init=False, repr=False)
    _start: IntArray = field(init=False, repr=False)
    _weights: FloatArray = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rows = len(self.delay_s)
        columns = (self.place, self.noise_s2, self.unsure_s2)
        if (
            any(len(column) != rows for column in columns)
            or not len(self.nodes) == len(self.site_m) == len(self.survey_s)
            or len(self.first) != len(self.nodes) + 1
            or self.first[0] != 0
            or self.first[-1] != rows
            or (np.diff(self.first) < 0).any()
            or (rows > 0 and not 0 <= self.place.min() <= self.place.max() < len(self.place_m))
        ):
            raise InputError("columns of path delays do not fit each other", field="first")
        scales = self.scales
        lengths = (scales.constant_s, scales.direction_s, scales.direction_rad, scales.place_s, scales.place_m)
        if not all(math.isfinite(value) and value > 0.0 for value in (*lengths, scales.scatter_s)):
            raise InputError("a scale of path delays is not positive", field="scales")
        sites = np.column_stack([self.site_m, self.survey_s])
        sizes = np.diff(self.first)
        start = np.zeros(len(self.first), dtype=np.int64)
        start[1:] = np.cumsum(sizes * sizes)
        factors, weights = np.empty(int(start[-1])), np.empty(rows)
        at_m = np.ascontiguousarray(self.place_m[self.place])
        if (self.unsure_s2 < 0.0).any() or not _prepare(
            self.first, sites, at_m, self.delay_s, self.noise_s2, lengths, factors, start, weights
        ):
            raise InputError("a variance of path delays is not positive", field="noise_s2")
        for name, value in (
            ("_at_m", at_m),
            ("_sites", sites),
            ("_scales", lengths),
            ("_factors", factors),
            ("_start", start),
            ("_weights", weights),
        ):
            object.__setattr__(self, name, value)

    def number_of(self, node: str) -> int:
        """Return the number of a node for `at`; -1 for one that learned nothing."""
        return self.nodes.index(node) if node in self.nodes else -1

    def at(
        self, node: IntArray | int, x_m: FloatArray | float, y_m: FloatArray | float
    ) -> tuple[FloatArray, FloatArray]:
        """Return the excess delay of paths, and its variance.

        Parameters
        ----------
        node : ndarray of int64, or int
            Numbers of nodes, see `number_of`; -1 for one that is not in the table: mean 0, the prior's variance without
            an error of a survey.
        x_m, y_m : ndarray, float64
            Where the source is, local frame. All three are broadcast against each other.

        Returns
        -------
        mean_s, variance_s2 : ndarray
            Of their shape. The variance is that of the delay, without ``scales.scatter_s``.
        """
        which, east_m, north_m = np.broadcast_arrays(
            np.asarray(node, dtype=np.int64), np.asarray(x_m, dtype=np.float64), np.asarray(y_m, dtype=np.float64)
        )
        mean_s, variance_s2 = np.empty(which.size), np.empty(which.size)
        _ask(
            np.ascontiguousarray(which).ravel(),
            np.ascontiguousarray(east_m).ravel(),
            np.ascontiguousarray(north_m).ravel(),
            self.first,
            self._sites,
            self._at_m,
            self.unsure_s2,
            self._scales,
            self._factors,
            self._start,
            self._weights,
            mean_s,
            variance_s2,
        )
        return mean_s.reshape(which.shape), variance_s2.reshape(which.shape)
