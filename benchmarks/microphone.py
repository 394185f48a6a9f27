"""How near and how honest `shotline calibrate microphone` is, on sounds and networks that are made up.

    python benchmarks/microphone.py [--networks 150] [--tones 60] [--only level,relative,response,clipping] [--out OUT]

*Level*: recordings of a calibrator's tone rounded to 16 bits, three insertions that scatter by 0.15 dB, a calibrator
off by anything that its class allows: error of full scale, NEES, share within two sigma. *Relative*: networks whose
places differ by a field over the map (as strong and as wide as each row says, not as the method supposes) and 1.5 dB
from spot to spot, sound microphones that differ by 1 dB, and one in twenty that is 6, 10 or 20 dB too quiet: gain
error before (level above what all share) and after, NEES, share within two sigma, who is found, who is flagged for
nothing, who cannot be told. *Response*: noise through filters of second order with 6 dB at the most, recorded with 40
ppm between the clocks and a noise of -20 dB: error by band. *Clipping*: bursts that are cut off: error of the ceiling.
Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import write_results
from scipy.signal import butter, resample, sosfilt, sosfreqz

from shotline_calibration.microphone.clipping import Ceiling, find_ceiling
from shotline_calibration.microphone.level import CALIBRATOR_CLASSES, level_of
from shotline_calibration.microphone.nightnoise import NightLevel
from shotline_calibration.microphone.relative import OF_CHANGES, GainVerdict, relative_gains
from shotline_calibration.microphone.response import Response, measure_response
from shotline_calibration.microphone.tone import Tone, measure_tone
from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "unit" / "calibration"))

from microphone_samples import RATE_HZ, bursts, calibrator_tone  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "microphone"
FULL_SCALE_DB_SPL = 123.0
NETWORKS: dict[str, dict[str, float]] = {
    "30 nodes on 2 km, places alike (1 dB)": {"place_db": 1.0, "reach_m": 300.0},
    "30 nodes on 2 km, places differ by 3 dB over 300 m": {"place_db": 3.0, "reach_m": 300.0},
    "30 nodes on 2 km, places differ by 6 dB over 150 m": {"place_db": 6.0, "reach_m": 150.0},
    "30 nodes on 2 km, 3 dB over 1 km": {"place_db": 3.0, "reach_m": 1_000.0},
    "100 nodes on 4 km, 3 dB over 300 m": {"nodes": 100, "side_m": 4_000.0},
    "12 nodes on 1.2 km, 3 dB over 300 m": {"nodes": 12, "side_m": 1_200.0},
    "one night": {"night_db": 1.5},
    "sound ones differ by 2 dB": {"sound_db": 2.0},
    "one in five broken": {"broken": 0.2},
    "since earlier nights: places change by 1 dB over 300 m and 0.7 dB": {"is_change": True},
}
BROKEN_DB = (-6.0, -10.0, -20.0)


def level_rows(count: int) -> list[dict[str, Any]]:
    """Return the error of full scale by class."""
    rows = []
    for name, item in CALIBRATOR_CLASSES.items():
        errors, ratios, inside = [], [], 0
        for seed in range(count):
            rng = np.random.default_rng([seed, 4])
            off_db = rng.uniform(-item.level_db, item.level_db)
            tones: list[Tone] = []
            for _ in range(3):
                sound = calibrator_tone(
                    rng,
                    full_scale_db_spl=FULL_SCALE_DB_SPL,
                    level_db_spl=94.0 + off_db + 0.15 * float(rng.standard_normal()),
                    frequency_hz=1_000.0 * (1.0 + rng.uniform(-0.005, 0.005)),
                    seconds=8.0,
                    noise_dbfs=-60.0,
                )
                tone = measure_tone(sound, RATE_HZ, about_hz=1_000.0)
                assert isinstance(tone, Tone)
                tones.append(tone)
            found = level_of(tones, level_db_spl=94.0, frequency_hz=1_000.0, calibrator=item)
            error = found.full_scale_db_spl - FULL_SCALE_DB_SPL
            errors.append(error)
            ratios.append((error / found.sigma_db) ** 2)
            inside += abs(error) <= 2.0 * found.sigma_db
        rows.append(
            {
                "class": name,
                "rms_db": float(np.sqrt(np.mean(np.square(errors)))),
                "nees": float(np.mean(ratios)),
                "in_2_sigma_percent": 100.0 * inside / count,
            }
        )
    return rows


def network(
    seed: int,
    *,
    nodes: int = 30,
    side_m: float = 2_000.0,
    place_db: float = 3.0,
    reach_m: float = 300.0,
    night_db: float = 0.6,
    sound_db: float = 1.0,
    broken: float = 0.05,
    is_change: bool = False,
) -> tuple[list[NightLevel], dict[str, tuple[float, float]], NDArray[np.float64], NDArray[np.bool_]]:
    """Return night levels, places, true gains and which microphones are broken."""
    if is_change:
        # What was there before is taken off: twice the error of a night, little of the place, sound ones unchanged.
        place_db, sound_db, night_db = 1.0, 0.3, 0.6 * math.sqrt(2.0)
    rng = np.random.default_rng([seed, 6])
    at_m = rng.uniform(0.0, side_m, (nodes, 2))
    distance_m = np.hypot(*(at_m[:, None] - at_m[None, :]).transpose(2, 0, 1))
    field = np.linalg.cholesky(place_db**2 * np.exp(-distance_m / reach_m) + 1e-6 * np.eye(nodes))
    gain_db = sound_db * rng.standard_normal(nodes)
    is_broken = rng.uniform(size=nodes) < broken
    gain_db[is_broken] += rng.choice(BROKEN_DB, int(is_broken.sum()))
    level_db = field @ rng.standard_normal(nodes) + gain_db
    level_db = level_db + (0.7 if is_change else 1.5) * rng.standard_normal(nodes)
    level_db = level_db + night_db * rng.standard_normal(nodes)
    level_db = level_db - np.median(level_db)
    names = [f"n{index:03d}" for index in range(nodes)]
    levels = [
        NightLevel(name, float(value), night_db, 5, 120, 1.0) for name, value in zip(names, level_db, strict=True)
    ]
    places_m = {name: (float(x_m), float(y_m)) for name, (x_m, y_m) in zip(names, at_m, strict=True)}
    return levels, places_m, gain_db, is_broken


def relative_row(name: str, changes: dict[str, Any], count: int) -> dict[str, Any]:
    """Put networks of a kind together."""
    before, after, ratios, inside, cannot = [], [], [], [], []
    found: dict[float, list[bool]] = {value: [] for value in BROKEN_DB}
    flagged = sound = 0
    for seed in range(count):
        levels, places_m, gain_db, is_broken = network(seed, **changes)
        gains = relative_gains(levels, places_m, OF_CHANGES if changes.get("is_change") else None)
        # The level that all share is no one's gain: what is told is against the sound ones' mean.
        true_db = gain_db - gain_db[~is_broken].mean()
        for item, level, truth, broken in zip(gains, levels, true_db, is_broken, strict=True):
            before.append(level.level_db - truth)
            after.append(item.gain_db - truth)
            ratios.append(((item.gain_db - truth) / item.sigma_db) ** 2)
            inside.append(abs(item.gain_db - truth) <= 2.0 * item.sigma_db)
            cannot.append(item.verdict is GainVerdict.CANNOT_TELL)
            told = item.verdict in (GainVerdict.QUIETER, GainVerdict.LOUDER)
            if broken:
                nearest = min(BROKEN_DB, key=lambda value, truth=truth: abs(value - truth))  # type: ignore[misc]
                found[nearest].append(told)
            else:
                sound += 1
                flagged += told
    return {
        "case": name,
        "before_db": float(np.sqrt(np.mean(np.square(before)))),
        "after_db": float(np.sqrt(np.mean(np.square(after)))),
        "nees": float(np.mean(ratios)),
        "in_2_sigma_percent": 100.0 * float(np.mean(inside)),
        "found_percent": {f"{value:g}": 100.0 * float(np.mean(hits)) for value, hits in found.items() if hits},
        "flagged_per_1000": 1_000.0 * flagged / sound,
        "cannot_tell_percent": 100.0 * float(np.mean(cannot)),
    }


def response_row(count: int) -> dict[str, Any]:
    """Return the error of responses by band, over filters drawn at random."""
    errors: dict[float, list[float]] = {}
    ratios = []
    for seed in range(count):
        rng = np.random.default_rng([seed, 8])
        reference = sosfilt(butter(8, 18_000.0, fs=RATE_HZ, output="sos"), 0.05 * rng.standard_normal(20 * RATE_HZ))
        high = butter(1, rng.uniform(50.0, 200.0), "highpass", fs=RATE_HZ, output="sos")
        sos = np.concatenate([high, butter(1, rng.uniform(4_000.0, 15_000.0), fs=RATE_HZ, output="sos")])
        tested = resample(sosfilt(sos, reference), round(len(reference) * (1.0 + 40e-6)))
        tested = tested + 0.1 * float(tested.std()) * rng.standard_normal(len(tested))
        found = measure_response(reference, tested, RATE_HZ)
        assert isinstance(found, Response)
        for item in found.bands:
            if item.band.nominal_hz > 10_000.0:
                continue
            _, gain = sosfreqz(sos, np.linspace(item.band.lower_hz, item.band.upper_hz, 100), fs=RATE_HZ)
            error = item.deviation_db + found.gain_db - 10.0 * math.log10(float(np.mean(np.abs(gain) ** 2)))
            errors.setdefault(item.band.nominal_hz, []).append(error)
            ratios.append((error / item.sigma_db) ** 2)
    return {
        "runs": count,
        "rms_db": {f"{band:g}": float(np.sqrt(np.mean(np.square(values)))) for band, values in errors.items()},
        "rms_all_db": float(np.sqrt(np.mean(np.square(np.concatenate(list(errors.values())))))),
        "nees": float(np.mean(ratios)),
    }


def clipping_row(count: int) -> dict[str, Any]:
    """Return the error of ceilings, and how often one was seen where there is none."""
    errors, missed, invented = [], 0, 0
    for seed in range(count):
        rng = np.random.default_rng([seed, 9])
        ceiling = float(rng.uniform(0.1, 0.95))
        loud = ceiling * rng.uniform(1.5, 8.0)
        noise = ceiling * 10.0 ** rng.uniform(-4.0, -2.5)
        found = find_ceiling(bursts(rng, loudest=loud, ceiling=ceiling, floor=-ceiling, noise=noise), RATE_HZ)
        if isinstance(found, Ceiling):
            errors.append(found.clip_dbfs - 20.0 * math.log10(ceiling))
        else:
            missed += 1
        whole = bursts(rng, loudest=0.9 * ceiling, noise=noise)
        invented += isinstance(find_ceiling(whole, RATE_HZ), Ceiling)
    return {
        "runs": count,
        "rms_db": float(np.sqrt(np.mean(np.square(errors)))),
        "most_db": float(np.max(np.abs(errors))),
        "missed": missed,
        "invented": invented,
    }


def text_of(document: dict[str, Any]) -> str:
    """Return the page."""
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    command = f"python benchmarks/microphone.py --networks {document['networks']} --tones {document['tones']}"
    lines = [
        "# Microphone calibration",
        "",
        f"Commit {commit}. `{command}`; all made up.",
        "",
    ]
    if "level" in document:
        lines += [
            "## Level of full scale",
            "",
            "| calibrator's class | rms error, dB | NEES | in 2 sigma, % |",
            "|---|---:|---:|---:|",
        ]
        lines += [
            f"| {row['class']} | {row['rms_db']:.2f} | {row['nees']:.2f} | {row['in_2_sigma_percent']:.0f} |"
            for row in document["level"]
        ]
        lines.append("")
    if "relative" in document:
        lines += [
            "## Gain by night noise",
            "",
            "| network | error, dB | NEES | in 2 sigma, % | found: -6, -10, -20 dB, % | false, ‰ | not told, % |",
            "|---|---:|---:|---:|---:|---:|---:|",
        ]
        for row in document["relative"]:
            found = ", ".join(f"{row['found_percent'].get(f'{value:g}', math.nan):.0f}" for value in BROKEN_DB)
            lines.append(
                f"| {row['case']} | {row['before_db']:.1f} → {row['after_db']:.1f} | {row['nees']:.2f} "
                f"| {row['in_2_sigma_percent']:.1f} | {found} | {row['flagged_per_1000']:.1f} "
                f"| {row['cannot_tell_percent']:.0f} |"
            )
        lines += [
            "",
            "*Error*: level above what all share taken for the gain → what is found. *False*: sound ones flagged.",
            "",
        ]
    if "response" in document:
        row = document["response"]
        bands = ", ".join(f"{band} Hz {value:.2f}" for band, value in row["rms_db"].items())
        lines += [
            "## Response",
            "",
            f"{row['runs']} filters: {row['rms_all_db']:.3f} dB rms over all bands to 10 kHz; NEES {row['nees']:.2f}.",
            "By band, dB:",
            f"{bands}.",
            "",
        ]
    if "clipping" in document:
        row = document["clipping"]
        lines += [
            "## Clipping",
            "",
            f"{row['runs']} recordings of 30 bursts: {row['rms_db']:.3f} dB rms, {row['most_db']:.2f} dB at the most;",
            f"{row['missed']} ceilings missed, {row['invented']} seen in as many recordings without one.",
        ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=int, default=150)
    parser.add_argument("--tones", type=int, default=60)
    parser.add_argument("--only", default="level,relative,response,clipping")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    software = describe_software()
    document: dict[str, Any] = {
        "benchmark": "microphone",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "networks": arguments.networks,
        "tones": arguments.tones,
    }
    wanted = arguments.only.split(",")
    if "level" in wanted:
        document["level"] = level_rows(arguments.tones)
    if "relative" in wanted:
        document["relative"] = []
        for name, changes in NETWORKS.items():
            document["relative"].append(relative_row(name, changes, arguments.networks))
            sys.stderr.write(f"{name}: NEES {document['relative'][-1]['nees']:.2f}\n")
    if "response" in wanted:
        document["response"] = response_row(max(4, arguments.tones // 4))
    if "clipping" in wanted:
        document["clipping"] = clipping_row(arguments.tones)
    write_results(arguments.out, document, text_of(document))
    return 0


if __name__ == "__main__":
    sys.exit(main())
