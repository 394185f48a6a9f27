"""Where a node stands: exact without noise, honest with it, not led astray, and aware of having been moved."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_node.gpsd import Fix
from sensor_node.place import (
    FixReject,
    NoPlace,
    NoPlaceReason,
    Place,
    PlaceCounts,
    PlaceKeeper,
    PlaceSettings,
    PlaceSource,
    Position,
)
from shotline.errors import GeometryError, InputError
from shotline.geodesy import LocalFrame

START_NS = 1_796_069_600_000_000_000
HOME = (51.5012345, -0.1412345, 42.0)
SURVEY = Position(*HOME, sigma_m=0.5, sigma_up_m=1.0)
QUICK = PlaceSettings(least_fixes=10)
"""Ten fixes a minute apart make a window."""


def fix(second: float, at: tuple[float, float, float] = HOME, **changes: float | int | None) -> Fix:
    """Return a fix so many seconds after the start."""
    made = Fix(START_NS + round(second * 1e9), 3, *at, 3.0, 3.0, 5.0)
    return dataclasses.replace(made, **changes)


def feed(
    keeper: PlaceKeeper,
    windows: int,
    *,
    first: int = 0,
    offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0),
    noise_m: float = 0.0,
    seed: int = 1,
) -> int:
    """Give so many windows of ten fixes, of which the last stays open; return the number of the next window."""
    frame, rng = LocalFrame(*HOME), np.random.default_rng(seed)
    for minute in range(10 * first, 10 * (first + windows)):
        enu_m = np.array(offset_m) + noise_m * rng.normal(size=3)
        keeper.add(fix(60.0 * minute, frame.to_geodetic(*enu_m)))
    return first + windows


def settled(keeper: PlaceKeeper) -> Place:
    """Return the place, which there must be."""
    place = keeper.place()
    assert isinstance(place, Place)
    return place


def apart_m(position: Position, at: tuple[float, float, float] = HOME) -> tuple[float, float, float]:
    """Return how far a position is from another, in metres east, north and up."""
    return LocalFrame(*at).to_enu_m(position.lat_deg, position.lon_deg, position.height_m)


def drifting_m(
    steps: int, step_s: float, parts: list[tuple[float, float]], rng: np.random.Generator
) -> npt.NDArray[np.float64]:
    """Return errors as GPS has them: sums of first-order Gauss-Markov processes, shape (steps, 3).

    Each part is its correlation time in seconds and its sigma in metres.
    """
    total = np.zeros((steps, 3))
    for correlation_s, sigma_m in parts:
        keep = math.exp(-step_s / correlation_s)
        value = sigma_m * rng.normal(size=3)
        for step in range(steps):
            total[step] += value
            value = keep * value + sigma_m * math.sqrt(1.0 - keep * keep) * rng.normal(size=3)
    return total


class TestWithoutNoise:
    @pytest.mark.parametrize(
        "at",
        [
            HOME,
            (-33.9, 151.2, -20.0),
            (0.0, 0.0, 0.0),
            (12.0, 179.999_999_9, 100.0),
            (-17.0, -180.0, 3.0),
            (89.9, 30.0, 2_000.0),
        ],
    )
    def test_average_of_equals_is_exact(self, at: tuple[float, float, float]) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        for minute in range(81):
            keeper.add(fix(60.0 * minute, at))
        place = settled(keeper)
        # A nanometre, the resolution of a float64 of the Earth's radius: 1e-9 degrees are 0.1 mm.
        assert apart_m(place.position, at) == pytest.approx((0.0, 0.0, 0.0), abs=1e-8)
        assert (place.source, place.moved, place.windows) == (PlaceSource.GPS, False, 8)

    def test_across_the_date_line(self) -> None:
        """Half the fixes on either side of 180 degrees: the average is there, not at Greenwich."""
        keeper = PlaceKeeper(settings=QUICK)
        for minute in range(80):
            keeper.add(fix(60.0 * minute, (10.0, 179.999_99 if minute % 2 else -179.999_99, 0.0)))
        lon_deg = settled(keeper).position.lon_deg
        assert abs(lon_deg) == pytest.approx(180.0, abs=1e-9)
        assert -180.0 <= lon_deg <= 180.0

    @settings(max_examples=80, deadline=None)
    @given(
        lat_deg=st.floats(-89.9, 89.9),
        lon_deg=st.floats(-180.0, 180.0),
        height_m=st.floats(-400.0, 5_000.0),
        offset_m=st.tuples(st.floats(-2e3, 2e3), st.floats(-2e3, 2e3), st.floats(-300.0, 300.0)),
    )
    def test_same_metres_as_pyproj(
        self, lat_deg: float, lon_deg: float, height_m: float, offset_m: tuple[float, float, float]
    ) -> None:
        """The node does its own geodesy; the server's is the slow, obvious twin."""
        moved = LocalFrame(lat_deg, lon_deg, height_m).to_geodetic(*offset_m)
        survey = Position(lat_deg, lon_deg, height_m, 0.0, 0.0)
        keeper = PlaceKeeper(survey=survey, settings=PlaceSettings(least_fixes=1))
        keeper.add(fix(0.0, moved))
        keeper.add(fix(600.0, moved))
        place = settled(keeper)
        assert place.seen is not None
        # pyproj's way back to degrees is itself wrong by up to 0.1 um at such heights.
        assert apart_m(place.seen, moved) == pytest.approx((0.0, 0.0, 0.0), abs=1e-6)
        assert place.offset_m == pytest.approx(math.hypot(*offset_m[:2]), abs=1e-6)


