"""The server's end of the wire: take messages, commit detections, and only then acknowledge them.

`Intake` decides and knows no socket; `Receiver` is the ROUTER around it. Bytes that cannot be taken become counted
rejects with a reason; a node hears of each once. Who a message is from is what the allow-list says of the key of its
connection; what it claims must agree.
"""

from __future__ import annotations

import errno
import os
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol, Self

import msgspec
import zmq

from fusion_server.admission import Keys, RateLimit, Refusals, TokenBuckets
from fusion_server.clips import ClipCollector, ClipOutcome
from fusion_server.health import NodeReport
from fusion_server.history import NodeStatus, RejectedMessage, StoredDetection
from fusion_server.zap import ZAP_DOMAIN, ZapHandler
from shotline.domain import ClockState, DetectionId
from shotline.enrolment import Refused
from shotline.errors import MessageError, StorageError, TransportError
from shotline.keyfiles import KeyPair
from shotline.messages import (
    MAX_FRAME_BYTES,
    Ack,
    Clip,
    Detection,
    Heartbeat,
    Hello,
    Reject,
    RejectReason,
    decode,
    encode,
)
from shotline.units import NS_PER_S

__all__ = ["CurveGuard", "Intake", "IntakeCounters", "Receiver", "Store", "Taken"]

_MOST_SEQUENCES_PER_ACK = 4096
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK) | int(zmq.SNDMORE)
"""Plain numbers: arithmetic on pyzmq's flags takes longer than the call."""
_SAYS_WHO = (Detection, Heartbeat, Hello, Clip)
_MOST_DETAIL_CHARACTERS = 512
_MOST_NODES = 100_000
_MOST_AT_THE_DOOR = 4096
_MOST_TOLD_AT_ONCE = 64
"""Heartbeats after one commit: thousands at once would hold up the acknowledgements behind them."""
_MOST_UNKEPT_CLIPS = 64
_COUNTED_LATE = "(came while the history could not be written; counted, the bytes not kept)"
_MOST_DELAYS = 501
_MOST_DELAY_S = 900.0
"""More is no queue but another clock: that of recorded sound, say."""
_DELAYS_OF_NS = 15 * NS_PER_S
_TOLD_AGAIN_NS = NS_PER_S
"""Who is turned away unread hears of it no more often than this."""


class Store(Protocol):
    """What the intake needs of `fusion_server.history.History`."""

    def store(self, items: Sequence[StoredDetection]) -> list[bool]: ...
    def raw_of(self, uids: Sequence[DetectionId]) -> dict[DetectionId, bytes]: ...
    def count_rejects(self, rejects: Sequence[RejectedMessage]) -> None: ...
    def touch_nodes(self, statuses: Sequence[NodeStatus]) -> None: ...
    def node_statuses(self) -> list[NodeStatus]: ...
    def append_clips(self, outcomes: Sequence[ClipOutcome]) -> None: ...


