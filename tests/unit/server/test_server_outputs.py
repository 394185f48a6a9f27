"""Sinks of every kind from the configuration, in a server that runs, and the numbers that it counts."""

from __future__ import annotations

import base64
import io
import urllib.request
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
import zmq
from server_samples import EPOCH_NS, heartbeat
from test_server_app import Running, Wall, running, shot

from fusion_server.config import load_server_config
from fusion_server.selfcheck import check_configuration
from fusion_server.sinks import make_sink
from shotline.errors import ConfigError
from shotline.messages import encode

CAP = "{urn:oasis:names:tc:emergency:cap:1.2}"
NODES = "".join(
    f'[[nodes]]\nid = "{node}"\nx_m = {x}\ny_m = {y}\n'
    for node, (x, y) in {
        "a": (0, 0),
        "b": (400, 0),
        "c": (400, 400),
        "d": (0, 400),
        "e": (200, 500),
        "f": (210, 20),
    }.items()
)
IDENTITY = '[identity]\nname = "shots.example.org"\noperator = "Example City"\nincident_type = "GUN"\n'
FRAME = "[frame]\nlat_deg = 40.44\nlon_deg = -79.99\n"


def written(folder: Path, sinks: str, *, head: str = IDENTITY + FRAME, http: str = "enabled = false") -> Path:
    path = folder / "server.toml"
    path.write_text(f'[server]\nbind = "tcp://127.0.0.1:0"\n[http]\nport = 0\n{http}\n{head}{NODES}{sinks}')
    return path


