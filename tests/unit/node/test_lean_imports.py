"""A board has `pip install 'shotline[node]'` and no more: nothing else is imported, by no way round."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

import sensor_node
import shotline
import shotline_models

HEAVY = (
    *("torch", "torchaudio", "librosa", "scipy", "matplotlib", "sqlalchemy", "alembic", "fastapi"),
    *("psycopg", "uvicorn", "shapely", "pyproj", "numba", "joblib", "onnx", "onnxscript", "pyroomacoustics"),
    *("fusion_server", "shotline_recordings", "shotline_replay"),
)
WITHOUT = f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {HEAVY!r}:
            raise ImportError(f"{{name}} is not on a board", name=name)

sys.meta_path.insert(0, Absent())
assert not set({HEAVY!r}) & set(sys.modules)
"""
MODULES = sorted(f"sensor_node.{module.name}" for module in pkgutil.iter_modules(sensor_node.__path__))


def board(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    """Run a program where everything that a board does not have cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", WITHOUT + code, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=120.0,
        check=False,
    )


def command(*words: object) -> subprocess.CompletedProcess[str]:
    return board("from shotline.cli import main\nmain()", *words)


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    t = np.arange(72_000) / 48_000
    sound = 1e-3 * np.random.default_rng(1).standard_normal(len(t))
    sound += np.where(t >= 0.7, 0.3 * np.exp(-np.maximum(t - 0.7, 0.0) / 0.002), 0.0)
    soundfile.write(tmp_path / "a.wav", sound, 48_000)
    return tmp_path / "a.wav"


def test_the_hook_hides_what_is_there() -> None:
    done = board("import scipy")
    assert done.returncode == 1
    assert "scipy is not on a board" in done.stderr


def test_every_module_of_a_node_is_imported() -> None:
    assert {"sensor_node.app", "sensor_node.capture", "sensor_node.network", "sensor_node.init_cli"} <= set(MODULES)
    done = board(f"import importlib\nfor name in {MODULES!r}: importlib.import_module(name)")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["run", "replay", "check", "devices", "init"])
def test_help(verb: str) -> None:
    done = command("node", verb, "--help")
    assert done.returncode == 0, done.stderr


def test_a_file_is_heard_by_the_default_network(wav: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.detections"
    done = command("node", "replay", wav, "--start-utc", "2026-03-01T12:00:00Z", "--out", out)
    assert done.returncode == 0, done.stderr
    assert "1 detections" in done.stdout
    assert out.stat().st_size > 100


def test_init_then_check(wav: Path, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    words = ("--file", wav.name, "--start-utc", "2026-03-01T12:00:00Z", "--server", "tcp://127.0.0.1:1", "--id", "a")
    done = command("node", "init", "--out", config, *words)
    assert done.returncode == 0, done.stderr
    done = command("node", "check", "--config", config)
    # The one thing that is wrong: no server listens there.
    assert [line.split()[1] for line in done.stdout.splitlines() if line.startswith("fail")] == ["server"], done.stdout


def test_the_extra_names_what_a_node_imports_and_no_more() -> None:
    """Every package that code of the board imports is a dependency, and every dependency of the extra is imported."""
    files = [file for package in (sensor_node, shotline) for file in Path(package.__path__[0]).rglob("*.py")]
    files.append(Path(shotline_models.__path__[0], "onnxruntime_silent.py"))
    # The server's frame asks for pyproj when it is used; a node has a frame of its own, without.
    files = [file for file in files if file.name != "geodesy.py"]
    nodes = [node for file in files for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))]
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module}
    own = {"sensor_node", "shotline", "shotline_models"}
    packages = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names - own

    project = tomllib.loads(Path(__file__).parents[3].joinpath("pyproject.toml").read_text(encoding="utf-8"))["project"]
    extra = {re.split(r"[^\w-]", line)[0] for line in project["optional-dependencies"]["node"]}
    always = {re.split(r"[^\w-]", line)[0] for line in project["dependencies"]}
    # Imported by another name than their project's, or brought by another.
    distribution = {"zmq": "pyzmq", "annotated_types": "annotated-types"}
    assert {distribution.get(name, name) for name in packages} == extra | always