@dataclass(frozen=True, slots=True)
class CurveGuard:
    """What encrypts, and who is let in.

    Parameters
    ----------
    pair : KeyPair
        The server's. Nodes carry the public half.
    keys : Keys
        The allow-list; the same as the intake's.
    """

    pair: KeyPair
    keys: Keys


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of a batch: detections that are new and committed, and what to say to whom."""

    fresh: tuple[Detection, ...]
    replies: tuple[tuple[bytes, bytes], ...]


@dataclass(slots=True)
class IntakeCounters:
    """Counts since the start."""

    messages: int = 0
    detections: int = 0
    fresh: int = 0
    duplicates: int = 0
    uncommitted: int = 0
    rejects: Counter[str] = field(default_factory=Counter)


class Intake:
    """Messages in, decisions out. No socket, no clock: peers are opaque bytes and time is an argument.

    Parameters
    ----------
    store : Store
        The history.
    boot : int
        Of this server, said in its heartbeats.
    heartbeat_s : float
        Between heartbeats to each peer, and between two writes of node states.
    forget_s : float
        A peer that says nothing for so long gets no more heartbeats.
    keys : Keys | None
        The allow-list: each message must come with an accepted key, and from the node that the key is. None: anybody
        may say to be any node.
    limit : RateLimit | None
        Of each node, or without an allow-list of each connection; what is beyond it is not looked at. None: no limit.
    event_ns : callable (now_ns) -> int
        Event time from wall time.
    future_limit_s : float | None
        A detection that is dated further after event time is refused. None: none is.
    clips : ClipCollector | None
        What to ask nodes for. Its limit of outstanding requests keeps the parts of clips far below any rate limit.
        None: no clip is asked for, and none taken.
    """

    def __init__(
        self,
        store: Store,
        *,
        boot: int,
        heartbeat_s: float = 2.0,
        forget_s: float = 60.0,
        keys: Keys | None = None,
        limit: RateLimit | None = None,
        event_ns: Callable[[int], int] = lambda now_ns: now_ns,
        future_limit_s: float | None = None,
        clips: ClipCollector | None = None,
    ) -> None:
        self.counters = IntakeCounters()
        self._detections_problem = ""
        self._others_problem = ""
        self._store = store
        self._boot = boot
        self._heartbeat_ns = round(heartbeat_s * NS_PER_S)
        self._forget_ns = round(forget_s * NS_PER_S)
        self._peers: dict[bytes, int] = {}
        self._pending: list[tuple[bytes, StoredDetection]] = []
        self._replies: list[tuple[bytes, bytes]] = []
        self._rejects: list[RejectedMessage] = []
        self._statuses = {status.node: status for status in store.node_statuses()}
        self._reports: dict[str, NodeReport] = {}
        self._detected: dict[str, tuple[int, int]] = {}
        """Boot and time of the last detection of a node, where `_statuses` does not say so yet."""
        self._changed: set[str] = set()
        self._spoke: set[str] = set()
        self._delays_s: dict[str, float] = {}
        self.report_delay_s = 0.0
        """How long after a sound its detection is sent, at the most, by the nodes that are there."""
        self._delays_of_heartbeats: deque[tuple[int, float]] = deque(maxlen=_MOST_DELAYS)
        self._next_round_ns = 0
        self._to_tell: list[bytes] = []
        self._keys = keys
        self._buckets = None if limit is None else TokenBuckets(limit)
        self._event_ns = event_ns
        self._future_limit_s = future_limit_s
        self._clips = clips
        self._clip_outcomes: list[ClipOutcome] = []
        self._connections: dict[str, bytes] = {}
        self._turned_away: Counter[tuple[str, str]] = Counter()
        self._told_ns: dict[bytes, int] = {}

    @property
    def storage_problem(self) -> str:
        """What the last failed write said; "" after one that went well."""
        return self._detections_problem or self._others_problem

    @property
    def peers(self) -> int:
        """How many connections spoke lately."""
        return len(self._peers)

    def behind_s(self, *, now_ns: int) -> float:
        """Return how long messages waited lately until they were read: the median, which no single clock can move."""
        delays_s = sorted(s for taken_ns, s in list(self._delays_of_heartbeats) if now_ns - taken_ns <= _DELAYS_OF_NS)
        return max(0.0, delays_s[len(delays_s) // 2]) if delays_s else 0.0

    def waiting(self, *, now_ns: int) -> int:
        """Return how many detections wait at the nodes that are there, as they last said."""
        oldest_ns = now_ns - self._forget_ns
        return sum(each.unacked or 0 for each in list(self._statuses.values()) if each.last_heard_ns >= oldest_ns)

    def last_heard_ns(self) -> dict[str, int]:
        """Return the wall time at which each node was last heard."""
        heard_ns = {node: status.last_heard_ns for node, status in list(self._statuses.items())}
        return heard_ns | {node: now_ns for node, (_, now_ns) in list(self._detected.items())}

    def clock_states(self) -> dict[str, str]:
        """Return how each node knows the time, as it last said."""
        statuses = list(self._statuses.values())
        return {status.node: status.clock_state.value for status in statuses if status.clock_state is not None}

    def node_reports(self) -> dict[str, NodeReport]:
        """Return what each node said of itself since the server's start."""
        return dict(self._reports)

    def take(self, peer: bytes, frames: Sequence[bytes], *, now_ns: int, key: str = "") -> None:
        """Take one message from a peer; what comes of it waits for `commit`.

        Parameters
        ----------
        peer : bytes
            The connection.
        frames : sequence of bytes
        now_ns : int
        key : str
            Public key that the connection was made with, z85 text; "" without CURVE.
        """
        self.counters.messages += 1
        node: str | None = None
        if self._keys is not None:
            standing = self._keys.standing(key, now_ns=now_ns)
            if isinstance(standing, Refused):
                self._turn_away(peer, RejectReason(standing.reason), standing.detail, now_ns)
                return
            node = standing.node
        if self._buckets is not None and not self._buckets.take(peer if node is None else node, now_ns=now_ns):
            who = "a connection" if node is None else f"node '{node}'"
            limit = self._buckets.limit
            detail = f"{who} sends more than {limit.rate_per_s:g} messages a second; send the rest again later"
            self._turn_away(peer, RejectReason.RATE_LIMITED, detail, now_ns)
            return
        self._peers[peer] = now_ns
        data = frames[-1] if frames else b""
        if len(frames) != 1 and not (len(frames) == 2 and not frames[0]):
            detail = f"message of {len(frames)} frames, expected one"
            self._reject(peer, data, RejectReason.MALFORMED, detail, now_ns=now_ns)
            return
        try:
            message = decode(data)
        except MessageError as error:
            self._reject(peer, data, RejectReason(error.reason), error.detail, now_ns=now_ns)
            return
        if isinstance(message, Clip):
            data = b""  # sound that is not taken is not kept among the rejects either
        if node is not None and isinstance(message, _SAYS_WHO) and message.node != node:
            detail = f"says to be node '{message.node}', but its key is that of node '{node}'; correct [node] id"
            self._reject(peer, data, RejectReason.WRONG_NODE, detail, now_ns=now_ns, final=False)
            return
        if isinstance(message, Detection):
            self.counters.detections += 1
            self._touch(peer, message, now_ns)
            ahead_s = self._ahead_s(message, now_ns)
            if self._future_limit_s is not None and ahead_s > self._future_limit_s:
                detail = f"dated {ahead_s:.3f} s after the server's time, expected at most {self._future_limit_s:g} s"
                detail += "; check the clock of the node, and that of the server"
                self._reject(peer, data, RejectReason.IN_FUTURE, detail, now_ns=now_ns)
                return
            self._pending.append((peer, StoredDetection(message, data, now_ns)))
        elif isinstance(message, (Hello, Heartbeat)):
            self._touch(peer, message, now_ns)
            if isinstance(message, Heartbeat) and message.clock_state is not ClockState.UNTIMED:
                delay_s = (self._event_ns(now_ns) - message.time_ns) / NS_PER_S
                if abs(delay_s) <= _MOST_DELAY_S:
                    self._delays_of_heartbeats.append((now_ns, delay_s))
            if isinstance(message, Hello):
                if message.report_delay_s > 0.0:
                    self._delays_s[message.node] = message.report_delay_s
                else:
                    self._delays_s.pop(message.node, None)
                self.report_delay_s = max(self.report_delay_s, message.report_delay_s)
                self._replies.append((peer, self._heartbeat(now_ns)))
        elif isinstance(message, Clip) and self._clips is not None:
            self._take_clip(peer, message, self._clips, now_ns=now_ns, node=node)
        elif not (isinstance(message, Reject) and self._take_clip_refusal(peer, message, now_ns=now_ns, node=node)):
            detail = f"{type(message).__name__}, which a server does not take; expected Hello, Detection or Heartbeat"
            self._reject(
                peer,
                data,
                RejectReason.UNEXPECTED_MESSAGE,
                detail,
                now_ns=now_ns,
                answer=not isinstance(message, Reject),
            )

    def commit(self, *, now_ns: int) -> Taken:
        """Commit what was taken, in one transaction, and return what to say.

        When the store fails nothing is acknowledged: `storage_problem` says why, and the nodes will send it again.
        """
        pending, self._pending = self._pending, []
        fresh = self._commit_detections(pending, now_ns=now_ns) if pending else ()
        self._rejects += [
            RejectedMessage(reason, detail, b"", now_ns, count=count)
            for (reason, detail), count in self._turned_away.items()
        ]
        self._turned_away.clear()
        if self._rejects:
            if not self._write(lambda: self._store.count_rejects(self._rejects)):
                for reject in self._rejects:
                    self._turned_away[reject.reason, _COUNTED_LATE] += reject.count
            self._rejects = []
        if now_ns >= self._next_round_ns or now_ns + self._heartbeat_ns < self._next_round_ns:
            self._next_round_ns = now_ns + self._heartbeat_ns
            self._make_round(now_ns)
        told, self._to_tell = self._to_tell[:_MOST_TOLD_AT_ONCE], self._to_tell[_MOST_TOLD_AT_ONCE:]
        if told:
            data = self._heartbeat(now_ns)
            self._replies.extend((peer, data) for peer in told)
        if self._clips is not None:
            self._commit_clips(self._clips, now_ns=now_ns)
        replies, self._replies = self._replies, []
        return Taken(fresh, tuple(replies))

    def take_spoke(self) -> frozenset[str]:
        """Return the nodes that said anything at all since the last time this was asked."""
        spoke, self._spoke = frozenset(self._spoke), set()
        return spoke

    def forget(self, peer: bytes) -> None:
        """Forget a peer that is gone."""
        self._told_ns.pop(peer, None)
        self._peers.pop(peer, None)
        self._connections = {node: there for node, there in self._connections.items() if there != peer}

    def _take_clip(self, peer: bytes, clip: Clip, clips: ClipCollector, *, now_ns: int, node: str | None) -> None:
        """Take a part from the node that the key is; without keys, from the connection that the node speaks on."""
        try:
            if node is None and self._connections.get(clip.node) != peer:
                raise MessageError(RejectReason.WRONG_NODE, f"node '{clip.node}' speaks on another connection")
            clips.take_part(clip, now_ns=now_ns)
        except MessageError as error:
            self._reject(peer, b"", RejectReason(error.reason), error.detail, now_ns=now_ns)

    def _take_clip_refusal(self, peer: bytes, reject: Reject, *, now_ns: int, node: str | None) -> bool:
        if self._clips is None:
            return False
        nodes = [node] if node is not None else [name for name, there in self._connections.items() if there == peer]
        return any(self._clips.take_refusal(name, reject, now_ns=now_ns) for name in nodes)

    def _commit_clips(self, clips: ClipCollector, *, now_ns: int) -> None:
        """Keep what came of clips, and ask for more."""
        self._clip_outcomes = [*self._clip_outcomes, *clips.take_outcomes()][-_MOST_UNKEPT_CLIPS:]
        if self._clip_outcomes and self._write(lambda: self._store.append_clips(self._clip_outcomes)):
            self._clip_outcomes = []
        for request in clips.due(now_ns=now_ns, is_connected=lambda node: self._connections.get(node) in self._peers):
            self._replies.append((self._connections[request.node], encode(request)))

    def _commit_detections(
        self, pending: Sequence[tuple[bytes, StoredDetection]], *, now_ns: int
    ) -> tuple[Detection, ...]:
        items = [item for _, item in pending]
        try:
            new = self._store.store(items)
            known = [item.detection.uid for item, is_new in zip(items, new, strict=True) if not is_new]
            kept = self._store.raw_of(known) if known else {}
        except StorageError as error:
            self._detections_problem = str(error)
            self.counters.uncommitted += len(items)
            return ()
        self._detections_problem = ""
        acks: dict[tuple[bytes, int], list[int]] = {}
        for (peer, item), is_new in zip(pending, new, strict=True):
            detection = item.detection
            if not is_new and not _same(kept.get(detection.uid), item):
                detail = f"detection {detection.uid} is kept already with other content; identities are never reused"
                self._reject(peer, item.raw, RejectReason.CONFLICTING_DUPLICATE, detail, now_ns=now_ns)
                continue
            acks.setdefault((peer, detection.boot), []).append(detection.sequence)
        for (peer, boot), sequences in acks.items():
            for start in range(0, len(sequences), _MOST_SEQUENCES_PER_ACK):
                part = tuple(sequences[start : start + _MOST_SEQUENCES_PER_ACK])
                self._replies.append((peer, encode(Ack(boot=boot, sequences=part))))
        fresh = tuple(item.detection for item, is_new in zip(items, new, strict=True) if is_new)
        self.counters.fresh += len(fresh)
        self.counters.duplicates += len(items) - len(fresh)
        return fresh

    def _make_round(self, now_ns: int) -> None:
        for node, (boot, heard_ns) in self._detected.items():
            self._statuses[node] = replace(self._statuses[node], boot=boot, last_heard_ns=heard_ns)
        self._changed.update(self._detected)
        # Not `clear`: another thread may be reading it.
        self._detected = {}
        if self._changed:
            changed = [self._statuses[node] for node in sorted(self._changed)]
            self._changed.clear()
            self._write(lambda: self._store.touch_nodes(changed))
        self._peers = {peer: heard for peer, heard in self._peers.items() if now_ns - heard < self._forget_ns}
        oldest_ns = now_ns - self._forget_ns
        self._delays_s = {
            node: delay_s
            for node, delay_s in self._delays_s.items()
            if node in self._statuses and self._statuses[node].last_heard_ns > oldest_ns
        }
        self.report_delay_s = max(self._delays_s.values(), default=0.0)
        self._told_ns = {peer: told for peer, told in self._told_ns.items() if 0 <= now_ns - told < _TOLD_AGAIN_NS}
        # Who is left from the round before goes first.
        self._to_tell = list(dict.fromkeys([*filter(self._peers.__contains__, self._to_tell), *self._peers]))

    def _heartbeat(self, now_ns: int) -> bytes:
        return encode(Heartbeat(node="server", boot=self._boot, time_ns=now_ns, clock_state=ClockState.NTP))

    def _write(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except StorageError as error:
            self._others_problem = str(error)
            return False
        self._others_problem = ""
        return True

    def _ahead_s(self, detection: Detection, now_ns: int) -> float:
        """Return how far a detection is dated after event time; who does not know the time dates nothing."""
        if detection.clock_state is ClockState.UNTIMED:
            return 0.0
        return (detection.arrival_time_ns - self._event_ns(now_ns)) / NS_PER_S

    def _turn_away(self, peer: bytes, reason: RejectReason, detail: str, now_ns: int) -> None:
        """Refuse a message unread. It is counted; nothing of it is kept, and its sender hears of it now and then."""
        self.counters.rejects[reason.value] += 1
        self._turned_away[reason.value, detail] += 1
        told_ns = self._told_ns.get(peer)
        if told_ns is None or not 0 <= now_ns - told_ns < _TOLD_AGAIN_NS:
            self._told_ns[peer] = now_ns
            self._replies.append((peer, encode(Reject(reason=reason, detail=detail))))

    def _reject(
        self,
        peer: bytes,
        data: bytes,
        reason: RejectReason,
        detail: str,
        *,
        now_ns: int,
        answer: bool = True,
        final: bool = True,
    ) -> None:
        detail = detail[:_MOST_DETAIL_CHARACTERS]
        self.counters.rejects[reason.value] += 1
        self._rejects.append(RejectedMessage(reason.value, detail, data, now_ns))
        if answer:
            boot, sequence = _claimed_identity(data) if final else (None, None)
            self._replies.append((peer, encode(Reject(reason=reason, detail=detail, boot=boot, sequence=sequence))))

    def _touch(self, peer: bytes, message: Hello | Heartbeat | Detection, now_ns: int) -> None:
        self._spoke.add(message.node)
        before = self._statuses.get(message.node)
        if before is None:
            if len(self._statuses) >= _MOST_NODES:
                return
            before = NodeStatus(message.node, message.boot, now_ns)
            self._statuses[message.node] = before
        self._connections[message.node] = peer
        if isinstance(message, Detection):
            self._detected[message.node] = (message.boot, now_ns)
            return
        self._detected.pop(message.node, None)
        if isinstance(message, Hello):
            after = replace(
                before,
                boot=message.boot,
                last_heard_ns=now_ns,
                hello_ns=now_ns,
                software_version=message.software_version,
                model_id=message.model_id,
                sample_rate_hz=message.sample_rate_hz,
                clock_state=message.clock_state,
            )
        else:
            after = replace(
                before,
                boot=message.boot,
                last_heard_ns=now_ns,
                heartbeat_ns=now_ns,
                clock_state=message.clock_state,
                clock_sigma_ns=message.clock_sigma_ns,
                next_sequence=message.next_sequence,
                unacked=message.unacked,
                gap_samples=message.gap_samples,
                noise_level_db=message.noise_level_db,
            )
            self._reports[message.node] = NodeReport(
                now_ns, message.health, message.dropped_detections, message.dropped_heartbeats
            )
        self._statuses[message.node] = after
        self._changed.add(message.node)


class Receiver:
    """The ROUTER that nodes connect to. Poll it from one thread.

    Parameters
    ----------
    endpoint : str
        Where to listen, such as ``tcp://*:5570``; port 0 or ``*`` lets the system choose.
    intake : Intake
    curve : CurveGuard | None
        Encrypt, and let in only keys that are accepted; None for plain.
    context : zmq.Context | None
        None makes one of its own, closed by `close`. With CURVE it must have no other ZAP handler.
    most_per_poll : int
        Messages taken into one transaction.

    Raises
    ------
    TransportError
        The endpoint cannot be listened on.
    """

    def __init__(
        self,
        endpoint: str,
        intake: Intake,
        *,
        curve: CurveGuard | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        most_per_poll: int = 2048,
    ) -> None:
        self._intake = intake
        self._most_per_poll = most_per_poll
        self._own_context = context is None
        self._context: zmq.Context[zmq.Socket[bytes]] = context or zmq.Context()
        self._curve = curve
        self._socket = _router(self._context, curve)
        self._zap: ZapHandler | None = None
        self._poller = zmq.Poller()
        self._poller.register(self._socket, zmq.POLLIN)
        try:
            if curve is not None:
                self._zap = ZapHandler(self._context, curve.keys)
                self._poller.register(self._zap.socket, zmq.POLLIN)
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise TransportError(_bind_advice(endpoint, error)) from error
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        """Where it really listens: the port that the system chose, when it was asked to."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def poll(self, timeout_ms: int, now_ns: Callable[[], int]) -> tuple[Detection, ...]:
        """Wait for messages, commit and acknowledge them, and return the detections that are new.

        Parameters
        ----------
        timeout_ms : int
            Wait at most so long for the first one.
        now_ns : callable () -> int
            UTC nanoseconds by the server's clock.
        """
        events = self._poller.poll(timeout_ms)
        if self._curve is not None:
            # After the wait: what was revoked meanwhile is not taken any more.
            self._curve.keys.refresh()
        if events:
            received_ns = now_ns()
            if self._zap is not None:
                self._zap.answer(now_ns=received_ns)
            for _ in range(self._most_per_poll):
                if not (frames := self._receive()):
                    break
                envelope = frames.pop(0)
                key = "" if self._zap is None else str(frames[-1].get("User-Id"))
                self._intake.take(envelope.bytes, [frame.bytes for frame in frames], now_ns=received_ns, key=key)
        taken = self._intake.commit(now_ns=now_ns())
        for peer, data in taken.replies:
            self._send(peer, data)
        return taken.fresh

    @property
    def refusals(self) -> Refusals:
        """Connections that were refused for their key; none without CURVE."""
        return Refusals() if self._zap is None else self._zap.refusals

    def close(self) -> None:
        """Close the sockets at once."""
        self._socket.close(linger=0)
        if self._zap is not None:
            self._zap.close()
        if self._own_context:
            self._context.term()

    def _receive(self) -> list[zmq.Frame]:
        """Return the frames of the next message, its envelope first; none when no message waits."""
        frames: list[zmq.Frame] = []
        try:
            # By hand, since this is done for every message: `recv_multipart` asks the socket whether more follows.
            frames.append(self._socket.recv(_NOBLOCK, copy=False))
            while frames[-1].more:
                frames.append(self._socket.recv(copy=False))
        except zmq.Again:
            pass
        return frames

    def _send(self, peer: bytes, data: bytes) -> None:
        try:
            self._socket.send(peer, _NOBLOCK_MORE)
            self._socket.send(data, _NOBLOCK)
        except zmq.Again:
            pass
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self._intake.forget(peer)


def _router(context: zmq.Context[zmq.Socket[bytes]], curve: CurveGuard | None) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.ROUTER)
    socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
    socket.setsockopt(zmq.LINGER, 0)
    # After a restart every node comes at once; the system cuts this to what it allows (net.core.somaxconn).
    socket.setsockopt(zmq.BACKLOG, _MOST_AT_THE_DOOR)
    socket.setsockopt(zmq.RCVHWM, 1_000)
    socket.setsockopt(zmq.SNDHWM, 1_000)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
    # No HEARTBEAT_IVL here: a beat that falls due on a connection that ended while its messages waited at RCVHWM is an
    # assertion in libzmq (4.3.5 and before, its issues 3937 and 4767) and ends the process. Nodes beat; who vanishes
    # without a word is noticed by the system.
    socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
    socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, 10)
    socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, 5)
    socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, 3)
    if curve is not None:
        socket.curve_server = True
        socket.curve_secretkey = curve.pair.secret.encode("ascii")
        socket.zap_domain = ZAP_DOMAIN
    return socket


def _bind_advice(endpoint: str, error: zmq.ZMQError) -> str:
    advice = {
        errno.EADDRINUSE: "the port is in use; stop the other server (ss -ltnp shows it), or set another port",
        errno.EADDRNOTAVAIL: "this machine has no such address; use * for every one it has",
        errno.ENODEV: "this machine has no such interface; use * for every one it has",
        errno.EACCES: "permission denied; choose a port of 1024 or more",
    }.get(error.errno or 0, "write it like tcp://*:5570")
    return f"cannot listen on '{endpoint}' ({os.strerror(error.errno or 0)}): {advice}"


def _same(kept: bytes | None, item: StoredDetection) -> bool:
    """Return whether kept bytes say the same; fields appended by a newer reader do not make a difference."""
    if kept is None or kept == item.raw:
        return True
    try:
        return decode(kept) == item.detection
    except MessageError:
        return False


def _claimed_identity(data: bytes) -> tuple[int, int] | tuple[None, None]:
    """Return (boot, sequence) of bytes that look like a detection, so that its node need not send it for ever."""
    try:
        head = _LOOSE.decode(data)
    except (msgspec.DecodeError, RecursionError):
        return None, None
    if len(head) < 5 or head[0] != 2:
        return None, None
    boot, sequence = head[3], head[4]
    # True is an int for isinstance, and none on the wire.
    if type(boot) is int and type(sequence) is int and 0 <= boot < 2**63 and 0 <= sequence < 2**63:
        return boot, sequence
    return None, None


_LOOSE = msgspec.msgpack.Decoder(list[object])
