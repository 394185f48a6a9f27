"""The scorecard as tables of text, each with how its figures are made and what they cannot say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fusion_server.review import REASONS, Outcome
from fusion_server.scorecard.document import AreaScore, LatencyScore, Misses, MissScore, Scorecard, WeekScore
from fusion_server.scorecard.intervals import Percentile, Rate
from shotline_models.metrics import Share

__all__ = ["FEW", "Table", "scorecard_tables", "share_text", "small_numbers"]

FEW = 30
"""Below so many a share is called one of few: its interval is then a third of the whole scale wide, or more."""

_STATUS_WORDS = {"missed": "missed", "retracted": "told, then retracted", "told": "told after all"}
_S_PER_MIN = 60.0
_S_PER_HOUR = 3600.0


@dataclass(frozen=True, slots=True)
class Table:
    """A table for people.

    Parameters
    ----------
    title : str
    columns : sequence of str
    rows : sequence of sequence of str
        The first cell of each is its heading.
    how : str
        How the figures are made.
    limits : str
        What they cannot say.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    how: str
    limits: str


def scorecard_tables(card: Scorecard) -> tuple[Table, ...]:
    """Return the tables of a scorecard, in the order in which they are shown."""
    tables = [_outcomes(card), _latencies(card), _misses(card), _hours(card), _areas(card), _weeks(card)]
    if card.outcomes.reasons:
        tables.insert(1, _reasons(card))
    if card.nodes:
        tables.insert(-2, _nodes(card))
    return tuple(tables)


def small_numbers(card: Scorecard) -> str:
    """Return a warning where there are few decided incidents; "" where there are not."""
    decided = card.outcomes.decided
    if decided >= FEW:
        return ""
    return (
        f"{decided} decided incidents are few (fewer than {FEW}): read the intervals, not the shares, "
        "and compare nothing by them."
    )


def share_text(share: Share) -> str:
    """Return a share with its interval, in whole percent, and a word where it is one of few."""
    if share.share is None:
        return "none to count"
    few = f", of {share.of} only" if share.of < FEW else ""
    return f"{100 * share.share:.0f} % ({100 * share.low95:.0f} to {100 * share.high95:.0f}{few})"


def _outcomes(card: Scorecard) -> Table:
    scores = card.outcomes
    rows = [
        (
            "dismissed (refuted)" if item.outcome == Outcome.DISMISSED else item.outcome,
            str(item.count),
            share_text(item.of_all),
            "" if item.of_decided is None else share_text(item.of_decided),
        )
        for item in scores.rows
    ]
    rows.append(("all", str(scores.incidents), "", f"{scores.decided} decided"))
    more = [
        f"{scores.retracted_undecided} of the undecided ones were retracted by the system itself."
        if scores.retracted_undecided
        else "",
        f"{scores.second_awaited} wait for a second person." if scores.second_awaited else "",
        f"On {scores.disputed} people disagree." if scores.disputed else "",
        f"{scores.other_scenes} incidents of replayed recordings are left out." if scores.other_scenes else "",
    ]
    return Table(
        "What became of the incidents",
        ("outcome", "incidents", "of all (95 %)", "of those decided (95 %)"),
        rows,
        "Each incident that was told counts once, with what stands of people's decisions when this was made. "
        "Intervals are Wilson's. " + " ".join(filter(None, more)),
        "A decision is what somebody concluded, often from what was found at the place. Nothing found is no proof that "
        "nothing was fired. Dismissed incidents count as refuted whatever the reason, exercises and repeats too.",
    )


def _reasons(card: Scorecard) -> Table:
    return Table(
        "Reasons given",
        ("reason", "outcome", "incidents"),
        [
            (REASONS[Outcome(item.outcome)][item.reason], item.outcome, str(item.count))
            for item in card.outcomes.reasons
        ],
        "The reason of the decision that stands.",
        "One reason for each incident; there may have been several.",
    )


def _latencies(card: Scorecard) -> Table:
    def row(item: LatencyScore) -> tuple[str, ...]:
        return (item.until, f"{item.came_about} of {item.incidents}", *map(_percentile_text, item.percentiles))

    percents = [f"{item.percent} % within (95 %)" for item in card.latencies[0].percentiles]
    return Table(
        "How fast",
        ("from the sound to", "came about", *percents),
        [row(item) for item in card.latencies],
        "From the first shot to the first fix, to the first revision that a sink took, to the first acknowledgement "
        "or decision, and to when a decision first stood. What never came about counts as later than all. Intervals "
        "lie between two of the values and assume no shape.",
        "The first fix is dated by the server's event time, a delivery by its wall clock when the sink answered: "
        "whether anybody looked is the acknowledgement. Incidents that a sink was never tried for are not in its row.",
    )


def _misses(card: Scorecard) -> Table:
    found = card.misses
    settings = card.settings
    return Table(
        "Misses reported",
        ("miss", "when", "what was found", "nearest incident", "nodes within range then"),
        [_miss_row(item) for item in found.rows] or _misses_in_all(found),
        f"{found.reported} reported, {found.missed} of them missed, {found.missed_where_covered} of those at a place "
        f"that was covered then. A report with an incident within {settings.near_m:g} m and {settings.near_s:g} s was "
        f"told after all. Missed at the least, of confirmed incidents and misses together: {share_text(found.share)}.",
        "Only what somebody reported is here. Most shootings are never reported, so this is the least that was missed, "
        "and no list of none shows that none was.",
    )


def _misses_in_all(found: Misses) -> list[tuple[str, ...]]:
    """Return one row where they are not shown one by one; none where there are none."""
    told = found.reported - found.missed
    return [("all", "", f"{found.missed} missed, {told} told after all", "", "")] if found.reported else []


