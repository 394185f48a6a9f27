"""``shotline calibrate selfcheck``. Heavy imports happen inside the commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from shotline.errors import InputError
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

__all__ = ["app"]

_PROCEDURE = "network self-check 1"

app = typer.Typer(
    help="Which nodes are wrong, by the shots that all located (calibration/procedures/selfcheck.md).",
)

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML.")]
_SERVER = Path("server.toml")


@app.callback(invoke_without_command=True)
def _look(
    context: typer.Context,
    *,
    config: _Config = _SERVER,
    replay: Annotated[
        Path | None,
        typer.Option("--replay", metavar="FOLDER", help="What `shotline replay` wrote, in place of a server."),
    ] = None,
    dataset: Annotated[
        Path | None, typer.Option("--dataset", help="With --replay: what was replayed; where the nodes stood.")
    ] = None,
    scene: Annotated[str | None, typer.Option("--scene", help="With --replay: which scene of several.")] = None,
    plot: Plot = None,
    by: By = None,
    sign_with: SignWith = None,
    records: Records = DEFAULT_RECORDS,
    notes: Notes = "",
    instruments: Instruments = None,
    as_json: AsJson = False,
) -> None:
    """Judge every node's clock, place and microphone by what the whole network located.

    Exit code 1 when a node is flagged or quarantined. A running server does the same by itself and locates without
    what it found wrong; this shows it, draws it and keeps it as a record. After work on a node: `selfcheck clear`.
    """
    if context.invoked_subcommand is not None:
        return
    from fusion_server.netcheck import Standing
    from shotline_calibration.plots import save
    from shotline_calibration.selfcheck.result import result_of
    from shotline_calibration.selfcheck.sources import check_of_replay, check_of_server

    if replay is None and (dataset is not None or scene is not None):
        raise InputError("goes with --replay only", field="--dataset" if dataset is not None else "--scene")
    options = checked_options(
        by=by, sign_with=sign_with, records=records, notes=notes, instruments=instruments, plots=[plot]
    )
    check = check_of_server(config) if replay is None else check_of_replay(replay, dataset, scene=scene)
    result = result_of(check)
    if plot is not None:
        from shotline_calibration.selfcheck.picture import draw_check

        save(draw_check(check), plot)
    inputs = [] if replay is None else [replay / "revisions.jsonl"]
    kept = keep_result(result, options, kind="selfcheck", node="", procedure=_PROCEDURE, inputs=inputs)
    if as_json:
        import msgspec

        typer.echo(json.dumps({"result": msgspec.to_builtins(result), "record": kept}))
    else:
        for sentence in result.sentences():
            typer.echo(sentence)
        if by is not None:
            say_kept(kept, node="")
    raise typer.Exit(0 if all(item.standing == Standing.OK.value for item in result.nodes) else 1)


@app.command()
def clear(
    node: Annotated[str, typer.Argument(metavar="NODE", help="Id of the node that was worked on.")],
    *,
    why: Annotated[str, typer.Option("--why", help="What was done: it goes into the audit log.")],
    person: Annotated[str, typer.Option("--by", help="Who did it: your name.")],
    config: _Config = _SERVER,
    as_json: AsJson = False,
) -> None:
    """Say that a node was worked on: it is used again at once, and judged afresh by what it hears from now on."""
    import time

    from fusion_server.casebook import Casebook
    from fusion_server.config import load_server_config
    from fusion_server.history import History
    from fusion_server.networkwatch import clear_note

    loaded = load_server_config(config)
    names = [site.node for site in loaded.to_registry()]
    if node not in names:
        raise InputError(f"no node '{node}' has a site; there are {', '.join(names[:8])}", field="NODE")
    if not why.strip() or not person.strip():
        raise InputError("empty; say in words what was done, and who you are", field="--why" if person else "--by")
    database = loaded.server.database
    if "://" not in database and not Path(database).is_file():
        raise InputError("no such history; start the server once, or name another configuration", source=database)
    with History.open(database) as history:
        Casebook(history.database).note_all([clear_note(node, why=why, person=person)], time_ns=time.time_ns())
    if as_json:
        typer.echo(json.dumps({"cleared": node, "why": why, "by": person}))
    else:
        typer.echo(f"{node} is taken for healed; a running server uses it again within seconds")
