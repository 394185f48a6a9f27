"""Alerts to a TAK server or to a TAK network, as Cursor on Target events."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from fusion_server.dispatch.endpoint import StreamEndpoint
from fusion_server.dispatch.formats import cot_event, cot_ping, is_pong
from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name
from shotline.errors import InputError

__all__ = ["CotSink"]

_READ_BYTES = 65_536
_REMEMBERED_BYTES = 64
_MOST_READ_BYTES = 16 * 1024 * 1024


class CotSink:
    """Send each alert as one event.

    Over a stream a TAK server answers a ping that follows the event: then it has read the event, and not before does
    the alert count as delivered. A datagram has no answer.

    Parameters
    ----------
    endpoint : StreamEndpoint
    confirm : bool
        Wait for the answer; a receiver that is no TAK server gives none. Of no meaning over udp.
    stale_s : float
        Until the mark leaves the screens.
    name : str
        Name of the sink.
    now_ns : callable
        Wall clock, UTC nanoseconds.
    """

    def __init__(
        self,
        endpoint: StreamEndpoint,
        *,
        confirm: bool = True,
        stale_s: float = 3600.0,
        name: str = "cot",
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._name = check_sink_name(name)
        self._endpoint = endpoint
        self._confirm = confirm and endpoint.scheme != "udp"
        self._stale_s = stale_s
        self._now_ns = now_ns

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Send one event, and wait for the server's word that it was read."""
        now_ns = self._now_ns()
        try:
            event = cot_event(alert, now_ns=now_ns, stale_s=self._stale_s)
        except InputError as error:
            raise DeliveryError(str(error), retryable=False) from error
        if self._confirm:
            event += b"\n" + cot_ping(f"shotline.{self._name}.ping", now_ns=now_ns)
        connection = self._endpoint.connect()
        try:
            connection.sendall(event)
            if self._confirm:
                self._await_pong(connection)
        except OSError as error:
            raise self._endpoint.failure(error) from error
        finally:
            connection.close()

    def _await_pong(self, connection: socket.socket) -> None:
        kept, total = b"", 0
        while total < _MOST_READ_BYTES:
            received = connection.recv(_READ_BYTES)
            if not received:
                break
            total += len(received)
            kept = kept[-_REMEMBERED_BYTES:] + received
            if is_pong(kept):
                return
        raise DeliveryError(
            f"{self._endpoint.where} took the event and did not answer the ping; if it is no TAK server, set "
            "confirm = false",
            retryable=True,
        )
