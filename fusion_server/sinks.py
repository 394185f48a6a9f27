"""Sinks from the configuration."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

from fusion_server.config import ServerConfig
from fusion_server.dispatch import (
    ConsoleSink,
    CotSink,
    FolderSink,
    HttpSink,
    JsonlSink,
    MqttBroker,
    MqttSink,
    NotifySink,
    SigningSecret,
    Sink,
    SyslogSink,
    WebhookSink,
)
from fusion_server.dispatch.endpoint import StreamEndpoint, TlsFiles
from fusion_server.dispatch.formats import DocumentFormat, DocumentWriter, Facility, Identity
from fusion_server.dispatch.secretfile import read_secret
from fusion_server.sinkconfig import (
    ConsoleSinkSection,
    CotSinkSection,
    FolderSinkSection,
    HttpSinkSection,
    JsonlSinkSection,
    MqttSinkSection,
    NotifySinkSection,
    SinkSection,
    SyslogSinkSection,
    WebhookSinkSection,
)
from shotline.records import IncidentRecord

__all__ = ["identity_of", "make_sink"]


def identity_of(config: ServerConfig) -> Identity:
    """Return who speaks."""
    section = config.identity
    return Identity(section.name, section.operator, section.agency_role, section.agency_type)


def make_sink(
    section: SinkSection,
    config: ServerConfig,
    *,
    revisions: Callable[[str], Sequence[IncidentRecord]],
    console_to: TextIO,
) -> Sink:
    """Return a sink as configured. Nothing is connected or written yet; secrets are read.

    Parameters
    ----------
    section : SinkSection
    config : ServerConfig
        The rest of the file.
    revisions : callable
        Every revision of an incident that is kept, by its id.
    console_to : TextIO
        Where the console prints.

    Raises
    ------
    InputError
        A secret cannot be read, an address is not one, or a package is not installed.
    """
    identity = identity_of(config)
    match section:
        case ConsoleSinkSection():
            return ConsoleSink(console_to, name=section.name)
        case JsonlSinkSection():
            return JsonlSink(Path(section.path), name=section.name)
        case WebhookSinkSection():
            return WebhookSink(
                section.url,
                SigningSecret.load(Path(section.secret_file)),
                name=section.name,
                timeout_s=section.timeout_s,
                plain_http=section.plain_http,
                envelope_for=identity if section.envelope == "cloudevents" else None,
            )
        case HttpSinkSection():
            token = "" if section.token_file is None else read_secret(Path(section.token_file), "the token")
            return HttpSink(
                section.url,
                _writer(section.format, config),
                revisions=revisions,
                token=token,
                name=section.name,
                timeout_s=section.timeout_s,
                plain_http=section.plain_http,
            )
        case FolderSinkSection():
            return FolderSink(
                Path(section.path), _writer(section.format, config), revisions=revisions, name=section.name
            )
        case CotSinkSection():
            files = TlsFiles(_path(section.ca_file), _path(section.certificate_file), _path(section.key_file))
            return CotSink(
                StreamEndpoint(section.url, files=files, timeout_s=section.timeout_s),
                confirm=section.confirm,
                stale_s=section.stale_s,
                name=section.name,
            )
        case MqttSinkSection():
            return MqttSink(
                MqttBroker(
                    section.url,
                    username=section.username,
                    password_file=_path(section.password_file),
                    files=TlsFiles(_path(section.ca_file)),
                    timeout_s=section.timeout_s,
                    expiry_s=section.keep_s,
                ),
                identity,
                revisions=revisions,
                topic=section.topic,
                home_assistant=section.home_assistant,
                discovery_prefix=section.discovery_prefix,
                name=section.name,
            )
        case NotifySinkSection():
            return NotifySink(Path(section.address_file), name=section.name)
        case SyslogSinkSection():
            endpoint = StreamEndpoint(section.url, files=TlsFiles(_path(section.ca_file)), timeout_s=section.timeout_s)
            return SyslogSink(endpoint, identity, facility=Facility[section.facility.upper()], name=section.name)


def _writer(form: str, config: ServerConfig) -> DocumentWriter:
    return DocumentWriter(DocumentFormat(form), identity_of(config), config.identity.incident_type or "")


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)
