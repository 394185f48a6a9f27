"""Charts as SVG: the share of each outcome, each week's incidents by outcome, and the confirmed share of each week."""

from __future__ import annotations

from collections.abc import Sequence

from fusion_server.scorecard.document import Outcomes, WeekScore

__all__ = ["outcome_chart", "share_chart", "week_chart"]

_MOST_WEEKS = 60
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 220, 44, 10, 34
_OUTCOMES = ("confirmed", "undetermined", "dismissed", "undecided")
_PLOT = _HEIGHT - _TOP - _BOTTOM
_NAMES_WIDTH, _ROW, _BAR = 110, 30, 16


def outcome_chart(outcomes: Outcomes) -> str:
    """Return a bar for the share of each outcome of all incidents, with its 95 % interval."""
    height = _TOP + _ROW * len(outcomes.rows) + 24

    def x(part: float) -> float:
        return _NAMES_WIDTH + (_WIDTH - _NAMES_WIDTH - 24) * part

    parts = [
        f'<line class="grid" x1="{x(part):.1f}" x2="{x(part):.1f}" y1="{_TOP}" y2="{height - 20}"/>'
        f'<text x="{x(part):.1f}" y="{height - 6}" text-anchor="middle">{label}</text>'
        for part, label in ((0.0, "0 %"), (0.5, "50 %"), (1.0, "100 %"))
    ]
    for index, item in enumerate(outcomes.rows):
        share, middle = item.of_all, _TOP + _ROW * (index + 0.5)
        parts.append(
            f'<text x="{_NAMES_WIDTH - 8}" y="{middle + 4:.1f}" text-anchor="end">{item.outcome}</text>'
            f'<rect class="{item.outcome}" x="{x(0.0):.1f}" y="{middle - _BAR / 2:.1f}" '
            f'width="{x(share.share or 0.0) - x(0.0):.1f}" height="{_BAR}">'
            f"<title>{item.outcome}: {item.count} of {share.of}</title></rect>"
            + "".join(
                f'<line class="{name}" x1="{x(share.low95):.1f}" x2="{x(share.high95):.1f}" '
                f'y1="{middle:.1f}" y2="{middle:.1f}"/>'
                for name in ("halo", "whisker")
            )
        )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-labelledby="outcomes-title">'
        '<title id="outcomes-title">Share of each outcome of all incidents with 95 % intervals; the table below has '
        f"the numbers</title>{''.join(parts)}</svg>"
    )


def week_chart(weeks: Sequence[WeekScore]) -> str:
    """Return a bar for each of the last weeks, parted by outcome."""
    shown = weeks[-_MOST_WEEKS:]
    most = max((item.incidents for item in shown), default=0) or 1
    parts = [_axis(shown, ((0, "0"), (1, str(most))))]
    for left, width, item in _places(shown):
        bottom = float(_TOP + _PLOT)
        for outcome in _OUTCOMES:
            count = getattr(item, outcome)
            if count:
                height = _PLOT * count / most
                bottom -= height
                parts.append(
                    f'<rect class="{outcome}" x="{left:.1f}" y="{bottom:.1f}" width="{width:.1f}" '
                    f'height="{height:.1f}"><title>{item.week_utc}: {count} {outcome}</title></rect>'
                )
    return _svg("weeks", "Incidents of each week by outcome; the table below has the numbers", shown, parts)


def share_chart(weeks: Sequence[WeekScore]) -> str:
    """Return the confirmed share of all incidents for each of the last weeks, with its 95 % interval."""
    shown = weeks[-_MOST_WEEKS:]
    parts = [_axis(shown, ((0, "0 %"), (0.5, "50 %"), (1, "100 %")))]
    for left, width, item in _places(shown):
        share = item.confirmed_of_all
        if share.share is not None:
            middle = left + width / 2
            parts.append(
                f'<line class="interval" x1="{middle:.1f}" x2="{middle:.1f}" y1="{_y(share.low95):.1f}" '
                f'y2="{_y(share.high95):.1f}"/><circle class="share" cx="{middle:.1f}" cy="{_y(share.share):.1f}" '
                f'r="4"><title>{item.week_utc}: {share.count} of {share.of}</title></circle>'
            )
    return _svg("shares", "Confirmed share of all incidents of each week with 95 % intervals", shown, parts)


def _places(weeks: Sequence[WeekScore]) -> list[tuple[float, float, WeekScore]]:
    step = (_WIDTH - _LEFT) / max(1, len(weeks))
    width = min(40.0, 0.8 * step)
    return [(_LEFT + step * (index + 0.5) - width / 2, width, item) for index, item in enumerate(weeks)]


def _y(part: float) -> float:
    return _TOP + _PLOT * (1.0 - part)


def _axis(weeks: Sequence[WeekScore], marks: Sequence[tuple[float, str]]) -> str:
    lines = [
        f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH}" y1="{_y(part):.1f}" y2="{_y(part):.1f}"/>'
        f'<text x="{_LEFT - 6}" y="{_y(part) + 4:.1f}" text-anchor="end">{label}</text>'
        for part, label in marks
    ]
    places = _places(weeks)
    every = max(1, -(-len(places) // 8))
    lines += [
        f'<text x="{left + width / 2:.1f}" y="{_HEIGHT - 12}" text-anchor="middle">{item.week_utc}</text>'
        for left, width, item in places[::every]
    ]
    return "".join(lines)


def _svg(name: str, title: str, weeks: Sequence[WeekScore], parts: Sequence[str]) -> str:
    weeks_text = f"{weeks[0].week_utc} to {weeks[-1].week_utc}" if weeks else "no weeks"
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{name}-title">'
        f'<title id="{name}-title">{title}, {weeks_text}</title>{"".join(parts)}</svg>'
    )
