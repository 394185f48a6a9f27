"""Conversions: exact where the maths is exact, and back again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shotline.units
from shotline.units import (
    NS_PER_MS,
    NS_PER_S,
    amplitude_from_db,
    db_from_amplitude,
    kelvin_from_celsius,
    ns_from_seconds,
    seconds_from_ns,
)


def test_public_names_exist() -> None:
    assert all(hasattr(shotline.units, name) for name in shotline.units.__all__)
    assert NS_PER_S == 1000 * NS_PER_MS == 10**9


@pytest.mark.parametrize(
    ("duration_s", "duration_ns"),
    [
        (0.0, 0),
        (1.0, 1_000_000_000),
        (-1.0, -1_000_000_000),
        (1e-9, 1),
        (-1e-9, -1),
        (0.4e-9, 0),
        (0.6e-9, 1),
        (-0.6e-9, -1),
        # Half a nanosecond and its odd multiples that are exact in binary go to the even neighbour.
        (2.0**-10, 976_562),
        (3 * 2.0**-10, 2_929_688),
        (3600.000_000_001, 3_600_000_000_001),
    ],
)
def test_seconds_become_whole_nanoseconds_half_to_even(duration_s: float, duration_ns: int) -> None:
    assert ns_from_seconds(duration_s) == duration_ns


@given(st.integers(-(10**15), 10**15))
def test_durations_up_to_eleven_days_survive_the_round_trip_exactly(duration_ns: int) -> None:
    # A float64 holds 2**53 = 9.0e15 steps; 1e15 ns leaves room for the two roundings of / and *.
    assert ns_from_seconds(seconds_from_ns(duration_ns)) == duration_ns


def test_kelvin() -> None:
    assert kelvin_from_celsius(0.0) == 273.15
    assert kelvin_from_celsius(-273.15) == 0.0


@pytest.mark.parametrize(("amplitude", "level_db"), [(1.0, 0.0), (10.0, 20.0), (0.1, -20.0), (1000.0, 60.0)])
def test_decibels_of_decades(amplitude: float, level_db: float) -> None:
    assert db_from_amplitude(amplitude) == pytest.approx(level_db, abs=1e-12)
    assert amplitude_from_db(level_db) == pytest.approx(amplitude, rel=1e-14)


def test_doubling_an_amplitude_adds_6_02_db() -> None:
    assert db_from_amplitude(2.0) == pytest.approx(20.0 * math.log10(2.0), abs=1e-12)


@pytest.mark.parametrize("amplitude", [0.0, -0.0, -1.0])
def test_no_amplitude_has_no_level(amplitude: float) -> None:
    assert db_from_amplitude(amplitude) == -math.inf


def test_no_level_has_no_amplitude() -> None:
    assert amplitude_from_db(-math.inf) == 0.0


@given(st.floats(-300.0, 300.0))
def test_decibels_round_trip(level_db: float) -> None:
    # pow and log10 are good to an ulp or two: 300 dB times 2**-52 is below 1e-12.
    assert db_from_amplitude(amplitude_from_db(level_db)) == pytest.approx(level_db, abs=1e-11)
