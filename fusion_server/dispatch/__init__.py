"""Alerts: every revision of every incident to every configured sink, with a receipt for each attempt."""

from __future__ import annotations

from fusion_server.dispatch.console import ConsoleSink
from fusion_server.dispatch.cot import CotSink
from fusion_server.dispatch.dispatcher import Dispatcher, ReceiptStore, RetryPolicy, SinkStatus
from fusion_server.dispatch.documents import FolderSink, HttpSink
from fusion_server.dispatch.jsonl import JsonlSink
from fusion_server.dispatch.mqtt import MqttBroker, MqttSink
from fusion_server.dispatch.notify import NotifySink
from fusion_server.dispatch.sink import Alert, DeliveryError, Sink
from fusion_server.dispatch.syslog import SyslogSink
from fusion_server.dispatch.webhook import SigningSecret, WebhookSink

__all__ = [
    "Alert",
    "ConsoleSink",
    "CotSink",
    "DeliveryError",
    "Dispatcher",
    "FolderSink",
    "HttpSink",
    "JsonlSink",
    "MqttBroker",
    "MqttSink",
    "NotifySink",
    "ReceiptStore",
    "RetryPolicy",
    "SigningSecret",
    "Sink",
    "SinkStatus",
    "SyslogSink",
    "WebhookSink",
]
