"""Two charts as SVG: how each week's incidents came out, and the confirmed share of each with its interval."""

from __future__ import annotations

from collections.abc import Sequence

from fusion_server.scorecard.document import WeekScore

__all__ = ["share_chart", "week_chart"]

_MOST_WEEKS = 60
_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 760, 220, 44, 10, 34
_OUTCOMES = ("confirmed", "undetermined", "dismissed", "undecided")
_PLOT = _HEIGHT - _TOP - _BOTTOM


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
