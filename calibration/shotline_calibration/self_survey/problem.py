"""What a self-survey is given and what it answers, as frozen values.

Positions are metres in the local frame (`shotline.geodesy.LocalFrame`); times are seconds from a common origin near the
impulses, so that a float64 keeps their nanoseconds; ``sigma_`` is one standard deviation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["AirPrior", "Impulse", "NodePrior", "SelfSurvey", "SurveySettings", "SurveyedNode", "check_problem"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class NodePrior:
    """What is known of a node before any sound.

    Parameters
    ----------
    node : str
    x_m, y_m, z_m : float
        Its surveyed position.
    sigma_m, sigma_z_m : float
        1-sigma of the position: of each horizontal axis, and of the height.
    clock_sigma_s : float
        1-sigma of the offset that its clock may keep through all impulses; 0.0 for a clock that is known to be right.
    """

    node: str
    x_m: float
    y_m: float
    z_m: float = 0.0
    sigma_m: float = 3.0
    sigma_z_m: float = 3.0
    clock_sigma_s: float = 0.005


@dataclass(frozen=True, slots=True)
class Impulse:
    """One sound that several nodes heard.

    Parameters
    ----------
    name : str
        For the reader.
    nodes : tuple of int
        Which nodes heard it, as indices of the list of nodes.
    arrival_s, sigma_s : tuple of float
        When each heard it, and 1-sigma of that without what the path adds.
    place_m : tuple of three floats, optional
        Where it was made, as far as known beforehand; None: unknown. Where only its height is known, the sigmas of
        the other two are infinite.
    place_sigma_m : tuple of three floats
        1-sigma of each axis of the place; infinite: nothing is known of it. The height of an unknown impulse is about
        the ground.
    made_s : float, optional
        When it was made, by a clock that is right; None: unknown.
    made_sigma_s : float
        1-sigma of that.
    air : int
        Which air it was heard through: impulses of one hour share it.
    """

    name: str
    nodes: tuple[int, ...]
    arrival_s: tuple[float, ...]
    sigma_s: tuple[float, ...]
    place_m: tuple[float, float, float] | None = None
    place_sigma_m: tuple[float, float, float] = (math.inf, math.inf, 2.0)
    made_s: float | None = None
    made_sigma_s: float = 0.001
    air: int = 0


@dataclass(frozen=True, slots=True)
class AirPrior:
    """What a thermometer and a wind vane say of the air between the nodes.

    Parameters
    ----------
    speed_mps, speed_sigma_mps : float
        Speed of sound in still air.
    wind_mps : tuple of two floats
        Velocity of the air, east and north.
    wind_sigma_mps : float
        1-sigma of each component.
    """

    speed_mps: float
    speed_sigma_mps: float
    wind_mps: tuple[float, float] = (0.0, 0.0)
    wind_sigma_mps: float = 1.0


@dataclass(frozen=True, slots=True)
class SurveySettings:
    """Settings of the adjustment.

    Parameters
    ----------
    path_sigma_s : float
        1-sigma of what a path adds to a travel time, as far as known; the residuals then say.
    path_freedom : float
        How much that weighs against the residuals, in degrees of freedom.
    outlier_sigma : float
        An arrival this far from the adjustment is set aside: an echo, or another sound.
    height_m : float
        Of unknown impulses, about.
    surprise_sigma : float
        A node whose surveyed position the sound contradicts by so much is solved without it.
    detour_share, detour_s : float
        How many arrivals come by a detour, where nothing is known yet, and how late those are on the mean.
    """

    path_sigma_s: float = 0.002
    path_freedom: float = 10.0
    outlier_sigma: float = 4.0
    height_m: float = 0.0
    surprise_sigma: float = 4.5
    detour_share: float = 0.02
    detour_s: float = 0.05


@dataclass(frozen=True, slots=True)
class SurveyedNode:
    """What the sound says of one node.

    Parameters
    ----------
    node : str
    x_m, y_m, z_m : float
    clock_offset_s : float
        Its clock is late by so much: true time = its time - offset.
    sigma_x_m, sigma_y_m, sigma_z_m, clock_sigma_s : float
    impulses : int
        How many arrivals of it were used.
    moved_m : float
        Horizontal distance from the surveyed position.
    surprise : float
        How many sigmas the surveyed position is from where the sound alone would put the node, two axes as one.
    prior_dropped : bool
        Whether its surveyed position was left out as contradicted.
    """

    node: str
    x_m: float
    y_m: float
    z_m: float
    clock_offset_s: float
    sigma_x_m: float
    sigma_y_m: float
    sigma_z_m: float
    clock_sigma_s: float
    impulses: int
    moved_m: float
    surprise: float
    prior_dropped: bool


@dataclass(frozen=True, slots=True)
class SelfSurvey:
    """The adjustment.

    Parameters
    ----------
    nodes : tuple of SurveyedNode
    node_covariance : ndarray, shape (4 n, 4 n), float64
        Of x, y, z in metres and clock offset in seconds of each node in turn, with everything else marginalised.
    speed_mps, speed_sigma_mps : tuple of float
        Of each air.
    wind_mps : tuple of (float, float)
    wind_sigma_mps : tuple of (float, float)
    air_covariance_m2ps2 : ndarray, shape (n_airs, 3, 3), float64
        Of speed of sound, wind east and wind north of each air, everything else marginalised.
    places_m : ndarray, shape (n_impulses, 3), float64
    place_sigma_m : ndarray, shape (n_impulses, 3), float64
    emitted_s : ndarray, shape (n_impulses,), float64
    residual_s : tuple of ndarray
        Observed - predicted, of each impulse in the order of its nodes.
    used : tuple of ndarray
        Which arrivals were not set aside.
    path_sigma_s : float
        1-sigma of what paths add, as learned, or as given.
    redundancy : int
        Arrivals used less what was solved for from them.
    iterations : int
    """

    nodes: tuple[SurveyedNode, ...]
    node_covariance: FloatArray
    speed_mps: tuple[float, ...]
    speed_sigma_mps: tuple[float, ...]
    wind_mps: tuple[tuple[float, float], ...]
    wind_sigma_mps: tuple[tuple[float, float], ...]
    air_covariance_m2ps2: FloatArray
    places_m: FloatArray
    place_sigma_m: FloatArray
    emitted_s: FloatArray
    residual_s: tuple[FloatArray, ...]
    used: tuple[NDArray[np.bool_], ...]
    path_sigma_s: float
    redundancy: int
    iterations: int


def check_problem(nodes: list[NodePrior], impulses: list[Impulse], airs: list[AirPrior]) -> None:
    """Refuse what cannot be adjusted.

    Raises
    ------
    InputError
        Saying what was seen and what is wanted.
    """
    names = [node.node for node in nodes]
    if len(set(names)) != len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise InputError(f"node {', '.join(twice)} is given twice; give each once")
    if len(nodes) < 3:
        raise InputError(f"{len(nodes)} nodes; a self-survey needs three at least, and four to say much")
    for impulse in impulses:
        if not len(impulse.nodes) == len(impulse.arrival_s) == len(impulse.sigma_s):
            raise InputError(f"impulse '{impulse.name}' has not as many arrivals and sigmas as nodes")
        if not impulse.nodes:
            raise InputError(f"impulse '{impulse.name}' was heard by no node; leave it out")
        if len(set(impulse.nodes)) != len(impulse.nodes):
            raise InputError(f"impulse '{impulse.name}' names a node twice; give the first arrival of each")
        if not all(0 <= node < len(nodes) for node in impulse.nodes) or not 0 <= impulse.air < len(airs):
            raise InputError(f"impulse '{impulse.name}' names a node or an air that is not there")
        if not all(0.0 < sigma < math.inf for sigma in impulse.sigma_s):
            raise InputError(f"impulse '{impulse.name}' has a sigma that is not above zero")
        if not all(math.isfinite(time_s) for time_s in impulse.arrival_s):
            raise InputError(f"impulse '{impulse.name}' has an arrival that is no number")
        if impulse.made_s is not None and not (math.isfinite(impulse.made_s) and impulse.made_sigma_s > 0.0):
            raise InputError(f"impulse '{impulse.name}' was made at no time, or with a sigma that is not above zero")
    for node in nodes:
        if not (node.sigma_m > 0.0 and node.sigma_z_m > 0.0 and node.clock_sigma_s >= 0.0):
            raise InputError(f"node '{node.node}' has a sigma of its survey that is not above zero")
