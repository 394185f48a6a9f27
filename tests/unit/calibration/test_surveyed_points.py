"""Surveyed points: any coordinate system, nothing guessed in silence, mistakes refused with what to do."""

from __future__ import annotations

import json

import pytest

from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.position.datum import HeightKind, Surveyed, SurveySettings, to_wgs84
from shotline_calibration.position.points import Column, PointTable, parse_csv, parse_geojson
from shotline_calibration.position.sites import results_of, sites_geojson, sites_toml

WGS = SurveySettings(crs="EPSG:4326", height_m=50.0, sigma_m=0.02)


def survey(text: str, settings: SurveySettings = WGS, **given: str) -> Surveyed:
    table = parse_csv(text, given={Column(name): column for name, column in given.items()}, source="points.csv")
    return to_wgs84(table, settings, source="points.csv")


def degrees(found: Surveyed) -> list[tuple[float, float]]:
    return [(point.lat_deg, point.lon_deg) for point in found.points]


@pytest.mark.parametrize(
    "text",
    [
        "node,lat,lon\na,51.5,-0.12\nb,51.51,-0.13\n",
        "Name;Longitude;Latitude\na;-0,12;51,5\nb;-0.13;51.51\n",
        "\ufeffid\tlon_deg\tlat_deg\n# a comment\na\t-0.12\t51.5\n\nb\t-0.13\t51.51\n",
        'Node,"Lat (deg)",Lng,Note\na,51.5,-0.12,"x, y"\nb,51.51,-0.13,\n',
    ],
)
def test_columns_are_taken_by_their_names_and_not_by_their_order(text: str) -> None:
    assert degrees(survey(text)) == [(51.5, -0.12), (51.51, -0.13)]


def test_a_grid_with_east_first_and_one_with_north_first() -> None:
    """The example of the EPSG guidance note 7-2 for the British grid, and the same place in Sweden's, north first."""
    # EPSG guidance note 7-2, transverse Mercator: 50 30 00 N 0 30 00 E is E 577274.99, N 69740.50 on OSGB36.
    found = survey(
        "id,easting,northing\na,577274.99,69740.50\n", SurveySettings(crs="EPSG:27700", height_m=0.0, sigma_m=0.1)
    )
    (point,) = found.points
    # From OSGB36 to WGS-84 the point moves by some 100 m; within the 2 m that the best way without a grid has.
    there = LocalFrame(50.5, 0.5).to_enu_m(point.lat_deg, point.lon_deg)
    assert 80.0 < (there[0] ** 2 + there[1] ** 2) ** 0.5 < 150.0
    assert found.operation_sigma_m <= 21.0
    sweden = SurveySettings(crs="EPSG:3006", height_m=0.0, sigma_m=0.1)
    one = survey("id,N,E\na,6580822,674032\n", sweden)
    two = survey("id,E,N\na,674032,6580822\n", sweden)
    assert degrees(one) == degrees(two)
    assert degrees(one)[0] == pytest.approx((59.3293, 18.0598), abs=1e-3)
    assert any("has north first by its definition" in remark for remark in one.remarks)


def test_x_and_y_say_nothing_where_x_is_north() -> None:
    gauss = SurveySettings(crs="EPSG:31467", height_m=0.0, sigma_m=0.1)
    with pytest.raises(
        InputError, match="x is north by its definition, which not everybody follows; say which is which"
    ):
        survey("id,x,y\na,5800000,3500000\n", gauss)
    named = survey("id,x,y\na,5800000,3500000\n", gauss, east="y", north="x")
    assert degrees(named)[0] == pytest.approx((52.33, 9.0), abs=0.01)
    with pytest.raises(InputError, match="there are latitude and longitude"):
        survey("id,x,y\na,-0.12,51.5\n")
    utm = survey("id,x,y\na,500000,5800000\n", SurveySettings(crs="EPSG:25832", height_m=0.0, sigma_m=0.1))
    assert degrees(utm)[0] == pytest.approx((52.35, 9.0), abs=0.01)
    assert "'x' was taken as east and 'y' as north" in utm.remarks


def test_swapped_coordinates_are_found_where_they_can_be() -> None:
    with pytest.raises(InputError, match="they are swapped: with the two exchanged all points are inside"):
        survey("id,e,n\na,5800000,500000\n", SurveySettings(crs="EPSG:25832", height_m=0.0, sigma_m=0.1))
    with pytest.raises(InputError, match="is --crs right"):
        survey("id,e,n\na,500000,100\n", SurveySettings(crs="EPSG:25832", height_m=0.0, sigma_m=0.1))
    with pytest.raises(InputError, match="1 of 2 points are outside of where WGS 84 holds") as raised:
        survey("id,lat,lon\na,-0.12,51.5\nb,122.0,48.0\n")
    assert raised.value.problems[0].line == 3


