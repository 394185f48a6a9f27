from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from pydantic import BaseModel

from fusion_server import configdoc
from fusion_server.associate import AssociateSettings
from fusion_server.config import ServerConfig, load_server_config
from fusion_server.configdoc import with_reference
from fusion_server.incidents import IncidentSettings
from shotline.atmosphere import Weather
from shotline.config import parse_config
from shotline.domain import Site
from shotline.errors import ConfigError
from shotline.geodesy import LocalFrame
from shotline.timebase import EventClock


def load(folder: Path, text: str) -> ServerConfig:
    path = folder / "server.toml"
    path.write_text(text)
    return load_server_config(path)


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return [str(problem).removeprefix(f"{folder}/") for problem in caught.value.problems]


def test_an_empty_file_is_a_server_on_defaults(tmp_path: Path) -> None:
    config = load(tmp_path, "")
    assert config.server.bind == "tcp://127.0.0.1:5570"
    assert config.server.database == str(tmp_path / "shotline.db")
    assert (config.http.enabled, config.http.host, config.http.port) == (True, "127.0.0.1", 8080)
    assert config.to_frame() is None
    assert len(config.to_registry()) == 0
    assert config.to_weather().at(0) == Weather()
    assert config.to_event_clock() == EventClock()
    assert config.scene == ""
    assert [sink.kind for sink in config.sinks] == ["console"]


