"""How real a simulated suburb sounds: the same figures of simulated shots and of the Pittsburgh recordings.

    python benchmarks/realism.py                        # simulate the scene, hear both sets: minutes
    python benchmarks/realism.py --simulated FOLDER     # a dataset that is there already
    python benchmarks/realism.py --limit 2 --out /tmp/x # two events a scene: does it run?

Both sets go through one code: the node's own pipeline hears each recording; the first plausible detection of each shot
at each node is compared with the straight line from the true place. Written: ``realism.json`` (every figure),
``realism.md`` (tables) and ``docs/images/realism.png``. The figures follow from data and code alone.

A plausible detection is the first from 40 ms before to 150 ms after the straight-line arrival. The instant of each shot
is the one common to its own detections (median of at least three), so a residual is about the shot's median path.
Pittsburgh's surveys are a phone's GPS; *survey blurred* gives simulated truth the same error, and *as kept* takes only
the nearest nodes that heard the event, since that is how Pittsburgh's sound was chosen. *Place fitted* moves each place
to where its lines agree best, in either set: what is left is path and picking.

Pittsburgh's sound was coded by mu-law: its rail is 32124 of 32768 (0.980), and half of the shots reach it. A level at
the rail counts as "at least this" in the fits.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy.optimize import least_squares, minimize
from scipy.signal import butter, sosfilt
from scipy.stats import norm

from sensor_node.audiofile import inspect_audio
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_models.metrics import wilson_interval
from shotline_recordings.dataset import Dataset, Recording, Scene, TruthEvent, open_dataset
from shotline_recordings.scene import load_scene, shipped_scene
from shotline_recordings.simulate import simulate_dataset
from shotline_recordings.work import in_parallel
from shotline_replay.replay import hear

_Real = NDArray[np.float64]
_Figures = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
PITTSBURGH = ROOT.parent / "shared" / "data" / "pittsburgh"
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = ROOT / "docs" / "images" / "realism.png"
SCENE = "suburb"

PLAUSIBLE_S = (-0.040, 0.150)
DETECTED_S = (-0.015, 0.060)
LATE_S = (0.020, 0.050)
LEAST_NODES = 3
"""A shot heard by fewer has no common origin worth the name."""
LEAST_LINES = 6
SURVEY_SIGMA_M = 2.5
"""1-sigma error, per horizontal axis, of Pittsburgh's truth: what simulated truth is blurred by."""
KEPT_NODES = 5
"""Pittsburgh kept the sound of four to six of the nearest sensors that heard a test."""
EDGES_M = (0.0, 100.0, 200.0, 300.0, 400.0, 500.0, 600.0, 700.0, 800.0, math.inf)
WIDE_EDGES_M = (0.0, 100.0, 200.0, 300.0, 450.0, 650.0, math.inf)
CHANCE_SHIFTS_S = tuple(np.arange(-2.5, -0.4, 0.25))
QUIET_S = (-3.05, -0.05)
"""Before the first shot of an event: where noise and unasked detections are counted."""

THIRD_OCTAVES_HZ = 1000.0 * 10.0 ** (np.arange(-12, 8) / 10.0)
"""Nominal 63 Hz to 5 kHz."""
BODY_S = 0.100
LEAD_S = 0.005
RAIL = 0.98
"""Share of full scale at which sound counts as clipped: mu-law ends at 0.9803."""
FADE_S = 0.010
NODE_BAND_HZ = (250.0, 4_000.0)
CLEAR_S = 0.5
"""Echoes and decay are only of shots that no other follows within this and 50 ms."""
VENDOR_RAIL_DB_SPL = 92.0
"""From here on a vendor's peak counts as clipped."""
DECAY_BIN_S = 0.010
LEAST_DECAY_SNR_DB = 25.0
PASCAL_AT_0_DB = 20e-6
MARKS_M = (50.0, 100.0, 200.0, 400.0, 600.0, 800.0)


@dataclass(frozen=True, slots=True)
class ShotPath:
    """One shot on its way to one node.

    ``ear`` names the detections to look in, ``line`` what is the same for all shots from one place to one node.
    ``predicted_ns`` and ``first_predicted_ns`` are straight-line arrivals of this shot and of the event's first;
    ``clear_s`` is the time to the event's next shot; ``slowness_spm`` points along the ground, from place to node.
    """

    shot: tuple[str, str, int]
    ear: str
    line: tuple[str, ...]
    label: str
    distance_m: float
    predicted_ns: int
    first_predicted_ns: int
    clear_s: float
    slowness_spm: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Ear:
    """Detections of one recording, or of one vendor's sensor, in time order; arrays of shape (n_detections,).

    ``heard_ns`` is the stretch of time in which it listened.
    """

    times_ns: NDArray[np.int64]
    peak_db: _Real
    rise_s: _Real
    heard_ns: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Series:
    """Paths with what was heard of them; arrays of shape (n_paths,).

    ``index`` is that of the first plausible detection, -1 for none. ``offset_s`` is the shot's common origin less the
    dataset's, and ``residual_s`` (NaN for none) is about it. ``common`` tells whether there were nodes enough for one.
    """

    name: str
    paths: list[ShotPath]
    ears: dict[str, Ear]
    index: NDArray[np.int64]
    residual_s: _Real
    offset_s: _Real
    common: NDArray[np.bool_]

    @property
    def distance_m(self) -> _Real:
        return np.array([path.distance_m for path in self.paths])

    @property
    def detected(self) -> NDArray[np.bool_]:
        return np.array(
            [
                _first(self.ears[path.ear].times_ns, path.predicted_ns + ns_from_seconds(float(offset)), DETECTED_S)
                >= 0
                for path, offset in zip(self.paths, self.offset_s, strict=True)
            ],
            dtype=np.bool_,
        )


@dataclass(frozen=True, slots=True)
class Wave:
    """What the sound of one shot at one node looks like, from its first detection on.

    ``bands_db`` and ``noise_bands_db``, shape (n_third_octaves,): level of the 100 ms after the onset (noise taken off;
    -inf where nothing is left) and of 100 ms of noise before the event. ``peak_db`` is in the node's band,
    ``raw_peak_db`` of the sound as recorded. ``echoes``: delay (s) and level re the first (dB) of each further one.
    It and what follows are None or NaN where another shot comes too soon or noise too close.
    ``decay_db``, shape (50,): power in bins of 10 ms over that of the first.
    """

    path: ShotPath
    bands_db: _Real
    noise_bands_db: _Real
    noise_band_db: float
    peak_db: float
    raw_peak_db: float
    exposure_db: float
    clipped: bool
    rise_s: float
    echoes: tuple[tuple[float, float], ...] | None
    decay_db: _Real | None
    energy90_s: float
    fall10_s: float
    reverberation60_s: float
    early_to_late_db: float


