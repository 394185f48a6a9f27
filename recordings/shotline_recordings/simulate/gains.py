"""What each path does to a sound: spreading, air, ground, walls, edges, shadow. Every piece can be switched off.

The formulas are those of `shotline.propagation`; here they are put together for the paths of one source and node.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from shotline.atmosphere import Weather
from shotline.propagation import (
    EffectiveProfile,
    absorption_db_per_m,
    creeping_radius_m,
    double_edge_factor,
    fresnel_number,
    maekawa_attenuation_db,
    minimum_phase,
    shadow_attenuation_db,
    spherical_reflection,
    wedge_diffraction,
)
from shotline_recordings.simulate.paths import Paths

__all__ = ["Medium", "air_gain", "path_gains", "path_magnitudes"]

_Real = NDArray[np.float64]
_Complex = NDArray[np.complex128]

_NEPER_PER_DB = math.log(10.0) / 20.0
_LEAST_HZ = 1.0
_NEAREST_M = 0.1
_ON_THE_FACE_RAD = 0.05
_KNOTS = 40
_MOST_BENT_DB = 25.0
"""Scattering and turbulence fill every shadow in: at most 20 dB by one edge, 25 dB by two [ISO9613-2 7.4]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Medium:
    """What sound goes through.

    Parameters
    ----------
    weather : Weather
    profile : EffectiveProfile
        Of the effective speed of sound with height.
    flow_resistivity_pa_s_per_m2 : float | None
        Of the ground; None for a ground that does not reflect.
    absorption : bool
        By the air.
    diffraction : {"maekawa", "utd"}
        How edges weaken the sound.
    shadow : bool
        Upward refraction makes a shadow.
    finite_walls : bool
        Walls that are small against the wavelength reflect less.
    """

    weather: Weather
    profile: EffectiveProfile
    flow_resistivity_pa_s_per_m2: float | None = None
    absorption: bool = True
    diffraction: Literal["maekawa", "utd"] = "maekawa"
    shadow: bool = True
    finite_walls: bool = True


def path_gains(paths: Paths, frequency_hz: _Real, medium: Medium) -> _Complex:
    """Return pressure at the node over pressure times distance at the source, without the travel time.

    Parameters
    ----------
    paths : Paths
    frequency_hz : ndarray, shape (n_frequencies,), float64
        Evenly spaced from 0 to half the sample rate, as `numpy.fft.rfftfreq` gives for an even number of samples:
        what has only a magnitude gets the phase that makes it causal.
    medium : Medium

    Returns
    -------
    ndarray, shape (n_paths, n_frequencies), complex128
        1/m. Causal: nothing comes before the path's own arrival.
    """
    count = 2 * (len(frequency_hz) - 1)
    positive_hz = np.maximum(frequency_hz, _LEAST_HZ)
    gains = np.empty((len(paths), len(frequency_hz)), dtype=np.complex128)
    gains[:] = _spread(paths)[:, None]
    if medium.absorption:
        gains *= np.exp(paths.length_m[:, None] * _air_per_m(float(frequency_hz[1]), count, medium.weather))
    loss_neper = _NEPER_PER_DB * _loss_db(paths, positive_hz, medium)
    weak = np.flatnonzero(loss_neper.any(axis=1))
    if len(weak):
        gains[weak] *= minimum_phase(-loss_neper[weak], count)
    _apply_interference(gains, paths, positive_hz, medium)
    return gains


def path_magnitudes(paths: Paths, frequency_hz: _Real, medium: Medium) -> _Real:
    """Return the magnitude of `path_gains` at any frequencies above 0, shape (n_paths, n_frequencies)."""
    loss_db = _loss_db(paths, frequency_hz, medium)
    if medium.absorption:
        loss_db += paths.length_m[:, None] * absorption_db_per_m(
            frequency_hz,
            temperature_c=medium.weather.temperature_c,
            humidity_percent=medium.weather.humidity_percent,
        )
    gains = (_spread(paths)[:, None] * np.exp(-_NEPER_PER_DB * loss_db)).astype(np.complex128)
    _apply_interference(gains, paths, frequency_hz, medium)
    return np.abs(gains)


