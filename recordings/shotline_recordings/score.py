"""Scoring against truth: what was found, what was missed, what was imagined, and how far off.

Every definition, with its reason, is in ``docs/scoring.md``; the numbers of a report mean what that page says.
Pure: values in, values out. Results are msgspec structs, so ``msgspec.json.encode`` writes them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline.records import IncidentRecord, ShotRecord
from shotline.timebase import parse_utc
from shotline.units import NS_PER_S, ns_from_seconds
from shotline_recordings.dataset import Scene, TruthEvent

__all__ = [
    "Counts",
    "EventScore",
    "FalseIncident",
    "LatencyStats",
    "LocationCheck",
    "LocationScore",
    "SceneScore",
    "Score",
    "alert_delay_s",
    "check_location",
    "latency_stats",
    "score_locations",
    "score_scene",
    "summarise",
]

DISTANCE_GATE_M = 100.0
"""An incident or shot farther than this from the truth is not about it."""
FOUND_WITHIN_M = 25.0
"""The vendor's criterion, and that of the peers' table."""
SHOT_GATE_S = 0.12
"""Half the time between rounds at 250 rounds/min; the peers' table uses the same."""

_CHI2_95_2D = -2.0 * math.log(0.05)
"""95 % point of chi-square with 2 degrees of freedom: 5.991."""
_INFEASIBLE = 1e6


class _Ellipse(Protocol):
    @property
    def semi_major_m(self) -> float: ...
    @property
    def semi_minor_m(self) -> float: ...
    @property
    def orientation_deg(self) -> float: ...


class _Fix(Protocol):
    """A position with its claimed error: `shotline.domain.Location`, an incident, or their records."""

    @property
    def x_m(self) -> float: ...
    @property
    def y_m(self) -> float: ...
    @property
    def ellipse95(self) -> _Ellipse: ...
    @property
    def cep50_m(self) -> float: ...
    @property
    def cep95_m(self) -> float: ...


class LocationCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One fix held against the truth."""

    error_m: float
    in_ellipse95: bool
    in_ellipse95_with_truth: bool
    in_cep50: bool
    in_cep95: bool


class LocationScore(msgspec.Struct, frozen=True, kw_only=True):
    """Horizontal errors of many fixes. Shares within a distance are of ``attempted``, coverages of ``located``.

    None where there is nothing to divide by.
    """

    attempted: int
    located: int
    median_m: float | None
    p90_m: float | None
    p95_m: float | None
    max_m: float | None
    share_within_5m: float | None
    share_within_10m: float | None
    share_within_15m: float | None
    share_within_25m: float | None
    ellipse95_coverage: float | None
    ellipse95_coverage_with_truth: float | None
    cep50_coverage: float | None
    cep95_coverage: float | None


class LatencyStats(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of many waits; None when there were none."""

    count: int
    p50_s: float | None
    p99_s: float | None
    max_s: float | None


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """What was found of what happened. See docs/scoring.md for each."""

    events: int
    events_detected: int
    events_found: int
    events_missed: int
    incidents: int
    incidents_duplicate: int
    incidents_false: int
    incidents_false_at_confusers: int
    confusers: int
    shots_fired: int
    shots_found: int
    shots_missed: int
    shots_reported: int
    shots_duplicate: int
    shots_unverifiable: int
    shots_false: int
    rounds_exact: int
    events_exact: int


class EventScore(msgspec.Struct, frozen=True, kw_only=True):
    """One event of the truth and what was made of it."""

    event: str
    kind: str
    label: str
    rounds: int
    incident_id: str | None
    rounds_reported: int | None
    check: LocationCheck | None
    shots_timed: int
    shots_found: int
    exact: bool


class FalseIncident(msgspec.Struct, frozen=True, kw_only=True):
    """An incident that is not the one answer to an event.

    ``cause`` is "duplicate" or "confuser" of the event named, or "nothing" when nothing was there.
    """

    incident_id: str
    time_utc: str
    x_m: float
    y_m: float
    rounds: int
    cause: str
    event: str


