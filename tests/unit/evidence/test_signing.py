"""Keys and signatures: the algorithm is that of its standard, and a secret stays one."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from evidence_samples import signing_key

from fusion_server.evidence.signing import (
    SigningKey,
    fingerprint,
    is_fingerprint,
    root_holds,
    sign_root,
    signature_holds,
)
from shotline.auditchain import follow
from shotline.errors import InputError

# RFC 8032, section 7.1, test 2.
PUBLIC = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
SIGNATURE = (
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
    "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
)


def test_the_standards_own_example_holds() -> None:
    assert signature_holds(PUBLIC, b"\x72", SIGNATURE)
    assert not signature_holds(PUBLIC, b"\x73", SIGNATURE)
    assert not signature_holds(PUBLIC, b"\x72", "00" + SIGNATURE[2:])
    assert not signature_holds(PUBLIC[:-2], b"\x72", SIGNATURE)
    assert not signature_holds("no key", b"\x72", "no signature")


def test_a_key_is_kept_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "evidence.key"
    made = SigningKey.new(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path).public == made.public
    assert signature_holds(made.public, b"text", SigningKey.load(path).sign(b"text"))
    assert fingerprint(made.public) == hashlib.sha256(bytes.fromhex(made.public)).hexdigest()
    assert is_fingerprint(fingerprint(made.public))
    assert not is_fingerprint("AB" * 32)
    secret = "".join(path.read_text().splitlines()[1:-1])
    assert secret not in repr(made)
    assert "_secret" not in repr(made)


def test_a_key_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "evidence.key"
    with pytest.raises(InputError, match="cannot read the key"):
        SigningKey.load(path)
    SigningKey.new(path)
    with pytest.raises(InputError, match="is there already"):
        SigningKey.new(path)
    path.chmod(0o640)
    with pytest.raises(InputError, match="can be read by others"):
        SigningKey.load(path)
    path.chmod(0o600)
    path.write_text("nothing of the kind")
    with pytest.raises(InputError, match="holds no Ed25519 key") as seen:
        SigningKey.load(path)
    assert seen.value.__cause__ is None


def test_a_root_holds_or_does_not() -> None:
    entry = follow(None, time_ns=1, actor="server", action="start")
    root = sign_root(entry, signing_key(), time_ns=2)
    assert root_holds(root)
    for changed in ({"number": 2}, {"digest": "0" * 64}, {"digest": "ä"}, {"time_ns": 3}, {"key": PUBLIC}):
        assert not root_holds(type(root)(**{**{n: getattr(root, n) for n in root.__struct_fields__}, **changed}))
