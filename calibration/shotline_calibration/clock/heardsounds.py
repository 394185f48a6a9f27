"""How late a node dated sounds, from a server's history: against another node, or against the seconds of UTC."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_S
from shotline_calibration.clock.latency import pair_arrivals

__all__ = ["lateness"]

Floats = NDArray[np.float64]


def lateness(
    history: str, node: str, beside: str | None, *, since_ns: int, until_ns: int, travel_s: float
) -> tuple[Floats, Floats]:
    """Return when sounds were heard (s), and how late the node dated each beyond the way (s).

    Parameters
    ----------
    history : str
        File or URL of the server's database.
    node : str
    beside : str | None
        The node to compare with; None: the nearest second of UTC.
    since_ns, until_ns : int
        UTC nanoseconds.
    travel_s : float
        Of sound: to the node, or to it minus to the other.

    Raises
    ------
    InputError
        There is no such file, or a node has no timed detection then.
    """
    from fusion_server.history import History

    if "://" not in history and not Path(history).is_file():
        raise InputError("no such file", source=history)
    times_ns: dict[str, list[int]] = {name: [] for name in (node, beside) if name is not None}
    with History.open(history) as store:
        for detection in store.detections(since_ns, until_ns):
            if detection.node in times_ns and detection.clock_state is not ClockState.UNTIMED:
                times_ns[detection.node].append(detection.arrival_time_ns)
    for name, found in times_ns.items():
        if not found:
            raise InputError(f"'{name}' has no timed detection in that time", source=history)
    if beside is None:
        travel_ns = round(travel_s * NS_PER_S)
        pairs = [((time_ns - travel_ns + NS_PER_S // 2) // NS_PER_S * NS_PER_S, time_ns) for time_ns in times_ns[node]]
    else:
        pairs = pair_arrivals(times_ns[beside], times_ns[node])
    if not pairs:
        raise InputError(f"no sound was heard by both '{node}' and '{beside}' within 50 ms", source=history)
    at_s = np.array([(expected_ns - pairs[0][0]) / NS_PER_S for expected_ns, _ in pairs])
    late_s = np.array([(time_ns - expected_ns) / NS_PER_S - travel_s for expected_ns, time_ns in pairs])
    return at_s, late_s
