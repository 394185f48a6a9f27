"""Bearer tokens of an identity provider, signed here with keys made here."""

from __future__ import annotations

import base64
import hmac
import json
import os
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from fusion_server.oidc import BearerRefused, OidcRules, OidcVerifier, looks_like_jwt
from fusion_server.roles import Principal, Role
from shotline.errors import InputError

NOW_S = 1_700_000_000
RULES = OidcRules(issuer="https://id.example.org", audience="shotline")
FIRST, SECOND = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def jwk(key: Any, kid: str | None, **more: str) -> dict[str, Any]:
    algorithm = jwt.algorithms.RSAAlgorithm if key is RSA else jwt.algorithms.ECAlgorithm
    named = {} if kid is None else {"kid": kid}
    return {**json.loads(algorithm.to_jwk(key.public_key())), **named, **more}


def write(file: Path, *keys: dict[str, Any]) -> Path:
    before_ns = file.stat().st_mtime_ns if file.exists() else 0
    file.write_text(json.dumps({"keys": keys}))
    os.utime(file, ns=(before_ns + 10**9, before_ns + 10**9))
    return file


def sign(key: Any = FIRST, kid: str | None = "one", *, algorithm: str = "ES256", **changes: Any) -> str:
    claims = {
        "iss": RULES.issuer,
        "aud": RULES.audience,
        "sub": "ann@example.org",
        "exp": NOW_S + 300,
        "nbf": NOW_S - 300,
        "roles": ["reviewer"],
    } | changes
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(kept, key, algorithm=algorithm, headers=None if kid is None else {"kid": kid})


def forged(secret: bytes) -> str:
    """Return a token with the claims of a good one, signed with a shared secret."""
    header = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"one","typ":"JWT"}').rstrip(b"=").decode()
    signed = f"{header}.{sign().split('.')[1]}"
    digest = hmac.digest(secret, signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return write(tmp_path / "jwks.json", jwk(FIRST, "one"), jwk(RSA, "three", use="sig"), jwk(SECOND, "enc", use="enc"))


def refusal(found: Principal | BearerRefused) -> str:
    assert isinstance(found, BearerRefused), found
    return found.reason


def test_a_good_token_lets_in(keys: Path) -> None:
    verifier = OidcVerifier(RULES, keys)
    ann = Principal("oidc:ann@example.org", frozenset({Role.REVIEWER}))
    assert verifier.verify(sign(), now_s=NOW_S) == ann
    assert verifier.verify(sign(RSA, "three", algorithm="RS256"), now_s=NOW_S) == ann
    assert verifier.verify(sign(aud=["other", "shotline"]), now_s=NOW_S) == ann
    both = verifier.verify(sign(roles="auditor analyst stranger"), now_s=NOW_S)
    assert isinstance(both, Principal)
    assert both.roles == {Role.AUDITOR, Role.ANALYST}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": NOW_S - 31}, "expired"),
        ({"nbf": NOW_S + 31}, "not valid yet"),
        ({"exp": "soon"}, "exp or nbf is not a number"),
        ({"iss": "https://id.example.com"}, "invalid issuer"),
        ({"iss": None}, 'token is missing the "iss" claim'),
        ({"aud": "other"}, "audience doesn't match"),
        ({"aud": None}, 'token is missing the "aud" claim'),
        ({"exp": None}, 'token is missing the "exp" claim'),
        ({"sub": None}, 'token is missing the "sub" claim'),
        ({"sub": "x" * 200}, "its subject cannot be a name here"),
        ({"sub": "a\nb"}, "its subject cannot be a name here"),
        ({"roles": []}, "no role in its claim 'roles'"),
        ({"roles": ["admin", 7]}, "no role in its claim 'roles'"),
        ({"roles": {"reviewer": True}}, "no role in its claim 'roles'"),
    ],
)
def test_a_token_that_says_the_wrong_thing(keys: Path, changes: dict[str, Any], words: str) -> None:
    assert words in refusal(OidcVerifier(RULES, keys).verify(sign(**changes), now_s=NOW_S))


