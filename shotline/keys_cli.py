"""``shotline keys``: make the keys of nodes and servers, and secrets for webhooks. A secret is never printed."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated

import typer

from shotline.errors import InputError, StorageError

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Keys: CURVE pairs for nodes and servers, signing secrets for webhooks.")

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_WEBHOOK_KEY_BYTES = 32


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose pair: a node id, or 'server'.")],
    directory: Annotated[Path, typer.Option("--dir", help="Folder for the two files; made when it is not there.")],
) -> None:
    """Make a CURVE pair: NAME.key to hand out, NAME.key_secret (mode 0600) to keep."""
    import zmq

    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}' is not a name for a key; use 1 to 64 letters, digits and _ . : -")
    public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
    public_file, secret_file = directory / f"{name}.key", directory / f"{name}.key_secret"
    for path in (public_file, secret_file):
        if path.exists():
            raise InputError("is there already and is not overwritten; move it away first", source=path)
    _make_folder(directory)
    lines = f'metadata\n    name = "{name}"\ncurve\n    public-key = "{public}"\n'
    _write_new(secret_file, f'{lines}    secret-key = "{secret}"\n', mode=0o600)
    _write_new(public_file, lines, mode=0o644)
    typer.echo(f"public key  {public_file}  {public}")
    typer.echo(f"secret key  {secret_file}  (mode 0600; copy it nowhere but to '{name}')")


@app.command()
def webhook(file: Annotated[Path, typer.Argument(help="File for the secret; must not be there yet.")]) -> None:
    """Make a signing secret for a webhook sink (Standard Webhooks, whsec_...), mode 0600."""
    import base64
    import secrets

    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_WEBHOOK_KEY_BYTES)).decode("ascii")
    _write_new(file, secret + "\n", mode=0o600)
    typer.echo(f"signing secret  {file}  (mode 0600; give it to the receiver over a safe way)")


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A .key or .key_secret file.")]) -> None:
    """Print the public part of a key file, and only that."""
    from zmq.auth import load_certificate

    try:
        public, _ = load_certificate(file)
    except OSError as error:
        raise InputError(f"cannot read the key: {error.strerror or 'no such file'}", source=file) from error
    except ValueError as error:
        raise InputError("holds no CURVE key; make one with `shotline keys new`", source=file) from error
    typer.echo(public.decode("ascii"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error


def _write_new(path: Path, text: str, *, mode: int) -> None:
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError("is there already and is not overwritten; move it away first", source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)
