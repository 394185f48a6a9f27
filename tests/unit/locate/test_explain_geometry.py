"""Curves and outlines of an explanation, exactly."""

from __future__ import annotations

import math

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from locate_samples import STILL

import fusion_server.explain.geometry as geometry
from fusion_server.explain.geometry import ellipse_ring_m, inside_hull, isochrone_m, strip_of
from shotline.atmosphere import Weather
from shotline.domain import Ellipse, Site
from shotline.propagation import travel_time_s

QUIET = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)
REACH_M = 3_000.0
EXACT_S = 1e-9
"""Curves are closed forms; what remains is rounding, 1e-13 of some km."""
SPEED_MPS = STILL.speed_of_sound_mps
WEST, EAST = Site("west", -200.0, 0.0), Site("east", 200.0, 0.0)


def delay_between_s(
    first: Site, other: Site, places_m: np.ndarray, weather: Weather, height_m: float | None = None
) -> np.ndarray:
    """Return how much later the second node hears a source at each place, by the physics that everybody uses."""
    up = [0.0, 0.0] if height_m is None else [first.z_m - height_m, other.z_m - height_m]
    sites = np.array([(first.x_m, first.y_m, up[0]), (other.x_m, other.y_m, up[1])])
    sources = np.column_stack([places_m, np.zeros(len(places_m))])[:, None, :]
    wind = np.array([*weather.wind_enu_mps, 0.0])
    times_s = travel_time_s(sources, sites, speed_of_sound_mps=weather.speed_of_sound_mps, wind_mps=wind)
    return np.asarray(times_s[:, 1] - times_s[:, 0])


def curve(first: Site, other: Site, delay_s: float, weather: Weather, **more: float | None) -> np.ndarray:
    return isochrone_m(
        first,
        other,
        delay_s=delay_s,
        speed_of_sound_mps=weather.speed_of_sound_mps,
        wind_mps=weather.wind_enu_mps,
        **({"reach_m": REACH_M} | more),  # type: ignore[arg-type]
    )


def test_public_names_exist() -> None:
    assert all(hasattr(geometry, name) for name in geometry.__all__)


@QUIET
@given(seed=SEEDS, windy=st.booleans(), slanted=st.booleans())
def test_every_point_hears_the_difference_and_the_source_is_on_the_curve(seed: int, windy: bool, slanted: bool) -> None:
    rng = np.random.default_rng(seed)
    weather = Weather(20.0, float(rng.uniform(0, 20)), float(rng.uniform(0, 360))) if windy else STILL
    first, other = (Site(name, *rng.uniform(-400, 400, 2), float(rng.uniform(0, 60))) for name in "ab")
    height_m = float(rng.uniform(-20, 40)) if slanted else None
    source = rng.uniform(-600, 600, (1, 2))
    (delay_s,) = delay_between_s(first, other, source, weather, height_m)
    points = curve(first, other, float(delay_s), weather, height_m=height_m, n_points=4001)
    if not len(points):
        # Where slant paths differ by more than the nodes are apart on the ground, no such curve is drawn.
        assert slanted
        gap = np.array([other.x_m - first.x_m, other.y_m - first.y_m]) - np.array(weather.wind_enu_mps) * delay_s
        assert np.hypot(*gap) <= weather.speed_of_sound_mps * abs(delay_s)
        return
    assert np.abs(delay_between_s(first, other, points, weather, height_m) - delay_s).max() < EXACT_S
    # Points are a tenth of a metre to some metres apart here, and the curve is flat on that scale.
    assert shapely.LineString(points).distance(shapely.Point(source[0])) < 0.1


