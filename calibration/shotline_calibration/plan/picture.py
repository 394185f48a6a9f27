"""The pictures of a plan: maps of its figures, of what more nodes bring and failures cost, and coverage over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from fusion_server.scorecard.areas import Area
from shotline_calibration.plan.cells import Cells
from shotline_calibration.plan.history import Period
from shotline_calibration.plan.planner import CellFigures
from shotline_calibration.plan.situation import PlannedNode
from shotline_calibration.plots import BLUE, INK, ORANGE, new_figure

__all__ = ["Layer", "difference_layer", "draw_history", "draw_maps", "figure_layers", "spread_to"]

_WIDE_IN, _HIGH_IN = 6.2, 4.6
_LARGEST_CEP95_M = 200.0
_LARGEST_GDOP = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One map.

    Parameters
    ----------
    title : str
    values : ndarray, shape (n_cells,), float64
    colours : str
        A colour map of matplotlib that is apart to every eye.
    lowest, highest : float
    lines : tuple of float
        Values at which a line is drawn.
    """

    title: str
    values: NDArray[np.float64]
    colours: str
    lowest: float
    highest: float
    lines: tuple[float, ...] = ()


def figure_layers(figures: CellFigures) -> list[Layer]:
    """Return the maps of the figures."""
    most = max(4.0, float(np.ceil(np.quantile(figures.expected_nodes, 0.99))))
    return [
        Layer("shots found, share", figures.detect_probability, "viridis", 0.0, 1.0, (0.5, 0.9)),
        Layer("CEP95 of those found, m (median)", figures.cep95_m, "cividis_r", 0.0, _cep_top(figures), (25.0,)),
        Layer("nodes that report a shot, mean", figures.expected_nodes, "viridis", 0.0, most, (4.0,)),
        Layer("GDOP (median)", figures.gdop, "cividis_r", 0.0, _LARGEST_GDOP, ()),
    ]


def difference_layer(title: str, values: NDArray[np.float64]) -> Layer:
    """Return the map of a difference: orange where it is below 0, purple above."""
    most = max(0.05, float(np.max(np.abs(values), initial=0.0)))
    return Layer(title, values, "PuOr", -most, most)


