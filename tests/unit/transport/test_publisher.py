from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
import zmq

from sensor_node.connection import CurveClientKeys
from sensor_node.diskspool import DiskSpool
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.spool import MemorySpool, SpoolCounts
from shotline.domain import ClockState
from shotline.errors import TransportError
from shotline.keyfiles import KeyPair
from shotline.messages import (
    Ack,
    ClipRequest,
    Detection,
    Heartbeat,
    Hello,
    LevelReference,
    Message,
    Reject,
    RejectReason,
    decode,
    encode,
)

Socket = zmq.Socket[bytes]

HELLO = Hello(
    node="a",
    boot=7,
    time_ns=1,
    software_version="0",
    model_id="m",
    sample_rate_hz=48_000,
    clock_state=ClockState.PPS,
)
PLAIN = Detection(
    node="a",
    boot=7,
    sequence=0,
    arrival_time_ns=1,
    arrival_sigma_ns=1,
    clock_state=ClockState.PPS,
    probabilities_bp=(),
    peak_level_db=-1.0,
    level_reference=LevelReference.DBFS,
    snr_db=20.0,
    rise_time_s=0.001,
    model_id="m",
)


def detection(sequence: int) -> Detection:
    return msgspec.structs.replace(PLAIN, sequence=sequence)


def heartbeat(counts: SpoolCounts) -> Heartbeat:
    return Heartbeat(node="a", boot=7, time_ns=1, clock_state=ClockState.PPS, unacked=counts.unacked)


