"""The physics: porous ground, and the spherical wave that it reflects."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import j0

from shotline.propagation import (
    GROUND_FLOW_RESISTIVITY_PA_S_PER_M2,
    plane_reflection,
    spherical_reflection,
    spherical_reflection_of_admittance,
    surface_admittance,
    surface_impedance,
)

C_MPS = 340.0


def reflection(frequency_hz: float, geometry_m: tuple[float, float, float], resistivity: float) -> complex:
    result = spherical_reflection(
        np.array([frequency_hz]),
        source_height_m=geometry_m[0],
        receiver_height_m=geometry_m[1],
        horizontal_m=geometry_m[2],
        flow_resistivity_pa_s_per_m2=resistivity,
        speed_of_sound_mps=C_MPS,
    )
    return complex(result[0])


def wavenumber(frequency_hz: float) -> float:
    return 2.0 * math.pi * frequency_hz / C_MPS


def line_image(frequency_hz: float, geometry_m: tuple[float, float, float], admittance: complex) -> complex:
    """Exact Q: the image source and, at complex depth, the line of images below it (Di and Gilbert 1993).

    In exp(-i omega t), b the admittance: exp(ikr)/r - 2kb int_0^inf exp(-kbq) exp(ikR(q)) / R(q) dq,
    R² = horizontal² + (hs + hr + iq)². Each plane wave of it is multiplied by 1 - 2b / (cos + b), as it should.
    """
    k, (source, receiver, horizontal) = wavenumber(frequency_hz), geometry_m
    b, height = complex(np.conj(admittance)), source + receiver
    length = math.hypot(horizontal, height)

    def integrand(q: float) -> complex:
        path = np.sqrt(horizontal**2 + (height + 1j * q) ** 2)
        path = -path if path.imag < 0.0 else path
        return complex(np.exp(1j * k * path - k * b * q) / path)

    top = 35.0 / (k * b.real)
    edges = [edge for edge in (0.0, *(horizontal * np.array([0.5, 0.9, 0.99, 1.0, 1.01, 1.1, 1.5]))) if edge < top]
    total = 0.0j
    for low, high in itertools.pairwise([*edges, top]):
        parts = np.linspace(low, high, 2 + int((high - low) * k / 60.0))
        for begin, end in itertools.pairwise(parts):
            options = {"limit": 500, "epsabs": 1e-11, "epsrel": 1e-8}
            total += quad(lambda q: integrand(q).real, begin, end, **options)[0]
            total += 1j * quad(lambda q: integrand(q).imag, begin, end, **options)[0]
    direct = np.exp(1j * k * length) / length
    return complex(np.conj((direct - 2.0 * k * b * total) / direct))


def sommerfeld(frequency_hz: float, geometry_m: tuple[float, float, float], admittance: complex) -> complex:
    """Exact Q another way: the sum of the plane waves, each with its own reflection (Sommerfeld's integral)."""
    k, (source, receiver, horizontal) = wavenumber(frequency_hz), geometry_m
    b, height = complex(np.conj(admittance)), source + receiver
    length = math.hypot(horizontal, height)

    def travelling(angle: float) -> complex:
        cos, sin = math.cos(angle), math.sin(angle)
        return complex(1j * k * j0(k * horizontal * sin) * (cos - b) / (cos + b) * np.exp(1j * k * height * cos) * sin)

    def evanescent(s: float) -> complex:
        wave = j0(k * horizontal * math.sqrt(1.0 + s * s)) * math.exp(-k * height * s)
        return complex(k * (1j * s - b) / (1j * s + b) * wave)

    total = 0.0j
    for function, top in ((travelling, math.pi / 2.0), (evanescent, 40.0 / (k * height))):
        total += quad(lambda x, f=function: f(x).real, 0.0, top, limit=2000, epsabs=1e-10)[0]
        total += 1j * quad(lambda x, f=function: f(x).imag, 0.0, top, limit=2000, epsabs=1e-10)[0]
    return complex(np.conj(total * length / np.exp(1j * k * length)))


def test_impedance_is_the_published_fit() -> None:
    # By hand, 1000 f / sigma = 5: 5^-0.632 = 0.36162, 5^-0.75 = 0.29907, 5^-0.73 = 0.30885.
    at = np.array([1000.0])
    miki = surface_impedance(at, 2e5)[0]
    assert miki == pytest.approx(1.0 + 5.50 * 0.36162 - 8.43j * 0.36162, abs=2e-4)
    delany = surface_impedance(at, 2e5, model="delany_bazley")[0]
    assert delany == pytest.approx(1.0 + 9.08 * 0.29907 - 11.9j * 0.30885, abs=2e-4)


@pytest.mark.parametrize("model", ["miki", "delany_bazley"])
def test_admittance_is_the_inverse_and_ends_at_zero(model: str) -> None:
    frequency_hz = np.array([10.0, 100.0, 1000.0, 10_000.0])
    resistivity = np.array([[2e4], [2e7]])
    product = surface_admittance(frequency_hz, resistivity, model=model) * surface_impedance(
        frequency_hz, resistivity, model=model
    )
    assert product.shape == (2, 4)
    np.testing.assert_allclose(product, 1.0, rtol=1e-13)
    assert surface_admittance(np.array([0.0]), 2e5, model=model)[0] == 0.0
    assert surface_admittance(np.array([100.0]), math.inf, model=model)[0] == 0.0
    assert np.isinf(surface_impedance(np.array([0.0]), 2e5, model=model).real).all()


def test_ground_is_passive_and_springy_and_in_order() -> None:
    frequency_hz = np.geomspace(1.0, 20_000.0, 50)
    softness = []
    for kind, resistivity in GROUND_FLOW_RESISTIVITY_PA_S_PER_M2.items():
        impedance = surface_impedance(frequency_hz, resistivity)
        assert (impedance.real > 1.0).all(), kind
        assert (impedance.imag < 0.0).all(), kind
        softness.append(abs(surface_admittance(np.array([500.0]), resistivity)[0]))
    assert softness == sorted(softness), "from the hardest to the softest"
    assert {"water", "asphalt", "concrete", "roof", "compacted_soil", "gravel", "grass", "forest", "snow"} <= set(
        GROUND_FLOW_RESISTIVITY_PA_S_PER_M2
    )


def test_plane_reflection() -> None:
    assert plane_reflection(0.3, 0.0) == 1.0
    assert plane_reflection(0.0, 0.0) == 1.0
    assert plane_reflection(0.0, 0.2 + 0.1j) == -1.0
    assert plane_reflection(1.0, 0.5) == pytest.approx(1.0 / 3.0, rel=1e-14)
    assert plane_reflection(np.array([[0.1], [0.9]]), np.array([0.1j, 0.2, 0.3])).shape == (2, 3)


@pytest.mark.parametrize("resistivity", [math.inf, 1e16])
def test_rigid_ground_reflects_everything(resistivity: float) -> None:
    frequency_hz = np.array([0.0, 20.0, 500.0, 8000.0])
    result = spherical_reflection(
        frequency_hz,
        source_height_m=np.array([[1.5], [0.0]]),
        receiver_height_m=np.array([[3.0], [0.0]]),
        horizontal_m=np.array([[100.0], [50.0]]),
        flow_resistivity_pa_s_per_m2=resistivity,
        speed_of_sound_mps=C_MPS,
    )
    assert result.shape == (2, 4)
    # Of 1e16 Pa s/m² the admittance at 8 kHz is 1e-6; times sqrt(k r) = 90 is what grazing makes of it.
    np.testing.assert_allclose(result, 1.0, atol=0.0 if resistivity == math.inf else 1e-4)


def test_at_0_hz_every_ground_is_rigid() -> None:
    assert reflection(0.0, (1.5, 2.0, 100.0), 1.25e4) == 1.0
    assert reflection(0.0, (1.5, 2.0, 0.0), 1.25e4) == 1.0


def test_steep_and_high_is_the_plane_wave() -> None:
    # The correction is of the order of 1 / (k r): 148 * 18 here, times (1 - R) of about 1.
    geometry, frequency = (8.0, 7.0, 10.0), 8000.0
    plane = plane_reflection(15.0 / math.hypot(15.0, 10.0), surface_admittance(np.array([frequency]), 2e5))[0]
    assert reflection(frequency, geometry, 2e5) == pytest.approx(plane, abs=4e-4)


@pytest.mark.parametrize("geometry_m", [(1.5, 2.0, 10.0), (3.0, 5.0, 3.0), (0.5, 1.0, 20.0)])
def test_the_two_exact_integrals_agree(geometry_m: tuple[float, float, float]) -> None:
    admittance = complex(surface_admittance(np.array([200.0]), 2e5)[0])
    # The tolerances that the integrals are asked for, 1e-10 and a sum of ten times 1e-11; the worst is 7e-10.
    assert line_image(200.0, geometry_m, admittance) == pytest.approx(
        sommerfeld(200.0, geometry_m, admittance), abs=1e-8
    )


@pytest.mark.parametrize("resistivity", [3.15e4, 2e5, 2e6])
@pytest.mark.parametrize("frequency_hz", [50.0, 200.0, 1000.0])
@pytest.mark.parametrize(
    "geometry_m", [(1.5, 2.0, 10.0), (1.5, 2.0, 100.0), (1.5, 8.0, 30.0), (5.0, 5.0, 3.0), (0.3, 0.3, 20.0)]
)
def test_the_spherical_wave_is_the_exact_integral(
    geometry_m: tuple[float, float, float], frequency_hz: float, resistivity: float
) -> None:
    admittance = complex(surface_admittance(np.array([frequency_hz]), resistivity)[0])
    exact = line_image(frequency_hz, geometry_m, admittance)
    # The formula is the first term of an expansion in 1 / (k r). Here k r is 9 to 1900; the worst of these is 0.012
    # (0.3 m over forest floor at 50 Hz, where Q is 1.3), 0.08 dB. The plane wave alone is off by up to 1.6.
    assert reflection(frequency_hz, geometry_m, resistivity) == pytest.approx(exact, abs=0.013)


@pytest.mark.parametrize(
    ("frequency_hz", "impedance"), [(10.0, 38.79 - 38.41j), (100.0, 12.81 - 11.62j), (1000.0, 7.19 - 8.20j)]
)
def test_the_benchmark_of_1995_without_refraction(frequency_hz: float, impedance: complex) -> None:
    """Attenborough et al., JASA 97 (1995) 173: source at 5 m, receiver at 1 m, these impedances (there conjugated)."""
    distances_m = np.array([20.0, 50.0, 100.0, 200.0])
    reflected_m, direct_m = np.hypot(6.0, distances_m), np.hypot(4.0, distances_m)
    quotient = spherical_reflection_of_admittance(
        np.array([frequency_hz]),
        1.0 / impedance,
        source_height_m=5.0,
        receiver_height_m=1.0,
        horizontal_m=distances_m[:, None],
        speed_of_sound_mps=C_MPS,
    )[:, 0]
    phase = np.exp(-1j * wavenumber(frequency_hz) * (reflected_m - direct_m)) * direct_m / reflected_m
    exact = np.array([line_image(frequency_hz, (5.0, 1.0, r), 1.0 / impedance) for r in distances_m])
    level_db, exact_db = (20.0 * np.log10(np.abs(1.0 + q * phase)) for q in (quotient, exact))
    # At 10 Hz k r is 4 at the nearest: off by 0.011 dB there, and by less everywhere else.
    np.testing.assert_allclose(level_db, exact_db, atol=0.015)


def test_far_along_soft_ground_the_ground_wave_falls_with_the_square_of_distance() -> None:
    # Source and receiver on the ground: R = -1, the field is 2 F / r, and F goes as 1 / r.
    near, far = (abs(1.0 + reflection(500.0, (0.0, 0.0, r), 2e5)) / r for r in (2000.0, 4000.0))
    # Higher terms of F are 3 / (2 w²), with |w|² = k r |beta|² / 2 = 400: 0.4 %, and half of it farther on.
    assert near / far == pytest.approx(4.0, rel=0.01)


def test_source_and_receiver_may_be_swapped() -> None:
    assert reflection(300.0, (1.0, 7.0, 40.0), 2e5) == reflection(300.0, (7.0, 1.0, 40.0), 2e5)


def test_many_paths_are_the_same_as_one_by_one() -> None:
    rng = np.random.default_rng(4)
    heights_m, distance_m = rng.uniform(0.1, 20.0, (2, 7, 1)), rng.uniform(1.0, 900.0, (7, 1))
    resistivity = rng.uniform(1e4, 1e7, (7, 1))
    together = spherical_reflection(
        np.array([50.0, 700.0]),
        source_height_m=heights_m[0],
        receiver_height_m=heights_m[1],
        horizontal_m=distance_m,
        flow_resistivity_pa_s_per_m2=resistivity,
        speed_of_sound_mps=C_MPS,
    )
    for row in range(7):
        geometry = (float(heights_m[0, row, 0]), float(heights_m[1, row, 0]), float(distance_m[row, 0]))
        one = [reflection(f, geometry, float(resistivity[row, 0])) for f in (50.0, 700.0)]
        np.testing.assert_allclose(together[row], one, rtol=1e-12)
