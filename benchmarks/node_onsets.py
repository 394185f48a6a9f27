"""How well the node hears: its detections against the pulses of the vendor's own sensors, on the live-fire recordings.

    python benchmarks/node_onsets.py [--data ../shared/data] [--only FP1,FP3] [--out FILE]

Also, with ``--clips``, what the rule makes of the labelled clips; with ``--fit``, how its weights were fitted.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import subprocess
import sys
import time
import zlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sensor_node.classifier import ImpulseFrame, ImpulseRules, rule_inputs
from sensor_node.detector import DetectorSettings, NodeIdentity, NodePipeline
from sensor_node.framing import AudioBlock
from sensor_node.sampleclock import FixedRateClock
from shotline.atmosphere import speed_of_sound_mps
from shotline.domain import ClockState, ImpulseKind
from shotline.features import ImpulseFeatures, impulse_features
from shotline.onsets import OnsetDetector, OnsetSettings
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S

TUNED_ON = ("FP1", "FP3", "FP4")
CONFIRMED_ON = ("FP6", "FP7", "FP9")
BANDS_M = ((0.0, 150.0), (150.0, 300.0), (300.0, 450.0), (450.0, 600.0), (600.0, 1000.0))
FULL_SCALE_DB_SPL = 93.0
MATCH_S = 0.020


@dataclass(frozen=True)
class Pulse:
    """One pulse of the vendor's tuples on a sensor that has sound."""

    shot: tuple[str, str, int]
    time_ns: int
    distance_m: float
    travel_s: float


@dataclass(frozen=True)
class Recording:
    """The sound of one sensor in one test."""

    position: str
    wav: Path
    start_ns: int
    pulses: list[Pulse]


def recordings(root: Path, positions: list[str]) -> list[Recording]:
    """Return every recording; a tuple's pulse that is missing from the pulses is left out, as is a repeated one."""
    found = []
    for position in positions:
        for folder in sorted((root / position).glob("test_*")):
            stem = folder / folder.name
            rows = {row["pulse_uuid"]: row for row in _json(f"{stem}.allpulses.json")}
            source_m = _xyz(_json(f"{stem}.survey.json")["survey_location"])
            speed_mps = speed_of_sound_mps(_json(f"{stem}.weather.json")["temperature"])
            by_sensor: dict[str, list[Pulse]] = defaultdict(list)
            for shot in _json(f"{stem}.nlos-tuples.json"):
                seen = set()
                for uuid in shot["pulse_uuids"]:
                    row = rows.get(uuid)
                    if row is None or (row["serial_number"], row["arrival_time_utc"]) in seen:
                        continue
                    seen.add((row["serial_number"], row["arrival_time_utc"]))
                    distance_m = float(np.linalg.norm(_xyz(row["location"]) - source_m))
                    by_sensor[row["serial_number"]].append(
                        Pulse(
                            (position, folder.name, shot["shot_index"]),
                            parse_utc(row["arrival_time_utc"]),
                            distance_m,
                            distance_m / speed_mps,
                        )
                    )
            for wav in sorted(folder.glob("*.audio.*.wav")):
                about = _json(str(wav.with_suffix(".json")))
                pulses = by_sensor[about["serial_number"]]
                found.append(Recording(position, wav, parse_utc(about["timestamp"]), pulses))
    return found


