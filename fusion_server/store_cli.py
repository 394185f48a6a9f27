"""``shotline server migrate``, ``retention`` and ``hold``: what people do to the store by hand."""

from __future__ import annotations

import getpass
import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fusion_server.database import Database

__all__ = ["add_commands", "hold_app"]

hold_app = typer.Typer(no_args_is_help=True, help="Legal holds: what they cover is not deleted, whatever its age.")

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML (docs/server.md).")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_Person = Annotated[str | None, typer.Option("--person", help="Who does it; your account on this machine otherwise.")]
_Reason = Annotated[str, typer.Option("--reason", help="Why: a case number, an order of a court.")]


def add_commands(app: typer.Typer) -> None:
    """Add the commands to ``shotline server``."""
    app.command("migrate")(_migrate)
    app.command("retention")(_retention)
    app.add_typer(hold_app, name="hold")


def _migrate(
    config: _Config = Path("server.toml"),
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit code 1 if the tables are not up to date.")
    ] = False,
    sql: Annotated[
        bool, typer.Option("--sql", help="Change nothing; print the SQL to run by hand (PostgreSQL only).")
    ] = False,
) -> None:
    """Bring the tables of the database up to date, as every start of the server does."""
    from fusion_server.config import load_server_config
    from fusion_server.database import Database
    from fusion_server.schema import SCHEMA_VERSION, differences, upgrade_sql, version_of

    where = load_server_config(config).server.database
    if check and sql:
        raise typer.BadParameter("give --check or --sql, not both")
    if not check and not sql:
        with closing(Database.open(where)) as database:
            typer.echo(f"{database.name}: version {SCHEMA_VERSION}, up to date")
        return
    _expect(where)
    with closing(Database.connect(where)) as database, database.reading() as db:
        if sql:
            typer.echo(upgrade_sql(db, database.name) or f"-- version {SCHEMA_VERSION}, up to date")
            return
        version = version_of(db, database.name)
        found = differences(db)
    if not found:
        typer.echo(f"{database.name}: version {SCHEMA_VERSION}, up to date")
        return
    was = "no tables yet" if version is None else f"version {version}"
    typer.echo(f"{database.name}: {was}, this Shotline wants {SCHEMA_VERSION}; run: shotline server migrate")
    for difference in found:
        typer.echo(f"  {difference}")
    raise typer.Exit(1)


def _retention(
    config: _Config = Path("server.toml"),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted now; delete nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Delete what has expired, now; a running server does it by itself where [retention] is enabled."""
    from fusion_server.config import load_server_config
    from fusion_server.history import History
    from fusion_server.sweeper import Sweeper
    from shotline.errors import InputError

    settings = load_server_config(config)
    if not dry_run and not settings.retention.enabled:
        raise InputError("[retention] enabled = false: nothing is to be deleted; set it, or look with --dry-run")
    _expect(settings.server.database)
    with History.open(settings.server.database) as history:
        sweeper = Sweeper(history, settings.retention.to_policy(), two_persons=settings.review.two_persons)
        if dry_run:
            _print_forecast([asdict(item) for item in sweeper.forecast(time.time_ns())], as_json=as_json)
            return
        done = [asdict(receipt) for receipt in sweeper.sweep(time.time_ns()) if receipt is not None]
    if as_json:
        typer.echo(json.dumps({"receipts": done}))
        return
    for receipt in done:
        typer.echo(f"deletion {receipt['number']}: {receipt['count']} {receipt['kind']}, digest {receipt['digest']}")
    typer.echo(f"{sum(receipt['count'] for receipt in done)} rows deleted")


def _print_forecast(kinds: list[dict[str, Any]], *, as_json: bool) -> None:
    from shotline.timebase import format_utc

    if as_json:
        typer.echo(json.dumps({"kinds": kinds}))
        return
    for item in kinds:
        line = f"{item['kind']}: {item['goes']} would be deleted, {item['held']} on hold stay"
        if item["oldest_ns"] is not None:
            line += f"; the oldest from {format_utc(item['oldest_ns'])}"
        typer.echo(line)
        typer.echo(f"  {item['policy']}")


@hold_app.command("add")
def hold_add(
    reason: _Reason,
    config: _Config = Path("server.toml"),
    incident: Annotated[str | None, typer.Option("--incident", help="Id of the incident that is held.")] = None,
    since: Annotated[str | None, typer.Option("--from", help="Begin of a span, ISO 8601 with Z.")] = None,
    until: Annotated[str | None, typer.Option("--until", help="End of the span.")] = None,
    person: _Person = None,
) -> None:
    """Place a hold on an incident, or on a span of time."""
    from fusion_server.holds import Holds
    from shotline.errors import InputError
    from shotline.timebase import parse_utc

    with _database(config) as database:
        if incident is not None and not _has_incident(database, incident):
            raise InputError(f"there is no incident '{incident}' in {database.name}; see its id in the alert")
        hold = Holds(database).place(
            incident_id=incident,
            from_ns=None if since is None else parse_utc(since),
            until_ns=None if until is None else parse_utc(until),
            reason=reason,
            person=person or getpass.getuser(),
            time_ns=time.time_ns(),
        )
    typer.echo(f"hold {hold.id} is placed; release it with: shotline server hold release {hold.id} --reason WHY")


@hold_app.command("release")
def hold_release(
    hold_id: Annotated[int, typer.Argument(help="Number of the hold.")],
    reason: _Reason,
    config: _Config = Path("server.toml"),
    person: _Person = None,
) -> None:
    """Release a hold."""
    from fusion_server.holds import Holds

    with _database(config) as database:
        Holds(database).release(hold_id, reason=reason, person=person or getpass.getuser(), time_ns=time.time_ns())
    typer.echo(f"hold {hold_id} is released")


@hold_app.command("list")
def hold_list(
    config: _Config = Path("server.toml"),
    released: Annotated[bool, typer.Option("--released", help="Those that were released too.")] = False,
    as_json: _Json = False,
) -> None:
    """List the holds."""
    from fusion_server.holds import Holds
    from shotline.timebase import format_utc

    with _database(config) as database:
        found = [(hold, end) for hold, end in Holds(database).all() if released or end is None]
    if as_json:
        rows = [asdict(hold) | {"release": None if end is None else asdict(end)} for hold, end in found]
        typer.echo(json.dumps({"holds": rows}))
        return
    for hold, end in found:
        what = f"incident {hold.incident_id}"
        if hold.from_ns is not None and hold.until_ns is not None:
            what = f"{format_utc(hold.from_ns)} to {format_utc(hold.until_ns)}"
        typer.echo(f"{hold.id}: {what}, by {hold.person} at {format_utc(hold.time_ns)}: {hold.reason}")
        if end is not None:
            typer.echo(f"   released by {end.person} at {format_utc(end.time_ns)}: {end.reason}")
    if not found:
        typer.echo("no holds")


@contextmanager
def _database(config: Path) -> Iterator[Database]:
    from fusion_server.config import load_server_config
    from fusion_server.database import Database

    where = load_server_config(config).server.database
    _expect(where)
    with closing(Database.open(where)) as database:
        yield database


def _expect(where: str) -> None:
    """Raise when a file is not there: none is made by asking about it."""
    from shotline.errors import InputError

    if "://" not in where and not Path(where).exists():
        raise InputError(f"there is no database {where} yet; the first start of the server makes it")


def _has_incident(database: Database, incident_id: str) -> bool:
    import sqlalchemy as sa

    from fusion_server.tables import INCIDENTS

    with database.reading() as db:
        return db.execute(sa.select(INCIDENTS.c.id).where(INCIDENTS.c.id == incident_id)).first() is not None
