"""The text of a node's configuration: what was answered, and every key explained in the words of the model itself."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sensor_node.config import NodeConfig
from shotline.config import parse_config
from shotline.errors import ConfigError, Problem

__all__ = ["Answers", "config_text", "problems"]

_WIDTH = 110
_ONLY_FILES = frozenset({"clock", "sources"})
_ONLY_LIVE = frozenset({"capture", "time", "gpsd", "place", "clips"})
_FLAGS = {
    "node": "--server-key",
    "node.id": "--id",
    "node.server": "--server",
    "node.server_key": "--server-key",
    "node.spool": "--spool",
    "capture": "--pps-channel",
    "capture.device": "--device",
    "capture.channel": "--channel",
    "capture.pps_channel": "--pps-channel",
    "place.lat_deg": "--lat",
    "place.lon_deg": "--lon",
    "place.height_m": "--height",
    "sources.0.file": "--file",
    "sources.0.start_utc": "--start-utc",
    "sources.0.channel": "--channel",
}
"""Which option of ``shotline node init`` gives a key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What a person or flags said of a node. A sound card, or else a file.

    Parameters
    ----------
    id, server : str
        Its name, and the endpoint of its server.
    key_file, server_key : str | None
        Both or neither.
    spool : str | None
        None is memory only.
    device : str | None
        Name of the sound card.
    file : str | None
        A sound file, for a trial; in place of ``device``.
    start_utc : str | None
        UTC of the file's first sample.
    channel : int | None
        Of the microphone, 1 for the first; None is the default of a card, or the only one of a file.
    pps_channel : int | None
        Of recorded pulses.
    gpsd : bool
        Listen to the gpsd of this machine.
    place_deg_m : tuple of float, or None
        Surveyed latitude, longitude and height of the antenna: degrees, degrees, metres.
    """

    id: str
    server: str
    key_file: str | None = None
    server_key: str | None = None
    spool: str | None = None
    device: str | None = None
    file: str | None = None
    start_utc: str | None = None
    channel: int | None = None
    pps_channel: int | None = None
    gpsd: bool = False
    place_deg_m: tuple[float, float, float] | None = None


def config_text(answers: Answers, *, version: str) -> str:
    """Return the file. What it does not set is in it as a comment, with its default.

    Parameters
    ----------
    answers : Answers
    version : str
        Of Shotline, for the first line.

    Raises
    ------
    ConfigError
        The model takes it not; the fields are options of ``shotline node init``.
    """
    tables = _tables(answers)
    parts = [_heading(answers, version)]
    skipped = _ONLY_LIVE if answers.file is not None else _ONLY_FILES
    for name, field in NodeConfig.model_fields.items():
        if name not in skipped:
            parts.append("\n".join(_section(name, field, tables.get(name))))
    text = "\n\n".join(parts) + "\n"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ConfigError(f"{text[error.start - 20 : error.end]!r} is not UTF-8 text; use another name") from error
    try:
        config = parse_config(text, NodeConfig, source="")
    except ConfigError as error:
        raise ConfigError.from_problems(
            tuple(Problem(found.message, field=_FLAGS.get(found.field, found.field)) for found in error.problems)
        ) from error
    given = NodeConfig.model_validate(tables)
    if config != given:
        raise AssertionError(f"the text says {config!r}, given was {given!r}")
    return text


def problems(answers: Answers) -> tuple[Problem, ...]:
    """Return what is wrong with the answers, by option; nothing when all is well."""
    try:
        config_text(answers, version="")
    except ConfigError as error:
        return error.problems
    return ()


def _heading(answers: Answers, version: str) -> str:
    skipped = "[capture] for a sound card" if answers.file is not None else "[[sources]] for sound files"
    return "\n".join(
        [
            f"# Configuration of a Shotline node, written by `shotline node init` {version}".rstrip(),
            "# A line that begins with # and no space is a key with its default; take the # away to change it.",
            "# Relative paths are taken from the folder of this file. Unknown keys fail.",
            f"# All that can be set, {skipped} too: docs/node.md. `shotline node check` says whether all is well.",
        ]
    )


def _tables(answers: Answers) -> dict[str, Any]:
    """Return the values as TOML has them, without what is absent."""
    live = answers.file is None
    lat_deg, lon_deg, height_m = answers.place_deg_m or (None, None, None)
    tables: dict[str, dict[str, object]] = {
        "node": {
            "id": answers.id,
            "server": answers.server,
            "key_file": answers.key_file,
            "server_key": answers.server_key,
            "spool": answers.spool,
        },
        "capture": {"device": answers.device, "channel": answers.channel, "pps_channel": answers.pps_channel},
        "gpsd": {"host": "127.0.0.1"} if answers.gpsd else {},
        "place": {"lat_deg": lat_deg, "lon_deg": lon_deg, "height_m": height_m},
        "sources": {"file": answers.file, "start_utc": answers.start_utc, "channel": answers.channel},
    }
    given = {
        name: {key: value for key, value in table.items() if value is not None}
        for name, table in tables.items()
        if name not in (_ONLY_FILES if live else _ONLY_LIVE)
    }
    return {name: [table] if name == "sources" else table for name, table in given.items() if table}


def _section(name: str, section: FieldInfo, given: Any) -> Iterator[str]:
    model, is_array = _model_of(section.annotation)
    values: Mapping[str, object] = (given[0] if is_array else given) if given else {}
    # A section that must be there, or has only defaults, may be there though nothing in it is given.
    mark = "" if values or section.default_factory is not None else "#"
    yield from _comment(" ".join((model.__doc__ or "").split()))
    yield f"{mark}[[{name}]]" if is_array else f"{mark}[{name}]"
    for key, field in model.model_fields.items():
        allowed = _allowed(field)
        yield from _comment(f"{field.title}: {field.description}" + (f" ({allowed})" if allowed else ""))
        if key in values:
            yield f"{key} = {_toml(values[key])}"
        elif field.is_required() or field.default is None:
            yield f"#{key} ="
        else:
            yield f"#{key} = {_toml(field.default)}"


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _model_of(annotation: Any) -> tuple[type[BaseModel], bool]:
    """Return the model of a section, and whether it is an array of tables."""
    if get_origin(annotation) is tuple:
        return get_args(annotation)[0], True
    if get_origin(annotation) in (Union, UnionType):
        return next(part for part in get_args(annotation) if part is not type(None)), False
    return annotation, False


def _allowed(field: FieldInfo) -> str:
    """Return the range or the choices of a key in words."""
    choices = [choice for part in (field.annotation, *get_args(field.annotation)) for choice in _choices(part)]
    if choices:
        return " or ".join(_toml(choice) for choice in choices)
    least = next((f"from {_toml(rule.ge)}" for rule in field.metadata if isinstance(rule, Ge)), "")
    least = next((f"over {_toml(rule.gt)}" for rule in field.metadata if isinstance(rule, Gt)), least)
    most = next((f"to {_toml(rule.le)}" for rule in field.metadata if isinstance(rule, Le)), "")
    return " ".join(word for word in (least, most) if word)


def _choices(annotation: Any) -> tuple[object, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _toml(value: object) -> str:
    """Return a value as TOML text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"{value:_}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    # JSON's escapes are TOML's; only DEL is plain in one and forbidden in the other.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")