def draw_maps(
    layers: Sequence[Layer],
    cells: Cells,
    *,
    title: str,
    areas: Sequence[Area],
    nodes: Sequence[PlannedNode],
    suggested: Sequence[PlannedNode] = (),
) -> Any:
    """Return the maps, side by side, each with the nodes and a scale.

    Returns
    -------
    matplotlib.figure.Figure
    """
    columns = 2 if len(layers) > 1 else 1
    rows = -(-len(layers) // columns)
    figure = new_figure(title, width_in=columns * _WIDE_IN, height_in=rows * _HIGH_IN)
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, layer in zip(grid, layers, strict=False):
        _draw(axes, layer, cells)
        for area in areas:
            for part in shapely.get_parts(area.shape).tolist():
                axes.plot(*np.array(part.exterior.coords).T, "-", color=INK, linewidth=0.8)
        _points(axes, [node for node in nodes if not node.failed], "o", "white", "nodes")
        _points(axes, [node for node in nodes if node.failed], "X", "#999999", "failed")
        _points(axes, suggested, "^", ORANGE, "suggested")
        axes.set(aspect="equal", xlabel="east, m", ylabel="north, m")
        _scale(axes, cells)
    for axes in grid[len(layers) :]:
        axes.set_axis_off()
    grid[0].legend(fontsize=8, loc="upper left")
    return figure


def draw_history(periods: Sequence[Period], *, title: str) -> Any:
    """Return coverage over time: shares above, nodes below."""
    from datetime import UTC, datetime

    from shotline.units import NS_PER_S

    figure = new_figure(title)
    shares, nodes = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    times = [datetime.fromtimestamp(one.begin_ns / NS_PER_S, tz=UTC) for one in periods]
    for name, label, colour in (
        ("covered_share", "of the area covered", BLUE),
        ("detect_probability", "of shots found", ORANGE),
    ):
        shares.step(times, [getattr(one, name) for one in periods], where="post", color=colour, label=label)
    shares.fill_between(
        times, 0.0, 1.0, where=[one.server_minutes < one.minutes for one in periods], step="post", color="#dddddd",
        label="the server did not run all the time",
    )  # fmt: skip
    shares.set(ylim=(0.0, 1.0), ylabel="share")
    shares.legend(fontsize=8)
    nodes.step(times, [one.nodes for one in periods], where="post", color=INK)
    nodes.set(ylabel="nodes heard", ylim=(0.0, None))
    for axes in (shares, nodes):
        axes.grid(alpha=0.3)
    figure.autofmt_xdate()
    return figure


def spread_to(cells: Cells, coarse: Cells, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what each cell has of values that are known for some cells of its grid: those of the nearest."""
    from scipy.spatial import KDTree

    _, nearest = KDTree(coarse.place_m).query(cells.place_m)
    return np.asarray(values[nearest], dtype=np.float64)


def _draw(axes: Any, layer: Layer, cells: Cells) -> None:
    values = cells.grid(layer.values)
    shown = np.where(np.isinf(values), layer.highest, values)
    extent = (
        cells.west_m,
        cells.west_m + cells.columns * cells.step_m,
        cells.south_m,
        cells.south_m + cells.rows * cells.step_m,
    )
    image = axes.imshow(
        shown, origin="lower", extent=extent, cmap=layer.colours, vmin=layer.lowest, vmax=layer.highest,
        interpolation="nearest",
    )  # fmt: skip
    lines = [value for value in layer.lines if np.nanmin(shown) < value < np.nanmax(shown)]
    if lines and min(shown.shape) > 1:
        drawn = axes.contour(
            shown, levels=lines, origin="lower", extent=extent, colors=INK, linewidths=0.9, linestyles="--"
        )
        axes.clabel(drawn, fontsize=7)
    axes.figure.colorbar(image, ax=axes, shrink=0.85)
    axes.set_title(layer.title, fontsize=10, loc="left")


def _points(axes: Any, nodes: Sequence[PlannedNode], marker: str, colour: str, label: str) -> None:
    if nodes:
        place_m = np.array([(node.site.x_m, node.site.y_m) for node in nodes])
        axes.plot(
            *place_m.T, marker, color=colour, markersize=5, markeredgecolor=INK, markeredgewidth=0.8, label=label,
            gid=label,
        )  # fmt: skip


def _scale(axes: Any, cells: Cells) -> None:
    """Draw a bar of a round length in the map's lower left."""
    width_m = cells.columns * cells.step_m
    power = 10.0 ** np.floor(np.log10(0.3 * width_m))
    length_m = float(power * max(step for step in (1.0, 2.0, 5.0) if step * power <= 0.3 * width_m))
    west_m, south_m = cells.west_m + 0.03 * width_m, cells.south_m + 0.03 * cells.rows * cells.step_m
    axes.plot([west_m, west_m + length_m], [south_m, south_m], "-", color="white", linewidth=6, solid_capstyle="butt")
    axes.plot([west_m, west_m + length_m], [south_m, south_m], "-", color=INK, linewidth=3, solid_capstyle="butt")
    said = f"{length_m / 1000.0:g} km" if length_m >= 1000.0 else f"{length_m:g} m"
    behind = {"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 1.0}
    place = {"xytext": (0, 4), "textcoords": "offset points"}
    axes.annotate(said, (west_m, south_m), **place, fontsize=8, color=INK, bbox=behind)


def _cep_top(figures: CellFigures) -> float:
    finite = figures.cep95_m[np.isfinite(figures.cep95_m)]
    return float(np.clip(np.quantile(finite, 0.9), 20.0, _LARGEST_CEP95_M)) if len(finite) else _LARGEST_CEP95_M
