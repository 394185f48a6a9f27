"""Calibration records: what was found about a node, by whom, how and from which files; signed, never changed. Pure.

A record has an id, 16 hexadecimal digits of the digest of its content. Detections carry the ids of the records that
their node was set up from (``calibration_id``), so whoever holds the records can say later what a level or a time
rested on. A record that turned out wrong stays; a later one supersedes it.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import msgspec

from fusion_server.evidence.recordseal import RECORD_ID_DIGITS, RecordSeal, record_content
from fusion_server.evidence.signing import SigningKey, fingerprint, is_fingerprint
from shotline.domain import NODE_ID_PATTERN
from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline_calibration.procedures import result_type
from shotline_calibration.result import Result
from shotline_calibration.tomltext import toml_text

__all__ = [
    "FORMAT",
    "InputFile",
    "Instrument",
    "Record",
    "SignedRecord",
    "is_record_id",
    "join_ids",
    "parse_record",
    "record_problems",
    "record_text",
    "sign_record",
    "split_ids",
    "trusted_keys",
]

FORMAT = "shotline-calibration-1"
_MOST_IDS = 3
"""So many ids fit into the 64 characters that a detection has for them."""
_NOT_READABLE = "is no calibration record"


class Instrument(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What was measured with, such as a receiver or a sound level calibrator, and when that was last calibrated."""

    name: str
    serial: str = ""
    calibrated: str = ""


class InputFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file that the result was computed from."""

    name: str
    sha256: str
    size_bytes: int


class _Head(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    kind: str
    node: str
    made_utc: str
    by: str
    procedure: str
    software: str
    instruments: tuple[Instrument, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    notes: str = ""
    supersedes: str | None = None


class Record(_Head, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """What one procedure found.

    Parameters
    ----------
    kind : str
        Which procedure, see `shotline_calibration.procedures.PROCEDURES`.
    node : str
        "" for one of the whole network.
    made_utc : str
    by : str
        The person.
    procedure : str
        What computed it, with its version: it changes when the same files give another result.
    software : str
    instruments, inputs : tuple
    notes : str
    supersedes : str | None
        Id of the record of the same node and kind that it takes the place of.
    result : Result
    """

    result: Result

    @property
    def made_ns(self) -> int:
        """UTC nanoseconds."""
        return parse_utc(self.made_utc, field="made_utc")


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A record as it was signed. Reading one checks nothing: `record_problems` does.

    Parameters
    ----------
    record : Record
    content : bytes
        What is signed: JSON of all but the signature, keys sorted.
    seal : RecordSeal
        As it is stated.
    source : str
        The file it was read from; "" for a new one.
    """

    record: Record
    content: bytes
    seal: RecordSeal
    source: str = ""

    @property
    def id(self) -> str:
        """Its id, as it is stated."""
        return self.seal.id

    @property
    def key(self) -> str:
        """Public key of who signed, hexadecimal."""
        return self.seal.key


def is_record_id(text: str) -> bool:
    """Return whether text is 16 hexadecimal digits."""
    return re.fullmatch(rf"[0-9a-f]{{{RECORD_ID_DIGITS}}}", text) is not None


def join_ids(ids: Collection[str]) -> str:
    """Return what ``calibration_id`` of a node holds: ids of up to three records, with + between.

    Raises
    ------
    InputError
        There are more, or none.
    """
    if not 1 <= len(ids) <= _MOST_IDS:
        raise InputError(f"{len(ids)} records, expected 1 to {_MOST_IDS}", field="calibration_id")
    return "+".join(sorted(ids))


def split_ids(text: str | None) -> tuple[str, ...]:
    """Return the ids in a ``calibration_id``; nothing where it names something else than records."""
    parts = tuple((text or "").split("+"))
    return parts if all(is_record_id(part) for part in parts) else ()


