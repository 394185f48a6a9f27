"""From nodes to figures per cell: tables made once, then any set of nodes is judged on the same shots."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusion_server.associate.search import distinct_places
from fusion_server.engine import FusionSettings
from fusion_server.locate import Ground, Height
from fusion_server.locate.batch import posterior_model
from fusion_server.locate.kernel import ground_height_m
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.kernel import COLUMNS, Listeners, evaluate
from shotline_calibration.plan.levels import microphone, noise_db_spl
from shotline_calibration.plan.situation import PlannedNode, Situation
from shotline_calibration.plan.tables import rules_of, scenarios_of
from shotline_recordings.work import Progress

__all__ = ["DEFAULT_DRAWS", "DEFAULT_GOAL_M", "CellFigures", "Planner", "smoothed"]

FloatArray = NDArray[np.float64]

DEFAULT_DRAWS = 48
DEFAULT_GOAL_M = 25.0
"""CEP95 that is wanted: what the trade's figures count as located."""
_USUAL_ONSET_S = 0.1e-3
_CHUNK = 4_096


@dataclass(frozen=True, slots=True, eq=False)
class CellFigures:
    """Figures of cells: shape (n_cells,), float64 each.

    Parameters
    ----------
    enough_probability : ndarray
        That nodes at `min_nodes` places or more report a shot.
    detect_probability : ndarray
        And that association takes it.
    goal_probability : ndarray
        And that its CEP95 is no more than wanted.
    expected_nodes : ndarray
        How many report it on average.
    cep95_m, gdop : ndarray
        Medians over the shots that are found; infinite where none is.
    """

    enough_probability: FloatArray
    detect_probability: FloatArray
    goal_probability: FloatArray
    expected_nodes: FloatArray
    cep95_m: FloatArray
    gdop: FloatArray


def smoothed(figures: CellFigures, cells: Cells) -> CellFigures:
    """Return the figures for a map: what was drawn is averaged over neighbouring cells, which vary little.

    The probability that enough nodes report, and how many do, are exact and stay; the shares of those shots that are
    found, and found well, CEP95 and GDOP are means with a Gaussian weight of one cell, of the two latter in
    logarithms. Infinite ones stay.
    """
    enough = figures.enough_probability
    weight = _blurred(cells, enough)
    with np.errstate(invalid="ignore", divide="ignore"):
        found, good = (
            np.where(weight > 0.0, enough * _blurred(cells, values) / weight, 0.0)
            for values in (figures.detect_probability, figures.goal_probability)
        )
    logs = []
    for values in (figures.cep95_m, figures.gdop):
        finite = np.isfinite(values)
        mean = _blurred(cells, np.where(finite, np.log(np.where(finite, values, 1.0)), 0.0))
        share = _blurred(cells, finite.astype(np.float64))
        logs.append(np.where(finite, np.exp(mean / np.maximum(share, 1e-9)), np.inf))
    return CellFigures(enough, found, good, figures.expected_nodes, *logs)


def _blurred(cells: Cells, values: FloatArray) -> FloatArray:
    """Return sums over neighbours with a Gaussian weight; nothing outside the area counts."""
    from scipy.ndimage import gaussian_filter

    whole = np.nan_to_num(cells.grid(values), nan=0.0)
    blurred: FloatArray = gaussian_filter(whole, sigma=1.0, mode="constant").ravel()[cells.index]
    return blurred


