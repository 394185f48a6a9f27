"""The solvers that `benchmarks/peers.py` compares: each takes the same arrivals and returns a place, or None.

Others' solvers get sites in the local frame and arrival times after the first, in time order, in still air of the right
temperature; ours gets the arrivals and the weather as a server has them. What somebody else wrote is called as it is;
what is written here is short and plain.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from fusion_server.locate import ArrivalBatch, locate, locate_batch
from shotline.atmosphere import Weather
from shotline.domain import Arrival, Location
from shotline.units import NS_PER_S

_Real = NDArray[np.float64]
Place = tuple[float, float] | None

CAUCHY_SCALES_M = (30.0, 3.0)
"""One after the other, for from afar the loss is flat. Residuals are about 8 ms, which is 2.6 m."""
CAUCHY_EVALUATIONS = 30
"""At the most, at each scale: where the loss has a valley instead of a minimum more make no difference."""
GRID = 15
"""Starts are ranked on a grid of so many times so many places over twice the sites' extent."""
STARTS = 3
"""Of the ranked places, so many that are better than those around them are refined."""
_NEAREST_M = 1e-6


@dataclass(frozen=True, slots=True)
class Problem:
    """One set of arrivals to locate from."""

    arrivals: tuple[Arrival, ...]
    weather: Weather


class Heard(NamedTuple):
    """A problem as arrays.

    Parameters
    ----------
    sites_m : ndarray, shape (n, 2), float64
        In the local frame, in order of hearing.
    delays_s : ndarray, shape (n,), float64
        After the first arrival.
    speed_of_sound_mps : float
    """

    sites_m: _Real
    delays_s: _Real
    speed_of_sound_mps: float


