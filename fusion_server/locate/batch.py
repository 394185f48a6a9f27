"""Many shots at once: arrivals in columns, fixes in columns, and the compiled loop between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusion_server.compiled import compiled
from fusion_server.locate.ground import Ground
from fusion_server.locate.kernel import (
    MIN_NODES,
    MOST_MODES,
    STATE,
    STUDENT_NU,
    Model,
    climb,
    factorise,
    find_modes,
    information,
    inverse,
    level_log_density,
    linearise,
)
from fusion_server.locate.region import Cells, posterior_cells, rings_of
from fusion_server.locate.settings import Height, LocateSettings
from fusion_server.locate.uncertainty import cep_m, ellipse, horizontal_dop, principal_axes
from shotline.atmosphere import Weather
from shotline.domain import Arrival, ArrivalVerdict, Location, NoLocation, NoLocationReason, Root
from shotline.units import NS_PER_S, kelvin_from_celsius, ns_from_seconds

__all__ = ["MIN_NODES", "ArrivalBatch", "Fixes", "locate_batch", "posterior_model"]

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SAME_PLACE_M = 5.0
_FLAT_RATIO = 0.02
_ROOM = 1.2
"""No two arrivals of one sound are further apart in time than this many times the hearing range."""
_LEAST_WEIGHT = 0.01
"""A solution of less weight is not mentioned."""
_WHOLE_MASS = 0.95
"""Solutions count towards the error until they hold this much of the posterior."""
_CHI_SQ_95 = -2.0 * math.log(0.05)
_BENT = (0.6, 1.7)
"""Where the log posterior two sigma out, over what a normal one has, is outside this, an ellipse does not tell it."""
_STRAIGHT = 0.15
_LEAST_SPEED_ERROR = 0.0005
_LEAST_WIND_ERROR_MPS = 0.1
"""No weather is known better than this along a whole path."""
_PICK_DECADES = 0.05
"""Error of an onset against SNR: inverse to amplitude."""


class _Status(IntEnum):
    LOCATED = 0
    TOO_FEW = 1
    NOT_FINITE = 2
    TOO_LONG = 3
    TOO_CLOSE = 4
    ON_A_LINE = 5
    NO_ROOT = 6
    OUT_OF_HEARING = 7
    TWO_ROOTS = 8
    FEW_AGREE = 9
    UNFIXED = 10


# Figures of a fix, by column.
_X, _Y, _Z, _Z_SIGMA, _OFFSET_S, _OFFSET_SIGMA_S, _XX, _XY, _YY, _GDOP, _RMS_S, _LOG_EVIDENCE = range(12)
_FIGURES = 12


@dataclass(frozen=True, slots=True, eq=False)
class ArrivalBatch:
    """Arrivals of many shots, in columns; the arrivals of shot i are ``first[i]`` to ``first[i + 1]``.

    Parameters
    ----------
    first : ndarray, shape (n_shots + 1,), int64
    node : ndarray, shape (n_arrivals,), int64
        A number for each node, the same for the same node within a shot.
    site_m : ndarray, shape (n_arrivals, 3), float64
        Where it stands, local frame.
    site_sigma_m, sigma_s, snr_db, level_db : ndarray, shape (n_arrivals,), float64
        See `shotline.domain.Site` and `shotline.domain.Arrival`; a level that is not known is NaN.
    time_ns : ndarray, shape (n_arrivals,), int64
        In time order within a shot.
    arrivals : tuple of tuple of Arrival
        What the columns were made from; empty when they were given as arrays.
    """

    first: IntArray
    node: IntArray
    site_m: FloatArray
    site_sigma_m: FloatArray
    sigma_s: FloatArray
    snr_db: FloatArray
    level_db: FloatArray
    time_ns: IntArray
    arrivals: tuple[tuple[Arrival, ...], ...] = ()

    def __len__(self) -> int:
        return len(self.first) - 1

    @classmethod
    def of(cls, shots: Sequence[Sequence[Arrival]]) -> ArrivalBatch:
        """Return the columns of some shots, each of arrivals in any order."""
        ordered = tuple(tuple(sorted(shot, key=_time_and_uid)) for shot in shots)
        first = np.zeros(len(ordered) + 1, dtype=np.int64)
        first[1:] = np.cumsum([len(shot) for shot in ordered])
        number: dict[str, int] = {}
        rows = [
            (
                arrival.site.x_m,
                arrival.site.y_m,
                arrival.site.z_m,
                arrival.site.sigma_m,
                arrival.sigma_s,
                arrival.snr_db,
                arrival.level_db,
                number.setdefault(arrival.site.node, len(number)),
            )
            for shot in ordered
            for arrival in shot
        ]
        table = np.array(rows, dtype=np.float64).reshape(-1, 8)
        return cls(
            first=first,
            node=table[:, 7].astype(np.int64),
            site_m=np.ascontiguousarray(table[:, :3]),
            site_sigma_m=np.ascontiguousarray(table[:, 3]),
            sigma_s=np.ascontiguousarray(table[:, 4]),
            snr_db=np.ascontiguousarray(table[:, 5]),
            level_db=np.ascontiguousarray(table[:, 6]),
            time_ns=np.array([arrival.time_ns for shot in ordered for arrival in shot], dtype=np.int64),
            arrivals=ordered,
        )


def _time_and_uid(arrival: Arrival) -> tuple[int, object]:
    return arrival.time_ns, arrival.uid


@dataclass(frozen=True, slots=True, eq=False)
class Fixes:
    """What became of each shot of a batch, in columns; `result` gives one as a `Location` or `NoLocation`.

    Parameters
    ----------
    batch : ArrivalBatch
    weather : Weather
    settings : LocateSettings
    status : ndarray, shape (n_shots,), int64
        0 where there is a fix.
    detail : ndarray, shape (n_shots, 2), float64
        Figures of a refusal.
    figures : ndarray, shape (n_shots, 12), float64
    roots : ndarray, shape (n_shots, MOST_MODES, 4), float64
        x, y in m, origin in s after the first arrival, weight; heaviest first, NaN where there are no more.
    residual_s, standardised : ndarray, shape (n_arrivals,), float64
        Residual at the fix, in s and in sigmas; NaN where the arrival did not take part.
    bent : ndarray, shape (n_shots,), bool
        Where a region says it better than an ellipse.
    cells : dict of int to Cells
        Of those, the posterior.
    """

    batch: ArrivalBatch
    weather: Weather
    settings: LocateSettings
    status: IntArray
    detail: FloatArray
    figures: FloatArray
    roots: FloatArray
    residual_s: FloatArray
    standardised: FloatArray
    bent: NDArray[np.bool_]
    cells: dict[int, Cells]

    @property
    def located(self) -> NDArray[np.bool_]:
        """Whether there is a fix, shape (n_shots,)."""
        return np.asarray(self.status == _Status.LOCATED)

    @property
    def place_m(self) -> FloatArray:
        """Places, shape (n_shots, 2); NaN where there is no fix."""
        return self.figures[:, :2]

    @property
    def log_evidence(self) -> FloatArray:
        """Log probability of the arrival times under the model, up to a constant, shape (n_shots,)."""
        return self.figures[:, _LOG_EVIDENCE]

    @property
    def covariance_m2(self) -> FloatArray:
        """Covariances, shape (n_shots, 2, 2)."""
        return self.figures[:, [_XX, _XY, _XY, _YY]].reshape(-1, 2, 2)

    def result(self, shot: int) -> Location | NoLocation:
        """Return one shot as the domain's words; the batch must have been made of arrivals."""
        if self.status[shot] != _Status.LOCATED:
            return self._refusal(shot)
        arrivals = self.batch.arrivals[shot]
        begin = int(self.batch.first[shot])
        figures = self.figures[shot].tolist()
        residuals, standardised = (
            column[begin : begin + len(arrivals)].tolist() for column in (self.residual_s, self.standardised)
        )
        covariance = ((figures[_XX], figures[_XY]), (figures[_XY], figures[_YY]))
        height = self.settings.height
        roots = self._roots(shot)
        return Location(
            x_m=figures[_X],
            y_m=figures[_Y],
            z_m=None if height is Height.PLANAR else figures[_Z],
            origin_time_ns=self._origin_ns(shot, figures[_OFFSET_S]),
            origin_sigma_s=figures[_OFFSET_SIGMA_S],
            covariance_m2=covariance,
            ellipse95=ellipse(covariance, confidence=0.95),
            cep50_m=cep_m(covariance, probability=0.50),
            cep95_m=cep_m(covariance, probability=0.95),
            gdop=figures[_GDOP],
            rms_residual_s=figures[_RMS_S],
            verdicts=tuple(
                _verdict(*about, self.settings.outlier_sigma)
                for about in zip(arrivals, residuals, standardised, strict=True)
            ),
            alternatives=roots[1:],
            weight=roots[0].weight,
            ellipse50=ellipse(covariance, confidence=0.50),
            ellipse90=ellipse(covariance, confidence=0.90),
            region95=rings_of(self.cells[shot]) if shot in self.cells else (),
            z_sigma_m=figures[_Z_SIGMA] if height is Height.FREE else None,
        )

    def _origin_ns(self, shot: int, offset_s: float) -> int:
        return int(self.batch.time_ns[self.batch.first[shot]]) + ns_from_seconds(offset_s)

    def _roots(self, shot: int) -> tuple[Root, ...]:
        return tuple(
            Root(x_m, y_m, self._origin_ns(shot, offset_s), weight)
            for x_m, y_m, offset_s, weight in self.roots[shot].tolist()
            if not math.isnan(weight)
        )

    def _refusal(self, shot: int) -> NoLocation:
        status = _Status(self.status[shot])
        one, two = self.detail[shot].tolist()
        if status is _Status.NOT_FINITE:
            said = _not_finite(self.batch, shot, int(one))
        else:
            said = _SAID[status].format(one=one, two=two)
        return NoLocation(_REASONS[status], said, self._roots(shot) if status is _Status.TWO_ROOTS else ())


