"""What a node records: exact instants, exact levels, exact bits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scene_samples import scene

from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S
from shotline_recordings.scene import TailTable
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.microphone import MICROPHONES
from shotline_recordings.simulate.paths import PathKind
from shotline_recordings.simulate.sound import NodeSound, node_sound, tail_energy_between
from shotline_recordings.simulate.stage import Stage, set_stage

RATE_HZ = 48_000
SILENT = {"city_dba": None, "passes_per_minute": 0.0, "wind": False}
DULL = {"turbulence": 0.0}


def stage(**changes: Any) -> Stage:
    return set_stage(scene(**({"noise": SILENT, "sample_rate_hz": RATE_HZ} | changes)), seed=3)


def heard(made: Stage, index: int = 0) -> NodeSound:
    return node_sound(made, index, from_s=0.0, until_s=made.scene.duration_s)


def pascal(sound: NodeSound, microphone: str = "ideal") -> NDArray[np.float64]:
    return sound.samples.astype(np.float64) / 32_768.0 * MICROPHONES[microphone].full_scale_pa


def crossing_s(sound: NodeSound, level: float = 0.3) -> float:
    """Return when the wave first reaches a share of its peak, true time; an exact clock is assumed."""
    wave = np.abs(pascal(sound))
    return sound.first_sample_s + float(np.argmax(wave > level * wave.max())) / RATE_HZ


def test_a_shot_in_the_open_arrives_when_and_as_loud_as_physics_says() -> None:
    """Straight lines, no wind. The front's 30 % is within six samples (0.12 ms) of the arrival that is told: over 200 m
    the air rounds it by that much, and always behind.

    Level: the peak of the blast at that distance and angle, less absorption and the converter's band edge, which take
    up to 8 dB of a front this sharp.
    """
    made = stage(paths=DULL | {"ground": False})
    (discharge,) = made.named[0].discharges
    blast = discharge.emissions[0].waveform
    assert isinstance(blast, MuzzleBlast)
    for index, node in enumerate(made.nodes):
        sound = heard(made, index)
        (arrival,) = sound.arrivals
        path_m = node.position_m - np.array(discharge.position_m)
        distance_m = np.array([np.linalg.norm(path_m)])
        direction = (path_m / distance_m)[None]
        early_s = float(blast.early_s(distance_m, direction)[0])
        straight_s = 0.3 + float(distance_m[0]) / made.medium.profile.speed_of_sound_mps
        assert arrival.kind is PathKind.DIRECT
        assert arrival.straight_s == pytest.approx(straight_s, abs=1e-9)
        assert arrival.time_s == pytest.approx(straight_s - early_s, abs=1e-9)
        assert 0.0 < early_s < 1e-3
        assert -1.0 <= (crossing_s(sound) - arrival.time_s) * RATE_HZ <= 6.0
        peak_db = 20.0 * math.log10(np.abs(pascal(sound)).max() / float(blast.peak_pa(distance_m, direction)[0]))
        assert -8.0 < peak_db < 0.5


def test_wind_carries_the_sound() -> None:
    made = stage(weather={"temperature_c": 12.0, "wind_speed_mps": 6.0, "wind_from_deg": 200.0}, paths=DULL)
    source = np.array(made.named[0].discharges[0].position_m)
    for index, node in enumerate(made.nodes):
        expected = travel_time_s(
            source,
            node.position_m[None],
            speed_of_sound_mps=made.scene.air.speed_of_sound_mps,
            wind_mps=np.array([*made.scene.air.wind_enu_mps, 0.0]),
        )
        assert heard(made, index).arrivals[0].straight_s == pytest.approx(0.3 + float(expected[0]), abs=1e-9)


def test_a_wrong_clock_moves_the_sound_in_its_file_and_nothing_else() -> None:
    """10 ms late: read with the stated start, the front is 10 ms late; in true time it is where it was."""
    nodes = [{"id": "a", "x_m": 120.0, "y_m": 30.0, "z_m": 5.0}]
    late = {"clock": "stepped", "clock_offset_ms": 10.0}
    read_s = []
    for changed in ({}, late):
        made = stage(nodes=[nodes[0] | changed], paths=DULL)
        sound = heard(made)
        start_ns = made.nodes[0].clock.claimed_start_time_ns(0, first_sample_s=sound.first_sample_s)
        wave = np.abs(pascal(sound))
        read_s.append(start_ns / NS_PER_S + float(np.argmax(wave > 0.3 * wave.max())) / RATE_HZ)
    # PPS by I2S is within 0.1 ms of the truth; a sample is 0.02 ms.
    assert read_s[1] - read_s[0] == pytest.approx(0.010, abs=1.5e-4)


def test_a_supersonic_bullet_is_heard_before_its_blast() -> None:
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3], "weapon": "m4", "azimuth_deg": 0.0}
    node = {"id": "a", "x_m": 20.0, "y_m": 150.0, "z_m": 2.0}
    made = stage(microphone="mems-135", shots=[shot], nodes=[node], paths=DULL | {"ground": False})
    sound = heard(made)
    flight = made.named[0].discharges[0].flight
    assert flight is not None
    shocks = flight.shocks(made.nodes[0].position_m[None])
    wave = pascal(sound, "mems-135")
    ahead_s = 0.3 + float(shocks.arrival_time_s[0])
    assert [item.kind for item in sound.arrivals] == [PathKind.DIRECT, PathKind.SHOCK]
    assert sound.arrivals[1].time_s == pytest.approx(ahead_s, abs=1e-9)
    at = round((ahead_s - sound.first_sample_s) * RATE_HZ)
    assert ahead_s < sound.arrivals[0].time_s - 0.1
    assert np.abs(wave[: at - 20]).max() < 0.02 * wave[at - 5 : at + 20].max()
    # The N-wave of a rifle is 0.1 to 0.3 ms long; at 48 kHz its peak keeps at least half.
    assert 0.4 < wave[at - 5 : at + 20].max() / float(shocks.peak_pa[0]) < 1.1
    behind = stage(
        microphone="mems-135", shots=[shot | {"azimuth_deg": 180.0}], nodes=[node], paths=DULL | {"ground": False}
    )
    assert np.abs(pascal(heard(behind), "mems-135")[: at + 100]).max() < 0.02 * wave.max()


def test_a_wall_stops_the_shock_of_a_bullet() -> None:
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3], "weapon": "m4"}
    node = {"id": "a", "x_m": 20.0, "y_m": 150.0, "z_m": 2.0}
    wall = {"name": "w", "corners_m": [[-5.0, 40.0], [5.0, 40.0], [5.0, 45.0], [-5.0, 45.0]], "height_m": 6.0}
    made = stage(shots=[shot], nodes=[node], city={"buildings": [wall]}, paths=DULL | {"reflection_order": 0})
    sound = heard(made)
    wave = np.abs(pascal(sound))
    first = int((sound.arrivals[0].time_s - sound.first_sample_s) * RATE_HZ)
    assert wave[: first - 60].max() < 0.02 * wave.max()


@pytest.mark.parametrize("levels", [[], [{"level_db": -10.0, "decay_s": 0.5, "build_up_s": 0.01}]])
def test_nothing_comes_before_the_first_path(levels: list[dict[str, float]]) -> None:
    """1 %: the converter's linear-phase filter rings a little ahead; 60 samples are its lead."""
    grid = {"blocks": [4, 4], "block_m": [70.0, 60.0], "street_m": 16.0, "height_m": [8.0, 12.0]}
    screens = {"share": 1.0, "detour_m": 2.0}
    made = stage(city={"grid": grid}, paths={"tails": levels, "screens": screens, "turbulence": 1e-5})
    for index in range(len(made.nodes)):
        sound = heard(made, index)
        (arrival,) = sound.arrivals
        wave = np.abs(pascal(sound))
        first_s = min(arrival.time_s, arrival.straight_s) if levels else arrival.time_s
        assert wave[: int((first_s - sound.first_sample_s) * RATE_HZ) - 60].max(initial=0.0) < 0.01 * wave.max()


