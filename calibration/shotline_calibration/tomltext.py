"""TOML text of plain values: what the standard library reads comes back bit for bit."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping

from shotline.errors import InputError

__all__ = ["toml_text", "toml_value"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(table: Mapping[str, object]) -> str:
    """Return a table as TOML: its values first, then its tables.

    Raises
    ------
    InputError
        A value that TOML, or a record, cannot hold.
    """
    return "\n".join(_lines(table, ())).strip("\n") + "\n"


def toml_value(value: object, *, field: str = "") -> str:
    """Return one value as TOML; lists in a line.

    Raises
    ------
    InputError
        TOML, or a record, cannot hold it.
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are TOML's; only DEL is plain in one and forbidden in the other.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml_value(item, field=field) for item in value)}]"
    raise InputError(f"{value!r} cannot be kept: expected text, a truth value, or a finite number", field=field)


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> list[str]:
    lines: list[str] = []
    tables: list[str] = []
    for key, value in table.items():
        inner = (*path, key)
        name = ".".join(_key(part) for part in inner)
        if isinstance(value, Mapping):
            tables += ["", f"[{name}]", *_lines(value, inner)]
        elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
            for item in value:
                tables += ["", f"[[{name}]]", *_lines(item, inner)]
        else:
            lines.append(f"{_key(key)} = {toml_value(value, field='.'.join(inner))}")
    return lines + tables


def _key(key: str) -> str:
    return key if _BARE_KEY.fullmatch(key) else toml_value(key)
