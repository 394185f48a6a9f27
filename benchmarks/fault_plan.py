"""What is heard and what breaks in `fault_run.py`; all of it follows from the seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

__all__ = ["RATE_HZ", "SERVER", "Fault", "Kind", "draw_faults", "draw_moments", "write_sound"]

RATE_HZ = 48_000
SERVER = "server"


class Kind:
    """Names of faults."""

    SERVER_KILLED = "server killed"
    NODE_KILLED = "node killed"
    CUT = "network cut"
    NODE_DISK = "node's disk full"
    SERVER_DISK = "server's disk full"


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that breaks at an instant, and how long it stays so (a kill: until the process is started again).

    ``who`` is a node, `SERVER`, or "" for everybody. Seconds are those of the run.
    """

    kind: str
    who: str
    start_s: float
    lasts_s: float


def draw_moments(rng: np.random.Generator, until_s: float, *, singles_every_s: float) -> list[float]:
    """Return when impulses are heard: bursts of 5 to 30 every 20 to 60 s, the first at once, and single ones between.

    Two impulses are at least 70 ms apart, as rounds of an automatic weapon are.
    """
    drawn: list[float] = []
    start_s = float(rng.uniform(1.0, 5.0))
    while start_s < until_s:
        gaps_s = rng.uniform(0.07, 0.6, int(rng.integers(5, 31)))
        drawn += [start_s + float(after_s) for after_s in np.cumsum(gaps_s)]
        start_s += float(rng.uniform(20.0, 60.0))
    drawn += [float(moment_s) for moment_s in rng.uniform(0.5, until_s, int(until_s / singles_every_s))]
    moments_s: list[float] = []
    for moment_s in sorted(drawn):
        if moment_s < until_s and (not moments_s or moment_s - moments_s[-1] >= 0.07):
            moments_s.append(moment_s)
    return moments_s


def write_sound(path: Path, moments_s: Sequence[float], length_s: float, rng: np.random.Generator) -> None:
    """Write 16-bit sound: a blast wave with a reverberant tail at each moment, in noise."""
    sound: NDArray[np.float32] = rng.normal(0.0, 0.002, round(length_s * RATE_HZ)).astype(np.float32)
    after_s = np.arange(round(0.1 * RATE_HZ)) / RATE_HZ
    blast = (1.0 - after_s / 0.001) * np.exp(-after_s / 0.001)
    for moment_s in moments_s:
        first = round(moment_s * RATE_HZ)
        tail = 0.2 * rng.normal(size=after_s.size) * np.exp(-after_s / 0.02)
        heard = rng.uniform(0.1, 0.6) * (blast + tail)
        room = sound[first : first + heard.size]
        room += heard[: room.size].astype(np.float32)
    soundfile.write(path, sound.clip(-1.0, 1.0), RATE_HZ, subtype="PCM_16")


def draw_faults(
    rng: np.random.Generator,
    length_s: float,
    *,
    nodes: Sequence[str],
    server_kills: int,
    node_kills: int,
    cut_s: float,
    full_node: str | None,
    disk_s: float,
) -> list[Fault]:
    """Return the faults of a run in order of time; kills are spread evenly, each somewhere in its share of the run.

    Parameters
    ----------
    nodes : sequence of str
    server_kills, node_kills : int
        Of the server, and of each node.
    cut_s : float
        How long nobody reaches the server.
    full_node : str | None
        Whose disk is full once, as is the server's; None when no disk is filled.
    disk_s : float
        How long.
    """
    faults = [Fault(Kind.CUT, "", float(rng.uniform(0.4, 0.5)) * length_s, cut_s)]
    node_disk_s, server_disk_s = (float(rng.uniform(at, at + 0.05)) * length_s for at in (0.15, 0.75))
    if full_node is not None:
        faults += [
            Fault(Kind.NODE_DISK, full_node, node_disk_s, disk_s),
            Fault(Kind.SERVER_DISK, SERVER, server_disk_s, disk_s),
        ]
    kills = [(Kind.SERVER_KILLED, SERVER, server_kills, 5.0)]
    kills += [(Kind.NODE_KILLED, node, node_kills, 3.0) for node in nodes]
    for kind, who, count, most_s in kills:
        for number in range(count):
            # The last tenth is quiet.
            start_s = 0.9 * length_s * (number + float(rng.uniform(0.1, 0.9))) / count
            faults.append(Fault(kind, who, start_s, float(rng.uniform(0.5, most_s))))
    return sorted(faults, key=lambda fault: fault.start_s)
