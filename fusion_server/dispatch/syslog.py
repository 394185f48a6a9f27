"""Alerts to a syslog collector.

References
----------
[RFC5425] syslog over TLS, with [RFC6587]'s octet counting also over plain TCP.
"""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress

from fusion_server.dispatch.endpoint import StreamEndpoint
from fusion_server.dispatch.formats import Facility, Identity, counted, syslog_message
from fusion_server.dispatch.sink import Alert, DeliveryError, check_sink_name

__all__ = ["SyslogSink"]

_READ_BYTES = 4096


class SyslogSink:
    """Send each alert as one message.

    Syslog has no acknowledgement. Over a stream we say that no more comes and wait until the collector closes too:
    then it has read all. A datagram may be lost without anybody knowing.

    Parameters
    ----------
    endpoint : StreamEndpoint
    identity : Identity
        Its name is the host name.
    facility : Facility
    name : str
        Name of the sink.
    """

    def __init__(
        self,
        endpoint: StreamEndpoint,
        identity: Identity,
        *,
        facility: Facility = Facility.LOCAL4,
        name: str = "syslog",
    ) -> None:
        self._name = check_sink_name(name)
        self._endpoint = endpoint
        self._identity = identity
        self._facility = facility

    @property
    def name(self) -> str:
        """Name of the sink."""
        return self._name

    def send(self, alert: Alert) -> None:
        """Send one message."""
        message = syslog_message(alert, self._identity, facility=self._facility)
        connection = self._endpoint.connect()
        try:
            if self._endpoint.scheme == "udp":
                connection.send(message)
            else:
                connection.sendall(counted(message))
                self._await_close(connection)
        except OSError as error:
            raise self._endpoint.failure(error) from error
        finally:
            connection.close()

    def _await_close(self, connection: socket.socket) -> None:
        try:
            if isinstance(connection, ssl.SSLSocket):
                # RFC 5425, 4.4: say that nothing more comes. Many close without a word of their own.
                with suppress(ssl.SSLError):
                    connection.unwrap()
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(_READ_BYTES):
                pass
        except TimeoutError as error:
            raise DeliveryError(
                f"{self._endpoint.where} took the message and did not close the connection after it; is it a syslog "
                "collector with octet counting (RFC 6587)?",
                retryable=True,
            ) from error
