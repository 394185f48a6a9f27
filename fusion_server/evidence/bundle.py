"""A bundle read again: what its files say, whether it is whole, and its incident located again from nothing else."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import msgspec

from fusion_server.evidence.amendment import AMENDMENTS, Amendment, amendment_files, layer_files
from fusion_server.evidence.case import AuditExtract, decoded
from fusion_server.evidence.container import (
    MANIFEST,
    SIGNATURE,
    Container,
    Manifest,
    Signature,
    container_problems,
    decode_json,
    layer_problems,
    unpack,
)
from fusion_server.evidence.network import NetworkRecord
from fusion_server.evidence.relocate import Relocated, Relocator
from fusion_server.evidence.signing import root_holds
from shotline.auditchain import entry_digest
from shotline.errors import InputError, MessageError
from shotline.messages import Detection, iter_frames
from shotline.records import IncidentRecord

__all__ = [
    "AUDIT",
    "RELOCATION",
    "REVISIONS",
    "WIRE",
    "Bundle",
    "RevisionCheck",
    "network_file",
    "open_bundle",
    "verify",
]

REVISIONS, WIRE = "incident/revisions.jsonl", "detections/wire.bin"
AUDIT, RELOCATION = "audit.json", "relocation.json"


class RevisionCheck(msgspec.Struct, frozen=True, kw_only=True):
    """What came of making a revision again, when the bundle was made."""

    revision: int
    network: str
    identical: bool
    reason: str


@dataclass(frozen=True)
class Bundle:
    """A bundle that was read; see `verify` for whether it is whole."""

    container: Container

    @property
    def digest(self) -> str:
        """Of its manifest; see `Container.digest`."""
        return self.container.digest

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest."""
        return self.container.manifest

    @cached_property
    def signature(self) -> Signature:
        """The signature."""
        return decode_json(self.container.signature_bytes, Signature, source=SIGNATURE)

    @cached_property
    def revisions(self) -> tuple[IncidentRecord, ...]:
        """Every revision of the automatic result."""
        lines = self.file(REVISIONS).splitlines()
        return tuple(decode_json(line, IncidentRecord, source=REVISIONS) for line in lines)

    @cached_property
    def detections(self) -> dict[str, Detection]:
        """The detections, by the text of their identity."""
        try:
            frames = list(iter_frames(self.file(WIRE)))
            messages = decoded({str(number): frame for number, frame in enumerate(frames)})
        except MessageError as error:
            raise InputError(str(error), source=WIRE) from error
        return {str(item.uid): item for item in messages.values()}

    @cached_property
    def checks(self) -> tuple[RevisionCheck, ...]:
        """Which network each revision was located with."""
        return tuple(decode_json(self.file(RELOCATION), list[RevisionCheck], source=RELOCATION))

    @cached_property
    def audit(self) -> AuditExtract | None:
        """What the audit log says; None for a replay."""
        return msgspec.convert(decode_json(self.file(AUDIT), object, source=AUDIT), AuditExtract | None)

    def file(self, name: str) -> bytes:
        """Return a file.

        Raises
        ------
        InputError
            It is not there.
        """
        if name not in self.container.files:
            raise InputError("the file is not in the bundle", source=name)
        return self.container.files[name]

    def network(self, digest: str) -> NetworkRecord:
        """Return a network by its digest.

        Raises
        ------
        InputError
            It is not there.
        """
        name = network_file(digest)
        network = NetworkRecord.from_json(self.file(name), source=name)
        if network.digest != digest:
            raise InputError(f"holds the network {network.digest}", source=name)
        return network

    @cached_property
    def amendments(self) -> tuple[Amendment, ...]:
        """Edited picks, in order."""
        names = amendment_files(self.container.files)
        return tuple(decode_json(self.file(name), Amendment, source=name) for name in names)

    @cached_property
    def _networks(self) -> dict[int, str]:
        return {check.revision: check.network for check in self.checks}

    @cached_property
    def _relocators(self) -> dict[str, Relocator]:
        return {digest: Relocator(self.network(digest), self.detections) for digest in set(self._networks.values())}

    def relocator(self, revision: int) -> Relocator:
        """Return what locates a revision again.

        Raises
        ------
        InputError
            The bundle does not say with which network.
        """
        if revision not in self._networks:
            raise InputError(f"says nothing of revision {revision}", source=RELOCATION)
        return self._relocators[self._networks[revision]]

    def relocate(self) -> list[Relocated]:
        """Make every revision of the automatic result again from what is in the bundle."""
        return [self.relocator(record.revision).relocate(record) for record in self.revisions]


def network_file(digest: str) -> str:
    """Return where a bundle has a network."""
    return f"network/{digest}.json"


def open_bundle(path: Path) -> tuple[Bundle, bytes]:
    """Read a bundle; return its bytes too.

    Raises
    ------
    InputError
        The file cannot be read, or is no bundle.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
    return Bundle(unpack(data, source=path)), data


def verify(bundle: Bundle, data: bytes, *, trusted: Collection[str] = ()) -> list[str]:
    """Return what is wrong with a bundle, nothing when it is whole: bytes, digests, signatures of every layer, audit.

    Parameters
    ----------
    bundle : Bundle
    data : bytes
        Of the bundle.
    trusted : collection of str
        Fingerprints of the keys that may have signed; empty: any.
    """
    problems = container_problems(data, bundle.container, trusted=trusted)
    if problems:
        return problems
    files, base = bundle.container.files, bundle.manifest.base
    for number in range(len(amendment_files(files)), 0, -1):
        layer = layer_files(files, number)
        if layer is None:
            return [f"{AMENDMENTS}{number:03d}: missing; amendments are numbered from 1"]
        said = layer_problems(layer.files, layer.manifest_bytes, layer.signature_bytes, trusted=trusted)
        problems += [f"what amendment {number} was made from: {problem}" for problem in said]
        if layer.digest != base:
            problems.append(f"amendment {number} is of bundle {base}, and {layer.digest} lies under it")
        if problems:
            return problems
        base = layer.manifest.base
    if base is not None:
        problems.append(f"{MANIFEST}: amends bundle {base}, which is not in it")
    return problems + ([] if bundle.audit is None else _audit_problems(bundle.audit))


def _audit_problems(extract: AuditExtract) -> list[str]:
    problems = [f"{AUDIT}: the log was not whole when the bundle was made: {fault}" for fault in extract.log.faults]
    for entry in extract.entries:
        if entry_digest(entry) != entry.digest:
            problems.append(f"{AUDIT}: entry {entry.number} was changed: its content does not give its digest")
    for before, after in pairwise(extract.entries):
        if after.number <= before.number or (after.number == before.number + 1 and after.previous != before.digest):
            problems.append(f"{AUDIT}: entry {after.number} does not follow entry {before.number}")
    return problems + [
        f"{AUDIT}: the signature of the root over entry {root.number} does not hold"
        for root in extract.roots
        if not root_holds(root)
    ]
