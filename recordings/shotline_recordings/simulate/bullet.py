"""The shock of a supersonic bullet: where each microphone hears it from, when, how strong and how long.

The bullet flies straight (gravity bends a rifle's path by a metre or two over half a kilometre, and is left out) and
slows down. A microphone hears the shock that left the path at the angle arccos(1/M) to it; as the bullet slows, there
is at most one such place, and none for a microphone behind the ray that leaves at the muzzle, or beyond the ray that
leaves where the bullet hits or is no longer faster than sound.

References
----------
[Whitham1952], [Stoughton1997] the N-wave; [Pierce1981] weak shocks along a ray tube, and their thickness;
[McCoy1999] drag. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import spherical_jn

from shotline.errors import InputError
from shotline_recordings.simulate.blast import AMBIENT_PRESSURE_PA
from shotline_recordings.simulate.drag import Deceleration
from shotline_recordings.simulate.weapons import Weapon

__all__ = ["Flight", "ShockArrivals", "n_wave_spectrum_pa_s", "taylor_rise_s", "whitham"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

SLOWEST_MACH = 1.01
"""Slower than this a bullet makes no shock worth the name: Whitham's wave would be endlessly long at Mach 1."""

_AIR_HEAT_RATIO = 1.4
_NONLINEARITY = 1.2
_SOUND_DIFFUSIVITY_M2_PER_S = 3.8e-5
"""Of air near 15 °C by viscosity and heat conduction alone: nu (4/3 + 0.6 + (g - 1) / Pr)."""
_CLOSEST_M = 0.1
"""Miss distance below which Whitham's far field is not asked for."""
_ON_THE_LINE_M = 1e-9
_BISECTIONS = 64


def whitham(
    *, mach: _Real, miss_distance_m: _Real, calibre_m: float, length_m: float, speed_of_sound_mps: float
) -> tuple[_Real, _Real]:
    """Return peak over ambient pressure, and duration in s, of the N-wave of a bullet at constant speed.

    0.53 d (M^2 - 1)^(1/8) / (b^(3/4) l^(1/4)) and 1.82 M d b^(1/4) / (c (M^2 - 1)^(3/8) l^(1/4))
    [Whitham1952], [Stoughton1997].

    Parameters
    ----------
    mach, miss_distance_m : ndarray, shape (n,), float64
    calibre_m, length_m, speed_of_sound_mps : float

    Returns
    -------
    tuple of ndarray, shape (n,), float64
    """
    beyond = mach**2 - 1.0
    slender_m = calibre_m / length_m**0.25
    share: _Real = 0.53 * slender_m * beyond**0.125 / miss_distance_m**0.75
    duration_s: _Real = 1.82 * slender_m * mach * miss_distance_m**0.25 / (beyond**0.375 * speed_of_sound_mps)
    return share, duration_s


def taylor_rise_s(peak_pa: _Real, *, speed_of_sound_mps: float, ambient_pressure_pa: float) -> _Real:
    """Return the rise time, 10 to 90 %, of a weak shock in air without relaxation [Pierce1981 ch. 11].

    The steady profile is P/2 (1 + tanh(t/tau)) with tau = 2 rho delta / (B P), and 10 to 90 % take 2.2 tau. The much
    slower relaxation of oxygen and nitrogen is in the absorption of the air [ISO9613] and is not counted twice.

    Parameters
    ----------
    peak_pa : ndarray, shape (n,), float64
    """
    density_kg_m3 = _AIR_HEAT_RATIO * ambient_pressure_pa / speed_of_sound_mps**2
    result: _Real = math.log(9.0) * 2.0 * density_kg_m3 * _SOUND_DIFFUSIVITY_M2_PER_S / (_NONLINEARITY * peak_pa)
    return result


def n_wave_spectrum_pa_s(frequency_hz: _Real, *, peak_pa: _Real, duration_s: _Real, rise_s: _Real) -> _Complex:
    """Return the Fourier transform of an N-wave that begins at time zero.

    1 - 2t/T on 0 to T has the transform i T j1(w T/2) exp(-i w T/2), with the spherical Bessel function j1; its shocks
    are given their rise time by a running mean over 1.25 of the rise from 10 to 90 %.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
    peak_pa, duration_s, rise_s : ndarray, shape (n_waves,), float64

    Returns
    -------
    ndarray, shape (n_waves, n_frequencies), complex128
    """
    width_s = 1.25 * rise_s[:, None]
    length_s = duration_s[:, None]
    shape = spherical_jn(1, np.pi * frequency_hz * length_s) * np.sinc(frequency_hz * width_s)
    turn = np.exp(-1j * np.pi * frequency_hz * (length_s + width_s))
    result: _Complex = 1j * peak_pa[:, None] * length_s * shape * turn
    return result


