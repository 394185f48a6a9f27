"""An incident as a NENA Emergency Incident Data Object, JSON. Pure.

Position and 95 % ellipse are a PIDF-LO document, as text inside; the rest is a note, in HTML as notes are.

References
----------
[NENA2022] sections 2.6 (agency), 2.9 (incident), 3.1 (agency roles), 3.2 (incident types), 3.8 (location types).
[NENASchema] which components and members must be there.
[RFC5491] section 5.2.4: the ellipse; latitude first, semi-axes in metres, orientation clockwise from north.
[RFC7459] section 4: the confidence of a shape, in percent.
"""

from __future__ import annotations

import html
import json
import xml.etree.ElementTree as ElementTree
from typing import Any

from fusion_server.dispatch.formats.facts import Identity, degrees, exact_facts, headline
from fusion_server.dispatch.formats.text import long_text
from fusion_server.dispatch.sink import Alert
from shotline.timebase import format_utc, parse_utc

__all__ = ["eido_document"]

_EIDO_VERSION = "1.0"
_PIDF = "urn:ietf:params:xml:ns:pidf"
_GEOPRIV = "urn:ietf:params:xml:ns:pidf:geopriv10"
_CONFIDENCE = "urn:ietf:params:xml:ns:geopriv:conf"
_GML = "http://www.opengis.net/gml"
_SHAPES = "http://www.opengis.net/pidflo/1.0"
_WGS84_2D = "urn:ogc:def:crs:EPSG::4326"
_METRE, _DEGREE = "urn:ogc:def:uom:EPSG::9001", "urn:ogc:def:uom:EPSG::9102"


def eido_document(alert: Alert, identity: Identity, *, incident_type: str) -> bytes:
    """Return the document.

    Parameters
    ----------
    alert : Alert
    identity : Identity
        Its name is the issuing element and the agency.
    incident_type : str
        Code of the registry of incident types that the receiving centre takes for gunfire.

    Raises
    ------
    InputError
        The incident has no degrees.
    """
    record = alert.record
    urn = f"urn:emergency:uid:incidentid:{record.id}:{identity.name}"
    updated = {
        "lastUpdateTimeStamp": _with_offset(record.as_of_utc),
        "updatedByAgencyReference": {"$ref": identity.name},
    }
    location, note = f"{urn}:location", f"{urn}:note"
    document: dict[str, Any] = {
        "$id": urn,
        **updated,
        "eidoVersion": _EIDO_VERSION,
        "issuingElementIdentification": identity.name,
        "agencyComponent": [
            {
                "$id": identity.name,
                **updated,
                "agencyRoleDescriptionRegistryText": [identity.agency_role],
                "agencyType": [identity.agency_type],
            }
        ],
        "incidentComponent": {
            "$id": f"{urn}:incident",
            **updated,
            "incidentTypeCommonRegistryText": incident_type,
            "incidentTypeInternalText": headline(alert),
            "incidentStatusInternalText": [word for word in (record.state, *alert.banner.split()) if word],
            "internalIncidentId": record.id,
            "locationReference": [{"$ref": location}],
            "notesReference": [{"$ref": note}],
        },
        "locationComponent": [
            {
                "$id": location,
                **updated,
                "locationTypeDescriptionRegistryText": "CurrentIncident",
                "locationByValue": _pidf_lo(alert, identity),
                "locationDescriptionText": "Acoustic estimate with its 95 % ellipse",
            }
        ],
        "notesComponent": [
            {
                "$id": note,
                **updated,
                "notesActionComments": _note(alert),
            }
        ],
    }
    return json.dumps(document, indent=2).encode()


def _note(alert: Alert) -> str:
    paragraphs = [headline(alert), *long_text(alert).splitlines(), json.dumps(exact_facts(alert))]
    return "".join(f"<p>{html.escape(words, quote=False)}</p>" for words in paragraphs if words)


def _pidf_lo(alert: Alert, identity: Identity) -> str:
    record, ellipse = alert.record, alert.record.ellipse95
    lat_deg, lon_deg = degrees(record)
    presence = ElementTree.Element(f"{{{_PIDF}}}presence", entity=f"pres:shotline@{identity.name}")
    part = ElementTree.SubElement(presence, f"{{{_PIDF}}}tuple", id="shots")
    status = ElementTree.SubElement(part, f"{{{_PIDF}}}status")
    geopriv = ElementTree.SubElement(status, f"{{{_GEOPRIV}}}geopriv")
    info = ElementTree.SubElement(geopriv, f"{{{_GEOPRIV}}}location-info")
    shape = ElementTree.SubElement(info, f"{{{_SHAPES}}}Ellipse", srsName=_WGS84_2D)
    ElementTree.SubElement(shape, f"{{{_GML}}}pos").text = f"{lat_deg:.8f} {lon_deg:.8f}"
    for name, value, unit in (
        ("semiMajorAxis", f"{ellipse.semi_major_m:.3f}", _METRE),
        ("semiMinorAxis", f"{ellipse.semi_minor_m:.3f}", _METRE),
        ("orientation", f"{ellipse.orientation_deg:.2f}", _DEGREE),
    ):
        ElementTree.SubElement(shape, f"{{{_SHAPES}}}{name}", uom=unit).text = value
    ElementTree.SubElement(info, f"{{{_CONFIDENCE}}}confidence", pdf="normal").text = "95"
    ElementTree.SubElement(geopriv, f"{{{_GEOPRIV}}}usage-rules")
    ElementTree.SubElement(part, f"{{{_PIDF}}}timestamp").text = record.time_utc
    return ElementTree.tostring(presence, encoding="unicode")


def _with_offset(time_utc: str) -> str:
    return format_utc(parse_utc(time_utc), digits=3).removesuffix("Z") + "+00:00"
