"""Made-up incidents, decisions, misses and heard minutes for the tests of the scorecard."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fusion_server.review import Acknowledgement, Decision, Outcome
from fusion_server.scorecard import Case, Evidence, HeardHour, Miss, Scorecard, ScorecardSettings, scorecard
from fusion_server.scorecard.areas import Area
from fusion_server.scorecard.coverage import CoverageRules
from shotline.domain import Site
from shotline.timebase import parse_utc

SECOND_NS = 1_000_000_000
HOUR_NS = 3_600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
SINCE_NS = parse_utc("2026-03-02T00:00:00Z")  # a Monday
UNTIL_NS = SINCE_NS + 14 * DAY_NS
ALL_HOUR = (1 << 60) - 1
SQUARE = [Site(name, x_m, y_m) for name, x_m, y_m in (("a", 0, 0), ("b", 200, 0), ("c", 200, 200), ("d", 0, 200))]
RULES = CoverageRules(min_nodes=4, hearing_range_m=1000.0)

_REASON = {"confirmed": "casings", "dismissed": "fireworks", "undetermined": "nothing_found"}


def decision(outcome: str, *, after_s: float = 60.0, person: str = "ann", number: int = 1) -> Decision:
    """A decision so long after the begin of the period."""
    return Decision(
        number=number,
        incident_id="i",
        revision=1,
        outcome=Outcome(outcome),
        reason=_REASON[outcome],
        note="",
        person=person,
        time_ns=SINCE_NS + round(after_s * SECOND_NS),
    )


def case(
    name: str = "i",
    *decisions: Decision,
    at_s: float = 0.0,
    fixed_after_s: float = 3.0,
    place: tuple[float, float] = (100.0, 100.0),
    retracted: bool = False,
    acknowledged_after_s: float | None = None,
    delivered_after_s: Mapping[str, float | None] | None = None,
) -> Case:
    """An incident whose shot was fired so long after the begin of the period; ``after`` counts from the shot."""
    sound_ns = SINCE_NS + round(at_s * SECOND_NS)

    def after_ns(seconds: float) -> int:
        return sound_ns + round(seconds * SECOND_NS)

    taken = () if acknowledged_after_s is None else (acknowledged_after_s,)
    return Case(
        incident_id=name,
        time_ns=sound_ns,
        sound_ns=sound_ns,
        fixed_ns=after_ns(fixed_after_s),
        x_m=place[0],
        y_m=place[1],
        retracted=retracted,
        decisions=decisions,
        acknowledgements=[
            Acknowledgement(incident_id=name, person="bo", time_ns=after_ns(seconds)) for seconds in taken
        ],
        delivered_ns={
            sink: None if seconds is None else after_ns(seconds) for sink, seconds in (delivered_after_s or {}).items()
        },
    )


def miss(number: int = 1, *, at_s: float = 0.0, place: tuple[float, float] = (100.0, 100.0)) -> Miss:
    """A reported miss so long after the begin of the period."""
    return Miss(
        number=number,
        time_ns=SINCE_NS + round(at_s * SECOND_NS),
        x_m=place[0],
        y_m=place[1],
        said_by="hospital",
        reason="a patient",
        person="ann",
        entered_ns=UNTIL_NS,
    )


def heard(nodes: Iterable[str], *, hours: int = 14 * 24, minutes: int = ALL_HOUR) -> list[HeardHour]:
    """The same minutes of the server and of nodes in each hour of the period."""
    return [HeardHour(SINCE_NS + hour * HOUR_NS, node, minutes) for hour in range(hours) for node in ("", *nodes)]


def made(
    *cases: Case,
    misses: Iterable[Miss] = (),
    hours: Iterable[HeardHour] = (),
    areas: Iterable[Area] = (),
    two_persons: bool = False,
) -> Scorecard:
    """The scorecard of two weeks of March 2026."""
    return scorecard(
        Evidence(cases=cases, misses=tuple(misses), heard=tuple(hours)),
        sites=SQUARE,
        areas=tuple(areas),
        settings=ScorecardSettings(coverage=RULES, two_persons=two_persons),
        since_ns=SINCE_NS,
        until_ns=UNTIL_NS,
        made_ns=UNTIL_NS,
    )
