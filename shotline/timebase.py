"""UTC instants: integer nanoseconds inside, ISO 8601 text with ``Z`` outside.

A float64 epoch in seconds steps by 0.24 us and JSON numbers round nanoseconds to 256 ns, so instants cross borders
as text or as integers, never as floats. POSIX time: leap seconds are not counted.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from fractions import Fraction

from shotline.errors import InputError
from shotline.units import NS_PER_S

__all__ = ["EventClock", "format_utc", "parse_utc"]

_UTC_TEXT = re.compile(r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?(Z|[+-]\d{2}:\d{2})\Z")


def format_utc(time_ns: int, *, digits: int = 6) -> str:
    """Return ISO 8601 text such as ``2018-12-19T00:49:28.543000Z``.

    Parameters
    ----------
    time_ns : int
        UTC nanoseconds since 1970.
    digits : int
        Digits after the second, 0 to 9; the rest is rounded half up.
    """
    step = 10 ** (9 - digits)
    ticks = (time_ns + step // 2) // step
    seconds, fraction = divmod(ticks, 10**digits)
    text = datetime.fromtimestamp(seconds, tz=UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:0{digits}d}Z" if digits else f"{text}Z"


def parse_utc(text: str, *, source: object = "", field: str = "", line: int = 0) -> int:
    """Return UTC nanoseconds from ISO 8601 text, exact to the nanosecond.

    A time without ``Z`` or an offset is refused: nobody can know which clock it was read from.

    Raises
    ------
    InputError
        The text is not a complete instant, or names a day that does not exist.
    """
    match = _UTC_TEXT.match(text)
    if not match:
        raise InputError(
            f"'{text}' is not a UTC time; write it like 2018-12-19T00:49:26.000Z, with Z or an offset",
            source=source,
            field=field,
            line=line,
        )
    day, clock, fraction, zone = match.groups()
    try:
        moment = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    except ValueError as error:
        raise InputError(f"'{text}' is not a UTC time: {error}", source=source, field=field, line=line) from error
    seconds = int((moment - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds())
    return seconds * NS_PER_S + int((fraction or "0").ljust(9, "0"))


@dataclass(frozen=True, slots=True)
class EventClock:
    """Event time from wall time: the same instant when live, recorded time at any pace in a replay.

    Exact to the nanosecond: a product in float64 would step by 256 ns.

    Parameters
    ----------
    event_epoch_ns, wall_epoch_ns : int
        One instant on both clocks, UTC nanoseconds.
    factor : float
        Event seconds that pass in one wall second; more than 0, finite.
    """

    event_epoch_ns: int = 0
    wall_epoch_ns: int = 0
    factor: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise InputError(f"pace factor {self.factor:g} is not more than 0 and finite")

    def event_ns(self, wall_ns: int) -> int:
        """Return event time at an instant of wall time."""
        if self.factor == 1.0:
            # The live case, asked for every message: without the fractions, which say the same.
            return self.event_epoch_ns + wall_ns - self.wall_epoch_ns
        return self.event_epoch_ns + round((wall_ns - self.wall_epoch_ns) * Fraction(self.factor))

    def wall_ns(self, event_ns: int) -> int:
        """Return the wall time at which an instant of event time is reached."""
        return self.wall_epoch_ns + round((event_ns - self.event_epoch_ns) / Fraction(self.factor))
