"""The real chronyd, fed with pulses that Python makes. With -x it never touches the clock of this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from chrony_bench import CHRONYC, CHRONYD, MAX_CLOCK_ERROR_PPM, PATIENCE_S, PULSE_NOISE_S, Chrony, state_of

from sensor_node.chrony import read_utc
from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from shotline.domain import ClockState
from shotline.errors import EdgeError
from shotline.units import NS_PER_S

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(CHRONYD is None or CHRONYC is None, reason="chrony is not installed: apt-get install chrony"),
]


@pytest.fixture
def chrony() -> Iterator[Chrony]:
    with ExitStack() as stack:
        yield Chrony(stack)


def test_from_nothing_to_lock_through_loss_and_back(chrony: Chrony) -> None:
    chrony.start_with_pulses()
    nothing = chrony.read()
    assert (nothing.synchronised, nothing.leap, nothing.stratum) == (False, "unsynchronised", 0)
    assert nothing.bound_ns == UNTIMED_SIGMA_NS
    assert state_of(nothing) is ClockState.UNTIMED

    # Pulses scatter by 2 us; measured, the bound is 3 to 15 us, wider where the machine is busy.
    chrony.until(chrony.is_within_50_us, "the clock is within 50 us")
    locked = chrony.read()
    assert (locked.reference, locked.stratum, locked.leap) == ("PPS", 1, "normal")
    assert abs(locked.offset_s) < 50e-6

    # Nothing comes any more: chronyd stays "Normal", and its dispersion grows by maxclockerror and skew.
    until_s = time.monotonic() + 1.0
    chrony.until(lambda: time.monotonic() > until_s, "the last pulse is worked in", pulses=False)
    before_s = time.monotonic()
    first = chrony.read()
    first_s = time.monotonic()
    chrony.until(lambda: state_of(chrony.read()) is ClockState.HOLDOVER, "holdover", pulses=False)
    last_s = time.monotonic()
    last = chrony.read()
    after_s = time.monotonic()
    assert last.synchronised
    assert last.reference_time_s == first.reference_time_s
    grown_us = 1e6 * (last.root_dispersion_s - first.root_dispersion_s)
    least_ppm = MAX_CLOCK_ERROR_PPM + first.skew_ppm
    # The rate that chronyd was not sure about adds to it: a fraction of the skew. Skew is given to 0.001 ppm.
    most_ppm = MAX_CLOCK_ERROR_PPM + 2.0 * first.skew_ppm + 0.1
    assert (last_s - first_s) * (least_ppm - 0.001) - 0.002 < grown_us < (after_s - before_s) * most_ppm + 0.002
    assert last.bound_ns > first.bound_ns

    chrony.until(chrony.is_within_50_us, "the pulse is followed again")


@pytest.mark.parametrize("offset_s", [0.002, -0.003])
def test_offset_is_what_the_system_clock_lacks(chrony: Chrony, offset_s: float) -> None:
    """With -x chronyd cannot correct the clock, so its offset stays to be seen, and the bound holds it."""
    chrony.offset_s = offset_s
    chrony.start_with_pulses()
    chrony.until(lambda: chrony.read().synchronised, "chronyd follows the pulse")
    tracking = chrony.read()
    # Within the noise of the first few pulses; ten sigma of one.
    assert tracking.offset_s == pytest.approx(offset_s, abs=10 * PULSE_NOISE_S)
    assert tracking.bound_ns >= abs(tracking.offset_s) * NS_PER_S


def test_local_mode_is_no_time(chrony: Chrony) -> None:
    """chronyd calls itself synchronised, with error 0."""
    chrony.start("local stratum 10")
    chrony.until(lambda: chrony.read().leap == "normal", "chronyd follows itself", pulses=False)
    tracking = chrony.read()
    assert (tracking.reference, tracking.stratum) == ("127.127.1.1", 10)
    assert not tracking.synchronised
    assert tracking.bound_ns == UNTIMED_SIGMA_NS
    assert state_of(tracking) is ClockState.UNTIMED


def test_chronyd_that_is_gone_is_an_edge_error(chrony: Chrony) -> None:
    process = chrony.start_with_pulses()
    process.terminate()
    assert process.wait(PATIENCE_S) == 0
    with pytest.raises(EdgeError, match=r"chronyc ended with 1 and said: .*daemon; does chronyd run"):
        chrony.read()


def test_the_clocks_of_the_kernel_are_read_as_one(chrony: Chrony) -> None:
    """What a node does for each block of sound; chronyd beside it does not step UTC."""
    chrony.start_with_pulses()
    readings = [
        read_utc(lambda: time.clock_gettime_ns(time.CLOCK_MONOTONIC), time.time_ns, readings=9) for _ in range(50)
    ]
    # Half of 50 best-of-nine brackets: 0.3 us measured on an idle machine.
    assert sorted(reading.bracket_ns for reading in readings)[25] < 100_000
    differences_ns = [reading.utc_ns - reading.monotonic_ns for reading in readings]
    assert max(differences_ns) - min(differences_ns) < 1_000_000
