"""Compiled arithmetic of the locator: from the arrivals of one shot, as arrays, to the modes of the posterior.

Model. In the frame that moves with the nominal wind, node i at p_i hears a sound from x at pseudorange

    rho_i = b + d_i (1 - e) - (p_i - x) . w / c + residual_i,        d_i = |p_i - x|,

with b the origin time times the speed of sound c, and weak Gaussian priors on the relative error e of the speed and on
the error w of the wind. A residual is a mixture: Student-t of scale s_i (clock, picking, path, survey), or an outlier
spread evenly over `SPREAD_M`, much likelier late (an echo, a blocked path) than early. Modes are found from closed-form
roots [SmithAbel1987] by iteratively reweighted, damped Gauss-Newton [Lange1989].

A batch is the same code in a loop and no library reorders a sum, so a shot's answer has the same bits alone and in
company. Functions here check nothing: `fusion_server.locate.batch` does.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled

__all__ = [
    "HALF_POWER",
    "MIN_NODES",
    "MOST_MODES",
    "SPREAD_M",
    "STATE",
    "STUDENT_NU",
    "Model",
    "climb",
    "density",
    "factorise",
    "find_modes",
    "ground_height_m",
    "information",
    "inverse",
    "level_log_density",
    "linearise",
    "solve",
]

FloatArray = NDArray[np.float64]

STUDENT_NU = 5.0
"""Degrees of freedom of an ordinary residual."""
HALF_POWER = 3
"""(nu + 1) / 2: a whole number, so that no power function is needed."""
SPREAD_M = 136.0
"""Outliers are spread over this much pseudorange: 0.4 s of sound."""
STUDENT_PEAK = math.exp(math.lgamma(HALF_POWER) - math.lgamma(0.5 * STUDENT_NU) - 0.5 * math.log(STUDENT_NU * math.pi))
MIN_NODES = 3
"""Three unknowns in the plane: x, y, and the instant."""
STATE = 8
"""x, y, b, e, w east, w north, height, and the height of the ground there: known, never an unknown."""
MOST_MODES = 4

_RAMP_FROM, _RAMP_TO = 1.5, 4.0
"""In sigmas: between these a late residual becomes likelier an outlier than an early one. The core is symmetric."""
_COMBINED = 8
"""Nodes whose triples give starts."""
_ALL_TRIPLES = 5
"""So many nodes, and all triples are used at once; of more, a few first, and all when not every node agrees."""
_FEW_TRIPLES = 12
_TRIPLES = np.array(
    sorted(
        itertools.combinations(range(_COMBINED), 3),
        # The first nodes are the nearest; 5 is prime to 56, so that a few triples are spread over all nodes.
        key=lambda triple: (5 * triple[0] + 11 * triple[1] + 17 * triple[2]) % 23,
    )
)
_CLEAN = 3.5
"""Every node agrees when no residual is more sigmas than this."""
_START_CAP = 16.0
_STARTS = 6
_START_SCALE = 2.0
"""Sigmas are this much larger while starts are compared: a root of three noisy arrivals is only near a mode."""
_START_APART_M = 20.0
_MODE_APART_M = 2.0
_HOPELESS = 16.0
"""A start this much worse than a mode, in squared sigmas and besides one a node, leads to no other mode that counts."""
_LEAST_MODE = 7.0
"""A mode whose log posterior is this far below the best is no mode: a thousandth of its weight."""
_FLAT_SINE = 1e-3
"""Three nodes whose triangle has a smaller sine than this are on a line."""
_LONGEST_STEP_M = 250.0
_LEAST_CURVATURE = 0.2
_HEARING_SOFTNESS = 0.15


class Model(NamedTuple):
    """The figures of the model, lengths in metres."""

    speed_mps: float
    speed_error_sigma: float
    wind_error_sigma_mps: float
    outlier_late: float
    outlier_early: float
    level_slope_db: float
    level_sigma_db: float
    hearing_range_m: float
    height_sigma_m: float
    unknowns: int
    """6, or 7 with a free height, whose prior is normal about the ground."""
    ground_x_m: float
    ground_y_m: float
    """Corner of the ground's grid in the frame of the nodes."""
    ground_cell_m: float


