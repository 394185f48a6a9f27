"""Charts of an evaluation's page: SVG in the page's own colours, light or dark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from shotline_models.evaluate import Evaluation, OperatingPoint
from shotline_models.metrics import Calibration, Curve, Share
from shotline_models.report_tables import counted, counted_percent, interval, percent, rate

__all__ = ["det_chart", "legend", "precision_recall_chart", "reliability_chart", "roc_chart", "share_chart"]

# A card on a telephone is three quarters as wide: text of 14 can be read there.
_WIDTH, _HEIGHT = 460, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 14, 12, 50
_MARKS = ("c0", "c1", "c2")
_NOT_DEFINED = "<p>Not defined: it needs both gunshots and negatives.</p>"


def roc_chart(evaluation: Evaluation) -> str:
    """Return the receiver operating characteristic, with a mark at each operating point."""
    return _curve(
        _Axes((0.0, 1.0), (0.0, 1.0), "share of negative onsets called gunshot", "recall"),
        evaluation.roc,
        "ROC: recall against the share of negative onsets called gunshot",
        [(x, recall) for x, recall, _ in _curve_marks(evaluation)],
    )


def precision_recall_chart(evaluation: Evaluation) -> str:
    """Return precision against recall, with a mark at each operating point."""
    return _curve(
        _Axes((0.0, 1.0), (0.0, 1.0), "recall", "precision"),
        evaluation.precision_recall,
        "Precision against recall",
        [(recall, precision) for _, recall, precision in _curve_marks(evaluation) if precision is not None],
    )


def det_chart(evaluation: Evaluation) -> str:
    """Return the detection error tradeoff on log axes, with a mark at each operating point."""
    curve = evaluation.det
    per_hour = evaluation.negative_onsets / evaluation.negative_hours if evaluation.negative_hours else 0.0
    if not curve.x or not per_hour:
        return _NOT_DEFINED
    # What is 0 has no place on a log axis; it is drawn at half a count, the left or lower edge.
    least_x, least_y = 0.5 / evaluation.negative_hours, 0.5 / evaluation.gunshot_onsets
    axes = _Axes(
        (least_x, max(per_hour, 2 * least_x)),
        (least_y, 1.0),
        "false alarms per hour",
        "share of gunshots missed",
        log=True,
    )
    for point in evaluation.operating_points:
        asked = point.alarm.asked_per_hour
        if least_x < asked < per_hour:
            axes.path("mark", [(asked, least_y), (asked, 1.0)])
    axes.path("line c0", [(max(x * per_hour, least_x), max(y, least_y)) for x, y in zip(curve.x, curve.y, strict=True)])
    for number, (x, recall, _) in enumerate(_curve_marks(evaluation)):
        axes.dot(
            number,
            max(x * per_hour, least_x),
            max(1.0 - recall, least_y),
            f"{x * per_hour:.3g} false alarms per hour, {1.0 - recall:.4f} missed",
        )
    return axes.svg("DET: share of gunshots missed against false alarms per hour, both on log axes") + (
        '<p class="quiet">What is 0 is drawn at half a count, on the edge. Dashed lines are the rates asked for.</p>'
    )


def share_chart(
    rows: Sequence[Sequence[tuple[str, Share]]], points: Sequence[OperatingPoint], x_label: str, title: str
) -> str:
    """Return recall by name with its intervals.

    Parameters
    ----------
    rows : sequence of sequences of (name, share)
        One an operating point; the same names in each.
    points : sequence of OperatingPoint
    x_label, title : str
    """
    names = [name for name, _ in rows[0]]
    axes = _Axes((0.0, float(len(names))), (0.0, 1.0), x_label, "recall", names=names)
    for number, row in enumerate(rows):
        shift = 0.5 + 0.12 * (number - (len(rows) - 1) / 2)
        for place, (name, share) in enumerate(row):
            if share.share is not None:
                axes.bar(number, place + shift, share)
                words = f"{name}: {counted_percent(share)}, 95 % {interval(share)}"
                axes.dot(number, place + shift, share.share, words)
    return axes.svg(f"{title}, with 95 % intervals") + legend(points)


def reliability_chart(item: Calibration, title: str) -> str:
    """Return what came true against what was stated; pale columns are the part of all onsets in each bin."""
    if not item.bins:
        return _NOT_DEFINED
    axes = _Axes((0.0, 1.0), (0.0, 1.0), "probability stated", "share that came true")
    for bin_ in item.bins:
        if bin_.weight:
            left, right, top = axes.x(bin_.low), axes.x(bin_.high), axes.y(bin_.weight)
            axes.marks.append(
                f'<rect class="count" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
                f'height="{axes.y(0.0) - top:.1f}"><title>{100 * bin_.weight:.1f} % of all</title></rect>'
            )
    axes.path("mark", [(0.0, 0.0), (1.0, 1.0)])
    for bin_ in item.bins:
        if bin_.mean_probability is not None and bin_.observed.share is not None:
            at, observed = bin_.mean_probability, bin_.observed
            axes.bar(1, at, observed)
            words = f"stated {at:.3f}, came true {percent(observed)}; {counted(observed)} onsets"
            axes.dot(1, at, bin_.observed.share, words)
    return axes.svg(f"Reliability of the {title}: share that came true against the probability stated")


def legend(points: Sequence[OperatingPoint]) -> str:
    """Return what each mark stands for."""
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 14 14" aria-hidden="true">{_symbol(number, 7, 7)}</svg>'
        f"{escape(rate(point.alarm.asked_per_hour))}{'' if point.alarm.resolved else ' (unresolved)'}</span>"
        for number, point in enumerate(points)
    )
    return f'<p class="legend">{keys}</p>'


@dataclass(slots=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log10(low), math.log10(high), math.log10(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def ticks(self) -> list[float]:
        if not self.log:
            return [self.low + number * (self.high - self.low) / 5 for number in range(6)]
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        return [10.0**power for power in range(first, last + 1)]


class _Axes:
    """Axes in a box, with a quiet grid; ``names`` in place of numbers where x is one of several groups."""

    def __init__(
        self,
        x_range: tuple[float, float],
        y_range: tuple[float, float],
        x_label: str,
        y_label: str,
        *,
        log: bool = False,
        names: Sequence[str] = (),
    ) -> None:
        self.x = _Scale(*x_range, _LEFT, _WIDTH - _RIGHT, log)
        self.y = _Scale(*y_range, _HEIGHT - _BOTTOM, _TOP, log)
        self._labels = x_label, y_label
        self._names = names
        self.marks: list[str] = []

    def path(self, kind: str, points: Sequence[tuple[float, float]]) -> None:
        if points:
            steps = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
            self.marks.append(f'<path class="{kind}" d="M{steps}"/>')

    def bar(self, number: int, x: float, share: Share) -> None:
        self.path(f"bar {_MARKS[number % len(_MARKS)]}", [(x, share.low95), (x, share.high95)])

    def dot(self, number: int, x: float, y: float, words: str) -> None:
        self.marks.append(_symbol(number, self.x(x), self.y(y), f"<title>{escape(words)}</title>"))

    def svg(self, title: str) -> str:
        parts = [f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
        labels = (
            [(number + 0.5, name) for number, name in enumerate(self._names)]
            if self._names
            else [(value, f"{value:g}") for value in self.x.ticks()]
        )
        for value, text in labels:
            x = self.x(value)
            if not self._names:
                parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
            parts.append(f'<text class="tick mid" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 17}">{escape(text)}</text>')
        for value in self.y.ticks():
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 4:.1f}">{value:g}</text>')
        middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(f'<text class="name mid" x="{middle_x}" y="{_HEIGHT - 10}">{escape(self._labels[0])}</text>')
        parts.append(
            f'<text class="name mid" transform="translate(14 {middle_y}) rotate(-90)">{escape(self._labels[1])}</text>'
        )
        return "".join([*parts, *self.marks, "</svg>"])


def _symbol(number: int, x: float, y: float, inside: str = "") -> str:
    """Return a disc, square or diamond: told apart without colour."""
    kind = _MARKS[number % len(_MARKS)]
    shapes = (
        f"M{x - 5:.1f} {y:.1f}a5 5 0 1 0 10 0a5 5 0 1 0 -10 0z",
        f"M{x - 4.5:.1f} {y - 4.5:.1f}h9v9h-9z",
        f"M{x:.1f} {y - 6:.1f}l6 6l-6 6l-6 -6z",
    )
    return f'<path class="dot {kind}" d="{shapes[number % len(shapes)]}">{inside}</path>'


def _curve_marks(evaluation: Evaluation) -> list[tuple[float, float, float | None]]:
    """Return share of negatives called, recall over onsets and precision at each operating point."""
    marks: list[tuple[float, float, float | None]] = []
    if evaluation.gunshot_onsets and evaluation.negative_onsets:
        for point in evaluation.operating_points:
            called = point.recall.count + point.alarm.alarms
            marks.append(
                (
                    point.alarm.alarms / evaluation.negative_onsets,
                    point.recall.count / evaluation.gunshot_onsets,
                    point.recall.count / called if called else None,
                )
            )
    return marks


def _curve(axes: _Axes, curve: Curve, title: str, marks: Sequence[tuple[float, float]]) -> str:
    if not curve.x:
        return _NOT_DEFINED
    axes.path("line c0", list(zip(curve.x, curve.y, strict=True)))
    for number, (x, y) in enumerate(marks):
        axes.dot(number, x, y, f"{x:.4f}, {y:.4f}")
    return axes.svg(title)
