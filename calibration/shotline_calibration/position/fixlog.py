"""Logs of fixes: what gpsd sends (JSON lines, ``gpspipe -w``) or NMEA sentences; and writing the former live."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Protocol

import msgspec

from sensor_node.gpsd import Fix, GpsdMessage, GpsdParser
from shotline.errors import InputError, StorageError
from shotline.timebase import format_utc
from shotline_calibration.position.nmea import NmeaReader

__all__ = ["FixLog", "Listener", "read_fix_logs", "record_fixes"]

_CHUNK_BYTES = 1 << 20
# As gpsd states them (95 %), so that what is read back is what was heard.
_TWO_SIDED_95 = 1.959964
_MOST_WORDS = 4


@dataclass(frozen=True, slots=True)
class FixLog:
    """The fixes of some files.

    Parameters
    ----------
    fixes : tuple of Fix
    rejected : dict of str to int
        Lines not taken, by reason.
    """

    fixes: tuple[Fix, ...]
    rejected: dict[str, int]


class Listener(Protocol):
    """What hears gpsd; `sensor_node.gpsd.GpsdClient` is one."""

    def poll(self, timeout_s: float) -> list[GpsdMessage]:
        """Return what has arrived."""
        ...


def read_fix_logs(paths: Sequence[Path]) -> FixLog:
    """Read logs, gpsd's JSON or NMEA, each file of either kind.

    Raises
    ------
    InputError
        A file cannot be read, or holds no fix at all.
    """
    fixes: list[Fix] = []
    rejected: Counter[str] = Counter()
    for path in paths:
        found, refused = _read(path)
        rejected.update(refused)
        if not found:
            said = ", ".join(f"{count} {reason}" for reason, count in refused.most_common(_MOST_WORDS)) or "no sentence"
            raise InputError(
                f"holds no fix ({said}); expected lines of `gpspipe -w` (TPV), or NMEA with GGA and RMC", source=path
            )
        fixes += found
    return FixLog(tuple(fixes), dict(rejected))


def record_fixes(
    listener: Listener,
    path: Path,
    *,
    minutes: float,
    say: Callable[[str], None],
    monotonic_s: Callable[[], float] = time.monotonic,
) -> int:
    """Write the fixes that gpsd sends for some time to a new file, as gpsd writes them, and return how many.

    Parameters
    ----------
    listener : Listener
    path : Path
        Must not be there.
    minutes : float
    say : callable
        Told how it goes, once in five minutes.
    monotonic_s : callable
        The clock.

    Raises
    ------
    InputError
        The file is there.
    StorageError
        It cannot be written.
    """
    begun_s = told_s = monotonic_s()
    count = 0
    try:
        with path.open("xb") as file:
            while (now_s := monotonic_s()) < begun_s + 60.0 * minutes:
                for message in listener.poll(1.0):
                    if isinstance(message, Fix) and message.lat_deg is not None:
                        file.write(_tpv(message))
                        count += 1
                if now_s - told_s >= 300.0:
                    told_s = now_s
                    file.flush()
                    say(f"{(now_s - begun_s) / 60.0:.0f} of {minutes:.0f} minutes, {count} fixes")
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
    return count


def _read(path: Path) -> tuple[list[Fix], Counter[str]]:
    try:
        with path.open("rb") as file:
            start = file.read(_CHUNK_BYTES)
            file.seek(0)
            return _read_gpsd(file) if start.lstrip()[:1] == b"{" else _read_nmea(file)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror or error}", source=path) from error


def _read_gpsd(file: BinaryIO) -> tuple[list[Fix], Counter[str]]:
    parser = GpsdParser()
    fixes = [
        message
        for data in chain(_chunks(file), (b"\n",))
        for message in parser.feed(data)
        if isinstance(message, Fix) and message.lat_deg is not None
    ]
    return fixes, Counter({reason.value: count for reason, count in parser.counts.rejected.items()})


def _read_nmea(file: BinaryIO) -> tuple[list[Fix], Counter[str]]:
    reader = NmeaReader()
    fixes = [fix for line in file if (fix := reader.read(line.decode("ascii", "replace"))) is not None]
    return fixes, reader.rejected


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(_CHUNK_BYTES):
        yield data


def _tpv(fix: Fix) -> bytes:
    stated = {"epx": fix.sigma_east_m, "epy": fix.sigma_north_m, "epv": fix.sigma_up_m}
    fields: dict[str, object] = {
        "class": "TPV",
        "device": fix.device,
        "mode": fix.mode,
        "time": None if fix.time_ns is None else format_utc(fix.time_ns, digits=9),
        "lat": fix.lat_deg,
        "lon": fix.lon_deg,
        "altHAE": fix.height_m,
        **{name: None if sigma_m is None else sigma_m * _TWO_SIDED_95 for name, sigma_m in stated.items()},
    }
    return msgspec.json.encode({name: value for name, value in fields.items() if value is not None}) + b"\n"