def measure(root: Path, positions: list[str]) -> dict[str, object]:
    """Return the figures of some firing positions."""
    miss_s: list[float] = []
    distance_m: list[float] = []
    vendor_s: list[float] = []
    gunshot: list[float] = []
    line_ns: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    vendor_line_ns: dict[tuple[str, str, int], list[int]] = defaultdict(list)
    minutes, detections, matched = 0.0, 0, 0
    began_s = time.process_time()
    for recording in recordings(root, positions):
        samples, rate_hz = soundfile.read(recording.wav, dtype="float32")
        pipeline = NodePipeline(
            identity=NodeIdentity("bench", 1),
            sample_rate_hz=rate_hz,
            clock=FixedRateClock(recording.start_ns, rate_hz, 0, ClockState.PPS),
            classifier=ImpulseRules(),
            settings=DetectorSettings(),
            full_scale_db_spl=FULL_SCALE_DB_SPL,
        )
        heard = pipeline.process(AudioBlock(0, samples)) + pipeline.flush()
        minutes += len(samples) / rate_hz / 60.0
        detections += len(heard)
        used = set()
        times_ns = np.array([item.arrival_time_ns for item in heard], dtype=np.int64)
        for pulse in recording.pulses:
            distance_m.append(pulse.distance_m)
            if not len(heard):
                miss_s.append(np.inf)
                continue
            index = int(np.argmin(np.abs(times_ns - pulse.time_ns)))
            error_s = (int(times_ns[index]) - pulse.time_ns) / NS_PER_S
            miss_s.append(abs(error_s))
            if abs(error_s) <= MATCH_S:
                used.add(index)
                vendor_s.append(error_s)
                gunshot.append(heard[index].probability(ImpulseKind.GUNSHOT) or 0.0)
                line_ns[pulse.shot].append(int(times_ns[index]) - round(pulse.travel_s * NS_PER_S))
                vendor_line_ns[pulse.shot].append(pulse.time_ns - round(pulse.travel_s * NS_PER_S))
        matched += len(used)
    misses, distances, vendor = np.array(miss_s), np.array(distance_m), np.array(vendor_s)
    line, vendor_line = _about_mean_s(line_ns), _about_mean_s(vendor_line_ns)
    return {
        "positions": positions,
        "pulses": len(misses),
        "share_within": {f"{limit * 1e3:.0f}_ms": _share(misses <= limit) for limit in (0.010, 0.020, 0.040)},
        "by_distance": {
            f"{low:.0f}-{high:.0f}_m": {
                "pulses": int(((distances >= low) & (distances < high)).sum()),
                "share_within_20_ms": _share(misses[(distances >= low) & (distances < high)] <= MATCH_S),
            }
            for low, high in BANDS_M
        },
        "against_vendor_ms": {
            "median": _round(1e3 * np.median(vendor)),
            "sigma_from_quartiles": _round(1e3 * (np.quantile(vendor, 0.75) - np.quantile(vendor, 0.25)) / 1.349),
            "rms_about_mean": _round(1e3 * vendor.std()),
        },
        "against_straight_line_ms": {
            "arrivals": len(line),
            "rms": _round(1e3 * np.sqrt(np.square(line).mean())),
            "median_abs": _round(1e3 * np.median(np.abs(line))),
            "vendor_rms": _round(1e3 * np.sqrt(np.square(vendor_line).mean())),
        },
        "detections_per_minute": _round(detections / minutes),
        "extra_per_minute": _round((detections - matched) / minutes),
        "extra_per_file": _round((detections - matched) / (minutes * 6.0)),
        "gunshot_probability_of_matched": _quantiles(gunshot),
        "real_time_factor": _round(60.0 * minutes / (time.process_time() - began_s)),
    }


@dataclass(frozen=True)
class Example:
    """One onset with what is known of it."""

    name: str
    gunshot: bool
    held_out: bool
    features: ImpulseFeatures


def examples(root: Path) -> list[Example]:
    """Return the onsets the rule is fitted and judged on.

    Of a gunshot clip the loudest onset (forest), or those within 12 dB of it (close by, several rounds); of any other
    clip every onset; of the live fire what agrees with a vendor pulse. Held out: FP6, 7, 9, and a third of the groups.
    """
    found = []
    for row in csv.DictReader((root / "audio" / "manifest.csv").open(encoding="utf-8")):
        samples, rate_hz = soundfile.read(root / "audio" / row["file"], dtype="float32")
        features = [item for _, item in _onsets(samples, rate_hz)]
        is_gunshot = row["label"] == "gunshot"
        least = max((item.peak for item in features), default=0.0) * (0.999 if row["source"] == "carioni" else 0.25)
        held_out = zlib.crc32((row["group"] or row["file"]).encode()) % 3 == 0
        own = row["source"] in ("carioni", "ffsl", "gungame")
        name = f"{row['source']}/{row['label']}" if own else row["label"]
        found += [
            Example(name, is_gunshot, held_out, item) for item in features if not is_gunshot or item.peak >= least
        ]
    for recording in recordings(root / "pittsburgh", [*TUNED_ON, *CONFIRMED_ON]):
        samples, rate_hz = soundfile.read(recording.wav, dtype="float32")
        pulses_s = np.array([(pulse.time_ns - recording.start_ns) / NS_PER_S for pulse in recording.pulses])
        found += [
            Example("pittsburgh/gunshot", True, recording.position in CONFIRMED_ON, item)
            for sample, item in _onsets(samples, rate_hz)
            if len(pulses_s) and np.abs(pulses_s - sample / rate_hz).min() < MATCH_S
        ]
    return [item for item in found if item.features.snr_db >= DetectorSettings().min_snr_db]


