"""Loader of the Pittsburgh live-fire set [TN098, CC BY 4.0]: recorded pulses, sound and surveyed truth.

The set is a folder of firing positions, each a folder of tests. Names of positions and tests are read from the folders.
Every firing position has its own arbitrary Cartesian frame and becomes one `Scene` with ``frame=None``; its x and y
are taken as east and north, which matters to the (nearly absent) wind only.

What is derived rather than recorded, and how, is said at each function; every quirk that is tolerated is counted in
``Dataset.warnings``.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
import numpy as np

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import NODE_ID_PATTERN, ClockState, Site
from shotline.errors import DatasetError, InputError
from shotline.messages import Detection, LevelReference
from shotline.propagation import travel_time_s
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Dataset, PulseSet, Recording, Scene, TruthEvent

__all__ = ["load", "looks_like_pittsburgh"]

LICENCE = "CC BY 4.0"
SOURCE = (
    "ShotSpotter, Inc., data of Tech Note 098: Calhoun et al., "
    "Precision and accuracy of acoustic gunshot location in an urban environment, 2020"
)
FULL_SCALE_DB_SPL = 93.0
"""Peak level of digital full scale of the recorded microphones, roughly [TN098]."""
TRUTH_SIGMA_M = 2.5
"""1-sigma error, per axis, of a survey with a phone's GPS."""
ARRIVAL_SIGMA_NS = 300_000
"""Arrival times are rounded to 1 ms (0.29 ms rms)."""
MODEL_ID = "shotspotter-pulses"

_TRUSTED_ERROR_M = 1.0
"""An averaged position claims less than this; more, or 0 (not stated), is one momentary GPS fix."""
_MOMENTARY_SIGMA_M = 5.0
"""1-sigma of a momentary GPS fix that states no error, per axis."""
_WAV_SIGMA_M = 10.0
"""1-sigma of the position beside a wav: momentary, several metres off."""
_WINDOW_MARGIN_NS = 3 * NS_PER_S
"""Discharge comes before the first pulse by at most the travel time to the nearest sensor: 3 s per km."""
_PARTS = ("*.allpulses.json", "*.survey.json", "*.nlos-tuples.json", "*.audio.*.wav")

_Serial = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=NODE_ID_PATTERN)]
_Decibel = Annotated[float, msgspec.Meta(ge=-250.0, le=250.0)]


class _Point(msgspec.Struct, frozen=True):
    x: float
    y: float
    z: float = 0.0


class _Pulse(msgspec.Struct, frozen=True):
    pulse_uuid: str
    serial_number: _Serial
    arrival_time_utc: str
    location: _Point
    location_error: float
    signal_to_noise_dB: _Decibel  # noqa: N815 - the file's spelling
    power_dB_SPL: _Decibel  # noqa: N815 - the file's spelling


class _Tuple(msgspec.Struct, frozen=True):
    shot_index: int
    pulse_uuids: list[str]


class _Survey(msgspec.Struct, frozen=True):
    num_rounds: Annotated[int, msgspec.Meta(ge=0, le=10_000)]
    survey_location: _Point
    firearm: str = ""


class _WeatherReport(msgspec.Struct, frozen=True):
    temperature: float
    speed: float = 0.0
    direction: float = 0.0


class _Wav(msgspec.Struct, frozen=True):
    serial_number: _Serial
    timestamp: str
    location: _Point


_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class _Fix:
    """One position of a sensor as some file of one test gives it."""

    test: str
    location: _Point
    error_m: float


@dataclass(frozen=True, slots=True)
class _Surveyed:
    """The truth of one test, before the sites are known."""

    test: str
    survey: _Survey
    window_ns: tuple[int, int]
    weather: Weather | None
    heard: list[list[Detection]]


