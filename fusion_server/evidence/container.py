"""The container of a bundle: files, a manifest with their digests, its signature, in a ZIP whose every byte is fixed.

The same files give the same bytes but for the time of signing: sorted, stored without compression, dated 1980. A byte
that differs anywhere, also between the files, is found.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TypeVar

import msgspec

from fusion_server.evidence.signing import SigningKey, fingerprint, signature_holds
from shotline.errors import InputError
from shotline.timebase import format_utc

__all__ = [
    "FORMAT",
    "MANIFEST",
    "SIGNATURE",
    "Container",
    "FileDigest",
    "Manifest",
    "Signature",
    "container_problems",
    "decode_json",
    "layer_problems",
    "pack",
    "pretty",
    "unpack",
]

FORMAT = "shotline-evidence-1"
MANIFEST, SIGNATURE = "manifest.json", "signature.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_DATE = (1980, 1, 1, 0, 0, 0)
_UNIX = 3
_MODE = 0o100644 << 16

_Read = TypeVar("_Read")


class FileDigest(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a bundle."""

    sha256: str
    size_bytes: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a bundle holds.

    Parameters
    ----------
    format : str
    incident : str
    scene : str
        Of a replayed dataset; "" when live.
    revision : int
        The newest automatic one.
    source : str
        ``server`` or ``replay``.
    base : str | None
        Digest of the bundle that this one amends.
    notice : str
    files : dict of str to FileDigest
    """

    format: str
    incident: str
    scene: str
    revision: int
    source: str
    base: str | None
    notice: str
    files: dict[str, FileDigest]


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who signed a manifest, and when.

    Parameters
    ----------
    manifest_sha256 : str
        The digest of the bundle.
    key, fingerprint : str
        Public key, and its SHA-256.
    signed_utc : str
    signature : str
        Ed25519, hexadecimal, of `message`.
    """

    manifest_sha256: str
    key: str
    fingerprint: str
    signed_utc: str
    signature: str

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return _message(self.manifest_sha256, self.signed_utc)


