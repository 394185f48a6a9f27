"""Many simulated nodes in one process, for load tests: each with its own key pair, connection, spool and publisher.

Nothing is short-cut: a message goes the way that a real node's goes, over a CURVE socket of its own, and is owed until
the server acknowledges it. One thread drives all of them with one epoll, and visits only who has something to do.
"""

from __future__ import annotations

import resource
import select
from array import array
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Self

import numpy as np
import zmq

from sensor_node.connection import CurveClientKeys
from sensor_node.publisher import Publisher
from sensor_node.spool import MemorySpool, SpoolCounts
from sensor_node.swarmplan import CLOCK_SIGMA_NS, MODEL_ID, Heard, SwarmPlan, make_detection
from shotline import __version__
from shotline.config import is_this_machine
from shotline.domain import ClockState, ImpulseKind
from shotline.errors import InputError, TransportError
from shotline.keyfiles import KeyPair
from shotline.messages import Detection, Heartbeat, Hello

__all__ = ["Swarm", "SwarmReport", "SwarmStatus", "require_own_server", "run_swarm"]

_SOCKETS_PER_NODE = 3
"""The DEALER, and both ends of what watches it."""
_FILES_PER_NODE = 4
"""One for each of those, and the connection."""
_SPARE = 256
_NEW_PER_STEP = 50
_MOST_EVENTS = 4096
_MOST_HEARD_PER_STEP = 200
_STEP_S = 0.1
_LATE_S = 0.5
_SAMPLE_RATE_HZ = 48_000
_NOISE_LEVEL_DB = 60.0


@dataclass(frozen=True, slots=True)
class SwarmStatus:
    """How a swarm does. Counts are since the start and of all nodes together.

    Parameters
    ----------
    nodes, connected : int
    made, acked, owed, rejected : int
        Detections: made; acknowledged by the server; neither that nor refused; refused for good.
    sent, resent : int
        Detections on the wire: first copies, further copies.
    rejects : int
        Messages of the server that said no, for whatever reason.
    connects, disconnects, heartbeats_sent, heartbeats_received : int
    ack_p50_s, ack_p99_s, ack_worst_s : float | None
        From making a detection to its acknowledgement, of those acknowledged since the start or, in a line of
        progress, since the line before; None when there was none.
    """

    nodes: int
    connected: int
    made: int
    acked: int
    owed: int
    rejected: int
    sent: int
    resent: int
    rejects: int
    connects: int
    disconnects: int
    heartbeats_sent: int
    heartbeats_received: int
    ack_p50_s: float | None
    ack_p99_s: float | None
    ack_worst_s: float | None

    def sentence(self) -> str:
        """Return it in words."""
        delay = ""
        if self.ack_p50_s is not None and self.ack_p99_s is not None and self.ack_worst_s is not None:
            delay = (
                f"; acknowledged after {self.ack_p50_s * 1e3:.0f} ms (half), {self.ack_p99_s * 1e3:.0f} ms (99 %), "
                f"{self.ack_worst_s * 1e3:.0f} ms at worst"
            )
        return (
            f"{self.connected} of {self.nodes} connected; {self.made} detections made, {self.acked} acknowledged, "
            f"{self.resent} sent again, {self.rejects} rejects{delay}"
        )


@dataclass(frozen=True, slots=True)
class SwarmReport:
    """What a run came to.

    Parameters
    ----------
    status : SwarmStatus
    seconds : float
        How long there was something to hear.
    all_connected_s : float | None
        From the start until every node was connected; None when that never was.
    behind_s : float
        How late the swarm was at worst in making a detection: more than some 0.1 s means that it was itself too slow.
    cpu_s : float
        Of this process.
    problem : str
        In plain words; "" when every detection is acknowledged.
    """

    status: SwarmStatus
    seconds: float
    all_connected_s: float | None
    behind_s: float
    cpu_s: float
    problem: str

    def sentence(self) -> str:
        """Return it in words."""
        connected = "" if self.all_connected_s is None else f" (all after {self.all_connected_s:.1f} s)"
        late = f"; the swarm was {self.behind_s:.1f} s late itself" if self.behind_s > _LATE_S else ""
        return f"{self.seconds:.0f} s{connected}: {self.status.sentence()}{late}"

    def as_json(self) -> dict[str, object]:
        """Return it for a machine."""
        fields: dict[str, object] = asdict(self)
        del fields["status"]
        return asdict(self.status) | fields


class _Tally:
    """What became of the detections of all nodes."""

    def __init__(self) -> None:
        self.made = 0
        self.rejected = 0
        self.delays_s = array("d")
        """From making to acknowledgement, of each that was acknowledged."""

    @property
    def owed(self) -> int:
        return self.made - self.rejected - len(self.delays_s)


