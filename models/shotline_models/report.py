"""The page of an evaluation: ``index.html``, and beside it the sound of the worst errors.

The page needs no network. Its charts are SVG in the page's own colours, light or dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np
import soundfile

from shotline.errors import InputError
from shotline_models.dataset import Corpus, Example
from shotline_models.evaluate import Evaluation, GroupShare, WorstError
from shotline_models.metrics import Share
from shotline_models.report_charts import (
    det_chart,
    legend,
    precision_recall_chart,
    reliability_chart,
    roc_chart,
    share_chart,
)
from shotline_models.report_tables import (
    Html,
    bin_name,
    calibration_table,
    card,
    counted_percent,
    rate,
    share_table,
    share_with_interval,
    table,
)

__all__ = ["write_report"]

_NOTICE = "A classifier's score by itself is not grounds for a stop, search or arrest."
_MOST_ERRORS = 12
_LOUDNESS = 0.7
"""Peak of a written sound, full scale = 1: a far shot could not be heard otherwise."""
_SOUND_FOLDER = "sound"
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
h1 { font-size: 24px; margin: 0 0 2px; overflow-wrap: anywhere; } h2 { font-size: 18px; margin: 36px 0 10px; }
h3 { font-size: 15px; margin: 18px 0 6px; }
p { margin: 6px 0; max-width: 90ch; } .quiet { color: var(--quiet); }
.notice { border-left: 4px solid var(--orange); padding: 6px 14px; background: var(--card); }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(420px, 100%), 1fr)); gap: 16px; }
figure { margin: 0; padding: 14px; background: var(--card); border: 1px solid var(--rule); border-radius: 8px;
  min-width: 0; }
figcaption { font-weight: 600; margin-bottom: 6px; }
.wide { overflow-x: auto; margin: 8px 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; background: var(--card); }
th, td { padding: 4px 12px; border-bottom: 1px solid var(--rule); text-align: left; white-space: pre-line; }
th { font-weight: 600; } thead th { color: var(--quiet); vertical-align: bottom; } tbody th { font-weight: 400; }
tr > :first-child { position: sticky; left: 0; background: var(--card); }
.n { text-align: right; } td.n { white-space: pre; }
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
@media (max-width: 520px) { body { padding: 16px 12px 48px; } figure { padding: 12px 8px; }
  table { font-size: 13px; } th, td { padding: 4px 8px; } .tick { font-size: 14px; } .name { font-size: 15px; } }
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
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body><main>",
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
            _player(folder, f"{name}-{rank:02d}", corpus.examples[error.example])
            for rank, error in enumerate(errors if sound else (), start=1)
        ]
        parts.append(_errors(heading, errors, players))
    parts.append("</main></body></html>\n")
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


def _thresholds(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    if not points:
        return (
            "<h2>Recall at fixed false alarms</h2><p>There are no hours of sound without a gunshot in this corpus, so "
            "no rate of false alarms can be measured and no threshold set. Evaluate together with negatives.</p>"
        )
    head = (
        "false alarms allowed",
        "threshold",
        "false alarms seen",
        "true rate below (95\u00a0%)",
        "shown",
        "recall (95\u00a0% interval)",
    )
    rows = [
        (
            rate(point.alarm.asked_per_hour),
            f"{point.alarm.threshold:.4f}",
            f"{point.alarm.alarms} in {point.alarm.hours:.2f} h\n{point.alarm.shown_per_hour:.3g} per hour",
            f"{point.alarm.upper95_per_hour:.3g} per hour",
            "yes" if point.alarm.resolved else "no: unresolved",
            share_with_interval(point.recall),
        )
        for point in points
    ]
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
    return (
        f"<h2>Recall at fixed false alarms</h2><p>{escape(words)}</p>{table(head, rows, numbers=range(1, len(head)))}"
    )


def _recall(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    if not points:
        return ""
    distance = [[(bin_name(item), item.share) for item in point.recall_by_distance] for point in points]
    snr = [[(bin_name(item), item.share) for item in point.recall_by_snr] for point in points]
    cards = "".join(
        card(title, share_chart(rows, points, x_label, title) + share_table(rows, points, x_label))
        for title, rows, x_label in (
            ("Recall by distance", distance, "distance, metres"),
            ("Recall by SNR", snr, "peak over noise floor, dB"),
        )
    )
    groups = "".join(
        f"<h3>{title}</h3>{share_table(rows, points, name)}"
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
        "intervals; in the tables they stand under the share."
    )
    return f'<h2>Recall</h2><p>{words}</p><div class="cards">{cards}</div>{groups}'


def _curves(evaluation: Evaluation) -> str:
    area = "not defined" if evaluation.roc_area is None else f"area {evaluation.roc_area:.4f}"
    precision = (
        "not defined"
        if evaluation.average_precision is None
        else f"average precision {evaluation.average_precision:.4f}"
    )
    cards = (
        card(f"Receiver operating characteristic (ROC): {area}", roc_chart(evaluation)),
        card(f"Precision and recall (PR): {precision}", precision_recall_chart(evaluation)),
        card("Detection error tradeoff (DET), log axes", det_chart(evaluation)),
    )
    words = (
        "Curves are over onsets, whatever the threshold; shots in which no onset was found are not in them. Precision "
        "depends on how many negatives the corpus has, and says nothing of a street."
    )
    return (
        f'<h2>Curves</h2><p>{words}</p>{legend(evaluation.operating_points)}<div class="cards">{"".join(cards)}</div>'
    )


def _labels(evaluation: Evaluation) -> str:
    points = evaluation.operating_points
    shares = [
        {(item.source, item.label, item.kind): item.called_gunshot for item in point.called_by_label}
        for point in points
    ]
    rows = [
        (
            label.label,
            label.source,
            label.kind.value,
            str(label.clips),
            f"{label.hours:.2f}",
            str(label.onsets),
            str(label.missed),
            *(counted_percent(share.get((label.source, label.label, label.kind))) for share in shares),
        )
        for label in sorted(evaluation.labels, key=lambda item: (evaluation.kinds.index(item.kind), item.label))
    ]
    head = (
        "label",
        "source",
        "kind",
        "clips",
        "hours",
        "onsets",
        "no onset",
        *(f"called gunshot at {rate(point.alarm.asked_per_hour)}" for point in points),
    )
    kinds = ""
    if points:
        named = [_named(point.called_by_kind) for point in points]
        kinds = f"<h3>Onsets called gunshot, by kind</h3>{share_table(named, points, 'kind')}"
    return f"<h2>Labels</h2>{table(head, rows, numbers=range(3, len(head)))}{kinds}"


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
        f'<thead><tr><th scope="col">was</th>{head}<th class="n" scope="col">onsets</th></tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def _calibration(evaluation: Evaluation) -> str:
    onsets = evaluation.gunshot_onsets + evaluation.negative_onsets
    cards = "".join(
        card(
            f"{title}: expected calibration error {_figure(item.error)}",
            reliability_chart(item, title.lower()) + calibration_table(item),
        )
        for title, item in (
            ("Gunshot probability, at even odds", evaluation.gunshot_calibration),
            ("Probability of the likeliest kind, in this corpus's mix", evaluation.top_calibration),
        )
    )
    words = (
        "Where the classifier says 70 %, it should be right 7 times in 10: points on the dashed line. Bars are 95 % "
        "Wilson intervals, pale columns the part of all onsets that is in each bin. The gunshot probability is stated "
        "for even odds and judged at them: gunshots and all other onsets weigh one half each, in the shares, the "
        "columns and the error; only the counts are of onsets as they are. In this corpus's mix, "
        f"{evaluation.gunshot_onsets} gunshots of {onsets} onsets, its error is "
        f"{_figure(evaluation.gunshot_calibration_error_in_corpus_mix)}."
    )
    return f'<h2>Calibration</h2><p>{escape(words)}</p><div class="cards">{cards}</div>'


def _named(groups: Sequence[GroupShare]) -> list[tuple[str, Share]]:
    return [(group.name, group.share) for group in groups]


def _figure(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4f}"


def _errors(heading: str, errors: Sequence[WorstError], players: Sequence[str]) -> str:
    """Return the worst errors, each with its player where there are any."""
    if not errors:
        return f"<h2>{heading}</h2><p>None.</p>"
    head = ("rank", *(["sound"] if players else []), "score", "likeliest kind", "label", "clip", "SNR", "distance")
    rows = [
        (
            str(rank),
            *([Html(players[rank - 1])] if players else []),
            f"{error.score:.4f}",
            error.called.value,
            f"{error.label}\n{error.sub_label}",
            f"{error.source}: {error.file}\nat {error.at_s:.3f} s",
            f"{error.snr_db:.1f} dB",
            "-" if error.distance_m is None else f"{error.distance_m:.0f} m",
        )
        for rank, error in enumerate(errors, start=1)
    ]
    words = "Worst first." + (" Each sound is made equally loud." if players else "")
    numbers = [index for index, name in enumerate(head) if name in ("rank", "score", "SNR", "distance")]
    return f"<h2>{heading}</h2><p>{words}</p>{table(head, rows, numbers=numbers)}"


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
