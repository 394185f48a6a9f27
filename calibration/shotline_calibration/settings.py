"""From records to configurations: the lines to paste, and where a configuration is not what the records say.

A program reads its configuration and nothing else. The board could not check a signature (it carries no cryptography),
and a value that changes because a file was added to some folder is a value that nobody decided on. So a person pastes,
and `compare` finds what was forgotten.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fusion_server.config import load_server_config
from shotline.domain import Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline_calibration.recordbook import RecordBook
from shotline_calibration.records import join_ids, parse_record, split_ids
from shotline_calibration.result import Value
from shotline_calibration.tomltext import toml_value

__all__ = ["Comparison", "Settings", "compare", "node_lines", "settings_of", "site_lines"]

_SAME_PLACE_M = 0.02
"""Positions in a configuration are rounded."""
_SAME_SHARE = 1e-9


@dataclass(frozen=True, slots=True)
class Settings:
    """What the records of a node say for configurations.

    Parameters
    ----------
    name : str
        The node.
    node : mapping
        Of the node's own configuration: values by section and key.
    site : mapping
        Of its table ``[[nodes]]`` of the server's.
    ids : tuple of str
        Of the records that ``node`` follows from.
    site_id : str
        Of the record that ``site`` follows from; "" without one.
    """

    name: str
    node: Mapping[str, Mapping[str, Value]]
    site: Mapping[str, Value]
    ids: tuple[str, ...]
    site_id: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """How a configuration differs from what the records say.

    Parameters
    ----------
    differences : tuple of str
        What is not as recorded.
    remarks : tuple of str
        What no record says anything about.
    agree : int
        How many values are as recorded.
    """

    differences: tuple[str, ...]
    remarks: tuple[str, ...]
    agree: int


@dataclass(slots=True)
class _Tally:
    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    agree: int = 0

    def count(self, same: bool, text: str) -> None:
        if same:
            self.agree += 1
        else:
            self.differences.append(text)

    def result(self) -> Comparison:
        return Comparison(tuple(self.differences), tuple(self.remarks), self.agree)


def settings_of(book: RecordBook, node: str) -> Settings:
    """Return what the standing records of a node, and those of the whole network, say for configurations.

    A record of the node comes before one of the network, and of two records the later.
    """
    sections: dict[str, dict[str, Value]] = {}
    sources: dict[tuple[str, str], str] = {}
    site: dict[str, Value] = {}
    site_id = ""
    for signed in [*book.heads(node=""), *book.heads(node=node)] if node else []:
        for section, values in signed.record.result.node_settings(node).items():
            for key, value in values.items():
                sections.setdefault(section, {})[key] = value
                sources[section, key] = signed.id
        if found := signed.record.result.site_settings(node):
            # A site is one thing: never the height of one survey and the plane of another.
            site, site_id = dict(found), signed.id
    return Settings(node, sections, site, tuple(sorted(set(sources.values()))), site_id)


def node_lines(settings: Settings) -> str:
    """Return them as the node's configuration has them."""
    sections = {name: dict(values) for name, values in settings.node.items()}
    sections["node"] = {"calibration_id": join_ids(settings.ids), **sections.get("node", {})}
    blocks = [
        "\n".join([f"[{name}]", *(f"{key} = {toml_value(value)}" for key, value in sections[name].items())])
        for name in sorted(sections, key=lambda name: (name != "node", name))
    ]
    return "\n\n".join(blocks)


def site_lines(settings: Settings) -> str:
    """Return them as the server's configuration has them."""
    lines = [f"{key} = {toml_value(value)}" for key, value in settings.site.items()]
    return "\n".join([f"[[nodes]]  # record {settings.site_id}", f"id = {toml_value(settings.name)}", *lines])


