"""Minutes in which the server ran and nodes were heard."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st
from scorecard_samples import ALL_HOUR, HOUR_NS, SECOND_NS, SINCE_NS, heard

from fusion_server.scorecard.heard import SERVER, Heard, HeardHour, HeardMinutes

MINUTE_NS = 60 * SECOND_NS


def test_hours_are_given_out_once_they_ended() -> None:
    minutes = HeardMinutes()
    assert minutes.begins_minute(SINCE_NS)
    assert not minutes.begins_minute(SINCE_NS + MINUTE_NS - 1)
    assert minutes.begins_minute(SINCE_NS + MINUTE_NS)
    minutes.note(["a"], now_ns=SINCE_NS)
    minutes.note([], now_ns=SINCE_NS + 59 * MINUTE_NS)
    minutes.note(["a", "b"], now_ns=SINCE_NS + HOUR_NS)
    assert minutes.take(ended_by_ns=SINCE_NS + HOUR_NS - 1) == []
    assert minutes.take(ended_by_ns=SINCE_NS + HOUR_NS) == [
        HeardHour(SINCE_NS, SERVER, 1 | 1 << 59),
        HeardHour(SINCE_NS, "a", 1),
    ]
    assert minutes.take(ended_by_ns=None) == [HeardHour(SINCE_NS + HOUR_NS, node, 1) for node in (SERVER, "a", "b")]
    assert minutes.take(ended_by_ns=None) == []


def test_what_is_put_back_is_joined_and_bounded() -> None:
    minutes = HeardMinutes()
    minutes.note(["a"], now_ns=SINCE_NS + MINUTE_NS)
    minutes.put_back([HeardHour(SINCE_NS, "a", 1)])
    assert HeardHour(SINCE_NS, "a", 0b11) in minutes.take(ended_by_ns=None)
    minutes.put_back(HeardHour(SINCE_NS + hour * HOUR_NS, SERVER, 1) for hour in range(60))
    assert [row.hour_ns for row in minutes.take(ended_by_ns=None)] == [
        SINCE_NS + hour * HOUR_NS for hour in range(12, 60)
    ]


def test_rows_of_two_runs_are_one_hour_and_the_period_cuts_it() -> None:
    rows = [
        HeardHour(SINCE_NS, SERVER, 0b0111),
        HeardHour(SINCE_NS, "a", 0b0011),
        HeardHour(SINCE_NS, SERVER, 0b1110),
        HeardHour(SINCE_NS, "a", 0b11100),  # the last minute without the server: not known to have run
    ]
    whole = Heard(rows, since_ns=SINCE_NS, until_ns=SINCE_NS + HOUR_NS)
    assert whole.server_hours == 4 / 60
    assert whole.node_hours() == {"a": 4 / 60}
    cut = Heard(rows, since_ns=SINCE_NS + MINUTE_NS, until_ns=SINCE_NS + 3 * MINUTE_NS)
    assert cut.server_hours == 2 / 60
    assert cut.listening(SINCE_NS) is None
    assert cut.listening(SINCE_NS + MINUTE_NS) == {"a"}


@settings(deadline=None)
@given(seed=st.integers(0, 10_000))
def test_runs_are_the_minutes_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    rows = [
        HeardHour(SINCE_NS + hour * HOUR_NS, node, rng.choice([ALL_HOUR, 0, rng.getrandbits(60)]))
        for hour in range(3)
        for node in (SERVER, "a", "b")
    ]
    found = Heard(rows, since_ns=SINCE_NS, until_ns=SINCE_NS + 3 * HOUR_NS)
    one_by_one = [found.listening(SINCE_NS + minute * MINUTE_NS) for minute in range(180)]
    assert [nodes for nodes, minutes in found.runs() for _ in range(minutes)] == [
        nodes for nodes in one_by_one if nodes is not None
    ]
    assert found.server_hours == sum(nodes is not None for nodes in one_by_one) / 60
    assert found.node_hours().get("a", 0.0) == sum("a" in (nodes or ()) for nodes in one_by_one) / 60


def test_samples_are_what_they_say() -> None:
    found = Heard(heard("ab", hours=5), since_ns=SINCE_NS, until_ns=SINCE_NS + 5 * HOUR_NS)
    assert (found.server_hours, found.node_hours()) == (5.0, {"a": 5.0, "b": 5.0})
