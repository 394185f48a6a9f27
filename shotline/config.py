"""Configuration files: TOML into pydantic models, closed, with every mistake reported at once as file:line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from shotline.errors import ConfigError, Problem

__all__ = ["ConfigModel", "load_config", "parse_config"]


class ConfigModel(BaseModel):
    """Base of every configuration section: unknown keys fail, values are frozen, strings are not coerced."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True)


_Model = TypeVar("_Model", bound=BaseModel)


def load_config(path: Path, model: type[_Model]) -> _Model:
    """Read a TOML file into a model.

    Raises
    ------
    ConfigError
        The file cannot be read, is not TOML, or breaks the model; carries every problem with its line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read the file: {error.strerror}", source=path) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: byte {error.start} cannot be read; save it as UTF-8", source=path) from error
    return parse_config(text, model, source=str(path))


def parse_config(text: str, model: type[_Model], *, source: str) -> _Model:
    """Parse TOML text into a model; see `load_config`."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"line (\d+)", str(error))
        raise ConfigError(f"not TOML: {error}", source=source, line=int(found[1]) if found else 0) from error
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = tuple(
            Problem(
                message=_sentence(item["type"], item["msg"], item.get("input")),
                source=source,
                field=".".join(str(part) for part in item["loc"]),
                line=_line_of(text, item["loc"]),
            )
            for item in error.errors()
        )
        raise ConfigError.from_problems(problems) from error


def _sentence(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "missing; it has no default, so give it a value"
    if kind == "extra_forbidden":
        return "unknown key; check its spelling against the reference page"
    return f"{message[:1].lower()}{message[1:]}; saw {value!r}"


def _line_of(text: str, location: tuple[int | str, ...]) -> int:
    """Return the one-based line where a key path is set, or of the nearest table above it; 0 if none is found."""
    tables: dict[str, int] = {}
    path: tuple[str, ...] = ()
    best, best_depth = 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if array := re.match(r"\[\[\s*([^\]]+?)\s*\]\]", stripped):
            name = array[1]
            tables[name] = tables.get(name, -1) + 1
            path = (*_split(name), str(tables[name]))
        elif table := re.match(r"\[\s*([^\]]+?)\s*\]", stripped):
            path = _split(table[1])
        elif key := re.match(r"([A-Za-z0-9_.\"'-]+)\s*=", stripped):
            depth = _shared(location, (*path, *_split(key[1])))
            if depth > best_depth and depth == len(path) + len(_split(key[1])):
                best, best_depth = number, depth
            continue
        else:
            continue
        depth = _shared(location, path)
        if depth == len(path) and depth > best_depth:
            best, best_depth = number, depth
    return best


def _split(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))


def _shared(location: tuple[int | str, ...], path: tuple[str, ...]) -> int:
    count = 0
    for wanted, seen in zip(location, path, strict=False):
        if str(wanted) != seen:
            break
        count += 1
    return count
