"""Secrets in files that only their owner can read. Neither the secret nor a part of it is in any message."""

from __future__ import annotations

import stat
from pathlib import Path

from shotline.errors import InputError

__all__ = ["read_secret"]


def read_secret(path: Path, what: str) -> str:
    """Return the text of a file without blanks and line ends around it.

    Parameters
    ----------
    path : Path
    what : str
        What it is, for messages: "the password".

    Raises
    ------
    InputError
        The file cannot be read, can be read by others, or is empty.
    """
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        text = path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError as error:
        raise InputError(f"cannot read {what}: {error.strerror}", source=path) from error
    if mode & 0o077:
        raise InputError(
            f"{what} can be read by others (mode {mode:04o}, expected 0600); run: chmod 600 {path}", source=path
        )
    if not text:
        raise InputError(f"the file is empty, expected {what}", source=path)
    return text
