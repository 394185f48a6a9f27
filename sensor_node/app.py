"""The node put together: sound files through the pipeline to the server or to a file. The only place with a clock."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from types import FrameType
from urllib.parse import urlsplit

from sensor_node.audiofile import AudioInfo, boot_for_file, inspect_audio, read_blocks
from sensor_node.config import NodeConfig
from sensor_node.connection import CurveClientKeys
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline
from sensor_node.diskspool import DiskSpool
from sensor_node.network import gunshot_threshold, make_classifier
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.sampleclock import FixedRateClock
from sensor_node.spool import MemorySpool, Spool, SpoolCounts, SpoolLimits
from sensor_node.spoolfile import look
from shotline import __version__
from shotline.config import is_this_machine
from shotline.domain import ClockState
from shotline.errors import AudioError, InputError, ShotlineError, StorageError
from shotline.health import Check, CheckStatus
from shotline.keyfiles import load_key_pair
from shotline.messages import Detection, Heartbeat, Hello, pack_frames
from shotline.onsets import OnsetSettings
from shotline.timebase import EventClock, format_utc, parse_utc
from shotline.units import NS_PER_MS, NS_PER_S, ns_from_seconds
from shotline_models.registry import DEFAULT_CLASSIFIER

__all__ = [
    "FileSource",
    "NodeApp",
    "NodeProfile",
    "Summary",
    "check_node",
    "profile_from_config",
    "replay_to_file",
    "replay_to_server",
    "run_node",
    "sources_from_config",
    "stop_on_signals",
]

_BLOCK_S = 0.05
_IDLE_MS = 100
_REACH_S = 3.0
_ZMTP_SIGNATURE_BYTES = 10
_LEAST_USEFUL_RATE_HZ = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSource:
    """A sound file and what is known about its time.

    Parameters
    ----------
    path : Path
    start_time_ns : int | None
        UTC of the first sample; None when nobody knows.
    channel : int | None
        1 for the first.
    clock_state : ClockState
        What dated it; not used without a start time.
    sigma_ns : int
        1-sigma of the start time.
    """

    path: Path
    start_time_ns: int | None
    channel: int | None = None
    clock_state: ClockState = ClockState.NTP
    sigma_ns: int = NS_PER_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeProfile:
    """What all files of a node have in common; see `NodePipeline`.

    ``model`` is what `make_classifier` takes; with ``report_per_hour`` only what it takes for a gunshot is reported, at
    so many false alarms an hour.
    """

    node: str
    calibration_id: str | None = None
    full_scale_db_spl: float | None = None
    settings: DetectorSettings = field(default_factory=DetectorSettings)
    model: str = DEFAULT_CLASSIFIER
    report_per_hour: float | None = None


@dataclass(slots=True)
class Summary:
    """What a node has done: files and samples read, what became of the onsets, and what the server said.

    What was dropped, and the damaged spools, are counts of the spool: since its file was made.
    """

    node: str
    files: int = 0
    samples: int = 0
    seconds: float = 0.0
    gaps: int = 0
    gap_samples: int = 0
    onsets: int = 0
    rejected_onsets: int = 0
    detections: int = 0
    clock_state: str = ClockState.UNTIMED.value
    unacked: int = 0
    rejected_by_server: int = 0
    dropped_detections: int = 0
    dropped_heartbeats: int = 0
    damaged_spools: int = 0
    stopped: bool = False
    problem: str = ""


class NodeApp:
    """Plays sources through pipelines, one after the other, and hands on what is heard.

    Parameters
    ----------
    profile : NodeProfile
    sources : sequence of FileSource
        In time order.
    """

    def __init__(self, profile: NodeProfile, sources: Sequence[FileSource]) -> None:
        self._profile = profile
        self._classifier = make_classifier(profile.model)
        self._settings = profile.settings.wide_enough_for(self._classifier.frame)
        if profile.report_per_hour is not None:
            threshold = gunshot_threshold(self._classifier, profile.report_per_hour)
            self._settings = replace(self._settings, gunshot_above=threshold)
        self._sources = [(source, _inspect(source)) for source in sources]
        _require_order(self._sources)
        self._pipeline: NodePipeline | None = None
        self._state = ClockState.UNTIMED
        self._sigma_ns = 0
        self._boot = self._boot_of(self._sources[0][0]) if self._sources else 0
        self.summary = Summary(node=profile.node)
        self.broken: list[AudioError] = []
        """Files that broke off or held what is not sound, and where; what came before that was heard."""
        self.event_time_ns = self.start_time_ns

    @property
    def start_time_ns(self) -> int:
        """UTC of the first sample of all; 0 when nobody knows."""
        return (self._sources[0][0].start_time_ns or 0) if self._sources else 0

    def detections(self, wait_until: Callable[[int], bool]) -> Iterator[list[Detection]]:
        """Yield what each block brought, often nothing.

        Parameters
        ----------
        wait_until : callable (event_time_ns) -> bool
            Called before each block with the event time at which its last sample was recorded; False stops.
        """
        for source, info in self._sources:
            yield from self._play(source, info, wait_until)
            if self.summary.stopped:
                return

    def hello(self) -> Hello:
        """Return who this node is, now."""
        return Hello(
            node=self._profile.node,
            boot=self._boot,
            time_ns=self.event_time_ns,
            software_version=__version__,
            model_id=self._classifier.model_id,
            sample_rate_hz=self._sources[0][1].sample_rate_hz if self._sources else 1,
            clock_state=self._state,
        )

    def heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        """Return how this node is, now."""
        pipeline = self._pipeline
        noise_level_db = None if pipeline is None else pipeline.noise_level_db
        return Heartbeat(
            node=self._profile.node,
            boot=self._boot,
            time_ns=self.event_time_ns,
            clock_state=self._state,
            clock_sigma_ns=self._sigma_ns,
            next_sequence=0 if pipeline is None else pipeline.next_sequence,
            unacked=counts.unacked,
            gap_samples=self.summary.gap_samples + (0 if pipeline is None else pipeline.counters.gap_samples),
            noise_level_db=0.0 if noise_level_db is None else noise_level_db,
        )

    def _play(
        self, source: FileSource, info: AudioInfo, wait_until: Callable[[int], bool]
    ) -> Iterator[list[Detection]]:
        clock = _clock(source, info)
        pipeline = NodePipeline(
            identity=NodeIdentity(self._profile.node, self._boot_of(source), self._profile.calibration_id),
            sample_rate_hz=info.sample_rate_hz,
            clock=clock,
            classifier=self._classifier,
            settings=self._settings,
            full_scale_db_spl=self._profile.full_scale_db_spl,
        )
        self._pipeline, self._boot = pipeline, self._boot_of(source)
        self._state, self._sigma_ns = clock.state, clock.sigma_ns
        self.summary.clock_state = clock.state.value
        self.summary.files += 1
        block_samples = max(1, round(_BLOCK_S * info.sample_rate_hz))
        try:
            for block in read_blocks(source.path, block_samples=block_samples, channel=source.channel):
                complete_ns = clock.utc_at(block.end_sample).time_ns
                if not wait_until(complete_ns):
                    self.summary.stopped = True
                    break
                self.event_time_ns = complete_ns
                yield self._counted(pipeline.process(block))
        except AudioError as error:
            self.broken.append(AudioError(error.problems[0].message, source=source.path, field=error.problems[0].field))
        yield self._counted(pipeline.flush())
        self._add_up(pipeline, info)

    def _counted(self, detections: list[Detection]) -> list[Detection]:
        self.summary.detections += len(detections)
        return detections

    def _add_up(self, pipeline: NodePipeline, info: AudioInfo) -> None:
        counters, summary = pipeline.counters, self.summary
        summary.samples += counters.samples
        summary.seconds += counters.samples / info.sample_rate_hz
        summary.gaps += counters.gaps
        summary.gap_samples += counters.gap_samples
        summary.onsets += counters.onsets
        summary.rejected_onsets += counters.rejected
        self._pipeline = None

    def _boot_of(self, source: FileSource) -> int:
        profile = self._profile
        settings = repr(
            (
                source.channel,
                source.start_time_ns is None or (source.clock_state.value, source.sigma_ns),
                profile.calibration_id,
                profile.full_scale_db_spl,
                profile.settings,
                self._classifier.model_id,
            )
        )
        return boot_for_file(source.path, profile.node, source.start_time_ns or 0, settings=settings)


def profile_from_config(config: NodeConfig) -> NodeProfile:
    """Return what the configuration says about the node."""
    detector = config.detector
    return NodeProfile(
        node=config.node.id,
        calibration_id=config.node.calibration_id,
        full_scale_db_spl=config.node.full_scale_db_spl,
        settings=DetectorSettings(
            onsets=OnsetSettings(threshold_db=detector.threshold_db, high_pass_hz=detector.high_pass_hz),
            min_snr_db=detector.min_snr_db,
        ),
        model=detector.model,
        report_per_hour=detector.report_per_hour,
    )


def sources_from_config(config: NodeConfig) -> list[FileSource]:
    """Return the sources that the configuration lists."""
    return [
        FileSource(
            path=Path(source.file),
            start_time_ns=None if source.start_utc is None else parse_utc(source.start_utc),
            channel=source.channel,
            clock_state=source.state,
            sigma_ns=ns_from_seconds(source.sigma_ms / 1000.0),
        )
        for source in config.sources
    ]


def replay_to_file(app: NodeApp, out: Path) -> Summary:
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
    app: NodeApp, endpoint: str, *, clock: EventClock | None, stopping: Callable[[], bool], patience_s: float
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
        curve=None,
    )


def run_node(config: NodeConfig, *, until_done: bool, stopping: Callable[[], bool]) -> Summary:
    """Run the configured node until it is told to stop; with ``until_done``, until everything is acknowledged."""
    curve = _curve(config)
    app = NodeApp(profile_from_config(config), sources_from_config(config))
    spool = _spool(config)
    try:
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
        )
    finally:
        spool.close()


def _spool(config: NodeConfig) -> Spool:
    node = config.node
    if node.spool is None:
        return MemorySpool()
    limits = SpoolLimits(most_rows=node.spool_most_rows, most_bytes=node.spool_most_bytes)
    return DiskSpool(Path(node.spool), limits)


def _serve(
    app: NodeApp,
    endpoint: str,
    spool: Spool,
    *,
    clock: EventClock | None,
    stopping: Callable[[], bool],
    until_done: bool,
    patience_s: float | None,
    heartbeat_s: float,
    curve: CurveClientKeys | None,
) -> Summary:
    before = spool.counts()
    journal = _SpoolJournal(spool)
    with Publisher(
        endpoint,
        spool=spool,
        hello=app.hello,
        heartbeat=app.heartbeat,
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
        summary = app.summary
        spool.flush()
        journal.tell()
        counts = spool.counts()
        summary.unacked = counts.unacked
        summary.rejected_by_server = counts.rejected - before.rejected
        summary.dropped_detections = counts.dropped_detections
        summary.dropped_heartbeats = counts.dropped_heartbeats
        summary.damaged_spools = counts.damaged_files
        summary.stopped = summary.stopped or stopping()
        durable = isinstance(spool, DiskSpool)
        summary.problem = "; ".join(
            filter(
                None,
                (
                    *map(str, app.broken),
                    _lost(before, counts),
                    spool.problem or _problem(publisher, summary, durable=durable),
                ),
            )
        )
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


class _SpoolJournal:
    """Says on stderr, one JSON object a line, when the spool's disk fails, when it is well again, what was damaged."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._told: tuple[str, str] = ("", "")

    def tell(self) -> None:
        """Say what is new."""
        notice = self._spool.notice if isinstance(self._spool, DiskSpool) else ""
        now = (self._spool.problem, notice)
        if now != self._told:
            self._told = now
            event = {"event": "spool", "problem": now[0], "notice": now[1], "in_memory": self._spool.counts().in_memory}
            print(json.dumps(event), file=sys.stderr, flush=True)


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


