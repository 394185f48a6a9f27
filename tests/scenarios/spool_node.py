"""A process that fills a spool on a disk with little room, for `test_spool_faults`: it prints what it counts, as JSON.

``python spool_node.py tmpfs FOLDER`` in a mount namespace of its own: a file system of 1 MiB, filled up and emptied.
``python spool_node.py limit FOLDER``: no file may grow beyond 24 KiB, until it may again.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from burst_node import detection

from sensor_node.diskspool import DiskSpool

COUNT = 2_000


@contextmanager
def no_room_on_tmpfs(folder: Path) -> Iterator[None]:
    """Fill the file system."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(1024)):
                pass
        except OSError:
            pass
    yield
    ballast.unlink()


@contextmanager
def no_room_by_limit(_: Path) -> Iterator[None]:
    """Let no file grow beyond 24 KiB: a write is cut short there, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (24 * 1024, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def main(kind: str, folder: Path) -> None:
    """Append with room, without, and with room again."""
    if kind == "tmpfs":
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)], check=True)
    no_room = no_room_on_tmpfs if kind == "tmpfs" else no_room_by_limit
    path = folder / "spool.db"
    said: dict[str, object] = {}
    with DiskSpool(path) as spool:
        for sequence in range(10):
            spool.append(detection(7, sequence))
        with no_room(folder):
            for sequence in range(10, COUNT):
                spool.append(detection(7, sequence))
            spool.ack(7, range(100))
            said["full"] = [spool.counts().unacked, spool.counts().in_memory, spool.problem]
            said["order_full"] = [item.sequence for item in spool.unacked(COUNT)] == list(range(100, COUNT))
        spool.flush()
        said["room"] = [spool.counts().unacked, spool.counts().in_memory, spool.problem]
    with DiskSpool(path) as spool:
        said["again"] = [spool.counts().unacked, spool.counts().damaged_files]
        said["order"] = [item.sequence for item in spool.unacked(COUNT)] == list(range(100, COUNT))
    print(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
