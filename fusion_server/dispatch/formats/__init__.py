"""An alert in the formats of others: the same place, error and time in each. Pure: values in, text or bytes out."""

from __future__ import annotations

from fusion_server.dispatch.formats.cap import cap_identifier, cap_message
from fusion_server.dispatch.formats.cloudevent import CLOUDEVENT_TYPE, cloudevent
from fusion_server.dispatch.formats.cot import COT_TYPE, cot_event, cot_ping, is_pong
from fusion_server.dispatch.formats.documents import Document, DocumentFormat, DocumentWriter
from fusion_server.dispatch.formats.eido import eido_document
from fusion_server.dispatch.formats.facts import Identity, headline
from fusion_server.dispatch.formats.mqtt import (
    Publication,
    check_topic,
    home_assistant_discovery,
    mqtt_publications,
)
from fusion_server.dispatch.formats.syslog import Facility, counted, syslog_message
from fusion_server.dispatch.formats.text import long_text, short_text

__all__ = [
    "CLOUDEVENT_TYPE",
    "COT_TYPE",
    "Document",
    "DocumentFormat",
    "DocumentWriter",
    "Facility",
    "Identity",
    "Publication",
    "cap_identifier",
    "cap_message",
    "check_topic",
    "cloudevent",
    "cot_event",
    "cot_ping",
    "counted",
    "eido_document",
    "headline",
    "home_assistant_discovery",
    "is_pong",
    "long_text",
    "mqtt_publications",
    "short_text",
    "syslog_message",
]