def test_clocks_may_differ_by_half_a_minute(keys: Path) -> None:
    verifier = OidcVerifier(RULES, keys)
    assert isinstance(verifier.verify(sign(exp=NOW_S - 29), now_s=NOW_S), Principal)
    assert isinstance(verifier.verify(sign(nbf=NOW_S + 29), now_s=NOW_S), Principal)


def test_a_token_that_is_signed_wrongly(keys: Path) -> None:
    verifier = OidcVerifier(RULES, keys)
    assert "signature verification failed" in refusal(verifier.verify(sign(SECOND, "one"), now_s=NOW_S))
    assert "not in the JWK set" in refusal(verifier.verify(sign(SECOND, "two"), now_s=NOW_S))
    assert "not in the JWK set" in refusal(verifier.verify(sign(SECOND, "enc"), now_s=NOW_S))
    assert "not in the JWK set" in refusal(verifier.verify(sign(kid=None), now_s=NOW_S))
    unsigned = sign(None, algorithm="none")
    assert "another algorithm than its key's, ES256" in refusal(verifier.verify(unsigned, now_s=NOW_S))
    # A public key used as a shared secret.
    shared = forged(json.dumps(jwk(FIRST, "one")).encode())
    assert "another algorithm than its key's, ES256" in refusal(verifier.verify(shared, now_s=NOW_S))
    header, payload, signature = sign().split(".")
    assert "signature verification failed" in refusal(
        verifier.verify(f"{header}.{payload}.{signature[:-8]}AAAAAAAA", now_s=NOW_S)
    )
    for text in ("a.b.c", "..", "x" * 20_000):
        assert refusal(verifier.verify(text, now_s=NOW_S))


def test_one_key_needs_no_name(tmp_path: Path) -> None:
    verifier = OidcVerifier(RULES, write(tmp_path / "jwks.json", jwk(FIRST, None)))
    assert isinstance(verifier.verify(sign(kid=None), now_s=NOW_S), Principal)


def test_roles_by_what_the_provider_calls_them(keys: Path) -> None:
    rules = OidcRules(
        issuer=RULES.issuer,
        audience=RULES.audience,
        roles_claim="realm_access.roles",
        roles={"Night desk": Role.DISPATCHER},
    )
    verifier = OidcVerifier(rules, keys)
    found = verifier.verify(sign(realm_access={"roles": ["Night desk", "auditor"]}), now_s=NOW_S)
    assert isinstance(found, Principal)
    assert found.roles == {Role.DISPATCHER}
    assert "no role" in refusal(verifier.verify(sign(realm_access=["roles"]), now_s=NOW_S))


def test_keys_are_read_again_when_the_file_was_changed(keys: Path) -> None:
    verifier = OidcVerifier(RULES, keys)
    write(keys, jwk(SECOND, "two"))
    assert isinstance(verifier.verify(sign(SECOND, "two"), now_s=NOW_S), Principal)
    assert "not in the JWK set" in refusal(verifier.verify(sign(), now_s=NOW_S))
    keys.write_text("{")
    assert isinstance(verifier.verify(sign(SECOND, "two"), now_s=NOW_S), Principal), "the last good keys hold"
    keys.unlink()
    assert isinstance(verifier.verify(sign(SECOND, "two"), now_s=NOW_S), Principal)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"keys": 7}', '{"keys": []}', '{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}'],
)
def test_a_file_that_is_no_set_of_public_keys(tmp_path: Path, text: str) -> None:
    file = tmp_path / "jwks.json"
    file.write_text(text)
    with pytest.raises(InputError, match="cannot be used as a JWK set"):
        OidcVerifier(RULES, file)
    with pytest.raises(InputError, match="cannot be used as a JWK set"):
        OidcVerifier(RULES, tmp_path / "nothing.json")


def test_ours_are_no_jwts() -> None:
    assert looks_like_jwt(sign())
    assert not looks_like_jwt("shotline_abc-_d")
