"""A TCP proxy whose wire can be cut: for `fault_run.py`."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

__all__ = ["Proxy", "Wire"]

_BYTES = 65_536
_ANSWER_S = 10.0


class Wire(StrEnum):
    """What becomes of bytes and of new connections."""

    WHOLE = "whole"
    SWALLOWS = "swallows"
    """Connections stay and new ones are taken, but nothing comes through: only the silence shows it."""
    REFUSES = "refuses"
    """Connections are reset, and nobody answers new ones."""


class Proxy:
    """Forwards connections from a port of its own to another, as long as its wire is whole.

    A wire that swallowed bytes is never whole again for the connections that it had: they are reset when it changes.
    """

    def __init__(self) -> None:
        self.target_port = 0
        """Where connections go, on this machine."""
        self.connections = 0
        """Taken since the start."""
        self.swallowed_bytes = 0
        self._wire = Wire.REFUSES
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)

    def __enter__(self) -> Self:
        # Bound and never listening: the port stays ours while nobody answers there.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._reserved.bind(("127.0.0.1", 0))
        self.port: int = self._reserved.getsockname()[1]
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.set(Wire.REFUSES)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_S)
        self._loop.close()
        self._reserved.close()

    def set(self, wire: Wire) -> None:
        """Cut or mend the wire."""
        self._call(self._set(wire))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_S)

    async def _set(self, wire: Wire) -> None:
        before, self._wire = self._wire, wire
        if wire is Wire.REFUSES and self._server is not None:
            self._server.close()
            self._server = None
        if wire is Wire.REFUSES or before is Wire.SWALLOWS:
            for writer in self._writers:
                writer.transport.abort()
        if wire is not Wire.REFUSES:
            await self._listen()
        # Let the handlers of what was reset come to their end.
        while wire is Wire.REFUSES and self._writers:
            await asyncio.sleep(0.001)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, reuse_address=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ends = [writer]
        self._writers.add(writer)
        try:
            if self._wire is Wire.WHOLE:
                onward, out = await asyncio.open_connection("127.0.0.1", self.target_port)
                ends.append(out)
                self._writers.add(out)
                back = asyncio.ensure_future(self._pump(onward, writer))
                await self._pump(reader, out)
                writer.transport.abort()
                await back
            else:
                await self._pump(reader, writer)
        except OSError:
            pass
        finally:
            for end in ends:
                end.transport.abort()
                self._writers.discard(end)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await source.read(_BYTES):
                if self._wire is Wire.WHOLE:
                    sink.write(data)
                    await sink.drain()
                else:
                    self.swallowed_bytes += len(data)
        sink.transport.abort()