@compiled
def factorise(matrix: FloatArray, n: int) -> bool:
    """Turn the lower triangle of a symmetric matrix into its Cholesky factor; False: it is not positive."""
    for i in range(n):
        for j in range(i + 1):
            total = matrix[i, j]
            for k in range(j):
                total -= matrix[i, k] * matrix[j, k]
            if i == j:
                if not total > 0.0:
                    return False
                matrix[i, i] = math.sqrt(total)
            else:
                matrix[i, j] = total / matrix[j, j]
    return True


@compiled
def solve(factor: FloatArray, vector: FloatArray, n: int) -> None:
    """Replace ``vector`` by the solution, given the factor of `factorise`."""
    for i in range(n):
        total = vector[i]
        for k in range(i):
            total -= factor[i, k] * vector[k]
        vector[i] = total / factor[i, i]
    for i in range(n - 1, -1, -1):
        total = vector[i]
        for k in range(i + 1, n):
            total -= factor[k, i] * vector[k]
        vector[i] = total / factor[i, i]


@compiled
def _prior(model: Model, index: int) -> float:
    """Precision of the prior on one unknown."""
    if index == 3:
        return 1.0 / max(model.speed_error_sigma, 1e-9) ** 2
    if index == 4 or index == 5:
        return 1.0 / max(model.wind_error_sigma_mps, 1e-6) ** 2
    if index == 6:
        return 1.0 / max(model.height_sigma_m, 1e-6) ** 2
    return 0.0


@compiled
def density(z: float, inverse_s: float, model: Model) -> tuple[float, float]:
    """Return the density per metre of a residual of ``z`` sigmas, and the share of it that is no outlier."""
    outlier = model.outlier_early
    if z > _RAMP_FROM:
        ramp = min(1.0, (z - _RAMP_FROM) / (_RAMP_TO - _RAMP_FROM))
        outlier += (model.outlier_late - model.outlier_early) * ramp
    q = STUDENT_NU / (STUDENT_NU + z * z)
    core = (1.0 - model.outlier_late - model.outlier_early) * STUDENT_PEAK * q * q * q * inverse_s
    total = core + outlier / SPREAD_M
    return total, core / total


@compiled
def linearise(
    state: FloatArray,
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    scale: float,
    n: int,
    first: int,
    normal: FloatArray,
    gradient: FloatArray,
) -> float:
    """Fill normal matrix and gradient of the log posterior in the unknowns ``first`` to ``n``; return minus its value.

    ``state`` has `STATE` figures; ``sites`` is (n_nodes, 3).
    """
    for i in range(first, n):
        gradient[i] = -_prior(model, i) * state[i]
        for j in range(first, n):
            normal[i, j] = 0.0
        normal[i, i] = _prior(model, i)
    cost = 0.0
    for i in range(3, 6):
        cost += 0.5 * _prior(model, i) * state[i] * state[i]
    if model.unknowns == 7:
        above = state[6] - state[7]
        cost += 0.5 * _prior(model, 6) * above * above
        if n == 7:
            gradient[6] = -_prior(model, 6) * above
    product = 1.0
    row = np.empty(STATE)
    slowed, inverse_c = 1.0 - state[3], 1.0 / model.speed_mps
    height = state[6]
    for node in range(len(rho)):
        dx, dy, dz = state[0] - sites[node, 0], state[1] - sites[node, 1], height - sites[node, 2]
        d = math.sqrt(dx * dx + dy * dy + dz * dz)
        predicted = state[2] + d * slowed + (dx * state[4] + dy * state[5]) * inverse_c
        inverse_s = 1.0 / (sigma[node] * scale)
        residual = rho[node] - predicted
        z = residual * inverse_s
        likely, share = density(z, inverse_s, model)
        product *= likely
        if product < 1e-200:
            cost -= math.log(product)
            product = 1.0
        bend = 1.0 / (STUDENT_NU + z * z)
        weight = share * (STUDENT_NU + 1.0) * bend * inverse_s * inverse_s
        # Newton's weight is the slope of the score; where that is small or negative, a share of the score's own.
        curvature = weight * max((STUDENT_NU - z * z) * bend, _LEAST_CURVATURE)
        inverse_d = 1.0 / max(d, 1e-9)
        row[0] = dx * inverse_d * slowed + state[4] * inverse_c
        row[1] = dy * inverse_d * slowed + state[5] * inverse_c
        row[2] = 1.0
        if n > 3:
            row[3] = -d
            row[4] = dx * inverse_c
            row[5] = dy * inverse_c
            row[6] = dz * inverse_d * slowed
        for i in range(first, n):
            gradient[i] += weight * row[i] * residual
            curved = curvature * row[i]
            for j in range(first, i + 1):
                normal[i, j] += curved * row[j]
    return cost - math.log(product)


