"""Where nodes are said to be, against where they are."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["VERTICAL_FACTOR", "survey_error_m"]

VERTICAL_FACTOR = 1.7
"""Satellite heights are that much worse than horizontal positions, per axis (estimated from usual DOPs)."""


def survey_error_m(count: int, *, sigma_m: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw stated minus true positions of surveyed nodes.

    Parameters
    ----------
    count : int
        Nodes.
    sigma_m : float
        1-sigma error per horizontal axis; what `shotline.domain.Site` claims.
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (count, 3), float64
        East, north, up.
    """
    if not 0.0 <= sigma_m < np.inf:
        raise InputError(f"{sigma_m:g} m, expected a standard deviation of 0 or more", field="sigma_m")
    return rng.standard_normal((count, 3)) * (sigma_m * np.array([1.0, 1.0, VERTICAL_FACTOR]))
