"""The plot of a self-survey: the map with what moved, and the residuals."""

from __future__ import annotations

from typing import Any

import numpy as np

from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure
from shotline_calibration.self_survey.prepare import Prepared
from shotline_calibration.self_survey.problem import SelfSurvey
from shotline_calibration.self_survey.report import node_rows

__all__ = ["draw_self_survey"]

_ARROW_SHARE = 0.08
"""The longest arrow is so much of the width of the map."""


def draw_self_survey(prepared: Prepared, survey: SelfSurvey, *, title: str) -> Any:
    """Return the plot: arrows from surveyed to found and 95 % ellipses, both enlarged alike; clocks; residuals.

    Parameters
    ----------
    prepared : Prepared
    survey : SelfSurvey
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.patches import Ellipse

    rows = node_rows(prepared, survey)
    before_m = np.array([(node.x_m, node.y_m) for node in prepared.nodes])
    moved_m = np.array([(node.x_m, node.y_m) for node in survey.nodes]) - before_m
    longest_m = float(np.linalg.norm(moved_m, axis=1).max())
    width_m = float(np.ptp(before_m, axis=0).max())
    scale = max(1.0, round(_ARROW_SHARE * width_m / max(longest_m, 0.1)))
    figure = new_figure(title, width_in=14.0, height_in=6.5)
    plane, side = figure.subplots(1, 2, width_ratios=(3, 2))
    used = np.array([bool(each.any()) for each in survey.used], dtype=bool)
    known = np.array([heard.place is not None for heard in prepared.heard], dtype=bool)
    for chosen, marker, label in ((used & ~known, "x", "impulses found"), (used & known, "*", "at known places")):
        if chosen.any():
            plane.plot(*survey.places_m[chosen, :2].T, marker, color=GREY, markersize=5, label=label, gid="impulses")
    plane.plot(*before_m.T, "o", color=INK, markersize=4, label="nodes as surveyed")
    plane.quiver(
        *before_m.T,
        *(scale * moved_m).T,
        angles="xy",
        scale_units="xy",
        scale=1.0,
        color=BLUE,
        width=0.004,
        label=f"moved, {scale:.0f} times enlarged",
        gid="moves",
    )
    for at_m, row in zip(before_m + scale * moved_m, rows, strict=True):
        plane.add_patch(
            Ellipse(
                (float(at_m[0]), float(at_m[1])),
                2.0 * scale * float(row["ellipse95_semi_major_m"]),
                2.0 * scale * float(row["ellipse95_semi_minor_m"]),
                angle=90.0 - float(row["ellipse95_orientation_deg"]),
                fill=False,
                color=ORANGE,
            )
        )
        plane.annotate(str(row["node"]), (float(at_m[0]), float(at_m[1])), fontsize=7, color=INK, parse_math=False)
    margin_m = 0.15 * width_m + 20.0
    low, high = before_m.min(axis=0) - margin_m, before_m.max(axis=0) + margin_m
    plane.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="east, m", ylabel="north, m")
    plane.legend(fontsize=8, loc="upper right")
    offset_ms = [1e3 * node.clock_offset_s for node in survey.nodes]
    sigma_ms = [1.96e3 * node.clock_sigma_s for node in survey.nodes]
    count = np.arange(len(rows))
    side.errorbar(offset_ms, count, xerr=sigma_ms, fmt="o", color=BLUE, label="clock offset, 95 %", gid="clocks")
    node_of = np.concatenate([np.array(impulse.nodes) for impulse in prepared.impulses])
    residual_ms = 1e3 * np.concatenate(survey.residual_s)
    kept = np.concatenate(survey.used)
    limit_ms = 6.0 * 1e3 * survey.path_sigma_s
    inside = kept & (np.abs(residual_ms) < limit_ms)
    side.plot(residual_ms[inside], node_of[inside] - 0.25, "|", color=GREY, label="residuals", gid="residuals")
    side.set_yticks(count, [str(row["node"]) for row in rows], fontsize=7)
    side.set(xlabel="ms", ylim=(len(rows) - 0.5, -0.8))
    side.axvline(0.0, color=INK, linewidth=0.8)
    side.legend(fontsize=8, loc="lower right")
    for axes in (plane, side):
        axes.grid(alpha=0.3)
    return figure