@compiled
def climb(
    state: FloatArray,
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    scale: float,
    n: int,
    first: int,
    step_m: float,
    most: int,
) -> float:
    """Move ``state`` to a mode in its unknowns ``first`` to ``n``; return minus the log posterior there."""
    normal, gradient = np.empty((STATE, STATE)), np.empty(STATE)
    trial_normal, trial_gradient = np.empty((STATE, STATE)), np.empty(STATE)
    factor, step, trial = np.empty((STATE, STATE)), np.empty(STATE), np.empty(STATE)
    cost = linearise(state, sites, rho, sigma, model, scale, n, first, normal, gradient)
    damping = 0.0
    size = n - first
    for _ in range(most):
        for i in range(size):
            step[i] = gradient[first + i]
            for j in range(i + 1):
                factor[i, j] = normal[first + i, first + j]
            factor[i, i] += damping * factor[i, i] + 1e-12
        if not factorise(factor, size):
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e6:
                break
            continue
        solve(factor, step, size)
        length = 0.0
        for i in range(min(size, 3)):
            length = max(length, abs(step[i]))
        shorten = min(1.0, _LONGEST_STEP_M / max(length, 1e-300))
        for i in range(STATE):
            trial[i] = state[i]
        for i in range(size):
            trial[first + i] += step[i] * shorten
        trial_cost = linearise(trial, sites, rho, sigma, model, scale, n, first, trial_normal, trial_gradient)
        if trial_cost <= cost + 1e-10 * (1.0 + abs(cost)):
            for i in range(STATE):
                state[i] = trial[i]
            normal, trial_normal = trial_normal, normal
            gradient, trial_gradient = trial_gradient, gradient
            cost = trial_cost
            damping *= 0.1
            if damping < 1e-6:
                damping = 0.0
            if length <= step_m:
                break
        else:
            damping = max(10.0 * damping, 1e-3)
            if damping > 1e6 or length <= 1e-9:
                break
    return cost


@compiled
def _roots(sites: FloatArray, rho: FloatArray, a: int, b: int, c: int, slack_m: float, out: FloatArray) -> int:
    """Write every physical root (x, y, b) of three nodes into ``out``, shape (2, 3); return how many there are.

    Squaring |p - x| = rho - b and subtracting the equation of the first node leaves two equations linear in x and in
    the range R to the first node; x = u + v R in |p_1 - x| = R is a quadratic in R [SmithAbel1987].
    """
    ax, ay = sites[b, 0] - sites[a, 0], sites[b, 1] - sites[a, 1]
    bx, by = sites[c, 0] - sites[a, 0], sites[c, 1] - sites[a, 1]
    a2, b2 = ax * ax + ay * ay, bx * bx + by * by
    determinant = ax * by - ay * bx
    if not abs(determinant) > _FLAT_SINE * math.sqrt(max(a2 * b2, 1e-24)):
        return 0
    delay_b, delay_c = rho[b] - rho[a], rho[c] - rho[a]
    half_b, half_c = 0.5 * (a2 - delay_b * delay_b), 0.5 * (b2 - delay_c * delay_c)
    ux, uy = (by * half_b - ay * half_c) / determinant, (ax * half_c - bx * half_b) / determinant
    vx, vy = -(by * delay_b - ay * delay_c) / determinant, -(ax * delay_c - bx * delay_b) / determinant
    quad_a, quad_b, quad_c = vx * vx + vy * vy - 1.0, ux * vx + uy * vy, ux * ux + uy * uy
    discriminant = quad_b * quad_b - quad_a * quad_c
    if not discriminant > -(slack_m * slack_m) * max(abs(quad_a), 1.0):
        return 0
    root = math.sqrt(max(discriminant, 0.0))
    # The stable pair: one root by addition, the other from their product; a = 0 leaves the second only.
    q = -(quad_b + (root if quad_b >= 0.0 else -root))
    least = max(0.0, -delay_b, -delay_c) - slack_m
    count = 0
    before = math.nan
    for which in range(2):
        if which == 0:
            if quad_a == 0.0:
                continue
            reach = q / quad_a
        else:
            reach = quad_c / q if q != 0.0 else 0.0
            if abs(reach - before) <= 1e-6:
                continue
        before = reach
        if reach >= least and reach < 1e7:
            out[count, 0] = sites[a, 0] + ux + vx * reach
            out[count, 1] = sites[a, 1] + uy + vy * reach
            out[count, 2] = rho[a] - reach
            count += 1
    return count


