"""An alert as a Common Alerting Protocol 1.2 message. Pure.

Latitude comes first, a circle's radius is in kilometres, and instants are whole seconds with a numeric offset: the
exact ones are parameters. ``sent`` is when the revision was concluded, so that an Update can name the earlier messages
without having kept them.

References
----------
[CAP2010] sections 3.2.1 (alert), 3.2.2 (info), 3.2.4 (area), 3.3.2 (instants).
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence

from fusion_server.dispatch.formats.facts import (
    Identity,
    degrees,
    ellipse_ring_deg,
    exact_facts,
    headline,
    is_withdrawn,
    marks,
    with_offset,
)
from fusion_server.dispatch.formats.text import long_text
from fusion_server.dispatch.sink import Alert
from shotline import __version__
from shotline.records import ALERT_NOTICE, IncidentRecord
from shotline.timebase import format_utc, parse_utc
from shotline.units import ns_from_seconds

__all__ = ["cap_identifier", "cap_message"]

_NAMESPACE = "urn:oasis:names:tc:emergency:cap:1.2"
_NOT_IN_IDS = re.compile(r"[\s,<&]")
_KM_PER_M = 0.001


def cap_identifier(record: IncidentRecord, *, reminder: int = 0) -> str:
    """Return the message's identifier; it has no blank, comma or markup, as the specification asks."""
    again = f".reminder{reminder}" if reminder else ""
    return _NOT_IN_IDS.sub("-", f"shotline.{record.id}.{record.revision}{again}")


def cap_message(
    alert: Alert, identity: Identity, *, earlier: Sequence[IncidentRecord] = (), expires_s: float = 3600.0
) -> bytes:
    """Return the message as UTF-8 XML.

    Parameters
    ----------
    alert : Alert
    identity : Identity
        Its name is the sender.
    earlier : sequence of IncidentRecord
        Revisions before this one, which it takes the place of. None: this is the first message. A reminder takes the
        place of the revision that it repeats, too.
    expires_s : float
        After the conclusion of the revision.

    Raises
    ------
    InputError
        The incident has no degrees.
    """
    record = alert.record
    before = [other for other in earlier if other.revision < record.revision]
    if alert.reminder:
        before.append(record)
    withdrawn = is_withdrawn(record)
    root = ElementTree.Element("alert", xmlns=_NAMESPACE)
    _add(root, "identifier", cap_identifier(record, reminder=alert.reminder))
    _add(root, "sender", identity.name)
    _add(root, "sent", with_offset(record.as_of_utc))
    _add(root, "status", "Test" if alert.test else "Exercise" if alert.replay else "Actual")
    _add(root, "msgType", "Alert" if not before else "Cancel" if withdrawn else "Update")
    _add(root, "source", f"Shotline {__version__}")
    _add(root, "scope", "Restricted")
    _add(root, "restriction", "For the dispatch centres of public safety")
    scene = f" Replay of the recording '{record.scene}'." if alert.replay else ""
    _add(root, "note", f"{marks(alert)}{ALERT_NOTICE}{scene}")
    if before:
        sent = (f"{identity.name},{cap_identifier(other)},{with_offset(other.as_of_utc)}" for other in before)
        _add(root, "references", " ".join(sent))
    _add(root, "incidents", _NOT_IN_IDS.sub("-", record.id))
    _info(root, alert, identity, expires_s=expires_s)
    encoded: bytes = ElementTree.tostring(root, encoding="UTF-8", xml_declaration=True)
    return encoded


def _info(root: ElementTree.Element, alert: Alert, identity: Identity, *, expires_s: float) -> None:
    record = alert.record
    withdrawn = is_withdrawn(record)
    info = ElementTree.SubElement(root, "info")
    _add(info, "language", "en-US")
    _add(info, "category", "Safety")
    _add(info, "event", f"{marks(alert)}Gunfire heard by acoustic sensors")
    _add(info, "responseType", "None" if withdrawn else "Assess")
    _add(info, "urgency", "Past" if withdrawn else "Immediate")
    _add(info, "severity", "Unknown" if withdrawn else "Severe")
    _add(info, "certainty", _certainty(record))
    _add(info, "onset", with_offset(record.time_utc))
    expires_ns = parse_utc(record.as_of_utc) + ns_from_seconds(expires_s)
    _add(info, "expires", with_offset(format_utc(expires_ns)))
    _add(info, "senderName", identity.operator)
    _add(info, "headline", headline(alert))
    _add(info, "description", long_text(alert))
    _add(info, "instruction", ALERT_NOTICE)
    for name, value in exact_facts(alert).items():
        parameter = ElementTree.SubElement(info, "parameter")
        _add(parameter, "valueName", name)
        _add(parameter, "value", value)
    _area(info, record)


def _area(info: ElementTree.Element, record: IncidentRecord) -> None:
    """Add the ellipse, where it does not cross the 180th meridian, and the circle that holds the truth with 95 %."""
    lat_deg, lon_deg = degrees(record)
    area = ElementTree.SubElement(info, "area")
    _add(area, "areaDesc", "Where the shots were fired: an ellipse and a circle, each holds the place with 95 %")
    ring = ellipse_ring_deg(record)
    longitudes = [lon for _, lon in ring]
    if max(longitudes) - min(longitudes) < 180.0:
        _add(area, "polygon", " ".join(f"{lat:.8f},{lon:.8f}" for lat, lon in ring))
    _add(area, "circle", f"{lat_deg:.8f},{lon_deg:.8f} {record.cep95_m * _KM_PER_M:.6f}")


def _certainty(record: IncidentRecord) -> str:
    """Return the word for how sure it is: a person's word first, then whether it is likelier than not."""
    if record.state == "confirmed":
        return "Observed"
    if is_withdrawn(record):
        return "Unlikely"
    return "Likely" if record.probability > 0.5 else "Possible"


def _add(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text