@dataclass(slots=True)
class _Position:
    """What has been read of one firing position."""

    name: str
    detections: list[Detection] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    pulse_sets: list[PulseSet] = field(default_factory=list)
    surveys: list[_Surveyed] = field(default_factory=list)
    weather: list[tuple[int, Weather]] = field(default_factory=list)
    fixes: dict[str, list[_Fix]] = field(default_factory=dict)
    wav_fixes: dict[str, list[_Fix]] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def tolerate(self, quirk: str, where: str, count: int = 1) -> None:
        """Count a quirk that does not stop the loading."""
        if count:
            self.counts[quirk] += count
            places = self.places.setdefault(quirk, [])
            if where not in places:
                places.append(where)

    def warnings(self) -> tuple[str, ...]:
        """Say how many of each quirk, and where."""
        return tuple(
            f"{self.name}: {count} {quirk} ({_some(self.places[quirk])})" for quirk, count in self.counts.items()
        )


def looks_like_pittsburgh(root: Path) -> bool:
    """Return whether a folder is laid out like the set, or like one firing position of it."""
    return bool(_position_folders(root))


def load(root: Path, *, only: Collection[str] | None = None) -> Dataset:
    """Load firing positions.

    Parameters
    ----------
    root : Path
        Folder of firing positions, or one firing position.
    only : collection of str | None
        Names of firing positions (``FP1``) or of single tests (``FP1/test_008``); None for all. A sensor's site is
        estimated from the tests that are loaded.

    Raises
    ------
    DatasetError
        The folder is not such a set, a name in ``only`` is not in it, or a file is broken: names file and field.
    """
    folders = _position_folders(root)
    if not folders:
        raise DatasetError(
            "expected a folder of firing positions (FP1/test_001/test_001.allpulses.json ...) or one firing position; "
            "saw none; give the folder that holds them",
            source=root,
        )
    wanted = _selection(folders, only, root)
    scenes: list[Scene] = []
    warnings: list[str] = []
    for folder, tests in wanted:
        position = _Position(folder.name)
        for test in tests:
            _read_test(position, test)
        scenes.append(_scene(position, folder))
        warnings.extend(position.warnings())
    return Dataset(name="pittsburgh", licence=LICENCE, source=SOURCE, scenes=tuple(scenes), warnings=tuple(warnings))


def _is_test(folder: Path) -> bool:
    return folder.is_dir() and any(next(folder.glob(pattern), None) for pattern in _PARTS)


def _tests_in(folder: Path) -> list[Path]:
    return sorted((item for item in folder.iterdir() if _is_test(item)), key=lambda item: _natural(item.name))


def _position_folders(root: Path) -> dict[Path, list[Path]]:
    if not root.is_dir():
        return {}
    root = root.resolve()
    if tests := _tests_in(root):
        return {root: tests}
    inside = sorted((item for item in root.iterdir() if item.is_dir()), key=lambda item: _natural(item.name))
    return {item: tests for item in inside if (tests := _tests_in(item))}


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    return tuple((int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name) if part)


def _selection(
    folders: dict[Path, list[Path]], only: Collection[str] | None, root: Path
) -> list[tuple[Path, list[Path]]]:
    if only is None:
        return list(folders.items())
    names = {folder.name for folder in folders}
    names |= {f"{folder.name}/{test.name}" for folder, tests in folders.items() for test in tests}
    if unknown := sorted(set(only) - names):
        raise DatasetError(
            f"no firing position or test {', '.join(unknown)}; there are {', '.join(f.name for f in folders)}, "
            "and tests written like FP1/test_001",
            source=root,
            field="only",
        )
    chosen = []
    for folder, tests in folders.items():
        kept = [test for test in tests if folder.name in only or f"{folder.name}/{test.name}" in only]
        if kept:
            chosen.append((folder, kept))
    return chosen


