"""The plots of a microphone: insertions, neighbours, bands, and where it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotline_calibration.microphone.relative import GainVerdict, RelativeGain
from shotline_calibration.microphone.result import ClippingResult, LevelResult, ResponseResult
from shotline_calibration.microphone.tone import Tone
from shotline_calibration.plots import BLUE, GREY, INK, ORANGE, new_figure

__all__ = ["draw_clipping", "draw_level", "draw_relative", "draw_response"]

_BLOCK_S = 0.1
_TOLD = 0.8


def draw_level(name: str, result: LevelResult, tones: Sequence[Tone]) -> Any:
    """Return the plot of insertions: the level of each over time, and what each says of full scale.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(f"{name}: full scale {result.full_scale_db_spl:.2f} dB SPL peak ± {result.sigma_db:.2f} dB")
    steady, each = figure.subplots(1, 2)
    for number, tone in enumerate(tones, start=1):
        mean_db = float(np.mean(tone.level_each_db))
        seconds = _BLOCK_S * np.arange(len(tone.level_each_db))
        steady.plot(seconds, tone.level_each_db - mean_db, "-", linewidth=0.8, label=f"insertion {number}")
    steady.set(xlabel="seconds", ylabel="level about its mean, dB")
    steady.legend(fontsize=8)
    numbers = np.arange(1, len(result.insertions) + 1)
    each.plot(numbers, [row.full_scale_db_spl for row in result.insertions], "o", color=BLUE, gid="insertions")
    for bound in (-1.0, 0.0, 1.0):
        style = "-" if bound == 0.0 else "--"
        each.axhline(result.full_scale_db_spl + bound * result.sigma_db, color=ORANGE, linewidth=0.8, linestyle=style)
    each.set(xlabel="insertion", ylabel="full scale, dB SPL peak", xticks=numbers)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def draw_relative(name: str, gains: Sequence[RelativeGain]) -> Any:
    """Return the plot of all nodes: night level and what the others say of the place, and the gain that is left.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(name, width_in=max(9.0, 0.35 * len(gains) + 4.0), height_in=7.0)
    levels, left = figure.subplots(2, 1, sharex=True)
    at = np.arange(len(gains))
    expected_db, sigma_db = ([item.expected_db for item in gains], [item.expected_sigma_db for item in gains])
    levels.errorbar(at, expected_db, yerr=sigma_db, fmt="_", color=GREY, label="what the others say, 1 sigma")
    levels.plot(at, [item.level_db for item in gains], "o", color=BLUE, markersize=4, label="night level", gid="levels")
    levels.set(ylabel="above what all share, dB")
    levels.legend(fontsize=8)
    plain = GainVerdict.AS_OTHERS, GainVerdict.CANNOT_TELL
    for item, place in zip(gains, at, strict=True):
        colour = BLUE if item.verdict is GainVerdict.AS_OTHERS else GREY if item.verdict in plain else ORANGE
        left.errorbar([place], [item.gain_db], yerr=[item.sigma_db], fmt="o", color=colour, markersize=4)
    left.axhline(0.0, color=INK, linewidth=0.8)
    left.set(ylabel="gain, dB (1 sigma)\norange: off; grey: cannot tell", xticks=at)
    left.set_xticklabels([item.node for item in gains], rotation=90, fontsize=8)
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def draw_response(name: str, result: ResponseResult) -> Any:
    """Return the plot of a response: deviations by band with their limits, and coherence.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(f"{name}: {result.verdict}", height_in=7.0)
    gain, alike = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    frequency_hz = np.array([row.nominal_hz for row in result.bands])
    deviation_db = np.array([row.deviation_db for row in result.bands])
    sigma_db = np.array([row.sigma_db for row in result.bands])
    told = np.array([row.coherence >= _TOLD for row in result.bands], dtype=bool)
    gain.errorbar(frequency_hz[told], deviation_db[told], yerr=sigma_db[told], fmt="o-", color=BLUE, gid="bands")
    gain.plot(frequency_hz[~told], deviation_db[~told], "x", color=GREY, label="not told: coherence under 0.8")
    limited = [row for row in result.bands if row.low_db is not None and row.high_db is not None]
    for bound in ("low_db", "high_db"):
        at_hz, level_db = [row.nominal_hz for row in limited], [getattr(row, bound) for row in limited]
        gain.plot(at_hz, level_db, "--", color=ORANGE, linewidth=1.0)
    gain.set(xscale="log", ylabel="about the mean of 0.5 to 2 kHz, dB")
    alike.plot(frequency_hz, [row.coherence for row in result.bands], "o-", color=BLUE, markersize=3)
    alike.set(xscale="log", xlabel="Hz", ylabel="coherence", ylim=(0.0, 1.05))
    for axes in figure.axes:
        axes.grid(alpha=0.3)
    return figure


def draw_clipping(name: str, result: ClippingResult, samples: NDArray[np.float64]) -> Any:
    """Return the plot of how often each level was reached, with the ceiling.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = new_figure(name)
    axes = figure.subplots()
    counts, edges = np.histogram(samples, bins=400)
    axes.step(0.5 * (edges[1:] + edges[:-1]), counts, where="mid", color=BLUE, gid="histogram")
    for level_dbfs, side in ((result.positive_dbfs, 1.0), (result.negative_dbfs, -1.0)):
        if level_dbfs is not None:
            axes.axvline(side * 10.0 ** (level_dbfs / 20.0), color=ORANGE, linestyle="--")
    axes.set(yscale="log", xlabel="sample, full scale = 1 (orange: ceiling)", ylabel="samples")
    axes.grid(alpha=0.3)
    return figure
