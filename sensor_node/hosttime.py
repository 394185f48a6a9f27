"""What the host knows of UTC, read once a second: its clocks at one instant, and chronyd's word on them."""

from __future__ import annotations

from collections.abc import Callable

from sensor_node.chrony import Tracking, clock_state, read_utc
from sensor_node.config import TimeSection
from sensor_node.discipline.host import UtcReading
from sensor_node.sampleclock import UNTIMED_SIGMA_NS
from shotline.domain import ClockState
from shotline.errors import ShotlineError
from shotline.units import NS_PER_S

__all__ = ["HostTime"]

_ASK_AFTER_NS = 4 * NS_PER_S
_BELIEVE_NS = 30 * NS_PER_S
_DRIFT = 5e-6
"""How fast a clock that chronyd steers may go wrong between two questions: chronyd's default skew limit and its
maxclockerror are below it."""


class HostTime:
    """Reads the host's clocks, and asks chronyd every few seconds how good they are.

    Parameters
    ----------
    section : TimeSection
    monotonic_ns, utc_ns : callable () -> int
        ``time.monotonic_ns`` and ``time.time_ns``.
    tracking : callable () -> Tracking
        Asks chronyd; raises a `ShotlineError` when it does not answer. May take seconds.

    Attributes
    ----------
    tracking : Tracking | None
        What chronyd last said.
    problem : str
        Why it says nothing now; "" when it does.
    """

    def __init__(
        self,
        section: TimeSection,
        *,
        monotonic_ns: Callable[[], int],
        utc_ns: Callable[[], int],
        tracking: Callable[[], Tracking],
    ) -> None:
        self.tracking: Tracking | None = None
        self.problem = ""
        self._section = section
        self._monotonic_ns = monotonic_ns
        self._utc_ns = utc_ns
        self._ask = tracking
        self._asked_ns: int | None = None
        self._answered_ns = 0

    def read(self) -> UtcReading:
        """Return how CLOCK_MONOTONIC relates to UTC now; untimed when chronyd has said nothing for half a minute."""
        now_ns = self._monotonic_ns()
        if self._asked_ns is None or now_ns - self._asked_ns >= _ASK_AFTER_NS:
            self._asked_ns = now_ns
            try:
                self.tracking, self.problem = self._ask(), ""
                self._answered_ns = self._monotonic_ns()
            except ShotlineError as error:
                self.problem = str(error)
        pair = read_utc(self._monotonic_ns, self._utc_ns)
        age_ns = pair.monotonic_ns - self._answered_ns
        if self.tracking is None or age_ns > _BELIEVE_NS:
            return UtcReading(pair.monotonic_ns, pair.utc_ns, UNTIMED_SIGMA_NS, ClockState.UNTIMED)
        state = clock_state(
            self.tracking,
            pair.utc_ns,
            pulse_references=self._section.pulse_references,
            holdover_after_s=self._section.holdover_after_s,
        )
        bound_ns = self.tracking.bound_ns + pair.bracket_ns // 2 + round(_DRIFT * max(0, age_ns))
        leap = self.tracking.leap in ("insert", "delete")
        return UtcReading(pair.monotonic_ns, pair.utc_ns, min(bound_ns, UNTIMED_SIGMA_NS), state, leap)
