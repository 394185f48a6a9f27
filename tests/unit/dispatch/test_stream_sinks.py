"""Cursor on Target and syslog over sockets: what is sent, and what counts as delivered."""

from __future__ import annotations

import datetime
import re
import shutil
import socket
import ssl
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from alert_samples import incident
from format_readers import IDENTITY
from stream_listener import Listener, read_all

from fusion_server.dispatch import Alert, CotSink, DeliveryError, SyslogSink
from fusion_server.dispatch.endpoint import StreamEndpoint, TlsFiles
from fusion_server.dispatch.formats import Facility, cot_event, syslog_message
from shotline.errors import InputError

NOW_NS = 1_900_000_000_000_000_000
PONG = b'<event version="2.0" uid="x" type="t-x-c-t-r" how="m-g"/>'


def _tak_server(connection: socket.socket) -> bytes:
    """Read events as a TAK server does, up to the ping; tell of somebody else first, then answer it."""
    read = b""
    while b"</event>" not in read.partition(b'type="t-x-c-t"')[2]:
        part = connection.recv(64)
        if not part:
            return read
        read += part
    connection.sendall(b'<event uid="somebody" type="a-f-G"/>' + PONG[:30])
    connection.sendall(PONG[30:])
    return read


def _closing(connection: socket.socket) -> bytes:
    """Tell of somebody else and that nothing more will come, and read to the end: a close that is no reset."""
    connection.sendall(b'<event uid="somebody" type="a-f-G"/>')
    connection.shutdown(socket.SHUT_WR)
    return read_all(connection)


def _silent(connection: socket.socket) -> bytes:
    return read_all(connection)


def _cot(port: int, *, confirm: bool = True, scheme: str = "tcp", timeout_s: float = 10.0) -> CotSink:
    endpoint = StreamEndpoint(f"{scheme}://127.0.0.1:{port}", timeout_s=timeout_s)
    return CotSink(endpoint, confirm=confirm, now_ns=lambda: NOW_NS)


def test_an_event_counts_once_the_server_answered_the_ping_after_it() -> None:
    alert = Alert(incident(7), test=True)
    with Listener(_tak_server) as listener:
        _cot(listener.port).send(alert)
    assert listener.received[0].startswith(cot_event(alert, now_ns=NOW_NS) + b"\n<?xml")


def test_a_server_that_takes_and_says_nothing_has_not_confirmed() -> None:
    with Listener(_closing) as listener:
        with pytest.raises(DeliveryError, match=r"did not answer the ping; if it is no TAK server") as caught:
            _cot(listener.port).send(Alert(incident()))
        assert caught.value.retryable
    with Listener(_silent) as listener, pytest.raises(DeliveryError, match=r"did not answer within 0.05 s"):
        _cot(listener.port, timeout_s=0.05).send(Alert(incident()))


def test_without_confirmation_and_as_a_datagram_only_the_event_is_sent() -> None:
    alert = Alert(incident(7))
    with Listener(_silent) as listener:
        _cot(listener.port, confirm=False).send(alert)
        assert listener.next() == cot_event(alert, now_ns=NOW_NS)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10.0)
        _cot(receiver.getsockname()[1], scheme="udp").send(alert)
        assert receiver.recv(65_536) == cot_event(alert, now_ns=NOW_NS)


def test_nobody_there_and_no_degrees() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        with pytest.raises(DeliveryError, match=f"cannot reach 127.0.0.1:{port}: Connection refused") as caught:
            _cot(port).send(Alert(incident()))
    assert caught.value.retryable
    with pytest.raises(DeliveryError, match="has no degrees") as caught:
        _cot(port).send(Alert(incident(frame=None)))
    assert not caught.value.retryable


@pytest.mark.parametrize("url", ["http://a:1", "tcp://a", "tcp://:1", "tcp://a:99999", "tls://a:1/path"])
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(InputError, match=r"is not an address"):
        StreamEndpoint(url)


def test_certificates_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nonsense")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(InputError, match=rf"cannot use the certificates .*{name}.*give PEM files"):
            StreamEndpoint("tls://localhost:1", files=TlsFiles(tmp_path / name))


def test_syslog_counts_octets_and_waits_for_the_collector_to_close() -> None:
    alert = Alert(incident(7, revision=2))
    message = syslog_message(alert, IDENTITY, facility=Facility.AUTH)
    with Listener(read_all) as listener:
        endpoint = StreamEndpoint(f"tcp://127.0.0.1:{listener.port}")
        SyslogSink(endpoint, IDENTITY, facility=Facility.AUTH).send(alert)
        assert listener.received == [f"{len(message)} ".encode() + message], "it returned before all was read"
    assert message.startswith(b"<36>1 ")


