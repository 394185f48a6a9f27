"""What a server that starts must think through again to be where it was when it ended, and no more than that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fusion_server.engine import FusionSettings
from fusion_server.history import History
from shotline.domain import DetectionId, Incident
from shotline.messages import Detection
from shotline.records import IncidentRecord
from shotline.timebase import EventClock
from shotline.units import NS_PER_S, ns_from_seconds

__all__ = ["Resumption", "Seen", "resumption"]

_ROUNDS_NS = 120 * NS_PER_S
"""Of an incident that goes on, rounds are remembered for this long."""
_STALE_NS = 900 * NS_PER_S
"""Who was away for longer does not alert any more to what came just before."""
_MOST_INCIDENTS = 10_000


class Seen(NamedTuple):
    """A detection, and the event time at which it came."""

    came_ns: int
    detection: Detection


@dataclass(frozen=True, slots=True)
class Resumption:
    """What to think through again.

    Parameters
    ----------
    seen : tuple of Seen
        In the order in which they came.
    known : tuple of IncidentRecord
        What was told, newest first.
    since_ns : int
        From here on everything that was used is there.
    closed_before_ns : int
        Of a shot fired earlier, everything was told before the server ended.
    """

    seen: tuple[Seen, ...]
    known: tuple[IncidentRecord, ...]
    since_ns: int
    closed_before_ns: int

    def is_open(self, incident: Incident) -> bool:
        """Say whether there may be news of an incident that the server did not tell before it ended."""
        return any(shot.location.origin_time_ns >= self.closed_before_ns for shot in incident.shots)


def resumption(history: History, settings: FusionSettings, clock: EventClock, *, now_ns: int) -> Resumption:
    """Return what a server must think through again.

    That is every detection that could still be part of a shot when the server ended, with what came around it; and of
    older ones those alone that told incidents rest on, so that further rounds find them. What was noted as not used
    is left out: after a flood that is nearly everything.

    Parameters
    ----------
    history : History
    settings : FusionSettings
    clock : EventClock
    now_ns : int
        Event time.
    """
    ended_ns = _ended_ns(history.newest_arrival_ns(now_ns), settings, now_ns=now_ns)
    horizon_ns = ns_from_seconds(settings.horizon_s)
    all_since_ns = ended_ns - 2 * horizon_ns - ns_from_seconds(settings.context_s)
    known = history.incidents(limit=_MOST_INCIDENTS, since_ns=ended_ns - 2 * _ROUNDS_NS)
    rest_on = {
        DetectionId.parse(arrival.detection) for record in known for shot in record.shots for arrival in shot.arrivals
    }
    seen = [
        Seen(detection.arrival_time_ns, detection)
        for detection in history.detections_of(rest_on)
        if ended_ns - _ROUNDS_NS <= detection.arrival_time_ns < all_since_ns
    ]
    seen += [
        Seen(min(now_ns, clock.event_ns(item.received_ns)), item.detection)
        for item in history.stored(all_since_ns, used_only=True)
    ]
    seen.sort(key=lambda item: item.came_ns)
    return Resumption(tuple(seen), tuple(known), all_since_ns, ended_ns - horizon_ns)


def _ended_ns(newest_ns: int | None, settings: FusionSettings, *, now_ns: int) -> int:
    """Return until when the server may have thought, at the latest: what it heard last is not stale yet, or now."""
    if newest_ns is None or now_ns - newest_ns >= _STALE_NS:
        return now_ns
    return min(now_ns, newest_ns + ns_from_seconds(settings.lateness_s))
