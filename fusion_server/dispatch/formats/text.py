"""An alert in words, for e-mail, text messages and logs. Pure, and ASCII only: a text message stays a cheap one.

References
----------
[RFC5870] sections 3.3 and 3.4.3: latitude first, uncertainty ``u`` in metres.
"""

from __future__ import annotations

from fusion_server.dispatch.formats.facts import headline
from fusion_server.dispatch.sink import Alert
from shotline.records import IncidentRecord
from shotline.timebase import format_utc, parse_utc

__all__ = ["NOTICE_LINE", "geo_uri", "long_text", "short_text"]

NOTICE_LINE = "Not by itself grounds for a stop, search or arrest."
"""The notice where every character counts."""


def geo_uri(record: IncidentRecord) -> str:
    """Return the place as a ``geo:`` link with the radius that holds it with 95 %; "" without degrees."""
    if record.lat_deg is None or record.lon_deg is None:
        return ""
    return f"geo:{record.lat_deg:.7f},{record.lon_deg:.7f};u={record.cep95_m:.1f}"


def long_text(alert: Alert) -> str:
    """Return the alert as some lines of text, without title."""
    record, ellipse = alert.record, alert.record.ellipse95
    axes = f"{ellipse.semi_major_m:.2f} m and {ellipse.semi_minor_m:.2f} m"
    axis = f"long axis {ellipse.orientation_deg:.0f} degrees clockwise from north"
    lines = [
        f"Time: {_clock(record.time_utc)}",
        f"Place: {_place(record)}",
        f"Error: 95 % within {record.cep95_m:.2f} m; 95 % ellipse with semi-axes {axes}, {axis}",
        f"Probability of gunfire: {record.probability:.0%}",
        f"Incident: {record.id}, revision {record.revision}, {record.state}",
    ]
    if record.rounds > 1:
        lines.insert(1, f"Last round: {_clock(record.last_time_utc)}")
    if alert.replay:
        lines.append(f"Replay of the recording: {record.scene}")
    if link := geo_uri(record):
        lines.append(link)
    return "\n".join([*lines, NOTICE_LINE])


def short_text(alert: Alert) -> str:
    """Return the alert as one line, title included."""
    record, ellipse = alert.record, alert.record.ellipse95
    error = f"95% {ellipse.semi_major_m:.2f}x{ellipse.semi_minor_m:.2f}m@{ellipse.orientation_deg:.0f}deg"
    return f"{headline(alert)}. {_clock(record.time_utc)} {_place(record)} {error}. {record.id}. {NOTICE_LINE}"


def _place(record: IncidentRecord) -> str:
    if record.lat_deg is None or record.lon_deg is None:
        return f"x {record.x_m:.2f} m, y {record.y_m:.2f} m"
    return f"{record.lat_deg:.7f}, {record.lon_deg:.7f}"


def _clock(time_utc: str) -> str:
    return format_utc(parse_utc(time_utc), digits=3)