def compare(config: Path, book: RecordBook) -> Comparison:
    """Compare a configuration with the records: of the server when it has a table ``[[nodes]]``, else of a node.

    Raises
    ------
    InputError
        It cannot be read, or is neither.
    """
    try:
        table = tomllib.loads(config.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read the file: {error}", source=config) from error
    if "nodes" in table:
        return _compare_server(config, book)
    node = table.get("node")
    if isinstance(node, dict) and isinstance(node.get("id"), str):
        return _compare_node(table, node["id"], book)
    raise InputError("has neither [[nodes]] as a server's nor [node] with an id as a node's", source=config)


def _compare_node(table: Mapping[str, object], node: str, book: RecordBook) -> Comparison:
    tally = _Tally()
    settings = settings_of(book, node)
    for section, values in settings.node.items():
        inner = table.get(section)
        for key, value in values.items():
            stated = inner.get(key) if isinstance(inner, dict) else None
            tally.count(_same(stated, value), f"[{section}] {key} is {_word(stated)}, recorded is {toml_value(value)}")
    own = table["node"]
    stated_ids = own.get("calibration_id") if isinstance(own, dict) else None
    if settings.ids:
        wanted = join_ids(settings.ids)
        text = f"[node] calibration_id is {_word(stated_ids)}, recorded is {toml_value(wanted)}"
        tally.count(stated_ids == wanted, text)
    else:
        tally.remarks.append(f"no record of '{node}' says anything for its configuration")
    known = {signed.id: signed for signed in book.records}
    for part in split_ids(stated_ids if isinstance(stated_ids, str) else None):
        after = book.superseded_by(known[part]) if part in known else None
        if part not in known:
            tally.differences.append(f"[node] calibration_id names {part}, which is not among the records")
        elif after is not None:
            tally.remarks.append(f"{part} was superseded by {after.id} on {after.record.made_utc[:10]}")
    return tally.result()


def _compare_server(config: Path, book: RecordBook) -> Comparison:
    loaded = load_server_config(config)
    frame = loaded.to_frame()
    tally = _Tally()
    _compare_site_bias(loaded.fusion.site_bias_file, book, tally)
    if frame is None:
        tally.remarks.append("the network has no [frame], so its positions cannot be compared with recorded ones")
        return tally.result()
    for site in loaded.to_registry():
        settings = settings_of(book, site.node)
        if not settings.site:
            tally.remarks.append(f"{site.node}: no record of its position")
            continue
        apart_m, sigma_m = _apart_m(site, settings.site, frame), float(settings.site["sigma_m"])
        tally.count(
            apart_m <= _SAME_PLACE_M, f"{site.node}: stands {apart_m:.2f} m from where record {settings.site_id} says"
        )
        tally.count(
            _same(site.sigma_m, sigma_m),
            f"{site.node}: sigma_m is {site.sigma_m:g}, record {settings.site_id} says {sigma_m:g}",
        )
    return tally.result()


def _compare_site_bias(stated: str | None, book: RecordBook, tally: _Tally) -> None:
    recorded = book.current("", "site-bias")
    if recorded is None:
        if stated is not None:
            tally.differences.append(f"[fusion] site_bias_file is {stated}, no such record is among these")
        return
    used = None if stated is None else parse_record(_text(stated), source=stated).id
    tally.count(used == recorded.id, f"[fusion] site_bias_file is {used or 'not there'}, recorded is {recorded.id}")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file: {error}", source=path) from error


def _apart_m(site: Site, recorded: Mapping[str, Value], frame: LocalFrame) -> float:
    lat_deg, lon_deg, height_m = (float(recorded[key]) for key in ("lat_deg", "lon_deg", "height_m"))
    return math.dist(frame.to_enu_m(lat_deg, lon_deg, height_m), (site.x_m, site.y_m, site.z_m))


def _same(stated: object, value: Value) -> bool:
    if isinstance(value, float) and isinstance(stated, int | float) and not isinstance(stated, bool):
        return math.isclose(stated, value, rel_tol=_SAME_SHARE, abs_tol=1e-9)
    return stated == value


def _word(stated: object) -> str:
    return "not there" if stated is None else repr(stated)