def _simulated(folder: Path, scene: str, jobs: int) -> Dataset:
    """Simulate a scene as the vendor's sensors would have recorded it in a winter night, and open it."""
    chosen = load_scene(Path(scene) if Path(scene).is_file() else shipped_scene(scene))
    air = chosen.weather.model_copy(update={"temperature_c": -1.0, "wind_speed_mps": 1.0})
    as_there = chosen.model_copy(
        update={"weather": air, "sample_rate_hz": 12_000, "microphone": "vendor-93", "survey_sigma_m": 0.06}
    )
    simulate_dataset(as_there, folder, seed=chosen.seed, jobs=jobs, picture=False)
    return open_dataset(folder)


def _limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Keep the first events of each scene, and the sound that belongs to them."""
    if limit is None:
        return dataset
    scenes = []
    for scene in dataset.scenes:
        truth = tuple(item for item in scene.truth if item.kind == "gunshot")[:limit]
        kept = {item.event for item in truth} | {""}
        scenes.append(replace(scene, truth=truth, recordings=tuple(r for r in scene.recordings if r.event in kept)))
    return replace(dataset, scenes=tuple(scenes))


def _paths(
    scene: Scene, event: TruthEvent, ears: dict[str, tuple[str, tuple[int, int]]], blur_m: float
) -> list[ShotPath]:
    """Return the paths of an event's shots to every ear (node, time listened) that could hear all of the sound."""
    source_m = np.array([event.x_m, event.y_m, event.z_m])
    place = f"{scene.name}/{event.x_m:.0f}/{event.y_m:.0f}"
    if blur_m:
        source_m[:2] += np.random.default_rng(zlib.crc32(place.encode())).normal(0.0, blur_m, 2)
    sites = {site.node: (site.x_m, site.y_m, site.z_m) for site in scene.sites}
    air = scene.weather.at(event.window_ns[0])
    instants_ns = sorted(event.shot_times_ns)
    gaps_s = [*((after - before) / NS_PER_S for before, after in pairwise(instants_ns)), math.inf]
    paths = []
    for ear, (node, (from_ns, to_ns)) in ears.items():
        site_m = np.array(sites[node])
        travel_ns = ns_from_seconds(
            float(
                travel_time_s(
                    source_m,
                    site_m[np.newaxis],
                    speed_of_sound_mps=air.speed_of_sound_mps,
                    wind_mps=np.array([*air.wind_enu_mps, 0.0]),
                )[0]
            )
        )
        away_m = site_m[:2] - source_m[:2]
        slowness_spm = away_m / max(float(np.hypot(*away_m)), 1.0) / air.speed_of_sound_mps
        for number, (instant_ns, gap_s) in enumerate(zip(instants_ns, gaps_s, strict=True)):
            predicted_ns = instant_ns + travel_ns
            if from_ns + NS_PER_S // 10 <= predicted_ns <= to_ns - NS_PER_S // 4:
                paths.append(
                    ShotPath(
                        shot=(scene.name, event.event, number),
                        ear=ear,
                        line=(place, node),
                        label=event.label,
                        distance_m=float(np.linalg.norm(site_m - source_m)),
                        predicted_ns=predicted_ns,
                        first_predicted_ns=instants_ns[0] + travel_ns,
                        clear_s=gap_s,
                        slowness_spm=(float(slowness_spm[0]), float(slowness_spm[1])),
                    )
                )
    return paths


def _sound_paths(dataset: Dataset, ears: dict[str, Ear], *, blur_m: float) -> list[ShotPath]:
    paths = []
    for scene in dataset.scenes:
        for event in scene.truth:
            if event.kind == "gunshot":
                heard = {
                    str(item.path): (item.node, ears[str(item.path)].heard_ns)
                    for item in scene.recordings
                    if item.event in ("", event.event)
                }
                paths += _paths(scene, event, heard, blur_m)
    return paths


def _vendor(dataset: Dataset) -> tuple[list[ShotPath], dict[str, Ear]]:
    """Return paths and ears of recorded detections: every site listened through every event's window."""
    paths, ears = [], {}
    for scene in dataset.scenes:
        for event in scene.truth:
            if event.kind != "gunshot":
                continue
            heard = {}
            for site in scene.sites:
                ear = f"{scene.name}/{event.event}/{site.node}"
                first_ns, last_ns = event.window_ns
                mine = [d for d in scene.detections if d.node == site.node and first_ns <= d.arrival_time_ns <= last_ns]
                ears[ear] = Ear(
                    np.array([d.arrival_time_ns for d in mine], dtype=np.int64),
                    np.array([d.peak_level_db for d in mine]),
                    np.array([d.rise_time_s for d in mine]),
                    event.window_ns,
                )
                heard[ear] = (site.node, event.window_ns)
            paths += _paths(scene, event, heard, 0.0)
    return paths, ears


def _ear(recording: Recording) -> Ear:
    """Return what the node makes of a recording."""
    found = sorted((item.detection for item in hear(recording)), key=lambda item: item.arrival_time_ns)
    length_ns = ns_from_seconds(inspect_audio(recording.path).duration_s)
    return Ear(
        np.array([item.arrival_time_ns for item in found], dtype=np.int64),
        np.array([item.peak_level_db for item in found]),
        np.array([item.rise_time_s for item in found]),
        (recording.start_time_ns, recording.start_time_ns + length_ns),
    )


def _first(times_ns: NDArray[np.int64], about_ns: int, window_s: tuple[float, float]) -> int:
    """Return the index of the first time in a window about an instant, or -1."""
    index = int(np.searchsorted(times_ns, about_ns + ns_from_seconds(window_s[0])))
    return index if index < len(times_ns) and times_ns[index] <= about_ns + ns_from_seconds(window_s[1]) else -1


def _aligned(name: str, paths: list[ShotPath], ears: dict[str, Ear]) -> Series:
    """Find the first plausible detections, and each shot's common origin from them; three rounds settle it."""
    by_shot: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    for number, path in enumerate(paths):
        by_shot[path.shot].append(number)
    index = np.full(len(paths), -1, dtype=np.int64)
    residual_s, offset_s = np.full(len(paths), np.nan), np.zeros(len(paths))
    common = np.zeros(len(paths), dtype=np.bool_)
    for members in by_shot.values():
        shift_s, enough = 0.0, False
        for _ in range(3):
            for number in members:
                path = paths[number]
                about_ns = path.predicted_ns + ns_from_seconds(shift_s)
                times_ns = ears[path.ear].times_ns
                index[number] = _first(times_ns, about_ns, PLAUSIBLE_S)
                residual_s[number] = (
                    (int(times_ns[index[number]]) - about_ns) / NS_PER_S if index[number] >= 0 else np.nan
                )
            found_s = residual_s[members][index[members] >= 0]
            enough = len(found_s) >= LEAST_NODES
            if not enough:
                break
            shift_s += float(np.median(found_s))
            residual_s[members] -= np.median(found_s)
        offset_s[members], common[members] = shift_s, enough
    return Series(name, paths, ears, index, residual_s, offset_s, common)


