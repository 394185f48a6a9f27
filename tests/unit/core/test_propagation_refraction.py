"""The physics: travel time and shadows where wind and temperature change with height."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.linalg import solve_banded
from scipy.special import ai_zeros, airy

from shotline.errors import InputError
from shotline.propagation import (
    EffectiveProfile,
    creeping_radius_m,
    effective_gradient_per_s,
    leg_travel_time_s,
    shadow_attenuation_db,
    shadow_distance_m,
    shadow_edge_m,
    spherical_reflection,
    surface_admittance,
    travel_time_s,
)
from shotline.propagation.refraction import _creeping_root

C_MPS = 340.0
EAST, WEST, NORTH = np.array([1.0, 0.0]), np.array([-1.0, 0.0]), np.array([0.0, 1.0])
BREEZE = EffectiveProfile(C_MPS, wind_enu_mps=(6.0, 0.0), roughness_length_m=0.03)
TURN = np.exp(2j * np.pi / 3.0)


def ends(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    low, high = np.array([-900.0, -900.0, 0.0]), np.array([900.0, 900.0, 60.0])
    return rng.uniform(low, high, (count, 3)), rng.uniform(low, high, (count, 3))


def test_in_uniform_air_a_leg_is_the_straight_ray() -> None:
    profile = EffectiveProfile(C_MPS, wind_enu_mps=(7.0, -11.0))
    start_m, end_m = ends(40, 1)
    end_m[:5, 2] = start_m[:5, 2]
    plain = [
        travel_time_s(start, end[None], speed_of_sound_mps=C_MPS, wind_mps=np.array([7.0, -11.0, 0.0]))[0]
        for start, end in zip(start_m, end_m, strict=True)
    ]
    result = leg_travel_time_s(start_m, end_m, profile=profile)
    assert result.shape == (40,)
    np.testing.assert_allclose(result, plain, rtol=1e-12)


def test_level_legs_feel_the_wind_of_their_height() -> None:
    for height_m in (0.0, 1.5, 10.0, 40.0):
        wind_mps = 6.0 * math.log(1.0 + height_m / 0.03) / math.log(1.0 + 10.0 / 0.03)
        start_m, end_m = np.array([0.0, 0.0, height_m]), np.array([[400.0, 0.0, height_m], [-400.0, 0.0, height_m]])
        np.testing.assert_allclose(
            leg_travel_time_s(start_m, end_m, profile=BREEZE),
            [400.0 / (C_MPS + wind_mps), 400.0 / (C_MPS - wind_mps)],
            rtol=1e-13,
        )


@pytest.mark.parametrize("rough_m", [1e-4, 0.03, 1.0, None])
@pytest.mark.parametrize("gradient_k_per_m", [0.0, -0.01, 0.1])
@pytest.mark.parametrize("heights_m", [(0.0, 25.0), (1.5, 1.6), (60.0, 0.5), (2.0, 2.0 + 1e-7), (3.0, 3.0 + 1e-4)])
def test_a_leg_is_the_sum_of_its_parts(
    heights_m: tuple[float, float], gradient_k_per_m: float, rough_m: float | None
) -> None:
    """The slow twin: the local travel time of `travel_time_s`, integrated along the leg by scipy."""
    profile = EffectiveProfile(
        C_MPS, wind_enu_mps=(8.0, 5.0), roughness_length_m=rough_m, temperature_gradient_k_per_m=gradient_k_per_m
    )
    start_m, end_m = np.array([10.0, 20.0, heights_m[0]]), np.array([-200.0, 150.0, heights_m[1]])

    def slowness(part: float) -> float:
        height_m = heights_m[0] + part * (heights_m[1] - heights_m[0])
        factor = 1.0 if rough_m is None else math.log(1.0 + height_m / rough_m) / math.log(1.0 + 10.0 / rough_m)
        kelvin = 273.15 * (C_MPS / 331.3) ** 2
        return float(
            travel_time_s(
                start_m,
                end_m[None],
                speed_of_sound_mps=C_MPS * math.sqrt(1.0 + gradient_k_per_m * height_m / kelvin),
                wind_mps=factor * np.array([8.0, 5.0, 0.0]),
            )[0]
        )

    slow = quad(slowness, 0.0, 1.0, limit=300, epsabs=0.0, epsrel=1e-12)[0]
    # 16 points in the logarithm of height against scipy's 1e-12; 12 units of it at the most (1e-4 to 25 m).
    assert leg_travel_time_s(start_m, end_m, profile=profile) == pytest.approx(slow, rel=1e-10)


@pytest.mark.parametrize("gradient_k_per_m", [-0.15, 0.15])
def test_the_chord_is_the_bent_ray_to_first_order(gradient_k_per_m: float) -> None:
    profile = EffectiveProfile(C_MPS, temperature_gradient_k_per_m=gradient_k_per_m)
    gradient = float(effective_gradient_per_s(0.0, 60.0, direction=EAST, profile=profile))
    distance_m = 600.0
    start_m, end_m = np.array([0.0, 0.0, 20.0]), np.array([distance_m, 0.0, 50.0])
    low_mps, high_mps = (float(profile.still_speed_mps(height)) for height in (20.0, 50.0))
    # In a constant gradient rays are circles: t = arccosh(1 + g² d² / (2 c1 c2)) / |g|.
    chord_sq = distance_m**2 + 30.0**2
    exact_s = math.acosh(1.0 + gradient**2 * chord_sq / (2.0 * low_mps * high_mps)) / abs(gradient)
    chord_s = float(leg_travel_time_s(start_m, end_m, profile=profile))
    second_order_s = gradient**2 * distance_m**3 / (24.0 * C_MPS**3)
    assert second_order_s > 1e-6
    # Even temperature is not quite even speed (the profile's own second derivative, g² / c): 5 % of the second order.
    assert chord_s - exact_s == pytest.approx(second_order_s, rel=0.1)


def test_no_distance_takes_no_time_and_below_the_ground_is_at_it() -> None:
    point_m = np.array([1.0, 2.0, 3.0])
    assert leg_travel_time_s(point_m, point_m, profile=BREEZE) == 0.0
    below, level = (
        leg_travel_time_s(np.array([0.0, 0.0, height]), np.array([50.0, 0.0, height]), profile=BREEZE)
        for height in (-2.0, 0.0)
    )
    assert below == level == pytest.approx(50.0 / C_MPS, rel=1e-14)


def test_effective_speed() -> None:
    assert BREEZE.effective_speed_mps(10.0, EAST) == pytest.approx(346.0, rel=1e-14)
    assert BREEZE.effective_speed_mps(10.0, 3.0 * WEST) == pytest.approx(334.0, rel=1e-14)
    assert BREEZE.effective_speed_mps(10.0, NORTH) == pytest.approx(340.0, rel=1e-14)
    assert BREEZE.effective_speed_mps(0.0, EAST) == 340.0
    assert BREEZE.effective_speed_mps(10.0, np.zeros(2)) == 340.0
    assert BREEZE.effective_speed_mps(np.ones((5, 1)), np.array([EAST, WEST])).shape == (5, 2)
    # 10 K in 100 m on top of 287.6 K: 1.7 % of the square root.
    warm = EffectiveProfile(C_MPS, temperature_gradient_k_per_m=0.1)
    kelvin = 273.15 * (C_MPS / 331.3) ** 2
    assert warm.effective_speed_mps(100.0, EAST) == pytest.approx(
        C_MPS * math.sqrt((kelvin + 10.0) / kelvin), rel=1e-14
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"speed_of_sound_mps": 0.0}, "speed of sound 0 m/s is not positive"),
        ({"wind_enu_mps": (300.0, 300.0)}, "is not slower than sound"),
        ({"wind_reference_height_m": 0.0}, "reference height 0 m is not above"),
        ({"roughness_length_m": 0.0}, "roughness length 0 m is not positive"),
    ],
)
def test_profiles_that_cannot_be(fields: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        EffectiveProfile(**({"speed_of_sound_mps": C_MPS} | fields))


def test_effective_gradient() -> None:
    toward = {"direction": WEST, "profile": BREEZE}
    whole = math.log(1.0 + 10.0 / 0.03)
    assert effective_gradient_per_s(0.0, 10.0, **toward) == pytest.approx(-0.6, rel=1e-13)
    assert effective_gradient_per_s(10.0, 0.0, **toward) == pytest.approx(-0.6, rel=1e-13)
    assert effective_gradient_per_s(1.5, 1.5, **toward) == pytest.approx(-6.0 / whole / 1.53, rel=1e-13)
    # Just apart enough for a difference: 340 m/s * 1e-16 / 1e-5 m, and 1e-5 m of the curve.
    nearly = effective_gradient_per_s(np.array([1.5, 1.5]), 1.5 + 1e-5, **toward)
    np.testing.assert_allclose(nearly, -6.0 / whole / 1.53, rtol=1e-5)
    still = EffectiveProfile(C_MPS, wind_enu_mps=(5.0, 0.0))
    assert effective_gradient_per_s(0.0, 20.0, direction=EAST, profile=still) == 0.0
    cooling = EffectiveProfile(C_MPS, temperature_gradient_k_per_m=-0.01)
    kelvin = 273.15 * (C_MPS / 331.3) ** 2
    # dc/dz = c / 2T dT/dz: 0.6 m/s per kelvin.
    assert effective_gradient_per_s(0.0, 0.0, direction=EAST, profile=cooling) == pytest.approx(
        -0.01 * C_MPS / (2.0 * kelvin), rel=1e-13
    )


def test_shadow_distance_is_the_textbooks() -> None:
    # R = 340 / 0.1 = 3400 m, heights 1.5 m: 2 sqrt(6800 * 1.5) = 202 m, the couple of hundred metres of the textbooks.
    at_m = shadow_distance_m(-0.1, source_height_m=1.5, receiver_height_m=1.5, speed_of_sound_mps=C_MPS)
    assert at_m == pytest.approx(201.99, abs=0.01)
    # The circle itself: sqrt(2 R h - h²), shorter by h / 4R.
    assert at_m == pytest.approx(2.0 * math.sqrt(2.0 * 3400.0 * 1.5 - 1.5**2), rel=1.2e-4)
    both = shadow_distance_m(
        np.array([0.0, 0.1, -0.1]), source_height_m=0.0, receiver_height_m=0.0, speed_of_sound_mps=C_MPS
    )
    assert both.tolist() == [math.inf, math.inf, 0.0]


def test_the_edge_of_the_shadow_in_a_profile() -> None:
    cooling = EffectiveProfile(C_MPS, temperature_gradient_k_per_m=-0.05)
    gradient = effective_gradient_per_s(0.0, 0.0, direction=EAST, profile=cooling)
    wanted_m = shadow_distance_m(gradient, source_height_m=2.0, receiver_height_m=9.0, speed_of_sound_mps=C_MPS)
    # Even temperature is not quite even speed: 9 m of 0.05 K/m change its gradient by 0.45 K / (4 * 288 K).
    assert shadow_edge_m(2.0, 9.0, direction=EAST, profile=cooling) == pytest.approx(wanted_m, rel=5e-4)
    # By hand, 6 m/s at 10 m, z0 0.03 m: 4.079 m/s at 1.5 m, so R = 340 / 2.719 and 19.4 m; 6.000 at 10 m, 106.5 m.
    upwind_m = shadow_edge_m(np.array([1.5, 0.0]), 10.0, direction=WEST, profile=BREEZE)
    np.testing.assert_allclose(upwind_m, [19.4 + 106.5, 106.5], atol=0.1)


def test_no_shadow_downwind_or_under_an_inversion_that_wins() -> None:
    for direction, profile in (
        (EAST, BREEZE),
        (WEST, EffectiveProfile(C_MPS, (5.0, 0.0))),
        (WEST, EffectiveProfile(C_MPS, (1.0, 0.0), roughness_length_m=0.03, temperature_gradient_k_per_m=0.5)),
    ):
        assert math.isinf(shadow_edge_m(1.5, 20.0, direction=direction, profile=profile))
        radius_m = creeping_radius_m(
            np.array([0.0, 50.0]), direction=direction, flow_resistivity_pa_s_per_m2=2e5, profile=profile
        )
        assert radius_m[0] == math.inf
    assert math.isinf(radius_m[1]), "the inversion wins at the height where 50 Hz creeps"


def test_the_creeping_radius_of_an_even_gradient_is_its_own() -> None:
    cooling = EffectiveProfile(C_MPS, temperature_gradient_k_per_m=-0.05)
    radius_m = creeping_radius_m(
        np.array([0.0, 200.0, 3000.0]), direction=EAST, flow_resistivity_pa_s_per_m2=2e5, profile=cooling
    )
    kelvin = 273.15 * (C_MPS / 331.3) ** 2
    # The gradient at the height where 200 Hz creeps, some 20 m: 1 K / (2 * 288 K) steeper than at the ground.
    np.testing.assert_allclose(radius_m[1:], 2.0 * kelvin / 0.05, rtol=2e-3)


@pytest.mark.parametrize("resistivity", [math.inf, 1.0])
def test_in_a_logarithmic_wind_sound_creeps_with_pi_k_b_over_2c(resistivity: float) -> None:
    profile = EffectiveProfile(C_MPS, wind_enu_mps=(6.0, 0.0), roughness_length_m=1e-6)
    strength_mps = 6.0 / math.log(1.0 + 10.0 / 1e-6)
    frequency_hz = np.array([100.0, 1000.0])
    radius_m = creeping_radius_m(
        frequency_hz, direction=WEST, flow_resistivity_pa_s_per_m2=resistivity, profile=profile
    )
    decay_db = shadow_attenuation_db(
        frequency_hz,
        distance_m=np.array([[500.0], [501.0]]),
        shadow_distance_m=499.0,
        curvature_radius_m=radius_m,
        flow_resistivity_pa_s_per_m2=resistivity,
        speed_of_sound_mps=C_MPS,
        limit_db=None,
    )
    spread_db = 10.0 * math.log10(501.0 / 500.0)
    wanted_db = 8.685890 * math.pi * (2.0 * math.pi * frequency_hz / C_MPS) * strength_mps / (2.0 * C_MPS)
    # 12 rounds of an iteration that gains a factor of 3 each, from z0, e^13 below the height that it looks for: 9e-5.
    np.testing.assert_allclose(decay_db[1] - decay_db[0] + spread_db, wanted_db, rtol=1.5e-4)


def test_creeping_radii_of_many_paths() -> None:
    frequency_hz = np.array([50.0, 500.0, 2000.0])
    directions = np.array([[WEST], [NORTH], [[-1.0, 1.0]]])
    together = creeping_radius_m(
        frequency_hz, direction=directions, flow_resistivity_pa_s_per_m2=np.full((3, 1), 2e5), profile=BREEZE
    )
    assert together.shape == (3, 3)
    assert np.isinf(together[1]).all()
    alone = creeping_radius_m(
        frequency_hz, direction=directions[2, 0], flow_resistivity_pa_s_per_m2=2e5, profile=BREEZE
    )
    np.testing.assert_allclose(together[2], alone, rtol=1e-12)
    # High sounds creep low, where the wind changes most.
    assert (np.diff(alone) < 0.0).all()


def attenuation_db(frequency_hz: float, **changes: float | None) -> float:
    arguments = {
        "distance_m": 600.0,
        "shadow_distance_m": 200.0,
        "curvature_radius_m": 5000.0,
        "flow_resistivity_pa_s_per_m2": math.inf,
        "speed_of_sound_mps": C_MPS,
        "limit_db": None,
    }
    return float(shadow_attenuation_db(np.array([frequency_hz]), **(arguments | changes))[0])


def test_the_decay_of_the_creeping_wave_by_hand() -> None:
    # k = 2 pi 500 / 340 = 9.240 /m; 1.01879 sin 60° / 2^(1/3) = 0.70029; k^(1/3) = 2.0985; R^(-2/3) = 0.0034200;
    # so 0.70029 * 2.0985 * 0.0034200 * 400 * 8.6859 dB, less 10 lg(600 / 200) of spreading.
    assert attenuation_db(500.0) == pytest.approx(17.462 - 4.771, abs=0.01)
    # Soft: 2.33811 for 1.01879. Of 1 Pa s/m² is nearly air itself: q = (kR/2)^(1/3) = 79 from it, 1 / 79 of the root.
    soft = (attenuation_db(5e4, flow_resistivity_pa_s_per_m2=1.0) + 4.771) / (attenuation_db(5e4) + 4.771)
    assert soft == pytest.approx(2.338107 / 1.018793, rel=0.01)


def test_the_shadow_begins_and_ends_where_it_should() -> None:
    assert attenuation_db(500.0, distance_m=200.0) == 0.0
    assert attenuation_db(500.0, distance_m=20.0) == 0.0
    # 0.0437 dB/m, less 4.34 / 200 of spreading.
    assert attenuation_db(500.0, distance_m=200.001) == pytest.approx(2.19e-5, rel=0.01)
    # From the ground to the ground the shadow begins at once, and never brightens.
    ground_db = [attenuation_db(500.0, shadow_distance_m=0.0, distance_m=r) for r in np.geomspace(0.1, 900.0, 60)]
    assert ground_db[0] > 0.0
    assert (np.diff(ground_db) > 0.0).all()
    assert attenuation_db(500.0, shadow_distance_m=math.inf, curvature_radius_m=math.inf) == 0.0
    assert attenuation_db(0.0) == 0.0
    assert attenuation_db(0.0, flow_resistivity_pa_s_per_m2=2e5) == 0.0
    assert attenuation_db(5000.0, limit_db=25.0) == 25.0
    many = shadow_attenuation_db(
        np.array([100.0, 1000.0, 4000.0]),
        distance_m=np.array([[100.0], [500.0]]),
        shadow_distance_m=np.array([[150.0], [150.0]]),
        curvature_radius_m=np.array([[4000.0], [4000.0]]),
        flow_resistivity_pa_s_per_m2=np.array([[2e5], [2e7]]),
        speed_of_sound_mps=C_MPS,
    )
    assert many.shape == (2, 3)
    assert (many[0] == 0.0).all()
    assert (np.diff(many[1]) >= 0.0).all()
    assert many.max() == 25.0


def test_roots_of_the_creeping_wave_satisfy_their_equation() -> None:
    rng = np.random.default_rng(5)
    # What porous ground has: springy, 33 degrees (hard) to 60 and more (light snow at high frequency).
    q = 10.0 ** rng.uniform(-2.0, 2.0, 300) * np.exp(1j * np.radians(rng.uniform(33.0, 60.0, 300)))
    root = _creeping_root(q)
    value, slope, _, _ = airy(root * TURN)
    # w1(tau) is Ai(tau exp(2 pi i / 3)) but for a factor. 20 steps of fourth order.
    np.testing.assert_allclose(TURN * slope / (np.abs(q) + 1.0), q * value / (np.abs(q) + 1.0), atol=1e-6)
    assert (root.imag < 2.05).all()


def residue_series(k: float, radius_m: float, heights_m: tuple[float, float], range_m: float, admittance: complex):
    """Pressure in an even gradient over ground, exp(-i omega t) (Berry and Daigle 1988), the slowest twelve modes."""
    length_m = (radius_m / (2.0 * k * k)) ** (1.0 / 3.0)
    q = 1j * k * length_m * np.conj(admittance)
    total = 0.0j
    for zero in ai_zeros(12)[1]:
        tau = -zero * np.exp(1j * np.pi / 3.0)
        # From rigid to this ground in 60 steps, each polished by Newton.
        for part in np.linspace(1.0 / 60.0, 1.0, 60):
            for _ in range(4):
                value, slope, _, _ = airy(tau * TURN)
                tau -= (TURN * slope - part * q * value) / (tau * value - part * q * TURN * slope)
        value, slope, _, _ = airy(tau * TURN)
        source, receiver = (airy((tau - height / length_m) * TURN)[0] for height in heights_m)
        norm = tau * value**2 - (TURN * slope) ** 2
        along = np.sqrt(k * k + tau / length_m**2)
        wave = np.sqrt(2.0 / (np.pi * along * range_m)) * np.exp(1j * along * range_m - 0.25j * np.pi)
        total += 1j * np.pi * source * receiver / (norm * length_m) * wave
    return total


@pytest.mark.parametrize(
    ("resistivity", "mean_db", "rms_db"),
    # Measured over more of these: mean -1.9, rms 3.2 on asphalt; -2.6 and 6.4 on grass. The mode has lost 1 to 5 dB at
    # the edge already; and the ground's own interference without refraction, the reference, has dips.
    [(2e7, 2.5, 4.0), (2e5, 3.5, 8.0)],
)
def test_the_shadow_is_the_residue_series(resistivity: float, mean_db: float, rms_db: float) -> None:
    heights_m, errors_db = (1.5, 2.0), []
    for radius_m in (2000.0, 20_000.0):
        for frequency in (125.0, 500.0, 2000.0):
            k = 2.0 * math.pi * frequency / C_MPS
            at = np.array([frequency])
            admittance = complex(surface_admittance(at, resistivity)[0])
            edge_m = math.sqrt(2.0 * radius_m) * (math.sqrt(1.5) + math.sqrt(2.0))
            for ratio in (1.1, 1.5, 2.0, 3.0):
                range_m = ratio * edge_m
                direct_m, reflected_m = math.hypot(range_m, 0.5), math.hypot(range_m, 3.5)
                quotient = np.conj(
                    spherical_reflection(
                        at,
                        source_height_m=1.5,
                        receiver_height_m=2.0,
                        horizontal_m=range_m,
                        flow_resistivity_pa_s_per_m2=resistivity,
                        speed_of_sound_mps=C_MPS,
                    )[0]
                )
                flat = 1.0 / direct_m + quotient / reflected_m * np.exp(1j * k * (reflected_m - direct_m))
                exact_db = -20.0 * math.log10(abs(residue_series(k, radius_m, heights_m, range_m, admittance) / flat))
                ours_db = attenuation_db(
                    frequency,
                    distance_m=range_m,
                    shadow_distance_m=edge_m,
                    curvature_radius_m=radius_m,
                    flow_resistivity_pa_s_per_m2=resistivity,
                    limit_db=25.0,
                )
                errors_db.append(ours_db - min(exact_db, 25.0))
    assert abs(np.mean(errors_db)) < mean_db
    assert math.sqrt(np.mean(np.square(errors_db))) < rms_db


def parabolic_db(
    frequency_hz: float, *, profile: EffectiveProfile, heights_m: tuple[float, float], ranges_m: np.ndarray
) -> np.ndarray:
    """Level against the wind over asphalt, relative to free air, by a wide-angle Crank-Nicolson parabolic equation.

    exp(-i omega t); Claerbout's operator and Gilbert and White's starter, as in Salomons 2001 appendix G.
    """
    k, wavelength_m = 2.0 * math.pi * frequency_hz / C_MPS, C_MPS / frequency_hz
    step_m, top_m = min(wavelength_m / 10.0, 0.1), max(40.0, 60.0 * wavelength_m)
    height_m = np.arange(int(top_m / step_m)) * step_m
    absorbing = np.maximum(height_m / top_m - 0.6, 0.0) / 0.4
    index_sq = (C_MPS / profile.effective_speed_mps(height_m, WEST)) ** 2 + 0.4j * absorbing**3
    admittance = np.conj(surface_admittance(np.array([frequency_hz]), 2e7)[0])
    banded = np.zeros((3, height_m.size), dtype=np.complex128)
    banded[0, 1:] = banded[2, :-1] = 1.0 / (k * step_m) ** 2
    banded[0, 1] *= 2.0
    banded[1] = index_sq - 1.0 - 2.0 / (k * step_m) ** 2
    banded[1, 0] += 2j * admittance / (k * step_m)
    stride_m = wavelength_m / 5.0
    ahead, behind = (banded * (0.25 - sign * 0.25j * k * stride_m) for sign in (1.0, -1.0))
    ahead[1] += 1.0
    behind[1] += 1.0

    def starter(above_m: np.ndarray) -> np.ndarray:
        scaled = (k * above_m) ** 2
        return np.asarray(np.sqrt(1j * k) * (1.3717 - 0.3701 * scaled) * np.exp(-scaled / 3.0))

    field = starter(height_m - heights_m[0]) + (1.0 - admittance) / (1.0 + admittance) * starter(
        height_m + heights_m[0]
    )
    receiver = int(np.argmin(np.abs(height_m - heights_m[1])))
    at_m, levels = stride_m * np.arange(1, 2 + int(ranges_m.max() / stride_m)), []
    for _ in at_m:
        right = behind[1] * field
        right[:-1] += behind[0, 1:] * field[1:]
        right[1:] += behind[2, :-1] * field[:-1]
        field = solve_banded((1, 1), ahead, right, check_finite=False)
        levels.append(field[receiver])
    level_db = 20.0 * np.log10(np.abs(levels) * np.hypot(at_m, heights_m[1] - heights_m[0]) / np.sqrt(at_m))
    return np.interp(ranges_m, at_m, level_db)


def test_against_the_wind_the_shadow_is_the_parabolic_equations() -> None:
    heights_m, ranges_m = (1.5, 2.0), np.array([60.0, 100.0, 150.0, 200.0])
    still, errors_db = EffectiveProfile(C_MPS), []
    for frequency in (125.0, 250.0, 500.0):
        at = np.array([frequency])
        flat_db = parabolic_db(frequency, profile=still, heights_m=heights_m, ranges_m=ranges_m)
        quotient = spherical_reflection(
            at,
            source_height_m=1.5,
            receiver_height_m=2.0,
            horizontal_m=ranges_m[:, None],
            flow_resistivity_pa_s_per_m2=2e7,
            speed_of_sound_mps=C_MPS,
        )[:, 0]
        reflected_m, direct_m = np.hypot(ranges_m, 3.5), np.hypot(ranges_m, 0.5)
        turn = np.exp(-2j * np.pi * frequency / C_MPS * (reflected_m - direct_m))
        # Without wind the two agree to the steps of the equation, a tenth and a fifth of a wavelength.
        ground_db = 20.0 * np.log10(np.abs(1.0 + quotient * direct_m / reflected_m * turn))
        np.testing.assert_allclose(flat_db, ground_db, atol=0.3)
        exact_db = flat_db - parabolic_db(frequency, profile=BREEZE, heights_m=heights_m, ranges_m=ranges_m)
        radius_m = creeping_radius_m(at, direction=WEST, flow_resistivity_pa_s_per_m2=2e7, profile=BREEZE)
        ours_db = shadow_attenuation_db(
            at,
            distance_m=ranges_m[:, None],
            shadow_distance_m=shadow_edge_m(1.5, 2.0, direction=WEST, profile=BREEZE),
            curvature_radius_m=radius_m,
            flow_resistivity_pa_s_per_m2=2e7,
            speed_of_sound_mps=C_MPS,
        )[:, 0]
        errors_db.extend(ours_db - np.minimum(exact_db, 25.0))
    # The worst is 5.8 dB: an edge is a ray's idea, in a wind that changes within a wavelength.
    assert abs(np.mean(errors_db)) < 3.0
    assert math.sqrt(np.mean(np.square(errors_db))) < 5.0
