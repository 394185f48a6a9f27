from __future__ import annotations

import io
import queue
import random
import threading
from pathlib import Path

import pytest
from alert_samples import EPOCH_NS, incident
from webhook_receiver import Answer, Post, Receiver, verify

from fusion_server.dispatch import (
    Alert,
    ConsoleSink,
    DeliveryError,
    Dispatcher,
    JsonlSink,
    RetryPolicy,
    SigningSecret,
    Sink,
    WebhookSink,
)
from fusion_server.history import History, Receipt
from shotline.errors import InputError, StorageError
from shotline.records import IncidentRecord
from shotline.units import NS_PER_S

SECRET = "whsec_" + "A" * 43 + "="
QUICK = RetryPolicy(first_delay_s=0.001, max_delay_s=0.01)


class _ScriptedSink:
    """Fails as scripted, then takes everything; each attempt is put into a queue."""

    def __init__(self, *failures: Exception | None, name: str = "scripted") -> None:
        self.name = name
        self._failures = list(failures)
        self.attempts: queue.Queue[tuple[str, int]] = queue.Queue()
        self.hold = threading.Event()
        self.hold.set()

    def send(self, alert: Alert) -> None:
        self.attempts.put((alert.record.id, alert.record.revision))
        self.hold.wait(10)
        if self._failures and (failure := self._failures.pop(0)) is not None:
            raise failure

    def next(self) -> tuple[str, int]:
        return self.attempts.get(timeout=10)


def _busy(words: str = "busy") -> DeliveryError:
    return DeliveryError(words, retryable=True)


def _commit(history: History, *records: IncidentRecord) -> None:
    for record in records:
        history.append_incident(record)


def _until_settled(dispatcher: Dispatcher) -> None:
    """Wait, without a clock, until no alert waits: each look yields to the other threads."""
    gate = threading.Event()
    while any(status.waiting for status in dispatcher.status()):
        gate.wait(0.001)


def _seen(receipts: list[Receipt]) -> list[tuple[int, int, bool, str]]:
    return [(receipt.revision, receipt.attempt, receipt.ok, receipt.detail) for receipt in receipts]


def test_a_webhook_that_fails_twice_is_tried_until_it_takes_the_alert(history: History) -> None:
    record = incident()
    _commit(history, record)
    with Receiver([Answer(503), Answer(500), Answer(204)]) as receiver:
        sink = WebhookSink(receiver.url, SigningSecret(SECRET))
        with Dispatcher([sink], history, retry=QUICK, rng=random.Random(1), now_ns=lambda: EPOCH_NS) as dispatcher:
            dispatcher.publish(record)
            posts = [receiver.next() for _ in range(3)]
            _until_settled(dispatcher)
            (status,) = dispatcher.status()
    assert all(verify(SECRET, post) for post in posts)
    assert len({post.headers["webhook-id"] for post in posts}) == 1
    receipts = history.receipts(record.id)
    assert [(receipt.attempt, receipt.ok) for receipt in receipts] == [(1, False), (2, False), (3, True)]
    assert receipts[0].detail.endswith("answered 503 Service Unavailable")
    assert receipts[0].time_ns == EPOCH_NS
    assert (status.delivered, status.gave_up, status.failures_in_a_row, status.last_error) == (1, 0, 0, "")
    assert history.undelivered("webhook") == []


def test_a_slow_sink_does_not_hold_another(history: History) -> None:
    slow, fast = _ScriptedSink(name="slow"), _ScriptedSink(name="fast")
    slow.hold.clear()
    records = [incident(number) for number in range(1, 6)]
    _commit(history, *records)
    with Dispatcher([slow, fast], history) as dispatcher:
        for record in records:
            dispatcher.publish(record)
        assert [fast.next() for _ in records] == [(record.id, 1) for record in records]
        assert dispatcher.status()[0].waiting == 5
        slow.hold.set()


def test_a_new_alert_does_not_wait_behind_a_failing_one(history: History) -> None:
    sink = _ScriptedSink(DeliveryError("later", retryable=True, retry_after_s=60.0))
    _commit(history, incident(1), incident(2))
    with Dispatcher([sink], history, retry=RetryPolicy(first_delay_s=30.0)) as dispatcher:
        dispatcher.publish(incident(1))
        assert sink.next() == (incident(1).id, 1)
        dispatcher.publish(incident(2))
        assert sink.next() == (incident(2).id, 1)
    assert [record.id for record in history.undelivered("scripted")] == [incident(1).id]


def test_what_was_committed_and_not_sent_is_sent_after_a_restart(history: History) -> None:
    """As after kill -9 between commit and send: the history has revisions that no receipt speaks of."""
    first, second, third = incident(1), incident(1, revision=2), incident(2)
    _commit(history, first, second, third)
    history.append_receipt(Receipt(first.id, 1, "scripted", 1, True, "delivered", EPOCH_NS))
    history.append_receipt(Receipt(first.id, 2, "scripted", 1, False, "busy", EPOCH_NS))
    sink = _ScriptedSink()
    with Dispatcher([sink], history) as dispatcher:
        assert [sink.next(), sink.next()] == [(second.id, 2), (third.id, 1)]
        _until_settled(dispatcher)
        dispatcher.publish(third)
        dispatcher.publish(incident(3))
        assert sink.next() == (incident(3).id, 1)
    with Dispatcher([sink], history):
        pass
    assert sink.attempts.empty()