def judge(found: list[Example]) -> dict[str, object]:
    """Return what the shipped rule makes of the examples, per name, held out or not."""
    rule = ImpulseRules()
    result: dict[str, object] = {}
    index = list(ImpulseKind).index(ImpulseKind.GUNSHOT)
    for part, held_out in (("training", False), ("held_out", True)):
        scores: dict[str, list[float]] = defaultdict(list)
        kinds: dict[bool, list[float]] = {True: [], False: []}
        for item in found:
            if item.held_out is held_out:
                frame = ImpulseFrame(np.zeros(1), 0, 12_000, item.features)
                scores[item.name].append(rule.probabilities(frame)[index])
                kinds[item.gunshot].append(scores[item.name][-1])
        yes, no = np.array(kinds[True]), np.sort(kinds[False])
        result[part] = {
            "auc": _round(float((np.searchsorted(no, yes) / len(no)).mean())),
            "by_name": {name: _quantiles(values) for name, values in sorted(scores.items())},
        }
    return result


def fit(found: list[Example]) -> list[float]:
    """Return intercept and weights: ridge logistic regression, each source and label of equal say, classes balanced."""
    shares = {"pittsburgh/gunshot": 0.4, "carioni/gunshot": 0.3, "ffsl/gunshot": 0.2, "gungame/gunshot": 0.1}
    training = [item for item in found if not item.held_out]
    names = np.array([item.name for item in training])
    others = sorted(set(names) - set(shares))
    weight = np.zeros(len(training))
    for name in set(names):
        mine = names == name
        weight[mine] = shares.get(str(name), 1.0 / len(others)) / mine.sum()
    inputs = np.array([(1.0, *rule_inputs(item.features)) for item in training])
    truth = np.array([item.gunshot for item in training], dtype=float)
    ridge = 1e-3 * np.diag([0.0] + [1.0] * (inputs.shape[1] - 1))
    beta = np.zeros(inputs.shape[1])
    for _ in range(50):
        chance = 1.0 / (1.0 + np.exp(-inputs @ beta))
        gradient = inputs.T @ (weight * (truth - chance)) - ridge @ beta
        hessian = (inputs.T * (weight * chance * (1.0 - chance))) @ inputs + ridge
        beta += np.linalg.solve(hessian, gradient)
    return [_round(value) for value in beta]


def _onsets(samples: NDArray[np.float32], rate_hz: int) -> list[tuple[float, ImpulseFeatures]]:
    detector = OnsetDetector(rate_hz, OnsetSettings())
    detector.start(0)
    onsets = detector.push(samples) + detector.finish()
    return [(onset.sample, impulse_features(onset, sample_rate_hz=rate_hz)) for onset in onsets]


def _about_mean_s(by_shot: dict[tuple[str, str, int], list[int]]) -> NDArray[np.float64]:
    """Return arrival minus travel time about the mean of each shot that has at least three."""
    groups = [(np.array(group) - group[0]) / NS_PER_S for group in by_shot.values() if len(group) >= 3]
    return np.concatenate([group - group.mean() for group in groups])


def _json(path: str) -> dict | list:  # type: ignore[type-arg] - the vendor's files, read as they are
    return json.loads(Path(path).read_text(encoding="utf-8"))


def _xyz(location: dict[str, float]) -> NDArray[np.float64]:
    return np.array([location["x"], location["y"], location["z"]])


def _share(flags: NDArray[np.bool_]) -> float | None:
    return _round(float(flags.mean())) if len(flags) else None


def _quantiles(values: list[float]) -> dict[str, float]:
    array = np.array(values)
    return {
        "count": len(array),
        **{f"p{round(100 * q):02d}": _round(np.quantile(array, q)) for q in (0.01, 0.05, 0.5, 0.95)},
        "share_half_or_more": _round(float((array >= 0.5).mean())),
    }


def _round(value: float) -> float:
    return round(float(value), 4)


def _commit() -> str:
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> int:
    """Measure, print, write; exit 1 when the data is not there."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", default="", help="firing positions, such as FP1,FP3; default all, in two groups")
    parser.add_argument("--clips", action="store_true", help="judge the rule on the labelled clips too")
    parser.add_argument("--fit", action="store_true", help="fit the rule's weights again and print them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/node_onsets.json"))
    arguments = parser.parse_args()
    if not (arguments.data / "pittsburgh").is_dir():
        print(f"no recordings in {arguments.data / 'pittsburgh'}; name the folder with --data", file=sys.stderr)
        return 1
    root = arguments.data / "pittsburgh"
    groups = {"only": arguments.only.split(",")} if arguments.only else {}
    groups = groups or {"tuned_on": list(TUNED_ON), "confirmed_on": list(CONFIRMED_ON)}
    report: dict[str, object] = {
        "commit": _commit(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        **{name: measure(root, positions) for name, positions in groups.items()},
    }
    if arguments.clips or arguments.fit:
        found = examples(arguments.data)
        report["impulse_rules"] = judge(found)
        if arguments.fit:
            report["fitted_weights"] = fit(found)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