def sign_record(record: Record, key: SigningKey) -> SignedRecord:
    """Return a record signed.

    Raises
    ------
    InputError
        A value is none that a record can hold: not finite, no node id, no instant, no name.
    """
    _check(record)
    # What is signed is what will be read: through the text, where a tuple is a list.
    content = _content(tomllib.loads(toml_text(_plain(record))))
    return SignedRecord(record, content, RecordSeal.make(content, key))


def record_text(signed: SignedRecord) -> str:
    """Return a record as it is kept, TOML."""
    content = msgspec.json.decode(signed.content, type=dict[str, object])
    order = {name: content[name] for name in ("format", *Record.__struct_fields__) if name in content}
    result = msgspec.convert(content["result"], dict[str, object])
    order["result"] = {name: result[name] for name in signed.record.result.__struct_fields__ if name in result}
    return toml_text({**order, "signature": msgspec.to_builtins(signed.seal)})


def parse_record(text: str, *, source: object = "") -> SignedRecord:
    """Return what a file says, without a look at its signature.

    Raises
    ------
    InputError
        It is no record, or one of a format or kind that this version does not know.
    """
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{_NOT_READABLE}: {error}", source=source) from error
    form = table.get("format")
    if form != FORMAT:
        raise InputError(f"{_NOT_READABLE} of format '{FORMAT}', found {form!r}", source=source, field="format")
    try:
        seal = msgspec.convert(table.pop("signature", None), RecordSeal)
        content = _content(table)
        inner = {name: value for name, value in table.items() if name not in {"format", "result"}}
        head = msgspec.convert(inner, _Head)
        result = msgspec.convert(table.get("result"), result_type(head.kind))
        record = Record(**{name: getattr(head, name) for name in _Head.__struct_fields__}, result=result)
        _check(record)
    except msgspec.ValidationError as error:
        raise InputError(f"{_NOT_READABLE}: {error}", source=source) from error
    except InputError as error:
        problem = error.problems[0]
        raise InputError(problem.message, source=source, field=problem.field) from error
    return SignedRecord(record, content, seal, str(source))


def record_problems(signed: SignedRecord, *, trusted: Collection[str] = ()) -> list[str]:
    """Return why a record is not what was signed; nothing when it is.

    Parameters
    ----------
    signed : SignedRecord
    trusted : collection of str
        Fingerprints of the keys that may sign; empty: any key.
    """
    if (fault := signed.seal.fault(signed.content)) is not None:
        return [fault]
    signer = fingerprint(signed.key)
    if trusted and signer not in trusted:
        return [f"was signed by {signer}, which is none of the keys given"]
    return []


def trusted_keys(texts: Collection[str]) -> frozenset[str]:
    """Return fingerprints as given, checked.

    Raises
    ------
    InputError
        One is none.
    """
    if wrong := [text for text in texts if not is_fingerprint(text)]:
        raise InputError(f"'{wrong[0]}' is no fingerprint: 64 hexadecimal digits", field="--key")
    return frozenset(texts)


def _check(record: Record) -> None:
    if record.node and re.match(rf"{NODE_ID_PATTERN[:-1]}\Z", record.node) is None:
        raise InputError(f"'{record.node}' is no node id", field="node")
    for name in ("by", "procedure", "software"):
        if not getattr(record, name).strip():
            raise InputError("is empty; every record says who made it and with what", field=name)
    if not isinstance(record.result, result_type(record.kind)):
        raise InputError(f"holds a {type(record.result).__name__}, which is none of kind '{record.kind}'", field="kind")
    if record.supersedes is not None and not is_record_id(record.supersedes):
        raise InputError(f"'{record.supersedes}' is no id of a record: 16 hexadecimal digits", field="supersedes")
    parse_utc(record.made_utc, field="made_utc")


def _plain(record: Record) -> dict[str, object]:
    return {"format": FORMAT, **msgspec.to_builtins(record)}


def _content(table: Mapping[str, object]) -> bytes:
    try:
        toml_text(table)
        return record_content(table)
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"{_NOT_READABLE}: {error}") from error