def _as_kept(series: Series, name: str) -> Series:
    """Keep, of each event, the nearest nodes that detected any of its shots."""
    nearest: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for path, detected in zip(series.paths, series.detected, strict=True):
        if detected:
            nearest[path.shot[:2]][path.ear] = path.distance_m
    kept = {event: set(sorted(ears, key=ears.__getitem__)[:KEPT_NODES]) for event, ears in nearest.items()}
    return _aligned(name, [path for path in series.paths if path.ear in kept.get(path.shot[:2], ())], series.ears)


def _place_fitted(series: Series) -> Series:
    """Move each place to where its lines agree best, on the ground and robustly: what a survey's error adds is gone.

    From the medians of lines; a place with fewer than 6 lines is left out. With few lines it takes path with it.
    """
    usable = series.common & (series.index >= 0)
    by_place: dict[str, dict[tuple[str, ...], list[int]]] = defaultdict(lambda: defaultdict(list))
    for number in np.flatnonzero(usable):
        line = series.paths[number].line
        by_place[line[0]][line].append(int(number))
    residual_s, common = series.residual_s.copy(), np.zeros(len(usable), dtype=np.bool_)
    for by_line in by_place.values():
        if len(by_line) < LEAST_LINES:
            continue
        middle_ms = np.array([1e3 * np.median(residual_s[members]) for members in by_line.values()])
        slowness_spm = np.array([series.paths[members[0]].slowness_spm for members in by_line.values()])
        design = np.column_stack([1e3 * slowness_spm, np.ones(len(by_line))])
        start = np.array([0.0, 0.0, np.median(middle_ms)])
        fit = least_squares(
            lambda x, design, middle_ms: design @ x - middle_ms,
            start,
            args=(design, middle_ms),
            loss="soft_l1",
            f_scale=5.0,
        )
        moved_ms = design @ fit.x
        for members, shift_ms in zip(by_line.values(), moved_ms, strict=True):
            residual_s[members] -= 1e-3 * shift_ms
            common[members] = True
    return replace(series, name=f"{series.name}, place fitted", residual_s=residual_s, common=common)


def residual_figures(residual_s: _Real, lines: Sequence[tuple[str, ...]]) -> _Figures:
    """Return the figures of residuals; ``lines`` tells which repeat one place and one node.

    Spread between lines is that of their medians, within them that about those (of lines heard twice or more).
    """
    count = len(residual_s)
    if count < 5:
        return {"count": count}
    ms = 1e3 * residual_s
    by_line: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for line, value in zip(lines, ms, strict=True):
        by_line[line].append(float(value))
    often = [np.array(values) for values in by_line.values() if len(values) > 1]
    middle, spread = float(np.median(ms)), float(ms.std())
    low, high = np.quantile(ms, (0.05, 0.95))
    return {
        "count": count,
        "lines": len(by_line),
        "rms_ms": _round(np.sqrt(np.square(ms).mean())),
        "sigma_mad_ms": _round(1.4826 * np.median(np.abs(ms - middle))),
        "mean_ms": _round(ms.mean()),
        **{f"p{share:02d}_ms": _round(np.quantile(ms, share / 100.0)) for share in (1, 5, 10, 50, 90, 95, 99)},
        **{f"share_later_{1e3 * late:.0f}_ms": _round((residual_s > late).mean()) for late in LATE_S},
        "share_earlier_20_ms": _round((residual_s < -0.020).mean()),
        "skewness": _round((((ms - ms.mean()) / spread) ** 3).mean()) if spread else 0.0,
        "quantile_skewness": _round((high + low - 2.0 * middle) / (high - low)) if high > low else 0.0,
        "between_lines_mad_ms": _round(1.4826 * _mad(np.array([np.median(v) for v in often]))) if often else None,
        "within_lines_rms_ms": _round(math.sqrt(np.concatenate([(v - np.median(v)) ** 2 for v in often]).mean()))
        if often
        else None,
        "within_lines_mad_ms": _round(1.4826 * np.median(np.concatenate([np.abs(v - np.median(v)) for v in often])))
        if often
        else None,
    }


def _residuals(series: Series) -> _Figures:
    usable = series.common & (series.index >= 0)
    lines = [path.line for path in series.paths]

    def figures(chosen: NDArray[np.bool_]) -> _Figures:
        return residual_figures(series.residual_s[chosen], [lines[n] for n in np.flatnonzero(chosen)])

    return {
        "all": figures(usable),
        "by_distance": {name: figures(usable & mask) for name, mask in _bins(series.distance_m, WIDE_EDGES_M)},
        "shots_with_common_origin": len({p.shot for p, good in zip(series.paths, series.common, strict=True) if good}),
        "origin_after_dataset_ms": _quantiles(1e3 * _per_shot(series)),
    }


def _per_shot(series: Series) -> _Real:
    offsets = {
        path.shot: float(offset)
        for path, offset, good in zip(series.paths, series.offset_s, series.common, strict=True)
        if good
    }
    return np.array(list(offsets.values()))


def _detection(series: Series) -> _Figures:
    """Return how often a shot is detected, by distance, and how often something is without a shot."""
    detected = series.detected
    chances, quiet_s, unasked = [], 0.0, 0
    firsts = {(path.shot[:2], path.ear): path for path in series.paths}
    for path in firsts.values():
        ear = series.ears[path.ear]
        for shift_s in CHANCE_SHIFTS_S:
            about_ns = path.first_predicted_ns + ns_from_seconds(float(shift_s))
            if about_ns + ns_from_seconds(DETECTED_S[0]) >= ear.heard_ns[0]:
                chances.append(_first(ear.times_ns, about_ns, DETECTED_S) >= 0)
        from_ns = max(path.first_predicted_ns + ns_from_seconds(QUIET_S[0]), ear.heard_ns[0])
        to_ns = path.first_predicted_ns + ns_from_seconds(QUIET_S[1])
        if to_ns > from_ns:
            quiet_s += (to_ns - from_ns) / NS_PER_S
            unasked += int(((ear.times_ns >= from_ns) & (ear.times_ns < to_ns)).sum())
    return {
        "by_distance": {name: _share(detected[mask]) for name, mask in _bins(series.distance_m, EDGES_M)},
        "all": _share(detected),
        "chance": _share(np.array(chances, dtype=np.bool_)),
        "unasked_per_minute": _round(60.0 * unasked / quiet_s) if quiet_s else None,
        "quiet_minutes": _round(quiet_s / 60.0),
    }


def _waves(work: tuple[Recording, Ear, list[tuple[ShotPath, int]]]) -> list[Wave]:
    """Return the wave of each path of a recording, by the index of its first detection."""
    recording, ear, paths = work
    if recording.full_scale_db_spl is None:
        return []
    samples, rate_hz = soundfile.read(recording.path, dtype="float64")
    full_scale_pa = PASCAL_AT_0_DB * 10.0 ** (recording.full_scale_db_spl / 20.0)
    raw_pa = samples * full_scale_pa
    upper_hz = min(NODE_BAND_HZ[1], 0.4 * rate_hz)
    band_pa = sosfilt(butter(2, (NODE_BAND_HZ[0], upper_hz), "bandpass", fs=rate_hz, output="sos"), raw_pa)
    waves = []
    for path, index in paths:
        wave = _wave(
            raw_pa,
            band_pa,
            int(rate_hz),
            full_scale_pa=full_scale_pa,
            recording=recording,
            ear=ear,
            path=path,
            index=index,
        )
        if wave is not None:
            waves.append(wave)
    return waves


