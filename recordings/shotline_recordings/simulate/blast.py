"""Blast waves: of a muzzle, louder and longer ahead of the barrel than behind it, and of a charge, the same all round.

Both are Friedlander waves, p = P (1 - t/T) exp(-t/T), whose spectrum is known in closed form, which have no impulse
left over (a small source in free air radiates none), and whose trough is exp(-2) = 13.5 % of the peak at twice the
positive phase T. Peak and positive phase follow the strength of the wave at its distance: strong waves lengthen.

References
----------
[Fansler1993] muzzle blast; [Friedlander1946] the wave; [KinneyGraham1985] charges; [Pierce1981] weak shocks;
[Dater2014] the levels that fix the scale. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.units import amplitude_from_db
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA
from shotline_recordings.simulate.weapons import GAS_HEAT_RATIO, Weapon

__all__ = [
    "AMBIENT_PRESSURE_PA",
    "STANDARD_SOUND_MPS",
    "Blast",
    "MuzzleBlast",
    "direction_enu",
    "exit_flow",
    "friedlander_spectrum_pa_s",
    "kinney_graham",
    "peak_pa_from_db_spl",
]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

AMBIENT_PRESSURE_PA = 101_325.0
STANDARD_SOUND_MPS = 340.3
"""At 15 °C: good enough for how much a wave lengthens on its way, which changes by 0.2 % a degree."""

_SMALL_ARMS_SCALE = 0.085
"""Scaling length over sqrt(dE/dt / (p a)); see `MuzzleBlast.of`."""
_STRONG_WITHIN = 50.0
"""Scaled distance at which [Fansler1993] passes from eq. 25 to eq. 31."""
_SHORTEST_PHASE = 0.1
"""Least positive phase, in scaling lengths over the speed of sound: the fit turns negative at the muzzle itself."""
_FAR_M = 1_000.0
_QUIET_AFTER = 9.5
"""Positive phases after which 60 dB of a Friedlander wave's energy have passed."""
_AIR_HEAT_RATIO = 1.4
_NONLINEARITY = 1.2
"""(gamma + 1) / 2 of air."""
_FAR_SCALED_M = 10.0
"""Scaled distance, m / kg^(1/3), where [KinneyGraham1985] hands over to the weak-shock law."""


def peak_pa_from_db_spl(peak_db_spl: float) -> float:
    """Return the pressure of a peak level."""
    return REFERENCE_PRESSURE_PA * amplitude_from_db(peak_db_spl)


def direction_enu(azimuth_deg: float, elevation_deg: float = 0.0) -> tuple[float, float, float]:
    """Return the unit vector (east, north, up) of a bearing clockwise from north and an elevation."""
    azimuth, elevation = math.radians(azimuth_deg), math.radians(elevation_deg)
    level = math.cos(elevation)
    return level * math.sin(azimuth), level * math.cos(azimuth), math.sin(elevation)


def friedlander_spectrum_pa_s(
    frequency_hz: _Real, *, peak_pa: _Real, positive_phase_s: _Real, decay: float = 1.0
) -> _Complex:
    """Return the Fourier transform of p = P (1 - t/T) exp(-b t/T), t >= 0 [Friedlander1946].

    Laplace: P (s + a - 1/T) / (s + a)^2 with a = b/T.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
    peak_pa, positive_phase_s : ndarray, shape (n_waves,), float64
    decay : float
        b. Only 1 leaves no impulse over.

    Returns
    -------
    ndarray, shape (n_waves, n_frequencies), complex128
    """
    laplace = 2j * np.pi * frequency_hz[None, :]
    per_phase = 1.0 / positive_phase_s[:, None]
    result: _Complex = peak_pa[:, None] * (laplace + (decay - 1.0) * per_phase) / (laplace + decay * per_phase) ** 2
    return result


