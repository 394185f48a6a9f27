"""The dataset format: exact round trips, and errors that name file, field and line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.errors import ConfigError, DatasetError, InputError
from shotline.geodesy import LocalFrame
from shotline.messages import Detection, Heartbeat, LevelReference, pack_frames
from shotline.units import NS_PER_S
from shotline_recordings.dataset import (
    Dataset,
    PulseSet,
    Recording,
    Scene,
    TruthEvent,
    load_dataset,
    open_dataset,
    save_dataset,
)

T0_NS = 1_545_180_000 * NS_PER_S + 123_456_789
REAL = Path(__file__).parents[4] / "shared" / "data" / "pittsburgh"

MINIMAL = """\
format = "shotline-dataset-1"
name = "rooftops"
licence = "CC0-1.0"
source = "me"

[[scenes]]
name = "night"

[scenes.frame]
lat_deg = 47.0
lon_deg = 8.0

[[scenes.nodes]]
id = "a"
x_m = 0.0
y_m = 0

[[scenes.nodes]]
id = "b"
lat_deg = 47.001
lon_deg = 8.0
z_m = 9.0

[[scenes.weather]]
temperature_c = 12.0

[[scenes.truth]]
event = "one"
x_m = 1.0
y_m = 2.0
sigma_m = 2.5
rounds = 1
window_utc = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:09Z"]

