"""What incidents say, against the truth of simulated scenes: probability, rounds, fire mode, places, movement.

    python benchmarks/incidents.py --fit            # learn from the training families; writes coefficients.py
    python benchmarks/incidents.py [--jobs 2]       # judge on the other families; writes OUT.json and OUT.md
    python benchmarks/incidents.py --tests-only     # only the tests of places and movement on drawn arrival times

Each family keeps the air, ground, town, nodes and faults of its shipped scene; its own events are replaced, 25 s apart
so that none is in another's incident. A *world* has a seed of its own. Three kinds of worlds: ``mixed`` (a stationary
shooter in every mode of fire, and every kind of bang), ``two`` (two shooters 15 to 60 m apart who fire at once) and
``moving`` (2 to 20 m/s). Detections go through the whole fusion engine, as in a server, with what the simulator's
classifier says of each, and once more without any classifier.

An incident's truth is the event that most of its arrivals came from. For the probability, node probabilities are drawn
again: of a calibrated classifier, log odds normal with mean +-m and variance 2 m, as alike at the nodes of one event
as `VOICES_ALIKE` says; for all nodes, for half of them, for none. Shots and others weigh the same in sum.

Training and judged families share no town, no node and no seed.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from results_files import write_results

from fusion_server.engine import FusionEngine, FusionSettings
from fusion_server.incidents import IncidentSettings
from fusion_server.incidents.coefficients import INCIDENT, MISSED_RATES_S, SHOT
from fusion_server.incidents.places import find_places
from fusion_server.incidents.probability import MOST_LOGIT, MOST_WITHOUT_VOICES, features
from fusion_server.registry import Registry
from shotline.atmosphere import WeatherTimeline
from shotline.domain import (
    Arrival,
    ArrivalVerdict,
    DetectionId,
    Ellipse,
    ImpulseKind,
    Incident,
    IncidentState,
    Location,
    Shot,
    Site,
)
from shotline.messages import Detection
from shotline.units import ns_from_seconds
from shotline_models.metrics import wilson_interval
from shotline_recordings.scene import BangTable, SceneFile, ShotsTable, load_scene, shipped_scene
from shotline_recordings.simulate.run import simulated_detections
from shotline_recordings.simulate.stage import Stage, set_stage
from shotline_recordings.work import in_parallel
from shotline_replay.report import describe_software

_Real = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "incidents"
COEFFICIENTS = ROOT / "fusion_server" / "incidents" / "coefficients.py"

TRAINING = ("open-field", "suburb", "two-shooters", "outside-the-array")
JUDGED = ("airport-wind", "hilly-valley", "downtown-canyon", "automatic-fire")
FAMILIES = (*TRAINING, *JUDGED)
WHATS = ("mixed", "two", "moving")
FIRST_SEED = 410_000
APART_S = 25.0
EVENTS = {"mixed": 30, "two": 8, "moving": 8}
"""Of a world."""
LONGEST_SERIES_S = 4.0
"""Of rounds fired by hand."""
HAND_WEAPONS = ("glock-19", "glock-21", "glock-22", "sw-686", "ar15-20in", "rifle-308")
AUTOMATIC_WEAPONS = ("m4", "akm", "mp5", "glock-18")
BANGS = (
    "firework_salute",
    "firework_salute",
    "firework_shell",
    "firework_string",
    "thunder",
    "vehicle_backfire",
    "nail_gun",
    "dropped_container",
    "hammer",
)
VOICES_MEAN, VOICES_ALIKE = 2.0, 0.5
VOICINGS = ("none", "half", "all")
SINGLE, BY_HAND, AUTOMATIC = "single", "semi_automatic", "automatic"
RIDGE, LEAST_RIDGE = 15.0, 1.0
"""In incidents: draws coefficients to zero where scenes are few. The first, of all that no classifier says, is more
than leaving out one training family at a time asks for: simulated levels alone must not make a gun."""
BINS = 10


@dataclass(frozen=True, slots=True)
class World:
    """One part of the work."""

    family: str
    what: str
    number: int

    @property
    def seed(self) -> int:
        """Of everything random in it."""
        return FIRST_SEED + 10_000 * FAMILIES.index(self.family) + 1_000 * WHATS.index(self.what) + self.number


@dataclass(frozen=True, slots=True)
class Told:
    """One incident as told last, and its truth.

    Parameters
    ----------
    incident : Incident
    kind : str
        `ImpulseKind` of the event that most of its arrivals are of; "" for clutter.
    event : str
        Its name; "" for clutter.
    mode : str
        How that event was fired; "" for what is no shot.
    rounds : int
        Fired in that event, and in its partner for two shooters.
    real : tuple[bool, ...]
        Of each shot, whether most of its arrivals are of one round fired.
    """

    incident: Incident
    kind: str
    event: str
    mode: str
    rounds: int
    real: tuple[bool, ...]
    world: World
    classified: bool


# Worlds.


def world_scene(world: World) -> tuple[SceneFile, dict[str, str]]:
    """Return the scene of a family with other events, and how each event is fired."""
    scene = load_scene(shipped_scene(world.family))
    empty = {"shots": [], "bangs": [], "scatter": [], "duration_s": APART_S * (EVENTS[world.what] + 1)}
    paths = {"reflection_order": min(scene.paths.reflection_order, 1)}
    scene = scene.model_copy(update={**empty, "paths": scene.paths.model_copy(update=paths)})
    rng = np.random.default_rng(world.seed)
    city = set_stage(scene, seed=world.seed).city
    nodes_m = np.array([(node.x_m, node.y_m) for node in scene.nodes])
    low, high = np.quantile(nodes_m, [0.1, 0.9], axis=0)
    shots: list[ShotsTable] = []
    bangs: list[BangTable] = []
    modes: dict[str, str] = {}

    def is_open(place_m: _Real) -> bool:
        return bool(city.building_at(place_m[None])[0] < 0)

    def somewhere() -> _Real:
        while not is_open(place_m := rng.uniform(low, high)):
            pass
        return place_m

    def fire(name: str, place_m: _Real, mode: str, start_s: float, velocity_mps: _Real | None = None) -> None:
        given: dict[str, Any] = {}
        if mode == AUTOMATIC:
            count = int(rng.integers(3, 16))
            given = {"weapon": str(rng.choice(AUTOMATIC_WEAPONS)), "mode": mode, "rounds": count, "start_s": start_s}
        else:
            count = 1 if mode == SINGLE else int(rng.integers(2, 11))
            tempo_s = 0.35 * math.exp(0.5 * float(rng.standard_normal()))
            gaps_s = np.maximum(tempo_s * np.exp(0.25 * rng.standard_normal(count - 1)), 0.13)
            gaps_s *= min(1.0, LONGEST_SERIES_S / max(float(gaps_s.sum()), 1e-9))
            times_s = start_s + np.concatenate([[0.0], np.cumsum(gaps_s)])
            given = {"weapon": str(rng.choice(HAND_WEAPONS)), "times_s": times_s.tolist()}
        modes[name] = mode
        shots.append(
            ShotsTable(
                event=name,
                x_m=float(place_m[0]),
                y_m=float(place_m[1]),
                azimuth_deg=float(rng.uniform(0.0, 360.0)),
                velocity_mps=[0.0, 0.0] if velocity_mps is None else velocity_mps.tolist(),
                **given,
            )
        )

    for number in range(EVENTS[world.what]):
        name, start_s = f"event-{number}", 2.0 + APART_S * number
        if world.what == "two":
            one = somewhere()
            while True:
                angle, away_m = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(15.0, 60.0)
                other = one + away_m * np.array([math.sin(angle), math.cos(angle)])
                if is_open(other):
                    break
                one = somewhere()
            fire(f"{name}-a", one, BY_HAND, start_s)
            fire(f"{name}-b", other, BY_HAND, start_s + float(rng.uniform(0.05, 0.4)))
        elif world.what == "moving":
            while True:
                place, angle = somewhere(), rng.uniform(0.0, 2.0 * math.pi)
                velocity = float(rng.uniform(2.0, 20.0)) * np.array([math.sin(angle), math.cos(angle)])
                if all(is_open(place + at_s * velocity) for at_s in np.arange(0.0, LONGEST_SERIES_S, 0.05)):
                    break
            fire(name, place, BY_HAND, start_s, velocity)
        elif rng.random() < 0.5:
            fire(name, somewhere(), (SINGLE, BY_HAND, AUTOMATIC)[int(rng.integers(3))], start_s)
        else:
            x_m, y_m = somewhere().tolist()
            kind, count = str(rng.choice(BANGS)), 1 if rng.random() < 0.6 else int(rng.integers(2, 7))
            # Blows, salutes and nails come in series too: rounds alone must not make gunfire.
            for at, time_s in enumerate(start_s + np.linspace(0.0, 3.0, count) + rng.uniform(0.0, 0.2, count)):
                one = name if count == 1 else f"{name}-{at}"
                bangs.append(BangTable(event=one, x_m=x_m, y_m=y_m, time_s=float(time_s), kind=kind))
                modes[one] = ""
    return scene.model_copy(update={"shots": shots, "bangs": bangs}), modes


def told_of(world: World) -> list[Told]:
    """Simulate a world, run it through the engine with and without a classifier, and return every incident."""
    scene, modes = world_scene(world)
    stage = set_stage(scene, seed=world.seed)
    several = simulated_detections(stage)
    detections = sorted(
        (item for some in several for item in some.detections), key=lambda item: (item.arrival_time_ns, item.uid)
    )
    origin: dict[DetectionId, tuple[int, int]] = {}
    for some in several:
        for item, event, round_index in zip(some.detections, some.event, some.round_index, strict=True):
            origin[item.uid] = (int(event), int(round_index))
    result = []
    for classified in (True, False):
        heard = detections if classified else [_unclassified(item) for item in detections]
        for incident in last_told(stage, heard):
            result.append(_with_truth(incident, stage, origin, modes, world, classified=classified))
    return result


def _unclassified(detection: Detection) -> Detection:
    import msgspec

    return msgspec.structs.replace(detection, probabilities_bp=())


def last_told(stage: Stage, detections: Sequence[Detection]) -> list[Incident]:
    """Return the last revision of every incident that was not taken back."""
    settings = FusionSettings()
    engine = FusionEngine(
        registry=Registry(node.site for node in stage.nodes),
        weather=WeatherTimeline.constant(stage.reported_weather),
        settings=settings,
    )
    tick_ns = ns_from_seconds(settings.tick_s)
    last: dict[str, Incident] = {}

    def keep(incidents: Iterable[Incident]) -> None:
        last.update({incident.incident_id: incident for incident in incidents})

    for detection in detections:
        keep(engine.advance_to(detection.arrival_time_ns // tick_ns * tick_ns))
        engine.add(detection)
    keep(engine.finish())
    return [incident for incident in last.values() if incident.state is not IncidentState.RETRACTED]


def _with_truth(
    incident: Incident,
    stage: Stage,
    origin: dict[DetectionId, tuple[int, int]],
    modes: dict[str, str],
    world: World,
    *,
    classified: bool,
) -> Told:
    votes: Counter[int] = Counter()
    real, rounds_seen = [], set()
    for shot in incident.shots:
        sources = Counter(origin[item.arrival.uid] for item in shot.location.verdicts if item.used)
        votes.update({event: count for (event, _), count in sources.items() for _ in range(count)})
        (event, round_index), count = sources.most_common(1)[0]
        whole = 2 * count > sources.total() and event >= 0 and (event, round_index) not in rounds_seen
        rounds_seen.add((event, round_index))
        real.append(whole and stage.event(event).kind is ImpulseKind.GUNSHOT)
    number = votes.most_common(1)[0][0]
    if number < 0:
        return Told(incident, "", "", "", 0, tuple(real), world, classified)
    event = stage.event(number)
    gun = event.kind is ImpulseKind.GUNSHOT
    rounds = len(event.discharges) if gun else 0
    if world.what == "two":
        pair = {f"{event.name[:-1]}a", f"{event.name[:-1]}b"}
        rounds = sum(len(stage.event(n).discharges) for n in range(stage.n_events) if stage.event(n).name in pair)
    return Told(
        incident,
        event.kind.value,
        event.name,
        modes[event.name],
        rounds,
        tuple(real),
        world,
        classified,
    )


# Probability.


def voiced(incident: Incident, *, gun: bool, voicing: str, rng: np.random.Generator) -> list[dict[str, float]]:
    """Return the features of an incident's shots with node probabilities drawn again."""
    sign, of_event = (1.0 if gun else -1.0), float(rng.standard_normal())
    made = []
    for shot in incident.shots:
        arrivals = []
        for verdict in shot.location.verdicts:
            of_node = float(rng.standard_normal())
            alike = math.sqrt(VOICES_ALIKE) * of_event + math.sqrt(1.0 - VOICES_ALIKE) * of_node
            says = 1.0 / (1.0 + math.exp(-(sign * VOICES_MEAN + math.sqrt(2.0 * VOICES_MEAN) * alike)))
            speaks = voicing == "all" or (voicing == "half" and rng.random() < 0.5)
            if verdict.used:
                arrivals.append(replace(verdict.arrival, gunshot_probability=says if speaks else None))
        made.append(shot_features(shot, arrivals))
    return made


