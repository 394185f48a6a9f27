"""A reader for each format, written from its specification: what a stranger would make of an alert."""

from __future__ import annotations

import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fusion_server.api.geojson import incident_features, incidents_collection
from fusion_server.dispatch import Alert
from fusion_server.dispatch.formats import (
    Identity,
    cap_message,
    cloudevent,
    cot_event,
    eido_document,
    headline,
    long_text,
    mqtt_publications,
    short_text,
    syslog_message,
)
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
IDENTITY = Identity("shots.example.org", "Example City")


@dataclass(frozen=True)
class Seen:
    """What was read: place, semi-axes and direction of the 95 % ellipse, time of the first shot, and all the text."""

    lat_deg: float
    lon_deg: float
    semi_major_m: float
    semi_minor_m: float
    orientation_deg: float
    time_ns: int
    text: str


def read_cap(alert: Alert) -> Seen:
    """The place from the circle, the ellipse from its polygon, the time from the parameter."""
    message = cap_message(alert, IDENTITY)
    root = ElementTree.fromstring(message)
    parameters = {
        item.findtext(f"{CAP}valueName"): item.findtext(f"{CAP}value") or "" for item in root.iter(f"{CAP}parameter")
    }
    place, _, radius_km = (root.findtext(f".//{CAP}circle") or "").partition(" ")
    lat_deg, lon_deg = (float(part) for part in place.split(","))
    assert math.isclose(float(radius_km) * 1000.0, alert.record.cep95_m, abs_tol=1e-3)
    polygon = root.findtext(f".//{CAP}polygon")
    if polygon is None:
        axes_m = (float(parameters["ellipse95_semi_major_m"]), float(parameters["ellipse95_semi_minor_m"]))
        orientation_deg = float(parameters["ellipse95_orientation_deg"])
    else:
        ring = [tuple(float(part) for part in pair.split(",")) for pair in polygon.split()]
        assert ring[0] == ring[-1]
        frame = LocalFrame(lat_deg, lon_deg)
        offsets = [frame.to_enu_m(lat, lon)[:2] for lat, lon in ring]
        axes_m = (max(math.hypot(*offset) for offset in offsets), min(math.hypot(*offset) for offset in offsets))
        east_m, north_m = max(offsets, key=lambda offset: math.hypot(*offset))
        orientation_deg = math.degrees(math.atan2(east_m, north_m))
    return Seen(lat_deg, lon_deg, *axes_m, orientation_deg, parse_utc(parameters["time_utc"]), message.decode())


def read_cot(alert: Alert) -> Seen:
    """The place from the point, the time from the start, the ellipse from our own detail."""
    event = ElementTree.fromstring(cot_event(alert, now_ns=1_900_000_000_000_000_000))
    point, own = event.find("point"), event.find("detail/shotline")
    assert point is not None
    assert own is not None
    return Seen(
        float(point.attrib["lat"]),
        float(point.attrib["lon"]),
        float(own.attrib["ellipse95_semi_major_m"]),
        float(own.attrib["ellipse95_semi_minor_m"]),
        float(own.attrib["ellipse95_orientation_deg"]),
        parse_utc(event.attrib["start"]),
        " ".join([event.findtext("detail/remarks") or "", event.attrib.get("opex", "")]),
    )


def read_eido(alert: Alert) -> Seen:
    """Everything from the PIDF-LO."""
    document = json.loads(eido_document(alert, IDENTITY, incident_type="GUN"))
    presence = ElementTree.fromstring(document["locationComponent"][0]["locationByValue"])
    shapes = "{http://www.opengis.net/pidflo/1.0}"
    lat_deg, lon_deg = (float(part) for part in (presence.findtext(".//{http://www.opengis.net/gml}pos") or "").split())
    numbers = [
        float(presence.findtext(f".//{shapes}{name}") or "nan")
        for name in ("semiMajorAxis", "semiMinorAxis", "orientation")
    ]
    assert presence.findtext(".//{urn:ietf:params:xml:ns:geopriv:conf}confidence") == "95"
    time_ns = parse_utc(presence.findtext(".//{urn:ietf:params:xml:ns:pidf}timestamp") or "")
    return Seen(lat_deg, lon_deg, *numbers, time_ns, json.dumps(document))


