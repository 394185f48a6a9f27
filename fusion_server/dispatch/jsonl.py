"""Alerts in a file: one incident record per line, on the disk before it counts as delivered."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import msgspec

from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name

__all__ = ["JsonlSink"]


class JsonlSink:
    """Append each alert to a file as one line of JSON; nothing is rotated or rewritten.

    The file is opened for each alert, so it may be moved away at any time. A line that a crash cut short is closed
    before the next one, and a write that fails half-way is taken back.

    Parameters
    ----------
    path : Path
        Made when it is not there; its folder must be.
    name : str
        Name of the sink.
    """

    def __init__(self, path: Path, *, name: str = "jsonl") -> None:
        self._path = path
        self._name = check_sink_name(name)

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Append one line and wait until it is on the disk."""
        line = msgspec.json.encode(alert.record)
        if alert.test:
            line = b'{"test":true,' + line[1:]
        if alert.reminder:
            line = b'{"reminder":%d,' % alert.reminder + line[1:]
        try:
            self._append(line + b"\n")
        except OSError as error:
            raise DeliveryError(
                f"cannot write {self._path}: {error.strerror}; {_advice(error)}", retryable=True
            ) from error

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = b"\n" + line
            try:
                written = 0
                while written < len(line):
                    written += os.write(descriptor, line[written:])
                os.fsync(descriptor)
            except OSError:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)


def _advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "create its folder"
    if isinstance(error, IsADirectoryError | NotADirectoryError):
        return "give the path of a file in a folder that is there"
    if isinstance(error, PermissionError):
        return "give this user write permission on the file and its folder"
    return "free space on the disk or give another path; alerts wait meanwhile and are tried again"