def _read_test(position: _Position, folder: Path) -> None:
    test = folder.name
    by_uuid, times_ns = _read_pulses(position, folder)
    span_ns = [*times_ns, *_read_audio(position, folder)]
    weather = _read_weather(position, folder)
    sets = _read_tuples(position, folder, by_uuid)
    position.pulse_sets.extend(sets)
    if not span_ns:
        position.tolerate("tests with neither pulses nor sound left out", test)
        return
    window_ns = (min(span_ns) - _WINDOW_MARGIN_NS, max(span_ns) + _WINDOW_MARGIN_NS)
    if weather is not None:
        position.weather.append((window_ns[0], weather))
    path = _one(folder, "survey.json")
    if path is None:
        position.tolerate("tests without a survey, so without truth", test)
        return
    survey = _read(path, _Survey)
    position.surveys.append(_Surveyed(test, survey, window_ns, weather, [_heard(item, by_uuid) for item in sets]))


def _read_pulses(position: _Position, folder: Path) -> tuple[dict[str, Detection], list[int]]:
    """Return detections by pulse uuid (a dropped duplicate's uuid leads to the row that was kept) and their times."""
    path = _one(folder, "allpulses.json")
    if path is None:
        position.tolerate("tests without pulses (*.allpulses.json is missing)", folder.name)
        return {}, []
    rows = []
    for index, pulse in enumerate(_read(path, list[_Pulse])):
        rows.append((_instant_ns(pulse.arrival_time_utc, path, f"[{index}].arrival_time_utc"), pulse))
        fix = _Fix(folder.name, pulse.location, pulse.location_error)
        position.fixes.setdefault(pulse.serial_number, []).append(fix)
    rows.sort(key=lambda row: (row[0], row[1].pulse_uuid))
    boot = _boot(position.name, folder.name)
    by_uuid: dict[str, Detection] = {}
    kept: dict[tuple[str, int], Detection] = {}
    next_sequence: Counter[str] = Counter()
    for time_ns, pulse in rows:
        key = (pulse.serial_number, time_ns)
        if key not in kept:
            kept[key] = _detection(pulse, time_ns, boot=boot, sequence=next_sequence[pulse.serial_number])
            next_sequence[pulse.serial_number] += 1
        by_uuid.setdefault(pulse.pulse_uuid, kept[key])
    position.tolerate(
        "duplicated pulse rows (same sensor, same millisecond) dropped", folder.name, len(rows) - len(kept)
    )
    position.detections.extend(kept.values())
    return by_uuid, [time_ns for time_ns, _ in rows]


def _detection(pulse: _Pulse, time_ns: int, *, boot: int, sequence: int) -> Detection:
    return Detection(
        node=pulse.serial_number,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=time_ns,
        arrival_sigma_ns=ARRIVAL_SIGMA_NS,
        clock_state=ClockState.PPS,
        probabilities_bp=(),
        peak_level_db=pulse.power_dB_SPL,
        level_reference=LevelReference.DB_SPL,
        snr_db=pulse.signal_to_noise_dB,
        rise_time_s=0.0,
        model_id=MODEL_ID,
    )


def _boot(scene: str, test: str) -> int:
    """Return 63 bits derived from the names, so that an identity never depends on what else is loaded."""
    return int.from_bytes(hashlib.sha256(f"{scene}/{test}".encode()).digest()[:8]) >> 1


def _read_tuples(position: _Position, folder: Path, by_uuid: dict[str, Detection]) -> list[PulseSet]:
    """Return the pulse sets as given; the later copies of a sensor that is in one twice are the consumer's to drop."""
    path = _one(folder, "nlos-tuples.json")
    if path is None:
        position.tolerate("tests without pulse sets (*.nlos-tuples.json is missing)", folder.name)
        return []
    sets = []
    for item in _read(path, list[_Tuple]):
        found = [by_uuid[uuid].uid for uuid in item.pulse_uuids if uuid in by_uuid]
        missing = len(item.pulse_uuids) - len(found)
        position.tolerate("tuple pulses that are not among the test's pulses left out", folder.name, missing)
        again = len(found) - len({uid.node for uid in found})
        position.tolerate("tuple pulses of a sensor that the tuple already has, kept", folder.name, again)
        sets.append(PulseSet(event=folder.name, shot_index=item.shot_index, detections=tuple(found)))
    return sorted(sets, key=lambda item: item.shot_index)


