"""From sites, heard impulses and weather to the problem of an adjustment. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import Site
from shotline.errors import InputError
from shotline.units import NS_PER_S, kelvin_from_celsius
from shotline_calibration.heard.impulses import HeardImpulse, merged_repeats
from shotline_calibration.self_survey.problem import AirPrior, Impulse, NodePrior, SurveySettings

__all__ = [
    "VAGUE_SPEED_SIGMA_MPS",
    "VAGUE_WIND_SIGMA_MPS",
    "PrepareSettings",
    "Prepared",
    "air_prior",
    "paths_assumed",
    "prepare",
]

_LEAST_SIGMA_M = 0.005
_PATH_FREEDOM = 4.0
_LEAST_TEMPERATURE_SIGMA_C = 0.5
_LEAST_WIND_SIGMA_MPS = 0.3
"""No thermometer and no vane knows the air of all paths better than this."""
_WIND_SHARE = 0.15
"""1-sigma of what the wind along a path differs from that at a mast, as a share; see `fusion_server.locate`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareSettings:
    """What is assumed where nobody says.

    Parameters
    ----------
    clock_sigma_s : float
        1-sigma of the offset of each clock.
    shared_delay_s : float
        1-sigma of what all paths of a node have in common, such as the parapet before its microphone: a late clock by
        any measure.
    up_share : float
        Sigma of a node's height over that of its plane.
    air_span_s : float
        Impulses within so long share an air.
    temperature_sigma_c : float
        1-sigma of the temperature where the weather has none.
    wind_sigma_mps : float
        1-sigma of each component of the wind where the weather has none.
    vague_air : bool
        Leave the air open: the sound alone shall say what it is.
    mast_m : float
        How high microphones usually stand over the ground where impulses are made.
    """

    clock_sigma_s: float = 0.005
    shared_delay_s: float = 0.001
    up_share: float = 2.0
    air_span_s: float = 3600.0
    temperature_sigma_c: float = 2.0
    wind_sigma_mps: float = 1.0
    vague_air: bool = False
    mast_m: float = 8.0


VAGUE_SPEED_SIGMA_MPS = 30.0
VAGUE_WIND_SIGMA_MPS = 15.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """The problem, and what stands behind its numbers.

    Parameters
    ----------
    nodes : tuple of NodePrior
        In the order of the sites.
    heard : tuple of HeardImpulse
        After repeats were merged.
    impulses : tuple of Impulse
        The same; times count from the first arrival of each.
    airs : tuple of AirPrior
    weathers : tuple of Weather
        What each air was said to be.
    spans_ns : tuple of (int, int)
        First and last arrival in each air.
    repeats : int
        Impulses that were merged into others.
    left_out : mapping of str to int
        Arrivals and impulses that cannot be used: reason, how many.
    """

    nodes: tuple[NodePrior, ...]
    heard: tuple[HeardImpulse, ...]
    impulses: tuple[Impulse, ...]
    airs: tuple[AirPrior, ...]
    weathers: tuple[Weather, ...]
    spans_ns: tuple[tuple[int, int], ...]
    repeats: int
    left_out: Mapping[str, int]


def prepare(
    sites: Sequence[Site],
    impulses: Sequence[HeardImpulse],
    weather: WeatherTimeline,
    settings: PrepareSettings | None = None,
) -> Prepared:
    """Return the problem.

    Parameters
    ----------
    sites : sequence of Site
    impulses : sequence of HeardImpulse
        With their known places.
    weather : WeatherTimeline
        For impulses that do not say what they were heard through.
    settings : PrepareSettings, optional

    Raises
    ------
    InputError
        Not one impulse can be used.
    """
    settings = settings or PrepareSettings()
    index = {site.node: number for number, site in enumerate(sites)}
    left_out: Counter[str] = Counter()
    left_out["arrivals of nodes that have no site"] = sum(
        arrival.node not in index for impulse in impulses for arrival in impulse.arrivals
    )
    merged = merged_repeats(impulses, within_s=settings.air_span_s)
    usable = []
    for impulse in merged:
        least = 4 if impulse.place is None else 2
        if sum(arrival.node in index for arrival in impulse.arrivals) < least:
            left_out[f"impulses that fewer than {least} nodes heard"] += 1
        else:
            usable.append(impulse)
    if not usable:
        raise InputError(_why_none(impulses, index, left_out))
    airs, weathers, spans_ns, which = _airs(usable, weather, settings)
    return Prepared(
        tuple(_node(site, settings) for site in sites),
        tuple(usable),
        tuple(_impulse(each, sites, index, air, settings) for each, air in zip(usable, which, strict=True)),
        tuple(airs),
        tuple(weathers),
        tuple(spans_ns),
        len(impulses) - len(merged),
        {reason: count for reason, count in left_out.items() if count},
    )


