"""Rounds against each other: arrival times as rounds by nodes, and what differs from round to round.

Rounds from one place travel the same paths. Their arrival times are the sum of something of the round (when it was
fired) and something of the node (travel time, path error, survey, clock), but for the scatter of a repeat: the
difference of two such differences is free of both, as between earthquakes of one fault [Waldhauser2000]. A round fired
elsewhere adds, at each node, the slowness along the ray times the offset of its place.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_server.incidents.settings import IncidentSettings
from shotline.domain import Location
from shotline.units import NS_PER_S

__all__ = ["STUDENT_NU", "Fit", "Repeats", "f_tail_2"]

FloatArray = NDArray[np.float64]

STUDENT_NU = 4.0
"""Degrees of freedom of the scatter of a repeat: now and then an echo is picked in place of the first sound."""
_PRIOR_DOF = 8.0
"""Weight of ``repeat_sigma_s`` against the rounds' own scatter, in degrees of freedom."""
_LEAST_NODES = 5
_STEPS = 25
_SETTLED = 1e-3
"""Residuals that change by less than this share of the scale are settled."""
_RIDGE = 1e-10


def f_tail_2(value: float, freedom: float) -> float:
    """Return the chance that F with 2 and so many degrees of freedom is larger than a value; exact, in closed form."""
    return math.exp(-0.5 * freedom * math.log1p(2.0 * max(value, 0.0) / freedom))


@dataclass(frozen=True, slots=True)
class Fit:
    """A model of the rounds, fitted.

    Parameters
    ----------
    effect_m : ndarray, shape (n_effects, 2), float64
        Of each row of contrasts, east and north.
    covariance_m2 : ndarray, shape (2 n_effects, 2 n_effects), float64
    cost : float
        Negative log likelihood of Student-t scatter, up to a constant.
    sigma_s : float
        Scale of the scatter.
    freedom : float
        Degrees of freedom left, the prior's included.
    """

    effect_m: FloatArray
    covariance_m2: FloatArray
    cost: float
    sigma_s: float
    freedom: float


