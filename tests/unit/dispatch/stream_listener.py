"""A listener on loopback for one connection: reads as scripted, answers, and keeps what came."""

from __future__ import annotations

import queue
import socket
import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

__all__ = ["Listener", "read_all"]


class Listener:
    """Takes connections one after the other; ``serve`` gets each and what it returns is kept in ``received``."""

    def __init__(self, serve: Callable[[socket.socket], bytes], *, context: ssl.SSLContext | None = None) -> None:
        self.received: list[bytes] = []
        self._arrived: queue.Queue[bytes] = queue.Queue()
        self._serve = serve
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10.0)

    def next(self) -> bytes:
        """Wait for what comes next."""
        return self._arrived.get(timeout=10.0)

    def _take(self, read: bytes) -> None:
        self.received.append(read)
        self._arrived.put(read)

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10.0)
            try:
                if self._context is not None:
                    connection = self._context.wrap_socket(connection, server_side=True)
                self._take(self._serve(connection))
            except OSError:
                pass
            finally:
                connection.close()


def read_all(connection: socket.socket) -> bytes:
    """Read until the other side ends."""
    parts = []
    while part := connection.recv(65_536):
        parts.append(part)
    return b"".join(parts)
