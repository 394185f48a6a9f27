"""The compiled loop of a plan: cell by cell, who would report a shot there, and what the server would make of it.

Per cell and scenario (a weapon, where its barrel points, how much all paths of the shot lose) each node reports with
its own probability, independently. How many do is a Poisson-binomial count, worked out exactly. What the server makes
of those who do is looked at in drawn shots: the log evidence of association as `fusion_server.associate` has it, and
the covariance as `fusion_server.locate` has it, of its own information matrix: the Cramér-Rao bound [Kay1993 ch. 3].
Uniform numbers are hashes of cell, node and draw: the same whatever other nodes there are, so that two networks are
compared on the same shots.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.cells import N_RANGES
from fusion_server.compiled import compiled
from fusion_server.locate.kernel import Model, factorise, information, inverse
from fusion_server.locate.uncertainty import cep_of_axes_m, horizontal_dop, principal_axes

__all__ = ["COLUMNS", "Listeners", "Rules", "Scenarios", "evaluate", "uniform"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

COLUMNS = ("enough_probability", "detect_probability", "goal_probability", "expected_nodes", "cep95_m", "gdop")
"""What `evaluate` writes, by column."""
_DECADES_PER_DB = 0.05
_LEAST_SNR_DB, _MOST_SNR_DB = 0.0, 60.0
_PICK_AT_DB = 20.0
_STATE = 8
_LOG_2PI = math.log(2.0 * math.pi)


class Listeners(NamedTuple):
    """Nodes: shape (n_nodes,) but for the sites.

    Parameters
    ----------
    site_m : ndarray, shape (n_nodes, 3), float64
    key : ndarray, int64
        Of the node's uniform numbers; never changes.
    noise_db_spl : ndarray, float64
    timing_sigma_s : ndarray, float64
        Of the clock and of an onset at its best.
    site_sigma_m : ndarray, float64
    place : ndarray, int64
        The same for nodes within some metres of each other, which count once.
    """

    site_m: FloatArray
    key: IntArray
    noise_db_spl: FloatArray
    timing_sigma_s: FloatArray
    site_sigma_m: FloatArray
    place: IntArray


class Scenarios(NamedTuple):
    """Kinds of shot, each as likely as its weight.

    Parameters
    ----------
    weight : ndarray, shape (n_scenarios,), float64
        Sums to 1.
    weapon, azimuth : ndarray, shape (n_scenarios,), int64
        Which table; where the barrel points, in steps of heading.
    loss_db : ndarray, shape (n_scenarios,), float64
        What all paths lose besides.
    of_draw : ndarray, shape (n_draws,), int64
        The scenario of each drawn shot.
    audible_db_spl, peak_db_spl : ndarray, shape (n_weapons, n_distances, n_headings, n_angles), float32
        Tables of `shotline_calibration.plan.levels`, less what surroundings take on the mean.
    step_m : float
    path_sigma_db : float
        1-sigma of each path.
    most_probability : float
        That a node reports what is far louder than it must be.
    """

    weight: FloatArray
    weapon: IntArray
    azimuth: IntArray
    loss_db: FloatArray
    of_draw: IntArray
    audible_db_spl: NDArray[np.float32]
    peak_db_spl: NDArray[np.float32]
    step_m: float
    path_sigma_db: float
    most_probability: float


class Rules(NamedTuple):
    """What the server asks for, and how it reckons.

    Parameters
    ----------
    min_nodes : int
    least_evidence, log_prior, log_volume_most : float
        Log evidence that is asked for, that of the prior rate of shots, and the most that a vague place counts.
    gain, gain_sigma : float
        What an arrival gives at a timing error of 1 s, and its 1-sigma from arrival to arrival.
    log_heard, log_silent : ndarray, shape (n_distances, 8), float32
        Of `fusion_server.associate.geometry.audibility`.
    audible_step_m, reach_m : float
    path_sigma_s, associate_path_sigma_s, pick_sigma_s, systematic_m : float
    model : Model
        Of the locator.
    goal_m : float
        CEP95 that is wanted.
    """

    min_nodes: int
    least_evidence: float
    log_prior: float
    log_volume_most: float
    gain: float
    gain_sigma: float
    log_heard: NDArray[np.float32]
    log_silent: NDArray[np.float32]
    audible_step_m: float
    reach_m: float
    path_sigma_s: float
    associate_path_sigma_s: float
    pick_sigma_s: float
    systematic_m: float
    model: Model
    goal_m: float


@compiled
def uniform(cell: int, node: int, draw: int) -> float:
    """Return a number in [0, 1) that follows from three whole ones: splitmix64 [Steele2014] of their mixture."""
    z = np.uint64(cell) * np.uint64(0x9E3779B97F4A7C15)
    z ^= np.uint64(node) * np.uint64(0xD1B54A32D192ED03)
    z ^= np.uint64(draw + 1) * np.uint64(0x8CB92BA72F3D8DD7)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    return float(z >> np.uint64(11)) / 9007199254740992.0


@compiled
def _normal_share(z: float) -> float:
    return 0.5 * math.erfc(-z * 0.7071067811865476)


@compiled
def evaluate(
    cells_m: FloatArray,
    cell_key: IntArray,
    cell_height_m: FloatArray,
    nodes: Listeners,
    shots: Scenarios,
    rules: Rules,
    out: FloatArray,
) -> None:
    """Fill in the figures of each cell.

    Parameters
    ----------
    cells_m : ndarray, shape (n_cells, 2), float64
        Middles, local frame.
    cell_key : ndarray, shape (n_cells,), int64
        Of the cell's uniform numbers; never changes.
    cell_height_m : ndarray, shape (n_cells,), float64
        Of a source there.
    out : ndarray, shape (n_cells, 6), float64
        Written, see `COLUMNS`. ``cep95_m`` and ``gdop`` are medians over the drawn shots that are found; infinite
        where none is.
    """
    n_nodes, n_scenarios, n_draws = len(nodes.key), len(shots.weight), len(shots.of_draw)
    near = np.empty(n_nodes, dtype=np.int64)
    row = np.empty(n_nodes, dtype=np.int64)
    chance = np.empty((n_scenarios, n_nodes))
    peak_db = np.empty((n_scenarios, n_nodes))
    few = np.empty(rules.min_nodes)
    heard = np.empty(n_nodes, dtype=np.bool_)
    cep, dop = np.empty(n_draws), np.empty(n_draws)
    n_headings, n_angles = shots.audible_db_spl.shape[2], shots.audible_db_spl.shape[3]
    for cell in range(len(cells_m)):
        n_near = 0
        for node in range(n_nodes):
            dx, dy = nodes.site_m[node, 0] - cells_m[cell, 0], nodes.site_m[node, 1] - cells_m[cell, 1]
            distance = math.sqrt(dx * dx + dy * dy)
            if distance > rules.reach_m:
                continue
            near[n_near] = node
            row[n_near] = min(int(distance / rules.audible_step_m + 0.5), len(rules.log_heard) - 1)
            step = min(int(distance / shots.step_m + 0.5), shots.audible_db_spl.shape[1] - 1)
            turn = math.atan2(dx, dy) / (2.0 * math.pi) * n_headings
            heading = math.floor(turn + 0.5) % n_headings
            for s in range(n_scenarios):
                off = abs(turn - shots.azimuth[s])
                off -= n_headings * math.floor(off / n_headings)
                off = min(off, n_headings - off)
                angle = int(off * 2.0 / n_headings * (n_angles - 1) + 0.5)
                weapon = shots.weapon[s]
                margin = shots.audible_db_spl[weapon, step, heading, angle] - shots.loss_db[s]
                margin -= nodes.noise_db_spl[node]
                chance[s, n_near] = shots.most_probability * _normal_share(margin / shots.path_sigma_db)
                peak_db[s, n_near] = (
                    shots.peak_db_spl[weapon, step, heading, angle] - shots.loss_db[s] - nodes.noise_db_spl[node]
                )
            n_near += 1
        enough, expected = 0.0, 0.0
        for s in range(n_scenarios):
            enough += shots.weight[s] * _enough(chance[s], near, n_near, nodes.place, few)
            for k in range(n_near):
                expected += shots.weight[s] * chance[s, k]
        out[cell, 0], out[cell, 3] = enough, expected
        n_enough, n_found = 0, 0
        found, good = 0.0, 0.0
        for draw in range(n_draws):
            s = shots.of_draw[draw]
            for k in range(n_near):
                heard[k] = uniform(cell_key[cell], nodes.key[near[k]], draw) < chance[s, k]
            if _distinct(heard, near, n_near, nodes.place) < rules.min_nodes:
                continue
            n_enough += 1
            share, cep95, gdop = _judged(
                cells_m[cell], cell_height_m[cell], near, row, heard, peak_db[s], n_near, nodes, rules
            )
            found += share
            if share >= 0.5:
                cep[n_found], dop[n_found] = cep95, gdop
                n_found += 1
            if cep95 <= rules.goal_m:
                good += share
        out[cell, 1] = enough * found / n_enough if n_enough else 0.0
        out[cell, 2] = enough * good / n_enough if n_enough else 0.0
        out[cell, 4] = np.median(cep[:n_found]) if n_found else np.inf
        out[cell, 5] = np.median(dop[:n_found]) if n_found else np.inf


@compiled
def _enough(chance: FloatArray, near: IntArray, n_near: int, place: IntArray, few: FloatArray) -> float:
    """Return the probability that nodes at enough places report: a Poisson-binomial count, by recursion [Hong2013].

    Nodes of one place are together in ``near``.
    """
    most = len(few)
    few[:] = 0.0
    few[0] = 1.0
    k = 0
    while k < n_near:
        silent = 1.0 - chance[k]
        here = place[near[k]]
        k += 1
        while k < n_near and place[near[k]] == here:
            silent *= 1.0 - chance[k]
            k += 1
        for count in range(most - 1, 0, -1):
            few[count] = few[count] * silent + few[count - 1] * (1.0 - silent)
        few[0] *= silent
    return max(0.0, 1.0 - float(few.sum()))


@compiled
def _distinct(heard: NDArray[np.bool_], near: IntArray, n_near: int, place: IntArray) -> int:
    """Return at how many places somebody heard."""
    count, last = 0, -1
    for k in range(n_near):
        if heard[k] and place[near[k]] != last:
            count += 1
            last = place[near[k]]
    return count


@compiled
def _judged(
    cell_m: FloatArray,
    height_m: float,
    near: IntArray,
    row: IntArray,
    heard: NDArray[np.bool_],
    peak_db: FloatArray,
    n_near: int,
    nodes: Listeners,
    rules: Rules,
) -> tuple[float, float, float]:
    """Return the probability that association takes a shot, its CEP95 in metres, and its GDOP."""
    n_heard = 0
    for k in range(n_near):
        n_heard += heard[k]
    sites, sigma = np.empty((n_heard, 3)), np.empty(n_heard)
    wide = np.empty(n_heard)
    directions = np.empty((n_heard, 2))
    everybody = np.ones(n_heard, dtype=np.bool_)
    said = np.zeros(N_RANGES)
    evidence, speed = rules.log_prior, rules.model.speed_mps
    i = 0
    for k in range(n_near):
        if not heard[k]:
            for r in range(N_RANGES):
                said[r] += rules.log_silent[row[k], r]
            continue
        node = near[k]
        for r in range(N_RANGES):
            said[r] += rules.log_heard[row[k], r]
        for axis in range(3):
            sites[i, axis] = nodes.site_m[node, axis]
        snr_db = min(max(peak_db[k], _LEAST_SNR_DB), _MOST_SNR_DB)
        pick_s = rules.pick_sigma_s * 10.0 ** (_DECADES_PER_DB * (_PICK_AT_DB - snr_db))
        timing_sq, site_sq = nodes.timing_sigma_s[node] ** 2, nodes.site_sigma_m[node] ** 2
        sigma[i] = math.sqrt(speed**2 * (timing_sq + pick_s**2 + rules.path_sigma_s**2) + site_sq)
        wide[i] = math.sqrt(speed**2 * (timing_sq + rules.associate_path_sigma_s**2) + site_sq)
        evidence += rules.gain - math.log(wide[i] / speed)
        dx, dy = cell_m[0] - sites[i, 0], cell_m[1] - sites[i, 1]
        flat = max(math.sqrt(dx * dx + dy * dy), 1e-9)
        directions[i, 0], directions[i, 1] = dx / flat, dy / flat
        i += 1
    best, total = said.max(), 0.0
    for r in range(N_RANGES):
        total += math.exp(said[r] - best)
    evidence += best + math.log(total / N_RANGES)
    normal, covariance = np.empty((_STATE, _STATE)), np.empty((_STATE, _STATE))
    state = np.zeros(_STATE)
    state[0], state[1], state[6], state[7] = cell_m[0], cell_m[1], height_m, height_m
    gdop = horizontal_dop(directions)
    information(state, sites, sigma, everybody, rules.model, 1.0, normal)
    if math.isinf(gdop) or not factorise(normal, rules.model.unknowns):
        return 0.0, np.inf, np.inf
    inverse(normal, rules.model.unknowns, covariance)
    # The volume of the place and the instant, of association's own sigmas: the same but for what an arrival weighs.
    ratio = np.median(wide) / np.median(sigma)
    xx, xy, x1 = covariance[0, 0], covariance[0, 1], covariance[0, 2]
    yy, y1, b1 = covariance[1, 1], covariance[1, 2], covariance[2, 2]
    determinant = xx * (yy * b1 - y1 * y1) - xy * (xy * b1 - y1 * x1) + x1 * (xy * y1 - yy * x1)
    log_volume = 0.5 * math.log(max(determinant, 1e-30)) + 3.0 * math.log(ratio)
    evidence += min(rules.log_volume_most, log_volume + 1.5 * _LOG_2PI - math.log(speed))
    share = _normal_share((evidence - rules.least_evidence) / (rules.gain_sigma * math.sqrt(n_heard)))
    systematic = rules.systematic_m**2
    major, minor, _ = principal_axes(xx + systematic, xy, yy + systematic)
    return share, cep_of_axes_m(major, minor, 0.95), gdop