_REASONS = {
    _Status.TOO_FEW: NoLocationReason.TOO_FEW_NODES,
    _Status.NOT_FINITE: NoLocationReason.BAD_INPUT,
    _Status.TOO_LONG: NoLocationReason.BAD_INPUT,
    _Status.TOO_CLOSE: NoLocationReason.DEGENERATE_GEOMETRY,
    _Status.ON_A_LINE: NoLocationReason.DEGENERATE_GEOMETRY,
    _Status.NO_ROOT: NoLocationReason.NO_ROOT,
    _Status.OUT_OF_HEARING: NoLocationReason.INCONSISTENT,
    _Status.TWO_ROOTS: NoLocationReason.TWO_ROOTS,
    _Status.FEW_AGREE: NoLocationReason.INCONSISTENT,
    _Status.UNFIXED: NoLocationReason.DEGENERATE_GEOMETRY,
}
_SAID = {
    _Status.TOO_FEW: f"{{one:.0f}} node(s) heard it; a fix in the plane needs {MIN_NODES}",
    _Status.TOO_LONG: "arrivals span {one:.3g} s, but one sound is heard everywhere within {two:.3g} s; "
    "these are not one shot, or a clock is wrong",
    _Status.TOO_CLOSE: f"{{one:.0f}} nodes stand at {{two:.0f}} place(s); nodes within {SAME_PLACE_M:g} m count once, "
    f"and {MIN_NODES} places are needed",
    _Status.ON_A_LINE: "the {one:.0f} nodes stand on a line; both sides of it explain the sound equally well",
    _Status.NO_ROOT: "no place explains the arrival times of these {one:.0f} nodes; a time, a site or an echo is wrong",
    _Status.OUT_OF_HEARING: "the best place is more than {one:g} m from the nodes that heard it",
    _Status.TWO_ROOTS: "three nodes leave {one:.0f} places that explain them exactly; a fourth node decides",
    _Status.FEW_AGREE: "only {one:.0f} of {two:.0f} arrivals agree on one place; they are not one shot",
    _Status.UNFIXED: "seen from the best place, the {one:.0f} nodes that agree on it do not fix it; "
    "a node in another direction would",
}


