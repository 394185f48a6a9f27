"""How late the ADC times of a kind of hardware are: from the edge of a pulse to the time of its sample. Pure.

A node that dates its samples by ADC times and the host takes that delay off (``[capture] late_bias_us``). Nodes of one
make share it, and it cancels in a location; of mixed makes it does not: 100 us are 34 mm.

Two ways: the pulse of the receiver in the second channel while the host has PPS, which tells it to microseconds; or one
sound, heard by two nodes side by side, or made at known seconds, which tells it to how well the distance is known.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from sensor_node.discipline import AdcStamp, DisciplinedClock, UtcReading
from sensor_node.ppsaudio import Pulse
from shotline.domain import ClockState
from shotline.errors import InputError
from shotline.units import NS_PER_S
from shotline_calibration.clock.clocklog import ClockLog

__all__ = ["Latency", "NoLatency", "NoLatencyReason", "latency_by_pulses", "latency_by_sound", "pair_arrivals"]

Floats = NDArray[np.float64]

_SETTLE_S = 30.0
_DAY_NS = 86_400 * NS_PER_S
"""A log may be older than this program: what it says of the year is believed."""
_BLOCK_S = 60.0
_LEAST_BLOCKS = 5
_LEAST_CLICKS = 5
_PER_MAD = 1.4826
_SPIKE_SIGMAS = 5.0
_EFFICIENCY = 1.2533
"""Sigma of a median over that of a mean, of normal values: sqrt(pi / 2)."""


class NoLatencyReason(StrEnum):
    """Why it cannot be told."""

    NO_PULSES = "no pulses"
    NO_HOST = "the host had no PPS"
    TOO_SHORT = "too short"
    FEW_CLICKS = "too few sounds heard"


@dataclass(frozen=True, slots=True)
class NoLatency:
    """It cannot be told, and why."""

    reason: NoLatencyReason
    detail: str


@dataclass(frozen=True, slots=True)
class Latency:
    """A delay.

    Parameters
    ----------
    late_s : float
        How late the times are that the hardware gives; of the second node against the first, for a comparison.
    random_sigma_s : float
        1-sigma of it as the readings scatter.
    systematic_sigma_s : float
        1-sigma of what is the same for all readings: the host's bound, the distance.
    readings, spikes : int
        Used, and left out as over 5 sigma off.
    late_each_s : ndarray, shape (n,), float64
        Each reading.
    at_s : ndarray, shape (n,), float64
        When, since the first.
    """

    late_s: float
    random_sigma_s: float
    systematic_sigma_s: float
    readings: int
    spikes: int
    late_each_s: Floats
    at_s: Floats

    @property
    def sigma_s(self) -> float:
        """Everything together."""
        return math.hypot(self.random_sigma_s, self.systematic_sigma_s)


def latency_by_pulses(log: ClockLog) -> Latency | NoLatency:
    """Date the edges of pulses by ADC times and the host alone, as a node without them would: what is over is late.

    The edge is at a whole second of UTC, so the delay is its date modulo one second. The error of a mean is that of
    means of a minute, because the host's clock wanders slowly; the host's own bound is taken as half the width of a
    rectangle, as the node takes it.
    """
    if not log.pulses:
        return NoLatency(NoLatencyReason.NO_PULSES, f"none in the log of '{log.node}'; is pps_channel configured?")
    dated = _dated(log)
    if not dated:
        return NoLatency(
            NoLatencyReason.NO_HOST,
            f"no edge of {len(log.pulses)} was dated by a host with PPS; chronyd must follow the same pulse",
        )
    at_s, late_s, bound_s = (np.array(column) for column in zip(*dated, strict=True))
    good, spikes = _without_spikes(late_s)
    at_s, late_s, bound_s = at_s[good], late_s[good], bound_s[good]
    blocks = ((at_s - at_s[0]) // _BLOCK_S).astype(np.int64)
    means_s = np.array([late_s[blocks == block].mean() for block in np.unique(blocks)])
    if len(means_s) < _LEAST_BLOCKS:
        return NoLatency(
            NoLatencyReason.TOO_SHORT,
            f"{len(late_s)} edges in {len(means_s)} minutes; expected {_LEAST_BLOCKS} minutes after the first half",
        )
    random_s = float(means_s.std(ddof=1)) / math.sqrt(_independent(means_s))
    bound = float(bound_s.mean()) / math.sqrt(3.0)
    return Latency(float(means_s.mean()), random_s, bound, len(late_s), spikes, late_s, at_s - at_s[0])


def latency_by_sound(
    late_each_s: Floats, at_s: Floats, *, systematic_sigma_s: float, least: int = _LEAST_CLICKS
) -> Latency | NoLatency:
    """Return the delay from how late each sound was dated, beyond what its way explains.

    The median counts: echoes and other sounds are in it.

    Parameters
    ----------
    late_each_s, at_s : ndarray, shape (n,), float64
    systematic_sigma_s : float
        1-sigma of what is the same for all: distances over the speed of sound, and when the sound was made.
    least : int
        So many must be heard.
    """
    good, spikes = _without_spikes(late_each_s)
    late_s = late_each_s[good]
    if len(late_s) < least:
        return NoLatency(NoLatencyReason.FEW_CLICKS, f"{len(late_s)} sounds that fit, expected {least} or more")
    median_s = float(np.median(late_s))
    scatter_s = max(_PER_MAD * float(np.median(np.abs(late_s - median_s))), float(late_s.std(ddof=1)))
    random_s = _EFFICIENCY * scatter_s / math.sqrt(len(late_s))
    return Latency(median_s, random_s, systematic_sigma_s, len(late_s), spikes, late_s, at_s[good] - at_s[good][0])


def pair_arrivals(
    first_ns: Sequence[int], second_ns: Sequence[int], *, within_s: float = 0.05
) -> list[tuple[int, int]]:
    """Return arrival times that are each other's nearest, so near to each other; both rising."""
    if not first_ns or not second_ns:
        return []
    first, second = np.array(sorted(first_ns), dtype=np.int64), np.array(sorted(second_ns), dtype=np.int64)
    forth, back = _nearest(first, second), _nearest(second, first)
    limit_ns = round(within_s * NS_PER_S)
    return [
        (int(time_ns), int(second[forth[index]]))
        for index, time_ns in enumerate(first)
        if back[forth[index]] == index and abs(int(second[forth[index]]) - int(time_ns)) <= limit_ns
    ]