class Planner:
    """Judges sets of nodes in one situation.

    Parameters
    ----------
    cells : Cells
        Where shots may be; every one is as likely.
    situation : Situation
    fusion : FusionSettings
        Of the server that is planned for.
    goal_m : float
        CEP95 that is wanted.
    draws : int
        Drawn shots a cell.
    ground : Ground | None
        That sources stand on; None: in the plane of the frame.
    seed : int
        Of the drawn shots.
    """

    def __init__(
        self,
        cells: Cells,
        situation: Situation,
        *,
        fusion: FusionSettings,
        goal_m: float = DEFAULT_GOAL_M,
        draws: int = DEFAULT_DRAWS,
        ground: Ground | None = None,
        seed: int = 0,
    ) -> None:
        self.cells = cells
        self.situation = situation
        self.fusion = fusion
        self.goal_m = goal_m
        self._draws = draws
        self._ground = ground if fusion.locate.height is not Height.PLANAR else None
        self._place_m = cells.place_m
        self._key = cells.index + (seed << 32)
        self._microphone = microphone(situation.microphone)
        self._noise: dict[tuple[float, float], float] = {}
        self._scenarios = scenarios_of(situation, draws=draws, reach_m=fusion.associate.reach_m)
        self._rules = rules_of(situation, fusion, goal_m)
        self._height_m = self._heights()

    def coarser(self, factor: int) -> Planner:
        """Return one that looks at every cell whose row and column are multiples of ``factor`` only."""
        row, column = np.divmod(self.cells.index, self.cells.columns)
        kept = np.flatnonzero((row % factor == factor // 2) & (column % factor == factor // 2))
        made = Planner.__new__(Planner)
        made.__dict__.update(self.__dict__)
        made.cells = replace(self.cells, index=self.cells.index[kept])
        made._place_m, made._key, made._height_m = self._place_m[kept], self._key[kept], self._height_m[kept]
        return made

    def cells_near(self, node: PlannedNode) -> NDArray[np.int64]:
        """Return the cells that a node has a say about, by position."""
        away_m = np.hypot(*(self._place_m - (node.site.x_m, node.site.y_m)).T)
        return np.flatnonzero(away_m <= self.fusion.associate.reach_m).astype(np.int64)

    def figures(
        self,
        nodes: Sequence[PlannedNode],
        *,
        some: NDArray[np.int64] | None = None,
        progress: Progress = lambda *_: None,
    ) -> CellFigures:
        """Return the figures of the cells.

        Parameters
        ----------
        nodes : sequence of PlannedNode
            Those that failed count for nothing.
        some : ndarray, int64, optional
            Positions of the cells that are wanted; all by default.
        progress : callable (what, done, of_how_many)
        """
        chosen = np.arange(len(self.cells)) if some is None else some
        out = np.zeros((len(chosen), len(COLUMNS)))
        out[:, 4:] = np.inf
        listeners = self._listeners([node for node in nodes if not node.failed])
        for first in range(0, len(chosen) if len(listeners.key) else 0, _CHUNK):
            rows = chosen[first : first + _CHUNK]
            evaluate(
                self._place_m[rows],
                self._key[rows],
                self._height_m[rows],
                listeners,
                self._scenarios,
                self._rules,
                out[first : first + _CHUNK],
            )
            progress("cells", min(first + _CHUNK, len(chosen)), len(chosen))
        return CellFigures(*(np.ascontiguousarray(column) for column in out.T))

    def _listeners(self, nodes: Sequence[PlannedNode]) -> Listeners:
        planar = self.fusion.locate.height is Height.PLANAR
        site_m = np.array(
            [(node.site.x_m, node.site.y_m, 0.0 if planar else node.site.z_m) for node in nodes], dtype=np.float64
        ).reshape(-1, 3)
        place = _places(site_m[:, :2])
        order = np.argsort(place, kind="stable")
        picked = [nodes[index] for index in order]
        return Listeners(
            site_m=np.ascontiguousarray(site_m[order]),
            key=np.array([_key_of(node.site.node) for node in picked], dtype=np.int64),
            noise_db_spl=np.array([self._noise_of(node) for node in picked], dtype=np.float64),
            timing_sigma_s=np.array(
                [math.hypot(node.clock_sigma_s, _USUAL_ONSET_S) for node in picked], dtype=np.float64
            ),
            site_sigma_m=np.array([node.site.sigma_m for node in picked], dtype=np.float64),
            place=place[order],
        )

    def _noise_of(self, node: PlannedNode) -> float:
        situation = self.situation
        level_dba = situation.around.noise_dba if situation.noise_dba is None else situation.noise_dba
        key = (level_dba if node.noise_dba is None else node.noise_dba, node.muffled_db)
        if key not in self._noise:
            self._noise[key] = noise_db_spl(
                key[0],
                around=situation.around,
                weather=situation.weather,
                heard_by=self._microphone,
                mast_m=situation.mast_m,
                muffled_db=node.muffled_db,
            )
        return self._noise[key]

    def _heights(self) -> FloatArray:
        locate = self.fusion.locate
        if locate.height is Height.KNOWN:
            return np.full(len(self.cells), locate.height_m)
        if self._ground is None:
            return np.zeros(len(self.cells))
        model = posterior_model(self.situation.weather, locate, self._ground)
        heights = np.ascontiguousarray(self._ground.height_m)
        return np.array([ground_height_m(x_m, y_m, model, heights) for x_m, y_m in self._place_m])


def _key_of(node: str) -> int:
    from zlib import crc32

    return crc32(node.encode("utf-8"))


def _places(sites_m: FloatArray) -> NDArray[np.int64]:
    """Return a number for each node, the same for those that stand at one place."""
    firsts = distinct_places(sites_m)
    if not firsts:
        return np.zeros(0, dtype=np.int64)
    away_m = np.hypot(*(sites_m[:, None, :] - sites_m[firsts][None, :, :]).transpose(2, 0, 1))
    return np.asarray(np.argmin(away_m, axis=1), dtype=np.int64)
