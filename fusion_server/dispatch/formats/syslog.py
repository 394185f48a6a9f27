"""An alert as a syslog message. Pure.

References
----------
[RFC5424] sections 6 (syntax) and 6.3 (structured data).
[RFC5612] the enterprise number 32473, for those who have none.
[RFC6587] section 3.4.1 (octet counting).
"""

from __future__ import annotations

import re
from enum import IntEnum

from fusion_server.dispatch.formats.facts import Identity, exact_facts
from fusion_server.dispatch.formats.text import short_text
from fusion_server.dispatch.sink import Alert
from shotline.timebase import format_utc, parse_utc

__all__ = ["Facility", "counted", "syslog_message"]

_ENTERPRISE = 32473
_WARNING, _INFORMATIONAL = 4, 6
_ESCAPED = re.compile(r'(["\\\]])')


class Facility(IntEnum):
    """Where a collector sorts messages to."""

    USER = 1
    DAEMON = 3
    AUTH = 4
    LOCAL0 = 16
    LOCAL1 = 17
    LOCAL2 = 18
    LOCAL3 = 19
    LOCAL4 = 20
    LOCAL5 = 21
    LOCAL6 = 22
    LOCAL7 = 23


def syslog_message(alert: Alert, identity: Identity, *, facility: Facility = Facility.LOCAL4) -> bytes:
    """Return one message: a warning when live, informational when test or replay; every number as structured data."""
    record = alert.record
    severity = _INFORMATIONAL if alert.banner else _WARNING
    elements = "".join(f' {name}="{_escaped(value)}"' for name, value in exact_facts(alert).items())
    time_utc = format_utc(parse_utc(record.as_of_utc))
    header = f"<{facility * 8 + severity}>1 {time_utc} {identity.name} shotline - incident.{record.state}"
    return f"{header} [shotline@{_ENTERPRISE}{elements}] {short_text(alert)}".encode()


def _escaped(value: str) -> str:
    return _ESCAPED.sub(r"\\\1", value)


def counted(message: bytes) -> bytes:
    """Return a message framed for a stream: its length in octets, a blank, the message."""
    return str(len(message)).encode() + b" " + message
