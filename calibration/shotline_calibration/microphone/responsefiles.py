"""Recordings brought together, and the tables that a response is judged by."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.errors import AudioError, InputError
from shotline_calibration.microphone.response import Limit
from shotline_calibration.microphone.sound import Recording

__all__ = ["at_one_rate", "joined", "read_limits", "read_reference_response"]

Floats = NDArray[np.float64]


def at_one_rate(one: Recording, other: Recording) -> tuple[Floats, Floats, int]:
    """Return both at the lower of their rates."""
    from scipy.signal import resample_poly

    rate_hz = min(one.sample_rate_hz, other.sample_rate_hz)

    def at_rate(item: Recording) -> Floats:
        if item.sample_rate_hz == rate_hz:
            return item.samples
        common = math.gcd(rate_hz, item.sample_rate_hz)
        result: Floats = resample_poly(item.samples, rate_hz // common, item.sample_rate_hz // common)
        return result

    return at_rate(one), at_rate(other), rate_hz


def joined(recordings: Sequence[Recording]) -> tuple[Floats, int]:
    """Return recordings one after another.

    Raises
    ------
    AudioError
        There is none, or they differ in rate.
    """
    rates = {item.sample_rate_hz for item in recordings}
    if len(rates) != 1:
        raise AudioError(f"recordings of {', '.join(f'{rate} Hz' for rate in sorted(rates))}; expected one rate")
    return np.concatenate([item.samples for item in recordings]), rates.pop()


def read_limits(path: Path) -> list[Limit]:
    """Read limits: a table with lower_hz, upper_hz, low_db, high_db.

    Raises
    ------
    InputError
        It cannot be read, or a line makes no limit.
    """
    found = []
    for line, row in _numbers(path, ("lower_hz", "upper_hz", "low_db", "high_db")):
        lower_hz, upper_hz, low_db, high_db = row
        if not (0.0 < lower_hz < upper_hz and low_db <= high_db):
            raise InputError("expected lower_hz under upper_hz and low_db not over high_db", source=path, line=line)
        found.append(Limit(lower_hz, upper_hz, low_db, high_db))
    return found


def read_reference_response(path: Path) -> list[tuple[float, float]]:
    """Read the response of a reference microphone: a table with frequency_hz, response_db.

    Raises
    ------
    InputError
        It cannot be read, or a frequency is not over 0.
    """
    found = []
    for line, (frequency_hz, response_db) in _numbers(path, ("frequency_hz", "response_db")):
        if frequency_hz <= 0.0:
            raise InputError(f"{frequency_hz:g} Hz is not over 0", source=path, line=line)
        found.append((frequency_hz, response_db))
    return found


def _numbers(path: Path, columns: Sequence[str]) -> list[tuple[int, tuple[float, ...]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [name for name in columns if name not in (table.fieldnames or ())]
            if missing:
                raise InputError(f"has no column {', '.join(missing)}; expected {', '.join(columns)}", source=path)
            rows = [(table.line_num, [row[name] or "" for name in columns]) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read the file: {error}", source=path) from error
    if not rows:
        raise InputError("has no line below its names", source=path)
    found = []
    for line, texts in rows:
        try:
            values = tuple(float(text) for text in texts)
        except ValueError as error:
            raise InputError(f"{', '.join(texts)}: {error}", source=path, line=line) from error
        if not all(math.isfinite(value) for value in values):
            raise InputError(f"{', '.join(texts)}: expected finite numbers", source=path, line=line)
        found.append((line, values))
    return found
