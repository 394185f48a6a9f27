"""The node put together: a sound card or sound files, through the pipeline, to the server or to a file."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from sensor_node.capture import CaptureEvent
from sensor_node.config import NodeConfig
from sensor_node.connection import CurveClientKeys
from sensor_node.diskspool import DiskSpool
from sensor_node.nodehealth import TimeReport
from sensor_node.placefile import read_place
from sensor_node.player import FilePlayer, sources_from_config
from sensor_node.profile import Summary, profile_from_config
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.sdnotify import Notifier
from sensor_node.spool import MemorySpool, Spool, SpoolCounts, SpoolLimits
from sensor_node.station import Station
from sensor_node.vitals import Vitals, with_health
from shotline.errors import AudioError, InputError, StorageError
from shotline.health import Check, CheckStatus, worst_status
from shotline.keyfiles import load_key_pair
from shotline.messages import Heartbeat, pack_frames
from shotline.timebase import EventClock, parse_utc
from shotline.units import NS_PER_MS

__all__ = ["curve_keys", "replay_to_file", "replay_to_server", "run_node", "stop_on_signals"]

_IDLE_MS = 100
_LIVE_MS = 40
_LAST_WORDS_S = 2.0


def replay_to_file(app: FilePlayer, out: Path) -> Summary:
    """Play as fast as possible into a file of detections; it appears when it is complete.

    Raises
    ------
    StorageError
        The file cannot be written.
    AudioError
        The sound breaks off or is not sound; nothing is written.
    """
    part = out.with_name(f"{out.name}.part")
    try:
        with part.open("wb") as file:
            for detections in app.detections(lambda _: True):
                file.writelines(pack_frames(detections))
        if app.broken:
            raise app.broken[0]
        part.replace(out)
    except OSError as error:
        raise StorageError(f"cannot write {out}: {error.strerror}; free space or choose another place") from error
    finally:
        with suppress(OSError):
            part.unlink()
    return app.summary


def replay_to_server(
    app: FilePlayer,
    endpoint: str,
    *,
    clock: EventClock | None,
    stopping: Callable[[], bool],
    patience_s: float,
    curve: CurveClientKeys | None = None,
) -> Summary:
    """Play to a server, and wait until it has acknowledged everything or has said nothing new for ``patience_s``."""
    return _serve(
        app,
        endpoint,
        MemorySpool(),
        clock=clock,
        stopping=stopping,
        until_done=True,
        patience_s=patience_s,
        heartbeat_s=PublisherSettings().heartbeat_s,
        curve=curve,
    )


def run_node(config: NodeConfig, *, until_done: bool, stopping: Callable[[], bool]) -> Summary:
    """Run the configured node until it is told to stop.

    Parameters
    ----------
    config : NodeConfig
    until_done : bool
        End when every file is heard and everything is acknowledged. A sound card never ends.
    stopping : callable () -> bool
        Asked many times a second.

    Raises
    ------
    InputError
        ``until_done`` with a sound card; or something in the configuration cannot be used.
    """
    notifier = Notifier(os.environ, pid=os.getpid())
    stopping = _watched(stopping, notifier)
    curve = curve_keys(config)
    if config.capture is not None and until_done:
        raise InputError("a sound card never ends; --until-done is for sound files")
    app = None
    if config.capture is None:
        app = FilePlayer(profile_from_config(config), sources_from_config(config))
        vitals = Vitals(config, model_id=app.model_id, sample_rate_hz=app.sample_rate_hz)
        app.listener = vitals.sound
    spool = _spool(config)
    try:
        if app is None:
            return _listen(config, spool, stopping=stopping, curve=curve, notifier=notifier)
        notifier.ready(f"{config.node.id} plays files")
        return _serve(
            app,
            config.node.server,
            spool,
            clock=_event_clock(config, app.start_time_ns),
            stopping=stopping,
            until_done=until_done,
            patience_s=None,
            heartbeat_s=config.node.heartbeat_interval_s,
            curve=curve,
            vitals=vitals,
        )
    finally:
        spool.close()


def _listen(
    config: NodeConfig,
    spool: Spool,
    *,
    stopping: Callable[[], bool],
    curve: CurveClientKeys | None,
    notifier: Notifier,
) -> Summary:
    """Listen to the sound card until told to stop, then give the server a moment to take what is left."""
    before = spool.counts()
    journal = _Journal(spool)
    station = Station(config, remembered=read_place(config))

    def heartbeat(counts: SpoolCounts) -> Heartbeat:
        checks = station.checks(counts, spool, publisher)
        notifier.status(_status(config, checks))
        return with_health(station.heartbeat(counts), checks, counts)

    with (
        Publisher(
            config.node.server,
            spool=spool,
            hello=station.hello,
            heartbeat=heartbeat,
            monotonic_s=time.monotonic,
            settings=PublisherSettings(heartbeat_s=config.node.heartbeat_interval_s),
            curve=curve,
            clip_request=station.clip,
        ) as publisher,
        station,
    ):
        notifier.ready(f"{config.node.id} listens")
        while not stopping():
            publisher.poll(_LIVE_MS)
            detections, events = station.step()
            for detection in detections:
                publisher.send(detection)
            journal.tell(events)
        notifier.stopping()
        for detection in station.finish():
            publisher.send(detection)
        publisher.drain(time.monotonic() + _LAST_WORDS_S)
        return _concluded(station.summary, publisher, spool, before, journal, stopped=True)


def _watched(stopping: Callable[[], bool], notifier: Notifier) -> Callable[[], bool]:
    """Return the same question, which also tells systemd that the loop comes round."""
    told_s = -math.inf

    def ask() -> bool:
        nonlocal told_s
        now_s = time.monotonic()
        if notifier.watchdog_s is not None and now_s - told_s > notifier.watchdog_s / 4.0:
            notifier.alive()
            told_s = now_s
        return stopping()

    return ask


def _status(config: NodeConfig, checks: Sequence[Check]) -> str:
    """Return one line for ``systemctl status``."""
    worst = worst_status(checks)
    wrong = [f"{check.name}: {check.message}" for check in checks if check.status is worst]
    return f"{config.node.id}: all is well" if worst is CheckStatus.OK else f"{config.node.id}: {'; '.join(wrong)}"


def _spool(config: NodeConfig) -> Spool:
    node = config.node
    if node.spool is None:
        return MemorySpool()
    limits = SpoolLimits(most_rows=node.spool_most_rows, most_bytes=node.spool_most_bytes)
    return DiskSpool(Path(node.spool), limits)


def _serve(
    app: FilePlayer,
    endpoint: str,
    spool: Spool,
    *,
    clock: EventClock | None,
    stopping: Callable[[], bool],
    until_done: bool,
    patience_s: float | None,
    heartbeat_s: float,
    curve: CurveClientKeys | None,
    vitals: Vitals | None = None,
) -> Summary:
    before = spool.counts()
    journal = _Journal(spool)

    def heartbeat(counts: SpoolCounts) -> Heartbeat:
        plain = app.heartbeat(counts)
        if vitals is None:
            return plain
        state, sigma_ns = app.clock
        checks = vitals.checks(counts, spool, publisher, clock=TimeReport(state=state, sigma_ns=sigma_ns))
        return with_health(plain, checks, counts)

    with Publisher(
        endpoint,
        spool=spool,
        hello=app.hello,
        heartbeat=heartbeat,
        monotonic_s=time.monotonic,
        settings=PublisherSettings(heartbeat_s=heartbeat_s),
        curve=curve,
    ) as publisher:

        def wait_until(event_ns: int) -> bool:
            journal.tell()
            return _wait(publisher, clock, event_ns, stopping)

        for detections in app.detections(wait_until):
            for detection in detections:
                publisher.send(detection)
        progress_s, left = time.monotonic(), publisher.unacked
        while not stopping() and not (until_done and not publisher.unacked):
            publisher.poll(_IDLE_MS)
            journal.tell()
            if clock is not None:
                app.event_time_ns = max(app.event_time_ns, clock.event_ns(time.time_ns()))
            if publisher.unacked != left:
                progress_s, left = time.monotonic(), publisher.unacked
            if patience_s is not None and time.monotonic() - progress_s > patience_s:
                break
        stopped = app.summary.stopped or stopping()
        return _concluded(app.summary, publisher, spool, before, journal, stopped=stopped, broken=app.broken)


def _concluded(
    summary: Summary,
    publisher: Publisher,
    spool: Spool,
    before: SpoolCounts,
    journal: _Journal,
    *,
    stopped: bool,
    broken: Sequence[AudioError] = (),
) -> Summary:
    """Return the summary with what became of the detections."""
    spool.flush()
    journal.tell()
    counts = spool.counts()
    summary.unacked = counts.unacked
    summary.rejected_by_server = counts.rejected - before.rejected
    summary.dropped_detections = counts.dropped_detections
    summary.dropped_heartbeats = counts.dropped_heartbeats
    summary.damaged_spools = counts.damaged_files
    summary.stopped = stopped
    durable = isinstance(spool, DiskSpool)
    problems = (
        *map(str, broken),
        _lost(before, counts),
        spool.problem or _problem(publisher, summary, durable=durable),
    )
    summary.problem = "; ".join(filter(None, problems))
    return summary


def _wait(publisher: Publisher, clock: EventClock | None, event_ns: int, stopping: Callable[[], bool]) -> bool:
    """Serve the connection until an instant of event time; return False when told to stop."""
    if clock is None:
        publisher.poll(0)
        return not stopping()
    due_ns = clock.wall_ns(event_ns)
    while not stopping():
        left_ns = due_ns - time.time_ns()
        publisher.poll(max(0, min(_IDLE_MS, -(-left_ns // NS_PER_MS))))
        if left_ns <= 0:
            return True
    return False


class _Journal:
    """Says on stderr, one JSON object a line, what happens to the spool's disk and to the sound card."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._told: tuple[str, str] = ("", "")

    def tell(self, events: Sequence[CaptureEvent] = ()) -> None:
        """Say what is new."""
        for event in events:
            _log("capture", kind=event.kind.value, message=event.message)
        notice = self._spool.notice if isinstance(self._spool, DiskSpool) else ""
        now = (self._spool.problem, notice)
        if now != self._told:
            self._told = now
            _log("spool", problem=now[0], notice=now[1], in_memory=self._spool.counts().in_memory)