def _wave(
    raw_pa: _Real,
    band_pa: _Real,
    rate_hz: int,
    *,
    full_scale_pa: float,
    recording: Recording,
    ear: Ear,
    path: ShotPath,
    index: int,
) -> Wave | None:
    """Measure one shot; None where there is not enough sound before or after it."""

    def sample_at(time_ns: int) -> int:
        return round((time_ns - recording.start_time_ns) / NS_PER_S * rate_hz)

    onset = sample_at(int(ear.times_ns[index]))
    lead, body = round(LEAD_S * rate_hz), round(BODY_S * rate_hz)
    quiet_stop = sample_at(path.first_predicted_ns + ns_from_seconds(QUIET_S[1]))
    quiet_start = max(sample_at(path.first_predicted_ns + ns_from_seconds(QUIET_S[0])), round(0.05 * rate_hz))
    span = lead + body
    if onset - lead < 0 or onset + body > len(raw_pa) or (quiet_stop - quiet_start) < 4 * span:
        return None
    pieces = raw_pa[quiet_start : quiet_start + (quiet_stop - quiet_start) // span * span].reshape(-1, span)
    noise_bands = _band_power(pieces, rate_hz).mean(axis=0)
    bands = _band_power(raw_pa[np.newaxis, onset - lead : onset + body], rate_hz)[0]
    noise_power = float(np.square(band_pa[quiet_start:quiet_stop]).mean())
    near = np.square(band_pa[onset : onset + body])
    energy = float((near - noise_power).sum()) / rate_hz
    wave = Wave(
        path=path,
        bands_db=_level_db(bands - noise_bands),
        noise_bands_db=_level_db(noise_bands),
        noise_band_db=float(_level_db(np.array(noise_power))),
        peak_db=float(ear.peak_db[index]),
        raw_peak_db=float(_level_db(np.square(raw_pa[onset - lead : onset + body]).max())),
        exposure_db=float(_level_db(np.array(energy))),
        clipped=bool(np.abs(raw_pa[onset - lead : onset + body]).max() >= RAIL * full_scale_pa),
        rise_s=float(ear.rise_s[index]),
        echoes=None,
        decay_db=None,
        energy90_s=math.nan,
        fall10_s=math.nan,
        reverberation60_s=math.nan,
        early_to_late_db=math.nan,
    )
    stop = onset + round(CLEAR_S * rate_hz)
    if path.clear_s < CLEAR_S + 0.05 or stop > len(raw_pa):
        return wave
    until_ns = int(ear.times_ns[index]) + ns_from_seconds(CLEAR_S)
    later = range(index + 1, int(np.searchsorted(ear.times_ns, until_ns)))
    echoes = tuple(
        ((int(ear.times_ns[n]) - int(ear.times_ns[index])) / NS_PER_S, float(ear.peak_db[n] - ear.peak_db[index]))
        for n in later
    )
    wave = replace(wave, echoes=echoes)
    if wave.peak_db - wave.noise_band_db < LEAST_DECAY_SNR_DB:
        return wave
    return _with_decay(wave, np.square(band_pa[onset:stop]) - noise_power, rate_hz)


def _with_decay(wave: Wave, power: _Real, rate_hz: int) -> Wave:
    """Add how the power above the noise dies away in the half second after the onset."""
    width = round(DECAY_BIN_S * rate_hz)
    bins = power[: len(power) // width * width].reshape(-1, width).mean(axis=1)
    if bins[0] <= 0.0:
        return wave
    energy = np.cumsum(power)
    early = round(0.020 * rate_hz)
    smooth = np.convolve(power, np.full(2 * rate_hz // 1000, 500.0 / rate_hz), "valid")
    top = int(np.argmax(smooth[: round(0.05 * rate_hz)]))
    loud = np.flatnonzero(smooth[top:] >= 0.1 * smooth[top])
    return replace(
        wave,
        decay_db=_db(bins / bins[0]),
        energy90_s=float(np.argmax(energy >= 0.9 * energy.max()) + 1) / rate_hz,
        fall10_s=float(loud[-1] + 1) / rate_hz,
        reverberation60_s=_reverberation60_s(power, rate_hz),
        early_to_late_db=float(_db(np.array(energy[early] / max(energy[-1] - energy[early], 1e-3 * energy[-1])))),
    )


def _reverberation60_s(power: _Real, rate_hz: int) -> float:
    """Return the time for 60 dB from the slope of Schroeder's backward integral between -5 and -20 dB; NaN if none."""
    left = np.cumsum(power[::-1])[::-1]
    level_db = _db(left / left[0]) if left[0] > 0.0 else np.full(len(left), -np.inf)
    begin, end = int(np.argmax(level_db <= -5.0)), int(np.argmax(level_db <= -20.0))
    if end - begin < 8:
        return math.nan
    times_s = np.arange(begin, end) / rate_hz
    return float(-60.0 / np.polyfit(times_s, level_db[begin:end], 1)[0])


def _band_power(pieces_pa: _Real, rate_hz: int) -> _Real:
    """Return mean square pressure in third octaves, shape (n_pieces, n_third_octaves), of pieces with faded ends."""
    count = pieces_pa.shape[1]
    fade = np.ones(count)
    fade_in, fade_out = round(LEAD_S * rate_hz), round(FADE_S * rate_hz)
    fade[:fade_in] = np.square(np.sin(0.5 * np.pi * np.arange(fade_in) / fade_in))
    fade[count - fade_out :] = np.square(np.cos(0.5 * np.pi * np.arange(fade_out) / fade_out))
    size = 8 * count
    spectrum = np.square(np.abs(np.fft.rfft((pieces_pa - pieces_pa.mean(axis=1, keepdims=True)) * fade, size)))
    frequency_hz = np.fft.rfftfreq(size, 1.0 / rate_hz)
    scale = 2.0 / (size * BODY_S * rate_hz)
    edge = 10.0**0.05
    inside = [(frequency_hz >= centre / edge) & (frequency_hz < centre * edge) for centre in THIRD_OCTAVES_HZ]
    return np.stack([scale * spectrum[:, mask].sum(axis=1) for mask in inside], axis=1)


def _wave_figures(waves: list[Wave]) -> _Figures:
    """Return spectra, levels, durations, echoes and decay of the waves of one dataset."""
    distance_m = np.array([wave.path.distance_m for wave in waves])
    by_distance: _Figures = {}
    for name, mask in _bins(distance_m, WIDE_EDGES_M):
        chosen = [waves[number] for number in np.flatnonzero(mask)]
        if chosen:
            by_distance[name] = _bin_figures(chosen)
    recorded = {wave.path.ear: wave for wave in waves}
    return {
        "shots_at_nodes": len(waves),
        "noise_in_node_band_db_spl": _quantiles([wave.noise_band_db for wave in recorded.values()]),
        "noise_spectrum_db_spl": _bands([wave.noise_bands_db for wave in recorded.values()]),
        "repeat_scatter_mad_db": _repeat_scatter_db(waves),
        "levels": _level_figures(waves, distance_m),
        "by_distance": by_distance,
    }


def _repeat_scatter_db(waves: list[Wave]) -> float | None:
    """Return how much unclipped peak levels of one line differ from shot to shot."""
    by_line: dict[tuple[str, ...], list[float]] = defaultdict(list)
    for wave in waves:
        if not wave.clipped:
            by_line[wave.path.line].append(wave.peak_db)
    about = [np.array(levels) - np.median(levels) for levels in by_line.values() if len(levels) >= 5]
    return _round(1.4826 * _mad(np.concatenate(about))) if about else None


def _bin_figures(waves: list[Wave]) -> _Figures:
    clear = [wave for wave in waves if wave.echoes is not None]
    decays = [wave.decay_db for wave in clear if wave.decay_db is not None]
    loud = [wave for wave in clear if wave.decay_db is not None]
    echoes = [wave.echoes for wave in clear if wave.echoes is not None]
    counts = np.array([len(item) for item in echoes], dtype=np.int64)
    figures: _Figures = {
        "count": len(waves),
        "lines": len({wave.path.line for wave in waves}),
        "median_distance_m": _round(np.median([wave.path.distance_m for wave in waves])),
        "spectrum_db_spl": _bands([wave.bands_db for wave in waves]),
        "unclipped_count": sum(not wave.clipped for wave in waves),
        "unclipped_spectrum_db_spl": _bands([wave.bands_db for wave in waves if not wave.clipped]),
        "peak_db_spl": _quantiles([wave.peak_db for wave in waves]),
        "raw_peak_db_spl": _quantiles([wave.raw_peak_db for wave in waves]),
        "exposure_100_ms_db": _quantiles([wave.exposure_db for wave in waves]),
        "clipped_share": _round(np.mean([wave.clipped for wave in waves])),
        "rise_ms": _quantiles([1e3 * wave.rise_s for wave in waves]),
    }
    if clear:
        figures |= {
            "echo_count": len(clear),
            "echoes_mean": _round(counts.mean()),
            "echoes_histogram": np.bincount(np.minimum(counts, 10), minlength=11).tolist(),
            "louder_echo_share": _round(np.mean([any(level_db > 0.0 for _, level_db in item) for item in echoes])),
            "echo_delay_ms": _quantiles([1e3 * delay_s for item in echoes for delay_s, _ in item]),
            "echo_level_re_first_db": _quantiles([level_db for item in echoes for _, level_db in item]),
        }
    if decays:
        figures |= {
            "decay_count": len(decays),
            "decay_10_ms_bins_db": _bands(decays),
            "unclipped_decay_count": sum(not wave.clipped for wave in loud),
            "unclipped_decay_10_ms_bins_db": _bands(
                [d for d, wave in zip(decays, loud, strict=True) if not wave.clipped]
            ),
            "energy90_ms": _quantiles([1e3 * wave.energy90_s for wave in loud]),
            "fall10_ms": _quantiles([1e3 * wave.fall10_s for wave in loud]),
            "reverberation60_s": _quantiles([wave.reverberation60_s for wave in loud]),
            "early_to_late_db": _quantiles([wave.early_to_late_db for wave in loud]),
        }
    return figures


def _level_figures(waves: list[Wave], distance_m: _Real) -> _Figures:
    kinds: dict[str, Callable[[Wave], float]] = {
        "peak_db_spl": lambda wave: wave.peak_db,
        "raw_peak_db_spl": lambda wave: wave.raw_peak_db,
        "exposure_100_ms_db": lambda wave: wave.exposure_db,
    }
    clipped = np.array([wave.clipped for wave in waves], dtype=np.bool_)
    return {name: _fall(distance_m, np.array([get(wave) for wave in waves]), clipped) for name, get in kinds.items()}


def _fall(distance_m: _Real, level_db: _Real, clipped: NDArray[np.bool_]) -> _Figures:
    """Return a fit of level = L100 - s log10(d / 100 m), and medians within a quarter of marked distances.

    By maximum likelihood with normal scatter; a clipped level says "at least". Shots that were not heard are
    missing, so far levels and the slope are of the louder ones.
    """
    good = np.isfinite(level_db) & (distance_m > 1.0)
    distance_m, level_db, clipped = distance_m[good], level_db[good], clipped[good]
    near = {}
    for mark_m in MARKS_M:
        inside = (distance_m > 0.75 * mark_m) & (distance_m < 1.25 * mark_m)
        share = {"clipped_share": _round(clipped[inside].mean())} if inside.any() else {}
        near[f"{mark_m:.0f}_m"] = _quantiles(level_db[inside]) | share
    figures: _Figures = {"count": len(level_db), "near": near}
    if (~clipped).sum() < 8 or distance_m.max() < 2.0 * distance_m.min():
        return figures
    decades = np.log10(distance_m / 100.0)

    def cost(parameters: _Real) -> float:
        sigma_db = math.exp(parameters[2])
        score = (level_db - (parameters[0] - parameters[1] * decades)) / sigma_db
        return -float(norm.logsf(score[clipped]).sum() + (norm.logpdf(score[~clipped]) - parameters[2]).sum())

    fit = minimize(cost, (95.0, 25.0, math.log(8.0)), method="Nelder-Mead", options={"maxiter": 4000})
    return figures | {
        "clipped_share": _round(clipped.mean()),
        "at_100_m_db": _round(fit.x[0]),
        "db_per_decade": _round(fit.x[1]),
        "scatter_db": _round(math.exp(fit.x[2])),
    }


def _layout(dataset: Dataset) -> _Figures:
    """Return how many sensors there are, how far apart, how high, and how far the first ones are from the shots."""
    nearest_m: list[float] = []
    ranked_m: dict[int, list[float]] = defaultdict(list)
    height_m: list[float] = []
    for scene in dataset.scenes:
        sites_m = np.array([(site.x_m, site.y_m, site.z_m) for site in scene.sites])
        apart_m = np.hypot(*(sites_m[:, np.newaxis, :2] - sites_m[np.newaxis, :, :2]).transpose(2, 0, 1))
        np.fill_diagonal(apart_m, np.inf)
        nearest_m += apart_m.min(axis=1).tolist()
        for x_m, y_m, z_m in {(event.x_m, event.y_m, event.z_m) for event in scene.truth if event.kind == "gunshot"}:
            away_m = np.sort(np.hypot(sites_m[:, 0] - x_m, sites_m[:, 1] - y_m))
            height_m += (sites_m[:, 2] - z_m).tolist()
            for rank in (1, 2, 3, 4, 6, 10, 20):
                if rank <= len(away_m):
                    ranked_m[rank].append(float(away_m[rank - 1]))
    return {
        "scenes": len(dataset.scenes),
        "sites_per_scene": [len(scene.sites) for scene in dataset.scenes],
        "nearest_neighbour_m": _quantiles(nearest_m),
        "nth_nearest_to_shot_m": {str(rank): _quantiles(values) for rank, values in ranked_m.items()},
        "height_over_shot_m": _quantiles(height_m),
        "shots": sum(len(e.shot_times_ns) for s in dataset.scenes for e in s.truth if e.kind == "gunshot"),
    }


def measure(dataset: Dataset, *, name: str, jobs: int) -> tuple[_Figures, list[Series], list[Wave]]:
    """Hear a dataset and measure it: figures, the series that they are of, and the waves."""
    recordings = [item for scene in dataset.scenes for item in scene.recordings]
    ears = {str(item.path): ear for item, ear in zip(recordings, in_parallel(_ear, recordings, jobs=jobs), strict=True)}
    heard = _aligned(f"{name}, our node", _sound_paths(dataset, ears, blur_m=0.0), ears)
    series = [heard]
    if any(scene.detections for scene in dataset.scenes):
        series.append(_aligned(f"{name}, vendor's pulses", *_vendor(dataset)))
    exact = all(event.sigma_m < SURVEY_SIGMA_M for scene in dataset.scenes for event in scene.truth)
    if exact:
        blurred = _aligned(f"{name}, survey blurred", _sound_paths(dataset, ears, blur_m=SURVEY_SIGMA_M), ears)
        series += [blurred, _as_kept(blurred, f"{name}, as kept")]
    wanted: dict[str, list[tuple[ShotPath, int]]] = defaultdict(list)
    for path, index, residual_s in zip(heard.paths, heard.index, heard.residual_s, strict=True):
        if index >= 0 and residual_s <= DETECTED_S[1]:
            wanted[path.ear].append((path, int(index)))
    work = [(item, ears[str(item.path)], wanted[str(item.path)]) for item in recordings if str(item.path) in wanted]
    waves = [wave for found in in_parallel(_waves, work, jobs=jobs) for wave in found]
    figures: _Figures = {
        "dataset": dataset.name,
        "layout": _layout(dataset),
        "residuals": {item.name: _residuals(item) for item in (*series, *map(_place_fitted, series))},
        "detection": {item.name: _detection(item) for item in series},
        "waves": _wave_figures(waves),
    }
    for item in series:
        if item.name.endswith("vendor's pulses"):
            numbers = np.flatnonzero(item.index >= 0)
            peaks_db = np.array([item.ears[item.paths[n].ear].peak_db[item.index[n]] for n in numbers])
            figures["waves"]["levels"]["vendor_peak_db_spl"] = _fall(
                item.distance_m[numbers], peaks_db, peaks_db > VENDOR_RAIL_DB_SPL
            )
    if exact:
        found = heard.index >= 0
        excess_s = heard.residual_s[found] + heard.offset_s[found]
        lines = [heard.paths[n].line for n in np.flatnonzero(found)]
        figures["residuals"][f"{name}, against the true instant"] = {"all": residual_figures(excess_s, lines)}
    return figures, series, waves


def markdown(document: _Figures) -> str:
    """Return the tables."""
    sets: list[_Figures] = list(document["sets"].values())
    code = f"Commit {document['commit']}; {', '.join(str(item['dataset']) for item in sets)}."
    lines = ["# Realism: simulated shots beside the Pittsburgh recordings", ""]
    lines += [f"{code} Made by `python benchmarks/realism.py{document['options']}`."]
    lines += [
        "Compare *Pittsburgh, our node* with *simulated, as kept* (the same choice of nodes, the same error of truth),"
    ]
    lines += ["and *Pittsburgh, vendor's pulses* (all sensors) with *simulated, survey blurred* (all nodes).", ""]
    lines += ["## Onset residuals", ""]
    lines += ["First plausible detection minus straight-line travel time, about each shot's common origin, ms."]
    lines += [
        "Lines: distinct pairs of place and node; shots on one line share their path. Spreads of and in lines: MAD."
    ]
    heads = ("arrivals", "lines", "rms", "sigma (MAD)", "between lines", "within a line", "5 %", "90 %", "95 %", "99 %")
    lines += ["", "| | " + " | ".join((*heads, "> 20 ms", "> 50 ms", "skewness")) + " |", "|---|" + "---:|" * 13]
    residuals = {name: value for item in sets for name, value in item["residuals"].items()}
    for name, value in residuals.items():
        lines.append(_residual_row(name, value["all"]))
        bins = value.get("by_distance", {})
        lines += [_residual_row(f"· {where}", found) for where, found in bins.items() if found["count"]]
    lines += ["", "## Probability of detection", ""]
    lines += ["A detection from 15 ms before to 60 ms after the prediction; 95 % Wilson."]
    detection = {name: value for item in sets for name, value in item["detection"].items()}
    lines += ["", "| distance | " + " | ".join(detection) + " |", "|---|" + "---:|" * len(detection)]
    for where in next(iter(detection.values()))["by_distance"]:
        cells = [_share_text(value["by_distance"][where]) for value in detection.values()]
        lines.append(f"| {where} | " + " | ".join(cells) + " |")
    lines.append("| by chance | " + " | ".join(_share_text(value["chance"]) for value in detection.values()) + " |")
    lines.append(
        "| unasked, a minute | " + " | ".join(_text(value["unasked_per_minute"]) for value in detection.values()) + " |"
    )
    lines += _wave_tables(document["sets"])
    return "\n".join(lines) + "\n"


def _residual_row(name: str, found: _Figures) -> str:
    keys = "count lines rms_ms sigma_mad_ms between_lines_mad_ms within_lines_mad_ms p05_ms p90_ms p95_ms p99_ms "
    keys += "share_later_20_ms share_later_50_ms skewness"
    cells = [_percent(found.get(key)) if key.startswith("share") else _text(found.get(key)) for key in keys.split()]
    return f"| {name} | " + " | ".join(cells) + " |"


def _wave_tables(sets: dict[str, _Figures]) -> list[str]:
    """Return the tables of level, spectrum, duration, echoes and decay."""
    lines = ["", "## Levels", ""]
    lines += ["dB re 20 uPa; fit with clipped as at least; median within a quarter of the distance (count, clipped)."]
    heads = ("at 100 m, fitted", "dB a decade", "scatter", "clipped", *(f"{mark_m:.0f} m" for mark_m in MARKS_M))
    lines += ["", f"| | {' | '.join(heads)} |"]
    lines.append("|---|" + "---:|" * (4 + len(MARKS_M)))
    for name, item in sets.items():
        for kind, found in item["waves"]["levels"].items():
            if "near" in found:
                near = [_median_text(value) for value in found["near"].values()]
                fitted = [_text(found.get(key)) for key in ("at_100_m_db", "db_per_decade", "scatter_db")]
                fitted.append(_percent(found.get("clipped_share")))
                lines.append(f"| {name}, {kind.replace('_', ' ')} | " + " | ".join([*fitted, *near]) + " |")
    lines += ["", "## Noise before the shots, dB re 20 uPa", "", "| | in the node's band: 10 % | 50 % | 90 % |"]
    lines.append("|---|---:|---:|---:|")
    for name, item in sets.items():
        noise = item["waves"]["noise_in_node_band_db_spl"]
        lines.append(f"| {name} | " + " | ".join(_text(noise.get(key)) for key in ("p10", "p50", "p90")) + " |")
    centres = [f"{value:.3g}" for value in THIRD_OCTAVES_HZ]
    lines += ["", "## Third-octave spectra: 100 ms from the onset less the noise, median, dB re 20 uPa", ""]
    lines += ["| | shots | " + " | ".join(centres) + " |", "|---|" + "---:|" * (1 + len(centres))]
    for name, item in sets.items():
        for where, found in item["waves"]["by_distance"].items():
            cells = [_text(value) for value in found["spectrum_db_spl"]]
            lines.append(f"| {name}, {where} | {found['count']} | " + " | ".join(cells) + " |")
            cells = [_text(value) for value in found["unclipped_spectrum_db_spl"]]
            if cells and found["unclipped_count"] < found["count"]:
                lines.append(f"| · unclipped | {found['unclipped_count']} | " + " | ".join(cells) + " |")
        cells = [_text(value) for value in item["waves"]["noise_spectrum_db_spl"]]
        lines.append(f"| {name}, noise | | " + " | ".join(cells) + " |")
    lines += ["", "## Durations, echoes, decay", "", "Medians. Echoes: detections in the half second after the first."]
    lines += ["T60 from Schroeder's integral, -5 to -20 dB; level 50 to 400 ms after the onset re its first 10 ms.", ""]
    lines.append(
        "| | shots | rise, ms | -10 dB, ms | 90 % energy, ms | early to late (20 ms) | T60, s | echoes, mean | none "
        "| a louder one | 50 ms | 100 ms | 200 ms | 400 ms | unclipped | 50 ms | 100 ms | 200 ms | 400 ms |"
    )
    lines.append("|---|" + "---:|" * 18)
    for name, item in sets.items():
        for where, found in item["waves"]["by_distance"].items():
            names = ("rise_ms", "fall10_ms", "energy90_ms", "early_to_late_db", "reverberation60_s")
            cells = [_text(found.get(key, {}).get("p50")) for key in names]
            count = found.get("echo_count", 0)
            cells.append(_text(found.get("echoes_mean")))
            cells.append(_percent(found["echoes_histogram"][0] / count) if count else "")
            cells.append(_percent(found.get("louder_echo_share")))
            for kind in ("", "unclipped_"):
                decay = found.get(f"{kind}decay_10_ms_bins_db")
                cells += [_text(found.get("unclipped_decay_count"))] if kind else []
                cells += [_text(decay[n]) if decay else "" for n in (5, 10, 20, 40)]
            lines.append(f"| {name}, {where} | {found['count']} | " + " | ".join(cells) + " |")
    lines += ["", "## Layout", "", "| | sites a scene | nearest neighbour, m | 1st, 4th, 10th nearest to a shot, m "]
    lines[-1] += "| height over the shot, m (10, 50, 90 %) |"
    lines.append("|---|---:|---:|---:|---:|")
    for name, item in sets.items():
        layout = item["layout"]
        ranked = [_text(layout["nth_nearest_to_shot_m"].get(rank, {}).get("p50")) for rank in ("1", "4", "10")]
        height = [_text(layout["height_over_shot_m"].get(key)) for key in ("p10", "p50", "p90")]
        sites = f"{min(layout['sites_per_scene'])} to {max(layout['sites_per_scene'])}"
        apart = _text(layout["nearest_neighbour_m"].get("p50"))
        lines.append(f"| {name} | {sites} | {apart} | {', '.join(ranked)} | {', '.join(height)} |")
    return lines


def draw(sets: dict[str, tuple[_Figures, list[Series], list[Wave]]], path: Path) -> None:
    """Draw the figure: residuals, detection, spectra, level, decay, echoes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16.0, 9.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, 3)
    colours = dict(zip(sets, ("tab:blue", "tab:orange"), strict=False))
    styles = ("-", "--", ":", "-.")
    for name, (figures, series, waves) in sets.items():
        for item, style in zip(series, styles, strict=False):
            chosen = item.common & (item.index >= 0)
            edges = np.arange(-60.0, 152.0, 4.0)
            counts, _ = np.histogram(1e3 * item.residual_s[chosen], bins=edges)
            share = counts / max(counts.sum(), 1)
            panels[0, 0].stairs(share, edges, color=colours[name], ls=style, label=f"{item.name} ({chosen.sum()})")
            found = list(figures["detection"][item.name]["by_distance"].values())
            middle_m = [50.0 + 100.0 * n for n in range(len(found))]
            kept = [n for n, value in enumerate(found) if value["count"] >= 3]
            low = [found[n]["share"] - found[n]["wilson95"][0] for n in kept]
            high = [found[n]["wilson95"][1] - found[n]["share"] for n in kept]
            panels[0, 1].errorbar(
                [middle_m[n] + 6.0 * styles.index(style) for n in kept],
                [found[n]["share"] for n in kept],
                yerr=np.maximum([low, high], 0.0),
                color=colours[name],
                ls=style,
                marker="o" if style == "-" else ".",
                capsize=2,
                label=f"{item.name} (chance {_percent(figures['detection'][item.name]['chance'].get('share'))})",
            )
        by_distance = figures["waves"]["by_distance"]
        for where, style in zip(("100 to 200 m", "200 to 300 m", "450 to 650 m"), styles, strict=False):
            if where in by_distance:
                level = [np.nan if value is None else value for value in by_distance[where]["spectrum_db_spl"]]
                count = by_distance[where]["count"]
                label = f"{name}, {where} ({count})"
                panels[0, 2].semilogx(THIRD_OCTAVES_HZ, level, color=colours[name], ls=style, label=label)
                decay = by_distance[where].get("decay_10_ms_bins_db")
                if decay:
                    label = f"{name}, {where} ({by_distance[where]['decay_count']})"
                    shown = [np.nan if value is None else value for value in decay]
                    panels[1, 1].plot(
                        np.arange(len(decay)) * 10.0 + 5.0, shown, color=colours[name], ls=style, label=label
                    )
        noise = [np.nan if value is None else value for value in figures["waves"]["noise_spectrum_db_spl"]]
        panels[0, 2].semilogx(THIRD_OCTAVES_HZ, noise, color=colours[name], lw=0.8, alpha=0.6, label=f"{name}, noise")
        away_m = np.array([wave.path.distance_m for wave in waves])
        clipped = np.array([wave.clipped for wave in waves], dtype=np.bool_)
        peaks_db = np.array([wave.peak_db for wave in waves])
        fall = figures["waves"]["levels"]["peak_db_spl"]
        text = f"{name}: {_text(fall.get('at_100_m_db'))} dB at 100 m, -{_text(fall.get('db_per_decade'))} dB a decade"
        panels[1, 0].semilogx(
            away_m[~clipped], peaks_db[~clipped], ".", ms=3, alpha=0.5, color=colours[name], label=text
        )
        panels[1, 0].semilogx(away_m[clipped], peaks_db[clipped], "x", ms=3, alpha=0.5, color=colours[name])
        if "at_100_m_db" in fall:
            reach_m = np.geomspace(away_m.min(), away_m.max(), 50)
            fitted_db = fall["at_100_m_db"] - fall["db_per_decade"] * np.log10(reach_m / 100.0)
            panels[1, 0].semilogx(reach_m, fitted_db, color=colours[name])
        echoes = np.array([len(wave.echoes) for wave in waves if wave.echoes is not None], dtype=np.int64)
        if len(echoes):
            share = np.bincount(np.minimum(echoes, 10), minlength=11) / len(echoes)
            label = f"{name} ({len(echoes)}), mean {echoes.mean():.1f}"
            panels[1, 2].stairs(share, np.arange(-0.5, 11.0), color=colours[name], label=label)
    panels[0, 0].set(title="Onset residuals", xlabel="ms after the straight line, about the shot's median")
    panels[0, 0].set(ylabel="share in 4 ms", yscale="log")
    panels[0, 1].set(title="Probability of detection", xlabel="distance, m (last: beyond 800)", ylim=(-0.02, 1.05))
    panels[0, 2].set(title="Received third octaves, 100 ms less noise", xlabel="Hz", ylabel="dB re 20 uPa")
    panels[1, 0].set(title="Peak level in the node's band (x: clipped)", xlabel="distance, m", ylabel="dB re 20 uPa")
    panels[1, 0].set_xticks(MARKS_M, [f"{mark_m:.0f}" for mark_m in MARKS_M])
    panels[1, 0].minorticks_off()
    panels[1, 1].set(title="Decay, median", xlabel="ms after the onset", ylabel="dB re the first 10 ms", ylim=(-50, 5))
    panels[1, 2].set(title="Further detections within 0.5 s", xlabel="how many (last: 10 or more)", ylabel="share")
    for panel in panels.flat:
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _bins(distance_m: _Real, edges_m: Sequence[float]) -> list[tuple[str, NDArray[np.bool_]]]:
    return [
        (
            f"{low:.0f} to {high:.0f} m" if math.isfinite(high) else f"beyond {low:.0f} m",
            (distance_m >= low) & (distance_m < high),
        )
        for low, high in pairwise(edges_m)
    ]


def _share(flags: NDArray[np.bool_]) -> _Figures:
    """Return a share with its 95 % interval [Wilson1927]."""
    count, yes = len(flags), int(flags.sum())
    if not count:
        return {"count": 0}
    low, high = wilson_interval(yes, count)
    return {"count": count, "yes": yes, "share": _round(yes / count), "wilson95": [_round(low), _round(high)]}


def _quantiles(values: Iterable[float] | _Real) -> _Figures:
    array = np.array([value for value in values if math.isfinite(value)])
    if not len(array):
        return {"count": 0}
    return {"count": len(array), **{f"p{p:02d}": _round(np.quantile(array, p / 100.0)) for p in (10, 25, 50, 75, 90)}}


def _bands(levels_db: list[_Real]) -> list[float | None]:
    """Return the median of each band or bin; None where half have nothing above the noise."""
    if not levels_db:
        return []
    middle = np.sort(np.stack(levels_db), axis=0)[len(levels_db) // 2]
    return [_round(value) if np.isfinite(value) else None for value in middle]


def _mad(values: _Real) -> float:
    return float(np.median(np.abs(values - np.median(values)))) if len(values) else 0.0


def _db(ratio: _Real) -> _Real:
    result: _Real = 10.0 * np.log10(np.maximum(ratio, 1e-300))
    return np.where(ratio > 0.0, result, -np.inf)


def _level_db(mean_square: _Real) -> _Real:
    return _db(mean_square / PASCAL_AT_0_DB**2)


def _round(value: float | np.floating[Any]) -> float | None:
    return round(float(value), 3) if math.isfinite(value) else None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, int) else f"{value:.3g}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{100.0 * value:.1f} %"


def _share_text(found: _Figures) -> str:
    if not found["count"]:
        return ""
    low, high = found["wilson95"]
    return f"{100 * found['share']:.0f} ({100 * low:.0f} to {100 * high:.0f}) % of {found['count']}"


def _median_text(found: _Figures) -> str:
    return f"{found['p50']:.1f} ({found['count']}, {_percent(found['clipped_share'])})" if found["count"] else ""


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=ROOT
    )
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Measure both, print the tables, write; exit 2 when the recordings are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=PITTSBURGH)
    parser.add_argument("--simulated", type=Path, help="a simulated dataset; one is made of the scene if none is given")
    parser.add_argument("--scene", default=SCENE, help="scene to simulate: a file, or a shipped one")
    parser.add_argument("--limit", type=int, help="events of each scene, for a trial")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, help="write all three files into this folder instead")
    arguments = parser.parse_args()
    if not arguments.data.is_dir():
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
        return 2
    started_s = time.perf_counter()
    measured: dict[str, tuple[_Figures, list[Series], list[Wave]]] = {}
    with tempfile.TemporaryDirectory(prefix="shotline-realism-") as scratch:
        simulated = arguments.simulated
        made = open_dataset(simulated) if simulated else _simulated(Path(scratch), arguments.scene, arguments.jobs)
        datasets = {"Pittsburgh": open_dataset(arguments.data), "simulated": made}
        for name, dataset in datasets.items():
            measured[name] = measure(_limited(dataset, arguments.limit), name=name, jobs=arguments.jobs)
            sys.stderr.write(f"{name}: {time.perf_counter() - started_s:.0f} s\n")
    document: _Figures = {
        "benchmark": "realism",
        "commit": _commit(),
        "options": "".join(
            f" --{option} {value}"
            for option, value in vars(arguments).items()
            if option in ("simulated", "scene", "limit") and value is not None
        ),
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "wall_s": round(time.perf_counter() - started_s, 1),
        "third_octaves_hz": [_round(value) for value in THIRD_OCTAVES_HZ],
        "sets": {name: figures for name, (figures, _, _) in measured.items()},
    }
    folder = arguments.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    text = markdown(document)
    (folder / "realism.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    (folder / "realism.md").write_text(text, encoding="utf-8")
    draw(measured, arguments.out / FIGURE.name if arguments.out else FIGURE)
    sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
