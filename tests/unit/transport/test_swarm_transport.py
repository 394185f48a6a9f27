"""A swarm and a receiver over real CURVE sockets in one thread, which share one clock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from fusion_server.history import History
from fusion_server.receiver import CurveGuard, Intake, Receiver
from sensor_node.swarm import Swarm
from sensor_node.swarmfiles import member_name
from sensor_node.swarmplan import Heard
from shotline.allowlist import WatchedAllowList, edit_allow_list
from shotline.domain import ImpulseKind
from shotline.keyfiles import KeyPair
from shotline.units import NS_PER_S

NOW_NS = 1_545_180_566_000_000_000
NODES = 12


def pair() -> KeyPair:
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


class Bench:
    """A receiver that can be stopped and started again at its address, and a swarm."""

    def __init__(self, folder: Path) -> None:
        self.now_s = 0.0
        self.list = folder / "nodes.toml"
        self.server = pair()
        self.pairs = [(member_name(member), pair()) for member in range(NODES)]
        edit_allow_list(self.list, lambda before: before.enrol("somebody", pair().public, now_ns=NOW_NS), create=True)
        self.history = History.open("sqlite://")
        self.endpoint = "tcp://127.0.0.1:0"
        self.start()
        self.swarm = Swarm(
            self.endpoint, self.pairs, self.server.public, monotonic_s=lambda: self.now_s, now_ns=self.now_ns
        )

    def start(self) -> None:
        keys = WatchedAllowList(self.list)
        intake = Intake(self.history, boot=1, keys=keys)
        self.receiver = Receiver(self.endpoint, intake, curve=CurveGuard(self.server, keys))
        self.endpoint = self.receiver.endpoint

    def enrol(self, members: range) -> None:
        for member in members:
            name, key = self.pairs[member]
            edit_allow_list(self.list, lambda before, name=name, key=key: before.enrol(name, key.public, now_ns=NOW_NS))

    def now_ns(self) -> int:
        return NOW_NS + round(self.now_s * NS_PER_S)

    def hear(self, members: range) -> None:
        for member in members:
            self.swarm.hear(Heard(0.0, member, ImpulseKind.GUNSHOT, 100.0), start_ns=self.now_ns())

    def until(self, condition: Callable[[], object], *, is_served: bool = True) -> None:
        for _ in range(4_000):
            self.now_s += 0.01
            if is_served:
                self.receiver.poll(1, self.now_ns)
            self.swarm.step(0.001)
            if condition():
                return
        raise AssertionError(f"in vain: {self.swarm.status()}, {self.swarm.trouble()}")

    def stored(self) -> list[tuple[str, int, int]]:
        return sorted(item.uid for item in self.history.detections(0))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.swarm.close()
    made.receiver.close()
    made.history.close()


def test_every_detection_of_every_node_is_stored_under_its_name_and_timed(bench: Bench) -> None:
    bench.enrol(range(NODES))
    bench.hear(range(NODES))
    bench.until(lambda: bench.swarm.connected == NODES)
    bench.hear(range(NODES))
    bench.until(lambda: not bench.swarm.owed)
    boot = bench.swarm.boot
    assert bench.stored() == [(name, boot, sequence) for name, _ in bench.pairs for sequence in range(2)]
    status = bench.swarm.status()
    assert (status.made, status.acked, status.rejected, status.rejects) == (2 * NODES, 2 * NODES, 0, 0)
    assert status.ack_p50_s is not None
    assert status.ack_worst_s is not None
    assert 0.0 < status.ack_p50_s <= status.ack_worst_s <= bench.now_s
    assert bench.swarm.status(since_acked=2 * NODES).ack_p50_s is None
    bench.until(lambda: bench.swarm.status().heartbeats_received > 2 * NODES)


def test_who_is_refused_comes_in_once_enrolled_though_its_socket_was_made_anew(bench: Bench) -> None:
    bench.enrol(range(NODES // 2))
    bench.hear(range(NODES))
    bench.until(lambda: bench.swarm.connected == NODES // 2 and bench.swarm.owed == NODES - NODES // 2)
    refused_s = bench.now_s
    bench.until(lambda: bench.now_s > refused_s + 2.0)
    assert "does not accept this node's key" in bench.swarm.trouble()
    assert len(bench.stored()) == NODES // 2
    bench.enrol(range(NODES // 2, NODES))
    bench.until(lambda: bench.swarm.connected == NODES and not bench.swarm.owed)
    assert len(bench.stored()) == NODES


def test_all_come_back_to_a_server_that_was_away_with_what_they_heard_meanwhile(bench: Bench) -> None:
    bench.enrol(range(NODES))
    bench.until(lambda: bench.swarm.connected == NODES)
    bench.receiver.close()
    bench.until(lambda: not bench.swarm.connected, is_served=False)
    bench.hear(range(NODES))
    bench.start()
    bench.until(lambda: bench.swarm.connected == NODES and not bench.swarm.owed)
    assert len(bench.stored()) == NODES
    assert bench.swarm.status().disconnects == NODES


def test_a_number_of_detections_is_kept_on_its_way(bench: Bench) -> None:
    bench.enrol(range(NODES))
    bench.until(lambda: bench.swarm.connected == NODES)
    for acked in (0, 20, 40):
        bench.swarm.keep_in_flight(30)
        assert bench.swarm.owed == 30
        bench.until(lambda acked=acked: bench.swarm.acked >= acked)
    bench.until(lambda: not bench.swarm.owed)
    assert len(bench.stored()) == bench.swarm.status().made
