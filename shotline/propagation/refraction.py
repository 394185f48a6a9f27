"""Wind and temperature that change with height: time along a leg, and the shadow they throw.

Near the ground the wind grows with the logarithm of height and the temperature changes evenly. Sound that goes against
the wind, or in air that cools with height, bends up and leaves a shadow; with the wind it bends down and leaves none.

References
----------
[Stull1988] ch. 9 (logarithmic wind); [Pierce1981] sec. 9-5 and [BerryDaigle1988] (the shadow and its creeping wave);
[Fock1965] (its decay over impedance); [WienerKeast1959], [GilbertRaspetDi1990] (how deep shadows get).
See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.propagation.ground import surface_admittance
from shotline.units import CELSIUS_ZERO_K

__all__ = [
    "EffectiveProfile",
    "creeping_radius_m",
    "effective_gradient_per_s",
    "leg_travel_time_s",
    "shadow_attenuation_db",
    "shadow_distance_m",
    "shadow_edge_m",
]

_REFERENCE_SPEED_MPS = 331.3  # At CELSIUS_ZERO_K, in dry air.
_GAUSS_NODES, _GAUSS_WEIGHTS = np.polynomial.legendre.leggauss(16)
_NODES, _WEIGHTS = 0.5 * (1.0 + _GAUSS_NODES), 0.5 * _GAUSS_WEIGHTS  # From 0 to 1.
_SAME_HEIGHT = 1e-6
_RIGID_ROOT = 1.018792971647471 * np.exp(1j * np.pi / 3.0)
_SOFT_ROOT = 2.338107410459767 * np.exp(1j * np.pi / 3.0)
_ROOT_STEPS = 20
_HEIGHT_STEPS = 12
_SHADOW_LIMIT_DB = 25.0


@dataclass(frozen=True, slots=True)
class EffectiveProfile:
    """How wind and temperature change with the height above the ground.

    Parameters
    ----------
    speed_of_sound_mps : float
        In still air at the ground.
    wind_enu_mps : (float, float)
        Where the air goes, east and north, at the reference height.
    wind_reference_height_m : float
        Where that wind is measured; 10 m is the meteorologists' height.
    roughness_length_m : float or None
        Height scale of the logarithmic wind: 0.01 cut grass, 0.03 open field, 0.1 crops, 0.5 to 1 suburb and forest.
        None is a wind that is the same at all heights.
    temperature_gradient_k_per_m : float
        Change per metre up: -0.0098 well-mixed air, positive in an inversion.
    """

    speed_of_sound_mps: float
    wind_enu_mps: tuple[float, float] = (0.0, 0.0)
    wind_reference_height_m: float = 10.0
    roughness_length_m: float | None = None
    temperature_gradient_k_per_m: float = 0.0

    def __post_init__(self) -> None:
        if not self.speed_of_sound_mps > 0.0:
            raise InputError(f"speed of sound {self.speed_of_sound_mps:g} m/s is not positive; give that of still air")
        if not math.hypot(*self.wind_enu_mps) < self.speed_of_sound_mps:
            raise InputError(f"wind {self.wind_enu_mps} m/s is not slower than sound; give east and north in m/s")
        if not self.wind_reference_height_m > 0.0:
            raise InputError(f"wind reference height {self.wind_reference_height_m:g} m is not above the ground")
        if self.roughness_length_m is not None and not self.roughness_length_m > 0.0:
            raise InputError(
                f"roughness length {self.roughness_length_m:g} m is not positive; give None for a uniform wind"
            )

    def still_speed_mps(self, height_m: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the speed of sound in still air of that height, c0 sqrt(1 + gradient z / T0). Below ground: at it."""
        kelvin = CELSIUS_ZERO_K * (self.speed_of_sound_mps / _REFERENCE_SPEED_MPS) ** 2
        result: NDArray[np.float64] = self.speed_of_sound_mps * np.sqrt(
            1.0 + self.temperature_gradient_k_per_m / kelvin * np.maximum(height_m, 0.0)
        )
        return result

    def wind_factor(self, height_m: float | NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the wind over that at the reference height, ln(1 + z / z0) / ln(1 + z_ref / z0) [Stull1988 ch. 9].

        The 1 + keeps the wind 0 at the ground itself, where the textbook form is minus infinity.
        """
        height = np.maximum(np.asarray(height_m, dtype=np.float64), 0.0)
        if self.roughness_length_m is None:
            return np.ones_like(height)
        result: NDArray[np.float64] = np.log1p(height / self.roughness_length_m) / math.log1p(
            self.wind_reference_height_m / self.roughness_length_m
        )
        return result

    def effective_speed_mps(
        self, height_m: float | NDArray[np.float64], direction: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the speed of sound plus the wind along the path: what bends nearly horizontal rays.

        Parameters
        ----------
        height_m : float or ndarray, shape (...), float64
            Above the ground.
        direction : ndarray, shape (..., 2), float64
            East and north, where the sound goes; of any length. Straight up (0, 0) has no wind along it.

        Returns
        -------
        ndarray, shape (...), float64
        """
        return self.still_speed_mps(height_m) + self.wind_factor(height_m) * self._wind_along_mps(direction)

    def effective_slope_per_s(
        self, height_m: float | NDArray[np.float64], direction: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return the derivative of `effective_speed_mps` by height, at heights from the ground up."""
        height = np.maximum(np.asarray(height_m, dtype=np.float64), 0.0)
        kelvin = CELSIUS_ZERO_K * (self.speed_of_sound_mps / _REFERENCE_SPEED_MPS) ** 2
        still = self.speed_of_sound_mps**2 * self.temperature_gradient_k_per_m / kelvin / 2.0
        result: NDArray[np.float64] = still / self.still_speed_mps(height)
        if self.roughness_length_m is not None:
            whole = math.log1p(self.wind_reference_height_m / self.roughness_length_m)
            result = result + self._wind_along_mps(direction) / (whole * (height + self.roughness_length_m))
        return result

    def _wind_along_mps(self, direction: NDArray[np.float64]) -> NDArray[np.float64]:
        along: NDArray[np.float64] = np.asarray(direction) @ np.asarray(self.wind_enu_mps)
        length = np.linalg.norm(direction, axis=-1)
        result: NDArray[np.float64] = along / np.where(length == 0.0, 1.0, length)
        return result


def leg_travel_time_s(
    start_m: NDArray[np.float64], end_m: NDArray[np.float64], *, profile: EffectiveProfile
) -> NDArray[np.float64]:
    """Return the time along straight legs through air whose wind and temperature change with height.

    Per metre, sound that moves along the unit vector e takes (sqrt((w·e)² + c² - w²) - w·e) / (c² - w²), which is what
    `shotline.propagation.travel_time_s` takes in uniform air; it is integrated over the leg with 16 points in the
    logarithm of height. Fermat's principle makes the time along the straight chord right to first order in the
    gradient: in a gradient of g per second over a distance d the true, bent way is g² d³ / (24 c³) faster.

    Parameters
    ----------
    start_m, end_m : ndarray, shape (..., 3), float64
        East, north, and height above the ground; what is below the ground counts as on it. They broadcast.

    Returns
    -------
    ndarray, shape (...), float64
        Seconds.
    """
    path_m = np.asarray(end_m, dtype=np.float64) - np.asarray(start_m, dtype=np.float64)
    length_m = np.linalg.norm(path_m, axis=-1)
    low_m = np.broadcast_to(np.maximum(np.asarray(start_m)[..., 2], 0.0), length_m.shape)[..., None]
    rise_m = np.broadcast_to(np.maximum(np.asarray(end_m)[..., 2], 0.0), length_m.shape)[..., None] - low_m
    height_m, weight = _leg_points(low_m, rise_m, profile.roughness_length_m)
    unit = path_m[..., :2] / np.where(length_m == 0.0, 1.0, length_m)[..., None]
    factor = profile.wind_factor(height_m)
    along_mps = factor * (unit @ np.asarray(profile.wind_enu_mps))[..., None]
    margin = profile.still_speed_mps(height_m) ** 2 - factor**2 * math.hypot(*profile.wind_enu_mps) ** 2
    slowness = (np.sqrt(along_mps**2 + margin) - along_mps) / margin
    result: NDArray[np.float64] = length_m * (slowness * weight).sum(axis=-1)
    return result


def effective_gradient_per_s(
    low_m: float | NDArray[np.float64],
    high_m: float | NDArray[np.float64],
    *,
    direction: NDArray[np.float64],
    profile: EffectiveProfile,
) -> NDArray[np.float64]:
    """Return the mean gradient of the effective speed between two heights, negative where sound bends up.

    Parameters
    ----------
    low_m, high_m : float or ndarray, shape (...), float64
        Heights above the ground. Where they are the same, the gradient at that height.
    direction : ndarray, shape (..., 2), float64
        East and north, where the sound goes.

    Returns
    -------
    ndarray, shape (...), float64
        Metres per second per metre.
    """
    low = np.maximum(np.asarray(low_m, dtype=np.float64), 0.0)
    rise = np.maximum(np.asarray(high_m, dtype=np.float64), 0.0) - low
    # Below a micrometre per metre the difference of two speeds is rounding; the slope is then right to that ratio.
    same = np.abs(rise) < _SAME_HEIGHT * (1.0 + low)
    difference_mps = profile.effective_speed_mps(low + rise, direction) - profile.effective_speed_mps(low, direction)
    return np.where(same, profile.effective_slope_per_s(low, direction), difference_mps / np.where(same, 1.0, rise))


def shadow_distance_m(
    gradient_per_s: float | NDArray[np.float64],
    *,
    source_height_m: float | NDArray[np.float64],
    receiver_height_m: float | NDArray[np.float64],
    speed_of_sound_mps: float,
) -> NDArray[np.float64]:
    """Return where the shadow begins in a uniform gradient, sqrt(2 R) (sqrt(hs) + sqrt(hr)), R = c / |g| [Pierce1981].

    Parameters
    ----------
    gradient_per_s : float or ndarray, float64
        Of the effective speed; 0 and above bend nothing up, and the shadow is infinitely far.
    source_height_m, receiver_height_m : float or ndarray, float64
        Above the ground, much less than R.

    Returns
    -------
    ndarray, float64
        Metres along the ground, in the broadcast shape.
    """
    upward = np.maximum(-np.asarray(gradient_per_s, dtype=np.float64), 0.0)
    with np.errstate(divide="ignore"):
        diameter_m = np.where(upward > 0.0, 2.0 * speed_of_sound_mps / upward, np.inf)
    heights = np.sqrt(np.maximum(source_height_m, 0.0)) + np.sqrt(np.maximum(receiver_height_m, 0.0))
    # Two points on the ground are in the shadow from the first metre, but of nothing if there is no gradient.
    result: NDArray[np.float64] = np.where(
        np.isfinite(diameter_m), np.sqrt(np.where(np.isfinite(diameter_m), diameter_m, 0.0)) * heights, np.inf
    )
    return result


def shadow_edge_m(
    source_height_m: float | NDArray[np.float64],
    receiver_height_m: float | NDArray[np.float64],
    *,
    direction: NDArray[np.float64],
    profile: EffectiveProfile,
) -> NDArray[np.float64]:
    """Return where the shadow begins in a profile: `shadow_distance_m`, each height with its own mean gradient.

    The mean from the ground to a height stands for what waves see: rays in a logarithmic wind, whose gradient at the
    ground is larger than a wavelength can feel, would put the edge 20 to 45 % nearer.

    Parameters
    ----------
    source_height_m, receiver_height_m : float or ndarray, shape (...), float64
        Above the ground.
    direction : ndarray, shape (..., 2), float64
        East and north, where the sound goes.

    Returns
    -------
    ndarray, shape (...), float64
        Metres along the ground; infinity where either way is not bent up.
    """
    parts_m = [
        shadow_distance_m(
            effective_gradient_per_s(0.0, height_m, direction=direction, profile=profile),
            source_height_m=height_m,
            receiver_height_m=0.0,
            speed_of_sound_mps=profile.speed_of_sound_mps,
        )
        for height_m in (source_height_m, receiver_height_m)
    ]
    return parts_m[0] + parts_m[1]


def creeping_radius_m(
    frequency_hz: NDArray[np.float64],
    *,
    direction: NDArray[np.float64],
    flow_resistivity_pa_s_per_m2: float | NDArray[np.float64],
    profile: EffectiveProfile,
) -> NDArray[np.float64]:
    """Return the radius of the even gradient in which sound would creep with the decay that it has in this profile.

    It is that of the gradient at the height z = (2 / pi) Im(tau) l, l = (R / 2k²)^(1/3) the thickness of the creeping
    wave and tau its root (see `shadow_attenuation_db`), found by iterating R -> l -> z -> R from the ground up: low
    sounds creep high above the steep gradient at the ground. In an even gradient the height does not matter; for the
    logarithmic wind b ln(1 + z / z0) with z0 << l, the factor 2 / pi is the one that makes it exact: in
    U'' + (ln y - t) U = 0 the substitution y = i s leaves a real bound state and Im(t) = pi / 2, hence a decay of
    pi k b / 2c nepers per metre over rigid and soft ground alike.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
        From 0 Hz on; below 1 Hz as at 1 Hz. The result is smooth: some thirty frequencies, interpolated, are enough.
    direction : ndarray, shape (2,) or (n_paths, 1, 2), float64
        East and north, where the sound goes.
    flow_resistivity_pa_s_per_m2 : float or ndarray, shape (n_paths, 1), float64
        Of the ground; infinity is rigid.

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), float64
        Metres; infinity where sound is not bent up.
    """
    speed_mps = profile.speed_of_sound_mps
    frequency = np.maximum(np.asarray(frequency_hz, dtype=np.float64), 1.0)
    wavenumber_per_m = 2.0 * np.pi * frequency / speed_mps
    admittance = surface_admittance(frequency, flow_resistivity_pa_s_per_m2)
    height_m = np.zeros(())
    bent = np.asarray(True)
    radius_m = np.zeros(())
    for _ in range(_HEIGHT_STEPS):
        slope_per_s = profile.effective_slope_per_s(height_m, direction)
        bent = np.logical_and(bent, slope_per_s < 0.0)
        radius_m = speed_mps / np.where(bent, -slope_per_s, speed_mps)
        root = _creeping_root(1j * np.cbrt(wavenumber_per_m * radius_m / 2.0) * np.conj(admittance))
        height_m = (2.0 / np.pi) * root.imag * np.cbrt(radius_m / (2.0 * wavenumber_per_m**2))
    return np.where(np.broadcast_to(bent, height_m.shape), radius_m, np.inf)


def shadow_attenuation_db(
    frequency_hz: NDArray[np.float64],
    *,
    distance_m: float | NDArray[np.float64],
    shadow_distance_m: float | NDArray[np.float64],
    curvature_radius_m: float | NDArray[np.float64],
    flow_resistivity_pa_s_per_m2: float | NDArray[np.float64],
    speed_of_sound_mps: float,
    limit_db: float | None = _SHADOW_LIMIT_DB,
) -> NDArray[np.float64]:
    """Return what an acoustic shadow takes from the field that the same ground would leave without refraction.

    Beyond the edge sound creeps along the ground. The slowest mode decays by Im(tau) k^(1/3) / (2^(1/3) R^(2/3)) nepers
    per metre and spreads as 1 / sqrt(r), not 1 / r [Pierce1981 sec. 9-5; BerryDaigle1988]: it takes that decay over the
    way beyond the edge, less 10 lg(r / edge), which begins where it is the smaller. tau is the first root of
    w1'(tau) = q w1(tau), w1 being Airy's function [Fock1965], q = i (kR/2)^(1/3) times the admittance of the ground:
    1.019 exp(i pi/3) rigid, 2.338 exp(i pi/3) soft. What the mode has lost at the edge already (1 to 5 dB, rigid) is
    left out, so that nothing jumps there.

    Against the whole residue series in even gradients (R = 2 to 20 km, to three times the edge, 63 Hz to 2 kHz, both
    limited to 25 dB): bias -2 dB and rms 3 dB on asphalt, -3 and 6 dB on grass, whose own interference has dips.
    Against a parabolic equation in logarithmic winds of 3 to 10 m/s, with `shadow_edge_m` and `creeping_radius_m`:
    bias 2 dB and rms 6 dB; grass at 125 to 250 Hz is the worst, 5 dB too dark.

    Parameters
    ----------
    frequency_hz : ndarray, shape (n_frequencies,), float64
        From 0 Hz on.
    distance_m, shadow_distance_m : float or ndarray, shape (n_paths, 1), float64
        Of the receiver, and of the edge of the shadow, along the ground. Nearer than the edge: 0 dB.
    curvature_radius_m : float or ndarray, shape (n_paths, 1) or (n_paths, n_frequencies), float64
        Speed over gradient, or `creeping_radius_m`; infinity for straight rays, and for those that bend down.
    flow_resistivity_pa_s_per_m2 : float or ndarray, shape (n_paths, 1), float64
        Of the ground; infinity is rigid.
    limit_db : float or None
        Turbulence scatters sound into shadows, which are measured to be 20 to 30 dB deep and no deeper
        [WienerKeast1959; GilbertRaspetDi1990]. None for no limit.

    Returns
    -------
    ndarray, shape (n_frequencies,) or (n_paths, n_frequencies), float64
        Decibels, not negative.
    """
    wavenumber_per_m = 2.0 * np.pi * np.asarray(frequency_hz, dtype=np.float64) / speed_of_sound_mps
    radius_m = np.asarray(curvature_radius_m, dtype=np.float64)
    bent = np.isfinite(radius_m)
    radius_m = np.where(bent, radius_m, 1.0)
    admittance = surface_admittance(np.asarray(frequency_hz), flow_resistivity_pa_s_per_m2)
    # Fock writes exp(-i omega t), in which the admittance is the conjugate.
    root = _creeping_root(1j * np.cbrt(wavenumber_per_m * radius_m / 2.0) * np.conj(admittance))
    decay_per_m = root.imag * np.cbrt(wavenumber_per_m / (2.0 * radius_m**2))
    decay_per_m = np.where(bent, decay_per_m, 0.0)
    range_m = np.asarray(distance_m, dtype=np.float64)
    edge_m = np.asarray(shadow_distance_m, dtype=np.float64)
    inside_m = np.maximum(range_m - edge_m, 0.0)
    # r over the larger of the edge and 1 / (2 decay), where the logarithm grows as fast as the decay takes.
    spread = np.minimum(range_m / np.maximum(edge_m, 1e-9), 2.0 * decay_per_m * range_m)
    result: NDArray[np.float64] = 20.0 / math.log(10.0) * decay_per_m * inside_m - 10.0 * np.log10(
        np.maximum(spread, 1.0)
    )
    return result if limit_db is None else np.minimum(result, limit_db)


def _leg_points(
    low_m: NDArray[np.float64], rise_m: NDArray[np.float64], rough_m: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return heights along legs, shape (..., 16), and weights that sum to 1; in the log of height where it is rough."""
    if rough_m is None:
        return low_m + rise_m * _NODES, np.broadcast_to(_WEIGHTS, (*rise_m.shape[:-1], _WEIGHTS.size))
    base_m = low_m + rough_m
    span = np.log1p(rise_m / base_m)
    growth = np.expm1(span * _NODES)
    flat = np.abs(rise_m) < _SAME_HEIGHT * base_m
    stretch = np.where(flat, 1.0, span * base_m / np.where(flat, 1.0, rise_m))
    weight = _WEIGHTS * (1.0 + growth) * stretch
    return low_m + base_m * growth, weight / weight.sum(axis=-1, keepdims=True)


def _creeping_root(q: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Return the first root of w1'(tau) = q w1(tau), followed from the rigid (q = 0) or the soft (1 / q = 0) end.

    Airy's equation w1'' = tau w1 makes d tau / d q = 1 / (tau - q²), and with u = 1 / q, d tau / d u = 1 / (1 - tau u²)
    [Fock1965]. For the q of porous ground (argument 30 to 60 degrees) both ends lead to the same root.
    """
    near = np.abs(q) <= 1.0
    goal = np.where(near, q, 1.0 / np.where(near, 1.0, q))

    def slope(x: NDArray[np.complex128], tau: NDArray[np.complex128]) -> NDArray[np.complex128]:
        result: NDArray[np.complex128] = np.reciprocal(np.where(near, tau - x**2, 1.0 - tau * x**2))
        return result

    return _runge_kutta(slope, np.where(near, _RIGID_ROOT, _SOFT_ROOT), goal)


def _runge_kutta(
    slope: Callable[[NDArray[np.complex128], NDArray[np.complex128]], NDArray[np.complex128]],
    value: NDArray[np.complex128],
    goal: NDArray[np.complex128],
) -> NDArray[np.complex128]:
    """Return the solution at `goal` of the differential equation that has `value` at 0."""
    step = goal / _ROOT_STEPS
    for index in range(_ROOT_STEPS):
        at = step * complex(index)
        first = slope(at, value)
        second = slope(at + 0.5 * step, value + 0.5 * step * first)
        third = slope(at + 0.5 * step, value + 0.5 * step * second)
        fourth = slope(at + step, value + step * third)
        value = value + (step / 6.0) * (first + 2.0 * second + 2.0 * third + fourth)
    return value
