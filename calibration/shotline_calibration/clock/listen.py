"""Writing a node's clock log: its sound card is opened, and what its sample clock would get is written down."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TextIO

from sensor_node.background import Background
from sensor_node.board import read_board
from sensor_node.capture import Capture, CapturedSound
from sensor_node.chrony import Tracking, read_tracking
from sensor_node.config import NodeConfig
from sensor_node.discipline import AdcStamp, UtcReading
from sensor_node.framing import AudioBlock
from sensor_node.hosttime import HostTime
from sensor_node.ppsaudio import PulseFinder
from sensor_node.station import capture_settings
from shotline.errors import InputError, StorageError
from shotline.units import NS_PER_S
from shotline_calibration.clock.clocklog import head_line, log_line

__all__ = ["ListenCounts", "write_clock_log"]

_LOOK_S = 0.05
_TELL_S = 60.0
_TEMPERATURE_S = 10.0
_UTC_EVERY_S = 1.0


class ListenCounts:
    """What was written: stamps, readings, pulses; and edges that were none, by reason."""

    def __init__(self) -> None:
        self.stamps = self.readings = self.pulses = 0
        self.rejects: dict[str, int] = {}

    def text(self) -> str:
        """Return it in words."""
        refused = ", ".join(f"{count} {reason}" for reason, count in self.rejects.items() if count) or "none"
        return f"{self.pulses} pulses, {self.readings} readings, {self.stamps} stamps; edges refused: {refused}"


def write_clock_log(
    config: NodeConfig,
    path: Path,
    *,
    minutes: float,
    hardware: str = "",
    say: Callable[[str], None],
    capture: Capture | None = None,
    tracking: Callable[[], Tracking] | None = None,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
    utc_ns: Callable[[], int] = time.time_ns,
    wait_s: Callable[[float], None] = time.sleep,
) -> ListenCounts:
    """Listen for so long and write a new log. The node itself must not run: it has the sound card.

    Parameters
    ----------
    config : NodeConfig
        With ``[capture]`` and its ``pps_channel``.
    path : Path
        Must not exist.
    minutes : float
    hardware : str
        Name of its kind, for the log.
    say : callable (str) -> None
        Progress, each minute.
    capture, tracking, monotonic_ns, utc_ns, wait_s
        The machine; None is this one.

    Raises
    ------
    InputError
        No ``[capture]`` or no ``pps_channel``; or the file is there.
    StorageError
        It cannot be written.
    EdgeError
        The sound card cannot be opened.
    """
    section = config.capture
    if section is None or section.pps_channel is None:
        raise InputError(
            "needs [capture] with the channel of the pulse; wire the receiver's pulse to the second input",
            field="capture.pps_channel",
        )
    card = capture or Capture(capture_settings(section), monotonic_ns=monotonic_ns)
    host = HostTime(
        config.time,
        monotonic_ns=monotonic_ns,
        utc_ns=utc_ns,
        tracking=tracking or (lambda: read_tracking(config.time.chronyc)),
    )
    finder = PulseFinder(section.sample_rate_hz, polarity=section.pps_polarity)
    counts = ListenCounts()
    head = head_line(
        node=config.node.id, device=section.device, sample_rate_hz=section.sample_rate_hz, hardware=hardware
    )
    try:
        with ExitStack() as stack:
            card.open()
            stack.callback(card.close)
            file = stack.enter_context(path.open("x", encoding="utf-8", newline="\n"))
            writer = _Writer(file, finder, section.pps_channel, counts)
            writer.line(head)
            readings = stack.enter_context(Background(host.read, every_s=_UTC_EVERY_S, name="host-time"))
            begun_ns = told_ns = warmed_ns = monotonic_ns()
            while (now_ns := monotonic_ns()) < begun_ns + round(60.0 * minutes * NS_PER_S):
                card.supervise(now_ns)
                for reading in readings.take():
                    writer.reading(reading)
                writer.sound(card.poll())
                if now_ns - warmed_ns >= _TEMPERATURE_S * NS_PER_S:
                    warmed_ns = now_ns
                    writer.temperature(read_board().temperature_c)
                if now_ns - told_ns >= _TELL_S * NS_PER_S:
                    told_ns = now_ns
                    file.flush()
                    say(f"{(now_ns - begun_ns) / 60e9:.0f} of {minutes:.0f} minutes: {counts.text()}")
                wait_s(_LOOK_S)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return counts


class _Writer:
    """Writes what comes, and counts it."""

    def __init__(self, file: TextIO, finder: PulseFinder, pps_channel: int, counts: ListenCounts) -> None:
        self._file, self._finder, self._pps_channel, self._counts = file, finder, pps_channel, counts
        self._segment: int | None = None

    def line(self, text: str) -> None:
        self._file.write(text + "\n")

    def reading(self, reading: UtcReading) -> None:
        self.line(log_line(reading))
        self._counts.readings += 1

    def temperature(self, degrees_c: float | None) -> None:
        if degrees_c is not None:
            self.line(log_line(degrees_c))

    def sound(self, sound: CapturedSound) -> None:
        start = 0
        for record in sound.records:
            broken = self._segment is not None and record.segment != self._segment
            self._segment = record.segment
            stamp = AdcStamp(record.first_sample, record.samples, record.adc_time_ns, record.overflow or broken)
            self.line(log_line(stamp))
            stop = start + record.samples
            channel = sound.samples[self._pps_channel - 1, start:stop]
            for pulse in self._finder.add(AudioBlock(record.first_sample, channel)):
                self.line(log_line(pulse))
                self._counts.pulses += 1
            self._counts.stamps += 1
            start = stop
        self._counts.rejects = dict(self._finder.rejects)
