"""``shotline calibrate sound-speed``. Heavy imports happen inside the command."""

from __future__ import annotations

import json
from typing import Annotated

import typer

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
    say_kept,
)

__all__ = ["app", "solve"]

_PROCEDURE = "sound speed 1"

_EPILOG = """
Example: what the shots of one evening say of the temperature in server.toml:

    shotline calibrate sound-speed --network server.toml --heard incidents.jsonl --known control.csv --plot air.png

HEARD.csv has a row per arrival: `shot,node,time_utc` (or `time_ns`), and `sigma_s` where known. KNOWN.csv has a row per
control shot: `shot` or `time_utc`, `lat_deg,lon_deg,height_m` or `x_m,y_m,z_m`, and `sigma_m`; with `time_sigma_s` the
time of the shot counts as well.
"""

app = typer.Typer(
    subcommand_metavar="",
    help="Speed of sound and wind from sound, beside the weather (calibration/procedures/sound-speed.md).",
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
    clock_sigma_ms: Annotated[
        float, typer.Option("--clock-sigma-ms", min=0.0, help="1-sigma of each clock's constant offset; PPS: 0.1.")
    ] = 1.0,
    temperature_sigma_c: Annotated[
        float,
        typer.Option("--temperature-sigma-c", min=0.01, help="1-sigma of the weather's temperature, unless it says."),
    ] = 2.0,
    wind_sigma_mps: Annotated[
        float, typer.Option("--wind-sigma-mps", min=0.01, help="1-sigma of the weather's wind, unless it says.")
    ] = 1.0,
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
    """Say how fast sound was and what wind it felt, by sound alone; whether the weather agrees; what it costs."""
    from shotline.atmosphere import Weather
    from shotline_calibration.heard.options import gather
    from shotline_calibration.self_survey.prepare import PrepareSettings, paths_assumed, prepare
    from shotline_calibration.sound_speed.solve import heard_air, paths_of

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    given = gather(network, heard=heard, database=database, since=since, until=until, known=known)
    settings = PrepareSettings(
        clock_sigma_s=1e-3 * clock_sigma_ms,
        temperature_sigma_c=temperature_sigma_c,
        wind_sigma_mps=wind_sigma_mps,
        air_span_s=3600.0 * air_hours,
        vague_air=True,
    )
    prepared = prepare(given.sites, given.impulses, given.weather, settings)
    if not as_json:
        typer.echo(f"{len(prepared.impulses)} impulses at {len(given.sites)} nodes; solving", err=True)
    result, survey = heard_air(prepared, settings, paths_assumed(path_sigma_ms))
    if plot is not None:
        from shotline_calibration.plots import save
        from shotline_calibration.sound_speed.picture import draw_sound_speed

        title = f"Speed of sound and wind at {network.name}: {sum(air.impulses for air in result.airs)} impulses"
        save(draw_sound_speed(paths_of(prepared, survey), result, title=title), plot)
    inputs = [path for path in (network, heard, known) if path is not None]
    kept = keep_result(result, options, kind="sound-speed", node="", procedure=_PROCEDURE, inputs=inputs)
    left_out = {**prepared.left_out, **given.remarks}
    is_assumed = all(weather == Weather() for weather in prepared.weathers)
    if as_json:
        import msgspec

        said = {"result": msgspec.to_builtins(result), "left_out": left_out, "repeats_merged": prepared.repeats}
        said["weather_is_assumed"] = is_assumed
        typer.echo(json.dumps({**said, "record": kept}))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    if is_assumed:
        typer.echo("weather      is not measured: it is what a server assumes that was told none; give it [weather]")
    if prepared.repeats:
        typer.echo(f"repeats      {prepared.repeats} impulses from a place that had one already: each place tells once")
    for reason, count in left_out.items():
        typer.echo(f"left out     {count} {reason}")
    say_kept(kept, node="")
