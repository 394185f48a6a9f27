"""The scorecard, from all that is kept about a period."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fusion_server.scorecard.areas import Area
from fusion_server.scorecard.coverage import CoverageRules, Parts, parts_of
from fusion_server.scorecard.document import AreaScore, Hours, NodeHours, Scorecard, Settings
from fusion_server.scorecard.evidence import Case, Evidence
from fusion_server.scorecard.heard import HOUR_NS, Heard
from fusion_server.scorecard.intervals import rate_of
from fusion_server.scorecard.misses import scored_misses
from fusion_server.scorecard.tally import latencies, outcomes, tally, weeks
from shotline.domain import Site
from shotline.errors import InputError
from shotline.timebase import format_utc

__all__ = ["ELSEWHERE", "EVERYWHERE", "ScorecardSettings", "scorecard"]

ELSEWHERE = "(in none of these)"
EVERYWHERE = "(everywhere)"
_HOURS_PER_MONTH = 365.25 / 12 * 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ScorecardSettings:
    """How it is counted.

    Parameters
    ----------
    two_persons : bool
        As in `fusion_server.review.ReviewRules`.
    coverage : CoverageRules
    near_m, near_s : float
        A reported miss this near to an incident, in place and time, was told after all.
    scene : str
        Name of the recording when it is a replay.
    """

    coverage: CoverageRules
    two_persons: bool = False
    near_m: float = 500.0
    near_s: float = 300.0
    scene: str = ""


def scorecard(
    evidence: Evidence,
    *,
    sites: Sequence[Site],
    areas: Sequence[Area] = (),
    settings: ScorecardSettings,
    since_ns: int,
    until_ns: int,
    made_ns: int,
) -> Scorecard:
    """Return the scorecard of a period.

    Parameters
    ----------
    evidence : Evidence
        Of the period, and `ScorecardSettings.near_s` around it.
    sites : sequence of Site
        Surveyed nodes.
    areas : sequence of Area
        To be counted apart.
    settings : ScorecardSettings
    since_ns, until_ns : int
        The period, its end exclusive, UTC nanoseconds.
    made_ns : int
        Now.

    Raises
    ------
    InputError
        The period has no length.
    """
    if not since_ns < until_ns:
        since_utc, until_utc = format_utc(since_ns, digits=0), format_utc(until_ns, digits=0)
        raise InputError(f"from {since_utc} to {until_utc} is no time at all; give an end after the begin")
    cases = [case for case in evidence.cases if since_ns <= case.time_ns < until_ns]
    heard = Heard(evidence.heard, since_ns=since_ns, until_ns=until_ns)
    parts = Parts(areas, sites, settings.coverage)
    two_persons = settings.two_persons
    return Scorecard(
        since_utc=format_utc(since_ns, digits=0),
        until_utc=format_utc(until_ns, digits=0),
        made_utc=format_utc(made_ns, digits=0),
        scene=settings.scene,
        settings=Settings(
            two_persons=two_persons,
            min_nodes=settings.coverage.min_nodes,
            hearing_range_m=settings.coverage.hearing_range_m,
            cell_m=parts.cell_m,
            near_m=settings.near_m,
            near_s=settings.near_s,
        ),
        outcomes=outcomes(cases, two_persons=two_persons, other_scenes=evidence.other_scenes),
        latencies=latencies(cases, two_persons=two_persons),
        misses=scored_misses(
            [miss for miss in evidence.misses if since_ns <= miss.time_ns < until_ns],
            evidence.cases,
            confirmed=tally(cases, two_persons=two_persons).confirmed,
            heard=heard,
            sites=sites,
            rules=settings.coverage,
            near_m=settings.near_m,
            near_s=settings.near_s,
        ),
        hours=_hours(heard, sites, period=(until_ns - since_ns) / HOUR_NS),
        nodes=_nodes(heard, sites),
        areas=_areas(cases, heard, parts, two_persons=two_persons),
        weeks=weeks(cases, two_persons=two_persons, since_ns=since_ns, until_ns=until_ns),
    )


def _nodes(heard: Heard, sites: Sequence[Site]) -> tuple[NodeHours, ...]:
    surveyed = {site.node for site in sites}
    hours = dict.fromkeys(surveyed, 0.0) | heard.node_hours()
    return tuple(NodeHours(node=node, hours=hours[node], surveyed=node in surveyed) for node in sorted(hours))


def _hours(heard: Heard, sites: Sequence[Site], *, period: float) -> Hours:
    by_node = heard.node_hours()
    hours = [by_node.get(site.node, 0.0) for site in sites]
    return Hours(
        period=period,
        server=heard.server_hours,
        nodes_surveyed=len(sites),
        node_hours_median=statistics.median(hours) if hours else None,
        node_hours_least=min(hours, default=None),
    )


def _areas(cases: Sequence[Case], heard: Heard, parts: Parts, *, two_persons: bool) -> tuple[AreaScore, ...]:
    names = [*(area.name for area in parts.areas), ELSEWHERE, EVERYWHERE]
    sizes_km2 = [*(area.km2 for area in parts.areas), None, None]
    inside: list[list[Case]] = [[] for _ in names]
    for case in cases:
        for index in parts_of(parts.areas, case.x_m, case.y_m):
            inside[index].append(case)
    scores = [
        _area(name, km2, float(km2_hours), here, heard, two_persons=two_persons)
        for name, km2, km2_hours, here in zip(names, sizes_km2, parts.km2_hours(heard), inside, strict=True)
    ]
    return tuple(scores) if parts.areas else (scores[-1],)


def _area(
    name: str, km2: float | None, km2_hours: float, cases: Sequence[Case], heard: Heard, *, two_persons: bool
) -> AreaScore:
    counts = tally(cases, two_persons=two_persons)
    on_record = tally((case for case in cases if heard.listening(case.time_ns) is not None), two_persons=two_persons)
    km2_months = km2_hours / _HOURS_PER_MONTH
    return AreaScore(
        area=name,
        km2=km2,
        covered_km2_hours=km2_hours,
        covered_km2_mean=km2_hours / heard.server_hours if heard.server_hours else None,
        incidents=counts.incidents,
        **counts._asdict(),
        confirmed_of_decided=counts.confirmed_of_decided,
        confirmed_of_all=counts.confirmed_of_all,
        incidents_on_record=on_record.incidents,
        dismissed_rate=rate_of(on_record.dismissed, km2_months),
        unconfirmed_rate=rate_of(on_record.incidents - on_record.confirmed, km2_months),
    )
