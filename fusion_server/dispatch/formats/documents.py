"""Formats that are one document for each revision: for endpoints that take them and folders that keep them. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fusion_server.dispatch.formats.cap import cap_message
from fusion_server.dispatch.formats.cloudevent import CLOUDEVENT_TYPE, cloudevent
from fusion_server.dispatch.formats.eido import eido_document
from fusion_server.dispatch.formats.facts import Identity
from fusion_server.dispatch.sink import Alert
from shotline.records import IncidentRecord

__all__ = ["Document", "DocumentFormat", "DocumentWriter"]

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9_-]+")


class DocumentFormat(StrEnum):
    """Which document."""

    CAP = "cap"
    EIDO = "eido"
    CLOUDEVENTS = "cloudevents"


@dataclass(frozen=True, slots=True)
class Document:
    """One document, and what to call it.

    Parameters
    ----------
    body : bytes
    media_type : str
    file_name : str
        The same for the same revision, and safe in a folder.
    """

    body: bytes
    media_type: str
    file_name: str


@dataclass(frozen=True, slots=True)
class DocumentWriter:
    """Makes documents.

    Parameters
    ----------
    kind : DocumentFormat
    identity : Identity
    incident_type : str
        Of an EIDO.
    """

    kind: DocumentFormat
    identity: Identity
    incident_type: str = ""

    def document(self, alert: Alert, *, earlier: Sequence[IncidentRecord] = ()) -> Document:
        """Return the document of one revision.

        Raises
        ------
        InputError
            The incident has no degrees, and the format needs them.
        """
        stem = f"{_NOT_IN_FILE_NAMES.sub('-', alert.record.id)}.{alert.record.revision:04}"
        if alert.reminder:
            stem += f".reminder{alert.reminder}"
        match self.kind:
            case DocumentFormat.CAP:
                body = cap_message(alert, self.identity, earlier=earlier)
                return Document(body, "application/cap+xml", f"{stem}.cap.xml")
            case DocumentFormat.EIDO:
                body = eido_document(alert, self.identity, incident_type=self.incident_type)
                return Document(body, "application/json", f"{stem}.eido.json")
            case DocumentFormat.CLOUDEVENTS:
                return Document(cloudevent(alert, self.identity), CLOUDEVENT_TYPE, f"{stem}.event.json")
