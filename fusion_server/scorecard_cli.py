"""``shotline scorecard``: what became of what was told, with intervals; and the register of reported misses."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from shotline.errors import InputError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from fusion_server.config import ServerConfig
    from fusion_server.database import Database
    from fusion_server.scorecard import Scorecard

__all__ = ["app"]

app = typer.Typer(
    help="What became of what was told: outcomes, speed, misses, hours, coverage, with intervals (docs/scorecard.md)."
)
_misses = typer.Typer(no_args_is_help=True, help="Shootings that somebody says were not told.")
app.add_typer(_misses, name="miss")

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML (docs/server.md).")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@app.callback(invoke_without_command=True)
def _card(
    context: typer.Context,
    *,
    config: _Config = Path("server.toml"),
    since: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First day or instant, UTC; the first thing kept.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="First day or instant no longer in it, UTC; now.")
    ] = None,
    areas: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.geojson", help="Areas to count apart: polygons with a name; [scorecard] areas_file."
        ),
    ] = None,
    csv: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the figures as CSV.")] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page.")] = None,
    two_persons: Annotated[
        bool,
        typer.Option(
            "--two-persons", help="A decision stands once a second person decides the same; [review] two_persons."
        ),
    ] = False,
    hearing_range_m: Annotated[
        float | None,
        typer.Option(min=1.0, help="A node covers a place within so many metres; [fusion] hearing_range_m."),
    ] = None,
    near_m: Annotated[float, typer.Option(min=0.0, help="A miss this near an incident was told after all.")] = 500.0,
    near_s: Annotated[float, typer.Option(min=0.0, help="And within so many seconds of it.")] = 300.0,
    public: Annotated[
        bool, typer.Option("--public", help="Leave out what is said of single nodes and single misses.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Count over a period; print it, and write it as CSV or as a page."""
    if context.invoked_subcommand is not None:
        return
    import dataclasses

    from fusion_server.config import ScorecardSection, load_server_config
    from fusion_server.scorecard import public_form, scorecard_csv, scorecard_html

    settings = load_server_config(config)
    if areas is not None:
        settings = settings.model_copy(update={"scorecard": ScorecardSection(areas_file=str(areas))})
    rules = settings.to_scorecard()
    rules = dataclasses.replace(
        rules,
        coverage=dataclasses.replace(rules.coverage, hearing_range_m=hearing_range_m or rules.coverage.hearing_range_m),
        two_persons=two_persons or rules.two_persons,
        near_m=near_m,
        near_s=near_s,
    )
    made = _made(settings, rules, settings.to_areas(), since=since, until=until)
    if public:
        made = public_form(made)
    if csv is not None:
        _write(csv, scorecard_csv(made))
    if html is not None:
        _write(html, scorecard_html(made, test=settings.server.test_alerts))
    if as_json:
        import msgspec

        typer.echo(msgspec.json.encode(made))
    else:
        _print(made)


@_misses.command()
def add(
    *,
    config: _Config = Path("server.toml"),
    when: Annotated[str, typer.Option("--time", metavar="UTC", help="When it happened: 2026-03-14T21:30:00Z.")],
    said_by: Annotated[str, typer.Option(help="Who says so: a person, a list of calls, a hospital.")],
    reason: Annotated[str, typer.Option(help="How they know.")],
    person: Annotated[str, typer.Option("--by", help="Who enters it: your account.")],
    lat_deg: Annotated[float | None, typer.Option("--lat", help="Degrees north.")] = None,
    lon_deg: Annotated[float | None, typer.Option("--lon", help="Degrees east.")] = None,
    x_m: Annotated[float | None, typer.Option("--x-m", help="Metres east in the local frame.")] = None,
    y_m: Annotated[float | None, typer.Option("--y-m", help="Metres north in the local frame.")] = None,
    as_json: _Json = False,
) -> None:
    """Enter a reported miss. It stays for good, and the audit log says who entered it."""
    from fusion_server.config import load_server_config
    from fusion_server.scorebook import Scorebook
    from shotline.timebase import parse_utc

    settings = load_server_config(config)
    x_m, y_m = _place(settings, lat_deg, lon_deg, x_m, y_m)
    with _database(settings) as database:
        miss = Scorebook(database).add_miss(
            time_ns=parse_utc(when, field="--time"),
            x_m=x_m,
            y_m=y_m,
            said_by=said_by,
            reason=reason,
            person=person,
            now_ns=time.time_ns(),
        )
    if as_json:
        _echo_json(_miss_document(miss))
    else:
        typer.echo(f"miss {miss.number} is kept, and in the audit log under '{person}'")