@compiled
def _start_cost(
    x: float, y: float, origin: float, height_m: float, sites: FloatArray, rho: FloatArray, sigma: FloatArray
) -> float:
    """Return the sum of squared standardised residuals, each at most `_START_CAP`: a rough and quick robust cost."""
    cost = 0.0
    for node in range(len(rho)):
        dx, dy, dz = x - sites[node, 0], y - sites[node, 1], height_m - sites[node, 2]
        z = (rho[node] - origin - math.sqrt(dx * dx + dy * dy + dz * dz)) / sigma[node]
        cost += min(z * z, _START_CAP)
    return cost


@compiled
def level_log_density(
    state: FloatArray, sites: FloatArray, level_db: FloatArray, used: NDArray[np.bool_], model: Model
) -> float:
    """Return the log density of peak levels against distance, and of being heard at all, up to a constant.

    Level falls by ``level_slope_db`` a decade of distance, scattered by ``level_sigma_db`` from path to path; how loud
    the source was is unknown. Beyond the hearing range a node seldom hears.
    """
    total, square, count, heard = 0.0, 0.0, 0, 0.0
    for node in range(len(level_db)):
        if not used[node]:
            continue
        dx, dy = state[0] - sites[node, 0], state[1] - sites[node, 1]
        dz = state[6] - sites[node, 2]
        d = math.sqrt(dx * dx + dy * dy + dz * dz)
        beyond = (d - model.hearing_range_m) / (_HEARING_SOFTNESS * model.hearing_range_m)
        if beyond > -20.0:
            heard -= math.log1p(math.exp(min(beyond, 50.0)))
        if math.isfinite(level_db[node]):
            value = level_db[node] + model.level_slope_db * math.log10(max(d, 10.0))
            total += value
            square += value * value
            count += 1
    if count < 2:
        return heard
    spread = max(0.0, square - total * total / count)
    return heard - 0.5 * spread / (model.level_sigma_db * model.level_sigma_db)


@compiled
def ground_height_m(x: float, y: float, model: Model, ground: FloatArray) -> float:
    """Return the height of the ground: bilinear in the grid ``ground``, (n_x, n_y), and level beyond its edge."""
    n_x, n_y = ground.shape
    if n_x == 1 or n_y == 1:
        return float(ground[0, 0])
    u = min(max((x - model.ground_x_m) / model.ground_cell_m, 0.0), n_x - 1.000001)
    v = min(max((y - model.ground_y_m) / model.ground_cell_m, 0.0), n_y - 1.000001)
    i, j = int(u), int(v)
    u -= i
    v -= j
    south = ground[i, j] * (1.0 - u) + ground[i + 1, j] * u
    north = ground[i, j + 1] * (1.0 - u) + ground[i + 1, j + 1] * u
    return float(south * (1.0 - v) + north * v)


@compiled
def _to_ground(state: FloatArray, model: Model, ground: FloatArray) -> None:
    """Bring the height of a state along with its place."""
    height = ground_height_m(state[0], state[1], model, ground)
    state[6] += height - state[7]
    state[7] = height


