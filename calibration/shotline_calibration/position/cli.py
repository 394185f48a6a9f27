"""``shotline calibrate position``. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError, StorageError
from shotline_calibration.keeping import (
    DEFAULT_RECORDS,
    AsJson,
    By,
    Instruments,
    Keys,
    Notes,
    Plot,
    Records,
    SignWith,
    checked_options,
    keep_result,
    say_kept,
    superseded,
)

if TYPE_CHECKING:
    from shotline_calibration.position.average import Average

__all__ = ["HeightUnit", "HeightWord", "app"]

_AVERAGE_PROCEDURE = "gnss average 1"
_IMPORT_PROCEDURE = "surveyed points 1"


class HeightWord(StrEnum):
    """What heights are above."""

    ELLIPSOID = "ellipsoid"
    GEOID = "geoid"


class HeightUnit(StrEnum):
    """What heights are in."""

    METRE = "m"
    FOOT = "ft"
    US_FOOT = "ftus"


_UNITS_M = {HeightUnit.METRE: 1.0, HeightUnit.FOOT: 0.3048, HeightUnit.US_FOOT: 1200.0 / 3937.0}

app = typer.Typer(no_args_is_help=True, help="Where a node stands (calibration/procedures/position.md).")

_Node = Annotated[str, typer.Option("--node", help="Id of the node.")]
_Microphone = Annotated[
    tuple[float, float, float],
    typer.Option("--mic-from-antenna", metavar="EAST NORTH UP", help="Metres from the antenna to the microphone."),
]


@app.command()
def average(
    logs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[LOG]...", help="Of `gpspipe -w`, or NMEA; several of the same stand are one series."),
    ] = None,
    *,
    node: _Node,
    live: Annotated[
        Path | None, typer.Option("--live", metavar="LOG", help="Listen to gpsd, write this new log, average it.")
    ] = None,
    minutes: Annotated[float, typer.Option(min=1.0, help="With --live: how long.")] = 60.0,
    gpsd: Annotated[str, typer.Option(metavar="HOST:PORT", help="With --live: where gpsd listens.")] = "127.0.0.1:2947",
    wanted_m: Annotated[
        float, typer.Option("--wanted-m", min=0.001, help="Say how long it takes to this 1-sigma error per axis.")
    ] = 1.5,
    bias_m: Annotated[
        float | None,
        typer.Option(
            "--bias-m",
            min=0.0,
            help="1-sigma of what no averaging removes, plane; twice that in height. 1 m for code receivers; less only "
            "for fixes with corrections (RTK, PPP) under an open sky.",
        ),
    ] = None,
    microphone: _Microphone = (0.0, 0.0, 0.0),
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Average fixes of an antenna that stands still; the error says how alike fixes are, not only how many."""
    from shotline_calibration.position.average import AverageSettings, NoAverage, average_fixes
    from shotline_calibration.position.fixlog import read_fix_logs
    from shotline_calibration.position.result import PositionResult

    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    if bool(logs) == (live is not None):
        raise InputError("expected logs, or --live LOG: one of them", field="LOG")
    files = list(logs or ())
    if live is not None:
        _listen(gpsd, live, minutes)
        files = [live]
    log = read_fix_logs(files)
    settings = (
        AverageSettings() if bias_m is None else AverageSettings(bias_sigma_m=bias_m, bias_sigma_up_m=2.0 * bias_m)
    )
    found = average_fixes(log.fixes, settings)
    if isinstance(found, NoAverage):
        raise InputError(f"no average, {found.reason.value}: {found.detail}", source=files[0])
    east_m, north_m, up_m = microphone
    result = PositionResult(
        lat_deg=found.lat_deg,
        lon_deg=found.lon_deg,
        height_m=found.height_m,
        sigma_m=found.sigma_m,
        sigma_up_m=found.sigma_up_m,
        microphone_east_m=east_m,
        microphone_north_m=north_m,
        microphone_up_m=up_m,
        averaging=found.how,
    )
    if plot is not None:
        from shotline_calibration.plots import save
        from shotline_calibration.position.picture import draw_average

        save(draw_average(found, name=node), plot)
    kept = keep_result(result, options, kind="position", node=node, procedure=_AVERAGE_PROCEDURE, inputs=files)
    longer = _longer(found, wanted_m)
    if as_json:
        import msgspec

        hours = found.hours_for(wanted_m)
        said = {"result": msgspec.to_builtins(result), "rejected_lines": log.rejected, "hours_for_wanted": hours}
        typer.echo(json.dumps({**said, "record": kept}))
        return
    for sentence in result.sentences():
        typer.echo(sentence)
    for reason, count in log.rejected.items():
        typer.echo(f"not taken    {count} lines: {reason}")
    typer.echo(longer)
    say_kept(kept, node=node)