class Clock:
    """A monotonic clock that stands still until it is told."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Server:
    """A ROUTER that writes down what it hears and says what a test tells it to."""

    def __init__(self, context: zmq.Context[Socket], endpoint: str = "tcp://127.0.0.1:*") -> None:
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.endpoint = self.socket.get_string(zmq.LAST_ENDPOINT)
        self.heard: list[Message] = []
        self.peer = b""

    def listen(self) -> None:
        while self.socket.poll(0):
            self.peer, data = self.socket.recv_multipart()
            self.heard.append(decode(data))

    def say(self, message: Message) -> None:
        self.socket.send_multipart([self.peer, encode(message)])

    def detections(self) -> list[int]:
        return [message.sequence for message in self.heard if isinstance(message, Detection)]


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    with zmq.Context() as made:
        yield made


@pytest.fixture
def server(context: zmq.Context[Socket]) -> Iterator[Server]:
    made = Server(context)
    yield made
    made.socket.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def spool() -> MemorySpool:
    return MemorySpool()


@pytest.fixture
def publisher(server: Server, clock: Clock, spool: MemorySpool) -> Iterator[Publisher]:
    settings = PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.02, window=8)
    with Publisher(
        server.endpoint, spool=spool, hello=lambda: HELLO, heartbeat=heartbeat, monotonic_s=clock, settings=settings
    ) as made:
        yield made


def until(publisher: Publisher, server: Server, condition: Callable[[], object]) -> None:
    """Let both sides speak until the condition holds; the clock stands still meanwhile."""
    for _ in range(2_000):
        publisher.poll(1)
        server.listen()
        if condition():
            return
        server.socket.poll(1)
    raise AssertionError(f"in vain; the server heard {server.heard}, {publisher.counters}")


def test_hello_then_heartbeat_then_what_waits(publisher: Publisher, server: Server) -> None:
    publisher.send(detection(0))
    until(publisher, server, lambda: len(server.heard) == 3)
    assert server.heard == [HELLO, heartbeat(SpoolCounts(unacked=1, rejected=0)), detection(0)]
    assert publisher.connected
    assert publisher.connection_problem == ""


def test_an_ack_settles_it(publisher: Publisher, server: Server, spool: MemorySpool, clock: Clock) -> None:
    publisher.send(detection(0))
    until(publisher, server, server.detections)
    clock.now_s = 100.4  # before the detection would be sent again, however late the ack is read
    server.say(Ack(boot=7, sequences=(0,)))
    until(publisher, server, lambda: not publisher.unacked)
    assert spool.counts() == SpoolCounts(0, 0)
    assert publisher.counters.acked == 1
    assert publisher.server_heard_s == 100.4
    clock.now_s = 1_000.0
    until(publisher, server, lambda: publisher.counters.heartbeats_sent == 2)
    assert server.detections() == [0]


def test_what_is_not_acknowledged_is_sent_again_ever_more_seldom(
    publisher: Publisher, server: Server, clock: Clock
) -> None:
    publisher.send(detection(0))
    until(publisher, server, server.detections)
    sent_s = [0.0]
    for _ in range(500):
        clock.now_s += 0.1
        before = publisher.counters.resent
        publisher.poll(0)
        if publisher.counters.resent > before:
            sent_s.append(clock.now_s - 100.0)
    gaps_s = [later - earlier for earlier, later in pairwise(sent_s)]
    # Steps of the clock are 0.1 s, so each gap is at most that much longer than asked for.
    for gap_s, asked_s in zip(gaps_s, [2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0], strict=False):
        assert asked_s - 1e-9 <= gap_s <= asked_s + 0.1 + 1e-9
    assert len(gaps_s) >= 7
    until(publisher, server, lambda: len(server.detections()) == len(sent_s))


def test_a_burst_is_sent_as_far_as_the_window_and_then_as_acks_come(publisher: Publisher, server: Server) -> None:
    until(publisher, server, lambda: publisher.connected and server.heard)
    for sequence in range(40):
        publisher.send(detection(sequence))
    assert publisher.counters.sent == 16
    until(publisher, server, lambda: len(server.detections()) == 16)
    assert publisher.poll(0) == 0
    assert publisher.counters.sent == 16
    server.say(Ack(boot=7, sequences=tuple(range(12))))
    until(publisher, server, lambda: len(server.detections()) == 20)
    server.say(Ack(boot=7, sequences=tuple(range(12, 20))))
    until(publisher, server, lambda: len(server.detections()) == 28)
    assert server.detections() == list(range(28))


def test_a_full_window_does_not_make_poll_spin(publisher: Publisher, server: Server) -> None:
    until(publisher, server, lambda: publisher.connected and server.heard)
    for sequence in range(40):
        publisher.send(detection(sequence))
    until(publisher, server, lambda: len(server.detections()) == 16)
    assert publisher.next_due_s() > 100.0


def test_everything_unacknowledged_goes_to_the_server_that_comes_back(
    publisher: Publisher, server: Server, context: zmq.Context[Socket]
) -> None:
    for sequence in range(3):
        publisher.send(detection(sequence))
    until(publisher, server, lambda: len(server.detections()) == 3)
    server.say(Ack(boot=7, sequences=(1,)))
    until(publisher, server, lambda: publisher.unacked == 2)
    server.socket.close()
    for _ in range(2_000):
        publisher.poll(1)
        if not publisher.connected:
            break
    assert publisher.connection_problem.startswith(server.endpoint)
    publisher.send(detection(3))
    again = Server(context, server.endpoint)
    until(publisher, again, lambda: len(again.detections()) == 3)
    assert again.heard[0] == HELLO
    assert again.detections() == [0, 2, 3]
    assert (publisher.counters.connects, publisher.counters.disconnects) == (2, 1)
    again.socket.close()


def test_a_reject_is_set_apart_and_not_sent_again(
    publisher: Publisher, server: Server, spool: MemorySpool, clock: Clock
) -> None:
    for sequence in range(2):
        publisher.send(detection(sequence))
    until(publisher, server, lambda: len(server.detections()) == 2)
    server.say(Reject(reason=RejectReason.MALFORMED, detail="no", boot=7, sequence=0))
    server.say(Reject(reason=RejectReason.STORAGE_UNAVAILABLE, detail="full", boot=7, sequence=1))
    server.say(Reject(reason=RejectReason.TRUNCATED, detail="whose?"))
    until(publisher, server, lambda: publisher.counters.rejected == 3)
    assert spool.counts() == SpoolCounts(unacked=1, rejected=1)
    assert publisher.last_reject == "truncated: whose?"
    clock.now_s += 2.5
    until(publisher, server, lambda: len(server.detections()) == 3)
    assert server.detections() == [0, 1, 1]


def test_heartbeats_go_out_in_time_and_those_that_come_are_counted(
    publisher: Publisher, server: Server, clock: Clock
) -> None:
    until(publisher, server, lambda: publisher.counters.heartbeats_sent == 1 and server.heard)
    clock.now_s += 4.9
    publisher.poll(0)
    assert publisher.counters.heartbeats_sent == 1
    clock.now_s += 0.2
    publisher.poll(0)
    assert publisher.counters.heartbeats_sent == 2
    server.say(Heartbeat(node="server", boot=1, time_ns=1, clock_state=ClockState.NTP))
    until(publisher, server, lambda: publisher.counters.heartbeats_received == 1)


def test_bad_bytes_and_other_messages_are_counted(publisher: Publisher, server: Server) -> None:
    until(publisher, server, lambda: server.heard)
    server.socket.send_multipart([server.peer, b"\xc1"])
    server.say(ClipRequest(node="a", boot=7, sequence=0, incident_id="i"))
    until(publisher, server, lambda: publisher.counters.bad_messages == 2)


def test_drain_waits_for_the_last_ack_or_the_deadline(publisher: Publisher, server: Server, clock: Clock) -> None:
    assert publisher.drain(clock.now_s) is True
    publisher.send(detection(0))
    assert publisher.drain(clock.now_s) is False
    until(publisher, server, server.detections)
    server.say(Ack(boot=7, sequences=(0,)))
    assert publisher.drain(clock.now_s + 60.0) is True


def test_when_the_disk_fails_it_is_sent_all_the_same_and_written_when_there_is_room(
    server: Server, clock: Clock, tmp_path: Path
) -> None:
    settings = PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.02)
    with (
        DiskSpool(tmp_path / "spool.db") as spool,
        Publisher(
            server.endpoint, spool=spool, hello=lambda: HELLO, heartbeat=heartbeat, monotonic_s=clock, settings=settings
        ) as publisher,
    ):
        until(publisher, server, lambda: publisher.connected and server.heard)
        assert spool._file is not None
        db = spool._file._db
        db.execute(f"PRAGMA max_page_count={db.execute('PRAGMA page_count').fetchone()[0]}")
        for sequence in range(40):  # more than fit on the pages that are there
            publisher.send(detection(sequence))
        assert spool.problem.startswith(f"spool {tmp_path / 'spool.db'}: the disk is full")
        in_memory = spool.counts().in_memory
        assert 0 < in_memory <= 40
        assert publisher.unacked == 40
        until(publisher, server, lambda: server.detections() == list(range(40)))
        server.say(Ack(boot=7, sequences=(0, 39)))
        until(publisher, server, lambda: publisher.unacked == 38)
        db.execute("PRAGMA max_page_count=1000")
        clock.now_s += 10.0  # the next heartbeat finds the disk well again
        publisher.poll(0)
        assert (spool.counts().in_memory, spool.problem, publisher.unacked) == (0, "", 38)
        assert [item.sequence for item in spool.unacked(100)] == list(range(1, 39))


def test_heartbeats_that_nobody_could_hear_are_counted_and_not_kept(
    publisher: Publisher, server: Server, spool: MemorySpool, clock: Clock
) -> None:
    # First connected: else it may come up just before the server is gone, and lose one heartbeat less.
    until(publisher, server, lambda: publisher.connected and server.heard)
    server.socket.close()
    for _ in range(1_000):
        if not publisher.connected:
            break
        time.sleep(0.01)
        publisher.poll(0)
    assert publisher.connected is False
    before = spool.counts().dropped_heartbeats
    for _ in range(3):
        clock.now_s += 5.1
        publisher.poll(0)
    assert spool.counts().dropped_heartbeats - before == 3


@pytest.mark.parametrize("burst", [1, 100])
def test_what_is_fresh_waits_for_few_messages_of_a_long_drain(
    publisher: Publisher, server: Server, spool: MemorySpool, burst: int
) -> None:
    old = 10_000
    for sequence in range(old):
        spool.append(detection(sequence))
    acked = 0

    def answer() -> bool:
        nonlocal acked
        heard = server.detections()
        if len(heard) > acked:
            server.say(Ack(boot=7, sequences=tuple(heard[acked:])))
            acked = len(heard)
        return acked >= 200

    until(publisher, server, answer)
    before = len(server.detections())
    for sequence in range(old, old + burst):
        publisher.send(detection(sequence))
    until(publisher, server, lambda: [answer(), old + burst - 1 in server.detections()][1])
    heard = server.detections()
    # What was on its way, twice the window of 8 at most; what the server had not read yet, a window more; and two
    # messages for each one of the burst.
    assert heard.index(old + burst - 1) - before <= 3 * 8 + 2 * burst
    drained = [sequence for sequence in heard if sequence < old - 2]  # the last two count as fresh from the start
    assert drained == sorted(drained)
    assert heard.index(old - 1) < 8


def test_everything_is_drained_once_with_fresh_ones_coming_in(
    publisher: Publisher, server: Server, spool: MemorySpool
) -> None:
    for sequence in range(300):
        spool.append(detection(sequence))
    acked, made = 0, 300

    def answer() -> bool:
        nonlocal acked, made
        heard = server.detections()
        if len(heard) > acked:
            server.say(Ack(boot=7, sequences=tuple(heard[acked:])))
            acked = len(heard)
            if made < 400:
                publisher.send(detection(made))
                made += 1
        return made == 400 and not publisher.unacked

    until(publisher, server, answer)
    assert sorted(server.detections()) == list(range(made))


def test_an_address_that_cannot_be_says_how_to_write_it(spool: MemorySpool, clock: Clock) -> None:
    with pytest.raises(TransportError, match=r"cannot connect to 'server:5570' .*; write it like tcp://server"):
        Publisher("server:5570", spool=spool, hello=lambda: HELLO, heartbeat=heartbeat, monotonic_s=clock)


def test_nobody_there_is_said_in_plain_words(spool: MemorySpool, clock: Clock, context: zmq.Context[Socket]) -> None:
    with Server(context).socket as gone:
        endpoint = gone.get_string(zmq.LAST_ENDPOINT)
    settings = PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.02)
    with Publisher(
        endpoint, spool=spool, hello=lambda: HELLO, heartbeat=heartbeat, monotonic_s=clock, settings=settings
    ) as publisher:
        for _ in range(2_000):
            publisher.poll(1)
            if "nobody" in publisher.connection_problem:  # the old listener may linger a moment
                break
        assert (
            publisher.connection_problem == f"{endpoint}: nobody answers; is the server running, is the address right?"
        )


def test_curve_keys_are_not_in_a_repr_and_a_wrong_server_key_is_explained(
    spool: MemorySpool, clock: Clock, context: zmq.Context[Socket]
) -> None:
    server_public, server_secret = zmq.curve_keypair()
    socket = context.socket(zmq.ROUTER)
    socket.linger = 0
    socket.curve_server = True
    socket.curve_secretkey = server_secret
    socket.bind("tcp://127.0.0.1:*")
    endpoint = socket.get_string(zmq.LAST_ENDPOINT)
    public, secret = (half.decode() for half in zmq.curve_keypair())
    other_public, _ = zmq.curve_keypair()
    settings = PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.02)
    for server_key, connects in ((server_public, True), (other_public, False)):
        keys = CurveClientKeys(KeyPair(public, secret), server_key.decode())
        assert secret not in repr(keys)
        with Publisher(
            endpoint,
            spool=spool,
            hello=lambda: HELLO,
            heartbeat=heartbeat,
            monotonic_s=clock,
            settings=settings,
            curve=keys,
        ) as publisher:
            for _ in range(500):
                publisher.poll(1)
                if publisher.connected or publisher.connection_problem:
                    break
            assert publisher.connected is connects
            assert ("it does not have the key that is pinned here" in publisher.connection_problem) is not connects
    socket.close()


def _slow_down(publisher: Publisher, server: Server, clock: Clock) -> None:
    """Have the server acknowledge one detection at once and the next ten seconds late: the window of 8 is halved."""
    for sequence, late_s in enumerate((0.0, 10.0)):
        publisher.send(detection(sequence))
        until(publisher, server, lambda: len(server.detections()) > sequence)  # noqa: B023
        clock.now_s += late_s
        server.say(Ack(boot=7, sequences=(sequence,)))
        until(publisher, server, lambda: not publisher.unacked)
    server.heard.clear()


@pytest.mark.parametrize(("is_shot", "expected"), [(True, [11, 10]), (False, [13, 10])])
def test_while_the_server_is_behind_less_is_on_its_way_and_the_latest_goes_first(
    publisher: Publisher, server: Server, clock: Clock, *, is_shot: bool, expected: list[int]
) -> None:
    until(publisher, server, lambda: publisher.counters.heartbeats_sent)
    _slow_down(publisher, server, clock)
    other = msgspec.structs.replace(
        detection(11), probabilities_bp=(9_000 if is_shot else 100, 200, 200, 200, 200, 200)
    )
    for item in (*map(detection, range(2, 11)), other, detection(12), detection(13)):
        publisher.send(item)
    # Eight at once, twice the window of four. Three that are acknowledged at once open it by one each, so that there is
    # room for two: the likely shot or else the latest, and the oldest.
    until(publisher, server, lambda: server.detections() == list(range(2, 10)))
    server.say(Ack(boot=7, sequences=(2, 3, 4)))
    until(publisher, server, lambda: len(server.detections()) == 10)
    assert server.detections()[8:] == expected


def test_while_the_server_is_behind_nothing_is_sent_again_in_haste(
    publisher: Publisher, server: Server, clock: Clock
) -> None:
    until(publisher, server, lambda: publisher.counters.heartbeats_sent)
    _slow_down(publisher, server, clock)
    resent = publisher.counters.resent
    publisher.send(detection(2))
    until(publisher, server, lambda: server.detections() == [2])
    clock.now_s += 39.0
    publisher.poll(0)
    assert publisher.counters.resent == resent
    clock.now_s += 2.0
    publisher.poll(0)
    assert publisher.counters.resent == resent + 1
