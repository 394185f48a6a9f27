"""``shotline keys``: make keys, say which nodes a server takes messages from. A secret is never printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shotline.errors import InputError

if TYPE_CHECKING:
    from shotline.enrolment import EnrolledKey

__all__ = ["app"]

app = typer.Typer(
    no_args_is_help=True,
    help="Keys: CURVE pairs for nodes and servers, the allow-list of a server, signing secrets for webhooks.",
)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
_WEBHOOK_KEY_BYTES = 32
_NS_PER_HOUR = 3_600 * 10**9
# A key may begin with a hyphen, and is no option then.
_TAKES_A_KEY = {"ignore_unknown_options": True}

_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of sentences.")]
_List = Annotated[Path, typer.Option("--list", help="The server's allow-list: [server] allow_list of its TOML file.")]
_Node = Annotated[str, typer.Argument(help="Node id, as in the node's configuration.")]
_PUBLIC_HELP = "Public key: the node's .key file, or its 40 characters in single quotes."


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Whose pair: a node id, or 'server'.")],
    directory: Annotated[Path, typer.Option("--dir", help="Folder for the two files; made when it is not there.")],
    as_json: _Json = False,
) -> None:
    """Make a CURVE pair: NAME.key to hand out, NAME.key_secret (mode 0600) to keep."""
    from shotline.keyfiles import key_files, new_key_pair

    if not _NAME.fullmatch(name):
        raise InputError(f"'{name}' is not a name for a key; use 1 to 64 letters, digits and _ . : -")
    public = new_key_pair(name, directory)
    public_file, secret_file = key_files(name, directory)
    if as_json:
        typer.echo(json.dumps({"public": public, "public_file": str(public_file), "secret_file": str(secret_file)}))
        return
    typer.echo(f"public key  {public_file}  {public}")
    typer.echo(f"secret key  {secret_file}  (mode 0600; copy it nowhere but to '{name}')")


@app.command()
def webhook(file: Annotated[Path, typer.Argument(help="File for the secret; must not be there yet.")]) -> None:
    """Make a signing secret for a webhook sink (Standard Webhooks, whsec_...), mode 0600."""
    import base64
    import secrets

    from shotline.keyfiles import write_new

    secret = "whsec_" + base64.b64encode(secrets.token_bytes(_WEBHOOK_KEY_BYTES)).decode("ascii")
    write_new(file, secret + "\n", mode=0o600)
    typer.echo(f"signing secret  {file}  (mode 0600; give it to the receiver over a safe way)")


@app.command()
def show(file: Annotated[Path, typer.Argument(help="A .key or .key_secret file.")]) -> None:
    """Print the public part of a key file, and only that."""
    from shotline.keyfiles import load_public_key

    typer.echo(load_public_key(file))


@app.command(context_settings=_TAKES_A_KEY)
def enrol(
    node: _Node,
    public: Annotated[str, typer.Argument(help=_PUBLIC_HELP)],
    allow_list: _List,
    as_json: _Json = False,
) -> None:
    """Take messages from a node with this key. The list is made when it is not there; a server sees it at once."""
    import time

    from shotline.allowlist import edit_allow_list

    key = _public_key(public)
    _require_node_id(node)
    now_ns = time.time_ns()
    changed = edit_allow_list(allow_list, lambda before: before.enrol(node, key, now_ns=now_ns), create=True)
    said = f"node '{node}' is enrolled with key {key}"
    _say(said if changed else f"{said} already; nothing changed", node, allow_list, changed=changed, as_json=as_json)


@app.command(context_settings=_TAKES_A_KEY)
def rotate(
    node: _Node,
    new_public: Annotated[str, typer.Argument(help=_PUBLIC_HELP)],
    allow_list: _List,
    overlap_hours: Annotated[float, typer.Option(min=0.0, help="The old key is accepted for so long.")] = 168.0,
    as_json: _Json = False,
) -> None:
    """Take messages from a node with a new key, and for an overlap with its old one."""
    import time

    from shotline.allowlist import edit_allow_list

    key = _public_key(new_public)
    now_ns, overlap_ns = time.time_ns(), round(overlap_hours * _NS_PER_HOUR)
    changed = edit_allow_list(allow_list, lambda before: before.rotate(node, key, now_ns=now_ns, overlap_ns=overlap_ns))
    said = f"node '{node}' has key {key}"
    said += f"; its old one is accepted for {overlap_hours:g} hours more" if changed else " already; nothing changed"
    _say(said, node, allow_list, changed=changed, as_json=as_json)


@app.command(context_settings=_TAKES_A_KEY)
def revoke(
    node: _Node,
    allow_list: _List,
    key: Annotated[str | None, typer.Option("--key", help="Only this key of the node; else all it has.")] = None,
    as_json: _Json = False,
) -> None:
    """Take no message from a node any more: a running server rejects its next one. It does not come back."""
    import time

    from shotline.allowlist import edit_allow_list

    public = None if key is None else _public_key(key)
    now_ns = time.time_ns()
    changed = edit_allow_list(allow_list, lambda before: before.revoke(node, public, now_ns=now_ns))
    what = "every key" if public is None else f"key {public}"
    said = f"{what} of node '{node}' is revoked"
    _say(said if changed else f"{said} already; nothing changed", node, allow_list, changed=changed, as_json=as_json)


@app.command("list")
def list_keys(allow_list: _List, as_json: _Json = False) -> None:
    """Print every key that was ever enrolled, and whether it is accepted now."""
    import time

    from shotline.allowlist import load_allow_list

    now_ns = time.time_ns()
    keys = load_allow_list(allow_list).keys
    if as_json:
        typer.echo(json.dumps({"list": str(allow_list), "keys": [_as_json(key, now_ns) for key in keys]}, indent=2))
        return
    for key in keys:
        typer.echo(f"{key.state(now_ns):<8}  {key.node:<16}  {key.public}")
    if not keys:
        typer.echo("no key was ever enrolled")


def _as_json(key: EnrolledKey, now_ns: int) -> dict[str, str | None]:
    from shotline.timebase import format_utc

    def text(time_ns: int | None) -> str | None:
        return None if time_ns is None else format_utc(time_ns)

    return {
        "node": key.node,
        "public": key.public,
        "state": key.state(now_ns),
        "enrolled_utc": text(key.enrolled_ns),
        "until_utc": text(key.until_ns),
        "revoked_utc": text(key.revoked_ns),
    }


def _public_key(text: str) -> str:
    """Return the public key in a file, or the one that was typed."""
    from shotline.keyfiles import is_public_key, load_public_key

    if is_public_key(text):
        return text
    if not Path(text).is_file():
        raise InputError(
            f"'{text}' is neither a .key file nor a public key (40 characters of z85, in single quotes for the shell)"
        )
    return load_public_key(Path(text))


def _require_node_id(node: str) -> None:
    if not _NAME.fullmatch(node):
        raise InputError(f"'{node}' is not a node id; use 1 to 64 letters, digits and _ . : -")


def _say(sentence: str, node: str, allow_list: Path, *, changed: bool, as_json: bool) -> None:
    typer.echo(json.dumps({"node": node, "list": str(allow_list), "changed": changed}) if as_json else sentence)
