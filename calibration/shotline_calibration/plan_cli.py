"""``shotline plan``: what a network would find, where more nodes help, what a failed one costs, and what was covered.

Heavy imports happen inside the command.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
    keep_result,
    say_kept,
)

if TYPE_CHECKING:
    from shotline.atmosphere import Weather
    from shotline_calibration.plan.failures import Failures
    from shotline_calibration.plan.inputs import PlanInputs
    from shotline_calibration.plan.planner import Planner
    from shotline_calibration.plan.situation import PlannedNode, Situation
    from shotline_calibration.plan.suggest import Suggestion

__all__ = ["app"]

_PROCEDURE = "coverage plan 1"
_SEARCH_CELLS = 600
_FAILURE_CELLS = 2_500
_HISTORY_CELLS = 600
_SEARCH_DRAWS = 32
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_WORDS = {"cells": "map", "places": "places", "failures": "failures", "history": "history"}

app = typer.Typer(
    no_args_is_help=True,
    subcommand_metavar="",
    help="Plan coverage: where shots are found and how well, where more nodes help (calibration/procedures/plan.md).",
)


@app.callback(invoke_without_command=True, context_settings={"allow_interspersed_args": True})
def _plan(
    area: Annotated[Path, typer.Argument(metavar="AREA.geojson", help="Polygons, WGS-84: where shots may be.")],
    *,
    config: Annotated[
        Path | None,
        typer.Option("--config", "-c", help="Configuration of the server: its sites, weather and settings."),
    ] = None,
    nodes: Annotated[
        Path | None, typer.Option(metavar="FILE.geojson", help="Points where nodes stand, instead of the server's.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Noise, blocked microphones and failures, by node.")
    ] = None,
    failed: Annotated[list[str] | None, typer.Option(metavar="NODE", help="It hears nothing. Repeat it.")] = None,
    muffled: Annotated[
        list[str] | None, typer.Option(metavar="NODE=DB", help="Its microphone is blocked: roof-3=-20. Repeat it.")
    ] = None,
    surroundings: Annotated[str, typer.Option(help="open, suburb, town or downtown.")] = "suburb",
    weapon: Annotated[
        list[str] | None,
        typer.Option(
            help="small, handgun, rifle, suppressed, or a weapon of `shotline simulate --weapons`; each as likely. "
            "[default: handgun]"
        ),
    ] = None,
    noise_dba: Annotated[
        float | None, typer.Option("--noise-dba", help="Level exceeded half of the time; that of the surroundings.")
    ] = None,
    temperature_c: Annotated[float | None, typer.Option("--temperature-c", help="Instead of the server's.")] = None,
    humidity_percent: Annotated[float | None, typer.Option("--humidity-percent", help="The same.")] = None,
    wind_mps: Annotated[float | None, typer.Option("--wind-mps", help="At 10 m.")] = None,
    wind_from_deg: Annotated[float | None, typer.Option("--wind-from-deg", help="Clockwise from north.")] = None,
    microphone: Annotated[str, typer.Option(help="mems-120, mems-135, vendor-93 or ideal.")] = "mems-120",
    mast_m: Annotated[float, typer.Option("--mast-m", min=0.5, max=100.0, help="Height of microphones.")] = 8.0,
    cell_m: Annotated[float, typer.Option("--cell-m", min=1.0, max=1000.0, help="Side of a cell.")] = 25.0,
    goal_m: Annotated[float, typer.Option("--goal-m", min=1.0, help="CEP95 that is wanted.")] = 25.0,
    add: Annotated[int, typer.Option(min=0, max=20, help="Suggest places for so many more nodes.")] = 0,
    candidates: Annotated[
        Path | None, typer.Option(metavar="FILE.geojson", help="Points where they may stand; else a grid.")
    ] = None,
    apart_m: Annotated[float | None, typer.Option("--apart-m", min=20.0, help="Of that grid.")] = None,
    failures: Annotated[bool, typer.Option("--failures", help="Say what the loss of each node would cost.")] = False,
    history: Annotated[
        Path | None,
        typer.Option(metavar="FILE.csv", help="Write how much was covered when, by the nodes the server heard."),
    ] = None,
    history_plot: Annotated[Path | None, typer.Option("--history-plot", metavar="FILE", help="Draw that.")] = None,
    since: Annotated[str | None, typer.Option("--from", metavar="DATE", help="Of the history; its first hour.")] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DATE", help="No longer in it; now.")] = None,
    hours: Annotated[int, typer.Option(min=1, max=720, help="Of one line of the history; 24 is a day.")] = 1,
    plot: Plot = None,
    geotiff: Annotated[Path | None, typer.Option(metavar="FILE.tif", help="Write the figures as bands.")] = None,
    geojson: Annotated[
        Path | None, typer.Option(metavar="FILE.geojson", help="Write areas of like coverage, and the nodes.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=1_000_000, help="Of the drawn shots.")] = 0,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    as_json: AsJson = False,
) -> None:
    """Predict what the server would find in an area: modelled, and as good as what is said of the surroundings."""
    from shotline_calibration.plan.cells import cells_of
    from shotline_calibration.plan.inputs import read_inputs
    from shotline_calibration.plan.outputs import draw_plan, write_geojson
    from shotline_calibration.plan.planner import Planner, smoothed
    from shotline_calibration.plan.result import PlanResult
    from shotline_calibration.plan.summary import summary
    from shotline_recordings.work import progress_bars

    options = checked_options(by=by, sign_with=sign_with, records=records, notes=notes, plots=(plot, history_plot))
    inputs = read_inputs(
        area, config=config, nodes=nodes, state=state, failed=failed or (), muffled=muffled or (), mast_m=mast_m
    )
    if not inputs.nodes and not add:
        raise InputError("no nodes; give --config or --nodes, or ask for some with --add", field="--nodes")
    situation = _situation(
        _air(inputs.weather, temperature_c, humidity_percent, wind_mps, wind_from_deg),
        surroundings=surroundings,
        weapons=tuple(weapon or ("handgun",)),
        noise_dba=noise_dba,
        microphone=microphone,
        mast_m=mast_m,
    )
    planner = Planner(
        cells_of(inputs.areas, step_m=cell_m),
        situation,
        fusion=inputs.fusion,
        goal_m=goal_m,
        ground=inputs.ground,
        seed=seed,
    )
    working = [node for node in inputs.nodes if not node.failed]
    with progress_bars(_WORDS) as progress:
        now = smoothed(planner.figures(working, progress=progress), planner.cells)
        suggestion = then = lost = None
        if add:
            suggestion = _suggested(planner, inputs, candidates, apart_m, add, progress)
            then = smoothed(planner.figures([*working, *suggestion.chosen], progress=progress), planner.cells)
        if failures:
            lost, coarse = _failures(planner, working, progress)
        if history is not None or history_plot is not None:
            _write_history(planner, inputs, history, history_plot, since, until, hours, progress)
    result = PlanResult(
        cell_m=cell_m,
        goal_m=goal_m,
        surroundings=situation.around.name,
        weapons=tuple(item.id for item in situation.weapons),
        temperature_c=situation.weather.temperature_c,
        wind_speed_mps=situation.weather.wind_speed_mps,
        wind_from_deg=situation.weather.wind_from_deg,
        nodes=tuple(node.site.node for node in working),
        failed=tuple(node.site.node for node in inputs.nodes if node.failed),
        now=summary(now, planner.cells),
        suggested=tuple(node.site.node for node in suggestion.chosen) if suggestion else (),
        suggested_goal_probability=suggestion.goal_probability if suggestion else (),
        certified=suggestion.certified if suggestion else False,
        then=summary(then, planner.cells) if then else None,
        failures=lost.each if lost else (),
    )
    chosen = suggestion.chosen if suggestion else ()
    shown = then or now
    if plot is not None:
        draw_plan(plot, planner, inputs, now=now, then=then, chosen=chosen, lost=(lost, coarse) if lost else None)
    if geotiff is not None:
        from shotline_calibration.plan.geotiff import write_geotiff

        write_geotiff(geotiff, planner.cells, shown, inputs.frame)
    if geojson is not None:
        write_geojson(geojson, planner, inputs, shown, chosen)
    files = [*inputs.files, *([candidates] if candidates is not None and add else [])]
    kept = keep_result(result, options, kind="plan", node="", procedure=_PROCEDURE, inputs=files)
    if as_json:
        import msgspec

        places = [_place(node, inputs) for node in chosen]
        typer.echo(json.dumps({"result": msgspec.to_builtins(result), "suggested": places, "record": kept}))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    for node in chosen:
        where = _place(node, inputs)
        typer.echo(f"place        {node.site.node}: {where['lat_deg']:.6f}, {where['lon_deg']:.6f}")
    say_kept(kept, node="")


def _air(
    weather: Weather,
    temperature_c: float | None,
    humidity_percent: float | None,
    wind_mps: float | None,
    wind_from_deg: float | None,
) -> Weather:
    from dataclasses import replace

    given = {
        "temperature_c": temperature_c,
        "humidity_percent": humidity_percent,
        "wind_speed_mps": wind_mps,
        "wind_from_deg": wind_from_deg,
    }
    return replace(weather, **{name: value for name, value in given.items() if value is not None})


def _situation(
    weather: Weather,
    *,
    surroundings: str,
    weapons: tuple[str, ...],
    noise_dba: float | None,
    microphone: str,
    mast_m: float,
) -> Situation:
    from shotline_calibration.plan.situation import Situation, weapons_of
    from shotline_calibration.plan.surroundings import surroundings as surroundings_of

    return Situation(
        weather=weather,
        around=surroundings_of(surroundings),
        weapons=weapons_of(weapons),
        noise_dba=noise_dba,
        microphone=microphone,
        mast_m=mast_m,
    )


def _coarse(planner: Planner, most: int) -> Planner:
    factor = 1
    while len(planner.cells) / factor**2 > most:
        factor += 1
    made = planner.coarser(factor)
    return made if len(made.cells) else planner


def _suggested(
    planner: Planner, inputs: PlanInputs, candidates: Path | None, apart_m: float | None, add: int, progress: Any
) -> Suggestion:
    from shotline_calibration.plan.inputs import read_candidates
    from shotline_calibration.plan.suggest import suggest

    places = read_candidates(inputs, candidates, apart_m=apart_m)
    working = [node for node in inputs.nodes if not node.failed]
    return suggest(_coarse(planner, _SEARCH_CELLS), working, places, add, progress=progress)


def _failures(planner: Planner, working: list[PlannedNode], progress: Any) -> tuple[Failures, Planner]:
    from shotline_calibration.plan.failures import failures

    coarse = _coarse(planner, _FAILURE_CELLS)
    return failures(coarse, working, progress=progress), coarse


def _write_history(
    planner: Planner,
    inputs: PlanInputs,
    csv: Path | None,
    picture: Path | None,
    since: str | None,
    until: str | None,
    hours: int,
    progress: Any,
) -> None:
    from shotline_calibration.plan.history import history
    from shotline_calibration.plan.inputs import read_heard
    from shotline_calibration.plan.outputs import write_history

    if inputs.config is None:
        raise InputError("a history needs the server's configuration; give --config", field="--history")
    until_ns = inputs.config.to_event_clock().event_ns(time.time_ns()) if until is None else _instant(until, "--to")
    heard = read_heard(inputs.config, since_ns=None if since is None else _instant(since, "--from"), until_ns=until_ns)
    periods = history(
        heard.rows,
        _coarse(planner, _HISTORY_CELLS),
        inputs.nodes,
        since_ns=heard.since_ns,
        until_ns=heard.until_ns,
        hours=hours,
        progress=progress,
    )
    write_history(periods, csv, picture)


def _place(node: PlannedNode, inputs: PlanInputs) -> dict[str, Any]:
    lat_deg, lon_deg, _ = inputs.frame.to_geodetic(node.site.x_m, node.site.y_m)
    return {"node": node.site.node, "lat_deg": round(lat_deg, 7), "lon_deg": round(lon_deg, 7)}


def _instant(text: str, option: str) -> int:
    from shotline.timebase import parse_utc

    return parse_utc(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text, field=option)
