from __future__ import annotations

import io
import json
import math
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
import sqlalchemy
import zmq
from server_samples import EPOCH_NS, SECOND_NS, detection, heartbeat, hello, stored

from fusion_server.app import ServerApp
from fusion_server.config import ServerConfig
from fusion_server.engine import Disposition
from fusion_server.history import History
from fusion_server.scorebook import Scorebook
from fusion_server.scorecard import HeardHour
from fusion_server.selfcheck import check_configuration
from shotline.allowlist import edit_allow_list
from shotline.atmosphere import speed_of_sound_mps
from shotline.config import parse_config
from shotline.domain import ClockState, Incident
from shotline.errors import InputError, StorageError, TransportError
from shotline.keyfiles import KeyPair, load_key_pair
from shotline.messages import Ack, Detection, decode, encode
from shotline.records import IncidentRecord

SITES = {
    "a": (0.0, 0.0),
    "b": (400.0, 0.0),
    "c": (400.0, 400.0),
    "d": (0.0, 400.0),
    "e": (200.0, 500.0),
    "f": (210.0, 20.0),
}
SHOT_M = (150.0, 230.0)
MINUTE_NS = 60 * SECOND_NS
HOUR_NS = 60 * MINUTE_NS


def config(folder: Path, more: str = "") -> ServerConfig:
    nodes = "".join(f'[[nodes]]\nid = "{node}"\nx_m = {x}\ny_m = {y}\n' for node, (x, y) in SITES.items())
    text = (
        f'[server]\nbind = "tcp://127.0.0.1:0"\ndatabase = "{folder / "history.db"}"\n'
        f"[http]\nport = 0\nenabled = false\n{nodes}{more}"
    )
    return parse_config(text, ServerConfig, source="server.toml")


def shot(sequence: int = 0, *, at_ns: int = EPOCH_NS) -> list[Detection]:
    """Return what each node hears of a shot."""
    speed_mps = speed_of_sound_mps(15.0)
    return [
        detection(
            sequence,
            node=node,
            arrival_time_ns=at_ns + round(math.dist(SHOT_M, xy) / speed_mps * SECOND_NS),
        )
        for node, xy in SITES.items()
    ]


class Wall:
    """A wall clock that goes only when told."""

    def __init__(self) -> None:
        self.now_ns = EPOCH_NS

    def __call__(self) -> int:
        return self.now_ns


class Running:
    """A server under test with a node's socket connected to it."""

    def __init__(self, app: ServerApp, wall: Wall, alerts: io.StringIO, log: io.StringIO) -> None:
        self.app, self.wall, self.alerts, self.log = app, wall, alerts, log
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = 0
        self._socket.connect(app.endpoint)

    def send(self, detections: Sequence[Detection], *, rounds: int = 2_000) -> None:
        """Send, and let the server go round until all is acknowledged."""
        # Several nodes over one socket: an acknowledgement names no node, so those of one number are counted.
        owed = Counter((item.boot, item.sequence) for item in detections)
        for item in detections:
            self._socket.send(encode(item))
        for _ in range(rounds):
            self.app.step(5)
            while self._socket.poll(0):
                message = decode(self._socket.recv())
                if isinstance(message, Ack):
                    owed -= Counter((message.boot, sequence) for sequence in message.sequences)
            if not owed:
                return
        raise AssertionError(f"not acknowledged: {owed}")

    def pass_time(self, seconds: float) -> None:
        """Let the wall clock go on in steps of 0.1 s."""
        for _ in range(round(seconds * 10)):
            self.wall.now_ns += SECOND_NS // 10
            self.app.step(0)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        self._context.term()

    def events(self, name: str) -> list[dict[str, object]]:
        """Return what was logged under a name."""
        lines = [json.loads(line) for line in self.log.getvalue().splitlines()]
        return [line for line in lines if line["event"] == name]


@pytest.fixture
def wall() -> Wall:
    return Wall()


