"""How a bullet slows down: the G1 drag function as power laws between its entries, integrated in closed form.

References
----------
[McCoy1999] the G1 drag function and the ballistic coefficient. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError

__all__ = ["G1_MACH", "Deceleration", "g1_drag"]

_Real = NDArray[np.float64]

_G1 = """
1.0 0.4805  1.025 0.5136  1.05 0.5427  1.075 0.5677  1.1 0.5883  1.125 0.6053  1.15 0.6191  1.2 0.6393  1.25 0.6518
1.3 0.6589  1.35 0.6621  1.4 0.6625  1.45 0.6607  1.5 0.6573  1.55 0.6528  1.6 0.6474  1.65 0.6413  1.7 0.6347
1.75 0.6280  1.8 0.6210  1.85 0.6141  1.9 0.6072  1.95 0.6003  2.0 0.5934  2.1 0.5804  2.2 0.5685  2.3 0.5577
2.4 0.5481  2.5 0.5397  2.6 0.5325  2.7 0.5264  2.8 0.5211  2.9 0.5168  3.0 0.5133  3.2 0.5084  3.4 0.5054
3.6 0.5030  3.8 0.5016  4.0 0.5006  4.4 0.4995  5.0 0.4988
"""
G1_MACH, _G1_DRAG = np.array(_G1.split(), dtype=np.float64).reshape(-1, 2).T.copy()
_POWER: _Real = np.diff(np.log(_G1_DRAG)) / np.diff(np.log(G1_MACH))


def g1_drag(mach: _Real) -> _Real:
    """Return the drag coefficient of the G1 projectile, a power law between entries of the table [McCoy1999].

    Parameters
    ----------
    mach : ndarray, float64
        From 1 to 5.
    """
    segment = np.clip(np.searchsorted(G1_MACH, mach, side="right") - 1, 0, len(_POWER) - 1)
    result: _Real = _G1_DRAG[segment] * (mach / G1_MACH[segment]) ** _POWER[segment]
    return result


@dataclass(frozen=True, slots=True)
class Deceleration:
    """Mach number and time of flight of a bullet by the distance it has flown, while it is faster than sound.

    dM/dx = -K Cd(M) M with K = pi rho / (8 BC) [McCoy1999]. With Cd = C (M/M1)^n between entries of the table, distance
    and time are differences of powers of M, exact for the table, and M is a power of distance.

    Parameters
    ----------
    muzzle_mach : float
        Above 1, at most 5.
    ballistic_coefficient_kg_m2 : float
        G1. Infinite: the bullet does not slow down.
    air_density_kg_m3, speed_of_sound_mps : float
    """

    muzzle_mach: float
    ballistic_coefficient_kg_m2: float
    air_density_kg_m3: float
    speed_of_sound_mps: float
    _tops: _Real = field(init=False, repr=False, compare=False)
    _distances_m: _Real = field(init=False, repr=False, compare=False)
    _times_s: _Real = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not 1.0 < self.muzzle_mach <= G1_MACH[-1]:
            raise InputError(
                f"a bullet at Mach {self.muzzle_mach:.3g} is outside 1 to {G1_MACH[-1]:g}; check its velocity",
                field="muzzle_velocity_mps",
            )
        if not self.ballistic_coefficient_kg_m2 > 0.0:
            raise InputError(
                f"ballistic coefficient {self.ballistic_coefficient_kg_m2:g} kg/m² is not positive",
                field="ballistic_coefficient_kg_m2",
            )
        tops = np.concatenate([[self.muzzle_mach], G1_MACH[self.muzzle_mach > G1_MACH][::-1]])
        object.__setattr__(self, "_tops", tops)
        if math.isinf(self.ballistic_coefficient_kg_m2):
            steps_m, steps_s = np.full(len(tops) - 1, math.inf), np.full(len(tops) - 1, math.inf)
        else:
            steps_m, steps_s = self._flown(tops[:-1], tops[1:], _segments(tops[:-1]))
        object.__setattr__(self, "_distances_m", np.concatenate([[0.0], np.cumsum(steps_m)]))
        object.__setattr__(self, "_times_s", np.concatenate([[0.0], np.cumsum(steps_s)]))

    def drag_per_m(self, mach: _Real) -> _Real:
        """Return -dM/dx / M."""
        result: _Real = self._drag_m2_per_kg * g1_drag(mach)
        return result

    def distance_to_m(self, mach: float) -> float:
        """Return how far the bullet flies until it is as slow as this; 0 when it never was faster."""
        if mach >= self.muzzle_mach:
            return 0.0
        if math.isinf(self.ballistic_coefficient_kg_m2):
            return math.inf
        before = int(np.searchsorted(-self._tops, -mach, side="right")) - 1
        top = self._tops[before : before + 1]
        step_m, _ = self._flown(top, np.array([mach]), _segments(top))
        return float(self._distances_m[before] + step_m[0])

    def at(self, distance_m: _Real) -> tuple[_Real, _Real]:
        """Return time of flight (s) and Mach number at each distance from the muzzle.

        Parameters
        ----------
        distance_m : ndarray, shape (n,), float64
            From 0 to ``distance_to_m(1.0)``.

        Returns
        -------
        tuple of ndarray, shape (n,), float64
        """
        if math.isinf(self.ballistic_coefficient_kg_m2):
            return distance_m / (self.muzzle_mach * self.speed_of_sound_mps), np.full_like(distance_m, self.muzzle_mach)
        last = len(self._tops) - 2
        before = np.clip(np.searchsorted(self._distances_m, distance_m, side="right") - 1, 0, last)
        top = self._tops[before]
        segment = _segments(top)
        power, entry, drag = _POWER[segment], G1_MACH[segment], self._drag_m2_per_kg * _G1_DRAG[segment]
        further_m = distance_m - self._distances_m[before]
        slower = power * drag * further_m * (top / entry) ** power
        mach: _Real = top * np.exp(-np.log1p(slower) / power)
        _, further_s = self._flown(top, mach, segment)
        time_s: _Real = self._times_s[before] + further_s
        return time_s, mach

    @property
    def _drag_m2_per_kg(self) -> float:
        return math.pi * self.air_density_kg_m3 / (8.0 * self.ballistic_coefficient_kg_m2)

    def _flown(self, top: _Real, mach: _Real, segment: NDArray[np.intp]) -> tuple[_Real, _Real]:
        """Return distance and time from one Mach number to a lower one in the same segment of the table."""
        power, entry, drag = _POWER[segment], G1_MACH[segment], self._drag_m2_per_kg * _G1_DRAG[segment]
        ratio = np.log(top / mach)
        distance_m: _Real = (entry / top) ** power * np.expm1(power * ratio) / (power * drag)
        per_time = (1.0 + power) * drag * self.speed_of_sound_mps * top
        time_s: _Real = (entry / top) ** power * np.expm1((1.0 + power) * ratio) / per_time
        return distance_m, time_s


def _segments(top: _Real) -> NDArray[np.intp]:
    """Return the segment of the table below each Mach number."""
    return np.clip(np.searchsorted(G1_MACH, top, side="left") - 1, 0, len(_POWER) - 1)
