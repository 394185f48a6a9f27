"""Streets under the map: which files are taken, what is said of the others, and ranges of bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from alert_samples import FRAME
from api_client import ask, sample_app
from basemap_samples import raster_pmtiles, streets_geojson, vector_pmtiles
from fastapi import FastAPI
from hypothesis import given
from hypothesis import strategies as st

from fusion_server.api.basemap_routes import byte_range
from fusion_server.basemap import Basemap, BasemapKind
from fusion_server.config import load_server_config
from fusion_server.history import History
from fusion_server.selfcheck import check_configuration
from shotline.errors import ConfigError, InputError
from shotline.health import CheckStatus

LINE = {"type": "LineString", "coordinates": [[-80.0, 40.0], [-79.9, 40.1]]}


def collection(*geometries: Any) -> str:
    features = [{"type": "Feature", "properties": {}, "geometry": geometry} for geometry in geometries]
    return json.dumps({"type": "FeatureCollection", "features": features})


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        Basemap.read(path)
    assert str(path) in str(caught.value)
    assert "console.basemap" in str(caught.value)
    return str(caught.value)


# --- files ----------------------------------------------------------------------------------------------------------


def test_streets_of_geojson(tmp_path: Path) -> None:
    basemap = Basemap.read(streets_geojson(tmp_path / "streets.geojson"))
    assert (basemap.kind, basemap.attribution) == (BasemapKind.GEOJSON, "Streets made up for tests © nobody")


def test_tiles_of_images_and_of_shapes(tmp_path: Path) -> None:
    images = Basemap.read(raster_pmtiles(tmp_path / "images.pmtiles"))
    assert (images.kind, images.min_zoom, images.max_zoom) == (BasemapKind.RASTER, 14, 15)
    shapes = Basemap.read(vector_pmtiles(tmp_path / "shapes.PMTILES"))
    assert (shapes.kind, shapes.min_zoom, shapes.max_zoom) == (BasemapKind.VECTOR, 13, 16)
    assert shapes.attribution == images.attribution == "Streets made up for tests © nobody"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("map.mbtiles", "", "is neither .geojson nor .pmtiles"),
        ("a.geojson", "{", "is no JSON"),
        ("a.geojson", "[]", "is no GeoJSON FeatureCollection: its type is None"),
        ("a.geojson", json.dumps({"type": "Topology"}), "its type is 'Topology'"),
        ("a.geojson", collection(), "has no line and no polygon"),
        ("a.geojson", collection({"type": "Point", "coordinates": [-80, 40]}, None), "has no line and no polygon"),
        ("a.geojson", collection(LINE, LINE | {"coordinates": [[585000.0, 4477000.0]]}), "in feature 1, which is no"),
        ("a.geojson", collection(LINE | {"coordinates": [["a", "b"]]}), "in feature 0, which is no longitude"),
        ("a.geojson", collection(LINE | {"coordinates": None}), "in feature 0, which is no longitude"),
        ("a.pmtiles", "SQLite format 3", "is no PMTiles archive: it begins with b'SQLite '"),
        ("a.pmtiles", "PMTiles", "ends after 7 bytes, within its header"),
    ],
)
def test_what_is_not_a_basemap_is_said(tmp_path: Path, name: str, content: str, words: str) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    assert words in refused(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "cannot be read: No such file" in refused(tmp_path / "streets.geojson")
    assert "cannot be read: No such file" in refused(tmp_path / "streets.pmtiles")


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    path = tmp_path / "country.geojson"
    with path.open("wb") as file:
        file.truncate(30_000_001)
    assert "too much to draw at once" in refused(path)


@pytest.mark.parametrize(
    ("at", "byte", "words"),
    [
        (7, 2, "is of PMTiles version 2, version 3 is read"),
        (97, 3, "its directories are compressed with brotli; use gzip"),
        (98, 4, "its tiles are compressed with zstd; use gzip"),
        (99, 0, "has tiles of type 0"),
        (39, 1, "is cut off"),
        (63, 1, "is cut off"),
        (97, 1, "has metadata that is no JSON object"),
    ],
)
def test_an_archive_that_browsers_cannot_show(tmp_path: Path, at: int, byte: int, words: str) -> None:
    path = vector_pmtiles(tmp_path / "a.pmtiles")
    data = bytearray(path.read_bytes())
    data[at] = byte
    path.write_bytes(data)
    assert words in refused(path)


def test_an_archive_that_was_cut_off(tmp_path: Path) -> None:
    path = vector_pmtiles(tmp_path / "a.pmtiles")
    path.write_bytes(path.read_bytes()[:-1])
    assert "is cut off" in refused(path)


def test_vector_tiles_of_another_schema_would_be_an_empty_map(tmp_path: Path) -> None:
    path = vector_pmtiles(tmp_path / "a.pmtiles", layers=("land", "waterway", "transportation"))
    assert "has vector layers land, waterway, transportation, and is drawn by those of Protomaps" in refused(path)


# --- configuration --------------------------------------------------------------------------------------------------

FRAMED = '[frame]\nlat_deg = 40.44\nlon_deg = -79.99\n[http]\nport = 0\n[server]\nbind = "tcp://127.0.0.1:0"\n'


def test_the_path_is_taken_from_the_folder_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text(FRAMED + '[console]\nbasemap = "streets.geojson"\n', encoding="utf-8")
    config = load_server_config(path)
    assert config.console.basemap == str(tmp_path / "streets.geojson")
    (check,) = [check for check in check_configuration(config, now_ns=0).checks if check.name == "basemap"]
    assert check.status is CheckStatus.FAIL
    assert "cannot be read: No such file" in check.message
    streets_geojson(tmp_path / "streets.geojson")
    (check,) = [check for check in check_configuration(config, now_ns=0).checks if check.name == "basemap"]
    assert check.status is CheckStatus.OK


def test_streets_need_an_origin(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[console]\nbasemap = "streets.geojson"\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"server\.toml:2: console\.basemap: streets are in degrees but there is no"):
        load_server_config(path)


# --- over HTTP ------------------------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return vector_pmtiles(tmp_path / "a.pmtiles")


@pytest.fixture
def app(history: History, path: Path) -> FastAPI:
    return sample_app(history, basemap=Basemap.read(path))


def test_meta_says_where_the_streets_are(app: FastAPI, history: History, tmp_path: Path) -> None:
    assert ask(app, "/meta").json()["basemap"] == {
        "kind": "vector",
        "href": "/console/basemap.pmtiles",
        "attribution": "Streets made up for tests © nobody",
        "min_zoom": 13,
        "max_zoom": 16,
    }
    assert ask(app, "/console/basemap.geojson").status_code == 404
    streets = Basemap.read(streets_geojson(tmp_path / "s.geojson"))
    answer = ask(sample_app(history, basemap=streets, frame=FRAME), "/console/basemap.geojson")
    assert answer.headers["content-type"] == "application/geo+json"
    assert answer.json()["type"] == "FeatureCollection"
    assert ask(sample_app(history), "/meta").json()["basemap"] is None


def test_the_whole_file(app: FastAPI, path: Path) -> None:
    answer = ask(app, "/console/basemap.pmtiles")
    assert answer.status_code == 200
    assert answer.content == path.read_bytes()
    assert answer.headers["accept-ranges"] == "bytes"
    assert int(answer.headers["content-length"]) == path.stat().st_size
    again = ask(app, "/console/basemap.pmtiles", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_range_of_bytes(app: FastAPI, path: Path) -> None:
    data = path.read_bytes()
    answer = ask(app, "/console/basemap.pmtiles", headers={"Range": "bytes=0-126"})
    assert answer.status_code == 206
    assert answer.content == data[:127]
    assert answer.headers["content-range"] == f"bytes 0-126/{len(data)}"
    assert answer.headers["content-length"] == "127"
    assert answer.headers["content-type"] == "application/vnd.pmtiles"
    tail = ask(app, "/console/basemap.pmtiles", headers={"Range": "bytes=-10"})
    assert tail.content == data[-10:]
    beyond = ask(app, "/console/basemap.pmtiles", headers={"Range": f"bytes={len(data)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(data)}"
    assert "asks for none of them" in beyond.json()["detail"]


def test_a_range_of_a_file_that_has_changed_since_is_the_whole(app: FastAPI, path: Path) -> None:
    tag = ask(app, "/console/basemap.pmtiles").headers["etag"]
    wanted = {"Range": "bytes=0-9", "If-Range": tag}
    assert ask(app, "/console/basemap.pmtiles", headers=wanted).status_code == 206
    path.write_bytes(path.read_bytes() + b"more")
    assert ask(app, "/console/basemap.pmtiles", headers=wanted).status_code == 200


def test_a_file_that_went_away(app: FastAPI, path: Path) -> None:
    path.unlink()
    answer = ask(app, "/console/basemap.pmtiles")
    assert answer.status_code == 503
    assert "a.pmtiles is not there any more" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", None),
        ("bytes=0-0", (0, 1)),
        ("bytes=5-", (5, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=-0", (10, 10)),
        ("bytes=10-", (10, 10)),
        ("bytes=10-12", (10, 10)),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        ("bytes=٣-٤", None),
    ],
)
def test_what_a_range_asks_for(header: str, expected: tuple[int, int] | None) -> None:
    assert byte_range(header, 10) == expected


@given(st.text(max_size=30), st.integers(0, 2**40))
def test_no_range_reaches_beyond_the_file(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        part = byte_range(text, size)
        assert part is None or 0 <= part[0] <= part[1] <= size
