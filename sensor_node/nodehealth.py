"""The checks of a running node, put together: sound and readings in, the list for the heartbeat out.

It opens nothing and asks no clock. What counts by the hour, and the processor's share, come from earlier calls.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

from sensor_node.board import BoardFacts, DiskSpace
from sensor_node.capture import CaptureState
from sensor_node.chrony import Tracking
from sensor_node.framing import AudioBlock
from sensor_node.gpsd import Fix, GpsdState, Sky
from sensor_node.micstats import MicrophoneStats
from sensor_node.place import NoPlace, Place
from sensor_node.ring import RingCounters
from sensor_node.selftest import (
    OverrunCounts,
    check_calibration,
    check_capture,
    check_cpu,
    check_disk,
    check_gps,
    check_memory,
    check_microphone,
    check_model,
    check_overruns,
    check_place,
    check_rate,
    check_server,
    check_spool,
    check_temperature,
    check_time,
    check_version,
    check_voltage,
)
from sensor_node.spool import SpoolCounts
from shotline.domain import ClockState
from shotline.health import Check

__all__ = [
    "CaptureReport",
    "HealthInputs",
    "HealthSettings",
    "NodeHealth",
    "ServerReport",
    "TimeReport",
    "board_checks",
    "gps_check",
    "overruns_of",
    "time_check",
]

_SETTLE_S = 1.0
_HOUR_S = 3600.0
_STEPS = 60
_LEAST_SHARE_S = 0.5
"""Over less the processor's share is left as it was: its time is counted in steps of 10 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthSettings:
    """What does not change while a node runs.

    Parameters
    ----------
    sample_rate_hz : int
    server : str
        Endpoint.
    version, model_id : str
    calibration_id, full_scale_db_spl
        None: not calibrated.
    spool : str | None
        The file; None in memory.
    spool_most_rows : int | None
    gpsd : bool
        Whether the node listens to a gpsd; without it there is no check ``gps`` and none of the ``place``.
    """

    sample_rate_hz: int
    server: str
    version: str
    model_id: str
    calibration_id: str | None = None
    full_scale_db_spl: float | None = None
    spool: str | None = None
    spool_most_rows: int | None = None
    gpsd: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureReport:
    """What `sensor_node.capture.Capture` and its ring say now."""

    state: CaptureState
    counters: RingCounters
    device: str = ""
    problem: str = ""
    reopens: int = 0
    callback_errors: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeReport:
    """What the sample clock says now, and what chronyd last said; ``tracking_problem`` is why it said nothing."""

    state: ClockState
    sigma_ns: int | None
    rate_offset_ppm: float = math.nan
    rate_sigma_ppm: float = math.nan
    tracking: Tracking | None = None
    tracking_problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerReport:
    """What the publisher says now; ``heard_ago_s`` is None before the server's first message."""

    connected: bool
    problem: str = ""
    heard_ago_s: float | None = None
    last_reject: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthInputs:
    """What was read, now.

    Parameters
    ----------
    now_s : float
        On a clock that never steps.
    capture : CaptureReport | None
        None for a node that hears files.
    time : TimeReport
    spool : SpoolCounts
    spool_problem : str
    server : ServerReport
    board : BoardFacts
    disk : DiskSpace | None
        Where the spool is; None when there is no spool on disk.
    gpsd : GpsdState | None
    fix, sky : Fix | None, Sky | None
        The newest.
    place : Place | NoPlace | None
    """

    now_s: float
    time: TimeReport
    spool: SpoolCounts
    server: ServerReport
    board: BoardFacts = field(default_factory=BoardFacts)
    capture: CaptureReport | None = None
    spool_problem: str = ""
    disk: DiskSpace | None = None
    gpsd: GpsdState | None = None
    fix: Fix | None = None
    sky: Sky | None = None
    place: Place | NoPlace | None = None


class _Hour:
    """What a counter was an hour ago, to a minute."""

    def __init__(self) -> None:
        self._kept: deque[tuple[float, OverrunCounts]] = deque(maxlen=_STEPS + 2)

    def grown(self, now_s: float, counts: OverrunCounts) -> OverrunCounts:
        """Return how much a counter has grown in the last hour; it began at 0."""
        if not self._kept:
            self._kept.append((now_s, OverrunCounts(0, 0)))
        elif now_s - self._kept[-1][0] >= _HOUR_S / _STEPS:
            self._kept.append((now_s, counts))
        while len(self._kept) > 1 and now_s - self._kept[1][0] >= _HOUR_S:
            self._kept.popleft()
        return counts - self._kept[0][1]


