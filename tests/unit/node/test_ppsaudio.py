"""Edges of a recorded PPS: where they are, how well that is known, and what is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import sici

from sensor_node.discipline import AdcStamp, DisciplinedClock, UtcReading
from sensor_node.framing import AudioBlock
from sensor_node.ppsaudio import Pulse, PulseFinder
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_S

# Shape and noise are what matter, in samples: a low rate saves time.
RATE = 4_000
AMPLITUDE = 0.4
Floats = NDArray[np.float64]
Shape = Callable[[Floats], Floats]


def band_limited(samples: Floats) -> Floats:
    """Return a step after a linear-phase filter at 0.92 of half the rate."""
    return np.asarray(0.5 + sici(np.pi * 0.92 * samples)[0] / np.pi)


def through_a_capacitor(samples: Floats) -> Floats:
    """Return the same, losing its level as behind a high pass of 15 Hz at 48 kHz."""
    return band_limited(samples) * np.exp(-np.maximum(samples, 0.0) * 2.0 * np.pi * 15.0 / 48_000.0)


def lopsided(samples: Floats) -> Floats:
    """Return a step after a resonant low pass without linear phase, and the capacitor."""
    after = np.maximum(samples, 0.0)
    pole, damping = 2.0 * np.pi * 0.3, 0.6
    ring = pole * np.sqrt(1.0 - damping**2)
    tail = np.exp(-damping * pole * after) * (
        np.cos(ring * after) + damping / np.sqrt(1 - damping**2) * np.sin(ring * after)
    )
    return np.where(samples > 0.0, (1.0 - tail) * np.exp(-after * 2.0 * np.pi * 15.0 / 48_000.0), 0.0)


def record(
    seconds: int, rng: np.random.Generator, *, shape: Shape = band_limited, noise: float = 0.0, polarity: int = 1
) -> tuple[NDArray[np.float32], Floats]:
    """Return a second channel with a pulse of 0.1 s each second, and where the edges are; ``noise`` of the height."""
    edges = (np.arange(seconds) + 0.3) * RATE * (1.0 + 137e-6) + 0.123
    sound = np.zeros((seconds + 1) * RATE)
    for edge in edges:
        place = np.arange(int(edge) - 60, int(edge) + 1_000)
        sound[place] += AMPLITUDE * (shape(place - edge) - shape(place - edge - 0.1 * RATE))
    sound = polarity * sound + AMPLITUDE * noise * rng.standard_normal(len(sound))
    return sound.astype(np.float32), edges


def find(finder: PulseFinder, sound: NDArray[np.float32], *, block: int = 480) -> list[Pulse]:
    return [
        pulse
        for first in range(0, len(sound), block)
        for pulse in finder.add(AudioBlock(first, sound[first : first + block]))
    ]


def errors_of(pulses: list[Pulse], edges: Floats) -> Floats:
    assert len(pulses) == len(edges)
    return np.array([pulse.sample for pulse in pulses]) - edges


def test_without_noise_edges_are_exact(rng: np.random.Generator) -> None:
    sound, edges = record(40, rng)
    finder = PulseFinder(RATE)
    pulses = find(finder, sound)
    # What is left is float32 and the difference between this filter and the generic shape.
    assert np.abs(errors_of(pulses, edges)).max() < 5e-4
    assert finder.learnt
    assert all(pulse.amplitude == pytest.approx(AMPLITUDE, rel=0.03) for pulse in pulses)
    assert finder.found == 40
    assert set(finder.rejects.values()) == {0}


@pytest.mark.parametrize("noise", [0.001, 0.01, 0.1])
@pytest.mark.parametrize("shape", [band_limited, through_a_capacitor])
def test_with_noise_edges_are_as_good_as_can_be(shape: Shape, noise: float, rng: np.random.Generator) -> None:
    sound, edges = record(92, rng, shape=shape, noise=noise)
    pulses = find(PulseFinder(RATE), sound)[32:]
    errors = errors_of(pulses, edges[32:])
    errors -= errors.mean()
    # Cramer-Rao for a step of this bandwidth: noise / (height * sqrt(0.92)); 60 errors tell it to 9 %.
    assert float(errors.std()) < 1.3 * noise / np.sqrt(0.92)
    sigmas = np.array([pulse.sigma_samples for pulse in pulses])
    # 95 % are expected; of 60 that is 57 +- 1.7.
    assert np.mean(np.abs(errors) < 2.0 * sigmas) >= 0.88
    assert np.median(sigmas) < 1.5 * noise + 0.003


def test_the_shape_is_learnt(rng: np.random.Generator) -> None:
    """A filter that is far from the generic one: a constant delay, and an error by phase that sigma knows of."""
    sound, edges = record(80, rng, shape=lopsided, noise=0.003)
    finder = PulseFinder(RATE)
    pulses = find(finder, sound)
    errors = errors_of(pulses, edges)
    learnt = errors[32:] - errors[32:].mean()
    assert float(learnt.std()) < 0.06
    assert abs(errors[32:].mean() - errors[:32].mean()) < 0.03
    assert np.mean(np.abs(learnt) < 2.0 * np.array([pulse.sigma_samples for pulse in pulses[32:]])) >= 0.9


def test_blocks_of_any_size_give_the_same_edges(rng: np.random.Generator) -> None:
    sound, _ = record(6, rng, noise=0.01)
    runs = [find(PulseFinder(RATE), sound, block=block) for block in (64, 333, 480, 4_096, len(sound))]
    for run in runs[1:]:
        assert [pulse.sample for pulse in run] == pytest.approx([pulse.sample for pulse in runs[0]], abs=1e-9)
    assert len(runs[0]) == 6


def test_an_input_that_inverts(rng: np.random.Generator) -> None:
    sound, edges = record(8, rng, noise=0.003, polarity=-1)
    pulses = find(PulseFinder(RATE, polarity=-1), sound)
    assert np.abs(errors_of(pulses, edges)).max() < 0.02
    assert all(pulse.amplitude < 0.0 for pulse in pulses)


def test_a_wrong_polarity_is_noticed(rng: np.random.Generator) -> None:
    """The end of a pulse, 0.1 s late, must never be taken for its beginning."""
    sound, _ = record(8, rng, noise=0.003, polarity=-1)
    finder = PulseFinder(RATE)
    assert find(finder, sound) == []
    assert finder.rejects["wrong_polarity"] == 8


def test_what_is_no_edge(rng: np.random.Generator) -> None:
    time_s = np.arange(20 * RATE) / RATE
    hum = 0.3 * np.sin(2.0 * np.pi * 5.0 * time_s) + 0.001 * rng.standard_normal(len(time_s))
    clicks = 0.001 * rng.standard_normal(len(time_s))
    clicks[RATE // 2 :: RATE] += 0.5
    bursts = 0.001 * rng.standard_normal(len(time_s))
    for second in range(20):
        first = second * RATE + 1_000
        bursts[first : first + 200] += 0.2 * rng.standard_normal(200)
    for sound in (np.zeros(20 * RATE), hum, clicks, bursts, 0.05 * rng.standard_normal(20 * RATE)):
        assert find(PulseFinder(RATE), sound.astype(np.float32)) == []


def test_a_pulse_of_another_height_is_none(rng: np.random.Generator) -> None:
    sound, edges = record(40, rng, noise=0.003)
    sound[int(edges[36]) - 500 : int(edges[36]) + 2_000] *= 0.3
    finder = PulseFinder(RATE)
    assert len(find(finder, sound)) == 39
    assert finder.rejects["wrong_amplitude"] >= 1


def test_edges_and_stamps_make_a_time(rng: np.random.Generator) -> None:
    """What the node does with both channels: stamps 1 ms late and more, edges at the whole second."""
    start_ns, boot_ns = 1_800_000_000 * NS_PER_S, 10**12
    sound, edges = record(30, rng, noise=0.001)
    period_ns = NS_PER_S / (RATE * (1.0 + 137e-6))
    zero_ns = start_ns - round(edges[0] * period_ns)
    clock, finder = DisciplinedClock(RATE, not_before_ns=start_ns - NS_PER_S), PulseFinder(RATE)
    for first in range(0, len(sound), 50):
        elapsed_ns = round(first * period_ns)
        late_ns = 1_000_000 + int(rng.integers(0, 1_000_000))
        clock.add_stamp(AdcStamp(first, 50, boot_ns + elapsed_ns + late_ns, False))
        if first % RATE == 0:
            clock.add_utc(UtcReading(boot_ns + elapsed_ns, zero_ns + elapsed_ns, 3_000_000, ClockState.NTP))
        for pulse in finder.add(AudioBlock(first, sound[first : first + 50])):
            clock.add_pulse(pulse.sample, pulse.sigma_samples)
    reading = clock.utc_at(28 * RATE + 0.25)
    assert reading.state is ClockState.PPS_AUDIO
    # A hundredth of a sample, the shape not yet being learnt, is 2.5 us here; stamps alone are 1 ms off.
    assert abs(reading.time_ns - zero_ns - (28 * RATE + 0.25) * period_ns) < 2.0 * reading.sigma_ns < 10_000


def test_missing_sound_is_survived(rng: np.random.Generator) -> None:
    sound, edges = record(10, rng, noise=0.003)
    finder = PulseFinder(RATE)
    start, gap = int(edges[4]) + 100, 1_500
    before = find(finder, sound[:start])
    after = [
        pulse
        for first in range(start + gap, len(sound), 480)
        for pulse in finder.add(AudioBlock(first, sound[first : first + 480]))
    ]
    assert np.abs(errors_of(before + after, edges)).max() < 0.02


def test_memory_stays_flat() -> None:
    finder = PulseFinder(RATE)
    for first in range(0, 100 * 480, 480):
        finder.add(AudioBlock(first, np.zeros(480, dtype=np.float32)))
    assert len(finder._buffer) < 0.5 * RATE


def test_mistakes_of_the_caller() -> None:
    with pytest.raises(InputError, match="sample_rate_hz: sample rate 0 Hz"):
        PulseFinder(0)
    with pytest.raises(InputError, match="polarity: polarity 0; expected 1 or -1"):
        PulseFinder(RATE, polarity=0)
    with pytest.raises(InputError, match="min_amplitude: least amplitude 0"):
        PulseFinder(RATE, min_amplitude=0.0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(48)