class _TalliedSpool(MemorySpool):
    """Tells what became of each detection, and when."""

    def __init__(self, monotonic_s: Callable[[], float], tally: _Tally) -> None:
        super().__init__()
        self._monotonic_s = monotonic_s
        self._tally = tally
        self._since_s: dict[tuple[int, int], float] = {}

    def append(self, detection: Detection) -> None:
        super().append(detection)
        self._since_s[detection.boot, detection.sequence] = self._monotonic_s()
        self._tally.made += 1

    def ack(self, boot: int, sequences: Sequence[int]) -> None:
        super().ack(boot, sequences)
        for sequence in sequences:
            if (since_s := self._since_s.pop((boot, sequence), None)) is not None:
                self._tally.delays_s.append(self._monotonic_s() - since_s)

    def reject(self, boot: int, sequence: int, reason: str) -> None:
        super().reject(boot, sequence, reason)
        self._tally.rejected += self._since_s.pop((boot, sequence), None) is not None


class _Member:
    """One simulated node."""

    def __init__(
        self,
        name: str,
        boot: int,
        *,
        endpoint: str,
        curve: CurveClientKeys,
        context: zmq.Context[zmq.Socket[bytes]],
        monotonic_s: Callable[[], float],
        now_ns: Callable[[], int],
        tally: _Tally,
    ) -> None:
        self.name = name
        self.next_sequence = 0
        self.filenos: tuple[int, ...] = ()
        self.opened = 0
        self._boot = boot
        self._now_ns = now_ns
        self.publisher = Publisher(
            endpoint,
            spool=_TalliedSpool(monotonic_s, tally),
            hello=self._hello,
            heartbeat=self._heartbeat,
            monotonic_s=monotonic_s,
            curve=curve,
            context=context,
        )

    def _hello(self) -> Hello:
        return Hello(
            node=self.name,
            boot=self._boot,
            time_ns=self._now_ns(),
            software_version=__version__,
            model_id=MODEL_ID,
            sample_rate_hz=_SAMPLE_RATE_HZ,
            clock_state=ClockState.PPS,
        )

    def _heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        return Heartbeat(
            node=self.name,
            boot=self._boot,
            time_ns=self._now_ns(),
            clock_state=ClockState.PPS,
            clock_sigma_ns=CLOCK_SIGMA_NS,
            next_sequence=self.next_sequence,
            unacked=counts.unacked,
            noise_level_db=_NOISE_LEVEL_DB,
        )


