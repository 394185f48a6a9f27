"""The pace of a node: what acknowledgements do to its window and to its patience."""

from __future__ import annotations

from itertools import pairwise

from sensor_node.pacing import Pace


def test_while_acknowledgements_come_at_once_nothing_is_held_back() -> None:
    pace = Pace(8)
    for number in range(50):
        pace.acknowledged(0.05, now_s=float(number))
    assert (pace.window(), pace.is_behind(), pace.patience_s) == (8, False, 0.2)


def test_a_late_one_halves_the_window_once_for_all_that_was_on_its_way() -> None:
    pace = Pace(64)
    pace.acknowledged(0.1, now_s=99.0)
    for _ in range(10):
        pace.acknowledged(3.0, now_s=100.0)
    assert (pace.window(), pace.is_behind(), pace.patience_s) == (32, True, 12.0)
    pace.acknowledged(3.0, now_s=102.9)
    assert pace.window() == 32
    pace.acknowledged(3.0, now_s=103.0)
    assert pace.window() == 16


def test_some_are_always_on_their_way_and_nothing_waits_for_ever() -> None:
    pace = Pace(64)
    pace.acknowledged(0.1, now_s=-1.0)
    for number in range(20):
        pace.acknowledged(60.0, now_s=1000.0 * number)
    assert (pace.window(), pace.patience_s) == (4, 120.0)


def test_it_opens_again_by_one_for_each_that_comes_at_once_and_forgets_the_wait_by_and_by() -> None:
    pace = Pace(64)
    pace.acknowledged(0.1, now_s=-1.0)
    pace.acknowledged(8.0, now_s=0.0)
    assert pace.window() == 32
    patience_s = [pace.patience_s]
    for number in range(40):
        pace.acknowledged(0.0, now_s=9.0 + number)
        patience_s.append(pace.patience_s)
    assert (pace.window(), pace.is_behind()) == (64, False)
    # Each takes an eighth off.
    assert patience_s[0] == 32.0
    assert all(after == 0.875 * before for before, after in pairwise(patience_s))


def test_what_is_overdue_halves_it_too_but_says_nothing_of_how_long_it_takes() -> None:
    pace = Pace(64)
    pace.overdue(0.5, now_s=0.0)
    assert pace.window() == 64
    pace.overdue(2.0, now_s=0.0)
    pace.overdue(2.0, now_s=1.9)
    assert pace.window() == 32
    pace.overdue(4.0, now_s=2.0)
    assert (pace.window(), pace.patience_s) == (16, 0.0)


def test_while_the_oldest_waits_no_more_go_out() -> None:
    pace = Pace(64)
    assert (pace.window(1.0), pace.is_behind(1.0)) == (64, False)
    assert (pace.window(1.01), pace.is_behind(1.01)) == (4, True)
    assert pace.window() == 64


def test_a_slow_line_is_no_server_that_is_behind() -> None:
    pace = Pace(64)
    for number in range(20):
        pace.acknowledged(1.5 + 0.05 * number, now_s=float(number))
    assert (pace.window(2.9), pace.is_behind(2.9)) == (64, False)
    pace.acknowledged(3.1, now_s=30.0)
    assert pace.window() == 32


def test_a_window_that_is_small_anyway_stays() -> None:
    pace = Pace(2)
    pace.acknowledged(0.1, now_s=0.0)
    pace.acknowledged(5.0, now_s=1.0)
    assert (pace.window(), pace.window(9.0)) == (2, 2)