def test_rounds_sound_alike_at_their_own_instants() -> None:
    """The same path twice, 0.6 s apart, and the same wave; quantising costs 1e-3 of the peak."""
    shot = {"event": "two", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3, 0.9001]}
    made = stage(shots=[shot], paths=DULL, duration_s=1.6)
    sound = heard(made)
    first, second = sound.arrivals
    assert second.time_s - first.time_s == pytest.approx(0.6001, abs=1e-9)
    spectra = []
    for arrival in (first, second):
        position = (arrival.time_s - sound.first_sample_s) * RATE_HZ
        begin = math.floor(position) - 100
        part = pascal(sound)[begin : begin + 2_048]
        back = np.exp(2j * np.pi * np.arange(1_025) / 2_048 * (position - begin - 100))
        spectra.append(np.fft.rfft(part) * back)
    np.testing.assert_allclose(spectra[0], spectra[1], atol=3e-3 * np.abs(spectra[0]).max())


def test_turbulence_scatters_arrivals_by_its_sigma() -> None:
    """300 rounds: the sample's sigma is within 15 % (3.6 of its own sigma) of what Chernov's formula says."""
    times = np.linspace(0.1, 1.8, 300).tolist()
    made = stage(shots=[{"event": "many", "x_m": 0.0, "y_m": 0.0, "times_s": times}], paths={"turbulence": 3e-6})
    late = np.array([item.time_s - item.straight_s for item in heard(made).arrivals])
    expected = float(made.turbulent_sigma_s(np.array([math.dist(made.nodes[0].position_m, (0.0, 0.0, 1.5))]))[0])
    assert 1e-5 < expected < 1e-3
    assert late.std() == pytest.approx(expected, rel=0.15)


