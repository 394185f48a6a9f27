"""All nodes of a city in one process that costs little: every message is made before the night begins.

    python benchmarks/new_year_nodes.py ENDPOINT KEYS NODES SEED LOAD

Started by `new_year.py`. Each node has a CURVE connection of its own. What the server has not acknowledged is owed. How
much of it is on its way, in which order the rest follows and when something is sent again is as in
`sensor_node.publisher`, by the same `sensor_node.pacing`; here it waits in memory, not in a file.
Standard output: one line of JSON when all are connected, one twice a second, and one at the end, when nothing is owed.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import resource
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import zmq
from new_year_plan import Load, Night, detection_of, make_night

from sensor_node.pacing import Pace
from sensor_node.swarmfiles import load_or_make_pair, member_name
from sensor_node.swarmplan import CLOCK_SIGMA_NS, MODEL_ID, grid_m
from shotline import __version__
from shotline.domain import ClockState
from shotline.messages import Ack, Heartbeat, Hello, Reject, decode, encode

__all__ = ["SPACING_M", "Nodes", "main"]

SPACING_M = 250.0
HEARTBEAT_S = 5.0
FIRST_WAIT_S, MOST_WAIT_S = 2.0, 8.0
STEP_S = 0.005
WINDOW = 256
SWEEP_S = 0.1
"""All connections are read so often: an acknowledgement may wait so long before it is noticed."""
PATIENCE_S = 120.0
"""Without anything acknowledged."""
LEAD_S = 1.0


@dataclass(slots=True)
class _Owed:
    """What one node owes, by sequence: all of it, what is fresh (and whether a shot), what is on its way since when."""

    pace: Pace = field(default_factory=lambda: Pace(WINDOW))
    waiting: dict[int, bytes] = field(default_factory=dict)
    fresh: dict[int, bool] = field(default_factory=dict)
    in_flight: dict[int, tuple[float, float]] = field(default_factory=dict)
    made_s: dict[int, float] = field(default_factory=dict)
    turn: bool = False

    @property
    def waited_s(self) -> float:
        """How long the oldest of those on their way has been."""
        oldest = next(iter(self.in_flight.values()), None)
        return 0.0 if oldest is None else time.monotonic() - oldest[0]


class Nodes:
    """Connections, what is owed, and what was said.

    Parameters
    ----------
    endpoint : str
    keys : Path
        Folder of the key pairs.
    count : int
    boot : int
        Of every node.
    """

    def __init__(self, endpoint: str, keys: Path, count: int, *, boot: int) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard if hard != resource.RLIM_INFINITY else soft, hard))
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._context.set(zmq.MAX_SOCKETS, count + 64)
        self._boot = boot
        self.names = [member_name(number) for number in range(count)]
        server = load_or_make_pair("server", keys)
        self._sockets = []
        for name in self.names:
            pair = load_or_make_pair(name, keys)
            socket = self._context.socket(zmq.DEALER)
            socket.setsockopt(zmq.LINGER, 0)
            socket.setsockopt(zmq.SNDHWM, 4096)
            socket.setsockopt(zmq.HEARTBEAT_IVL, 5_000)
            socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 15_000)
            socket.curve_serverkey = server.public.encode("ascii")
            socket.curve_publickey = pair.public.encode("ascii")
            socket.curve_secretkey = pair.secret.encode("ascii")
            socket.connect(endpoint)
            self._sockets.append(socket)
        self._answered = [False] * count
        self._nodes = [_Owed() for _ in range(count)]
        self._overdue: list[tuple[float, int, int]] = []
        self.made = [0] * count
        self.acked = 0
        self.resent = 0
        self.refused: Counter[str] = Counter()
        self.ack_s: list[float] = []
        self._heartbeat_turn = 0

    @property
    def connected(self) -> int:
        """How many nodes the server has answered."""
        return sum(self._answered)

    @property
    def owed(self) -> int:
        """Detections that are not acknowledged."""
        return sum(self.made) - self.acked

    def greet(self) -> None:
        """Have every node say who it is."""
        for name, socket in zip(self.names, self._sockets, strict=True):
            hello = Hello(
                node=name,
                boot=self._boot,
                time_ns=time.time_ns(),
                software_version=__version__,
                model_id=MODEL_ID,
                sample_rate_hz=48_000,
                clock_state=ClockState.PPS,
            )
            socket.send(encode(hello))

    def hear(self, node: int, data: bytes, *, is_shot: bool) -> None:
        """Have a node hear something: it is owed from now on, and sent if there is room."""
        sequence = self.made[node]
        self.made[node] = sequence + 1
        mine = self._nodes[node]
        mine.waiting[sequence] = data
        mine.made_s[sequence] = time.monotonic()
        if mine.fresh or len(mine.in_flight) >= 2 * mine.pace.window(mine.waited_s) or not self._send(node, sequence):
            mine.fresh[sequence] = is_shot

    def _send(self, node: int, sequence: int) -> bool:
        mine = self._nodes[node]
        try:
            self._sockets[node].send(mine.waiting[sequence], zmq.NOBLOCK)
        except zmq.Again:
            return False
        mine.fresh.pop(sequence, None)
        now_s = time.monotonic()
        sent_s, wait_s = mine.in_flight.get(sequence, (now_s, 0.0))
        wait_s = max(min(2.0 * wait_s, MOST_WAIT_S), FIRST_WAIT_S, mine.pace.patience_s)
        mine.in_flight[sequence] = (sent_s, wait_s)
        heapq.heappush(self._overdue, (now_s + wait_s, node, sequence))
        return True

    def _fill(self, node: int) -> None:
        """Send what waits as far as the window allows: by turns what is fresh and the oldest."""
        mine = self._nodes[node]
        while len(mine.in_flight) < min(mine.pace.window(mine.waited_s), len(mine.waiting)):
            mine.turn = not mine.turn
            if mine.fresh and mine.turn:
                shots = [sequence for sequence, is_shot in mine.fresh.items() if is_shot]
                latest = shots or list(mine.fresh)
                sequence = latest[-1] if mine.pace.is_behind(mine.waited_s) else next(iter(mine.fresh))
            else:
                sequence = next(each for each in mine.waiting if each not in mine.in_flight)
            if not self._send(node, sequence):
                return

    def resend(self) -> None:
        """Send again what has waited too long."""
        now_s = time.monotonic()
        while self._overdue and self._overdue[0][0] <= now_s:
            _, node, sequence = heapq.heappop(self._overdue)
            mine = self._nodes[node]
            if sequence in mine.in_flight:
                mine.pace.overdue(now_s - mine.in_flight[sequence][0], now_s=now_s)
                self.resent += self._send(node, sequence)

    def heartbeats(self, share: float) -> None:
        """Have the next share of all nodes say that they are there."""
        for _ in range(round(len(self.names) * share)):
            node = self._heartbeat_turn
            self._heartbeat_turn = (node + 1) % len(self.names)
            beat = Heartbeat(
                node=self.names[node],
                boot=self._boot,
                time_ns=time.time_ns(),
                clock_state=ClockState.PPS,
                clock_sigma_ns=CLOCK_SIGMA_NS,
                next_sequence=self.made[node],
                unacked=len(self._nodes[node].waiting),
                noise_level_db=72.0,
            )
            self._sockets[node].send(encode(beat), zmq.NOBLOCK)

    def sweep(self) -> None:
        """Read everything that the server said."""
        now_s = time.monotonic()
        for node, (socket, mine) in enumerate(zip(self._sockets, self._nodes, strict=True)):
            while True:
                try:
                    message = decode(socket.recv(zmq.NOBLOCK))
                except zmq.Again:
                    break
                self._answered[node] = True
                if isinstance(message, Ack):
                    for sequence in message.sequences:
                        if mine.waiting.pop(sequence, None) is not None:
                            self.acked += 1
                            self.ack_s.append(now_s - mine.made_s.pop(sequence))
                            if (sent := mine.in_flight.pop(sequence, None)) is not None:
                                mine.pace.acknowledged(now_s - sent[0], now_s=now_s)
                            mine.fresh.pop(sequence, None)
                elif isinstance(message, Reject):
                    self.refused[f"{message.reason}: {message.detail}"] += 1
            if len(mine.in_flight) < len(mine.waiting):
                self._fill(node)

    def close(self) -> None:
        """Close every connection."""
        for socket in self._sockets:
            socket.close(linger=0)
        self._context.term()


def _frames(night: Night, names: list[str], *, boot: int, start_ns: int) -> tuple[list[bytes], str]:
    """Return the message of each impulse, and a digest of all by node and sequence."""
    following = [0] * len(names)
    frames: list[bytes] = []
    of_node: list[list[bytes]] = [[] for _ in names]
    for item, node in enumerate(night.node.tolist()):
        detection = detection_of(night, item, node=names[node], boot=boot, sequence=following[node], start_ns=start_ns)
        following[node] += 1
        data = encode(detection)
        frames.append(data)
        of_node[node].append(data)
    digest = hashlib.sha256()
    for mine in of_node:
        for data in mine:
            digest.update(data)
    return frames, digest.hexdigest()


def _say(**fields: object) -> None:
    print(json.dumps(fields), flush=True)


def main() -> None:
    """Connect, wait for the word, and be the city until nothing is owed."""
    endpoint, keys, count, seed, load = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    night = make_night(grid_m(count, SPACING_M), Load(**json.loads(load)), seed=seed)
    boot = time.time_ns()
    nodes = Nodes(endpoint, keys, count, boot=boot)
    nodes.greet()
    end_s = time.monotonic() + PATIENCE_S
    while nodes.connected < count and time.monotonic() < end_s:
        nodes.sweep()
        time.sleep(SWEEP_S)
    # Making a message takes some 5 µs; the night begins when all are made.
    start_ns = time.time_ns() + round(1e9 * (LEAD_S + 12e-6 * len(night.time_s)))
    frames, digest = _frames(night, nodes.names, boot=boot, start_ns=start_ns)
    _say(connected=nodes.connected, boot=boot, start_ns=start_ns, digest=digest, frames=len(frames))
    start_s = time.monotonic() + (start_ns - time.time_ns()) / 1e9
    who, kinds, times_s = night.node.tolist(), night.kind.tolist(), night.time_s.tolist()
    item, late_s, swept_s, told_s = 0, 0.0, 0.0, 0.0
    acked, given_up_s = 0, start_s + PATIENCE_S
    while item < len(frames) or nodes.owed:
        now_s = time.monotonic()
        if nodes.acked != acked:
            acked, given_up_s = nodes.acked, now_s + PATIENCE_S
        if now_s > given_up_s:
            break
        while item < len(frames) and times_s[item] <= now_s - start_s:
            late_s = max(late_s, now_s - start_s - times_s[item])
            nodes.hear(who[item], frames[item], is_shot=kinds[item] == 0)
            item += 1
            if not item % 500:
                now_s = time.monotonic()
        if now_s - swept_s >= SWEEP_S:
            swept_s = now_s
            nodes.resend()
            nodes.heartbeats(SWEEP_S / HEARTBEAT_S)
            nodes.sweep()
        if now_s - told_s >= 0.5:
            told_s = now_s
            _say(at_s=now_s - start_s, made=item, acked=nodes.acked, resent=nodes.resent, late_s=late_s)
        time.sleep(STEP_S)
    done_s = time.monotonic() - start_s
    delays_s = sorted(nodes.ack_s)

    def at(share: float) -> float | None:
        return delays_s[min(len(delays_s) - 1, int(share * len(delays_s)))] if delays_s else None

    _say(
        done=True,
        done_s=done_s,
        made=item,
        acked=nodes.acked,
        resent=nodes.resent,
        refused=dict(nodes.refused),
        late_s=late_s,
        ack_p50_s=at(0.5),
        ack_p99_s=at(0.99),
        ack_worst_s=at(1.0),
    )
    nodes.close()


if __name__ == "__main__":
    main()
