"""What a table is worth at places that it was not learned from: the only judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular

from fusion_server.locate import ArrivalBatch, Fixes, Ground, LocateSettings, locate_batch
from fusion_server.sitebias.control import ControlShot
from fusion_server.sitebias.correct import locate_batch_with_delays
from fusion_server.sitebias.delays import PathDelays
from fusion_server.sitebias.learn import STUDENT_NU, LearnSettings, leave_out
from fusion_server.sitebias.rows import AirErrors, ControlRows, DelayScales

__all__ = ["Judgement", "PlaceScore", "judge", "left_over_s"]

FloatArray = NDArray[np.float64]

_SURE = 2.0
"""The arrivals of places left out must be likelier by so many standard errors."""
_OFFSET_SIGMA_S = 10.0


@dataclass(frozen=True, slots=True)
class PlaceScore:
    """What became of one place when it was left out.

    Parameters
    ----------
    place : str
    shots : int
        Located both ways.
    nearest_m : float
        To the nearest place that was learned from.
    without_m, with_m : float
        Median distance of fixes from where the place is said to be, without and with what was learned elsewhere.
    """

    place: str
    shots: int
    nearest_m: float
    without_m: float
    with_m: float


@dataclass(frozen=True, slots=True)
class Judgement:
    """What was learned, judged by places left out.

    Parameters
    ----------
    places : tuple of PlaceScore
        Those with a fix both ways.
    scatter_without_s, scatter_with_s : float
        Median absolute residual of arrival times there, the place as stated: without and with the delays learned
        elsewhere.
    held95_without, held95_with : float
        Share of shots whose stated place, with its own error, is in the fix's 95 % ellipse.
    gains : tuple of float
        Of each place: by how much its arrivals are likelier (natural logarithm) with the delays learned elsewhere.
    """

    places: tuple[PlaceScore, ...]
    scatter_without_s: float
    scatter_with_s: float
    held95_without: float
    held95_with: float
    gains: tuple[float, ...]

    @property
    def without_m(self) -> float:
        """Median over places of the distance without."""
        return float(np.median([place.without_m for place in self.places])) if self.places else math.nan

    @property
    def with_m(self) -> float:
        """Median over places of the distance with."""
        return float(np.median([place.with_m for place in self.places])) if self.places else math.nan

    @property
    def log_gain(self) -> float:
        """By how much the arrivals of all places left out are likelier with what the others taught."""
        return float(np.sum(self.gains))

    @property
    def log_gain_sigma(self) -> float:
        """1-sigma of that, from how places differ."""
        return math.sqrt(len(self.gains)) * float(np.std(self.gains, ddof=1)) if len(self.gains) > 1 else math.inf

    @property
    def refusal(self) -> str:
        """Why the table is not to be used; "" when places left out surely gain by it."""
        if self.log_gain > _SURE * self.log_gain_sigma:
            return ""
        return (
            f"arrivals of the {len(self.gains)} places left out are not surely likelier with what the others taught: "
            f"log gain {self.log_gain:.1f} ± {self.log_gain_sigma:.1f}, expected more than {_SURE:g} sigma above 0"
        )


def judge(
    shots: Sequence[ControlShot],
    rows: ControlRows,
    *,
    names: tuple[str, ...],
    nodes: tuple[str, ...],
    learn: LearnSettings,
    start: DelayScales,
    settings: LocateSettings,
    ground: Ground | None = None,
    most_folds: int = 20,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Judgement:
    """Leave each place out in turn, learn from the others, and see what that is worth there.

    Parameters
    ----------
    shots : sequence of ControlShot
    rows : ControlRows
        Of them, by `fusion_server.sitebias.control_rows`.
    names, nodes : tuple of str
        Names of the places and of the nodes of ``rows``.
    learn, start, most_folds, progress
        As in `fusion_server.sitebias.learn.leave_out`.
    settings, ground
        With which the network locates.
    """
    number = {name: index for index, name in enumerate(names)}
    left: dict[bool, list[FloatArray]] = {False: [], True: []}
    held: dict[bool, list[bool]] = {False: [], True: []}
    scores: list[PlaceScore] = []
    gains: list[float] = []
    for fold in leave_out(rows, nodes, learn, start=start, most_folds=most_folds, progress=progress):
        learned_m = rows.place_m[np.unique(fold.delays.place)]
        for place in fold.places.tolist():
            own = rows.of(np.array([place]))
            likely = {}
            for corrected in (False, True):
                residual_s, likely[corrected] = left_over_s(own, fold.delays, learn.air, corrected=corrected)
                left[corrected].append(residual_s)
            gains.append(likely[True] - likely[False])
            some = [shot for shot in shots if number.get(shot.place) == place]
            found = [_off_m(shot, fold.delays, settings, ground) for shot in some]
            both = [pair for pair in found if pair is not None]
            for pair in both:
                for corrected in (False, True):
                    held[corrected].append(pair[corrected][1])
            if both:
                scores.append(
                    PlaceScore(
                        place=names[place],
                        shots=len(both),
                        nearest_m=float(np.linalg.norm(learned_m - rows.place_m[place], axis=1).min()),
                        without_m=float(np.median([pair[False][0] for pair in both])),
                        with_m=float(np.median([pair[True][0] for pair in both])),
                    )
                )
    return Judgement(
        places=tuple(scores),
        scatter_without_s=_typical_s(left[False]),
        scatter_with_s=_typical_s(left[True]),
        held95_without=float(np.mean(held[False])) if scores else math.nan,
        held95_with=float(np.mean(held[True])) if scores else math.nan,
        gains=tuple(gains),
    )


def _typical_s(residuals_s: Sequence[FloatArray]) -> float:
    return float(np.median(np.abs(np.concatenate(residuals_s)))) if residuals_s else math.nan


def left_over_s(rows: ControlRows, delays: PathDelays, air: AirErrors, *, corrected: bool) -> tuple[FloatArray, float]:
    """Return residuals of one place's arrival times, its offset and errors of air and place taken away; log likelihood.

    Residuals have shape (n_rows,). The likelihood is that of whitened residuals under a Student-t of five degrees of
    freedom, up to a constant.

    Parameters
    ----------
    rows : ControlRows
        Of one place.
    delays : PathDelays
    air : AirErrors
    corrected : bool
        With the delays taken away; without, with the prior's variance in their stead.
    """
    at_m = rows.place_m[rows.place]
    mean_s, variance_s2 = delays.at(rows.node, at_m[:, 0], at_m[:, 1])
    if not corrected:
        mean_s = np.zeros_like(mean_s)
        variance_s2 = delays.scales.prior_variance_s2 + delays.survey_s[rows.node] ** 2
    away_m = at_m - rows.site_m[rows.node]
    length_m = np.maximum(np.hypot(away_m[:, 0], away_m[:, 1]), 1e-6)
    design = np.column_stack(
        [
            np.full(len(rows), _OFFSET_SIGMA_S),
            length_m / air.speed_mps * air.speed_error_sigma,
            away_m / air.speed_mps**2 * air.wind_error_sigma_mps,
            away_m / length_m[:, None] / air.speed_mps * rows.place_sigma_m[rows.place][:, None],
        ]
    )
    nuisance = design @ design.T
    total = nuisance + np.diag(variance_s2 + rows.variance_s2 + delays.scales.scatter_s**2)
    late_s = rows.delay_s - mean_s
    left: FloatArray = late_s - nuisance @ np.linalg.solve(total, late_s)
    factor = np.linalg.cholesky(total)
    white = solve_triangular(factor, late_s, lower=True)
    log_likelihood = -0.5 * (STUDENT_NU + 1.0) * np.log1p(white**2 / STUDENT_NU).sum() - np.log(np.diag(factor)).sum()
    return left, float(log_likelihood)


def _off_m(
    shot: ControlShot, delays: PathDelays, settings: LocateSettings, ground: Ground | None
) -> tuple[tuple[float, bool], tuple[float, bool]] | None:
    """Return how far the fix of a shot is off, and whether its ellipse holds the place; without and with delays."""
    batch, weather = ArrivalBatch.of([shot.arrivals]), shot.weather
    plain = locate_batch(batch, weather=weather, settings=settings, ground=ground)
    better = locate_batch_with_delays(batch, delays=delays, weather=weather, settings=settings, ground=ground)
    if not (plain.located[0] and better.located[0]):
        return None
    return _error(shot, plain), _error(shot, better)


def _error(shot: ControlShot, fixes: Fixes) -> tuple[float, bool]:
    error_m = fixes.place_m[0] - np.array([shot.x_m, shot.y_m])
    covariance_m2 = fixes.covariance_m2[0] + shot.sigma_m**2 * np.eye(2)
    distance_sq = float(error_m @ np.linalg.solve(covariance_m2, error_m))
    return float(np.hypot(*error_m)), distance_sq <= -2.0 * math.log(0.05)