class Swarm:
    """All of them. Call `hear` for what they hear and `step` often, from one thread; close it at the end.

    Parameters
    ----------
    endpoint : str
        The server.
    pairs : sequence of (str, KeyPair)
        Name and pair of each node.
    server_public : str
        The server's public key.
    monotonic_s : callable () -> float
    now_ns : callable () -> int
        Wall time, UTC nanoseconds. The boot of every node is the instant of the start.

    Raises
    ------
    TransportError
        This user may not open that many files, or the endpoint is not one that can be connected to.
    """

    def __init__(
        self,
        endpoint: str,
        pairs: Sequence[tuple[str, KeyPair]],
        server_public: str,
        *,
        monotonic_s: Callable[[], float],
        now_ns: Callable[[], int],
    ) -> None:
        _raise_file_limit(len(pairs))
        self.boot = now_ns()
        self._endpoint = endpoint
        self._pairs = pairs
        self._server_public = server_public
        self._monotonic_s = monotonic_s
        self._now_ns = now_ns
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, _SOCKETS_PER_NODE * len(pairs) + _SPARE)
        self._epoll = select.epoll()
        self._members: list[_Member] = []
        self._member_of: dict[int, int] = {}
        self._due_s = np.full(len(pairs), np.inf)
        self._up = np.zeros(len(pairs), dtype=bool)
        self._again: set[int] = set()
        self._tally = _Tally()
        self._turn = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def connected(self) -> int:
        """How many nodes the server has taken in."""
        return int(self._up.sum())

    @property
    def nodes(self) -> int:
        """How many nodes there are, connected or not."""
        return len(self._pairs)

    @property
    def acked(self) -> int:
        """Detections that were acknowledged."""
        return len(self._tally.delays_s)

    @property
    def owed(self) -> int:
        """Detections that the server has neither acknowledged nor refused for good."""
        return self._tally.owed

    def close(self) -> None:
        """Close every connection at once."""
        for member in self._members:
            member.publisher.close()
        self._epoll.close()
        self._context.term()

    def hear(self, heard: Heard, *, start_ns: int) -> None:
        """Have a node send a detection of what it hears.

        Parameters
        ----------
        heard : Heard
        start_ns : int
            UTC nanoseconds from which its time counts.
        """
        while len(self._members) <= heard.member:
            self._add_member()
        member = self._members[heard.member]
        member.publisher.send(
            make_detection(heard, node=member.name, boot=self.boot, sequence=member.next_sequence, start_ns=start_ns)
        )
        member.next_sequence += 1
        self._look_at(heard.member)

    def keep_in_flight(self, most: int) -> None:
        """Have the nodes hear bangs, by turns, until so many detections of the whole swarm are not acknowledged."""
        for _ in range(min(_MOST_HEARD_PER_STEP, most - self.owed)):
            member, self._turn = self._turn, (self._turn + 1) % self.nodes
            bang = Heard(0.0, member, ImpulseKind.OTHER_IMPULSE, _NOISE_LEVEL_DB + 30.0)
            self.hear(bang, start_ns=self._now_ns())

    def step(self, timeout_s: float) -> None:
        """Wait at most so long until a node has something to do, and see to all that have."""
        if len(self._members) < len(self._pairs):
            timeout_s = 0.0
            for _ in range(min(_NEW_PER_STEP, len(self._pairs) - len(self._members))):
                self._add_member()
        wait_s = 0.0 if self._again else min(timeout_s, float(self._due_s.min()) - self._monotonic_s())
        ready = {self._member_of[number] for number, _ in self._epoll.poll(max(0.0, wait_s), _MOST_EVENTS)}
        due = np.flatnonzero(self._due_s <= self._monotonic_s()).tolist()
        again, self._again = self._again, set()
        for member in ready.union(again, due):
            self._members[member].publisher.poll(0)
            self._look_at(member)

    def status(self, *, since_acked: int = 0) -> SwarmStatus:
        """Return how it does.

        Parameters
        ----------
        since_acked : int
            Leave the first so many acknowledgements out of the delays.
        """
        counters = [member.publisher.counters for member in self._members]
        delays_s = np.array(self._tally.delays_s[since_acked:])
        half_s, most_s, worst_s = np.quantile(delays_s, (0.5, 0.99, 1.0)).tolist() if delays_s.size else [None] * 3
        return SwarmStatus(
            nodes=self.nodes,
            connected=self.connected,
            made=self._tally.made,
            acked=self.acked,
            owed=self.owed,
            rejected=self._tally.rejected,
            sent=sum(item.sent for item in counters),
            resent=sum(item.resent for item in counters),
            rejects=sum(item.rejected for item in counters),
            connects=sum(item.connects for item in counters),
            disconnects=sum(item.disconnects for item in counters),
            heartbeats_sent=sum(item.heartbeats_sent for item in counters),
            heartbeats_received=sum(item.heartbeats_received for item in counters),
            ack_p50_s=half_s,
            ack_p99_s=most_s,
            ack_worst_s=worst_s,
        )

    def trouble(self) -> str:
        """Return what one of the nodes says is wrong, "" when none does."""
        for member in self._members:
            publisher = member.publisher
            if why := publisher.connection_problem or publisher.last_reject:
                return f"{member.name}: {why}"
        return ""

    def _add_member(self) -> None:
        name, pair = self._pairs[len(self._members)]
        member = _Member(
            name,
            self.boot,
            endpoint=self._endpoint,
            curve=CurveClientKeys(pair, self._server_public),
            context=self._context,
            monotonic_s=self._monotonic_s,
            now_ns=self._now_ns,
            tally=self._tally,
        )
        self._members.append(member)
        self._look_at(len(self._members) - 1)

    def _look_at(self, number: int) -> None:
        """Note what a node waits for, after its sockets were used."""
        member = self._members[number]
        if member.opened != member.publisher.opened:
            member.opened = member.publisher.opened
            self._watch(number, member.publisher.filenos)
        self._due_s[number] = member.publisher.next_due_s()
        self._up[number] = member.publisher.connected
        if member.publisher.has_input():
            self._again.add(number)

    def _watch(self, number: int, filenos: tuple[int, ...]) -> None:
        for old in self._members[number].filenos:
            del self._member_of[old]
            # Gone from the poll by itself if the socket is closed already.
            with suppress(OSError):
                self._epoll.unregister(old)
        for new in filenos:
            self._epoll.register(new, select.EPOLLIN)
            self._member_of[new] = number
        self._members[number].filenos = filenos


