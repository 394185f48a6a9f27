"""Two recorded events as if they had happened at once: real paths, echoes and levels, and an answer that is known.

Only detections and truth are superposed, never sound. Pure: values in, values out; nothing here draws a number.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import msgspec
import numpy as np

from shotline.atmosphere import WeatherTimeline
from shotline.errors import InputError
from shotline.propagation import travel_time_s
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Scene, TruthEvent

__all__ = ["Superposed", "moved_event", "one_event", "superposed"]


@dataclass(frozen=True, slots=True)
class Superposed:
    """A scene of two events.

    Parameters
    ----------
    scene : Scene
    one_sound : int
        Discharges of the second event that are not in the truth, being one sound with a discharge of the first.
    closest_s : float
        Least time between a discharge of the first event and one of the second that is in the truth; infinite when
        none of the second is.
    """

    scene: Scene
    one_sound: int
    closest_s: float


def one_event(scene: Scene, event: str) -> Scene:
    """Return a scene with one event of another: the detections in its window, its truth, its weather all the time.

    Parameters
    ----------
    scene : Scene
        Its windows must not overlap, or the detections of other events come along.
    event : str

    Raises
    ------
    InputError
        The scene has no such event.
    """
    truth = next((item for item in scene.truth if item.event == event), None)
    if truth is None:
        there = ", ".join(item.event for item in scene.truth) or "none"
        raise InputError(f"scene {scene.name} has no event {event}; there are {there}", field="event")
    first_ns, last_ns = truth.window_ns
    return Scene(
        name=f"{scene.name}/{event}",
        frame=scene.frame,
        sites=scene.sites,
        weather=WeatherTimeline.constant(scene.weather.at(first_ns)),
        detections=tuple(item for item in scene.detections if first_ns <= item.arrival_time_ns <= last_ns),
        pulse_sets=tuple(item for item in scene.pulse_sets if item.event == event),
        truth=(truth,),
    )


def moved_event(scene: Scene, *, east_m: float, north_m: float) -> Scene:
    """Return a scene of one event as if its sound had come from elsewhere.

    Every arrival is later by as much as the straight way from the new place is longer, in the scene's weather. What a
    real path adds to the straight way, echoes, clutter and levels stay as they were recorded.

    Parameters
    ----------
    scene : Scene
        With one event in its truth.
    east_m, north_m : float
        By how much the event is moved.
    """
    truth = _only(scene)
    weather = scene.weather.at(truth.window_ns[0])
    sites_enu_m = np.array([(site.x_m, site.y_m) for site in scene.sites]).reshape(-1, 2)
    wind_mps = np.array(weather.wind_enu_mps)
    place = replace(truth, x_m=truth.x_m + east_m, y_m=truth.y_m + north_m)
    before_s, after_s = (
        travel_time_s(
            np.array([item.x_m, item.y_m]),
            sites_enu_m,
            speed_of_sound_mps=weather.speed_of_sound_mps,
            wind_mps=wind_mps,
        )
        for item in (truth, place)
    )
    later_ns = {
        site.node: ns_from_seconds(float(late_s)) for site, late_s in zip(scene.sites, after_s - before_s, strict=True)
    }
    detections = (
        msgspec.structs.replace(item, arrival_time_ns=item.arrival_time_ns + later_ns.get(item.node, 0))
        for item in scene.detections
    )
    widest_ns = max((abs(value) for value in later_ns.values()), default=0)
    window_ns = truth.window_ns[0] - widest_ns, truth.window_ns[1] + widest_ns
    return replace(
        scene,
        name=f"{scene.name}-moved",
        detections=tuple(sorted(detections, key=lambda item: (item.arrival_time_ns, item.uid))),
        truth=(replace(place, window_ns=window_ns),),
    )


def superposed(first: Scene, second: Scene, *, offset_s: float, one_sound_s: float) -> Superposed:
    """Return both events in one scene, the second brought to the time of the first.

    Events of one place become one event of the truth: nothing but their discharges tells them apart. The sites and the
    weather are the first scene's.

    Parameters
    ----------
    first, second : Scene
        With one event each, heard by the same sites.
    offset_s : float
        Instant of the second's first discharge, from that of the first's first discharge.
    one_sound_s : float
        Discharges of both that are this close in time, at one place, are one sound: that of the second is left out of
        the truth.

    Raises
    ------
    InputError
        A scene has not just one event or no discharge of known instant, sites differ, or a detection is in both.
    """
    truth, other = _only(first), _only(second)
    if first.sites != second.sites:
        raise InputError(f"{first.name} and {second.name} have different sites; expected the same", field="sites")
    if both := {item.uid for item in first.detections} & {item.uid for item in second.detections}:
        raise InputError(
            f"{len(both)} detections are in both {first.name} and {second.name}, such as {min(both)}; "
            "expected two different events",
            field="detections",
        )
    shift_ns = min(truth.shot_times_ns) + ns_from_seconds(offset_s) - min(other.shot_times_ns)
    other = replace(
        other,
        shot_times_ns=tuple(time_ns + shift_ns for time_ns in other.shot_times_ns),
        window_ns=(other.window_ns[0] + shift_ns, other.window_ns[1] + shift_ns),
    )
    one_place = (truth.x_m, truth.y_m) == (other.x_m, other.y_m)
    one_sound_ns = ns_from_seconds(one_sound_s)
    apart = [
        time_ns
        for time_ns in other.shot_times_ns
        if not one_place or all(abs(time_ns - before_ns) > one_sound_ns for before_ns in truth.shot_times_ns)
    ]
    one_sound = len(other.shot_times_ns) - len(apart)
    other = replace(other, shot_times_ns=tuple(apart), rounds=other.rounds - one_sound)
    shifted = (
        msgspec.structs.replace(item, arrival_time_ns=item.arrival_time_ns + shift_ns) for item in second.detections
    )
    name = f"{first.name}+{second.name.rpartition('/')[2]}"
    scene = replace(
        first,
        name=name,
        detections=tuple(sorted((*first.detections, *shifted), key=lambda item: (item.arrival_time_ns, item.uid))),
        pulse_sets=(*first.pulse_sets, *second.pulse_sets),
        truth=(_together(truth, other),) if one_place else (truth, other),
    )
    gaps_ns = [abs(later - sooner) for later in apart for sooner in truth.shot_times_ns]
    return Superposed(scene, one_sound, min(gaps_ns) / NS_PER_S if gaps_ns else float("inf"))


def _only(scene: Scene) -> TruthEvent:
    if len(scene.truth) != 1 or not scene.truth[0].shot_times_ns:
        rounds = [len(item.shot_times_ns) for item in scene.truth]
        raise InputError(
            f"scene {scene.name} has {len(rounds)} events with {rounds} timed discharges; expected one event with at "
            "least one; take it out of its scene with one_event",
            field="truth",
        )
    return scene.truth[0]


def _together(truth: TruthEvent, other: TruthEvent) -> TruthEvent:
    return replace(
        truth,
        event=f"{truth.event}+{other.event}",
        sigma_m=max(truth.sigma_m, other.sigma_m),
        rounds=truth.rounds + other.rounds,
        shot_times_ns=tuple(sorted((*truth.shot_times_ns, *other.shot_times_ns))),
        window_ns=(min(truth.window_ns[0], other.window_ns[0]), max(truth.window_ns[1], other.window_ns[1])),
        label=" and ".join(dict.fromkeys((truth.label, other.label))),
    )