def _curve(config: NodeConfig) -> CurveClientKeys | None:
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


def check_node(config: NodeConfig) -> list[Check]:
    """Look at everything a configured node needs, without disturbing one that runs."""
    checks = [Check("config", CheckStatus.OK, f"node '{config.node.id}', {len(config.sources)} sources")]
    infos: list[tuple[FileSource, AudioInfo]] = []
    problems: list[str] = []
    for source in sources_from_config(config):
        try:
            infos.append((source, _inspect(source)))
        except ShotlineError as error:
            problems.append(str(error))
    checks.append(_check_sources(infos, problems))
    checks.append(_check_sample_rate(infos))
    checks.append(_check_clock(config))
    checks.append(_check_calibration(config))
    checks.append(_check_spool(config))
    checks.append(_check_keys(config))
    checks.append(_check_server(config.node.server))
    return checks


def _check_sources(infos: list[tuple[FileSource, AudioInfo]], problems: list[str]) -> Check:
    seconds = sum(info.duration_s for _, info in infos)
    numbers: dict[str, int | float] = {"readable": len(infos), "unreadable": len(problems), "duration_s": seconds}
    if not problems:
        try:
            _require_order(infos)
        except InputError as error:
            problems = [str(error)]
    if problems:
        return Check("sources", CheckStatus.FAIL, "; ".join(problems), numbers)
    return Check("sources", CheckStatus.OK, f"{len(infos)} files can be read, {seconds:.1f} s of sound", numbers)


