"""Curves of an explanation: where a difference of arrival times puts a source, and the outlines of an error. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray

from shotline.domain import Ellipse, Site

__all__ = ["Strip", "ellipse_ring_m", "inside_hull", "isochrone_m", "strip_of"]

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Strip:
    """The smallest rectangle about a region. ``orientation_deg``: its long side, degrees clockwise from north."""

    width_m: float
    length_m: float
    orientation_deg: float


def isochrone_m(
    first: Site,
    other: Site,
    *,
    delay_s: float,
    speed_of_sound_mps: float,
    wind_mps: tuple[float, float],
    reach_m: float,
    height_m: float | None = None,
    n_points: int = 241,
) -> FloatArray:
    """Return the places from which a sound reaches ``other`` by ``delay_s`` later than ``first``.

    In still air and in the plane it is a branch of a hyperbola about the two nodes. Otherwise, with s the travel time
    to ``first`` (at p), seen from the air that moves with the wind w, the source is c s from p and c (s + delay) from
    other - w delay: two circles, whose intersections are, in s, again a hyperbola. Each is taken back to the ground by
    -w s. `shotline.propagation.travel_time_s` agrees with every point.

    Parameters
    ----------
    first, other : Site
    delay_s : float
        Arrival time at ``other`` minus that at ``first``.
    speed_of_sound_mps : float
        In still air.
    wind_mps : tuple of float
        Velocity of the air (east, north), slower than sound.
    reach_m : float
        The curve ends this far, in travelled distance, from ``first``.
    height_m : float | None
        Height of the source, for slant paths to the nodes; None puts everything in one plane.
    n_points : int
        Odd, so that the point next to the nodes is among them.

    Returns
    -------
    ndarray, shape (n_points, 2) or (0, 2), float64
        East and north in the local frame, from one end to the other. Empty when the delay is longer than sound needs
        between the two nodes, or when the curve is out of reach.
    """
    nowhere = np.empty((0, 2))
    wind = np.array(wind_mps)
    start = np.array([first.x_m, first.y_m])
    baseline = np.array([other.x_m, other.y_m]) - wind * delay_s - start
    length_m = float(np.hypot(*baseline))
    range_m = speed_of_sound_mps * delay_s
    if not length_m > abs(range_m):
        return nowhere
    up_first_m, up_other_m = (0.0, 0.0) if height_m is None else (first.z_m - height_m, other.z_m - height_m)
    # Along the baseline: alpha + beta s, from the difference of the two circles. Across: +- sqrt of a quadratic in s.
    alpha_m = (length_m**2 - range_m**2 - up_first_m**2 + up_other_m**2) / (2.0 * length_m)
    beta_mps = -speed_of_sound_mps * range_m / length_m
    opening = speed_of_sound_mps**2 - beta_mps**2
    centre_s = alpha_m * beta_mps / opening
    half_s = math.sqrt(centre_s**2 + (up_first_m**2 + alpha_m**2) / opening)
    longest = (reach_m / speed_of_sound_mps - centre_s) / max(half_s, 1e-12)
    if longest <= 1.0:
        return nowhere
    parameter = np.linspace(-math.acosh(longest), math.acosh(longest), n_points)
    travel_s = centre_s + half_s * np.cosh(parameter)
    along_m = alpha_m + beta_mps * travel_s
    across_m = math.sqrt(opening) * half_s * np.sinh(parameter)
    unit = baseline / length_m
    normal = np.array([-unit[1], unit[0]])
    places: FloatArray = start + along_m[:, None] * unit + across_m[:, None] * normal - travel_s[:, None] * wind
    return places


def ellipse_ring_m(x_m: float, y_m: float, ellipse: Ellipse, *, n_points: int = 181) -> FloatArray:
    """Return the outline of an ellipse about a place, shape (n_points, 2), east and north; the last point is the first.

    The orientation of an `Ellipse` counts clockwise from north.
    """
    angle = np.linspace(0.0, 2.0 * math.pi, n_points)
    bearing = math.radians(ellipse.orientation_deg)
    major = ellipse.semi_major_m * np.cos(angle)
    minor = ellipse.semi_minor_m * np.sin(angle)
    ring: FloatArray = np.column_stack(
        [
            x_m + major * math.sin(bearing) + minor * math.cos(bearing),
            y_m + major * math.cos(bearing) - minor * math.sin(bearing),
        ]
    )
    return ring


def strip_of(ring: Sequence[tuple[float, float]]) -> Strip:
    """Return the smallest rectangle, at any angle, about a closed ring of at least three (x_m, y_m)."""
    corners = np.array(shapely.oriented_envelope(shapely.Polygon(ring)).exterior.coords)[:3]
    sides = np.diff(corners, axis=0)
    lengths_m = np.hypot(*sides.T)
    east_m, north_m = sides[int(np.argmax(lengths_m))]
    return Strip(
        width_m=float(lengths_m.min()),
        length_m=float(lengths_m.max()),
        orientation_deg=math.degrees(math.atan2(east_m, north_m)) % 180.0,
    )


def inside_hull(x_m: float, y_m: float, sites: Sequence[Site]) -> bool:
    """Return whether a place is within the nodes: in their convex hull, its border included."""
    hull = shapely.MultiPoint([(site.x_m, site.y_m) for site in sites]).convex_hull
    return bool(hull.covers(shapely.Point(x_m, y_m)))
