"""The logs of chronyd (``log tracking refclocks statistics`` in chrony.conf) as the phase of the system clock. Pure.

Columns and signs are those of chrony.conf(5), directive ``log``: in tracking.log frequency and offset are positive when
the clock is fast of UTC; in refclocks.log and statistics.log an offset is positive when it is slow.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S
from shotline_calibration.clock.phase import PhaseSeries

__all__ = ["ChronyLog", "ChronyRow", "log_kind", "parse_chrony_log", "phase_of"]


class ChronyLog(StrEnum):
    """Which log."""

    TRACKING = "tracking"
    REFCLOCKS = "refclocks"
    STATISTICS = "statistics"


_HEADERS = {
    ChronyLog.TRACKING: "Freq ppm",
    ChronyLog.REFCLOCKS: "Raw offset",
    ChronyLog.STATISTICS: "Std dev'n",
}
_LEAST_FIELDS = {ChronyLog.TRACKING: 11, ChronyLog.REFCLOCKS: 9, ChronyLog.STATISTICS: 8}


@dataclass(frozen=True, slots=True)
class ChronyRow:
    """One line.

    Parameters
    ----------
    time_ns : int
        UTC nanoseconds.
    source : str
        What the clock was compared with: an address or a ``refid``.
    phase_s : float
        Clock minus truth, as measured.
    frequency : float
        By which chronyd corrects the clock from then on, as a fraction, positive when it would be fast; NaN where the
        log does not say.
    """

    time_ns: int
    source: str
    phase_s: float
    frequency: float


def log_kind(text: str) -> ChronyLog | None:
    """Return which log a text is, by its header; None when it is none of them."""
    head = text[:20_000]
    return next((kind for kind, words in _HEADERS.items() if words in head), None)


def parse_chrony_log(text: str, *, source: object = "") -> tuple[ChronyLog, list[ChronyRow], int]:
    """Return which log it is, its lines in order, and how many say nothing of a synchronised clock.

    Raises
    ------
    InputError
        It has no header of a log that is read, or a line cannot be read.
    """
    kind = log_kind(text)
    if kind is None:
        names = ", ".join(f"{kind}.log" for kind in ChronyLog)
        raise InputError(f"has no header of {names}; give the whole file with its first lines", source=source)
    rows: list[ChronyRow] = []
    skipped = 0
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith(("=", "Date")):
            continue
        fields = line.split()
        if len(fields) < _LEAST_FIELDS[kind]:
            raise InputError(
                f"{len(fields)} columns, expected {_LEAST_FIELDS[kind]} or more", source=source, line=number
            )
        try:
            row = _row(kind, fields)
        except (ValueError, InputError) as error:
            raise InputError(f"cannot be read as a line of {kind}.log: {error}", source=source, line=number) from error
        if row is None:
            skipped += 1
        else:
            rows.append(row)
    return kind, rows, skipped


def phase_of(kind: ChronyLog, rows: Sequence[ChronyRow], *, reference: str | None = None) -> PhaseSeries:
    """Return the phase that a log tells of.

    tracking.log: of the clock as it would run uncorrected, which is how it runs in holdover, but for a constant: it
    gains what chronyd takes off (frequency times time) and what is measured on top, whatever it is measured against.
    The others: of the steered clock, against one source.

    Parameters
    ----------
    kind, rows
        As `parse_chrony_log` returns them; of several files one after another.
    reference : str | None
        Only lines with this source; None takes the most frequent. Not of tracking.log.

    Raises
    ------
    InputError
        No line has that source, there are under two, or one of several was asked for of tracking.log.
    """
    if kind is ChronyLog.TRACKING and reference is not None:
        raise InputError("tracking.log is of one clock, whatever it follows; leave it out", field="--reference")
    names = [row.source for row in rows]
    chosen = reference if reference is not None else max(sorted(set(names)), key=names.count, default="")
    wanted = rows if kind is ChronyLog.TRACKING else [row for row in rows if row.source == chosen]
    taken = sorted(wanted, key=lambda row: row.time_ns)
    used = [row for index, row in enumerate(taken) if not index or row.time_ns > taken[index - 1].time_ns]
    if len(used) < 2:
        raise InputError(f"{len(used)} lines of '{chosen}', expected two or more; there are {_counted(names)}")
    time_s = np.array([(row.time_ns - used[0].time_ns) / NS_PER_S for row in used])
    measured_s = np.array([row.phase_s for row in used])
    if kind is not ChronyLog.TRACKING:
        return PhaseSeries(time_s, measured_s, free=False, what=f"system clock against {chosen}")
    frequency = np.array([row.frequency for row in used])
    gained_s = frequency[:-1] * np.diff(time_s) + measured_s[1:]
    phase_s = np.concatenate([[0.0], np.cumsum(gained_s)])
    return PhaseSeries(time_s, phase_s, free=True, what="system clock, uncorrected")


def _row(kind: ChronyLog, fields: list[str]) -> ChronyRow | None:
    time_ns = parse_utc(f"{fields[0]}T{fields[1]}Z")
    if kind is ChronyLog.TRACKING:
        if fields[7] == "?":
            return None
        return ChronyRow(time_ns, fields[2], _finite(fields[6]), 1e-6 * _finite(fields[4]))
    if kind is ChronyLog.REFCLOCKS:
        # A line without a raw offset is the filtered sample of those before it.
        return None if fields[6] == "-" else ChronyRow(time_ns, fields[2], -_finite(fields[6]), math.nan)
    return ChronyRow(time_ns, fields[2], -_finite(fields[4]), math.nan)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is not a finite number")
    return value


def _counted(names: Iterable[str]) -> str:
    all_names = list(names)
    return ", ".join(f"{all_names.count(name)} of '{name}'" for name in sorted(set(all_names))) or "none"
