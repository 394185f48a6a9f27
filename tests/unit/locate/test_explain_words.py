"""The lines about a place or a refusal."""

from __future__ import annotations

import dataclasses
import math

import pytest
from explain_samples import REGION, located, refused
from locate_samples import ORIGIN_NS, STILL

import fusion_server.explain
from fusion_server.explain import Notation, location_lines, refusal_lines, region_line
from shotline.atmosphere import Weather
from shotline.domain import Location, NoLocation, Root
from shotline.geodesy import LocalFrame

PLAIN = Notation(None, True)


def place(**changes: object) -> Location:
    found = located(**changes).found
    assert isinstance(found, Location)
    return found


def lines(found: Location, *, weather: Weather = STILL, notation: Notation = PLAIN) -> dict[str, str]:
    return dict(location_lines(found, weather=weather, notation=notation))


def test_public_names_exist() -> None:
    assert all(hasattr(fusion_server.explain, name) for name in fusion_server.explain.__all__)


def test_a_plain_place() -> None:
    said = lines(place())
    assert list(said) == ["place", "time", "error", "ellipse", "geometry", "air"]
    assert said["place"] == "x 60.00 m, y -90.00 m"
    assert said["time"] == "2018-12-19T00:49:26.123457Z ± 4.0 ms"
    assert said["geometry"] == "GDOP 1.25, residuals 2.0 ms rms"
    assert said["air"] == "15 °C, sound travels at 340.3 m/s"


def test_what_is_not_known_is_not_said() -> None:
    assert "±" not in lines(place(origin_sigma_s=math.nan))["time"]
    assert lines(place(z_m=3.0))["place"].endswith(", z 3.0 m")
    assert lines(place(z_m=3.0, z_sigma_m=12.0))["place"].endswith(", z 3.0 m ± 12.0 m")


def test_the_air_with_its_errors() -> None:
    weather = Weather(12.0, 5.0, 230.0, temperature_sigma_c=1.5, wind_sigma_mps=2.0)
    assert lines(place(), weather=weather)["air"] == (
        "12 ± 1.5 °C, sound travels at 338.5 m/s, wind 5 m/s from 230° (wind ± 2 m/s per axis)"
    )


def test_alternatives_come_with_weights() -> None:
    found = place(weight=0.995, alternatives=(Root(-5.0, 7.0, ORIGIN_NS, 0.004),))
    said = lines(found)
    assert said["place"].endswith("weight 100 %")
    assert said["or"] == "x -5.00 m, y 7.00 m at 2018-12-19T00:49:26.123457Z, weight 0.4 %"


def test_degrees_and_seconds_as_the_input_wrote_them() -> None:
    notation = Notation(LocalFrame(-17.0, 179.999), False)
    said = lines(place(), notation=notation)
    assert said["place"] == "-17.000813, 179.999563"
    assert said["time"].startswith("1545180566.123457 s")
    assert Notation(None, True).degrees(1.0, 2.0) == {}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"region95": (REGION,), "x_m": 650.0, "y_m": 20.0},
            (
                "outside the array: the truth is somewhere in a strip about 40 by 300 m, long side 90° from north "
                "(95 %), a region and not a dot"
            ),
        ),
        (
            {"region95": (((0.0, 0.0), (101.0, 0.0), (101.0, 104.0), (0.0, 104.0)),)},
            "the truth is somewhere in an area about 100 by 100 m (95 %), a region and not a dot",
        ),
        (
            {"region95": (REGION, ((0.0, 0.0), (0.0, 1234.0), (56.0, 1234.0), (56.0, 0.0)))},
            (
                "the truth is somewhere in one of 2 regions (95 % together): a strip about 40 by 300 m, long side 90° "
                "from north; a strip about 56 by 1200 m, long side 0° from north"
            ),
        ),
    ],
    ids=["outside", "inside", "two"],
)
def test_a_region_is_said_in_metres(changes: dict[str, object], text: str) -> None:
    # The set-aside node in the west leaves the default place within the hull of the others.
    found = place(**changes)
    assert region_line(found) == text
    assert lines(found)["region"] == text


def test_a_refusal_with_and_without_roots() -> None:
    found = refused(Root(-60.0, -40.0, ORIGIN_NS, 0.62), Root(9.0, 1.0, ORIGIN_NS, 0.38)).found
    assert isinstance(found, NoLocation)
    assert refusal_lines(found, notation=PLAIN) == [
        ("no place", "three nodes leave 2 places (two_roots)"),
        ("could be", "x -60.00 m, y -40.00 m at 2018-12-19T00:49:26.123457Z, weight 62 %"),
        ("could be", "x 9.00 m, y 1.00 m at 2018-12-19T00:49:26.123457Z, weight 38 %"),
    ]
    assert refusal_lines(dataclasses.replace(found, roots=()), notation=PLAIN) == [
        ("no place", "three nodes leave 2 places (two_roots)")
    ]