def secret(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.touch(mode=0o600)
    path.write_text(text)


def test_every_revision_becomes_a_cap_file_that_names_those_before(tmp_path: Path) -> None:
    (tmp_path / "cap").mkdir()
    path = written(tmp_path, '[[sinks]]\nkind = "folder"\npath = "cap"\nformat = "cap"\n')
    wall = Wall()
    with running(load_server_config(path), wall) as server:
        server.send(shot()[:5])
        server.pass_time(4.0)
        server.send(shot()[5:])
        server.pass_time(4.0)
        (record,) = server.app.history.incidents()
    roots = [ElementTree.parse(file).getroot() for file in sorted((tmp_path / "cap").iterdir())]
    assert len(roots) == record.revision > 1
    kinds = [root.findtext(f"{CAP}msgType") for root in roots]
    assert kinds == ["Alert", *["Update"] * (record.revision - 1)]
    assert {root.findtext(f"{CAP}sender") for root in roots} == {"shots.example.org"}
    first = f"shots.example.org,{roots[0].findtext(f'{CAP}identifier')},{roots[0].findtext(f'{CAP}sent')}"
    assert (roots[-1].findtext(f"{CAP}references") or "").split(" ")[0] == first


def test_the_server_counts_what_it_does(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="prometheus-client is not installed")
    path = written(tmp_path, '[[sinks]]\nkind = "jsonl"\npath = "alerts.jsonl"\n', http="")
    wall = Wall()
    with running(load_server_config(path), wall) as server:
        server.pass_time(1.5)
        server.send(shot())
        server.pass_time(4.0)
        _say(server)
        assert server.app.http_url is not None
        # Node states are written every two seconds.
        server.pass_time(2.1)
        with urllib.request.urlopen(f"{server.app.http_url}metrics") as answer:
            lines = answer.read().decode().splitlines()
        (record,) = server.app.history.incidents()
        snapshot = server.app.metrics()
    read = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}
    assert read['shotline_detections_total{kind="new"}'] == 6
    assert read[f'shotline_incidents{{state="{record.state}"}}'] == 1
    assert read["shotline_incidents_held_back_total"] == 0
    assert sum(snapshot.revisions.values()) == record.revision
    assert read["shotline_alert_latency_seconds_count"] == record.revision
    assert 0 < read["shotline_alert_latency_seconds_sum"] < 4.5 * record.revision
    assert read['shotline_nodes{state="heard"}'] == 6
    assert read['shotline_node_unacked_detections{node="a"}'] == 3
    assert read["shotline_fusion_lag_seconds"] == 0.0
    assert read['shotline_check_status{check="store"}'] == 0


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")  # asked for by apprise
def test_every_kind_of_sink_can_be_made(tmp_path: Path) -> None:
    for package in ("apprise", "paho.mqtt.client"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    secret(tmp_path, "webhook.secret", "whsec_" + base64.b64encode(bytes(32)).decode())
    secret(tmp_path, "token", "hunter2")
    secret(tmp_path, "password", "hunter2")
    secret(tmp_path, "address", "json://127.0.0.1/")
    tables = [
        'kind = "console"',
        'kind = "jsonl"\npath = "a.jsonl"',
        'kind = "webhook"\nurl = "https://example.org/"\nsecret_file = "webhook.secret"\nenvelope = "cloudevents"',
        'kind = "http"\nurl = "https://example.org/"\nformat = "eido"\ntoken_file = "token"',
        'kind = "folder"\npath = "."\nformat = "cloudevents"',
        'kind = "cot"\nurl = "tcp://127.0.0.1:8087"',
        'kind = "mqtt"\nurl = "mqtt://127.0.0.1"\nusername = "shots"\npassword_file = "password"',
        'kind = "notify"\naddress_file = "address"',
        'kind = "syslog"\nurl = "udp://127.0.0.1:514"\nfacility = "local0"',
    ]
    settings = load_server_config(written(tmp_path, "".join(f"[[sinks]]\n{table}\n" for table in tables)))
    sinks = [
        make_sink(section, settings, revisions=lambda _: [], console_to=io.StringIO()) for section in settings.sinks
    ]
    assert [sink.name for sink in sinks] == [section.kind for section in settings.sinks]
    report = check_configuration(settings, now_ns=EPOCH_NS)
    assert next(check.message for check in report.checks if check.name == "sinks") == "9 sinks can be made"
    assert "hunter2" not in repr(sinks)


@pytest.mark.parametrize(
    ("sink", "head", "words"),
    [
        ('kind = "cot"\nurl = "tcp://a:1"', IDENTITY, "cot needs degrees but there is no [frame]"),
        ('kind = "folder"\npath = "."\nformat = "cap"', IDENTITY, "cap needs degrees but there is no [frame]"),
        ('kind = "folder"\npath = "."\nformat = "eido"', FRAME, "eido needs a type of incident; give [identity]"),
        ('kind = "mqtt"\nurl = "mqtt://a"\npassword_file = "b"', IDENTITY, "username is not; give both"),
        ('kind = "syslog"\nurl = "a:514"', IDENTITY, "url"),
        ('kind = "console"', '[identity]\nname = "a b"\n', "identity.name"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, sink: str, head: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_server_config(written(tmp_path, f"[[sinks]]\n{sink}\n", head=head))
    assert words in str(caught.value)


def test_check_says_which_folder_is_not_there(tmp_path: Path) -> None:
    path = written(tmp_path, '[[sinks]]\nkind = "folder"\npath = "gone"\nformat = "cap"\n')
    report = check_configuration(load_server_config(path), now_ns=EPOCH_NS)
    message = next(check.message for check in report.checks if check.name == "sinks")
    assert message == f"sink 'folder': the folder {tmp_path / 'gone'} is not there; create it"


def test_without_paho_it_says_what_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    settings = load_server_config(written(tmp_path, '[[sinks]]\nkind = "mqtt"\nurl = "mqtt://127.0.0.1"\n'))
    report = check_configuration(settings, now_ns=EPOCH_NS)
    message = next(check.message for check in report.checks if check.name == "sinks")
    assert message == "MQTT needs 'paho-mqtt', which is not installed; run: pip install 'shotline[outputs]'"


def _say(server: Running) -> None:
    """Let node a say how it does, over a socket of its own."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.connect(server.app.endpoint)
        socket.send(encode(msgspec.structs.replace(heartbeat(), time_ns=server.wall.now_ns)))
        before = server.app.metrics().messages
        for _ in range(2_000):
            server.app.step(5)
            if server.app.metrics().messages > before:
                return
    raise AssertionError("the heartbeat was not heard")