def _nearest(to: NDArray[np.int64], among: NDArray[np.int64]) -> NDArray[np.int64]:
    place = np.clip(np.searchsorted(among, to), 1, max(len(among) - 1, 1))
    below = among[place - 1]
    above = among[np.minimum(place, len(among) - 1)]
    return np.where(to - below <= above - to, place - 1, np.minimum(place, len(among) - 1)).astype(np.int64)


def _dated(log: ClockLog) -> list[tuple[float, float, float]]:
    """Return true time (s), lateness (s) and the host's bound (s) at each edge while the host has PPS."""
    stamps = [event for event in log.events if isinstance(event, AdcStamp)]
    if not stamps:
        raise InputError(
            f"the clock log of '{log.node}' has no stamps; write it with `shotline calibrate clock listen`"
        )
    begun_ns = next((event.utc_ns for event in log.events if isinstance(event, UtcReading)), 0)
    clock = DisciplinedClock(log.sample_rate_hz, not_before_ns=max(0, begun_ns - _DAY_NS), late_bias_sigma_ns=0)
    waiting: list[Pulse] = []
    found: list[tuple[float, float, float]] = []
    bound_s, first_ns = math.nan, 0
    begins = stamps[0].first_sample + _SETTLE_S * log.sample_rate_hz
    for event in log.events:
        if isinstance(event, UtcReading):
            clock.add_utc(event)
            bound_s = event.bound_ns / NS_PER_S if event.state is ClockState.PPS else math.nan
        elif isinstance(event, Pulse):
            waiting.append(event)
        else:
            clock.add_stamp(event)
            while waiting and waiting[0].sample < clock.settled_until:
                pulse = waiting.pop(0)
                reading = clock.utc_at(pulse.sample)
                if pulse.sample < begins or reading.state is not ClockState.PPS or math.isnan(bound_s):
                    continue
                first_ns = first_ns or reading.time_ns
                over_ns = (reading.time_ns + NS_PER_S // 2) % NS_PER_S - NS_PER_S // 2
                found.append(((reading.time_ns - first_ns) / NS_PER_S, over_ns / NS_PER_S, bound_s))
    return found


def _without_spikes(values: Floats) -> tuple[NDArray[np.bool_], int]:
    if not len(values):
        return np.zeros(0, dtype=bool), 0
    off = np.abs(values - np.median(values))
    good = off <= _SPIKE_SIGMAS * max(_PER_MAD * float(np.median(off)), 1e-7)
    return good, int(np.count_nonzero(~good))


def _independent(means: Floats) -> float:
    """Return of how many values a mean is worth: n (1 - r) / (1 + r) [BayleyHammersley1946], r of neighbours."""
    rest = means - means.mean()
    power = float(rest @ rest)
    alike = float(rest[1:] @ rest[:-1]) / power if power > 0.0 else 0.0
    alike = min(max(alike, 0.0), 0.95)
    return max(1.0, len(means) * (1.0 - alike) / (1.0 + alike))
