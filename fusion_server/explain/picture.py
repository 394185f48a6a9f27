"""An explanation as a picture: a map with the curves that meet at the place, residuals of the arrivals, the words."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fusion_server.explain.geometry import ellipse_ring_m, isochrone_m
from fusion_server.explain.subject import Explanation
from fusion_server.explain.words import location_lines, refusal_lines
from shotline.domain import Arrival, ArrivalVerdict, Location, Root, Site
from shotline.errors import InputError
from shotline.records import ALERT_NOTICE
from shotline.units import NS_PER_MS, NS_PER_S

__all__ = ["FORMATS", "check_picture_path", "draw", "save"]

FORMATS = (".png", ".svg", ".pdf")
"""What a picture may be called."""

# Okabe and Ito's palette: told apart by the colour-blind as well. Shapes differ too.
_BLUE, _ORANGE, _GREEN, _PURPLE = "#0072B2", "#D55E00", "#007A5E", "#AA4499"
_INK, _QUIET, _GRID = "#222222", "#6B6B6B", "#E4E4E4"
_WIDTH_IN = 12.0
_DPI = 100
_MOST_ROWS = 24
_MOST_TABLE_ROWS = 14
_MOST_LABELS = 60
_MOST_OTHER_LABELS = 30
_MOST_TIMES_USUAL = 4.0
_LABEL_PT = 8.0
_SIDES = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Where a name may stand beside its node: east, west, north, south, and between."""
_REACH_M = 50_000.0
"""Curves end far outside any map."""
_WRAP_REASON = 66
_WRAP_WORDS = 150
_CLEARANCE = 1.16


@dataclass(frozen=True, slots=True)
class _Kind:
    """How nodes of one kind look."""

    label: str
    marker: str
    face: str
    edge: str
    size: float


_KINDS = {
    "used": _Kind("used", "o", _BLUE, "white", 9.0),
    "aside": _Kind("set aside", "s", _ORANGE, "white", 8.5),
    "heard": _Kind("heard it", "o", _INK, "white", 9.0),
    "passed": _Kind("passed over", "s", "white", _ORANGE, 7.5),
    "silent": _Kind("silent, should have heard", "v", "white", _INK, 8.5),
    "other": _Kind("no arrival", "o", "white", "#9A9A9A", 6.0),
}


def check_picture_path(path: Path) -> None:
    """Refuse a file that no picture can be written to.

    Raises
    ------
    InputError
        Its name ends in none of `FORMATS`, or its folder is not there.
    """
    if path.suffix.lower() not in FORMATS:
        raise InputError(
            f"cannot tell the kind of picture from '{path.suffix}'; end the name in {', '.join(FORMATS)}",
            source=path,
            field="--explain",
        )
    if not path.parent.is_dir():
        raise InputError("no such folder; make it first", source=path.parent, field="--explain")


def save(figure: Any, path: Path) -> None:
    """Write a figure; the same figure makes the same bytes.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        From `draw`.
    path : Path
        See `check_picture_path`.
    """
    from matplotlib import rc_context
    from PIL import Image

    check_picture_path(path)
    kind = path.suffix.lower()
    if kind == ".png":
        figure.canvas.draw()
        # A palette: a third of the bytes, and the same to the eye.
        pixels = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
        pixels.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True, dpi=(figure.dpi, figure.dpi))
        return
    with rc_context({"svg.hashsalt": "shotline"}):
        figure.savefig(path, format=kind[1:], metadata={"CreationDate" if kind == ".pdf" else "Date": None})