def shot_features(shot: Shot, arrivals: Sequence[Arrival]) -> dict[str, float]:
    """Return what the model looks at for one shot."""
    over = (shot.log_evidence or 0.0) - FusionSettings().associate.min_log_evidence
    return features(arrivals, log_evidence=over, location=shot.location, silent=shot.silent)


@dataclass(frozen=True, slots=True)
class Table:
    """Incidents and their shots, as the models see them.

    Parameters
    ----------
    features : ndarray, shape (n_shots, n_features), float64
    incident : ndarray, shape (n_shots,), intp
        Which incident each shot is of.
    gun : ndarray, shape (n_incidents,), bool
    voicing : ndarray, shape (n_incidents,), str
    kind : ndarray, shape (n_incidents,), str
    """

    features: _Real
    incident: NDArray[np.intp]
    gun: NDArray[np.bool_]
    voicing: NDArray[np.str_]
    kind: NDArray[np.str_]


def table_of(told: Sequence[Told], *, seed: int) -> Table:
    """Return incidents of the mixed worlds, each once for every voicing, and those of the simulator's classifier."""
    rng = np.random.default_rng(seed)
    rows: list[list[float]] = []
    number: list[int] = []
    gun: list[bool] = []
    voicings: list[str] = []
    kinds: list[str] = []
    for item in told:
        if item.world.what != "mixed":
            continue
        is_gun = item.kind == ImpulseKind.GUNSHOT.value
        for voicing in ("simulated",) if item.classified else VOICINGS:
            if item.classified:
                some = [
                    shot_features(shot, [verdict.arrival for verdict in shot.location.verdicts if verdict.used])
                    for shot in item.incident.shots
                ]
            else:
                some = voiced(item.incident, gun=is_gun, voicing=voicing, rng=rng)
            rows += [list(values.values()) for values in some]
            number += [len(gun)] * len(some)
            gun.append(is_gun)
            voicings.append(voicing)
            kinds.append(item.kind or "clutter")
    return Table(
        np.array(rows).reshape(-1, len(SHOT)),
        np.array(number, dtype=np.intp),
        np.array(gun),
        np.array(voicings),
        np.array(kinds),
    )