def test_a_collector_that_does_not_close() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        endpoint = StreamEndpoint(f"tcp://127.0.0.1:{held.getsockname()[1]}", timeout_s=0.05)
        with pytest.raises(DeliveryError, match="did not close the connection after it") as caught:
            SyslogSink(endpoint, IDENTITY).send(Alert(incident()))
    assert caught.value.retryable


def test_syslog_as_a_datagram_has_no_count() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(10.0)
        SyslogSink(StreamEndpoint(f"udp://127.0.0.1:{receiver.getsockname()[1]}"), IDENTITY).send(Alert(incident()))
        assert receiver.recv(65_536) == syslog_message(Alert(incident()), IDENTITY)


def test_tls_checks_who_is_there(tmp_path: Path) -> None:
    """With the right authority the event arrives; without it nothing is said to a stranger."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl, which makes the certificate, is not installed")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-keyout", key, "-out", certificate, "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    alert = Alert(incident(7))
    with Listener(_tak_server, context=context) as listener:
        url = f"tls://localhost:{listener.port}"
        CotSink(StreamEndpoint(url, files=TlsFiles(certificate)), now_ns=lambda: NOW_NS).send(alert)
        with pytest.raises(DeliveryError, match=r"the certificate of localhost:\d+ is not trusted") as caught:
            CotSink(StreamEndpoint(url), now_ns=lambda: NOW_NS).send(alert)
        assert caught.value.retryable
    assert [item.count(b"<event ") for item in listener.received] == [2]
    with Listener(read_all, context=context) as listener:
        endpoint = StreamEndpoint(f"tls://localhost:{listener.port}", files=TlsFiles(certificate))
        SyslogSink(endpoint, IDENTITY).send(alert)
        assert [item.partition(b" ")[2] for item in listener.received] == [syslog_message(alert, IDENTITY)]


@pytest.mark.processes
def test_syslog_by_a_real_rsyslog(tmp_path: Path) -> None:
    program = shutil.which("rsyslogd")
    if program is None:
        pytest.skip("rsyslogd is not installed (Debian: rsyslog)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log, settings = tmp_path / "log", tmp_path / "rsyslog.conf"
    settings.write_text(
        f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")\n'
        'template(name="parts" type="string" string="%hostname%|%app-name%|%msgid%|%timereported:::date-rfc3339%|'
        '%syslogfacility-text%.%syslogseverity-text%|%structured-data%|%msg%\\n")\n'
        f'ruleset(name="all") {{ action(type="omfile" file="{log}" template="parts") }}\n'
    )
    collector = subprocess.Popen([program, "-n", "-f", settings, "-i", tmp_path / "pid"])
    try:
        alert = Alert(incident(7, revision=2), test=True)
        _until_taken(SyslogSink(StreamEndpoint(f"tcp://127.0.0.1:{port}"), IDENTITY), alert)
        _until(lambda: log.exists() and log.read_text().endswith("\n"))
    finally:
        collector.terminate()
        collector.wait(20.0)
    line = log.read_text().splitlines()[-1]
    host, name, kind, time_text, rank, data, words = line.split("|")
    assert (host, name, kind, rank) == (IDENTITY.name, "shotline", "incident.revised", "local4.info")
    assert datetime.datetime.fromisoformat(time_text) == datetime.datetime.fromisoformat(alert.record.as_of_utc)
    assert re.search(rf'lat_deg="{alert.record.lat_deg:.8f}"', data)
    assert words.startswith("TEST Gunfire, 1 round: revised, revision 2.")


def test_an_event_is_xml_that_ends_where_a_stream_is_split() -> None:
    """TAK servers split a stream after each ``</event>``."""
    with Listener(_tak_server) as listener:
        _cot(listener.port).send(Alert(incident(7)))
    parts = [part for part in re.split(rb"(?<=</event>)\s*", listener.received[0]) if part]
    assert [ElementTree.fromstring(part).attrib["type"] for part in parts] == ["a-u-G", "t-x-c-t"]


def _until_taken(sink: SyslogSink, alert: Alert) -> None:
    def taken() -> bool:
        try:
            sink.send(alert)
        except DeliveryError:
            return False
        return True

    _until(taken)


def _until(done: object) -> None:
    assert callable(done)
    end_s = time.monotonic() + 30.0
    while not done():
        assert time.monotonic() < end_s, "it did not happen within 30 s"
        time.sleep(0.02)