def _check_sample_rate(infos: list[tuple[FileSource, AudioInfo]]) -> Check:
    rates = sorted({info.sample_rate_hz for _, info in infos})
    if not rates:
        return Check("sample_rate", CheckStatus.FAIL, "no file can be read, so no rate is known; see sources")
    numbers: dict[str, int | float] = {"lowest_hz": rates[0], "highest_hz": rates[-1]}
    if rates[0] < _LEAST_USEFUL_RATE_HZ:
        text = f"{rates[0]} Hz is too low to tell impulses apart; record at {_LEAST_USEFUL_RATE_HZ} Hz or more"
        return Check("sample_rate", CheckStatus.FAIL, text, numbers)
    if len(rates) > 1:
        text = f"files of one node differ: {', '.join(map(str, rates))} Hz; was the recorder set up anew?"
        return Check("sample_rate", CheckStatus.WARN, text, numbers)
    return Check("sample_rate", CheckStatus.OK, f"{rates[0]} Hz", numbers)


def _check_clock(config: NodeConfig) -> Check:
    untimed = [Path(source.file).name for source in config.sources if source.start_utc is None]
    numbers: dict[str, int | float] = {"untimed_files": len(untimed)}
    if untimed:
        text = (
            f"the clock is not set: no start time for {', '.join(untimed)}; its detections are marked untimed and "
            "cannot be located; give start_utc"
        )
        return Check("clock", CheckStatus.FAIL, text, numbers)
    numbers["worst_sigma_ms"] = max(source.sigma_ms for source in config.sources)
    states = ", ".join(sorted({source.clock_state for source in config.sources}))
    return Check("clock", CheckStatus.OK, f"every file has a start time ({states})", numbers)