def test_closing_leaves_what_failed_for_the_next_start(history: History) -> None:
    _commit(history, incident())
    sink = _ScriptedSink(_busy())
    dispatcher = Dispatcher([sink], history, retry=RetryPolicy(first_delay_s=60.0))
    dispatcher.start()
    dispatcher.publish(incident())
    sink.next()
    assert not dispatcher.close()
    again = _ScriptedSink()
    with Dispatcher([again], history):
        assert again.next() == (incident().id, 1)


def test_closing_gives_a_first_attempt_to_what_waits(history: History) -> None:
    sink = _ScriptedSink()
    sink.hold.clear()
    records = [incident(number) for number in range(1, 5)]
    _commit(history, *records)
    dispatcher = Dispatcher([sink], history)
    dispatcher.start()
    for record in records:
        dispatcher.publish(record)
    sink.next()
    sink.hold.set()
    assert dispatcher.close()
    assert history.undelivered("scripted") == []


def test_closing_does_not_wait_for_a_sink_that_hangs(history: History) -> None:
    sink = _ScriptedSink()
    sink.hold.clear()
    _commit(history, incident())
    dispatcher = Dispatcher([sink], history)
    dispatcher.start()
    dispatcher.publish(incident())
    sink.next()
    assert not dispatcher.close(timeout_s=0.01)
    sink.hold.set()
    assert dispatcher.close()


def test_what_is_not_worth_another_attempt_gets_none(history: History) -> None:
    _commit(history, incident())
    sink = _ScriptedSink(DeliveryError("answered 410 Gone", retryable=False))
    with Dispatcher([sink], history, retry=QUICK) as dispatcher:
        dispatcher.publish(incident())
        _until_settled(dispatcher)
        (status,) = dispatcher.status()
    assert _seen(history.receipts(incident().id)) == [
        (1, 1, False, "gave up: answered 410 Gone (not worth another attempt)")
    ]
    assert (status.gave_up, status.failures_in_a_row, status.last_error) == (
        1,
        1,
        "answered 410 Gone (not worth another attempt)",
    )
    with Dispatcher([sink], history):
        pass
    assert sink.attempts.qsize() == 1


def test_giving_up_after_a_bounded_time(history: History) -> None:
    _commit(history, incident())
    ticks = iter(range(0, 1_000_000, 5))
    sink = _ScriptedSink(*[_busy()] * 1000)
    retry = RetryPolicy(first_delay_s=0.001, max_delay_s=0.001, give_up_after_s=60.0)
    with Dispatcher([sink], history, retry=retry, monotonic_s=lambda: float(next(ticks))) as dispatcher:
        dispatcher.publish(incident())
        _until_settled(dispatcher)
    receipts = history.receipts(incident().id)
    assert not any(receipt.ok for receipt in receipts)
    assert [receipt.detail for receipt in receipts[:-1]] == ["busy"] * (len(receipts) - 1)
    assert receipts[-1].detail.startswith(f"gave up: busy ({len(receipts)} attempts in ")


def test_a_sink_that_breaks_is_tried_again_and_seen(history: History) -> None:
    _commit(history, incident())
    sink = _ScriptedSink(ZeroDivisionError("by zero"))
    with Dispatcher([sink], history, retry=QUICK) as dispatcher:
        dispatcher.publish(incident())
        _until_settled(dispatcher)
    assert _seen(history.receipts(incident().id)) == [
        (1, 1, False, "the sink broke: ZeroDivisionError: by zero"),
        (1, 2, True, "delivered"),
    ]


def test_a_full_disk_gives_a_failed_receipt_in_plain_words(history: History) -> None:
    _commit(history, incident())
    with Dispatcher([JsonlSink(Path("/dev/full"))], history, retry=RetryPolicy(give_up_after_s=0.0)) as dispatcher:
        dispatcher.publish(incident())
        _until_settled(dispatcher)
    (receipt,) = history.receipts(incident().id)
    assert not receipt.ok
    assert "cannot write /dev/full: No space left on device; free space" in receipt.detail


