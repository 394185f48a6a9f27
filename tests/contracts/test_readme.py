"""Every command of the README works, and its figures are those of benchmarks/results."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from house import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
MAIN = "from shotline.cli import main; main()"
COMMANDS = [
    shlex.split(line, comments=True)
    for block in re.findall(r"```sh\n(.*?)```", README, flags=re.DOTALL)
    for line in block.splitlines()
    if line.strip()
]
SHOTLINE = [words[1:] for words in COMMANDS if words[0] == "shotline"]

NODE_TOML = """
[node]
id = "roof-a"
server = "tcp://127.0.0.1:1"
spool = "spool.db"
full_scale_db_spl = 120.0
[[sources]]
file = "{sound}"
start_utc = "2026-03-14T21:30:00Z"
"""
SERVER_TOML = """
[server]
bind = "tcp://127.0.0.1:*"
database = "h.db"
[http]
port = 0
[[nodes]]
id = "roof-a"
x_m = 0.0
y_m = 0.0
[[sinks]]
kind = "console"
"""


def shotline(*words: str, at: Path, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run a command as a user does, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", MAIN, *words], capture_output=True, text=True, timeout=timeout_s, check=False, cwd=at
    )


def test_the_readme_has_the_commands_that_are_tested_here() -> None:
    verbs = {" ".join(words[: 2 if words[0] in ("node", "server") else 1]) for words in SHOTLINE}
    assert verbs == {
        "node check",
        "node run",
        "node replay",
        "server check",
        "server run",
        "simulate",
        "replay",
        "locate",
        "plan",
        "calibrate",
    }


@pytest.mark.parametrize("words", SHOTLINE, ids=" ".join)
def test_options_of_every_command_exist(words: list[str]) -> None:
    """Each command's help knows every option that the README gives it."""
    verb = [word for word in words[:2] if re.fullmatch("[a-z]+", word)]
    verb = verb if verb[0] in ("node", "server") else verb[:1]
    done = shotline(*verb, "--help", at=ROOT)
    assert done.returncode == 0, done.stderr
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout, f"shotline {' '.join(verb)} has no {option}"


@pytest.mark.parametrize("words", [words for words in COMMANDS if words[0] == "make"], ids=" ".join)
def test_make_targets_exist(words: list[str]) -> None:
    done = subprocess.run(["make", "-n", *words[1:]], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert words[1] in subprocess.run(["make"], capture_output=True, text=True, check=True, cwd=ROOT).stdout


def test_locate_as_in_the_readme() -> None:
    words = next(words for words in SHOTLINE if words[0] == "locate")
    done = shotline(*words, at=ROOT)
    assert done.returncode == 0, done.stderr
    assert "95 %" in done.stdout


def test_simulate_then_replay_as_in_the_readme(tmp_path: Path) -> None:
    for verb in ("simulate", "replay"):
        done = shotline(*next(words for words in SHOTLINE if words[0] == verb), at=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "results" / "report.html").is_file()


def test_node_and_server_as_in_the_readme(tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.random.default_rng(1).normal(0.0, 1e-3, 16_000), 16_000)
    (tmp_path / "node.toml").write_text(NODE_TOML.format(sound="a.wav"), encoding="utf-8")
    (tmp_path / "server.toml").write_text(SERVER_TOML, encoding="utf-8")
    check = shotline("node", "check", "--config", "node.toml", at=tmp_path)
    assert check.returncode == 1
    assert "is the server running" in check.stdout
    assert shotline("server", "check", "--config", "server.toml", at=tmp_path).returncode == 0
    run = shotline("server", "run", "--config", "server.toml", "--for", "0.5", at=tmp_path)
    assert run.returncode == 0, run.stderr


def test_plan_as_in_the_readme(tmp_path: Path) -> None:
    words = next(words for words in SHOTLINE if words[0] == "plan")
    corners = [(-0.125, 51.5), (-0.120, 51.5), (-0.120, 51.503), (-0.125, 51.503), (-0.125, 51.5)]
    area = {"type": "Polygon", "coordinates": [corners]}
    (tmp_path / words[1]).write_text(json.dumps(area), encoding="utf-8")
    nodes = "".join(
        f'[[nodes]]\nid = "roof-{number}"\nlat_deg = {lat}\nlon_deg = {lon}\n'
        for number, (lon, lat) in enumerate(corners[:4])
    )
    (tmp_path / "server.toml").write_text(f"[frame]\nlat_deg = 51.5\nlon_deg = -0.125\n{nodes}", encoding="utf-8")
    done = shotline(*words, at=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nodes        4" in done.stdout
    assert (tmp_path / words[words.index("--plot") + 1]).stat().st_size > 10_000


def test_figures_are_those_that_were_measured() -> None:
    done = subprocess.run(
        [sys.executable, "benchmarks/readme_figures.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


def test_the_picture_is_small() -> None:
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (ROOT / picture).stat().st_size < 300_000
