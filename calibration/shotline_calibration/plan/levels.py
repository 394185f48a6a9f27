"""How strong a shot is at a microphone, over open ground: the sources, the air and the ground of the simulator.

The simulator's own pieces are put to work on one straight path with its bounce: muzzle blast by weapon and angle off
the barrel, spreading, absorption, ground, the shadow against the wind, the microphone and the band of the onset
detector. Sources of the formulas: docs/simulator.md. What a town does to it is `Surroundings`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from shotline.atmosphere import Weather
from shotline.errors import InputError
from shotline.onsets import OnsetSettings
from shotline.propagation import GROUND_FLOW_RESISTIVITY_PA_S_PER_M2, EffectiveProfile
from shotline_calibration.plan.surroundings import Surroundings
from shotline_recordings.simulate.arrivals import least_margins_db, node_band, pulse_figures
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.city import City
from shotline_recordings.simulate.gains import Medium, path_magnitudes
from shotline_recordings.simulate.levels import REFERENCE_PRESSURE_PA
from shotline_recordings.simulate.microphone import MICROPHONES, Microphone, converter_response, response
from shotline_recordings.simulate.noise import band_level_db
from shotline_recordings.simulate.noise_sources import CityNoise, WindNoise
from shotline_recordings.simulate.paths import PathFinder, Paths, PathSettings
from shotline_recordings.simulate.weapons import Weapon

__all__ = ["ANGLES", "HEADINGS", "STEP_M", "LevelTable", "level_table", "microphone", "noise_db_spl"]

FloatArray = NDArray[np.float64]

STEP_M = 5.0
"""Steps of distance of a table."""
HEADINGS = 24
"""Of the sound, clockwise from north, even steps."""
ANGLES = 13
"""Off the barrel, from 0 to 180 degrees, even steps."""
_SAMPLE_RATE_HZ = 48_000
_KNOTS = 40
_NEAREST_M = 5.0
_SHOOTER_M = 1.5
_FLOOR_DB = 98.0
"""Of 16 bits under full scale."""


@dataclass(frozen=True, slots=True, eq=False)
class LevelTable:
    """Levels of one weapon over open ground, by distance, heading and angle off the barrel.

    Parameters
    ----------
    audible_db_spl : ndarray, shape (n_distances, HEADINGS, ANGLES), float32
        The rms of the noise, dB SPL in the node's band, in which it is reported half of the time.
    peak_db_spl : ndarray, the same shape, float32
        Its peak in that band.
    """

    audible_db_spl: NDArray[np.float32]
    peak_db_spl: NDArray[np.float32]


def microphone(name: str) -> Microphone:
    """Return a microphone by its name.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in MICROPHONES:
        raise InputError(f"no microphone '{name}'; there are: {', '.join(MICROPHONES)}", field="--microphone")
    return MICROPHONES[name]


def level_table(
    weapon: Weapon,
    *,
    around: Surroundings,
    weather: Weather,
    heard_by: Microphone,
    mast_m: float,
    reach_m: float,
    temperature_gradient_k_per_m: float = 0.0,
) -> LevelTable:
    """Return how strong a weapon is, at every distance up to ``reach_m``.

    Parameters
    ----------
    weapon : Weapon
    around : Surroundings
        Its ground and roughness; its loss is not in the table.
    weather : Weather
        With wind, what goes against it lies in a shadow.
    heard_by : Microphone
    mast_m : float
        Height of the microphone above the ground.
    reach_m : float
    temperature_gradient_k_per_m : float
        Of the air upwards: -0.02 on a sunny day, +0.05 in a clear night.
    """
    distance_m = STEP_M * np.arange(math.ceil(reach_m / STEP_M) + 1, dtype=np.float64)
    knots_m: FloatArray = np.geomspace(_NEAREST_M, max(float(distance_m[-1]), 2.0 * _NEAREST_M), _KNOTS)
    air = (weather, temperature_gradient_k_per_m)
    audible, peak = _over_ground(weapon, around, *air, heard_by, mast_m, knots_m)
    if weather.wind_speed_mps > 0.0 or temperature_gradient_k_per_m < 0.0:
        # What houses scatter reaches into the shadow.
        still = _over_ground(weapon, around, replace(weather, wind_speed_mps=0.0), 0.0, heard_by, mast_m, knots_m)
        audible = np.maximum(audible, still[0] - around.deepest_shadow_db)
        peak = np.maximum(peak, still[1] - around.deepest_shadow_db)
    return LevelTable(_spread(audible, knots_m, distance_m), _spread(peak, knots_m, distance_m))


