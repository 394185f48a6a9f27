"""What sounds in a scene: shots, other bangs, and many of them scattered, as emissions at places and instants."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from shotline.domain import ImpulseKind
from shotline.errors import InputError
from shotline_recordings.scene import BangTable, ScatterTable, SceneFile, ShotsTable
from shotline_recordings.simulate.bangs import BANG_KINDS
from shotline_recordings.simulate.blast import MuzzleBlast
from shotline_recordings.simulate.bullet import Flight
from shotline_recordings.simulate.city import City
from shotline_recordings.simulate.emission import Emission
from shotline_recordings.simulate.fire import fire_times_s, moved_positions_m
from shotline_recordings.simulate.gains import Medium
from shotline_recordings.simulate.streams import Stream, stream
from shotline_recordings.simulate.weapons import Weapon, weapon

__all__ = [
    "Discharge",
    "StagedEvent",
    "bang",
    "placed",
    "scatter_count",
    "scatter_shares",
    "scattered",
    "shots",
    "span_s",
]

_MOST_TRIES = 1_000
_BULLET_RANGE_M = 1_500.0
_MOST_TAILS = 8


@dataclass(frozen=True, slots=True, eq=False)
class Discharge:
    """One round or bang: what it gives off, by ways of its own.

    Parameters
    ----------
    time_s : float
        After the start of the scene.
    position_m : tuple[float, float, float]
        In the local frame.
    emissions : tuple[Emission, ...]
        Their times count from the start of the scene.
    flight : Flight | None
        Of a bullet faster than sound, with a shock wave of its own.
    """

    time_s: float
    position_m: tuple[float, float, float]
    emissions: tuple[Emission, ...]
    flight: Flight | None = None

    def over_by_s(self, place_m: Sequence[float] | NDArray[np.float64], *, slowest_mps: float) -> float:
        """Return when its last sound has reached a place, by a straight line at no less than some speed.

        Pieces of thunder lie kilometres apart: the last to be given off need not be the last to arrive.
        """
        return max(item.time_s + math.dist(item.position_m, place_m) / slowest_mps for item in self.emissions)

    def tail_share(self, number: int) -> float:
        """Return for how many emissions the diffuse tail of this one stands: of many, a few have one for all."""
        if len(self.emissions) <= _MOST_TAILS:
            return 1.0
        return 0.0 if number % _MOST_TAILS else float(min(_MOST_TAILS, len(self.emissions) - number))


@dataclass(frozen=True, slots=True, eq=False)
class StagedEvent:
    """Everything that one event sounds like at its source.

    Parameters
    ----------
    name, label : str
    kind : ImpulseKind
    discharges : tuple[Discharge, ...]
        In order of time.
    """

    name: str
    label: str
    kind: ImpulseKind
    discharges: tuple[Discharge, ...]


def placed(city: City, x_m: float, y_m: float, z_m: float) -> tuple[float, float, float]:
    """Return a place in the local frame, its height given above the ground there."""
    return x_m, y_m, z_m + float(city.ground_m(np.array([[x_m, y_m]]))[0])


def shots(scene: SceneFile, table: ShotsTable, city: City, medium: Medium, *, seed: int) -> StagedEvent:
    """Return the rounds of one shooter.

    Raises
    ------
    InputError
        No such weapon, fire that cannot be, or rounds after the end of the scene.
    """
    try:
        arm = weapon(table.weapon)
        times_s = fire_times_s(
            "listed" if table.times_s is not None else table.mode,
            start_s=table.start_s or 0.0,
            times_s=table.times_s or (),
            rounds=table.rounds,
            rate_rpm=table.rate_rpm,
            weapon=arm,
            rng=stream(seed, Stream.FIRE, table.event),
        )
    except InputError as error:
        problem = error.problems[0]
        raise InputError(f"event '{table.event}': {problem.message}", field=problem.field) from error
    if times_s[-1] > scene.duration_s:
        raise InputError(
            f"event '{table.event}': its last round is at {times_s[-1]:g} s, after the end ({scene.duration_s:g} s)"
        )
    places = moved_positions_m(
        np.array([table.x_m, table.y_m, table.z_m]),
        velocity_mps=(table.velocity_mps[0], table.velocity_mps[1]),
        times_s=times_s,
    )
    discharges = tuple(
        _round(arm, float(time_s), placed(city, *place), (table.azimuth_deg, table.elevation_deg), city, medium)
        for time_s, place in zip(times_s, places.tolist(), strict=True)
    )
    return StagedEvent(table.event, table.label or arm.name, ImpulseKind.GUNSHOT, discharges)


def _round(
    arm: Weapon,
    time_s: float,
    position_m: tuple[float, float, float],
    barrel_deg: tuple[float, float],
    city: City,
    medium: Medium,
) -> Discharge:
    """Return one round; the bullet flies until it meets a wall."""
    speed_mps = medium.profile.speed_of_sound_mps
    azimuth_deg, elevation_deg = barrel_deg
    blast = MuzzleBlast.of(arm, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg, speed_of_sound_mps=speed_mps)
    flight = None
    if arm.muzzle_velocity_mps > speed_mps:
        flight = Flight.of(
            arm,
            muzzle_enu_m=position_m,
            barrel_enu=blast.barrel_enu,
            speed_of_sound_mps=speed_mps,
            range_m=city.free_flight_m(np.array(position_m), np.array(blast.barrel_enu), longest_m=_BULLET_RANGE_M),
        )
    return Discharge(time_s, position_m, (Emission(time_s, position_m, blast),), flight)


def bang(table: BangTable, city: City, *, seed: int) -> StagedEvent:
    """Return what is no shot.

    Raises
    ------
    InputError
        No such kind of bang: lists those that there are.
    """
    at = placed(city, table.x_m, table.y_m, table.z_m)
    return _made_bang(table.event, table.label, table.kind, table.time_s, at, table.peak_db_spl_at_1m, seed)


def _made_bang(
    name: str,
    label: str,
    kind: str,
    time_s: float,
    position_m: tuple[float, float, float],
    peak_db_spl: float | None,
    seed: int,
) -> StagedEvent:
    if kind not in BANG_KINDS:
        raise InputError(f"event '{name}': no bang '{kind}'; there are: {', '.join(BANG_KINDS)}", field="kind")
    known = BANG_KINDS[kind]
    made = known.build(position_m, peak_db_spl=peak_db_spl, rng=stream(seed, Stream.FIRE, name))
    emissions = tuple(replace(item, time_s=time_s + item.time_s) for item in made)
    return StagedEvent(name, label or known.about, known.kind, (Discharge(time_s, position_m, emissions),))


def scatter_count(scene: SceneFile, table: ScatterTable, *, seed: int) -> int:
    """Return how many events a table stands for, once it is known that they can be."""
    for kind in table.kinds:
        if kind not in BANG_KINDS:
            weapon(kind)  # says which are near when there is none
    from_s, until_s = span_s(scene, table)
    if not from_s < until_s <= scene.duration_s:
        raise InputError(
            f"scatter '{table.event}' is from {from_s:g} to {until_s:g} s, in a scene of {scene.duration_s:g} s"
        )
    count = table.count
    if count is None:
        expected = (table.per_hour or 0.0) * (until_s - from_s) / 3_600.0
        count = int(stream(seed, Stream.SCATTER, table.event).poisson(expected))
    if table.apart_s * count > until_s - from_s:
        raise InputError(
            f"scatter '{table.event}': {count} events {table.apart_s:g} s apart do not fit into {until_s - from_s:g} s"
        )
    return count


def span_s(scene: SceneFile, table: ScatterTable) -> tuple[float, float]:
    """Return from when to when the events of a table begin."""
    return table.from_s, scene.duration_s if table.until_s is None else table.until_s


@lru_cache(maxsize=16)
def _shares(event: str, count: int, evenly: bool, seed: int) -> NDArray[np.float64]:
    if evenly:
        return np.arange(count, dtype=np.float64) / count
    return stream(seed, Stream.SCATTER, event, "times").random(count)


def scatter_shares(table: ScatterTable, count: int, *, seed: int) -> NDArray[np.float64]:
    """Return when the events of a table begin, as shares of its span; shape (count,)."""
    return _shares(table.event, count, table.apart_s > 0.0, seed)


def scattered(
    scene: SceneFile, table: ScatterTable, number: int, *, count: int, city: City, medium: Medium, seed: int
) -> StagedEvent:
    """Draw one of ``count`` events on open ground."""
    rng = stream(seed, Stream.SCATTER, table.event, number)
    name = f"{table.event}-{number}"
    from_s, until_s = span_s(scene, table)
    time_s = from_s + float(scatter_shares(table, count, seed=seed)[number]) * (until_s - from_s)
    at = _open_ground(table, city, rng)
    kind = table.kinds[int(rng.integers(len(table.kinds)))]
    azimuth_deg = float(rng.uniform(0.0, 360.0))
    if kind in BANG_KINDS:
        return _made_bang(name, "", kind, time_s, at, None, seed)
    arm = weapon(kind)
    round_ = _round(arm, time_s, at, (azimuth_deg, 0.0), city, medium)
    return StagedEvent(name, arm.name, ImpulseKind.GUNSHOT, (round_,))


def _open_ground(table: ScatterTable, city: City, rng: np.random.Generator) -> tuple[float, float, float]:
    for _ in range(_MOST_TRIES):
        x_m, y_m = rng.uniform(table.west_m, table.east_m), rng.uniform(table.south_m, table.north_m)
        if city.building_at(np.array([[x_m, y_m]]))[0] < 0:
            return placed(city, float(x_m), float(y_m), table.z_m)
    raise InputError(f"scatter '{table.event}': no open ground in its area; make it larger")
