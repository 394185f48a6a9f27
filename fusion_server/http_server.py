"""HTTP beside the loop: uvicorn in a thread."""

from __future__ import annotations

import asyncio
import errno
import socket
import threading
from typing import TYPE_CHECKING

from shotline.errors import TransportError

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["HttpServer", "listening_socket"]

_GRACE_S = 2


class HttpServer:
    """uvicorn in a thread, on a socket that is bound here so that its port is known and a clash is explained.

    Parameters
    ----------
    app : FastAPI
    host : str
        Address to listen on.
    port : int
        0 for any free one.

    Raises
    ------
    TransportError
        It cannot be listened on.
    """

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        import uvicorn

        self._socket = listening_socket(host, port)
        bound_host, bound_port = self._socket.getsockname()[:2]
        shown = f"[{bound_host}]" if ":" in bound_host else bound_host
        self.url = f"http://{shown}:{bound_port}/"
        config = uvicorn.Config(
            app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=_GRACE_S, ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="http", daemon=True)
        self._thread.start()

    async def _serve(self) -> None:
        await self._server.serve(sockets=[self._socket])
        # Connections that came while it ended, or whose answers outlasted their grace.
        await asyncio.sleep(0)
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)

    def close(self) -> None:
        """End open answers, then the thread."""
        self._server.should_exit = True
        self._thread.join(5.0)
        self._socket.close()


def listening_socket(host: str, port: int) -> socket.socket:
    """Return a TCP socket that listens; see `HttpServer` for what can go wrong."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except OSError as error:
        raise TransportError(f"cannot serve HTTP on {host}:{port}: {error.strerror}; check [http] host") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        advice = {
            errno.EADDRINUSE: "the port is in use; stop what listens there (ss -ltnp shows it), or set [http] port",
            errno.EADDRNOTAVAIL: "this machine has no such address; use 0.0.0.0 for every one it has",
            errno.EACCES: "permission denied; choose a port of 1024 or more",
        }.get(error.errno or 0, "check [http] host and port")
        raise TransportError(f"cannot serve HTTP on {host}:{port} ({error.strerror}): {advice}") from error
    return listener
