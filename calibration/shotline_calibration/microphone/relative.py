"""A microphone's gain against its neighbours', from night noise: what is the place, what the gain. Pure.

From levels alone a quiet place and a deaf microphone are the same. What tells them apart is what is known before: noise
differs less between near places than between far ones, a sound microphone is within a decibel or so of its kind, and a
broken one may be off by anything. So the level of a node is

    level = common + place + gain + error,

with *place* a Gaussian field over the map (its size and reach, and how many are broken, are weighed by how well each
explains the network), and *gain* one of two: sound, or broken. Each node is held against what the others say of its
place. What that leaves is split between place and gain as their variances say: the gain is shrunk, its sigma includes
what cannot be told.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from shotline.errors import InputError
from shotline_calibration.microphone.nightnoise import NightLevel

__all__ = ["OF_CHANGES", "GainVerdict", "RelativeGain", "RelativeSettings", "relative_gains"]

Floats = NDArray[np.float64]

_PLACE_DB = (0.5, 1.0, 2.0, 3.5, 6.0)
_REACH_M = (100.0, 300.0, 1_000.0)
_MANY = 4.0
"""So many times the usual share may be broken: the other hypothesis on it."""
_COMMON_DB = 100.0
_ROUNDS = 12
_TELLS = 0.7
_FLAG_SIGMAS, _FLAG_DB = 3.0, 3.0
_LEAST_NEIGHBOURS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class RelativeSettings:
    """What is known before.

    Parameters
    ----------
    sound_sigma_db : float
        1-sigma of the gain of a sound microphone of the kind: a MEMS part states 1 dB [InvenSense2014].
    broken_share : float
        Of microphones that something is wrong with.
    broken_sigma_db : float
        1-sigma of their gain.
    near_sigma_db : float
        By how much the noise of two places metres apart differs: height, a wall, leaves.
    neighbour_m : float
        Nodes within this are neighbours.
    """

    sound_sigma_db: float = 1.0
    broken_share: float = 0.05
    broken_sigma_db: float = 12.0
    near_sigma_db: float = 1.5
    neighbour_m: float = 1_500.0

    def __post_init__(self) -> None:
        for name in ("sound_sigma_db", "broken_sigma_db", "near_sigma_db", "neighbour_m"):
            if not (math.isfinite(getattr(self, name)) and getattr(self, name) > 0.0):
                raise InputError(f"{getattr(self, name)} is not more than 0 and finite", field=name)
        if not 0.0 < self.broken_share < 1.0:
            raise InputError(f"{self.broken_share} is not between 0 and 1", field="broken_share")

    @property
    def before_sigma_db(self) -> float:
        """1-sigma of a gain of which nothing was measured."""
        return math.sqrt(
            (1.0 - self.broken_share) * self.sound_sigma_db**2 + self.broken_share * self.broken_sigma_db**2
        )


OF_CHANGES = RelativeSettings(sound_sigma_db=0.3, near_sigma_db=0.7)
"""Of changes since earlier nights: a sound microphone stays as it is, and a place nearly so."""


class GainVerdict(StrEnum):
    """What can be said of a microphone."""

    AS_OTHERS = "as the others"
    QUIETER = "quieter than the others"
    LOUDER = "louder than the others"
    DEAF = "does not follow the others"
    CANNOT_TELL = "cannot tell"


@dataclass(frozen=True, slots=True)
class RelativeGain:
    """One node.

    Parameters
    ----------
    node : str
    gain_db : float
        By how much it reads too high, shrunk.
    sigma_db : float
        1-sigma of it.
    probability_broken : float
    level_db, expected_db : float
        Its night level, and what the others say of its place; both above the common level.
    expected_sigma_db : float
        1-sigma of that.
    neighbours : int
    nights : int
    follows : float | None
        See `shotline_calibration.microphone.nightnoise.NightLevel`.
    verdict : GainVerdict
    why : str
        In words.
    """

    node: str
    gain_db: float
    sigma_db: float
    probability_broken: float
    level_db: float
    expected_db: float
    expected_sigma_db: float
    neighbours: int
    nights: int
    follows: float | None
    verdict: GainVerdict
    why: str


@dataclass(frozen=True, slots=True)
class _Told:
    gain_db: Floats
    variance_db2: Floats
    broken: Floats
    expected_db: Floats
    expected_variance_db2: Floats
    log_evidence: float


def relative_gains(
    levels: Sequence[NightLevel],
    places_m: Mapping[str, tuple[float, float]],
    settings: RelativeSettings | None = None,
    *,
    known_sigma_db: Mapping[str, float] | None = None,
) -> list[RelativeGain]:
    """Return the gain of each node against the others.

    Parameters
    ----------
    levels : sequence of NightLevel
    places_m : mapping from node to (east, north), metres
        Of every node in ``levels``.
    settings : RelativeSettings | None
    known_sigma_db : mapping from node to float | None
        1-sigma of the gain of nodes that were calibrated: in place of ``sound_sigma_db``.

    Raises
    ------
    InputError
        Under three nodes, or one without a place.
    """
    settings = settings or RelativeSettings()
    missing = [item.node for item in levels if item.node not in places_m]
    if missing:
        raise InputError(f"no position of {', '.join(missing)}; they must be among the server's [[nodes]]")
    if len(levels) < 3:
        raise InputError(f"{len(levels)} nodes, expected three or more")
    at_m = np.array([places_m[item.node] for item in levels])
    distance_m = np.hypot(*(at_m[:, None, :] - at_m[None, :, :]).transpose(2, 0, 1))
    told = _weighed(levels, distance_m, settings, known_sigma_db or {})
    neighbours = np.count_nonzero(distance_m <= settings.neighbour_m, axis=1) - 1
    return [_gain(item, index, told, int(neighbours[index]), settings) for index, item in enumerate(levels)]


def _weighed(
    levels: Sequence[NightLevel], distance_m: Floats, settings: RelativeSettings, known: Mapping[str, float]
) -> _Told:
    """Return what the hypotheses on the field say, weighed by how well each explains the levels."""
    level_db = np.array([item.level_db for item in levels])
    error_db2 = np.array([item.sigma_db for item in levels]) ** 2
    sound_db2 = np.array([known.get(item.node, settings.sound_sigma_db) for item in levels]) ** 2
    each = [
        _told(level_db, error_db2, sound_db2, distance_m, place_db, reach_m, min(0.5, share), settings)
        for place_db in _PLACE_DB
        for reach_m in _REACH_M
        for share in (settings.broken_share, _MANY * settings.broken_share)
    ]
    evidence = np.array([item.log_evidence for item in each])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()

    def mean(name: str) -> Floats:
        result: Floats = np.tensordot(weight, np.array([getattr(item, name) for item in each]), axes=1)
        return result

    gain_db, expected_db = mean("gain_db"), mean("expected_db")
    spread = np.tensordot(weight, np.array([(item.gain_db - gain_db) ** 2 for item in each]), axes=1)
    expected_spread = np.tensordot(weight, np.array([(item.expected_db - expected_db) ** 2 for item in each]), axes=1)
    return _Told(
        gain_db,
        mean("variance_db2") + spread,
        mean("broken"),
        expected_db,
        mean("expected_variance_db2") + expected_spread,
        0.0,
    )


def _told(
    level_db: Floats,
    error_db2: Floats,
    sound_db2: Floats,
    distance_m: Floats,
    place_db: float,
    reach_m: float,
    broken_share: float,
    settings: RelativeSettings,
) -> _Told:
    """Return what one hypothesis says; which nodes are broken and what a place expects are found in turns."""
    count = len(level_db)
    field = place_db**2 * np.exp(-distance_m / reach_m) + _COMMON_DB**2
    own_db2 = error_db2 + settings.near_sigma_db**2
    broken_db2 = sound_db2 + settings.broken_sigma_db**2
    broken = np.full(count, broken_share)
    off = variance = np.zeros(count)
    for _ in range(_ROUNDS):
        gain_db2 = 1.0 / ((1.0 - broken) / sound_db2 + broken / broken_db2)
        inverse = np.linalg.inv(field + np.diag(own_db2 + gain_db2))
        solved = inverse @ level_db
        # Each held against all others [RasmussenWilliams2006 eqs. 5.12].
        off = solved / np.diag(inverse)
        variance = np.maximum(1.0 / np.diag(inverse) - gain_db2, own_db2)
        sound_log = _log_normal(off, variance + sound_db2) + math.log(1.0 - broken_share)
        broken_log = _log_normal(off, variance + broken_db2) + math.log(broken_share)
        broken = 1.0 / (1.0 + np.exp(np.clip(sound_log - broken_log, -60.0, 60.0)))
    share_sound, share_broken = sound_db2 / (sound_db2 + variance), broken_db2 / (broken_db2 + variance)
    gain_sound, gain_broken = share_sound * off, share_broken * off
    gain_db = (1.0 - broken) * gain_sound + broken * gain_broken
    inner = (1.0 - broken) * (share_sound * variance + gain_sound**2)
    inner += broken * (share_broken * variance + gain_broken**2)
    return _Told(
        gain_db,
        inner - gain_db**2,
        broken,
        level_db - off,
        variance - error_db2,
        float(np.sum(np.logaddexp(sound_log, broken_log))),
    )


def _log_normal(value: Floats, variance: Floats) -> Floats:
    result: Floats = -0.5 * (value**2 / variance + np.log(2.0 * np.pi * variance))
    return result


def _gain(item: NightLevel, index: int, told: _Told, neighbours: int, settings: RelativeSettings) -> RelativeGain:
    gain_db, sigma_db = float(told.gain_db[index]), math.sqrt(float(told.variance_db2[index]))
    expected_db = float(told.expected_db[index])
    expected_sigma_db = math.sqrt(max(float(told.expected_variance_db2[index]), 0.0))
    verdict, why = _verdict(item, gain_db, sigma_db, float(told.broken[index]), neighbours, settings)
    return RelativeGain(
        item.node,
        gain_db,
        sigma_db,
        float(told.broken[index]),
        item.level_db,
        expected_db,
        expected_sigma_db,
        neighbours,
        item.nights,
        item.follows,
        verdict,
        why,
    )


def _verdict(
    item: NightLevel, gain_db: float, sigma_db: float, broken: float, neighbours: int, settings: RelativeSettings
) -> tuple[GainVerdict, str]:
    if item.is_deaf:
        return GainVerdict.DEAF, f"when the others rise by 10 dB it rises by {10.0 * (item.follows or 0.0):.1f} dB"
    if neighbours < _LEAST_NEIGHBOURS:
        return (
            GainVerdict.CANNOT_TELL,
            f"{neighbours} neighbours within {settings.neighbour_m:g} m, expected {_LEAST_NEIGHBOURS}",
        )
    if abs(gain_db) > max(_FLAG_SIGMAS * sigma_db, _FLAG_DB):
        verdict = GainVerdict.LOUDER if gain_db > 0.0 else GainVerdict.QUIETER
        return verdict, f"by {abs(gain_db):.1f} dB; broken with probability {broken:.3f}"
    if sigma_db > _TELLS * settings.before_sigma_db or 0.2 < broken < 0.99:
        return (
            GainVerdict.CANNOT_TELL,
            f"{sigma_db:.1f} dB of doubt: its place may be as unlike its neighbours'; calibrate it with a calibrator",
        )
    return GainVerdict.AS_OTHERS, f"within {max(abs(gain_db) + sigma_db, sigma_db):.1f} dB"