def _not_finite(batch: ArrivalBatch, shot: int, which: int) -> str:
    row = int(batch.first[shot]) + which
    name = batch.arrivals[shot][which].uid if batch.arrivals else f"number {which}"
    x_m, y_m, z_m = batch.site_m[row].tolist()
    return (
        f"arrival {name} has a value that is not finite (site {x_m}, {y_m}, {z_m} m, "
        f"sigma {batch.site_sigma_m[row]} m; time sigma {batch.sigma_s[row]} s), or a negative sigma; "
        "correct it or leave it out"
    )


def _verdict(arrival: Arrival, residual_s: float, standardised: float, outlier_sigma: float) -> ArrivalVerdict:
    if math.isnan(standardised):
        return ArrivalVerdict(arrival, math.nan, False, "later arrival of a node already heard")
    if abs(standardised) <= outlier_sigma:
        return ArrivalVerdict(arrival, residual_s, True)
    later = "later, likely an echo or a blocked path"
    earlier = "earlier, likely another sound or a wrong clock"
    reason = f"{abs(residual_s) * 1e3:.0f} ms ({abs(standardised):.1f} sigma) {later if residual_s > 0 else earlier}"
    return ArrivalVerdict(arrival, residual_s, False, reason)


def locate_batch(
    batch: ArrivalBatch,
    *,
    weather: Weather,
    settings: LocateSettings | None = None,
    ground: Ground | None = None,
    regions: bool = True,
) -> Fixes:
    """Locate many shots heard in the same weather; each as `fusion_server.locate.locate` would alone, to the bit.

    Parameters
    ----------
    batch : ArrivalBatch
    weather : Weather
    settings : LocateSettings, optional
    ground : Ground, optional
        Where sources are on it, or free about it; without, and where their height is known, they are at
        ``settings.height_m``.
    regions : bool
        Whether to look closer, at some milliseconds each, where an ellipse does not tell where the shot may have been;
        without, the errors of such fixes are not to be used.
    """
    settings = settings or LocateSettings()
    if ground is None or settings.height is Height.KNOWN:
        ground = Ground.level(settings.height_m)
    air = _Air(weather.speed_of_sound_mps, *weather.wind_enu_mps)
    model = posterior_model(weather, settings, ground)
    heights = _LEVEL if settings.height is Height.PLANAR else np.ascontiguousarray(ground.height_m)
    scatter = _Scatter(
        settings.path_sigma_s,
        settings.path_freedom,
        settings.pick_sigma_s,
        settings.systematic_sigma_m,
        settings.outlier_sigma,
    )
    n_shots, n_arrivals = len(batch), len(batch.node)
    fixes = Fixes(
        batch=batch,
        weather=weather,
        settings=settings,
        status=np.zeros(n_shots, dtype=np.int64),
        detail=np.zeros((n_shots, 2)),
        figures=np.full((n_shots, _FIGURES), np.nan),
        roots=np.full((n_shots, MOST_MODES, 4), np.nan),
        residual_s=np.full(n_arrivals, np.nan),
        standardised=np.full(n_arrivals, np.nan),
        bent=np.zeros(n_shots, dtype=np.bool_),
        cells={},
    )
    columns = _Columns(
        batch.first,
        batch.node,
        batch.site_m if settings.height is not Height.PLANAR else _flattened(batch.site_m),
        batch.site_sigma_m,
        batch.sigma_s,
        batch.snr_db,
        batch.level_db,
        batch.time_ns,
    )
    answers = _Answers(
        fixes.status,
        fixes.detail,
        fixes.figures,
        fixes.roots,
        fixes.residual_s,
        fixes.standardised,
        fixes.bent,
    )
    _locate_all(columns, air, model, scatter, heights, answers)
    for shot in np.flatnonzero(fixes.bent).tolist() if regions else ():
        places, corners, log_density, mass = _bend(columns, air, model, scatter, heights, answers, shot)
        order = np.argsort(-log_density, kind="stable")
        fixes.cells[shot] = Cells(places[order], corners[order], mass[order])
    return fixes


