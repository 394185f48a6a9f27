"""The one command: what it says when something is missing or wrong, and its exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
from house import run_python

CODE = "import sys; {before}; sys.argv = ['shotline', *{words!r}]\nfrom shotline.cli import main\nmain()"


@pytest.mark.parametrize(
    ("missing", "words", "advice"),
    [
        ("sqlalchemy", ["server", "check", "--config", "x.toml"], "shotline[server]"),
        ("sqlalchemy", ["demo", "--once"], "shotline[server]"),
        ("soundfile", ["node", "replay", "a.wav", "--node", "a", "--out", "o"], "shotline[node]"),
    ],
)
def test_a_missing_extra_is_named_with_what_installs_it(
    missing: str, words: list[str], advice: str, tmp_path: Path
) -> None:
    (tmp_path / "a.wav").touch()
    done = run_python(CODE.format(before=f"sys.modules['{missing}'] = None", words=words))
    assert done.returncode == 1
    assert f"needs '{missing}', which is not installed; run: pip install '{advice}'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_mistake_of_ours_is_not_explained_away() -> None:
    done = run_python(
        CODE.format(before="sys.modules['fusion_server.selfcheck'] = None", words=["server", "check", "-c", "x"])
    )
    assert done.returncode == 1
    assert "ModuleNotFoundError" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ([], 2, "Commands:"),
        (["--version"], 0, "shotline, version"),
        (["nonsense"], 2, "No such command 'nonsense'"),
        (["node", "check", "--config", "not-there.toml"], 1, "cannot read the file"),
        (["server", "check", "--config", "not-there.toml"], 2, "cannot read the file"),
        (["locate", "not-there.csv"], 2, "not-there.csv"),
        (["replay", "not-there", "--out", "never"], 2, "no such folder; check the path"),
        (["server", "run", "--nonsense"], 2, "--nonsense"),
    ],
)
def test_exit_codes(words: list[str], code: int, text: str) -> None:
    done = run_python(CODE.format(before="pass", words=words))
    assert (done.returncode, text in done.stdout + done.stderr) == (code, True), done.stdout + done.stderr
