"""Alerts as documents: posted to an HTTP endpoint, or written into a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from fusion_server.dispatch.formats import Document, DocumentWriter
from fusion_server.dispatch.httppost import HttpEndpoint
from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name
from shotline.errors import InputError, StorageError
from shotline.records import IncidentRecord

__all__ = ["FolderSink", "HttpSink", "Revisions"]

Revisions = Callable[[str], Sequence[IncidentRecord]]
"""Every revision of an incident that is kept, by its id."""


class HttpSink:
    """POST each alert as a document.

    Parameters
    ----------
    url : str
        See `HttpEndpoint`.
    writer : DocumentWriter
    revisions : callable
        What earlier messages are named from.
    token : str
        Sent as ``Authorization: Bearer``; "" sends none.
    name : str
        Name of the sink.
    timeout_s, plain_http
        See `HttpEndpoint`.

    Raises
    ------
    InputError
        The URL is not one that alerts can go to.
    """

    def __init__(
        self,
        url: str,
        writer: DocumentWriter,
        *,
        revisions: Revisions,
        token: str = "",
        name: str = "http",
        timeout_s: float = 15.0,
        plain_http: bool = False,
    ) -> None:
        self._name = check_sink_name(name)
        self._writer = writer
        self._revisions = revisions
        self._token = token
        self._endpoint = HttpEndpoint(
            url, what="put a token into token_file instead", timeout_s=timeout_s, plain_http=plain_http
        )

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """POST one document; a 2xx answer is delivery."""
        document = _document(self._writer, alert, self._revisions)
        headers = {"Content-Type": document.media_type}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        self._endpoint.post(document.body, headers)


class FolderSink:
    """Write each alert into a folder as a file of its own, complete from the moment that it has its name.

    Parameters
    ----------
    folder : Path
        Must be there.
    writer : DocumentWriter
    revisions : callable
        What earlier messages are named from.
    name : str
        Name of the sink.
    """

    def __init__(self, folder: Path, writer: DocumentWriter, *, revisions: Revisions, name: str = "folder") -> None:
        self._name = check_sink_name(name)
        self._folder = folder
        self._writer = writer
        self._revisions = revisions

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Write one file and wait until it is on the disk; the same revision again writes the same file."""
        document = _document(self._writer, alert, self._revisions)
        path = self._folder / document.file_name
        partial = path.with_name(f".{path.name}.part")
        try:
            _write(partial, document.body)
            partial.replace(path)
            _sync_folder(self._folder)
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DeliveryError(
                f"cannot write {path}: {error.strerror}; check the folder, its permissions and the space on its disk",
                retryable=True,
            ) from error


def _document(writer: DocumentWriter, alert: Alert, revisions: Revisions) -> Document:
    try:
        return writer.document(alert, earlier=revisions(alert.record.id))
    except InputError as error:
        raise DeliveryError(str(error), retryable=False) from error
    except StorageError as error:
        raise DeliveryError(f"cannot read the earlier revisions: {error}", retryable=True) from error


def _write(path: Path, body: bytes) -> None:
    with path.open("wb") as file:
        file.write(body)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
