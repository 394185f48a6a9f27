"""Fusion as one pure machine in event time: detections and "now" go in, incidents come out.

The same machine serves the live server and every replay. It never asks what time it is: ``advance_to`` says so. It
thinks at fixed ticks of event time, so that how often it is called changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from fusion_server.associate import AssociateSettings, Associator, Hypothesis
from fusion_server.incidents import IncidentSettings, belongs, gunshot_probability, incident_id, make_incident
from fusion_server.listening import Listening
from fusion_server.locate import Ground, Height, LocateSettings, ground_of_sites
from fusion_server.registry import Registry
from fusion_server.sitebias import PathDelays, locate_with_delays
from shotline.atmosphere import Weather, WeatherTimeline
from shotline.domain import ClockState, DetectionId, Incident, IncidentState, Location, Shot
from shotline.messages import Detection
from shotline.records import IncidentRecord
from shotline.units import ns_from_seconds, seconds_from_ns

__all__ = ["Disposition", "FusionEngine", "FusionSettings"]


_LAST_LOOK_S = 1.0
"""So long before an arrival is too old to start a shot, its surroundings are looked at for the last time."""
_TIDY_FROM = 1000
"""Detections remembered before those too old to matter are forgotten."""


class Disposition(StrEnum):
    """What became of a detection given to the engine. Only ``FUSED`` ones can be part of a shot."""

    FUSED = "fused"
    DUPLICATE = "duplicate"
    NO_SITE = "no_site"
    UNTIMED = "untimed"
    TOO_LATE = "too_late"
    IN_FUTURE = "in_future"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class FusionSettings:
    """Settings of fusion.

    Parameters
    ----------
    lateness_s : float
        A detection may come this long after its sound and still change an incident.
    future_s : float
        A detection further ahead of event time than this has a wrong clock.
    tick_s : float
        Event time between two looks at the arrivals.
    recheck_s : tuple[float, ...]
        Look everywhere again this long after an arrival: silence is news too.
    recheck_apart_s : float
        Least time between two such looks.
    moved_m : float
        A fix that moved this far is worth a revision.
    sure_log_evidence : float
        A shot with this much evidence is told at once.
    settled_s : float
        A weaker shot is told when every listening node could have reported it, and at the latest this long after its
        discharge: then the silence of nodes has been heard too.
    """

    lateness_s: float = 10.0
    future_s: float = 2.0
    tick_s: float = 0.2
    recheck_s: tuple[float, ...] = (1.0, 2.5, 4.5, 7.0)
    recheck_apart_s: float = 0.9
    moved_m: float = 1.0
    sure_log_evidence: float = 7.0
    settled_s: float = 4.5
    associate: AssociateSettings = field(default_factory=AssociateSettings)
    locate: LocateSettings = field(default_factory=lambda: LocateSettings(height=Height.GROUND))
    incidents: IncidentSettings = field(default_factory=IncidentSettings)

    @property
    def horizon_s(self) -> float:
        """How long after its arrival a detection may still become part of a shot, or leave it."""
        # The slowest sound of any weather this node network will see, with room to spare.
        return self.locate.hearing_range_m / 300.0 + self.lateness_s

    @property
    def context_s(self) -> float:
        """How long beyond that it stays in sight: a shot may have further rounds, and what is around it is clutter."""
        return self.associate.repeat_within_s + self.associate.clutter_window_s


class _Told(NamedTuple):
    """What a revision said, as far as news is judged by it."""

    rounds: int
    x_m: float
    y_m: float
    cep95_m: float
    arrivals: int


@dataclass(slots=True, eq=False)
class _TrackedIncident:
    identity: str
    revision: int = 0
    told: Incident | None = None
    told_as: _Told | None = None
    shots: list[Shot] = field(default_factory=list)
    """What it holds now, or held last."""
    is_held_back: bool = False
    """Whether it was never told, since it was too unlikely when last looked at."""


@dataclass(slots=True, eq=False)
class _TrackedShot:
    uids: frozenset[DetectionId]
    hypothesis: Hypothesis
    shot: Shot
    log_evidence: float
    first_arrival_ns: int
    incident: _TrackedIncident | None = None


class FusionEngine:
    """Detections in, incidents out.

    Parameters
    ----------
    registry : Registry
        Surveyed sites.
    weather : WeatherTimeline
    settings : FusionSettings, optional
    assume_listening : bool
        Whether a node of which `note_listening` never spoke counts as listening; see `Listening`.
    delays : PathDelays, optional
        Excess delays of paths, to locate with; association goes without.
    """

    def __init__(
        self,
        *,
        registry: Registry,
        weather: WeatherTimeline,
        settings: FusionSettings | None = None,
        assume_listening: bool = True,
        delays: PathDelays | None = None,
    ) -> None:
        self._registry = registry
        self._delays = delays
        self._weather = weather
        self._settings = settings or FusionSettings()
        window_s = self._settings.horizon_s
        self._horizon_ns = ns_from_seconds(window_s)
        self._context_ns = ns_from_seconds(self._settings.context_s)
        self._tick_ns = ns_from_seconds(self._settings.tick_s)
        self._future_ns = ns_from_seconds(self._settings.future_s)
        self._lateness_ns = ns_from_seconds(self._settings.lateness_s)
        recheck_s = (*self._settings.recheck_s, window_s - _LAST_LOOK_S)
        self._recheck_ns = tuple(map(ns_from_seconds, recheck_s))
        self._sites_m = np.array([(site.x_m, site.y_m) for site in registry]).reshape(-1, 2)
        self._names = tuple(site.node for site in registry)
        self._listening = Listening([site.node for site in registry], assume=assume_listening)
        self._associator = (
            Associator(registry, self._settings.associate, window_s=window_s, listening=self._listening)
            if len(registry)
            else None
        )
        self._ground: Ground | None = None
        if len(registry) and self._settings.locate.height in (Height.GROUND, Height.FREE):
            self._ground = ground_of_sites(tuple(registry), mast_m=self._settings.locate.mast_m)
        self._seen: dict[DetectionId, int] = {}
        self._tidy_at = _TIDY_FROM
        self._now_ns: int | None = None
        self._rechecks: list[int] = []
        self._dirty = False
        self._incidents: list[_TrackedIncident] = []
        self._shots: list[_TrackedShot] = []
        self._known: dict[DetectionId, IncidentRecord] = {}
        self._forgotten_untold = 0
        self._quarantined: frozenset[str] = frozenset()

    @property
    def held_back(self) -> int:
        """How many incidents were located and never told, since gunfire is less likely than is asked for."""
        return self._forgotten_untold + sum(incident.is_held_back for incident in self._incidents)

    def restore(self, records: Iterable[IncidentRecord]) -> None:
        """Take over incidents told before a restart: what is concluded again from their detections keeps their id.

        Parameters
        ----------
        records : iterable of IncidentRecord
            The latest revision of each.
        """
        for record in records:
            for shot in record.shots:
                for arrival in shot.arrivals:
                    self._known[DetectionId.parse(arrival.detection)] = record

    def set_quarantine(self, nodes: Collection[str]) -> None:
        """Use nothing from now on that these nodes say, nor their silence; what they said before stays used."""
        for node in sorted(set(nodes) - self._quarantined):
            self._listening.drop(node)
        self._quarantined = frozenset(nodes)

    def note_listening(self, node: str, from_ns: int, until_ns: int) -> None:
        """Note that a node listens during a span of event time, so that its silence then means something."""
        if node not in self._quarantined:
            self._listening.note(node, from_ns, until_ns)

    def add(self, detection: Detection) -> Disposition:
        """Take one detection, in any order; say what became of it."""
        uid = detection.uid
        if uid in self._seen:
            return Disposition.DUPLICATE
        if detection.clock_state is ClockState.UNTIMED:
            return Disposition.UNTIMED
        arrival = self._registry.arrival(detection)
        if arrival is None or self._associator is None:
            return Disposition.NO_SITE
        if self._now_ns is not None:
            if arrival.time_ns > self._now_ns + self._future_ns:
                return Disposition.IN_FUTURE
            if arrival.time_ns < self._now_ns - self._lateness_ns:
                return Disposition.TOO_LATE
        if detection.node in self._quarantined:
            return Disposition.QUARANTINED
        self._seen[uid] = arrival.time_ns
        self._associator.add(arrival)
        self._dirty = True
        return Disposition.FUSED

    def advance_to(self, now_ns: int) -> tuple[Incident, ...]:
        """Move event time forward (an earlier instant changes nothing); return incidents new or revised, in order."""
        told: list[Incident] = []
        before_ns = self._now_ns
        if before_ns is None:
            # Thinking starts with the first sound, however late the first call comes.
            before_ns = min([now_ns, *self._seen.values()]) - self._tick_ns
        tick = before_ns // self._tick_ns + 1
        last = now_ns // self._tick_ns
        while tick <= last:
            told += self._look(tick * self._tick_ns)
            tick = tick + 1 if self._pending() else last if tick < last else last + 1
        self._now_ns = now_ns if self._now_ns is None else max(self._now_ns, now_ns)
        return tuple(told)

    def finish(self) -> tuple[Incident, ...]:
        """Conclude: return what remains as if no further detection will ever come."""
        if not self._seen:
            return ()
        latest_ns = max(self._seen.values())
        end_ns = max(latest_ns, self._now_ns or latest_ns) + self._horizon_ns + self._context_ns
        return self.advance_to(end_ns + 2 * self._tick_ns)

    def _pending(self) -> bool:
        return self._dirty or bool(self._rechecks) or bool(self._shots) or bool(self._incidents)

    def _look(self, tick_ns: int) -> list[Incident]:
        if self._associator is None:
            return []
        due = bool(self._rechecks) and self._rechecks[0] <= tick_ns
        self._rechecks = [instant for instant in self._rechecks if instant > tick_ns]
        if self._dirty:
            self._plan_rechecks(tick_ns)
        told: list[Incident] = []
        if self._dirty or due:
            told = self._rethink(tick_ns, full=due)
            self._dirty = self._associator.is_waiting
        self._retire(tick_ns)
        return told

    def _plan_rechecks(self, now_ns: int) -> None:
        """Add full looks after a new arrival, but none close to one that is planned: clutter never stops coming."""
        apart_ns = ns_from_seconds(self._settings.recheck_apart_s)
        for delay_ns in self._recheck_ns:
            wanted_ns = now_ns + delay_ns
            if all(abs(wanted_ns - planned_ns) >= apart_ns for planned_ns in self._rechecks):
                self._rechecks.append(wanted_ns)
        self._rechecks.sort()

    def _rethink(self, now_ns: int, *, full: bool) -> list[Incident]:
        """Explain the open arrivals afresh and carry identities over from what was concluded before."""
        assert self._associator is not None
        hypotheses = self._associator.solve(now_ns, self._weather.at(now_ns), full=full)
        before = [tracked for tracked in self._shots if self._is_open(tracked, now_ns)]
        self._shots = [tracked for tracked in self._shots if not self._is_open(tracked, now_ns)]
        uids = [_uids(hypothesis) for hypothesis in hypotheses]
        overlaps = sorted(
            (-shared, index, number)
            for index, its in enumerate(uids)
            for number, tracked in enumerate(before)
            if (shared := len(tracked.uids & its))
        )
        heir: dict[int, int] = {}
        for _, index, number in overlaps:
            if index not in heir and number not in heir.values():
                heir[index] = number
        for index, hypothesis in enumerate(hypotheses):
            known = before[heir[index]] if index in heir else None
            if known is not None and known.uids == uids[index]:
                known.hypothesis, known.log_evidence = hypothesis, hypothesis.log_evidence
                if full:
                    known.shot = self._with_reasons(known.shot.location, hypothesis, known.shot.weather)
                self._shots.append(known)
            elif (concluded := self._conclude(hypothesis)) is not None:
                concluded.incident = known.incident if known is not None else None
                self._shots.append(concluded)
        return self._tell(now_ns, settled=full)

    def _conclude(self, hypothesis: Hypothesis) -> _TrackedShot | None:
        weather = self._weather.at(hypothesis.origin_time_ns)
        location = locate_with_delays(
            hypothesis.arrivals,
            delays=self._delays,
            weather=weather,
            settings=self._settings.locate,
            ground=self._ground,
        )
        if not isinstance(location, Location):
            return None
        used = [verdict.arrival for verdict in location.verdicts if verdict.used]
        if len(used) < self._settings.associate.min_nodes:
            return None
        return _TrackedShot(
            uids=_uids(hypothesis),
            hypothesis=hypothesis,
            shot=self._with_reasons(location, hypothesis, weather),
            log_evidence=hypothesis.log_evidence,
            first_arrival_ns=min(arrival.time_ns for arrival in hypothesis.arrivals),
        )

    def _with_reasons(self, location: Location, hypothesis: Hypothesis, weather: Weather | None) -> Shot:
        """Return the shot that a hypothesis of the last solve makes, with its reasons."""
        assert self._associator is not None
        reasons = self._associator.reasons(hypothesis)
        probability = gunshot_probability(
            [verdict.arrival for verdict in location.verdicts if verdict.used],
            log_evidence=hypothesis.log_evidence,
            accepted_at=self._settings.associate.min_log_evidence,
            location=location,
            silent=reasons.silent,
        )
        return Shot(
            location,
            probability,
            log_evidence=hypothesis.log_evidence,
            passed_over=reasons.passed_over,
            silent=reasons.silent,
            lost=reasons.lost,
            weather=weather,
        )

    def _is_told(self, tracked: _TrackedShot, now_ns: int) -> bool:
        """Say whether a shot is sure already, or every silence about it that could count has been heard."""
        if tracked.log_evidence >= self._settings.sure_log_evidence:
            return True
        fix = tracked.shot.location
        if now_ns >= fix.origin_time_ns + ns_from_seconds(self._settings.settled_s):
            return True
        speed_mps = self._weather.at(fix.origin_time_ns).speed_of_sound_mps
        heard_s = np.hypot(*(self._sites_m - (fix.x_m, fix.y_m)).T) / speed_mps
        due_s = heard_s + self._settings.associate.latency_s
        waiting = np.flatnonzero(
            (due_s > seconds_from_ns(now_ns - fix.origin_time_ns))
            & (heard_s <= self._settings.associate.reach_m / speed_mps)
        )
        return not any(
            self._listening.is_listening(self._names[node], fix.origin_time_ns + ns_from_seconds(float(heard_s[node])))
            for node in waiting
        )

    def _home(self, tracked: _TrackedShot, held: Mapping[str, list[Shot]]) -> _TrackedIncident:
        """Return the incident a shot belongs to: the oldest that is close, its own, or a new one.

        Parameters
        ----------
        tracked : _TrackedShot
        held : mapping of incident id to its shots
            What incidents hold already, of the shots before this one.
        """
        for incident in self._incidents:
            if incident is tracked.incident:
                return incident
            shots = incident.shots if tracked.incident is None else held.get(incident.identity, [])
            if belongs(tracked.shot, shots, self._settings.incidents):
                return incident
        known = [self._known[uid] for uid in sorted(tracked.uids) if uid in self._known]
        if not known:
            incident = _TrackedIncident(incident_id(tracked.uids))
        else:
            record = max(known, key=lambda item: sum(item.id == other.id for other in known))
            for incident in self._incidents:
                if incident.identity == record.id:
                    return incident
            incident = _TrackedIncident(record.id, record.revision, told_as=_signature_of(record))
        self._incidents.append(incident)
        return incident

    def _tell(self, now_ns: int, *, settled: bool) -> list[Incident]:
        held: dict[str, list[Shot]] = {}
        for tracked in sorted(self._shots, key=lambda item: (item.shot.location.origin_time_ns, item.first_arrival_ns)):
            if tracked.incident is None and not self._is_told(tracked, now_ns):
                continue
            # A shot that has moved since it was first told may belong to an older incident now.
            tracked.incident = self._home(tracked, held)
            held.setdefault(tracked.incident.identity, []).append(tracked.shot)
            tracked.incident.shots = held[tracked.incident.identity]
        told: list[Incident] = []
        for incident in self._incidents:
            if incident.identity in held:
                state = IncidentState.REVISED if incident.revision else IncidentState.PROVISIONAL
            elif incident.told is not None and incident.told.state is not IncidentState.RETRACTED:
                state = IncidentState.RETRACTED
            else:
                incident.is_held_back = False
                continue
            now = make_incident(
                incident.identity, incident.shots, revision=incident.revision + 1, state=state, as_of_ns=now_ns
            )
            incident.is_held_back = (
                not incident.revision and now.probability < self._settings.incidents.least_probability
            )
            if incident.is_held_back:
                continue
            signature = _Told(now.rounds, now.x_m, now.y_m, now.cep95_m, _heard(now))
            if state is not IncidentState.RETRACTED and not self._is_news(incident.told_as, signature, settled=settled):
                continue
            incident.revision += 1
            incident.told, incident.told_as = now, signature
            told.append(now)
        return sorted(told, key=lambda item: (item.shots[0].location.origin_time_ns, item.incident_id))

    def _is_news(self, before: _Told | None, now: _Told, *, settled: bool) -> bool:
        """Say whether a revision is worth telling: at once when it matters, else when things have settled."""
        if before is None or before.rounds != now.rounds:
            return True
        moved = abs(before.x_m - now.x_m) + abs(before.y_m - now.y_m) > self._settings.moved_m
        surer = abs(before.cep95_m - now.cep95_m) > 0.1 * before.cep95_m
        return moved or surer or (settled and before.arrivals != now.arrivals)

    def _is_open(self, tracked: _TrackedShot, now_ns: int) -> bool:
        return tracked.first_arrival_ns >= now_ns - self._horizon_ns

    def _retire(self, now_ns: int) -> None:
        """Freeze shots that no arrival in time can change, and forget what no longer matters."""
        assert self._associator is not None
        for tracked in self._shots:
            if not self._is_open(tracked, now_ns + self._tick_ns):
                self._associator.conclude(tracked.hypothesis)
        too_old_ns = now_ns + self._tick_ns - self._horizon_ns
        forget_ns = too_old_ns - self._context_ns
        self._listening.forget_before(forget_ns)
        self._associator.age(strike_before_ns=too_old_ns, forget_before_ns=forget_ns)
        gap_ns = ns_from_seconds(self._settings.incidents.gap_s)
        kept = [
            incident
            for incident in self._incidents
            if any(shot.location.origin_time_ns >= too_old_ns - gap_ns for shot in incident.shots)
        ]
        self._forgotten_untold += sum(item.is_held_back for item in self._incidents) - sum(
            item.is_held_back for item in kept
        )
        self._incidents = kept
        self._shots = [
            tracked
            for tracked in self._shots
            if self._is_open(tracked, now_ns + self._tick_ns) or tracked.incident in self._incidents
        ]
        if len(self._seen) > self._tidy_at:
            self._seen = {uid: time_ns for uid, time_ns in self._seen.items() if time_ns >= forget_ns}
            self._tidy_at = max(_TIDY_FROM, 2 * len(self._seen))


def _uids(hypothesis: Hypothesis) -> frozenset[DetectionId]:
    return frozenset(arrival.uid for arrival in hypothesis.arrivals)


def _heard(incident: Incident) -> int:
    return sum(len(shot.location.verdicts) for shot in incident.shots)


def _signature_of(record: IncidentRecord) -> _Told:
    arrivals = sum(len(shot.arrivals) for shot in record.shots)
    return _Told(record.rounds, record.x_m, record.y_m, record.cep95_m, arrivals)
