"""Blast waves: pygunshot's figures, measured levels, closed forms, both signs, and what cannot be."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.integrate import quad

from shotline.errors import InputError
from shotline_recordings.simulate.blast import (
    Blast,
    MuzzleBlast,
    direction_enu,
    exit_flow,
    friedlander_spectrum_pa_s,
    kinney_graham,
    peak_pa_from_db_spl,
)
from shotline_recordings.simulate.weapons import weapon

REFERENCE = Path(__file__).parents[4] / "shared" / "data" / "reference" / "pygunshot.json"
needs_reference = pytest.mark.skipif(not REFERENCE.is_file(), reason=f"pygunshot's figures are not at {REFERENCE}")

PRESSURE_PA, SOUND_MPS = 101e3, 341.0
"""As pygunshot has them."""
IDS = ("short-magnum-300", "browning-bda-380", "glock-19", "glock-21", "rossi-r971")
GLOCK = {"barrelLen": 0.102, "pexit": 2460.0, "bulletDiam": 0.009, "velocity": 361.0}
GLOCK_FIGURES = {
    "arrival_s": 0.056286,
    "peak_pa": 212.414,
    "trough_pa": -28.879,
    "positive_phase_s": 0.000607,
    "total_duration_s": 0.010036,
}
MUZZLE, MICROPHONE = np.array([4.25, 3.0, 1.25]), np.array([8.05, 22.0, 1.5])
EAST, NORTH, SOUTH = (np.array([row]) for row in ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, -1.0, 0.0]))


def as_pygunshot(gun: dict[str, float]) -> MuzzleBlast:
    """Return the blast with pygunshot's own inputs: chamber pressure in kg/cm², and its scale of the length.

    Its scaling length is 10 sqrt(dE/dt / (p a)) with the pressure in dE/dt already divided by p, 0.0315 of Fansler's.
    """
    share, mach = gun["pexit"] * 98_066.5 / PRESSURE_PA, gun["velocity"] / SOUND_MPS
    flux = 1.24 / 0.24 * share * gun["velocity"] * (1.0 + 0.12 * mach**2) * math.pi * gun["bulletDiam"] ** 2 / 4.0
    return MuzzleBlast(
        scaling_length_m=10.0 * math.sqrt(flux / (PRESSURE_PA * SOUND_MPS)),
        momentum_index=0.83 - 0.0063 * mach * math.sqrt(0.62 * share),
        barrel_length_m=gun["barrelLen"],
        muzzle_velocity_mps=gun["velocity"],
        barrel_enu=(0.0, 1.0, 0.0),
        speed_of_sound_mps=SOUND_MPS,
        ambient_pressure_pa=PRESSURE_PA,
    )


def path() -> tuple[np.ndarray, np.ndarray]:
    distance_m = np.linalg.norm(MICROPHONE - MUZZLE)
    return np.array([distance_m]), ((MICROPHONE - MUZZLE) / distance_m)[None]


def check_same_inputs(gun: dict[str, float], figures: dict[str, float]) -> None:
    blast, (distance_m, direction) = as_pygunshot(gun), path()
    phase_s = blast.positive_phase_s(distance_m, direction)[0]
    peak_pa = blast.peak_pa(distance_m, direction)[0]
    # Its figures are read off samples some microseconds apart: the peak is missed by up to 1 % (twice a step over the
    # positive phase), and is never higher than ours; the arrival is the first sample, late by up to 3 us.
    assert figures["peak_pa"] * 0.9999 < peak_pa < figures["peak_pa"] * 1.01
    assert phase_s == pytest.approx(figures["positive_phase_s"], rel=0.004)
    arrival_s = distance_m[0] / SOUND_MPS - blast.early_s(distance_m, direction)[0]
    assert figures["arrival_s"] - 3e-6 < arrival_s < figures["arrival_s"] + 0.5e-6
    # exp(-2) of the peak at twice the positive phase; by its peak, so by as much
    assert -peak_pa * math.exp(-2.0) == pytest.approx(figures["trough_pa"], rel=0.01)
    # It ends where the wave has fallen to 1e-6 of the peak: (u - 1) exp(-u) = 1e-6 at u = 16.56, to a few samples
    assert 16.56 * phase_s == pytest.approx(figures["total_duration_s"], rel=0.004)


def test_pygunshot_with_its_own_inputs() -> None:
    check_same_inputs(GLOCK, GLOCK_FIGURES)


@needs_reference
@pytest.mark.parametrize("index", range(5))
def test_every_gun_of_pygunshot_with_its_own_inputs(index: int) -> None:
    row: dict[str, Any] = json.loads(REFERENCE.read_text(encoding="utf-8"))[index]
    check_same_inputs(row["gun"], row["muzzle_blast"])


@needs_reference
@pytest.mark.parametrize("index", range(5))
def test_every_gun_of_pygunshot_by_our_table(index: int) -> None:
    row: dict[str, Any] = json.loads(REFERENCE.read_text(encoding="utf-8"))[index]["muzzle_blast"]
    blast, (distance_m, direction) = table_blast(IDS[index]), path()
    # From charge or measured level instead of a scaled chamber pressure: louder by 10 to 30 %, 2 dB at most, 11 degrees
    # off the barrel, because the gas leaves more forward; a tenth to a quarter longer, as stronger waves are.
    assert 1.05 < blast.peak_pa(distance_m, direction)[0] / row["peak_pa"] < 1.35
    assert 1.05 < blast.positive_phase_s(distance_m, direction)[0] / row["positive_phase_s"] < 1.25
    arrival_s = distance_m[0] / SOUND_MPS - blast.early_s(distance_m, direction)[0]
    assert arrival_s == pytest.approx(row["arrival_s"], abs=150e-6)


def table_blast(identity: str, azimuth_deg: float = 0.0) -> MuzzleBlast:
    return MuzzleBlast.of(
        weapon(identity), azimuth_deg=azimuth_deg, speed_of_sound_mps=SOUND_MPS, ambient_pressure_pa=PRESSURE_PA
    )


def level_db(blast: MuzzleBlast, distance_m: float, direction: np.ndarray) -> float:
    return 20.0 * math.log10(blast.peak_pa(np.array([distance_m]), direction)[0] / 20e-6)


@pytest.mark.parametrize("identity", ["pistol-9mm", "glock-22", "ar15-20in", "m4"])
def test_a_measured_level_is_met_one_metre_beside_the_muzzle(identity: str) -> None:
    arm = weapon(identity)
    assert arm.peak_db_spl is not None
    assert level_db(table_blast(identity), 1.0, EAST) == pytest.approx(arm.peak_db_spl, abs=1e-9)
    # without the measurement the charge alone says it to 2.5 dB: what the one constant for all costs
    estimated = MuzzleBlast.of(replace(arm, peak_db_spl=None), azimuth_deg=0.0, speed_of_sound_mps=SOUND_MPS)
    assert level_db(estimated, 1.0, EAST) == pytest.approx(arm.peak_db_spl, abs=2.5)


def test_a_blast_is_louder_and_longer_ahead_than_behind() -> None:
    blast, metres = table_blast("rifle-308"), np.array([100.0])
    ahead, beside, behind = (level_db(blast, 100.0, direction) for direction in (NORTH, EAST, SOUTH))
    # [Fansler1993] gives a .308 16 dB from front to back, of which half lies between the front and the side
    assert ahead - beside == pytest.approx(8.0, abs=1.5)
    assert beside - behind == pytest.approx(8.0, abs=1.5)
    lengths = [blast.positive_phase_s(metres, direction)[0] for direction in (NORTH, EAST, SOUTH)]
    assert lengths == sorted(lengths, reverse=True)


def test_the_blast_turns_with_the_barrel() -> None:
    north, east = table_blast("akm"), table_blast("akm", azimuth_deg=90.0)
    metres = np.array([30.0])
    for before, after in ((NORTH, EAST), (SOUTH, -EAST), (EAST, SOUTH)):
        assert east.peak_pa(metres, after) == pytest.approx(north.peak_pa(metres, before), rel=1e-12)


def test_directions() -> None:
    assert direction_enu(0.0) == pytest.approx((0.0, 1.0, 0.0), abs=1e-15)
    assert direction_enu(90.0) == pytest.approx((1.0, 0.0, 0.0), abs=1e-15)
    assert direction_enu(-90.0) == pytest.approx((-1.0, 0.0, 0.0), abs=1e-15)
    assert direction_enu(45.0, 90.0) == pytest.approx((0.0, 0.0, 1.0), abs=1e-15)
    assert direction_enu(0.0, -30.0) == pytest.approx((0.0, math.sqrt(0.75), -0.5), abs=1e-15)


def test_near_and_far_formula_meet() -> None:
    blast = as_pygunshot(GLOCK)
    metres = 50.0 * blast.scaling_m(NORTH)[0] * np.array([1.0 - 1e-9, 1.0 + 1e-9])
    peaks, phases = (
        blast.peak_pa(metres, np.repeat(NORTH, 2, 0)),
        blast.positive_phase_s(metres, np.repeat(NORTH, 2, 0)),
    )
    assert peaks[0] == pytest.approx(peaks[1], rel=1e-4)  # the two fits of the report agree no better
    assert phases[0] == pytest.approx(phases[1], rel=3e-3)


def test_a_suppressor_takes_its_decibels_and_nothing_else() -> None:
    bare, quiet = table_blast("m4"), table_blast("m4-suppressed")
    assert level_db(bare, 50.0, EAST) - level_db(quiet, 50.0, EAST) == pytest.approx(25.0, abs=1e-9)
    metres = np.array([50.0])
    assert bare.positive_phase_s(metres, EAST) == pytest.approx(quiet.positive_phase_s(metres, EAST), rel=1e-12)


def test_the_flow_at_the_muzzle() -> None:
    # a bullet slower than the sound in its gas: sonic, and colder and thinner than in the bore
    pressure_pa, velocity_mps, mach = exit_flow(weapon("pistol-9mm"))
    assert mach == 1.0
    assert pressure_pa < weapon("pistol-9mm").exit_pressure_pa
    assert 600.0 < velocity_mps < 900.0
    # a faster one: the gas goes with the bullet
    fast = exit_flow(weapon("ar15-20in"))
    assert fast[:2] == (weapon("ar15-20in").exit_pressure_pa, weapon("ar15-20in").muzzle_velocity_mps)
    assert fast[2] > 1.0


def sampled(spectrum: np.ndarray, rate_hz: float, count: int) -> np.ndarray:
    """Return the wave whose transform is given up to half the rate."""
    return np.fft.irfft(spectrum, count) * rate_hz


def test_the_spectrum_is_that_of_the_wave() -> None:
    rate_hz, count = 4e6, 1 << 16
    frequency_hz = np.fft.rfftfreq(count, 1.0 / rate_hz)
    for decay in (1.0, 1.7):
        spectrum = friedlander_spectrum_pa_s(
            frequency_hz, peak_pa=np.array([3.0]), positive_phase_s=np.array([5e-4]), decay=decay
        )[0]
        time_s = np.arange(count) / rate_hz
        wave = 3.0 * (1.0 - time_s / 5e-4) * np.exp(-decay * time_s / 5e-4)
        # A jump has no end of spectrum: beside it the band limit shows. 50 us away it is below 0.3 %, at 2 MHz.
        away = (time_s > 50e-6) & (time_s < 15e-3)
        assert np.abs(sampled(spectrum, rate_hz, count) - wave)[away].max() < 0.01
        # Causal: nothing before time zero, by the same measure
        assert np.abs(sampled(spectrum, rate_hz, count)[-int(2e-3 * rate_hz) : -200]).max() < 0.01


def test_single_values_of_the_spectrum_by_quadrature() -> None:
    blast = Blast(100.0, 4e-4)
    for frequency_hz in (0.0, 37.0, 400.0, 3_000.0, -400.0):
        closed = friedlander_spectrum_pa_s(
            np.array([frequency_hz]), peak_pa=np.array([100.0]), positive_phase_s=np.array([4e-4])
        )[0, 0]

        def part(time_s: float, turn: Any, rate_hz: float = frequency_hz) -> float:
            u = time_s / 4e-4
            return float(100.0 * (1.0 - u) * math.exp(-u) * turn(2.0 * math.pi * rate_hz * time_s))

        real = quad(part, 0.0, 0.02, args=(math.cos,), limit=400)[0]
        imaginary = -quad(part, 0.0, 0.02, args=(math.sin,), limit=400)[0]
        # quadrature is good to 1e-10 of the area of the positive phase, 0.015 Pa s
        assert closed == pytest.approx(complex(real, imaginary), abs=1e-10)
        assert blast.spectrum_pa_m_s(np.array([frequency_hz]), distance_m=np.ones(1), direction=EAST)[
            0, 0
        ] == pytest.approx(closed, rel=1e-12)


def test_the_energy_of_the_spectrum_is_that_of_the_wave() -> None:
    # integral of (1-u)^2 exp(-2u) is 1/4; above 5 MHz, 1e-4 of it is left: 1 / (pi w T) of the jump
    frequency_hz = np.linspace(0.0, 5e6, 2_000_001)
    spectrum = friedlander_spectrum_pa_s(frequency_hz, peak_pa=np.array([2.0]), positive_phase_s=np.array([1e-3]))[0]
    energy = 2.0 * np.trapezoid(np.abs(spectrum) ** 2, frequency_hz)
    assert energy == pytest.approx(2.0**2 * 1e-3 / 4.0, rel=2e-4)


def test_sixty_decibels_have_passed_after_the_duration() -> None:
    # what is left of (1-u)^2 exp(-2u) after u = 9.5, over its whole
    left = quad(lambda u: (1.0 - u) ** 2 * math.exp(-2.0 * u), 9.5, 60.0)[0] / 0.25
    assert left < 1e-6
    for wave in (table_blast("m4"), Blast.from_level(165.0)):
        assert 0.001 < wave.duration_s < 0.03


def test_waveforms_obey_the_seam() -> None:
    frequency_hz = np.fft.rfftfreq(64, 1e-4)
    directions = np.concatenate([EAST, NORTH, SOUTH])
    for wave in (table_blast("m4"), Blast.from_level(165.0)):
        spectrum = wave.spectrum_pa_m_s(frequency_hz, distance_m=np.array([10.0, 100.0, 3e3]), direction=directions)
        assert spectrum.shape == (3, len(frequency_hz))
        assert spectrum.dtype == np.complex128
        assert wave.spectrum_pa_m_s(frequency_hz, distance_m=np.ones(0), direction=np.ones((0, 3))).shape[0] == 0
        assert wave.peak_pa_m > 0.0
        assert hash(wave) == hash(replace(wave))


def test_far_away_a_muzzle_blast_falls_a_little_faster_than_one_over_r() -> None:
    blast, ahead = table_blast("m4"), np.repeat(NORTH, 2, 0)
    near, far = blast.peak_pa(np.array([100.0, 1_000.0]), ahead)
    # 20 dB by 1/r, and sqrt(ln) of a weak shock: 0.5 to 1 dB a decade here
    assert 20.5 < 20.0 * math.log10(near / far) < 21.5


def test_kinney_graham_at_known_distances() -> None:
    # 9.9 bar at 1 m of 1 kg, 0.10 bar at 10 m: what the book's figures give, which were read to 2 %
    assert kinney_graham(1.0)[0] == pytest.approx(9.9, rel=0.02)
    assert kinney_graham(10.0)[0] == pytest.approx(0.0985, rel=0.02)
    assert kinney_graham(10.0)[1] == pytest.approx(3.5e-3, rel=0.02)


def test_charges_scale_by_the_cube_root() -> None:
    small, large = Blast.from_tnt(1e-3), Blast.from_tnt(8e-3)
    metres = np.array([5.0, 50.0])
    assert large.peak_at_pa(2.0 * metres) == pytest.approx(small.peak_at_pa(metres), rel=1e-12)
    assert large.positive_phase_at_s(2.0 * metres) == pytest.approx(2.0 * small.positive_phase_at_s(metres), rel=1e-12)
    assert small.peak_at_pa(np.array([1.0]))[0] == pytest.approx(kinney_graham(10.0)[0] * 101_325.0, rel=1e-12)


def test_a_level_at_one_metre_is_met_and_has_the_duration_of_tnt() -> None:
    blast = Blast.from_level(165.0)
    assert blast.peak_at_pa(np.array([1.0]))[0] == pytest.approx(peak_pa_from_db_spl(165.0), rel=1e-12)
    mass_kg = 6.9e-5
    share, phase = kinney_graham(1.0 / mass_kg ** (1.0 / 3.0))
    assert share * 101_325.0 == pytest.approx(peak_pa_from_db_spl(165.0), rel=0.02)  # mass by hand, two figures
    assert blast.positive_phase_s == pytest.approx(phase * mass_kg ** (1.0 / 3.0), rel=0.02)
    assert Blast.from_level(165.0, positive_phase_s=2e-3).positive_phase_s == 2e-3


def test_weak_shocks_lengthen_as_a_slow_integration_says() -> None:
    blast = Blast(5_000.0, 3e-4)
    # Front faster than sound by B P / (2 rho c), of a wave whose positive impulse falls as 1/r
    stiffness = 1.4 * 101_325.0 * 340.3
    phase_s, metres, steps = 3e-4, 1.0, 200_000
    step = (500.0 / metres) ** (1.0 / steps)
    for _ in range(steps):
        further_m = metres * (step - 1.0)
        middle_m = metres + 0.5 * further_m
        phase_s += 1.2 / (2.0 * stiffness) * 5_000.0 * 3e-4 / (phase_s * middle_m) * further_m
        metres += further_m
    # midpoint only in r: the error of one step is 3e-5 of what is added
    assert blast.positive_phase_at_s(np.array([500.0]))[0] == pytest.approx(phase_s, rel=1e-4)
    assert blast.peak_at_pa(np.array([500.0]))[0] == pytest.approx(5_000.0 * 3e-4 / (phase_s * 500.0), rel=1e-4)
    # nearer than its reference it is taken as acoustic
    assert blast.peak_at_pa(np.array([0.5]))[0] == pytest.approx(10_000.0, rel=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: replace(as_pygunshot(GLOCK), scaling_length_m=0.0), "scaling length 0 m is not positive"),
        (lambda: replace(as_pygunshot(GLOCK), momentum_index=1.0), "momentum index 1 is outside 0 to 1"),
        (lambda: replace(as_pygunshot(GLOCK), momentum_index=-0.1), "momentum index -0.1 is outside 0 to 1"),
        (lambda: replace(as_pygunshot(GLOCK), barrel_enu=(1.0, 1.0, 0.0)), "is not a unit vector"),
        (lambda: as_pygunshot(GLOCK).peak_pa(np.zeros(1), EAST), "a path of 0 m is not longer than zero"),
        (lambda: Blast(-1.0, 1e-3), "peak_pa -1 of a blast is not positive"),
        (lambda: Blast(1.0, 0.0), "positive_phase_s 0 of a blast is not positive"),
        (lambda: Blast.from_tnt(0.0), "a charge of 0 kg is not positive"),
        (lambda: Blast(1.0, 1e-3).peak_at_pa(np.array([-2.0])), "a path of -2 m is not longer than zero"),
        (
            lambda: Blast(1.0, 1e-3).spectrum_pa_m_s(np.ones(3), distance_m=np.ones(2), direction=EAST),
            "1 directions for 2 paths",
        ),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
