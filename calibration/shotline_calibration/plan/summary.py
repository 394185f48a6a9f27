"""A plan in a few numbers."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.planner import CellFigures

__all__ = ["COVERED", "Summary", "summary"]

COVERED = 0.9
"""A place is covered when a shot there is found with this probability."""


class Summary(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a network is expected to do in an area; of shots spread evenly over it.

    Parameters
    ----------
    area_km2 : float
        Of the cells.
    covered_km2 : float
        Of those in which a shot is found with `COVERED` or more.
    enough_probability : float
        That enough nodes report a shot.
    detect_probability : float
        That it is found.
    goal_probability : float
        That it is found with a CEP95 no larger than wanted.
    expected_nodes : float
        How many nodes report it.
    cep95_m : float | None
        Median over the covered cells; None without any.
    """

    area_km2: float
    covered_km2: float
    enough_probability: float
    detect_probability: float
    goal_probability: float
    expected_nodes: float
    cep95_m: float | None = None


def summary(figures: CellFigures, cells: Cells) -> Summary:
    """Return the summary of the figures of all cells."""
    covered = figures.detect_probability >= COVERED
    cep95_m = float(np.median(figures.cep95_m[covered])) if covered.any() else math.inf
    return Summary(
        area_km2=round(cells.km2, 4),
        covered_km2=round(float(covered.mean()) * cells.km2, 4),
        enough_probability=round(float(figures.enough_probability.mean()), 4),
        detect_probability=round(float(figures.detect_probability.mean()), 4),
        goal_probability=round(float(figures.goal_probability.mean()), 4),
        expected_nodes=round(float(figures.expected_nodes.mean()), 3),
        cep95_m=round(cep95_m, 2) if math.isfinite(cep95_m) else None,
    )