_LEVEL = np.zeros((1, 1))


def _flattened(site_m: FloatArray) -> FloatArray:
    """Return sites at height 0, but for heights that are no numbers: those are to be complained of."""
    flat = site_m.copy()
    flat[np.isfinite(flat[:, 2]), 2] = 0.0
    return flat


class _Air(NamedTuple):
    speed_mps: float
    east_mps: float
    north_mps: float


class _Scatter(NamedTuple):
    path_s: float
    path_freedom: float
    pick_s: float
    systematic_m: float
    outlier_sigma: float


class _Columns(NamedTuple):
    first: IntArray
    node: IntArray
    site_m: FloatArray
    site_sigma_m: FloatArray
    sigma_s: FloatArray
    snr_db: FloatArray
    level_db: FloatArray
    time_ns: IntArray


class _Answers(NamedTuple):
    """The columns of `Fixes` that the compiled loop fills."""

    status: IntArray
    detail: FloatArray
    figures: FloatArray
    roots: FloatArray
    residual_s: FloatArray
    standardised: FloatArray
    bent: NDArray[np.bool_]


def posterior_model(weather: Weather, settings: LocateSettings, ground: Ground) -> Model:
    """Return the figures of the posterior that settings and weather make."""
    warmth, wind = weather.temperature_sigma_c, weather.wind_sigma_mps
    return Model(
        speed_mps=weather.speed_of_sound_mps,
        speed_error_sigma=max(
            settings.speed_error_sigma if warmth is None else warmth * 0.5 / kelvin_from_celsius(weather.temperature_c),
            _LEAST_SPEED_ERROR,
        ),
        wind_error_sigma_mps=max(
            math.hypot(
                settings.wind_error_sigma_mps if wind is None else wind, settings.wind_share * weather.wind_speed_mps
            ),
            _LEAST_WIND_ERROR_MPS,
        ),
        outlier_late=settings.outlier_late,
        outlier_early=settings.outlier_early,
        level_slope_db=settings.level_slope_db,
        level_sigma_db=settings.level_sigma_db,
        hearing_range_m=settings.hearing_range_m,
        height_sigma_m=settings.height_sigma_m,
        unknowns=7 if settings.height is Height.FREE else 6,
        ground_x_m=ground.x_m,
        ground_y_m=ground.y_m,
        ground_cell_m=ground.cell_m,
    )


