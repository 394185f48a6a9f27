"""The node's DEALER: one connection to the server, and in plain words why there is none.

libzmq gives up for ever after a handshake that was refused. A node must not: it makes a new socket, ever more seldom,
so that it is there as soon as its key is enrolled. A server that does not know the pinned key is tried with its
successor.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import zmq
from zmq.utils.monitor import recv_monitor_message

from shotline.errors import TransportError
from shotline.keyfiles import KeyPair
from shotline.messages import MAX_FRAME_BYTES

__all__ = ["Connection", "CurveClientKeys", "spread_waits_s"]

_numbers = itertools.count()
_EVENTS = (
    zmq.EVENT_HANDSHAKE_SUCCEEDED
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_DISCONNECTED
    | zmq.EVENT_CONNECT_RETRIED
)


@dataclass(frozen=True, slots=True)
class CurveClientKeys:
    """What a node needs for CURVE.

    Parameters
    ----------
    own : KeyPair
        The node's.
    server_public : str
        The server's public key, z85 text: no other server is believed.
    server_next_public : str | None
        The key that the server will have next, if it was announced.
    """

    own: KeyPair
    server_public: str
    server_next_public: str | None = None


def spread_waits_s(first_s: float, most_s: float, public: str) -> tuple[float, float]:
    """Return how long the node with this key waits between attempts: at first, and at most.

    Nodes that lose their server at the same instant would come back in step, for ever: each waits one to two times the
    first, and from half of the longest to all of it. Which share it is follows from its key.
    """
    share = zlib.crc32(public.encode("ascii")) / 2**32
    first_s *= 1.0 + share
    return first_s, max(first_s, most_s * (0.5 + 0.5 * share))


class Connection:
    """A socket that is made anew when the server refuses it.

    Parameters
    ----------
    endpoint : str
        The server.
    curve : CurveClientKeys | None
        None for plain.
    context : zmq.Context | None
        None makes one of its own, closed by `close`.
    monotonic_s : callable () -> float
    reconnect_s, reconnect_most_s : float
        Between attempts, growing from the first to the second; with keys see `spread_waits_s`.
    most_queued : int
        Messages that wait in the socket, each way.

    Raises
    ------
    TransportError
        The endpoint is not one that can be connected to.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        curve: CurveClientKeys | None,
        context: zmq.Context[zmq.Socket[bytes]] | None,
        monotonic_s: Callable[[], float],
        reconnect_s: float,
        reconnect_most_s: float,
        most_queued: int,
    ) -> None:
        self.is_up = False
        self.problem = ""
        """Why the server is not reached, in plain words; "" while it is."""
        self.reopen_s: float | None = None
        """Monotonic instant at which the socket is made anew; None when it need not be."""
        self.opened = 0
        """How often a socket was made."""
        self._endpoint = endpoint
        self._curve = curve
        self._server_keys = [] if curve is None else [curve.server_public]
        if curve is not None and curve.server_next_public is not None:
            self._server_keys.append(curve.server_next_public)
        self._monotonic_s = monotonic_s
        self._first_wait_s, self._most_wait_s = (
            (reconnect_s, reconnect_most_s)
            if curve is None
            else spread_waits_s(reconnect_s, reconnect_most_s, curve.own.public)
        )
        self._wait_s = self._first_wait_s
        self._refused = False
        self._most_queued = most_queued
        self._own_context = context is None
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        try:
            self._open()
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(
                f"cannot connect to '{endpoint}' ({error}); write it like tcp://server.example:5570"
            ) from error

    @property
    def server_public(self) -> str | None:
        """The server's key that is tried, or that it has while the connection is up; None for plain."""
        return self._server_keys[0] if self._server_keys else None

    @property
    def filenos(self) -> tuple[int, int]:
        """File descriptors for an outside poller: one of them is readable when there may be something to see to.

        Others, be it with the same numbers, when `opened` has changed. They say nothing of what came while the sockets
        were in use: ask `wait` (0) before relying on them again.
        """
        return self._socket.fileno(), self._monitor.fileno()

    def wait(self, timeout_ms: int) -> bool:
        """Wait for a message or a change, at most so long; return whether there is one."""
        return bool(self._poller.poll(timeout_ms))

    def watch(self) -> list[bool]:
        """Take note of what happened, and open the socket anew when that is due.

        Returns
        -------
        list of bool
            True for each time the connection came up, False for each time it was lost, in order.
        """
        changes: list[bool] = []
        while self._monitor.poll(0):
            seen = recv_monitor_message(self._monitor)["event"]
            if seen == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self.is_up = True
                self.problem = ""
                self.reopen_s = None
                self._refused = False
                self._wait_s = self._first_wait_s
                changes.append(True)
                continue
            changes += [False] * self.is_up
            self.is_up = False
            self._note(seen)
        if self.reopen_s is not None and self._monotonic_s() >= self.reopen_s:
            self.reopen_s = None
            self._refused = False
            self._close_socket()
            self._open()
        return changes

    def refuse(self, why: str) -> None:
        """Take note that the server refuses this node although the connection is up, and begin again."""
        self.is_up = False
        self._begin_again(f"the server refuses this node: {why}")

    def send(self, data: bytes) -> bool:
        """Send without waiting; return whether the socket took it."""
        try:
            self._socket.send(data, zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self) -> bytes | None:
        """Return a message that is there, None when there is none."""
        try:
            return self._socket.recv_multipart(zmq.NOBLOCK)[-1]
        except zmq.Again:
            return None

    def close(self) -> None:
        """Close the sockets at once."""
        if self._socket.closed:
            return
        self._close_socket()
        if self._own_context:
            self._context.term()

    def _note(self, seen: int) -> None:
        """Say why, after an event that is no success."""
        if self.reopen_s is not None:
            # The old socket is given up, whatever it still tries.
            return
        if seen in (zmq.EVENT_DISCONNECTED, zmq.EVENT_CONNECT_RETRIED) and self._refused:
            # Both follow a refusal, which says more.
            self._refused = seen == zmq.EVENT_DISCONNECTED
        elif seen == zmq.EVENT_DISCONNECTED:
            self._say("the connection was lost; trying again")
        elif seen == zmq.EVENT_CONNECT_RETRIED:
            self._say("nobody answers; is the server running, is the address right?")
        else:
            self._refused = True
            self._note_refusal(seen)

    def _note_refusal(self, seen: int) -> None:
        if seen == zmq.EVENT_HANDSHAKE_FAILED_AUTH:
            own = "" if self._curve is None else f" {self._curve.own.public}"
            self._begin_again(f"the server does not accept this node's key{own}; enrol it there (shotline keys enrol)")
        elif seen == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            self._begin_again("the server breaks off; one side has keys (key_file, server_key), the other has none")
        elif len(self._server_keys) > 1:
            self._server_keys.reverse()
            self._begin_again("the server breaks off; trying its other pinned key (server_key, server_next_key)")
        elif self._curve is not None:
            self._say("the server breaks off; it does not have the key that is pinned here (server_key)")
        else:
            self._say("the server breaks off before a word is said; does it ask for keys (key_file, server_key)?")

    def _say(self, why: str) -> None:
        self.problem = f"{self._endpoint}: {why}"

    def _begin_again(self, why: str) -> None:
        self._say(why)
        self.reopen_s = self._monotonic_s() + self._wait_s
        self._wait_s = min(2 * self._wait_s, self._most_wait_s)

    def _open(self) -> None:
        self.opened += 1
        socket = self._context.socket(zmq.DEALER)
        self._socket = socket
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.SNDHWM, self._most_queued)
        socket.setsockopt(zmq.RCVHWM, self._most_queued)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, round(self._first_wait_s * 1000))
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, round(self._most_wait_s * 1000))
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
        socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
        socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15_000)
        if self._curve is not None:
            socket.curve_publickey = self._curve.own.public.encode("ascii")
            socket.curve_secretkey = self._curve.own.secret.encode("ascii")
            socket.curve_serverkey = self._server_keys[0].encode("ascii")
        self._monitor = socket.get_monitor_socket(_EVENTS, addr=f"inproc://shotline-monitor-{next(_numbers)}")
        self._poller = zmq.Poller()
        self._poller.register(socket, zmq.POLLIN)
        self._poller.register(self._monitor, zmq.POLLIN)
        socket.connect(self._endpoint)

    def _close_socket(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=0)
