"""``shotline locate``: a table of arrival times in, a place with its error out, or the reason why not."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from shotline.domain import Arrival, DetectionId, Location, NoLocation, Site
from shotline.errors import InputError
from shotline.timebase import format_utc, parse_utc
from shotline.units import NS_PER_S, ns_from_seconds

if TYPE_CHECKING:
    from shotline.atmosphere import Weather
    from shotline.geodesy import LocalFrame

__all__ = ["ArrivalTable", "app", "read_arrivals"]

app = typer.Typer(add_completion=False, rich_markup_mode="markdown")

_EXIT_NO_LOCATION = 3
_SIGMA_S = 0.001
_METRES, _DEGREES = ("x_m", "y_m"), ("lat_deg", "lon_deg")
_OPTIONAL = ("z_m", "sigma_s")
_COLUMNS = ("node", *_METRES, *_DEGREES, "time_utc", "time_s", *_OPTIONAL)

_EXAMPLE = """
Example, from the root of the repository:

    shotline locate docs/examples/arrivals.csv --temperature-c 12

The table has a row per node: `node`, then `x_m,y_m` or `lat_deg,lon_deg`, then `time_utc` (2026-03-14T21:30:08.123456Z)
or `time_s` (seconds since any one instant); `z_m` and `sigma_s` may follow. A JSON file holds a list of such rows.
"""


@dataclass(frozen=True, slots=True)
class ArrivalTable:
    """Arrivals as read: in the local frame, with the frame when the table was in degrees.

    ``clock_text`` is whether the times were UTC; otherwise they are seconds since some instant.
    """

    arrivals: tuple[Arrival, ...]
    frame: LocalFrame | None
    clock_text: bool

    def instant(self, time_ns: int) -> str:
        """Return an instant the way the table wrote its own."""
        return format_utc(time_ns, digits=6) if self.clock_text else f"{time_ns / NS_PER_S:.6f} s"


@app.command(epilog=_EXAMPLE)
def locate(
    file: Annotated[Path, typer.Argument(metavar="ARRIVALS.(csv|json)", help="One row per node that heard the sound.")],
    *,
    temperature_c: Annotated[float, typer.Option(help="Air temperature; 1 °C wrong is 0.85 m at 500 m.")] = 15.0,
    wind_speed_mps: Annotated[float, typer.Option(min=0.0, help="Wind speed.")] = 0.0,
    wind_from_deg: Annotated[float, typer.Option(help="Where the wind comes from, degrees from north.")] = 0.0,
    height: Annotated[
        Literal["planar", "known", "free"],
        typer.Option(help="planar: all in one plane. known: the source is at --height-m. free: solve for it."),
    ] = "planar",
    height_m: Annotated[float, typer.Option(help="Height of the source, with known; first guess, with free.")] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Locate one sound from its arrival times: place, 95 % ellipse, and what became of each arrival.

    Exit code 0 with a place; 3 when the arrivals do not allow one (the reason is printed, with both places where there
    are two); 2 for a table that cannot be read.
    """
    from fusion_server.locate import Height, LocateSettings
    from fusion_server.locate import locate as find
    from shotline.atmosphere import Weather

    weather = Weather(temperature_c=temperature_c, wind_speed_mps=wind_speed_mps, wind_from_deg=wind_from_deg)
    table = read_arrivals(file)
    settings = LocateSettings(height=Height(height), height_m=height_m)
    found = find(table.arrivals, weather=weather, settings=settings)
    if as_json:
        typer.echo(json.dumps(_document(found, table, weather), indent=2))
    elif isinstance(found, Location):
        _print_location(found, table, weather)
    else:
        _print_refusal(found, table)
    if isinstance(found, NoLocation):
        raise typer.Exit(_EXIT_NO_LOCATION)