class SceneScore(msgspec.Struct, frozen=True, kw_only=True):
    """The score of one scene, with what it was made of."""

    scene: str
    counts: Counts
    incidents: LocationScore
    shots: LocationScore
    events: tuple[EventScore, ...]
    false_incidents: tuple[FalseIncident, ...]
    shot_checks: tuple[LocationCheck, ...]


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """All scenes pooled, and each."""

    counts: Counts
    incidents: LocationScore
    shots: LocationScore
    scenes: tuple[SceneScore, ...]


def check_location(fix: _Fix, *, x_m: float, y_m: float, sigma_m: float) -> LocationCheck:
    """Hold one fix against a true position.

    Parameters
    ----------
    fix : Location, Incident, ShotRecord or IncidentRecord
    x_m, y_m : float
        Truth, in the same frame.
    sigma_m : float
        1-sigma error of the truth, per axis; widens the ellipse of ``in_ellipse95_with_truth`` only.
    """
    offset_m = np.array([x_m - fix.x_m, y_m - fix.y_m])
    error_m = float(np.hypot(*offset_m))
    shape_m2 = _ellipse_matrix_m2(fix.ellipse95)
    return LocationCheck(
        error_m=error_m,
        in_ellipse95=_inside(offset_m, shape_m2),
        in_ellipse95_with_truth=_inside(offset_m, shape_m2 + _CHI2_95_2D * sigma_m**2 * np.eye(2)),
        in_cep50=error_m <= fix.cep50_m,
        in_cep95=error_m <= fix.cep95_m,
    )


def score_locations(checks: Sequence[LocationCheck], *, attempted: int | None = None) -> LocationScore:
    """Return the figures of many fixes.

    Parameters
    ----------
    checks : sequence of LocationCheck
        One per fix that was made.
    attempted : int | None
        How many there should have been, refusals included; None for as many as there are.
    """
    wanted = len(checks) if attempted is None else attempted
    if wanted < len(checks):
        raise InputError(f"{len(checks)} fixes of {wanted} attempts; attempted counts every attempt, located or not")
    errors_m = np.array([check.error_m for check in checks])

    def quantile(percent: float) -> float | None:
        return float(np.percentile(errors_m, percent)) if checks else None

    def within(limit_m: float) -> float | None:
        return int(np.count_nonzero(errors_m <= limit_m)) / wanted if wanted else None

    def share(values: Iterable[bool]) -> float | None:
        return sum(values) / len(checks) if checks else None

    return LocationScore(
        attempted=wanted,
        located=len(checks),
        median_m=quantile(50),
        p90_m=quantile(90),
        p95_m=quantile(95),
        max_m=quantile(100),
        share_within_5m=within(5.0),
        share_within_10m=within(10.0),
        share_within_15m=within(15.0),
        share_within_25m=within(25.0),
        ellipse95_coverage=share(check.in_ellipse95 for check in checks),
        ellipse95_coverage_with_truth=share(check.in_ellipse95_with_truth for check in checks),
        cep50_coverage=share(check.in_cep50 for check in checks),
        cep95_coverage=share(check.in_cep95 for check in checks),
    )


def latency_stats(seconds: Sequence[float]) -> LatencyStats:
    """Return the median, 99th percentile and longest of some waits in seconds."""
    values = np.asarray(seconds, dtype=np.float64)

    def quantile(percent: float) -> float | None:
        return float(np.percentile(values, percent)) if len(values) else None

    return LatencyStats(count=len(values), p50_s=quantile(50), p99_s=quantile(99), max_s=quantile(100))


def alert_delay_s(incident: IncidentRecord) -> float:
    """Return event seconds from the last arrival that an incident's revision rests on to its conclusion.

    Give it the first revision of an id for the delay of the alert. What the machine itself needs is not in it.
    """
    used_ns = [parse_utc(item.time_utc) for shot in incident.shots for item in shot.arrivals if item.used]
    if not used_ns:
        raise InputError(
            f"incident {incident.id} rests on no arrival; expected at least one used", field="shots.arrivals"
        )
    return (parse_utc(incident.as_of_utc) - max(used_ns)) / NS_PER_S