@compiled
def _locate_all(
    columns: _Columns, air: _Air, model: Model, scatter: _Scatter, ground: FloatArray, answers: _Answers
) -> None:
    modes, costs = np.empty((MOST_MODES, STATE)), np.empty(MOST_MODES)
    for shot in range(len(columns.first) - 1):
        rows, status = _screen(columns, model, answers, shot)
        answers.status[shot] = status
        if status == 0:
            answers.status[shot] = _locate_one(columns, air, model, scatter, ground, answers, shot, rows, modes, costs)


@compiled
def _screen(columns: _Columns, model: Model, answers: _Answers, shot: int) -> tuple[IntArray, int]:
    """Return the rows of the first arrival of each node of a shot, and why there can be no fix, or 0."""
    begin, end = columns.first[shot], columns.first[shot + 1]
    rows = np.empty(end - begin, dtype=np.int64)
    n_nodes = 0
    for row in range(begin, end):
        finite = math.isfinite(columns.site_sigma_m[row]) and math.isfinite(columns.sigma_s[row])
        for axis in range(3):
            finite = finite and math.isfinite(columns.site_m[row, axis])
        if not finite or columns.site_sigma_m[row] < 0.0 or columns.sigma_s[row] < 0.0:
            answers.detail[shot, 0] = row - begin
            return rows, _Status.NOT_FINITE.value
        again = False
        for other in range(n_nodes):
            again = again or columns.node[rows[other]] == columns.node[row]
        if not again:
            rows[n_nodes] = row
            n_nodes += 1
    rows = rows[:n_nodes]
    answers.detail[shot, 0] = n_nodes
    if n_nodes < MIN_NODES:
        return rows, _Status.TOO_FEW.value
    span_s = (columns.time_ns[rows[n_nodes - 1]] - columns.time_ns[rows[0]]) / NS_PER_S
    longest_s = _ROOM * model.hearing_range_m / model.speed_mps
    if span_s > longest_s:
        answers.detail[shot, 0], answers.detail[shot, 1] = span_s, longest_s
        return rows, _Status.TOO_LONG.value
    n_places = 0
    mean_x, mean_y = 0.0, 0.0
    for node in range(n_nodes):
        x, y = columns.site_m[rows[node], 0], columns.site_m[rows[node], 1]
        mean_x += x / n_nodes
        mean_y += y / n_nodes
        own = True
        for other in range(node):
            apart = math.hypot(x - columns.site_m[rows[other], 0], y - columns.site_m[rows[other], 1])
            own = own and apart > SAME_PLACE_M
        n_places += own
    if n_places < MIN_NODES:
        answers.detail[shot, 1] = n_places
        return rows, _Status.TOO_CLOSE.value
    xx, xy, yy = 0.0, 0.0, 0.0
    for node in range(n_nodes):
        x, y = columns.site_m[rows[node], 0] - mean_x, columns.site_m[rows[node], 1] - mean_y
        xx += x * x
        xy += x * y
        yy += y * y
    major, minor, _ = principal_axes(xx, xy, yy)
    if minor < _FLAT_RATIO * _FLAT_RATIO * major:
        return rows, _Status.ON_A_LINE.value
    return rows, 0


