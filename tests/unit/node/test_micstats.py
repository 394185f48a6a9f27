"""Statistics of a microphone: exact on made sound; gain control against the simulator and real recordings."""

from __future__ import annotations

import math
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from sensor_node.micstats import GainEvidence, MicrophoneStats, SoundFigures
from shotline.errors import InputError
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate.sound import node_sound
from shotline_recordings.simulate.stage import set_stage

RATE = 8_000
DATA = Path(__file__).parents[4] / "shared" / "data" / "audio"


def figures(sound: NDArray[np.float32] | NDArray[np.float64], *, rate: int = RATE, block: int = 333) -> SoundFigures:
    stats = MicrophoneStats(rate)
    for start in range(0, len(sound), block):
        stats.add(AudioBlock(start, sound[start : start + block].astype(np.float32)))
    found = stats.figures
    assert found is not None
    return found


def noise(seconds: float, *, rms: float = 0.01, seed: int = 1) -> NDArray[np.float64]:
    return rms * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def test_nothing_is_known_before_the_first_second() -> None:
    stats = MicrophoneStats(RATE)
    stats.add(AudioBlock(0, np.zeros(RATE - 1, dtype=np.float32)))
    assert stats.figures is None
    with pytest.raises(InputError, match="expected 1000 or more"):
        MicrophoneStats(999)


def test_levels_and_offset_of_a_sine() -> None:
    time_s = np.arange(3 * RATE) / RATE
    found = figures(0.25 + 0.5 * np.sin(2 * np.pi * 100.0 * time_s))
    assert found.seconds == 3
    # float32 samples: relative error 6e-8 of 0.75.
    assert found.level_dbfs == pytest.approx(20 * math.log10(0.5 / math.sqrt(2.0)), abs=1e-5)
    assert found.quiet_dbfs == pytest.approx(found.level_dbfs, abs=1e-5)
    assert found.offset == pytest.approx(0.25, abs=1e-6)
    assert (found.full_scale_share, found.clipped_share, found.gain) == (0.0, 0.0, GainEvidence(0, 0))


def test_quiet_is_the_quietest_tenth_of_the_seconds() -> None:
    loud, quiet = noise(18.0, rms=0.1), noise(2.0, rms=0.001)
    found = figures(np.concatenate([loud, quiet]))
    assert found.quiet_dbfs == pytest.approx(-60.0, abs=0.3)  # 8000 samples: 0.07 dB
    assert figures(np.concatenate([loud, quiet[:RATE]])).quiet_dbfs == pytest.approx(-20.0, abs=0.3)


def test_old_seconds_are_forgotten() -> None:
    found = figures(np.concatenate([np.zeros(2 * RATE), noise(301.0)]), block=RATE)
    assert (found.seconds, found.zero_run_s) == (300, 0.0)


@pytest.mark.parametrize("block", [1, 333, 8_000, 100_000])
def test_runs_cross_blocks_and_seconds(block: int) -> None:
    sound = noise(4.0)
    sound[7_000:9_500] = 0.0
    sound[20_000:20_200] = 0.125
    sound[25_000:26_000] = -1.0
    found = figures(sound, block=block)
    assert found.zero_run_s * RATE == 2_500
    assert found.constant_run_s * RATE == 200
    assert found.still_s == 0.0
    assert found.full_scale_share == 1_000 / 32_000
    assert found.clipped_share == 3 / 80  # 25,000 to 26,000 in frames of 400


def test_still_counts_up_to_now() -> None:
    sound = noise(5.0)
    sound[17_000:] = 0.0
    assert figures(sound).still_s * RATE == 23_000
    sound[17_000:] = 0.5
    found = figures(sound)
    assert (found.still_s * RATE, found.constant_run_s * RATE) == (23_000, 23_000)
    assert found.level_dbfs == -math.inf


def test_one_or_two_samples_at_full_scale_are_not_clipped() -> None:
    sound = noise(1.0)
    sound[100] = 32_767 / 32_768
    sound[3_000:3_003] = 32_767 / 32_768
    found = figures(sound)
    assert found.full_scale_share == 4 / RATE
    assert found.clipped_share == 1 / 20


