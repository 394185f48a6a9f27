"""What the board says, from files of the real formats; and from this very machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sensor_node.board import BoardFacts, disk_space, read_board

# As Linux 6.1 on a Raspberry Pi 4 writes them; the name of the process holds a blank and a bracket.
STAT = (
    "812 (node: (a b) S 1 812 812 0 -1 4194560 51822 0 12 0 2217 345 0 0 20 0 9 0 2048 412614656 "
    "23040 18446744073709551615 1 1 0 0 0 0 0 16781312 16386 0 0 0 17 3 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
)
MEMINFO = (
    "MemTotal:        3885396 kB\nMemFree:         2781300 kB\nMemAvailable:    3406752 kB\nHugePages_Total:       0\n"
)
FILES = {
    "proc/self/stat": STAT,
    "proc/loadavg": "0.52 0.48 0.44 1/214 5121\n",
    "proc/meminfo": MEMINFO,
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "sys/class/thermal/thermal_zone0/temp": "51121\n",
    "sys/class/thermal/thermal_zone1/temp": "-273200\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0x50005\n",
}


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def read(root: Path) -> BoardFacts:
    return read_board(root, ticks_per_s=100, page_bytes=4096, cores=4)


def test_a_raspberry_pi(tmp_path: Path) -> None:
    assert read(made(tmp_path, FILES)) == BoardFacts(
        model="Raspberry Pi 4 Model B Rev 1.4",
        cores=4,
        cpu_time_s=25.62,
        load_1min=0.52,
        rss_bytes=23_040 * 4096,
        memory_bytes=3_885_396 * 1024,
        available_bytes=3_406_752 * 1024,
        temperature_c=51.121,
        undervoltage=True,
        undervoltage_since_boot=True,
        throttled=True,
    )


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("0x0", (False, False, False)), ("50000", (False, True, False)), ("0x1", (True, False, False)),
     ("0x4", (False, False, True)), ("?", (None, None, None))],
)  # fmt: skip
def test_flags_of_the_supply(tmp_path: Path, flags: str, expected: tuple[bool | None, ...]) -> None:
    name = "sys/devices/platform/soc/soc:firmware/get_throttled"
    found = read(made(tmp_path, {name: flags}))
    assert (found.undervoltage, found.undervoltage_since_boot, found.throttled) == expected


@pytest.mark.parametrize(("alarm", "expected"), [("0\n", False), ("1\n", True), ("", None)])
def test_the_kernels_own_alarm_of_the_supply(tmp_path: Path, alarm: str, expected: bool | None) -> None:
    found = read(
        made(
            tmp_path,
            {
                "sys/class/hwmon/hwmon0/name": "cpu_thermal\n",
                "sys/class/hwmon/hwmon0/in0_lcrit_alarm": "1\n",
                "sys/class/hwmon/hwmon1/name": "rpi_volt\n",
                "sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm,
            },
        )
    )
    assert (found.undervoltage, found.undervoltage_since_boot) == (expected, None)


def test_what_is_not_there_is_unknown(tmp_path: Path) -> None:
    assert read(tmp_path) == BoardFacts(cores=4)


@pytest.mark.parametrize("name", FILES)
def test_rubbish_is_unknown(tmp_path: Path, name: str) -> None:
    for text in ("", "rubbish", "y (x) 1", "\0\n", "MemTotal: x kB\nMemAvailable:"):
        found = read(made(tmp_path, {name: text}))
        assert found == BoardFacts(cores=4, model=text.strip().rstrip("\0") if name.endswith("model") else "")


def test_this_machine() -> None:
    found = read_board()
    assert found.cpu_time_s is not None
    own = os.times()
    assert 0.0 < found.cpu_time_s <= own.user + own.system + 0.02  # two of 10 ms each are rounded down
    assert found.rss_bytes is not None
    assert found.rss_bytes > 10_000_000
    assert found.memory_bytes is not None
    assert found.available_bytes is not None
    assert found.available_bytes < found.memory_bytes
    assert found.load_1min is not None
    assert found.cores == os.cpu_count()


def test_disk_space(tmp_path: Path) -> None:
    found = disk_space(tmp_path)
    assert found is not None
    assert 0 <= found.free_bytes <= found.total_bytes
    assert disk_space(tmp_path / "none") is None
