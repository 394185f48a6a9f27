"""When rounds are fired, and where the shooter has moved to."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from shotline.errors import InputError
from shotline_recordings.simulate.fire import fire_times_s, moved_positions_m
from shotline_recordings.simulate.weapons import weapon


def rng(seed: int = 5) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_single_round_and_a_double_tap() -> None:
    assert fire_times_s("single", rng=rng(), start_s=2.0).tolist() == [2.0]
    assert fire_times_s("single", rng=rng(), rounds=1).tolist() == [0.0]
    gaps = [fire_times_s("double_tap", rng=rng(seed), start_s=1.0) for seed in range(200)]
    assert all(pair[0] == 1.0 and len(pair) == 2 for pair in gaps)
    # 0.22 s and 20 %: none of 200 lies beyond three and a half sigma of the logarithm
    assert all(0.10 < pair[1] - 1.0 < 0.45 for pair in gaps)
    assert len({pair[1] for pair in gaps}) == 200
    assert fire_times_s("double_tap", rng=rng(), rate_rpm=600.0)[1] == pytest.approx(0.1, rel=0.6)


def test_a_burst_is_three_rounds_at_the_rate_of_the_weapon() -> None:
    times_s = fire_times_s("burst", rng=rng(), weapon=weapon("m4"))
    assert len(times_s) == 3
    # 800 a minute; cycles differ by 2 %, four sigma
    assert np.diff(times_s) == pytest.approx([0.075, 0.075], rel=0.08)
    assert len(fire_times_s("burst", rng=rng(), rounds=5, rate_rpm=900.0)) == 5


def test_automatic_fire_keeps_its_rate_on_the_whole() -> None:
    times_s = fire_times_s("automatic", rng=rng(), weapon=weapon("akm"), rounds=30)
    assert len(times_s) == 30
    assert times_s[0] == 0.0
    # mean of 29 cycles of 2 %: 0.4 %, four sigma
    assert np.diff(times_s).mean() == pytest.approx(0.1, rel=0.016)
    assert 0.005 < np.diff(times_s).std() / 0.1 < 0.04
    other = fire_times_s("automatic", rng=rng(), weapon=weapon("akm"), rounds=30, rate_rpm=1_200.0)
    assert other == pytest.approx(times_s / 2.0, rel=1e-12)
    assert fire_times_s("automatic", rng=rng(), rate_rpm=600.0, rounds=1).tolist() == [0.0]


def test_the_same_numbers_give_the_same_times() -> None:
    first, again, other = (
        fire_times_s("automatic", rng=rng(seed), rounds=9, rate_rpm=700.0).tolist() for seed in (1, 1, 2)
    )
    assert first == again != other


def test_listed_times_are_kept_exactly_and_sorted() -> None:
    assert fire_times_s("listed", rng=rng(), times_s=[3.0, 0.5, 1.25]).tolist() == [0.5, 1.25, 3.0]
    assert fire_times_s("listed", rng=rng(), times_s=[0.5], rounds=1, start_s=10.0).tolist() == [10.5]


def test_a_shooter_who_moves() -> None:
    start = np.array([100.0, -50.0, 1.5])
    times_s = np.array([10.0, 10.5, 12.0])
    moved = moved_positions_m(start, velocity_mps=(2.0, -4.0), times_s=times_s)
    assert moved == pytest.approx(np.array([[100.0, -50.0, 1.5], [101.0, -52.0, 1.5], [104.0, -58.0, 1.5]]), abs=1e-12)
    assert moved_positions_m(start, velocity_mps=(0.0, 0.0), times_s=times_s).tolist() == [start.tolist()] * 3
    assert moved_positions_m(start, velocity_mps=(1.0, 0.0), times_s=np.zeros(0)).shape == (0, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"mode": "rapid"}, "fire mode 'rapid' is not one of single, double_tap, burst, automatic, listed"),
        ({"mode": "listed"}, "mode listed needs times"),
        ({"mode": "listed", "times_s": [1.0], "rate_rpm": 600.0}, "1 times are listed; leave out rounds and rate"),
        ({"mode": "listed", "times_s": [1.0], "rounds": 2}, "1 times are listed; leave out rounds and rate"),
        ({"mode": "listed", "times_s": [-1.0]}, "are not all seconds from zero on"),
        ({"mode": "listed", "times_s": [float("nan")]}, "are not all seconds from zero on"),
        ({"mode": "single", "times_s": [1.0]}, "times are listed, but the mode is single"),
        ({"mode": "single", "rounds": 2}, "mode single fires one round"),
        ({"mode": "single", "rate_rpm": 100.0}, "mode single fires one round"),
        ({"mode": "double_tap", "rounds": 3}, "mode double_tap fires two rounds, not 3"),
        ({"mode": "automatic", "rate_rpm": 600.0}, "mode automatic needs the number of rounds"),
        ({"mode": "automatic", "rounds": 0, "rate_rpm": 600.0}, "0 rounds are outside 1 to 1000"),
        ({"mode": "burst", "rate_rpm": 0.0}, "rate 0 rounds a minute is outside 0 to 6000"),
        ({"mode": "burst"}, "mode burst needs rate_rpm: no weapon is given"),
        (
            {"mode": "burst", "weapon": weapon("sw-642")},
            "mode burst needs rate_rpm: weapon sw-642 does not fire automat",
        ),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        fire_times_s(rng=rng(), **arguments)
