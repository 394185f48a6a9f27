"""What the board says of itself: processor, memory, temperature, supply, disk. What cannot be read is unknown, None.

Formats: proc(5); thermal zones and hwmon as in the kernel's ``sysfs-class-thermal`` and ``sysfs-class-hwmon``; the
Raspberry Pi's ``get_throttled`` as its firmware documents it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["BoardFacts", "DiskSpace", "disk_space", "read_board"]

_UNDERVOLTAGE, _THROTTLED = 1 << 0, 1 << 2
_SINCE_BOOT = 16
"""Bits of ``get_throttled``; so much higher stands what has happened since the board was switched on."""
_RSS_FIELD = 23
_UTIME_FIELD, _STIME_FIELD = 13, 14
"""Of /proc/self/stat, zero-based; proc(5) counts from one."""
_LEAST_C, _MOST_C = -60.0, 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardFacts:
    """What could be read.

    Parameters
    ----------
    model : str
        Such as ``Raspberry Pi 4 Model B Rev 1.4``; "" when the board does not say.
    cores : int | None
    cpu_time_s : float | None
        Processor time of this process since it began, its threads together.
    load_1min : float | None
        Processes that ran or waited to, of all on the board.
    rss_bytes : int | None
        Memory of this process.
    memory_bytes, available_bytes : int | None
        Of the board: in all, and to be had without swapping.
    temperature_c : float | None
        Of the hottest zone.
    undervoltage : bool | None
        The supply is too weak now.
    undervoltage_since_boot : bool | None
        It was, at some time.
    throttled : bool | None
        The processor is slowed down now.
    """

    model: str = ""
    cores: int | None = None
    cpu_time_s: float | None = None
    load_1min: float | None = None
    rss_bytes: int | None = None
    memory_bytes: int | None = None
    available_bytes: int | None = None
    temperature_c: float | None = None
    undervoltage: bool | None = None
    undervoltage_since_boot: bool | None = None
    throttled: bool | None = None


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """Of the file system that holds a folder; free is what this user may use."""

    folder: Path
    free_bytes: int
    total_bytes: int


def read_board(
    root: Path = Path("/"), *, ticks_per_s: int | None = None, page_bytes: int | None = None, cores: int | None = None
) -> BoardFacts:
    """Read everything.

    Parameters
    ----------
    root : Path
        What stands for ``/``.
    ticks_per_s, page_bytes, cores : int | None
        None is what the system says.
    """
    cpu_time_s, rss_bytes = _own(
        root, ticks_per_s or os.sysconf("SC_CLK_TCK"), page_bytes or os.sysconf("SC_PAGE_SIZE")
    )
    memory_bytes, available_bytes = _memory(root)
    undervoltage, since_boot, throttled = _supply(root)
    return BoardFacts(
        model=_text(root / "proc/device-tree/model").rstrip("\0"),
        cores=cores or os.cpu_count(),
        cpu_time_s=cpu_time_s,
        load_1min=_load(root),
        rss_bytes=rss_bytes,
        memory_bytes=memory_bytes,
        available_bytes=available_bytes,
        temperature_c=_temperature_c(root),
        undervoltage=undervoltage,
        undervoltage_since_boot=since_boot,
        throttled=throttled,
    )


def disk_space(folder: Path) -> DiskSpace | None:
    """Return the space of the file system that holds a folder, or None when there is no such folder."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return DiskSpace(folder, found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize)


def _text(path: Path) -> str:
    """Return what a file says, "" when it cannot be read: drivers answer with any error they like."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _number(text: str, base: int = 10) -> int | None:
    try:
        return int(text, base)
    except ValueError:
        return None


def _own(root: Path, ticks_per_s: int, page_bytes: int) -> tuple[float | None, int | None]:
    # The name in brackets may hold blanks and brackets of its own.
    _, _, rest = _text(root / "proc/self/stat").rpartition(")")
    fields = [_number(field) for field in rest.split()]
    if len(fields) <= _RSS_FIELD - 2:
        return None, None
    utime, stime, pages = (fields[index - 2] for index in (_UTIME_FIELD, _STIME_FIELD, _RSS_FIELD))
    cpu_time_s = None if utime is None or stime is None else (utime + stime) / ticks_per_s
    return cpu_time_s, None if pages is None else pages * page_bytes


def _load(root: Path) -> float | None:
    try:
        return float(_text(root / "proc/loadavg").split()[0])
    except (IndexError, ValueError):
        return None


def _memory(root: Path) -> tuple[int | None, int | None]:
    found = {}
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, rest = line.partition(":")
        kib = _number(rest.split()[0]) if rest.split() else None
        found[name] = None if kib is None else 1024 * kib
    return found.get("MemTotal"), found.get("MemAvailable")


def _temperature_c(root: Path) -> float | None:
    milli = [_number(_text(path)) for path in (root / "sys/class/thermal").glob("thermal_zone*/temp")]
    celsius = [value / 1000.0 for value in milli if value is not None]
    return max((value for value in celsius if _LEAST_C < value < _MOST_C), default=None)


def _supply(root: Path) -> tuple[bool | None, bool | None, bool | None]:
    """Return undervoltage now, at any time since boot, and throttling now."""
    flags = _number(_text(root / "sys/devices/platform/soc/soc:firmware/get_throttled"), 16)
    if flags is not None:
        return (
            bool(flags & _UNDERVOLTAGE),
            bool(flags & (_UNDERVOLTAGE << _SINCE_BOOT)),
            bool(flags & _THROTTLED),
        )
    for folder in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        if _text(folder / "name") == "rpi_volt":
            alarm = _number(_text(folder / "in0_lcrit_alarm"))
            return None if alarm is None else alarm != 0, None, None
    return None, None, None