def score_scene(
    scene: Scene,
    incidents: Sequence[IncidentRecord],
    *,
    distance_gate_m: float = DISTANCE_GATE_M,
    found_within_m: float = FOUND_WITHIN_M,
    shot_gate_s: float = SHOT_GATE_S,
) -> SceneScore:
    """Score what was reported for one scene.

    Parameters
    ----------
    scene : Scene
        With its truth; events whose ``kind`` is not "gunshot" are confusers.
    incidents : sequence of IncidentRecord
        In any order and with any number of revisions: the latest of each id counts. Those that name another scene
        are passed over.
    distance_gate_m : float
        Farther than this from the truth, an incident is false.
    found_within_m : float
        Error up to which an event or a shot counts as found.
    shot_gate_s : float
        Largest difference in discharge time of a shot that is found.
    """
    reported = _latest(incidents, scene.name)
    events = [event for event in scene.truth if event.kind == "gunshot"]
    confusers = [event for event in scene.truth if event.kind != "gunshot"]
    answer = _match_incidents(events, reported, distance_gate_m)
    answered = set(answer.values())
    rest = [item for index, item in enumerate(reported) if index not in answered]
    detected = {event.event for index, event in enumerate(events) if index in answer}
    unwanted = tuple(_blame(item, events, confusers, detected, distance_gate_m) for item in rest)
    shots = _match_shots(
        events, reported, gate_s=shot_gate_s, found_within_m=found_within_m, distance_gate_m=distance_gate_m
    )
    scored = tuple(
        _event_score(event, reported[answer[index]] if index in answer else None, shots)
        for index, event in enumerate(events)
    ) + tuple(_confuser_score(event, unwanted) for event in confusers)
    gunshots = scored[: len(events)]
    checks = [item.check for item in gunshots if item.check is not None]
    fired = sum(len(event.shot_times_ns) for event in events)
    counts = Counts(
        events=len(events),
        events_detected=len(checks),
        events_found=sum(check.error_m <= found_within_m for check in checks),
        events_missed=len(events) - len(checks),
        incidents=len(reported),
        incidents_duplicate=sum(item.cause == "duplicate" for item in unwanted),
        incidents_false=sum(item.cause != "duplicate" for item in unwanted),
        incidents_false_at_confusers=sum(item.cause == "confuser" for item in unwanted),
        confusers=len(confusers),
        shots_fired=fired,
        shots_found=shots.found,
        shots_missed=fired - shots.found,
        shots_reported=shots.reported,
        shots_duplicate=shots.duplicate,
        shots_unverifiable=shots.unverifiable,
        shots_false=shots.reported - shots.found - shots.duplicate - shots.unverifiable,
        rounds_exact=sum(item.rounds_reported == item.rounds for item in gunshots),
        events_exact=sum(item.exact for item in gunshots),
    )
    return SceneScore(
        scene=scene.name,
        counts=counts,
        incidents=score_locations(checks, attempted=len(events)),
        shots=score_locations(shots.checks, attempted=fired),
        events=scored,
        false_incidents=unwanted,
        shot_checks=tuple(shots.checks),
    )


def summarise(scores: Sequence[SceneScore]) -> Score:
    """Pool the scores of scenes: counts are summed, errors put together before their quantiles are taken."""
    totals = {name: sum(getattr(score.counts, name) for score in scores) for name in Counts.__struct_fields__}
    counts = Counts(**totals)
    incident_checks = [
        item.check for score in scores for item in score.events if item.kind == "gunshot" and item.check is not None
    ]
    shot_checks = [check for score in scores for check in score.shot_checks]
    return Score(
        counts=counts,
        incidents=score_locations(incident_checks, attempted=counts.events),
        shots=score_locations(shot_checks, attempted=counts.shots_fired),
        scenes=tuple(scores),
    )