def read_arrivals(path: Path) -> ArrivalTable:
    """Read a table of arrivals.

    Raises
    ------
    InputError
        Names file, line and column of what cannot be used.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
    except UnicodeDecodeError as error:
        raise InputError(f"not UTF-8 text (byte {error.start}); save it as UTF-8", source=path) from error
    rows = _json_rows(text, path) if path.suffix.lower() == ".json" else _csv_rows(text, path)
    if not rows:
        raise InputError("no arrivals; expected one row per node", source=path)
    for row in rows:
        row.check()
    for columns, what in ((_DEGREES, "positions"), (("time_utc",), "times")):
        kinds = {all(row.has(column) for column in columns) for row in rows}
        if len(kinds) > 1:
            raise rows[0].wrong(columns[0], f"{what} of two kinds; give all rows the same columns")
    in_degrees, clock_text = rows[0].has("lat_deg"), rows[0].has("time_utc")
    frame = _frame_of(rows) if in_degrees else None
    arrivals = tuple(row.arrival(number, frame) for number, row in enumerate(rows))
    return ArrivalTable(arrivals, frame, clock_text)


@dataclass(frozen=True, slots=True)
class _Row:
    """One row, and where it stands."""

    values: Mapping[str, Any]
    source: Path
    line: int
    at: str = ""

    def has(self, column: str) -> bool:
        return self.values.get(column) not in (None, "")

    def wrong(self, column: str, message: str) -> InputError:
        return InputError(message, source=self.source, field=f"{self.at}{column}", line=self.line)

    def check(self) -> None:
        if unknown := sorted(set(self.values) - set(_COLUMNS)):
            raise self.wrong(unknown[0], f"unknown column; known are {', '.join(_COLUMNS)}")
        if not self.has("node"):
            raise self.wrong("node", "missing; give the node a name")
        metres, degrees = (all(self.has(column) for column in kind) for kind in (_METRES, _DEGREES))
        if metres == degrees:
            seen = ", ".join(column for column in (*_METRES, *_DEGREES) if self.has(column)) or "neither"
            raise self.wrong("x_m", f"expected x_m and y_m, or lat_deg and lon_deg; saw {seen}")
        if self.has("time_utc") == self.has("time_s"):
            seen = "both" if self.has("time_s") else "neither"
            raise self.wrong("time_utc", f"expected either time_utc or time_s; saw {seen}")

    def number(self, column: str, default: float | None = None) -> float:
        if not self.has(column) and default is not None:
            return default
        value = self.values[column]
        try:
            number = float(value) if not isinstance(value, bool) else math.nan
        except (TypeError, ValueError):
            number = math.nan
        if not math.isfinite(number):
            raise self.wrong(column, f"'{value}' is not a number")
        return number

    def time_ns(self) -> int:
        if self.has("time_s"):
            return ns_from_seconds(self.number("time_s"))
        text = str(self.values["time_utc"])
        return parse_utc(text, source=self.source, field=f"{self.at}time_utc", line=self.line)

    def arrival(self, number: int, frame: LocalFrame | None) -> Arrival:
        sigma_s = self.number("sigma_s", _SIGMA_S)
        if sigma_s < 0:
            raise self.wrong("sigma_s", f"{sigma_s:g} is negative; a standard deviation is 0 or more")
        node, z_m = str(self.values["node"]), self.number("z_m", 0.0)
        if frame is None:
            x_m, y_m = self.number("x_m"), self.number("y_m")
        else:
            x_m, y_m, _ = self.degrees_in(frame)
        return Arrival(DetectionId(node, 0, number), Site(node, x_m, y_m, z_m), self.time_ns(), sigma_s)

    def degrees_in(self, frame: LocalFrame) -> tuple[float, float, float]:
        try:
            return frame.to_enu_m(self.number("lat_deg"), self.number("lon_deg"))
        except InputError as error:
            if error.problems[0].source:
                raise
            raise self.wrong("lat_deg", error.problems[0].message) from error


def _csv_rows(text: str, path: Path) -> list[_Row]:
    reader = csv.DictReader(text.splitlines(), skipinitialspace=True)
    rows = []
    try:
        for values in reader:
            if None in values or None in values.values():
                raise InputError(
                    f"expected {len(reader.fieldnames or ())} columns as in the first line, saw another number",
                    source=path,
                    line=reader.line_num,
                )
            rows.append(_Row({key.strip(): value.strip() for key, value in values.items()}, path, reader.line_num))
    except csv.Error as error:
        raise InputError(f"not a CSV table: {error}", source=path, line=reader.line_num) from error
    return rows


def _json_rows(text: str, path: Path) -> list[_Row]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", source=path, line=error.lineno) from error
    if not isinstance(content, list) or not all(isinstance(item, dict) for item in content):
        raise InputError("expected a list of objects, one per node", source=path)
    return [_Row(item, path, 0, f"[{number}].") for number, item in enumerate(content)]


def _frame_of(rows: Sequence[_Row]) -> LocalFrame:
    """Return a frame about the middle of the nodes; longitudes count from the first, so the date line is no edge."""
    from shotline.geodesy import LocalFrame

    first_deg = rows[0].number("lon_deg")
    lon_deg = [(row.number("lon_deg") - first_deg + 180.0) % 360.0 - 180.0 for row in rows]
    middle_deg = (first_deg + sum(lon_deg) / len(rows) + 180.0) % 360.0 - 180.0
    lat_deg = sum(row.number("lat_deg") for row in rows) / len(rows)
    try:
        return LocalFrame(lat_deg, middle_deg)
    except InputError as error:
        raise rows[0].wrong("lat_deg", error.problems[0].message) from error


def _degrees(table: ArrivalTable, x_m: float, y_m: float) -> dict[str, float]:
    if table.frame is None:
        return {}
    lat_deg, lon_deg, _ = table.frame.to_geodetic(x_m, y_m)
    return {"lat_deg": round(lat_deg, 7), "lon_deg": round(lon_deg, 7)}


def _place(table: ArrivalTable, x_m: float, y_m: float) -> str:
    if table.frame is None:
        return f"x {x_m:.2f} m, y {y_m:.2f} m"
    return "{lat_deg:.6f}, {lon_deg:.6f}".format(**_degrees(table, x_m, y_m))


def _document(found: Location | NoLocation, table: ArrivalTable, weather: Weather) -> dict[str, object]:
    speed: dict[str, object] = {"speed_of_sound_mps": round(weather.speed_of_sound_mps, 3)}
    if isinstance(found, NoLocation):
        roots = [
            {"x_m": root.x_m, "y_m": root.y_m, "time": table.instant(root.origin_time_ns)}
            | _degrees(table, root.x_m, root.y_m)
            for root in found.roots
        ]
        return {"located": False, "reason": found.reason.value, "detail": found.detail, "roots": roots} | speed
    place: dict[str, object] = (
        {"located": True, "x_m": found.x_m, "y_m": found.y_m, "z_m": found.z_m}
        | _degrees(table, found.x_m, found.y_m)
        | {
            "time": table.instant(found.origin_time_ns),
            "time_sigma_s": found.origin_sigma_s,
            "covariance_m2": found.covariance_m2,
            "ellipse95": {
                "semi_major_m": found.ellipse95.semi_major_m,
                "semi_minor_m": found.ellipse95.semi_minor_m,
                "orientation_deg": found.ellipse95.orientation_deg,
            },
            "cep50_m": found.cep50_m,
            "cep95_m": found.cep95_m,
            "gdop": found.gdop,
            "rms_residual_s": found.rms_residual_s,
            "arrivals": [
                {
                    "node": verdict.arrival.site.node,
                    "time": table.instant(verdict.arrival.time_ns),
                    "residual_s": verdict.residual_s,
                    "used": verdict.used,
                    "reason": verdict.reason,
                }
                for verdict in found.verdicts
            ],
            "alternatives": [
                {"x_m": root.x_m, "y_m": root.y_m} | _degrees(table, root.x_m, root.y_m) for root in found.alternatives
            ],
        }
    )
    return place | speed


def _print_location(found: Location, table: ArrivalTable, weather: Weather) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    ellipse = found.ellipse95
    axes_m = f"{2 * ellipse.semi_major_m:.1f} x {2 * ellipse.semi_minor_m:.1f}"
    lines = [
        ("place", _place(table, found.x_m, found.y_m) + ("" if found.z_m is None else f", z {found.z_m:.1f} m")),
        ("time", f"{table.instant(found.origin_time_ns)} ± {1e3 * found.origin_sigma_s:.1f} ms"),
        ("error", f"50 % within {found.cep50_m:.1f} m, 95 % within {found.cep95_m:.1f} m"),
        ("ellipse", f"95 %: {axes_m} m, long axis {ellipse.orientation_deg:.0f}° from north"),
        ("geometry", f"GDOP {found.gdop:.2f}, residuals {1e3 * found.rms_residual_s:.1f} ms rms"),
        ("air", f"{weather.temperature_c:g} °C, sound travels at {weather.speed_of_sound_mps:.1f} m/s"),
    ]
    for name, value in lines:
        console.print(Text(f"{name:9}", style="dim") + Text(value), soft_wrap=True)
    for root in found.alternatives:
        console.print(Text("or       ", style="dim") + Text(_place(table, root.x_m, root.y_m)))
    arrivals = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    arrivals.add_column("node")
    arrivals.add_column("residual", justify="right")
    arrivals.add_column("verdict")
    for verdict in found.verdicts:
        said = Text("used", style="green") if verdict.used else Text("set aside", style="yellow")
        if verdict.reason:
            said.append(f": {verdict.reason}", style="default")
        arrivals.add_row(verdict.arrival.site.node, f"{1e3 * verdict.residual_s:+.1f} ms", said)
    console.print()
    console.print(arrivals)


def _print_refusal(found: NoLocation, table: ArrivalTable) -> None:
    typer.echo(f"no place: {found.detail} ({found.reason.value})")
    for root in found.roots:
        typer.echo(f"  could be {_place(table, root.x_m, root.y_m)} at {table.instant(root.origin_time_ns)}")
