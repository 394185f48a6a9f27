"""``shotline locate``: the example as documented, both roots, every mistake with its line."""

from __future__ import annotations

import json
import math
import shlex
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from fusion_server.arrival_table import read_arrivals
from fusion_server.locate_cli import _EXAMPLE, app
from shotline.atmosphere import speed_of_sound_mps
from shotline.errors import InputError
from shotline.geodesy import LocalFrame

ROOT = Path(__file__).parents[3]
SQUARE = {"a": (0.0, 0.0), "b": (400.0, 0.0), "c": (400.0, 300.0), "d": (0.0, 300.0)}
SHOT = (130.0, 90.0)


def delay_s(node: str, shot: tuple[float, float] = SHOT, temperature_c: float = 15.0) -> float:
    return math.dist(SQUARE[node], shot) / speed_of_sound_mps(temperature_c)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def table(tmp_path: Path, *rows: str, header: str = "node,x_m,y_m,time_s") -> Path:
    path = tmp_path / "arrivals.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


def exact(tmp_path: Path, nodes: str = "abcd", shot: tuple[float, float] = SHOT) -> Path:
    rows = [f"{node},{SQUARE[node][0]},{SQUARE[node][1]},{delay_s(node, shot):.9f}" for node in nodes]
    return table(tmp_path, *rows)


def test_the_example_in_the_help_works_as_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    line = next(line.strip() for line in _EXAMPLE.splitlines() if line.strip().startswith("shotline locate"))
    arguments = shlex.split(line)[2:]
    result = run(*arguments)
    assert result.exit_code == 0
    assert "roof-depot" in result.stdout
    assert "likely an echo" in result.stdout
    # The file was made from a shot at (62, -95) with up to 8 ms of late paths, and an echo at roof-depot.
    document = json.loads(run(*arguments, "--json").stdout)
    assert math.dist((document["x_m"], document["y_m"]), (62.0, -95.0)) < 5.0
    assert [item["node"] for item in document["arrivals"] if not item["used"]] == ["roof-depot"]


def test_options_of_the_other_examples_exist() -> None:
    lines = [line.strip() for line in _EXAMPLE.splitlines() if line.strip().startswith("shotline locate")]
    said = run("--help").stdout
    options = {word for line in lines for word in shlex.split(line) if word.startswith("--")}
    assert {"--incident", "--nodes", "--explain"} <= options
    assert all(option in said for option in options)


def test_the_picture_of_the_page_is_drawn_as_the_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "location.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if line.startswith("shotline locate") and "docs/images" in line]
    arguments = shlex.split(line)[2:]
    assert (ROOT / arguments[-1]).stat().st_size < 150_000
    monkeypatch.chdir(ROOT)
    assert run(*arguments[:-1], str(tmp_path / "explain.png")).exit_code == 0
    assert (tmp_path / "explain.png").is_file()


def test_exact_times_give_the_exact_place(tmp_path: Path) -> None:
    result = run(str(exact(tmp_path)), "--json")
    document = json.loads(result.stdout)
    assert document["located"] is True
    # Times in the table are rounded to 1 ns, which is 0.3 um.
    assert math.dist((document["x_m"], document["y_m"]), SHOT) < 1e-3
    assert [item["used"] for item in document["arrivals"]] == [True] * 4
    assert document["arrivals"][0]["time"].endswith(" s")
    assert document["cep50_m"] < document["cep95_m"] < document["ellipse95"]["semi_major_m"] * 1.01


def test_three_nodes_with_two_places_are_refused_with_both_and_exit_code_3(tmp_path: Path) -> None:
    shot = (-60.0, -40.0)
    path = exact(tmp_path, "abd", shot)
    result = run(str(path), "--json")
    document = json.loads(result.stdout)
    assert (result.exit_code, document["located"], document["reason"]) == (3, False, "two_roots")
    assert len(document["roots"]) == 2
    assert min(math.dist((root["x_m"], root["y_m"]), shot) for root in document["roots"]) < 0.5
    words = run(str(path))
    assert words.exit_code == 3
    assert "no place: three nodes leave 2 places" in words.stdout
    assert words.stdout.count("could be x ") == 2


