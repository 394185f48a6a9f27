"""Control shots out of a server's database, and out of a dataset whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fusion_server.casebook import Casebook
from fusion_server.history import History
from fusion_server.registry import Registry
from fusion_server.review import Outcome, standing
from fusion_server.sitebias import ControlShot
from shotline.domain import DetectionId, Site
from shotline.errors import InputError
from shotline.records import IncidentRecord, ShotRecord
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds
from shotline_calibration.site_bias.places import KnownPlace
from shotline_recordings.dataset import Dataset, Scene

__all__ = ["Found", "from_dataset", "from_history"]

_SAME_PLACE_M = 1.0
_MOST_INCIDENTS = 10_000
_GUNSHOT = "gunshot"


@dataclass(frozen=True, slots=True)
class Found:
    """Control shots, and what was not taken.

    Parameters
    ----------
    shots : tuple of ControlShot
    sites : tuple of Site
        Of the network.
    remarks : tuple of str
        A line each about what was left out, and why.
    """

    shots: tuple[ControlShot, ...]
    sites: tuple[Site, ...]
    remarks: tuple[str, ...]


def from_dataset(dataset: Dataset, scene: str | None) -> Found:
    """Return the shots of a scene of which the place is known, by its pulse sets.

    Parameters
    ----------
    dataset : Dataset
    scene : str | None
        None: the only one.

    Raises
    ------
    InputError
        There is no such scene, or it has no pulse sets or no truth.
    """
    chosen = _scene(dataset, scene)
    truth = {event.event: event for event in chosen.truth if event.kind == _GUNSHOT}
    if not chosen.pulse_sets or not truth:
        raise InputError(
            f"scene '{chosen.name}' has {len(chosen.pulse_sets)} pulse sets and {len(truth)} shots of known place; "
            "expected both (recordings/README.md)",
            field="--scene",
        )
    registry = Registry(chosen.sites)
    detections = {item.uid: item for item in chosen.detections}
    places: dict[str, tuple[str, float, float, float]] = {}
    shots, unknown = [], 0
    for group in chosen.pulse_sets:
        event = truth.get(group.event)
        heard = [registry.arrival(detections[uid]) for uid in group.detections]
        arrivals = tuple(arrival for arrival in heard if arrival is not None)
        if event is None or not arrivals:
            unknown += 1
            continue
        near = [
            place
            for place in places.values()
            if math.dist(place[1:3], (event.x_m, event.y_m)) <= _SAME_PLACE_M and place[3] == event.sigma_m
        ]
        place = near[0] if near else (event.event, event.x_m, event.y_m, event.sigma_m)
        places.setdefault(place[0], place)
        weather = chosen.weather.at(min(arrival.time_ns for arrival in arrivals))
        shots.append(ControlShot(*place, arrivals, weather))
    remarks = (f"{unknown} pulse sets of no known place, or that nobody heard",) if unknown else ()
    return Found(tuple(shots), chosen.sites, remarks)


def from_history(
    history: History,
    rows: Sequence[KnownPlace],
    registry: Registry,
    *,
    within_s: float,
    within_m: float,
    two_persons: bool = False,
) -> Found:
    """Return the shots of incidents that rows name, or that were located near their place and time.

    Parameters
    ----------
    history : History
    rows : sequence of KnownPlace
    registry : Registry
        Sites as they are now.
    within_s, within_m : float
        A row without an incident takes the shots located so near to its time and place, if they are of one incident.
    two_persons : bool
        Whether a decision takes two.
    """
    casebook = Casebook(history.database)
    shots: list[ControlShot] = []
    remarks: list[str] = []
    for row in rows:
        taken, remark = (
            _of_incident(history, casebook, row, two_persons)
            if row.incident
            else _near(history, row, within_s=within_s, within_m=within_m)
        )
        if remark:
            remarks.append(f"line {row.line}: {remark}")
        for shot in taken:
            if shot.weather is None:
                remarks.append(f"line {row.line}: a shot without its weather, from before evidence was kept")
                continue
            uids = [DetectionId.parse(item.detection) for item in shot.arrivals]
            heard = [registry.arrival(detection) for detection in history.detections_of(uids)]
            arrivals = tuple(arrival for arrival in heard if arrival is not None)
            shots.append(ControlShot(row.place, row.x_m, row.y_m, row.sigma_m, arrivals, shot.weather.to_weather()))
    return Found(tuple(shots), tuple(registry), tuple(remarks))


def _scene(dataset: Dataset, name: str | None) -> Scene:
    names = [scene.name for scene in dataset.scenes]
    if name is None and len(names) == 1:
        return dataset.scenes[0]
    for scene in dataset.scenes:
        if scene.name == name:
            return scene
    raise InputError(f"scene {name!r}; the dataset has {', '.join(names)}: give one", field="--scene")


def _of_incident(
    history: History, casebook: Casebook, row: KnownPlace, two_persons: bool
) -> tuple[tuple[ShotRecord, ...], str]:
    revisions = history.incident_revisions(row.incident)
    if not revisions:
        return (), f"no incident '{row.incident}'"
    decisions = casebook.decisions([row.incident]).get(row.incident, [])
    if standing(decisions, two_persons=two_persons).outcome is not Outcome.CONFIRMED:
        return (), f"incident '{row.incident}' is not confirmed by a person"
    return revisions[-1].shots, ""


def _near(history: History, row: KnownPlace, *, within_s: float, within_m: float) -> tuple[tuple[ShotRecord, ...], str]:
    assert row.time_ns is not None
    span_ns = ns_from_seconds(within_s)
    # An incident is listed by its first shot: it may have begun some minutes before.
    records = history.incidents(
        limit=_MOST_INCIDENTS, since_ns=row.time_ns - span_ns - ns_from_seconds(600.0), until_ns=row.time_ns + span_ns
    )
    found: dict[str, list[ShotRecord]] = {}
    for record in records:
        for shot in _shots(record):
            off_s = abs(parse_utc(shot.time_utc) - row.time_ns)
            if off_s <= span_ns and math.dist((shot.x_m, shot.y_m), (row.x_m, row.y_m)) <= within_m:
                found.setdefault(record.id, []).append(shot)
    if not found:
        return (), f"no shot was located within {within_s:g} s and {within_m:g} m of '{row.place}'"
    if len(found) > 1:
        return (), f"{len(found)} incidents within {within_s:g} s and {within_m:g} m of '{row.place}'; name one"
    return tuple(next(iter(found.values()))), ""


def _shots(record: IncidentRecord) -> tuple[ShotRecord, ...]:
    return () if record.state == "retracted" else record.shots
