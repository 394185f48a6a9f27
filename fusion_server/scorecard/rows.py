"""The scorecard as CSV: one figure a row, with its interval and what it is of, for any spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Iterator

from fusion_server.scorecard.document import AreaScore, LatencyScore, OutcomeScore, Scorecard, WeekScore
from fusion_server.scorecard.intervals import Rate
from shotline_models.metrics import Share

__all__ = ["CSV_COLUMNS", "scorecard_csv"]

CSV_COLUMNS = ("table", "row", "figure", "unit", "value", "low95", "high95", "of")

_Row = tuple[str, str, str, float | None, float | None, float | None, float | None]


def scorecard_csv(card: Scorecard) -> str:
    """Return the figures of a scorecard as CSV with a heading; empty where there is no value."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    writer.writerow(("period", card.since_utc, "until", "UTC", card.until_utc, "", "", ""))
    for table, rows in _tables(card):
        writer.writerows((table, *("" if cell is None else cell for cell in row)) for row in rows)
    return "".join(lines.written)


class _Lines:
    """What the writer writes to."""

    def __init__(self) -> None:
        self.written: list[str] = []

    def write(self, text: str) -> None:
        self.written.append(text)


def _tables(card: Scorecard) -> Iterator[tuple[str, Iterator[_Row]]]:
    for outcome in card.outcomes.rows:
        yield "outcomes", _outcome(outcome)
    for reason in card.outcomes.reasons:
        yield "reasons", iter([_count(f"{reason.outcome}: {reason.reason}", "incidents", reason.count)])
    for latency in card.latencies:
        yield "latency", _latency(latency)
    yield "misses", _misses(card)
    yield "hours", _hours(card)
    for area in card.areas:
        yield "areas", _area(area)
    for week in card.weeks:
        yield "weeks", _week(week)


def _outcome(item: OutcomeScore) -> Iterator[_Row]:
    yield _count(item.outcome, "incidents", item.count)
    yield _share(item.outcome, "of all", item.of_all)
    if item.of_decided is not None:
        yield _share(item.outcome, "of decided", item.of_decided)


def _latency(item: LatencyScore) -> Iterator[_Row]:
    yield item.until, "came about", "incidents", item.came_about, None, None, item.incidents
    for part in item.percentiles:
        yield item.until, f"{part.percent} %", "s", part.value_s, part.low95_s, part.high95_s, item.incidents


def _misses(card: Scorecard) -> Iterator[_Row]:
    found = card.misses
    yield _count("all", "reported", found.reported)
    yield _count("all", "missed", found.missed)
    yield _count("all", "missed where covered", found.missed_where_covered)
    yield _share("all", "of confirmed and missed", found.share)


def _hours(card: Scorecard) -> Iterator[_Row]:
    yield "server", "ran", "h", card.hours.server, None, None, card.hours.period
    for node in card.nodes:
        yield node.node, "heard", "h", node.hours, None, None, card.hours.server


def _area(item: AreaScore) -> Iterator[_Row]:
    name = item.area
    yield name, "size", "km2", item.km2, None, None, None
    yield name, "covered", "km2 h", item.covered_km2_hours, None, None, None
    yield name, "covered on average", "km2", item.covered_km2_mean, None, None, None
    for figure in ("incidents", "confirmed", "dismissed", "undetermined", "undecided", "incidents_on_record"):
        yield _count(name, figure.replace("_", " "), getattr(item, figure))
    yield _share(name, "confirmed of decided", item.confirmed_of_decided)
    yield _share(name, "confirmed of all", item.confirmed_of_all)
    yield _rate(name, "dismissed rate", item.dismissed_rate)
    yield _rate(name, "unconfirmed rate", item.unconfirmed_rate)


def _week(item: WeekScore) -> Iterator[_Row]:
    for figure in ("incidents", "confirmed", "dismissed", "undetermined", "undecided"):
        yield _count(item.week_utc, figure, getattr(item, figure))
    yield _share(item.week_utc, "confirmed of decided", item.confirmed_of_decided)
    yield _share(item.week_utc, "confirmed of all", item.confirmed_of_all)


def _count(row: str, figure: str, count: int) -> _Row:
    return row, figure, "incidents", count, None, None, None


def _share(row: str, figure: str, share: Share) -> _Row:
    return row, figure, "share", share.share, share.low95, share.high95, share.of


def _rate(row: str, figure: str, rate: Rate) -> _Row:
    return row, figure, "per km2 and month", rate.per_km2_month, rate.low95, rate.high95, rate.km2_months
