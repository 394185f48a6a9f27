"""Live sound in, dated detections out: what is heard at once is dated when the clock knows best. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sensor_node.detector import HeardImpulse, NodePipeline
from sensor_node.discipline.clock import DisciplinedClock
from sensor_node.discipline.host import UtcReading
from sensor_node.discipline.stamps import AdcStamp
from sensor_node.framing import AudioBlock
from sensor_node.ppsaudio import PulseFinder
from sensor_node.ring import BlockRecord
from shotline.messages import Detection
from shotline.units import NS_PER_S

__all__ = ["Ear"]

_LATE_BY_NS = NS_PER_S // 4
"""An overrun is shorter; after a longer pause the stream was opened anew, whatever the card says."""


class Ear:
    """A microphone, its samples' clock and the pipeline between them and the wire.

    Parameters
    ----------
    pipeline : NodePipeline
    clock : DisciplinedClock
        The pipeline's.
    channel : int
        Of the microphone, 1 for the first.
    pps_channel : int | None
        Of the recorded pulse per second.
    pulses : PulseFinder | None
        Finds them; None without ``pps_channel``.
    """

    def __init__(
        self,
        pipeline: NodePipeline,
        clock: DisciplinedClock,
        *,
        channel: int = 1,
        pps_channel: int | None = None,
        pulses: PulseFinder | None = None,
    ) -> None:
        self.pipeline = pipeline
        self.clock = clock
        self.pulses = pulses
        self._channel = channel
        self._pps_channel = pps_channel
        self._waiting: deque[HeardImpulse] = deque()
        self._last: BlockRecord | None = None

    @property
    def waiting(self) -> int:
        """Impulses that are heard and not dated yet."""
        return len(self._waiting)

    def add_utc(self, reading: UtcReading) -> None:
        """Take a reading of the host's clock, best once a second."""
        self.clock.add_utc(reading)

    def monotonic_ns(self, sample: int) -> int:
        """Return CLOCK_MONOTONIC of a sample that was heard lately, as the last block's stamp has it."""
        last = self._last
        if last is None:
            return 0
        return last.adc_time_ns - (last.first_sample - sample) * NS_PER_S // self.clock.sample_rate_hz

    def hear(self, samples: NDArray[np.float32], records: Sequence[BlockRecord]) -> list[Detection]:
        """Take what was recorded; return the detections that are dated now, in time order.

        Parameters
        ----------
        samples : ndarray, shape (n_channels, n_samples), float32
            1.0 at digital full scale.
        records : sequence of BlockRecord
            Together as long as ``samples``, in the same order.
        """
        start = 0
        for record in records:
            stop = start + record.samples
            self._stamp(record)
            if self.pulses is not None and self._pps_channel is not None:
                for pulse in self.pulses.add(
                    AudioBlock(record.first_sample, samples[self._pps_channel - 1, start:stop])
                ):
                    self.clock.add_pulse(pulse.sample, pulse.sigma_samples)
            block = AudioBlock(record.first_sample, samples[self._channel - 1, start:stop])
            self._waiting.extend(self.pipeline.hear(block))
            start = stop
        return self._date(self.clock.settled_until)

    def finish(self) -> list[Detection]:
        """End of the sound: return what waits, dated as well as is known now."""
        self._waiting.extend(self.pipeline.finish())
        return self._date(None)

    def _stamp(self, record: BlockRecord) -> None:
        last, self._last = self._last, record
        broken = last is not None and record.segment != last.segment
        if last is not None and broken:
            rate_hz = self.clock.sample_rate_hz
            paused_ns = record.adc_time_ns - last.adc_time_ns - last.samples * NS_PER_S // rate_hz
            if not record.overflow or paused_ns > _LATE_BY_NS:
                self.clock.reopen(record.first_sample)
        stamp = AdcStamp(record.first_sample, record.samples, record.adc_time_ns, record.overflow or broken)
        self.clock.add_stamp(stamp)

    def _date(self, until: int | None) -> list[Detection]:
        dated = []
        while self._waiting and (until is None or self._waiting[0].sample < until):
            heard = self._waiting.popleft()
            dated.append(heard.dated(self.clock.utc_at(heard.sample)))
        return dated
