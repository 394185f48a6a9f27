"""A log that shows when it was touched: each entry holds the digest of the one before it. Pure.

Whoever changes, drops or reorders an entry breaks every digest after it. Whoever writes the whole rest anew is found
out by a signed root: the digest of an entry, signed with a key that is kept elsewhere, and handed to others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from shotline.errors import InputError
from shotline.timebase import format_utc

__all__ = ["GENESIS", "AuditEntry", "AuditFault", "Root", "entry_digest", "follow", "root_message", "verify_chain"]

GENESIS = "0" * 64
"""What the first entry has in place of a digest before it."""

_MOST_DETAIL_BYTES = 16 * 1024


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that happened.

    Parameters
    ----------
    number : int
        From 1, without gaps.
    time_ns : int
        UTC nanoseconds.
    actor : str
        Account, or ``server``.
    action : str
        What was done, such as ``decision`` or ``view``.
    subject : str
        What it was done to, such as the id of an incident.
    detail : dict
        JSON: the rest.
    previous : str
        Digest of the entry before, 64 hexadecimal digits; `GENESIS` for the first.
    digest : str
        SHA-256 of all of the above.
    """

    number: int
    time_ns: int
    actor: str
    action: str
    subject: str
    detail: dict[str, object]
    previous: str
    digest: str


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the log at one entry, to be signed and handed out.

    Parameters
    ----------
    number : int
        Of the last entry that it covers.
    digest : str
        Of that entry.
    time_ns : int
        When it was signed.
    key : str
        Public key, hexadecimal.
    signature : str
        Of `root_message`, hexadecimal.
    """

    number: int
    digest: str
    time_ns: int
    key: str
    signature: str


@dataclass(frozen=True, slots=True)
class AuditFault:
    """Where the log is not what it was: the number of the entry, and what is wrong there."""

    number: int
    says: str


def entry_digest(entry: AuditEntry) -> str:
    """Return the SHA-256 of an entry but for its digest: of its JSON, keys sorted, as UTF-8."""
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__ if name != "digest"}
    return hashlib.sha256(msgspec.json.encode(fields, order="deterministic")).hexdigest()


def follow(
    last: AuditEntry | None,
    *,
    time_ns: int,
    actor: str,
    action: str,
    subject: str = "",
    detail: Mapping[str, object] | None = None,
) -> AuditEntry:
    """Return the entry that follows another; the first of a log after None.

    Raises
    ------
    InputError
        The detail is no JSON, or over 16 KiB of it.
    """
    try:
        # What is hashed is what will be read: tuples are lists after the store, and so they are now.
        encoded = msgspec.json.encode(dict(detail or {}), order="deterministic")
        plain: dict[str, object] = msgspec.json.decode(encoded, type=dict[str, object])
    except (TypeError, ValueError, msgspec.MsgspecError) as error:
        raise InputError(f"cannot be written as JSON: {error}", field="detail") from error
    if len(encoded) > _MOST_DETAIL_BYTES:
        raise InputError(f"{len(encoded)} bytes, expected {_MOST_DETAIL_BYTES} at the most", field="detail")
    entry = AuditEntry(
        number=1 if last is None else last.number + 1,
        time_ns=time_ns,
        actor=actor,
        action=action,
        subject=subject,
        detail=plain,
        previous=GENESIS if last is None else last.digest,
        digest="",
    )
    return msgspec.structs.replace(entry, digest=entry_digest(entry))


def root_message(number: int, digest: str, time_ns: int) -> bytes:
    """Return the bytes of a root that are signed."""
    return f"shotline audit root\n{number}\n{digest}\n{time_ns}\n".encode("ascii")


def verify_chain(entries: Iterable[AuditEntry], roots: Sequence[Root] = ()) -> list[AuditFault]:
    """Return what is wrong with a log, nothing when it is whole.

    Signatures of the roots are not looked at here: give those whose signature holds.

    Parameters
    ----------
    entries : iterable of AuditEntry
        In the order in which they are kept.
    roots : sequence of Root
    """
    faults: list[AuditFault] = []
    digests: dict[int, str] = {}
    wanted = {root.number for root in roots}
    expected, previous = 1, GENESIS
    for entry in entries:
        if entry.number != expected:
            faults.append(AuditFault(expected, f"entry {expected} is missing or out of order: found {entry.number}"))
        if entry.previous != previous:
            faults.append(AuditFault(entry.number, "does not follow the entry before it"))
        if entry_digest(entry) != entry.digest:
            faults.append(AuditFault(entry.number, "was changed: its content does not give its digest"))
        if entry.number in wanted:
            digests[entry.number] = entry.digest
        expected, previous = entry.number + 1, entry.digest
    for root in roots:
        when = format_utc(root.time_ns)
        found = digests.get(root.number)
        if found is None:
            faults.append(AuditFault(root.number, f"a root signed at {when} covers {root.number} entries; it is gone"))
        elif found != root.digest:
            faults.append(AuditFault(root.number, f"is not the entry that the root of {when} was signed over"))
    return faults