@compiled
def find_modes(
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    ground: FloatArray,
    modes: FloatArray,
    costs: FloatArray,
) -> int:
    """Write the modes of the posterior, best first, into ``modes``; return how many: 0 where nothing is physical.

    Parameters
    ----------
    sites : ndarray, shape (n_nodes, 3), float64
        In order of arrival, in the moving frame.
    rho, sigma : ndarray, shape (n_nodes,), float64
    ground : ndarray, shape (n_x, n_y), float64
        Height of the ground, see `ground_height_m`; (1, 1) where it is level.
    modes, costs : ndarray, shape (MOST_MODES, STATE) and (MOST_MODES,)
        Written: unknowns, and minus the log posterior.
    """
    n_nodes = len(rho)
    kept = _modes_from(sites, rho, sigma, model, ground, n_nodes <= _ALL_TRIPLES, modes, costs)
    if n_nodes > _ALL_TRIPLES and not (kept and _is_clean(modes[0], sites, rho, sigma)):
        kept = _modes_from(sites, rho, sigma, model, ground, True, modes, costs)
    return kept


@compiled
def _is_clean(state: FloatArray, sites: FloatArray, rho: FloatArray, sigma: FloatArray) -> bool:
    """Say whether every node agrees with a mode."""
    for node in range(len(rho)):
        dx, dy, dz = state[0] - sites[node, 0], state[1] - sites[node, 1], state[6] - sites[node, 2]
        d = math.sqrt(dx * dx + dy * dy + dz * dz)
        if abs(rho[node] - state[2] - d * (1.0 - state[3])) > _CLEAN * sigma[node]:
            return False
    return True


@compiled
def _modes_from(
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    ground: FloatArray,
    every: bool,
    modes: FloatArray,
    costs: FloatArray,
) -> int:
    """Find modes from the roots of every triple of the first nodes, or of a few."""
    n_nodes = len(rho)
    starts, start_costs = np.empty((_STARTS, 3)), np.full(_STARTS, np.inf)
    if not _find_starts(sites, rho, sigma, model, ground, every, starts, start_costs):
        return 0
    height = ground_height_m(sites[0, 0], sites[0, 1], model, ground)
    ceiling = np.inf
    tops = np.zeros((_STARTS, STATE))
    kept, least = 0, np.inf
    for start in range(_STARTS):
        if start_costs[start] == np.inf or start_costs[start] > ceiling:
            break
        state = tops[start]
        for i in range(3):
            state[i] = starts[start, i]
        if n_nodes > MIN_NODES and _is_among(state, tops, start, _START_APART_M):
            continue
        _to_ground(state, model, ground)
        climb(state, sites, rho, sigma, model, _START_SCALE, 3, 0, 2.0, 20)
        if _is_among(state, tops, start, _START_APART_M if n_nodes > MIN_NODES else _MODE_APART_M):
            continue
        _to_ground(state, model, ground)
        cost = climb(state, sites, rho, sigma, model, 1.0, model.unknowns, 0, 1e-4, 60)
        if len(ground) > 1:
            _to_ground(state, model, ground)
            cost = climb(state, sites, rho, sigma, model, 1.0, model.unknowns, 0, 1e-4, 60)
        rough = _start_cost(state[0], state[1], state[2], height, sites, rho, sigma)
        ceiling = min(ceiling, rough + _HOPELESS + n_nodes)
        if not math.isfinite(cost) or cost > least + _LEAST_MODE or _is_among(state, modes, kept, _MODE_APART_M):
            continue
        least = min(least, cost)
        if kept == MOST_MODES:
            kept -= 1
            if costs[kept] <= cost:
                kept += 1
                continue
        at = kept
        while at > 0 and costs[at - 1] > cost:
            modes[at] = modes[at - 1]
            costs[at] = costs[at - 1]
            at -= 1
        modes[at] = state
        costs[at] = cost
        kept += 1
    while kept > 1 and costs[kept - 1] > least + _LEAST_MODE:
        kept -= 1
    return kept


@compiled
def _is_among(state: FloatArray, others: FloatArray, count: int, apart_m: float) -> bool:
    for other in range(count):
        if abs(others[other, 0] - state[0]) < apart_m and abs(others[other, 1] - state[1]) < apart_m:
            return True
    return False