def draw(explanation: Explanation) -> Any:
    """Return the picture, 1,200 pixels wide and as high as it needs.

    Every artist that shows a thing has a gid: ``node:ID``, ``isochrone:ID``, ``fix``, ``ellipse95``, ``region95``,
    ``root``, ``lost``, ``residual:DETECTION``, ``sigma:DETECTION``.

    Parameters
    ----------
    explanation : Explanation

    Returns
    -------
    matplotlib.figure.Figure
        On the Agg canvas: no window, no global state.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    found = explanation.found
    words = _words(explanation)
    rows = _table_rows(explanation)
    located = isinstance(found, Location)
    n_bars = min(_MOST_ROWS, len(explanation.arrivals))
    bars_in = max(3.1, 0.9 + (0.36 if n_bars < 12 else 0.28) * n_bars)
    heights = (max(6.3, bars_in + (3.3 if located else 0.4)), 0.25 + 0.2 * len(words), 0.1 + 0.19 * len(rows))
    figure = Figure(figsize=(_WIDTH_IN, sum(heights) + 0.35), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(explanation.title, x=0.012, ha="left", fontsize=13, color=_INK, parse_math=False)
    parts: Any = figure.subfigures(3, 1, height_ratios=[max(height, 0.01) for height in heights])
    top = parts[0].subfigures(1, 2, width_ratios=(1.36, 1.0))
    views = [_draw_map(top[0].subplots(), explanation)]
    if located:
        bars, close_up = top[1].subplots(2, 1, height_ratios=(bars_in, max(3.2, heights[0] - bars_in)))
        _draw_residuals(bars, explanation)
        views.append(_draw_close_up(close_up, explanation))
    else:
        _draw_delays(top[1].subplots(), explanation)
    _draw_words(parts[1].subplots(), words)
    _draw_table(parts[2].subplots(), rows)
    # How wide and high each map is, is known only now; filling it changes its tick labels, and so once more its width.
    layout: Any = figure.get_layout_engine()
    for _ in range(2):
        layout.execute(figure)
        for view in views:
            view.fill()
    figure.set_layout_engine("none")
    for view in views:
        view.axes.set_aspect("equal")
    _draw_labels(views[0], explanation)
    return figure


@dataclass(frozen=True, slots=True)
class _View:
    """A map and the rectangle on the ground that it must show, one metre as long as the other."""

    axes: Any
    middle_m: NDArray[np.float64]
    half_m: NDArray[np.float64]

    def size_pt(self) -> NDArray[np.float64]:
        """Return width and height of the map on paper, in points."""
        box = self.axes.get_window_extent()
        size_pt: NDArray[np.float64] = np.array([box.width, box.height]) * (72.0 / self.axes.get_figure(root=True).dpi)
        return size_pt

    def points_per_m(self) -> float:
        return float((self.size_pt() / (2.0 * self.half_m)).min())

    def show(self, half_m: NDArray[np.float64]) -> None:
        low, high = self.middle_m - half_m, self.middle_m + half_m
        self.axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))

    def fill(self) -> None:
        """Show the rectangle to scale, and as much more as there is room for."""
        self.show(self.size_pt() / (2.0 * self.points_per_m()))


def _draw_map(axes: Any, explanation: Explanation) -> _View:
    found = explanation.found
    view = _window(axes, explanation)
    view.show(view.half_m)
    _dress(axes, "east, m", "north, m")
    for node, curve, kind in _curves(explanation):
        axes.plot(*curve.T, gid=f"isochrone:{node}", **_curve_style(kind))
    if isinstance(found, Location):
        _draw_error(axes, found, (0.0, 0.0), emphasis=0.8)
    for number, lost in enumerate(explanation.lost, start=1):
        axes.plot(lost.x_m, lost.y_m, "x", color="#9A9A9A", ms=8, mew=1.4, gid="lost", zorder=3)
        axes.annotate(
            str(number), (lost.x_m, lost.y_m), (4, 4), textcoords="offset points", fontsize=8, color=_QUIET,
            annotation_clip=True, clip_on=True,
        )  # fmt: skip
    _draw_roots(axes, explanation)
    for site, kind in _nodes(explanation):
        axes.plot(site.x_m, site.y_m, gid=f"node:{site.node}", **_node_style(kind))
    if isinstance(found, Location):
        axes.plot(found.x_m, found.y_m, "P", color=_GREEN, mec="white", ms=10, gid="fix", zorder=6)
    if wind_mps := explanation.weather.wind_speed_mps:
        _draw_wind(axes, explanation.weather.wind_enu_mps, f"wind {round(wind_mps, 1):g} m/s")
    axes.get_figure(root=False).legend(
        handles=_legend(explanation), fontsize=8.5, ncols=4, frameon=False, loc="outside lower center",
        handletextpad=0.5, columnspacing=1.4,
    )  # fmt: skip
    notation = explanation.notation
    origin = f"North is up; 0, 0 is {notation.place(0.0, 0.0)}" if notation.frame else "North (y) is up"
    axes.set_title(f"Curves of equal arrival-time difference. {origin}", fontsize=9.5, loc="left", color=_QUIET)
    return view


def _draw_close_up(axes: Any, explanation: Explanation) -> _View:
    found = explanation.found
    assert isinstance(found, Location)
    rings = np.concatenate([np.array(ring) for ring in found.region95] or [np.empty((0, 2))])
    outline = np.concatenate([ellipse_ring_m(found.x_m, found.y_m, found.ellipse95), rings])
    place = (found.x_m, found.y_m)
    low, high = (outline - place).min(axis=0), (outline - place).max(axis=0)
    view = _View(axes, (low + high) / 2.0, 1.25 * np.maximum(high - low, 1e-3) / 2.0)
    view.show(view.half_m)
    _dress(axes, "m east of the place", "m north of the place")
    for node, curve, kind in _curves(explanation):
        axes.plot(*(curve - place).T, gid=f"isochrone:{node}", **_curve_style(kind))
    _draw_error(axes, found, place, emphasis=1.0)
    axes.plot(0.0, 0.0, "P", color=_GREEN, mec="white", ms=12, gid="fix", zorder=6)
    for verdict in found.verdicts:
        site = verdict.arrival.site
        axes.plot(site.x_m - place[0], site.y_m - place[1], **_node_style("used" if verdict.used else "aside"))
    shown = "50, 90 and 95 % ellipses" if found.ellipse50 and found.ellipse90 else "95 % ellipse"
    shown += " and 95 % region" if found.region95 else ""
    axes.set_title(f"The place, closer: {shown}", fontsize=9.5, loc="left", color=_QUIET)
    return view


def _draw_error(axes: Any, found: Location, zero: tuple[float, float], *, emphasis: float) -> None:
    """Draw region and ellipses, the smaller the darker, with ``zero`` as the origin."""
    from matplotlib.patches import Polygon

    for ring in found.region95:
        axes.add_patch(
            Polygon(
                np.array(ring) - zero, fc=_GREEN, alpha=0.16 * emphasis, ec="none", gid="region95", zorder=1.5
            )
        )  # fmt: skip
        axes.add_patch(Polygon(np.array(ring) - zero, fc="none", ec=_GREEN, lw=1.3, gid="region95", zorder=4))
    # With a region the ellipse is the lesser truth.
    line = (0, (2, 2)) if found.region95 else "-"
    for name, ellipse in (("95", found.ellipse95), ("90", found.ellipse90), ("50", found.ellipse50)):
        if ellipse is None:
            continue
        ring_m = ellipse_ring_m(found.x_m, found.y_m, ellipse) - zero
        filled = 0.0 if found.region95 else 0.15 * emphasis
        axes.add_patch(Polygon(ring_m, fc=_GREEN, alpha=filled, ec="none", zorder=1.5))
        axes.add_patch(
            Polygon(
                ring_m, fc="none", ec=_GREEN, lw=1.4 if name == "95" else 0.9, ls=line, gid=f"ellipse{name}", zorder=4
            )
        )  # fmt: skip


def _draw_roots(axes: Any, explanation: Explanation) -> None:
    for letter, root in _lettered(explanation):
        axes.plot(root.x_m, root.y_m, "D", mfc="white", mec=_PURPLE, mew=2.0, ms=9, gid="root", zorder=6)
        axes.annotate(
            f"{letter}: {100 * root.weight:.0f} %", (root.x_m, root.y_m), (9, -4), textcoords="offset points",
            fontsize=10, color=_PURPLE, fontweight="bold", clip_on=True, annotation_clip=True, zorder=7,
            path_effects=_halo(),
        )  # fmt: skip


def _draw_labels(view: _View, explanation: Explanation) -> None:
    """Write the names of nodes where they cover neither each other nor a mark, and do not stick out."""
    nodes = _nodes(explanation)
    named = [item for item in nodes if item[1] != "other"]
    others = [item for item in nodes if item[1] == "other"]
    named += others if len(others) <= _MOST_OTHER_LABELS else []
    scale, size_pt = view.points_per_m(), view.size_pt()
    zero_m = view.middle_m - size_pt / (2.0 * scale)
    marks = [(np.array([x_m, y_m]) - zero_m) * scale for x_m, y_m in _marks(explanation)]
    marks += [(np.array([site.x_m, site.y_m]) - zero_m) * scale for site, _ in named]
    taken: list[tuple[float, ...]] = [(x - 7.0, y - 7.0, x + 7.0, y + 7.0) for x, y in marks]
    for site, kind in named[:_MOST_LABELS]:
        size = np.array([5.8 * len(site.node), 11.0])
        at = (np.array([site.x_m, site.y_m]) - zero_m) * scale
        hidden = [_hidden(_box(at, size, side), taken, size_pt) for side in _SIDES]
        side = _SIDES[hidden.index(min(hidden))]
        taken.append(_box(at, size, side))
        view.axes.annotate(
            site.node, (site.x_m, site.y_m), _LABEL_PT * np.array(side), textcoords="offset points", fontsize=9,
            ha=("right", "center", "left")[side[0] + 1], va=("top", "center", "bottom")[side[1] + 1],
            color=_QUIET if kind == "other" else _INK, parse_math=False, clip_on=True, annotation_clip=True,
            path_effects=_halo(), gid=f"name:{site.node}", zorder=8,
        )  # fmt: skip


def _box(at: NDArray[np.float64], size: NDArray[np.float64], side: tuple[int, int]) -> tuple[float, ...]:
    """Return west, south, east and north border of a label on one side of a mark, in points."""
    corner = at + _LABEL_PT * np.array(side) - size * (1.0 - np.array(side)) / 2.0
    return (*corner, *(corner + size))


def _hidden(box: tuple[float, ...], taken: Sequence[tuple[float, ...]], paper: NDArray[np.float64]) -> float:
    """Return how much of a label covers others, or is off the paper."""
    whole = _overlap(box, box)
    return sum(_overlap(box, other) for other in taken) + whole - _overlap(box, (0.0, 0.0, *paper))


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)


def _draw_wind(axes: Any, wind_mps: tuple[float, float], text: str) -> None:
    """Draw an arrow the way the air goes, in the upper left corner."""
    east, north = np.array(wind_mps) / math.hypot(*wind_mps)
    middle, half = np.array([0.075, 0.925]), 0.04
    tip, tail = middle + half * np.array([east, north]), middle - half * np.array([east, north])
    style = {"arrowstyle": "-|>", "color": _INK, "lw": 1.6}
    axes.annotate("", tip, tail, xycoords="axes fraction", textcoords="axes fraction", arrowprops=style, zorder=9)
    axes.text(
        0.13, 0.925, text, transform=axes.transAxes, fontsize=9, color=_INK, va="center", path_effects=_halo(), zorder=9
    )


def _draw_residuals(axes: Any, explanation: Explanation) -> None:
    """Draw a bar for each arrival, in the order of hearing, with its sigma and what was said of it."""
    found = explanation.found
    assert isinstance(found, Location)
    verdicts = _telling(found.verdicts)
    sigma_ms = {uid: 1e3 * sigma_s for uid, sigma_s in explanation.sigma_s.items()}
    limit_ms = _limit_ms(
        [abs(1e3 * verdict.residual_s) for verdict in verdicts if verdict.used],
        [sigma_ms[verdict.arrival.uid] for verdict in verdicts if verdict.arrival.uid in sigma_ms],
    )
    for row, verdict in enumerate(verdicts):
        _draw_residual(axes, row, verdict, sigma_ms.get(verdict.arrival.uid), limit_ms)
    axes.axvline(0.0, color=_INK, lw=1.0, zorder=3)
    axes.set(xlim=(-limit_ms, limit_ms), ylim=(len(verdicts) - 0.35, -0.6))
    _name_rows(axes, [verdict.arrival for verdict in verdicts], shift=-0.1)
    _dress(axes, "residual, ms (observed - predicted; positive is late)", "", rows=True)
    marks = "" if not sigma_ms else "; | | is ± 1 sigma expected"
    more = len(found.verdicts) - len(verdicts)
    axes.set_title(
        f"Residual of each arrival{marks}" + (f"; {more} more not drawn" if more else ""),
        fontsize=9.5,
        loc="left",
        color=_QUIET,
    )


def _telling(verdicts: Sequence[ArrivalVerdict]) -> list[ArrivalVerdict]:
    """Return as many verdicts as there is room for, in the same order: first those with a reason, then the largest."""
    order = sorted(verdicts, key=lambda item: (item.used and not item.reason, -abs(np.nan_to_num(item.residual_s))))
    chosen = {verdict.arrival.uid for verdict in order[:_MOST_ROWS]}
    return [verdict for verdict in verdicts if verdict.arrival.uid in chosen]


def _limit_ms(residuals_ms: Sequence[float], sigmas_ms: Sequence[float]) -> float:
    """Return where the axis of residuals ends: one that is far larger than the others does not make them invisible."""
    usual_ms = max(sigmas_ms) if sigmas_ms else float(np.median(residuals_ms or [0.0]))
    largest_ms = max([*residuals_ms, *sigmas_ms], default=0.0)
    return 1.6 * (min(largest_ms, _MOST_TIMES_USUAL * usual_ms) or largest_ms or 1.0)


def _draw_residual(axes: Any, row: int, verdict: ArrivalVerdict, sigma_ms: float | None, limit_ms: float) -> None:
    uid, colour = verdict.arrival.uid, _BLUE if verdict.used else _ORANGE
    residual_ms = 1e3 * verdict.residual_s
    if math.isfinite(residual_ms):
        sign = math.copysign(1.0, residual_ms)
        drawn_ms = sign * min(abs(residual_ms), 0.97 * limit_ms)
        hatch = "////" if verdict.used and verdict.reason else None
        axes.barh(
            row - 0.1, drawn_ms, 0.42, color=colour, ec="white", lw=0.0, hatch=hatch, gid=f"residual:{uid}", zorder=2
        )
        # Adding 0 makes a rounded -0.0 positive.
        text, beyond = f"{round(residual_ms, 1) + 0.0:+.1f} ms", drawn_ms != residual_ms
        inside = abs(drawn_ms) > 0.7 * limit_ms
        axes.annotate(
            text, (0.0 if inside else drawn_ms, row - 0.1), (5 * sign, 0), textcoords="offset points", fontsize=8.5,
            ha="left" if sign > 0 else "right", va="center", color="white" if inside else _INK,
            fontweight="bold" if inside else "normal", path_effects=[] if inside else _halo(), zorder=5,
        )  # fmt: skip
        if beyond:
            axes.plot(drawn_ms, row - 0.1, ">" if sign > 0 else "<", color=colour, ms=11, clip_on=False, zorder=2)
    if sigma_ms is not None:
        axes.plot(
            [-sigma_ms, sigma_ms], [row - 0.1] * 2, ls="none", marker="|", color=_INK, ms=15, mew=1.3,
            gid=f"sigma:{uid}", zorder=4,
        )  # fmt: skip
    if verdict.reason:
        axes.annotate(
            textwrap.shorten(verdict.reason, _WRAP_REASON, placeholder=" ..."), (0.0, row + 0.17), (4, 0),
            xycoords=("axes fraction", "data"), textcoords="offset points", va="top", fontsize=8,
            color=_QUIET if verdict.used else _ORANGE, parse_math=False, path_effects=_halo(), zorder=5,
        )  # fmt: skip


def _draw_delays(axes: Any, explanation: Explanation) -> None:
    """Draw when each node heard it, after the first: what there is to see where no place was found."""
    arrivals = sorted(explanation.arrivals, key=lambda item: (item.time_ns, item.uid))[:_MOST_ROWS]
    delays_ms = [(arrival.time_ns - arrivals[0].time_ns) / NS_PER_MS for arrival in arrivals]
    longest_ms = max(delays_ms, default=0.0) or 1.0
    for row, (arrival, delay_ms) in enumerate(zip(arrivals, delays_ms, strict=True)):
        axes.barh(row, delay_ms, 0.42, color="#8A8A8A", gid=f"delay:{arrival.uid}")
        axes.annotate(
            f"{delay_ms:.1f} ms", (delay_ms, row), (5, 0), textcoords="offset points", fontsize=8.5, va="center"
        )
    axes.set(xlim=(0.0, 1.3 * longest_ms), ylim=(max(len(arrivals), 1) - 0.4, -0.6))
    _name_rows(axes, arrivals)
    _dress(axes, "after the first arrival, ms", "", rows=True)
    more = len(explanation.arrivals) - len(arrivals)
    axes.set_title(
        "When each node heard it" + (f"; {more} more not drawn" if more else ""), fontsize=9.5, loc="left", color=_QUIET
    )


def _name_rows(axes: Any, arrivals: Sequence[Arrival], *, shift: float = 0.0) -> None:
    names = [textwrap.shorten(arrival.site.node, 18, placeholder="...") for arrival in arrivals]
    axes.set_yticks([row + shift for row in range(len(arrivals))], names, fontsize=9, parse_math=False)


def _draw_words(axes: Any, words: Sequence[tuple[str, str]]) -> None:
    axes.set(xlim=(0.0, 1.0), ylim=(len(words), 0.0))
    axes.axis("off")
    for row, (name, text) in enumerate(words):
        style = {"fontsize": 9.5, "va": "center", "parse_math": False}
        axes.text(0.0, row + 0.5, name, color=_QUIET, **style)
        axes.text(0.07, row + 0.5, text, color=_INK, fontweight="bold" if name == "notice" else "normal", **style)


def _draw_table(axes: Any, rows: Sequence[tuple[str, str, str]]) -> None:
    axes.set(xlim=(0.0, 1.0), ylim=(max(len(rows), 1), 0.0))
    axes.axis("off")
    for row, cells in enumerate(rows):
        for x, text in zip((0.0, 0.10, 0.24), cells, strict=True):
            axes.text(x, row + 0.5, text, fontsize=8.5, va="center", color=_INK if x else _QUIET, parse_math=False)


def _words(explanation: Explanation) -> list[tuple[str, str]]:
    """Return the lines under the picture, wrapped, and last what the place is not good for."""
    found = explanation.found
    if isinstance(found, Location):
        lines = location_lines(found, weather=explanation.weather, notation=explanation.notation)
    else:
        lines = refusal_lines(found, notation=explanation.notation)
    letters = iter(letter for letter, _ in _lettered(explanation))
    wrapped = []
    for name, text in [*lines, ("notice", ALERT_NOTICE)]:
        shown = f"{name} {next(letters)}" if name in ("or", "could be") else name
        parts = textwrap.wrap(text, _WRAP_WORDS)
        wrapped += [(shown if number == 0 else "", part) for number, part in enumerate(parts)]
    return wrapped


def _table_rows(explanation: Explanation) -> list[tuple[str, str, str]]:
    """Return what else was considered; no longer than there is room for."""
    rows = explanation.considered()
    if len(rows) > _MOST_TABLE_ROWS:
        rest = len(rows) - _MOST_TABLE_ROWS + 1
        rows = [*rows[: _MOST_TABLE_ROWS - 1], ("", f"and {rest} more", "")]
    return [(kind, name, textwrap.shorten(text, _WRAP_WORDS, placeholder=" ...")) for kind, name, text in rows]


def _nodes(explanation: Explanation) -> list[tuple[Site, str]]:
    """Return every node that can be drawn, once, with what became of it."""
    found = explanation.found
    kinds: dict[str, tuple[Site, str]] = {site.node: (site, "other") for site in explanation.sites}
    for silence in explanation.silent:
        if silence.node in kinds:
            kinds[silence.node] = (kinds[silence.node][0], "silent")
    for verdict in explanation.passed_over:
        kinds[verdict.arrival.site.node] = (verdict.arrival.site, "passed")
    if isinstance(found, Location):
        for verdict in sorted(found.verdicts, key=lambda item: item.used):
            kinds[verdict.arrival.site.node] = (verdict.arrival.site, "used" if verdict.used else "aside")
    else:
        for arrival in explanation.arrivals:
            kinds[arrival.site.node] = (arrival.site, "heard")
    return [item for item in kinds.values() if math.isfinite(item[0].x_m) and math.isfinite(item[0].y_m)]


def _curves(explanation: Explanation) -> Iterator[tuple[str, NDArray[np.float64], str]]:
    """Yield node, curve and kind for each node heard after the first: used ones first, then those set aside."""
    found = explanation.found
    if isinstance(found, Location):
        first_of = _first_arrivals([item.arrival for item in found.verdicts if item.used])
        aside = _first_arrivals([item.arrival for item in found.verdicts if not item.used])
        others = [(arrival, "used") for arrival in first_of[1:]]
        named = {arrival.site.node for arrival in first_of}
        others += [(arrival, "aside") for arrival in aside if arrival.site.node not in named]
    else:
        first_of = _first_arrivals(explanation.arrivals)
        others = [(arrival, "heard") for arrival in first_of[1:]]
    for arrival, kind in others:
        curve = isochrone_m(
            first_of[0].site,
            arrival.site,
            delay_s=(arrival.time_ns - first_of[0].time_ns) / NS_PER_S,
            speed_of_sound_mps=explanation.weather.speed_of_sound_mps,
            wind_mps=explanation.weather.wind_enu_mps,
            height_m=explanation.height_m,
            reach_m=_REACH_M,
        )
        if len(curve):
            yield arrival.site.node, curve, kind


def _first_arrivals(arrivals: Sequence[Arrival]) -> list[Arrival]:
    """Return the earliest arrival of each node that has a place, in time order."""
    earliest: dict[str, Arrival] = {}
    for arrival in sorted(arrivals, key=lambda item: (item.time_ns, item.uid)):
        site = arrival.site
        if all(map(math.isfinite, (site.x_m, site.y_m, site.z_m))):
            earliest.setdefault(site.node, arrival)
    return list(earliest.values())


def _lettered(explanation: Explanation) -> list[tuple[str, Root]]:
    """Return the places there could also be, named A, B, ..."""
    found = explanation.found
    roots = found.alternatives if isinstance(found, Location) else found.roots
    return [(chr(ord("A") + number % 26), root) for number, root in enumerate(roots)]


def _marks(explanation: Explanation) -> list[tuple[float, float]]:
    """Return where the map has marks that are no nodes."""
    found = explanation.found
    marks = [(root.x_m, root.y_m) for _, root in _lettered(explanation)]
    marks += [(lost.x_m, lost.y_m) for lost in explanation.lost]
    return [*marks, (found.x_m, found.y_m)] if isinstance(found, Location) else marks


def _window(axes: Any, explanation: Explanation) -> _View:
    """Return the map of the place, its error and the nodes that count."""
    found = explanation.found
    points = [(site.x_m, site.y_m) for site, kind in _nodes(explanation) if kind != "other"]
    points += [(root.x_m, root.y_m) for _, root in _lettered(explanation)]
    if isinstance(found, Location):
        points += [(found.x_m, found.y_m), *map(tuple, ellipse_ring_m(found.x_m, found.y_m, found.ellipse95).tolist())]
        points += [point for ring in found.region95 for point in ring]
    places = np.array(points or [(0.0, 0.0)])
    low, high = places.min(axis=0), places.max(axis=0)
    return _View(axes, (low + high) / 2.0, _CLEARANCE * np.maximum((high - low) / 2.0, 5.0))


def _dress(axes: Any, x_label: str, y_label: str, *, rows: bool = False) -> None:
    axes.set_xlabel(x_label, fontsize=9, color=_QUIET)
    axes.set_ylabel(y_label, fontsize=9, color=_QUIET)
    axes.tick_params(labelsize=8.5 if not rows else 9, colors=_QUIET, length=0)
    axes.grid(visible=True, axis="x" if rows else "both", color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(not rows)
        axes.spines[side].set_color("#C4C4C4")
    if rows:
        axes.tick_params(axis="y", labelcolor=_INK)


def _curve_style(kind: str) -> dict[str, Any]:
    colour = {"used": _BLUE, "aside": _ORANGE, "heard": _INK}[kind]
    if kind == "aside":
        return {"color": colour, "lw": 1.0, "alpha": 0.7, "ls": (0, (3, 3)), "zorder": 1.8}
    return {"color": colour, "lw": 1.1, "alpha": 0.55, "ls": "-", "zorder": 2}


def _node_style(kind: str) -> dict[str, Any]:
    look = _KINDS[kind]
    return {
        "ls": "none", "marker": look.marker, "mfc": look.face, "mec": look.edge, "ms": look.size, "mew": 1.3,
        "zorder": 4.5 if kind == "other" else 5,
    }  # fmt: skip


def _legend(explanation: Explanation) -> list[Any]:
    """Return an entry for each thing that is on the map, and no other."""
    from matplotlib.lines import Line2D

    found = explanation.found
    present = {kind for _, kind in _nodes(explanation)}
    handles = [
        Line2D([], [], label=look.label, **_node_style(kind)) for kind, look in _KINDS.items() if kind in present
    ]
    curves = {kind for _, _, kind in _curves(explanation)}
    names = {"used": "equal difference", "heard": "equal difference", "aside": "same, set aside"}
    handles += [Line2D([], [], label=names[kind], **_curve_style(kind)) for kind in names if kind in curves]
    if isinstance(found, Location):
        handles.append(Line2D([], [], label="place", ls="none", marker="P", color=_GREEN, mec="white", ms=11))
        shown = "95 % region" if found.region95 else "error ellipse"
        handles.append(Line2D([], [], label=shown, color=_GREEN, lw=1.4))
    if _lettered(explanation):
        handles.append(
            Line2D([], [], label="could also be", ls="none", marker="D", mfc="white", mec=_PURPLE, mew=2.0, ms=8)
        )
    if explanation.lost:
        handles.append(Line2D([], [], label="hypothesis that lost", ls="none", marker="x", color="#9A9A9A", ms=8))
    return handles


def _halo() -> list[Any]:
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=2.5, foreground="white")]
