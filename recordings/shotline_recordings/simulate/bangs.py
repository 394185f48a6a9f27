"""Bangs that are no shots: what a listener must not mistake for one.

Every builder takes a place and a random generator and returns the sounds of one event, in time from its start. Levels
are peaks at 1 m, drawn about a typical level unless one is given. Where a figure was measured, its source is at the
constant; "estimated" says that none was found, and is meant so.

References
----------
[Kukulski2018], [GSR1999], [NIOSH2011] levels; [Kosanke2004] display shells. See docs/references.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from shotline.domain import ImpulseKind
from shotline_recordings.simulate.blast import Blast
from shotline_recordings.simulate.emission import Emission, Waveform
from shotline_recordings.simulate.ringing import Hiss, Ringing
from shotline_recordings.simulate.thunder import thunder

__all__ = [
    "BANG_KINDS",
    "BangBuilder",
    "BangKind",
    "door",
    "dropped_container",
    "firework_salute",
    "firework_shell",
    "firework_string",
    "hammer",
    "nail_gun",
    "vehicle_backfire",
]

Position = tuple[float, float, float]

_SALUTE_DB, _SALUTE_SPREAD_DB = 169.0, 3.0
"""136.8 dB at 25 m and 141.2 dB at 15 m [Kukulski2018]; the wave loses 5 dB on that way besides 1/r."""
_CRACKER_DB, _CRACKER_SPREAD_DB = 150.0, 4.0
"""India allows 145 dB at 4 m, 157 dB at 1 m, of one cracker [GSR1999]; crackers of a string are much smaller."""
_SHELL_DB, _SHELL_SPREAD_DB = 172.0, 3.0
"""Tens of grams of flash powder: estimated by TNT equivalence; NIOSH names 170 to 180 dB for the loudest fireworks."""
_LIFT_DB, _LIFT_S = 150.0, 3.0e-3
"""Black powder out of a mortar, a dull thump; estimated."""
_CRACKLE_DB = 140.0
_BACKFIRE_DB, _BACKFIRE_SPREAD_DB, _BACKFIRE_S = 135.0, 5.0, 2.5e-3
"""Mixture burning in an exhaust; slow and low. Estimated."""
_NAILER_DB, _NAILER_SPREAD_DB = 128.0, 4.0
"""109 to 136 dB peak emission of pneumatic nailers [NIOSH2011]."""
_METAL_DB, _WOOD_DB, _BLOW_SPREAD_DB = 130.0, 120.0, 4.0
_CAR_DOOR_DB, _HOUSE_DOOR_DB, _DOOR_SPREAD_DB = 108.0, 104.0, 4.0
_CONTAINER_DB, _CONTAINER_SPREAD_DB = 128.0, 4.0
"""Blows, doors and containers: estimated."""

_GRAVITY_MPS2 = 9.81
_FLIGHT_SHARE = 0.75
"""Time of a shell to its burst over that of a stone without drag; 120 m in about 4 s [Kosanke2004]."""
_MODE_SPREAD = 0.05


class BangBuilder(Protocol):
    """What every kind of bang is built by. Some take more keywords, all with defaults."""

    def __call__(
        self,
        position_enu_m: Position,
        *,
        rng: np.random.Generator,
        peak_db_spl: float | None = None,
    ) -> list[Emission]:
        """Return the sounds of one event."""
        ...


@dataclass(frozen=True, slots=True)
class BangKind:
    """One kind of bang.

    Parameters
    ----------
    build : BangBuilder
    kind : ImpulseKind
        What a classifier should call it.
    about : str
        One line.
    """

    build: BangBuilder
    kind: ImpulseKind
    about: str


def firework_salute(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
) -> list[Emission]:
    """Return one loud report on the ground."""
    level_db = _level_db(peak_db_spl, _SALUTE_DB, _SALUTE_SPREAD_DB, rng)
    return [Emission(0.0, position_enu_m, Blast.from_level(level_db))]


def firework_shell(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    burst_height_m: float | None = None,
    crackle: bool = False,
) -> list[Emission]:
    """Return the thump of the lift at the mortar, and the burst up in the air; the level is that of the burst.

    Parameters
    ----------
    position_enu_m : tuple[float, float, float]
        Of the mortar.
    rng : numpy.random.Generator
    peak_db_spl : float, optional
        Peak of the burst at 1 m.
    burst_height_m : float, optional
        Above the mortar; 40 to 250 m if not given.
    crackle : bool
        Whether stars crackle for a second or two after the burst.
    """
    height_m = float(rng.uniform(40.0, 250.0)) if burst_height_m is None else burst_height_m
    level_db = _level_db(peak_db_spl, _SHELL_DB, _SHELL_SPREAD_DB, rng)
    flight_s = _FLIGHT_SHARE * math.sqrt(2.0 * height_m / _GRAVITY_MPS2) * float(rng.uniform(0.9, 1.1))
    drift = rng.normal(0.0, 0.08 * height_m, 2)
    burst = (position_enu_m[0] + float(drift[0]), position_enu_m[1] + float(drift[1]), position_enu_m[2] + height_m)
    lift_db = level_db - _SHELL_DB + _LIFT_DB
    lift = Blast.from_level(lift_db, positive_phase_s=_LIFT_S)
    sounds = [
        Emission(0.0, position_enu_m, lift),
        Emission(flight_s, burst, Blast.from_level(level_db)),
    ]
    if crackle:
        for _ in range(int(rng.integers(60, 160))):
            delay_s = 0.3 + float(rng.gamma(3.0, 0.35))
            spread_m = rng.normal(0.0, 12.0, 3) - np.array([0.0, 0.0, 0.5 * _GRAVITY_MPS2 * min(delay_s, 2.0) ** 2])
            place = (burst[0] + float(spread_m[0]), burst[1] + float(spread_m[1]), burst[2] + float(spread_m[2]))
            star_db = level_db - _SHELL_DB + float(rng.normal(_CRACKLE_DB, 3.0))
            star = Blast.from_level(star_db)
            sounds.append(Emission(flight_s + delay_s, place, star))
    return _in_order(sounds)


def firework_string(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    crackers: int | None = None,
) -> list[Emission]:
    """Return a string of small crackers; the level is that of one, about which they scatter."""
    count = int(rng.integers(20, 81)) if crackers is None else crackers
    level_db = _level_db(peak_db_spl, _CRACKER_DB, _CRACKER_SPREAD_DB, rng)
    times_s = np.concatenate([[0.0], np.cumsum(rng.exponential(0.05, count - 1))])
    east_m, north_m, up_m = position_enu_m
    sounds = []
    for time_s in times_s:
        place = (east_m + float(rng.normal(0.0, 0.3)), north_m + float(rng.normal(0.0, 0.3)), up_m)
        cracker_db = level_db + float(rng.normal(0.0, 2.0))
        blast = Blast.from_level(cracker_db)
        sounds.append(Emission(float(time_s), place, blast))
    return sounds


def vehicle_backfire(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
) -> list[Emission]:
    """Return one to three slow, low bangs out of an exhaust."""
    level_db = _level_db(peak_db_spl, _BACKFIRE_DB, _BACKFIRE_SPREAD_DB, rng)
    sounds, time_s = [], 0.0
    for index in range(int(rng.integers(1, 4))):
        phase_s = _BACKFIRE_S * math.exp(0.25 * float(rng.standard_normal()))
        fainter_db = level_db - (float(rng.uniform(0.0, 6.0)) if index else 0.0)
        blast = Blast.from_level(fainter_db, positive_phase_s=phase_s)
        sounds.append(Emission(time_s, position_enu_m, blast))
        time_s += float(rng.uniform(0.08, 0.6))
    return sounds


def nail_gun(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    drive: Literal["pneumatic", "combustion"] = "pneumatic",
) -> list[Emission]:
    """Return one nail: the blow, and the air or the burnt gas that leaves a few milliseconds later."""
    level_db = _level_db(peak_db_spl, _NAILER_DB, _NAILER_SPREAD_DB, rng)
    blow = _ringing([650.0, 1_400.0, 2_900.0, 5_200.0], [9e-3, 6e-3, 4e-3, 2e-3], [1.0, 0.8, 0.6, 0.4], level_db, rng)
    out: Waveform
    if drive == "pneumatic":
        out = Hiss.at_level(
            rise_s=1e-3, decay_s=14e-3, low_hz=400.0, high_hz=9_000.0, peak_db_spl_at_1m=level_db - 5.0, rng=rng
        )
    else:
        out = Blast.from_level(level_db - 3.0, positive_phase_s=0.8e-3)
    return [Emission(0.0, position_enu_m, blow), Emission(float(rng.uniform(4e-3, 12e-3)), position_enu_m, out)]


def hammer(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    struck: Literal["metal", "wood"] = "metal",
    blows: int | None = None,
) -> list[Emission]:
    """Return a few blows of a hammer on a steel plate or on timber."""
    metal = struck == "metal"
    level_db = _level_db(peak_db_spl, _METAL_DB if metal else _WOOD_DB, _BLOW_SPREAD_DB, rng)
    modes = (
        ([880.0, 1_730.0, 2_650.0, 4_100.0, 6_300.0], [70e-3, 50e-3, 35e-3, 20e-3, 12e-3], [0.7, 1.0, 0.9, 0.6, 0.4])
        if metal
        else ([260.0, 520.0, 980.0, 1_650.0], [12e-3, 9e-3, 6e-3, 4e-3], [1.0, 0.8, 0.5, 0.3])
    )
    piece_hz = [mode * math.exp(_MODE_SPREAD * float(rng.standard_normal())) for mode in modes[0]]
    sounds, time_s = [], 0.0
    for _ in range(int(rng.integers(2, 7)) if blows is None else blows):
        weights = [weight * math.exp(0.2 * float(rng.standard_normal())) for weight in modes[2]]
        blow_db = level_db + float(rng.normal(0.0, 1.5))
        blow = Ringing.at_level(piece_hz, decays_s=modes[1], weights=weights, peak_db_spl_at_1m=blow_db)
        sounds.append(Emission(time_s, position_enu_m, blow))
        time_s += float(rng.normal(0.55, 0.06))
    return sounds


def door(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
    of: Literal["car", "house"] = "car",
) -> list[Emission]:
    """Return a door that falls shut: a low thump, and what rattles after it."""
    car = of == "car"
    level_db = _level_db(peak_db_spl, _CAR_DOOR_DB if car else _HOUSE_DOOR_DB, _DOOR_SPREAD_DB, rng)
    thump = (
        ([48.0, 85.0, 140.0, 310.0], [35e-3, 28e-3, 20e-3, 10e-3], [1.0, 0.9, 0.6, 0.3])
        if car
        else ([75.0, 130.0, 240.0, 520.0], [30e-3, 22e-3, 14e-3, 7e-3], [1.0, 0.8, 0.5, 0.3])
    )
    sounds = [Emission(0.0, position_enu_m, _ringing(*thump, level_db, rng))]
    for _ in range(int(rng.integers(3, 7))):
        late_s = float(rng.uniform(8e-3, 70e-3))
        rattle = _ringing([900.0, 1_900.0, 3_100.0], [5e-3, 3e-3, 2e-3], [1.0, 0.8, 0.5], level_db - 18.0, rng)
        sounds.append(Emission(late_s, position_enu_m, rattle))
    return _in_order(sounds)


def dropped_container(
    position_enu_m: Position,
    *,
    rng: np.random.Generator,
    peak_db_spl: float | None = None,
) -> list[Emission]:
    """Return a steel box set down hard, which bounces once or twice."""
    level_db = _level_db(peak_db_spl, _CONTAINER_DB, _CONTAINER_SPREAD_DB, rng)
    modes_hz = [62.0, 118.0, 205.0, 390.0, 720.0, 1_350.0]
    box_hz = [mode * math.exp(_MODE_SPREAD * float(rng.standard_normal())) for mode in modes_hz]
    decays_s = [0.25, 0.22, 0.18, 0.14, 0.10, 0.06]
    sounds, time_s, gap_s = [], 0.0, float(rng.uniform(0.18, 0.4))
    for bounce in range(int(rng.integers(2, 4))):
        weights = [weight * math.exp(0.3 * float(rng.standard_normal())) for weight in (1.0, 0.9, 0.9, 0.8, 0.6, 0.4)]
        blow_db = level_db - 6.0 * bounce + float(rng.normal(0.0, 1.0))
        blow = Ringing.at_level(box_hz, decays_s=decays_s, weights=weights, peak_db_spl_at_1m=blow_db)
        sounds.append(Emission(time_s, position_enu_m, blow))
        time_s, gap_s = time_s + gap_s, 0.5 * gap_s
    return sounds


BANG_KINDS: dict[str, BangKind] = {
    "firework_salute": BangKind(firework_salute, ImpulseKind.FIREWORK, "one loud report on the ground"),
    "firework_shell": BangKind(firework_shell, ImpulseKind.FIREWORK, "lift from a mortar, burst 40 to 250 m up"),
    "firework_string": BangKind(firework_string, ImpulseKind.FIREWORK, "tens of small crackers in a few seconds"),
    "vehicle_backfire": BangKind(vehicle_backfire, ImpulseKind.OTHER_IMPULSE, "one to three bangs out of an exhaust"),
    "nail_gun": BangKind(nail_gun, ImpulseKind.IMPACT, "a nail driven by air or gas: blow, then exhaust"),
    "hammer": BangKind(hammer, ImpulseKind.IMPACT, "two to six blows on steel or timber"),
    "door": BangKind(door, ImpulseKind.IMPACT, "a door of a car or a house falls shut"),
    "dropped_container": BangKind(dropped_container, ImpulseKind.IMPACT, "a steel box set down hard, with bounces"),
    "thunder": BangKind(thunder, ImpulseKind.THUNDER, "a flash kilometres long, rolling for many seconds"),
}
"""Every kind of bang by the name that scene files use."""


def _level_db(given_db: float | None, typical_db: float, spread_db: float, rng: np.random.Generator) -> float:
    drawn_db = float(rng.normal(typical_db, spread_db))
    return drawn_db if given_db is None else given_db


def _ringing(
    modes_hz: list[float], decays_s: list[float], weights: list[float], level_db: float, rng: np.random.Generator
) -> Ringing:
    """Return modes that differ a little from piece to piece."""
    shifted_hz = [mode * math.exp(_MODE_SPREAD * float(rng.standard_normal())) for mode in modes_hz]
    return Ringing.at_level(shifted_hz, decays_s=decays_s, weights=weights, peak_db_spl_at_1m=level_db)


def _in_order(sounds: list[Emission]) -> list[Emission]:
    return sorted(sounds, key=lambda sound: sound.time_s)