def test_noise_alone_has_the_level_of_its_models() -> None:
    """City noise of 50 dB(A) at an ideal microphone: its spectrum has 62 dB in all; slow changes are 1.5 dB."""
    made = stage(shots=[], noise={"city_dba": 50.0, "passes_per_minute": 0.0, "wind": False}, duration_s=8.0)
    rms = float(np.sqrt(np.mean(pascal(heard(made)) ** 2)))
    assert 55.0 < 20.0 * math.log10(rms / 20e-6) < 70.0


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    made = scene(noise={"passes_per_minute": 3.0}, microphone="mems-120", clock="pps_usb")
    one, same, other = (node_sound(set_stage(made, seed=s), 0, from_s=0.0, until_s=2.0) for s in (5, 5, 6))
    np.testing.assert_array_equal(one.samples, same.samples)
    assert not np.array_equal(one.samples, other.samples)


def test_one_more_event_leaves_the_rest_alone() -> None:
    """Before the added bang every bit stays: random numbers belong to their node and event."""
    bang = {"event": "late", "x_m": 60.0, "y_m": 0.0, "time_s": 1.6, "kind": "hammer"}
    shot = {"event": "one", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3]}
    without, with_it = (
        heard(stage(noise={"passes_per_minute": 0.0}, shots=[shot], bangs=bangs)) for bangs in ([], [bang])
    )
    count = round((1.6 - with_it.first_sample_s) * RATE_HZ)
    np.testing.assert_array_equal(with_it.samples[:count], without.samples[:count])
    assert not np.array_equal(with_it.samples, without.samples)


def test_an_excerpt_is_the_sound_of_its_part() -> None:
    made = stage(shots=[{"event": "two", "x_m": 0.0, "y_m": 0.0, "times_s": [0.3, 1.3]}], paths=DULL)
    part = node_sound(made, 0, from_s=1.0, until_s=2.0)
    (arrival,) = part.arrivals
    assert arrival.round_index == 1
    assert crossing_s(part) == pytest.approx(arrival.time_s, abs=3.0 / RATE_HZ)


