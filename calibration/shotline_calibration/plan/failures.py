"""What each node is worth: the plan without it, one node at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import msgspec
import numpy as np
from numpy.typing import NDArray

from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.planner import CellFigures, Planner
from shotline_calibration.plan.situation import PlannedNode
from shotline_calibration.plan.summary import COVERED, summary
from shotline_recordings.work import Progress

__all__ = ["Failure", "Failures", "failures", "without"]


class Failure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the loss of one node would cost.

    Parameters
    ----------
    node : str
    covered_km2, detect_probability, goal_probability : float
        By so much less.
    cep95_m : float | None
        By so much more, median over the cells covered before; None where nothing is covered, or not any more.
    """

    node: str
    covered_km2: float
    detect_probability: float
    goal_probability: float
    cep95_m: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Failures:
    """Every single failure.

    Parameters
    ----------
    each : tuple of Failure
        The costliest first.
    worst_loss : ndarray, shape (n_cells,), float64
        Of each cell, what the worst single failure takes from the probability to find a shot there.
    """

    each: tuple[Failure, ...]
    worst_loss: NDArray[np.float64]


def without(
    planner: Planner, nodes: Sequence[PlannedNode], gone: Sequence[PlannedNode], whole: CellFigures
) -> CellFigures:
    """Return the figures without some nodes, from those with all of them: only what they can change is worked out."""
    if not gone:
        return whole
    some = np.unique(np.concatenate([planner.cells_near(node) for node in gone]))
    names = {node.site.node for node in gone}
    fresh = planner.figures([node for node in nodes if node.site.node not in names], some=some)
    made = {}
    for item in fields(CellFigures):
        values = getattr(whole, item.name).copy()
        values[some] = getattr(fresh, item.name)
        made[item.name] = values
    return CellFigures(**made)


def failures(planner: Planner, nodes: Sequence[PlannedNode], *, progress: Progress = lambda *_: None) -> Failures:
    """Return what the loss of each node would cost; nodes that failed already are none.

    Parameters
    ----------
    planner : Planner
        A coarse one will do.
    nodes : sequence of PlannedNode
    progress : callable (what, done, of_how_many)
    """
    working = [node for node in nodes if not node.failed]
    whole = planner.figures(working)
    worst = np.zeros(len(planner.cells))
    found = []
    for done, node in enumerate(working, start=1):
        left = without(planner, working, [node], whole)
        worst = np.maximum(worst, whole.detect_probability - left.detect_probability)
        found.append(_cost(node.site.node, planner.cells, whole, left))
        progress("failures", done, len(working))
    found.sort(key=lambda item: (-item.goal_probability, -item.detect_probability, item.node))
    return Failures(tuple(found), worst)


def _cost(node: str, cells: Cells, whole: CellFigures, left: CellFigures) -> Failure:
    before, after = summary(whole, cells), summary(left, cells)
    covered = whole.detect_probability >= COVERED
    larger = float(np.median((left.cep95_m - whole.cep95_m)[covered])) if covered.any() else np.inf
    return Failure(
        node=node,
        covered_km2=round(before.covered_km2 - after.covered_km2, 4),
        detect_probability=round(before.detect_probability - after.detect_probability, 4),
        goal_probability=round(before.goal_probability - after.goal_probability, 4),
        cep95_m=round(larger, 2) if np.isfinite(larger) else None,
    )
