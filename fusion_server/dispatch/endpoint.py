"""Where a stream goes: ``tcp://``, ``tls://`` or ``udp://`` with host and port, and how to connect to it."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fusion_server.dispatch.sink import DeliveryError
from shotline.errors import InputError

__all__ = ["StreamEndpoint", "TlsFiles", "tls_context"]


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Files for TLS; None takes the system's authorities, and shows no certificate.

    Parameters
    ----------
    authority : Path | None
        Certificates of the authorities that the other side is trusted by.
    certificate, key : Path | None
        Our own, PEM.
    """

    authority: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def tls_context(files: TlsFiles) -> ssl.SSLContext:
    """Return a context that checks the other side's certificate and name.

    Raises
    ------
    InputError
        A file cannot be used.
    """
    try:
        context = ssl.create_default_context(cafile=None if files.authority is None else str(files.authority))
        if files.certificate is not None:
            context.load_cert_chain(files.certificate, files.key)
    except (OSError, ssl.SSLError) as error:
        named = ", ".join(str(path) for path in (files.authority, files.certificate, files.key) if path is not None)
        words = error.strerror or str(error)
        raise InputError(f"cannot use the certificates {named}: {words}; give PEM files", field="ca_file") from error
    return context


class StreamEndpoint:
    """Connects to one address.

    Parameters
    ----------
    url : str
        ``tcp://host:port``, ``tls://host:port`` or ``udp://host:port``.
    files : TlsFiles
        For ``tls``.
    timeout_s : float
        For connecting, and for each wait on the other side.

    Raises
    ------
    InputError
        The URL is not such an address, or the files for TLS cannot be used.
    """

    def __init__(self, url: str, *, files: TlsFiles | None = None, timeout_s: float = 15.0) -> None:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise InputError(f"'{url}' is not an address: {error}", field="url") from error
        if parts.scheme not in ("tcp", "tls", "udp") or not host or port is None or parts.path.strip("/"):
            raise InputError(f"'{url}' is not an address such as tls://host.example.org:6514", field="url")
        self.scheme, self._host, self._port = parts.scheme, host, port
        self._timeout_s = timeout_s
        self._context = tls_context(files or TlsFiles()) if self.scheme == "tls" else None

    @property
    def where(self) -> str:
        """Host and port."""
        return f"{self._host}:{self._port}"

    def connect(self) -> socket.socket:
        """Return a connected socket with the timeout set.

        Raises
        ------
        DeliveryError
            There is no way.
        """
        try:
            if self.scheme == "udp":
                family, kind, protocol, _, address = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_DGRAM)[
                    0
                ]
                datagrams = socket.socket(family, kind, protocol)
                datagrams.settimeout(self._timeout_s)
                datagrams.connect(address)
                return datagrams
            connection = socket.create_connection((self._host, self._port), timeout=self._timeout_s)
            if self._context is None:
                return connection
            try:
                return self._context.wrap_socket(connection, server_hostname=self._host)
            except BaseException:
                connection.close()
                raise
        except OSError as error:
            raise self.failure(error) from error

    def failure(self, error: OSError) -> DeliveryError:
        """Return what to say about an error of a socket."""
        if isinstance(error, TimeoutError):
            return DeliveryError(f"{self.where} did not answer within {self._timeout_s:g} s", retryable=True)
        if isinstance(error, ssl.SSLCertVerificationError):
            return DeliveryError(
                f"the certificate of {self.where} is not trusted: {error.verify_message}", retryable=True
            )
        words = error.strerror or str(error) or type(error).__name__
        return DeliveryError(f"cannot reach {self.where}: {words}", retryable=True)
