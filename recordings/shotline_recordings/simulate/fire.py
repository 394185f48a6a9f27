"""When the rounds of an event are fired, and where the shooter is at each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_recordings.simulate.weapons import Weapon

__all__ = ["FireMode", "fire_times_s", "moved_positions_m"]

_Real = NDArray[np.float64]

FireMode = Literal["single", "double_tap", "burst", "automatic", "listed"]

_SECONDS_PER_MINUTE = 60.0
_TAP_S, _TAP_SPREAD = 0.22, 0.2
"""Median gap of a double tap, and the spread of its logarithm: splits of 0.15 to 0.3 s; estimated."""
_CYCLE_SPREAD = 0.02
"""Standard deviation of one cycle of an automatic, as a share; estimated from rates stated as plus or minus 5 %."""
_SHORTEST_CYCLE = 0.5
_ROUNDS_OF_A_BURST = 3
_MOST_ROUNDS = 1_000
_FASTEST_RPM = 6_000.0


def fire_times_s(
    mode: FireMode,
    *,
    rng: np.random.Generator,
    weapon: Weapon | None = None,
    rounds: int | None = None,
    rate_rpm: float | None = None,
    start_s: float = 0.0,
    times_s: Sequence[float] = (),
) -> _Real:
    """Return when the rounds leave, in order.

    Parameters
    ----------
    mode : FireMode
        ``single``: one round. ``double_tap``: two, by hand. ``burst``: three, or so many as given, at the cyclic rate.
        ``automatic``: so many as given at the cyclic rate. ``listed``: at the times given, exactly.
    rng : numpy.random.Generator
        Of the small differences between cycles.
    weapon : Weapon, optional
        Its rate serves when none is given.
    rounds : int, optional
    rate_rpm : float, optional
        Rounds a minute.
    start_s : float
        Of the first round; listed times count from it.
    times_s : sequence of float
        For ``listed`` only.

    Returns
    -------
    ndarray, shape (n_rounds,), float64

    Raises
    ------
    InputError
        A mode that is not known, a rate that is missing, or something that the mode does not use.
    """
    if mode not in get_args(FireMode):
        raise InputError(f"fire mode {mode!r} is not one of {', '.join(get_args(FireMode))}", field="mode")
    if mode == "listed":
        return start_s + _listed_s(times_s, rounds, rate_rpm)
    if len(times_s):
        raise InputError(
            f"times are listed, but the mode is {mode}; use mode listed or leave them out", field="times_s"
        )
    if rate_rpm is not None and not 0.0 < rate_rpm <= _FASTEST_RPM:
        raise InputError(f"rate {rate_rpm:g} rounds a minute is outside 0 to {_FASTEST_RPM:g}", field="rate_rpm")
    if mode == "single":
        if rounds not in (None, 1) or rate_rpm is not None:
            raise InputError("mode single fires one round; leave out rounds and rate", field="rounds")
        return np.array([start_s])
    if mode == "double_tap":
        if rounds not in (None, 2):
            raise InputError(f"mode double_tap fires two rounds, not {rounds}", field="rounds")
        gap_s = _TAP_S if rate_rpm is None else _SECONDS_PER_MINUTE / rate_rpm
        return start_s + np.array([0.0, gap_s * math.exp(_TAP_SPREAD * float(rng.standard_normal()))])
    if mode == "automatic" and rounds is None:
        raise InputError("mode automatic needs the number of rounds", field="rounds")
    count = _ROUNDS_OF_A_BURST if rounds is None else rounds
    if not 1 <= count <= _MOST_ROUNDS:
        raise InputError(f"{count} rounds are outside 1 to {_MOST_ROUNDS}", field="rounds")
    rate = rate_rpm if rate_rpm is not None else (weapon.rate_rpm if weapon is not None else None)
    if rate is None:
        what = f"weapon {weapon.id} does not fire automatically" if weapon is not None else "no weapon is given"
        raise InputError(f"mode {mode} needs rate_rpm: {what}", field="rate_rpm")
    cycles = np.maximum(1.0 + _CYCLE_SPREAD * rng.standard_normal(count - 1), _SHORTEST_CYCLE)
    result: _Real = start_s + np.concatenate([[0.0], np.cumsum(cycles) * (_SECONDS_PER_MINUTE / rate)])
    return result


def moved_positions_m(start_m: _Real, *, velocity_mps: tuple[float, float], times_s: _Real) -> _Real:
    """Return where a shooter who moves at constant velocity is at each round.

    Parameters
    ----------
    start_m : ndarray, shape (3,), float64
        East, north, up at the first round.
    velocity_mps : tuple[float, float]
        East, north.
    times_s : ndarray, shape (n_rounds,), float64
        In order.

    Returns
    -------
    ndarray, shape (n_rounds, 3), float64
    """
    result: _Real = start_m + np.multiply.outer(times_s - times_s[:1], np.array([*velocity_mps, 0.0]))
    return result


def _listed_s(times_s: Sequence[float], rounds: int | None, rate_rpm: float | None) -> _Real:
    if not len(times_s):
        raise InputError("mode listed needs times", field="times_s")
    if rate_rpm is not None or rounds not in (None, len(times_s)):
        raise InputError(f"{len(times_s)} times are listed; leave out rounds and rate", field="rounds")
    if not all(math.isfinite(time_s) and time_s >= 0.0 for time_s in times_s):
        raise InputError(f"times {list(times_s)} are not all seconds from zero on", field="times_s")
    return np.sort(np.array(times_s, dtype=np.float64))
