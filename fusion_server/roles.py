"""Who may do what: roles, rights, and the one table that joins them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from shotline.errors import InputError

__all__ = ["EVERYBODY_HERE", "RIGHTS", "Principal", "Right", "Role", "parse_roles"]


class Role(StrEnum):
    """What a person is to the server."""

    DISPATCHER = "dispatcher"
    REVIEWER = "reviewer"
    ANALYST = "analyst"
    ENGINEER = "engineer"
    AUDITOR = "auditor"
    PUBLIC = "public"


class Right(StrEnum):
    """One thing that may be done."""

    FEATURES = "features"
    INCIDENTS = "incidents"
    CLIPS = "clips"
    ACKNOWLEDGE = "acknowledge"
    DECIDE = "decide"
    REPORT_MISS = "report_miss"
    NODES = "nodes"
    SENSOR_POSITIONS = "sensor_positions"
    HEALTH = "health"
    AUDIT = "audit"
    OPERATE = "operate"


_WATCH = {Right.FEATURES, Right.INCIDENTS, Right.NODES, Right.HEALTH}

RIGHTS: Mapping[Role, frozenset[Right]] = {
    Role.DISPATCHER: frozenset({*_WATCH, Right.CLIPS, Right.ACKNOWLEDGE, Right.DECIDE}),
    Role.REVIEWER: frozenset(
        {*_WATCH, Right.CLIPS, Right.ACKNOWLEDGE, Right.DECIDE, Right.REPORT_MISS, Right.SENSOR_POSITIONS}
    ),
    Role.ANALYST: frozenset({*_WATCH, Right.CLIPS, Right.REPORT_MISS, Right.SENSOR_POSITIONS}),
    Role.ENGINEER: frozenset({*_WATCH, Right.SENSOR_POSITIONS, Right.OPERATE}),
    Role.AUDITOR: frozenset({*_WATCH, Right.CLIPS, Right.SENSOR_POSITIONS, Right.AUDIT}),
    Role.PUBLIC: frozenset({Right.FEATURES}),
}
"""What each role may do; docs/access.md says it in words. A person with several roles may do what any of them may."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks.

    Parameters
    ----------
    name : str
        Of the account, or ``oidc:`` and the subject of a bearer token; what decisions and the audit log say.
    roles : frozenset of Role
    """

    name: str
    roles: frozenset[Role]

    @property
    def rights(self) -> frozenset[Right]:
        """All that the roles allow."""
        return frozenset().union(*(RIGHTS[role] for role in self.roles))

    def may(self, right: Right) -> bool:
        """Return whether a right is among those of the roles."""
        return any(right in RIGHTS[role] for role in self.roles)


EVERYBODY_HERE = Principal("local", frozenset(Role))
"""Who asks a server without accounts, which only this machine can reach."""


def parse_roles(names: Iterable[str]) -> frozenset[Role]:
    """Return roles by their names.

    Raises
    ------
    InputError
        One of them is no role, or there is none.
    """
    wanted = list(names)
    for name in wanted:
        if name not in list(Role):
            raise InputError(f"'{name}', expected one of {', '.join(Role)}", field="roles")
    if not wanted:
        raise InputError(f"none, expected one of {', '.join(Role)}", field="roles")
    return frozenset(Role(name) for name in wanted)
