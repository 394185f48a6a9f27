"""What the server counts, for monitoring. Pure: numbers go in, a picture of them comes out."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shotline.records import IncidentRecord
from shotline.timebase import parse_utc
from shotline.units import seconds_from_ns

__all__ = ["LATENCY_BOUNDS_S", "LatencyHistogram", "MetricsSnapshot", "SinkNumbers", "alert_latency_s"]

LATENCY_BOUNDS_S = (0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0)
"""Upper bounds of the classes of the histogram; a last class has no bound."""


class LatencyHistogram:
    """Counts latencies in classes. One thread observes, any may look."""

    def __init__(self) -> None:
        self._counts = [0] * (len(LATENCY_BOUNDS_S) + 1)
        self._sum_s = 0.0

    def observe(self, latency_s: float) -> None:
        """Count one latency; a bound belongs to the class below it."""
        self._counts[bisect_left(LATENCY_BOUNDS_S, latency_s)] += 1
        self._sum_s += latency_s

    @property
    def counts(self) -> tuple[int, ...]:
        """Latencies in each class, those beyond the last bound at the end."""
        return tuple(self._counts)

    @property
    def sum_s(self) -> float:
        """All latencies together."""
        return self._sum_s


@dataclass(frozen=True, slots=True)
class SinkNumbers:
    """How a sink does since start; see `fusion_server.dispatch.SinkStatus`."""

    name: str
    waiting: int
    delivered: int
    gave_up: int
    failures_in_a_row: int


@dataclass(frozen=True, slots=True)
class MetricsSnapshot:
    """Everything that is counted, at one moment. Counts are since the start of the server.

    Parameters
    ----------
    version : str
        Of the software.
    messages, detections, duplicates : int
        Messages of any kind; detections that were new; detections that were known already.
    rejects : mapping
        Reason to messages.
    unused : mapping
        Disposition to detections that are kept and not used.
    revisions : mapping
        State to revisions published.
    incidents : mapping
        State to incidents, of those that the server remembers.
    held_back : int
        Located incidents that were not told, since gunfire is too unlikely.
    sinks : sequence of SinkNumbers
    latency_counts, latency_sum_s
        See `LatencyHistogram`.
    surveyed : int
        Nodes that have a site.
    silent : int
        Those of them not heard lately.
    connections : int
        That spoke lately.
    last_heard_ns : mapping
        Node to wall time, UTC nanoseconds.
    unacked : mapping
        Node to detections that it still owes, as it last said.
    fusion_lag_s : float
        How far fusion is behind the present in event time; it waits on purpose for nodes that date late.
    fusion_failures : int
    loop_age_s : float | None
        Since the main loop last came round; None before it ran.
    checks : mapping
        Name of a check to ``ok``, ``warn`` or ``fail``.
    """

    version: str
    messages: int
    detections: int
    duplicates: int
    rejects: Mapping[str, int]
    unused: Mapping[str, int]
    revisions: Mapping[str, int]
    incidents: Mapping[str, int]
    held_back: int
    sinks: Sequence[SinkNumbers]
    latency_counts: Sequence[int]
    latency_sum_s: float
    surveyed: int
    silent: int
    connections: int
    last_heard_ns: Mapping[str, int]
    unacked: Mapping[str, int]
    fusion_lag_s: float
    fusion_failures: int
    loop_age_s: float | None
    checks: Mapping[str, str]


def alert_latency_s(record: IncidentRecord, *, event_ns: int) -> float | None:
    """Return how long after the last arrival that it rests on an incident is published; None if it names none.

    A node whose clock is ahead may date its arrival later than that: then it is 0.
    """
    used = [parse_utc(arrival.time_utc) for shot in record.shots for arrival in shot.arrivals if arrival.used]
    return max(0.0, seconds_from_ns(event_ns - max(used))) if used else None
