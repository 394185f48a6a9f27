"""One process in place of many nodes: sends recorded detections as their time comes, through the node's own publisher.

Started by `shotline_replay.session`; not for people. Every node has its connection, hello, heartbeats and
acknowledgements as it would from a board of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import zmq

from sensor_node.app import stop_on_signals
from sensor_node.publisher import Publisher
from sensor_node.spool import MemorySpool, SpoolCounts
from shotline import __version__
from shotline.domain import ClockState
from shotline.messages import Detection, Heartbeat, Hello, decode, iter_frames
from shotline.timebase import EventClock, parse_utc
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["main", "publish"]

_IDLE_MS = 5
_PATIENCE_S = 30.0


class _Node:
    """The publisher of one node, and what it says of itself."""

    def __init__(
        self, first: Detection, endpoint: str, *, event_ns: Callable[[], int], context: zmq.Context[zmq.Socket[bytes]]
    ) -> None:
        self._last = first
        self._event_ns = event_ns
        self.publisher = Publisher(
            endpoint,
            spool=MemorySpool(),
            hello=self._hello,
            heartbeat=self._heartbeat,
            monotonic_s=time.monotonic,
            context=context,
        )

    def send(self, detection: Detection) -> None:
        self._last = detection
        self.publisher.send(detection)

    def _hello(self) -> Hello:
        return Hello(
            node=self._last.node,
            boot=self._last.boot,
            time_ns=self._event_ns(),
            software_version=__version__,
            model_id=self._last.model_id,
            sample_rate_hz=1,
            clock_state=self._last.clock_state,
        )

    def _heartbeat(self, counts: SpoolCounts) -> Heartbeat:
        return Heartbeat(
            node=self._last.node,
            boot=self._last.boot,
            time_ns=self._event_ns(),
            clock_state=ClockState(self._last.clock_state),
            clock_sigma_ns=self._last.arrival_sigma_ns,
            next_sequence=self._last.sequence,
            unacked=counts.unacked,
        )


def publish(detections: Sequence[Detection], endpoint: str, *, clock: EventClock, stopping: Callable[[], bool]) -> int:
    """Send detections as event time reaches them; return how many the server has not acknowledged.

    Parameters
    ----------
    detections : sequence of Detection
    endpoint : str
    clock : EventClock
    stopping : callable () -> bool
        True to give up.
    """
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    nodes: dict[str, _Node] = {}

    def event_ns() -> int:
        return max(0, clock.event_ns(time.time_ns()))

    try:
        ordered = sorted(detections, key=lambda item: (item.arrival_time_ns, item.uid))
        for item in ordered:
            if item.node not in nodes:
                nodes[item.node] = _Node(item, endpoint, event_ns=event_ns, context=context)
        publishers = [node.publisher for node in nodes.values()]
        for item in ordered:
            due_ns = clock.wall_ns(item.arrival_time_ns)
            while (left_ns := due_ns - time.time_ns()) > 0 and not stopping():
                _serve(publishers, min(_IDLE_MS, left_ns // NS_PER_MS))
                time.sleep(min(max(0, due_ns - time.time_ns()), NS_PER_MS) / NS_PER_S)
            if stopping():
                break
            nodes[item.node].send(item)
        give_up_s = time.monotonic() + _PATIENCE_S
        while any(item.unacked for item in publishers) and time.monotonic() < give_up_s and not stopping():
            _serve(publishers, _IDLE_MS)
        return sum(item.unacked for item in publishers)
    finally:
        for node in nodes.values():
            node.publisher.close()
        context.term()


def _serve(publishers: Sequence[Publisher], wait_ms: int) -> None:
    """Look at every connection; wait on the first only."""
    for number, publisher in enumerate(publishers):
        publisher.poll(0 if number else wait_ms)


def main(arguments: Sequence[str]) -> int:
    """Run with FILE ENDPOINT EVENT_UTC WALL_UTC FACTOR."""
    file, endpoint, event_utc, wall_utc, factor = arguments
    detections = [
        message for message in map(decode, iter_frames(Path(file).read_bytes())) if isinstance(message, Detection)
    ]
    clock = EventClock(parse_utc(event_utc), parse_utc(wall_utc), float(factor))
    with stop_on_signals() as stopping:
        unacked = publish(detections, endpoint, clock=clock, stopping=stopping)
    sys.stdout.write(json.dumps({"detections": len(detections), "unacked": unacked}) + "\n")
    return 1 if unacked else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