@dataclass(frozen=True, slots=True)
class ShockArrivals:
    """The shock of one bullet at each microphone; shape (n_microphones,) each, NaN where it is not heard.

    Parameters
    ----------
    heard : ndarray, bool
    emission_enu_m : ndarray, shape (n_microphones, 3), float64
        Where on its path the bullet was when it sent what the microphone hears.
    direction : ndarray, shape (n_microphones, 3), float64
        Unit vectors in which the rays leave.
    emission_time_s, arrival_time_s : ndarray, float64
        After the bullet has left the muzzle; of the front of the wave.
    miss_distance_m, path_length_m : ndarray, float64
        From the line of flight, and along the ray.
    mach : ndarray, float64
        Where the ray leaves.
    peak_pa, duration_s, rise_s : ndarray, float64
        Of the N-wave at the microphone, in free air without absorption: nothing is to be divided by distance.
    """

    heard: NDArray[np.bool_]
    emission_enu_m: _Real
    direction: _Real
    emission_time_s: _Real
    arrival_time_s: _Real
    miss_distance_m: _Real
    path_length_m: _Real
    mach: _Real
    peak_pa: _Real
    duration_s: _Real
    rise_s: _Real

    def spectrum_pa_s(self, frequency_hz: _Real) -> _Complex:
        """Return the transform of the pressure at each microphone; the front at time zero, nothing where not heard.

        Parameters
        ----------
        frequency_hz : ndarray, shape (n_frequencies,), float64

        Returns
        -------
        ndarray, shape (n_microphones, n_frequencies), complex128
        """
        result = np.zeros((len(self.heard), len(frequency_hz)), dtype=np.complex128)
        result[self.heard] = n_wave_spectrum_pa_s(
            frequency_hz,
            peak_pa=self.peak_pa[self.heard],
            duration_s=self.duration_s[self.heard],
            rise_s=self.rise_s[self.heard],
        )
        return result