@dataclass(frozen=True, slots=True)
class Solver:
    """A solver by name.

    Parameters
    ----------
    name : str
    package : str
        Whose version to state; "" for what is written here.
    missing : str
        Why it cannot run here; "" when it can.
    one : callable
        Solves one prepared problem.
    prepare : callable
        Makes of a problem what `one` takes; not part of what is timed.
    many : callable, optional
        Solves many problems at once.
    """

    name: str
    package: str
    one: Callable[..., Place]
    prepare: Callable[[Problem], object]
    missing: str = ""
    many: Callable[[Sequence[Problem]], list[Place]] | None = None

    def solve(self, problems: Sequence[Problem]) -> list[Place]:
        """Solve each; what fails in a solver's own way is None."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.many is not None:
                return self.many(problems)
            return [self._guarded(problem) for problem in problems]

    def _guarded(self, problem: Problem) -> Place:
        try:
            place = self.one(self.prepare(problem))
        except (ValueError, ArithmeticError, np.linalg.LinAlgError):
            return None
        return place if place is not None and np.isfinite(place).all() else None


def heard_of(problem: Problem) -> Heard:
    """Return a problem as arrays."""
    ordered = sorted(problem.arrivals, key=lambda item: (item.time_ns, item.uid))
    sites_m = np.array([(item.site.x_m, item.site.y_m) for item in ordered])
    delays_s = np.array([(item.time_ns - ordered[0].time_ns) / NS_PER_S for item in ordered])
    return Heard(sites_m, delays_s, problem.weather.speed_of_sound_mps)


def _placed(place_m: _Real) -> Place:
    return float(place_m[0]), float(place_m[1])


# Ours.


def _itself(problem: Problem) -> Problem:
    return problem


def by_locate(problem: Problem) -> Place:
    """Locate with everything that comes with it."""
    found = locate(problem.arrivals, weather=problem.weather)
    return (found.x_m, found.y_m) if isinstance(found, Location) else None


def by_batches(problems: Sequence[Problem]) -> list[Place]:
    """Locate all problems of one weather at once."""
    made: list[Place] = [None] * len(problems)
    for weather in dict.fromkeys(problem.weather for problem in problems):
        rows = [row for row, problem in enumerate(problems) if problem.weather == weather]
        fixes = locate_batch(ArrivalBatch.of([problems[row].arrivals for row in rows]), weather=weather)
        for row, located, (x_m, y_m) in zip(rows, fixes.located.tolist(), fixes.place_m.tolist(), strict=True):
            made[row] = (x_m, y_m) if located else None
    return made


def by_batch_of_one(problem: Problem) -> Place:
    """Locate a batch of one problem."""
    return by_batches([problem])[0]


# scipy.


def _residual_m(unknown: _Real, sites_m: _Real, ranges_m: _Real) -> _Real:
    return np.asarray(np.hypot(sites_m[:, 0] - unknown[0], sites_m[:, 1] - unknown[1]) + unknown[2] - ranges_m)


def _jacobian(unknown: _Real, sites_m: _Real, _: _Real) -> _Real:
    made = np.ones((len(sites_m), 3))
    away_m = unknown[:2] - sites_m
    made[:, :2] = away_m / np.maximum(np.hypot(away_m[:, 0], away_m[:, 1]), _NEAREST_M)[:, None]
    return made


def _least_squares(heard: Heard, start: _Real) -> tuple[float, _Real]:
    """Return cost and unknowns: x, y, and minus the way of the sound to where it was first heard, in m."""
    ranges_m = heard.delays_s * heard.speed_of_sound_mps
    done = least_squares(_residual_m, start, jac=_jacobian, method="lm", args=(heard.sites_m, ranges_m))
    return float(done.cost), np.asarray(done.x)


def _cauchy(heard: Heard, start: _Real) -> tuple[float, _Real]:
    ranges_m = heard.delays_s * heard.speed_of_sound_mps
    cost, unknown = np.inf, start
    for scale_m in CAUCHY_SCALES_M:
        done = least_squares(
            _residual_m,
            unknown,
            jac=_jacobian,
            loss="cauchy",
            f_scale=scale_m,
            max_nfev=CAUCHY_EVALUATIONS,
            args=(heard.sites_m, ranges_m),
        )
        cost, unknown = float(done.cost), np.asarray(done.x)
    return cost, unknown


def by_first_sensor(heard: Heard) -> Place:
    """Least squares from one start: where it was first heard."""
    return _placed(_least_squares(heard, np.array([*heard.sites_m[0], 0.0]))[1])


def by_centroid(heard: Heard) -> Place:
    """Least squares from one start: the centroid of the sensors."""
    return _placed(_least_squares(heard, np.array([*heard.sites_m.mean(axis=0), 0.0]))[1])


def _starts(heard: Heard, *, robust: bool) -> list[_Real]:
    """Return the best local minima of the loss on a grid, the instant being the mean or median of what sensors say."""
    low, high = heard.sites_m.min(axis=0), heard.sites_m.max(axis=0)
    middle, half = 0.5 * (low + high), max(float((high - low).max()), 100.0)
    axis = np.linspace(-1.0, 1.0, GRID) * half
    x_m, y_m = (part + centre for part, centre in zip(np.meshgrid(axis, axis, indexing="ij"), middle, strict=True))
    distance_m = np.hypot(x_m[..., None] - heard.sites_m[:, 0], y_m[..., None] - heard.sites_m[:, 1])
    offset_m = heard.delays_s * heard.speed_of_sound_mps - distance_m
    if not robust:
        best_m = offset_m.mean(axis=-1)
        cost = ((offset_m - best_m[..., None]) ** 2).sum(axis=-1)
    else:
        best_m = np.median(offset_m, axis=-1)
        # A step of the grid is far more than the scale of the loss.
        scale_m = 2.0 * half / (GRID - 1)
        cost = np.log1p(((offset_m - best_m[..., None]) / scale_m) ** 2).sum(axis=-1)
    around = np.pad(cost, 1, constant_values=np.inf)
    lower = np.ones(cost.shape, dtype=np.bool_)
    for row, column in ((0, 1), (2, 1), (1, 0), (1, 2), (0, 0), (0, 2), (2, 0), (2, 2)):
        lower &= cost <= around[row : row + GRID, column : column + GRID]
    places = np.argwhere(lower)
    ranked = places[np.argsort(cost[lower], kind="stable")][:STARTS]
    return [np.array([x_m[i, j], y_m[i, j], best_m[i, j]]) for i, j in ranked.tolist()]


def by_many_starts(heard: Heard) -> Place:
    """Least squares from the best places of a grid; the least cost wins."""
    return _placed(min((_least_squares(heard, start) for start in _starts(heard, robust=False)), key=_cost)[1])


def by_cauchy(heard: Heard) -> Place:
    """The same with a Cauchy loss."""
    return _placed(min((_cauchy(heard, start) for start in _starts(heard, robust=True)), key=_cost)[1])


def _cost(done: tuple[float, _Real]) -> float:
    return done[0]


# Closed forms.


def by_spherical_interpolation(heard: Heard) -> Place:
    """Spherical interpolation [SmithAbel1987], unweighted; the first sensor is the reference."""
    sites_m = heard.sites_m[1:] - heard.sites_m[0]
    further_m = heard.delays_s[1:] * heard.speed_of_sound_mps
    inverse = np.linalg.pinv(sites_m)
    rest = np.eye(len(sites_m)) - sites_m @ inverse
    known = (sites_m**2).sum(axis=1) - further_m**2
    range_m = (further_m @ rest @ known) / (2.0 * further_m @ rest @ further_m)
    return _placed(0.5 * inverse @ (known - 2.0 * range_m * further_m) + heard.sites_m[0])


def by_chan_ho(heard: Heard) -> Place:
    """Two weighted linear steps [ChanHo1994], with equal errors; the first sensor is the reference."""
    sites_m, reference_m = heard.sites_m[1:], heard.sites_m[0]
    further_m = heard.delays_s[1:] * heard.speed_of_sound_mps
    covariance = 0.5 * (np.eye(len(sites_m)) + 1.0)
    design = -np.column_stack([sites_m - reference_m, further_m])
    known = 0.5 * (further_m**2 - (sites_m**2).sum(axis=1) + (reference_m**2).sum())
    first = _weighted(design, known, covariance)
    for _ in range(2):
        reach = np.diag(np.hypot(*(sites_m - first[:2]).T))
        first = _weighted(design, known, reach @ covariance @ reach)
    reach = np.diag(np.hypot(*(sites_m - first[:2]).T))
    spread = np.linalg.inv(design.T @ np.linalg.solve(reach @ covariance @ reach, design))
    offset = first - [*reference_m, 0.0]
    scale = 2.0 * np.diag(offset)
    squares = _weighted(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]), offset**2, scale @ spread @ scale)
    return _placed(np.sign(offset[:2]) * np.sqrt(np.maximum(squares, 0.0)) + reference_m)


def _weighted(design: _Real, known: _Real, covariance: _Real) -> _Real:
    weighted = np.linalg.solve(covariance, design)
    return np.asarray(np.linalg.solve(weighted.T @ design, weighted.T @ known))


# Other packages.


@cache
def opensoundscape_algorithms() -> ModuleType:
    """Return OpenSoundscape's module of localization alone: importing the package would ask for torch and more."""
    package = importlib.util.find_spec("opensoundscape")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("no module named opensoundscape")
    path = Path(package.origin).parent / "localization" / "localization_algorithms.py"
    spec = importlib.util.spec_from_file_location("opensoundscape_localization_algorithms", path)
    if spec is None or spec.loader is None:
        raise ModuleNotFoundError(f"no module at {path}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _by_opensoundscape(algorithm: str) -> Callable[[Heard], Place]:
    def solve(heard: Heard) -> Place:
        found = opensoundscape_algorithms().localize(
            heard.sites_m, heard.delays_s, algorithm=algorithm, speed_of_sound=heard.speed_of_sound_mps
        )
        return None if found is None else _placed(np.ravel(found))

    return solve


def by_pyroomacoustics(heard: Heard) -> Place:
    """pyroomacoustics' tdoa_loc; the first sensor is the reference."""
    from pyroomacoustics.experimental.localization import tdoa_loc

    if len(heard.sites_m) < 4:
        return None
    return _placed(tdoa_loc(heard.sites_m.T, heard.delays_s, heard.speed_of_sound_mps))


def missing(package: str) -> str:
    """Return why a package cannot be used here; "" when it can."""
    if not package or importlib.util.find_spec(package) is not None:
        return ""
    return f"{package} is not installed here; see --peers"


def version_of(package: str) -> str | None:
    """Return the version of an installed package."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def solvers() -> dict[str, Solver]:
    """Return every solver by its short name, ours first."""
    known = {
        "locate": Solver("Shotline, one at a time", "", by_locate, _itself),
        "locate_batch": Solver("Shotline, all at once", "", by_batch_of_one, _itself, many=by_batches),
        "scipy_first": Solver("scipy least_squares, start at first sensor", "scipy", by_first_sensor, heard_of),
        "scipy_centroid": Solver("scipy least_squares, start at centroid", "scipy", by_centroid, heard_of),
        "scipy_many": Solver("scipy least_squares, many starts", "scipy", by_many_starts, heard_of),
        "scipy_cauchy": Solver("scipy least_squares, Cauchy loss, many starts", "scipy", by_cauchy, heard_of),
        "oss_soundfinder": Solver(
            "OpenSoundscape soundfinder", "opensoundscape", _by_opensoundscape("soundfinder"), heard_of
        ),
        "oss_least_squares": Solver(
            "OpenSoundscape least_squares", "opensoundscape", _by_opensoundscape("least_squares"), heard_of
        ),
        "oss_gillette": Solver("OpenSoundscape gillette", "opensoundscape", _by_opensoundscape("gillette"), heard_of),
        "pyroomacoustics": Solver("pyroomacoustics tdoa_loc", "pyroomacoustics", by_pyroomacoustics, heard_of),
        "chan_ho": Solver("Chan and Ho, two steps", "", by_chan_ho, heard_of),
        "spherical": Solver("spherical interpolation", "", by_spherical_interpolation, heard_of),
    }
    return {
        key: Solver(item.name, item.package, item.one, item.prepare, missing(item.package), item.many)
        for key, item in known.items()
    }
