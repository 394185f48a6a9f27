"""The page of the simulator knows every key, scene, option and name of the simulator that it describes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest
from house import ROOT
from pydantic import BaseModel
from test_pages import KEY
from typer.testing import CliRunner

from shotline.propagation import GROUND_FLOW_RESISTIVITY_PA_S_PER_M2
from shotline_recordings import scene
from shotline_recordings.cli import app
from shotline_recordings.simulate.clocks import CLOCK_SCENARIOS
from shotline_recordings.simulate.microphone import MICROPHONES

PAGE = (ROOT / "docs" / "simulator.md").read_text(encoding="utf-8")
CODE = set(re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL)))
RUNNER = CliRunner()


def tables(model: type[BaseModel] = scene.SceneFile) -> Iterator[type[BaseModel]]:
    """Yield a table of the scene file and, in turn, all tables in it."""
    yield model
    for field in model.model_fields.values():
        for inner in _models(field.annotation):
            yield from tables(inner)


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in getattr(annotation, "__args__", ()):
        yield from _models(part)


def key_table() -> dict[str, set[str]]:
    """Return the keys of each table of the page's "Every key"."""
    section = PAGE.split("## Every key")[1].split("\n## ")[0]
    found: dict[str, set[str]] = {}
    name = ""
    for row in re.findall(r"^\|(.*)\|$", section, flags=re.MULTILINE)[2:]:
        table, key = (cell.strip() for cell in row.split("|")[:2])
        name = table or name
        found.setdefault(re.sub(r"`|, several$", "", name), set()).add(key.strip("`"))
    return found


def test_the_walk_finds_every_public_table() -> None:
    public = {
        name
        for name in scene.__all__
        if isinstance(getattr(scene, name), type) and issubclass(getattr(scene, name), BaseModel)
    }
    assert {model.__name__ for model in tables()} == public


@pytest.mark.parametrize("model", list(tables()), ids=lambda model: model.__name__)
def test_every_key_is_on_the_page(model: type[BaseModel]) -> None:
    missing = set(model.model_fields) - CODE
    assert not missing, f"keys of {model.__name__} that docs/simulator.md does not name: {sorted(missing)}"


def test_the_table_of_keys_is_that_of_the_models() -> None:
    """Table by table, no key is missing and none is left over."""
    expected: dict[str, set[str]] = {}

    def walk(model: type[BaseModel], path: str) -> None:
        expected[path or "(head)"] = set(model.model_fields)
        for key, field in model.model_fields.items():
            for inner in _models(field.annotation):
                walk(inner, f"{path}.{key}".lstrip("."))

    walk(scene.SceneFile, "")
    assert key_table() == expected


def test_every_shipped_scene_is_on_the_page() -> None:
    section = PAGE.split("## The shipped scenes")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([\w-]+)` \|", section, flags=re.MULTILINE)
    assert sorted(named) == sorted(scene.shipped_scenes())


@pytest.mark.parametrize("names", [CLOCK_SCENARIOS, MICROPHONES, GROUND_FLOW_RESISTIVITY_PA_S_PER_M2])
def test_every_name_that_a_key_takes_is_on_the_page(names: object) -> None:
    assert isinstance(names, tuple) or hasattr(names, "keys")
    assert set(names) <= CODE, sorted(set(names) - CODE)  # type: ignore[call-overload]


@pytest.mark.parametrize("option", ["--scenes", "--weapons", "--bangs"])
def test_lists_that_the_page_names_exist(option: str) -> None:
    assert option in CODE
    done = RUNNER.invoke(app, [option, "--json"])
    assert done.exit_code == 0, done.output
    assert len(json.loads(done.output)) > 5


def test_options_on_the_page_are_those_of_the_command() -> None:
    from typer.main import get_command

    known = {flag for item in get_command(app).params for flag in (*item.opts, *item.secondary_opts) if "--" in flag}
    section = PAGE.split("| option | |")[1].split("\n## ")[0]
    named = set(re.findall(r"--[a-z][a-z-]*", section))
    assert named <= known
    assert known - {"--picture"} <= named


def test_columns_on_the_page_are_those_that_are_written() -> None:
    source = (ROOT / "recordings" / "shotline_recordings" / "simulate" / "run.py").read_text(encoding="utf-8")
    headers = re.findall(r"writerow\(\s*\((\"[^)]*)\)\s*\)", source)
    assert len(headers) == 2, "arrivals.csv and nodes.csv"
    columns = {name for header in headers for name in re.findall(r'"(\w+)"', header)}
    assert columns <= CODE, sorted(columns - CODE)


def test_sources_cited_on_the_page_are_listed() -> None:
    listed = set(KEY.findall((ROOT / "docs" / "references.md").read_text(encoding="utf-8")))
    assert set(KEY.findall(PAGE)) <= listed


def test_the_scene_of_the_page_is_a_scene() -> None:
    from shotline.config import parse_config

    text = next(block for block in re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL))
    made = parse_config(text, scene.SceneFile, source="docs/simulator.md")
    assert made.city.footprints == "square.geojson"
    features = json.loads(next(iter(re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL))))["features"]
    assert all("height_m" in feature["properties"] for feature in features)
