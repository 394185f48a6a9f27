"""``shotline calibrate self-survey``. Heavy imports happen inside the command."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.heard.options import Database, Heard, Known, Network, PathSigma, Since, Until
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
    keep_result,
)

if TYPE_CHECKING:
    from shotline_calibration.self_survey.prepare import Prepared
    from shotline_calibration.self_survey.problem import SelfSurvey

__all__ = ["app", "solve"]

_PROCEDURE = "self-survey 1"
_SHOWN_ASIDE = 12

_EPILOG = """
Example: forty bangs that the server located, and three claps at known places:

    shotline calibrate self-survey --network server.toml --database shotline.db --known claps.csv --plot survey.png

HEARD.csv has a row per arrival: `shot,node,time_utc` (or `time_ns`), and `sigma_s` where known. KNOWN.csv has a row per
impulse: `shot` or `time_utc`, `lat_deg,lon_deg,height_m` or `x_m,y_m,z_m`, and `sigma_m`.
"""

app = typer.Typer(
    subcommand_metavar="",
    help="Where nodes stand and how their clocks differ, from sound (calibration/procedures/self-survey.md).",
)


@app.callback(invoke_without_command=True, epilog=_EPILOG)
def solve(
    *,
    network: Network,
    heard: Heard = None,
    database: Database = None,
    since: Since = None,
    until: Until = None,
    known: Known = None,
    sigma_m: Annotated[
        float | None,
        typer.Option(
            "--sigma-m", min=0.005, help="1-sigma of all surveyed positions, in place of each node's sigma_m."
        ),
    ] = None,
    clock_sigma_ms: Annotated[
        float, typer.Option("--clock-sigma-ms", min=0.0, help="1-sigma of each clock's constant offset; PPS: 0.1.")
    ] = 5.0,
    temperature_sigma_c: Annotated[
        float, typer.Option("--temperature-sigma-c", min=0.01, help="1-sigma of the temperature, where nobody says it.")
    ] = 2.0,
    path_sigma_ms: PathSigma = 5.0,
    air_hours: Annotated[
        float, typer.Option("--air-hours", min=0.01, help="Air is taken as the same for so long.")
    ] = 1.0,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Solve positions, clock offsets, speed of sound and wind together, from impulses that several nodes heard.

    It prints what moved and how well that is known, what this sound cannot tell, and what was set aside.
    """
    from dataclasses import replace

    from shotline_calibration.heard.options import gather
    from shotline_calibration.self_survey.adjust import self_survey as adjusted
    from shotline_calibration.self_survey.prepare import PrepareSettings, paths_assumed, prepare
    from shotline_calibration.self_survey.report import node_rows, of_nodes, whole_network
    from shotline_calibration.self_survey.result import SelfSurveyResult, of_network
    from shotline_calibration.self_survey.words import set_aside

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    given = gather(network, heard=heard, database=database, since=since, until=until, known=known)
    if by is not None and given.frame is None:
        raise InputError(
            "has no [frame], so a record could not say where nodes are; give it the origin", source=network
        )
    sites = [site if sigma_m is None else replace(site, sigma_m=sigma_m) for site in given.sites]
    settings = PrepareSettings(
        clock_sigma_s=1e-3 * clock_sigma_ms, temperature_sigma_c=temperature_sigma_c, air_span_s=3600.0 * air_hours
    )
    prepared = prepare(sites, given.impulses, given.weather, settings)
    if not as_json:
        typer.echo(f"{len(prepared.impulses)} impulses at {len(sites)} nodes; solving", err=True)
    survey = adjusted(prepared.nodes, prepared.impulses, prepared.airs, paths_assumed(path_sigma_ms))
    whole = whole_network(prepared, survey)
    if plot is not None:
        from shotline_calibration.plots import save
        from shotline_calibration.self_survey.picture import draw_self_survey

        title = f"Self-survey of {network.name}: {whole.impulses} impulses, {whole.impulses_known} at known places"
        save(draw_self_survey(prepared, survey, title=title), plot)
    nodes = {} if given.frame is None else of_nodes(prepared, survey, given.frame)
    inputs = [path for path in (network, heard, known) if path is not None]
    kept = {
        node: keep_result(
            SelfSurveyResult(found=found), options, kind="self-survey", node=node, procedure=_PROCEDURE, inputs=inputs
        )
        for node, found in nodes.items()
    }
    kept[""] = keep_result(
        SelfSurveyResult(network=whole), options, kind="self-survey", node="", procedure=_PROCEDURE, inputs=inputs
    )
    aside = set_aside(prepared, survey)
    left_out = {**prepared.left_out, **given.remarks}
    if as_json:
        import msgspec

        said = {
            "nodes": node_rows(prepared, survey),
            "network": msgspec.to_builtins(whole),
            "set_aside": aside,
            "left_out": left_out,
            "repeats_merged": prepared.repeats,
            "records": {node: record for node, record in kept.items() if record is not None},
        }
        typer.echo(json.dumps(said))
        return
    _print_table(prepared, survey)
    for sentence in of_network(whole):
        typer.echo(sentence)
    if prepared.repeats:
        typer.echo(f"repeats      {prepared.repeats} impulses from a place that had one already: each place tells once")
    for reason, count in left_out.items():
        typer.echo(f"left out     {count} {reason}")
    _print_aside(aside)
    if kept[""] is None:
        typer.echo("no record was made; give --by and --sign-with for one")
    else:
        typer.echo(f"records      {len(kept)} in {records}; then run shotline calibrate apply NODE for every node")


def _print_table(prepared: Prepared, survey: SelfSurvey) -> None:
    from shotline_calibration.self_survey.report import node_rows

    typer.echo(
        "node             moved east  north, m   error before  after, m   95 % ellipse, m   clock, ms      impulses"
    )
    for row, before, after in zip(node_rows(prepared, survey), prepared.nodes, survey.nodes, strict=True):
        shape = f"{row['ellipse95_semi_major_m']:.1f} x {row['ellipse95_semi_minor_m']:.1f}"
        clock = f"{1e3 * after.clock_offset_s:+.2f} ± {1e3 * after.clock_sigma_s:.2f}"
        typer.echo(
            f"{after.node:<16} {after.x_m - before.x_m:>+10.2f} {after.y_m - before.y_m:>+9.2f}   "
            f"{before.sigma_m:>12.2f} {float(row['sigma_m']):>9.2f}   {shape:>15}   {clock:<14} {after.impulses:>7}"
            + ("  survey contradicted" if after.prior_dropped else "")
        )


def _print_aside(aside: list[dict[str, object]]) -> None:
    for row in aside[:_SHOWN_ASIDE]:
        residual_s = row["residual_s"]
        if isinstance(residual_s, float):
            typer.echo(f"set aside    {row['impulse']} at {row['node']}: {1e3 * residual_s:+.1f} ms, {row['why']}")
        else:
            typer.echo(f"set aside    {row['impulse']}: {row['why']}")
    if len(aside) > _SHOWN_ASIDE:
        typer.echo(f"set aside    {len(aside) - _SHOWN_ASIDE} more; --json has all")
