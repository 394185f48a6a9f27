"""A server's API with accounts, and clients of every role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from alert_samples import metrics_snapshot
from api_client import NOW_NS, ask, sample_app
from argon2 import PasswordHasher
from fastapi import FastAPI

from fusion_server.accounts import Accounts, CredentialKind
from fusion_server.admission import RateLimit
from fusion_server.api import AccessRules, Gate, LiveFeed
from fusion_server.casebook import Casebook
from fusion_server.history import History
from fusion_server.oidc import OidcVerifier
from fusion_server.review import ReviewRules
from fusion_server.roles import Role

__all__ = ["FROM_THE_PAGE", "PASSWORD", "Bench", "Clock"]

PASSWORD = "a long walk home"
FROM_THE_PAGE = {"X-Shotline-Request": "1"}
_QUICK = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
_NO_LIMIT = RateLimit(1e6, 1_000_000)


@dataclass
class Clock:
    """A wall clock that goes only when told."""

    now_ns: int = NOW_NS

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Bench:
    """The API over a history, with an account for each role and a token for each account.

    Parameters
    ----------
    history : History
    rules : AccessRules
    review : ReviewRules | None
    oidc : OidcVerifier | None
    """

    history: History
    rules: AccessRules = AccessRules(accounts=True, rate=_NO_LIMIT)  # noqa: RUF009 - frozen
    review: ReviewRules | None = None
    oidc: OidcVerifier | None = None
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.accounts = Accounts(self.history.database, hasher=_QUICK)
        self.casebook = Casebook(self.history.database)
        self.live = LiveFeed()
        self.tokens = {role.value: self.member(role.value, role) for role in Role}
        gate = Gate(self.rules, self.casebook, accounts=self.accounts, oidc=self.oidc, now_ns=self.clock)
        self.app: FastAPI = sample_app(
            self.history,
            gate=gate,
            review=self.review,
            live=self.live,
            metrics=metrics_snapshot,
            heartbeat_s=0.05,
            now_ns=self.clock,
        )

    def member(self, name: str, *roles: Role) -> str:
        """Add an account; return a token of it."""
        self.accounts.add(name, roles=roles, password=PASSWORD, time_ns=self.clock(), actor="shell:test")
        return self.accounts.issue(
            CredentialKind.TOKEN, name, name="test", lifetime_ns=10**15, time_ns=self.clock(), actor="shell:test"
        )

    def ask(
        self,
        path: str,
        *,
        role: str | None = None,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        base_url: str = "http://shotline.test",
        address: str = "127.0.0.1",
    ) -> httpx.Response:
        """Ask with the token of a role or account; with none, as nobody."""
        bearer = {} if role is None else {"Authorization": f"Bearer {self.tokens[role]}"}
        return ask(
            self.app,
            path,
            method=method,
            headers=bearer | dict(headers or {}),
            json=json,
            base_url=base_url,
            address=address,
        )

    def login(self, name: str, password: str = PASSWORD, **more: Any) -> httpx.Response:
        """Sign in as the page does."""
        body = {"name": name, "password": password}
        headers = FROM_THE_PAGE | more.pop("headers", {})
        return self.ask("/access/login", method="POST", headers=headers, json=body, **more)

    def noted(self, action: str) -> list[tuple[str, str]]:
        """Return actor and subject of the entries of an action."""
        return [(entry.actor, entry.subject) for entry in self.casebook.audit() if entry.action == action]
