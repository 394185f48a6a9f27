"""What a live node costs while it runs: memory, share of a core, bytes written to the card.

    python benchmarks/node_process.py [--minutes 5] [--per-hour 100] [--out benchmarks/results/node_process]

The real `shotline node run` with its default network and a spool on disk, in its own process, on the real PortAudio,
which reads ALSA's `file` device: noise, and a bang so many times an hour. A real server acknowledges. chronyd, where
it is installed, is a real one (-x: it touches no clock) with pulses, asked as on a roof. Measured from half a minute
after the start, from /proc; the processes that the node starts (chronyc) are in the share of a core. Bytes written are
`write_bytes` of /proc/PID/io: pages made dirty, without the journal of the file system. Writes OUT.json and OUT.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import msgspec
from results_files import write_results

from shotline_replay.report import describe_software

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "scenarios"))

from chrony_bench import CHRONYC, CHRONYD, Chrony  # noqa: E402
from live_bench import Air, Roof  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results" / "node_process"
WARM_UP_S = 30.0
DAY_S = 86_400.0


def used(pid: int) -> dict[str, float]:
    """Return what a process has used so far: seconds of processor, its children's with it; bytes written; memory."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return {
        "own_s": (int(fields[11]) + int(fields[12])) / ticks,
        "children_s": (int(fields[13]) + int(fields[14])) / ticks,
        "written": float(io["write_bytes"]),
        "rss_mib": int(status["VmRSS"].split()[0]) / 1024,
        "peak_rss_mib": int(status["VmHWM"].split()[0]) / 1024,
        "wall_s": time.monotonic(),
    }


def measure(folder: Path, *, minutes: float, per_hour: float) -> dict[str, float]:
    """Let a node live for some minutes; return the figures."""
    with ExitStack() as stack:
        command = ["chronyc", "-c", "tracking"]
        if CHRONYD is not None and CHRONYC is not None:
            chrony = Chrony(stack)
            chrony.start_with_pulses()
            chrony.until(chrony.is_within_50_us, "the pulse is followed")
            command = chrony.command
            ended = threading.Event()
            feeding = threading.Thread(
                target=lambda: chrony.until(ended.is_set, "the end", patience_s=60.0 * minutes + 300.0)
            )
            feeding.start()
            stack.callback(feeding.join)
            stack.callback(ended.set)
        air = stack.enter_context(Air(folder / "roof-1"))
        roof = Roof(folder, stack, command, heartbeat_s=5.0)
        time.sleep(WARM_UP_S)
        before = used(roof.node.pid)
        bangs = round(60.0 * minutes * per_hour / 3600.0)
        for _ in range(max(1, bangs)):
            air.fire()
            time.sleep(3600.0 / per_hour)
        after = used(roof.node.pid)
        state = roof.clock_state()
        said = roof.stop_node()
        seconds = after["wall_s"] - before["wall_s"]
        return {
            "seconds": seconds,
            "detections": float(str(said["detections"])),
            "timed": float(state == "pps"),
            "core_percent": 100.0 * (after["own_s"] - before["own_s"]) / seconds,
            "children_core_percent": 100.0 * (after["children_s"] - before["children_s"]) / seconds,
            "rss_mib": after["rss_mib"],
            "peak_rss_mib": after["peak_rss_mib"],
            "written_mb_per_day": (after["written"] - before["written"]) / seconds * DAY_S / 1e6,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--per-hour", type=float, default=100.0)
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: a temporary one")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        figures = measure(Path(folder), minutes=arguments.minutes, per_hour=arguments.per_hour)
    software = describe_software()
    text = "\n".join(
        [
            "# What a live node costs",
            "",
            (
                f"Commit {(software.git_commit or 'unknown')[:12]}{' with changes' if software.git_dirty else ''}; "
                f"{platform.machine()}, {os.cpu_count()} cores; {figures['seconds']:.0f} s, "
                f"{arguments.per_hour:g} bangs an hour, {figures['detections']:.0f} detections; "
                f"{'chronyd with pulses' if figures['timed'] else 'no chronyd'}."
            ),
            "Made by `python benchmarks/node_process.py`. See there what is counted.",
            "",
            "| | |",
            "|---|---:|",
            f"| memory (RSS), at the end | {figures['rss_mib']:.0f} MiB |",
            f"| memory (RSS), at most | {figures['peak_rss_mib']:.0f} MiB |",
            f"| of a core, the node itself | {figures['core_percent']:.2f} % |",
            f"| of a core, chronyc | {figures['children_core_percent']:.2f} % |",
            f"| written to the card in a day | {figures['written_mb_per_day']:.1f} MB |",
            "",
        ]
    )
    document = {
        "benchmark": "node_process",
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()},
        "software": msgspec.to_builtins(software),
        "figures": figures,
    }
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
