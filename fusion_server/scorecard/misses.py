"""Reported misses against what was told: was there an incident near one, in place and in time?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fusion_server.scorecard.coverage import CoverageRules, covering_nodes
from fusion_server.scorecard.document import Misses, MissScore
from fusion_server.scorecard.evidence import Case, Miss
from fusion_server.scorecard.heard import Heard
from shotline.domain import Site
from shotline.timebase import format_utc
from shotline.units import NS_PER_S
from shotline_models.metrics import share_of

__all__ = ["nearest_case", "scored_misses"]


def nearest_case(miss: Miss, cases: Sequence[Case], *, near_m: float, near_s: float) -> Case | None:
    """Return the incident nearest in place of those near in place and time; a retracted one only when no other is."""
    near = [
        case
        for case in cases
        if _apart_m(miss, case) <= near_m and abs(case.time_ns - miss.time_ns) <= near_s * NS_PER_S
    ]
    return min(near, key=lambda case: (case.retracted, _apart_m(miss, case), case.incident_id), default=None)


def scored_misses(
    misses: Sequence[Miss],
    cases: Sequence[Case],
    *,
    confirmed: int,
    heard: Heard,
    sites: Sequence[Site],
    rules: CoverageRules,
    near_m: float,
    near_s: float,
) -> Misses:
    """Return the misses of a period, each with what was near.

    Parameters
    ----------
    misses : sequence of Miss
        Of the period.
    cases : sequence of Case
        Of the period and around it.
    confirmed : int
        Confirmed incidents of the period.
    heard : Heard
    sites : sequence of Site
    rules : CoverageRules
    near_m, near_s : float
        Within so much in place, and in time before or after, an incident is the one that was reported.
    """
    rows = []
    for miss in misses:
        case = nearest_case(miss, cases, near_m=near_m, near_s=near_s)
        nodes = heard.listening(miss.time_ns)
        rows.append(
            MissScore(
                number=miss.number,
                time_utc=format_utc(miss.time_ns, digits=0),
                status="missed" if case is None else "retracted" if case.retracted else "told",
                incident=None if case is None else case.incident_id,
                apart_m=None if case is None else round(_apart_m(miss, case), 1),
                apart_s=None if case is None else round((case.time_ns - miss.time_ns) / NS_PER_S, 1),
                nodes_in_range=None
                if nodes is None
                else covering_nodes(miss.x_m, miss.y_m, sites=sites, nodes=nodes, range_m=rules.hearing_range_m),
            )
        )
    missed = [row for row in rows if row.status != "told"]
    return Misses(
        reported=len(rows),
        missed=len(missed),
        missed_where_covered=sum((row.nodes_in_range or 0) >= rules.min_nodes for row in missed),
        share=share_of(len(missed), confirmed + len(missed)),
        rows=tuple(rows),
    )


def _apart_m(miss: Miss, case: Case) -> float:
    return math.hypot(case.x_m - miss.x_m, case.y_m - miss.y_m)
