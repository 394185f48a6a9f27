"""``shotline locate``: arrival times in, a place with its error out, or the reason why not; and a picture of either."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shotline.domain import Arrival, DetectionId, Ellipse, Location, NoLocation, Root
from shotline.errors import InputError

if TYPE_CHECKING:
    from fusion_server.arrival_table import ArrivalTable
    from fusion_server.explain import Explanation, Notation
    from fusion_server.locate import Fixes, LocateSettings
    from shotline.atmosphere import Weather

__all__ = ["app"]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_EXIT_NO_LOCATION = 3

_EXAMPLE = """
Example, from the root of the repository; with `--explain why.png` it is drawn as well (docs/location.md):

    shotline locate docs/examples/arrivals.csv --temperature-c 12

The table has a row per node: `node`, then `x_m,y_m` or `lat_deg,lon_deg`, then `time_utc` (2026-03-14T21:30:08.123456Z)
or `time_s` (seconds since any one instant); `z_m`, `sigma_s`, `snr_db`, `level_db` may follow, and `shot`, the name of
the sound, where a table holds many. A JSON file holds a list of such rows.

A shot of an incident, from what `shotline replay` or the server wrote, on the map of the nodes that heard it:

    shotline locate --incident results/incidents.jsonl --id 81d9 --shot 2 --nodes my-scenes --explain why.png
