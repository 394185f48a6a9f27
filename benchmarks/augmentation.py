"""Does the simulator help a classifier? The same small network, trained with its sound and without, on real recordings.

    python benchmarks/augmentation.py                   # simulate, train, judge: a quarter of an hour on two cores
    python benchmarks/augmentation.py --quick --out /tmp/x

Needs torch, a part of the ``train`` extra. Written: ``augmentation.json``, ``augmentation.md`` and
``docs/images/augmentation.png``, or all three into ``--out``.

Every frame is 500 ms about an onset that the node's own detector found (and would report: 14 dB above its floor). What
the network sees is the same for all, so that the sample rate, which gives the label away in these clips, tells nothing:
mel bands from 150 to 3400 Hz only, less than any of the recordings can hold, each frame relative to its own loudest
band, nothing below -60 dB. That makes gain irrelevant, exactly. A frame is not used when the recording ends in it or
20 ms of it are digital silence, since padding tells labels too. In training every arm has the same ordinary
augmentation: shift, spectral tilt, added noise, clipping. Each arm has the same number of steps, half of each batch
gunshots; where there is real and simulated sound on a side, half of it is simulated. The checkpoint is chosen on a
validation part of the arm's own training data. No figure of the test sets is used for anything but the tables.

Test sets, none of which is trained on: all of Pittsburgh, where a shot is a pulse of the vendor's that the node's onset
agrees with to 20 ms; a third of the recordings of other sounds (by ``split_block``); and, each with a network that has
not heard the source, all of carioni and all of the firearms library. *Own sounds* of Pittsburgh are its other onsets,
before the first pulse and from 3 s after the last one: the same microphones, which the clips of other sounds are not.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import os
import platform
import sys
import tempfile
import time
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import soundfile
import torch
from joblib import Parallel, delayed
from node_onsets import CONFIRMED_ON, MATCH_S, TUNED_ON, recordings
from numpy.typing import NDArray
from scipy.signal import resample_poly

import shotline_recordings.simulate
from sensor_node.detector import DetectorSettings
from shotline.domain import ImpulseKind
from shotline.features import impulse_features
from shotline.onsets import OnsetDetector, OnsetSettings
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S
from shotline_recordings.dataset import load_dataset
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate import simulate_dataset
from shotline_recordings.simulate.bangs import BANG_KINDS
from shotline_recordings.simulate.weapons import weapons
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]
_Flags = NDArray[np.bool_]
_Figures = dict[str, Any]

ROOT = Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared" / "data"
RESULTS = ROOT / "benchmarks" / "results"
FIGURE = ROOT / "docs" / "images" / "augmentation.png"

RATE_HZ = 16_000
BEFORE_S, AFTER_S, MARGIN_S = 0.050, 0.450, 0.030
BAND_HZ = (150.0, 3_400.0)
MELS, FFT, WINDOW, HOP = 28, 512, 320, 160
FLOOR_DB = 60.0
SILENCE_S = 0.020
MOST_ONSETS = 4
"""Of one clip of other sounds, the loudest."""
CLEAR_S = (0.6, 0.6)
"""Simulated sound is used where no other round or bang of the other label arrives so near."""
SIMULATED_MATCH_S = (-0.003, 0.040)
OWN_SOUNDS_S = (0.3, 3.0)

SCENES = 12
STEPS, EVERY, BATCH = 400, 80, 64
LEARNING_RATE = 2e-3
SEEDS = (0, 1, 2)
RESAMPLES = 1_000
FALSE_ALARMS = (0.01, 0.05)
EDGES_M = (0.0, 200.0, 400.0, 600.0, math.inf)
FOREST_BLOCK, LIBRARY_BLOCK, LIBRARY_SOURCE = "katsis", "ffsl", "gungame"


@dataclass(frozen=True, slots=True)
class Frame:
    """The sound about one onset, at the common rate, with a margin.

    ``block`` must not be torn apart between training and test, ``group`` not between training and validation. Of
    simulated sound they are the scene and the microphone; of Pittsburgh the firing position and the test.
    """

    sound: NDArray[np.float32]
    gunshot: bool
    source: str
    label: str
    group: str
    block: str
    distance_m: float = math.nan


@dataclass(frozen=True, slots=True)
class Arm:
    """What a network is trained on."""

    name: str
    real_gunshots: bool = True
    simulated_gunshots: bool = False
    simulated_others: bool = False
    without_microphone: str = ""


REAL = Arm("real only")
BOTH = Arm("real + simulated", simulated_gunshots=True, simulated_others=True)
NO_REAL = Arm("simulated gunshots, real others", real_gunshots=False, simulated_gunshots=True)
NO_REAL_BOTH = Arm(
    "simulated gunshots, real + simulated others",
    real_gunshots=False,
    simulated_gunshots=True,
    simulated_others=True,
)
NOT_THAT_MICROPHONE = Arm(
    "real + simulated, without vendor-93",
    simulated_gunshots=True,
    simulated_others=True,
    without_microphone="vendor-93",
)
GUNSHOTS_ONLY = Arm("real + simulated gunshots only", simulated_gunshots=True)
ARMS = (REAL, BOTH, NOT_THAT_MICROPHONE, GUNSHOTS_ONLY, NO_REAL, NO_REAL_BOTH)
LEFT_OUT_ARMS = (REAL, BOTH, NO_REAL_BOTH)


# Simulated sound.


def scene(number: int) -> SceneFile:
    """Return a town, weather and nodes by number; shots of every weapon in one half, other bangs in the next."""
    rng = np.random.default_rng([20260401, number])
    town = ("open", "suburb", "suburb", "town", "centre")[number % 5]
    lowest_m, highest_m = {"open": (4, 6), "suburb": (5, 9), "town": (8, 18), "centre": (15, 50)}.get(town, (5, 9))
    grid = {
        "blocks": [9, 9],
        "block_m": [float(rng.uniform(55, 80)), float(rng.uniform(50, 75))],
        "street_m": float(rng.uniform(14, 24)),
        "lots": [4, 2] if town == "suburb" else [2, 2],
        "height_m": [float(lowest_m), float(highest_m)],
        "built": float(rng.uniform(0.6, 0.9)),
    }
    microphones = ("vendor-93", "mems-120", "mems-135", "vendor-93")
    nodes = [
        {
            "id": f"n{index}",
            "x_m": float(rng.uniform(-320, 320)),
            "y_m": float(rng.uniform(-320, 320)),
            "z_m": float(rng.uniform(4, 14)),
            "microphone": microphones[index % 4],
        }
        for index in range(8)
    ]
    area = {"west_m": -320.0, "east_m": 320.0, "south_m": -320.0, "north_m": 320.0}
    others = [kind for kind in BANG_KINDS if kind not in ("thunder", "firework_string")] * 2
    half_s = 30.0
    strong_tail_db = {"open": -16.0, "suburb": -11.0, "town": -9.0, "centre": -6.0}[town]
    tables = {
        "name": f"augmentation-{number}",
        "seed": number,
        "start_utc": "2026-01-01T00:00:00Z",
        "duration_s": 2.0 * half_s + 6.0,
        "sample_rate_hz": (12_000, 16_000)[number % 2],
        "survey_sigma_m": 0.0,
        "origin": {"lat_deg": 40.0, "lon_deg": -80.0},
        "weather": {
            "temperature_c": float(rng.uniform(-8, 32)),
            "wind_speed_mps": float(rng.uniform(0, 7)),
            "wind_from_deg": float(rng.uniform(0, 360)),
            "humidity_percent": float(rng.uniform(30, 90)),
            "roughness_m": 0.1 if town == "open" else 0.7,
            "temperature_gradient_k_per_m": float(rng.uniform(-0.01, 0.03)),
        },
        "ground": {"kind": str(rng.choice(["asphalt", "grass", "compacted_soil"]))},
        "city": {} if town == "open" else {"grid": grid},
        "paths": {
            "reflection_order": 2,
            "screens": {"share": float(rng.uniform(0.2, 0.7)), "detour_m": float(rng.uniform(0.3, 2.0))},
            "tails": [
                {"level_db": strong_tail_db + float(rng.uniform(-3, 3)), "decay_s": float(rng.uniform(0.3, 1.0))},
                {"level_db": strong_tail_db - 6.0, "decay_s": float(rng.uniform(1.0, 2.5)), "build_up_s": 0.1},
            ],
        },
        "noise": {"city_dba": float(rng.uniform(30, 52)), "passes_per_minute": float(rng.uniform(0, 3))},
        "nodes": nodes,
        "scatter": [
            {
                "event": "shot",
                "kinds": [arm.id for arm in weapons()],
                "count": 27,
                "from_s": 0.5,
                "until_s": half_s,
                **area,
            },
            {
                "event": "bang",
                "kinds": [*others, "thunder", "firework_string"],
                "count": 27,
                "from_s": half_s + 4.0,
                "until_s": 2.0 * half_s + 3.0,
                **area,
            },
        ],
    }
    for table in tables["scatter"]:
        table["apart_s"] = 1.0
    return SceneFile.model_validate(tables)


def simulated_frames(number: int, cache: Path, *, simulator: str, jobs: int) -> list[Frame]:
    """Simulate a scene (unless this simulator has made it already) and cut its frames."""
    town = scene(number)
    key = hashlib.sha256((simulator + town.model_dump_json()).encode()).hexdigest()[:12]
    folder = cache / f"scene-{number}-{key}"
    if not (folder / "done").is_file():
        simulate_dataset(town, folder, seed=town.seed, jobs=jobs, picture=False)
        (folder / "done").touch()
    made = load_dataset(folder).scenes[0]
    truth = {item.event: item for item in made.truth}
    sites = {site.node: np.array([site.x_m, site.y_m, site.z_m]) for site in made.sites}
    microphones = {node.id: node.microphone or "" for node in town.nodes}
    arrivals: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for row in csv.DictReader((folder / "arrivals.csv").open(encoding="utf-8")):
        arrivals[row["node"]].append((parse_utc(row["arrival_utc"]), row["event"]))
    frames = []
    for recording in made.recordings:
        heard = arrivals[recording.node]
        times_s = np.array([(time_ns - recording.start_time_ns) / NS_PER_S for time_ns, _ in heard])
        shots = np.array([truth[event].kind == ImpulseKind.GUNSHOT.value for _, event in heard])
        samples, rate_hz = soundfile.read(recording.path, dtype="float32")
        used = set()
        for sample, _ in _onsets(samples, rate_hz):
            late_s = sample / rate_hz - times_s
            near = np.flatnonzero((late_s >= SIMULATED_MATCH_S[0]) & (late_s <= SIMULATED_MATCH_S[1]))
            if len(near) != 1 or int(near[0]) in used:
                continue
            index = int(near[0])
            used.add(index)
            crowded = (shots != shots[index]) & (late_s > -CLEAR_S[1]) & (late_s < CLEAR_S[0])
            sound = None if crowded.any() else _cut(samples, rate_hz, sample)
            if sound is None:
                continue
            about = truth[heard[index][1]]
            away_m = float(np.linalg.norm(sites[recording.node] - (about.x_m, about.y_m, about.z_m)))
            frames.append(
                Frame(
                    sound,
                    bool(shots[index]),
                    "simulated",
                    about.label,
                    microphones[recording.node],
                    f"simulated-{number}",
                    away_m,
                )
            )
    return frames


# Real sound.


def clip_frames(row: dict[str, str], root: Path) -> tuple[list[Frame], int]:
    """Return the frames of a labelled clip, and how many onsets were left out for what is missing in them.

    Of a gunshot clip the loudest onset (forest), or those within 12 dB of it (several rounds close by).
    """
    samples, rate_hz = soundfile.read(root / row["file"], dtype="float32")
    onsets = _onsets(samples, rate_hz)
    gunshot = row["label"] == "gunshot"
    loudest = max((peak for _, peak in onsets), default=0.0)
    if gunshot:
        onsets = [item for item in onsets if item[1] >= loudest * (0.999 if row["source"] == "carioni" else 0.25)]
    else:
        onsets = sorted(onsets, key=lambda item: -item[1])[:MOST_ONSETS]
    sounds = [_cut(samples, rate_hz, sample) for sample, _ in onsets]
    block, group = row["split_block"] or row["group"] or row["file"], row["group"] or row["file"]
    frames = [Frame(sound, gunshot, row["source"], row["label"], group, block) for sound in sounds if sound is not None]
    return frames, len(sounds) - len(frames)


def pittsburgh_frames(root: Path, position: str) -> tuple[list[Frame], _Figures]:
    """Return the shots of a firing position as the node hears them, and the other onsets of the same recordings."""
    frames, counts = [], Counter[str]()
    for recording in recordings(root, [position]):
        samples, rate_hz = soundfile.read(recording.wav, dtype="float32")
        times_s = np.array([(pulse.time_ns - recording.start_ns) / NS_PER_S for pulse in recording.pulses])
        onsets = [sample for sample, _ in _onsets(samples, rate_hz)]
        at_s = np.array(onsets) / rate_hz
        test = recording.pulses[0].shot[1] if recording.pulses else recording.wav.parent.name
        for pulse, time_s in zip(recording.pulses, times_s, strict=True):
            counts["pulses"] += 1
            nearest = int(np.argmin(np.abs(at_s - time_s))) if len(at_s) else -1
            if nearest < 0 or abs(at_s[nearest] - time_s) > MATCH_S:
                counts["not heard by the node"] += 1
                continue
            sound = _cut(samples, rate_hz, onsets[nearest])
            if sound is None:
                counts["at the end of a recording"] += 1
                continue
            frames.append(Frame(sound, True, "pittsburgh", "shot", f"{position}/{test}", position, pulse.distance_m))
        if not len(times_s):
            counts["recordings without a pulse"] += 1
            continue
        for sample, onset_s in zip(onsets, at_s, strict=True):
            if times_s.min() - OWN_SOUNDS_S[0] > onset_s or onset_s > times_s.max() + OWN_SOUNDS_S[1]:
                sound = _cut(samples, rate_hz, sample)
                if sound is not None:
                    frames.append(Frame(sound, False, "pittsburgh", "own", f"{position}/{test}", position))
    return frames, dict(counts)


def _onsets(samples: NDArray[np.float32], rate_hz: int) -> list[tuple[float, float]]:
    """Return sample and peak of each onset that a node would report."""
    detector = OnsetDetector(rate_hz, OnsetSettings())
    detector.start(0)
    found = []
    for onset in detector.push(samples) + detector.finish():
        features = impulse_features(onset, sample_rate_hz=rate_hz)
        if features.snr_db >= DetectorSettings().min_snr_db:
            found.append((onset.sample, features.peak))
    return found


def _cut(samples: NDArray[np.float32], rate_hz: int, onset: float) -> NDArray[np.float32] | None:
    """Return the sound about an onset at the common rate, with a margin for shifts; None where sound is missing."""
    first = round(onset - (BEFORE_S + MARGIN_S) * rate_hz)
    stop = first + math.ceil((BEFORE_S + AFTER_S + 2 * MARGIN_S) * rate_hz)
    inner = samples[max(first + round(MARGIN_S * rate_hz), 0) : stop - round(MARGIN_S * rate_hz)]
    if first + MARGIN_S * rate_hz < 0 or stop - MARGIN_S * rate_hz > len(samples):
        return None
    still = np.concatenate(([0], (np.diff(inner) == 0.0).astype(np.int64)))
    run = np.cumsum(still)
    width = round(SILENCE_S * rate_hz)
    if (run[width:] - run[:-width] == width).any():
        return None
    index = np.clip(np.arange(first, stop), 0, len(samples) - 1)
    common = math.gcd(rate_hz, RATE_HZ)
    sound = resample_poly(samples[index].astype(np.float64), RATE_HZ // common, rate_hz // common)
    length = round((BEFORE_S + AFTER_S + 2 * MARGIN_S) * RATE_HZ)
    return (sound[:length] / max(float(np.abs(sound).max()), 1e-9)).astype(np.float32)


# The network. All arrays are torch's.


def _mel_bands() -> torch.Tensor:
    """Return triangles of equal width on the mel scale, shape (n_mels, n_fft / 2 + 1)."""

    def mel(frequency_hz: float) -> float:
        return 2595.0 * math.log10(1.0 + frequency_hz / 700.0)

    edges_hz = 700.0 * (10.0 ** (np.linspace(mel(BAND_HZ[0]), mel(BAND_HZ[1]), MELS + 2) / 2595.0) - 1.0)
    bins_hz = np.fft.rfftfreq(FFT, 1.0 / RATE_HZ)
    rising = (bins_hz - edges_hz[:-2, None]) / np.diff(edges_hz)[:-1, None]
    falling = (edges_hz[2:, None] - bins_hz) / np.diff(edges_hz)[1:, None]
    return torch.tensor(np.maximum(np.minimum(rising, falling), 0.0), dtype=torch.float32)


_BANDS = _mel_bands()
_TAPER = torch.hann_window(WINDOW)
_INSIDE = slice(round(MARGIN_S * RATE_HZ), round((MARGIN_S + BEFORE_S + AFTER_S) * RATE_HZ))


def log_mel(sound: torch.Tensor) -> torch.Tensor:
    """Return dB below the loudest band, scaled to -1..1, shape (n, 1, n_mels, n_windows), of (n, n_samples)."""
    spectra = torch.stft(sound, FFT, HOP, WINDOW, _TAPER, center=False, return_complex=True).abs().square()
    level_db = 10.0 * torch.log10(_BANDS @ spectra + 1e-12)
    level_db = level_db - level_db.amax(dim=(1, 2), keepdim=True)
    return (level_db.clamp(min=-FLOOR_DB) / (0.5 * FLOOR_DB) + 1.0).unsqueeze(1)


def augmented(sound: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Return frames shifted by up to 15 ms, tilted by up to 3 dB an octave, half of them noisier, 40 % clipped."""
    count = len(sound)

    def uniform(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(count, 1, generator=rng)

    length = _INSIDE.stop - _INSIDE.start
    begin = _INSIDE.start + (uniform(-0.015, 0.015) * RATE_HZ).round().long()
    sound = torch.gather(sound, 1, begin + torch.arange(length)[None])
    octaves = torch.log2(torch.fft.rfftfreq(length, 1.0 / RATE_HZ).clamp(min=100.0) / 1_000.0)
    sound = torch.fft.irfft(torch.fft.rfft(sound) * 10.0 ** (uniform(-3.0, 3.0) * octaves / 20.0), length)
    body = sound[:, round(BEFORE_S * RATE_HZ) : round(2.0 * BEFORE_S * RATE_HZ)].square().mean(1, keepdim=True).sqrt()
    slope = uniform(-6.0, 0.0)
    noise = torch.fft.rfft(torch.randn(sound.shape, generator=rng)) * 10.0 ** (slope * octaves / 20.0)
    noise = torch.fft.irfft(noise, length)
    noise = noise / noise.square().mean(1, keepdim=True).sqrt()
    noisy = (uniform(0.0, 1.0) < 0.5).float()
    sound = sound + noisy * noise * body * 10.0 ** (-uniform(5.0, 40.0) / 20.0)
    peak = sound.abs().amax(1, keepdim=True)
    limit = torch.where(uniform(0.0, 1.0) < 0.4, 10.0 ** (uniform(-20.0, 0.0) / 20.0), torch.ones(count, 1)) * peak
    return torch.minimum(torch.maximum(sound, -limit), limit)


def network() -> torch.nn.Module:
    """Return three convolutions and two dense layers."""
    layers: list[torch.nn.Module] = []
    channels = 1
    for width in (12, 24, 32):
        layers += [
            torch.nn.Conv2d(channels, width, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(width),
            torch.nn.ReLU(),
            torch.nn.MaxPool2d(2),
        ]
        channels = width
    windows = (_INSIDE.stop - _INSIDE.start - FFT) // HOP + 1
    size = channels * (MELS // 8) * (windows // 8)
    layers += [torch.nn.Flatten(), torch.nn.Dropout(0.3), torch.nn.Linear(size, 32), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(32, 1))


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Frames without their sound; that as shape (n_frames, n_samples), float32; and what the network sees of them."""

    frames: list[Frame]
    sound: NDArray[np.float32]
    features: NDArray[np.float32]

    @classmethod
    def of(cls, frames: list[Frame]) -> Pool:
        """Stack the frames, and take their features."""
        sound = np.stack([frame.sound for frame in frames])
        parts = [sound[first : first + 512, _INSIDE] for first in range(0, len(sound), 512)]
        features = np.concatenate([log_mel(torch.from_numpy(part)).numpy() for part in parts])
        return cls([replace(frame, sound=sound[:0, 0]) for frame in frames], sound, features)


def _chosen(pool: Pool, arm: Arm, left_out: _Flags) -> tuple[_Flags, _Real]:
    """Return what an arm trains on, and the chance of each frame: gunshots and others alike, every kind alike."""
    frames = pool.frames
    simulated = np.array([frame.source == "simulated" for frame in frames])
    gunshot = np.array([frame.gunshot for frame in frames])
    microphone = np.array([frame.group if frame.source == "simulated" else "" for frame in frames])
    wanted = np.where(
        simulated,
        np.where(gunshot, arm.simulated_gunshots, arm.simulated_others),
        np.where(gunshot, arm.real_gunshots, True),
    )
    wanted &= ~left_out & ((microphone != arm.without_microphone) | (arm.without_microphone == ""))
    kind = np.array(
        [frame.source if frame.gunshot and frame.source != "simulated" else frame.label for frame in frames]
    )
    chance = np.zeros(len(frames))
    for one_side in (gunshot, ~gunshot):
        origins = [origin for origin in (simulated, ~simulated) if (wanted & one_side & origin).any()]
        for origin in origins:
            here = wanted & one_side & origin
            kinds = Counter(kind[here])
            each = np.array([1.0 / kinds[name] for name in kind[here]])
            chance[here] = 0.5 / len(origins) * each / each.sum()
    return wanted, chance


def _for_validation(frame: Frame) -> bool:
    """Keep a fifth of the groups of recordings, and a sixth of the scenes, to choose the checkpoint by."""
    if frame.source == "simulated":
        return int(frame.block.removeprefix("simulated-")) % 6 == 1
    return zlib.crc32(f"validation/{frame.group}".encode()) % 5 == 0


def trained(pool: Pool, arm: Arm, left_out: _Flags, *, seed: int, steps: int) -> tuple[_Real, _Figures]:
    """Return the score of every frame, and how the training went; in one thread, to be the same again.

    The network is the best by weighted log loss on the validation part of the arm's own training data.
    """
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    wanted, chance = _chosen(pool, arm, left_out)
    held = np.array([_for_validation(frame) for frame in pool.frames])
    rng = np.random.default_rng([seed, 1])
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    labels = torch.tensor([float(frame.gunshot) for frame in pool.frames])
    learn, check = np.flatnonzero(wanted & ~held), np.flatnonzero(wanted & held)
    chance_to_learn = chance[learn] / chance[learn].sum()
    weight = torch.tensor(chance[check] / chance[check].sum(), dtype=torch.float32)
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=steps)
    best, best_loss, best_step = None, math.inf, 0
    for step in range(1, steps + 1):
        index = rng.choice(learn, BATCH, p=chance_to_learn)
        optimizer.zero_grad()
        guess = model(log_mel(augmented(torch.from_numpy(pool.sound[index]), generator)))[:, 0]
        torch.nn.functional.binary_cross_entropy_with_logits(guess, labels[index]).backward()
        optimizer.step()
        schedule.step()
        if step % EVERY == 0:
            guess = torch.from_numpy(scores(model, pool.features[check])).float()
            losses = torch.nn.functional.binary_cross_entropy_with_logits(guess, labels[check], reduction="none")
            loss = float((weight * losses).sum())
            if loss < best_loss:
                best, best_loss, best_step = {k: v.clone() for k, v in model.state_dict().items()}, loss, step
            model.train()
    assert best is not None
    model.load_state_dict(best)
    guess = scores(model, pool.features[check])
    truth = labels[check].numpy() > 0.5
    return scores(model, pool.features), {
        "step": best_step,
        "validation_log_loss": _round(best_loss),
        "validation_auc": _round(_auc(guess[truth], guess[~truth])),
        "training_frames": {
            origin: {
                "gunshot": sum(pool.frames[i].gunshot for i in learn if (pool.frames[i].source == "simulated") is sim),
                "other": sum(
                    not pool.frames[i].gunshot for i in learn if (pool.frames[i].source == "simulated") is sim
                ),
            }
            for origin, sim in (("real", False), ("simulated", True))
        },
    }


def scores(model: torch.nn.Module, features: NDArray[np.float32]) -> _Real:
    """Return the log odds of a gunshot, shape (n,)."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(torch.from_numpy(features[first : first + 512].copy()))[:, 0]
            for first in range(0, len(features), 512)
        ]
    return torch.cat(parts).numpy().astype(np.float64)


# Figures.


def _auc(yes: _Real, no: _Real) -> float:
    order = np.sort(no)
    below, upto = np.searchsorted(order, yes), np.searchsorted(order, yes, side="right")
    return float((below + upto).mean() / (2.0 * len(order))) if len(yes) and len(no) else math.nan


def _threshold(no: _Real, rate: float) -> float:
    """Return the least score that no more than this share of the others exceeds."""
    order = np.sort(no)[::-1]
    return float(order[min(math.floor(rate * len(order)), len(order) - 1)])


def _judged(yes: list[_Real], no: list[_Real], distance_m: _Real | None) -> _Figures:
    """Return the figures of one test over seeds; recall at thresholds set on the other sounds of the same test."""
    result: _Figures = {"gunshots": len(yes[0]), "others": len(no[0])}
    result["auc"] = _spread([_auc(a, b) for a, b in zip(yes, no, strict=True)])
    bins = {"all": np.ones(len(yes[0]), dtype=np.bool_)}
    if distance_m is not None:
        for low, high in pairwise(EDGES_M):
            name = f"{low:.0f}-{high:.0f} m" if math.isfinite(high) else f"over {low:.0f} m"
            bins[name] = (distance_m >= low) & (distance_m < high)
    for rate in FALSE_ALARMS:
        hits = [a > _threshold(b, rate) for a, b in zip(yes, no, strict=True)]
        result[f"recall_at_{100 * rate:.0f}_percent"] = {
            name: {**_spread([float(hit[inside].mean()) for hit in hits]), **_wilson(hits, inside)}
            for name, inside in bins.items()
            if inside.any()
        }
    return result


def _spread(values: list[float]) -> _Figures:
    return {
        "mean": _round(float(np.mean(values))),
        "sd": _round(float(np.std(values, ddof=1))) if len(values) > 1 else None,
        "each": [_round(value) for value in values],
    }


def _wilson(hits: list[_Flags], inside: _Flags) -> _Figures:
    """Return the 95 % interval [Wilson1927] of the mean share, for the number of frames (not times the seeds)."""
    count, share, z = int(inside.sum()), float(np.mean([hit[inside].mean() for hit in hits])), 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count))
    return {"count": count, "wilson95": [_round(max(middle - half, 0.0)), _round(min(middle + half, 1.0))]}


