"""Rows of a CSV file with a line of names, each with where it stands."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds

__all__ = ["Row", "read_rows"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row, by names of columns."""

    values: Mapping[str, str]
    source: Path
    line: int

    def has(self, column: str) -> bool:
        """Return whether there is something in a column."""
        return bool(self.values.get(column))

    def wrong(self, column: str, message: str) -> InputError:
        """Return the error that names file, line and column."""
        return InputError(message, source=self.source, field=column, line=self.line)

    def text(self, column: str) -> str:
        """Return what is in a column; "" where there is nothing."""
        return self.values.get(column, "")

    def number(self, column: str, *, least: float = -math.inf) -> float:
        """Return a finite number that is not under ``least``.

        Raises
        ------
        InputError
        """
        try:
            value = float(self.text(column))
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise self.wrong(column, f"'{self.text(column)}' is not a number")
        if value < least:
            raise self.wrong(column, f"{value:g} is under {least:g}")
        return value

    def time_ns(self) -> int:
        """Return UTC nanoseconds of ``time_utc``, ``time_ns`` or ``time_s``.

        Raises
        ------
        InputError
            There is not exactly one of them, or it is none.
        """
        there = [column for column in ("time_utc", "time_ns", "time_s") if self.has(column)]
        if len(there) != 1:
            seen = ", ".join(there) or "none"
            raise self.wrong("time_utc", f"expected one of time_utc, time_ns and time_s; saw {seen}")
        if there[0] == "time_utc":
            return parse_utc(self.text("time_utc"), source=self.source, field="time_utc", line=self.line)
        if there[0] == "time_s":
            return ns_from_seconds(self.number("time_s"))
        try:
            return int(self.text("time_ns"))
        except ValueError as error:
            raise self.wrong("time_ns", f"'{self.text('time_ns')}' is no whole number of nanoseconds") from error


def read_rows(path: Path, *, known: Collection[str], needed: Collection[str]) -> list[Row]:
    """Return the rows of a file; lines that begin with # and empty ones are left out.

    Raises
    ------
    InputError
        It cannot be read, has an unknown column, lacks a needed one, or has no rows.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=path) from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")]
    if len(numbered) < 2:
        raise InputError("expected a line of names and a row to a line; saw no row", source=path)
    names = [name.strip() for name in next(csv.reader([numbered[0][1]]))]
    if unknown := [name for name in names if name not in known]:
        raise InputError(
            f"unknown column '{unknown[0]}'; known are {', '.join(known)}", source=path, line=numbered[0][0]
        )
    if missing := [name for name in needed if name not in names]:
        raise InputError(f"has no column {', '.join(missing)}", source=path, line=numbered[0][0])
    rows = []
    for number, line in numbered[1:]:
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if len(cells) != len(names):
            raise InputError(f"{len(cells)} columns, the first line has {len(names)}", source=path, line=number)
        rows.append(Row(dict(zip(names, cells, strict=True)), path, number))
    return rows
