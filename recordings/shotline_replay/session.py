"""One server and its nodes as real processes over ZeroMQ on loopback, on a clock of recorded time.

A *session* plays one stretch of recorded time. The clock is set when the server starts, a little ahead, so that every
process is up before the first sound; who is not up by then is seen, and the caller may try again with a longer lead.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fusion_server.history import History
from shotline.atmosphere import Weather
from shotline.domain import ClockState
from shotline.messages import Detection, pack_frames
from shotline.records import IncidentRecord
from shotline.timebase import EventClock, format_utc, parse_utc
from shotline.units import NS_PER_S
from shotline_models.registry import DEFAULT_CLASSIFIER
from shotline_recordings.dataset import Recording, Scene
from shotline_replay.processes import Child, Children, shotline_command

__all__ = ["NotReadyError", "Session", "SessionResult", "alert_waits_s"]

_READY_S = 60.0
_POLL_S = 0.02
_ASK_S = 0.1
_END_PATIENCE_S = 60.0
_SINK = "jsonl"
_DATABASE, _ALERTS = "history.db", "alerts.jsonl"


class NotReadyError(Exception):
    """Some process was not up when the first sound was due."""


@dataclass(frozen=True, slots=True)
class SessionResult:
    """What came of a session: every revision as it was alerted, and what the nodes could not deliver."""

    revisions: tuple[IncidentRecord, ...]
    unacknowledged: int
    ready_s: float


class Session:
    """Runs one server and the sources of one scene.

    Parameters
    ----------
    scene : Scene
    folder : Path
        For configurations, history, alerts and logs; empty.
    children : Children
        Starts and ends the processes.
    clock : EventClock
    http_port : int
        0 for any free one.
    model : str
        The nodes' classifier; see `sensor_node.network.make_classifier`.
    exercise : bool
        Whether everything that is sent and shown is marked as a test.
    """

    def __init__(
        self,
        scene: Scene,
        folder: Path,
        children: Children,
        *,
        clock: EventClock,
        http_port: int = 0,
        model: str = DEFAULT_CLASSIFIER,
        exercise: bool = False,
    ) -> None:
        self._scene = scene
        self._model = model
        self._folder = folder
        self._children = children
        self._clock = clock
        self._sources: list[Child] = []
        self._names: set[str] = set()
        self._alerts = _Tail(folder / _ALERTS)
        self._started_s = time.monotonic()
        config = folder / "server.toml"
        weather = scene.weather.at(clock.event_epoch_ns)
        config.write_text(_server_toml(scene, weather, clock, http_port=http_port, exercise=exercise), encoding="utf-8")
        self._server = children.start("server", shotline_command("server", "run", "-c", str(config), "--ready-json"))
        ready = json.loads(self._server.line(timeout_s=_READY_S))
        self.endpoint = str(ready["endpoint"])
        self.page = str(ready["http"])

    @property
    def database(self) -> Path:
        """The server's history."""
        return self._folder / _DATABASE

    def start_nodes(self, recordings: Iterable[Recording]) -> None:
        """Start a real node process for each node that recorded something."""
        by_node: dict[str, list[Recording]] = {}
        for recording in recordings:
            by_node.setdefault(recording.node, []).append(recording)
        for node, mine in by_node.items():
            config = self._folder / f"node-{node}.toml"
            config.write_text(_node_toml(node, mine, self.endpoint, self._clock, self._model), encoding="utf-8")
            command = shotline_command("node", "run", "--config", str(config), "--until-done", "--json")
            self._sources.append(self._children.start(f"node-{node}", command))
        self._names |= set(by_node)

    def start_publisher(self, detections: Sequence[Detection]) -> None:
        """Start one process that sends recorded detections of all nodes as their time comes."""
        file = self._folder / "recorded.detections"
        file.write_bytes(b"".join(pack_frames(detections)))
        epoch = (_instant(self._clock.event_epoch_ns), _instant(self._clock.wall_epoch_ns))
        command = [sys.executable, "-m", "shotline_replay.publish", str(file), self.endpoint, *epoch]
        self._sources.append(self._children.start("publisher", [*command, repr(self._clock.factor)]))
        self._names |= {item.node for item in detections}

    def wait_ready(self) -> float:
        """Wait until the server has heard from every node; return how many seconds it took since the start.

        Raises
        ------
        NotReadyError
            The first sound is due before that.
        """
        while waiting := self._names - self._heard():
            if time.time_ns() > self._clock.wall_epoch_ns:
                raise NotReadyError(f"{len(waiting)} of {len(self._names)} nodes: {', '.join(sorted(waiting))}")
            self._require_alive()
            time.sleep(_ASK_S)
        return time.monotonic() - self._started_s

    def play(self, until_ns: int, *, on_alert: Callable[[IncidentRecord], None] = lambda _: None) -> SessionResult:
        """Wait until the sources are done and event time has reached an instant; hand on every alert as it comes.

        Raises
        ------
        EdgeError
            A process ends that should not, or with an error.
        """
        ready_s = time.monotonic() - self._started_s
        revisions: list[IncidentRecord] = []
        give_up_s = time.monotonic() + _END_PATIENCE_S + (self._clock.wall_ns(until_ns) - time.time_ns()) / NS_PER_S
        while self._busy() or time.time_ns() < self._clock.wall_ns(until_ns):
            for record in self._alerts.new():
                revisions.append(record)
                on_alert(record)
            self._require_alive()
            if time.monotonic() > give_up_s:
                busy = next(child for child in self._sources if child.returncode is None)
                raise busy.failed("has not delivered everything long after its last sound")
            time.sleep(_POLL_S)
        unacknowledged = sum(_unacknowledged(child) for child in self._sources)
        for record in self._alerts.new():
            revisions.append(record)
            on_alert(record)
        return SessionResult(tuple(revisions), unacknowledged, ready_s)

    def end_server(self) -> None:
        """End the server cleanly, so that its history is complete."""
        self._server.end()

    def _busy(self) -> bool:
        return any(child.returncode is None for child in self._sources)

    def _require_alive(self) -> None:
        if self._server.returncode is not None:
            raise self._server.failed(f"ended with exit code {self._server.returncode}")
        for child in self._sources:
            if child.returncode:
                raise child.failed(f"ended with exit code {child.returncode}")

    def _heard(self) -> set[str]:
        try:
            with urllib.request.urlopen(f"{self.page}nodes", timeout=_READY_S) as answer:
                page = json.loads(answer.read())
        except (urllib.error.URLError, OSError, ValueError) as error:
            raise self._server.failed(f"does not answer at {self.page}nodes ({error})") from error
        return {item["node"] for item in page["nodes"] if item.get("last_heard_utc")}


