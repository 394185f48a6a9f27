"""Fixes out of NMEA 0183 sentences, as receivers log them: GGA for the place, RMC or ZDA for the day. Pure."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

from sensor_node.gpsd import Fix
from shotline.units import NS_PER_S

__all__ = ["NmeaReader"]

_SENTENCE = re.compile(r"\$([A-Z]{2})(GGA|RMC|ZDA),([^*]*)\*([0-9A-Fa-f]{2})\s*\Z")
_CLOCK = re.compile(r"(\d\d)(\d\d)(\d\d)(?:\.(\d{1,9}))?\Z")
_ANGLE = re.compile(r"(\d{2,3})(\d\d(?:\.\d+)?)\Z")
_HALF_DAY_NS = 43_200 * NS_PER_S
_MEASURED = frozenset("12345")
"""Quality of a GGA that was measured: 6 is dead reckoning, 7 and 8 are made by hand."""


class NmeaReader:
    """Takes lines and gives fixes. Whatever comes, nothing is raised; what is not taken is counted with its reason.

    A GGA has no day: that of the last RMC or ZDA is taken, and the next at midnight. Its height is above the geoid;
    above the ellipsoid it is that plus the separation in the same sentence, and without one the fix is not taken.
    """

    def __init__(self) -> None:
        self._day_ns: int | None = None
        self._before_ns: int | None = None
        self.rejected: Counter[str] = Counter()

    def read(self, line: str) -> Fix | None:
        """Return the fix of a line; None for any other line."""
        found = _SENTENCE.match(line.strip())
        if found is None:
            if line.startswith("$") and line[3:6] in ("GGA", "RMC", "ZDA"):
                self.rejected["cut off or garbled"] += 1
            return None
        talker, kind, body, checksum = found.groups()
        if _checksum(f"{talker}{kind},{body}") != int(checksum, 16):
            self.rejected["wrong checksum"] += 1
            return None
        fields = body.split(",")
        if kind == "GGA":
            return self._gga(fields)
        day_ns = _rmc_day(fields) if kind == "RMC" else _zda_day(fields)
        if day_ns is not None:
            self._day_ns = day_ns
            clock_ns = _clock_ns(fields[0])
            self._before_ns = None if clock_ns is None else day_ns + clock_ns
        return None

    def _gga(self, fields: list[str]) -> Fix | None:
        found = self._fix_of(fields)
        if isinstance(found, str):
            self.rejected[found] += 1
            return None
        return found

    def _fix_of(self, fields: list[str]) -> Fix | str:
        """Return the fix, or why there is none."""
        clock_ns = _clock_ns(fields[0])
        if clock_ns is None or len(fields) < 11:
            return "no time"
        if self._day_ns is None:
            return "no day yet: no RMC or ZDA before it"
        if fields[5] not in _MEASURED:
            return "no fix" if fields[5] == "0" else "not measured: estimated or made by hand"
        lat_deg, lon_deg = _degrees(fields[1], fields[2], "NS"), _degrees(fields[3], fields[4], "EW")
        height_m = _sum_of(fields[8], fields[10])
        if lat_deg is None or lon_deg is None or abs(lat_deg) > 90.0 or abs(lon_deg) > 180.0:
            return "no position"
        if height_m is None:
            return "no height above the ellipsoid: the separation of the geoid is missing"
        time_ns = self._day_ns + clock_ns
        if self._before_ns is not None and time_ns < self._before_ns - _HALF_DAY_NS:
            self._day_ns += 2 * _HALF_DAY_NS
            time_ns += 2 * _HALF_DAY_NS
        self._before_ns = time_ns
        return Fix(time_ns, 3, lat_deg, lon_deg, height_m)


def _checksum(text: str) -> int:
    value = 0
    for byte in text.encode("ascii", "replace"):
        value ^= byte
    return value


def _clock_ns(text: str) -> int | None:
    found = _CLOCK.match(text)
    if found is None:
        return None
    hour, minute, second, fraction = found.groups()
    whole_s = int(hour) * 3600 + int(minute) * 60 + int(second)
    return whole_s * NS_PER_S + int((fraction or "0").ljust(9, "0"))


def _rmc_day(fields: list[str]) -> int | None:
    if len(fields) < 9 or not re.fullmatch(r"\d{6}", fields[8]):
        return None
    return _day_ns(2000 + int(fields[8][4:]), int(fields[8][2:4]), int(fields[8][:2]))


def _zda_day(fields: list[str]) -> int | None:
    if len(fields) < 4 or not all(re.fullmatch(r"\d{2}|\d{4}", field) for field in fields[1:4]):
        return None
    return _day_ns(int(fields[3]), int(fields[2]), int(fields[1]))


def _day_ns(year: int, month: int, day: int) -> int | None:
    try:
        return int(datetime(year, month, day, tzinfo=UTC).timestamp()) * NS_PER_S
    except ValueError:
        return None


def _degrees(text: str, side: str, sides: str) -> float | None:
    found = _ANGLE.match(text)
    if found is None or side not in tuple(sides):
        return None
    degrees = int(found[1]) + float(found[2]) / 60.0
    return degrees if side == sides[0] else -degrees


def _sum_of(*texts: str) -> float | None:
    try:
        return sum(float(text) for text in texts)
    except ValueError:
        return None
