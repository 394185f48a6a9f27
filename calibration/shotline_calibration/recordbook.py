"""A folder of calibration records: ``<node>/<date>-<kind>.toml``, those of the whole network in ``_network``."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusion_server.evidence.signing import SigningKey
from shotline.errors import InputError, Problem, StorageError
from shotline_calibration.records import (
    InputFile,
    Record,
    SignedRecord,
    parse_record,
    record_problems,
    record_text,
    sign_record,
)

__all__ = ["NETWORK_FOLDER", "RecordBook", "input_file", "write_record"]

NETWORK_FOLDER = "_network"
"""Where records of no single node are; no node id begins with an underscore."""
_MOST_BYTES = 4 * 1024 * 1024
_LEAST_ID_DIGITS = 4


@dataclass(frozen=True, slots=True)
class RecordBook:
    """The records of a folder.

    Parameters
    ----------
    records : tuple of SignedRecord
        Those that are what was signed, oldest first.
    faults : tuple of Problem
        What is wrong with the other files, and between records. A file that is named here is not used.
    """

    records: tuple[SignedRecord, ...]
    faults: tuple[Problem, ...] = ()

    @classmethod
    def read(cls, folder: Path, *, trusted: Collection[str] = ()) -> RecordBook:
        """Read a folder, or one file. A folder that is not there holds no records.

        Parameters
        ----------
        folder : Path
        trusted : collection of str
            Fingerprints of the keys that may sign; empty: any.
        """
        records: list[SignedRecord] = []
        faults: list[Problem] = []
        for path in [folder] if folder.is_file() else sorted(folder.glob("*/*.toml")):
            try:
                signed = parse_record(_text(path), source=path)
            except InputError as error:
                faults += error.problems
                continue
            wrong = record_problems(signed, trusted=trusted)
            faults += [Problem(text, str(path)) for text in wrong]
            if not wrong:
                records.append(signed)
        records.sort(key=lambda signed: (signed.record.made_ns, signed.id))
        return cls(tuple(records), (*faults, *_between(records, alone=folder.is_file())))

    def find(self, start: str) -> SignedRecord:
        """Return the record whose id begins so.

        Raises
        ------
        InputError
            None or several do, or fewer than four digits were given.
        """
        found = {signed.id: signed for signed in self.records if signed.id.startswith(start)}
        if len(start) < _LEAST_ID_DIGITS or len(found) != 1:
            raise InputError(
                f"'{start}' is the beginning of {len(found)} of {len(self.records)} records, expected one, and "
                f"{_LEAST_ID_DIGITS} digits or more; see shotline calibrate list",
                field="ID",
            )
        return next(iter(found.values()))

    def current(self, node: str, kind: str) -> SignedRecord | None:
        """Return the newest record of a node and kind that no other supersedes."""
        heads = list(self.heads(node=node, kind=kind))
        return heads[-1] if heads else None

    def heads(self, *, node: str | None = None, kind: str | None = None) -> Iterator[SignedRecord]:
        """Yield every record that no other supersedes, oldest first."""
        for signed in self.records:
            record = signed.record
            if node in (None, record.node) and kind in (None, record.kind) and not self.superseded_by(signed):
                yield signed

    def superseded_by(self, signed: SignedRecord) -> SignedRecord | None:
        """Return the newest record that takes the place of one; None when it stands."""
        later = [other for other in self.records if _supersedes(other.record, signed)]
        return later[-1] if later else None


def write_record(folder: Path, record: Record, key: SigningKey) -> tuple[Path, SignedRecord]:
    """Sign a record and keep it. It supersedes what the folder has of its node and kind.

    Returns
    -------
    path : Path
        The new file.
    signed : SignedRecord

    Raises
    ------
    InputError
        It holds what a record cannot, or is not later than what it would supersede.
    StorageError
        The file cannot be written.
    """
    before = RecordBook.read(folder).current(record.node, record.kind)
    if before is not None:
        if before.record.made_ns >= record.made_ns:
            raise InputError(
                f"made {record.made_utc}, but {before.source} was made {before.record.made_utc}; is the clock right?",
                field="made_utc",
            )
        record = msgspec.structs.replace(record, supersedes=before.id)
    signed = sign_record(record, key)
    inner = folder / (record.node or NETWORK_FOLDER)
    try:
        inner.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {inner}: {error.strerror}") from error
    stem = f"{record.made_utc[:10]}-{record.kind}"
    taken = len(list(inner.glob(f"{stem}*.toml")))
    path = inner / (f"{stem}-{taken + 1}.toml" if taken else f"{stem}.toml")
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(record_text(signed))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return path, signed


def input_file(path: Path) -> InputFile:
    """Return how a record names a file that it was computed from.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return InputFile(name=path.name, sha256=digest, size_bytes=path.stat().st_size)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror or error}", source=path) from error


def _between(records: Sequence[SignedRecord], *, alone: bool) -> Iterator[Problem]:
    """Yield what is wrong between records that are whole, each by itself."""
    by_id: dict[str, SignedRecord] = {}
    for signed in records:
        if signed.id in by_id:
            yield Problem(f"is the same record as {by_id[signed.id].source}; remove one of them", signed.source)
        by_id.setdefault(signed.id, signed)
    followers: dict[str, SignedRecord] = {}
    for signed in by_id.values():
        before = signed.record.supersedes
        if before is None or alone:
            continue
        if before not in by_id:
            yield Problem(f"supersedes {before}, which is not here: it was removed, or was never signed", signed.source)
        elif not _supersedes(signed.record, by_id[before]):
            yield Problem(f"supersedes {before}, which is of another node or kind, or later", signed.source)
        elif before in followers:
            yield Problem(f"supersedes {before}, as {followers[before].source} does; the newer stands", signed.source)
        followers.setdefault(before, signed)


def _supersedes(record: Record, signed: SignedRecord) -> bool:
    old = signed.record
    return (
        record.supersedes == signed.id
        and (record.node, record.kind) == (old.node, old.kind)
        and record.made_ns > old.made_ns
    )


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise InputError(f"{path.stat().st_size} bytes, a record has {_MOST_BYTES} at the most", source=path)
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file: {error}", source=path) from error