@contextmanager
def running(settings: ServerConfig, wall: Wall, new_engine: object = None) -> Iterator[Running]:
    alerts, log = io.StringIO(), io.StringIO()
    app = ServerApp(settings, alerts_to=alerts, log_to=log, now_ns=wall, new_engine=new_engine)  # type: ignore[arg-type]
    with app:
        run = Running(app, wall, alerts, log)
        try:
            yield run
        finally:
            run.close()


@pytest.fixture
def server(tmp_path: Path, wall: Wall) -> Iterator[Running]:
    with running(config(tmp_path), wall) as run:
        yield run


def test_a_shot_heard_by_six_nodes_is_located_kept_and_told(server: Running) -> None:
    server.send(shot())
    server.pass_time(4.0)
    (record,) = server.app.history.incidents()
    # The arrivals are exact to 1 ns, so what is left is the rounding of records to millimetres and of the model.
    assert math.dist((record.x_m, record.y_m), SHOT_M) < 0.05
    assert record.rounds == 1
    server.app.close()
    assert record.id in server.alerts.getvalue()
    assert server.events("incident")[0]["id"] == record.id


def test_a_restart_neither_forgets_nor_tells_twice(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall) as run:
        run.send(shot()[:5])
        run.pass_time(4.0)
        before = run.app.history.incidents()
    with running(config(tmp_path), wall) as run:
        run.pass_time(4.0)
        assert run.app.history.incidents() == before
        assert run.events("incident") == []
        assert run.events("started")[0]["rebuilt_from_detections"] == 5
        run.send([shot()[5]])
        run.pass_time(4.0)
        (after,) = run.app.history.incidents()
        revisions = [record.revision for record in run.app.history.incident_revisions(after.id)]
        assert after.id == before[0].id
        assert revisions == list(range(1, len(revisions) + 1))


@pytest.mark.parametrize(("away_s", "told"), [(0, 1), (180, 1), (1_000, 0)])
def test_a_shot_that_was_kept_and_not_told_is_told_by_a_start_that_is_not_too_late(
    tmp_path: Path, wall: Wall, away_s: int, told: int
) -> None:
    """The server was killed between its commit and its alert, and the power was away for a while."""
    with History.open(tmp_path / "history.db") as history:
        history.store([stored(item, received_ns=EPOCH_NS + SECOND_NS) for item in shot()])
    wall.now_ns += (2 + away_s) * SECOND_NS
    with running(config(tmp_path), wall) as run:
        run.pass_time(4.0)
        assert len(run.app.history.incidents()) == told


def test_a_further_round_a_minute_after_a_restart_finds_its_incident(tmp_path: Path, wall: Wall) -> None:
    def fire(run: Running, sequence: int) -> None:
        run.send(shot(sequence, at_ns=wall.now_ns))
        run.pass_time(8.0)

    with running(config(tmp_path, "[fusion]\nincident_gap_s = 60.0\n"), wall) as run:
        fire(run, 0)
        run.pass_time(12.0)
        fire(run, 1)
        (first,) = run.app.history.incidents()
        assert first.rounds == 2
    wall.now_ns += 25 * SECOND_NS
    with running(config(tmp_path, "[fusion]\nincident_gap_s = 60.0\n"), wall) as run:
        assert run.events("incident") == []
        fire(run, 2)
        (after,) = run.app.history.incidents()
        assert (after.id, after.rounds) == (first.id, 3)


def test_what_was_closed_before_a_restart_stays_as_it_was_told(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall) as run:
        run.send(shot()[:5])
        run.pass_time(25.0)
        (before,) = run.app.history.incidents()
        # It comes much too late to be of use, and is kept.
        run.send([shot()[5]])
    wall.now_ns += 5 * SECOND_NS
    with running(config(tmp_path), wall) as run:
        run.pass_time(1.0)
        assert run.app.history.incidents() == [before]
        assert run.events("started")[0]["rebuilt_from_detections"] == 5


