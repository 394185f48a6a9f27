"""Detections per second through the server on one core: receive, commit, acknowledge, associate, locate, append.

    python benchmarks/throughput.py [--detections 4000] [--commits 50000] [--out benchmarks/results/throughput.json]

Shots at random places in a grid of nodes, one every so often, plus single bangs that no other node hears; every node
hears each shot at its exact travel time plus noise. Event time runs as fast as the server keeps up. ``in process`` goes
from the bytes of a message to the committed incident; ``loopback`` goes through real ZeroMQ from a second process,
which keeps a window of unacknowledged detections in flight. ``commit_only`` leaves fusion out. The server is held to
one core (its database writes wait for the disk: ``synchronous=FULL``); its CPU seconds are given beside wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import zmq

from fusion_server.engine import FusionEngine
from fusion_server.history import History
from fusion_server.receiver import Intake, Receiver
from fusion_server.registry import Registry
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, Site
from shotline.messages import Ack, Detection, LevelReference, decode, encode
from shotline.records import incident_record
from shotline.units import NS_PER_S, ns_from_seconds

EPOCH_NS = 1_700_000_000 * NS_PER_S
SPACING_M = 250.0
BATCH = 256
WINDOW = 1024
CLUTTER_SHARE = 0.3


@dataclass(frozen=True)
class Load:
    """Messages in order of arrival, and how they were made."""

    sites: list[Site]
    messages: list[bytes]
    shots: int
    event_s: float


def make_load(detections: int, *, nodes: int, between_shots_s: float, seed: int) -> Load:
    """Return a load; everything in it follows from the seed."""
    rng = np.random.default_rng(seed)
    side = int(np.ceil(np.sqrt(nodes)))
    sites = [Site(f"n{i:03}", SPACING_M * (i % side), SPACING_M * (i // side), 0.0, 1.0) for i in range(nodes)]
    xy_m = np.array([(site.x_m, site.y_m) for site in sites])
    speed_mps = Weather().speed_of_sound_mps
    heard: list[tuple[int, int]] = []
    shots, time_s = 0, 1.0
    wanted = int(detections * (1.0 - CLUTTER_SHARE))
    while len(heard) < wanted:
        shots += 1
        time_s += rng.exponential(between_shots_s)
        distance_m = np.hypot(*(xy_m - rng.uniform(xy_m.min(0), xy_m.max(0))).T)
        for node in np.flatnonzero(distance_m < 700.0):
            arrival_s = time_s + distance_m[node] / speed_mps + rng.normal(0.0, 0.003)
            heard.append((EPOCH_NS + ns_from_seconds(float(arrival_s)), int(node)))
    for _ in range(detections - len(heard)):
        heard.append((EPOCH_NS + ns_from_seconds(float(rng.uniform(0.0, time_s))), int(rng.integers(nodes))))
    messages = [
        encode(_detection(sites[node].node, sequence, time_ns))
        for sequence, (time_ns, node) in enumerate(sorted(heard))
    ]
    return Load(sites, messages, shots, time_s)


def _detection(node: str, sequence: int, time_ns: int) -> Detection:
    return Detection(
        node=node,
        boot=1,
        sequence=sequence,
        arrival_time_ns=time_ns,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_000, 200, 200, 200, 200, 200),
        peak_level_db=-12.0,
        level_reference=LevelReference.DBFS,
        snr_db=25.0,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )


class Fusion:
    """The engine driven as the server drives it: add, advance, append."""

    def __init__(self, history: History, sites: list[Site]) -> None:
        self._history = history
        self._engine = FusionEngine(registry=Registry(sites), weather=WeatherTimeline.constant(Weather()))
        self.incidents = 0
        self.shots: dict[str, int] = {}
        self.seconds = 0.0

    def take(self, fresh: tuple[Detection, ...]) -> None:
        """Fuse what is new; event time follows the arrivals."""
        started_s = time.process_time()
        for detection in fresh:
            self._engine.add(detection)
            self._append(detection.arrival_time_ns)
        self.seconds += time.process_time() - started_s

    def finish(self) -> None:
        """Conclude."""
        for incident in self._engine.finish():
            self.shots[incident.incident_id] = incident.rounds
            self._history.append_incident(incident_record(incident, None))

    def _append(self, now_ns: int) -> None:
        for incident in self._engine.advance_to(now_ns):
            self.incidents += 1
            self.shots[incident.incident_id] = incident.rounds
            self._history.append_incident(incident_record(incident, None))


def in_process(load: Load, folder: Path) -> dict[str, object]:
    """Measure from bytes to committed incident, without a socket."""
    with History.open(folder / "in-process.db") as history:
        intake, fusion = Intake(history, boot=1), Fusion(history, load.sites)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for start in range(0, len(load.messages), BATCH):
            for message in load.messages[start : start + BATCH]:
                intake.take(b"peer", [message], now_ns=EPOCH_NS)
            fusion.take(intake.commit(now_ns=EPOCH_NS + start).fresh)
        return _figures(load, fusion, wall_s, cpu_s, history)


def commit_only(load: Load, folder: Path) -> dict[str, object]:
    """Measure decode, commit and acknowledge without fusion."""
    with History.open(folder / "commit-only.db") as history:
        intake = Intake(history, boot=1)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for start in range(0, len(load.messages), BATCH):
            for message in load.messages[start : start + BATCH]:
                intake.take(b"peer", [message], now_ns=EPOCH_NS)
            intake.commit(now_ns=EPOCH_NS + start)
        return _figures(load, None, wall_s, cpu_s, history)


def loopback(load: Load, folder: Path, *, fuse: bool, sender_cores: list[int]) -> dict[str, object]:
    """Measure with real sockets: a second process sends, this one is the server."""
    frames = folder / "load.bin"
    frames.write_bytes(b"".join(len(message).to_bytes(4, "big") + message for message in load.messages))
    with History.open(folder / f"loopback-{fuse}.db") as history:
        fusion = Fusion(history, load.sites) if fuse else None
        with Receiver("tcp://127.0.0.1:0", Intake(history, boot=1)) as receiver:
            sender = subprocess.Popen([sys.executable, __file__, "--send", receiver.endpoint, str(frames)])
            os.sched_setaffinity(sender.pid, sender_cores)
            stored = 0
            wall_s = cpu_s = 0.0
            while stored < len(load.messages):
                fresh = receiver.poll(100, time.time_ns)
                if not stored:
                    wall_s, cpu_s = time.perf_counter(), time.process_time()
                stored += len(fresh)
                if fusion is not None:
                    fusion.take(fresh)
            figures = _figures(load, fusion, wall_s, cpu_s, history)
            while sender.poll() is None:
                receiver.poll(10, time.time_ns)
        assert sender.returncode == 0
        return figures


def send(endpoint: str, frames: Path) -> None:
    """Be the sender: a window of detections in flight, until all are acknowledged."""
    data, messages, offset = frames.read_bytes(), [], 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        messages.append(data[offset + 4 : offset + 4 + length])
        offset += 4 + length
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        socket.sndhwm = 2 * WINDOW
        socket.connect(endpoint)
        sent = acked = 0
        while acked < len(messages):
            while sent < len(messages) and sent - acked < WINDOW:
                socket.send(messages[sent])
                sent += 1
            answer = decode(socket.recv())
            acked += len(answer.sequences) if isinstance(answer, Ack) else 0


def _figures(load: Load, fusion: Fusion | None, wall_s: float, cpu_s: float, history: History) -> dict[str, object]:
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    count = len(load.messages)
    figures: dict[str, object] = {
        "detections": count,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(cpu_s, 3),
        "detections_per_s": round(count / wall_s),
        "detections_per_cpu_s": round(count / cpu_s),
        "cpu_us_per_detection": round(1e6 * cpu_s / count, 1),
    }
    if fusion is not None:
        figures["fusion_us_per_detection"] = round(1e6 * fusion.seconds / count, 1)
        figures["event_s_per_s"] = round(load.event_s / wall_s, 1)
        fusion.finish()
        figures |= {"shots_made": load.shots, "shots_found": sum(fusion.shots.values())}
        figures["incidents"], figures["revisions"] = history.counts().incidents, history.counts().revisions
    return figures


def main() -> None:
    """Run everything and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detections", type=int, default=4_000)
    parser.add_argument("--commits", type=int, default=50_000, help="detections where fusion is left out")
    parser.add_argument("--nodes", type=int, default=25)
    parser.add_argument("--between-shots-s", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "throughput.json")
    parser.add_argument("--send", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        send(arguments.send[0], Path(arguments.send[1]))
        return
    first, *others = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {first})
    load, plain = (
        make_load(count, nodes=arguments.nodes, between_shots_s=arguments.between_shots_s, seed=arguments.seed)
        for count in (arguments.detections, arguments.commits)
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        results = {
            "commit_only_in_process": commit_only(plain, folder),
            "in_process": in_process(load, folder),
            "commit_only_loopback": loopback(plain, folder, fuse=False, sender_cores=others or [first]),
            "loopback": loopback(load, folder, fuse=True, sender_cores=others or [first]),
        }
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    report = {
        "command": "python benchmarks/throughput.py " + " ".join(sys.argv[1:]),
        "commit": commit.stdout.strip(),
        "cpu": _cpu(),
        "python": platform.python_version(),
        "cores_used_by_the_server": 1,
        "load": {
            "nodes": arguments.nodes,
            "between_shots_s": arguments.between_shots_s,
            "clutter_share": CLUTTER_SHARE,
            "seed": arguments.seed,
        },
        "results": results,
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


if __name__ == "__main__":
    main()
