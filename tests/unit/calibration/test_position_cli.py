"""``shotline calibrate position average|import|moved``: from logs and tables to records, lines and a plot."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from gnss_samples import HOME, fixes_at, gpsd_text, wander_m
from typer.testing import CliRunner

from fusion_server.config import load_server_config
from fusion_server.evidence.signing import SigningKey
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.cli import app
from shotline_calibration.recordbook import RecordBook

RUN = CliRunner()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return two hours of fixes, one in twenty seconds."""
    path = tmp_path / "gps.json"
    enu_m = wander_m(360, 20.0, [(60.0, 1.0), (900.0, 1.0)], np.random.default_rng(4))
    path.write_text(gpsd_text(fixes_at(enu_m, 20.0)))
    return path


@pytest.fixture
def kept(tmp_path: Path) -> list[str]:
    SigningKey.new(tmp_path / "k")
    return ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]


def run(*words: object, code: int = 0) -> str:
    done = RUN.invoke(app, ["position", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_from_a_log_to_a_record_a_plot_and_lines(log: Path, kept: list[str], tmp_path: Path) -> None:
    plot = tmp_path / "plot.svg"
    text = run("average", log, "--node", "roof-1", "--mic-from-antenna", 0, 1.5, -0.5, "--plot", plot, *kept)
    assert "averaged     360 fixes in 1.99 h, 0 not used" in text
    assert "microphone   +0.00 m east, +1.50 m north, -0.50 m up" in text
    assert "shotline calibrate apply roof-1" in text
    assert "independent fixes, not 360" in text
    picture = plot.read_text(encoding="utf-8")
    assert "windows" in picture
    assert picture.startswith("<?xml")
    (signed,) = RecordBook.read(tmp_path / "records").records
    assert signed.record.inputs[0].name == "gps.json"
    assert signed.record.procedure == "gnss average 1"
    site = signed.record.result.site_settings("roof-1")
    _, north_m, up_m = LocalFrame(*HOME).to_enu_m(*(float(site[key]) for key in ("lat_deg", "lon_deg", "height_m")))
    assert abs(north_m - 1.5) < 6.0
    assert abs(up_m + 0.5) < 9.0


def test_json_says_the_same_and_how_long(log: Path) -> None:
    said = json.loads(run("average", log, "--node", "a", "--json", "--wanted-m", 1.3))
    assert said["record"] is None
    assert said["result"]["averaging"]["fixes"] == 360
    assert said["result"]["averaging"]["slow_sigma_m"] == 1.0
    assert said["hours_for_wanted"] > 2.0
    corrected = json.loads(run("average", log, "--node", "a", "--json", "--bias-m", 0.1))
    assert corrected["result"]["averaging"]["slow_sigma_m"] == 0.1
    assert corrected["result"]["sigma_m"] < said["result"]["sigma_m"]


@pytest.mark.parametrize(
    ("wanted_m", "says"),
    [
        (50.0, "enough       50 m were wanted"),
        (1.2, "h more make 1.2 m likely"),
        (1.0, "never        1 m is not more than"),
    ],
)
def test_how_much_longer(log: Path, wanted_m: float, says: str) -> None:
    assert says in run("average", log, "--node", "a", "--wanted-m", wanted_m)


def test_what_cannot_be_averaged(log: Path, tmp_path: Path) -> None:
    short = tmp_path / "short.json"
    short.write_text("\n".join(log.read_text().splitlines()[:10]))
    with pytest.raises(InputError, match=r"short\.json: no average, too short: 2\.7 minutes with 9 fixes"):
        run("average", short, "--node", "a")
    with pytest.raises(InputError, match="expected logs, or --live LOG: one of them"):
        run("average", "--node", "a")
    with pytest.raises(InputError, match="'7', expected HOST:PORT"):
        run("average", "--node", "a", "--live", tmp_path / "x", "--gpsd", "7")
    with pytest.raises(InputError, match="--by and --sign-with go together"):
        run("average", log, "--node", "a", "--by", "Ann")
    with pytest.raises(InputError, match=r"--plot: 'x\.txt' does not end in \.png"):
        run("average", log, "--node", "a", "--plot", tmp_path / "x.txt")


def test_a_table_of_points_becomes_sites_and_records(kept: list[str], tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text(
        "Node;Rechtswert;Hochwert;H (m);sigma_m\nroof-1;500000,0;5800000,0;60,5;0,02\nroof-2;500400;5800100;58;0,03\n"
    )
    out = tmp_path / "sites.toml"
    words = ["import", table, "--crs", "EPSG:25832", "--height-is", "geoid", "--geoid-m", 42.0, "--out", out]
    said = json.loads(run(*words, *kept, "--json"))
    assert said["columns"] == {
        "node": "Node",
        "east": "Rechtswert",
        "north": "Hochwert",
        "height": "H (m)",
        "sigma": "sigma_m",
    }
    assert len(said["records"]) == 2
    server = tmp_path / "server.toml"
    server.write_text("[frame]\nlat_deg = 52.35\nlon_deg = 9.0\nheight_m = 100.0\n" + out.read_text())
    sites = list(load_server_config(server).to_registry())
    # In UTM 0.9996 of the metres: 400 m and 100 m are 400.16 m and 100.04 m on the ground, and 0.002 % more aloft.
    apart_m = (sites[1].x_m - sites[0].x_m, sites[1].y_m - sites[0].y_m)
    assert apart_m == pytest.approx((400.16, 100.04), abs=0.05)
    assert [site.sigma_m for site in sites] == [0.02, 0.03]
    assert sites[0].z_m == pytest.approx(2.5, abs=0.05)
    done = RUN.invoke(app, ["check", "-c", str(server), *kept[-2:]], catch_exceptions=False)
    assert (done.exit_code, "4 values are as recorded, 0 are not" in done.output) == (0, True), done.output
    with pytest.raises(InputError, match="is there already"):
        run(*words)
    geojson = tmp_path / "sites.geojson"
    run(*words[:-1], geojson)
    assert json.loads(geojson.read_text())["features"][0]["properties"] == {"node": "roof-1", "sigma_m": 0.02}
    printed = run("import", geojson)
    assert tomllib.loads(printed) == tomllib.loads(out.read_text())


def test_columns_by_hand(tmp_path: Path) -> None:
    table = tmp_path / "points.csv"
    table.write_text("who,x,y,up,err\na,5800000,3500000,1000,0.5\n")
    words = ["import", table, "--crs", "EPSG:31467", "--id", "who", "--east", "y", "--north", "x", "--height", "up"]
    printed = run(*words, "--sigma", "err", "--height-is", "ellipsoid", "--height-unit", "ft")
    (site,) = tomllib.loads(printed)["nodes"]
    assert (site["id"], site["height_m"], site["sigma_m"]) == ("a", 304.8, 0.5)
    assert (site["lat_deg"], site["lon_deg"]) == pytest.approx((52.33, 9.0), abs=0.01)
    with pytest.raises(InputError, match="ends in neither"):
        run("import", table, "--out", "a.txt")


def test_a_node_that_was_moved_is_found_by_its_record(log: Path, kept: list[str], tmp_path: Path) -> None:
    run("average", log, "--node", "roof-1", *kept)
    assert "nothing says that it was moved" in run("moved", log, "--node", "roof-1", *kept[-2:])
    enu_m = wander_m(3 * 60, 20.0, [(900.0, 1.0)], np.random.default_rng(5))
    enu_m[:, 0] += 40.0
    away = tmp_path / "away.json"
    away.write_text(gpsd_text(fixes_at(enu_m, 20.0)))
    said = json.loads(run("moved", away, "--node", "roof-1", *kept[-2:], "--json", code=1))
    assert said["moved"] is True
    assert 30.0 < said["offset_m"] < 50.0
    with pytest.raises(InputError, match="no record of the position of 'roof-9'"):
        run("moved", log, "--node", "roof-9", *kept[-2:])
