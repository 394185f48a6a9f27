"""The files of a swarm: a pair of keys for each node, and what a server needs to be started for it."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from shotline.allowlist import edit_allow_list
from shotline.enrolment import AllowList
from shotline.errors import InputError, StorageError
from shotline.keyfiles import KeyPair, is_public_key, load_key_pair, load_public_key, new_key_pair

__all__ = ["load_or_make_pair", "member_name", "read_server_key", "write_server_config", "write_swarm_allow_list"]


def member_name(member: int) -> str:
    """Return the node id of a member of the swarm, counted from 0."""
    return f"swarm-{member:05}"


def load_or_make_pair(name: str, folder: Path) -> KeyPair:
    """Return a pair that is kept in a folder; made when it is not there.

    Raises
    ------
    InputError
        The file there holds no pair.
    StorageError
        It cannot be written.
    """
    path = folder / f"{name}.key_secret"
    if not path.exists():
        new_key_pair(name, folder)
    return load_key_pair(path)


def read_server_key(given: str | None, folder: Path) -> str:
    """Return the server's public key: as given, out of the file that is given, or out of ``server.key`` in a folder.

    Raises
    ------
    InputError
        There is none.
    """
    if given is not None and is_public_key(given):
        return given
    path = folder / "server.key" if given is None else Path(given)
    if not path.is_file():
        raise InputError(
            f"'{path}' is neither a .key file nor a public key; give the server's, as `shotline keys show` prints it",
            field="--server-key",
        )
    return load_public_key(path)


def write_swarm_allow_list(path: Path, pairs: Sequence[tuple[str, KeyPair]], *, now_ns: int) -> None:
    """Enrol every member in an allow-list; made when it is not there.

    Raises
    ------
    InputError
        The file is no allow-list, or another key is enrolled for one of them.
    StorageError
        It cannot be written.
    """

    def enrol(before: AllowList) -> AllowList:
        for name, pair in pairs:
            before = before.enrol(name, pair.public, now_ns=now_ns)
        return before

    edit_allow_list(path, enrol, create=True)


def write_server_config(
    path: Path, *, bind: str, secret_file: Path, allow_list: Path, sites_m: NDArray[np.float64], http: bool = True
) -> None:
    """Write the configuration of a server for the swarm, with a site for each node.

    Parameters
    ----------
    path : Path
        The database and the file of alerts come to lie beside it.
    bind : str
        Where the server is to listen.
    secret_file, allow_list : Path
    sites_m : ndarray, shape (n_nodes, 2), float64
    http : bool
        Serve the page, on a port that is free.

    Raises
    ------
    StorageError
        It cannot be written.
    """
    folder = path.absolute().parent
    secret, listed = (json.dumps(os.path.relpath(file.absolute(), folder)) for file in (secret_file, allow_list))
    lines = [
        "# A server for a swarm of simulated nodes. Written by `shotline node swarm --write-config`.",
        "[server]",
        f"bind = {json.dumps(bind)}",
        'database = "history.db"',
        f"curve_secret_file = {secret}",
        f"allow_list = {listed}",
        "test_alerts = true",
        "",
        "[http]",
        "port = 0" if http else "enabled = false",
        "",
        "[[sinks]]",
        'kind = "jsonl"',
        'path = "alerts.jsonl"',
    ]
    for member, (x_m, y_m) in enumerate(sites_m.tolist()):
        lines += ["", "[[nodes]]", f'id = "{member_name(member)}"', f"x_m = {x_m}", f"y_m = {y_m}"]
    try:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from error
