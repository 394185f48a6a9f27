"""``shotline accounts``: who may sign in, with which roles; tokens for machines. It works on the database itself."""

from __future__ import annotations

import getpass
import json
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError

if TYPE_CHECKING:
    from fusion_server.accounts import Accounts

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help='Accounts and API tokens of a server with [access] mode = "accounts".')
_token = typer.Typer(no_args_is_help=True, help="API tokens: for machines, each with a name and an end.")
app.add_typer(_token, name="token")

_Config = Annotated[
    Path, typer.Option("--config", "-c", help="Configuration of the server; says where the database is.")
]
_Name = Annotated[str, typer.Argument(help="Name of the account: 1 to 64 of a-z, 0-9 and _ . @ -")]
_TokenName = Annotated[str, typer.Argument(help="What the token is called, such as wallboard.")]
_Role = Annotated[
    list[str] | None, typer.Option("--role", "-r", help="dispatcher, reviewer, analyst, engineer, auditor or public.")
]
_PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of sentences.")]
_DAY_NS = 86_400 * 10**9
_SERVER_TOML = Path("server.toml")


@app.command()
def add(
    name: _Name,
    role: _Role = None,
    password_stdin: _PasswordStdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="A machine: it only has tokens.")] = False,
    config: _Config = _SERVER_TOML,
) -> None:
    """Add an account. The password is asked for, twice; it is never an argument, which others could read."""
    password = None if no_password else _password(password_stdin)
    with _opened(config) as accounts:
        account = accounts.add(name, roles=role or (), password=password, time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"account '{name}' has the roles {', '.join(sorted(account.roles))}")


@app.command()
def password(name: _Name, password_stdin: _PasswordStdin = False, config: _Config = _SERVER_TOML) -> None:
    """Give an account another password; its sessions end."""
    new = _password(password_stdin)
    with _opened(config) as accounts:
        accounts.set_password(name, new, time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"account '{name}' has another password; its sessions have ended")


@app.command()
def roles(name: _Name, role: _Role = None, config: _Config = _SERVER_TOML) -> None:
    """Give an account other roles, from its next request on."""
    with _opened(config) as accounts:
        accounts.set_roles(name, role or (), time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"account '{name}' has the roles {', '.join(sorted(role or ()))}")


@app.command()
def disable(name: _Name, config: _Config = _SERVER_TOML) -> None:
    """Let nobody in with an account any more; its sessions and tokens end for good. Its decisions stay."""
    with _opened(config) as accounts:
        accounts.disable(name, time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"account '{name}' is disabled")


@app.command()
def enable(name: _Name, config: _Config = _SERVER_TOML) -> None:
    """Let a disabled account in again, by its password."""
    with _opened(config) as accounts:
        accounts.enable(name, time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"account '{name}' is enabled; it needs new tokens")


@app.command("list")
def list_accounts(config: _Config = _SERVER_TOML, as_json: _Json = False) -> None:
    """Print every account."""
    from shotline.timebase import format_utc

    with _opened(config) as accounts:
        found = accounts.accounts()
    if as_json:
        rows = [
            {
                "name": item.name,
                "roles": sorted(item.roles),
                "password": item.has_password,
                "disabled": item.disabled_ns is not None,
                "created_utc": format_utc(item.created_ns),
            }
            for item in found
        ]
        typer.echo(json.dumps({"accounts": rows}, indent=2))
        return
    for item in found:
        state = "disabled" if item.disabled_ns is not None else "password" if item.has_password else "tokens"
        typer.echo(f"{state:<8}  {item.name:<24}  {', '.join(sorted(item.roles))}")
    if not found:
        typer.echo("there is no account yet; `shotline accounts add` makes one")


@_token.command("new")
def new_token(
    account: _Name,
    token: _TokenName,
    days: Annotated[float, typer.Option(min=0.01, max=3660.0, help="It expires after so many days.")] = 90.0,
    role: _Role = None,
    config: _Config = _SERVER_TOML,
    as_json: _Json = False,
) -> None:
    """Make a token and print it, this once: only its digest is kept. --role gives it fewer roles than the account."""
    from fusion_server.accounts import CredentialKind

    with _opened(config) as accounts:
        secret = accounts.issue(
            CredentialKind.TOKEN,
            account,
            name=token,
            roles=role or None,
            lifetime_ns=round(days * _DAY_NS),
            time_ns=time.time_ns(),
            actor=_actor(),
        )
    typer.echo(json.dumps({"account": account, "name": token, "token": secret}) if as_json else secret)


@_token.command("revoke")
def revoke_token(account: _Name, token: _TokenName, config: _Config = _SERVER_TOML) -> None:
    """End a token, at once and for good."""
    with _opened(config) as accounts:
        accounts.revoke_token(account, token, time_ns=time.time_ns(), actor=_actor())
    typer.echo(f"token '{token}' of account '{account}' is revoked")


@_token.command("list")
def list_tokens(config: _Config = _SERVER_TOML, as_json: _Json = False) -> None:
    """Print every token there ever was, without its secret."""
    from fusion_server.accounts import CredentialKind
    from shotline.timebase import format_utc

    now_ns = time.time_ns()
    with _opened(config) as accounts:
        found = accounts.credentials(CredentialKind.TOKEN)
    rows = [
        {
            "state": item.state(now_ns),
            "account": item.account,
            "name": item.name,
            "roles": sorted(item.roles),
            "expires_utc": format_utc(item.expires_ns, digits=0),
        }
        for item in found
    ]
    if as_json:
        typer.echo(json.dumps({"tokens": rows}, indent=2))
        return
    for row in rows:
        line = f"{row['state']:<8}  {row['account']:<24}  {row['name']:<16}  until {row['expires_utc']}"
        typer.echo(f"{line}  {', '.join(row['roles'])}")
    if not rows:
        typer.echo("there is no token yet; `shotline accounts token new` makes one")


@contextmanager
def _opened(config: Path) -> Iterator[Accounts]:
    from fusion_server.accounts import Accounts
    from fusion_server.config import load_server_config
    from fusion_server.database import Database

    with closing(Database.open(load_server_config(config).server.database)) as database:
        yield Accounts(database)


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    first = getpass.getpass("password: ")
    if first != getpass.getpass("once more: "):
        raise InputError("the two passwords differ; nothing was changed", field="password")
    return first


def _actor() -> str:
    """Return who works at this machine, as the audit log names them."""
    return f"shell:{getpass.getuser()}"[:128]
