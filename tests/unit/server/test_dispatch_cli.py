from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from server_samples import incident
from typer.testing import CliRunner

from fusion_server.dispatch_cli import Format, app
from fusion_server.history import History
from shotline.errors import InputError
from shotline.records import IncidentRecord

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
FRAME = "[frame]\nlat_deg = 40.44\nlon_deg = -79.99\n"
IDENTITY = '[identity]\nname = "shots.example.org"\nincident_type = "GUN"\n'


def written(folder: Path, text: str = FRAME + IDENTITY) -> str:
    path = folder / "server.toml"
    path.write_text(
        text + '[[sinks]]\nkind = "jsonl"\npath = "alerts.jsonl"\n'
        '[[sinks]]\nkind = "jsonl"\nname = "elsewhere"\npath = "gone/alerts.jsonl"\n'
    )
    return str(path)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, words)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_a_test_goes_through_one_sink_and_leaves_nothing_in_the_history(tmp_path: Path) -> None:
    said = run("test", "jsonl", "--config", written(tmp_path))
    (line,) = (tmp_path / "alerts.jsonl").read_text().splitlines()
    assert line.startswith('{"test":true,')
    document = json.loads(line)
    assert document.pop("test") is True
    record = msgspec.convert(document, IncidentRecord)
    assert said.startswith(f"jsonl (jsonl) took test incident {record.id} in ")
    assert (record.lat_deg, record.lon_deg, record.id[:5]) == (40.44, -79.99, "test-")
    assert not (tmp_path / "shotline.db").exists()


def test_a_sink_that_does_not_take_it(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["test", "elsewhere", "--config", written(tmp_path)])
    assert result.exit_code == 1
    assert "elsewhere (jsonl) did not take it after" in result.stdout
    assert "No such file or directory; create its folder" in result.stdout
    result = CliRunner().invoke(app, ["test", "elsewhere", "--config", written(tmp_path), "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"], answer["kind"]) == (1, False, "jsonl")


def test_a_sink_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no sink is named 'pager'; the configuration has: jsonl, elsewhere"):
        run("test", "pager", "--config", written(tmp_path))


@pytest.mark.parametrize("form", list(Format))
def test_an_example_in_every_format_says_that_it_is_none(tmp_path: Path, form: Format) -> None:
    shown = run("show", form.value, "--config", written(tmp_path))
    assert "test-" in shown
    assert "grounds for a stop, search or arrest" in shown


def test_an_incident_of_the_history_with_the_messages_before_it(tmp_path: Path) -> None:
    config = written(tmp_path)
    with History.open(tmp_path / "shotline.db") as history:
        for revision in (1, 2, 3):
            history.append_incident(incident("i1", revision, lat_deg=40.0, lon_deg=-80.0))
    root = ElementTree.fromstring(run("show", "cap", "--config", config, "--incident", "i1").partition("?>")[2])
    assert root.findtext(f"{CAP}identifier") == "shotline.i1.3"
    assert len((root.findtext(f"{CAP}references") or "").split()) == 2
    assert root.findtext(f"{CAP}status") == "Actual"
    shown = run("show", "json", "--config", config, "--incident", "i1", "--revision", "2")
    assert json.loads(shown)["revision"] == 2
    with pytest.raises(InputError, match="incident 'i1' has revisions 1 to 3, not 9"):
        run("show", "json", "--config", config, "--incident", "i1", "--revision", "9")
    with pytest.raises(InputError, match="no incident 'i2' is kept"):
        run("show", "json", "--config", config, "--incident", "i2")


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no history at"):
        run("show", "json", "--config", written(tmp_path), "--incident", "i1")
    assert not (tmp_path / "shotline.db").exists()
    with pytest.raises(InputError, match="an EIDO needs a type of incident; give --incident-type"):
        run("show", "eido", "--config", written(tmp_path, FRAME))
    assert '"GUN2"' in run("show", "eido", "--config", written(tmp_path, FRAME), "--incident-type", "GUN2")
    with pytest.raises(InputError, match=r"GeoJSON needs degrees but there is no \[frame\]"):
        run("show", "geojson", "--config", written(tmp_path, ""))
    with pytest.raises(InputError, match="has no degrees, which this format needs"):
        run("show", "cot", "--config", written(tmp_path, ""))
