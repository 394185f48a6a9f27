"""A table of arrival times, as people write one: CSV or JSON, metres or degrees, UTC or seconds."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shotline.domain import Arrival, DetectionId, Site
from shotline.errors import InputError
from shotline.geodesy import LocalFrame
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds

__all__ = ["COLUMNS", "ArrivalTable", "read_arrivals"]

_SIGMA_S = 0.001
_SNR_DB = 20.0
_METRES, _DEGREES = ("x_m", "y_m"), ("lat_deg", "lon_deg")
_OPTIONAL = ("z_m", "sigma_s", "snr_db", "level_db", "shot")

COLUMNS = ("node", *_METRES, *_DEGREES, "time_utc", "time_s", *_OPTIONAL)
"""Every column that a table may have."""


@dataclass(frozen=True, slots=True)
class ArrivalTable:
    """Arrivals as read: in the local frame, with the frame when the table was in degrees.

    Parameters
    ----------
    shots : mapping of str to tuple of Arrival
        By the name in the column ``shot``, in the order of the table; one shot, named "", when there is no such column.
    frame : LocalFrame | None
    clock_text : bool
        Whether the times were UTC; otherwise they are seconds since some instant.
    """

    shots: Mapping[str, tuple[Arrival, ...]]
    frame: LocalFrame | None
    clock_text: bool

    @property
    def arrivals(self) -> tuple[Arrival, ...]:
        """Arrivals of every shot."""
        return tuple(arrival for arrivals in self.shots.values() for arrival in arrivals)


def read_arrivals(path: Path) -> ArrivalTable:
    """Read a table of arrivals.

    Raises
    ------
    InputError
        Names file, line and column of what cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}); save it as UTF-8", source=path) from error
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    if not rows:
        raise InputError("no arrivals; expected one row per node", source=path)
    for row in rows:
        row.check()
    for column, what in (
        ("lat_deg", "positions of two kinds"),
        ("time_utc", "times of two kinds"),
        ("shot", "not every row has a shot"),
    ):
        other = next((row for row in rows if row.has(column) != rows[0].has(column)), None)
        if other is not None:
            raise other.wrong(column, f"{what}; give all rows the same columns")
    in_degrees, clock_text = rows[0].has("lat_deg"), rows[0].has("time_utc")
    frame = _frame_of(rows) if in_degrees else None
    shots: dict[str, list[Arrival]] = {}
    for number, row in enumerate(rows):
        shots.setdefault(row.text("shot"), []).append(row.arrival(number, frame))
    return ArrivalTable({name: tuple(arrivals) for name, arrivals in shots.items()}, frame, clock_text)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row, and where it stands."""

    values: Mapping[str, Any]
    source: Path
    line: int
    at: str = ""

    def has(self, column: str) -> bool:
        return self.values.get(column) not in (None, "")

    def text(self, column: str) -> str:
        return str(self.values[column]) if self.has(column) else ""

    def wrong(self, column: str, message: str) -> InputError:
        return InputError(message, source=self.source, field=f"{self.at}{column}", line=self.line)

    def check(self) -> None:
        if unknown := sorted(set(self.values) - set(COLUMNS)):
            raise self.wrong(unknown[0], f"unknown column; known are {', '.join(COLUMNS)}")
        if not self.has("node"):
            raise self.wrong("node", "missing; give the node a name")
        metres, degrees = (all(self.has(column) for column in kind) for kind in (_METRES, _DEGREES))
        if metres == degrees:
            seen = ", ".join(column for column in (*_METRES, *_DEGREES) if self.has(column)) or "neither"
            raise self.wrong("x_m", f"expected x_m and y_m, or lat_deg and lon_deg; saw {seen}")
        if self.has("time_utc") == self.has("time_s"):
            seen = "both" if self.has("time_s") else "neither"
            raise self.wrong("time_utc", f"expected either time_utc or time_s; saw {seen}")

    def number(self, column: str) -> float:
        value = self.values[column]
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(column, f"'{value}' is not a number")
        return number

    def time_ns(self) -> int:
        if self.has("time_s"):
            return ns_from_seconds(self.number("time_s"))
        return parse_utc(self.text("time_utc"), source=self.source, field=f"{self.at}time_utc", line=self.line)

    def arrival(self, number: int, frame: LocalFrame | None) -> Arrival:
        node = self.text("node")
        sigma_s = self.number("sigma_s") if self.has("sigma_s") else _SIGMA_S
        if sigma_s < 0:
            raise self.wrong("sigma_s", f"{sigma_s:g} is negative; a standard deviation is 0 or more")
        z_m = self.number("z_m") if self.has("z_m") else 0.0
        if frame is None:
            x_m, y_m = self.number("x_m"), self.number("y_m")
        else:
            x_m, y_m, _ = self.degrees_in(frame)
        return Arrival(
            DetectionId(node, 0, number),
            Site(node, x_m, y_m, z_m),
            self.time_ns(),
            sigma_s,
            snr_db=self.number("snr_db") if self.has("snr_db") else _SNR_DB,
            # The locator compares levels; one that is not known must not look like one that is low.
            level_db=self.number("level_db") if self.has("level_db") else math.nan,
        )

    def degrees_in(self, frame: LocalFrame) -> tuple[float, float, float]:
        try:
            return frame.to_enu_m(self.number("lat_deg"), self.number("lon_deg"))
        except InputError as error:
            if error.problems[0].source:
                raise
            raise self.wrong("lat_deg", error.problems[0].message) from error


def _csv_rows(text: str, path: Path) -> list[_Row]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    rows = []
    try:
        for values in reader:
            if None in values or None in values.values():
                raise InputError(
                    f"expected {len(reader.fieldnames or ())} columns as in the first line, saw another number",
                    source=path,
                    line=reader.line_num,
                )
            rows.append(_Row({key.strip(): value.strip() for key, value in values.items()}, path, reader.line_num))
    except csv.Error as error:
        raise InputError(f"not a CSV table: {error}", source=path, line=reader.line_num) from error
    return rows


def _json_rows(text: str, path: Path) -> list[_Row]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", source=path, line=error.lineno) from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise InputError("expected a list of objects, one per node", source=path)
    return [_Row(item, path, 0, f"[{number}].") for number, item in enumerate(content)]


def _frame_of(rows: Sequence[_Row]) -> LocalFrame:
    """Return a frame about the middle of the nodes; longitudes count from the first, so the date line is no edge."""
    first_deg = rows[0].number("lon_deg")
    lon_deg = [(row.number("lon_deg") - first_deg + 180.0) % 360.0 - 180.0 for row in rows]
    middle_deg = (first_deg + sum(lon_deg) / len(rows) + 180.0) % 360.0 - 180.0
    lat_deg = sum(row.number("lat_deg") for row in rows) / len(rows)
    try:
        return LocalFrame(lat_deg, middle_deg)
    except InputError as error:
        raise rows[0].wrong("lat_deg", error.problems[0].message) from error
