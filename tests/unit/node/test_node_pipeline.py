"""The whole pipeline of a node: the same bytes however the sound is cut, honest times, levels and counts."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sensor_node import detector
from sensor_node.classifier import FrameDefinition, ImpulseFrame, ImpulseRules
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline, PipelineCounters
from sensor_node.framing import AudioBlock
from sensor_node.sampleclock import FixedRateClock
from shotline.domain import ClockState, ImpulseKind
from shotline.errors import AudioError, InputError
from shotline.messages import Detection, LevelReference, decode, encode
from shotline.onsets import OnsetSettings

RATE_HZ = 12_000
START_NS = 1_545_180_566_000_000_000


def scene(
    shots_s: tuple[float, ...], seconds: float, *, rate_hz: int = RATE_HZ, peak: float = 0.3, seed: int = 3
) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    sound = 1e-3 * rng.standard_normal(len(t))
    for shot_s in shots_s:
        late = np.maximum(t - shot_s, 0.0)
        tail = np.exp(-late / 0.002) * np.cos(2 * np.pi * 700.0 * late) + 0.2 * np.exp(
            -late / 0.04
        ) * rng.standard_normal(len(t))
        sound += np.where(t >= shot_s, peak * tail, 0.0)
    return sound.astype(np.float32)


def pipeline(
    *,
    rate_hz: int = RATE_HZ,
    full_scale_db_spl: float | None = None,
    chosen: DetectorSettings | None = None,
    sigma_ns: int = 0,
) -> NodePipeline:
    return NodePipeline(
        identity=NodeIdentity("roof-1", 77, "cal-9" if full_scale_db_spl is not None else None),
        sample_rate_hz=rate_hz,
        clock=FixedRateClock(START_NS, rate_hz, sigma_ns, ClockState.PPS),
        classifier=ImpulseRules(),
        settings=chosen or DetectorSettings(),
        full_scale_db_spl=full_scale_db_spl,
    )


def hear(node: NodePipeline, sound: NDArray[np.float32], first_sample: int = 0) -> list[Detection]:
    return node.process(AudioBlock(first_sample, sound)) + node.flush()


def test_detection_says_everything() -> None:
    node = pipeline()
    first, second = hear(node, scene((0.5, 1.5), 2.0))
    assert (first.node, first.boot, first.sequence, second.sequence) == ("roof-1", 77, 0, 1)
    # The pick is within 80 us of an abrupt step in these bands; see test_onsets.
    assert first.arrival_time_ns == pytest.approx(START_NS + 500_000_000, abs=80_000)
    assert second.arrival_time_ns - first.arrival_time_ns == pytest.approx(10**9, abs=80_000)
    assert first.onset_sample == pytest.approx(6_000, abs=1)
    assert first.clock_state is ClockState.PPS
    assert sum(first.probabilities_bp) == 10_000
    assert first.probability(ImpulseKind.GUNSHOT) is not None
    assert first.model_id == "impulse-rules-1"
    assert first.level_reference is LevelReference.DBFS
    assert first.peak_level_db == pytest.approx(20 * math.log10(0.3), abs=6.0)
    assert first.snr_db == pytest.approx(20 * math.log10(0.3 / 1e-3), abs=6.0)
    assert first.calibration_id is None
    assert not first.clipped
    assert decode(encode(first)) == first
    assert node.counters == PipelineCounters(samples=24_000, gaps=0, gap_samples=0, onsets=2, rejected=0)
    assert node.next_sequence == 2
    # White noise of -60 dBFS through 250 Hz to 4 kHz of 6 kHz loses 2 dB; the floor follows a median, a little lower.
    assert node.noise_level_db == pytest.approx(-62.0, abs=1.5)


def test_calibration_shifts_levels_and_nothing_else() -> None:
    sound = scene((0.5,), 1.0)
    plain, calibrated = pipeline(), pipeline(full_scale_db_spl=120.0)
    (left,), (right,) = hear(plain, sound), hear(calibrated, sound)
    assert right.level_reference is LevelReference.DB_SPL
    assert right.calibration_id == "cal-9"
    assert right.peak_level_db == left.peak_level_db + 120.0
    assert right.arrival_time_ns == left.arrival_time_ns
    assert right.snr_db == left.snr_db
    assert plain.noise_level_db is not None
    assert calibrated.noise_level_db == plain.noise_level_db + 120.0


def test_sigma_holds_clock_and_picking() -> None:
    sound = scene((0.5,), 1.0)
    (exact,), (loose,) = hear(pipeline(), sound), hear(pipeline(sigma_ns=2_000_000), sound)
    # At least a tenth of a sample, 8.3 us.
    assert exact.arrival_sigma_ns >= 8_333
    assert loose.arrival_sigma_ns == pytest.approx(math.hypot(exact.arrival_sigma_ns, 2_000_000), abs=1)


def test_clipped_sound_is_flagged_and_less_certain() -> None:
    loud = np.clip(scene((0.5,), 1.0, peak=5.0), -1.0, 1.0)
    (found,) = hear(pipeline(), loud)
    assert found.clipped
    assert found.arrival_time_ns == pytest.approx(START_NS + 500_000_000, abs=80_000)


def test_noise_level_is_unknown_before_the_first_sound() -> None:
    node = pipeline()
    assert node.noise_level_db is None
    assert node.flush() == []


def test_onset_near_the_noise_is_counted_not_reported() -> None:
    node = pipeline(chosen=DetectorSettings(min_snr_db=70.0))
    assert hear(node, scene((0.5,), 1.0)) == []
    assert (node.counters.onsets, node.counters.rejected, node.next_sequence) == (1, 1, 0)


def test_detection_is_out_within_a_quarter_of_a_second() -> None:
    sound, node = scene((0.5,), 1.0), pipeline()
    ready = [end for end in range(600, 12_001, 600) if node.process(AudioBlock(end - 600, sound[end - 600 : end]))]
    assert len(ready) == 1
    assert ready[0] / RATE_HZ <= 0.75


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 44_100, 48_000, 96_000])
def test_every_rate_finds_the_same_shots(rate_hz: int) -> None:
    found = hear(pipeline(rate_hz=rate_hz), scene((0.4, 0.9), 1.5, rate_hz=rate_hz))
    times_s = [(item.arrival_time_ns - START_NS) / 1e9 for item in found]
    assert times_s == pytest.approx([0.4, 0.9], abs=0.0001)


def test_gap_restarts_without_inventing_an_onset() -> None:
    t = np.arange(36_000) / RATE_HZ
    hum = (0.3 * np.sin(2 * np.pi * 440.0 * t) + 0.2).astype(np.float32)
    node = pipeline()
    found = node.process(AudioBlock(0, hum[:10_001]))
    found += node.process(AudioBlock(10_055, hum[10_055:20_000]))
    found += node.process(AudioBlock(33_333, hum[33_333:]))
    assert found + node.flush() == []
    assert node.counters == PipelineCounters(samples=22_613, gaps=2, gap_samples=54 + 13_333, onsets=0, rejected=0)


def test_shot_just_before_a_gap_is_reported_when_the_gap_is_seen() -> None:
    sound = scene((0.5,), 1.0)
    node = pipeline()
    assert node.process(AudioBlock(0, sound[:6_900])) == []
    (found,) = node.process(AudioBlock(20_000, sound[:1]))
    assert found.arrival_time_ns == pytest.approx(START_NS + 500_000_000, abs=80_000)


def test_time_after_a_gap_is_that_of_the_sample_index() -> None:
    sound, node = scene((0.5,), 1.0), pipeline()
    node.process(AudioBlock(0, sound[:1_000]))
    found = node.process(AudioBlock(120_000, sound)) + node.flush()
    assert [item.arrival_time_ns for item in found] == pytest.approx([START_NS + 10_500_000_000], abs=80_000)


def test_bad_block_is_refused_and_the_rest_goes_on() -> None:
    sound, node = scene((0.5,), 1.0), pipeline()
    clean = hear(pipeline(), sound)
    found = node.process(AudioBlock(0, sound[:5_000]))
    broken = sound[5_000:7_000].copy()
    broken[17] = math.nan
    with pytest.raises(AudioError, match="roof-1: samples: sample 5017 is nan"):
        node.process(AudioBlock(5_000, broken))
    with pytest.raises(AudioError, match="block starts at sample 4000, expected 5000"):
        node.process(AudioBlock(4_000, sound[4_000:]))
    found += node.process(AudioBlock(5_000, sound[5_000:])) + node.flush()
    assert found == clean


_SOUND = scene((0.3, 0.363, 0.426, 1.1, 1.95), 2.0)
_LATER = scene((0.2, 0.9), 1.0, seed=9)


def _whole() -> bytes:
    node = pipeline(full_scale_db_spl=93.0)
    found = node.process(AudioBlock(0, _SOUND)) + node.process(AudioBlock(30_000, _LATER)) + node.flush()
    assert len(found) >= 6
    return b"".join(encode(item) for item in found)


_WHOLE = _whole()


@settings(max_examples=40, deadline=None)
@given(
    cuts=st.lists(st.integers(1, len(_SOUND) - 1), max_size=60),
    later=st.lists(st.integers(1, len(_LATER) - 1), max_size=10),
    size=st.integers(1, 5_000),
)
def test_cutting_the_sound_changes_not_one_bit_of_a_detection(cuts: list[int], later: list[int], size: int) -> None:
    node = pipeline(full_scale_db_spl=93.0)
    found: list[Detection] = []
    for first_sample, sound, inside in ((0, _SOUND, cuts), (30_000, _LATER, later)):
        edges = sorted({0, *inside, *range(0, len(sound), max(size, 200)), len(sound)})
        for left, right in pairwise(edges):
            found += node.process(AudioBlock(first_sample + left, sound[left:right].copy()))
    found += node.flush()
    assert b"".join(encode(item) for item in found) == _WHOLE


def test_sample_by_sample_is_the_same_too() -> None:
    node, whole = pipeline(), pipeline()
    part = _SOUND[2_000:8_000]
    found = [item for index in range(len(part)) for item in node.process(AudioBlock(index, part[index : index + 1]))]
    assert found + node.flush() == hear(whole, part)


class _Picky:
    model_id = "picky"

    def __init__(self, frame: FrameDefinition) -> None:
        self.frame = frame
        self.seen: list[ImpulseFrame] = []

    def probabilities(self, frame: ImpulseFrame) -> tuple[float, ...]:
        self.seen.append(frame)
        return (1 / 3, 1 / 3, 1 / 3, 0.0, 0.0, 0.0)


def _with(classifier: _Picky) -> NodePipeline:
    return NodePipeline(
        identity=NodeIdentity("n", 1),
        sample_rate_hz=RATE_HZ,
        clock=FixedRateClock(0, RATE_HZ, 0, ClockState.NTP),
        classifier=classifier,
        settings=DetectorSettings(onsets=OnsetSettings()),
        full_scale_db_spl=None,
    )


def test_classifier_gets_the_frame_it_defines() -> None:
    picky = _Picky(FrameDefinition(before_s=0.01, after_s=0.1, sample_rate_hz=RATE_HZ))
    sound = scene((0.5,), 1.0)
    (found,) = hear(_with(picky), sound)
    (frame,) = picky.seen
    assert len(frame.samples) == 120 + 1_200
    assert frame.onset_index == 120
    assert frame.sample_rate_hz == RATE_HZ
    first = found.onset_sample - 120
    assert np.array_equal(frame.samples, sound[first : first + 1_320].astype(np.float64))
    # Thirds of 10000: one is rounded up so that the sum is exact.
    assert found.probabilities_bp == (3_334, 3_333, 3_333, 0, 0, 0)


def test_classifier_for_another_rate_is_refused() -> None:
    with pytest.raises(InputError, match="model picky wants 16000 Hz, the sound has 12000 Hz"):
        _with(_Picky(FrameDefinition(0.01, 0.1, 16_000)))


def test_classifier_for_a_longer_frame_is_refused() -> None:
    with pytest.raises(InputError, match=r"model picky wants 0.01 s before and 1 s after it, .* 0.05 and 0.15 s"):
        _with(_Picky(FrameDefinition(0.01, 1.0)))


def test_public_names() -> None:
    assert detector.__all__ == [
        "DetectorSettings",
        "HeardImpulse",
        "NodeIdentity",
        "NodePipeline",
        "PipelineCounters",
    ]
