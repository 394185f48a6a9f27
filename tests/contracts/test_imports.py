"""Who imports whom, what an import does (nothing), and what a board never loads."""

from __future__ import annotations

import ast
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest
from house import ROOT, modules, run_python
from importlinter.cli import lint_imports

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
NOT_ON_A_BOARD = (
    "scipy",
    "torch",
    "torchaudio",
    "librosa",
    "sqlalchemy",
    "alembic",
    "psycopg",
    "fastapi",
    "uvicorn",
    "matplotlib",
    "joblib",
    "pyproj",
)

ON_A_BOARD = ("shotline_models.registry", "shotline_models.runtime", "shotline_models.twin")
"""What of the classifier a node runs."""
WATCH = """
import sys
names = {names}
touched = []
WRITES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.symlink", "os.link", "tempfile.mkdtemp",
          "tempfile.mkstemp", "socket.bind", "socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.fork",
          "sqlite3.connect")
def watch(event, args):
    # Machine code of the hot loops has its place beside Python's own bytecode.
    if "__pycache__" in str(args[0]):
        return
    if event in WRITES or (event == "open" and isinstance(args[1], str) and set(args[1]) & set("wax+")):
        touched.append(f"{{event}} {{args!r}}")
sys.addaudithook(watch)
import importlib, json, logging, signal, threading
handlers = {{number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}}
for name in names:
    importlib.import_module(name)
assert handlers == {{number: signal.getsignal(number) for number in handlers}}, "a signal handler was set"
assert not logging.getLogger().handlers, "a log handler was set"
assert threading.active_count() == 1, threading.enumerate()
print(json.dumps({{"touched": touched, "loaded": sorted({{name.partition(".")[0] for name in sys.modules}})}}))
"""


def imported(names: list[str]) -> dict[str, list[str]]:
    """Import modules in a fresh interpreter; return what it touched and which packages were loaded."""
    done = run_python(WATCH.format(names=names))
    assert done.returncode == 0, done.stderr
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_import_contracts_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    assert lint_imports(cache_dir=str(tmp_path)) == 0


def test_an_import_does_nothing() -> None:
    found = imported([name for name, _ in modules()])
    assert found["touched"] == []


def test_a_board_loads_neither_training_tools_nor_a_server() -> None:
    names = [name for name, _ in modules("sensor_node")] + ["shotline.cli"]
    loaded = imported(names)["loaded"]
    assert not set(loaded) & {*NOT_ON_A_BOARD, "fusion_server", "shotline_recordings", "shotline_replay"}
    assert "sensor_node" in loaded


def test_the_node_extra_asks_for_nothing_that_a_board_must_not_carry() -> None:
    wanted = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["node"]
    assert len(wanted) > 6
    assert not [line for line in wanted if line.lower().startswith(NOT_ON_A_BOARD)]


def test_what_a_board_imports_it_asks_for() -> None:
    """Nothing may come along by chance with another package, as click did with typer until one day it did not."""
    names = {"zmq": "pyzmq", "annotated_types": "annotated-types"}
    wanted = {_name(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["node"]}
    used = set()
    run_there = [file for name, file in modules("shotline_models") if name in ON_A_BOARD]
    assert len(run_there) == len(ON_A_BOARD)
    for file in [*(file for _, file in modules("shotline", "sensor_node")), *run_there]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            found = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            found += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            used |= {name.partition(".")[0] for name in found}
    ours = {"shotline", "sensor_node", "shotline_models"}
    # Degrees are the server's: a node sends no position.
    foreign = used - set(sys.stdlib_module_names) - ours - {"pyproj"}
    assert {names.get(name, name) for name in foreign} <= wanted


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~;\[ ]", requirement)[0].lower()


def test_the_command_line_helps_without_loading_the_machinery() -> None:
    done = run_python(
        "import sys; sys.argv = ['shotline', '--help']\n"
        "from shotline.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print(set(sys.modules) & set({NOT_ON_A_BOARD}))"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("set()"), done.stdout
    for verb in ("demo", "node", "server", "replay", "locate", "simulate", "keys"):
        assert f"  {verb} " in done.stdout