def _miss_row(item: MissScore) -> tuple[str, ...]:
    apart = "none" if item.incident is None else f"{item.incident}, {item.apart_m:.0f} m and {item.apart_s:+.0f} s away"
    nodes = "not on record" if item.nodes_in_range is None else str(item.nodes_in_range)
    return str(item.number), item.time_utc, _STATUS_WORDS[item.status], apart, nodes


def _hours(card: Scorecard) -> Table:
    hours = card.hours
    rows = [
        ("the period", _hours_text(hours.period), "100 %"),
        ("the server ran", _hours_text(hours.server), _part(hours.server, hours.period)),
    ]
    if hours.node_hours_median is not None and hours.node_hours_least is not None:
        rows += [
            (
                f"a node was heard, median of {hours.nodes_surveyed}",
                _hours_text(hours.node_hours_median),
                _part(hours.node_hours_median, hours.period),
            ),
            (
                "the node that was heard least",
                _hours_text(hours.node_hours_least),
                _part(hours.node_hours_least, hours.period),
            ),
        ]
    return Table(
        "Hours",
        ("what", "hours", "of the period"),
        rows,
        "A minute counts for the server when it ran in it, for a node when any message of it came in that minute and "
        "it knew the time. Counted, not estimated, so without an interval.",
        "A node that is heard may still hear badly. What a server killed within the hour had not written is missing: "
        "hours are too few then, never too many. Before this record began nothing is known, which is not the same as "
        "no hours.",
    )


def _nodes(card: Scorecard) -> Table:
    return Table(
        "Nodes",
        ("node", "hours heard", "of the server's", "surveyed"),
        [
            (item.node, _hours_text(item.hours), _part(item.hours, card.hours.server), "yes" if item.surveyed else "no")
            for item in card.nodes
        ],
        "As above, node by node.",
        "As above. A node without a site is kept out of coverage, and its detections out of fusion.",
    )


def _areas(card: Scorecard) -> Table:
    settings = card.settings

    def row(item: AreaScore) -> tuple[str, ...]:
        return (
            item.area,
            "" if item.km2 is None else _figures(item.km2),
            _figures(item.covered_km2_hours),
            "" if item.covered_km2_mean is None else _figures(item.covered_km2_mean),
            str(item.incidents),
            share_text(item.confirmed_of_decided),
            share_text(item.confirmed_of_all),
            _rate_text(item.dismissed_rate),
            _rate_text(item.unconfirmed_rate),
        )

    return Table(
        "Areas and coverage",
        (
            "area",
            "km²",
            "covered km² × hours",
            "covered km² on average",
            "incidents",
            "confirmed of decided (95 %)",
            "confirmed of all (95 %)",
            "dismissed per km² and month (95 %)",
            "not confirmed per km² and month (95 %)",
        ),
        [row(item) for item in card.areas],
        f"A place is covered in a minute when {settings.min_nodes} surveyed nodes within "
        f"{settings.hearing_range_m:g} m of it were heard in that minute; counted in cells of {settings.cell_m:.0f} m. "
        "Rates take only incidents of minutes in which the server is known to have run, and are counts over covered "
        "km² × months (30.4 days) with exact Poisson intervals. The last column counts the undecided and undetermined "
        "as false, the one before it as true.",
        "Covered does not mean that a shot would have been found: walls, wind and weak sounds are not in it, and a "
        "larger hearing range makes the area larger and every rate smaller. Compare rates only where the range is the "
        "same. Nodes stand where they are surveyed to stand today.",
    )


def _weeks(card: Scorecard) -> Table:
    def row(item: WeekScore) -> tuple[str, ...]:
        return (
            item.week_utc,
            str(item.incidents),
            str(item.confirmed),
            str(item.dismissed),
            str(item.undetermined),
            str(item.undecided),
            share_text(item.confirmed_of_decided),
            share_text(item.confirmed_of_all),
        )

    return Table(
        "Week by week",
        (
            "week from",
            "incidents",
            "confirmed",
            "dismissed",
            "undetermined",
            "undecided",
            "confirmed of decided (95 %)",
            "confirmed of all (95 %)",
        ),
        [row(item) for item in card.weeks],
        "Weeks begin on Monday, 00:00 UTC; the first and the last may be cut short by the period.",
        "Where the intervals of two weeks overlap widely there is no trend to see. The latest weeks have more that is "
        "undecided yet.",
    )


def _percentile_text(item: Percentile) -> str:
    if item.value_s is None:
        return "not reached"
    low = "?" if item.low95_s is None else _span(item.low95_s)
    high = "no upper end" if item.high95_s is None else _span(item.high95_s)
    return f"{_span(item.value_s)} ({low} to {high})"


def _span(seconds: float) -> str:
    if abs(seconds) < 2 * _S_PER_MIN:
        return f"{seconds:.1f} s"
    if abs(seconds) < 2 * _S_PER_HOUR:
        return f"{seconds / _S_PER_MIN:.0f} min"
    return f"{seconds / _S_PER_HOUR:.0f} h"


def _rate_text(rate: Rate) -> str:
    if rate.per_km2_month is None or rate.low95 is None or rate.high95 is None:
        return "no coverage on record"
    return f"{_figures(rate.per_km2_month)} ({_figures(rate.low95)} to {_figures(rate.high95)}); {rate.count} counted"


def _hours_text(hours: float) -> str:
    return f"{hours:.1f}"


def _part(hours: float, of: float) -> str:
    return f"{100 * hours / of:.0f} %" if of else "none on record"


def _figures(value: float) -> str:
    """Return a number to two figures, or to whole ones where it has more: there is no more to know."""
    return f"{value:.0f}" if abs(value) >= 10 else f"{float(f'{value:.2g}'):g}"
