"""Accounts, sessions and API tokens, in the same database as the history.

A password is kept as its Argon2id hash, a session or token as its SHA-256: whoever reads the database can sign in with
neither. Nothing is deleted: an account is disabled, a token is revoked. Each change goes to the audit log first.

References
----------
[RFC9106] A. Biryukov et al., Argon2. The parameters are those of its section 4, second choice (64 MiB).
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa
from argon2 import PasswordHasher
from argon2.exceptions import VerificationError

from fusion_server.casebook import Casebook
from fusion_server.database import Database
from fusion_server.roles import Principal, Role, parse_roles
from fusion_server.tables import ACCOUNTS, TOKENS
from shotline.errors import InputError

__all__ = ["Account", "Accounts", "Credential", "CredentialKind", "digest_of"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_.@-]{0,63}")
_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_LEAST_PASSWORD_CHARACTERS = 12
_MOST_PASSWORD_CHARACTERS = 1024
_SECRET_BYTES = 32
_TOKEN_PREFIX = "shotline_"


class CredentialKind(StrEnum):
    """What a secret is for."""

    SESSION = "session"
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Account:
    """A person, or a machine that only has tokens.

    Parameters
    ----------
    name : str
    roles : frozenset of Role
    has_password : bool
    created_ns : int
        UTC nanoseconds.
    disabled_ns : int | None
        From when on nobody gets in with it.
    """

    name: str
    roles: frozenset[Role]
    has_password: bool
    created_ns: int
    disabled_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Credential:
    """A session or token, without its secret.

    Parameters
    ----------
    kind : CredentialKind
    account, name : str
        Whose, and what it is called there.
    roles : frozenset of Role
        It allows no more than these, and no more than the account's.
    created_ns, expires_ns : int
        UTC nanoseconds.
    revoked_ns : int | None
    """

    kind: CredentialKind
    account: str
    name: str
    roles: frozenset[Role]
    created_ns: int
    expires_ns: int
    revoked_ns: int | None = None

    def state(self, now_ns: int) -> str:
        """Return ``valid``, ``expired`` or ``revoked``."""
        if self.revoked_ns is not None:
            return "revoked"
        return "valid" if now_ns < self.expires_ns else "expired"


class Accounts:
    """Accounts and their credentials. Any thread may use it; one password is hashed at a time.

    Parameters
    ----------
    database : Database
        The history's.
    hasher : PasswordHasher | None
        None: Argon2id with the library's parameters, those of RFC 9106 for little memory.
    new_secret : callable
        Makes the random part of a session or token.
    """

    def __init__(
        self,
        database: Database,
        *,
        hasher: PasswordHasher | None = None,
        new_secret: Callable[[], str] = lambda: secrets.token_urlsafe(_SECRET_BYTES),
    ) -> None:
        self._database = database
        self._casebook = Casebook(database)
        self._hasher = hasher or PasswordHasher()
        self._new_secret = new_secret
        self._hashing = threading.Lock()  # each hash takes 64 MiB
        self._nobodys_hash = self._hash(secrets.token_urlsafe(_SECRET_BYTES))

    # --- accounts -----------------------------------------------------------------------------------------------

    def add(self, name: str, *, roles: Iterable[str], password: str | None, time_ns: int, actor: str) -> Account:
        """Add an account; without a password it can only have tokens.

        Raises
        ------
        InputError
            It is there already, or a name, role or password cannot be.
        StorageError
            Nothing is kept.
        """
        if not _NAME.fullmatch(name):
            raise InputError(f"'{name}' is not an account name; use 1 to 64 of a-z, 0-9 and _ . @ -", field="name")
        if self.find(name) is not None:
            raise InputError(f"account '{name}' is there already; nobody's name is given again", field="name")
        parsed = parse_roles(roles)
        hashed = "" if password is None else self._hash(_checked(password))
        self._note(time_ns, actor, "account_add", name, {"roles": sorted(parsed), "password": password is not None})
        row = {"name": name, "password_hash": hashed, "roles": _text(parsed), "created_ns": time_ns}
        with self._database.writing() as db:
            insert = self._database.insert(ACCOUNTS).on_conflict_do_nothing().execution_options(preserve_rowcount=True)
            if db.execute(insert, row).rowcount != 1:
                raise InputError(f"account '{name}' is there already; nobody's name is given again", field="name")
        return Account(name, parsed, password is not None, time_ns)

    def set_password(self, name: str, password: str, *, time_ns: int, actor: str) -> None:
        """Give an account another password; its sessions end, its tokens stay."""
        self._known(name)
        hashed = self._hash(_checked(password))
        self._note(time_ns, actor, "account_password", name, {})
        with self._database.writing() as db:
            db.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(password_hash=hashed))
            db.execute(
                _revoking(time_ns).where(TOKENS.c.account == name, TOKENS.c.kind == CredentialKind.SESSION.value)
            )

    def set_roles(self, name: str, roles: Iterable[str], *, time_ns: int, actor: str) -> None:
        """Give an account other roles, from its next request on."""
        self._known(name)
        parsed = parse_roles(roles)
        self._note(time_ns, actor, "account_roles", name, {"roles": sorted(parsed)})
        with self._database.writing() as db:
            db.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(roles=_text(parsed)))

    def disable(self, name: str, *, time_ns: int, actor: str) -> None:
        """Let nobody in with an account any more; its sessions and tokens are revoked for good."""
        self._known(name)
        self._note(time_ns, actor, "account_disable", name, {})
        with self._database.writing() as db:
            db.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(disabled_ns=time_ns))
            db.execute(_revoking(time_ns).where(TOKENS.c.account == name))

    def enable(self, name: str, *, time_ns: int, actor: str) -> None:
        """Let a disabled account in again, by its password; what was revoked stays so."""
        self._known(name)
        self._note(time_ns, actor, "account_enable", name, {})
        with self._database.writing() as db:
            db.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.name == name).values(disabled_ns=None))

    def find(self, name: str) -> Account | None:
        """Return an account."""
        if not _NAME.fullmatch(name):
            return None
        with self._database.reading() as db:
            row = db.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.name == name)).mappings().one_or_none()
        return None if row is None else _account(row)

    def accounts(self) -> list[Account]:
        """Return every account, by name."""
        with self._database.reading() as db:
            return [_account(row) for row in db.execute(sa.select(ACCOUNTS).order_by(ACCOUNTS.c.name)).mappings()]

    def check_password(self, name: str, password: str) -> Account | None:
        """Return the account whose password this is; None otherwise.

        An account that is unknown, disabled or without a password takes as long as a wrong password.
        """
        row = None
        if _NAME.fullmatch(name):
            with self._database.reading() as db:
                row = db.execute(sa.select(ACCOUNTS).where(ACCOUNTS.c.name == name)).mappings().one_or_none()
        usable = row is not None and row["disabled_ns"] is None and row["password_hash"]
        hashed = row["password_hash"] if row is not None and usable else self._nobodys_hash
        matches = len(password) <= _MOST_PASSWORD_CHARACTERS and self._matches(hashed, password)
        return _account(row) if row is not None and usable and matches else None

    # --- sessions and tokens --------------------------------------------------------------------------------------

    def issue(
        self,
        kind: CredentialKind,
        account: str,
        *,
        name: str,
        roles: Iterable[str] | None = None,
        lifetime_ns: int,
        time_ns: int,
        actor: str,
    ) -> str:
        """Return the secret of a new session or token. It is kept nowhere: who loses it needs a new one.

        Parameters
        ----------
        kind : CredentialKind
        account : str
        name : str
            What it is called among the account's tokens.
        roles : iterable of str | None
            A part of the account's; None is all it has when it is used.
        lifetime_ns : int
            Until it expires.
        time_ns : int
            Now, UTC nanoseconds.
        actor : str
            Who makes it.

        Raises
        ------
        InputError
            No such account, or it is disabled; a valid token of that name; roles that the account does not have.
        """
        owner = self._known(account)
        if owner.disabled_ns is not None:
            raise InputError(f"account '{account}' is disabled; enable it first", field="name")
        if not _LABEL.fullmatch(name):
            raise InputError(f"'{name}' is not a token's name; use 1 to 64 letters, digits and _ . : -", field="token")
        if lifetime_ns <= 0:
            raise InputError("a token must expire after now", field="days")
        wanted = owner.roles if roles is None else parse_roles(roles)
        if beyond := wanted - owner.roles:
            raise InputError(f"account '{account}' has no role {', '.join(sorted(beyond))}", field="roles")
        if kind is CredentialKind.TOKEN and any(
            item.name == name and item.state(time_ns) == "valid" for item in self.credentials(kind, account)
        ):
            raise InputError(
                f"account '{account}' has a valid token '{name}'; revoke it, or name the new one otherwise"
            )
        secret = (_TOKEN_PREFIX if kind is CredentialKind.TOKEN else "") + self._new_secret()
        expires_ns = time_ns + lifetime_ns
        detail = {"name": name, "roles": sorted(wanted), "expires_ns": expires_ns}
        self._note(time_ns, actor, f"{kind.value}_issue", account, detail)
        row = {
            "digest": digest_of(secret),
            "kind": kind.value,
            "account": account,
            "name": name,
            "roles": "" if roles is None else _text(wanted),
            "created_ns": time_ns,
            "expires_ns": expires_ns,
        }
        with self._database.writing() as db:
            db.execute(sa.insert(TOKENS), row)
        return secret

    def principal(self, secret: str, kind: CredentialKind, *, now_ns: int) -> Principal | None:
        """Return who a session or token lets in; None when it is unknown, expired or revoked, or its account disabled.

        The look-up is by SHA-256, so how long it takes says nothing about a secret that is nearly right.
        """
        query = (
            sa.select(TOKENS.c.account, TOKENS.c.roles, ACCOUNTS.c.roles.label("account_roles"))
            .join(ACCOUNTS, ACCOUNTS.c.name == TOKENS.c.account)
            .where(TOKENS.c.digest == digest_of(secret), TOKENS.c.kind == kind.value)
            .where(TOKENS.c.revoked_ns.is_(None), TOKENS.c.expires_ns > now_ns, ACCOUNTS.c.disabled_ns.is_(None))
        )
        with self._database.reading() as db:
            row = db.execute(query).mappings().one_or_none()
        if row is None:
            return None
        roles = _roles(row["account_roles"])
        return Principal(row["account"], roles & _roles(row["roles"]) if row["roles"] else roles)

    def revoke_secret(self, secret: str, *, time_ns: int) -> None:
        """End the session or token that this is the secret of."""
        with self._database.writing() as db:
            db.execute(_revoking(time_ns).where(TOKENS.c.digest == digest_of(secret)))

    def revoke_token(self, account: str, name: str, *, time_ns: int, actor: str) -> None:
        """End an API token by its name.

        Raises
        ------
        InputError
            The account has no such token that is not revoked.
        """
        there = [item for item in self.credentials(CredentialKind.TOKEN, account) if item.name == name]
        if not any(item.revoked_ns is None for item in there):
            raise InputError(f"account '{account}' has no token '{name}' that is not revoked; `token list` shows them")
        self._note(time_ns, actor, "token_revoke", account, {"name": name})
        with self._database.writing() as db:
            db.execute(
                _revoking(time_ns).where(
                    TOKENS.c.account == account, TOKENS.c.name == name, TOKENS.c.kind == CredentialKind.TOKEN.value
                )
            )

    def credentials(self, kind: CredentialKind, account: str | None = None) -> list[Credential]:
        """Return every session or token there ever was, oldest first, of one account or of all."""
        query = (
            sa.select(TOKENS, ACCOUNTS.c.roles.label("account_roles"))
            .join(ACCOUNTS, ACCOUNTS.c.name == TOKENS.c.account)
            .where(TOKENS.c.kind == kind.value)
            .order_by(TOKENS.c.created_ns, TOKENS.c.digest)
        )
        if account is not None:
            query = query.where(TOKENS.c.account == account)
        with self._database.reading() as db:
            return [
                Credential(
                    kind=kind,
                    account=row["account"],
                    name=row["name"],
                    roles=_roles(row["roles"] or row["account_roles"]),
                    created_ns=row["created_ns"],
                    expires_ns=row["expires_ns"],
                    revoked_ns=row["revoked_ns"],
                )
                for row in db.execute(query).mappings()
            ]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _known(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise InputError(f"no account '{name}'; `shotline accounts list` shows those there are", field="name")
        return account

    def _note(self, time_ns: int, actor: str, action: str, subject: str, detail: dict[str, object]) -> None:
        self._casebook.note(time_ns=time_ns, actor=actor, action=action, subject=subject, detail=detail)

    def _hash(self, password: str) -> str:
        with self._hashing:
            return self._hasher.hash(password)

    def _matches(self, hashed: str, password: str) -> bool:
        with self._hashing:
            try:
                return self._hasher.verify(hashed, password)
            except VerificationError:
                return False


def digest_of(secret: str) -> str:
    """Return what is kept of a secret of 256 random bits: its SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode("utf-8", errors="surrogatepass")).hexdigest()


def _checked(password: str) -> str:
    if not _LEAST_PASSWORD_CHARACTERS <= len(password) <= _MOST_PASSWORD_CHARACTERS:
        raise InputError(
            f"{len(password)} characters, expected {_LEAST_PASSWORD_CHARACTERS} to {_MOST_PASSWORD_CHARACTERS}; "
            "a few words in a row are good",
            field="password",
        )
    return password


def _revoking(time_ns: int) -> sa.Update:
    return sa.update(TOKENS).where(TOKENS.c.revoked_ns.is_(None)).values(revoked_ns=time_ns)


def _account(row: sa.RowMapping) -> Account:
    return Account(row["name"], _roles(row["roles"]), bool(row["password_hash"]), row["created_ns"], row["disabled_ns"])


def _text(roles: Iterable[Role]) -> str:
    return ",".join(sorted(role.value for role in roles))


def _roles(text: str) -> frozenset[Role]:
    return frozenset(Role(name) for name in text.split(","))
