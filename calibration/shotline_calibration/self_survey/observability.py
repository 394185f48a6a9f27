"""What a self-survey can tell and what it cannot: each common motion of the network before and after the sound. Pure.

Arrivals at unknown places are blind to some motions of everything together: shifting all nodes and impulses, turning
them about a point, setting all clocks and all instants by the same. A wind is as good as blind: to first order it is a
tilt of the clocks, d t = r·w / c². A scale is told only as well as the speed of sound is known [Triggs2000 section 9].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from shotline_calibration.self_survey.problem import AirPrior, FloatArray, NodePrior, SelfSurvey

__all__ = ["Motion", "Told", "motions", "told_of"]

_TOLD = 0.5
_HARDLY = 0.9


class Told(StrEnum):
    """Whether the sound told something of a figure."""

    YES = "told"
    HARDLY = "hardly told"
    NO = "not told"


@dataclass(frozen=True, slots=True)
class Motion:
    """A figure of the whole network.

    Parameters
    ----------
    name : str
    unit : str
    sigma_before, sigma_after : float
        1-sigma of it as it was known beforehand, and with the sound.
    told : Told
    """

    name: str
    unit: str
    sigma_before: float
    sigma_after: float
    told: Told


def told_of(before: float, after: float) -> Told:
    """Return whether a sigma fell to half, by a tenth, or by less."""
    if after <= _TOLD * before:
        return Told.YES
    return Told.HARDLY if after <= _HARDLY * before else Told.NO


def motions(nodes: Sequence[NodePrior], airs: Sequence[AirPrior], survey: SelfSurvey) -> tuple[Motion, ...]:
    """Return the figures of the whole network, before and after.

    Parameters
    ----------
    nodes : sequence of NodePrior
    airs : sequence of AirPrior
    survey : SelfSurvey
        What `self_survey` made of them.
    """
    place = np.array([(node.x_m, node.y_m) for node in nodes])
    prior = np.concatenate([(n.sigma_m**2, n.sigma_m**2, n.sigma_z_m**2, n.clock_sigma_s**2) for n in nodes])
    figures = _functionals(place - place.mean(axis=0))
    found = []
    for name, (unit, weights) in figures.items():
        before = math.sqrt(float(weights**2 @ prior))
        after = math.sqrt(max(float(weights @ survey.node_covariance @ weights), 0.0))
        found.append(Motion(name, unit, before, after, told_of(before, after)))
    for index, air in enumerate(airs):
        which = f" of air {index + 1}" if len(airs) > 1 else ""
        rows = [("speed of sound", air.speed_sigma_mps, survey.speed_sigma_mps[index])]
        rows += [
            (f"wind {axis}", air.wind_sigma_mps, survey.wind_sigma_mps[index][number])
            for number, axis in enumerate(("east", "north"))
        ]
        found += [Motion(name + which, "m/s", before, after, told_of(before, after)) for name, before, after in rows]
    return tuple(found)


def _functionals(place: FloatArray) -> dict[str, tuple[str, FloatArray]]:
    """Return the weights of each node's x, y, z and clock in each figure, about the middle of the network."""
    n = len(place)
    square = float((place**2).sum())
    across = np.maximum((place**2).sum(axis=0), 1e-9)
    ones = np.ones(n)
    shapes = {
        "shift east": ("m", 0, ones / n),
        "shift north": ("m", 1, ones / n),
        "mean height": ("m", 2, ones / n),
        "clocks together": ("s", 3, ones / n),
        "clocks' tilt to the east": ("s/m", 3, place[:, 0] / across[0]),
        "clocks' tilt to the north": ("s/m", 3, place[:, 1] / across[1]),
    }
    found: dict[str, tuple[str, FloatArray]] = {}
    for name, (unit, column, weights) in shapes.items():
        whole = np.zeros((n, 4))
        whole[:, column] = weights
        found[name] = (unit, whole.ravel())
    turn, grow = np.zeros((n, 4)), np.zeros((n, 4))
    turn[:, 0], turn[:, 1] = -place[:, 1] / square, place[:, 0] / square
    grow[:, :2] = place / square
    found["turn"] = ("rad", turn.ravel())
    found["scale"] = ("1", grow.ravel())
    return found
