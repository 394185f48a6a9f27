"""The plot of an average: where its windows were, how they wandered, and what averaging longer would bring."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from shotline.timebase import format_utc
from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure
from shotline_calibration.position.average import Average

__all__ = ["draw_average"]


def draw_average(average: Average, *, name: str) -> Any:
    """Return the plot.

    Parameters
    ----------
    average : Average
    name : str
        Of the node.

    Returns
    -------
    matplotlib.figure.Figure
    """
    from matplotlib.patches import Circle

    windows, how = average.windows, average.how
    hours = np.array([(window.time_ns - windows[0].time_ns) / 3.6e12 for window in windows])
    east_m = np.array([window.east_m for window in windows])
    north_m = np.array([window.north_m for window in windows])
    figure = new_figure(
        f"{name}: {average.lat_deg:.7f}, {average.lon_deg:.7f}, {average.height_m:.2f} m; "
        f"{average.sigma_m:.2f} m per axis (1 sigma); from {format_utc(windows[0].time_ns, digits=0)}",
        width_in=13.0,
    )
    plane, series, longer = figure.subplots(1, 3)
    plane.plot(east_m, north_m, ".", color=BLUE, label=f"{len(windows)} windows", gid="windows")
    plane.plot(0.0, 0.0, "+", color=ORANGE, markersize=12, label="average")
    for factor, style in ((1.0, "-"), (2.4477, "--")):
        label = "1 sigma" if factor == 1.0 else "95 %"
        ring = Circle((0.0, 0.0), factor * average.sigma_m, fill=False, color=ORANGE, linestyle=style, label=label)
        plane.add_patch(ring)
    reach_m = 1.1 * max(3.0 * average.sigma_m, float(np.max(np.hypot(east_m, north_m))))
    plane.set(xlim=(-reach_m, reach_m), ylim=(-reach_m, reach_m), aspect="equal", xlabel="east, m", ylabel="north, m")
    plane.legend(fontsize=8)
    series.plot(hours, east_m, "-", color=BLUE, label="east")
    series.plot(hours, north_m, "-", color=ORANGE, label="north")
    series.plot(hours, [window.up_m for window in windows], "-", color=GREY, linewidth=0.8, label="up")
    series.set(xlabel="hours", ylabel="from the average, m")
    series.legend(fontsize=8)
    longer.loglog(*np.array(average.forecast).T, "-", color=BLUE, label="with what is known now")
    naive_m = how.scatter_m / math.sqrt(how.fixes)
    span = np.array([average.forecast[0][0], average.forecast[-1][0]])
    longer.loglog(span, naive_m * np.sqrt(span[0] / span), "--", color=GREY, label="if fixes were independent: wrong")
    longer.axhline(how.slow_sigma_m, color=INK, linewidth=0.8, label="what no averaging removes")
    longer.set(xlabel="hours in all", ylabel="error per axis, m (1 sigma)")
    longer.legend(fontsize=8)
    for axes in (plane, series, longer):
        axes.grid(alpha=0.3)
    return figure
