"""Public names are listed in ``__all__``; everything else starts with an underscore."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest
from house import FOLDERS, modules

MODULES = dict(modules())
# Run as a program, not imported.
PROGRAMS = {"shotline_replay.publish"}


def defined(file: Path) -> set[str]:
    """Return the public classes and functions of a module; commands are public by their decorator."""
    nodes = [
        node
        for node in ast.parse(file.read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {node.name for node in nodes if not node.name.startswith("_") and not _is_command(node)}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_public_names_are_listed(name: str) -> None:
    module, file = importlib.import_module(name), MODULES[name]
    own = defined(file)
    listed = getattr(module, "__all__", None)
    if listed is None:
        assert not own or name in PROGRAMS, f"{name} has no __all__ but defines {sorted(own)}"
        return
    assert len(set(listed)) == len(listed)
    missing = [item for item in listed if not hasattr(module, item)]
    assert not missing, f"{name}.__all__ lists what is not there"
    assert own <= set(listed), f"{name}: list {sorted(own - set(listed))} in __all__, or start with _"


def _is_command(node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(".command(" in ast.unparse(decorator) for decorator in node.decorator_list)


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_module_says_what_it_is(name: str) -> None:
    assert (importlib.import_module(name).__doc__ or "").strip()


@pytest.mark.parametrize("package", sorted(FOLDERS))
def test_types_are_shipped(package: str) -> None:
    assert (FOLDERS[package] / "py.typed").is_file()