def _differences(
    one: tuple[list[_Real], list[_Real]],
    other: tuple[list[_Real], list[_Real]],
    clusters: tuple[list[str], list[str]],
    *,
    resamples: int,
) -> _Figures:
    """Return other less one with 95 % bootstrap intervals: whole tests, whole recordings of others, and seeds drawn."""
    rng = np.random.default_rng(20260402)
    names = [np.unique(side, return_inverse=True) for side in clusters]
    members = [[np.flatnonzero(inverse == i) for i in range(len(unique))] for unique, inverse in names]
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(resamples):
        yes, no = (np.concatenate([side[i] for i in rng.integers(len(side), size=len(side))]) for side in members)
        figures = []
        for arm in (one, other):
            seed = int(rng.integers(len(arm[0])))
            a, b = arm[0][seed][yes], arm[1][seed][no]
            figures.append([_auc(a, b), *(float((a > _threshold(b, rate)).mean()) for rate in FALSE_ALARMS)])
        for name, first, second in zip(
            ["auc", *(f"recall_at_{100 * rate:.0f}_percent" for rate in FALSE_ALARMS)], *figures, strict=True
        ):
            drawn[name].append(second - first)
    return {
        name: {
            "median": _round(float(np.median(values))),
            "interval95": [_round(float(np.quantile(values, q))) for q in (0.025, 0.975)],
        }
        for name, values in drawn.items()
    }


