"""Charts as SVG text, for a page that carries its own colours (`shotline_replay.page`). Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from shotline.domain import Site
from shotline.records import EllipseRecord, IncidentRecord
from shotline_recordings.dataset import TruthEvent

__all__ = ["Series", "close_up", "error_cdf", "overview", "residual_histogram", "residual_scatter"]

_WIDTH, _HEIGHT = 560, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 12, 44
_MAP = 380
_MOST_POINTS = 3000


@dataclass(frozen=True, slots=True)
class Series:
    """Errors of one kind of fix: ``attempted`` counts those that were not located too."""

    label: str
    errors_m: tuple[float, ...]
    attempted: int


class _Axes:
    """Linear axes in a box, with a quiet grid."""

    def __init__(self, x_range: tuple[float, float], y_range: tuple[float, float], x_label: str, y_label: str) -> None:
        self._x, self._y = x_range, y_range
        self._labels = x_label, y_label
        self.marks: list[str] = []

    def x(self, value: float) -> float:
        low, high = self._x
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT)

    def y(self, value: float) -> float:
        low, high = self._y
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _TOP - _BOTTOM)

    def svg(self, title: str) -> str:
        parts = [f'<svg class="chart" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(title)}">']
        for value in _ticks(*self._x):
            x = self.x(value)
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_HEIGHT - _BOTTOM}"/>')
            parts.append(f'<text class="tick mid" x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 16}">{_number(value)}</text>')
        for value in _ticks(*self._y):
            y = self.y(value)
            parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
            parts.append(f'<text class="tick end" x="{_LEFT - 6}" y="{y + 4:.1f}">{_number(value)}</text>')
        middle_x, middle_y = (_LEFT + _WIDTH - _RIGHT) / 2, (_TOP + _HEIGHT - _BOTTOM) / 2
        parts.append(f'<text class="name mid" x="{middle_x}" y="{_HEIGHT - 8}">{escape(self._labels[0])}</text>')
        parts.append(
            f'<text class="name mid" transform="translate(13 {middle_y}) rotate(-90)">{escape(self._labels[1])}</text>'
        )
        return "".join([*parts, *self.marks, "</svg>"])


def error_cdf(series: Sequence[Series], *, marks_m: Sequence[float] = (15.0, 25.0)) -> str:
    """Return the share of attempts within a distance, for each series; what was not located never arrives at 100 %."""
    largest = max((error for item in series for error in item.errors_m), default=1.0)
    limit_m = min(max(10.0, 1.05 * largest), 40.0)
    axes = _Axes((0.0, limit_m), (0.0, 100.0), "error, metres", "share of attempts, %")
    for mark in marks_m:
        if mark < limit_m:
            x = axes.x(mark)
            axes.marks.append(f'<line class="mark" x1="{x:.1f}" x2="{x:.1f}" y1="{axes.y(0)}" y2="{axes.y(100)}"/>')
    for index, item in enumerate(series):
        errors = np.sort(np.array(item.errors_m))
        inside = errors[errors <= limit_m]
        if not item.attempted:
            continue
        points = [(axes.x(0.0), axes.y(0.0))]
        for rank, error in enumerate(inside, start=1):
            points.append((axes.x(float(error)), points[-1][1]))
            points.append((axes.x(float(error)), axes.y(100.0 * rank / item.attempted)))
        points.append((axes.x(limit_m), points[-1][1]))
        path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in _thinned(points))
        axes.marks.append(f'<path class="line c{index % 6}" d="{path}"><title>{escape(item.label)}</title></path>')
    legend = "".join(
        f'<span class="key"><i class="swatch c{index % 6}"></i>{escape(item.label)}</span>'
        for index, item in enumerate(series)
    )
    return axes.svg("Share of attempts within a distance of the truth") + f'<p class="legend">{legend}</p>'


def residual_histogram(residuals_ms: Sequence[float], *, bin_ms: float = 2.0, limit_ms: float = 50.0) -> str:
    """Return a histogram of residuals; those beyond the limit are counted in the outermost bins."""
    edges = np.arange(-limit_ms, limit_ms + bin_ms / 2, bin_ms)
    counts, _ = np.histogram(np.clip(residuals_ms, -limit_ms, limit_ms), bins=edges)
    axes = _Axes(
        (-limit_ms, limit_ms), (0.0, float(max(1, counts.max()))), "residual, ms (observed - predicted)", "arrivals"
    )
    for left, count in zip(edges[:-1], counts, strict=True):
        if count:
            x, right, y = axes.x(float(left)), axes.x(float(left + bin_ms)), axes.y(float(count))
            axes.marks.append(
                f'<rect class="bar" x="{x + 0.5:.1f}" y="{y:.1f}" width="{right - x - 1:.1f}" '
                f'height="{axes.y(0) - y:.1f}"><title>{left:g} to {left + bin_ms:g} ms: {count}</title></rect>'
            )
    return axes.svg("Residuals of the arrivals used")


def residual_scatter(
    distance_m: Sequence[float], residual_ms: Sequence[float], used: Sequence[bool], *, limit_ms: float = 80.0
) -> str:
    """Return residual against distance; arrivals that were set aside stand out, those beyond the limit sit on it."""
    axes = _Axes(
        (0.0, max(100.0, *distance_m) if distance_m else 100.0),
        (-limit_ms, limit_ms),
        "distance, metres",
        "residual, ms",
    )
    step = math.ceil(len(distance_m) / _MOST_POINTS) or 1
    for kind in (True, False):
        dots = "".join(
            f"M{axes.x(distance):.1f} {axes.y(min(max(residual, -limit_ms), limit_ms)):.1f}h0"
            for distance, residual, is_used in list(zip(distance_m, residual_ms, used, strict=True))[::step]
            if is_used is kind
        )
        axes.marks.append(f'<path class="dots {"used" if kind else "aside"}" d="{dots}"/>')
    shown = f" One in {step} is drawn." if step > 1 else ""
    legend = (
        '<p class="legend"><span class="key"><i class="swatch used"></i>used</span>'
        f'<span class="key"><i class="swatch aside"></i>set aside</span>{shown}</p>'
    )
    return axes.svg("Residual against distance from the fix") + legend


def overview(incident: IncidentRecord, sites: Sequence[Site], truth: TruthEvent | None) -> str:
    """Return a map of all nodes: those the fix rests on, those set aside, those that said nothing."""
    used = {item.node for shot in incident.shots for item in shot.arrivals if item.used}
    given = {item.node for shot in incident.shots for item in shot.arrivals}
    places = [(site.x_m, site.y_m) for site in sites] + [(incident.x_m, incident.y_m)]
    view = _View.around(places, margin=1.12)
    parts = [view.open("Nodes about the fix")]
    for site in sites:
        if site.node in used:
            parts.append(view.line("ray", (site.x_m, site.y_m), (incident.x_m, incident.y_m)))
    for site in sites:
        kind, size = ("used", 5) if site.node in used else ("aside", 5) if site.node in given else ("silent", 4)
        what = {"used": "used", "aside": "set aside", "silent": "silent"}[kind]
        parts.append(view.dot(f"node {kind}", (site.x_m, site.y_m), size, f"{site.node}: {what}"))
    parts.append(view.ellipse("ellipse", (incident.x_m, incident.y_m), incident.ellipse95))
    parts.append(view.cross("fix", (incident.x_m, incident.y_m), 7, "fix"))
    if truth is not None:
        parts.append(view.dot("truth", (truth.x_m, truth.y_m), 4, "truth"))
    return "".join([*parts, view.scale_bar(), "</svg>"])


def close_up(incident: IncidentRecord, truth: TruthEvent | None) -> str:
    """Return a map of the fix itself: 95 % ellipse, every round, and the truth with its own error."""
    reach = max(incident.ellipse95.semi_major_m, incident.cep95_m, 5.0)
    points = [(incident.x_m - reach, incident.y_m - reach), (incident.x_m + reach, incident.y_m + reach)]
    points += [(shot.x_m, shot.y_m) for shot in incident.shots]
    if truth is not None and math.hypot(truth.x_m - incident.x_m, truth.y_m - incident.y_m) < 200.0:
        points.append((truth.x_m, truth.y_m))
    view = _View.around(points, margin=1.15)
    parts = [view.open("The fix, its error and the truth")]
    parts.append(view.ellipse("ellipse", (incident.x_m, incident.y_m), incident.ellipse95))
    if truth is not None:
        if truth.sigma_m > 0:
            parts.append(view.circle("truth-error", (truth.x_m, truth.y_m), 2.0 * truth.sigma_m))
        parts.append(view.dot("truth", (truth.x_m, truth.y_m), 5, f"truth: {truth.event} {truth.label}"))
    for number, shot in enumerate(incident.shots, start=1):
        parts.append(view.dot("round", (shot.x_m, shot.y_m), 4, f"round {number}"))
        parts.append(view.label((shot.x_m, shot.y_m), str(number)))
    parts.append(view.cross("fix", (incident.x_m, incident.y_m), 7, "incident"))
    return "".join([*parts, view.scale_bar(), "</svg>"])


@dataclass(frozen=True, slots=True)
class _View:
    """A square window on the ground; north is up."""

    west_m: float
    north_m: float
    pixels_per_m: float

    @classmethod
    def around(cls, points: Sequence[tuple[float, float]], *, margin: float) -> _View:
        places: NDArray[np.float64] = np.array(points, dtype=np.float64)
        low, high = places.min(axis=0), places.max(axis=0)
        span = max(float((high - low).max()), 1.0) * margin
        centre = (low + high) / 2
        return cls(float(centre[0]) - span / 2, float(centre[1]) + span / 2, _MAP / span)

    def xy(self, place: tuple[float, float]) -> tuple[float, float]:
        return (place[0] - self.west_m) * self.pixels_per_m, (self.north_m - place[1]) * self.pixels_per_m

    def open(self, title: str) -> str:
        return f'<svg class="map" viewBox="0 0 {_MAP} {_MAP}" role="img" aria-label="{title}">'

    def line(self, kind: str, start: tuple[float, float], end: tuple[float, float]) -> str:
        (x1, y1), (x2, y2) = self.xy(start), self.xy(end)
        return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'

    def dot(self, kind: str, place: tuple[float, float], radius: float, title: str) -> str:
        x, y = self.xy(place)
        return (
            f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}"><title>{escape(title)}</title></circle>'
        )

    def circle(self, kind: str, place: tuple[float, float], radius_m: float) -> str:
        x, y = self.xy(place)
        return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius_m * self.pixels_per_m:.1f}"/>'

    def ellipse(self, kind: str, place: tuple[float, float], ellipse: EllipseRecord) -> str:
        x, y = self.xy(place)
        minor, major = ellipse.semi_minor_m * self.pixels_per_m, ellipse.semi_major_m * self.pixels_per_m
        return (
            f'<ellipse class="{kind}" rx="{minor:.1f}" ry="{major:.1f}" '
            f'transform="translate({x:.1f} {y:.1f}) rotate({ellipse.orientation_deg:.1f})"/>'
        )

    def cross(self, kind: str, place: tuple[float, float], size: float, title: str) -> str:
        x, y = self.xy(place)
        return (
            f'<path class="{kind}" d="M{x - size:.1f} {y:.1f}h{2 * size:g}M{x:.1f} {y - size:.1f}v{2 * size:g}">'
            f"<title>{escape(title)}</title></path>"
        )

    def label(self, place: tuple[float, float], text: str) -> str:
        x, y = self.xy(place)
        return f'<text class="tick" x="{x + 6:.1f}" y="{y - 5:.1f}">{escape(text)}</text>'

    def scale_bar(self) -> str:
        length_m = _round_length(_MAP / self.pixels_per_m / 4)
        width = length_m * self.pixels_per_m
        return (
            f'<path class="scale" d="M12 {_MAP - 14}v6h{width:.1f}v-6"/>'
            f'<text class="tick" x="{width + 18:.1f}" y="{_MAP - 8}">{length_m:g} m</text>'
        )


def _round_length(length: float) -> float:
    power: float = 10.0 ** math.floor(math.log10(length))
    return next(step * power for step in (5.0, 2.0, 1.0) if step * power <= length)


def _ticks(low: float, high: float) -> list[float]:
    step = _round_length((high - low) / 4)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:g}"


def _thinned(points: list[tuple[float, float]], most: int = 800) -> list[tuple[float, float]]:
    if len(points) <= most:
        return points
    step = math.ceil(len(points) / most)
    return [*points[:-1:step], points[-1]]
