"""Night noise: what nodes share is taken off, a broken microphone is found, and what cannot be told is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from shotline.errors import InputError
from shotline.timebase import parse_utc
from shotline_calibration.microphone.describe import relative_result
from shotline_calibration.microphone.nightnoise import NightLevel, NoiseReadings, level_changes, night_levels
from shotline_calibration.microphone.relative import OF_CHANGES, GainVerdict, RelativeSettings, relative_gains

START_NS = parse_utc("2026-11-01T00:00:00Z")
MINUTE_NS = 60 * 10**9


def readings(
    rng: np.random.Generator, gains_db: dict[str, float], *, nights: int = 5, deaf: tuple[str, ...] = ()
) -> dict[str, NoiseReadings]:
    """Return a reading a minute, day and night: a town that is 10 dB louder by day, and nodes with gains."""
    minutes = np.arange(nights * 1_440)
    hour = (minutes / 60.0) % 24.0
    shared = 40.0 + 8.0 * np.cos(2.0 * np.pi * (hour - 14.0) / 24.0) + 2.0 * np.sin(minutes / 700.0)
    return {
        node: NoiseReadings(
            START_NS + minutes * MINUTE_NS,
            (np.full(len(minutes), 25.0) if node in deaf else shared)
            + gain_db
            + 0.5 * rng.standard_normal(len(minutes)),
        )
        for node, gain_db in gains_db.items()
    }


def names(count: int) -> list[str]:
    return [f"n{index:02d}" for index in range(count)]


def night(node: str, level_db: float, *, sigma_db: float = 0.5, follows: float | None = 1.0) -> NightLevel:
    return NightLevel(node, level_db, sigma_db, 5, 120, follows)


def grid_m(count: int, *, step_m: float = 300.0) -> dict[str, tuple[float, float]]:
    side = math.ceil(math.sqrt(count))
    return {node: (step_m * (index % side), step_m * (index // side)) for index, node in enumerate(names(count))}


def test_what_nodes_share_is_taken_off() -> None:
    gains_db = {"a": 0.0, "b": 3.0, "c": -6.0, "d": 0.0, "e": 0.0}
    levels = {item.node: item for item in night_levels(readings(np.random.default_rng(1), gains_db))}
    for node, gain_db in gains_db.items():
        # Quartiles of ten readings of 0.5 dB, 24 bins a night, five nights.
        assert levels[node].level_db == pytest.approx(gain_db, abs=0.15)
        assert levels[node].nights == 5
        assert levels[node].bins == 5 * 24
        assert levels[node].follows == pytest.approx(1.0, abs=0.1)
    assert 0.2 <= levels["a"].sigma_db < 1.0


def test_only_the_night_counts_and_it_may_go_through_midnight() -> None:
    found = readings(np.random.default_rng(2), dict.fromkeys("abc", 0.0), nights=3)
    assert night_levels(found, from_hour=23.0, to_hour=2.0)[0].bins == 3 * 18
    assert night_levels(found, from_hour=1.0, to_hour=4.0, offset_h=2.0)[0].bins == 3 * 18
    hour = found["a"].time_ns // (60 * MINUTE_NS) % 24
    for item in found.values():
        item.level_db[(hour >= 6) & (hour < 22)] += 50.0 * np.arange(len(item.level_db[(hour >= 6) & (hour < 22)]))
    assert night_levels(found)[0].level_db == pytest.approx(0.0, abs=0.2)


def test_a_deaf_microphone_does_not_follow() -> None:
    found = night_levels(readings(np.random.default_rng(3), dict.fromkeys("abcdef", 0.0), deaf=("c",)))
    assert [item.node for item in found if item.is_deaf] == ["c"]
    gains = relative_gains(found, dict.fromkeys("abcdef", (0.0, 0.0)))
    assert [gain.verdict for gain in gains if gain.node == "c"] == [GainVerdict.DEAF]


def test_nights_that_are_too_few() -> None:
    with pytest.raises(InputError, match="0 of 2 nodes were heard at night, with two others"):
        night_levels(readings(np.random.default_rng(0), {"a": 0.0, "b": 0.0}))
    with pytest.raises(InputError, match=r"from_hour: 25 is not within 0 to 24"):
        night_levels({}, from_hour=25.0)


def test_a_broken_microphone_among_sound_ones_is_found() -> None:
    rng = np.random.default_rng(4)
    levels = [night(node, float(rng.standard_normal())) for node in names(25)]
    levels[12] = replace(levels[12], level_db=-20.0)
    gains = {gain.node: gain for gain in relative_gains(levels, grid_m(25))}
    broken = gains["n12"]
    assert broken.verdict is GainVerdict.QUIETER
    # Some of the 20 dB may be the place: the gain is shrunk by that.
    assert -20.0 < broken.gain_db < -15.0
    assert abs(broken.gain_db + 20.0) < 3.0 * broken.sigma_db
    assert broken.probability_broken > 0.99
    sound = [gain for gain in gains.values() if gain.node != "n12"]
    assert all(gain.verdict in (GainVerdict.AS_OTHERS, GainVerdict.CANNOT_TELL) for gain in sound)
    assert all(abs(gain.gain_db) < 1.5 for gain in sound)


def test_moving_and_turning_the_network_changes_nothing() -> None:
    rng = np.random.default_rng(5)
    levels = [night(node, 3.0 * float(rng.standard_normal())) for node in names(12)]
    before = relative_gains(levels, grid_m(12))
    turned = {
        node: (1e5 - 0.6 * y_m + 0.8 * x_m, 0.8 * y_m + 0.6 * x_m - 2e4) for node, (x_m, y_m) in grid_m(12).items()
    }
    louder = [replace(item, level_db=item.level_db + 40.0) for item in levels]
    for one, other in zip(before, relative_gains(louder, turned), strict=True):
        # A common level has a wide prior, not none: 100 dB against 40.
        assert other.gain_db == pytest.approx(one.gain_db, abs=0.01)
        assert other.sigma_db == pytest.approx(one.sigma_db, abs=0.01)


def test_where_noise_differs_from_place_to_place_it_cannot_tell() -> None:
    rng = np.random.default_rng(6)
    # Nodes kilometres apart whose places differ by 6 dB.
    levels = [night(node, 6.0 * float(rng.standard_normal())) for node in names(25)]
    gains = relative_gains(levels, grid_m(25, step_m=1_200.0))
    told = [gain for gain in gains if gain.verdict in (GainVerdict.QUIETER, GainVerdict.LOUDER)]
    assert len(told) <= 1
    lonely = relative_gains(levels[:4], grid_m(4, step_m=5_000.0))
    assert {gain.verdict for gain in lonely} == {GainVerdict.CANNOT_TELL}
    assert "0 neighbours within 1500 m" in lonely[0].why


def test_a_calibrated_node_is_believed() -> None:
    rng = np.random.default_rng(7)
    levels = [night(node, float(rng.standard_normal())) for node in names(16)]
    levels[5] = replace(levels[5], level_db=4.0)
    free = relative_gains(levels, grid_m(16))[5]
    known = relative_gains(levels, grid_m(16), known_sigma_db={"n05": 0.25})[5]
    assert abs(known.gain_db) < abs(free.gain_db)


def test_since_earlier_nights_places_cancel() -> None:
    rng = np.random.default_rng(9)
    # Places that differ by 6 dB from node to node: nothing can be told of one stretch of nights alone.
    place_db = 6.0 * rng.standard_normal(25)
    before = [night(node, float(level_db)) for node, level_db in zip(names(25), place_db, strict=True)]
    now = [
        replace(item, level_db=item.level_db + 1.5 + 0.5 * float(rng.standard_normal()) - 7.0 * (index == 8))
        for index, item in enumerate(before)
    ]
    assert relative_gains(now, grid_m(25))[8].verdict is not GainVerdict.QUIETER
    changes = level_changes(before[1:], now[:-1])
    assert [item.node for item in changes] == names(25)[1:-1]
    assert float(np.median([item.level_db for item in changes])) == pytest.approx(0.0, abs=1e-9)
    assert changes[0].sigma_db == pytest.approx(math.sqrt(0.5))
    gains = relative_gains(changes, grid_m(25), OF_CHANGES)
    assert [gain.node for gain in gains if gain.verdict is GainVerdict.QUIETER] == ["n08"]
    assert gains[7].gain_db == pytest.approx(-7.0, abs=2.0)
    said = relative_result(gains[7], full_scale_db_spl=None, corrected=False, is_change=True).sentences()
    assert said[1].endswith("against the others, since earlier nights")
    with pytest.raises(InputError, match="1 nodes were heard in both stretches of nights"):
        level_changes(before[:2], now[1:])


def test_settings_and_nodes_that_cannot_be() -> None:
    levels = [night(node, 0.0) for node in names(3)]
    with pytest.raises(InputError, match="no position of n02"):
        relative_gains(levels, grid_m(2))
    with pytest.raises(InputError, match="2 nodes, expected three or more"):
        relative_gains(levels[:2], grid_m(2))
    with pytest.raises(InputError, match=r"broken_share: 1\.0 is not between 0 and 1"):
        RelativeSettings(broken_share=1.0)
    with pytest.raises(InputError, match="sound_sigma_db"):
        RelativeSettings(sound_sigma_db=0.0)


def test_only_what_is_told_corrects_a_setting() -> None:
    rng = np.random.default_rng(8)
    levels = [night(node, 0.5 * float(rng.standard_normal())) for node in names(25)]
    levels[3] = replace(levels[3], level_db=9.0)
    gains = relative_gains(levels, grid_m(25))
    corrected = relative_result(gains[3], full_scale_db_spl=123.0, corrected=True)
    assert corrected.verdict == "louder than the others"
    # It reads too high, so a sample of 1.0 is less loud than was said.
    (setting,) = corrected.node_settings("n03")["node"].values()
    assert setting == pytest.approx(123.0 - gains[3].gain_db, abs=0.005)
    assert "in place of 123.0 dB SPL" in corrected.sentences()[-1]
    plain = relative_result(gains[3], full_scale_db_spl=123.0, corrected=False)
    assert plain.node_settings("n03") == {}
    with pytest.raises(InputError, match="only a gain that is told can correct"):
        relative_result(gains[4], full_scale_db_spl=123.0, corrected=True)
    with pytest.raises(InputError, match="the node's full scale is not known"):
        relative_result(gains[3], full_scale_db_spl=None, corrected=True)
