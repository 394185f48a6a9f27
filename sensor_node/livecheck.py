"""Checks of what a live node needs: sound card, time, receiver, classifier, board. Nothing that runs is disturbed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensor_node.board import disk_space, read_board
from sensor_node.capture import Capture, CaptureSettings, SoundCards
from sensor_node.chrony import clock_state, read_tracking
from sensor_node.classifier import ImpulseFrame
from sensor_node.config import CaptureSection, DetectorSection, GpsdSection, TimeSection
from sensor_node.gpsd import Fix, GpsdClient, GpsdState, Sky
from sensor_node.micstats import MicrophoneStats
from sensor_node.network import gunshot_threshold, make_classifier
from sensor_node.nodehealth import TimeReport, board_checks, gps_check, time_check
from sensor_node.selftest import check_capture, check_disk, check_microphone, check_model
from shotline.domain import ClockState
from shotline.errors import EdgeError, InputError
from shotline.features import ImpulseFeatures
from shotline.health import Check, CheckStatus
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = [
    "CheckEdges",
    "ask_gpsd",
    "check_board",
    "check_chrony",
    "check_classifier",
    "check_gpsd",
    "check_sound_card",
]

_LISTEN_S = 2.0
_SETTLE_S = 0.25
_PATIENCE_S = 5.0
_LOOK_S = 0.05
_GPSD_S = 5.0
_BUSY = -9985
"""PortAudio's code for a device that another program has."""
_FRAME_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckEdges:
    """What the checks touch of the machine.

    Parameters
    ----------
    cards : SoundCards | None
        None is PortAudio.
    root : Path
        What stands for ``/``.
    monotonic_ns, utc_ns, wait_s : callable
        The clocks, and how to wait.
    """

    cards: SoundCards | None = None
    root: Path = Path("/")
    monotonic_ns: Callable[[], int] = time.monotonic_ns
    utc_ns: Callable[[], int] = time.time_ns
    wait_s: Callable[[float], None] = time.sleep


def check_sound_card(section: CaptureSection, *, full_scale_db_spl: float | None, edges: CheckEdges) -> list[Check]:
    """Find the sound card, open it when it is free, and listen to the microphone for two seconds."""
    settings = CaptureSettings(
        device=section.device,
        sample_rate_hz=section.sample_rate_hz,
        channels=section.channels,
        block_samples=section.block_samples,
        ring_s=section.ring_s,
    )
    capture = Capture(settings, monotonic_ns=edges.monotonic_ns, cards=edges.cards)
    try:
        capture.open()
    except EdgeError as error:
        return _not_opened(error)
    try:
        stats = _listen(capture, section, edges)
        if stats.figures is None:
            problem = (
                capture.problem or f"it was opened, but no sound came within {_PATIENCE_S:g} s; unplug it, try again"
            )
            return [Check("capture", CheckStatus.FAIL, f"{capture.device}: {problem}"), _not_heard(CheckStatus.FAIL)]
        found = check_capture(
            capture.state.value,
            device=f"{capture.device} grants {section.sample_rate_hz} Hz",
            problem=capture.problem,
            reopens=capture.reopens,
            callback_errors=capture.callback_errors,
        )
    finally:
        capture.close()
    return [found, check_microphone(stats.figures, full_scale_db_spl=full_scale_db_spl)]


def _not_opened(error: EdgeError) -> list[Check]:
    codes = getattr(error.__cause__, "args", ())[1:2]
    if _BUSY in codes:
        text = (
            "another program has the sound card: the node itself, if it runs, and then its heartbeats say how the "
            "microphone is; else stop PulseAudio, PipeWire or arecord"
        )
        return [Check("capture", CheckStatus.WARN, text), _not_heard(CheckStatus.WARN)]
    return [Check("capture", CheckStatus.FAIL, str(error)), _not_heard(CheckStatus.FAIL)]


def _not_heard(status: CheckStatus) -> Check:
    return Check("microphone", status, "not listened to; see capture")


