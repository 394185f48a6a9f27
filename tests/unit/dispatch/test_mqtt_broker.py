"""Alerts through a real mosquitto, read by a real mosquitto_sub."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from alert_samples import incident
from format_readers import IDENTITY

from fusion_server.dispatch import Alert, DeliveryError, MqttBroker, MqttSink
from fusion_server.dispatch.endpoint import TlsFiles
from shotline.errors import InputError, StorageError
from shotline.records import IncidentRecord

pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")


QUEUE = ("-i", "stranger", "-c", "-x", "600")
"""A subscriber whom the broker keeps messages for while he is away."""


def _sink(port: int, *kept: IncidentRecord, **options: object) -> MqttSink:
    broker = MqttBroker(f"mqtt://127.0.0.1:{port}", timeout_s=10.0, **options)  # type: ignore[arg-type]
    return MqttSink(broker, IDENTITY, revisions=lambda _incident: kept)


@contextmanager
def _mosquitto(folder: Path, extra: Sequence[str] = ("allow_anonymous true",)) -> Iterator[int]:
    program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
    if program is None or shutil.which("mosquitto_sub") is None:
        pytest.skip("mosquitto and mosquitto_sub are not installed (Debian: mosquitto, mosquitto-clients)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    settings = folder / "mosquitto.conf"
    settings.write_text("\n".join([f"listener {port} 127.0.0.1", *extra, ""]))
    broker = subprocess.Popen([program, "-c", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end_s = time.monotonic() + 30.0
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
                break
            except OSError:
                assert broker.poll() is None, "the broker ended"
                assert time.monotonic() < end_s, "the broker did not start within 30 s"
                time.sleep(0.02)
        yield port
    finally:
        broker.terminate()
        broker.wait(20.0)


def _retained(port: int, topic: str, count: int) -> dict[str, dict[str, object]]:
    """Return what a newcomer is given: topic to message, with its properties."""
    lines = _mosquitto_sub(port, topic, "-C", str(count)).splitlines()
    return {item["topic"]: item for item in map(json.loads, lines)}


def _mosquitto_sub(port: int, topic: str, *options: str) -> str:
    command = ["mosquitto_sub", "-V", "5", "-h", "127.0.0.1", "-p", str(port), "-t", topic, "-q", "1", "-F", "%j"]
    done = subprocess.run([*command, "-W", "20", *options], capture_output=True, text=True, timeout=60.0, check=True)
    return done.stdout


@pytest.mark.processes
def test_a_stranger_reads_what_was_published(tmp_path: Path) -> None:
    record = incident(7, revision=2, rounds=3)
    with _mosquitto(tmp_path) as port:
        _mosquitto_sub(port, "shotline/alerts", *QUEUE, "-E")
        _sink(port, record).send(Alert(record, test=True))
        heard = json.loads(_mosquitto_sub(port, "shotline/alerts", *QUEUE, "-C", "1"))
        kept = _retained(port, "shotline/#", 2)
        entities = _retained(port, "homeassistant/#", 3)
    event = json.loads(heard["payload"])
    assert (event["specversion"], event["test"], event["revision"]) == ("1.0", True, 2)
    assert msgspec.convert(event["data"], IncidentRecord) == record
    assert (heard["retain"], heard["qos"]) == (0, 1)
    state, latest = kept["shotline/incidents/0000000000000007"], kept["shotline/latest"]
    assert json.loads(str(state["payload"])) == event
    assert state["properties"]["content-type"] == "application/cloudevents+json"  # type: ignore[index]
    assert 86_300 < state["properties"]["message-expiry-interval"] <= 86_400  # type: ignore[index]
    flat = json.loads(str(latest["payload"]))
    assert (flat["latitude"], flat["longitude"], flat["gps_accuracy"]) == (record.lat_deg, record.lon_deg, 6.2)
    assert flat["title"].startswith("TEST Gunfire")
    assert len(entities) == 3


@pytest.mark.processes
def test_a_late_older_revision_does_not_go_back(tmp_path: Path) -> None:
    first, second = incident(7), incident(7, revision=2)
    with _mosquitto(tmp_path) as port:
        sink = _sink(port, first, second)
        sink.send(Alert(second))
        sink.send(Alert(first))
        state = _retained(port, "shotline/incidents/+", 1)
    assert json.loads(str(state["shotline/incidents/0000000000000007"]["payload"]))["revision"] == 2


@pytest.mark.processes
def test_a_wrong_password_is_refused_and_not_told(tmp_path: Path) -> None:
    program = shutil.which("mosquitto_passwd")
    if program is None:
        pytest.skip("mosquitto_passwd is not installed (Debian: mosquitto)")
    accounts = tmp_path / "accounts"
    subprocess.run([program, "-b", "-c", accounts, "shots", "right-one"], check=True, capture_output=True)
    accounts.chmod(0o644)
    tmp_path.chmod(0o755)
    password = tmp_path / "password"
    password.touch(mode=0o600)
    with _mosquitto(tmp_path, ["allow_anonymous false", "user root", f"password_file {accounts}"]) as port:
        password.write_text("hunter2\n")
        with pytest.raises(DeliveryError, match=r"refused the connection: Not authorized") as caught:
            _sink(port, username="shots", password_file=password).send(Alert(incident()))
        assert caught.value.retryable
        assert "hunter2" not in str(caught.value)
        password.write_text("right-one\n")
        _sink(port, username="shots", password_file=password).send(Alert(incident()))


@pytest.mark.processes
def test_what_the_broker_does_not_allow_is_no_delivery(tmp_path: Path) -> None:
    rules = tmp_path / "rules"
    rules.write_text("topic read #\n")
    rules.chmod(0o644)
    tmp_path.chmod(0o755)
    with (
        _mosquitto(tmp_path, ["allow_anonymous true", "user root", f"acl_file {rules}"]) as port,
        pytest.raises(DeliveryError, match=r"refused a message: Not authorized"),
    ):
        _sink(port).send(Alert(incident()))


@pytest.mark.processes
def test_tls_checks_who_is_there(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    settings = ["allow_anonymous true", "user root", f"certfile {certificate}", f"keyfile {key}"]
    with _mosquitto(tmp_path, settings) as port:
        url = f"mqtts://localhost:{port}"
        trusting = MqttBroker(url, files=TlsFiles(certificate), timeout_s=10.0)
        MqttSink(trusting, IDENTITY, revisions=lambda _incident: []).send(Alert(incident()))
        with pytest.raises(DeliveryError, match=r"cannot reach localhost:\d+: .*certificate verify failed"):
            MqttSink(MqttBroker(url), IDENTITY, revisions=lambda _incident: []).send(Alert(incident()))


def test_nobody_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DeliveryError, match=f"cannot reach 127.0.0.1:{port}: Connection refused") as caught:
            _sink(port).send(Alert(incident()))
    assert caught.value.retryable


def test_a_broker_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = MqttBroker(f"mqtt://127.0.0.1:{silent.getsockname()[1]}", timeout_s=0.1)
        with pytest.raises(DeliveryError, match=r"did not acknowledge within 0.1 s"):
            MqttSink(broker, IDENTITY, revisions=lambda _incident: []).send(Alert(incident()))


def test_a_history_that_cannot_be_read_is_tried_again() -> None:
    def lost(_incident: str) -> list[IncidentRecord]:
        raise StorageError("the history is locked")

    with pytest.raises(DeliveryError, match="cannot read the other revisions") as caught:
        MqttSink(MqttBroker("mqtt://127.0.0.1"), IDENTITY, revisions=lost).send(Alert(incident()))
    assert caught.value.retryable


@pytest.mark.parametrize("url", ["http://a", "mqtt://", "mqtt://a/topic", "mqtt://a:99999", "mqtt://me:hunter2@a"])
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(InputError, match="the broker's address") as caught:
        MqttBroker(url)
    assert "hunter2" not in str(caught.value)
