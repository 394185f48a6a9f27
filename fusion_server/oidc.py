"""Bearer tokens of an identity provider (OpenID Connect): JWTs, checked against keys in a file. No network.

References
----------
[RFC7519] M. Jones et al., JSON Web Token (JWT), section 4.1.
[RFC8725] Y. Sheffer et al., JSON Web Token best current practices, sections 3.1, 3.8, 3.9.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt

from fusion_server.roles import Principal, Role
from shotline.errors import InputError

__all__ = ["BearerRefused", "OidcRules", "OidcVerifier", "looks_like_jwt"]

_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY_S = 30
_MOST_NAME_CHARACTERS = 128
_MOST_TOKEN_CHARACTERS = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcRules:
    """Which tokens are taken.

    Parameters
    ----------
    issuer, audience : str
        What ``iss`` and ``aud`` must say, to the letter.
    roles_claim : str
        Where the roles are; a full stop goes into an object, such as ``realm_access.roles``.
    roles : mapping of str to Role
        By what the claim says. Empty: it says our own names.
    """

    issuer: str
    audience: str
    roles_claim: str = "roles"
    roles: Mapping[str, Role] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class BearerRefused:
    """A token lets nobody in, and why."""

    reason: str


class OidcVerifier:
    """Checks bearer tokens.

    Parameters
    ----------
    rules : OidcRules
    jwks_file : Path
        The provider's public keys (a JWK set). It is read again when it was changed.

    Raises
    ------
    InputError
        The file cannot be read or is no JWK set.
    """

    def __init__(self, rules: OidcRules, jwks_file: Path) -> None:
        self._rules = rules
        self._file = jwks_file
        self._changed_ns = -1
        self._keys: dict[str | None, jwt.PyJWK] = {}
        self._read()

    def verify(self, token: str, *, now_s: float) -> Principal | BearerRefused:
        """Return who a token lets in, or why it does not."""
        try:
            key = self._key_of(token)
            if isinstance(key, BearerRefused):
                return key
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=self._rules.audience,
                issuer=self._rules.issuer,
                options={
                    "require": ["exp", "iss", "aud", "sub"],
                    # Time is an argument here.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.InvalidTokenError as error:
            return BearerRefused(str(error).rstrip(".").lower())
        return self._principal(claims, now_s)

    def _key_of(self, token: str) -> jwt.PyJWK | BearerRefused:
        if len(token) > _MOST_TOKEN_CHARACTERS:
            return BearerRefused(f"{len(token)} characters long, expected {_MOST_TOKEN_CHARACTERS} at the most")
        header = jwt.get_unverified_header(token)
        kid = header.get("kid")
        self._read()
        key = self._keys.get(kid) if kid is not None else self._only_key()
        if key is None:
            return BearerRefused("signed with a key that is not in the JWK set")
        if header.get("alg") != key.algorithm_name:
            return BearerRefused(f"signed with another algorithm than its key's, {key.algorithm_name}")
        return key

    def _only_key(self) -> jwt.PyJWK | None:
        return next(iter(self._keys.values())) if len(self._keys) == 1 else None

    def _principal(self, claims: Mapping[str, Any], now_s: float) -> Principal | BearerRefused:
        expires_s, not_before_s = claims["exp"], claims.get("nbf", 0)
        if not _is_number(expires_s) or not _is_number(not_before_s):
            return BearerRefused("exp or nbf is not a number")
        if now_s >= expires_s + _LEEWAY_S:
            return BearerRefused("expired")
        if now_s < not_before_s - _LEEWAY_S:
            return BearerRefused("not valid yet")
        name = f"oidc:{claims['sub']}"
        if len(name) > _MOST_NAME_CHARACTERS or not name.isprintable():
            return BearerRefused("its subject cannot be a name here")
        roles = self._roles(claims)
        return Principal(name, roles) if roles else BearerRefused(f"no role in its claim '{self._rules.roles_claim}'")

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        value: Any = claims
        for part in self._rules.roles_claim.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        said = value.split() if isinstance(value, str) else value if isinstance(value, list) else []
        known = self._rules.roles or {role.value: role for role in Role}
        return frozenset(known[item] for item in said if isinstance(item, str) and item in known)

    def _read(self) -> None:
        """Read the keys when the file was changed; while it cannot be read the last good ones hold."""
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns == self._changed_ns:
                return
            document = json.loads(self._file.read_text(encoding="utf-8"))
            keys = [jwt.PyJWK(item) for item in document["keys"] if item.get("use", "sig") == "sig"]
            usable = [key for key in keys if key.algorithm_name in _ALGORITHMS]
            if not usable:
                raise ValueError("no public signing key in it")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, jwt.PyJWTError) as error:
            if self._keys:
                return
            raise InputError(
                f"cannot be used as a JWK set: {error}; store what the provider serves at its jwks_uri",
                source=self._file,
                field="jwks_file",
            ) from error
        self._changed_ns = changed_ns
        self._keys = {key.key_id: key for key in usable}


def looks_like_jwt(secret: str) -> bool:
    """Return whether a bearer secret is a JWT, by its three parts; ours have no full stop."""
    return secret.count(".") == 2


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