def _over_ground(
    weapon: Weapon,
    around: Surroundings,
    weather: Weather,
    temperature_gradient_k_per_m: float,
    heard_by: Microphone,
    mast_m: float,
    knots_m: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """Return the two levels of `LevelTable`, shape (n_headings, n_knots, ANGLES); one heading where all are alike."""
    medium = _medium(around, weather, temperature_gradient_k_per_m)
    heading_rad = np.radians(np.arange(HEADINGS) * 360.0 / HEADINGS)
    if weather.wind_speed_mps == 0.0:
        heading_rad = heading_rad[:1]
    paths = _straight(knots_m, heading_rad, mast_m, medium)
    frequency_hz, weight = node_band((heard_by,), _SAMPLE_RATE_HZ)
    gains = path_magnitudes(paths, frequency_hz, medium)
    least_peak_db, least_energy_db = least_margins_db()
    after_s = OnsetSettings().after_s
    blast = MuzzleBlast.of(weapon, azimuth_deg=0.0, speed_of_sound_mps=weather.speed_of_sound_mps)
    audible = np.empty((len(heading_rad), _KNOTS, ANGLES))
    peak = np.empty_like(audible)
    for number, angle_rad in enumerate(np.linspace(0.0, np.pi, ANGLES)):
        direction = np.broadcast_to([math.sin(angle_rad), math.cos(angle_rad), 0.0], (len(paths), 3))
        source = blast.spectrum_pa_m_s(frequency_hz, distance_m=paths.length_m, direction=direction)
        energy_pa2_s, peak_pa, _ = pulse_figures((np.abs(source) * gains) ** 2 * weight[0], frequency_hz)
        peak_db = 20.0 * np.log10(peak_pa / REFERENCE_PRESSURE_PA)
        energy_db = 10.0 * np.log10(energy_pa2_s / after_s / REFERENCE_PRESSURE_PA**2)
        shape = audible.shape[:2]
        peak[:, :, number] = peak_db.reshape(shape)
        audible[:, :, number] = np.minimum(peak_db - least_peak_db, energy_db - least_energy_db).reshape(shape)
    return audible, peak


def noise_db_spl(
    noise_dba: float,
    *,
    around: Surroundings,
    weather: Weather,
    heard_by: Microphone,
    mast_m: float,
    muffled_db: float = 0.0,
) -> float:
    """Return the rms of the noise of a node in its band, as a level in the air before a blocked port, dB SPL.

    Of every kind it is the level that is exceeded half of the time. The noise of the surroundings has the spectrum of
    a distant city; wind at the microphone comes to it, and the microphone's own noise. What blocks a port takes from
    shot and surroundings alike and nothing from its own noise: that counts for more by as much.

    Parameters
    ----------
    noise_dba : float
        A-weighted level of the surroundings that is exceeded half of the time (LA50).
    around, weather, heard_by, mast_m
        As in `level_table`.
    muffled_db : float
        Change of level by a blocked port, 0 or less.
    """
    if muffled_db > 0.0:
        raise InputError(f"{muffled_db:g} dB is louder than without; give 0 or less", field="muffled_db")
    sources: list[CityNoise | WindNoise] = [CityNoise(noise_dba)]
    if weather.wind_speed_mps > 0.0:
        factor = float(_medium(around, weather, 0.0).profile.wind_factor(mast_m))
        height_m = max(mast_m, 1.5 * around.roughness_m)
        wind = WindNoise(weather.wind_speed_mps * factor, height_m=height_m, roughness_m=around.roughness_m)
        # Gusts are spread normally in dB: the level exceeded half of the time is below that of the mean power.
        sources.append(replace(wind, attenuation_db=-0.5 * wind.gust_sigma_db**2 * math.log(10.0) / 10.0))
    outside_db = band_level_db(
        sources,
        sample_rate_hz=_SAMPLE_RATE_HZ,
        response=lambda hz: response(hz, heard_by) * converter_response(hz, _SAMPLE_RATE_HZ),
    )
    own_db = max(heard_by.self_noise_dba, heard_by.full_scale_db_spl - _FLOOR_DB) - muffled_db
    return 10.0 * math.log10(10.0 ** (outside_db / 10.0) + 10.0 ** (own_db / 10.0))


def _medium(around: Surroundings, weather: Weather, temperature_gradient_k_per_m: float) -> Medium:
    return Medium(
        weather=weather,
        profile=EffectiveProfile(
            speed_of_sound_mps=weather.speed_of_sound_mps,
            wind_enu_mps=weather.wind_enu_mps,
            roughness_length_m=around.roughness_m,
            temperature_gradient_k_per_m=temperature_gradient_k_per_m,
        ),
        flow_resistivity_pa_s_per_m2=GROUND_FLOW_RESISTIVITY_PA_S_PER_M2[around.ground],
    )


def _straight(knots_m: FloatArray, heading_rad: FloatArray, mast_m: float, medium: Medium) -> Paths:
    """Return the straight paths to microphones on rings about the shooter: heading by heading, by distance."""
    ring = np.stack([np.sin(heading_rad), np.cos(heading_rad)], axis=-1)
    plane_m = (ring[:, None, :] * knots_m[None, :, None]).reshape(-1, 2)
    nodes_m = np.column_stack([plane_m, np.full(len(plane_m), mast_m)])
    settings = PathSettings(reflection_order=0)
    finder = PathFinder(City(), nodes_m, medium.profile, settings, farthest_m=float(knots_m[-1]) + mast_m)
    several: Sequence[Paths] = finder.find(np.array([0.0, 0.0, _SHOOTER_M]))
    return Paths.together(several)


def _spread(values: FloatArray, knots_m: FloatArray, distance_m: FloatArray) -> NDArray[np.float32]:
    """Interpolate linearly in the logarithm of distance; put distance first and every heading in its place."""
    at = np.log(np.clip(distance_m, knots_m[0], knots_m[-1]))
    position = (at - np.log(knots_m[0])) / np.log(knots_m[1] / knots_m[0])
    left = np.clip(position.astype(np.intp), 0, len(knots_m) - 2)
    share = (position - left)[None, :, None]
    dense = values[:, left] * (1.0 - share) + values[:, left + 1] * share
    dense = np.broadcast_to(dense, (HEADINGS, *dense.shape[1:]))
    return np.ascontiguousarray(np.swapaxes(dense, 0, 1), dtype=np.float32)
