"""The local frame: against an independent way through earth-centred coordinates, and around the globe."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shotline.errors import GeometryError
from shotline.geodesy import LocalFrame

# WGS-84 defining parameters.
_A_M = 6_378_137.0
_F = 1.0 / 298.257223563
_E_SQ = _F * (2.0 - _F)


def ecef(lat_deg: float, lon_deg: float, height_m: float) -> np.ndarray:
    lat, lon = math.radians(lat_deg), math.radians(lon_deg)
    normal = _A_M / math.sqrt(1.0 - _E_SQ * math.sin(lat) ** 2)
    return np.array(
        [
            (normal + height_m) * math.cos(lat) * math.cos(lon),
            (normal + height_m) * math.cos(lat) * math.sin(lon),
            (normal * (1.0 - _E_SQ) + height_m) * math.sin(lat),
        ]
    )


def enu_by_hand(
    origin: tuple[float, float, float], lat_deg: float, lon_deg: float, height_m: float
) -> tuple[float, ...]:
    lat, lon = math.radians(origin[0]), math.radians(origin[1])
    rotation = np.array(
        [
            [-math.sin(lon), math.cos(lon), 0.0],
            [-math.sin(lat) * math.cos(lon), -math.sin(lat) * math.sin(lon), math.cos(lat)],
            [math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)],
        ]
    )
    return tuple(rotation @ (ecef(lat_deg, lon_deg, height_m) - ecef(*origin)))


PITTSBURGH = (40.44, -79.99, 230.0)
PLACES = [PITTSBURGH, (-33.86, 151.21, 20.0), (-34.6, -58.38, 0.0), (64.15, -21.94, 5.0), (0.0, 0.0, 0.0)]
# Earth-centred coordinates are 6.4e6 m with 16 digits: 1 nm, and a few operations.
NANOMETRES = 1e-8


@pytest.mark.parametrize("origin", PLACES)
@pytest.mark.parametrize("away", [(0.01, 0.0, 0.0), (0.0, 0.01, 0.0), (0.0, 0.0, 50.0), (-0.02, -0.03, -7.0)])
def test_agrees_with_earth_centred_coordinates(
    origin: tuple[float, float, float], away: tuple[float, float, float]
) -> None:
    point = (origin[0] + away[0], origin[1] + away[1], origin[2] + away[2])
    assert LocalFrame(*origin).to_enu_m(*point) == pytest.approx(enu_by_hand(origin, *point), abs=NANOMETRES)


@pytest.mark.parametrize("origin", PLACES)
def test_the_origin_is_zero_and_back(origin: tuple[float, float, float]) -> None:
    frame = LocalFrame(*origin)
    assert frame.to_enu_m(*origin) == pytest.approx((0.0, 0.0, 0.0), abs=NANOMETRES)
    # 1e-13 degrees is 11 nm.
    assert frame.to_geodetic(0.0, 0.0, 0.0) == pytest.approx(origin, abs=1e-8)


@pytest.mark.parametrize("origin", PLACES)
def test_axes_point_east_north_and_up(origin: tuple[float, float, float]) -> None:
    lat, lon, height = origin
    frame = LocalFrame(*origin)
    east, north, up = frame.to_enu_m(lat, lon + 0.001, height)
    assert east > 50.0 * math.cos(math.radians(lat))
    # The meridians converge and the ground curves away: less than 2 mm in 111 m.
    assert abs(north) < 2e-3
    assert -2e-3 < up <= NANOMETRES
    east, north, up = frame.to_enu_m(lat + 0.001, lon, height)
    assert north > 110.0
    assert abs(east) < NANOMETRES
    assert frame.to_enu_m(lat, lon, height + 12.0) == pytest.approx((0.0, 0.0, 12.0), abs=NANOMETRES)


def test_a_degree_of_arc_at_the_equator_and_at_the_pole() -> None:
    # Radii of curvature of WGS-84: a along the equator, a(1-e²) along the meridian there; arcs of 1e-4 degrees are
    # straight to 1e-12.
    step = 1e-4
    frame = LocalFrame(0.0, 0.0)
    assert frame.to_enu_m(0.0, step)[0] == pytest.approx(_A_M * math.radians(step), rel=1e-9)
    assert frame.to_enu_m(step, 0.0)[1] == pytest.approx(_A_M * (1.0 - _E_SQ) * math.radians(step), rel=1e-9)


@settings(deadline=None)
@given(
    st.floats(-89.0, 89.0),
    st.floats(-180.0, 180.0),
    st.floats(-100.0, 4000.0),
    st.floats(-20_000.0, 20_000.0),
    st.floats(-20_000.0, 20_000.0),
    st.floats(-500.0, 500.0),
)
def test_round_trip_to_a_micrometre_anywhere(
    lat: float, lon: float, height: float, east: float, north: float, up: float
) -> None:
    frame = LocalFrame(lat, lon, height)
    place = frame.to_geodetic(east, north, up)
    assert -90.0 <= place[0] <= 90.0
    assert -180.0 <= place[1] <= 180.0
    assert frame.to_enu_m(*place) == pytest.approx((east, north, up), abs=1e-6)


@pytest.mark.parametrize(("origin_lon", "sign"), [(179.999, 1.0), (-179.999, -1.0)])
@pytest.mark.parametrize("lat", [52.0, -17.0])
def test_the_date_line_is_no_wall(origin_lon: float, sign: float, lat: float) -> None:
    frame = LocalFrame(lat, origin_lon)
    across = frame.to_enu_m(lat, -origin_lon)
    width_m = math.radians(0.002) * _A_M * math.cos(math.radians(lat))
    # The parallel's radius on the ellipsoid is up to 0.34 % more than on the sphere.
    assert across[0] == pytest.approx(sign * width_m, rel=4e-3)
    # Heights of curved ground under a flat plane: well below a centimetre here.
    assert frame.to_geodetic(*across) == pytest.approx((lat, -origin_lon, 0.0), abs=1e-8)


def test_frames_are_values() -> None:
    assert LocalFrame(*PITTSBURGH) == LocalFrame(*PITTSBURGH)
    assert LocalFrame(*PITTSBURGH) != LocalFrame(40.44, -79.99, 231.0)
    assert hash(LocalFrame(*PITTSBURGH)) == hash(LocalFrame(*PITTSBURGH))
    assert repr(LocalFrame(1.0, 2.0)) == "LocalFrame(lat_deg=1.0, lon_deg=2.0, height_m=0.0)"


def test_numbers_of_numpy_make_the_same_frame() -> None:
    """A frame from ``np.float64`` once read as an origin 6000 km away, silently."""
    given_frame = LocalFrame(np.float64(40.44), np.float64(-79.99), np.float64(230.0))
    assert given_frame.to_enu_m(40.45, -79.98, 231.0) == LocalFrame(*PITTSBURGH).to_enu_m(40.45, -79.98, 231.0)
    assert LocalFrame(np.float32(40.5), -79, 230).to_enu_m(40.5, -79.0, 230.0) == pytest.approx((0, 0, 0), abs=1e-8)


@pytest.mark.parametrize("lat", [90.1, -122.4, 151.2, math.nan, math.inf])
def test_latitude_out_of_range_asks_about_a_swap(lat: float) -> None:
    expected = f"latitude {lat} is outside -90 to 90 degrees; are latitude and longitude swapped?"
    with pytest.raises(GeometryError) as caught:
        LocalFrame(lat, 37.7)
    assert str(caught.value) == expected
    with pytest.raises(GeometryError) as caught:
        LocalFrame(0.0, 0.0).to_enu_m(lat, 37.7)
    assert str(caught.value) == expected


@pytest.mark.parametrize("lon", [180.1, -200.0, math.nan, -math.inf])
def test_longitude_out_of_range_is_refused(lon: float) -> None:
    expected = f"longitude {lon} is outside -180 to 180 degrees"
    with pytest.raises(GeometryError) as caught:
        LocalFrame(37.7, lon)
    assert str(caught.value) == expected
    with pytest.raises(GeometryError) as caught:
        LocalFrame(0.0, 0.0).to_enu_m(37.7, lon)
    assert str(caught.value) == expected


@pytest.mark.parametrize("height", [math.nan, math.inf, -math.inf])
def test_a_height_that_is_no_number_is_refused(height: float) -> None:
    expected = f"height {height} is not a number of metres above the ellipsoid"
    with pytest.raises(GeometryError) as caught:
        LocalFrame(40.0, -80.0, height)
    assert str(caught.value) == expected
    with pytest.raises(GeometryError) as caught:
        LocalFrame(40.0, -80.0).to_enu_m(40.0, -80.0, height)
    assert str(caught.value) == expected
