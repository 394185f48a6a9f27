"""Self-survey: positions, clock offsets and the speed of sound from impulses that several nodes heard. Pure.

A bundle adjustment [Triggs2000]: all arrivals at once, robust at first, then by least squares over what was not set
aside. What fixes the gauge is what was known beforehand: the surveyed positions with their errors, and impulses at
known places. What the sound cannot tell stays as uncertain as it was, and `observability` says what that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_calibration.self_survey.equations import (
    PER_AIR,
    PER_NODE,
    SCALE_MPS,
    Arrivals,
    Eliminated,
    Linear,
    Precisions,
    State,
)
from shotline_calibration.self_survey.outliers import (
    LEAST_HEARD,
    LEAST_HEARD_OF_KNOWN,
    Adjustment,
    enough,
    freedom_of,
    hidden_variance_m2,
    kept,
    learned_path_sigma,
    limit_of,
    variance_m2,
)
from shotline_calibration.self_survey.problem import (
    AirPrior,
    FloatArray,
    Impulse,
    NodePrior,
    SelfSurvey,
    SurveyedNode,
    SurveySettings,
    check_problem,
)
from shotline_calibration.self_survey.starts import best_places, start_state

__all__ = ["adjust", "self_survey"]

_STUDENT_NU = 4.0
_STEPS = 60
_ROBUST_ROUNDS = 4
_ROUNDS = 20
_CONVERGED_M = 1e-4
_DROPPED_SIGMA_M = 1e4


def self_survey(
    nodes: Sequence[NodePrior],
    impulses: Sequence[Impulse],
    airs: Sequence[AirPrior],
    settings: SurveySettings | None = None,
) -> SelfSurvey:
    """Solve for all nodes, impulses and airs together.

    Parameters
    ----------
    nodes : sequence of NodePrior
    impulses : sequence of Impulse
        Those at unknown places are used when four nodes heard them, others when two did.
    airs : sequence of AirPrior
        What `Impulse.air` counts.
    settings : SurveySettings, optional

    Returns
    -------
    SelfSurvey

    Raises
    ------
    InputError
        The problem has no answer: too few nodes, too few impulses, values that are none.
    """
    settings = settings or SurveySettings()
    priors = list(nodes)
    check_problem(priors, list(impulses), list(airs))
    dropped: set[int] = set()
    while True:
        done = adjust(priors, list(impulses), list(airs), settings)
        surprises = _surprises(done, priors)
        worst = int(np.argmax(surprises))
        if surprises[worst] <= settings.surprise_sigma or len(dropped) >= len(priors) // 4:
            break
        dropped.add(worst)
        priors[worst] = replace(priors[worst], sigma_m=_DROPPED_SIGMA_M)
    final = _surprises(done, list(nodes), freed=dropped)
    return _answer(done, list(nodes), final, dropped)


def adjust(
    nodes: list[NodePrior], impulses: list[Impulse], airs: list[AirPrior], settings: SurveySettings
) -> Adjustment:
    """Adjust once, with every prior as given; see `self_survey`."""
    arrivals = Arrivals.of(impulses)
    known = Precisions.of(nodes, airs, impulses, height_m=settings.height_m)
    state, started = start_state(nodes, impulses, airs, settings)
    used = started[arrivals.impulse] & enough(np.ones(len(arrivals.node), dtype=bool), arrivals, impulses)
    if not used.any():
        raise InputError(
            f"none of {len(impulses)} impulses can be used; each wants {LEAST_HEARD} nodes that heard it, or "
            f"{LEAST_HEARD_OF_KNOWN} where its place is known, and a place to start from"
        )
    path_sigma_s, iterations = settings.path_sigma_s, 0
    for round_ in range(_ROBUST_ROUNDS + _ROUNDS):
        robust = round_ < _ROBUST_ROUNDS
        state, steps = _settle(state, arrivals, known, variance_m2(arrivals, path_sigma_s), used, robust=robust)
        iterations += steps
        done = _figures(state, arrivals, known, used, path_sigma_s, iterations, robust=robust)
        before = (path_sigma_s, used)
        path_sigma_s = learned_path_sigma(done, settings, robust=robust)
        if round_ == _ROBUST_ROUNDS - 1:
            variance = variance_m2(arrivals, path_sigma_s)
            state, rivals = best_places(state, done.covariance, impulses, arrivals, known, variance)
            started &= ~rivals
            state, steps = _settle(state, arrivals, known, variance, used & started[arrivals.impulse], robust=robust)
            iterations += steps
            done = _figures(state, arrivals, known, used, path_sigma_s, iterations, robust=robust)
        if round_ >= _ROBUST_ROUNDS - 1:
            limit = limit_of(settings.outlier_sigma, freedom_of(done, settings, robust=robust))
            used = kept(done, path_sigma_s, impulses, started, limit)
        if not robust and abs(math.log(path_sigma_s / before[0])) < 0.01 and np.array_equal(used, before[1]):
            break
    # What the residuals do not show belongs into the error.
    hidden_m2 = hidden_variance_m2(done, settings)
    variance = variance_m2(arrivals, path_sigma_s) + hidden_m2
    state, steps = _settle(state, arrivals, known, variance, used, robust=False)
    return _figures(state, arrivals, known, used, path_sigma_s, iterations + steps, robust=False, hidden_m2=hidden_m2)


def _settle(
    state: State,
    arrivals: Arrivals,
    known: Precisions,
    variance_m2: FloatArray,
    used: NDArray[np.bool_],
    *,
    robust: bool,
) -> tuple[State, int]:
    """Climb to the nearest maximum of the posterior density; return it and the number of steps."""
    damping, linear = 1e-3, Linear.at(state, arrivals)
    cost = _cost(linear, state, known, variance_m2, used, robust=robust)
    for step in range(_STEPS):
        weight = _weight(linear, variance_m2, used, robust=robust)
        equations = Eliminated.of(linear, arrivals, state, known, weight, damping=damping)
        common, own = equations.step()
        tried = state.moved(common, own)
        ahead = Linear.at(tried, arrivals)
        lower = _cost(ahead, tried, known, variance_m2, used, robust=robust)
        if not lower <= cost:
            damping *= 10.0
            if damping > 1e8:
                return state, step
            continue
        state, linear, cost = tried, ahead, lower
        damping = max(damping / 10.0, 1e-12)
        if max(float(np.abs(common).max()), float(np.abs(own).max())) < _CONVERGED_M:
            return state, step + 1
    return state, _STEPS


def _weight(linear: Linear, variance_m2: FloatArray, used: NDArray[np.bool_], *, robust: bool) -> FloatArray:
    weight: FloatArray = np.where(used, 1.0 / variance_m2, 0.0)
    if robust:
        weight *= (_STUDENT_NU + 1.0) / (_STUDENT_NU + linear.residual_m**2 / variance_m2)
    return weight


def _cost(
    linear: Linear,
    state: State,
    known: Precisions,
    variance_m2: FloatArray,
    used: NDArray[np.bool_],
    *,
    robust: bool,
) -> float:
    square = linear.residual_m**2 / variance_m2
    if robust:
        square = (_STUDENT_NU + 1.0) * np.log1p(square / _STUDENT_NU)
    prior = (
        (known.nodes * (state.nodes_m - known.nodes_m) ** 2).sum()
        + (known.air * (state.air_mps - known.air_mps) ** 2).sum()
        + (known.impulses * (state.impulses_m - known.impulses_m) ** 2).sum()
    )
    return float(square[used].sum() + prior)


def _figures(
    state: State,
    arrivals: Arrivals,
    known: Precisions,
    used: NDArray[np.bool_],
    path_sigma_s: float,
    iterations: int,
    *,
    robust: bool,
    hidden_m2: FloatArray | float = 0.0,
) -> Adjustment:
    linear = Linear.at(state, arrivals)
    weight = _weight(linear, variance_m2(arrivals, path_sigma_s) + hidden_m2, used, robust=robust)
    equations = Eliminated.of(linear, arrivals, state, known, weight)
    covariance = equations.covariance()
    predicted = equations.predicted_variance(linear, arrivals, covariance)
    redundancy = float(used.sum() - (weight * predicted)[used].sum())
    return Adjustment(
        state,
        arrivals,
        known,
        weight,
        used,
        path_sigma_s,
        equations,
        covariance,
        linear.residual_m,
        predicted,
        redundancy,
        iterations,
    )


def _surprises(done: Adjustment, nodes: list[NodePrior], freed: set[int] | None = None) -> FloatArray:
    """Return how many sigmas each surveyed position is from where the sound alone puts the node, two axes as one.

    The prior is taken out of the marginal posterior again: precisions subtract. A node of ``freed`` had none in it.
    """
    found = np.zeros(len(nodes))
    for index, node in enumerate(nodes):
        rows = slice(PER_NODE * index, PER_NODE * index + 2)
        precision = np.linalg.inv(done.covariance[rows, rows])
        prior = np.eye(2) / node.sigma_m**2
        place = done.state.nodes_m[index, :2]
        given = np.array([node.x_m, node.y_m])
        inside = np.zeros((2, 2)) if freed is not None and index in freed else prior
        alone = precision - inside
        if np.linalg.eigvalsh(alone).min() <= 1e-9 * prior[0, 0]:
            continue
        cov_alone = np.linalg.inv(alone)
        at = cov_alone @ (precision @ place - inside @ given)
        off = at - given
        found[index] = math.sqrt(float(off @ np.linalg.solve(cov_alone + node.sigma_m**2 * np.eye(2), off)))
    return found


def _answer(done: Adjustment, nodes: list[NodePrior], surprises: FloatArray, dropped: set[int]) -> SelfSurvey:
    n_nodes = len(nodes)
    unit = np.concatenate([np.tile([1.0, 1.0, 1.0, 1.0 / SCALE_MPS], n_nodes)])
    covariance = done.covariance[: PER_NODE * n_nodes, : PER_NODE * n_nodes] * unit[:, None] * unit[None, :]
    sigma = np.sqrt(np.diag(covariance)).reshape(n_nodes, PER_NODE)
    air_sigma = np.sqrt(np.diag(done.covariance)[PER_NODE * n_nodes :]).reshape(-1, PER_AIR)
    air_rows = range(PER_NODE * n_nodes, len(done.covariance), PER_AIR)
    heard = np.bincount(done.arrivals.node[done.used], minlength=n_nodes)
    state = done.state
    own = done.equations.own_covariance(done.covariance)
    places = np.sqrt(np.maximum(np.einsum("ijj->ij", own)[:, :3], 0.0))
    places[np.bincount(done.arrivals.impulse[done.used], minlength=len(places)) == 0] = np.nan
    cuts = done.arrivals.first[1:-1]
    return SelfSurvey(
        nodes=tuple(
            SurveyedNode(
                node=node.node,
                x_m=float(at[0]),
                y_m=float(at[1]),
                z_m=float(at[2]),
                clock_offset_s=float(at[3]) / SCALE_MPS,
                sigma_x_m=float(sigma[index, 0]),
                sigma_y_m=float(sigma[index, 1]),
                sigma_z_m=float(sigma[index, 2]),
                clock_sigma_s=float(sigma[index, 3]),
                impulses=int(heard[index]),
                moved_m=math.hypot(at[0] - node.x_m, at[1] - node.y_m),
                surprise=float(surprises[index]),
                prior_dropped=index in dropped,
            )
            for index, (node, at) in enumerate(zip(nodes, state.nodes_m, strict=True))
        ),
        node_covariance=covariance,
        speed_mps=tuple(float(air[0]) for air in state.air_mps),
        speed_sigma_mps=tuple(float(each[0]) for each in air_sigma),
        wind_mps=tuple((float(air[1]), float(air[2])) for air in state.air_mps),
        wind_sigma_mps=tuple((float(each[1]), float(each[2])) for each in air_sigma),
        air_covariance_m2ps2=np.array([done.covariance[at : at + PER_AIR, at : at + PER_AIR] for at in air_rows]),
        places_m=state.impulses_m[:, :3],
        place_sigma_m=places,
        emitted_s=state.impulses_m[:, 3] / SCALE_MPS,
        residual_s=tuple(np.split(done.residual_m / SCALE_MPS, cuts)),
        used=tuple(np.split(done.used, cuts)),
        path_sigma_s=done.path_sigma_s,
        redundancy=round(done.redundancy),
        iterations=done.iterations,
    )
