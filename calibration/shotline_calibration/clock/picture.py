"""The plots of a clock: residuals, deviations with the slopes of their noises, holdover; and a delay over time."""

from __future__ import annotations

from typing import Any

import numpy as np

from shotline_calibration.clock.holdover import Holdover
from shotline_calibration.clock.latency import Latency
from shotline_calibration.clock.stability import Deviation, Residuals
from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure

__all__ = ["draw_clock", "draw_latency"]

_SHOWN = 4_000
_LIMITS_S = (0.3e-3, 1e-3)
_LONGEST_S = 86_400.0


def draw_clock(
    name: str, residuals: Residuals, step_s: float, deviations: list[Deviation], holdover: Holdover | None
) -> Any:
    """Return the plot.

    Parameters
    ----------
    name : str
        Its title.
    residuals : Residuals
    step_s : float
        Between two of them.
    deviations : list of Deviation
    holdover : Holdover | None
        None for a clock that is steered: then without its panel.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(name, width_in=15.0)
    each, allan, *fan = figure.subplots(1, 2 if holdover is None else 3)
    thin = max(1, len(residuals.residual_s) // _SHOWN)
    minutes = np.arange(len(residuals.residual_s))[::thin] * step_s / 60.0
    each.plot(minutes, 1e6 * residuals.residual_s[::thin], ".", color=BLUE, markersize=2, gid="residuals")
    for bound_s in (residuals.p95_s, -residuals.p95_s):
        each.axhline(1e6 * bound_s, color=ORANGE, linewidth=0.8)
    each.set(xlabel="minutes", ylabel="residual, us (orange: 95 %)")
    tau_s = np.array([row.tau_s for row in deviations])
    adev = np.array([row.adev for row in deviations])
    spread = [adev - [row.adev_low for row in deviations], np.array([row.adev_high for row in deviations]) - adev]
    allan.errorbar(tau_s, adev, yerr=spread, fmt="o-", color=BLUE, markersize=4, label="ADEV, 95 %", gid="adev")
    allan.plot(tau_s, [row.mdev for row in deviations], "s--", color=ORANGE, markersize=3, label="MDEV")
    for slope, label in ((-1.0, "white phase"), (-0.5, "white frequency"), (0.5, "random-walk frequency")):
        shape = (tau_s / tau_s[len(tau_s) // 2]) ** slope * adev[len(adev) // 2]
        allan.plot(tau_s, shape, ":", color=GREY, linewidth=0.8)
        allan.annotate(label, (tau_s[-1], shape[-1]), fontsize=7, color=GREY, ha="right")
    allan.set(xscale="log", yscale="log", xlabel="averaging time, s", ylabel="deviation of frequency")
    allan.legend(fontsize=8)
    if holdover is not None:
        _draw_fan(fan[0], holdover)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def draw_latency(name: str, latency: Latency) -> Any:
    """Return the plot of a delay: each reading over time, its mean and its sigma.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(f"{name}: {1e6 * latency.late_s:.1f} us ± {1e6 * latency.sigma_s:.1f} us (1 sigma)")
    over_time, counts = figure.subplots(1, 2, width_ratios=(3, 1), sharey=True)
    late_us = 1e6 * latency.late_each_s
    over_time.plot(latency.at_s / 60.0, late_us, ".", color=BLUE, markersize=2, gid="readings")
    for bound in (-1.0, 0.0, 1.0):
        level_us = 1e6 * (latency.late_s + bound * latency.sigma_s)
        over_time.axhline(level_us, color=ORANGE, linewidth=0.8, linestyle="-" if bound == 0.0 else "--")
    over_time.set(xlabel="minutes", ylabel="how late, us")
    counts.hist(late_us, bins=60, orientation="horizontal", color=BLUE)
    counts.set(xlabel="readings")
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def _draw_fan(axes: Any, holdover: Holdover) -> None:
    gap_s = np.geomspace(min(10.0, holdover.trials[0].gap_s), _LONGEST_S, 200)
    plain_s = np.array([holdover.sigma_s(float(value)) for value in gap_s])
    ramp_s = np.array([holdover.sigma_s(float(value), ramp=True) for value in gap_s])
    minutes = gap_s / 60.0
    axes.fill_between(minutes, plain_s, 2.0 * plain_s, color=BLUE, alpha=0.2, linewidth=0.0, label="to 2 sigma")
    axes.plot(minutes, plain_s, "-", color=BLUE, label="1 sigma, as in the log")
    ramp_ppm = holdover.ramp_per_s * 600e6
    axes.plot(minutes, ramp_s, "--", color=ORANGE, label=f"with a ramp of {ramp_ppm:.1f} ppm in 10 min")
    seen = [(trial.gap_s / 60.0, trial.rms_s) for trial in holdover.trials]
    axes.plot(*zip(*seen, strict=True), "o", color=INK, markersize=4, label="gaps cut into the log", gid="gaps")
    for limit_s in _LIMITS_S:
        axes.axhline(limit_s, color=GREY, linewidth=0.8)
    axes.set(xscale="log", yscale="log", xlabel="minutes without a pulse", ylabel="error, s")
    axes.set_ylim(top=max(float(ramp_s[-1]), 2e-3), bottom=0.5 * float(plain_s[0]))
    axes.legend(fontsize=8)