def even_weights(gun: NDArray[np.bool_]) -> _Real:
    """Return weights with which shots and others weigh the same in sum, and their mean is 1."""
    return np.where(gun, 0.5 / max(gun.mean(), 1e-9), 0.5 / max((~gun).mean(), 1e-9))


def logistic_fit(values: _Real, gun: NDArray[np.bool_], weights: _Real, ridge: Sequence[float]) -> _Real:
    """Return the coefficients of a logistic regression by Newton's method, each drawn to zero by its ridge."""
    found = np.zeros(values.shape[1])
    for _ in range(50):
        share = 1.0 / (1.0 + np.exp(-values @ found))
        gradient = values.T @ (weights * (gun - share)) - np.array(ridge) * found
        information = (values * (weights * share * (1.0 - share))[:, None]).T @ values + np.diag(ridge)
        step = np.linalg.solve(information, gradient)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return found


def incident_values(table: Table, shot: _Real) -> _Real:
    """Return the incident model's own features: constant, mean log odds of the shots, logarithm of their number."""
    names = list(SHOT)
    parts = table.features * shot
    rest = [at for at, name in enumerate(names) if name not in ("constant", "voices")]
    others = parts[:, rest].sum(axis=1) + parts[:, names.index("constant")]
    odds = parts[:, names.index("voices")] + np.clip(others, -MOST_WITHOUT_VOICES, MOST_WITHOUT_VOICES)
    odds = np.clip(odds, -MOST_LOGIT, MOST_LOGIT)
    count = np.bincount(table.incident, minlength=len(table.gun))
    mean = np.bincount(table.incident, weights=odds, minlength=len(table.gun)) / count
    return np.column_stack([np.ones(len(count)), mean, np.log(count)])