def test_real_sinks_together_while_the_webhook_fails_some_times(history: History, tmp_path: Path) -> None:
    """Every third post is answered 503: all alerts arrive everywhere, each with a receipt for each attempt."""
    records = [incident(number, revision=revision) for number in range(1, 11) for revision in (1, 2)]
    _commit(history, *records)
    count = iter(range(10_000))
    choose = lambda _post: Answer(503 if next(count) % 3 == 0 else 200)  # noqa: E731 - one line says it
    stream = io.StringIO()
    path = tmp_path / "alerts.jsonl"
    with Receiver(choose=choose) as receiver:
        sinks: list[Sink] = [ConsoleSink(stream), JsonlSink(path), WebhookSink(receiver.url, SigningSecret(SECRET))]
        with Dispatcher(sinks, history, retry=QUICK, rng=random.Random(2)) as dispatcher:
            for record in records:
                dispatcher.publish(record)
            _until_settled(dispatcher)
        posts: list[Post] = [receiver.posts.get() for _ in range(receiver.posts.qsize())]
    expected = {f"{record.id}_{record.revision}_webhook" for record in records}
    assert {post.headers["webhook-id"] for post in posts} == expected
    assert len(path.read_bytes().splitlines()) == stream.getvalue().count("probability") == len(records)
    assert all(history.undelivered(sink.name) == [] for sink in sinks)
    receipts = [receipt for number in range(1, 11) for receipt in history.receipts(incident(number).id)]
    assert len([receipt for receipt in receipts if receipt.sink == "webhook"]) == len(posts)


class _BrokenStore:
    """A history whose disk fails for a while."""

    def __init__(self, history: History, *, reads: int = 0, writes: int = 0) -> None:
        self._history = history
        self._reads, self._writes = reads, writes

    def append_receipt(self, receipt: Receipt) -> None:
        if self._writes:
            self._writes -= 1
            raise StorageError("the disk is full")
        self._history.append_receipt(receipt)

    def receipts(self, incident_id: str) -> list[Receipt]:
        return self._history.receipts(incident_id)

    def incidents(self, *, limit: int = 100, offset: int = 0) -> list[IncidentRecord]:
        if self._reads:
            self._reads -= 1
            raise StorageError("the database is locked")
        return self._history.incidents(limit=limit, offset=offset)

    def undelivered(self, sink: str, *, since_ns: int | None = None) -> list[IncidentRecord]:
        return self._history.undelivered(sink, since_ns=since_ns)


def test_a_history_that_cannot_be_read_at_start_is_asked_again(history: History) -> None:
    _commit(history, incident(1))
    sink = _ScriptedSink()
    with Dispatcher([sink], _BrokenStore(history, reads=3), retry=QUICK):
        assert sink.next() == (incident(1).id, 1)


def test_a_receipt_that_cannot_be_stored_is_not_hidden(history: History) -> None:
    _commit(history, incident(1))
    sink = _ScriptedSink()
    with Dispatcher([sink], _BrokenStore(history, writes=1), retry=QUICK) as dispatcher:
        dispatcher.publish(incident(1))
        _until_settled(dispatcher)
        (status,) = dispatcher.status()
    assert status.delivered == 1
    assert status.last_error == "a receipt could not be stored, the alert may be sent again: the disk is full"
    with Dispatcher([sink], history):
        sink.next()
        assert sink.next() == (incident(1).id, 1)


def test_a_new_sink_is_not_flooded_with_old_history(history: History) -> None:
    old = incident(1, time_ns=EPOCH_NS - 90_000 * NS_PER_S)
    _commit(history, old, incident(2))
    sink = _ScriptedSink()
    with Dispatcher([sink], history):
        assert sink.next() == (incident(2).id, 1)
    assert sink.attempts.empty()


def test_tests_say_so(history: History) -> None:
    _commit(history, incident())
    stream = io.StringIO()
    with Dispatcher([ConsoleSink(stream)], history, test=True) as dispatcher:
        dispatcher.publish(incident())
        _until_settled(dispatcher)
    assert " TEST " in stream.getvalue()
    assert _seen(history.receipts(incident().id)) == [(1, 1, True, "test delivered")]


def test_nothing_is_taken_before_start_or_after_close(history: History) -> None:
    sink = _ScriptedSink()
    dispatcher = Dispatcher([sink], history)
    dispatcher.publish(incident(1))
    dispatcher.start()
    dispatcher.close()
    dispatcher.publish(incident(2))
    assert sink.attempts.empty()
    assert dispatcher.close()


def test_sinks_have_different_names(history: History) -> None:
    with pytest.raises(InputError, match="two sinks are named 'scripted'"):
        Dispatcher([_ScriptedSink(), _ScriptedSink()], history)


def test_backoff_doubles_up_to_a_limit_and_is_jittered_downwards() -> None:
    retry = RetryPolicy(first_delay_s=1.0, max_delay_s=10.0, jitter=0.0)
    rng = random.Random(3)
    assert [retry.delay_s(attempt, rng) for attempt in (1, 2, 3, 4, 5, 500)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert retry.delay_s(1, rng, asked_s=7.0) == 7.0
    assert retry.delay_s(1, rng, asked_s=70.0) == 10.0
    delays_s = [RetryPolicy(first_delay_s=1.0, jitter=0.5).delay_s(1, rng) for _ in range(200)]
    assert 0.5 <= min(delays_s) < 0.55 < 0.95 < max(delays_s) <= 1.0


@pytest.mark.parametrize("wrong", [{"first_delay_s": 0.0}, {"max_delay_s": 0.5}, {"jitter": 1.5}])
def test_policies_that_cannot_be(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match="retry policy cannot be"):
        RetryPolicy(**wrong)
