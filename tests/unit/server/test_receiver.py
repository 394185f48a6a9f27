from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
import pytest
import zmq
from server_samples import EPOCH_NS, SECOND_NS, detection, heartbeat, hello
from zmq.utils.monitor import recv_monitor_message

from fusion_server.health import NodeReport
from fusion_server.history import History, NodeStatus
from fusion_server.receiver import Intake, Receiver
from shotline.domain import CheckStatus, ClockState
from shotline.errors import StorageError, TransportError
from shotline.health import Check
from shotline.messages import (
    MAX_FRAME_BYTES,
    MAX_MESSAGE_BYTES,
    Ack,
    ClipRequest,
    HealthItem,
    Heartbeat,
    Message,
    Reject,
    RejectReason,
    decode,
    encode,
)

NOW_NS = EPOCH_NS


@pytest.fixture
def history(quick_database_url: str) -> Iterator[History]:
    with History.open(quick_database_url) as opened:
        yield opened


@pytest.fixture
def intake(history: History) -> Intake:
    taken = Intake(history, boot=5, heartbeat_s=2.0, forget_s=10.0)
    taken.commit(now_ns=NOW_NS)
    return taken


def said(replies: tuple[tuple[bytes, bytes], ...]) -> list[tuple[bytes, Message]]:
    return [(peer, decode(data)) for peer, data in replies]


def test_detections_are_acknowledged_after_the_commit_by_peer_and_boot(intake: Intake, history: History) -> None:
    for peer, item in (
        (b"1", detection(0)),
        (b"2", detection(0, node="b", boot=8)),
        (b"1", detection(1)),
        (b"1", detection(0, boot=9)),
    ):
        intake.take(peer, [encode(item)], now_ns=NOW_NS)
    assert history.counts().detections == 0
    taken = intake.commit(now_ns=NOW_NS)
    assert taken.fresh == (detection(0), detection(0, node="b", boot=8), detection(1), detection(0, boot=9))
    assert said(taken.replies) == [
        (b"1", Ack(boot=7, sequences=(0, 1))),
        (b"2", Ack(boot=8, sequences=(0,))),
        (b"1", Ack(boot=9, sequences=(0,))),
    ]
    assert history.counts().detections == 4
    assert intake.commit(now_ns=NOW_NS).replies == ()


def test_a_duplicate_is_acknowledged_and_is_not_fresh(intake: Intake) -> None:
    for _ in range(2):
        intake.take(b"1", [encode(detection(0))], now_ns=NOW_NS)
    taken = intake.commit(now_ns=NOW_NS)
    assert taken.fresh == (detection(0),)
    assert said(taken.replies) == [(b"1", Ack(boot=7, sequences=(0, 0)))]
    intake.take(b"2", [encode(detection(0))], now_ns=NOW_NS)
    taken = intake.commit(now_ns=NOW_NS)
    assert taken.fresh == ()
    assert said(taken.replies) == [(b"2", Ack(boot=7, sequences=(0,)))]
    assert (intake.counters.fresh, intake.counters.duplicates) == (1, 2)


def test_the_same_with_fields_appended_by_a_newer_node_is_a_duplicate(intake: Intake) -> None:
    plain = encode(detection(0))
    longer = msgspec.msgpack.encode([*msgspec.msgpack.decode(plain), "later"])
    for data in (plain, longer):
        intake.take(b"1", [data], now_ns=NOW_NS)
        assert said(intake.commit(now_ns=NOW_NS).replies) == [(b"1", Ack(boot=7, sequences=(0,)))]


def test_other_content_under_the_same_identity_is_rejected_and_kept(intake: Intake, history: History) -> None:
    other = detection(0, snr_db=1.0)
    intake.take(b"1", [encode(detection(0))], now_ns=NOW_NS)
    intake.commit(now_ns=NOW_NS)
    intake.take(b"1", [encode(other)], now_ns=NOW_NS)
    taken = intake.commit(now_ns=NOW_NS)
    detail = "detection a/7/0 is kept already with other content; identities are never reused"
    assert taken.fresh == ()
    assert said(taken.replies) == [
        (b"1", Reject(reason=RejectReason.CONFLICTING_DUPLICATE, detail=detail, boot=7, sequence=0))
    ]
    assert list(history.detections(0)) == [detection(0)]
    assert [(item.reason, item.raw) for item in history.rejects()] == [("conflicting_duplicate", encode(other))]