def air_gain(length_m: float, frequency_hz: _Real, weather: Weather) -> _Complex:
    """Return what air alone does along a path, shape (n_frequencies,); frequencies as of `path_gains`."""
    count = 2 * (len(frequency_hz) - 1)
    return np.asarray(np.exp(length_m * _air_per_m(float(frequency_hz[1]), count, weather)))


def _spread(paths: Paths) -> _Real:
    result: _Real = np.sqrt(paths.reflection) / np.maximum(paths.length_m, _NEAREST_M)
    return result


def _apply_interference(gains: _Complex, paths: Paths, frequency_hz: _Real, medium: Medium) -> None:
    """Apply what has a phase of its own, in place."""
    if medium.diffraction == "utd":
        for row in np.flatnonzero(paths.detour_m > 0.0):
            gains[row] *= _wedges(paths, int(row), frequency_hz, medium)
    if medium.flow_resistivity_pa_s_per_m2 is not None:
        gains *= _ground(paths, frequency_hz, medium)


@lru_cache(maxsize=8)
def _air_per_m(step_hz: float, count: int, weather: Weather) -> _Complex:
    """Return the complex logarithm of what a metre of air does: a path of any length is its exponential."""
    frequency_hz = np.arange(count // 2 + 1, dtype=np.float64) * step_hz
    neper = absorption_db_per_m(
        frequency_hz, temperature_c=weather.temperature_c, humidity_percent=weather.humidity_percent
    )
    return np.asarray(np.log(minimum_phase(-_NEPER_PER_DB * neper, count)))


def _loss_db(paths: Paths, frequency_hz: _Real, medium: Medium) -> _Real:
    """Return what has only a magnitude, shape (n_paths, n_frequencies)."""
    loss = np.zeros((len(paths), len(frequency_hz)))
    speed = medium.profile.speed_of_sound_mps
    walls = np.flatnonzero(paths.least_hz > 0.0) if medium.finite_walls else ()
    if len(walls):
        # Energy share f² / (f² + f_least²): ISO 9613-2 has a step there.
        loss[walls] += 10.0 * np.log10(1.0 + (paths.least_hz[walls, None] / frequency_hz) ** 2)
    bent = np.flatnonzero(paths.detour_m > 0.0) if medium.diffraction == "maekawa" else ()
    if len(bent):
        span = paths.edge_span_m[bent, None]
        factor = double_edge_factor(frequency_hz, edge_separation_m=span, speed_of_sound_mps=speed)
        number = fresnel_number(paths.detour_m[bent, None], frequency_hz, speed_of_sound_mps=speed)
        loss[bent] += np.minimum(maekawa_attenuation_db(number * factor, limit_db=None), _MOST_BENT_DB)
    screens = np.flatnonzero(paths.screen_m > 0.0)
    if len(screens):
        number = fresnel_number(paths.screen_m[screens, None], frequency_hz, speed_of_sound_mps=speed)
        loss[screens] += np.minimum(maekawa_attenuation_db(number, limit_db=None), _MOST_BENT_DB)
    shadowed = np.flatnonzero(paths.horizontal_m > paths.shadow_m) if medium.shadow else ()
    if len(shadowed):
        knots = _knots_hz(frequency_hz, _KNOTS)
        flow = medium.flow_resistivity_pa_s_per_m2 or math.inf
        turn = np.degrees(np.arctan2(paths.heading[shadowed, 1], paths.heading[shadowed, 0]))
        radius_m = _creeping_radii_m(medium.profile, flow, float(knots[0]), float(knots[-1]))
        depth_db = shadow_attenuation_db(
            knots,
            distance_m=paths.horizontal_m[shadowed, None],
            shadow_distance_m=paths.shadow_m[shadowed, None],
            curvature_radius_m=radius_m[np.rint(turn).astype(np.intp) % 360],
            flow_resistivity_pa_s_per_m2=flow,
            speed_of_sound_mps=speed,
        )
        loss[shadowed] += _between(frequency_hz, knots, depth_db)
    return loss


@lru_cache(maxsize=8)
def _creeping_radii_m(
    profile: EffectiveProfile, flow_resistivity_pa_s_per_m2: float, first_hz: float, last_hz: float
) -> _Real:
    """Return `creeping_radius_m` for each whole degree from east to north, shape (360, n_knots)."""
    turn = np.radians(np.arange(360.0))[:, None]
    return creeping_radius_m(
        _knots_hz(np.array([first_hz, last_hz]), _KNOTS),
        direction=np.stack([np.cos(turn), np.sin(turn)], axis=-1),
        flow_resistivity_pa_s_per_m2=flow_resistivity_pa_s_per_m2,
        profile=profile,
    )


def _wedges(paths: Paths, row: int, frequency_hz: _Real, medium: Medium) -> _Complex:
    """Return the product of the edges of one path, each as if the others were far away."""
    knots = _knots_hz(frequency_hz, 2 * _KNOTS)
    total = np.ones(len(knots), dtype=np.complex128)
    for number, edge in enumerate(paths.edges[row]):
        if number and edge.source_angle_rad < _ON_THE_FACE_RAD:
            # Along a common face the factor has the image of the edge before in it, which is that edge itself.
            total *= 0.5
        total *= wedge_diffraction(
            knots,
            source_distance_m=edge.before_m,
            receiver_distance_m=edge.after_m,
            source_angle_rad=edge.source_angle_rad,
            receiver_angle_rad=edge.receiver_angle_rad,
            exterior_angle_rad=edge.exterior_rad,
            speed_of_sound_mps=medium.profile.speed_of_sound_mps,
        )
    return np.asarray(_between(frequency_hz, knots, total[None])[0])


def _ground(paths: Paths, frequency_hz: _Real, medium: Medium) -> _Complex:
    """Return the factor 1 + Q L / L' exp(-i k (L' - L)) of a path and its bounce [Attenborough1980]."""
    speed = medium.profile.speed_of_sound_mps
    knots = _knots_hz(frequency_hz, _KNOTS)
    longer_m = np.sqrt(paths.length_m**2 + 4.0 * paths.source_height_m * paths.node_height_m)
    coefficient = spherical_reflection(
        knots,
        source_height_m=paths.source_height_m[:, None],
        receiver_height_m=paths.node_height_m[:, None],
        horizontal_m=np.maximum(paths.horizontal_m, _NEAREST_M)[:, None],
        flow_resistivity_pa_s_per_m2=medium.flow_resistivity_pa_s_per_m2 or math.inf,
        speed_of_sound_mps=speed,
    )
    late_s = (longer_m - paths.length_m) / speed
    bounce = _between(frequency_hz, knots, coefficient) * (paths.bounces * paths.length_m / longer_m)[:, None]
    return np.asarray(1.0 + bounce * np.exp(-2j * np.pi * frequency_hz * late_s[:, None]))


def _knots_hz(frequency_hz: _Real, count: int) -> _Real:
    """Return a few frequencies over the same range, evenly spaced in their logarithm."""
    return np.asarray(np.geomspace(frequency_hz[0], frequency_hz[-1], count), dtype=np.float64)


_Number = TypeVar("_Number", np.float64, np.complex128)


def _between(frequency_hz: _Real, knots_hz: _Real, value: NDArray[_Number]) -> NDArray[_Number]:
    """Interpolate rows linearly in the logarithm of frequency."""
    position = np.log(frequency_hz / knots_hz[0]) / np.log(knots_hz[1] / knots_hz[0])
    left = np.clip(position.astype(np.intp), 0, len(knots_hz) - 2)
    share = position - left
    result: NDArray[_Number] = value[:, left] * (1.0 - share) + value[:, left + 1] * share
    return result