class Repeats:
    """Some rounds of an incident, to be compared.

    Parameters
    ----------
    fixes : sequence of Location
        In order of origin time.
    settings : IncidentSettings
    rounds : sequence of int, optional
        Which of them; all by default. Those with fewer than five nodes in common with others are left out.

    Attributes
    ----------
    rounds : tuple[int, ...]
        Those that can be compared.
    time_s : ndarray, shape (n_rounds,), float64
        Origin times after the first.
    """

    def __init__(
        self, fixes: Sequence[Location], settings: IncidentSettings, rounds: Sequence[int] | None = None
    ) -> None:
        self._settings = settings
        wanted = list(range(len(fixes))) if rounds is None else list(rounds)
        heard = {
            number: {item.arrival.site.node: item.arrival for item in fixes[number].verdicts if item.used}
            for number in wanted
        }
        wanted, nodes = _comparable(wanted, heard)
        self.rounds = tuple(wanted)
        fixes = [fixes[number] for number in wanted]
        self.time_s = np.array([fix.origin_time_ns - fixes[0].origin_time_ns for fix in fixes]) / NS_PER_S
        delay_s = np.full((len(wanted), len(nodes)), np.nan)
        pick_s = np.zeros_like(delay_s)
        sites_m = np.zeros((len(nodes), 2))
        for row, (number, fix) in enumerate(zip(wanted, fixes, strict=True)):
            for column, node in enumerate(nodes):
                if (arrival := heard[number].get(node)) is not None:
                    delay_s[row, column] = (arrival.time_ns - fix.origin_time_ns) / NS_PER_S
                    pick_s[row, column] = arrival.sigma_s
                    sites_m[column] = arrival.site.x_m, arrival.site.y_m
        place = np.median([(fix.x_m, fix.y_m) for fix in fixes], axis=0) if fixes else np.zeros(2)
        away = place - sites_m
        self._slowness = away / np.maximum(np.hypot(*away.T), 1.0)[:, None] / settings.speed_of_sound_mps
        self._row, self._column = np.nonzero(~np.isnan(delay_s))
        self._observed_s = delay_s[self._row, self._column]
        # A pick's own sigma counts where it is worse than usual; relative to the scale, which is estimated.
        self._relative = np.hypot(1.0, pick_s[self._row, self._column] / settings.repeat_sigma_s)
        self._n_nodes = len(nodes)
        self._observed = self._observed_s / self._relative
        # Rounds and nodes share one constant: the last node's is left out.
        base = np.zeros((len(self._observed), len(wanted) + len(nodes)))
        base[np.arange(len(base)), self._row] = 1.0
        base[np.arange(len(base)), len(wanted) + self._column] = 1.0
        self._base = base[:, :-1] / self._relative[:, None]

    def freedom(self, n_effects: int) -> int:
        """Return degrees of freedom left by rounds, nodes and effects."""
        return len(self._observed_s) - (len(self.rounds) + self._n_nodes - 1) - 2 * n_effects

    @property
    def n_nodes(self) -> int:
        """Number of nodes that are compared."""
        return self._n_nodes

    def fit(self, contrasts: FloatArray, *, sigma_s: float | None = None, without: int | None = None) -> Fit:
        """Fit rounds, nodes and the effects of contrasts between rounds, robustly.

        Iteratively reweighted least squares for Student-t scatter [Lange1989]; its scale with it, unless given.

        Parameters
        ----------
        contrasts : ndarray, shape (n_effects, n_rounds), float64
            The place of a round is offset by its contrasts times the effects.
        sigma_s : float, optional
            Scale to take as known.
        without : int, optional
            A node to leave out, counted from 0.
        """
        n_effects = len(contrasts)
        kept = np.ones(len(self._observed), dtype=bool) if without is None else self._column != without
        design = np.concatenate([self._base, np.zeros((len(self._base), 2 * n_effects))], axis=1)
        at = self._base.shape[1]
        for effect, contrast in enumerate(contrasts):
            columns = contrast[self._row, None] * self._slowness[self._column] / self._relative[:, None]
            design[:, at + 2 * effect : at + 2 * effect + 2] = columns
        design, observed = design[kept], self._observed[kept]
        # A node left out takes its arrivals with it, and its own unknown.
        gone = 0 if without is None else len(kept) - len(observed) - 1
        freedom = max(self.freedom(n_effects) - gone, 0) + _PRIOR_DOF
        prior_s = self._settings.repeat_sigma_s
        scale_s = sigma_s or prior_s
        parameters = _solved(design, observed, np.ones(len(design)))
        residual = observed - design @ parameters
        for _ in range(_STEPS):
            weight = (STUDENT_NU + 1.0) / (STUDENT_NU + (residual / scale_s) ** 2)
            parameters = _solved(design, observed, weight)
            before, residual = residual, observed - design @ parameters
            if sigma_s is None:
                spread_sq = float((weight * residual**2).sum())
                scale_s = math.sqrt((_PRIOR_DOF * prior_s**2 + spread_sq) / freedom)
            if np.abs(residual - before).max(initial=0.0) < _SETTLED * scale_s:
                break
        cost = 0.5 * (STUDENT_NU + 1.0) * float(np.log1p((residual / scale_s) ** 2 / STUDENT_NU).sum())
        inverse = np.linalg.inv(design.T @ design + _RIDGE * np.eye(design.shape[1])) if n_effects else np.zeros((0, 0))
        # Expected information of a Student-t location family is (nu + 1) / (nu + 3) per unit variance.
        share = (STUDENT_NU + 3.0) / (STUDENT_NU + 1.0)
        return Fit(
            effect_m=parameters[at:].reshape(-1, 2),
            covariance_m2=inverse[at:, at:] * share * scale_s**2,
            cost=cost,
            sigma_s=scale_s,
            freedom=freedom,
        )

    def gains(self, contrasts: FloatArray) -> FloatArray:
        """Return by how much each contrast alone lowers the sum of squares, in sigma², shape (n_contrasts,).

        Plain least squares with rounds and nodes projected out: a quick look at many contrasts.
        """
        n_rounds = len(self.rounds)
        projector, _ = np.linalg.qr(self._base)
        offsets = np.zeros((len(self._base), n_rounds, 2))
        offsets[np.arange(len(offsets)), self._row] = self._slowness[self._column] / self._relative[:, None]
        flat = offsets.reshape(len(offsets), -1)
        flat = flat - projector @ (projector.T @ flat)
        information = (flat.T @ flat).reshape(n_rounds, 2, n_rounds, 2)
        score = (flat.T @ self._observed).reshape(n_rounds, 2)
        matrix = np.einsum("si,iajb,sj->sab", contrasts, information, contrasts) + 1e-18 * np.eye(2)
        vector = contrasts @ score
        gain = np.einsum("sa,sa->s", vector, np.linalg.solve(matrix, vector[:, :, None])[:, :, 0])
        result: FloatArray = gain / self._settings.repeat_sigma_s**2
        return result

    def offsets_m(self) -> FloatArray:
        """Return the place of each round against their mean, by plain least squares, shape (n_rounds, 2).

        A linear estimate from the residuals of rounds and nodes: good for putting rounds in order along a direction.
        """
        n_rounds = len(self.rounds)
        offsets = np.zeros((n_rounds, 2))
        table = np.full((n_rounds, self._n_nodes), np.nan)
        table[self._row, self._column] = self._observed_s
        table -= np.nanmedian(table, axis=0)
        for row in range(n_rounds):
            there = ~np.isnan(table[row])
            design = np.column_stack([self._slowness[there], np.full(int(there.sum()), 1e-3)])
            offsets[row] = np.linalg.lstsq(design, table[row, there], rcond=None)[0][:2]
        centred: FloatArray = offsets - offsets.mean(axis=0)
        return centred


def _solved(design: FloatArray, observed: FloatArray, weight: FloatArray) -> FloatArray:
    """Return the parameters of weighted least squares; of what the design leaves open, about zero."""
    weighted = design * weight[:, None]
    normal = weighted.T @ design + _RIDGE * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(normal, weighted.T @ observed), dtype=np.float64)


def _comparable(wanted: list[int], heard: Mapping[int, Collection[str]]) -> tuple[list[int], list[str]]:
    """Return rounds and nodes such that each round has five of the nodes, and each node two of the rounds."""
    while True:
        count: dict[str, int] = {}
        for number in wanted:
            for node in heard[number]:
                count[node] = count.get(node, 0) + 1
        nodes = sorted(node for node, times in count.items() if times >= 2)
        kept = [number for number in wanted if sum(node in heard[number] for node in nodes) >= _LEAST_NODES]
        if len(kept) == len(wanted):
            return wanted, nodes
        wanted = kept