@dataclass(frozen=True, slots=True)
class Flight:
    """The straight flight of one bullet.

    Parameters
    ----------
    muzzle_enu_m, barrel_enu : tuple[float, float, float]
        Where the bullet starts, and the unit vector in which it flies.
    calibre_m, length_m, muzzle_velocity_mps : float
    ballistic_coefficient_kg_m2 : float
        G1; infinite: it keeps its speed.
    speed_of_sound_mps, ambient_pressure_pa : float
    range_m : float
        Where it hits, from the muzzle.
    """

    muzzle_enu_m: tuple[float, float, float]
    barrel_enu: tuple[float, float, float]
    calibre_m: float
    length_m: float
    muzzle_velocity_mps: float
    ballistic_coefficient_kg_m2: float
    speed_of_sound_mps: float
    ambient_pressure_pa: float = AMBIENT_PRESSURE_PA
    range_m: float = math.inf
    deceleration: Deceleration | None = field(init=False, repr=False, compare=False)
    """None: it never was faster than sound."""

    def __post_init__(self) -> None:
        if abs(math.hypot(*self.barrel_enu) - 1.0) > 1e-6:
            raise InputError(f"direction of flight {self.barrel_enu} is not a unit vector", field="barrel_enu")
        if not self.range_m > 0.0:
            raise InputError(f"range {self.range_m:g} m of a bullet is not positive", field="range_m")
        mach = self.muzzle_velocity_mps / self.speed_of_sound_mps
        deceleration = None
        if mach > SLOWEST_MACH:
            density_kg_m3 = _AIR_HEAT_RATIO * self.ambient_pressure_pa / self.speed_of_sound_mps**2
            deceleration = Deceleration(mach, self.ballistic_coefficient_kg_m2, density_kg_m3, self.speed_of_sound_mps)
        object.__setattr__(self, "deceleration", deceleration)

    @classmethod
    def of(
        cls,
        weapon: Weapon,
        *,
        muzzle_enu_m: tuple[float, float, float],
        barrel_enu: tuple[float, float, float],
        speed_of_sound_mps: float,
        ambient_pressure_pa: float = AMBIENT_PRESSURE_PA,
        range_m: float = math.inf,
    ) -> Flight:
        """Return the flight of a weapon's bullet (of one pellet, for a shotgun)."""
        return cls(
            muzzle_enu_m=muzzle_enu_m,
            barrel_enu=barrel_enu,
            calibre_m=weapon.calibre_m,
            length_m=weapon.bullet_length_m,
            muzzle_velocity_mps=weapon.muzzle_velocity_mps,
            ballistic_coefficient_kg_m2=weapon.ballistic_coefficient_kg_m2,
            speed_of_sound_mps=speed_of_sound_mps,
            ambient_pressure_pa=ambient_pressure_pa,
            range_m=range_m,
        )

    @property
    def supersonic_range_m(self) -> float:
        """How far the bullet flies with a shock: to where it hits, or to Mach 1.01."""
        if self.deceleration is None:
            return 0.0
        return min(self.range_m, self.deceleration.distance_to_m(SLOWEST_MACH))

    def shocks(self, microphones_enu_m: _Real) -> ShockArrivals:
        """Return what each microphone hears of the shock.

        The arrival t(x) + R(x)/c is stationary, and least, where the ray leaves at the Mach angle: for a microphone d
        along and b off the line of flight, x + b / sqrt(M(x)^2 - 1) = d. The left side grows with x as long as the
        bullet slows down, so there is one root or none, found by bisection.

        Rays of a bullet that slows down spread along its path, too. In a tube of area s (1 + s/D) weak-shock theory
        [Pierce1981 ch. 11] gives (1 + q)^(-1/2) (sqrt(q) / asinh(sqrt(q)))^(1/2) times the peak and the inverse of the
        second root times the duration of Whitham's wave, with q = s/D and D = (M^2 - 1) / |dM/dx|.

        Parameters
        ----------
        microphones_enu_m : ndarray, shape (n_microphones, 3), float64
        """
        offset_m = microphones_enu_m - np.array(self.muzzle_enu_m)
        barrel = np.array(self.barrel_enu)
        along_m = offset_m @ barrel
        across_m = np.linalg.norm(offset_m - along_m[:, None] * barrel, axis=1)
        count = len(offset_m)
        heard = np.zeros(count, dtype=np.bool_)
        columns = np.full((8, count), np.nan)
        emission_m, direction = np.full((count, 3), np.nan), np.full((count, 3), np.nan)
        if self.deceleration is not None:
            flown_m, heard = self._emissions_m(self.deceleration, along_m, across_m)
            time_s, mach = self.deceleration.at(flown_m[heard])
            columns[:, heard] = self._waves(self.deceleration, time_s, mach, across_m[heard])
            emission_m[heard] = np.array(self.muzzle_enu_m) + flown_m[heard, None] * barrel
            ray_m = microphones_enu_m[heard] - emission_m[heard]
            length_m = np.linalg.norm(ray_m, axis=1, keepdims=True)
            direction[heard] = np.where(length_m > _ON_THE_LINE_M, ray_m / np.maximum(length_m, _ON_THE_LINE_M), barrel)
        emission_s, arrival_s, miss_m, path_m, number, peak_pa, duration_s, rise_s = columns
        return ShockArrivals(
            heard=heard,
            emission_enu_m=emission_m,
            direction=direction,
            emission_time_s=emission_s,
            arrival_time_s=arrival_s,
            miss_distance_m=miss_m,
            path_length_m=path_m,
            mach=number,
            peak_pa=peak_pa,
            duration_s=duration_s,
            rise_s=rise_s,
        )

    def _emissions_m(
        self, deceleration: Deceleration, along_m: _Real, across_m: _Real
    ) -> tuple[_Real, NDArray[np.bool_]]:
        """Return where along its path the bullet sends the ray to each microphone, and whether it does."""

        def beyond_m(flown_m: _Real) -> _Real:
            _, mach = deceleration.at(flown_m)
            result: _Real = flown_m + across_m / np.sqrt(mach**2 - 1.0) - along_m
            return result

        last_m = min(self.supersonic_range_m, max(float(np.max(along_m, initial=0.0)), 0.0) + 1.0)
        low_m, high_m = np.zeros_like(along_m), np.full_like(along_m, last_m)
        heard = (beyond_m(low_m) <= 0.0) & (beyond_m(high_m) >= 0.0)
        for _ in range(_BISECTIONS):
            middle_m = 0.5 * (low_m + high_m)
            short = beyond_m(middle_m) < 0.0
            low_m, high_m = np.where(short, middle_m, low_m), np.where(short, high_m, middle_m)
        return 0.5 * (low_m + high_m), heard

    def _waves(self, deceleration: Deceleration, time_s: _Real, mach: _Real, across_m: _Real) -> _Real:
        speed_mps = self.speed_of_sound_mps
        path_m = across_m * mach / np.sqrt(mach**2 - 1.0)
        miss_m = np.maximum(across_m, _CLOSEST_M)
        share, duration_s = whitham(
            mach=mach,
            miss_distance_m=miss_m,
            calibre_m=self.calibre_m,
            length_m=self.length_m,
            speed_of_sound_mps=speed_mps,
        )
        root = np.sqrt(path_m * mach * deceleration.drag_per_m(mach) / (mach**2 - 1.0))
        ageing = np.sqrt(np.where(root > 1e-6, np.arcsinh(root) / np.maximum(root, 1e-6), 1.0))
        peak_pa = share * self.ambient_pressure_pa / np.sqrt(1.0 + root**2) / ageing
        duration_s = duration_s * ageing
        rise_s = taylor_rise_s(peak_pa, speed_of_sound_mps=speed_mps, ambient_pressure_pa=self.ambient_pressure_pa)
        arrival_s = time_s + path_m / speed_mps
        return np.stack(
            [time_s, arrival_s, across_m, path_m, mach, peak_pa, duration_s, np.minimum(rise_s, duration_s / 4.0)]
        )