class _Shots(msgspec.Struct):
    """How the reported shots fell out."""

    reported: int = 0
    found: int = 0
    duplicate: int = 0
    unverifiable: int = 0
    checks: list[LocationCheck] = []
    found_by_event: dict[str, int] = {}
    reported_by_event: dict[str, int] = {}


def _latest(incidents: Sequence[IncidentRecord], scene: str) -> list[IncidentRecord]:
    latest: dict[str, IncidentRecord] = {}
    for item in incidents:
        if item.scene in ("", scene) and (item.id not in latest or latest[item.id].revision <= item.revision):
            latest[item.id] = item
    return sorted(latest.values(), key=lambda item: (parse_utc(item.time_utc), item.id))


def _match_incidents(events: Sequence[TruthEvent], reported: Sequence[IncidentRecord], gate_m: float) -> dict[int, int]:
    """Return event index -> incident index: as many pairs as can be, then the least sum of distances."""
    cost = np.full((len(events), len(reported)), _INFEASIBLE)
    for row, event in enumerate(events):
        for column, item in enumerate(reported):
            if _about(item, event, gate_m):
                cost[row, column] = math.hypot(item.x_m - event.x_m, item.y_m - event.y_m)
    return _assign(cost)


def _about(item: IncidentRecord, event: TruthEvent, gate_m: float) -> bool:
    """Return whether an incident can be about an event: within the gate, and overlapping its window."""
    first_ns, last_ns = parse_utc(item.time_utc), parse_utc(item.last_time_utc)
    near = math.hypot(item.x_m - event.x_m, item.y_m - event.y_m) <= gate_m
    return near and first_ns <= event.window_ns[1] and last_ns >= event.window_ns[0]


def _blame(
    item: IncidentRecord,
    events: Sequence[TruthEvent],
    confusers: Sequence[TruthEvent],
    detected: set[str],
    gate_m: float,
) -> FalseIncident:
    def blamed(cause: str, event: str) -> FalseIncident:
        return FalseIncident(
            incident_id=item.id,
            time_utc=item.time_utc,
            x_m=item.x_m,
            y_m=item.y_m,
            rounds=item.rounds,
            cause=cause,
            event=event,
        )

    for event in events:
        if event.event in detected and _about(item, event, gate_m):
            return blamed("duplicate", event.event)
    for event in confusers:
        if _about(item, event, gate_m):
            return blamed("confuser", event.event)
    return blamed("nothing", "")


def _match_shots(
    events: Sequence[TruthEvent],
    reported: Sequence[IncidentRecord],
    *,
    gate_s: float,
    found_within_m: float,
    distance_gate_m: float,
) -> _Shots:
    """Match reported shots to discharges one to one: first those that are found, then, for the error figures, those
    that are on time but too far off."""
    fired = [(event, time_ns) for event in events for time_ns in event.shot_times_ns]
    heard = [(shot, parse_utc(shot.time_utc)) for item in reported for shot in item.shots]
    apart_m = np.array(
        [[math.hypot(shot.x_m - event.x_m, shot.y_m - event.y_m) for shot, _ in heard] for event, _ in fired]
    ).reshape(len(fired), len(heard))
    late_s = np.array([[(told - true) / NS_PER_S for _, told in heard] for _, true in fired]).reshape(apart_m.shape)
    on_time = np.abs(late_s) <= gate_s
    cost = apart_m / found_within_m + np.abs(late_s) / gate_s

    near = on_time & (apart_m <= found_within_m)
    found = _assign(np.where(near, cost, _INFEASIBLE))
    far = on_time & (apart_m <= distance_gate_m)
    far[list(found), :] = False
    far[:, list(found.values())] = False
    also_located = _assign(np.where(far, cost, _INFEASIBLE))

    result = _Shots(reported=len(heard), found=len(found))
    for row, column in sorted((found | also_located).items()):
        event, _ = fired[row]
        result.checks.append(check_location(heard[column][0], x_m=event.x_m, y_m=event.y_m, sigma_m=event.sigma_m))
    owner = {column: fired[row][0].event for row, column in found.items()}
    for name in owner.values():
        result.found_by_event[name] = result.found_by_event.get(name, 0) + 1
    unknown = {event.event: max(0, event.rounds - len(event.shot_times_ns)) for event in events}
    for column, (shot, told_ns) in enumerate(heard):
        if column not in owner:
            if near[:, column].any():
                result.duplicate += 1
            elif name := _untimed(shot, told_ns, events, unknown, found_within_m=found_within_m, gate_s=gate_s):
                unknown[name] -= 1
                result.unverifiable += 1
        for event in events:
            mine = owner.get(column, event.event) == event.event
            if mine and event.window_ns[0] <= told_ns <= event.window_ns[1]:
                result.reported_by_event[event.event] = result.reported_by_event.get(event.event, 0) + 1
    return result


