"""A node process without a microphone: a burst of detections through the real spool and publisher.

``python burst_node.py ENDPOINT SPOOL COUNT`` prints the identity of each detection once the spool has it, drains, and
ends with 0 when every one was acknowledged. Killed at any instant, started again on the same spool, it owes nothing.
"""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path

from sensor_node.diskspool import DiskSpool
from sensor_node.publisher import Publisher, PublisherSettings
from sensor_node.spool import SpoolCounts
from shotline.domain import ClockState
from shotline.messages import Detection, Heartbeat, Hello, LevelReference

NODE = "burst"


def detection(boot: int, sequence: int) -> Detection:
    """Return a detection; all of it follows from its identity."""
    return Detection(
        node=NODE,
        boot=boot,
        sequence=sequence,
        arrival_time_ns=1_545_180_566_000_000_000 + sequence * 1_000_000,
        arrival_sigma_ns=1_000,
        clock_state=ClockState.PPS,
        probabilities_bp=(9_000, 200, 200, 200, 200, 200),
        peak_level_db=-12.5,
        level_reference=LevelReference.DBFS,
        snr_db=22.0,
        rise_time_s=0.0005,
        model_id="impulse-rules-1",
    )


def main(endpoint: str, spool_path: str, count: int) -> int:
    """Send a burst; return the exit code."""
    boot = secrets.randbits(62)

    def hello() -> Hello:
        return Hello(
            node=NODE,
            boot=boot,
            time_ns=time.time_ns(),
            software_version="test",
            model_id="impulse-rules-1",
            sample_rate_hz=48_000,
            clock_state=ClockState.PPS,
        )

    def heartbeat(counts: SpoolCounts) -> Heartbeat:
        return Heartbeat(
            node=NODE, boot=boot, time_ns=time.time_ns(), clock_state=ClockState.PPS, unacked=counts.unacked
        )

    settings = PublisherSettings(reconnect_s=0.02, reconnect_most_s=0.1, heartbeat_s=0.5)
    with (
        DiskSpool(Path(spool_path)) as spool,
        Publisher(
            endpoint, spool=spool, hello=hello, heartbeat=heartbeat, monotonic_s=time.monotonic, settings=settings
        ) as publisher,
    ):
        for sequence in range(count):
            publisher.send(detection(boot, sequence))
            print(boot, sequence, flush=True)
            publisher.poll(1)
        drained = publisher.drain(time.monotonic() + 20.0)
        print(f"heartbeats from the server: {publisher.counters.heartbeats_received}", flush=True)
        return 0 if drained else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
