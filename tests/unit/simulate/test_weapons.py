"""The table of weapons: complete, plausible, sourced, and clear about what it does not know."""

from __future__ import annotations

import math
import tomllib
from dataclasses import fields
from importlib import resources

import pytest

from shotline.errors import InputError
from shotline_recordings.simulate.weapons import Weapon, resal_exit_pressure_pa, weapon, weapons

FILE = resources.files("shotline_recordings.simulate").joinpath("weapons.toml")
PYGUNSHOT = ("short-magnum-300", "browning-bda-380", "glock-19", "glock-21", "rossi-r971")
ids = pytest.mark.parametrize("arm", weapons(), ids=lambda item: item.id)


def test_the_table_is_beside_its_module_in_the_package() -> None:
    rows = tomllib.loads(FILE.read_text(encoding="utf-8"))["weapon"]
    assert [row["id"] for row in rows] == [item.id for item in weapons()]
    known = {field.name for field in fields(Weapon)}
    assert all(set(row) <= known for row in rows)


def test_ids_are_unique_and_all_families_are_there() -> None:
    listed = [item.id for item in weapons()]
    assert len(set(listed)) == len(listed) >= 18
    assert set(PYGUNSHOT) <= set(listed)
    assert {"pistol-9mm", "ruger-mk4", "sw-642", "ar15-20in", "ar15-10in", "akm", "mossberg-500", "mp5sd"} <= set(
        listed
    )
    assert sum(item.rate_rpm is not None for item in weapons()) >= 5
    assert sum(item.suppressor_db > 0.0 for item in weapons()) >= 3


@ids
def test_every_figure_is_plausible(arm: Weapon) -> None:
    assert 0.005 < arm.calibre_m < 0.02
    assert arm.calibre_m * 0.95 < arm.bore_m or arm.projectiles > 1
    assert 1.0 <= arm.bullet_length_m / arm.calibre_m < 6.0
    assert 150.0 < arm.muzzle_velocity_mps < 1_100.0
    assert 0.0 < arm.travel_m < arm.barrel_length_m + 0.02  # a revolver's bullet starts in the cylinder
    assert 20.0 < arm.ballistic_coefficient_kg_m2 < 500.0
    # 1 MPa is 10 bar, a .22 rifle; above 200 MPa lie chamber pressures, not muzzle pressures
    assert 1e6 < arm.exit_pressure_pa < 2e8
    # the mean density of a bullet or ball, between a hollow jacket and solid lead, from mass, calibre and length
    density = arm.bullet_mass_kg / (math.pi / 4.0 * arm.calibre_m**2 * arm.bullet_length_m)
    assert 3_000.0 < density < 11_400.0
    assert arm.rate_rpm is None or 400.0 < arm.rate_rpm < 1_500.0


@ids
def test_every_weapon_names_its_sources_and_what_is_estimated(arm: Weapon) -> None:
    assert arm.sources
    assert all(len(source) >= 5 for source in arm.sources)
    text = " ".join(arm.sources)
    assert "estimated" in text or "as m4" in text


def test_the_exit_pressure_is_an_energy_balance() -> None:
    # 1 g of powder gives 1 kJ / (gamma - 1); a fifth goes to the barrel, the bullet takes none: p V = 0.8 kJ
    bore_m = math.sqrt(4.0 / math.pi) * 1e-2
    still = resal_exit_pressure_pa(
        charge_mass_kg=1e-3, projectile_mass_kg=1e-2, muzzle_velocity_mps=0.0, bore_m=bore_m, travel_m=1.0
    )
    assert still == pytest.approx(800.0 / 1e-4, rel=1e-12)
    moving = resal_exit_pressure_pa(
        charge_mass_kg=1e-3, projectile_mass_kg=1e-2, muzzle_velocity_mps=400.0, bore_m=bore_m, travel_m=1.0
    )
    # (gamma - 1) of the energy of bullet and a third of the charge is missing
    assert (still - moving) * 1e-4 == pytest.approx(0.24 * 0.5 * (1e-2 + 1e-3 / 3.0) * 400.0**2, rel=1e-12)


@pytest.mark.parametrize(
    ("identity", "low_mpa", "high_mpa"),
    [
        ("glock-19", 20.0, 45.0),  # about 5,000 psi is usually stated of a 9 mm pistol
        ("ar15-20in", 45.0, 80.0),  # 7,000 to 10,000 psi of 20 inches of 5.56
        ("rifle-308", 35.0, 60.0),  # 6,000 to 8,000 psi of 24 inches of .308
        ("mossberg-500", 3.0, 12.0),  # 500 to 1,200 psi of a 12 gauge
    ],
)
def test_the_estimate_is_in_the_range_that_is_usually_stated(identity: str, low_mpa: float, high_mpa: float) -> None:
    assert low_mpa < weapon(identity).exit_pressure_pa / 1e6 < high_mpa


def test_a_charge_that_cannot_is_refused() -> None:
    with pytest.raises(InputError, match=r"charge of 0\.1 g cannot drive 10 g to 900 m/s"):
        resal_exit_pressure_pa(
            charge_mass_kg=1e-4, projectile_mass_kg=1e-2, muzzle_velocity_mps=900.0, bore_m=0.008, travel_m=0.5
        )


def test_an_unknown_weapon_is_answered_with_the_nearest_and_how_to_list_all() -> None:
    with pytest.raises(
        InputError, match=r"no weapon 'Glock19' is known; did you mean glock-19 .* --weapons` lists all"
    ) as caught:
        weapon("Glock19")
    assert caught.value.problems[0].field == "weapon"
    with pytest.raises(InputError, match=r"no weapon 'zzz' is known; `shotline simulate --weapons` lists all \d+"):
        weapon("zzz")


def test_a_known_weapon_is_returned() -> None:
    assert weapon("m4").name.startswith("M4")
    assert weapon("m4").bore_area_m2 == pytest.approx(math.pi * 0.00563**2 / 4.0, rel=1e-12)
