"""A live node without its connection: sound card, clock, place and pipeline, served from one loop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import msgspec

from sensor_node.background import Background
from sensor_node.capture import Capture, CaptureEvent, CaptureSettings
from sensor_node.chrony import Tracking, read_tracking
from sensor_node.clips import ClipDesk, ClipLimits, sound_of
from sensor_node.config import CaptureSection, NodeConfig, PlaceSection
from sensor_node.detector import NodeIdentity, NodePipeline
from sensor_node.discipline.clock import LAG_S, DisciplinedClock
from sensor_node.discipline.host import UtcReading
from sensor_node.ear import Ear
from sensor_node.flac import flac_encoder
from sensor_node.gpsd import Fix, GpsdClient, GpsdMessage, Sky
from sensor_node.hosttime import HostTime
from sensor_node.nodehealth import CaptureReport, TimeReport
from sensor_node.place import Place, PlaceKeeper, PlaceSource, Position
from sensor_node.placefile import write_place
from sensor_node.ppsaudio import PulseFinder
from sensor_node.profile import Summary, profile_from_config
from sensor_node.publisher import Publisher
from sensor_node.spool import Spool, SpoolCounts
from sensor_node.vitals import Vitals
from shotline import __released_utc__, __version__
from shotline.errors import InputError
from shotline.health import Check
from shotline.messages import Clip, ClipRequest, Detection, Heartbeat, Hello, Reject
from shotline.timebase import parse_utc

__all__ = ["RELEASED_NS", "Station", "capture_settings"]

RELEASED_NS = parse_utc(__released_utc__)
_HEARD_AFTER_S = 0.25
"""From an onset to its being heard: 0.19 s and a block."""
_UTC_EVERY_S = 1.0
_GPSD_WAIT_S = 1.0


class Station:
    """Everything of a live node but its connection. Use it in a ``with`` statement.

    Parameters
    ----------
    config : NodeConfig
        With ``[capture]``.
    remembered : Position | None
        Where an earlier run found itself.
    capture : Capture | None
        None opens the configured device through PortAudio.
    tracking : callable () -> Tracking | None
        Asks chronyd; None runs the configured command.
    monotonic_ns, utc_ns : callable () -> int
        CLOCK_MONOTONIC and UTC.
    boot : int | None
        None draws one.

    Raises
    ------
    InputError
        There is no ``[capture]``, or the classifier cannot be had or wants another rate.
    """

    def __init__(
        self,
        config: NodeConfig,
        *,
        remembered: Position | None = None,
        capture: Capture | None = None,
        tracking: Callable[[], Tracking] | None = None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        utc_ns: Callable[[], int] = time.time_ns,
        boot: int | None = None,
    ) -> None:
        section = config.capture
        if section is None:
            raise InputError("no [capture] in the configuration; a node that plays files needs no station")
        profile = profile_from_config(config)
        classifier, settings = profile.prepared()
        self._config = config
        self._channel = section.channel
        self._monotonic_ns = monotonic_ns
        self._utc_ns = utc_ns
        self._model_id = classifier.model_id
        self._identity = NodeIdentity(
            profile.node, secrets.randbits(63) if boot is None else boot, profile.calibration_id
        )
        clock = DisciplinedClock(
            section.sample_rate_hz,
            not_before_ns=RELEASED_NS,
            late_bias_ns=round(1000 * section.late_bias_us),
            late_bias_sigma_ns=round(1000 * section.late_bias_sigma_us),
        )
        pipeline = NodePipeline(
            identity=self._identity,
            sample_rate_hz=section.sample_rate_hz,
            clock=clock,
            classifier=classifier,
            settings=settings,
            full_scale_db_spl=profile.full_scale_db_spl,
        )
        pulses = PulseFinder(section.sample_rate_hz, polarity=section.pps_polarity) if section.pps_channel else None
        self.ear = Ear(pipeline, clock, channel=section.channel, pps_channel=section.pps_channel, pulses=pulses)
        self.capture = capture or Capture(capture_settings(section), monotonic_ns=monotonic_ns)
        limits = ClipLimits(
            node=profile.node,
            sample_rate_hz=section.sample_rate_hz,
            enabled=config.clips.enabled,
            most_per_hour=config.clips.most_per_hour,
        )
        encode = flac_encoder(section.sample_rate_hz) if limits.enabled else _no_clips
        self._desk = ClipDesk(limits, sound_of(self.capture.ring, channel=section.channel), encode)
        self.keeper = PlaceKeeper(survey=_survey(config.place), remembered=remembered)
        self.host = HostTime(
            config.time,
            monotonic_ns=monotonic_ns,
            utc_ns=utc_ns,
            tracking=tracking or (lambda: read_tracking(config.time.chronyc)),
        )
        self.gpsd: GpsdClient | None = None
        if config.gpsd is not None:
            self.gpsd = GpsdClient(config.gpsd.host, config.gpsd.port, not_before_ns=RELEASED_NS)
        self.fix: Fix | None = None
        self.sky: Sky | None = None
        self.summary = Summary(node=profile.node, device=section.device)
        self.vitals = Vitals(config, model_id=self._model_id, sample_rate_hz=section.sample_rate_hz)
        self._readings: Background[UtcReading] | None = None
        self._messages: Background[list[GpsdMessage]] | None = None
        self._open = ExitStack()

    def __enter__(self) -> Self:
        """Open the sound card, or go on trying; begin to read the time and gpsd."""
        with ExitStack() as stack:
            self.capture.open_or_wait()
            stack.callback(self.capture.close)
            self._readings = stack.enter_context(Background(self.host.read, every_s=_UTC_EVERY_S, name="host-time"))
            if (client := self.gpsd) is not None:
                stack.callback(client.close)
                self._messages = stack.enter_context(
                    Background(lambda: client.poll(_GPSD_WAIT_S), every_s=0.05, name="gpsd")
                )
            self._open = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def step(self) -> tuple[list[Detection], tuple[CaptureEvent, ...]]:
        """Take what has come; return the detections that are dated now, and what happened to the sound card.

        Call it many times a second.
        """
        for reading in self._readings.take() if self._readings else ():
            self.ear.add_utc(reading)
        for messages in self._messages.take() if self._messages else ():
            self._take(messages)
        self.capture.supervise(self._monotonic_ns())
        sound = self.capture.poll()
        for block in sound.blocks(self._channel):
            self.vitals.sound(block)
        detections = [self._noted(item) for item in self.ear.hear(sound.samples, sound.records)]
        self._count(detections)
        return detections, sound.events

    def clip(self, request: ClipRequest) -> tuple[Clip, ...] | Reject:
        """Return the parts of a clip that the server asked for, or why it does not get it."""
        return self._desk.answer(request, now_ns=self._monotonic_ns())

    def finish(self) -> list[Detection]:
        """End of the sound: return what was heard and waits, dated as well as is known."""
        detections = [self._noted(item) for item in self.ear.finish()]
        self._count(detections)
        return detections

    def hello(self) -> Hello:
        """Return who this node is, now."""
        section = self._config.capture
        assert section is not None
        return Hello(
            node=self._identity.node,
            boot=self._identity.boot,
            time_ns=self._utc_ns(),
            software_version=__version__,
            model_id=self._model_id,
            sample_rate_hz=section.sample_rate_hz,
            clock_state=self.ear.clock.state,
            report_delay_s=LAG_S + _HEARD_AFTER_S,
        )

    def checks(self, counts: SpoolCounts, spool: Spool, publisher: Publisher) -> list[Check]:
        """Return every check of this node, now."""
        capture, clock = self.capture, self.ear.clock
        return self.vitals.checks(
            counts,
            spool,
            publisher,
            clock=TimeReport(
                state=clock.state,
                sigma_ns=clock.sigma_ns,
                rate_offset_ppm=clock.rate_offset_ppm,
                rate_sigma_ppm=clock.rate_sigma_ppm,
                tracking=self.host.tracking,
                tracking_problem=self.host.problem,
            ),
            capture=CaptureReport(
                state=capture.state,
                counters=capture.ring.counters,
                device=str(capture.device or ""),
                problem=capture.problem,
                reopens=capture.reopens,
                callback_errors=capture.callback_errors,
            ),
            gpsd=None if self.gpsd is None else self.gpsd.state,
            fix=self.fix,
            sky=self.sky,
            place=self.keeper.place(),
        )

    def heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        """Return how this node is, now, without its checks."""
        clock, pipeline = self.ear.clock, self.ear.pipeline
        return Heartbeat(
            node=self._identity.node,
            boot=self._identity.boot,
            time_ns=self._utc_ns(),
            clock_state=clock.state,
            clock_sigma_ns=clock.sigma_ns,
            next_sequence=pipeline.next_sequence,
            unacked=counts.unacked,
            gap_samples=pipeline.counters.gap_samples,
            noise_level_db=pipeline.noise_level_db or 0.0,
        )

    def _noted(self, detection: Detection) -> Detection:
        """Return a detection with the digest of its clip, so that nobody can doubt later what was heard."""
        noted = msgspec.structs.replace(detection, clip_sha256=self._desk.digest(detection.onset_sample))
        self._desk.remember(noted, onset_ns=self.ear.monotonic_ns(detection.onset_sample))
        return noted

    def _take(self, messages: list[GpsdMessage]) -> None:
        for message in messages:
            if isinstance(message, Fix):
                self.fix = message
                self._place(message)
            elif isinstance(message, Sky):
                self.sky = message

    def _place(self, fix: Fix) -> None:
        before = self.keeper.counts.windows
        self.keeper.add(fix)
        if self.keeper.counts.windows > before:
            place = self.keeper.place()
            if isinstance(place, Place) and place.source is PlaceSource.GPS and not place.moved:
                write_place(self._config, place.position)

    def _count(self, detections: list[Detection]) -> None:
        counters, summary = self.ear.pipeline.counters, self.summary
        summary.samples = counters.samples
        summary.seconds = counters.samples / self.ear.clock.sample_rate_hz
        summary.gaps, summary.gap_samples = counters.gaps, counters.gap_samples
        summary.onsets, summary.rejected_onsets = counters.onsets, counters.rejected
        summary.detections += len(detections)
        if detections:
            summary.clock_state = detections[-1].clock_state.value


def capture_settings(section: CaptureSection) -> CaptureSettings:
    """Return what the configuration says about the sound card."""
    return CaptureSettings(
        device=section.device,
        sample_rate_hz=section.sample_rate_hz,
        channels=section.channels,
        block_samples=section.block_samples,
        ring_s=section.ring_s,
    )


def _no_clips(_: object) -> bytes:
    raise AssertionError("clips are switched off, and none is made")


def _survey(section: PlaceSection | None) -> Position | None:
    if section is None:
        return None
    return Position(section.lat_deg, section.lon_deg, section.height_m, section.sigma_m, section.sigma_up_m)