def exit_flow(weapon: Weapon) -> tuple[float, float, float]:
    """Return pressure (Pa), velocity (m/s) and Mach number of the gas as it leaves the bore.

    Behind a bullet slower than the sound in its gas, a rarefaction runs into the bore and the flow at the muzzle turns
    sonic: a' = a 2/(g+1) (1 + (g-1)/2 M), p' = p (a'/a)^(2g/(g-1)) (characteristics of a perfect gas; [Corner1950]).
    The sound speed of the gas is that of a perfect gas of the charge's mass in the swept bore, a^2 = g p A x / C.
    """
    ratio = GAS_HEAT_RATIO
    swept_m3 = weapon.bore_area_m2 * weapon.travel_m
    sound_mps = math.sqrt(ratio * weapon.exit_pressure_pa * swept_m3 / weapon.charge_mass_kg)
    mach = weapon.muzzle_velocity_mps / sound_mps
    if mach >= 1.0:
        return weapon.exit_pressure_pa, weapon.muzzle_velocity_mps, mach
    cooled = 2.0 / (ratio + 1.0) * (1.0 + (ratio - 1.0) / 2.0 * mach)
    return weapon.exit_pressure_pa * cooled ** (2.0 * ratio / (ratio - 1.0)), sound_mps * cooled, 1.0


