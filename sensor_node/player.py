"""Sound files through the pipeline, one after the other: how a node hears what was recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from sensor_node.audiofile import AudioInfo, boot_for_file, inspect_audio, read_blocks
from sensor_node.config import NodeConfig
from sensor_node.detector import NodeIdentity, NodePipeline
from sensor_node.framing import AudioBlock
from sensor_node.profile import NodeProfile, Summary
from sensor_node.sampleclock import FixedRateClock
from sensor_node.spool import SpoolCounts
from shotline import __version__
from shotline.domain import ClockState
from shotline.errors import AudioError, InputError
from shotline.messages import Detection, Heartbeat, Hello
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_MS, NS_PER_S, ns_from_seconds

__all__ = [
    "FilePlayer",
    "FileSource",
    "inspect_source",
    "require_order",
    "sources_from_config",
]

_BLOCK_S = 0.05


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


class FilePlayer:
    """Plays sources through pipelines, one after the other, and hands on what is heard.

    Parameters
    ----------
    profile : NodeProfile
    sources : sequence of FileSource
        In time order.
    """

    def __init__(self, profile: NodeProfile, sources: Sequence[FileSource]) -> None:
        self._profile = profile
        self._classifier, self._settings = profile.prepared()
        self._sources = [(source, inspect_source(source)) for source in sources]
        require_order(self._sources)
        self._pipeline: NodePipeline | None = None
        self._state = ClockState.UNTIMED
        self._sigma_ns = 0
        self._boot = self._boot_of(self._sources[0][0]) if self._sources else 0
        self.summary = Summary(node=profile.node)
        self.listener: Callable[[AudioBlock], None] = lambda _: None
        """Is given every block of sound too."""
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

    @property
    def model_id(self) -> str:
        """Of the classifier."""
        return self._classifier.model_id

    @property
    def sample_rate_hz(self) -> int:
        """Of the first file; 1 when there is none."""
        return self._sources[0][1].sample_rate_hz if self._sources else 1

    @property
    def clock(self) -> tuple[ClockState, int]:
        """How the time of the present file is known, and its sigma in nanoseconds."""
        return self._state, self._sigma_ns

    def hello(self) -> Hello:
        """Return who this node is, now."""
        return Hello(
            node=self._profile.node,
            boot=self._boot,
            time_ns=self.event_time_ns,
            software_version=__version__,
            model_id=self.model_id,
            sample_rate_hz=self.sample_rate_hz,
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
                self.listener(block)
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


def inspect_source(source: FileSource) -> AudioInfo:
    return inspect_audio(source.path, channel=source.channel)


def _clock(source: FileSource, info: AudioInfo) -> FixedRateClock:
    if source.start_time_ns is None:
        return FixedRateClock.untimed(info.sample_rate_hz)
    return FixedRateClock(source.start_time_ns, info.sample_rate_hz, source.sigma_ns, source.clock_state)


def require_order(sources: Sequence[tuple[FileSource, AudioInfo]]) -> None:
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
