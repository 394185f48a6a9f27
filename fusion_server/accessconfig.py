"""Configuration of who gets in, and of how incidents are reviewed."""

from __future__ import annotations

import ipaddress
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from fusion_server.review import ReviewRules
from fusion_server.roles import Role
from shotline.config import ConfigModel

__all__ = ["AccessMode", "AccessSection", "OidcRoleSection", "OidcSection", "ReviewSection", "is_loopback"]


class AccessMode(StrEnum):
    """Whether the server asks who is there."""

    OPEN = "open"
    ACCOUNTS = "accounts"


class AccessSection(ConfigModel):
    """Who gets in; roles and rights are in docs/access.md."""

    mode: Annotated[AccessMode, Field(strict=False)] = Field(
        default=AccessMode.OPEN,
        title="mode",
        description="open = whoever reaches the server may do everything, from this machine only; accounts = people "
        "sign in, machines have tokens",
    )
    session_hours: float = Field(
        default=12.0, title="session", description="hours after which a person signs in again", ge=0.1, le=720.0
    )
    requests_per_s: float = Field(
        default=50.0,
        title="requests",
        description="requests a second in the long run of one account, or of one address that does not say who it is",
        ge=0.1,
        le=100_000.0,
    )
    requests_burst: int = Field(
        default=500, title="burst of requests", description="requests at once", ge=1, le=1_000_000
    )
    plain_http: bool = Field(
        default=False,
        title="passwords over HTTP",
        description="take passwords from other machines without TLS too, on a network you trust",
    )


class OidcSection(ConfigModel):
    """An identity provider (OpenID Connect) whose bearer tokens are taken beside our own; absent = none."""

    issuer: str = Field(title="issuer", description="what the claim `iss` must say, to the letter", min_length=1)
    audience: str = Field(title="audience", description="what the claim `aud` must say or hold", min_length=1)
    jwks_file: str = Field(
        title="keys",
        description="file with the provider's public keys, a JWK set; read again when changed",
        min_length=1,
    )
    roles_claim: str = Field(
        default="roles",
        title="claim of roles",
        description="where the roles are; a full stop goes into an object: realm_access.roles",
        min_length=1,
    )


class OidcRoleSection(ConfigModel):
    """What the provider calls a role. Absent: it uses our names."""

    claim: str = Field(title="value", description="what the claim of roles holds", min_length=1)
    role: Annotated[Role, Field(strict=False)] = Field(title="role", description="the role that it gives here")


class ReviewSection(ConfigModel):
    """How people decide what an incident was."""

    two_persons: bool = Field(
        default=False,
        title="two persons",
        description="a decision stands once a second person decides the same; needs accounts",
    )
    acknowledge_within_s: float = Field(
        default=30.0,
        title="time to acknowledge",
        description="seconds after which an alert that nobody took on is repeated, and again after each such span",
        ge=5.0,
        le=86_400.0,
    )
    decide_within_s: float = Field(
        default=180.0,
        title="time to decide",
        description="seconds after which an incident without a decision is overdue",
        ge=5.0,
        le=604_800.0,
    )
    remind_sinks: bool = Field(
        default=False,
        title="remind sinks",
        description="repeat alerts that nobody took on to the sinks too, not on the event stream only",
    )

    def to_rules(self) -> ReviewRules:
        """Return the rules of review."""
        return ReviewRules(
            two_persons=self.two_persons,
            acknowledge_within_s=self.acknowledge_within_s,
            decide_within_s=self.decide_within_s,
        )


def is_loopback(host: str) -> bool:
    """Return whether an address to listen on is reached from this machine only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
