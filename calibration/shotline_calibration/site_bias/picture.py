"""The plot of a site bias: a rose of delays for each node, and what places left out gain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fusion_server.sitebias.table import LearnedNode
from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure
from shotline_calibration.site_bias.result import SiteBiasResult

__all__ = ["draw_site_bias"]

_MOST_ROSES = 12
_ACROSS = 4
_BEARINGS = 73


def draw_site_bias(result: SiteBiasResult) -> Any:
    """Return the plot: a map with every place left out, and the roses of the nodes with the largest delays.

    Parameters
    ----------
    result : SiteBiasResult

    Returns
    -------
    matplotlib.figure.Figure
    """
    table = result.table
    heard = sorted((node for node in table.nodes if node.place), key=lambda node: (-_size_s(node), node.node))
    shown = heard[:_MOST_ROSES]
    figure = new_figure(
        f"site bias: {len(table.places)} places, {len(heard)} of {len(table.nodes)} nodes; fixes of places left out "
        f"{result.without_m:.1f} m off without, {result.with_m:.1f} m with",
        width_in=15.0,
        height_in=7.0,
    )
    left, right = figure.subfigures(1, 2, width_ratios=(1.0, 1.5))
    _draw_map(left.subplots(), result)
    delays = table.to_delays()
    bearing_rad = np.linspace(0.0, 2.0 * math.pi, _BEARINGS)
    down = -(-len(shown) // _ACROSS)
    roses = right.subplots(down, _ACROSS, subplot_kw={"projection": "polar"}, squeeze=False).ravel()
    reach_ms = 1e3 * max((_size_s(node) for node in shown), default=0.001) + 1.0
    for axes, node in zip(roses, shown, strict=False):
        axes.set_theta_zero_location("N")
        axes.set_theta_direction(-1)
        place_m = np.array([(table.places[number].x_m, table.places[number].y_m) for number in node.place])
        away_m = place_m - (node.x_m, node.y_m)
        typical_m = float(np.median(np.hypot(away_m[:, 0], away_m[:, 1])))
        mean_s, variance_s2 = delays.at(
            delays.number_of(node.node),
            node.x_m + typical_m * np.sin(bearing_rad),
            node.y_m + typical_m * np.cos(bearing_rad),
        )
        # A radius cannot be negative: zero is the dashed ring.
        middle, sigma = reach_ms + 1e3 * mean_s, 1e3 * np.sqrt(variance_s2)
        axes.fill_between(bearing_rad, middle - sigma, middle + sigma, color=BLUE, alpha=0.2, linewidth=0)
        axes.plot(bearing_rad, middle, "-", color=BLUE)
        axes.plot(bearing_rad, np.full(_BEARINGS, reach_ms), "--", color=INK, linewidth=0.8)
        axes.plot(
            np.arctan2(away_m[:, 0], away_m[:, 1]), reach_ms + 1e3 * np.array(node.delay_s), ".", color=ORANGE, ms=4
        )
        axes.set(ylim=(0.0, 2.0 * reach_ms), xticks=[], yticks=[])
        axes.set_title(f"{node.node}, at {typical_m:.0f} m", fontsize=8, parse_math=False)
    for axes in roses[len(shown) :]:
        axes.set_visible(False)
    right.supxlabel(
        f"delay by direction from the node, north up: dashed ring 0, edge {reach_ms:.0f} ms late; band 1 sigma; dots "
        "as heard",
        fontsize=8,
    )
    return figure


def _size_s(node: LearnedNode) -> float:
    """Return how large its delays are, an echo among ten not counted."""
    return float(np.percentile(np.abs(node.delay_s), 90.0))


def _draw_map(axes: Any, result: SiteBiasResult) -> None:
    table = result.table
    where = {place.name: (place.x_m, place.y_m) for place in table.places}
    for node in table.nodes:
        axes.plot(node.x_m, node.y_m, "^", color=INK if node.place else GREY, markersize=6)
    for label, color, better in (("nearer with", BLUE, True), ("further off with", ORANGE, False)):
        some = [place for place in result.held_out if (place.with_m <= place.without_m) is better]
        if some:
            axes.scatter(
                *np.array([where[place.place] for place in some]).T,
                s=[20.0 + 40.0 * abs(place.without_m - place.with_m) for place in some],
                color=color,
                alpha=0.7,
                label=f"{len(some)} places left out: {label}",
                gid="held-out",
            )
    axes.set(aspect="equal", xlabel="east, m", ylabel="north, m")
    if result.held_out:
        axes.legend(fontsize=8)
    axes.grid(alpha=0.3)
