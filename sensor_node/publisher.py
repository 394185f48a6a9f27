"""The node's end of the wire: spool first, send, send again until the server says it is committed.

No thread and no clock of its own: call `Publisher.send` for each detection and `Publisher.poll` often, from one thread.
At least once, never lost: (node, boot, sequence) makes a second copy harmless.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import zmq

from sensor_node.connection import Connection, CurveClientKeys
from sensor_node.pacing import Pace
from sensor_node.spool import Spool, SpoolCounts, SpooledDetection, interleave
from shotline.domain import ImpulseKind
from shotline.errors import MessageError
from shotline.messages import (
    Ack,
    Clip,
    ClipRequest,
    Detection,
    Heartbeat,
    Hello,
    Reject,
    RejectReason,
    decode,
    encode,
)

__all__ = ["Publisher", "PublisherCounters", "PublisherSettings"]

_MOST_MESSAGES_PER_POLL = 1000
_WINDOW_PARTS = 4
_MOST_FRESH = 1024
_RETRY_S = 0.01
_CLIP_PART_S = 0.05
"""Between parts of clips: what is heard meanwhile waits for one of them at most."""
_MOST_CLIP_PARTS = 64
"""Waiting parts above which no further clip is made."""
_KEY_REFUSED = (RejectReason.UNKNOWN_KEY, RejectReason.REVOKED_KEY)
_KEEP_IT = (*_KEY_REFUSED, RejectReason.WRONG_NODE, RejectReason.RATE_LIMITED, RejectReason.STORAGE_UNAVAILABLE)
"""Rejects after which the same detection is sent again: what is wrong is not the detection."""


@dataclass(frozen=True, slots=True)
class PublisherSettings:
    """How hard to try.

    Parameters
    ----------
    resend_after_s, resend_most_s : float
        An unacknowledged detection is sent again after the first, doubling up to the second; later while the server is
        behind (`sensor_node.pacing.Pace`).
    heartbeat_s : float
        Between heartbeats to the server.
    window : int
        Spooled detections on their way at a time, fewer while the server is behind; twice as many when fresh ones come
        in a burst.
    pause_s : float
        When the server says that it is too much at once, nothing but fresh detections is sent for so long.
    reconnect_s, reconnect_most_s : float
        Between attempts to connect, growing from the first to the second.
    """

    resend_after_s: float = 2.0
    resend_most_s: float = 8.0
    heartbeat_s: float = 5.0
    window: int = 256
    pause_s: float = 1.0
    reconnect_s: float = 0.1
    reconnect_most_s: float = 15.0


@dataclass(slots=True)
class PublisherCounters:
    """Counts since the start."""

    sent: int = 0
    resent: int = 0
    acked: int = 0
    rejected: int = 0
    connects: int = 0
    disconnects: int = 0
    heartbeats_sent: int = 0
    heartbeats_received: int = 0
    bad_messages: int = 0
    clip_requests: int = 0
    clip_requests_dropped: int = 0
    clips_refused: int = 0
    clip_parts_sent: int = 0
    clip_parts_dropped: int = 0


@dataclass(slots=True)
class _InFlight:
    data: bytes
    sent_s: float | None
    due_s: float
    wait_s: float


class Publisher:
    """A DEALER that owes every detection to the server until it is acknowledged.

    Parameters
    ----------
    endpoint : str
        The server, such as ``tcp://server.example:5570``.
    spool : Spool
        Where detections wait. The caller opens and closes it.
    hello : callable () -> Hello
        Called at each (re)connect.
    heartbeat : callable (SpoolCounts) -> Heartbeat
        Called every ``settings.heartbeat_s``.
    monotonic_s : callable () -> float
        Seconds that only go forward (``time.monotonic``).
    settings : PublisherSettings
    curve : CurveClientKeys | None
        Encrypt and authenticate; None for plain.
    clip_request : callable (ClipRequest) -> sequence of Clip, or Reject; None
        Answers the server's requests (`sensor_node.clips.ClipDesk.answer`). Detections go first; what waits when the
        connection is lost is dropped, since the server asks again. None: a request is a bad message.
    context : zmq.Context | None
        None makes one of its own, closed by `close`.

    Raises
    ------
    TransportError
        The endpoint is not one that can be connected to.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        spool: Spool,
        hello: Callable[[], Hello],
        heartbeat: Callable[[SpoolCounts], Heartbeat],
        monotonic_s: Callable[[], float],
        settings: PublisherSettings | None = None,
        curve: CurveClientKeys | None = None,
        clip_request: Callable[[ClipRequest], Sequence[Clip] | Reject] | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        self.counters = PublisherCounters()
        self.server_heard_s: float | None = None
        """Monotonic instant of the server's last message; None before the first."""
        self.last_reject = ""
        """What the server last refused, and why; "" when it never did."""
        self._spool = spool
        self._hello = hello
        self._heartbeat = heartbeat
        self._monotonic_s = monotonic_s
        self._settings = settings or PublisherSettings()
        self._pace = Pace(self._settings.window)
        self._in_flight: dict[tuple[int, int], _InFlight] = {}
        self._fresh: dict[tuple[int, int], SpooledDetection] = {}
        self._likely_shots: set[tuple[int, int]] = set()
        """Of the fresh ones, those that are rather a gunshot than not."""
        self._clip_request = clip_request
        self._clip_parts: deque[bytes] = deque()
        self._clip_part_due_s = -math.inf
        self._hello_due = False
        self._heartbeat_due_s = monotonic_s() + self._settings.heartbeat_s
        self._resend_due_s = 0.0
        self._retry_s = 0.0
        self._paused_until_s = -math.inf
        self._link = Connection(
            endpoint,
            curve=curve,
            context=context,
            monotonic_s=monotonic_s,
            reconnect_s=self._settings.reconnect_s,
            reconnect_most_s=self._settings.reconnect_most_s,
            most_queued=max(_MOST_MESSAGES_PER_POLL, 4 * self._settings.window),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether the server took this node in, and the connection holds."""
        return self._link.is_up

    @property
    def connection_problem(self) -> str:
        """Why the server is not reached, in plain words; "" while it is."""
        return self._link.problem

    @property
    def server_public(self) -> str | None:
        """The pinned key that the server has, while connected; None without CURVE."""
        return self._link.server_public

    @property
    def unacked(self) -> int:
        """Detections that the server has not acknowledged."""
        return self._spool.counts().unacked

    def send(self, detection: Detection) -> None:
        """Keep a detection, then send it when the server is there; `poll` sees to the rest.

        At once when there is room; otherwise it is fresh: every second slot is for fresh ones, the others for the rest
        of the spool. So it waits for what is on its way, twice the window at most, and for two messages more for each
        fresh one before it, however many old ones the spool holds. While the server is behind likely shots go before
        other fresh ones, and the latest first: some wait too long for an alert then, so that others do not.
        """
        self._spool.append(detection)
        if not self.connected:
            self._watch_connection()
        if not self.connected:
            return
        item = SpooledDetection(detection.boot, detection.sequence, encode(detection))
        if self._hello_due or self._fresh or len(self._in_flight) >= 2 * self._window or not self._start(item):
            if (detection.probability(ImpulseKind.GUNSHOT) or 0.0) > 0.5:
                self._likely_shots.add(item.uid)
            self._remember_fresh([item])

    def poll(self, timeout_ms: int = 0) -> int:
        """Wait up to ``timeout_ms`` for the server, take what it says, send what is due; return messages taken."""
        due_ms = (self.next_due_s() - self._monotonic_s()) * 1000
        wait_ms = max(0, math.ceil(min(timeout_ms, due_ms)))
        self._link.wait(wait_ms)
        self._watch_connection()
        taken = self._receive()
        self._send_what_is_due()
        return taken

    @property
    def filenos(self) -> tuple[int, int]:
        """File descriptors for who drives many publishers with one poller; see `Connection.filenos`."""
        return self._link.filenos

    @property
    def opened(self) -> int:
        """How often its socket was made."""
        return self._link.opened

    def has_input(self) -> bool:
        """Return whether there is something for `poll` to take now."""
        return self._link.wait(0)

    def next_due_s(self) -> float:
        """Return the monotonic instant at which `poll` has something to do even if the server says nothing."""
        if not self.connected:
            return math.inf if self._link.reopen_s is None else self._link.reopen_s
        due_s = self._retry_s if self._hello_due else self._heartbeat_due_s
        if self._backlog_room():
            due_s = min(due_s, max(self._retry_s, self._paused_until_s))
        if self._clip_parts:
            due_s = min(due_s, max(self._clip_part_due_s, self._paused_until_s))
        return min(due_s, max(self._resend_due_s, self._paused_until_s)) if self._in_flight else due_s

    def drain(self, deadline_s: float) -> bool:
        """Poll until all is acknowledged or ``monotonic_s()`` reaches the deadline; return whether all is."""
        while self.unacked:
            left_s = deadline_s - self._monotonic_s()
            if left_s <= 0:
                return False
            self.poll(min(100, 1 + int(left_s * 1000)))
        return True

    def close(self) -> None:
        """Close the connection at once; what is unacknowledged stays in the spool."""
        self._link.close()

    def _remember_fresh(self, items: Sequence[SpooledDetection]) -> None:
        """Note what goes before the rest of the spool; the oldest of too many go back to the rest."""
        self._fresh |= {item.uid: item for item in items}
        for uid in list(self._fresh)[:-_MOST_FRESH]:
            self._forget_fresh(uid)

    def _forget_fresh(self, uid: tuple[int, int]) -> None:
        self._fresh.pop(uid, None)
        self._likely_shots.discard(uid)

    def _forget_all_fresh(self) -> None:
        self._fresh.clear()
        self._likely_shots.clear()

    def _fresh_in_turn(self) -> list[SpooledDetection]:
        """Return the fresh ones as they go out; see `send`."""
        if not self._pace.is_behind(self._waited_s):
            return list(self._fresh.values())
        latest_first = list(reversed(self._fresh.values()))
        return sorted(latest_first, key=lambda item: item.uid not in self._likely_shots)

    def _watch_connection(self) -> None:
        for up in self._link.watch():
            self._in_flight.clear()
            self._forget_all_fresh()
            self._drop_clip_parts()
            if up:
                self.counters.connects += 1
                self._hello_due = True
            else:
                self.counters.disconnects += 1

    def _receive(self) -> int:
        taken = 0
        while taken < _MOST_MESSAGES_PER_POLL:
            data = self._link.receive()
            if data is None:
                break
            taken += 1
            self.server_heard_s = self._monotonic_s()
            try:
                self._take(data)
            except MessageError:
                self.counters.bad_messages += 1
        return taken

    def _take(self, data: bytes) -> None:
        message = decode(data)
        if isinstance(message, Ack):
            for sequence in message.sequences:
                if (item := self._in_flight.pop((message.boot, sequence), None)) is not None:
                    self.counters.acked += 1
                    if item.sent_s is not None:
                        now_s = self._monotonic_s()
                        self._pace.acknowledged(now_s - item.sent_s, now_s=now_s)
                self._forget_fresh((message.boot, sequence))
            self._spool.ack(message.boot, message.sequences)
        elif isinstance(message, Reject):
            self._take_reject(message)
        elif isinstance(message, Heartbeat):
            self.counters.heartbeats_received += 1
        elif isinstance(message, ClipRequest) and self._clip_request is not None:
            self._take_clip_request(message, self._clip_request)
        else:
            self.counters.bad_messages += 1

    def _take_clip_request(
        self, request: ClipRequest, answer: Callable[[ClipRequest], Sequence[Clip] | Reject]
    ) -> None:
        self.counters.clip_requests += 1
        if len(self._clip_parts) >= _MOST_CLIP_PARTS:
            self.counters.clip_requests_dropped += 1
            return
        answered = answer(request)
        if isinstance(answered, Reject):
            self.counters.clips_refused += 1
            self._clip_parts.append(encode(answered))
        else:
            self._clip_parts.extend(encode(part) for part in answered)

    def _drop_clip_parts(self) -> None:
        self.counters.clip_parts_dropped += len(self._clip_parts)
        self._clip_parts.clear()

    def _take_reject(self, reject: Reject) -> None:
        self.counters.rejected += 1
        self.last_reject = f"{reject.reason}: {reject.detail}"
        if reject.reason is RejectReason.RATE_LIMITED:
            self._paused_until_s = self._monotonic_s() + self._settings.pause_s
            # Some of these were turned away: when they are acknowledged does not tell how far behind the server is.
            for item in self._in_flight.values():
                item.sent_s = None
        elif reject.reason in _KEY_REFUSED and self.connected:
            self._link.refuse(reject.detail)
            self._in_flight.clear()
            self._forget_all_fresh()
            self._drop_clip_parts()
            self.counters.disconnects += 1
        if reject.boot is None or reject.sequence is None or reject.reason in _KEEP_IT:
            return
        self._in_flight.pop((reject.boot, reject.sequence), None)
        self._forget_fresh((reject.boot, reject.sequence))
        self._spool.reject(reject.boot, reject.sequence, self.last_reject)

    @property
    def _waited_s(self) -> float:
        """How long the oldest of those on their way has been, as far as that says how far behind the server is."""
        oldest = next(iter(self._in_flight.values()), None)
        return 0.0 if oldest is None or oldest.sent_s is None else self._monotonic_s() - oldest.sent_s

    @property
    def _window(self) -> int:
        return self._pace.window(self._waited_s)

    def _backlog_room(self) -> int:
        """Return how many waiting detections to send now: 0 until a good part of the window is free."""
        window = self._window
        missing, room = self.unacked - len(self._in_flight), window - len(self._in_flight)
        return min(missing, room) if missing > 0 and room >= min(missing, window // _WINDOW_PARTS) else 0

    def _send_what_is_due(self) -> None:
        now_s = self._monotonic_s()
        heartbeat_due = now_s >= self._heartbeat_due_s
        if heartbeat_due and self._spool.problem:
            self._spool.flush()
        if not self.connected:
            if heartbeat_due:
                self._spool.drop_heartbeat()
                self._heartbeat_due_s = now_s + self._settings.heartbeat_s
            return
        if self._hello_due:
            if not self._link.send(encode(self._hello())):
                self._retry_s = now_s + _RETRY_S
                return
            self._hello_due = False
            heartbeat_due = True
            if self.unacked > self._settings.window:
                self._remember_fresh(self._spool.newest(self._settings.window // _WINDOW_PARTS))
        if heartbeat_due:
            if self._link.send(encode(self._heartbeat(self._spool.counts()))):
                self.counters.heartbeats_sent += 1
            else:
                self._spool.drop_heartbeat()
            self._heartbeat_due_s = now_s + self._settings.heartbeat_s
        if now_s < self._paused_until_s:
            return
        if self._in_flight and now_s >= self._resend_due_s:
            self._resend(now_s)
        if now_s >= self._retry_s:
            self._send_backlog(now_s)
        if self._clip_parts and now_s >= self._clip_part_due_s:
            self._clip_part_due_s = now_s + _CLIP_PART_S
            if self._link.send(self._clip_parts[0]):
                self._clip_parts.popleft()
                self.counters.clip_parts_sent += 1

    def _resend(self, now_s: float) -> None:
        for item in self._in_flight.values():
            if item.due_s > now_s:
                continue
            if not self._link.send(item.data):
                break
            self.counters.resent += 1
            if item.sent_s is not None:
                self._pace.overdue(now_s - item.sent_s, now_s=now_s)
            item.wait_s = max(min(2 * item.wait_s, self._settings.resend_most_s), self._pace.patience_s)
            item.due_s = now_s + item.wait_s
        soonest_s = min(item.due_s for item in self._in_flight.values())
        self._resend_due_s = max(soonest_s, now_s + _RETRY_S)

    def _send_backlog(self, now_s: float) -> None:
        """Send what waits as far as the window allows: oldest first, and by turns with what is fresh."""
        room = self._backlog_room()
        if not room:
            return
        old = [item for item in self._spool.unacked(self._settings.window) if item.uid not in self._in_flight]
        chosen = interleave(old, self._fresh_in_turn(), room)
        if not chosen:
            self._retry_s = now_s + self._settings.resend_after_s
        for item in chosen:
            if not self._start(item):
                self._retry_s = now_s + _RETRY_S
                return

    def _start(self, item: SpooledDetection) -> bool:
        if not self._link.send(item.data):
            return False
        self._forget_fresh(item.uid)
        wait_s = max(self._settings.resend_after_s, self._pace.patience_s)
        sent_s = self._monotonic_s()
        due_s = sent_s + wait_s
        self._resend_due_s = min(self._resend_due_s, due_s) if self._in_flight else due_s
        self._in_flight[item.uid] = _InFlight(item.data, sent_s, due_s, wait_s)
        self.counters.sent += 1
        return True