def _read_audio(position: _Position, folder: Path) -> list[int]:
    """Add the recordings of a test; return the first and last instant of each."""
    import soundfile

    span_ns = []
    for wav in sorted(folder.glob("*.audio.*.wav")):
        beside = wav.with_suffix(".json")
        if not beside.is_file():
            position.tolerate("wav files without the JSON that dates them left out", f"{folder.name}/{wav.name}")
            continue
        about = _read(beside, _Wav)
        try:
            header = soundfile.info(str(wav))
        except (soundfile.LibsndfileError, RuntimeError) as error:
            raise DatasetError(
                f"not a readable WAV file: {error}; fetch it again or move it away", source=wav
            ) from error
        if header.channels != 1:
            raise DatasetError(f"{header.channels} channels, expected 1; split it", source=wav)
        start_ns = _instant_ns(about.timestamp, beside, "timestamp")
        span_ns += [start_ns, start_ns + ns_from_seconds(header.frames / header.samplerate)]
        position.recordings.append(
            Recording(
                node=about.serial_number,
                path=wav,
                start_time_ns=start_ns,
                event=folder.name,
                full_scale_db_spl=FULL_SCALE_DB_SPL,
            )
        )
        fix = _Fix(folder.name, about.location, _WAV_SIGMA_M)
        position.wav_fixes.setdefault(about.serial_number, []).append(fix)
    return span_ns


def _read_weather(position: _Position, folder: Path) -> Weather | None:
    """Return the nearest METAR, which serves its test from the first instant of the test's window."""
    path = _one(folder, "weather.json")
    if path is None:
        position.tolerate("tests without weather take that of the test before (the first takes the next)", folder.name)
        return None
    report = _read(path, _WeatherReport)
    try:
        return Weather(temperature_c=report.temperature, wind_speed_mps=report.speed, wind_from_deg=report.direction)
    except InputError as error:
        raise DatasetError(str(error), source=path, field="temperature, speed, direction") from error


def _heard(item: PulseSet, by_uuid: dict[str, Detection]) -> list[Detection]:
    by_uid = {detection.uid: detection for detection in by_uuid.values()}
    return [by_uid[uid] for uid in item.detections]


def _truth(position: _Position, item: _Surveyed, sites: dict[str, Site], timeline: WeatherTimeline) -> TruthEvent:
    place = item.survey.survey_location
    weather = item.weather or timeline.at(item.window_ns[0])
    instants = sorted(_discharge_ns(heard, sites, place, weather) for heard in item.heard if heard)
    unknown = item.survey.num_rounds - len(instants)
    position.tolerate("shots without a tuple, so without a known discharge instant", item.test, max(0, unknown))
    position.tolerate("tuples more than rounds fired", item.test, max(0, -unknown))
    return TruthEvent(
        event=item.test,
        x_m=place.x,
        y_m=place.y,
        z_m=place.z,
        sigma_m=TRUTH_SIGMA_M,
        rounds=item.survey.num_rounds,
        shot_times_ns=tuple(instants),
        window_ns=item.window_ns,
        label=item.survey.firearm,
    )


def _discharge_ns(heard: list[Detection], sites: dict[str, Site], place: _Point, weather: Weather) -> int:
    """Return the instant of discharge, derived, not recorded: the median over a tuple's pulses of t - d/c.

    d is the horizontal distance from the survey to the sensor's site, c the speed of sound of the test's weather, wind
    included. Good to some 10 ms: paths are longer than straight lines.
    """
    travel_s = travel_time_s(
        np.array([place.x, place.y]),
        np.array([(sites[detection.node].x_m, sites[detection.node].y_m) for detection in heard]),
        speed_of_sound_mps=weather.speed_of_sound_mps,
        wind_mps=np.array(weather.wind_enu_mps),
    )
    reference_ns = heard[0].arrival_time_ns
    relative_s = np.array([(detection.arrival_time_ns - reference_ns) / NS_PER_S for detection in heard])
    return reference_ns + ns_from_seconds(float(np.median(relative_s - travel_s)))