def _untimed(
    shot: ShotRecord,
    told_ns: int,
    events: Sequence[TruthEvent],
    unknown: dict[str, int],
    *,
    found_within_m: float,
    gate_s: float,
) -> str:
    """Return the event that this shot may be an untimed round of, or ""."""
    gate_ns = ns_from_seconds(gate_s)
    for event in events:
        if (
            unknown[event.event]
            and event.window_ns[0] <= told_ns <= event.window_ns[1]
            and math.hypot(shot.x_m - event.x_m, shot.y_m - event.y_m) <= found_within_m
            and all(abs(told_ns - true_ns) > gate_ns for true_ns in event.shot_times_ns)
        ):
            return event.event
    return ""


def _event_score(event: TruthEvent, item: IncidentRecord | None, shots: _Shots) -> EventScore:
    found = shots.found_by_event.get(event.event, 0)
    return EventScore(
        event=event.event,
        kind=event.kind,
        label=event.label,
        rounds=event.rounds,
        incident_id=item.id if item else None,
        rounds_reported=item.rounds if item else None,
        check=check_location(item, x_m=event.x_m, y_m=event.y_m, sigma_m=event.sigma_m) if item else None,
        shots_timed=len(event.shot_times_ns),
        shots_found=found,
        exact=found == len(event.shot_times_ns) and shots.reported_by_event.get(event.event, 0) == event.rounds,
    )


def _confuser_score(event: TruthEvent, unwanted: Sequence[FalseIncident]) -> EventScore:
    taken = [item for item in unwanted if item.cause == "confuser" and item.event == event.event]
    return EventScore(
        event=event.event,
        kind=event.kind,
        label=event.label,
        rounds=event.rounds,
        incident_id=taken[0].incident_id if taken else None,
        rounds_reported=taken[0].rounds if taken else None,
        check=None,
        shots_timed=0,
        shots_found=0,
        exact=not taken,
    )


def _assign(cost: NDArray[np.float64]) -> dict[int, int]:
    """Return row -> column of the best assignment: most feasible pairs first, then least cost."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(cost)
    return {int(row): int(column) for row, column in zip(rows, columns, strict=True) if cost[row, column] < _INFEASIBLE}


def _ellipse_matrix_m2(ellipse: _Ellipse) -> NDArray[np.float64]:
    """Return E with the ellipse being r' E^-1 r = 1; axes are x east, y north, orientation clockwise from north."""
    angle_rad = math.radians(ellipse.orientation_deg)
    major = np.array([math.sin(angle_rad), math.cos(angle_rad)])
    minor = np.array([math.cos(angle_rad), -math.sin(angle_rad)])
    result: NDArray[np.float64] = ellipse.semi_major_m**2 * np.outer(major, major) + ellipse.semi_minor_m**2 * np.outer(
        minor, minor
    )
    return result


def _inside(offset_m: NDArray[np.float64], shape_m2: NDArray[np.float64]) -> bool:
    if float(np.linalg.det(shape_m2)) <= 0.0:
        return not offset_m.any()
    return float(offset_m @ np.linalg.solve(shape_m2, offset_m)) <= 1.0
