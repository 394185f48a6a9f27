"""What is planned for: the air, the surroundings, the weapons, and what is known of each node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from shotline.atmosphere import Weather
from shotline.domain import Site
from shotline.errors import InputError
from shotline_calibration.plan.surroundings import Surroundings, surroundings
from shotline_recordings.simulate.weapons import Weapon, weapon

__all__ = ["WEAPON_CLASSES", "PlannedNode", "Situation", "weapons_of"]

WEAPON_CLASSES = {
    "small": ("ruger-mk4", "walther-ppk"),
    "handgun": ("glock-19", "glock-22", "colt-1911"),
    "rifle": ("ar15-20in", "akm", "rifle-308"),
    "suppressed": ("glock-17-suppressed", "m4-suppressed"),
}
"""Classes of source level, each of a few weapons of the simulator's table, all as likely."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """A node of the network, or a place for one.

    Parameters
    ----------
    site : Site
    noise_dba : float | None
        A-weighted level of the noise there, exceeded half of the time (LA50); None: that of the surroundings.
    muffled_db : float
        Change of level by a blocked microphone, 0 or less.
    clock_sigma_s : float
        1-sigma of its clock.
    failed : bool
        It hears nothing.
    """

    site: Site
    noise_dba: float | None = None
    muffled_db: float = 0.0
    clock_sigma_s: float = 3e-5
    failed: bool = False

    def __post_init__(self) -> None:
        if self.muffled_db > 0.0:
            raise InputError(
                f"muffled by {self.muffled_db:g} dB; give 0 or less", field=f"nodes.{self.site.node}.muffled_db"
            )
        if not 0.0 <= self.clock_sigma_s < math.inf:
            raise InputError(
                f"{self.clock_sigma_s} is no error of a clock in seconds; give 0 or more",
                field=f"nodes.{self.site.node}.clock_sigma_s",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What shots and air there are.

    Parameters
    ----------
    weather : Weather
    around : Surroundings
    weapons : tuple of Weapon
        Each as likely.
    noise_dba : float | None
        Where a node does not say; None: as the surroundings have it.
    microphone : str
        Name of a microphone of the simulator.
    mast_m : float
        Height of the microphones above the ground.
    temperature_gradient_k_per_m : float
        Of the air upwards.
    most_probability : float
        That a node reports what is far louder than it must be: 1 less what is lost for other reasons.
    impulses_hz : float
        Rate at which a node reports other impulses.
    voice_log_odds, voice_sigma : float
        What a node's classifier says of a shot, as `fusion_server.associate` weighs it, and its 1-sigma.
    """

    weather: Weather = field(default_factory=Weather)
    around: Surroundings = field(default_factory=lambda: surroundings("suburb"))
    weapons: tuple[Weapon, ...] = field(default_factory=lambda: weapons_of(("handgun",)))
    noise_dba: float | None = None
    microphone: str = "mems-120"
    mast_m: float = 8.0
    temperature_gradient_k_per_m: float = 0.0
    most_probability: float = 0.95
    impulses_hz: float = 0.05
    voice_log_odds: float = 1.2
    voice_sigma: float = 1.6


def weapons_of(names: Sequence[str]) -> tuple[Weapon, ...]:
    """Return the weapons of some classes and ids.

    Raises
    ------
    InputError
        A name is neither; the message names what there is.
    """
    found: dict[str, Weapon] = {}
    for name in names:
        try:
            found.update({identity: weapon(identity) for identity in WEAPON_CLASSES.get(name, (name,))})
        except InputError as error:
            raise InputError(
                f"no class or weapon '{name}'; classes are {', '.join(WEAPON_CLASSES)}; "
                "`shotline simulate --weapons` lists weapons",
                field="--weapon",
            ) from error
    if not found:
        raise InputError(f"no weapon is named; classes are {', '.join(WEAPON_CLASSES)}", field="--weapon")
    return tuple(found.values())
