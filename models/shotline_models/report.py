"""The page of an evaluation: ``index.html``, and beside it the sound of the worst errors.

The page needs no network. Its charts are SVG in the page's own colours, light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
import soundfile

from shotline.errors import InputError
from shotline_models.dataset import Corpus, Example
from shotline_models.evaluate import Evaluation, GroupShare, OperatingPoint, WorstError
from shotline_models.metrics import BinShare, Calibration, Curve, Share

__all__ = ["write_report"]

_NOTICE = "A classifier's score by itself is not grounds for a stop, search or arrest."
_MOST_ERRORS = 12
_LOUDNESS = 0.7
"""Peak of a written sound, full scale = 1: a far shot could not be heard otherwise."""
_SOUND_FOLDER = "sound"
_WIDTH, _HEIGHT = 560, 330
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 16, 12, 48
_MARKS = ("c0", "c1", "c2")
_PALE = 0.55
"""Opacity of a full cell of the confusion matrix: its number stays legible in light and dark."""

# Colours of Okabe and Ito; blue and orange are lighter where the ground is dark.
_STYLE = """
:root { color-scheme: light dark; --ground: #fbfbfa; --card: #ffffff; --ink: #1b1f23; --quiet: #5d6770;
  --rule: #dfe3e6; --grid: #e4e8ea; --blue: #0072b2; --orange: #d55e00; --green: #009e73; --cell: 0 114 178; }
@media (prefers-color-scheme: dark) { :root { --ground: #14171a; --card: #1b1f23; --ink: #e6e9eb; --quiet: #9ba5ad;
  --rule: #31373d; --grid: #2a3036; --blue: #56b4e9; --orange: #e69f00; --green: #2fbf94; --cell: 86 180 233; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1180px; padding: 28px 20px 80px; background: var(--ground); color: var(--ink);
  font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 24px; margin: 0 0 2px; } h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0; max-width: 90ch; } .quiet { color: var(--quiet); }
.notice { border-left: 4px solid var(--orange); padding: 6px 14px; background: var(--card); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 16px; }
@media (max-width: 520px) { .cards { grid-template-columns: 1fr; } }
figure { margin: 0; padding: 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px; }
figcaption { font-weight: 600; margin-bottom: 6px; }
.wide { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; background: var(--card); }
th, td { padding: 4px 12px; border-bottom: 1px solid var(--rule); text-align: left; }
th { color: var(--quiet); font-weight: 600; } td.n, th.n { text-align: right; }
audio { height: 32px; width: 220px; vertical-align: middle; }
svg { width: 100%; height: auto; display: block; }
.grid { stroke: var(--grid); } .tick, .name { fill: var(--quiet); font: 12px system-ui, sans-serif; }
.name { font-size: 13px; } .mid { text-anchor: middle; } .end { text-anchor: end; }
.mark { stroke: var(--quiet); stroke-dasharray: 3 4; fill: none; } .line { fill: none; stroke-width: 2; }
.line.c0, .bar.c0 { stroke: var(--blue); } .line.c1, .bar.c1 { stroke: var(--orange); }
.line.c2, .bar.c2 { stroke: var(--green); } .bar { stroke-width: 1.6; fill: none; }
.dot { stroke: var(--card); stroke-width: 1; } .dot.c0 { fill: var(--blue); } .dot.c1 { fill: var(--orange); }
.dot.c2 { fill: var(--green); } .count { fill: var(--blue); fill-opacity: .25; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; color: var(--quiet); font-size: 13px; }
.key { display: inline-flex; align-items: center; gap: 6px; }
.key svg { width: 14px; height: 14px; }
"""


def write_report(evaluation: Evaluation, folder: Path, *, corpus: Corpus, title: str, sound: bool = True) -> Path:
    """Write the page, and the sound of the worst errors beside it.

    Parameters
    ----------
    evaluation : Evaluation
    folder : Path
        Made where it is missing.
    corpus : Corpus
        The one that was evaluated: the sound is cut from its examples.
    title : str
    sound : bool
        Whether to write sound; without it nothing but ``index.html`` is written.

    Returns
    -------
    page : Path

    Raises
    ------
    InputError
        The evaluation is of another corpus.
    """
    sides = (
        ("negative", "Negatives most like a gunshot", evaluation.worst_negatives[:_MOST_ERRORS]),
        ("gunshot", "Gunshots least like one", evaluation.worst_gunshots[:_MOST_ERRORS]),
    )
    for _, _, errors in sides:
        for error in errors:
            _check(error, corpus)
    folder.mkdir(parents=True, exist_ok=True)
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(_what(evaluation))}</p>',
        f'<p class="notice">{escape(_NOTICE)}</p>',
        _thresholds(evaluation),
        _recall(evaluation),
        _curves(evaluation),
        _labels(evaluation),
        _confusion(evaluation),
        _calibration(evaluation),
    ]
    for name, heading, errors in sides:
        players = [
            _player(folder, f"{name}-{rank:02d}", corpus.examples[error.example]) if sound else ""
            for rank, error in enumerate(errors, start=1)
        ]
        parts.append(_errors(heading, errors, players, sound))
    parts.append("</body></html>\n")
    page = folder / "index.html"
    page.write_text("\n".join(parts), encoding="utf-8")
    return page


def _check(error: WorstError, corpus: Corpus) -> None:
    example = corpus.examples[error.example] if 0 <= error.example < len(corpus.examples) else None
    if example is None or (example.clip.file, float(example.at_s)) != (error.file, error.at_s):
        seen = "nothing" if example is None else f"{example.clip.file} at {example.at_s:.3f} s"
        raise InputError(
            f"example {error.example} of the corpus is {seen}, the evaluation has {error.file} at {error.at_s:.3f} s "
            "there; give the corpus that was evaluated",
            field="corpus",
        )


def _what(evaluation: Evaluation) -> str:
    return (
        f"{evaluation.model_id}, on {evaluation.clips} clips: {evaluation.gunshot_onsets} gunshot onsets, "
        f"{evaluation.missed_shots} shots in which no onset was found, {evaluation.negative_onsets} other onsets in "
        f"{evaluation.negative_hours:.2f} hours of {evaluation.negative_clips} clips without a gunshot"
    )


# Sections


def _thresholds(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    if not points:
        return (
            "<h2>Recall at fixed false alarms</h2><p>There are no hours of sound without a gunshot in this corpus, so "
            "no rate of false alarms can be measured and no threshold set. Evaluate together with negatives.</p>"
        )
    rows = [
        (
            _rate(point.alarm.asked_per_hour),
            f"{point.alarm.threshold:.4f}",
            f"{point.alarm.alarms} in {point.alarm.hours:.2f} h",
            f"{point.alarm.shown_per_hour:.3g} per hour",
            f"{point.alarm.upper95_per_hour:.3g} per hour",
            "yes" if point.alarm.resolved else "no: unresolved",
            _percent(point.recall),
            _interval(point.recall),
            f"{point.recall.count} of {point.recall.of}",
        )
        for point in points
    ]
    head = (
        "false alarms allowed",
        "threshold",
        "seen",
        "that is",
        "true rate below (95 %)",
        "shown",
        "recall",
        "95 %",
        "shots",
    )
    words = (
        f"The negatives here last {evaluation.negative_hours:.2f} hours. An onset is called a gunshot where its score "
        "is above the threshold, and the threshold is the lowest at which these hours hold no more false alarms than "
        "allowed. The interval treats shots as independent; shots of one place and day are not quite, so it is too "
        "narrow."
    )
    if any(not point.alarm.resolved for point in points):
        words += (
            " Unresolved: the hours are too few for even one false alarm at the rate asked for, so that rate cannot "
            "be shown. The threshold is then the highest score any negative had; all that is shown is that the true "
            "rate is below the bound in the table."
        )
    return f"<h2>Recall at fixed false alarms</h2><p>{escape(words)}</p>{_table(head, rows, numbers=range(1, 9))}"


def _recall(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    if not points:
        return ""
    distance = [[(_bin_name(item, "m"), item.share) for item in point.recall_by_distance] for point in points]
    snr = [[(_bin_name(item, "dB"), item.share) for item in point.recall_by_snr] for point in points]
    cards = "".join(
        _card(title, _bars(rows, points, x_label, title) + _recall_table(rows, points, x_label))
        for title, rows, x_label in (
            ("Recall by distance", distance, "distance, metres"),
            ("Recall by SNR", snr, "peak over noise floor, dB"),
        )
    )
    groups = "".join(
        f"<h3>{title}</h3>{_recall_table(rows, points, name)}"
        for title, name, rows in (
            ("Recall by source", "source", [_named(point.recall_by_source) for point in points]),
            ("Recall by sample rate", "sample rate", [_named(point.recall_by_sample_rate) for point in points]),
            (
                "Negatives called gunshot, by sample rate",
                "sample rate",
                [_named(point.false_by_sample_rate) for point in points],
            ),
        )
    )
    words = (
        "Shots in which no onset was found count as missed. They have no SNR, so the chart by SNR is of shots with an "
        "onset only; the chart by distance is of shots whose distance was surveyed only. Bars are 95 % Wilson "
        "intervals."
    )
    return f'<h2>Recall</h2><p>{words}</p><div class="cards">{cards}</div>{groups}'


def _curves(evaluation: Evaluation) -> str:
    roc, det = evaluation.roc, evaluation.det
    marks = _curve_marks(evaluation)
    area = "not defined" if evaluation.roc_area is None else f"area {evaluation.roc_area:.4f}"
    precision = (
        "not defined"
        if evaluation.average_precision is None
        else f"average precision {evaluation.average_precision:.4f}"
    )
    per_hour = evaluation.negative_onsets / evaluation.negative_hours if evaluation.negative_hours else 0.0
    cards = [
        _card(
            f"Receiver operating characteristic (ROC): {area}",
            _curve(
                _Axes((0.0, 1.0), (0.0, 1.0), "share of negative onsets called gunshot", "recall"),
                roc,
                "ROC: recall against the share of negative onsets called gunshot",
                [(x, recall) for x, recall, _ in marks],
            ),
        ),
        _card(
            f"Precision and recall (PR): {precision}",
            _curve(
                _Axes((0.0, 1.0), (0.0, 1.0), "recall", "precision"),
                evaluation.precision_recall,
                "Precision against recall",
                [(recall, precision) for _, recall, precision in marks if precision is not None],
            ),
        ),
        _card("Detection error tradeoff (DET), log axes", _det(det, per_hour, evaluation, marks)),
    ]
    words = (
        "Curves are over onsets, whatever the threshold; shots in which no onset was found are not in them. Precision "
        "depends on how many negatives the corpus has, and says nothing of a street."
    )
    return (
        f'<h2>Curves</h2><p>{words}</p>{_legend(evaluation.operating_points)}<div class="cards">{"".join(cards)}</div>'
    )


def _labels(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    shares = [
        {(item.source, item.label, item.kind): item.called_gunshot for item in point.called_by_label}
        for point in points
    ]
    rows = [
        (
            label.source,
            label.label,
            label.kind.value,
            str(label.clips),
            f"{label.hours:.2f}",
            str(label.onsets),
            str(label.missed),
            *(_called(share.get((label.source, label.label, label.kind))) for share in shares),
        )
        for label in evaluation.labels
    ]
    head = (
        "source",
        "label",
        "kind",
        "clips",
        "hours",
        "onsets",
        "no onset",
        *(f"called gunshot at {_rate(point.alarm.asked_per_hour)}" for point in points),
    )
    kinds = ""
    if points:
        named = [_named(point.called_by_kind) for point in points]
        kinds = f"<h3>Onsets called gunshot, by kind</h3>{_recall_table(named, points, 'kind')}"
    return f"<h2>Labels</h2>{_table(head, rows, numbers=range(3, len(head)))}{kinds}"


def _confusion(evaluation: Evaluation) -> str:
    head = "".join(f'<th class="n" scope="col">{escape(kind.value)}</th>' for kind in evaluation.kinds)
    body = []
    for kind, row in zip(evaluation.kinds, evaluation.confusion, strict=True):
        total = sum(row)
        cells = "".join(
            f'<td class="n" style="background:rgb(var(--cell) / {_PALE * count / total if total else 0:.2f})">'
            f"{count}{f'<br><small>{100 * count / total:.1f} %</small>' if total else ''}</td>"
            for count in row
        )
        body.append(f'<tr><th scope="row">{escape(kind.value)}</th>{cells}<td class="n">{total}</td></tr>')
    return (
        "<h2>Confusion matrix</h2><p>Rows are what it was, columns the likeliest kind; the stronger the colour, the "
        'larger the share of the row.</p><div class="wide"><table>'
        f'<tr><th>was</th>{head}<th class="n">onsets</th></tr>{"".join(body)}</table></div>'
    )


def _calibration(evaluation: Evaluation) -> str:
    cards = "".join(
        _card(f"{title}: expected calibration error {_error(item)}", _reliability(item, title) + _bins(item))
        for title, item in (
            ("Gunshot probability", evaluation.gunshot_calibration),
            ("Probability of the likeliest kind", evaluation.top_calibration),
        )
    )
    return (
        "<h2>Calibration</h2><p>Where the classifier says 70 %, it should be right 7 times in 10: points on the dashed "
        "line. Bars are 95 % Wilson intervals, pale columns the share of all onsets that is in each bin.</p>"
        f'<div class="cards">{cards}</div>'
    )


def _errors(heading: str, errors: Sequence[WorstError], players: Sequence[str], sound: bool) -> str:
    if not errors:
        return f"<h2>{heading}</h2><p>None.</p>"
    head = (
        "score",
        "likeliest kind",
        "label",
        "detail",
        "clip",
        "onset",
        "SNR",
        "distance",
        *(["sound"] if sound else []),
    )
    rows = [
        (
            f"{error.score:.4f}",
            error.called.value,
            error.label,
            error.sub_label,
            f"{error.source}: {error.file}",
            f"{error.at_s:.3f} s",
            f"{error.snr_db:.1f} dB",
            "" if error.distance_m is None else f"{error.distance_m:.0f} m",
        )
        for error in errors
    ]
    words = "Worst first. " + ("Each sound is made equally loud." if sound else "")
    return f"<h2>{heading}</h2><p>{words}</p>{_table(head, rows, numbers=(0, 5, 6, 7), last=players if sound else ())}"


def _player(folder: Path, name: str, example: Example) -> str:
    """Write the sound of an example, and return its player."""
    samples = np.asarray(example.samples, dtype=np.float64)
    if not samples.size:
        return "no samples"
    peak = float(np.abs(samples).max())
    (folder / _SOUND_FOLDER).mkdir(exist_ok=True)
    path = folder / _SOUND_FOLDER / f"{name}.wav"
    soundfile.write(path, samples * (_LOUDNESS / peak if peak else 1.0), example.clip.sample_rate_hz, subtype="PCM_16")
    label = f"{example.clip.label}, {example.clip.file} at {example.at_s:.3f} s"
    return f'<audio controls preload="none" src="{_SOUND_FOLDER}/{name}.wav" aria-label="{escape(label)}"></audio>'


# Tables and words


def _table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = (), last: Sequence[str] = ()
) -> str:
    """Return a table; ``numbers`` are columns set to the right, ``last`` a column of ready HTML."""
    kinds = ["n" if index in numbers else "" for index in range(len(head))]
    top = "".join(f'<th class="{kind}" scope="col">{escape(text)}</th>' for kind, text in zip(kinds, head, strict=True))
    body = []
    for index, row in enumerate(rows):
        cells = "".join(f'<td class="{kind}">{escape(text)}</td>' for kind, text in zip(kinds, row, strict=False))
        body.append(f"<tr>{cells}{f'<td>{last[index]}</td>' if last else ''}</tr>")
    return f'<div class="wide"><table><tr>{top}</tr>{"".join(body)}</table></div>'


def _recall_table(rows: Sequence[Sequence[tuple[str, Share]]], points: Sequence[OperatingPoint], name: str) -> str:
    """Return shares by name, one pair of columns an operating point."""
    head = [name]
    for point in points:
        head += [f"at {_rate(point.alarm.asked_per_hour)}", "95 %"]
    body = []
    for group in zip(*rows, strict=True):
        cells = [group[0][0]]
        for _, share in group:
            cells += [_called(share), _interval(share)]
        body.append(cells)
    return _table(head, body, numbers=range(1, len(head))) if body else "<p>None.</p>"


def _card(title: str, body: str) -> str:
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>"


def _named(groups: Sequence[GroupShare]) -> list[tuple[str, Share]]:
    return [(group.name, group.share) for group in groups]


def _bin_name(item: BinShare, unit: str) -> str:
    if item.low is None:
        return f"below {item.high:g} {unit}"
    return f"{item.low:g} {unit} and more" if item.high is None else f"{item.low:g} to {item.high:g} {unit}"


def _rate(per_hour: float) -> str:
    """Return a rate of false alarms in the unit in which it is a whole number, if there is one."""
    for hours, unit in ((1.0, "hour"), (24.0, "day")):
        count = per_hour * hours
        if count >= 1.0 and math.isclose(count, round(count)):
            return f"{round(count)} per {unit}"
    return f"{per_hour:.3g} per hour"


def _percent(share: Share) -> str:
    return "-" if share.share is None else f"{100 * share.share:.1f} %"


def _interval(share: Share) -> str:
    return "-" if share.share is None else f"{100 * share.low95:.1f} to {100 * share.high95:.1f} %"


def _called(share: Share | None) -> str:
    return "-" if share is None or share.share is None else f"{_percent(share)} ({share.count} of {share.of})"


def _error(item: Calibration) -> str:
    return "not defined" if item.error is None else f"{item.error:.4f}"


def _bins(item: Calibration) -> str:
    rows = [
        (f"{bin_.low:.2f} to {bin_.high:.2f}", f"{bin_.mean_probability:.3f}", _called(bin_.observed))
        for bin_ in item.bins
        if bin_.mean_probability is not None
    ]
    return _table(("stated", "mean", "came true"), rows, numbers=(1, 2)) if rows else "<p>No onsets.</p>"


# Charts


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
        parts.append(f'<text class="name mid" x="{middle_x}" y="{_HEIGHT - 8}">{escape(self._labels[0])}</text>')
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


def _legend(points: Sequence[OperatingPoint]) -> str:
    keys = "".join(
        f'<span class="key"><svg viewBox="0 0 14 14" aria-hidden="true">{_symbol(number, 7, 7)}</svg>'
        f"{escape(_rate(point.alarm.asked_per_hour))}{'' if point.alarm.resolved else ' (unresolved)'}</span>"
        for number, point in enumerate(points)
    )
    return f'<p class="legend">{keys}</p>'


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
        return "<p>Not defined: it needs both gunshots and negatives.</p>"
    axes.path("line c0", list(zip(curve.x, curve.y, strict=True)))
    for number, (x, y) in enumerate(marks):
        axes.dot(number, x, y, f"{x:.4f}, {y:.4f}")
    return axes.svg(title)


def _det(
    curve: Curve, per_hour: float, evaluation: Evaluation, marks: Sequence[tuple[float, float, float | None]]
) -> str:
    if not curve.x or not per_hour:
        return "<p>Not defined: it needs both gunshots and negatives.</p>"
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
    for number, (x, recall, _) in enumerate(marks):
        axes.dot(
            number,
            max(x * per_hour, least_x),
            max(1.0 - recall, least_y),
            f"{x * per_hour:.3g} false alarms per hour, {1.0 - recall:.4f} missed",
        )
    return axes.svg("DET: share of gunshots missed against false alarms per hour, both on log axes") + (
        '<p class="quiet">What is 0 is drawn at half a count, on the edge. Dashed lines are the rates asked for.</p>'
    )


def _bars(
    rows: Sequence[Sequence[tuple[str, Share]]], points: Sequence[OperatingPoint], x_label: str, title: str
) -> str:
    names = [name for name, _ in rows[0]]
    axes = _Axes((0.0, float(len(names))), (0.0, 1.0), x_label, "recall", names=names)
    for number, row in enumerate(rows):
        shift = 0.5 + 0.12 * (number - (len(rows) - 1) / 2)
        for place, (name, share) in enumerate(row):
            if share.share is not None:
                axes.path(f"bar c{number % 3}", [(place + shift, share.low95), (place + shift, share.high95)])
                axes.dot(number, place + shift, share.share, f"{name}: {_called(share)}, 95 % {_interval(share)}")
    return axes.svg(f"{title}, with 95 % intervals") + _legend(points)


def _reliability(item: Calibration, title: str) -> str:
    axes = _Axes((0.0, 1.0), (0.0, 1.0), "probability stated", "share that came true")
    total = sum(bin_.observed.of for bin_ in item.bins)
    for bin_ in item.bins:
        if total and bin_.observed.of:
            left, right, top = axes.x(bin_.low), axes.x(bin_.high), axes.y(bin_.observed.of / total)
            axes.marks.append(
                f'<rect class="count" x="{left + 1:.1f}" y="{top:.1f}" width="{right - left - 2:.1f}" '
                f'height="{axes.y(0.0) - top:.1f}"><title>{bin_.observed.of} onsets</title></rect>'
            )
    axes.path("mark", [(0.0, 0.0), (1.0, 1.0)])
    for bin_ in item.bins:
        if bin_.mean_probability is not None and bin_.observed.share is not None:
            at, observed = bin_.mean_probability, bin_.observed
            axes.path("bar c1", [(at, observed.low95), (at, observed.high95)])
            axes.dot(1, at, bin_.observed.share, f"stated {at:.3f}, came true {_called(observed)}")
    return axes.svg(f"Reliability of the {title.lower()}: share that came true against the probability stated")
