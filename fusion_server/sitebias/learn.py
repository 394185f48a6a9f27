"""Learning excess delays from sounds at known places, and judging what was learned by places left out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from fusion_server.sitebias.delays import PathDelays
from fusion_server.sitebias.evidence import Solver
from fusion_server.sitebias.rows import AirErrors, ControlRows, DelayScales
from shotline.errors import InputError

__all__ = ["STUDENT_NU", "HeldOut", "LearnSettings", "learn_delays", "leave_out"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

_CENTRES = DelayScales(
    constant_s=0.0015, direction_s=0.0015, direction_rad=0.7, place_s=0.0015, place_m=120.0, scatter_s=0.003
)
_WIDTHS = (1.0, 1.0, 0.5, 1.0, 0.7, 1.0)
"""1-sigma of the logarithm of each scale under its prior."""
_STEPS_LEFT_OUT = 10
"""One place less moves the scales little: the search begins at those of all."""
_REACH = 2.5
"""Scales are sought within so many of these."""
_STEP = 1e-4
_ROUNDS, _SEARCHES = 3, 2
STUDENT_NU = 5.0
"""Degrees of freedom of the scatter, as of a residual in the locator."""


@dataclass(frozen=True, slots=True)
class LearnSettings:
    """Settings of learning.

    Parameters
    ----------
    air : AirErrors
        Of the air that straight lines went through.
    centres : DelayScales
        Medians of the priors of the scales.
    most_steps : int
        Of the search for the scales.
    """

    air: AirErrors
    centres: DelayScales = _CENTRES
    most_steps: int = 40


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Places left out, with what was learned without them.

    Parameters
    ----------
    places : ndarray, int64
    delays : PathDelays
    """

    places: IntArray
    delays: PathDelays


def learn_delays(
    rows: ControlRows, nodes: tuple[str, ...], settings: LearnSettings, *, start: DelayScales | None = None
) -> PathDelays:
    """Learn excess delays from sounds at known places.

    The scales maximise the marginal likelihood times log-normal priors: type II maximum likelihood
    [RasmussenWilliams2006, section 5.4.1]. Rows far from what all others say weigh less, as a Student-t of five
    degrees of freedom has it [Lange1989].

    Parameters
    ----------
    rows : ControlRows
    nodes : tuple of str
        Names of the nodes of ``rows.site_m``.
    settings : LearnSettings
    start : DelayScales, optional
        Where to begin the search: the priors' medians.

    Raises
    ------
    InputError
        Columns do not fit each other, there are no rows, or not a name for each node.
    """
    rows.check()
    if len(nodes) != len(rows.site_m):
        raise InputError(f"{len(nodes)} names for {len(rows.site_m)} nodes", field="nodes")
    if not len(rows):
        raise InputError("no rows; at least one sound from a known place is needed", field="place")
    solver = Solver(rows, settings.air)
    share, scales = np.ones(len(rows)), start or settings.centres
    # Echoes are weighted down before scales are sought: else a large delay of one small place would explain them.
    for _ in range(_SEARCHES):
        for _ in range(_ROUNDS):
            share = _shares(solver, scales, share)
        scales = _search(solver, share, settings, scales)
    share = _shares(solver, scales, share)
    solved = solver.solve(scales, share)
    order = np.lexsort((rows.place, rows.node))
    first = np.zeros(len(nodes) + 1, dtype=np.int64)
    first[1:] = np.cumsum(np.bincount(rows.node, minlength=len(nodes)))
    noise_s2 = rows.variance_s2 + scales.scatter_s**2 / share
    return PathDelays(
        nodes=nodes,
        site_m=np.ascontiguousarray(rows.site_m),
        survey_s=rows.site_sigma_m / settings.air.speed_mps,
        first=first,
        place=rows.place[order],
        place_m=np.ascontiguousarray(rows.place_m),
        delay_s=solved.delay_s[order],
        noise_s2=noise_s2[order],
        unsure_s2=solved.unsure_s2[order],
        scales=scales,
    )


def leave_out(
    rows: ControlRows,
    nodes: tuple[str, ...],
    settings: LearnSettings,
    *,
    start: DelayScales,
    most_folds: int = 20,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Iterator[HeldOut]:
    """Yield what is learned without each place in turn, scales included; of many places, without several at once.

    Parameters
    ----------
    rows, nodes, settings
        As in `learn_delays`.
    start : DelayScales
        Where the searches begin: what was learned from all.
    most_folds : int
        Of more places than this, each n-th is left out together.
    progress : callable
        Told how many of how many are done.
    """
    places = np.unique(rows.place)
    folds = min(most_folds, len(places))
    quick = replace(settings, most_steps=min(settings.most_steps, _STEPS_LEFT_OUT))
    for fold in range(folds):
        left_out = places[fold::folds]
        kept = rows.without(left_out)
        if len(kept):
            yield HeldOut(left_out, learn_delays(kept, nodes, quick, start=start))
        progress(fold + 1, folds)


def _values(scales: DelayScales) -> FloatArray:
    return np.log(
        [
            scales.constant_s,
            scales.direction_s,
            scales.direction_rad,
            scales.place_s,
            scales.place_m,
            scales.scatter_s,
        ]
    )


def _search(solver: Solver, share: FloatArray, settings: LearnSettings, start: DelayScales) -> DelayScales:
    """Return the likeliest scales, priors included."""
    centre, width = _values(settings.centres), np.array(_WIDTHS)

    def scales_of(point: FloatArray) -> DelayScales:
        return DelayScales(*np.exp(centre + width * point).tolist())

    def cost(point: FloatArray) -> float:
        return 0.5 * float(point @ point) - solver.log_likelihood(scales_of(point), share)

    begin = np.clip((_values(start) - centre) / width, -_REACH, _REACH)
    found = minimize(
        cost,
        begin,
        method="L-BFGS-B",
        bounds=[(-_REACH, _REACH)] * len(begin),
        options={"maxiter": settings.most_steps, "eps": _STEP, "ftol": 1e-6},
    )
    return scales_of(np.asarray(found.x)) if math.isfinite(found.fun) else settings.centres


def _shares(solver: Solver, scales: DelayScales, share: FloatArray) -> FloatArray:
    """Return by how much each row counts, from how far it is off what all others predict."""
    solved = solver.solve(scales, share)
    scatter_s2 = scales.scatter_s**2
    nominal_s2 = np.maximum(solved.left_out_s2 + scatter_s2 * (1.0 - 1.0 / share), scatter_s2)
    z_sq = solved.left_out_s**2 / nominal_s2
    return np.asarray(np.minimum((STUDENT_NU + 1.0) / (STUDENT_NU + z_sq), 1.0))
