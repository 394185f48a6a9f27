from __future__ import annotations

import itertools
import math

import msgspec
import pytest
from alert_samples import incident

from fusion_server.api.geojson import ellipse_ring_m, incident_features
from shotline.geodesy import LocalFrame
from shotline.records import EllipseRecord, FiringPlaceRecord


def _area(ring: list[tuple[float, float]]) -> float:
    """Signed area, positive for counter-clockwise (shoelace)."""
    return 0.5 * sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in itertools.pairwise(ring))


@pytest.mark.parametrize("orientation_deg", [0.0, 34.0, 90.0, 179.0])
def test_the_ring_is_the_ellipse(orientation_deg: float) -> None:
    ellipse = EllipseRecord(semi_major_m=10.0, semi_minor_m=4.0, orientation_deg=orientation_deg)
    ring = ellipse_ring_m(100.0, -50.0, ellipse, vertices=360)
    assert ring[0] == ring[-1]
    assert len(ring) == 361
    angle = math.radians(orientation_deg)
    for x_m, y_m in ring:
        along = (x_m - 100.0) * math.sin(angle) + (y_m + 50.0) * math.cos(angle)
        across = -(x_m - 100.0) * math.cos(angle) + (y_m + 50.0) * math.sin(angle)
        assert (along / 10.0) ** 2 + (across / 4.0) ** 2 == pytest.approx(1.0, abs=1e-9)
    # A polygon of n vertices on an ellipse has n/2 sin(2 pi/n) a b of area, not pi a b; positive: counter-clockwise.
    assert _area(ring) == pytest.approx(180.0 * math.sin(2 * math.pi / 360) * 40.0, rel=1e-9)


def test_a_northern_major_axis_points_north() -> None:
    ring = ellipse_ring_m(0.0, 0.0, EllipseRecord(semi_major_m=10.0, semi_minor_m=4.0, orientation_deg=0.0))
    assert max(ring, key=lambda point: point[1]) == pytest.approx((0.0, 10.0), abs=1e-9)


@pytest.mark.parametrize("frame", [LocalFrame(40.44, -79.99), LocalFrame(-33.9, 151.2), LocalFrame(0.0, 0.0)])
def test_the_polygon_lies_around_the_point_in_either_hemisphere(frame: LocalFrame) -> None:
    record = incident(frame=frame)
    point, polygon = incident_features(record, [], frame)["features"][:2]
    assert polygon["geometry"]["type"] == "Polygon"
    (ring,) = polygon["geometry"]["coordinates"]
    assert ring[0] == ring[-1]
    assert _area(ring) > 0
    lons, lats = [lon for lon, _ in ring], [lat for _, lat in ring]
    lon_deg, lat_deg = point["geometry"]["coordinates"]
    assert min(lons) < lon_deg < max(lons)
    assert min(lats) < lat_deg < max(lats)
    back = [frame.to_enu_m(lat, lon)[:2] for lon, lat in ring]
    reach_m = max(math.hypot(x_m - record.x_m, y_m - record.y_m) for x_m, y_m in back)
    # 8 digits of a degree are 1.1 mm, and at up 0 the ring is some micrometres off the ellipsoid.
    assert reach_m == pytest.approx(record.ellipse95.semi_major_m, abs=0.01)


def test_a_polygon_over_the_date_line_is_cut_there() -> None:
    frame = LocalFrame(-17.0, 179.9999)
    record = incident(frame=frame, x_m=10.6, y_m=0.0)
    geometry = incident_features(record, [], frame)["features"][1]["geometry"]
    assert geometry["type"] == "MultiPolygon"
    (west,), (east,) = geometry["coordinates"]
    assert all(179.99 < lon <= 180.0 for lon, _ in west)
    assert all(-180.0 <= lon < -179.99 for lon, _ in east)
    for ring in (west, east):
        assert ring[0] == ring[-1]
        assert _area(ring) > 0
    whole = ellipse_ring_m(10.6, 0.0, record.ellipse95)
    metres_per_deg2 = (111_320.0 * math.cos(math.radians(17.0))) * 110_660.0
    # Both lengths of a degree are rounded to four digits here.
    assert (_area(west) + _area(east)) * metres_per_deg2 == pytest.approx(_area(whole), rel=2e-3)


def test_places_and_regions_are_features_of_their_own() -> None:
    frame = LocalFrame(40.44, -79.99)
    record = incident(frame=frame, rounds=2)
    place = FiringPlaceRecord(
        x_m=90.0,
        y_m=40.0,
        covariance_m2=((4.0, 0.0), (0.0, 4.0)),
        ellipse95=record.ellipse95,
        rounds=(0, 1),
        fire_mode="undetermined",
    )
    clockwise = ((0.0, 0.0), (0.0, 30.0), (40.0, 30.0), (40.0, 0.0))
    shots = (msgspec.structs.replace(record.shots[0], region95_m=(clockwise, clockwise[::-1])), *record.shots[1:])
    features = incident_features(msgspec.structs.replace(record, shots=shots, places=(place,)), [], frame)["features"]
    roles = [feature["properties"]["role"] for feature in features]
    assert roles == ["incident", "ellipse95", "place", "shot", "shot", "region95", "region95"]
    for feature in features[5:]:
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert _area(ring) > 0
        assert feature["properties"]["round"] == 1
    properties = [feature["properties"] for feature in features]
    assert not {"places", "shots"} & set(properties[0])
    assert not {"arrivals", "passed_over", "silent", "lost", "region95_m"} & set(properties[3])
