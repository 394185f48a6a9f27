"""Intervals of rates and percentiles against printed tables and scipy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fusion_server.scorecard.intervals import percentile, poisson_interval, rate_of
from shotline_models.metrics import wilson_interval

# R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, score method without continuity correction.
WILSON = {(81, 263): (0.2553, 0.3662), (15, 148): (0.0624, 0.1605), (0, 20): (0.0, 0.1611), (1, 29): (0.0061, 0.1718)}
# Garwood's table of 1936, 95 %.
GARWOOD = {0: (0.0, 3.689), 1: (0.0253, 5.572), 5: (1.623, 11.668), 10: (4.795, 18.39), 50: (37.11, 65.92)}


@pytest.mark.parametrize(("seen", "ends"), WILSON.items())
def test_wilson_has_the_printed_values(seen: tuple[int, int], ends: tuple[float, float]) -> None:
    assert wilson_interval(*seen) == pytest.approx(ends, abs=6e-5)  # printed to four digits


@settings(deadline=None)
@given(of=st.integers(1, 400), data=st.data())
def test_wilson_is_scipys_and_holds_the_share(of: int, data: st.DataObject) -> None:
    count = data.draw(st.integers(0, of))
    low, high = wilson_interval(count, of)
    other = stats.binomtest(count, of).proportion_ci(0.95, method="wilson")
    assert (low, high) == pytest.approx((other.low, other.high), abs=1e-12)
    assert 0.0 <= low <= count / of <= high <= 1.0


@pytest.mark.parametrize(("count", "ends"), GARWOOD.items())
def test_poisson_has_the_printed_values(count: int, ends: tuple[float, float]) -> None:
    assert poisson_interval(count) == pytest.approx(ends, rel=1e-3)  # printed to three digits or more


@settings(deadline=None)
@given(count=st.integers(0, 2000))
def test_poisson_ends_leave_a_fortieth_on_each_side(count: int) -> None:
    low, high = poisson_interval(count)
    assert low <= count <= high
    assert stats.poisson.cdf(count, high) == pytest.approx(0.025, abs=1e-9)
    assert count == 0 or stats.poisson.sf(count - 1, low) == pytest.approx(0.025, abs=1e-9)


def test_a_rate_is_a_count_over_its_exposure() -> None:
    rate = rate_of(5, 2.5)
    assert rate.per_km2_month == 2.0
    assert (rate.low95, rate.high95) == pytest.approx((1.6234864 / 2.5, 11.6683321 / 2.5), abs=1e-7)


@pytest.mark.parametrize("exposure", [None, 0.0])
def test_without_exposure_there_is_no_rate(exposure: float | None) -> None:
    rate = rate_of(3, exposure)
    assert (rate.count, rate.per_km2_month, rate.low95, rate.high95) == (3, None, None, None)


def test_the_median_of_ten_lies_between_the_second_and_the_ninth() -> None:
    """David and Nagaraja, table 7.1: from the 2nd to the 9th of ten covers the median with 97.9 %."""
    found = percentile([float(value) for value in range(10, 0, -1)], missing=0, percent=50)
    assert (found.value_s, found.low95_s, found.high95_s) == (5.0, 2.0, 9.0)


@pytest.mark.parametrize(
    ("values", "missing", "percent", "expected"),
    [
        ([], 0, 50, (None, None, None)),
        ([], 7, 50, (None, None, None)),
        ([4.0], 0, 50, (4.0, None, None)),  # one says nothing about where the median may be
        ([float(value) for value in range(1, 11)], 0, 99, (10.0, 9.0, None)),  # checked below by the binomial
        ([1.0, 2.0, 3.0], 7, 50, (None, 2.0, None)),  # 3 of 10 came about: the median did not
    ],
)
def test_percentiles_say_where_they_cannot_tell(
    values: list[float], missing: int, percent: int, expected: tuple[float | None, ...]
) -> None:
    found = percentile(values, missing=missing, percent=percent)
    assert (found.value_s, found.low95_s, found.high95_s) == expected


@settings(deadline=None)
@given(total=st.integers(1, 120), missing=st.integers(0, 40), percent=st.integers(1, 99))
def test_ends_of_a_percentile_are_the_narrowest_that_each_leave_a_fortieth(
    total: int, missing: int, percent: int
) -> None:
    missing = min(missing, total)
    values = [float(rank) for rank in range(1, total - missing + 1)]
    found = percentile(values, missing=missing, percent=percent)
    share = percent / 100

    def chance_below(rank: int) -> float:
        """That the percentile lies below the value of this rank: fewer than so many values are below it."""
        return float(stats.binom.cdf(rank - 1, total, share))

    lows = [rank for rank in range(1, total + 1) if chance_below(rank) <= 0.025]
    highs = [rank for rank in range(1, total + 1) if 1 - chance_below(rank) <= 0.025]
    low = max(lows, default=math.inf)
    high = min(highs, default=math.inf)
    assert found.low95_s == (low if low <= len(values) else None)
    assert found.high95_s == (high if high <= len(values) else None)
    if found.value_s is not None:
        assert (found.low95_s or 0) <= found.value_s <= (found.high95_s or math.inf)


def test_the_interval_of_a_percentile_holds_it_at_least_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    truth_s, held = -math.log(0.1), 0
    for _ in range(2000):
        found = percentile(list(rng.exponential(size=60)), missing=0, percent=90)
        held += (found.low95_s or 0.0) <= truth_s <= (found.high95_s or math.inf)
    # At least 95 %; three standard deviations of 2000 draws are 1.5 %.
    assert held / 2000 >= 0.935
