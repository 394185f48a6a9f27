"""The Pittsburgh loader: every quirk in miniature, every error, and the real set where it is at hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shotline.atmosphere import speed_of_sound_mps
from shotline.domain import ClockState
from shotline.errors import DatasetError
from shotline.messages import LevelReference, decode, encode
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_MS, NS_PER_S, ns_from_seconds
from shotline_recordings import pittsburgh

REAL = Path(__file__).parents[4] / "shared" / "data" / "pittsburgh"
needs_data = pytest.mark.skipif(not REAL.is_dir(), reason=f"the Pittsburgh live-fire set is not at {REAL}")

DISCHARGE_NS = parse_utc("2018-12-19T00:49:28.000Z")
PLACE = (100.0, 200.0, -5.0)
SENSORS = {"SCP-1": (100.0, 500.0, 0.0), "SCP-2": (500.0, 200.0, 1.0), "SCP-3": (-300.0, 200.0, 2.0)}


def pulse(sensor: str, shot: int, time_ns: int, **changes: Any) -> dict[str, Any]:
    x, y, z = SENSORS[sensor]
    return {
        "pulse_uuid": f"{sensor}-{shot}",
        "serial_number": sensor,
        "arrival_time_utc": format_utc(time_ns, digits=3),
        "location": {"x": x, "y": y, "z": z},
        "location_error": 0.05,
        "signal_to_noise_dB": 12.5,
        "power_dB_SPL": 80.0,
    } | changes


def arrival_ns(sensor: str, shot: int) -> int:
    distance_m = math.hypot(SENSORS[sensor][0] - PLACE[0], SENSORS[sensor][1] - PLACE[1])
    return DISCHARGE_NS + shot * 500 * NS_PER_MS + ns_from_seconds(distance_m / speed_of_sound_mps(-1.0))


Parts = dict[str, Any]


def parts(rounds: int = 2) -> Parts:
    """Return the JSON parts of one clean test by file ending."""
    return {
        "survey.json": {
            "num_rounds": rounds,
            "firearm": "9mm",
            "survey_location": dict(zip("xyz", PLACE, strict=True)),
        },
        "weather.json": {"temperature": -1.0, "speed": 0.0, "direction": 150.0},
        "allpulses.json": [pulse(name, shot, arrival_ns(name, shot)) for shot in range(rounds) for name in SENSORS],
        "nlos-tuples.json": [
            {"shot_index": shot, "pulse_uuids": [f"{name}-{shot}" for name in SENSORS]} for shot in range(rounds)
        ],
    }


def write_test(root: Path, position: str = "FPx", test: str = "test_001", content: Parts | None = None) -> Path:
    folder = root / position / test
    folder.mkdir(parents=True)
    for ending, value in (content or parts()).items():
        (folder / f"{test}.{ending}").write_text(json.dumps(value, indent=1))
    return folder


def write_wav(folder: Path, sensor: str = "SCP-1", *, seconds: float = 2.0, dated: bool = True) -> Path:
    path = folder / f"{folder.name}.audio.{sensor}.wav"
    soundfile.write(path, np.zeros(int(12_000 * seconds), dtype=np.int16), 12_000)
    if dated:
        x, y, z = SENSORS.get(sensor, (7.0, 8.0, 9.0))
        about = {
            "serial_number": sensor,
            "timestamp": "2018-12-19T00:49:27.000Z",
            "location": {"x": x + 4.0, "y": y, "z": z},
        }
        path.with_suffix(".json").write_text(json.dumps(about))
    return path


def test_clean_test_becomes_a_scene(tmp_path: Path) -> None:
    wav = write_wav(write_test(tmp_path))
    dataset = pittsburgh.load(tmp_path)
    assert dataset.warnings == ()
    assert dataset.licence == "CC BY 4.0"
    (scene,) = dataset.scenes
    assert (scene.name, scene.frame) == ("FPx", None)
    assert [(site.node, site.x_m, site.y_m, site.z_m, site.sigma_m) for site in scene.sites] == [
        (name, *position, 0.05) for name, position in SENSORS.items()
    ]
    (truth,) = scene.truth
    assert (truth.event, truth.x_m, truth.y_m, truth.z_m) == ("test_001", *PLACE)
    assert (truth.sigma_m, truth.rounds, truth.kind, truth.label) == (2.5, 2, "gunshot", "9mm")
    assert truth.window_ns[0] == parse_utc("2018-12-19T00:49:24.000Z"), "3 s before the first sample"
    assert truth.window_ns[1] == max(item.arrival_time_ns for item in scene.detections) + 3 * NS_PER_S
    (recording,) = scene.recordings
    assert (recording.node, recording.path, recording.event) == ("SCP-1", wav, "test_001")
    assert recording.start_time_ns == parse_utc("2018-12-19T00:49:27.000Z")
    assert recording.full_scale_db_spl == 93.0
    assert scene.weather.at(DISCHARGE_NS).temperature_c == -1.0


def test_discharge_is_derived_to_the_rounding_of_the_pulses(tmp_path: Path) -> None:
    """Arrivals are rounded to 1 ms, so their median minus travel is within 0.5 ms."""
    write_test(tmp_path)
    (truth,) = pittsburgh.load(tmp_path).scenes[0].truth
    for shot, time_ns in enumerate(truth.shot_times_ns):
        assert abs(time_ns - DISCHARGE_NS - shot * 500 * NS_PER_MS) <= NS_PER_MS // 2


def test_pulses_become_detections_that_the_wire_takes(tmp_path: Path) -> None:
    write_test(tmp_path)
    (scene,) = pittsburgh.load(tmp_path).scenes
    times = [item.arrival_time_ns for item in scene.detections]
    assert times == sorted(times)
    assert len(times) == 6
    first = scene.detections[0]
    assert (first.node, first.sequence) == ("SCP-1", 0)
    assert (first.arrival_sigma_ns, first.clock_state) == (300_000, ClockState.PPS)
    assert (first.peak_level_db, first.level_reference, first.snr_db) == (80.0, LevelReference.DB_SPL, 12.5)
    assert (first.probabilities_bp, first.rise_time_s, first.model_id) == ((), 0.0, "shotspotter-pulses")
    assert [decode(encode(item)) for item in scene.detections] == list(scene.detections)
    assert len({item.uid for item in scene.detections}) == 6
    assert [item.sequence for item in scene.detections if item.node == "SCP-2"] == [0, 1]


def test_identity_does_not_depend_on_what_else_is_loaded(tmp_path: Path) -> None:
    write_test(tmp_path, test="test_001")
    write_test(tmp_path, test="test_002")
    write_test(tmp_path, position="FPy", test="test_001")
    every = {item.boot for scene in pittsburgh.load(tmp_path).scenes for item in scene.detections}
    one = {item.boot for item in pittsburgh.load(tmp_path, only=["FPx/test_001"]).scenes[0].detections}
    assert len(every) == 3
    assert one < every
    assert all(0 <= boot < 2**63 for boot in every)


def test_natural_order_and_selection(tmp_path: Path) -> None:
    for position in ("FP10", "FP9"):
        write_test(tmp_path, position=position)
    (tmp_path / "notes").mkdir()
    assert [scene.name for scene in pittsburgh.load(tmp_path).scenes] == ["FP9", "FP10"]
    assert [scene.name for scene in pittsburgh.load(tmp_path, only={"FP10"}).scenes] == ["FP10"]
    assert [scene.name for scene in pittsburgh.load(tmp_path / "FP9").scenes] == ["FP9"], "one position is a root too"
    with pytest.raises(DatasetError, match=r"no firing position or test FP2; there are FP9, FP10"):
        pittsburgh.load(tmp_path, only=["FP2"])


def test_duplicated_rows_are_dropped_and_their_uuid_leads_to_the_kept_row(tmp_path: Path) -> None:
    content = parts()
    again = pulse("SCP-2", 0, arrival_ns("SCP-2", 0), pulse_uuid="A-copy")
    content["allpulses.json"].append(again)
    content["nlos-tuples.json"][0]["pulse_uuids"] = ["SCP-1-0", "A-copy", "SCP-3-0"]
    write_test(tmp_path, content=content)
    dataset = pittsburgh.load(tmp_path)
    (scene,) = dataset.scenes
    assert len(scene.detections) == 6
    assert [uid.node for uid in scene.pulse_sets[0].detections] == ["SCP-1", "SCP-2", "SCP-3"]
    assert set(scene.pulse_sets[0].detections) <= {item.uid for item in scene.detections}
    assert dataset.warnings == ("FPx: 1 duplicated pulse rows (same sensor, same millisecond) dropped (test_001)",)


def test_missing_uuids_and_repeated_sensors_are_counted(tmp_path: Path) -> None:
    content = parts()
    content["nlos-tuples.json"][0]["pulse_uuids"] += ["gone-1", "gone-2", "SCP-1-1"]
    write_test(tmp_path, content=content)
    dataset = pittsburgh.load(tmp_path)
    assert [uid.node for uid in dataset.scenes[0].pulse_sets[0].detections] == ["SCP-1", "SCP-2", "SCP-3", "SCP-1"]
    assert dataset.warnings == (
        "FPx: 2 tuple pulses that are not among the test's pulses left out (test_001)",
        "FPx: 1 tuple pulses of a sensor that the tuple already has, kept (test_001)",
    )


def test_missing_shot_keeps_its_round(tmp_path: Path) -> None:
    """FP4 test_055 has no shot 0."""
    content = parts(rounds=3)
    del content["nlos-tuples.json"][0]
    write_test(tmp_path, content=content)
    dataset = pittsburgh.load(tmp_path)
    (truth,) = dataset.scenes[0].truth
    assert (truth.rounds, len(truth.shot_times_ns)) == (3, 2)
    assert [item.shot_index for item in dataset.scenes[0].pulse_sets] == [1, 2]
    assert "1 shots without a tuple" in dataset.warnings[0]


def moved(content: Parts, sensor: str, *, by_m: float, error_m: float) -> Parts:
    for row in content["allpulses.json"]:
        if row["serial_number"] == sensor:
            row["location"]["x"] += by_m
            row["location_error"] = error_m
    return content


@pytest.mark.parametrize("error_m", [1.8, 0.0])
def test_momentary_fixes_do_not_move_a_site(tmp_path: Path, error_m: float) -> None:
    write_test(tmp_path, test="test_001", content=moved(parts(), "SCP-1", by_m=20.0, error_m=error_m))
    write_test(tmp_path, test="test_002", content=moved(parts(), "SCP-1", by_m=23.0, error_m=error_m))
    write_test(tmp_path, test="test_003")
    site = pittsburgh.load(tmp_path).scenes[0].sites[0]
    assert (site.x_m, site.sigma_m) == (100.0, 0.05)


def test_site_known_by_momentary_fixes_only_says_so(tmp_path: Path) -> None:
    for index, by_m in enumerate((-6.0, 0.0, 3.0)):
        write_test(tmp_path, test=f"test_{index}", content=moved(parts(), "SCP-1", by_m=by_m, error_m=1.5))
    dataset = pittsburgh.load(tmp_path)
    site = dataset.scenes[0].sites[0]
    assert site.x_m == 100.0
    assert site.sigma_m == pytest.approx(math.sqrt(45 / 6), abs=1e-3), "rms over tests and both axes, rounded to 1 mm"
    assert dataset.warnings == ("FPx: 1 sensors placed by momentary GPS fixes only (SCP-1)",)


def test_scatter_between_tests_is_in_sigma(tmp_path: Path) -> None:
    for index, by_m in enumerate((0.0, 2.0)):
        write_test(tmp_path, test=f"test_{index}", content=moved(parts(), "SCP-1", by_m=by_m, error_m=0.05))
    site = pittsburgh.load(tmp_path).scenes[0].sites[0]
    assert (site.x_m, site.sigma_m) == (101.0, pytest.approx(math.sqrt(0.5), abs=1e-3))


def test_sensor_with_sound_but_no_pulse_gets_the_wavs_position(tmp_path: Path) -> None:
    write_wav(write_test(tmp_path), "SCP-9")
    dataset = pittsburgh.load(tmp_path)
    site = dataset.scenes[0].sites[-1]
    assert (site.node, site.x_m, site.y_m, site.sigma_m) == ("SCP-9", 11.0, 8.0, 10.0)
    assert dataset.warnings == ("FPx: 1 sensors without a pulse placed by their wav's GPS fix (10 m) (SCP-9)",)


@pytest.mark.parametrize(
    ("missing", "warning"),
    [
        ("survey.json", "1 tests without a survey, so without truth (test_002)"),
        ("weather.json", "1 tests without weather take that of the test before (the first takes the next) (test_002)"),
        ("nlos-tuples.json", "1 tests without pulse sets (*.nlos-tuples.json is missing) (test_002)"),
    ],
)
def test_missing_part_of_one_test_is_counted(tmp_path: Path, missing: str, warning: str) -> None:
    write_test(tmp_path, test="test_001")
    (write_test(tmp_path, test="test_002") / f"test_002.{missing}").unlink()
    dataset = pittsburgh.load(tmp_path)
    assert f"FPx: {warning}" in dataset.warnings
    assert len(dataset.scenes[0].truth) == (1 if missing == "survey.json" else 2)


def test_test_with_sound_only(tmp_path: Path) -> None:
    content = parts()
    del content["allpulses.json"], content["nlos-tuples.json"]
    write_wav(write_test(tmp_path, content=content))
    dataset = pittsburgh.load(tmp_path)
    (scene,) = dataset.scenes
    assert (len(scene.detections), len(scene.recordings), len(scene.sites)) == (0, 1, 1)
    assert scene.truth[0].shot_times_ns == ()
    assert any("1 tests without pulses" in warning for warning in dataset.warnings)


def test_survey_alone_is_left_out(tmp_path: Path) -> None:
    write_test(tmp_path, test="test_001")
    write_test(tmp_path, test="test_002", content={"survey.json": parts()["survey.json"]})
    dataset = pittsburgh.load(tmp_path)
    assert len(dataset.scenes[0].truth) == 1
    assert any("neither pulses nor sound left out (test_002)" in warning for warning in dataset.warnings)


def test_wav_without_date_is_left_out(tmp_path: Path) -> None:
    write_wav(write_test(tmp_path), dated=False)
    dataset = pittsburgh.load(tmp_path)
    assert dataset.scenes[0].recordings == ()
    assert dataset.warnings == (
        "FPx: 1 wav files without the JSON that dates them left out (test_001/test_001.audio.SCP-1.wav)",
    )


def test_no_weather_at_all_is_said_loudly(tmp_path: Path) -> None:
    content = parts()
    del content["weather.json"]
    write_test(tmp_path, content=content)
    dataset = pittsburgh.load(tmp_path)
    assert any("15 °C and no wind assumed" in warning for warning in dataset.warnings)


def drop(name: str) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        rows = json.loads(path.read_text())
        rows[1].pop(name)
        path.write_text(json.dumps(rows))

    return damage


def put(name: str, value: object) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        content = json.loads(path.read_text())
        (content[1] if isinstance(content, list) else content)[name] = value
        path.write_text(json.dumps(content))

    return damage


def cut(path: Path) -> None:
    path.write_text(path.read_text()[:60])


@pytest.mark.parametrize(
    ("ending", "damage", "field", "words"),
    [
        ("allpulses.json", cut, "", "not JSON"),
        ("survey.json", cut, "", "not JSON"),
        ("allpulses.json", drop("serial_number"), "[1]", "missing required field `serial_number`"),
        ("allpulses.json", drop("arrival_time_utc"), "[1]", "missing required field `arrival_time_utc`"),
        ("allpulses.json", put("serial_number", "bad name!"), "[1].serial_number", "matching regex"),
        ("allpulses.json", put("power_dB_SPL", 1e9), "[1].power_dB_SPL", "<= 250"),
        ("allpulses.json", put("arrival_time_utc", "today"), "[1].arrival_time_utc", "'today' is not a UTC time"),
        ("survey.json", put("num_rounds", "three"), "num_rounds", "Expected `int`, got `str`"),
        ("survey.json", put("survey_location", {"x": 1.0}), "survey_location", "missing required field `y`"),
        ("weather.json", put("temperature", 290.0), "temperature, speed, direction", "290 °C is outside"),
        ("nlos-tuples.json", drop("pulse_uuids"), "[1]", "missing required field `pulse_uuids`"),
    ],
)
def test_broken_file_is_named_with_its_field(
    tmp_path: Path, ending: str, damage: Callable[[Path], None], field: str, words: str
) -> None:
    path = write_test(tmp_path) / f"test_001.{ending}"
    damage(path)
    with pytest.raises(DatasetError) as caught:
        pittsburgh.load(tmp_path)
    (problem,) = caught.value.problems
    assert problem.source == str(path)
    assert problem.field == field
    assert words in problem.message
    if words == "not JSON":
        assert problem.line > 1


def test_broken_and_stereo_wavs_are_named(tmp_path: Path) -> None:
    path = write_wav(write_test(tmp_path))
    soundfile.write(path, np.zeros((100, 2), dtype=np.int16), 12_000)
    with pytest.raises(DatasetError, match=r"SCP-1\.wav: 2 channels, expected 1"):
        pittsburgh.load(tmp_path)
    path.write_bytes(b"RIFFrubbish")
    with pytest.raises(DatasetError, match=r"SCP-1\.wav: not a readable WAV file"):
        pittsburgh.load(tmp_path)


def test_wrong_folders_are_refused(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "absent"):
        assert not pittsburgh.looks_like_pittsburgh(root)
        with pytest.raises(DatasetError, match="expected a folder of firing positions"):
            pittsburgh.load(root)
    folder = write_test(tmp_path)
    assert pittsburgh.looks_like_pittsburgh(tmp_path)
    (folder / "other.survey.json").write_text("{}")
    with pytest.raises(DatasetError, match=r"2 files end in \.survey\.json"):
        pittsburgh.load(tmp_path)


@needs_data
def test_real_set_holds_what_its_readme_says() -> None:
    dataset = pittsburgh.load(REAL)
    for scene in dataset.scenes:
        assert len(scene.truth) == 18
        assert sum(event.rounds for event in scene.truth) == 36
        assert {detection.node for detection in scene.detections} <= {site.node for site in scene.sites}
        known = {detection.uid for detection in scene.detections}
        assert len(known) == len(scene.detections)
        for item in scene.pulse_sets:
            assert set(item.detections) <= known
        for event in scene.truth:
            assert all(event.window_ns[0] < time_ns < event.window_ns[1] for time_ns in event.shot_times_ns)
        windows = sorted(event.window_ns for event in scene.truth)
        assert all(before[1] < after[0] for before, after in pairwise(windows))


@needs_data
def test_real_quirks_are_counted() -> None:
    dataset = pittsburgh.load(REAL, only=["FP1/test_008", "FP4"])
    text = "\n".join(dataset.warnings)
    assert "FP1: 9 tuple pulses that are not among the test's pulses left out (test_008)" in text
    assert "FP4: 1 shots without a tuple, so without a known discharge instant (test_055)" in text
    event = next(item for item in dataset.scenes[1].truth if item.event == "test_055")
    assert (event.rounds, len(event.shot_times_ns)) == (3, 2)
    sites = {site.node: site for site in dataset.scenes[1].sites}
    assert 1.0 < sites["SCP-00-BNG-5515"].sigma_m < 10.0, "it only ever gave momentary fixes"
    assert sites["SCP-00-BNQ-1748"].sigma_m < 0.1, "test_055 had momentary fixes 10 m off; the averaged ones count"
