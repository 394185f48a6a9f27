"""Kinds of noise: wind at the microphone, the city far away, vehicles that pass, insects, rain.

References
----------
[Morgan1992] what wind does to a microphone outdoors is the pressure rho V u of turbulence that is carried past it.
[Kaimal1972] the spectrum of that turbulence. [VanDenBerg2006] both together, as levels in third octaves, and what a
screen averages away. [Strasberg1988] the far lower noise of a screen in an even flow. [CNOSSOS2021] sound power of
vehicles per octave. [IEC2013] A-weighting. See docs/references.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from shotline.propagation import absorption_db_per_m
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA, a_weighting, integral
from shotline_recordings.simulate.limits import check_limits
from shotline_recordings.simulate.noise import TRACK_STEP_S

__all__ = ["CityNoise", "InsectNoise", "RainNoise", "TrafficNoise", "WindNoise"]

_Real = NDArray[np.float64]

_AIR_DENSITY_KG_PER_M3 = 1.23
_KARMAN = 0.4
_AUDIBLE_HZ = np.geomspace(20.0, 20_000.0, 4_000)

_OCTAVES_HZ = np.array([63.0, 125.0, 250.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0])
_REFERENCE_SPEED_KMH = 70.0
_SLOWEST_MPS, _FASTEST_MPS = 20.0 / 3.6, 130.0 / 3.6
_ROLLING_A = np.array(
    [[83.1, 89.2, 87.7, 93.1, 100.1, 96.7, 86.8, 76.2], [91.7, 96.2, 98.2, 104.9, 105.1, 98.5, 91.1, 85.6]]
)
_ROLLING_B = np.array(
    [[30.0, 41.5, 38.9, 25.7, 32.5, 37.2, 39.0, 40.0], [30.0, 33.5, 31.3, 25.4, 31.8, 37.1, 38.6, 40.6]]
)
_PROPULSION_A = np.array(
    [[97.9, 92.5, 90.7, 87.2, 84.7, 88.0, 84.4, 77.1], [108.8, 104.2, 103.5, 102.9, 102.6, 98.5, 93.8, 87.5]]
)
_PROPULSION_B = np.array([[-1.3, 7.2, 7.7, 8.0, 8.0, 8.0, 8.0, 8.0], [0.0, 3.0, 4.6, 5.0, 5.0, 5.0, 5.0, 5.0]])
"""Light and heavy vehicles by octave from 63 Hz to 8 kHz [CNOSSOS2021 table F-1]."""
_SPEED_SPREAD = 0.2
_VEHICLE_SIGMA_DB = 2.0


@dataclass(frozen=True, slots=True)
class WindNoise:
    """Turbulence carried past the microphone: pressure, not sound; its own at every node.

    The spectral density is (rho V)^2 S_u(f) / (1 + (f/f_c)^2): stagnation pressure rho V u [Morgan1992], with
    S_u(f) = 105 u_*^2 (z/V) (1 + 33 f z/V)^(-5/3) [Kaimal1972], u_* = 0.4 V / ln(z/z_0), and f_c = V/(3D) above
    which a screen averages over eddies smaller than itself. In third octaves that is [VanDenBerg2006]
    40 lg V - 6.67 lg(f z/V) - 20 lg(0.2 ln(z/z_0)) + 62.4 dB below f_c. Density falls as f^(-5/3), above f_c as
    f^(-11/3); at a given frequency above f_c the level grows as 66.7 lg V. In an even flow, as in a wind tunnel, it is
    far less [Strasberg1988]. The constant follows from the two formulas and is the paper's; f_c is from memory, and a
    screen's own pressure coefficient is left out: expect 6 dB either way, and set ``attenuation_db`` where known.

    Parameters
    ----------
    wind_speed_mps : float
        Mean, at the microphone.
    screen_diameter_m : float
        Of the wind screen, or of what surrounds a bare port (about 0.01).
    height_m, roughness_m : float
        Height above ground, and the roughness length of the surroundings: 0.01 lawn, 0.1 fields, 0.5 suburb.
    attenuation_db : float
        By fur or a box around it, at all frequencies; 0 or less.
    gust_sigma_db, gust_time_s : float
        Spread of the level in time, and how long a gust lasts. Estimated; the mean power stays.
    """

    wind_speed_mps: float
    screen_diameter_m: float = 0.09
    height_m: float = 4.0
    roughness_m: float = 0.1
    attenuation_db: float = 0.0
    gust_sigma_db: float = 4.0
    gust_time_s: float = 4.0

    def __post_init__(self) -> None:
        check_limits("wind_speed_mps", self.wind_speed_mps, 0.0, 60.0, "m/s at the microphone")
        check_limits("screen_diameter_m", self.screen_diameter_m, 0.001, 2.0, "m")
        check_limits("roughness_m", self.roughness_m, 1e-5, 5.0, "m")
        check_limits(
            "height_m", self.height_m, 1.5 * self.roughness_m, 500.0, "m, at least 1.5 times the roughness length"
        )
        check_limits("attenuation_db", self.attenuation_db, -60.0, 0.0, "dB")
        _check_slow(self.gust_sigma_db, self.gust_time_s, "gust")

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at mean strength, shape (1, n_frequencies)."""
        speed = self.wind_speed_mps
        if speed == 0.0:
            return np.zeros((1, len(frequency_hz)))
        friction_mps = _KARMAN * speed / math.log(self.height_m / self.roughness_m)
        turnover_s = self.height_m / speed
        velocity = 105.0 * friction_mps**2 * turnover_s * (1.0 + 33.0 * frequency_hz * turnover_s) ** (-5.0 / 3.0)
        screened = 1.0 + (frequency_hz * 3.0 * self.screen_diameter_m / speed) ** 2
        scale = (_AIR_DENSITY_KG_PER_M3 * speed) ** 2 * 10.0 ** (self.attenuation_db / 10.0)
        return np.asarray(scale * velocity / screened)[np.newaxis]

    def mean_powers(self) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones(1)

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw gusts, shape (1, n_steps)."""
        return _slow_powers(self.gust_sigma_db, self.gust_time_s, duration_s, rng)


@dataclass(frozen=True, slots=True)
class CityNoise:
    """All that is too far away to be told apart.

    The density falls 4.5 dB per octave (pink, and a little more), 10.5 above 2 kHz where the air takes its share:
    estimated, between the spectra of distant traffic and of machines.

    Parameters
    ----------
    level_dba : float
        A-weighted rms: 35 a suburb at night, 45 by day, 55 down town.
    sigma_db, time_s : float
        Spread of the level in time, and how long it takes to change. The mean power stays.
    """

    level_dba: float
    sigma_db: float = 1.5
    time_s: float = 10.0

    def __post_init__(self) -> None:
        check_limits("level_dba", self.level_dba, -20.0, 120.0, "dB(A)")
        _check_slow(self.sigma_db, self.time_s, "level")

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at mean strength, shape (1, n_frequencies)."""
        return _at_dba(self.level_dba, _city_shape, frequency_hz)

    def mean_powers(self) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones(1)

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw slow changes, shape (1, n_steps)."""
        return _slow_powers(self.sigma_db, self.time_s, duration_s, rng)


@dataclass(frozen=True, slots=True)
class RainNoise:
    """Rain on hard ground and roofs: broad, from 500 Hz to 8 kHz (estimated shape).

    Parameters
    ----------
    level_dba : float
        A-weighted rms: 45 drizzle, 60 a downpour.
    sigma_db, time_s : float
        Spread of the level in time, and how long it takes to change. The mean power stays.
    """

    level_dba: float
    sigma_db: float = 2.0
    time_s: float = 10.0

    def __post_init__(self) -> None:
        check_limits("level_dba", self.level_dba, -20.0, 120.0, "dB(A)")
        _check_slow(self.sigma_db, self.time_s, "level")

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at mean strength, shape (1, n_frequencies)."""
        return _at_dba(self.level_dba, _rain_shape, frequency_hz)

    def mean_powers(self) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones(1)

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw slow changes, shape (1, n_steps)."""
        return _slow_powers(self.sigma_db, self.time_s, duration_s, rng)


@dataclass(frozen=True, slots=True)
class InsectNoise:
    """A chorus of crickets or cicadas: a narrow band that swells and sinks. Single chirps are not resolved.

    Parameters
    ----------
    level_db_spl : float
        Rms.
    centre_hz, bandwidth_hz : float
        Middle of the band and standard deviation about it: 4.5 kHz field crickets, 6 to 8 kHz cicadas.
    sigma_db, time_s : float
        Spread of the level in time, and how long it takes to change. The mean power stays.
    """

    level_db_spl: float
    centre_hz: float = 4_500.0
    bandwidth_hz: float = 400.0
    sigma_db: float = 3.0
    time_s: float = 1.0

    def __post_init__(self) -> None:
        check_limits("level_db_spl", self.level_db_spl, -20.0, 120.0, "dB SPL")
        check_limits("centre_hz", self.centre_hz, 500.0, 20_000.0, "Hz")
        check_limits("bandwidth_hz", self.bandwidth_hz, 50.0, 0.3 * self.centre_hz, "Hz, up to 0.3 of the centre")
        _check_slow(self.sigma_db, self.time_s, "level")

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the density at mean strength, shape (1, n_frequencies)."""
        power_pa2 = REFERENCE_PRESSURE_PA**2 * 10.0 ** (self.level_db_spl / 10.0)
        distance = (frequency_hz - self.centre_hz) / self.bandwidth_hz
        density = power_pa2 / (math.sqrt(2.0 * math.pi) * self.bandwidth_hz) * np.exp(-0.5 * distance**2)
        return np.asarray(density)[np.newaxis]

    def mean_powers(self) -> NDArray[np.float64]:
        """Return 1."""
        return np.ones(1)

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw slow changes, shape (1, n_steps)."""
        return _slow_powers(self.sigma_db, self.time_s, duration_s, rng)


@dataclass(frozen=True, slots=True)
class TrafficNoise:
    """Vehicles that pass one at a time on a straight road: tyres about 1 kHz, engines below.

    Sound power by octave, class and speed from rolling and propulsion [CNOSSOS2021 eq. 2.2.4 and 2.2.11, table F-1],
    over hard ground (half a sphere), by r^2(t) = d^2 + (v t)^2, and through air that absorbs [ISO9613], so that a far
    vehicle is duller than a near one. Passes come at random (Poisson); each has its own speed (20 % either way) and
    level (2 dB, estimated).

    Parameters
    ----------
    passes_per_minute : float
    distance_m : float
        From the microphone to the lane.
    speed_mps : float
        Mean; 20 to 130 km/h.
    heavy_share : float
        Lorries and buses, 0 to 1.
    temperature_c, humidity_percent : float
        Of the air.
    """

    passes_per_minute: float
    distance_m: float = 15.0
    speed_mps: float = 13.9
    heavy_share: float = 0.05
    temperature_c: float = 15.0
    humidity_percent: float = 60.0

    def __post_init__(self) -> None:
        check_limits("passes_per_minute", self.passes_per_minute, 0.0, 600.0, "vehicles")
        check_limits("distance_m", self.distance_m, 3.0, 2_000.0, "m")
        check_limits("speed_mps", self.speed_mps, _SLOWEST_MPS, _FASTEST_MPS, "m/s (20 to 130 km/h)")
        check_limits("heavy_share", self.heavy_share, 0.0, 1.0, "of all vehicles")
        check_limits("temperature_c", self.temperature_c, -60.0, 60.0, "°C")
        check_limits("humidity_percent", self.humidity_percent, 1.0, 100.0, "%")

    def spectra_pa2_per_hz(self, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return one spectrum per octave, shape (8, n_frequencies): a triangle over log frequency, 1 Pa^2 in all."""
        return _octave_shapes(frequency_hz) / integral(_octave_shapes(_AUDIBLE_HZ), _AUDIBLE_HZ)[:, np.newaxis]

    def mean_powers(self) -> NDArray[np.float64]:
        """Return the mean square pressure per octave, shape (8,), in Pa^2: an integral over speeds and one pass."""
        nodes, weights = np.polynomial.legendre.leggauss(5)
        scatter = math.exp(0.5 * (_VEHICLE_SIGMA_DB * math.log(10.0) / 10.0) ** 2)
        total = np.zeros(len(_OCTAVES_HZ))
        for node, weight in zip(nodes, weights, strict=True):
            speed_mps = self.speed_mps * (1.0 + _SPEED_SPREAD * float(node))
            reach_s = self._reach_s(speed_mps)
            time_s = np.sinh(np.linspace(-1.0, 1.0, 801) * math.asinh(30.0)) * (reach_s / 30.0)
            passing = integral(self._passing_powers(speed_mps, time_s), time_s)
            for kind, share in enumerate((1.0 - self.heavy_share, self.heavy_share)):
                total += 0.5 * float(weight) * share * scatter * _sound_power(kind, speed_mps) * passing
        result: NDArray[np.float64] = total * (self.passes_per_minute / 60.0)
        return result

    def draw_powers(self, duration_s: float, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw vehicles; return the mean square pressure per octave over time, shape (8, n_steps), in Pa^2."""
        time_s = _steps_s(duration_s)
        margin_s = self._reach_s(self.speed_mps * (1.0 - _SPEED_SPREAD))
        count = int(rng.poisson(self.passes_per_minute / 60.0 * (time_s[-1] + 2.0 * margin_s)))
        nearest_s = rng.uniform(-margin_s, time_s[-1] + margin_s, count)
        speeds_mps = self.speed_mps * rng.uniform(1.0 - _SPEED_SPREAD, 1.0 + _SPEED_SPREAD, count)
        heavy = rng.random(count) < self.heavy_share
        scatter_db = rng.normal(0.0, _VEHICLE_SIGMA_DB, count)
        total = np.zeros((len(_OCTAVES_HZ), len(time_s)))
        for middle_s, speed_mps, kind, louder_db in zip(nearest_s, speeds_mps, heavy, scatter_db, strict=True):
            reach_s = self._reach_s(float(speed_mps))
            near = slice(*np.searchsorted(time_s, (middle_s - reach_s, middle_s + reach_s)))
            power = _sound_power(int(kind), float(speed_mps)) * 10.0 ** (louder_db / 10.0)
            total[:, near] += power[:, np.newaxis] * self._passing_powers(float(speed_mps), time_s[near] - middle_s)
        return total

    def _reach_s(self, speed_mps: float) -> float:
        """Return how long before and after a vehicle is heard: 97 % of its energy and more."""
        return 30.0 * self.distance_m / speed_mps

    def _passing_powers(self, speed_mps: float, time_s: _Real) -> _Real:
        """Return mean square pressure per octave for a sound power of 1 pW, shape (8, n_times)."""
        distance_m = np.hypot(self.distance_m, speed_mps * time_s)
        absorbed = absorption_db_per_m(
            _OCTAVES_HZ, temperature_c=self.temperature_c, humidity_percent=self.humidity_percent
        )
        spread = REFERENCE_PRESSURE_PA**2 / (2.0 * np.pi * distance_m**2)
        return np.asarray(spread * 10.0 ** (-0.1 * absorbed[:, np.newaxis] * distance_m))


def _sound_power(kind: int, speed_mps: float) -> _Real:
    """Return sound power per octave relative to 1 pW, shape (8,); kind 0 light, 1 heavy [CNOSSOS2021]."""
    relative = speed_mps * 3.6 / _REFERENCE_SPEED_KMH
    rolling_db = _ROLLING_A[kind] + _ROLLING_B[kind] * math.log10(relative)
    propulsion_db = _PROPULSION_A[kind] + _PROPULSION_B[kind] * (relative - 1.0)
    return np.asarray(10.0 ** (rolling_db / 10.0) + 10.0 ** (propulsion_db / 10.0))


def _octave_shapes(frequency_hz: _Real) -> _Real:
    octave = np.log2(frequency_hz / 1_000.0)[np.newaxis]
    middle = np.arange(-4.0, 4.0)[:, np.newaxis]
    triangle = np.clip(1.0 - np.abs(octave - middle), 0.0, 1.0)
    return np.asarray(triangle / frequency_hz)


def _city_shape(frequency_hz: _Real) -> _Real:
    return np.asarray(frequency_hz**-1.5 / (1.0 + (frequency_hz / 2_000.0) ** 2))


def _rain_shape(frequency_hz: _Real) -> _Real:
    return np.asarray(1.0 / ((1.0 + (500.0 / frequency_hz) ** 2) * (1.0 + (frequency_hz / 8_000.0) ** 4)))


def _at_dba(level_dba: float, shape: Callable[[_Real], _Real], frequency_hz: _Real) -> _Real:
    """Return a density of this shape, shape (1, n_frequencies), whose A-weighted level from 20 Hz to 20 kHz is this."""
    heard = float(integral(shape(_AUDIBLE_HZ) * a_weighting(_AUDIBLE_HZ) ** 2, _AUDIBLE_HZ))
    scale = REFERENCE_PRESSURE_PA**2 * 10.0 ** (level_dba / 10.0) / heard
    return np.asarray(scale * shape(frequency_hz))[np.newaxis]


def _steps_s(duration_s: float) -> _Real:
    return np.arange(math.ceil(duration_s / TRACK_STEP_S) + 2, dtype=np.float64) * TRACK_STEP_S


def _slow_powers(sigma_db: float, time_s: float, duration_s: float, rng: np.random.Generator) -> _Real:
    """Draw a level that wanders (first-order Gauss-Markov in dB), shape (1, n_steps), with a mean power of 1."""
    count = len(_steps_s(duration_s))
    keep = math.exp(-TRACK_STEP_S / time_s)
    push = rng.standard_normal(count) * math.sqrt(1.0 - keep**2)
    push[0] /= math.sqrt(1.0 - keep**2)
    wander = np.asarray(scipy.signal.lfilter([1.0], [1.0, -keep], push))
    spread = sigma_db * math.log(10.0) / 10.0
    return np.asarray(np.exp(spread * wander - 0.5 * spread**2))[np.newaxis]


def _check_slow(sigma_db: float, time_s: float, prefix: str) -> None:
    check_limits(f"{prefix} sigma", sigma_db, 0.0, 15.0, "dB")
    check_limits(f"{prefix} time", time_s, 0.2, 3_600.0, "s")
