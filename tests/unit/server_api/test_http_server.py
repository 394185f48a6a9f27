"""The server of HTTP: what it holds when it ends."""

from __future__ import annotations

import gc
import socket
import warnings
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from fusion_server.http_server import HttpServer


def test_a_connection_that_comes_while_it_ends_is_not_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    # It comes after all others were told to end, and is not told.
    monkeypatch.setattr(H11Protocol, "shutdown", lambda _: None)
    monkeypatch.setattr("fusion_server.http_server._GRACE_S", 0.1)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always", ResourceWarning)
        server = HttpServer(FastAPI(), "127.0.0.1", 0)
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=5.0) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 404"
            server.close()
        del server
        gc.collect()
    assert [str(item.message) for item in told] == []