def test_the_slowest_node_that_is_there_sets_the_delay(intake: Intake) -> None:
    for node, delay_s in (("a", 0.0), ("b", 2.25), ("c", 1.5)):
        intake.take(node.encode(), [encode(hello(node, report_delay_s=delay_s))], now_ns=NOW_NS)
    assert intake.report_delay_s == 2.25
    # A node that was set up anew, and one that is gone.
    intake.take(b"b", [encode(hello("b", report_delay_s=0.5))], now_ns=NOW_NS + SECOND_NS)
    intake.commit(now_ns=NOW_NS + 3 * SECOND_NS)
    assert intake.report_delay_s == 1.5
    intake.take(b"b", [encode(heartbeat("b"))], now_ns=NOW_NS + 9 * SECOND_NS)
    intake.commit(now_ns=NOW_NS + 11 * SECOND_NS)
    assert intake.report_delay_s == 0.5


def test_a_long_ack_is_parted(intake: Intake) -> None:
    for sequence in range(4_100):
        intake.take(b"1", [encode(detection(sequence))], now_ns=NOW_NS)
    acks = [message for _, message in said(intake.commit(now_ns=NOW_NS).replies)]
    assert [len(ack.sequences) for ack in acks if isinstance(ack, Ack)] == [4_096, 4]


def changed(index: int, value: object) -> bytes:
    fields = msgspec.msgpack.decode(encode(detection(3)))
    fields[index] = value
    return msgspec.msgpack.encode(fields)


CLIP_REQUEST = ClipRequest(node="a", boot=1, sequence=2, incident_id="i")


@pytest.mark.parametrize(
    ("frames", "reason", "detail", "identity"),
    [
        ([b""], RejectReason.TRUNCATED, "0 bytes end or break inside a message", (None, None)),
        ([], RejectReason.MALFORMED, "message of 0 frames, expected one", (None, None)),
        ([b"a", b"b"], RejectReason.MALFORMED, "message of 2 frames, expected one", (None, None)),
        ([encode(detection(3))[:-1]], RejectReason.TRUNCATED, "end or break inside", (None, None)),
        ([bytes(MAX_MESSAGE_BYTES + 1)], RejectReason.TOO_LARGE, "message of 65537 bytes", (None, None)),
        ([changed(1, 2)], RejectReason.UNSUPPORTED_VERSION, "schema version 2, this reader knows 1", (7, 3)),
        ([changed(9, 251.0)], RejectReason.MALFORMED, "at `$[9]`", (7, 3)),
        ([changed(4, -1)], RejectReason.MALFORMED, "at `$[4]`", (None, None)),
        ([changed(4, True)], RejectReason.MALFORMED, "at `$[4]`", (None, None)),
        ([changed(4, "x")], RejectReason.MALFORMED, "at `$[4]`", (None, None)),
        ([b"\x91" * 60_000], RejectReason.MALFORMED, "arrays within arrays, deeper than any", (None, None)),
        ([encode(CLIP_REQUEST)], RejectReason.UNEXPECTED_MESSAGE, "ClipRequest, which a server does not", (None, None)),
        ([encode(Ack(boot=1, sequences=()))], RejectReason.UNEXPECTED_MESSAGE, "Ack, which a server", (None, None)),
    ],
)
def test_what_cannot_be_taken_is_counted_kept_and_answered(
    intake: Intake,
    history: History,
    frames: list[bytes],
    reason: RejectReason,
    detail: str,
    identity: tuple[int | None, int | None],
) -> None:
    intake.take(b"1", frames, now_ns=NOW_NS)
    taken = intake.commit(now_ns=NOW_NS)
    assert taken.fresh == ()
    ((peer, reject),) = said(taken.replies)
    assert peer == b"1"
    assert isinstance(reject, Reject)
    assert (reject.reason, reject.boot, reject.sequence) == (reason, *identity)
    assert detail in reject.detail
    assert history.reject_counts() == {reason.value: 1} == dict(intake.counters.rejects)


def test_a_reject_is_not_answered_so_that_two_servers_do_not_quarrel(intake: Intake) -> None:
    intake.take(b"1", [encode(Reject(reason=RejectReason.MALFORMED, detail=""))], now_ns=NOW_NS)
    assert intake.commit(now_ns=NOW_NS).replies == ()
    assert intake.counters.rejects == {"unexpected_message": 1}