def test_detections_that_cannot_be_used_are_kept_and_shown(server: Running) -> None:
    stray = detection(0, node="stray")
    untimed = detection(1, node="a", clock_state=ClockState.UNTIMED)
    late = detection(2, node="b", arrival_time_ns=EPOCH_NS - 3_600 * SECOND_NS)
    server.pass_time(1.0)
    server.send([stray, untimed, late])
    assert server.app.history.counts().detections == 3
    assert server.app.history.disposition_counts() == {
        "a": {"untimed": 1},
        "b": {"too_late": 1},
        "stray": {"no_site": 1},
    }
    checks = {check.name: check for check in server.app.health().checks}
    assert checks["sites"].message.startswith(
        "1 nodes have no site, their detections are kept but not used: stray (1 det"
    )


def test_health_covers_every_part(server: Running) -> None:
    server.send(shot())
    report = server.app.health()
    names = [check.name for check in report.checks]
    assert names == [
        "store", "receiver", "backlog", "fusion", "nodes", "node_health", "network", "sites", "clocks", "rejects",
        "sinks", "disk", "event_clock",
    ]  # fmt: skip
    assert {check.name for check in report.checks if check.status != "ok"} == set()
    assert json.loads(json.dumps(report.as_json()))["status"] == "ok"


class Stubborn:
    """An engine that fails on the first detection it is given."""

    made = 0

    def __init__(self) -> None:
        Stubborn.made += 1

    def restore(self, records: Iterable[IncidentRecord]) -> None: ...

    def note_listening(self, node: str, from_ns: int, until_ns: int) -> None: ...

    def add(self, detection: Detection) -> Disposition:  # noqa: ARG002
        raise ZeroDivisionError("a corner that nobody thought of")

    def advance_to(self, now_ns: int) -> tuple[Incident, ...]:  # noqa: ARG002
        return ()


def test_a_failure_of_fusion_is_loud_and_does_not_stop_the_server(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall, Stubborn) as run:
        made = Stubborn.made
        run.send([detection(0)])
        run.send([detection(1)])
        assert run.app.history.counts().detections == 2
        checks = {check.name: check for check in run.app.health().checks}
        assert checks["fusion"].status == "fail"
        assert (
            "failed 2 times and was started afresh, last ZeroDivisionError: a corner that" in checks["fusion"].message
        )
        assert Stubborn.made == made + 2
        assert len(run.events("fusion_failed")) == 1


class Watched(Stubborn):
    """An engine that notes how far it was taken."""

    reached_ns = 0

    def advance_to(self, now_ns: int) -> tuple[Incident, ...]:
        Watched.reached_ns = now_ns
        return ()