[[scenes.audio]]
node = "b"
file = "b.wav"
start_utc = "2026-01-01T00:00:00.000000001Z"
"""


def detection(node: str, sequence: int) -> Detection:
    return Detection(
        node=node,
        boot=2**63 - 5,
        sequence=sequence,
        arrival_time_ns=T0_NS + sequence,
        arrival_sigma_ns=300_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=81.3,
        level_reference=LevelReference.DB_SPL,
        snr_db=12.0,
        rise_time_s=0.0,
        model_id="test",
    )


def example(folder: Path) -> Dataset:
    """Return a dataset that uses every field."""
    folder.mkdir(exist_ok=True)
    wav = folder / "a.wav"
    soundfile.write(wav, np.zeros(10, dtype=np.int16), 16_000)
    detections = (detection("a", 0), detection("a", 1), detection("b", 7))
    full = Scene(
        name="night-1",
        frame=LocalFrame(47.123456789, -8.1, 431.7),
        sites=(Site("a", 0.1, -1e-7, 3.0, 0.05), Site("b", 1 / 3, 2.0, 0.0, 2.5)),
        weather=WeatherTimeline([(0, Weather(-1.1, 2.5, 150.0, 33.3)), (T0_NS, Weather(4.0))]),
        recordings=(
            Recording("a", wav, T0_NS, "shot", ClockState.PPS_AUDIO, 77, 120.5),
            Recording("b", wav, T0_NS + 1),
        ),
        detections=detections,
        pulse_sets=(PulseSet("shot", 1, (detections[2].uid, detections[0].uid)),),
        truth=(
            TruthEvent(
                'a "quoted" \\ naïve\n\tname\x7f', 1.0, 2.0, 3.0, 2.5, 3, (T0_NS, T0_NS + 1), (T0_NS - 1, T0_NS + 9)
            ),
            TruthEvent("drop", 0.0, 0.0, 0.0, 0.0, 0, (), (T0_NS, T0_NS), "impact", "container"),
        ),
    )
    bare = Scene("bare", None, (Site("a", 1e-300, 2.0),), WeatherTimeline.constant(Weather()))
    return Dataset("everything", "CC BY 4.0", "a test", (full, bare), ("1 quirk", "2 more"))


def same(one: Dataset, other: Dataset, moments_ns: tuple[int, ...] = (0, T0_NS - 1, T0_NS, T0_NS + 10**12)) -> bool:
    """Return whether two datasets are equal; timelines have no equality, so they are asked at instants."""

    weather = [[scene.weather.at(moment) for moment in moments_ns] for scene in one.scenes]
    again = [[scene.weather.at(moment) for moment in moments_ns] for scene in other.scenes]
    return weather == again and _without_weather(one) == _without_weather(other)


def _without_weather(dataset: Dataset) -> list[object]:
    head: list[object] = [dataset.name, dataset.licence, dataset.source, dataset.warnings]
    return head + [
        (s.name, s.frame, s.sites, s.recordings, s.detections, s.pulse_sets, s.truth) for s in dataset.scenes
    ]


def test_round_trip_is_exact(tmp_path: Path) -> None:
    dataset = example(tmp_path / "d")
    file = save_dataset(dataset, tmp_path / "d")
    assert same(load_dataset(tmp_path / "d"), dataset)
    assert same(load_dataset(file), dataset), "the file itself may be named"


def test_saving_what_was_loaded_gives_the_same_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "d"
    file = save_dataset(example(folder), folder)
    before = (file.read_bytes(), (folder / "night-1.detections").read_bytes())
    save_dataset(load_dataset(folder), folder)
    assert (file.read_bytes(), (folder / "night-1.detections").read_bytes()) == before
    assert sorted(item.name for item in folder.iterdir()) == ["a.wav", "dataset.toml", "night-1.detections"]


@pytest.mark.skipif(not REAL.is_dir(), reason=f"the Pittsburgh live-fire set is not at {REAL}")
def test_real_position_round_trips(tmp_path: Path) -> None:
    dataset = open_dataset(REAL, only=["FP4"])
    save_dataset(dataset, tmp_path)
    moments = tuple(event.window_ns[0] for event in dataset.scenes[0].truth)
    again = open_dataset(tmp_path)
    assert same(again, dataset, moments)


def test_sound_outside_the_folder_keeps_its_place(tmp_path: Path) -> None:
    dataset = example(tmp_path / "sound")
    save_dataset(dataset, tmp_path / "d")
    assert same(load_dataset(tmp_path / "d"), dataset)


def write(folder: Path, text: str = MINIMAL) -> Path:
    soundfile.write(folder / "b.wav", np.zeros(10, dtype=np.int16), 16_000)
    (folder / "dataset.toml").write_text(text)
    return folder / "dataset.toml"


def test_minimal_file_with_degrees(tmp_path: Path) -> None:
    write(tmp_path)
    (scene,) = open_dataset(tmp_path).scenes
    assert scene.sites[0] == Site("a", 0.0, 0.0, 0.0, 1.0)
    assert (scene.sites[1].node, scene.sites[1].z_m) == ("b", 9.0)
    assert scene.sites[1].x_m == pytest.approx(0.0, abs=1e-6)
    assert scene.sites[1].y_m == pytest.approx(111.17, abs=0.05), "a thousandth of a degree of latitude at 47 north"
    assert scene.recordings[0].start_time_ns % NS_PER_S == 1
    assert scene.truth[0].kind == "gunshot"


@pytest.mark.parametrize(
    ("old", "new", "line", "words"),
    [
        ('format = "shotline-dataset-1"', 'format = "shotline-dataset-2"', 1, "'shotline-dataset-1'; saw"),
        ("x_m = 0.0", "x_metres = 0.0", 15, "unknown key"),
        ("x_m = 0.0", "", 13, "give either x_m and y_m, or lat_deg and lon_deg"),
        ("lat_deg = 47.001", 'lat_deg = "47.001"', 20, "valid number"),
        ('id = "b"', 'id = "a b"', 19, "match pattern"),
        ('id = "b"', 'id = "a"', 19, "node 'a' is there twice"),
        ("temperature_c = 12.0", "temperature_c = 285.0", 24, "285 °C is outside"),
        ("temperature_c = 12.0", "", 24, "missing"),
        ("lat_deg = 47.0\n", "lat_deg = 147.0\n", 9, "latitude 147.0 is outside"),
        ("[scenes.frame]\nlat_deg = 47.0\nlon_deg = 8.0\n", "", 15, "need the scene to have a frame"),
        ('"2026-01-01T00:00:09Z"', '"2026-01-01T00:00:09"', 33, "is not a UTC time"),
        ('"2026-01-01T00:00:09Z"', '"2025-01-01T00:00:09Z"', 33, "ends before it begins"),
        ('node = "b"', 'node = "c"', 36, "node 'c' has no site"),
        ('file = "b.wav"', 'file = "gone.wav"', 37, "no such file"),
        ('start_utc = "2026', 'start_utc = "26', 38, "is not a UTC time"),
        ("rounds = 1", "rounds = -1", 32, "greater than or equal to 0"),
        ("[[scenes.nodes]]\nid", "[[scenes.nodes\nid", 13, "not TOML"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path: Path, old: str, new: str, line: int, words: str) -> None:
    assert old in MINIMAL
    file = write(tmp_path, MINIMAL.replace(old, new, 1))
    with pytest.raises(InputError) as caught:
        load_dataset(tmp_path)
    problem = next(item for item in caught.value.problems if words in item.message)
    assert (problem.source, problem.line) == (str(file), line)


def test_line_is_found_in_the_second_scene(tmp_path: Path) -> None:
    second = MINIMAL[MINIMAL.index("[[scenes]]") :].replace('name = "night"', 'name = "day"').replace("y_m = 0\n", "")
    file = write(tmp_path, MINIMAL + "\n" + second)
    with pytest.raises(ConfigError) as caught:
        load_dataset(file)
    assert caught.value.problems[0].field == "scenes.1.nodes.0"
    assert caught.value.problems[0].line == 47


def test_every_mistake_is_reported_at_once(tmp_path: Path) -> None:
    write(tmp_path, MINIMAL.replace("rounds = 1", "rounds = 1.5").replace('licence = "CC0-1.0"\n', ""))
    with pytest.raises(ConfigError) as caught:
        load_dataset(tmp_path)
    assert sorted(problem.field for problem in caught.value.problems) == ["licence", "scenes.0.truth.0.rounds"]


def with_detections(folder: Path, data: bytes) -> Path:
    write(folder, MINIMAL.replace('name = "night"', 'name = "night"\ndetections = "n.detections"'))
    (folder / "n.detections").write_bytes(data)
    return folder


def test_broken_detections_are_named_with_their_frame(tmp_path: Path) -> None:
    frames = list(pack_frames([detection("a", 0), detection("a", 1)]))
    heartbeat = Heartbeat(node="a", boot=1, time_ns=0, clock_state=ClockState.PPS)
    for data, frame, words in (
        (b"".join(frames)[:-3], "frame 2", "truncated"),
        (frames[0] + b"\x00\x00\x00\x02\x92\x02", "frame 2", "truncated"),
        (b"".join(pack_frames([heartbeat])), "frame 1", "Heartbeat message, expected detections only"),
        (frames[0].replace(b"\x02\x01\xa1a", b"\x02\x09\xa1a"), "frame 1", "unsupported_version"),
    ):
        with pytest.raises(DatasetError) as caught:
            load_dataset(with_detections(tmp_path, data))
        (problem,) = caught.value.problems
        assert (problem.source, problem.field) == (str(tmp_path / "n.detections"), frame)
        assert words in problem.message


def test_missing_detections_file_is_named(tmp_path: Path) -> None:
    with_detections(tmp_path, b"")
    (tmp_path / "n.detections").unlink()
    with pytest.raises(DatasetError, match=r"dataset\.toml:8: scenes\.0\.detections: cannot read .*n\.detections"):
        load_dataset(tmp_path)


def test_detections_of_nodes_without_a_site_are_counted(tmp_path: Path) -> None:
    data = b"".join(pack_frames([detection("a", 0), detection("x", 0), detection("x", 1)]))
    dataset = load_dataset(with_detections(tmp_path, data))
    assert len(dataset.scenes[0].detections) == 3
    assert dataset.warnings == ("night: 2 detections of 1 nodes without a site (x) cannot be used",)


@pytest.mark.parametrize("text", ["a/0", "a/zz/0", "a/1/0"])
def test_pulse_set_of_unknown_detections_is_refused(tmp_path: Path, text: str) -> None:
    table = f'\n[[scenes.pulse_sets]]\nevent = "one"\nshot_index = 0\ndetections = ["{text}"]\n'
    write(tmp_path, MINIMAL + table)
    with pytest.raises(DatasetError, match=rf"dataset\.toml:43: .*'{text}' is not a detection of this scene"):
        load_dataset(tmp_path)


def test_only_some_scenes(tmp_path: Path) -> None:
    save_dataset(example(tmp_path / "d"), tmp_path / "d")
    assert [scene.name for scene in open_dataset(tmp_path / "d", only=["bare"]).scenes] == ["bare"]
    with pytest.raises(DatasetError, match="no scene day; there are night-1, bare"):
        open_dataset(tmp_path / "d", only=["day"])


def test_unknown_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="not a dataset that any loader knows"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="no such folder"):
        open_dataset(tmp_path / "gone")
    with pytest.raises(DatasetError, match="cannot read the file"):
        open_dataset(tmp_path, loader="shotline")
    with pytest.raises(DatasetError, match="expected a folder of firing positions"):
        open_dataset(tmp_path, loader="pittsburgh")


def test_example_of_the_readme_loads(tmp_path: Path) -> None:
    readme = Path(__file__).parents[3] / "recordings" / "README.md"
    text = readme.read_text().split("```toml\n")[1].split("```")[0]
    for name in ("roof-a.flac", "roof-b.wav"):
        soundfile.write(tmp_path / name, np.zeros(10, dtype=np.int16), 16_000)
    (tmp_path / "dataset.toml").write_text(text)
    (scene,) = load_dataset(tmp_path).scenes
    assert [site.node for site in scene.sites] == ["roof-a", "roof-b"]
    assert (scene.truth[0].rounds, len(scene.truth[0].shot_times_ns)) == (3, 2)
    save_dataset(load_dataset(tmp_path), tmp_path)
    assert load_dataset(tmp_path).scenes[0].truth == scene.truth
