"""Keys, the allow-list and the limits, over real sockets: a real publisher at one end, a real receiver at the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from fusion_server.admission import RateLimit
from fusion_server.history import History
from fusion_server.receiver import CurveGuard, Intake, Receiver
from sensor_node.connection import CurveClientKeys, spread_waits_s
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.spool import MemorySpool
from shotline.allowlist import WatchedAllowList, edit_allow_list
from shotline.domain import ClockState
from shotline.enrolment import AllowList
from shotline.keyfiles import KeyPair
from shotline.messages import (
    MAX_MESSAGE_BYTES,
    Detection,
    Heartbeat,
    Hello,
    LevelReference,
    Reject,
    RejectReason,
    decode,
    encode,
)
from shotline.units import NS_PER_S

NOW_NS = 1_545_180_566_000_000_000


def pair() -> KeyPair:
    return KeyPair(*(half.decode() for half in zmq.curve_keypair()))


def detection(sequence: int, node: str = "a", **changes: object) -> Detection:
    plain = Detection(
        node=node,
        boot=7,
        sequence=sequence,
        arrival_time_ns=NOW_NS,
        arrival_sigma_ns=1,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=-1.0,
        level_reference=LevelReference.DBFS,
        snr_db=20.0,
        rise_time_s=0.001,
        model_id="m",
    )
    return msgspec.structs.replace(plain, **changes)


class Bench:
    """A server with an allow-list, and nodes that share one clock with it."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.stack = stack
        self.now_s = 0.0
        self.server = pair()
        self.list = folder / "nodes.toml"
        self.history = stack.enter_context(History.open("sqlite://"))
        self.receiver: Receiver | None = None
        edit_allow_list(self.list, lambda before: before.enrol("somebody", pair().public, now_ns=NOW_NS), create=True)

    def edit(self, change: Callable[[AllowList], AllowList]) -> None:
        assert edit_allow_list(self.list, change)

    def enrol(self, node: str, key: KeyPair) -> None:
        self.edit(lambda before: before.enrol(node, key.public, now_ns=NOW_NS))

    def start(self, endpoint: str = "tcp://127.0.0.1:0", *, limit: RateLimit | None = None) -> str:
        keys = WatchedAllowList(self.list)
        self.intake = Intake(self.history, boot=1, keys=keys, limit=limit, future_limit_s=2.0)
        self.receiver = self.stack.enter_context(Receiver(endpoint, self.intake, curve=CurveGuard(self.server, keys)))
        return self.receiver.endpoint

    def now_ns(self) -> int:
        return NOW_NS + round(self.now_s * NS_PER_S)

    def node(
        self, key: KeyPair, node: str = "a", *, pinned: str | None = None, successor: str | None = None
    ) -> Publisher:
        assert self.receiver is not None
        hello = Hello(
            node=node,
            boot=7,
            time_ns=1,
            software_version="0",
            model_id="m",
            sample_rate_hz=48_000,
            clock_state=ClockState.PPS,
        )
        made = Publisher(
            self.receiver.endpoint,
            spool=MemorySpool(),
            hello=lambda: hello,
            heartbeat=lambda _: Heartbeat(node=node, boot=7, time_ns=1, clock_state=ClockState.PPS),
            monotonic_s=lambda: self.now_s,
            settings=PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.1),
            curve=CurveClientKeys(key, pinned or self.server.public, successor),
        )
        return self.stack.enter_context(made)

    def until(self, condition: Callable[[], object], *nodes: Publisher, step_s: float = 0.001) -> None:
        """Let everybody speak, and time pass, until the condition holds."""
        for _ in range(4_000):
            self.now_s += step_s
            if self.receiver is not None:
                self.receiver.poll(1, self.now_ns)
            for node in nodes:
                node.poll(1)
            if condition():
                return
        said = [(node.counters, node.connection_problem, node.last_reject) for node in nodes]
        raise AssertionError(f"in vain: {said}, {self.intake.counters}")

    def stored(self, node: str = "a") -> list[int]:
        return sorted(item.sequence for item in self.history.detections(0) if item.node == node)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(tmp_path, stack)


