"""The plot of a self-check: of each node its residuals against the others in time, and its delays by direction."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from fusion_server.netcheck import NetworkCheck, NodeState, Standing
from shotline.timebase import format_utc
from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure

__all__ = ["MOST_DRAWN", "draw_check"]

MOST_DRAWN = 12
_ORDER = {Standing.QUARANTINED: 0, Standing.FLAGGED: 1, Standing.OK: 2}


def draw_check(check: NetworkCheck) -> Any:
    """Return the plot; of more than 12 nodes, those that stand worst, then those judged by most sounds.

    Parameters
    ----------
    check : NetworkCheck
        With at least one shot.

    Returns
    -------
    matplotlib.figure.Figure
    """
    states = sorted(check.states(), key=lambda item: (_ORDER[item.standing], -item.sounds, item.node))[:MOST_DRAWN]
    rows = math.ceil(len(states) / 2)
    first_ns = check.time_ns(0)
    figure = new_figure(
        f"{check.shots} shots from {format_utc(first_ns, digits=0)}; paths scatter by "
        f"{check.path_sigma_s * 1e3:.1f} ms",
        width_in=14.0,
        height_in=0.8 + 2.4 * rows,
    )
    grid = figure.add_gridspec(rows, 4, width_ratios=(2.6, 1.0, 2.6, 1.0))
    for number, state in enumerate(states):
        row, side = number % rows, number // rows
        _draw_series(figure.add_subplot(grid[row, 2 * side]), check, state, first_ns)
        _draw_rose(figure.add_subplot(grid[row, 2 * side + 1], projection="polar"), check, state.node)
    return figure


def _draw_series(axes: Any, check: NetworkCheck, state: NodeState, first_ns: int) -> None:
    times, levels = check.series(state.node)
    hours = np.array([(check.time_ns(row) - first_ns) / 3.6e12 for row in times.shot.tolist()])
    sigma_ms = 1e3 * np.sqrt(times.size**2 + times.noise)
    axes.errorbar(
        hours, 1e3 * times.y, yerr=sigma_ms, fmt=".", color=BLUE, ecolor=GREY, elinewidth=0.6, gid=f"times {state.node}"
    )
    axes.axhline(0.0, color=INK, linewidth=0.8)
    if len(times.y):
        reach_ms = max(3.0 * float(np.median(sigma_ms)), 1.2e3 * float(np.quantile(np.abs(times.y), 0.95)))
        axes.set_ylim(-reach_ms, reach_ms)
    if len(levels.y):
        beside = axes.twinx()
        level_hours = [(check.time_ns(row) - first_ns) / 3.6e12 for row in levels.shot.tolist()]
        beside.plot(level_hours, levels.y, "x", color=ORANGE, markersize=3, gid=f"levels {state.node}")
        beside.set_ylim(-40.0, 40.0)
        beside.set_ylabel("level, dB", color=ORANGE, fontsize=8)
    if state.since_ns is not None:
        axes.axvline((state.since_ns - first_ns) / 3.6e12, color=ORANGE, linewidth=1.5, gid=f"since {state.node}")
    words = state.node if state.standing is Standing.OK else f"{state.node} {state.standing.value}: {state.reason}"
    axes.set_title(words if len(words) <= 90 else f"{words[:87]}…", loc="left", fontsize=8, parse_math=False)
    axes.set_xlabel("hours", fontsize=8)
    axes.set_ylabel("late, ms", fontsize=8)
    axes.tick_params(labelsize=7)


def _draw_rose(axes: Any, check: NetworkCheck, node: str) -> None:
    axes.set_theta_zero_location("N")
    axes.set_theta_direction(-1)
    axes.tick_params(labelsize=6)
    rose = check.rose(node)
    if not rose:
        return
    angle = np.radians([item.direction_deg for item in rose])
    delay_ms = 1e3 * np.array([item.delay_s for item in rose])
    late, early = np.maximum(delay_ms, 0.0), np.maximum(-delay_ms, 0.0)
    width = 2.0 * math.pi / len(rose)
    axes.bar(angle, late, width=width, color=ORANGE, alpha=0.8, gid=f"late {node}")
    axes.bar(angle, early, width=width, color=BLUE, alpha=0.8, gid=f"early {node}")
    axes.set_title("late / early, ms", fontsize=7)
