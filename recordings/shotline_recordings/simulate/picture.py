"""A picture of a scene: town, nodes, events, the ways from the first event to one node, and what arrives by them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shotline.domain import ImpulseKind
from shotline.units import NS_PER_MS, NS_PER_S
from shotline_recordings.dataset import TruthEvent
from shotline_recordings.simulate.gains import path_magnitudes
from shotline_recordings.simulate.paths import PathKind, Paths
from shotline_recordings.simulate.stage import NearbyPaths, Stage

__all__ = ["draw_scene"]

_MOST_LABELS = 25
_MOST_EVENTS = 400
_COLOURS = {
    PathKind.DIRECT: "tab:green",
    PathKind.WALL: "tab:blue",
    PathKind.OVER: "tab:orange",
    PathKind.AROUND: "tab:purple",
}
_WORDS = {
    PathKind.DIRECT: "straight",
    PathKind.WALL: "by walls",
    PathKind.OVER: "over",
    PathKind.AROUND: "round corners",
}
_LEVEL_HZ = np.array([250.0, 500.0, 1_000.0])


def draw_scene(stage: Stage, events: Sequence[TruthEvent], path: Path) -> None:
    """Draw a map with the paths from the first event to one node, and the arrivals of these paths.

    Parameters
    ----------
    stage : Stage
    events : sequence of TruthEvent
    path : Path
        A PNG file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.collections import LineCollection, PolyCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(14.0, 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    ground, record = figure.subplots(1, 2, width_ratios=(1.4, 1.0))
    scene, city = stage.scene, stage.city
    places = np.array([node.position_m[:2] for node in stage.nodes])
    events_m = np.array([(event.x_m, event.y_m) for event in events]).reshape(-1, 2)
    everything = np.concatenate([places, events_m])
    low, high = everything.min(axis=0), everything.max(axis=0)
    margin = 0.06 * float(max(high - low)) + 20.0

    if city.terrain is not None:
        x, y = np.linspace(low[0] - margin, high[0] + margin, 120), np.linspace(low[1] - margin, high[1] + margin, 120)
        east, north = np.meshgrid(x, y)
        lines = ground.contour(east, north, city.terrain.at(east, north), levels=10, colors="tan", linewidths=0.8)
        ground.clabel(lines, fontsize=7, fmt="%.0f m")
    if city.buildings:
        heights = np.array([item.height_m for item in city.buildings])
        shapes = PolyCollection(
            [item.ring_m for item in city.buildings], array=heights, cmap="Greys", edgecolors="0.4", linewidths=0.3
        )
        shapes.set_clim(0.0, 1.6 * float(heights.max()))
        ground.add_collection(shapes)
        figure.colorbar(shapes, ax=ground, label="height of the roof (m)", shrink=0.6)

    node, paths = _example(stage, events)
    if paths is not None and node is not None:
        for kind in _COLOURS:
            rows = np.flatnonzero(paths.kind == kind)
            if len(rows):
                rays = [paths.points_m[row][:, :2] for row in rows]
                ground.add_collection(
                    LineCollection(rays, colors=_COLOURS[kind], linewidths=1.0, alpha=0.8, label=_WORDS[kind])
                )
        _draw_arrivals(record, stage, paths, node)
    ground.plot(*places.T, "^", color="k", ms=7, label="node")
    for index, item in enumerate(stage.nodes[:_MOST_LABELS]):
        ground.annotate(item.id, places[index], xytext=(4, 4), textcoords="offset points", fontsize=7)
        surveyed = (item.site.x_m, item.site.y_m)
        if np.hypot(*(places[index] - surveyed)) > 5.0:
            ground.plot(*surveyed, "^", mfc="none", mec="tab:red", ms=7)
            ground.annotate("surveyed here", surveyed, xytext=(4, -9), textcoords="offset points", fontsize=7)
    shots = np.array([event.kind == ImpulseKind.GUNSHOT.value for event in events], dtype=bool)
    few = len(events) <= _MOST_EVENTS
    for chosen, mark, colour, label in ((~shots, "x", "tab:gray", "other bang"), (shots, "*", "tab:red", "shots")):
        if chosen.any():
            ground.plot(*events_m[chosen].T, mark, color=colour, ms=11 if few else 3, label=label, ls="none")
    for event, at in zip(events[:_MOST_LABELS], events_m, strict=False):
        text = event.event if event.rounds < 2 else f"{event.event}, {event.rounds} rounds"
        ground.annotate(text, at, xytext=(5, -10), textcoords="offset points", fontsize=7, color="tab:red")
    ground.set(
        title=f"{scene.name}: {len(stage.nodes)} nodes, {len(events)} events",
        xlabel="east (m)",
        ylabel="north (m)",
        aspect="equal",
        xlim=(low[0] - margin, high[0] + margin),
        ylim=(low[1] - margin, high[1] + margin),
    )
    ground.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.08), ncols=7)
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _example(stage: Stage, events: Sequence[TruthEvent]) -> tuple[int | None, Paths | None]:
    """Return the node that the first event (a shot, if there is one) has most paths to, and the paths."""
    chosen = next((event for event in events if event.kind == ImpulseKind.GUNSHOT.value), events[0] if events else None)
    if chosen is None:
        return None, None
    source_m = (chosen.x_m, chosen.y_m, chosen.z_m)
    near = sorted(range(len(stage.nodes)), key=lambda index: np.hypot(*(stage.nodes[index].position_m - source_m)[:2]))
    nodes = [stage.nodes[index] for index in near[:6]]
    _, found = NearbyPaths(stage, nodes, stage.finder(nodes)).at(source_m)
    best = max(range(len(found)), key=lambda index: len(found[index]))
    return near[best], found[best]


def _draw_arrivals(axes: Any, stage: Stage, paths: Paths, node: int) -> None:
    gain = 20.0 * np.log10(path_magnitudes(paths, _LEVEL_HZ, stage.medium).mean(axis=1))
    late_ms = (paths.delay_s - paths.straight_s) * NS_PER_S / NS_PER_MS
    for kind in _COLOURS:
        rows = np.flatnonzero(paths.kind == kind)
        if len(rows):
            axes.vlines(late_ms[rows], gain.min() - 6.0, gain[rows], color=_COLOURS[kind])
            axes.plot(late_ms[rows], gain[rows], "o", color=_COLOURS[kind], label=_WORDS[kind])
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize=8)
    axes.set(
        title=f"paths from the first event to {stage.nodes[node].id}, {paths.straight_m:.0f} m away",
        xlabel="behind the straight line (ms)",
        ylabel="level over that at 1 m, 250 Hz to 1 kHz (dB)",
    )
