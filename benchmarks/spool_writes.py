"""What the spool writes to the card: bytes in a day at a given number of detections an hour, with and without a server.

    python benchmarks/spool_writes.py [--per-hour 100] [--folder DIR] [--out benchmarks/results/spool_writes]

A child plays the day without waiting and counts with ``write_bytes`` of /proc/self/io: pages of the file system made
dirty. In a real day the kernel writes them before the next detection comes, 36 s later at 100 an hour, so the child
has the files written (fdatasync) after each step; otherwise it would count pages once that a real day writes many
times. Three days: the server acknowledges each detection at once; the server is away all day, heartbeats are dropped;
the first, with every detection a sure gunshot. What the file system adds for itself (its journal, erase blocks of the
card) is not in it. Also how long an append takes on this disk. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from sensor_node.diskspool import DiskSpool
from sensor_node.spool import SpoolLimits
from shotline.domain import ClockState
from shotline.messages import Detection, LevelReference, encode

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "spool_writes"
HEARTBEATS_PER_DAY = 86_400 // 5
CASES = ("server there", "server away", "server there, all sure gunshots")
LIKE = Detection(
    node="roof-03",
    boot=1_545_180_566_000_000_001,
    sequence=0,
    arrival_time_ns=1_545_180_568_911_204_381,
    arrival_sigma_ns=1_200,
    clock_state=ClockState.PPS,
    probabilities_bp=(800, 8_050, 0, 1_100, 50, 0),
    peak_level_db=121.25,
    level_reference=LevelReference.DB_SPL,
    snr_db=31.5,
    rise_time_s=0.0005,
    model_id="impulse-cnn-1",
    calibration_id="cal-7",
    clip_sha256=bytes(range(32)),
    onset_sample=139_737_810,
)


def written_bytes() -> int:
    """Return what this process has made dirty so far."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["write_bytes"])


def settle(folder: Path) -> None:
    """Have every file of the spool written, as the kernel would within 35 s."""
    for path in folder.iterdir():
        if path.name.endswith("-shm"):
            continue
        number = os.open(path, os.O_RDWR)
        os.fdatasync(number)
        os.close(number)


def play(case: str, per_hour: int, folder: Path) -> dict[str, float]:
    """Play one day; return bytes written and how long appends took."""
    made = per_hour * 24
    took_us: list[float] = []
    with DiskSpool(folder / "spool.db", SpoolLimits()) as spool:
        settle(folder)
        start_bytes = written_bytes()
        for sequence in range(made):
            detection = msgspec.structs.replace(LIKE, sequence=sequence)
            if "sure" in case:
                detection = msgspec.structs.replace(detection, probabilities_bp=(9_800, 50, 0, 100, 50, 0))
            start_s = time.perf_counter()
            spool.append(detection)
            took_us.append((time.perf_counter() - start_s) * 1e6)
            if "there" in case:
                spool.ack(detection.boot, [sequence])
            else:
                for _ in range(HEARTBEATS_PER_DAY // made):
                    spool.drop_heartbeat()
            settle(folder)
        total_bytes = written_bytes() - start_bytes
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    return {
        "detections": made,
        "message_bytes": len(encode(LIKE)),
        "written_bytes_per_day": total_bytes,
        "written_bytes_per_detection": round(total_bytes / made),
        "files_bytes_at_the_end": size_bytes,
        "append_median_us": round(statistics.median(took_us), 1),
        "append_p99_us": round(statistics.quantiles(took_us, n=100)[98], 1),
    }


def file_system(folder: Path) -> str:
    """Return the kind of file system that a folder is on."""
    done = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def report(found: dict[str, dict[str, float]], head: dict[str, object]) -> str:
    """Return the page."""
    lines = [
        "# What the spool writes in a day",
        "",
        f"Commit {head['commit']}; {head['machine']}, {head['file_system']}; {head['per_hour']} detections an hour.",
        f"Made by `{head['command']}`. See there what is counted.",
        "",
        "| day | written | per detection | append, median | 99 % |",
        "|---|---:|---:|---:|---:|",
    ]
    for case, row in found.items():
        lines.append(
            f"| {case} | {row['written_bytes_per_day'] / 1e6:.1f} MB | {row['written_bytes_per_detection']} bytes | "
            f"{row['append_median_us']:.0f} µs | {row['append_p99_us']:.0f} µs |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure each case in a child, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-hour", type=int, default=100)
    parser.add_argument(
        "--folder", type=Path, default=Path(tempfile.gettempdir()), help="on the file system to measure"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--case", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        if options.case is not None:
            print(json.dumps(play(options.case, options.per_hour, Path(folder))))
            return
        kind = file_system(Path(folder))
    if kind == "tmpfs":
        sys.exit(f"{options.folder} is in memory, where nothing is written; name a folder on a disk with --folder")
    found: dict[str, dict[str, float]] = {}
    for case in CASES:
        command = [sys.executable, __file__, "--case", case, "--per-hour", str(options.per_hour)]
        command += ["--folder", str(options.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[case] = json.loads(done.stdout)
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty", "--abbrev=12"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()
    head: dict[str, object] = {
        "commit": commit,
        "machine": f"{platform.machine()}, {platform.system()}, {os.cpu_count()} cores",
        "file_system": kind,
        "per_hour": options.per_hour,
        "command": " ".join(["python", "benchmarks/spool_writes.py", *sys.argv[1:]]),
    }
    options.out.with_suffix(".json").write_text(json.dumps({**head, "days": found}, indent=2) + "\n")
    options.out.with_suffix(".md").write_text(report(found, head))
    print(report(found, head))


if __name__ == "__main__":
    main()