@compiled
def _frame(
    columns: _Columns, air: _Air, scatter: _Scatter, rows: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, float, float]:
    """Return sites in the moving frame about their middle, pseudoranges, sigmas, levels, and the middle."""
    n_nodes = len(rows)
    sites, rho = np.empty((n_nodes, 3)), np.empty(n_nodes)
    sigma, level_db = np.empty(n_nodes), np.empty(n_nodes)
    x_m, y_m = 0.0, 0.0
    for node in range(n_nodes):
        x_m += columns.site_m[rows[node], 0] / n_nodes
        y_m += columns.site_m[rows[node], 1] / n_nodes
    for node in range(n_nodes):
        row = rows[node]
        delay_s = (columns.time_ns[row] - columns.time_ns[rows[0]]) / NS_PER_S
        sites[node, 0] = columns.site_m[row, 0] - x_m - air.east_mps * delay_s
        sites[node, 1] = columns.site_m[row, 1] - y_m - air.north_mps * delay_s
        sites[node, 2] = columns.site_m[row, 2]
        rho[node] = air.speed_mps * delay_s
        pick_s = scatter.pick_s
        if math.isfinite(columns.snr_db[row]):
            pick_s *= 10.0 ** (_PICK_DECADES * (20.0 - min(max(columns.snr_db[row], 0.0), 60.0)))
        timing_sq = columns.sigma_s[row] ** 2 + pick_s**2 + scatter.path_s**2
        sigma[node] = math.sqrt(air.speed_mps**2 * timing_sq + columns.site_sigma_m[row] ** 2)
        level_db[node] = columns.level_db[row]
    return sites, rho, sigma, level_db, x_m, y_m


@compiled
def _shifted(model: Model, x_m: float, y_m: float) -> Model:
    """Return the model with its ground in the frame about the middle of the nodes."""
    return Model(
        model.speed_mps,
        model.speed_error_sigma,
        model.wind_error_sigma_mps,
        model.outlier_late,
        model.outlier_early,
        model.level_slope_db,
        model.level_sigma_db,
        model.hearing_range_m,
        model.height_sigma_m,
        model.unknowns,
        model.ground_x_m - x_m,
        model.ground_y_m - y_m,
        model.ground_cell_m,
    )


