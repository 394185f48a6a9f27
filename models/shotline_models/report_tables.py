"""Tables of an evaluation's page, and how its figures are worded."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from html import escape

from shotline_models.evaluate import OperatingPoint
from shotline_models.metrics import BinShare, Calibration, Share

__all__ = [
    "Html",
    "bin_name",
    "calibration_table",
    "card",
    "counted",
    "counted_percent",
    "interval",
    "percent",
    "rate",
    "share_table",
    "share_with_interval",
    "table",
]


class Html(str):
    """A cell that is HTML already; every other is escaped."""

    __slots__ = ()


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[int] = ()) -> str:
    """Return a table; the first cell of a row is its heading.

    Parameters
    ----------
    head : sequence of str
    rows : sequence of sequences of str
        A line break in a cell is one on the page.
    numbers : collection of int
        Columns set to the right.
    """
    kinds = [' class="n"' if index in numbers else "" for index in range(len(head))]
    top = "".join(f'<th{kind} scope="col">{escape(text)}</th>' for kind, text in zip(kinds, head, strict=True))
    body = []
    for row in rows:
        cells = [cell if isinstance(cell, Html) else escape(cell) for cell in row]
        rest = "".join(f"<td{kind}>{cell}</td>" for kind, cell in zip(kinds[1:], cells[1:], strict=True))
        body.append(f'<tr><th{kinds[0]} scope="row">{cells[0]}</th>{rest}</tr>')
    return f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def share_table(rows: Sequence[Sequence[tuple[str, Share]]], points: Sequence[OperatingPoint], name: str) -> str:
    """Return shares by name, one column an operating point.

    Parameters
    ----------
    rows : sequence of sequences of (name, share)
        One an operating point; the same names in each.
    points : sequence of OperatingPoint
    name : str
        What the names are.
    """
    head = [name, *(f"at {rate(point.alarm.asked_per_hour)}" for point in points)]
    body = [[group[0][0], *(share_with_interval(share) for _, share in group)] for group in zip(*rows, strict=True)]
    return table(head, body, numbers=range(1, len(head))) if body else "<p>None.</p>"


def calibration_table(item: Calibration) -> str:
    """Return the bins that hold something, one a row."""
    rows = [
        (
            f"{bin_.low:.2f} to {bin_.high:.2f}",
            f"{bin_.mean_probability:.3f}",
            percent(bin_.observed),
            counted(bin_.observed),
        )
        for bin_ in item.bins
        if bin_.mean_probability is not None
    ]
    return table(("stated", "mean", "came true", "count"), rows, numbers=(1, 2, 3)) if rows else "<p>No onsets.</p>"


def card(title: str, body: str) -> str:
    """Return a figure of HTML with its title."""
    return f"<figure><figcaption>{escape(title)}</figcaption>{body}</figure>"


def bin_name(item: BinShare) -> str:
    """Return the name of a bin, short enough for an axis; the unit stands there."""
    if item.low is None:
        return f"below {item.high:g}"
    return f"from {item.low:g}" if item.high is None else f"{item.low:g} to {item.high:g}"


def rate(per_hour: float) -> str:
    """Return a rate of false alarms in the unit in which it is a whole number, if there is one."""
    for hours, unit in ((1.0, "hour"), (24.0, "day")):
        count = per_hour * hours
        if count >= 1.0 and math.isclose(count, round(count)):
            return f"{round(count)} per {unit}"
    return f"{per_hour:.3g} per hour"


def percent(share: Share) -> str:
    """Return a share in percent; a dash where there was nothing to count."""
    return "-" if share.share is None else f"{_hundredths(share.share)} %"


def interval(share: Share) -> str:
    """Return the 95 % interval of a share in percent."""
    return f"{_hundredths(share.low95)} to {_hundredths(share.high95)} %"


def counted(share: Share) -> str:
    """Return what a share was counted from."""
    return f"{share.count} of {share.of}"


def counted_percent(share: Share | None) -> str:
    """Return a share in percent and what it was counted from; a dash where there was nothing to count."""
    return "-" if share is None or share.share is None else f"{percent(share)} ({counted(share)})"


def share_with_interval(share: Share) -> str:
    """Return a share, what it was counted from, and under it the 95 % interval; a dash where there was nothing."""
    return "-" if share.share is None else f"{counted_percent(share)}\n{interval(share)}"


def _hundredths(share: float) -> str:
    """Return 100 times a share to one decimal, or to its first digit where that would read as nothing."""
    return f"{100 * share:.1f}" if share == 0.0 or share >= 0.0005 else f"{float(f'{100 * share:.1g}'):f}".rstrip("0")
