"""Configuration of a node: a closed TOML file, every mistake named with its line, paths relative to the file."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from shotline.config import ENDPOINT_PATTERN, ConfigModel, UtcText, line_of, load_config
from shotline.domain import NODE_ID_PATTERN, ClockState
from shotline.errors import ConfigError, Problem
from shotline.keyfiles import PUBLIC_KEY_PATTERN, is_public_key
from shotline.timebase import parse_utc
from shotline_models.registry import DEFAULT_CLASSIFIER

__all__ = [
    "CaptureSection",
    "ClipsSection",
    "ClockSection",
    "DetectorSection",
    "GpsdSection",
    "NodeConfig",
    "NodeSection",
    "PlaceSection",
    "SourceSection",
    "TimeSection",
    "load_node_config",
]


class NodeSection(ConfigModel):
    """Who the node is and whom it tells."""

    id: str = Field(
        title="node id", description="as in the server's list of sites", pattern=NODE_ID_PATTERN, max_length=64
    )
    server: str = Field(
        title="server", description="ZeroMQ endpoint, such as tcp://server.example:5570", pattern=ENDPOINT_PATTERN
    )
    key_file: str | None = Field(
        default=None,
        title="key",
        description="the node's pair, made by `shotline keys new`, mode 0600; absent = in the clear",
        min_length=1,
    )
    server_key: str | None = Field(
        default=None,
        title="server's key",
        description="public key of the server (`shotline keys show server.key`); no other server is believed",
        pattern=PUBLIC_KEY_PATTERN,
    )
    server_next_key: str | None = Field(
        default=None,
        title="server's next key",
        description="public key that the server will have next, tried when it does not have server_key",
        pattern=PUBLIC_KEY_PATTERN,
    )
    spool: str | None = Field(
        default=None,
        title="spool",
        description="SQLite file that holds detections until the server has them; absent = memory only",
        min_length=1,
    )
    spool_most_rows: int = Field(
        default=100_000,
        title="spool rows",
        description="detections in the spool at most; over that the oldest go. 41 days at 100 an hour",
        ge=1_000,
        le=10_000_000,
    )
    spool_most_bytes: int = Field(
        default=64 * 1024 * 1024,
        title="spool size",
        description="bytes in the spool at most; over that the oldest go. Its files may be a tenth larger, and 1 MiB",
        ge=1024 * 1024,
        le=64 * 1024**3,
    )
    heartbeat_interval_s: float = Field(
        default=5.0, title="heartbeat", description="seconds between heartbeats", ge=0.1, le=300.0
    )
    full_scale_db_spl: float | None = Field(
        default=None,
        title="full scale",
        description="peak level in dB SPL of a sample at digital full scale; absent = uncalibrated, levels in dBFS",
        ge=40.0,
        le=200.0,
    )
    calibration_id: str | None = Field(
        default=None, title="calibration", description="id of the calibration it comes from", max_length=64
    )

    @model_validator(mode="after")
    def _keys_together(self) -> NodeSection:
        if (self.key_file is None) != (self.server_key is None):
            raise ValueError("key_file and server_key go together; give both or neither")
        if self.server_next_key is not None and self.server_key is None:
            raise ValueError("server_next_key is the successor of server_key, which is missing; give both")
        for name, key in (("server_key", self.server_key), ("server_next_key", self.server_next_key)):
            if key is not None and not is_public_key(key):
                raise ValueError(f"{name} {key} is not the z85 text of a key; copy it from `shotline keys show`")
        return self


class DetectorSection(ConfigModel):
    """What counts as an impulse."""

    threshold_db: float = Field(
        default=5.0, title="step", description="energy after over energy before, dB", ge=1.0, le=40.0
    )
    min_snr_db: float = Field(
        default=14.0,
        title="least SNR",
        description="peak over noise floor, dB; noise alone reaches 11",
        ge=0.0,
        le=80.0,
    )
    model: str = Field(
        default=DEFAULT_CLASSIFIER,
        title="classifier",
        description="impulse-rules-1, a shipped network (`shotline models list`), or an ONNX file with its twin",
        min_length=1,
    )
    report_per_hour: float | None = Field(
        default=None,
        title="gunshots only",
        description="report only gunshots, at so many false alarms an hour; absent = every impulse with probabilities",
        gt=0.0,
    )
    high_pass_hz: float = Field(default=250.0, title="high pass", description="Hz; wind is below", ge=50.0, le=1000.0)


class ClockSection(ConfigModel):
    """Event time is that of the recording, played at a pace. Without this section: as fast as possible."""

    kind: Literal["replay"] = Field(title="kind", description="`replay`")
    event_epoch_utc: UtcText | None = Field(
        default=None, title="recorded instant", description="ISO 8601 with Z; absent = start of the first file"
    )
    wall_epoch_utc: UtcText | None = Field(
        default=None, title="wall instant", description="when the recorded instant is reached; absent = at the start"
    )
    factor: float = Field(default=1.0, title="pace", description="recorded seconds per second", gt=0.0, le=1000.0)

    @model_validator(mode="after")
    def _together(self) -> ClockSection:
        if (self.event_epoch_utc is None) != (self.wall_epoch_utc is None):
            raise ValueError("event_epoch_utc and wall_epoch_utc go together; give both or neither")
        return self


class SourceSection(ConfigModel):
    """One sound file; several of them in time order."""

    file: str = Field(title="file", description="WAV or FLAC", min_length=1)
    start_utc: UtcText | None = Field(
        default=None,
        title="start",
        description="UTC of the first sample; absent = nobody knows, detections are marked untimed",
    )
    channel: int | None = Field(
        default=None, title="channel", description="1 for the first; absent when there is one", ge=1, le=64
    )
    clock_state: Literal["ntp", "pps", "pps_audio", "holdover"] = Field(
        default="ntp", title="clock", description="what dated the recording: ntp, pps, pps_audio or holdover"
    )
    sigma_ms: float = Field(
        default=1.0, title="sigma", description="1-sigma of the start time, milliseconds", ge=0.0, le=10_000.0
    )

    @property
    def state(self) -> ClockState:
        """State of the clock that dated the recording; untimed when there is no start time."""
        return ClockState.UNTIMED if self.start_utc is None else ClockState(self.clock_state)


class CaptureSection(ConfigModel):
    """The sound card that the node listens to, in place of files."""

    device: str = Field(
        title="device", description="name, or a part that only one has (`shotline node devices`)", min_length=1
    )
    channel: int = Field(default=1, title="channel", description="of the microphone, 1 for the first", ge=1, le=16)
    pps_channel: int | None = Field(
        default=None,
        title="channel of pulses",
        description="of the GPS receiver's pulse per second, when it is recorded; absent = it is not",
        ge=1,
        le=16,
    )
    pps_polarity: Literal[1, -1] = Field(
        default=1, title="polarity", description="-1 when the input inverts: the leading edge goes down"
    )
    sample_rate_hz: int = Field(
        default=48_000,
        title="rate",
        description="Hz; the device must grant exactly this. The shipped networks hear 48 kHz",
        ge=8_000,
        le=192_000,
    )
    block_samples: int = Field(default=960, title="block", description="samples a callback", ge=64, le=8_192)
    ring_s: float = Field(
        default=30.0, title="memory", description="seconds of sound kept in memory, for clips", ge=5.0, le=60.0
    )
    late_bias_us: float = Field(
        default=0.0,
        title="delay",
        description="how late ADC times of this hardware are at best, microseconds: docs/clock.md",
        ge=0.0,
        le=100_000.0,
    )
    late_bias_sigma_us: float = Field(
        default=100.0, title="its sigma", description="1-sigma of it, microseconds", ge=0.0, le=100_000.0
    )

    @model_validator(mode="after")
    def _two_channels(self) -> CaptureSection:
        if self.pps_channel == self.channel:
            raise ValueError(f"channel {self.channel} cannot be both the microphone and the pulses; give two")
        return self

    @property
    def channels(self) -> int:
        """How many channels to record."""
        return max(self.channel, self.pps_channel or 0)


class TimeSection(ConfigModel):
    """How the node learns what its host knows of UTC."""

    chronyc: tuple[str, ...] = Field(
        default=("chronyc", "-c", "tracking"),
        title="command",
        description="what tells how well chronyd keeps the system clock",
        min_length=1,
        strict=False,
    )
    pulse_references: tuple[str, ...] = Field(
        default=("PPS",), title="pulses", description="refid of pulses in chrony.conf", strict=False
    )
    holdover_after_s: float = Field(
        default=64.0, title="holdover", description="seconds without a pulse until it counts as lost", gt=0.0
    )


class GpsdSection(ConfigModel):
    """The gpsd that the node listens to; without this section to none."""

    host: str = Field(default="127.0.0.1", title="host", description="where gpsd listens", min_length=1)
    port: int = Field(default=2947, title="port", description="its port", ge=1, le=65_535)


class PlaceSection(ConfigModel):
    """Surveyed position of the GPS antenna, for noticing that the node was moved. Fusion uses the server's."""

    lat_deg: float = Field(title="latitude", description="WGS-84", ge=-90.0, le=90.0)
    lon_deg: float = Field(title="longitude", description="WGS-84", ge=-180.0, le=180.0)
    height_m: float = Field(title="height", description="above the WGS-84 ellipsoid", ge=-500.0, le=9_000.0)
    sigma_m: float = Field(
        default=1.0, title="sigma", description="1-sigma of the horizontal position, per axis", ge=0.0, le=1_000.0
    )
    sigma_up_m: float = Field(default=2.0, title="height's", description="1-sigma of the height", ge=0.0, le=1_000.0)


