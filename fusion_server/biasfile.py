"""Site bias from the signed record of `shotline calibrate site-bias learn`: read, and checked before it is used."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from fusion_server.evidence.recordseal import RecordSeal, record_content
from fusion_server.registry import Registry
from fusion_server.sitebias import PathDelays
from fusion_server.sitebias.table import SiteBiasTable
from shotline.errors import InputError

__all__ = ["delays_of", "read_site_bias", "site_bias_of"]

_KIND = "site-bias"
_MOST_BYTES = 4 * 1024 * 1024


def site_bias_of(path: str | None, registry: Registry) -> SiteBiasTable | None:
    """Return the table of a configuration's ``site_bias_file``, if it names one.

    Raises
    ------
    InputError
        As `read_site_bias`; or a node has moved since.
    """
    if path is None:
        return None
    table = read_site_bias(Path(path))
    try:
        table.check_sites(registry)
    except InputError as error:
        raise InputError(str(error.problems[0].message), source=path) from error
    return table


def delays_of(table: SiteBiasTable | None) -> PathDelays | None:
    """Return what a table teaches, compiled before the first shot has to wait for it."""
    if table is None:
        return None
    delays = table.to_delays()
    delays.at(-1, 0.0, 0.0)
    return delays


def read_site_bias(path: Path) -> SiteBiasTable:
    """Read the table out of a record; who may sign is for `shotline calibrate verify --key` to say.

    Raises
    ------
    InputError
        The file cannot be read, is no record of a site bias, or is not what was signed.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.stat().st_size} bytes, a record has {_MOST_BYTES} at the most", source=path)
        record = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"cannot read the file: {error}", source=path) from error
    if record.get("kind") != _KIND:
        raise InputError(
            f"is a record of kind {record.get('kind')!r}, expected '{_KIND}': the file that "
            "`shotline calibrate site-bias learn --by … --sign-with …` made",
            source=path,
            field="kind",
        )
    try:
        seal = msgspec.convert(record.pop("signature", None), RecordSeal)
        if (fault := seal.fault(record_content(record))) is not None:
            raise InputError(f"is not what was signed: {fault}; see shotline calibrate verify", source=path)
        table = msgspec.convert(record["result"]["table"], SiteBiasTable)
        table.to_delays()
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise InputError(f"is no record of a site bias: {error}", source=path) from error
    return table
