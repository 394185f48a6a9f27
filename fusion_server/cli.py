"""``shotline server``: run the fusion server, or check whether it can run or how it does."""

from __future__ import annotations

import gc
import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion_server.store_cli import add_commands

if TYPE_CHECKING:
    from fusion_server.config import ServerConfig

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The fusion server: hears every node, locates shots, raises alerts.")

_Config = Annotated[Path, typer.Option("--config", "-c", help="Configuration of the server, TOML (docs/server.md).")]
_ANSWER_S = 5.0
_GC_THRESHOLDS = (50_000, 20, 100)


@app.command()
def run(
    config: _Config = Path("server.toml"),
    ready_json: Annotated[
        bool, typer.Option("--ready-json", help="Print one line of JSON with the bound addresses once all is up.")
    ] = False,
    for_s: Annotated[float | None, typer.Option("--for", min=0.0, help="End after this many seconds.")] = None,
) -> None:
    """Run until SIGTERM or Ctrl-C; then end cleanly, with exit code 0."""
    from fusion_server.app import ServerApp
    from fusion_server.config import load_server_config
    from fusion_server.warm import warm_up

    # Detections live for half a minute and hold no cycles: looking through all of them again and again for some took a
    # good part of the time in a flood.
    gc.set_threshold(*_GC_THRESHOLDS)
    server = ServerApp(load_server_config(config))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: server.stop())
    # No shot is to wait for the compiler: the first start after an installation takes half a minute longer instead.
    warm_up()
    with server:
        ready = server.ready()
        if ready_json:
            typer.echo(json.dumps(ready))
        else:
            typer.echo(f"listening for nodes on {ready['endpoint']}, history in {ready['database']}")
            typer.echo(f"page: {ready['http']}" if ready["http"] else "page: not served ([http] enabled = false)")
        sys.stdout.flush()
        server.run(for_s=for_s)


@app.command()
def check(
    config: _Config = Path("server.toml"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,
) -> None:
    """Say how the running server does, or whether it could start; exit code 1 if anything fails."""
    import time

    from fusion_server.config import load_server_config
    from fusion_server.selfcheck import check_configuration

    settings = load_server_config(config)
    report = _running_health(settings)
    running = report is not None
    if report is None:
        report = check_configuration(settings, now_ns=time.time_ns()).as_json()
    if as_json:
        typer.echo(json.dumps({"running": running} | report))
    else:
        _print_checks(report, running=running)
    if report["status"] == "fail":
        raise typer.Exit(1)


def _running_health(settings: ServerConfig) -> dict[str, Any] | None:
    """Return the health of the server that runs with this configuration; None when none answers."""
    import http.client

    if not settings.http.enabled or settings.http.port == 0:
        return None
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.http.host, settings.http.host)
    connection = http.client.HTTPConnection(host, settings.http.port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/health")
        report = json.loads(connection.getresponse().read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return report if isinstance(report, dict) and {"status", "checks"} <= report.keys() else None


def _print_checks(report: dict[str, Any], *, running: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    colours = {"ok": "green", "warn": "yellow", "fail": "red"}
    console.print("The server runs:" if running else "No server answers; could one start?")
    if running and not report["checks"]:
        console.print(f"  it says that it is {report['status']}; its checks are for accounts: ask /health with a token")
    for item in report["checks"]:
        line = Text(f"  {item['status']:<5}", style=colours[item["status"]])
        line.append(f"{item['name']}: {item['message']}", style="default")
        console.print(line, soft_wrap=True)


add_commands(app)
