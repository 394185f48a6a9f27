"""Clips on their way: after detections, one part at a time, dropped with the connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import zmq

from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.spool import MemorySpool, SpoolCounts
from shotline.domain import ClockState
from shotline.messages import (
    Clip,
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

HELLO = Hello(
    node="a", boot=7, time_ns=1, software_version="0", model_id="m", sample_rate_hz=48_000, clock_state=ClockState.PPS
)


def detection(sequence: int) -> Detection:
    return Detection(
        node="a",
        boot=7,
        sequence=sequence,
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


def heartbeat(counts: SpoolCounts) -> Heartbeat:
    return Heartbeat(node="a", boot=7, time_ns=1, clock_state=ClockState.PPS, unacked=counts.unacked)


def clip(part: int, parts: int) -> Clip:
    return Clip(
        node="a",
        boot=7,
        sequence=0,
        incident_id="i",
        start_time_ns=1,
        sample_rate_hz=48_000,
        part=part,
        parts=parts,
        sha256=bytes(32),
        flac=b"fLaC",
    )


class Bench:
    """A publisher, and a ROUTER that writes down what it hears; the clock goes when told."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self.now_s = 100.0
        self.heard: list[Message] = []
        self.answers: dict[int, tuple[Clip, ...] | Reject] = {}
        self.context = context
        self.peer = b""
        self.bind("tcp://127.0.0.1:*")
        self.publisher = Publisher(
            self.endpoint,
            spool=MemorySpool(),
            hello=lambda: HELLO,
            heartbeat=heartbeat,
            monotonic_s=lambda: self.now_s,
            settings=PublisherSettings(reconnect_s=0.01, reconnect_most_s=0.02, window=8),
            clip_request=lambda request: self.answers[request.sequence],
        )

    def bind(self, endpoint: str) -> None:
        self.socket = self.context.socket(zmq.ROUTER)
        self.socket.linger = 0
        self.socket.bind(endpoint)
        self.endpoint = self.socket.get_string(zmq.LAST_ENDPOINT)

    def listen(self) -> None:
        while self.socket.poll(0):
            self.peer, data = self.socket.recv_multipart()
            self.heard.append(decode(data))

    def say(self, message: Message) -> None:
        self.socket.send_multipart([self.peer, encode(message)])

    def ask(self, sequence: int) -> None:
        self.say(ClipRequest(node="a", boot=7, sequence=sequence, incident_id="i"))

    def until(self, condition: Callable[[], object], *, step_s: float = 0.0) -> None:
        for _ in range(2_000):
            self.now_s += step_s
            self.publisher.poll(1)
            self.listen()
            if condition():
                return
            self.socket.poll(1)
        raise AssertionError(f"in vain; heard {self.heard}, {self.publisher.counters}")

    def clips(self) -> list[int]:
        return [message.part for message in self.heard if isinstance(message, Clip)]


@pytest.fixture
def bench() -> Iterator[Bench]:
    with zmq.Context() as context:
        made = Bench(context)
        made.until(lambda: len(made.heard) == 2)
        yield made
        made.publisher.close()
        made.socket.close()


def test_the_parts_of_a_clip_go_out_in_order_one_at_a_time(bench: Bench) -> None:
    bench.answers[0] = tuple(clip(part, 3) for part in range(3))
    bench.ask(0)
    bench.until(lambda: bench.publisher.counters.clip_parts_sent == 1)
    for _ in range(20):
        bench.publisher.poll(0)
    assert bench.publisher.counters.clip_parts_sent == 1
    assert bench.publisher.next_due_s() == pytest.approx(bench.now_s + 0.05)
    bench.until(lambda: bench.clips() == [0, 1, 2], step_s=0.05)
    assert bench.publisher.counters.clip_requests == 1
    assert bench.publisher.counters.bad_messages == 0


def test_detections_overtake_a_clip(bench: Bench) -> None:
    bench.answers[0] = tuple(clip(part, 9) for part in range(9))
    bench.ask(0)
    bench.until(lambda: bench.clips() == [0])
    for sequence in range(8):
        bench.publisher.send(detection(sequence))
    bench.until(lambda: sum(isinstance(message, Detection) for message in bench.heard) == 8)
    assert bench.clips() == [0]
    bench.until(lambda: len(bench.clips()) == 9, step_s=0.05)


def test_a_refusal_is_said_and_counted(bench: Bench) -> None:
    bench.answers[3] = Reject(reason=RejectReason.CLIPS_OFF, detail="off", boot=7, sequence=3)
    bench.ask(3)
    bench.until(lambda: bench.heard[-1] == bench.answers[3])
    assert bench.publisher.counters.clips_refused == 1


def test_what_waits_is_bounded(bench: Bench) -> None:
    bench.answers[0] = tuple(clip(part, 40) for part in range(40))
    for _ in range(5):
        bench.ask(0)
    bench.until(lambda: bench.publisher.counters.clip_requests == 5)
    assert bench.publisher.counters.clip_requests_dropped == 3
    assert len(bench.publisher._clip_parts) + bench.publisher.counters.clip_parts_sent == 80


def test_what_waits_is_dropped_with_the_connection(bench: Bench) -> None:
    bench.answers[0] = tuple(clip(part, 5) for part in range(5))
    bench.ask(0)
    bench.until(lambda: bench.clips() == [0])
    bench.socket.close()
    for _ in range(2_000):
        bench.publisher.poll(1)
        if not bench.publisher.connected:
            break
    assert bench.publisher.counters.clip_parts_dropped == 4
    bench.heard.clear()
    bench.bind(bench.endpoint)
    bench.until(lambda: len(bench.heard) >= 2)
    assert bench.clips() == []


def test_a_server_that_wants_a_pause_gets_no_parts(bench: Bench) -> None:
    bench.answers[0] = tuple(clip(part, 2) for part in range(2))
    bench.say(Reject(reason=RejectReason.RATE_LIMITED, detail="slower"))
    bench.ask(0)
    bench.until(lambda: bench.publisher.counters.clip_requests == 1)
    assert bench.publisher.counters.clip_parts_sent == 0
    bench.until(lambda: len(bench.clips()) == 2, step_s=0.3)