class NodeHealth:
    """The health of one running node.

    Parameters
    ----------
    settings : HealthSettings
    """

    def __init__(self, settings: HealthSettings) -> None:
        self._settings = settings
        self._microphone = MicrophoneStats(settings.sample_rate_hz, settle_s=_SETTLE_S)
        self._overruns, self._reopens = _Hour(), _Hour()
        self._cpu: tuple[float, float] | None = None
        self._cpu_share: float | None = None

    def sound(self, block: AudioBlock) -> None:
        """Take a block of the microphone's channel."""
        self._microphone.add(block)

    def checks(self, inputs: HealthInputs) -> list[Check]:
        """Return every check, in an order that stays the same."""
        settings, server = self._settings, inputs.server
        checks = self._sound_checks(inputs)
        checks.append(time_check(inputs.time))
        if settings.gpsd and inputs.gpsd is not None:
            checks += [gps_check(inputs.gpsd, inputs.fix, inputs.sky), check_place(inputs.place)]
        if inputs.disk is not None:
            disk = inputs.disk
            checks.append(check_disk(str(disk.folder), free_bytes=disk.free_bytes, total_bytes=disk.total_bytes))
        checks += board_checks(inputs.board, own_share=self._own_share(inputs))
        checks += [
            check_spool(settings.spool, inputs.spool, problem=inputs.spool_problem, most_rows=settings.spool_most_rows),
            check_server(
                settings.server,
                connected=server.connected,
                problem=server.problem,
                heard_ago_s=server.heard_ago_s,
                last_reject=server.last_reject,
            ),
            check_version(settings.version),
            check_model(settings.model_id),
            check_calibration(settings.calibration_id, full_scale_db_spl=settings.full_scale_db_spl),
        ]
        return checks

    def _sound_checks(self, inputs: HealthInputs) -> list[Check]:
        microphone = check_microphone(self._microphone.figures, full_scale_db_spl=self._settings.full_scale_db_spl)
        capture = inputs.capture
        if capture is None:
            return [microphone]
        total = overruns_of(capture.counters)
        reopens = self._reopens.grown(inputs.now_s, OverrunCounts(capture.reopens, 0))
        return [
            check_capture(
                capture.state.value,
                device=capture.device,
                problem=capture.problem,
                reopens=capture.reopens,
                reopens_last_hour=reopens.times,
                callback_errors=capture.callback_errors,
            ),
            microphone,
            check_rate(inputs.time.rate_offset_ppm, inputs.time.rate_sigma_ppm),
            check_overruns(
                total, self._overruns.grown(inputs.now_s, total), sample_rate_hz=self._settings.sample_rate_hz
            ),
        ]

    def _own_share(self, inputs: HealthInputs) -> float | None:
        """Return the processor's share since the last call, in parts of one core."""
        cpu_time_s = inputs.board.cpu_time_s
        if cpu_time_s is None:
            return None
        if self._cpu is None:
            self._cpu = inputs.now_s, cpu_time_s
        elif inputs.now_s - self._cpu[0] >= _LEAST_SHARE_S:
            self._cpu_share = max(0.0, (cpu_time_s - self._cpu[1]) / (inputs.now_s - self._cpu[0]))
            self._cpu = inputs.now_s, cpu_time_s
        return self._cpu_share


def overruns_of(counters: RingCounters) -> OverrunCounts:
    """Return all ways in which sound was lost, together."""
    return OverrunCounts(
        counters.overflows + counters.breaks + counters.refused_blocks,
        counters.overrun_samples + counters.break_samples + counters.overtaken_samples,
    )


def time_check(report: TimeReport) -> Check:
    """Return the check ``time`` of what clock and chronyd say."""
    tracking = report.tracking
    return check_time(
        report.state,
        sigma_ns=report.sigma_ns,
        bound_ns=None if tracking is None else tracking.bound_ns,
        leap=None if tracking is None else tracking.leap,
        reference="" if tracking is None else tracking.reference,
        problem=report.tracking_problem,
    )


def gps_check(state: GpsdState, fix: Fix | None, sky: Sky | None) -> Check:
    """Return the check ``gps`` of what gpsd says."""
    return check_gps(
        connected=state.connected,
        problem=state.problem,
        devices=len(state.devices),
        fix_mode=None if fix is None else fix.mode,
        since_fix_s=state.since_fix_s,
        satellites_used=None if sky is None else sky.satellites_used,
    )


def board_checks(board: BoardFacts, *, own_share: float | None) -> list[Check]:
    """Return the checks of the board; ``own_share`` of the processor is None where no node runs."""
    return [
        check_temperature(board.temperature_c),
        check_voltage(board.undervoltage, since_boot=board.undervoltage_since_boot, throttled=board.throttled),
        check_cpu(own_share, load_1min=board.load_1min, cores=board.cores),
        check_memory(board.rss_bytes, available_bytes=board.available_bytes, total_bytes=board.memory_bytes),
    ]