def test_in_still_air_it_is_a_hyperbola_with_the_nodes_as_foci() -> None:
    points = curve(WEST, EAST, 0.5, STILL)
    to_west, to_east = (np.hypot(points[:, 0] - site.x_m, points[:, 1]) for site in (WEST, EAST))
    half_m = 0.5 * 0.5 * SPEED_MPS
    assert to_east - to_west == pytest.approx(2 * half_m, abs=1e-9)
    assert points[len(points) // 2] == pytest.approx((-half_m, 0.0), abs=1e-9)
    assert points[0] == pytest.approx(points[-1] * (1.0, -1.0))
    assert to_west[0] == pytest.approx(REACH_M)


def test_heard_at_once_is_the_perpendicular_and_the_sign_picks_the_side() -> None:
    assert curve(WEST, EAST, 0.0, STILL)[:, 0] == pytest.approx(0.0, abs=1e-9)
    assert (curve(WEST, EAST, 0.3, STILL)[:, 0] < 0).all()
    assert (curve(WEST, EAST, -0.3, STILL)[:, 0] > 0).all()
    assert curve(EAST, WEST, 0.3, STILL)[:, 0] == pytest.approx(-curve(WEST, EAST, 0.3, STILL)[:, 0])


def test_wind_moves_the_curve() -> None:
    """A tail wind for one path is a head wind for the other: heard at once is no longer half way."""
    west_wind = Weather(15.0, 10.0, 270.0)
    points = curve(WEST, EAST, 0.0, west_wind)
    # Half way in the moving air, 200 m from either node, is carried 10 m/s for 200 m / c, against the wind.
    assert points[len(points) // 2] == pytest.approx((-10.0 * 200.0 / SPEED_MPS, 0.0), abs=1e-9)


@pytest.mark.parametrize(
    ("other", "delay_s", "reach_m"),
    [(EAST, 400.0 / SPEED_MPS, REACH_M), (EAST, -3.0, REACH_M), (WEST, 0.0, REACH_M), (EAST, 0.0, 150.0)],
    ids=["in line", "impossible", "same place", "out of reach"],
)
def test_nowhere(other: Site, delay_s: float, reach_m: float) -> None:
    assert curve(WEST, other, delay_s, STILL, reach_m=reach_m).shape == (0, 2)


@pytest.mark.parametrize(("bearing_deg", "tip"), [(0.0, (0.0, 7.0)), (90.0, (7.0, 0.0)), (45.0, (4.949747, 4.949747))])
def test_an_ellipse_points_clockwise_from_north(bearing_deg: float, tip: tuple[float, float]) -> None:
    ring = ellipse_ring_m(10.0, -20.0, Ellipse(7.0, 2.0, bearing_deg)) - (10.0, -20.0)
    assert ring[0] == pytest.approx(tip, abs=1e-5)
    assert ring[-1] == pytest.approx(ring[0], abs=1e-9)
    away = np.hypot(*ring.T)
    assert (away.min(), away.max()) == pytest.approx((2.0, 7.0))


@QUIET
@given(bearing_deg=st.floats(1.0, 179.0), width_m=st.floats(1.0, 90.0), more_m=st.floats(5.0, 900.0))
def test_the_strip_of_a_turned_rectangle_is_the_rectangle(bearing_deg: float, width_m: float, more_m: float) -> None:
    length_m, bearing = width_m + more_m, math.radians(bearing_deg)
    along, across = np.array([math.sin(bearing), math.cos(bearing)]), np.array([math.cos(bearing), -math.sin(bearing)])
    corners = [(i * length_m * along + j * width_m * across) / 2 for i, j in ((1, 1), (1, -1), (-1, -1), (-1, 1))]
    strip = strip_of([(float(x), float(y)) for x, y in corners])
    assert (strip.width_m, strip.length_m) == pytest.approx((width_m, length_m), rel=1e-6)
    assert strip.orientation_deg == pytest.approx(bearing_deg, abs=1e-3)


def test_inside_the_nodes_or_not() -> None:
    square = [Site(str(i), x, y) for i, (x, y) in enumerate([(0, 0), (10, 0), (10, 10), (0, 10), (5, 5)])]
    assert inside_hull(9.9, 0.1, square)
    assert inside_hull(10.0, 5.0, square)
    assert not inside_hull(10.1, 5.0, square)
