"""The simulator: exact arrivals, exact bits, and scene files whose mistakes are named."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from numpy.typing import NDArray
from typer.main import get_command

from shotline.errors import ConfigError, InputError
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S
from shotline_recordings.cli import app
from shotline_recordings.dataset import load_dataset
from shotline_recordings.scene import Bang, Echoes, Noise, SceneFile, SceneNode, Shots, demo_scene_path, load_scene
from shotline_recordings.simulate import REFERENCE_PRESSURE_PA, simulate, write_simulation

QUIET = Noise(background_db_spl=0.0, traffic_db_spl=0.0, passes_per_minute=0.0)
BARE = Echoes(per_path=0.0, tail_db=-120.0, nlos_share=0.0)


def short(**changes: object) -> SceneFile:
    """Return the demo scene cut to two events in 4 s, at the full set of nodes."""
    scene = load_scene(demo_scene_path())
    shots = [scene.shots[0].model_copy(update={"times_s": [0.5, 1.6]})]
    bang = scene.bangs[0].model_copy(update={"time_s": 3.0})
    return scene.model_copy(update={"duration_s": 4.0, "shots": shots, "bangs": [bang]} | changes)


def pressure_pa(scene: SceneFile, sound: NDArray[np.int16]) -> NDArray[np.float64]:
    full_scale_pa = REFERENCE_PRESSURE_PA * 10 ** (scene.full_scale_db_spl / 20)
    return sound.astype(np.float64) / 32_768.0 * full_scale_pa


def straight_s(scene: SceneFile, node: SceneNode, item: Bang | Shots) -> float:
    return float(
        travel_time_s(
            np.array([item.x_m, item.y_m, item.z_m]),
            np.array([[node.x_m, node.y_m, node.z_m]]),
            speed_of_sound_mps=scene.air.speed_of_sound_mps,
            wind_mps=np.array([*scene.air.wind_enu_mps, 0.0]),
        )[0]
    )


def test_shipped_scene_is_what_the_demo_promises() -> None:
    scene = load_scene(demo_scene_path())
    assert len(scene.nodes) >= 8
    assert sorted(len(item.times_s) for item in scene.shots) == [1, 3]
    assert scene.bangs
    assert 40.0 <= scene.duration_s <= 60.0


def test_same_seed_same_bits_other_seed_other_bits() -> None:
    one, same, other = (simulate(short(), seed=seed) for seed in (5, 5, 6))
    assert one.start_times_ns == same.start_times_ns
    assert all(np.array_equal(one.sounds[node], same.sounds[node]) for node in one.sounds)
    assert not any(np.array_equal(one.sounds[node], other.sounds[node]) for node in one.sounds)


def test_one_more_event_leaves_the_rest_alone() -> None:
    """Away from the added bang every bit stays: random choices belong to their node and event."""
    scene = short()
    with_it, without = simulate(scene, seed=5), simulate(short(bangs=[]), seed=5)
    for node, sound in with_it.sounds.items():
        before = 3 * scene.sample_rate_hz - scene.sample_rate_hz // 10
        assert np.array_equal(sound[:before], without.sounds[node][:before])


def test_quiet_arrivals_come_when_physics_says() -> None:
    """The blast's 30 % crossing follows the straight travel time by less than 150 us: absorption rounds the step
    (minimum phase, so later, never earlier) and 16 kHz samples are 62 us apart; half a sample may be lost to that."""
    scene = short(noise=QUIET, echoes=BARE, bangs=[])
    simulation = simulate(scene, seed=1)
    shots = scene.shots[0]
    for node in scene.nodes:
        sound = pressure_pa(scene, simulation.sounds[node.id])
        for time_s in shots.times_s:
            late_ns = scene.start_ns + round(time_s * NS_PER_S) - simulation.start_times_ns[node.id]
            arrival_s = late_ns / NS_PER_S + straight_s(scene, node, shots)
            first = int(arrival_s * scene.sample_rate_hz) - 40
            near = np.abs(sound[first : first + 120])
            crossing_s = (first + int(np.argmax(near > 0.3 * near.max()))) / scene.sample_rate_hz
            assert -31e-6 <= crossing_s - arrival_s <= 150e-6
            peak_db = 20 * math.log10(near.max() / REFERENCE_PRESSURE_PA)
            distance_m = math.hypot(node.x_m - shots.x_m, node.y_m - shots.y_m, node.z_m - shots.z_m)
            spread_db = 155.0 - 20 * math.log10(distance_m)
            assert spread_db - 12.0 < peak_db < spread_db, "spreading, less absorption and the band limit"


def test_nothing_arrives_before_the_straight_path() -> None:
    """With every echo and corner on, a quiet scene stays below 1 % of its peak until the straight path.

    1 %: the converter's linear-phase filter rings a little ahead; 3 samples cover its main lobe.
    """
    echoes = Echoes(per_path=10.0, nlos_share=1.0, nlos_excess_ms=5.0)
    scene = short(noise=QUIET, echoes=echoes, bangs=[])
    scene = scene.model_copy(update={"shots": [scene.shots[0].model_copy(update={"times_s": [0.5]})]})
    simulation = simulate(scene, seed=3)
    for node in scene.nodes:
        sound = np.abs(pressure_pa(scene, simulation.sounds[node.id]))
        late_ns = scene.start_ns + NS_PER_S // 2 - simulation.start_times_ns[node.id]
        arrival_s = late_ns / NS_PER_S + straight_s(scene, node, scene.shots[0])
        assert sound[: int(arrival_s * scene.sample_rate_hz) - 3].max() < 0.01 * sound.max()


def test_container_is_heard_by_few_nodes() -> None:
    scene = load_scene(demo_scene_path())
    drop = next(item for item in scene.bangs if item.event == "container")
    quiet = scene.model_copy(update={"noise": QUIET, "shots": [], "bangs": [drop]})
    simulation = simulate(quiet, seed=scene.seed)
    levels_db = [
        20 * math.log10(np.abs(pressure_pa(quiet, sound)).max() / REFERENCE_PRESSURE_PA)
        for sound in simulation.sounds.values()
    ]
    assert 1 <= sum(level > 80.0 for level in levels_db) <= 2, "80 dB stands well out of 55 dB rms of noise"


def test_noise_has_the_level_that_the_scene_says() -> None:
    """4 s of coloured noise: its rms is scaled exactly; quantisation adds nothing at this level."""
    noise = Noise(background_db_spl=70.0, traffic_db_spl=0.0, passes_per_minute=0.0)
    scene = short(noise=noise, shots=[], bangs=[])
    for sound in simulate(scene, seed=2).sounds.values():
        rms_pa = float(np.sqrt(np.mean(pressure_pa(scene, sound) ** 2)))
        assert 20 * math.log10(rms_pa / REFERENCE_PRESSURE_PA) == pytest.approx(70.0, abs=0.01)


def test_microphone_clips() -> None:
    scene = short(full_scale_db_spl=95.0)
    sounds = simulate(scene, seed=1).sounds
    assert max(int(sound.max()) for sound in sounds.values()) == 32_767


@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_dataset_reads_back(tmp_path: Path, rate_hz: int) -> None:
    scene = short(sample_rate_hz=rate_hz)
    scene = scene.model_copy(update={"nodes": scene.nodes[:2]})
    simulation = simulate(scene, seed=4)
    written = write_simulation(simulation, tmp_path)
    (made,) = load_dataset(tmp_path).scenes
    assert made.recordings == written.scenes[0].recordings
    assert made.truth == simulation.truth
    assert [(event.kind, event.rounds, event.sigma_m) for event in made.truth] == [
        ("gunshot", 2, 0.0),
        ("impact", 0, 0.0),
    ]
    assert made.truth[0].shot_times_ns[0] == scene.start_ns + NS_PER_S // 2
    assert made.frame is not None
    assert made.frame.lat_deg == scene.origin.lat_deg
    for recording in made.recordings:
        samples, read_rate_hz = soundfile.read(recording.path, dtype="int16")
        assert read_rate_hz == rate_hz
        assert np.array_equal(samples, simulation.sounds[recording.node]), "FLAC loses nothing"
    assert (tmp_path / "overview.png").stat().st_size > 10_000


SHIPPED = demo_scene_path().read_text()


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ('name = "city-block"', "", "name", "missing"),
        ("seed = 20260314", "seed = -1", "seed", "greater than or equal to 0"),
        ("duration_s = 45.0", "duration = 45.0", "duration", "unknown key"),
        ("duration_s = 45.0", "duration_s = 20.0", "", "event 'alley' is at 24.95 s, after the end (20 s)"),
        ("z_m = 14.0", "z_m = -14.0", "nodes.0.z_m", "greater than 0"),
        ('id = "pole-market"', 'id = "roof-school"', "", "'roof-school' is there twice"),
        ('event = "alley"', 'event = "corner"', "", "'corner' is there twice"),
        ("times_s = [8.0]", "times_s = []", "shots.0.times_s", "at least 1 item"),
        ("temperature_c = 12.0", "temperature_c = 285.0", "weather", "285 °C is outside"),
        ("21:30:00Z", "21:30:00", "start_utc", "is not a UTC time"),
        ("x_m = 160.0\ny_m = 88.0", "x_m = 150.0\ny_m = 70.0\nz_m = 7.5", "", "'door' is inside a microphone"),
    ],
)
def test_mistakes_in_a_scene_are_named(tmp_path: Path, old: str, new: str, field: str, words: str) -> None:
    assert old in SHIPPED
    path = tmp_path / "scene.toml"
    path.write_text(SHIPPED.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_scene(path)
    (problem,) = [item for item in caught.value.problems if words in item.message]
    assert (problem.source, problem.field) == (str(path), field)
    if isinstance(caught.value, ConfigError) and new and field:
        assert problem.line == 1 + path.read_text()[: path.read_text().index(new)].count("\n")


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(get_command(app), list(arguments))
    return result.exit_code, result.output


def small_scene(folder: Path) -> Path:
    """Write the shipped scene cut to 30 s and three nodes."""
    head, *nodes = SHIPPED[: SHIPPED.index("[[shots]]")].split("[[nodes]]")
    rest = SHIPPED[SHIPPED.index("[[shots]]") : SHIPPED.index("[[bangs]]")]
    path = folder / "scene.toml"
    path.write_text("[[nodes]]".join([head.replace("duration_s = 45.0", "duration_s = 30.0"), *nodes[:3]]) + rest)
    return path


def test_command_speaks_sentences_and_json(tmp_path: Path) -> None:
    path = small_scene(tmp_path)
    code, text = run(str(path), "--out", str(tmp_path / "a"))
    assert code == 0
    assert "city-block: 3 nodes, 30 s, 2 shooting events with 4 rounds, 0 other bangs, seed 20260314." in text
    code, text = run(str(path), "--out", str(tmp_path / "b"), "--seed", "9", "--json")
    assert code == 0
    about = json.loads(text)
    assert (about["seed"], about["nodes"], about["rounds"]) == (9, 3, 4)
    assert load_dataset(tmp_path / "b").source == "simulated by shotline, seed 9"


def test_command_names_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(get_command(app), [str(small_scene(tmp_path)), "--out", str(tmp_path / "file")])
    assert result.exit_code != 0
    assert "choose another folder with --out" in str(result.exception)
