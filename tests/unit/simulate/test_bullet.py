"""The shock of a bullet: pygunshot's figures, closed forms, slow twins, and who hears nothing."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from shotline.errors import InputError
from shotline_recordings.simulate.bullet import Flight, n_wave_spectrum_pa_s, taylor_rise_s, whitham
from shotline_recordings.simulate.drag import G1_MACH, Deceleration, g1_drag
from shotline_recordings.simulate.weapons import weapon

REFERENCE = Path(__file__).parents[4] / "shared" / "data" / "reference" / "pygunshot.json"
needs_reference = pytest.mark.skipif(not REFERENCE.is_file(), reason=f"pygunshot's figures are not at {REFERENCE}")

MUZZLE, NORTH = (4.25, 3.0, 1.25), (0.0, 1.0, 0.0)
MICROPHONES = np.array([[8.05, 22.0, 1.5]])
GLOCK = {"bulletDiam": 0.009, "bulletLen": 0.0171, "velocity": 361.0}
GLOCK_FIGURES = {"arrival_s": 0.056299, "peak_pa": 371.307, "trough_pa": -371.755, "total_duration_s": 0.00043}
MAGNUM = {"bulletDiam": 0.0091, "bulletLen": 0.0182, "velocity": 388.0}
MAGNUM_FIGURES = {"arrival_s": 0.054297, "peak_pa": 411.156, "trough_pa": -413.618, "total_duration_s": 0.000331}

POUNDS_PER_SQUARE_INCH = 703.07
YARD_M, FOOT_M = 0.9144, 0.3048


def steady(velocity_mps: float, **changes: Any) -> Flight:
    """Return the flight of a bullet that does not slow down."""
    flight = Flight(
        muzzle_enu_m=MUZZLE,
        barrel_enu=NORTH,
        calibre_m=0.0078,
        length_m=0.029,
        muzzle_velocity_mps=velocity_mps,
        ballistic_coefficient_kg_m2=math.inf,
        speed_of_sound_mps=340.0,
    )
    return replace(flight, **changes)


def rifle(**changes: Any) -> Flight:
    return replace(Flight.of(weapon("m14"), muzzle_enu_m=MUZZLE, barrel_enu=NORTH, speed_of_sound_mps=340.0), **changes)


def check_pygunshot(gun: dict[str, float], figures: dict[str, float]) -> None:
    flight = Flight(
        MUZZLE, NORTH, gun["bulletDiam"], gun["bulletLen"], gun["velocity"], math.inf, 341.0, ambient_pressure_pa=101e3
    )
    shock = flight.shocks(MICROPHONES)
    # Its figures are read off samples some microseconds apart: late by up to 3 us, and lower by up to 2 %, which is
    # twice a step over the duration.
    assert shock.arrival_time_s[0] == pytest.approx(figures["arrival_s"], abs=3e-6)
    assert figures["peak_pa"] < shock.peak_pa[0] < figures["peak_pa"] * 1.02
    assert -figures["trough_pa"] < shock.peak_pa[0] < -figures["trough_pa"] * 1.02
    assert shock.duration_s[0] == pytest.approx(figures["total_duration_s"], rel=0.015)


def test_pygunshot() -> None:
    check_pygunshot(GLOCK, GLOCK_FIGURES)
    check_pygunshot(MAGNUM, MAGNUM_FIGURES)


@needs_reference
def test_every_gun_of_pygunshot() -> None:
    for row in json.loads(REFERENCE.read_text(encoding="utf-8")):
        if row["n_wave"] is not None:
            check_pygunshot(row["gun"], row["n_wave"])
        else:
            flight = Flight(MUZZLE, NORTH, 0.009, 0.018, row["gun"]["velocity"], math.inf, 341.0)
            assert not flight.shocks(MICROPHONES).heard.any()


@given(
    st.floats(1.05, 4.0),
    st.floats(0.5, 800.0),
    st.floats(-300.0, 1_500.0),
    st.floats(0.0, 2.0 * math.pi),
)
@settings(max_examples=150, deadline=None)
def test_at_constant_speed_the_arrival_is_the_closed_form(
    mach: float, across: float, along: float, round: float
) -> None:
    flight = steady(mach * 340.0)
    place = np.array([[MUZZLE[0] + across * math.cos(round), MUZZLE[1] + along, MUZZLE[2] + across * math.sin(round)]])
    shock = flight.shocks(place)
    emitted = along - across / math.sqrt(mach**2 - 1.0)
    if abs(emitted) < 1e-6:
        return  # on the ray of the muzzle itself either answer will do
    assert shock.heard[0] == (emitted > 0.0)
    if shock.heard[0]:
        closed_s = along / (mach * 340.0) + across * math.sqrt(1.0 - 1.0 / mach**2) / 340.0
        assert shock.arrival_time_s[0] == pytest.approx(closed_s, abs=1e-9)
        assert shock.emission_enu_m[0] == pytest.approx((MUZZLE[0], MUZZLE[1] + emitted, MUZZLE[2]), abs=1e-8)
        assert shock.direction[0] @ np.array(NORTH) == pytest.approx(1.0 / mach, abs=1e-9)
        assert shock.path_length_m[0] == pytest.approx(across / math.sqrt(1.0 - 1.0 / mach**2), rel=1e-9)


def test_a_bullet_that_slows_down_is_heard_when_a_slow_search_says() -> None:
    flight, rng = rifle(), np.random.default_rng(1)
    places = np.array(MUZZLE) + rng.uniform(-600.0, 900.0, (60, 3)) * [0.5, 1.0, 0.1]
    shock = flight.shocks(places)
    assert flight.deceleration is not None
    flown_m = np.linspace(0.0, flight.supersonic_range_m, 400_001)
    time_s, _ = flight.deceleration.at(flown_m)
    path = np.array(MUZZLE) + flown_m[:, None] * np.array(NORTH)
    for place, heard, arrival_s in zip(places, shock.heard, shock.arrival_time_s, strict=True):
        all_s = time_s + np.linalg.norm(place - path, axis=1) / 340.0
        least = int(np.argmin(all_s))
        assert heard == (0 < least < len(flown_m) - 1)
        if heard:
            # 2 mm steps: half a step off the least of a parabola of radius above 1 m is under 1e-9 s
            assert arrival_s == pytest.approx(all_s[least], abs=1e-9)


@given(st.floats(-500.0, 500.0), st.floats(-500.0, 500.0), st.floats(0.0, 360.0))
@settings(max_examples=50, deadline=None)
def test_the_answer_moves_and_turns_with_the_shot(east: float, north: float, turn_deg: float) -> None:
    turn = math.radians(turn_deg)
    matrix = np.array([[math.cos(turn), math.sin(turn), 0.0], [-math.sin(turn), math.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    places = np.array([[30.0, 200.0, 0.0], [-80.0, 400.0, 5.0], [10.0, -20.0, 0.0]])
    before = rifle(muzzle_enu_m=(0.0, 0.0, 1.5)).shocks(places)
    moved = np.array([east, north, 0.0])
    after = rifle(
        muzzle_enu_m=tuple(matrix @ np.array([0.0, 0.0, 1.5]) + moved), barrel_enu=tuple(matrix @ np.array(NORTH))
    ).shocks(places @ matrix.T + moved)
    assert (before.heard == after.heard).all()
    assert after.arrival_time_s == pytest.approx(before.arrival_time_s, abs=1e-9, nan_ok=True)
    assert after.peak_pa == pytest.approx(before.peak_pa, rel=1e-6, nan_ok=True)


def test_who_hears_nothing() -> None:
    flight = rifle(muzzle_enu_m=(0.0, 0.0, 1.5), range_m=150.0)
    assert flight.supersonic_range_m == 150.0
    mach = 853.0 / 340.0
    edge_m = 50.0 / math.sqrt(mach**2 - 1.0)  # ahead of the muzzle, for a microphone 50 m aside
    places = np.array(
        [
            [50.0, -100.0, 1.5],  # behind
            [50.0, edge_m - 0.01, 1.5],  # just behind the ray of the muzzle
            [50.0, edge_m + 0.01, 1.5],
            [50.0, 150.0, 1.5],
            [-50.0, 150.0, 1.5],  # the other side
            [50.0, 150.0 + 1.05 * edge_m * 1.5, 1.5],  # beyond the ray of the impact
            [0.0, -10.0, 1.5],  # on the line of flight, behind
        ]
    )
    shock = flight.shocks(places)
    assert shock.heard.tolist() == [False, False, True, True, True, False, False]
    assert np.isnan(shock.arrival_time_s[~shock.heard]).all()
    assert np.isnan(shock.emission_enu_m[~shock.heard]).all()
    assert not shock.spectrum_pa_s(np.array([0.0, 500.0]))[~shock.heard].any()
    assert shock.peak_pa[3] == pytest.approx(shock.peak_pa[4], rel=1e-9)
    assert not steady(300.0).shocks(places).heard.any()
    assert steady(300.0).supersonic_range_m == 0.0
    assert flight.shocks(np.zeros((0, 3))).heard.shape == (0,)


def test_a_microphone_on_the_line_of_flight_hears_the_bullet_pass() -> None:
    shock = rifle(muzzle_enu_m=(0.0, 0.0, 1.5)).shocks(np.array([[0.0, 100.0, 1.5]]))
    assert shock.heard[0]
    assert shock.arrival_time_s[0] == pytest.approx(shock.emission_time_s[0], abs=1e-9)
    assert np.isfinite(shock.peak_pa[0])
    assert np.linalg.norm(shock.direction[0]) == pytest.approx(1.0)


def test_beyond_the_last_supersonic_metre_nothing_is_heard() -> None:
    flight = Flight.of(weapon("pistol-9mm"), muzzle_enu_m=MUZZLE, barrel_enu=NORTH, speed_of_sound_mps=340.0)
    # A 9 mm bullet at Mach 1.07 has lost its shock within some 20 to 40 m
    assert 15.0 < flight.supersonic_range_m < 45.0
    far = np.array(MUZZLE) + np.array([[3.0, flight.supersonic_range_m + 60.0, 0.0]])
    assert not flight.shocks(far).heard[0]


def test_drag_follows_the_equation_of_motion() -> None:
    deceleration = Deceleration(2.6, 171.0, 1.225, 340.0)
    metres = np.array([1.0, 50.0, 200.0, 400.0, deceleration.distance_to_m(1.001)])

    def motion(_: float, state: np.ndarray) -> list[float]:
        return [float(-state[0] * deceleration.drag_per_m(state[:1])[0]), 1.0 / (340.0 * state[0])]

    slow = solve_ivp(motion, (0.0, metres[-1]), [2.6, 0.0], t_eval=metres, rtol=1e-11, atol=1e-13, max_step=1.0)
    time_s, mach = deceleration.at(metres)
    # the drag has corners at the entries of its table, where the integrator loses digits
    assert mach == pytest.approx(slow.y[0], rel=1e-7)
    assert time_s == pytest.approx(slow.y[1], abs=1e-9)


@given(st.floats(1.02, 4.9), st.floats(0.0, 1.0))
@settings(max_examples=100, deadline=None)
def test_distance_and_mach_are_inverse(muzzle: float, share: float) -> None:
    deceleration = Deceleration(muzzle, 200.0, 1.2, 340.0)
    wanted = 1.0 + share * (muzzle - 1.0)
    _, mach = deceleration.at(np.array([deceleration.distance_to_m(wanted)]))
    assert mach[0] == pytest.approx(wanted, rel=1e-9)
    assert deceleration.distance_to_m(muzzle) == 0.0


def test_a_match_bullet_slows_down_as_its_maker_states() -> None:
    # .308, 168 grains, G1 0.462, catalogue velocities in ft/s at 0 to 500 yards; rounded to 10 ft/s, and the
    # coefficient to 1 %: within 1.5 % all the way
    stated = [2650.0, 2460.0, 2280.0, 2110.0, 1940.0, 1780.0]
    deceleration = Deceleration(2650.0 * FOOT_M / 340.3, 0.462 * POUNDS_PER_SQUARE_INCH, 1.225, 340.3)
    _, mach = deceleration.at(np.arange(6) * 100.0 * YARD_M)
    assert mach * 340.3 / FOOT_M == pytest.approx(stated, rel=0.015)


def test_the_drag_function_at_its_entries_and_between() -> None:
    assert g1_drag(np.array([1.0, 1.4, 2.0, 3.0])) == pytest.approx([0.4805, 0.6625, 0.5934, 0.5133], rel=1e-12)
    dense = g1_drag(np.linspace(1.0, 5.0, 4_001))
    assert np.abs(np.diff(dense)).max() < 2e-3  # no jump
    assert np.all(np.diff(G1_MACH) > 0.0)


def test_whitham_by_hand() -> None:
    share, duration_s = whitham(
        mach=np.array([2.5]),
        miss_distance_m=np.array([16.0]),
        calibre_m=0.008,
        length_m=0.0256,
        speed_of_sound_mps=340.0,
    )
    # b^(3/4) = 8, l^(1/4) = 0.4, M² - 1 = 5.25
    assert share[0] == pytest.approx(0.53 * 0.008 * 5.25**0.125 / (8.0 * 0.4), rel=1e-12)
    assert duration_s[0] == pytest.approx(1.82 * 2.5 * 0.008 * 2.0 / (340.0 * 5.25**0.375 * 0.4), rel=1e-12)


def test_a_slowing_bullet_has_weaker_and_shorter_waves_than_a_steady_one_there() -> None:
    flight = rifle()
    places = np.array(MUZZLE) + np.array([[5.0, 100.0, 0.0], [100.0, 300.0, 0.0], [300.0, 600.0, 0.0]])
    shock = flight.shocks(places)
    share, duration_s = whitham(
        mach=shock.mach,
        miss_distance_m=shock.miss_distance_m,
        calibre_m=flight.calibre_m,
        length_m=flight.length_m,
        speed_of_sound_mps=340.0,
    )
    weaker, shorter = shock.peak_pa / (share * 101_325.0), shock.duration_s / duration_s
    assert flight.deceleration is not None
    for index in range(3):
        # Slow twin: weak shocks along a tube of area s (1 + s/D); peak as 1 / sqrt(area x age), duration sqrt(age)
        mach, metres = shock.mach[index], shock.path_length_m[index]
        per_metre = mach * flight.deceleration.drag_per_m(np.array([mach]))[0]
        spread = per_metre / (mach**2 - 1.0)
        age = quad(lambda u, k=spread: 2.0 / math.sqrt(1.0 + k * u * u), 0.0, math.sqrt(metres))[0]
        steady_age = 2.0 * math.sqrt(metres)
        assert weaker[index] == pytest.approx(math.sqrt(steady_age / age / (1.0 + spread * metres)), rel=1e-8)
        assert shorter[index] == pytest.approx(math.sqrt(age / steady_age), rel=1e-8)
    assert np.all(np.diff(weaker) < 0.0)
    assert weaker[0] == pytest.approx(1.0, abs=0.01)  # at 5 m nothing of it shows yet
    steady_wave = steady(853.0).shocks(places)
    assert steady_wave.peak_pa / 101_325.0 == pytest.approx(
        whitham(
            mach=steady_wave.mach,
            miss_distance_m=steady_wave.miss_distance_m,
            calibre_m=0.0078,
            length_m=0.029,
            speed_of_sound_mps=340.0,
        )[0],
        rel=1e-12,
    )


def test_the_spectrum_is_that_of_an_n_wave() -> None:
    rate_hz, count = 8e6, 1 << 14
    frequency_hz = np.fft.rfftfreq(count, 1.0 / rate_hz)
    peak, length, rise = np.array([200.0]), np.array([4e-4]), np.array([4e-6])
    spectrum = n_wave_spectrum_pa_s(frequency_hz, peak_pa=peak, duration_s=length, rise_s=rise)[0]
    wave = np.fft.irfft(spectrum, count) * rate_hz
    time_s = np.arange(count) / rate_hz
    width_s = 1.25 * 4e-6

    def integral(at_s: np.ndarray) -> np.ndarray:
        within = np.clip(at_s, 0.0, 4e-4)
        return within - within**2 / 4e-4

    expected = 200.0 * (integral(time_s) - integral(time_s - width_s)) / width_s
    # corners of the ramp lie beyond 4 MHz: 0.2 % of the peak
    assert np.abs(wave - expected).max() < 0.6
    assert wave.max() == pytest.approx(200.0, rel=0.02)  # the ramp takes rise / duration
    assert wave.min() == pytest.approx(-200.0, rel=0.02)
    # 10 to 90 % in the rise time, to a sample of 0.125 us
    first = np.flatnonzero(wave > 0.1 * 200.0)[0], np.flatnonzero(wave > 0.9 * 200.0)[0]
    assert (first[1] - first[0]) / rate_hz == pytest.approx(4e-6, abs=2.5e-7)
    # Causal, no net impulse, and Parseval: P² T / 3, less a third of the ramps
    assert np.abs(wave[-4_000:]).max() < 0.6
    assert abs(spectrum[0]) < 1e-12
    assert np.sum(wave**2) / rate_hz == pytest.approx(200.0**2 * 4e-4 / 3.0, rel=0.02)


def test_a_weak_shock_rises_slowly() -> None:
    rises = taylor_rise_s(np.array([1_000.0, 10.0]), speed_of_sound_mps=340.0, ambient_pressure_pa=101_325.0)
    assert rises[1] == pytest.approx(100.0 * rises[0], rel=1e-12)
    # by hand: ln 9 x 2 x 1.227 x 3.8e-5 / (1.2 x 1000)
    assert rises[0] == pytest.approx(1.708e-7, rel=1e-3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: steady(800.0, barrel_enu=(0.0, 2.0, 0.0)),
            r"direction of flight \(0.0, 2.0, 0.0\) is not a unit vector",
        ),
        (lambda: steady(800.0, range_m=0.0), "range 0 m of a bullet is not positive"),
        (lambda: steady(3_000.0), "a bullet at Mach 8.82 is outside 1 to 5"),
        (lambda: rifle(ballistic_coefficient_kg_m2=0.0), "ballistic coefficient 0 kg/m² is not positive"),
        (lambda: Deceleration(0.9, 100.0, 1.2, 340.0), "a bullet at Mach 0.9 is outside 1 to 5"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()
