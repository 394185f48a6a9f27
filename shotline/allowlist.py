"""The file of the allow-list: which public keys a server takes messages from, and which node each of them is.

A file of `[[keys]]` tables, written by ``shotline keys enrol | revoke | rotate`` and read again by a running server
when it changes. A key that was ever in it stays in it, so that it cannot come back under another name.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import Field

from shotline.config import ConfigModel, UtcText, load_config
from shotline.domain import NODE_ID_PATTERN
from shotline.enrolment import AllowList, Enrolled, EnrolledKey, Refused
from shotline.errors import ConfigError, InputError, StorageError
from shotline.keyfiles import PUBLIC_KEY_PATTERN, is_public_key
from shotline.timebase import format_utc, parse_utc

__all__ = ["WatchedAllowList", "edit_allow_list", "load_allow_list"]

_HEAD = """\
# Nodes that may connect, by public key. Written by `shotline keys enrol | revoke | rotate`; a running server reads it
# again when it changes.
"""


class WatchedAllowList:
    """The list in a file, read again when the file changes. While the file is broken the last good list holds.

    Parameters
    ----------
    path : Path

    Raises
    ------
    InputError
        The file cannot be used.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        """Why the file as it is now cannot be used; "" when it can."""
        self.reads = 1
        """How often the file was read, well or badly."""
        self.path = path
        self._stamp = _stamp(path)
        self.current = load_allow_list(path)
        """The list that holds."""

    def refresh(self) -> None:
        """Read the file again if it changed."""
        stamp = _stamp(self.path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        self.reads += 1
        try:
            self.current = load_allow_list(self.path)
        except InputError as error:
            self.problem = str(error)
        else:
            self.problem = ""

    def standing(self, public: str, *, now_ns: int) -> Enrolled | Refused:
        """Return which node a key is, or why it is refused."""
        return self.current.standing(public, now_ns=now_ns)


class _KeySection(ConfigModel):
    node: str = Field(pattern=NODE_ID_PATTERN, max_length=64)
    public: str = Field(pattern=PUBLIC_KEY_PATTERN)
    enrolled_utc: UtcText
    until_utc: UtcText | None = None
    revoked_utc: UtcText | None = None


class _ListFile(ConfigModel):
    keys: tuple[_KeySection, ...] = Field(default=(), strict=False)


def load_allow_list(path: Path) -> AllowList:
    """Read an allow-list.

    Raises
    ------
    InputError
        The file cannot be read, can be written by others, or is not an allow-list.
    """
    read = load_config(path, _ListFile)
    stamp = _stamp(path)
    mode = 0 if stamp is None else stamp[3] & 0o777
    if mode & 0o022:
        raise InputError(f"others could enrol a key (mode {mode:04o}); run: chmod go-w {path}", source=path)
    seen: set[str] = set()
    for index, key in enumerate(read.keys):
        if not is_public_key(key.public):
            raise ConfigError(f"{key.public} is not the z85 text of a key", source=path, field=f"keys.{index}.public")
        if key.public in seen:
            raise ConfigError(
                f"key {key.public} is there twice; remove one of them", source=path, field=f"keys.{index}.public"
            )
        seen.add(key.public)
    return AllowList(tuple(_key(section) for section in read.keys))


def edit_allow_list(path: Path, change: Callable[[AllowList], AllowList], *, create: bool = False) -> bool:
    """Change the list in a file, all or nothing; return whether anything changed.

    Two edits at a time wait for each other, and a reader sees the file before or after, never between.

    Parameters
    ----------
    path : Path
    change : callable (AllowList) -> AllowList
    create : bool
        Begin with an empty list when the file is not there.

    Raises
    ------
    InputError
        The file cannot be used.
    StorageError
        The file cannot be written.
    """
    try:
        with _locked(path.parent):
            before = AllowList() if create and not path.exists() else load_allow_list(path)
            after = change(before)
            if after == before:
                return False
            _replace_file(path, _HEAD + "".join(_lines(after.keys)))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; check the folder and its permissions") from error
    return True


def _stamp(path: Path) -> tuple[int, int, int, int] | None:
    with suppress(OSError):
        seen = path.stat()
        return seen.st_mtime_ns, seen.st_ino, seen.st_size, seen.st_mode
    return None


def _key(section: _KeySection) -> EnrolledKey:
    until_ns = None if section.until_utc is None else parse_utc(section.until_utc)
    revoked_ns = None if section.revoked_utc is None else parse_utc(section.revoked_utc)
    return EnrolledKey(section.node, section.public, parse_utc(section.enrolled_utc), until_ns, revoked_ns)


def _lines(keys: Iterable[EnrolledKey]) -> Iterator[str]:
    # No character of z85 or of a node id needs escaping in TOML.
    for key in keys:
        yield f'\n[[keys]]\nnode = "{key.node}"\npublic = "{key.public}"\n'
        yield f'enrolled_utc = "{format_utc(key.enrolled_ns)}"\n'
        if key.until_ns is not None:
            yield f'until_utc = "{format_utc(key.until_ns)}"\n'
        if key.revoked_ns is not None:
            yield f'revoked_utc = "{format_utc(key.revoked_ns)}"\n'


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace_file(path: Path, text: str) -> None:
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o644)
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