def test_an_excerpt_has_the_thunder_that_is_still_rolling() -> None:
    """A flash half a kilometre away: its foot is heard after 2 s, pieces kilometres up and aside long after."""
    flash = {"event": "storm", "x_m": -500.0, "y_m": 0.0, "time_s": 0.0, "kind": "thunder"}
    made = stage(shots=[], bangs=[flash], paths=DULL | {"ground": False}, duration_s=40.0, sample_rate_hz=8_000)
    (discharge,) = made.named[0].discharges
    speed_mps = made.medium.profile.speed_of_sound_mps
    last_s = discharge.over_by_s(made.nodes[0].position_m, slowest_mps=speed_mps)
    foot_s = math.dist(discharge.position_m, made.nodes[0].position_m) / speed_mps
    assert last_s > foot_s + 10.0
    late = pascal(node_sound(made, 0, from_s=last_s - 1.0, until_s=last_s + 1.0))
    assert np.abs(late).max() > 1e-3


def test_the_energy_of_a_tail_is_what_its_table_says() -> None:
    table = TailTable(level_db=-12.0, falls_db=9.0, decay_s=1.2, build_up_s=0.03)
    edges = np.linspace(0.0, 4.0, 4_001)
    # A decay of 60 dB in 1.2 s leaves 1e-20 after 4 s. Twice as far it is 9 - 6 dB weaker against the straight path.
    assert tail_energy_between(table, edges, 100.0).sum() == pytest.approx(10.0**-1.2, rel=1e-9)
    assert tail_energy_between(table, edges, 200.0).sum() == pytest.approx(
        10.0 ** (-1.2 - 0.1 * (9.0 - 6.0206)), rel=1e-4
    )
    late = tail_energy_between(table, np.array([0.0, 0.5, 0.6, 1.1, 1.2, 4.0]), 100.0)
    assert 10.0 * math.log10(late[1] / late[3]) == pytest.approx(60.0 * 0.6 / 1.2, abs=0.2)


def test_a_tail_in_a_recording_has_its_energy() -> None:
    """The tail behind the pulse against the pulse itself: -6 dB asked for; Gaussian noise of 0.5 s scatters by 1 dB."""
    tail = {"level_db": -6.0, "falls_db": 6.0, "decay_s": 0.5, "build_up_s": 0.0}
    node = [{"id": "a", "x_m": 100.0, "y_m": 0.0, "z_m": 1.5}]
    made = stage(nodes=node, paths=DULL | {"tails": [tail], "ground": False})
    sound = heard(made)
    wave = pascal(sound) ** 2
    at = round((sound.arrivals[0].time_s - sound.first_sample_s) * RATE_HZ)
    pulse, behind = wave[at - 20 : at + 480].sum(), wave[at + 480 : at + 24_000].sum()
    # 10 ms are counted with the pulse; they hold 24 % of the tail.
    assert 10.0 * math.log10(behind / pulse) == pytest.approx(-6.0 + 10.0 * math.log10(0.76), abs=1.5)


def test_a_string_of_crackers_shares_its_paths() -> None:
    """Crackers lie within a metre: each still arrives by its own straight line, to 0.1 ms (first order in 1 m)."""
    bang = {"event": "string", "x_m": 0.0, "y_m": 0.0, "time_s": 0.2, "kind": "firework_string"}
    made = stage(shots=[], bangs=[bang], paths=DULL | {"ground": False}, duration_s=6.0)
    (discharge,) = made.named[0].discharges
    assert len(discharge.emissions) > 10
    sound = heard(made)
    node, speed = made.nodes[0].position_m, made.medium.profile.speed_of_sound_mps
    straight = [item.time_s + math.dist(node, item.position_m) / speed for item in discharge.emissions]
    assert sound.arrivals[0].time_s == pytest.approx(min(straight), abs=1e-4)