def run_swarm(
    swarm: Swarm,
    plan: SwarmPlan,
    *,
    seconds: float,
    in_flight: int,
    patience_s: float,
    progress_s: float,
    monotonic_s: Callable[[], float],
    now_ns: Callable[[], int],
    stopping: Callable[[], bool],
    tell: Callable[[float, SwarmStatus], None],
) -> SwarmReport:
    """Connect every node, let them hear for a while, and wait until all is acknowledged.

    Parameters
    ----------
    swarm : Swarm
    plan : SwarmPlan
    seconds : float
        How long there is something to hear, counted from when all are connected.
    in_flight : int
        Beside the plan, as many bangs as keep so many detections unacknowledged; 0 for none.
    patience_s : float
        Give up when no node comes in, or nothing is acknowledged, for so long.
    progress_s : float
        Between two calls of ``tell``.
    monotonic_s, now_ns : callable
    stopping : callable () -> bool
        Whether to end now.
    tell : callable (seconds since the start, SwarmStatus)
    """
    begun_s = told_s = monotonic_s()
    told_acked = 0
    progress = _Patience(patience_s, monotonic_s)

    def step(timeout_s: float) -> None:
        nonlocal told_s, told_acked
        swarm.step(max(0.0, min(timeout_s, _STEP_S)))
        if monotonic_s() - told_s >= progress_s:
            tell(monotonic_s() - begun_s, swarm.status(since_acked=told_acked))
            told_s, told_acked = monotonic_s(), swarm.acked

    def report(connected_s: float | None, behind_s: float, heard_s: float) -> SwarmReport:
        status = swarm.status()
        used = resource.getrusage(resource.RUSAGE_SELF)
        cpu_s = used.ru_utime + used.ru_stime
        return SwarmReport(status, heard_s, connected_s, behind_s, cpu_s, _problem(swarm, status, connected_s))

    step(0.0)
    while swarm.connected < swarm.nodes and not stopping() and progress.lasts(swarm.connected):
        step(_STEP_S)
    if swarm.connected < swarm.nodes:
        return report(None, 0.0, 0.0)
    start_s, start_ns = monotonic_s(), now_ns()
    connected_s = start_s - begun_s
    behind_s = 0.0
    coming = plan.heard()
    item = next(coming, None)
    while not stopping():
        if not swarm.owed:
            progress.restart()
        time_s = monotonic_s() - start_s
        for _ in range(_MOST_HEARD_PER_STEP):
            if item is None or item.time_s > time_s:
                break
            behind_s = max(behind_s, time_s - item.time_s)
            swarm.hear(item, start_ns=start_ns)
            item = next(coming, None)
        if in_flight and time_s < seconds:
            swarm.keep_in_flight(in_flight)
        if item is None and time_s >= seconds and (not swarm.owed or not progress.lasts(swarm.acked)):
            break
        step(_STEP_S if item is None else item.time_s - time_s)
    return report(connected_s, behind_s, min(seconds, monotonic_s() - start_s))


class _Patience:
    """Runs out when a number stays the same for so long."""

    def __init__(self, patience_s: float, monotonic_s: Callable[[], float]) -> None:
        self._patience_s = patience_s
        self._monotonic_s = monotonic_s
        self._seen = -1
        self.restart()

    def restart(self) -> None:
        self._since_s = self._monotonic_s()

    def lasts(self, number: int) -> bool:
        if number != self._seen:
            self._seen = number
            self.restart()
        return self._monotonic_s() - self._since_s < self._patience_s


def require_own_server(endpoint: str, *, is_own: bool) -> None:
    """Refuse to load somebody else's server.

    Raises
    ------
    InputError
        The server is not on this machine, and nobody said whose it is.
    """
    if is_own or is_this_machine(endpoint):
        return
    raise InputError(
        f"'{endpoint}' is not on this machine. A swarm loads a server as a whole city would: run it only against a "
        "server that is yours and that no alarm depends on. If it is, add --i-own-this-server",
        field="--server",
    )


def _problem(swarm: Swarm, status: SwarmStatus, connected_s: float | None) -> str:
    if connected_s is None:
        what = f"{status.nodes - status.connected} of {status.nodes} nodes are not connected"
    elif status.rejected:
        what = f"the server refused {status.rejected} detections"
    elif status.owed:
        what = f"{status.owed} detections are not acknowledged by the server"
    else:
        return ""
    return f"{what}; {swarm.trouble() or 'no node says why; look at the log of the server'}"


def _raise_file_limit(nodes: int) -> None:
    """Have this process allowed as many open files as so many nodes need."""
    needed = _FILES_PER_NODE * nodes + _SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise TransportError(
            f"{nodes} nodes need {needed} open files, and this user may have {hard} (ulimit -Hn); start at most "
            f"{max(0, hard - _SPARE) // _FILES_PER_NODE} nodes, or raise the limit in /etc/security/limits.conf"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
