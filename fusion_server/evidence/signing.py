"""Ed25519 signatures [RFC8032] of bundles and audit roots. A secret key is in no repr, text or log."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from shotline.auditchain import AuditEntry, Root, root_message
from shotline.errors import InputError
from shotline.keyfiles import write_new

__all__ = ["SigningKey", "fingerprint", "is_fingerprint", "root_holds", "sign_root", "signature_holds"]

_HEX_DIGITS = frozenset("0123456789abcdef")


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A key that signs. ``public`` is its public half, hexadecimal."""

    public: str
    _secret: Ed25519PrivateKey = field(repr=False)

    @classmethod
    def new(cls, path: Path) -> SigningKey:
        """Make a key in a new file of mode 0600.

        Raises
        ------
        InputError
            The file is there already.
        StorageError
            It cannot be written.
        """
        secret = Ed25519PrivateKey.generate()
        text = secret.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_new(path, text.decode("ascii"), mode=0o600)
        return cls(_public(secret), secret)

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """Read a key.

        Raises
        ------
        InputError
            The file cannot be read, can be read by others, or holds no such key.
        """
        try:
            mode, data = path.stat().st_mode & 0o777, path.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read the key: {error.strerror or error}", source=path) from error
        if mode & 0o077:
            raise InputError(f"the key can be read by others (mode {mode:04o}); run: chmod 600 {path}", source=path)
        try:
            secret = serialization.load_pem_private_key(data, password=None)
        except (ValueError, TypeError):
            # What was read may hold a secret: it is neither shown nor chained.
            secret = None
        if not isinstance(secret, Ed25519PrivateKey):
            raise InputError("holds no Ed25519 key; make one with `shotline evidence key`", source=path) from None
        return cls(_public(secret), secret)

    def sign(self, message: bytes) -> str:
        """Return the signature, hexadecimal. The same message gives the same."""
        return self._secret.sign(message).hex()


def fingerprint(public: str) -> str:
    """Return the SHA-256 of a public key, hexadecimal: what people compare."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()


def is_fingerprint(text: str) -> bool:
    """Return whether text is 64 hexadecimal digits, as a fingerprint is."""
    return len(text) == 64 and set(text) <= _HEX_DIGITS


def signature_holds(public: str, message: bytes, signature: str) -> bool:
    """Return whether a signature is that of the message by the key; False for what is no key or signature."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def sign_root(entry: AuditEntry, key: SigningKey, *, time_ns: int) -> Root:
    """Return the root that an entry of the audit log makes, signed."""
    return Root(
        number=entry.number,
        digest=entry.digest,
        time_ns=time_ns,
        key=key.public,
        signature=key.sign(root_message(entry.number, entry.digest, time_ns)),
    )


def root_holds(root: Root) -> bool:
    """Return whether the signature of a root is that of its key."""
    try:
        message = root_message(root.number, root.digest, root.time_ns)
    except UnicodeEncodeError:
        return False
    return signature_holds(root.key, message, root.signature)


def _public(secret: Ed25519PrivateKey) -> str:
    return secret.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw).hex()
