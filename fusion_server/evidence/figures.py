"""The report's figures: the map, and the sound of the nodes aligned by the solved delays. PNG, the same each time."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from shotline.domain import Site
from shotline.records import EllipseRecord, IncidentRecord, ShotRecord

__all__ = ["Trace", "map_png", "traces_png"]

# Okabe and Ito's palette: told apart by the colour-blind as well. Shapes differ too.
_BLUE, _ORANGE, _INK, _QUIET = "#0072B2", "#D55E00", "#222222", "#8A8A8A"
_DPI = 150
_WIDTH_IN = 7.1
_BEFORE_S, _AFTER_S = 0.1, 0.4


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """The sound of one node about one shot.

    Parameters
    ----------
    node : str
    time_s : ndarray, shape (n,), float64
        After the arrival that the solved place predicts.
    sound : ndarray, shape (n,), int16
    pick_s : float
        The pick on the same axis: its residual.
    used : bool
    """

    node: str
    time_s: NDArray[np.float64]
    sound: NDArray[np.int16]
    pick_s: float
    used: bool


def map_png(record: IncidentRecord, sites: Sequence[Site], amended: Sequence[ShotRecord] = ()) -> bytes:
    """Return the map: nodes, shots, the 95 % ellipse of the incident, edited places.

    Parameters
    ----------
    record : IncidentRecord
        With a shot at least.
    sites : sequence of Site
    amended : sequence of ShotRecord
        Shots with edited picks.
    """
    figure = _figure(5.6)
    axes = figure.subplots()
    arrivals = [item for shot in record.shots for item in shot.arrivals]
    used = {item.node for item in arrivals if item.used}
    aside = {item.node for item in arrivals} - used
    silent = {item.node for shot in record.shots for item in shot.silent} - used - aside
    kinds = (
        ("used", used, "o", _BLUE, _BLUE),
        ("set aside", aside, "s", _ORANGE, _ORANGE),
        ("silent, should have heard", silent, "v", "white", _INK),
        ("no arrival", {site.node for site in sites} - used - aside - silent, "o", "white", _QUIET),
    )
    for label, nodes, marker, face, edge in kinds:
        found = [site for site in sites if site.node in nodes]
        if found:
            x_m, y_m = [site.x_m for site in found], [site.y_m for site in found]
            axes.plot(x_m, y_m, marker, mfc=face, mec=edge, ms=6.0, ls="none", label=label)
        for site in found:
            axes.annotate(
                site.node, (site.x_m, site.y_m), (4, 4), textcoords="offset points", fontsize=6, color=_INK,
                parse_math=False,
            )  # fmt: skip
    axes.plot(*_ring_m(record.ellipse95, record.x_m, record.y_m), color=_ORANGE, lw=1.4, label="95 % ellipse")
    for number, ring in enumerate(ring for shot in record.shots for ring in shot.region95_m):
        outline = np.array([*ring, ring[0]])
        axes.plot(*outline.T, color=_ORANGE, lw=0.9, ls=":", label="95 % region" if number == 0 else None)
    shots_m = np.array([(shot.x_m, shot.y_m) for shot in record.shots])
    axes.plot(*shots_m.T, "x", color=_INK, ms=7.0, mew=1.6, ls="none", label="shots")
    if amended:
        edited_m = np.array([(shot.x_m, shot.y_m) for shot in amended])
        axes.plot(*edited_m.T, "+", color=_QUIET, ms=10.0, mew=1.6, ls="none", label="with edited picks")
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("east, m")
    axes.set_ylabel("north, m")
    axes.grid(color="#E4E4E4", lw=0.6)
    axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.09), ncols=4, frameon=False)
    return _png(figure)


def traces_png(traces: Sequence[Trace]) -> bytes:
    """Return the sound of the nodes, one under the other, each on the time at which the solved place predicts it."""
    figure = _figure(0.9 + 0.55 * len(traces))
    rows = figure.subplots(len(traces), 1, sharex=True, squeeze=False)[:, 0]
    for axes, trace in zip(rows, traces, strict=True):
        peak = max(1, int(np.abs(trace.sound.astype(np.int32)).max(initial=0)))
        axes.plot(trace.time_s, trace.sound / peak, color=_BLUE if trace.used else _QUIET, lw=0.5)
        axes.axvline(0.0, color=_INK, lw=0.8, ls="--")
        axes.axvline(trace.pick_s, color=_ORANGE, lw=1.2)
        axes.set_yticks([])
        axes.set_ylim(-1.1, 1.1)
        axes.set_ylabel(trace.node, rotation=0, ha="right", va="center", fontsize=7, parse_math=False)
    rows[-1].set_xlim(-_BEFORE_S, _AFTER_S)
    rows[-1].set_xlabel("seconds after the predicted arrival (dashed); orange: the pick; each trace to its own peak")
    return _png(figure)


def _ring_m(ellipse: EllipseRecord, x_m: float, y_m: float) -> NDArray[np.float64]:
    angle = np.linspace(0.0, 2.0 * math.pi, 121)
    along, across = ellipse.semi_major_m * np.cos(angle), ellipse.semi_minor_m * np.sin(angle)
    bearing = math.radians(ellipse.orientation_deg)
    return np.array(
        [
            x_m + along * math.sin(bearing) + across * math.cos(bearing),
            y_m + along * math.cos(bearing) - across * math.sin(bearing),
        ]
    )


def _figure(height_in: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Any) -> bytes:
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
