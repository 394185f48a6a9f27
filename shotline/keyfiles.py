"""Key files: a CURVE pair in the files that `shotline keys new` makes. A secret is in no text that is shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from shotline.errors import InputError, StorageError

__all__ = [
    "PUBLIC_KEY_PATTERN",
    "KeyPair",
    "is_public_key",
    "key_files",
    "load_key_pair",
    "load_public_key",
    "new_key_pair",
    "write_new",
]

_Z85 = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUES = {character: value for value, character in enumerate(_Z85)}
PUBLIC_KEY_PATTERN = r"^[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}$"
"""What a public key looks like: z85 text (ZeroMQ RFC 32) of 32 bytes."""
_IS_THERE = "is there already and is not overwritten; move it away first"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A CURVE pair, z85 text. The public half may be handed out; the secret one is in no repr."""

    public: str
    secret: str = field(repr=False)


def is_public_key(text: str) -> bool:
    """Return whether text is z85 of 32 bytes."""
    if re.fullmatch(PUBLIC_KEY_PATTERN, text) is None:
        return False
    return all(_group_value(text[start : start + 5]) < 2**32 for start in range(0, 40, 5))


def key_files(name: str, folder: Path) -> tuple[Path, Path]:
    """Return where the two halves of a pair are kept: the one to hand out, and the secret one."""
    return folder / f"{name}.key", folder / f"{name}.key_secret"


def new_key_pair(name: str, folder: Path) -> str:
    """Make a pair in two new files, see `key_files`, and return its public key.

    The folder is made when it is not there; the secret file has mode 0600.

    Raises
    ------
    InputError
        One of the files is there already.
    StorageError
        The folder or a file cannot be written.
    """
    import zmq

    public, secret = (half.decode("ascii") for half in zmq.curve_keypair())
    public_file, secret_file = key_files(name, folder)
    for path in (public_file, secret_file):
        if path.exists():
            raise InputError(_IS_THERE, source=path)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make the folder {folder}: {error.strerror}") from error
    lines = f'metadata\n    name = "{name}"\ncurve\n    public-key = "{public}"\n'
    write_new(secret_file, f'{lines}    secret-key = "{secret}"\n', mode=0o600)
    write_new(public_file, lines, mode=0o644)
    return public


def write_new(path: Path, text: str, *, mode: int) -> None:
    """Write a file that must not be there yet, with exactly this mode.

    Raises
    ------
    InputError
        It is there.
    StorageError
        It cannot be written.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError as error:
        raise InputError(_IS_THERE, source=path) from error
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from error
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        os.fchmod(descriptor, mode)
        file.write(text)


def load_key_pair(path: Path) -> KeyPair:
    """Read a pair, as a node or a server needs it.

    Raises
    ------
    InputError
        The file cannot be read, can be read by others, or holds no pair.
    """
    import zmq

    try:
        mode = path.stat().st_mode & 0o777
    except OSError as error:
        raise InputError(f"cannot read the key: {error.strerror or error}", source=path) from error
    if mode & 0o077:
        raise InputError(f"the key can be read by others (mode {mode:04o}); run: chmod 600 {path}", source=path)
    public, secret = _load(path)
    if secret is None:
        raise InputError("holds only the public key; give the file that ends in .key_secret", source=path)
    if not is_public_key(secret) or zmq.curve_public(secret.encode("ascii")).decode("ascii") != public:
        raise InputError("the two keys in it are no pair; make one with `shotline keys new`", source=path)
    return KeyPair(public, secret)


def load_public_key(path: Path) -> str:
    """Read the public key out of a .key or .key_secret file.

    Raises
    ------
    InputError
        The file cannot be read or holds no key.
    """
    return _load(path)[0]


def _load(path: Path) -> tuple[str, str | None]:
    from zmq.auth import load_certificate

    try:
        public, secret = load_certificate(path)
        public_text, secret_text = public.decode("ascii"), None if secret is None else secret.decode("ascii")
    except OSError as error:
        raise InputError(f"cannot read the key: {error.strerror or 'no such file'}", source=path) from error
    except ValueError:
        # What was read may hold a secret: it is neither shown nor chained.
        raise InputError("holds no CURVE key; make one with `shotline keys new`", source=path) from None
    if not is_public_key(public_text):
        raise InputError("holds no CURVE key; make one with `shotline keys new`", source=path)
    return public_text, secret_text


def _group_value(group: str) -> int:
    value = 0
    for character in group:
        value = value * 85 + _VALUES[character]
    return value
