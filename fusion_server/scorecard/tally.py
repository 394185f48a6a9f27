"""Counting: outcomes, reasons, weeks, latencies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from fusion_server.review import Outcome, Standing, standing
from fusion_server.scorecard.document import LatencyScore, Outcomes, OutcomeScore, ReasonCount, WeekScore
from fusion_server.scorecard.evidence import Case
from fusion_server.scorecard.intervals import percentile
from shotline.timebase import format_utc
from shotline.units import NS_PER_S
from shotline_models.metrics import Share, share_of

__all__ = ["UNDECIDED", "Tally", "latencies", "monday_ns", "outcomes", "tally", "weeks"]

UNDECIDED = "undecided"
_PERCENTS = (50, 90, 99)
_WEEK_NS = 7 * 86_400 * NS_PER_S
_MONDAY_NS = 4 * 86_400 * NS_PER_S
"""The first Monday after 1970."""


class Tally(NamedTuple):
    """How many incidents there are of each outcome."""

    confirmed: int
    dismissed: int
    undetermined: int
    undecided: int

    @property
    def incidents(self) -> int:
        """All of them."""
        return sum(self)

    @property
    def decided(self) -> int:
        """Those of which something stands, undetermined ones too."""
        return self.incidents - self.undecided

    @property
    def confirmed_of_decided(self) -> Share:
        """Share of confirmed ones of those that were decided."""
        return share_of(self.confirmed, self.decided)

    @property
    def confirmed_of_all(self) -> Share:
        """Share of confirmed ones of all: nobody looks better for leaving the doubtful undecided."""
        return share_of(self.confirmed, self.incidents)


def tally(cases: Iterable[Case], *, two_persons: bool) -> Tally:
    """Count cases by what stands."""
    counts = Counter(_outcome(standing(case.decisions, two_persons=two_persons)) for case in cases)
    return Tally(*(counts[name] for name in (*Outcome, UNDECIDED)))


def outcomes(cases: Sequence[Case], *, two_persons: bool, other_scenes: int) -> Outcomes:
    """Return what became of the cases."""
    stands = [standing(case.decisions, two_persons=two_persons) for case in cases]
    counts = tally(cases, two_persons=two_persons)
    named = dict(zip((*Outcome, UNDECIDED), counts, strict=True))
    reasons = Counter(
        (item.decision.outcome.value, item.decision.reason) for item in stands if item.decision is not None
    )
    return Outcomes(
        incidents=counts.incidents,
        decided=counts.decided,
        rows=tuple(
            OutcomeScore(
                outcome=str(name),
                count=count,
                of_all=share_of(count, counts.incidents),
                of_decided=None if name == UNDECIDED else share_of(count, counts.decided),
            )
            for name, count in named.items()
        ),
        reasons=tuple(
            ReasonCount(outcome=outcome, reason=reason, count=count)
            for (outcome, reason), count in sorted(reasons.items(), key=lambda item: (item[0][0], -item[1], item[0][1]))
        ),
        retracted_undecided=sum(
            case.retracted and item.outcome is None for case, item in zip(cases, stands, strict=True)
        ),
        second_awaited=sum(item.waits_for_second is not None for item in stands),
        disputed=sum(item.disputed for item in stands),
        other_scenes=other_scenes,
    )


def weeks(cases: Sequence[Case], *, two_persons: bool, since_ns: int, until_ns: int) -> tuple[WeekScore, ...]:
    """Return the tally of each week of a period, those with nothing too."""
    by_week: dict[int, list[Case]] = {}
    for case in cases:
        by_week.setdefault(monday_ns(case.time_ns), []).append(case)
    found = []
    for week_ns in range(monday_ns(since_ns), until_ns, _WEEK_NS):
        counts = tally(by_week.get(week_ns, ()), two_persons=two_persons)
        found.append(
            WeekScore(
                week_utc=format_utc(week_ns, digits=0)[:10],
                incidents=counts.incidents,
                **counts._asdict(),
                confirmed_of_decided=counts.confirmed_of_decided,
                confirmed_of_all=counts.confirmed_of_all,
            )
        )
    return tuple(found)


def latencies(cases: Sequence[Case], *, two_persons: bool) -> tuple[LatencyScore, ...]:
    """Return how long after the sound things came about: the first fix, each sink, somebody, a decision."""
    sinks = sorted({sink for case in cases for sink in case.delivered_ns})

    def taken_by(sink: str) -> Callable[[Case], int | None]:
        return lambda case: case.delivered_ns[sink]

    return (
        _latency("first fix", cases, lambda case: case.fixed_ns),
        *(
            _latency(f"delivery to {sink}", [case for case in cases if sink in case.delivered_ns], taken_by(sink))
            for sink in sinks
        ),
        _latency("acknowledgement", cases, _taken_on_ns),
        _latency("decision", cases, lambda case: _decided_ns(case, two_persons=two_persons)),
    )


def _latency(until: str, cases: Sequence[Case], when_ns: Callable[[Case], int | None]) -> LatencyScore:
    ends = [(case, when_ns(case)) for case in cases]
    values_s = [(end_ns - case.sound_ns) / NS_PER_S for case, end_ns in ends if end_ns is not None]
    missing = len(cases) - len(values_s)
    return LatencyScore(
        until=until,
        incidents=len(cases),
        came_about=len(values_s),
        percentiles=tuple(percentile(values_s, missing=missing, percent=percent) for percent in _PERCENTS),
    )


def _taken_on_ns(case: Case) -> int | None:
    """Return when somebody took it on: acknowledged it, or decided at once."""
    times_ns = [item.time_ns for item in case.acknowledgements] + [item.time_ns for item in case.decisions]
    return min(times_ns, default=None)


def _decided_ns(case: Case, *, two_persons: bool) -> int | None:
    """Return when something stood for the first time; a later correction is not what people waited for."""
    for count in range(1, len(case.decisions) + 1):
        first = case.decisions[:count]
        if standing(first, two_persons=two_persons).outcome is not None:
            return first[-1].time_ns
    return None


def _outcome(stands: Standing) -> str:
    return UNDECIDED if stands.outcome is None else stands.outcome.value


def monday_ns(time_ns: int) -> int:
    """Return when the week of an instant began: Monday, 00:00 UTC."""
    return time_ns - (time_ns - _MONDAY_NS) % _WEEK_NS
