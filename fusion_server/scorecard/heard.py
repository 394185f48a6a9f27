"""In which minutes the server ran and heard which node: an hour of a node is 60 bits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shotline.units import NS_PER_S

__all__ = ["HOUR_NS", "SERVER", "Heard", "HeardHour", "HeardMinutes"]

MINUTE_NS = 60 * NS_PER_S
HOUR_NS = 60 * MINUTE_NS
SERVER = ""
"""Stands for the server itself; no node has this name."""
_MINUTES = 60
_MOST_HOURS = 48


@dataclass(frozen=True, slots=True)
class HeardHour:
    """The minutes of one hour in which a node was heard.

    Parameters
    ----------
    hour_ns : int
        When the hour began, UTC nanoseconds.
    node : str
        `SERVER` for the minutes in which the server ran.
    minutes : int
        Bit k is minute k.
    """

    hour_ns: int
    node: str
    minutes: int


class HeardMinutes:
    """What the running server notes, until it is kept. Of what cannot be kept only the last two days wait."""

    def __init__(self) -> None:
        self._hours: dict[int, dict[str, int]] = {}
        self._minute: int | None = None

    def begins_minute(self, now_ns: int) -> bool:
        """Say whether this is the first look in its minute."""
        minute, self._minute = self._minute, now_ns // MINUTE_NS
        return minute != self._minute

    def note(self, nodes: Iterable[str], *, now_ns: int) -> None:
        """Note that the server runs and has just heard nodes."""
        hour_ns = now_ns - now_ns % HOUR_NS
        bit = 1 << (now_ns - hour_ns) // MINUTE_NS
        hour = self._hours.setdefault(hour_ns, {})
        for node in (SERVER, *nodes):
            hour[node] = hour.get(node, 0) | bit

    def take(self, *, ended_by_ns: int | None) -> list[HeardHour]:
        """Return and forget the hours that ended by an instant; all that is there for None."""
        ended = [hour_ns for hour_ns in self._hours if ended_by_ns is None or hour_ns + HOUR_NS <= ended_by_ns]
        return [
            HeardHour(hour_ns, node, minutes)
            for hour_ns in sorted(ended)
            for node, minutes in sorted(self._hours.pop(hour_ns).items())
        ]

    def put_back(self, rows: Iterable[HeardHour]) -> None:
        """Take back what could not be kept."""
        for row in rows:
            hour = self._hours.setdefault(row.hour_ns, {})
            hour[row.node] = hour.get(row.node, 0) | row.minutes
        for hour_ns in sorted(self._hours)[:-_MOST_HOURS]:
            del self._hours[hour_ns]


class Heard:
    """What was heard in a period. A node is heard only while the server runs.

    Parameters
    ----------
    rows : iterable of HeardHour
        In any order; rows of the same hour and node are put together.
    since_ns, until_ns : int
        What lies before, or from ``until_ns`` on, is left out; a minute belongs to its begin.
    """

    def __init__(self, rows: Iterable[HeardHour], *, since_ns: int, until_ns: int) -> None:
        hours: dict[int, dict[str, int]] = {}
        for row in rows:
            first = max(0, -(-(since_ns - row.hour_ns) // MINUTE_NS))
            end = min(_MINUTES, -(-(until_ns - row.hour_ns) // MINUTE_NS))
            minutes = row.minutes & ((1 << max(0, end)) - 1) & ~((1 << first) - 1)
            if minutes:
                hour = hours.setdefault(row.hour_ns, {})
                hour[row.node] = hour.get(row.node, 0) | minutes
        self._hours: Mapping[int, Mapping[str, int]] = {
            hour_ns: {node: minutes & hour[SERVER] for node, minutes in hour.items()}
            for hour_ns, hour in sorted(hours.items())
            if SERVER in hour
        }

    @property
    def server_hours(self) -> float:
        """How long the server ran."""
        return sum(hour[SERVER].bit_count() for hour in self._hours.values()) / _MINUTES

    def node_hours(self) -> dict[str, float]:
        """Return how long each node was heard, of those that ever were."""
        minutes: dict[str, int] = {}
        for hour in self._hours.values():
            for node, mask in hour.items():
                if node != SERVER:
                    minutes[node] = minutes.get(node, 0) + mask.bit_count()
        return {node: count / _MINUTES for node, count in sorted(minutes.items())}

    def listening(self, time_ns: int) -> frozenset[str] | None:
        """Return the nodes heard in the minute of an instant; None when the server did not run, or nothing is known."""
        hour_ns = time_ns - time_ns % HOUR_NS
        hour = self._hours.get(hour_ns, {})
        return _at(hour, (time_ns - hour_ns) // MINUTE_NS)

    def runs(self) -> Iterator[tuple[frozenset[str], int]]:
        """Yield which nodes were heard, and for how many minutes on end, in order; only while the server ran."""
        for hour in self._hours.values():
            changes = 1
            for mask in hour.values():
                changes |= mask ^ (mask << 1)
            starts = [minute for minute in range(_MINUTES) if changes >> minute & 1]
            for start, end in zip(starts, [*starts[1:], _MINUTES], strict=True):
                if (nodes := _at(hour, start)) is not None:
                    yield nodes, end - start


def _at(hour: Mapping[str, int], minute: int) -> frozenset[str] | None:
    if not hour.get(SERVER, 0) >> minute & 1:
        return None
    return frozenset(node for node, mask in hour.items() if mask >> minute & 1 and node != SERVER)