def test_a_request_socket_may_put_an_empty_frame_before(intake: Intake) -> None:
    intake.take(b"1", [b"", encode(detection(0))], now_ns=NOW_NS)
    assert intake.commit(now_ns=NOW_NS).fresh == (detection(0),)


def test_nothing_is_acknowledged_when_the_commit_fails(
    intake: Intake, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> list[bool]:
        raise StorageError("history.db: the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(history, "store", full)
        patch.setattr(history, "count_rejects", full)
        intake.take(b"1", [encode(detection(0))], now_ns=NOW_NS)
        intake.take(b"1", [b""], now_ns=NOW_NS)
        taken = intake.commit(now_ns=NOW_NS)
        assert taken.fresh == ()
        assert [type(message) for _, message in said(taken.replies)] == [Reject]
        assert intake.storage_problem == "history.db: the disk is full"
        assert intake.counters.uncommitted == 1
    intake.take(b"1", [encode(detection(0))], now_ns=NOW_NS)
    intake.take(b"1", [b""], now_ns=NOW_NS)
    assert intake.commit(now_ns=NOW_NS).fresh == (detection(0),)
    assert intake.storage_problem == ""
    # What was rejected meanwhile is counted now.
    assert history.reject_counts() == {"truncated": 2} == dict(intake.counters.rejects)


def test_hello_is_answered_at_once_and_live_peers_get_heartbeats(intake: Intake) -> None:
    beat = Heartbeat(node="server", boot=5, time_ns=NOW_NS, clock_state=ClockState.NTP)
    intake.take(b"1", [encode(hello())], now_ns=NOW_NS)
    intake.take(b"2", [encode(heartbeat("b"))], now_ns=NOW_NS)
    assert said(intake.commit(now_ns=NOW_NS).replies) == [(b"1", beat)]
    assert intake.peers == 2
    assert intake.commit(now_ns=NOW_NS + 2 * SECOND_NS - 1).replies == ()
    later_ns = NOW_NS + 2 * SECOND_NS
    later = msgspec.structs.replace(beat, time_ns=later_ns)
    assert said(intake.commit(now_ns=later_ns).replies) == [(b"1", later), (b"2", later)]
    intake.forget(b"2")
    intake.forget(b"nobody")
    assert [peer for peer, _ in intake.commit(now_ns=NOW_NS + 4 * SECOND_NS).replies] == [b"1"]
    assert intake.commit(now_ns=NOW_NS + 10 * SECOND_NS).replies == ()
    assert intake.peers == 0


def test_many_peers_get_their_heartbeats_a_part_at_a_time_and_each_once_a_round(intake: Intake) -> None:
    def told(now_ns: int) -> list[bytes]:
        answers = said(intake.commit(now_ns=now_ns).replies)
        assert all(isinstance(message, Heartbeat) and message.time_ns == now_ns for _, message in answers)
        return [peer for peer, _ in answers]

    peers = [b"%d" % number for number in range(150)]
    for peer in peers:
        intake.take(peer, [encode(heartbeat())], now_ns=NOW_NS)
    round_ns = NOW_NS + 2 * SECOND_NS
    parts = [told(round_ns + step) for step in range(5)]
    assert [len(part) for part in parts] == [64, 64, 22, 0, 0]
    assert [peer for part in parts for peer in part] == peers
    # A server too busy for a whole round goes on with those that it left out, who are not told twice.
    assert told(NOW_NS + 4 * SECOND_NS) == peers[:64]
    assert told(NOW_NS + 6 * SECOND_NS) == peers[64:128]
    assert told(NOW_NS + 6 * SECOND_NS + 1) == [*peers[128:], *peers[:42]]


def test_a_clock_set_back_does_not_stop_heartbeats(intake: Intake) -> None:
    before_ns = NOW_NS - 3600 * SECOND_NS
    intake.take(b"1", [encode(heartbeat())], now_ns=before_ns)
    assert [peer for peer, _ in intake.commit(now_ns=before_ns).replies] == [b"1"]


def test_what_a_node_says_of_itself_is_kept(intake: Intake) -> None:
    items = (HealthItem("rate", CheckStatus.OK, "", -31.5), HealthItem("voltage", CheckStatus.FAIL, "too weak"))
    word = msgspec.structs.replace(heartbeat(), health=items, dropped_detections=3, dropped_heartbeats=9)
    assert intake.node_reports() == {}
    intake.take(b"1", [encode(word)], now_ns=NOW_NS)
    intake.take(b"2", [encode(heartbeat("b"))], now_ns=NOW_NS + 1)
    reports = intake.node_reports()
    assert reports == {"a": NodeReport(NOW_NS, items, 3, 9), "b": NodeReport(NOW_NS + 1, (), 0, 0)}
    assert reports["a"].checks == (
        Check("rate", CheckStatus.OK, "", {"offset_ppm": -31.5}),
        Check("voltage", CheckStatus.FAIL, "too weak"),
    )
    assert (reports["a"].status, reports["b"].status) == (CheckStatus.FAIL, None)
    intake.take(b"1", [encode(heartbeat())], now_ns=NOW_NS + 2)
    assert intake.node_reports()["a"] == NodeReport(NOW_NS + 2, (), 0, 0)


def test_the_last_word_of_each_node_is_kept(intake: Intake, history: History) -> None:
    intake.take(b"1", [encode(hello())], now_ns=NOW_NS + 1)
    intake.take(b"1", [encode(heartbeat())], now_ns=NOW_NS + 2)
    intake.take(b"1", [encode(detection(0))], now_ns=NOW_NS + 3)
    intake.take(b"2", [encode(detection(0, node="b", boot=9))], now_ns=NOW_NS + 4)
    intake.commit(now_ns=NOW_NS + 4)
    assert history.node_statuses() == []
    intake.commit(now_ns=NOW_NS + 2 * SECOND_NS)
    full = NodeStatus(
        "a",
        7,
        NOW_NS + 3,
        NOW_NS + 1,
        NOW_NS + 2,
        "0.1.0",
        "impulse-rules-1",
        48_000,
        ClockState.PPS,
        30,
        12,
        3,
        64,
        -61.5,
    )
    assert history.node_statuses() == [full, NodeStatus("b", 9, NOW_NS + 4)]
    assert intake.last_heard_ns() == {"a": NOW_NS + 3, "b": NOW_NS + 4}
    assert intake.clock_states() == {"a": "pps"}
    restarted = Intake(history, boot=6)
    assert restarted.last_heard_ns() == {"a": NOW_NS + 3, "b": NOW_NS + 4}


@pytest.fixture
def context() -> Iterator[zmq.Context[zmq.Socket[bytes]]]:
    with zmq.Context() as made:
        yield made


def exchange(receiver: Receiver, socket: zmq.Socket[bytes], done: Callable[[], bool]) -> list[Message]:
    """Poll until done; return what the socket was told."""
    heard: list[Message] = []
    for _ in range(1_000):
        receiver.poll(10, lambda: NOW_NS)
        while socket.poll(0):
            heard.append(decode(socket.recv()))
        if done():
            return heard
    raise AssertionError(f"not done after 1000 polls; heard {heard}")


def test_a_socket_takes_commits_and_answers(
    intake: Intake, history: History, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with Receiver("tcp://127.0.0.1:*", intake) as receiver, context.socket(zmq.DEALER) as node:
        assert receiver.endpoint.startswith("tcp://127.0.0.1:")
        node.linger = 0
        node.connect(receiver.endpoint)
        for sequence in range(3):
            node.send(encode(detection(sequence)))
        node.send(bytes(MAX_MESSAGE_BYTES + 1))
        heard = exchange(receiver, node, lambda: history.reject_counts() == {"too_large": 1})
        for _ in range(100):
            if len(heard) >= 2 or not node.poll(100):
                break
            heard.append(decode(node.recv()))
        acked = [sequence for message in heard if isinstance(message, Ack) for sequence in message.sequences]
        assert acked == [0, 1, 2]
        assert sorted(type(message).__name__ for message in heard) == ["Ack", "Reject"]


def test_a_frame_beyond_what_is_let_in_cuts_the_connection_and_is_never_held(
    intake: Intake, context: zmq.Context[zmq.Socket[bytes]]
) -> None:
    with Receiver("tcp://127.0.0.1:*", intake) as receiver, context.socket(zmq.DEALER) as node:
        node.linger = 0
        monitor = node.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        node.connect(receiver.endpoint)
        node.send(encode(heartbeat()))
        exchange(receiver, node, lambda: intake.counters.messages == 1)
        node.send(bytes(MAX_FRAME_BYTES + 1))
        exchange(receiver, node, lambda: bool(monitor.poll(0)))
        assert recv_monitor_message(monitor)["event"] == zmq.EVENT_DISCONNECTED
        node.send(encode(heartbeat()))
        exchange(receiver, node, lambda: intake.counters.messages == 2)
        assert intake.counters.rejects == {}
        node.disable_monitor()
        monitor.close()


def test_a_peer_that_is_gone_is_forgotten(intake: Intake, context: zmq.Context[zmq.Socket[bytes]]) -> None:
    with Receiver("tcp://127.0.0.1:0", intake) as receiver:
        with context.socket(zmq.DEALER) as node:
            node.linger = 0
            node.connect(receiver.endpoint)
            node.send(encode(heartbeat()))
            exchange(receiver, node, lambda: intake.peers == 1)
        now_ns = NOW_NS
        for _ in range(1_000):
            now_ns += SECOND_NS // 20
            receiver.poll(10, lambda now_ns=now_ns: now_ns)
            if intake.peers == 0:
                break
        assert intake.peers == 0
        assert now_ns < NOW_NS + 10 * SECOND_NS  # forgotten for being gone, not for being silent


@pytest.mark.parametrize(
    ("endpoint", "says"),
    [
        ("{taken}", r"cannot listen on 'tcp://127.0.0.1:\d+' \(Address already in use\): the port is in use; stop the"),
        ("tcp://192.0.2.1:5570", r"\(Cannot assign requested address\): this machine has no such address; use \* for"),
        ("tcp://nosuchinterface0:5570", r"this machine has no such interface; use \* for every one"),
        ("5570", r"\(Invalid argument\): write it like tcp://\*:5570"),
    ],
)
def test_an_endpoint_that_cannot_be_had_says_what_to_do(intake: Intake, endpoint: str, says: str) -> None:
    with Receiver("tcp://127.0.0.1:0", intake) as other, pytest.raises(TransportError, match=says):
        Receiver(endpoint.format(taken=other.endpoint), intake)


def test_how_far_behind_is_the_median_of_what_heartbeats_waited(intake: Intake) -> None:
    assert intake.behind_s(now_ns=NOW_NS) == 0.0
    read_ns = NOW_NS + 7 * SECOND_NS
    for node, sent_ns in (
        ("a", NOW_NS),
        ("b", NOW_NS - SECOND_NS),
        # A clock that is an hour off is none, and one that is half a minute off moves nothing.
        ("c", NOW_NS - 3600 * SECOND_NS),
        ("d", NOW_NS + 30 * SECOND_NS),
    ):
        beat = msgspec.structs.replace(heartbeat(node), time_ns=sent_ns, clock_state=ClockState.PPS, unacked=5)
        intake.take(node.encode(), [encode(beat)], now_ns=read_ns)
    untimed = msgspec.structs.replace(heartbeat("e"), time_ns=0, clock_state=ClockState.UNTIMED, unacked=2)
    intake.take(b"e", [encode(untimed)], now_ns=read_ns)
    assert intake.behind_s(now_ns=read_ns) == 7.0
    assert intake.waiting(now_ns=read_ns) == 22
    # Of what was long ago nobody is behind.
    assert intake.behind_s(now_ns=read_ns + 16 * SECOND_NS) == 0.0
    assert intake.waiting(now_ns=read_ns + 16 * SECOND_NS) == 0


def test_the_last_word_of_a_node_is_its_last_detection_too(intake: Intake, history: History) -> None:
    intake.take(b"1", [encode(hello("a"))], now_ns=NOW_NS)
    intake.commit(now_ns=NOW_NS)
    later_ns = NOW_NS + SECOND_NS
    intake.take(b"1", [encode(detection(0, node="a", boot=9))], now_ns=later_ns)
    intake.take(b"2", [encode(detection(0, node="new", boot=9))], now_ns=later_ns)
    assert intake.last_heard_ns() == {"a": later_ns, "new": later_ns}
    intake.commit(now_ns=NOW_NS + 3 * SECOND_NS)
    kept = {status.node: status for status in history.node_statuses()}
    assert [(kept[node].boot, kept[node].last_heard_ns) for node in ("a", "new")] == [(9, later_ns)] * 2
    assert kept["a"].hello_ns == NOW_NS
    # A heartbeat after it is newer than it.
    intake.take(b"1", [encode(heartbeat("a"))], now_ns=later_ns + 1)
    assert intake.last_heard_ns()["a"] == later_ns + 1