@app.command(name="import")
def import_points(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="CSV with a line of names, or GeoJSON of points.")],
    *,
    crs: Annotated[
        str | None, typer.Option(help="Coordinate system: EPSG:25832, or WKT. GeoJSON without one is WGS-84.")
    ] = None,
    node_column: Annotated[str | None, typer.Option("--id", metavar="COLUMN", help="Of the node.")] = None,
    east: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of easting, or longitude.")] = None,
    north: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of northing, or latitude.")] = None,
    height: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of heights.")] = None,
    sigma: Annotated[str | None, typer.Option(metavar="COLUMN", help="Of errors, metres, 1 sigma per axis.")] = None,
    height_is: Annotated[
        HeightWord | None, typer.Option(help="What heights are above, where the coordinate system does not say.")
    ] = None,
    geoid_m: Annotated[float | None, typer.Option(help="Height of the geoid above the ellipsoid there.")] = None,
    height_m: Annotated[float | None, typer.Option(help="Above the ellipsoid, for all, when there are none.")] = None,
    height_unit: Annotated[HeightUnit | None, typer.Option(help="Of heights; m when the plane is in metres.")] = None,
    sigma_m: Annotated[float | None, typer.Option(help="Error of the survey, 1 sigma per axis.")] = None,
    farthest_km: Annotated[float, typer.Option(min=0.1, help="A point farther from the middle is refused.")] = 50.0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="New file: .toml for the server's [[nodes]], or .geojson.")
    ] = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Read surveyed points and say which column, coordinate system and height was taken for what."""
    from shotline_calibration.position.datum import HeightKind, SurveySettings, to_wgs84
    from shotline_calibration.position.points import Column, parse_csv, parse_geojson
    from shotline_calibration.position.sites import results_of, sites_geojson, sites_toml

    options = checked_options(by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments)
    if out is not None and out.suffix not in (".toml", ".geojson"):
        raise InputError(f"'{out.name}' ends in neither .toml nor .geojson", field="--out")
    named = {
        Column.NODE: node_column,
        Column.EAST: east,
        Column.NORTH: north,
        Column.HEIGHT: height,
        Column.SIGMA: sigma,
    }
    given = {column: name for column, name in named.items() if name is not None}
    text = _text(file)
    if file.suffix.lower() in (".geojson", ".json"):
        table = parse_geojson(text, source=file)
    else:
        table = parse_csv(text, given=given, source=file)
    settings = SurveySettings(
        crs=crs,
        height_kind=None if height_is is None else HeightKind(height_is.value),
        geoid_m=geoid_m,
        height_m=height_m,
        height_unit_m=None if height_unit is None else _UNITS_M[height_unit],
        sigma_m=sigma_m,
        farthest_km=farthest_km,
    )
    surveyed = to_wgs84(table, settings, source=file)
    results = results_of(surveyed)
    written = sites_geojson(results) if out is not None and out.suffix == ".geojson" else sites_toml(results)
    if out is not None:
        _write_new(out, written)
    kept = [
        keep_result(result, options, kind="position", node=node, procedure=_IMPORT_PROCEDURE, inputs=[file])
        for node, result in results.items()
    ]
    if as_json:
        import msgspec

        said = {node: msgspec.to_builtins(result) for node, result in results.items()}
        columns = {column.value: name for column, name in table.columns.items()}
        remarks = {"columns": columns, "remarks": surveyed.remarks}
        typer.echo(json.dumps({"nodes": said, **remarks, "records": kept if any(kept) else []}))
        return
    for column, name in table.columns.items():
        typer.echo(f"column       '{name}' is the {column.value}", err=True)
    typer.echo(f"system       {surveyed.crs}; {surveyed.operation} ({surveyed.operation_sigma_m:g} m)", err=True)
    typer.echo(f"heights      {surveyed.height_was}", err=True)
    for remark in surveyed.remarks:
        typer.echo(f"note         {remark}", err=True)
    typer.echo(f"{len(results)} nodes" + (f", written to {out}" if out else ""), err=True)
    if out is None:
        typer.echo(written, nl=False)
    for node, made in zip(results, kept, strict=True):
        if made is not None and made["supersedes"]:
            typer.echo(f"supersedes   of {node} {superseded(made)}", err=True)
    if any(kept):
        typer.echo(f"{len(kept)} records in {records}; then run shotline calibrate apply NODE", err=True)


@app.command()
def moved(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Of `gpspipe -w`, or NMEA.")],
    *,
    node: _Node,
    records: Records = DEFAULT_RECORDS,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Hold fixes against the record of a node, as a running node does with its [place]; exit code 1 if it was moved."""
    from sensor_node.place import NoPlace, PlaceKeeper, PlaceSettings, Position
    from shotline_calibration.position.fixlog import read_fix_logs
    from shotline_calibration.position.result import PositionResult
    from shotline_calibration.recordbook import RecordBook
    from shotline_calibration.records import trusted_keys

    standing = RecordBook.read(records, trusted=trusted_keys(keys or ())).current(node, "position")
    if standing is None:
        raise InputError(f"no record of the position of '{node}' in {records}", field="--node")
    recorded = standing.record.result
    assert isinstance(recorded, PositionResult)
    names = ("lat_deg", "lon_deg", "height_m", "sigma_m", "sigma_up_m")
    survey = Position(**{name: getattr(recorded, name) for name in names})
    # Logs may be thinned out; a node hears a fix a second.
    keeper = PlaceKeeper(survey=survey, settings=PlaceSettings(least_fixes=10))
    for fix in read_fix_logs(logs).fixes:
        keeper.add(fix)
    place = keeper.place()
    if isinstance(place, NoPlace) or place.offset_m is None or place.limit_m is None:
        raise InputError(f"{keeper.counts.used} fixes are too few; expected 20 minutes or more", source=logs[0])
    if as_json:
        said = {"moved": place.moved, "offset_m": place.offset_m, "limit_m": place.limit_m, "record": standing.id}
        typer.echo(json.dumps(said))
    else:
        typer.echo(f"record       {standing.id} of {standing.record.made_utc}")
        typer.echo(
            f"offset       {place.offset_m:.1f} m in the last ten minutes, {keeper.counts.windows} windows of ten"
        )
        typer.echo("it was MOVED, or the record is wrong" if place.moved else "nothing says that it was moved")
    raise typer.Exit(1 if place.moved else 0)