@compiled
def _locate_one(
    columns: _Columns,
    air: _Air,
    model: Model,
    scatter: _Scatter,
    ground: FloatArray,
    answers: _Answers,
    shot: int,
    rows: IntArray,
    modes: FloatArray,
    costs: FloatArray,
) -> int:
    """Fill in the answers about one shot that passed the screen; return its status."""
    sites, rho, sigma, level_db, x_m, y_m = _frame(columns, air, scatter, rows)
    model = _shifted(model, x_m, y_m)
    n_nodes, n = len(rows), model.unknowns
    n_modes = find_modes(sites, rho, sigma, model, ground, modes, costs)
    if n_modes == 0:
        return _Status.NO_ROOT.value
    normal, gradient = np.empty((STATE, STATE)), np.empty(STATE)
    covariance = np.empty((STATE, STATE))
    everybody = np.ones(n_nodes, dtype=np.bool_)
    log_weight = np.full(n_modes, -np.inf)
    best = -1
    for mode in range(n_modes):
        nearest = np.inf
        for node in range(n_nodes):
            nearest = min(nearest, math.hypot(modes[mode, 0] - sites[node, 0], modes[mode, 1] - sites[node, 1]))
        if nearest > model.hearing_range_m:
            continue
        linearise(modes[mode], sites, rho, sigma, model, 1.0, n, 0, normal, gradient)
        if not factorise(normal, n):
            continue
        log_weight[mode] = level_log_density(modes[mode], sites, level_db, everybody, model) - costs[mode]
        for i in range(n):
            log_weight[mode] -= math.log(normal[i, i])
        if best < 0 or log_weight[mode] > log_weight[best]:
            best = mode
    if best < 0:
        answers.detail[shot, 0] = model.hearing_range_m
        return _Status.OUT_OF_HEARING.value
    weight = np.exp(log_weight - log_weight[best])
    answers.figures[shot, _LOG_EVIDENCE] = log_weight[best] + math.log(weight.sum())
    weight /= weight.sum()
    order = np.argsort(-weight, kind="mergesort")
    n_modes = 0
    for mode in order:
        if weight[mode] >= _LEAST_WEIGHT or (n_nodes == MIN_NODES and weight[mode] > 0.0):
            drift = modes[mode, 2] / air.speed_mps
            answers.roots[shot, n_modes, 0] = modes[mode, 0] + x_m + air.east_mps * drift
            answers.roots[shot, n_modes, 1] = modes[mode, 1] + y_m + air.north_mps * drift
            answers.roots[shot, n_modes, 2] = drift
            answers.roots[shot, n_modes, 3] = weight[mode]
            n_modes += 1
    if n_nodes == MIN_NODES and n_modes > 1:
        answers.detail[shot, 0] = n_modes
        return _Status.TWO_ROOTS.value
    state = modes[best]

    # What is set aside adds no confidence.
    directions = np.empty((n_nodes, 2))
    used = np.zeros(n_nodes, dtype=np.bool_)
    n_used, chi_sq, square = 0, 0.0, 0.0
    for node in range(n_nodes):
        dx, dy, dz = state[0] - sites[node, 0], state[1] - sites[node, 1], state[6] - sites[node, 2]
        d = math.sqrt(dx * dx + dy * dy + dz * dz)
        residual = rho[node] - state[2] - d * (1.0 - state[3]) - (dx * state[4] + dy * state[5]) / model.speed_mps
        z = residual / sigma[node]
        answers.residual_s[rows[node]] = residual / air.speed_mps
        answers.standardised[rows[node]] = z
        if abs(z) <= scatter.outlier_sigma:
            used[node] = True
            flat = max(math.hypot(dx, dy), 1e-9)
            directions[n_used, 0], directions[n_used, 1] = dx / flat, dy / flat
            n_used += 1
            chi_sq += (STUDENT_NU + 1.0) / (STUDENT_NU + z * z) * z * z
            square += residual * residual
    if n_used < MIN_NODES or 2 * n_used <= n_nodes:
        answers.detail[shot, 0], answers.detail[shot, 1] = n_used, n_nodes
        return _Status.FEW_AGREE.value
    dop = horizontal_dop(directions[:n_used])
    if math.isinf(dop):
        answers.detail[shot, 0] = n_used
        return _Status.UNFIXED.value
    # Three nodes cannot contradict their fix: the prior alone says how large residuals are.
    excess = _excess(chi_sq, n_used, n, scatter)
    information(state, sites, sigma, used, model, excess, normal)
    if not factorise(normal, n):
        answers.detail[shot, 0] = n_used
        return _Status.UNFIXED.value
    inverse(normal, n, covariance)
    xx, xy, yy = covariance[0, 0], covariance[0, 1], covariance[1, 1]
    figures = answers.figures[shot]
    figures[_X], figures[_Y] = answers.roots[shot, 0, 0], answers.roots[shot, 0, 1]
    figures[_Z] = state[6]
    figures[_Z_SIGMA] = math.sqrt(covariance[6, 6]) if n == 7 else 0.0
    figures[_OFFSET_S] = answers.roots[shot, 0, 2]
    figures[_OFFSET_SIGMA_S] = math.sqrt(covariance[2, 2]) / air.speed_mps
    figures[_GDOP] = dop
    figures[_RMS_S] = math.sqrt(square / n_used) / air.speed_mps
    if _is_bent(state, costs[best], xx, xy, yy, sites, rho, sigma, model, excess) or (
        n_modes > 1 and answers.roots[shot, 0, 3] < _WHOLE_MASS
    ):
        answers.bent[shot] = True
        figures[_XX], figures[_XY], figures[_YY] = xx, xy, yy
        return 0
    _say_error(figures, xx, xy, yy, scatter)
    return 0


@compiled
def _excess(chi_sq: float, n_used: int, n: int, scatter: _Scatter) -> float:
    """Return the variance of this shot's residuals over what was expected, shrunk towards 1."""
    freedom = max(0, n_used - (3 if n == 6 else 4))
    if freedom == 0:
        return 1.0
    return (scatter.path_freedom + chi_sq) / (scatter.path_freedom + freedom)


@compiled
def _say_error(figures: FloatArray, xx: float, xy: float, yy: float, scatter: _Scatter) -> None:
    """Fill in the covariance, systematic term included."""
    systematic = scatter.systematic_m**2
    figures[_XX], figures[_XY], figures[_YY] = xx + systematic, xy, yy + systematic