def fit_probability(table: Table) -> tuple[_Real, _Real]:
    """Return the coefficients of both models, of the voicings that were drawn."""
    drawn = table.voicing != "simulated"
    count = np.bincount(table.incident, minlength=len(table.gun))
    of_shot = table.incident
    rows = drawn[of_shot]
    # Every incident weighs the same, however many its shots.
    weights = even_weights(table.gun)[of_shot] / count[of_shot]
    ridge = [RIDGE if name != "voices" else LEAST_RIDGE for name in SHOT]
    shot = logistic_fit(table.features[rows], table.gun[of_shot][rows], weights[rows], ridge)
    values = incident_values(table, shot)
    incident = logistic_fit(
        values[drawn], table.gun[drawn], even_weights(table.gun)[drawn], [LEAST_RIDGE, LEAST_RIDGE, RIDGE]
    )
    return shot, incident


def judged(table: Table, shot: _Real, incident: _Real) -> list[dict[str, Any]]:
    """Return Brier score, expected calibration error and reliability for each voicing; both classes weigh the same."""
    share = 1.0 / (1.0 + np.exp(-incident_values(table, shot) @ incident))
    result = []
    for voicing in (*VOICINGS, "simulated"):
        rows = table.voicing == voicing
        p, gun = share[rows], table.gun[rows]
        if not gun.any() or gun.all():
            continue
        weight = even_weights(gun)
        bins = np.minimum((p * BINS).astype(int), BINS - 1)
        reliability = []
        for number in range(BINS):
            inside = bins == number
            if inside.any():
                total = weight[inside].sum()
                reliability.append(
                    {
                        "said": round(float((weight * p)[inside].sum() / total), 3),
                        "was": round(float((weight * gun)[inside].sum() / total), 3),
                        "share": round(float(total / weight.sum()), 4),
                        "incidents": int(inside.sum()),
                    }
                )
        order = np.argsort(p, kind="stable")
        ranks = np.empty(len(p))
        ranks[order] = np.arange(1, len(p) + 1)
        guns = int(gun.sum())
        auc = (ranks[gun].sum() - guns * (guns + 1) / 2) / (guns * (len(p) - guns))
        by_kind = {
            str(kind): round(float(p[table.kind[rows] == kind].mean()), 3) for kind in np.unique(table.kind[rows])
        }
        result.append(
            {
                "voicing": voicing,
                "incidents": len(p),
                "guns": guns,
                "brier": round(float((weight * (p - gun) ** 2).mean()), 4),
                "ece": round(sum(item["share"] * abs(item["said"] - item["was"]) for item in reliability), 4),
                "auc": round(float(auc), 4),
                "mean_by_kind": by_kind,
                "reliability": reliability,
            }
        )
    return result


