"""Noise levels of nodes: from a server's history, from tables, and noted down night by night."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from shotline.errors import InputError, StorageError
from shotline.messages import LevelReference
from shotline.timebase import format_utc, parse_utc
from shotline_calibration.microphone.nightnoise import NoiseReadings

__all__ = ["collect_noise", "noise_of", "read_history_noise", "read_noise_table", "readings_of"]

_COLUMNS = ("utc", "node", "noise_level_db")


def readings_of(rows: Iterable[tuple[str, int, float]]) -> dict[str, NoiseReadings]:
    """Return readings by node from rows of (node, UTC ns, dB)."""
    each: dict[str, list[tuple[int, float]]] = {}
    for node, time_ns, level_db in rows:
        each.setdefault(node, []).append((time_ns, level_db))
    return {
        node: NoiseReadings(
            np.array([time_ns for time_ns, _ in sorted(found)], dtype=np.int64),
            np.array([level_db for _, level_db in sorted(found)]),
        )
        for node, found in each.items()
    }


def noise_of(tables: Sequence[Path], history: str | None, since: str, until: str) -> dict[str, NoiseReadings]:
    """Return readings from tables, or of a span of a server's history.

    Raises
    ------
    InputError
        As the two; or there are no tables and no history.
    """
    if tables:
        return read_noise_table(tables)
    if history is None:
        raise InputError("no table of noise levels, and no --history to take them from", field="TABLE")
    return read_history_noise(
        history, since_ns=parse_utc(since, field="--from"), until_ns=parse_utc(until, field="--to")
    )


def read_noise_table(files: Iterable[Path]) -> dict[str, NoiseReadings]:
    """Read tables with the columns utc, node, noise_level_db.

    Heartbeats do not say whether a level is dBFS or dB SPL; the first is below 0, the second above. Of nodes that are
    calibrated and nodes that are not, the fewer are left out.

    Raises
    ------
    InputError
        One cannot be read, lacks a column, or has a value that is none.
    """
    rows: list[tuple[str, int, float]] = []
    for path in files:
        try:
            with path.open(encoding="utf-8-sig", newline="") as file:
                table = csv.DictReader(file)
                missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
                if missing:
                    raise InputError(f"has no column {', '.join(missing)}; expected {', '.join(_COLUMNS)}", source=path)
                rows += [_row(path, table.line_num, row) for row in table]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise InputError(f"cannot read the file: {error}", source=path) from error
    return _of_one_reference(readings_of(rows))


def read_history_noise(history: str, *, since_ns: int, until_ns: int) -> dict[str, NoiseReadings]:
    """Read the noise floors that detections of a server's history were held against: peak level minus SNR.

    Every detection tells one. Levels in dBFS and in dB SPL cannot be compared: the rarer of the two is left out.

    Raises
    ------
    InputError
        There is no such file, or no detection then.
    """
    from fusion_server.history import History

    if "://" not in history and not Path(history).is_file():
        raise InputError("no such file", source=history)
    by_reference: dict[LevelReference, list[tuple[str, int, float]]] = {}
    with History.open(history) as store:
        for detection in store.detections(since_ns, until_ns):
            level_db = detection.peak_level_db - detection.snr_db
            row = detection.node, detection.arrival_time_ns, level_db
            by_reference.setdefault(detection.level_reference, []).append(row)
    if not by_reference:
        raise InputError("has no detection in that time", source=history)
    most = max(by_reference, key=lambda reference: len(by_reference[reference]))
    return readings_of(by_reference[most])


def collect_noise(
    history: str,
    path: Path,
    *,
    hours: float,
    every_s: float,
    say: Callable[[str], None],
    monotonic_s: Callable[[], float] = time.monotonic,
    wait_s: Callable[[float], None] = time.sleep,
) -> int:
    """Note the noise level of every node's last heartbeat, again and again, into a new table; return how many.

    Nothing is written to the server's history: it keeps only each node's last heartbeat.

    Raises
    ------
    InputError
        There is no such history, or the table is there.
    StorageError
        It cannot be written.
    """
    from fusion_server.history import History

    if "://" not in history and not Path(history).is_file():
        raise InputError("no such file", source=history)
    begun_s, count, seen = monotonic_s(), 0, dict[str, int]()
    told_s = begun_s
    try:
        with path.open("x", encoding="utf-8", newline="") as file, History.open(history) as store:
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            while True:
                for status in store.node_statuses():
                    beat_ns, level_db = status.heartbeat_ns, status.noise_level_db
                    if beat_ns is None or level_db is None or seen.get(status.node) == beat_ns:
                        continue
                    seen[status.node] = beat_ns
                    writer.writerow([format_utc(beat_ns, digits=0), status.node, f"{level_db:.2f}"])
                    count += 1
                file.flush()
                if (spent_s := monotonic_s() - begun_s) + every_s > 3600.0 * hours:
                    return count
                if monotonic_s() - told_s >= 600.0:
                    told_s = monotonic_s()
                    say(f"{spent_s / 3600.0:.1f} of {hours:.1f} hours, {count} readings of {len(seen)} nodes")
                wait_s(every_s)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error


def _of_one_reference(readings: Mapping[str, NoiseReadings]) -> dict[str, NoiseReadings]:
    below = {node: item for node, item in readings.items() if float(np.median(item.level_db)) < 0.0}
    above = {node: item for node, item in readings.items() if node not in below}
    return max(below, above, key=len)


def _row(path: Path, line: int, row: Mapping[str, str | None]) -> tuple[str, int, float]:
    node, text = row["node"] or "", row["noise_level_db"] or ""
    try:
        level_db = float(text)
    except ValueError:
        level_db = math.nan
    if not node or not math.isfinite(level_db):
        raise InputError(f"node '{node}' with '{text}' dB; expected a node and a number", source=path, line=line)
    time_ns = parse_utc(row["utc"] or "", source=path, field="utc", line=line)
    return node, time_ns, level_db
