"""Heard impulses: read from tables, records and a database; matched with known places; repeats are one."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from survey_files import START_NS, incident_of

from fusion_server.history import History
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord
from shotline_calibration.heard.impulses import HeardArrival, HeardImpulse, KnownPlace, matched, merged_repeats
from shotline_calibration.heard.known import read_known_places
from shotline_calibration.heard.sources import read_impulses, stored_impulses

SITES = {name: Site(name, x_m, y_m) for name, x_m, y_m in (("a", 0, 0), ("b", 340, 0), ("c", 0, 340), ("d", 340, 340))}
AIR = WeatherTimeline.constant(Weather(temperature_c=14.5))


def table(tmp_path: Path, text: str, name: str = "heard.csv") -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def impulse(name: str, start_s: float, delays_s: list[float], place: KnownPlace | None = None) -> HeardImpulse:
    arrivals = [
        HeardArrival(node, START_NS + round((start_s + delay_s) * 1e9), 0.001)
        for node, delay_s in zip("abcdefg", delays_s, strict=False)
    ]
    return HeardImpulse(name, tuple(sorted(arrivals, key=lambda each: each.time_ns)), place)


def test_a_table_gives_the_first_arrival_of_each_node(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "# of the evening\nshot,node,time_utc,sigma_s\n1,a,2026-12-01T00:00:00.25Z,0.0002\n"
        "1,b,2026-12-01T00:00:00.1Z,\n\n1,a,2026-12-01T00:00:00.75Z,\n2,a,2026-12-01T00:00:09Z,\n",
    )
    one, two = read_impulses(path)
    assert [(each.node, each.time_ns - START_NS, each.sigma_s) for each in one.arrivals] == [
        ("b", 100_000_000, 0.0005),
        ("a", 250_000_000, 0.0002),
    ]
    assert (two.name, two.time_ns - START_NS) == ("2", 9_000_000_000)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shot,node,time_utc\n", "saw no row"),
        ("shot,who,time_utc\n1,a,2\n", r"heard\.csv:1: unknown column 'who'; known are shot, node"),
        ("node,time_s\na,2\n", "has no column shot"),
        ("shot,node,time_s\n1,a\n", r"heard\.csv:2: 2 columns, the first line has 3"),
        ("shot,node,time_s\n1,a,x\n", "time_s: 'x' is not a number"),
        ("shot,node,time_ns\n1,a,1.5\n", "'1.5' is no whole number of nanoseconds"),
        ("shot,node,time_s,time_ns\n1,a,1,1\n", "expected one of time_utc, time_ns and time_s; saw time_ns, time_s"),
        ("shot,node,time_s,sigma_s\n1,a,1,-1\n", "-1 is under 1e-07"),
        ("shot,node,time_s\n,a,1\n", "shot or node is empty"),
    ],
)
def test_tables_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_impulses(table(tmp_path, text))


def incident(name: str, revision: int, *, state: str = "revised", start_ns: int = START_NS) -> IncidentRecord:
    heard = (("a", False), ("b", True), ("c", True), ("d", True), ("a", True))
    arrivals = [(node, start_ns + 1_000_000 * (number + revision), used) for number, (node, used) in enumerate(heard)]
    return incident_of(name, arrivals, revision=revision, state=state)


def test_records_give_the_shots_of_the_latest_revision_that_stands(tmp_path: Path) -> None:
    records = [incident("i1", 1), incident("i1", 2), incident("i2", 1, state="retracted")]
    path = table(tmp_path, "\n".join(msgspec.json.encode(each).decode() for each in records), "incidents.jsonl")
    (found,) = read_impulses(path)
    assert found.name == "i1/1"
    # Of the two arrivals at a the one counts that the fix rests on.
    assert [(each.node, each.time_ns - START_NS) for each in found.arrivals] == [
        ("b", 3_000_000),
        ("c", 4_000_000),
        ("d", 5_000_000),
        ("a", 6_000_000),
    ]
    with pytest.raises(InputError, match="no shot of an incident that stands"):
        read_impulses(table(tmp_path, msgspec.json.encode(records[2]).decode(), "none.jsonl"))


def test_a_database_gives_the_same_for_a_span_of_time(tmp_path: Path) -> None:
    path = tmp_path / "shotline.db"
    later_ns = START_NS + 3_600_000_000_000
    with History.open(path) as history:
        for record in (incident("i1", 1), incident("i1", 2), incident("i2", 1, start_ns=later_ns)):
            history.append_incident(record)
    assert [each.name for each in stored_impulses(str(path))] == ["i1/1", "i2/1"]
    assert [each.name for each in stored_impulses(str(path), since_ns=later_ns)] == ["i2/1"]
    with pytest.raises(InputError, match="no incident that stands"):
        stored_impulses(str(path), until_ns=START_NS)


def test_known_places_in_degrees_and_in_metres(tmp_path: Path) -> None:
    frame = LocalFrame(51.5, -0.12, 40.0)
    lat_deg, lon_deg, height_m = frame.to_geodetic(100.0, -50.0, 3.0)
    path = table(
        tmp_path,
        "shot,lat_deg,lon_deg,height_m,sigma_m,time_utc,time_sigma_s\n"
        f"clap,{lat_deg:.10f},{lon_deg:.10f},{height_m:.4f},0.1,2026-12-01T00:00:01Z,0.001\n",
    )
    (place,) = read_known_places(path, frame=frame, sites=SITES)
    # 1e-10 degrees are 0.01 mm.
    assert (place.x_m, place.y_m, place.z_m) == pytest.approx((100.0, -50.0, 3.0), abs=2e-4)
    assert (place.sigma_m, place.sigma_z_m, place.time_sigma_s) == (0.1, 0.2, 0.001)
    assert place.time_ns == START_NS + 1_000_000_000
    flat = table(tmp_path, "shot,x_m,y_m,sigma_m,sigma_z_m\nclap,1,2,0.1,0.3\n", "flat.csv")
    (place,) = read_known_places(flat, frame=None, sites=SITES)
    assert (place.x_m, place.y_m, place.z_m, place.sigma_z_m, place.time_ns) == (1.0, 2.0, 0.0, 0.3, None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x_m,y_m,sigma_m\n1,2,0.1\n", "neither a shot nor a time"),
        ("shot,x_m,sigma_m\n1,2,0.1\n", "saw neither"),
        ("shot,x_m,y_m,lat_deg,lon_deg,sigma_m\n1,2,0.1,1,1,1\n", "saw both"),
        ("shot,lat_deg,lon_deg,height_m,sigma_m\n1,2,3,4,0.1\n", r"the network has no \[frame\]"),
        ("shot,x_m,y_m,sigma_m\n1,2,99999999,0.1\n", "km from the nearest node"),
        ("shot,x_m,y_m,sigma_m\n1,2,3,0\n", "0 is under 0.001"),
        ("shot,x_m,y_m,sigma_m,time_sigma_s\n1,2,3,0.1,0.1\n", "there is no time that it is the error of"),
    ],
)
def test_known_places_that_cannot_be_used(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(InputError, match=says):
        read_known_places(table(tmp_path, text), frame=None, sites=SITES)


def test_degrees_without_a_height_are_asked_for_it(tmp_path: Path) -> None:
    path = table(tmp_path, "shot,lat_deg,lon_deg,sigma_m\n1,51.5,-0.12,0.1\n")
    with pytest.raises(InputError, match="height_m: is missing"):
        read_known_places(path, frame=LocalFrame(51.5, -0.12), sites=SITES)


def test_places_are_found_by_name_or_by_time() -> None:
    heard = [impulse("one", 0.0, [0.0, 1.0, 1.0, 1.4]), impulse("two", 60.0, [0.0, 1.0, 1.0, 1.4])]
    named = KnownPlace("one", 0.0, 0.0, 0.0, 0.1, 0.1)
    # The person's clock is half a second late.
    timed = KnownPlace("", 0.0, 0.0, 0.0, 0.1, 0.1, time_ns=START_NS + 60_500_000_000)
    nobody = KnownPlace("", 0.0, 0.0, 0.0, 0.1, 0.1, time_ns=START_NS + 90_000_000_000)
    found, left_over = matched(heard, [named, timed, nobody], sites=SITES, weather=AIR)
    assert [each.place for each in found] == [named, timed]
    assert left_over == [nobody]
    with pytest.raises(InputError, match="impulse 'one' has two known places"):
        matched(heard, [named, named], sites=SITES, weather=AIR)
    with pytest.raises(InputError, match="has neither shot nor time_utc"):
        matched(heard, [KnownPlace("", 0.0, 0.0, 0.0, 0.1, 0.1)], sites=SITES, weather=AIR)


def test_repeats_from_one_place_become_one_and_others_do_not() -> None:
    pattern = [0.0, 1.0, 1.1, 1.4, 0.7]
    noisy = [[value + noise for value, noise in zip(pattern, row, strict=True)] for row in _NOISE]
    repeats = [impulse(f"r{number}", 3.0 * number, row) for number, row in enumerate(noisy)]
    elsewhere = impulse("other", 40.0, [0.0, 1.02, 1.06, 1.4, 0.7])
    late = impulse("late", 4000.0, pattern)
    found = merged_repeats([elsewhere, late, *repeats], within_s=3600.0)
    assert [(each.name, each.repeats) for each in found] == [("r0", 3), ("other", 1), ("late", 1)]
    times = {arrival.node: arrival.time_ns for arrival in found[0].arrivals}
    # Medians of three, on the time of the first: whole milliseconds here.
    assert (times["b"] - times["a"]) / 1e9 == pytest.approx(1.001, abs=1e-9)
    assert found[0].arrivals[0].sigma_s == pytest.approx(0.001 / 3**0.5)


_NOISE = ([0.0, 0.001, 0.0, 0.0, 0.0], [0.0, 0.0, 0.001, 0.0, 0.0], [0.0, 0.002, 0.0, 0.0, 0.0])


def test_four_arrivals_must_all_be_alike() -> None:
    one, other = impulse("one", 0.0, [0.0, 1.0, 1.1, 1.4]), impulse("other", 9.0, [0.0, 1.0, 1.1, 1.42])
    assert len(merged_repeats([one, other], within_s=60.0)) == 2


def test_known_places_are_repeats_when_they_are_the_same() -> None:
    here, there = (KnownPlace("", x_m, 0.0, 0.0, 0.1, 0.1, START_NS, 0.001) for x_m in (0.0, 30.0))
    shots = [impulse(str(n), 5.0 * n, [0.0, 1.0, 1.0], place) for n, place in enumerate((here, here, there))]
    found = merged_repeats([*shots, impulse("unknown", 20.0, [0.0, 1.0, 1.0, 1.4])], within_s=60.0)
    assert [each.repeats for each in found] == [2, 1, 1]
    assert found[0].place is not None
    assert found[0].place.time_ns is None