# Rounds.


@dataclass(frozen=True, slots=True)
class RoundRates:
    """How often rounds are invented and missed; see `fusion_server.incidents.coefficients`."""

    invented: tuple[float, float, float]
    alone: float
    missed: tuple[float, ...]


def fit_rounds(told: Sequence[Told]) -> RoundRates:
    """Return how often a round found is none, by evidence, and what share of those fired is not found, by cadence."""
    evidence: list[float] = []
    false: list[bool] = []
    found, fired = np.zeros(len(MISSED_RATES_S)), np.zeros(len(MISSED_RATES_S))
    single, company = 0, 0
    for item in guns_of(told):
        for shot, real in zip(item.incident.shots, item.real, strict=True):
            evidence.append(shot.log_evidence or 0.0)
            false.append(not real)
        cadence = item.incident.cadence_rounds_per_min
        if cadence is None:
            single += 1
            company += item.rounds > 1
            continue
        row = next(at for at, limit in enumerate(MISSED_RATES_S) if 60.0 / cadence >= limit)
        found[row] += min(sum(item.real), item.rounds)
        fired[row] += item.rounds
    values = np.column_stack([np.ones(len(evidence)), np.array(evidence)])
    constant, slope = logistic_fit(values, np.array(false), np.ones(len(false)), [LEAST_RIDGE, LEAST_RIDGE])
    # One more found and one more not: few events say nothing for certain.
    shares = 1.0 - (found + 1.0) / (fired + 2.0)
    return RoundRates(
        invented=(float(np.mean(false)), float(-constant), float(max(-slope, 0.0))),
        alone=(company + 1.0) / (single + 2.0),
        missed=tuple(shares.tolist()),
    )


def guns_of(told: Iterable[Told], what: str = "mixed") -> list[Told]:
    """Return, for each event of gunfire that was told at all, the fullest of its incidents."""
    best: dict[tuple[World, str, bool], Told] = {}
    for item in told:
        if item.world.what == what and item.mode:
            event = item.event if what != "two" else item.event[:-2]
            key = (item.world, event, item.classified)
            if key not in best or sum(item.real) > sum(best[key].real):
                best[key] = item
    return list(best.values())


