"""Reading chronyd: every field, every mistake, the bound, the state, and two clocks at one instant."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from chrony_lines import LOCAL, NOTHING, PULSE, SERVER
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_node.chrony import ClockPair, Tracking, clock_state, parse_tracking, read_tracking, read_utc
from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from shotline.domain import ClockState
from shotline.errors import EdgeError, InputError

PULSE_NS = 1_796_069_572_018_372_747


def changed(field: int, value: str, line: str = PULSE) -> str:
    """Return the line with another value in one field."""
    fields = line.strip().split(",")
    fields[field] = value
    return ",".join(fields) + "\n"


class TestParse:
    def test_every_field(self) -> None:
        assert parse_tracking(PULSE) == Tracking(
            reference="PPS",
            stratum=1,
            reference_time_s=1796069572.018372747,
            offset_s=0.002,
            frequency_ppm=-12.345,
            skew_ppm=0.113,
            root_delay_s=1e-9,
            root_dispersion_s=11.279e-6,
            leap="normal",
        )

    def test_server(self) -> None:
        tracking = parse_tracking(SERVER)
        assert (tracking.reference, tracking.stratum, tracking.offset_s) == ("192.0.2.1", 3, -0.00015)
        assert tracking.synchronised

    @pytest.mark.parametrize(
        ("text", "leap"),
        [
            ("Normal", "normal"),
            ("Insert second", "insert"),
            ("Delete second", "delete"),
            ("Not synchronised", "unsynchronised"),
        ],
    )
    def test_leap(self, text: str, leap: str) -> None:
        tracking = parse_tracking(changed(13, text))
        assert tracking.leap == leap
        assert tracking.synchronised == (leap != "unsynchronised")

    def test_nothing_is_followed(self) -> None:
        tracking = parse_tracking(NOTHING)
        assert (tracking.reference, tracking.stratum, tracking.leap) == ("", 0, "unsynchronised")
        assert not tracking.synchronised
        assert tracking.bound_ns == UNTIMED_SIGMA_NS

    def test_local_mode_of_chronyd_is_no_time(self) -> None:
        """``local stratum 10`` in chrony.conf: leap status normal, error 0, and nothing behind it."""
        tracking = parse_tracking(LOCAL)
        assert (tracking.reference, tracking.leap) == ("127.127.1.1", "normal")
        assert not tracking.synchronised
        assert tracking.bound_ns == UNTIMED_SIGMA_NS
        assert clock_state(tracking, PULSE_NS) is ClockState.UNTIMED

    def test_reference_without_a_name(self) -> None:
        assert parse_tracking(changed(1, "")).reference == "PPS"
        assert parse_tracking(changed(1, "", SERVER)).reference == "192.0.2.1"

    def test_fields_that_a_later_version_appends(self) -> None:
        assert parse_tracking(PULSE.strip() + ",more,4.5\n") == parse_tracking(PULSE)

    def test_delay_below_zero_does_not_shrink_the_bound(self) -> None:
        assert parse_tracking(changed(10, "-0.001")).root_delay_s == 0.0

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n",
            "506 Cannot talk to daemon\n",
            "Reference ID    : 50505300 (PPS)\nStratum         : 1\n",
            ",".join(PULSE.split(",")[:13]) + "\n",
            PULSE + PULSE,
        ],
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(InputError, match=r"chronyc -c tracking: .* is not one line of 14 fields .* called with -c"):
            parse_tracking(text)

    def test_long_text_is_refused(self) -> None:
        with pytest.raises(InputError, match="1001 characters, expected one line under 1000"):
            parse_tracking("x" * 1_001)

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            (0, "", "reference: '' is not a reference id of 8 hexadecimal digits"),
            (0, "PPS", "reference: 'PPS' is not a reference id"),
            (2, "", "stratum: '' is not a stratum from 0 to 16"),
            (2, "17", "stratum: '17' is not"),
            (2, "-1", "stratum: '-1' is not"),
            (2, "1.0", "stratum: '1.0' is not"),
            (2, "²", "stratum: '²' is not"),
            (3, "yesterday", "reference_time_s: 'yesterday' is not a decimal number"),
            (3, "-1.0", "reference_time_s: -1 is not within 0 to 9.22337e\\+09"),
            (3, "99999999999.0", "reference_time_s: 1e\\+11 is not within"),
            (4, "nan", "offset_s: 'nan' is not a decimal number"),
            (4, "1_0", "offset_s: '1_0' is not a decimal number"),
            (4, " 1.0", "offset_s: ' 1.0' is not a decimal number"),
            (7, "inf", "frequency_ppm: 'inf' is not a decimal number"),
            (9, "-0.1", "skew_ppm: -0.1 is not within 0 to inf"),
            (10, "1e9", "root_delay_s: '1e9' is not a decimal number"),
            (11, "-0.5", "root_dispersion_s: -0.5 is not within 0 to inf"),
            (11, "9" * 400, "root_dispersion_s: '9{40}' is not a decimal number"),
            (13, "normal", "leap: 'normal' is none of Normal, Insert second, Delete second, Not synchronised"),
        ],
    )
    def test_field_that_is_wrong_is_named(self, field: int, value: str, message: str) -> None:
        with pytest.raises(InputError, match=f"^chronyc -c tracking: {message}"):
            parse_tracking(changed(field, value))

    @settings(max_examples=60, deadline=None)
    @given(st.text(max_size=200), st.integers(0, 13))
    def test_whatever_it_is_it_is_read_or_refused(self, text: str, field: int) -> None:
        for line in (text, changed(field, text)):
            with suppress(InputError):
                assert isinstance(parse_tracking(line), Tracking)


class TestBound:
    @pytest.mark.parametrize("sign", [1, -1])
    def test_offset_dispersion_and_half_the_delay(self, sign: int) -> None:
        tracking = dataclasses.replace(
            parse_tracking(SERVER), offset_s=sign * 150e-6, root_dispersion_s=900e-6, root_delay_s=12e-3
        )
        # 150 us + 900 us + 12 ms / 2.
        assert tracking.bound_ns == 7_050_000

    def test_of_what_was_read(self) -> None:
        # 2 ms + 11.279 us + 0.5 ns, rounded half to even.
        assert parse_tracking(PULSE).bound_ns == 2_011_280

    def test_never_more_than_untimed(self) -> None:
        assert dataclasses.replace(parse_tracking(PULSE), offset_s=-1e300).bound_ns == UNTIMED_SIGMA_NS


class TestState:
    def test_nothing_is_untimed(self) -> None:
        assert clock_state(parse_tracking(NOTHING), PULSE_NS) is ClockState.UNTIMED

    def test_pulse(self) -> None:
        assert clock_state(parse_tracking(PULSE), PULSE_NS) is ClockState.PPS

    def test_pulse_of_another_name(self) -> None:
        tracking = parse_tracking(changed(1, "KPPS"))
        assert clock_state(tracking, PULSE_NS) is ClockState.NTP
        assert clock_state(tracking, PULSE_NS, pulse_references={"KPPS", "GPS1"}) is ClockState.PPS

    def test_server_that_is_called_like_a_pulse_is_none(self) -> None:
        assert clock_state(parse_tracking(changed(2, "2")), PULSE_NS) is ClockState.NTP

    def test_lost_pulse_is_holdover(self) -> None:
        tracking = dataclasses.replace(parse_tracking(PULSE), reference_time_s=1_000.0)
        assert clock_state(tracking, 1_064_000_000_000) is ClockState.PPS
        assert clock_state(tracking, 1_064_000_000_001) is ClockState.HOLDOVER
        assert clock_state(tracking, 1_011_000_000_000, holdover_after_s=10.0) is ClockState.HOLDOVER

    def test_old_answer_of_a_server_is_still_ntp(self) -> None:
        assert clock_state(parse_tracking(SERVER), PULSE_NS + 10**13) is ClockState.NTP


def python(code: str) -> list[str]:
    """Return a command that stands in for chronyc."""
    return [sys.executable, "-S", "-c", code]


class TestRead:
    def test_what_it_says_is_parsed(self) -> None:
        assert read_tracking(python(f"print({PULSE.strip()!r})"), timeout_s=30.0) == parse_tracking(PULSE)

    def test_language_of_the_system_is_set_aside(self) -> None:
        code = f"import os; assert os.environ['LC_ALL'] == 'C'; print({PULSE.strip()!r})"
        assert read_tracking(python(code), timeout_s=30.0).reference == "PPS"

    def test_garbage_is_an_input_error(self) -> None:
        with pytest.raises(InputError, match="is not one line of 14 fields"):
            read_tracking(python("import sys; sys.stdout.buffer.write(b'\\xff\\x00')"), timeout_s=30.0)

    def test_program_that_is_not_there(self) -> None:
        with pytest.raises(EdgeError, match=r"cannot run no-such-chronyc: No such file .*install chrony"):
            read_tracking(["no-such-chronyc"])

    def test_program_that_fails(self) -> None:
        with pytest.raises(EdgeError, match="ended with 1 and said: 506 Cannot talk to daemon; does chronyd run"):
            read_tracking(python("print('506 Cannot talk to daemon'); raise SystemExit(1)"), timeout_s=30.0)

    def test_program_that_fails_without_a_word(self) -> None:
        with pytest.raises(EdgeError, match="ended with 3 and said: nothing"):
            read_tracking(python("raise SystemExit(3)"), timeout_s=30.0)

    def test_program_that_does_not_answer(self) -> None:
        with pytest.raises(EdgeError, match=r"did not answer within 0\.2 s; does chronyd run"):
            read_tracking(python("import time; time.sleep(60)"), timeout_s=0.2)

    def test_no_command(self) -> None:
        with pytest.raises(InputError, match="command is empty"):
            read_tracking(())


def ticking(*values: int) -> Callable[[], int]:
    """Return a clock that says these values, one after the other."""
    left: Iterator[int] = iter(values)
    return lambda: next(left)


class TestReadUtc:
    def test_the_second_clock_is_dated_in_the_middle(self) -> None:
        assert read_utc(ticking(100, 140), ticking(7_000), readings=1) == ClockPair(120, 7_000, 40)

    def test_the_closest_triple_is_taken(self) -> None:
        monotonic = ticking(100, 150, 200, 210, 300, 311)
        assert read_utc(monotonic, ticking(1_000, 1_100, 1_200), readings=3) == ClockPair(205, 1_100, 10)

    def test_the_first_of_equals_is_taken(self) -> None:
        assert read_utc(ticking(0, 0, 5, 5), ticking(10, 20), readings=2) == ClockPair(0, 10, 0)

    def test_clock_that_goes_back(self) -> None:
        with pytest.raises(EdgeError, match="monotonic clock went back by 3 ns"):
            read_utc(ticking(100, 97), ticking(1), readings=1)

    def test_no_reading(self) -> None:
        with pytest.raises(InputError, match="readings: 0 readings, expected 1 or more"):
            read_utc(ticking(), ticking(), readings=0)

    def test_the_clocks_of_this_machine(self) -> None:
        first = read_utc(time.monotonic_ns, time.time_ns)
        second = read_utc(time.monotonic_ns, time.time_ns)
        # Measured: 0.3 us in the median; a busy machine interrupts, but not five times in a row for a millisecond.
        assert 0 <= first.bracket_ns < 1_000_000
        assert second.monotonic_ns > first.monotonic_ns
