"""Sound that bends over an edge: Maekawa's curve, the double edge of ISO 9613-2, Kouyoumjian and Pathak's wedge.

References
----------
[Maekawa1968] fig. 4 and [KurzeAnderson1971] (attenuation by a screen); [ISO9613-2] eq. 15 (two edges);
[KouyoumjianPathak1974] eq. 25 to 33 (the wedge). See docs/references.md.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from shotline.propagation.faddeeva import faddeeva

__all__ = [
    "double_edge_factor",
    "fresnel_number",
    "maekawa_attenuation_db",
    "screen_diffraction",
    "wedge_diffraction",
]

_SCREEN_LIMIT_DB = 24.0
_LIT_LIMIT = -0.25


def fresnel_number(
    detour_m: float | NDArray[np.float64], frequency_hz: NDArray[np.float64], *, speed_of_sound_mps: float
) -> NDArray[np.float64]:
    """Return by how many half wavelengths the way over the edge is longer, N = 2 delta / lambda [Maekawa1968].

    Parameters
    ----------
    detour_m : float or ndarray, shape (n_paths, 1), float64
        Way over the edge less the straight way; negative where source and receiver see each other.
    frequency_hz : ndarray, shape (n_frequencies,), float64

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), float64
    """
    result: NDArray[np.float64] = 2.0 * np.asarray(detour_m) * np.asarray(frequency_hz) / speed_of_sound_mps
    return result


def maekawa_attenuation_db(
    fresnel_number: NDArray[np.float64], *, limit_db: float | None = _SCREEN_LIMIT_DB
) -> NDArray[np.float64]:
    """Return what a thin screen takes from a point source [KurzeAnderson1971's fit of Maekawa1968 fig. 4].

    5 + 20 lg(sqrt(2 pi N) / tanh sqrt(2 pi N)) dB in the shadow; where the source is seen (N < 0) the tangent replaces
    the hyperbolic one, which brings the attenuation to 0 at N = -0.19.

    Parameters
    ----------
    fresnel_number : ndarray, float64
        Any shape; the sign says shadow (positive) or light.
    limit_db : float or None
        The most a screen does outdoors, where turbulence scatters sound behind it: 24 dB for one edge. None: no limit.

    Returns
    -------
    ndarray, float64
        Decibels, not negative, same shape.
    """
    number = np.asarray(fresnel_number, dtype=np.float64)
    argument = np.maximum(np.sqrt(2.0 * np.pi * np.abs(np.maximum(number, _LIT_LIMIT))), 1e-9)
    ratio = np.where(number >= 0.0, argument / np.tanh(argument), argument / np.tan(argument))
    result = np.where(number <= _LIT_LIMIT, 0.0, np.maximum(5.0 + 20.0 * np.log10(ratio), 0.0))
    return result if limit_db is None else np.minimum(result, limit_db)


def double_edge_factor(
    frequency_hz: NDArray[np.float64], *, edge_separation_m: float | NDArray[np.float64], speed_of_sound_mps: float
) -> NDArray[np.float64]:
    """Return C3 = (1 + (5 lambda / e)²) / (1/3 + (5 lambda / e)²) of a barrier with two edges [ISO9613-2 eq. 15].

    The detour, and so the Fresnel number, is multiplied by it: 1 for a thin screen, 3 for a block that is many
    wavelengths thick. The limit of attenuation is then 25 dB.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
    edge_separation_m : float or ndarray, shape (n_paths, 1), float64
        From the first edge to the second, along the path; 0 is a thin screen.

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), float64
    """
    inverse_sq = (np.asarray(edge_separation_m) * np.asarray(frequency_hz) / (5.0 * speed_of_sound_mps)) ** 2
    result: NDArray[np.float64] = (1.0 + inverse_sq) / (1.0 + inverse_sq / 3.0)
    return result


def wedge_diffraction(
    frequency_hz: NDArray[np.float64],
    *,
    source_distance_m: float | NDArray[np.float64],
    receiver_distance_m: float | NDArray[np.float64],
    source_angle_rad: float | NDArray[np.float64],
    receiver_angle_rad: float | NDArray[np.float64],
    exterior_angle_rad: float | NDArray[np.float64],
    skew_angle_rad: float | NDArray[np.float64] = np.pi / 2.0,
    speed_of_sound_mps: float,
) -> NDArray[np.complex128]:
    """Return the spherical wave that a rigid wedge diffracts, over a free one of the same length.

    The pressure is factor * exp(-ikL) / L, with L the length of the way by the edge. It is the whole shadow field, and
    in the light what is added to the direct wave and to those that the two faces reflect (factor 1, image source).
    Uniform: it jumps at the boundary of each of them just as that wave comes or goes. Exactly on a boundary the value
    is the one of the dark side (the direct wave then counts as hidden). Asymptotic in kL' (L' of eq. 31 below):
    against the exact integral off by 0.015 at the most where kL' > 3, by 0.004 where kL' > 10.

    With n = exterior angle / pi, the four cotangents of [KouyoumjianPathak1974 eq. 25] times their transition functions
    (eq. 26) are written as one product, which no angle and no frequency makes singular: for the argument
    psi = (pi ± (phi ± phi')) / 2n, reduced to the nearest multiple of pi as epsilon,
    -1 / (2n) * sign(epsilon) cos(epsilon) sin(n |epsilon|) / sin |epsilon| * w(exp(3 pi i / 4) x),
    x = sqrt(2 k L') sin(n |epsilon|), w being Faddeeva's function and L' = d1 d2 sin²(skew) / (d1 + d2) (eq. 31).
    The sines of the skew cancel elsewhere.
    A source on a face is at its own image: the factor is then that of both together.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
        From 0 Hz on.
    source_distance_m, receiver_distance_m : float or ndarray, shape (n_paths, 1), float64
        To the point of the edge where the shortest way bends.
    source_angle_rad, receiver_angle_rad : float or ndarray, shape (n_paths, 1), float64
        Seen along the edge, from the same face, through the air: 0 to the exterior angle.
    exterior_angle_rad : float or ndarray, shape (n_paths, 1), float64
        Of the air between the faces: 3 pi / 2 for the corner of a house, 2 pi for a screen.
    skew_angle_rad : float or ndarray, shape (n_paths, 1), float64
        Between the path and the edge, the same before it and after; pi / 2 is across.

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), complex128
    """
    order = np.asarray(exterior_angle_rad) / np.pi
    before_m, after_m = np.asarray(source_distance_m), np.asarray(receiver_distance_m)
    spread_m = before_m * after_m / (before_m + after_m) * np.sin(skew_angle_rad) ** 2
    phase = np.sqrt(4.0 * np.pi * np.asarray(frequency_hz) / speed_of_sound_mps * spread_m)
    difference_rad = np.asarray(receiver_angle_rad) - np.asarray(source_angle_rad)
    sum_rad = np.asarray(receiver_angle_rad) + np.asarray(source_angle_rad)
    total: NDArray[np.complex128] = sum(
        (_wedge_term(angle_rad, order, phase) for angle_rad in (difference_rad, -difference_rad, sum_rad, -sum_rad)),
        start=np.zeros(1, dtype=np.complex128),
    )
    return total / (-2.0 * order)


def screen_diffraction(
    frequency_hz: NDArray[np.float64],
    *,
    source_distance_m: float | NDArray[np.float64],
    source_above_edge_m: float | NDArray[np.float64],
    receiver_distance_m: float | NDArray[np.float64],
    receiver_above_edge_m: float | NDArray[np.float64],
    along_edge_m: float | NDArray[np.float64] = 0.0,
    speed_of_sound_mps: float,
) -> NDArray[np.complex128]:
    """Return what a thin rigid screen diffracts over its upper edge: `wedge_diffraction` with an angle of 2 pi.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
        From 0 Hz on.
    source_distance_m, receiver_distance_m : float or ndarray, shape (n_paths, 1), float64
        From the plane of the screen, each on its own side, positive.
    source_above_edge_m, receiver_above_edge_m : float or ndarray, shape (n_paths, 1), float64
        Height above the edge; negative below it.
    along_edge_m : float or ndarray, shape (n_paths, 1), float64
        How far the receiver is from the source along the edge.

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), complex128
        Relative to a free wave of the length of the way by the edge.
    """
    before_m = np.hypot(source_distance_m, source_above_edge_m)
    after_m = np.hypot(receiver_distance_m, receiver_above_edge_m)
    across_m = before_m + after_m
    length_m = np.hypot(across_m, along_edge_m)
    return wedge_diffraction(
        frequency_hz,
        source_distance_m=before_m * length_m / across_m,
        receiver_distance_m=after_m * length_m / across_m,
        source_angle_rad=np.arctan2(source_distance_m, -np.asarray(source_above_edge_m)),
        receiver_angle_rad=2.0 * np.pi - np.arctan2(receiver_distance_m, -np.asarray(receiver_above_edge_m)),
        exterior_angle_rad=2.0 * np.pi,
        skew_angle_rad=np.arcsin(across_m / length_m),
        speed_of_sound_mps=speed_of_sound_mps,
    )


def _wedge_term(
    angle_rad: NDArray[np.float64], order: NDArray[np.float64], phase: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return one cotangent of eq. 25 with its transition function, over sqrt(2 pi k L') exp(i pi / 4)."""
    turn = (np.pi + angle_rad) / (2.0 * order)
    epsilon = turn - np.pi * np.round(turn / np.pi)
    size = np.maximum(np.abs(epsilon), 1e-30)
    reach = np.abs(np.sin(order * size))
    weight = np.where(epsilon > 0.0, 1.0, -1.0) * np.cos(size) * reach / np.sin(size)
    return weight * faddeeva(np.exp(0.75j * np.pi) * phase * reach)