class ClipsSection(ConfigModel):
    """What sound may leave the node: short clips around detections, when the server asks for one."""

    enabled: bool = Field(default=True, title="enabled", description="false = no sound ever leaves the node")
    most_per_hour: int = Field(default=30, title="quota", description="clips an hour at most", ge=1, le=120)


class NodeConfig(ConfigModel):
    """The whole file."""

    node: NodeSection = Field(title="node", description="the node itself")
    detector: DetectorSection = Field(default_factory=DetectorSection, title="detector", description="what is reported")
    clock: ClockSection | None = Field(default=None, title="clock", description="pace of a replay")
    capture: CaptureSection | None = Field(default=None, title="capture", description="the sound card")
    time: TimeSection = Field(default_factory=TimeSection, title="time", description="what the host knows of UTC")
    gpsd: GpsdSection | None = Field(default=None, title="gpsd", description="position and satellites")
    place: PlaceSection | None = Field(default=None, title="place", description="where the antenna was surveyed")
    clips: ClipsSection = Field(default_factory=ClipsSection, title="clips", description="what sound may leave")
    sources: tuple[SourceSection, ...] = Field(
        default=(),
        title="sources",
        description="sound files, as [[sources]] tables in time order, in place of [capture]",
        strict=False,
    )

    @model_validator(mode="after")
    def _something_to_hear(self) -> NodeConfig:
        if self.capture is None and not self.sources:
            raise ValueError("nothing to hear: give [capture] for a sound card, or [[sources]] for sound files")
        if self.capture is not None and (self.sources or self.clock is not None):
            raise ValueError("[capture] is live; take out [[sources]] and [clock], or [capture]")
        return self


