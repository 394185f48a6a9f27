"""An alert as MQTT messages, and how Home Assistant finds them. Pure.

References
----------
[HomeAssistant2024] "MQTT discovery", and the pages of the event, sensor and device tracker platforms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from fusion_server.dispatch.formats.cloudevent import CLOUDEVENT_TYPE, cloudevent
from fusion_server.dispatch.formats.facts import Identity, headline
from fusion_server.dispatch.formats.text import NOTICE_LINE
from fusion_server.dispatch.sink import Alert
from shotline import __version__
from shotline.errors import InputError

__all__ = ["Publication", "check_topic", "home_assistant_discovery", "mqtt_publications"]

_EVENT_TYPES = ("provisional", "revised", "retracted", "confirmed", "dismissed", "undetermined")
_NOT_IN_OBJECT_IDS = re.compile(r"[^A-Za-z0-9_-]+")
_TOPIC = re.compile(r"[^\x00-\x20+#$/][^\x00-\x20+#]*[^\x00-\x20+#/]|[^\x00-\x20+#$/]")


@dataclass(frozen=True, slots=True)
class Publication:
    """One message.

    Parameters
    ----------
    topic : str
    payload : bytes
    retain : bool
        Whether the broker keeps it for those who come later.
    expires : bool
        Whether a retained one is to be forgotten after a time.
    media_type : str
    """

    topic: str
    payload: bytes
    retain: bool = False
    expires: bool = False
    media_type: str = "application/json"


def check_topic(topic: str) -> str:
    """Return a topic if it can be the beginning of others.

    Raises
    ------
    InputError
        It has a wildcard, a blank, or a slash at an end.
    """
    if not _TOPIC.fullmatch(topic):
        raise InputError(
            f"'{topic}' cannot begin a topic; use words with / between, without blanks, + and #", field="topic"
        )
    return topic


def mqtt_publications(
    alert: Alert, identity: Identity, *, topic: str, newest: bool = True, home_assistant: bool = True
) -> list[Publication]:
    """Return what to publish for one revision.

    ``TOPIC/alerts`` has every revision as a CloudEvent, not retained. ``TOPIC/incidents/ID`` is the state of one
    incident, retained for a time. ``TOPIC/latest`` is flat, for Home Assistant, and retained.

    Parameters
    ----------
    alert : Alert
    identity : Identity
    topic : str
        The beginning of every topic.
    newest : bool
        Whether this is the newest revision of its incident: a late older one must not become the state.
    home_assistant : bool
        Whether ``TOPIC/latest`` is wanted.
    """
    event = cloudevent(alert, identity)
    publications = [Publication(f"{topic}/alerts", event, media_type=CLOUDEVENT_TYPE)]
    if newest:
        state = f"{topic}/incidents/{alert.record.id}"
        publications.append(Publication(state, event, retain=True, expires=True, media_type=CLOUDEVENT_TYPE))
        if home_assistant:
            publications.append(Publication(f"{topic}/latest", msgspec.json.encode(_flat(alert)), retain=True))
    return publications


def home_assistant_discovery(identity: Identity, *, topic: str, prefix: str = "homeassistant") -> list[Publication]:
    """Return what tells Home Assistant of an event, a sensor for the time, and a place on its map."""
    node = _NOT_IN_OBJECT_IDS.sub("-", identity.name)
    common = {
        "device": {
            "identifiers": [f"shotline-{node}"],
            "name": f"Shotline {identity.name}",
            "manufacturer": "Shotline",
            "sw_version": __version__,
        },
        "origin": {"name": "Shotline", "sw_version": __version__},
    }
    latest = f"{topic}/latest"
    entities: dict[str, dict[str, Any]] = {
        "event": {
            "name": "Gunfire",
            "state_topic": latest,
            "event_types": list(_EVENT_TYPES),
            "icon": "mdi:map-marker-alert",
        },
        "sensor": {
            "name": "Time of the last gunfire",
            "state_topic": latest,
            "value_template": "{{ value_json.time_utc }}",
            "device_class": "timestamp",
            "json_attributes_topic": latest,
        },
        "device_tracker": {
            "name": "Place of the last gunfire",
            "json_attributes_topic": latest,
            "source_type": "gps",
        },
    }
    return [
        Publication(
            f"{prefix}/{platform}/shotline-{node}/gunfire/config",
            msgspec.json.encode({"unique_id": f"shotline-{node}-{platform}", **entity, **common}),
            retain=True,
        )
        for platform, entity in entities.items()
    ]


def _flat(alert: Alert) -> dict[str, Any]:
    """Return the names that Home Assistant looks for, and the rest with units in their names."""
    record, ellipse = alert.record, alert.record.ellipse95
    place: dict[str, float] = {}
    if record.lat_deg is not None and record.lon_deg is not None:
        place = {"latitude": record.lat_deg, "longitude": record.lon_deg, "gps_accuracy": record.cep95_m}
    return {
        "event_type": record.state if record.state in _EVENT_TYPES else "revised",
        "title": headline(alert),
        "test": alert.test,
        "replay": alert.replay,
        "incident_id": record.id,
        "revision": record.revision,
        "time_utc": record.time_utc,
        "as_of_utc": record.as_of_utc,
        "rounds": record.rounds,
        "probability": record.probability,
        **place,
        "x_m": record.x_m,
        "y_m": record.y_m,
        "cep95_m": record.cep95_m,
        "ellipse95_semi_major_m": ellipse.semi_major_m,
        "ellipse95_semi_minor_m": ellipse.semi_minor_m,
        "ellipse95_orientation_deg": ellipse.orientation_deg,
        "notice": NOTICE_LINE,
    }
