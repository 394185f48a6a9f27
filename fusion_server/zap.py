"""The server's end of ZAP (ZeroMQ RFC 27): libzmq asks it about every key before a connection is there.

No thread of its own: poll `ZapHandler.socket` beside the socket that it guards, and call `ZapHandler.answer`.
"""

from __future__ import annotations

import zmq
from zmq.utils import z85

from fusion_server.admission import Keys, Refusals
from shotline.enrolment import Refused

__all__ = ["ZAP_DOMAIN", "ZapHandler"]

ZAP_DOMAIN = b"shotline"
"""Set it on the sockets that are to be guarded."""
_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
_CURVE_FRAMES = 7


class ZapHandler:
    """Answers for one context. Make it before the sockets that it guards are bound.

    Parameters
    ----------
    context : zmq.Context
    keys : Keys
        The allow-list.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]], keys: Keys) -> None:
        self.refusals = Refusals()
        self._keys = keys
        self.socket = context.socket(zmq.REP)
        self.socket.setsockopt(zmq.LINGER, 0)
        self.socket.bind(_ENDPOINT)

    def answer(self, *, now_ns: int) -> None:
        """Answer every question that is there."""
        while self.socket.poll(0):
            self.socket.send_multipart(self._reply(self.socket.recv_multipart(), now_ns))

    def close(self) -> None:
        """Close the socket."""
        self.socket.close(linger=0)

    def _reply(self, question: list[bytes], now_ns: int) -> list[bytes]:
        _, request, domain, address, _, mechanism, *credentials = question
        if domain != ZAP_DOMAIN or mechanism != b"CURVE" or len(question) != _CURVE_FRAMES:
            return [_VERSION, request, b"400", b"expected CURVE", b"", b""]
        public = z85.encode(credentials[0]).decode("ascii")
        standing = self._keys.standing(public, now_ns=now_ns)
        if isinstance(standing, Refused):
            self.refusals.add(standing, address.decode("ascii", "replace"))
            return [_VERSION, request, b"400", standing.reason.encode("ascii"), b"", b""]
        return [_VERSION, request, b"200", b"", public.encode("ascii"), b""]
