"""``shotline plan``: from files to words, maps, files for other programs, and a signed record."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from fusion_server.database import Database
from fusion_server.evidence.signing import SigningKey
from fusion_server.history import History
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import HeardHour
from fusion_server.scorecard.heard import HOUR_NS, SERVER
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc
from shotline_calibration.cli import app as calibrate
from shotline_calibration.plan.result import PlanResult
from shotline_calibration.plan_cli import app
from shotline_calibration.recordbook import RecordBook

RUN = CliRunner()
FRAME = LocalFrame(51.5, -0.12, 40.0)
PLACES = ((100.0, 100.0), (900.0, 80.0), (920.0, 900.0), (60.0, 950.0), (500.0, 480.0))
SHAPE = [(0.0, 0.0), (1000.0, 0.0), (1000.0, 1000.0), (0.0, 1000.0), (0.0, 0.0)]
NOON_NS = parse_utc("2026-03-02T12:00:00Z")
FULL = (1 << 60) - 1
QUICK = ("--cell-m", 100, "--surroundings", "open", "--weapon", "ruger-mk4", "--noise-dba", 45)


def lon_lat(x_m: float, y_m: float) -> list[float]:
    lat_deg, lon_deg, _ = FRAME.to_geodetic(x_m, y_m)
    return [lon_deg, lat_deg]


def points(places: tuple[tuple[float, float], ...], prefix: str) -> str:
    features = [
        {
            "type": "Feature",
            "id": f"{prefix}-{number}",
            "properties": {},
            "geometry": {"type": "Point", "coordinates": lon_lat(*place)},
        }
        for number, place in enumerate(places)
    ]
    return json.dumps({"type": "FeatureCollection", "features": features})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an area, a server's configuration, and candidates."""
    ring = [lon_lat(*corner) for corner in SHAPE]
    (tmp_path / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    (tmp_path / "nodes.geojson").write_text(points(PLACES, "roof"))
    (tmp_path / "candidates.geojson").write_text(points(((300.0, 300.0), (750.0, 650.0), (-900.0, 0.0)), "spot"))
    nodes = "".join(
        f'[[nodes]]\nid = "roof-{number}"\nx_m = {x_m}\ny_m = {y_m}\nz_m = {8.0 + number}\nsigma_m = 0.5\n'
        for number, (x_m, y_m) in enumerate(PLACES)
    )
    (tmp_path / "server.toml").write_text(
        '[server]\ndatabase = "history.db"\n[frame]\nlat_deg = 51.5\nlon_deg = -0.12\nheight_m = 40.0\n'
        f"[weather]\ntemperature_c = 6.0\n{nodes}"
    )
    return tmp_path


def run(*words: object, code: int = 0) -> str:
    done = RUN.invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def told(*words: object) -> dict[str, Any]:
    return dict(json.loads(run(*words, "--json")))


def test_an_area_that_is_elsewhere_is_refused(folder: Path) -> None:
    ring = [lon_lat(*corner)[::-1] for corner in SHAPE]
    (folder / "area.geojson").write_text(json.dumps({"type": "Polygon", "coordinates": [ring]}))
    words = [str(folder / "area.geojson"), "--config", str(folder / "server.toml"), *map(str, QUICK)]
    with pytest.raises(InputError, match=r"km from the nearest node; is it the right one, longitude first\?"):
        RUN.invoke(app, words, catch_exceptions=False)


def test_from_a_configuration_to_maps_words_and_a_record(folder: Path) -> None:
    SigningKey.new(folder / "k")
    text = run(
        folder / "area.geojson",
        *("--config", folder / "server.toml", *QUICK),
        *("--plot", folder / "plan.svg", "--geotiff", folder / "plan.tif", "--geojson", folder / "plan.geojson"),
        *("--add", 1, "--candidates", folder / "candidates.geojson", "--failures"),
        *("--by", "Ann", "--sign-with", folder / "k", "--records", folder / "records"),
    )
    assert "planned for  ruger-mk4 in open surroundings, 6 °C" in text
    assert "nodes        5" in text
    assert "of 1.00 km²" in text
    assert "the best of all choices" in text
    assert "place        spot-" in text
    assert "without      roof-" in text
    (signed,) = RecordBook.read(folder / "records").records
    result = signed.record.result
    assert isinstance(result, PlanResult)
    assert [item.name for item in signed.record.inputs] == ["area.geojson", "server.toml", "candidates.geojson"]
    assert (signed.record.kind, signed.record.node, signed.record.procedure) == ("plan", "", "coverage plan 1")
    assert result.certified
    assert result.then is not None
    assert result.then.goal_probability > result.now.goal_probability
    assert {one.node for one in result.failures} == {f"roof-{number}" for number in range(5)}
    assert "found less after the worst single failure" in (folder / "plan.svg").read_text(encoding="utf-8")
    assert (folder / "plan.tif").stat().st_size > 1000
    plan = json.loads((folder / "plan.geojson").read_text(encoding="utf-8"))
    assert (plan["weapons"], plan["surroundings"], plan["min_nodes"]) == (["ruger-mk4"], "open", 4)
    assert [one["properties"]["role"] for one in plan["features"]].count("node") == 5
    done = RUN.invoke(calibrate, ["show", signed.id, "--records", str(folder / "records")], catch_exceptions=False)
    assert "plan of the network" in done.stdout
    assert "covered" in done.stdout


def test_json_says_the_same_and_a_procedure_is_a_command_of_calibrate(folder: Path) -> None:
    words = [folder / "area.geojson", "--config", folder / "server.toml", *QUICK]
    made = told(*words)
    assert made["record"] is None
    assert made["suggested"] == []
    now = made["result"]["now"]
    assert now["area_km2"] == pytest.approx(1.0, abs=0.02)
    assert 0.0 <= now["goal_probability"] <= now["detect_probability"] <= now["enough_probability"] <= 1.0
    done = RUN.invoke(calibrate, ["plan", *(str(word) for word in words), "--json"], catch_exceptions=False)
    assert json.loads(done.stdout) == made


def test_what_is_wrong_with_nodes_lowers_what_is_found(folder: Path) -> None:
    words = [folder / "area.geojson", "--nodes", folder / "nodes.geojson", *QUICK]
    plain = told(*words)["result"]["now"]["detect_probability"]
    (folder / "state.toml").write_text('[[nodes]]\nid = "roof-4"\nnoise_dba = 75.0\n')
    for worse in (
        ("--failed", "roof-0"),
        ("--muffled", "roof-0=-40"),
        ("--state", folder / "state.toml"),
        ("--wind-mps", 8, "--wind-from-deg", 270),
        ("--weapon", "glock-17-suppressed"),
        ("--noise-dba", 60),
    ):
        assert told(*words, *worse)["result"]["now"]["detect_probability"] < plain - 0.02, worse
    lost = told(*words, "--failed", "roof-0", "--failed", "roof-3")["result"]
    assert lost["failed"] == ["roof-0", "roof-3"]
    assert lost["nodes"] == ["roof-1", "roof-2", "roof-4"]
    # Three nodes are not four.
    assert lost["now"]["enough_probability"] == 0.0


def test_places_on_a_grid_where_there_are_no_nodes_at_all(folder: Path) -> None:
    made = told(folder / "area.geojson", *QUICK, "--add", 4, "--apart-m", 450)
    assert made["result"]["nodes"] == []
    assert made["result"]["now"]["detect_probability"] == 0.0
    assert made["result"]["then"]["detect_probability"] > 0.1
    assert len({place["node"] for place in made["suggested"]}) == 4
    for place in made["suggested"]:
        assert abs(place["lat_deg"] - 51.505) < 0.006


def test_what_was_covered_when(folder: Path) -> None:
    with closing(Database.open(folder / "history.db")) as database:
        History(database)
        rows = [HeardHour(NOON_NS, name, FULL) for name in (SERVER, *(f"roof-{number}" for number in range(5)))]
        rows += [HeardHour(NOON_NS + HOUR_NS, name, FULL) for name in (SERVER, "roof-0", "roof-1")]
        Scorebook(database).add_heard(rows)
    words = [folder / "area.geojson", "--config", folder / "server.toml", *QUICK]
    run(
        *words,
        *("--history", folder / "h.csv", "--history-plot", folder / "h.png"),
        *("--from", "2026-03-02", "--to", "2026-03-02T15:00:00Z"),
    )
    lines = [line.split(",") for line in (folder / "h.csv").read_text(encoding="utf-8").splitlines()[1:]]
    assert len(lines) == 15
    found = np.array([float(line[5]) for line in lines])
    assert found[12] > 0.1
    assert np.flatnonzero(found).tolist() == [12]
    assert [line[3] for line in lines[12:]] == ["5.00", "2.00", "0.00"]
    assert (folder / "h.png").read_bytes().startswith(b"\x89PNG")
    run(*words, "--history", folder / "day.csv", "--to", "2026-03-02T15:00:00Z", "--hours", 24)
    (day,) = (folder / "day.csv").read_text(encoding="utf-8").splitlines()[1:]
    # From the first hour that was kept.
    assert day.startswith("2026-03-02T12:00:00Z,180,120,")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--surroundings", "moon"), "no surroundings 'moon'"),
        (("--failed", "roof-9"), r"--failed: no node 'roof-9'; there are roof-0"),
        (("--muffled", "roof-1"), r"--muffled: 'roof-1', expected NODE=DB such as roof-3=-20"),
        (("--muffled", "roof-1=loud"), r"--muffled: 'roof-1=loud', expected NODE=DB"),
        (("--muffled", "roof-1=3"), r"nodes\.roof-1\.muffled_db: muffled by 3 dB; give 0 or less"),
        (("--add", 1, "--apart-m", 20), "has more than 300 places"),
        (("--add", 20, "--apart-m", 450), "--add: 20 of . candidate sites; ask for 1 to"),
        (("--history", "h.csv"), "--history: a history needs the server's configuration; give --config"),
        (("--plot", "plan.txt"), r"--plot: 'plan\.txt' does not end in \.png"),
        (("--by", "Ann"), "--by and --sign-with go together"),
    ],
)
def test_what_cannot_be_is_explained(folder: Path, words: tuple[object, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run(folder / "area.geojson", "--nodes", folder / "nodes.geojson", *QUICK, *words)


def test_a_network_without_nodes_origin_or_history_is_explained(folder: Path) -> None:
    area = folder / "area.geojson"
    with pytest.raises(InputError, match="no nodes; give --config or --nodes, or ask for some with --add"):
        run(area, *QUICK)
    with pytest.raises(InputError, match="no history is there; name the configuration of a server that has run"):
        run(area, "--config", folder / "server.toml", *QUICK, "--history", folder / "h.csv")
    (folder / "plain.toml").write_text('[[nodes]]\nid = "a"\nx_m = 1.0\ny_m = 2.0\n')
    with pytest.raises(InputError, match=r"has no \[frame\], so its place in WGS-84 is not known; add its origin"):
        run(area, "--config", folder / "plain.toml", *QUICK)
    with pytest.raises(InputError, match="cannot read the file as UTF-8"):
        run(folder / "missing.geojson", "--nodes", folder / "nodes.geojson", *QUICK)
