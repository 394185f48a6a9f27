"""Where a plan goes: maps, GeoJSON, the history as CSV and picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from shotline.errors import StorageError
from shotline_calibration.plan.failures import Failures
from shotline_calibration.plan.geojson import plan_collection
from shotline_calibration.plan.history import Period, history_csv
from shotline_calibration.plan.inputs import PlanInputs
from shotline_calibration.plan.picture import difference_layer, draw_history, draw_maps, figure_layers, spread_to
from shotline_calibration.plan.planner import CellFigures, Planner
from shotline_calibration.plan.situation import PlannedNode
from shotline_calibration.plots import save

__all__ = ["draw_plan", "write_geojson", "write_history"]


def draw_plan(
    path: Path,
    planner: Planner,
    inputs: PlanInputs,
    *,
    now: CellFigures,
    then: CellFigures | None = None,
    chosen: Sequence[PlannedNode] = (),
    lost: tuple[Failures, Planner] | None = None,
) -> None:
    """Draw the maps of a plan: as it is, or with the chosen nodes; what those bring, and what failures cost.

    Parameters
    ----------
    path : Path
    planner : Planner
    inputs : PlanInputs
    now, then : CellFigures
        Without and with the chosen nodes.
    chosen : sequence of PlannedNode
    lost : tuple of (Failures, Planner) | None
        With the planner whose cells they are of.
    """
    layers = figure_layers(then or now)
    if then is not None:
        layers.append(
            difference_layer("found more with the suggested", then.detect_probability - now.detect_probability)
        )
    if lost is not None:
        found, coarse = lost
        worst = spread_to(planner.cells, coarse.cells, -found.worst_loss)
        layers.append(difference_layer("found less after the worst single failure", worst))
    around = planner.situation.around.name
    title = f"{', '.join(item.id for item in planner.situation.weapons)}; {around}; cells of {planner.cells.step_m:g} m"
    save(draw_maps(layers, planner.cells, title=title, areas=inputs.areas, nodes=inputs.nodes, suggested=chosen), path)


def write_geojson(
    path: Path, planner: Planner, inputs: PlanInputs, shown: CellFigures, chosen: Sequence[PlannedNode] = ()
) -> None:
    """Write a plan for other programs, and for the live page.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    situation = planner.situation
    properties = {
        "modelled": True,
        "surroundings": situation.around.name,
        "weapons": [item.id for item in situation.weapons],
        "min_nodes": planner.fusion.associate.min_nodes,
        "goal_m": planner.goal_m,
    }
    collection = plan_collection(
        planner.cells, shown, inputs.frame, nodes=inputs.nodes, suggested=chosen, properties=properties
    )
    _write(path, json.dumps(collection) + "\n")


def write_history(periods: Sequence[Period], csv: Path | None, picture: Path | None) -> None:
    """Write what was covered when.

    Raises
    ------
    StorageError
        The file cannot be written.
    """
    if csv is not None:
        _write(csv, history_csv(periods))
    if picture is not None:
        save(draw_history(periods, title="coverage by the nodes that were heard"), picture)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
