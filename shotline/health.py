"""Health: a list of named checks, each with a status, a sentence in plain words and the numbers behind it.

Both apps speak it: ``check`` prints it, a node's heartbeat carries it, the server's API and page show it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shotline.domain import CheckStatus
from shotline.messages import MAX_HEALTH_ITEMS, MAX_HEALTH_MESSAGE, HealthItem
from shotline.timebase import format_utc

__all__ = ["VALUE_OF", "Check", "CheckStatus", "HealthReport", "check_from_item", "health_items", "worst_status"]

VALUE_OF = {
    "capture": "reopens",
    "cpu": "own_share",
    "disk": "free_mb",
    "gps": "satellites",
    "memory": "rss_mb",
    "microphone": "quiet_dbfs",
    "overruns": "lost_last_hour_s",
    "place": "offset_m",
    "rate": "offset_ppm",
    "temperature": "temperature_c",
    "time": "sigma_us",
}
"""Of which of its numbers a check's `HealthItem.value` is. A node sends no other number."""

_MOST_VALUE = 1e18
_IDENTITIES = ("calibration", "model", "version")
"""Checks whose message says which: it is sent when they are ok, too."""


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


def health_items(checks: Iterable[Check]) -> tuple[HealthItem, ...]:
    """Return checks as a heartbeat carries them: texts only where something is wrong, cut at 160 characters."""
    return tuple(_item(check) for check in checks)[:MAX_HEALTH_ITEMS]


def check_from_item(item: HealthItem) -> Check:
    """Return a check as a heartbeat carried it; its number has its name again, if this reader knows it."""
    key = VALUE_OF.get(item.name)
    return Check(item.name, item.status, item.message, {} if key is None or item.value is None else {key: item.value})


def _item(check: Check) -> HealthItem:
    said = check.status is not CheckStatus.OK or check.name in _IDENTITIES
    value = check.numbers.get(VALUE_OF.get(check.name, ""))
    return HealthItem(
        name=check.name,
        status=check.status,
        message=_cut(check.message) if said else "",
        value=None if value is None or not abs(value) <= _MOST_VALUE else float(value),
    )


def _cut(text: str) -> str:
    return text if len(text) <= MAX_HEALTH_MESSAGE else text[: MAX_HEALTH_MESSAGE - 1] + "…"
