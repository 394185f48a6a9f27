"""From an adjustment with open air to speed of sound and wind beside the weather. Pure.

The adjustment is that of the self-survey: nodes as surveyed with their errors, clocks with theirs, impulses at known or
unknown places, and air of which nothing is assumed. So the errors of survey, clocks, picks and paths are all in what it
says of the air. A wind delays as clocks would that run the later the farther to one side; it is told as well as clocks
are known.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from shotline.atmosphere import SPEED_OF_SOUND_0C_MPS
from shotline.propagation import travel_time_s
from shotline.timebase import format_utc
from shotline.units import CELSIUS_ZERO_K, kelvin_from_celsius
from shotline_calibration.self_survey.adjust import self_survey
from shotline_calibration.self_survey.prepare import (
    VAGUE_SPEED_SIGMA_MPS,
    VAGUE_WIND_SIGMA_MPS,
    Prepared,
    PrepareSettings,
    air_prior,
)
from shotline_calibration.self_survey.problem import SelfSurvey, SurveySettings
from shotline_calibration.sound_speed.result import HeardAir, SoundSpeedResult

__all__ = ["Paths", "effective_temperature_c", "heard_air", "paths_of"]

FloatArray = NDArray[np.float64]

_AGREES_P = 0.01
_TOLD_SHARE = 0.25
_AT_M = 500.0


@dataclass(frozen=True, slots=True)
class Paths:
    """Every path that was used, as columns of shape (n,).

    Parameters
    ----------
    distance_m : ndarray, float64
        From the impulse to the node, as found.
    bearing_rad : ndarray, float64
        Direction in which the sound went, clockwise from north.
    off_weather_s : ndarray, float64
        Arrival later than the weather would have it, with places, instants and clocks as found.
    residual_s : ndarray, float64
        Observed - predicted, by the air as found.
    air : ndarray, int64
    """

    distance_m: FloatArray
    bearing_rad: FloatArray
    off_weather_s: FloatArray
    residual_s: FloatArray
    air: NDArray[np.int64]


def effective_temperature_c(speed_mps: float) -> float:
    """Return the temperature of dry air with this speed of sound: 273.15 ((c / 331.3)² - 1) [Bohn1988]."""
    return CELSIUS_ZERO_K * ((speed_mps / SPEED_OF_SOUND_0C_MPS) ** 2 - 1.0)


def heard_air(
    prepared: Prepared, settings: PrepareSettings, survey_settings: SurveySettings | None = None
) -> tuple[SoundSpeedResult, SelfSurvey]:
    """Return what the impulses say of the air, and the adjustment behind it.

    Parameters
    ----------
    prepared : Prepared
        With ``vague_air``.
    settings : PrepareSettings
        How it was prepared: errors of the weather where that has none.
    survey_settings : SurveySettings, optional

    Raises
    ------
    InputError
        There is nothing to solve.
    """
    survey = self_survey(prepared.nodes, prepared.impulses, prepared.airs, survey_settings)
    airs = tuple(_heard(prepared, survey, index, settings) for index in range(len(prepared.airs)))
    paths = paths_of(prepared, survey)
    used = np.concatenate(survey.used)
    told = [air for air in airs if air.speed_told]
    speed_off = [air.temperature_c - air.weather_temperature_c for air in told]
    wind_off = [
        (air.wind_east_mps - air.weather_wind_east_mps, air.wind_north_mps - air.weather_wind_north_mps)
        for air in airs
        if air.wind_told
    ]
    speed_mps = float(np.mean(survey.speed_mps))
    kelvin = kelvin_from_celsius(effective_temperature_c(speed_mps))
    degree_m = _AT_M / (2.0 * kelvin)
    wind_m = _AT_M * math.hypot(*np.mean(wind_off, axis=0)) / speed_mps if wind_off else 0.0
    return (
        SoundSpeedResult(
            airs=airs,
            path_sigma_s=survey.path_sigma_s,
            arrivals_set_aside=int((~used).sum()),
            median_path_m=float(np.median(paths.distance_m)),
            degree_costs_m=degree_m,
            weather_costs_m=max(degree_m * abs(float(np.mean(speed_off))) if speed_off else 0.0, wind_m),
        ),
        survey,
    )


def paths_of(prepared: Prepared, survey: SelfSurvey) -> Paths:
    """Return the paths that were used."""
    columns: list[tuple[float, float, float, float, int]] = []
    place = {number: (node.x_m, node.y_m, node.z_m) for number, node in enumerate(survey.nodes)}
    for number, (impulse, used, residual_s) in enumerate(
        zip(prepared.impulses, survey.used, survey.residual_s, strict=True)
    ):
        weather = prepared.weathers[impulse.air]
        for node, kept, left_s in zip(impulse.nodes, used, residual_s, strict=True):
            if not kept:
                continue
            path_m = np.array(place[node]) - survey.places_m[number]
            stated_s = _travel_s(path_m, weather.speed_of_sound_mps, weather.wind_enu_mps)
            found_s = _travel_s(path_m, survey.speed_mps[impulse.air], survey.wind_mps[impulse.air])
            columns.append(
                (
                    float(np.linalg.norm(path_m)),
                    math.atan2(path_m[0], path_m[1]) % (2.0 * math.pi),
                    float(left_s) + found_s - stated_s,
                    float(left_s),
                    impulse.air,
                )
            )
    table = np.array(columns, dtype=np.float64).reshape(-1, 5)
    return Paths(table[:, 0], table[:, 1], table[:, 2], table[:, 3], table[:, 4].astype(np.int64))


def _travel_s(path_m: FloatArray, speed_mps: float, wind_mps: tuple[float, float]) -> float:
    wind = np.array([*wind_mps, 0.0])
    return float(travel_time_s(np.zeros(3), path_m[None, :], speed_of_sound_mps=speed_mps, wind_mps=wind)[0])


def _heard(prepared: Prepared, survey: SelfSurvey, index: int, settings: PrepareSettings) -> HeardAir:
    speed_mps, covariance = survey.speed_mps[index], survey.air_covariance_m2ps2[index]
    stated = air_prior(prepared.weathers[index], settings)
    stated_m2ps2 = np.diag([stated.speed_sigma_mps**2, stated.wind_sigma_mps**2, stated.wind_sigma_mps**2])
    off = np.array([speed_mps, *survey.wind_mps[index]]) - np.array([stated.speed_mps, *stated.wind_mps])
    square = float(off @ np.linalg.solve(covariance + stated_m2ps2, off))
    p_value = float(chi2.sf(square, 3))
    per_mps = 2.0 * kelvin_from_celsius(effective_temperature_c(speed_mps)) / speed_mps
    mine = [
        (heard, used)
        for heard, impulse, used in zip(prepared.heard, prepared.impulses, survey.used, strict=True)
        if impulse.air == index and used.any()
    ]
    speed_sigma_mps, wind_sigma_mps = survey.speed_sigma_mps[index], survey.wind_sigma_mps[index]
    return HeardAir(
        from_utc=format_utc(prepared.spans_ns[index][0], digits=0),
        until_utc=format_utc(prepared.spans_ns[index][1], digits=0),
        impulses=len(mine),
        impulses_known=sum(heard.place is not None for heard, _ in mine),
        arrivals=sum(int(used.sum()) for _, used in mine),
        speed_of_sound_mps=speed_mps,
        speed_of_sound_sigma_mps=speed_sigma_mps,
        temperature_c=effective_temperature_c(speed_mps),
        temperature_sigma_c=per_mps * speed_sigma_mps,
        wind_east_mps=survey.wind_mps[index][0],
        wind_east_sigma_mps=wind_sigma_mps[0],
        wind_north_mps=survey.wind_mps[index][1],
        wind_north_sigma_mps=wind_sigma_mps[1],
        speed_told=speed_sigma_mps < _TOLD_SHARE * VAGUE_SPEED_SIGMA_MPS,
        wind_told=max(wind_sigma_mps) < _TOLD_SHARE * VAGUE_WIND_SIGMA_MPS,
        weather_temperature_c=prepared.weathers[index].temperature_c,
        weather_temperature_sigma_c=per_mps * stated.speed_sigma_mps,
        weather_wind_east_mps=stated.wind_mps[0],
        weather_wind_north_mps=stated.wind_mps[1],
        weather_wind_sigma_mps=stated.wind_sigma_mps,
        difference_sigma=math.sqrt(square),
        p_value=p_value,
        agrees=p_value >= _AGREES_P,
    )
