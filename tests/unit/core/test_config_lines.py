"""Every mistake in a configuration file is named with the line where it is."""

from __future__ import annotations

import pytest

from shotline.config import ConfigModel, line_of, parse_config
from shotline.errors import ConfigError

TEXT = """\
name = "x"
"quoted" = 1

[http]
host = "a"
tls.key = "k"

[[scenes]]
name = "first"
[scenes.frame]
lat_deg = 1.0
[[scenes.nodes]]
id = "a"
[[scenes.nodes]]
id = "b"
[[scenes]]
name = "second"
[[scenes.nodes]] # a remark
id = "c"
"""


@pytest.mark.parametrize(
    ("field", "line"),
    [
        ("name", 1),
        ("quoted", 2),
        ("http", 4),
        ("http.host", 5),
        ("http.tls.key", 6),
        ("http.port", 4),
        ("scenes.0.name", 9),
        ("scenes.0.frame.lat_deg", 11),
        ("scenes.0.frame.lon_deg", 10),
        ("scenes.0.nodes.1.id", 15),
        ("scenes.1.name", 17),
        ("scenes.1.nodes.0.id", 19),
        ("scenes.1.nodes.0.x_m", 18),
        ("scenes.1.nodes.4.id", 16),
        ("scenes.2", 0),
        ("nothing", 0),
    ],
)
def test_line_of(field: str, line: int) -> None:
    assert line_of(TEXT, field) == line


class _Node(ConfigModel):
    id: str


class _Scene(ConfigModel):
    nodes: list[_Node]


class _File(ConfigModel):
    scenes: list[_Scene]


def test_all_mistakes_of_nested_tables_are_reported_at_once() -> None:
    text = "[[scenes]]\n[[scenes.nodes]]\nid = 1\n[[scenes]]\n[[scenes.nodes]]\nid = 'a'\nheigth_m = 2.0\n"
    with pytest.raises(ConfigError) as caught:
        parse_config(text, _File, source="f.toml")
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (3, "scenes.0.nodes.0.id"),
        (7, "scenes.1.nodes.0.heigth_m"),
    ]
    assert "unknown key" in str(caught.value)