def test_degrees_in_degrees_out_across_the_date_line(tmp_path: Path) -> None:
    frame = LocalFrame(-17.0, 179.999)
    rows = []
    for node, place in SQUARE.items():
        lat_deg, lon_deg, _ = frame.to_geodetic(*place)
        rows.append(f"{node},{lat_deg:.9f},{lon_deg:.9f},2026-03-14T21:30:{8 + delay_s(node):012.9f}Z")
    path = table(tmp_path, *rows, header="node,lat_deg,lon_deg,time_utc")
    document = json.loads(run(str(path), "--json").stdout)
    east_m, north_m, _ = frame.to_enu_m(document["lat_deg"], document["lon_deg"])
    # The result is rounded to 1e-7 degrees, a centimetre.
    assert math.dist((east_m, north_m), SHOT) < 0.02
    assert document["time"].startswith("2026-03-14T21:30:08.000")
    assert "place    -16.999187, -179.999779" in run(str(path)).stdout


def test_temperature_wind_and_height_are_used(tmp_path: Path) -> None:
    path = exact(tmp_path)
    places = {
        json.loads(run(str(path), "--json", *options).stdout)["x_m"]
        for options in (
            (),
            ("--temperature-c", "-10"),
            ("--wind-speed-mps", "8", "--wind-from-deg", "90"),
            ("--height", "known", "--height-m", "60"),
        )
    }
    assert len(places) == 4
    assert json.loads(run(str(path), "--json", "--height", "free").stdout)["z_m"] is not None


def test_a_json_table(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"node": node, "x_m": x_m, "y_m": y_m, "time_s": delay_s(node), "sigma_s": 0.0001, "z_m": 5}
        for node, (x_m, y_m) in SQUARE.items()
    ]
    path = tmp_path / "arrivals.json"
    path.write_text(json.dumps(rows))
    document = json.loads(run(str(path), "--json").stdout)
    assert math.dist((document["x_m"], document["y_m"]), SHOT) < 1e-3
    rows[2]["x_m"] = "far"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=r"arrivals.json: \[2\]\.x_m: 'far' is not a number"):
        read_arrivals(path)


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        ("node,x_m,y_m,time_s", "a,0,zero,1.0", r":2: y_m: 'zero' is not a number"),
        ("node,x_m,y_m,time_s", "a,0,0", r":2: expected 4 columns as in the first line"),
        ("node,x_m,y_m,time_s", "a,0,0,1,9", r":2: expected 4 columns as in the first line"),
        ("node,x_m,y_m,time_s", ",0,0,1", r":2: node: missing"),
        ("node,x_m,time_s", "a,0,1", r":2: x_m: expected x_m and y_m, or lat_deg and lon_deg; saw x_m"),
        ("node,x_m,y_m", "a,0,0", r":2: time_utc: expected either time_utc or time_s; saw neither"),
        ("node,x_m,y_m,time_utc", "a,0,0,yesterday", r":2: time_utc: 'yesterday' is not a UTC time"),
        ("node,x_m,y_m,time_utc", "a,0,0,2026-03-14T21:30:08", r":2: time_utc: .*with Z or an offset"),
        ("node,x_m,y_m,time_s,colour", "a,0,0,1,red", r":2: colour: unknown column"),
        ("node,x_m,y_m,time_s,sigma_s", "a,0,0,1,-1", r":2: sigma_s: -1 is negative"),
        ("node,lat_deg,lon_deg,time_s", "a,99,0,1", r":2: lat_deg: latitude 99.* is outside"),
        ("node,x_m,y_m,time_s", "a,nan,0,1", r":2: x_m: 'nan' is not a number"),
    ],
)
def test_mistakes_are_named_with_file_line_and_column(header: str, row: str, message: str, tmp_path: Path) -> None:
    path = table(tmp_path, row, header=header)
    with pytest.raises(InputError, match=message) as caught:
        read_arrivals(path)
    assert str(caught.value).startswith(str(path))


def test_files_that_are_no_table(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the file: No such file"):
        read_arrivals(tmp_path / "none.csv")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        read_arrivals(tmp_path / "x.csv")
    with pytest.raises(InputError, match="no arrivals"):
        read_arrivals(table(tmp_path))
    (tmp_path / "x.json").write_text("[\n{]")
    with pytest.raises(InputError, match=r"x.json:2: not JSON"):
        read_arrivals(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="expected a list of objects"):
        read_arrivals(tmp_path / "x.json")


def test_rows_of_two_kinds_are_refused(tmp_path: Path) -> None:
    header = "node,x_m,y_m,lat_deg,lon_deg,time_s"
    with pytest.raises(InputError, match="positions of two kinds"):
        read_arrivals(table(tmp_path, "a,0,0,,,1", "b,,,40,5,1", header=header))
    header = "node,x_m,y_m,time_utc,time_s"
    with pytest.raises(InputError, match="times of two kinds"):
        read_arrivals(table(tmp_path, "a,0,0,,1", "b,0,0,2026-03-14T21:30:08Z,", header=header))
