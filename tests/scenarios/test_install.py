"""A board's installation as it is done there: a wheel, a fresh environment, `shotline[node]`, and a node that hears.

Some minutes, and it asks the package index: only with SHOTLINE_INSTALL_TEST=1 (docs/install.md).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONTAINER = ROOT / "deploy" / "Containerfile"
NOT_THERE = {
    *("torch", "torchaudio", "librosa", "scipy", "matplotlib", "sqlalchemy", "fastapi", "uvicorn", "numba", "joblib"),
    *("alembic", "psycopg", "shapely", "pyproj", "onnx", "pandas", "scikit-learn"),
}
WRITE_A_SHOT = """
import numpy, soundfile
t = numpy.arange(72_000) / 48_000
shot = numpy.where(t >= 0.7, 0.3 * numpy.exp(-(t - 0.7).clip(0.0) / 0.002), 0.0)
soundfile.write("a.wav", shot + 1e-3 * numpy.random.default_rng(1).standard_normal(len(t)), 48_000)
"""
READ_CONFIG = """
from pathlib import Path
from sensor_node.config import load_node_config
print(load_node_config(Path("node.toml")).node.id)
"""
pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(
        os.environ.get("SHOTLINE_INSTALL_TEST") != "1", reason="slow, needs a package index: SHOTLINE_INSTALL_TEST=1"
    ),
]


def run(*words: object, at: Path) -> str:
    env = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in words], capture_output=True, text=True, timeout=900.0, check=False, cwd=at, env=env
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_board_from_the_wheel(tmp_path: Path) -> None:
    # From what the container's build has, and nothing else.
    for line in re.findall(r"^COPY (?!--from)(.+) \S+$", CONTAINER.read_text(encoding="utf-8"), flags=re.MULTILINE):
        for name in line.split():
            to = tmp_path / "src" / name
            to.parent.mkdir(parents=True, exist_ok=True)
            copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
            copy(ROOT / name, to)
    source = tmp_path / "src"
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", tmp_path, source, at=tmp_path)
    (wheel,) = tmp_path.glob("shotline-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert any(name.endswith("impulse-cnn-2-nc.onnx") for name in names)
    assert not any(name.startswith(("deploy/", "tests/")) for name in names)

    run(sys.executable, "-m", "venv", tmp_path / "board", at=tmp_path)
    python = tmp_path / "board" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", f"{wheel}[node]", at=tmp_path)
    installed = json.loads(run(python, "-m", "pip", "list", "--format", "json", at=tmp_path))
    there = {package["name"].lower(): package["version"] for package in installed}
    assert not NOT_THERE & set(there)
    size_bytes = sum(file.stat().st_size for file in (tmp_path / "board" / "lib").rglob("*") if file.is_file())
    print(json.dumps({"packages": there, "size_mb": round(size_bytes / 1e6)}))
    assert size_bytes < 400e6

    run(python, "-c", WRITE_A_SHOT, at=tmp_path)
    shotline = tmp_path / "board" / "bin" / "shotline"
    words = ("--file", "a.wav", "--start-utc", "2026-03-01T12:00:00Z", "--server", "tcp://127.0.0.1:1", "--id", "a")
    run(shotline, "node", "init", *words, at=tmp_path)
    assert run(python, "-c", READ_CONFIG, at=tmp_path) == "a\n"
    assert "1 detections" in run(
        shotline, "node", "replay", "a.wav", "--start-utc", "2026-03-01T12:00:00Z", "--out", "a.detections", at=tmp_path
    )
