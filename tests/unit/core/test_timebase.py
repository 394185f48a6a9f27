"""UTC instants to the nanosecond, and event time beside wall time."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

import shotline.timebase
from shotline.errors import InputError
from shotline.timebase import EventClock, format_utc, parse_utc

INSTANTS_NS = st.integers(-(2**63), 2**63 - 1)
"""What the wire can carry: 1677 to 2262."""
LIVE_NS = 1_545_180_566_123_456_789


def test_public_names_exist() -> None:
    assert set(shotline.timebase.__all__) == {"EventClock", "format_utc", "parse_utc"}
    assert all(hasattr(shotline.timebase, name) for name in shotline.timebase.__all__)


@given(INSTANTS_NS)
def test_text_and_back_is_exact_to_the_nanosecond(time_ns: int) -> None:
    assert parse_utc(format_utc(time_ns, digits=9)) == time_ns


@given(INSTANTS_NS, st.integers(0, 9))
def test_fewer_digits_round_by_at_most_half_a_step(time_ns: int, digits: int) -> None:
    step = 10 ** (9 - digits)
    error = parse_utc(format_utc(time_ns, digits=digits)) - time_ns
    assert -step < 2 * error <= step


@given(st.integers(0, 4 * 10**9), st.integers(0, 999_999))
def test_agrees_with_the_standard_library_in_microseconds(seconds: int, micros: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds, microseconds=micros)
    time_ns = seconds * 10**9 + micros * 1000
    assert format_utc(time_ns) == moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert parse_utc(moment.isoformat()) == time_ns


@pytest.mark.parametrize(
    ("time_ns", "digits", "text"),
    [
        (0, 6, "1970-01-01T00:00:00.000000Z"),
        (-1, 9, "1969-12-31T23:59:59.999999999Z"),
        (LIVE_NS, 9, "2018-12-19T00:49:26.123456789Z"),
        (LIVE_NS, 6, "2018-12-19T00:49:26.123457Z"),
        (LIVE_NS, 3, "2018-12-19T00:49:26.123Z"),
        (LIVE_NS, 0, "2018-12-19T00:49:26Z"),
        (500_000_000, 0, "1970-01-01T00:00:01Z"),
        (499_999_999, 0, "1970-01-01T00:00:00Z"),
        (-500_000_000, 0, "1970-01-01T00:00:00Z"),
        (-500_000_001, 0, "1969-12-31T23:59:59Z"),
        (1_577_836_799_999_999_999, 6, "2020-01-01T00:00:00.000000Z"),
        (1_582_934_400_000_000_000, 0, "2020-02-29T00:00:00Z"),
    ],
)
def test_text_of_an_instant(time_ns: int, digits: int, text: str) -> None:
    assert format_utc(time_ns, digits=digits) == text


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2018-12-19T00:49:26Z", "2018-12-19T00:49:26.000000000Z"),
        ("2018-12-19 00:49:26Z", "2018-12-19T00:49:26Z"),
        ("2018-12-18T19:49:26-05:00", "2018-12-19T00:49:26Z"),
        ("2018-12-19T06:19:26.5+05:30", "2018-12-19T00:49:26.500Z"),
        ("2020-01-01T00:30:00+01:00", "2019-12-31T23:30:00Z"),
        ("2019-12-31T23:30:00-01:00", "2020-01-01T00:30:00Z"),
        ("2018-12-19T00:49:26.1Z", "2018-12-19T00:49:26.100000000Z"),
        ("1969-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.999999999+00:00"),
    ],
)
def test_offsets_and_short_fractions(text: str, same: str) -> None:
    assert parse_utc(text) == parse_utc(same)


@pytest.mark.parametrize(
    "text",
    [
        "2018-12-19T00:49:26",
        "2018-12-19",
        "",
        "noon",
        "1545180566",
        "2018-12-19T00:49Z",
        "2018-12-19T00:49:26.Z",
        "2018-12-19T00:49:26.0000000000Z",
        "2018-12-19T00:49:26z",
        "2018-12-19T00:49:26Z\n",
        " 2018-12-19T00:49:26Z",
    ],
)
def test_what_is_not_a_complete_instant_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_utc(text, source="arrivals.csv", field="time_utc", line=7)
    assert str(caught.value) == (
        f"arrivals.csv:7: time_utc: '{text}' is not a UTC time; "
        "write it like 2018-12-19T00:49:26.000Z, with Z or an offset"
    )


@pytest.mark.parametrize(
    "text",
    [
        "2019-02-29T00:00:00Z",
        "2018-13-01T00:00:00Z",
        "2018-12-19T24:00:00Z",
        "2016-12-31T23:59:60Z",
        "2018-12-19T00:49:26+24:00",
    ],
)
def test_a_day_or_clock_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_utc(text, source="log.csv", field="time", line=2)
    # The rest of the sentence is Python's own.
    assert str(caught.value).startswith(f"log.csv:2: time: '{text}' is not a UTC time: ")


class TestEventClock:
    @given(INSTANTS_NS)
    def test_a_live_clock_shows_the_very_same_nanosecond(self, wall_ns: int) -> None:
        # A float64 product would step by 256 ns here.
        assert EventClock().event_ns(wall_ns) == wall_ns
        assert EventClock().wall_ns(wall_ns) == wall_ns

    def test_the_given_instant_is_the_same_on_both(self) -> None:
        clock = EventClock(event_epoch_ns=LIVE_NS, wall_epoch_ns=77, factor=10.0)
        assert clock.event_ns(77) == LIVE_NS
        assert clock.wall_ns(LIVE_NS) == 77

    def test_factor_ten_passes_ten_event_seconds_in_a_wall_second(self) -> None:
        clock = EventClock(event_epoch_ns=LIVE_NS, wall_epoch_ns=77, factor=10.0)
        assert clock.event_ns(77 + 10**9) == LIVE_NS + 10**10
        assert clock.event_ns(77 - 10**9) == LIVE_NS - 10**10
        assert clock.wall_ns(LIVE_NS + 10**10) == 77 + 10**9

    @given(INSTANTS_NS, INSTANTS_NS, INSTANTS_NS, st.floats(0.01, 1.0))
    def test_a_slow_replay_finds_every_event_instant_again(
        self, event_epoch_ns: int, wall_epoch_ns: int, event_ns: int, factor: float
    ) -> None:
        clock = EventClock(event_epoch_ns, wall_epoch_ns, factor)
        assert clock.event_ns(clock.wall_ns(event_ns)) == event_ns

    @given(INSTANTS_NS, INSTANTS_NS, INSTANTS_NS, st.floats(1.0, 1000.0))
    def test_a_fast_replay_finds_every_wall_instant_again(
        self, event_epoch_ns: int, wall_epoch_ns: int, wall_ns: int, factor: float
    ) -> None:
        clock = EventClock(event_epoch_ns, wall_epoch_ns, factor)
        assert clock.wall_ns(clock.event_ns(wall_ns)) == wall_ns

    @given(st.lists(INSTANTS_NS, min_size=2, max_size=2), st.floats(0.01, 1000.0))
    def test_event_time_never_runs_backwards(self, walls_ns: list[int], factor: float) -> None:
        clock = EventClock(factor=factor)
        early, late = sorted(walls_ns)
        assert clock.event_ns(early) <= clock.event_ns(late)

    @pytest.mark.parametrize("factor", [0.0, -1.0, math.nan, math.inf])
    def test_a_pace_that_is_no_pace_is_refused(self, factor: float) -> None:
        with pytest.raises(InputError, match=r"^pace factor \S+ is not more than 0 and finite$"):
            EventClock(factor=factor)