def read_cloudevent(alert: Alert) -> Seen:
    """The record inside."""
    event = json.loads(cloudevent(alert, IDENTITY))
    return _of_record(event["data"], json.dumps(event) + (" TEST" if event["test"] else ""))


def read_mqtt(alert: Alert) -> Seen:
    """What Home Assistant is given."""
    latest = json.loads(mqtt_publications(alert, IDENTITY, topic="shotline")[-1].payload)
    return Seen(
        latest["latitude"],
        latest["longitude"],
        latest["ellipse95_semi_major_m"],
        latest["ellipse95_semi_minor_m"],
        latest["ellipse95_orientation_deg"],
        parse_utc(latest["time_utc"]),
        json.dumps(latest),
    )


def read_geojson(alert: Alert) -> Seen:
    """The API's feature: longitude first; the record's frame is one about its own place."""
    record = alert.record
    assert record.lat_deg is not None
    assert record.lon_deg is not None
    frame = LocalFrame(record.lat_deg, record.lon_deg)
    feature = incidents_collection([record], frame)["features"][0]
    assert incident_features(record, [], frame)["features"][0] == feature
    lon_deg, lat_deg = feature["geometry"]["coordinates"]
    seen = _of_record(feature["properties"], json.dumps(feature))
    return Seen(lat_deg, lon_deg, seen.semi_major_m, seen.semi_minor_m, seen.orientation_deg, seen.time_ns, seen.text)


def read_syslog(alert: Alert) -> Seen:
    """The structured data."""
    message = syslog_message(alert, IDENTITY).decode()
    values = dict(re.findall(r' (\w+)="((?:[^"\\\]]|\\["\\\]])*)"', message))
    return Seen(
        float(values["lat_deg"]),
        float(values["lon_deg"]),
        float(values["ellipse95_semi_major_m"]),
        float(values["ellipse95_semi_minor_m"]),
        float(values["ellipse95_orientation_deg"]),
        parse_utc(values["time_utc"]),
        message,
    )


def read_long_text(alert: Alert) -> Seen:
    """As a person reads it."""
    text = f"{headline(alert)}\n{long_text(alert)}"
    place = re.search(r"Place: (\S+), (\S+)", text)
    error = re.search(r"semi-axes (\S+) m and (\S+) m, long axis (\S+) degrees", text)
    time = re.search(r"Time: (\S+)", text)
    assert place
    assert error
    assert time
    return Seen(*map(float, place.groups()), *map(float, error.groups()), parse_utc(time[1]), text)  # type: ignore[arg-type]


def read_short_text(alert: Alert) -> Seen:
    """As a person reads it."""
    text = short_text(alert)
    found = re.search(r"(\S+Z) (\S+), (\S+) 95% (\S+)x(\S+)m@(\S+)deg", text)
    assert found
    return Seen(*map(float, found.groups()[1:]), parse_utc(found[1]), text)  # type: ignore[arg-type]


def _of_record(record: dict[str, Any], text: str) -> Seen:
    ellipse = record["ellipse95"]
    return Seen(
        record["lat_deg"],
        record["lon_deg"],
        ellipse["semi_major_m"],
        ellipse["semi_minor_m"],
        ellipse["orientation_deg"],
        parse_utc(record["time_utc"]),
        text,
    )


READERS: dict[str, Callable[[Alert], Seen]] = {
    "cap": read_cap,
    "cloudevents": read_cloudevent,
    "cot": read_cot,
    "eido": read_eido,
    "geojson": read_geojson,
    "long text": read_long_text,
    "mqtt": read_mqtt,
    "short text": read_short_text,
    "syslog": read_syslog,
}
