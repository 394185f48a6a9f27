"""From blocks of sound to detections: framing, onsets, features, classifier, clock. Pure: values in, values out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import msgspec

from sensor_node.classifier import Classifier, FrameDefinition, ImpulseFrame
from sensor_node.framing import AudioBlock, Framer
from sensor_node.sampleclock import UNTIMED_SIGMA_NS, ClockReading, SampleClock
from shotline.domain import GUNSHOT_INDEX, ClockState
from shotline.errors import InputError
from shotline.features import ImpulseFeatures, impulse_features
from shotline.messages import Detection, LevelReference
from shotline.onsets import Onset, OnsetDetector, OnsetSettings
from shotline.units import NS_PER_S, amplitude_from_db, db_from_amplitude

__all__ = ["DetectorSettings", "HeardImpulse", "NodeIdentity", "NodePipeline", "PipelineCounters"]

_BASIS_POINTS = 10_000
_LEAST_PICK_SIGMA_SAMPLES = 0.1
_EDGE_SHARE = 0.1
_CLIPPED_SIGMA_FACTOR = 2.0
_MAX_RISE_S = 10.0


@dataclass(frozen=True, slots=True)
class NodeIdentity:
    """Who hears.

    Parameters
    ----------
    node : str
        Node id.
    boot : int
        Drawn anew at each start; derived from the file in a replay.
    calibration_id : str | None
        Of the calibration that ``full_scale_db_spl`` comes from.
    """

    node: str
    boot: int
    calibration_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorSettings:
    """What the node reports.

    Parameters
    ----------
    onsets : OnsetSettings
    min_snr_db : float
        An onset whose peak is less above the noise floor is counted as rejected and not reported.
    gunshot_above : float | None
        So is one whose probability of a gunshot is not above this; None: all are reported, with their probabilities.
    """

    onsets: OnsetSettings = field(default_factory=OnsetSettings)
    min_snr_db: float = 14.0
    gunshot_above: float | None = None

    def wide_enough_for(self, frame: FrameDefinition) -> DetectorSettings:
        """Return the same, with as much sound kept around an onset as a classifier wants."""
        onsets = replace(
            self.onsets,
            frame_before_s=max(self.onsets.frame_before_s, frame.before_s),
            frame_after_s=max(self.onsets.frame_after_s, frame.after_s),
        )
        return replace(self, onsets=onsets)


@dataclass(frozen=True, slots=True)
class PipelineCounters:
    """Counts since the pipeline was made.

    Parameters
    ----------
    samples, gaps, gap_samples : int
        Samples heard, gaps, samples missing in them.
    onsets, rejected : int
        Onsets found; those of them too close to the noise, or too unlike a gunshot, to be reported.
    """

    samples: int
    gaps: int
    gap_samples: int
    onsets: int
    rejected: int


@dataclass(frozen=True, slots=True)
class HeardImpulse:
    """An impulse whose sample is known, and whose time may be known better a little later.

    Parameters
    ----------
    sample : float
        Sample index of the onset.
    pick_sigma_s : float
        1-sigma of it, without the clock.
    draft : Detection
        The detection, untimed.
    """

    sample: float
    pick_sigma_s: float
    draft: Detection

    def dated(self, reading: ClockReading) -> Detection:
        """Return the detection at the time that a clock gives its sample."""
        sigma_ns = math.hypot(reading.sigma_ns, self.pick_sigma_s * NS_PER_S)
        return msgspec.structs.replace(
            self.draft,
            arrival_time_ns=reading.time_ns,
            arrival_sigma_ns=round(sigma_ns),
            clock_state=reading.state,
        )


class NodePipeline:
    """Everything between the microphone and the wire, for one source of sound.

    How the sound is cut into blocks does not change one bit of the detections. A detection is returned at most 0.19 s
    of sound after its onset, plus one block.

    A clock that never learns dates at once: `process` and `flush`. For one that knows better a little later there are
    `hear` and `finish`, and `HeardImpulse.dated`.

    Parameters
    ----------
    identity : NodeIdentity
    sample_rate_hz : int
    clock : SampleClock
        Dates sample indices.
    classifier : Classifier
    settings : DetectorSettings
    full_scale_db_spl : float | None
        Peak level of digital full scale: 20 log10 of the pressure at a sample of 1.0 over 20 uPa. (A sine at full scale
        then has an rms level 3 dB lower.) None when uncalibrated: levels are then dBFS, by the same peak convention.
    """

    def __init__(
        self,
        *,
        identity: NodeIdentity,
        sample_rate_hz: int,
        clock: SampleClock,
        classifier: Classifier,
        settings: DetectorSettings,
        full_scale_db_spl: float | None,
    ) -> None:
        frame = classifier.frame
        if frame.sample_rate_hz is not None and frame.sample_rate_hz != sample_rate_hz:
            raise InputError(
                f"model {classifier.model_id} wants {frame.sample_rate_hz} Hz, the sound has {sample_rate_hz} Hz",
                field="sample_rate_hz",
            )
        if frame.before_s > settings.onsets.frame_before_s or frame.after_s > settings.onsets.frame_after_s:
            raise InputError(
                f"model {classifier.model_id} wants {frame.before_s:g} s before and {frame.after_s:g} s after it, "
                f"the settings keep {settings.onsets.frame_before_s:g} and {settings.onsets.frame_after_s:g} s",
                field="frame_after_s",
            )
        self._identity = identity
        self._rate = sample_rate_hz
        self._clock = clock
        self._classifier = classifier
        self._settings = settings
        self._full_scale_db_spl = full_scale_db_spl
        self._framer = Framer(source=identity.node)
        self._onsets = OnsetDetector(sample_rate_hz, settings.onsets)
        self._found = 0
        self._rejected = 0
        self._next_sequence = 0
        self._running = False

    @property
    def counters(self) -> PipelineCounters:
        """Counts so far."""
        framer = self._framer
        return PipelineCounters(framer.samples, framer.gaps, framer.gap_samples, self._found, self._rejected)

    @property
    def next_sequence(self) -> int:
        """Sequence number that the next detection will have."""
        return self._next_sequence

    @property
    def noise_level_db(self) -> float | None:
        """Rms level of the band-passed noise floor, dB SPL or dBFS like the peaks; None before there is one."""
        noise_rms = self._onsets.noise_rms
        return None if noise_rms is None else db_from_amplitude(noise_rms) + (self._full_scale_db_spl or 0.0)

    def process(self, block: AudioBlock) -> list[Detection]:
        """Take a block; return the detections that are complete, in time order; raises as `hear`."""
        return [self._dated(heard) for heard in self.hear(block)]

    def flush(self) -> list[Detection]:
        """End of the sound: return the detections still waiting for the end of their frame."""
        return [self._dated(heard) for heard in self.finish()]

    def hear(self, block: AudioBlock) -> list[HeardImpulse]:
        """Take a block; return the impulses that are complete, in time order.

        Raises
        ------
        AudioError
            The block overlaps what was taken, or holds a sample that is not finite; nothing of it was taken.
        """
        starts = self._framer.accept(block)
        onsets: list[Onset] = []
        if starts:
            if self._running:
                onsets += self._onsets.finish()
            self._onsets.start(block.first_sample)
            self._running = True
        onsets += self._onsets.push(block.samples)
        return self._report(onsets)

    def finish(self) -> list[HeardImpulse]:
        """End of the sound: return the impulses still waiting for the end of their frame."""
        if not self._running:
            return []
        self._running = False
        self._framer.end_segment()
        return self._report(self._onsets.finish())

    def _dated(self, heard: HeardImpulse) -> Detection:
        return heard.dated(self._clock.utc_at(heard.sample))

    def _report(self, onsets: list[Onset]) -> list[HeardImpulse]:
        found: list[HeardImpulse] = []
        for onset in onsets:
            self._found += 1
            features = impulse_features(onset, sample_rate_hz=self._rate)
            if features.snr_db < self._settings.min_snr_db:
                self._rejected += 1
                continue
            probabilities = self._probabilities(onset, features)
            least = self._settings.gunshot_above
            if least is not None and probabilities[GUNSHOT_INDEX] <= least:
                self._rejected += 1
                continue
            draft = self._draft(onset, features, probabilities)
            found.append(HeardImpulse(onset.sample, _pick_sigma_s(features, self._rate), draft))
            self._next_sequence += 1
        return found

    def _draft(self, onset: Onset, features: ImpulseFeatures, probabilities: tuple[float, ...]) -> Detection:
        calibrated = self._full_scale_db_spl is not None
        return Detection(
            node=self._identity.node,
            boot=self._identity.boot,
            sequence=self._next_sequence,
            arrival_time_ns=0,
            arrival_sigma_ns=UNTIMED_SIGMA_NS,
            clock_state=ClockState.UNTIMED,
            probabilities_bp=_basis_points(probabilities),
            peak_level_db=db_from_amplitude(features.peak) + (self._full_scale_db_spl or 0.0),
            level_reference=LevelReference.DB_SPL if calibrated else LevelReference.DBFS,
            snr_db=features.snr_db,
            rise_time_s=min(features.rise_time_s, _MAX_RISE_S),
            model_id=self._classifier.model_id,
            calibration_id=self._identity.calibration_id,
            onset_sample=math.floor(onset.sample),
            clipped=features.clipped,
        )

    def _probabilities(self, onset: Onset, features: ImpulseFeatures) -> tuple[float, ...]:
        wanted = self._classifier.frame
        whole = math.floor(onset.sample) - onset.frame_start
        first = max(whole - round(wanted.before_s * self._rate), 0)
        stop = whole + round(wanted.after_s * self._rate)
        return self._classifier.probabilities(
            ImpulseFrame(
                samples=onset.raw[first:stop],
                onset_index=whole - first,
                sample_rate_hz=self._rate,
                features=features,
            )
        )


def _pick_sigma_s(features: ImpulseFeatures, sample_rate_hz: int) -> float:
    """Return the 1-sigma of picking, without the path: noise over the slope of the edge, the edge itself, the sample.

    The slope is 80 % of the peak in the rise time; where on the edge the sound began is known to a tenth of it; nothing
    is known to less than a tenth of a sample. A clipped edge is twice as uncertain.
    """
    noise_s = features.rise_time_s / (0.8 * amplitude_from_db(features.snr_db))
    edge_s = _EDGE_SHARE * features.rise_time_s
    sigma_s = math.hypot(noise_s, edge_s, _LEAST_PICK_SIGMA_SAMPLES / sample_rate_hz)
    return sigma_s * _CLIPPED_SIGMA_FACTOR if features.clipped else sigma_s


def _basis_points(probabilities: tuple[float, ...]) -> tuple[int, ...]:
    """Return probabilities in 1/10000 that sum to 10000 exactly: largest remainders are rounded up."""
    exact = [max(value, 0.0) * _BASIS_POINTS for value in probabilities]
    floors = [math.floor(value) for value in exact]
    order = sorted(range(len(exact)), key=lambda index: floors[index] - exact[index])
    for index in order[: _BASIS_POINTS - sum(floors)]:
        floors[index] += 1
    return tuple(floors)
