"""An alert as a Cursor on Target event, for TAK. Pure.

The event is one of unknown affiliation on the ground (``a-u-G``), whatever happens: a microphone knows nothing of who
fired. Every revision has the same uid, so that the mark on the map moves; one that is withdrawn is stale at once.

References
----------
[CoT2005] the attributes of event and point; ``ce`` is one sigma; ``opex`` marks exercises (e-) and simulations (s-).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

from fusion_server.dispatch.formats.facts import degrees, exact_facts, headline, is_withdrawn, sigma_m
from fusion_server.dispatch.formats.text import long_text
from fusion_server.dispatch.sink import Alert
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["COT_TYPE", "cot_event", "cot_ping", "is_pong"]

COT_TYPE = "a-u-G"
"""Unknown, on the ground. Never hostile."""

_FUSED = "m-f"
_UNKNOWN = "9999999.0"
_NOT_IN_OPEX = re.compile(r"[^A-Za-z0-9_.]+")


def cot_event(alert: Alert, *, now_ns: int, stale_s: float = 3600.0) -> bytes:
    """Return the event as UTF-8 XML.

    Parameters
    ----------
    alert : Alert
    now_ns : int
        Wall time, UTC nanoseconds. A live event is dated by when the revision was concluded; a replayed one by this,
        since every screen drops what is dated years ago. ``start`` is always the time of the first shot.
    stale_s : float
        After the date of the event, until it leaves the screens.

    Raises
    ------
    InputError
        The incident has no degrees.
    """
    record = alert.record
    lat_deg, lon_deg = degrees(record)
    dated_ns = now_ns if alert.replay else parse_utc(record.as_of_utc)
    stale_ns = dated_ns if is_withdrawn(record) else dated_ns + ns_from_seconds(stale_s)
    event = ElementTree.Element(
        "event",
        version="2.0",
        uid=f"shotline.{record.id}",
        type=COT_TYPE,
        how=_FUSED,
        time=_milliseconds(dated_ns),
        start=_milliseconds(parse_utc(record.time_utc)),
        stale=_milliseconds(stale_ns),
    )
    if alert.test:
        event.set("opex", "e-TEST")
    elif alert.replay:
        event.set("opex", f"s-{_NOT_IN_OPEX.sub('_', record.scene)}")
    ElementTree.SubElement(
        event,
        "point",
        lat=f"{lat_deg:.8f}",
        lon=f"{lon_deg:.8f}",
        hae=_UNKNOWN,
        ce=f"{sigma_m(record):.3f}",
        le=_UNKNOWN,
    )
    detail = ElementTree.SubElement(event, "detail")
    ElementTree.SubElement(detail, "contact", callsign=headline(alert))
    ElementTree.SubElement(detail, "remarks").text = f"{headline(alert)}\n{long_text(alert)}"
    ElementTree.SubElement(detail, "shotline", exact_facts(alert))
    return _encoded(event)


def cot_ping(uid: str, *, now_ns: int) -> bytes:
    """Return the event that a TAK server answers, having read all that came before it."""
    now, later = _milliseconds(now_ns), _milliseconds(now_ns + 60 * NS_PER_S)
    event = ElementTree.Element(
        "event", version="2.0", uid=uid, type="t-x-c-t", how="m-g", time=now, start=now, stale=later
    )
    ElementTree.SubElement(event, "point", lat="0.0", lon="0.0", hae=_UNKNOWN, ce=_UNKNOWN, le=_UNKNOWN)
    ElementTree.SubElement(event, "detail")
    return _encoded(event)


def is_pong(received: bytes) -> bool:
    """Say whether the answer to a ping is in what came; anything else there is other people's traffic."""
    return b"t-x-c-t-r" in received or b"takPong" in received


def _encoded(event: ElementTree.Element) -> bytes:
    encoded: bytes = ElementTree.tostring(event, encoding="UTF-8", xml_declaration=True)
    return encoded


def _milliseconds(time_ns: int) -> str:
    return format_utc(time_ns, digits=3)
