"""How well a node suspects automatic gain control, and how often wrongly.

    python benchmarks/gain_control.py [--scenes 3] [--out benchmarks/results/gain_control]

Simulated: 24 rounds of a pistol in three and a half minutes, in wind, city and traffic, heard at 48 kHz by each
microphone of the simulator from three distances, with its automatic gain (the fault ``agc``) and without. Recorded,
when ../shared/data is there: the clips of each label in a row, as they are and with the same automatic gain put on.
(The live fire there is cut to a few seconds and padded with zeros, and says nothing of gain.) Counted is
`sensor_node.micstats.GainEvidence.suspected`, and whether the check ``microphone`` is not ok for any reason; many clips
are padded with zeros, which it minds. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from sensor_node.framing import AudioBlock
from sensor_node.micstats import MicrophoneStats
from sensor_node.selftest import check_microphone
from shotline.health import CheckStatus
from shotline_recordings.scene import SceneFile
from shotline_recordings.simulate.microphone import MICROPHONES, AutomaticGain, Microphone, record
from shotline_recordings.simulate.sound import node_sound
from shotline_recordings.simulate.stage import set_stage

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "gain_control"
DATA = ROOT.parent / "shared" / "data"
RATE_HZ = 48_000
DISTANCES_M = (60, 150, 300)
GAIN = Microphone(name="gain", full_scale_db_spl=120.0, gain_control=AutomaticGain())


def judge(blocks: list[NDArray[np.float32]], rate_hz: int) -> Counter[str]:
    """Return what the statistics say of sounds that follow each other."""
    stats, start = MicrophoneStats(rate_hz), 0
    for block in blocks:
        stats.add(AudioBlock(start, block))
        start += len(block)
    found = stats.figures
    if found is None:
        return Counter()
    bad = check_microphone(found).status is not CheckStatus.OK
    return Counter(
        sounds=1, impulses=found.gain.impulses, pumped=found.gain.depressed, suspected=found.gain.suspected, not_ok=bad
    )


def simulated(scenes: int) -> dict[str, Counter[str]]:
    """Return what is said of each microphone, distance, with and without the fault."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    kinds = [name for name in MICROPHONES if name != "ideal"]
    for seed in range(1, scenes + 1):
        times_s = np.cumsum(np.random.default_rng(seed).uniform(5.5, 11.0, 24)).tolist()
        nodes = [
            {"id": f"{kind}.{far}.{agc}", "x_m": far, "y_m": 12.0, "z_m": 6.0, "microphone": kind, "agc": agc}
            for kind in kinds
            for far in DISTANCES_M
            for agc in (False, True)
        ]
        scene = SceneFile.model_validate(
            {
                "name": "gain",
                "seed": seed,
                "start_utc": "2026-03-14T21:30:00Z",
                "duration_s": times_s[-1] + 8.0,
                "sample_rate_hz": RATE_HZ,
                "clock": "exact",
                "origin": {"lat_deg": 40.0, "lon_deg": -80.0},
                "weather": {"temperature_c": 12.0, "wind_speed_mps": 3.0},
                "nodes": nodes,
                "shots": [
                    {"event": f"shot-{number}", "x_m": number % 7, "y_m": -(number % 5), "times_s": [time_s]}
                    for number, time_s in enumerate(times_s)
                ],
            }
        )
        stage = set_stage(scene, seed=seed)
        for index, node in enumerate(nodes):
            sound = node_sound(stage, index, from_s=0.0, until_s=times_s[-1] + 7.0).samples
            name = f"{node['microphone']}, {node['x_m']} m, {'automatic gain' if node['agc'] else 'as it should be'}"
            rows[name] += judge([(sound / 32_768.0).astype(np.float32)], RATE_HZ)
    return dict(rows)


def recorded() -> dict[str, Counter[str]]:
    """Return what is said of real recordings; empty when there are none."""
    rows: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[tuple[str, int], list[NDArray[np.float32]]] = defaultdict(list)
    for path in sorted(DATA.glob("audio/*/*.flac")):
        sound, rate_hz = soundfile.read(path, dtype="float32")
        groups[path.parent.name, rate_hz].append(sound)
    for (_, rate_hz), sounds in groups.items():
        rows["clips by label, as recorded"] += judge(sounds, rate_hz)
        rng = np.random.default_rng(1)
        turned = [
            record(sound * GAIN.full_scale_pa, microphone=GAIN, sample_rate_hz=rate_hz, rng=rng) for sound in sounds
        ]
        rows["clips by label, automatic gain put on"] += judge(
            [(sound / 32_768.0).astype(np.float32) for sound in turned], rate_hz
        )
    return dict(rows)


def report(rows: dict[str, Counter[str]], head: dict[str, object]) -> str:
    """Return the page."""
    lines = [
        "# Is automatic gain control noticed?",
        "",
        f"Commit {head['commit']}; {head['machine']}. Made by `{head['command']}`. See there what is counted.",
        "",
        "| sound | sounds | loud impulses | of them pumped | gain suspected | check not ok |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {name} | {row['sounds']} | {row['impulses']} | {row['pumped']} | {row['suspected']} | {row['not_ok']} |"
        for name, row in rows.items()
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Judge everything, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    options = parser.parse_args()
    rows = simulated(options.scenes) | recorded()
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    head: dict[str, object] = {
        "commit": commit,
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "command": " ".join(["python", "benchmarks/gain_control.py", *sys.argv[1:]]),
    }
    options.out.with_suffix(".json").write_text(json.dumps({**head, "sounds": rows}, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(rows, head))
    print(report(rows, head))


if __name__ == "__main__":
    main()