def test_everything_given_is_used(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        [server]
        bind = "tcp://127.0.0.1:0"
        database = "postgresql+psycopg://user@host/shotline"
        curve_secret_file = "keys/server.key_secret"
        allow_list = "nodes.keys"
        [frame]
        lat_deg = 40.44
        lon_deg = -79.99
        height_m = 230
        [weather]
        temperature_c = -3
        wind_speed_mps = 4.5
        wind_from_deg = 270
        humidity_percent = 80
        [[nodes]]
        id = "a"
        x_m = 1
        y_m = -2.5
        z_m = 9.0
        sigma_m = 0.5
        [[nodes]]
        id = "b"
        lat_deg = 40.44
        lon_deg = -79.99
        [[nodes]]
        id = "c"
        lat_deg = 40.44
        lon_deg = -79.99
        height_m = 240
        [[sinks]]
        kind = "console"
        [[sinks]]
        kind = "jsonl"
        path = "alerts.jsonl"
        [[sinks]]
        kind = "webhook"
        name = "cad"
        url = "https://dispatch.example.org/shots"
        secret_file = "/etc/shotline/cad.secret"
        [clock]
        kind = "replay"
        event_epoch_utc = "2018-12-19T00:49:26.000Z"
        wall_epoch_utc = "2026-01-01T00:00:00Z"
        factor = 10
        scene = "FP1"
        """,
    )
    assert config.server.database == "postgresql+psycopg://user@host/shotline"
    assert config.server.curve_secret_file == str(tmp_path / "keys/server.key_secret")
    assert config.to_frame() == LocalFrame(40.44, -79.99, 230.0)
    assert config.to_weather().at(0) == Weather(-3.0, 4.5, 270.0, 80.0)
    sites = {site.node: site for site in config.to_registry()}
    assert sites["a"] == Site("a", 1.0, -2.5, 9.0, 0.5)
    # b and c stand on the origin, b as high as it and c 10 m above; to a micrometre through the projection.
    assert (sites["b"].x_m, sites["b"].y_m, sites["b"].z_m) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
    assert (sites["c"].x_m, sites["c"].y_m, sites["c"].z_m) == pytest.approx((0.0, 0.0, 10.0), abs=1e-6)
    assert [(sink.kind, sink.name) for sink in config.sinks] == [
        ("console", "console"),
        ("jsonl", "jsonl"),
        ("webhook", "cad"),
    ]
    assert config.sinks[1].model_dump()["path"] == str(tmp_path / "alerts.jsonl")
    assert config.sinks[2].model_dump()["secret_file"] == "/etc/shotline/cad.secret"
    assert config.to_event_clock() == EventClock(1_545_180_566_000_000_000, 1_767_225_600_000_000_000, 10.0)
    assert config.scene == "FP1"


def test_every_mistake_is_named_with_its_line_at_once(tmp_path: Path) -> None:
    text = """[server]
bnd = "tcp://*:5570"
bind = "5570"
[http]
port = 70000
host = 7
[weather]
temperature_c = 288.15
[frame]
lat_deg = 40.0
[[nodes]]
id = "a b"
x_m = 1.0
y_m = 1.0
[[nodes]]
id = "c"
[[nodes]]
id = "d"
x_m = 1.0
y_m = 1.0
lat_deg = 3.0
[[sinks]]
kind = "pigeon"
[[sinks]]
kind = "jsonl"
[clock]
kind = "replay"
event_epoch_utc = "2018-12-19 00:49"
wall_epoch_utc = "2026-01-01T00:00:00Z"
factor = 0
"""
    found = problems(tmp_path, text)
    expected = [
        ("server.toml:2: server.bnd: ", "unknown key; check its spelling"),
        ("server.toml:3: server.bind: ", "should match pattern"),
        ("server.toml:5: http.port: ", "less than or equal to 65535; saw 70000"),
        ("server.toml:6: http.host: ", "should be a valid string; saw 7"),
        ("server.toml:8: weather.temperature_c: ", "less than or equal to 60; saw 288.15"),
        ("server.toml:9: frame.lon_deg: ", "missing; it has no default"),
        ("server.toml:12: nodes.0.id: ", "should match pattern"),
        ("server.toml:15: nodes.1: ", "node 'c' has no position; give x_m and y_m, or lat_deg and lon_deg"),
        ("server.toml:17: nodes.2: ", "node 'd' has lat_deg, x_m, y_m; give metres or degrees, not both"),
        ("server.toml:22: sinks.0: ", "'pigeon'"),
        ("sinks.1.jsonl.path: ", "missing"),
        ("clock.replay.event_epoch_utc: ", "is not a UTC time; write it like"),
        ("clock.replay.factor: ", "greater than 0; saw 0"),
    ]
    assert len(found) == len(expected)
    for place, words in expected:
        assert any(place in problem and words in problem for problem in found), (place, words, found)


def test_mistakes_between_sections_have_lines_too(tmp_path: Path) -> None:
    text = """[[nodes]]
id = "a"
x_m = 1.0
y_m = 1.0
[[nodes]]
id = "a"
lat_deg = 1.0
lon_deg = 2.0
[[sinks]]
kind = "jsonl"
path = "one"
[[sinks]]
kind = "jsonl"
path = "two"
"""
    assert problems(tmp_path, text) == [
        "server.toml:6: nodes.1.id: node 'a' is there twice; give each node one site",
        "server.toml:7: nodes.1.lat_deg: node 'a' is in degrees but there is no [frame]; add the origin",
        "server.toml:12: sinks.1.name: two sinks are named 'jsonl'; receipts are kept by name, give each its own",
    ]


def test_a_file_that_is_not_there_or_not_toml(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the file: No such file"):
        load_server_config(tmp_path / "missing.toml")
    assert problems(tmp_path, "[server\n")[0].startswith("server.toml:1: not TOML")


def test_every_key_has_a_title_and_a_description() -> None:
    def fields(model: type[object]) -> None:
        for name, field in getattr(model, "model_fields", {}).items():
            assert field.title, f"{model.__name__}.{name}"
            assert field.description, f"{model.__name__}.{name}"

    from fusion_server import accessconfig, config, retentionconfig, sinkconfig

    models = {
        item
        for module in (config, accessconfig, retentionconfig, sinkconfig)
        for name in module.__all__
        if isinstance(item := getattr(module, name), type) and issubclass(item, BaseModel)
    }
    assert {config.ServerConfig, *(model for _, model in configdoc._TABLES)} <= models
    for model in models:
        fields(model)


def test_the_reference_page_is_up_to_date() -> None:
    page = (Path(__file__).parents[3] / "docs" / "server.md").read_text(encoding="utf-8")
    assert page == with_reference(page), "run: python -m fusion_server.configdoc docs/server.md"
    with pytest.raises(ValueError, match="the page has no marks"):
        with_reference("# a page")


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (
            'bind = "tcp://*:5570"',
            r"nodes would connect to 'tcp://\*:5570' in the clear, from other machines too; give",
        ),
        ('bind = "tcp://192.0.2.7:5570"', "or on a network that you trust set plain_nodes = true"),
        ('bind = "tcp://127.0.0.1.example:5570"', "nodes would connect to"),
        ('curve_secret_file = "x"', "curve_secret_file and allow_list go together; give both or neither"),
        ('allow_list = "x"', "curve_secret_file and allow_list go together; give both or neither"),
        (
            'curve_secret_file = "x"\nallow_list = "y"\nplain_nodes = true',
            "plain_nodes = true, but curve_secret_file is given; remove one of them",
        ),
    ],
)
def test_nodes_from_beyond_this_machine_need_keys(lines: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        parse_config(f"[server]\n{lines}\n", ServerConfig, source="server.toml")


@pytest.mark.parametrize(
    "lines",
    [
        "",
        'bind = "tcp://127.0.0.7:1"',
        'bind = "tcp://[::1]:1"',
        'bind = "tcp://localhost:1"',
        'bind = "ipc:///run/x"',
        'bind = "tcp://*:1"\nplain_nodes = true',
        'bind = "tcp://*:1"\ncurve_secret_file = "x"\nallow_list = "y"',
    ],
)
def test_who_may_connect_without_keys(lines: str) -> None:
    parse_config(f"[server]\n{lines}\n", ServerConfig, source="server.toml")


def test_limits_reach_fusion() -> None:
    config = parse_config("[server]\nfuture_limit_s = 5.0\n", ServerConfig, source="server.toml")
    assert config.to_fusion().future_s == 5.0


def test_what_is_told_and_what_is_one_incident_can_be_set() -> None:
    keys = {
        "shots_per_km2_hour": 0.1,
        "class_least_log_odds": -4.0,
        "least_probability": 0.3,
        "incident_gap_s": 30.0,
        "incident_reach_m": 80.0,
    }
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    fusion = parse_config(f"[fusion]\n{lines}", ServerConfig, source="server.toml").to_fusion()
    assert (fusion.associate.shots_per_km2_hour, fusion.associate.class_least_log_odds) == (0.1, -4.0)
    assert (fusion.incidents.least_probability, fusion.incidents.gap_s, fusion.incidents.reach_m) == (0.3, 30.0, 80.0)


def test_what_is_not_set_is_as_in_a_replay() -> None:
    fusion = parse_config("", ServerConfig, source="server.toml").to_fusion()
    assert fusion.incidents == IncidentSettings()
    assert fusion.associate == dataclasses.replace(AssociateSettings(), path_sigma_s=fusion.locate.path_sigma_s)
