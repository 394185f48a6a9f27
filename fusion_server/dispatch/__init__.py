"""Alerts: every revision of every incident to every configured sink, with a receipt for each attempt."""

from __future__ import annotations

from fusion_server.dispatch.console import ConsoleSink
from fusion_server.dispatch.dispatcher import Dispatcher, ReceiptStore, RetryPolicy, SinkStatus
from fusion_server.dispatch.jsonl import JsonlSink
from fusion_server.dispatch.sink import Alert, DeliveryError, Sink
from fusion_server.dispatch.webhook import SigningSecret, WebhookSink

__all__ = [
    "Alert",
    "ConsoleSink",
    "DeliveryError",
    "Dispatcher",
    "JsonlSink",
    "ReceiptStore",
    "RetryPolicy",
    "SigningSecret",
    "Sink",
    "SinkStatus",
    "WebhookSink",
]
