"""What a path does to a sound: each piece alone against its formula, and switched off."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scene_samples import box, courtyard, one_node, still_air

from shotline.atmosphere import Weather
from shotline.propagation import (
    EffectiveProfile,
    absorption_db_per_m,
    fresnel_number,
    maekawa_attenuation_db,
    spherical_reflection,
    wedge_diffraction,
)
from shotline_recordings.simulate.city import City
from shotline_recordings.simulate.gains import Medium, air_gain, path_gains, path_magnitudes
from shotline_recordings.simulate.paths import PathKind, Paths

RATE_HZ = 48_000
COUNT = 4_096
FREQUENCY_HZ = np.arange(COUNT // 2 + 1) * (RATE_HZ / COUNT)
WEATHER = Weather(temperature_c=14.0, humidity_percent=55.0)
HOUSE = City([box("house", 40.0, -500.0, 60.0, 500.0, 10.0)])


def medium(**changes: Any) -> Medium:
    """Return a medium with every piece switched off but those named."""
    values: dict[str, Any] = {
        "weather": WEATHER,
        "profile": still_air(WEATHER.speed_of_sound_mps),
        "absorption": False,
        "shadow": False,
        "finite_walls": False,
    }
    return Medium(**(values | changes))


def open_air(distance_m: float = 300.0, z_m: float = 2.0) -> Paths:
    return one_node(City(), (0.0, 0.0, z_m), (distance_m, 0.0, z_m), profile=still_air(WEATHER.speed_of_sound_mps))


def db(gain: Any) -> Any:
    return 20.0 * np.log10(np.abs(gain))


def test_spreading_is_one_over_distance() -> None:
    np.testing.assert_allclose(path_gains(open_air(250.0), FREQUENCY_HZ, medium()), 1.0 / 250.0, rtol=1e-12)


def test_walls_take_their_share() -> None:
    paths = one_node(courtyard(40.0, 25.0, 60.0), (11.0, 7.0, 2.0), (31.0, 18.0, 6.0), reflection_order=2)
    gains = path_gains(paths, FREQUENCY_HZ, medium())
    np.testing.assert_allclose(np.abs(gains[:, 5]), np.sqrt(0.7**paths.order) / paths.length_m, rtol=1e-12)


def test_absorption_is_that_of_the_standard() -> None:
    """To 0.01 dB up to half the band: above, the folded cepstrum of 4,096 points begins to tell."""
    paths = open_air(800.0)
    loss_db = -db(path_gains(paths, FREQUENCY_HZ, medium(absorption=True))[0] * 800.0)
    expected = 800.0 * absorption_db_per_m(FREQUENCY_HZ, temperature_c=14.0, humidity_percent=55.0)
    half = slice(1, COUNT // 4)
    np.testing.assert_allclose(loss_db[half], expected[half], atol=0.01)
    np.testing.assert_allclose(-db(air_gain(800.0, FREQUENCY_HZ, WEATHER))[half], expected[half], atol=0.01)


def test_ground_is_the_bounce_of_the_image() -> None:
    """Interpolating the coefficient between 40 frequencies costs at most 0.02 of the direct sound here."""
    paths = open_air(120.0, z_m=3.0)
    gains = path_gains(paths, FREQUENCY_HZ, medium(flow_resistivity_pa_s_per_m2=2e5))[0] * 120.0
    speed, longer_m = WEATHER.speed_of_sound_mps, math.hypot(120.0, 6.0)
    coefficient = spherical_reflection(
        FREQUENCY_HZ,
        source_height_m=3.0,
        receiver_height_m=3.0,
        horizontal_m=120.0,
        flow_resistivity_pa_s_per_m2=2e5,
        speed_of_sound_mps=speed,
    )
    turn = np.exp(-2j * np.pi * FREQUENCY_HZ * (longer_m - 120.0) / speed)
    np.testing.assert_allclose(gains, 1.0 + coefficient * turn * 120.0 / longer_m, atol=0.02)


def test_maekawa_over_one_edge() -> None:
    thin = City([box("screen", 49.99, -500.0, 50.01, 500.0, 10.0)])
    paths = one_node(thin, (0.0, 0.0, 2.0), (100.0, 0.0, 2.0), profile=still_air(WEATHER.speed_of_sound_mps))
    assert paths.kind.tolist() == [PathKind.OVER]
    loss_db = -db(path_gains(paths, FREQUENCY_HZ, medium())[0] * paths.length_m[0])
    number = fresnel_number(float(paths.detour_m[0]), FREQUENCY_HZ, speed_of_sound_mps=WEATHER.speed_of_sound_mps)
    # Two edges 2 cm apart are one: ISO's factor for double edges is 1 + 1e-3 up to 1 kHz.
    low = slice(1, 80)
    np.testing.assert_allclose(loss_db[low], maekawa_attenuation_db(number)[low], atol=0.05)
    assert loss_db.max() < 25.1, "scattering limits every shadow"


def test_utd_round_one_corner() -> None:
    corner = City([box("block", 0.0, -300.0, 300.0, 0.0, 50.0)])
    source, node = (-40.0, -60.0, 2.0), (60.0, 40.0, 2.0)
    paths = one_node(corner, source, node, profile=still_air(WEATHER.speed_of_sound_mps), reflection_order=0)
    row = int(np.flatnonzero(paths.kind == PathKind.AROUND)[0])
    gains = path_gains(paths, FREQUENCY_HZ, medium(diffraction="utd"))[row] * paths.length_m[row]
    (edge,) = paths.edges[row]
    assert edge.exterior_rad == pytest.approx(1.5 * math.pi)
    exact = wedge_diffraction(
        FREQUENCY_HZ,
        source_distance_m=edge.before_m,
        receiver_distance_m=edge.after_m,
        source_angle_rad=math.atan2(40.0, 60.0),
        receiver_angle_rad=1.5 * math.pi - math.atan2(40.0, 60.0),
        exterior_angle_rad=1.5 * math.pi,
        speed_of_sound_mps=WEATHER.speed_of_sound_mps,
    )
    # Angles from the wall that runs south. The corner is pushed out by 5 cm, which turns them by 1 mrad; interpolation
    # adds the rest.
    band = slice(10, COUNT // 4)
    np.testing.assert_allclose(np.abs(gains[band]), np.abs(exact[band]), rtol=0.03)


def test_small_walls_lose_the_low_frequencies() -> None:
    city = City([box("wall", -5.0, 100.0, 5.0, 101.0, 50.0)])
    paths = one_node(city, (-100.0, 0.0, 2.0), (100.0, 0.0, 2.0), reflection_order=1)
    knee = np.array([paths.least_hz[1]])
    with_it, without = (path_magnitudes(paths, knee, medium(finite_walls=on))[1, 0] for on in (True, False))
    assert db(with_it) - db(without) == pytest.approx(-10.0 * math.log10(2.0), abs=1e-9)


def test_the_wind_throws_a_shadow_upwind_only() -> None:
    speed = WEATHER.speed_of_sound_mps
    profile = EffectiveProfile(speed_of_sound_mps=speed, wind_enu_mps=(8.0, 0.0), roughness_length_m=0.03)
    band = np.array([500.0, 1_000.0])
    losses = {}
    for name, x_m in (("downwind", 600.0), ("upwind", -600.0)):
        paths = one_node(City(), (0.0, 0.0, 1.5), (x_m, 0.0, 4.0), profile=profile)
        both = [path_magnitudes(paths, band, medium(profile=profile, shadow=on))[0] for on in (True, False)]
        losses[name] = db(both[1]) - db(both[0])
    assert losses["downwind"].tolist() == [0.0, 0.0]
    assert (losses["upwind"] > 10.0).all()


def test_screens_that_no_map_shows_delay_and_weaken() -> None:
    paths = open_air(300.0)
    screened = paths.screened(1.0, 2.0, WEATHER.speed_of_sound_mps, np.random.default_rng(4))
    assert screened.screen_m[0] > 0.0
    np.testing.assert_allclose(
        screened.delay_s - paths.delay_s, screened.screen_m / WEATHER.speed_of_sound_mps, rtol=1e-9
    )
    assert path_magnitudes(screened, np.array([1_000.0]), medium())[0, 0] < 0.5 / 300.0
    untouched = paths.screened(0.0, 2.0, WEATHER.speed_of_sound_mps, np.random.default_rng(4))
    np.testing.assert_array_equal(untouched.delay_s, paths.delay_s)


@pytest.mark.parametrize("diffraction", ["maekawa", "utd"])
def test_magnitudes_are_those_of_the_gains(diffraction: str) -> None:
    """The short way, at any frequency, against the long one; 0.1 dB for what is interpolated between other knots."""
    paths = one_node(HOUSE, (0.0, 0.0, 2.0), (100.0, 30.0, 14.0), profile=still_air(WEATHER.speed_of_sound_mps))
    full = medium(absorption=True, finite_walls=True, flow_resistivity_pa_s_per_m2=2e6, diffraction=diffraction)
    long = np.abs(path_gains(paths, FREQUENCY_HZ, full))
    rows = np.array([40, 90, 200, 400])
    np.testing.assert_allclose(db(path_magnitudes(paths, FREQUENCY_HZ[rows], full)), db(long[:, rows]), atol=0.1)


@pytest.mark.parametrize("diffraction", ["maekawa", "utd"])
def test_nothing_comes_before_its_arrival(diffraction: str) -> None:
    """Energy ahead of time zero, taken as the last eighth of the circle, is below -40 dB: UTD is an approximation."""
    paths = one_node(HOUSE, (0.0, 0.0, 2.0), (100.0, 0.0, 14.0), profile=still_air(WEATHER.speed_of_sound_mps))
    full = medium(absorption=True, flow_resistivity_pa_s_per_m2=2e6, diffraction=diffraction)
    low_passed = path_gains(paths, FREQUENCY_HZ, full) * np.exp(-((FREQUENCY_HZ / 6_000.0) ** 2))
    pulse = np.fft.irfft(low_passed, COUNT, axis=1) ** 2
    # The Gaussian low-pass is not causal: 20 samples are its own.
    ahead = pulse[:, -COUNT // 8 : -20].sum(axis=1)
    assert (ahead < 1e-4 * pulse.sum(axis=1)).all()
