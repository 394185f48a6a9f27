"""Configuration files: TOML into pydantic models, closed, with every mistake reported at once as file:line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from shotline.errors import ConfigError, InputError, Problem
from shotline.timebase import parse_utc

__all__ = ["ENDPOINT_PATTERN", "ConfigModel", "UtcText", "is_this_machine", "line_of", "load_config", "parse_config"]

ENDPOINT_PATTERN = r"^(tcp|ipc)://.+$"
"""What a ZeroMQ endpoint may look like."""

_THIS_MACHINE = re.compile(r"ipc://|tcp://(127\.\d+\.\d+\.\d+|localhost|\[::1\]|lo):")
_HEADER = re.compile(r"(\[\[?)\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"([A-Za-z0-9_.\"'-]+)\s*=")


def _utc_text(text: str) -> str:
    try:
        parse_utc(text)
    except InputError as error:
        raise ValueError(error.problems[0].message) from error
    return text


UtcText = Annotated[str, AfterValidator(_utc_text)]
"""An instant as ISO 8601 text with ``Z`` or an offset; kept as it was written."""


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
        raise ConfigError(
            f"not UTF-8 text: byte {error.start} cannot be read; save it as UTF-8", source=path
        ) from error
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
                line=line_of(text, ".".join(str(part) for part in item["loc"])),
            )
            for item in error.errors()
        )
        raise ConfigError.from_problems(problems) from error


def _sentence(kind: str, message: str, value: object) -> str:
    if kind == "missing":
        return "missing; it has no default, so give it a value"
    if kind == "extra_forbidden":
        return "unknown key; check its spelling against the reference page"
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}; saw {value!r}"


def is_this_machine(endpoint: str) -> bool:
    """Return whether an endpoint is reached from this machine only, so that nobody else can listen in."""
    return _THIS_MACHINE.match(endpoint) is not None


def line_of(text: str, field: str) -> int:
    """Return the one-based line of a dotted field such as ``scenes.0.nodes.3.x_m``, or of the nearest table above it.

    Arrays of tables inside arrays of tables are followed: ``[[scenes.nodes]]`` belongs to the last ``[[scenes]]``. 0
    when there is not even a table above it.
    """
    wanted = field.split(".")
    counts: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    best, best_depth = 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        stripped = line.strip()
        if header := _HEADER.match(stripped):
            table = _table_path(_parts(header[2]), counts, is_array=header[1] == "[[")
            found = table
        elif key := _KEY.match(stripped):
            found = (*table, *_parts(key[1]))
        else:
            continue
        if len(found) > best_depth and wanted[: len(found)] == list(found):
            best, best_depth = number, len(found)
    return best


def _table_path(parts: tuple[str, ...], counts: dict[tuple[str, ...], int], *, is_array: bool) -> tuple[str, ...]:
    """Return the path of a table with the index of every array that it is in; counts the arrays as they are seen."""
    table: tuple[str, ...] = ()
    for depth, part in enumerate(parts, start=1):
        table = (*table, part)
        if is_array and depth == len(parts):
            counts[table] = counts.get(table, 0) + 1
        if table in counts:
            table = (*table, str(counts[table] - 1))
    return table


def _parts(name: str) -> tuple[str, ...]:
    return tuple(part.strip().strip("\"'") for part in name.split("."))