def _check_calibration(config: NodeConfig) -> Check:
    if config.node.full_scale_db_spl is None:
        text = "not calibrated: levels are in dBFS and cannot be compared between nodes; give full_scale_db_spl"
        return Check("calibration", CheckStatus.WARN, text)
    return Check("calibration", CheckStatus.OK, f"full scale is {config.node.full_scale_db_spl:g} dB SPL")


def _check_spool(config: NodeConfig) -> Check:
    if config.node.spool is None:
        text = "in memory only: what is not acknowledged is lost when the node stops; give node.spool"
        return Check("spool", CheckStatus.WARN, text)
    path = Path(config.node.spool)
    writable = path if path.exists() else path.parent
    if not path.parent.is_dir():
        return Check("spool", CheckStatus.FAIL, f"the folder {path.parent} does not exist; create it")
    if not os.access(writable, os.W_OK):
        return Check("spool", CheckStatus.FAIL, f"{writable} cannot be written; give this user write permission")
    if not path.exists():
        return Check("spool", CheckStatus.OK, f"{path} can be written")
    try:
        counts = look(path)
    except StorageError as error:
        return Check("spool", CheckStatus.WARN, f"{error}; at its next start the node sets a damaged one aside")
    numbers: dict[str, int | float] = {
        "waiting": counts.waiting,
        "rejected": counts.rejected,
        "size_bytes": counts.size_bytes,
        **counts.lost.as_dict(),
    }
    if counts.lost.dropped_detections or counts.lost.damaged_files:
        text = (
            f"{path} has dropped {counts.lost.dropped_detections} detections for want of room and was found damaged "
            f"{counts.lost.damaged_files} times; {counts.waiting} wait"
        )
        return Check("spool", CheckStatus.WARN, text, numbers)
    return Check("spool", CheckStatus.OK, f"{path} can be written, {counts.waiting} detections wait", numbers)