@dataclass(frozen=True, slots=True)
class Container:
    """What a bundle holds, as bytes. Nothing is checked yet.

    Parameters
    ----------
    files : mapping of str to bytes
        All but manifest and signature.
    manifest_bytes, signature_bytes : bytes
    """

    files: Mapping[str, bytes]
    manifest_bytes: bytes
    signature_bytes: bytes

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest, which holds those of all files: the digest of the bundle."""
        return hashlib.sha256(self.manifest_bytes).hexdigest()

    @property
    def manifest(self) -> Manifest:
        """The manifest."""
        return decode_json(self.manifest_bytes, Manifest, source=MANIFEST)


def pack(files: Mapping[str, bytes], head: Manifest, *, key: SigningKey, time_ns: int) -> bytes:
    """Return the bytes of a signed bundle.

    Parameters
    ----------
    files : mapping of str to bytes
    head : Manifest
        Its ``files`` are filled in.
    key : SigningKey
    time_ns : int
        Of signing, UTC nanoseconds.
    """
    if wrong := [name for name in files if not _NAME.fullmatch(name) or name in (MANIFEST, SIGNATURE)]:
        raise InputError(f"'{wrong[0]}' cannot be the name of a file in a bundle")
    digests = {
        name: FileDigest(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        for name, data in sorted(files.items())
    }
    manifest = pretty(msgspec.structs.replace(head, files=digests))
    digest, signed_utc = hashlib.sha256(manifest).hexdigest(), format_utc(time_ns)
    signature = Signature(
        manifest_sha256=digest,
        key=key.public,
        fingerprint=fingerprint(key.public),
        signed_utc=signed_utc,
        signature=key.sign(_message(digest, signed_utc)),
    )
    return _zip({**files, MANIFEST: manifest, SIGNATURE: pretty(signature)})


def unpack(data: bytes, *, source: object = "") -> Container:
    """Read a bundle; nothing is unpacked to more bytes than it has.

    Raises
    ------
    InputError
        It is no bundle.
    """
    files: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.file_size > len(data):
                    raise InputError(f"'{info.filename}' is compressed or encrypted; a bundle stores", source=source)
                if info.filename in files:
                    raise InputError(f"has '{info.filename}' twice", source=source)
                files[info.filename] = archive.read(info)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError) as error:
        raise InputError(f"is no bundle that can be read: {error}", source=source) from error
    try:
        manifest, signature = files.pop(MANIFEST), files.pop(SIGNATURE)
    except KeyError as error:
        raise InputError(f"is no bundle: it has no {error.args[0]}", source=source) from error
    return Container(files, manifest, signature)


def container_problems(data: bytes, container: Container, *, trusted: Collection[str] = ()) -> list[str]:
    """Return what is wrong with a bundle's bytes, digests and signature; nothing when it is whole.

    Parameters
    ----------
    data : bytes
        Of the bundle.
    container : Container
        The same, unpacked.
    trusted : collection of str
        Fingerprints of the keys that one of which must have signed it; empty: any.
    """
    problems = layer_problems(container.files, container.manifest_bytes, container.signature_bytes, trusted=trusted)
    all_files = {**container.files, MANIFEST: container.manifest_bytes, SIGNATURE: container.signature_bytes}
    if not problems and _zip(all_files) != data:
        problems.append("the ZIP around the files is not the one that was written: bytes between them differ")
    return problems


def layer_problems(
    files: Mapping[str, bytes], manifest_bytes: bytes, signature_bytes: bytes, *, trusted: Collection[str] = ()
) -> list[str]:
    """Return what is wrong with files, their manifest and its signature."""
    problems = []
    digest = hashlib.sha256(manifest_bytes).hexdigest()
    try:
        signature = decode_json(signature_bytes, Signature, source=SIGNATURE)
    except InputError as error:
        problems.append(str(error))
    else:
        if pretty(signature) != signature_bytes:
            problems.append(f"{SIGNATURE}: changed in form")
        if signature.manifest_sha256 != digest:
            problems.append(f"{MANIFEST}: changed: its digest is {digest}, {signature.manifest_sha256} was signed")
        if not signature_holds(signature.key, signature.message, signature.signature):
            problems.append(f"{SIGNATURE}: changed: the signature is not that of its key")
        elif fingerprint(signature.key) != signature.fingerprint:
            problems.append(f"{SIGNATURE}: the fingerprint is not that of its key")
        if trusted and signature.fingerprint not in trusted:
            problems.append(f"{SIGNATURE}: signed by key {signature.fingerprint}, expected {' or '.join(trusted)}")
    try:
        manifest = decode_json(manifest_bytes, Manifest, source=MANIFEST)
    except InputError as error:
        return [*problems, str(error)]
    if manifest.format != FORMAT:
        problems.append(f"{MANIFEST}: format '{manifest.format}', this Shotline knows {FORMAT}")
    for name, expected in manifest.files.items():
        if name not in files:
            problems.append(f"{name}: missing")
        elif hashlib.sha256(files[name]).hexdigest() != expected.sha256:
            problems.append(f"{name}: changed: its digest is not that of the manifest")
    return problems + [f"{name}: not in the manifest" for name in sorted(set(files) - set(manifest.files))]


def pretty(value: object) -> bytes:
    """Return a value as JSON to read: the same value, the same bytes."""
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=1) + b"\n"


def decode_json(data: bytes, kind: type[_Read], *, source: object) -> _Read:
    """Return a value in JSON.

    Raises
    ------
    InputError
        It is none of the kind.
    """
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InputError(f"changed or damaged: {error}", source=source) from error


def _message(manifest_sha256: str, signed_utc: str) -> bytes:
    return f"shotline evidence\n{manifest_sha256}\n{signed_utc}\n".encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        for name, data in sorted(files.items()):
            info = zipfile.ZipInfo(name, _DATE)
            info.create_system, info.external_attr = _UNIX, _MODE
            archive.writestr(info, data)
    return out.getvalue()
