"""A live node without a microphone, for `fault_run.py`: what it does not keep is gone for good.

    python fault_node.py SETTINGS.json

Real spool, real publisher, real keys, a new boot at every start. It "hears" at the moments in its settings that lie
ahead; what happened while it was down it never heard. Its log has a line before and after each detection goes to the
spool: ``making SEQUENCE`` and ``kept SEQUENCE WALL_NS SHA256 IN_MEMORY``. It runs until SIGTERM.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from sensor_node.connection import CurveClientKeys
from sensor_node.diskspool import DiskSpool
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.spool import SpoolCounts
from shotline.domain import ClockState
from shotline.keyfiles import load_key_pair
from shotline.messages import Detection, Heartbeat, Hello, LevelReference, encode
from shotline.timebase import EventClock
from shotline.units import NS_PER_S

_MODEL = "impulse-rules-1"
_SURE_EVERY = 3


class Node:
    """Makes detections and messages; all of a detection but its boot follows from its number and instant."""

    def __init__(self, name: str, clock: EventClock) -> None:
        self._name = name
        self._clock = clock
        self.boot = secrets.randbits(62)
        self.sequence = 0

    def event_ns(self) -> int:
        """Return event time, now."""
        return self._clock.event_ns(time.time_ns())

    def hello(self) -> Hello:
        """Return who this is."""
        return Hello(
            node=self._name,
            boot=self.boot,
            time_ns=self.event_ns(),
            software_version="fault-run",
            model_id=_MODEL,
            sample_rate_hz=48_000,
            clock_state=ClockState.PPS,
        )

    def heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        """Return how it is."""
        return Heartbeat(
            node=self._name,
            boot=self.boot,
            time_ns=self.event_ns(),
            clock_state=ClockState.PPS,
            next_sequence=self.sequence,
            unacked=counts.unacked,
        )

    def detection(self, arrival_ns: int) -> Detection:
        """Return the next detection. Every third is a sure shot, which the spool writes through to the disk."""
        shot_bp = 9_800 if self.sequence % _SURE_EVERY == 0 else 8_000
        made = Detection(
            node=self._name,
            boot=self.boot,
            sequence=self.sequence,
            arrival_time_ns=arrival_ns,
            arrival_sigma_ns=1_000,
            clock_state=ClockState.PPS,
            probabilities_bp=(shot_bp, 10_000 - shot_bp, 0, 0, 0, 0),
            peak_level_db=-12.5,
            level_reference=LevelReference.DBFS,
            snr_db=22.0,
            rise_time_s=0.0005,
            model_id=_MODEL,
        )
        self.sequence += 1
        return made


def main(settings: dict[str, Any]) -> None:
    """Run until SIGTERM."""
    stopped: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    clock = EventClock(settings["event_epoch_ns"], settings["wall_epoch_ns"])
    node = Node(settings["node"], clock)
    log = os.open(settings["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(log, f"boot {node.boot}\n".encode())
    moments_ns = [settings["event_epoch_ns"] + round(moment_s * NS_PER_S) for moment_s in settings["moments_s"]]
    ahead = [moment_ns for moment_ns in moments_ns if moment_ns > node.event_ns()]
    with (
        DiskSpool(Path(settings["spool"])) as spool,
        Publisher(
            settings["endpoint"],
            spool=spool,
            hello=node.hello,
            heartbeat=node.heartbeat,
            monotonic_s=time.monotonic,
            settings=PublisherSettings(heartbeat_s=settings["heartbeat_s"]),
            curve=CurveClientKeys(load_key_pair(Path(settings["key_file"])), settings["server_key"]),
        ) as publisher,
    ):
        while not stopped:
            if ahead and ahead[0] <= node.event_ns():
                detection = node.detection(ahead.pop(0))
                os.write(log, f"making {detection.sequence}\n".encode())
                publisher.send(detection)
                digest = hashlib.sha256(encode(detection)).hexdigest()
                said = f"kept {detection.sequence} {time.time_ns()} {digest} {spool.counts().in_memory}\n"
                os.write(log, said.encode())
            due_ms = (ahead[0] - node.event_ns()) // 1_000_000 if ahead else 100
            publisher.poll(max(0, min(100, due_ms)))


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