@dataclass(frozen=True, slots=True)
class MuzzleBlast:
    """The blast of a muzzle, a `Waveform`, by the scaling of [Fansler1993].

    Parameters
    ----------
    scaling_length_m : float
        l: how strong the outflow is.
    momentum_index : float
        mu, 0 to below 1: how much of it goes forward.
    barrel_length_m, muzzle_velocity_mps : float
        They make the blow-down parameter, L a / (V l).
    barrel_enu : tuple[float, float, float]
        Unit vector in which the barrel points.
    speed_of_sound_mps, ambient_pressure_pa : float
    gain : float
        Of the pressure: what a suppressor leaves.
    """

    scaling_length_m: float
    momentum_index: float
    barrel_length_m: float
    muzzle_velocity_mps: float
    barrel_enu: tuple[float, float, float]
    speed_of_sound_mps: float
    ambient_pressure_pa: float = AMBIENT_PRESSURE_PA
    gain: float = 1.0

    def __post_init__(self) -> None:
        if not self.scaling_length_m > 0.0:
            raise InputError(f"scaling length {self.scaling_length_m:g} m is not positive", field="scaling_length_m")
        if not 0.0 <= self.momentum_index < 1.0:
            raise InputError(f"momentum index {self.momentum_index:g} is outside 0 to 1", field="momentum_index")
        if abs(math.hypot(*self.barrel_enu) - 1.0) > 1e-6:
            raise InputError(f"barrel direction {self.barrel_enu} is not a unit vector", field="barrel_enu")

    @classmethod
    def of(
        cls,
        weapon: Weapon,
        *,
        azimuth_deg: float,
        elevation_deg: float = 0.0,
        speed_of_sound_mps: float,
        ambient_pressure_pa: float = AMBIENT_PRESSURE_PA,
    ) -> MuzzleBlast:
        """Return the blast of a weapon that points to a bearing and an elevation.

        The momentum index is mu = 0.83 - 0.0063 M sqrt(g p / 2 p0) [Fansler1993 eqs 11, 26], with the gas at the exit
        (`exit_flow`). The scaling length follows from the level measured 1 m left of the muzzle where the weapon has
        one, and otherwise from the rate of energy that flows out,

            l = k sqrt(dE/dt / (p0 a0)),   dE/dt = g p u / (g - 1) (1 + (g - 1) M^2 / 2) A   [Fansler1993 eqs 2, 3],

        with k = 0.085. k = 1, the formula as it is usually quoted, gives an AR-15 187 dB 1 m beside its muzzle, where
        162 to 163 dB are measured [Dater2014]. 0.085 is the middle of what the measured weapons of the table ask for:
        0.07 for rifles, 0.1 for pistols, so that estimated levels are good to about 2 dB.
        """
        pressure_pa, velocity_mps, mach = exit_flow(weapon)
        momentum_index = max(
            0.0, 0.83 - 0.0063 * mach * math.sqrt(GAS_HEAT_RATIO * pressure_pa / ambient_pressure_pa / 2)
        )
        if weapon.peak_db_spl is None:
            power_w = GAS_HEAT_RATIO / (GAS_HEAT_RATIO - 1.0) * pressure_pa * velocity_mps * weapon.bore_area_m2
            power_w *= 1.0 + (GAS_HEAT_RATIO - 1.0) / 2.0 * mach**2
            length_m = _SMALL_ARMS_SCALE * math.sqrt(power_w / (ambient_pressure_pa * speed_of_sound_mps))
        else:
            share = peak_pa_from_db_spl(weapon.peak_db_spl) / ambient_pressure_pa
            sideways_m = (math.sqrt(0.89**2 + 4.0 * 1.61 * share) - 0.89) / (2.0 * 1.61)
            length_m = sideways_m / math.sqrt(1.0 - momentum_index**2)
        return cls(
            scaling_length_m=length_m,
            momentum_index=momentum_index,
            barrel_length_m=weapon.barrel_length_m,
            muzzle_velocity_mps=weapon.muzzle_velocity_mps,
            barrel_enu=direction_enu(azimuth_deg, elevation_deg),
            speed_of_sound_mps=speed_of_sound_mps,
            ambient_pressure_pa=ambient_pressure_pa,
            gain=amplitude_from_db(-weapon.suppressor_db),
        )

    @property
    def peak_pa_m(self) -> float:
        """Peak times distance 1 km ahead of the barrel."""
        return float(self.peak_pa(np.array([_FAR_M]), self._ahead)[0]) * _FAR_M

    @property
    def duration_s(self) -> float:
        """Time in which 60 dB of the wave have passed, 1 km ahead of the barrel."""
        return float(self.positive_phase_s(np.array([_FAR_M]), self._ahead)[0]) * _QUIET_AFTER

    def scaling_m(self, direction: _Real) -> _Real:
        """Return the scaling length of each direction: l (mu cos + sqrt(1 - mu^2 sin^2)) [Fansler1993 eq. 7].

        Parameters
        ----------
        direction : ndarray, shape (n_paths, 3), float64

        Returns
        -------
        ndarray, shape (n_paths,), float64
        """
        cosine = np.clip(direction @ np.array(self.barrel_enu), -1.0, 1.0)
        forward = self.momentum_index * cosine
        sideways = self.momentum_index**2 * (1.0 - cosine**2)
        result: _Real = self.scaling_length_m * (forward + np.sqrt(1.0 - sideways))
        return result

    def peak_pa(self, distance_m: _Real, direction: _Real) -> _Real:
        """Return the peak, 0.89/z + 1.61/z^2 near, 3.48975 / (z sqrt(ln 33119 z)) far [Fansler1993 eqs 25, 31].

        Parameters
        ----------
        distance_m : ndarray, shape (n_paths,), float64
        direction : ndarray, shape (n_paths, 3), float64

        Returns
        -------
        ndarray, shape (n_paths,), float64
        """
        scaled = self._scaled(distance_m, direction)
        far = np.maximum(scaled, _STRONG_WITHIN)
        share = np.where(
            scaled < _STRONG_WITHIN,
            0.89 / scaled + 1.61 / scaled**2,
            3.48975 / (far * np.sqrt(np.log(33_119.0 * far))),
        )
        result: _Real = self.gain * self.ambient_pressure_pa * share
        return result

    def positive_phase_s(self, distance_m: _Real, direction: _Real) -> _Real:
        """Return how long the pressure stays above ambient [Fansler1993 eqs 10, 15, 17, 28].

        Parameters and result as of `peak_pa`.
        """
        scaled = self._scaled(distance_m, direction)
        scaling_m = self.scaling_m(direction)
        blow_down = self.barrel_length_m * self.speed_of_sound_mps / (self.muzzle_velocity_mps * self.scaling_length_m)
        growth = 1.07 * (1.0 - 1.36 * np.exp(-0.049 * scaled)) * self.scaling_length_m / scaling_m
        far = np.maximum(scaled, _STRONG_WITHIN)
        wave = np.where(scaled < _STRONG_WITHIN, _lead(scaled), 2.99 * np.sqrt(np.log(33_119.0 * far)) - 8.534)
        phase_s = (wave + 0.09 - 0.00379 * blow_down + growth) * scaling_m / self.speed_of_sound_mps
        result: _Real = np.maximum(phase_s, _SHORTEST_PHASE * self.scaling_length_m / self.speed_of_sound_mps)
        return result

    def early_s(self, distance_m: _Real, direction: _Real) -> _Real:
        """Return how much sooner the front arrives than sound would, having begun as a shock [Fansler1993 eq. 27].

        Not part of the spectrum, which begins at time zero. A millisecond or so ahead of a rifle, less behind it; the
        fit is for some tens of scaling lengths and grows as the logarithm of distance, beyond them a little too fast
        (by 0.2 ms at 1 km ahead of an M4, going by eq. 31). Parameters and result as of `peak_pa`.
        """
        lead = _lead(self._scaled(distance_m, direction))
        result: _Real = lead * self.scaling_m(direction) / self.speed_of_sound_mps
        return result

    def spectrum_pa_m_s(self, frequency_hz: _Real, *, distance_m: _Real, direction: _Real) -> _Complex:
        """Return the Fourier transform of pressure times distance; see `Waveform`."""
        peak_pa = self.peak_pa(distance_m, direction) * distance_m
        phase_s = self.positive_phase_s(distance_m, direction)
        return friedlander_spectrum_pa_s(frequency_hz, peak_pa=peak_pa, positive_phase_s=phase_s)

    @property
    def _ahead(self) -> _Real:
        return np.array([self.barrel_enu])

    def _scaled(self, distance_m: _Real, direction: _Real) -> _Real:
        if not np.all(distance_m > 0.0):
            raise InputError(
                f"a path of {float(np.min(distance_m)):g} m is not longer than zero; keep microphones off the muzzle"
            )
        result: _Real = distance_m / self.scaling_m(direction)
        return result


