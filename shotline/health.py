"""Health: a list of named checks, each with a status, a sentence in plain words and the numbers behind it.

Both apps speak it: ``check`` prints it, the server's API and page show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from shotline.timebase import format_utc

__all__ = ["Check", "CheckStatus", "HealthReport", "worst_status"]


class CheckStatus(StrEnum):
    """From good to bad."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at.

    Parameters
    ----------
    name : str
        The same each time, such as ``store``.
    status : CheckStatus
    message : str
        What was seen, and what to do when it is not ok.
    numbers : Mapping[str, int | float]
        The figures behind it; each key ends in its unit.
    """

    name: str
    status: CheckStatus
    message: str
    numbers: Mapping[str, int | float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """Return the shape that the API and ``--json`` give."""
        return {
            "name": self.name,
            "status": self.status.value,
            "message": self.message,
            "numbers": dict(self.numbers),
        }


@dataclass(frozen=True, slots=True)
class HealthReport:
    """Every check, at one instant of wall time."""

    as_of_ns: int
    checks: tuple[Check, ...]

    @property
    def status(self) -> CheckStatus:
        """The worst of the checks."""
        return worst_status(self.checks)

    def as_json(self) -> dict[str, object]:
        """Return the shape that the API and ``--json`` give."""
        return {
            "status": self.status.value,
            "as_of_utc": format_utc(self.as_of_ns),
            "checks": [check.as_json() for check in self.checks],
        }


def worst_status(checks: Iterable[Check]) -> CheckStatus:
    """Return the worst of the checks; ok when there is none."""
    return max((check.status for check in checks), key=list(CheckStatus).index, default=CheckStatus.OK)
