"""The figures of a report in words: rows for the terminal, the page and the benchmarks. Pure but for `show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shotline_recordings.score import LatencyStats, LocationScore
from shotline_replay.report import Report
from shotline_replay.stages import explain_nothing

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Row", "nothing_found", "show", "summary_rows"]


class Row(NamedTuple):
    """One figure; ``published`` is the paper's, or ""."""

    what: str
    value: str
    published: str = ""


def summary_rows(report: Report) -> list[Row]:
    """Return the figures of a report, most important first."""
    return [*_fusion_rows(report), *_locator_rows(report), *_waiting_rows(report)]


def nothing_found(report: Report) -> list[str]:
    """Return how far a replay came that found nothing, in sentences; none when an incident stands."""
    if report.stages is None:
        return []
    return explain_nothing(report.stages, dispositions=report.dispositions, model=report.run.model)


def show(report: Report, console: Console) -> None:
    """Print the figures as a table."""
    from rich.table import Table

    beside = report.published is not None
    table = Table(title=f"{report.dataset.name}, from {report.run.source}{' (live)' if report.run.live else ''}")
    table.add_column("", no_wrap=True)
    table.add_column("here", justify="right", no_wrap=True)
    if beside:
        table.add_column("published", justify="right", style="dim", no_wrap=True)
    for row in summary_rows(report):
        table.add_row(row.what, row.value, *([row.published] if beside else []))
    console.print(table)
    for sentence in nothing_found(report):
        console.print(sentence, markup=False, soft_wrap=True)
    for warning in report.dataset.warnings:
        console.print(f"note: {warning}", style="dim", markup=False, soft_wrap=True)


def _fusion_rows(report: Report) -> list[Row]:
    if report.locator is not None:
        return []
    rows = []
    if report.score is None:
        rows.append(Row("incidents", str(report.incidents)))
    else:
        counts, published = report.score.counts, report.published
        rows += [
            Row(
                "events found within 25 m",
                f"{_of(counts.events_found, counts.events)}",
                _percent(published.live_share_within_25m) if published else "",
            ),
            Row(
                "events detected",
                f"{_of(counts.events_detected, counts.events)}",
                _percent(published.live_events_detected) if published else "",
            ),
            Row("incidents duplicate / false", f"{counts.incidents_duplicate} / {counts.incidents_false}"),
            Row("shots found (25 m, 0.12 s)", f"{_of(counts.shots_found, counts.shots_fired)}"),
            Row("shots duplicate / false", f"{counts.shots_duplicate} / {counts.shots_false}"),
            Row("events with rounds exactly right", f"{_of(counts.rounds_exact, counts.events)}"),
            Row("events exact, nothing else reported", f"{_of(counts.events_exact, counts.events)}"),
            *_error_rows(
                "incident", report.score.incidents, median=_metres(published.live_median_m) if published else ""
            ),
            *_error_rows("shot", report.score.shots),
        ]
    rows.append(Row("revisions", str(report.revisions)))
    if report.incidents_retracted:
        rows.append(Row("incidents taken back", str(report.incidents_retracted)))
    rows += [Row(f"detections {name.replace('_', ' ')}", str(count)) for name, count in report.dispositions.items()]
    return rows


def _error_rows(what: str, score: LocationScore, *, median: str = "") -> list[Row]:
    return [
        Row(f"{what} error, median", _metres(score.median_m), median),
        Row(f"{what} error, p90/p95/max", _several(1.0, " m", score.p90_m, score.p95_m, score.max_m)),
        Row(
            f"{what}s within 5/10/15/25 m",
            _several(
                100.0,
                " %",
                score.share_within_5m,
                score.share_within_10m,
                score.share_within_15m,
                score.share_within_25m,
            ),
        ),
        Row(f"{what} in 95 % ellipse plus truth's", _percent(score.ellipse95_coverage_with_truth)),
    ]


def _locator_rows(report: Report) -> list[Row]:
    if report.locator is None:
        return []
    everything = report.locator.all_sensors.overall
    rows = [Row("shots located, of given", _of(everything.located, everything.attempted))]
    rows += _error_rows("shot", everything)
    for subset in report.locator.subsets:
        key = str(subset.sensors)
        theirs = report.published.share_within_15m_by_sensors.get(key) if report.published else None
        rows.append(
            Row(
                f"{key} random sensors: within 15 m (median)",
                f"{_percent(subset.overall.share_within_15m)} ({_metres(subset.overall.median_m)})",
                "" if theirs is None else _percent(theirs),
            )
        )
    return rows


def _waiting_rows(report: Report) -> list[Row]:
    rows = []
    if report.alert_delay is not None and report.alert_delay.count:
        rows.append(Row("alert after last arrival, event p50/p99", _waits(report.alert_delay)))
    if report.live is not None:
        rows += [
            Row("alert after last arrival, wall p50/p99", _waits(report.live.first_alerts)),
            Row("revision after its last, wall p50/p99", _waits(report.live.all_revisions)),
            Row("episodes, tried again", f"{report.live.episodes}, {report.live.episodes_tried_again}"),
        ]
    return rows


def _of(count: int, whole: int) -> str:
    return f"{count}/{whole} ({100.0 * count / whole:.1f} %)" if whole else f"{count}/0"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100.0 * share:.1f} %"


def _metres(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} m"


def _several(scale: float, unit: str, *values: float | None) -> str:
    return "/".join("-" if value is None else f"{scale * value:.1f}" for value in values) + unit


def _waits(stats: LatencyStats) -> str:
    if stats.p50_s is None or stats.p99_s is None:
        return "-"
    return f"{stats.p50_s:.2f}/{stats.p99_s:.2f} s"
