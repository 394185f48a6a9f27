"""Which code this is: versions of Shotline and of the packages that a location depends on."""

from __future__ import annotations

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import shotline

__all__ = ["describe_software"]

_PACKAGES = ("cryptography", "msgspec", "numba", "numpy", "pyproj", "scipy", "shapely", "sqlalchemy")
_GIT_S = 5.0


def describe_software() -> dict[str, object]:
    """Return versions, the commit of the checkout (None where it is installed, not checked out), and the processor."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    commit = _git("rev-parse", "HEAD")
    return {
        "shotline": shotline.__version__,
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": packages,
    }


def _git(*arguments: str) -> str | None:
    folder = Path(shotline.__file__).parent
    if not (folder.parent / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=_GIT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