def _site(node: str, fixes: list[_Fix]) -> Site:
    """Return a sensor's site: the median over tests of each test's median position.

    Averaged positions (stated error up to 1 m) count; momentary ones (more, or 0) only where there is nothing better.
    ``sigma_m`` is the larger of the stated error and the rms scatter between tests, per horizontal axis.
    """
    trusted = [fix for fix in fixes if 0.0 < fix.error_m <= _TRUSTED_ERROR_M]
    used = trusted or fixes
    tests = sorted({fix.test for fix in used})
    per_test = np.array(
        [
            np.median([(f.location.x, f.location.y, f.location.z) for f in used if f.test == test], axis=0)
            for test in tests
        ]
    )
    x_m, y_m, z_m = (float(value) for value in np.median(per_test, axis=0))
    scatter_m = float(np.sqrt(np.mean((per_test[:, :2] - [x_m, y_m]) ** 2)))
    stated_m = float(np.median([fix.error_m if fix.error_m > 0.0 else _MOMENTARY_SIGMA_M for fix in used]))
    return Site(node, x_m, y_m, z_m, sigma_m=round(max(stated_m, scatter_m), 3))


def _scene(position: _Position, folder: Path) -> Scene:
    sites = [_site(node, fixes) for node, fixes in position.fixes.items()]
    for node, fixes in position.fixes.items():
        if not any(0.0 < fix.error_m <= _TRUSTED_ERROR_M for fix in fixes):
            position.tolerate("sensors placed by momentary GPS fixes only", node)
    for node, fixes in position.wav_fixes.items():
        if node not in position.fixes:
            position.tolerate(f"sensors without a pulse placed by their wav's GPS fix ({_WAV_SIGMA_M:g} m)", node)
            sites.append(_site(node, fixes))
    if not sites:
        raise DatasetError("no test here has a pulse or a dated wav; is the download complete?", source=folder)
    if not position.weather:
        position.tolerate("firing position without any weather: 15 °C and no wind assumed", position.name)
        position.weather.append((0, Weather()))
    timeline = WeatherTimeline(position.weather)
    by_node = {site.node: site for site in sites}
    return Scene(
        name=position.name,
        frame=None,
        sites=tuple(sorted(sites, key=lambda site: site.node)),
        weather=timeline,
        recordings=tuple(sorted(position.recordings, key=lambda item: (item.start_time_ns, item.node))),
        detections=tuple(sorted(position.detections, key=lambda item: (item.arrival_time_ns, item.uid))),
        pulse_sets=tuple(position.pulse_sets),
        truth=tuple(_truth(position, item, by_node, timeline) for item in position.surveys),
    )


def _one(folder: Path, ending: str) -> Path | None:
    found = sorted(folder.glob(f"*.{ending}"))
    if len(found) > 1:
        raise DatasetError(
            f"{len(found)} files end in .{ending} ({', '.join(item.name for item in found)}); keep one", source=folder
        )
    return found[0] if found else None


def _read(path: Path, kind: type[_Read]) -> _Read:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(f"cannot read the file: {error.strerror}", source=path) from error
    try:
        value = msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at ")
        raise DatasetError(
            f"{message}; fetch the file again or correct it",
            source=path,
            field=place.strip("`").removeprefix("$").strip("."),
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"not JSON: {error}; fetch the file again or move the test's folder away",
            source=path,
            line=_line(data, error),
        ) from error
    return value


def _line(data: bytes, error: Exception) -> int:
    offset = re.search(r"byte (\d+)", str(error))
    return data[: int(offset[1]) if offset else len(data)].count(b"\n") + 1


def _instant_ns(text: str, path: Path, name: str) -> int:
    try:
        return parse_utc(text)
    except InputError as error:
        raise DatasetError(str(error), source=path, field=name) from error


def _some(places: list[str], limit: int = 4) -> str:
    return ", ".join(places[:limit]) + (f" and {len(places) - limit} more" if len(places) > limit else "")