class Listener(Stubborn):
    """An engine that notes who it was told listens."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []

    def note_listening(self, node: str, from_ns: int, until_ns: int) -> None:
        self.told.append((node, from_ns, until_ns))

    def add(self, detection: Detection) -> Disposition:  # noqa: ARG002
        return Disposition.FUSED


def test_after_a_start_the_silence_of_who_was_there_counts_from_its_hello_on(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall) as run:
        run._socket.send(encode(hello("a")))
        run.send([detection(0)])
        run.pass_time(4.0)
        run.send([detection(3)])
    engine = Listener()
    with running(config(tmp_path), wall, lambda: engine):
        node, from_ns, until_ns = engine.told[0]
    assert node == "a"
    # From its hello on, which came before its first detection was acknowledged, until it would be silent.
    assert from_ns == EPOCH_NS
    assert until_ns >= EPOCH_NS + 60 * SECOND_NS


def test_fusion_waits_for_nodes_that_date_later(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall, Watched) as run:
        run.pass_time(0.1)
        assert Watched.reached_ns == wall.now_ns
        run._socket.send(encode(hello("a", report_delay_s=2.25)))
        for _ in range(2_000):
            run.app.step(5)
            if Watched.reached_ns != wall.now_ns:
                break
        assert Watched.reached_ns == wall.now_ns - 9 * SECOND_NS // 4


def test_an_incident_that_cannot_be_kept_is_told_and_kept_later(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> bool:
        raise StorageError("the disk is full")

    server.send(shot())
    with monkeypatch.context() as patch:
        patch.setattr(server.app.history, "append_incident", full)
        server.pass_time(4.0)
        assert server.events("incident")
        checks = {check.name: check for check in server.app.health().checks}
        assert checks["store"].status == "fail"
        assert server.app.history.incidents() == []
    server.pass_time(0.1)
    assert len(server.app.history.incidents()) == 1
    assert server.app.health().checks[0].status == "ok"


def test_a_full_disk_stops_acknowledgements_and_nothing_else(server: Running) -> None:
    engine, most_pages = server.app.history.database.engine, [0]

    @sqlalchemy.event.listens_for(engine, "begin")
    def _(db: sqlalchemy.Connection) -> None:
        db.exec_driver_sql(f"PRAGMA max_page_count={most_pages[0]}")

    server.send([detection(0)])
    with engine.connect() as db:
        most_pages[0] = db.exec_driver_sql("PRAGMA page_count").scalar_one()
    batch = [detection(sequence, model_id="m" * 64, arrival_time_ns=EPOCH_NS) for sequence in range(1, 200)]
    with pytest.raises(AssertionError, match="not acknowledged"):
        server.send(batch, rounds=50)
    (store, *_) = server.app.health().checks
    assert store.status == "fail"
    assert "so none is acknowledged" in store.message
    assert "the disk is full; free space on it" in store.message
    most_pages[0] += 1_000
    server.send(batch)
    assert server.app.health().checks[0].status == "ok"
    assert server.app.history.counts().detections == 200


def test_a_replay_clock_makes_event_time_recorded_time_and_marks_it(tmp_path: Path) -> None:
    wall = Wall()
    wall.now_ns = EPOCH_NS + 7 * 365 * 86_400 * SECOND_NS
    clock = (
        '[clock]\nkind = "replay"\nevent_epoch_utc = "2018-12-19T00:49:26Z"\n'
        'wall_epoch_utc = "2025-12-17T00:49:26Z"\nfactor = 2.0\nscene = "FP1"\n'
    )
    with running(config(tmp_path, clock), wall) as run:
        run.send(shot())
        run.pass_time(2.0)
        (record,) = run.app.history.incidents()
        assert record.scene == "FP1"
        assert record.time_utc.startswith("2018-12-19T00:49:26.0")
        assert "REPLAY" in (run.app.close() or run.alerts.getvalue())


def test_the_page_and_the_api_are_served_on_a_free_port(tmp_path: Path, wall: Wall) -> None:
    settings = config(tmp_path)
    http = settings.http.model_copy(update={"enabled": True})
    with running(settings.model_copy(update={"http": http}), wall) as run:
        run.send(shot())
        run.pass_time(4.0)
        ready = run.app.ready()
        assert ready["endpoint"] == run.app.endpoint
        assert run.app.http_url is not None
        assert ready["http"] == run.app.http_url
        with urllib.request.urlopen(run.app.http_url + "incidents", timeout=10) as answer:
            page = json.load(answer)
        assert [item["id"] for item in page["incidents"]] == [record.id for record in run.app.history.incidents()]
        with urllib.request.urlopen(run.app.http_url + "health", timeout=10) as answer:
            assert json.load(answer)["status"] == "ok"


def test_the_scorecard_is_served_in_event_time_with_its_areas(tmp_path: Path) -> None:
    wall = Wall()
    wall.now_ns = EPOCH_NS + 7 * 365 * 86_400 * SECOND_NS
    more = (
        f'[scorecard]\nareas_file = "{tmp_path / "areas.geojson"}"\n'
        '[clock]\nkind = "replay"\nevent_epoch_utc = "2018-12-19T00:49:26Z"\n'
        'wall_epoch_utc = "2025-12-17T00:49:26Z"\nscene = "FP1"\n'
    )
    corners = [[-900, -900], [900, -900], [900, 900], [-900, 900], [-900, -900]]
    area = {
        "type": "Feature",
        "properties": {"name": "range"},
        "geometry": {"type": "Polygon", "coordinates": [corners]},
    }
    (tmp_path / "areas.geojson").write_text(json.dumps(area), encoding="utf-8")
    settings = config(tmp_path, more)
    http = settings.http.model_copy(update={"enabled": True})
    with running(settings.model_copy(update={"http": http}), wall) as run:
        run.send(shot())
        run.pass_time(4.0)
        assert run.app.http_url is not None
        with urllib.request.urlopen(run.app.http_url + "scorecard", timeout=20) as answer:
            card = json.load(answer)
    assert (card["scene"], card["until_utc"][:10]) == ("FP1", "2018-12-19")
    assert (card["areas"][0]["area"], card["areas"][0]["incidents"]) == ("range", 1)
    assert card["settings"]["min_nodes"] == settings.fusion.min_nodes


def test_a_file_of_areas_that_is_none_ends_the_start_cleanly(tmp_path: Path, wall: Wall) -> None:
    settings = config(tmp_path, '[scorecard]\nareas_file = "areas.geojson"\n')
    http = settings.http.model_copy(update={"enabled": True})
    with (
        pytest.raises(InputError, match=r"areas.geojson: cannot read the file: No such file"),
        running(settings.model_copy(update={"http": http}), wall),
    ):
        pass


@pytest.mark.parametrize(("test_alerts", "mode"), [(False, "live"), (True, "demo")])
def test_an_exercise_is_not_shown_as_live(tmp_path: Path, wall: Wall, test_alerts: bool, mode: str) -> None:
    settings = config(tmp_path)
    http = settings.http.model_copy(update={"enabled": True})
    server = settings.server.model_copy(update={"test_alerts": test_alerts})
    with running(settings.model_copy(update={"http": http, "server": server}), wall) as run:
        assert run.app.http_url is not None
        with urllib.request.urlopen(run.app.http_url + "meta", timeout=10) as answer:
            assert json.load(answer)["mode"] == mode


def test_a_taken_http_port_ends_the_start_cleanly(tmp_path: Path, wall: Wall) -> None:
    settings = config(tmp_path)
    with running(settings.model_copy(update={"http": settings.http.model_copy(update={"enabled": True})}), wall) as run:
        assert run.app.http_url is not None
        port = int(run.app.http_url.rstrip("/").rpartition(":")[2])
        second = settings.http.model_copy(update={"enabled": True, "port": port})
        server = settings.server.model_copy(update={"database": str(tmp_path / "second.db")})
        app = ServerApp(settings.model_copy(update={"http": second, "server": server}), log_to=io.StringIO())
        with pytest.raises(
            TransportError, match=rf"cannot serve HTTP on 127.0.0.1:{port} .*the port is in use; stop what"
        ):
            app.__enter__()


def test_run_ends_when_told_or_in_time(tmp_path: Path, wall: Wall) -> None:
    with running(config(tmp_path), wall) as run:
        run.app.run(for_s=0.0)
        run.app.stop()
        run.app.run()


def test_the_checks_before_a_start_name_each_obstacle_and_leave_no_trace(tmp_path: Path) -> None:
    good = config(tmp_path)
    report = check_configuration(good, now_ns=EPOCH_NS)
    assert [(check.name, str(check.status)) for check in report.checks] == [
        ("sites", "ok"), ("store", "ok"), ("receiver", "ok"), ("sinks", "ok"), ("disk", "ok"),
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
    more = '[[sinks]]\nkind = "jsonl"\npath = "/nowhere/alerts.jsonl"\n'
    bad = config(tmp_path / "missing", more)
    messages = {check.name: check.message for check in check_configuration(bad, now_ns=EPOCH_NS).checks}
    assert "create its folder" in messages["store"]
    assert messages["sinks"] == "sink 'jsonl': the folder of /nowhere/alerts.jsonl is not there; create it"
    with History.open(tmp_path / "history.db") as history:
        history.store([])
    store = check_configuration(good, now_ns=EPOCH_NS).checks[1]
    assert store.message == f"0 detections kept in {tmp_path / 'history.db'}"


def test_a_key_file_must_hold_a_secret_that_others_cannot_read(tmp_path: Path) -> None:
    public, secret = (half.decode() for half in zmq.curve_keypair())
    path = tmp_path / "server.key_secret"
    with pytest.raises(InputError, match="cannot read the key"):
        load_key_pair(path)
    path.write_text("metadata\ncurve\n")
    path.chmod(0o600)
    with pytest.raises(InputError, match="holds no CURVE key; make one with `shotline keys new`"):
        load_key_pair(path)
    path.write_text(f'metadata\ncurve\n    public-key = "{public}"\n')
    with pytest.raises(InputError, match="holds only the public key"):
        load_key_pair(path)
    path.write_text(f'metadata\ncurve\n    public-key = "{public}"\n    secret-key = "{secret}"\n')
    keys = load_key_pair(path)
    assert (keys.public, keys.secret) == (public, secret)
    path.chmod(0o644)
    with pytest.raises(InputError, match=r"can be read by others .mode 0644.; run: chmod 600") as caught:
        load_key_pair(path)
    assert secret not in str(caught.value)


def test_a_node_heard_through_the_app_is_known_to_health(server: Running) -> None:
    before = {check.name: check for check in server.app.health().checks}["nodes"]
    assert before.message.startswith("6 of 6 nodes silent: a (never heard), b (never heard)")
    server._socket.send(encode(msgspec.structs.replace(heartbeat("a"), clock_state=ClockState.UNTIMED)))
    for _ in range(2_000):
        server.app.step(5)
        checks = {check.name: check for check in server.app.health().checks}
        if checks["clocks"].status != "ok":
            break
    assert checks["nodes"].numbers == {"surveyed": 6, "silent": 5}
    assert checks["clocks"].message.startswith("1 nodes do not know the time")


def test_a_server_with_keys_says_who_is_refused_reads_its_list_again_and_shows_no_secret(tmp_path: Path) -> None:
    pairs = [KeyPair(*(half.decode() for half in zmq.curve_keypair())) for _ in range(2)]
    server_pair, node_pair = pairs
    secret_file, allow_list = tmp_path / "server.key_secret", tmp_path / "nodes.toml"
    secret_file.write_text(f'curve\n    public-key = "{server_pair.public}"\n    secret-key = "{server_pair.secret}"\n')
    secret_file.chmod(0o600)
    edit_allow_list(allow_list, lambda before: before.enrol("b", server_pair.public, now_ns=EPOCH_NS), create=True)
    keys = f'curve_secret_file = "{secret_file}"\nallow_list = "{allow_list}"\n'
    text = config(tmp_path).model_copy(
        update={
            "server": parse_config(f"[server]\n{keys}", ServerConfig, source="s").server.model_copy(
                update={"bind": "tcp://127.0.0.1:0", "database": str(tmp_path / "history.db")}
            )
        }
    )
    assert check_configuration(text, now_ns=EPOCH_NS).as_json()["status"] != "fail"
    log, alerts = io.StringIO(), io.StringIO()
    with ServerApp(text, now_ns=Wall(), alerts_to=alerts, log_to=log) as app, zmq.Context() as context:
        checks = {check.name: check for check in app.health().checks}
        assert checks["keys"].message == "1 keys accepted"

        def tries(until: Callable[[], bool]) -> None:
            with context.socket(zmq.DEALER) as node:
                node.linger = 0
                node.curve_publickey, node.curve_secretkey = node_pair.public.encode(), node_pair.secret.encode()
                node.curve_serverkey = server_pair.public.encode()
                node.connect(app.endpoint)
                node.send(encode(detection(0, arrival_time_ns=EPOCH_NS)))
                for _ in range(500):
                    app.step(10)
                    if until():
                        return
            raise AssertionError(log.getvalue())

        tries(lambda: "key_refused" in log.getvalue())
        keys_check = {check.name: check for check in app.health().checks}["keys"]
        assert keys_check.status == "warn"
        assert keys_check.message.startswith(
            f"1 connections refused for their key; the last: key {node_pair.public} is"
        )
        edit_allow_list(allow_list, lambda before: before.enrol("a", node_pair.public, now_ns=EPOCH_NS))
        tries(lambda: app.history.counts().detections == 1)
        assert "allow_list_read" in log.getvalue()
        allow_list.write_text("broken")
        app.step(0)
        keys_check = {check.name: check for check in app.health().checks}["keys"]
        assert keys_check.status == "fail"
        assert "the last good one holds (2 keys accepted)" in keys_check.message
        shown = f"{log.getvalue()} {alerts.getvalue()} {app.ready()} {app.health()} {vars(app)}"
    assert not [pair for pair in pairs if pair.secret in shown]


def test_minutes_in_which_nodes_were_heard_are_kept_by_the_hour_and_at_the_end(tmp_path: Path, wall: Wall) -> None:
    hour_ns = EPOCH_NS - EPOCH_NS % HOUR_NS
    wall.now_ns = hour_ns + 57 * MINUTE_NS
    with running(config(tmp_path), wall) as run:
        scores = Scorebook(run.app.history.database)
        run.send([detection(0, node="a", arrival_time_ns=wall.now_ns)])
        run.send([detection(0, node="b", clock_state=ClockState.UNTIMED), detection(1, node="a")])
        wall.now_ns += MINUTE_NS
        run._socket.send(encode(msgspec.structs.replace(heartbeat("b"), clock_state=ClockState.UNTIMED)))
        run.send([detection(2, node="a", arrival_time_ns=wall.now_ns)])
        wall.now_ns += MINUTE_NS
        run._socket.send(encode(msgspec.structs.replace(heartbeat("b"), clock_state=ClockState.UNTIMED)))
        run.send([detection(3, node="a", arrival_time_ns=wall.now_ns)])
        assert scores.heard(hour_ns, hour_ns + HOUR_NS) == []
        wall.now_ns += MINUTE_NS
        run.app.step(0)
        # Node b does not know the time, as was known from the second minute on.
        assert {row.node: row.minutes >> 57 for row in scores.heard(hour_ns, hour_ns + HOUR_NS)} == {
            "": 0b111,
            "a": 0b111,
            "b": 0b001,
        }
    with History.open(tmp_path / "history.db") as history:
        assert Scorebook(history.database).heard(hour_ns + HOUR_NS, hour_ns + 2 * HOUR_NS) == [
            HeardHour(hour_ns + HOUR_NS, "", 1)
        ]


def test_minutes_that_cannot_be_kept_are_kept_later(
    server: Running, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise StorageError("the disk is full")

    scores = Scorebook(server.app.history.database)
    server.app.step(0)
    with monkeypatch.context() as patch:
        patch.setattr(Scorebook, "add_heard", full)
        wall.now_ns += HOUR_NS
        for _ in range(3):
            server.app.step(0)
        assert len(server.events("heard_minutes_not_kept")) == 1
    wall.now_ns += MINUTE_NS
    server.app.step(0)
    (row,) = scores.heard(EPOCH_NS - HOUR_NS, EPOCH_NS + 2 * HOUR_NS)
    assert (row.node, row.minutes.bit_count()) == ("", 1)
