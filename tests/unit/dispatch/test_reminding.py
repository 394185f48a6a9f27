"""An alert that is told again says so, in every sink, and is neither retried nor taken for a new one."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path

from alert_samples import incident
from webhook_receiver import Receiver, verify

from fusion_server.dispatch import (
    Alert,
    ConsoleSink,
    DeliveryError,
    Dispatcher,
    JsonlSink,
    SigningSecret,
    WebhookSink,
)
from fusion_server.history import History

SECRET = "whsec_" + "A" * 43 + "="


class Taking:
    """A sink that writes down what it gets, and refuses as often as it is told to."""

    name = "taking"

    def __init__(self, refuse: int = 0) -> None:
        self.seen: list[tuple[int, int]] = []
        self._refuse = refuse

    def send(self, alert: Alert) -> None:
        """Take an alert."""
        self.seen.append((alert.record.revision, alert.reminder))
        if alert.reminder and self._refuse:
            self._refuse -= 1
            raise DeliveryError("busy", retryable=True)


def settle(dispatcher: Dispatcher) -> None:
    gate = threading.Event()
    while any(status.waiting for status in dispatcher.status()):
        gate.wait(0.001)


def test_each_sink_says_that_it_is_a_reminder(tmp_path: Path) -> None:
    record, text, file = incident(7), io.StringIO(), tmp_path / "alerts.jsonl"
    alert = Alert(record, reminder=2)
    assert alert.banner == "REMINDER"
    assert Alert(record).banner == ""
    ConsoleSink(text).send(alert)
    assert "REMINDER" in text.getvalue()
    JsonlSink(file).send(alert)
    line = json.loads(file.read_text())
    assert (line["reminder"], line["id"]) == (2, record.id)
    with Receiver() as receiver:
        WebhookSink(receiver.url, SigningSecret(SECRET)).send(alert)
        post = receiver.next()
    assert verify(SECRET, post)
    assert post.headers["webhook-id"] == "0000000000000007_1_webhook_reminder2"
    assert json.loads(post.body)["reminder"] == 2


def test_a_reminder_goes_out_once_and_has_its_receipt(history: History) -> None:
    record, sink = incident(1), Taking()
    history.append_incident(record)
    with Dispatcher([sink], history) as dispatcher:
        dispatcher.publish(record)
        settle(dispatcher)
        for number in (1, 1, 2):
            dispatcher.remind(record, number)
            settle(dispatcher)
    assert sink.seen == [(1, 0), (1, 1), (1, 2)]
    assert [receipt.detail for receipt in history.receipts(record.id)] == [
        "delivered",
        "reminder 1 delivered",
        "reminder 2 delivered",
    ]


def test_a_reminder_that_is_refused_is_not_tried_again(history: History) -> None:
    record, sink = incident(1), Taking(refuse=1)
    history.append_incident(record)
    with Dispatcher([sink], history) as dispatcher:
        dispatcher.publish(record)
        settle(dispatcher)
        dispatcher.remind(record, 1)
        settle(dispatcher)
        (status,) = dispatcher.status()
        assert (status.delivered, status.gave_up, status.last_error) == (1, 1, "reminder 1: busy")
        dispatcher.remind(record, 2)
        settle(dispatcher)
    assert sink.seen == [(1, 0), (1, 1), (1, 2)]
    assert [receipt.ok for receipt in history.receipts(record.id)] == [True, False, True]