def _log(event: str, **fields: object) -> None:
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


def _lost(before: SpoolCounts, after: SpoolCounts) -> str:
    """Return what this run lost, "" if nothing."""
    parts = []
    if dropped := after.dropped_detections - before.dropped_detections:
        parts.append(f"{dropped} detections had to make room for newer ones; give spool_most_rows more, or more disk")
    if after.in_memory:
        parts.append(f"{after.in_memory} detections are in memory only and end with the process")
    return "; ".join(parts)


def _problem(publisher: Publisher, summary: Summary, *, durable: bool) -> str:
    """Return what went wrong, "" if nothing: what waits on disk when told to stop is sent at the next start."""
    if summary.rejected_by_server:
        return f"the server refused {summary.rejected_by_server} detections; the last: {publisher.last_reject}"
    if summary.unacked and not (summary.stopped and durable):
        why = publisher.connection_problem or publisher.last_reject or "it does not acknowledge; look at its log"
        return f"{summary.unacked} detections are not acknowledged by the server: {why}"
    return ""


def curve_keys(config: NodeConfig) -> CurveClientKeys | None:
    node = config.node
    if node.key_file is None or node.server_key is None:
        return None
    return CurveClientKeys(load_key_pair(Path(node.key_file)), node.server_key, node.server_next_key)


def _event_clock(config: NodeConfig, start_time_ns: int) -> EventClock | None:
    section = config.clock
    if section is None:
        return None
    if section.event_epoch_utc is None or section.wall_epoch_utc is None:
        return EventClock(start_time_ns, time.time_ns(), section.factor)
    return EventClock(parse_utc(section.event_epoch_utc), parse_utc(section.wall_epoch_utc), section.factor)


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Within this, SIGTERM and SIGINT (Ctrl-C) do not kill but make the function given return True."""
    caught: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        caught.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(caught)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