@compiled
def _is_bent(
    state: FloatArray,
    cost: float,
    xx: float,
    xy: float,
    yy: float,
    sites: FloatArray,
    rho: FloatArray,
    sigma: FloatArray,
    model: Model,
    excess: float,
) -> bool:
    """Say whether the log posterior two sigma to either side along the ellipse is far from what a normal one has."""
    major, _, angle = principal_axes(xx, xy, yy)
    reach = 2.0 * math.sqrt(major)
    # Ranges bend by no more than reach² / 2 d: nothing to look at where that is little beside their sigmas.
    straight = True
    for node in range(len(rho)):
        d = math.hypot(state[0] - sites[node, 0], state[1] - sites[node, 1])
        straight = straight and 0.5 * reach * reach <= _STRAIGHT * sigma[node] * max(d, 1.0)
    if straight:
        return False
    for side in (-1.0, 1.0):
        there = state.copy()
        there[0] += side * reach * math.cos(angle)
        there[1] += side * reach * math.sin(angle)
        rise = climb(there, sites, rho, sigma, model, 1.0, model.unknowns, 2, 0.1, 12) - cost
        if not _BENT[0] * 2.0 < rise * excess < _BENT[1] * 2.0:
            return True
    return False


@compiled
def _bend(
    columns: _Columns,
    air: _Air,
    model: Model,
    scatter: _Scatter,
    ground: FloatArray,
    answers: _Answers,
    shot: int,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Replace the error of a bent fix by an ellipse that holds 95 % of its posterior; return that, on squares."""
    rows, _ = _screen(columns, model, answers, shot)
    sites, rho, sigma, level_db, x_m, y_m = _frame(columns, air, scatter, rows)
    model = _shifted(model, x_m, y_m)
    used = np.zeros(len(rows), dtype=np.bool_)
    n_used, chi_sq = 0, 0.0
    for node in range(len(rows)):
        if abs(answers.standardised[rows[node]]) <= scatter.outlier_sigma:
            used[node] = True
            n_used += 1
            z_sq = answers.standardised[rows[node]] ** 2
            chi_sq += (STUDENT_NU + 1.0) / (STUDENT_NU + z_sq) * z_sq
    wide = sigma * math.sqrt(_excess(chi_sq, n_used, model.unknowns, scatter))
    figures = answers.figures[shot]
    drift = figures[_OFFSET_S]
    east, north = x_m + air.east_mps * drift, y_m + air.north_mps * drift
    bearing_rad = math.atan2(figures[_Y] - north, figures[_X] - east)
    cells, log_density, mass = posterior_cells(sites, rho, wide, level_db, used, model, ground, bearing_rad)
    places, corners = np.empty((len(mass), 2)), np.empty((len(mass), 4, 2))
    for cell in range(len(mass)):
        away, bearing = cells[cell, 0], cells[cell, 1]
        places[cell, 0] = east + math.exp(away) * math.cos(bearing)
        places[cell, 1] = north + math.exp(away) * math.sin(bearing)
        for corner in range(4):
            reach = math.exp(away + (0.5 if corner in (1, 2) else -0.5) * cells[cell, 2])
            angle = bearing + (0.5 if corner >= 2 else -0.5) * cells[cell, 3]
            corners[cell, corner, 0] = east + reach * math.cos(angle)
            corners[cell, corner, 1] = north + reach * math.sin(angle)
    xx, xy, yy = 0.0, 0.0, 0.0
    for cell in range(len(mass)):
        dx, dy = places[cell, 0] - figures[_X], places[cell, 1] - figures[_Y]
        xx += mass[cell] * dx * dx
        xy += mass[cell] * dx * dy
        yy += mass[cell] * dy * dy
    # The tails are not those of a normal: the ellipse of these moments is scaled until it holds what it says.
    determinant = xx * yy - xy * xy
    square = np.empty(len(mass))
    for cell in range(len(mass)):
        dx, dy = places[cell, 0] - figures[_X], places[cell, 1] - figures[_Y]
        square[cell] = (yy * dx * dx - 2.0 * xy * dx * dy + xx * dy * dy) / determinant
    order = np.argsort(square, kind="mergesort")
    held, last = 0.0, 0
    for cell in order:
        held += mass[cell]
        last = cell
        if held >= _WHOLE_MASS:
            break
    scale = square[last] / _CHI_SQ_95
    _say_error(figures, xx * scale, xy * scale, yy * scale, scatter)
    return places, corners, log_density, mass