def alert_waits_s(
    database: Path, revisions: Sequence[IncidentRecord], clock: EventClock
) -> list[tuple[IncidentRecord, float]]:
    """Return for each delivered revision the wall seconds since the last arrival it rests on was at the microphone.

    The instant of delivery is the server's own receipt: after the line was on the disk.
    """
    waits = []
    with History.open(database) as history:
        delivered = {
            (receipt.incident_id, receipt.revision): receipt.time_ns
            for incident in dict.fromkeys(item.id for item in revisions)
            for receipt in history.receipts(incident)
            if receipt.ok and receipt.sink == _SINK
        }
    for item in revisions:
        used = [parse_utc(arrival.time_utc) for shot in item.shots for arrival in shot.arrivals if arrival.used]
        told_ns = delivered.get((item.id, item.revision))
        if used and told_ns is not None:
            waits.append((item, (told_ns - clock.wall_ns(max(used))) / NS_PER_S))
    return waits


def _server_toml(scene: Scene, weather: Weather, clock: EventClock, *, http_port: int, exercise: bool) -> str:
    """Return the configuration of a server for a scene."""
    lines = ["[server]", 'bind = "tcp://127.0.0.1:0"', f"database = {_text(_DATABASE)}"]
    lines += [f"test_alerts = {str(exercise).lower()}"]
    lines += ["[http]", 'host = "127.0.0.1"', f"port = {http_port}"]
    if scene.frame is not None:
        lines += ["[frame]", f"lat_deg = {scene.frame.lat_deg!r}", f"lon_deg = {scene.frame.lon_deg!r}"]
        lines += [f"height_m = {scene.frame.height_m!r}"]
    lines += ["[weather]", f"temperature_c = {weather.temperature_c!r}", f"wind_speed_mps = {weather.wind_speed_mps!r}"]
    lines += [f"wind_from_deg = {weather.wind_from_deg!r}", f"humidity_percent = {weather.humidity_percent!r}"]
    for site in scene.sites:
        lines += ["[[nodes]]", f"id = {_text(site.node)}", f"x_m = {site.x_m!r}", f"y_m = {site.y_m!r}"]
        lines += [f"z_m = {site.z_m!r}", f"sigma_m = {site.sigma_m!r}"]
    lines += ["[[sinks]]", 'kind = "jsonl"', f"name = {_text(_SINK)}", f"path = {_text(_ALERTS)}"]
    lines += [*_clock_lines(clock), f"scene = {_text(scene.name)}"]
    return "\n".join(lines) + "\n"


def _node_toml(node: str, recordings: Sequence[Recording], endpoint: str, clock: EventClock, model: str) -> str:
    """Return the configuration of a node that plays its recordings on the clock."""
    lines = ["[node]", f"id = {_text(node)}", f"server = {_text(endpoint)}", f'spool = "spool-{node}.db"']
    if recordings[0].full_scale_db_spl is not None:
        lines.append(f"full_scale_db_spl = {recordings[0].full_scale_db_spl!r}")
    lines += ["[detector]", f"model = {_text(_absolute(model))}", *_clock_lines(clock)]
    for item in sorted(recordings, key=lambda item: item.start_time_ns):
        state = ClockState.NTP if item.clock_state is ClockState.UNTIMED else item.clock_state
        lines += ["[[sources]]", f"file = {_text(str(item.path.absolute()))}"]
        lines += [f"start_utc = {_text(_instant(item.start_time_ns))}", f"clock_state = {_text(state.value)}"]
        lines += [f"sigma_ms = {item.clock_sigma_ns / 1e6!r}"]
    return "\n".join(lines) + "\n"


def _absolute(model: str) -> str:
    """Return a classifier's name as it is, and the file of one as it is found from any folder."""
    return str(Path(model).absolute()) if model.endswith(".onnx") else model


class _Tail:
    """New lines of a file that grows."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = 0
        self._decoder = msgspec.json.Decoder(IncidentRecord)

    def new(self) -> Iterator[IncidentRecord]:
        try:
            with self._path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except FileNotFoundError:
            return
        whole, _, _ = data.rpartition(b"\n")
        self._read += len(whole) + 1 if whole else 0
        for line in whole.splitlines():
            yield self._decoder.decode(line)


def _unacknowledged(child: Child) -> int:
    words = child.rest().strip().splitlines()
    return int(json.loads(words[-1])["unacked"]) if words else 0


def _clock_lines(clock: EventClock) -> list[str]:
    return [
        "[clock]",
        'kind = "replay"',
        f"event_epoch_utc = {_text(_instant(clock.event_epoch_ns))}",
        f"wall_epoch_utc = {_text(_instant(clock.wall_epoch_ns))}",
        f"factor = {clock.factor!r}",
    ]


def _instant(time_ns: int) -> str:
    return format_utc(time_ns, digits=9)


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