def rounds_figures(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return, by how events were fired, how often the count is exact and the interval holds the truth."""
    result = []
    for mode in (SINGLE, BY_HAND, AUTOMATIC):
        some = [item for item in guns_of(told) if item.mode == mode]
        if not some:
            continue
        low = np.array([item.incident.rounds_low for item in some])
        high = np.array([item.incident.rounds_high for item in some])
        fired = np.array([item.rounds for item in some])
        said = np.array([item.incident.rounds for item in some])
        result.append(
            {
                "mode": mode,
                "events": len(some),
                "exact": round(float((said == fired).mean()), 4),
                "held": round(float(((low <= fired) & (fired <= high)).mean()), 4),
                "below": round(float((fired < low).mean()), 4),
                "above": round(float((fired > high).mean()), 4),
                "mean_width": round(float((high - low).mean()), 2),
                "mean_count_error": round(float((said - fired).mean()), 2),
            }
        )
    return result


def mode_figures(told: Sequence[Told]) -> dict[str, dict[str, int]]:
    """Return how often each mode was told, by the true one; events of two rounds or more for series."""
    table: dict[str, dict[str, int]] = {}
    for item in guns_of(told):
        row = table.setdefault(item.mode, {})
        said = item.incident.fire_mode.value
        row[said] = row.get(said, 0) + 1
    return {mode: dict(sorted(table[mode].items())) for mode in sorted(table)}


# Places and movement.


def share(hits: int, count: int) -> dict[str, Any]:
    """Return a share with Wilson's 95 % interval."""
    if not count:
        return {"of": 0}
    low, high = wilson_interval(hits, count)
    return {"share": round(hits / count, 4), "of": count, "wilson95": [round(low, 4), round(high, 4)]}


def engine_places(told: Sequence[Told]) -> dict[str, Any]:
    """Return how often places and movement are told through the whole engine, by the kind of world."""
    result: dict[str, Any] = {}
    for what in WHATS:
        some = [item for item in guns_of(told, what) if item.incident.rounds >= 2]
        result[what] = {
            "two places": share(sum(len(item.incident.places) > 1 for item in some), len(some)),
            "two shooters": share(sum(item.incident.shooters_least > 1 for item in some), len(some)),
            "movement": share(sum(item.incident.movement is not None for item in some), len(some)),
        }
        clean = [item for item in some if all(item.real)]
        result[what]["every round real"] = {
            "two places": share(sum(len(item.incident.places) > 1 for item in clean), len(clean)),
            "movement": share(sum(item.incident.movement is not None for item in clean), len(clean)),
        }
    return result


@dataclass(frozen=True, slots=True)
class Drawn:
    """How arrival times are drawn for the tests alone."""

    what: str
    rounds: int
    nodes: int
    scatter: str

    def shots(self, rng: np.random.Generator) -> list[Shot]:
        """Return the rounds of one incident, each heard by 85 % of the nodes at the least four of them."""
        sites_m = rng.uniform(-350.0, 350.0, (self.nodes, 2))
        path_s = rng.normal(0.0, 0.009, self.nodes)
        second_s = path_s + rng.normal(0.0, 0.006, self.nodes)
        times_s = np.cumsum(rng.uniform(0.1, 0.8, self.rounds))
        angle, away_m = rng.uniform(0.0, 2.0 * math.pi), rng.uniform(30.0, 50.0)
        direction = np.array([math.sin(angle), math.cos(angle)])
        velocity = float(rng.uniform(3.0, 15.0)) * direction
        made = []
        for number, time_s in enumerate(times_s.tolist()):
            place_m, late_s = rng.uniform(-1.0, 1.0, 2), path_s
            if self.what == "two" and rng.random() < 0.5:
                place_m, late_s = place_m + away_m * direction, second_s
            if self.what == "moving":
                place_m = place_m + velocity * time_s
            scatter_s = 0.0015 * rng.standard_normal(self.nodes)
            if self.scatter == "echoes":
                # One arrival in twenty is an echo that hides the first sound.
                scatter_s += np.where(rng.random(self.nodes) < 0.05, rng.uniform(0.005, 0.04, self.nodes), 0.0)
            delay_s = np.hypot(*(sites_m - place_m).T) / 340.0 + late_s + scatter_s
            heard = rng.random(self.nodes) < 0.85
            heard[rng.permutation(self.nodes)[:4]] = True
            made.append(_drawn_shot(place_m + rng.normal(0.0, 2.0, 2), time_s, sites_m, delay_s, heard, number))
        return made


def _drawn_shot(
    place_m: _Real, time_s: float, sites_m: _Real, delay_s: _Real, heard: NDArray[np.bool_], number: int
) -> Shot:
    verdicts = tuple(
        ArrivalVerdict(
            Arrival(
                DetectionId(f"n{node:02}", 1, number),
                Site(f"n{node:02}", float(sites_m[node, 0]), float(sites_m[node, 1])),
                ns_from_seconds(1000.0 + time_s + float(delay_s[node])),
                sigma_s=0.0003,
            ),
            0.0,
            True,
        )
        for node in np.flatnonzero(heard).tolist()
    )
    location = Location(
        x_m=float(place_m[0]),
        y_m=float(place_m[1]),
        z_m=None,
        origin_time_ns=ns_from_seconds(1000.0 + time_s),
        origin_sigma_s=0.01,
        covariance_m2=((9.0, 0.0), (0.0, 9.0)),
        ellipse95=Ellipse(7.3, 7.3, 0.0),
        cep50_m=3.5,
        cep95_m=7.3,
        gdop=1.0,
        rms_residual_s=0.008,
        verdicts=verdicts,
    )
    return Shot(location, 0.9)


def drawn_figures(draws: int, *, say: Any) -> list[dict[str, Any]]:
    """Return how often each answer is given for arrival times that are drawn."""
    settings = IncidentSettings()
    result = []
    for what in ("one", "two", "moving"):
        for rounds, nodes in ((2, 8), (3, 6), (3, 8), (5, 8), (10, 6), (10, 12), (20, 12)):
            for scatter in ("normal", "echoes"):
                rng = np.random.default_rng([FIRST_SEED, rounds, nodes, len(what), len(scatter)])
                places = movement = 0
                count = draws if what == "one" else max(1, draws // 10)
                for _ in range(count):
                    shots = Drawn(what, rounds, nodes, scatter).shots(rng)
                    found = find_places([shot.location for shot in shots], settings)
                    places += len(found.groups) > 1
                    movement += found.movement is not None
                result.append(
                    {
                        "truth": what,
                        "rounds": rounds,
                        "nodes": nodes,
                        "scatter": scatter,
                        "places": share(places, count),
                        "movement": share(movement, count),
                    }
                )
        say(f"drawn: {what}\n")
    return result


# What is written.


def coefficients_text(shot: _Real, incident: _Real, rates: RoundRates) -> str:
    """Return the module of coefficients."""
    names = list(SHOT)
    lines = "\n".join(f'    "{name}": {value:.4f},' for name, value in zip(names, shot.tolist(), strict=True))
    whole = COEFFICIENTS.read_text(encoding="utf-8")
    head = whole[: whole.index("SHOT: dict")]

    def row(values: Sequence[float]) -> str:
        return "(" + ", ".join(f"{value:.4f}" for value in values) + ")"

    return (
        f"{head}SHOT: dict[str, float] = {{\n{lines}\n}}\n"
        '"""Log odds of a gunshot for each unit of `fusion_server.incidents.probability.features`."""\n'
        f"INCIDENT: tuple[float, float, float] = {row(incident.tolist())}\n"
        '"""Log odds of gunfire: constant, for the mean log odds of the shots, for the logarithm of their number."""\n'
        f"INVENTED: tuple[float, float, float] = {row(rates.invented)}\n"
        '"""A round that is none: probability without evidence; minus log odds, constant and for each unit of log '
        'evidence."""\n'
        f"ALONE: float = {rates.alone:.4f}\n"
        '"""Share of events of more rounds among those of which one was found."""\n'
        f"MISSED_RATES_S: tuple[float, float, float] = {tuple(MISSED_RATES_S)}\n"
        f"MISSED: tuple[float, float, float] = {row(rates.missed)}\n"
        '"""Share of rounds that are not found where rounds are at least so many seconds apart."""\n'
    )


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in Markdown; all but the first column are numbers."""
    lines = ["| " + " | ".join(columns) + " |", "|---|" + "---:|" * (len(columns) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(map(str, row)) + " |" for row in rows)])


def percent(part: dict[str, Any]) -> str:
    """Return a share in percent, with its interval."""
    if not part["of"]:
        return ""
    low, high = part["wilson95"]
    return f"{100.0 * part['share']:.1f} ({100.0 * low:.1f} to {100.0 * high:.1f})"


def text_of(document: dict[str, Any]) -> str:
    """Return the results for people."""
    commit = f"{(document['commit'] or 'unknown')[:12]}{' with changes' if document['dirty'] else ''}"
    parts = [
        f"# Incidents against simulated truth\n\nCommit {commit}, {document['minutes']:.0f} min.",
    ]
    if "probability" in document:
        parts.append(
            f"Coefficients were learned on {', '.join(TRAINING)} and are judged on {', '.join(document['judged'])}. "
            "Both classes weigh the same. *simulated* is the simulator's own classifier, which was not learned from; "
            "the others are node probabilities of a calibrated classifier, drawn.\n\n## Probability"
        )
        rows = [
            (r["voicing"], r["incidents"], r["guns"], f"{r['brier']:.3f}", f"{r['ece']:.3f}", f"{r['auc']:.3f}")
            for r in document["probability"]
        ]
        parts.append(table(("nodes that classify", "incidents", "of gunfire", "Brier", "ECE", "AUC"), rows))
        for r in document["probability"]:
            cells = [
                (f"{b['said']:.2f}", f"{b['was']:.2f}", f"{100.0 * b['share']:.1f} %", b["incidents"])
                for b in r["reliability"]
            ]
            kinds = ", ".join(f"{kind} {mean:.2f}" for kind, mean in r["mean_by_kind"].items())
            parts.append(f"Reliability, nodes that classify: {r['voicing']}. Mean probability by kind: {kinds}.")
            parts.append(table(("said", "was", "weight", "incidents"), cells))
        parts.append(
            "## Rounds\n\nThe fullest incident of each event that was told at all; the interval is one of 90 %."
        )
        parts.append(
            table(
                ("fired", "events", "count exact", "interval holds", "too few", "too many", "mean width", "mean error"),
                [
                    (
                        r["mode"],
                        r["events"],
                        f"{100.0 * r['exact']:.1f} %",
                        f"{100.0 * r['held']:.1f} %",
                        f"{100.0 * r['below']:.1f} %",
                        f"{100.0 * r['above']:.1f} %",
                        r["mean_width"],
                        r["mean_count_error"],
                    )
                    for r in document["rounds"]
                ],
            )
        )
        said = ["single", "semi_automatic", "automatic", "undetermined"]
        parts.append("## Fire mode\n\nEvents by how they were fired, and what was told of them.")
        parts.append(
            table(
                ("fired", *said),
                [(mode, *(row.get(name, 0) for name in said)) for mode, row in document["modes"].items()],
            )
        )
        parts.append("## Places and movement through the engine\n\n% (Wilson 95 %) of incidents of two rounds or more.")
        parts.append(
            table(
                (
                    "world",
                    "incidents",
                    "two places",
                    "two shooters",
                    "movement",
                    "places, every round real",
                    "movement",
                ),
                [
                    (
                        what,
                        row["two places"]["of"],
                        percent(row["two places"]),
                        percent(row["two shooters"]),
                        percent(row["movement"]),
                        percent(row["every round real"]["two places"]),
                        percent(row["every round real"]["movement"]),
                    )
                    for what, row in document["engine_places"].items()
                ],
            )
        )
    parts.append(
        "## The tests alone, on drawn arrival times\n\n% (Wilson 95 %). *echoes*: one arrival in 20 is 5 to 40 ms late."
    )
    parts.append(
        table(
            ("truth", "rounds", "nodes", "scatter", "incidents", "two places", "movement"),
            [
                (
                    r["truth"],
                    r["rounds"],
                    r["nodes"],
                    r["scatter"],
                    r["places"]["of"],
                    percent(r["places"]),
                    percent(r["movement"]),
                )
                for r in document["drawn"]
            ],
        )
    )
    return "\n\n".join(parts) + "\n"


def collect(families: Sequence[str], *, worlds: int, jobs: int, whats: Sequence[str] = WHATS) -> list[Told]:
    """Return everything told in so many worlds of each kind, of some families."""
    several = [World(family, what, number) for what in whats for number in range(worlds) for family in families]
    started_s, told = time.monotonic(), []
    for world, some in zip(several, in_parallel(told_of, several, jobs=jobs), strict=True):
        told += some
        sys.stderr.write(f"{world.family}, {world.what}: {(time.monotonic() - started_s) / 60.0:.1f} min\n")
    return told


def fit(told: Sequence[Told]) -> str:
    """Return the module of coefficients that these incidents teach."""
    return coefficients_text(*fit_probability(table_of(told, seed=FIRST_SEED)), fit_rounds(told))


def figures(told: Sequence[Told]) -> dict[str, Any]:
    """Return everything that is judged through the engine."""
    shot, incident = np.array(list(SHOT.values())), np.array(INCIDENT)
    return {
        "probability": judged(table_of(told, seed=FIRST_SEED + 1), shot, incident),
        "rounds": rounds_figures(told),
        "modes": mode_figures(told),
        "engine_places": engine_places(told),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fit", action="store_true", help="learn, and write the module of coefficients")
    parser.add_argument("--tests-only", action="store_true", help="no simulated scenes")
    parser.add_argument("--worlds", type=int, default=2, help="of each kind and family")
    parser.add_argument("--draws", type=int, default=2_000, help="incidents of each row of the tests alone")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    if arguments.fit:
        COEFFICIENTS.write_text(
            fit(collect(TRAINING, worlds=arguments.worlds, jobs=arguments.jobs, whats=("mixed",))), encoding="utf-8"
        )
        return 0
    started_s = time.monotonic()
    software = describe_software()
    document: dict[str, Any] = {
        "benchmark": "incidents",
        "commit": software.git_commit,
        "dirty": software.git_dirty,
        "board": {"machine": platform.machine(), "system": platform.system(), "cores": os.cpu_count()},
        "packages": software.packages,
        "worlds": arguments.worlds,
        "events": EVENTS,
        "first_seed": FIRST_SEED,
    }
    if not arguments.tests_only:
        document["judged"] = list(JUDGED)
        document |= figures(collect(JUDGED, worlds=arguments.worlds, jobs=arguments.jobs))
    document["drawn"] = drawn_figures(arguments.draws, say=sys.stderr.write)
    document["minutes"] = round((time.monotonic() - started_s) / 60.0, 1)
    text = text_of(document)
    write_results(arguments.out, document, text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
