"""How much was covered when: the plan with the nodes that were heard, hour by hour. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusion_server.scorecard.heard import HOUR_NS, Heard, HeardHour
from shotline.timebase import format_utc
from shotline_calibration.plan.failures import without
from shotline_calibration.plan.planner import Planner
from shotline_calibration.plan.situation import PlannedNode
from shotline_calibration.plan.summary import Summary, summary
from shotline_recordings.work import Progress

__all__ = ["DAY_HOURS", "Period", "history", "history_csv"]

DAY_HOURS = 24
_MINUTES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """One hour or day.

    Parameters
    ----------
    begin_ns : int
        UTC nanoseconds.
    minutes : int
        Of the period.
    server_minutes : int
        In which the server ran; in the others nothing was covered.
    nodes : float
        That were heard on average while it ran.
    covered_share, detect_probability : float
        Of the area and of shots spread evenly over it; averages over all minutes of the period.
    """

    begin_ns: int
    minutes: int
    server_minutes: int
    nodes: float
    covered_share: float
    detect_probability: float


def history(
    rows: Sequence[HeardHour],
    planner: Planner,
    nodes: Sequence[PlannedNode],
    *,
    since_ns: int,
    until_ns: int,
    hours: int = 1,
    progress: Progress = lambda *_: None,
) -> tuple[Period, ...]:
    """Return the periods from ``since_ns`` to ``until_ns``, in order.

    Parameters
    ----------
    rows : sequence of HeardHour
    planner : Planner
        A coarse one will do.
    nodes : sequence of PlannedNode
        Where nodes stand today; others that were heard then are not counted.
    since_ns, until_ns : int
        Whole hours.
    hours : int
        Of one period.
    progress : callable (what, done, of_how_many)
    """
    working = [node for node in nodes if not node.failed]
    whole = planner.figures(working)
    known = frozenset(node.site.node for node in working)
    kept: dict[frozenset[str], Summary] = {}

    def of(heard: frozenset[str]) -> Summary:
        if heard not in kept:
            gone = [node for node in working if node.site.node not in heard]
            kept[heard] = summary(without(planner, working, gone, whole), planner.cells)
        return kept[heard]

    by_hour: dict[int, list[HeardHour]] = {}
    for row in rows:
        by_hour.setdefault(row.hour_ns, []).append(row)
    found = []
    begins = range(since_ns, until_ns, hours * HOUR_NS)
    for done, begin_ns in enumerate(begins, start=1):
        end_ns = min(begin_ns + hours * HOUR_NS, until_ns)
        ran, heard_minutes, covered, detected = 0, 0.0, 0.0, 0.0
        for hour_ns in range(begin_ns, end_ns, HOUR_NS):
            for names, minutes in Heard(by_hour.get(hour_ns, ()), since_ns=hour_ns, until_ns=hour_ns + HOUR_NS).runs():
                here = of(names & known)
                ran += minutes
                heard_minutes += minutes * len(names & known)
                covered += minutes * here.covered_km2 / here.area_km2
                detected += minutes * here.detect_probability
        span = round((end_ns - begin_ns) / HOUR_NS) * _MINUTES
        found.append(
            Period(
                begin_ns=begin_ns,
                minutes=span,
                server_minutes=ran,
                nodes=heard_minutes / ran if ran else 0.0,
                covered_share=covered / span,
                detect_probability=detected / span,
            )
        )
        progress("history", done, len(begins))
    return tuple(found)


def history_csv(periods: Sequence[Period]) -> str:
    """Return the periods as CSV with a line of names."""
    lines = ["begin_utc,minutes,server_minutes,nodes,covered_share,detect_probability"]
    lines += [
        f"{format_utc(one.begin_ns, digits=0)},{one.minutes},{one.server_minutes},{one.nodes:.2f},"
        f"{one.covered_share:.4f},{one.detect_probability:.4f}"
        for one in periods
    ]
    return "\n".join(lines) + "\n"