@_misses.command(name="list")
def list_misses(*, config: _Config = Path("server.toml"), as_json: _Json = False) -> None:
    """Print every reported miss, with who said so and why."""
    from fusion_server.config import load_server_config
    from fusion_server.scorebook import Scorebook

    with _database(load_server_config(config)) as database:
        documents = [_miss_document(miss) for miss in Scorebook(database).misses()]
    if as_json:
        _echo_json(documents)
        return
    for miss in documents:
        place = f"x {miss['x_m']:.0f} m, y {miss['y_m']:.0f} m"
        typer.echo(f"{miss['number']}  {miss['time_utc']}  {place}: {miss['said_by']}: {miss['reason']}")
    if not documents:
        typer.echo("no misses are on record")


def _made(settings: ServerConfig, rules: Any, areas: Any, *, since: str | None, until: str | None) -> Scorecard:
    from fusion_server.scorebook import Scorebook
    from fusion_server.scorecard import scorecard
    from shotline.units import ns_from_seconds

    clock = settings.to_event_clock()
    now_ns = time.time_ns()
    with _database(settings) as database:
        book = Scorebook(database)
        until_ns = clock.event_ns(now_ns) if until is None else _instant(until, "--to")
        since_ns = book.begin_ns() if since is None else _instant(since, "--from")
        if since_ns is None:
            raise InputError(
                f"nothing is kept in {database.name} yet, so there is nothing to count; has the server run?"
            )
        evidence = book.evidence(
            since_ns,
            until_ns,
            around_ns=ns_from_seconds(rules.near_s),
            scene=settings.scene,
            event_ns=clock.event_ns,
        )
    return scorecard(
        evidence,
        sites=tuple(settings.to_registry()),
        areas=areas,
        settings=rules,
        since_ns=since_ns,
        until_ns=until_ns,
        made_ns=now_ns,
    )


def _database(settings: ServerConfig) -> AbstractContextManager[Database]:
    """Open the history that is there; none is made by asking about it."""
    from contextlib import closing

    from fusion_server.database import Database

    name = settings.server.database
    if "://" not in name and not Path(name).is_file():
        raise InputError("no history is there; name the configuration of a server that has run", source=name)
    return closing(Database.open(name))


def _place(
    settings: ServerConfig, lat_deg: float | None, lon_deg: float | None, x_m: float | None, y_m: float | None
) -> tuple[float, float]:
    degrees, metres = (lat_deg, lon_deg), (x_m, y_m)
    if lat_deg is not None and lon_deg is not None and metres == (None, None):
        frame = settings.to_frame()
        if frame is None:
            raise InputError("the network has no [frame]; give --x-m and --y-m", field="--lat")
        return frame.to_enu_m(lat_deg, lon_deg, frame.height_m)[:2]
    if x_m is not None and y_m is not None and degrees == (None, None):
        return x_m, y_m
    raise InputError("expected --lat and --lon, or --x-m and --y-m: one pair, whole", field="--lat")


def _miss_document(miss: Any) -> dict[str, Any]:
    import dataclasses

    from shotline.timebase import format_utc

    document = dataclasses.asdict(miss)
    times = {"time_utc": format_utc(miss.time_ns), "entered_utc": format_utc(miss.entered_ns)}
    return {key: value for key, value in document.items() if not key.endswith("_ns")} | times


def _instant(text: str, option: str) -> int:
    from shotline.timebase import parse_utc

    return parse_utc(f"{text}T00:00:00Z" if _DAY.fullmatch(text) else text, field=option)


def _print(made: Scorecard) -> None:
    from rich.console import Console
    from rich.table import Table

    from fusion_server.scorecard import scorecard_tables
    from fusion_server.scorecard.words import small_numbers

    console = Console(highlight=False, markup=False, emoji=False)
    console.print(f"{made.since_utc} to {made.until_utc}" + (f", REPLAY of {made.scene}" if made.scene else ""))
    if few := small_numbers(made):
        console.print(few)
    for shown in scorecard_tables(made):
        table = Table(*shown.columns, title=shown.title, title_justify="left")
        for row in shown.rows:
            table.add_row(*row)
        console.print()
        console.print(table)
        console.print(shown.how)
        console.print(shown.limits)


def _echo_json(document: Any) -> None:
    import json

    typer.echo(json.dumps(document))


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write the file: {error.strerror}", source=path) from error