def test_an_enrolled_node_is_heard(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    bench.start()
    node = bench.node(key)
    node.send(detection(0))
    bench.until(lambda: not node.unacked, node)
    assert bench.stored() == [0]
    assert node.server_public == bench.server.public
    assert node.connection_problem == ""
    assert bench.receiver is not None
    assert not bench.receiver.refusals.counts


def test_an_unknown_key_is_refused_says_so_at_both_ends_and_comes_in_once_it_is_enrolled(bench: Bench) -> None:
    key = pair()
    bench.start()
    node = bench.node(key)
    node.send(detection(0))
    assert bench.receiver is not None
    refusals = bench.receiver.refusals
    bench.until(lambda: refusals.counts["unknown_key"] >= 2, node)  # libzmq alone would have given up after one
    bench.until(lambda: "does not accept" in node.connection_problem, node)
    assert not node.connected
    assert f"the server does not accept this node's key {key.public}; enrol it there" in node.connection_problem
    assert refusals.last.startswith(f"key {key.public} is not enrolled; run `shotline keys enrol`")
    assert refusals.last.endswith("(from 127.0.0.1)")
    assert [refused.reason for refused in refusals.take_new()] == ["unknown_key"]
    assert bench.intake.counters.messages == 0
    bench.enrol("a", key)
    bench.until(lambda: not node.unacked, node)
    assert bench.stored() == [0]
    assert refusals.take_new() == []


def test_revoking_cuts_a_connected_node_at_its_next_message(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    bench.start()
    node = bench.node(key)
    node.send(detection(0))
    bench.until(lambda: not node.unacked, node)
    bench.edit(lambda before: before.revoke("a", now_ns=NOW_NS))
    node.send(detection(1))
    bench.until(lambda: node.last_reject, node)
    assert bench.stored() == [0]
    assert node.last_reject.startswith(f"revoked_key: key {key.public} of node 'a' was revoked; make and enrol a new")
    assert bench.intake.counters.rejects["revoked_key"] >= 1
    assert bench.receiver is not None
    refusals = bench.receiver.refusals
    bench.until(lambda: refusals.counts["revoked_key"], node)  # it comes again, and is not let in
    assert not node.connected
    assert node.unacked == 1  # nothing is lost: a new pair may bring it
    assert bench.history.reject_counts() == dict(bench.intake.counters.rejects)


def test_a_revoked_client_that_stays_connected_is_heard_no_more(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    endpoint = bench.start()
    with zmq.Context() as context, context.socket(zmq.DEALER) as rogue:
        rogue.linger = 0
        rogue.curve_publickey, rogue.curve_secretkey = key.public.encode(), key.secret.encode()
        rogue.curve_serverkey = bench.server.public.encode()
        rogue.connect(endpoint)
        rogue.send(encode(detection(0)))
        bench.until(lambda: bench.stored() == [0])
        bench.edit(lambda before: before.revoke("a", now_ns=NOW_NS))
        for sequence in range(1, 51):
            rogue.send(encode(detection(sequence)))
        bench.until(lambda: bench.intake.counters.rejects["revoked_key"] == 50)
        assert bench.stored() == [0]
        assert bench.intake.counters.detections == 1  # none of the fifty was decoded
        said = []
        while rogue.poll(20):
            said.append(decode(rogue.recv()))
        # 51 messages within a simulated second or so: the server says it once or twice, not fifty times.
        assert 1 <= sum(isinstance(item, Reject) for item in said) <= 3


def test_a_node_cannot_speak_for_another(bench: Bench) -> None:
    keys = {name: pair() for name in "ab"}
    for name, key in keys.items():
        bench.enrol(name, key)
    bench.start()
    liar = bench.node(keys["b"], "a")
    liar.send(detection(0))
    bench.until(lambda: bench.intake.counters.rejects["wrong_node"] >= 3, liar, step_s=0.05)
    assert bench.stored() == []
    assert bench.intake.last_heard_ns() == {}
    assert liar.last_reject == ("wrong_node: says to be node 'a', but its key is that of node 'b'; correct [node] id")
    assert liar.unacked == 1  # kept: the mistake may be in the list
    honest = bench.node(keys["a"], "a")
    honest.send(detection(0))
    bench.until(lambda: not honest.unacked, honest)
    assert bench.stored() == [0]


def test_both_keys_hold_for_an_overlap_and_then_only_the_new_one(bench: Bench) -> None:
    old, new = pair(), pair()
    bench.enrol("a", old)
    bench.start()
    before = bench.node(old)
    before.send(detection(0))
    bench.until(lambda: not before.unacked, before)
    bench.edit(lambda was: was.rotate("a", new.public, now_ns=bench.now_ns(), overlap_ns=100 * NS_PER_S))
    after = bench.node(new)
    before.send(detection(1))
    after.send(detection(2))
    bench.until(lambda: not before.unacked and not after.unacked, before, after)
    bench.now_s += 100.0
    before.send(detection(3))
    after.send(detection(4))
    bench.until(lambda: not after.unacked and before.last_reject, before, after)
    assert bench.stored() == [0, 1, 2, 4]
    assert "was replaced; use the new pair" in before.last_reject


def test_the_successor_of_the_servers_key_takes_over(bench: Bench) -> None:
    key, following = pair(), pair()
    bench.enrol("a", key)
    endpoint = bench.start()
    old = bench.server
    node = bench.node(key, pinned=old.public, successor=following.public)
    left_behind = bench.node(key, pinned=old.public)
    node.send(detection(0))
    bench.until(lambda: not node.unacked and left_behind.connected, node, left_behind)
    assert node.server_public == old.public
    assert bench.receiver is not None
    bench.receiver.close()
    bench.receiver = None
    bench.until(lambda: not node.connected, node)
    bench.server = following
    bench.start(endpoint)
    node.send(detection(1))
    bench.until(lambda: not node.unacked, node, left_behind)
    assert bench.stored() == [0, 1]
    assert node.server_public == following.public
    assert not left_behind.connected
    bench.until(lambda: "it does not have the key that is pinned here" in left_behind.connection_problem, left_behind)


def test_what_is_too_much_at_once_comes_later_and_all_of_it(bench: Bench) -> None:
    keys = {name: pair() for name in "ab"}
    for name, key in keys.items():
        bench.enrol(name, key)
    bench.start(limit=RateLimit(rate_per_s=100.0, burst=50))
    busy, quiet = bench.node(keys["a"]), bench.node(keys["b"], "b")
    for sequence in range(600):
        busy.send(detection(sequence))
    quiet.send(detection(0, "b"))
    bench.until(lambda: not quiet.unacked, busy, quiet)  # the one does not cost the other
    bench.until(lambda: not busy.unacked, busy, quiet, step_s=0.02)
    assert bench.stored() == list(range(600))
    assert bench.stored("b") == [0]
    assert bench.intake.counters.rejects["rate_limited"] > 0
    assert busy.last_reject == (
        "rate_limited: node 'a' sends more than 100 messages a second; send the rest again later"
    )
    assert busy.counters.rejected < 60  # told about once a second, not for each message
    assert bench.history.reject_counts() == dict(bench.intake.counters.rejects)


def test_a_flood_is_not_looked_at(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    endpoint = bench.start(limit=RateLimit(rate_per_s=10.0, burst=20))
    with zmq.Context() as context, context.socket(zmq.DEALER) as rogue:
        rogue.linger = 0
        rogue.curve_publickey, rogue.curve_secretkey = key.public.encode(), key.secret.encode()
        rogue.curve_serverkey = bench.server.public.encode()
        rogue.connect(endpoint)
        for _ in range(500):
            rogue.send(b"\xc1 rubbish")
        bench.until(lambda: bench.intake.counters.messages == 500, step_s=0.0)
    rejects = bench.intake.counters.rejects
    assert (rejects["truncated"] + rejects["malformed"], rejects["rate_limited"]) == (20, 480)
    assert len(bench.history.rejects()) <= 2  # no row for each


def test_the_largest_message_passes_encrypted_and_a_larger_one_cuts_the_connection(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    endpoint = bench.start()
    with zmq.Context() as context, context.socket(zmq.DEALER) as node:
        node.linger = 0
        node.curve_publickey, node.curve_secretkey = key.public.encode(), key.secret.encode()
        node.curve_serverkey = bench.server.public.encode()
        monitor = node.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        node.connect(endpoint)
        node.send(bytes(MAX_MESSAGE_BYTES))
        bench.until(lambda: bench.intake.counters.messages == 1)
        node.send(bytes(MAX_MESSAGE_BYTES + 1))
        bench.until(lambda: monitor.poll(0))
        assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
        assert bench.intake.counters.messages == 1
        node.disable_monitor()
        monitor.close()


def test_a_node_is_not_sent_more_than_a_message_may_hold(bench: Bench) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as server:
        server.linger = 0
        server.curve_server, server.curve_secretkey = True, bench.server.secret.encode()
        server.bind("tcp://127.0.0.1:*")
        bench.receiver = None
        made = Publisher(
            server.get_string(zmq.LAST_ENDPOINT),
            spool=MemorySpool(),
            hello=lambda: Hello(
                node="a",
                boot=7,
                time_ns=1,
                software_version="0",
                model_id="m",
                sample_rate_hz=1,
                clock_state=ClockState.PPS,
            ),
            heartbeat=lambda _: Heartbeat(node="a", boot=7, time_ns=1, clock_state=ClockState.PPS),
            monotonic_s=lambda: bench.now_s,
            settings=PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.1),
            curve=CurveClientKeys(pair(), bench.server.public),
        )
        node = bench.stack.enter_context(made)
        bench.intake = Intake(bench.history, boot=1)
        bench.until(lambda: server.poll(0), node)
        peer, _ = server.recv_multipart()
        server.send_multipart([peer, bytes(MAX_MESSAGE_BYTES + 1)])
        bench.until(lambda: node.counters.disconnects == 1, node)
        assert node.counters.bad_messages == 0


def test_a_detection_from_the_future_is_refused_for_good_and_what_is_late_is_not(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    bench.start()
    node = bench.node(key)
    bench.until(lambda: node.connected, node)

    def dated(sequence: int, ahead_s: float, **changes: object) -> Detection:
        return detection(sequence, arrival_time_ns=bench.now_ns() + round(ahead_s * NS_PER_S), **changes)

    node.send(dated(0, 3.0))
    node.send(dated(1, 1.5))
    node.send(dated(2, -90.0))
    node.send(dated(3, 3600.0, clock_state=ClockState.UNTIMED))
    bench.until(lambda: not node.unacked, node, step_s=0.0)
    assert bench.stored() == [1, 2, 3]
    assert bench.intake.counters.rejects == {"in_future": 1}
    assert node.last_reject == (
        "in_future: dated 3.000 s after the server's time, expected at most 2 s; check the clock of the node, and that "
        "of the server"
    )
    assert node.counters.rejected == 1


def test_the_future_is_that_of_a_replay_in_a_replay(bench: Bench) -> None:
    recorded_ns = NOW_NS - 10**18
    intake = Intake(bench.history, boot=1, event_ns=lambda now_ns: recorded_ns + (now_ns - NOW_NS), future_limit_s=2.0)
    for sequence, ahead_s in enumerate((1.9, 2.1)):
        item = detection(sequence, arrival_time_ns=recorded_ns + round(ahead_s * NS_PER_S))
        intake.take(b"1", [encode(item)], now_ns=NOW_NS)
    assert [item.sequence for item in intake.commit(now_ns=NOW_NS).fresh] == [0]
    assert intake.counters.rejects == {RejectReason.IN_FUTURE: 1}


def test_a_node_without_keys_at_a_server_with_keys_says_so_and_keeps_trying(bench: Bench) -> None:
    endpoint = bench.start()
    node = Publisher(
        endpoint,
        spool=MemorySpool(),
        hello=lambda: pytest.fail("it is not let in"),
        heartbeat=lambda _: pytest.fail("it is not let in"),
        monotonic_s=lambda: bench.now_s,
        settings=PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.1),
    )
    bench.stack.enter_context(node)
    bench.until(lambda: node.connection_problem, node)
    assert "keys (key_file, server_key)" in node.connection_problem  # which end sees it first is a race
    assert bench.receiver is not None
    bench.receiver.close()
    bench.receiver = None
    bench.until(lambda: "nobody answers" in node.connection_problem, node)


def test_no_secret_in_what_can_be_printed(bench: Bench) -> None:
    key = pair()
    bench.enrol("a", key)
    bench.start()
    node = bench.node(key)
    node.send(detection(0))
    bench.until(lambda: not node.unacked, node)
    client = CurveClientKeys(key, bench.server.public)
    guard = CurveGuard(bench.server, WatchedAllowList(bench.list))
    shown = f"{client!r} {client} {guard!r} {guard} {key!r} {key} {vars(node)} {vars(bench.intake)} {node.counters}"
    shown += bench.list.read_text()
    for secret in (key.secret, bench.server.secret):
        assert secret not in shown


def test_nodes_come_back_apart_and_each_always_alike() -> None:
    keys = [pair().public for _ in range(200)]
    waits = [spread_waits_s(0.1, 15.0, key) for key in keys]
    assert waits == [spread_waits_s(0.1, 15.0, key) for key in keys]
    firsts, mosts = zip(*waits, strict=True)
    # Of 200 uniform ones the outermost tenths are empty once in 10^9 times.
    assert 0.1 <= min(firsts) < 0.11
    assert 0.19 < max(firsts) <= 0.2
    assert 7.5 <= min(mosts) < 8.25
    assert 14.25 < max(mosts) <= 15.0
    # A longest wait that is shorter than the first is the first.
    assert all(most_s >= first_s for first_s, most_s in (spread_waits_s(0.02, 0.02, key) for key in keys))