class TestHonesty:
    def test_sigma_does_not_shrink_with_the_number_of_fixes(self) -> None:
        """Ten times as many fixes in the same windows tell no more."""
        few, many = PlaceKeeper(settings=QUICK), PlaceKeeper(settings=QUICK)
        errors_m = drifting_m(36, 600.0, [(1_800.0, 3.0)], np.random.default_rng(4))
        frame = LocalFrame(*HOME)
        for window, error_m in enumerate(errors_m):
            at = frame.to_geodetic(*error_m)
            for keeper, count in ((few, 10), (many, 100)):
                for number in range(count):
                    keeper.add(fix(600.0 * window + 600.0 / count * number, at))
        assert settled(few).position == settled(many).position
        assert settled(few).position.sigma_m > 1.0

    def test_sigma_of_the_first_quarter_of_an_hour_is_what_the_receiver_says(self) -> None:
        keeper = PlaceKeeper()
        for second in range(700):
            keeper.add(fix(float(second), sigma_east_m=9.0, sigma_north_m=12.0, sigma_up_m=20.0))
        position = settled(keeper).position
        # Per axis: the mean of the two variances; and the bias that no averaging removes, 1 m and 2 m.
        assert position.sigma_m == pytest.approx(math.sqrt((81.0 + 144.0) / 2.0 + 1.0), abs=1e-9)
        assert position.sigma_up_m == pytest.approx(math.hypot(20.0, 2.0), abs=1e-9)

    def test_receiver_that_claims_too_much_is_not_believed(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        for minute in range(20):
            keeper.add(fix(60.0 * minute, sigma_east_m=0.01, sigma_north_m=0.01, sigma_up_m=0.01))
        assert settled(keeper).position.sigma_m == pytest.approx(math.hypot(3.0, 1.0), abs=1e-9)

    def test_unknown_errors_count_as_ten_metres(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        for minute in range(11):
            keeper.add(fix(60.0 * minute, sigma_east_m=None, sigma_north_m=None, sigma_up_m=None))
        assert settled(keeper).position.sigma_m == pytest.approx(math.hypot(10.0, 1.0), abs=1e-9)

    def test_never_better_than_the_bias(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        feed(keeper, 400, noise_m=0.5)
        assert 1.0 <= settled(keeper).position.sigma_m < 1.05
        assert 2.0 <= settled(keeper).position.sigma_up_m < 2.05

    @pytest.mark.parametrize(
        ("parts", "hours"),
        [
            ([(60.0, 1.0), (600.0, 2.0), (3_600.0, 2.0)], 1),
            ([(60.0, 1.0), (600.0, 2.0), (3_600.0, 2.0)], 8),
            ([(1_800.0, 3.0)], 8),
            ([(7_200.0, 3.0)], 8),
        ],
    )
    def test_two_sigma_hold_the_truth(self, parts: list[tuple[float, float]], hours: int) -> None:
        """Errors alike over minutes and hours, and a bias of 1 m that stays, over 40 runs in east and north.

        95 % should be within two sigma: of 80 at least 69, where a true 95 % fails once in 1,000.
        """
        rng = np.random.default_rng(7)
        frame, within = LocalFrame(*HOME), 0
        for _ in range(40):
            keeper = PlaceKeeper(settings=QUICK)
            errors_m = drifting_m(60 * hours + 1, 60.0, parts, rng) + rng.normal(size=3)
            for minute, error_m in enumerate(errors_m):
                keeper.add(fix(60.0 * minute, frame.to_geodetic(*error_m)))
            position = settled(keeper).position
            east_m, north_m, _ = apart_m(position)
            within += (abs(east_m) < 2.0 * position.sigma_m) + (abs(north_m) < 2.0 * position.sigma_m)
        assert within >= 69


class TestRobust:
    def test_one_fix_in_three_may_be_anywhere(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        frame = LocalFrame(*HOME)
        for minute in range(121):
            offset_m = (0.0, 0.0, 0.0) if minute % 3 else (500.0, -800.0, 300.0)
            keeper.add(fix(60.0 * minute, frame.to_geodetic(*offset_m)))
        assert apart_m(settled(keeper).position) == pytest.approx((0.0, 0.0, 0.0), abs=1e-8)

    def test_a_window_elsewhere_is_set_aside(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        window = feed(keeper, 8)
        window = feed(keeper, 1, first=window, offset_m=(300.0, 0.0, 0.0))
        feed(keeper, 4, first=window)
        place = settled(keeper)
        assert apart_m(place.position) == pytest.approx((0.0, 0.0, 0.0), abs=1e-8)
        assert not place.moved
        assert keeper.counts.elsewhere_windows == 1

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"time_ns": None}, FixReject.NO_TIME),
            ({"mode": 2}, FixReject.NO_POSITION),
            ({"lat_deg": None}, FixReject.NO_POSITION),
            ({"lon_deg": None}, FixReject.NO_POSITION),
            ({"height_m": None}, FixReject.NO_POSITION),
            ({"lat_deg": math.nan}, FixReject.NO_POSITION),
            ({"lat_deg": 90.5}, FixReject.NO_POSITION),
            ({"lon_deg": -181.0}, FixReject.NO_POSITION),
            ({"height_m": math.inf}, FixReject.NO_POSITION),
            ({"sigma_east_m": 150.0}, FixReject.UNCERTAIN),
            ({"sigma_north_m": math.nan}, FixReject.UNCERTAIN),
            ({"sigma_up_m": -1.0}, FixReject.UNCERTAIN),
        ],
    )
    def test_bad_fix_is_counted(self, changes: dict[str, float | None], reason: FixReject) -> None:
        keeper = PlaceKeeper()
        keeper.add(fix(0.0, **changes))
        assert keeper.counts == PlaceCounts(fixes=1, rejected={reason: 1})
        assert keeper.place() == NoPlace(NoPlaceReason.NO_FIXES, 1)

    def test_several_of_one_instant_count_once(self) -> None:
        """gpsd sends up to three for one instant, and some receivers ten a second."""
        keeper = PlaceKeeper()
        for second in (0.0, 0.0, 0.1, 0.8, 0.95, 1.0, 1.9):
            keeper.add(fix(second))
        assert keeper.counts.rejected == {FixReject.TOO_SOON: 4}
        assert keeper.counts.used == 3

    def test_time_that_jumps_ahead_and_back_does_not_stop_the_keeper(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        feed(keeper, 7)
        keeper.add(fix(6e8))
        feed(keeper, 7, first=20)
        assert settled(keeper).windows >= 13
        assert keeper.counts.rejected.get(FixReject.TOO_SOON, 0) <= 2

    def test_thin_windows_are_dropped(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        for window in range(5):
            for minute in range(9):
                keeper.add(fix(600.0 * window + 60.0 * minute))
        assert keeper.place() == NoPlace(NoPlaceReason.TOO_FEW_FIXES, 45)
        assert (keeper.counts.windows, keeper.counts.thin_windows) == (0, 4)

    def test_counts_add_up(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        feed(keeper, 9)
        keeper.add(fix(0.0, time_ns=None))
        counts = keeper.counts
        assert counts.fixes == counts.used + sum(counts.rejected.values()) == 91
        assert counts.windows == 8

    def test_memory_is_bounded(self) -> None:
        keeper = PlaceKeeper(settings=dataclasses.replace(QUICK, most_windows=20))
        feed(keeper, 200)
        assert settled(keeper).windows == 20


class TestSource:
    def test_nothing_is_known_at_first(self) -> None:
        assert PlaceKeeper().place() == NoPlace(NoPlaceReason.NO_FIXES, 0)

    def test_survey_stands_whatever_gps_says(self) -> None:
        keeper = PlaceKeeper(survey=SURVEY, settings=QUICK)
        assert settled(keeper) == Place(SURVEY, PlaceSource.SURVEY, False, None, None, None, 0)
        feed(keeper, 10, offset_m=(12.0, -5.0, 3.0))
        place = settled(keeper)
        assert (place.position, place.source, place.moved) == (SURVEY, PlaceSource.SURVEY, False)
        assert place.offset_m == pytest.approx(13.0, abs=1e-6)

    def test_before_the_first_window_closes(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        for minute in range(10):
            assert isinstance(keeper.place(), NoPlace)
            keeper.add(fix(60.0 * minute))
        place = settled(keeper)
        assert (place.source, place.windows, place.seen) == (PlaceSource.GPS, 0, None)
        assert apart_m(place.position) == pytest.approx((0.0, 0.0, 0.0), abs=1e-8)

    def test_what_is_remembered_stands_until_there_is_an_average(self) -> None:
        remembered = Position(*LocalFrame(*HOME).to_geodetic(4.0, 0.0), 1.5, 3.0)
        keeper = PlaceKeeper(remembered=remembered, settings=QUICK)
        window = feed(keeper, 6)
        assert settled(keeper).source is PlaceSource.REMEMBERED
        assert settled(keeper).position == remembered
        feed(keeper, 1, first=window)
        place = settled(keeper)
        assert (place.source, place.windows) == (PlaceSource.GPS, 6)
        assert apart_m(place.position) == pytest.approx((0.0, 0.0, 0.0), abs=1e-7)

    def test_survey_goes_before_what_is_remembered(self) -> None:
        keeper = PlaceKeeper(survey=SURVEY, remembered=Position(0.0, 0.0, 0.0, 1.0, 1.0))
        assert settled(keeper).position == SURVEY


class TestMoved:
    def test_away_from_the_survey(self) -> None:
        keeper = PlaceKeeper(survey=SURVEY, settings=QUICK)
        window = feed(keeper, 10, noise_m=1.0)
        assert not settled(keeper).moved
        window = feed(keeper, 2, first=window, offset_m=(0.0, 30.0, 0.0))
        place = settled(keeper)
        # The window before the last is judged; one alone may be a bad hour of the sky.
        assert (place.moved, keeper.counts.elsewhere_windows) == (False, 1)
        feed(keeper, 1, first=window, offset_m=(0.0, 30.0, 0.0))
        place = settled(keeper)
        assert place.moved
        assert place.position == SURVEY
        assert place.seen is not None
        assert apart_m(place.seen) == pytest.approx((0.0, 30.0, 0.0), abs=1e-6)
        assert place.offset_m == pytest.approx(30.0, abs=1e-6)
        assert place.limit_m == 20.0

    @pytest.mark.parametrize(("offset_m", "moved"), [(19.9, False), (20.1, True), (-19.9, False), (-20.1, True)])
    def test_twenty_metres(self, offset_m: float, moved: bool) -> None:
        keeper = PlaceKeeper(survey=SURVEY, settings=QUICK)
        window = feed(keeper, 20)
        feed(keeper, 4, first=window, offset_m=(offset_m, 0.0, 0.0))
        assert settled(keeper).moved is moved

    def test_up_alone_is_no_move(self) -> None:
        """GPS heights are poor, and the fusion server works in the plane."""
        keeper = PlaceKeeper(survey=SURVEY, settings=QUICK)
        feed(keeper, 10, offset_m=(0.0, 0.0, 80.0))
        assert not settled(keeper).moved

    def test_away_from_the_long_average_and_for_good(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        window = feed(keeper, 12, noise_m=1.0)
        window = feed(keeper, 300, first=window, offset_m=(-40.0, 0.0, 0.0), noise_m=1.0)
        place = settled(keeper)
        # Two days later the new place has not crept into the average.
        assert place.moved
        assert math.hypot(*apart_m(place.position)[:2]) < 1.0
        assert place.windows in (11, 12)
        feed(keeper, 3, first=window)
        assert not settled(keeper).moved

    def test_moved_while_it_was_off(self) -> None:
        remembered = Position(*HOME, sigma_m=1.5, sigma_up_m=3.0)
        keeper = PlaceKeeper(remembered=remembered, settings=QUICK)
        feed(keeper, 10, offset_m=(60.0, 60.0, 0.0))
        place = settled(keeper)
        assert (place.moved, place.source, place.position) == (True, PlaceSource.REMEMBERED, remembered)

    def test_average_that_is_too_young_accuses_nobody(self) -> None:
        keeper = PlaceKeeper(settings=QUICK)
        window = feed(keeper, 3)
        feed(keeper, 3, first=window, offset_m=(300.0, 0.0, 0.0))
        place = settled(keeper)
        assert (place.moved, place.offset_m, place.limit_m) == (False, None, None)

    def test_distance_must_exceed_its_own_error(self) -> None:
        """With errors of 15 m, 30 m are nothing; and with a survey to 20 m as well."""
        poor, vague = (
            PlaceKeeper(survey=survey, settings=QUICK) for survey in (SURVEY, dataclasses.replace(SURVEY, sigma_m=20.0))
        )
        at = LocalFrame(*HOME).to_geodetic(30.0, 0.0)
        for minute in range(60):
            poor.add(fix(60.0 * minute, at, sigma_east_m=15.0, sigma_north_m=15.0))
            vague.add(fix(60.0 * minute, at))
        assert not settled(poor).moved
        assert not settled(vague).moved
        limit_m = settled(vague).limit_m
        assert limit_m is not None
        assert limit_m > 60.0

    def test_one_window_back_does_not_end_it(self) -> None:
        keeper = PlaceKeeper(survey=SURVEY, settings=QUICK)
        window = feed(keeper, 4, offset_m=(50.0, 0.0, 0.0))
        window = feed(keeper, 1, first=window)
        window = feed(keeper, 1, first=window, offset_m=(50.0, 0.0, 0.0))
        assert settled(keeper).moved
        assert keeper.counts.windows - keeper.counts.elsewhere_windows <= 1
        feed(keeper, 3, first=window)
        assert not settled(keeper).moved

    def test_a_week_of_ordinary_errors_raises_no_flag(self) -> None:
        """Errors of 5 m alike over an hour: 20 m are four sigma, twice in a row."""
        keeper = PlaceKeeper(settings=QUICK)
        errors_m = drifting_m(7 * 24 * 60, 60.0, [(600.0, 3.0), (3_600.0, 4.0)], np.random.default_rng(11))
        frame = LocalFrame(*HOME)
        for minute, error_m in enumerate(errors_m):
            keeper.add(fix(60.0 * minute, frame.to_geodetic(*error_m)))
        assert (keeper.counts.windows, keeper.counts.elsewhere_windows) == (1_007, 0)
        assert not settled(keeper).moved


class TestNearMoves:
    """Moves of less than 20 m, which one window cannot tell from wander: by the mean of an hour and by its jump."""

    PARTS: tuple[tuple[float, float], ...] = ((60.0, 1.0), (600.0, 1.5), (3_600.0, 1.5))

    def flags(
        self,
        windows: int,
        *,
        survey: Position | None = None,
        parts: tuple[tuple[float, float], ...] = PARTS,
        moves: tuple[tuple[int, float], ...] = (),
        seed: int = 21,
    ) -> list[bool]:
        """Return whether the node counts as moved after each window; ``moves`` are (window, metres east from then)."""
        keeper, frame = PlaceKeeper(survey=survey, settings=QUICK), LocalFrame(*HOME)
        errors_m = drifting_m(10 * windows, 60.0, list(parts), np.random.default_rng(seed))
        for window, offset_m in moves:
            errors_m[10 * window :, 0] += offset_m
        said: list[bool] = []
        for minute, error_m in enumerate(errors_m):
            before = keeper.counts.windows
            keeper.add(fix(60.0 * minute, frame.to_geodetic(*error_m)))
            if keeper.counts.windows > before:
                said.append(settled(keeper).moved)
        return said

    @pytest.mark.parametrize("survey", [None, SURVEY])
    @pytest.mark.parametrize("seed", [1, 2])
    def test_ten_metres_are_found_within_three_hours_and_stay(self, survey: Position | None, seed: int) -> None:
        said = self.flags(170, survey=survey, moves=((130, 10.0),), seed=seed)
        assert not any(said[:130])
        first = said.index(True)
        assert first - 130 < 18
        assert all(said[first:])

    def test_ten_metres_are_found_under_slow_errors_of_two(self) -> None:
        """Errors alike over six hours: their mean hides the move, but they do not jump."""
        said = self.flags(170, parts=((600.0, 1.0), (21_600.0, 2.0)), moves=((130, -10.0),), seed=4)
        assert not any(said[:130])
        assert said.index(True) - 130 < 6

    def test_it_ends_when_the_node_is_put_back(self) -> None:
        said = self.flags(220, moves=((130, 10.0), (160, -10.0)), seed=2)
        assert said[159]
        assert not said[-1]

    def test_a_survey_that_is_wrong_by_fifteen_metres_is_told_and_stays_told(self) -> None:
        wrong = Position(*LocalFrame(*HOME).to_geodetic(0.0, 15.0), sigma_m=0.5, sigma_up_m=1.0)
        said = self.flags(140, survey=wrong)
        first = said.index(True)
        # Fixes must have shown first how they wander here: twelve hours, and three more.
        assert 72 <= first <= 100
        assert all(said[first:])

    def test_before_anything_is_known_of_the_wander_nobody_is_accused(self) -> None:
        assert not any(self.flags(85, survey=SURVEY, moves=((60, 12.0),)))

    def test_without_noise_six_metres_are_the_limit(self) -> None:
        still = ((60.0, 1e-6),)
        assert not any(self.flags(150, parts=still, moves=((120, 5.9),)))
        # Of the mean of three windows against the six before, or of an hour.
        assert any(self.flags(150, parts=still, moves=((120, 30.0),)))

    def test_five_days_of_ordinary_errors_raise_no_flag(self) -> None:
        """The rate is measured by benchmarks/gnss_averaging.py; one flag in five days would be far over it."""
        assert not any(self.flags(720, survey=SURVEY, seed=5))


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"least_fixes": 0}, "least_fixes: 0 is less than 1"),
            ({"reference_windows": 0}, "reference_windows: 0 is less than 1"),
            ({"moved_windows": -1}, "moved_windows: -1 is less than 1"),
            ({"most_windows": 5}, "most_windows: 5 is less than reference_windows, 6"),
            ({"near_history": 0}, "near_history: 0 is less than 1"),
            ({"near_windows": ()}, r"near_windows: \(\): expected one or more, each 1 or more"),
            ({"near_sigmas": 0.0}, "near_sigmas: 0.0 is not more than 0"),
            ({"window_s": 0.0}, "window_s: 0.0 is not more than 0 and finite"),
            ({"moved_over_m": math.nan}, "moved_over_m: nan is not more than 0"),
            ({"moved_sigmas": -1.0}, "moved_sigmas: -1.0 is not more than 0"),
            ({"window_sigma_m": math.inf}, "window_sigma_m: inf is not more than 0"),
            ({"bias_sigma_m": -0.1}, "bias_sigma_m: -0.1 is not 0 or more"),
            ({"bias_sigma_up_m": math.nan}, "bias_sigma_up_m: nan is not 0 or more"),
        ],
    )
    def test_setting_that_cannot_be(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(InputError, match=message):
            PlaceSettings(**changes)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ("changes", "error", "message"),
        [
            ({"lat_deg": 120.0}, GeometryError, "latitude 120.0 is outside -90 to 90 degrees; are the two swapped"),
            ({"lon_deg": math.nan}, GeometryError, "longitude nan is outside -180 to 180"),
            ({"height_m": math.inf}, GeometryError, "height inf is not a number of metres above the ellipsoid"),
            ({"sigma_m": -1.0}, InputError, "sigma_m: -1.0 m is not 0 or more and finite"),
            ({"sigma_up_m": math.nan}, InputError, "sigma_up_m: nan m is not 0 or more and finite"),
        ],
    )
    def test_position_that_cannot_be(self, changes: dict[str, float], error: type[InputError], message: str) -> None:
        with pytest.raises(error, match=message):
            dataclasses.replace(SURVEY, **changes)