def test_a_gap_starts_a_new_second_and_breaks_runs() -> None:
    stats = MicrophoneStats(RATE)
    stats.add(AudioBlock(0, np.zeros(RATE + 5_000, dtype=np.float32)))
    stats.add(AudioBlock(RATE + 6_000, np.zeros(RATE - 1, dtype=np.float32)))
    found = stats.figures
    assert found is not None
    assert found.seconds == 1
    stats.add(AudioBlock(RATE + 6_000 + RATE - 1, np.zeros(1, dtype=np.float32)))
    found = stats.figures
    assert found is not None
    assert (found.seconds, found.zero_run_s, found.still_s) == (2, 1.0, 1.0)


@pytest.mark.parametrize("block", [100, 3_000, 50_000])
def test_the_start_and_what_follows_a_gap_can_be_left_out(block: int) -> None:
    stats = MicrophoneStats(RATE, settle_s=0.25)
    sound = noise(2.3).astype(np.float32)
    sound[:2_000] = 1.0
    for at in (0, 1_000_000):
        for start in range(0, len(sound), block):
            stats.add(AudioBlock(at + start, sound[start : start + block]))
    found = stats.figures
    assert found is not None
    assert (found.seconds, found.full_scale_share) == (4, 0.0)
    with pytest.raises(InputError, match="not within 0 to 60"):
        MicrophoneStats(RATE, settle_s=-1.0)


@pytest.mark.parametrize(
    ("impulses", "depressed", "suspected"), [(15, 15, False), (16, 9, False), (16, 10, True), (32, 19, False)]
)
def test_most_of_many_must_be_depressed(impulses: int, depressed: int, suspected: bool) -> None:
    assert GainEvidence(impulses, depressed).suspected is suspected


def town(
    duration_s: float, times_s: list[float], nodes: list[dict[str, object]], noise: dict[str, object]
) -> SceneFile:
    shots = [
        {"event": f"shot-{number}", "x_m": float(number % 7), "y_m": -float(number % 5), "times_s": [time_s]}
        for number, time_s in enumerate(times_s)
    ]
    return SceneFile.model_validate(
        {
            "name": "gain",
            "seed": 3,
            "start_utc": "2026-03-14T21:30:00Z",
            "duration_s": duration_s,
            "sample_rate_hz": 48_000,
            "clock": "exact",
            "origin": {"lat_deg": 40.0, "lon_deg": -80.0},
            "weather": {"temperature_c": 12.0},
            "ground": {"kind": "none"},
            "noise": noise,
            "nodes": nodes,
            "shots": shots,
        }
    )


def test_the_simulators_gain_control_is_suspected_and_its_clean_noise_is_not() -> None:
    """The fault of the simulator, by shots in wind, city and traffic; and the same node without it."""
    times_s = np.cumsum(np.random.default_rng(1).uniform(5.5, 8.0, 24)).tolist()
    end_s = times_s[-1] + 7.0
    nodes: list[dict[str, object]] = [
        {"id": f"{place}-{int(agc)}", "x_m": x_m, "y_m": 12.0, "z_m": 6.0, "microphone": "mems-120", "agc": agc}
        for place, x_m in (("near", 60.0), ("far", 300.0))
        for agc in (False, True)
    ]
    stage = set_stage(town(end_s + 1.0, times_s, nodes, {}), seed=3)
    for index, node in enumerate(nodes):
        sound = node_sound(stage, index, from_s=0.0, until_s=end_s).samples / 32_768.0
        gain = figures(sound, rate=48_000, block=48_000).gain
        assert gain.impulses >= 20, node
        assert gain.suspected is node["agc"], (node, gain)
        assert node["agc"] or gain.depressed <= 2, (node, gain)


def test_real_recordings_are_not_suspected() -> None:
    """The clips of each label in a row, as hard as it comes: sounds begin and end, rooms change."""
    if not DATA.is_dir():
        pytest.skip("no ../shared/data/audio: see its README")
    found: dict[tuple[str, int], MicrophoneStats] = {}
    ends: dict[tuple[str, int], int] = defaultdict(int)
    for path in sorted(DATA.glob("*/*.flac")):
        sound, rate = soundfile.read(path, dtype="float32")
        key = path.parent.name, rate
        found.setdefault(key, MicrophoneStats(rate)).add(AudioBlock(ends[key], sound))
        ends[key] += len(sound)
    gains = {key: stats.figures.gain for key, stats in found.items() if stats.figures is not None}
    assert [key for key, gain in gains.items() if gain.suspected] == []
    assert sum(gain.impulses for gain in gains.values()) > 300
