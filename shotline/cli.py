"""The one command ``shotline``. Its verbs are entry points of the packages, loaded only when used."""

from __future__ import annotations

import re
import sys
from importlib.metadata import EntryPoint, entry_points, requires

import click
import typer
from rich.console import Console

from shotline import __version__
from shotline.errors import InputError, ShotlineError

__all__ = ["main"]

_GROUP = "shotline.commands"
_ORDER = ("demo", "node", "server", "accounts", "replay", "locate", "plan", "scorecard", "simulate", "models", "keys")


def _verbs() -> dict[str, EntryPoint]:
    found = {entry.name: entry for entry in entry_points(group=_GROUP)}
    known = {name: found.pop(name) for name in _ORDER if name in found}
    return known | dict(sorted(found.items()))


class _Verb(click.Command):
    """A verb, run as the typer application it is: typer brings a click of its own, whose errors only it can print."""

    def __init__(self, name: str, app: typer.Typer) -> None:
        self._verb = typer.main.get_command(app)
        super().__init__(name, help=self._verb.help, add_help_option=False)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = list(args)
        return ctx.args

    def invoke(self, ctx: click.Context) -> None:
        try:
            self._verb.main(args=ctx.args, prog_name=ctx.command_path)
        except ModuleNotFoundError as error:
            _explain_missing(error, ctx.command_path)
            raise


class _LazyVerbs(click.Group):
    """A click group whose commands live in other packages."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(_verbs())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        entry = _verbs().get(cmd_name)
        if entry is None:
            return None
        try:
            app = entry.load()
        except ModuleNotFoundError as error:
            _explain_missing(error, f"shotline {cmd_name}")
            raise
        return _Verb(cmd_name, app)


def _explain_missing(error: ModuleNotFoundError, command: str) -> None:
    """Raise what to say about a package of an extra that is not installed; any other is a mistake of ours."""
    package = (error.name or "").partition(".")[0]
    wanted = [line for line in requires("shotline") or () if re.match(rf"{re.escape(package)}\b", line, re.IGNORECASE)]
    extras = [found[1] for line in wanted if (found := re.search(r"extra\s*==\s*['\"](\w+)", line))]
    if package and extras:
        program = command.split()[-1]
        extra = next((name for name in (program, "server") if name in extras), extras[0])
        raise click.ClickException(
            f"'{command}' needs '{package}', which is not installed; run: pip install 'shotline[{extra}]'"
        ) from error


@click.group(cls=_LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="shotline")
def _root() -> None:
    """Hear gunfire and say where it was, with an honest error.

    Start with `shotline demo`: real node processes, a real server, a located shot within a minute.
    """


def main() -> None:
    """Run the command line; exit 2 for input that cannot be used, 1 for a machine that does not do its part."""
    try:
        _root(prog_name="shotline")
    except ShotlineError as error:
        console = Console(stderr=True, highlight=False)
        lines = [str(problem) for problem in error.problems] if isinstance(error, InputError) else [str(error)]
        for line in lines:
            console.print(f"error: {line}", style="red", markup=False, soft_wrap=True)
        sys.exit(2 if isinstance(error, InputError) else 1)