def test_a_datum_is_not_passed_over() -> None:
    """Pulkovo 1942, whose degrees are some 100 m beside those of WGS-84."""
    found = survey("id,lat,lon\na,55.75,37.62\n", SurveySettings(crs="EPSG:4284", height_m=0.0, sigma_m=0.1))
    east_m, north_m, _ = LocalFrame(55.75, 37.62).to_enu_m(*degrees(found)[0])
    assert 60.0 < (east_m**2 + north_m**2) ** 0.5 < 200.0
    assert found.operation_sigma_m > 0.5
    (result,) = results_of(found).values()
    # The way to WGS-84 moves all nodes alike: it is in the error of the place, and not in that of the site.
    assert result.sigma_m > found.operation_sigma_m
    assert result.site_settings("a")["sigma_m"] == 0.1


def test_a_missing_grid_is_told() -> None:
    found = survey("id,e,n\na,530000,180000\n", SurveySettings(crs="EPSG:27700", height_m=0.0, sigma_m=0.1))
    assert any("with the grid" in remark and "pyproj sync" in remark for remark in found.remarks)


class TestHeights:
    TEXT = "id,lat,lon,h\na,51.5,-0.12,30.0\nb,51.51,-0.12,31.5\n"

    def test_nobody_says_above_what(self) -> None:
        with pytest.raises(InputError, match="nobody says above what: --height-is ellipsoid"):
            survey(self.TEXT)

    def test_above_the_ellipsoid(self) -> None:
        found = survey(self.TEXT, SurveySettings(crs="EPSG:4326", height_kind=HeightKind.ELLIPSOID, sigma_m=0.1))
        assert [point.height_m for point in found.points] == [30.0, 31.5]
        assert found.height_was == "ellipsoid"

    def test_above_the_geoid(self) -> None:
        geoid = SurveySettings(crs="EPSG:4326", height_kind=HeightKind.GEOID, sigma_m=0.1)
        with pytest.raises(InputError, match="give its height above the ellipsoid there, --geoid-m METRES"):
            survey(self.TEXT, geoid)
        found = survey(
            self.TEXT, SurveySettings(crs="EPSG:4326", height_kind=HeightKind.GEOID, geoid_m=45.5, sigma_m=0.1)
        )
        assert [point.height_m for point in found.points] == [75.5, 77.0]

    def test_the_system_may_say_it(self) -> None:
        spatial = survey(self.TEXT, SurveySettings(crs="EPSG:4979", sigma_m=0.1))
        assert spatial.height_was == "ellipsoid"
        compound = SurveySettings(crs="EPSG:25832+7837", geoid_m=40.0, sigma_m=0.1)
        found = survey("id,e,n,h\na,500000,5800000,60\n", compound)
        assert (found.height_was, found.points[0].height_m) == ("geoid", 100.0)
        assert any("above the geoid" in remark for remark in found.remarks)

    def test_feet(self) -> None:
        text = "id,e,n,h\na,1350000,410000,1000\n"
        foot = SurveySettings(crs="EPSG:2272", height_kind=HeightKind.ELLIPSOID, sigma_m=0.1)
        with pytest.raises(InputError, match="is in US survey foot; are heights too"):
            survey(text, foot)
        said = SurveySettings(crs="EPSG:2272", height_kind=HeightKind.ELLIPSOID, sigma_m=0.1, height_unit_m=1200 / 3937)
        assert survey(text, said).points[0].height_m == pytest.approx(304.8006096)

    def test_none_at_all_or_of_some(self) -> None:
        with pytest.raises(InputError, match="has no heights; give --height-m"):
            survey("id,lat,lon\na,51.5,-0.12\n", SurveySettings(crs="EPSG:4326", sigma_m=0.1))
        with pytest.raises(InputError, match="'b' has no height, others have"):
            survey("id,lat,lon,h\na,51.5,-0.12,3\nb,51.6,-0.12,\n")
        assert survey("id,lat,lon\na,51.5,-0.12\n").height_was == "missing"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("id,lat,lon\n", "holds no points"),
        ("id,a,b\nx,1,2\n", "no columns for east and north found among id, a, b; name them: --east COLUMN"),
        ("lat,lon\n1,2\n", "no column for the node found among lat, lon; name it: --id COLUMN"),
        ("id,name,lat,lon\na,b,1,2\n", "'id' and 'name' both look like the node; say which: --id COLUMN"),
        ("id,lat,latitude,lon\na,1,1,2\n", "both look like the north"),
        ("id,lat,lon\na,51.5\n", "points.csv:2: 2 columns, the first line has 3"),
        ("id,lat,lon\na,north,2\n", "points.csv:2: lat: 'north' is no number"),
        ("id,lat,lon\na,nan,2\n", "'nan' is no number"),
        ("id,lat,lon\na,,2\n", "points.csv:2: has no coordinates"),
        ("id,lat,lon\nroof 1,51,2\n", "points.csv:2: node: 'roof 1' is no node id"),
        ("id,lat,lon\na,51,2\nb,51,2.1\na,51.1,2\n", "points.csv:4: 'a' is there twice, before in line 2"),
        ("id,lat,lon\na,51,2\nb,51.000001,2\n", "'a' and 'b' are 0.11 m apart: one point under two names"),
        ("id,lat,lon\na,51,2\nb,51.01,2\nc,52,2\n", r"'c' \(110 km\) of 3 are farther than 50 km"),
    ],
)
def test_mistakes_are_refused_with_their_place(text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        survey(text)


def test_what_a_person_must_say() -> None:
    text = "id,lat,lon\na,51,2\n"
    with pytest.raises(InputError, match="in which coordinate system"):
        survey(text, SurveySettings(height_m=1.0, sigma_m=1.0))
    with pytest.raises(InputError, match="'EPSG:1' is no coordinate system that pyproj knows"):
        survey(text, SurveySettings(crs="EPSG:1", height_m=1.0, sigma_m=1.0))
    with pytest.raises(InputError, match="say how good the survey is, --sigma-m METRES"):
        survey(text, SurveySettings(crs="EPSG:4326", height_m=1.0))
    with pytest.raises(InputError, match="neither geographic nor projected"):
        survey(text, SurveySettings(crs="EPSG:4978", height_m=1.0, sigma_m=1.0))
    with pytest.raises(InputError, match="has no column 'foo' for the node"):
        survey(text, node="foo")
    assert survey("id,name,lat,lon,sigma\na,b,51,2,0.5\n", node="name").points[0].node == "b"
    assert survey("id,lat,lon,sigma\na,51,2,0.5\n").points[0].sigma_m == 0.5


def test_geojson_there_and_back() -> None:
    found = survey(
        "id,lat,lon,h\na,51.5,-0.12,30.0\nb,51.51,-0.12,31.5\n", SurveySettings(crs="EPSG:4979", sigma_m=0.1)
    )
    text = sites_geojson(results_of(found))
    table = parse_geojson(text, source="a.geojson")
    again = to_wgs84(table, SurveySettings(), source="a.geojson")
    for one, other in zip(degrees(again), degrees(found), strict=True):
        assert one == pytest.approx(other, abs=1e-9)
    assert [point.height_m for point in again.points] == [30.0, 31.5]
    assert [point.sigma_m for point in again.points] == [0.1, 0.1]
    assert 'id = "a"' in sites_toml(results_of(found))


def test_geojson_of_another_system_says_so_itself() -> None:
    document = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::25832"}},
        "features": [
            {
                "type": "Feature",
                "properties": {"Name": "a", "sigma_m": 0.5},
                "geometry": {"type": "Point", "coordinates": [500000, 5800000]},
            }
        ],
    }
    table = parse_geojson(json.dumps(document), source="a.geojson")
    assert isinstance(table, PointTable)
    found = to_wgs84(table, SurveySettings(height_m=1.0), source="a.geojson")
    assert degrees(found)[0] == pytest.approx((52.35, 9.0), abs=0.01)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"geometry": {"type": "LineString", "coordinates": []}}, "is no GeoJSON feature collection of points"),
        ({"geometry": {"type": "Point", "coordinates": [1.0]}}, "feature 1 has 1 coordinates, expected 2 or 3"),
        ({"properties": {}}, "'' is no node id"),
        ({"properties": {"node": "a", "sigma_m": "good"}}, "feature 1: sigma_m is 'good', expected metres"),
    ],
)
def test_geojson_that_is_none(change: dict[str, object], says: str) -> None:
    feature = {"type": "Feature", "properties": {"node": "a"}, "geometry": {"type": "Point", "coordinates": [2, 51]}}
    document = {"type": "FeatureCollection", "features": [{**feature, **change}]}
    with pytest.raises(InputError, match=says):
        parse_geojson(json.dumps(document), source="a.geojson")
