"""``shotline calibrate selfcheck``: what a server's network says of its nodes; told, drawn, kept, cleared."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusion_server.evidence.signing import SigningKey
from fusion_server.history import History
from shotline.errors import InputError
from shotline_calibration.cli import app
from shotline_calibration.recordbook import RecordBook
from shotline_calibration.selfcheck.result import SelfcheckResult

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "server"))

from watched_server import Fault, WatchedServer, quiet_town

RUN = CliRunner()


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the configuration of a server whose node roof-01 has got a clock 12 ms late."""
    folder = tmp_path_factory.mktemp("server")
    made = quiet_town()
    with History.open(str(folder / "shotline.db")) as history:
        server = WatchedServer(history, made.sites)
        server.hear(made.shots(40))
        server.hear(made.shots(30, node=0, fault=Fault(clock_s=0.012)))
    lines = ['[server]\ndatabase = "shotline.db"\n']
    for site in made.sites:
        place = f"x_m = {site.x_m}\ny_m = {site.y_m}\nz_m = {site.z_m}\nsigma_m = {site.sigma_m}"
        lines.append(f'[[nodes]]\nid = "{site.node}"\n{place}\n')
    path = folder / "server.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def run(*words: object, code: int) -> str:
    done = RUN.invoke(app, ["selfcheck", *(str(word) for word in words)], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.stdout


def test_a_bad_node_is_told_with_its_reason_drawn_and_kept(config: Path, tmp_path: Path) -> None:
    plot = tmp_path / "check.svg"
    SigningKey.new(tmp_path / "k")
    kept = ["--by", "Ann", "--sign-with", str(tmp_path / "k"), "--records", str(tmp_path / "records")]
    text = run("--config", config, "--plot", plot, *kept, code=1)
    assert "nodes        11 of 12 agree with what was located" in text
    assert "quarantined  roof-01  clock reads 1" in text
    assert "record       " in text
    picture = plot.read_text(encoding="utf-8")
    for mark in ("times roof-01", "levels roof-01", "since roof-01", "late roof-01"):
        assert mark in picture
    (signed,) = RecordBook.read(tmp_path / "records").records
    result = signed.record.result
    assert isinstance(result, SelfcheckResult)
    (bad,) = [item for item in result.nodes if item.standing != "ok"]
    assert bad.causes[0].cause == "clock"
    # 12 ms within what one shot's paths scatter by.
    assert bad.causes[0].late_s == pytest.approx(0.012, abs=0.002)
    assert len(bad.delays) == 16


def test_json_says_the_same(config: Path) -> None:
    said = json.loads(run("--config", config, "--json", code=1))
    assert said["record"] is None
    nodes = {item["node"]: item for item in said["result"]["nodes"]}
    assert nodes["roof-01"]["standing"] == "quarantined"
    assert nodes["roof-01"]["reason"].startswith("clock reads")
    assert {item["standing"] for name, item in nodes.items() if name != "roof-01"} == {"ok"}


def test_what_cannot_be_looked_at(config: Path, tmp_path: Path) -> None:
    empty = tmp_path / "server.toml"
    empty.write_text('[server]\ndatabase = "none.db"\n')
    with pytest.raises(InputError, match="no such history; start the server once"):
        run("--config", empty, code=1)
    with History.open(str(tmp_path / "none.db")):
        pass
    with pytest.raises(InputError, match="no shot in it was located well enough"):
        run("--config", empty, code=1)
    with pytest.raises(InputError, match="goes with --replay only"):
        run("--config", config, "--scene", "x", code=1)
    with pytest.raises(InputError, match="--by and --sign-with go together"):
        run("--config", config, "--by", "Ann", code=1)
    with pytest.raises(InputError, match=r"'x\.txt' does not end in \.png"):
        run("--config", config, "--plot", tmp_path / "x.txt", code=1)
    with pytest.raises(InputError, match="no node 'stranger' has a site; there are roof-01"):
        run("clear", "stranger", "--why", "x", "--by", "Ann", "--config", config, code=1)
    with pytest.raises(InputError, match="empty; say in words what was done"):
        run("clear", "roof-01", "--why", " ", "--by", "Ann", "--config", config, code=1)


def test_a_node_that_was_worked_on_is_cleared(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A month after the last shot of the made-up town.
    monkeypatch.setattr("time.time_ns", lambda: 1_799_000_000_000_000_000)
    words = ["clear", "roof-01", "--why", "GPS antenna was covered", "--by", "Ann", "--config", config]
    assert "roof-01 is taken for healed" in run(*words, code=0)
    assert json.loads(run(*words, "--json", code=0))["cleared"] == "roof-01"
    assert "12 of 12 agree" in run("--config", config, code=0)