"""


@app.command(epilog=_EXAMPLE)
def locate(
    file: Annotated[
        Path | None, typer.Argument(metavar="ARRIVALS.(csv|json)", help="One row per node that heard the sound.")
    ] = None,
    *,
    temperature_c: Annotated[
        float | None, typer.Option(help="Air temperature, 15 when not given; 1 °C wrong is 0.85 m at 500 m.")
    ] = None,
    temperature_sigma_c: Annotated[
        float | None, typer.Option(min=0.0, help="1-sigma error of the temperature along the path.")
    ] = None,
    wind_speed_mps: Annotated[float | None, typer.Option(min=0.0, help="Wind speed, 0 when not given.")] = None,
    wind_from_deg: Annotated[
        float | None, typer.Option(help="Where the wind comes from, degrees from north, 0 when not given.")
    ] = None,
    wind_sigma_mps: Annotated[
        float | None, typer.Option(min=0.0, help="1-sigma error of each component of the wind along the path.")
    ] = None,
    height: Annotated[
        Literal["planar", "known", "free"] | None,
        typer.Option(
            help="planar (when not given): all in one plane. known: the source is at --height-m. free: solve for it."
        ),
    ] = None,
    height_m: Annotated[
        float | None, typer.Option(help="Height of the source, with known; first guess, with free; 0 when not given.")
    ] = None,
    batch: Annotated[bool, typer.Option("--batch", help="Locate every shot of a table with a `shot` column.")] = False,
    incident: Annotated[
        Path | None,
        typer.Option(metavar="FILE.jsonl", help="Show a shot of an incident record instead; needs --nodes."),
    ] = None,
    incident_id: Annotated[
        str | None, typer.Option("--id", help="Which incident of the file: its id, or how that begins.")
    ] = None,
    shot: Annotated[
        str | None, typer.Option(help="Which shot: its name in the table, or with --incident its number, from 1.")
    ] = None,
    nodes: Annotated[
        Path | None, typer.Option(help="Where the nodes of the incident stand: a dataset folder, or a server.toml.")
    ] = None,
    explain: Annotated[
        Path | None, typer.Option(metavar="FILE.(png|svg|pdf)", help="Draw why the place is what it is.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --batch, one to a line.")
    ] = False,
) -> None:
    """Locate one sound from its arrival times: place, 95 % ellipse, and what became of each arrival.

    Exit code 0 with a place; 3 when the arrivals do not allow one (the reason is printed, with both places where there
    are two), with --batch when any shot has none; 2 for input that cannot be used.
    """
    _check_together(
        table={"ARRIVALS": file, "--batch": batch or None, "--height": height, "--height-m": height_m},
        record={"--incident": incident, "--id": incident_id, "--nodes": nodes},
        one_shot={"--shot": shot, "--explain": explain},
    )
    if explain is not None:
        from fusion_server.explain.picture import check_picture_path

        check_picture_path(explain)
    air = {
        "temperature_c": temperature_c,
        "temperature_sigma_c": temperature_sigma_c,
        "wind_speed_mps": wind_speed_mps,
        "wind_from_deg": wind_from_deg,
        "wind_sigma_mps": wind_sigma_mps,
    }
    if incident is not None:
        _show(_recorded(incident, incident_id, shot, nodes, air), explain, as_json=as_json)
        return
    assert file is not None
    from fusion_server.arrival_table import read_arrivals
    from fusion_server.locate import Height, LocateSettings

    settings = LocateSettings(height=Height(height or "planar"), height_m=height_m or 0.0)
    table = read_arrivals(file)
    weather = _weather(air)
    if batch:
        _locate_batch(file, table, weather, settings, as_json=as_json)
    else:
        name = _named_shot(file, table, shot)
        _show(_located(file, name, table, weather, settings), explain, as_json=as_json)


def _check_together(
    *, table: Mapping[str, object], record: Mapping[str, object], one_shot: Mapping[str, object]
) -> None:
    """Refuse options that do not go together; each is by its name, None where it was not given."""
    file, incident = table["ARRIVALS"], record["--incident"]
    if (file is None) == (incident is None):
        raise InputError("expected a table of arrivals or --incident, one of them; see --help", field="ARRIVALS")
    rules = (
        (record, incident is None, "goes with --incident only"),
        (table, incident is not None, "an incident is located already; leave this out"),
        (one_shot, table["--batch"] is not None, "is about one shot; leave out --batch and choose one with --shot"),
    )
    for options, refused, message in rules:
        for name, value in options.items():
            if refused and value is not None:
                raise InputError(message, field=name)


def _weather(options: dict[str, float | None], base: Weather | None = None) -> Weather:
    """Return the weather with what the options say in place of what it says."""
    from shotline.atmosphere import Weather

    given: dict[str, Any] = {name: value for name, value in options.items() if value is not None}
    return dataclasses.replace(base or Weather(), **given)


def _named_shot(file: Path, table: ArrivalTable, shot: str | None) -> str:
    names = list(table.shots)
    shown = ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
    if shot is not None and shot not in table.shots:
        there = "the table has no column for it" if names == [""] else f"there are {shown}"
        raise InputError(f"no shot '{shot}'; {there}", source=file, field="shot")
    if shot is None and len(names) > 1:
        raise InputError(
            f"{len(names)} shots ({shown}); add --batch for all, or --shot for one", source=file, field="shot"
        )
    return names[0] if shot is None else shot


def _find(shots: Sequence[Sequence[Arrival]], weather: Weather, settings: LocateSettings) -> Fixes:
    from fusion_server.locate import ArrivalBatch, locate_batch

    return locate_batch(ArrivalBatch.of(shots), weather=weather, settings=settings)


def _located(file: Path, name: str, table: ArrivalTable, weather: Weather, settings: LocateSettings) -> Explanation:
    from fusion_server.explain import Explanation, Notation
    from fusion_server.locate import Height

    arrivals = table.shots[name]
    fixes = _find([arrivals], weather, settings)
    found = fixes.result(0)
    height_m = None if settings.height is Height.PLANAR else settings.height_m
    if isinstance(found, Location) and found.z_m is not None:
        height_m = found.z_m
    why = "Why this place" if isinstance(found, Location) else "Why there is no place"
    return Explanation(
        title=f"{why}: {file.name}" + (f", shot {name}" if name else ""),
        found=found,
        arrivals=arrivals,
        weather=weather,
        notation=Notation(table.frame, table.clock_text),
        sigma_s=_sigma_s(fixes),
        height_m=height_m,
        sites=tuple(arrival.site for arrival in arrivals),
    )


def _sigma_s(fixes: Fixes) -> dict[DetectionId, float]:
    """Return the error that was expected of each arrival of the first shot: its residual in seconds over in sigmas."""
    return {
        arrival.uid: residual_s / standardised
        for arrival, residual_s, standardised in zip(
            fixes.batch.arrivals[0], fixes.residual_s.tolist(), fixes.standardised.tolist(), strict=True
        )
        if math.isfinite(standardised) and standardised != 0.0
    }


def _recorded(
    incident: Path, incident_id: str | None, shot: str | None, nodes: Path | None, air: dict[str, float | None]
) -> Explanation:
    from fusion_server.explain.recorded import explain_record, find_incident, find_shot, read_network
    from shotline.timebase import parse_utc

    if nodes is None:
        raise InputError(
            "missing; a record does not say where its nodes stand: give a dataset folder or a server.toml",
            field="--nodes",
        )
    if shot is not None and not shot.isdecimal():
        raise InputError(f"'{shot}' is not a number; shots of an incident are counted from 1", field="--shot")
    number = int(shot or 1)
    record = find_incident(incident, incident_id=incident_id)
    time_ns = parse_utc(find_shot(record, number, source=incident).time_utc, source=incident, field="time_utc")
    network = read_network(nodes, scene=record.scene)
    weather = _weather(air, network.weather.at(time_ns))
    return explain_record(record, number, source=incident, network=network, weather=weather)


def _show(explanation: Explanation, picture: Path | None, *, as_json: bool) -> None:
    found = explanation.found
    if picture is not None:
        from fusion_server.explain.picture import draw, save

        save(draw(explanation), picture)
    if as_json:
        typer.echo(json.dumps(_document(found, explanation.notation, explanation.weather), indent=2))
    elif isinstance(found, Location):
        _print_location(found, explanation)
    else:
        _print_refusal(found, explanation.notation)
    if picture is not None and not as_json:
        typer.echo(f"drawn in {picture}")
    if isinstance(found, NoLocation):
        raise typer.Exit(_EXIT_NO_LOCATION)


def _locate_batch(
    file: Path, table: ArrivalTable, weather: Weather, settings: LocateSettings, *, as_json: bool
) -> None:
    from fusion_server.explain import Notation

    if "" in table.shots:
        raise InputError("no such column; --batch needs the name of its shot in each row", source=file, field="shot")
    notation = Notation(table.frame, table.clock_text)
    fixes = _find(list(table.shots.values()), weather, settings)
    results = [(name, fixes.result(number)) for number, name in enumerate(table.shots)]
    if as_json:
        for name, found in results:
            typer.echo(json.dumps({"shot": name} | _document(found, notation, weather)))
    else:
        _print_batch(results, notation)
    if any(isinstance(found, NoLocation) for _, found in results):
        raise typer.Exit(_EXIT_NO_LOCATION)


def _document(found: Location | NoLocation, notation: Notation, weather: Weather) -> dict[str, object]:
    speed: dict[str, object] = {"speed_of_sound_mps": round(weather.speed_of_sound_mps, 3)}
    if isinstance(found, NoLocation):
        roots = [_root_document(root, notation) for root in found.roots]
        return {"located": False, "reason": found.reason.value, "detail": found.detail, "roots": roots} | speed
    place: dict[str, object] = (
        {"located": True, "x_m": found.x_m, "y_m": found.y_m, "z_m": found.z_m, "z_sigma_m": found.z_sigma_m}
        | notation.degrees(found.x_m, found.y_m)
        | {
            "weight": found.weight,
            "time": notation.instant(found.origin_time_ns),
            "time_sigma_s": _finite(found.origin_sigma_s),
            "covariance_m2": found.covariance_m2,
            "ellipse50": _ellipse_document(found.ellipse50),
            "ellipse90": _ellipse_document(found.ellipse90),
            "ellipse95": _ellipse_document(found.ellipse95),
            "region95": [[_corner_document(corner, notation) for corner in ring] for ring in found.region95],
            "cep50_m": found.cep50_m,
            "cep95_m": found.cep95_m,
            "gdop": found.gdop,
            "rms_residual_s": found.rms_residual_s,
            "arrivals": [
                {
                    "node": verdict.arrival.site.node,
                    "time": notation.instant(verdict.arrival.time_ns),
                    "residual_s": _finite(verdict.residual_s),
                    "used": verdict.used,
                    "reason": verdict.reason,
                }
                for verdict in found.verdicts
            ],
            "alternatives": [_root_document(root, notation) for root in found.alternatives],
        }
    )
    return place | speed


def _root_document(root: Root, notation: Notation) -> dict[str, object]:
    place: dict[str, object] = {"x_m": root.x_m, "y_m": root.y_m}
    time: dict[str, object] = {"time": notation.instant(root.origin_time_ns), "weight": root.weight}
    return place | notation.degrees(root.x_m, root.y_m) | time


def _corner_document(corner: tuple[float, float], notation: Notation) -> dict[str, float]:
    return {"x_m": round(corner[0], 3), "y_m": round(corner[1], 3)} | notation.degrees(*corner)


def _ellipse_document(ellipse: Ellipse | None) -> dict[str, float] | None:
    return None if ellipse is None else dataclasses.asdict(ellipse)


def _finite(value: float) -> float | None:
    """Return a number that JSON has a word for."""
    return value if math.isfinite(value) else None


def _print_location(found: Location, explanation: Explanation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from fusion_server.explain import location_lines

    console = Console(highlight=False)
    for name, value in location_lines(found, weather=explanation.weather, notation=explanation.notation):
        console.print(Text(f"{name:9}", style="dim") + Text(value), soft_wrap=True)
    arrivals = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    arrivals.add_column("node")
    arrivals.add_column("residual", justify="right")
    arrivals.add_column("verdict")
    for verdict in found.verdicts:
        said = Text("used", style="green") if verdict.used else Text("set aside", style="yellow")
        if verdict.reason:
            said.append(f": {verdict.reason}", style="default")
        residual = f"{round(1e3 * verdict.residual_s, 1) + 0.0:+.1f} ms" if math.isfinite(verdict.residual_s) else ""
        arrivals.add_row(Text(verdict.arrival.site.node), residual, said)
    console.print()
    console.print(arrivals)
    for number, (kind, name, text) in enumerate(explanation.considered()):
        if number == 0:
            console.print()
        console.print(Text(f"{kind:13}", style="dim") + Text(f"{name}: {text}"), soft_wrap=True)


def _print_refusal(found: NoLocation, notation: Notation) -> None:
    from fusion_server.explain import refusal_lines

    for name, text in refusal_lines(found, notation=notation):
        typer.echo(f"{name}: {text}" if name == "no place" else f"  {name} {text}")


def _print_batch(results: Sequence[tuple[str, Location | NoLocation]], notation: Notation) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        # Nothing is as wide as a file: a row stays a line.
        console.width = 500
    shots = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for column in ("shot", "place", "95 % within", "time", "nodes", ""):
        shots.add_column(column, justify="right" if column in ("95 % within", "nodes") else "left")
    for name, found in results:
        if isinstance(found, NoLocation):
            shots.add_row(Text(name), Text("no place", style="yellow"), "", "", "", Text(found.detail))
            continue
        note = f"or {len(found.alternatives)} other place(s)" if found.alternatives else ""
        note = "a region and not a dot" + (f", {note}" if note else "") if found.region95 else note
        used = sum(verdict.used for verdict in found.verdicts)
        where, when = notation.place(found.x_m, found.y_m), notation.instant(found.origin_time_ns)
        shots.add_row(Text(name), where, f"{found.cep95_m:.1f} m", when, f"{used} of {len(found.verdicts)}", note)
    console.print(shots)
    located = sum(isinstance(found, Location) for _, found in results)
    console.print(f"{located} of {len(results)} shots located")