def _round(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


# All together.


def _real_frames(cache: Path, data: Path, *, jobs: int) -> tuple[list[Frame], _Figures]:
    """Return the frames of all recordings; kept in the cache, by what they are made from."""
    made_from = [Path(__file__), Path(sys.modules["shotline.onsets"].__file__ or "")]
    key = hashlib.sha256(b"".join(path.read_bytes().split(b"# The network")[0] for path in made_from)).hexdigest()[:12]
    kept = cache / f"real-{key}.pt"
    if kept.is_file():
        found: tuple[list[Frame], _Figures] = torch.load(kept, weights_only=False)
        return found
    rows = list(csv.DictReader((data / "audio" / "manifest.csv").open(encoding="utf-8")))
    clips = Parallel(n_jobs=jobs)(delayed(clip_frames)(row, data / "audio") for row in rows)
    fire = Parallel(n_jobs=jobs)(
        delayed(pittsburgh_frames)(data / "pittsburgh", name) for name in (*TUNED_ON, *CONFIRMED_ON)
    )
    frames = [frame for some, _ in [*clips, *fire] for frame in some]
    counts = Counter[str]()
    for _, some in fire:
        counts.update(some)
    left_out = Counter[str]()
    for row, (_, dropped) in zip(rows, clips, strict=True):
        left_out[row["source"] + ("/gunshot" if row["label"] == "gunshot" else "/other")] += dropped
    about = {"pittsburgh": dict(counts), "clip_onsets_cut_short_or_silent": dict(left_out)}
    torch.save((frames, about), kept)
    return frames, about


@dataclass(frozen=True, slots=True, eq=False)
class Test:
    """One test: which frames are gunshots and others, and what a network may not have trained on."""

    name: str
    gunshots: NDArray[np.int64]
    others: NDArray[np.int64]


def _tests(frames: list[Frame]) -> tuple[_Flags, dict[str, tuple[_Flags, tuple[Arm, ...], list[Test]]]]:
    """Return the settings: what is left out of training, which arms, and the tests."""
    source = np.array([frame.source for frame in frames])
    block = np.array([frame.block for frame in frames])
    gunshot = np.array([frame.gunshot for frame in frames])
    pittsburgh, real = source == "pittsburgh", source != "simulated"
    hashed = np.array([zlib.crc32(f"test/{name}".encode()) % 3 == 0 for name in block])
    others = real & ~gunshot & ~pittsburgh & hashed & (block != FOREST_BLOCK) & (block != LIBRARY_BLOCK)
    held = pittsburgh | others
    forest = block == FOREST_BLOCK
    library = (block == LIBRARY_BLOCK) | (source == LIBRARY_SOURCE)

    def test(name: str, yes: _Flags, no: _Flags) -> Test:
        return Test(name, np.flatnonzero(yes), np.flatnonzero(no))

    return held, {
        "all sources": (
            held,
            ARMS,
            [
                test("Pittsburgh, other recordings", pittsburgh & gunshot, others),
                test("Pittsburgh, own sounds", pittsburgh & gunshot, pittsburgh & ~gunshot),
            ],
        ),
        "without the forest": (
            held | forest,
            LEFT_OUT_ARMS,
            [
                test("forest, other recordings", forest & gunshot, others),
                test("forest, own sounds", forest & gunshot, forest & ~gunshot),
            ],
        ),
        "without the firearms library": (
            held | library,
            LEFT_OUT_ARMS,
            [
                test("library, other recordings", library & gunshot, others & ~library),
                test("library, own sounds", library & gunshot, library & ~gunshot),
            ],
        ),
    }


def markdown(document: _Figures) -> str:
    """Return the tables for people."""
    about = (
        f"Commit {document['commit']}{', dirty' if document['dirty'] else ''}; `python benchmarks/augmentation.py"
        f"{document['options']}`, {document['wall_s']:.0f} s. Network of {document['parameters']} parameters, "
        f"{document['steps']} steps of {BATCH}, {len(document['seeds'])} seeds. The docstring says how."
    )
    lines = [
        "# Does the simulator help a classifier?",
        "",
        about,
        "",
        "Mean over seeds ± standard deviation between them; in brackets the 95 % Wilson interval for the number of",
        "frames. Recall at a rate of false alarms that is set on the others of the same test. Pittsburgh's frames are",
        "several sensors of few tests: the differences below, by bootstrap of whole tests, say what is certain.",
    ]
    for setting, table in document["settings"].items():
        for name, rows in table["tests"].items():
            first = next(iter(rows.values()))
            lines += [
                "",
                f"## {name} (trained on {setting}): {first['gunshots']} gunshots, {first['others']} others",
                "",
                "| trained on | AUC | recall at 1 % false alarms | at 5 % |",
                "|---|---:|---:|---:|",
            ]
            for arm, row in rows.items():
                cells = [_plus(row["auc"], 1.0, 3)]
                cells += [_recall(row[f"recall_at_{100 * rate:.0f}_percent"]["all"]) for rate in FALSE_ALARMS]
                lines.append(f"| {arm} | {' | '.join(cells)} |")
            bins = [key for key in first["recall_at_5_percent"] if key != "all"]
            if len(bins) > 1:
                counts = [f"{key} ({first['recall_at_5_percent'][key]['count']})" for key in bins]
                lines += ["", f"| recall at 5 %, by distance | {' | '.join(counts)} |", "|---|" + "---:|" * len(bins)]
                for arm, row in rows.items():
                    cells = [_recall(row["recall_at_5_percent"][key]) for key in bins]
                    lines.append(f"| {arm} | {' | '.join(cells)} |")
    lines += [
        "",
        f"## Less `{REAL.name}`: median and 95 % interval of the bootstrap",
        "",
        "| test | arm | AUC | recall at 1 % | at 5 % |",
        "|---|---|---:|---:|---:|",
    ]
    for table in document["settings"].values():
        for name, rows in table["differences"].items():
            for arm, row in rows.items():
                cells = []
                for key, factor, digits in (
                    ("auc", 1.0, 3),
                    ("recall_at_1_percent", 1e2, 0),
                    ("recall_at_5_percent", 1e2, 0),
                ):
                    low, high = (f"{factor * value:+.{digits}f}" for value in row[key]["interval95"])
                    cells.append(f"{factor * row[key]['median']:+.{digits}f} ({low} to {high})")
                lines.append(f"| {name} | {arm} | {' | '.join(cells)} |")
    lines += ["", "## Frames", "", "| | gunshots | others |", "|---|---:|---:|"]
    lines += [f"| {name} | {row['gunshots']} | {row['others']} |" for name, row in document["frames"].items()]
    return "\n".join(lines) + "\n"


def _plus(row: _Figures, factor: float, digits: int) -> str:
    spread = "" if row["sd"] is None else f" ± {factor * row['sd']:.{digits}f}"
    return f"{factor * row['mean']:.{digits}f}{spread}"


def _recall(row: _Figures) -> str:
    low, high = row["wilson95"]
    return f"{_plus(row, 100.0, 0)} % ({100 * low:.0f} to {100 * high:.0f})"


def draw(document: _Figures, curves: dict[str, tuple[_Real, _Real]], path: Path) -> None:
    """Draw detection against false alarms, recall by distance, and AUC of every test."""
    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(17, 5.2), layout="constrained")
    figure.suptitle("The same small network trained with and without the simulator, on real held-back recordings")
    colours = {arm.name: f"C{number}" for number, arm in enumerate(ARMS)}
    for name, (rate, recall) in curves.items():
        panels[0].semilogx(100 * rate, 100 * recall, color=colours[name], label=name)
    panels[0].set(title="Pittsburgh's shots against held-back other recordings", ylim=(0, 101), xlim=(0.3, 100))
    panels[0].set(xlabel="false alarms of the others, %", ylabel="shots told, %, mean over seeds")
    rows = document["settings"]["all sources"]["tests"]["Pittsburgh, other recordings"]
    for number, (name, row) in enumerate(rows.items()):
        found = {key: value for key, value in row["recall_at_5_percent"].items() if key != "all"}
        at = np.arange(len(found)) + 0.12 * (number - len(rows) / 2)
        mean = np.array([100 * item["mean"] for item in found.values()])
        ends = np.array([[100 * end for end in item["wilson95"]] for item in found.values()]).T
        panels[1].errorbar(at, mean, np.abs(ends - mean), fmt="o", capsize=3, color=colours[name], label=name)
        panels[1].set_xticks(np.arange(len(found)), [f"{key}\n({v['count']})" for key, v in found.items()])
    panels[1].set(title="At 5 % false alarms, by distance (Wilson 95 %)", ylabel="shots told, %", ylim=(0, 101))
    tests = [(name, rows) for table in document["settings"].values() for name, rows in table["tests"].items()]
    for place, (_, rows) in enumerate(tests):
        for number, (arm, row) in enumerate(rows.items()):
            each = row["auc"]["each"]
            at = place + 0.13 * (number - len(rows) / 2)
            panels[2].plot([at] * len(each), each, ".", color=colours[arm], ms=4)
            panels[2].plot([at], [row["auc"]["mean"]], "_", color=colours[arm], ms=11, mew=2)
    panels[2].set_xticks(
        range(len(tests)), [name.replace(", ", "\n").replace("other ", "other\n") for name, _ in tests]
    )
    panels[2].tick_params(axis="x", labelsize=8)
    panels[2].set(title="AUC of every test (dots: seeds)", ylabel="AUC")
    for panel in panels:
        panel.grid(visible=True, alpha=0.3)
    panels[0].legend(fontsize=8, loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)


