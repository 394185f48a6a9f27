"""What the network costs on a node: time of a picture and of an inference on one thread, memory, share of a core.

    python benchmarks/classifier_cost.py [--model impulse-cnn-2] [--out benchmarks/results/classifier_cost]

Sound is noise with bangs at 48 kHz. The share of a core is that of one picture and one inference for every onset, here
one a second, and for a watch that looks at the sound every 100 ms whether there is an onset or not. Memory is that of a
process that has played ten seconds of such sound through the node's own application. Times are medians; the machine is
noisy, so take them as ratios. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from results_files import write_results

from shotline.features import log_mel
from shotline_models.registry import DEFAULT_MODEL, find_weights
from shotline_models.runtime import open_network

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "classifier_cost"
RATE_HZ = 48_000
SECONDS = 10
ONSETS_HZ = 1.0
WATCH_HZ = 10.0
REPEATS = 400
PLAY = """
import sys
from pathlib import Path
from sensor_node.player import FileSource, FilePlayer
from sensor_node.profile import NodeProfile
app = FilePlayer(NodeProfile(node="n1", model=sys.argv[2]), [FileSource(path=Path(sys.argv[1]), start_time_ns=10**18)])
heard = sum(len(block) for block in app.detections(lambda _: True))
status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
print(heard, status["VmRSS"].split()[0], status["VmHWM"].split()[0], "torch" in sys.modules, "librosa" in sys.modules)
"""


def sound() -> np.ndarray:
    """Return ten seconds of noise with a bang every second."""
    rng = np.random.default_rng(1)
    samples = rng.normal(0.0, 0.001, SECONDS * RATE_HZ)
    for second in range(SECONDS - 1):
        tail = np.exp(-np.arange(RATE_HZ // 2) / (0.05 * RATE_HZ))
        samples[second * RATE_HZ + RATE_HZ // 2 :][: len(tail)] += rng.normal(0.0, 0.2, len(tail)) * tail
    return np.clip(samples, -1.0, 1.0)


def median_us(work: Callable[[], object]) -> float:
    """Return the median CPU time of one call, microseconds."""
    for _ in range(20):
        work()
    times = []
    for _ in range(REPEATS):
        started_ns = time.process_time_ns()
        work()
        times.append((time.process_time_ns() - started_ns) / 1000.0)
    return statistics.median(times)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    weights = find_weights(arguments.model)
    network = open_network(weights)
    samples = sound()
    onset = RATE_HZ // 2
    frame = samples[: RATE_HZ * 2]
    picture = log_mel(frame, onset_index=onset, sample_rate_hz=RATE_HZ, definition=network.twin.input)
    picture_us = median_us(
        lambda: log_mel(frame, onset_index=onset, sample_rate_hz=RATE_HZ, definition=network.twin.input)
    )
    inference_us = median_us(lambda: network.logits(picture[None]))
    with tempfile.TemporaryDirectory(prefix="shotline-bench-") as folder:
        path = Path(folder) / "bangs.wav"
        soundfile.write(path, samples, RATE_HZ)
        played = subprocess.run(
            [sys.executable, "-c", PLAY, str(path), str(weights)], capture_output=True, text=True, check=True, cwd=ROOT
        )
    heard, now_kib, most_kib, torch_loaded, librosa_loaded = played.stdout.split()
    each_s = (picture_us + inference_us) / 1e6
    document = {
        "benchmark": "classifier_cost",
        "commit": subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        ).stdout.strip(),
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "model": network.twin.model_id,
        "parameters": network.twin.parameters,
        "weights_kib": round(weights.stat().st_size / 1024.0, 1),
        "sample_rate_hz": RATE_HZ,
        "picture_us": round(picture_us, 1),
        "inference_us": round(inference_us, 1),
        "share_of_core_percent": {
            f"{ONSETS_HZ:g} onset a second": round(100.0 * ONSETS_HZ * each_s, 3),
            f"and a watch every {1000.0 / WATCH_HZ:g} ms": round(100.0 * (ONSETS_HZ + WATCH_HZ) * each_s, 3),
        },
        "node_process_rss_mib": round(int(now_kib) / 1024.0, 1),
        "node_process_most_rss_mib": round(int(most_kib) / 1024.0, 1),
        "detections": int(heard),
        "torch_loaded": torch_loaded == "True",
        "librosa_loaded": librosa_loaded == "True",
    }
    shares = document["share_of_core_percent"]
    assert isinstance(shares, dict)
    lines = [
        "# What the network costs on a node",
        "",
        f"Commit {document['commit']}; {document['machine']}; {network.twin.model_id}.",
        f"{network.twin.parameters:,} parameters, {document['weights_kib']} KiB. Sound at 48 kHz.",
        "Made by `python benchmarks/classifier_cost.py`. CPU time on one thread, medians.",
        "",
        "| | |",
        "|---|---:|",
        f"| a picture | {picture_us:.0f} µs |",
        f"| an inference | {inference_us:.0f} µs |",
        *(f"| share of a core, {what} | {share:.2f} % |" for what, share in shares.items()),
        f"| node process, resident | {document['node_process_rss_mib']} MiB |",
        f"| the same, at most | {document['node_process_most_rss_mib']} MiB |",
    ]
    text = "\n".join(lines) + "\n"
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
