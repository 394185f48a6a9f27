"""The equations of a self-survey: every arrival, linearised; the unknowns of each impulse eliminated. Pure.

Unknowns are all in metres, so that their normal matrix is well scaled: per node x, y, z and clock offset times
`SCALE_MPS`; per air the speed's and the wind's change, in m/s; per impulse x, y, z and instant times `SCALE_MPS`. Each
arrival touches one node, one air and one impulse, so the impulses' 4 x 4 blocks are eliminated one by one and what
remains is as large as the network, however many impulses there are.

References
----------
[Triggs2000] sections 6.1 (Schur complement of the blocks) and 9 (gauge freedom).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline_calibration.self_survey.problem import AirPrior, FloatArray, Impulse, NodePrior

__all__ = ["PER_AIR", "PER_IMPULSE", "PER_NODE", "SCALE_MPS", "Arrivals", "Eliminated", "Linear", "Precisions", "State"]

SCALE_MPS = 340.0
"""Turns seconds into metres. Any figure does: it is taken off again."""
PER_NODE = 4
PER_AIR = 3
PER_IMPULSE = 4
_NEAREST_S = 1e-9
_KNOWN_CLOCK_S = 1e-9
_UNKNOWN = 0.0


@dataclass(slots=True)
class State:
    """Where everything is.

    Parameters
    ----------
    nodes_m : ndarray, shape (n_nodes, 4)
        x, y, z, clock offset times `SCALE_MPS`.
    air_mps : ndarray, shape (n_airs, 3)
        Speed of sound, wind east, wind north.
    impulses_m : ndarray, shape (n_impulses, 4)
        x, y, z, instant times `SCALE_MPS`.
    """

    nodes_m: FloatArray
    air_mps: FloatArray
    impulses_m: FloatArray

    def moved(self, common: FloatArray, own: FloatArray) -> State:
        """Return the state after a step."""
        split = self.nodes_m.size
        return State(
            self.nodes_m + common[:split].reshape(self.nodes_m.shape),
            self.air_mps + common[split:].reshape(self.air_mps.shape),
            self.impulses_m + own,
        )


@dataclass(frozen=True, slots=True)
class Arrivals:
    """All arrivals as columns, impulse by impulse."""

    impulse: NDArray[np.int64]
    node: NDArray[np.int64]
    air: NDArray[np.int64]
    heard_m: FloatArray
    sigma_m: FloatArray
    first: NDArray[np.int64]
    """Where each impulse begins; one more at the end."""

    @classmethod
    def of(cls, impulses: list[Impulse]) -> Arrivals:
        """Return the columns."""
        counts = [len(impulse.nodes) for impulse in impulses]
        owner = np.repeat(np.arange(len(impulses)), counts)
        air = np.array([impulse.air for impulse in impulses], dtype=np.int64)
        return cls(
            owner,
            np.array([node for impulse in impulses for node in impulse.nodes], dtype=np.int64),
            air[owner],
            SCALE_MPS * np.array([time_s for impulse in impulses for time_s in impulse.arrival_s]),
            SCALE_MPS * np.array([sigma_s for impulse in impulses for sigma_s in impulse.sigma_s]),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )


@dataclass(frozen=True, slots=True)
class Precisions:
    """What is known beforehand: values, and one over their variances, 0 where nothing is known."""

    nodes_m: FloatArray
    nodes: FloatArray
    air_mps: FloatArray
    air: FloatArray
    impulses_m: FloatArray
    impulses: FloatArray

    @classmethod
    def of(
        cls, nodes: list[NodePrior], airs: list[AirPrior], impulses: list[Impulse], *, height_m: float
    ) -> Precisions:
        """Return them; an unknown impulse is at ``height_m`` about."""
        node_sigma = [
            (n.sigma_m, n.sigma_m, n.sigma_z_m, SCALE_MPS * max(n.clock_sigma_s, _KNOWN_CLOCK_S)) for n in nodes
        ]
        air_sigma = [(a.speed_sigma_mps, a.wind_sigma_mps, a.wind_sigma_mps) for a in airs]
        places = [impulse.place_m or (0.0, 0.0, height_m) for impulse in impulses]
        return cls(
            np.array([(n.x_m, n.y_m, n.z_m, 0.0) for n in nodes]),
            np.array(node_sigma) ** -2.0,
            np.array([(a.speed_mps, *a.wind_mps) for a in airs]),
            np.maximum(np.array(air_sigma), 1e-6) ** -2.0,
            np.array([(*place, SCALE_MPS * (i.made_s or 0.0)) for place, i in zip(places, impulses, strict=True)]),
            np.array([(*(1.0 / sigma**2 for sigma in i.place_sigma_m), _made_precision(i)) for i in impulses]),
        )


@dataclass(frozen=True, slots=True)
class Linear:
    """Every arrival about a state.

    Parameters
    ----------
    residual_m : ndarray, shape (n,)
        Observed - predicted, times `SCALE_MPS`.
    common : ndarray, shape (n, n_common)
        Derivatives of the predicted by the unknowns of nodes and airs.
    own : ndarray, shape (n, 4)
        By those of the impulse.
    """

    residual_m: FloatArray
    common: FloatArray
    own: FloatArray

    @classmethod
    def at(cls, state: State, arrivals: Arrivals, *, with_common: bool = True) -> Linear:
        """Return residuals and derivatives; without those by nodes and airs where nobody asks for them.

        The wave front is a sphere that the wind carries, |r - w t| = c t (`shotline.propagation.travel_time_s`). With
        n = (r - w t) / (c t): dt/dr = n / (c + n·w), dt/dc = -t / (c + n·w), dt/dw = -t n / (c + n·w).
        """
        path_m = state.nodes_m[arrivals.node, :3] - state.impulses_m[arrivals.impulse, :3]
        speed_mps, wind_mps = state.air_mps[arrivals.air, 0], state.air_mps[arrivals.air, 1:]
        along = np.einsum("ij,ij->i", path_m[:, :2], wind_mps)
        margin = speed_mps**2 - np.einsum("ij,ij->i", wind_mps, wind_mps)
        distance_sq = np.einsum("ij,ij->i", path_m, path_m)
        travel_s = np.maximum((np.sqrt(along**2 + margin * distance_sq) - along) / margin, _NEAREST_S)
        normal = path_m.copy()
        normal[:, :2] -= wind_mps * travel_s[:, None]
        normal /= (speed_mps * travel_s)[:, None]
        carried = speed_mps + np.einsum("ij,ij->i", normal[:, :2], wind_mps)
        predicted_m = state.impulses_m[arrivals.impulse, 3] + SCALE_MPS * travel_s + state.nodes_m[arrivals.node, 3]
        slowness = SCALE_MPS / carried
        rows, n_nodes = np.arange(len(travel_s)), len(state.nodes_m)
        own = np.ones((len(rows), PER_IMPULSE))
        own[:, :3] = -normal * slowness[:, None]
        if not with_common:
            return cls(arrivals.heard_m - predicted_m, np.zeros((len(rows), 0)), own)
        common = np.zeros((len(rows), PER_NODE * n_nodes + PER_AIR * len(state.air_mps)))
        for axis in range(3):
            common[rows, PER_NODE * arrivals.node + axis] = normal[:, axis] * slowness
        common[rows, PER_NODE * arrivals.node + 3] = 1.0
        air = PER_NODE * n_nodes + PER_AIR * arrivals.air
        common[rows, air] = -travel_s * slowness
        for axis in range(2):
            common[rows, air + 1 + axis] = -travel_s * slowness * normal[:, axis]
        return cls(arrivals.heard_m - predicted_m, common, own)


@dataclass(frozen=True, slots=True)
class Eliminated:
    """The normal equations with the impulses taken out.

    Parameters
    ----------
    matrix : ndarray, shape (n_common, n_common)
        Of nodes and airs.
    gradient : ndarray, shape (n_common,)
    own : ndarray, shape (n_impulses, 4, 4)
        Inverse of each impulse's block.
    own_gradient : ndarray, shape (n_impulses, 4)
    lever : ndarray, shape (n_impulses, 4, n_common)
        How an impulse follows the common unknowns: they move by d, it moves by -lever d.
    """

    matrix: FloatArray
    gradient: FloatArray
    own: FloatArray
    own_gradient: FloatArray
    lever: FloatArray

    @classmethod
    def of(
        cls,
        linear: Linear,
        arrivals: Arrivals,
        state: State,
        known: Precisions,
        weight: FloatArray,
        *,
        damping: float = 0.0,
        with_priors: bool = True,
    ) -> Eliminated:
        """Return the equations; arrivals of weight 0 do not count.

        Parameters
        ----------
        weight : ndarray, shape (n,)
            One over the variance of each arrival, in 1/m².
        damping : float
            Share by which diagonals are raised (Levenberg and Marquardt).
        with_priors : bool
            False: what the arrivals alone say of nodes and airs.
        """
        weighted = weight[:, None] * linear.common
        matrix = linear.common.T @ weighted
        gradient = weighted.T @ linear.residual_m
        if with_priors:
            matrix[np.diag_indices_from(matrix)] += np.concatenate([known.nodes.ravel(), known.air.ravel()])
            off = [known.nodes * (known.nodes_m - state.nodes_m), known.air * (known.air_mps - state.air_mps)]
            gradient += np.concatenate([part.ravel() for part in off])
        n_impulses, n_common = len(state.impulses_m), len(matrix)
        starts = arrivals.first[:-1]
        mine = weight[:, None] * linear.own
        own = np.add.reduceat(mine[:, :, None] * linear.own[:, None, :], starts, axis=0)
        across = np.add.reduceat(mine[:, :, None] * linear.common[:, None, :], starts, axis=0)
        own_gradient = np.add.reduceat(mine * linear.residual_m[:, None], starts, axis=0)
        own_gradient += known.impulses * (known.impulses_m - state.impulses_m)
        axes = np.arange(PER_IMPULSE)
        own[:, axes, axes] += known.impulses
        # An impulse that nothing is left of stays where it is, and moves nothing.
        empty = np.bincount(arrivals.impulse[weight > 0.0], minlength=n_impulses) == 0
        own[empty] = np.eye(PER_IMPULSE)
        own_gradient[empty] = 0.0
        if damping > 0.0:
            matrix[np.diag_indices_from(matrix)] *= 1.0 + damping
            own[:, axes, axes] *= 1.0 + damping
        inverse = _inverse(own)
        lever = inverse @ across
        matrix -= across.reshape(-1, n_common).T @ lever.reshape(-1, n_common)
        gradient -= lever.reshape(-1, n_common).T @ own_gradient.ravel()
        return cls(matrix, gradient, inverse, own_gradient, lever)

    def step(self) -> tuple[FloatArray, FloatArray]:
        """Return the step of the common unknowns and of the impulses'."""
        common = _solve(self.matrix, self.gradient)
        own = np.einsum("ijk,ik->ij", self.own, self.own_gradient) - self.lever @ common
        return common, own

    def covariance(self) -> FloatArray:
        """Return the covariance of the common unknowns."""
        return _inverse(self.matrix)

    def own_covariance(self, common: FloatArray) -> FloatArray:
        """Return the covariance of each impulse's unknowns, given the common one."""
        result: FloatArray = self.own + self.lever @ common @ self.lever.transpose(0, 2, 1)
        return result

    def predicted_variance(self, linear: Linear, arrivals: Arrivals, common: FloatArray) -> FloatArray:
        """Return the variance of each predicted arrival, in m²: what the adjustment's own errors make of it."""
        direct = linear.common - np.einsum("ij,ijk->ik", linear.own, self.lever[arrivals.impulse])
        result: FloatArray = np.einsum("ij,ij->i", direct @ common, direct)
        result += np.einsum("ij,ijk,ik->i", linear.own, self.own[arrivals.impulse], linear.own)
        return result


def _made_precision(impulse: Impulse) -> float:
    """Return how well the instant of an impulse is known beforehand, in 1/m²."""
    result: float = _UNKNOWN if impulse.made_s is None else (SCALE_MPS * impulse.made_sigma_s) ** -2.0
    return result


def _scaled(matrix: FloatArray) -> tuple[FloatArray, FloatArray]:
    scale = 1.0 / np.sqrt(np.maximum(np.einsum("...ii->...i", matrix), 1e-300))
    return matrix * scale[..., :, None] * scale[..., None, :], scale


def _solve(matrix: FloatArray, vector: FloatArray) -> FloatArray:
    scaled, scale = _scaled(matrix)
    result: FloatArray = scale * np.linalg.solve(scaled, scale * vector)
    return result


def _inverse(matrix: FloatArray) -> FloatArray:
    """Return the inverse of a matrix, or of each of a stack; what is not determined at all becomes 0."""
    scaled, scale = _scaled(matrix)
    inverse = np.linalg.pinv(scaled, hermitian=True)
    result: FloatArray = inverse * scale[..., :, None] * scale[..., None, :]
    return result