def _listen(capture: Capture, section: CaptureSection, edges: CheckEdges) -> MicrophoneStats:
    stats = MicrophoneStats(section.sample_rate_hz, settle_s=_SETTLE_S)
    wanted = round((_SETTLE_S + _LISTEN_S) * section.sample_rate_hz)
    give_up_ns = edges.monotonic_ns() + ns_from_seconds(_PATIENCE_S)
    while capture.ring.counters.samples < wanted and edges.monotonic_ns() < give_up_ns:
        capture.supervise(edges.monotonic_ns())
        edges.wait_s(_LOOK_S)
    for _ in range(math.ceil(_LISTEN_S + _PATIENCE_S)):  # a poll gives a second of sound
        for block in capture.poll().blocks(section.channel):
            stats.add(block)
    return stats


def check_chrony(section: TimeSection, *, edges: CheckEdges) -> Check:
    """Ask chronyd how it keeps the system clock."""
    try:
        tracking = read_tracking(section.chronyc)
    except (EdgeError, InputError) as error:
        return time_check(TimeReport(state=ClockState.UNTIMED, sigma_ns=None, tracking_problem=str(error)))
    state = clock_state(
        tracking,
        edges.utc_ns(),
        pulse_references=section.pulse_references,
        holdover_after_s=section.holdover_after_s,
    )
    return time_check(TimeReport(state=state, sigma_ns=None, tracking=tracking))


def check_gpsd(section: GpsdSection, *, edges: CheckEdges) -> Check:
    """Listen to gpsd for some seconds."""
    return gps_check(*ask_gpsd(section, edges=edges))


def ask_gpsd(section: GpsdSection, *, edges: CheckEdges) -> tuple[GpsdState, Fix | None, Sky | None]:
    """Return how gpsd is, and its newest fix and satellites: as soon as both are there, after some seconds at most."""
    fix: Fix | None = None
    sky: Sky | None = None
    until_ns = edges.monotonic_ns() + ns_from_seconds(_GPSD_S)
    with GpsdClient(section.host, section.port) as client:
        while (left_ns := until_ns - edges.monotonic_ns()) > 0:
            for message in client.poll(left_ns / NS_PER_S):
                if isinstance(message, Fix):
                    fix = message
                elif isinstance(message, Sky) and message.satellites_used is not None:
                    sky = message
            placed = fix is not None and fix.lat_deg is not None
            if not client.state.connected or (placed and sky is not None):
                break
        return client.state, fix, sky


def check_classifier(section: DetectorSection, sample_rate_hz: int) -> Check:
    """Load the classifier, and let it look at a second of silence of the rate that it will get."""
    try:
        classifier = make_classifier(section.model)
        if section.report_per_hour is not None:
            gunshot_threshold(classifier, section.report_per_hour)
        classifier.probabilities(_silence(sample_rate_hz))
    except InputError as error:
        return check_model(section.model, problem=str(error))
    return check_model(classifier.model_id)


def _silence(sample_rate_hz: int) -> ImpulseFrame:
    features = ImpulseFeatures(
        peak=0.1,
        peak_delay_s=0.001,
        snr_db=20.0,
        step_db=10.0,
        rise_time_s=0.001,
        decay_time_s=0.01,
        duration_s=0.02,
        crest_db=12.0,
        centroid_hz=1_000.0,
        low_band_ratio=0.5,
        clipped=False,
    )
    samples = np.zeros(round(_FRAME_S * sample_rate_hz))
    return ImpulseFrame(samples, len(samples) // 2, sample_rate_hz, features)


def check_board(spool: str | None, *, edges: CheckEdges) -> list[Check]:
    """Look at the disk that holds the spool, and at the board."""
    checks = []
    if spool is not None:
        folder = Path(spool).parent
        space = disk_space(folder)
        free_bytes, total_bytes = (None, None) if space is None else (space.free_bytes, space.total_bytes)
        checks.append(check_disk(str(folder), free_bytes=free_bytes, total_bytes=total_bytes))
    return checks + board_checks(read_board(edges.root), own_share=None)
