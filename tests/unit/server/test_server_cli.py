from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fusion_server.app import ServerApp
from fusion_server.cli import app
from fusion_server.config import load_server_config
from shotline.errors import ConfigError

NODES = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {index}.0\ny_m = 0.0\n' for index, node in enumerate("abc"))


def written(folder: Path, text: str = "") -> Path:
    path = folder / "server.toml"
    path.write_text('[server]\nbind = "tcp://127.0.0.1:0"\n[http]\nenabled = false\n' + NODES + text)
    return path


def test_check_says_that_a_server_could_start(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["check", "--config", str(written(tmp_path))])
    assert result.exit_code == 0
    assert result.stdout.startswith("No server answers; could one start?\n  ok   sites: 3 nodes have a site\n")
    assert not (tmp_path / "shotline.db").exists()


def test_check_fails_in_words_in_json_and_in_its_exit_code(tmp_path: Path) -> None:
    path = written(tmp_path, '[[sinks]]\nkind = "jsonl"\npath = "missing/alerts.jsonl"\n')
    result = CliRunner().invoke(app, ["check", "--config", str(path), "--json"])
    assert result.exit_code == 1
    report = json.loads(result.stdout)
    assert (report["running"], report["status"]) == (False, "fail")
    assert [check["name"] for check in report["checks"] if check["status"] == "fail"] == ["sinks"]
    result = CliRunner().invoke(app, ["check", "--config", str(path)])
    assert result.exit_code == 1
    assert "  fail sinks: sink 'jsonl': the folder of" in result.stdout


def test_check_asks_the_server_that_runs(tmp_path: Path) -> None:
    path = tmp_path / "server.toml"
    path.write_text('[server]\nbind = "tcp://127.0.0.1:0"\n[http]\nport = 0\n' + NODES)
    with ServerApp(load_server_config(path), log_to=io.StringIO(), alerts_to=io.StringIO()) as server:
        server.step(0)
        assert server.http_url is not None
        port = server.http_url.rstrip("/").rpartition(":")[2]
        path.write_text(f'[server]\nbind = "tcp://127.0.0.1:0"\n[http]\nport = {port}\n' + NODES)
        result = CliRunner().invoke(app, ["check", "--config", str(path)])
        assert result.stdout.startswith("The server runs:\n  ok   store: 0 detections kept")
        assert "  fail nodes: 3 of 3 nodes silent" in result.stdout
        assert result.exit_code == 1


def test_a_bad_configuration_is_refused(tmp_path: Path) -> None:
    for verb in ("run", "check"):
        result = CliRunner().invoke(app, [verb, "--config", str(written(tmp_path, "[nonsense]\n"))])
        assert isinstance(result.exception, ConfigError)
        assert "nonsense: unknown key" in str(result.exception)


def test_run_says_where_it_listens_and_ends_in_time(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["run", "--config", str(written(tmp_path)), "--for", "0", "--ready-json"])
    assert result.exit_code == 0, result.output
    ready = json.loads(result.stdout.splitlines()[0])
    assert ready["event"] == "ready"
    assert ready["endpoint"].startswith("tcp://127.0.0.1:")
    assert ready["http"] is None
    assert ready["nodes"] == 3
    result = CliRunner().invoke(app, ["run", "--config", str(written(tmp_path)), "--for", "0"])
    assert "listening for nodes on tcp://127.0.0.1:" in result.stdout
    assert "page: not served" in result.stdout


@pytest.mark.parametrize("module", ["fusion_server.cli", "shotline.keys_cli"])
def test_help_is_quick(module: str) -> None:
    heavy = ("numpy", "zmq", "sqlalchemy", "alembic", "fastapi", "scipy", "pydantic", "rich.console")
    code = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.replace("'", '"')))
    assert loaded <= {"rich.console"}  # typer's own
