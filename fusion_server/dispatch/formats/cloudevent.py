"""An alert as a CloudEvent, structured JSON. Pure.

References
----------
[CloudEvents2022] required, optional and extension attributes; the JSON format of the same version.
"""

from __future__ import annotations

import msgspec

from fusion_server.dispatch.formats.facts import Identity
from fusion_server.dispatch.sink import Alert
from shotline.records import IncidentRecord

__all__ = ["CLOUDEVENT_TYPE", "cloudevent"]

CLOUDEVENT_TYPE = "application/cloudevents+json"
"""Media type."""


class _CloudEvent(msgspec.Struct, frozen=True, kw_only=True):
    """``test``, ``replay`` and ``revision`` are extensions: consumers may route by them without reading the data."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    test: bool
    replay: bool
    revision: int
    data: IncidentRecord


def cloudevent(alert: Alert, identity: Identity) -> bytes:
    """Return the event; source and id together are its identity, the same in every attempt."""
    record = alert.record
    return msgspec.json.encode(
        _CloudEvent(
            id=f"{record.id}/{record.revision}" + (f"/reminder{alert.reminder}" if alert.reminder else ""),
            source=f"urn:shotline:{identity.name}",
            type=f"shotline.incident.{record.state}",
            subject=record.id,
            time=record.as_of_utc,
            test=alert.test,
            replay=alert.replay,
            revision=record.revision,
            data=record,
        )
    )