def _lead(scaled: _Real) -> _Real:
    """Return scaled distance minus scaled time of arrival of the shock, z - X + 0.52 ln(2X + 2z + 1.04) + 0.56."""
    root = np.sqrt(scaled**2 + 1.04 * scaled + 1.88)
    result: _Real = scaled - root + 0.52 * np.log(2.0 * root + 2.0 * scaled + 1.04) + 0.56
    return result


def kinney_graham(scaled_m: float) -> tuple[float, float]:
    """Return overpressure over ambient, and positive phase in s / kg^(1/3), of TNT in free air [KinneyGraham1985].

    Parameters
    ----------
    scaled_m : float
        Distance over the cube root of the mass, m / kg^(1/3); the fits reach to about 40.
    """
    z = scaled_m
    share = 808.0 * (1.0 + (z / 4.5) ** 2)
    share /= math.sqrt((1.0 + (z / 0.048) ** 2) * (1.0 + (z / 0.32) ** 2) * (1.0 + (z / 1.35) ** 2))
    phase_ms = 980.0 * (1.0 + (z / 0.54) ** 10)
    phase_ms /= (1.0 + (z / 0.02) ** 3) * (1.0 + (z / 0.74) ** 6) * math.sqrt(1.0 + (z / 6.9) ** 2)
    return share, phase_ms * 1e-3


