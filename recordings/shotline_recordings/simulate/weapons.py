"""Weapons: what the sources of a shot need to know, and where each figure comes from.

The table is ``weapons.toml`` beside this module. Muzzle pressures are seldom published; where none is given it is
estimated from the charge by `resal_exit_pressure_pa`.

References
----------
[Corner1950] Résal's energy balance; [Dater2014] levels. See docs/references.md.
"""

from __future__ import annotations

import difflib
import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

from shotline.errors import InputError

__all__ = ["Weapon", "resal_exit_pressure_pa", "weapon", "weapons"]

GAS_HEAT_RATIO = 1.24
"""Ratio of specific heats of propellant gas."""

_POWDER_FORCE_J_PER_KG = 1.0e6
_HEAT_SHARE = 0.2
"""Share of the powder's energy that the barrel takes as heat by the time of exit."""


@dataclass(frozen=True, slots=True)
class Weapon:
    """One weapon with one load.

    Parameters
    ----------
    id, name, cartridge : str
    calibre_m, bullet_length_m, bullet_mass_kg : float
        Of one projectile: of one pellet of a shotgun.
    muzzle_velocity_mps : float
    ballistic_coefficient_kg_m2 : float
        G1.
    barrel_length_m, bore_m, travel_m : float
        Barrel as catalogues state it, diameter of the bore, and how far the base of the bullet moves in it.
    charge_mass_kg : float
    exit_pressure_pa : float
        Mean pressure in the bore as the bullet leaves.
    sources : tuple[str, ...]
        Of the numbers; says which are estimated.
    projectiles : int
    peak_db_spl : float or None
        Peak level measured 1 m left of the muzzle, without a suppressor.
    suppressor_db : float
        What a suppressor takes from the peak.
    rate_rpm : float or None
        Cyclic rate, when it fires automatically.
    """

    id: str
    name: str
    cartridge: str
    calibre_m: float
    bullet_length_m: float
    bullet_mass_kg: float
    muzzle_velocity_mps: float
    ballistic_coefficient_kg_m2: float
    barrel_length_m: float
    bore_m: float
    travel_m: float
    charge_mass_kg: float
    exit_pressure_pa: float
    sources: tuple[str, ...]
    projectiles: int = 1
    peak_db_spl: float | None = None
    suppressor_db: float = 0.0
    rate_rpm: float | None = None

    @property
    def bore_area_m2(self) -> float:
        """Cross-section of the bore."""
        return math.pi * self.bore_m**2 / 4.0


def resal_exit_pressure_pa(
    *, charge_mass_kg: float, projectile_mass_kg: float, muzzle_velocity_mps: float, bore_m: float, travel_m: float
) -> float:
    """Estimate the mean pressure in the bore at exit by Résal's balance of energy [Corner1950].

    What the powder gave, less heat to the barrel and the motion of bullet and gas, is the internal energy of the gas:
    p A x = (1 - q) F C - (gamma - 1) (m + C / 3) v^2 / 2. The free volume of the chamber is taken as the covolume of
    the gas, so that the gas fills the swept bore A x; F = 1 MJ/kg, q = 0.2, gamma = 1.24 for all powders. Good to some
    tens of per cent, the charge being seldom known better.

    Raises
    ------
    InputError
        The charge cannot give the bullet its velocity.
    """
    swept_m3 = math.pi * bore_m**2 / 4.0 * travel_m
    moving_j = 0.5 * (projectile_mass_kg + charge_mass_kg / 3.0) * muzzle_velocity_mps**2
    left_j = (1.0 - _HEAT_SHARE) * _POWDER_FORCE_J_PER_KG * charge_mass_kg - (GAS_HEAT_RATIO - 1.0) * moving_j
    if left_j <= 0.0:
        raise InputError(
            f"a charge of {charge_mass_kg * 1e3:g} g cannot drive {projectile_mass_kg * 1e3:g} g "
            f"to {muzzle_velocity_mps:g} m/s; check charge, mass and velocity",
            field="charge_mass_kg",
        )
    return left_j / swept_m3


@cache
def weapons() -> tuple[Weapon, ...]:
    """Return every weapon of the table, in its order."""
    text = resources.files(__package__).joinpath("weapons.toml").read_text(encoding="utf-8")
    rows = []
    for row in tomllib.loads(text)["weapon"]:
        estimate = resal_exit_pressure_pa(
            charge_mass_kg=row["charge_mass_kg"],
            projectile_mass_kg=row["bullet_mass_kg"] * row.get("projectiles", 1),
            muzzle_velocity_mps=row["muzzle_velocity_mps"],
            bore_m=row["bore_m"],
            travel_m=row["travel_m"],
        )
        rows.append(Weapon(**{"exit_pressure_pa": estimate, **row, "sources": tuple(row["sources"])}))
    return tuple(rows)


def weapon(identity: str) -> Weapon:
    """Return the weapon of this id.

    Raises
    ------
    InputError
        There is none; the message names the nearest and how to list all.
    """
    known = {item.id: item for item in weapons()}
    if identity in known:
        return known[identity]
    near = difflib.get_close_matches(identity.lower(), known, n=3, cutoff=0.4)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise InputError(
        f"no weapon {identity!r} is known; {hint}`shotline simulate --weapons` lists all {len(known)}",
        field="weapon",
    )