@compiled
def _find_starts(
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    ground: FloatArray,
    every: bool,
    starts: FloatArray,
    costs: FloatArray,
) -> bool:
    """Write the best distinct roots of triples of nodes, and where the nodes are; False: three nodes have no root."""
    n_nodes = len(rho)
    found = np.empty((2, 3))
    slack_m = 3.0 * sigma[n_nodes // 2]
    height = ground_height_m(sites[0, 0], sites[0, 1], model, ground)
    combined = min(n_nodes, _COMBINED)
    reach_m = 2.0 * model.hearing_range_m
    apart = _START_APART_M if n_nodes > MIN_NODES else _MODE_APART_M
    any_root = False
    for triple in range(len(_TRIPLES) if every else _FEW_TRIPLES):
        a, b, c = _TRIPLES[triple]
        if c >= combined:
            continue
        for root in range(_roots(sites, rho, a, b, c, slack_m, found)):
            x, y = found[root, 0], found[root, 1]
            if abs(x - sites[0, 0]) < reach_m and abs(y - sites[0, 1]) < reach_m:
                any_root = True
                cost = _start_cost(x, y, found[root, 2], height, sites, rho, sigma)
                _keep_start(starts, costs, x, y, found[root, 2], cost, apart)
    if n_nodes == MIN_NODES or (any_root and not every):
        return any_root
    x, y = 0.0, 0.0
    for node in range(n_nodes):
        x += sites[node, 0] / n_nodes
        y += sites[node, 1] / n_nodes
    for _ in range(2):
        gap = rho.copy()
        for node in range(n_nodes):
            gap[node] -= math.hypot(x - sites[node, 0], y - sites[node, 1])
        origin = np.median(gap)
        _keep_start(starts, costs, x, y, origin, _start_cost(x, y, origin, height, sites, rho, sigma), apart)
        x, y = sites[0, 0] + 1.0, sites[0, 1] + 1.0
    return True


@compiled
def _keep_start(
    starts: FloatArray, costs: FloatArray, x: float, y: float, origin: float, cost: float, apart: float
) -> None:
    """Insert a start among the best few that are apart from each other."""
    if not cost < costs[_STARTS - 1]:
        return
    for other in range(_STARTS):
        if costs[other] == np.inf:
            break
        if abs(starts[other, 0] - x) < apart and abs(starts[other, 1] - y) < apart:
            if cost >= costs[other]:
                return
            for later in range(other, _STARTS - 1):
                starts[later] = starts[later + 1]
                costs[later] = costs[later + 1]
            costs[_STARTS - 1] = np.inf
            break
    at = _STARTS - 1
    while at > 0 and costs[at - 1] > cost:
        starts[at] = starts[at - 1]
        costs[at] = costs[at - 1]
        at -= 1
    starts[at, 0], starts[at, 1], starts[at, 2] = x, y, origin
    costs[at] = cost


@compiled
def inverse(factor: FloatArray, n: int, out: FloatArray) -> None:
    """Write the inverse of a matrix, given the factor of `factorise`, into ``out``."""
    column = np.empty(n)
    for right in range(n):
        for i in range(n):
            column[i] = 1.0 if i == right else 0.0
        solve(factor, column, n)
        for i in range(n):
            out[i, right] = column[i]


@compiled
def information(
    state: FloatArray,
    sites: FloatArray,
    sigma: FloatArray,
    used: NDArray[np.bool_],
    model: Model,
    excess: float,
    normal: FloatArray,
) -> None:
    """Write the expected information of the used nodes and the priors into ``normal``.

    A Student-t location family has (nu + 1) / (nu + 3) per unit variance [Lange1989]; ``excess`` multiplies variances.
    """
    n = model.unknowns
    for i in range(n):
        for j in range(n):
            normal[i, j] = 0.0
        normal[i, i] = _prior(model, i)
    row = np.empty(STATE)
    for node in range(len(used)):
        if not used[node]:
            continue
        dx, dy, dz = state[0] - sites[node, 0], state[1] - sites[node, 1], state[6] - sites[node, 2]
        d = max(math.sqrt(dx * dx + dy * dy + dz * dz), 1e-9)
        slowed = 1.0 - state[3]
        row[0] = dx / d * slowed + state[4] / model.speed_mps
        row[1] = dy / d * slowed + state[5] / model.speed_mps
        row[2] = 1.0
        row[3] = -d
        row[4], row[5] = dx / model.speed_mps, dy / model.speed_mps
        row[6] = dz / d * slowed
        weight = (STUDENT_NU + 1.0) / (STUDENT_NU + 3.0) / (sigma[node] * sigma[node] * excess)
        for i in range(n):
            for j in range(i + 1):
                normal[i, j] += weight * row[i] * row[j]
