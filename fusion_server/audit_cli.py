"""``shotline audit``: is the log whole, sign where it stands, read it. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError

if TYPE_CHECKING:
    from fusion_server.config import ServerConfig
    from shotline.auditchain import AuditEntry, Root

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True, help="The audit log: verify its chain, sign a root to hand out, read it (docs/evidence.md)."
)

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML (docs/server.md).")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]


@app.command()
def verify(
    config: _Config = Path("server.toml"),
    root_files: Annotated[
        list[Path] | None, typer.Option("--root", help="A root that was handed out earlier; may be repeated.")
    ] = None,
    keys: Annotated[
        list[str] | None,
        typer.Option("--key", help="Fingerprint of a key that may have signed, besides that of [audit] key_file."),
    ] = None,
    as_json: _Json = False,
) -> None:
    """Say whether every entry follows the one before it and every signed root still holds; exit code 1 if not.

    A root that was handed out shows also when the whole log was written anew.
    """
    from fusion_server.casebook import Casebook
    from fusion_server.evidence.signing import fingerprint, is_fingerprint, root_holds
    from fusion_server.history import History
    from shotline.auditchain import AuditFault, verify_chain

    loaded = _load(config)
    if wrong := [key for key in keys or () if not is_fingerprint(key)]:
        raise InputError(f"'{wrong[0]}' is no fingerprint: 64 hexadecimal digits", field="--key")
    trusted = {*(keys or ()), *_own_fingerprint(loaded)}
    handed_out = [_read_root(path) for path in root_files or ()]
    count = 0

    with History.open(loaded.server.database) as history:
        casebook = Casebook(history.database)
        kept = casebook.roots()
        roots = list({(root.number, root.key): root for root in [*kept, *handed_out]}.values())
        roots += [root for root in handed_out if root not in roots]
        bad = [root for root in roots if not root_holds(root)]
        strange = [root for root in roots if trusted and root not in bad and fingerprint(root.key) not in trusted]

        def counted() -> object:
            nonlocal count
            for entry in casebook.audit():
                count += 1
                yield entry

        faults = verify_chain(counted(), [root for root in roots if root not in bad])  # type: ignore[arg-type]
    faults += [AuditFault(root.number, "the signature of its root does not hold") for root in bad]
    faults += [
        AuditFault(root.number, f"its root is signed by key {fingerprint(root.key)}, which is none of yours")
        for root in strange
    ]
    faults.sort(key=lambda fault: fault.number)
    if as_json:
        said = [{"number": fault.number, "says": fault.says} for fault in faults]
        typer.echo(json.dumps({"ok": not faults, "entries": count, "roots": len(roots), "faults": said}))
    elif faults:
        typer.echo(f"the audit log is not whole: entry {faults[0].number}: {faults[0].says}")
        if len(faults) > 1:
            typer.echo(f"and {len(faults) - 1} more; --json lists them")
    else:
        typer.echo(f"the audit log is whole: {count} entries, {len(roots)} signed roots")
        if roots and not trusted:
            typer.echo("whose keys signed the roots was not compared: give --key or [audit] key_file")
        if not roots:
            typer.echo("no root is signed: whoever writes all of it anew is not found out; see shotline audit root")
    raise typer.Exit(1 if faults else 0)


@app.command()
def root(
    config: _Config = Path("server.toml"),
    out: Annotated[
        Path | None, typer.Option("--out", help="File for the root, to hand out; must not be there.")
    ] = None,
) -> None:
    """Sign where the log stands now, keep that, and print it as JSON: hand it to somebody else."""
    import time

    import msgspec

    from fusion_server.casebook import Casebook
    from fusion_server.evidence.auditor import new_root
    from fusion_server.evidence.signing import SigningKey
    from fusion_server.history import History
    from shotline.keyfiles import write_new

    loaded = _load(config)
    if loaded.audit.key_file is None:
        raise InputError("missing; make a key with `shotline evidence key`", source=config, field="audit.key_file")
    key = SigningKey.load(Path(loaded.audit.key_file))
    with History.open(loaded.server.database) as history:
        casebook = Casebook(history.database)
        made = new_root(casebook, key, time_ns=time.time_ns())
        if made is None:
            found = [item for item in casebook.roots() if item.key == key.public]
            if not found:
                raise InputError("the audit log is empty; a server writes into it when it starts", source=config)
            made = found[-1]
    text = msgspec.json.format(msgspec.json.encode(made), indent=1).decode("ascii") + "\n"
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_new(out, text, mode=0o644)
        typer.echo(f"root over {made.number} entries  {out}")


@app.command()
def show(
    config: _Config = Path("server.toml"),
    subject: Annotated[str | None, typer.Option(help="Only what is about this, such as an incident's id.")] = None,
    as_json: _Json = False,
) -> None:
    """Print the log in order, an entry to a line."""
    import msgspec

    from fusion_server.casebook import Casebook
    from fusion_server.history import History

    with History.open(_load(config).server.database) as history:
        for entry in Casebook(history.database).audit(subject=subject):
            typer.echo(msgspec.json.encode(entry).decode("utf-8") if as_json else _line(entry))


def _line(entry: AuditEntry) -> str:
    from shotline.timebase import format_utc

    detail = json.dumps(entry.detail, ensure_ascii=False, sort_keys=True)
    shown = detail if len(detail) <= 160 else detail[:157] + "..."
    when = format_utc(entry.time_ns, digits=3)
    return f"{entry.number:>6}  {when}  {entry.actor}  {entry.action}  {entry.subject}  {shown}"


def _load(path: Path) -> ServerConfig:
    from fusion_server.config import load_server_config

    config = load_server_config(path)
    database = config.server.database
    if "://" not in database and not Path(database).is_file():
        raise InputError(f"no such file {database}; the server makes it when it starts", source=path, field="database")
    return config


def _own_fingerprint(config: ServerConfig) -> list[str]:
    from fusion_server.evidence.signing import SigningKey, fingerprint

    if config.audit.key_file is None:
        return []
    return [fingerprint(SigningKey.load(Path(config.audit.key_file)).public)]


def _read_root(path: Path) -> Root:
    import msgspec

    from shotline.auditchain import Root

    try:
        return msgspec.json.decode(path.read_bytes(), type=Root)
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", source=path) from error
    except msgspec.DecodeError as error:
        raise InputError(f"no root as `shotline audit root` writes it: {error}", source=path) from error