def _curve(yes: list[_Real], no: list[_Real]) -> tuple[_Real, _Real]:
    rate = np.geomspace(0.003, 1.0, 200)
    recall = [np.mean([(a > _threshold(b, r)).mean() for a, b in zip(yes, no, strict=True)]) for r in rate]
    return rate, np.array(recall)


def _frame_counts(frames: Iterable[Frame], held: _Flags) -> _Figures:
    table: dict[str, dict[str, int]] = {}
    for frame, out in zip(frames, held, strict=True):
        name = frame.source + (", held back" if out and frame.source != "pittsburgh" else "")
        row = table.setdefault(name, {"gunshots": 0, "others": 0})
        row["gunshots" if frame.gunshot else "others"] += 1
    return table


def main() -> int:
    """Simulate, train, judge, write; exit 2 when the recordings are not there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="two scenes, one seed, few steps: does it run?")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--cache", type=Path, help="keep simulated sound and frames here between runs")
    parser.add_argument("--out", type=Path, help="write all three files into this folder instead")
    arguments = parser.parse_args()
    if not (arguments.data / "audio").is_dir():
        sys.stderr.write(f"no recordings at {arguments.data}; say where they are with --data\n")
        return 2
    with tempfile.TemporaryDirectory(prefix="shotline-augmentation-") as scratch:
        cache = arguments.cache or Path(scratch)
        cache.mkdir(parents=True, exist_ok=True)
        document, curves = _measure(arguments, cache)
    folder = arguments.out or RESULTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "augmentation.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    text = markdown(document)
    (folder / "augmentation.md").write_text(text, encoding="utf-8")
    draw(document, curves, arguments.out / FIGURE.name if arguments.out else FIGURE)
    sys.stdout.write(text)
    return 0


def _measure(arguments: argparse.Namespace, cache: Path) -> tuple[_Figures, dict[str, tuple[_Real, _Real]]]:
    started_s = time.perf_counter()
    software, simulator = describe_software(), _simulator_sha256()
    torch.set_num_threads(1)
    n_scenes, seeds, steps = (2, SEEDS[:1], 2 * EVERY) if arguments.quick else (SCENES, SEEDS, STEPS)
    frames, about = _real_frames(cache, arguments.data, jobs=arguments.jobs)
    _tell(started_s, f"{len(frames)} real frames")
    for number in range(n_scenes):
        frames += simulated_frames(number, cache, simulator=simulator, jobs=arguments.jobs)
        _tell(started_s, f"scene {number}: {len(frames)} frames")
    pool = Pool.of(frames)
    held, settings = _tests(frames)
    tables: _Figures = {}
    curves: dict[str, tuple[_Real, _Real]] = {}
    for setting, (left_out, arms, tests) in settings.items():
        work = [(arm, seed) for arm in arms for seed in seeds]
        made = Parallel(n_jobs=arguments.jobs)(
            delayed(trained)(pool, arm, left_out, seed=seed, steps=steps) for arm, seed in work
        )
        told: dict[str, list[_Real]] = defaultdict(list)
        training: dict[str, list[_Figures]] = defaultdict(list)
        for (arm, _), (every, figures) in zip(work, made, strict=True):
            told[arm.name].append(every)
            training[arm.name].append(figures)
        _tell(started_s, f"trained on {setting}: {len(work)} networks")
        table: _Figures = {"training": training, "tests": {}, "differences": {}}
        for test in tests:
            sides = {
                arm.name: (
                    [every[test.gunshots] for every in told[arm.name]],
                    [every[test.others] for every in told[arm.name]],
                )
                for arm in arms
            }
            away_m = np.array([frames[index].distance_m for index in test.gunshots])
            table["tests"][test.name] = {
                name: _judged(yes, no, away_m if np.isfinite(away_m).all() else None)
                for name, (yes, no) in sides.items()
            }
            clusters = ([frames[i].group for i in test.gunshots], [frames[i].group for i in test.others])
            table["differences"][test.name] = {
                name: _differences(sides[REAL.name], pair, clusters, resamples=100 if arguments.quick else RESAMPLES)
                for name, pair in sides.items()
                if name != REAL.name
            }
            if test.name == "Pittsburgh, other recordings":
                curves = {name: _curve(*pair) for name, pair in sides.items()}
        tables[setting] = table
    simulated = [frame for frame in frames if frame.source == "simulated"]
    return {
        "benchmark": "augmentation",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "options": (" --quick" if arguments.quick else "") + (" --cache FOLDER" if arguments.cache else ""),
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": {**software.packages, "torch": version("torch")},
        "simulator_sha256": simulator,
        "wall_s": round(time.perf_counter() - started_s, 1),
        "parameters": sum(item.numel() for item in network().parameters()),
        "steps": steps,
        "seeds": list(seeds),
        "scenes": n_scenes,
        "frames": _frame_counts(frames, held),
        "simulated_labels": dict(Counter(frame.label for frame in simulated).most_common()),
        "simulated_microphones": dict(Counter(frame.group for frame in simulated)),
        "simulated_distance_m": {
            f"p{q:02d}": _round(float(np.quantile([frame.distance_m for frame in simulated], q / 100)))
            for q in (5, 25, 50, 75, 95)
        },
        **about,
        "settings": tables,
    }, curves


def _simulator_sha256() -> str:
    """Say which simulator it was, more finely than a commit does."""
    folder = Path(shotline_recordings.simulate.__file__).parent
    return hashlib.sha256(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py")))).hexdigest()


def _tell(started_s: float, what: str) -> None:
    sys.stderr.write(f"{time.perf_counter() - started_s:6.0f} s  {what}\n")


if __name__ == "__main__":
    sys.exit(main())
