"""The phase of a clock: what it shows minus the truth, over time. Spikes taken out, cut where it steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["Cleaned", "PhaseSeries", "clean", "frequency_of", "longest_even"]

Floats = NDArray[np.float64]

_NEIGHBOURS = 3
"""To each side, that a reading is held against."""
_PER_MAD, _WITH_NEIGHBOURS = 1.4826, 1.204
"""Sigma over median absolute value; sigma of a reading and a median of three together over its own."""
_SPIKE_SIGMAS, _STEP_SIGMAS = 8.0, 12.0
_LEAST_SIGMA_S = 1e-8
_SIDE = 4
_SLOPE_OVER = 30
_LEAST_POINTS = 32
_LONGEST_GAP = 3.5
"""In steps: three missing readings are filled by a straight line, a longer gap cuts."""


@dataclass(frozen=True, slots=True)
class PhaseSeries:
    """Phase of one clock.

    Parameters
    ----------
    time_s : ndarray, shape (n,), float64
        True time since the first reading, rising.
    phase_s : ndarray, shape (n,), float64
        Clock minus truth: positive is fast. Where it begins means nothing.
    free : bool
        The clock runs free, as it does in holdover; else something steers it all the time.
    what : str
        Which clock, for people.
    """

    time_s: Floats
    phase_s: Floats
    free: bool
    what: str

    def __post_init__(self) -> None:
        if self.time_s.shape != self.phase_s.shape or self.time_s.ndim != 1:
            raise InputError(f"{self.time_s.shape} times and {self.phase_s.shape} phases; expected as many of each")
        if len(self.time_s) and not (np.all(np.isfinite(self.phase_s)) and np.all(np.diff(self.time_s) > 0.0)):
            raise InputError("times must rise and phases must be finite")

    @property
    def duration_s(self) -> float:
        """From the first reading to the last."""
        return float(self.time_s[-1] - self.time_s[0]) if len(self.time_s) else 0.0

    @property
    def step_s(self) -> float:
        """Median time between readings."""
        return float(np.median(np.diff(self.time_s)))

    def part(self, which: slice | NDArray[np.bool_]) -> PhaseSeries:
        """Return some of the readings."""
        return replace(self, time_s=self.time_s[which], phase_s=self.phase_s[which])


@dataclass(frozen=True, slots=True)
class Cleaned:
    """The longest piece without a step.

    Parameters
    ----------
    series : PhaseSeries
    spikes : int
        Single readings of the whole series that were far off, and are left out.
    steps : int
        Where the phase stepped: samples were lost, or the clock was set.
    left_out : int
        Readings in the other pieces.
    sigma_s : float
        Scatter of one reading about its neighbours, robust.
    """

    series: PhaseSeries
    spikes: int
    steps: int
    left_out: int
    sigma_s: float


def clean(series: PhaseSeries, *, least_step_s: float = 10e-6) -> Cleaned:
    """Take out spikes, cut at steps, keep the longest piece.

    A reading is a spike when it is over 8 sigma from the median of three before it and from that of three after it. A
    step is a change of the median of four of over 12 sigma and over ``least_step_s``. Both beyond what the slope
    explains, the median of 60 increments around.

    Raises
    ------
    InputError
        Fewer than 32 readings are left in one piece.
    """
    if len(series.time_s) < _LEAST_POINTS:
        raise InputError(f"{len(series.time_s)} readings of the {series.what}; expected {_LEAST_POINTS} or more")
    before, after = _off_neighbours(series)
    sigma_s = max(_PER_MAD * float(np.median(np.abs(before))) / _WITH_NEIGHBOURS, _LEAST_SIGMA_S)
    # What fits one side is no spike: beside a step readings do.
    good = np.minimum(np.abs(before), np.abs(after)) <= _SPIKE_SIGMAS * sigma_s
    kept = series.part(good)
    cuts = _steps(kept, max(_STEP_SIGMAS * sigma_s, least_step_s))
    edges = [0, *cuts, len(kept.time_s)]
    pieces = [slice(first, last) for first, last in pairwise(edges)]
    longest = max(pieces, key=lambda piece: piece.stop - piece.start)
    found = kept.part(longest)
    if len(found.time_s) < _LEAST_POINTS:
        raise InputError(
            f"the longest piece of the {series.what} without a step has {len(found.time_s)} readings, expected "
            f"{_LEAST_POINTS} or more; it steps {len(cuts)} times"
        )
    return Cleaned(found, int(np.count_nonzero(~good)), len(cuts), len(kept.time_s) - len(found.time_s), sigma_s)


def longest_even(series: PhaseSeries) -> PhaseSeries:
    """Return the longest piece without a gap, on even steps: the median step, straight lines between readings."""
    step_s = series.step_s
    breaks = np.flatnonzero(np.diff(series.time_s) > _LONGEST_GAP * step_s) + 1
    edges = [0, *(int(index) for index in breaks), len(series.time_s)]
    first, last = max(pairwise(edges), key=lambda pair: pair[1] - pair[0])
    piece = series.part(slice(first, last))
    count = int(np.floor(piece.duration_s / step_s + 1e-6)) + 1
    time_s = piece.time_s[0] + step_s * np.arange(count)
    return replace(piece, time_s=time_s, phase_s=np.interp(time_s, piece.time_s, piece.phase_s))


def frequency_of(series: PhaseSeries, over_s: float) -> tuple[Floats, Floats]:
    """Return times (s) and fractional frequency over so long each, one after another; empty when there is no two."""
    count = int(series.duration_s // over_s)
    if count < 2:
        return np.zeros(0), np.zeros(0)
    edges_s = series.time_s[0] + over_s * np.arange(count + 1)
    phase_s = np.interp(edges_s, series.time_s, series.phase_s)
    return edges_s[:-1] + over_s / 2.0, np.diff(phase_s) / over_s


def _detrended(series: PhaseSeries) -> Floats:
    slope = float(np.median(np.diff(series.phase_s) / np.diff(series.time_s)))
    rest: Floats = series.phase_s - slope * series.time_s
    return rest - float(np.median(rest))


def _slopes(series: PhaseSeries) -> Floats:
    """Return the slope of the detrended phase between each reading and the next, as the median of 60 around has it."""
    slopes = np.diff(_detrended(series)) / np.diff(series.time_s)
    wide = min(2 * _SLOPE_OVER + 1, len(slopes) - 1 + len(slopes) % 2)
    padded = np.pad(slopes, wide // 2, mode="reflect")
    result: Floats = np.median(np.lib.stride_tricks.sliding_window_view(padded, wide), axis=1)
    return result


def _off_neighbours(series: PhaseSeries) -> tuple[Floats, Floats]:
    """Return how far each reading is from the median of those before it, and from that of those after it."""
    rest, slope = _detrended(series), _slopes(series)
    at_slope = np.append(slope, slope[-1])
    sides = []
    for sign in (-1, 1):
        offs = []
        for away in range(1, _NEIGHBOURS + 1):
            other = np.arange(len(rest)) + sign * away
            # At an end the neighbours are those of the other side.
            other = np.where((other < 0) | (other >= len(rest)), np.arange(len(rest)) - sign * away, other)
            offs.append(rest - rest[other] - at_slope * (series.time_s - series.time_s[other]))
        sides.append(np.median(np.array(offs), axis=0))
    return sides[0], sides[1]


def _steps(series: PhaseSeries, least_s: float) -> list[int]:
    """Return the indices at which a new piece begins."""
    if len(series.time_s) < 4 * _SIDE:
        return []
    rest = _detrended(series)
    slope = _slopes(series)
    medians = np.median(np.lib.stride_tricks.sliding_window_view(rest, _SIDE), axis=1)
    middles_s = np.lib.stride_tricks.sliding_window_view(series.time_s, _SIDE).mean(axis=1)
    places = np.arange(_SIDE, len(rest) - _SIDE + 1)
    change = medians[places] - medians[places - _SIDE]
    change = change - slope[places - 1] * (middles_s[places] - middles_s[places - _SIDE])
    found: list[int] = []
    size = np.abs(change)
    while len(size) and float(size.max()) > least_s:
        place = int(size.argmax())
        found.append(int(places[place]))
        size[max(0, place - 2 * _SIDE) : place + 2 * _SIDE + 1] = 0.0
    return sorted(found)
