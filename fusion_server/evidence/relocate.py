"""An incident located again, from its record, the detections as they came and the network as it was. Pure.

What is computed again: place, time, covariance, ellipses, regions, alternatives and the verdict on each arrival, of
each shot; place, cadence, fire mode, firing places and movement of the incident. What is taken over from the record
(`CARRIED_OF_SHOT`, `CARRIED_OF_INCIDENT`): which arrivals make a shot, and the probabilities, which rest on all that
the network heard then.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from fusion_server.evidence.network import NetworkRecord
from fusion_server.incidents import make_incident
from fusion_server.locate import Ground, Height, ground_of_sites
from fusion_server.registry import Registry
from fusion_server.sitebias import locate_with_delays
from shotline.domain import Arrival, IncidentState, Location, NoLocation, Shot
from shotline.errors import InputError
from shotline.messages import Detection
from shotline.records import IncidentRecord, ShotRecord, incident_record
from shotline.timebase import parse_utc
from shotline.units import ns_from_seconds

__all__ = ["CARRIED_OF_INCIDENT", "CARRIED_OF_SHOT", "Relocated", "Relocator", "record_bytes"]

CARRIED_OF_SHOT = ("probability", "log_evidence", "passed_over", "silent", "lost")
CARRIED_OF_INCIDENT = ("probability", "rounds_low", "rounds_high")


@dataclass(frozen=True, slots=True)
class Relocated:
    """What came of one revision.

    Parameters
    ----------
    revision : int
    identical : bool
        The record made again has the same bytes.
    record : IncidentRecord | None
        Made again; None where that was not possible.
    apart_m : float | None
        Largest distance between a place recorded and made again; None without a record, or with other shots.
    reason : str
        What differs, or why there is none; "" when identical.
    """

    revision: int
    identical: bool
    record: IncidentRecord | None
    apart_m: float | None
    reason: str


class Relocator:
    """Locates shots of one network again.

    Parameters
    ----------
    network : NetworkRecord
    detections : mapping of str to Detection
        By the text of their identity.
    """

    def __init__(self, network: NetworkRecord, detections: Mapping[str, Detection]) -> None:
        self._settings = network.fusion.locate
        self._delays = None if network.site_bias is None else network.site_bias.to_delays()
        self._registry = Registry(network.sites)
        self._frame = network.to_frame()
        self._detections = detections
        self._ground: Ground | None = None
        if len(self._registry) and self._settings.height in (Height.GROUND, Height.FREE):
            self._ground = ground_of_sites(tuple(self._registry), mast_m=self._settings.mast_m)

    def locate(self, shot: ShotRecord, shifts_s: Mapping[str, float] | None = None) -> Location | NoLocation:
        """Locate a shot of a record from its own arrivals.

        Parameters
        ----------
        shot : ShotRecord
        shifts_s : mapping of str to float, optional
            Seconds to add to the arrival time of detections, by the text of their identity.

        Raises
        ------
        InputError
            The record does not say in which air, or a detection or site is missing.
        """
        if shot.weather is None:
            raise InputError("the record does not keep the weather: it was made by a Shotline before evidence")
        shifts_s = shifts_s or {}
        arrivals = [self._arrival(item.detection, shifts_s.get(item.detection, 0.0)) for item in shot.arrivals]
        weather = shot.weather.to_weather()
        return locate_with_delays(
            arrivals, delays=self._delays, weather=weather, settings=self._settings, ground=self._ground
        )

    def relocate(self, recorded: IncidentRecord) -> Relocated:
        """Make a revision of an incident again and compare."""
        shots = []
        try:
            for number, shot in enumerate(recorded.shots, start=1):
                location = self.locate(shot)
                if isinstance(location, NoLocation):
                    return Relocated(
                        recorded.revision, False, None, None, f"shot {number} has no place now: {location.detail}"
                    )
                shots.append(Shot(location, shot.probability, log_evidence=shot.log_evidence))
        except InputError as error:
            return Relocated(recorded.revision, False, None, None, str(error))
        if not shots:
            return Relocated(recorded.revision, False, None, None, "the record has no shots")
        made = self._record(recorded, shots)
        if record_bytes(made) == record_bytes(recorded):
            return Relocated(recorded.revision, True, made, 0.0, "")
        return Relocated(recorded.revision, False, made, _apart_m(recorded, made), _difference(recorded, made))

    def shot_record(self, recorded: ShotRecord, location: Location) -> ShotRecord:
        """Return the record of a shot with another location, and all that is not located as it was."""
        shot = Shot(location, recorded.probability, log_evidence=recorded.log_evidence)
        incident = make_incident("", [shot], revision=1, state=IncidentState.PROVISIONAL, as_of_ns=0)
        (made,) = incident_record(incident, self._frame).shots
        return _with_carried(recorded, made)

    def _arrival(self, identity: str, shift_s: float) -> Arrival:
        detection = self._detections.get(identity)
        if detection is None:
            raise InputError(f"detection {identity} is not there")
        arrival = self._registry.arrival(detection)
        if arrival is None:
            raise InputError(f"node '{detection.node}' has no site in the network, or no time")
        return dataclasses.replace(arrival, time_ns=arrival.time_ns + ns_from_seconds(shift_s))

    def _record(self, recorded: IncidentRecord, shots: list[Shot]) -> IncidentRecord:
        incident = make_incident(
            recorded.id,
            shots,
            revision=recorded.revision,
            state=IncidentState(recorded.state),
            as_of_ns=parse_utc(recorded.as_of_utc),
        )
        made = incident_record(incident, self._frame, scene=recorded.scene)
        return msgspec.structs.replace(
            made,
            shots=tuple(_with_carried(old, new) for old, new in zip(recorded.shots, made.shots, strict=True)),
            notice=recorded.notice,
            **{name: getattr(recorded, name) for name in CARRIED_OF_INCIDENT},
        )


def record_bytes(record: IncidentRecord) -> bytes:
    """Return a record as it is kept and compared."""
    return msgspec.json.encode(record)


def _with_carried(recorded: ShotRecord, made: ShotRecord) -> ShotRecord:
    carried = {name: getattr(recorded, name) for name in (*CARRIED_OF_SHOT, "weather")}
    return msgspec.structs.replace(made, **carried)


def _apart_m(recorded: IncidentRecord, made: IncidentRecord) -> float:
    shots = zip(recorded.shots, made.shots, strict=True)
    moved = [math.hypot(old.x_m - new.x_m, old.y_m - new.y_m) for old, new in shots]
    return max(math.hypot(recorded.x_m - made.x_m, recorded.y_m - made.y_m), *moved)


def _difference(recorded: IncidentRecord, made: IncidentRecord) -> str:
    for number, (old, new) in enumerate(zip(recorded.shots, made.shots, strict=True), start=1):
        if names := [name for name in old.__struct_fields__ if getattr(old, name) != getattr(new, name)]:
            return f"shot {number} differs in {', '.join(names)}"
    names = [name for name in recorded.__struct_fields__ if getattr(recorded, name) != getattr(made, name)]
    return f"the incident differs in {', '.join(names) or 'the form of a number'}"