@dataclass(frozen=True, slots=True)
class Blast:
    """The blast of a small charge, a `Waveform`, the same in every direction.

    Beyond the reference distance it obeys weak-shock theory [Pierce1981 ch. 11] with a triangular positive phase, whose
    impulse falls as 1/r: T^2 = T0^2 + B P0 T0 r0 ln(r/r0) / (rho c^3), P T r = P0 T0 r0, B = 1.2. Nearer than the
    reference distance it is taken as acoustic; the near field of a charge is not for this simulator.

    Parameters
    ----------
    peak_pa, positive_phase_s : float
        At the reference distance.
    reference_distance_m, speed_of_sound_mps, ambient_pressure_pa : float
    """

    peak_pa: float
    positive_phase_s: float
    reference_distance_m: float = 1.0
    speed_of_sound_mps: float = STANDARD_SOUND_MPS
    ambient_pressure_pa: float = AMBIENT_PRESSURE_PA

    def __post_init__(self) -> None:
        for name in ("peak_pa", "positive_phase_s", "speed_of_sound_mps", "reference_distance_m"):
            if not getattr(self, name) > 0.0:
                raise InputError(f"{name} {getattr(self, name):g} of a blast is not positive", field=name)

    @classmethod
    def from_tnt(
        cls,
        mass_kg: float,
        *,
        speed_of_sound_mps: float = STANDARD_SOUND_MPS,
        ambient_pressure_pa: float = AMBIENT_PRESSURE_PA,
    ) -> Blast:
        """Return the blast of a mass of TNT, or of what equals it."""
        if not mass_kg > 0.0:
            raise InputError(f"a charge of {mass_kg:g} kg is not positive", field="mass_kg")
        share, phase_s = kinney_graham(_FAR_SCALED_M)
        scale = mass_kg ** (1.0 / 3.0)
        return cls(
            peak_pa=share * ambient_pressure_pa,
            positive_phase_s=phase_s * scale,
            speed_of_sound_mps=speed_of_sound_mps,
            reference_distance_m=_FAR_SCALED_M * scale,
            ambient_pressure_pa=ambient_pressure_pa,
        )

    @classmethod
    def from_level(
        cls,
        peak_db_spl: float,
        *,
        positive_phase_s: float | None = None,
        speed_of_sound_mps: float = STANDARD_SOUND_MPS,
        ambient_pressure_pa: float = AMBIENT_PRESSURE_PA,
    ) -> Blast:
        """Return the blast with a peak level at 1 m; its positive phase is that of TNT so loud unless given."""
        peak_pa = peak_pa_from_db_spl(peak_db_spl)
        if positive_phase_s is None:
            low, high = 0.1, 1e6
            for _ in range(45):  # halves a span of 7 decades to 1e-12
                middle = math.sqrt(low * high)
                low, high = (
                    (middle, high) if kinney_graham(middle)[0] * ambient_pressure_pa > peak_pa else (low, middle)
                )
            positive_phase_s = kinney_graham(low)[1] / low
        return cls(
            peak_pa,
            positive_phase_s,
            speed_of_sound_mps=speed_of_sound_mps,
            ambient_pressure_pa=ambient_pressure_pa,
        )

    @property
    def peak_pa_m(self) -> float:
        """Peak times distance at 1 km."""
        return float(self.peak_at_pa(np.array([_FAR_M]))[0]) * _FAR_M

    @property
    def duration_s(self) -> float:
        """Time in which 60 dB of the wave have passed, at 1 km."""
        return float(self.positive_phase_at_s(np.array([_FAR_M]))[0]) * _QUIET_AFTER

    def positive_phase_at_s(self, distance_m: _Real) -> _Real:
        """Return the positive phase at each distance, shape (n_paths,)."""
        result: _Real = self.positive_phase_s * np.sqrt(self._growth(distance_m))
        return result

    def peak_at_pa(self, distance_m: _Real) -> _Real:
        """Return the peak at each distance, shape (n_paths,)."""
        result: _Real = self.peak_pa * self.reference_distance_m / distance_m / np.sqrt(self._growth(distance_m))
        return result

    def spectrum_pa_m_s(self, frequency_hz: _Real, *, distance_m: _Real, direction: _Real) -> _Complex:
        """Return the Fourier transform of pressure times distance; see `Waveform`. Direction does not matter."""
        if len(direction) != len(distance_m):
            raise InputError(f"{len(direction)} directions for {len(distance_m)} paths; give one for each")
        return friedlander_spectrum_pa_s(
            frequency_hz,
            peak_pa=self.peak_at_pa(distance_m) * distance_m,
            positive_phase_s=self.positive_phase_at_s(distance_m),
        )

    def _growth(self, distance_m: _Real) -> _Real:
        if not np.all(distance_m > 0.0):
            raise InputError(f"a path of {float(np.min(distance_m)):g} m is not longer than zero")
        stiffness_pa_mps = _AIR_HEAT_RATIO * self.ambient_pressure_pa * self.speed_of_sound_mps
        farther = np.log(np.maximum(distance_m / self.reference_distance_m, 1.0))
        per_log = _NONLINEARITY * self.peak_pa * self.reference_distance_m / (stiffness_pa_mps * self.positive_phase_s)
        result: _Real = 1.0 + per_log * farther
        return result
