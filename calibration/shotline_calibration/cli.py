"""``shotline calibrate``: procedures, and the records they leave. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError
from shotline_calibration.keeping import DEFAULT_RECORDS, AsJson, Keys, Records
from shotline_calibration.procedures import PROCEDURES

if TYPE_CHECKING:
    from shotline_calibration.recordbook import RecordBook
    from shotline_calibration.records import SignedRecord

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Know each node: procedures, and the signed records that detections refer to (calibration/README.md).",
)
for _procedure in {procedure.command: procedure for procedure in PROCEDURES}.values():
    _app = _procedure.load_app()
    assert isinstance(_app, typer.Typer)
    app.add_typer(_app, name=_procedure.command)

_Id = Annotated[str, typer.Argument(metavar="ID", help="Its id, or the beginning of it; see shotline calibrate list.")]


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(metavar="PATH", help="A record, or the folder of all.")] = DEFAULT_RECORDS,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Say whether records are what was signed and follow each other; exit code 1 if not, or if there is none."""
    from fusion_server.evidence.signing import fingerprint

    if not path.exists():
        raise InputError("no such file or folder", source=path)
    book = _book(path, keys)
    good = bool(book.records) and not book.faults
    signers = sorted({fingerprint(signed.key) for signed in book.records})
    if as_json:
        faults = [str(fault) for fault in book.faults]
        typer.echo(json.dumps({"ok": good, "records": len(book.records), "faults": faults, "signers": signers}))
    else:
        for fault in book.faults:
            typer.echo(str(fault))
        typer.echo(f"{len(book.records)} records are what was signed; {len(book.faults)} faults")
        for signer in signers:
            typer.echo(f"signed by  {signer}")
    raise typer.Exit(0 if good else 1)


@app.command()
def show(start: _Id, *, records: Records = DEFAULT_RECORDS, keys: Keys = None, as_json: AsJson = False) -> None:
    """Print a record, checked: what was found, by whom, how, from which files, and whether it still stands."""
    from fusion_server.evidence.signing import fingerprint

    book = _book(records, keys)
    signed = book.find(start)
    after = book.superseded_by(signed)
    if as_json:
        content = json.loads(signed.content)
        said = {"id": signed.id, "signer": fingerprint(signed.key), "file": signed.source, "record": content}
        typer.echo(json.dumps({**said, "superseded_by": after.id if after else None}))
        return
    record = signed.record
    typer.echo(f"record       {signed.id}  {record.kind} of {record.node or 'the network'}")
    typer.echo(f"file         {signed.source}")
    typer.echo(f"made         {record.made_utc} by {record.by}, {record.procedure}, {record.software}")
    typer.echo(f"signed by    {fingerprint(signed.key)}")
    typer.echo(f"stands       {f'no: superseded by {after.id} of {after.record.made_utc}' if after else 'yes'}")
    for instrument in record.instruments:
        typer.echo("instrument   " + ", ".join(part for part in _parts(instrument) if part))
    for file in record.inputs:
        typer.echo(f"input        {file.name}  {file.size_bytes} bytes  {file.sha256}")
    if record.notes:
        typer.echo(f"notes        {record.notes}")
    for sentence in record.result.sentences():
        typer.echo(f"  {sentence}")


@app.command(name="list")
def list_records(
    *,
    records: Records = DEFAULT_RECORDS,
    every: Annotated[bool, typer.Option("--all", help="Superseded ones as well.")] = False,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Print the records that stand, a line each. What is not what was signed is told, and not listed."""
    book = _book(records, keys)
    shown = list(book.records if every else book.heads())
    if as_json:
        typer.echo(json.dumps({"records": [_line(book, signed) for signed in shown], "faults": len(book.faults)}))
        return
    for signed in shown:
        line = _line(book, signed)
        note = f"  superseded by {line['superseded_by']}" if line["superseded_by"] else ""
        typer.echo(f"{line['id']}  {line['made_utc'][:10]}  {line['node'] or '(network)'}  {line['kind']}{note}")
    if not shown:
        typer.echo(f"no records in {records}")
    _tell_faults(book, records)


@app.command()
def apply(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Which node.")],
    *,
    records: Records = DEFAULT_RECORDS,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Print the lines of the two configurations that follow from a node's records, to be pasted."""
    from shotline_calibration.settings import node_lines, settings_of, site_lines

    book = _book(records, keys)
    _tell_faults(book, records)
    settings = settings_of(book, node)
    if as_json:
        typer.echo(json.dumps({"node": settings.node, "ids": settings.ids, "site": settings.site}))
        return
    if not settings.node and not settings.site:
        raise InputError(f"no record of '{node}' in {records} says anything for a configuration", field="NODE")
    if settings.node:
        typer.echo("# of the node's own configuration: put each key under its table there")
        typer.echo(node_lines(settings))
    if settings.site:
        typer.echo("# of the server's configuration: the node's table there")
        typer.echo(site_lines(settings))


@app.command()
def check(
    config: Annotated[Path, typer.Option("--config", "-c", help="Configuration of a node, or of the server, TOML.")],
    *,
    records: Records = DEFAULT_RECORDS,
    keys: Keys = None,
    as_json: AsJson = False,
) -> None:
    """Say where a configuration is not what the records say; exit code 1 if so."""
    from shotline_calibration.settings import compare

    book = _book(records, keys)
    _tell_faults(book, records)
    found = compare(config, book)
    if as_json:
        typer.echo(json.dumps({"ok": not found.differences, **_plain(found)}))
    else:
        for text in (*found.differences, *found.remarks):
            typer.echo(text)
        typer.echo(f"{found.agree} values are as recorded, {len(found.differences)} are not")
    raise typer.Exit(1 if found.differences else 0)


def _book(path: Path, keys: list[str] | None) -> RecordBook:
    from shotline_calibration.recordbook import RecordBook
    from shotline_calibration.records import trusted_keys

    return RecordBook.read(path, trusted=trusted_keys(keys or ()))


def _tell_faults(book: RecordBook, records: Path) -> None:
    """Say on standard error which files are not used: who surveys again for an edited record should know of it."""
    for problem in book.faults:
        typer.echo(f"not used: {problem}", err=True)
    if book.faults:
        typer.echo(f"see shotline calibrate verify {records}", err=True)


def _line(book: RecordBook, signed: SignedRecord) -> dict[str, str]:
    record, after = signed.record, book.superseded_by(signed)
    return {
        "id": signed.id,
        "node": record.node,
        "kind": record.kind,
        "made_utc": record.made_utc,
        "by": record.by,
        "superseded_by": after.id if after else "",
    }


def _parts(instrument: object) -> tuple[str, ...]:
    import msgspec

    return tuple(str(part) for part in msgspec.to_builtins(instrument).values())


def _plain(found: object) -> dict[str, object]:
    import dataclasses

    assert dataclasses.is_dataclass(found)
    assert not isinstance(found, type)
    return dataclasses.asdict(found)