def _check_keys(config: NodeConfig) -> Check:
    try:
        curve = _curve(config)
    except InputError as error:
        return Check("keys", CheckStatus.FAIL, str(error))
    if curve is None and is_this_machine(config.node.server):
        return Check("keys", CheckStatus.OK, "none, and none needed: the server is on this machine")
    if curve is None:
        text = "none: what is sent can be read and forged on its way; give node.key_file and node.server_key"
        return Check("keys", CheckStatus.WARN, text)
    successor = "no successor" if curve.server_next_public is None else "a successor"
    text = f"this node is {curve.own.public}; the server's key is pinned, with {successor}"
    return Check("keys", CheckStatus.OK, text)


def _check_server(endpoint: str) -> Check:
    try:
        greeting = _greeting(endpoint)
    except (OSError, ValueError) as error:
        text = f"{endpoint} is not reached ({error}); is the server running, is the address right?"
        return Check("server", CheckStatus.FAIL, text)
    if len(greeting) < _ZMTP_SIGNATURE_BYTES or greeting[0] != 0xFF or greeting[9] != 0x7F:
        return Check("server", CheckStatus.FAIL, f"{endpoint} answers, but not as a Shotline server; check the port")
    return Check("server", CheckStatus.OK, f"{endpoint} answers")


def _greeting(endpoint: str) -> bytes:
    """Return the first bytes that a ZeroMQ peer says of itself (RFC 23), without saying who asks."""
    parts = urlsplit(endpoint)
    if parts.scheme == "ipc":
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(_REACH_S)
    else:
        if parts.hostname is None or parts.port is None:
            raise ValueError("no host and port in it; write it like tcp://server.example:5570")
        connection = socket.create_connection((parts.hostname, parts.port), timeout=_REACH_S)
    with connection:
        if parts.scheme == "ipc":
            connection.connect(endpoint.removeprefix("ipc://"))
        seen = b""
        while len(seen) < _ZMTP_SIGNATURE_BYTES and (more := connection.recv(_ZMTP_SIGNATURE_BYTES - len(seen))):
            seen += more
        return seen


def _inspect(source: FileSource) -> AudioInfo:
    return inspect_audio(source.path, channel=source.channel)


def _clock(source: FileSource, info: AudioInfo) -> FixedRateClock:
    if source.start_time_ns is None:
        return FixedRateClock.untimed(info.sample_rate_hz)
    return FixedRateClock(source.start_time_ns, info.sample_rate_hz, source.sigma_ns, source.clock_state)


def _require_order(sources: Sequence[tuple[FileSource, AudioInfo]]) -> None:
    timed = [(source, info) for source, info in sources if source.start_time_ns is not None]
    for (before, info), (after, _) in pairwise(timed):
        end_ns = _clock(before, info).utc_at(info.samples).time_ns
        assert after.start_time_ns is not None
        if after.start_time_ns + NS_PER_S // info.sample_rate_hz < end_ns:
            raise InputError(
                f"starts at {format_utc(after.start_time_ns)}, before {before.path.name} ends at {format_utc(end_ns)}; "
                "a node hears one thing at a time, so correct the start times",
                source=after.path,
                field="start_utc",
            )
