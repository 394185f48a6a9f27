"""Sound leaves a node by one door."""

from __future__ import annotations

import ast

from house import modules


def _places(found: object) -> set[str]:
    """Return the modules of the node that have what is looked for anywhere in their syntax."""
    return {
        name
        for name, file in modules("sensor_node")
        if any(found(node) for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))))  # type: ignore[operator]
    }


def test_only_the_desk_makes_a_clip() -> None:
    def makes_a_clip(node: ast.AST) -> bool:
        return isinstance(node, ast.Call) and "Clip" in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))

    assert _places(makes_a_clip) == {"sensor_node.clips"}


def test_only_the_desk_reads_a_stretch_of_sound_from_memory() -> None:
    def reads(node: ast.AST) -> bool:
        return isinstance(node, ast.Attribute) and node.attr == "last"

    assert _places(reads) == {"sensor_node.clips"}


def test_only_the_ring_touches_its_memory() -> None:
    def touches(node: ast.AST) -> bool:
        return (
            isinstance(node, ast.Attribute)
            and node.attr in ("_sound", "_copy")
            and not (isinstance(node.value, ast.Name) and node.value.id == "self")
        )

    assert _places(touches) == set()