def load_node_config(path: Path) -> NodeConfig:
    """Read a node's configuration; relative paths in it are taken from the folder of the file.

    Raises
    ------
    ConfigError
        With every mistake and its line.
    """
    config = load_config(path, NodeConfig)
    problems = tuple(_cross_problems(config, path))
    if problems:
        raise ConfigError.from_problems(problems)
    sources = tuple(source.model_copy(update={"file": str(path.parent / source.file)}) for source in config.sources)
    spool = config.node.spool
    key_file = config.node.key_file
    node = config.node.model_copy(
        update={
            "spool": None if spool is None else str(path.parent / spool),
            "key_file": None if key_file is None else str(path.parent / key_file),
        }
    )
    model = config.detector.model
    if model.endswith(".onnx"):
        model = str(path.parent / model)
    detector = config.detector.model_copy(update={"model": model})
    return config.model_copy(update={"node": node, "sources": sources, "detector": detector})


def _cross_problems(config: NodeConfig, path: Path) -> list[Problem]:
    """Return the mistakes that no section can see alone."""
    text = path.read_text(encoding="utf-8")

    def problem(index: int, key: str, message: str) -> Problem:
        field = f"sources.{index}.{key}"
        return Problem(message, str(path), field, line_of(text, field))

    starts = [None if source.start_utc is None else parse_utc(source.start_utc) for source in config.sources]
    known = [(index, start_ns) for index, start_ns in enumerate(starts) if start_ns is not None]
    problems = [
        problem(index, "start_utc", "starts before a source above it; list the files in time order")
        for (_, before_ns), (index, start_ns) in pairwise(known)
        if start_ns < before_ns
    ]
    if config.clock is not None:
        problems += [
            problem(index, "start_utc", "missing, but [clock] sets a pace; give the UTC of the first sample")
            for index, start_ns in enumerate(starts)
            if start_ns is None
        ]
    return problems