def _listen(gpsd: str, log: Path, minutes: float) -> None:
    from sensor_node.gpsd import GpsdClient
    from shotline_calibration.position.fixlog import record_fixes

    host, _, port = gpsd.rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"'{gpsd}', expected HOST:PORT", field="--gpsd")
    with GpsdClient(host, int(port)) as client:
        count = record_fixes(client, log, minutes=minutes, say=lambda text: typer.echo(text, err=True))
        if not count:
            raise InputError(f"no fix in {minutes:.0f} minutes: {client.state.problem or 'gpsd has none'}", source=log)


def _longer(found: Average, wanted_m: float) -> str:
    if found.sigma_m <= wanted_m:
        return f"enough       {wanted_m:g} m were wanted"
    hours = found.hours_for(wanted_m)
    if hours is not None:
        more = hours - found.how.duration_s / 3600.0
        return f"longer       {more:.1f} h more make {wanted_m:g} m likely"
    if wanted_m <= found.how.slow_sigma_m:
        return (
            f"never        {wanted_m:g} m is not more than what no averaging removes ({found.how.slow_sigma_m:g} m): "
            "survey it with corrections (RTK, PPP), or from known points"
        )
    return f"longer       two weeks do not make {wanted_m:g} m likely; a freer sky does, or a survey"


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the file as UTF-8: {error}", source=file) from error


def _write_new(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}") from error