def _why_none(impulses: Sequence[HeardImpulse], index: Mapping[str, int], left_out: Mapping[str, int]) -> str:
    strangers = sorted({arrival.node for impulse in impulses for arrival in impulse.arrivals} - set(index))
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items() if count)
    named = f"; no site has {', '.join(strangers[:5])}{', ...' if len(strangers) > 5 else ''}" if strangers else ""
    advice = "is it the right network?" if strangers else "make louder impulses nearer to the middle"
    return f"none of {len(impulses)} impulses can be used ({reasons or 'nothing was heard'}){named}; {advice}"


def paths_assumed(path_sigma_ms: float) -> SurveySettings:
    """Return the settings of an adjustment of which only this is assumed of paths, lightly."""
    return SurveySettings(path_sigma_s=1e-3 * path_sigma_ms, path_freedom=_PATH_FREEDOM)


def air_prior(weather: Weather, settings: PrepareSettings) -> AirPrior:
    """Return what is known of the air from its weather, with the errors that it states or that are usual."""
    speed_mps = weather.speed_of_sound_mps
    sigma_c = settings.temperature_sigma_c if weather.temperature_sigma_c is None else weather.temperature_sigma_c
    sigma_c = max(sigma_c, _LEAST_TEMPERATURE_SIGMA_C)
    wind_sigma_mps = settings.wind_sigma_mps if weather.wind_sigma_mps is None else weather.wind_sigma_mps
    wind_sigma_mps = max(wind_sigma_mps, _LEAST_WIND_SIGMA_MPS)
    return AirPrior(
        speed_mps,
        speed_mps * sigma_c / (2.0 * kelvin_from_celsius(weather.temperature_c)),
        weather.wind_enu_mps,
        math.hypot(wind_sigma_mps, _WIND_SHARE * weather.wind_speed_mps),
    )


def _airs(
    impulses: Sequence[HeardImpulse], weather: WeatherTimeline, settings: PrepareSettings
) -> tuple[list[AirPrior], list[Weather], list[tuple[int, int]], list[int]]:
    """Return the airs, their weather and times, and which each impulse was heard through; impulses in time order."""
    airs: list[AirPrior] = []
    weathers: list[Weather] = []
    spans: list[tuple[int, int]] = []
    which: list[int] = []
    for impulse in impulses:
        if not spans or impulse.time_ns - spans[-1][0] > settings.air_span_s * NS_PER_S:
            stated = impulse.weather or weather.at(impulse.time_ns)
            known = air_prior(stated, settings)
            if settings.vague_air:
                known = AirPrior(known.speed_mps, VAGUE_SPEED_SIGMA_MPS, known.wind_mps, VAGUE_WIND_SIGMA_MPS)
            airs.append(known)
            weathers.append(stated)
            spans.append((impulse.time_ns, impulse.time_ns))
        spans[-1] = (spans[-1][0], max(spans[-1][1], impulse.arrivals[-1].time_ns))
        which.append(len(airs) - 1)
    return airs, weathers, spans, which


def _node(site: Site, settings: PrepareSettings) -> NodePrior:
    sigma_m = max(site.sigma_m, _LEAST_SIGMA_M)
    return NodePrior(
        site.node,
        site.x_m,
        site.y_m,
        site.z_m,
        sigma_m=sigma_m,
        sigma_z_m=settings.up_share * sigma_m,
        clock_sigma_s=math.hypot(settings.clock_sigma_s, settings.shared_delay_s),
    )


def _impulse(
    heard: HeardImpulse, sites: Sequence[Site], index: Mapping[str, int], air: int, settings: PrepareSettings
) -> Impulse:
    arrivals = [arrival for arrival in heard.arrivals if arrival.node in index]
    nodes = tuple(index[arrival.node] for arrival in arrivals)
    origin_ns = heard.time_ns
    place = heard.place
    if place is None:
        # On the ground, somewhere among those that heard it: as high as they stand, less a mast.
        heights_m = np.array([sites[node].z_m for node in nodes])
        at = (0.0, 0.0, float(heights_m.mean()) - settings.mast_m)
        sigma_m = (math.inf, math.inf, max(2.0, float(heights_m.std())))
    else:
        at = (place.x_m, place.y_m, place.z_m)
        sigma_m = (place.sigma_m, place.sigma_m, place.sigma_z_m)
    timed = place is not None and place.time_ns is not None and place.time_sigma_s is not None
    return Impulse(
        name=heard.name,
        nodes=nodes,
        arrival_s=tuple((arrival.time_ns - origin_ns) / NS_PER_S for arrival in arrivals),
        sigma_s=tuple(arrival.sigma_s for arrival in arrivals),
        place_m=at,
        place_sigma_m=sigma_m,
        made_s=(place.time_ns - origin_ns) / NS_PER_S if timed and place and place.time_ns is not None else None,
        made_sigma_s=place.time_sigma_s if timed and place and place.time_sigma_s is not None else 0.001,
        air=air,
    )
