"""How records of calibration are signed: what makes their bytes, their id, and what the signature is of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from fusion_server.evidence.signing import SigningKey, signature_holds

__all__ = ["RECORD_ID_DIGITS", "RecordSeal", "record_content"]

RECORD_ID_DIGITS = 16


class RecordSeal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table ``signature`` of a record: its id, the signer's public key, the signature; hexadecimal."""

    id: str
    key: str
    signature: str

    @classmethod
    def make(cls, content: bytes, key: SigningKey) -> RecordSeal:
        """Return the seal of what `record_content` made."""
        digest = hashlib.sha256(content).hexdigest()
        return cls(id=digest[:RECORD_ID_DIGITS], key=key.public, signature=key.sign(_message(digest)))

    def fault(self, content: bytes) -> str | None:
        """Return why a content is not what was signed; None when it is. Who signed is for the caller to judge."""
        digest = hashlib.sha256(content).hexdigest()
        if self.id != digest[:RECORD_ID_DIGITS]:
            return f"its content was changed: that has the id {digest[:RECORD_ID_DIGITS]}, the file says {self.id}"
        if not signature_holds(self.key, _message(digest), self.signature):
            return "its signature is not that of its content by the key that it names"
        return None


def record_content(table: Mapping[str, object]) -> bytes:
    """Return the bytes of a record that are signed: all of its file but the table ``signature``, as ordered JSON.

    Raises
    ------
    TypeError, ValueError, msgspec.MsgspecError
        It holds what JSON has no form for.
    """
    return msgspec.json.encode(dict(table), order="deterministic")


def _message(digest: str) -> bytes:
    return f"shotline calibration record\n{digest}\n".encode("ascii")
